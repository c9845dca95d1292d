//! Alarms and dashboard: they watch what is reported.

use std::collections::{BTreeMap, BTreeSet};

use backfill_e2e::aws::{STACK, deployed};
use backfill_e2e::command::{Ended, root};
use backfill_lambdas::emf::{METRICS, NAMESPACE};
use serde_json::{Value as Json, json};

/// `table check` holds the alarms of a description against those that there are.
#[test]
fn alarms_of_a_description_are_looked_for() {
    deployed(async |aws| {
        let table = aws.table("described", 1).await;
        let path = table_description(&table.name);
        let check = async |alarms: Json| {
            let expected = json!({"TableName": table.name, "Alarms": alarms});
            std::fs::write(path.path(), expected.to_string()).unwrap();
            let command = format!("table check --json --expect {}", path.path().display());
            let mut command = aws.backfill(&command);
            tokio::task::spawn_blocking(move || Ended::run(&mut command))
                .await
                .unwrap()
        };
        let name = format!("{STACK}-table-write-throttles");
        let alarm = json!({"AlarmName": name, "Namespace": "AWS/DynamoDB", "MetricName": "WriteThrottleEvents",
            "Threshold": 60, "Dimensions": [{"Name": "TableName", "Value": "stuff"}]});
        assert_eq!(check(json!([alarm])).await.expect_code(0).json(), json!([]));
        for (field, value, difference) in [
            (
                "Threshold",
                json!(61),
                format!("Alarms.{name}.Threshold: expected 61.0, found 60.0"),
            ),
            (
                "MetricName",
                json!("Other"),
                format!("Alarms.{name}.MetricName: "),
            ),
            (
                "Dimensions",
                json!([]),
                format!("Alarms.{name}.Dimensions.TableName: expected none"),
            ),
            (
                "AlarmName",
                json!("no-such"),
                "Alarms.no-such: expected, but there is none".into(),
            ),
        ] {
            let mut other = alarm.clone();
            other[field] = value;
            let found = check(json!([other])).await.expect_code(3).json();
            let first = found[0].as_str().unwrap();
            assert!(first.starts_with(&difference), "{field}: {found}");
        }
        check(json!([{"MetricName": "WriteThrottleEvents"}]))
            .await
            .expect_code(2);
    });
}

fn table_description(table: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().prefix(table).tempfile();
    file.expect("a file of its own")
}

/// The alarms of a stack with a guard and without indexes to watch.
const ALARMS: [&str; 17] = [
    "execution-aborted",
    "execution-failed",
    "guard-behind",
    "guard-dead-letters",
    "guard-dropped",
    "guard-errors",
    "guard-failed",
    "guard-lost",
    "guard-repairs",
    "guard-silent",
    "guard-throttles",
    "no-progress",
    "table-read-throttles",
    "table-write-throttles",
    "undelivered-messages",
    "worker-errors",
    "worker-throttles",
];

/// Alarms and dashboard watch what there is: no typing error keeps an alarm silent.
#[test]
fn alarms_and_dashboard_watch_what_is_reported() {
    deployed(async |aws| {
        let alarms = aws.alarms();
        let topic = aws.topic();
        let runbook = std::fs::read_to_string(root().join("docs/RUNBOOK.md")).expect("a runbook");
        let explained = |name: &str| {
            let heading = format!("\n## Alarm: {}\n", name.replace('-', " "));
            assert!(runbook.contains(&heading), "{name}");
        };
        // This one is not deployed here.
        explained("index-throttles");
        let mut names = BTreeSet::new();
        let mut own = BTreeSet::new();
        for alarm in &alarms {
            let name = alarm["AlarmName"].as_str().expect("a name");
            assert_eq!(alarm["AlarmActions"], json!([topic]), "{name}");
            assert_eq!(alarm["OKActions"], json!([topic]), "{name}");
            let name = name.strip_prefix(&format!("{STACK}-")).expect("a prefix");
            // Nobody who looks is what that one is about.
            let missing = match name {
                "guard-silent" => "breaching",
                _ => "notBreaching",
            };
            assert_eq!(alarm["TreatMissingData"], missing, "{name}");
            let section = format!("docs/RUNBOOK.md, \"Alarm: {}\"", name.replace('-', " "));
            let description = alarm["AlarmDescription"].as_str().expect("a description");
            assert!(description.contains(&section), "{name}: {description}");
            assert!(description.len() <= 1024, "{name}");
            explained(name);
            names.insert(name.to_owned());
            if name == "guard-dropped" {
                let mapping = aws.guard_mapping(STACK)["UUID"].clone();
                let dimensions = json!([{"Name": "EventSourceMappingUUID", "Value": mapping}]);
                assert_eq!(alarm["Dimensions"], dimensions, "{name}");
            }
            if alarm["Namespace"] == NAMESPACE {
                let table = json!([{"Name": "Table", "Value": "stuff"}]);
                assert_eq!(alarm["Dimensions"], table, "{name}");
                own.insert(alarm["MetricName"].as_str().expect("a metric").to_owned());
            }
        }
        assert_eq!(names, ALARMS.map(String::from).into());
        let watched = [
            "GuardFailed",
            "GuardLooks",
            "GuardLosses",
            "ItemsRepaired",
            "ItemsScanned",
        ];
        assert_eq!(own, watched.map(String::from).into());

        let dashboard = aws.dashboard();
        let shown = assert_dashboard(&dashboard, &names);
        let reported: BTreeSet<String> = METRICS.iter().map(|m| m.name.to_owned()).collect();
        assert_eq!(shown, reported);
        // This one is made of lines of the log by a filter.
        own.remove("GuardLosses");
        assert!(own.is_subset(&reported));
    });
}

