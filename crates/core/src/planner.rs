//! The planner: turns a request into a durable run, says which segments are open, and decides how a pass
//! ends. It writes run records and nothing else.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{
    Cursor, Proof, RunRecord, RunStatus, Settings, VERSION, default_max_rejected, now_ms, rfc3339,
};
use crate::metrics::Figures;
use crate::ports::{CheckpointReader, ReadAccess, RunStore};
use crate::request::{RequestedSettings, check_run_id};
use crate::retry::{PATIENCE, Until, retry};
use crate::table::{TableDescription, default_segments, explain_segments, spread_order};
use crate::value::Key;
use crate::verifier::Verification;
use crate::{Error, ErrorKind, Request, Result};

/// Where the operator gives none.
const DEFAULT_CONCURRENCY: u32 = 8;
/// Ten minutes: short enough for Lambda's 900 s, and long enough that its start counts for nothing.
const DEFAULT_TIME_BOX_SECONDS: u64 = 600;
const DEFAULT_PASSES: u32 = 3;

/// Most segments in one plan. A list of 10,000 numbers of up to seven digits is 80 kB of JSON, far below the
/// 256 KiB of state that Step Functions allows; more open segments are worked off in further rounds.
const SEGMENTS_PER_PLAN: usize = 10_000;

/// How long a table's description is tried: an operator is waiting, and a wrong endpoint should be said soon.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// How often worker and verifier look whether the run still is its owner's and goes on, and at what rate.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Changes of a run record are made again, on top of what somebody else has changed, this often.
const MAX_CONFLICTS: u32 = 20;

/// What is to be done next: the answer to `plan` and `next`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub run_id: String,
    pub pass: u32,
    /// True while no item of this pass has shown that the update extinguishes the predicate: then the first of
    /// `segments` gets a short trial chunk of its own, which looks for one.
    pub trial: bool,
    /// Open segments in the order in which to take them; at most [`SEGMENTS_PER_PLAN`], so ask again after
    /// them. Empty: the pass is swept, and it is time to verify.
    pub segments: Vec<u32>,
    pub max_concurrency: u32,
    /// The verification to begin with when no segment is open.
    pub verification: Verification,
}

/// How a pass ended: the answer to `conclude`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    pub status: ConclusionStatus,
    pub run_id: String,
    /// The pass that is current now: with `next_pass`, the new one.
    pub pass: u32,
    pub remaining: u64,
    /// Up to ten keys of items that remain.
    pub samples: Vec<Key>,
    /// For a person.
    pub message: String,
}

/// What ended a run before its time: an error's name and its sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub error: String,
    pub message: String,
}

impl Failure {
    /// From an error output of Step Functions. The cause of a failed function is JSON with an `errorMessage`
    /// (Lambda developer guide, Function errors); any other cause is the sentence itself.
    pub fn caught(error: &str, cause: &str) -> Failure {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct FunctionError {
            error_message: String,
        }
        // Serde would take the first element of an array for it.
        let parse_cause = |cause: &str| -> Option<FunctionError> {
            let is_object = cause.trim_start().starts_with('{');
            is_object.then(|| serde_json::from_str(cause).ok())?
        };
        Failure {
            error: error.to_owned(),
            message: match parse_cause(cause) {
                Some(function) => function.error_message,
                None => cause.to_owned(),
            },
        }
    }
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
    Succeeded,
    NextPass,
    Incomplete,
}

/// Describes the table that a spec names and refuses what cannot work on it. Reads only.
pub async fn describe<A: ReadAccess>(access: &A, request: &Request) -> Result<TableDescription> {
    let table = &request.spec.table;
    let description = retry(&Until::after(DESCRIBE_PATIENCE), || access.describe(table)).await?;
    if description.status != "ACTIVE" {
        return Err(Error::new(
            ErrorKind::TableNotActive,
            format!(
                "table: {table} is {}, expected ACTIVE; try again when it is",
                description.status
            ),
        ));
    }
    request.spec.check_against(&description.keys)?;
    Ok(description)
}

