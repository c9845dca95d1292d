//! The grammar of templates.
//!
//! ```text
//! template = { text | "$$" | "${" part "}" }
//! part     = ( path | number | "true" | "false" | "null" ) { "|" name [ "(" [ argument { "," argument } ] ")" ] }
//! path     = name { "." name }           name = letter or _, then letters, digits, _ or -; or a JSON string
//! argument = "${" part "}" | JSON
//! ```
//!
//! Spaces may stand between the words of a part.

use serde_json::value::RawValue;
use winnow::combinator::{alt, cut_err, delimited, preceded, repeat, separated, terminated};
use winnow::error::{AddContext, ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::Stream;
use winnow::token::take_while;

use super::failure::{shortened, shown};
use super::functions::{FUNCTIONS, Function};
use super::parts::{Argument, Head, Part, Piece, Step};
use super::path::{Path, WORDS, begins_a_name, is_of_a_name};
use crate::text::printable;
use crate::value::{MAX_DEPTH, Value};

/// Deepest nesting of parts in arguments of parts.
const MOST_NESTED: usize = 16;

type Parsed<T> = ModalResult<T, Refusal>;

/// What is wrong, and where.
#[derive(Debug)]
struct Refusal {
    /// Bytes from there to the end.
    rest: usize,
    /// A sentence; empty if nothing is known but the place.
    why: String,
    /// True if `why` says what was expected there, so that what was found is worth saying.
    is_expectation: bool,
}

impl<'t> ParserError<&'t str> for Refusal {
    type Inner = Self;

    fn from_input(input: &&'t str) -> Self {
        Refusal {
            rest: input.len(),
            why: String::new(),
            is_expectation: true,
        }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

impl<'t> AddContext<&'t str, &'static str> for Refusal {
    fn add_context(
        mut self,
        _: &&'t str,
        _: &<&'t str as Stream>::Checkpoint,
        expected: &'static str,
    ) -> Self {
        if self.why.is_empty() {
            self.why = format!("expected {expected}");
        }
        self
    }
}

/// Ends the parse with a sentence about this place.
fn refuse<T>(at: &str, why: impl Into<String>) -> Parsed<T> {
    refuse_at(at.len(), why)
}

/// The same, about the place behind which so many bytes stand.
fn refuse_at<T>(rest: usize, why: impl Into<String>) -> Parsed<T> {
    Err(ErrMode::Cut(Refusal {
        rest,
        why: why.into(),
        is_expectation: false,
    }))
}

/// Ends the parse with what was expected here.
fn expect<T>(at: &str, what: &str) -> Parsed<T> {
    Err(ErrMode::Cut(Refusal {
        rest: at.len(),
        why: format!("expected {what}"),
        is_expectation: true,
    }))
}

/// Reads a template.
///
/// Errors: a sentence with the column, and what was expected there.
pub(super) fn pieces_of(text: &str) -> Result<Vec<Piece>, String> {
    let mut rest = text;
    let pieces: Parsed<Vec<Piece>> = repeat(1.., piece).parse_next(&mut rest);
    let refusal = match pieces {
        Ok(pieces) if rest.is_empty() => return Ok(joined(pieces)),
        Ok(_) => Refusal::from_input(&rest),
        Err(ErrMode::Backtrack(refusal) | ErrMode::Cut(refusal)) => refusal,
        Err(ErrMode::Incomplete(_)) => Refusal::from_input(&rest),
    };
    let at = text.len().saturating_sub(refusal.rest);
    let (before, behind) = text.split_at_checked(at).unwrap_or((text, ""));
    let column = before.chars().count() + 1;
    let why = match refusal.why.as_str() {
        "" => "expected a template such as ${tenant}#${status|lower}",
        why => why,
    };
    Err(match (refusal.is_expectation, behind.chars().next()) {
        (false, _) => format!("column {column}: {why}"),
        (true, Some(found)) => format!("column {column}: {why}, found {}", shown(found)),
        (true, None) => format!("column {column}: {why}, and there the template ends"),
    })
}

/// With neighbouring texts made one.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

fn piece(input: &mut &str) -> Parsed<Piece> {
    alt((
        take_while(1.., |c| c != '$').map(|text: &str| Piece::Text(text.to_owned())),
        "$$".map(|_| Piece::Text("$".to_owned())),
        preceded("${", cut_err(|input: &mut &str| part(input, 1))).map(Piece::Part),
        preceded("$", |input: &mut &str| {
            refuse(
                input,
                "a dollar sign alone: expected ${…} for a value, or $$ for one dollar sign",
            )
        }),
    ))
    .parse_next(input)
}

fn spaces(input: &mut &str) -> Parsed<()> {
    take_while(0.., [' ', '\t', '\r', '\n'])
        .void()
        .parse_next(input)
}

/// A part behind its `${`, with its `}`.
fn part(input: &mut &str, depth: usize) -> Parsed<Part> {
    if depth > MOST_NESTED {
        return refuse(input, format!("nested deeper than {MOST_NESTED} parts"));
    }
    let head = delimited(spaces, head, spaces).parse_next(input)?;
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let next: Parsed<&str> = alt(("|", "}")).parse_next(input);
        match next {
            Ok("|") => {
                let before = (steps.last(), &head);
                let step = delimited(
                    spaces,
                    |input: &mut &str| step(input, before, depth),
                    spaces,
                )
                .parse_next(input)?;
                steps.push(step);
            }
            Ok(_) => return Ok(Part { head, steps }),
            Err(_) if steps.is_empty() && input.starts_with('(') => {
                return refuse(input, "a function stands behind |, such as ${status|lower}");
            }
            Err(_) => return expect(input, "| and a function, or }"),
        }
    }
}

fn head(input: &mut &str) -> Parsed<Head> {
    match input.chars().next() {
        Some(c) if c.is_ascii_digit() || c == '-' => number.map(Head::Literal).parse_next(input),
        Some(c) if c == '"' || begins_a_name(c) => {
            let begin = *input;
            let names: Vec<String> = separated(1.., name, ".").parse_next(input)?;
            let word = &begin[..begin.len() - input.len()];
            if WORDS.contains(&word) {
                return json(word, begin).map(Head::Literal);
            }
            if names.len() > MAX_DEPTH {
                return refuse(begin, format!("a path of more than {MAX_DEPTH} names"));
            }
            match Path::of_names(names) {
                Some(path) => Ok(Head::Source(path)),
                None => expect(begin, "the name of an attribute"),
            }
        }
        _ => expect(
            input,
            "the name of an attribute (in quotes if it has other characters than letters, digits, _ and -)",
        ),
    }
}

/// One name of a path.
fn name(input: &mut &str) -> Parsed<String> {
    let begin = *input;
    match input.chars().next() {
        Some('"') => match json_at(input)? {
            Value::S(name) if !name.is_empty() => Ok(name),
            _ => refuse(begin, "an attribute has a name"),
        },
        Some(c) if begins_a_name(c) => take_while(1.., is_of_a_name)
            .map(str::to_owned)
            .parse_next(input),
        _ => expect(
            input,
            "a name (in quotes if it has other characters than letters, digits, _ and -)",
        ),
    }
}

/// A number, as JSON has it.
fn number(input: &mut &str) -> Parsed<Value> {
    let begin = *input;
    let text =
        take_while(1.., |c: char| c.is_ascii_digit() || "+-.eE".contains(c)).parse_next(input)?;
    json(text, begin)
}

/// The value that a text of JSON says; `at` is where it begins.
fn json(text: &str, at: &str) -> Parsed<Value> {
    match Value::from_plain_json(text) {
        Ok(value) => Ok(value),
        Err(_) if at.starts_with(|c: char| c.is_ascii_digit() || c == '-') => refuse(
            at,
            format!("{} is no number that DynamoDB stores", shown(text)),
        ),
        Err(why) => {
            // The place within the JSON would read like a second column.
            let why = why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why);
            refuse(at, printable(why))
        }
    }
}

