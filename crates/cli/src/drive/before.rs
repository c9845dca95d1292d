//! What is looked at before a run of this process begins, so that whatever would end it is said before even the checkpoint table is
//! created. Writes nothing.

use backfill_core::engine::{holds, planner};
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::{Asks, PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::records::{RunRecord, RunStatus};
use backfill_core::request::NONE;
use backfill_core::table::TableDescription;
use backfill_core::{ErrorKind, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};

use crate::drive::records;

/// The run as it is stored, if it is there. A checkpoint table that can hold no records is refused with the keys that it has.
pub async fn stored(request: &Request, checkpoints: &CheckpointTable) -> Result<Option<RunRecord>> {
    match records::stored(request, checkpoints).await {
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            // It is there, so that this creates nothing, and looks at its keys.
            checkpoints.create_if_missing().await?;
            Err(error)
        }
        stored => stored,
    }
}

/// The run as it is stored, and whether the alarm is there and DynamoDB takes the predicate. These are reads of which none waits for
/// another one's answer.
pub async fn look(
    request: &Request,
    checkpoints: &CheckpointTable,
    connection: &Connection,
    description: &TableDescription,
) -> (Result<Option<RunRecord>>, Result<()>) {
    let (stored, alarm, predicate) = tokio::join!(
        stored(request, checkpoints),
        require_alarm(request, connection),
        judge_predicate(request, connection, description),
    );
    (stored, alarm.and(predicate))
}

/// Refuses a table with replicas before even the checkpoint table is created. A run that is there keeps what was said of it.
pub fn refuse_other_writers(
    request: &Request,
    stored: Option<&RunRecord>,
    description: &TableDescription,
) -> Result<()> {
    let requested = request.settings.kept(stored.map(|run| &run.settings));
    let settings = requested.choose(description.size_bytes);
    planner::refuse_other_writers(&settings, description)
}

/// True for a run that is there and has not failed: what it does to an item is known from the table itself, unless that is
/// another one by now.
pub fn has_worked(stored: Option<&RunRecord>, description: &TableDescription) -> bool {
    stored.is_some_and(|run| {
        run.status != RunStatus::Failed && run.is_of_another(&description.identity) != Some(true)
    })
}

/// Refuses an alarm that is not there before even the checkpoint table is created.
pub async fn require_alarm(request: &Request, connection: &Connection) -> Result<()> {
    match request.settings.pause_when.as_deref() {
        None | Some(NONE) => Ok(()),
        Some(alarm) => holds::require_alarm(&ReadOnly(connection.clone()), alarm).await,
    }
}

/// Lets DynamoDB judge the predicate before even the checkpoint table is created: reads one item.
pub async fn judge_predicate(
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<()> {
    let reader = ReadOnly(connection.clone()).reader(request.spec.change(&description.keys));
    let first_item = PageRequest {
        segment: 0,
        total_segments: 1,
        after: None,
        limit: 1,
        consistent: false,
        asks: Asks::Sweep,
    };
    retry(&Until::after(PATIENCE), || reader.page(first_item)).await?;
    Ok(())
}
