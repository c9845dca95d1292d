//! The course of a run, by its record: what is to be done next, how it fails, and how it is stopped. How a pass ends is in
//! `conclusion`, what an operator changes on the way in `steering`. All three write run records, and to the sums of a large run what
//! they lack, and nothing else.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::engine::holds::note_hold;
use crate::engine::metrics::Figures;
use crate::engine::ownership::{load, load_any, taken_over};
use crate::engine::sums::{Standing, Summed};
use crate::engine::verifier::Verification;
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::ports::RunStore;
use crate::records::{Blocks, Cursor, Owner, RunRecord, RunStatus, SegmentRecord, layout_version};
use crate::request::{Settings, Shown as _};
use crate::table::Lanes;
use crate::{Error, ErrorKind, Result};

/// Most segments in one round. A list of 10,000 numbers of up to seven digits is 80 kB of JSON, far below the
/// 256 KiB of state that Step Functions allows; more open segments are worked off in further rounds.
const SEGMENTS_PER_ROUND: usize = 10_000;

/// How long copies of a run record are tried. The record itself is saved then.
const COPY_PATIENCE: Duration = Duration::from_secs(5);

/// Changes of a run record are made again, on top of what somebody else has changed, this often.
const MAX_CONFLICTS: u32 = 20;

/// What is to be done next: the answer to `plan` and `next`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The id of the run.
    pub run_id: String,
    /// Its current pass, from 1.
    pub pass: u32,
    /// True while no item of this pass has shown that the update extinguishes the predicate: then the first of
    /// `segments` gets a short trial chunk of its own, which looks for one.
    pub trial: bool,
    /// Open segments in the order in which to take them; at most 10,000, so ask again after them. Empty: the pass is
    /// swept, and it is time to verify.
    pub segments: Vec<u32>,
    /// Segments to work on at once.
    pub max_concurrency: u32,
    /// The lanes of the run, for whoever takes segments lane by lane in this process.
    #[serde(skip)]
    pub lanes: Lanes,
    /// The verification to begin with when no segment is open.
    pub verification: Verification,
}

/// What ended a run before its time: an error's name and its sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The name of the error: [`ErrorKind::name`], [`STOPPED`], or a name that Step Functions gives.
    pub error: String,
    /// What happened, for a person.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Failure {
            error: error.kind().name().to_owned(),
            message: error.report(),
        }
    }
}

/// The error of a [`Failure`] that is none: the operator has stopped the run. The state machine knows it by this name.
pub const STOPPED: &str = "Stopped";

/// What Step Functions calls the failure of a Map of which a child has failed (developer guide, Tolerated failure threshold).
const TOO_MANY_FAILED: &str = "States.ExceedToleratedFailureThreshold";

/// Makes a change of the run record, and makes it again if somebody else has changed the record in between.
pub(super) async fn despite_conflicts<T, F, Fut>(change: F) -> Result<T>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    for _ in 1..MAX_CONFLICTS {
        match change().await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            result => return result,
        }
    }
    change().await
}

/// Runs, by their records in `store`.
pub struct Runs<S> {
    /// The checkpoint store.
    pub store: S,
}

impl<S: RunStore> Runs<S> {
    /// Runs whose records lie in `store`.
    pub fn new(store: S) -> Self {
        Runs { store }
    }

    /// Refuses a canary (`InvalidInput`) if all of its segments are swept.
    pub async fn check_only_segments(&self, record: &RunRecord) -> Result<()> {
        let settings = &record.settings;
        if settings.only_segments.is_empty() {
            return Ok(());
        }
        let round = self.open_segments(record, |s| settings.includes(s)).await?;
        if round.segments.is_empty() {
            let why = format!("{} is swept already; {SWEPT_ADVICE}", canary(settings));
            return Err(Error::invalid("only_segments", why));
        }
        Ok(())
    }

    /// The segments that are still open in this pass of `owner`'s run.
    ///
    /// Errors: `InvalidInput` if there is no such run; `Fenced` if it is another's or in another pass; `NotRunning` if it
    /// was ended, or is a canary that is swept: then it is paused.
    pub async fn next(&self, run_id: &str, pass: u32, owner: &Owner) -> Result<Round> {
        let record = load(&self.store, run_id, pass, owner).await?;
        self.what_is_next(&record).await
    }

