//! What the items look like: made by their index and nowhere stored.

use backfill_core::compute::Template;
use backfill_core::value::size::item_bytes;
use backfill_core::{Item, Value};
use serde_json::{Map, Value as Json, json};

/// Names of the key attributes.
pub const ID: &str = "id";
pub const CREATED: &str = "created";
/// An attribute that all items have.
const STATUS: &str = "status";
/// What values are computed from. Items have both if any is.
pub const SOURCES: [&str; 2] = [STATUS, "tenant"];

/// What items are like.
pub struct Form {
    /// The attribute that pending items lack.
    pub attribute: String,
    /// What the attribute is computed by; 1 for all without it.
    template: Option<Template>,
}

impl Form {
    /// An error says why values cannot be computed by this template.
    pub fn new(attribute: String, computed: Option<&str>) -> Result<Form, String> {
        let template = computed.map(Template::parse).transpose()?;
        let form = Form {
            attribute,
            template,
        };
        // What some thousand items have is all that there is.
        (0..5_000).try_for_each(|index| form.evaluated(index).map(|_| ()))?;
        Ok(form)
    }

    /// What an item has of [`SOURCES`], in their order; nothing if nothing is computed.
    pub fn sources(&self, index: u64) -> Option<[String; 2]> {
        self.template.as_ref().map(|_| sources(index))
    }

    /// Whether its items have [`SOURCES`].
    pub fn has_sources(&self) -> bool {
        self.template.is_some()
    }

    fn evaluated(&self, index: u64) -> Result<Value, String> {
        let Some(template) = &self.template else {
            return Ok(Value::N("1".to_owned()));
        };
        let of_source = |(name, text): (&str, String)| (name.to_owned(), Value::S(text));
        let item: Item = SOURCES
            .into_iter()
            .zip(sources(index))
            .map(of_source)
            .collect();
        template.evaluate(&item).map_err(|why| why.to_string())
    }

    /// What the attribute of this item has to be: what it was computed from.
    pub fn value(&self, index: u64) -> Option<Value> {
        self.template.as_ref()?;
        self.evaluated(index).ok()
    }

    /// Appends the attributes of an item that have these names.
    pub fn push_only(&self, json: &mut Vec<u8>, names: &[String], index: u64, is_pending: bool) {
        let mut begin = b'{';
        for name in names {
            let value = match name.as_str() {
                ID => Value::S(id(index)),
                CREATED => Value::N(halves(index).1.to_string()),
                name if name == self.attribute && !is_pending => match self.evaluated(index) {
                    Ok(value) => value,
                    Err(_) => continue,
                },
                name => match self.text(index, name) {
                    Some(text) => Value::S(text),
                    None => continue,
                },
            };
            json.push(std::mem::replace(&mut begin, b','));
            // Neither has anything that a writer of JSON could fail at.
            let _ = serde_json::to_writer(&mut *json, name);
            json.push(b':');
            let _ = serde_json::to_writer(&mut *json, &value);
        }
        if begin == b'{' {
            json.push(begin);
        }
        json.push(b'}');
    }

    /// An attribute that every item has beside its key.
    fn text(&self, index: u64, name: &str) -> Option<String> {
        match self.sources(index) {
            Some(texts) => {
                let at = SOURCES.iter().position(|source| *source == name)?;
                texts.into_iter().nth(at)
            }
            None => (name == STATUS).then(|| "shipped".to_owned()),
        }
    }

    /// A whole item of so many bytes, or of as few as it can have.
    pub fn whole(&self, index: u64, bytes: u64, is_pending: bool) -> Map<String, Json> {
        let mut names: Vec<String> = [ID, CREATED]
            .into_iter()
            .chain(SOURCES)
            .map(str::to_owned)
            .collect();
        names.push(self.attribute.clone());
        let mut json = Vec::new();
        self.push_only(&mut json, &names, index, is_pending);
        let item: Item = serde_json::from_slice(&json).unwrap_or_default();
        let mut whole: Map<String, Json> = serde_json::from_slice(&json).unwrap_or_default();
        let note = "note";
        if let Some(rest) = bytes.checked_sub(item_bytes(&item) + note.len() as u64) {
            let words = "left with the neighbour, who asks you to ring twice; ";
            let text: String = words.chars().cycle().take(rest as usize).collect();
            whole.insert(note.to_owned(), json!({"S": text}));
        }
        whole
    }
}

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

/// What an item's value is computed from: one of three, and one of a thousand.
fn sources(index: u64) -> [String; 2] {
    let bits = mixed(index);
    let status = ["SHIPPED", "Packed", "open"][(bits % 3) as usize];
    [
        status.to_owned(),
        format!("tenant-{:03}", (bits >> 32) % 1_000),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn form(computed: Option<&str>) -> Form {
        Form::new("test".into(), computed).unwrap()
    }

    #[test]
    fn what_is_computed_follows_from_what_is_shown() {
        let form = form(Some("${tenant}#${status|lower}"));
        let names = ["id", "status", "test", "tenant", "other"].map(str::to_owned);
        let mut seen = BTreeSet::new();
        for index in 0..3_000 {
            let shown = |is_pending| {
                let mut json = Vec::new();
                form.push_only(&mut json, &names, index, is_pending);
                serde_json::from_slice::<Json>(&json).unwrap()
            };
            let (pending, done) = (shown(true), shown(false));
            let text = |name: &str| done[name]["S"].as_str().unwrap().to_owned();
            let expected = format!("{}#{}", text("tenant"), text("status").to_lowercase());
            assert_eq!(text("test"), expected);
            assert_eq!(form.value(index), Some(Value::S(expected.clone())));
            assert_eq!(form.sources(index), Some([text("status"), text("tenant")]));
            assert_eq!(pending.get("test"), None);
            assert_eq!(pending.as_object().unwrap().len(), 3);
            seen.insert(expected);
        }
        assert!(seen.len() > 1_000, "{}", seen.len());
        let mut json = Vec::new();
        form.push_only(&mut json, &names[4..], 7, true);
        assert_eq!(json, b"{}");
    }

    #[test]
    fn what_cannot_be_computed_of_these_items_is_refused() {
        for template in ["${", "${gone}", "${status|number}"] {
            assert!(
                Form::new("test".into(), Some(template)).is_err(),
                "{template}"
            );
        }
    }

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
            let whole = form(None).whole(index, 300, true);
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
        for form in [form(None), form(Some("${tenant}"))] {
            for (bytes, is_pending) in [(300, true), (300, false), (5_000, true)] {
                let whole = form.whole(7, bytes, is_pending);
                let item: Item = serde_json::from_value(whole.into()).unwrap();
                assert_eq!(item_bytes(&item), bytes, "{is_pending}");
                assert_eq!(item.contains_key("test"), !is_pending);
            }
            assert!(!form.whole(7, 10, true).contains_key("note"));
        }
    }
}
