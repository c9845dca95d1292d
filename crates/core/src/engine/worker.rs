//! The worker: one segment for one time box. Its checkpoint never moves past an item whose write is not acknowledged
//! (promise: no-gap), and a stale worker cannot move it (promise: one-owner).
//!
//! A chunk is a pipeline of pages (`sweep`). The pending items of a page are written several batches at once (`page`); the
//! first of them is tried alone (`trial`, `gate`) and looked at (`look`). One write is sent, and what became of it is noted for its
//! page (`result`), by `segment`. What DynamoDB refuses for good is recorded (`rejection`), what it refuses without saying why is
//! judged (`validity`), and what is checkpointed is told (`ledger`). What the segments of one process know
//! of their run is in `shared`, what they tell of themselves at once in `tally`, and the pace that they leave to others in `handed_on`.

mod gate;
mod handed_on;
mod ledger;
mod look;
mod page;
mod rejection;
mod result;
mod segment;
mod shared;
mod sweep;
mod tally;
mod trial;
mod validity;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::gate::Gate;
pub use self::handed_on::LastPace;
use self::ledger::Ledger;
pub use self::ledger::{FLUSH_PATIENCE, FLUSHES_PER_AGE};
use self::rejection::Rejections;
pub use self::segment::CHECKPOINT_PATIENCE;
use self::segment::Segment;
pub(crate) use self::segment::until_it_rests;
use self::shared::Shared;
pub use self::sweep::PAGE_LIMIT;
use self::sweep::Sweep;
use self::tally::Tally;
use self::trial::Trial;
pub(super) use self::validity::unless_busy;
use self::validity::{Accepted, Validity};
use crate::engine::canary::Quota;
use crate::engine::holds::Holds;
use crate::engine::ownership::{self, load_near, require};
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::pace::{Budget, Consistency, Pace, Share};
use crate::ports::{SegmentStore, TableWriter as _, WriteAccess};
use crate::records::{
    Counters, Cursor, FoundPace, Owner, RunRecord, SegmentRecord, likely_copy, shard_of,
};
use crate::request::Settings;
use crate::{Error, ErrorKind, Result};

/// What a worker is asked for: the next chunk of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The id of the run.
    pub run_id: String,
    /// Its current pass, from 1.
    pub pass: u32,
    /// The segment's number, from 0.
    pub segment: u32,
    /// Who asks: the owner of the run.
    pub owner: Owner,
    /// True for a short chunk that ends with the page on which one item has shown that the update extinguishes the
    /// predicate.
    pub trial: bool,
}

/// Chunks that one child execution of Step Functions makes of a segment before another one goes on with it. At 7 events a
/// chunk that is less than half of the 25,000 events that an execution's history may have (Step Functions quotas), should
/// the word to hand over be lost once.
pub const CHUNKS_PER_CHILD: u64 = 1_500;

/// What a worker returns. Never per-item data: Step Functions carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkReport {
    /// True if the segment is exhausted.
    pub done: bool,
    /// True if the segment is not exhausted and this execution has made enough of its chunks: another one is to go on.
    pub hand_over: bool,
    /// How far the segment has come, with the LastEvaluatedKey to go on from. The checkpoint table has it as well.
    pub cursor: Cursor,
    /// Totals of the segment in this pass.
    pub counters: Counters,
}

/// The course of a chunk.
struct Course {
    begin: Instant,
    until: Until,
    /// Segments of the pass that are known to be exhausted: never fewer than it has once counted.
    exhausted: AtomicU32,
    /// Paces that were found before, that of its own place first.
    paces: [Option<FoundPace>; 3],
}

/// Migrates segments of the tables of `access`, with checkpoints in `store`.
pub struct Worker<A, S> {
    pub(super) access: A,
    pub(super) store: S,
    pub(super) budget: Budget,
    accepted: Accepted,
    holds: Holds,
    shared: Shared,
    tally: Tally,
    gate: Gate,
    last: Arc<LastPace>,
}

