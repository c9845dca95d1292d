//! A deployment as it lives: beside other stacks, after one that failed, and in the middle of a run.

use std::collections::BTreeSet;

use backfill_e2e::command::root;
use serde_json::{Value as Json, json};

use super::evaluate::{Stack, of_type, parts, references, template};

/// The text of a file of the checkout.
fn file(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whoever deploys says for which table, and as which stack. So nobody takes the permission of a run away that goes on.
#[test]
fn another_table_is_another_stack() {
    let template = template();
    assert_eq!(template["Parameters"]["TableName"].get("Default"), None);
    let settings = file("samconfig.toml");
    let mut lines = settings.lines().filter(|line| !line.starts_with('#'));
    assert!(!lines.any(|line| line.contains("stack_name") || line.contains("TableName")));
    let mut commands = 0;
    for path in [
        "README.md",
        "docs/deploy.md",
        "docs/observe.md",
        "docs/RUNBOOK.md",
        "samconfig.toml",
    ] {
        for line in file(path).lines() {
            if let Some((_, command)) = line.split_once("sam deploy --") {
                assert!(command.contains("stack-name backfill"), "{path}: {line}");
                assert!(command.contains("TableName="), "{path}: {line}");
                commands += 1;
            }
        }
    }
    assert!(commands >= 4, "{commands}");
}

/// The commands of a document: lines of its blocks, put together if they go on, and what stands between backticks. A command
/// has a flag; a name alone is none.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (n, part) in text.split("```").enumerate() {
        if n % 2 == 1 {
            let block = part.replace("\\\n", " ");
            found.extend(block.lines().map(String::from));
        } else {
            let quoted = part.split('`').skip(1).step_by(2);
            found.extend(quoted.map(|span| span.replace('\n', " ")));
        }
    }
    let programs = ["aws ", "sam deploy", "backfill "];
    found.retain(|line| line.contains(" --") && programs.iter().any(|p| line.starts_with(p)));
    found
}

/// An operator who has another region set somewhere does not work there by mistake.
#[test]
fn commands_of_the_runbook_name_their_region() {
    let runbook = file("docs/RUNBOOK.md");
    // The rehearsal is in the sandbox, which has no region but its own; and what simulates speaks to nobody.
    let (before, rest) = runbook.split_once("## Step 5.").expect("a rehearsal");
    let (_, after) = rest.split_once("## Step 6.").expect("a step after it");
    let mut named = 0;
    for command in [commands(before), commands(after)].concat() {
        if !command.starts_with("backfill simulate ") {
            assert!(command.contains("--region us-east-1"), "{command}");
            named += 1;
        }
    }
    assert!(named >= 25, "{named}");
}

/// Every name that the template refers to for a stack that makes no table.
fn unless_made(template: &Json) -> BTreeSet<String> {
    fn stripped(part: &Json) -> Json {
        match part {
            Json::Object(fields) => match fields.get("Fn::If") {
                Some(of) if of[0] == "CreatesTable" => stripped(&of[2]),
                _ => {
                    let fields = fields.iter();
                    fields
                        .map(|(name, of)| (name.clone(), stripped(of)))
                        .collect()
                }
            },
            Json::Array(parts) => parts.iter().map(stripped).collect(),
            other => other.clone(),
        }
    }
    references(template, &stripped(template))
}

