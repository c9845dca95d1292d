//! The functions that a description connects to a table's stream, held against the event source mappings that Lambda has.

use backfill_core::{Error, Result};
use backfill_dynamodb::calls::EventSourceMapping;
use serde_json::{Map, Value as Json, json};

use crate::definition::OF_A_MAPPING;

/// An event source mapping that is to be there.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    /// How a difference calls it: by the function.
    label: String,
    /// The function by its name or ARN, with a version or alias if it has to be that one; `None` if any will do.
    function: Option<String>,
    /// By Lambda's names.
    settings: Map<String, Json>,
}

/// The mappings of a description: a list of objects, each with the function's name or ARN, or `{"Ref": …}` for one that only a
/// template names, and the settings that it is to have. It is to be enabled unless `Enabled` is false.
///
/// Errors: `InvalidInput` naming what is not known.
pub(super) fn read(field: Json) -> Result<Vec<Connected>> {
    let Json::Array(list) = field else {
        return Err(refused("expected a list of event source mappings"));
    };
    if list.is_empty() {
        return Err(refused(
            "the list is empty; leave it out to expect nothing of them",
        ));
    }
    list.into_iter().map(Connected::read).collect()
}

fn refused(why: &str) -> Error {
    Error::invalid("EventSourceMappings", why)
}

impl Connected {
    fn read(entry: Json) -> Result<Connected> {
        let Json::Object(mut settings) = entry else {
            return Err(refused("expected an object for each, with FunctionName"));
        };
        let function = settings.remove("FunctionName").unwrap_or_default();
        let (label, function) = match (&function, &function["Ref"]) {
            (Json::String(name), _) => (name.clone(), Some(name.clone())),
            (_, Json::String(logical)) => (logical.clone(), None),
            _ => {
                return Err(refused(
                    "expected the name or ARN of a function as FunctionName",
                ));
            }
        };
        for name in settings.keys() {
            if !OF_A_MAPPING.contains(&name.as_str()) {
                let known = OF_A_MAPPING.join(", ");
                let why = format!("{name} is not known; expected FunctionName and some of {known}");
                return Err(refused(&why));
            }
        }
        settings.entry("Enabled").or_insert(Json::Bool(true));
        Ok(Connected {
            label,
            function,
            settings,
        })
    }

    /// What a difference begins with.
    fn place(&self) -> String {
        format!("EventSourceMappings.{}", self.label)
    }

    /// Whether this mapping is of the function.
    fn is_of(&self, mapping: &EventSourceMapping) -> bool {
        let Some(expected) = &self.function else {
            return true;
        };
        // "arn:aws:lambda:eu-west-1:123456789012:function:NAME:ALIAS", of which an expected one may leave out the begin and the end
        // (Lambda's API reference, CreateEventSourceMapping, FunctionName).
        let found = match expected.contains(":function:") {
            true => mapping.function_arn.as_str(),
            false => {
                let (_, named) = mapping
                    .function_arn
                    .split_once(":function:")
                    .unwrap_or_default();
                named
            }
        };
        let rest = match expected.starts_with("arn:") || !expected.contains(":function:") {
            true => found.strip_prefix(expected.as_str()),
            false => found.split_once(expected.as_str()).map(|(_, rest)| rest),
        };
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }

    /// What of it differs.
    fn differences(&self, mapping: &EventSourceMapping) -> Vec<String> {
        let place = self.place();
        let mut differences = Vec::new();
        for (name, expected) in &self.settings {
            let (name, expected, found) = match name.as_str() {
                "Enabled" => {
                    let state = match expected {
                        Json::Bool(false) => "Disabled",
                        _ => "Enabled",
                    };
                    ("State", json!(state), json!(mapping.state))
                }
                name => {
                    let found = mapping.settings.get(name).unwrap_or(&Json::Null);
                    (name, comparable(name, expected), comparable(name, found))
                }
            };
            compare(
                &format!("{place}.{name}"),
                &expected,
                &found,
                &mut differences,
            );
        }
        differences
    }
}

