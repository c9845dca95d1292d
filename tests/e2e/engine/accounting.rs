//! accounting: both writers count the same, whatever fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{self, STUFF_KEYS, key_of, migrated, stuff};
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
        result["total_seconds"] = json!(0);
        // Which counts the time at work as well.
        result["cost_usd"] = json!(0);
        // Of which each has requests of its own.
        result["latency"] = json!(null);
        // Each line has a port of its own.
        result["endpoint"] = json!(null);
        results.push((result, line.items().await));
    }
    assert_eq!(results[0].0, results[1].0);
    assert!(results[0].1 == results[1].1, "the tables differ");
}

/// accounting: an item that DynamoDB refuses for good is rejected by its statement. Whatever else is said of a statement, known
/// or not, its own UpdateItem settles, and batches go on.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_statements_that_fail() {
    for (code, message) in [
        ("ItemCollectionSizeLimitExceeded", "too large"),
        ("ReplicatedWriteConflict", "being modified elsewhere"),
        ("DuplicateItem", "a duplicate"),
        ("SomethingNew", "never heard of"),
    ] {
        let line = Line::with_items(200).await;
        let before = line.items().await;
        let tap = line.wire.tap("stuff", move |call| async move {
            match call.operation.as_str() {
                "BatchExecuteStatement" => Verdict::FailStatements {
                    every: 5,
                    code,
                    message,
                },
                _ => Verdict::Forward,
            }
        });
        let is_rejected = code == "ItemCollectionSizeLimitExceeded";
        let ended = line
            .run(&format!("{RUN} --max-passes 1"))
            .await
            .expect_code(if is_rejected { 3 } else { 0 });
        let batches = operations(&tap, "BatchExecuteStatement");
        let failed: u64 = batches.iter().map(|seen| seen.call.updates() / 5).sum();
        assert!(failed > 10, "{failed}");
        let result = ended.json();
        let rejected = if is_rejected { failed } else { 0 };
        assert_counts(
            &result,
            json!({"matched": 160, "updated": 160 - rejected, "rejected": rejected, "remaining": rejected}),
        );
        let after = line.items().await;
        let written = after.iter().filter(|(key, item)| before[*key] != **item);
        assert_eq!(json!(written.count()), result["updated"]);
        // One by one go the trials, and what failed.
        let singles = operations(&tap, "UpdateItem").len() as u64;
        let most = if is_rejected { 8 } else { 8 + failed };
        assert!(singles <= most, "{code}: {singles} of {most}");
        let said = ended.stderr.contains("writing by UpdateItem");
        assert!(!said, "{}", ended.stderr);
    }
}

/// accounting: a statement that is refused as invalid, and whose UpdateItem is then accepted, shows that PartiQL cannot write
/// this change: batches end, which is said once, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_statements_that_only_partiql_refuses() {
    let line = Line::with_items(300).await;
    let before = line.items().await;
    let tap = line.wire.tap("stuff", |call| async move {
        match call.operation.as_str() {
            "BatchExecuteStatement" => Verdict::FailStatements {
                every: 1,
                code: "ValidationError",
                message: "Unexpected path component at 1:8:7",
            },
            _ => Verdict::Forward,
        }
    });
    let ended = line.run(RUN).await.expect_code(0);
    assert_counts(&ended.json(), json!({"updated": 240, "raced": 0}));
    assert_eq!(line.items().await, migrated(&before));
    let tried = operations(&tap, "BatchExecuteStatement").len();
    assert!((1..=8 * 2).contains(&tried), "{tried}");
    let said = ended.stderr.matches("writing by UpdateItem").count();
    assert_eq!(said, 1, "{}", ended.stderr);
}

/// Items of which the key attribute of an index is a number and should be a string: since its index was made, DynamoDB
/// refuses every write to such an item. Returns their keys, and how many of them are pending.
async fn put_misfits(line: &Line) -> (BTreeSet<Key>, u64) {
    let misfits: Vec<Item> = (0..400)
        .step_by(9)
        .map(|i| {
            let mut item = stuff(i);
            item.insert("gsi1pk".into(), Value::N("123".into()));
            item
        })
        .collect();
    tables::put_all(&line.database.client, "stuff", &misfits).await;
    let pending = misfits.iter().filter(|item| !item.contains_key("test"));
    let pending = pending.count() as u64;
    let keys = misfits.iter().map(|item| key_of(item, STUFF_KEYS));
    (keys.collect(), pending)
}

