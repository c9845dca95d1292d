//! Bytes of items, and the write units of so many bytes, by AWS's description of both.

use super::{Item, Value};

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

/// Write capacity units of writing so many bytes: one for each KB that is begun, at least one (developer guide, Read and write
/// operations).
pub fn write_units(bytes: u64) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// Write capacity units of checking a condition on an item of so many bytes in a transaction, which reads and writes nothing: twice those of
/// writing the item, since a transaction takes "two database reads or writes" of each (developer guide, Capacity management
/// for transactions).
pub fn check_units(bytes: u64) -> f64 {
    2.0 * write_units(bytes)
}
