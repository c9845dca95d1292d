//! Conditions, evaluated here. DynamoDB is the judge of what is written: this says beforehand what it will find.
//!
//! What DynamoDB does was taken from the developer guide (Condition and filter expressions, operators, and functions), and
//! from what was recorded of the service (`docs/AWS-FACTS.md`). Nothing is unknown, as it would be in SQL: every comparison is
//! true or false. One with a missing attribute is false, but for `<>`, which is true; the same goes for values of two types.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::expression::Language;
use super::grammar::{self, Comparator, Operand, Test};
use super::syntax::check_words;
use crate::value::{Bytes, Item, Value, order};

/// A condition or filter expression, read once to be evaluated on many items.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed(Test);

impl Parsed {
    /// Reads a condition expression whose `#name`s and `:value`s are these; there may be more of both. An error says, for a
    /// person, what is wrong where. Some of what DynamoDB refuses is taken, such as a reserved word as a name.
    pub fn new(
        expression: &str,
        names: &BTreeMap<String, String>,
        values: &Item,
    ) -> Result<Parsed, String> {
        check_words(expression, Language::Condition)?;
        grammar::condition(expression, names, values).map(Parsed)
    }

    /// Whether the condition is true for this item. An item that is not there is one without attributes.
    pub fn holds(&self, item: &Item) -> bool {
        holds(&self.0, item)
    }
}

fn holds(test: &Test, item: &Item) -> bool {
    let get = |operand| get(operand, item);
    match test {
        Test::All(tests) => tests.iter().all(|test| holds(test, item)),
        Test::Any(tests) => tests.iter().any(|test| holds(test, item)),
        Test::Not(test) => !holds(test, item),
        Test::Compare(left, comparator, right) => match (get(left), get(right)) {
            (Some(left), Some(right)) => compare(&left, *comparator, &right),
            _ => *comparator == Comparator::Unequal,
        },
        Test::Between(value, low, high) => match (get(value), get(low), get(high)) {
            (Some(value), Some(low), Some(high)) => {
                compare(&value, Comparator::GreaterOrEqual, &low)
                    && compare(&value, Comparator::LessOrEqual, &high)
            }
            _ => false,
        },
        Test::In(value, list) => get(value).is_some_and(|value| {
            let mut list = list.iter().filter_map(get);
            list.any(|one| value.is_same(&one))
        }),
        Test::Exists(path) => path.get(item).is_some(),
        Test::IsType(value, kind) => match (get(value).as_deref(), get(kind).as_deref()) {
            (Some(value), Some(Value::S(kind))) => value.type_name() == kind,
            _ => false,
        },
        Test::BeginsWith(value, beginning) => {
            match (get(value).as_deref(), get(beginning).as_deref()) {
                (Some(Value::S(text)), Some(Value::S(beginning))) => text.starts_with(beginning),
                (Some(Value::B(bytes)), Some(Value::B(beginning))) => {
                    bytes.0.starts_with(&beginning.0)
                }
                _ => false,
            }
        }
        Test::Contains(value, part) => match (get(value), get(part)) {
            (Some(value), Some(part)) => contains(&value, &part),
            _ => false,
        },
    }
}

/// The value of an operand; `None` if the item has none there. A value without a size has none, like a missing attribute.
fn get<'a>(operand: &'a Operand, item: &'a Item) -> Option<Cow<'a, Value>> {
    match operand {
        Operand::Path(path) => path.get(item).map(Cow::Borrowed),
        Operand::Value(value) => Some(Cow::Borrowed(value)),
        Operand::Size(operand) => {
            let size = match get(operand, item)?.as_ref() {
                // Units of UTF-16, as the service counts.
                Value::S(text) => text.encode_utf16().count(),
                Value::B(bytes) => bytes.0.len(),
                Value::Ss(set) | Value::Ns(set) => set.len(),
                Value::Bs(set) => set.len(),
                Value::L(list) => list.len(),
                Value::M(map) => map.len(),
                Value::N(_) | Value::Bool(_) | Value::Null(_) => return None,
            };
            Some(Cow::Owned(Value::N(size.to_string())))
        }
    }
}

fn compare(left: &Value, comparator: Comparator, right: &Value) -> bool {
    let is_ordered =
        |is_right: fn(std::cmp::Ordering) -> bool| order(left, right).is_some_and(is_right);
    match comparator {
        Comparator::Equal => left.is_same(right),
        Comparator::Unequal => !left.is_same(right),
        Comparator::Less => is_ordered(|order| order.is_lt()),
        Comparator::LessOrEqual => is_ordered(|order| order.is_le()),
        Comparator::Greater => is_ordered(|order| order.is_gt()),
        Comparator::GreaterOrEqual => is_ordered(|order| order.is_ge()),
    }
}

