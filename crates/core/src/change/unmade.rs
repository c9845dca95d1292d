//! Why nothing can be made of an item: for whoever may see the item, and for records and logs, which have nothing of an item but its
//! key.

use std::borrow::Cow;
use std::fmt;

use super::expression::shown_name;
use crate::compute::{Failure, shortened};
use crate::text::{MAX_SHOWN, printable};
use crate::value::few::Attributes;
use crate::{Item, Value};

/// Why nothing can be made of an item. Displayed as a sentence on one line, of about 1,000 characters at most:
/// `total cannot be computed: number: "abc" is not a number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmade {
    /// The attribute whose value cannot be computed; `None` if it is not one alone.
    pub target: Option<String>,
    /// The function or the code that fails, if it is one, and the reason.
    pub why: Failure,
}

impl Unmade {
    /// Attribute and function, and the reason without what is the item's own: the same for items that fail in the same way.
    pub fn kind(&self) -> String {
        let reason = self.reason_without(|reason| reason.to_owned());
        // Two long names may begin alike.
        let target = self.target.as_deref().unwrap_or_default();
        format!("{target}\n{}", self.told(&reason))
    }

    /// The sentence without what is the item's own, which was given as `item`: what stands between quotes, and of code, whose words
    /// are not ours, every text of the item and every number as well.
    pub fn recorded(&self, item: &dyn Attributes) -> String {
        let reason = self.reason_without(|reason| without_texts(reason, &item.whole()));
        self.told(&reason)
    }

    /// The reason without what stands between quotes. `of_code` takes more out of one that code gives.
    fn reason_without(&self, of_code: impl Fn(&str) -> String) -> Cow<'_, str> {
        let reason = &self.why.reason;
        Cow::Owned(match (&self.target, &self.why.function) {
            // The name of a source may be quoted.
            _ if self.why.missing.is_some() => return Cow::Borrowed(reason),
            (Some(_), _) => without_quoted(reason, false),
            (None, Some(_)) => {
                let begin: String = reason.chars().take(4 * MAX_SHOWN).collect();
                without_quoted(&of_code(&begin), true)
            }
            // It tells of no item.
            (None, None) => return Cow::Borrowed(reason),
        })
    }

    /// The sentence with this reason.
    fn told(&self, reason: &str) -> String {
        let of_function = match &self.why.function {
            Some(function) => format!("{function}: {reason}"),
            None => reason.to_owned(),
        };
        printable(&match &self.target {
            Some(target) => {
                let target = shortened(&shown_name(target));
                format!("{target} cannot be computed: {of_function}")
            }
            None => of_function,
        })
    }
}

impl fmt::Display for Unmade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(&self.why.reason))
    }
}

/// Stands for what is left out.
const BLANK: char = '…';

/// A reason without what stands between quotes. What code has quoted may have quotes of its own, behind a backslash; of its numbers
/// none is left.
fn without_quoted(reason: &str, is_of_code: bool) -> String {
    let mut left = String::with_capacity(reason.len());
    let mut rest = reason.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '"' || (is_of_code && c == '`') {
            left.extend([c, BLANK]);
            while let Some(quoted) = rest.next() {
                if quoted == c {
                    left.push(c);
                    break;
                }
                if is_of_code && quoted == '\\' {
                    rest.next();
                }
            }
        } else if is_of_code && c.is_numeric() {
            left.push(BLANK);
            while rest.next_if(|c| c.is_numeric()).is_some() {}
        } else {
            left.push(c);
        }
    }
    left
}

/// A reason without the texts of this item.
fn without_texts(reason: &str, item: &Item) -> String {
    let mut texts = Vec::new();
    for value in item.values() {
        add_texts(value, &mut texts);
    }
    // One may be the begin of another.
    texts.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
    let left = reason.to_owned();
    texts
        .into_iter()
        .fold(left, |left, text| match left.contains(begin_of(text)) {
            true => without_text(&left, text),
            false => left,
        })
}

/// The texts in a value, and the names in its maps.
fn add_texts<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::S(text) => texts.push(text),
        Value::Ss(set) => texts.extend(set.iter().map(String::as_str)),
        Value::L(list) => list.iter().for_each(|value| add_texts(value, texts)),
        Value::M(map) => {
            for (name, value) in map {
                texts.push(name);
                add_texts(value, texts);
            }
        }
        Value::N(_)
        | Value::B(_)
        | Value::Bool(_)
        | Value::Null(_)
        | Value::Ns(_)
        | Value::Bs(_) => {}
    }
}

