//! What connects a table's stream to functions, as a template says it: event source mappings, and SAM's DynamoDB events of functions.

use backfill_core::{Error, Result};
use serde_json::{Map, Value as Json, json};

use super::fields::OF_A_MAPPING;
use super::scope::{Scope, function};

/// An event source mapping in a template.
struct Written<'a> {
    /// Its resource, or that of the function whose event it is.
    resource: &'a str,
    /// "Consumer.Properties.Events.Changes": where its properties stand.
    place: String,
    properties: &'a Json,
    /// The property that names the stream.
    stream: &'static str,
    /// The function.
    function: Json,
}

/// The event source mappings that a template puts on the stream of this table, of this name, in the form of a description: settings
/// by Lambda's names and `FunctionName`, which is `{"Ref": …}` if the function has no name before there is a stack. What of them is
/// not checked, and those of which it is not known whether they are of this table, are among the notes.
pub(super) fn mappings_of(
    resources: &Map<String, Json>,
    table: &str,
    table_name: Option<&Json>,
    scope: &Scope,
    notes: &mut Vec<String>,
) -> Vec<Json> {
    let mut mappings = Vec::new();
    for written in resources
        .iter()
        .flat_map(|(name, resource)| written_in(name, resource))
    {
        let resource = &resources[written.resource];
        match is_meant(&written, resource, table, table_name, scope) {
            Ok(true) => mappings.push(described(&written, resources, scope, notes)),
            Ok(false) => {}
            Err(error) => notes.push(format!("{} is not checked: {error}", written.place)),
        }
    }
    mappings
}

