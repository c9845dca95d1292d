//! What a table is to be like, from a CreateTable JSON or a table of a CloudFormation template.

use std::collections::BTreeMap;
use std::path::Path;

use backfill_core::{Error, Result};
use clap::Args;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value as Json};

use crate::args::read_file;

/// The fields that CreateTable takes and that a template has under the same names; TTL is a call of its own.
const FIELDS: [&str; 15] = [
    "AttributeDefinitions",
    "BillingMode",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "OnDemandThroughput",
    "ProvisionedThroughput",
    "SSESpecification",
    "StreamSpecification",
    "TableClass",
    "TableName",
    "Tags",
    "TimeToLiveSpecification",
    "WarmThroughput",
];

/// Fields of a description that say nothing of how to create a table.
pub const ONLY_CHECKED: [&str; 2] = ["MinItemCount", "Alarms"];

/// Conditions of a template that name each other more deeply than this name each other in a circle.
const DEEPEST_CONDITION: u32 = 32;

/// Levels of a YAML document; as many as serde_json reads of JSON.
const DEEPEST_YAML: usize = 128;

/// What a template needs besides itself.
#[derive(Args)]
pub struct DefinitionArgs {
    /// Which AWS::DynamoDB::Table of a template, by its logical name.
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// Value of a template's parameter; repeatable; default: the template's own.
    #[arg(long, value_name = "NAME=VALUE")]
    parameter: Vec<String>,
}

impl DefinitionArgs {
    /// Reads the file that this flag gives, with the table's name in place of the file's where one is given.
    ///
    /// Errors: `InvalidInput` naming the part of the file that cannot be used.
    pub fn read(&self, flag: &str, path: &Path, table: Option<&str>) -> Result<Map<String, Json>> {
        let text = read_file(flag, path)?;
        self.parse(&text, table)
            .map_err(|error| error.context(path.display()))
    }

    fn parse(&self, text: &str, table: Option<&str>) -> Result<Map<String, Json>> {
        let whole = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| Error::invalid("json", error))?
        } else {
            yaml(text)?
        };
        let Json::Object(mut whole) = whole else {
            return Err(Error::invalid(
                "file",
                "expected an object with named fields",
            ));
        };
        let mut definition = match whole.remove("Resources") {
            Some(resources) => self.of_template(whole, resources, table)?,
            None if self.resource.is_some() || !self.parameter.is_empty() => {
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
            Some(Json::String(_)) => Ok(definition),
            _ => Err(Error::invalid(
                "TableName",
                "the file names no table; give --table",
            )),
        }
    }

    fn of_template(
        &self,
        mut template: Map<String, Json>,
        resources: Json,
        table: Option<&str>,
    ) -> Result<Map<String, Json>> {
        let (name, mut resource) = self.choose(resources)?;
        let mut properties = match resource["Properties"].take() {
            Json::Object(properties) => properties,
            _ => Map::new(),
        };
        if let Some(table) = table {
            properties.insert("TableName".into(), table.into());
        }
        let mut parameters = BTreeMap::new();
        if let Some(Json::Object(declared)) = template.get("Parameters") {
            for (name, parameter) in declared {
                if let Some(default) = text_of(&parameter["Default"]) {
                    parameters.insert(name.clone(), default);
                }
            }
        }
        for argument in &self.parameter {
            let (name, value) = argument.split_once('=').ok_or_else(|| {
                let why = format!("expected NAME=VALUE, got {argument:?}");
                Error::invalid("parameter", why)
            })?;
            if template
                .get("Parameters")
                .and_then(|all| all.get(name))
                .is_none()
            {
                let why = format!("the template has no parameter {name}");
                return Err(Error::invalid("parameter", why));
            }
            parameters.insert(name.into(), value.into());
        }
        let scope = Scope {
            parameters,
            conditions: template.remove("Conditions").unwrap_or_default(),
        };
        let mut definition = Map::new();
        for (field, value) in properties {
            if !FIELDS.contains(&field.as_str()) {
                eprintln!("note: {field} of {name} is not used");
                continue;
            }
            let path = format!("Resources.{name}.Properties.{field}");
            if let Some(value) = scope.resolve(&path, &field, value)? {
                definition.insert(field, value);
            }
        }
        as_create_table_has_it(&mut definition);
        Ok(definition)
    }

    /// The resource that was named, or the only one.
    fn choose(&self, resources: Json) -> Result<(String, Json)> {
        let Json::Object(resources) = resources else {
            return Err(Error::invalid("Resources", "expected an object"));
        };
        let is_table = |resource: &Json| resource["Type"] == "AWS::DynamoDB::Table";
        let tables: Vec<&str> = resources
            .iter()
            .filter(|(_, resource)| is_table(resource))
            .map(|(name, _)| name.as_str())
            .collect();
        let name = match (&self.resource, &tables[..]) {
            (Some(name), _) => name.clone(),
            (None, [name]) => (*name).to_owned(),
            (None, []) => {
                return Err(Error::invalid(
                    "Resources",
                    "the template has no AWS::DynamoDB::Table",
                ));
            }
            (None, several) => {
                let why = format!("the template has {}; name one", several.join(", "));
                return Err(Error::invalid("resource", why));
            }
        };
        match resources.get(&name) {
            Some(resource) if is_table(resource) => Ok((name.clone(), resource.clone())),
            Some(resource) => {
                let kind = resource["Type"].as_str().unwrap_or("of no type");
                let why = format!("{name} is {kind}, expected an AWS::DynamoDB::Table");
                Err(Error::invalid("resource", why))
            }
            None => {
                let why = format!(
                    "the template has no {name}; its tables are {}",
                    tables.join(", ")
                );
                Err(Error::invalid("resource", why))
            }
        }
    }
}

