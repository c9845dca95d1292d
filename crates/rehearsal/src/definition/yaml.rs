//! YAML as JSON, with CloudFormation's short tags in their long form.

use backfill_core::{Error, Result};
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value as Json};

use super::scalar::text_of;

/// Levels of a YAML document; as many as serde_json reads of JSON.
const DEEPEST: usize = 128;

/// A mapping or sequence that is being read.
enum Open {
    Map(Map<String, Json>, Option<String>),
    List(Vec<Json>),
}

impl Open {
    /// Takes what has been read inside: a member of a list, or the name or value of an entry.
    fn take(&mut self, done: Json) -> std::result::Result<(), String> {
        match self {
            Open::List(list) => list.push(done),
            Open::Map(map, key) => match key.take() {
                Some(name) => {
                    if map.insert(name.clone(), done).is_some() {
                        return Err(format!("{name:?} is given twice"));
                    }
                }
                None => *key = Some(text_of(&done).ok_or("expected a name")?),
            },
        }
        Ok(())
    }
}

/// One YAML document as JSON, with CloudFormation's short tags in their long form: `!Ref x` is `{"Ref": "x"}`. Aliases are
/// refused, as by CloudFormation.
///
/// Errors: `InvalidInput`, which names the line.
pub fn read(text: &str) -> Result<Json> {
    let mut open: Vec<(Open, Option<String>)> = Vec::new();
    let mut documents = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Error::invalid("yaml", error))?;
        let at = |why: &str| Error::invalid("yaml", format!("line {}: {why}", span.start.line()));
        if open.len() > DEEPEST {
            return Err(at("nested too deeply"));
        }
        let done = match event {
            Event::Alias(_) => return Err(at("aliases are not supported")),
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = tag.as_deref().and_then(long_form);
                // The argument of a function is text, whatever it looks like.
                let value = if plain && tag.is_none() {
                    plain_scalar(&text)
                } else {
                    Json::String(text.into_owned())
                };
                tagged(tag, value)
            }
            Event::SequenceStart(_, tag) => {
                open.push((Open::List(Vec::new()), tag.as_deref().and_then(long_form)));
                continue;
            }
            Event::MappingStart(_, tag) => {
                let tag = tag.as_deref().and_then(long_form);
                open.push((Open::Map(Map::new(), None), tag));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((Open::List(list), tag)) => tagged(tag, Json::Array(list)),
                Some((Open::Map(map, _), tag)) => tagged(tag, Json::Object(map)),
                None => return Err(at("an end without a beginning")),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
        };
        match open.last_mut() {
            None => documents.push(done),
            Some((parent, _)) => parent.take(done).map_err(|why| at(&why))?,
        }
    }
    match <[Json; 1]>::try_from(documents) {
        Ok([document]) => Ok(document),
        Err(documents) => {
            let why = format!("expected one document, got {}", documents.len());
            Err(Error::invalid("yaml", why))
        }
    }
}

/// The function that a short tag stands for.
fn long_form(tag: &Tag) -> Option<String> {
    (tag.handle == "!").then(|| match tag.suffix.as_str() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    })
}

fn tagged(tag: Option<String>, value: Json) -> Json {
    match tag {
        Some(function) => Json::from_iter([(function, value)]),
        None => value,
    }
}

/// YAML 1.2's core schema, in which N is text. Dates are text, too.
fn plain_scalar(text: &str) -> Json {
    match text {
        "" | "~" | "null" => Json::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        },
    }
}
