//! Messages about the ends of runs: they are JSON whatever a run says, and one that is not delivered is kept.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::evaluate::{Stack, of_type, template};

/// What EventBridge makes of a template (user guide, Input transformation): a text gets quotes if it stands alone, and an
/// object goes in as JSON. The guide does not say that quotes and line breaks in a text are escaped: here they are not.
fn rendered(template: &str, variables: &BTreeMap<String, Json>, escapes: bool) -> String {
    let mut text = template.to_owned();
    for (name, value) in variables {
        let value = match value {
            Json::String(value) if !escapes => format!("\"{value}\""),
            value => value.to_string(),
        };
        text = text.replace(&format!("<{name}>"), &value);
    }
    text
}

const HOSTILE: &str =
    "{\"errorMessage\":\"item \\\"a\\\"\",\n\t\"b\":\"c:\\\\d\"} </detail> <detail> ' `";

/// How executions end, and what they say then. One that is encrypted with a key of the customer says less.
fn ends() -> Vec<(&'static str, Json)> {
    let mut ends = Vec::new();
    for (rule, status, said) in [
        ("RunSucceededRule", "SUCCEEDED", &["output"][..]),
        ("RunFailedRule", "FAILED", &["error", "cause"]),
        ("RunStoppedRule", "ABORTED", &[]),
        ("RunStoppedRule", "TIMED_OUT", &[]),
    ] {
        let detail = json!({"name": "stuff-0b4b8a0e", "status": status, "input": HOSTILE,
            "output": null, "error": null, "cause": null});
        for field in said {
            let mut loud = detail.clone();
            loud[field] = HOSTILE.into();
            ends.push((rule, loud));
        }
        ends.push((rule, detail));
        ends.push((rule, json!({"name": "stuff-0b4b8a0e", "status": status})));
    }
    ends
}

#[test]
fn messages_are_json_whatever_a_run_says() {
    let stack = Stack::new("shop", &[("TableName", "stuff")]);
    for (rule, detail) in ends() {
        let event = json!({"time": "2026-11-21T00:00:00Z", "detail": detail});
        let target = stack.at(&format!("/Resources/{rule}/Properties/Targets/0"));
        let transformer = &target["InputTransformer"];
        let paths = transformer["InputPathsMap"].as_object().expect("paths");
        let mut variables = BTreeMap::new();
        for (name, path) in paths {
            let path = path.as_str().expect("a path").replace('.', "/");
            // A variable that is missing spoils the message.
            let value = event.pointer(path.trim_start_matches('$'));
            let value = value.unwrap_or_else(|| panic!("{rule}: no {path}: {event}"));
            variables.insert(name.clone(), value.clone());
        }
        for escapes in [false, true] {
            let template = transformer["InputTemplate"].as_str().expect("a template");
            let message = rendered(template, &variables, escapes);
            let message: Json = serde_json::from_str(&message)
                .unwrap_or_else(|error| panic!("{rule}: {error}: {message}"));
            assert_eq!(message["detail"], detail);
            assert_eq!(message["execution"], "stuff-0b4b8a0e");
            assert_eq!(message["ended"], "2026-11-21T00:00:00Z");
            let more = message["to see more"].as_str().expect("a command");
            let command = "backfill status --checkpoint-table shop-checkpoints --region us-east-1";
            assert_eq!(more, command);
        }
    }
}

/// What does not reach the topic is kept in a queue, and an alarm says so.
#[test]
fn undelivered_messages_are_kept() {
    let template = template();
    let rules = of_type(&template, "AWS::Events::Rule");
    let queue = json!({"Fn::GetAtt": "UndeliveredQueue.Arn"});
    let mut sources = Vec::new();
    for (rule, made) in rules {
        for target in made["Properties"]["Targets"].as_array().expect("targets") {
            assert_eq!(target["DeadLetterConfig"]["Arn"], queue, "{rule}");
        }
        sources.push(json!({"Fn::GetAtt": format!("{rule}.Arn")}));
    }
    let policy = &template["Resources"]["UndeliveredQueuePolicy"]["Properties"]["PolicyDocument"];
    let statements = policy["Statement"].as_array().expect("statements");
    let mut allowed = statements.iter().filter(|s| s["Effect"] == "Allow");
    let allowed = allowed.next().expect("rules may send");
    let mut from = allowed["Condition"]["ArnEquals"]["aws:SourceArn"]
        .as_array()
        .expect("a list")
        .clone();
    from.sort_by_key(Json::to_string);
    assert_eq!(from, sources);
    let watched = of_type(&template, "AWS::CloudWatch::Alarm")
        .into_values()
        .map(|alarm| &alarm["Properties"]["Dimensions"][0]["Value"]);
    let name = json!({"Fn::GetAtt": "UndeliveredQueue.QueueName"});
    assert_eq!(watched.filter(|value| **value == name).count(), 1);
}

/// EventBridge may publish for this account's rules alone, if it says for whom; and if it says nothing, it may as well.
#[test]
fn rules_of_others_do_not_publish() {
    let template = template();
    let policy = &template["Resources"]["AlarmTopicPolicy"]["Properties"]["PolicyDocument"];
    let statements = policy["Statement"].as_array().expect("statements").iter();
    let mut events = statements.filter(|s| s["Principal"]["Service"] == "events.amazonaws.com");
    let allowed = events.next().expect("rules may publish");
    let conditions = allowed["Condition"].as_object().expect("conditions");
    assert!(conditions.keys().all(|kind| kind.ends_with("IfExists")));
    let account = &conditions["StringEqualsIfExists"]["aws:SourceAccount"];
    assert_eq!(account, &json!({"Ref": "AWS::AccountId"}));
    let rules = conditions["ArnLikeIfExists"]["aws:SourceArn"].as_array();
    assert_eq!(
        rules.expect("a list").len(),
        of_type(&template, "AWS::Events::Rule").len()
    );
}
