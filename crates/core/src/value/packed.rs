//! Primary keys in few bytes: a sweep holds a thousand of them for each page, and in a map one takes many times as much.

use std::fmt;
use std::iter::successors;

use base64::Engine as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::few::Attributes;
use super::{BASE64, Bytes, Value};
use crate::Key;

/// The primary key of one item. Its JSON is that of a [`Key`], and it is displayed like one; equal keys are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackedKey(Form);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Form {
    /// Attributes of the types that a key can have, in the order of their names, as [`Packer`] lays them down.
    Packed(Box<[u8]>),
    /// What DynamoDB would not take for a key.
    Other(Box<Key>),
}

/// A value that is lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string.
    S(&'a str),
    /// A number as text.
    N(&'a str),
    /// Binary data.
    B(&'a [u8]),
    /// A value of another type.
    Other(&'a Value),
}

impl PackedKey {
    /// The key of these attributes, which stand in the order of their names. `None` if they do not, if two have the same name, or if
    /// one is of a type that no key has.
    pub fn of_sorted(attributes: &[(&str, ValueRef<'_>)]) -> Option<PackedKey> {
        let is_sorted = attributes.is_sorted_by(|(name, _), (next, _)| name < next);
        if !is_sorted {
            return None;
        }
        let bytes = |(name, value): &(&str, ValueRef<'_>)| {
            let (_, value) = value.of_a_key()?;
            Some(HEAD + name.len() + value.len())
        };
        let length = attributes.iter().map(bytes).sum::<Option<usize>>()?;
        let mut packer = Packer {
            packed: Vec::with_capacity(length),
            last: 0,
        };
        for (name, value) in attributes {
            let (kind, value) = value.of_a_key()?;
            packer.attribute(kind, name.as_bytes(), value);
        }
        Some(PackedKey(Form::Packed(packer.packed.into_boxed_slice())))
    }

    /// The key that an item has if its attributes are these, as far as it has them.
    pub fn of_item<'a>(names: impl Iterator<Item = &'a str>, item: &dyn Attributes) -> PackedKey {
        let of_key = names.filter_map(|name| Some((name, ValueRef::from(item.attribute(name)?))));
        let mut of_key: Vec<(&str, ValueRef<'_>)> = of_key.collect();
        of_key.sort_unstable_by_key(|(name, _)| *name);
        PackedKey::of_sorted(&of_key).unwrap_or_else(|| {
            let owned = |(name, value): (&str, ValueRef<'_>)| (name.to_owned(), value.to_value());
            PackedKey::from(&Key(of_key.into_iter().map(owned).collect()))
        })
    }

    /// The value of the key attribute with this name.
    pub fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        match &self.0 {
            Form::Packed(packed) => {
                let name = name.as_bytes();
                let found = attributes(packed).find(|attribute| attribute.name == name);
                found?.value()
            }
            Form::Other(key) => Some(ValueRef::from(key.0.get(name)?)),
        }
    }

    /// The same key as a map.
    pub fn to_key(&self) -> Key {
        match &self.0 {
            Form::Packed(packed) => {
                let owned =
                    |(name, value): (&str, ValueRef<'_>)| (name.to_owned(), value.to_value());
                Key(entries(packed).map(owned).collect())
            }
            Form::Other(key) => (**key).clone(),
        }
    }

    /// Bytes that it has allocated.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// What an allocator adds, and takes for the nodes of a map.
        const HEAD: usize = 16;
        const NODE: usize = 640;
        match &self.0 {
            Form::Packed(packed) => packed.len() + HEAD,
            Form::Other(key) => NODE + super::size::item_bytes(&key.0) as usize,
        }
    }
}

impl From<&Key> for PackedKey {
    fn from(key: &Key) -> Self {
        let mut packer = Packer::for_a_key();
        for (name, value) in &key.0 {
            packer.name(name);
            match value {
                Value::S(text) => packer.value(b'S', text.as_bytes()),
                Value::N(number) => packer.value(b'N', number.as_bytes()),
                Value::B(bytes) => packer.value(b'B', &bytes.0),
                _ => return PackedKey(Form::Other(Box::new(key.clone()))),
            }
        }
        packer.finish()
    }
}

impl fmt::Display for PackedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_key().fmt(f)
    }
}

impl Serialize for PackedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Packed(packed) => serializer.collect_map(entries(packed)),
            Form::Other(key) => key.serialize(serializer),
        }
    }
}

/// From a map of attributes of the types that a key can have.
impl<'de> Deserialize<'de> for PackedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Attributes;

        impl<'de> Visitor<'de> for Attributes {
            type Value = PackedKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a primary key in DynamoDB's JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<PackedKey, A::Error> {
                let mut packer = Packer::for_a_key();
                while entries.next_key_seed(Next::Name(&mut packer))?.is_some() {
                    entries.next_value_seed(Next::Value(&mut packer))?;
                }
                Ok(packer.finish())
            }
        }

        deserializer.deserialize_map(Attributes)
    }
}

