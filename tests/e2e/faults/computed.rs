//! Values that are computed, beside an application that changes what they are computed from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use backfill_core::value::with_sorted_sets;
use backfill_core::{Item, Key, Value};
use backfill_e2e::command::AtWork;
use backfill_e2e::convert::to_item;
use backfill_e2e::database::Embedded;
use backfill_e2e::live;
use backfill_e2e::tables::{STUFF_KEYS, key_of, put_all, read_all, stuff};
use backfill_e2e::wire::Faults;
use fastrand::Rng;
use tokio::task::JoinHandle;

use crate::torture::{Torture, torture_seconds};
use crate::trial::{CHECKPOINTS, assert_accounted};

const ITEMS: u64 = 800;

const WRITERS: u64 = 4;

/// Share of the backfills' calls that meet with a fault.
const FAULTS: f64 = 0.03;

/// A backfill of each mode, and one whose source lies in a map, of which no batch holds.
const BACKFILLS: [(&str, &str); 4] = [
    (
        "label",
        "--compute label=${tenant}#${status|lower} --segments 4",
    ),
    (
        "word",
        "--compute loud=${box.word|upper} --compute letters=${box.word|size} --segments 3",
    ),
    (
        "shade",
        "--compute shade=${status|upper}/${nick|default(\"none\")} --mode converge --segments 2",
    ),
    (
        "stamp",
        "--compute stamp=${stamp|number} --pending attribute_type(stamp,:s) --value :s=\"S\" --segments 5",
    ),
];

fn text(text: impl Into<String>) -> Value {
    Value::S(text.into())
}

fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name) {
        Some(Value::S(text)) => Some(text),
        _ => None,
    }
}

