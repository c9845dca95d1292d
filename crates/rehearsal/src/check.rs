//! A table held against a description of it. It reads only.

mod mappings;

use std::collections::BTreeMap;

use backfill_core::{Error, Result};
use serde_json::{Map, Value as Json, json};

use self::mappings::Connected;
use crate::admin::{Admin, Read, Reading};

/// What is not looked at, and why.
const UNSEEN: [(&str, &str); 2] = [
    ("SSESpecification", "is not checked by this command"),
    ("WarmThroughput", "is not checked by this command"),
];

/// What a table is expected to be.
#[derive(Debug, Clone)]
pub struct Expected {
    table: String,
    min_items: Option<u64>,
    connected: Vec<Connected>,
    fields: Map<String, Json>,
}

impl Expected {
    /// What a description's fields say, and at least so many items: the larger of `min_items` and the description's
    /// `MinItemCount`.
    ///
    /// Errors: `InvalidInput` for a `MinItemCount` that is no whole number, for `EventSourceMappings` that are not understood, or
    /// without a `TableName`.
    pub fn new(mut fields: Map<String, Json>, min_items: Option<u64>) -> Result<Expected> {
        let min_items = match fields.remove("MinItemCount") {
            None => min_items,
            Some(number) => Some(number.as_u64().ok_or_else(|| {
                Error::invalid(
                    "MinItemCount",
                    format!("expected a whole number, got {number}"),
                )
            })?)
            .max(min_items),
        };
        let connected = match fields.remove("EventSourceMappings") {
            None => Vec::new(),
            Some(list) => mappings::read(list)?,
        };
        match fields.remove("TableName") {
            Some(Json::String(table)) => Ok(Expected {
                table,
                min_items,
                connected,
                fields,
            }),
            _ => Err(Error::invalid("TableName", "expected the table's name")),
        }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What differs, a line each: `BillingMode: expected "PROVISIONED", found "PAY_PER_REQUEST"`. Empty if the table is as
    /// described. Items are counted at so many read units a second at most.
    ///
    /// Errors: `InvalidInput` for alarms without names; those of the calls that describe the table.
    pub async fn differences(&self, admin: &Admin, max_rcu: Option<u32>) -> Result<Vec<String>> {
        let reading = Reading::new(admin, &self.table, max_rcu).await?;
        let (found, described) = admin.definition(&self.table).await?;
        let mut differences = Vec::new();
        if let Some(alarms) = self.fields.get("Alarms") {
            check_alarms(admin, alarms, &mut differences).await?;
        }
        if !self.connected.is_empty() {
            differences.extend(self.unconnected(admin, &described).await);
        }
        let is_unseen = |field: &str| UNSEEN.iter().any(|(unseen, _)| *unseen == field);
        for (field, why) in UNSEEN {
            if self.fields.contains_key(field) {
                differences.push(format!("{field}: {why}"));
            }
        }
        for (field, expected) in &self.fields {
            if field == "Alarms" || is_unseen(field) {
                continue;
            }
            compare(
                field,
                &comparable(field, expected),
                &comparable(field, &found[field]),
                &mut differences,
            );
        }
        if let Some(min_items) = self.min_items {
            let items = count_up_to(&reading, &self.table, min_items).await?;
            if items < min_items {
                differences.push(format!(
                    "MinItemCount: expected at least {min_items}, found {items}"
                ));
            }
        }
        Ok(differences)
    }

    /// What differs from the functions that are to be connected to the stream of a table that is so described. If Lambda cannot be
    /// asked, that is a difference, too.
    async fn unconnected(&self, admin: &Admin, described: &Json) -> Vec<String> {
        let is_on = described["StreamSpecification"]["StreamEnabled"] == Json::Bool(true);
        let stream = described["LatestStreamArn"].as_str().filter(|_| is_on);
        let Some(stream) = stream else {
            return mappings::without_stream(&self.connected);
        };
        match admin.event_source_mappings(stream).await {
            Ok(found) => mappings::differences(&self.connected, &found),
            Err(error) => vec![format!(
                "EventSourceMappings: cannot be seen: {}",
                error.report()
            )],
        }
    }
}

/// Holds the alarms of a description against those of CloudWatch, by name, in the fields that the description has. Alarms that cannot
/// be seen are a difference, too.
async fn check_alarms(admin: &Admin, expected: &Json, differences: &mut Vec<String>) -> Result<()> {
    let expected = expected.as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Option<Vec<&str>> = expected
        .iter()
        .map(|alarm| alarm["AlarmName"].as_str())
        .collect();
    let names = names.filter(|names| !names.is_empty()).ok_or_else(|| {
        let why = "expected a list of alarms, each with its AlarmName";
        Error::invalid("Alarms", why)
    })?;
    let found = match admin.alarms(&names).await {
        Ok(found) => found,
        Err(error) => {
            differences.push(format!("Alarms: cannot be seen: {}", error.report()));
            return Ok(());
        }
    };
    for (name, expected) in names.iter().zip(expected) {
        let Some(found) = found.iter().find(|alarm| alarm["AlarmName"] == *name) else {
            differences.push(format!("Alarms.{name}: expected, but there is none"));
            continue;
        };
        for (field, value) in expected.as_object().into_iter().flatten() {
            // 5 and 5.0 are the same threshold, and dimensions have no order.
            let number = |json: &Json| json.as_f64().map_or_else(|| json.clone(), |n| json!(n));
            let of_form = |json: &Json| match field.as_str() {
                "Dimensions" => comparable("Tags", &renamed(json)),
                _ => number(json),
            };
            let (expected, found) = (of_form(value), of_form(&found[field]));
            compare(
                &format!("Alarms.{name}.{field}"),
                &expected,
                &found,
                differences,
            );
        }
    }
    Ok(())
}

/// Dimensions in the form of tags, which are compared without an order.
fn renamed(dimensions: &Json) -> Json {
    let list = dimensions.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|dimension| json!({"Key": dimension["Name"], "Value": dimension["Value"]}))
        .collect()
}

