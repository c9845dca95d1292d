//! What a run that computes values asks of the table, and by which requests it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backfill_core::{Item, Value};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, key_of, put_all, stuff};
use backfill_e2e::wire::{Seen, Verdict};
use serde_json::json;

use crate::line::{Line, assert_counts, operations};

const SEGMENTS: usize = 2;

/// Items of each type of source.
const OF_EACH: u64 = 20;

/// A source of every type; those of the first four batches hold.
fn sources() -> [Value; 10] {
    let text = |text: &str| Value::S(text.into());
    let number = || Value::N("12345678901234567890.123456789012345678".into());
    [
        text("a'b\"c"),
        number(),
        serde_json::from_value(json!({"B": "AP8="})).expect("bytes"),
        Value::Bool(true),
        Value::Null(true),
        Value::L(vec![text("x")]),
        Value::M(BTreeMap::from([("x".to_owned(), number())])),
        serde_json::from_value(json!({"SS": ["a", "b"]})).expect("a set"),
        serde_json::from_value(json!({"NS": ["1", "2.5"]})).expect("a set"),
        serde_json::from_value(json!({"BS": ["AQ==", "Ag=="]})).expect("a set"),
    ]
}

/// The attributes that a scan brings along.
fn projected(seen: &Seen) -> BTreeSet<String> {
    let body = &seen.call.body;
    let projection = body["ProjectionExpression"].as_str();
    let projection = projection.unwrap_or_else(|| panic!("the whole item: {body}"));
    let names = projection.split(", ").map(|part| {
        let names = part.split('.').map(|name| {
            let attribute = body["ExpressionAttributeNames"][name].as_str();
            attribute.unwrap_or_else(|| panic!("{name} in {body}"))
        });
        names.collect::<Vec<_>>().join(".")
    });
    names.collect()
}

/// Whether a scan counts what is not pending and lacks a target, beside the proof.
fn is_of_lacking(seen: &&Seen) -> bool {
    let filter = seen.call.body["FilterExpression"].as_str();
    filter.is_some_and(|filter| filter.contains(" AND NOT ("))
}

/// Never the whole item: the sweep brings along keys and sources alone, a source within a map without the map, and the proof the
/// target besides.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_reads_keys_and_sources_alone() {
    let set = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    let cases: [(&[&str], &[&str], &[&str]); 3] = [
        (
            &["--compute", "copy=${name|lower}#${visits|size}#${id}"],
            &["created", "id", "name", "visits"],
            &["copy", "created", "id", "name", "visits"],
        ),
        (
            &[
                "--compute",
                "copy=${box.word}",
                "--compute",
                "more=${active}",
            ],
            &["active", "box.word", "created", "id"],
            &["active", "box.word", "copy", "created", "id", "more"],
        ),
        (
            &["--compute", "copy=${name|lower}", "--mode", "converge"],
            &["copy", "created", "id", "name"],
            &["copy", "created", "id", "name"],
        ),
    ];
    for (spec, swept, proven) in cases {
        let line = Line::with_items(40).await;
        let tap = line.wire.listen("stuff");
        let run = [
            &["run", "--table", "stuff", "--json", "--segments", "2"],
            spec,
        ]
        .concat();
        line.run_with(&run).await.expect_code(0);
        let scans = operations(&tap, "Scan");
        // The sample before the run has other segments: it looks at whole items, of which there are few.
        let ours = scans
            .iter()
            .filter(|seen| seen.call.body["TotalSegments"] == SEGMENTS);
        let (lacking, ours): (Vec<&Seen>, Vec<&Seen>) = ours.partition(is_of_lacking);
        let (counts, sweeps): (Vec<&Seen>, Vec<&Seen>) =
            ours.into_iter().partition(|seen| seen.call.is_count());
        for seen in lacking {
            let brought = projected(seen);
            assert!(brought.is_subset(&set(proven)), "{spec:?}: {brought:?}");
        }
        assert!(sweeps.len() >= SEGMENTS && !counts.is_empty());
        for seen in sweeps {
            assert_eq!(
                projected(seen),
                set(swept),
                "{spec:?}: {:?}",
                seen.call.body
            );
        }
        for seen in counts {
            assert_eq!(
                projected(seen),
                set(proven),
                "{spec:?}: {:?}",
                seen.call.body
            );
        }
    }
}

