//! computed: the functions compute values from the items, in each mode, as a process does.

use std::collections::BTreeMap;

use backfill_core::{Item, Key, Value};
use backfill_e2e::aws::{
    Aws, CHECKPOINTS, Machine, STACK, Table, assert_same, deployed, eventually, run_to_end,
    second_interpreter,
};
use backfill_e2e::tables::{STUFF_KEYS, key_of, put_all, stuff};
use serde_json::{Value as Json, json};

use crate::stack::{assert_accounted, assert_fields, assert_guarded, count, status};

const LABEL: &str = "${tenant}#${status|lower}";

fn text(text: impl Into<String>) -> Value {
    Value::S(text.into())
}

fn label(i: u64) -> Value {
    text(format!("T{}#open{i}", i % 3))
}

/// A table of so many items, of which five lack a source and five have a label that nobody computed.
async fn table(aws: &Aws, name: &str, items: u64) -> Table {
    let mut table = aws.table(name, items).await;
    let item = |i: u64| {
        let mut item: Item = stuff(i);
        item.insert("status".into(), text(format!("Open{i}")));
        item.insert("stamp".into(), text(format!("17{i}")));
        if i >= 5 {
            item.insert("tenant".into(), text(format!("T{}", i % 3)));
        }
        if (5..10).contains(&i) {
            item.insert("label".into(), text("own"));
        }
        item
    };
    let items: Vec<Item> = (0..items).map(item).collect();
    put_all(&aws.client, name, &items).await;
    table.before = table.now().await;
    table
}

/// The table with what belongs to each of these items, and nothing else that is new.
fn with(
    table: &Table,
    items: impl IntoIterator<Item = u64>,
    attribute: &str,
    value: impl Fn(u64) -> Value,
) -> BTreeMap<Key, Item> {
    let mut expected = table.before.clone();
    for i in items {
        let item = expected.get_mut(&key_of(&stuff(i), STUFF_KEYS));
        let item = item.expect("it is there");
        item.insert(attribute.into(), value(i));
    }
    expected
}

/// The input of an execution, typed by hand.
fn input(table: &str, more: Json) -> Json {
    let mut input = json!({"table": table, "compute": {"label": LABEL}, "total_segments": 2});
    let more = more.as_object().expect("fields").clone();
    input.as_object_mut().expect("fields").extend(more);
    input
}

/// computed, proof: from `start` to the end, with what differs in result, status and report.
#[test]
fn computed_values_that_are_missing() {
    deployed(async |aws| {
        let table = table(aws, "computed", 300).await;
        let input = input("computed", json!({}));
        let tap = aws.wire.listen("computed");
        let command = format!(
            "start --stack-name {STACK} --table computed --compute label={LABEL} --segments 2 --json"
        );
        let ended = run_to_end(aws.backfill(&command)).await.expect_code(0);
        assert_same(&table.now().await, &with(&table, 10..300, "label", label));
        assert_guarded(&tap);
        let result = ended.json();
        assert_fields(
            &result,
            &[
                ("status", json!("succeeded")),
                ("matched", json!(290)),
                ("updated", json!(290)),
                ("contended", json!(0)),
                ("remaining", json!(0)),
                ("different", json!(5)),
            ],
        );
        assert_accounted(&result, &aws.segments(&input, 1).await);
        let samples = result["different_samples"].as_array().expect("keys");
        assert_eq!(samples.len(), 5, "{result}");
        let recorded = status(aws, &input).await;
        for (field, value) in result.as_object().unwrap() {
            assert_eq!(&recorded[field], value, "{field}");
        }
        let report = format!(
            "report --format markdown --out - --checkpoint-table {CHECKPOINTS} --run-id {}",
            result["run_id"].as_str().expect("an id")
        );
        let report = run_to_end(aws.backfill(&report)).await.expect_code(0);
        let words = "5 items have another value than their sources give now";
        assert!(report.stdout.contains(words), "{}", report.stdout);
        assert!(report.stdout.contains("item-000007"), "{}", report.stdout);
    });
}