/// A deployment that fails leaves no table behind, on which the next one would fail; one that is deleted leaves them all.
#[test]
fn a_failed_deployment_does_not_block_the_next() {
    let template = template();
    let tables = of_type(&template, "AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 2);
    let functions = of_type(&template, "AWS::Serverless::Function").into_iter();
    // One that is there at times has to come after the table, whose stream it is for. No name is longer for it.
    let functions: BTreeSet<&str> = functions
        .filter(|(_, function)| function["Condition"].is_null())
        .map(|(id, _)| id)
        .collect();
    assert_eq!(functions.len(), 3);
    for (name, table) in tables {
        assert_eq!(table["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(table["UpdateReplacePolicy"], "Retain", "{name}");
        // Whatever Lambda refuses, the length of a name first of all, it refuses before there is a table.
        let after = table["DependsOn"].as_array().expect("a list").iter();
        let after: BTreeSet<&str> = after.filter_map(Json::as_str).collect();
        assert_eq!(after, functions, "{name}");
        // A table that is there already is taken as it is.
        assert!(table["Condition"].is_string(), "{name}");
        assert!(!unless_made(&template).contains(name), "{name}");
    }
    let made = of_type(&template, "AWS::DynamoDB::Table")["CheckpointTable"];
    assert_eq!(made["Condition"], "CreatesCheckpointTable");
    assert_eq!(
        template["Parameters"]["CreateCheckpointTable"]["Default"],
        "true"
    );
    for (parameters, name) in [
        (&[][..], "shop-checkpoints"),
        (&[("CheckpointTableName", "old")], "old"),
    ] {
        let stack = Stack::new("shop", parameters);
        for place in [
            "/Globals/Function/Environment/Variables/CHECKPOINT_TABLE",
            "/Resources/CheckpointTable/Properties/TableName",
            "/Outputs/CheckpointTableName/Value",
        ] {
            assert_eq!(stack.at(place), name, "{place}");
        }
    }
}

/// The names of functions are the first to be too long. All others fit as long as Lambda takes those.
#[test]
fn names_are_too_long_for_lambda_first() {
    let longest = "s".repeat(55);
    let stack = Stack::new(&longest, &[]);
    let mut named = 0;
    let mut at_the_end = BTreeSet::new();
    let template = template();
    for (kind, field, most) in [
        ("AWS::Serverless::Function", "FunctionName", 64),
        ("AWS::StepFunctions::StateMachine", "StateMachineName", 80),
        ("AWS::DynamoDB::Table", "TableName", 255),
        ("AWS::Logs::LogGroup", "LogGroupName", 512),
        ("AWS::SNS::Topic", "TopicName", 256),
        ("AWS::SQS::Queue", "QueueName", 80),
        ("AWS::Events::Rule", "Name", 64),
        ("AWS::Scheduler::Schedule", "Name", 64),
        ("AWS::Scheduler::ScheduleGroup", "Name", 64),
        ("AWS::CloudWatch::Alarm", "AlarmName", 255),
        ("AWS::CloudWatch::Dashboard", "DashboardName", 255),
        ("AWS::Logs::QueryDefinition", "Name", 255),
        ("AWS::IAM::Role", "RoleName", 64),
        ("AWS::IAM::ManagedPolicy", "ManagedPolicyName", 128),
    ] {
        let resources = of_type(&template, kind);
        assert!(!resources.is_empty(), "{kind}");
        for id in resources.keys() {
            let properties = stack.at(&format!("/Resources/{id}/Properties"));
            if let Some(name) = properties[field].as_str() {
                named += 1;
                assert!(name.len() <= most, "{id}: {name}");
                if name.len() == most {
                    at_the_end.insert(kind);
                }
            }
        }
    }
    assert!(named >= 20, "{named}");
    assert_eq!(at_the_end, ["AWS::Serverless::Function"].into());
}

/// An execution keeps the functions with which it began: its definition names versions, and versions stay.
#[test]
fn executions_keep_their_functions() {
    let template = template();
    let machine = &template["Resources"]["BackfillStateMachine"]["Properties"];
    let functions = of_type(&template, "AWS::Serverless::Function");
    let live = &template["Globals"]["Function"];
    assert!(live["AutoPublishAlias"].is_string());
    assert_eq!(live["VersionDeletionPolicy"], "Retain");
    let called_by_runs = |id: &&str| *id != "GuardFunction";
    for (id, function) in &functions {
        let called = &machine["DefinitionSubstitutions"][format!("{id}Arn")];
        match called_by_runs(id) {
            true => assert_eq!(called, &json!({"Ref": format!("{id}.Version")})),
            // A stream has no executions: the next batch is the new version's.
            false => assert_eq!(called, &Json::Null),
        }
        let properties = &function["Properties"];
        assert_eq!(properties["AutoPublishAliasAllProperties"], true, "{id}");
        assert_eq!(function["UpdateReplacePolicy"], "Retain", "{id}");
        // It would be the version's, too.
        assert_eq!(function.get("DeletionPolicy"), None, "{id}");
    }
    let role = &template["Resources"]["BackfillStateMachineRole"];
    let statements = parts(role).into_iter();
    let mut invoke = statements.filter(|part| part["Action"] == "lambda:InvokeFunction");
    let allowed = invoke.next().expect("it may invoke")["Resource"].clone();
    let versions = functions
        .keys()
        .copied()
        .filter(called_by_runs)
        .map(|id| json!({"Fn::Sub": format!("${{{id}.Arn}}:*")}));
    let allowed: BTreeSet<String> = allowed
        .as_array()
        .expect("a list")
        .iter()
        .map(Json::to_string)
        .collect();
    assert_eq!(allowed, versions.map(|arn| arn.to_string()).collect());
    assert_eq!(invoke.next(), None);
    for (place, called) in [
        ("GuardStreamMapping", "/Properties/FunctionName"),
        ("GuardDeadLettersMapping", "/Properties/FunctionName"),
        ("GuardSchedule", "/Properties/Target/Arn"),
    ] {
        let called = template["Resources"][place].pointer(called);
        let alias = json!({"Ref": "GuardFunction.Alias"});
        assert_eq!(called, Some(&alias), "{place}");
    }
}

/// SAM publishes a version if the template has changed, and does not look at parameters. So what a version says of itself
/// names each parameter of its settings, whereupon CloudFormation replaces it; and no other, since Lambda does not publish
/// the same settings twice.
#[test]
fn a_version_follows_the_parameters_of_its_function() {
    let template = template();
    let declared = template["Parameters"].as_object().expect("parameters");
    let parameters = |part: &Json| -> BTreeSet<String> {
        let names = references(&template, part).into_iter();
        names.filter(|name| declared.contains_key(name)).collect()
    };
    let mut everywhere = template["Globals"]["Function"].clone();
    // `sam build` alone reads it, and puts what it has built in its place: other code is another template.
    let folder = everywhere
        .as_object_mut()
        .expect("settings")
        .remove("CodeUri");
    assert_eq!(folder, Some(json!({"Ref": "FunctionsFolder"})));
    let everywhere = parameters(&everywhere);
    for (id, function) in of_type(&template, "AWS::Serverless::Function") {
        let mut settings = function["Properties"].clone();
        let settings = settings.as_object_mut().expect("properties");
        let said = settings.remove("VersionDescription").expect("it says");
        // It is no part of a version (Lambda API, PublishVersion).
        settings.remove("ReservedConcurrentExecutions");
        let mut expected = parameters(&Json::Object(settings.clone()));
        expected.extend(everywhere.clone());
        assert!(!expected.is_empty());
        assert_eq!(parameters(&said), expected, "{id}");
    }
    let two = [
        ("SubnetIds", "subnet-1,subnet-2"),
        ("SecurityGroupIds", "sg-1"),
    ];
    let said = "/Resources/WorkerFunction/Properties/VersionDescription";
    assert_eq!(
        Stack::new("shop", &two).at(said),
        "256 MB, arm64, shop-checkpoints, subnet-1 subnet-2, sg-1"
    );
    assert_eq!(
        Stack::new("shop", &[]).at(said),
        "256 MB, arm64, shop-checkpoints"
    );
}

#[test]
fn workers_are_limited_if_that_is_wanted() {
    let reserved = |parameters: &[(&str, &str)]| {
        let worker = Stack::new("shop", parameters).at("/Resources/WorkerFunction/Properties");
        worker.get("ReservedConcurrentExecutions").cloned()
    };
    assert_eq!(reserved(&[]), None);
    assert_eq!(reserved(&[("MaxWorkers", "20")]), Some("20".into()));
}
