//! DynamoDB values, items and keys, with every digit and every type kept, and their two JSON forms: plain (`1`, `"a"`) and
//! typed (`{"N":"1"}`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::text::visible_json;

pub mod few;
pub mod measured;
pub mod packed;
pub mod size;

/// Deepest nesting of lists and maps that DynamoDB stores ("Attributes nested up to 32 levels deep",
/// Quotas in Amazon DynamoDB, Item attributes).
pub const MAX_DEPTH: usize = 32;

/// An attribute value. Numbers stay text, as on the wire, so that 38 digits survive.
///
/// Serialised, it is DynamoDB's own JSON: `{"S":"text"}`, `{"N":"1"}`, `{"B":"<base64>"}`, …
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// A string.
    S(String),
    /// A number as text: up to 38 significant digits, magnitude 0 or 1E-130 to 9.99…E+125.
    N(String),
    /// Binary data.
    B(Bytes),
    /// True or false.
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// Null: always true, as DynamoDB has it.
    #[serde(rename = "NULL")]
    Null(bool),
    /// A list, whose members may be of any type.
    L(Vec<Value>),
    /// A map: name → value.
    M(#[serde(deserialize_with = "distinct")] BTreeMap<String, Value>),
    /// A set of strings, in the order in which they came.
    #[serde(rename = "SS")]
    Ss(Vec<String>),
    /// A set of numbers as text, in the order in which they came.
    #[serde(rename = "NS")]
    Ns(Vec<String>),
    /// A set of binary data, in the order in which it came.
    #[serde(rename = "BS")]
    Bs(Vec<Bytes>),
}

/// Bytes that are base64 text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64
            .decode(&text)
            .map(Bytes)
            .map_err(|error| serde::de::Error::custom(format!("expected base64 of bytes: {error}")))
    }
}

/// Reads a map and refuses the same name twice: one of the two would be lost without a word.
pub(crate) fn distinct<'de, D, V>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Distinct<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Distinct<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, value)) = entries.next_entry::<String, V>()? {
                match map.entry(name) {
                    Entry::Vacant(entry) => entry.insert(value),
                    Entry::Occupied(entry) => {
                        let why = format!("{:?} is given twice", entry.key());
                        return Err(serde::de::Error::custom(why));
                    }
                };
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Distinct(PhantomData))
}

/// Named values, of which no two may have the same name in the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Distinct<V>(
    /// Name → value.
    #[serde(
        deserialize_with = "distinct",
        bound(deserialize = "V: Deserialize<'de>")
    )]
    pub BTreeMap<String, V>,
);

/// Attribute name → value.
pub type Item = BTreeMap<String, Value>;

/// The primary key of one item: one or two attributes. Displayed as typed JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub Item);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible_json(
            &serde_json::to_string(self).map_err(|_| fmt::Error)?,
        ))
    }
}

impl Value {
    /// Reads plain JSON text: number → N, string → S, bool → BOOL, null → NULL, array → L, object → M.
    /// Numbers keep every digit of the text. An error says what is no JSON or what DynamoDB could not store.
    pub fn from_plain_json(json: &str) -> Result<Value, String> {
        let raw: &RawValue = serde_json::from_str(json).map_err(|error| {
            format!("expected JSON, such as 1, \"text\", true, null, [1] or {{\"a\":1}}: {error}")
        })?;
        let value = plain(raw, 0)?;
        value.check()?;
        Ok(value)
    }