/// Batches hold the items of which PartiQL's equality means the same as that of conditions, and UpdateItem settles every other
/// alone. Each value arrives as it is.
#[tokio::test(flavor = "multi_thread")]
async fn batches_hold_sources_of_four_types_and_update_item_the_others() {
    let database = Embedded::with_stuff(0).await;
    let items = |with_copy: bool| {
        let of_type = move |(nth, source): (u64, Value)| {
            (0..OF_EACH).map(move |i| {
                let mut item = stuff(10 * i + nth);
                item.insert("source".into(), source.clone());
                if with_copy {
                    item.insert("copy".into(), source.clone());
                }
                item
            })
        };
        let items: Vec<Item> = (0..).zip(sources()).flat_map(of_type).collect();
        items
    };
    put_all(&database.client, "stuff", &items(false)).await;
    let line = Line::to(database).await;
    let tap = line.wire.listen("stuff");
    let ended = line
        .run("run --table stuff --json --segments 2 --compute copy=${source}")
        .await
        .expect_code(0);
    let all = OF_EACH * sources().len() as u64;
    assert_counts(
        &ended.json(),
        json!({"updated": all, "raced": 0, "contended": 0, "rejected": 0, "remaining": 0, "different": 0}),
    );
    let batches = operations(&tap, "BatchExecuteStatement");
    let batched: u64 = batches.iter().map(|seen| seen.call.updates()).sum();
    let single = operations(&tap, "UpdateItem").len() as u64;
    assert_eq!(batched + single, all);
    // The first item of a segment is tried alone, whatever its type.
    let in_batches = all * 4 / 10;
    assert!(
        (in_batches - SEGMENTS as u64..=in_batches).contains(&batched),
        "{batched} of {in_batches}"
    );
    // A batch is what is left of 25 items once the others are taken out.
    let most = all / 25 + 2 * SEGMENTS as u64;
    assert!(batches.len() as u64 <= most, "{}", batches.len());
    let expected = items(true).into_iter().map(|item| {
        let item = backfill_core::value::with_sorted_sets(item);
        (key_of(&item, STUFF_KEYS), item)
    });
    assert!(line.items().await == expected.collect(), "other items");
}

/// computed, accounting: a live writer changes the source right before each of the first four writes of an item. It is computed again
/// three times, is contended then, and the next pass migrates it.
#[tokio::test(flavor = "multi_thread")]
async fn contended_item_is_left_to_the_next_pass() {
    for writer in ["batch", "update-item"] {
        let with_source = |nth: u64| {
            let mut item = stuff(0);
            item.insert("source".into(), Value::S(format!("Struck {nth}")));
            item
        };
        let database = Embedded::with_stuff(0).await;
        put_all(&database.client, "stuff", &[with_source(0)]).await;
        let line = Line::to(database).await;
        let client = line.database.client.clone();
        let updates = Arc::new(AtomicU64::new(0));
        let tap = line.wire.tap("stuff", move |call| {
            let (client, updates) = (client.clone(), updates.clone());
            async move {
                // Nothing else writes, so the item is there when the write arrives.
                if call.is_update() {
                    let nth = updates.fetch_add(1, Ordering::SeqCst) + 1;
                    if nth <= 4 {
                        put_all(&client, "stuff", &[with_source(nth)]).await;
                    }
                }
                Verdict::Forward
            }
        });
        let command = "run --table stuff --json --segments 1 --max-passes 2 --compute copy=${source|lower} --writer";
        let ended = line
            .run(&format!("{command} {writer}"))
            .await
            .expect_code(0);
        assert_counts(
            &ended.json(),
            json!({"matched": 2, "updated": 1, "contended": 1, "raced": 0, "remaining": 0, "different": 0, "passes": 2}),
        );
        let writes = tap.seen().into_iter().filter(|seen| seen.call.is_update());
        assert_eq!(writes.count(), 5, "{writer}");
        let mut expected = with_source(4);
        expected.insert("copy".into(), Value::S("struck 4".into()));
        let items = line.items().await;
        let left: Vec<Item> = items.into_values().collect();
        assert_eq!(left, [backfill_core::value::with_sorted_sets(expected)]);
    }
}
