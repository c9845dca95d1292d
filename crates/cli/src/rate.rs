//! `backfill rate`: changes the budget of a run, wherever it goes on.

use backfill_core::engine::planner::Planner;
use backfill_core::engine::runs::Rate;
use backfill_core::request::Settings;
use backfill_core::{Error, Result};
use backfill_dynamodb::ReadOnly;
use clap::Args;
use serde::Serialize;

use crate::args::OneRunArgs;
use crate::{Ending, display, owner};

#[derive(Args)]
pub struct RateArgs {
    /// Write capacity units per second for the whole run, or none.
    #[arg(long, value_name = "N|none", required_unless_present = "max_rcu")]
    max_wcu: Option<String>,
    /// Read capacity units per second for the whole run, or none.
    #[arg(long, value_name = "N|none")]
    max_rcu: Option<String>,
    #[command(flatten)]
    of: OneRunArgs,
}

#[derive(Serialize)]
struct Changed<'a> {
    run_id: &'a str,
    before: Budget,
    after: Budget,
}

#[derive(Serialize)]
struct Budget {
    max_wcu: Option<u32>,
    max_rcu: Option<u32>,
}

impl From<&Settings> for Budget {
    fn from(settings: &Settings) -> Self {
        Budget {
            max_wcu: settings.max_wcu,
            max_rcu: settings.max_rcu,
        }
    }
}

/// Runs the command.
pub async fn rate(args: RateArgs) -> Result<Ending> {
    let given = |field, text: Option<&str>| text.map(|text| parse(field, text)).transpose();
    let rate = Rate {
        max_wcu: given("max_wcu", args.max_wcu.as_deref())?,
        max_rcu: given("max_rcu", args.max_rcu.as_deref())?,
    };
    let (connection, store) = args.of.open().await?;
    let planner = Planner::new(ReadOnly(connection), store);
    let (before, after) = planner
        .runs
        .set_rate(&args.of.run_id, rate, &owner::caller())
        .await?;
    eprintln!("run {}: {}", args.of.run_id, change_text(&before, &after));
    if args.of.json {
        display::json(&Changed {
            run_id: &args.of.run_id,
            before: (&before).into(),
            after: (&after).into(),
        });
    }
    Ok(Ending::Succeeded)
}

/// "at most 500 write units/s -> no limit".
pub fn change_text(before: &Settings, after: &Settings) -> String {
    format!(
        "{} -> {}",
        display::budget_text(before.max_wcu, before.max_rcu),
        display::budget_text(after.max_wcu, after.max_rcu)
    )
}

/// A number of units per second, or none for no limit.
///
/// Errors: `InvalidInput` naming the field.
pub fn parse(field: &str, text: &str) -> Result<Option<u32>> {
    if text == "none" {
        return Ok(None);
    }
    match text.parse() {
        Ok(units) if units > 0 => Ok(Some(units)),
        _ => Err(Error::invalid(
            field,
            format!("{text:?} is not a rate; expected a number from 1 on, or none"),
        )),
    }
}
