//! Combines an operator's expressions safely with ours: no text of theirs leaves its parentheses or takes a placeholder of
//! ours. That needs little knowledge of DynamoDB's expression language, and DynamoDB stays the judge of whether an
//! expression is right.
//!
//! Condition, filter and update expressions have no string or number literals: every value is a
//! `:placeholder` (Using expressions in DynamoDB, developer guide), so looking for placeholders and
//! parentheses needs no quoting rules.

use std::borrow::Cow;
use std::ops::Range;

use crate::text::{printable, visible_json};

/// Most bytes of an expression: "The maximum length of any expression string is 4 KB" (Quotas in Amazon DynamoDB,
/// Expression parameters).
pub const MAX_LENGTH: usize = 4_096;

/// Most parentheses in one another that are looked into; each takes a part of the stack.
pub(super) const MAX_DEPTH: usize = 100;

/// The words with which the sections of an update begin.
pub(super) const SECTIONS: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

/// Which language an expression is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A condition or a filter.
    Condition,
    /// An update.
    Update,
}

/// The beginning of our placeholders, after `#` or `:`. An operator's may not begin so.
pub const OURS: &str = "backfill_";

/// The `#name` and `:value` placeholders of an expression, in order, each with its sigil.
pub fn placeholders(expression: &str) -> Vec<&str> {
    ranges(expression)
        .into_iter()
        .map(|range| &expression[range])
        .collect()
}

/// The expression with each placeholder replaced by what it means. A meaning is not searched for placeholders, and a
/// placeholder without a meaning stays.
pub fn resolved(expression: &str, meaning: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    let mut end = 0;
    for range in ranges(expression) {
        let placeholder = &expression[range.clone()];
        text.push_str(&expression[end..range.start]);
        text.push_str(&meaning(placeholder).unwrap_or_else(|| placeholder.to_owned()));
        end = range.end;
    }
    text.push_str(&expression[end..]);
    text
}

/// The places at which placeholders stand.
fn ranges(expression: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = expression[at..].find(['#', ':']).map(|found| at + found) {
        let word = &expression[start + 1..];
        let length = word
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(word.len());
        at = start + 1 + length;
        if length > 0 {
            found.push(start..at);
        }
    }
    found
}

/// Where words, comparators and single marks of an expression stand.
pub(super) fn tokens(expression: &str) -> Vec<Range<usize>> {
    let is_word = |c: char| {
        c.is_alphanumeric() || matches!(c, '_' | '#' | ':') || (!c.is_ascii() && !c.is_whitespace())
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = expression[at..].chars().next() {
        let rest = &expression[at..];
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if ["<=", ">=", "<>"].iter().any(|two| rest.starts_with(two)) {
            2
        } else {
            first.len_utf8()
        };
        // DynamoDB takes no other blank than those of ASCII.
        if !first.is_ascii_whitespace() {
            found.push(at..at + length);
        }
        at += length;
    }
    found
}

/// The words, comparators and single marks of an expression, in order.
pub(super) fn words(expression: &str) -> Vec<&str> {
    let places = tokens(expression).into_iter();
    places.map(|place| &expression[place]).collect()
}

/// A name that an expression may hold as it is (developer guide, Expression attribute names).
pub(super) fn is_bare_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The name of an attribute as a person is to read it, and may type it for a verb: in quotes, as JSON, if it could be taken for
/// something else, such as `a.b` for the `b` inside `a`.
pub fn shown_name(name: &str) -> Cow<'_, str> {
    if is_bare_name(name) {
        return Cow::Borrowed(name);
    }
    let json = serde_json::to_string(name).expect("a text is plain data");
    let inside = &json[1..json.len() - 1];
    Cow::Owned(format!("\"{}\"", printable(&visible_json(inside))))
}

/// The name in quotes at the beginning of what somebody has typed, and what is behind it; `None` if that begins without.
///
/// Errors: quotes that are no JSON, for a person: whoever has typed them means no part of the name by them.
pub fn unquoted(text: &str) -> Result<Option<(String, &str)>, String> {
    if !text.starts_with('"') {
        return Ok(None);
    }
    let mut quoted = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let Some(Ok(name)) = quoted.next() else {
        return Err(format!(
            "a name in quotes is a JSON text, in which \\\\ is a backslash, \\\" a quote and \\n the end of a line, got {text}"
        ));
    };
    Ok(Some((name, &text[quoted.byte_offset()..])))
}