    /// When a run that is recorded as running has made its last checkpoint, or begun, if it has made none since; milliseconds
    /// since 1970.
    ///
    /// Errors: those of the store, after a minute of trying if they are retryable.
    pub(super) async fn last_sign_of(&self, record: &RunRecord) -> Result<u64> {
        let saved: Vec<u64> = if let Some(standing) = Standing::read(&self.store, record).await? {
            let begun = standing.begun(&self.store, record).await?;
            let begun = begun.into_iter().map(|segment| segment.saved_ms);
            begun.chain([standing.saved_ms()]).collect()
        } else {
            let under = |shard| self.store.segments(record, record.pass, shard);
            let segments = retry_each(&Until::after(PATIENCE), 0..record.shards, under).await?;
            let segments = segments.iter().flatten();
            segments.map(|segment| segment.saved_ms).collect()
        };
        Ok(saved.into_iter().max().unwrap_or(0).max(record.started_ms))
    }

    /// The open segments.
    ///
    /// Errors: `NotRunning` if those that were picked out are swept and others are not: then the run is paused.
    pub(super) async fn what_is_next(&self, record: &RunRecord) -> Result<Round> {
        let settings = &record.settings;
        let round = self.open_segments(record, |s| settings.includes(s)).await?;
        if !round.segments.is_empty() || settings.only_segments.is_empty() {
            return Ok(round);
        }
        let all = self.open_segments(record, |_| true).await?;
        if all.segments.is_empty() {
            return Ok(all);
        }
        let message = format!("{} is swept; {SWEPT_ADVICE}", canary(settings));
        despite_conflicts(|| async {
            let current = load(&self.store, &record.run_id, record.pass, &record.owner).await?;
            let by = current.owner.clone();
            self.end(current, RunStatus::Paused, &message, &by).await
        })
        .await?;
        Err(Error::new(
            ErrorKind::NotRunning,
            format!("run {} is paused: {message}", record.run_id),
        ))
    }

    /// Whether every segment that was begun in the current pass is in its sums.
    pub(super) async fn has_left_none(&self, record: &RunRecord) -> Result<bool> {
        let Some(standing) = Standing::read(&self.store, record).await? else {
            return Ok(false);
        };
        let begun = standing.begun(&self.store, record).await?;
        Ok(begun.is_empty())
    }

    /// The exhausted segments of the current pass, and whether one has passed a trial. What a sum holds is exhausted; what none
    /// holds may be, too, and is added then, by whoever claims it or here. So of a run with sums the records of its segments need not
    /// be read.
    async fn exhausted(&self, record: &RunRecord) -> Result<(Summed, bool)> {
        if let Some(mut standing) = Standing::read(&self.store, record).await? {
            standing.mend(&self.store, record).await?;
            standing.note_full(&self.store, record).await;
            return Ok(standing.told());
        }
        let under = |shard| self.store.segments(record, record.pass, shard);
        let started = retry_each(&Until::after(PATIENCE), 0..record.shards, under).await?;
        let started = started.concat();
        let tried = started.iter().any(|segment| segment.trial_passed);
        let total = record.settings.total_segments;
        let mut exhausted = Summed::none(Blocks::new(Lanes::new(total, 1)), total);
        let is_exhausted = |segment: &&SegmentRecord| segment.cursor == Cursor::Exhausted;
        for segment in started.iter().filter(is_exhausted) {
            exhausted.note(segment.segment);
        }
        Ok((exhausted, tried))
    }

    /// The open segments out of those that `which` is true for.
    pub(super) async fn open_segments(
        &self,
        record: &RunRecord,
        which: impl Fn(u32) -> bool,
    ) -> Result<Round> {
        let settings = &record.settings;
        if settings.dry_run {
            return Ok(Round {
                run_id: record.run_id.clone(),
                pass: record.pass,
                trial: false,
                segments: Vec::new(),
                max_concurrency: settings.at_once(),
                lanes: settings.lanes(),
                verification: Verification::new(settings.total_segments),
            });
        }
        let (exhausted, tried) = self.exhausted(record).await?;
        let figures = Figures {
            segments_done: Some(exhausted.count()),
            ..Figures::of_run(record)
        };
        figures.report(&record.spec.table, &record.run_id);
        Ok(Round {
            run_id: record.run_id.clone(),
            pass: record.pass,
            trial: !tried,
            segments: settings
                .lanes()
                .order()
                .filter(|segment| which(*segment) && !exhausted.holds(*segment))
                .take(SEGMENTS_PER_ROUND)
                .collect(),
            max_concurrency: settings.at_once(),
            lanes: settings.lanes(),
            verification: Verification::new(settings.total_segments),
        })
    }

