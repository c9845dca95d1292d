//! What the intrinsic functions of a template stand for, as far as that is known before there is a stack.

use std::collections::BTreeMap;

use backfill_core::{Error, Result};
use serde_json::{Map, Value as Json};

use super::scalar::text_of;

/// Conditions of a template that name each other more deeply than this name each other in a circle.
const DEEPEST_CONDITION: u32 = 32;

/// What intrinsic functions can refer to: parameters and conditions. A function that asks for anything else is refused
/// with its place.
pub(super) struct Scope {
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) conditions: Json,
}

impl Scope {
    /// The value without its functions; `None` for `AWS::NoValue`. Scalars get the type that CreateTable wants for a field of
    /// this name, as CloudFormation does it.
    pub(super) fn resolve(&self, path: &str, field: &str, value: Json) -> Result<Option<Json>> {
        Ok(Some(match value {
            Json::Object(map) => match function(&map) {
                Some(("Ref", Json::String(name))) if name == "AWS::NoValue" => return Ok(None),
                Some(("Fn::If", Json::Array(parts))) if parts.len() == 3 => {
                    let holds = self.is_met(path, &parts[0])?;
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
    pub(super) fn text(&self, path: &str, value: &Json) -> Result<String> {
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

    /// What `Fn::If` chooses; any other value as it is.
    pub(super) fn chosen(&self, path: &str, value: &Json) -> Result<Json> {
        match value.as_object().and_then(function) {
            Some(("Fn::If", Json::Array(parts))) if parts.len() == 3 => {
                let holds = self.is_met(path, &parts[0])?;
                self.chosen(path, &parts[if holds { 1 } else { 2 }])
            }
            _ => Ok(value.clone()),
        }
    }

    /// Whether the condition of this name holds.
    pub(super) fn is_met(&self, path: &str, name: &Json) -> Result<bool> {
        self.holds(path, &Json::from_iter([("Condition", name.clone())]), 0)
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
pub(super) fn function(map: &Map<String, Json>) -> Option<(&str, &Json)> {
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
        | "MaxWriteRequestUnits"
        | "BatchSize"
        | "MaximumBatchingWindowInSeconds"
        | "MaximumRecordAgeInSeconds"
        | "MaximumRetryAttempts"
        | "ParallelizationFactor"
        | "TumblingWindowInSeconds" => match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => return Err(wrong("a whole number")),
        },
        "BisectBatchOnFunctionError"
        | "Enabled"
        | "SSEEnabled"
        | "DeletionProtectionEnabled"
        | "StreamEnabled" => match text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            _ => return Err(wrong("true or false")),
        },
        _ => text.into(),
    })
}
