//! computed: values that a run computes from the items themselves, in each mode and to the end.

use std::collections::BTreeMap;

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::{AtWork, Ended};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, key_of, put_all, stuff};
use serde_json::{Value as Json, json};

use crate::stuff::{all, assert_accounted, wait_for_progress};

const LABEL: &str = "--table stuff --segments 2 --compute label=${tenant}#${status|lower} --json";

fn text(text: impl Into<String>) -> Value {
    Value::S(text.into())
}

/// An item with everything that a label needs.
fn labelled(i: u64) -> Item {
    let mut item = stuff(i);
    item.insert("tenant".into(), text(format!("T{}", i % 3)));
    item.insert("status".into(), text(format!("Open{i}")));
    item
}

fn label(i: u64) -> Value {
    text(format!("T{}#open{i}", i % 3))
}

/// 100 items, of which 10 lack a source, and 5 have a label of their own, one of them the right one.
async fn database() -> Embedded {
    let database = Embedded::with_stuff(0).await;
    let items = (0..100).map(|i| {
        let mut item = labelled(i);
        match i {
            0..10 => {
                item.remove("tenant");
            }
            10 => {
                item.insert("label".into(), label(i));
            }
            11..15 => {
                item.insert("label".into(), text("own"));
            }
            _ => {}
        }
        item
    });
    put_all(&database.client, "stuff", &items.collect::<Vec<_>>()).await;
    database
}

/// The table with these labels, and nothing else that is new.
fn with_labels(
    before: &BTreeMap<Key, Item>,
    items: impl IntoIterator<Item = u64>,
) -> BTreeMap<Key, Item> {
    let mut expected = before.clone();
    for i in items {
        let item = expected.get_mut(&key_of(&stuff(i), STUFF_KEYS));
        item.expect("it is there").insert("label".into(), label(i));
    }
    expected
}

#[track_caller]
fn assert_fields(result: &Json, expected: Json) {
    for (field, value) in expected.as_object().expect("fields") {
        assert_eq!(&result[field], value, "{field}: {result}");
    }
}

fn keys(items: std::ops::Range<u64>) -> Vec<Key> {
    items.map(|i| key_of(&stuff(i), STUFF_KEYS)).collect()
}

/// computed, only-U, proof: what lacks the target and has every source gets it, by either writer; what others set stays, and is told
/// as different; what lacks a source is nobody's business.
#[tokio::test(flavor = "multi_thread")]
async fn computed_values_that_are_missing() {
    for writer in ["batch", "update-item"] {
        let database = database().await;
        let before = all(&database).await;
        let run = |more: &str| {
            Ended::run(&mut database.backfill(&format!("run --run-id r {LABEL} {more}")))
        };
        let verify = |how: &str| {
            let command = format!("verify {LABEL}").replace("--json", how);
            Ended::run(&mut database.backfill(&command))
        };
        let dry = run("--dry-run").expect_code(3).json();
        assert_fields(&dry, json!({"remaining": 85}));
        assert_fields(
            &verify("--json").expect_code(3).json(),
            json!({"remaining": 85, "different": 4}),
        );
        assert!(all(&database).await == before, "a dry run wrote");

        let result = run(&format!("--writer {writer}")).expect_code(0).json();
        assert_accounted(&result);
        let expected = json!({"status": "succeeded", "matched": 85, "updated": 85, "raced": 0, "rejected": 0,
            "contended": 0, "remaining": 0, "different": 4});
        assert_fields(&result, expected);
        let samples = |of: &Json| {
            let mut samples: Vec<Key> =
                serde_json::from_value(of["different_samples"].clone()).expect("keys");
            samples.sort();
            samples
        };
        assert_eq!(samples(&result), keys(11..15));
        assert!(
            all(&database).await == with_labels(&before, 15..100),
            "{writer}: other items"
        );

        // A source moves on afterwards: that is told, and is no error.
        let mut moved = labelled(50);
        moved.insert("status".into(), text("Closed"));
        moved.insert("label".into(), label(50));
        put_all(&database.client, "stuff", &[moved]).await;
        let verified = verify("--json").expect_code(0).json();
        assert_fields(&verified, json!({"remaining": 0, "different": 5}));
        assert_eq!(samples(&verified).len(), 5);
        let said = verify("").expect_code(0);
        let words = "5 items have another value than their sources give now";
        assert!(
            format!("{}{}", said.stdout, said.stderr).contains(words),
            "{said:?}"
        );
        let status = Ended::run(&mut database.backfill("status --run-id r --json"));
        assert_fields(
            &status.expect_code(0).json(),
            json!({"different": 4, "contended": 0}),
        );
    }
}

