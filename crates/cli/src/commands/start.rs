//! `backfill start`: starts the deployed state machine and follows it.

use backfill_core::engine::own_records::refuse_own_table;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::CheckpointReader as _;
use backfill_core::{Error, Result};
use backfill_dynamodb::CheckpointTable;
use clap::Args;

use crate::args::{ConnectionArgs, PlannedArgs, PriceArgs, SettingsArgs, SpecArgs, stack_name};
use crate::drive::confirm;
use crate::drive::deployed::Deployed;
use crate::drive::described::Described;
use crate::drive::executions::{Executions, checkpoint_table_of};
use crate::drive::{concurrency, others, paths, survey};
use crate::ending::Ending;

#[derive(Args)]
pub struct StartArgs {
    /// Stack that was deployed; its state machine has the same name.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = stack_name,
        required_unless_present = "state_machine_arn",
        conflicts_with = "state_machine_arn"
    )]
    stack_name: Option<String>,
    /// The state machine itself.
    #[arg(long, value_name = "ARN")]
    state_machine_arn: Option<String>,
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
    /// Count what would change, by functions that cannot write to the table.
    #[arg(long)]
    dry_run: bool,
    /// The stack's checkpoint table, for the progress [default: STACK-checkpoints].
    #[arg(long, value_name = "NAME")]
    checkpoint_table: Option<String>,
    /// Do not ask before the execution is started; for scripts.
    #[arg(long)]
    yes: bool,
    /// Do not try the update in an embedded database first. With --yes that is no more than to read it.
    #[arg(long)]
    no_rehearsal: bool,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Show the run on the whole terminal, as `backfill watch` does.
    #[arg(long)]
    watch: bool,
}

/// Runs the command. An error means that no execution was started.
pub async fn start(args: StartArgs) -> Result<Ending> {
    let (mut request, planned) = args.planned.request(&args.spec, &args.settings)?;
    request.settings.dry_run |= args.dry_run;
    let asks = !args.yes && !request.settings.dry_run;
    if asks {
        confirm::require_terminal()?;
    }
    if !args.no_rehearsal {
        survey::read_update(&request.spec)?;
    }
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let table = Described::new(&request, &connection);
    paths::refuse_if_seen(&request, &connection, &table).await?;
    let executions = Executions::new(&connection);
    let machine = match (&args.state_machine_arn, &args.stack_name) {
        (Some(arn), _) => arn.clone(),
        (None, Some(stack)) => executions.machine_of_stack(stack, &connection).await?,
        (None, None) => return Err(Error::invalid("stack-name", "expected a stack's name")),
    };
    let checkpoint_table = args
        .checkpoint_table
        .unwrap_or_else(|| checkpoint_table_of(&machine));
    let checkpoints = CheckpointTable::new(&connection, &checkpoint_table);
    refuse_own_table(&request, &checkpoints)?;
    if let Some(planned) = &planned {
        planned.refuse_another_table(table.get().await?)?;
        let run_id = request.run_id();
        // The table of a stack is there. If this one is not, it is another one's name, and nothing can be said of the run.
        let stored = retry(&Until::after(PATIENCE), || checkpoints.run(&run_id)).await?;
        if let Some(stored) = stored {
            planned.refuse_other_settings(&stored.settings)?;
        }
    }
    if asks {
        let concurrency = concurrency::look(&connection, &machine).await;
        let without = "cannot show what the run would do; to start without being asked, add --yes";
        let explained = |error: Error| match error.kind().is_refusal() {
            true => error,
            false => error.context(without),
        };
        let confirmed = confirm::confirm(
            &request,
            table.get().await.map_err(explained)?,
            !args.no_rehearsal,
            &connection,
            &checkpoints,
            &prices,
            concurrency,
        );
        if !confirmed.await.map_err(explained)? {
            return Ok(Ending::Stopped);
        }
    } else if !request.settings.dry_run {
        concurrency::warn(&request, &connection, &checkpoints, &machine).await;
        others::warn(&request, &connection, &checkpoints, &table).await;
    }
    let deployed = Deployed {
        executions,
        machine,
        checkpoints,
        connection,
        prices,
        json: args.json,
        watch: args.watch,
    };
    deployed.start_and_follow(request).await
}
