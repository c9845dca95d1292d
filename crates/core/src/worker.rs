//! The worker: one segment for one time box. Scan a page, write its pending items, checkpoint, again.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{Counters, Cursor, SegmentRecord};
use crate::planner::load;
use crate::ports::{
    Outcome, Page, PageRequest, SegmentStore, TableReader, TableWriter, Write, WriteAccess,
};
use crate::retry::{PATIENCE, Until, retry, retry_until};
use crate::value::with_sorted_sets;
use crate::{Error, ErrorKind, Key, Result};

/// Items evaluated per page. Bounds what a crash repeats and how long a page takes. Of items of 300 B that is
/// 300 kB, so that the read units lost to rounding (half a unit a page) stay below 2 %.
const PAGE_LIMIT: u32 = 1_000;

/// Conditional writes in flight per worker.
const WRITES_IN_FLIGHT: usize = 16;

/// The trial chunk looks no further than this many pages for an item to try the update on.
const TRIAL_PAGES: u32 = 10;

/// How long a checkpoint is tried again, also beyond the time box. A caller with a hard end (Lambda) must
/// leave this much time between `latest` and that end.
pub const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the trial's check is tried again; like [`CHECKPOINT_PATIENCE`], also beyond the time box.
pub const TRIAL_PATIENCE: Duration = Duration::from_secs(10);

/// Write units of the trial's check, at least: "two database reads or writes" for each item in a transaction
/// (developer guide, Capacity management for transactions).
const CHECK_WCU: f64 = 2.0;

/// How often a worker looks whether the run still is its owner's and goes on.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a worker is asked for: the next chunk of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    pub run_id: String,
    pub pass: u32,
    pub segment: u32,
    /// Who asks: the owner of the run.
    pub owner: String,
    /// A short chunk that ends with the page on which one item has shown that the update extinguishes the
    /// predicate.
    pub trial: bool,
}

/// What a worker returns. Never per-item data: Step Functions carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkReport {
    /// The segment is exhausted.
    pub done: bool,
    /// Holds the LastEvaluatedKey to go on from; the checkpoint table has it as well.
    pub cursor: Cursor,
    /// Totals of the segment in this pass.
    pub counters: Counters,
}

/// Migrates segments of the tables of `access`, with checkpoints in `store`.
pub struct Worker<A, S> {
    pub access: A,
    pub store: S,
}

impl<A: WriteAccess, S: SegmentStore> Worker<A, S> {
    /// Works on one segment until it is exhausted, the time box of the run or `latest` is over, or `stop` is
    /// cancelled. Running out of time is not an error: the report says how far it came.
    ///
    /// Errors: `Fenced` where another worker has claimed the segment since; `UpdateDoesNotExtinguish`;
    /// whatever the table refuses. The work that was acknowledged before an error is checkpointed.
    pub async fn work(
        &self,
        chunk: &Chunk,
        latest: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<ChunkReport> {
        let begin = Instant::now();
        let run = load(&self.store, &chunk.run_id, chunk.pass, &chunk.owner).await?;
        if chunk.segment >= run.settings.total_segments {
            return Err(Error::invalid(
                "segment",
                format!(
                    "{} is outside 0..{} of run {}",
                    chunk.segment,
                    run.settings.total_segments - 1,
                    run.run_id
                ),
            ));
        }
        let time_box = begin + Duration::from_secs(run.settings.time_box_seconds);
        let until = Until {
            deadline: latest.map_or(time_box, |latest| latest.min(time_box)),
            stop: stop.clone(),
        };
        let record = retry(&Until::after(PATIENCE), || {
            self.store.claim(&run, chunk.segment)
        })
        .await?;
        let segment = Segment {
            reader: self.access.reader(&run.spec, &run.keys),
            writer: self.access.writer(&run.spec, &run.keys),
            store: &self.store,
            total_segments: run.settings.total_segments,
            owner: &chunk.owner,
            until,
        };
        segment.sweep(record, chunk.trial).await.map_err(|error| {
            error.context(format!(
                "table {}, segment {} of {}, run {}",
                run.spec.table, chunk.segment, run.settings.total_segments, run.run_id
            ))
        })
    }
}

/// A claimed segment with all that is needed to work on it.
struct Segment<'a, R, W, S> {
    reader: R,
    writer: W,
    store: &'a S,
    total_segments: u32,
    owner: &'a str,
    until: Until,
}

