//! The functions of the language: what each is called, takes and means, with an example that a test runs. `docs/COMPUTE.md` shows
//! this table.

mod call;
mod conversions;
mod members;
mod numbers;
mod texts;
mod times;

use super::decimal::Rounding;
use super::failure::shown;
use crate::Value;
use crate::value::size::value_bytes;

use Kind::{Any, Divisor, Map, Number, Text, Whole, Word};
pub(super) use call::{Arguments, Bounded, MOST_BYTES, Trouble, expected, plain_digits, too_large};
use call::{type_of, whole};

/// One function of the language.
#[derive(Debug)]
pub struct Function {
    /// Its name, as it stands behind `|`.
    pub name: &'static str,
    /// What it does, in one line.
    pub meaning: &'static str,
    /// What it does to one item.
    pub example: Example,
    parameters: &'static [Parameter],
    apply: Apply,
}

/// A template, an item in DynamoDB's JSON, and what the template makes of it, in DynamoDB's JSON as well.
#[derive(Debug)]
pub struct Example {
    /// The template.
    pub template: &'static str,
    /// The item: attribute → typed value.
    pub item: &'static str,
    /// The typed value.
    pub result: &'static str,
}

/// What may stand between the parentheses.
#[derive(Debug)]
struct Parameter {
    name: &'static str,
    kind: Kind,
    /// How often it may be left out or given.
    times: Times,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    AtMostOnce,
    /// Once or more; it is the last.
    Often,
}

/// What an argument may be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A text of so many characters.
    Text(usize, usize),
    /// One of these texts.
    Word(&'static [&'static str]),
    /// A whole number within bounds.
    Whole(i64, i64),
    /// A number.
    Number,
    /// A number other than 0.
    Divisor,
    /// A map.
    Map,
    /// Whatever it is.
    Any,
}

