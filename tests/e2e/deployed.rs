//! The deployed system: the stack that `sam deploy` puts into the stand-in for AWS, its functions as processes, and the
//! state machine in two interpreters. Tests that hold a promise bear its name.
//!
//! Each case has a table of its own and reads it through the AWS API, past the code under test. The cases share one
//! deployment, and hold the line between the functions and DynamoDB in their hands (`backfill_e2e::wire`): what has to
//! happen at a certain moment happens then, not by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_sfn::types::ExecutionStatus;
use backfill_core::engine::worker::CHUNKS_PER_CHILD;
use backfill_core::records::{Cursor, RunStatus, SegmentRecord};
use backfill_core::{Item, Key, Value};
use backfill_dynamodb::to_item;
use backfill_e2e::aws::{
    Aws, CHECKPOINTS, Machine, Running, STACK, Table, assert_same, deployed, eventually, input,
    run_id, run_to_end, second_interpreter, with_one_worker,
};
use backfill_e2e::command::Ended;
use backfill_e2e::tables::{migrated, string};
use backfill_e2e::terminal::Terminal;
use backfill_e2e::wire::{Process, Tap, Verdict};
use serde_json::{Value as Json, json};
use tokio::sync::{OnceCell, watch};

/// `backfill start` of `test = 1` on a table.
fn start(table: &str, more: &str) -> String {
    format!("start --stack-name {STACK} --table {table} --set test=1 --json {more}")
}

/// What `backfill status` says of the run that an input starts.
async fn status(aws: &Aws, input: &Json) -> Json {
    let run_id = run_id(input);
    let command = format!("status --json --checkpoint-table {CHECKPOINTS} --run-id {run_id}");
    let ended = run_to_end(aws.backfill(&command)).await.expect_code(0);
    ended.json()
}

fn count(result: &Json, field: &str) -> u64 {
    let number = result[field].as_u64();
    number.unwrap_or_else(|| panic!("{field} is no count: {result}"))
}

/// accounting: every matched item is accounted for, in total and in each segment, and the sum is the total.
#[track_caller]
fn assert_accounted(result: &Json, segments: &[SegmentRecord]) {
    let parts = ["updated", "raced", "vanished", "rejected"].map(|field| count(result, field));
    assert_eq!(
        count(result, "matched"),
        parts.iter().sum::<u64>(),
        "{result}"
    );
    for SegmentRecord { counters, .. } in segments {
        let parts = counters.updated + counters.raced + counters.vanished + counters.rejected;
        assert_eq!(counters.matched, parts, "{counters:?}");
    }
    let total: u64 = segments.iter().map(|s| s.counters.matched).sum();
    assert_eq!(total, count(result, "matched"), "{result}");
}

#[track_caller]
fn assert_fields(result: &Json, expected: &[(&str, Json)]) {
    for (field, expected) in expected {
        assert_eq!(&result[field], expected, "{field} of {result}");
    }
}

/// No function does more to a table than to describe and scan it, to check items, and to update them under the guard.
fn assert_guarded(tap: &Tap) {
    for seen in tap.seen() {
        let call = seen.call;
        match call.operation.as_str() {
            "DescribeTable" | "Scan" => {}
            _ if call.is_check() => {}
            _ if call.is_update() => assert!(call.is_guarded(), "{call:?}"),
            _ => panic!("{call:?}"),
        }
    }
}

#[test]
fn clean_run() {
    deployed(async |aws| {
        // The table that the stack has created.
        let table = aws.fill("stuff", 400).await;
        let input = input("stuff", json!({}));
        let tap = aws.wire.listen("stuff");
        let ended = run_to_end(aws.backfill(&start("stuff", "")))
            .await
            .expect_code(0);
        table.assert_migrated().await;
        assert_guarded(&tap);
        let result = ended.json();
        assert_fields(
            &result,
            &[
                ("run_id", json!(run_id(&input))),
                ("table", json!("stuff")),
                ("status", json!("succeeded")),
                ("passes", json!(1)),
                ("scanned", json!(400)),
                ("matched", json!(320)),
                ("updated", json!(320)),
                ("remaining", json!(0)),
                ("samples", json!([])),
            ],
        );
        assert_accounted(&result, &aws.segments(&input, 1).await);
        let recorded = status(aws, &input).await;
        for (field, value) in result.as_object().unwrap() {
            assert_eq!(&recorded[field], value, "{field}");
        }

        // The same without our command, by the shortest input; a finished run begins a new pass.
        let mut expected = migrated(&table.before);
        for i in 0..5 {
            let (key, mut item) = table.old_writer_adds(i).await;
            item.insert("test".into(), Value::N("1".into()));
            expected.insert(key, item);
        }
        let output = aws.machine.run(&input).await.expect_success();
        assert_fields(
            &output,
            &[
                ("run_id", json!(run_id(&input))),
                ("status", json!("succeeded")),
                ("pass", json!(2)),
                ("remaining", json!(0)),
            ],
        );
        assert_same(&table.now().await, &expected);
        let recorded = status(aws, &input).await;
        assert_fields(
            &recorded,
            &[
                ("updated", json!(325)),
                ("passes", json!(2)),
                ("remaining", json!(0)),
            ],
        );
    });
}

async fn several_chunks(aws: &Aws, machine: &Machine, name: &str) {
    // 800 updates per segment: three time boxes at least.
    let table = aws.table(name, 2000).await;
    let _slow = aws.wire.slow_down(name);
    let input = input(name, json!({"total_segments": 2, "time_box_seconds": 1}));
    let execution = machine.run(&input).await;
    let arn = execution.arn.clone();
    execution.expect_success();
    // A child asks for its next chunk itself: all are done after one round.
    assert_eq!(machine.rounds(&arn).await, 1);
    table.assert_migrated().await;
    let segments = aws.segments(&input, 1).await;
    assert_eq!(segments.len(), 2);
    for segment in &segments {
        // Each chunk claims its segment. One of them may have been the trial chunk, which is not in the Map.
        assert!(segment.generation >= 3, "{segment:?}");
        assert_eq!(segment.cursor, Cursor::Exhausted);
    }
    let result = status(aws, &input).await;
    assert_fields(
        &result,
        &[
            ("status", json!("succeeded")),
            ("passes", json!(1)),
            ("updated", json!(table.pending())),
        ],
    );
    assert_accounted(&result, &segments);
}

