//! Bytes of items, and the capacity units that writing them takes, by AWS's description of both.

use super::facts::{IndexFacts, Projection};
use crate::table::{KeyAttribute, KeySchema};
use crate::{Item, Value};

/// Bytes of an item, names included (developer guide, DynamoDB Item sizes and formats).
pub fn item_bytes(item: &Item) -> u64 {
    item.iter()
        .map(|(name, value)| name.len() as u64 + value_bytes(value))
        .sum()
}

fn value_bytes(value: &Value) -> u64 {
    // "approximately … 1 byte per two significant digits … + 1 byte", and one for a sign.
    let number = |digits: &str| {
        let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
        let significant: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let significant = significant.trim_matches('0').len().max(1) as u64;
        significant.div_ceil(2) + 1 + u64::from(digits.starts_with('-'))
    };
    match value {
        Value::S(text) => text.len() as u64,
        Value::N(digits) => number(digits),
        Value::B(bytes) => bytes.0.len() as u64,
        Value::Bool(_) | Value::Null(_) => 1,
        // "3 bytes of overhead, regardless of its contents … each List or Map element also requires 1 byte".
        Value::L(list) => 3 + list.iter().map(|value| 1 + value_bytes(value)).sum::<u64>(),
        Value::M(map) => 3 + item_bytes(map) + map.len() as u64,
        Value::Ss(set) => set.iter().map(|text| text.len() as u64).sum(),
        Value::Ns(set) => set.iter().map(|digits| number(digits)).sum(),
        Value::Bs(set) => set.iter().map(|bytes| bytes.0.len() as u64).sum(),
    }
}

/// Write capacity units of writing so many bytes.
pub(super) fn write_units(bytes: u64) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// Write capacity units of the table for an update: those of the larger of the item before and the item after.
pub fn update_units(before: &Item, after: &Item) -> f64 {
    write_units(item_bytes(before).max(item_bytes(after)))
}

/// Write capacity units of an index for an update of an item (developer guide, Write operations for global secondary
/// indexes): none if its entry stays as it is, those of two writes if its key changes, else those of one write.
pub fn index_units(keys: &KeySchema, index: &IndexFacts, before: &Item, after: &Item) -> f64 {
    let entry = |item: &Item| -> Option<Item> {
        let is_entry = index.keys.iter().all(|key| item.contains_key(&key.name));
        let is_held = |name: &str| {
            keys.names().any(|key| key == name)
                || index.keys.iter().any(|key| key.name == name)
                || match &index.projection {
                    Projection::All => true,
                    Projection::KeysOnly => false,
                    Projection::Include(names) => names.iter().any(|other| other == name),
                }
        };
        is_entry.then(|| {
            let held = item.iter().filter(|(name, _)| is_held(name));
            held.map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        })
    };
    match (entry(before), entry(after)) {
        (None, None) => 0.0,
        (Some(entry), None) | (None, Some(entry)) => write_units(item_bytes(&entry)),
        (Some(old), Some(new)) if old == new => 0.0,
        (Some(old), Some(new)) => {
            let same = |key: &KeyAttribute| old.get(&key.name) == new.get(&key.name);
            let same_key = index.keys.iter().all(same);
            match same_key {
                true => write_units(item_bytes(&old).max(item_bytes(&new))),
                false => write_units(item_bytes(&old)) + write_units(item_bytes(&new)),
            }
        }
    }
}
