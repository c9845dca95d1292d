//! polite: what a run makes of throttling.

use std::sync::atomic::{AtomicU64, Ordering};

use backfill_e2e::tables::migrated;
use backfill_e2e::wire::Verdict;
use serde_json::json;

use crate::line::{Line, RUN, assert_counts, operations};

/// polite, accounting: a statement that the table throttles is written alone, so that its reasons are seen; no item is
/// lost or counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn polite_to_statements_that_are_throttled() {
    let line = Line::with_items(500).await;
    let before = line.items().await;
    let tap = line.wire.tap("stuff", |call| async move {
        match call.operation.as_str() {
            "BatchExecuteStatement" => Verdict::FailStatements {
                every: 10,
                code: "ThrottlingError",
                message: "Rate exceeded",
            },
            _ => Verdict::Forward,
        }
    });
    let result = line.run(RUN).await.expect_code(0).json();
    let throttled: u64 = operations(&tap, "BatchExecuteStatement")
        .iter()
        .map(|seen| seen.call.updates() / 10)
        .sum();
    assert!(throttled > 10, "{throttled}");
    assert_counts(
        &result,
        json!({"matched": 400, "updated": 400, "raced": 0, "throttles": throttled}),
    );
    assert_eq!(line.items().await, migrated(&before));
}

/// polite: why the table throttles is part of the status.
#[tokio::test(flavor = "multi_thread")]
async fn polite_and_says_why_the_table_throttles() {
    let line = Line::with_items(200).await;
    let singles = AtomicU64::new(0);
    let _tap = line.wire.tap("stuff", move |call| {
        let nth = (call.operation == "UpdateItem").then(|| singles.fetch_add(1, Ordering::SeqCst));
        async move {
            match (call.operation.as_str(), nth) {
                ("BatchExecuteStatement", _) => Verdict::FailStatements {
                    every: 20,
                    code: "ThrottlingError",
                    message: "Rate exceeded",
                },
                // Behind the trials of the segments.
                (_, Some(4..8)) => Verdict::Throttle {
                    reason: "TableWriteKeyRangeThroughputExceeded",
                    resource: "arn:aws:dynamodb:us-east-1:0:table/stuff",
                },
                _ => Verdict::Forward,
            }
        }
    });
    let ended = line.run(&format!("{RUN} --run-id why --segments 2")).await;
    assert_counts(&ended.expect_code(0).json(), json!({"updated": 160}));
    let status = line.run("status --run-id why").await.expect_code(0);
    for words in [
        "throttled: updating table stuff",
        "TableWriteKeyRangeThroughputExceeded on arn:aws:dynamodb:us-east-1:0:table/stuff",
    ] {
        assert!(status.stdout.contains(words), "{words}: {}", status.stdout);
    }
}
