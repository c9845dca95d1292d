//! Dates of ISO 8601 and the time since 1970. Years are 0000 to 9999 of the Gregorian calendar, also before it was begun.

use jiff::SignedDuration;
use jiff::civil::{Date, date};

use super::call::{Arguments, Trouble, number_of, text_of};
use crate::Value;
use crate::compute::decimal::Decimal;
use crate::compute::failure::shown;

type Answer = Result<Value, Trouble>;

const NANOS: i128 = 1_000_000_000;
const DAY: i128 = 86_400;

/// Digits behind the second that a date may have.
const MOST_PLACES: u32 = 9;

/// Whether milliseconds are asked for.
fn is_ms(arguments: &Arguments<'_>) -> bool {
    arguments.text(0) == Some("ms")
}

pub(super) fn epoch(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let text = text_of(value)?;
    let nanos = instant(text).map_err(|why| {
        let shown = shown(text);
        match why {
            Wrong::Form => format!(
                "{shown} is no date of ISO 8601; expected one such as 2026-01-31T12:00:00Z, with at most {MOST_PLACES} digits behind \
                 the second"
            ),
            Wrong::LeapSecond => format!("{shown} is a leap second, which the time since 1970 does not count"),
        }
    })?;
    let places = if is_ms(arguments) {
        MOST_PLACES - 3
    } else {
        MOST_PLACES
    };
    Ok(Value::N(Decimal::of_scaled(nanos, places).to_string()))
}

pub(super) fn iso(value: &Value, arguments: &Arguments<'_>) -> Answer {
    let number = number_of(value)?;
    let is_ms = is_ms(arguments);
    let places = if is_ms { MOST_PLACES - 3 } else { MOST_PLACES };
    let beyond = || {
        format!(
            "{} is outside the years 0000 to 9999, or has digits beyond the {MOST_PLACES}th behind the second",
            shown(&number)
        )
    };
    let nanos = number.scaled(places).ok_or_else(beyond)?;
    let (second, nano) = (nanos.div_euclid(NANOS), nanos.rem_euclid(NANOS));
    let day = day_of(second.div_euclid(DAY)).ok_or_else(beyond)?;
    let of_day = second.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let mut text = format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}",
        day.year(),
        day.month(),
        day.day()
    );
    let fraction = format!("{nano:09}");
    let least = if is_ms { 3 } else { 0 };
    let shown = fraction.trim_end_matches('0').len().max(least);
    if shown > 0 {
        text.push('.');
        text.push_str(&fraction[..shown]);
    }
    text.push('Z');
    Ok(Value::S(text))
}

const BEGIN: Date = date(1970, 1, 1);

/// The date so many days after 1970-01-01, if its year has four digits.
fn day_of(days: i128) -> Option<Date> {
    let hours = i64::try_from(days).ok()?.checked_mul(24)?;
    let date = BEGIN
        .checked_add(SignedDuration::try_from_hours(hours)?)
        .ok()?;
    (0..=9999).contains(&date.year()).then_some(date)
}

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    Form,
    LeapSecond,
}

/// Nanoseconds since 1970. The date has dashes or none; a time stands behind T or a space, has seconds or none, and an offset (Z,
/// +01:00, +0100, +01) or none, which is UTC.
fn instant(text: &str) -> Result<i128, Wrong> {
    let mut rest = Rest(text.as_bytes());
    let nanos = read(&mut rest).ok_or(Wrong::Form)?;
    match rest.0.is_empty() {
        true => nanos,
        false => Err(Wrong::Form),
    }
}

/// The date and the time at the begin of the rest; `None` if there is none.
fn read(rest: &mut Rest<'_>) -> Option<Result<i128, Wrong>> {
    let year = i16::try_from(rest.digits(4)?).ok()?;
    let has_dashes = rest.skip(b"-").is_some();
    let month = i8::try_from(rest.digits(2)?).ok()?;
    if has_dashes {
        rest.skip(b"-")?;
    }
    let day = i8::try_from(rest.digits(2)?).ok()?;
    let day = Date::new(year, month, day).ok()?;
    let days = i128::from(day.duration_since(BEGIN).as_hours() / 24);
    let mut nanos = days * DAY * NANOS;
    if rest.0.is_empty() {
        return Some(Ok(nanos));
    }
    rest.skip(b"Tt ")?;
    let hour = rest.digits(2).filter(|hour| *hour < 24)?;
    let has_colons = rest.skip(b":").is_some();
    let minute = rest.digits(2).filter(|minute| *minute < 60)?;
    let has_seconds = match has_colons {
        true => rest.skip(b":").is_some(),
        false => rest.0.first().is_some_and(u8::is_ascii_digit),
    };
    let mut is_leap = false;
    let mut second = 0;
    if has_seconds {
        second = rest.digits(2).filter(|second| *second <= 60)?;
        is_leap = second == 60;
        if rest.skip(b".,").is_some() {
            nanos += rest.fraction()?;
        }
    }
    nanos += i128::from(hour * 3_600 + minute * 60 + second) * NANOS;
    nanos -= i128::from(rest.offset()?) * 60 * NANOS;
    Some(match is_leap {
        true => Err(Wrong::LeapSecond),
        false => Ok(nanos),
    })
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// The next byte, if it is one of these.
    fn skip(&mut self, any_of: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        any_of.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// The number that so many digits say.
    fn digits(&mut self, number: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(number)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(
            digits
                .iter()
                .fold(0, |sum, digit| 10 * sum + u32::from(digit - b'0')),
        )
    }

    /// Nanoseconds of the digits behind the second: one to nine.
    fn fraction(&mut self) -> Option<i128> {
        let places = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let missing = MOST_PLACES.checked_sub(u32::try_from(places).ok()?)?;
        if places == 0 {
            return None;
        }
        Some(i128::from(self.digits(places)?) * 10i128.pow(missing))
    }

    /// Minutes that the local time is ahead of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.skip(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.skip(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2).filter(|hours| *hours < 24)?;
        let has_colon = self.skip(b":").is_some();
        let minutes = match has_colon || !self.0.is_empty() {
            true => self.digits(2).filter(|minutes| *minutes < 60)?,
            false => 0,
        };
        Some(sign * i64::from(hours * 60 + minutes))
    }
}