#[test]
fn several_chunks_per_segment() {
    deployed(async |aws| several_chunks(aws, &aws.machine, "several-chunks").await);
}

/// The process of a worker is killed in the middle of a page: the state machine starts another chunk, which goes on
/// from the checkpoint.
#[test]
fn a_worker_that_crashes_once_is_retried() {
    deployed(async |aws| {
        let table = aws.table("crash", 200).await;
        // Segment 0 has the trial chunk, which has a retry of its own; the crash is to be in the Map.
        let (armed, updates) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let tap = aws.wire.tap("crash", move |call| {
            if call.is_sweep() && call.segment() == Some(1) {
                armed.store(true, Ordering::SeqCst);
            }
            let (now, before) = match armed.load(Ordering::SeqCst) {
                true => (
                    call.updates(),
                    updates.fetch_add(call.updates(), Ordering::SeqCst),
                ),
                false => (0, 0),
            };
            // In the middle of the page.
            let crashes = (before..before + now).contains(&40);
            if crashes {
                Process::of(&call).kill();
            }
            async move {
                if crashes {
                    Verdict::Break
                } else {
                    Verdict::Forward
                }
            }
        });
        let input = input("crash", json!({"total_segments": 2}));
        let execution = aws.machine.run(&input).await;
        let arn = execution.arn.clone();
        execution.expect_success();
        table.assert_migrated().await;
        assert_guarded(&tap);

        let mut errors = Vec::new();
        for child in aws.machine.children(&arn).await {
            errors.extend(aws.machine.failed_tasks(&child.arn).await);
        }
        assert_eq!(errors, ["Runtime.ExitError"]);
        let result = status(aws, &input).await;
        assert_fields(
            &result,
            &[
                ("status", json!("succeeded")),
                ("passes", json!(1)),
                // The page that was lost counts once.
                ("scanned", json!(200)),
            ],
        );
        // What the crashed process wrote is pending no more, so nobody counts it: the updates before, and those that
        // were in flight, at most a page in all.
        let uncounted = table.pending() - count(&result, "updated");
        assert!((1..=80).contains(&uncounted), "{uncounted}: {result}");
        assert_accounted(&result, &aws.segments(&input, 1).await);
    });
}

/// A run whose execution was stopped with two of four segments swept and a cursor in each of the others.
struct Stopped {
    table: Table,
    input: Json,
    /// The execution that was stopped.
    arn: String,
    /// Its workers in the middle of a chunk: Step Functions forgets them, nobody stops them.
    stale: Vec<Process>,
    /// The segments at the time, by number.
    segments: Vec<SegmentRecord>,
}

async fn stop_in_the_middle(aws: &Aws, name: &str) -> Stopped {
    let table = aws.table(name, 1200).await;
    let settings = "--segments 4 --time-box 1s";
    let input = input(name, json!({}));
    let stale = Arc::new(Mutex::new(BTreeMap::new()));
    let frozen = stale.clone();
    let tap = aws.wire.tap(name, move |call| {
        // The second half of the segments comes to its second chunk, and no further.
        if call.is_sweep() && call.segment() >= Some(2) && call.start_key().is_some() {
            let process = Process::of(&call);
            process.freeze();
            frozen.lock().unwrap().insert(call.segment(), process);
        }
        async move {
            if call.is_sweep() {
                return Verdict::ShortPage(50);
            }
            call.dawdle().await;
            Verdict::Forward
        }
    });
    let command = Running::start(&mut aws.backfill(&start(name, settings)));
    let segments = eventually("two segments swept, two in work", async || {
        let segments = aws.segments(&input, 1).await;
        let swept = |segment: &&SegmentRecord| segment.cursor == Cursor::Exhausted;
        let ready = segments.iter().filter(swept).count() == 2 && stale.lock().unwrap().len() == 2;
        ready.then_some(segments)
    })
    .await;
    let arn = aws
        .run_record(&input)
        .await
        .expect("it runs")
        .owner
        .to_string();
    aws.machine.stop(&arn).await;
    let ended = command.end().await.expect_code(4);
    let result = ended.json();
    assert_fields(
        &result,
        &[("status", json!("cancelled")), ("remaining", json!(null))],
    );
    assert_accounted(&result, &segments);
    drop(tap);
    let stale = stale.lock().unwrap().values().copied().collect();
    Stopped {
        table,
        input,
        arn,
        stale,
        segments,
    }
}

/// What another engine made of a stopped run, with the calls on the table that it took.
async fn assert_resumed(aws: &Aws, stopped: Stopped, ended: Ended, tap: Tap) {
    let Stopped {
        table,
        input,
        segments,
        ..
    } = &stopped;
    table.assert_migrated().await;
    assert_guarded(&tap);
    // Each open segment goes on after its cursor, and no other one is read again.
    let mut first_pages = BTreeMap::new();
    for call in tap.sweeps() {
        let page = (call.segment().unwrap() as u32, call.start_key());
        first_pages.entry(page.0).or_insert(page.1);
    }
    let cursors: BTreeMap<u32, Option<Key>> = segments[2..]
        .iter()
        .map(|segment| (segment.segment, segment.cursor.start_key().cloned()))
        .collect();
    assert!(cursors.values().all(Option::is_some), "{cursors:?}");
    assert_eq!(first_pages, cursors);

    let result = ended.expect_code(0).json();
    assert_fields(
        &result,
        &[
            ("run_id", json!(run_id(input))),
            ("status", json!("succeeded")),
            ("passes", json!(1)),
            ("segments", json!(4)),
            ("updated", json!(table.pending())),
            ("raced", json!(0)),
            ("remaining", json!(0)),
        ],
    );
    // Of a page that the time box interrupts, the acknowledged items count; the rest is read again and counts then.
    let scanned = count(&result, "scanned");
    assert!(
        (table.pending()..=table.before.len() as u64).contains(&scanned),
        "{result}"
    );
    let after = aws.segments(input, 1).await;
    assert_accounted(&result, &after);

    // one-owner: the workers of the stopped execution wake up, and can do no harm any more.
    let record = aws.run_record(input).await;
    for process in &stopped.stale {
        process.thaw();
    }
    let children = eventually("the end of the stale workers", async || {
        let children = aws.machine.children(&stopped.arn).await;
        let ended = children
            .iter()
            .all(|c| c.status != ExecutionStatus::Running);
        ended.then_some(children)
    })
    .await;
    let stale: Vec<_> = children
        .into_iter()
        .filter(|child| child.status == ExecutionStatus::Failed)
        .collect();
    assert_eq!(stale.len(), 2, "{stale:#?}");
    for child in stale {
        // Refused at its checkpoint; or at its next chunk, where it took its answer for lost.
        assert!(
            ["Fenced", "NotRunning"].contains(&child.error.as_str()),
            "{child:#?}"
        );
    }
    assert_eq!(aws.run_record(input).await, record);
    assert_eq!(aws.segments(input, 1).await, after);
    table.assert_migrated().await;
    let stopped = aws.machine.execution(&stopped.arn).await;
    assert_eq!(stopped.status, ExecutionStatus::Aborted);
}