/// What each backfill computes from an item, said here once more and in another way; nothing if a source is missing.
fn computed(item: &Item) -> BTreeMap<&'static str, Value> {
    let (tenant, status) = (text_of(item, "tenant"), text_of(item, "status"));
    let word = match item.get("box") {
        Some(Value::M(members)) => members.get("word"),
        _ => None,
    };
    let label = tenant.zip(status);
    let label = label.map(|(tenant, status)| format!("{tenant}#{}", status.to_lowercase()));
    let shade = status.map(|status| {
        let nick = text_of(item, "nick").unwrap_or("none");
        format!("{}/{nick}", status.to_uppercase())
    });
    let word = word.and_then(|word| match word {
        Value::S(word) => Some(word),
        _ => None,
    });
    [
        ("label", label.map(Value::S)),
        ("shade", shade.map(Value::S)),
        ("loud", word.map(|word| text(word.to_uppercase()))),
        ("letters", word.map(|word| Value::N(word.len().to_string()))),
        (
            "stamp",
            text_of(item, "stamp").map(|stamp| Value::N(stamp.to_owned())),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// Whether a backfill replaces what this target has.
fn is_replaced(target: &str) -> bool {
    ["shade", "stamp"].contains(&target)
}

/// The application on its keys, on which it is the only one: between two of its operations no source changes. So whatever a
/// backfill has added meanwhile was written beside the sources that the application has left.
struct Application {
    client: Client,
    random: Rng,
    items: Vec<u64>,
    /// What stood at each key after the last operation.
    left: BTreeMap<Key, Option<Item>>,
    writes: u64,
    /// Values of backfills that were met.
    met: u64,
}

/// One operation on an item that is there.
#[derive(Default)]
struct Update {
    set: Vec<(&'static str, Value)>,
    remove: Vec<&'static str>,
}

impl Application {
    fn new(client: &Client, before: &BTreeMap<Key, Item>, nth: u64, seed: u64) -> Application {
        let items: Vec<u64> = (nth..ITEMS).step_by(WRITERS as usize).collect();
        let keys = items.iter().map(|i| key_of(&stuff(*i), STUFF_KEYS));
        Application {
            client: client.clone(),
            random: Rng::with_seed(seed * WRITERS + nth),
            left: keys
                .map(|key| (key.clone(), before.get(&key).cloned()))
                .collect(),
            items,
            writes: 0,
            met: 0,
        }
    }

    /// One operation at a random key. Panics if what was there is not what this application has left, with what belongs to it.
    async fn work(&mut self) {
        let i = self.items[self.random.usize(..self.items.len())];
        let key = key_of(&stuff(i), STUFF_KEYS);
        self.writes += 1;
        let mine = text(format!("live {}", self.writes));
        match self.random.u8(..12) {
            0 => self.delete(key).await,
            1 | 2 => {
                let mut item = item(i, &mut self.random);
                // Sometimes the application computes it itself, in its own way.
                if self.random.bool() {
                    item.insert("label".into(), mine.clone());
                    item.insert("shade".into(), mine);
                }
                self.put(key, item).await;
            }
            3 => self.read(key).await,
            _ => {
                let update = self.update(mine);
                self.change(key, update).await;
            }
        }
    }

    /// A change of sources that keeps or clears the targets, or one of the targets alone.
    fn update(&mut self, mine: Value) -> Update {
        let mut update = Update::default();
        let (set, remove) = (&mut update.set, &mut update.remove);
        match self.random.u8(..8) {
            0 => set.push(("label", mine)),
            1 => set.push(("shade", mine)),
            2 => remove.push("tenant"),
            3 => remove.extend(["nick", "letters"]),
            4 => set.push(("stamp", text(self.random.u32(..).to_string()))),
            _ => {
                let new = item(0, &mut self.random);
                for name in ["tenant", "status", "box", "nick"] {
                    if self.random.bool() {
                        set.extend(new.get(name).map(|value| (name, value.clone())));
                    }
                }
                if self.random.bool() || set.is_empty() {
                    remove.extend(["label", "loud", "letters"]);
                }
            }
        }
        update
    }

    /// Takes note of what was at a key before an operation, or instead of one.
    fn see(&mut self, key: &Key, found: Option<Item>) {
        let left = &self.left[key];
        self.met += compare(key, left.as_ref(), found.as_ref());
        self.left.insert(key.clone(), found);
    }

    async fn delete(&mut self, key: Key) {
        let deleted = live::delete(&self.client, &key).await;
        self.see(&key, deleted);
        self.left.insert(key, None);
    }

    async fn put(&mut self, key: Key, item: Item) {
        let before = live::put(&self.client, &item).await;
        self.see(&key, before);
        self.left.insert(key, Some(item));
    }

    async fn read(&mut self, key: Key) {
        let request = self.client.get_item().table_name("stuff");
        let request = request.set_key(Some(to_item(&key.0)));
        let read = request.consistent_read(true).send().await;
        let read = read.expect("the item is read");
        self.see(&key, live::found(read.item()));
    }

    async fn change(&mut self, key: Key, update: Update) {
        let mut request = self
            .client
            .update_item()
            .table_name("stuff")
            .set_key(Some(to_item(&key.0)))
            .condition_expression("attribute_exists(id)")
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let mut sections = Vec::new();
        let mut parts = Vec::new();
        for (n, (name, value)) in update.set.iter().enumerate() {
            parts.push(format!("#s{n} = :s{n}"));
            let values = to_item(&Item::from([(format!(":s{n}"), value.clone())]));
            for (placeholder, value) in values {
                request = request.expression_attribute_values(placeholder, value);
            }
            request = request.expression_attribute_names(format!("#s{n}"), *name);
        }
        if !parts.is_empty() {
            sections.push(format!("SET {}", parts.join(", ")));
        }
        if !update.remove.is_empty() {
            sections.push(format!("REMOVE {}", update.remove.join(", ")));
        }
        match request.update_expression(sections.join(" ")).send().await {
            Ok(updated) => {
                self.see(&key, live::found(updated.attributes()));
                let left = self.left.get_mut(&key).and_then(Option::as_mut);
                let left = left.expect("the condition held");
                for name in update.remove {
                    left.remove(name);
                }
                left.extend(
                    update
                        .set
                        .into_iter()
                        .map(|(name, value)| (name.into(), value)),
                );
            }
            Err(SdkError::ServiceError(error)) => match error.err() {
                UpdateItemError::ConditionalCheckFailedException(check) => {
                    self.see(&key, live::found(check.item()));
                }
                error => panic!("{key}: {error:?}"),
            },
            Err(error) => panic!("{key}: {error:?}"),
        }
    }

    /// Panics unless the table is what this application has left, and everything is computed.
    fn check(&self, table: &BTreeMap<Key, Item>) {
        for (key, left) in &self.left {
            let found = table.get(key);
            compare(key, left.as_ref(), found);
            let (Some(left), Some(found)) = (left, found) else {
                continue;
            };
            for (target, value) in computed(left) {
                let expected = match left.get(target) {
                    Some(own) if !is_replaced(target) => own,
                    _ => &value,
                };
                // Two targets of one run: either both have their sources or none.
                assert_eq!(found.get(target), Some(expected), "{target} of {key}");
            }
        }
    }
}

/// An item as the application puts it: few values, so that what has moved may come back.
fn item(i: u64, random: &mut Rng) -> Item {
    let mut item = with_sorted_sets(stuff(i));
    item.remove("test");
    let word = format!("word {}", random.u8(..50));
    item.extend([
        ("tenant".into(), text(format!("T{}", random.u8(..4)))),
        ("status".into(), text(format!("Open{}", random.u8(..9)))),
        ("stamp".into(), text(random.u32(..).to_string())),
        (
            "box".into(),
            Value::M(BTreeMap::from([("word".into(), text(word))])),
        ),
    ]);
    if random.bool() {
        item.insert("nick".into(), text(format!("n{}", random.u8(..9))));
    }
    item
}

/// Panics unless an item is as it was left, but for what backfills compute from it. Returns how much of that is there.
#[track_caller]
fn compare(key: &Key, left: Option<&Item>, found: Option<&Item>) -> u64 {
    let (left, found) = match (left, found) {
        (None, None) => return 0,
        (None, Some(found)) => panic!("{key} was resurrected: {found:?}"),
        (Some(_), None) => panic!("{key} was lost"),
        (Some(left), Some(found)) => (left, found),
    };
    let computed = computed(left);
    let mut met = 0;
    for (name, value) in found {
        let own = left.get(name);
        if own == Some(value) {
            continue;
        }
        let may_write = own.is_none() || is_replaced(name);
        assert!(may_write, "{name} of {key} was overwritten: {value:?}");
        assert_eq!(
            computed.get(name.as_str()),
            Some(value),
            "{name} of {key} is not what its sources gave when it was written: {left:?}"
        );
        met += 1;
    }
    for name in left.keys() {
        assert!(found.contains_key(name), "{name} of {key} was removed");
    }
    met
}

/// The application, for as long: each is alone on its keys, and all backfills are on all of them.
fn applications(
    client: &Client,
    before: &BTreeMap<Key, Item>,
    until: Instant,
    seed: u64,
) -> Vec<JoinHandle<Application>> {
    let writer = |nth| {
        let mut application = Application::new(client, before, nth, seed);
        tokio::spawn(async move {
            while Instant::now() < until {
                application.work().await;
            }
            application
        })
    };
    (0..WRITERS).map(writer).collect()
}

/// computed, never-overwrite, never-resurrect: an application changes, removes and restores sources, sets and clears targets,
/// deletes items and puts them anew, while backfills of every mode are killed, stopped, frozen and resumed on a line with faults.
/// Whatever they write is computed from what stands beside it at that moment; at the end nothing is left to compute, and each
/// proof has counted what differs.
#[tokio::test(flavor = "multi_thread")]
async fn computed_from_what_stands_beside_it_under_torture() {
    let seconds = torture_seconds() / 2;
    let seed = std::env::var("FAULT_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("seed {seed}");
    let database = Embedded::with_stuff(0).await;
    let mut random = Rng::with_seed(seed);
    let items: Vec<Item> = (0..ITEMS).map(|i| item(i, &mut random)).collect();
    put_all(&database.client, "stuff", &items).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let line = database.line().await;
    let faults = Arc::new(Faults::new(seed, FAULTS));
    let meddle = |table: &str| {
        let faults = faults.clone();
        line.tap(table, move |call| {
            let verdict = faults.verdict(&call);
            async move { verdict }
        })
    };
    let _taps = (meddle("stuff"), meddle(CHECKPOINTS));
    let until = Instant::now() + Duration::from_secs(seconds);
    let writers = applications(&database.client, &before, until, seed);
    let torture = Arc::new(Torture::new(&line.endpoint, until, seed));
    let run =
        |(name, what): (&str, &str)| format!("run --table stuff --json --run-id {name} {what}");
    let at_the_end = torture.beside(writers, BACKFILLS.map(run)).await;
    // What is left, each may now do undisturbed.
    let mut different = BTreeMap::new();
    for backfill in BACKFILLS {
        let last = database.backfill(&run(backfill));
        let ended = AtWork::start(last).end().await.expect_code(0);
        let result = ended.json();
        assert_accounted(&result, format_args!("seed {seed}"));
        assert_eq!(result["remaining"], 0, "{result}");
        different.insert(backfill.0, result["different"].as_u64());
    }
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    for application in &at_the_end {
        application.check(&after);
    }
    assert_eq!(different, differing(&after));
    let of = |count: fn(&Application) -> u64| at_the_end.iter().map(count).sum::<u64>();
    let (writes, met) = (of(|writer| writer.writes), of(|writer| writer.met));
    let ends = torture.ends();
    println!(
        "{writes} live operations in {seconds} s met {met} computed values; {} of {ITEMS} items left, different: {different:?}",
        after.len()
    );
    println!("backfills: {ends:?}");
    // Or it was no torture.
    assert!(met > 10 * seconds, "{met} of {writes}");
    assert!(ends["killed"] >= seconds / 2, "{ends:?}");
}

/// Items of a table of which a target is not what its sources give, by run; nothing if its proof does not tell.
fn differing(table: &BTreeMap<Key, Item>) -> BTreeMap<&'static str, Option<u64>> {
    let count = |targets: &[&str]| {
        let differs = |item: &&Item| {
            let mut computed = computed(item).into_iter();
            computed.any(|(name, value)| targets.contains(&name) && item.get(name) != Some(&value))
        };
        Some(table.values().filter(differs).count() as u64)
    };
    BTreeMap::from([
        ("label", count(&["label"])),
        ("word", count(&["loud", "letters"])),
        ("shade", count(&["shade"])),
        ("stamp", None),
    ])
}