/// What differs from the mappings that the stream has, a line each. More of them than expected are no difference: others may read the
/// stream as well.
pub(super) fn differences(expected: &[Connected], found: &[EventSourceMapping]) -> Vec<String> {
    let mut left: Vec<&EventSourceMapping> = found.iter().collect();
    let mut differences = Vec::new();
    for one in expected {
        // A function may have several, of different versions: the one is meant that is most like it.
        let nearest = left
            .iter()
            .enumerate()
            .filter(|(_, mapping)| one.is_of(mapping))
            .map(|(at, mapping)| (at, one.differences(mapping)))
            .min_by_key(|(_, differences)| differences.len());
        match nearest {
            Some((at, its_differences)) => {
                left.remove(at);
                differences.extend(its_differences);
            }
            None => differences.push(format!("{}: {}", one.place(), missing(found))),
        }
    }
    differences
}

/// What differs if the table has no stream.
pub(super) fn without_stream(expected: &[Connected]) -> Vec<String> {
    let why = "expected, but the table has no stream";
    expected
        .iter()
        .map(|one| format!("{}: {why}", one.place()))
        .collect()
}

fn missing(found: &[EventSourceMapping]) -> String {
    let functions: Vec<&str> = found.iter().map(|mapping| &*mapping.function_arn).collect();
    match functions.is_empty() {
        true => "expected, but no function is connected to the table's stream".into(),
        false => format!(
            "expected, but the table's stream is connected to {} alone",
            functions.join(", ")
        ),
    }
}

/// A setting in a form in which the spelling of a filter's pattern does not count, which is JSON in a text.
fn comparable(name: &str, value: &Json) -> Json {
    let mut value = value.clone();
    if name == "FilterCriteria"
        && let Some(filters) = value.get_mut("Filters").and_then(Json::as_array_mut)
    {
        for filter in filters {
            let pattern = filter["Pattern"].as_str();
            if let Some(Ok(pattern)) = pattern.map(serde_json::from_str::<Json>) {
                filter["Pattern"] = pattern;
            }
        }
    }
    value
}

