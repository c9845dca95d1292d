//! `backfill demo`: the whole job on an embedded database, which the engine reaches as it reaches AWS.

use backfill_core::view::cost::Prices;
use backfill_core::{Request, Result};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection};
use backfill_rehearsal::demo::{Demo, LACKING_PERCENT};
use clap::Args;
use indicatif::HumanCount;

use crate::drive::here;
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;

#[derive(Args)]
pub struct DemoArgs {
    /// Items in the table.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    items: u64,
    /// Seed of the made-up items.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn demo(args: DemoArgs) -> Result<Ending> {
    let demo = Demo::start(args.items, args.seed).await?;
    let endpoint = demo.endpoint();
    say!(
        "table stuff with {} items, {LACKING_PERCENT} % of them without test, in memory at {endpoint}",
        HumanCount(args.items)
    );
    let connection = Connection::open(&ConnectOptions {
        endpoint_url: Some(endpoint.into()),
        region: Some("us-east-1".into()),
        profile: None,
        local_credentials: true,
    })
    .await?;
    let request = Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#)?;
    let checkpoints = CheckpointTable::new(&connection, CHECKPOINT_TABLE);
    checkpoints.create_if_missing().await?;
    let ending = here::execute(
        &request,
        &connection,
        &checkpoints,
        &Prices::default(),
        args.json,
        false,
    )
    .await?;
    if ending == Ending::Succeeded {
        let migrated = demo.check()?;
        say!(
            "checked by reading the table: all {} items are there, {} have test = 1 from this run, and \
             nothing else has changed",
            HumanCount(args.items),
            HumanCount(migrated)
        );
    }
    Ok(ending)
}
