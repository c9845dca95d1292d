//! `backfill status`: a run as its durable records tell it.

use backfill_core::Result;
use backfill_core::records::{Event, Owner};
use backfill_core::view::progress::{PassProgress, Summary};
use backfill_dynamodb::CheckpointTable;
use clap::Args;
use serde::Serialize;

use crate::args::{ConnectionArgs, PriceArgs, WhichRunArgs};
use crate::drive::executions::Executions;
use crate::drive::tables::table_now;
use crate::drive::{guard, owner, records};
use crate::ending::Ending;
use crate::place;
use crate::show::guard::status::{ClaimFields, claim_text};
use crate::show::runs::{Holder, TableNow};
use crate::show::{lines, print, status};

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
    #[serde(flatten)]
    claim: ClaimFields,
    /// What has become of its table; null if that cannot be told.
    table_now: Option<TableNow>,
    /// Why the run is in this state.
    message: String,
    owner: Owner,
    /// What is known of the owner; null if the run is not running.
    holder: Option<Holder>,
    /// Whether it is swept, and counts what is pending; the next three are those of the count then.
    verifying: bool,
    /// Part of the current pass that is swept; null if that is not known.
    done: Option<f64>,
    /// Items that are swept in a second at present; null while none are.
    items_per_second: Option<f64>,
    /// Seconds that the sweep still takes; null if that is not known.
    seconds_left: Option<f64>,
    /// The last write of the run's records; milliseconds since 1970.
    last_sign_ms: u64,
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
    let holder = owner::holder(&snapshot.run, &Executions::new(&connection)).await;
    let table_now = table_now(&snapshot.run, &connection).await;
    let guarded = guard::status::of_run(&snapshot.run, &checkpoints, &connection).await;
    if args.json {
        let glance = snapshot.glance();
        print::json(&place::with(&Status {
            table_now,
            claim: ClaimFields::of(guarded.as_ref()),
            holder,
            verifying: glance.verifies,
            done: glance.done,
            items_per_second: glance.items_per_second,
            seconds_left: glance.seconds_left,
            last_sign_ms: glance.last_sign_ms,
            summary: snapshot.summary(&prices),
            message: snapshot.run.message,
            owner: snapshot.run.owner,
            events: snapshot.run.events,
            by_pass: snapshot.passes,
        }));
    } else {
        let mut text = status::text(&snapshot, holder, table_now, &prices, checkpoints.name());
        if let Some(claim) = guarded.as_ref().and_then(claim_text) {
            text += &format!("\n  guard     {claim}");
        }
        let width = lines::width(print::stdout_is_terminal());
        print::line(&lines::shaped(&text, width))?;
    }
    Ok(Ending::Succeeded)
}
