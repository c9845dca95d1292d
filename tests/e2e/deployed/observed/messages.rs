//! Messages: the ends of runs are told, and no others.

use std::time::Duration;

use super::events::name_of;
use backfill_e2e::aws::{STACK, deployed, eventually, input, run_id};
use backfill_e2e::wire::Verdict;
use serde_json::{Value as Json, json};

#[test]
fn the_ends_of_runs_are_told() {
    deployed(async |aws| {
        let mut queue = aws.subscribe("ends");
        let table = aws.table("ends", 60).await;
        let input = input("ends", json!({"total_segments": 2}));
        let execution = aws.machine.run(&input).await;
        let arn = execution.arn.clone();
        execution.expect_success();
        let message = eventually("the message of success", async || {
            queue.about(name_of(&arn))
        });
        let message = message.await;
        let result = message["detail"]["output"].as_str().expect("an output");
        let result: Json = serde_json::from_str(result).expect("it is JSON");
        assert_eq!(result["status"], "succeeded");
        assert_eq!(result["remaining"], 0);
        assert_eq!(result["run_id"], run_id(&input));

        // Somebody aborts it in the console.
        table.old_writer_adds(0).await;
        let slow = aws.wire.tap("ends", |call| async move {
            match call.is_update() {
                true => Verdict::Delay(Duration::from_secs(5)),
                false => Verdict::Forward,
            }
        });
        let arn = aws.machine.start(&input).await;
        eventually("a worker at work", async || {
            let mut seen = slow.seen().into_iter();
            seen.any(|seen| seen.call.is_update()).then_some(())
        })
        .await;
        aws.machine.stop(&arn).await;
        let message = eventually("the message of the stop", async || {
            queue.about(name_of(&arn))
        });
        assert_eq!(message.await["detail"]["status"], "ABORTED");
        drop(slow);
    });
}

/// Each end of an execution has one rule, and the children of a Map, whose state machine has a name of its own, have none.
#[test]
fn the_ends_of_children_are_not_told() {
    deployed(async |aws| {
        let rules = ["RunSucceededRule", "RunFailedRule", "RunStoppedRule"];
        let told_by = |machine: &str, status: &str| -> Vec<&str> {
            let arn = format!("arn:aws:states:us-east-1:000000000000:stateMachine:{machine}");
            let event = json!({
                "id": "1",
                "source": "aws.states",
                "account": "000000000000",
                "time": "2026-11-20T00:00:00Z",
                "region": "us-east-1",
                "resources": [],
                "detail-type": "Step Functions Execution Status Change",
                "detail": {"stateMachineArn": arn, "status": status, "name": "one"},
            });
            let rules = rules.into_iter();
            rules
                .filter(|rule| aws.rule_matches(rule, &event))
                .collect()
        };
        for (status, rule) in [
            ("SUCCEEDED", "RunSucceededRule"),
            ("FAILED", "RunFailedRule"),
            ("ABORTED", "RunStoppedRule"),
            ("TIMED_OUT", "RunStoppedRule"),
        ] {
            assert_eq!(told_by(STACK, status), [rule], "{status}");
            for other in [format!("{STACK}/Segments"), "other".into()] {
                assert_eq!(told_by(&other, status), [""; 0], "{status} of {other}");
            }
        }
        assert_eq!(told_by(STACK, "RUNNING"), [""; 0]);
    });
}
