//! The planner: turns a request into a durable run, and chooses what the operator left open. It refuses bad input before
//! anything is written, and writes run records, and to the sums of a large run what they lack, and nothing else.

use std::time::Duration;

use tokio::time::sleep;

use crate::clock::{now_ms, rfc3339};
use crate::engine::canary;
use crate::engine::holds::require_alarm;
use crate::engine::own_records::{refuse_own_table, refuse_records};
use crate::engine::ownership::{load_stored, require_running};
use crate::engine::runs::{Round, Runs};
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::ports::{ReadAccess, RunStore};
use crate::records::{Owner, RunRecord, RunStatus, SummedPasses, layout_version, shards_of};
use crate::request::Settings;
use crate::table::{ACTIVE, TableDescription, explain_segments};
use crate::{Error, ErrorKind, Request, Result};

/// How long a table's description is tried: an operator is waiting, and a wrong endpoint should be said soon.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a table that is being created is waited for.
const CREATION_PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Describes the table that a spec names and refuses what cannot work on it. Waits up to two minutes for a table that is being
/// created. Reads only.
///
/// Errors: `TableNotFound`; `TableNotActive` if the table serves no data; `InvalidInput` if the spec would change a key, or if the
/// table holds records of runs.
pub async fn describe<A: ReadAccess>(access: &A, request: &Request) -> Result<TableDescription> {
    let table = &request.spec.table;
    let look = async || {
        let until = Until::after(DESCRIBE_PATIENCE);
        retry(&until, || access.describe(table)).await
    };
    let mut description = look().await?;
    if description.status == CREATING {
        let seconds = CREATION_PATIENCE.as_secs();
        tracing::warn!(
            table,
            "the table is being created; waiting for it, up to {seconds} s"
        );
        let until = Until::after(CREATION_PATIENCE);
        while description.status == CREATING && !until.is_over() {
            sleep(LOOK_AGAIN).await;
            description = match look().await {
                // A description may be older than the last one, and then knows of no table yet.
                Err(error) if error.kind() == ErrorKind::TableNotFound => continue,
                described => described?,
            };
        }
    }
    refuse_without_data(table, &description.status)?;
    request.spec.check_against(&description.keys)?;
    refuse_records(access, request, &description).await?;
    Ok(description)
}

/// The state of a table that is not there yet.
const CREATING: &str = "CREATING";

/// Refuses a table that serves no reads and writes in its state. A state that nobody knows yet is noted: DynamoDB is the judge
/// of what it serves in it.
fn refuse_without_data(table: &str, status: &str) -> Result<()> {
    let advice = match status {
        ACTIVE => return Ok(()),
        CREATING => {
            "try again when it is ACTIVE; a table that is restored from a backup can take hours"
        }
        "DELETING" => "create it anew, or name another",
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS" => {
            "let DynamoDB use the KMS key that it is encrypted with, and try again"
        }
        "ARCHIVING" | "ARCHIVED" => {
            "its KMS key was inaccessible for too long; restore it from its backup under another name"
        }
        _ => {
            tracing::info!(
                table,
                status,
                "the table is not ACTIVE, and serves reads and writes all the same"
            );
            return Ok(());
        }
    };
    Err(Error::new(
        ErrorKind::TableNotActive,
        format!("table: {table} is {status} and serves no reads and writes; {advice}"),
    ))
}

/// Refuses a run that would write to a table of which other regions have copies that know nothing of its conditions, unless
/// the operator says that nothing else writes there.
///
/// Errors: `InvalidInput`, naming `only_writer_region`.
pub fn refuse_other_writers(settings: &Settings, description: &TableDescription) -> Result<()> {
    let regions = &description.replicas;
    if settings.only_writer_region
        || settings.dry_run
        || regions.is_empty()
        || description.is_strong_everywhere
    {
        return Ok(());
    }
    Err(Error::invalid(
        "only_writer_region",
        format!(
            "the table has replicas in {}; a condition sees the items of this region alone, and of two writes to an item \
             the later one wins as a whole, so that a write of this run could undo one that was made there; if until the end \
             of the run nothing writes to the table in another region (no application, job, import or transaction, and no \
             failover), say so (only_writer_region)",
            regions.join(", ")
        ),
    ))
}

/// Plans runs on the tables of `access`, and leads them by their records in `runs`.
pub struct Planner<A, S> {
    /// Read access to the tables.
    pub access: A,
    /// The run records, by which runs are led.
    pub runs: Runs<S>,
}

impl<A: ReadAccess, S: RunStore> Planner<A, S> {
    /// A planner for the tables of `access`, with its records in `store`.
    pub fn new(access: A, store: S) -> Self {
        Planner {
            access,
            runs: Runs::new(store),
        }
    }

