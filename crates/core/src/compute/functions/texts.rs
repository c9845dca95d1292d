//! Functions of text. Characters are those of Unicode, not bytes.

use super::call::{Arguments, Bounded, Trouble, expected, plain_digits, text_of};
use super::members::sorted_members;
use crate::Value;
use crate::compute::failure::shown;

type Answer = Result<Value, Trouble>;

pub(super) fn lower(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(Value::S(text_of(value)?.to_lowercase()))
}

pub(super) fn upper(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(Value::S(text_of(value)?.to_uppercase()))
}

pub(super) fn trim(value: &Value, _: &Arguments<'_>) -> Answer {
    Ok(Value::S(text_of(value)?.trim().to_owned()))
}

pub(super) fn pad(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let text = text_of(value)?;
    let width = usize::try_from(arguments.whole(0).unwrap_or(0)).unwrap_or(0);
    let added = width.saturating_sub(text.chars().count());
    let padding = arguments.text(1).unwrap_or(" ").repeat(added);
    Ok(Value::S(match arguments.text(2) {
        Some("right") => format!("{text}{padding}"),
        _ => format!("{padding}{text}"),
    }))
}

pub(super) fn substring(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let text = text_of(value)?;
    let from = arguments.whole(0).unwrap_or(0);
    let skipped = match usize::try_from(from) {
        Ok(from) => from,
        Err(_) => {
            let back = usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX);
            text.chars().count().saturating_sub(back)
        }
    };
    let rest = text.chars().skip(skipped);
    Ok(Value::S(match arguments.whole(1) {
        Some(length) => rest.take(usize::try_from(length).unwrap_or(0)).collect(),
        None => rest.collect(),
    }))
}

pub(super) fn split(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let text = text_of(value)?;
    let parts = || text.split(arguments.text(0).unwrap_or_default());
    let Some(place) = arguments.whole(1) else {
        let parts = parts().map(|part| Value::S(part.to_owned()));
        return Ok(Value::L(parts.collect()));
    };
    let found = match usize::try_from(place) {
        Ok(place) => parts().nth(place),
        Err(_) => {
            let back = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
            let place = parts().count().checked_sub(back);
            place.and_then(|place| parts().nth(place))
        }
    };
    match found {
        Some(part) => Ok(Value::S(part.to_owned())),
        None => Err(Trouble::Nothing(format!(
            "there is no part at {}; the text has {}",
            shown(place),
            shown(parts().count())
        ))),
    }
}

pub(super) fn join(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let separator = arguments.text(0).unwrap_or_default();
    let members = match value {
        Value::L(list) => list.as_slice(),
        set => &sorted_members(set)?.ok_or_else(|| expected("L, SS or NS", set))?,
    };
    let mut joined = Bounded::new();
    for (at, member) in members.iter().enumerate() {
        if at > 0 {
            joined.push(separator)?;
        }
        match member {
            Value::S(text) => joined.push(text)?,
            Value::N(digits) => joined.push(&plain_digits(digits)?)?,
            other => {
                let expected = expected("S or N", other);
                return Err(format!("at {}: {expected}", shown(at)).into());
            }
        }
    }
    Ok(Value::S(joined.into_text()?))
}

pub(super) fn replace(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let from = arguments.text(0).unwrap_or_default();
    let to = arguments.text(1).unwrap_or_default();
    let mut replaced = Bounded::new();
    for (at, part) in text_of(value)?.split(from).enumerate() {
        if at > 0 {
            replaced.push(to)?;
        }
        replaced.push(part)?;
    }
    Ok(Value::S(replaced.into_text()?))
}
