//! Least privilege: the deployed functions with their roles enforced. Each role is enough, each of its actions is needed,
//! and those of planner and verifier cannot write to the target table.

use backfill_core::Value;
use backfill_e2e::aws::{
    Aws, STACK, assert_same, eventually, input, run_id, run_to_end, tool, with_roles_enforced,
};
use backfill_e2e::command::Ended;
use backfill_e2e::roles::{Iam, assert_denied};
use backfill_e2e::tables::{migrated, stuff};
use backfill_e2e::wire::{Call, Verdict};
use serde_json::{Value as Json, json};

/// One test, because the roles are the same for all that goes on in the stack.
#[test]
fn roles_allow_what_a_run_needs_and_nothing_else() {
    with_roles_enforced(async |aws| {
        let table = aws.fill("stuff", 100).await;
        let run = aws.machine.run(&input("stuff", json!({}))).await;
        run.expect_success();
        assert_same(&table.now().await, &migrated(&table.before));

        let other = aws.table("other", 10).await;
        let execution = aws.machine.run(&input("other", json!({}))).await;
        let cause = execution.expect_failure("AccessDenied");
        assert!(cause.contains("dynamodb:DescribeTable"), "{cause}");
        other.assert_untouched().await;

        let iam = aws.iam();
        each_action_is_needed(aws, &iam).await;
        alarms_are_read(aws, &iam).await;
        planner_and_verifier_cannot_write(aws, &iam).await;
        operators_do_what_their_policies_are_for(aws, &iam).await;
        the_schedule_starts_executions_alone(aws, &iam);
    });
}

/// What an action is for decides how the run that lacks it fails.
enum Without {
    /// The run fails and names the action.
    Fails,
    /// It goes on: by UpdateItem, or with nothing to see of its verification.
    GoesOn,
    /// Only rejected items need it.
    FailsWithRejectedItems,
    /// Only tables without transactions need it.
    FailsWithoutTransactions,
}

/// Refuses updates in the words in which DynamoDB refuses arithmetic on text.
fn refuse_updates(call: &Call) -> Verdict {
    match call.operation.as_str() {
        "UpdateItem" => Verdict::Refuse {
            code: "ValidationException",
            message: "An operand in the update expression has an incorrect data type",
        },
        _ => Verdict::Forward,
    }
}

/// Refuses transactions, as some tables do.
fn refuse_transactions(call: &Call) -> Verdict {
    match call.operation.as_str() {
        "TransactWriteItems" => Verdict::Refuse {
            code: "ValidationException",
            message: "Transactions are not possible here",
        },
        _ => Verdict::Forward,
    }
}

/// Takes away one action after the other.
async fn each_action_is_needed(aws: &Aws, iam: &Iam) {
    let mut number = 0;
    for (function, role) in [
        ("planner", "PlannerFunctionRole"),
        ("worker", "WorkerFunctionRole"),
        ("verifier", "VerifierFunctionRole"),
    ] {
        let role = iam.role(role);
        for (statement, action) in role.actions() {
            number += 1;
            let without = match (action.as_str(), statement.as_str()) {
                // ministack knows the operation by another name and never allows it.
                ("dynamodb:PartiQLUpdate", _) => Without::GoesOn,
                // Nobody sees how far the count has come, and that is all.
                ("dynamodb:UpdateItem", "NoteCount") => Without::GoesOn,
                ("dynamodb:Query", "SegmentRecords") => Without::FailsWithRejectedItems,
                ("dynamodb:Query", _) if function == "worker" => Without::FailsWithoutTransactions,
                _ => Without::Fails,
            };
            role.deny(&statement, &action);
            let attribute = format!("without{number}");
            let request = json!({"table": "stuff", "set": {attribute: 1}, "max_rejected": 0});
            let refusal: Option<fn(&Call) -> Verdict> = match without {
                Without::FailsWithRejectedItems => Some(refuse_updates),
                Without::FailsWithoutTransactions => Some(refuse_transactions),
                Without::Fails | Without::GoesOn => None,
            };
            let refusing = refusal.map(|refuse| {
                aws.wire
                    .tap("stuff", move |call| std::future::ready(refuse(&call)))
            });
            let execution = aws.machine.run(&request).await;
            role.restore();
            drop(refusing);
            match without {
                Without::GoesOn => drop::<Json>(execution.expect_success()),
                _ => {
                    let cause = execution.expect_failure("AccessDenied");
                    assert!(
                        cause.contains(&action),
                        "{function} without {action}: {cause}"
                    );
                }
            }
        }
    }
    assert!(number >= 12, "{number} actions");
}

/// With the parameter for it all three functions may read alarms, and each needs to. A run whose planner may not is refused; a worker
/// or a verifier that may not holds it, with the reason, until it may.
async fn alarms_are_read(aws: &Aws, iam: &Iam) {
    const ACTION: &str = "cloudwatch:DescribeAlarms";
    aws.set_alarm("slow", "OK");
    let look = iam.operator(&["LookPolicy"]);
    let held = async |input: &Json| {
        let mut status = aws.backfill(&format!("status --run-id {} --json", run_id(input)));
        status.envs(look.iter().map(|(name, value)| (name, value)));
        let status = run_to_end(status).await;
        // There may be no run yet.
        (status.code == 0).then(|| status.json()["held"].clone())
    };
    for (function, role) in [
        ("planner", "PlannerFunctionRole"),
        ("worker", "WorkerFunctionRole"),
        ("verifier", "VerifierFunctionRole"),
    ] {
        let input =
            json!({"table": "stuff", "set": {format!("by_{function}"): 1}, "pause_when": "slow"});
        let role = iam.role_with(role, "alarm");
        let actions = role.actions();
        let [(statement, action)] = &actions[..] else {
            panic!("one action: {actions:?}");
        };
        assert_eq!(action, ACTION);
        role.deny(statement, action);
        if function == "planner" {
            let cause = aws.machine.run(&input).await.expect_failure("AccessDenied");
            assert!(cause.contains(ACTION), "{cause}");
            role.restore();
            continue;
        }
        let execution = aws.machine.start(&input).await;
        let hold = eventually("a hold", async || {
            held(&input).await.filter(|held| !held.is_null())
        });
        let hold = hold.await;
        role.restore();
        let why = hold["why"].as_str().expect("a sentence");
        assert!(why.starts_with("alarm slow cannot be read: "), "{why}");
        assert!(why.contains(ACTION), "{why}");
        aws.machine.end_of(&execution).await.expect_success();
        assert_eq!(held(&input).await, Some(Json::Null));
    }
}

