//! The guard: what the template makes of it, and that a stack without it is as it was.

use std::collections::BTreeSet;

use backfill_e2e::command::root;
use serde_json::{Value as Json, json};

use super::evaluate::{Stack, of_type, parts, references, template};

const STREAM: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/stuff/stream/2026-11-22T00:00:00.000";

fn guarded(more: &[(&str, &str)]) -> Stack {
    let mut parameters = vec![
        ("TableName", "stuff"),
        ("Guard", "true"),
        ("GuardStreamArn", STREAM),
    ];
    parameters.extend(more);
    Stack::new("shop", &parameters)
}

/// What is there with the guard alone.
fn of_guard(template: &Json) -> BTreeSet<&str> {
    let resources = template["Resources"].as_object().expect("resources").iter();
    let mine = resources.filter(|(_, made)| {
        let condition = made["Condition"].as_str();
        condition.is_some_and(|condition| condition.contains("Guard"))
    });
    mine.map(|(name, _)| name.as_str()).collect()
}

/// The same part of the template for a stack without a guard: of each choice what is there then.
fn without(part: &Json) -> Json {
    match part {
        Json::Object(fields) => {
            if fields.get("Fn::If").is_some_and(|of| of[0] == "Guards") {
                return without(&fields["Fn::If"][2]);
            }
            let fields = fields.iter();
            fields
                .map(|(name, of)| (name.clone(), without(of)))
                .collect()
        }
        Json::Array(parts) => parts.iter().map(without).collect(),
        other => other.clone(),
    }
}

#[test]
fn nothing_guards_unless_that_is_wanted() {
    let template = template();
    let mine = of_guard(&template);
    assert!(mine.contains("GuardFunction"));
    for name in template["Resources"].as_object().expect("resources").keys() {
        let is_named = name.contains("Guard") || name == "OldWritersQuery";
        assert_eq!(mine.contains(name.as_str()), is_named, "{name}");
    }
    // Nothing that is always there leans on what is there at times, nor on its parameters.
    for (name, resource) in template["Resources"].as_object().expect("resources") {
        if mine.contains(name.as_str()) {
            continue;
        }
        let leans = references(&template, &without(resource));
        let is_there = |name: &str| {
            let kinds = ["Resources", "Parameters"];
            kinds
                .into_iter()
                .any(|kind| template[kind].get(name).is_some())
        };
        let on_guard = |name: &&String| name.contains("Guard") && is_there(name);
        assert_eq!(leans.iter().find(on_guard), None, "{name}");
    }
    for (parameter, default) in [
        ("Guard", json!("false")),
        ("GuardStreamArn", json!("")),
        ("GuardRepairAlarmThreshold", json!(1)),
    ] {
        let declared = &template["Parameters"][parameter];
        assert_eq!(declared["Default"], default, "{parameter}");
    }
    let dashboard = Stack::new("shop", &[]).at("/Resources/Dashboard/Properties/DashboardBody");
    let dashboard: Json = serde_json::from_str(dashboard.as_str().unwrap()).expect("it is JSON");
    assert!(!dashboard.to_string().to_lowercase().contains("guard"));
    let dashboard = guarded(&[]).at("/Resources/Dashboard/Properties/DashboardBody");
    let dashboard: Json = serde_json::from_str(dashboard.as_str().unwrap()).expect("it is JSON");
    assert!(dashboard.to_string().contains("guard-lost"));
    assert_eq!(
        template["Outputs"]["GuardFunctionName"]["Condition"],
        "Guards"
    );
}

/// A guard watches the stream that it is told, or that of the table that the stack makes. Without either the stack is refused.
#[test]
fn a_guard_knows_its_stream() {
    let rule = &template()["Rules"]["GuardKnowsItsStream"];
    assert_eq!(
        rule["RuleCondition"],
        json!({"Fn::Equals": [{"Ref": "Guard"}, "true"]})
    );
    let known = json!({"Fn::Or": [
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "GuardStreamArn"}, ""]}]},
        {"Fn::Equals": [{"Ref": "CreateTable"}, "true"]},
    ]});
    assert_eq!(rule["Assertions"][0]["Assert"], known);
    let source = "/Resources/GuardStreamMapping/Properties/EventSourceArn";
    assert_eq!(guarded(&[]).at(source), STREAM);
    let made = guarded(&[("CreateTable", "true")]);
    assert_eq!(made.at(source), "TargetTable.StreamArn");
    let stream = "/Resources/TargetTable/Properties";
    assert_eq!(
        made.at(stream)["StreamSpecification"],
        json!({"StreamViewType": "NEW_IMAGE"})
    );
    let without = Stack::new("shop", &[("CreateTable", "true")]).at(stream);
    assert_eq!(without.get("StreamSpecification"), None);
}

