//! The engine as DynamoDB sees it: `backfill run` against the embedded database, with a proxy in between that counts
//! requests and capacity, and throttles or refuses them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{self, STUFF_KEYS, migrated, read_all, stuff};
use backfill_e2e::wire::{Seen, Tap, Verdict, Wire};
use serde_json::{Value as Json, json};

const RUN: &str = "run --table stuff --set test=1 --json";

/// A database with the table `stuff`, and a line to it.
struct Line {
    database: Embedded,
    wire: Wire,
}

impl Line {
    async fn with_items(items: u64) -> Line {
        Line::to(Embedded::with_stuff(items).await).await
    }

    async fn to(database: Embedded) -> Line {
        Line {
            wire: database.line().await,
            database,
        }
    }

    /// The command on this line.
    async fn run(&self, arguments: &str) -> Ended {
        let mut command = backfill(arguments.split_whitespace());
        command.args(["--endpoint-url", &self.wire.endpoint]);
        tokio::task::spawn_blocking(move || Ended::run(&mut command))
            .await
            .unwrap()
    }

    async fn items(&self) -> std::collections::BTreeMap<backfill_core::Key, backfill_core::Item> {
        read_all(&self.database.client, "stuff", STUFF_KEYS).await
    }
}

fn operations(tap: &Tap, operation: &str) -> Vec<Seen> {
    let mut seen = tap.seen();
    seen.retain(|seen| seen.call.operation == operation);
    seen
}

#[track_caller]
fn assert_counts(result: &Json, expected: Json) {
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&result[field], value, "{field}: {result}");
    }
}

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

/// Where batches are not possible, UpdateItem takes their place, and that is said once.
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

/// Units consumed by writes in the stretches of ten seconds that lie within `steady`.
fn per_ten_seconds(writes: &[Seen], steady: std::ops::Range<Instant>) -> Vec<f64> {
    const TEN: Duration = Duration::from_secs(10);
    let starts = writes.iter().map(|seen| seen.at);
    starts
        .filter(|start| *start >= steady.start && *start + TEN <= steady.end)
        .map(|start| {
            let within = |seen: &&Seen| seen.at > start && seen.at <= start + TEN;
            writes.iter().filter(within).map(|seen| seen.consumed).sum()
        })
        .collect()
}

/// A table whose updates cost two units each: one of its own, one of the index.
async fn with_index(items: u64) -> Embedded {
    let database = Embedded::start().await;
    let attribute = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind)
            .build()
            .unwrap()
    };
    let key = |name: &str, role: KeyType| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(role)
            .build()
            .unwrap()
    };
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly);
    database
        .client
        .create_table()
        .table_name("stuff")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("id", ScalarAttributeType::S))
        .attribute_definitions(attribute("created", ScalarAttributeType::N))
        .attribute_definitions(attribute("test", ScalarAttributeType::N))
        .key_schema(key("id", KeyType::Hash))
        .key_schema(key("created", KeyType::Range))
        .global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name("by-test")
                .key_schema(key("test", KeyType::Hash))
                .projection(projection.build())
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    let mut items: Vec<_> = (0..items).map(stuff).collect();
    for item in &mut items {
        item.remove("test");
    }
    tables::put_all(&database.client, "stuff", &items).await;
    database
}

/// budget: the units that the database reports, those of the index included, stay within the budget over any ten
/// seconds, and use it up; a new rate holds within ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn budget_is_kept_and_followed() {
    const ITEMS: u64 = 9_000;
    let line = Line::to(with_index(ITEMS).await).await;
    let tap = line.wire.listen("stuff");
    let run = format!("{RUN} --run-id budget --segments 4 --max-wcu 400");
    let (ended, (changed, at)) = tokio::join!(line.run(&run), async {
        tokio::time::sleep(Duration::from_secs(14)).await;
        let changed = line.run("rate --run-id budget --max-wcu 1000 --json").await;
        (changed, Instant::now())
    });
    let changed = changed.expect_code(0).json();
    assert_counts(
        &changed,
        json!({
            "before": {"max_wcu": 400, "max_rcu": null},
            "after": {"max_wcu": 1000, "max_rcu": null},
        }),
    );
    let result = ended.expect_code(0).json();
    assert_counts(&result, json!({"updated": ITEMS, "max_wcu": 1000}));

    let mut writes = tap.seen();
    writes.retain(|seen| seen.call.is_update());
    writes.sort_by_key(|seen| seen.at);
    let total: f64 = writes.iter().map(|seen| seen.consumed).sum();
    let least = 2.0 * ITEMS as f64;
    assert!((least..1.05 * least).contains(&total), "{total}");
    // The first second is the trial's.
    let begin = writes[0].at + Duration::from_secs(1);
    let windows = per_ten_seconds(&writes, begin..at);
    assert!(windows.len() > 20, "{}", windows.len());
    let shares = windows.iter().map(|units| units / 4_000.0);
    let (least, most) = shares.fold((f64::MAX, 0.0), |(least, most): (f64, f64), share| {
        (least.min(share), most.max(share))
    });
    assert!(least >= 0.97 && most <= 1.01, "{least} to {most}");
    // From one answer to the last: the first one's units are of the time before it.
    let after = at + Duration::from_secs(6);
    let fast: Vec<&Seen> = writes.iter().filter(|seen| seen.at > after).collect();
    let [first, others @ .., last] = &fast[..] else {
        panic!("{} writes at the new rate", fast.len());
    };
    let time = (last.at - first.at).as_secs_f64();
    assert!(time > 3.0, "{time} s at the new rate");
    let units = others.iter().map(|seen| seen.consumed).sum::<f64>() + last.consumed;
    let rate = units / time;
    assert!((900.0..=1_010.0).contains(&rate), "{rate}");
}

/// budget: a small read budget goes into items, and not into ever smaller pages, each of which costs a unit.
#[tokio::test(flavor = "multi_thread")]
async fn budget_of_few_reads_is_not_spent_on_small_pages() {
    let line = Line::with_items(1_000).await;
    let run = format!("{RUN} --segments 20");
    let read = |ended: Ended| {
        ended.expect_code(0).json()["consumed_rcu"]
            .as_f64()
            .unwrap()
    };
    let free = read(line.run(&run).await);
    let bounded = read(line.run(&format!("{run} --fresh --max-rcu 20")).await);
    assert!(
        bounded < 2.0 * free,
        "{bounded} units, {free} without a budget"
    );
}
