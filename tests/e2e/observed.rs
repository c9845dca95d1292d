//! What somebody sees of a run who has nothing but AWS: logs, metrics, dashboard, alarms and messages of the stack that
//! `sam deploy` puts into the stand-in for AWS. It evaluates no metric, so alarms are held against what the functions report
//! and are not seen to go off; and it knows no saved queries, so those are read from the template.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backfill_core::clock::now_ms;
use backfill_core::records::Counters;
use backfill_e2e::aws::{Aws, STACK, Table, deployed, eventually, input, run_id};
use backfill_e2e::command::{Ended, root};
use backfill_e2e::observe::Invocation;
use backfill_e2e::wire::Verdict;
use backfill_lambdas::emf::{METRICS, NAMESPACE};
use serde_json::{Value as Json, json};

/// The reason for which DynamoDB refuses an item.
const REFUSED: &str = "Item size to update has exceeded the maximum allowed size";

/// The name of an execution, as messages have it.
fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().expect("a name")
}

/// A run with all that a log can show: throttles, a rejected item, two segments.
async fn eventful_run(aws: &Aws, table: &Table, input: &Json) -> String {
    let pending = table.before.iter();
    let poisoned = pending.map(|(key, item)| (key.clone(), item.contains_key("test")));
    let poisoned = poisoned.filter(|(_, has_test)| !has_test).nth(7);
    let poisoned = poisoned.expect("an item to refuse").0;
    let updates = Arc::new(AtomicU64::new(0));
    let _tap = aws.wire.tap(&table.name, move |call| {
        let nth = call
            .is_update()
            .then(|| updates.fetch_add(1, Ordering::SeqCst));
        let verdict = if call.is_update() && call.keys().contains(&poisoned) {
            Verdict::Refuse {
                code: "ValidationException",
                message: REFUSED,
            }
        } else if nth.is_some_and(|nth| (5..20).contains(&nth) && nth.is_multiple_of(4)) {
            Verdict::Throttle {
                reason: "TableWriteKeyRangeThroughputExceeded",
                resource: "arn:aws:dynamodb:us-east-1:000000000000:table/observed",
            }
        } else {
            Verdict::Forward
        };
        async { verdict }
    });
    let execution = aws.machine.run(input).await;
    let arn = execution.arn.clone();
    execution.expect_failure("Backfill.ItemsRemain");
    arn
}

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

#[test]
fn a_run_can_be_followed_in_logs_metrics_and_messages() {
    deployed(async |aws| {
        let mut queue = aws.subscribe("observed");
        let table = aws.table("observed", 120).await;
        let input = input(
            "observed",
            json!({"total_segments": 2, "max_passes": 1, "writer": "update-item", "max_wcu": 400}),
        );
        let begin_ms = now_ms();
        let arn = eventful_run(aws, &table, &input).await;
        let end_ms = now_ms();
        let run_id = run_id(&input);

        let workers = aws.invocations("worker", &run_id);
        assert_lines(&workers, &run_id);
        assert_worker_lines(&workers);
        let planners = aws.invocations("planner", &run_id);
        assert_lines(&planners, &run_id);
        let answered = |segments: u64| {
            let message = "answer: the segments that are open";
            let mut lines = planners.iter().flat_map(|planner| &planner.lines);
            lines.any(|line| line["message"] == message && line["segments"] == segments)
        };
        assert!(answered(2) && answered(0), "{planners:#?}");
        let verifiers = aws.invocations("verifier", &run_id);
        assert_lines(&verifiers, &run_id);
        let [verifier] = &verifiers[..] else {
            panic!("{verifiers:#?}")
        };
        let step = verifier.line("the verification has come this far");
        assert_eq!(
            (&step["done"], &step["remaining"]),
            (&json!(true), &json!(1))
        );

        // A request that the planner refuses, for the lines of an error.
        let mut other = input.clone();
        other["total_segments"] = json!(3);
        let refused = aws.machine.run(&other).await;
        refused.expect_failure("RunMismatch");
        let refusing = aws.invocations("planner", &run_id);
        let steps = refusing.iter().chain(&verifiers);
        let steps: Vec<&Json> = steps.flat_map(|step| &step.lines).collect();
        assert_queried("steps of a run", &steps);
        // Its pass and segment are on every line of a worker, whatever its level.
        let mut bad: Vec<&Json> = refusing
            .iter()
            .flat_map(|planner| &planner.lines)
            .filter(|line| line["level"] == "ERROR")
            .collect();
        assert_eq!(bad.len(), 1, "{bad:#?}");
        bad.push(workers[0].line("chunk ended"));
        assert_queried("errors", &bad);

        let invocations = workers.iter().chain(&planners).chain(&verifiers);
        let documents: Vec<&Json> = invocations.flat_map(Invocation::metrics).collect();
        for document in &documents {
            assert_embedded_metrics(document, begin_ms, end_ms);
            assert_eq!(document["RunId"], run_id);
            assert_eq!(document["Table"], "observed");
        }
        assert_figures(aws, &input, &documents).await;

        let message = eventually("the message of the end", async || {
            queue.about(name_of(&arn))
        });
        let message = message.await;
        assert_eq!(message["error"], "Backfill.ItemsRemain");
        let cause = message["cause"].as_str().expect("a cause");
        assert!(
            cause.contains("1 items are still pending after 1 passes"),
            "{cause}"
        );
        assert!(
            message["Backfill"]
                .as_str()
                .unwrap()
                .contains("table stuff has FAILED")
        );
        assert!(message["to see more"].as_str().unwrap().contains(&format!(
            "backfill status --checkpoint-table {STACK}-checkpoints --region us-east-1"
        )));
    });
}

