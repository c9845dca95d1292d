//! Runs as the state machine drives them, in both of its interpreters.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use backfill_core::Value;
use backfill_core::engine::worker::CHUNKS_PER_CHILD;
use backfill_core::records::Cursor;
use backfill_e2e::aws::{
    Aws, Machine, Running, STACK, assert_same, deployed, eventually, input, run_id, run_to_end,
    second_interpreter, with_one_worker,
};
use backfill_e2e::tables::migrated;
use backfill_e2e::wire::{Process, Verdict};
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use crate::stack::{
    assert_accounted, assert_fields, assert_guarded, count, local_run, start, status,
};

#[test]
fn clean_run() {
    deployed(async |aws| {
        let table = aws.table("clean", 400).await;
        let input = input("clean", json!({}));
        let tap = aws.wire.listen("clean");
        let ended = run_to_end(aws.backfill(&start("clean", "")))
            .await
            .expect_code(0);
        table.assert_migrated().await;
        assert_guarded(&tap);
        let result = ended.json();
        assert_fields(
            &result,
            &[
                ("run_id", json!(run_id(&input))),
                ("table", json!("clean")),
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
        let (of_segment_1, updates) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
        let tap = aws.wire.tap("crash", move |call| {
            let process = Process::of(&call);
            let mut of_segment_1 = of_segment_1.lock().unwrap();
            if call.is_sweep() && call.segment() == Some(1) {
                of_segment_1.get_or_insert(process);
            }
            let (now, before) = match *of_segment_1 == Some(process) {
                true => (
                    call.updates(),
                    updates.fetch_add(call.updates(), Ordering::SeqCst),
                ),
                false => (0, 0),
            };
            // In the middle of the page.
            let crashes = (before..before + now).contains(&40);
            if crashes {
                process.kill();
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
        // A plan for the stack sees that beforehand.
        let plan =
            format!("plan --stack-name {STACK} --table narrow --set test=1 --concurrency 4 --json");
        let plan = run_to_end(aws.backfill(&plan)).await.expect_code(0).json();
        assert_eq!(plan["lambda"]["known"]["reserved"], 1, "{plan}");
        let warnings = plan["warnings"].as_array().unwrap();
        let narrow = |warning: &&Json| warning["code"] == "lambda_too_narrow";
        let warned = warnings.iter().find(narrow).expect("a warning");
        let advice = warned["advice"].as_str().unwrap();
        assert!(
            advice.starts_with("give --concurrency 1 or less"),
            "{advice}"
        );
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
