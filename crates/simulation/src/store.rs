//! The checkpoint table in memory, with its conditions: revisions of runs and guards, generations of segments and of guards.

mod guard;
mod of_guard;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backfill_core::ports::{CheckpointReader, CountNotes, RunStore, SegmentStore};
use backfill_core::records::{BlockSum, CountNote, FullBlocks, Rejected, RunRecord, SegmentRecord};
use backfill_core::records::{Flush, HistoryBucket, place, shard_of};
use backfill_core::{Error, ErrorKind, Key, Result};
use serde::Serialize;
use tokio::time::Instant;

use of_guard::OfGuard;

/// What happens to a call on its way to the store and back. The store knows the records and their conditions; how long a
/// call takes, and whether it fails, is the transit's.
pub trait Transit: Clone + Send + Sync {
    /// Before the call takes effect; after an error it takes none.
    fn before(&self) -> impl Future<Output = Result<()>> + Send;

    /// After the call has taken effect; an error is a lost answer.
    fn after(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Sees each checkpoint that is stored, with the record of its run.
    fn stored(&self, _run: &RunRecord, _checkpoint: &SegmentRecord) {}

    /// Sees each copy of a run record that is read, with the record itself.
    fn copied(&self, _run: &RunRecord, _copy: &RunRecord) {}

    /// Sees how many sums of blocks a call has read.
    fn summed(&self, _sums: usize) {}

    /// Who counts what the calls consume; `None` if nobody does.
    fn meter(&self) -> Option<&Meter> {
        None
    }
}

/// Capacity units of the checkpoint table, for each partition key and second. They are counted as DynamoDB charges them: a
/// write for each KB of its item; a strongly consistent read for each 4 KB, an eventually consistent one half of that. Its
/// clones share the figures.
#[derive(Debug, Clone)]
pub struct Meter {
    begin: Instant,
    seconds: Arc<Mutex<Vec<BTreeMap<String, Units>>>>,
}

/// Units that were consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Units {
    /// Write units.
    pub write: f64,
    /// Read units.
    pub read: f64,
}

impl Meter {
    fn new() -> Self {
        Meter {
            begin: Instant::now(),
            seconds: Arc::default(),
        }
    }

    /// The most that was consumed on one partition key within one second.
    pub fn hottest(&self) -> Units {
        let most = |most: Units, units: &Units| Units {
            write: most.write.max(units.write),
            read: most.read.max(units.read),
        };
        let seconds = lock(&self.seconds);
        let of_keys = seconds.iter().flat_map(BTreeMap::values);
        of_keys.fold(Units::default(), most)
    }

    fn add(&self, key: &str, units: Units) {
        let second = self.begin.elapsed().as_secs() as usize;
        let mut seconds = lock(&self.seconds);
        if seconds.len() <= second {
            seconds.resize_with(second + 1, BTreeMap::new);
        }
        let of_key = seconds[second].entry(key.to_owned()).or_default();
        of_key.write += units.write;
        of_key.read += units.read;
    }
}

/// Bytes of the sum of a block, about.
const SUM_BYTES: usize = 900;

/// Bytes of a record as it is stored, about: JSON repeats the names as DynamoDB does.
fn bytes<T: Serialize>(record: &T) -> usize {
    serde_json::to_string(record).map_or(0, |json| json.len())
}

/// A transit in which calls take up to a given time, at random, and do not fail. Its clones share one source of randomness.
#[derive(Clone)]
pub struct Latency {
    random: Arc<Mutex<fastrand::Rng>>,
    below_ms: u64,
    pub(crate) meter: Meter,
}

impl Latency {
    /// Calls take less than `below_ms` milliseconds, which must not be 0.
    pub fn new(seed: u64, below_ms: u64) -> Self {
        Latency {
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            below_ms,
            meter: Meter::new(),
        }
    }
}