/// Every line of an invocation says whose it is, whoever has written it.
fn assert_lines(invocations: &[Invocation], run_id: &str) {
    assert!(!invocations.is_empty());
    for invocation in invocations {
        for line in &invocation.lines {
            assert!(line.is_object(), "no structure: {line}");
            assert_eq!(line["request_id"], invocation.request_id, "{line}");
            assert_eq!(line["run_id"], run_id, "{line}");
            if line.get("_aws").is_none() {
                for field in ["timestamp", "level", "message", "target"] {
                    assert!(line[field].is_string(), "{field} of {line}");
                }
            }
        }
    }
}

fn assert_worker_lines(workers: &[Invocation]) {
    for worker in workers {
        let chunk = worker.line("chunk ended");
        for line in &worker.lines {
            assert_eq!(
                line["pass"].as_u64().or(line["Pass"].as_u64()),
                Some(1),
                "{line}"
            );
            assert_eq!(line["segment"], chunk["segment"], "{line}");
        }
        assert_queried("chunks of a segment", &[chunk]);
        assert_queried("slowest segments", &[chunk]);
    }
    let lines = || workers.iter().flat_map(|worker| &worker.lines);
    let rejected = lines().find(|line| line["reason"].is_string());
    let rejected = rejected.expect("a rejected item");
    assert_queried("rejected items", &[rejected]);
    assert!(rejected["reason"].as_str().unwrap().contains(REFUSED));
    let throttled = lines().find(|line| line["throttled_by"].is_string());
    let throttled = throttled.expect("it says why the table throttles");
    assert_queried("throttling reasons", &[throttled]);
    assert!(throttled["throttles"].as_u64() > Some(0), "{throttled}");
}

/// The structure of a document, by the specification in the CloudWatch user guide (Specification: Embedded metric format).
fn assert_embedded_metrics(document: &Json, begin_ms: u64, end_ms: u64) {
    let metadata = document["_aws"].as_object().expect("metadata");
    let names = |object: &serde_json::Map<String, Json>| -> BTreeSet<String> {
        object.keys().cloned().collect()
    };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|&n| n.into()).collect() };
    assert_eq!(names(metadata), set(&["Timestamp", "CloudWatchMetrics"]));
    let at = metadata["Timestamp"].as_u64().expect("milliseconds");
    assert!((begin_ms..=end_ms).contains(&at), "{at} of {document}");
    let directives = metadata["CloudWatchMetrics"].as_array().expect("an array");
    assert!(!directives.is_empty());
    for directive in directives {
        let directive = directive.as_object().expect("an object");
        assert_eq!(
            names(directive),
            set(&["Namespace", "Dimensions", "Metrics"])
        );
        let namespace = directive["Namespace"].as_str().expect("text");
        assert!((1..=1024).contains(&namespace.len()));
        let sets = directive["Dimensions"].as_array().expect("an array");
        assert!(!sets.is_empty());
        for dimensions in sets {
            let dimensions = dimensions.as_array().expect("an array");
            assert!(dimensions.len() <= 30);
            for dimension in dimensions {
                let name = dimension.as_str().expect("text");
                assert!((1..=250).contains(&name.len()));
                let value = document[name].as_str();
                let value = value.unwrap_or_else(|| panic!("{name} is no text: {document}"));
                assert!((1..=1024).contains(&value.len()), "{name} of {document}");
            }
        }
        let metrics = directive["Metrics"].as_array().expect("an array");
        assert!((1..=100).contains(&metrics.len()), "{document}");
        for metric in metrics {
            let metric = metric.as_object().expect("an object");
            assert_eq!(names(metric), set(&["Name", "Unit"]));
            let name = metric["Name"].as_str().expect("text");
            assert!((1..=1024).contains(&name.len()));
            assert!(
                document[name].is_number(),
                "{name} is no number: {document}"
            );
            let units = ["Count", "Count/Second", "None"];
            assert!(
                units.contains(&metric["Unit"].as_str().unwrap()),
                "{metric:?}"
            );
        }
    }
    assert!(document.to_string().len() < 256 * 1024);
}