/// What Lambda is asked for: no record is passed over without being told, what fails comes again for half of the time for which the
/// stream keeps it, and the mapping is off until somebody switches it on.
#[test]
fn the_mapping_loses_nothing_silently() {
    let stack = guarded(&[]);
    let mapping = stack.at("/Resources/GuardStreamMapping/Properties");
    for (field, expected) in [
        ("Enabled", json!(false)),
        ("StartingPosition", json!("TRIM_HORIZON")),
        ("BatchSize", json!(100)),
        ("MaximumBatchingWindowInSeconds", json!(1)),
        ("BisectBatchOnFunctionError", json!(true)),
        ("FunctionResponseTypes", json!(["ReportBatchItemFailures"])),
        ("MaximumRetryAttempts", json!(-1)),
        ("MaximumRecordAgeInSeconds", json!(12 * 3600)),
        (
            "DestinationConfig",
            json!({"OnFailure": {"Destination": "GuardDeadLetters.Arn"}}),
        ),
        ("FunctionName", json!("GuardFunction.Alias")),
    ] {
        assert_eq!(mapping[field], expected, "{field}");
    }
    // A number here, or a parameter for it, would switch the guard off whenever it changes: the runbook changes the mapping itself.
    assert_eq!(mapping.get("ParallelizationFactor"), None);
    let filters = &mapping["FilterCriteria"]["Filters"];
    let pattern = filters[0]["Pattern"].as_str().expect("a pattern");
    let pattern: Json = serde_json::from_str(pattern).expect("it is JSON");
    assert_eq!(pattern, json!({"eventName": ["INSERT", "MODIFY"]}));
    assert_eq!(filters.as_array().map(Vec::len), Some(1));

    let again = stack.at("/Resources/GuardDeadLettersMapping/Properties");
    assert_eq!(again["FunctionName"], mapping["FunctionName"]);
    assert_eq!(again["EventSourceArn"], "GuardDeadLetters.Arn");
    assert_eq!(
        again["FunctionResponseTypes"],
        mapping["FunctionResponseTypes"]
    );
    // What was given up takes no room from what is written now, nor from other functions.
    assert_eq!(again["BatchSize"], 1);
    assert_eq!(again["ScalingConfig"], json!({"MaximumConcurrency": 2}));
    let queue = stack.at("/Resources/GuardDeadLetters/Properties");
    let timeout = stack.at("/Resources/GuardFunction/Properties/Timeout");
    let hidden = queue["VisibilityTimeout"].as_u64().expect("seconds");
    assert!(hidden >= 6 * timeout.as_u64().expect("seconds"));
    assert_eq!(queue["MessageRetentionPeriod"], json!(14 * 24 * 3600));
    assert_eq!(queue["SqsManagedSseEnabled"], true);

    let look = stack.at("/Resources/GuardSchedule/Properties");
    assert_eq!(look["ScheduleExpression"], "rate(1 hour)");
    assert_eq!(look["Target"]["Arn"], mapping["FunctionName"]);
    let input = look["Target"]["Input"].as_str().expect("a text");
    let input: Json = serde_json::from_str(input).expect("it is JSON");
    assert_eq!(input, json!({"look": true}));
}

