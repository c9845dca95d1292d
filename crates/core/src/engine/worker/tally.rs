//! What the segments of one process have done, told once for many of them: to the history, to the count of exhausted segments and to
//! the sums of the pass. So a small segment costs little more than its own work. Each of the three has its own time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use futures_util::{StreamExt as _, stream};

use super::ledger::{FLUSH_PATIENCE, Ledger};
use super::segment::CHECKPOINT_PATIENCE;
use crate::clock::now_ms;
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::ports::SegmentStore;
use crate::records::{BlockSum, Counters, Flush, RunRecord, SegmentRecord, shard_of};

/// Exhausted segments are counted together, this often.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Exhausted segments are summed up together, this often.
const SUM_EVERY: Duration = Duration::from_secs(1);

/// Sums that are added to at the same time.
const SUMS_AT_ONCE: usize = 16;

/// Adds to a sum, tried again as long as a checkpoint is; false if it was not added.
async fn add<S: SegmentStore>(store: &S, run: &RunRecord, sum: &BlockSum) -> bool {
    let until = Until::after(CHECKPOINT_PATIENCE);
    match retry(&until, || store.add_to_sums(run, sum)).await {
        Ok(added) => added,
        Err(error) => {
            tracing::warn!(
                error = error.report(),
                "exhausted segments are in no sum yet"
            );
            false
        }
    }
}

/// What is done and not told yet.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What is to be added to the history.
    untold: Option<Untold>,
    /// Segments that are exhausted and not counted yet, by shard.
    uncounted: BTreeMap<u32, u32>,
    /// When some of them were counted last.
    counted: Option<Instant>,
    /// Exhausted segments that are in no sum yet, by block.
    unsummed: BTreeMap<u32, Vec<(u8, SegmentRecord)>>,
    /// When some of them were summed up last.
    summed: Option<Instant>,
}

/// What chunks that have ended have done since the last flush.
#[derive(Debug)]
struct Untold {
    since: Instant,
    /// One of the segments.
    segment: u32,
    done: Counters,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the ledger of a chunk that ends has not told, and tells it if it is time.
    pub(super) async fn tell<S: SegmentStore>(&self, ledger: &Ledger<'_>, store: &S) {
        let Some((done, time)) = ledger.take() else {
            return;
        };
        let is_due = {
            let mut state = self.lock();
            let since = Instant::now().checked_sub(time);
            let since = since.unwrap_or_else(Instant::now);
            let segment = ledger.segment();
            let untold = state.untold.get_or_insert(Untold {
                since,
                segment,
                done: Counters::default(),
            });
            untold.since = untold.since.min(since);
            untold.segment = segment;
            untold.done += done;
            untold.since.elapsed() >= ledger.least()
        };
        if is_due {
            self.tell_all(ledger.run(), store).await;
        }
    }

    /// Counts a segment that is exhausted, with others that are, if it is time. Each once and never again: a segment that is
    /// not counted leaves the others a smaller share of the budget, one that is counted twice a larger one.
    pub(super) async fn count<S: SegmentStore>(&self, run: &RunRecord, segment: u32, store: &S) {
        let is_due = {
            let mut state = self.lock();
            let shard = shard_of(segment, run.shards);
            *state.uncounted.entry(shard).or_default() += 1;
            let counted = *state.counted.get_or_insert_with(Instant::now);
            counted.elapsed() >= COUNT_EVERY
        };
        if is_due {
            self.count_all(run, store).await;
        }
    }

    /// Adds an exhausted segment to the sums of its pass, with others that are, if it is time.
    pub(super) async fn sum_up<S: SegmentStore>(
        &self,
        run: &RunRecord,
        record: &SegmentRecord,
        store: &S,
    ) {
        let Some(blocks) = run.blocks(run.pass) else {
            return;
        };
        let is_due = {
            let mut state = self.lock();
            let (block, place) = blocks.place(record.segment);
            let of_block = state.unsummed.entry(block).or_default();
            of_block.push((place, record.clone()));
            let summed = *state.summed.get_or_insert_with(Instant::now);
            summed.elapsed() >= SUM_EVERY
        };
        if is_due {
            self.sum_up_all(run, store).await;
        }
    }

    /// Adds what is left to the sums. What cannot be added stays out of them: such a segment counts as open, is claimed once more,
    /// found exhausted, and added then.
    async fn sum_up_all<S: SegmentStore>(&self, run: &RunRecord, store: &S) {
        let unsummed = {
            let mut state = self.lock();
            state.summed = Some(Instant::now());
            std::mem::take(&mut state.unsummed)
        };
        let adding = stream::iter(unsummed)
            .map(|(block, segments)| async move {
                let of = segments.iter().map(|(place, record)| (*place, record));
                if !add(store, run, &BlockSum::of(block, of)).await && segments.len() > 1 {
                    for (place, record) in &segments {
                        add(store, run, &BlockSum::of(block, [(*place, record)])).await;
                    }
                }
            })
            .buffer_unordered(SUMS_AT_ONCE);
        adding.collect::<()>().await;
    }

    /// Tells and counts whatever is left of this run.
    pub(super) async fn settle<S: SegmentStore>(&self, run: &RunRecord, store: &S) {
        self.sum_up_all(run, store).await;
        self.count_all(run, store).await;
        self.tell_all(run, store).await;
    }

    async fn count_all<S: SegmentStore>(&self, run: &RunRecord, store: &S) {
        let uncounted = {
            let mut state = self.lock();
            state.counted = Some(Instant::now());
            std::mem::take(&mut state.uncounted)
        };
        let count = |(shard, segments)| store.count_exhausted(run, shard, segments);
        // No error ends it, and none is tried again.
        let once = Until::after(Duration::ZERO);
        let counting = retry_each(&once, uncounted, count);
        match tokio::time::timeout(PATIENCE, counting).await {
            Ok(Ok(_)) => {}
            _ => tracing::debug!("some exhausted segments may not be counted"),
        }
    }

    /// Adds what is left to the history. An error is no error of the run, and it is not tried again: it may have been carried
    /// out, and would then count twice.
    async fn tell_all<S: SegmentStore>(&self, run: &RunRecord, store: &S) {
        let Some(untold) = self.lock().untold.take() else {
            return;
        };
        let flush = Flush {
            at_ms: now_ms(),
            seconds: untold.since.elapsed().as_secs_f64(),
            done: untold.done,
        };
        let adding = store.add_to_history(run, untold.segment, &flush);
        match tokio::time::timeout(FLUSH_PATIENCE, adding).await {
            Ok(Ok(())) => {}
            _ => tracing::debug!("part of the history is lost"),
        }
    }
}