    /// Starts or resumes the run of a request on behalf of `owner`, and returns what is to be done first.
    ///
    /// Errors: those of [`describe`] and [`preview`], and `InvalidInput` if all segments picked out are swept already,
    /// before anything is written; `Conflict` if the record was changed meanwhile; `NotRunning` if there is nothing left
    /// to do but what was not picked out.
    pub async fn begin(&self, request: &Request, owner: &Owner) -> Result<Round> {
        refuse_own_table(request, &self.runs.store)?;
        let description = describe(&self.access, request).await?;
        let mut stored = load_stored(&self.runs.store, &request.run_id()).await?;
        if let Some(run) = &mut stored
            && run.status == RunStatus::Running
            && run.owner != *owner
        {
            run.ended_ms = Some(self.runs.last_sign_of(run).await?);
        }
        let is_new = stored.is_none();
        let former = stored.clone();
        let mut record = preview(stored, request, &description, owner)?;
        if let Some(former) = former {
            self.keep_sums(&former, &mut record).await?;
        }
        if is_new {
            self.begin_behind_what_is_left(&mut record).await?;
        }
        self.runs.check_only_segments(&record).await?;
        if let Some(alarm) = &record.settings.pause_when {
            require_alarm(&self.access, alarm).await?;
        }
        if let (Some(more), None) = (record.settings.pause_after, record.pause_at) {
            let before = canary::updated(&self.runs.store, &record).await?;
            record.pause_at = Some(before.saturating_add(more.into()));
        }
        self.runs.save(&record).await?;
        tracing::info!(
            run_id = record.run_id,
            table = record.spec.table,
            pass = record.pass,
            total_segments = record.settings.total_segments,
            "{}",
            record.message
        );
        let round = self.runs.what_is_next(&record).await;
        if let Err(error) = &round
            && error.kind() != ErrorKind::NotRunning
        {
            // The caller knows of no run yet, so nobody else will record this.
            let recorded = self.runs.fail(&record.run_id, owner, error.into()).await;
            if let Err(second) = recorded {
                tracing::warn!(error = second.report(), "could not record the failure");
            }
        }
        round
    }
}

impl<A: ReadAccess, S: RunStore> Planner<A, S> {
    /// Keeps the sums of a pass that goes on though its segments are taken in another order from now on, if none of them was left
    /// open: such a one would not be found by that order.
    async fn keep_sums(&self, former: &RunRecord, record: &mut RunRecord) -> Result<()> {
        if record.sums.is_none()
            && former.sums.is_some()
            && former.pass == record.pass
            && self.runs.has_left_none(former).await?
        {
            record.sums = former.sums;
        }
        Ok(())
    }

    /// Lets a new run begin in a pass of which there is no record yet. If the record of a run of its id was lost, as can happen in
    /// the days in which TTL removes them all, others of it may be left: of other segments, and claimed by a later revision.
    async fn begin_behind_what_is_left(&self, record: &mut RunRecord) -> Result<()> {
        let until = Until::after(PATIENCE);
        let latest = |shard| self.runs.store.latest_pass(record, shard);
        let left = retry_each(&until, 0..record.shards, latest).await?;
        let Some(left) = left.into_iter().flatten().max() else {
            return Ok(());
        };
        record.pass = left.saturating_add(1);
        record.first_pass = record.pass;
        record.last_pass = record.last_pass.saturating_add(left);
        record.message = format!(
            "started over: the record of the run was lost, and what is left of its passes up to {left} does not count"
        );
        tracing::warn!(run_id = record.run_id, "{}", record.message);
        Ok(())
    }
}

/// What a start beside the owner of a run that goes on is answered.
pub fn held_elsewhere(run: &RunRecord) -> Error {
    Error::new(
        ErrorKind::ActiveElsewhere,
        format!(
            "run_id: run {} has been held since {} by {}; wait for it or stop it, or, if its owner is known to be \
             dead, take it over (take_over)",
            run.run_id,
            rfc3339(run.started_ms),
            run.owner.brief(),
        ),
    )
}

/// The record with which `owner` would begin or continue a run, made from the one that is stored, if there is one. Changes
/// nothing.
///
/// Errors: `RunMismatch` if the stored run has another spec or another number of segments, or is a dry run and this is
/// none; `ActiveElsewhere` if somebody else holds it; `NotRunning` if the operator has stopped it since `owner` began it;
/// `InvalidInput` if a segment that is picked out does not exist, if a table with replicas is not said to be written in one
/// region only, or if the run is made by code that this program does not have.
pub fn preview(
    stored: Option<RunRecord>,
    request: &Request,
    description: &TableDescription,
    owner: &Owner,
) -> Result<RunRecord> {
    request.spec.require_code()?;
    let record = match stored {
        None => new_run(request, description, owner),
        Some(stored) => Continuation::new(stored, request, description, owner)?.record()?,
    };
    let settings = &record.settings;
    refuse_other_writers(settings, description)?;
    let last = settings.total_segments.saturating_sub(1);
    if let Some(segment) = settings.only_segments.iter().find(|s| **s > last) {
        let why = format!("expected 0 to {last}, got segment {segment}");
        return Err(Error::invalid("only_segments", why));
    }
    Ok(record)
}

