//! Between the SDK's attribute values and ours. Both keep numbers as text and bytes as bytes.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use backfill_core::value::Bytes;
use backfill_core::{Error, ErrorKind, Item, Result, Value};

/// An item for a request.
pub fn to_item(item: &Item) -> HashMap<String, AttributeValue> {
    item.iter()
        .map(|(name, value)| (name.clone(), to_value(value)))
        .collect()
}

/// An item of a response. An attribute type that this version does not know is an error, never dropped.
pub fn from_item(item: &HashMap<String, AttributeValue>) -> Result<Item> {
    item.iter()
        .map(|(name, value)| Ok((name.clone(), from_value(value)?)))
        .collect()
}

/// A value for a request.
pub(crate) fn to_value(value: &Value) -> AttributeValue {
    match value {
        Value::S(s) => AttributeValue::S(s.clone()),
        Value::N(n) => AttributeValue::N(n.clone()),
        Value::B(b) => AttributeValue::B(Blob::new(b.0.clone())),
        Value::Bool(b) => AttributeValue::Bool(*b),
        Value::Null(b) => AttributeValue::Null(*b),
        Value::L(list) => AttributeValue::L(list.iter().map(to_value).collect()),
        Value::M(map) => AttributeValue::M(to_item(map)),
        Value::Ss(set) => AttributeValue::Ss(set.clone()),
        Value::Ns(set) => AttributeValue::Ns(set.clone()),
        Value::Bs(set) => AttributeValue::Bs(set.iter().map(|b| Blob::new(b.0.clone())).collect()),
    }
}

fn from_value(value: &AttributeValue) -> Result<Value> {
    let bytes = |blob: &Blob| Bytes(blob.as_ref().to_vec());
    Ok(match value {
        AttributeValue::S(s) => Value::S(s.clone()),
        AttributeValue::N(n) => Value::N(n.clone()),
        AttributeValue::B(b) => Value::B(bytes(b)),
        AttributeValue::Bool(b) => Value::Bool(*b),
        AttributeValue::Null(b) => Value::Null(*b),
        AttributeValue::L(list) => Value::L(list.iter().map(from_value).collect::<Result<_>>()?),
        AttributeValue::M(map) => Value::M(from_item(map)?),
        AttributeValue::Ss(set) => Value::Ss(set.clone()),
        AttributeValue::Ns(set) => Value::Ns(set.clone()),
        AttributeValue::Bs(set) => Value::Bs(set.iter().map(bytes).collect()),
        _ => {
            return Err(Error::new(
                ErrorKind::Internal,
                "an attribute has a type that this version of backfill does not know",
            ));
        }
    })
}

/// Plain JSON as attributes: how records lie in the checkpoint table, readable in the console.
pub(crate) fn json_to_value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null(true),
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(n) => Value::N(n.to_string()),
        serde_json::Value::String(s) => Value::S(s),
        serde_json::Value::Array(list) => Value::L(list.into_iter().map(json_to_value).collect()),
        serde_json::Value::Object(map) => Value::M(
            map.into_iter()
                .map(|(name, json)| (name, json_to_value(json)))
                .collect::<BTreeMap<_, _>>(),
        ),
    }
}

/// The reverse of [`json_to_value`]. `None` for a type that it does not write.
pub(crate) fn value_to_json(value: Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Null(_) => serde_json::Value::Null,
        Value::Bool(b) => serde_json::Value::Bool(b),
        Value::N(n) => serde_json::Value::Number(serde_json::from_str(&n).ok()?),
        Value::S(s) => serde_json::Value::String(s),
        Value::L(list) => {
            serde_json::Value::Array(list.into_iter().map(value_to_json).collect::<Option<_>>()?)
        }
        Value::M(map) => serde_json::Value::Object(
            map.into_iter()
                .map(|(name, value)| Some((name, value_to_json(value)?)))
                .collect::<Option<_>>()?,
        ),
        Value::B(_) | Value::Ss(_) | Value::Ns(_) | Value::Bs(_) => return None,
    })
}