impl Transit for Latency {
    async fn before(&self) -> Result<()> {
        let ms = lock(&self.random).u64(..self.below_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(())
    }

    fn meter(&self) -> Option<&Meter> {
        Some(&self.meter)
    }
}

/// Durable records in memory, behind a transit. Its clones share the records.
#[derive(Clone)]
pub struct MemoryStore<T> {
    state: Arc<Mutex<State>>,
    transit: T,
}

#[derive(Default)]
struct State {
    runs: BTreeMap<String, RunRecord>,
    copies: BTreeMap<(String, u32), Copied>,
    segments: BTreeMap<(String, u32, u32), SegmentRecord>,
    /// Exhausted segments of a pass under a partition key.
    exhausted: BTreeMap<(String, u32), u32>,
    /// Sums by run, pass and block.
    sums: BTreeMap<(String, u32, u32), BlockSum>,
    /// Which blocks of a pass are full.
    full: BTreeMap<(String, u32), FullBlocks>,
    rejected: BTreeMap<(String, u32, Key), Rejected>,
    history: BTreeMap<(String, u32, u64), HistoryBucket>,
    count_notes: BTreeMap<String, CountNote>,
    /// What is durable of guards, by their tables.
    guards: BTreeMap<String, OfGuard>,
}

/// What lies in the place of a copy of a run record: one of this revision, or the mark of one that is to come.
struct Copied {
    revision: u64,
    record: Option<RunRecord>,
}

impl State {
    /// The segment records of one pass.
    fn segments(&self, run_id: &str, pass: u32) -> impl Iterator<Item = &SegmentRecord> {
        let of_pass = (run_id.to_owned(), pass, 0)..=(run_id.to_owned(), pass, u32::MAX);
        self.segments.range(of_pass).map(|(_, segment)| segment)
    }
}

impl<T: Transit> MemoryStore<T> {
    /// An empty store.
    pub fn new(transit: impl Into<T>) -> Self {
        MemoryStore {
            state: Arc::default(),
            transit: transit.into(),
        }
    }