pub(crate) fn new_run(
    request: &Request,
    description: &TableDescription,
    owner: &Owner,
) -> RunRecord {
    let settings = request.settings.choose(description.size_bytes);
    let last_pass = settings.max_passes;
    let segments = explain_segments(
        settings.total_segments,
        description.size_bytes,
        settings.max_concurrency,
        settings.workers(),
    );
    let shards = shards_of(settings.total_segments);
    RunRecord {
        version: layout_version(shards, &settings),
        run_id: request.run_id(),
        shards,
        sums: SummedPasses::from(1, shards, settings.max_concurrency),
        fingerprint: request.spec.fingerprint(),
        spec: request.spec.clone(),
        keys: description.keys.clone(),
        table_identity: description.identity.clone(),
        estimated_items: description.item_count,
        estimated_bytes: description.size_bytes,
        settings,
        status: RunStatus::Running,
        message: format!("started with {segments}"),
        error: None,
        first_pass: 1,
        pass: 1,
        last_pass,
        owner: owner.clone(),
        started_ms: now_ms(),
        sessions: 1,
        earlier_seconds: 0.0,
        ended_ms: None,
        proof: None,
        proven_ms: None,
        counted: None,
        hold: None,
        hold_looks: 0,
        pause_at: None,
        verification_rcu: 0.0,
        verification_seconds: 0.0,
        events: Vec::new(),
        revision: 1,
    }
}

/// Whether the open segments are taken in the same order by both.
fn is_taken_alike(one: &Settings, other: &Settings) -> bool {
    (one.max_concurrency, &one.only_segments) == (other.max_concurrency, &other.only_segments)
}

/// A run that is there already and is to go on: resumed, in a new pass, or started over.
struct Continuation<'a> {
    stored: RunRecord,
    request: &'a Request,
    description: &'a TableDescription,
    owner: &'a Owner,
    /// True if the table was created anew under its name since: cursors mean nothing in it.
    recreated: bool,
    /// True if somebody else holds the run; it goes on only if that one is known to be dead.
    held: bool,
}

impl<'a> Continuation<'a> {
    /// The continuation of a stored run.
    ///
    /// Errors: `RunMismatch` if the request is not for this run; `ActiveElsewhere` if somebody else holds the run;
    /// `NotRunning` if it is begun again by an owner whom the operator has stopped meanwhile.
    fn new(
        stored: RunRecord,
        request: &'a Request,
        description: &'a TableDescription,
        owner: &'a Owner,
    ) -> Result<Self> {
        let fresh = request.settings.fresh;
        let continuation = Continuation {
            recreated: !fresh && stored.table_identity != description.identity,
            held: stored.status == RunStatus::Running && stored.owner != *owner,
            stored,
            request,
            description,
            owner,
        };
        continuation.refuse_another_run()?;
        continuation.refuse_another_owner()?;
        Ok(continuation)
    }

    /// True if nothing of the earlier passes counts.
    fn starts_over(&self) -> bool {
        self.request.settings.fresh || self.recreated
    }

    fn refuse_another_run(&self) -> Result<()> {
        let (stored, request) = (&self.stored, self.request);
        let mismatch = |message| Err(Error::new(ErrorKind::RunMismatch, message));
        if !request.settings.fresh && stored.fingerprint != request.spec.fingerprint() {
            return mismatch(format!(
                "run_id: run {} has another spec\n  stored:    {}: {}\n  requested: {}: {}\n\
                 give another run id, or start over (fresh)",
                stored.run_id,
                stored.spec.table,
                stored.spec.describe(),
                request.spec.table,
                request.spec.describe(),
            ));
        }
        let total = stored.settings.total_segments;
        if let Some(asked) = request.settings.total_segments
            && asked != total
            && !self.starts_over()
        {
            return mismatch(format!(
                "total_segments: run {} was cut into {total} segments, and {asked} were requested; \
                 leave the number out to go on, give another run id, or start over (fresh)",
                stored.run_id
            ));
        }
        if stored.settings.dry_run != request.settings.dry_run {
            let is = |dry| if dry { "a dry run" } else { "no dry run" };
            return mismatch(format!(
                "dry_run: run {} is {}, and this is to be {}; give another run id",
                stored.run_id,
                is(stored.settings.dry_run),
                is(request.settings.dry_run)
            ));
        }
        Ok(())
    }