/// accounting, honest-end: items that do not fit an index do not end a run, in whatever words DynamoDB refuses their update,
/// and send nothing but themselves by UpdateItem.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_and_honest_end_with_items_that_do_not_fit_an_index() {
    const UNKNOWN: &str = "The item and the index are at odds";
    for (message, writer) in [
        (
            "The update expression attempted to update the secondary index key to unsupported type",
            "batch",
        ),
        (
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes",
            "update-item",
        ),
        (UNKNOWN, "batch"),
        (UNKNOWN, "update-item"),
    ] {
        let line = Line::with_items(400).await;
        let (keys, misfits) = put_misfits(&line).await;
        let before = line.items().await;
        let (keys, updates) = (Arc::new(keys), AtomicU64::new(0));
        let of_misfits = keys.clone();
        // The very first update is accepted: before that, unknown words end the run.
        let tap = line.wire.tap("stuff", move |call| {
            let is_first = call.is_update() && updates.fetch_add(1, Ordering::SeqCst) == 0;
            let keys = of_misfits.clone();
            async move {
                match call.is_update() && !is_first {
                    true => Verdict::RefuseItems { keys, message },
                    false => Verdict::Forward,
                }
            }
        });
        let command = format!("{RUN} --run-id odd --max-passes 1 --writer {writer}");
        let ended = line.run(&command).await.expect_code(3);
        let result = ended.json();
        let rejected = result["rejected"].as_u64().unwrap();
        // If the first update was of a misfit, that one is migrated.
        assert!((misfits - 1..=misfits).contains(&rejected), "{result}");
        assert_counts(
            &result,
            json!({"status": "incomplete", "matched": 320, "updated": 320 - rejected, "raced": 0, "remaining": rejected}),
        );
        let migrated = migrated(&before);
        for (key, item) in line.items().await {
            let is_left = keys.contains(&key) && item == before[&key];
            assert!(is_left || item == migrated[&key], "{key}");
        }
        let listed = line.run("rejected --run-id odd --json").await;
        let listed = listed.expect_code(3).json();
        let listed = listed["rejected"].as_array().unwrap();
        assert_eq!(listed.len() as u64, rejected);
        for item in listed {
            let key: Key = serde_json::from_value(item["key"].clone()).unwrap();
            assert!(keys.contains(&key), "{key}");
            assert_eq!(item["reason"], message);
        }
        let batches = operations(&tap, "BatchExecuteStatement").len() as u64;
        let singles = operations(&tap, "UpdateItem").len() as u64;
        if writer == "batch" {
            assert!((12..60).contains(&batches), "{batches}");
            // A trial in each segment, with the misfits before it; and of the others those that the batch does not explain.
            assert!(singles <= 8 + misfits, "{singles}");
            assert!(message != UNKNOWN || singles >= rejected, "{singles}");
        } else {
            assert_eq!((batches, singles), (0, 320));
        }
        let said = ended.stderr.contains("writing by UpdateItem");
        assert!(!said, "{}", ended.stderr);
    }
}

/// honest-end: what DynamoDB says of the request ends the run, though it has accepted updates before; and `max_rejected` bounds
/// refusals that do not explain themselves.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_with_requests_that_become_invalid() {
    for (message, why) in [
        (
            "Invalid UpdateExpression: Syntax error; token: \"x\"",
            "failed with ValidationException: Invalid UpdateExpression",
        ),
        (
            "The item and the index are at odds",
            "more than max_rejected = 20",
        ),
    ] {
        let line = Line::with_items(400).await;
        let every: BTreeSet<Key> = line.items().await.into_keys().collect();
        let (every, updates) = (Arc::new(every), AtomicU64::new(0));
        let _tap = line.wire.tap("stuff", move |call| {
            let before = updates.fetch_add(call.updates(), Ordering::SeqCst);
            let keys = every.clone();
            async move {
                match call.is_update() && before >= 100 {
                    true => Verdict::RefuseItems { keys, message },
                    false => Verdict::Forward,
                }
            }
        });
        let command = format!("{RUN} --run-id odd --max-rejected 20");
        let ended = line.run(&command).await.expect_code(1);
        for words in [message, why] {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
        let status = line.run("status --run-id odd --json").await.json();
        assert!(status["updated"].as_u64().unwrap() >= 50, "{status}");
    }
}

/// accounting: the counters hold what the database says that it charged, the checks of the trials included, whose items are of
/// several KB.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_units_with_the_checks_of_trials() {
    let database = Embedded::start().await;
    tables::create(&database.client, "stuff", STUFF_KEYS).await;
    let items: Vec<_> = (0..40)
        .map(|i| {
            let mut item = stuff(i);
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
    // A plan says it, so only whoever asks for the log is told once more.
    let mut command = backfill(RUN.split(' ').chain(["--set", "other=2"]));
    command.args(["--endpoint-url", &line.wire.endpoint]);
    command.env("RUST_LOG", "info");
    let ended = tokio::task::spawn_blocking(move || Ended::run(&mut command));
    let ended = ended.await.unwrap().expect_code(0);
    assert_counts(&ended.json(), json!({"updated": 300}));
    assert!(operations(&tap, "BatchExecuteStatement").is_empty());
    let said = ended
        .stderr
        .matches("PartiQL cannot safely express if_not_exists")
        .count();
    assert_eq!(said, 1, "{}", ended.stderr);
}
