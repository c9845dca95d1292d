//! Other runs of the same table. They are allowed, and told.

use backfill_core::clock::now_ms;
use backfill_core::records::RunStatus;
use backfill_core::survey::{OtherRun, SurveyAccess as _, TableFacts, other_runs};
use backfill_core::view::glance::Glance;
use backfill_core::{ErrorKind, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};

use crate::drive::described::Described;
use crate::drive::executions::Executions;
use crate::drive::{owner, records};
use crate::show::print;
use crate::show::runs::{Holder, words_of};

/// The other runs of a request's table that go on, by the records of one checkpoint table. None, and a line in the log, if these
/// cannot be read.
pub async fn others(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
) -> Vec<OtherRun> {
    match try_others(request, connection, checkpoints).await {
        Ok(others) => others,
        // Nobody has begun a run there.
        Err(error) if error.kind() == ErrorKind::TableNotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(
                "cannot see whether other runs of table {} go on: {}",
                request.spec.table,
                error.report()
            );
            Vec::new()
        }
    }
}

async fn try_others(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
) -> Result<Vec<OtherRun>> {
    let own = request.run_id();
    let mut runs = checkpoints.runs_of(&request.spec.table).await?.readable();
    runs.retain(|run| run.status == RunStatus::Running && run.run_id != own);
    let mut others = Vec::new();
    if runs.is_empty() {
        return Ok(others);
    }
    let executions = Executions::new(connection);
    for run in runs {
        let holder = owner::holder(&run, &executions).await;
        let Some(holder) = holder.filter(|holder| *holder != Holder::Gone) else {
            continue;
        };
        let glance = Glance::at(checkpoints, &run).await?;
        let known = words_of(holder, &glance, now_ms());
        others.push(OtherRun {
            held_by: format!("{}, {known}", run.owner.brief()),
            change: run.spec.describe(),
            run_id: run.run_id,
            checkpoint_table: checkpoints.name().to_owned(),
            max_wcu: run.settings.max_wcu,
            max_rcu: run.settings.max_rcu,
        });
    }
    Ok(others)
}

/// Says on stderr which other runs of the table go on, to somebody who is not asked and has seen no plan.
pub async fn warn(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    table: &Described<'_>,
) {
    let others = others(request, connection, checkpoints).await;
    if others.is_empty() {
        return;
    }
    // Whatever keeps it from being read, the run itself will say.
    let stored = records::stored(request, checkpoints).await.ok().flatten();
    let kept = stored.as_ref().map(|run| &run.settings);
    let settings = request.settings.kept(kept).choose(0);
    let facts = facts(request, connection, table).await;
    print::warnings(&other_runs(&others, &settings, facts.as_ref(), 1.0));
}

/// What the table takes, if it may be known.
async fn facts(
    request: &Request,
    connection: &Connection,
    table: &Described<'_>,
) -> Option<TableFacts> {
    let description = table.get().await.ok()?;
    let access = ReadOnly(connection.clone());
    let facts = access.facts(&request.spec.table, &description.keys).await;
    facts.ok()
}
