//! The model of the checkpoint table, with its conditions: revisions of runs, generations of segments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use backfill_core::ports::{CheckpointReader, RejectedStore, RunStore, SegmentStore};
use backfill_core::records::BoundBy;
use backfill_core::records::{Counters, Cursor, Rejected, RunRecord, SegmentRecord};
use backfill_core::records::{Flush, HistoryBucket};
use backfill_core::{Error, ErrorKind, Key, Result};

use crate::faults::Faults;
use crate::model_table::ModelTable;

/// Durable records in memory.
#[derive(Clone)]
pub struct ModelStore {
    state: Arc<Mutex<State>>,
    faults: Faults,
    /// Where given, every checkpoint is held against the table: nothing pending may lie behind it.
    witness: Option<ModelTable>,
}

#[derive(Default)]
struct State {
    runs: BTreeMap<String, RunRecord>,
    segments: BTreeMap<(String, u32, u32), SegmentRecord>,
    rejected: BTreeMap<(String, u32, Key), Rejected>,
    history: BTreeMap<(String, u32, u64), HistoryBucket>,
}

impl ModelStore {
    /// An empty store.
    pub fn new(faults: Faults) -> Self {
        ModelStore {
            state: Arc::default(),
            faults,
            witness: None,
        }
    }

    /// An empty store that panics at a checkpoint which has passed a pending item. For tables without live
    /// writers, which may put one there.
    pub fn with_witness(faults: Faults, table: &ModelTable) -> Self {
        ModelStore {
            witness: Some(table.clone()),
            ..ModelStore::new(faults)
        }
    }
}

impl ModelStore {
    /// A worker has swept this segment of the run's current pass, without any ado.
    pub fn exhaust(&self, run: &RunRecord, segment: u32) {
        let mut state = self.state.lock().unwrap();
        let record = new_segment(run, segment);
        let record = SegmentRecord {
            cursor: Cursor::Exhausted,
            ..record
        };
        let key = (run.run_id.clone(), run.pass, segment);
        state.segments.insert(key, record);
    }
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

impl CheckpointReader for ModelStore {
    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        self.faults.before().await?;
        Ok(self.state.lock().unwrap().runs.get(run_id).cloned())
    }

    async fn segments(&self, run_id: &str, pass: u32) -> Result<Vec<SegmentRecord>> {
        self.faults.before().await?;
        let state = self.state.lock().unwrap();
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
        self.faults.before().await?;
        let state = self.state.lock().unwrap();
        let of_pass = |key: &(String, u32, Key)| key.0 == run_id && key.1 == pass;
        let rejected = state.rejected.iter().filter(|(key, _)| of_pass(key));
        Ok(rejected.map(|(_, item)| item.clone()).collect())
    }

    async fn rejected_count(&self, run_id: &str, pass: u32) -> Result<u64> {
        Ok(self.rejected(run_id, pass).await?.len() as u64)
    }

    async fn history(&self, run_id: &str, pass: u32) -> Result<Vec<HistoryBucket>> {
        self.faults.before().await?;
        let state = self.state.lock().unwrap();
        let of_pass = (run_id.to_owned(), pass, 0)..=(run_id.to_owned(), pass, u64::MAX);
        Ok(state.history.range(of_pass).map(|(_, b)| *b).collect())
    }
}

impl RejectedStore for ModelStore {
    async fn reject(&self, run_id: &str, pass: u32, item: &Rejected) -> Result<()> {
        self.faults.before().await?;
        let key = (run_id.to_owned(), pass, item.key.clone());
        self.state
            .lock()
            .unwrap()
            .rejected
            .insert(key, item.clone());
        self.faults.after().await
    }

    async fn forget_rejected(&self, run_id: &str, pass: u32, key: &Key) -> Result<()> {
        self.faults.before().await?;
        let key = (run_id.to_owned(), pass, key.clone());
        self.state.lock().unwrap().rejected.remove(&key);
        self.faults.after().await
    }
}

impl RunStore for ModelStore {
    async fn save_run(&self, record: &RunRecord) -> Result<()> {
        self.faults.before().await?;
        {
            let mut state = self.state.lock().unwrap();
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
        self.faults.after().await
    }
}

impl SegmentStore for ModelStore {
    async fn claim(&self, run: &RunRecord, segment: u32) -> Result<SegmentRecord> {
        self.faults.before().await?;
        let record = {
            let mut state = self.state.lock().unwrap();
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
        self.faults.after().await?;
        Ok(record)
    }

    async fn checkpoint(&self, record: &SegmentRecord) -> Result<()> {
        self.faults.before().await?;
        {
            let mut state = self.state.lock().unwrap();
            let run = state.runs[&record.run_id].clone();
            let key = (record.run_id.clone(), record.pass, record.segment);
            let stored = state.segments.get_mut(&key).expect("claimed before");
            let late = stored.counters.checkpoints > record.counters.checkpoints;
            if stored.generation != record.generation || late {
                return Err(Error::new(ErrorKind::Fenced, "claimed by another worker"));
            }
            *stored = record.clone();
            if let Some(table) = &self.witness {
                let total = run.settings.total_segments;
                let passed = table.pending_behind(&run.spec, record.segment, total, &record.cursor);
                assert!(passed.is_empty(), "the checkpoint has passed {passed:?}");
            }
        }
        self.faults.after().await
    }

    async fn add_to_history(&self, run_id: &str, pass: u32, flush: &Flush) -> Result<()> {
        self.faults.before().await?;
        let start = flush.bucket_ms();
        self.state
            .lock()
            .unwrap()
            .history
            .entry((run_id.to_owned(), pass, start))
            .or_insert_with(|| HistoryBucket::new(pass, start))
            .add(flush);
        self.faults.after().await
    }
}
