//! resume and no-gap: interrupts, kills, pauses, a canary, empty pages.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backfill_core::{Item, Value};
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::tables::{STUFF_KEYS, migrated, stuff};
use backfill_e2e::wire::{Call, Verdict, signal};
use serde_json::{Value as Json, json};

use crate::stuff::{RUN, all, assert_accounted, wait_for_progress};

/// resume, honest-end: SIGINT stops at a checkpoint with exit code 4, and the next start goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_an_interrupt() {
    const ITEMS: u64 = 6000;
    for name in ["INT", "TERM"] {
        let database = Embedded::with_stuff(ITEMS).await;
        let before = all(&database).await;
        let run = format!("{RUN} --segments 4 --concurrency 1");
        let child = database.backfill(&run).spawn().unwrap();
        wait_for_progress(&database).await;
        signal(child.id(), name);
        let first = Ended::of(child).expect_code(4);
        let paused = first.json();
        assert_eq!(paused["status"], "paused");
        assert_eq!(paused["remaining"], Json::Null, "not counted yet");
        assert!(first.stderr.contains("resume"), "{}", first.stderr);
        let scanned = paused["scanned"].as_u64().unwrap();
        assert!(0 < scanned && scanned < ITEMS, "{paused}");
        assert_accounted(&paused);

        let result = Ended::run(&mut database.backfill(&run))
            .expect_code(0)
            .json();
        assert_eq!(result["run_id"], paused["run_id"]);
        assert_eq!(result["passes"], 1, "the same pass goes on");
        assert_eq!(
            result["updated"],
            ITEMS * 8 / 10,
            "each item once over both"
        );
        // An interrupted page counts its acknowledged items, and the others when it is read again.
        assert_eq!(result["scanned"], ITEMS, "{result}");
        assert_accounted(&result);
        assert_eq!(all(&database).await, migrated(&before));
        assert_eq!(
            (&paused["sessions"], &result["sessions"]),
            (&json!(1), &json!(2))
        );
        let seconds = |of: &Json, field: &str| of[field].as_f64().expect("seconds");
        let both = seconds(&paused, "elapsed_seconds") + seconds(&result, "elapsed_seconds");
        assert!(
            (seconds(&result, "total_seconds") - both).abs() < 1e-6,
            "{result}"
        );
        let status = Ended::run(&mut database.backfill("status")).expect_code(0);
        let time = format!(
            "time      {both:.1} s in 2 sessions, {:.1} s of it in the last",
            seconds(&result, "elapsed_seconds")
        );
        assert!(status.stdout.contains(&time), "{}", status.stdout);
    }
}

/// resume: the time of a session that was killed ends with its last checkpoint, however long nobody has worked since.
#[tokio::test(flavor = "multi_thread")]
async fn resume_counts_the_time_of_a_killed_session() {
    let database = Embedded::with_stuff(3000).await;
    let run = format!("{RUN} --segments 4");
    let begin = std::time::Instant::now();
    let mut child = database
        .backfill(&format!("{run} --max-wcu 200"))
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    signal(child.id(), "KILL");
    child.wait().unwrap();
    let killed = begin.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let result = Ended::run(&mut database.backfill(&format!("{run} --max-wcu 10000")))
        .expect_code(0)
        .json();
    assert_eq!(result["sessions"], 2);
    let seconds = |field: &str| result[field].as_f64().expect("seconds");
    let before = seconds("total_seconds") - seconds("elapsed_seconds");
    assert!((0.0..=killed).contains(&before), "{before} of {killed}");
    assert!(before > 0.0, "{result}");
}

