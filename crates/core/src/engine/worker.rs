//! The worker: one segment for one time box. Pages are read ahead, written several batches at once, and checkpointed in
//! their order.

mod ledger;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::engine::metrics::Reporter;
use crate::engine::ownership::{LOOK_EVERY, load};
use crate::pace::retry::{PATIENCE, Until, retry, retry_until};
use crate::pace::{Budget, Share};
use crate::pace::{MAX_WINDOW, Pace};
use crate::ports::{
    Batch, Outcome, Page, PageRequest, SegmentStore, TableReader, TableWriter, Write, WriteAccess,
};
use crate::records::{Counters, Cursor, Owner, Rejected, RunRecord, SegmentRecord};
use crate::value::with_sorted_sets;
use crate::{Error, ErrorKind, Item, Key, Result};

pub use self::ledger::FLUSH_PATIENCE;
use self::ledger::Recorder;

/// Most items evaluated per page. Bounds what a crash repeats, the memory of a segment, and how long a page takes. Of
/// items of 300 B that is 300 kB, so that the read units lost to rounding (half a unit a page) stay below 2 %.
const PAGE_LIMIT: u32 = 1_000;

/// Pages in work at once: while one is written to its end, the next is begun.
const PAGES_IN_WORK: usize = 2;

/// A page should be written within this many seconds of the present rate, so that checkpoints stay frequent; but it
/// holds this many items, or reading costs too much.
const PAGE_SECONDS: f64 = 5.0;
const LEAST_PER_PAGE: u32 = 25;

/// The trial chunk looks no further than this many pages for an item to try the update on.
const TRIAL_PAGES: u32 = 10;

/// The same where DynamoDB has refused every update so far.
const SUSPICIOUS_TRIAL_PAGES: u32 = 100;

/// Where DynamoDB refuses the update of so many items before it has accepted one, it will refuse all.
const HOPELESS: u64 = 25;

/// Records of rejected items that are written at the same time.
const REJECTED_AT_ONCE: usize = 32;

/// How long a checkpoint, and before it the records of rejected items, are tried again, also beyond the time box. A
/// caller with a hard end (Lambda) must leave this much time for each between `latest` and that end.
pub const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the trial's check is tried again; like [`CHECKPOINT_PATIENCE`], also beyond the time box.
pub const TRIAL_PATIENCE: Duration = Duration::from_secs(10);

/// Write units of the trial's check, at least: "two database reads or writes" for each item in a transaction
/// (developer guide, Capacity management for transactions).
const CHECK_WCU: f64 = 2.0;

/// What a worker is asked for: the next chunk of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    pub run_id: String,
    pub pass: u32,
    pub segment: u32,
    /// Who asks: the owner of the run.
    pub owner: Owner,
    /// A short chunk that ends with the page on which one item has shown that the update extinguishes the
    /// predicate.
    pub trial: bool,
}

/// Chunks that one child execution of Step Functions makes of a segment before another one goes on with it: at 7 events a
/// chunk less than half of the 25,000 events that an execution's history may have, should the word to hand over be lost
/// once.
pub const CHUNKS_PER_CHILD: u64 = 1_500;

/// What a worker returns. Never per-item data: Step Functions carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkReport {
    /// The segment is exhausted.
    pub done: bool,
    /// It is not, and this execution has made enough of its chunks: another one is to go on.
    pub hand_over: bool,
    /// Holds the LastEvaluatedKey to go on from; the checkpoint table has it as well.
    pub cursor: Cursor,
    /// Totals of the segment in this pass.
    pub counters: Counters,
}

/// Migrates segments of the tables of `access`, with checkpoints in `store`.
pub struct Worker<A, S> {
    access: A,
    store: S,
    budget: Budget,
}

