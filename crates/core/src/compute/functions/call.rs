//! What a function says if it gives no value, and how it reads what it is given.

use std::borrow::Cow;

use crate::Value;
use crate::compute::decimal::Decimal;
use crate::compute::failure::shown;

/// Why a function gives no value, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compute) enum Trouble {
    /// It cannot work on what it was given.
    Wrong(String),
    /// What is looked for is not there; `default` may stand in for it.
    Nothing(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::Wrong(why)
    }
}

/// The arguments of one call, each of its kind.
pub(in crate::compute) struct Arguments<'a>(pub(in crate::compute) &'a [Cow<'a, Value>]);

impl Arguments<'_> {
    pub(super) fn value(&self, at: usize) -> Option<&Value> {
        self.0.get(at).map(|value| &**value)
    }

    pub(super) fn text(&self, at: usize) -> Option<&str> {
        match self.value(at) {
            Some(Value::S(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn whole(&self, at: usize) -> Option<i64> {
        match self.value(at) {
            Some(Value::N(digits)) => whole(digits),
            _ => None,
        }
    }

    pub(super) fn number(&self, at: usize) -> Result<Decimal, String> {
        match self.value(at) {
            Some(Value::N(digits)) => read(digits),
            _ => Err("expected a number".into()),
        }
    }
}

/// Reads a whole number.
pub(super) fn whole(digits: &str) -> Option<i64> {
    digits
        .parse()
        .ok()
        .or_else(|| i64::try_from(Decimal::read(digits).ok()?.scaled(0)?).ok())
}

/// Most bytes of a value: no item has more (Quotas in Amazon DynamoDB, Item size).
pub(in crate::compute) const MOST_BYTES: usize = 400 * 1024;

pub(in crate::compute) fn too_large() -> String {
    "the result has more than the 400 KB of an item".into()
}

/// The type of a value, by DynamoDB's name of it.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::S(_) => "S",
        Value::N(_) => "N",
        Value::B(_) => "B",
        Value::Bool(_) => "BOOL",
        Value::Null(_) => "NULL",
        Value::L(_) => "L",
        Value::M(_) => "M",
        Value::Ss(_) => "SS",
        Value::Ns(_) => "NS",
        Value::Bs(_) => "BS",
    }
}

/// Says that a value is of another type, and by what function it becomes one that will do.
pub(in crate::compute) fn expected(what: &str, value: &Value) -> String {
    let hint = match (what, value) {
        ("S", Value::N(_) | Value::Bool(_)) | ("S or N", Value::Bool(_)) => {
            "; |text makes one of it"
        }
        ("N", Value::S(_)) => "; |number makes one of it",
        _ => "",
    };
    format!("expected {what}, got {}{hint}", type_of(value))
}

pub(super) fn text_of(value: &Value) -> Result<&str, String> {
    match value {
        Value::S(text) => Ok(text),
        other => Err(expected("S", other)),
    }
}

pub(super) fn number_of(value: &Value) -> Result<Decimal, String> {
    match value {
        Value::N(digits) => read(digits),
        other => Err(expected("N", other)),
    }
}

/// Reads a number; what is none is shown in a few words.
pub(super) fn read(digits: &str) -> Result<Decimal, String> {
    Decimal::read(digits).map_err(|why| {
        // What it says quotes all of it.
        let is_short = digits.chars().count() <= 40;
        match is_short && !digits.contains(['"', '\\']) {
            true => why,
            false => format!("{} is not a number that DynamoDB stores", shown(digits)),
        }
    })
}

/// Plain digits of a number.
pub(in crate::compute) fn plain_digits(digits: &str) -> Result<String, String> {
    // Most numbers are whole and stand as they are.
    let is_plain = digits.len() <= 38
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.is_empty();
    match is_plain {
        true => Ok(digits.to_owned()),
        false => Ok(read(digits)?.to_string()),
    }
}

/// A text that is put together piece by piece, and never has more than 400 KB.
pub(in crate::compute) struct Bounded(Vec<u8>);

impl Bounded {
    pub(in crate::compute) fn new() -> Bounded {
        Bounded(Vec::with_capacity(64))
    }

    pub(in crate::compute) fn push(&mut self, text: &str) -> Result<(), String> {
        if self.0.len() + text.len() > MOST_BYTES {
            return Err(too_large());
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    pub(in crate::compute) fn into_text(self) -> Result<String, String> {
        String::from_utf8(self.0).map_err(|_| "the result is no text".into())
    }
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(std::io::Error::other(too_large()));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
