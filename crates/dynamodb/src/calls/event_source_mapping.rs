//! An event source mapping of Lambda: what takes records from a stream to a function.

use backfill_core::guard::FoundMapping;
use backfill_core::printable;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// What takes records from a stream to a function
/// ([API_EventSourceMappingConfiguration](https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventSourceMapping {
    /// Its id.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// Creating, Enabling, Enabled, Disabling, Disabled, Updating or Deleting.
    pub state: String,
    /// Whose records it takes: the ARN of a table's stream.
    #[serde(default)]
    pub event_source_arn: String,
    /// The function, with version or alias if it is of one.
    #[serde(default)]
    pub function_arn: String,
    /// Whatever else Lambda says of it, by Lambda's names, such as `BatchSize` and `StartingPosition`.
    #[serde(flatten)]
    pub settings: Map<String, Json>,
}

impl EventSourceMapping {
    /// True if it takes records, or is about to: with TRIM_HORIZON it misses none meanwhile. One in any other state has ended, or is
    /// about to.
    pub fn is_on(&self) -> bool {
        matches!(
            self.state.as_str(),
            "Creating" | "Enabling" | "Enabled" | "Updating"
        )
    }

    /// What a guard has to know of it.
    pub fn found(&self) -> FoundMapping {
        FoundMapping {
            uuid: self.uuid.clone(),
            state: self.state.clone(),
            is_on: self.is_on(),
            problem: self.problem().map(|problem| {
                let problem = printable(problem);
                format!("Lambda cannot bring the guard function its records: {problem}")
            }),
            drops: self.drops(),
        }
    }

    /// Which of its settings lets it pass over an item that was written, with nobody told; `None` if none does.
    pub fn drops(&self) -> Option<String> {
        if self.on_failure().is_none() {
            return Some(
                "it has no destination on failure for records that Lambda gives up".into(),
            );
        }
        if !self.reports_failures() {
            return Some(
                "it has no ReportBatchItemFailures, so that records that are to come again do not"
                    .into(),
            );
        }
        let begins = self.text("StartingPosition").unwrap_or("TRIM_HORIZON");
        if begins != "TRIM_HORIZON" {
            return Some(format!(
                "its starting position is {begins}, expected TRIM_HORIZON"
            ));
        }
        let filters = self.filters();
        let mut patterns = filters
            .iter()
            .map(|filter| filter["Pattern"].as_str().unwrap_or_default());
        // A record has to meet one of them.
        let has_all = filters.is_empty() || patterns.clone().any(has_all_writes);
        (!has_all).then(|| {
            let pattern = patterns.next().unwrap_or_default();
            format!("its filter {} passes over records", printable(pattern))
        })
    }

    /// Its filters; empty if it has none.
    fn filters(&self) -> &[Json] {
        let criteria = self.settings.get("FilterCriteria");
        let filters = criteria.and_then(|criteria| criteria.get("Filters")?.as_array());
        filters.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether what the function answers as failed comes again; else that passes for settled.
    fn reports_failures(&self) -> bool {
        let types = self.settings.get("FunctionResponseTypes");
        let mut types = types.and_then(Json::as_array).into_iter().flatten();
        types.any(|one| one == "ReportBatchItemFailures")
    }

    /// Why this mapping's function does not get word of all records that Lambda has given up, with what to do, by the mappings of the
    /// queue that is told of them; `None` if it does, or if nothing is told. Messages of a queue are kept for some days, and then gone.
    pub fn unread(&self, of_queue: &[EventSourceMapping]) -> Option<String> {
        let queue = self.on_failure()?;
        let update = |uuid: &str| format!("aws lambda update-event-source-mapping --uuid {uuid}");
        let why = match queue.split(':').nth(2) {
            Some("sqs") => self.badly_read(queue, of_queue, update)?,
            _ => format!(
                "it is no queue that the function reads; set it back to the stack's with {} --destination-config",
                update(&self.uuid)
            ),
        };
        Some(format!(
            "the guard function does not get word of all records that Lambda gives up, which is told to {queue}: {why}"
        ))
    }

    fn badly_read(
        &self,
        queue: &str,
        of_queue: &[EventSourceMapping],
        update: impl Fn(&str) -> String,
    ) -> Option<String> {
        let is_mine = |mapping: &&EventSourceMapping| {
            is_same_function(&mapping.function_arn, &self.function_arn)
        };
        let (mine, others): (Vec<_>, Vec<_>) = of_queue.iter().partition(is_mine);
        if let Some(other) = others.iter().find(|mapping| mapping.is_on()) {
            return Some(format!(
                "function {} takes messages from it as well; disable that with {} --no-enabled",
                function_name(&other.function_arn),
                update(&other.uuid)
            ));
        }
        let on = mine.iter().find(|mapping| mapping.is_on());
        let Some(reader) = on.or(mine.first()) else {
            return Some(format!(
                "no event source mapping brings it; connect it with aws lambda create-event-source-mapping --event-source-arn {queue} \
                 --function-name {} --batch-size 1 --function-response-types ReportBatchItemFailures",
                self.function_arn
            ));
        };
        let EventSourceMapping { uuid, state, .. } = reader;
        let update = update(uuid);
        if !reader.is_on() {
            return Some(format!(
                "event source mapping {uuid} is {state}; enable it with {update} --enabled"
            ));
        }
        if !reader.filters().is_empty() {
            return Some(format!(
                "event source mapping {uuid} has a filter; take it away with {update} --filter-criteria '{{}}'"
            ));
        }
        (!reader.reports_failures()).then(|| {
            format!(
                "event source mapping {uuid} lets go of messages that are to come again; set {update} --function-response-types \
                 ReportBatchItemFailures"
            )
        })
    }

    /// A setting that is text, such as `StartingPosition`, `LastProcessingResult` and `StateTransitionReason`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.settings.get(name)?.as_str()
    }