/// The settings of a request, with what the operator left open chosen for a table of this size.
pub fn choose_settings(requested: &RequestedSettings, size_bytes: u64) -> Settings {
    let max_concurrency = requested.max_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
    Settings {
        total_segments: requested
            .total_segments
            .unwrap_or_else(|| default_segments(size_bytes, max_concurrency)),
        only_segments: requested.only_segments.clone().unwrap_or_default(),
        max_concurrency,
        time_box_seconds: requested
            .time_box_seconds
            .unwrap_or(DEFAULT_TIME_BOX_SECONDS),
        max_passes: requested.max_passes.unwrap_or(DEFAULT_PASSES),
        max_wcu: requested.max_wcu,
        max_rcu: requested.max_rcu,
        writer: requested.writer.unwrap_or_default(),
        max_rejected: requested.max_rejected.unwrap_or_else(default_max_rejected),
        dry_run: requested.dry_run,
    }
}

/// A change of the budget: what is left out stays, and `Some(None)` takes the limit away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    pub max_wcu: Option<Option<u32>>,
    pub max_rcu: Option<Option<u32>>,
}

/// The error of a [`Failure`] that is none: the operator has stopped the run. The state machine knows it by this name.
pub const STOPPED: &str = "Stopped";

/// A change of the run record, made again where somebody else has changed it in between.
async fn despite_conflicts<T, F, Fut>(change: F) -> Result<T>
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

/// Plans runs on the tables of `access`, with their records in `store`.
pub struct Planner<A, S> {
    pub access: A,
    pub store: S,
}

impl<A: ReadAccess, S: RunStore> Planner<A, S> {
    /// Starts or resumes the run of a request on behalf of `owner`. Refuses bad input before anything is
    /// written.
    pub async fn plan(&self, request: &Request, owner: &str) -> Result<Plan> {
        let description = describe(&self.access, request).await?;
        let stored = load_stored(&self.store, &request.run_id()).await?;
        let record = preview(stored, request, &description, owner)?;
        self.check_only_segments(&record).await?;
        self.save(&record).await?;
        tracing::info!(
            run_id = record.run_id,
            table = record.spec.table,
            pass = record.pass,
            total_segments = record.settings.total_segments,
            "{}",
            record.message
        );
        let plan = self.what_is_next(&record).await;
        if let Err(error) = &plan
            && error.kind() != ErrorKind::NotRunning
        {
            // The caller knows of no run yet, so nobody else will record this.
            let recorded = self.fail(&record.run_id, owner, error.into()).await;
            if let Err(second) = recorded {
                tracing::warn!(error = second.report(), "could not record the failure");
            }
        }
        plan
    }

    /// Refuses segments of which none is left.
    async fn check_only_segments(&self, record: &RunRecord) -> Result<()> {
        let settings = &record.settings;
        if settings.only_segments.is_empty() {
            return Ok(());
        }
        let plan = self.open_segments(record, |s| settings.includes(s)).await?;
        if plan.segments.is_empty() {
            let why = format!("{} is swept already; {SWEPT_ADVICE}", canary(settings));
            return Err(Error::invalid("only_segments", why));
        }
        Ok(())
    }

    /// The segments that are still open in this pass of `owner`'s run.
    pub async fn next(&self, run_id: &str, pass: u32, owner: &str) -> Result<Plan> {
        let record = load(&self.store, run_id, pass, owner).await?;
        self.what_is_next(&record).await
    }