/// What became of the items of a page.
struct PageResult {
    counters: Counters,
    /// Every item is acknowledged.
    whole: bool,
    failure: Option<Error>,
    /// An updated item was seen to be pending no longer.
    trial_passed: bool,
}

impl<R: TableReader, W: TableWriter, S: SegmentStore> Segment<'_, R, W, S> {
    /// The loop: page, writes, checkpoint. The cursor moves only over pages of which every item is acknowledged
    /// (promise: no-gap).
    async fn sweep(&self, mut record: SegmentRecord, trial_only: bool) -> Result<ChunkReport> {
        let mut pages = 0;
        let mut looked = Instant::now();
        while record.cursor != Cursor::Exhausted && !self.until.is_over() {
            if trial_only && (record.trial_passed || pages == TRIAL_PAGES) {
                break;
            }
            // Whoever stops or takes over the run should not have to wait for the end of a time box.
            if looked.elapsed() >= LOOK_EVERY {
                load(self.store, &record.run_id, record.pass, self.owner).await?;
                looked = Instant::now();
            }
            let Some(page) = self.read(&record).await? else {
                break;
            };
            // Every segment tries the pair on the first item that it updates.
            let result = self.write(&page, record.trial_passed).await;
            record.trial_passed |= result.trial_passed;
            record.counters += result.counters;
            record.counters.consumed_rcu += page.consumed_rcu;
            if result.whole {
                record.counters.scanned += page.scanned;
                record.cursor = Cursor::after_page(page.next);
            }
            self.checkpoint(&record).await?;
            if let Some(error) = result.failure {
                return Err(error);
            }
            if !result.whole {
                break;
            }
            pages += 1;
        }
        Ok(ChunkReport {
            done: record.cursor == Cursor::Exhausted,
            cursor: record.cursor,
            counters: record.counters,
        })
    }

    /// The next page; `None` where the time is over.
    async fn read(&self, record: &SegmentRecord) -> Result<Option<Page>> {
        retry_until(&self.until, || {
            self.reader.page(PageRequest {
                segment: record.segment,
                total_segments: self.total_segments,
                after: record.cursor.start_key(),
                limit: PAGE_LIMIT,
                consistent: false,
            })
        })
        .await
    }

    /// Saves the checkpoint, also when the time is over or the operator stops us: what is done must be
    /// remembered.
    async fn checkpoint(&self, record: &SegmentRecord) -> Result<()> {
        retry(&Until::after(CHECKPOINT_PATIENCE), || {
            self.store.checkpoint(record)
        })
        .await
    }

    /// Writes the pending items of a page, several at once, and waits for every write that was begun. After an error
    /// none is begun any more. Whoever reads the page again finds only what was left: an item that was written
    /// matches no longer.
    async fn write(&self, page: &Page, trial_passed: bool) -> PageResult {
        let mut result = PageResult {
            counters: Counters::default(),
            whole: true,
            failure: None,
            trial_passed,
        };
        let mut rest = page.pending.iter();
        while result.whole && !result.trial_passed {
            let Some(key) = rest.next() else { break };
            match self.write_and_try(key).await {
                Ok((write, trial)) => {
                    result.take(key, Ok(write));
                    match trial {
                        Trial::Passed => result.trial_passed = true,
                        Trial::Open => {}
                        Trial::Failed(error) => result.fail(error),
                    }
                }
                Err(error) => result.fail(error),
            }
        }
        let failed = AtomicBool::new(!result.whole);
        let mut writes = stream::iter(rest)
            .map(|key| {
                let failed = &failed;
                async move {
                    if failed.load(Ordering::Relaxed) {
                        return (key, Ok(None));
                    }
                    let write = self.write_one(key).await;
                    failed.fetch_or(write.is_err(), Ordering::Relaxed);
                    (key, write)
                }
            })
            .buffer_unordered(WRITES_IN_FLIGHT);
        while let Some((key, write)) = writes.next().await {
            result.take(key, write);
        }
        drop(writes);
        if !result.whole {
            // A rejected item still matches and is tried again with its page: it counts when the page is whole.
            result.counters.matched -= result.counters.rejected;
            result.counters.rejected = 0;
        }
        result
    }

    /// One conditional write. `None`: not begun, or not acknowledged before the time was over.
    async fn write_one(&self, key: &Key) -> Result<Option<Write>> {
        self.attempt(key, || self.writer.update(key)).await
    }

    /// A write after which `P` must be false, or going on would touch every item for nothing. What is still
    /// pending is held against what was written, since a live writer may have come in between.
    async fn write_and_try(&self, key: &Key) -> Result<(Option<Write>, Trial)> {
        let shown = self
            .attempt(key, || self.writer.update_and_show(key))
            .await?;
        let (mut write, written) = match shown {
            Some((write, Some(written))) => (write, written),
            Some((write, None)) => return Ok((Some(write), Trial::Open)),
            None => return Ok((None, Trial::Open)),
        };
        let checked = retry(&Until::after(TRIAL_PATIENCE), || {
            self.writer.pending_item(key)
        })
        .await;
        write.consumed_wcu += CHECK_WCU;
        let trial = match checked {
            Ok(None) => Trial::Passed,
            Ok(Some(found)) if with_sorted_sets(found.clone()) != with_sorted_sets(written) => {
                Trial::Open
            }
            Ok(Some(_)) => Trial::Failed(Error::new(
                ErrorKind::UpdateDoesNotExtinguish,
                format!(
                    "the update does not extinguish its predicate: the item with key {key} was updated and is \
                     still pending; change update or pending so that an updated item no longer matches"
                ),
            )),
            Err(error) => Trial::Failed(error.context(format!("trying the update on key {key}"))),
        };
        Ok((Some(write), trial))
    }

    async fn attempt<T, F, Fut>(&self, key: &Key, write: F) -> Result<Option<T>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        if self.until.is_over() {
            return Ok(None);
        }
        retry_until(&self.until, write)
            .await
            .map_err(|error| error.context(format!("key {key}")))
    }
}

/// What a written item says about the pair of predicate and update.
enum Trial {
    /// `P` is false now.
    Passed,
    /// Nothing: it was not ours to write, or a live writer has changed it since.
    Open,
    /// `P` is still true for what we wrote, or that could not be found out. The write is acknowledged all the same.
    Failed(Error),
}

impl PageResult {
    /// Ends the page with an error.
    fn fail(&mut self, error: Error) {
        self.whole = false;
        self.failure.get_or_insert(error);
    }

    /// Takes note of one item's result.
    fn take(&mut self, key: &Key, write: Result<Option<Write>>) {
        let write = match write {
            Ok(Some(write)) => write,
            Ok(None) => {
                self.whole = false;
                return;
            }
            Err(error) => return self.fail(error),
        };
        self.counters.matched += 1;
        self.counters.consumed_wcu += write.consumed_wcu;
        match write.outcome {
            Outcome::Updated => self.counters.updated += 1,
            Outcome::Raced => self.counters.raced += 1,
            Outcome::Vanished => self.counters.vanished += 1,
            Outcome::Rejected(reason) => {
                tracing::warn!(%key, reason, "DynamoDB refuses this item's update for good");
                self.counters.rejected += 1;
            }
        }
    }
}
