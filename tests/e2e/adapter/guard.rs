//! What is durable of a guard: in the checkpoint table as in the store of the model, so that what the promises show of one holds for
//! the other.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use backfill_core::ports::guard::{GuardReader as _, GuardStore};
use backfill_core::records::{
    GuardFailed, GuardHour, GuardRecord, HOUR_MS, HOUR_SAMPLES, Loss, LossKind, Proof,
    ShardPosition, Watcher,
};
use backfill_core::{ErrorKind, Item, Key, Result, Value};
use backfill_testkit::{Faults, ModelStore};

use crate::table::{Table, set_test};

const NOW: u64 = 1_800_000_000_000;

fn guard(table: &Table) -> GuardRecord {
    GuardRecord {
        revision: 1,
        spec: set_test(),
        keys: table.keys.clone(),
        stream_arn: "arn:aws:dynamodb:us-east-1:1:table/stuff/stream/1".into(),
        watcher: Watcher::Process,
        stack: None,
        mapping: Some("7".into()),
        generation: 1,
        change_generation: 1,
        since_ms: NOW,
        off_ms: None,
        by: "me".into(),
        off_by: None,
        looked_ms: NOW,
        proof: None,
        losses: Vec::new(),
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn a_guard_is_stored_alike_in_both_stores() {
    let table = Table::with_items(1).await;
    let (checkpoints, run) = table.planned(4).await;
    let model = ModelStore::new(Faults::none(0));
    records_of_a_guard_are_kept(&checkpoints, guard(&table)).await;
    records_of_a_guard_are_kept(&model, guard(&table)).await;

    // However many items are repaired within an hour, its record stays small: it has room for a last handful.
    let hour = checkpoints_hour(&table).await;
    assert_eq!(hour["samples"].as_l().unwrap().len(), 8);
    assert_eq!(hour["repaired"].as_n().unwrap(), "9");

    // A guard is no run, for nobody who looks for runs, and no run is a guard.
    let runs = checkpoints.all_runs().await.unwrap();
    assert_eq!(runs, std::slice::from_ref(&run));
    assert_eq!(checkpoints.guard(&run.run_id).await.unwrap(), None);
}

/// The record of the first hour as it lies in the checkpoint table.
async fn checkpoints_hour(table: &Table) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.into());
    let get = table.database.client.get_item().table_name("checkpoints");
    let get = get.key("run_id", text("#guard:stuff"));
    let get = get.key("record", text("hour#01800000000"));
    get.send().await.unwrap().item.unwrap()
}

async fn records_of_a_guard_are_kept<S: GuardStore>(store: &S, first: GuardRecord) {
    assert_eq!(store.guard("stuff").await.unwrap(), None);
    assert_eq!(store.positions("stuff").await.unwrap(), []);
    store.save_guard(&first).await.unwrap();
    // Our own write, whose answer was lost.
    store.save_guard(&first).await.unwrap();
    let mut second = first.clone();
    second.revision = 2;
    second.stack = Some("orders".into());
    second.proof = Some(Proof {
        remaining: 3,
        scanned: 1_000,
        samples: Vec::new(),
        lacking: BTreeMap::new(),
        different: None,
        began_ms: Some(NOW),
        at_ms: NOW + 7,
    });
    second.switch_off(NOW + 1, "somebody");
    second.lose(Loss {
        at_ms: NOW,
        kind: LossKind::Trimmed,
        what: "records of shard a".into(),
    });
    store.save_guard(&second).await.unwrap();
    assert_eq!(store.guard("stuff").await.unwrap(), Some(second.clone()));
    assert_eq!(kind(store.save_guard(&first).await), ErrorKind::Conflict);
    let mut other = second.clone();
    other.by = "somebody else".into();
    assert_eq!(kind(store.save_guard(&other).await), ErrorKind::Conflict);
    other.revision = 9;
    assert_eq!(kind(store.save_guard(&other).await), ErrorKind::Conflict);
    assert_eq!(store.guard("stuff").await.unwrap(), Some(second));
    assert_eq!(store.guard("stuf").await.unwrap(), None);

    hours_add_up(store).await;
    failed_items_and_positions_are_kept(store).await;
    positions_of_another_change_do_not_count(store).await;
}