/// Where CloudFormation's properties are not CreateTable's.
fn as_create_table_has_it(definition: &mut Map<String, Json>) {
    if let Some(Json::Object(stream)) = definition.get_mut("StreamSpecification") {
        stream.retain(|name, _| name.starts_with("Stream"));
        stream.insert("StreamEnabled".into(), true.into());
    }
    if let Some(Json::Object(encryption)) = definition.get_mut("SSESpecification")
        && let Some(enabled) = encryption.remove("SSEEnabled")
    {
        encryption.insert("Enabled".into(), enabled);
    }
    for index in definition
        .get_mut("GlobalSecondaryIndexes")
        .and_then(Json::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Json::as_object_mut)
    {
        let used = |name: &str| {
            matches!(
                name,
                "IndexName"
                    | "KeySchema"
                    | "Projection"
                    | "ProvisionedThroughput"
                    | "OnDemandThroughput"
            )
        };
        index.retain(|name, _| {
            if !used(name) {
                eprintln!("note: {name} of an index is not used");
            }
            used(name)
        });
    }
}

/// What intrinsic functions can refer to: parameters and conditions. A function that asks for anything else is refused
/// with its place.
struct Scope {
    parameters: BTreeMap<String, String>,
    conditions: Json,
}

impl Scope {
    /// The value without its functions; `None` for `AWS::NoValue`. Scalars get the type that CreateTable wants for a field of
    /// this name, as CloudFormation does it.
    fn resolve(&self, path: &str, field: &str, value: Json) -> Result<Option<Json>> {
        Ok(Some(match value {
            Json::Object(map) => match function(&map) {
                Some(("Ref", Json::String(name))) if name == "AWS::NoValue" => return Ok(None),
                Some(("Fn::If", Json::Array(parts))) if parts.len() == 3 => {
                    let holds =
                        self.holds(path, &Json::from_iter([("Condition", parts[0].clone())]), 0)?;
                    let chosen = parts[if holds { 1 } else { 2 }].clone();
                    return self.resolve(path, field, chosen);
                }
                Some(_) => typed(
                    path,
                    field,
                    Json::String(self.text(path, &Json::Object(map))?),
                )?,
                None => {
                    let mut resolved = Map::new();
                    for (name, value) in map {
                        let path = format!("{path}.{name}");
                        if let Some(value) = self.resolve(&path, &name, value)? {
                            resolved.insert(name, value);
                        }
                    }
                    Json::Object(resolved)
                }
            },
            Json::Array(list) => {
                let mut resolved = Vec::new();
                for (i, value) in list.into_iter().enumerate() {
                    resolved.extend(self.resolve(&format!("{path}.{i}"), field, value)?);
                }
                Json::Array(resolved)
            }
            scalar => typed(path, field, scalar)?,
        }))
    }