/// resume, one-owner: an execution stopped in the middle and started again.
#[test]
fn resume_and_one_owner_after_a_stopped_execution() {
    deployed(async |aws| {
        let stopped = stop_in_the_middle(aws, "stopped").await;
        let tap = aws.wire.listen("stopped");
        let ended = run_to_end(aws.backfill(&start("stopped", ""))).await;
        // One child per segment that was open.
        let arn = aws
            .run_record(&stopped.input)
            .await
            .unwrap()
            .owner
            .to_string();
        let children = aws.machine.children(&arn).await;
        let segments: BTreeSet<_> = children
            .iter()
            .map(|c| c.input["segment"].as_u64())
            .collect();
        assert_eq!(segments, BTreeSet::from([Some(2), Some(3)]));
        assert_resumed(aws, stopped, ended, tap).await;
    });
}

/// resume: a local run takes over from a stopped execution.
#[test]
fn resume_and_one_owner_in_a_local_run_after_a_stopped_execution() {
    deployed(async |aws| {
        let stopped = stop_in_the_middle(aws, "stopped-run").await;
        let tap = aws.wire.listen("stopped-run");
        let ended = run_to_end(local_run(aws, "stopped-run", "")).await;
        assert_resumed(aws, stopped, ended, tap).await;
    });
}

/// `backfill run` beside the stack: on the same line to DynamoDB and with the stack's checkpoints.
fn local_run(aws: &Aws, table: &str, more: &str) -> std::process::Command {
    let run =
        format!("run --table {table} --set test=1 --checkpoint-table {CHECKPOINTS} --json {more}");
    aws.backfill_at(&aws.wire.endpoint, &run)
}

/// one-owner: while an execution goes on, neither another one nor a local run begins beside it; whoever says that it is
/// dead takes it over, and it ends without harm.
#[test]
fn one_owner_while_an_execution_goes_on() {
    deployed(async |aws| {
        let table = aws.table("held", 400).await;
        let settings = json!({"total_segments": 2, "time_box_seconds": 1});
        let input = input("held", settings.clone());
        let slow = aws.wire.slow_down("held");
        let first = aws.machine.start(&input).await;
        eventually("its first updates", async || {
            (slow.seen().iter().any(|seen| seen.call.updates() > 1)).then_some(())
        })
        .await;
        let cause = aws
            .machine
            .run(&input)
            .await
            .expect_failure("ActiveElsewhere");
        assert!(cause.contains(&first), "{cause}");
        let refused = run_to_end(local_run(aws, "held", "")).await.expect_code(2);
        assert!(refused.stderr.contains(&first), "{}", refused.stderr);
        assert!(refused.stderr.contains("--take-over"), "{}", refused.stderr);
        let record = aws.run_record(&input).await.unwrap();
        assert_eq!(
            (record.owner.to_string().as_str(), record.status),
            (first.as_str(), RunStatus::Running)
        );

        drop(slow);
        let mut taking_over = input.clone();
        taking_over["take_over"] = json!(true);
        aws.machine.run(&taking_over).await.expect_success();
        aws.machine.end_of(&first).await.expect_failure("Fenced");
        table.assert_migrated().await;
        let result = status(aws, &input).await;
        assert_fields(
            &result,
            &[("status", json!("succeeded")), ("remaining", json!(0))],
        );
        assert_accounted(&result, &aws.segments(&input, 1).await);
    });
}

/// resume, honest-end: a canary sweeps one segment and no other, and its execution ends well; the next one does the rest. Before
/// it, a plan of the table sees what the stand-in tells.
#[test]
fn resume_after_a_canary_deployed() {
    deployed(async |aws| {
        let table = aws.table("canary", 200).await;
        let plan = "plan --table canary --set test=1 --json";
        let plan = run_to_end(aws.backfill(plan)).await.expect_code(0).json();
        assert_fields(
            &plan["forecast"]["pending"],
            &[("value", json!(table.pending() as f64))],
        );
        assert!(
            !plan["table"]["point_in_time_recovery"]["known"].is_null(),
            "{plan}"
        );

        let canary = start("canary", "--segments 5 --only-segments 3");
        let canary = run_to_end(aws.backfill(&canary))
            .await
            .expect_code(4)
            .json();
        assert_fields(
            &canary,
            &[("status", json!("paused")), ("remaining", json!(null))],
        );
        let updated = count(&canary, "updated");
        assert!(0 < updated && updated < table.pending(), "{canary}");
        let record = aws.run_record(&input("canary", json!({}))).await.unwrap();
        aws.machine
            .end_of(&record.owner.to_string())
            .await
            .expect_success();

        let rest = run_to_end(aws.backfill(&start("canary", "")))
            .await
            .expect_code(0)
            .json();
        assert_fields(
            &rest,
            &[("passes", json!(1)), ("updated", json!(table.pending()))],
        );
        table.assert_migrated().await;
    });
}

