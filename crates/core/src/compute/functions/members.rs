//! Functions of lists, maps and sets.

use super::call::{Arguments, Trouble, expected, plain_digits, read};
use crate::Value;
use crate::compute::decimal::Decimal;
use crate::compute::failure::shown;
use crate::value::Bytes;

type Answer = Result<Value, Trouble>;

/// The members of a set in an order that depends on nothing but them: texts and binaries by their bytes, numbers by worth and with
/// plain digits. `None` for what is no set.
pub(super) fn sorted_members(value: &Value) -> Result<Option<Vec<Value>>, String> {
    Ok(Some(match value {
        Value::Ss(set) => sorted(set).map(Value::S).collect(),
        Value::Bs(set) => sorted(set).map(Value::B).collect(),
        Value::Ns(set) => sorted_numbers(set.iter())?
            .map(|number| Value::N(number.to_string()))
            .collect(),
        _ => return Ok(None),
    }))
}

fn sorted<T: Ord + Clone>(members: &[T]) -> impl Iterator<Item = T> {
    let mut members = members.to_vec();
    members.sort_unstable();
    members.into_iter()
}

fn sorted_numbers<'a>(
    members: impl Iterator<Item = &'a String>,
) -> Result<impl Iterator<Item = Decimal>, String> {
    let mut numbers = members
        .map(|digits| read(digits))
        .collect::<Result<Vec<_>, _>>()?;
    numbers.sort_by(Decimal::compare);
    Ok(numbers.into_iter())
}

pub(super) fn set(value: &Value, _: &Arguments<'_>) -> Answer {
    let members = match value {
        Value::Ss(_) | Value::Ns(_) | Value::Bs(_) => {
            return set_of(&sorted_members(value)?.unwrap_or_default());
        }
        Value::L(list) => list.as_slice(),
        Value::S(_) | Value::N(_) | Value::B(_) => std::slice::from_ref(value),
        other => return Err(expected("L, S, N or B", other).into()),
    };
    set_of(members)
}

/// A set of these members, each once.
fn set_of(members: &[Value]) -> Answer {
    let wrong = |at: usize, what: &str, other: &Value| -> Trouble {
        format!("at {}: {}", shown(at), expected(what, other)).into()
    };
    match members.first() {
        None => Err("a set may not be empty".to_owned().into()),
        Some(Value::S(_)) => {
            let mut texts: Vec<String> = Vec::with_capacity(members.len());
            for (at, member) in members.iter().enumerate() {
                match member {
                    Value::S(text) => texts.push(text.clone()),
                    other => return Err(wrong(at, "S", other)),
                }
            }
            texts.sort_unstable();
            texts.dedup();
            Ok(Value::Ss(texts))
        }
        Some(Value::N(_)) => {
            let mut numbers: Vec<&String> = Vec::with_capacity(members.len());
            for (at, member) in members.iter().enumerate() {
                match member {
                    Value::N(digits) => numbers.push(digits),
                    other => return Err(wrong(at, "N", other)),
                }
            }
            let mut numbers: Vec<Decimal> = sorted_numbers(numbers.into_iter())?.collect();
            numbers.dedup();
            Ok(Value::Ns(numbers.iter().map(Decimal::to_string).collect()))
        }
        Some(Value::B(_)) => {
            let mut blobs: Vec<Bytes> = Vec::with_capacity(members.len());
            for (at, member) in members.iter().enumerate() {
                match member {
                    Value::B(bytes) => blobs.push(bytes.clone()),
                    other => return Err(wrong(at, "B", other)),
                }
            }
            blobs.sort_unstable();
            blobs.dedup();
            Ok(Value::Bs(blobs))
        }
        Some(other) => Err(wrong(0, "S, N or B", other)),
    }
}

pub(super) fn list(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(match value {
        Value::L(_) => value.clone(),
        other => Value::L(sorted_members(other)?.unwrap_or_else(|| vec![other.clone()])),
    })
}

pub(super) fn at(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let Value::L(list) = value else {
        let hint = match value {
            Value::Ss(_) | Value::Ns(_) | Value::Bs(_) => "; |list makes one of it",
            _ => "",
        };
        return Err(format!("{}{hint}", expected("L", value)).into());
    };
    let place = arguments.whole(0).unwrap_or(0);
    let counted = match usize::try_from(place) {
        Ok(place) => Some(place),
        Err(_) => {
            let back = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
            list.len().checked_sub(back)
        }
    };
    match counted.and_then(|at| list.get(at)) {
        Some(member) => Ok(member.clone()),
        None => Err(Trouble::Nothing(format!(
            "there is no member at {}; the list has {}",
            shown(place),
            shown(list.len())
        ))),
    }
}

pub(super) fn key(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let Value::M(map) = value else {
        return Err(expected("M", value).into());
    };
    let name = arguments.text(0).unwrap_or_default();
    map.get(name)
        .cloned()
        .ok_or_else(|| Trouble::Nothing(format!("the map has no {}", shown(name))))
}

pub(super) fn lookup(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let digits;
    let wanted = match value {
        Value::S(text) => text,
        Value::N(number) => {
            digits = plain_digits(number)?;
            &digits
        }
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        other => return Err(expected("S, N or BOOL", other).into()),
    };
    let found = match arguments.value(0) {
        Some(Value::M(table)) => table.get(wanted),
        _ => None,
    };
    found
        .or(arguments.value(1))
        .cloned()
        .ok_or_else(|| Trouble::Nothing(format!("it has nothing for {}", shown(wanted))))
}

pub(super) fn size(value: &Value, _: &Arguments<'_>) -> Answer {
    let size = match value {
        Value::S(text) => text.chars().count(),
        Value::B(bytes) => bytes.0.len(),
        Value::L(list) => list.len(),
        Value::M(map) => map.len(),
        Value::Ss(set) | Value::Ns(set) => set.len(),
        Value::Bs(set) => set.len(),
        other => return Err(expected("S, B, L, M or a set", other).into()),
    };
    Ok(Value::N(size.to_string()))
}
