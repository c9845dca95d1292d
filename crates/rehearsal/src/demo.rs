//! The table of `backfill demo`: made-up items in an embedded database that speaks HTTP, so that the engine reaches it as it reaches
//! AWS; and a look at every item afterwards, past the engine.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::mpsc::sync_channel;
use std::thread;

use backfill_core::value::{Bytes, with_sorted_sets};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use dynoxide::AttributeValue;
use dynoxide::actions::scan::ScanRequest;
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::made_up::{FIRST_NAMES, LAST_NAMES};
use crate::sandbox::{Embedded, Sandbox};

/// How many of a hundred items lack `test`.
pub const LACKING_PERCENT: u64 = 80;

/// Items per import and per page of the final check.
const BATCH: u64 = 5_000;

/// A table `stuff` in memory, served on a free port of 127.0.0.1 until this is dropped.
pub struct Demo {
    database: Embedded,
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

fn fill(database: &Embedded, count: u64, seed: u64) -> std::result::Result<(), AnyError> {
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
    // The next items are made while those before them are imported.
    let (send, made) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut next = 0;
            while next < count {
                let end = (next + BATCH).min(count);
                let items = (next..end).map(|i| given(made_up(seed, i)));
                // Nobody takes them if the import has failed, which is said there.
                if send.send(items.collect()).is_err() {
                    return;
                }
                next = end;
            }
        });
        for items in made {
            database.call(|database| database.import_items("stuff", items, Default::default()))?;
        }
        Ok(())
    })
}

fn check(database: &Embedded, count: u64, seed: u64) -> std::result::Result<u64, AnyError> {
    // The next items are read while those before them are compared.
    let (send, read) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut after = None;
            loop {
                let page = database.scan(ScanRequest {
                    table_name: "stuff".into(),
                    limit: Some(BATCH as usize),
                    exclusive_start_key: after,
                    ..Default::default()
                });
                after = page
                    .as_ref()
                    .ok()
                    .and_then(|page| page.last_evaluated_key.clone());
                let items = page.map(|page| page.items.unwrap_or_default());
                // Nobody takes them if one was not as expected.
                if send.send(items).is_err() || after.is_none() {
                    return;
                }
            }
        });
        let mut seeded: HashMap<u128, u64> = HashMap::new();
        seeded.extend((0..count).map(|i| (Begun::new(seed, i).number, i)));
        let mut migrated = 0;
        for items in read {
            for found in items? {
                let found = taken(found);
                let index = number_of(&found).and_then(|number| seeded.remove(&number));
                let Some(index) = index else {
                    return Err(format!("an item with key {} has appeared", key(&found)).into());
                };
                let mut expected = made_up(seed, index);
                if !expected.contains_key("test") {
                    expected.insert("test".into(), Value::N("1".into()));
                    migrated += 1;
                }
                let found = with_sorted_sets(found);
                if found != with_sorted_sets(expected) {
                    let key = key(&found);
                    return Err(format!("the item with key {key} has changed: {found:?}").into());
                }
            }
        }
        match seeded.into_values().next() {
            None => Ok(migrated),
            Some(index) => {
                let key = key(&made_up(seed, index));
                Err(format!("the item with key {key} is gone").into())
            }
        }
    })
}

fn key(item: &Item) -> Key {
    Key(["id", "created"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())))
        .collect())
}

/// The number that the id of an item spells, which no other has.
fn number_of(item: &Item) -> Option<u128> {
    match item.get("id")? {
        Value::S(id) => u128::from_str_radix(&id.replace('-', ""), 16).ok(),
        _ => None,
    }
}

/// An item in the form of the database. JSON in between would be most of the work.
fn given(item: Item) -> dynoxide::Item {
    fn value(one: Value) -> AttributeValue {
        match one {
            Value::S(text) => AttributeValue::S(text),
            Value::N(number) => AttributeValue::N(number),
            Value::B(bytes) => AttributeValue::B(bytes.0),
            Value::Bool(is) => AttributeValue::BOOL(is),
            Value::Null(is) => AttributeValue::NULL(is),
            Value::L(list) => AttributeValue::L(list.into_iter().map(value).collect()),
            Value::M(map) => AttributeValue::M(given(map)),
            Value::Ss(set) => AttributeValue::SS(set),
            Value::Ns(set) => AttributeValue::NS(set),
            Value::Bs(set) => AttributeValue::BS(set.into_iter().map(|bytes| bytes.0).collect()),
        }
    }
    item.into_iter()
        .map(|(name, of)| (name, value(of)))
        .collect()
}