/// Counts items, no further than needed. The count that the table knows of itself is hours old.
async fn count_up_to(reading: &Reading<'_>, table: &str, enough: u64) -> Result<u64> {
    let read = Read {
        table: table.into(),
        consistent: true,
        count_only: true,
        ..Read::default()
    };
    let mut pages = reading.pages(read);
    let mut count = 0;
    while count < enough
        && let Some(page) = pages.next().await?
    {
        count += page.count;
    }
    Ok(count)
}

/// A field in a form in which order does not count if it means nothing, and what is off is the same as what was never set.
fn comparable(field: &str, value: &Json) -> Json {
    let by_name = |name: &str, rest: &dyn Fn(&Json) -> Json| -> Json {
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let map: BTreeMap<String, Json> = list
            .iter()
            .map(|entry| {
                (
                    entry[name].as_str().unwrap_or_default().to_owned(),
                    rest(entry),
                )
            })
            .collect();
        json!(map)
    };
    match field {
        "AttributeDefinitions" => by_name("AttributeName", &|entry| entry["AttributeType"].clone()),
        "Tags" => by_name("Key", &|entry| entry["Value"].clone()),
        "KeySchema" => {
            let mut keys = Map::new();
            for key in value.as_array().into_iter().flatten() {
                let role = key["KeyType"].as_str().unwrap_or_default();
                keys.insert(role.into(), key["AttributeName"].clone());
            }
            keys.into()
        }
        "GlobalSecondaryIndexes" | "LocalSecondaryIndexes" => by_name("IndexName", &|index| {
            let mut index = index.clone();
            if let Some(index) = index.as_object_mut() {
                index.remove("IndexName");
                if let Some(keys) = index.get_mut("KeySchema") {
                    *keys = comparable("KeySchema", keys);
                }
            }
            let attributes = index.pointer_mut("/Projection/NonKeyAttributes");
            if let Some(attributes) = attributes.and_then(Json::as_array_mut) {
                attributes.sort_by_key(Json::to_string);
            }
            index
        }),
        "StreamSpecification" | "TimeToLiveSpecification" => {
            let switch = match field {
                "StreamSpecification" => "StreamEnabled",
                _ => "Enabled",
            };
            match value[switch] == Json::Bool(true) {
                true => value.clone(),
                false => json!({switch: false}),
            }
        }
        "DeletionProtectionEnabled" => json!(*value == Json::Bool(true)),
        "TableClass" if value.is_null() => json!("STANDARD"),
        _ => value.clone(),
    }
}

