//! The course of a run, by its record: what is to be done next, what follows from a verification, how it fails, and what the
//! operator changes on the way. A run succeeds only by a complete count of 0 (promise: proof). It writes run records and
//! nothing else.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::engine::metrics::Figures;
use crate::engine::ownership::{load, load_any, load_owned, require_running, taken_over};
use crate::engine::verifier::Verification;
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::ports::RunStore;
use crate::records::{Cursor, Hold, Owner, Proof, RunRecord, RunStatus, layout_version};
use crate::request::{Settings, Shown as _};
use crate::table::spread_order;
use crate::{Error, ErrorKind, Key, Result};

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
    /// The verification to begin with when no segment is open.
    pub verification: Verification,
}

/// How a pass ended: the answer to `conclude`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    /// What follows.
    pub status: ConclusionStatus,
    /// The id of the run.
    pub run_id: String,
    /// The pass that is current now: with `next_pass`, the new one.
    pub pass: u32,
    /// Items still pending, by the count.
    pub remaining: u64,
    /// Up to ten keys of items that remain.
    pub samples: Vec<Key>,
    /// What the count came to and what follows, for a person.
    pub message: String,
}

impl Conclusion {
    fn new(
        status: ConclusionStatus,
        pass: u32,
        record: &RunRecord,
        verification: &Verification,
    ) -> Conclusion {
        Conclusion {
            status,
            run_id: record.run_id.clone(),
            pass,
            remaining: verification.remaining,
            samples: verification.samples.clone(),
            message: record.message.clone(),
        }
    }
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

/// What follows from a verification. A dry run has succeeded when it is counted, whatever it has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConclusionStatus {
    /// Nothing is pending, or the run is a dry run.
    Succeeded,
    /// Items are pending, and another pass begins.
    NextPass,
    /// Items are pending, and the passes are used up.
    Incomplete,
}

/// A change of the budget or the guards. `None` leaves each as it is, and `Some(None)` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rate {
    /// Write capacity units per second.
    pub max_wcu: Option<Option<u32>>,
    /// Read capacity units per second.
    pub max_rcu: Option<Option<u32>>,
    /// The alarm that holds the run.
    pub pause_when: Option<Option<String>>,
    /// The hours in which it works.
    pub hours: Option<Option<String>>,
}

impl Rate {
    /// Changes the budget and the guards of this record, and notes it in the name of `by`.
    fn apply(self, record: &mut RunRecord, by: &(impl ToString + ?Sized)) {
        let before = record.settings.clone();
        if let Some(max_wcu) = self.max_wcu {
            record.settings.max_wcu = max_wcu;
        }
        if let Some(max_rcu) = self.max_rcu {
            record.settings.max_rcu = max_rcu;
        }
        if let Some(alarm) = self.pause_when {
            record.settings.pause_when = alarm;
        }
        if let Some(hours) = self.hours {
            record.settings.hours = hours;
        }
        record.version = layout_version(record.shards, &record.settings);
        for (setting, old, new) in record.settings.changes_since(&before) {
            record.note(by, setting, old, new);
        }
    }
}

/// The error of a [`Failure`] that is none: the operator has stopped the run. The state machine knows it by this name.
pub const STOPPED: &str = "Stopped";

/// What Step Functions calls the failure of a Map of which a child has failed (developer guide, Tolerated failure threshold).
const TOO_MANY_FAILED: &str = "States.ExceedToleratedFailureThreshold";