    fn refuse_another_owner(&self) -> Result<()> {
        let (stored, requested) = (&self.stored, &self.request.settings);
        if stored.owner == *self.owner && stored.status.is_stopped() {
            // A plan that is tried again must not undo what the operator said meanwhile.
            require_running(stored)?;
        }
        let is_dead = requested.take_over
            || requested.take_over_from.as_ref() == Some(&stored.owner.to_string());
        if self.held && !is_dead {
            return Err(held_elsewhere(stored));
        }
        Ok(())
    }

    /// The settings that are asked for, and else those that the run had: what was chosen once does not go away by itself.
    fn settings(&self) -> Settings {
        let asked = &self.request.settings;
        let mut requested = asked.kept(Some(&self.stored.settings));
        if self.recreated {
            // No cursor belongs to them any more.
            requested.total_segments = asked.total_segments;
        }
        requested.choose(self.description.size_bytes)
    }

    /// The record with which the run goes on.
    fn record(self) -> Result<RunRecord> {
        let settings = self.settings();
        let over = self.starts_over();
        let new_pass = over || self.stored.status.is_finished();
        let pass = self.stored.pass + u32::from(new_pass);
        let message = self.message(pass, new_pass);
        let proven_ms = self.stored.last_proven_ms().filter(|_| !over);
        // One that has found items outlasts a start over: they are pending until somebody counts again.
        let is_of_change = self.stored.fingerprint == self.request.spec.fingerprint()
            && self.stored.table_identity == self.description.identity;
        let counted = self.stored.last_count();
        let counted = counted.filter(|counted| !over || (is_of_change && counted.remaining > 0));
        let (sessions, earlier_seconds) = self.sessions_before();
        let stored = self.stored;
        let shards = if over {
            shards_of(settings.total_segments).max(stored.shards)
        } else {
            stored.shards
        };
        let next_sums = SummedPasses::from(pass, shards, settings.max_concurrency);
        let sums = match stored.sums {
            _ if over => next_sums,
            None if new_pass => next_sums,
            Some(_) if !new_pass && !is_taken_alike(&stored.settings, &settings) => None,
            stored => stored,
        };
        let mut record = RunRecord {
            version: layout_version(shards, &settings),
            shards,
            sums,
            // A canary that was interrupted goes on to its end. One that came to it is none any more.
            pause_at: stored
                .pause_at
                .filter(|_| !new_pass && settings.pause_after == stored.settings.pause_after),
            last_pass: pass + settings.max_passes - 1,
            settings,
            message,
            status: stored.status,
            first_pass: if over { pass } else { stored.first_pass },
            pass,
            verification_rcu: if over { 0.0 } else { stored.verification_rcu },
            verification_seconds: if over {
                0.0
            } else {
                stored.verification_seconds
            },
            sessions: sessions.saturating_add(1),
            earlier_seconds,
            revision: stored.revision + 1,
            events: stored.events,
            ..new_run(self.request, self.description, self.owner)
        };
        record.proven_ms = proven_ms;
        record.counted = counted;
        let owner = self.owner;
        record.change_status(RunStatus::Running, owner)?;
        record.note(owner, "owner", &stored.owner, owner);
        let identity = record.table_identity.clone();
        record.note(owner, "table", &stored.table_identity, identity);
        for (setting, old, new) in record.settings.changes_since(&stored.settings) {
            record.note(owner, setting, old, new);
        }
        record.note(owner, "pass", stored.pass, pass);
        Ok(record)
    }

    /// How many sessions the run had before this one, and their seconds. A plan that is tried again begins no other session.
    fn sessions_before(&self) -> (u32, f64) {
        let stored = &self.stored;
        if self.starts_over() {
            return (0, 0.0);
        }
        if stored.status == RunStatus::Running && stored.owner == *self.owner {
            return (stored.sessions.saturating_sub(1), stored.earlier_seconds);
        }
        let seconds = stored.earlier_seconds + stored.session_seconds();
        (stored.sessions, seconds)
    }

    /// How the run goes on, for a person.
    fn message(&self, pass: u32, new_pass: bool) -> String {
        let stored = &self.stored;
        if self.recreated {
            format!(
                "started over: table {} was created anew since",
                stored.spec.table
            )
        } else if self.starts_over() {
            "started over as requested".into()
        } else if new_pass {
            format!(
                "started again with pass {pass}; the run had {}",
                stored.status.name()
            )
        } else {
            let former = if self.held {
                format!("taken over from {}", stored.owner.brief())
            } else {
                stored.status.name().to_owned()
            };
            format!("resumed in pass {pass}; the run was {former}")
        }
    }
}