impl<A: WriteAccess, S: SegmentStore> Worker<A, S> {
    /// A worker whose segments together use this share of the run's budget.
    pub fn new(access: A, store: S, share: Share) -> Self {
        Worker {
            access,
            store,
            budget: Budget::new(share),
            accepted: Accepted::default(),
            holds: Holds::default(),
            shared: Shared::default(),
            tally: Tally::default(),
            gate: Gate::default(),
            last: Arc::default(),
        }
    }

    /// The same in a process that has worked on chunks before, and will on others.
    pub fn going_on_from(mut self, last: &Arc<LastPace>) -> Self {
        self.last = last.clone();
        self
    }

    /// Begins to work on all segments of a round in this process. If it `needs_trial`, one item is tried at a time until one is shown
    /// to be right behind its update, and nothing else is written.
    pub(super) async fn begin_round(&self, needs_trial: bool) {
        self.gate.reset(needs_trial).await;
    }

    /// Whether the round needed a trial when it began, and no item is shown to be right behind its update yet.
    pub(super) fn needs_trial(&self) -> bool {
        self.gate.is_shut()
    }

    /// Works on one segment until it is exhausted, the time box of the run or `latest` is over, or `stop` is
    /// cancelled. Running out of time is not an error: the report says how far it came.
    ///
    /// Errors: `InvalidInput` if there is no such run or segment, or if the run is a dry run; `Fenced` if the run is
    /// another's or in another pass, or if another worker has claimed the segment since; `NotRunning` if the run was
    /// ended; `CanaryDone` if as many items are updated as it was to pause after; `UpdateDoesNotExtinguish`;
    /// `TooManyRejected`; `Held` if something holds the run for now; whatever the table refuses. The work that was acknowledged before an error is checkpointed.
    pub async fn work(
        &self,
        chunk: &Chunk,
        latest: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<ChunkReport> {
        let worked = self.try_to_work(chunk, latest, stop).await;
        if worked.is_err() {
            self.shared.forget_run();
        }
        worked
    }

    async fn try_to_work(
        &self,
        chunk: &Chunk,
        latest: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<ChunkReport> {
        let begin = Instant::now();
        let run = self.run_of(chunk).await?;
        refuse_foreign(chunk, &run)?;
        self.look_for_holds(&run).await?;
        let time_box = begin + Duration::from_secs(run.settings.time_box_seconds);
        let mut course = Course {
            begin,
            exhausted: AtomicU32::new(0),
            paces: [None; 3],
            until: Until {
                deadline: latest.map_or(time_box, |latest| latest.min(time_box)),
                // Its own, so that it can stop itself without stopping others.
                stop: stop.child_token(),
            },
        };
        let quota = Quota::of(&self.store, &run).await?;
        let mut record = retry(&Until::after(PATIENCE), || {
            self.store.claim(&run, chunk.segment)
        })
        .await?;
        record.count_cut_pages();
        // Of the other shards it learns at its first look: those that begin together would all read from all of them.
        let near = shard_of(chunk.segment, run.shards);
        let follow = self.follow(&run, near..near + 1, &course.exhausted);
        let found = self.last.paces(&self.store, &run, &record);
        let followed;
        (followed, course.paces) = tokio::join!(follow, found);
        followed?;
        self.learn_from(&run, &record);
        let before = record.counters;
        let claimed = (record.cursor == Cursor::Exhausted, record.trial_passed);
        let ledger = Ledger::new(&run, chunk.segment, &before);
        let swept = self
            .sweep(chunk, &run, &mut record, course, &ledger, &quota)
            .await;
        if self.budget.is_shared() {
            self.last.note(&record);
        }
        let done = record.cursor == Cursor::Exhausted;
        let is_saved = swept.is_ok();
        self.tell(&run, &ledger, &record, claimed, is_saved).await;
        ledger.report(match done {
            true => self.segments_done(&run).await,
            false => None,
        });
        swept.map_err(|error| match error.kind() {
            // It is no failure, and of the run as a whole.
            ErrorKind::Held => error,
            _ => error.context(format!(
                "table {}, segment {} of {}, run {}",
                run.spec.table, chunk.segment, run.settings.total_segments, run.run_id
            )),
        })?;
        log_end(chunk, &record, record.counters - before, begin.elapsed());
        if !done {
            quota.check()?;
        }
        Ok(ChunkReport {
            done,
            hand_over: !done && record.generation.is_multiple_of(CHUNKS_PER_CHILD),
            cursor: record.cursor,
            counters: record.counters,
        })
    }

    /// Takes over what is known of the table, and the place of whoever has worked within the budget until now.
    fn learn_from(&self, run: &RunRecord, record: &SegmentRecord) {
        self.budget.expect_items_of(run.item_bytes());
        if let Some(read) = per_item(record.counters.consumed_rcu, record.counters.scanned) {
            self.budget.learn(read);
        }
        if self.budget.is_shared() {
            // It takes the place of a worker, or, alone in a further pass, that of the verification.
            let is_alone = run.settings.workers() == 1 && run.pass > run.first_pass;
            self.budget.follow(1, Consistency::of(is_alone));
        }
    }

    /// The record of the run, for work on a chunk. If all segments are worked on in this process, one that was read for another of
    /// them a moment ago will do: what fences a former owner off from a segment is its claim, which is refused once his successor
    /// has claimed it, and from the others that he soon reads the record anew.
    ///
    /// Errors: those of [`load_near`].
    async fn run_of(&self, chunk: &Chunk) -> Result<Arc<RunRecord>> {
        if !self.budget.is_shared()
            && let Some(run) = self.shared.run(&chunk.run_id)
            && require(&run, chunk.pass, &chunk.owner).is_ok()
        {
            return Ok(run);
        }
        let near = likely_copy(chunk.segment);
        let run = load_near(&self.store, near, &chunk.run_id, chunk.pass, &chunk.owner).await?;
        let run = Arc::new(run);
        self.shared.note_run(&run);
        Ok(run)
    }

    /// Tells what a chunk has done, and counts its segment if it is exhausted by it: at once if each segment has a process of its
    /// own, and else with what others have done. When it was claimed, it was exhausted or not, and had passed its trial or not.
    async fn tell(
        &self,
        run: &RunRecord,
        ledger: &Ledger<'_>,
        record: &SegmentRecord,
        (was_exhausted, had_passed): (bool, bool),
        is_saved: bool,
    ) {
        if record.trial_passed && !had_passed {
            self.shared.note_trial(run);
        }
        if record.cursor == Cursor::Exhausted && is_saved {
            self.tally.sum_up(run, record, &self.store).await;
        }
        if record.cursor == Cursor::Exhausted && !was_exhausted && is_saved {
            self.tally.count(run, record.segment, &self.store).await;
        }
        self.tally.tell(ledger, &self.store).await;
        if self.budget.is_shared() {
            self.settle().await;
        }
    }

    /// Tells what the chunks that have ended have done and not told yet.
    pub(super) async fn settle(&self) {
        if let Some(run) = self.shared.last_run() {
            self.tally.settle(&run, &self.store).await;
        }
    }

    /// The pace of a segment that is claimed now: as it was in the first of these records that says something.
    fn pace(
        &self,
        record: &SegmentRecord,
        batch_size: usize,
        recorded: [Option<FoundPace>; 3],
        now_ms: u64,
    ) -> Pace<'_> {
        let counters = &record.counters;
        let pace = Pace::new(
            &self.budget,
            batch_size,
            per_item(counters.consumed_wcu, writes_paid(record)),
            per_item(counters.consumed_rcu, counters.scanned),
        );
        pace.of_segment(record.segment, recorded.into_iter().flatten(), now_ms)
    }

    /// Sweeps a claimed segment until `until`, or until the run is no longer ours.
    async fn sweep(
        &self,
        chunk: &Chunk,
        run: &RunRecord,
        record: &mut SegmentRecord,
        Course {
            begin,
            until,
            exhausted,
            paces,
        }: Course,
        ledger: &Ledger<'_>,
        quota: &Quota,
    ) -> Result<()> {
        let now_ms = self.access.now_ms();
        let change = run.change()?;
        let writer = self.access.writer(change.clone(), run.settings.writer);
        let pace = self.pace(record, writer.batch_size(), paces, now_ms);
        let sweep = Sweep {
            room: pace.room(),
            segment: Segment {
                segment: chunk.segment,
                total_segments: run.settings.total_segments,
                reader: self.access.reader(change.clone()),
                change,
                pace,
                writer,
                until,
                has_compared: tokio::sync::Mutex::new(false),
                quota,
                validity: Validity::new(run, record, &self.store, &self.accepted),
                gate: &self.gate,
            },
            run,
            store: &self.store,
            trial: Trial {
                is_all: chunk.trial,
                is_first_pass: run.pass == run.first_pass,
                has_enough_trials: self.shared.has_enough_trials(run),
            },
            rejections: Rejections::new(run),
            ledger,
            begin,
            begin_ms: now_ms.saturating_sub(begin.elapsed().as_millis() as u64),
            worked_before: record.counters.worked_seconds,
        };
        let swept = sweep.run(record);
        tokio::pin!(swept);
        let known = &exhausted;
        let look = |run: RunRecord| async move {
            ledger.follow(&run.settings);
            self.shared.note_run(&Arc::new(run.clone()));
            let counts = fastrand::u32(..looks_a_count(&run.settings)) == 0;
            let shards = if counts { run.shards } else { 0 };
            self.follow(&run, 0..shards, known).await?;
            self.look_for_holds(&run).await
        };
        tokio::select! {
            result = &mut swept => result,
            // Whoever stops or takes over the run should not have to wait for the end of a time box.
            error = ownership::watch(&self.store, run, Some(chunk.segment), look) => {
                sweep.segment.until.stop.cancel();
                // What is in flight is still waited for and checkpointed, if the segment is still ours.
                swept.await.and(Err(error))
            }
            never = ledger.report_regularly() => match never {},
        }
    }

    /// Looks whether the run may go on.
    ///
    /// Errors: `Held`, with the reason.
    pub(super) async fn look_for_holds(&self, run: &RunRecord) -> Result<()> {
        let workers = match self.budget.is_shared() {
            true => run.settings.workers(),
            false => 1,
        };
        self.holds.look(&self.access, run, workers).await
    }

    /// How many segments of the pass are exhausted; `None` if that cannot be found out at once, and if whoever drives
    /// the run in this process knows it anyway.
    async fn segments_done(&self, run: &RunRecord) -> Option<u32> {
        // One worker of so many asks, so that workers which end together do not all read from every shard.
        if !self.budget.is_shared() || fastrand::u32(..run.shards.max(1)) != 0 {
            return None;
        }
        let count = self.exhausted(run, 0..run.shards);
        tokio::time::timeout(FLUSH_PATIENCE, count).await.ok()?.ok()
    }

    /// How many segments of these shards are exhausted.
    async fn exhausted(&self, run: &RunRecord, shards: Range<u32>) -> Result<u32> {
        let until = Until::after(PATIENCE);
        let under = |shard| self.store.exhausted(run, shard);
        Ok(retry_each(&until, shards, under).await?.into_iter().sum())
    }

    /// Takes the budget from the run as it stands now, by the exhausted segments of these shards, or as many as were `known`
    /// before: the more, the larger is this worker's share.
    async fn follow(&self, run: &RunRecord, shards: Range<u32>, known: &AtomicU32) -> Result<()> {
        let settings = &run.settings;
        if self.budget.is_shared() && (settings.max_wcu.is_some() || settings.max_rcu.is_some()) {
            let exhausted = self.exhausted(run, shards).await?;
            known.fetch_max(exhausted, Ordering::Relaxed);
        }
        self.budget.set(settings, known.load(Ordering::Relaxed));
        Ok(())
    }
}

/// Of how many looks at the run one counts the exhausted segments as well, in every shard: of more than a thousand workers not
/// each looks every time.
fn looks_a_count(settings: &Settings) -> u32 {
    settings.workers().div_ceil(1_000)
}

/// Refuses a chunk of a segment that the run has not, and any chunk of a dry run.
fn refuse_foreign(chunk: &Chunk, run: &RunRecord) -> Result<()> {
    if run.settings.dry_run {
        return Err(Error::invalid(
            "run_id",
            format!(
                "{} is a dry run, which has no work for a worker",
                run.run_id
            ),
        ));
    }
    let last = run.settings.total_segments.saturating_sub(1);
    if chunk.segment > last {
        return Err(Error::invalid(
            "segment",
            format!(
                "expected 0 to {last} of run {}, got {}",
                run.run_id, chunk.segment
            ),
        ));
    }
    Ok(())
}

fn log_end(chunk: &Chunk, record: &SegmentRecord, did: Counters, time: Duration) {
    tracing::info!(
        run_id = chunk.run_id,
        pass = chunk.pass,
        segment = chunk.segment,
        trial = chunk.trial,
        done = record.cursor == Cursor::Exhausted,
        scanned = did.scanned,
        matched = did.matched,
        updated = did.updated,
        raced = did.raced,
        vanished = did.vanished,
        rejected = did.rejected,
        contended = did.contended,
        throttles = did.throttles,
        consumed_wcu = did.consumed_wcu,
        consumed_rcu = did.consumed_rcu,
        seconds = time.as_secs_f64(),
        bound_by = record.bound().name(),
        "chunk ended"
    );
}

/// How many writes of an item the units that a segment has consumed have paid: one of each item that was sent, and the check of its
/// trial, which costs as much as two. It is rather too few: a rejected item may never have been sent, and with too low a cost of an item
/// a chunk would begin beyond its budget.
fn writes_paid(record: &SegmentRecord) -> u64 {
    const CHECK: u64 = 2;
    let check = if record.trial_passed { CHECK } else { 0 };
    let Counters {
        updated,
        raced,
        vanished,
        contended,
        ..
    } = record.counters;
    let sent = [updated, raced, vanished, contended, check];
    sent.into_iter().fold(0, u64::saturating_add)
}

/// Units that an item can cost at most: one of 400 KB, its look, and as much in each of 25 indexes.
const MOST_UNITS: f64 = 20_800.0;

/// Units that an item has cost to read or to write, if that is known.
fn per_item(units: f64, times: u64) -> Option<f64> {
    (units > 0.0 && times > 0).then(|| (units / times as f64).min(MOST_UNITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// budget: items of which nothing can be made do not make the others cheap.
    #[test]
    fn budget_of_a_segment_of_which_most_is_rejected() {
        let mut record = SegmentRecord::unclaimed("run", 1, 0);
        record.trial_passed = true;
        record.counters = Counters {
            matched: 1_000,
            rejected: 900,
            updated: 60,
            raced: 20,
            vanished: 10,
            contended: 10,
            consumed_wcu: 204.0,
            ..Counters::default()
        };
        let believed = per_item(record.counters.consumed_wcu, writes_paid(&record));
        assert_eq!(believed, Some(2.0));
        record.trial_passed = false;
        record.counters = Counters {
            matched: 10,
            rejected: 10,
            consumed_wcu: 3.0,
            ..Counters::default()
        };
        let believed = per_item(record.counters.consumed_wcu, writes_paid(&record));
        assert_eq!(believed, None, "refusals alone say nothing");
    }
}
