//! Verification that recurs: what the template makes of it, and that no schedule can write.

use backfill_core::Request;
use serde_json::{Value as Json, json};

use super::evaluate::{Stack, of_type, references, template};

const PARTS: [&str; 3] = [
    "VerificationSchedule",
    "VerifyScheduleGroup",
    "VerifyScheduleRole",
];

fn scheduled(input: &str) -> Stack {
    let schedule = ("VerifySchedule", "rate(1 day)");
    Stack::new(
        "shop",
        &[("TableName", "stuff"), schedule, ("VerifyInput", input)],
    )
}

/// What an execution is started with.
fn input_of(stack: &Stack) -> String {
    let input = stack.at("/Resources/VerificationSchedule/Properties/Target/Input");
    input.as_str().expect("a text").to_owned()
}

/// Without the parameter there is nothing of it, and with it a schedule needs what it is to verify.
#[test]
fn nothing_recurs_unless_that_is_wanted() {
    let template = template();
    for part in PARTS {
        assert_eq!(
            template["Resources"][part]["Condition"], "SchedulesVerification",
            "{part}"
        );
    }
    // Nothing that is always there may lean on what is there at times.
    for (name, resource) in template["Resources"].as_object().expect("resources") {
        let leans = references(&template, resource);
        let leans = PARTS.iter().any(|part| leans.contains(*part));
        assert!(!leans || PARTS.contains(&name.as_str()), "{name}");
    }
    for parameter in ["VerifySchedule", "VerifyInput"] {
        assert_eq!(template["Parameters"][parameter]["Default"], "");
    }
    let rule = &template["Rules"]["ScheduleKnowsWhatToVerify"];
    let is_given = |name: &str| json!({"Fn::Not": [{"Fn::Equals": [{"Ref": name}, ""]}]});
    assert_eq!(rule["RuleCondition"], is_given("VerifySchedule"));
    assert_eq!(rule["Assertions"][0]["Assert"], is_given("VerifyInput"));
}

/// Whatever stands in the parameter, an execution that the schedule starts is a dry run, or is refused.
#[test]
fn no_schedule_can_write() {
    let write = r#"{"table":"stuff","set":{"test":1},"dry_run":false}"#;
    for usual in [r#"{"table":"stuff","set":{"test":1},"max_rcu":100}"#, write] {
        let input = input_of(&scheduled(usual));
        assert_eq!(input, format!(r#"{{"verify": {usual}}}"#));
        let request = Request::from_execution_input(&input).expect("a request");
        assert!(request.settings.dry_run);
    }
    for hostile in [
        "null",
        r#"{},"table":"stuff","set":{"test":1}"#,
        r#"null,"table":"stuff","set":{"test":1}"#,
        r#"{"table":"stuff"}}{"table":"stuff","set":{"test":1}"#,
        r#"{},"verify":null,"table":"stuff","set":{"test":1}"#,
        "${AWS::StackName}",
    ] {
        let input = input_of(&scheduled(hostile));
        let read = Request::from_execution_input(&input);
        assert!(read.is_err(), "{input}");
    }
}

/// Its role is for this group of schedules, in this account, and starts executions of this state machine; it uses the key with which
/// these are encrypted, if there is one.
#[test]
fn the_schedule_starts_executions_and_nothing_else() {
    let plain = scheduled("{}");
    let role = plain.at("/Resources/VerifyScheduleRole/Properties");
    let trust = &role["AssumeRolePolicyDocument"]["Statement"];
    assert_eq!(trust.as_array().expect("a list").len(), 1);
    assert_eq!(
        trust[0]["Principal"],
        json!({"Service": "scheduler.amazonaws.com"})
    );
    let group = plain.at("/Resources/VerifyScheduleGroup/Properties/Name");
    let group = group.as_str().expect("a name");
    let from = json!({"StringEquals": {
        "aws:SourceAccount": "123456789012",
        "aws:SourceArn": format!("arn:aws:scheduler:us-east-1:123456789012:schedule-group/{group}"),
    }});
    assert_eq!(trust[0]["Condition"], from);
    let allowed = |role: &Json| -> Vec<(Json, Json)> {
        let policies = role["Policies"].as_array().expect("policies").iter();
        let statements =
            policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array());
        let statements = statements.flatten();
        statements
            .map(|it| (it["Action"].clone(), it["Resource"].clone()))
            .collect()
    };
    let start = (
        json!("states:StartExecution"),
        json!("BackfillStateMachine"),
    );
    assert_eq!(allowed(&role), std::slice::from_ref(&start));
    let key = "arn:aws:kms:us-east-1:123456789012:key/executions";
    let with_key = Stack::new("shop", &[("StateMachineKmsKey", key)]);
    let role = with_key.at("/Resources/VerifyScheduleRole/Properties");
    let use_key = (json!(["kms:Decrypt", "kms:GenerateDataKey"]), json!(key));
    assert_eq!(allowed(&role), [start, use_key]);
    let schedule = plain.at("/Resources/VerificationSchedule/Properties");
    assert_eq!(schedule["GroupName"], "VerifyScheduleGroup");
    assert_eq!(schedule["ScheduleExpression"], "rate(1 day)");
    assert_eq!(schedule["Target"]["Arn"], "BackfillStateMachine");
    assert_eq!(schedule["Target"]["RoleArn"], "VerifyScheduleRole.Arn");
    // The other one asks the guard whether it watches.
    let template = template();
    let schedules: Vec<&str> = of_type(&template, "AWS::Scheduler::Schedule")
        .into_keys()
        .collect();
    assert_eq!(schedules, ["GuardSchedule", "VerificationSchedule"]);
}
