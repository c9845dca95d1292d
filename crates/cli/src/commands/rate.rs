//! `backfill rate`: changes the budget of a run and what holds it, wherever it goes on.

use backfill_core::Result;
use backfill_core::engine::holds;
use backfill_core::engine::steering::RateChange;
use backfill_core::request::{NONE, Settings};
use backfill_dynamodb::ReadOnly;
use clap::Args;
use serde::Serialize;

use crate::args::OneRunArgs;
use crate::budget;
use crate::drive::steer;
use crate::ending::Ending;
use crate::show::print;

#[derive(Args)]
pub struct RateArgs {
    /// Write capacity units per second for the whole run, or none.
    #[arg(long, value_name = "N|none", required_unless_present_any = ["max_rcu", "pause_when", "hours"])]
    max_wcu: Option<String>,
    /// Read capacity units per second for the whole run, or none.
    #[arg(long, value_name = "N|none")]
    max_rcu: Option<String>,
    /// CloudWatch alarm, by name or ARN, that holds the run from ALARM until it is OK again, or none.
    #[arg(long, value_name = "ALARM|none")]
    pause_when: Option<String>,
    /// Hours in which the run works, in a time zone, such as "22:00-06:00 Europe/Berlin", or none.
    #[arg(long, value_name = "HOURS|none")]
    hours: Option<String>,
    #[command(flatten)]
    of: OneRunArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Changed<'a> {
    run_id: &'a str,
    before: Rates,
    after: Rates,
}

#[derive(Serialize)]
struct Rates {
    max_wcu: Option<u32>,
    max_rcu: Option<u32>,
    pause_when: Option<String>,
    hours: Option<String>,
}

impl From<&Settings> for Rates {
    fn from(settings: &Settings) -> Self {
        Rates {
            max_wcu: settings.max_wcu,
            max_rcu: settings.max_rcu,
            pause_when: settings.pause_when.clone(),
            hours: settings.hours.clone(),
        }
    }
}

/// An alarm or hours, or none for none.
fn unless_none(text: String) -> Option<String> {
    (text != NONE).then_some(text)
}

/// Runs the command.
pub async fn rate(args: RateArgs) -> Result<Ending> {
    let rate = RateChange {
        pause_when: args.pause_when.map(unless_none),
        hours: args.hours.map(unless_none),
        ..budget::rate(args.max_wcu.as_deref(), args.max_rcu.as_deref())?
    };
    let (connection, checkpoints) = args.of.open().await?;
    if let Some(Some(alarm)) = &rate.pause_when {
        holds::require_alarm(&ReadOnly(connection), alarm).await?;
    }
    let (before, after) = steer::set_rate(&args.of.run_id, &checkpoints, rate).await?;
    let change = budget::change_text(&before, &after);
    say!("run {}: {change}", args.of.run_id);
    if args.of.json {
        print::json(&Changed {
            run_id: &args.of.run_id,
            before: (&before).into(),
            after: (&after).into(),
        });
    }
    Ok(Ending::Succeeded)
}
