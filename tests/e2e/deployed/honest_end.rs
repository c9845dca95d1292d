//! honest-end: what is refused, and workers that fail for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backfill_core::records::RunStatus;
use backfill_e2e::aws::{STACK, deployed, input, run_to_end};
use backfill_e2e::wire::Verdict;
use serde_json::json;

use crate::stack::{assert_accounted, assert_fields, count, start};

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
            "start --stack-name {STACK} --table invalid --run-id invalid --json --value :v=1 \
             --no-rehearsal"
        ));
        command.args(["--pending", "attribute_not_exists(a)"]);
        // Nothing but DynamoDB knows that the two paths overlap, and the stand-in does not.
        command.args(["--update", "SET a = :v, a.b = :v"]);
        let tap = aws.wire.tap("invalid", |call| {
            let is_update = call.is_update();
            async move {
                match is_update {
                    true => Verdict::Refuse {
                        code: "ValidationException",
                        message: "Invalid UpdateExpression: Two document paths overlap with each other; must remove or \
                                  rewrite one of these paths; path one: [a], path two: [a, b]",
                    },
                    false => Verdict::Forward,
                }
            }
        });
        let ended = run_to_end(command).await.expect_code(2);
        drop(tap);
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
