//! A guard that is to be on: the stream that it watches, whoever is to watch it, and what keeps it from being switched on.

use backfill_core::guard::{FoundMapping, SwitchOn};
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::records::Watcher;
use backfill_core::table::KeySchema;
use backfill_core::{Error, ErrorKind, Result, Spec};
use backfill_dynamodb::{CheckpointTable, Connection, Streams, TableStream};

use crate::drive::guard::mapping;
use crate::drive::owner;
use crate::show::print;

/// The ARN of the stream of a table, which a guard can watch.
///
/// Errors: `InvalidInput`, naming the table, if its stream is off or carries no new images, with what to type; those of DescribeTable.
pub async fn stream_of(streams: &Streams, table: &str) -> Result<String> {
    let read = || streams.of_table(table);
    let on = format!(
        "aws dynamodb update-table --table-name {table} --stream-specification \
         StreamEnabled=true,StreamViewType=NEW_IMAGE"
    );
    match retry(&Until::after(PATIENCE), read).await? {
        Some(TableStream { arn, view }) if view.has_new_image() => Ok(arn),
        Some(TableStream { view, .. }) => Err(Error::invalid(
            "table",
            format!(
                "the stream of table {table} carries {}, and a guard needs items as they are after a change; a stream cannot be changed, \
                 so switch it off, if nobody else reads it: aws dynamodb update-table --table-name {table} --stream-specification \
                 StreamEnabled=false; and on again: {on}",
                view.name()
            ),
        )),
        None => Err(Error::invalid(
            "table",
            format!("table {table} has no stream that a guard could watch; switch it on: {on}"),
        )),
    }
}

/// A guard that is to be on from now on, at the word of this process.
///
/// `stack` is the one whose function is to watch, and `mapping` what brings it the records; without them a process does.
pub fn switch_on(
    spec: Spec,
    keys: KeySchema,
    stream_arn: String,
    stack: Option<String>,
    mapping: Option<FoundMapping>,
) -> SwitchOn {
    let watcher = match stack {
        Some(_) => Watcher::Function,
        None => Watcher::Process,
    };
    SwitchOn {
        stack,
        mapping,
        spec,
        keys,
        stream_arn,
        watcher,
        by: match watcher {
            Watcher::Process => owner::this_process().brief(),
            // This process ends, and the function watches.
            Watcher::Function => owner::caller(),
        },
    }
}

/// Refuses to switch a function on if that of another stack watches the same stream for the table already, by the records of that
/// stack. Who may not read these is told so.
///
/// Errors: `InvalidInput`, naming `guard`; those of Lambda.
pub async fn refuse_beside_others(
    on: &SwitchOn,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<()> {
    let own = on.stack.as_deref().unwrap_or_default();
    for stack in mapping::other_stacks(&on.stream_arn, own, connection).await? {
        let theirs = CheckpointTable::new(connection, format!("{stack}-checkpoints"));
        if theirs.name() == checkpoints.name() {
            continue;
        }
        match retry(&Until::after(PATIENCE), || theirs.guard(&on.spec.table)).await {
            Ok(Some(guard)) => on.refuse_beside(&guard)?,
            // A function of something else whose name ends alike.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::TableNotFound => {}
            Err(error) => say!(
                "warning: function {stack}-guard is connected to the same stream, and whether it guards the table cannot be seen: {}",
                print::report(&error)
            ),
        }
    }
    Ok(())
}
