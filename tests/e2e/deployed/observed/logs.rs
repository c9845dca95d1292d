//! Logs and metrics: a run can be followed in them.

use std::collections::BTreeSet;

use super::events::{REFUSED, eventful_run, name_of};
use super::queries::assert_queried;
use backfill_core::clock::now_ms;
use backfill_core::records::Counters;
use backfill_e2e::aws::{Aws, STACK, deployed, eventually, input, run_id};
use backfill_e2e::observe::Invocation;
use serde_json::{Value as Json, json};

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

        let [workers, planners, verifiers] = ["worker", "planner", "verifier"].map(|function| {
            let invocations = aws.invocations(function, &run_id);
            assert_lines(&invocations, &run_id);
            invocations
        });
        assert_worker_lines(&workers);
        assert_planner_lines(&planners);
        assert_verifier_lines(&verifiers);
        refuse_another(aws, &input).await;
        let refusing = aws.invocations("planner", &run_id);
        assert_steps_and_errors(&refusing, &verifiers, &workers[0]);

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
        assert_message(&message.await);
    });
}

/// Asks for a run that the planner refuses, for the lines of an error.
async fn refuse_another(aws: &Aws, input: &Json) {
    let mut other = input.clone();
    other["total_segments"] = json!(3);
    let refused = aws.machine.run(&other).await;
    refused.expect_failure("RunMismatch");
}

/// The message of the end says what is left and how to see more.
fn assert_message(message: &Json) {
    assert_eq!(message["detail"]["error"], "Backfill.ItemsRemain");
    let cause = message["detail"]["cause"].as_str().expect("a cause");
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

fn assert_planner_lines(planners: &[Invocation]) {
    let answered = |segments: u64| {
        let message = "answer: the segments that are open";
        let mut lines = planners.iter().flat_map(|planner| &planner.lines);
        lines.any(|line| line["message"] == message && line["segments"] == segments)
    };
    assert!(answered(2) && answered(0), "{planners:#?}");
}

fn assert_verifier_lines(verifiers: &[Invocation]) {
    let [verifier] = verifiers else {
        panic!("{verifiers:#?}")
    };
    let step = verifier.line("the verification has come this far");
    assert_eq!(
        (&step["done"], &step["remaining"]),
        (&json!(true), &json!(1))
    );
}

/// The steps of a run are found by their query, and so is its error.
fn assert_steps_and_errors(planners: &[Invocation], verifiers: &[Invocation], worker: &Invocation) {
    let steps = planners.iter().chain(verifiers);
    let steps: Vec<&Json> = steps.flat_map(|step| &step.lines).collect();
    assert_queried("steps of a run", &steps);
    let mut bad: Vec<&Json> = planners
        .iter()
        .flat_map(|planner| &planner.lines)
        .filter(|line| line["level"] == "ERROR")
        .collect();
    assert_eq!(bad.len(), 1, "{bad:#?}");
    // Its pass and segment are on every line of a worker, whatever its level.
    bad.push(worker.line("chunk ended"));
    assert_queried("errors", &bad);
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
        ("ItemsContended", total.contended),
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
