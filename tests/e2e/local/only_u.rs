//! only-U and proof: any table, any predicate, any type.

use std::collections::{BTreeMap, BTreeSet};

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::tables::{migrated, read_all};
use serde_json::json;

use crate::stuff::{RUN, all, assert_accounted};

/// only-U, proof, accounting: every attribute of every type outside `test` stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_changes_and_proof_is_given() {
    let database = Embedded::with_stuff(1500).await;
    let before = all(&database).await;
    let ended = Ended::run(&mut database.backfill(RUN)).expect_code(0);
    assert_eq!(all(&database).await, migrated(&before));
    let result = ended.json();
    assert_accounted(&result);
    let fields: BTreeSet<&str> = result
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        "run_id table status passes segments segments_unread scanned matched updated raced vanished rejected contended remaining \
          lacking different different_samples elapsed_seconds sessions total_seconds consumed_rcu consumed_wcu throttles latency max_wcu max_rcu held cost_usd samples region account endpoint"
            .split(' ')
            .collect()
    );
    for (field, expected) in [
        ("table", json!("stuff")),
        ("status", json!("succeeded")),
        ("passes", json!(1)),
        ("scanned", json!(1500)),
        ("matched", json!(1200)),
        ("updated", json!(1200)),
        ("remaining", json!(0)),
        ("samples", json!([])),
    ] {
        assert_eq!(result[field], expected, "{field}");
    }
    assert!(result["consumed_wcu"].as_f64().unwrap() >= 1200.0);
    assert!(result["consumed_rcu"].as_f64().unwrap() > 0.0);

    // The durable records say the same.
    let status = Ended::run(&mut database.backfill("status --json"))
        .expect_code(0)
        .json();
    for field in fields
        .into_iter()
        .filter(|field| *field != "elapsed_seconds")
    {
        assert_eq!(status[field], result[field], "{field}");
    }
    let people = Ended::run(&mut database.backfill("status")).expect_code(0);
    assert!(people.stdout.contains("1,200 updated"), "{}", people.stdout);
}

/// The `i`-th value of a key attribute of this type.
fn key_value(kind: &str, i: u64) -> Value {
    match kind {
        "S" => Value::S(format!("key {i} #:'\"(")),
        "N" => Value::N(format!("1234567890123456789012345678901234{i:04}")),
        _ => {
            let bytes = ["AA==", "//8=", "AQID"][i as usize % 3];
            serde_json::from_value(json!({"B": bytes})).unwrap()
        }
    }
}

/// Items with these keys, no two of them with the same.
fn items_by(keys: tables::Keys) -> Vec<Item> {
    let item = |i: u64| {
        let mut item: Item = keys
            .iter()
            .enumerate()
            // The partition key takes few values, so that collections have several items.
            .map(|(place, (name, kind))| {
                let varies = place + 1 == keys.len();
                let value = key_value(kind, if varies { i } else { i % 3 });
                ((*name).to_owned(), value)
            })
            .collect();
        item.insert("payload".into(), Value::N("0.1".into()));
        item
    };
    let distinct: BTreeMap<Key, Item> = (0..40)
        .map(item)
        .map(|item| (tables::key_of(&item, keys), item))
        .collect();
    distinct.into_values().collect()
}

/// Hash only, hash and range; keys of type S, N (38 digits) and B; reserved words in `--set`.
#[tokio::test(flavor = "multi_thread")]
async fn any_key_schema() {
    let database = Embedded::start().await;
    let schemas: [tables::Keys; 7] = [
        &[("id", "S")],
        &[("id", "N")],
        &[("id", "B")],
        &[("id", "S"), ("sort", "S")],
        &[("status", "N"), ("name", "B")],
        &[("id", "B"), ("order", "N")],
        &[("a.b", "S"), ("c-d", "N")],
    ];
    for (n, keys) in schemas.into_iter().enumerate() {
        let table = format!("table-{n}");
        tables::create(&database.client, &table, keys).await;
        tables::put_all(&database.client, &table, &items_by(keys)).await;
        let before = read_all(&database.client, &table, keys).await;
        let set = r#"where={"name":["x",1.50,null,true]}"#;
        let result = Ended::run(
            database
                .backfill(&format!(
                    "run --table {table} --json --segments 3 --set values=1"
                ))
                .args(["--set", set]),
        )
        .expect_code(0)
        .json();
        assert_eq!(result["updated"], before.len(), "{table}");
        let added: Item = serde_json::from_value(json!({
            "values": {"N": "1"},
            "where": {"M": {"name": {"L": [{"S": "x"}, {"N": "1.5"}, {"NULL": true}, {"BOOL": true}]}}},
        }))
        .unwrap();
        let mut expected = before;
        for item in expected.values_mut() {
            item.extend(added.clone());
        }
        assert_eq!(
            read_all(&database.client, &table, keys).await,
            expected,
            "{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_predicate_and_any_type() {
    let database = Embedded::with_stuff(60).await;
    sets_and_binary_values(&database).await;
    a_predicate_from_flags(&database).await;
    a_predicate_on_a_key(&database);
    a_predicate_from_a_file(&database);
}

async fn sets_and_binary_values(database: &Embedded) {
    Ended::run(
        database
            .backfill("run --table stuff --json")
            .args(["--set-typed", r#"labels={"SS":["x","y"]}"#])
            .args(["--set-typed", r#"blob={"B":"AAE="}"#]),
    )
    .expect_code(0);
    for item in all(database).await.values() {
        assert_eq!(item["labels"], Value::Ss(vec!["x".into(), "y".into()]));
        assert_eq!(
            serde_json::to_value(&item["blob"]).unwrap(),
            json!({"B": "AAE="})
        );
    }
}

async fn a_predicate_from_flags(database: &Embedded) {
    let result = Ended::run(
        database
            .backfill("run --table stuff --json")
            .args(["--pending", "#s = :old AND attribute_exists(#n)"])
            .args(["--update", "SET #s = :new REMOVE #e"])
            .args([
                "--name",
                "#s=active",
                "--name",
                "#n=name",
                "--name",
                "#e=empty",
            ])
            .args(["--value", ":old=false", "--value", ":new=\"no\""]),
    )
    .expect_code(0)
    .json();
    assert_eq!(result["updated"], 60);
    for item in all(database).await.values() {
        assert_eq!(item["active"], Value::S("no".into()));
        assert!(!item.contains_key("empty"));
    }
}

/// A predicate may name a key attribute and stand in parentheses.
fn a_predicate_on_a_key(database: &Embedded) {
    let result = Ended::run(
        database
            .backfill("run --table stuff --json")
            .args([
                "--pending",
                "(attribute_not_exists(late) AND created >= :t)",
            ])
            .args(["--update", "SET late = :v", "--value", ":v=true"])
            .args(["--value", ":t=1600000000030"]),
    )
    .expect_code(0)
    .json();
    assert_eq!(result["updated"], 30);
}

/// The file is also an execution's input. Its predicate is on what [`sets_and_binary_values`] has set.
fn a_predicate_from_a_file(database: &Embedded) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let spec = r##"{"table":"stuff","pending":"contains(#t, :x)","update":"DELETE #t :xs",
        "names":{"#t":"labels"},"values":{":x":"x"},"values_typed":{":xs":{"SS":["x"]}},"total_segments":2}"##;
    std::fs::write(file.path(), spec).unwrap();
    let result = Ended::run(
        database
            .backfill("run --json")
            .arg("--spec")
            .arg(file.path()),
    )
    .expect_code(0)
    .json();
    assert_eq!(
        (&result["updated"], &result["segments"]),
        (&json!(60), &json!(2))
    );
}