    /// Records that an error ended the run of `owner`, and returns the failure that counts: the first one, or
    /// [`STOPPED`] if the operator was faster. The checkpoints stay, so the run can be resumed. A run that somebody else
    /// has taken over goes on: its record is left alone.
    ///
    /// Step Functions knows by names alone what became of a function. So two that end no run by an error are told from the others
    /// here: one that is held, which is noted, and a canary that is done, which is paused.
    ///
    /// Errors: `InvalidInput` if there is no such run.
    pub async fn fail(&self, run_id: &str, owner: &Owner, failure: Failure) -> Result<Failure> {
        let counts = if failure.error == ErrorKind::Held.name() {
            self.note_held(run_id, owner, &failure.message).await?
        } else if failure.error == ErrorKind::CanaryDone.name() {
            self.end_canary(run_id, owner).await?
        } else {
            despite_conflicts(|| self.try_to_fail(run_id, owner, &failure)).await?
        };
        Ok(counts.unwrap_or(failure))
    }

    /// Records that something holds the run of `owner`, and why; a hold that is noted already stays. If the run goes on no more, or
    /// is another's, its record is left alone, and the failure that counts then is returned, if there is one.
    ///
    /// Errors: `InvalidInput` if there is no such run.
    pub(super) async fn note_held(
        &self,
        run_id: &str,
        owner: &Owner,
        why: &str,
    ) -> Result<Option<Failure>> {
        despite_conflicts(|| async {
            let mut record = match self.going_on(run_id, owner).await? {
                Ok(record) => record,
                Err(counts) => return Ok(counts),
            };
            if record.hold.is_none() {
                note_hold(&mut record, owner, Some(why.to_owned()), now_ms());
                record.revision += 1;
                self.save(&record).await?;
            }
            Ok(None)
        })
        .await
    }

    /// Records that a canary has updated as many items as it was to: the run of `owner` is paused, and a canary no more. Returns
    /// what that means for whoever drives it, [`STOPPED`]. If the run goes on no more, or is another's, its record is left alone, and
    /// the failure that counts then is returned, if there is one.
    ///
    /// Errors: `InvalidInput` if there is no such run.
    pub(super) async fn end_canary(&self, run_id: &str, owner: &Owner) -> Result<Option<Failure>> {
        despite_conflicts(|| async {
            let mut record = match self.going_on(run_id, owner).await? {
                Ok(record) => record,
                Err(counts) => return Ok(counts),
            };
            let asked = record.settings.pause_after.take();
            record.note(owner, "pause_after", asked.shown(), None::<u32>.shown());
            record.pause_at = None;
            record.version = layout_version(record.shards, &record.settings);
            let message = format!(
                "paused after {} updated items, as was asked for; look at them, and resume the run to go on with all the others",
                asked.shown()
            );
            self.end(record, RunStatus::Paused, &message, owner).await?;
            Ok(Some(Failure {
                error: STOPPED.into(),
                message,
            }))
        })
        .await
    }

    /// Records the end by an error, and returns the failure that counts in its place, if another one does.
    async fn try_to_fail(
        &self,
        run_id: &str,
        owner: &Owner,
        failure: &Failure,
    ) -> Result<Option<Failure>> {
        let mut record = match self.going_on(run_id, owner).await? {
            Ok(record) => record,
            Err(counts) => return Ok(counts),
        };
        if let (Some(hold), TOO_MANY_FAILED) = (&record.hold, failure.error.as_str()) {
            // One of the children was held, and has recorded why.
            return Ok(Some(Failure {
                error: ErrorKind::Held.name().into(),
                message: hold.why.clone(),
            }));
        }
        record.error = Some(failure.error.clone());
        self.end(record, RunStatus::Failed, &failure.message, owner)
            .await?;
        Ok(None)
    }