/// Adds what differs, by its path. Names of a list that were not expected differ as well, except for tags, to which AWS and others
/// add their own.
fn compare(path: &str, expected: &Json, found: &Json, differences: &mut Vec<String>) {
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) => {
            for (name, expected) in expected {
                let found = found.get(name).unwrap_or(&Json::Null);
                compare(&format!("{path}.{name}"), expected, found, differences);
            }
            if path.ends_with("Tags") {
                return;
            }
            for (name, found) in found {
                // What DynamoDB adds by itself to an index or a projection is no list of ours.
                if !expected.contains_key(name) && is_list(path) {
                    differences.push(format!("{path}.{name}: expected none, found {found}"));
                }
            }
        }
        _ if expected == found => {}
        (_, Json::Null) => differences.push(format!("{path}: expected {expected}, found none")),
        _ => differences.push(format!("{path}: expected {expected}, found {found}")),
    }
}

/// True for the path of a list whose members are all that there may be.
fn is_list(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    matches!(
        last,
        "AttributeDefinitions"
            | "Dimensions"
            | "KeySchema"
            | "GlobalSecondaryIndexes"
            | "LocalSecondaryIndexes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(field: &str, expected: Json, found: Json) -> Vec<String> {
        let mut differences = Vec::new();
        let (expected, found) = (comparable(field, &expected), comparable(field, &found));
        compare(field, &expected, &found, &mut differences);
        differences
    }

    #[test]
    fn order_means_nothing_and_names_are_all_compared() {
        let index = |attributes: Json, projection: &str| {
            json!([{"IndexName": "I", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": projection, "NonKeyAttributes": attributes}}])
        };
        let field = "GlobalSecondaryIndexes";
        let found = index(json!(["x", "y"]), "INCLUDE");
        let same = index(json!(["y", "x"]), "INCLUDE");
        assert!(differences(field, same, found.clone()).is_empty());
        assert_eq!(
            differences(field, index(json!(["x", "y"]), "ALL"), found.clone()),
            [
                r#"GlobalSecondaryIndexes.I.Projection.ProjectionType: expected "ALL", found "INCLUDE""#
            ]
        );
        assert_eq!(
            differences(field, json!([]), found),
            [format!(
                "GlobalSecondaryIndexes.I: expected none, found {}",
                json!({"KeySchema": {"HASH": "a"},
                    "Projection": {"NonKeyAttributes": ["x", "y"], "ProjectionType": "INCLUDE"}})
            )]
        );
        let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "aws:b", "Value": "2"}]);
        let expected = json!([{"Key": "a", "Value": "1"}]);
        assert!(differences("Tags", expected, tags).is_empty());
    }

    #[test]
    fn off_is_the_same_as_never_set() {
        let off = json!({"Enabled": false, "AttributeName": "x"});
        assert!(differences("TimeToLiveSpecification", off, Json::Null).is_empty());
        let stream = json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"});
        assert_eq!(
            differences("StreamSpecification", stream, Json::Null),
            [
                "StreamSpecification.StreamEnabled: expected true, found false",
                r#"StreamSpecification.StreamViewType: expected "KEYS_ONLY", found none"#,
            ]
        );
    }
}