/// computed, proof: an execution input that somebody has typed converges, also over what others have set.
#[test]
fn computed_values_that_converge_by_an_input_typed_by_hand() {
    deployed(async |aws| converges(aws, &aws.machine, "converge").await);
}

/// The same by another interpreter of the state machine.
#[test]
fn second_interpreter_computed_values_that_converge() {
    second_interpreter(async |aws, moto| converges(aws, moto, "moto-converge").await);
}

async fn converges(aws: &Aws, machine: &Machine, name: &str) {
    let table = table(aws, name, 200).await;
    let input = input(name, json!({"mode": "converge"}));
    machine.run(&input).await.expect_success();
    assert_same(&table.now().await, &with(&table, 5..200, "label", label));
    let result = status(aws, &input).await;
    assert_fields(
        &result,
        &[
            ("status", json!("succeeded")),
            ("updated", json!(195)),
            ("contended", json!(0)),
            ("remaining", json!(0)),
            ("different", json!(0)),
        ],
    );
    assert_accounted(&result, &aws.segments(&input, 1).await);
}

/// computed, accounting: a value changes its type in place, and what cannot be computed is rejected with its reason.
#[test]
fn computed_values_that_replace() {
    deployed(async |aws| {
        let mut table = table(aws, "replace", 100).await;
        let mut soon = stuff(100);
        soon.insert("stamp".into(), text("soon"));
        put_all(&aws.client, "replace", &[soon]).await;
        table.before = table.now().await;
        let input = json!({
            "table": "replace", "compute": {"stamp": "${stamp|number}"}, "mode": "replace",
            "pending": "attribute_type(stamp, :s)", "values": {":s": "S"}, "total_segments": 1,
        });
        aws.machine.run(&input).await;
        let number = |i| Value::N(format!("17{i}"));
        assert_same(&table.now().await, &with(&table, 0..100, "stamp", number));
        let result = status(aws, &input).await;
        assert_fields(
            &result,
            &[
                ("status", json!("incomplete")),
                ("updated", json!(100)),
                ("rejected", json!(1)),
                ("remaining", json!(1)),
                ("different", json!(null)),
            ],
        );
        let list = format!(
            "rejected --json --checkpoint-table {CHECKPOINTS} --run-id {}",
            result["run_id"].as_str().expect("an id")
        );
        let list = run_to_end(aws.backfill(&list)).await.expect_code(3).json();
        let reason = r#"stamp cannot be computed: number: "…" is not a number"#;
        assert_eq!(list["rejected"][0]["reason"], reason, "{list}");
    });
}

/// computed, resume: what functions have begun, a process of this machine ends, by the same templates.
#[test]
fn computed_values_begun_by_functions_and_ended_by_a_process() {
    deployed(async |aws| {
        let table = table(aws, "handed-over", 600).await;
        let input = input("handed-over", json!({"time_box_seconds": 1}));
        let slow = aws.wire.slow_down("handed-over");
        let arn = aws.machine.start(&input).await;
        eventually("its first updates", async || {
            (slow.seen().iter().any(|seen| seen.call.updates() > 1)).then_some(())
        })
        .await;
        aws.machine.stop(&arn).await;
        drop(slow);
        let run = format!(
            "run --table handed-over --checkpoint-table {CHECKPOINTS} --json --compute label={LABEL} --take-over"
        );
        let run = aws.backfill_at(&aws.wire.endpoint, &run);
        let result = run_to_end(run).await.expect_code(0).json();
        assert_same(&table.now().await, &with(&table, 10..600, "label", label));
        assert_fields(
            &result,
            &[
                ("status", json!("succeeded")),
                ("segments", json!(2)),
                ("remaining", json!(0)),
                ("different", json!(5)),
            ],
        );
        // Each was written once: what functions wrote and no checkpoint says was not pending any more.
        assert!(count(&result, "updated") <= 590, "{result}");
    });
}
