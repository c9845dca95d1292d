//! Bytes of items, and the write units of so many bytes, by AWS's description of both.

use super::{Item, Value};

/// Bytes of an item, names included (developer guide, DynamoDB Item sizes and formats).
pub fn item_bytes(item: &Item) -> u64 {
    item.iter()
        .map(|(name, value)| name.len() as u64 + value_bytes(value))
        .sum()
}

/// Bytes of a value, by the same rules.
pub(crate) fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::S(text) => text.len() as u64,
        Value::N(digits) => number_bytes(digits),
        Value::B(bytes) => bytes.0.len() as u64,
        Value::Bool(_) | Value::Null(_) => SCALAR,
        Value::L(list) => {
            let members = list.iter().map(|value| MEMBER + value_bytes(value));
            CONTAINER + members.sum::<u64>()
        }
        Value::M(map) => CONTAINER + item_bytes(map) + MEMBER * map.len() as u64,
        Value::Ss(set) => set.iter().map(|text| text.len() as u64).sum(),
        Value::Ns(set) => set.iter().map(|digits| number_bytes(digits)).sum(),
        Value::Bs(set) => set.iter().map(|bytes| bytes.0.len() as u64).sum(),
    }
}

/// Bytes of true, false or null.
pub(super) const SCALAR: u64 = 1;

/// Bytes of a list or a map beside those of its members: "3 bytes of overhead, regardless of its contents".
pub(super) const CONTAINER: u64 = 3;

/// Bytes of a member beside its own: "each List or Map element also requires 1 byte".
pub(super) const MEMBER: u64 = 1;

/// Bytes of a number: one, one for each two significant digits before the point, one for each two behind it, and one for the
/// sign of what is less than 0. The developer guide says "approximately"; the rest was captured (dynoxide, `number_size`).
pub(super) fn number_bytes(text: &str) -> u64 {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let whole = mantissa.split('.').next().unwrap_or_default().len() as i64;
    let digits = || mantissa.bytes().filter(|byte| *byte != b'.');
    let Some(first) = digits().position(|digit| digit != b'0') else {
        return 1;
    };
    let last = digits()
        .enumerate()
        .filter(|(_, digit)| *digit != b'0')
        .last();
    let significant = last.map_or(0, |(last, _)| last + 1 - first) as u64;
    let before_point = whole
        .saturating_add(exponent)
        .saturating_sub(first as i64)
        .max(0);
    let before_point = (before_point as u64).min(significant);
    let behind_point = significant - before_point;
    1 + before_point.div_ceil(2) + behind_point.div_ceil(2) + u64::from(text.starts_with('-'))
}

/// Write capacity units of writing so many bytes: one for each KB that is begun, at least one (developer guide, Read and write
/// operations).
pub fn write_units(bytes: u64) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// Read capacity units of a strongly consistent read of so many bytes: one for each 4 KB that are begun, at least one (developer
/// guide, Read and write operations).
pub fn read_units(bytes: u64) -> f64 {
    bytes.div_ceil(4096).max(1) as f64
}

/// Write capacity units of checking a condition on an item of so many bytes in a transaction, which reads and writes nothing:
/// twice those of writing the item, since a transaction takes "two database reads or writes" of each (developer guide, Capacity
/// management for transactions).
pub fn check_units(bytes: u64) -> f64 {
    2.0 * write_units(bytes)
}
