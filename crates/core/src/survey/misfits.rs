//! Items that do not fit the key of an index. They may lie in a table that was given the index later, and DynamoDB refuses every
//! write to them, whatever it changes (developer guide, Detecting and correcting index key violations).

use super::facts::IndexFacts;
use crate::table::{KeyAttribute, KeySchema, KeyType};
use crate::{Item, Key, Value};

/// Most bytes of an attribute of a partition key (developer guide, Service, account, and table quotas).
const MAX_PARTITION_KEY: usize = 2048;

/// Most bytes of an attribute of a sort key.
const MAX_SORT_KEY: usize = 1024;

/// That an item does not fit the key of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Misfit {
    /// The index's name.
    pub index: String,
    /// The attribute that is not as the key of the index must be.
    pub attribute: String,
    /// What it is, and what it must be: "is of type N and must be S".
    pub why: String,
    /// The item's key.
    pub key: Key,
}

/// How an item of a table with these keys does not fit its indexes; nothing if it does. An item without an attribute of a key
/// is not in the index, and fits.
pub fn misfits(keys: &KeySchema, indexes: &[IndexFacts], item: &Item) -> Vec<Misfit> {
    let mut found = Vec::new();
    for index in indexes {
        for (place, key) in index.keys.iter().enumerate() {
            let most = match place < index.partition_keys {
                true => MAX_PARTITION_KEY,
                false => MAX_SORT_KEY,
            };
            if let Some(why) = item
                .get(&key.name)
                .and_then(|value| unfit(key, value, most))
            {
                found.push(Misfit {
                    index: index.name.clone(),
                    attribute: key.name.clone(),
                    why,
                    key: keys.key_of(item),
                });
            }
        }
    }
    found
}

/// Why a value cannot be in this place of a key; `None` if it can.
fn unfit(key: &KeyAttribute, value: &Value, most: usize) -> Option<String> {
    let bytes = match (key.kind, value) {
        (KeyType::S, Value::S(text)) => text.len(),
        (KeyType::B, Value::B(bytes)) => bytes.0.len(),
        (KeyType::N, Value::N(_)) => return None,
        (kind, value) => {
            return Some(format!(
                "is of type {} and must be {kind:?}",
                type_of(value)
            ));
        }
    };
    match bytes {
        0 => Some("is empty".into()),
        bytes if bytes > most => Some(format!("has {bytes} bytes and may have {most}")),
        _ => None,
    }
}

/// The name of a value's type in DynamoDB's JSON.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::S(_) => "S",
        Value::N(_) => "N",
        Value::B(_) => "B",
        Value::Bool(_) => "BOOL",
        Value::Null(_) => "NULL",
        Value::L(_) => "L",
        Value::M(_) => "M",
        Value::Ss(_) => "SS",
        Value::Ns(_) => "NS",
        Value::Bs(_) => "BS",
    }
}