    /// Why its last records could not be read or handed over, such as `PROBLEM: Function call failed`; `None` if they were.
    pub fn problem(&self) -> Option<&str> {
        let result = self.text("LastProcessingResult")?;
        result.starts_with("PROBLEM").then_some(result)
    }

    /// A setting that is a whole number, such as `BatchSize` and `MaximumRecordAgeInSeconds`.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.settings.get(name)?.as_i64()
    }

    /// The ARN of what gets word of records that Lambda has given up, such as a queue; `None` if nothing does.
    pub fn on_failure(&self) -> Option<&str> {
        let destination = self.settings.get("DestinationConfig")?.get("OnFailure")?;
        destination.get("Destination")?.as_str()
    }

    /// When it, or its state, was changed last, in milliseconds since 1970. JSON over REST has times in seconds, with a fraction.
    pub fn last_modified_ms(&self) -> Option<u64> {
        let seconds = self.settings.get("LastModified")?.as_f64()?;
        (seconds > 0.0).then_some((seconds * 1_000.0) as u64)
    }
}

/// Whether the records of all writes meet this pattern of a filter: it asks for nothing but INSERT and MODIFY.
fn has_all_writes(pattern: &str) -> bool {
    let pattern: Map<String, Json> = serde_json::from_str(pattern).unwrap_or_default();
    let names = pattern.get("eventName").and_then(Json::as_array);
    let has = |name: &str| names.is_some_and(|names| names.iter().any(|one| one == name));
    pattern.len() == 1 && has("INSERT") && has("MODIFY")
}

/// The name of a function in its ARN, which may have a version or an alias behind it: `arn:aws:lambda:region:account:function:name`.
pub fn function_name(arn: &str) -> &str {
    arn.split(':').nth(6).unwrap_or(arn)
}

/// The stack of a guard function, by the name that a stack gives it; `None` if it is another function.
pub fn stack_of_guard(function_arn: &str) -> Option<&str> {
    function_name(function_arn).strip_suffix("-guard")
}