    /// The same records, by another way.
    pub fn by<U: Transit>(&self, transit: impl Into<U>) -> MemoryStore<U> {
        MemoryStore {
            state: self.state.clone(),
            transit: transit.into(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A write of this record under a partition key is charged.
    fn wrote<R: Serialize>(&self, key: &str, record: &R) {
        if let Some(meter) = self.transit.meter() {
            let write = bytes(record).div_ceil(1024).max(1) as f64;
            meter.add(key, Units { write, read: 0.0 });
        }
    }

    /// A strongly consistent read of these records under a partition key is charged.
    fn read<R: Serialize>(&self, key: &str, records: &[R]) {
        if let Some(meter) = self.transit.meter() {
            let bytes: usize = records.iter().map(bytes).sum();
            let read = bytes.div_ceil(4096).max(1) as f64;
            meter.add(key, Units { write: 0.0, read });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Transit> CheckpointReader for MemoryStore<T> {
    fn lies_in(&self, _table: &str) -> bool {
        false
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        self.transit.before().await?;
        let run = self.state().runs.get(run_id).cloned();
        self.read(run_id, run.as_slice());
        Ok(run)
    }

    async fn run_copy(&self, run_id: &str, shard: u32) -> Result<Option<RunRecord>> {
        self.transit.before().await?;
        let copy = {
            let state = self.state();
            let copied = state.copies.get(&(run_id.to_owned(), shard));
            let copy = copied.and_then(|copied| copied.record.clone());
            if let (Some(run), Some(copy)) = (state.runs.get(run_id), &copy) {
                self.transit.copied(run, copy);
            }
            copy
        };
        self.read(&place(run_id, 2, shard), copy.as_slice());
        Ok(copy)
    }

    async fn segments(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<Vec<SegmentRecord>> {
        self.transit.before().await?;
        let here = |record: &&SegmentRecord| shard_of(record.segment, run.shards) == shard;
        let state = self.state();
        let segments = state.segments(&run.run_id, pass).filter(here);
        let segments: Vec<_> = segments.cloned().collect();
        self.read(&place(&run.run_id, run.shards, shard), &segments);
        Ok(segments)
    }

    async fn segment(
        &self,
        run: &RunRecord,
        pass: u32,
        segment: u32,
    ) -> Result<Option<SegmentRecord>> {
        self.transit.before().await?;
        let key = (run.run_id.clone(), pass, segment);
        let record = self.state().segments.get(&key).cloned();
        self.read(&run.place_of(segment), record.as_slice());
        Ok(record)
    }

    async fn sums(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
        from: u32,
    ) -> Result<Vec<BlockSum>> {
        self.transit.before().await?;
        let of_pass = (run.run_id.clone(), pass, from)..=(run.run_id.clone(), pass, u32::MAX);
        let sums: Vec<BlockSum> = {
            let state = self.state();
            let sums = state.sums.range(of_pass).map(|(_, sum)| sum);
            sums.filter(|sum| run.shard_of_block(sum.block) == shard)
                .cloned()
                .collect()
        };
        self.transit.summed(sums.len());
        let items: Vec<String> = sums.iter().map(|_| " ".repeat(SUM_BYTES)).collect();
        self.read(&run.place_of_sums(shard), &items);
        Ok(sums)
    }

    async fn full_blocks(&self, run: &RunRecord, pass: u32) -> Result<FullBlocks> {
        self.transit.before().await?;
        self.read(&run.place_of_sums(0), &[()]);
        let state = self.state();
        let full = state.full.get(&(run.run_id.clone(), pass)).copied();
        Ok(full.unwrap_or_default())
    }

    async fn latest_pass(&self, run: &RunRecord, shard: u32) -> Result<Option<u32>> {
        self.transit.before().await?;
        let here = |segment: u32| shard_of(segment, run.shards) == shard;
        let state = self.state();
        let of_run = state
            .segments
            .keys()
            .filter(|key| key.0 == run.run_id && here(key.2));
        Ok(of_run.map(|key| key.1).max())
    }

    async fn exhausted(&self, run: &RunRecord, shard: u32) -> Result<u32> {
        self.transit.before().await?;
        let place = run.place_of_count(shard);
        if let Some(meter) = self.transit.meter() {
            // Of one small item, eventually consistent.
            let read = 0.5;
            meter.add(&place, Units { write: 0.0, read });
        }
        let state = self.state();
        Ok(*state.exhausted.get(&(place, run.pass)).unwrap_or(&0))
    }

    async fn count_note(&self, run: &RunRecord) -> Result<Option<CountNote>> {
        self.transit.before().await?;
        Ok(self.state().count_notes.get(&run.run_id).copied())
    }

    async fn rejected(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<Vec<Rejected>> {
        self.transit.before().await?;
        let state = self.state();
        let rejected = state.rejected.iter().filter(|((run_id, of, _), item)| {
            let place = (run_id, *of, shard_of(item.segment, run.shards));
            place == (&run.run_id, pass, shard)
        });
        Ok(rejected.map(|(_, item)| item.clone()).collect())
    }

    async fn rejected_count(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<u64> {
        Ok(self.rejected(run, pass, shard).await?.len() as u64)
    }

    async fn history(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<Vec<HistoryBucket>> {
        self.transit.before().await?;
        let place = place(&run.run_id, run.shards, shard);
        let of_pass = (place.clone(), pass, 0)..=(place, pass, u64::MAX);
        let state = self.state();
        Ok(state.history.range(of_pass).map(|(_, b)| *b).collect())
    }
}

impl<T: Transit> CountNotes for MemoryStore<T> {
    async fn note_count(&self, run: &RunRecord, note: &CountNote) -> Result<()> {
        self.transit.before().await?;
        let run_id = run.run_id.clone();
        self.state().count_notes.insert(run_id, *note);
        self.transit.after().await
    }
}

impl<T: Transit> MemoryStore<T> {
    /// Puts a copy, or the mark of one, if what is there is of an earlier revision.
    async fn put_copy(&self, run_id: &str, shard: u32, copied: Copied) -> Result<()> {
        self.transit.before().await?;
        self.wrote(&place(run_id, 2, shard), &copied.record);
        {
            let mut state = self.state();
            let stored = state.copies.get(&(run_id.to_owned(), shard));
            let is_newer = stored.is_none_or(|stored| {
                stored.revision < copied.revision
                    || (stored.revision == copied.revision && copied.record.is_some())
            });
            if is_newer {
                state.copies.insert((run_id.to_owned(), shard), copied);
            }
        }
        self.transit.after().await
    }
}

impl<T: Transit> RunStore for MemoryStore<T> {
    async fn save_run(&self, record: &RunRecord) -> Result<()> {
        self.transit.before().await?;
        self.wrote(&record.run_id, record);
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
        self.transit.after().await
    }

    async fn mark_copy(&self, run_id: &str, shard: u32, revision: u64) -> Result<()> {
        let record = None;
        let mark = Copied { revision, record };
        self.put_copy(run_id, shard, mark).await
    }

    async fn save_copy(&self, record: &RunRecord, shard: u32) -> Result<()> {
        let copy = Copied {
            revision: record.revision,
            record: Some(record.clone()),
        };
        self.put_copy(&record.run_id, shard, copy).await
    }

    async fn save_sum(&self, run: &RunRecord, sum: &BlockSum, chunks: u64) -> Result<bool> {
        self.transit.before().await?;
        let shard = run.shard_of_block(sum.block);
        self.wrote(&run.place_of_sums(shard), &());
        let is_same = {
            let mut state = self.state();
            let key = (run.run_id.clone(), run.pass, sum.block);
            let stored = state.sums.get(&key).map_or(0, |stored| stored.chunks);
            if stored == chunks {
                state.sums.insert(key, sum.clone());
            }
            stored == chunks
        };
        self.transit.after().await?;
        Ok(is_same)
    }

    async fn note_full(&self, run: &RunRecord, full: &FullBlocks) -> Result<()> {
        self.transit.before().await?;
        self.wrote(&run.place_of_sums(0), &());
        {
            let mut state = self.state();
            let noted = state
                .full
                .entry((run.run_id.clone(), run.pass))
                .or_default();
            if noted.blocks < full.blocks {
                *noted = *full;
            }
        }
        self.transit.after().await
    }
}

impl<T: Transit> SegmentStore for MemoryStore<T> {
    async fn claim(&self, run: &RunRecord, segment: u32) -> Result<SegmentRecord> {
        self.transit.before().await?;
        let record = {
            let mut state = self.state();
            let record = state
                .segments
                .entry((run.run_id.clone(), run.pass, segment))
                .or_insert_with(|| SegmentRecord::unclaimed(&run.run_id, run.pass, segment));
            if record.run_revision > run.revision {
                return Err(Error::new(ErrorKind::Fenced, "claimed for a later owner"));
            }
            record.run_revision = run.revision;
            record.generation += 1;
            record.clone()
        };
        self.wrote(&run.place_of(segment), &record);
        self.transit.after().await?;
        Ok(record)
    }

    async fn checkpoint(&self, run: &RunRecord, record: &SegmentRecord) -> Result<()> {
        self.transit.before().await?;
        let place = run.place_of(record.segment);
        self.wrote(&place, record);
        {
            let mut state = self.state();
            let key = (record.run_id.clone(), record.pass, record.segment);
            let fenced = || Error::new(ErrorKind::Fenced, "claimed by another worker");
            let stored = state.segments.get_mut(&key).ok_or_else(fenced)?;
            let late = stored.counters.checkpoints > record.counters.checkpoints;
            if stored.generation != record.generation || late {
                return Err(fenced());
            }
            *stored = record.clone();
            self.transit.stored(run, record);
        }
        self.transit.after().await
    }

    async fn add_to_sums(&self, run: &RunRecord, sum: &BlockSum) -> Result<bool> {
        self.transit.before().await?;
        let shard = run.shard_of_block(sum.block);
        self.wrote(&run.place_of_sums(shard), &());
        let is_new = {
            let mut state = self.state();
            let key = (run.run_id.clone(), run.pass, sum.block);
            let stored = state.sums.entry(key).or_insert_with(|| BlockSum {
                block: sum.block,
                ..BlockSum::default()
            });
            let mut places = sum.segments.iter().map(|(place, _)| *place);
            let is_new = !places.any(|place| stored.holds(place));
            if is_new {
                stored.merge(sum);
            }
            is_new
        };
        self.transit.after().await?;
        Ok(is_new)
    }

    async fn count_exhausted(&self, run: &RunRecord, shard: u32, segments: u32) -> Result<()> {
        self.transit.before().await?;
        let place = run.place_of_count(shard);
        // In a small item.
        self.wrote(&place, &());
        {
            let mut state = self.state();
            *state.exhausted.entry((place, run.pass)).or_default() += segments;
        }
        self.transit.after().await
    }

    async fn add_to_history(&self, run: &RunRecord, segment: u32, flush: &Flush) -> Result<()> {
        self.transit.before().await?;
        let (place, start) = (run.place_of(segment), flush.bucket_ms());
        let bucket = {
            let mut state = self.state();
            let bucket = state
                .history
                .entry((place.clone(), run.pass, start))
                .or_insert_with(|| HistoryBucket::new(run.pass, start));
            bucket.add(flush);
            *bucket
        };
        self.wrote(&place, &bucket);
        self.transit.after().await
    }

    async fn reject(&self, run: &RunRecord, item: &Rejected) -> Result<()> {
        self.transit.before().await?;
        self.wrote(&run.place_of(item.segment), item);
        let key = (run.run_id.clone(), run.pass, item.key.clone());
        self.state().rejected.insert(key, item.clone());
        self.transit.after().await
    }

    async fn forget_rejected(&self, run: &RunRecord, item: &Rejected) -> Result<()> {
        self.transit.before().await?;
        self.wrote(&run.place_of(item.segment), item);
        let key = (run.run_id.clone(), run.pass, item.key.clone());
        self.state().rejected.remove(&key);
        self.transit.after().await
    }
}
