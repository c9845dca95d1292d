//! resume: a canary, a pause, the keys of the view.

use std::time::{Duration, Instant};

use backfill_e2e::aws::{CHECKPOINTS, deployed, eventually, input, run_id, run_to_end};
use backfill_e2e::terminal::Terminal;
use backfill_e2e::wire::Verdict;
use serde_json::{Value as Json, json};

use crate::stack::{assert_accounted, assert_fields, count, start, status};

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

        // No execution is started for nothing: its failure would raise an alarm.
        let resume = format!("resume --run-id {}", record.run_id);
        let refused = run_to_end(aws.backfill(&resume)).await.expect_code(2);
        assert!(
            refused.stderr.contains("is swept already") && !refused.stderr.contains("started"),
            "{}",
            refused.stderr
        );

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
