//! Code of a user on its way into a change: what it says of itself, and what it makes of an item, is held to what can be written.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::code::{Code, Coded, insert, wrong};
use super::compute::{LONGEST_NAME, guard_of};
use super::expression::{LONGEST_GUARD, MAX_LENGTH, shown_name};
use super::made::Made;
use super::spec::{MAX_ITEM, Spec, check_value};
use crate::compute::Failure;
use crate::value::few::Attributes;
use crate::value::size::item_bytes;
use crate::{Item, Result};

/// Most bytes of the name of code, and of its fingerprint: both travel with every request and record.
const LONGEST_TEXT: usize = 128;

/// Lets requests of this process ask for this code. Called once for each, before anything else is done.
///
/// Errors: `InvalidInput`, naming `code`, if there is code of this name already, or if what it says of itself can be no change of
/// any table.
pub fn register(code: impl Code) -> Result<()> {
    check(&code)?;
    insert(Arc::new(code))
}

/// Refuses code that could change no table.
fn check(code: &dyn Code) -> Result<()> {
    let name = code.name();
    let is_plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
    if !(1..=LONGEST_TEXT).contains(&name.len()) || !name.chars().all(is_plain) {
        let why = format!("expected a name of 1 to {LONGEST_TEXT} of a-z, 0-9, - and _");
        return Err(wrong(name, why));
    }
    let fingerprint = code.fingerprint();
    let is_shown = |c: char| c.is_ascii_graphic() || c == ' ';
    if !(1..=LONGEST_TEXT).contains(&fingerprint.len()) || !fingerprint.chars().all(is_shown) {
        let why = format!("expected a fingerprint of 1 to {LONGEST_TEXT} printable characters");
        return Err(wrong(name, why));
    }
    let (reads, writes) = (code.reads(), code.writes());
    if writes.is_empty() {
        return Err(wrong(name, "expected an attribute that it writes"));
    }
    for (what, attributes) in [("reads", &reads), ("writes", &writes)] {
        let mut seen = BTreeSet::new();
        for attribute in attributes {
            if !(1..=LONGEST_NAME).contains(&attribute.len()) {
                let why = format!(
                    "it {what} an attribute with a name of {} bytes; expected 1 to {LONGEST_NAME}",
                    attribute.len()
                );
                return Err(wrong(name, why));
            }
            if !seen.insert(attribute) {
                let attribute = shown_name(attribute);
                let why = format!("it {what} {attribute} twice; name it once");
                return Err(wrong(name, why));
            }
        }
    }
    let coded = Coded {
        name: name.to_owned(),
        fingerprint,
    };
    let spec = Spec::derived(code, coded, "any")?;
    let guard = LONGEST_GUARD + spec.pending.len() + reads.len() * guard_of(1);
    if guard > MAX_LENGTH {
        let why = format!(
            "predicate and {} attributes that it reads make a condition of {guard} bytes; expected at most {MAX_LENGTH}, which is the \
             most in DynamoDB",
            reads.len()
        );
        return Err(wrong(name, why));
    }
    Ok(())
}

/// What code that writes these attributes makes of an item, if that can be written.
///
/// Errors: why not, for a person.
pub fn make(
    code: &dyn Code,
    writes: &[String],
    item: &dyn Attributes,
) -> std::result::Result<Made, Failure> {
    let of_code =
        |why: &dyn fmt::Display| Failure::of(&format!("code {}", code.name()), why.to_string());
    // What it does not read it must not rest on: the guard does not compare it for its sake.
    let reads = code.reads().into_iter();
    let read = reads.filter_map(|name| {
        let value = item.attribute(&name)?.clone();
        Some((name, value))
    });
    let read: Item = read.collect();
    // Functions are built so that a panic ends their process, and nothing is caught there.
    let made = catch_unwind(AssertUnwindSafe(|| code.change(&read)));
    let made = made.map_err(|panic| of_code(&format!("it panicked: {}", said(&*panic))))?;
    let made = made.map_err(|why| of_code(&why))?;
    let of_attribute = |name: &String, why: &str| of_code(&format!("{} {why}", shown_name(name)));
    let mut touched = BTreeSet::new();
    for name in made.set.keys().chain(&made.remove) {
        if !writes.contains(name) {
            return Err(of_attribute(
                name,
                "is none of the attributes that it writes",
            ));
        }
        if !touched.insert(name) {
            return Err(of_attribute(name, "is set and removed, or removed twice"));
        }
    }
    for (name, value) in &made.set {
        check_value(value)
            .map_err(|why| of_attribute(name, &format!("cannot be stored: {why}")))?;
    }
    check_together(&made).map_err(|why| of_code(&why))?;
    match touched.is_empty() {
        true => Err(of_code(
            &"it makes nothing of an item that is pending by its predicate",
        )),
        false => Ok(made),
    }
}

