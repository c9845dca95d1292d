//! The checkpoint table in memory, with its conditions: revisions of runs, generations of segments.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backfill_core::ports::{CheckpointReader, RejectedStore, RunStore, SegmentStore};
use backfill_core::records::BoundBy;
use backfill_core::records::{Counters, Cursor, Rejected, RunRecord, SegmentRecord};
use backfill_core::records::{Flush, HistoryBucket};
use backfill_core::{Error, ErrorKind, Key, Result};

/// What happens to a call on its way to the store and back. The store knows the records and their conditions; how long a
/// call takes, and whether it fails, is the line's.
pub trait Line: Clone + Send + Sync {
    /// Before the call takes effect; after an error it takes none.
    fn before(&self) -> impl Future<Output = Result<()>> + Send;

    /// After the call has taken effect; an error is a lost answer.
    fn after(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Sees each checkpoint that is stored, with the record of its run.
    fn stored(&self, _run: &RunRecord, _checkpoint: &SegmentRecord) {}
}

/// A line on which calls take up to a given time, at random, and do not fail. Its clones share one source of randomness.
#[derive(Clone)]
pub struct Latency {
    random: Arc<Mutex<fastrand::Rng>>,
    below_ms: u64,
}

impl Latency {
    /// Calls take less than `below_ms` milliseconds, which must not be 0.
    pub fn new(seed: u64, below_ms: u64) -> Self {
        Latency {
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            below_ms,
        }
    }
}

impl Line for Latency {
    async fn before(&self) -> Result<()> {
        let ms = lock(&self.random).u64(..self.below_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(())
    }
}

/// Durable records in memory, at the end of a line. Its clones share the records.
#[derive(Clone)]
pub struct MemoryStore<L> {
    state: Arc<Mutex<State>>,
    line: L,
}

#[derive(Default)]
struct State {
    runs: BTreeMap<String, RunRecord>,
    segments: BTreeMap<(String, u32, u32), SegmentRecord>,
    rejected: BTreeMap<(String, u32, Key), Rejected>,
    history: BTreeMap<(String, u32, u64), HistoryBucket>,
}

impl<L: Line> MemoryStore<L> {
    /// An empty store.
    pub fn new(line: impl Into<L>) -> Self {
        MemoryStore {
            state: Arc::default(),
            line: line.into(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_segment(run: &RunRecord, segment: u32) -> SegmentRecord {
    SegmentRecord {
        run_id: run.run_id.clone(),
        pass: run.pass,
        segment,
        run_revision: run.revision,
        generation: 0,
        cursor: Cursor::NotStarted,
        trial_passed: false,
        bound_by: BoundBy::default(),
        throttled_by: None,
        counters: Counters::default(),
    }
}

impl<L: Line> CheckpointReader for MemoryStore<L> {
    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        self.line.before().await?;
        Ok(self.state().runs.get(run_id).cloned())
    }

    async fn segments(&self, run_id: &str, pass: u32) -> Result<Vec<SegmentRecord>> {
        self.line.before().await?;
        let state = self.state();
        Ok(state
            .segments
            .values()
            .filter(|segment| segment.run_id == run_id && segment.pass == pass)
            .cloned()
            .collect())
    }

    async fn exhausted(&self, run_id: &str, pass: u32) -> Result<u32> {
        let segments = self.segments(run_id, pass).await?;
        let exhausted = |segment: &&SegmentRecord| segment.cursor == Cursor::Exhausted;
        Ok(segments.iter().filter(exhausted).count() as u32)
    }

    async fn rejected(&self, run_id: &str, pass: u32) -> Result<Vec<Rejected>> {
        self.line.before().await?;
        let state = self.state();
        let of_pass = |key: &(String, u32, Key)| key.0 == run_id && key.1 == pass;
        let rejected = state.rejected.iter().filter(|(key, _)| of_pass(key));
        Ok(rejected.map(|(_, item)| item.clone()).collect())
    }

    async fn rejected_count(&self, run_id: &str, pass: u32) -> Result<u64> {
        Ok(self.rejected(run_id, pass).await?.len() as u64)
    }

    async fn history(&self, run_id: &str, pass: u32) -> Result<Vec<HistoryBucket>> {
        self.line.before().await?;
        let state = self.state();
        let of_pass = (run_id.to_owned(), pass, 0)..=(run_id.to_owned(), pass, u64::MAX);
        Ok(state.history.range(of_pass).map(|(_, b)| *b).collect())
    }
}

impl<L: Line> RejectedStore for MemoryStore<L> {
    async fn reject(&self, run_id: &str, pass: u32, item: &Rejected) -> Result<()> {
        self.line.before().await?;
        let key = (run_id.to_owned(), pass, item.key.clone());
        self.state().rejected.insert(key, item.clone());
        self.line.after().await
    }

    async fn forget_rejected(&self, run_id: &str, pass: u32, key: &Key) -> Result<()> {
        self.line.before().await?;
        let key = (run_id.to_owned(), pass, key.clone());
        self.state().rejected.remove(&key);
        self.line.after().await
    }
}

impl<L: Line> RunStore for MemoryStore<L> {
    async fn save_run(&self, record: &RunRecord) -> Result<()> {
        self.line.before().await?;
        {
            let mut state = self.state();
            let stored = state.runs.get(&record.run_id);
            let revision = stored.map_or(0, |stored| stored.revision);
            if stored == Some(record) {
                // Our own write, whose answer was lost.
            } else if revision + 1 != record.revision {
                return Err(Error::new(ErrorKind::Conflict, "changed meanwhile"));
            } else {
                state.runs.insert(record.run_id.clone(), record.clone());
            }
        }
        self.line.after().await
    }
}

impl<L: Line> SegmentStore for MemoryStore<L> {
    async fn claim(&self, run: &RunRecord, segment: u32) -> Result<SegmentRecord> {
        self.line.before().await?;
        let record = {
            let mut state = self.state();
            let record = state
                .segments
                .entry((run.run_id.clone(), run.pass, segment))
                .or_insert_with(|| new_segment(run, segment));
            if record.run_revision > run.revision {
                return Err(Error::new(ErrorKind::Fenced, "claimed for a later owner"));
            }
            record.run_revision = run.revision;
            record.generation += 1;
            record.clone()
        };
        self.line.after().await?;
        Ok(record)
    }

    async fn checkpoint(&self, record: &SegmentRecord) -> Result<()> {
        self.line.before().await?;
        {
            let mut state = self.state();
            let State { runs, segments, .. } = &mut *state;
            let key = (record.run_id.clone(), record.pass, record.segment);
            let fenced = || Error::new(ErrorKind::Fenced, "claimed by another worker");
            let (Some(run), Some(stored)) = (runs.get(&record.run_id), segments.get_mut(&key))
            else {
                return Err(fenced());
            };
            let late = stored.counters.checkpoints > record.counters.checkpoints;
            if stored.generation != record.generation || late {
                return Err(fenced());
            }
            *stored = record.clone();
            self.line.stored(run, record);
        }
        self.line.after().await
    }

    async fn add_to_history(&self, run_id: &str, pass: u32, flush: &Flush) -> Result<()> {
        self.line.before().await?;
        let start = flush.bucket_ms();
        self.state()
            .history
            .entry((run_id.to_owned(), pass, start))
            .or_insert_with(|| HistoryBucket::new(pass, start))
            .add(flush);
        self.line.after().await
    }
}