/// A process of the change before may store a position at any time; one is of generation 2, and one of generation 1.
async fn positions_of_another_change_do_not_count<S: GuardStore>(store: &S) {
    let mut guard = store.guard("stuff").await.unwrap().unwrap();
    let positions = store.positions("stuff").await.unwrap();
    guard.stream_arn.clone_from(&positions[0].stream_arn);
    for (change_generation, counting) in [(0, 2), (1, 2), (2, 1), (3, 0)] {
        guard.revision += 1;
        guard.change_generation = change_generation;
        store.save_guard(&guard).await.unwrap();
        let stored = store.guard("stuff").await.unwrap().unwrap();
        let counts = positions.iter().filter(|position| stored.counts(position));
        assert_eq!(counts.count(), counting, "{change_generation}");
    }
}

fn key(id: usize) -> Key {
    Key(Item::from([("id".into(), Value::N(id.to_string()))]))
}

async fn hours_add_up<S: GuardStore>(store: &S) {
    let done = |start_ms, samples: std::ops::Range<usize>| GuardHour {
        start_ms,
        seen: 10,
        repaired: samples.len() as u64,
        raced: 1,
        vanished: 2,
        failed: 3,
        samples: samples.map(key).collect(),
    };
    for samples in [0..0, 0..3, 3..8, 8..9] {
        store
            .add_to_guard_hour("stuff", &done(NOW, samples))
            .await
            .unwrap();
    }
    store
        .add_to_guard_hour("stuff", &done(NOW + HOUR_MS, 0..0))
        .await
        .unwrap();
    let hours = store.guard_hours("stuff", NOW + HOUR_MS - 1).await.unwrap();
    let first = GuardHour {
        start_ms: NOW,
        seen: 40,
        repaired: 9,
        raced: 4,
        vanished: 8,
        failed: 12,
        samples: (0..HOUR_SAMPLES).map(key).collect(),
    };
    assert_eq!(hours, [first, done(NOW + HOUR_MS, 0..0)]);
    let later = store.guard_hours("stuff", NOW + HOUR_MS).await.unwrap();
    assert_eq!(later, [done(NOW + HOUR_MS, 0..0)]);
}

async fn failed_items_and_positions_are_kept<S: GuardStore>(store: &S) {
    let failed = |id, reason: &str| GuardFailed {
        key: key(id),
        reason: reason.into(),
        at_ms: NOW,
    };
    for one in [failed(1, "too large"), failed(2, "b"), failed(1, "a")] {
        store.note_guard_failed("stuff", &one).await.unwrap();
    }
    let mut all = store.guard_failed("stuff", 0, 9).await.unwrap();
    all.sort_by_key(|failed| failed.reason.clone());
    assert_eq!(all, [failed(1, "a"), failed(2, "b")]);
    assert_eq!(store.guard_failed("stuff", 0, 1).await.unwrap().len(), 1);
    let latest = store.guard_failed("stuff", u64::MAX, 9).await;
    assert_eq!(latest.unwrap(), []);

    let position = |shard: &str, generation, settled: Option<&str>| ShardPosition {
        shard: shard.into(),
        stream_arn: "arn".into(),
        generation,
        settled: settled.map(str::to_owned),
        is_exhausted: settled.is_none(),
        at_ms: NOW,
    };
    for stored in [
        position("a", 2, Some("100")),
        position("b", 1, Some("300")),
        position("b", 1, None),
    ] {
        store.save_position("stuff", &stored).await.unwrap();
    }
    let late = position("a", 1, Some("200"));
    assert_eq!(
        kind(store.save_position("stuff", &late).await),
        ErrorKind::Fenced
    );
    let positions = store.positions("stuff").await.unwrap();
    assert_eq!(
        positions,
        [position("a", 2, Some("100")), position("b", 1, None)]
    );
}