/// Refuses values that no item can hold beside each other: DynamoDB would refuse the request rather than the item.
pub(super) fn check_together(made: &Made) -> std::result::Result<(), String> {
    match item_bytes(&made.set) > MAX_ITEM {
        true => Err("what it gets has more than the 400 KB of an item".into()),
        false => Ok(()),
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Condition, Seen};
    use crate::table::{KeyAttribute, KeySchema, KeyType};
    use crate::{ErrorKind, Value};

    /// Code whose every answer a test chooses.
    #[derive(Clone)]
    struct Chosen {
        name: &'static str,
        fingerprint: &'static str,
        reads: &'static [&'static str],
        writes: &'static [&'static str],
        pending: Condition,
        change: fn(&Item) -> std::result::Result<Made, String>,
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    impl Code for Chosen {
        fn name(&self) -> &str {
            self.name
        }

        fn fingerprint(&self) -> String {
            self.fingerprint.to_owned()
        }

        fn reads(&self) -> Vec<String> {
            owned(self.reads)
        }

        fn writes(&self) -> Vec<String> {
            owned(self.writes)
        }

        fn pending(&self) -> Condition {
            self.pending.clone()
        }

        fn change(&self, item: &Item) -> std::result::Result<Made, String> {
            (self.change)(item)
        }
    }

    fn text(text: &str) -> Value {
        Value::S(text.into())
    }

    /// Sets `upper` to `name` in capitals, and removes `lower`.
    fn capitals(name: &'static str) -> Chosen {
        Chosen {
            name,
            fingerprint: "1",
            reads: &["name", "id"],
            writes: &["upper", "lower"],
            pending: "attribute_not_exists(upper) AND attribute_exists(name)".into(),
            change: |item| match item.get("name") {
                Some(Value::S(name)) => Ok(Made {
                    set: [("upper".to_owned(), Value::S(name.to_uppercase()))].into(),
                    remove: vec!["lower".into()],
                }),
                _ => Err("name is no text".into()),
            },
        }
    }

    fn keys() -> KeySchema {
        KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        }
    }

    fn spec(name: &str) -> Result<Spec> {
        Spec::of_code(Coded::named(name)?, "stuff")
    }

    fn item(attributes: &[(&str, Value)]) -> Item {
        let mut item = Item::from([("id".to_owned(), text("a"))]);
        let attributes = attributes.iter();
        item.extend(attributes.map(|(name, value)| ((*name).to_owned(), value.clone())));
        item
    }

    #[test]
    fn the_guard_of_code_compares_what_it_has_read() {
        register(capitals("guarded")).unwrap();
        let spec = spec("guarded").unwrap();
        spec.check().unwrap();
        assert_eq!(
            spec.describe(),
            "SET upper = guarded (version 1), lower = guarded (version 1) where attribute_not_exists(upper) AND \
             attribute_exists(name)"
        );
        let change = spec.change(&keys());
        assert_eq!(change.reads(), ["id", "lower", "name", "upper"]);
        assert_eq!(
            change.sweep().projection,
            "#backfill_key0, #backfill_of0_0, #backfill_of1_0, #backfill_of2_0",
            "the key, what is read and what is written, and nothing else"
        );
        let seen = change.seen(item(&[("name", text("x")), ("other", text("y"))]).into());
        assert_eq!(seen.read, item(&[("name", text("x"))]).into());
        let made = change.make(&seen).unwrap();
        let update = change.update(&seen, &made);
        assert_eq!(
            update.update,
            "SET #backfill_t0 = :backfill_t0 REMOVE #backfill_t1"
        );
        let guard = update.condition.as_str();
        let pending = "attribute_exists(#backfill_key0) AND (attribute_not_exists(#upper) AND attribute_exists(#name))";
        assert_eq!(
            guard,
            format!(
                "{pending} AND (attribute_not_exists(#backfill_of0_0)) AND (#backfill_of1_0 = :backfill_of1) AND \
                 (attribute_not_exists(#backfill_of2_0))"
            )
        );
        assert_eq!(update.values[":backfill_t0"], text("X"));
        assert_eq!(update.values[":backfill_of1"], text("x"));
        // Whoever was first keeps what they wrote; what has moved is made again.
        assert!(change.moved(&seen, item(&[("name", text("x"))])).is_none());
        let moved = change.moved(&seen, item(&[("name", text("z"))])).unwrap();
        assert_eq!(change.make(&moved).unwrap().set["upper"], text("Z"));
        let without = change.seen(item(&[]).into());
        assert!(
            change
                .make(&without)
                .unwrap_err()
                .contains("name is no text")
        );
    }

    #[test]
    fn what_code_makes_is_held_to_what_it_said() {
        type Change = fn(&Item) -> std::result::Result<Made, String>;
        let cases: [(Change, &str); 7] = [
            (|_| Err("no".into()), "code held: no"),
            (
                |_| Ok(Made::default()),
                "code held: it makes nothing of an item",
            ),
            (
                |_| {
                    Ok(Made {
                        set: [("other".to_owned(), Value::Bool(true))].into(),
                        remove: Vec::new(),
                    })
                },
                "code held: other is none of the attributes that it writes",
            ),
            (
                |_| {
                    Ok(Made {
                        set: Item::new(),
                        remove: vec!["id".into()],
                    })
                },
                "code held: id is none of the attributes that it writes",
            ),
            (
                |_| {
                    Ok(Made {
                        set: [("upper".to_owned(), Value::N("NaN".into()))].into(),
                        remove: Vec::new(),
                    })
                },
                "code held: upper cannot be stored: ",
            ),
            (
                |_| {
                    Ok(Made {
                        set: [("upper".to_owned(), Value::Bool(true))].into(),
                        remove: vec!["upper".into()],
                    })
                },
                "code held: upper is set and removed",
            ),
            (|_| panic!("lost"), "code held: it panicked: lost"),
        ];
        for (change, why) in cases {
            let code = Chosen {
                change,
                ..capitals("held")
            };
            let found = make(&code, &code.writes(), &Item::new())
                .unwrap_err()
                .to_string();
            assert!(found.starts_with(why), "{found}");
        }
    }

    #[test]
    fn code_that_could_change_no_table_is_refused() {
        let good = capitals("refused");
        type Change = fn(&mut Chosen);
        let cases: [(Change, &str); 10] = [
            (|code| code.name = "", "expected a name"),
            (|code| code.name = "User Agent", "expected a name"),
            (|code| code.fingerprint = "", "expected a fingerprint"),
            (|code| code.writes = &[], "expected an attribute"),
            (|code| code.writes = &["a", "a"], "it writes a twice"),
            (|code| code.reads = &[""], "a name of 0 bytes"),
            (|code| code.pending = "a = :v".into(), "values: :v is used"),
            (
                |code| code.pending = "#a = b".into(),
                "#a is used in its predicate",
            ),
            (
                |code| code.pending = (&*"x".repeat(5000)).into(),
                "pending: 5000 bytes",
            ),
            (
                |code| {
                    code.pending = "attribute_not_exists(#t0)".into();
                    code.pending.names = [("#t0".to_owned(), "upper".to_owned())].into();
                },
                "#t0 and :t0 are placeholders",
            ),
        ];
        for (change, why) in cases {
            let mut code = good.clone();
            change(&mut code);
            let found = register(code).unwrap_err();
            assert_eq!(found.kind(), ErrorKind::InvalidInput);
            let found = found.to_string();
            assert!(
                found.starts_with("code: ") && found.contains(why),
                "{found}"
            );
        }
        let many: Vec<String> = (0..200).map(|nth| format!("a{nth}")).collect();
        let many: Vec<&'static str> = many.into_iter().map(|name| &*name.leak()).collect();
        let found = register(Chosen {
            reads: many.leak(),
            ..good.clone()
        })
        .unwrap_err();
        assert!(
            found.to_string().contains("200 attributes that it reads"),
            "{found}"
        );
        register(good.clone()).unwrap();
        let twice = register(good).unwrap_err().to_string();
        assert!(
            twice.starts_with("code: refused: it is registered twice"),
            "{twice}"
        );
    }

    #[test]
    fn code_of_another_name_or_version_is_refused_with_what_there_is() {
        register(capitals("there")).unwrap();
        let unknown = spec("elsewhere").unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
        let unknown = unknown.to_string();
        let expected = "code: elsewhere: this program does not have it; it has ";
        assert!(
            unknown.starts_with(expected) && unknown.contains("there"),
            "{unknown}"
        );
        let ours = spec("there").unwrap();
        let of = |fingerprint: &str| Coded {
            name: "there".into(),
            fingerprint: fingerprint.into(),
        };
        let theirs = Spec {
            code: Some(of("2")),
            ..ours.clone()
        };
        assert_ne!(theirs.fingerprint(), ours.fingerprint());
        for refused in [theirs.check(), theirs.require_code()] {
            let why = refused.unwrap_err().to_string();
            let expected = "code: there: this program has version 1, and version 2 is asked for";
            assert!(why.starts_with(expected), "{why}");
        }
        // A predicate that has changed and a fingerprint that has not.
        let changed = Spec {
            pending: "attribute_not_exists(upper)".into(),
            ..ours.clone()
        };
        let why = changed.check().unwrap_err().to_string();
        assert!(
            why.starts_with("code: there: predicate and update are not"),
            "{why}"
        );
        // Nothing is written to an item by code that is not there.
        let change = theirs.change(&keys());
        let why = change
            .make(&Seen::new(&keys(), item(&[]).into()))
            .unwrap_err();
        assert!(why.contains("version 2 is asked for"), "{why}");
        let key = Spec::of_code(of("1"), "stuff").unwrap();
        let keys = KeySchema {
            hash: KeyAttribute::new("upper", KeyType::S),
            range: None,
        };
        let why = key.check_against(&keys).unwrap_err().to_string();
        assert!(why.starts_with("code: upper is a key attribute"), "{why}");
    }
}
