//! A table of a CloudFormation template as the input of CreateTable.

use std::collections::{BTreeMap, BTreeSet};

use backfill_core::{Error, Result};
use serde_json::{Map, Value as Json};

use super::fields::FIELDS;
use super::scalar::text_of;

/// Conditions of a template that name each other more deeply than this name each other in a circle.
const DEEPEST_CONDITION: u32 = 32;

/// What a template needs besides itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice<'a> {
    /// Which AWS::DynamoDB::Table of a template, by its logical name; `None` if it has only one.
    pub resource: Option<&'a str>,
    /// Values of the template's parameters, each as `NAME=VALUE`.
    pub parameters: &'a [String],
}

impl Choice<'_> {
    /// The definition of the table that is chosen, and notes on what of it is not used.
    ///
    /// Errors: `InvalidInput` naming the place in the template.
    pub(super) fn of_template(
        &self,
        mut template: Map<String, Json>,
        resources: Json,
        table: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<Map<String, Json>> {
        let (name, mut resource) = self.choose(resources)?;
        let mut properties = match resource["Properties"].take() {
            Json::Object(properties) => properties,
            _ => Map::new(),
        };
        if let Some(table) = table {
            properties.insert("TableName".into(), table.into());
        }
        let parameters = self.parameters_of(template.get("Parameters"))?;
        let scope = Scope {
            parameters,
            conditions: template.remove("Conditions").unwrap_or_default(),
        };
        let mut definition = Map::new();
        for (field, value) in properties {
            if !FIELDS.contains(&field.as_str()) {
                notes.push(format!("{field} of {name} is not used"));
                continue;
            }
            let path = format!("Resources.{name}.Properties.{field}");
            if let Some(value) = scope.resolve(&path, &field, value)? {
                definition.insert(field, value);
            }
        }
        as_create_table_has_it(&mut definition, notes);
        Ok(definition)
    }

    /// The values of a template's parameters: those that were given, and else its own defaults.
    fn parameters_of(&self, declared: Option<&Json>) -> Result<BTreeMap<String, String>> {
        let mut parameters = BTreeMap::new();
        if let Some(Json::Object(declared)) = declared {
            for (name, parameter) in declared {
                if let Some(default) = text_of(&parameter["Default"]) {
                    parameters.insert(name.clone(), default);
                }
            }
        }
        let mut given = BTreeSet::new();
        for argument in self.parameters {
            let (name, value) = argument.split_once('=').ok_or_else(|| {
                let why = format!("expected NAME=VALUE, got {argument:?}");
                Error::invalid("parameter", why)
            })?;
            if declared.and_then(|all| all.get(name)).is_none() {
                let why = format!("the template has no parameter {name}");
                return Err(Error::invalid("parameter", why));
            }
            if !given.insert(name) {
                let why = format!("{name} is given twice; give it once");
                return Err(Error::invalid("parameter", why));
            }
            parameters.insert(name.into(), value.into());
        }
        Ok(parameters)
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
        let name = match (self.resource, &tables[..]) {
            (Some(name), _) => name.to_owned(),
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

/// Changes what CloudFormation writes otherwise than CreateTable.
fn as_create_table_has_it(definition: &mut Map<String, Json>, notes: &mut Vec<String>) {
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
                notes.push(format!("{name} of an index is not used"));
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
                "{what} is not known before the stack is there; give it by --parameter, or --table if it is the name"
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