/// Notes in the record, in the name of `by`, what holds the run from now on, or that nothing does any more.
pub(super) fn note_hold(
    record: &mut RunRecord,
    by: &(impl ToString + ?Sized),
    why: Option<String>,
    now_ms: u64,
) {
    let word = |why: Option<&str>| why.unwrap_or(Hold::NONE).to_owned();
    let old = word(record.hold.as_ref().map(|hold| hold.why.as_str()));
    record.note(by, Hold::EVENT, old, word(why.as_deref()));
    record.hold = why.map(|why| Hold {
        why,
        since_ms: record.hold.as_ref().map_or(now_ms, |hold| hold.since_ms),
    });
}

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
    pub(super) async fn check_only_segments(&self, record: &RunRecord) -> Result<()> {
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
        let under = |shard| self.store.segments(record, record.pass, shard);
        let segments = retry_each(&Until::after(PATIENCE), 0..record.shards, under).await?;
        let saved = segments.iter().flatten().map(|segment| segment.saved_ms);
        Ok(saved.max().unwrap_or(0).max(record.started_ms))
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
                verification: Verification::new(settings.total_segments),
            });
        }
        let under = |shard| self.store.segments(record, record.pass, shard);
        let started = retry_each(&Until::after(PATIENCE), 0..record.shards, under).await?;
        let started = started.concat();
        let exhausted: BTreeSet<u32> = started
            .iter()
            .filter(|segment| segment.cursor == Cursor::Exhausted)
            .map(|segment| segment.segment)
            .collect();
        let figures = Figures {
            segments_done: Some(exhausted.len() as u32),
            ..Figures::of_run(record)
        };
        figures.report(&record.spec.table, &record.run_id);
        Ok(Round {
            run_id: record.run_id.clone(),
            pass: record.pass,
            trial: !started.iter().any(|segment| segment.trial_passed),
            segments: spread_order(settings.total_segments, settings.max_concurrency)
                .filter(|segment| which(*segment) && !exhausted.contains(segment))
                .take(SEGMENTS_PER_ROUND)
                .collect(),
            max_concurrency: settings.at_once(),
            verification: Verification::new(settings.total_segments),
        })
    }

    /// Records a complete verification and decides: succeeded, another pass, or incomplete. Saying it twice
    /// changes nothing.
    ///
    /// Errors: `InvalidInput` if the verification is not done or there is no such run; `Fenced` if the run is another's;
    /// `NotRunning` if it was stopped or has failed; `Internal` if a segment is still open.
    pub async fn conclude(
        &self,
        run_id: &str,
        pass: u32,
        owner: &Owner,
        verification: &Verification,
    ) -> Result<Conclusion> {
        despite_conflicts(|| self.try_to_conclude(run_id, pass, owner, verification)).await
    }

    async fn try_to_conclude(
        &self,
        run_id: &str,
        pass: u32,
        owner: &Owner,
        verification: &Verification,
    ) -> Result<Conclusion> {
        if !verification.done {
            return Err(Error::invalid("verification.done", "expected true"));
        }
        let mut record = load_owned(&self.store, run_id, owner).await?;
        if let Some((status, pass)) = concluded(&record, pass) {
            return Ok(Conclusion::new(status, pass, &record, verification));
        }
        require_running(&record)?;
        // Proof of an empty table says nothing about segments that nobody swept: all must be exhausted.
        let open = self.open_segments(&record, |_| true).await?.segments;
        if !open.is_empty() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "run {run_id}: verified although segment {} is still open",
                    open[0]
                ),
            ));
        }
        let consequence = what_follows(&record, verification);
        let status = consequence.status;
        note_conclusion(&mut record, consequence, owner, verification)?;
        self.save(&record).await?;
        let remaining = verification.remaining;
        tracing::info!(run_id, pass, remaining, "{}", record.message);
        Ok(Conclusion::new(status, record.pass, &record, verification))
    }

    /// Records that an error ended the run of `owner`, and returns the failure that counts: the first one, or
    /// [`STOPPED`] if the operator was faster. The checkpoints stay, so the run can be resumed. A run that somebody else
    /// has taken over goes on: its record is left alone.
    ///
    /// Errors: `InvalidInput` if there is no such run.
    pub async fn fail(&self, run_id: &str, owner: &Owner, failure: Failure) -> Result<Failure> {
        despite_conflicts(|| self.try_to_fail(run_id, owner, failure.clone())).await
    }

    async fn try_to_fail(&self, run_id: &str, owner: &Owner, failure: Failure) -> Result<Failure> {
        let mut record = load_any(&self.store, run_id).await?;
        if record.owner != *owner {
            return Ok((&taken_over(&record, owner)).into());
        }
        if record.status.is_stopped() {
            return Ok(Failure {
                error: STOPPED.into(),
                message: record.message,
            });
        }
        if record.status != RunStatus::Running {
            // Of the workers that fail one after the other the first knows why; the Map that they belong to
            // knows only that there were too many.
            return Ok(match record.error {
                Some(error) => Failure {
                    error,
                    message: record.message,
                },
                None => failure,
            });
        }
        if failure.error == ErrorKind::Held.name() {
            if record.hold.is_none() {
                note_hold(&mut record, owner, Some(failure.message.clone()), now_ms());
                record.revision += 1;
                self.save(&record).await?;
            }
            return Ok(failure);
        }
        if let (Some(hold), TOO_MANY_FAILED) = (&record.hold, failure.error.as_str()) {
            // One of the children was held, and has recorded why.
            return Ok(Failure {
                error: ErrorKind::Held.name().into(),
                message: hold.why.clone(),
            });
        }
        if failure.error == ErrorKind::CanaryDone.name() {
            return self.end_canary(record, owner).await;
        }
        record.error = Some(failure.error.clone());
        self.end(record, RunStatus::Failed, &failure.message, owner)
            .await?;
        Ok(failure)
    }

    /// Records that a canary has updated as many items as it was to: it is paused, and none any more.
    async fn end_canary(&self, mut record: RunRecord, owner: &Owner) -> Result<Failure> {
        let asked = record.settings.pause_after.take();
        record.note(owner, "pause_after", asked.shown(), None::<u32>.shown());
        record.pause_at = None;
        record.version = layout_version(record.shards, &record.settings);
        let message = format!(
            "paused after {} updated items, as was asked for; look at them, and resume the run to go on with all the others",
            asked.shown()
        );
        self.end(record, RunStatus::Paused, &message, owner).await?;
        Ok(Failure {
            error: STOPPED.into(),
            message,
        })
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

    /// Pauses or cancels a run, whoever works for it, in the name of `by`. Workers notice within seconds, save their
    /// checkpoints and end. Returns the state before; if that is the wanted one, nothing changes.
    ///
    /// Errors: `InvalidInput` if there is no such run, or if its state allows no such change.
    pub async fn steer(&self, run_id: &str, status: RunStatus, by: &str) -> Result<RunStatus> {
        despite_conflicts(|| async {
            let record = load_any(&self.store, run_id).await?;
            let before = record.status;
            if before == status {
                return Ok(before);
            }
            if !before.may_become(status) {
                return Err(Error::invalid(
                    "run_id",
                    format!(
                        "run {run_id} is {}, and cannot be {}",
                        before.name(),
                        status.name()
                    ),
                ));
            }
            let message = match status {
                RunStatus::Paused => format!("paused by {by}; resume it to go on"),
                _ => format!(
                    "{} by {by}; start it again to go on all the same",
                    status.name()
                ),
            };
            self.end(record, status, &message, by).await?;
            Ok(before)
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

    /// Changes the budget or the guards of a run, also while it goes on: its workers follow within ten seconds. A run that has ended has
    /// the new budget when it is started again. Returns the settings before and after.
    ///
    /// Errors: `InvalidInput` if there is no such run, or if it cannot have such guards.
    pub async fn set_rate(
        &self,
        run_id: &str,
        rate: Rate,
        by: &str,
    ) -> Result<(Settings, Settings)> {
        despite_conflicts(|| async {
            let mut record = load_any(&self.store, run_id).await?;
            let before = record.settings.clone();
            rate.clone().apply(&mut record, by);
            record.settings.request().check()?;
            let after = record.settings.clone();
            if after != before {
                record.revision += 1;
                self.save(&record).await?;
            }
            Ok((before, after))
        })
        .await
    }

    /// Takes a run that nobody works for, to try its rejected items again on behalf of `owner`, at this rate from now on. It has
    /// ended, or its owner of that name (`dead`) is known to have. Returns the record as it was and as it is.
    ///
    /// Errors: `InvalidInput` if there is no such run, or if it is a dry run; `ActiveElsewhere` if somebody holds it.
    pub(super) async fn borrow(
        &self,
        run_id: &str,
        owner: &Owner,
        rate: Rate,
        dead: Option<&str>,
    ) -> Result<(RunRecord, RunRecord)> {
        despite_conflicts(|| async {
            let mut former = load_any(&self.store, run_id).await?;
            if former.settings.dry_run {
                let why = format!("{run_id} is a dry run, which has no rejected items");
                return Err(Error::invalid("run_id", why));
            }
            if former.status == RunStatus::Running {
                let holder = former.owner.to_string();
                if dead != Some(&holder) {
                    return Err(Error::new(
                        ErrorKind::ActiveElsewhere,
                        format!(
                            "run_id: run {run_id} is held by {}; its rejected items can be tried again when it has \
                             ended, or is paused",
                            former.owner.brief()
                        ),
                    ));
                }
                former.ended_ms = Some(self.last_sign_of(&former).await?);
            }
            let mut record = RunRecord {
                owner: owner.clone(),
                message: "rejected items are tried again".into(),
                error: None,
                last_pass: former.pass,
                started_ms: now_ms(),
                ended_ms: None,
                hold: None,
                sessions: former.sessions.saturating_add(1),
                earlier_seconds: former.earlier_seconds + former.session_seconds(),
                revision: former.revision + 1,
                ..former.clone()
            };
            record.change_status(RunStatus::Running, owner)?;
            record.note(owner, "owner", &former.owner, owner);
            rate.clone().apply(&mut record, owner);
            self.save(&record).await?;
            Ok((former, record))
        })
        .await
    }

    /// Ends what [`Runs::borrow`] has begun: the run is as it was, in the name of its former owner, and its history says how many
    /// rejected items there were `before` and how many are `left`; `what_came` says it in a sentence. If the run is finished by a
    /// count, or was stopped meanwhile, it stays so.
    ///
    /// Errors: `Fenced` if somebody else has taken the run over.
    pub(super) async fn give_back(
        &self,
        former: &RunRecord,
        owner: &Owner,
        (before, left): (u64, u64),
        what_came: &str,
    ) -> Result<()> {
        despite_conflicts(|| async {
            let mut record = load_owned(&self.store, &former.run_id, owner).await?;
            record.note(owner, "rejected", before, left);
            record.hold = None;
            if record.status == RunStatus::Running {
                let status = match former.status {
                    // Its owner is dead, and nobody works for it.
                    RunStatus::Running => RunStatus::Paused,
                    status => status,
                };
                record.change_status(status, owner)?;
                record.message = match status {
                    RunStatus::Incomplete => what_came.to_owned(),
                    RunStatus::Paused if former.status == RunStatus::Running => format!(
                        "{what_came}; {} has ended without saying so, resume the run to go on",
                        former.owner.brief()
                    ),
                    _ => former.message.clone(),
                };
                record.error.clone_from(&former.error);
                record.ended_ms = Some(now_ms());
                if left < before && status == RunStatus::Incomplete {
                    // It counted what is changed now.
                    record.proof = None;
                }
            }
            record.note(owner, "owner", owner, &former.owner);
            record.owner = former.owner.clone();
            record.revision += 1;
            self.save(&record).await
        })
        .await
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

/// What the verification of a pass came to if that was recorded already, and the pass that is current now; `None` if it was
/// not.
fn concluded(record: &RunRecord, pass: u32) -> Option<(ConclusionStatus, u32)> {
    if record.pass > pass {
        // The answer to an earlier call for this pass was lost.
        return Some((ConclusionStatus::NextPass, record.pass));
    }
    let status = match record.status {
        status if !status.is_finished() => return None,
        _ if record.settings.dry_run => ConclusionStatus::Succeeded,
        RunStatus::Succeeded => ConclusionStatus::Succeeded,
        _ => ConclusionStatus::Incomplete,
    };
    Some((status, pass))
}

/// What a complete count means for a run.
struct Consequence {
    status: ConclusionStatus,
    /// The state of the run then; `Running` if another pass begins.
    run: RunStatus,
    /// The pass of the run then.
    pass: u32,
    /// The count and what follows from it, for a person.
    message: String,
}

/// What follows from a complete count in the run's current pass. Changes nothing.
fn what_follows(record: &RunRecord, count: &Verification) -> Consequence {
    let (pass, remaining, scanned) = (record.pass, count.remaining, count.scanned);
    let samples: Vec<String> = count.samples.iter().map(Key::to_string).collect();
    let samples = samples.join(", ");
    let (status, run, pass, message) = if record.settings.dry_run {
        let run = match remaining {
            0 => RunStatus::Succeeded,
            _ => RunStatus::Incomplete,
        };
        let message = format!(
            "dry run: {remaining} of {scanned} items are pending, by a strongly consistent count"
        );
        (ConclusionStatus::Succeeded, run, pass, message)
    } else if remaining == 0 {
        let message = format!(
            "nothing is pending: a strongly consistent count over {scanned} items came to 0"
        );
        let succeeded = ConclusionStatus::Succeeded;
        (succeeded, RunStatus::Succeeded, pass, message)
    } else if pass < record.last_pass {
        let next = pass + 1;
        let message = format!(
            "{remaining} items were still pending after pass {pass}, such as {samples}; beginning pass {next}"
        );
        let next_pass = ConclusionStatus::NextPass;
        (next_pass, RunStatus::Running, next, message)
    } else {
        let message = format!(
            "{remaining} items are still pending after {} passes, such as {samples}; start the run again for \
             further passes, and look for a writer that leaves the attribute out",
            record.passes()
        );
        let incomplete = ConclusionStatus::Incomplete;
        (incomplete, RunStatus::Incomplete, pass, message)
    };
    Consequence {
        status,
        run,
        pass,
        message,
    }
}

/// Notes in the record what a count came to and what follows from it, in the name of `owner`.
fn note_conclusion(
    record: &mut RunRecord,
    consequence: Consequence,
    owner: &Owner,
    count: &Verification,
) -> Result<()> {
    record.change_status(consequence.run, owner)?;
    record.hold = None;
    record.note(owner, "pass", record.pass, consequence.pass);
    record.pass = consequence.pass;
    record.message = consequence.message;
    record.ended_ms = record.status.is_finished().then(now_ms);
    record.verification_rcu += count.consumed_rcu;
    record.verification_seconds += count.seconds;
    record.proof = Some(Proof {
        remaining: count.remaining,
        scanned: count.scanned,
        samples: count.samples.clone(),
        at_ms: now_ms(),
    });
    record.revision += 1;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::engine::planner::new_run;
    use crate::table::{KeyAttribute, KeySchema, KeyType, TableDescription};

    /// proof: a run succeeds by a complete count of 0 and by nothing else; the passes that it was granted bound the rest.
    #[test]
    fn what_follows_from_a_count_is_success_another_pass_or_the_end() {
        let table = TableDescription {
            status: "ACTIVE".into(),
            replicas: Vec::new(),
            is_strong_everywhere: false,
            identity: "1".into(),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: None,
            },
            item_count: 0,
            size_bytes: 0,
            billing: crate::table::Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            indexes: Vec::new(),
        };
        let (next_pass, succeeded) = (ConclusionStatus::NextPass, ConclusionStatus::Succeeded);
        for (dry_run, pass, remaining, status, run, pass_then, says) in [
            (false, 1, 0, succeeded, RunStatus::Succeeded, 1, "came to 0"),
            (false, 2, 3, next_pass, RunStatus::Running, 3, "pass 3"),
            (
                false,
                3,
                3,
                ConclusionStatus::Incomplete,
                RunStatus::Incomplete,
                3,
                "after 3 passes",
            ),
            (true, 1, 0, succeeded, RunStatus::Succeeded, 1, "0 of 9"),
            (true, 1, 3, succeeded, RunStatus::Incomplete, 1, "3 of 9"),
        ] {
            let json = format!(
                r#"{{"table":"stuff","set":{{"a":1}},"dry_run":{dry_run},"max_passes":3}}"#
            );
            let request = Request::from_json(&json).unwrap();
            let mut record = new_run(&request, &table, &"somebody".into());
            record.pass = pass;
            let count = Verification {
                remaining,
                scanned: 9,
                ..Verification::new(8)
            };
            let found = what_follows(&record, &count);
            assert_eq!(
                (found.status, found.run, found.pass),
                (status, run, pass_then)
            );
            assert!(found.message.contains(says), "{}", found.message);
        }
    }
}