/// read-only: a dry run in AWS counts by planner and verifier alone, and leaves the table as it was.
#[test]
fn read_only_dry_run_deployed() {
    deployed(async |aws| {
        let table = aws.table("dry", 100).await;
        let tap = aws.wire.listen("dry");
        let dry = run_to_end(aws.backfill(&start("dry", "--dry-run"))).await;
        let dry = dry.expect_code(3).json();
        assert_fields(
            &dry,
            &[("remaining", json!(table.pending())), ("updated", json!(0))],
        );
        for seen in tap.seen() {
            let operation = seen.call.operation.as_str();
            assert!(
                ["DescribeTable", "Scan"].contains(&operation),
                "{operation}"
            );
        }
        table.assert_untouched().await;
        // The run itself is another one.
        run_to_end(aws.backfill(&start("dry", "")))
            .await
            .expect_code(0);
        table.assert_migrated().await;
        let dry = run_to_end(aws.backfill(&start("dry", "--dry-run"))).await;
        assert_fields(&dry.expect_code(0).json(), &[("remaining", json!(0))]);
    });
}

/// accounting: what DynamoDB refuses for good is recorded by the functions, listed, and tried again.
#[test]
fn accounting_of_rejected_items_deployed() {
    deployed(async |aws| {
        let table = aws.table("poison", 60).await;
        let input = input(
            "poison",
            json!({"total_segments": 2, "max_passes": 1, "writer": "update-item"}),
        );
        let pending = table
            .before
            .iter()
            .filter(|(_, item)| !item.contains_key("test"));
        let poisoned: Vec<Key> = pending.map(|(key, _)| key.clone()).take(3).collect();
        let refused = Arc::new(Mutex::new(poisoned.clone()));
        let refusing = refused.clone();
        let _tap = aws.wire.tap("poison", move |call| {
            let is_poisoned = |key: &Key| refusing.lock().unwrap().contains(key);
            let verdict = if call.is_update() && call.keys().iter().any(is_poisoned) {
                Verdict::Refuse {
                    code: "ValidationException",
                    message: "Item size to update has exceeded the maximum allowed size",
                }
            } else {
                Verdict::Forward
            };
            async { verdict }
        });
        aws.machine
            .run(&input)
            .await
            .expect_failure("Backfill.ItemsRemain");
        let result = status(aws, &input).await;
        assert_fields(
            &result,
            &[
                ("rejected", json!(3)),
                ("updated", json!(table.pending() - 3)),
                ("remaining", json!(3)),
            ],
        );
        assert_accounted(&result, &aws.segments(&input, 1).await);
        let rejected = async |more: &str, code| {
            let run_id = run_id(&input);
            let command = format!(
                "rejected --json --checkpoint-table {CHECKPOINTS} --run-id {run_id} {more}"
            );
            let ended = run_to_end(aws.backfill_at(&aws.wire.endpoint, &command)).await;
            ended.expect_code(code).json()["rejected"]
                .as_array()
                .unwrap()
                .clone()
        };
        let listed = rejected("", 3).await;
        assert_eq!(listed.len(), 3);
        for item in &listed {
            assert!(
                item["reason"].as_str().unwrap().contains("Item size"),
                "{item}"
            );
            assert_eq!(item["key"].as_object().unwrap().len(), 2, "{item}");
        }
        let mended = &poisoned[0];
        refused.lock().unwrap().retain(|key| key != mended);
        assert_eq!(rejected("--retry", 3).await.len(), 2);
        let now = table.now().await;
        assert_eq!(now[mended]["test"], Value::N("1".into()));
        assert!(!now[&poisoned[1]].contains_key("test"));
        assert_eq!(rejected("", 3).await.len(), 2);
        // Neither credentials nor contents of items are logged; keys are.
        for function in ["planner", "worker", "verifier"] {
            let logs = aws.logs(function);
            for secret in [
                "Troms",
                "12345678901234567890",
                "AWS4-HMAC",
                "SecretAccessKey",
            ] {
                assert!(!logs.contains(secret), "{function} logs {secret}: {logs}");
            }
        }
        assert!(
            aws.logs("worker").contains("Item size to update"),
            "it logs reasons"
        );
    });
}

/// resume: a run in Lambda is paused by its record: its execution ends well, as paused, and resuming starts another one that
/// goes on from the checkpoints.
#[test]
fn resume_after_a_pause_deployed() {
    deployed(async |aws| {
        let table = aws.table("paused", 3000).await;
        let input = input("paused", json!({"total_segments": 2}));
        // So much, and in short pages, that a worker which hears of the pause after five seconds has not begun all of it.
        let slow = aws.wire.tap("paused", |call| async move {
            if call.is_sweep() {
                return Verdict::ShortPage(50);
            }
            call.dawdle().await;
            Verdict::Forward
        });
        let execution = aws.machine.start(&input).await;
        eventually("its first checkpoints", async || {
            let segments = aws.segments(&input, 1).await;
            (segments.iter().any(|segment| segment.counters.updated > 20)).then_some(())
        })
        .await;
        let run_id = run_id(&input);
        let steer = |what: &str| {
            let command =
                format!("{what} --checkpoint-table {CHECKPOINTS} --run-id {run_id} --json");
            run_to_end(aws.backfill(&command))
        };
        let begin = Instant::now();
        steer("pause").await.expect_code(0);
        let output = aws.machine.end_of(&execution).await.expect_success();
        assert!(
            begin.elapsed() < Duration::from_secs(15),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(output["error"], "Stopped", "{output}");
        assert!(
            output["message"].as_str().unwrap().contains("paused by"),
            "{output}"
        );
        let paused = status(aws, &input).await;
        assert_eq!(paused["status"], "paused");
        let done = count(&paused, "updated");
        assert!(done > 0 && done < table.pending(), "{paused}");
        drop(slow);

        let resumed = steer("resume").await.expect_code(0).json();
        assert_fields(
            &resumed,
            &[
                ("status", json!("succeeded")),
                ("updated", json!(table.pending())),
            ],
        );
        assert_ne!(
            aws.run_record(&input).await.unwrap().owner.to_string(),
            execution
        );
        table.assert_migrated().await;
        assert_accounted(&resumed, &aws.segments(&input, 1).await);
    });
}

/// resume: a run in Lambda is shown, paused and resumed by the keys of the view, and one that is followed in it as well.
#[test]
fn resume_by_the_keys_of_the_view_deployed() {
    deployed(async |aws| {
        let table = aws.table("viewed", 1200).await;
        let slow = aws.wire.slow_down("viewed");
        let start = start("viewed", "--segments 2 --watch");
        let mut followed = Terminal::start(&aws.backfill(&start), 80, 24);
        // Its table is read so slowly that it goes on until it is paused.
        followed.shows("2 segments, ").await;
        let input = input("viewed", json!({"total_segments": 2}));
        let execution = aws.run_record(&input).await.unwrap().owner.to_string();
        let run_id = run_id(&input);
        let watch = format!("watch --checkpoint-table {CHECKPOINTS} --run-id {run_id}");
        let mut watched = Terminal::start(&aws.backfill(&watch), 80, 24);
        watched.shows(&format!("run {run_id}  running")).await;
        followed.types("p");
        watched.shows(&format!("run {run_id}  paused")).await;
        let (code, stdout) = followed.end().await;
        let result: Json = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, &result["status"]), (4, &json!("paused")));
        followed.is_given_back().await;
        drop(slow);

        watched.types("r");
        watched.shows("started execution arn:").await;
        watched.shows("0 remain, counted").await;
        assert_ne!(
            aws.run_record(&input).await.unwrap().owner.to_string(),
            execution
        );
        table.assert_migrated().await;
        watched.types("q");
        assert_eq!(watched.end().await.0, 0);
        watched.is_given_back().await;
    });
}

