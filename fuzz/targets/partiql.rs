//! The guarded update as PartiQL text: its structure is ours whatever names, values and expressions say.
#![no_main]

use std::collections::BTreeSet;

use backfill_core::change::partiql::Statement;
use backfill_core::value::packed::{PackedKey, ValueRef};
use backfill_core::{Item, Key, Value};
use backfill_fuzz::scenario::Scenario;
use backfill_fuzz::{assert_is_a_clear_sentence, placeholders};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Scenario { spec, keys } = Scenario::parse(text);
    let is_checked = spec
        .check()
        .and_then(|()| spec.check_against(&keys))
        .is_ok();
    let statement = match Statement::new(&spec, &keys) {
        Ok(statement) => statement,
        Err(refusal) => return assert_is_a_clear_sentence(&refusal),
    };
    assert!(statement.text.len() <= 8_192);
    if !is_checked || keys.names().count() != keys.names().collect::<BTreeSet<_>>().len() {
        // No such spec gets here, and no table has such keys; it is enough that nothing panicked.
        return;
    }

    let tokens = tokens(&statement.text);
    let mut rest = &tokens[..];
    let key: Item = keys
        .names()
        .map(|name| (name.to_owned(), Value::S(format!("key {name}"))))
        .collect();
    take(
        &mut rest,
        &[Token::Plain("UPDATE"), Token::Name(&spec.table)],
    );
    // SET and REMOVE: paths of quoted names, and nothing else.
    while rest[0] != Token::Plain("WHERE") {
        let is_set = rest[0] == Token::Plain("SET");
        assert!(is_set || rest[0] == Token::Plain("REMOVE"), "{tokens:?}");
        rest = &rest[1..];
        let Token::Name(target) = rest[0] else {
            panic!("{tokens:?}")
        };
        assert!(keys.names().all(|key| key != target), "{tokens:?}");
        path(&mut rest);
        if is_set {
            take(&mut rest, &[Token::Plain("="), Token::Plain("?")]);
        }
    }
    // WHERE: the full key, and then the predicate as one operand.
    take(&mut rest, &[Token::Plain("WHERE")]);
    for name in keys.names() {
        take(
            &mut rest,
            &[
                Token::Name(name),
                Token::Plain("="),
                Token::Plain("?"),
                Token::Plain("AND"),
            ],
        );
    }
    assert_eq!(rest[0], Token::Plain("("));
    let mut depth = 0;
    for (at, token) in rest.iter().enumerate() {
        match token {
            Token::Plain("(") => depth += 1,
            Token::Plain(")") => depth -= 1,
            Token::Plain(plain) => assert!(
                [
                    "AND",
                    "OR",
                    "IS",
                    "NOT",
                    "MISSING",
                    "BETWEEN",
                    "begins_with",
                    "contains",
                    "size",
                    "IN",
                    "?",
                    ",",
                    ".",
                    "[",
                    "]",
                    "=",
                    "<>",
                    "<",
                    "<=",
                    ">",
                    ">=",
                ]
                .contains(plain)
                    || plain.bytes().all(|digit| digit.is_ascii_digit()),
                "{plain:?} in {tokens:?}"
            ),
            Token::Name(_) => {}
        }
        assert_eq!(depth == 0, at + 1 == rest.len(), "{tokens:?}");
    }

    // Every name stands for itself: a defined one, or a word of the expressions that needs no definition.
    for token in &tokens {
        if let Token::Name(name) = token {
            let is_defined = spec.names.values().any(|defined| defined == name);
            let is_word = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && (spec.pending.contains(name) || spec.update.contains(name));
            let is_known = *name == spec.table || keys.names().any(|key| key == *name);
            assert!(is_defined || is_word || is_known, "{name:?} in {tokens:?}");
        }
    }

    // A parameter for each question mark, in the order of the expressions.
    let expected: Vec<Value> = values_of(&spec.update, &spec.values)
        .chain(keys.names().map(|name| key[name].clone()))
        .chain(values_of(&spec.pending, &spec.values))
        .collect();
    let key = PackedKey::from(&Key(key.clone()));
    let parameters: Vec<Value> = statement
        .bind(&key)
        .parameters
        .into_iter()
        .map(ValueRef::to_value)
        .collect();
    assert_eq!(parameters, expected);
    let marks = tokens.iter().filter(|t| **t == Token::Plain("?")).count();
    assert_eq!(marks, parameters.len(), "{tokens:?}");
});

#[derive(Debug, PartialEq, Clone, Copy)]
enum Token<'a> {
    /// What stands between double quotes.
    Name(&'a str),
    /// A word, a number or a mark.
    Plain(&'a str),
}

/// PartiQL's tokens, as far as a statement of ours may have any: panics at anything else.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match first {
            ' ' => {
                rest = &rest[1..];
                continue;
            }
            '"' => {
                let end = rest[1..].find('"').expect("a quote without its partner");
                let name = &rest[1..end + 1];
                assert!(!name.is_empty(), "an empty name");
                assert!(!name.contains(['\\', '`']) && !name.contains(char::is_control));
                found.push(Token::Name(name));
                rest = &rest[end + 2..];
                assert!(!rest.starts_with('"'), "a quoted quote");
                continue;
            }
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            '<' | '>' if rest[1..].starts_with('=') => 2,
            '<' if rest[1..].starts_with('>') => 2,
            '=' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | '.' | '?' => 1,
            other => panic!("{other:?} outside of quotes in {text:?}"),
        };
        found.push(Token::Plain(&rest[..length]));
        rest = &rest[length..];
    }
    found
}

fn take(rest: &mut &[Token<'_>], expected: &[Token<'_>]) {
    assert!(
        rest.starts_with(expected),
        "{expected:?} expected at {rest:?}"
    );
    *rest = &rest[expected.len()..];
}

/// `"a"."b"[1]`
fn path(rest: &mut &[Token<'_>]) {
    assert!(matches!(rest[0], Token::Name(_)), "{rest:?}");
    *rest = &rest[1..];
    loop {
        match rest {
            [Token::Plain("."), Token::Name(_), ..] => *rest = &rest[2..],
            [
                Token::Plain("["),
                Token::Plain(index),
                Token::Plain("]"),
                ..,
            ] => {
                assert!(index.bytes().all(|digit| digit.is_ascii_digit()));
                *rest = &rest[3..];
            }
            _ => return,
        }
    }
}

fn values_of<'a>(expression: &str, values: &'a Item) -> impl Iterator<Item = Value> + use<'a> {
    placeholders(expression)
        .into_iter()
        .filter(|placeholder| placeholder.starts_with(':'))
        .map(|placeholder| values[&placeholder].clone())
}