    /// A scalar, or a function that stands for one, as text.
    fn text(&self, path: &str, value: &Json) -> Result<String> {
        if let Some(text) = text_of(value) {
            return Ok(text);
        }
        let cannot = |what: &str| {
            let why = format!(
                "{what} is not known before the stack is there; give it by --parameter, or --table where it is the name"
            );
            Err(Error::invalid(path, why))
        };
        match value.as_object().and_then(function) {
            Some(("Ref", Json::String(name))) => match self.parameters.get(name) {
                Some(value) => Ok(value.clone()),
                None => cannot(&format!("Ref {name}")),
            },
            Some(("Fn::Sub", Json::String(template))) => {
                let mut text = String::new();
                let mut rest = template.as_str();
                while let Some((before, after)) = rest.split_once("${") {
                    text.push_str(before);
                    let Some((name, after)) = after.split_once('}') else {
                        return Err(Error::invalid(path, "Sub has a ${ without its }"));
                    };
                    match (name.strip_prefix('!'), self.parameters.get(name)) {
                        (Some(literal), _) => text.push_str(&format!("${{{literal}}}")),
                        (None, Some(value)) => text.push_str(value),
                        (None, None) => return cannot(&format!("Sub ${{{name}}}")),
                    }
                    rest = after;
                }
                Ok(text + rest)
            }
            Some((name, _)) => cannot(name),
            None => Err(Error::invalid(path, "expected text or a number")),
        }
    }

    fn holds(&self, path: &str, condition: &Json, depth: u32) -> Result<bool> {
        if depth > DEEPEST_CONDITION {
            return Err(Error::invalid(path, "its conditions name each other"));
        }
        let holds = |part: &Json| self.holds(path, part, depth + 1);
        match condition.as_object().and_then(function) {
            Some(("Condition", Json::String(name))) => match self.conditions.get(name) {
                Some(condition) => self.holds(path, condition, depth + 1),
                None => Err(Error::invalid(
                    path,
                    format!("there is no condition {name}"),
                )),
            },
            Some(("Fn::Equals", Json::Array(sides))) if sides.len() == 2 => {
                Ok(self.text(path, &sides[0])? == self.text(path, &sides[1])?)
            }
            Some(("Fn::Not", Json::Array(parts))) if parts.len() == 1 => Ok(!holds(&parts[0])?),
            Some(("Fn::And", Json::Array(parts))) => parts
                .iter()
                .try_fold(true, |all, part| Ok(all && holds(part)?)),
            Some(("Fn::Or", Json::Array(parts))) => parts
                .iter()
                .try_fold(false, |any, part| Ok(any || holds(part)?)),
            _ => Err(Error::invalid(
                path,
                format!("the condition {condition} is not understood"),
            )),
        }
    }
}

/// Name and argument of an intrinsic function.
fn function(map: &Map<String, Json>) -> Option<(&str, &Json)> {
    let (name, argument) = map.iter().next().filter(|_| map.len() == 1)?;
    let is_function = name == "Ref" || name == "Condition" || name.starts_with("Fn::");
    is_function.then_some((name, argument))
}

fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The scalar in the type of a field of this name.
fn typed(path: &str, field: &str, value: Json) -> Result<Json> {
    let Some(text) = text_of(&value) else {
        return Ok(value);
    };
    let wrong = |expected: &str| Error::invalid(path, format!("expected {expected}, got {text:?}"));
    Ok(match field {
        "ReadCapacityUnits"
        | "WriteCapacityUnits"
        | "MaxReadRequestUnits"
        | "MaxWriteRequestUnits" => match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => return Err(wrong("a whole number")),
        },
        "Enabled" | "SSEEnabled" | "DeletionProtectionEnabled" | "StreamEnabled" => {
            match text.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                _ => return Err(wrong("true or false")),
            }
        }
        _ => text.into(),
    })
}

/// A mapping or sequence that is being read.
enum Open {
    Map(Map<String, Json>, Option<String>),
    List(Vec<Json>),
}