/// What is read next, to be laid down as it comes.
enum Next<'p> {
    Name(&'p mut Packer),
    /// A typed value.
    Value(&'p mut Packer),
    /// What it is, by its type.
    Content(&'p mut Packer, KeyKind),
}

#[derive(Clone, Copy, Deserialize)]
enum KeyKind {
    S,
    N,
    B,
}

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self {
            Next::Value(_) => deserializer.deserialize_map(self),
            Next::Name(_) | Next::Content(..) => deserializer.deserialize_str(self),
        }
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key attribute in DynamoDB's JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self {
            Next::Name(packer) => packer.name(text),
            Next::Content(packer, KeyKind::S) => packer.value(b'S', text.as_bytes()),
            Next::Content(packer, KeyKind::N) => packer.value(b'N', text.as_bytes()),
            Next::Content(packer, KeyKind::B) => {
                let bytes = BASE64.decode(text).map_err(E::custom)?;
                packer.value(b'B', &bytes);
            }
            Next::Value(_) => return Err(E::custom("expected a type and a value")),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let (Next::Value(packer), Some(kind)) = (self, entries.next_key()?) else {
            return Err(A::Error::custom("expected a type and a value"));
        };
        entries.next_value_seed(Next::Content(packer, kind))?;
        match entries.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom("a value of two types")),
        }
    }
}

/// Lays attributes down one behind the other: the type's letter, the lengths of name and value, the name, the value.
struct Packer {
    packed: Vec<u8>,
    /// Where the last attribute begins.
    last: usize,
}

/// Bytes of a length.
const LENGTH: usize = 4;
/// Bytes before the name.
const HEAD: usize = 1 + 2 * LENGTH;

impl Packer {
    /// With room for a key like most.
    fn for_a_key() -> Packer {
        Packer {
            packed: Vec::with_capacity(128),
            last: 0,
        }
    }

    fn name(&mut self, name: &str) {
        self.last = self.packed.len();
        self.packed.resize(self.last + HEAD, 0);
        self.add(1, name.as_bytes());
    }

    /// Adds a whole attribute.
    fn attribute(&mut self, kind: u8, name: &[u8], value: &[u8]) {
        self.packed.push(kind);
        for part in [name, value] {
            // No more than DynamoDB sends in one answer.
            let length = part.len() as u32;
            self.packed.extend_from_slice(&length.to_le_bytes());
        }
        self.packed.extend_from_slice(name);
        self.packed.extend_from_slice(value);
    }

    fn value(&mut self, kind: u8, value: &[u8]) {
        if let Some(letter) = self.packed.get_mut(self.last) {
            *letter = kind;
        }
        self.add(1 + LENGTH, value);
    }

    /// Adds bytes to the last attribute, whose length stands so far behind its begin.
    fn add(&mut self, at: usize, bytes: &[u8]) {
        let at = self.last + at;
        if let Some(length) = self.packed.get_mut(at..at + LENGTH) {
            // No more than DynamoDB sends in one answer.
            length.copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        }
        self.packed.extend_from_slice(bytes);
    }

    fn finish(self) -> PackedKey {
        let is_sorted = attributes(&self.packed).is_sorted_by_key(|attribute| attribute.name);
        PackedKey(Form::Packed(match is_sorted {
            true => self.packed.into_boxed_slice(),
            false => {
                let mut sorted: Vec<Attribute<'_>> = attributes(&self.packed).collect();
                sorted.sort_by_key(|attribute| attribute.name);
                let all: Vec<&[u8]> = sorted.iter().map(|attribute| attribute.all).collect();
                all.concat().into_boxed_slice()
            }
        }))
    }
}

/// A packed attribute. Its texts are bytes here: that they are texts is looked at when they are asked for, and not each time that one
/// is passed by.
struct Attribute<'a> {
    kind: u8,
    name: &'a [u8],
    value: &'a [u8],
    /// All bytes of it, and those behind it.
    all: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn value(&self) -> Option<ValueRef<'a>> {
        Some(match self.kind {
            b'S' => ValueRef::S(std::str::from_utf8(self.value).ok()?),
            b'N' => ValueRef::N(std::str::from_utf8(self.value).ok()?),
            _ => ValueRef::B(self.value),
        })
    }
}

fn attributes(packed: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    successors(first(packed), |attribute| first(attribute.behind))
}

fn first(packed: &[u8]) -> Option<Attribute<'_>> {
    let (&kind, rest) = packed.split_first()?;
    let (name_length, rest) = rest.split_first_chunk::<LENGTH>()?;
    let (value_length, rest) = rest.split_first_chunk::<LENGTH>()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*name_length) as usize)?;
    let (value, behind) = rest.split_at_checked(u32::from_le_bytes(*value_length) as usize)?;
    Some(Attribute {
        kind,
        name,
        value,
        all: packed.get(..packed.len() - behind.len())?,
        behind,
    })
}

/// Names and values.
fn entries(packed: &[u8]) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
    attributes(packed).filter_map(|attribute| {
        let name = std::str::from_utf8(attribute.name).ok()?;
        Some((name, attribute.value()?))
    })
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::S(text) => ValueRef::S(text),
            Value::N(number) => ValueRef::N(number),
            Value::B(bytes) => ValueRef::B(&bytes.0),
            other => ValueRef::Other(other),
        }
    }
}

