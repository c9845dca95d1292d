//! `backfill pause`, `resume` and `cancel`: a run wherever it goes on, by its record.

use std::time::Duration;

use backfill_core::checkpoint::{RunRecord, RunStatus};
use backfill_core::planner::Planner;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::request::check_run_id;
use backfill_core::retry::{PATIENCE, Until, retry};
use backfill_core::{Error, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use clap::Args;
use serde::Serialize;

use crate::args::{CHECKPOINT_TABLE, ConnectionArgs, PriceArgs};
use crate::{Ending, display, owner, run, start};

#[derive(Args)]
pub struct SteerArgs {
    /// Which run.
    #[arg(long, value_name = "ID")]
    run_id: String,
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    steer: SteerArgs,
    #[command(flatten)]
    prices: PriceArgs,
    /// Go on in this process, also where the run was one of AWS.
    #[arg(long)]
    local: bool,
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
pub async fn pause(args: SteerArgs) -> Result<Ending> {
    steer(args, RunStatus::Paused).await
}

/// Cancels a run, as [`pause`] does, and for good: `resume` does not take it up again.
pub async fn cancel(args: SteerArgs) -> Result<Ending> {
    steer(args, RunStatus::Cancelled).await
}

async fn steer(args: SteerArgs, status: RunStatus) -> Result<Ending> {
    let connection = args.connection.open().await?;
    let planner = Planner {
        store: CheckpointTable::new(&connection, &args.checkpoint_table),
        access: ReadOnly(connection),
    };
    let before = planner
        .steer(&args.run_id, status, &owner::caller())
        .await?;
    eprintln!(
        "run {}: {} -> {}",
        args.run_id,
        before.name(),
        status.name()
    );
    if before == RunStatus::Running {
        eprintln!("its workers save their checkpoints and end within ten seconds");
    }
    if args.json {
        display::json(&Changed {
            run_id: &args.run_id,
            before,
            after: status,
        });
    }
    Ok(Ending::Succeeded)
}

/// Goes on with a paused or failed run where it was at work before: by another execution of its state machine, or in this
/// process. Ends as `start` and `run` do.
pub async fn resume(args: ResumeArgs) -> Result<Ending> {
    let ResumeArgs {
        steer,
        prices,
        local,
    } = args;
    check_run_id(&steer.run_id)?;
    let prices = prices.read()?;
    let connection = steer.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &steer.checkpoint_table);
    let record = retry(&Until::after(PATIENCE), || checkpoints.run(&steer.run_id)).await?;
    let record = record.ok_or_else(|| no_such_run(&steer, &connection))?;
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
    let request = Request::of_run(&record);
    match state_machine_of(&record) {
        Some(machine) if !local => {
            let sfn = start::client(&connection);
            // Its workers are still saving their checkpoints; what comes before they have ended would fail them.
            for _ in 0..DRAIN_SECONDS {
                if owner::execution_has_ended(&sfn, &record.owner).await {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let to = start::Deployed {
                sfn,
                machine,
                checkpoint_table: steer.checkpoint_table,
                connection,
                prices,
                json: steer.json,
            };
            to.start_and_follow(request).await
        }
        _ => run::execute(&request, &connection, &checkpoints, &prices, steer.json).await,
    }
}

fn no_such_run(args: &SteerArgs, connection: &Connection) -> Error {
    Error::invalid(
        "run_id",
        format!(
            "checkpoint table {} {} has no run {}",
            args.checkpoint_table,
            connection.place(),
            args.run_id
        ),
    )
}

/// The state machine whose execution a run was, by the form of their ARNs.
fn state_machine_of(record: &RunRecord) -> Option<String> {
    let parts: Vec<&str> = record.owner.split(':').collect();
    match parts[..] {
        [
            "arn",
            partition,
            "states",
            region,
            account,
            "execution",
            machine,
            _,
        ] => Some(format!(
            "arn:{partition}:states:{region}:{account}:stateMachine:{machine}"
        )),
        _ => None,
    }
}
