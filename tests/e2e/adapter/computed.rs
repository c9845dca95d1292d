//! computed: what a write of a computed value does to an item of which the sources are as they were, have moved or are gone, by both
//! writers.

use backfill_core::change::{Seen, SharedChange};
use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::Worker;
use backfill_core::pace::Share;
use backfill_core::ports::{Asks, Outcome, PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::ports::{CheckpointReader as _, TableWriter as _, WriteAccess as _};
use backfill_core::records::{Owner, RunStatus};
use backfill_core::value::few::{Attributes as _, Few};
use backfill_core::value::with_sorted_sets;
use backfill_core::{Request, Spec, Value};
use backfill_dynamodb::{CheckpointTable, ReadOnly, ReadWrite};
use backfill_e2e::convert::to_item;
use backfill_e2e::tables::stuff;
use serde_json::json;

use crate::table::{KINDS, Table, key, spec};

/// Values of every type, and none; of each type some that are nearly the same.
fn values() -> Vec<Option<Value>> {
    let typed = [
        json!({"S": "a"}),
        json!({"S": "A"}),
        json!({"S": "1"}),
        json!({"N": "1"}),
        json!({"N": "12345678901234567890123456789012345678"}),
        json!({"N": "-0.000000000000000000000000000000000001"}),
        json!({"B": "YQ=="}),
        json!({"BOOL": true}),
        json!({"BOOL": false}),
        json!({"NULL": true}),
        json!({"SS": ["a", "b"]}),
        json!({"NS": ["1", "2"]}),
        json!({"BS": ["YQ==", "Yg=="]}),
        json!({"L": [{"S": "a"}, {"N": "1"}]}),
        json!({"L": []}),
        json!({"M": {"a": {"S": "a"}}}),
    ];
    let typed = typed.map(|value| Some(serde_json::from_value(value).unwrap()));
    typed.into_iter().chain([None]).collect()
}

/// A test table with an item for each value of the source `s`.
async fn table_of(values: &[Option<Value>]) -> Table {
    let table = Table::with_items(0).await;
    for (i, value) in values.iter().enumerate() {
        put(&table, i, value.as_ref(), None).await;
    }
    table
}

/// Puts an item with this source and this target.
async fn put(table: &Table, i: usize, source: Option<&Value>, target: Option<Value>) {
    let mut item = stuff(i as u64);
    item.remove("test");
    item.extend(source.map(|value| ("s".to_owned(), value.clone())));
    item.extend(target.map(|value| ("x".to_owned(), value)));
    let put = table.database.client.put_item().table_name("stuff");
    put.set_item(Some(to_item(&item))).send().await.unwrap();
}

/// Everything that a sweep finds pending.
async fn swept(table: &Table, change: &SharedChange) -> Vec<Seen> {
    let reader = ReadOnly(table.connection.clone()).reader(change.clone());
    let request = PageRequest {
        segment: 0,
        total_segments: 1,
        after: None,
        limit: 1_000,
        consistent: true,
        asks: Asks::Sweep,
    };
    reader.page(request).await.unwrap().pending
}

fn copied() -> Spec {
    // What is computed is the source as it is, if there is one.
    spec(r#"{"table":"stuff","compute":{"x":"${s|default(\"none\")}"}}"#)
}

/// computed: a source that another value has taken the place of, whatever its type, is no source of what is written; one that is
/// as it was is, in either language.
#[tokio::test(flavor = "multi_thread")]
async fn computed_from_sources_of_every_type_that_move() {
    let values = values();
    for kind in KINDS {
        let table = table_of(&values).await;
        let change = copied().change(&table.keys);
        let writer = ReadWrite::new(table.connection.clone()).writer(change.clone(), kind);
        let seen = swept(&table, &change).await;
        assert_eq!(seen.len(), values.len());
        // Each item gets the source of the next, and all writes fail on it.
        for (i, _) in values.iter().enumerate() {
            let next = values[(i + 1) % values.len()].as_ref();
            put(&table, i, next, None).await;
        }
        let before = table.items().await;
        for item in &seen {
            let outcome = one(&writer, item).await;
            let Outcome::Moved(now) = outcome else {
                panic!("{kind:?} {item:?}: {outcome:?}");
            };
            assert_eq!(now.key, item.key);
            let there = &before[&item.key.to_key()];
            assert_eq!(now.read.attribute("s"), there.get("s"));
            assert_eq!(now.read.len(), usize::from(there.contains_key("s")));
        }
        assert_eq!(table.items().await, before, "nothing was written");
        // From what the failure has brought along it is right at once.
        for item in &swept(&table, &change).await {
            assert_eq!(
                one(&writer, item).await,
                Outcome::Updated,
                "{kind:?} {item:?}"
            );
        }
        for (key, after) in table.items().await {
            let mut expected = before[&key].clone();
            let none = Value::S("none".into());
            let source = expected.get("s").cloned();
            expected.insert("x".into(), source.unwrap_or(none));
            assert_eq!(with_sorted_sets(after), with_sorted_sets(expected), "{key}");
        }
    }
}

/// What becomes of one item, by a batch if it takes it, and else by its own update.
async fn one(writer: &impl backfill_core::ports::TableWriter, item: &Seen) -> Outcome {
    let batch = writer
        .update_batch(std::slice::from_ref(item))
        .await
        .unwrap();
    match batch.outcomes.into_iter().next().unwrap() {
        Ok(outcome) => outcome,
        Err(_) => writer.update(item).await.unwrap().outcome,
    }
}

/// computed, never-overwrite, never-resurrect, accounting: a batch of items that all meet another fate says of each the same as its own
/// update does, and leaves the same table.
#[tokio::test(flavor = "multi_thread")]
async fn computed_items_of_every_fate_by_both_writers() {
    let mut results = Vec::new();
    for kind in KINDS {
        let text = |text: &str| Value::S(text.into());
        let table = Table::with_items(0).await;
        for i in 0..20 {
            put(&table, i, Some(&text(&format!("V{i}"))), None).await;
        }
        // An item of which nothing can be made.
        put(&table, 4, Some(&Value::Bool(true)), None).await;
        let spec = spec(r#"{"table":"stuff","compute":{"x":"${s|lower}"}}"#);
        let change = spec.change(&table.keys);
        let writer = ReadWrite::new(table.connection.clone()).writer(change.clone(), kind);
        let mut seen = swept(&table, &change).await;
        seen.sort_by_key(|item| item.key.to_key());
        let delete = table.database.client.delete_item().table_name("stuff");
        let delete = delete.set_key(Some(to_item(&key(1).0)));
        delete.send().await.unwrap();
        put(&table, 2, Some(&text("V2")), Some(text("live"))).await;
        put(&table, 3, Some(&text("other")), None).await;
        put(&table, 5, None, None).await;
        let fates: Vec<(u64, Outcome)> = {
            let mut fates = Vec::new();
            for part in seen.chunks(writer.batch_size()) {
                let batch = writer.update_batch(part).await.unwrap();
                for (item, outcome) in part.iter().zip(batch.outcomes) {
                    let i = (0..20).find(|&i| key(i) == item.key.to_key()).unwrap();
                    fates.push((i, outcome.unwrap()));
                }
            }
            fates
        };
        for (i, fate) in &fates {
            match (i, fate) {
                (1, Outcome::Vanished) | (2 | 5, Outcome::Raced) => {}
                (3, Outcome::Moved(now)) => {
                    assert_eq!(now.read.attribute("s"), Some(&text("other")))
                }
                (4, Outcome::Unmade(why)) => {
                    assert!(why.contains("x cannot be computed: lower"), "{why}");
                }
                (_, Outcome::Updated) if *i > 5 || *i == 0 => {}
                (i, fate) => panic!("{kind:?}, item {i}: {fate:?}"),
            }
        }
        let items = table.items().await;
        assert!(!items.contains_key(&key(1)), "it is not created again");
        assert_eq!(items[&key(2)]["x"], text("live"));
        for i in [3, 4, 5] {
            assert!(!items[&key(i)].contains_key("x"), "item {i}");
        }
        assert_eq!(items[&key(7)]["x"], text("v7"));
        results.push((fates, items));
    }
    assert_eq!(results[0], results[1]);
}

/// accounting: a batch says how many of its items it has sent, which are those that a statement says the same of as an update.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_items_that_a_batch_leaves_open() {
    let set = Value::Ss(vec!["a".into(), "b".into()]);
    let text = Value::S("two".into());
    // A number has no size.
    let number = Value::N("1".into());
    let table = Table::with_items(0).await;
    for i in 0..24 {
        let source = match i {
            0..5 => &text,
            5..22 => &set,
            _ => &number,
        };
        put(&table, i, Some(source), None).await;
    }
    let change = spec(r#"{"table":"stuff","compute":{"x":"${s|size}"}}"#).change(&table.keys);
    let writer = ReadWrite::new(table.connection.clone()).writer(change.clone(), KINDS[0]);
    let mut seen = swept(&table, &change).await;
    seen.sort_by_key(|item| match item.read.attribute("s") {
        Some(Value::S(_)) => 0,
        Some(Value::Ss(_)) => 1,
        _ => 2,
    });
    for (items, sent) in [(0..24, 5), (4..22, 1), (5..24, 0), (22..23, 0)] {
        let batch = writer.update_batch(&seen[items.clone()]).await.unwrap();
        assert_eq!(batch.sent, sent, "{items:?}: {:?}", batch.outcomes);
        assert_eq!(batch.consumed_wcu > 0.0, sent > 0);
    }
    let writer = ReadWrite::new(table.connection.clone()).writer(change, KINDS[1]);
    for (item, sent) in [(10, 1), (22, 0)] {
        let batch = writer.update_batch(&seen[item..=item]).await.unwrap();
        assert_eq!(batch.sent, sent, "by UpdateItem: {:?}", batch.outcomes);
    }
}

/// accounting, budget: items that no batch can hold are written by a request each, and no other request is counted.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_requests_if_no_item_goes_out_in_a_batch() {
    let table = Table::with_items(0).await;
    for i in 0..60 {
        let set = Value::Ss(vec![format!("tag {i}")]);
        put(&table, i, Some(&set), None).await;
    }
    let request = r#"{"table":"stuff","compute":{"x":"${s|size}"},"total_segments":1}"#;
    let request = Request::from_json(request).unwrap();
    let access = ReadWrite::new(table.connection.clone());
    let store = CheckpointTable::new(&table.connection, "checkpoints");
    store.create_if_missing().await.unwrap();
    let owner = Owner::from("me");
    let engine = Engine {
        planner: Planner::new(access.clone(), store.clone()),
        worker: Worker::new(access.clone(), store.clone(), Share::Whole),
        verifier: Verifier::new(access, store.clone()),
    };
    let plan = engine.planner.begin(&request, &owner).await.unwrap();
    let run_id = plan.run_id.clone();
    let ended = engine.drive(plan, &owner, &Default::default()).await;
    assert_eq!(ended.unwrap(), RunStatus::Succeeded);
    let run = store.run(&run_id).await.unwrap().unwrap();
    let record = store.segment(&run, 1, 0).await.unwrap().unwrap();
    assert_eq!(record.counters.updated, 60);
    assert_eq!(record.latency.writes.requests(), 60);
}

/// proof: one strongly consistent page says what is pending and what differs, and of sources that cannot be computed from that they
/// differ.
#[tokio::test(flavor = "multi_thread")]
async fn proof_of_values_on_a_page() {
    let text = |text: &str| Value::S(text.into());
    let table = Table::with_items(0).await;
    put(&table, 0, Some(&text("A")), None).await;
    put(&table, 1, Some(&text("A")), Some(text("a"))).await;
    put(&table, 2, Some(&text("A")), Some(text("old"))).await;
    put(&table, 3, None, Some(text("free"))).await;
    put(&table, 4, None, None).await;
    put(&table, 5, Some(&Value::Null(true)), Some(text("old"))).await;
    for (mode, pending, different) in [
        ("missing", vec![0], vec![2, 5]),
        ("converge", vec![0, 2, 5], vec![]),
    ] {
        let spec = spec(&format!(
            r#"{{"table":"stuff","compute":{{"x":"${{s|lower}}"}},"mode":"{mode}"}}"#
        ));
        let change = spec.change(&table.keys);
        let reader = ReadOnly(table.connection.clone()).reader(change);
        let request = PageRequest {
            segment: 0,
            total_segments: 1,
            after: None,
            limit: 1_000,
            consistent: true,
            asks: Asks::Proof,
        };
        let page = reader.page(request).await.unwrap();
        let which = |found: Vec<backfill_core::Key>| {
            let mut which: Vec<u64> = (0..6).filter(|&i| found.contains(&key(i))).collect();
            assert_eq!(which.len(), found.len());
            which.sort_unstable();
            which
        };
        assert_eq!(page.scanned, 6);
        let found = page.pending.iter().map(|item| item.key.to_key()).collect();
        assert_eq!(which(found), pending, "{mode}");
        let found = page.different.iter().map(|key| key.to_key()).collect();
        assert_eq!(which(found), different, "{mode}");
        assert!(page.pending.iter().all(|item| item.read == Few::default()));
        let sweep = PageRequest {
            asks: Asks::Sweep,
            ..request
        };
        let swept = reader.page(sweep).await.unwrap();
        assert_eq!(swept.pending.len(), pending.len());
        // Of those that are as they should be a sweep in missing brings nothing along.
        assert_eq!(swept.passed_over > 0, mode == "converge");
    }
}
