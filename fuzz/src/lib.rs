//! What the fuzz targets share: a second opinion, written without a look at the code that it judges.

pub mod json;
pub mod scenario;

/// Checks that a refusal is one sentence that a person can read on a terminal and in a log line.
pub fn assert_is_a_clear_sentence(refusal: &str) {
    assert!(!refusal.trim().is_empty(), "an empty refusal");
    assert!(
        !refusal.chars().any(char::is_control),
        "control characters in a refusal: {refusal:?}"
    );
    assert!(
        refusal.chars().count() <= 2_100,
        "a refusal of {} characters",
        refusal.chars().count()
    );
}

/// The placeholders of an expression, each with its sigil.
pub fn placeholders(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    let keep = |current: Option<String>, found: &mut Vec<String>| {
        found.extend(current.filter(|word| word.len() > 1));
    };
    for c in expression.chars() {
        match (&mut current, c) {
            (_, '#' | ':') => keep(current.replace(c.to_string()), &mut found),
            (Some(word), 'a'..='z' | 'A'..='Z' | '0'..='9' | '_') => word.push(c),
            _ => keep(current.take(), &mut found),
        }
    }
    keep(current, &mut found);
    found
}

/// Whether the parenthesis at this byte is closed by the very last character of the text, and not before.
pub fn encloses_the_rest(text: &str, open: usize) -> bool {
    let mut depth = 0usize;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return c == ')' && at + 1 == text.len();
        }
    }
    false
}
