//! Bytes of an item whose content nobody needs: measured while its JSON is read, and nothing of it is kept.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::size::{CONTAINER, MEMBER, SCALAR, number_bytes};

/// Bytes of an item, by the rules of [`item_bytes`](super::size::item_bytes): read from DynamoDB's own JSON of the item, of which
/// nothing is stored on the way. An item may have 400 KB, and an answer 25 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemBytes(pub u64);

impl<'de> Deserialize<'de> for ItemBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Measure::Item.deserialize(deserializer).map(ItemBytes)
    }
}

/// What is read next, and measured.
#[derive(Debug, Clone, Copy)]
enum Measure {
    /// Attribute name → typed value.
    Item,
    /// The same as an attribute.
    Map,
    List,
    /// A type's name → what it holds.
    Value,
    Text,
    Number,
    Base64,
    /// A set whose members are of this kind.
    Set(Of),
    /// Whatever it is, so many bytes.
    Fixed(u64),
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Texts,
    Numbers,
    Base64,
}

impl<'de> DeserializeSeed<'de> for Measure {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        match self {
            Measure::Item | Measure::Map | Measure::Value => deserializer.deserialize_map(self),
            Measure::List | Measure::Set(_) => deserializer.deserialize_seq(self),
            Measure::Text | Measure::Number | Measure::Base64 => deserializer.deserialize_str(self),
            Measure::Fixed(bytes) => IgnoredAny::deserialize(deserializer).map(|_| bytes),
        }
    }
}

impl<'de> Visitor<'de> for Measure {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item in DynamoDB's JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
        Ok(match self {
            Measure::Number => number_bytes(text),
            Measure::Base64 => {
                let digits = text.trim_end_matches('=').len() as u64;
                digits * 3 / 4
            }
            _ => text.len() as u64,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<u64, A::Error> {
        if let Measure::Value = self {
            let mut bytes = 0;
            while let Some(Type(held)) = entries.next_key()? {
                bytes += entries.next_value_seed(held)?;
            }
            return Ok(bytes);
        }
        let (mut bytes, overhead) = match self {
            Measure::Map => (CONTAINER, MEMBER),
            _ => (0, 0),
        };
        while let Some(name) = entries.next_key_seed(Measure::Text)? {
            bytes += overhead + name + entries.next_value_seed(Measure::Value)?;
        }
        Ok(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<u64, A::Error> {
        let (mut bytes, each, overhead) = match self {
            Measure::Set(Of::Texts) => (0, Measure::Text, 0),
            Measure::Set(Of::Numbers) => (0, Measure::Number, 0),
            Measure::Set(Of::Base64) => (0, Measure::Base64, 0),
            _ => (CONTAINER, Measure::Value, MEMBER),
        };
        while let Some(member) = members.next_element_seed(each)? {
            bytes += overhead + member;
        }
        Ok(bytes)
    }
}

/// The name of a type, as what is to be measured.
struct Type(Measure);

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Measure;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a type")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Measure, E> {
                Ok(match name {
                    "S" => Measure::Text,
                    "N" => Measure::Number,
                    "B" => Measure::Base64,
                    "L" => Measure::List,
                    "M" => Measure::Map,
                    "SS" => Measure::Set(Of::Texts),
                    "NS" => Measure::Set(Of::Numbers),
                    "BS" => Measure::Set(Of::Base64),
                    // True, false and null. A type that nobody knows yet is no reason to fail: it was not asked for.
                    _ => Measure::Fixed(SCALAR),
                })
            }
        }

        deserializer.deserialize_str(Name).map(Type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;
    use crate::value::size::item_bytes;

    /// What is measured of an item's JSON is what the item has.
    #[test]
    fn an_item_is_measured_without_being_read() {
        for json in [
            "{}",
            r#"{"abc":{"S":"äb\n\u00e4"},"b":{"B":"AAH/"},"b1":{"B":"AQ=="},"b2":{"B":"AQI="},"t":{"BOOL":true}}"#,
            r#"{"z":{"NULL":true},"l":{"L":[{"N":"-1.50"},{"L":[]},{"M":{"k":{"S":"v"},"n":{"N":"1e125"}}}]}}"#,
            r#"{"ss":{"SS":["a","bcd"]},"ns":{"NS":["1","200","-0.03"]},"bs":{"BS":["AQ==","AgM="]},"m":{"M":{}}}"#,
        ] {
            let item: Item = serde_json::from_str(json).unwrap();
            let measured: ItemBytes = serde_json::from_str(json).unwrap();
            assert_eq!(measured.0, item_bytes(&item), "{json}");
        }
        let unknown: ItemBytes = serde_json::from_str(r#"{"v":{"VEC":[0.5,{"a":1}]}}"#).unwrap();
        assert_eq!(unknown, ItemBytes(2));
        assert!(serde_json::from_str::<ItemBytes>("7").is_err());
    }
}
