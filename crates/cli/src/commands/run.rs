//! `backfill run`: the engine in this process.

use backfill_core::engine::holds;
use backfill_core::engine::own_records::refuse_own_table;
use backfill_core::engine::planner;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::{CheckpointReader as _, PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::records::{RunRecord, RunStatus};
use backfill_core::request::NONE;
use backfill_core::survey::DEFAULT_PAGES;
use backfill_core::table::TableDescription;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Summary, snapshot};
use backfill_core::{ErrorKind, Request, Result, printable};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use clap::Args;

use crate::args::{ConnectionArgs, PlannedArgs, PriceArgs, SettingsArgs, SpecArgs};
use crate::drive::count::Counted;
use crate::drive::described::Described;
use crate::drive::executions::Executions;
use crate::drive::{confirm, here, left, others, owner, paths, records, survey, tables};
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;
use crate::place;
use crate::show::lines;
use crate::show::plan::Shown;
use crate::show::print;

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    planned: PlannedArgs,
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
    /// Do not try the update on copies of a few items first, in an embedded database, and so do not refuse one that leaves
    /// them pending.
    #[arg(long)]
    no_rehearsal: bool,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Show the run on the whole terminal, as `backfill watch` does.
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
}

/// Runs the command. An error means that no item was touched.
pub async fn run(args: RunArgs) -> Result<Ending> {
    let (mut request, planned) = args.planned.request(&args.spec, &args.settings)?;
    let is_dry = args.dry_run || request.settings.dry_run;
    let asks = !args.yes && !is_dry;
    if asks {
        confirm::require_terminal()?;
    }
    if !args.no_rehearsal {
        survey::read_update(&request.spec)?;
    }
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let table = Described::new(&request, &connection);
    let description = table.get().await?;
    if let Some(planned) = &planned {
        planned.refuse_another_table(description)?;
    }
    paths::refuse_ambiguous(&request, &connection, description).await?;
    let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
    refuse_own_table(&request, &checkpoints)?;
    if is_dry {
        let (to, json) = (&connection, args.json);
        return dry_run(&request, to, &checkpoints, description, &prices, json).await;
    }
    let stored = stored(&request, &checkpoints).await?;
    if let (Some(planned), Some(stored)) = (&planned, &stored) {
        planned.refuse_other_settings(&stored.settings)?;
    }
    refuse_other_writers(&request, stored.as_ref(), description)?;
    require_alarm(&request, &connection).await?;
    judge_predicate(&request, &connection, description).await?;
    left::tell(&request, &connection, description).await?;
    let is_rehearsed = !args.no_rehearsal;
    if asks {
        let confirmed = confirm::confirm(
            &request,
            description,
            is_rehearsed,
            &connection,
            &checkpoints,
            &prices,
            None,
        );
        if !confirmed.await? {
            return Ok(Ending::Stopped);
        }
    } else {
        others::warn(&request, &connection, &checkpoints, &table).await;
        tables::tell_if_gone(stored.as_ref(), &request, description);
        if is_rehearsed && !has_worked(stored.as_ref(), description) {
            survey::try_on_copies(&request, description, &connection).await?;
        }
    }
    checkpoints.create_if_missing().await?;
    let executions = Executions::new(&connection);
    owner::take_over_from_the_dead(&mut request, &connection, &checkpoints, &executions).await?;
    let run = here::execute(
        &request,
        &connection,
        &checkpoints,
        &prices,
        args.json,
        args.watch,
    );
    let ending = run.await?;
    if ending == Ending::Stopped {
        tell_how_to_resume(&request, &checkpoints).await;
    }
    Ok(ending)
}

/// The run as it is stored, if it is there. A checkpoint table that can hold no records is refused with the keys that it has.
async fn stored(request: &Request, checkpoints: &CheckpointTable) -> Result<Option<RunRecord>> {
    match records::stored(request, checkpoints).await {
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            // It is there, so that this creates nothing, and looks at its keys.
            checkpoints.create_if_missing().await?;
            Err(error)
        }
        stored => stored,
    }
}

/// Refuses a table with replicas before even the checkpoint table is created. A run that is there keeps what was said of it.
fn refuse_other_writers(
    request: &Request,
    stored: Option<&RunRecord>,
    description: &TableDescription,
) -> Result<()> {
    let requested = request.settings.kept(stored.map(|run| &run.settings));
    let settings = requested.choose(description.size_bytes);
    planner::refuse_other_writers(&settings, description)
}

/// True for a run that is there and has not failed: what it does to an item is known from the table itself, unless that is
/// another one by now.
fn has_worked(stored: Option<&RunRecord>, description: &TableDescription) -> bool {
    stored.is_some_and(|run| {
        run.status != RunStatus::Failed && run.is_of_another(&description.identity) != Some(true)
    })
}

/// Refuses an alarm that is not there before even the checkpoint table is created.
async fn require_alarm(request: &Request, connection: &Connection) -> Result<()> {
    match request.settings.pause_when.as_deref() {
        None | Some(NONE) => Ok(()),
        Some(alarm) => holds::require_alarm(&ReadOnly(connection.clone()), alarm).await,
    }
}

/// Lets DynamoDB judge the predicate before even the checkpoint table is created: reads one item.
async fn judge_predicate(
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<()> {
    let reader = ReadOnly(connection.clone()).reader(request.spec.change(&description.keys));
    let first_item = PageRequest {
        segment: 0,
        total_segments: 1,
        after: None,
        limit: 1,
        consistent: false,
    };
    retry(&Until::after(PATIENCE), || reader.page(first_item)).await?;
    Ok(())
}

async fn tell_how_to_resume(request: &Request, checkpoints: &CheckpointTable) {
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

/// Counts what a run would change, and says what it would do with that. Only a reader is made here.
async fn dry_run(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    description: &TableDescription,
    prices: &Prices,
    json: bool,
) -> Result<Ending> {
    left::tell(request, connection, description).await?;
    let counted = Counted::new(request, &ReadOnly(connection.clone()), description).await?;
    say!("dry run: {}", counted.sentence(request, connection));
    if counted.remaining().is_some() {
        let plan = survey::plan(
            request,
            description,
            connection,
            checkpoints,
            prices,
            DEFAULT_PAGES,
            None,
        );
        let plan = plan.await?.counted(&counted.verification, prices);
        let shown = Shown {
            plan: &plan,
            place: &place::of(connection),
            prices,
            width: lines::width(print::is_terminal()),
        };
        print::say_coloured(&shown.after_count());
        if let Some(why) = &plan.objection {
            say!("as it is, do not run it: {}", printable(why));
        }
    }
    let (status, ending) = match counted.ending() {
        Ending::Stopped => (RunStatus::Cancelled, Ending::Stopped),
        Ending::ItemsRemain => (RunStatus::Incomplete, Ending::ItemsRemain),
        ending => (RunStatus::Succeeded, ending),
    };
    if json {
        print::json(&place::with(&Summary {
            segments: counted.segments,
            scanned: counted.verification.scanned,
            remaining: counted.remaining(),
            elapsed_seconds: counted.elapsed_seconds,
            consumed_rcu: counted.verification.all_rcu(),
            lacking: counted.verification.told_lacking(),
            samples: counted.verification.samples,
            ..Summary::without_records(request, status)
        }));
    }
    Ok(ending)
}
