//! The few expressions that mean something to the stub: an item is pending or it is not.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::items::{CREATED, ID};

/// `#name` → attribute.
pub type Names<'a> = HashMap<Cow<'a, str>, Cow<'a, str>>;

/// Which items a filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    All,
    Pending,
    Done,
}

/// An expression with its names put in, without blanks and without parentheses around it.
fn plain(expression: &str, names: &Names) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '#';
        let end = match c {
            '#' => rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()),
            _ => c.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        match names.get(token) {
            Some(name) => text.push_str(name),
            None if c.is_whitespace() => {}
            None => text.push_str(token),
        }
        rest = after;
    }
    while text.starts_with('(') && text.ends_with(')') && closes_at_the_end(&text) {
        text = text[1..text.len() - 1].to_owned();
    }
    text
}

/// Whether the parenthesis that a text begins with is closed by its last character.
fn closes_at_the_end(text: &str) -> bool {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1 == text.len();
        }
    }
    false
}

fn unknown(what: &str, expression: &str) -> String {
    format!("bench-stub knows no such {what}: {expression}")
}

/// What a `FilterExpression` lets through, for the attribute that tells who is pending.
pub fn filter(expression: &str, names: &Names, attribute: &str) -> Result<Filter, String> {
    let text = plain(expression, names);
    let of = |function: &str| text == format!("{function}({attribute})");
    if of("attribute_not_exists") {
        Ok(Filter::Pending)
    } else if of("attribute_exists") || text.starts_with(&format!("{attribute}=:")) {
        Ok(Filter::Done)
    } else {
        Err(unknown("filter", expression))
    }
}

/// Makes sure that a `ConditionExpression` says that the item is there and pending.
pub fn guard(expression: &str, names: &Names, attribute: &str) -> Result<(), String> {
    let text = plain(expression, names);
    let pending = format!("attribute_not_exists({attribute})");
    let is_guard = [
        format!("attribute_exists({ID})AND({pending})"),
        format!("attribute_exists({ID})AND{pending}"),
        format!("{pending}ANDattribute_exists({ID})"),
        pending,
    ];
    match is_guard.contains(&text) {
        true => Ok(()),
        false => Err(unknown("condition", expression)),
    }
}

/// Makes sure that a check says that the item is gone or not pending.
pub fn check(expression: &str, names: &Names, attribute: &str) -> Result<(), String> {
    let text = plain(expression, names);
    let wanted = format!("attribute_not_exists({ID})ORNOT(attribute_not_exists({attribute}))");
    match text == wanted {
        true => Ok(()),
        false => Err(unknown("check", expression)),
    }
}

/// The attributes that a `ProjectionExpression` names; `None` if they are those of the key.
pub fn projection(expression: &str, names: &Names) -> Option<Vec<String>> {
    let text = plain(expression, names);
    let mut attributes: Vec<String> = text.split(',').map(str::to_owned).collect();
    attributes.sort();
    (attributes != [CREATED, ID]).then_some(attributes)
}

/// What there is to know of a PartiQL statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Which of the parameters is `id`.
    pub id: usize,
    /// Which is `created`.
    pub created: usize,
}

/// The guarded update of one item; `None` if it is of another table.
pub fn statement(text: &str, table: &str, attribute: &str) -> Result<Option<Statement>, String> {
    let Some(rest) = text.strip_prefix("UPDATE ") else {
        return Ok(None);
    };
    if !rest.starts_with(&format!("\"{table}\"")) {
        return Ok(None);
    }
    let parameter = |name: &str| {
        let at = text.find(&format!("\"{name}\" = ?"))?;
        Some(text[..at].matches('?').count())
    };
    let is_guarded = text.contains(&format!("\"{attribute}\" IS MISSING"));
    match (parameter(ID), parameter(CREATED)) {
        (Some(id), Some(created)) if is_guarded => Ok(Some(Statement { id, created })),
        _ => Err(unknown("statement", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_sends_is_recognised_and_nothing_else() {
        let names: Names = [("#s0", "test"), ("#k0", "id"), ("#k1", "created")]
            .map(|(short, name)| (short.into(), name.into()))
            .into();
        let filtered = |text: &str| filter(text, &names, "test").ok();
        assert_eq!(filtered("attribute_not_exists(#s0)"), Some(Filter::Pending));
        assert_eq!(
            filtered("(attribute_not_exists ( test ))"),
            Some(Filter::Pending)
        );
        assert_eq!(filtered("attribute_exists(test)"), Some(Filter::Done));
        assert_eq!(filtered("test = :one"), Some(Filter::Done));
        assert_eq!(filtered("attribute_not_exists(other)"), None);
        assert_eq!(filtered("(test) = (:one)"), None);
        let guarded = |text: &str| guard(text, &names, "test").is_ok();
        assert!(guarded(
            "attribute_exists(#k0) AND (attribute_not_exists(#s0))"
        ));
        assert!(guarded("attribute_not_exists(#s0)"));
        assert!(!guarded("attribute_exists(#k0)"));
        let checked = |text: &str| check(text, &names, "test").is_ok();
        assert!(checked(
            "attribute_not_exists(#k0) OR NOT (attribute_not_exists(#s0))"
        ));
        assert!(!checked("attribute_not_exists(#k0)"));
        assert_eq!(projection("#k0, #k1", &names), None);
        assert_eq!(
            projection("#k0, #s0", &names),
            Some(vec!["id".into(), "test".into()])
        );
        let seen = |text: &str| statement(text, "stuff", "test");
        let update = r#"UPDATE "stuff" SET "test" = ? WHERE "id" = ? AND "created" = ?"#;
        assert_eq!(
            seen(&format!(r#"{update} AND ("test" IS MISSING)"#)),
            Ok(Some(Statement { id: 1, created: 2 }))
        );
        assert!(seen(update).is_err());
        assert_eq!(seen(r#"UPDATE "other" SET "a" = ?"#), Ok(None));
    }
}