/// By how many characters a text is known again that is told in part.
const KNOWN_BY: usize = 16;

fn begin_of(text: &str) -> &str {
    let end = text.char_indices().nth(KNOWN_BY);
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

/// A reason without a text, or as much of it as is told.
fn without_text(reason: &str, text: &str) -> String {
    let begin = begin_of(text);
    let mut left = String::with_capacity(reason.len());
    let mut done = 0;
    while let Some(found) = reason[done..].find(begin).filter(|_| !begin.is_empty()) {
        let at = done + found;
        let told = reason[at..].chars().zip(text.chars());
        let told = told.take_while(|(told, own)| told == own);
        let end = at + told.map(|(told, _)| told.len_utf8()).sum::<usize>();
        let is_of_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_in_word = is_of_word(reason[..at].chars().next_back())
            || is_of_word(reason[end..].chars().next());
        left.push_str(&reason[done..at]);
        match begin.len() == text.len() && is_in_word {
            // A short text within a word of the code.
            true => left.push_str(&reason[at..end]),
            false => left.push(BLANK),
        }
        done = end;
    }
    left + &reason[done..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmade(target: Option<&str>, function: &str, reason: &str) -> Unmade {
        Unmade {
            target: target.map(str::to_owned),
            why: Failure {
                function: Some(function.to_owned()),
                reason: reason.to_owned(),
                missing: None,
            },
        }
    }

    /// What is recorded of a rejected item is its key and the reason: nothing of it that others may not see.
    #[test]
    fn a_recorded_reason_has_nothing_of_the_item() {
        let long = "a long story of a customer ".repeat(100);
        let text = |text: &str| Value::S(text.into());
        let inside = Item::from([("secret".to_owned(), text("say \"hush\""))]);
        let set = Value::Ss(vec!["Ada Lovelace".into(), "x".into()]);
        let item = Item::from([
            ("a".to_owned(), text("ada@example.org")),
            ("b".to_owned(), Value::L(vec![text("Ada"), set])),
            ("c".to_owned(), Value::M(inside)),
            ("d".to_owned(), text(&long)),
            ("e".to_owned(), text("")),
        ]);
        let told = format!("no story: {long}");
        let cut = format!("{:.30} is no story", long);
        for (reason, recorded) in [
            ("agent is no text", "agent is no text"),
            ("cannot parse ada@example.org", "cannot parse …"),
            (
                "Ada Lovelace or Ada: \"ada@exam\", exactly",
                "… or …: \"…\", exactly",
            ),
            ("Adamant, and 12 of 1.5e-3", "Adamant, and … of ….…e-…"),
            (
                "\"say \\\"hush\\\"\" is `other` than say \"hush\"",
                "\"…\" is `…` than …",
            ),
            ("secret is \"open", "… is \"…"),
            (&told, "no story: …"),
            (&cut, "… is no story"),
        ] {
            let found = unmade(None, "code agent2", reason).recorded(&item);
            assert_eq!(found, format!("code agent2: {recorded}"));
        }
        // Of templates the words are ours, and so are their numbers.
        let ours = unmade(
            Some("gsi1pk"),
            "number",
            "\"12 Ada\" has more than the 38 digits",
        );
        assert_eq!(
            ours.recorded(&item),
            "gsi1pk cannot be computed: number: \"…\" has more than the 38 digits"
        );
        let missing = r#""odd name".b is missing"#;
        let path = crate::compute::Path::attribute("odd name");
        let lacks = Unmade {
            target: Some("a".into()),
            why: Failure {
                function: None,
                reason: missing.into(),
                missing: Some(path),
            },
        };
        let expected = format!("a cannot be computed: {missing}");
        assert_eq!(
            (lacks.recorded(&item), lacks.to_string()),
            (expected.clone(), expected)
        );
    }

    /// A record has 400 KB, and room for it beside whatever else is rejected on its page.
    #[test]
    fn no_reason_is_long() {
        let long = "ab cd\n".repeat(60_000);
        let name = "n".repeat(60_000);
        for unmade in [
            unmade(None, "code agent", &long),
            unmade(Some(&name), "number", &long),
        ] {
            for told in [unmade.to_string(), unmade.recorded(&Item::new())] {
                assert_eq!(told.chars().count(), MAX_SHOWN + 1);
                assert!(told.contains("ab cd\\nab"), "{told}");
            }
        }
    }
}