    /// The record of the run of `owner` if it goes on. If it does not, or is another's, the failure that counts, if there is one.
    async fn going_on(
        &self,
        run_id: &str,
        owner: &Owner,
    ) -> Result<std::result::Result<RunRecord, Option<Failure>>> {
        let record = load_any(&self.store, run_id).await?;
        if record.owner != *owner {
            return Ok(Err(Some((&taken_over(&record, owner)).into())));
        }
        if record.status.is_stopped() {
            return Ok(Err(Some(Failure {
                error: STOPPED.into(),
                message: record.message,
            })));
        }
        if record.status != RunStatus::Running {
            // Of the workers that fail one after the other the first knows why; the Map that they belong to
            // knows only that there were too many.
            let message = record.message;
            return Ok(Err(record.error.map(|error| Failure { error, message })));
        }
        Ok(Ok(record))
    }

    /// Records that the operator stopped `owner`'s run (`Paused` or `Cancelled`); starting it again resumes it. A
    /// run that has ended, or that somebody else has taken over, is left alone.
    ///
    /// Errors: `InvalidInput` if there is no such run.
    pub async fn stop(&self, run_id: &str, owner: &Owner, status: RunStatus) -> Result<()> {
        despite_conflicts(|| async {
            let record = load_any(&self.store, run_id).await?;
            if record.owner != *owner || record.status != RunStatus::Running {
                return Ok(());
            }
            let message = "stopped by the operator; start it again to resume";
            self.end(record, status, message, owner).await
        })
        .await
    }

    /// How the operator has stopped `owner`'s run; `None` if it goes on, has ended otherwise or is another's.
    ///
    /// Errors: `InvalidInput` if there is no such run.
    pub async fn stopped(&self, run_id: &str, owner: &Owner) -> Result<Option<RunStatus>> {
        let record = load_any(&self.store, run_id).await?;
        Ok((record.owner == *owner && record.status.is_stopped()).then_some(record.status))
    }

    pub(super) async fn end(
        &self,
        mut record: RunRecord,
        status: RunStatus,
        message: &str,
        by: &(impl ToString + ?Sized + Sync),
    ) -> Result<()> {
        record.change_status(status, by)?;
        record.hold = None;
        record.message = match record.ended_ms {
            // A run that is cancelled after it ended: why and when it ended stays.
            Some(_) => format!("{message}; before: {}", record.message),
            None => message.to_owned(),
        };
        record.ended_ms.get_or_insert_with(now_ms);
        record.revision += 1;
        self.save(&record).await
    }

    /// Saves a record, and its copies if it has any. All of them are marked before, so that none is older than the record at
    /// any moment, whenever this is cut off and however late a call is carried out.
    pub(super) async fn save(&self, record: &RunRecord) -> Result<()> {
        let (run_id, revision) = (&record.run_id, record.revision);
        let until = Until::after(PATIENCE);
        let mark = |shard| self.store.mark_copy(run_id, shard, revision);
        retry_each(&until, record.copies(), mark).await?;
        retry(&until, || self.store.save_run(record)).await?;
        let until = Until::after(COPY_PATIENCE);
        let copy = |shard| self.store.save_copy(record, shard);
        if let Err(error) = retry_each(&until, record.copies(), copy).await {
            // Whoever finds a mark reads the record itself.
            tracing::warn!(
                error = error.report(),
                "workers read one record until it is changed again"
            );
        }
        Ok(())
    }
}

/// What to do about a canary that is swept; follows on [`canary`] "is swept".
const SWEPT_ADVICE: &str =
    "start the run again for all segments to go on with the others and to verify";

/// Names the canary of these settings: "the canary (segments 0,7 out of 0 to 99)".
fn canary(settings: &Settings) -> String {
    let only = &settings.only_segments;
    format!(
        "the canary ({} {} out of 0 to {})",
        if only.len() == 1 {
            "segment"
        } else {
            "segments"
        },
        only.shown(),
        settings.total_segments.saturating_sub(1)
    )
}
