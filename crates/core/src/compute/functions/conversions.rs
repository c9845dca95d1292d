//! Functions that make one type of another, and digests.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::call::{Arguments, Bounded, Trouble, expected, plain_digits, read, text_of, too_large};
use super::members::sorted_members;
use crate::Value;
use crate::compute::failure::shown;
use crate::value::Bytes;

type Answer = Result<Value, Trouble>;

/// What a digest is of.
fn bytes_of(value: &Value) -> Result<Cow<'_, [u8]>, String> {
    Ok(match value {
        Value::S(text) => Cow::Borrowed(text.as_bytes()),
        Value::N(digits) => Cow::Owned(plain_digits(digits)?.into_bytes()),
        Value::B(bytes) => Cow::Borrowed(&bytes.0),
        other => return Err(expected("S, N or B", other)),
    })
}

pub(super) fn sha256(value: &Value, _: &Arguments<'_>) -> Answer {
    let digest = Sha256::digest(bytes_of(value)?);
    Ok(Value::S(digest.iter().fold(
        String::with_capacity(64),
        |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        },
    )))
}

pub(super) fn crc32(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(Value::N(crc32fast::hash(&bytes_of(value)?).to_string()))
}

pub(super) fn shard(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let shards = u32::try_from(arguments.whole(0).unwrap_or(1)).unwrap_or(1);
    let shard = crc32fast::hash(&bytes_of(value)?) % shards.max(1);
    let Some(digits) = arguments.whole(1) else {
        return Ok(Value::N(shard.to_string()));
    };
    let width = usize::try_from(digits).unwrap_or(0);
    let needed = (shards.max(1) - 1).to_string().len();
    if needed > width {
        let [shards, needed, digits] = [shown(shards), shown(needed), shown(digits)];
        return Err(format!("{shards} shards need {needed} digits, not {digits}").into());
    }
    Ok(Value::S(format!("{shard:0width$}")))
}

pub(super) fn number(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(Value::N(match value {
        Value::S(text) => plain_digits(text).map_err(|why| match text.is_empty() {
            true => "an empty text is not a number".to_owned(),
            false => why,
        })?,
        Value::N(digits) => plain_digits(digits)?,
        Value::Bool(is_true) => u8::from(*is_true).to_string(),
        other => return Err(expected("S, N or BOOL", other).into()),
    }))
}

pub(super) fn text(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(Value::S(match value {
        Value::S(text) => text.clone(),
        Value::N(digits) => plain_digits(digits)?,
        Value::Bool(is_true) => is_true.to_string(),
        Value::B(bytes) => match std::str::from_utf8(&bytes.0) {
            Ok(text) => text.to_owned(),
            Err(error) => {
                let byte = shown(error.valid_up_to());
                return Err(format!("byte {byte} is no UTF-8").into());
            }
        },
        other => return Err(expected("S, N, BOOL or B", other).into()),
    }))
}

pub(super) fn bool(value: &Value, _: &Arguments<'_>) -> Answer {
    let digits;
    let word: &str = match value {
        Value::Bool(_) => return Ok(value.clone()),
        Value::S(text) => text,
        Value::N(number) => {
            digits = plain_digits(number)?;
            &digits
        }
        other => return Err(expected("S, N or BOOL", other).into()),
    };
    match (word, value) {
        ("true", Value::S(_)) | ("1", _) => Ok(Value::Bool(true)),
        ("false", Value::S(_)) | ("0", _) => Ok(Value::Bool(false)),
        _ => Err(format!("{} is neither true nor false, nor 1 or 0", shown(word)).into()),
    }
}

pub(super) fn binary(value: &Value, _: &Arguments<'_>) -> Answer {
    match value {
        Value::B(_) => Ok(value.clone()),
        Value::S(text) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::B(Bytes(bytes))),
            Err(_) => Err(format!("{} is no base64", shown(text)).into()),
        },
        other => Err(expected("S", other).into()),
    }
}

pub(super) fn base64(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(Value::S(match value {
        Value::B(bytes) => STANDARD.encode(&bytes.0),
        other => STANDARD.encode(text_of(other).map_err(|_| expected("B or S", other))?),
    }))
}

pub(super) fn json(value: &Value, _: &Arguments<'_>) -> Answer {
    let mut written = Bounded::new();
    serde_json::to_writer(&mut written, &Canonical(value)).map_err(|error| {
        match error.is_io() {
            true => too_large(),
            false => error.to_string(),
        }
    })?;
    Ok(Value::S(written.into_text()?))
}

/// A value as JSON that depends on nothing but what it is worth.
struct Canonical<'a>(&'a Value);

impl Serialize for Canonical<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::S(text) => serializer.serialize_str(text),
            Value::N(digits) => {
                let digits = read(digits).map_err(S::Error::custom)?.to_string();
                let raw = RawValue::from_string(digits).map_err(S::Error::custom)?;
                raw.serialize(serializer)
            }
            Value::B(bytes) => bytes.serialize(serializer),
            Value::Bool(is_true) => serializer.serialize_bool(*is_true),
            Value::Null(_) => serializer.serialize_unit(),
            Value::L(list) => serializer.collect_seq(list.iter().map(Canonical)),
            Value::M(map) => {
                let named = map.iter().map(|(name, value)| (name, Canonical(value)));
                serializer.collect_map(named)
            }
            set => {
                let members = sorted_members(set).map_err(S::Error::custom)?;
                let members = members.unwrap_or_default();
                serializer.collect_seq(members.iter().map(Canonical))
            }
        }
    }
}
