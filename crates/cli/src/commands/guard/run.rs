//! `backfill guard run`: the guard in this process.

use backfill_core::Result;
use backfill_core::engine::own_records::refuse_own_table;
use backfill_core::engine::planner::describe;
use backfill_core::guard::refuse_unfit;
use backfill_dynamodb::{CheckpointTable, ReadOnly, Streams};
use clap::Args;

use super::given::{given, request};
use crate::args::{ConnectionArgs, GuardedChangeArgs};
use crate::drive::{guard, paths};
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    change: GuardedChangeArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Table that holds the guard's records; created when missing.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
    /// Print what was done as one JSON object on stdout, at the end.
    #[arg(long)]
    json: bool,
}

/// Runs the command. An error means that no item was touched.
pub async fn run(args: RunArgs) -> Result<Ending> {
    let given = given(&args.change)?;
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
    let request = request(given, &args.change, &checkpoints, &connection).await?;
    let description = describe(&ReadOnly(connection.clone()), &request).await?;
    paths::refuse_ambiguous(&request, &connection, &description).await?;
    refuse_own_table(&request, &checkpoints)?;
    refuse_unfit(&request.spec.change(&description.keys))?;
    let streams = Streams::open(&connection).await?;
    let stream_arn = guard::on::stream_of(&streams, &request.spec.table).await?;
    checkpoints.create_if_missing().await?;
    let on = guard::on::switch_on(request.spec, description.keys, stream_arn, None, None);
    guard::run::watch(&on, &connection, &checkpoints, streams, args.json).await
}