    /// The open segments; `NotRunning` where those that were picked out are swept and others are not: then the run is paused.
    async fn what_is_next(&self, record: &RunRecord) -> Result<Plan> {
        let settings = &record.settings;
        let plan = self.open_segments(record, |s| settings.includes(s)).await?;
        if !plan.segments.is_empty() || settings.only_segments.is_empty() {
            return Ok(plan);
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
    async fn open_segments(&self, record: &RunRecord, which: impl Fn(u32) -> bool) -> Result<Plan> {
        let settings = &record.settings;
        if settings.dry_run {
            return Ok(Plan {
                run_id: record.run_id.clone(),
                pass: record.pass,
                trial: false,
                segments: Vec::new(),
                max_concurrency: settings.max_concurrency,
                verification: Verification::new(settings.total_segments),
            });
        }
        let started = retry(&Until::after(PATIENCE), || {
            self.store.segments(&record.run_id, record.pass)
        })
        .await?;
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
        Ok(Plan {
            run_id: record.run_id.clone(),
            pass: record.pass,
            trial: !started.iter().any(|segment| segment.trial_passed),
            segments: spread_order(settings.total_segments, settings.max_concurrency)
                .filter(|segment| which(*segment) && !exhausted.contains(segment))
                .take(SEGMENTS_PER_PLAN)
                .collect(),
            max_concurrency: settings.max_concurrency,
            verification: Verification::new(settings.total_segments),
        })
    }

    /// Records a complete verification and decides: succeeded, another pass, or incomplete. Saying it twice
    /// changes nothing.
    pub async fn conclude(
        &self,
        run_id: &str,
        pass: u32,
        owner: &str,
        verification: &Verification,
    ) -> Result<Conclusion> {
        despite_conflicts(|| self.try_to_conclude(run_id, pass, owner, verification)).await
    }

    async fn try_to_conclude(
        &self,
        run_id: &str,
        pass: u32,
        owner: &str,
        verification: &Verification,
    ) -> Result<Conclusion> {
        if !verification.done {
            return Err(Error::invalid("verification.done", "expected true"));
        }
        let mut record = load_owned(&self.store, run_id, owner).await?;
        let remaining = verification.remaining;
        let conclusion = |status, pass, message: String| Conclusion {
            status,
            run_id: run_id.to_owned(),
            pass,
            remaining,
            samples: verification.samples.clone(),
            message,
        };
        if record.pass > pass {
            // The answer to an earlier call for this pass was lost.
            return Ok(conclusion(
                ConclusionStatus::NextPass,
                record.pass,
                record.message,
            ));
        }
        if record.status.is_finished() {
            let status = match record.status {
                _ if record.settings.dry_run => ConclusionStatus::Succeeded,
                RunStatus::Succeeded => ConclusionStatus::Succeeded,
                _ => ConclusionStatus::Incomplete,
            };
            return Ok(conclusion(status, pass, record.message));
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
        let samples: Vec<String> = verification.samples.iter().map(Key::to_string).collect();
        let status = if record.settings.dry_run {
            let status = match remaining {
                0 => RunStatus::Succeeded,
                _ => RunStatus::Incomplete,
            };
            record.change_status(status, owner)?;
            record.message = format!(
                "dry run: {remaining} of {} items are pending, by a strongly consistent count",
                verification.scanned
            );
            ConclusionStatus::Succeeded
        } else if remaining == 0 {
            record.change_status(RunStatus::Succeeded, owner)?;
            record.message = format!(
                "nothing is pending: a strongly consistent count over {} items came to 0",
                verification.scanned
            );
            ConclusionStatus::Succeeded
        } else if record.pass < record.last_pass {
            record.pass += 1;
            record.note(owner, "pass", pass, record.pass);
            record.message = format!(
                "{remaining} items were still pending after pass {pass}, such as {}; beginning pass {}",
                samples.join(", "),
                record.pass
            );
            ConclusionStatus::NextPass
        } else {
            record.change_status(RunStatus::Incomplete, owner)?;
            record.message = format!(
                "{remaining} items are still pending after {} passes, such as {}; start the run again for \
                 further passes, and look for a writer that leaves the attribute out",
                record.passes(),
                samples.join(", ")
            );
            ConclusionStatus::Incomplete
        };
        record.ended_ms = record.status.is_finished().then(now_ms);
        record.verification_rcu += verification.consumed_rcu;
        record.verification_seconds += verification.seconds;
        record.proof = Some(Proof {
            remaining,
            scanned: verification.scanned,
            samples: verification.samples.clone(),
            at_ms: now_ms(),
        });
        record.revision += 1;
        self.save(&record).await?;
        tracing::info!(run_id, pass, remaining, "{}", record.message);
        Ok(conclusion(status, record.pass, record.message))
    }

    /// Records that an error ended the run of `owner`, and returns the failure that counts: the first one.
    /// The checkpoints stay, so the run can be resumed. A run that somebody else has taken over goes on: its
    /// record is left alone.
    pub async fn fail(&self, run_id: &str, owner: &str, failure: Failure) -> Result<Failure> {
        despite_conflicts(|| self.try_to_fail(run_id, owner, failure.clone())).await
    }

    async fn try_to_fail(&self, run_id: &str, owner: &str, failure: Failure) -> Result<Failure> {
        let mut record = load_any(&self.store, run_id).await?;
        if record.owner != owner {
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
        record.error = Some(failure.error.clone());
        self.end(record, RunStatus::Failed, &failure.message, owner)
            .await?;
        Ok(failure)
    }

    /// Records that the operator stopped `owner`'s run (`Paused` or `Cancelled`); starting it again resumes it. A
    /// run that has ended, or that somebody else has taken over, is left alone.
    pub async fn stop(&self, run_id: &str, owner: &str, status: RunStatus) -> Result<()> {
        despite_conflicts(|| async {
            let record = load_any(&self.store, run_id).await?;
            if record.owner != owner || record.status != RunStatus::Running {
                return Ok(());
            }
            let message = "stopped by the operator; start it again to resume";
            self.end(record, status, message, owner).await
        })
        .await
    }

    /// Pauses or cancels a run wherever it goes on, in the name of `by`. Whoever works for it notices within seconds, saves
    /// its checkpoints and ends. Returns the state before; where that is the wanted one, nothing changes. `InvalidInput`
    /// where the run is in a state that allows no such change.
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

    /// Whether the operator has stopped `owner`'s run, and how.
    pub async fn stopped(&self, run_id: &str, owner: &str) -> Result<Option<RunStatus>> {
        let record = load_any(&self.store, run_id).await?;
        Ok((record.owner == owner && record.status.is_stopped()).then_some(record.status))
    }

    /// Changes the budget of a run, also while it goes on: its workers follow within ten seconds. A run that has ended has
    /// the new one when it is started again. Returns the settings before and after.
    pub async fn set_rate(
        &self,
        run_id: &str,
        rate: Rate,
        by: &str,
    ) -> Result<(Settings, Settings)> {
        despite_conflicts(|| async {
            let mut record = load_any(&self.store, run_id).await?;
            let before = record.settings.clone();
            if let Some(max_wcu) = rate.max_wcu {
                record.settings.max_wcu = max_wcu;
            }
            if let Some(max_rcu) = rate.max_rcu {
                record.settings.max_rcu = max_rcu;
            }
            let after = record.settings.clone();
            record.note(by, "max_wcu", limit(before.max_wcu), limit(after.max_wcu));
            record.note(by, "max_rcu", limit(before.max_rcu), limit(after.max_rcu));
            if after != before {
                record.revision += 1;
                self.save(&record).await?;
            }
            Ok((before, after))
        })
        .await
    }

    async fn end(
        &self,
        mut record: RunRecord,
        status: RunStatus,
        message: &str,
        by: &str,
    ) -> Result<()> {
        record.change_status(status, by)?;
        record.message = match record.ended_ms {
            // A run that is cancelled after it ended: why and when it ended stays.
            Some(_) => format!("{message}; before: {}", record.message),
            None => message.to_owned(),
        };
        record.ended_ms.get_or_insert_with(now_ms);
        record.revision += 1;
        self.save(&record).await
    }

    async fn save(&self, record: &RunRecord) -> Result<()> {
        retry(&Until::after(PATIENCE), || self.store.save_run(record)).await
    }
}

/// Reads a run record for work on one of its passes. Refuses it where it is missing (`InvalidInput`), belongs to
/// somebody else or has gone on to another pass (`Fenced`), or was ended (`NotRunning`).
pub(crate) async fn load<S: CheckpointReader>(
    store: &S,
    run_id: &str,
    pass: u32,
    owner: &str,
) -> Result<RunRecord> {
    let record = load_owned(store, run_id, owner).await?;
    if record.pass != pass {
        return Err(Error::new(
            ErrorKind::Fenced,
            format!(
                "run {run_id}: pass {pass} was asked for, but pass {} is the current one",
                record.pass
            ),
        ));
    }
    require_running(&record)?;
    Ok(record)
}

fn require_running(record: &RunRecord) -> Result<()> {
    if record.status == RunStatus::Running {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::NotRunning,
        format!(
            "run {} is {}: {}; start it again to go on",
            record.run_id,
            record.status.name(),
            record.message
        ),
    ))
}

async fn load_owned<S: CheckpointReader>(
    store: &S,
    run_id: &str,
    owner: &str,
) -> Result<RunRecord> {
    let record = load_any(store, run_id).await?;
    if record.owner != owner {
        return Err(taken_over(&record, owner));
    }
    Ok(record)
}

fn taken_over(record: &RunRecord, former: &str) -> Error {
    Error::new(
        ErrorKind::Fenced,
        format!(
            "run {} was taken over by {}; {former} stops here",
            record.run_id, record.owner
        ),
    )
}

async fn load_any<S: CheckpointReader>(store: &S, run_id: &str) -> Result<RunRecord> {
    check_run_id(run_id)?;
    load_stored(store, run_id).await?.ok_or_else(|| {
        Error::invalid(
            "run_id",
            format!("there is no run {run_id} in the checkpoint table"),
        )
    })
}

async fn load_stored<S: CheckpointReader>(store: &S, run_id: &str) -> Result<Option<RunRecord>> {
    retry(&Until::after(PATIENCE), || store.run(run_id)).await
}

/// The record with which `owner` would begin or continue a run, made from the one that is stored, if there is one. Changes
/// nothing. Refuses what [`Planner::plan`] refuses, but for segments that are swept already.
pub fn preview(
    stored: Option<RunRecord>,
    request: &Request,
    description: &TableDescription,
    owner: &str,
) -> Result<RunRecord> {
    let record = match stored {
        None => new_run(request, description, owner),
        Some(stored) => continued_run(stored, request, description, owner)?,
    };
    let settings = &record.settings;
    let last = settings.total_segments.saturating_sub(1);
    if let Some(segment) = settings.only_segments.iter().find(|s| **s > last) {
        let why = format!("segment {segment} is outside 0..{last}");
        return Err(Error::invalid("only_segments", why));
    }
    Ok(record)
}

pub(crate) fn new_run(request: &Request, description: &TableDescription, owner: &str) -> RunRecord {
    let settings = choose_settings(&request.settings, description.size_bytes);
    let last_pass = settings.max_passes;
    let segments = explain_segments(
        settings.total_segments,
        description.size_bytes,
        settings.max_concurrency,
    );
    RunRecord {
        version: VERSION,
        run_id: request.run_id(),
        fingerprint: request.spec.fingerprint(),
        spec: request.spec.clone(),
        keys: description.keys.clone(),
        table_identity: description.identity.clone(),
        estimated_items: description.item_count,
        settings,
        status: RunStatus::Running,
        message: format!("started with {segments}"),
        error: None,
        first_pass: 1,
        pass: 1,
        last_pass,
        owner: owner.into(),
        started_ms: now_ms(),
        ended_ms: None,
        proof: None,
        verification_rcu: 0.0,
        verification_seconds: 0.0,
        events: Vec::new(),
        revision: 1,
    }
}

/// The record of a run that is there already: resumed, in a new pass, or started over.
fn continued_run(
    stored: RunRecord,
    request: &Request,
    description: &TableDescription,
    owner: &str,
) -> Result<RunRecord> {
    let mut requested = request.settings.clone();
    if !requested.fresh && stored.fingerprint != request.spec.fingerprint() {
        return Err(Error::new(
            ErrorKind::RunMismatch,
            format!(
                "run_id: run {} has another spec\n  stored:    {}: {}\n  requested: {}: {}\n\
                 give another run id, or start over with fresh",
                stored.run_id,
                stored.spec.table,
                stored.spec.describe(),
                request.spec.table,
                request.spec.describe(),
            ),
        ));
    }
    // Cursors mean nothing in another table of the same name.
    let recreated = !requested.fresh && stored.table_identity != description.identity;
    let over = requested.fresh || recreated;
    if !over {
        let total = stored.settings.total_segments;
        match requested.total_segments {
            Some(asked) if asked != total => {
                return Err(Error::new(
                    ErrorKind::RunMismatch,
                    format!(
                        "total_segments: run {} was cut into {total} segments, and {asked} were requested; \
                         leave the number out to go on, give another run id, or start over with fresh",
                        stored.run_id
                    ),
                ));
            }
            // Without a word from the operator a run keeps the segments that its cursors belong to.
            _ => requested.total_segments = Some(total),
        }
    }
    if stored.settings.dry_run != requested.dry_run {
        let is = |dry| if dry { "a dry run" } else { "no dry run" };
        return Err(Error::new(
            ErrorKind::RunMismatch,
            format!(
                "dry_run: run {} is {}, and this is to be {}; give another run id",
                stored.run_id,
                is(stored.settings.dry_run),
                is(requested.dry_run)
            ),
        ));
    }
    let held = stored.status == RunStatus::Running && stored.owner != owner;
    let is_dead = requested.take_over || requested.take_over_from.as_ref() == Some(&stored.owner);
    if stored.owner == owner && stored.status.is_stopped() {
        // A plan that is tried again must not undo what the operator said meanwhile.
        require_running(&stored)?;
    }
    if held && !is_dead {
        return Err(Error::new(
            ErrorKind::ActiveElsewhere,
            format!(
                "run_id: run {} has been held since {} by {}; wait for it or stop it, or, if that one is known to be \
                 dead, take the run over with --take-over (in the input of an execution: \"take_over\": true)",
                stored.run_id,
                rfc3339(stored.started_ms),
                stored.owner,
            ),
        ));
    }
    if !requested.fresh {
        // Nor does a budget go away by itself.
        requested.max_wcu = requested.max_wcu.or(stored.settings.max_wcu);
        requested.max_rcu = requested.max_rcu.or(stored.settings.max_rcu);
        requested.writer = requested.writer.or(Some(stored.settings.writer));
        requested.max_rejected = requested
            .max_rejected
            .or(Some(stored.settings.max_rejected));
        // Nor does anything else that was chosen once.
        let chosen = &stored.settings;
        requested.max_concurrency = requested.max_concurrency.or(Some(chosen.max_concurrency));
        requested.time_box_seconds = requested.time_box_seconds.or(Some(chosen.time_box_seconds));
        requested.max_passes = requested.max_passes.or(Some(chosen.max_passes));
    }
    let new = new_run(request, description, owner);
    let settings = choose_settings(&requested, description.size_bytes);
    let new_pass = over || stored.status.is_finished();
    let pass = stored.pass + u32::from(new_pass);
    let mut record = RunRecord {
        last_pass: pass + settings.max_passes - 1,
        settings,
        message: if recreated {
            format!(
                "started over: table {} was created anew since",
                stored.spec.table
            )
        } else if over {
            "started over as requested".into()
        } else if new_pass {
            format!(
                "started again with pass {pass}; the run had {}",
                stored.status.name()
            )
        } else {
            let former = if held {
                format!("taken over from {}", stored.owner)
            } else {
                stored.status.name().to_owned()
            };
            format!("resumed in pass {pass}; the run was {former}")
        },
        first_pass: if over { pass } else { stored.first_pass },
        pass,
        verification_rcu: if over { 0.0 } else { stored.verification_rcu },
        verification_seconds: if over {
            0.0
        } else {
            stored.verification_seconds
        },
        revision: stored.revision + 1,
        events: stored.events,
        ..new
    };
    let (old, new) = (&stored.settings, record.settings.clone());
    record.status = stored.status;
    record.change_status(RunStatus::Running, owner)?;
    record.note(owner, "owner", &stored.owner, owner);
    record.note(owner, "max_wcu", limit(old.max_wcu), limit(new.max_wcu));
    record.note(owner, "max_rcu", limit(old.max_rcu), limit(new.max_rcu));
    record.note(
        owner,
        "max_concurrency",
        old.max_concurrency,
        new.max_concurrency,
    );
    record.note(
        owner,
        "time_box_seconds",
        old.time_box_seconds,
        new.time_box_seconds,
    );
    record.note(owner, "max_rejected", old.max_rejected, new.max_rejected);
    record.note(
        owner,
        "total_segments",
        old.total_segments,
        new.total_segments,
    );
    record.note(
        owner,
        "only_segments",
        listed(&old.only_segments),
        listed(&new.only_segments),
    );
    record.note(owner, "max_passes", old.max_passes, new.max_passes);
    record.note(owner, "writer", old.writer.name(), new.writer.name());
    record.note(owner, "pass", stored.pass, pass);
    Ok(record)
}

/// Goes on after [`canary`] "is swept".
const SWEPT_ADVICE: &str =
    "start the run again without only_segments to go on with the others and to verify";

/// "the canary (segments 0,7 out of 0 to 99)".
fn canary(settings: &Settings) -> String {
    let only = &settings.only_segments;
    format!(
        "the canary ({} {} out of 0 to {})",
        if only.len() == 1 {
            "segment"
        } else {
            "segments"
        },
        listed(only),
        settings.total_segments.saturating_sub(1)
    )
}

fn listed(segments: &[u32]) -> String {
    if segments.is_empty() {
        return "all".into();
    }
    let segments: Vec<String> = segments.iter().map(u32::to_string).collect();
    segments.join(",")
}

fn limit(units: Option<u32>) -> String {
    units.map_or_else(|| "none".into(), |units| units.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_error_says_its_sentence() {
        for (cause, message) in [
            (r#"{"errorType":"InvalidSpec","errorMessage":"no"}"#, "no"),
            ("A threshold was exceeded.", "A threshold was exceeded."),
            (r#"{"other":1}"#, r#"{"other":1}"#),
            (r#"["no"]"#, r#"["no"]"#),
            ("", ""),
        ] {
            let failure = Failure::caught("InvalidSpec", cause);
            assert_eq!(failure.error, "InvalidSpec");
            assert_eq!(failure.message, message);
        }
    }
}