impl<A: WriteAccess, S: SegmentStore> Worker<A, S> {
    /// A worker whose segments together use this share of the run's budget.
    pub fn new(access: A, store: S, share: Share) -> Self {
        Worker {
            access,
            store,
            budget: Budget::new(share),
        }
    }

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
        if run.settings.dry_run {
            return Err(Error::invalid(
                "run_id",
                format!(
                    "{} is a dry run, which has no work for a worker",
                    run.run_id
                ),
            ));
        }
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
            // Its own, so that it can stop itself without stopping others.
            stop: stop.child_token(),
        };
        let mut record = retry(&Until::after(PATIENCE), || {
            self.store.claim(&run, chunk.segment)
        })
        .await?;
        self.follow(&run).await?;
        let writer = self
            .access
            .writer(&run.spec, &run.keys, run.settings.writer);
        let before = record.counters;
        let reporter = Reporter::new(&run, &before);
        let segment = Segment {
            reader: self.access.reader(&run.spec, &run.keys),
            store: &self.store,
            total_segments: run.settings.total_segments,
            pace: Pace::new(
                &self.budget,
                writer.batch_size(),
                per_item(record.counters.consumed_wcu, record.counters.matched),
                per_item(record.counters.consumed_rcu, record.counters.scanned),
            ),
            begin,
            until,
            writer,
            rejection: Rejection::new(run.settings.max_rejected, run.settings.max_concurrency),
            reporter: &reporter,
        };
        let mut history = Recorder::new(&run, &record.counters);
        // Once items were updated, what is left to a later pass may well be nothing but those that are refused.
        let may_be_hopeless = chunk.trial && run.pass == run.first_pass;
        let swept = {
            let sweep = segment.sweep(&mut record, &mut history, chunk.trial, may_be_hopeless);
            tokio::pin!(sweep);
            tokio::select! {
                swept = &mut sweep => swept,
                // Whoever stops or takes over the run should not have to wait for the end of a time box.
                error = self.watch(chunk, &reporter) => {
                    segment.until.stop.cancel();
                    // What is in flight is still waited for and checkpointed, if the segment is still ours.
                    sweep.await.and(Err(error))
                }
                never = reporter.report_regularly() => match never {},
            }
        };
        segment.flush(&mut history, &record).await;
        let done = record.cursor == Cursor::Exhausted;
        reporter.report(match done {
            true => self.segments_done(&run).await,
            false => None,
        });
        swept.map_err(|error| {
            error.context(format!(
                "table {}, segment {} of {}, run {}",
                run.spec.table, chunk.segment, run.settings.total_segments, run.run_id
            ))
        })?;
        let did = record.counters - before;
        tracing::info!(
            run_id = chunk.run_id,
            pass = chunk.pass,
            segment = chunk.segment,
            trial = chunk.trial,
            done,
            scanned = did.scanned,
            matched = did.matched,
            updated = did.updated,
            raced = did.raced,
            vanished = did.vanished,
            rejected = did.rejected,
            throttles = did.throttles,
            consumed_wcu = did.consumed_wcu,
            consumed_rcu = did.consumed_rcu,
            seconds = begin.elapsed().as_secs_f64(),
            bound_by = record.bound_by.name(),
            "chunk ended"
        );
        Ok(ChunkReport {
            done,
            hand_over: !done && record.generation.is_multiple_of(CHUNKS_PER_CHILD),
            cursor: record.cursor,
            counters: record.counters,
        })
    }

    /// Looks every few seconds whether the run still is its owner's and goes on, and at what rate. Returns when it
    /// does not.
    async fn watch(&self, chunk: &Chunk, reporter: &Reporter<'_>) -> Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looked = async {
                let run = load(&self.store, &chunk.run_id, chunk.pass, &chunk.owner).await?;
                reporter.follow(&run.settings);
                self.follow(&run).await
            };
            if let Err(error) = looked.await {
                return error;
            }
        }
    }

    /// How many segments of the pass are exhausted; `None` where that cannot be found out at once, and where whoever drives
    /// the run in this process knows it anyway.
    async fn segments_done(&self, run: &RunRecord) -> Option<u32> {
        if !self.budget.is_shared() {
            return None;
        }
        let count = self.store.exhausted(&run.run_id, run.pass);
        tokio::time::timeout(FLUSH_PATIENCE, count).await.ok()?.ok()
    }

    /// Takes the budget from the run as it stands now.
    async fn follow(&self, run: &RunRecord) -> Result<()> {
        let settings = &run.settings;
        let exhausted = if self.budget.is_shared()
            && (settings.max_wcu.is_some() || settings.max_rcu.is_some())
        {
            retry(&Until::after(PATIENCE), || {
                self.store.exhausted(&run.run_id, run.pass)
            })
            .await?
        } else {
            0
        };
        self.budget.set(settings, exhausted);
        Ok(())
    }
}

fn per_item(units: f64, items: u64) -> Option<f64> {
    (units > 0.0 && items > 0).then(|| units / items as f64)
}

/// A claimed segment with all that is needed to work on it.
struct Segment<'a, R, W, S> {
    reader: R,
    writer: W,
    store: &'a S,
    total_segments: u32,
    pace: Pace<'a>,
    begin: Instant,
    until: Until,
    rejection: Rejection,
    reporter: &'a Reporter<'a>,
}

