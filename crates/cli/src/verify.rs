//! `backfill verify`: the proof on its own. Only a reader is made here.

use std::time::{Duration, Instant};

use backfill_core::engine::planner::describe;
use backfill_core::engine::verifier::{Verification, count};
use backfill_core::pace::retry::Until;
use backfill_core::pace::{Budget, Share};
use backfill_core::ports::ReadAccess as _;
use backfill_core::table::TableDescription;
use backfill_core::{Key, Request, Result};
use backfill_dynamodb::{Connection, ReadOnly};
use clap::Args;
use serde::Serialize;

use crate::args::{ConnectionArgs, SettingsArgs, SpecArgs, request};
use crate::run::stop_on_signal;
use crate::{Ending, display};

/// Longer than any table takes to count from one machine.
const COUNT_PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Scan segments, 1 to 1,000,000; default: by the size of the table.
    #[arg(long, value_name = "N")]
    segments: Option<u32>,
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

/// A strongly consistent count of what is pending, for `verify` and for a dry run.
pub struct Counted {
    pub verification: Verification,
    pub segments: u32,
    pub elapsed_seconds: f64,
}

impl Counted {
    /// Counts until every segment is read or the operator stops it.
    pub async fn new(
        request: &Request,
        access: &ReadOnly,
        description: &TableDescription,
    ) -> Result<Counted> {
        let begin = Instant::now();
        let settings = request.settings.choose(description.size_bytes);
        let reader = access.reader(request.spec.change(&description.keys));
        let until = Until {
            stop: stop_on_signal("stopping the count"),
            ..Until::after(COUNT_PATIENCE)
        };
        let budget = Budget::new(Share::Whole);
        budget.set(&settings, 0);
        let verification = Verification::new(settings.total_segments);
        let verification = count(&reader, verification, &budget, &until)
            .await
            .map_err(|error| error.context(format!("counting table {}", request.spec.table)))?;
        Ok(Counted {
            verification,
            segments: settings.total_segments,
            elapsed_seconds: begin.elapsed().as_secs_f64(),
        })
    }

    /// Items that are pending; `None` where the count was stopped.
    pub fn remaining(&self) -> Option<u64> {
        self.verification
            .done
            .then_some(self.verification.remaining)
    }

    /// What the count means as exit code.
    pub fn ending(&self) -> Ending {
        match self.remaining() {
            None => Ending::Stopped,
            Some(0) => Ending::Succeeded,
            Some(_) => Ending::ItemsRemain,
        }
    }

    /// The count for people, with its samples.
    pub fn sentence(&self, request: &Request, connection: &Connection) -> String {
        let Some(remaining) = self.remaining() else {
            return "stopped before the count was complete".into();
        };
        let mut text = format!(
            "{remaining} of {} items of table {} {} are pending, by a strongly consistent count",
            self.verification.scanned,
            request.spec.table,
            connection.place()
        );
        for key in &self.verification.samples {
            text.push_str(&format!("\n  {key}"));
        }
        text
    }
}

/// Runs the command.
pub async fn verify(args: VerifyArgs) -> Result<Ending> {
    let settings = SettingsArgs::with_segments(args.segments);
    let request = request(&args.spec, &settings)?;
    let connection = args.connection.open().await?;
    let access = ReadOnly(connection.clone());
    let description = describe(&access, &request).await?;
    let counted = Counted::new(&request, &access, &description).await?;
    eprintln!("{}", counted.sentence(&request, &connection));
    let ending = counted.ending();
    if args.json {
        display::json(&Verified {
            remaining: counted.remaining(),
            table: request.spec.table,
            scanned: counted.verification.scanned,
            samples: counted.verification.samples,
            consumed_rcu: counted.verification.consumed_rcu,
            elapsed_seconds: counted.elapsed_seconds,
        });
    }
    Ok(ending)
}
