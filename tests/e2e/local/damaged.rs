//! Records that no run can have come to: whoever reads one says which and which field of it, at once.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;

use serde_json::json;

use crate::stuff::{RUN, all, wait_for_progress};

const SEGMENT: &str = "pass#00001#segment#0000000";

/// Record, field (within a map before the full stop), value, and what is said.
const DAMAGES: [(&str, &str, &str, &str); 11] = [
    (
        "run",
        "settings.time_box_seconds",
        "18446744073709551615",
        "settings.time_box_seconds: expected 1 to 840, got 18446744073709551615",
    ),
    (
        "run",
        "settings.time_box_seconds",
        "0",
        "settings.time_box_seconds: expected 1 to 840, got 0",
    ),
    (
        "run",
        "settings.time_box_seconds",
        "-1",
        "settings.time_box_seconds: ",
    ),
    (
        "run",
        "settings.max_wcu",
        "0",
        "settings.max_wcu: expected 1 to",
    ),
    (
        "run",
        "settings.max_concurrency",
        "0",
        "settings.max_concurrency: expected 1 to",
    ),
    (
        "run",
        "revision",
        "18446744073709551614",
        "revision: expected 0 to",
    ),
    ("run", "last_pass", "4294967295", "last_pass: expected 1 to"),
    (
        SEGMENT,
        "counters.checkpoints",
        "18446744073709551615",
        "counters.checkpoints: expected 0 to",
    ),
    (
        SEGMENT,
        "counters.consumed_wcu",
        "1E+30",
        "counters.consumed_wcu: expected 0 to",
    ),
    (SEGMENT, "counters.updated", "1.5", "counters.updated: "),
    (
        SEGMENT,
        "segment",
        "4000000000",
        "segment: expected 0 to 3, got 4000000000",
    ),
];

/// Sets a number in a record of run `r`; returns what was there.
async fn set(
    database: &Embedded,
    record: &str,
    field: &str,
    value: AttributeValue,
) -> AttributeValue {
    let path: Vec<&str> = field.split('.').collect();
    let names: Vec<String> = (0..path.len()).map(|n| format!("#f{n}")).collect();
    let mut update = database
        .client
        .update_item()
        .table_name("backfill-checkpoints")
        .key("run_id", tables::string("r"))
        .key("record", tables::string(record))
        .update_expression(format!("SET {} = :v", names.join(".")))
        .expression_attribute_values(":v", value)
        .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld);
    for (name, part) in names.iter().zip(&path) {
        update = update.expression_attribute_names(name, *part);
    }
    let old = update.send().await.unwrap().attributes.unwrap();
    let first = old[path[0]].clone();
    match path.get(1) {
        Some(part) => first
            .as_m()
            .unwrap()
            .get(*part)
            .cloned()
            .unwrap_or(AttributeValue::Null(true)),
        None => first,
    }
}

/// A setting or a counter out of every range is an error that names record and field: no panic, no stall, no loop, and nothing is
/// written by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_refused_by_record_and_field() {
    let database = Embedded::with_stuff(400).await;
    let run = format!("{RUN} --run-id r --segments 4");
    let canary = format!("{run} --only-segments 0 --max-wcu 5000");
    Ended::run(&mut database.backfill(&canary)).expect_code(4);
    let before = all(&database).await;
    for (record, field, value, words) in DAMAGES {
        let number = AttributeValue::N(value.into());
        let good = set(&database, record, field, number).await;
        for command in [&run[..], "status --run-id r", "resume --run-id r"] {
            let begin = Instant::now();
            let refused = Ended::run(&mut database.backfill(command)).expect_code(1);
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "{field}, {command}"
            );
            for words in [words, "of run r"] {
                assert!(
                    refused.stderr.contains(words),
                    "{field}, {command}: {}",
                    refused.stderr
                );
            }
        }
        set(&database, record, field, good).await;
    }
    assert!(all(&database).await == before, "something was written");
    Ended::run(&mut database.backfill(&run)).expect_code(0);
}

/// honest-end: if the records cannot be read at the end, a program gets an object all the same, without figures.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_without_records() {
    let database = Embedded::with_stuff(2_000).await;
    let slow = format!("{RUN} --run-id r --segments 4 --max-wcu 50");
    let child = database.backfill(&slow).spawn().unwrap();
    wait_for_progress(&database).await;
    let damaged = AttributeValue::N("99".into());
    set(&database, "run", "version", damaged).await;
    let ended = Ended::of(child).expect_code(1);
    let result = ended.json();
    assert_eq!(
        (&result["status"], &result["records"]),
        (&json!("failed"), &json!("unread"))
    );
    assert!(result["updated"].is_null(), "{result}");
}