    /// True if the values are the same to DynamoDB, as its `=` has it: numbers are compared by what they are worth (1 and 1.0 are the
    /// same), sets without an order, and both in lists and maps as well.
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::N(a), Value::N(b)) => a == b || worth(a) == worth(b),
            (Value::Ss(a), Value::Ss(b)) => sorted(a) == sorted(b),
            (Value::Bs(a), Value::Bs(b)) => sorted(a) == sorted(b),
            (Value::Ns(a), Value::Ns(b)) => {
                sorted(a.iter().map(worth)) == sorted(b.iter().map(worth))
            }
            (Value::L(a), Value::L(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
            }
            (Value::M(a), Value::M(b)) => {
                let is_same = |((name, a), (other, b)): ((&String, &Value), (&String, &Value))| {
                    name == other && a.is_same(b)
                };
                a.len() == b.len() && a.iter().zip(b).all(is_same)
            }
            _ => self == other,
        }
    }

    /// The name of the type, as `attribute_type` and DynamoDB's JSON have it.
    pub fn type_name(&self) -> &'static str {
        match self {
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

    /// Refuses what DynamoDB would refuse in any item, with the reason for a person: numbers beyond 38 digits or its
    /// range, empty or repeating sets, `{"NULL":false}`, nesting deeper than [`MAX_DEPTH`].
    pub fn check(&self) -> Result<(), String> {
        self.check_at(0)
    }

    fn check_at(&self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        match self {
            Value::N(number) => read_number(number).map(|_| ()),
            Value::Null(false) => Err("NULL can only be true".into()),
            Value::Ns(numbers) => {
                // 1 and 1.0 are the same member.
                let numbers: Vec<Number> = numbers
                    .iter()
                    .map(|number| read_number(number))
                    .collect::<Result<_, String>>()?;
                check_set(&numbers)
            }
            Value::Ss(strings) => check_set(strings),
            Value::Bs(blobs) => check_set(blobs),
            Value::L(list) => list.iter().try_for_each(|v| v.check_at(depth + 1)),
            Value::M(map) => map.values().try_for_each(|v| v.check_at(depth + 1)),
            Value::S(_) | Value::B(_) | Value::Bool(_) | Value::Null(true) => Ok(()),
        }
    }
}

/// Which of two values DynamoDB finds the less: numbers by what they are worth, strings by their bytes in UTF-8, binary data by its
/// bytes. `None` if they have no order: other types, or two of them.
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::S(a), Value::S(b)) => Some(a.cmp(b)),
        (Value::N(a), Value::N(b)) => Some(read_number(a).ok()?.cmp(&read_number(b).ok()?)),
        (Value::B(a), Value::B(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// A value as plain JSON for people and their tools: numbers with every digit, sets as arrays, bytes as base64 text. A set
/// that is read back is a list.
pub struct Plain<'a>(pub &'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::S(s) => serializer.serialize_str(s),
            Value::N(n) => plain_number(n, serializer),
            Value::B(bytes) => bytes.serialize(serializer),
            Value::Bool(b) => serializer.serialize_bool(*b),
            Value::Null(_) => serializer.serialize_unit(),
            Value::L(list) => serializer.collect_seq(list.iter().map(Plain)),
            Value::M(map) => PlainItem(map).serialize(serializer),
            Value::Ss(set) => set.serialize(serializer),
            Value::Ns(set) => serializer.collect_seq(set.iter().map(|n| PlainNumber(n))),
            Value::Bs(set) => set.serialize(serializer),
        }
    }
}

/// An item as plain JSON for people and their tools: an object with [`Plain`] values.
pub struct PlainItem<'a>(pub &'a Item);

impl Serialize for PlainItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Plain(value))))
    }
}

struct PlainNumber<'a>(&'a str);

impl Serialize for PlainNumber<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        plain_number(self.0, serializer)
    }
}

/// Writes the digits as they are. A number that DynamoDB writes as JSON does not, such as `+5`, becomes text.
fn plain_number<S: Serializer>(number: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&RawValue>(number) {
        Ok(raw) if read_number(number).is_ok() => raw.serialize(serializer),
        _ => serializer.serialize_str(number),
    }
}