/// The attribute to which a name would lead if it were a path: `a` of `a.b` and of `a[0]`. `None` if it looks like no path.
pub fn root_of_path(name: &str) -> Option<&str> {
    let end = name.find(['.', '['])?;
    (end > 0).then(|| &name[..end])
}

/// Refuses an expression, with the reason for a person, that would not stay one operand between the parentheses of
/// `attribute_exists(key) AND (…)`: `a = :x) OR (b = :y` would take the guard out of force.
pub fn check_enclosed(expression: &str) -> Result<(), String> {
    if expression.trim().is_empty() {
        return Err("expected an expression, got nothing".into());
    }
    let mut depth = 0i32;
    for c in expression.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return Err("a closing parenthesis has no opening one before it".into());
        }
    }
    if depth > 0 {
        return Err("an opening parenthesis is never closed".into());
    }
    Ok(())
}

/// The expression without the parentheses that enclose all of it: DynamoDB refuses `((a = :x))` with "The
/// expression has redundant parentheses".
pub fn without_outer_parentheses(expression: &str) -> &str {
    let mut trimmed = expression.trim();
    // `(a) OR (b)` begins and ends with one as well, but inside it leaves its parentheses.
    while let Some(inside) = trimmed
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .filter(|inside| check_enclosed(inside).is_ok())
    {
        trimmed = inside.trim();
    }
    trimmed
}

/// That one of these conditions holds, as a part of a larger one; there is at least one.
pub fn any_of(conditions: &[String]) -> String {
    match conditions {
        [one] => one.clone(),
        several => format!("({})", several.join(" OR ")),
    }
}

/// That an item lacks one of the attributes with these names or placeholders, as a part of a larger condition; there is at least one.
pub fn lacks_any_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let lacks = names.into_iter();
    let lacks: Vec<String> = lacks
        .map(|name| format!("attribute_not_exists({name})"))
        .collect();
    any_of(&lacks)
}

/// The condition of every write: the item is there, and it is still pending. A write has no other condition than one of these, so
/// none can create an item that is gone or touch one that is no longer pending (promises: never-resurrect, never-overwrite).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard(String);

impl Guard {
    /// `attribute_exists(<partition key>) AND (<pending>)`, by the placeholder of the partition key.
    pub fn new(partition_key: &str, pending: &str) -> Guard {
        let pending = without_outer_parentheses(pending);
        Guard(format!("attribute_exists({partition_key}) AND ({pending})"))
    }

    /// The same, and each of these conditions besides. It only becomes narrower: none of them is an alternative.
    pub(super) fn and(&self, conditions: &[String]) -> Guard {
        let mut guard = self.0.clone();
        for condition in conditions {
            guard.push_str(" AND (");
            guard.push_str(condition);
            guard.push(')');
        }
        Guard(guard)
    }

