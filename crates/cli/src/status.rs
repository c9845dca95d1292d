//! `backfill status`: a run as its durable records tell it.

use backfill_core::Result;
use backfill_core::clock::rfc3339;
use backfill_core::records::{Event, MAX_EVENTS, Owner, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{PassProgress, Snapshot, Summary, snapshot};
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
    display::line(&text(&snapshot, &summary, &prices))?;
    Ok(Ending::Succeeded)
}

/// The state for people.
fn text(snapshot: &Snapshot, summary: &Summary, prices: &Prices) -> String {
    let run = &snapshot.run;
    let mut lines = vec![
        display::summary_text(run, summary, prices),
        format!("  because   {}", run.message),
        format!("  by        {}", run.owner),
    ];
    if run.is_full_of_events() {
        lines.push(format!("  only the last {MAX_EVENTS} changes are kept:"));
    }
    for event in &run.events {
        lines.push(format!(
            "  {}  {} {} -> {}, by {}",
            rfc3339(event.at_ms),
            event.what,
            event.old,
            event.new,
            event.by
        ));
    }
    for pass in &snapshot.passes {
        lines.push(format!(
            "  pass {}: {} of {} segments done, {} in work; {}",
            pass.pass,
            pass.segments_exhausted,
            run.settings.total_segments,
            pass.segments_begun,
            display::counters_text(&pass.counters)
        ));
        if !pass.bound_by.is_empty() && run.status == RunStatus::Running {
            lines.push(format!(
                "    rate bound by {}",
                display::bounds_text(&pass.bound_by)
            ));
        }
        if let Some(throttled_by) = &pass.throttled_by {
            lines.push(format!("    throttled: {throttled_by}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::samples;

    #[test]
    fn where_a_record_holds_no_more_events_it_is_said() {
        let prices = Prices::default();
        let shown = |events: usize| {
            let mut run = samples::run();
            for n in 0..events {
                run.note("me", "max_wcu", n, n + 1);
            }
            let snapshot = samples::pass(run, vec![]);
            text(&snapshot, &snapshot.summary(&prices), &prices)
        };
        let note = "only the last 30 changes are kept";
        assert!(!shown(MAX_EVENTS - 1).contains(note));
        for events in [MAX_EVENTS, MAX_EVENTS + 1] {
            assert!(shown(events).contains(note));
        }
    }
}
