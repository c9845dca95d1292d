//! guarded: writers of the old shape go on after the proof, and the guard is killed again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use backfill_core::Value;
use backfill_e2e::command::{AtWork, Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::live::{Code, Writer};
use backfill_e2e::tables::{STUFF_KEYS, read_all};
use fastrand::Rng;
use serde_json::json;

use crate::torture::torture_seconds;

const ITEMS: u64 = 300;

/// How often the guard dies.
const KILLS: u32 = 10;

/// Live writes in all, at most. Each write costs the embedded database more the more records its stream has.
const WRITES: u64 = 3_000;

/// How long the guard may take for what is left when the writers have ended.
const TO_CATCH_UP: Duration = Duration::from_secs(60);

const GUARD: &str = "guard run --table stuff --set test=1";

fn start(database: &Embedded, arguments: &str) -> AtWork {
    let mut command = backfill(arguments.split_whitespace());
    command.args(["--endpoint-url", &database.endpoint]);
    AtWork::start(command)
}

async fn switch_stream_on(database: &Embedded) {
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewImage);
    let switched = database
        .client
        .update_table()
        .table_name("stuff")
        .stream_specification(stream.build().expect("a stream"));
    switched.send().await.expect("the table gets a stream");
}

async fn status(database: &Embedded) -> Ended {
    let status = start(database, "guard status --table stuff --json");
    status.end().await
}

/// Until then, no count says anything of what is written later.
async fn wait_until_it_watches(database: &Embedded) {
    let begin = Instant::now();
    while status(database).await.code == 2 {
        assert!(begin.elapsed() < TO_CATCH_UP, "no guard watches");
    }
}

/// The application, old code and new, for so many seconds: each writer is alone on its keys.
async fn write_for(database: &Embedded, seconds: u64, seed: u64) -> Vec<Writer> {
    const WRITERS: u64 = 4;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let added = BTreeMap::from([("test".to_owned(), Value::N("1".into()))]);
    let until = Instant::now() + Duration::from_secs(seconds);
    let pause = Duration::from_secs_f64((seconds * WRITERS) as f64 / WRITES as f64);
    let writers = (0..WRITERS).map(|n| {
        let items = (n..ITEMS).step_by(WRITERS as usize);
        let seed = seed * WRITERS + n;
        let code = Code::OldAndNew;
        let mut writer = Writer::new(&database.client, &before, items, &added, code, seed);
        tokio::spawn(async move {
            while Instant::now() < until {
                writer.write().await;
                tokio::time::sleep(pause).await;
            }
            writer
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut at_the_end = Vec::new();
    for writer in writers {
        at_the_end.push(writer.await.expect("no writer saw what it should not"));
    }
    at_the_end
}

/// guarded, never-overwrite, never-resurrect: after a run and its proof, old and new code set, put and delete, while the guard is killed
/// and started again ten times. No live write is lost or altered, no deleted item comes back, and in the end every item that is there
/// has the attribute, though nothing but the guard has looked.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_while_old_writers_work_and_the_guard_is_killed() {
    let seconds = torture_seconds();
    let seed = std::env::var("FAULT_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("seed {seed}");
    let database = Arc::new(Embedded::with_stuff(ITEMS).await);
    switch_stream_on(&database).await;
    let mut guard = start(&database, GUARD);
    wait_until_it_watches(&database).await;
    let run = start(&database, "run --table stuff --set test=1 --json");
    let run = run.end().await.expect_code(0);
    assert_eq!(run.json()["remaining"], 0);

    let writers = {
        let database = database.clone();
        tokio::spawn(async move { write_for(&database, seconds, seed).await })
    };
    let mut random = Rng::with_seed(seed);
    let kills = AtomicU64::new(0);
    let mean = Duration::from_secs(seconds) / (KILLS + 1);
    for _ in 0..KILLS {
        tokio::time::sleep(mean.mul_f64(0.5 + random.f64() / 2.0)).await;
        guard.signal("KILL");
        let ended = guard.end().await;
        assert_eq!(ended.code, -1, "it ended by itself: {ended:#?}");
        kills.fetch_add(1, SeqCst);
        // Writers go on while nobody watches.
        tokio::time::sleep(mean.mul_f64(random.f64() / 3.0)).await;
        guard = start(&database, GUARD);
    }
    let writers = writers.await.expect("the writers end");

    let begin = Instant::now();
    let after = loop {
        let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
        let pending = after.values().filter(|item| !item.contains_key("test"));
        let pending = pending.count();
        if pending == 0 {
            break after;
        }
        assert!(
            begin.elapsed() < TO_CATCH_UP,
            "{pending} of {} items are pending still",
            after.len()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    // The proof of the run holds until now, though the guard has died ten times.
    let status = status(&database).await.expect_code(0).json();
    assert_eq!(status["guarded"], true, "{status}");
    assert_eq!(status["losses"], json!([]), "{status}");
    guard.signal("INT");
    let ended = guard.end().await;
    for writer in &writers {
        writer.check(&after);
    }
    let verified = start(&database, "verify --table stuff --set test=1 --json");
    assert_eq!(verified.end().await.expect_code(0).json()["remaining"], 0);
    let of = |count: fn(&Writer) -> u64| writers.iter().map(count).sum::<u64>();
    let (writes, met) = (of(|writer| writer.writes), of(|writer| writer.met));
    println!(
        "{writes} live operations in {seconds} s, {met} of which met the guard's work; killed {} times; at last: {}",
        kills.load(SeqCst),
        ended.stderr.lines().last().unwrap_or_default()
    );
    // Or it was no torture.
    assert!(met > writes / 20, "{met} of {writes}");
}
