//! The guarded update as a PartiQL statement, for BatchExecuteStatement: it means what the UpdateItem means, or there is
//! none.
//!
//! Only what means the same in both languages is translated: by AWS's own description of PartiQL (developer guide, PartiQL
//! for DynamoDB), and by what was recorded of the service (`docs/AWS-FACTS.md`, Batches and PartiQL). There `NOT`, `<>`, `IN`
//! and `size` treat a missing attribute, and a value of another type, as a condition does: nothing is unknown, as it would be
//! in SQL. Three things are left out on purpose. Comparisons with NULL, and of two attributes, were not compared. Functions such as
//! `if_not_exists` are not documented for PartiQL. A statement may name each key attribute but once, so the predicate may
//! name none. A spec with one of these is written by UpdateItem.

use std::borrow::Cow;

use super::expression::{MAX_DEPTH, is_bare_name, tokens};
use crate::table::KeySchema;
use crate::text::printable;
use crate::value::packed::{PackedKey, ValueRef};
use crate::{Spec, Value};

/// Most statements in one BatchExecuteStatement (API reference, BatchExecuteStatement).
pub const BATCH_SIZE: usize = 25;

/// Longest statement (API reference, BatchStatementRequest: "Maximum length of 8192").
const MAX_STATEMENT: usize = 8_192;

/// Most operators in a statement's condition: comparators, functions and words, of which `IS NOT` and `size(a) >` are two (DynamoDB:
/// "The expression contains too many operators").
const MAX_OPERATORS: usize = 300;

/// Most values behind one `IN` (DynamoDB: "The IN operator is provided with too many operands").
const MAX_IN: usize = 100;

/// `UPDATE … SET … WHERE <full key> AND (<P>)`. It can only change an item that is there: a missing one fails the
/// condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text, with a `?` for each parameter.
    pub text: String,
    /// Parameters of `SET`, before those of the key.
    before_key: Vec<Value>,
    /// Names of the key attributes.
    key: Vec<String>,
    /// Parameters of `P`, after those of the key.
    after_key: Vec<Value>,
}

impl Statement {
    /// The statement for a spec on a table with these keys. An error says what PartiQL cannot express, for a person.
    pub fn new(spec: &Spec, keys: &KeySchema) -> Result<Statement, String> {
        Statement::translated(spec, keys).map_err(|why| printable(&why))
    }

    fn translated(spec: &Spec, keys: &KeySchema) -> Result<Statement, String> {
        let mut update = Translation::new(spec, keys, &spec.update);
        update.clauses()?;
        let mut pending = Translation::new(spec, keys, &spec.pending);
        pending.alternatives()?;
        if let Some(rest) = pending.rest.first() {
            return Err(format!("{rest} in the predicate"));
        }
        let key: Vec<String> = keys.names().map(str::to_owned).collect();
        let mut text = format!("UPDATE {}{} WHERE ", quoted(&spec.table)?, update.text);
        for name in &key {
            text.push_str(&quoted(name)?);
            text.push_str(" = ? AND ");
        }
        text.push_str(&format!("({})", pending.text));
        // Each key attribute brings a `=` and an `AND`.
        let operators = pending.operators + 2 * key.len();
        if operators > MAX_OPERATORS {
            return Err(format!("a condition of {operators} operators"));
        }
        if text.len() > MAX_STATEMENT {
            return Err(format!("a statement of {} characters", text.len()));
        }
        Ok(Statement {
            text,
            before_key: update.parameters,
            key,
            after_key: pending.parameters,
        })
    }

    /// The statement for the item with this key.
    pub fn bind<'a>(&'a self, key: &'a PackedKey) -> BoundStatement<'a> {
        let of_key = self.key.iter().filter_map(|name| key.get(name));
        BoundStatement {
            text: Cow::Borrowed(&self.text),
            parameters: self
                .before_key
                .iter()
                .map(ValueRef::from)
                .chain(of_key)
                .chain(self.after_key.iter().map(ValueRef::from))
                .collect(),
        }
    }
}