/// Whether two ARNs are of one function, whatever version or alias they name.
pub fn is_same_function(one: &str, other: &str) -> bool {
    let function = |arn: &str| -> Vec<String> { arn.split(':').take(7).map(Into::into).collect() };
    function(one).len() == 7 && function(one) == function(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapping(settings: &Json) -> EventSourceMapping {
        let queue = "arn:aws:sqs:eu-west-1:111122223333:dead";
        let mut mapping = json!({"UUID": "1", "State": "Enabled", "StartingPosition": "TRIM_HORIZON",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": queue}},
            "FilterCriteria": {"Filters": [{"Pattern": r#"{"eventName": ["INSERT", "MODIFY"]}"#}]}});
        let fields = mapping.as_object_mut().unwrap();
        fields.extend(settings.as_object().unwrap().clone());
        serde_json::from_value(mapping).unwrap()
    }

    #[test]
    fn a_mapping_that_may_pass_over_records_says_by_which_setting() {
        let filter = |pattern: &str| json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}});
        for (settings, why) in [
            (json!({}), None),
            (json!({"FilterCriteria": null}), None),
            (json!({"FilterCriteria": {"Filters": []}}), None),
            (
                filter(r#"{"eventName": ["REMOVE", "MODIFY", "INSERT"]}"#),
                None,
            ),
            (
                filter(r#"{"eventName": ["MODIFY"]}"#),
                Some("passes over records"),
            ),
            (
                filter(
                    r#"{"eventName": ["INSERT", "MODIFY"], "dynamodb": {"Keys": {"id": {"S": ["a"]}}}}"#,
                ),
                Some("dynamodb"),
            ),
            (filter("not json"), Some("not json")),
            (
                json!({"DestinationConfig": {}}),
                Some("no destination on failure"),
            ),
            (json!({"StartingPosition": "LATEST"}), Some("is LATEST")),
            (
                json!({"FunctionResponseTypes": []}),
                Some("no ReportBatchItemFailures"),
            ),
        ] {
            let drops = mapping(&settings).drops();
            match why {
                Some(why) => assert!(drops.unwrap().contains(why), "{settings}"),
                None => assert_eq!(drops, None, "{settings}"),
            }
        }
    }

    #[test]
    fn a_mapping_is_on_if_it_takes_records_or_is_about_to() {
        let on = [
            "Creating",
            "Enabling",
            "Enabled",
            "Updating",
            "Disabling",
            "Disabled",
            "Deleting",
        ];
        let on = on.map(|state| mapping(&json!({"State": state})).is_on());
        assert_eq!(on, [true, true, true, true, false, false, false]);
    }

    #[test]
    fn a_function_is_known_by_its_name_whatever_is_behind_it() {
        let arn = "arn:aws:lambda:eu-west-1:111122223333:function:orders-guard";
        let alias = format!("{arn}:live");
        for arn in [arn, &alias] {
            assert_eq!(function_name(arn), "orders-guard");
            assert_eq!(stack_of_guard(arn), Some("orders"));
            assert!(is_same_function(arn, &alias));
        }
        assert_eq!(stack_of_guard(&format!("{arn}ian")), None);
        assert!(is_same_function(arn, &format!("{arn}:7")));
        for other in ["", "orders-guard", &format!("{arn}2")] {
            assert!(!is_same_function(other, arn), "{other}");
        }
        assert!(!is_same_function("", ""));
    }

    #[test]
    fn whoever_reads_of_what_was_given_up_is_the_mappings_own_function_and_loses_no_message() {
        let arn = |function: &str| format!("arn:aws:lambda:eu-west-1:1:function:{function}");
        let of = |function: &str, state: &str| {
            let settings = json!({"FunctionArn": arn(function), "State": state, "UUID": "7", "FilterCriteria": null});
            mapping(&settings)
        };
        let with = |settings: Json| {
            let mut reader = of("orders-guard", "Enabled");
            reader
                .settings
                .extend(settings.as_object().unwrap().clone());
            reader
        };
        let guard = of("orders-guard:live", "Enabled");
        for reader in ["orders-guard", "orders-guard:live"] {
            let of_queue = [
                of("others", "Disabled"),
                of(reader, "Disabled"),
                of(reader, "Enabled"),
            ];
            assert_eq!(guard.unread(&of_queue), None);
        }
        let filter = json!({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}});
        let connect = format!(
            "--event-source-arn arn:aws:sqs:eu-west-1:111122223333:dead --function-name {}",
            arn("orders-guard:live")
        );
        for (of_queue, says) in [
            (vec![], connect.as_str()),
            (
                vec![of("others", "Enabled"), of("orders-guard", "Enabled")],
                "function others takes messages from it as well",
            ),
            (
                vec![of("orders-guard", "Disabled")],
                "mapping 7 is Disabled; enable it with aws lambda update-event-source-mapping --uuid 7",
            ),
            (vec![with(filter)], "mapping 7 has a filter"),
            (
                vec![with(json!({"FunctionResponseTypes": []}))],
                "--uuid 7 --function-response-types ReportBatchItemFailures",
            ),
        ] {
            let said = guard.unread(&of_queue).unwrap();
            assert!(said.contains(says), "{said}");
        }
        let told =
            |destination: Json| mapping(&json!({"DestinationConfig": destination})).unread(&[]);
        let topic =
            told(json!({"OnFailure": {"Destination": "arn:aws:sns:eu-west-1:1:topic"}})).unwrap();
        assert!(
            topic.contains("topic: it is no queue")
                && topic.contains("--uuid 1 --destination-config"),
            "{topic}"
        );
        // Nobody is told: that is a setting that lets records pass.
        assert_eq!(told(json!(null)), None);
    }
}