/// Lambda has room for one worker and refuses the others: they wait for their turn, and the run ends well.
#[test]
fn workers_wait_for_lambda_to_have_room() {
    with_one_worker(async |aws, machine| {
        let table = aws.table("narrow", 400).await;
        let workers = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = workers.clone();
        let _tap = aws.wire.tap("narrow", move |call| {
            if call.is_sweep() {
                seen.lock().unwrap().insert(Process::of(&call));
            }
            async move {
                call.dawdle().await;
                Verdict::Forward
            }
        });
        let input = input("narrow", json!({"total_segments": 4, "max_concurrency": 4}));
        machine.run(&input).await.expect_success();
        table.assert_migrated().await;
        let result = status(aws, &input).await;
        assert_accounted(&result, &aws.segments(&input, 1).await);
        // Four children asked for a worker at once; elsewhere they get one each.
        assert_eq!(workers.lock().unwrap().len(), 1);
    });
}

/// A child execution whose history has grown hands its segment over to another one.
#[test]
fn a_long_segment_is_handed_over_to_another_child() {
    deployed(async |aws| {
        let table = aws.table("long", 1500).await;
        let input = input("long", json!({}));
        let slow = aws.wire.slow_down("long");
        let run = Running::start(&mut local_run(aws, "long", "--segments 1 --time-box 1s"));
        eventually("its first updates", async || {
            (slow.seen().iter().any(|seen| seen.call.updates() > 1)).then_some(())
        })
        .await;
        run.interrupt();
        run.end().await.expect_code(4);
        // As if it had made nearly as many chunks as one child may make.
        aws.set_generation(&input, CHUNKS_PER_CHILD - 1).await;
        let settings = json!({"time_box_seconds": 1});
        let execution = aws
            .machine
            .start(&backfill_e2e::aws::input("long", settings))
            .await;
        eventually("another child", async || {
            (aws.machine.rounds(&execution).await >= 2).then_some(())
        })
        .await;
        drop(slow);
        aws.machine.end_of(&execution).await.expect_success();
        table.assert_migrated().await;
        let result = status(aws, &input).await;
        assert_accounted(&result, &aws.segments(&input, 1).await);
    });
}

/// resume: the deployed system takes over from an interrupted local run.
#[test]
fn resume_of_a_local_run_in_an_execution() {
    deployed(async |aws| {
        let table = aws.table("taken-over", 600).await;
        let input = input("taken-over", json!({}));
        let slow = aws.wire.slow_down("taken-over");
        let mut run = local_run(aws, "taken-over", "--segments 4 --concurrency 1");
        let run = Running::start(&mut run);
        eventually("a segment swept and one in work", async || {
            let segments = aws.segments(&input, 1).await;
            let updates: u64 = slow.seen().iter().map(|seen| seen.call.updates()).sum();
            let swept = segments.first()?.counters.updated;
            (updates > swept + 10 && swept > 0).then_some(())
        })
        .await;
        run.interrupt();
        let paused = run.end().await.expect_code(4).json();
        assert_fields(&paused, &[("status", json!("paused"))]);
        assert!(count(&paused, "updated") < table.pending(), "{paused}");
        let before = aws.segments(&input, 1).await;
        drop(slow);

        let tap = aws.wire.listen("taken-over");
        let ended = run_to_end(aws.backfill(&start("taken-over", "")))
            .await
            .expect_code(0);
        table.assert_migrated().await;
        let result = ended.json();
        assert_fields(
            &result,
            &[
                ("run_id", paused["run_id"].clone()),
                ("status", json!("succeeded")),
                ("passes", json!(1)),
                ("segments", json!(4)),
                ("updated", json!(table.pending())),
                ("raced", json!(0)),
                ("remaining", json!(0)),
            ],
        );
        assert_accounted(&result, &aws.segments(&input, 1).await);
        for call in tap.sweeps() {
            let segment = call.segment().unwrap() as u32;
            if let Some(before) = before.iter().find(|before| before.segment == segment) {
                assert_ne!(before.cursor, Cursor::Exhausted, "swept twice: {call:?}");
                assert_eq!(call.start_key().as_ref(), before.cursor.start_key());
            }
        }
    });
}

/// The items that an old writer has added, once it has.
type Added = Arc<OnceCell<Vec<(Key, Item)>>>;

/// As soon as all segments are swept and the count begins, an old writer adds items without `test`: they are behind
/// every cursor.
fn old_writer(aws: &Aws, table: &Arc<Table>, items: u64) -> (Tap, Added) {
    let added = Added::default();
    let (once, writes) = (added.clone(), table.clone());
    let tap = aws.wire.tap(&table.name, move |call| {
        let (once, table) = (once.clone(), writes.clone());
        async move {
            if call.is_count() {
                // All pages of the count wait for it.
                once.get_or_init(async || {
                    let mut added = Vec::new();
                    for i in 0..items {
                        added.push(table.old_writer_adds(i).await);
                    }
                    added
                })
                .await;
            }
            Verdict::Forward
        }
    });
    (tap, added)
}

