//! held: a run in AWS while an alarm is in ALARM. Nobody works meanwhile, and one execution waits.

use std::time::Duration;

use backfill_core::records::RunStatus;
use backfill_e2e::aws::{deployed, eventually, input};
use serde_json::json;

/// held, resume, proof: from ALARM to OK no function works for the run, and the execution that it began with ends it.
#[test]
fn held_while_its_alarm_is_in_alarm_deployed() {
    deployed(async |aws| {
        aws.set_alarm("slow", "OK");
        let table = aws.table("guarded", 1_200).await;
        let settings = json!({"total_segments": 4, "max_wcu": 40, "pause_when": "slow"});
        let input = input("guarded", settings);
        let tap = aws.wire.listen("guarded");
        let execution = aws.machine.start(&input).await;
        let updates = || {
            tap.seen()
                .iter()
                .filter(|seen| seen.call.is_update())
                .count()
        };
        eventually("updates", async || (updates() > 5).then_some(())).await;

        aws.set_alarm("slow", "ALARM");
        let hold = eventually("a hold", async || aws.run_record(&input).await?.hold).await;
        assert!(
            hold.why.starts_with("alarm slow is in ALARM"),
            "{}",
            hold.why
        );
        // Every function looks at the record within five seconds.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let before = tap.seen().len();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(tap.seen().len(), before, "the table is left alone");
        let record = aws.run_record(&input).await.expect("a run");
        assert_eq!(record.status, RunStatus::Running);
        assert!(record.hold_looks > 0, "{record:?}");
        drop(tap);

        aws.set_alarm("slow", "OK");
        aws.machine.end_of(&execution).await.expect_success();
        table.assert_migrated().await;
        let record = aws.run_record(&input).await.expect("a run");
        assert_eq!((record.status, record.hold), (RunStatus::Succeeded, None));
        assert_eq!(record.owner.to_string(), execution);
    });
}

/// held: an alarm that is not there is refused before a record is written.
#[test]
fn held_by_an_unknown_alarm_is_refused_deployed() {
    deployed(async |aws| {
        let table = aws.table("unheld", 10).await;
        let input = input("unheld", json!({"pause_when": "nowhere"}));
        let cause = aws.machine.run(&input).await.expect_failure("InvalidInput");
        assert!(
            cause.contains("pause_when: there is no alarm nowhere"),
            "{cause}"
        );
        assert_eq!(aws.run_record(&input).await, None);
        table.assert_untouched().await;
    });
}
