//! `backfill guard off`: switches a table's guard off, whoever watches.

use backfill_core::clock::now_ms;
use backfill_core::guard::change;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::records::Watcher;
use backfill_core::{Error, Result};
use backfill_dynamodb::CheckpointTable;
use clap::Args;

use crate::args::{ConnectionArgs, GuardedTableArgs};
use crate::drive::guard::mapping;
use crate::drive::owner;
use crate::ending::Ending;
use crate::place;
use crate::show::guard::status::Switched;
use crate::show::print;

#[derive(Args)]
pub struct OffArgs {
    #[command(flatten)]
    guard: GuardedTableArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print what was done as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Once the record says that the guard is off, nothing is repaired any more, whatever becomes of the mapping.
pub async fn off(args: OffArgs) -> Result<Ending> {
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, args.guard.checkpoint_table());
    let (at_ms, by) = (now_ms(), owner::caller());
    let table = &args.guard.table;
    let found = retry(&Until::after(PATIENCE), || checkpoints.guard(table)).await?;
    // Refused before anything is switched.
    let stack = found.map(|guard| args.guard.stack_of(&guard));
    let stack = stack.transpose()?.flatten();
    let stored = change(&checkpoints, table, |guard| {
        guard.switch_off(at_ms, &by);
    });
    let Some(stored) = stored.await? else {
        return Err(Error::invalid(
            "table",
            format!(
                "checkpoint table {} {} knows of no guard on table {}; there is nothing to switch off",
                checkpoints.name(),
                connection.place(),
                table
            ),
        ));
    };
    if stored.watcher == Watcher::Function {
        let mapping = mapping::find(&stored.stream_arn, stack.as_deref(), &connection).await?;
        if let Some(mapping) = mapping {
            mapping::switch(&mapping, false, &connection).await?;
        }
    }
    let switched = Switched::of(&stored);
    say!("{}", switched.is_off());
    if args.json {
        print::json(&place::with(&switched));
    }
    Ok(Ending::Succeeded)
}