/// Sums and last values of the metrics are what the records of the run say.
async fn assert_figures(aws: &Aws, input: &Json, documents: &[&Json]) {
    let values = |name: &str| -> Vec<f64> {
        let values = documents
            .iter()
            .filter_map(|document| document[name].as_f64());
        values.collect()
    };
    let sum = |name| -> f64 { values(name).iter().sum() };
    let most = |name| values(name).into_iter().fold(f64::NAN, f64::max);
    let segments = aws.segments(input, 1).await;
    let total: Counters = segments.iter().map(|segment| segment.counters).sum();
    assert_eq!((total.scanned, total.rejected), (120, 1));
    assert!(total.throttles > 0);
    for (name, expected) in [
        ("ItemsScanned", total.scanned),
        ("ItemsUpdated", total.updated),
        ("ItemsRaced", total.raced),
        ("ItemsVanished", total.vanished),
        ("ItemsRejected", total.rejected),
        ("Throttles", total.throttles),
        ("ItemsVerified", 120),
    ] {
        assert_eq!(sum(name), expected as f64, "{name}");
    }
    for (name, expected) in [
        ("ConsumedWriteUnits", total.consumed_wcu),
        ("ConsumedReadUnits", total.consumed_rcu),
    ] {
        assert!(expected > 0.0);
        assert!((sum(name) - expected).abs() < 1e-6, "{name}: {expected}");
    }
    assert_eq!(most("SegmentsDone"), 2.0);
    assert_eq!(most("SegmentsTotal"), 2.0);
    assert_eq!(most("Pass"), 1.0);
    assert_eq!(values("ItemsRemaining"), [1.0]);
    assert_eq!(most("MaxWriteUnits"), 400.0);
    assert!(values("MaxReadUnits").is_empty(), "there is no such budget");
}

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
        let result = message["result"].as_str().expect("an output");
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
        assert_eq!(message.await["status"], "ABORTED");
        drop(slow);
    });
}

/// Each end of an execution has one rule, and the children of a Map, whose state machine has a name of its own, have none.
#[test]
fn the_ends_of_children_are_not_told() {
    deployed(async |aws| {
        let rules = ["run-succeeded", "run-failed", "run-stopped"];
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
            ("SUCCEEDED", "run-succeeded"),
            ("FAILED", "run-failed"),
            ("ABORTED", "run-stopped"),
            ("TIMED_OUT", "run-stopped"),
        ] {
            assert_eq!(told_by(STACK, status), [rule], "{status}");
            for other in [format!("{STACK}/Segments"), "other".into()] {
                assert_eq!(told_by(&other, status), [""; 0], "{status} of {other}");
            }
        }
        assert_eq!(told_by(STACK, "RUNNING"), [""; 0]);
    });
}

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
            assert_eq!(alarm["TreatMissingData"], "notBreaching", "{name}");
            let name = name.strip_prefix(&format!("{STACK}-")).expect("a prefix");
            let section = format!("docs/RUNBOOK.md, \"Alarm: {}\"", name.replace('-', " "));
            let description = alarm["AlarmDescription"].as_str().expect("a description");
            assert!(description.contains(&section), "{name}: {description}");
            assert!(description.len() <= 1024, "{name}");
            explained(name);
            names.insert(name.to_owned());
            if alarm["Namespace"] == NAMESPACE {
                let table = json!([{"Name": "Table", "Value": "stuff"}]);
                assert_eq!(alarm["Dimensions"], table, "{name}");
                own.insert(alarm["MetricName"].as_str().expect("a metric").to_owned());
            }
        }
        let expected = [
            "execution-aborted",
            "execution-failed",
            "no-progress",
            "table-read-throttles",
            "table-write-throttles",
            "worker-errors",
        ];
        assert_eq!(names, expected.map(String::from).into());
        assert_eq!(own, ["ItemsScanned".to_owned()].into());

        let dashboard = aws.dashboard();
        let shown = assert_dashboard(&dashboard, &names);
        let reported: BTreeSet<String> = METRICS.iter().map(|m| m.name.to_owned()).collect();
        assert_eq!(shown, reported);
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
                let functions = ["planner", "worker", "verifier"];
                let function = function.strip_prefix(&format!("{STACK}-"));
                assert!(functions.contains(&function.unwrap()), "{title}");
            }
            ["AWS/States", _, "StateMachineArn", arn] => {
                assert!(arn.ends_with(&format!(":stateMachine:{STACK}")), "{arn}");
            }
            _ => panic!("{title}: {metric}"),
        }
    }
    own
}

