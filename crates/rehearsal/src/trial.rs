//! The update on sampled items, in an embedded database of this process: what becomes of them is seen before any item of the
//! table is touched.

use std::collections::BTreeMap;

use backfill_core::change::{Change, Seen};
use backfill_core::survey::{IndexFacts, Rehearsal, Tried, misfits};
use backfill_core::table::{KeyAttribute, KeySchema};
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use dynoxide::Database;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::errors::DynoxideError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

const TABLE: &str = "trial";

/// An embedded database of this process, as the place where a change is tried on copies of items. A table there has the
/// indexes of the real one, which refuse an attribute of another type than that of their key.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmbeddedTrial;

impl Rehearsal for EmbeddedTrial {
    fn try_change(
        &self,
        change: &dyn Change,
        indexes: &[IndexFacts],
        items: Vec<Item>,
    ) -> Result<Vec<Tried>> {
        try_on_copies(change, indexes, items)
    }
}

/// Sends the guarded update to copies of these items, of which no two may have the same key.
fn try_on_copies(
    change: &dyn Change,
    indexes: &[IndexFacts],
    items: Vec<Item>,
) -> Result<Vec<Tried>> {
    let database = Database::memory().map_err(failed)?;
    let table = definition(change.keys(), indexes)?;
    database.create_table(table).map_err(failed)?;
    let mut tried = Vec::new();
    for item in items {
        let put = PutItemRequest {
            table_name: TABLE.into(),
            item: convert(&item)?,
            ..PutItemRequest::default()
        };
        if let Err(refused) = database.put_item(put) {
            // The table has had it from before it had the index that it does not fit.
            if misfits(change.keys(), indexes, &item).is_empty() {
                return Err(failed(refused));
            }
            tried.push(Tried {
                before: item,
                after: Err(refused.to_string()),
                is_extinguished: true,
            });
            continue;
        }
        let after = match database.update_item(update(change, &item)?) {
            Ok(answer) => Ok(convert(&answer.attributes.unwrap_or_default())?),
            Err(DynoxideError::ConditionalCheckFailedException(..)) => {
                Err("it is not pending there".into())
            }
            Err(refused) => Err(refused.to_string()),
        };
        tried.push(Tried {
            before: item,
            after,
            is_extinguished: true,
        });
    }
    let left = still_pending(&database, change)?;
    for tried in &mut tried {
        let tried_on = Seen::new(change.keys(), tried.before.clone());
        tried.is_extinguished = !left.contains(&tried_on.key);
    }
    Ok(tried)
}

fn definition(keys: &KeySchema, indexes: &[IndexFacts]) -> Result<CreateTableRequest> {
    let of_table: Vec<KeyAttribute> = std::iter::once(&keys.hash)
        .chain(&keys.range)
        .cloned()
        .collect();
    let schema = |attributes: &[KeyAttribute]| -> Vec<Json> {
        let roles = ["HASH", "RANGE"].iter();
        attributes
            .iter()
            .zip(roles)
            .map(|(attribute, role)| json!({"AttributeName": attribute.name, "KeyType": role}))
            .collect()
    };
    let of_indexes = indexes.iter().flat_map(|index| &index.keys);
    let definitions: BTreeMap<&str, Json> = of_table
        .iter()
        .chain(of_indexes)
        .map(|attribute| {
            let (name, kind) = (&attribute.name, attribute.kind);
            (
                name.as_str(),
                json!({"AttributeName": name, "AttributeType": kind}),
            )
        })
        .collect();
    let mut table = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": definitions.into_values().collect::<Vec<_>>(),
        "KeySchema": schema(&of_table),
    });
    for (field, local) in [
        ("GlobalSecondaryIndexes", false),
        ("LocalSecondaryIndexes", true),
    ] {
        let of_kind: Vec<Json> = indexes
            .iter()
            .filter(|index| index.local == local)
            .map(|index| {
                // What else it holds makes no difference to what it takes.
                json!({"IndexName": index.name, "KeySchema": schema(&index.keys),
                    "Projection": {"ProjectionType": "KEYS_ONLY"}})
            })
            .collect();
        if !of_kind.is_empty() {
            table[field] = of_kind.into();
        }
    }
    convert(&table)
}