/// An item out of the form of the database.
fn taken(item: dynoxide::Item) -> Item {
    fn value(one: AttributeValue) -> Value {
        match one {
            AttributeValue::S(text) => Value::S(text),
            AttributeValue::N(number) => Value::N(number),
            AttributeValue::B(bytes) => Value::B(Bytes(bytes)),
            AttributeValue::BOOL(is) => Value::Bool(is),
            AttributeValue::NULL(is) => Value::Null(is),
            AttributeValue::L(list) => Value::L(list.into_iter().map(value).collect()),
            AttributeValue::M(map) => Value::M(taken(map)),
            AttributeValue::SS(set) => Value::Ss(set),
            AttributeValue::NS(set) => Value::Ns(set),
            AttributeValue::BS(set) => Value::Bs(set.into_iter().map(Bytes).collect()),
        }
    }
    item.into_iter()
        .map(|(name, of)| (name, value(of)))
        .collect()
}

/// What an item is made up of first: its number among other things, which so is known without the item.
struct Begun {
    random: Rng,
    first: &'static str,
    last: &'static str,
    status: &'static str,
    city: &'static str,
    /// That its id spells.
    number: u128,
}

impl Begun {
    fn new(seed: u64, index: u64) -> Begun {
        let mut random = Rng::with_seed(seed.rotate_left(32) ^ index);
        let mut pick = |words: &[&'static str]| words[random.usize(..words.len())];
        let first = pick(&FIRST_NAMES);
        let last = pick(&LAST_NAMES);
        let status = pick(&["new", "paid", "shipped", "returned"]);
        let city = pick(&["Tromsø", "Kyoto", "Valparaíso", "Gent", "Accra"]);
        let guid = random.u128(..);
        // A GUID of version 4, and of the variant that most are.
        let number = (guid >> 80 << 80)
            | 4 << 76
            | ((guid >> 68) & 0xfff) << 64
            | 2 << 62
            | guid & ((1 << 62) - 1);
        Begun {
            random,
            first,
            last,
            status,
            city,
            number,
        }
    }

    fn id(&self) -> String {
        let number = self.number;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (number >> 96) as u32,
            (number >> 80) as u16,
            (number >> 64) as u16,
            (number >> 48) as u16,
            number & 0xffff_ffff_ffff
        )
    }
}

/// The `index`-th item: about 300 bytes with every kind of attribute, the same for the same seed.
fn made_up(seed: u64, index: u64) -> Item {
    let begun = Begun::new(seed, index);
    let id = Value::S(begun.id());
    let Begun {
        mut random,
        first,
        last,
        status,
        city,
        ..
    } = begun;
    let text = |s: &str| Value::S(s.to_owned());
    let number = |n: u64| Value::N(n.to_string());
    let mut item = Item::from([
        ("id".into(), id),
        (
            "created".into(),
            number(1_600_000_000_000 + random.u64(..200_000_000_000)),
        ),
        ("name".into(), text(&format!("{first} {last}"))),
        (
            "email".into(),
            text(&format!("{first}.{last}@example.com").to_lowercase()),
        ),
        ("status".into(), text(status)),
        (
            "total".into(),
            Value::N(format!("{}.{}", random.u32(1..10_000), random.u32(1..10))),
        ),
        ("active".into(), Value::Bool(random.bool())),
        ("deleted_at".into(), Value::Null(true)),
        (
            "tags".into(),
            Value::Ss(vec![status.to_owned(), city.to_lowercase()]),
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
                ("city".into(), text(city)),
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

#[cfg(test)]
mod tests {
    use dynoxide::actions::delete_item::DeleteItemRequest;
    use dynoxide::actions::put_item::PutItemRequest;

    use super::*;

    /// What the check can find: of a table as it was made none is migrated, and one that is other than it was made is named.
    #[tokio::test]
    async fn a_check_finds_what_is_other_than_it_was_made() {
        let (items, seed) = (BATCH + 10, 3);
        let demo = Demo::start(items, seed).await.unwrap();
        let says = || demo.check().unwrap_err();
        let text = || format!("{:?}", says());
        // Those that lack `test` have not got it.
        assert!(text().contains("has changed"), "{}", text());
        let lacking = |i: &u64| !made_up(seed, *i).contains_key("test");
        let put = |item: Item| {
            let put = PutItemRequest {
                table_name: "stuff".into(),
                item: given(item),
                ..Default::default()
            };
            demo.database
                .call(|database| database.put_item(put))
                .unwrap();
        };
        let migrated = |i: u64| {
            let mut item = made_up(seed, i);
            item.insert("test".into(), Value::N("1".into()));
            item
        };
        let all: Vec<u64> = (0..items).filter(lacking).collect();
        all.iter().for_each(|i| put(migrated(*i)));
        assert_eq!(demo.check().unwrap(), all.len() as u64);
        let one = all[all.len() / 2];
        let mut other = migrated(one);
        other.insert("sizes".into(), Value::Ns(vec!["7".into()]));
        put(other);
        assert!(text().contains("has changed"), "{}", text());
        let key = given(key(&migrated(one)).0);
        let delete = DeleteItemRequest {
            table_name: "stuff".into(),
            key,
            ..Default::default()
        };
        demo.database
            .call(|database| database.delete_item(delete))
            .unwrap();
        assert!(text().contains("is gone"), "{}", text());
        put(migrated(one));
        put(made_up(seed, items));
        assert!(text().contains("has appeared"), "{}", text());
    }
}
