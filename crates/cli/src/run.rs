//! `backfill run`: the engine in this process.

use std::time::Duration;

use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::Worker;
use backfill_core::pace::Share;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::{PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::records::RunStatus;
use backfill_core::table::TableDescription;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Summary, snapshot};
use backfill_core::{Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly, ReadWrite};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::args::{CHECKPOINT_TABLE, ConnectionArgs, PriceArgs, SettingsArgs, SpecArgs, request};
use crate::verify::Counted;
use crate::watch::{Role, Show, Watched};
use crate::{Ending, display, meter, owner, plan, start, watch};

/// How often progress is read from the checkpoint table.
const POLL: Duration = Duration::from_millis(500);

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    prices: PriceArgs,
    /// Table that holds the checkpoints; created when missing.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
    /// Count what would change; writes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before the first write; for scripts.
    #[arg(long)]
    yes: bool,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Show the run on the whole terminal, as `backfill watch` does.
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
}

/// Runs the command. An error means that no item was touched.
pub async fn run(args: RunArgs) -> Result<Ending> {
    let mut request = request(&args.spec, &args.settings)?;
    let asks = !args.yes && !args.dry_run && !request.settings.dry_run;
    if asks {
        plan::require_terminal()?;
    }
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let description = planner::describe(&ReadOnly(connection.clone()), &request).await?;
    let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
    if args.dry_run || request.settings.dry_run {
        let to = &connection;
        return dry_run(&request, to, &checkpoints, description, &prices, args.json).await;
    }
    // DynamoDB judges the predicate before even the checkpoint table is created.
    let reader = ReadOnly(connection.clone()).reader(request.spec.change(&description.keys));
    let first_item = PageRequest {
        segment: 0,
        total_segments: 1,
        after: None,
        limit: 1,
        consistent: false,
    };
    retry(&Until::after(PATIENCE), || reader.page(first_item)).await?;

    if asks && !plan::confirm(&request, &connection, &checkpoints, &prices).await? {
        return Ok(Ending::Stopped);
    }
    checkpoints.create_if_missing().await?;
    let sfn = start::client(&connection);
    owner::take_over_from_the_dead(&mut request, &connection, &checkpoints, &sfn).await?;
    let ending = execute(
        &request,
        &connection,
        &checkpoints,
        &prices,
        args.json,
        args.watch,
    )
    .await?;
    if ending == Ending::Stopped {
        let settings = &request.settings;
        // The same command again is refused where its canary is swept. Where the records cannot be read, that refusal says so.
        let is_swept = settings.only_segments.is_some()
            && snapshot(&checkpoints, &request.run_id())
                .await
                .is_ok_and(|records| records.is_some_and(|records| meter::is_swept(&records)));
        let without = match (settings.fresh, is_swept) {
            (false, false) => "",
            (true, false) => " without --fresh",
            (false, true) => " without --only-segments",
            (true, true) => " without --fresh and --only-segments",
        };
        eprintln!("to resume, run the same command again{without}");
    }
    Ok(ending)
}

/// Runs a request with progress (on the whole terminal where `watch`) and summary, until it ends or the operator stops it.
/// Returns how it ended; an error means that no item was touched.
pub async fn execute(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
    json: bool,
    watch: bool,
) -> Result<Ending> {
    let engine = Engine {
        planner: Planner::new(ReadOnly(connection.clone()), checkpoints.clone()),
        worker: Worker::new(
            ReadWrite::new(connection.clone()),
            checkpoints.clone(),
            Share::Whole,
        ),
        verifier: Verifier::new(ReadOnly(connection.clone()), checkpoints.clone()),
    };
    let stop =
        stop_on_signal("stopping at the next checkpoint; press ctrl-C again to stop at once");
    let run_id = request.run_id();
    let owner = owner::this_process();
    let plan = engine.planner.plan(request, &owner).await?;
    let run = engine.drive(plan, &owner, &stop);
    tokio::pin!(run);
    let watched = Watched {
        connection: connection.clone(),
        checkpoints: checkpoints.clone(),
        run_id: run_id.clone(),
        owner: Some(owner.clone()),
        role: Role::Runner,
        stop: stop.clone(),
    };
    let mut progress = Show::open(watch, watched, POLL);
    let result = loop {
        tokio::select! {
            result = &mut run => break result,
            () = progress.poll() => {}
        }
    };
    progress.finish();

    let records = match snapshot(checkpoints, &run_id).await {
        // Somebody else may have taken the run over in the meantime.
        Ok(records) => records.filter(|records| records.run.owner == owner),
        Err(error) => {
            // Figures of nothing done would be wrong.
            let ended = match &result {
                Ok(status) => status.name(),
                Err(_) => "failed",
            };
            display::error(&error.context(format!(
                "run {run_id} has {ended}, but its records cannot be read; see backfill status --run-id {run_id}"
            )));
            if let Err(error) = &result {
                display::error(error);
            }
            return Ok(Ending::Failed);
        }
    };
    if let Err(error) = &result {
        display::error(error);
    }
    let mut summary = match &records {
        Some(records) => records.summary(prices),
        None => Summary::without_records(request, result.unwrap_or(RunStatus::Failed)),
    };
    // A failure that could not be recorded.
    if summary.status == RunStatus::Running {
        summary.status = RunStatus::Failed;
    }
    let ending = records.as_ref().map_or(summary.status.into(), Ending::of);
    if let Some(records) = &records {
        display::summary(&records.run, &summary, prices);
    }
    if json {
        display::json(&summary);
    }
    Ok(ending)
}

/// Counts what a run would change. Only a reader is made here.
async fn dry_run(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    description: TableDescription,
    prices: &Prices,
    json: bool,
) -> Result<Ending> {
    let counted = Counted::new(request, &ReadOnly(connection.clone()), &description).await?;
    eprintln!("dry run: {}", counted.sentence(request, connection));
    if counted.remaining().is_some() {
        let counted = &counted.verification;
        let forecast = plan::after_count(
            request,
            connection,
            checkpoints,
            &description,
            prices,
            counted,
        );
        eprintln!("{}", forecast.await?);
    }
    let (status, ending) = match counted.ending() {
        Ending::Stopped => (RunStatus::Cancelled, Ending::Stopped),
        Ending::ItemsRemain => (RunStatus::Incomplete, Ending::ItemsRemain),
        ending => (RunStatus::Succeeded, ending),
    };
    if json {
        display::json(&Summary {
            segments: counted.segments,
            scanned: counted.verification.scanned,
            remaining: counted.remaining(),
            elapsed_seconds: counted.elapsed_seconds,
            consumed_rcu: counted.verification.consumed_rcu,
            samples: counted.verification.samples,
            ..Summary::without_records(request, status)
        });
    }
    Ok(ending)
}

/// Cancelled by the first SIGINT or SIGTERM, with these words; the second one ends the process at once.
pub fn stop_on_signal(words: &'static str) -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if token.is_cancelled() {
                watch::stop_at_once();
            }
            display::say(words);
            token.cancel();
        }
    });
    stop
}
