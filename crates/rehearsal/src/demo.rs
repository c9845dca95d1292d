//! The table of `backfill demo`: made-up items in an embedded database that speaks HTTP, so that the engine reaches it as it reaches
//! AWS; and a look at every item afterwards, past the engine.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::{iter, thread};

use backfill_core::value::{Bytes, with_sorted_sets};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use dynoxide::AttributeValue;
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::made_up::{FIRST_NAMES, LAST_NAMES};
use crate::sandbox::{Embedded, Row, Sandbox};

/// How many of a hundred items lack `test`.
pub const LACKING_PERCENT: u64 = 80;

/// The name of the table.
const TABLE: &str = "stuff";

/// Items that are put and read at a time.
const BATCH: usize = 2_000;

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

/// Creates the table and puts its items, in the order of their keys: so each is put behind the one before it.
fn fill(database: &Embedded, count: u64, seed: u64) -> std::result::Result<(), AnyError> {
    let table = serde_json::from_value(json!({
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
    }))?;
    let order = in_order(count, seed);
    thread::scope(|scope| {
        // Each maker has every so many-th batch, and makes its next while others wait to be put.
        let makers = at_once();
        let mut made = Vec::new();
        for maker in 0..makers {
            let (send, receive) = sync_channel(1);
            let batches = order.chunks(BATCH).skip(maker).step_by(makers);
            scope.spawn(move || {
                for batch in batches {
                    let items = batch.iter().map(|of| given(made_up(seed, of.index)));
                    // Nobody takes them if putting has failed, which is said there.
                    if send.send(items.map(row).collect()).is_err() {
                        return;
                    }
                }
            });
            made.push(receive);
        }
        let mut turn = made.iter().cycle();
        // The next batch is that of the maker whose turn it is, and all have ended if that one has.
        let batches = iter::from_fn(|| turn.next()?.recv().ok());
        Ok(database.create_filled(table, batches)?)
    })
}

/// An item as the database stores it.
fn row(mut item: dynoxide::Item) -> dynoxide::Result<Row> {
    Row::of(&mut item, "id", Some("created"))
}

fn check(database: &Embedded, count: u64, seed: u64) -> std::result::Result<u64, AnyError> {
    let order = in_order(count, seed);
    let mut parts: Vec<&[Of]> = order
        .chunks(order.len().div_ceil(at_once()).max(1))
        .collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    thread::scope(|scope| {
        let ends = parts.iter().skip(1).map(|part| part.first());
        let ends = ends.chain([None]);
        let checks: Vec<_> = parts
            .iter()
            .enumerate()
            .zip(ends)
            .map(|((i, part), end)| {
                // What lies before all of them is looked at with the first part.
                let begin = if i == 0 { None } else { part.first() };
                scope.spawn(move || check_part(database, seed, part, begin, end))
            })
            .collect();
        checks
            .into_iter()
            .map(|check| check.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .sum()
    })
}

/// Holds the items of a table from one of them up to another against those that were made; returns how many were migrated.
fn check_part(
    database: &Embedded,
    seed: u64,
    part: &[Of],
    begin: Option<&Of>,
    end: Option<&Of>,
) -> std::result::Result<u64, AnyError> {
    let written = |of: &Of| AttributeValue::S(id(of.number)).to_key_string();
    let mut after = (begin.and_then(written).unwrap_or_default(), String::new());
    let end = end.and_then(written);
    let mut made = part.iter();
    let mut migrated = 0;
    let gone = |of: &Of| -> AnyError {
        let key = key(&made_up(seed, of.index));
        format!("the item with key {key} is gone").into()
    };
    loop {
        let rows = database.rows(TABLE, &after, end.as_deref(), BATCH)?;
        let Some((last, _)) = rows.last() else {
            return made.next().map_or(Ok(migrated), |of| Err(gone(of)));
        };
        after = last.clone();
        for (_, found) in rows {
            let found: Item = serde_json::from_str(&found)?;
            let number = number_of(&found);
            let of = match made.next() {
                Some(of) if number.is_some_and(|number| of.number < number) => {
                    return Err(gone(of));
                }
                Some(of) if number == Some(of.number) => of,
                _ => return Err(format!("an item with key {} has appeared", key(&found)).into()),
            };
            let mut expected = made_up(seed, of.index);
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
}

/// Threads that work at the same time.
fn at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// One of the items that are made.
struct Of {
    /// That its id spells.
    number: u128,
    index: u64,
}

/// All that are made, in the order of their ids.
fn in_order(count: u64, seed: u64) -> Vec<Of> {
    let of = |index| Of {
        number: Begun::new(seed, index).number,
        index,
    };
    let mut all: Vec<Of> = (0..count).map(of).collect();
    all.sort_unstable_by_key(|of| of.number);
    all
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
}

/// The id that spells this number.
fn id(number: u128) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (number >> 96) as u32,
        (number >> 80) as u16,
        (number >> 64) as u16,
        (number >> 48) as u16,
        number & 0xffff_ffff_ffff
    )
}

/// The `index`-th item: about 300 bytes with every kind of attribute, the same for the same seed.
fn made_up(seed: u64, index: u64) -> Item {
    let begun = Begun::new(seed, index);
    let id = Value::S(id(begun.number));
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
        let (items, seed) = (BATCH as u64 + 10, 3);
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
