//! `backfill table check`: a table held against a description of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use backfill_core::{Error, Result};
use backfill_rehearsal::admin::{Admin, Read};
use clap::Args;
use serde_json::{Map, Value as Json, json};

use crate::args::ConnectionArgs;
use crate::ending::Ending;
use crate::show::{print as display, words};
use crate::table::definition::DefinitionArgs;

/// What is not looked at, and why.
const UNSEEN: [(&str, &str); 2] = [
    ("SSESpecification", "is not checked by this command"),
    ("WarmThroughput", "is not checked by this command"),
];

#[derive(Args)]
pub struct CheckArgs {
    /// The description: a file as for create, with MinItemCount where there are to be so many items.
    #[arg(long, value_name = "FILE")]
    expect: PathBuf,
    #[command(flatten)]
    definition: DefinitionArgs,
    /// The table, where it is not the one that the file names.
    #[arg(long)]
    table: Option<String>,
    /// Expect at least this many items.
    #[arg(long, value_name = "N")]
    min_items: Option<u64>,
    /// Print what differs as one JSON array on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command. It reads only.
pub async fn check(args: CheckArgs) -> Result<Ending> {
    let mut expected = args
        .definition
        .read("expect", &args.expect, args.table.as_deref())?;
    let min_items = match expected.remove("MinItemCount") {
        None => args.min_items,
        Some(number) => Some(number.as_u64().ok_or_else(|| {
            Error::invalid(
                "MinItemCount",
                format!("expected a whole number, got {number}"),
            )
        })?)
        .max(args.min_items),
    };
    let table = match expected.remove("TableName") {
        Some(Json::String(name)) => name,
        _ => return Err(Error::invalid("TableName", "expected the table's name")),
    };
    let admin = args.connection.open_or_sandbox().await?;
    let (found, _) = admin.definition(&table).await?;
    let mut differences = Vec::new();
    if let Some(alarms) = expected.remove("Alarms") {
        check_alarms(&admin, &alarms, &mut differences).await?;
    }
    for (field, why) in UNSEEN {
        if expected.remove(field).is_some() {
            differences.push(format!("{field}: {why}"));
        }
    }
    for (field, expected) in &expected {
        compare(
            field,
            &comparable(field, expected),
            &comparable(field, &found[field]),
            &mut differences,
        );
    }
    if let Some(min_items) = min_items {
        let items = count_up_to(&admin, &table, min_items).await?;
        if items < min_items {
            differences.push(format!(
                "MinItemCount: expected at least {min_items}, found {items}"
            ));
        }
    }
    if args.json {
        display::json(&differences);
    } else if !differences.is_empty() {
        display::line(&differences.join("\n"))?;
    }
    let place = admin.connection().place();
    Ok(if differences.is_empty() {
        eprintln!("table {table} {place} is as described");
        Ending::Succeeded
    } else {
        let n = differences.len() as u32;
        let differences = words::plural(n, "difference", "differences");
        eprintln!("table {table} {place}: {differences}");
        Ending::Differs
    })
}

/// Holds the alarms of a description against those of CloudWatch, by name, and of each the fields that the description has.
/// Alarms that cannot be seen are a difference, too.
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
async fn count_up_to(admin: &Admin, table: &str, enough: u64) -> Result<u64> {
    let read = Read {
        table: table.into(),
        consistent: true,
        count_only: true,
        page_size: Some(1_000),
        ..Read::default()
    };
    let mut count = 0;
    let mut after = None;
    while count < enough {
        let page = admin.page(&read, after.as_ref()).await?;
        count += page.count;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(count)
}

/// A field in a form in which order does not count where it means nothing, and what is off is as what was never set.
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

/// Adds what differs, by its path. Of a map that is there with names that were not expected, that is said too, except for
/// tags, of which AWS and others add their own.
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
