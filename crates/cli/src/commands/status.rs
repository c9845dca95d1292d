//! `backfill status`: a run as its durable records tell it.

use backfill_core::Result;
use backfill_core::records::{Event, Owner};
use backfill_core::view::progress::{PassProgress, Summary};
use backfill_dynamodb::CheckpointTable;
use clap::Args;
use serde::Serialize;

use crate::args::{ConnectionArgs, PriceArgs, WhichRunArgs};
use crate::drive::records;
use crate::ending::Ending;
use crate::show::{print, status};

#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    run: WhichRunArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    prices: PriceArgs,
    /// Print the state as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    summary: Summary,
    /// Why the run is in this state.
    message: String,
    owner: Owner,
    /// What was changed, by whom, the latest last.
    events: Vec<Event>,
    by_pass: Vec<PassProgress>,
}

/// Runs the command.
pub async fn status(args: StatusArgs) -> Result<Ending> {
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.run.checkpoint_table);
    let run_id = records::find(args.run.run_id.as_deref(), &checkpoints, &connection).await?;
    let snapshot = records::snapshot(&run_id, &checkpoints, &connection).await?;
    if args.json {
        print::json(&Status {
            summary: snapshot.summary(&prices),
            message: snapshot.run.message,
            owner: snapshot.run.owner,
            events: snapshot.run.events,
            by_pass: snapshot.passes,
        });
    } else {
        print::line(&status::text(&snapshot, &prices))?;
    }
    Ok(Ending::Succeeded)
}
