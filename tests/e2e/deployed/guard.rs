//! The guard of the stack: it watches the stream of the stack's table, through Lambda's event source mapping.
//!
//! The stand-in hands over what is written with UpdateItem and PutItem, not with PartiQL. It passes a batch of which the function has
//! answered that some records are open, and cuts none in two: what comes of that stands in `tests/e2e/faults` and in the model of a
//! mapping in `crates/testkit`. It says of a mapping that CloudFormation has made that it is enabled, even if it was made disabled.

use backfill_core::{Key, Value};
use backfill_e2e::aws::{Aws, CHECKPOINTS, STACK, Table, deployed, eventually, run_to_end};
use backfill_e2e::wire::Verdict;
use serde_json::{Value as Json, json};

use crate::stack::{assert_fields, assert_guarded, start};

/// `backfill guard` of the stack's table.
async fn guard(aws: &Aws, what: &str, code: i32) -> Json {
    let command = format!("guard {what} --stack-name {STACK} --table stuff --json");
    run_to_end(aws.backfill(&command))
        .await
        .expect_code(code)
        .json()
}

/// What `test` is in an item.
async fn test_of(table: &Table, key: &Key) -> Option<Value> {
    table.now().await.get(key)?.get("test").cloned()
}

async fn repaired(table: &Table, key: &Key) {
    eventually("a repair", async || {
        (test_of(table, key).await == Some(Value::N("1".into()))).then_some(())
    })
    .await;
}

/// Waits until the function has logged this.
async fn logged(aws: &Aws, what: &str) {
    eventually(what, async || {
        aws.logs("guard").contains(what).then_some(())
    })
    .await;
}

/// As long as it is on, what old writers put is repaired, under the guard of a run's writes; and nothing before and after.
#[test]
fn old_writers_are_repaired_while_a_guard_is_on() {
    deployed(async |aws| {
        let off = json!({"Enabled": false});
        let table = aws.fill("stuff", 30).await;
        aws.change_guard_mapping(STACK, &json!({"Enabled": true}));
        logged(aws, "nothing is done").await;
        aws.change_guard_mapping(STACK, &off);
        table.assert_untouched().await;
        // A look is reported whether a guard is on or not.
        let looked = aws.invoke_guard(&json!({"look": true}));
        assert_eq!(looked, json!({"batchItemFailures": []}));
        logged(aws, "GuardLooks").await;
        run_to_end(aws.backfill(&start("stuff", "")))
            .await
            .expect_code(0);

        let on = guard(aws, "on --set test=1", 0).await;
        assert_eq!(on["on"], true, "{on}");
        assert_eq!(aws.guard_mapping(STACK)["State"], "Enabled");
        let tap = aws.wire.listen("stuff");
        let mut keys = Vec::new();
        for i in 0..5 {
            keys.push(table.old_writer_adds(i).await.0);
        }
        for key in &keys {
            repaired(&table, key).await;
        }
        assert_guarded(&tap);
        drop(tap);
        assert!(aws.logs("guard").contains("ItemsRepaired"));

        a_batch_that_is_given_up_is_read_again(aws, &table).await;

        let count =
            format!("verify --table stuff --set test=1 --json --checkpoint-table {CHECKPOINTS}");
        let count = run_to_end(aws.backfill(&count)).await.expect_code(0).json();
        assert_fields(&count, &[("remaining", json!(0)), ("guarded", json!(true))]);
        let looked = aws.invoke_guard(&json!({"look": true}));
        assert_eq!(looked, json!({"batchItemFailures": []}));

        // The queue is read by nobody.
        aws.change_guard_reader(STACK, &off);
        aws.invoke_guard(&json!({"look": true}));
        logged(aws, "the guard function does not get word of all records").await;
        let unread = guard(aws, "status", 3).await;
        assert_fields(&unread, &[("guarded", json!(false)), ("losses", json!([]))]);
        aws.change_guard_reader(STACK, &json!({"Enabled": true}));

        guard(aws, "off", 0).await;
        assert_eq!(aws.guard_mapping(STACK)["State"], "Disabled");
        aws.change_guard_mapping(STACK, &json!({"Enabled": true}));
        let passed = aws.logs("guard").matches("nothing is done").count();
        let (key, _) = table.old_writer_adds(100).await;
        eventually("a batch that is passed", async || {
            let now = aws.logs("guard").matches("nothing is done").count();
            (now > passed).then_some(())
        })
        .await;
        assert_eq!(test_of(&table, &key).await, None);
        aws.change_guard_mapping(STACK, &off);
    });
}

/// While the table refuses every update, Lambda gives the batch up. The function reads its records again from the stream until they are
/// settled.
async fn a_batch_that_is_given_up_is_read_again(aws: &Aws, table: &Table) {
    aws.hide_dead_letters(1);
    aws.change_guard_mapping(STACK, &json!({"MaximumRecordAgeInSeconds": 1}));
    let refusing = aws.wire.tap("stuff", |call| {
        std::future::ready(match call.operation.as_str() {
            "UpdateItem" => Verdict::Refuse {
                code: "AccessDeniedException",
                message: "not at this moment",
            },
            _ => Verdict::Forward,
        })
    });
    let (key, _) = table.old_writer_adds(50).await;
    logged(aws, "records that Lambda has given up are not settled yet").await;
    assert_eq!(test_of(table, &key).await, None);
    drop(refusing);
    repaired(table, &key).await;
    aws.change_guard_mapping(STACK, &json!({"MaximumRecordAgeInSeconds": 43200}));
}