#[derive(Debug)]
enum Apply {
    /// To the value before it.
    Always(fn(&Value, &Arguments<'_>) -> Result<Value, Trouble>),
    /// To the value before it; there may be nothing that it finds.
    Perhaps(fn(&Value, &Arguments<'_>) -> Result<Value, Trouble>),
    /// The first of its arguments that is there, if there is nothing before it.
    IfNothing,
}

impl Kind {
    /// Refuses a value of another kind, with what was expected.
    fn check(&self, value: &Value) -> Result<(), String> {
        let (is_right, expected) = match (self, value) {
            (Text(least, most), value) => {
                let expected = match (least, most) {
                    (1, 1) => "one character in quotes",
                    (0, _) => "a text in quotes",
                    _ => "a text in quotes that is not empty",
                };
                let is_right = match value {
                    Value::S(text) => (*least..=*most).contains(&text.chars().count()),
                    _ => false,
                };
                (is_right, expected.to_owned())
            }
            (Word(words), value) => {
                let is_right = matches!(value, Value::S(text) if words.contains(&text.as_str()));
                (is_right, format!("\"{}\"", words.join("\" or \"")))
            }
            (Whole(least, most), value) => {
                let is_right = match value {
                    Value::N(digits) => {
                        whole(digits).is_some_and(|whole| (*least..=*most).contains(&whole))
                    }
                    _ => false,
                };
                (is_right, format!("a whole number from {least} to {most}"))
            }
            (Number, value) => (matches!(value, Value::N(_)), "a number".into()),
            (Divisor, value) => {
                let is_right = matches!(value, Value::N(digits) if whole(digits) != Some(0));
                (is_right, "a number other than 0".into())
            }
            (Map, value) => (
                matches!(value, Value::M(_)),
                "a table such as {\"a\": \"b\"}".into(),
            ),
            (Any, _) => return Ok(()),
        };
        match (is_right, value) {
            (true, _) => Ok(()),
            (false, Value::S(text)) => Err(format!("expected {expected}, got {}", shown(text))),
            (false, Value::N(digits)) => Err(format!(
                "expected {expected}, got the number {}",
                shown(digits)
            )),
            (false, other) => Err(format!("expected {expected}, got {}", type_of(other))),
        }
    }
}

impl Function {
    /// The function of this name.
    pub(super) fn named(name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// How it is written: `pad(width, character[, side])`.
    pub fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        for (at, parameter) in self.parameters.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let name = parameter.name;
            match parameter.times {
                Times::AtMostOnce => usage.push_str(&format!("[{comma}{name}]")),
                Times::Once => usage.push_str(&format!("{comma}{name}")),
                Times::Often => usage.push_str(&format!("{comma}{name}, …")),
            }
        }
        match self.parameters.split_first() {
            None => usage,
            // What may be left out whole is in brackets with its parentheses.
            Some((first, _)) if first.times == Times::AtMostOnce => {
                let inside = usage.split_off(self.name.len());
                let inside = inside.strip_prefix('[').unwrap_or(&inside);
                let inside = inside.strip_suffix(']').unwrap_or(inside);
                format!("{usage}[({inside})]")
            }
            Some(_) => {
                usage.insert(self.name.len(), '(');
                usage.push(')');
                usage
            }
        }
    }

    /// True if it stands in for what is not there.
    pub(super) fn stands_in(&self) -> bool {
        matches!(self.apply, Apply::IfNothing)
    }

    /// True if there may be nothing that it finds.
    pub(super) fn may_find_nothing(&self) -> bool {
        matches!(self.apply, Apply::Perhaps(_) | Apply::IfNothing)
    }

    /// Refuses a wrong number of arguments.
    pub(super) fn check_number(&self, given: usize) -> Result<(), String> {
        let needed = self.parameters.iter();
        let least = needed.filter(|p| p.times != Times::AtMostOnce).count();
        let is_open = self.parameters.iter().any(|p| p.times == Times::Often);
        match given >= least && (is_open || given <= self.parameters.len()) {
            true => Ok(()),
            false => Err(format!("{} is written {}", self.name, self.usage())),
        }
    }

    /// Refuses an argument of another kind than the one that stands at this place.
    pub(super) fn check_argument(&self, at: usize, value: &Value) -> Result<(), String> {
        let parameter = self.parameters.get(at).or(self.parameters.last());
        let Some(Parameter { name, kind, .. }) = parameter else {
            return Ok(());
        };
        kind.check(value).map_err(|why| format!("{name}: {why}"))
    }

    /// What it makes of a value. Every argument is of its kind. What comes has at most 400 KB.
    pub(super) fn apply(&self, value: &Value, arguments: &Arguments<'_>) -> Result<Value, Trouble> {
        let made = match self.apply {
            Apply::Always(apply) | Apply::Perhaps(apply) => apply(value, arguments)?,
            Apply::IfNothing => return Ok(value.clone()),
        };
        if value_bytes(&made) > MOST_BYTES as u64 {
            return Err(too_large().into());
        }
        Ok(made)
    }
}

const fn one(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        times: Times::Once,
    }
}

const fn perhaps(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        times: Times::AtMostOnce,
    }
}

const ANY_TEXT: Kind = Text(0, MOST_BYTES);
const SOME_TEXT: Kind = Text(1, MOST_BYTES);
const PLACE: Kind = Whole(-(MOST_BYTES as i64), MOST_BYTES as i64);
const UNIT: Kind = Word(&["s", "ms"]);
const ROUNDING: Kind = Word(Rounding::WORDS);
/// No number that DynamoDB stores has more places, before or behind the point.
const PLACES: Kind = Whole(-130, 130);

/// All functions, in the order of `docs/COMPUTE.md`.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "lower",
        meaning: "the text in lower case, by Unicode's rules for every language",
        example: Example {
            template: "${status|lower}",
            item: r#"{"status":{"S":"OPEN"}}"#,
            result: r#"{"S":"open"}"#,
        },
        parameters: &[],
        apply: Apply::Always(texts::lower),
    },
    Function {
        name: "upper",
        meaning: "the text in upper case, by Unicode's rules for every language",
        example: Example {
            template: "${country|upper}",
            item: r#"{"country":{"S":"de"}}"#,
            result: r#"{"S":"DE"}"#,
        },
        parameters: &[],
        apply: Apply::Always(texts::upper),
    },
    Function {
        name: "trim",
        meaning: "the text without spaces, tabs and ends of lines before and behind it",
        example: Example {
            template: "${name|trim}",
            item: r#"{"name":{"S":"  Ada "}}"#,
            result: r#"{"S":"Ada"}"#,
        },
        parameters: &[],
        apply: Apply::Always(texts::trim),
    },
    Function {
        name: "pad",
        meaning: "the text with so many characters at least: the character is put before it, or behind it if side is \"right\"",
        example: Example {
            template: "${seq|text|pad(5, \"0\")}",
            item: r#"{"seq":{"N":"42"}}"#,
            result: r#"{"S":"00042"}"#,
        },
        parameters: &[
            one("width", Whole(1, 1_000)),
            one("character", Text(1, 1)),
            perhaps("side", Word(&["left", "right"])),
        ],
        apply: Apply::Always(texts::pad),
    },
    Function {
        name: "substring",
        meaning: "the characters of the text from this one on (0 is the first, -1 the last), at most so many; what is not there is left out",
        example: Example {
            template: "${phone|substring(-4)}",
            item: r#"{"phone":{"S":"+49 151 2345678"}}"#,
            result: r#"{"S":"5678"}"#,
        },
        parameters: &[
            one("from", PLACE),
            perhaps("length", Whole(0, MOST_BYTES as i64)),
        ],
        apply: Apply::Always(texts::substring),
    },
    Function {
        name: "split",
        meaning: "the parts of the text between separators as a list, or the one part at this place (0 is the first, -1 the last)",
        example: Example {
            template: "${name|split(\" \", -1)}",
            item: r#"{"name":{"S":"Ada King Lovelace"}}"#,
            result: r#"{"S":"Lovelace"}"#,
        },
        parameters: &[one("separator", SOME_TEXT), perhaps("place", PLACE)],
        apply: Apply::Perhaps(texts::split),
    },
    Function {
        name: "join",
        meaning: "the texts and numbers of a list or set as one text, with the separator between them; a set is sorted first",
        example: Example {
            template: "${tags|join(\",\")}",
            item: r#"{"tags":{"SS":["red","blue"]}}"#,
            result: r#"{"S":"blue,red"}"#,
        },
        parameters: &[one("separator", ANY_TEXT)],
        apply: Apply::Always(texts::join),
    },
    Function {
        name: "replace",
        meaning: "the text with every occurrence of the one text replaced by the other",
        example: Example {
            template: "${path|replace(\"/\", \"#\")}",
            item: r#"{"path":{"S":"eu/de/berlin"}}"#,
            result: r#"{"S":"eu#de#berlin"}"#,
        },
        parameters: &[one("from", SOME_TEXT), one("to", ANY_TEXT)],
        apply: Apply::Always(texts::replace),
    },
    Function {
        name: "sha256",
        meaning: "the SHA-256 of a text (its UTF-8), number (its plain digits) or binary, as 64 hexadecimal digits",
        example: Example {
            template: "${email|trim|lower|sha256}",
            item: r#"{"email":{"S":"Ada@example.org "}}"#,
            result: r#"{"S":"cfe00dde46ef942601ffafb9e2825e802858b460e586b8305b344c1eb826357d"}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::sha256),
    },
    Function {
        name: "crc32",
        meaning: "the CRC-32 (that of zip and PNG) of a text, number or binary, as a number",
        example: Example {
            template: "${id|crc32}",
            item: r#"{"id":{"S":"123456789"}}"#,
            result: r#"{"N":"3421780262"}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::crc32),
    },
    Function {
        name: "shard",
        meaning: "the CRC-32 modulo the number of shards: a number from 0, or a text of so many digits",
        example: Example {
            template: "${day}#${id|shard(16, 2)}",
            item: r#"{"day":{"S":"2026-01-31"},"id":{"S":"123456789"}}"#,
            result: r#"{"S":"2026-01-31#06"}"#,
        },
        parameters: &[
            one("shards", Whole(1, 1_000_000)),
            perhaps("digits", Whole(1, 10)),
        ],
        apply: Apply::Always(conversions::shard),
    },
    Function {
        name: "epoch",
        meaning: "a date of ISO 8601 as seconds (\"s\") or milliseconds (\"ms\") since 1970, with its fraction; without an offset it is UTC",
        example: Example {
            template: "${expires|epoch|round(0, \"floor\")}",
            item: r#"{"expires":{"S":"2026-01-31T12:00:00.5+01:00"}}"#,
            result: r#"{"N":"1769857200"}"#,
        },
        parameters: &[perhaps("unit", UNIT)],
        apply: Apply::Always(times::epoch),
    },
    Function {
        name: "iso",
        meaning: "seconds or milliseconds since 1970 as a date of ISO 8601 in UTC; of milliseconds it has three digits or more behind the second",
        example: Example {
            template: "${created|iso}",
            item: r#"{"created":{"N":"1769857200"}}"#,
            result: r#"{"S":"2026-01-31T11:00:00Z"}"#,
        },
        parameters: &[perhaps("unit", UNIT)],
        apply: Apply::Always(times::iso),
    },
    Function {
        name: "add",
        meaning: "the sum, exactly",
        example: Example {
            template: "${created|add(86400)}",
            item: r#"{"created":{"N":"1769857200"}}"#,
            result: r#"{"N":"1769943600"}"#,
        },
        parameters: &[one("number", Number)],
        apply: Apply::Always(numbers::add),
    },
    Function {
        name: "sub",
        meaning: "the difference, exactly",
        example: Example {
            template: "${gross|sub(${tax})}",
            item: r#"{"gross":{"N":"11.90"},"tax":{"N":"1.9"}}"#,
            result: r#"{"N":"10"}"#,
        },
        parameters: &[one("number", Number)],
        apply: Apply::Always(numbers::sub),
    },
    Function {
        name: "mul",
        meaning: "the product, exactly",
        example: Example {
            template: "${price|number|mul(${qty})}",
            item: r#"{"price":{"S":"12.50"},"qty":{"N":"3"}}"#,
            result: r#"{"N":"37.5"}"#,
        },
        parameters: &[one("number", Number)],
        apply: Apply::Always(numbers::mul),
    },
    Function {
        name: "div",
        meaning: "the quotient: exactly, and refused if it does not end; or rounded as `round` does",
        example: Example {
            template: "${cents|div(100)}",
            item: r#"{"cents":{"N":"1999"}}"#,
            result: r#"{"N":"19.99"}"#,
        },
        parameters: &[
            one("number", Divisor),
            perhaps("places", PLACES),
            perhaps("how", ROUNDING),
        ],
        apply: Apply::Always(numbers::div),
    },
    Function {
        name: "mod",
        meaning: "what remains of a division that is rounded down; it has the sign of the divisor",
        example: Example {
            template: "${id|mod(10)}",
            item: r#"{"id":{"N":"-7"}}"#,
            result: r#"{"N":"3"}"#,
        },
        parameters: &[one("number", Divisor)],
        apply: Apply::Always(numbers::modulo),
    },
    Function {
        name: "round",
        meaning: "rounded to so many places behind the point: \"half-up\" (away from 0), \"half-even\", \"floor\", \"ceiling\" or \"truncate\"",
        example: Example {
            template: "${score|round(1)}",
            item: r#"{"score":{"N":"2.25"}}"#,
            result: r#"{"N":"2.3"}"#,
        },
        parameters: &[one("places", PLACES), perhaps("how", ROUNDING)],
        apply: Apply::Always(numbers::round),
    },
    Function {
        name: "abs",
        meaning: "the number without its sign",
        example: Example {
            template: "${balance|abs}",
            item: r#"{"balance":{"N":"-12.5"}}"#,
            result: r#"{"N":"12.5"}"#,
        },
        parameters: &[],
        apply: Apply::Always(numbers::abs),
    },
    Function {
        name: "number",
        meaning: "a text as the number that it says; true is 1 and false 0",
        example: Example {
            template: "${price|number}",
            item: r#"{"price":{"S":"0012.50"}}"#,
            result: r#"{"N":"12.5"}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::number),
    },
    Function {
        name: "text",
        meaning: "a number as its plain digits, true and false as words, binary as the UTF-8 that it must be",
        example: Example {
            template: "${zip|text}",
            item: r#"{"zip":{"N":"1.20e3"}}"#,
            result: r#"{"S":"1200"}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::text),
    },
    Function {
        name: "bool",
        meaning: "\"true\" and 1 as true, \"false\" and 0 as false; anything else is refused",
        example: Example {
            template: "${active|bool}",
            item: r#"{"active":{"S":"true"}}"#,
            result: r#"{"BOOL":true}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::bool),
    },
    Function {
        name: "binary",
        meaning: "the binary that a text of base64 says",
        example: Example {
            template: "${blob|binary}",
            item: r#"{"blob":{"S":"AAH/"}}"#,
            result: r#"{"B":"AAH/"}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::binary),
    },
    Function {
        name: "base64",
        meaning: "binary, or the UTF-8 of a text, as a text of base64",
        example: Example {
            template: "${name|base64}",
            item: r#"{"name":{"S":"Ada"}}"#,
            result: r#"{"S":"QWRh"}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::base64),
    },
    Function {
        name: "set",
        meaning: "a list of texts, numbers or binaries as a set, sorted, each once; one of them alone as a set of it",
        example: Example {
            template: "${tags|set}",
            item: r#"{"tags":{"L":[{"S":"red"},{"S":"blue"},{"S":"red"}]}}"#,
            result: r#"{"SS":["blue","red"]}"#,
        },
        parameters: &[],
        apply: Apply::Always(members::set),
    },
    Function {
        name: "list",
        meaning: "a set as a list, sorted; anything else but a list as a list of it",
        example: Example {
            template: "${sizes|list}",
            item: r#"{"sizes":{"NS":["10","9.5"]}}"#,
            result: r#"{"L":[{"N":"9.5"},{"N":"10"}]}"#,
        },
        parameters: &[],
        apply: Apply::Always(members::list),
    },
    Function {
        name: "json",
        meaning: "any value as plain JSON: names and sets sorted, every digit kept, sets as arrays, binary as base64",
        example: Example {
            template: "${address|json}",
            item: r#"{"address":{"M":{"zip":{"N":"10115.0"},"city":{"S":"Berlin"}}}}"#,
            result: r#"{"S":"{\"city\":\"Berlin\",\"zip\":10115}"}"#,
        },
        parameters: &[],
        apply: Apply::Always(conversions::json),
    },
    Function {
        name: "lookup",
        meaning: "what the table has for the text, number or truth value; if nothing, the second argument",
        example: Example {
            template: "${status|lookup({\"O\": \"open\", \"C\": \"closed\"}, \"other\")}",
            item: r#"{"status":{"S":"C"}}"#,
            result: r#"{"S":"closed"}"#,
        },
        parameters: &[one("table", Map), perhaps("otherwise", Any)],
        apply: Apply::Perhaps(members::lookup),
    },
    Function {
        name: "default",
        meaning: "this value if what stands right before it is not there",
        example: Example {
            template: "${currency|default(\"EUR\")}",
            item: r#"{"id":{"S":"a"}}"#,
            result: r#"{"S":"EUR"}"#,
        },
        parameters: &[one("value", Any)],
        apply: Apply::IfNothing,
    },
    Function {
        name: "coalesce",
        meaning: "the first of these values that is there, if what stands right before it is not",
        example: Example {
            template: "${nickname|coalesce(${name}, ${email}, \"unknown\")}",
            item: r#"{"email":{"S":"ada@example.org"}}"#,
            result: r#"{"S":"ada@example.org"}"#,
        },
        parameters: &[Parameter {
            name: "value",
            kind: Any,
            times: Times::Often,
        }],
        apply: Apply::IfNothing,
    },
    Function {
        name: "size",
        meaning: "how many characters a text, bytes a binary, or members a list, map or set has",
        example: Example {
            template: "${tags|size}",
            item: r#"{"tags":{"SS":["red","blue"]}}"#,
            result: r#"{"N":"2"}"#,
        },
        parameters: &[],
        apply: Apply::Always(members::size),
    },
    Function {
        name: "at",
        meaning: "the member of a list at this place (0 is the first, -1 the last)",
        example: Example {
            template: "${phones|at(0)}",
            item: r#"{"phones":{"L":[{"S":"030"},{"S":"089"}]}}"#,
            result: r#"{"S":"030"}"#,
        },
        parameters: &[one("place", PLACE)],
        apply: Apply::Perhaps(members::at),
    },
    Function {
        name: "key",
        meaning: "what a map has under this name, which may itself be computed",
        example: Example {
            template: "${titles|key(${lang})}",
            item: r#"{"titles":{"M":{"de":{"S":"Haus"},"en":{"S":"house"}}},"lang":{"S":"de"}}"#,
            result: r#"{"S":"Haus"}"#,
        },
        parameters: &[one("name", ANY_TEXT)],
        apply: Apply::Perhaps(members::key),
    },
];
