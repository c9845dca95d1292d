//! `backfill status`: a run as its durable records tell it.

use std::time::{Duration, UNIX_EPOCH};

use backfill_core::Result;
use backfill_core::checkpoint::{Event, RunStatus};
use backfill_core::progress::{PassProgress, Summary, snapshot};
use backfill_dynamodb::CheckpointTable;
use clap::Args;
use serde::Serialize;

use crate::args::{ConnectionArgs, PriceArgs, WhichRunArgs, no_such_run};
use crate::{Ending, display};

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

#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    summary: Summary,
    /// Why the run is in this state.
    message: String,
    owner: String,
    /// What was changed, by whom, the latest last.
    events: Vec<Event>,
    by_pass: Vec<PassProgress>,
}

/// Runs the command.
pub async fn status(args: StatusArgs) -> Result<Ending> {
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.run.checkpoint_table);
    let run_id = args.run.find(&checkpoints, &connection).await?;
    let snapshot = snapshot(&checkpoints, &run_id).await?;
    let snapshot =
        snapshot.ok_or_else(|| no_such_run(&run_id, &args.run.checkpoint_table, &connection))?;
    let summary = snapshot.summary(&prices);
    if args.json {
        display::json(&Status {
            summary,
            message: snapshot.run.message,
            owner: snapshot.run.owner,
            events: snapshot.run.events,
            by_pass: snapshot.passes,
        });
        return Ok(Ending::Succeeded);
    }
    println!(
        "{}",
        display::summary_text(&snapshot.run, &summary, &prices)
    );
    println!("  because   {}", snapshot.run.message);
    println!("  by        {}", snapshot.run.owner);
    for event in &snapshot.run.events {
        let at = UNIX_EPOCH + Duration::from_millis(event.at_ms);
        println!(
            "  {}  {} {} -> {}, by {}",
            humantime::format_rfc3339_seconds(at),
            event.what,
            event.old,
            event.new,
            event.by
        );
    }
    for pass in &snapshot.passes {
        println!(
            "  pass {}: {} of {} segments done, {} in work; {}",
            pass.pass,
            pass.segments_exhausted,
            snapshot.run.settings.total_segments,
            pass.segments_begun,
            display::counters_text(&pass.counters)
        );
        if !pass.bound_by.is_empty() && snapshot.run.status == RunStatus::Running {
            println!("    rate bound by {}", display::bounds_text(&pass.bound_by));
        }
        if let Some(throttled_by) = &pass.throttled_by {
            println!("    throttled: {throttled_by}");
        }
    }
    Ok(Ending::Succeeded)
}
