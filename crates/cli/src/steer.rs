//! `backfill pause`, `resume` and `cancel`: a run wherever it goes on, by its record.

use std::time::Duration;

use aws_sdk_sfn::Client;
use backfill_core::engine::planner::Planner;
use backfill_core::records::{Owner, RunRecord, RunStatus};
use backfill_core::{Error, Request, Result};
use backfill_dynamodb::ReadOnly;
use clap::Args;
use serde::Serialize;

use crate::args::{OneRunArgs, PriceArgs};
use crate::{Ending, display, owner, run, start};

#[derive(Args)]
pub struct ResumeArgs {
    /// Go on in this process, also where the run was one of AWS.
    #[arg(long)]
    local: bool,
    /// Show the run on the whole terminal, as `backfill watch` does.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    of: OneRunArgs,
    #[command(flatten)]
    prices: PriceArgs,
}

#[derive(Serialize)]
struct Changed<'a> {
    run_id: &'a str,
    before: RunStatus,
    after: RunStatus,
}

/// How long a resumed run waits for its former execution to end.
const DRAIN_SECONDS: u32 = 60;

/// Pauses a run: it drains to its checkpoints and ends. An error means that nothing was changed.
pub async fn pause(args: OneRunArgs) -> Result<Ending> {
    steer(args, RunStatus::Paused).await
}

/// Cancels a run, as [`pause`] does, and for good: `resume` does not take it up again.
pub async fn cancel(args: OneRunArgs) -> Result<Ending> {
    steer(args, RunStatus::Cancelled).await
}

async fn steer(args: OneRunArgs, status: RunStatus) -> Result<Ending> {
    let (connection, store) = args.open().await?;
    let planner = Planner::new(ReadOnly(connection), store);
    let before = planner
        .runs
        .steer(&args.run_id, status, &owner::caller())
        .await?;
    eprintln!("run {}: {}", args.run_id, change_text(before, status));
    if args.json {
        display::json(&Changed {
            run_id: &args.run_id,
            before,
            after: status,
        });
    }
    Ok(Ending::Succeeded)
}

/// "running -> paused", and what follows from it.
pub fn change_text(before: RunStatus, after: RunStatus) -> String {
    let drains = match before {
        RunStatus::Running => "; its workers save their checkpoints and end within ten seconds",
        _ => "",
    };
    format!("{} -> {}{drains}", before.name(), after.name())
}

/// Goes on with a paused or failed run where it was at work before: by another execution of its state machine, or in this
/// process. Ends as `start` and `run` do.
pub async fn resume(args: ResumeArgs) -> Result<Ending> {
    let ResumeArgs {
        of,
        prices,
        local,
        watch,
    } = args;
    let prices = prices.read()?;
    let (connection, checkpoints) = of.open().await?;
    let record = of.record(&connection, &checkpoints).await?;
    let request = request_to_resume(&record)?;
    match state_machine_of(&record) {
        Some(machine) if !local => {
            let sfn = start::client(&connection);
            drained(&sfn, &record).await;
            let to = start::Deployed {
                sfn,
                machine,
                checkpoint_table: of.checkpoint_table,
                connection,
                prices,
                json: of.json,
                watch,
            };
            to.start_and_follow(request).await
        }
        _ => run::execute(&request, &connection, &checkpoints, &prices, of.json, watch).await,
    }
}

/// The request that goes on with this run. `InvalidInput` where it is not one to be resumed.
pub fn request_to_resume(record: &RunRecord) -> Result<Request> {
    if !matches!(record.status, RunStatus::Paused | RunStatus::Failed) {
        return Err(Error::invalid(
            "run_id",
            format!(
                "run {} is {}: {}; only a paused or failed run is resumed, any other is started again",
                record.run_id,
                record.status.name(),
                record.message
            ),
        ));
    }
    if record.settings.dry_run {
        return Err(Error::invalid(
            "run_id",
            format!("{} is a dry run; start it again", record.run_id),
        ));
    }
    Ok(record.request())
}

/// Waits until the execution that was to stop has ended: its workers still save their checkpoints, and what comes before
/// they have ended would fail them.
pub async fn drained(sfn: &Client, record: &RunRecord) {
    let Owner::Execution(arn) = &record.owner else {
        return;
    };
    for _ in 0..DRAIN_SECONDS {
        if owner::execution_has_ended(sfn, arn).await {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The state machine whose execution a run was; `None` if it was a process.
pub fn state_machine_of(record: &RunRecord) -> Option<String> {
    match &record.owner {
        Owner::Execution(arn) => arn.state_machine(),
        _ => None,
    }
}
