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
        let begins = self.text("StartingPosition").unwrap_or("TRIM_HORIZON");
        if begins != "TRIM_HORIZON" {
            return Some(format!(
                "its starting position is {begins}, expected TRIM_HORIZON"
            ));
        }
        let filters = self.settings.get("FilterCriteria");
        let filters = filters.and_then(|criteria| criteria.get("Filters")?.as_array());
        let filters = filters.map(Vec::as_slice).unwrap_or_default();
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

    /// Why nobody reads of the records that Lambda has given up, for a person, by the mappings of where it tells of them; `None` if this
    /// mapping's function does. Messages of a queue are kept for some days, and then gone.
    pub fn unread(&self, of_queue: &[EventSourceMapping]) -> Option<String> {
        let queue = self.on_failure()?;
        let mut mine = of_queue
            .iter()
            .filter(|mapping| is_same_function(&mapping.function_arn, &self.function_arn));
        let first = mine.clone().next();
        if mine.any(EventSourceMapping::is_on) {
            return None;
        }
        let why = match first {
            Some(EventSourceMapping { uuid, state, .. }) => format!(
                "event source mapping {uuid} is {state}; enable it with aws lambda update-event-source-mapping --uuid {uuid} --enabled"
            ),
            None => format!(
                "no event source mapping does; connect it with aws lambda create-event-source-mapping --event-source-arn {queue} \
                 --function-name {} --batch-size 1 --function-response-types ReportBatchItemFailures",
                self.function_arn
            ),
        };
        Some(format!(
            "nobody brings the guard function word of the records that Lambda gives up, which is in {queue}: {why}"
        ))
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
    fn whoever_reads_of_what_was_given_up_is_the_mappings_own_function() {
        let arn = |function: &str| format!("arn:aws:lambda:eu-west-1:1:function:{function}");
        let of = |function: &str, state: &str| {
            mapping(&json!({"FunctionArn": arn(function), "State": state, "UUID": "7"}))
        };
        let guard = of("orders-guard:live", "Enabled");
        let unread = |readers: &[EventSourceMapping]| guard.unread(readers);
        for reader in ["orders-guard", "orders-guard:live"] {
            assert_eq!(
                unread(&[of("others", "Disabled"), of(reader, "Enabled")]),
                None
            );
        }
        let off = unread(&[
            of("others", "Enabled"),
            of("orders-guard:live", "Disabling"),
        ])
        .unwrap();
        assert!(
            off.contains("event source mapping 7 is Disabling; enable it"),
            "{off}"
        );
        let gone = unread(&[of("others", "Enabled")]).unwrap();
        let connect = format!(
            "--event-source-arn arn:aws:sqs:eu-west-1:111122223333:dead --function-name {}",
            arn("orders-guard:live")
        );
        assert!(gone.contains(&connect), "{gone}");
        // Nobody is told: that is a setting that lets records pass.
        assert_eq!(
            mapping(&json!({"DestinationConfig": null})).unread(&[]),
            None
        );
    }
}