    /// The condition expression.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// True if nothing is pending under a key.
pub fn not_pending(partition_key: &str, pending: &str) -> String {
    let pending = without_outer_parentheses(pending);
    format!("attribute_not_exists({partition_key}) OR NOT ({pending})")
}

/// Bytes that the longest of our conditions, [`not_pending`], adds to a predicate.
pub(super) const LONGEST_GUARD: usize = "attribute_not_exists(#backfill_key0) OR NOT ()".len();

/// The top-level attributes (`name` or `#placeholder`) that an update expression writes: the first part of
/// each path after `SET`, `REMOVE`, `ADD` and `DELETE`.
pub fn update_targets(update: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut expecting = false;
    let mut depth = 0i32;
    let mut rest = update;
    while let Some(c) = rest.chars().next() {
        let begins_word = c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':' | '-');
        // Not a space that is not ASCII: it ends words, and a word without a character would never end.
        if begins_word || (!c.is_ascii() && !c.is_whitespace()) {
            let length = rest
                .find(|c: char| {
                    c.is_whitespace()
                        || matches!(c, '(' | ')' | ',' | '=' | '.' | '[' | ']' | '+' | '<' | '>')
                })
                .unwrap_or(rest.len());
            let word = &rest[..length];
            let keyword = SECTIONS
                .iter()
                .any(|keyword| word.eq_ignore_ascii_case(keyword));
            if keyword && depth == 0 {
                expecting = true;
            } else if expecting {
                targets.push(word);
                expecting = false;
            }
            rest = &rest[length..];
            continue;
        }
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    targets
}

/// The attributes (`name` or `#placeholder`) that an item has after an update expression: those that `SET` and `ADD` write as a
/// whole, in its order.
pub(super) fn made_attributes(update: &str) -> Vec<&str> {
    let words: Vec<&str> = tokens(update)
        .into_iter()
        .map(|place| &update[place])
        .collect();
    let is_one_of = |word: &str, of: [&str; 2]| of.iter().any(|one| one.eq_ignore_ascii_case(word));
    let mut made = Vec::new();
    let (mut makes, mut expecting, mut depth) = (false, false, 0_i32);
    for (nth, word) in words.iter().copied().enumerate() {
        match word {
            "(" => depth += 1,
            ")" => depth -= 1,
            "," if depth == 0 => expecting = true,
            _ if expecting => {
                expecting = false;
                let is_whole = !matches!(words.get(nth + 1), Some(&("." | "[")));
                if makes && is_whole {
                    made.push(word);
                }
            }
            // Behind one of these it is an operand.
            _ if nth > 0 && matches!(words[nth - 1], "=" | "+" | "-" | "." | "(" | ",") => {}
            _ if is_one_of(word, ["SET", "ADD"]) => (makes, expecting) = (true, true),
            _ if is_one_of(word, ["REMOVE", "DELETE"]) => (makes, expecting) = (false, true),
            _ => {}
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_wherever_they_stand() {
        assert_eq!(
            placeholders("attribute_not_exists(#a.#b[0]) AND #c=:v1 OR size(#a)>:v_2"),
            ["#a", "#b", "#c", ":v1", "#a", ":v_2"]
        );
        assert!(placeholders("a = b").is_empty());
        assert!(placeholders("# : ##").is_empty());
        let meaning = |placeholder: &str| (placeholder != "#c").then(|| format!("{placeholder}#b"));
        assert_eq!(
            resolved("#a = :v AND #c = #aa", meaning),
            "#a#b = :v#b AND #c = #aa#b",
            "once, and not what a meaning says"
        );
    }

    #[test]
    fn a_name_that_looks_like_a_path_is_quoted() {
        for (name, shown) in [
            ("test", "test"),
            ("_a1", "_a1"),
            ("a.b", "\"a.b\""),
            ("a[0]", "\"a[0]\""),
            ("a b", "\"a b\""),
            ("a-b", "\"a-b\""),
            ("1", "\"1\""),
            ("a\"b\n", "\"a\\\"b\\n\""),
            ("a\\b", r#""a\\b""#),
            ("\u{1b}\u{202e}😀", r#""\u001b\u202e😀""#),
        ] {
            assert_eq!(shown_name(name), shown);
            if shown.starts_with('"') {
                let read: String = serde_json::from_str(shown).unwrap();
                assert_eq!(read, name, "as it is shown it can be typed");
            }
        }
        assert_eq!(root_of_path("a.b[0].c"), Some("a"));
        assert_eq!(root_of_path("a[0]"), Some("a"));
        assert_eq!(root_of_path("ab"), None);
        assert_eq!(root_of_path(".b"), None);
    }

    #[test]
    fn an_expression_cannot_leave_its_parentheses() {
        check_enclosed("attribute_not_exists(a) AND (b = :x OR (c = :y))").unwrap();
        assert!(check_enclosed("a = :x) OR (b = :y").is_err());
        assert!(check_enclosed("(a = :x").is_err());
        assert!(check_enclosed("  ").is_err());
        // The longest that a spec may have; nothing here may take stack for each.
        let half = MAX_LENGTH / 2;
        let deep = format!("{}a{}", "(".repeat(half), ")".repeat(half));
        let small_stack = std::thread::Builder::new().stack_size(128 * 1024);
        let inside = small_stack.spawn(move || without_outer_parentheses(&deep).to_owned());
        assert_eq!(inside.unwrap().join().unwrap(), "a");
    }

    #[test]
    fn update_targets_are_the_written_attributes_only() {
        assert_eq!(
            update_targets(
                "SET a = :x, #b.c[1] = if_not_exists(d, :y), e = list_append(f, :z) REMOVE g, h[0] add i :n DELETE #j :s"
            ),
            ["a", "#b", "e", "g", "h", "i", "#j"]
        );
        assert_eq!(update_targets("SET a=b+:x,c=d-:y"), ["a", "c"]);
        assert_eq!(
            update_targets("SET\u{a0}ä\u{2003}=\u{a0}:v,\u{3000}b = :v"),
            ["ä", "b"],
            "copied from a page with spaces of its own"
        );
        assert_eq!(update_targets("SET a = (b + :x), c = :y"), ["a", "c"]);
    }
}
