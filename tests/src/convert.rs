//! Between the attribute values of the SDK, by whose client the tests look at tables, and ours. Both keep numbers as text and
//! bytes as bytes.

use std::collections::HashMap;

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
fn to_value(value: &Value) -> AttributeValue {
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
