//! `backfill run`: the engine in this process.

use backfill_core::Result;
use backfill_core::engine::own_records::refuse_own_table;
use backfill_dynamodb::CheckpointTable;
use clap::Args;

use crate::args::{ConnectionArgs, PlannedArgs, PriceArgs, SettingsArgs, SpecArgs};
use crate::drive::described::Described;
use crate::drive::executions::Executions;
use crate::drive::{before, confirm, count, here, left, others, owner, paths, survey, tables};
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;

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
        return count::dry_run(&request, to, &checkpoints, description, &prices, json).await;
    }
    let (stored, looks) = before::look(&request, &checkpoints, &connection, description).await;
    let stored = stored?;
    if let (Some(planned), Some(stored)) = (&planned, &stored) {
        planned.refuse_other_settings(&stored.settings)?;
    }
    before::refuse_other_writers(&request, stored.as_ref(), description)?;
    looks?;
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
        if is_rehearsed && !before::has_worked(stored.as_ref(), description) {
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
        here::tell_how_to_resume(&request, &checkpoints).await;
    }
    Ok(ending)
}
