//! Values in plain and in typed JSON: every digit is kept, and what DynamoDB cannot store is refused. A packed key is the key.
#![no_main]

use std::collections::BTreeSet;

use backfill_core::value::packed::PackedKey;
use backfill_core::{Error, Key, Value};
use backfill_fuzz::{assert_is_a_clear_sentence, json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Value::from_plain_json(text) {
        Ok(value) => {
            assert!(!json::has_repeated_keys(text), "something is said twice");
            let mut kept = Vec::new();
            numbers(&value, &mut kept);
            kept.sort_unstable();
            assert_eq!(kept, json::numbers(text), "every number as it was written");
            check_stored(&value);
        }
        Err(refusal) => assert_is_refused(&refusal),
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        match value.check() {
            Ok(()) => {
                assert!(!json::has_repeated_keys(text), "something is said twice");
                check_stored(&value);
            }
            Err(refusal) => assert_is_refused(&refusal),
        }
    }
    if let Ok(packed) = serde_json::from_str::<PackedKey>(text)
        && !json::has_repeated_keys(text)
    {
        let key: Key = serde_json::from_str(text).unwrap();
        assert_eq!(packed.to_key(), key);
        assert_eq!(packed, PackedKey::from(&key));
        let typed = serde_json::to_string(&packed).unwrap();
        assert_eq!(typed, serde_json::to_string(&key).unwrap());
    }
});

/// Checks a refusal as whoever reads a value shows it, with the place at which the value stands.
fn assert_is_refused(refusal: &str) {
    assert_is_a_clear_sentence(&Error::invalid("values.:v", refusal).report());
}

/// Checks that what was accepted goes through typed JSON unchanged, and that DynamoDB can store it.
fn check_stored(value: &Value) {
    value.check().unwrap();
    let typed = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<Value>(&typed).unwrap(), value);
    check_numbers(value);
}

fn numbers<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::N(number) => found.push(number),
        Value::L(list) => list.iter().for_each(|value| numbers(value, found)),
        Value::M(map) => map.values().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

fn check_numbers(value: &Value) {
    match value {
        Value::N(number) => {
            canonical(number);
        }
        Value::Ns(set) => {
            let distinct: BTreeSet<_> = set.iter().map(|number| canonical(number)).collect();
            assert_eq!(
                distinct.len(),
                set.len(),
                "a set with the same number twice"
            );
        }
        Value::L(list) => list.iter().for_each(check_numbers),
        Value::M(map) => map.values().for_each(check_numbers),
        _ => {}
    }
}

/// Sign, significant digits and the power of ten of the last of them: equal for equal numbers. Panics if DynamoDB
/// cannot store it.
fn canonical(number: &str) -> (bool, String, i64) {
    let lower = number.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let mut exponent: i64 = exponent.parse().expect("an exponent");
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let mut digits = String::new();
    let mut points = 0;
    for c in mantissa.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '.' => points += 1,
            _ => panic!("{number:?} is not a number"),
        }
        if points == 1 && c != '.' {
            exponent = exponent.saturating_sub(1);
        }
    }
    assert!(
        points <= 1 && !digits.is_empty(),
        "{number:?} is not a number"
    );
    while digits.ends_with('0') {
        digits.pop();
        exponent = exponent.saturating_add(1);
    }
    let digits = digits.trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return (false, digits, 0);
    }
    assert!(digits.len() <= 38, "{number} has too many digits");
    let first = exponent.saturating_add(digits.len() as i64 - 1);
    assert!((-130..=125).contains(&first), "{number} is out of range");
    (negative, digits, exponent)
}
