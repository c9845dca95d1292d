//! Least privilege: the deployed functions with their roles enforced. Each role is enough, each of its actions is needed,
//! and those of planner and verifier cannot write to the target table.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use backfill_core::{Item, Value};
use backfill_e2e::aws::{
    Aws, STACK, assert_same, eventually, input, run_id, run_to_end, tool, with_roles_enforced,
};
use backfill_e2e::command::Ended;
use backfill_e2e::roles::{Iam, assert_denied};
use backfill_e2e::tables::{migrated, put_all, stuff};
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
        each_action_of_the_guard_is_needed(aws, &iam).await;
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

/// What asks the guard function for something that needs an action of its role: events as Lambda brings them.
struct Asked {
    stream: String,
    /// The sequence number of a record in it.
    sequence: String,
    shard: String,
}

impl Asked {
    async fn of(aws: &Aws) -> Asked {
        let stream = aws.guard_mapping(STACK)["EventSourceArn"].clone();
        let stream = stream.as_str().expect("an ARN").to_owned();
        let (shard, sequence) = aws.first_record(&stream);
        Asked {
            stream,
            sequence,
            shard,
        }
    }

    /// A record of this item, as it was written.
    fn record(&self, item: &Item) -> Json {
        let keys: Item = item
            .iter()
            .filter(|(name, _)| ["id", "created"].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        json!({"Records": [{"eventSource": "aws:dynamodb", "eventSourceARN": self.stream, "eventName": "INSERT", "eventID": "1",
            "dynamodb": {"ApproximateCreationDateTime": 1.8e9, "Keys": keys, "NewImage": item, "SequenceNumber": self.sequence,
                "SizeBytes": 9, "StreamViewType": "NEW_IMAGE"}}]})
    }

    /// A message about a record that was given up.
    fn message(&self) -> Json {
        let body = json!({"DDBStreamBatchInfo": {"shardId": self.shard, "startSequenceNumber": self.sequence,
            "endSequenceNumber": self.sequence, "streamArn": self.stream}});
        json!({"Records": [{"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:any",
            "messageId": "m-1", "body": body.to_string()}]})
    }
}

/// Takes away one action of the guard after the other: what needs it fails, and names it in the answer or in the log.
async fn each_action_of_the_guard_is_needed(aws: &Aws, iam: &Iam) {
    aws.change_guard_mapping(STACK, &json!({"Enabled": false}));
    let on = format!("guard on --stack-name {STACK} --table stuff --set guarded=1");
    run_to_end(aws.backfill(&on)).await.expect_code(0);
    // From here on the test brings it what it is to do.
    aws.change_guard_mapping(STACK, &json!({"Enabled": false}));
    let asked = Asked::of(aws).await;
    let look = json!({"look": true});
    let tables = iam.role("GuardFunctionRole");
    let mut stream = iam.role_with("GuardFunctionRole", "stream");
    // ministack does not know which stream a call is about.
    stream.widen("ReadStream");
    // The mapping is off, which a look finds.
    let found = aws.invoke_guard(&look);
    assert_eq!(found["losses"][0]["kind"], "off", "{found}");
    assert_eq!(
        aws.invoke_guard(&asked.message()),
        json!({"batchItemFailures": []})
    );
    let mut number = 0;
    for role in [tables, stream] {
        for (statement, action) in role.actions() {
            let event = match action.as_str() {
                // Lambda itself asks, before it makes a mapping.
                "dynamodb:ListStreams" => continue,
                "dynamodb:UpdateItem" => {
                    let mut item = stuff(number);
                    item.retain(|name, _| ["id", "created"].contains(&name.as_str()));
                    put_all(&aws.client, "stuff", &[item.clone()]).await;
                    asked.record(&item)
                }
                "dynamodb:GetItem" | "dynamodb:GetRecords" | "dynamodb:GetShardIterator" => {
                    asked.message()
                }
                _ => look.clone(),
            };
            number += 1;
            let before = aws.logs("guard").matches(action.as_str()).count();
            role.deny(&statement, &action);
            let answer = aws.invoke_guard(&event);
            role.restore();
            let said = aws.logs("guard").matches(action.as_str()).count() > before;
            assert!(
                answer.to_string().contains(&action) || said,
                "without {action} of {statement}: {answer}"
            );
        }
    }
    assert_eq!(number, 9);
    cannot_write_elsewhere(aws, iam).await;
    let off = format!("guard off --stack-name {STACK} --table stuff");
    run_to_end(aws.backfill(&off)).await.expect_code(0);
}

/// With what the guard function is allowed, other tables are refused. ministack knows no condition by leading keys: that of its records
/// stands in `template/guard.rs`.
async fn cannot_write_elsewhere(aws: &Aws, iam: &Iam) {
    let client = iam.role("GuardFunctionRole").assume().await;
    let scan = client.scan().table_name("stuff").send().await;
    assert_eq!(
        scan.expect_err("it reads no table").code(),
        Some("AccessDeniedException")
    );
    let before = aws.items_of("other").await;
    let mut item = stuff(0);
    item.insert("test".into(), Value::N("666".into()));
    assert_denied(&client, "other", &item).await;
    assert_eq!(aws.items_of("other").await, before);
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