async fn second_pass(aws: &Aws, machine: &Machine, name: &str) {
    let table = Arc::new(aws.table(name, 100).await);
    let input = input(name, json!({"total_segments": 2}));
    let (_tap, added) = old_writer(aws, &table, 3);
    let output = machine.run(&input).await.expect_success();
    assert_fields(
        &output,
        &[
            ("status", json!("succeeded")),
            ("pass", json!(2)),
            ("remaining", json!(0)),
        ],
    );
    let mut expected = table.before.clone();
    expected.extend(added.get().expect("they were added").clone());
    assert_same(&table.now().await, &migrated(&expected));
    let result = status(aws, &input).await;
    assert_fields(
        &result,
        &[
            ("status", json!("succeeded")),
            ("passes", json!(2)),
            ("updated", json!(table.pending() + 3)),
            ("remaining", json!(0)),
        ],
    );
    let mut segments = aws.segments(&input, 1).await;
    segments.extend(aws.segments(&input, 2).await);
    assert_accounted(&result, &segments);
}

/// proof: items that come in behind the cursor are found by the count, and make a second pass.
#[test]
fn proof_finds_what_an_old_writer_adds_behind_the_cursor() {
    deployed(async |aws| second_pass(aws, &aws.machine, "second-pass").await);
}

/// honest-end: where the passes run out, everyone is told what remains.
#[test]
fn honest_end_where_passes_run_out() {
    deployed(async |aws| {
        let table = Arc::new(aws.table("passes", 100).await);
        let input = input("passes", json!({}));
        let (tap, added) = old_writer(aws, &table, 3);
        let command = start("passes", "--max-passes 1");
        let ended = run_to_end(aws.backfill(&command)).await.expect_code(3);
        drop(tap);
        let added = added.get().expect("they were added").clone();
        let result = ended.json();
        assert_fields(
            &result,
            &[
                ("status", json!("incomplete")),
                ("passes", json!(1)),
                ("updated", json!(table.pending())),
                ("remaining", json!(3)),
            ],
        );
        let samples: BTreeSet<Key> = serde_json::from_value(result["samples"].clone()).unwrap();
        assert_eq!(samples, added.iter().map(|(key, _)| key.clone()).collect());
        let mut expected = migrated(&table.before);
        expected.extend(added);
        assert_same(&table.now().await, &expected);
        let record = aws.run_record(&input).await.unwrap();
        assert_eq!(record.status, RunStatus::Incomplete);
        let execution = aws.machine.execution(&record.owner.to_string()).await;
        let cause = execution.expect_failure("Backfill.ItemsRemain");
        assert!(cause.contains("3 items are still pending"), "{cause}");
        assert!(ended.stderr.contains("Backfill.ItemsRemain"), "{ended:?}");

        // Started again it has passes again.
        let ended = run_to_end(aws.backfill(&command)).await.expect_code(0);
        assert_fields(
            &ended.json(),
            &[("passes", json!(2)), ("remaining", json!(0))],
        );
        assert_same(&table.now().await, &migrated(&expected));
    });
}