/// What each alarm of the guard watches, for how long, and in the runbook: a try that fails and is made again is no alarm, and one that goes
/// on failing is; three looks that did not come are one, whatever the guard did.
#[test]
fn alarms_tell_a_guard_that_fails_from_one_that_nobody_asks() {
    let stack = guarded(&[]);
    let function = json!([{"Name": "FunctionName", "Value": "GuardFunction"}]);
    let table = json!([{"Name": "Table", "Value": "stuff"}]);
    // In seconds: a period. Then how many there are, and how many of them raise the alarm.
    for (alarm, metric, dimensions, periods, missing) in [
        (
            "GuardErrorsAlarm",
            "Errors",
            &function,
            (300, 6, 3),
            "notBreaching",
        ),
        (
            "GuardThrottlesAlarm",
            "Throttles",
            &function,
            (900, 2, 2),
            "notBreaching",
        ),
        (
            "GuardSilentAlarm",
            "GuardLooks",
            &table,
            (900, 12, 12),
            "breaching",
        ),
    ] {
        let made = stack.at(&format!("/Resources/{alarm}/Properties"));
        assert_eq!(made["MetricName"], metric, "{alarm}");
        assert_eq!(made["Dimensions"], *dimensions, "{alarm}");
        assert_eq!(made["Statistic"], "Sum", "{alarm}");
        let (period, all, enough) = periods;
        assert_eq!(made["Period"], period, "{alarm}");
        assert_eq!(made["EvaluationPeriods"], all, "{alarm}");
        assert_eq!(made["DatapointsToAlarm"], enough, "{alarm}");
        assert_eq!(made["Threshold"], 1, "{alarm}");
        assert_eq!(made["TreatMissingData"], missing, "{alarm}");
        let comparison = match missing {
            "breaching" => "LessThanThreshold",
            _ => "GreaterThanOrEqualToThreshold",
        };
        assert_eq!(made["ComparisonOperator"], comparison, "{alarm}");
    }
    // What was dropped is counted for the mapping alone, if that has been asked for.
    let dropped = stack.at("/Resources/GuardDroppedAlarm/Properties");
    assert_eq!(dropped["MetricName"], "DroppedEventCount");
    let mapping = json!([{"Name": "EventSourceMappingUUID", "Value": "GuardStreamMapping"}]);
    assert_eq!(dropped["Dimensions"], mapping);
    assert_eq!(
        (&dropped["Threshold"], &dropped["EvaluationPeriods"]),
        (&json!(1), &json!(1))
    );
    let counted = stack.at("/Resources/GuardStreamMapping/Properties/MetricsConfig/Metrics");
    assert_eq!(counted, json!(["EventCount"]));
    // Three looks that did not come, and no less.
    let look = stack.at("/Resources/GuardSchedule/Properties/ScheduleExpression");
    assert_eq!(look, "rate(1 hour)");
}

/// Whoever gets an alarm of the guard finds what to do in the runbook, finds it on the dashboard, and reads of it among the alarms.
#[test]
fn each_alarm_of_the_guard_is_explained_and_shown() {
    let stack = guarded(&[]);
    let text = |path: &str| std::fs::read_to_string(root().join(path)).expect("a document");
    let (runbook, observe) = (text("docs/RUNBOOK.md"), text("docs/observe.md"));
    let dashboard = stack.at("/Resources/Dashboard/Properties/DashboardBody");
    let dashboard = dashboard.as_str().expect("a text");
    let template = template();
    let alarms = of_type(&template, "AWS::CloudWatch::Alarm");
    let mut guards = 0;
    for alarm in alarms.keys().filter(|name| name.starts_with("Guard")) {
        let made = stack.at(&format!("/Resources/{alarm}/Properties"));
        let name = made["AlarmName"].as_str().expect("a name");
        let name = name.strip_prefix("shop-").expect("of the stack");
        let section = format!("Alarm: {}", name.replace('-', " "));
        assert!(runbook.contains(&format!("\n## {section}\n")), "{name}");
        assert!(observe.contains(&format!("`<stack>-{name}`")), "{name}");
        let described = made["AlarmDescription"].as_str().expect("a description");
        let first = format!("docs/RUNBOOK.md, \"{section}\"");
        assert!(described.contains(&first), "{name}: {described}");
        assert!(
            dashboard.contains(&format!(":alarm:shop-{name}\"")),
            "{name}"
        );
        assert_eq!(made["AlarmActions"], made["OKActions"], "{name}");
        guards += 1;
    }
    assert!(guards >= 9, "{guards}");
}

/// What the function may do: repair items of its table, note what it has done under the key of its guard, read streams of its table,
/// and handle its queue.
#[test]
fn the_guard_does_what_it_is_for_and_nothing_else() {
    let stack = guarded(&[]);
    let role = stack.at("/Resources/GuardFunctionRole/Properties/Policies");
    let table = "arn:aws:dynamodb:us-east-1:123456789012:table/stuff";
    let checkpoints = "arn:aws:dynamodb:us-east-1:123456789012:table/shop-checkpoints";
    let mut found = Vec::new();
    for statement in parts(&role)
        .into_iter()
        .filter(|part| part["Effect"] == "Allow")
    {
        if statement["Sid"].is_string() {
            found.push((statement["Action"].clone(), statement["Resource"].clone()));
        }
    }
    let expected = [
        (
            json!(["dynamodb:DescribeTable", "dynamodb:UpdateItem"]),
            json!(table),
        ),
        (
            json!([
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem"
            ]),
            json!(checkpoints),
        ),
        (
            json!([
                "dynamodb:DescribeStream",
                "dynamodb:GetRecords",
                "dynamodb:GetShardIterator"
            ]),
            json!(format!("{table}/stream/*")),
        ),
        (
            json!(["dynamodb:ListStreams", "lambda:ListEventSourceMappings"]),
            json!("*"),
        ),
        (
            json!([
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:SendMessage"
            ]),
            json!("GuardDeadLetters.Arn"),
        ),
    ];
    assert_eq!(found, expected);
    let records = parts(&role)
        .into_iter()
        .find(|part| part["Sid"] == "GuardRecords");
    let keys = &records.expect("a statement")["Condition"]["ForAllValues:StringEquals"];
    assert_eq!(
        *keys,
        json!({"dynamodb:LeadingKeys": ["#guard:stuff"]}),
        "crates/core/src/records/places.rs"
    );
}

