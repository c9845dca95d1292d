//! Both languages say the same of every item: what a batch does by PartiQL is what UpdateItem does by a condition.

use backfill_core::ports::{Outcome, ReadAccess as _, TableWriter as _, WriteAccess as _};
use backfill_core::request::WriterKind;
use backfill_core::value::Bytes;
use backfill_core::{Item, Key, Value};
use backfill_dynamodb::{ReadOnly, ReadWrite};
use backfill_e2e::tables::{STUFF_KEYS, key_of, put_all, stuff};
use serde_json::json;

use crate::table::{KINDS, Table, spec, write};

/// Values that an attribute may have, of every type; the first items lack it.
fn values() -> Vec<Option<Value>> {
    let s = |s: &str| Value::S(s.into());
    let n = |n: &str| Value::N(n.into());
    let map = |name: &str, value: Value| Value::M([(name.to_owned(), value)].into());
    let mut values = vec![None];
    values.extend(
        [
            n("1"),
            n("2"),
            n("1.0"),
            n("-7"),
            s("1"),
            s("x"),
            s("xyz"),
            s(""),
            s("\u{1f600}"),
            Value::Bool(true),
            Value::Bool(false),
            Value::Null(true),
            Value::B(Bytes(vec![1])),
            Value::Ss(vec!["x".into(), "y".into()]),
            Value::Ns(vec!["1".into()]),
            Value::L(vec![]),
            Value::L(vec![n("1"), s("x")]),
            map("b", n("1")),
            map("b", Value::L(vec![s("x")])),
            map("c", Value::Null(true)),
        ]
        .map(Some),
    );
    values
}

/// Predicates of every kind that batches carry.
const PREDICATES: [&str; 32] = [
    "attribute_not_exists(a)",
    "attribute_exists(a)",
    "NOT attribute_exists(a)",
    "NOT NOT attribute_exists(a)",
    "a = :n",
    "a <> :n",
    "NOT a = :n",
    "NOT a <> :n",
    "a < :n",
    "NOT a < :n",
    "a >= :n",
    "a = :s",
    "a <> :s",
    "a > :s",
    "a = :t",
    "a <> :t",
    "a IN (:n, :s)",
    "NOT a IN (:n, :s)",
    "a IN (:t)",
    "a BETWEEN :n AND :m",
    "NOT a BETWEEN :n AND :m",
    "size(a) = :n",
    "size(a) <> :n",
    "NOT size(a) = :n",
    "size(a) BETWEEN :n AND :m",
    "size(a) IN (:n, :m)",
    "begins_with(a, :s)",
    "NOT begins_with(a, :s)",
    "contains(a, :s)",
    "NOT contains(a, :s)",
    "attribute_exists(a.b) OR size(a.b) = :n",
    "NOT (a = :n OR attribute_not_exists(a.b)) AND NOT attribute_exists(#d)",
];

/// accounting: for every predicate that a batch carries and a value of every type, a batch updates the items that UpdateItem
/// updates, and calls the others `raced` as it does.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_every_predicate_by_both_writers() {
    let items: Vec<Item> = (0..)
        .zip(values())
        .map(|(i, value)| {
            let mut item = stuff(i);
            item.extend(value.map(|value| ("a".to_owned(), value)));
            item
        })
        .collect();
    let keys: Vec<Key> = items.iter().map(|item| key_of(item, STUFF_KEYS)).collect();
    let table = Table::with_items(0).await;
    let described = ReadOnly(table.connection.clone()).describe("stuff").await;
    let schema = described.unwrap().keys;
    for predicate in PREDICATES {
        let values = json!({":n": 1, ":m": 2, ":s": "x", ":t": true});
        let used: serde_json::Map<String, serde_json::Value> = values
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| predicate.contains(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .chain([(":one".to_owned(), json!(1))])
            .collect();
        let mut request = json!({
            "table": "stuff", "pending": predicate, "update": "SET a = :one REMOVE done", "values": used,
        });
        if predicate.contains("#d") {
            request["names"] = json!({"#d": "done"});
        }
        let spec = spec(&request.to_string());
        let mut results = Vec::new();
        for kind in KINDS {
            put_all(&table.database.client, "stuff", &items).await;
            let writer =
                ReadWrite::new(table.connection.clone()).writer(spec.change(&schema), kind);
            let in_batches = writer.batch_size() > 1;
            assert_eq!(in_batches, kind == WriterKind::Batch, "{predicate}");
            let written = write(&writer, &keys).await;
            let written = written.unwrap_or_else(|error| panic!("{predicate}: {error}"));
            let outcomes: Vec<Outcome> = written.into_iter().map(|write| write.outcome).collect();
            assert_eq!(writer.batch_size() > 1, in_batches, "{predicate}");
            results.push((outcomes, table.items().await));
        }
        let differing: Vec<_> = (0..keys.len())
            .filter(|&i| results[0].0[i] != results[1].0[i])
            .map(|i| (items[i].get("a"), &results[0].0[i], &results[1].0[i]))
            .collect();
        assert!(differing.is_empty(), "{predicate}: {differing:?}");
        assert!(
            results[0].1 == results[1].1,
            "{predicate}: the tables differ"
        );
        // A predicate that is true, or false, of all of them would compare nothing.
        let updated = results[0]
            .0
            .iter()
            .filter(|o| **o == Outcome::Updated)
            .count();
        assert!((1..keys.len()).contains(&updated), "{predicate}: {updated}");
    }
}
