//! budget and polite: workers that share a rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backfill_e2e::aws::{CHECKPOINTS, Running, deployed, eventually, input, run_id, run_to_end};
use backfill_e2e::wire::Verdict;
use serde_json::json;

use crate::stack::{assert_fields, count, start, status};

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
                    return Verdict::Throttle {
                        reason: "TableWriteMaxOnDemandThroughputExceeded",
                        resource: "arn:aws:dynamodb:us-east-1:0:table/throttled",
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
