//! only-U: a write changes nothing but what the update names.

use std::collections::BTreeMap;

use backfill_core::ports::{Asks, Outcome, PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::{Item, Key, Spec, Value};
use backfill_dynamodb::ReadOnly;
use backfill_e2e::convert::to_item;

use crate::table::{KINDS, Table, key, outcome, set_test, write};

/// only-U: an item that lacks the attribute gets it, and nothing else changes; what it cost is known.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_on_a_pending_item() {
    for kind in KINDS {
        let table = Table::with_items(3).await;
        let mut expected = table.items().await;
        let writer = table.writer(&set_test(), kind);
        let write = write(&writer, &[key(1)]).await.unwrap().remove(0);
        assert_eq!(write.outcome, Outcome::Updated);
        assert!(write.consumed_wcu >= 1.0);
        expected
            .get_mut(&key(1))
            .unwrap()
            .insert("test".into(), Value::N("1".into()));
        assert_eq!(table.items().await, expected);
    }
}

/// Names of attributes that look like syntax, and the longest.
fn hostile_names() -> Vec<String> {
    let names = [
        "a\"b",
        "a'b",
        "a\\b",
        "`a`",
        "a.b",
        "a[0]",
        "#a",
        ":a",
        "?",
        "a -- b",
        "a/*b*/",
        "a;b",
        "a = b",
        ")",
        "\" IS MISSING OR \"id\" = \"id",
        "SET",
        "value",
        "true",
        "0",
        " a ",
        "ä",
        "\u{1f600}",
        "a\tb",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.push("n".repeat(255));
    names
}

/// Values that look like syntax, or are as long, as precise and as deep as can be.
fn hostile_values() -> Vec<Value> {
    let mut deep = Value::S("deep".into());
    for level in 0..31 {
        deep = match level % 2 {
            0 => Value::L(vec![deep]),
            _ => Value::M([("m".to_string(), deep)].into()),
        };
    }
    vec![
        Value::S(String::new()),
        Value::S("'; DELETE FROM \"stuff\" --".into()),
        Value::S("{\"N\":\"1\"}".into()),
        Value::S("\u{0}\u{7f}\u{2028}\"\\".into()),
        Value::S("x".repeat(300_000)),
        Value::N("12345678901234567890123456789012345678".into()),
        Value::N("-9.9999999999999999999999999999999999999E+125".into()),
        Value::N("1E-130".into()),
        Value::Null(true),
        Value::L(Vec::new()),
        deep,
    ]
}

/// only-U with names and values that look like syntax, or are as long, as precise and as deep as can be: they neither
/// break a statement nor reach beyond their place, in filter, condition and update, by either writer.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_with_hostile_names_and_values() {
    let plain = Value::N("1".into());
    let names = hostile_names().into_iter();
    let values = hostile_values().into_iter();
    let cases = names
        .map(|name| (name, plain.clone()))
        .chain(values.map(|value| ("test".to_owned(), value)));
    let table = Table::with_items(3).await;
    for (case, (name, value)) in cases.enumerate() {
        for (i, kind) in (1..).zip(KINDS) {
            let case = format!("case {case}, {name:?}");
            let hostile = Spec::set_missing("stuff", [(name.clone(), value.clone())].into());
            hostile
                .check()
                .unwrap_or_else(|error| panic!("{name:?}: {error}"));
            let before = table.items().await;
            assert_filtered(&table, &hostile, &before, &name, &case).await;

            let writer = table.writer(&hostile, kind);
            for (key, expected) in [
                (key(i), Outcome::Updated),
                (key(i), Outcome::Raced),
                (key(99), Outcome::Vanished),
            ] {
                assert_eq!(outcome(&writer, key).await, expected, "{case}");
            }
            assert_set(&table, before, &key(i), (&name, &value), &case).await;
            // As before, for the next case.
            remove(&table, &key(i), &name).await;
        }
    }
}

/// The filter finds the items that lack the attribute.
async fn assert_filtered(
    table: &Table,
    spec: &Spec,
    items: &BTreeMap<Key, Item>,
    name: &str,
    case: &str,
) {
    let request = PageRequest {
        segment: 0,
        total_segments: 1,
        after: None,
        limit: 100,
        consistent: true,
        asks: Asks::Sweep,
    };
    let reader = ReadOnly(table.connection.clone()).reader(spec.change(&table.keys));
    let page = reader.page(request).await.unwrap();
    let lack = items
        .values()
        .filter(|item| !item.contains_key(name))
        .count();
    assert_eq!(page.pending.len(), lack, "{case}");
}

/// The table is what it was, but for this attribute of this item.
async fn assert_set(
    table: &Table,
    before: BTreeMap<Key, Item>,
    key: &Key,
    (name, value): (&str, &Value),
    case: &str,
) {
    let mut expected = before;
    let item = expected.get_mut(key).unwrap();
    item.insert(name.into(), value.clone());
    let found = table.items().await;
    // dynoxide writes numbers in a form of its own.
    let same_number = matches!(value, Value::N(_)) && {
        let number = |item: &Item| match &item[name] {
            Value::N(number) => number.parse::<f64>().ok(),
            _ => None,
        };
        number(&found[key]) == number(&expected[key])
    };
    if same_number {
        let found = found[key][name].clone();
        expected.get_mut(key).unwrap().insert(name.into(), found);
    }
    assert_eq!(found, expected, "{case}");
}

async fn remove(table: &Table, key: &Key, name: &str) {
    let remove = table.database.client.update_item().table_name("stuff");
    let remove = remove
        .set_key(Some(to_item(&key.0)))
        .update_expression("REMOVE #n");
    remove
        .expression_attribute_names("#n", name)
        .send()
        .await
        .unwrap();
}
