//! The few expressions that mean something to the stub: an item is pending or it is not.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::items::{CREATED, Form, ID, SOURCES};

/// `#name` → attribute.
pub type Names<'a> = HashMap<Cow<'a, str>, Cow<'a, str>>;

/// Which items a filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    All,
    Pending,
    Done,
}

/// An expression with its names put in, and no blanks but around words.
fn plain(expression: &str, names: &Names) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':');
        let end = match is_of_word(c) {
            true => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
            false => c.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        match names.get(token) {
            Some(name) => text.push_str(name),
            None if c.is_whitespace() => {}
            None => match token.to_ascii_uppercase().as_str() {
                word @ ("AND" | "OR") => text.extend([" ", word, " "]),
                word @ ("NOT" | "SET") => text.extend([word, " "]),
                _ => text.push_str(token),
            },
        }
        rest = after;
    }
    text
}

/// The parts that a condition joins by AND, without parentheses around them.
fn parts(mut text: &str) -> Vec<&str> {
    const AND: &str = " AND ";
    text = text.trim();
    while text.starts_with('(') && closes_at_the_end(text) {
        text = text[1..text.len() - 1].trim();
    }
    let is_outside = |at: &usize| {
        let before = &text[..*at];
        before.matches('(').count() == before.matches(')').count()
    };
    let cut = text.match_indices(AND).map(|(at, _)| at).find(is_outside);
    match cut {
        None => vec![text],
        Some(at) => {
            let mut found = parts(&text[..at]);
            found.extend(parts(&text[at + AND.len()..]));
            found
        }
    }
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

/// What a condition says.
struct Meaning {
    filter: Filter,
    /// Which of [`SOURCES`] is compared with which value, by its placeholder.
    compared: Vec<(usize, String)>,
}

/// What a condition says of items of this form; `None` if that is nothing that the stub knows.
fn meaning(text: &str, form: &Form) -> Option<Meaning> {
    let (mut filter, mut compared) = (Filter::All, Vec::new());
    let attribute = &form.attribute;
    for part in parts(text) {
        let of = |function: &str, name: &str| part == format!("{function}({name})");
        let value_of = |name: &str| {
            let value = part.strip_prefix(name)?.strip_prefix("=:")?;
            let is_one =
                |value: &&str| value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            Some(value).filter(is_one)
        };
        let is_there = |name: &&str| of("attribute_exists", name);
        let says = if of("attribute_not_exists", attribute) {
            Filter::Pending
        } else if of("attribute_exists", attribute) || value_of(attribute).is_some() {
            Filter::Done
        } else if is_there(&ID) || form.has_sources() && SOURCES.iter().any(is_there) {
            continue;
        } else {
            let found = SOURCES.iter().enumerate();
            let mut found = found.filter_map(|(at, name)| Some((at, value_of(name)?)));
            let (at, value) = found.next().filter(|_| form.has_sources())?;
            compared.push((at, format!(":{value}")));
            continue;
        };
        if filter != Filter::All && filter != says {
            return None;
        }
        filter = says;
    }
    Some(Meaning { filter, compared })
}

/// What a `FilterExpression` lets through.
pub fn filter(expression: &str, names: &Names, form: &Form) -> Result<Filter, String> {
    let said = meaning(&plain(expression, names), form);
    let said = said.filter(|said| said.compared.is_empty());
    let said = said.ok_or_else(|| unknown("filter", expression))?;
    Ok(said.filter)
}

/// Makes sure that a `ConditionExpression` says that the item is there and pending. Returns which of [`SOURCES`] it compares with which
/// placeholder.
pub fn guard(expression: &str, names: &Names, form: &Form) -> Result<Vec<(usize, String)>, String> {
    let said = meaning(&plain(expression, names), form);
    let said = said.filter(|said| said.filter == Filter::Pending);
    let said = said.ok_or_else(|| unknown("condition", expression))?;
    Ok(said.compared)
}

/// The placeholder of what an `UpdateExpression` sets.
pub fn set(expression: &str, names: &Names, form: &Form) -> Result<String, String> {
    let text = plain(expression, names);
    let value = text.strip_prefix(&format!("SET {}=", form.attribute));
    let value = value.ok_or_else(|| unknown("update", expression))?;
    Ok(value.to_owned())
}

/// Makes sure that a check says that the item is gone or not pending.
pub fn check(expression: &str, names: &Names, form: &Form) -> Result<(), String> {
    let text = plain(expression, names);
    let pending = text.strip_prefix(&format!("attribute_not_exists({ID}) OR NOT "));
    let pending = pending.filter(|text| text.starts_with('(') && closes_at_the_end(text));
    let said = pending.and_then(|text| meaning(text, form));
    match said {
        Some(said) if said.filter == Filter::Pending && said.compared.is_empty() => Ok(()),
        _ => Err(unknown("check", expression)),
    }
}

/// The attributes that a `ProjectionExpression` names; `None` if they are those of the key.
pub fn projection(expression: &str, names: &Names) -> Option<Vec<String>> {
    let text = plain(expression, names);
    let mut attributes: Vec<String> = text.split(',').map(str::to_owned).collect();
    attributes.sort();
    (attributes != [CREATED, ID]).then_some(attributes)
}

/// What there is to know of a PartiQL statement: which of its parameters is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// What is set.
    pub value: usize,
    pub id: usize,
    pub created: usize,
    /// What each of [`SOURCES`] is compared with.
    pub sources: [Option<usize>; 2],
}

