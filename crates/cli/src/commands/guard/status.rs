//! `backfill guard status`: what a table's guard has seen, and what its claim is worth.

use backfill_core::guard::Claim;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::{Error, Result};
use backfill_dynamodb::CheckpointTable;
use clap::Args;

use crate::args::{ConnectionArgs, GuardedTableArgs};
use crate::drive::guard;
use crate::ending::Ending;
use crate::place;
use crate::show::guard::status::{Status, text};
use crate::show::{lines, print};

#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    guard: GuardedTableArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the state as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn status(args: StatusArgs) -> Result<Ending> {
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, args.guard.checkpoint_table());
    let table = &args.guard.table;
    let stored = retry(&Until::after(PATIENCE), || checkpoints.guard(table)).await?;
    let Some(stored) = stored else {
        return Err(Error::invalid(
            "table",
            format!(
                "checkpoint table {} {} knows of no guard on table {table}; switch one on with backfill guard on, or begin one here with \
                 backfill guard run",
                checkpoints.name(),
                connection.place()
            ),
        ));
    };
    let stack = args.guard.stack_of(&stored)?;
    let looked = guard::status::look(
        table,
        stack.as_deref(),
        None,
        None,
        &checkpoints,
        &connection,
    )
    .await?;
    let Some(looked) = looked else {
        return Err(Error::invalid("table", "its guard was removed meanwhile"));
    };
    let failed = guard::status::failed(table, looked.proof.as_ref(), &checkpoints).await?;
    if args.json {
        let status = Status::of(&looked, failed);
        print::json(&place::with(&status));
    } else {
        let text = text(&looked, &failed);
        let width = lines::width(print::stdout_is_terminal());
        print::line(&lines::shaped(&text, width))?;
    }
    Ok(match looked.claim {
        // Of what could not be looked at nobody knows whether it withdraws the claim.
        Claim::Holds { .. } if looked.blind.is_empty() => Ending::Succeeded,
        _ => Ending::Differs,
    })
}
