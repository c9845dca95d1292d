//! A template: parsed once, evaluated for each item.

use std::fmt;

use super::failure::Failure;
use super::functions::{Bounded, MOST_BYTES, expected, plain_digits, too_large};
use super::parse::pieces_of;
use super::parts::{Argument, Head, Part, Piece, Stop};
use super::path::Path;
use crate::value::Value;
use crate::value::few::Attributes;
use crate::value::size::value_bytes;

/// Longest text of a template, in bytes.
pub const MAX_LENGTH: usize = 4_096;

/// Most parts, and most calls of functions, of a template, nested ones included.
const MOST_PARTS: usize = 64;

/// Text with parts `${…}`, each of which gives a value of an item. One part alone gives its value with its type; else all is joined to
/// an S. Displayed as it was written.
#[derive(Clone)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
    sources: Vec<Source>,
}

/// What a template reads of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it stands.
    pub path: Path,
    /// True if no value can be computed without it.
    pub required: bool,
}

impl Template {
    /// Reads a template.
    ///
    /// Errors: a sentence for a person, with the column (of characters, from 1) and what was expected there.
    pub fn parse(text: &str) -> Result<Template, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!(
                "expected a template of at most {MAX_LENGTH} bytes, got {}",
                text.len()
            ));
        }
        let pieces = pieces_of(text)?;
        let mut found = Contents::default();
        for piece in &pieces {
            if let Piece::Part(part) = piece {
                found.add(part, true);
            }
        }
        for (what, number) in [("parts", found.parts), ("functions", found.calls)] {
            if number > MOST_PARTS {
                return Err(format!(
                    "expected a template of at most {MOST_PARTS} {what}, got {number}"
                ));
            }
        }
        Ok(Template {
            text: text.to_owned(),
            pieces,
            sources: found.sources,
        })
    }

    /// What it reads of an item: each path once, in the order in which they appear.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The sources that it joins just as they are, with text between each two that has neither letters, digits nor spaces, as the parts
    /// of a key have it, such as `${tenant}#${status}`; `None` if it does anything else.
    pub(crate) fn joined(&self) -> Option<Vec<&Path>> {
        let mut joined = Vec::new();
        let mut is_between = false;
        for piece in &self.pieces {
            match piece {
                Piece::Part(Part {
                    head: Head::Source(path),
                    steps,
                }) if steps.is_empty() && is_between != joined.is_empty() => {
                    joined.push(path);
                    is_between = false;
                }
                Piece::Text(text) if text.chars().all(|c| c.is_ascii_punctuation()) => {
                    is_between = !joined.is_empty();
                }
                _ => return None,
            }
        }
        Some(joined)
    }

    /// The value for an item: the same for the same sources, of at most 400 KB, and one that DynamoDB stores.
    ///
    /// Errors: the function that fails and why, or the source that is missing.
    pub fn evaluate(&self, item: &dyn Attributes) -> Result<Value, Failure> {
        if let [Piece::Part(part)] = self.pieces.as_slice() {
            let value = part.evaluate(item).map_err(Stop::into_failure)?;
            if value_bytes(&value) > MOST_BYTES as u64 {
                return Err(Failure::of_the_whole(too_large()));
            }
            value.check().map_err(Failure::of_the_whole)?;
            return Ok(value.into_owned());
        }
        let mut joined = Bounded::new();
        for piece in &self.pieces {
            let part = match piece {
                Piece::Text(text) => {
                    joined.push(text).map_err(Failure::of_the_whole)?;
                    continue;
                }
                Piece::Part(part) => part,
            };
            let value = part.evaluate(item).map_err(Stop::into_failure)?;
            let pushed = match &*value {
                Value::S(text) => joined.push(text),
                Value::N(digits) => plain_digits(digits).and_then(|digits| joined.push(&digits)),
                other => Err(format!(
                    "{part} cannot stand in a text: {}",
                    expected("S or N", other)
                )),
            };
            pushed.map_err(Failure::of_the_whole)?;
        }
        let text = joined.into_text().map_err(Failure::of_the_whole)?;
        Ok(Value::S(text))
    }
}

/// What is in the parts of a template.
#[derive(Default)]
struct Contents {
    sources: Vec<Source>,
    parts: usize,
    calls: usize,
}

impl Contents {
    /// Adds a part; `is_needed` is false if something stands in for all that it lacks.
    fn add(&mut self, part: &Part, is_needed: bool) {
        self.parts += 1;
        let has_stand_in = part
            .steps
            .first()
            .is_some_and(|step| step.function.stands_in());
        if let Head::Source(path) = &part.head {
            self.add_source(path, is_needed && !has_stand_in);
        }
        for step in &part.steps {
            self.calls += 1;
            for argument in &step.arguments {
                if let Argument::Part(part) = argument {
                    self.add(part, is_needed && !step.function.stands_in());
                }
            }
        }
    }

    fn add_source(&mut self, path: &Path, required: bool) {
        match self.sources.iter_mut().find(|source| source.path == *path) {
            Some(source) => source.required |= required,
            None => self.sources.push(Source {
                path: path.clone(),
                required,
            }),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text).finish()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}
