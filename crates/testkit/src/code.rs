//! A test kit for authors of code for `--code`: [`hold`] tries what [`Code`] asks for.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use backfill_core::change::{Code, Coded, Made, Parsed, make};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType};
use backfill_core::value::Bytes;
use backfill_core::{Item, Key, Spec, Value};
use fastrand::Rng;

/// Items that are made up for each seed.
const MADE_UP: usize = 1_000;

/// The key attribute of the table that is made up for the guard.
const KEY: &str = "custom_change_key";

/// Tries what is asked of code, on these items, of which it can change at least one, and on a thousand that are made up from a fixed
/// seed: of all types, and with attributes missing that it reads.
///
/// - It says the same of itself each time, and what it says can be a change of a table.
/// - It makes the same of an item each time, and panics at none.
/// - It sets and removes nothing but what it writes, to values that DynamoDB stores.
/// - An item that is pending is not pending any more when it is changed.
/// - The guard of its write is true for the item that it was made from, and false for the item after the write, for one that is gone,
///   and for one of which anything has moved that was read.
///
/// # Panics
///
/// With what is wrong, and for which item. It registers the code unless that is done already.
pub fn hold(code: &(impl Code + Clone), samples: &[Item]) {
    let coded = registered(code);
    let pending = code.pending();
    let is_pending = Parsed::new(&pending.expression, &pending.names, &pending.values)
        .unwrap_or_else(|why| panic!("the predicate cannot be read: {why}"));
    let mut rng = Rng::with_seed(1);
    let mut changed = 0;
    for (nth, item) in samples.iter().cloned().enumerate() {
        changed += u32::from(hold_one(code, &coded, &is_pending, item.clone()));
        for name in code.reads() {
            let mut without = item.clone();
            without.remove(&name);
            hold_one(code, &coded, &is_pending, without);
        }
        assert!(nth < 100_000, "that many samples say no more");
    }
    assert!(
        changed > 0,
        "none of the {} samples is pending and can be changed; give some that are",
        samples.len()
    );
    for _ in 0..MADE_UP {
        let item = made_up(code, samples, &mut rng);
        hold_one(code, &coded, &is_pending, item);
    }
}

fn registered(code: &(impl Code + Clone)) -> Coded {
    let coded = Coded {
        name: code.name().to_owned(),
        fingerprint: code.fingerprint(),
    };
    if Coded::named(code.name()).is_err() {
        let registered = backfill_core::change::register(code.clone());
        registered.unwrap_or_else(|why| panic!("{why}"));
    }
    let said = || {
        (
            code.fingerprint(),
            code.reads(),
            code.writes(),
            code.pending(),
        )
    };
    assert_eq!(said(), said(), "it says something else of itself each time");
    coded
}

/// Tries one item. True if it is pending and was changed.
fn hold_one(code: &impl Code, coded: &Coded, is_pending: &Parsed, item: Item) -> bool {
    let reads: BTreeSet<String> = code.reads().into_iter().collect();
    let mut read = item.clone();
    read.retain(|name, _| reads.contains(name));
    let change = || {
        let changed = catch_unwind(AssertUnwindSafe(|| code.change(&read)));
        changed.unwrap_or_else(|_| panic!("it panics at {read:?}"))
    };
    let first = change();
    assert_eq!(
        first,
        change(),
        "it makes something else each time of {read:?}"
    );
    let (true, Ok(_)) = (is_pending.holds(&item), first) else {
        // What is not pending is not asked for, and what cannot be changed is rejected.
        return false;
    };
    let made = make(code, &code.writes(), &read);
    let made = made.unwrap_or_else(|why| panic!("{why}: {read:?}"));
    let after = written(&item, &made);
    assert!(
        !is_pending.holds(&after),
        "it is still pending afterwards: {item:?} became {after:?}"
    );
    hold_guard(coded, item, &made, after, &reads);
    true
}

/// The item after the write.
fn written(item: &Item, made: &Made) -> Item {
    let mut after = item.clone();
    after.retain(|name, _| !made.remove.contains(name));
    after.extend(made.set.clone());
    after
}

fn hold_guard(
    coded: &Coded,
    mut item: Item,
    made: &Made,
    mut after: Item,
    reads: &BTreeSet<String>,
) {
    let spec = Spec::of_code(coded.clone(), "any").unwrap_or_else(|why| panic!("{why}"));
    let keys = KeySchema {
        hash: KeyAttribute::new(KEY, KeyType::S),
        range: None,
    };
    let change = spec.change(&keys);
    let key = Key([(KEY.to_owned(), Value::S("a".into()))].into());
    item.extend(key.0.clone());
    after.extend(key.0);
    let seen = change.seen(item.clone().into());
    let update = change.update(&seen, made);
    let guard = Parsed::new(update.condition.as_str(), &update.names, &update.values);
    let guard = guard.unwrap_or_else(|why| panic!("the guard cannot be read: {why}"));
    assert!(guard.holds(&item), "the guard refuses {item:?}");
    assert!(
        !guard.holds(&after),
        "the guard would write {after:?} again"
    );
    assert!(
        !guard.holds(&Item::new()),
        "the guard would write what is gone"
    );
    for name in reads {
        let mut moved = item.clone();
        let other = Value::S("something that was there at no time".into());
        moved.insert(name.clone(), other);
        assert!(
            !guard.holds(&moved),
            "the guard lets pass that {name} has moved"
        );
    }
}