impl ValueRef<'_> {
    /// The letter of its type and its bytes; `None` for what no key has.
    fn of_a_key(&self) -> Option<(u8, &[u8])> {
        Some(match self {
            ValueRef::S(text) => (b'S', text.as_bytes()),
            ValueRef::N(number) => (b'N', number.as_bytes()),
            ValueRef::B(bytes) => (b'B', bytes),
            ValueRef::Other(_) => return None,
        })
    }

    /// The same value, owned.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::S(text) => Value::S(text.to_owned()),
            ValueRef::N(number) => Value::N(number.to_owned()),
            ValueRef::B(bytes) => Value::B(Bytes(bytes.to_vec())),
            ValueRef::Other(value) => value.clone(),
        }
    }
}

/// DynamoDB's own JSON, as of a [`Value`].
impl Serialize for ValueRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ValueRef::S(text) => serializer.collect_map([("S", text)]),
            ValueRef::N(number) => serializer.collect_map([("N", number)]),
            ValueRef::B(bytes) => serializer.collect_map([("B", BASE64.encode(bytes))]),
            ValueRef::Other(value) => value.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;

    fn key(json: &str) -> Key {
        serde_json::from_str(json).unwrap()
    }

    /// A packed key says what the key says, in its words, however it came.
    #[test]
    fn a_packed_key_is_the_key() {
        for json in [
            r#"{"id":{"S":"a"}}"#,
            r#"{"id":{"S":""}}"#,
            r#"{"created":{"N":"-1.50"},"id":{"S":"\"ä\\\n\u0001😀"}}"#,
            r#"{"a\"b":{"B":"AAH/"},"ü":{"N":"12345678901234567890123456789012345678"}}"#,
            r#"{"id":{"S":"a"},"odd":{"L":[{"N":"1"}]}}"#,
            r#"{"id":{"BOOL":true}}"#,
            "{}",
        ] {
            let key = key(json);
            let packed = PackedKey::from(&key);
            assert_eq!(packed.to_key(), key);
            assert_eq!(packed.to_string(), key.to_string());
            let mut item = key.0.clone();
            item.insert("zz".to_owned(), Value::Null(true));
            let names = || key.0.keys().map(String::as_str);
            assert_eq!(PackedKey::of_item(names(), &item), packed);
            let others = names().collect::<Vec<_>>().into_iter().rev();
            assert_eq!(PackedKey::of_item(others.chain(["gone"]), &item), packed);
            let written = serde_json::to_string(&packed).unwrap();
            assert_eq!(written, serde_json::to_string(&key).unwrap());
            for (name, value) in &key.0 {
                let found = packed.get(name).unwrap();
                assert_eq!(found, ValueRef::from(value), "{json}");
                assert_eq!(found.to_value(), *value);
                let written = serde_json::to_string(&found).unwrap();
                assert_eq!(written, serde_json::to_string(value).unwrap());
            }
            assert_eq!(packed.get("missing"), None);
        }
    }

    /// Whatever the order of attributes and the way in which text is escaped, equal keys are equal.
    #[test]
    fn equal_keys_are_equal_however_they_are_written() {
        let json = r#"{"created":{"N":"1"},"id":{"S":"ä"}}"#;
        let expected = PackedKey::from(&key(json));
        for json in [
            json,
            r#"{"id":{"S":"\u00e4"},"created":{"N":"1"}}"#,
            r#" { "id" : { "S" : "ä" } , "cr\u0065ated" : {"N":"1"} } "#,
        ] {
            let packed: PackedKey = serde_json::from_str(json).unwrap();
            assert_eq!(packed, expected, "{json}");
            let read: PackedKey = serde_json::from_reader(json.as_bytes()).unwrap();
            assert_eq!(read, expected, "{json}");
        }
        for other in [
            r#"{"created":{"N":"1.0"},"id":{"S":"ä"}}"#,
            r#"{"created":{"S":"1"},"id":{"S":"ä"}}"#,
            r#"{"id":{"S":"ä"}}"#,
        ] {
            assert_ne!(PackedKey::from(&key(other)), expected);
        }
    }

    #[test]
    fn what_is_no_key_is_not_read_as_one() {
        for json in [
            r#"{"id":{"L":[]}}"#,
            r#"{"id":{"S":1}}"#,
            r#"{"id":{"S":"a","N":"1"}}"#,
            r#"{"id":{}}"#,
            r#"{"id":"a"}"#,
            r#"{"id":{"B":"not base64"}}"#,
            "[]",
        ] {
            assert!(serde_json::from_str::<PackedKey>(json).is_err(), "{json}");
        }
    }

    /// A key like most takes a fraction of what it takes in a map.
    #[test]
    fn a_packed_key_is_small() {
        let id = Value::S("0f8fad5b-d9cb-469f-a165-70867728950e".into());
        let created = Value::N("1700000000".into());
        let key = Key(Item::from([("id".into(), id), ("created".into(), created)]));
        assert!(PackedKey::from(&key).heap_bytes() < 100);
    }
}
