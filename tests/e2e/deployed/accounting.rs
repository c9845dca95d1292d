//! accounting and read-only: rejected items, and a dry run.

use std::sync::{Arc, Mutex};

use backfill_core::{Key, Value};
use backfill_e2e::aws::{Aws, CHECKPOINTS, deployed, input, run_id, run_to_end};
use backfill_e2e::wire::{Tap, Verdict};
use serde_json::json;

use crate::stack::{assert_accounted, assert_fields, start, status};

/// read-only: a dry run in AWS counts by planner and verifier alone, and leaves the table as it was.
#[test]
fn read_only_dry_run_deployed() {
    deployed(async |aws| {
        let table = aws.table("dry", 100).await;
        let tap = aws.wire.listen("dry");
        let dry = run_to_end(aws.backfill(&start("dry", "--dry-run"))).await;
        let dry = dry.expect_code(3).json();
        assert_fields(
            &dry,
            &[("remaining", json!(table.pending())), ("updated", json!(0))],
        );
        for seen in tap.seen() {
            let operation = seen.call.operation.as_str();
            assert!(
                ["DescribeTable", "Scan"].contains(&operation),
                "{operation}"
            );
        }
        table.assert_untouched().await;
        // The run itself is another one.
        run_to_end(aws.backfill(&start("dry", "")))
            .await
            .expect_code(0);
        table.assert_migrated().await;
        let dry = run_to_end(aws.backfill(&start("dry", "--dry-run"))).await;
        assert_fields(&dry.expect_code(0).json(), &[("remaining", json!(0))]);
    });
}

/// accounting: what DynamoDB refuses for good is recorded by the functions, listed, and tried again.
#[test]
fn accounting_of_rejected_items_deployed() {
    deployed(async |aws| {
        let table = aws.table("poison", 60).await;
        let input = input(
            "poison",
            json!({"total_segments": 2, "max_passes": 1, "writer": "update-item"}),
        );
        let pending = table
            .before
            .iter()
            .filter(|(_, item)| !item.contains_key("test"));
        let poisoned: Vec<Key> = pending.map(|(key, _)| key.clone()).take(3).collect();
        let refused = Arc::new(Mutex::new(poisoned.clone()));
        let _tap = refuse_updates(aws, "poison", refused.clone());
        aws.machine
            .run(&input)
            .await
            .expect_failure("Backfill.ItemsRemain");
        let result = status(aws, &input).await;
        assert_fields(
            &result,
            &[
                ("rejected", json!(3)),
                ("updated", json!(table.pending() - 3)),
                ("remaining", json!(3)),
            ],
        );
        assert_accounted(&result, &aws.segments(&input, 1).await);
        let rejected = async |more: &str, code| {
            let run_id = run_id(&input);
            let command = format!(
                "rejected --json --checkpoint-table {CHECKPOINTS} --run-id {run_id} {more}"
            );
            let ended = run_to_end(aws.backfill_at(&aws.wire.endpoint, &command)).await;
            ended.expect_code(code).json()["rejected"]
                .as_array()
                .unwrap()
                .clone()
        };
        let listed = rejected("", 3).await;
        assert_eq!(listed.len(), 3);
        for item in &listed {
            assert!(
                item["reason"].as_str().unwrap().contains("Item size"),
                "{item}"
            );
            assert_eq!(item["key"].as_object().unwrap().len(), 2, "{item}");
        }
        let mended = &poisoned[0];
        refused.lock().unwrap().retain(|key| key != mended);
        assert_eq!(rejected("--retry", 3).await.len(), 2);
        let now = table.now().await;
        assert_eq!(now[mended]["test"], Value::N("1".into()));
        assert!(!now[&poisoned[1]].contains_key("test"));
        assert_eq!(rejected("", 3).await.len(), 2);
        assert_logs_tell_no_secret(aws);
        assert!(
            aws.logs("worker").contains("Item size to update"),
            "it logs reasons"
        );
    });
}

/// Refuses the updates of these items for good.
fn refuse_updates(aws: &Aws, table: &str, keys: Arc<Mutex<Vec<Key>>>) -> Tap {
    aws.wire.tap(table, move |call| {
        let is_poisoned = |key: &Key| keys.lock().unwrap().contains(key);
        let verdict = if call.is_update() && call.keys().iter().any(is_poisoned) {
            Verdict::Refuse {
                code: "ValidationException",
                message: "Item size to update has exceeded the maximum allowed size",
            }
        } else {
            Verdict::Forward
        };
        async { verdict }
    })
}

/// Neither credentials nor contents of items are logged; keys are.
fn assert_logs_tell_no_secret(aws: &Aws) {
    for function in ["planner", "worker", "verifier"] {
        let logs = aws.logs(function);
        for secret in [
            "Troms",
            "12345678901234567890",
            "AWS4-HMAC",
            "SecretAccessKey",
        ] {
            assert!(!logs.contains(secret), "{function} logs {secret}: {logs}");
        }
    }
}
