//! `backfill rate`: changes the budget of a run, wherever it goes on.

use backfill_core::Result;
use backfill_core::request::Settings;
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
    #[arg(long, value_name = "N|none", required_unless_present = "max_rcu")]
    max_wcu: Option<String>,
    /// Read capacity units per second for the whole run, or none.
    #[arg(long, value_name = "N|none")]
    max_rcu: Option<String>,
    #[command(flatten)]
    of: OneRunArgs,
}

/// What `--json` prints.
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
    let rate = budget::rate(args.max_wcu.as_deref(), args.max_rcu.as_deref())?;
    let (_, checkpoints) = args.of.open().await?;
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