/// The mappings that a resource has in it.
fn written_in<'a>(name: &'a str, resource: &'a Json) -> Vec<Written<'a>> {
    let properties = &resource["Properties"];
    match resource["Type"].as_str() {
        Some("AWS::Lambda::EventSourceMapping") => vec![Written {
            resource: name,
            place: name.to_owned(),
            properties,
            stream: "EventSourceArn",
            function: properties["FunctionName"].clone(),
        }],
        Some("AWS::Serverless::Function") => {
            let events = properties["Events"].as_object().into_iter().flatten();
            events
                .filter(|(_, event)| event["Type"] == "DynamoDB")
                .map(|(event, written)| Written {
                    resource: name,
                    place: format!("event {event} of {name}"),
                    properties: &written["Properties"],
                    stream: "Stream",
                    function: json!({"Ref": name}),
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the mapping is made at all, and takes the stream of this table.
fn is_meant(
    written: &Written<'_>,
    resource: &Json,
    table: &str,
    table_name: Option<&Json>,
    scope: &Scope,
) -> Result<bool> {
    let path = format!("Resources.{}", written.resource);
    if !resource["Condition"].is_null() && !scope.is_met(&path, &resource["Condition"])? {
        return Ok(false);
    }
    let path = format!("{path}.{}", written.stream);
    let stream = scope.chosen(&path, &written.properties[written.stream])?;
    if let Some((resource, attribute)) = referred(&stream)
        && attribute == Some("StreamArn")
    {
        return Ok(resource == table);
    }
    if stream.is_null() {
        return Err(Error::invalid(&path, "expected the ARN of a stream"));
    }
    let arn = scope.text(&path, &stream)?;
    let of = arn
        .split_once(":table/")
        .and_then(|(_, rest)| rest.split_once("/stream/"));
    Ok(of.is_some_and(|(name, _)| table_name.is_some_and(|table| table == name)))
}

/// What is expected of the mapping, as far as it is known.
fn described(
    written: &Written<'_>,
    resources: &Map<String, Json>,
    scope: &Scope,
    notes: &mut Vec<String>,
) -> Json {
    let mut expected = Map::new();
    for (field, value) in written.properties.as_object().into_iter().flatten() {
        if field == written.stream || field == "FunctionName" {
            continue;
        }
        let path = format!("Resources.{}.{field}", written.resource);
        let resolved = match OF_A_MAPPING.contains(&field.as_str()) {
            true => scope.resolve(&path, field, value.clone()),
            false => Err(Error::invalid(field, "is not looked at")),
        };
        match resolved {
            Ok(value) => expected.extend(value.map(|value| (field.clone(), value))),
            Err(_) => notes.push(format!("{field} of {} is not checked", written.place)),
        }
    }
    let function = function_of(written, resources, scope);
    expected.insert("FunctionName".into(), function);
    expected.into()
}

/// The function's name, or how the template calls it, or the mapping.
fn function_of(written: &Written<'_>, resources: &Map<String, Json>, scope: &Scope) -> Json {
    let path = format!("Resources.{}.FunctionName", written.resource);
    let of_resource = |name: &str| {
        let named = &resources.get(name)?["Properties"]["FunctionName"];
        let named = scope.text(&path, named).ok();
        Some(named.map_or_else(|| json!({"Ref": name}), Json::String))
    };
    let function = scope.chosen(&path, &written.function).unwrap_or_default();
    referred(&function)
        .and_then(|(name, _)| of_resource(name))
        .or_else(|| scope.text(&path, &function).ok().map(Json::String))
        .unwrap_or_else(|| json!({"Ref": written.resource}))
}

/// The resource that a function refers to, and the attribute of it if it asks for one: `!Ref A`, `!GetAtt A.Arn`, `!Sub ${A.Arn}`.
fn referred(value: &Json) -> Option<(&str, Option<&str>)> {
    let named = match function(value.as_object()?)? {
        ("Ref" | "Fn::GetAtt", Json::String(named)) => named.as_str(),
        ("Fn::GetAtt", Json::Array(parts)) => {
            let attribute = parts.get(1).and_then(Json::as_str);
            return Some((parts.first()?.as_str()?, attribute));
        }
        ("Fn::Sub", Json::String(template)) => template.strip_prefix("${")?.strip_suffix('}')?,
        _ => return None,
    };
    Some(match named.split_once('.') {
        Some((resource, attribute)) => (resource, Some(attribute)),
        None => (named, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Choice, Definition, read};

    const TEMPLATE: &str = r#"
Parameters:
  Batch: { Type: Number, Default: 100 }
  Stream: { Type: String, Default: "" }
  Watched: { Type: String, Default: "true" }
Conditions:
  IsWatched: !Equals [!Ref Watched, "true"]
  HasStream: !Not [!Equals [!Ref Stream, ""]]
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties: { TableName: orders }
  Other:
    Type: AWS::DynamoDB::Table
    Properties: { TableName: other }
  Named:
    Type: AWS::Lambda::Function
    Properties: { FunctionName: !Sub "consumer-${Watched}" }
  Unnamed:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Changes:
          Type: DynamoDB
          Properties: { Stream: !GetAtt Orders.StreamArn, StartingPosition: LATEST, Enabled: !If [IsWatched, true, false] }
        Hourly: { Type: Schedule, Properties: { Schedule: rate(1 hour) } }
  OfNamed:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Orders.StreamArn
      FunctionName: !GetAtt Named.Arn
      BatchSize: !Ref Batch
      MaximumRetryAttempts: "3"
      FunctionResponseTypes: [ReportBatchItemFailures]
      DestinationConfig: { OnFailure: { Destination: !GetAtt Queue.Arn } }
      Tags: [{ Key: a, Value: b }]
  OfOther:
    Type: AWS::Lambda::EventSourceMapping
    Properties: { EventSourceArn: { "Fn::GetAtt": [Other, StreamArn] }, FunctionName: !Ref Named }
  ByArn:
    Type: AWS::Lambda::EventSourceMapping
    Condition: HasStream
    Properties: { EventSourceArn: !Ref Stream, FunctionName: !Ref Batch, Enabled: "false" }
  Odd:
    Type: AWS::Lambda::EventSourceMapping
    Properties: { EventSourceArn: !ImportValue Elsewhere, FunctionName: f }
"#;

    fn described(table: &str, parameters: &[&str]) -> Definition {
        let parameters: Vec<String> = parameters.iter().map(|p| (*p).to_owned()).collect();
        let choice = Choice {
            resource: Some(table),
            parameters: &parameters,
        };
        read(TEMPLATE, None, &choice).unwrap()
    }

    #[test]
    fn the_mappings_of_a_template_are_those_of_the_tables_stream() {
        let definition = described("Orders", &[]);
        assert_eq!(
            definition.fields["EventSourceMappings"],
            json!([
                {"FunctionName": "consumer-true", "BatchSize": 100, "MaximumRetryAttempts": 3,
                    "FunctionResponseTypes": ["ReportBatchItemFailures"]},
                {"FunctionName": {"Ref": "Unnamed"}, "StartingPosition": "LATEST", "Enabled": true},
            ])
        );
        assert_eq!(definition.notes.len(), 3, "{:?}", definition.notes);
        assert!(
            definition.notes[0].starts_with("Odd is not checked: Resources.Odd.EventSourceArn: ")
        );
        assert_eq!(
            definition.notes[1..],
            [
                "DestinationConfig of OfNamed is not checked",
                "Tags of OfNamed is not checked"
            ]
        );

        let stream = "Stream=arn:aws:dynamodb:eu-west-1:123456789012:table/other/stream/2026-11-22T00:00:00.000";
        let definition = described("Other", &[stream, "Watched=x"]);
        assert_eq!(
            definition.fields["EventSourceMappings"],
            json!([{"FunctionName": "100", "Enabled": false}, {"FunctionName": "consumer-x"}])
        );
        let definition = described("Orders", &[stream, "Watched=x"]);
        let mappings = definition.fields["EventSourceMappings"].as_array().unwrap();
        assert_eq!(mappings.len(), 2, "{mappings:?}");
        assert_eq!(mappings[1]["Enabled"], false);
    }
}