/// Whether a text has this part, bytes have these in a row, or a set or list has this member.
fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::S(text), Value::S(part)) => text.contains(part.as_str()),
        (Value::B(bytes), Value::B(part)) => as_text(bytes).contains(&as_text(part)),
        (Value::Ss(set), Value::S(member)) => set.contains(member),
        (Value::Ns(set), Value::N(_)) => {
            let mut members = set.iter().cloned().map(Value::N);
            members.any(|member| member.is_same(part))
        }
        (Value::Bs(set), Value::B(member)) => set.contains(member),
        (Value::L(list), member) => list.iter().any(|one| one.is_same(member)),
        _ => false,
    }
}

/// A character for each byte, of the same number: a text is searched in a time that grows with its length alone.
fn as_text(bytes: &Bytes) -> String {
    bytes.0.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An item with values of all ten types.
    fn item() -> Item {
        serde_json::from_str(
            r##"{"s":{"S":"häß😀"},"n":{"N":"12.50"},"b":{"B":"AQID"},"t":{"BOOL":true},"z":{"NULL":true},
            "l":{"L":[{"N":"1"},{"S":"x"},{"M":{"c":{"N":"3"}}},{"SS":["q","p"]}]},
            "m":{"M":{"a.b":{"S":"dotted"},"l":{"L":[{"N":"7"}]},"and":{"BOOL":false}}},
            "ss":{"SS":["a","b"]},"ns":{"NS":["1","2.0"]},"bs":{"BS":["AQ==","Ag=="]},
            "a.b":{"N":"0"},"minus":{"N":"-3"},"other":{"N":"1.25e1"}}"##,
        )
        .unwrap()
    }

    fn holds(expression: &str) -> bool {
        let names = [
            ("#ab", "a.b"),
            ("#and", "and"),
            ("#s", "s"),
            ("#none", "no such"),
        ];
        let names = names.map(|(name, meaning)| (name.to_owned(), meaning.to_owned()));
        let values: Item = serde_json::from_str(
            r##"{":h":{"S":"hä"},":ab":{"S":"b"},":n":{"N":"12.5"},":zero":{"N":"-0"},":two":{"N":"2"},":ten":{"N":"1E1"},":hundred":{"N":"100"},
            ":least":{"N":"-30"},":bytes":{"B":"AgM="},":one":{"B":"AQ=="},":t":{"BOOL":true},":f":{"BOOL":false},":z":{"NULL":true},
            ":ss":{"SS":["b","a"]},":pq":{"SS":["p","q"]},":ns":{"NS":["2","1.0"]},":bs":{"BS":["Ag==","AQ=="]},":l":{"L":[{"N":"1.0"}]},
            ":m":{"M":{"c":{"N":"3.0"}}},":tN":{"S":"N"},":tSS":{"S":"SS"},":tBOOL":{"S":"BOOL"},":tNULL":{"S":"NULL"},":three":{"N":"3"},":five":{"N":"5"}}"##,
        )
        .unwrap();
        let parsed = Parsed::new(expression, &names.into(), &values);
        parsed
            .unwrap_or_else(|why| panic!("{expression}: {why}"))
            .holds(&item())
    }

    #[test]
    fn what_is_true_of_an_item_is_true_here() {
        for expression in [
            "n = :n AND other = n AND n <> :two AND n > :ten AND n < :hundred AND minus > :least AND minus < :zero",
            "#ab = :zero AND #ab > minus AND #ab <= :zero",
            "s > :h AND begins_with(#s, :h) AND contains(s, :h) AND b > :one AND contains(b, :bytes)",
            "t = :t AND t <> :f AND z = :z AND ss = :ss AND ns = :ns AND bs = :bs AND l[3] = :pq AND l[2] = :m",
            "l <> :l AND contains(l, :m) AND contains(l, :pq) AND contains(ss, :ab) AND contains(ns, :two) AND contains(bs, :one)",
            "m.l[0] BETWEEN :two AND :hundred AND n IN (:h, :two, :n) AND NOT n IN (:two)",
            "size(s) = :five AND size(b) = :three AND size(ss) = :two AND size(m) = :three AND size(m.l) < :two",
            "attribute_exists(m.#ab) AND attribute_not_exists(m.a.b) AND attribute_not_exists(l[4]) AND attribute_exists(l[2].c)",
            "attribute_type(n, :tN) AND attribute_type(ss, :tSS) AND attribute_type(t, :tBOOL) AND attribute_type(z, :tNULL)",
            "m.#and = :f",
            // Names of sections and functions are names like any other.
            "attribute_not_exists(contains) AND attribute_not_exists(size.set)",
            // A value may stand first, and so may a list of values.
            "contains(:ss, m.x) OR begins_with(s, :h) AND :two < n",
            "NOT NOT n = :n and Not n = :two or n = :two",
            "n = :two AND n = :two OR n = :n",
            "NOT n = :two AND n = :n",
            "NOT (n = :two OR n = :ten)",
            // DynamoDB's grammar has operands in parentheses, too (dynalite, db/conditionParser.pegjs).
            "(n) = (:n) AND ((l)[1] = m.x OR (m).l[0] BETWEEN (:two) AND :ten) AND attribute_exists((m).l)",
            "((n) IN (:ten, (other)) OR (n = :two)) AND (size(:h) = :two AND (size(l)) > (:three))",
        ] {
            assert!(holds(expression), "{expression}");
        }
    }

    #[test]
    fn nothing_is_unknown_of_what_is_missing_or_of_another_type() {
        for comparator in ["=", "<", "<=", ">", ">="] {
            for right in [":n", "missing", "size(n)", "size(missing)"] {
                assert!(!holds(&format!("missing {comparator} {right}")));
                assert!(
                    !holds(&format!("s {comparator} {right}")),
                    "{comparator} {right}"
                );
                assert!(holds(&format!("NOT {right} {comparator} missing")));
            }
        }
        for other in [":n", "missing", "s", "size(n)"] {
            assert!(holds(&format!("missing <> {other}")) && holds(&format!("b <> {other}")));
        }
        for expression in [
            "missing BETWEEN :two AND :ten",
            "s BETWEEN :two AND :h",
            "n BETWEEN missing AND :hundred",
            "missing IN (missing, :n)",
            "t < :t",
            "z <= :z",
            "ss >= :ss",
            "l <= l",
            "begins_with(n, :h)",
            "begins_with(ss, :ab)",
            "contains(n, :n)",
            "contains(m, :ab)",
            "contains(s, missing)",
            "contains(s, :bytes)",
            "contains(missing, :h)",
            "attribute_type(missing, :tN)",
            "attribute_type(n, :n)",
            "attribute_exists(n.x)",
            "attribute_exists(l.x)",
            "attribute_exists(m[0])",
            "attribute_exists(#none)",
            "size(n) >= :zero",
        ] {
            assert!(!holds(expression), "{expression}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_at_its_place() {
        let deep = |levels| format!("{}a = :v{}", "(".repeat(levels), ")".repeat(levels));
        let values = Item::from([(":v".to_owned(), Value::N("1".into()))]);
        let new = |expression: &str| Parsed::new(expression, &BTreeMap::new(), &values);
        for (expression, why) in [
            (
                "",
                "expected a value, such as :v, an attribute, or a function behind",
            ),
            ("a", "expected =, <>, <, <=, >, >=, BETWEEN or IN behind a"),
            (
                "a = :v b",
                "expected AND, OR or nothing more, got b in a = :v b",
            ),
            (
                "a = :v)",
                "expected AND, OR or nothing more, got ) in a = :v)",
            ),
            ("(a = :v", "expected ) behind a = :v"),
            (
                "a = :w",
                "expected a :v for a value that `values` defines, got :w in a = :w",
            ),
            (
                "#a = :v",
                "expected a #n for a name that `names` defines, got #a",
            ),
            (
                "a BETWEEN :v OR :v",
                "expected AND and the upper bound of BETWEEN, got OR",
            ),
            ("a IN :v", "expected (, got :v"),
            (
                "a IN ()",
                "expected a value, such as :v, an attribute, or a function, got )",
            ),
            ("a[01] = :v", "expected the number of a member, got 01"),
            ("a[-1] = :v", "a number cannot stand in an expression"),
            (
                "a[99999999999999999999] = :v",
                "expected the number of a member",
            ),
            (
                "attribute_exists(:v)",
                "expected the name of an attribute, or a #n for one, got :v",
            ),
            ("contains(a)", "expected ,, got )"),
            ("a = :v AND", "expected a value, such as :v"),
            ("NOT", "expected a value, such as :v"),
            ("lower(a) = :v", "DynamoDB has no function lower"),
            (
                &deep(101),
                "expected no more than 100 parentheses in one another",
            ),
        ] {
            let refused = new(expression).expect_err(expression);
            assert!(refused.starts_with(why), "{expression}: {refused}");
        }
        new(&deep(100)).unwrap();
        let long = format!("{}a = :v", "NOT ".repeat(1_001));
        assert!(new(&long).unwrap().holds(&Item::new()));
    }

    #[test]
    fn what_is_long_takes_little_time() {
        let bytes = |last| {
            let mut bytes = vec![0; 300_000];
            bytes.push(last);
            Value::B(Bytes(bytes))
        };
        let half = Value::B(Bytes([vec![0; 150_000], vec![1]].concat()));
        assert!(!contains(&bytes(2), &half) && contains(&bytes(1), &half));
        // No character stands for a part of another one's.
        let two = |bytes: &[u8]| Value::B(Bytes(bytes.into()));
        assert!(
            !contains(&two(&[0xc3, 0xa4]), &two(&[0xe4]))
                && contains(&two(&[0xc3, 0xa4]), &two(&[]))
        );
    }
}
