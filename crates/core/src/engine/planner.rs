//! The planner: turns a request into a durable run, and chooses what the operator left open. It writes run records and
//! nothing else.

use std::time::Duration;

use crate::clock::{now_ms, rfc3339};
use crate::engine::ownership::{load_stored, require_running};
use crate::engine::runs::{Round, Runs, limit, listed};
use crate::pace::retry::{Until, retry};
use crate::ports::{ReadAccess, RunStore};
use crate::records::{Owner, RunRecord, RunStatus, VERSION};
use crate::request::{RequestedSettings, Settings, default_max_rejected};
use crate::table::{TableDescription, default_segments, explain_segments};
use crate::{Error, ErrorKind, Request, Result};

/// Where the operator gives none.
const DEFAULT_CONCURRENCY: u32 = 8;

/// Ten minutes: short enough for Lambda's 900 s, and long enough that its start counts for nothing.
const DEFAULT_TIME_BOX_SECONDS: u64 = 600;

const DEFAULT_PASSES: u32 = 3;

/// How long a table's description is tried: an operator is waiting, and a wrong endpoint should be said soon.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(5);

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

/// Plans runs on the tables of `access`, and leads them by their records in `runs`.
pub struct Planner<A, S> {
    pub access: A,
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

    /// Starts or resumes the run of a request on behalf of `owner`. Refuses bad input before anything is
    /// written.
    pub async fn plan(&self, request: &Request, owner: &Owner) -> Result<Round> {
        let description = describe(&self.access, request).await?;
        let stored = load_stored(&self.runs.store, &request.run_id()).await?;
        let record = preview(stored, request, &description, owner)?;
        self.runs.check_only_segments(&record).await?;
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

/// The record with which `owner` would begin or continue a run, made from the one that is stored, if there is one. Changes
/// nothing. Refuses what [`Planner::plan`] refuses, but for segments that are swept already.
pub fn preview(
    stored: Option<RunRecord>,
    request: &Request,
    description: &TableDescription,
    owner: &Owner,
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

pub(crate) fn new_run(
    request: &Request,
    description: &TableDescription,
    owner: &Owner,
) -> RunRecord {
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
        owner: owner.clone(),
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
    owner: &Owner,
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
    let held = stored.status == RunStatus::Running && stored.owner != *owner;
    let is_dead =
        requested.take_over || requested.take_over_from.as_ref() == Some(&stored.owner.to_string());
    if stored.owner == *owner && stored.status.is_stopped() {
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
