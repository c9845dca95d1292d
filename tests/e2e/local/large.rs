//! Runs of many segments, whose records are spread over several partition keys, and those of a version that kept them under one.

use std::collections::{BTreeMap, BTreeSet};

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{
    CHECKPOINT_KEYS, STUFF_KEYS, create, migrated, put_all, read_all, stuff,
};
use serde_json::{Value as Json, json};

use crate::stuff::{RUN, all, assert_accounted, wait_for_progress};

const CHECKPOINTS: &str = "backfill-checkpoints";

async fn records(database: &Embedded) -> BTreeMap<Key, Item> {
    read_all(&database.client, CHECKPOINTS, CHECKPOINT_KEYS).await
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    match &item[name] {
        Value::S(text) | Value::N(text) => text,
        other => panic!("{name} is {other:?}"),
    }
}

/// resume, accounting: a run whose records are spread is paused, steered, resumed and shown from other processes, and its
/// rejected items are tried again, as those of any run.
#[tokio::test(flavor = "multi_thread")]
async fn resume_and_accounting_of_a_run_whose_records_are_spread() {
    const ITEMS: u64 = 2_000;
    let database = Embedded::with_stuff(ITEMS).await;
    let refused: Vec<Item> = [3, 700, 1_999].map(stuff).into();
    let mut poisoned = refused.clone();
    for item in &mut poisoned {
        item.insert("price".into(), Value::S("no number".into()));
    }
    put_all(&database.client, "stuff", &poisoned).await;
    let started = database
        .backfill("run --table stuff --run-id large --segments 80 --concurrency 40 --max-wcu 200 --max-passes 1 --json")
        .args(["--pending", "attribute_not_exists(gross)"])
        .args(["--update", "SET gross = price + :tax", "--value", ":tax=5"])
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    let of_run = |what: &str| Ended::run(&mut database.backfill(&format!("{what} --run-id large")));
    let begin = std::time::Instant::now();
    of_run("pause").expect_code(0);
    let paused = Ended::of(started).expect_code(4).json();
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    assert_accounted(&paused);
    let done = paused["updated"].as_u64().unwrap();
    assert!((1..ITEMS - 3).contains(&done), "{paused}");

    of_run("rate --max-wcu none").expect_code(0);
    let resumed = of_run("resume --json").expect_code(3).json();
    for (field, expected) in [
        ("updated", ITEMS - 3),
        ("rejected", 3),
        ("remaining", 3),
        ("passes", 1),
    ] {
        assert_eq!(resumed[field], expected, "{field}");
    }
    assert_accounted(&resumed);
    // Without a run id it is the only one.
    let status = Ended::run(&mut database.backfill("status --json")).expect_code(0);
    assert!(!status.stderr.contains("also there"), "{}", status.stderr);
    let status = status.json();
    assert_eq!(status["updated"], ITEMS - 3);
    assert_eq!(status["by_pass"][0]["segments_exhausted"], 80);
    let report = of_run("report --format markdown --out -").expect_code(0);
    assert!(report.stdout.contains("80 of 80"), "{}", report.stdout);
    assert!(
        report.stdout.contains("3 items in pass 1"),
        "{}",
        report.stdout
    );

    assert_spread(&records(&database).await);
    put_all(&database.client, "stuff", &refused).await;
    let retried = of_run("rejected --retry").expect_code(0);
    assert!(retried.stderr.contains("3 updated"), "{}", retried.stderr);
    of_run("rejected").expect_code(0);
}

/// The run record lies under the run's id, all that belongs to segments under sixteen shards, each with a copy of the record as it
/// is, and sums and counts under sixteen more.
fn assert_spread(records: &BTreeMap<Key, Item>) {
    let keys: BTreeSet<&str> = records.values().map(|item| text(item, "run_id")).collect();
    // With the list of runs.
    assert_eq!(keys.len(), 1 + 16 + 16 + 1, "{keys:?}");
    let named = |name| {
        records
            .values()
            .filter(move |item| text(item, "record") == name)
    };
    let run: Vec<&Item> = named("run").collect();
    assert_eq!(run.len(), 1);
    assert_eq!(
        (text(run[0], "version"), text(run[0], "shards")),
        ("2", "16")
    );
    assert_eq!(named("copy").count(), 16);
    assert!(named("copy").all(|copy| text(copy, "revision") == text(run[0], "revision")));
}

/// The key of the list of runs.
const LIST: &str = "#runs";

/// What the version before would have written: all records of a run under its id.
fn under_one_key(records: &BTreeMap<Key, Item>) -> Vec<Item> {
    let mut exhausted = 0;
    let mut former = BTreeMap::new();
    for item in records.values() {
        let (place, record) = (text(item, "run_id"), text(item, "record"));
        // It kept neither copies nor a list.
        if record == "copy" || place == LIST {
            continue;
        }
        let (mut item, record) = (item.clone(), record.to_owned());
        if record.starts_with("exhausted#") {
            exhausted += text(&item, "exhausted").parse::<u32>().unwrap();
            item.insert("exhausted".into(), Value::N(exhausted.to_string()));
        }
        let run_id = place.split('#').next().unwrap().to_owned();
        if record == "run" {
            item.remove("shards");
            item.insert("version".into(), Value::N("1".into()));
        }
        item.insert("run_id".into(), Value::S(run_id));
        // Of the history, which is for charts, one bucket of each ten seconds will do.
        former.insert(record, item);
    }
    former.into_values().collect()
}

/// resume: a large run that the version before paused goes on from its cursors, under the one key where its records lie.
#[tokio::test(flavor = "multi_thread")]
async fn resume_of_a_large_run_of_the_version_before() {
    const ITEMS: u64 = 2_000;
    let database = Embedded::with_stuff(ITEMS).await;
    let before = all(&database).await;
    let run = format!("{RUN} --run-id former --segments 80 --concurrency 40");
    let canary = format!("{run} --only-segments 3,64,70,79");
    let canary = Ended::run(&mut database.backfill(&canary))
        .expect_code(4)
        .json();
    let former = under_one_key(&records(&database).await);
    let client = &database.client;
    client
        .delete_table()
        .table_name(CHECKPOINTS)
        .send()
        .await
        .unwrap();
    create(client, CHECKPOINTS, CHECKPOINT_KEYS).await;
    put_all(client, CHECKPOINTS, &former).await;

    let of_run = "status --json --run-id former";
    let status = Ended::run(&mut database.backfill(of_run))
        .expect_code(0)
        .json();
    for field in ["status", "scanned", "updated", "segments"] {
        assert_eq!(status[field], canary[field], "{field}");
    }
    let result = Ended::run(&mut database.backfill(&run))
        .expect_code(0)
        .json();
    let expected: [(&str, Json); 4] = [
        ("scanned", json!(ITEMS)),
        ("updated", json!(ITEMS * 8 / 10)),
        ("passes", json!(1)),
        ("remaining", json!(0)),
    ];
    for (field, expected) in expected {
        assert_eq!(result[field], expected, "{field}");
    }
    assert_eq!(all(&database).await, migrated(&before));
    let records = records(&database).await;
    assert!(
        records
            .values()
            .all(|item| ["former", LIST].contains(&text(item, "run_id")))
    );
    // It starts over as a run of today does.
    Ended::run(&mut database.backfill(&format!("{run} --fresh"))).expect_code(0);
    let records = self::records(&database).await;
    assert!(
        records
            .values()
            .any(|item| text(item, "run_id") == "former#00")
    );
    assert_eq!(
        read_all(client, "stuff", STUFF_KEYS).await,
        migrated(&before)
    );
}
