//! budget: capacity units as the service counts them.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, ScalarAttributeType,
};
use backfill_core::value::size::item_bytes;
use backfill_core::{Item, Value};
use backfill_e2e::command::Ended;
use backfill_e2e::convert::to_item;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::tables::stuff;
use backfill_e2e::wire::{Seen, Verdict};
use futures_util::future::join_all;
use serde_json::json;

use crate::line::{Line, RUN, assert_counts};

/// Held by a test that measures rates: two of them at once would leave each other too little of the machine.
static MEASURING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

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
    let _alone = MEASURING.lock().await;
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
            "before": {"max_wcu": 400, "max_rcu": null, "pause_when": null, "hours": null},
            "after": {"max_wcu": 1000, "max_rcu": null, "pause_when": null, "hours": null},
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

/// budget, accounting: items of 4 and of 40 KB that a live writer sets between page and write cost what they would if they were
/// written, though a batch of them reports nothing. The budget holds over any ten seconds all the same, and what is counted is
/// what was charged.
#[tokio::test(flavor = "multi_thread")]
async fn budget_of_large_items_that_are_all_raced() {
    const BUDGET: u64 = 1_000;
    let _alone = MEASURING.lock().await;
    for kilobytes in [4, 40] {
        let database = Embedded::start().await;
        tables::create(&database.client, "stuff", tables::STUFF_KEYS).await;
        let count = BUDGET * 16 / kilobytes;
        for begin in (0..count).step_by(25) {
            let items: Vec<_> = (begin..count.min(begin + 25))
                .map(|i| of_size(i, kilobytes))
                .collect();
            tables::put_all(&database.client, "stuff", &items).await;
        }
        let line = Line::to(database).await;
        let live = line.database.client.clone();
        let tap = line.wire.tap("stuff", move |call| {
            let live = live.clone();
            async move {
                if call.operation == "BatchExecuteStatement" {
                    let writes = call.keys().into_iter().map(|key| {
                        let update = live.update_item().table_name("stuff");
                        update
                            .set_key(Some(to_item(&key.0)))
                            .update_expression("SET test = :live")
                            .expression_attribute_values(":live", AttributeValue::N("7".into()))
                            .send()
                    });
                    for written in join_all(writes).await {
                        written.expect("the live writer is let in");
                    }
                }
                Verdict::Forward
            }
        });
        let run = format!("{RUN} --segments 4 --max-wcu {BUDGET}");
        let result = line.run(&run).await.expect_code(0).json();
        let raced = result["raced"].as_u64().unwrap();
        assert!(raced >= count - 4, "{result}");

        let mut writes = tap.seen();
        writes.retain(|seen| seen.call.is_update() || seen.call.is_check());
        // How long the live writer takes is not the budget's to know.
        for seen in &mut writes {
            seen.at = seen.came;
        }
        let charged: f64 = writes.iter().map(|seen| seen.consumed).sum();
        assert!(charged >= (count * kilobytes) as f64, "{charged}");
        assert_eq!(result["consumed_wcu"], json!(charged));
        let steady = writes[0].at..writes[writes.len() - 1].at;
        let windows = per_ten_seconds(&writes, steady);
        assert!(windows.len() > 10, "{}", windows.len());
        let most = windows.iter().copied().fold(0.0, f64::max) / (10 * BUDGET) as f64;
        // The simulation holds the 1.01, and that the budget is used up. Here a busy machine may keep a call for a quarter of a
        // second on its way to the line.
        assert!(
            (0.75..=1.01 + 0.025).contains(&most),
            "{kilobytes} KB: {most}"
        );
    }
}

/// An item without `test` that takes so many KB with it, and no more.
fn of_size(i: u64, kilobytes: u64) -> Item {
    let mut item = stuff(i);
    item.remove("test");
    let rest = kilobytes * 1024 - item_bytes(&item) - "filler".len() as u64 - 16;
    item.insert("filler".into(), Value::S("x".repeat(rest as usize)));
    item
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
