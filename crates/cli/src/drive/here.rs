//! A run in this process.

use std::time::Duration;

use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::Worker;
use backfill_core::pace::Share;
use backfill_core::records::RunStatus;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Snapshot, snapshot};
use backfill_core::{Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly, ReadWrite};

use crate::drive::watch::{Watch, Watched};
use crate::drive::{owner, signals};
use crate::ending::Ending;
use crate::show::watch::Role;
use crate::show::{print, summary};

/// How often progress is read from the checkpoint table.
pub const POLL: Duration = Duration::from_millis(500);

/// Runs a request until it ends or the operator stops it, with progress (on the whole terminal if `watch`) and a summary.
/// Returns how it ended; an error means that no item was touched.
pub async fn execute(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
    json: bool,
    watch: bool,
) -> Result<Ending> {
    let stop = signals::stop_on_signal(
        "stopping at the next checkpoint; press ctrl-C again to stop at once",
    );
    let engine = Engine {
        planner: Planner::new(ReadOnly(connection.clone()), checkpoints.clone()),
        worker: Worker::new(
            ReadWrite::new(connection.clone()),
            checkpoints.clone(),
            Share::Whole,
        ),
        verifier: Verifier::new(ReadOnly(connection.clone()), checkpoints.clone()),
    };
    let owner = owner::this_process();
    let round = engine.planner.plan(request, &owner).await?;
    let run = engine.drive(round, &owner, &stop);
    tokio::pin!(run);
    let watched = Watched {
        connection: connection.clone(),
        checkpoints: checkpoints.clone(),
        run_id: request.run_id(),
        owner: Some(owner.clone()),
        role: Role::Runner,
        stop: stop.clone(),
    };
    let mut progress = Watch::open(watch, watched, POLL);
    let ended = loop {
        tokio::select! {
            ended = &mut run => break ended,
            () = progress.poll() => {}
        }
    };
    progress.finish();
    let records = match snapshot(checkpoints, &request.run_id()).await {
        // Somebody else may have taken the run over in the meantime.
        Ok(records) => Ok(records.filter(|records| records.run.owner == owner)),
        Err(error) => Err(error),
    };
    Ok(tell(request, ended, records, prices, json))
}

/// Prints how it came out.
fn tell(
    request: &Request,
    ended: Result<RunStatus>,
    records: Result<Option<Snapshot>>,
    prices: &Prices,
    json: bool,
) -> Ending {
    let records = match records {
        Ok(records) => records,
        Err(error) => {
            // Figures of nothing done would be wrong.
            let status = ended.as_ref().map_or("failed", |status| status.name());
            let run_id = request.run_id();
            print::error(&error.context(format!(
                "run {run_id} has {status}, but its records cannot be read; see backfill status --run-id {run_id}"
            )));
            if let Err(error) = &ended {
                print::error(error);
            }
            return Ending::Failed;
        }
    };
    if let Err(error) = &ended {
        print::error(error);
    }
    // A failure may be one to record the end.
    let status = ended.unwrap_or(RunStatus::Failed);
    summary::end(records.as_ref(), request, status, prices, json);
    records.as_ref().map_or(status.into(), Ending::of)
}
