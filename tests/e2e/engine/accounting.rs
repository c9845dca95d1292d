//! accounting: both writers count the same, whatever fails.

use backfill_core::Value;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::tables::migrated;
use backfill_e2e::wire::Verdict;
use serde_json::json;

use crate::line::{Line, RUN, assert_counts, operations};

/// accounting: both writers leave the same table and the same counters, and each sends what it is named for.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_both_writers_is_the_same() {
    let mut results = Vec::new();
    for writer in ["", "--writer update-item"] {
        let line = Line::with_items(1_000).await;
        let tap = line.wire.listen("stuff");
        let ended = line.run(&format!("{RUN} {writer}")).await.expect_code(0);
        let batches = operations(&tap, "BatchExecuteStatement").len();
        let singles = operations(&tap, "UpdateItem").len();
        if writer.is_empty() {
            // One update per segment by itself, to try the pair of predicate and update.
            assert!((1..=8).contains(&singles), "{singles}");
            assert!((800 / 25..100).contains(&batches), "{batches}");
        } else {
            assert_eq!((batches, singles), (0, 800));
        }
        assert_eq!(
            ended.stderr.matches("UpdateItem").count(),
            0,
            "{}",
            ended.stderr
        );
        let mut result = ended.json();
        result["elapsed_seconds"] = json!(0);
        // Which counts the time at work as well.
        result["cost_usd"] = json!(0);
        results.push((result, line.items().await));
    }
    assert_eq!(results[0].0, results[1].0);
    assert!(results[0].1 == results[1].1, "the tables differ");
}

/// accounting: an item that DynamoDB refuses for good is rejected by its statement; a statement's error that nobody
/// knows ends the run, with what was done in the checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_statements_that_fail() {
    for (code, message, exit, status) in [
        (
            "ItemCollectionSizeLimitExceeded",
            "too large",
            3,
            "incomplete",
        ),
        ("SomethingNew", "never heard of", 1, "failed"),
    ] {
        let line = Line::with_items(200).await;
        let before = line.items().await;
        let _tap = line.wire.tap("stuff", move |call| async move {
            match call.operation.as_str() {
                "BatchExecuteStatement" => Verdict::FailStatements {
                    every: 5,
                    code,
                    message,
                },
                _ => Verdict::Forward,
            }
        });
        let ended = line
            .run(&format!("{RUN} --max-passes 1"))
            .await
            .expect_code(exit);
        let result = ended.json();
        assert_counts(&result, json!({"status": status}));
        let after = line.items().await;
        let written = after.iter().filter(|(key, item)| before[*key] != **item);
        assert_eq!(json!(written.count()), result["updated"]);
        let n = |field: &str| result[field].as_u64().unwrap();
        assert_eq!(n("matched"), n("updated") + n("rejected"), "{result}");
        if exit == 3 {
            assert_eq!(n("matched"), 160);
            assert_eq!(n("remaining"), n("rejected"));
        } else {
            let known = ended.stderr.contains("SomethingNew: never heard of");
            assert!(known, "{}", ended.stderr);
        }
    }
}

/// accounting: the counters hold what the database says that it charged, the checks of the trials included, whose items are of
/// several KB.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_units_with_the_checks_of_trials() {
    let database = Embedded::start().await;
    tables::create(&database.client, "stuff", tables::STUFF_KEYS).await;
    let items: Vec<_> = (0..40)
        .map(|i| {
            let mut item = tables::stuff(i);
            item.remove("test");
            item.insert("filler".into(), Value::S("x".repeat(3_500)));
            item
        })
        .collect();
    tables::put_all(&database.client, "stuff", &items).await;
    let line = Line::to(database).await;
    let tap = line.wire.listen("stuff");
    let ended = line
        .run(&format!("{RUN} --segments 8"))
        .await
        .expect_code(0);
    let checks = operations(&tap, "TransactWriteItems");
    assert!(checks.len() > 1 && checks.iter().all(|seen| seen.consumed == 8.0));
    let writes = tap
        .seen()
        .into_iter()
        .filter(|seen| seen.call.operation != "Scan");
    let charged: f64 = writes.map(|seen| seen.consumed).sum();
    assert_eq!(charged, 40.0 * 4.0 + checks.len() as f64 * 8.0);
    assert_counts(
        &ended.json(),
        json!({"updated": 40, "consumed_wcu": charged}),
    );
}

/// If batches are not possible, UpdateItem takes their place, and that is said once.
#[tokio::test(flavor = "multi_thread")]
async fn update_item_takes_the_place_of_batches() {
    for (code, message) in [
        (
            "AccessDeniedException",
            "not authorized to perform: dynamodb:PartiQLUpdate",
        ),
        (
            "UnknownOperationException",
            "An unknown operation was requested.",
        ),
    ] {
        let line = Line::with_items(300).await;
        let before = line.items().await;
        let tap = line.wire.tap("stuff", move |call| async move {
            match call.operation.as_str() {
                "BatchExecuteStatement" => Verdict::Refuse { code, message },
                _ => Verdict::Forward,
            }
        });
        let ended = line.run(RUN).await.expect_code(0);
        assert_counts(&ended.json(), json!({"updated": 240, "raced": 0}));
        assert_eq!(line.items().await, migrated(&before));
        assert!(ended.stderr.contains(code), "{}", ended.stderr);
        let said = ended.stderr.matches("writing by UpdateItem").count();
        assert_eq!(said, 1, "{}", ended.stderr);
        // Those that were in flight when the first was refused.
        let tried = operations(&tap, "BatchExecuteStatement").len();
        assert!(tried <= 8 * 2, "{tried}");
    }

    // The same said of single statements.
    let line = Line::with_items(300).await;
    let _tap = line.wire.tap("stuff", |call| async move {
        match call.operation.as_str() {
            "BatchExecuteStatement" => Verdict::FailStatements {
                every: 1,
                code: "AccessDenied",
                message: "not authorized",
            },
            _ => Verdict::Forward,
        }
    });
    let ended = line.run(RUN).await.expect_code(0);
    let result = ended.json();
    assert_counts(&result, json!({"updated": 240, "raced": 0}));
    // A statement that was not carried out has cost nothing; the trial of each segment costs two units.
    let consumed = result["consumed_wcu"].as_f64().unwrap();
    assert!((240.0..=256.0).contains(&consumed), "{consumed}");
    let said = ended.stderr.matches("writing by UpdateItem").count();
    assert_eq!(said, 1, "{}", ended.stderr);

    let line = Line::with_items(300).await;
    let tap = line.wire.listen("stuff");
    let ended = line
        .run(&format!("{RUN} --set other=2"))
        .await
        .expect_code(0);
    assert_counts(&ended.json(), json!({"updated": 300}));
    assert!(operations(&tap, "BatchExecuteStatement").is_empty());
    let said = ended
        .stderr
        .matches("PartiQL cannot safely express if_not_exists")
        .count();
    assert_eq!(said, 1, "{}", ended.stderr);
}