/// Panics unless the dashboard is whole; returns the metrics of our own that it shows.
fn assert_dashboard(dashboard: &Json, alarms: &BTreeSet<String>) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for widget in dashboard["widgets"].as_array().expect("widgets") {
        let number = |field: &str| widget[field].as_u64().expect("a number");
        let title = widget["properties"]["title"].as_str().unwrap_or("the text");
        assert!(number("x") + number("width") <= 24, "{title}");
        for x in number("x")..number("x") + number("width") {
            for y in number("y")..number("y") + number("height") {
                let other = taken.insert((x, y), title);
                assert_eq!(other, None, "{title} lies over it");
            }
        }
        let properties = &widget["properties"];
        match widget["type"].as_str().expect("a type") {
            "text" => assert!(properties["markdown"].as_str().unwrap().contains("stuff")),
            "log" => assert!(properties["query"].as_str().unwrap().starts_with(&format!(
                "SOURCE '/aws/lambda/{STACK}-planner' | SOURCE '/aws/lambda/{STACK}-worker'"
            ))),
            "alarm" => {
                let prefix = format!("arn:aws:cloudwatch:us-east-1:000000000000:alarm:{STACK}-");
                let arns = properties["alarms"].as_array().expect("alarms").iter();
                let listed = arns.map(|arn| arn.as_str().unwrap().strip_prefix(&prefix).unwrap());
                assert_eq!(&listed.map(String::from).collect::<BTreeSet<_>>(), alarms);
            }
            "metric" => own.extend(assert_metric_widget(title, properties)),
            other => panic!("{other}"),
        }
    }
    own
}

fn assert_metric_widget(title: &str, properties: &Json) -> Vec<String> {
    assert_eq!(properties["region"], "us-east-1", "{title}");
    let mut own = Vec::new();
    let metrics = properties["metrics"].as_array().expect("metrics");
    let ids: BTreeSet<&str> = metrics
        .iter()
        .filter_map(|metric| metric.as_array()?.last()?["id"].as_str())
        .collect();
    for metric in metrics {
        let parts = metric.as_array().expect("an array");
        let texts: Vec<&str> = parts.iter().filter_map(Json::as_str).collect();
        match texts[..] {
            // An expression.
            [] => {
                let expression = parts[0]["expression"].as_str().expect("an expression");
                match expression.split_once("/PERIOD(") {
                    Some((id, rest)) => {
                        assert!(ids.contains(id), "{title}: {expression}");
                        assert_eq!(rest, format!("{id})"), "{title}");
                    }
                    None => assert!(expression.contains("TableName=\"stuff\""), "{expression}"),
                }
            }
            [NAMESPACE, name, "Table", "stuff"] => own.push(name.to_owned()),
            ["AWS/DynamoDB", _, "TableName", "stuff"] => {}
            ["AWS/Lambda", _, "FunctionName", function] => {
                let functions = ["planner", "worker", "verifier", "guard"];
                let function = function.strip_prefix(&format!("{STACK}-"));
                assert!(functions.contains(&function.unwrap()), "{title}");
            }
            ["AWS/Lambda", metric, "EventSourceMappingUUID", _] => {
                assert_eq!(metric, "DroppedEventCount", "{title}");
            }
            ["AWS/SQS", _, "QueueName", queue] => {
                assert_eq!(queue, format!("{STACK}-guard-dead-letters"), "{title}");
            }
            ["AWS/States", _, "StateMachineArn", arn] => {
                assert!(arn.ends_with(&format!(":stateMachine:{STACK}")), "{arn}");
            }
            _ => panic!("{title}: {metric}"),
        }
    }
    own
}