/// When to look how many items were rejected in the whole pass: not at every one, but more often the nearer the limit.
struct Rejection {
    max: u64,
    /// How many more there may be, as of the last look.
    room: AtomicU64,
    /// How many were added here since.
    since: AtomicU64,
    /// Others that may add as many meanwhile.
    workers: u64,
}

impl Rejection {
    fn new(max: u32, workers: u32) -> Self {
        Rejection {
            max: max.into(),
            // The first one that is rejected looks.
            room: AtomicU64::new(0),
            since: AtomicU64::new(0),
            workers: workers.into(),
        }
    }
}

/// What became of the items of a page.
#[derive(Default)]
struct PageResult {
    segment: u32,
    scanned: u64,
    next: Option<Key>,
    counters: Counters,
    /// Not every item is acknowledged.
    cut: bool,
    failure: Option<Error>,
    /// An updated item was seen to be pending no longer.
    trial_passed: bool,
    /// Items whose update DynamoDB refuses for good, also where the page is `cut`.
    rejected: Vec<Rejected>,
}

impl<R: TableReader, W: TableWriter, S: SegmentStore> Segment<'_, R, W, S> {
    /// Sweeps the segment from its cursor on. A trial ends with the page on which an item has passed it.
    async fn sweep(
        &self,
        record: &mut SegmentRecord,
        history: &mut Recorder,
        trial_only: bool,
        may_be_hopeless: bool,
    ) -> Result<()> {
        let worked_before = record.counters.worked_seconds;
        let mut pages = 0;
        while record.cursor != Cursor::Exhausted && !self.until.is_over() {
            let counters = &record.counters;
            let suspicious = may_be_hopeless && counters.updated == 0 && counters.rejected > 0;
            let trial_pages = if suspicious {
                SUSPICIOUS_TRIAL_PAGES
            } else {
                TRIAL_PAGES
            };
            if trial_only && (record.trial_passed || pages >= trial_pages) {
                break;
            }
            // Every segment tries the pair on the first item that it updates, and writes no other before.
            let most = if trial_only || !record.trial_passed {
                1
            } else {
                usize::MAX
            };
            pages += 1;
            self.pages(record, history, most, worked_before, may_be_hopeless)
                .await?;
        }
        Ok(())
    }

    /// The pipeline. Pages are read one after the other, ahead of those in work; their results come back in page order,
    /// so that the cursor moves only over pages of which every item is acknowledged (promise: no-gap). While a
    /// checkpoint is saved, reading and writing go on.
    async fn pages(
        &self,
        record: &mut SegmentRecord,
        history: &mut Recorder,
        most: usize,
        worked_before: f64,
        may_be_hopeless: bool,
    ) -> Result<()> {
        let trial_passed = record.trial_passed;
        // Rejected before, and none accepted.
        let in_vain =
            (may_be_hopeless && record.counters.updated == 0).then_some(record.counters.rejected);
        let segment = record.segment;
        let pages = stream::unfold(record.cursor.clone(), move |cursor| {
            self.read(segment, cursor)
        });
        let mut results = std::pin::pin!(
            pages
                .take(most)
                .map(|page| self.write(page, segment, trial_passed, in_vain))
                .buffered(PAGES_IN_WORK)
        );
        let mut cut = false;
        let mut failure = None;
        let mut written: Vec<PageResult> = results.next().await.into_iter().collect();
        let mut over = written.is_empty();
        while !written.is_empty() {
            let mut rejected = Vec::new();
            for mut result in written.drain(..) {
                cut |= result.cut;
                rejected.append(&mut result.rejected);
                failure = failure.or(result.failure.take());
                result.add_to(record, cut);
            }
            let review = self.pace.review();
            record.bound_by = review.bound_by;
            record.counters.throttles += review.throttles;
            if let Some(throttled_by) = review.throttled_by {
                tracing::info!(
                    segment,
                    throttles = review.throttles,
                    throttled_by,
                    "the table throttles"
                );
                record.throttled_by = Some(throttled_by);
            }
            record.counters.checkpoints += 1;
            record.counters.worked_seconds = worked_before + self.begin.elapsed().as_secs_f64();
            let mut saving = std::pin::pin!(async {
                let too_many = self.checkpoint(record, &rejected).await?;
                history.saved(&record.counters);
                self.reporter.saved(&record.counters);
                if history.is_due() {
                    self.flush(history, record).await;
                }
                Ok::<_, Error>(too_many)
            });
            loop {
                tokio::select! {
                    saved = &mut saving => {
                        if let Some(too_many) = saved? {
                            self.until.stop.cancel();
                            failure = failure.or(Some(too_many));
                        }
                        break;
                    }
                    result = results.next(), if !over => match result {
                        Some(result) => written.push(result),
                        None => over = true,
                    },
                }
            }
            if written.is_empty() && !over {
                written.extend(results.next().await);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The page behind `cursor`, and the cursor behind that page. `None` where there is none, or where the time is over.
    async fn read(
        &self,
        segment: u32,
        cursor: Cursor,
    ) -> Option<(Result<(Page, SemaphorePermit<'_>)>, Cursor)> {
        if cursor == Cursor::Exhausted || self.until.is_over() {
            return None;
        }
        let room = self.pace.room_for_page(&self.until).await?;
        let writable = self.pace.items_in(PAGE_SECONDS) as u32;
        let limit = writable.clamp(LEAST_PER_PAGE, PAGE_LIMIT);
        let limit = self.pace.items_per_read(limit);
        let request = PageRequest {
            segment,
            total_segments: self.total_segments,
            after: cursor.start_key(),
            limit,
            consistent: false,
        };
        let read = retry_until(
            &self.until,
            || self.pace.read(limit, &self.until),
            |turn| self.pace.page(turn, &self.reader, request),
        );
        match read.await {
            Ok(page) => {
                let page = page?;
                let next = Cursor::after_page(page.next.clone());
                Some((Ok((page, room)), next))
            }
            // Nothing is read behind an error.
            Err(error) => Some((Err(error), Cursor::Exhausted)),
        }
    }

    /// Saves the checkpoint, also when the time is over or the operator stops us: what is done must be
    /// remembered. The rejected items come first, so that none is counted and not recorded. Returns an error
    /// where the pass has too many of them.
    async fn checkpoint(
        &self,
        record: &SegmentRecord,
        rejected: &[Rejected],
    ) -> Result<Option<Error>> {
        let (run_id, pass) = (&record.run_id, record.pass);
        let until = Until::after(CHECKPOINT_PATIENCE);
        let until = &until;
        stream::iter(rejected)
            .map(|item| retry(until, move || self.store.reject(run_id, pass, item)))
            .buffer_unordered(REJECTED_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let until = Until::after(CHECKPOINT_PATIENCE);
        retry(&until, || self.store.checkpoint(record)).await?;
        let Some(last) = rejected.last() else {
            return Ok(None);
        };
        let Rejection {
            max,
            room,
            since,
            workers,
        } = &self.rejection;
        let new = rejected.len() as u64;
        let since_look = since.fetch_add(new, Ordering::Relaxed) + new;
        if since_look * 2 * workers < room.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let count = retry(&until, || self.store.rejected_count(run_id, pass)).await?;
        since.store(0, Ordering::Relaxed);
        room.store(max.saturating_sub(count), Ordering::Relaxed);
        Ok((count > *max).then(|| {
            Error::new(
                ErrorKind::TooManyRejected,
                format!(
                    "DynamoDB refuses the update of {count} items for good, more than max_rejected = {max}, such as that of \
                     key {}: {}; list them with: backfill rejected --run-id {run_id}",
                    last.key, last.reason
                ),
            )
        }))
    }

    /// Adds what was checkpointed since the last time to the history of the run. That is for a chart: an error is no error of
    /// the run, and it is not tried again.
    async fn flush(&self, history: &mut Recorder, record: &SegmentRecord) {
        let Some(flush) = history.take() else { return };
        let adding = self
            .store
            .add_to_history(&record.run_id, record.pass, &flush);
        match tokio::time::timeout(FLUSH_PATIENCE, adding).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = error.report(), "part of the history is lost");
            }
            Err(_) => tracing::debug!("part of the history is lost: no answer in time"),
        }
    }

    /// Writes the pending items of a page, several batches at once, and waits for every write that was begun. After an
    /// error none is begun any more, of this page or another. Whoever reads the page again finds only what was left: an
    /// item that was written matches no longer.
    async fn write(
        &self,
        page: Result<(Page, SemaphorePermit<'_>)>,
        segment: u32,
        trial_passed: bool,
        in_vain: Option<u64>,
    ) -> PageResult {
        let mut result = PageResult {
            segment,
            trial_passed,
            ..PageResult::default()
        };
        let (page, _room) = match page {
            Ok(page) => page,
            Err(error) => {
                self.fail(&mut result, error);
                return result;
            }
        };
        result.scanned = page.scanned;
        result.next = page.next;
        result.counters.consumed_rcu = page.consumed_rcu;
        let mut rest = &page.pending[..];
        while !result.cut && !result.trial_passed {
            let Some((key, others)) = rest.split_first() else {
                break;
            };
            rest = others;
            self.write_and_try(key, &mut result).await;
            let hopeless = |before| {
                result.counters.updated == 0 && before + result.counters.rejected >= HOPELESS
            };
            if in_vain.is_some_and(hopeless)
                && let Some(last) = result.rejected.last()
            {
                let error = Error::new(
                    ErrorKind::TooManyRejected,
                    format!(
                        "DynamoDB refuses the update of each of the first {HOPELESS} items for good, such as that of key \
                         {}: {}; change update, or pending so that it leaves such items out",
                        last.key, last.reason
                    ),
                );
                self.fail(&mut result, error);
            }
        }
        if result.cut {
            return result;
        }
        let batches = stream::unfold(rest, |rest| async move {
            let most = self.pace.items_per_write(self.writer.batch_size());
            let (batch, rest) = rest.split_at(most.min(rest.len()));
            (!batch.is_empty()).then_some((batch, rest))
        });
        let mut written = std::pin::pin!(
            batches
                .map(|keys| async move { (keys, self.write_batch(keys).await) })
                .buffer_unordered(MAX_WINDOW)
        );
        while let Some((keys, batch)) = written.next().await {
            result.counters.consumed_wcu += batch.consumed_wcu;
            for (key, outcome) in keys.iter().zip(batch.outcomes) {
                self.take(&mut result, key, outcome);
            }
        }
        result
    }

    /// One request of guarded updates. What it leaves open for a single item, that item's own UpdateItem settles: it
    /// says why the table throttles, and is the judge of what is valid.
    async fn write_batch(&self, keys: &[Key]) -> BatchResult {
        let sent = self.attempt(keys.len(), || self.writer.update_batch(keys));
        let mut result = match sent.await {
            Ok(Some(batch)) => BatchResult {
                outcomes: batch.outcomes.into_iter().map(|o| o.map(Some)).collect(),
                consumed_wcu: batch.consumed_wcu,
            },
            Ok(None) => BatchResult {
                outcomes: keys.iter().map(|_| Ok(None)).collect(),
                consumed_wcu: 0.0,
            },
            Err(error) => {
                let of_keys = match keys {
                    [key] => format!("key {key}"),
                    [first, ..] => format!("{} keys from {first} on", keys.len()),
                    [] => "no key".into(),
                };
                let mut outcomes = vec![Err(error.context(of_keys))];
                outcomes.resize_with(keys.len(), || Ok(None));
                return BatchResult {
                    outcomes,
                    consumed_wcu: 0.0,
                };
            }
        };
        let left_open = |outcome: &Result<Option<Outcome>>| {
            let kind = outcome.as_ref().err().map(Error::kind);
            kind.is_some_and(|kind| {
                let of_partiql = [ErrorKind::InvalidSpec, ErrorKind::AccessDenied];
                kind.is_retryable() || of_partiql.contains(&kind)
            })
        };
        let open: Vec<usize> = (0..keys.len())
            .filter(|&i| left_open(&result.outcomes[i]))
            .collect();
        let mut alone = stream::iter(open)
            .map(|i| async move { (i, self.write_alone(&keys[i]).await) })
            .buffer_unordered(MAX_WINDOW);
        while let Some((i, written)) = alone.next().await {
            result.outcomes[i] = written.map(|write| {
                let write = write?;
                result.consumed_wcu += write.consumed_wcu;
                Some(write.outcome)
            });
        }
        drop(alone);
        result
    }

    /// One guarded update by itself. `None`: not begun, or not acknowledged before the time was over.
    async fn write_alone(&self, key: &Key) -> Result<Option<Write>> {
        self.attempt(1, || self.writer.update(key))
            .await
            .map_err(|error| error.context(format!("key {key}")))
    }

    /// A write after which `P` must be false, or going on would touch every item for nothing. What is still
    /// pending is held against what was written, since a live writer may have come in between.
    async fn write_and_try(&self, key: &Key, result: &mut PageResult) {
        let shown = self.attempt(1, || self.writer.update_and_show(key)).await;
        let (write, written) = match shown {
            Ok(Some((write, written))) => (write, written),
            Ok(None) => return self.take(result, key, Ok(None)),
            Err(error) => return self.fail(result, error.context(format!("key {key}"))),
        };
        result.counters.consumed_wcu += write.consumed_wcu;
        self.take(result, key, Ok(Some(write.outcome)));
        let Some(written) = written else { return };
        let checked = retry(&Until::after(TRIAL_PATIENCE), || {
            self.writer.pending_item(key)
        })
        .await;
        result.counters.consumed_wcu += CHECK_WCU;
        self.pace.extra_write(CHECK_WCU);
        match checked {
            Ok(None) => result.trial_passed = true,
            // A live writer has changed it since: that says nothing.
            Ok(Some(found)) if with_sorted_sets(found.clone()) != with_sorted_sets(written) => {}
            Ok(Some(_)) => self.fail(
                result,
                Error::new(
                    ErrorKind::UpdateDoesNotExtinguish,
                    format!(
                        "the update does not extinguish its predicate: the item with key {key} was updated and is \
                         still pending; change update or pending so that an updated item no longer matches"
                    ),
                ),
            ),
            // Whether it is still pending could not be found out. The write is acknowledged all the same.
            Err(error) => self.fail(
                result,
                error.context(format!("trying the update on key {key}")),
            ),
        }
    }

    /// Sends a write when its turn has come, and again where that may help. `None`: not begun, or not acknowledged
    /// before the time was over.
    async fn attempt<T, F, Fut>(&self, items: usize, write: F) -> Result<Option<T>>
    where
        T: Written,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        retry_until(
            &self.until,
            || self.pace.write(items, &self.until),
            async |turn| match write().await {
                Ok(written) => {
                    turn.end_write(written.consumed_wcu(), written.throttles());
                    Ok(written)
                }
                Err(error) => {
                    turn.failed(&error);
                    Err(error)
                }
            },
        )
        .await
    }

    /// Takes note of one item's result.
    fn take(&self, result: &mut PageResult, key: &Key, outcome: Result<Option<Outcome>>) {
        let counters = &mut result.counters;
        match outcome {
            Ok(Some(Outcome::Updated)) => counters.updated += 1,
            Ok(Some(Outcome::Raced)) => counters.raced += 1,
            Ok(Some(Outcome::Vanished)) => counters.vanished += 1,
            Ok(Some(Outcome::Rejected(reason))) => {
                tracing::info!(%key, reason, "DynamoDB refuses this item's update for good");
                counters.rejected += 1;
                result.rejected.push(Rejected {
                    segment: result.segment,
                    key: key.clone(),
                    reason,
                    at_ms: now_ms(),
                });
            }
            Ok(None) => {
                result.cut = true;
                return;
            }
            Err(error) => return self.fail(result, error),
        }
        counters.matched += 1;
    }

    /// Ends the page, and the sweep, with an error.
    fn fail(&self, result: &mut PageResult, error: Error) {
        result.cut = true;
        result.failure.get_or_insert(error);
        self.until.stop.cancel();
    }
}

impl PageResult {
    /// Adds what was done to the record; the cursor moves where neither this page nor one before it was `cut`.
    fn add_to(mut self, record: &mut SegmentRecord, cut: bool) {
        if cut {
            // A rejected item still matches and is tried again with its page: it counts when the page is whole.
            self.counters.matched -= self.counters.rejected;
            self.counters.rejected = 0;
        } else {
            self.counters.scanned = self.scanned;
            record.cursor = Cursor::after_page(self.next);
        }
        record.counters += self.counters;
        record.trial_passed |= self.trial_passed;
    }
}

/// What became of the keys of one request; `None` where it was not begun or not acknowledged in time.
struct BatchResult {
    outcomes: Vec<Result<Option<Outcome>>>,
    consumed_wcu: f64,
}

/// An answer to a write.
trait Written {
    fn consumed_wcu(&self) -> f64;
    /// Parts of it that the table throttled.
    fn throttles(&self) -> u64;
}

impl Written for Write {
    fn consumed_wcu(&self) -> f64 {
        self.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        0
    }
}

impl Written for (Write, Option<Item>) {
    fn consumed_wcu(&self) -> f64 {
        self.0.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        0
    }
}

impl Written for Batch {
    fn consumed_wcu(&self) -> f64 {
        self.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        let throttled = |outcome: &&Result<Outcome>| matches!(outcome, Err(error) if error.kind() == ErrorKind::Throttled);
        self.outcomes.iter().filter(throttled).count() as u64
    }
}
