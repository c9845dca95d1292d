//! `backfill verify`: the proof on its own. Only a reader is made here.

use std::time::Duration;

use backfill_core::Result;
use backfill_core::planner::{choose_settings, describe};
use backfill_core::ports::ReadAccess as _;
use backfill_core::retry::Until;
use backfill_core::value::Key;
use backfill_core::verifier::{Verification, count};
use backfill_dynamodb::ReadOnly;
use clap::Args;
use serde::Serialize;

use crate::args::{ConnectionArgs, SettingsArgs, SpecArgs, request};
use crate::run::stop_on_signal;
use crate::{Ending, display};

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verified {
    table: String,
    /// Items for which the predicate holds, by strongly consistent reads; null where it was stopped.
    remaining: Option<u64>,
    scanned: u64,
    /// Up to ten keys of such items.
    samples: Vec<Key>,
    consumed_rcu: f64,
    elapsed_seconds: f64,
}

/// Runs the command.
pub async fn verify(args: VerifyArgs) -> Result<Ending> {
    let begin = std::time::Instant::now();
    let request = request(&args.spec, &args.settings)?;
    let access = ReadOnly(args.connection.open().await?);
    let description = describe(&access, &request).await?;
    let settings = choose_settings(&request.settings, description.size_bytes);
    let reader = access.reader(&request.spec, &description.keys);
    let until = Until {
        stop: stop_on_signal(),
        ..Until::after(Duration::from_secs(7 * 24 * 3600))
    };
    let counted = count(&reader, Verification::new(settings.total_segments), &until)
        .await
        .map_err(|error| error.context(format!("verifying table {}", request.spec.table)))?;
    if counted.done {
        eprintln!(
            "{} of {} items of table {} are pending, by a strongly consistent count",
            counted.remaining, counted.scanned, request.spec.table
        );
        for key in &counted.samples {
            eprintln!("  {key}");
        }
    } else {
        eprintln!("stopped before the count was complete");
    }
    let ending = match (counted.done, counted.remaining) {
        (false, _) => Ending::Stopped,
        (true, 0) => Ending::Succeeded,
        (true, _) => Ending::ItemsRemain,
    };
    if args.json {
        display::json(&Verified {
            table: request.spec.table,
            remaining: counted.done.then_some(counted.remaining),
            scanned: counted.scanned,
            samples: counted.samples,
            consumed_rcu: counted.consumed_rcu,
            elapsed_seconds: begin.elapsed().as_secs_f64(),
        });
    }
    Ok(ending)
}
