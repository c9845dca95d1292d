//! `backfill guard on`: switches the guard of a stack on.

use backfill_core::Result;
use backfill_core::clock::now_ms;
use backfill_core::engine::own_records::refuse_own_table;
use backfill_core::engine::planner::describe;
use backfill_core::guard::refuse_unfit;
use backfill_dynamodb::{CheckpointTable, ReadOnly, Streams};
use clap::Args;

use super::given::{given, request};
use crate::args::{ConnectionArgs, GuardedChangeArgs, stack_name};
use crate::drive::guard::{mapping, on};
use crate::drive::paths;
use crate::ending::Ending;
use crate::place;
use crate::show::guard::status::Switched;
use crate::show::print;

#[derive(Args)]
pub struct OnArgs {
    #[command(flatten)]
    change: GuardedChangeArgs,
    /// Stack that was deployed with Guard=true.
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    stack_name: String,
    /// The stack's checkpoint table [default: STACK-checkpoints].
    #[arg(long, value_name = "NAME")]
    checkpoint_table: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print what was done as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Runs the command. An error of what is asked for means that nothing was switched.
pub async fn on(args: OnArgs) -> Result<Ending> {
    let given = given(&args.change)?;
    let connection = args.connection.open().await?;
    let name = args.checkpoint_table.clone();
    let name = name.unwrap_or_else(|| format!("{}-checkpoints", args.stack_name));
    let checkpoints = CheckpointTable::new(&connection, name);
    let request = request(given, &args.change, &checkpoints, &connection).await?;
    let description = describe(&ReadOnly(connection.clone()), &request).await?;
    paths::refuse_ambiguous(&request, &connection, &description).await?;
    refuse_own_table(&request, &checkpoints)?;
    refuse_unfit(&request.spec.change(&description.keys))?;
    let streams = Streams::open(&connection).await?;
    let stream_arn = on::stream_of(&streams, &request.spec.table).await?;
    let mapping = mapping::of_stack(&args.stack_name, &stream_arn, &connection).await?;
    let tables = (request.spec.table.as_str(), checkpoints.name());
    mapping::refuse_other_tables(&mapping, tables, &connection).await?;
    let on = on::switch_on(
        request.spec,
        description.keys,
        stream_arn,
        Some(args.stack_name.clone()),
        Some(mapping.found()),
    );
    on::refuse_beside_others(&on, &checkpoints, &connection).await?;
    // The record first: a function that is handed records without one passes them.
    let stored = on.begin(&checkpoints, now_ms).await?;
    mapping::switch(&mapping, true, &connection).await?;
    let switched = Switched::of(&stored);
    say!("{}", switched.is_on(&args.stack_name, checkpoints.name()));
    if args.json {
        print::json(&place::with(&switched));
    }
    Ok(Ending::Succeeded)
}
