//! A backfill within another program: `cargo run -p backfill-dynamodb --example embed`. It gives 100 items of an embedded
//! database the attribute `test`, prints the result, and fails if one is left. AWS takes `ConnectOptions::default()`.

use backfill_core::engine::{drive::Engine, planner::Planner, verifier::Verifier, worker::Worker};
use backfill_core::view::{cost::Prices, progress::snapshot};
use backfill_core::{Request, pace::Share};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection, ReadOnly, ReadWrite};
use dynoxide::{Database, server::serve_with_shutdown};
use serde_json::{from_value, json};
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let options = ConnectOptions {
        endpoint_url: Some(format!("http://{}", listener.local_addr()?)),
        region: Some("us-east-1".into()),
        local_credentials: true,
        ..ConnectOptions::default()
    };
    let server = serve_with_shutdown(listener, seeded()?, std::future::pending());
    tokio::spawn(server);
    let connection = Connection::open(&options).await?;
    let store = CheckpointTable::new(&connection, "backfill-checkpoints");
    store.create_if_missing().await?;
    let (read, write) = (ReadOnly(connection.clone()), ReadWrite::new(connection));
    let engine = Engine {
        planner: Planner::new(read.clone(), store.clone()),
        worker: Worker::new(write, store.clone(), Share::Whole),
        verifier: Verifier::new(read, store.clone()),
    };
    let (owner, stop) = ("embed".into(), CancellationToken::new());
    let request = Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#)?;
    let round = engine.planner.begin(&request, &owner).await?;
    engine.drive(round, &owner, &stop).await?;
    let run = snapshot(&store, &request.run_id()).await?;
    let run = run.ok_or("the run has no record")?;
    let summary = run.summary(&Prices::default());
    println!("{}", serde_json::to_string_pretty(&summary)?);
    match summary.remaining {
        Some(0) => Ok(()),
        left => Err(format!("{}, remaining: {left:?}", summary.status.name()).into()),
    }
}

/// A database in memory with 100 items in the table `stuff`, none of which has `test`.
fn seeded() -> Result<Database> {
    let table = json!({"TableName": "stuff", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]});
    let item = |i| json!({"id": {"S": format!("item {i}")}});
    let database = Database::memory()?;
    database.create_table(from_value(table)?)?;
    let items = from_value((0..100).map(item).collect())?;
    database.import_items("stuff", items, Default::default())?;
    Ok(database)
}
