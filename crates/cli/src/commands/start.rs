//! `backfill start`: starts the deployed state machine and follows it.

use backfill_core::engine::own_records::refuse_own_table;
use backfill_core::{Error, Result};
use backfill_dynamodb::CheckpointTable;
use clap::Args;

use crate::args::{ConnectionArgs, PriceArgs, SettingsArgs, SpecArgs, stack_name};
use crate::drive::confirm;
use crate::drive::deployed::Deployed;
use crate::drive::executions::{Executions, checkpoint_table_of};
use crate::drive::{others, paths, room};
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
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Show the run on the whole terminal, as `backfill watch` does.
    #[arg(long)]
    watch: bool,
}

/// Runs the command. An error means that no execution was started.
pub async fn start(args: StartArgs) -> Result<Ending> {
    let mut request = args.spec.request(&args.settings)?;
    request.settings.dry_run |= args.dry_run;
    let asks = !args.yes && !request.settings.dry_run;
    if asks {
        confirm::require_terminal()?;
    }
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    paths::refuse_if_seen(&request, &connection).await?;
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
    if asks {
        let room = room::room(&connection, &machine).await;
        let confirmed = confirm::confirm(&request, &connection, &checkpoints, &prices, room).await;
        let without = "cannot show what the run would do; to start without being asked, add --yes";
        if !confirmed.map_err(|error| error.context(without))? {
            return Ok(Ending::Stopped);
        }
    } else if !request.settings.dry_run {
        room::warn(&request, &connection, &checkpoints, &machine).await;
        others::warn(&request, &connection, &checkpoints).await;
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
