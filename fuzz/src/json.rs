//! A second opinion on JSON text, without a parser of the code under test.

use serde_json::Value;

/// The numbers of a valid JSON text as they are written, sorted.
pub fn numbers(json: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => rest
                .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        if matches!(first, '-' | '0'..='9') {
            found.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    found.sort_unstable();
    found
}

/// Whether some object of a valid JSON text has the same key twice.
pub fn has_repeated_keys(json: &str) -> bool {
    let mut open: Vec<Vec<String>> = Vec::new();
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '{' | '[' => open.push(Vec::new()),
            '}' | ']' => {
                open.pop();
            }
            '"' => {
                length = string_length(rest);
                let is_key = rest[length..].trim_start().starts_with(':');
                let text = serde_json::from_str::<String>(&rest[..length]);
                if let (true, Ok(key), Some(keys)) = (is_key, text, open.last_mut()) {
                    if keys.contains(&key) {
                        return true;
                    }
                    keys.push(key);
                }
            }
            _ => {}
        }
        rest = &rest[length..];
    }
    false
}

/// The length of the string literal that the text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether two are equal but for the last digits of a floating point number: those are measurements.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs().max(b.abs()) * 1e-12
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}