/// resume, honest-end: a canary by number ends as paused when just so many items are updated, and `resume` goes on with the
/// rest. By batches and by single updates alike.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_canary_of_so_many_items() {
    for writer in ["batch", "update-item"] {
        let database = Embedded::with_stuff(1000).await;
        let before = all(&database).await;
        let migrated_now = async || {
            let changed = all(&database).await;
            let changed = changed.iter().zip(&before);
            changed.filter(|(after, before)| after != before).count()
        };
        let run = format!("{RUN} --segments 5 --writer {writer} --pause-after 123");
        let first = Ended::run(&mut database.backfill(&run)).expect_code(4);
        assert_eq!(first.json()["updated"], 123);
        assert_eq!(first.json()["status"], "paused");
        assert_eq!(migrated_now().await, 123);
        let said = "paused after 123 updated items, as was asked for";
        assert!(first.stderr.contains(said), "{}", first.stderr);
        assert!(
            first.stderr.contains("again without --pause-after"),
            "{}",
            first.stderr
        );
        let second = Ended::run(&mut database.backfill(&run)).expect_code(4);
        assert_eq!(second.json()["updated"], 246);
        assert_eq!(migrated_now().await, 246);

        let run_id = first.json()["run_id"].as_str().unwrap().to_owned();
        let resume = format!("resume --run-id {run_id} --json");
        let result = Ended::run(&mut database.backfill(&resume)).expect_code(0);
        assert_eq!(result.json()["updated"], 800);
        assert_accounted(&result.json());
        assert_eq!(all(&database).await, migrated(&before));
    }
    let database = Embedded::with_stuff(1).await;
    for (number, why) in [("0", "pause-after: expected 1 to"), ("x", "invalid value")] {
        let run = format!("{RUN} --pause-after {number}");
        let refused = Ended::run(&mut database.backfill(&run)).expect_code(2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

/// resume, never-overwrite: an answer that is lost lets a canary by number change the items of that request beside its number, for what
/// is sent again finds them changed. No item is changed twice.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_canary_of_which_an_answer_is_lost() {
    for (writer, operation) in [
        ("batch", "BatchExecuteStatement"),
        ("update-item", "UpdateItem"),
    ] {
        let database = Embedded::with_stuff(200).await;
        let before = all(&database).await;
        let line = database.line().await;
        // How many items each request has. The answer to the second is lost.
        let requests = Arc::<Mutex<Vec<usize>>>::default();
        let seen = requests.clone();
        let tap = line.tap("stuff", move |call: Call| {
            let mut seen = seen.lock().unwrap();
            let is_write = call.operation == operation;
            if is_write {
                seen.push(call.body["Statements"].as_array().map_or(1, Vec::len));
            }
            let verdict = match is_write && seen.len() == 2 {
                true => Verdict::LoseReply,
                false => Verdict::Forward,
            };
            async move { verdict }
        });
        let run = format!("{RUN} --segments 1 --writer {writer} --pause-after 60");
        let mut run = backfill(run.split(' '));
        run.args(["--endpoint-url", &line.endpoint]);
        let result = Ended::run(&mut run).expect_code(4).json();
        drop(tap);
        let lost = requests.lock().unwrap()[1];
        let changed = all(&database).await;
        let changed = changed.iter().zip(&before);
        let changed = changed.filter(|(after, before)| after != before).count();
        assert_eq!(changed, 60 + lost, "{writer}: {result}");
        assert_eq!(
            (&result["updated"], &result["raced"]),
            (&json!(60), &json!(lost)),
            "{writer}"
        );
        assert_accounted(&result);
    }
}

/// resume, honest-end: a canary of one segment ends as paused, and the same command without it does the rest. What is said to
/// resume it works.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_canary_segment() {
    let database = Embedded::with_stuff(1000).await;
    let before = all(&database).await;
    let run = format!("{RUN} --segments 5 --only-segments 2");
    // Interrupted, it is open, and the same command goes on with it.
    let child = database
        .backfill(&format!("{run} --max-wcu 20"))
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    signal(child.id(), "INT");
    let interrupted = Ended::of(child).expect_code(4);
    let advice = |ended: &Ended| ended.stderr.trim_end().lines().last().map(str::to_owned);
    assert_eq!(
        advice(&interrupted).unwrap(),
        "to resume, run the same command again"
    );
    let canary =
        Ended::run(&mut database.backfill(&format!("{run} --max-wcu 10000"))).expect_code(4);
    assert_eq!(
        advice(&canary).unwrap(),
        "to resume, run the same command again without --only-segments"
    );
    let refused = Ended::run(&mut database.backfill(&run)).expect_code(2);
    assert!(
        refused
            .stderr
            .contains("the canary (segment 2 out of 0 to 4) is swept already"),
        "{}",
        refused.stderr
    );
    let result = canary.json();
    assert_eq!(
        (&result["status"], &result["remaining"]),
        (&json!("paused"), &json!(null))
    );
    let canary = result["updated"].as_u64().unwrap();
    assert!(0 < canary && canary < 800, "{result}");
    assert_accounted(&result);
    let migrated_so_far = all(&database)
        .await
        .values()
        .filter(|item| item.get("test") == Some(&Value::N("1".into())))
        .count();
    assert_eq!(migrated_so_far as u64, canary);

    let result = Ended::run(&mut database.backfill(RUN))
        .expect_code(0)
        .json();
    assert_eq!(
        (&result["updated"], &result["passes"]),
        (&json!(800), &json!(1))
    );
    assert_eq!(all(&database).await, migrated(&before));
}