/// Adds what differs, by its path. Only what is expected counts.
fn compare(path: &str, expected: &Json, found: &Json, differences: &mut Vec<String>) {
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) if !path.ends_with("Pattern") => {
            for (name, expected) in expected {
                let found = found.get(name).unwrap_or(&Json::Null);
                compare(&format!("{path}.{name}"), expected, found, differences);
            }
        }
        _ if expected == found => {}
        (_, Json::Null) => differences.push(format!("{path}: expected {expected}, found none")),
        _ => differences.push(format!("{path}: expected {expected}, found {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(function: &str, state: &str, settings: Json) -> EventSourceMapping {
        let mut whole = json!({"UUID": "1", "State": state,
            "FunctionArn": format!("arn:aws:lambda:eu-west-1:123456789012:function:{function}")});
        let fields = whole.as_object_mut().unwrap();
        fields.extend(settings.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn found_by(expected: Json, found: &[EventSourceMapping]) -> Vec<String> {
        differences(&read(expected).unwrap(), found)
    }

    #[test]
    fn a_mapping_is_held_against_what_is_expected_of_it() {
        let settings = json!({"BatchSize": 100, "StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 3,
            "FilterCriteria": {"Filters": [{"Pattern": r#"{"eventName":["INSERT"]}"#}]},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": "arn:q"}, "OnSuccess": {}}});
        let as_is = {
            let mut as_is = settings.clone();
            as_is["FunctionName"] = json!("consumer");
            as_is["FilterCriteria"] =
                json!({"Filters": [{"Pattern": r#"{ "eventName": ["INSERT"] }"#}]});
            as_is["DestinationConfig"] = json!({"OnFailure": {"Destination": "arn:q"}});
            as_is
        };
        let found = [mapping("consumer", "Enabled", settings.clone())];
        assert_eq!(found_by(json!([as_is]), &found), [""; 0]);
        let place = "EventSourceMappings.consumer";
        for (field, value, difference) in [
            ("BatchSize", json!(10), "BatchSize: expected 10, found 100"),
            (
                "StartingPosition",
                json!("LATEST"),
                r#"StartingPosition: expected "LATEST", found "TRIM_HORIZON""#,
            ),
            (
                "Enabled",
                json!(false),
                r#"State: expected "Disabled", found "Enabled""#,
            ),
            (
                "MaximumRecordAgeInSeconds",
                json!(60),
                "MaximumRecordAgeInSeconds: expected 60, found none",
            ),
            (
                "DestinationConfig",
                json!({"OnFailure": {"Destination": "arn:other"}}),
                r#"DestinationConfig.OnFailure.Destination: expected "arn:other", found "arn:q""#,
            ),
            (
                "FilterCriteria",
                json!({"Filters": []}),
                r#"FilterCriteria.Filters: expected [], found [{"Pattern":{"eventName":["INSERT"]}}]"#,
            ),
            (
                "FunctionResponseTypes",
                json!([]),
                r#"FunctionResponseTypes: expected [], found ["ReportBatchItemFailures"]"#,
            ),
        ] {
            let mut expected = as_is.clone();
            expected[field] = value;
            let differences = found_by(json!([expected]), &found);
            assert_eq!(differences, [format!("{place}.{difference}")]);
        }
        let disabled = [mapping("consumer", "Disabled", settings)];
        assert_eq!(
            found_by(json!([as_is]), &disabled),
            [format!(
                r#"{place}.State: expected "Enabled", found "Disabled""#
            )]
        );
    }

    #[test]
    fn a_function_is_known_by_name_version_and_arn() {
        let found = [mapping("consumer:live", "Enabled", json!({}))];
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:consumer";
        for function in [
            json!("consumer"),
            json!("consumer:live"),
            json!(arn),
            json!(format!("{arn}:live")),
            json!("123456789012:function:consumer"),
            json!({"Ref": "Anything"}),
        ] {
            let expected = json!([{"FunctionName": function}]);
            assert_eq!(found_by(expected, &found), [""; 0], "{function}");
        }
        for function in [
            "consume",
            "consumer:other",
            "live",
            "arn:aws:lambda:eu-west-1:1:function:consumer",
        ] {
            let expected = json!([{"FunctionName": function}]);
            assert_eq!(
                found_by(expected, &found),
                [format!(
                    "EventSourceMappings.{function}: expected, but the table's stream is connected to {arn}:live alone"
                )]
            );
        }
        assert_eq!(
            found_by(json!([{"FunctionName": {"Ref": "Consumer"}}]), &[]),
            [
                "EventSourceMappings.Consumer: expected, but no function is connected to the table's stream"
            ]
        );
    }

    #[test]
    fn of_several_the_one_is_meant_that_is_most_like_it_and_each_once() {
        let found = [
            mapping("f:1", "Disabled", json!({"BatchSize": 1})),
            mapping("f:2", "Enabled", json!({"BatchSize": 2})),
        ];
        let one = json!({"FunctionName": "f", "BatchSize": 2});
        assert_eq!(found_by(json!([one]), &found), [""; 0]);
        assert_eq!(found_by(json!([one, one]), &found).len(), 2);
        assert_eq!(found_by(json!([one, one, one]), &found).len(), 3);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (expected, why) in [
            (json!({}), "expected a list"),
            (json!([]), "the list is empty"),
            (json!(["f"]), "an object for each"),
            (json!([{"BatchSize": 1}]), "as FunctionName"),
            (
                json!([{"FunctionName": "f", "Batchsize": 1}]),
                "Batchsize is not known",
            ),
        ] {
            let error = read(expected).unwrap_err().to_string();
            assert!(
                error.starts_with("EventSourceMappings: ") && error.contains(why),
                "{error}"
            );
        }
    }
}