/// `UPDATE … SET <each target> WHERE <full key> AND (<P>) AND <each watched attribute as it was read>`, of which the values differ
/// from item to item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watching {
    /// The text before what is watched.
    text: String,
    /// The text for items that have all that is watched.
    of_all: String,
    key: Vec<String>,
    /// Parameters of `P`, after those of the key.
    after_key: Vec<Value>,
    /// The watched attributes, in quotes.
    watched: Vec<String>,
}

impl Watching {
    /// The statement that sets these targets of items for which the spec's predicate holds, or of any if it says nothing, by attributes
    /// at the top level. An error says what PartiQL cannot express, for a person.
    pub fn new(
        spec: &Spec,
        keys: &KeySchema,
        targets: &[&str],
        watched: &[&str],
    ) -> Result<Watching, String> {
        let mut condition = Translation::new(spec, keys, &spec.pending);
        let asks = !spec.pending.is_empty();
        if asks {
            condition.alternatives()?;
        }
        if let Some(rest) = condition.rest.first() {
            return Err(format!("{rest} in the predicate"));
        }
        let mut text = format!("UPDATE {}", quoted(&spec.table)?);
        for target in targets {
            text.push_str(&format!(" SET {} = ?", quoted(target)?));
        }
        let key: Vec<String> = keys.names().map(str::to_owned).collect();
        let of_key = key.iter().map(|name| Ok(format!("{} = ?", quoted(name)?)));
        let of_key = of_key.collect::<Result<Vec<String>, String>>()?;
        text.push_str(&format!(" WHERE {}", of_key.join(" AND ")));
        if asks {
            text.push_str(&format!(" AND ({})", condition.text));
        }
        let watched = watched.iter().map(|name| quoted(name));
        let watched = watched.collect::<Result<Vec<String>, String>>()?;
        let conditions: String = watched
            .iter()
            .map(|name| format!(" AND {name} = ?"))
            .collect();
        let of_all = format!("{text}{conditions}");
        let operators = condition.operators + 2 * (key.len() + watched.len());
        if operators > MAX_OPERATORS {
            return Err(format!("a condition of {operators} operators"));
        }
        // If one is missing, its condition is longer.
        let longest = of_all.len() + watched.len() * " IS MISSING".len();
        if longest > MAX_STATEMENT {
            return Err(format!("a statement of {longest} characters"));
        }
        Ok(Watching {
            text,
            of_all,
            key,
            after_key: condition.parameters,
            watched,
        })
    }

    /// The statement for the item with this key: the values of the targets, and what was read of each watched attribute. Equality is
    /// the same in both languages for texts, numbers, bytes and truth values; an item that has others is for UpdateItem.
    pub fn bind<'a>(
        &'a self,
        key: &'a PackedKey,
        targets: impl Iterator<Item = ValueRef<'a>>,
        watched: impl Iterator<Item = Option<&'a Value>> + Clone,
    ) -> Result<BoundStatement<'a>, &'static str> {
        let is_known = |value: &Value| {
            matches!(
                value,
                Value::S(_) | Value::N(_) | Value::B(_) | Value::Bool(_)
            )
        };
        if !watched.clone().flatten().all(is_known) {
            return Err("a comparison with NULL, a set, a list or a map");
        }
        let text = match watched.clone().all(|value| value.is_some()) {
            true => Cow::Borrowed(self.of_all.as_str()),
            false => {
                let mut text = self.text.clone();
                for (name, value) in self.watched.iter().zip(watched.clone()) {
                    text.push_str(" AND ");
                    text.push_str(name);
                    text.push_str(if value.is_some() {
                        " = ?"
                    } else {
                        " IS MISSING"
                    });
                }
                Cow::Owned(text)
            }
        };
        // How many these are, their iterators do not say.
        let most = self.key.len() + self.after_key.len() + 2 * self.watched.len() + 1;
        let mut parameters = Vec::with_capacity(most);
        parameters.extend(targets);
        parameters.extend(self.key.iter().filter_map(|name| key.get(name)));
        parameters.extend(self.after_key.iter().map(ValueRef::from));
        parameters.extend(watched.flatten().map(ValueRef::from));
        Ok(BoundStatement { text, parameters })
    }
}

