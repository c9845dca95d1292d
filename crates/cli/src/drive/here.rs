//! A run in this process.

use std::future::Future;

use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::rejected::Retried;
use backfill_core::engine::steering::RateChange;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::Worker;
use backfill_core::pace::Share;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{RunRecord, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Snapshot, snapshot};
use backfill_core::{ErrorKind, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly, ReadWrite};
use serde::Serialize;

use crate::drive::executions::Executions;
use crate::drive::watch::{self, Watch, Watched};
use crate::drive::{owner, signals};
use crate::ending::Ending;
use crate::hint;
use crate::show::watch::Role;
use crate::show::{print, summary};

/// The parts of a run, all in this process.
fn engine(
    connection: &Connection,
    checkpoints: &CheckpointTable,
) -> Engine<ReadOnly, ReadWrite, CheckpointTable> {
    Engine {
        planner: Planner::new(ReadOnly(connection.clone()), checkpoints.clone()),
        worker: Worker::new(
            ReadWrite::new(connection.clone()),
            checkpoints.clone(),
            Share::Whole,
        ),
        verifier: Verifier::new(ReadOnly(connection.clone()), checkpoints.clone()),
    }
}

/// Tries the rejected items of a run again, at this rate from now on, with progress. A holder who has certainly ended is none. What
/// came of it is in the records, also after an error; `None` if it was stopped before the end.
pub async fn retry_rejected(
    run: &RunRecord,
    rate: RateChange,
    connection: &Connection,
    checkpoints: &CheckpointTable,
) -> Result<Option<Retried>> {
    let mut request = run.request();
    let executions = Executions::new(connection);
    owner::take_over_from_the_dead(&mut request, connection, checkpoints, &executions).await?;
    let dead = request.settings.take_over_from.as_deref();
    let stop =
        signals::stop_on_signal("stopping after this item; press ctrl-C again to stop at once");
    let engine = engine(connection, checkpoints);
    let owner = owner::this_process();
    let retry = engine.retry_rejected(&run.run_id, &owner, rate, dead, &stop);
    let watched = Watched {
        connection: connection.clone(),
        checkpoints: checkpoints.clone(),
        run_id: run.run_id.clone(),
        owner: Some(owner.clone()),
        role: Role::Runner,
        stop: stop.clone(),
    };
    match watched_while(retry, false, watched).await {
        Ok(_) if stop.is_cancelled() => Ok(None),
        // The operator has stopped it from somewhere else.
        Err(error) if error.kind() == ErrorKind::NotRunning => Ok(None),
        retried => retried.map(Some),
    }
}

/// Waits for `work`, and shows the run meanwhile, on the whole terminal if `whole`.
async fn watched_while<T>(work: impl Future<Output = T>, whole: bool, of: Watched) -> T {
    tokio::pin!(work);
    let mut progress = Watch::open(whole, of, watch::HERE);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = progress.poll() => {}
        }
    };
    progress.finish();
    done
}

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
    let engine = engine(connection, checkpoints);
    let owner = owner::this_process();
    let round = engine.planner.begin(request, &owner).await?;
    // From here on there is something to lose.
    connection.stay_patient();
    let run = engine.drive(round, &owner, &stop);
    let watched = Watched {
        connection: connection.clone(),
        checkpoints: checkpoints.clone(),
        run_id: request.run_id(),
        owner: Some(owner.clone()),
        role: Role::Runner,
        stop: stop.clone(),
    };
    let ended = watched_while(run, watch, watched).await;
    let records = match snapshot(checkpoints, &request.run_id()).await {
        // Somebody else may have taken the run over in the meantime.
        Ok(records) => Ok(records.filter(|records| records.run.owner == owner)),
        Err(error) => Err(error),
    };
    Ok(tell(
        request,
        ended,
        records,
        prices,
        checkpoints.name(),
        json,
    ))
}

/// What `--json` prints if the records cannot be read at the end: no figures, since those of nothing done would be wrong.
#[derive(Serialize)]
struct Unread<'a> {
    run_id: &'a str,
    table: &'a str,
    status: &'a str,
    records: &'a str,
}

/// Prints how it came out.
fn tell(
    request: &Request,
    ended: Result<RunStatus>,
    records: Result<Option<Snapshot>>,
    prices: &Prices,
    checkpoint_table: &str,
    json: bool,
) -> Ending {
    let records = match records {
        Ok(records) => records,
        Err(error) => {
            // Figures of nothing done would be wrong.
            let status = ended.as_ref().map_or("failed", |status| status.name());
            let run_id = request.run_id();
            print::error(&error.context(format!(
                "run {run_id} has {status}, but its records cannot be read; see {}",
                hint::on_run("status", &run_id, checkpoint_table)
            )));
            if let Err(error) = &ended {
                print::error(error);
            }
            if json {
                print::json(&Unread {
                    run_id: &run_id,
                    table: &request.spec.table,
                    status,
                    records: "unread",
                });
            }
            return Ending::Failed;
        }
    };
    if let Err(error) = &ended {
        print::error(error);
    }
    // A failure may be one to record the end.
    let status = ended.unwrap_or(RunStatus::Failed);
    summary::end(
        records.as_ref(),
        request,
        status,
        prices,
        checkpoint_table,
        json,
    );
    records.as_ref().map_or(status.into(), Ending::of)
}

/// Says how the run that was stopped in this process goes on.
pub async fn tell_how_to_resume(request: &Request, checkpoints: &CheckpointTable) {
    let settings = &request.settings;
    // The same command again is refused if its canary is swept. If the records cannot be read, that refusal says so.
    let is_swept = settings.only_segments.is_some()
        && snapshot(checkpoints, &request.run_id())
            .await
            .is_ok_and(|records| records.is_some_and(|records| records.is_swept()));
    if settings.pause_after.is_some()
        && let Ok(Some(run)) = checkpoints.run(&request.run_id()).await
        && run.settings.pause_after.is_none()
    {
        print::say(&format!("run {}: {}", run.run_id, run.message));
        let without = match settings.fresh {
            true => "--fresh and --pause-after",
            false => "--pause-after",
        };
        print::say(&format!(
            "to go on with all the others, run the same command again without {without}; with it, it pauses after as many more"
        ));
        return;
    }
    let without = match (settings.fresh, is_swept) {
        (false, false) => "",
        (true, false) => " without --fresh",
        (false, true) => " without --only-segments",
        (true, true) => " without --fresh and --only-segments",
    };
    say!("to resume, run the same command again{without}");
}
