//! one-owner and resume: executions and local runs that take over from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use backfill_core::Key;
use backfill_core::records::{Cursor, RunStatus, SegmentRecord};
use backfill_e2e::aws::{Aws, Running, Table, deployed, eventually, input, run_id, run_to_end};
use backfill_e2e::command::Ended;
use backfill_e2e::wire::{Process, Tap, Verdict};
use serde_json::{Value as Json, json};

use crate::stack::{
    assert_accounted, assert_fields, assert_guarded, count, local_run, start, status,
};

/// A run whose execution was stopped with two of four segments swept and a cursor in each of the others.
struct Stopped {
    pub table: Table,
    pub input: Json,
    /// The execution that was stopped.
    pub arn: String,
    /// Its workers in the middle of a chunk: Step Functions forgets them, nobody stops them.
    pub stale: Vec<Process>,
    /// The segments at the time, by number.
    pub segments: Vec<SegmentRecord>,
}

async fn stop_in_the_middle(aws: &Aws, name: &str) -> Stopped {
    let table = aws.table(name, 1200).await;
    let settings = "--segments 4 --time-box 1s";
    let input = input(name, json!({}));
    let stale = Arc::new(Mutex::new(BTreeMap::new()));
    let saved = Arc::new(Mutex::new(BTreeSet::new()));
    let (frozen, has_cursor) = (stale.clone(), saved.clone());
    let tap = aws.wire.tap(name, move |call| {
        let (frozen, has_cursor) = (frozen.clone(), has_cursor.clone());
        async move {
            // The second half of the segments comes to its first checkpoint, and no further.
            if call.is_sweep() && call.segment() >= Some(2) && call.start_key().is_some() {
                while !has_cursor.lock().unwrap().contains(&call.segment()) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let process = Process::of(&call);
                process.freeze();
                frozen.lock().unwrap().insert(call.segment(), process);
            }
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
        let checkpointed = segments.iter().filter(|s| s.cursor.start_key().is_some());
        let checkpointed = checkpointed.map(|segment| Some(u64::from(segment.segment)));
        saved.lock().unwrap().extend(checkpointed);
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
    assert_stale_do_no_harm(aws, &stopped, &after).await;
}

/// one-owner: the workers of the stopped execution wake up, and can do no harm any more.
async fn assert_stale_do_no_harm(aws: &Aws, stopped: &Stopped, segments: &[SegmentRecord]) {
    let input = &stopped.input;
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
        // Refused at its checkpoint; or at its next chunk, if it took its answer for lost.
        assert!(
            ["Fenced", "NotRunning"].contains(&child.error.as_str()),
            "{child:#?}"
        );
    }
    assert_eq!(aws.run_record(input).await, record);
    assert_eq!(aws.segments(input, 1).await, segments);
    stopped.table.assert_migrated().await;
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
        // Messages name an execution as people do.
        let name = first.rsplit(':').next().expect("a name");
        assert!(cause.contains(&format!("execution {name} of")), "{cause}");
        let refused = run_to_end(local_run(aws, "held", "")).await.expect_code(2);
        assert!(refused.stderr.contains(name), "{}", refused.stderr);
        assert!(refused.stderr.contains("--take-over"), "{}", refused.stderr);
        // `start` sees it before there is an execution, whose failure would raise an alarm.
        let second = "start --stack-name backfill --table held --set test=1 --segments 2";
        let refused = run_to_end(aws.backfill(second)).await.expect_code(2);
        assert!(refused.stderr.contains(name), "{}", refused.stderr);
        assert!(refused.stderr.contains("--take-over"), "{}", refused.stderr);
        assert!(
            !refused.stderr.contains("started execution"),
            "{}",
            refused.stderr
        );
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