/// The item with its sets sorted, so that two items can be compared: sets have no order of their own.
pub fn with_sorted_sets(item: Item) -> Item {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Ss(mut set) => {
                set.sort();
                Value::Ss(set)
            }
            Value::Ns(mut set) => {
                set.sort();
                Value::Ns(set)
            }
            Value::Bs(mut set) => {
                set.sort();
                Value::Bs(set)
            }
            Value::L(list) => Value::L(list.into_iter().map(sorted).collect()),
            Value::M(map) => Value::M(with_sorted_sets(map)),
            other => other,
        }
    }
    item.into_iter()
        .map(|(name, value)| (name, sorted(value)))
        .collect()
}

fn too_deep() -> String {
    format!("nested deeper than the {MAX_DEPTH} levels that DynamoDB stores")
}

fn plain(raw: &RawValue, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let text = raw.get();
    let wrong = |error: serde_json::Error| error.to_string();
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let map: BTreeMap<String, &RawValue> =
                distinct(&mut serde_json::Deserializer::from_str(text)).map_err(wrong)?;
            Value::M(
                map.into_iter()
                    .map(|(name, raw)| Ok((name, plain(raw, depth + 1)?)))
                    .collect::<Result<_, String>>()?,
            )
        }
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
            Value::L(
                list.into_iter()
                    .map(|raw| plain(raw, depth + 1))
                    .collect::<Result<_, String>>()?,
            )
        }
        Some(b'"') => Value::S(serde_json::from_str(text).map_err(wrong)?),
        Some(b't' | b'f') => Value::Bool(text == "true"),
        Some(b'n') => Value::Null(true),
        _ => Value::N(text.to_owned()),
    })
}

fn check_set<T: Ord>(members: &[T]) -> Result<(), String> {
    if members.is_empty() {
        return Err("a set may not be empty".into());
    }
    let distinct: std::collections::BTreeSet<&T> = members.iter().collect();
    if distinct.len() < members.len() {
        return Err("a set may not hold the same member twice".into());
    }
    Ok(())
}

fn sorted<T: Ord>(members: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut members: Vec<T> = members.into_iter().collect();
    members.sort_unstable();
    members
}

/// What a number is worth; a text that is none stands for itself.
fn worth(text: &String) -> Result<Number, &String> {
    read_number(text).map_err(|_| text)
}

/// A number by what it is worth: equal numbers are equal, however they are written.
#[derive(PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) negative: bool,
    /// The power of ten of the first digit.
    pub(crate) magnitude: i64,
    /// The significant digits, the first and the last of which are not 0; empty for 0.
    pub(crate) digits: String,
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Number| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let amount = |a: &Number, b: &Number| {
            // Digits behind the same point: what is the beginning of the other is the less.
            (a.magnitude, &a.digits).cmp(&(b.magnitude, &b.digits))
        };
        sign(self)
            .cmp(&sign(other))
            .then_with(|| match self.negative {
                true => amount(other, self),
                false => amount(self, other),
            })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// DynamoDB's numbers: up to 38 significant digits, magnitude 0 or 1E-130 to 9.99…E+125 (Supported data