/// A statement for one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundStatement<'a> {
    /// The text, with a `?` for each parameter.
    pub text: Cow<'a, str>,
    /// The parameters in the order of the text.
    pub parameters: Vec<ValueRef<'a>>,
}

/// A name in double quotes. What a quote inside would mean is not documented.
fn quoted(name: &str) -> Result<String, String> {
    if name.is_empty() || name.contains(['"', '\\', '`']) || name.chars().any(char::is_control) {
        return Err(format!("the name {name:?}"));
    }
    Ok(format!("\"{name}\""))
}

/// One expression on its way into PartiQL.
struct Translation<'a> {
    spec: &'a Spec,
    keys: &'a KeySchema,
    rest: Vec<&'a str>,
    text: String,
    parameters: Vec<Value>,
    /// Parentheses and `NOT`s that are open.
    depth: usize,
    /// Operators so far, as DynamoDB counts them.
    operators: usize,
}

impl<'a> Translation<'a> {
    fn new(spec: &'a Spec, keys: &'a KeySchema, expression: &'a str) -> Self {
        let tokens = tokens(expression).into_iter();
        let mut rest: Vec<&str> = tokens.map(|place| &expression[place]).collect();
        rest.reverse();
        Translation {
            spec,
            keys,
            rest,
            text: String::new(),
            parameters: Vec::new(),
            depth: 0,
            operators: 0,
        }
    }

