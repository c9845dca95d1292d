//! The database of a measurement: dynoxide in memory on a free port of 127.0.0.1, with a table `stuff` that nobody
//! has worked on yet. Prints one line of JSON when it is ready, and runs until SIGTERM or SIGINT.

use std::process::ExitCode;

use clap::Parser;
use dynoxide::Database;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const TABLE: &str = "stuff";

/// Items per import.
const BATCH: u64 = 10_000;

#[derive(Parser)]
struct Args {
    /// Items in the table.
    #[arg(long)]
    items: u64,
    /// How many of a hundred items lack `test`.
    #[arg(long, default_value_t = 100)]
    pending_percent: u64,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-database: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let database = seeded(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!(
            "{}",
            json!({
                "endpoint": format!("http://{}", listener.local_addr()?),
                "items": args.items,
                "pending": (0..args.items).filter(|i| is_pending(args, *i)).count(),
            })
        );
        tokio::select! {
            ended = dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()) => Ok(ended?),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}

/// The table is made in a file and read into memory from there: it gets an index that dynoxide lacks, by SQLite and once,
/// and the database itself stays as it comes, for all contenders. Without that index each page of a segmented scan reads the whole table (80 ms at 400,000 items),
/// which no DynamoDB table does, and which would be most of the time of every contender with segments.
fn seeded(args: &Args) -> Result<Database> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("seed.db");
    let file = file
        .to_str()
        .ok_or("the name of the temporary folder is not UTF-8")?;
    {
        let database = Database::new(file)?;
        database.enable_bulk_loading()?;
        database.create_table(serde_json::from_value(json!({
            "TableName": TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "created", "AttributeType": "N"},
            ],
            "KeySchema": [
                {"AttributeName": "id", "KeyType": "HASH"},
                {"AttributeName": "created", "KeyType": "RANGE"},
            ],
        }))?)?;
        let mut next = 0;
        while next < args.items {
            let end = (next + BATCH).min(args.items);
            let items: Value = (next..end).map(|i| made_up(args, i)).collect();
            database.import_items(TABLE, serde_json::from_value(items)?, Default::default())?;
            next = end;
        }
    }
    // The order in which dynoxide goes through a segment.
    rusqlite::Connection::open(file)?.execute_batch(&format!(
        "CREATE INDEX bench_segments ON \"{TABLE}\" (hash_prefix, pk, sk)"
    ))?;
    let database = Database::memory()?;
    database.restore_from(file)?;
    Ok(database)
}

fn is_pending(args: &Args, i: u64) -> bool {
    i % 100 < args.pending_percent
}

/// The `i`-th item: about 300 bytes, the same in every measurement.
fn made_up(args: &Args, i: u64) -> Value {
    let mut random = fastrand::Rng::with_seed(i);
    let id = format!("{:032x}", random.u128(..));
    let mut item = json!({
        "id": {"S": id},
        "created": {"N": (1_600_000_000_000 + random.u64(..200_000_000_000)).to_string()},
        "name": {"S": format!("customer number {i}")},
        "email": {"S": format!("customer{i}@example.com")},
        "status": {"S": "shipped"},
        "total": {"N": format!("{}.25", random.u32(1..10_000))},
        "active": {"BOOL": random.bool()},
        "tags": {"SS": ["parcel", "gift"]},
        "address": {"M": {"city": {"S": "Valparaíso"}, "number": {"N": random.u32(1..200).to_string()}}},
        "note": {"S": format!(
            "left with the neighbour at number {}, who asks you to ring twice and to have your passport with you",
            random.u32(1..200)
        )},
    });
    if !is_pending(args, i) {
        item["test"] = json!({"S": "set by the application"});
    }
    item
}