/// Its schedule may invoke it, for the schedules of its group alone, and nothing else.
#[test]
fn the_schedule_of_looks_invokes_the_guard_alone() {
    let stack = guarded(&[]);
    let role = stack.at("/Resources/GuardScheduleRole/Properties");
    let trust = &role["AssumeRolePolicyDocument"]["Statement"][0];
    let group = stack.at("/Resources/GuardScheduleGroup/Properties/Name");
    let group = group.as_str().expect("a name");
    assert_eq!(
        trust["Condition"],
        json!({"StringEquals": {
            "aws:SourceAccount": "123456789012",
            "aws:SourceArn": format!("arn:aws:scheduler:us-east-1:123456789012:schedule-group/{group}"),
        }})
    );
    let looks = &role["Policies"][0]["PolicyDocument"]["Statement"];
    assert_eq!(looks[0]["Action"], "lambda:InvokeFunction");
    assert_eq!(looks[0]["Resource"], "GuardFunction.Alias");
    assert_eq!(looks.as_array().map(Vec::len), Some(1));
}

/// Those who steer switch the mappings of this guard, and no other function's; those who look see no record of the stream.
#[test]
fn operators_switch_this_guard_alone() {
    let policies = |more: &[(&str, &str)]| {
        let stack = Stack::new("shop", more);
        let at = |policy| stack.at(&format!("/Resources/{policy}/Properties/PolicyDocument"));
        [at("LookPolicy"), at("SteerPolicy"), at("StartPolicy")]
    };
    let [look, steer, _] = policies(&[("TableName", "stuff"), ("Guard", "true")]);
    let statement = |policy: &Json, sid: &str| {
        let found = parts(policy).into_iter().find(|part| part["Sid"] == sid);
        found.unwrap_or_else(|| panic!("no {sid}")).clone()
    };
    let switch = statement(&steer, "SwitchGuard");
    assert_eq!(switch["Action"], "lambda:UpdateEventSourceMapping");
    let of_guard = json!(["GuardFunction.Arn", "GuardFunction.Arn:*"]);
    assert_eq!(
        switch["Condition"],
        json!({"ArnLike": {"lambda:FunctionArn": of_guard}})
    );
    let settings = statement(&look, "SeeGuardFunction");
    let functions = json!(["GuardFunction.Arn", "GuardFunction.Arn:*"]);
    assert_eq!(
        (&settings["Action"], &settings["Resource"]),
        (&json!("lambda:GetFunctionConfiguration"), &functions)
    );
    let find = statement(&look, "FindGuard");
    assert_eq!(
        (&find["Action"], &find["Resource"]),
        (
            &json!([
                "cloudwatch:GetMetricStatistics",
                "lambda:ListEventSourceMappings"
            ]),
            &json!("*")
        )
    );
    let letters = statement(&look, "CountDeadLetters");
    assert_eq!(
        (&letters["Action"], &letters["Resource"]),
        (
            &json!(["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]),
            &json!("GuardDeadLetters.Arn")
        )
    );
    for unseen in ["GetRecords", "ReceiveMessage"] {
        assert!(!look.to_string().contains(unseen), "{unseen}");
    }
    for policy in policies(&[("TableName", "stuff")]) {
        for of_guard in [
            "EventSourceMapping",
            "GetFunctionConfiguration",
            "GetMetricStatistics",
            "sqs:",
        ] {
            assert!(!policy.to_string().contains(of_guard), "{of_guard}");
        }
    }
    // A function with the name of this one and more behind it is another.
    let template = template();
    for function in of_type(&template, "AWS::Serverless::Function").keys() {
        let name =
            Stack::new("shop", &[]).at(&format!("/Resources/{function}/Properties/FunctionName"));
        let name = name.as_str().expect("a name");
        assert!(name == "shop-guard" || !name.starts_with("shop-guard"));
    }
}