/// resume, no-gap: SIGKILL at a random moment loses nothing; at most the page in flight is read again.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_kill_leaves_no_gap() {
    const ITEMS: u64 = 5000;
    let database = Embedded::with_stuff(ITEMS).await;
    let before = all(&database).await;
    let run = format!("{RUN} --segments 4 --concurrency 2");
    let mut kills = 0;
    let result = loop {
        let mut child = database.backfill(&run).spawn().unwrap();
        if kills < 3 {
            wait_for_progress(&database).await;
            tokio::time::sleep(Duration::from_millis(100 * kills)).await;
            signal(child.id(), "KILL");
            child.wait().unwrap();
            kills += 1;
        } else {
            break Ended::of(child).expect_code(0).json();
        }
    };
    assert_eq!(all(&database).await, migrated(&before));
    assert_accounted(&result);
    // What was written but not checkpointed is pending no more, so nobody counts it.
    assert!(result["updated"].as_u64().unwrap() <= ITEMS * 8 / 10);
    assert!(result["scanned"].as_u64().unwrap() <= ITEMS);
}

/// What has succeeded is neither stopped nor resumed.
#[track_caller]
fn assert_is_over(steer: impl Fn(&str) -> Ended) {
    for (what, why) in [
        ("pause", "has the state succeeded, and cannot become paused"),
        (
            "cancel",
            "has the state succeeded, and cannot become cancelled",
        ),
        ("resume", "is succeeded: nothing is pending"),
    ] {
        let refused = steer(what).expect_code(2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

/// resume: a run is paused, resumed and cancelled from another process, and each change is noted.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_pause_from_another_process() {
    let database = Embedded::with_stuff(2000).await;
    let before = all(&database).await;
    let started = database
        .backfill(&format!("{RUN} --run-id steered --max-wcu 100"))
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    let steer =
        |what: &str| Ended::run(&mut database.backfill(&format!("{what} --run-id steered")));
    let begin = std::time::Instant::now();
    steer("pause").expect_code(0);
    let paused = Ended::of(started).expect_code(4).json();
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    assert_eq!(paused["status"], "paused");
    assert_accounted(&paused);
    let done = paused["updated"].as_u64().unwrap();
    assert!((1..1600).contains(&done), "{paused}");

    steer("rate --max-wcu none").expect_code(0);
    let resumed = steer("resume --json").expect_code(0).json();
    assert_eq!(
        (&resumed["status"], &resumed["updated"]),
        (&json!("succeeded"), &json!(1600))
    );
    assert_eq!(all(&database).await, migrated(&before));
    assert_is_over(steer);
    let status = steer("status --json").expect_code(0).json();
    let events: Vec<_> = status["events"].as_array().unwrap().iter().collect();
    let changes = |event: &&Json| format!("{} {} {}", event["what"], event["old"], event["new"]);
    let found: Vec<_> = events.iter().map(changes).collect();
    let expected = [
        r#""status" "running" "paused""#,
        r#""max_wcu" "100" "none""#,
        r#""status" "paused" "running""#,
        r#""owner" "#,
        r#""status" "running" "succeeded""#,
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert!(
        events
            .iter()
            .all(|event| event["at_ms"].is_u64() && event["by"] != "")
    );

    let cancelled =
        database.backfill("run --table stuff --set flag=1 --run-id steered2 --max-wcu 100 --json");
    let cancelled = { cancelled }.spawn().unwrap();
    loop {
        let found = Ended::run(&mut database.backfill("status --run-id steered2 --json"));
        if found.code == 0 && found.json()["updated"].as_u64() > Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ended::run(&mut database.backfill("cancel --run-id steered2")).expect_code(0);
    let cancelled = Ended::of(cancelled).expect_code(4).json();
    assert_eq!(cancelled["status"], "cancelled");
    Ended::run(&mut database.backfill("resume --run-id steered2")).expect_code(2);
}

/// no-gap: pages without a pending item, but with a LastEvaluatedKey, are not the end. The one item that is pending
/// is the last that a scan comes to, behind three such pages.
#[tokio::test(flavor = "multi_thread")]
async fn no_gap_at_empty_pages() {
    let database = Embedded::start().await;
    tables::create(&database.client, "stuff", STUFF_KEYS).await;
    let items: Vec<Item> = (0..4000)
        .map(|i| {
            let mut item = stuff(i);
            item.insert("test".into(), Value::Bool(true));
            item
        })
        .collect();
    tables::put_all(&database.client, "stuff", &items).await;
    let mut last = None;
    let mut after = None;
    loop {
        let page = database
            .client
            .scan()
            .table_name("stuff")
            .limit(1000)
            .segment(0)
            .total_segments(1)
            .set_exclusive_start_key(after);
        let page = page.send().await.unwrap();
        last = page.items().last().cloned().or(last);
        after = page.last_evaluated_key().cloned();
        if after.is_none() {
            break;
        }
    }
    let mut last = backfill_e2e::convert::from_item(&last.unwrap()).unwrap();
    last.remove("test");
    tables::put_all(&database.client, "stuff", &[last]).await;

    let result = Ended::run(&mut database.backfill(&format!("{RUN} --segments 1")))
        .expect_code(0)
        .json();
    assert_eq!(
        (&result["scanned"], &result["updated"], &result["passes"]),
        (&json!(4000), &json!(1), &json!(1))
    );
}
