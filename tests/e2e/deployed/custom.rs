//! Functions with code of somebody's own, by the same template: those of `examples/custom-change`.

use backfill_core::Value;
use backfill_e2e::aws::{
    Aws, CHECKPOINTS, STACK, assert_same, eventually, run_to_end, with_custom_functions,
};
use backfill_e2e::command::{Ended, program};
use backfill_e2e::tables::{create, put_all, read_all};
use backfill_e2e::visits::{KNOWN_AGENT, UNKNOWN_AGENT, VISITS, VISITS_KEYS, Visits};
use serde_json::json;

use crate::stack::{assert_fields, assert_guarded};

/// The example's command with these arguments (split at blanks).
async fn custom(aws: &Aws, arguments: &str) -> Ended {
    let program = program("custom-backfill");
    run_to_end(aws.backfill_of(&program, &aws.endpoint, arguments)).await
}

/// honest-end: the functions make of each item what their code says, under the guard; what it can make nothing of is rejected with its
/// reason, and the run is incomplete until that is mended. The next run is started without any command that has the code.
#[test]
fn honest_end_of_functions_with_code_of_your_own() {
    with_custom_functions(async |aws| {
        let visits = Visits::of_each(50);
        create(&aws.client, VISITS, VISITS_KEYS).await;
        put_all(&aws.client, VISITS, &visits.before).await;
        let tap = aws.wire.listen(VISITS);
        let start = format!(
            "start --stack-name {STACK} --table {VISITS} --code user-agent --run-id agents --no-rehearsal --json"
        );
        let result = custom(aws, &start).await.expect_code(3).json();
        let input = json!({"table": VISITS, "code": "user-agent", "run_id": "agents"});
        let rejected = json!(visits.rejected);
        assert_fields(
            &result,
            &[
                ("status", json!("incomplete")),
                ("matched", json!(visits.updated + visits.rejected)),
                ("updated", json!(visits.updated)),
                ("rejected", rejected.clone()),
                ("raced", json!(0)),
                ("vanished", json!(0)),
                ("contended", json!(0)),
                ("remaining", rejected),
            ],
        );
        assert_guarded(&tap);
        let now = read_all(&aws.client, VISITS, VISITS_KEYS).await;
        assert_same(&now, &visits.after);
        let list = format!("rejected --run-id agents --json --checkpoint-table {CHECKPOINTS}");
        let list = custom(aws, &list).await.expect_code(3).json();
        let list = list["rejected"].as_array().expect("a list");
        assert_eq!(list.len() as u64, visits.rejected);
        for item in list {
            let reason = "code user-agent: agent names no browser that is known";
            assert_eq!(item["reason"], reason, "{item}");
        }

        let mut mended = visits.before.clone();
        mended.retain(|item| item.get("agent") == Some(&Value::S(UNKNOWN_AGENT.into())));
        for item in &mut mended {
            item.insert("agent".into(), Value::S(KNOWN_AGENT.into()));
        }
        put_all(&aws.client, VISITS, &mended).await;
        let output = aws.machine.run(&input).await.expect_success();
        assert_fields(
            &output,
            &[("status", json!("succeeded")), ("remaining", json!(0))],
        );
        let now = read_all(&aws.client, VISITS, VISITS_KEYS).await;
        let known = now
            .values()
            .filter(|item| item.get("device") == Some(&Visits::known_device()));
        assert_eq!(known.count() as u64, visits.rejected);
    });
}

/// What somebody writes in the old shape becomes what the code makes of it.
#[test]
fn a_guard_with_code_of_your_own() {
    with_custom_functions(async |aws| {
        aws.change_guard_mapping(STACK, &json!({"Enabled": false}));
        let on = format!("guard on --stack-name {STACK} --table stuff --code user-agent");
        custom(aws, &on).await.expect_code(0);
        let id = Value::S("visit".into());
        let item = [
            ("id", id.clone()),
            ("created", Value::N("1".into())),
            ("agent", Value::S(KNOWN_AGENT.into())),
        ];
        let item = item.map(|(name, value)| (name.to_owned(), value)).into();
        put_all(&aws.client, "stuff", &[item]).await;
        let device = eventually("a repair", async || {
            let items = aws.items_of("stuff").await.into_values();
            let mut items = items.filter(|item| item.get("id") == Some(&id));
            items.next()?.get("device").cloned()
        });
        assert_eq!(device.await, Visits::known_device());
        let off = format!("guard off --stack-name {STACK} --table stuff");
        custom(aws, &off).await.expect_code(0);
    });
}

/// Before anything is written, the functions say which code they have.
#[test]
fn code_that_functions_do_not_have_is_refused() {
    with_custom_functions(async |aws| {
        let input = json!({"table": "stuff", "code": "other"});
        let cause = aws.machine.run(&input).await.expect_failure("InvalidInput");
        let expected = "code: other: this program does not have it; it has user-agent";
        assert!(cause.contains(expected), "{cause}");
    });
}