/// A JSON string, object or array.
fn json_at(input: &mut &str) -> Parsed<Value> {
    let begin = *input;
    let mut values = serde_json::Deserializer::from_str(begin).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(raw)) => {
            let value = json(raw.get(), begin)?;
            *input = &begin[values.byte_offset()..];
            Ok(value)
        }
        _ if begin.starts_with('"') => refuse(
            begin,
            "a text that does not end, or is no JSON string: a quote in it is \\\", a backslash \\\\",
        ),
        _ => refuse(begin, "JSON that does not end, or is none"),
    }
}

/// A call behind its `|`.
fn step(input: &mut &str, before: (Option<&Step>, &Head), depth: usize) -> Parsed<Step> {
    let begin = *input;
    let called = take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_')
        .context("the name of a function")
        .parse_next(input)?;
    let Some(function) = Function::named(called) else {
        let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
        return refuse(
            begin,
            format!(
                "{} is no function; there are {}",
                shown(called),
                names.join(", ")
            ),
        );
    };
    if function.stands_in() {
        let may_lack = match before {
            (Some(step), _) => step.function.may_find_nothing(),
            (None, head) => matches!(head, Head::Source(_)),
        };
        if !may_lack {
            return refuse(
                begin,
                format!(
                    "{called} does nothing here: what stands before it always gives a value or fails; put it right behind the source"
                ),
            );
        }
    }
    spaces(input)?;
    let given: Vec<(usize, Argument)> = match input.starts_with('(') {
        false => Vec::new(),
        true => delimited(
            ("(", spaces),
            separated(
                0..,
                terminated(|input: &mut &str| argument(input, depth), spaces),
                (",", spaces),
            ),
            cut_err(")".context("another argument, or )")),
        )
        .parse_next(input)?,
    };
    if let Err(why) = function.check_number(given.len()) {
        return refuse(begin, why);
    }
    let mut arguments = Vec::with_capacity(given.len());
    for (place, (at, argument)) in given.into_iter().enumerate() {
        if let Argument::Literal(value) = &argument
            && let Err(why) = function.check_argument(place, value)
        {
            return refuse_at(at, why);
        }
        arguments.push(argument);
    }
    Ok(Step {
        function,
        arguments,
    })
}

/// An argument, and the number of bytes from its begin to the end.
fn argument(input: &mut &str, depth: usize) -> Parsed<(usize, Argument)> {
    let begin = *input;
    let argument = match begin.chars().next() {
        Some('$') => {
            cut_err("${".context("${ and the name of an attribute")).parse_next(input)?;
            Argument::Part(part(input, depth + 1)?)
        }
        Some('"' | '{' | '[') => Argument::Literal(json_at(input)?),
        Some(c) if c.is_ascii_digit() || c == '-' => {
            number.map(Argument::Literal).parse_next(input)?
        }
        Some(c) if begins_a_name(c) => {
            let word = take_while(1.., is_of_a_name).parse_next(input)?;
            if !WORDS.contains(&word) {
                return refuse(begin, {
                    let word = shortened(word);
                    format!("an attribute is written ${{{word}}} here, and a text \"{word}\"")
                });
            }
            Argument::Literal(json(word, begin)?)
        }
        _ => return Err(ErrMode::Backtrack(Refusal::from_input(input))),
    };
    Ok((begin.len(), argument))
}