/// types and naming rules in Amazon DynamoDB, Number).
pub(crate) fn read_number(text: &str) -> Result<Number, String> {
    let wrong = || format!("{text:?} is not a number");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| wrong())?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(Number {
            negative: false,
            magnitude: 0,
            digits: String::new(),
        });
    }
    // The power of ten of the first significant digit.
    let leading_zeros = (digits.len() - significant.len()) as i64;
    let magnitude = (whole.len() as i64 - 1 - leading_zeros).saturating_add(exponent);
    let significant = significant.trim_end_matches('0');
    if significant.len() > 38 {
        return Err(format!(
            "{text:?} has more than the 38 significant digits that DynamoDB stores"
        ));
    }
    if !(-130..=125).contains(&magnitude) {
        return Err(format!(
            "{text:?} is outside DynamoDB's range of 1E-130 to 9.99E+125"
        ));
    }
    Ok(Number {
        negative: text.starts_with('-'),
        magnitude,
        digits: significant.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_json_maps_to_the_documented_types_and_keeps_every_digit() {
        let n = "12345678901234567890123456789012345678";
        assert_eq!(Value::from_plain_json(n), Ok(Value::N(n.into())));
        assert_eq!(
            Value::from_plain_json("1.10"),
            Ok(Value::N("1.10".into())),
            "no float in between"
        );
        assert_eq!(
            Value::from_plain_json(r#" {"a":[true,null,"x"]} "#),
            Ok(Value::M(BTreeMap::from([(
                "a".into(),
                Value::L(vec![
                    Value::Bool(true),
                    Value::Null(true),
                    Value::S("x".into())
                ])
            )])))
        );
        assert!(Value::from_plain_json("abc").is_err());
        assert!(Value::from_plain_json("1 2").is_err());
        for twice in [
            r#"{"a":1,"a":2}"#,
            r#"[{"b":{"a":1,"\u0061":1}}]"#,
            r#"{"a":{},"a":{}}"#,
        ] {
            let refusal = Value::from_plain_json(twice).unwrap_err();
            assert!(refusal.contains("\"a\" is given twice"), "{refusal}");
        }
    }

    #[test]
    fn plain_json_shows_every_digit_and_every_type() {
        let typed = r#"{"b":{"B":"AAH/"},"bs":{"BS":["AQ=="]},"l":{"L":[{"N":"1"},{"NULL":true}]},"m":{"M":{"x":{"S":"y"}}},"n":{"N":"12345678901234567890.123456789012345678"},"ns":{"NS":["1","-2.50"]},"odd":{"N":"+5"},"ss":{"SS":["a"]},"t":{"BOOL":true}}"#;
        let item: Item = serde_json::from_str(typed).unwrap();
        assert_eq!(
            serde_json::to_string(&PlainItem(&item)).unwrap(),
            r#"{"b":"AAH/","bs":["AQ=="],"l":[1,null],"m":{"x":"y"},"n":12345678901234567890.123456789012345678,"ns":[1,-2.50],"odd":"+5","ss":["a"],"t":true}"#
        );
    }

    #[test]
    fn typed_json_round_trips_every_type() {
        let json = r#"{"M":{"b":{"B":"AAH/"},"bs":{"BS":["AQ==","Ag=="]},"l":{"L":[{"N":"1"},{"NULL":true}]},"ns":{"NS":["1","2"]},"ss":{"SS":["a","b"]},"t":{"BOOL":true}}}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        value.check().unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        assert!(serde_json::from_str::<Value>(r#"{"S":"a","N":"1"}"#).is_err());
        assert!(serde_json::from_str::<Value>(r#"{"X":"a"}"#).is_err());
        let twice = r#"{"M":{"a":{"N":"1"},"a":{"N":"1"}}}"#;
        assert!(serde_json::from_str::<Value>(twice).is_err());
        assert!(serde_json::from_str::<Value>(r#"{"B":"not base64"}"#).is_err());
    }

    #[test]
    fn values_that_dynamodb_cannot_store_are_refused() {
        for bad in ["1e126", "1e-131", &"9".repeat(39), "1e999999999999999999"] {
            assert!(Value::from_plain_json(bad).is_err(), "{bad}");
        }
        for good in [
            "0",
            "-0.0",
            "1e125",
            "1E-130",
            "0.00012",
            &"9".repeat(38),
            &format!("1{}", "0".repeat(60)),
        ] {
            assert!(Value::from_plain_json(good).is_ok(), "{good}");
        }
        for bad in ["NaN", "", "--1", "1.2.3", "Infinity", "0x1", "."] {
            assert!(Value::N(bad.into()).check().is_err(), "{bad}");
        }
        assert!(Value::Ss(vec![]).check().is_err());
        assert!(Value::Ss(vec!["a".into(), "a".into()]).check().is_err());
        for (one, other) in [("1", "1.0"), ("100", "1e2"), ("-0", "0.00"), ("+5", "5")] {
            let set = Value::Ns(vec![one.into(), other.into()]);
            assert!(set.check().is_err(), "{one} is {other}");
        }
        let distinct = ["1", "-1", "10", "0.1", "0"].map(String::from);
        assert!(Value::Ns(distinct.to_vec()).check().is_ok());
        assert!(Value::Null(false).check().is_err());
        let nested = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Value::from_plain_json(&nested(32)).is_ok());
        assert!(Value::from_plain_json(&nested(33)).is_err());
    }

    #[test]
    fn equality_is_by_worth_and_sets_have_no_order() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        for (a, b) in [
            (r#"{"N":"1"}"#, r#"{"N":"+1.0"}"#),
            (r#"{"N":"-0"}"#, r#"{"N":"0.00"}"#),
            (r#"{"NS":["1","2e1"]}"#, r#"{"NS":["20","1.0"]}"#),
            (r#"{"SS":["a","b"]}"#, r#"{"SS":["b","a"]}"#),
            (r#"{"BS":["AQ==","Ag=="]}"#, r#"{"BS":["Ag==","AQ=="]}"#),
            (
                r#"{"L":[{"N":"1"},{"M":{"a":{"NS":["1","2"]}}}]}"#,
                r#"{"L":[{"N":"1.0"},{"M":{"a":{"NS":["2","1"]}}}]}"#,
            ),
        ] {
            assert!(
                value(a).is_same(&value(b)) && value(b).is_same(&value(a)),
                "{a} {b}"
            );
        }
        for (a, b) in [
            (r#"{"N":"1"}"#, r#"{"N":"10"}"#),
            (r#"{"N":"1"}"#, r#"{"N":"-1"}"#),
            (r#"{"N":"1"}"#, r#"{"S":"1"}"#),
            (
                r#"{"N":"12345678901234567890123456789012345678"}"#,
                r#"{"N":"12345678901234567890123456789012345679"}"#,
            ),
            (r#"{"NS":["1"]}"#, r#"{"NS":["1","2"]}"#),
            (
                r#"{"L":[{"N":"1"},{"N":"2"}]}"#,
                r#"{"L":[{"N":"2"},{"N":"1"}]}"#,
            ),
            (r#"{"L":[]}"#, r#"{"M":{}}"#),
            (r#"{"M":{"a":{"N":"1"}}}"#, r#"{"M":{"b":{"N":"1"}}}"#),
            (
                r#"{"M":{"a":{"N":"1"}}}"#,
                r#"{"M":{"a":{"N":"1"},"b":{"N":"1"}}}"#,
            ),
        ] {
            assert!(
                !value(a).is_same(&value(b)) && !value(b).is_same(&value(a)),
                "{a} {b}"
            );
        }
    }

    #[test]
    fn numbers_have_the_order_of_their_worth() {
        let rising = [
            "-9e125",
            "-101",
            "-100.5",
            "-100",
            "-1.1",
            "-1",
            "-1e-130",
            "0",
            "1E-130",
            "0.09",
            "0.1",
            "0.11",
            "1",
            "1.0000000000000000000000000000000000001",
            "9.99",
            "10",
            "101",
            "9e125",
        ];
        for (nth, a) in rising.iter().enumerate() {
            for (other, b) in rising.iter().enumerate() {
                let [a, b] = [a, b].map(|number| Value::N((*number).into()));
                assert_eq!(order(&a, &b), Some(nth.cmp(&other)), "{a:?} {b:?}");
            }
        }
        let [text, number] = [Value::S("1".into()), Value::N("1".into())];
        assert_eq!(order(&text, &number), None);
        assert_eq!(order(&Value::Bool(true), &Value::Bool(true)), None);
        let [less, more] = ["\u{ff5e}", "\u{1f600}"].map(|text| Value::S(text.into()));
        assert_eq!(
            order(&less, &more),
            Some(Ordering::Less),
            "as in UTF-8, not UTF-16"
        );
    }
}
