//! A table of a CloudFormation template as the input of CreateTable.

use std::collections::{BTreeMap, BTreeSet};

use backfill_core::{Error, Result};
use serde_json::{Map, Value as Json};

use super::fields::FIELDS;
use super::mappings::mappings_of;
use super::scalar::text_of;
use super::scope::Scope;

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
        let Json::Object(resources) = resources else {
            return Err(Error::invalid("Resources", "expected an object"));
        };
        let (name, mut resource) = self.choose(&resources)?;
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
        let mappings = mappings_of(
            &resources,
            &name,
            definition.get("TableName"),
            &scope,
            notes,
        );
        if !mappings.is_empty() {
            definition.insert("EventSourceMappings".into(), mappings.into());
        }
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
    fn choose(&self, resources: &Map<String, Json>) -> Result<(String, Json)> {
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