/// computed, proof: a run that converges replaces what is not what the sources give, and writes nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn computed_values_converge_over_those_of_others() {
    for writer in ["batch", "update-item"] {
        let database = database().await;
        let before = all(&database).await;
        let of = |what: &str| {
            Ended::run(&mut database.backfill(&format!("{what} {LABEL} --mode converge")))
        };
        let verified = of("verify").expect_code(3).json();
        assert_fields(&verified, json!({"remaining": 89}));
        let result = of(&format!("run --writer {writer}")).expect_code(0).json();
        assert_accounted(&result);
        let expected = json!({"matched": 89, "updated": 89, "raced": 0, "contended": 0, "remaining": 0, "different": 0});
        assert_fields(&result, expected);
        assert!(
            all(&database).await == with_labels(&before, 10..100),
            "{writer}: other items"
        );
        let again = of("run --run-id again").expect_code(0).json();
        assert_fields(&again, json!({"matched": 0, "updated": 0, "remaining": 0}));
    }
}

/// computed, accounting, honest-end: a text becomes a number in place. What is no number is rejected before anything is written, with
/// the function and the reason; once it is mended, trying it again ends the run.
#[tokio::test(flavor = "multi_thread")]
async fn computed_values_that_replace_and_one_that_cannot_be_computed() {
    const RUN: &str = "run --table stuff --run-id r --segments 2 --json \
                       --compute ttl=${ttl|number} --pending attribute_type(ttl,:s) --value :s=\"S\"";
    let database = Embedded::with_stuff(0).await;
    let item = |i: u64, ttl: Value| {
        let mut item = stuff(i);
        item.insert("ttl".into(), ttl);
        item
    };
    let mut items: Vec<Item> = (0..50).map(|i| item(i, text(format!("17{i}")))).collect();
    items.push(item(50, text("soon")));
    items.push(item(51, Value::N("9".into())));
    items.push(stuff(52));
    put_all(&database.client, "stuff", &items).await;
    let before = all(&database).await;
    let of_run = |what: &str| Ended::run(&mut database.backfill(&format!("{what} --run-id r")));

    let result = Ended::run(&mut database.backfill(RUN))
        .expect_code(3)
        .json();
    assert_accounted(&result);
    let expected =
        json!({"matched": 51, "updated": 50, "rejected": 1, "remaining": 1, "different": null});
    assert_fields(&result, expected);
    let rejected = of_run("rejected --json").expect_code(3).json();
    let why = &rejected["rejected"][0];
    assert!(why["key"].to_string().contains("item-000050"), "{why}");
    // Whoever may read the records may not see what is in the item.
    let reason = r#"ttl cannot be computed: number: "…" is not a number"#;
    assert_eq!(why["reason"], reason);
    let mut expected = before.clone();
    for i in 0..50 {
        let item = expected
            .get_mut(&key_of(&stuff(i), STUFF_KEYS))
            .expect("it is there");
        item.insert("ttl".into(), Value::N(format!("17{i}")));
    }
    assert!(all(&database).await == expected, "other items");

    of_run("rejected --retry --json").expect_code(3);
    put_all(&database.client, "stuff", &[item(50, text("18.50"))]).await;
    let retried = of_run("rejected --retry --json").expect_code(0).json();
    assert_fields(
        &retried,
        json!({"status": "succeeded", "remaining": 0, "rejected": []}),
    );
    let status = of_run("status --json").expect_code(0).json();
    assert_accounted(&status);
    assert_fields(
        &status,
        json!({"matched": 51, "updated": 51, "rejected": 0}),
    );
    let now = all(&database).await;
    let mended = &now[&key_of(&stuff(50), STUFF_KEYS)]["ttl"];
    assert!(
        matches!(mended, Value::N(n) if n.parse() == Ok(18.5)),
        "{mended:?}"
    );
}

/// computed, resume: a run that is killed in the middle goes on, and computes of each item what it is.
#[tokio::test(flavor = "multi_thread")]
async fn computed_values_after_a_kill() {
    let database = Embedded::with_stuff(0).await;
    let items: Vec<Item> = (0..400).map(labelled).collect();
    put_all(&database.client, "stuff", &items).await;
    let before = all(&database).await;
    let run = format!("run --run-id r {LABEL}");
    let process = AtWork::start(database.backfill(&format!("{run} --max-wcu 100")));
    wait_for_progress(&database).await;
    process.signal("KILL");
    process.end().await;
    let lacks = |item: &&Item| !item.contains_key("label");
    let left = all(&database).await.values().filter(lacks).count();
    assert!((1..400).contains(&left), "{left} were left");
    let again = database.backfill(&format!("{run} --max-wcu 100000"));
    let result = AtWork::start(again).end().await.expect_code(0).json();
    assert_accounted(&result);
    assert_fields(
        &result,
        json!({"status": "succeeded", "remaining": 0, "different": 0}),
    );
    assert!(
        all(&database).await == with_labels(&before, 0..400),
        "the tables differ"
    );
}