/// The guarded update of one item; `None` if it is of another table.
pub fn statement(text: &str, table: &str, form: &Form) -> Result<Option<Statement>, String> {
    let Some(rest) = text.strip_prefix(&format!("UPDATE \"{table}\" ")) else {
        return Ok(None);
    };
    let attribute = &form.attribute;
    let read = || {
        let guard = rest.strip_prefix(&format!("SET \"{attribute}\" = ? WHERE "))?;
        let (mut id, mut created, mut sources, mut is_guarded) = (None, None, [None; 2], false);
        let mut next = 1;
        for part in parts(guard) {
            let (name, says) = part.strip_prefix('"')?.split_once("\" ")?;
            let source = SOURCES.iter().position(|source| *source == name);
            let source = source.filter(|_| form.has_sources());
            match (says, source) {
                ("IS MISSING", None) if name == attribute => is_guarded = true,
                ("IS NOT MISSING", Some(_)) => {}
                ("= ?", _) => {
                    let place = match source {
                        Some(at) => sources.get_mut(at)?,
                        None if name == ID => &mut id,
                        None if name == CREATED => &mut created,
                        None => return None,
                    };
                    *place = Some(next);
                    next += 1;
                }
                _ => return None,
            }
        }
        is_guarded.then_some(Statement {
            value: 0,
            id: id?,
            created: created?,
            sources,
        })
    };
    read().map(Some).ok_or_else(|| unknown("statement", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_sends_is_recognised_and_nothing_else() {
        let names: Names = [("#s0", "test"), ("#k0", "id"), ("#k1", "created")]
            .map(|(short, name)| (short.into(), name.into()))
            .into();
        let form = Form::new("test".into(), None).unwrap();
        let filtered = |text: &str| filter(text, &names, &form).ok();
        assert_eq!(filtered("attribute_not_exists(#s0)"), Some(Filter::Pending));
        assert_eq!(
            filtered("(attribute_not_exists ( test ))"),
            Some(Filter::Pending)
        );
        assert_eq!(filtered("attribute_exists(test)"), Some(Filter::Done));
        assert_eq!(filtered("test = :one"), Some(Filter::Done));
        assert_eq!(filtered("attribute_not_exists(other)"), None);
        assert_eq!(filtered("(test) = (:one)"), None);
        assert_eq!(filtered("test = :one OR test = :two"), None);
        assert_eq!(filtered("attribute_exists(status)"), None);
        let guarded = |text: &str| guard(text, &names, &form).is_ok();
        assert!(guarded(
            "attribute_exists(#k0) AND (attribute_not_exists(#s0))"
        ));
        assert!(guarded("attribute_not_exists(#s0)"));
        assert!(!guarded("attribute_exists(#k0)"));
        assert!(!guarded(
            "attribute_not_exists(#s0) OR attribute_exists(#k0)"
        ));
        assert!(!guarded("attribute_not_exists(#s0) AND status = :s"));
        let checked = |text: &str| check(text, &names, &form).is_ok();
        assert!(checked(
            "attribute_not_exists(#k0) OR NOT (attribute_not_exists(#s0))"
        ));
        assert!(!checked("attribute_not_exists(#k0)"));
        assert_eq!(projection("#k0, #k1", &names), None);
        assert_eq!(
            projection("#k0, #s0", &names),
            Some(vec!["id".into(), "test".into()])
        );
        let seen = |text: &str| statement(text, "stuff", &form);
        let update = r#"UPDATE "stuff" SET "test" = ? WHERE "id" = ? AND "created" = ?"#;
        let expected = Statement {
            value: 0,
            id: 1,
            created: 2,
            sources: [None; 2],
        };
        assert_eq!(
            seen(&format!(r#"{update} AND ("test" IS MISSING)"#)),
            Ok(Some(expected))
        );
        assert!(seen(update).is_err());
        let of_source = format!(r#"{update} AND ("test" IS MISSING) AND "status" = ?"#);
        assert!(seen(&of_source).is_err());
        assert_eq!(seen(r#"UPDATE "other" SET "a" = ?"#), Ok(None));
    }

    #[test]
    fn what_a_run_sends_that_computes_is_recognised_and_nothing_else() {
        let names: Names = [
            ("#t", "test"),
            ("#k", "id"),
            ("#a", "status"),
            ("#b", "tenant"),
        ]
        .map(|(short, name)| (short.into(), name.into()))
        .into();
        let form = Form::new("test".into(), Some("${tenant}#${status|lower}")).unwrap();
        let pending = "attribute_not_exists(#t) AND attribute_exists(#a) AND attribute_exists(#b)";
        let filtered = |text: &str| filter(text, &names, &form).ok();
        assert_eq!(filtered(pending), Some(Filter::Pending));
        assert_eq!(
            filtered("attribute_exists(#a) AND attribute_exists(#b)"),
            Some(Filter::All)
        );
        assert_eq!(filtered("attribute_exists(other)"), None);
        assert_eq!(filtered("#a = :a"), None);
        assert_eq!(
            filtered("attribute_not_exists(#t) AND attribute_exists(#t)"),
            None
        );
        let guarded = |text: &str| guard(text, &names, &form).ok();
        assert_eq!(
            guarded(&format!(
                "attribute_exists(#k) AND ({pending}) AND #a = :x AND #b = :y"
            )),
            Some(vec![(0, ":x".into()), (1, ":y".into())])
        );
        assert_eq!(guarded("attribute_exists(#k) AND #a = :x"), None);
        let checked = |text: &str| check(text, &names, &form).is_ok();
        assert!(checked(&format!(
            "attribute_not_exists(#k) OR NOT ({pending})"
        )));
        assert!(!checked(&format!(
            "attribute_not_exists(#k) OR NOT {pending}"
        )));
        assert_eq!(set("SET #t = :v", &names, &form), Ok(":v".into()));
        assert!(set("SET #a = :v", &names, &form).is_err());
        let seen = |text: &str| statement(text, "stuff", &form);
        let update = r#"UPDATE "stuff" SET "test" = ? WHERE "id" = ? AND "created" = ?"#;
        let there = r#"("test" IS MISSING AND "status" IS NOT MISSING)"#;
        assert_eq!(
            seen(&format!(
                r#"{update} AND {there} AND "tenant" = ? AND "status" = ?"#
            )),
            Ok(Some(Statement {
                value: 0,
                id: 1,
                created: 2,
                sources: [Some(4), Some(3)],
            }))
        );
        assert!(seen(&format!(r#"{update} AND "status" = ?"#)).is_err());
        assert!(seen(&format!(r#"{update} AND {there} AND "other" = ?"#)).is_err());
    }
}
