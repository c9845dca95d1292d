//! `backfill status`: a run as its durable records tell it.

use std::time::{Duration, UNIX_EPOCH};

use backfill_core::checkpoint::{Event, RunStatus};
use backfill_core::progress::{PassProgress, Summary, snapshot};
use backfill_core::{Error, Result};
use backfill_dynamodb::CheckpointTable;
use clap::Args;
use serde::Serialize;

use crate::args::{CHECKPOINT_TABLE, ConnectionArgs, PriceArgs, no_such_run};
use crate::{Ending, display};

#[derive(Args)]
pub struct StatusArgs {
    /// Which run; default: the one started last.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
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
    let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
    let run_id = match args.run_id {
        Some(run_id) => run_id,
        None => {
            let runs = checkpoints.runs().await?;
            let latest = runs.first().ok_or_else(|| {
                Error::invalid(
                    "run-id",
                    format!(
                        "checkpoint table {} {} has no run yet",
                        args.checkpoint_table,
                        connection.place()
                    ),
                )
            })?;
            for other in &runs[1..] {
                eprintln!(
                    "also there: run {} on table {}, {}",
                    other.run_id,
                    other.spec.table,
                    other.status.name()
                );
            }
            latest.run_id.clone()
        }
    };
    let snapshot = snapshot(&checkpoints, &run_id).await?;
    let snapshot =
        snapshot.ok_or_else(|| no_such_run(&run_id, &args.checkpoint_table, &connection))?;
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
            let bounds: Vec<String> = pass
                .bound_by
                .iter()
                .map(|(by, segments)| {
                    let segments = display::plural(*segments, "segment", "segments");
                    format!("{} ({segments})", by.name())
                })
                .collect();
            println!("    rate bound by {}", bounds.join(", "));
        }
        if let Some(throttled_by) = &pass.throttled_by {
            println!("    throttled: {throttled_by}");
        }
    }
    Ok(Ending::Succeeded)
}