    fn peek(&self) -> &'a str {
        self.rest.last().copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'a str {
        self.rest.pop().unwrap_or_default()
    }

    /// Takes the next token if it is this word, in any case.
    fn take(&mut self, word: &str) -> bool {
        let found = self.peek().eq_ignore_ascii_case(word);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        match self.next() {
            found if found == mark => Ok(()),
            found => Err(format!("{found:?} in the place of {mark}")),
        }
    }

    /// `SET path = :value, …` and `REMOVE path, …`, in any order.
    fn clauses(&mut self) -> Result<(), String> {
        while !self.rest.is_empty() {
            let clause = self.next().to_ascii_uppercase();
            loop {
                match clause.as_str() {
                    "SET" => {
                        self.text.push_str(" SET ");
                        self.path()?;
                        self.expect("=")?;
                        self.text.push_str(" = ");
                        self.value(|_| true)?;
                    }
                    "REMOVE" => {
                        self.text.push_str(" REMOVE ");
                        self.path()?;
                    }
                    _ => return Err(format!("{clause} in the update")),
                }
                if !self.take(",") {
                    break;
                }
            }
        }
        Ok(())
    }

    /// `a AND b OR c`, with the same precedence in both languages.
    fn alternatives(&mut self) -> Result<(), String> {
        loop {
            self.condition()?;
            if self.take("AND") {
                self.operator(" AND ");
            } else if self.take("OR") {
                self.operator(" OR ");
            } else {
                return Ok(());
            }
        }
    }

    /// Adds an operator, with the spaces around it.
    fn operator(&mut self, operator: &str) {
        self.text.push_str(operator);
        self.operators += 1;
    }

    /// Translates what `inside` does, between parentheses of its own.
    fn in_parentheses(
        &mut self,
        inside: fn(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.depth == MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} parentheses in one another"));
        }
        self.depth += 1;
        self.text.push('(');
        inside(self)?;
        self.text.push(')');
        self.depth -= 1;
        Ok(())
    }

    fn condition(&mut self) -> Result<(), String> {
        if self.take("(") {
            self.in_parentheses(Self::alternatives)?;
            return self.expect(")");
        }
        if self.take("NOT") {
            // What it negates is the same without parentheses; with them nobody needs to know the precedence.
            self.operator("NOT ");
            return self.in_parentheses(Self::condition);
        }
        let is_call = self.rest.len() > 1 && self.rest[self.rest.len() - 2] == "(";
        match is_call {
            true if self.peek() == "size" => {
                self.next();
                self.expect("(")?;
                self.operator("size(");
                self.path()?;
                self.expect(")")?;
                self.text.push(')');
                self.comparison(is_number)
            }
            true => self.function(),
            false => {
                self.path()?;
                self.comparison(is_scalar)
            }
        }
    }

    /// What stands behind a path or a size: a comparator and a value, `BETWEEN`, or `IN`.
    fn comparison(&mut self, allowed: fn(&Value) -> bool) -> Result<(), String> {
        match self.next() {
            comparator @ ("=" | "<>" | "<" | "<=" | ">" | ">=") => {
                self.operator(&format!(" {comparator} "));
                self.value(allowed)
            }
            word if word.eq_ignore_ascii_case("BETWEEN") => {
                self.operator(" BETWEEN ");
                self.value(allowed)?;
                if !self.take("AND") {
                    return Err("BETWEEN without AND".into());
                }
                self.text.push_str(" AND ");
                self.value(allowed)
            }
            word if word.eq_ignore_ascii_case("IN") => {
                self.operator(" IN ");
                self.list(allowed)
            }
            other => Err(format!("{other} in the predicate")),
        }
    }

    /// `(:a, :b)`, which is `[?, ?]`.
    fn list(&mut self, allowed: fn(&Value) -> bool) -> Result<(), String> {
        self.expect("(")?;
        self.text.push('[');
        let before = self.parameters.len();
        loop {
            self.value(allowed)?;
            if !self.take(",") {
                break;
            }
            self.text.push_str(", ");
        }
        self.text.push(']');
        let count = self.parameters.len() - before;
        if count > MAX_IN {
            return Err(format!("IN with {count} values"));
        }
        self.expect(")")
    }

    fn function(&mut self) -> Result<(), String> {
        let name = self.next();
        self.expect("(")?;
        match name {
            "attribute_exists" => {
                self.path()?;
                self.operator(" IS NOT MISSING");
                self.operators += 1;
            }
            "attribute_not_exists" => {
                self.path()?;
                self.operator(" IS MISSING");
            }
            "begins_with" | "contains" => {
                self.operator(&format!("{name}("));
                self.path()?;
                self.expect(",")?;
                self.text.push_str(", ");
                // Whether bytes are found in a set or in other bytes was not compared.
                self.value(match name {
                    "contains" => |value| is_scalar(value) && !matches!(value, Value::B(_)),
                    _ => is_scalar,
                })?;
                self.text.push(')');
            }
            _ => return Err(format!("{name}(…)")),
        }
        self.expect(")")
    }

    /// `name.#placeholder[1]`: every name in quotes.
    fn path(&mut self) -> Result<(), String> {
        self.name()?;
        loop {
            if self.take(".") {
                self.text.push('.');
                self.name()?;
            } else if self.take("[") {
                let index = self.next();
                if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(format!("{index:?} as an index"));
                }
                self.text.push_str(&format!("[{index}]"));
                self.expect("]")?;
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<(), String> {
        let word = self.next();
        let name = match self.spec.names.get(word) {
            Some(name) => name,
            None if is_bare_name(word) => word,
            None => return Err(format!("{word:?} in the place of a name")),
        };
        let top_level = !self.text.ends_with('.');
        if top_level && self.keys.names().any(|key| key == name) {
            return Err(format!("a second condition on the key attribute {name}"));
        }
        self.text.push_str(&quoted(name)?);
        Ok(())
    }

    fn value(&mut self, allowed: fn(&Value) -> bool) -> Result<(), String> {
        let word = self.next();
        match self.spec.values.get(word) {
            Some(value) if allowed(value) => {
                self.text.push('?');
                self.parameters.push(value.clone());
                Ok(())
            }
            Some(_) => Err(format!("a comparison with the type of {word}")),
            None if self.peek() == "(" => Err(format!("{word}(…)")),
            None => match self.spec.names.get(word) {
                Some(name) => Err(format!("the attribute {name} in the place of a value")),
                None if is_bare_name(word) => {
                    Err(format!("the attribute {word} in the place of a value"))
                }
                None => Err(format!("{word:?} in the place of a value")),
            },
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(
        value,
        Value::S(_) | Value::N(_) | Value::B(_) | Value::Bool(_)
    )
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::N(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::table::{KeyAttribute, KeyType};

    fn translated(json: &str) -> Result<Statement, String> {
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: Some(KeyAttribute::new("created", KeyType::N)),
        };
        let spec = Request::from_json(json).unwrap().spec;
        spec.check().unwrap();
        Statement::new(&spec, &keys)
    }

    #[test]
    fn the_everyday_spec_names_the_full_key_and_the_predicate() {
        let statement = translated(r#"{"table":"stuff","set":{"test":1}}"#).unwrap();
        assert_eq!(
            statement.text,
            r#"UPDATE "stuff" SET "test" = ? WHERE "id" = ? AND "created" = ? AND ("test" IS MISSING)"#
        );
        let key = crate::Key(
            [
                ("created".to_string(), Value::N("7".into())),
                ("id".to_string(), Value::S("a".into())),
            ]
            .into(),
        );
        let key = PackedKey::from(&key);
        let parameters = statement.bind(&key).parameters;
        assert_eq!(
            parameters,
            [ValueRef::N("1"), ValueRef::S("a"), ValueRef::N("7")]
        );
    }

    #[test]
    fn what_both_languages_share_is_translated_with_its_values_in_order() {
        let statement = translated(
            r##"{"table":"stuff",
                "pending":"(#v < :v OR attribute_not_exists(a.#v[2])) AND begins_with(b, :p) AND c between :v and :w",
                "update":"REMOVE d, e.f SET #v = :w, g[0] = :l",
                "names":{"#v":"a name, with \u00e4 ? and 'quotes'"},"values":{":v":1,":w":2,":p":"x",":l":[null]}}"##,
        )
        .unwrap();
        let name = r#""a name, with ä ? and 'quotes'""#;
        assert_eq!(
            statement.text,
            format!(
                r#"UPDATE "stuff" REMOVE "d" REMOVE "e"."f" SET {name} = ? SET "g"[0] = ? WHERE "id" = ? AND "created" = ? AND (({name} < ? OR "a".{name}[2] IS MISSING) AND begins_with("b", ?) AND "c" BETWEEN ? AND ?)"#
            )
        );
        let n = |n: &str| Value::N(n.into());
        assert_eq!(
            statement.before_key,
            [n("2"), Value::L(vec![Value::Null(true)])]
        );
        assert_eq!(
            statement.after_key,
            [n("1"), Value::S("x".into()), n("1"), n("2")]
        );
    }

    #[test]
    fn negations_sizes_and_lists_are_translated_with_their_values_in_order() {
        let in_100 = format!("c IN (:v{})", ", :w".repeat(99));
        let marks = format!("[?{}]", ", ?".repeat(99));
        // 2 × 98 for the sizes, 97 for the ORs, 4 for the keys: 297.
        let many = format!("size(a) > :v{}", " OR size(a) > :v".repeat(97));
        let many_sizes = format!(r#"size("a") > ?{}"#, r#" OR size("a") > ?"#.repeat(97));
        for (pending, expected) in [
            ("attribute_exists(a)", r#""a" IS NOT MISSING"#),
            ("NOT attribute_exists(a)", r#"NOT ("a" IS NOT MISSING)"#),
            ("not a = :v AND b <> :w", r#"NOT ("a" = ?) AND "b" <> ?"#),
            (
                "NOT (a = :v OR NOT b IN (:v,:w)) AND c = :w",
                r#"NOT (("a" = ? OR NOT ("b" IN [?, ?]))) AND "c" = ?"#,
            ),
            (
                "size(a.b[1]) BETWEEN :v and :w",
                r#"size("a"."b"[1]) BETWEEN ? AND ?"#,
            ),
            (
                "size(a) <> :v OR size(a) IN (:w)",
                r#"size("a") <> ? OR size("a") IN [?]"#,
            ),
            (in_100.as_str(), &format!(r#""c" IN {marks}"#)),
            (&many, &many_sizes),
        ] {
            let json = serde_json::json!({
                "table": "stuff", "pending": pending, "update": "SET a = :v",
                "values": {":v": 1, ":w": 2},
            });
            // A value that the expression does not use is refused before.
            let json = match pending.contains(":w") {
                true => json,
                false => serde_json::json!({
                    "table": "stuff", "pending": pending, "update": "SET a = :v", "values": {":v": 1},
                }),
            };
            let statement = translated(&json.to_string()).unwrap();
            let (_, condition) = statement.text.split_once(r#""created" = ? AND "#).unwrap();
            assert_eq!(condition, format!("({expected})"), "{pending}");
            let marks = statement.text.matches('?').count();
            let parameters = statement.before_key.len() + 2 + statement.after_key.len();
            assert_eq!(marks, parameters, "{pending}");
        }
    }

    /// Long because it is a table of cases.
    #[test]
    fn what_may_mean_something_else_is_left_to_update_item() {
        let nested = format!("{}a = :v{}", "(".repeat(50_000), ")".repeat(50_000));
        let not_nested = format!("{}a = :v", "NOT ".repeat(50_000));
        let in_101 = format!("a IN (:v{})", ", :v".repeat(100));
        // Two for each size, one for each OR, and two for each key attribute.
        let too_many_operators = format!("size(a) > :v{}", " OR size(a) > :v".repeat(99));
        for (pending, update) in [
            ("a = :null", "SET a = :v"),
            ("a <> :null", "SET a = :v"),
            ("a IN (:v, :null)", "SET a = :v"),
            ("a IN (:v, b)", "SET a = :v"),
            ("a IN :v", "SET a = :v"),
            (&in_101, "SET a = :v"),
            (&too_many_operators, "SET a = :v"),
            ("size(a) = :s", "SET a = :v"),
            ("NOT contains(a, :bytes)", "SET a = :v"),
            ("size(a) = size(b)", "SET a = :v"),
            ("size(created) > :v", "SET a = :v"),
            ("size(a)", "SET a = :v"),
            ("NOT", "SET a = :v"),
            (&not_nested, "SET a = :v"),
            ("a = b", "SET a = :v"),
            (":v = a", "SET a = :v"),
            ("attribute_not_exists(a) AND created < :v", "SET a = :v"),
            ("attribute_not_exists(#q)", "SET #q = :v"),
            ("attribute_not_exists(a)", "SET a = if_not_exists(a, :v)"),
            ("attribute_not_exists(a)", "SET a = a + :v"),
            ("attribute_not_exists(a)", "SET a = b"),
            ("attribute_not_exists(a)", "ADD a :v"),
            ("attribute_not_exists(a#q)", "SET a = :v"),
            ("attribute_not_exists(a)", "SET a:v = :v"),
            ("attribute_not_exists(ä)", "SET a = :v"),
            (&nested, "SET a = :v"),
            (
                "attribute_not_exists(a) attribute_not_exists(b)",
                "SET a = :v",
            ),
        ] {
            let mut spec = Request::from_json(r#"{"table":"stuff","set":{"x":1}}"#)
                .unwrap()
                .spec;
            spec.pending = pending.into();
            spec.update = update.into();
            spec.names = [("#q".to_string(), "a\"b".to_string())].into();
            spec.values = [
                (":v".to_string(), Value::N("1".into())),
                (":s".to_string(), Value::S("1".into())),
                (":bytes".to_string(), Value::B(crate::value::Bytes(vec![1]))),
                (":null".to_string(), Value::Null(true)),
            ]
            .into();
            let keys = KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: Some(KeyAttribute::new("created", KeyType::N)),
            };
            let statement = Statement::new(&spec, &keys);
            assert!(statement.is_err(), "{pending}; {update}: {statement:?}");
        }
        let mut spec = Request::from_json(r#"{"table":"stuff","set":{"x":1}}"#)
            .unwrap()
            .spec;
        spec.pending = "\u{1b}(a)".into();
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        let refusal = Statement::new(&spec, &keys).unwrap_err();
        assert!(!refusal.contains(char::is_control), "{refusal:?}");
        spec.pending = "attribute_not_exists(a) AND total > #o".into();
        spec.names.insert("#o".to_owned(), "order".to_owned());
        assert_eq!(
            Statement::new(&spec, &keys).unwrap_err(),
            "the attribute order in the place of a value"
        );
        let names = "x".repeat(9_000);
        assert!(translated(&format!(r#"{{"table":"stuff","set":{{"{names}":1}}}}"#)).is_err());
    }
}
