//! Metrics for CloudWatch, by the embedded metric format: every figure of the core is in a line of the log, from which
//! CloudWatch Logs extracts the metrics. That needs no permission but the one to log. The specification is in the CloudWatch user guide (Specification: Embedded
//! metric format).

use serde_json::{Map, Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Backfill";

/// The sets of dimensions that each metric of a run has: what alarms and the dashboard watch, and one run by itself. AWS bills each
/// metric once for each set and value, for the hours in which it is sent.
const DIMENSIONS: [&[&str]; 2] = [&["Table"], &["Table", "RunId"]];

/// The set of those that are of no run: a guard's.
const WITHOUT_RUN: [&[&str]; 1] = [&["Table"]];

/// The field of an event that gives a dimension its value, and the dimension.
const DIMENSION_FIELDS: [(&str, &str); 2] = [("table", "Table"), ("run_id", "RunId")];

/// A metric of CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The field of the event (`backfill_core::engine::metrics`).
    field: &'static str,
    /// Its name in CloudWatch.
    pub name: &'static str,
    unit: &'static str,
}

const fn metric(field: &'static str, name: &'static str, unit: &'static str) -> Metric {
    Metric { field, name, unit }
}

/// Every metric that there is. template.yaml names them.
pub const METRICS: [Metric; 23] = [
    metric("scanned", "ItemsScanned", "Count"),
    metric("updated", "ItemsUpdated", "Count"),
    metric("raced", "ItemsRaced", "Count"),
    metric("vanished", "ItemsVanished", "Count"),
    metric("rejected", "ItemsRejected", "Count"),
    metric("contended", "ItemsContended", "Count"),
    metric("consumed_wcu", "ConsumedWriteUnits", "Count"),
    metric("consumed_rcu", "ConsumedReadUnits", "Count"),
    metric("throttles", "Throttles", "Count"),
    metric("max_wcu", "MaxWriteUnits", "Count/Second"),
    metric("max_rcu", "MaxReadUnits", "Count/Second"),
    metric("pass", "Pass", "None"),
    metric("segments_done", "SegmentsDone", "Count"),
    metric("segments_total", "SegmentsTotal", "Count"),
    metric("verified", "ItemsVerified", "Count"),
    metric("remaining", "ItemsRemaining", "Count"),
    metric("records_seen", "RecordsSeen", "Count"),
    metric("repaired", "ItemsRepaired", "Count"),
    metric("guard_raced", "GuardRaced", "Count"),
    metric("guard_vanished", "GuardVanished", "Count"),
    metric("guard_failed", "GuardFailed", "Count"),
    metric("record_age_ms", "RecordAge", "Milliseconds"),
    metric("guard_looks", "GuardLooks", "Count"),
];

/// The line for an event with these fields. Fields that are no metric stay as they are: Logs Insights finds them.
pub(crate) fn document(mut fields: Map<String, Value>, now_ms: u64) -> Value {
    let mut directives = Vec::new();
    for Metric { field, name, unit } in METRICS {
        if let Some(value) = fields.remove(field) {
            directives.push(json!({"Name": name, "Unit": unit}));
            fields.insert(name.to_owned(), value);
        }
    }
    let dimensions: &[&[&str]] = match fields.contains_key("run_id") {
        true => &DIMENSIONS,
        false => &WITHOUT_RUN,
    };
    for (field, dimension) in DIMENSION_FIELDS {
        // run_id stays besides, as every line of a run has it.
        if let Some(value) = fields.get(field).cloned() {
            fields.insert(dimension.to_owned(), value);
        }
    }
    let metadata = json!({
        "Timestamp": now_ms,
        "CloudWatchMetrics": [{
            "Namespace": NAMESPACE,
            "Dimensions": dimensions,
            "Metrics": directives,
        }],
    });
    fields.insert("_aws".to_owned(), metadata);
    Value::Object(fields)
}