/// One YAML document as JSON, with CloudFormation's short tags in their long form: `!Ref x` is `{"Ref": "x"}`. Aliases are
/// refused, as by CloudFormation. The error names the line.
fn yaml(text: &str) -> Result<Json> {
    let mut open: Vec<(Open, Option<String>)> = Vec::new();
    let mut documents = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Error::invalid("yaml", error))?;
        let at = |why: &str| Error::invalid("yaml", format!("line {}: {why}", span.start.line()));
        if open.len() > DEEPEST_YAML {
            return Err(at("nested too deeply"));
        }
        let done = match event {
            Event::Alias(_) => return Err(at("aliases are not supported")),
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = tag.as_deref().and_then(long_form);
                // The argument of a function is text, whatever it looks like.
                let value = if plain && tag.is_none() {
                    plain_scalar(&text)
                } else {
                    Json::String(text.into_owned())
                };
                tagged(tag, value)
            }
            Event::SequenceStart(_, tag) => {
                open.push((Open::List(Vec::new()), tag.as_deref().and_then(long_form)));
                continue;
            }
            Event::MappingStart(_, tag) => {
                let tag = tag.as_deref().and_then(long_form);
                open.push((Open::Map(Map::new(), None), tag));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((Open::List(list), tag)) => tagged(tag, Json::Array(list)),
                Some((Open::Map(map, _), tag)) => tagged(tag, Json::Object(map)),
                None => return Err(at("an end without a beginning")),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
        };
        match open.last_mut() {
            None => documents.push(done),
            Some((Open::List(list), _)) => list.push(done),
            Some((Open::Map(map, key), _)) => match key.take() {
                Some(name) => {
                    if map.insert(name.clone(), done).is_some() {
                        return Err(at(&format!("{name:?} is given twice")));
                    }
                }
                None => {
                    let name = text_of(&done).ok_or_else(|| at("expected a name"))?;
                    *key = Some(name);
                }
            },
        }
    }
    match <[Json; 1]>::try_from(documents) {
        Ok([document]) => Ok(document),
        Err(documents) => {
            let why = format!("expected one document, got {}", documents.len());
            Err(Error::invalid("yaml", why))
        }
    }
}

/// The function that a short tag stands for.
fn long_form(tag: &Tag) -> Option<String> {
    (tag.handle == "!").then(|| match tag.suffix.as_str() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    })
}

fn tagged(tag: Option<String>, value: Json) -> Json {
    match tag {
        Some(function) => Json::from_iter([(function, value)]),
        None => value,
    }
}

/// YAML 1.2's core schema, in which N is text. Dates are text, too.
fn plain_scalar(text: &str) -> Json {
    match text {
        "" | "~" | "null" => Json::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        },
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

    fn args(resource: Option<&str>, parameters: &[&str]) -> DefinitionArgs {
        DefinitionArgs {
            resource: resource.map(str::to_owned),
            parameter: parameters.iter().map(|p| (*p).to_owned()).collect(),
        }
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
        let definition = args(None, &["Stage=dev"]).parse(TEMPLATE, None).unwrap();
        assert_eq!(Json::Object(definition), expected);
        expected["TableName"] = "mine".into();
        expected["BillingMode"] = "PROVISIONED".into();
        expected["ProvisionedThroughput"] =
            json!({"ReadCapacityUnits": 7, "WriteCapacityUnits": 5});
        let provisioned = args(Some("Orders"), &["Stage=prod", "Reads=7"]);
        let definition = provisioned.parse(TEMPLATE, Some("mine")).unwrap();
        assert_eq!(Json::Object(definition), expected);
    }

    #[test]
    fn what_cannot_be_known_is_refused_with_its_place() {
        for (args, text, place) in [
            (
                args(None, &[]),
                TEMPLATE,
                "Resources.Orders.Properties.BillingMode: Ref Stage",
            ),
            (
                args(Some("Bucket"), &[]),
                TEMPLATE,
                "Bucket is AWS::S3::Bucket",
            ),
            (args(Some("None"), &[]), TEMPLATE, "its tables are Orders"),
            (args(None, &["Other=1"]), TEMPLATE, "no parameter Other"),
            (args(None, &[]), "{}", "TableName"),
            (
                args(None, &[]),
                r#"{"BilingMode":"PROVISIONED"}"#,
                "BilingMode: not known",
            ),
            (args(None, &[]), "a: 1\na: 2", "\"a\" is given twice"),
            (args(None, &[]), "a: &x 1\nb: *x", "aliases"),
            (args(None, &[]), "a: [", "yaml: "),
            (args(None, &[]), &"[".repeat(100_000), "recursion limit"),
            (args(None, &[]), &"- ".repeat(100_000), "nested too deeply"),
            (
                args(Some("A"), &[]),
                r#"{"TableName":"a"}"#,
                "for templates",
            ),
            (
                args(None, &[]),
                "Conditions: {A: !Condition A}\nResources: {T: {Type: 'AWS::DynamoDB::Table', Properties: {TableName: !If [A, b, c]}}}",
                "name each other",
            ),
        ] {
            let error = args.parse(text, None).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
