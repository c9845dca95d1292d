//! Verification that recurs: a schedule starts a dry run, and what it finds after a proof reaches whoever is subscribed.

use backfill_e2e::aws::{SCHEDULED, STACK, deployed, eventually, run_id, run_to_end};
use serde_json::{Value as Json, json};

use super::events::name_of;
use crate::stack::{assert_fields, start, status};

/// The schedule of the stack starts dry runs, which change nothing. One that finds items pending again fails, and its message names
/// them.
#[test]
fn a_schedule_tells_of_items_that_are_pending_again() {
    deployed(async |aws| {
        let mut queue = aws.subscribe("scheduled");
        let table = aws.table("scheduled", 60).await;
        let mut dry: Json = serde_json::from_str(SCHEDULED).expect("it is JSON");
        dry["dry_run"] = true.into();
        run_to_end(aws.backfill(&start("scheduled", "")))
            .await
            .expect_code(0);
        table.assert_migrated().await;
        let (key, _) = table.old_writer_adds(0).await;
        let before = table.now().await;

        let schedule = aws.copy_schedule("scheduled-now");
        let target = &schedule["Target"];
        assert_eq!(target["Input"], format!(r#"{{"verify": {SCHEDULED}}}"#));
        let machine = format!("stateMachine:{STACK}");
        assert!(
            target["Arn"].as_str().unwrap().ends_with(&machine),
            "{schedule}"
        );
        let started = eventually("a dry run", async || aws.run_record(&dry).await);
        let arn = started.await.owner.to_string();
        let execution = aws.machine.end_of(&arn).await;
        let cause = execution.expect_failure("Backfill.PendingAgain");
        assert!(cause.contains("1 of 61 items are pending again"), "{cause}");
        let message = eventually("its message", async || queue.about(name_of(&arn))).await;
        let said = message["detail"]["cause"].as_str().expect("a cause");
        assert_eq!(said, cause);
        assert!(said.contains(&format!("such as {key}")), "{said}");
        let to_do = message["what to do"].as_str().expect("a page");
        assert!(to_do.contains("An old writer is back"), "{to_do}");
        assert_eq!(table.now().await, before, "a dry run changes nothing");

        // By hand it ends as it always did, and says the same.
        let by_hand = run_to_end(aws.backfill(&start("scheduled", "--dry-run"))).await;
        let by_hand = by_hand.expect_code(3);
        assert_fields(
            &by_hand.json(),
            &[("status", json!("incomplete")), ("remaining", json!(1))],
        );
        assert!(by_hand.stderr.contains("pending again"), "{by_hand:?}");

        // Once it is mended, the next verification ends well, under a name that no other has.
        run_to_end(aws.backfill(&start("scheduled", "")))
            .await
            .expect_code(0);
        aws.copy_schedule("scheduled-again");
        let ended = eventually("another dry run", async || {
            let run = aws.run_record(&dry).await?;
            run.status
                .is_finished()
                .then_some(run)
                .filter(|run| run.pass == 3)
        });
        let again = ended.await.owner.to_string();
        assert_ne!(name_of(&again), name_of(&arn));
        aws.machine.end_of(&again).await.expect_success();
        let run = status(aws, &dry).await;
        assert_fields(
            &run,
            &[
                ("run_id", json!(run_id(&dry))),
                ("status", json!("succeeded")),
            ],
        );
    });
}