fn update(change: &dyn Change, item: &Item) -> Result<UpdateItemRequest> {
    let seen = Seen::new(change.keys(), item.clone());
    let guarded = change.update(&seen);
    let values = &guarded.values;
    Ok(UpdateItemRequest {
        table_name: TABLE.into(),
        key: convert(&seen.key)?,
        update_expression: Some(guarded.update.to_string()),
        condition_expression: Some(guarded.condition.as_str().to_owned()),
        expression_attribute_names: Some(guarded.names.clone().into_owned().into_iter().collect()),
        expression_attribute_values: match values.is_empty() {
            true => None,
            false => Some(convert(values)?),
        },
        return_values: Some("ALL_NEW".into()),
        ..UpdateItemRequest::default()
    })
}

/// The keys of the items for which `P` holds.
fn still_pending(database: &Database, change: &dyn Change) -> Result<Vec<Key>> {
    let sweep = change.sweep();
    let values = &sweep.values;
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = database
            .scan(ScanRequest {
                table_name: TABLE.into(),
                filter_expression: Some(sweep.filter.clone()),
                projection_expression: Some(sweep.projection.clone()),
                expression_attribute_names: Some(sweep.names.clone().into_iter().collect()),
                expression_attribute_values: match values.is_empty() {
                    true => None,
                    false => Some(convert(values)?),
                },
                exclusive_start_key: after,
                ..ScanRequest::default()
            })
            .map_err(failed)?;
        for item in page.items.iter().flatten() {
            keys.push(Seen::new(change.keys(), convert(item)?).key);
        }
        after = page.last_evaluated_key;
        if after.is_none() {
            return Ok(keys);
        }
    }
}

/// From our form of DynamoDB's JSON to the database's, or back.
fn convert<A: Serialize, B: DeserializeOwned>(from: &A) -> Result<B> {
    serde_json::to_value(from)
        .and_then(serde_json::from_value)
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "the embedded database").with_source(error)
        })
}

fn failed(error: DynoxideError) -> Error {
    Error::new(
        ErrorKind::Internal,
        "cannot try the update in the embedded database",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use backfill_core::change::reserved::reserved_words;
    use backfill_core::table::KeyType;
    use backfill_core::{Request, Value};

    use super::*;

    fn tried(pending: &str, update: &str) -> Tried {
        let spec =
            json!({"table": "stuff", "pending": pending, "update": update, "values": {":v": 1}});
        let spec = Request::from_json(&spec.to_string()).unwrap().spec;
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        let item = Item::from([("id".to_owned(), Value::S("a".into()))]);
        let mut tried = try_on_copies(&*spec.change(&keys), &[], vec![item]).unwrap();
        tried.remove(0)
    }

    /// Each of them, wherever a name can stand; the database has a list of its own of what it refuses.
    #[test]
    fn every_reserved_word_can_be_typed_as_a_name() {
        let words: Vec<String> = reserved_words().map(str::to_lowercase).collect();
        for words in words.chunks(30) {
            let each = |form: fn(&str) -> String, between: &str| {
                let parts: Vec<String> = words.iter().map(|word| form(word)).collect();
                parts.join(between)
            };
            let pending = each(|word| format!("NOT {word} = :v"), " OR ");
            let update = each(|word| format!("{word} = if_not_exists({word}, :v)"), ", ");
            let tried = tried(&pending, &format!("SET {update}"));
            let after = tried.after.unwrap_or_else(|why| panic!("{words:?}: {why}"));
            assert_eq!(after.len(), words.len() + 1);
            assert!(tried.is_extinguished, "{words:?}");
        }
    }
}
