//! The table of `backfill demo`: made-up items in an embedded database that speaks HTTP, so that the engine reaches it as it reaches
//! AWS; and a look at every item afterwards, past the engine.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use backfill_core::value::{Bytes, with_sorted_sets};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use dynoxide::Database;
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::made_up::{FIRST_NAMES, LAST_NAMES};
use crate::sandbox::Sandbox;

/// How many of a hundred items lack `test`.
pub const LACKING_PERCENT: u64 = 80;

/// Items per import and per page of the final check.
const BATCH: u64 = 5_000;

/// A table `stuff` in memory, served on a free port of 127.0.0.1 until this is dropped.
pub struct Demo {
    database: Database,
    server: JoinHandle<Infallible>,
    endpoint: String,
    items: u64,
    seed: u64,
}

impl Demo {
    /// Makes the table with so many items, the same for the same seed, and serves it.
    ///
    /// Errors: `Internal`.
    pub async fn start(items: u64, seed: u64) -> Result<Demo> {
        let sandbox = Sandbox::open(0, None).await?;
        let database = sandbox.database().clone();
        fill(&database, items, seed).map_err(internal("cannot seed the table"))?;
        Ok(Demo {
            database,
            endpoint: sandbox.endpoint(),
            server: tokio::spawn(sandbox.serve()),
            items,
            seed,
        })
    }

    /// "http://127.0.0.1:49152"
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Reads the whole table past the engine and holds every item against the one that was made: the same to the last
    /// attribute, or with `test = 1` if it lacked `test`. Returns how many were migrated.
    ///
    /// Errors: `Internal` naming an item that is gone, has changed otherwise or has appeared.
    pub fn check(&self) -> Result<u64> {
        check(&self.database, self.items, self.seed).map_err(internal("the final check failed"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn internal(what: &str) -> impl FnOnce(AnyError) -> Error {
    move |error| Error::new(ErrorKind::Internal, what).with_source(error)
}

fn fill(database: &Database, count: u64, seed: u64) -> std::result::Result<(), AnyError> {
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
    while next < count {
        let end = (next + BATCH).min(count);
        let items: Vec<Item> = (next..end).map(|i| made_up(seed, i)).collect();
        let items = serde_json::from_value(serde_json::to_value(items)?)?;
        database.import_items("stuff", items, Default::default())?;
        next = end;
    }
    Ok(())
}

fn check(database: &Database, count: u64, seed: u64) -> std::result::Result<u64, AnyError> {
    let mut seeded: HashMap<Key, u64> = (0..count).map(|i| (key(&made_up(seed, i)), i)).collect();
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
            let mut expected = made_up(seed, index);
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

fn guid(random: &mut Rng) -> String {
    let guid = random.u128(..);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        (guid >> 96) as u32,
        (guid >> 80) as u16,
        (guid >> 68) & 0xfff,
        0x8000 | ((guid >> 48) as u16 & 0x3fff),
        guid & 0xffff_ffff_ffff
    )
}

/// The `index`-th item: about 300 bytes with every kind of attribute, the same for the same seed.
fn made_up(seed: u64, index: u64) -> Item {
    let mut random = Rng::with_seed(seed.rotate_left(32) ^ index);
    let text = |s: &str| Value::S(s.to_owned());
    let number = |n: u64| Value::N(n.to_string());
    let mut pick = |words: &[&str]| words[random.usize(..words.len())].to_owned();
    let first = pick(&FIRST_NAMES);
    let last = pick(&LAST_NAMES);
    let status = pick(&["new", "paid", "shipped", "returned"]);
    let city = pick(&["Tromsø", "Kyoto", "Valparaíso", "Gent", "Accra"]);
    let guid = guid(&mut random);
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
        item.insert("test".into(), set_already(&mut random));
    }
    item
}

/// What the application has put into the attribute before the backfill comes.
fn set_already(random: &mut Rng) -> Value {
    match random.u8(..3) {
        0 => Value::N(random.u64(2..1000).to_string()),
        1 => Value::S("set by the application".into()),
        _ => Value::Null(true),
    }
}