/// With what these functions are allowed, every way to write is refused.
async fn planner_and_verifier_cannot_write(aws: &Aws, iam: &Iam) {
    for (role, reads) in [
        ("PlannerFunctionRole", false),
        ("VerifierFunctionRole", true),
    ] {
        let client = iam.role(role).assume().await;
        // The credentials are good for something.
        let scan = client.scan().table_name("stuff").limit(1).send().await;
        assert_eq!(scan.is_ok(), reads, "{scan:?}");
        let describe = client.describe_table().table_name("stuff").send().await;
        assert_eq!(describe.is_ok(), !reads, "{describe:?}");
        let before = aws.items_of("stuff").await;
        let mut item = stuff(0);
        item.insert("test".into(), Value::N("666".into()));
        assert_denied(&client, "stuff", &item).await;
        assert_eq!(aws.items_of("stuff").await, before);
    }
}

/// The schedule's role starts executions of this state machine, for which it needs its one action, and does nothing else.
fn the_schedule_starts_executions_alone(aws: &Aws, iam: &Iam) {
    let (role, credentials) = iam.role_with("VerifyScheduleRole", "executions").twin();
    let actions = role.actions();
    let [(statement, action)] = &actions[..] else {
        panic!("one action: {actions:?}");
    };
    assert_eq!(action, "states:StartExecution");
    let ask = |arguments: &str| {
        let mut command = tool("aws", "aws");
        command.args(arguments.split_whitespace());
        command.envs(credentials.iter().map(|(name, value)| (name, value)));
        let ended = command.env("AWS_ENDPOINT_URL", &aws.endpoint).output();
        let ended = ended.expect("the AWS CLI starts");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        (ended.status.success(), said)
    };
    let machine = format!("arn:aws:states:us-east-1:000000000000:stateMachine:{STACK}");
    let start = format!("stepfunctions start-execution --input {{}} --state-machine-arn {machine}");
    let (is_allowed, said) = ask(&start);
    assert!(is_allowed, "{said}");
    role.deny(statement, action);
    let without = ask(&start);
    role.restore();
    for (is_allowed, said) in [
        without,
        ask(&format!("{start}-other")),
        ask(&format!(
            "stepfunctions list-executions --state-machine-arn {machine}"
        )),
        ask("dynamodb scan --table-name stuff"),
    ] {
        assert!(!is_allowed && said.contains("AccessDenied"), "{said}");
    }
}

/// Whoever looks, steers and starts by the policies of the template can do that, and no more.
async fn operators_do_what_their_policies_are_for(aws: &Aws, iam: &Iam) {
    let [look, steer, start] = [
        &["LookPolicy"][..],
        &["LookPolicy", "SteerPolicy"],
        &["LookPolicy", "StartPolicy"],
    ]
    .map(|policies| iam.operator(policies));
    let run = async |who: &[(&str, String)], command: &str| {
        let mut command = aws.backfill(command);
        command.envs(who.iter().map(|(name, value)| (name, value)));
        run_to_end(command).await
    };
    let refused = |ended: Ended, action: &str| {
        assert!(ended.code != 0, "{action}: {ended:?}");
        assert!(ended.stderr.contains(action), "{action}: {ended:?}");
    };
    let plan = "plan --stack-name backfill --table stuff --set operated=1 --json";
    let plan = run(&start, plan).await.expect_code(0).json();
    // ministack looks for the tags of a table and for what is reserved for a function under other names.
    for fact in ["kinesis", "time_to_live", "point_in_time_recovery"] {
        let seen = plan["table"][fact].get("known");
        assert!(seen.is_some(), "{fact}: {}", plan["table"]);
    }

    let canary = "start --stack-name backfill --table stuff --set operated=1 --json \
                  --segments 4 --only-segments 0";
    refused(run(&look, canary).await, "states:ListStateMachines");
    let canary = run(&start, canary).await.expect_code(4).json();
    let id = canary["run_id"].as_str().expect("an id");

    let status = format!("status --run-id {id} --json");
    let status = run(&look, &status).await.expect_code(0).json();
    assert_eq!(status["status"], "paused", "{status}");
    let rate = format!("rate --run-id {id} --max-wcu 100");
    refused(run(&look, &rate).await, "dynamodb:");
    run(&steer, &rate).await.expect_code(0);
    let cancel = format!("cancel --run-id {id}");
    refused(run(&start, &cancel).await, "dynamodb:");
    run(&steer, &cancel).await.expect_code(0);
    let directly = "run --table stuff --set operated=1 --checkpoint-table backfill-checkpoints";
    refused(run(&start, directly).await, "dynamodb:");
}