/// The text of a saved query in the template.
fn query(name: &str) -> Vec<String> {
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("the template");
    let (_, rest) = template
        .split_once(&format!("Name: !Sub ${{AWS::StackName}}/{name}\n"))
        .unwrap_or_else(|| panic!("no query {name}"));
    let (_, rest) = rest.split_once("QueryString: |-\n").expect("its text");
    let lines = rest.lines().take_while(|line| line.starts_with("        "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The queries that ask for fields of our own.
const QUERIES: [&str; 6] = [
    "errors",
    "chunks of a segment",
    "slowest segments",
    "throttling reasons",
    "rejected items",
    "steps of a run",
];

/// Words of CloudWatch Logs Insights in these queries.
const INSIGHTS: [&str; 19] = [
    "and",
    "as",
    "asc",
    "by",
    "count",
    "count_distinct",
    "desc",
    "fields",
    "filter",
    "in",
    "ispresent",
    "latest",
    "like",
    "limit",
    "or",
    "sort",
    "stats",
    "sum",
    "not",
];

/// The fields that a saved query reads, but for CloudWatch's own and those that it makes itself (`as`).
fn queried_fields(name: &str) -> BTreeSet<String> {
    let mut text = String::new();
    for line in query(name).iter().filter(|line| !line.starts_with('#')) {
        // Every second part is a literal.
        let outside: Vec<&str> = line.split(['"', '/']).step_by(2).collect();
        text += &format!("{} ", outside.join(" "));
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@';
    let words: Vec<&str> = text
        .split(|c| !is_word(c))
        .filter(|word| !word.is_empty())
        .collect();
    let made: BTreeSet<&str> = words
        .windows(2)
        .filter(|pair| pair[0] == "as")
        .map(|pair| pair[1])
        .collect();
    let fields = words.into_iter().filter(|word| {
        let is_own = word.starts_with(|c: char| c.is_ascii_lowercase());
        is_own && !INSIGHTS.contains(word) && !made.contains(word)
    });
    fields.map(String::from).collect()
}

/// Panics unless each field of a query is in one of the lines that it is about.
fn assert_queried(name: &str, lines: &[&Json]) {
    for field in queried_fields(name) {
        let is_there = |line: &&Json| line.get(&field).is_some();
        assert!(lines.iter().any(is_there), "{name}: {field} of {lines:#?}");
    }
}

/// What Lambda and a panic say has no level: the queries for errors find it by its words.
#[test]
fn errors_without_a_level_are_found() {
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("the template");
    let words = "/Task timed out|Runtime exited|panicked at/";
    let filters: Vec<&str> = template
        .lines()
        .filter(|line| line.contains("filter level in"))
        .collect();
    assert_eq!(filters.len(), 2, "the saved query and the dashboard");
    for filter in filters {
        assert!(
            filter.contains(&format!(" or @message like {words}")),
            "{filter}"
        );
    }
    assert!(template.matches("request_id, @message").count() >= 2);
    for line in [
        "2026-11-20T21:00:00.000Z 7f0c2c1e Task timed out after 900.00 seconds",
        "RequestId: 7f0c2c1e Error: Runtime exited with error: signal: killed",
        "thread 'main' panicked at crates/core/src/worker.rs:1:1:",
    ] {
        let mut alternatives = words.trim_matches('/').split('|');
        assert!(alternatives.any(|words| line.contains(words)), "{line}");
    }
}

/// The messages that the queries look for are logged.
#[test]
fn saved_queries_look_for_what_is_logged() {
    let mut sources = String::new();
    for file in ["worker.rs", "verifier.rs", "ask.rs"] {
        let path = root().join("crates/core/src").join(file);
        sources += &std::fs::read_to_string(path).expect("the source");
    }
    let mut looked_for = 0;
    for name in QUERIES {
        assert!(queried_fields(name).contains("run_id"), "{name}");
        for line in query(name) {
            if let Some(message) = line
                .strip_prefix("| filter message = ")
                .or(line.strip_prefix("filter message = "))
            {
                assert!(sources.contains(message), "{name}: {message}");
                looked_for += 1;
            }
        }
    }
    assert_eq!(looked_for, 3);
}
