//! The update on sampled items, in an embedded database of this process: what becomes of them is seen before any item of the
//! table is touched.

use backfill_core::spec::Statements;
use backfill_core::survey::Tried;
use backfill_core::table::{KeySchema, KeyType};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Spec};
use dynoxide::Database;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::errors::DynoxideError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

const TABLE: &str = "trial";

/// Sends the guarded update to copies of these items, of which no two may have the same key.
///
/// Errors: `Internal` where the embedded database does not take the items.
pub fn try_update(spec: &Spec, keys: &KeySchema, items: Vec<Item>) -> Result<Vec<Tried>> {
    let database = Database::memory().map_err(failed)?;
    database.create_table(definition(keys)?).map_err(failed)?;
    let statements = spec.statements(keys);
    let mut tried = Vec::new();
    for item in items {
        let put = PutItemRequest {
            table_name: TABLE.into(),
            item: convert(&item)?,
            ..PutItemRequest::default()
        };
        database.put_item(put).map_err(failed)?;
        let after = match database.update_item(update(&statements, keys, &item)?) {
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
    let left = still_pending(&database, &statements)?;
    for tried in &mut tried {
        let key = key_of(keys, &tried.before);
        tried.is_extinguished = !left.contains(&key);
    }
    Ok(tried)
}

fn definition(keys: &KeySchema) -> Result<CreateTableRequest> {
    let attributes = std::iter::once((&keys.hash, "HASH"))
        .chain(keys.range.iter().map(|range| (range, "RANGE")));
    let (definitions, schema): (Vec<_>, Vec<_>) = attributes
        .map(|(attribute, role)| {
            let kind = match attribute.kind {
                KeyType::S => "S",
                KeyType::N => "N",
                KeyType::B => "B",
            };
            (
                json!({"AttributeName": attribute.name, "AttributeType": kind}),
                json!({"AttributeName": attribute.name, "KeyType": role}),
            )
        })
        .unzip();
    convert(&json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": definitions,
        "KeySchema": schema,
    }))
}

fn update(statements: &Statements, keys: &KeySchema, item: &Item) -> Result<UpdateItemRequest> {
    let values = &statements.write_values;
    Ok(UpdateItemRequest {
        table_name: TABLE.into(),
        key: convert(&key_of(keys, item))?,
        update_expression: Some(statements.update.clone()),
        condition_expression: Some(statements.condition.clone()),
        expression_attribute_names: Some(statements.write_names.clone().into_iter().collect()),
        expression_attribute_values: match values.is_empty() {
            true => None,
            false => Some(convert(values)?),
        },
        return_values: Some("ALL_NEW".into()),
        ..UpdateItemRequest::default()
    })
}

/// The keys of the items for which `P` holds.
fn still_pending(database: &Database, statements: &Statements) -> Result<Vec<Key>> {
    let values = &statements.read_values;
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = database
            .scan(ScanRequest {
                table_name: TABLE.into(),
                filter_expression: Some(statements.filter.clone()),
                projection_expression: Some(statements.projection.clone()),
                expression_attribute_names: Some(
                    statements.read_names.clone().into_iter().collect(),
                ),
                expression_attribute_values: match values.is_empty() {
                    true => None,
                    false => Some(convert(values)?),
                },
                exclusive_start_key: after,
                ..ScanRequest::default()
            })
            .map_err(failed)?;
        for item in page.items.iter().flatten() {
            keys.push(convert(item)?);
        }
        after = page.last_evaluated_key;
        if after.is_none() {
            return Ok(keys);
        }
    }
}

fn key_of(keys: &KeySchema, item: &Item) -> Key {
    let attribute = |name: &str| Some((name.to_owned(), item.get(name)?.clone()));
    Key(keys.names().filter_map(attribute).collect())
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
