//! What the items look like: made by their index and nowhere stored.

use backfill_core::value::size::item_bytes;
use backfill_core::{Item, Value};
use serde_json::{Map, Value as Json, json};

/// Names of the key attributes.
pub const ID: &str = "id";
pub const CREATED: &str = "created";

/// A bijection of 64 bits that leaves no order to be seen (the finalizer of SplitMix64).
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The way back.
fn unmixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(0x3196_42B2_D24D_8EC3);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(0x96DE_1B17_3F11_9089);
    z ^ (z >> 30) ^ (z >> 60)
}

/// The second halves of the two key attributes.
fn halves(index: u64) -> (u64, u64) {
    let second = mixed(index ^ 0x5DEE_CE66_D1A4_F087);
    (second, 1_600_000_000_000 + second % 200_000_000_000)
}

/// Appends the `id` of an item: a GUID by its form.
fn push_id(text: &mut Vec<u8>, index: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = u128::from(mixed(index)) << 64 | u128::from(halves(index).0);
    for digit in 0..32 {
        if matches!(digit, 8 | 12 | 16 | 20) {
            text.push(b'-');
        }
        text.push(HEX[(bits >> (124 - 4 * digit)) as usize & 15]);
    }
}

fn id(index: u64) -> String {
    let mut text = Vec::with_capacity(36);
    push_id(&mut text, index);
    text.into_iter().map(char::from).collect()
}

/// Appends the key of an item as JSON.
pub fn push_key(json: &mut Vec<u8>, index: u64) {
    json.extend_from_slice(br#"{"created":{"N":""#);
    let mut digits = [0; 20];
    let mut rest = halves(index).1;
    let mut at = digits.len();
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    json.extend_from_slice(&digits[at..]);
    json.extend_from_slice(br#""},"id":{"S":""#);
    push_id(json, index);
    json.extend_from_slice(br#""}}"#);
}

/// The number of the item with this key, of so many; `None` if there is none.
pub fn index_of(key_id: &str, key_created: &str, items: u64) -> Option<u64> {
    let mut first = 0;
    for byte in key_id.bytes().filter(|&byte| byte != b'-').take(16) {
        first = first << 4 | u64::from(char::from(byte).to_digit(16)?);
    }
    let index = unmixed(first);
    let is_it = || id(index) == key_id && halves(index).1.to_string() == key_created;
    (index < items && is_it()).then_some(index)
}

/// A whole item of so many bytes, or of as few as it can have.
pub fn whole(index: u64, bytes: u64, set: Option<&str>) -> Map<String, Json> {
    let (id, created) = (id(index), halves(index).1.to_string());
    let (status, note) = ("shipped", "note");
    let mut item = Item::from([
        (ID.to_owned(), Value::S(id.clone())),
        (CREATED.to_owned(), Value::N(created.clone())),
        ("status".to_owned(), Value::S(status.to_owned())),
    ]);
    if let Some(attribute) = set {
        item.insert(attribute.to_owned(), Value::N("1".to_owned()));
    }
    let mut json = Map::from_iter([
        (ID.to_owned(), json!({"S": id})),
        (CREATED.to_owned(), json!({"N": created})),
        ("status".to_owned(), json!({"S": status})),
    ]);
    if let Some(rest) = bytes.checked_sub(item_bytes(&item) + note.len() as u64) {
        let words = "left with the neighbour, who asks you to ring twice; ";
        let text: String = words.chars().cycle().take(rest as usize).collect();
        json.insert(note.to_owned(), json!({"S": text}));
    }
    if let Some(attribute) = set {
        json.insert(attribute.to_owned(), json!({"N": "1"}));
    }
    json
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_item_is_found_by_its_key_and_by_no_other() {
        let items = 10_000;
        let mut ids = BTreeSet::new();
        for index in (0..items).chain([u64::MAX, 1 << 63]) {
            let mut json = Vec::new();
            push_key(&mut json, index);
            let key: Json = serde_json::from_slice(&json).unwrap();
            let [id, created] =
                [&key["id"]["S"], &key["created"]["N"]].map(|v| v.as_str().unwrap());
            assert_eq!(id.len(), 36);
            let there = (index < items).then_some(index);
            assert_eq!(index_of(id, created, items), there);
            assert_eq!(index_of(id, "1600000000000", items), None);
            assert_eq!(index_of(&id.replace('-', ""), created, items), None);
            let whole = whole(index, 300, None);
            assert_eq!(whole["id"], key["id"]);
            assert_eq!(whole["created"], key["created"]);
            ids.insert(id.to_owned());
        }
        assert_eq!(ids.len() as u64, items + 2);
        assert_eq!(index_of("", "", items), None);
        assert_eq!(index_of("zz", "1", items), None);
    }

    #[test]
    fn an_item_is_as_large_as_it_is_counted() {
        for (bytes, set) in [(300, None), (300, Some("test")), (5_000, None)] {
            let item: Item = serde_json::from_value(whole(7, bytes, set).into()).unwrap();
            assert_eq!(item_bytes(&item), bytes, "{set:?}");
        }
        assert!(!whole(7, 10, None).contains_key("note"));
    }
}