/// Bad input ends the execution with the name of the error and the field, and nothing is written anywhere.
#[test]
fn bad_input_is_refused_before_anything_is_written() {
    deployed(async |aws| {
        let table = aws.table("refused", 20).await;
        let tap = aws.wire.listen("refused");
        let good = input("refused", json!({}));
        for (bad, error, words) in [
            (
                input("refused", json!({"tabel": 1})),
                "InvalidInput",
                "tabel",
            ),
            (
                input("refused", json!({"max_passes": "3"})),
                "InvalidInput",
                "max_passes",
            ),
            (
                input("refused", json!({"set": {"id": 1}})),
                "InvalidInput",
                "key attribute",
            ),
            (input("nowhere", json!({})), "TableNotFound", "nowhere"),
            (json!([]), "InvalidInput", "input"),
        ] {
            let cause = aws.machine.run(&bad).await.expect_failure(error);
            assert!(cause.contains(words), "{cause}");
        }
        let ended = run_to_end(aws.backfill(&start("nowhere", "")))
            .await
            .expect_code(2);
        assert_eq!(ended.stdout, "");
        for words in [
            "TableNotFound",
            "there is no table nowhere",
            &aws.wire.endpoint,
        ] {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
        assert_eq!(aws.run_record(&good).await, None);
        assert_eq!(aws.run_record(&input("nowhere", json!({}))).await, None);

        // Another spec or number of segments under the id of a run: refused with both shown, and the run stays.
        let mine = input("refused", json!({"run_id": "refused", "total_segments": 2}));
        aws.machine.run(&mine).await.expect_success();
        table.assert_migrated().await;
        let record = aws.run_record(&mine).await;
        let updates: u64 = tap.seen().iter().map(|seen| seen.call.updates()).sum();
        assert_eq!(updates, table.pending(), "none before the good input");
        for (more, words) in [
            ("--set other=7", [r#"{"N":"1"}"#, r#"{"N":"7"}"#]),
            ("--segments 5", ["2 segments", "5 were requested"]),
        ] {
            let command = start("refused", &format!("--run-id refused {more}"));
            let ended = run_to_end(aws.backfill(&command)).await.expect_code(2);
            for words in words {
                // The cause is JSON in JSON.
                let stderr = ended.stderr.replace('\\', "");
                assert!(stderr.contains(words), "{words}: {stderr}");
            }
        }
        assert_eq!(aws.run_record(&mine).await, record);
        table.assert_migrated().await;
    });
}

/// honest-end: an expression that DynamoDB refuses ends the run with DynamoDB's own message, before a second segment is
/// begun.
#[test]
fn honest_end_of_a_spec_that_dynamodb_refuses() {
    deployed(async |aws| {
        let table = aws.table("invalid", 50).await;
        let mut command = aws.backfill(&format!(
            "start --stack-name {STACK} --table invalid --run-id invalid --json --value :v=1"
        ));
        command.args(["--pending", "attribute_not_exists(a)"]);
        // `status` is a reserved word.
        command.args(["--update", "SET a = :v, status = :v"]);
        let ended = run_to_end(command).await.expect_code(2);
        table.assert_untouched().await;
        assert_fields(
            &ended.json(),
            &[("status", json!("failed")), ("matched", json!(0))],
        );
        let invalid = input("invalid", json!({"run_id": "invalid"}));
        let record = aws.run_record(&invalid).await.unwrap();
        assert_eq!(record.status, RunStatus::Failed);
        assert_eq!(record.error.as_deref(), Some("InvalidSpec"));
        let execution = aws.machine.execution(&record.owner.to_string()).await;
        let cause = execution.expect_failure("InvalidSpec");
        assert!(cause.contains("Invalid UpdateExpression"), "{cause}");
        assert_eq!(record.message, cause);
        assert!(ended.stderr.contains(&cause), "{}", ended.stderr);
        assert_eq!(aws.segments(&invalid, 1).await.len(), 1);
    });
}

/// honest-end: an error of one worker that trying again does not mend ends the run with its own name and message, not
/// with the Map's; mended, the run goes on.
#[test]
fn honest_end_of_a_worker_that_fails_for_good() {
    deployed(async |aws| {
        let table = aws.table("denied", 400).await;
        let input = input("denied", json!({}));
        let updates = Arc::new(AtomicU64::new(0));
        let tap = aws.wire.tap("denied", move |call| {
            let nth = call
                .is_update()
                .then(|| updates.fetch_add(call.updates(), Ordering::SeqCst));
            async move {
                // By then the trial chunk is over.
                if nth >= Some(200) {
                    return Verdict::Refuse {
                        code: "AccessDeniedException",
                        message: "somebody took the permission away",
                    };
                }
                Verdict::Forward
            }
        });
        let ended = run_to_end(aws.backfill(&start("denied", "")))
            .await
            .expect_code(1);
        drop(tap);
        let result = ended.json();
        assert_fields(
            &result,
            &[("status", json!("failed")), ("remaining", json!(null))],
        );
        let segments = aws.segments(&input, 1).await;
        assert_accounted(&result, &segments);
        let record = aws.run_record(&input).await.unwrap();
        assert_eq!(record.status, RunStatus::Failed);
        assert_eq!(record.error.as_deref(), Some("AccessDenied"));
        let execution = aws.machine.execution(&record.owner.to_string()).await;
        let cause = execution.expect_failure("AccessDenied");
        assert!(
            cause.contains("somebody took the permission away"),
            "{cause}"
        );
        assert!(cause.contains("table denied, segment "), "{cause}");
        assert_eq!(record.message, cause);
        // Whatever was acknowledged is in the checkpoints.
        let migrated = table.now().await;
        let written = migrated
            .iter()
            .filter(|(key, item)| table.before[*key] != **item);
        assert_eq!(written.count() as u64, count(&result, "updated"));
        // The last batch that passed may have begun before the 200th update and ended behind it.
        assert!((200..225).contains(&count(&result, "updated")), "{result}");

        let ended = run_to_end(aws.backfill(&start("denied", "")))
            .await
            .expect_code(0);
        assert_fields(
            &ended.json(),
            &[
                ("status", json!("succeeded")),
                ("passes", json!(1)),
                ("updated", json!(table.pending())),
            ],
        );
        table.assert_migrated().await;
    });
}

/// polite, honest-end: a table that throttles is waited for, in the worker itself.
#[test]
fn polite_to_a_table_that_throttles() {
    deployed(async |aws| {
        let table = aws.table("throttled", 200).await;
        let updates = AtomicU64::new(0);
        let _tap = aws.wire.tap("throttled", move |call| {
            // Every third, of the first: a table that goes on like that is all but left alone.
            let nth = call
                .is_update()
                .then(|| updates.fetch_add(1, Ordering::SeqCst));
            let throttled = nth.is_some_and(|nth| nth < 15 && nth.is_multiple_of(3));
            async move {
                if throttled {
                    return Verdict::Refuse {
                        code: "ProvisionedThroughputExceededException",
                        message: "The level of configured provisioned throughput was exceeded",
                    };
                }
                Verdict::Forward
            }
        });
        let input = input("throttled", json!({"total_segments": 2}));
        let execution = aws.machine.run(&input).await;
        for child in aws.machine.children(&execution.arn).await {
            let failed = aws.machine.failed_tasks(&child.arn).await;
            assert_eq!(failed, [""; 0]);
        }
        execution.expect_success();
        table.assert_migrated().await;
        let updated = count(&status(aws, &input).await, "updated");
        assert_eq!(updated, table.pending());
    });
}

/// budget: workers in Lambda share it, and follow a new one within ten seconds.
#[test]
fn budget_is_shared_and_followed_deployed() {
    deployed(async |aws| {
        let table = aws.table("budget", 600).await;
        let input = input("budget", json!({}));
        let tap = aws.wire.listen("budget");
        let command =
            Running::start(&mut aws.backfill(&start("budget", "--segments 4 --max-wcu 20")));
        let updates = || -> Vec<_> {
            let seen = tap.seen().into_iter();
            seen.filter(|seen| seen.call.is_update()).collect()
        };
        let first = eventually("the first update of the Map", async || {
            // Before it comes the trial chunk, alone.
            let segments = aws.segments(&input, 1).await;
            (segments.len() > 1).then(Instant::now)
        })
        .await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let consumed: f64 = updates()
            .iter()
            .filter(|seen| seen.at > first)
            .map(|seen| seen.consumed)
            .sum();
        let allowed = 20.0 * first.elapsed().as_secs_f64();
        // Each of the four may have a request more.
        assert!(
            (0.5 * allowed..=allowed + 8.0).contains(&consumed),
            "{consumed} of {allowed}"
        );

        let rate = format!(
            "rate --checkpoint-table {CHECKPOINTS} --run-id {} --max-wcu 4000",
            run_id(&input)
        );
        run_to_end(aws.backfill(&rate)).await.expect_code(0);
        let changed = Instant::now();
        let result = command.end().await.expect_code(0).json();
        // Nearly all was still to be done, and takes a second at the new rate.
        let last = updates().last().expect("updates").at;
        assert!(
            last < changed + Duration::from_secs(12),
            "{:?}",
            last - changed
        );
        assert_fields(
            &result,
            &[
                ("updated", json!(table.pending())),
                ("max_wcu", json!(4000)),
            ],
        );
        table.assert_migrated().await;
    });
}

/// What a live application does to an item, on top of what the backfill does.
#[derive(Clone, Copy, PartialEq)]
enum Live {
    /// Sets a value of its own, over whatever is there.
    Sets,
    Deletes,
}

impl Live {
    async fn act(self, aws: &Aws, table: &str, key: &Key, value: &str) {
        let client = &aws.client;
        match self {
            Live::Sets => {
                let update = client
                    .update_item()
                    .table_name(table)
                    .set_key(Some(to_item(&key.0)))
                    .update_expression("SET test = :live")
                    .condition_expression("attribute_exists(id)")
                    .expression_attribute_values(":live", string(value));
                update.send().await.expect("a live write");
            }
            Live::Deletes => {
                let delete = client
                    .delete_item()
                    .table_name(table)
                    .set_key(Some(to_item(&key.0)));
                delete.send().await.expect("a live delete");
            }
        }
    }
}

/// never-overwrite, never-resurrect, only-U, accounting: a live application sets and deletes items all the time while
/// the deployed backfill runs, some of them in the very moment between the page that finds an item pending and the
/// update of it.
#[test]
fn never_overwrite_and_never_resurrect_deployed() {
    deployed(async |aws| {
        const NAME: &str = "live";
        let table = aws.table(NAME, 800).await;
        // By the item's place in the table: raced, vanished (both at the last moment), and the application's own.
        let part = |remainder: usize| -> BTreeSet<Key> {
            let pending = table
                .before
                .iter()
                .filter(|(_, item)| !item.contains_key("test"));
            let part = pending.enumerate().filter(|(i, _)| i % 8 == remainder);
            part.map(|(_, (key, _))| key.clone()).collect()
        };
        let (raced, vanished, set, deleted) = (part(0), part(1), part(2), part(3));
        let at_last = {
            let (raced, vanished) = (raced.clone(), vanished.clone());
            aws.wire.tap(NAME, move |call| {
                let keys = if call.is_update() {
                    call.keys()
                } else {
                    Vec::new()
                };
                let live = |key: &Key| match () {
                    () if raced.contains(key) => Some(Live::Sets),
                    () if vanished.contains(key) => Some(Live::Deletes),
                    () => None,
                };
                let acts: Vec<_> = keys.into_iter().map(|key| (live(&key), key)).collect();
                async move {
                    // Time for the others.
                    call.dawdle().await;
                    for (live, key) in &acts {
                        if let Some(live) = live {
                            live.act(aws, NAME, key, "at the last moment").await;
                        }
                    }
                    Verdict::Forward
                }
            })
        };
        let run = Running::start(&mut aws.backfill(&start(NAME, "--segments 4")));
        // Round after round over its own items, until the backfill has ended.
        let (ended, over) = watch::channel(false);
        let application = tokio::spawn({
            let (set, deleted) = (set.clone(), deleted.clone());
            async move {
                let mut rounds = 0;
                let mut deletes = deleted.iter();
                while !*over.borrow() {
                    for key in &set {
                        Live::Sets
                            .act(aws, NAME, key, &format!("round {rounds}"))
                            .await;
                        if let Some(key) = deletes.next() {
                            Live::Deletes.act(aws, NAME, key, "").await;
                        }
                    }
                    rounds += 1;
                }
                rounds
            }
        });
        let result = run.end().await;
        ended.send(true).expect("the application is there");
        let rounds = application.await.expect("the application works");
        let result = result.expect_code(0).json();
        drop(at_last);

        let mut expected = migrated(&table.before);
        for key in raced.iter().chain(&set) {
            let value = match raced.contains(key) {
                true => "at the last moment".to_owned(),
                false => format!("round {}", rounds - 1),
            };
            expected
                .get_mut(key)
                .unwrap()
                .insert("test".into(), Value::S(value));
        }
        expected.retain(|key, _| !vanished.contains(key) && !deleted.contains(key));
        assert_same(&table.now().await, &expected);

        assert_fields(
            &result,
            &[
                ("status", json!("succeeded")),
                ("passes", json!(1)),
                ("remaining", json!(0)),
            ],
        );
        assert_accounted(&result, &aws.segments(&input(NAME, json!({})), 1).await);
        // The application's own items may have been first or second.
        let bounds = |least: &BTreeSet<Key>, more: &BTreeSet<Key>| {
            least.len() as u64..=(least.len() + more.len()) as u64
        };
        let (by, at) = (count(&result, "raced"), bounds(&raced, &set));
        assert!(at.contains(&by), "raced: {by} in {at:?}");
        let (by, at) = (count(&result, "vanished"), bounds(&vanished, &deleted));
        assert!(at.contains(&by), "vanished: {by} in {at:?}");
    });
}

/// Ctrl-C stops the following, not the run, and says so.
#[test]
fn interrupting_start_leaves_the_run_alone() {
    deployed(async |aws| {
        let table = aws.table("unwatched", 100).await;
        let input = input("unwatched", json!({}));
        let (let_go, held) = watch::channel(false);
        let _tap = aws.wire.tap("unwatched", move |call| {
            let mut held = held.clone();
            async move {
                if call.is_update() {
                    let _ = held.wait_for(|let_go| *let_go).await;
                }
                Verdict::Forward
            }
        });
        let command = Running::start(&mut aws.backfill(&start("unwatched", "")));
        let arn = eventually("the run", async || {
            Some(aws.run_record(&input).await?.owner.to_string())
        })
        .await;
        command.interrupt();
        let ended = command.end().await.expect_code(4);
        assert!(ended.stderr.contains("the run goes on"), "{}", ended.stderr);
        assert!(ended.stderr.contains(&arn), "{}", ended.stderr);
        assert_fields(&ended.json(), &[("status", json!("running"))]);
        let_go.send(true).expect("updates are held");
        aws.machine.end_of(&arn).await.expect_success();
        table.assert_migrated().await;
    });
}

#[test]
fn second_interpreter_clean_run() {
    second_interpreter(async |aws, moto| {
        let table = aws.table("moto-clean", 200).await;
        let output = moto
            .run(&input("moto-clean", json!({})))
            .await
            .expect_success();
        assert_fields(
            &output,
            &[("status", json!("succeeded")), ("pass", json!(1))],
        );
        table.assert_migrated().await;
    });
}

#[test]
fn second_interpreter_several_chunks_per_segment() {
    second_interpreter(async |aws, moto| several_chunks(aws, moto, "moto-several-chunks").await);
}

#[test]
fn second_interpreter_second_pass() {
    second_interpreter(async |aws, moto| second_pass(aws, moto, "moto-second-pass").await);
}
