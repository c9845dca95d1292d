//! proof: what an old writer adds behind the cursor is found.

use std::collections::BTreeSet;
use std::sync::Arc;

use backfill_core::records::RunStatus;
use backfill_core::{Item, Key};
use backfill_e2e::aws::{
    Aws, Machine, Table, assert_same, deployed, input, run_to_end, second_interpreter,
};
use backfill_e2e::tables::migrated;
use backfill_e2e::wire::{Tap, Verdict};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::stack::{assert_accounted, assert_fields, start, status};

/// The items that an old writer has added, once it has.
type Added = Arc<OnceCell<Vec<(Key, Item)>>>;

/// As soon as all segments are swept and the count begins, an old writer adds items without `test`: they are behind
/// every cursor.
fn old_writer(aws: &Aws, table: &Arc<Table>, items: u64) -> (Tap, Added) {
    let added = Added::default();
    let (once, writes) = (added.clone(), table.clone());
    let tap = aws.wire.tap(&table.name, move |call| {
        let (once, table) = (once.clone(), writes.clone());
        async move {
            if call.is_count() {
                // All pages of the count wait for it.
                once.get_or_init(async || {
                    let mut added = Vec::new();
                    for i in 0..items {
                        added.push(table.old_writer_adds(i).await);
                    }
                    added
                })
                .await;
            }
            Verdict::Forward
        }
    });
    (tap, added)
}

async fn second_pass(aws: &Aws, machine: &Machine, name: &str) {
    let table = Arc::new(aws.table(name, 100).await);
    let input = input(name, json!({"total_segments": 2}));
    let (_tap, added) = old_writer(aws, &table, 3);
    let output = machine.run(&input).await.expect_success();
    assert_fields(
        &output,
        &[
            ("status", json!("succeeded")),
            ("pass", json!(2)),
            ("remaining", json!(0)),
        ],
    );
    let mut expected = table.before.clone();
    expected.extend(added.get().expect("they were added").clone());
    assert_same(&table.now().await, &migrated(&expected));
    let result = status(aws, &input).await;
    assert_fields(
        &result,
        &[
            ("status", json!("succeeded")),
            ("passes", json!(2)),
            ("updated", json!(table.pending() + 3)),
            ("remaining", json!(0)),
        ],
    );
    let mut segments = aws.segments(&input, 1).await;
    segments.extend(aws.segments(&input, 2).await);
    assert_accounted(&result, &segments);
}

/// proof: items that come in behind the cursor are found by the count, and make a second pass.
#[test]
fn proof_finds_what_an_old_writer_adds_behind_the_cursor() {
    deployed(async |aws| second_pass(aws, &aws.machine, "second-pass").await);
}

/// honest-end: if the passes run out, everyone is told what remains.
#[test]
fn honest_end_where_passes_run_out() {
    deployed(async |aws| {
        let table = Arc::new(aws.table("passes", 100).await);
        let input = input("passes", json!({}));
        let (tap, added) = old_writer(aws, &table, 3);
        let command = start("passes", "--max-passes 1");
        let ended = run_to_end(aws.backfill(&command)).await.expect_code(3);
        drop(tap);
        let added = added.get().expect("they were added").clone();
        let result = ended.json();
        assert_fields(
            &result,
            &[
                ("status", json!("incomplete")),
                ("passes", json!(1)),
                ("updated", json!(table.pending())),
                ("remaining", json!(3)),
            ],
        );
        let samples: BTreeSet<Key> = serde_json::from_value(result["samples"].clone()).unwrap();
        assert_eq!(samples, added.iter().map(|(key, _)| key.clone()).collect());
        let mut expected = migrated(&table.before);
        expected.extend(added);
        assert_same(&table.now().await, &expected);
        let record = aws.run_record(&input).await.unwrap();
        assert_eq!(record.status, RunStatus::Incomplete);
        let execution = aws.machine.execution(&record.owner.to_string()).await;
        let cause = execution.expect_failure("Backfill.ItemsRemain");
        assert!(cause.contains("3 items are still pending"), "{cause}");
        assert!(ended.stderr.contains("Backfill.ItemsRemain"), "{ended:?}");

        // Started again it has passes again.
        let ended = run_to_end(aws.backfill(&command)).await.expect_code(0);
        assert_fields(
            &ended.json(),
            &[("passes", json!(2)), ("remaining", json!(0))],
        );
        assert_same(&table.now().await, &migrated(&expected));
    });
}

#[test]
fn second_interpreter_second_pass() {
    second_interpreter(async |aws, moto| second_pass(aws, moto, "moto-second-pass").await);
}