/// An item with some of the attributes that the code reads or writes, of any type, or one of the samples with one of them so.
fn made_up(code: &impl Code, samples: &[Item], rng: &mut Rng) -> Item {
    let mut item = match samples.len() {
        0 => Item::new(),
        _ if rng.bool() => Item::new(),
        count => samples[rng.usize(..count)].clone(),
    };
    let names = code.reads().into_iter().chain(code.writes());
    for name in names {
        match rng.u8(..4) {
            0 => drop(item.remove(&name)),
            1 => {}
            _ => drop(item.insert(name, any(rng, 3))),
        }
    }
    item
}

/// A value of any type, nested up to so deep.
fn any(rng: &mut Rng, depth: usize) -> Value {
    let kinds = if depth == 0 { 8 } else { 10 };
    match rng.u8(..kinds) {
        0 => Value::S(text(rng)),
        1 => Value::N(number(rng)),
        2 => Value::B(Bytes(bytes(rng))),
        3 => Value::Bool(rng.bool()),
        4 => Value::Null(true),
        5 => Value::Ss(distinct(rng, text)),
        6 => Value::Ns(
            (0..rng.i64(1..5))
                .map(|n| (n * 7 - 9).to_string())
                .collect(),
        ),
        7 => Value::Bs((0..rng.u8(1..5)).map(|n| Bytes(vec![n])).collect()),
        8 => Value::L((0..rng.usize(..4)).map(|_| any(rng, depth - 1)).collect()),
        _ => {
            let entries = (0..rng.usize(..4)).map(|_| (text(rng), any(rng, depth - 1)));
            Value::M(entries.collect())
        }
    }
}

fn text(rng: &mut Rng) -> String {
    const ODD: [&str; 8] = ["", " ", "ß", "e\u{301}", "🙂", "\u{0}", "/", "\u{202e}"];
    let parts = (0..rng.usize(..6)).map(|_| match rng.u8(..3) {
        0 => ODD[rng.usize(..ODD.len())].to_owned(),
        1 => rng.u64(..).to_string(),
        _ => (0..rng.usize(..12)).map(|_| rng.alphanumeric()).collect(),
    });
    parts.collect()
}

fn number(rng: &mut Rng) -> String {
    const ODD: [&str; 5] = [
        "0",
        "-1",
        "99999999999999999999999999999999999999",
        "1E-130",
        "9.9999999999999999999999999999999999999E+125",
    ];
    match rng.bool() {
        true => ODD[rng.usize(..ODD.len())].to_owned(),
        false => format!("{}.{}", rng.i32(..), rng.u32(1..)),
    }
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    (0..rng.usize(..9)).map(|_| rng.u8(..)).collect()
}

fn distinct(rng: &mut Rng, make: fn(&mut Rng) -> String) -> Vec<String> {
    let members: BTreeSet<String> = (0..rng.usize(1..5)).map(|_| make(rng)).collect();
    members.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    type Change = fn(&Item) -> Result<Made, String>;

    /// Copies `from` to `to`, unless a test has it do otherwise.
    #[derive(Clone)]
    struct Copied {
        name: &'static str,
        pending: &'static str,
        change: Change,
    }

    impl Code for Copied {
        fn name(&self) -> &str {
            self.name
        }

        fn fingerprint(&self) -> String {
            "1".into()
        }

        fn reads(&self) -> Vec<String> {
            vec!["from".into()]
        }

        fn writes(&self) -> Vec<String> {
            vec!["to".into()]
        }

        fn pending(&self) -> backfill_core::change::Condition {
            self.pending.into()
        }

        fn change(&self, item: &Item) -> Result<Made, String> {
            (self.change)(item)
        }
    }

    fn set(name: &str, value: Value) -> Result<Made, String> {
        Ok(Made {
            set: [(name.to_owned(), value)].into(),
            remove: Vec::new(),
        })
    }

    fn copied(item: &Item) -> Result<Made, String> {
        let from = item.get("from").ok_or("there is nothing to copy")?;
        set("to", from.clone())
    }

    /// What the kit says of code, if it finds something.
    fn found(code: Copied) -> Option<String> {
        let samples = [Item::from([("from".to_owned(), Value::S("a".into()))])];
        let held = catch_unwind(AssertUnwindSafe(|| hold(&code, &samples)));
        let panic = held.err()?;
        let text = panic.downcast_ref::<String>().cloned();
        Some(text.unwrap_or_else(|| panic!("the kit says something")))
    }

    #[test]
    fn code_that_breaks_its_word_is_found() {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let missing = "attribute_not_exists(to)";
        let cases: [(&str, &str, Change, Option<&str>); 7] = [
            ("good", missing, copied, None),
            (
                "stateful",
                missing,
                |_| {
                    set(
                        "to",
                        Value::N(CALLS.fetch_add(1, Ordering::Relaxed).to_string()),
                    )
                },
                Some("it makes something else each time"),
            ),
            (
                "panics",
                missing,
                |item| match item.get("from") {
                    Some(Value::Ns(numbers)) => set("to", Value::N(numbers[99].clone())),
                    _ => copied(item),
                },
                Some("it panics at"),
            ),
            (
                "elsewhere",
                missing,
                |_| set("from", Value::Bool(true)),
                Some("from is none of the attributes that it writes"),
            ),
            (
                "no-value",
                missing,
                |_| set("to", Value::N("NaN".into())),
                Some("to cannot be stored"),
            ),
            (
                "endless",
                "attribute_exists(from)",
                copied,
                Some("it is still pending afterwards"),
            ),
            (
                "idle",
                missing,
                |_| Err("never".into()),
                Some("none of the 1 samples is pending and can be changed"),
            ),
        ];
        for (name, pending, change, expected) in cases {
            let code = Copied {
                name,
                pending,
                change,
            };
            match (found(code), expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{name}: found {found:?}, expected {expected:?}"),
            }
        }
    }
}
