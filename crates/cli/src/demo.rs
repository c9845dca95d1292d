//! `backfill demo`: the whole job on an embedded database. The database speaks HTTP on a free port of
//! 127.0.0.1, and the engine reaches it as it reaches AWS.

use std::collections::{BTreeMap, HashMap};

use backfill_core::value::{Bytes, with_sorted_sets};
use backfill_core::view::cost::Prices;
use backfill_core::{Error, ErrorKind, Item, Key, Request, Result, Value};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection};
use clap::Args;
use dynoxide::Database;
use indicatif::HumanCount;
use serde_json::json;
use tokio::net::TcpListener;

use crate::drive::here as run;
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;

/// Of a hundred items, how many lack `test`.
const LACKING_PERCENT: u64 = 80;

/// Items per import and per page of the final check.
const BATCH: u64 = 5_000;

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
    let internal = |what: &str| {
        let what = what.to_owned();
        move |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Internal, what).with_source(error)
        }
    };
    let database =
        Database::memory().map_err(|e| internal("cannot open the database")(e.into()))?;
    seed(&database, &args).map_err(internal("cannot seed the table"))?;

    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|e| internal("cannot listen on 127.0.0.1")(e.into()))?;
    let address = listener
        .local_addr()
        .map_err(|e| internal("cannot listen on 127.0.0.1")(e.into()))?;
    let server = tokio::spawn(dynoxide::server::serve_with_shutdown(
        listener,
        database.clone(),
        std::future::pending(),
    ));
    eprintln!(
        "table stuff with {} items, {LACKING_PERCENT} % of them without test, in memory at http://{address}",
        HumanCount(args.items)
    );

    let connection = Connection::open(&ConnectOptions {
        endpoint_url: Some(format!("http://{address}")),
        region: Some("us-east-1".into()),
        profile: None,
        local_credentials: true,
    })
    .await?;
    let request = Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#)?;
    let checkpoints = CheckpointTable::new(&connection, CHECKPOINT_TABLE);
    checkpoints.create_if_missing().await?;
    let ending = run::execute(
        &request,
        &connection,
        &checkpoints,
        &Prices::default(),
        args.json,
        false,
    )
    .await?;
    server.abort();

    if ending == Ending::Succeeded {
        let migrated = check(&database, &args).map_err(internal("the final check failed"))?;
        eprintln!(
            "checked by reading the table: all {} items are there, {} have test = 1 from this run, and \
             nothing else has changed",
            HumanCount(args.items),
            HumanCount(migrated)
        );
    }
    Ok(ending)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn seed(database: &Database, args: &DemoArgs) -> std::result::Result<(), Failure> {
    database.create_table(serde_json::from_value(json!({
        "TableName": "stuff",
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
        let items: Vec<Item> = (next..end).map(|i| made_up(args.seed, i)).collect();
        let items = serde_json::from_value(serde_json::to_value(items)?)?;
        database.import_items("stuff", items, Default::default())?;
        next = end;
    }
    Ok(())
}

/// Reads the whole table past the engine and holds every item against the one that was seeded: the same to the
/// last attribute, or with `test = 1` where `test` was missing. Returns how many were migrated.
fn check(database: &Database, args: &DemoArgs) -> std::result::Result<u64, Failure> {
    let mut seeded: HashMap<Key, u64> = (0..args.items)
        .map(|i| (key(&made_up(args.seed, i)), i))
        .collect();
    let mut migrated = 0;
    let mut after = None;
    loop {
        let response = database.scan(dynoxide::actions::scan::ScanRequest {
            table_name: "stuff".into(),
            limit: Some(BATCH as usize),
            exclusive_start_key: after,
            ..Default::default()
        })?;
        for item in response.items.unwrap_or_default() {
            let found: Item = serde_json::from_value(serde_json::to_value(&item)?)?;
            let key = key(&found);
            let Some(index) = seeded.remove(&key) else {
                return Err(format!("an item with key {key} has appeared").into());
            };
            let mut expected = made_up(args.seed, index);
            if !expected.contains_key("test") {
                expected.insert("test".into(), Value::N("1".into()));
                migrated += 1;
            }
            if with_sorted_sets(found.clone()) != with_sorted_sets(expected) {
                return Err(format!("the item with key {key} has changed: {found:?}").into());
            }
        }
        after = response.last_evaluated_key;
        if after.is_none() {
            break;
        }
    }
    match seeded.into_keys().next() {
        None => Ok(migrated),
        Some(key) => Err(format!("the item with key {key} is gone").into()),
    }
}

fn key(item: &Item) -> Key {
    Key(["id", "created"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())))
        .collect())
}

/// The `index`-th item: about 300 bytes with every kind of attribute, the same for the same seed.
fn made_up(seed: u64, index: u64) -> Item {
    let mut random = fastrand::Rng::with_seed(seed.rotate_left(32) ^ index);
    let text = |s: &str| Value::S(s.to_owned());
    let number = |n: u64| Value::N(n.to_string());
    let mut pick = |words: &[&str]| words[random.usize(..words.len())].to_owned();
    let first = pick(&[
        "Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Leslie",
    ]);
    let last = pick(&[
        "Lovelace", "Hopper", "Liskov", "Knuth", "Perlman", "Lamport",
    ]);
    let status = pick(&["new", "paid", "shipped", "returned"]);
    let city = pick(&["Tromsø", "Kyoto", "Valparaíso", "Gent", "Accra"]);
    let guid = random.u128(..);
    let guid = format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        (guid >> 96) as u32,
        (guid >> 80) as u16,
        (guid >> 68) & 0xfff,
        0x8000 | ((guid >> 48) as u16 & 0x3fff),
        guid & 0xffff_ffff_ffff
    );
    let mut item = Item::from([
        ("id".into(), text(&guid)),
        (
            "created".into(),
            number(1_600_000_000_000 + random.u64(..200_000_000_000)),
        ),
        ("name".into(), text(&format!("{first} {last}"))),
        (
            "email".into(),
            text(&format!("{first}.{last}@example.com").to_lowercase()),
        ),
        ("status".into(), text(&status)),
        (
            "total".into(),
            Value::N(format!("{}.{}", random.u32(1..10_000), random.u32(1..10))),
        ),
        ("active".into(), Value::Bool(random.bool())),
        ("deleted_at".into(), Value::Null(true)),
        (
            "tags".into(),
            Value::Ss(vec![status.clone(), city.to_lowercase()]),
        ),
        (
            "sizes".into(),
            Value::Ns(vec![
                random.u32(1..50).to_string(),
                random.u32(50..99).to_string(),
            ]),
        ),
        (
            "digest".into(),
            Value::B(Bytes((0..16).map(|_| random.u8(..)).collect())),
        ),
        (
            "address".into(),
            Value::M(BTreeMap::from([
                ("city".into(), text(&city)),
                ("number".into(), number(random.u64(1..200))),
            ])),
        ),
        (
            "note".into(),
            text(&format!(
                "left with the neighbour at number {}, ring twice",
                random.u32(1..200)
            )),
        ),
        (
            "visits".into(),
            Value::L((0..3).map(|_| number(random.u64(..1_000_000))).collect()),
        ),
    ]);
    if random.u64(..100) >= LACKING_PERCENT {
        let value = match random.u8(..3) {
            0 => number(random.u64(2..1000)),
            1 => text("set by the application"),
            _ => Value::Null(true),
        };
        item.insert("test".into(), value);
    }
    item
}
