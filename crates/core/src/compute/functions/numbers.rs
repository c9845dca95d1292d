//! Functions of numbers. All are exact, and say so if they cannot be.

use super::call::{Arguments, Trouble, number_of};
use crate::Value;
use crate::compute::decimal::{Decimal, Rounding};

type Answer = Result<Value, Trouble>;

fn stored(number: Decimal) -> Answer {
    Ok(Value::N(number.stored()?.to_string()))
}

/// The third argument of `div` and the second of `round`.
fn rounding(word: Option<&str>) -> Rounding {
    Rounding::of_word(word.unwrap_or_default())
}

pub(super) fn add(value: &Value, arguments: &Arguments<'_>) -> Answer {
    stored(number_of(value)?.add(&arguments.number(0)?))
}

pub(super) fn sub(value: &Value, arguments: &Arguments<'_>) -> Answer {
    stored(number_of(value)?.sub(&arguments.number(0)?))
}

pub(super) fn mul(value: &Value, arguments: &Arguments<'_>) -> Answer {
    stored(number_of(value)?.mul(&arguments.number(0)?))
}

pub(super) fn div(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let (number, by) = (number_of(value)?, arguments.number(0)?);
    stored(match arguments.whole(1) {
        Some(places) => number.div_rounded(&by, places, rounding(arguments.text(2)))?,
        None => number.div(&by)?,
    })
}

pub(super) fn modulo(value: &Value, arguments: &Arguments<'_>) -> Answer {
    stored(number_of(value)?.modulo(&arguments.number(0)?)?)
}

pub(super) fn round(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let places = arguments.whole(0).unwrap_or(0);
    stored(number_of(value)?.round(places, rounding(arguments.text(1))))
}

pub(super) fn abs(value: &Value, _: &Arguments<'_>) -> Answer {
    stored(number_of(value)?.abs())
}
