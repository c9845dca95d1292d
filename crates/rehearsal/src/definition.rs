//! What a table is to be like, from CreateTable's JSON or a table of a CloudFormation template.

mod fields;
mod mappings;
mod scalar;
mod scope;
mod template;
mod yaml;

use backfill_core::{Error, Result};
use serde_json::{Map, Value as Json};

use self::fields::FIELDS;
pub(crate) use self::fields::OF_A_MAPPING;
pub use self::fields::ONLY_CHECKED;
pub use self::template::Choice;
pub use self::yaml::read as read_yaml;
use crate::text::distinct_json;

/// A description that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The input of CreateTable, with `TimeToLiveSpecification` and the [`ONLY_CHECKED`] beside it. It has a `TableName`.
    pub fields: Map<String, Json>,
    /// What the text has and nothing uses: "PointInTimeRecoverySpecification of Orders is not used".
    pub notes: Vec<String>,
}

/// Reads a description: CreateTable's input as JSON, or a template as JSON or YAML. `table` is the table's name in place of
/// the text's.
///
/// Errors: `InvalidInput` naming the part of the text that cannot be used.
pub fn read(text: &str, table: Option<&str>, choice: &Choice<'_>) -> Result<Definition> {
    let mut notes = Vec::new();
    let whole = if text.trim_start().starts_with('{') {
        distinct_json(text).map_err(|error| Error::invalid("json", error))?
    } else {
        yaml::read(text)?
    };
    let Json::Object(mut whole) = whole else {
        return Err(Error::invalid(
            "file",
            "expected an object with named fields",
        ));
    };
    let mut definition = match whole.remove("Resources") {
        Some(resources) => choice.of_template(whole, resources, table, &mut notes)?,
        None if choice.resource.is_some() || !choice.parameters.is_empty() => {
            let why = "--resource and --parameter are for templates, which have Resources";
            return Err(Error::invalid("file", why));
        }
        None => whole,
    };
    // DynamoDB overlooks names that it does not know.
    for field in definition.keys() {
        if !FIELDS.contains(&field.as_str()) && !ONLY_CHECKED.contains(&field.as_str()) {
            let known = [&FIELDS[..], &ONLY_CHECKED].concat().join(", ");
            return Err(Error::invalid(
                field,
                format!("not known; expected some of {known}"),
            ));
        }
    }
    if let Some(table) = table {
        definition.insert("TableName".into(), table.into());
    }
    match definition.get("TableName") {
        Some(Json::String(_)) => Ok(Definition {
            fields: definition,
            notes,
        }),
        _ => Err(Error::invalid(
            "TableName",
            "the file names no table; give --table",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEMPLATE: &str = r##"
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Stage: { Type: String }
  Reads: { Type: Number, Default: 0 }
Conditions:
  OnDemand: !And [!Equals [!Ref Reads, "0"], !Not [!Equals [!Ref Stage, prod]]]
Resources:
  Bucket: { Type: AWS::S3::Bucket }
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub "orders-${Stage}"
      AttributeDefinitions:
        - { AttributeName: id, AttributeType: N }
      KeySchema:
        - AttributeName: id
          KeyType: HASH
      BillingMode: !If [OnDemand, PAY_PER_REQUEST, PROVISIONED]
      ProvisionedThroughput: !If
        - OnDemand
        - !Ref AWS::NoValue
        - { ReadCapacityUnits: !Ref Reads, WriteCapacityUnits: "5" }
      StreamSpecification: { StreamViewType: NEW_AND_OLD_IMAGES }
      TimeToLiveSpecification: { AttributeName: expiry_date, Enabled: true }
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }
      Tags: [{ Key: year, Value: 2026 }]
"##;

    fn read(
        resource: Option<&str>,
        parameters: &[&str],
        text: &str,
        table: Option<&str>,
    ) -> Result<Definition> {
        let parameters: Vec<String> = parameters.iter().map(|p| (*p).to_owned()).collect();
        let choice = Choice {
            resource,
            parameters: &parameters,
        };
        super::read(text, table, &choice)
    }

    #[test]
    fn a_template_is_read_with_its_parameters_and_conditions() {
        let mut expected = json!({
            "TableName": "orders-dev",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            "TimeToLiveSpecification": {"AttributeName": "expiry_date", "Enabled": true},
            "Tags": [{"Key": "year", "Value": "2026"}],
        });
        let definition = read(None, &["Stage=dev"], TEMPLATE, None).unwrap();
        assert_eq!(Json::Object(definition.fields), expected);
        let unused = "PointInTimeRecoverySpecification of Orders is not used";
        assert_eq!(definition.notes, [unused]);
        expected["TableName"] = "mine".into();
        expected["BillingMode"] = "PROVISIONED".into();
        expected["ProvisionedThroughput"] =
            json!({"ReadCapacityUnits": 7, "WriteCapacityUnits": 5});
        let provisioned = ["Stage=prod", "Reads=7"];
        let definition = read(Some("Orders"), &provisioned, TEMPLATE, Some("mine")).unwrap();
        assert_eq!(Json::Object(definition.fields), expected);
    }

    #[test]
    fn what_cannot_be_known_is_refused_with_its_place() {
        type Case<'a> = ((Option<&'a str>, &'a [&'a str]), &'a str, &'a str);
        let cases: [Case<'_>; 13] = [
            (
                (None, &[]),
                TEMPLATE,
                "Resources.Orders.Properties.BillingMode: Ref Stage",
            ),
            ((Some("Bucket"), &[]), TEMPLATE, "Bucket is AWS::S3::Bucket"),
            ((Some("None"), &[]), TEMPLATE, "its tables are Orders"),
            ((None, &["Other=1"]), TEMPLATE, "no parameter Other"),
            ((None, &[]), "{}", "TableName"),
            (
                (None, &[]),
                r#"{"BilingMode":"PROVISIONED"}"#,
                "BilingMode: not known",
            ),
            ((None, &[]), "a: 1\na: 2", "\"a\" is given twice"),
            ((None, &[]), "a: &x 1\nb: *x", "aliases"),
            ((None, &[]), "a: [", "yaml: "),
            ((None, &[]), &"[".repeat(100_000), "recursion limit"),
            ((None, &[]), &"- ".repeat(100_000), "nested too deeply"),
            ((Some("A"), &[]), r#"{"TableName":"a"}"#, "for templates"),
            (
                (None, &[]),
                "Conditions: {A: !Condition A}\nResources: {T: {Type: 'AWS::DynamoDB::Table', Properties: {TableName: !If [A, b, c]}}}",
                "name each other",
            ),
        ];
        for ((resource, parameters), text, place) in cases {
            let error = read(resource, parameters, text, None).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
