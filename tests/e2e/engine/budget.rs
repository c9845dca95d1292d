//! budget: capacity units as the service counts them.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::tables::stuff;
use backfill_e2e::wire::Seen;
use serde_json::json;

use crate::line::{Line, RUN, assert_counts};

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
