//! Foreign text as it may be shown to people: nothing in it moves a cursor, turns the direction of writing, or is not seen. And how a
//! text is known again.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize as _, Deserializer};
use sha2::{Digest as _, Sha256};

/// Longest part of a message that comes from the input, in characters.
pub(crate) const MAX_SHOWN: usize = 1_000;

/// Whether a character is seen as itself: no control character, none that turns the direction of writing, none without a width,
/// and no end of a line.
pub fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Letters that show nothing, and a mark that only joins.
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => false,
        '\u{2028}' | '\u{2029}' => false,
        _ if c.is_control() => false,
        // Spaces of several widths. Rust escapes them.
        _ if c.is_whitespace() => true,
        // The standard library has the table of what can be printed: marks behind a letter can, format characters cannot.
        _ => {
            let mut bytes = [b'a'; 5];
            let length = c.encode_utf8(&mut bytes[1..]).len();
            std::str::from_utf8(&bytes[..=length])
                .is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
        }
    }
}

/// The text with every character that is not seen as itself as `\u{…}`; ends of lines stay. For a text that may have several
/// lines of ours.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || is_plain(c))
}

/// The text on one line, with every character that is not seen as itself escaped, as [`printable`] has it, but whole.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_plain)
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&stays) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match stays(c) {
            true => shown.push(c),
            false => push_escaped(&mut shown, c),
        }
    }
    Cow::Owned(shown)
}

fn push_escaped(shown: &mut String, c: char) {
    match c {
        '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
        _ => shown.extend(c.escape_unicode()),
    }
}

/// Reads a text that only people read, such as the reason of something: what anybody has written into a record is on one line from
/// then on, and obeyed by no terminal.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(one_line(&String::deserialize(deserializer)?).into_owned())
}

/// [`deserialize`], if there is a text.
pub fn deserialize_some<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| one_line(&text).into_owned()))
}

/// Foreign text as it may stand in a message: short, on one line, and with every character that is not seen as itself escaped, so
/// that no input can write lines of its own into a log, move the cursor of a terminal or show itself as another.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    let mut length = 0;
    for c in text.chars() {
        let before = shown.len();
        match is_plain(c) {
            true => shown.push(c),
            false => push_escaped(&mut shown, c),
        }
        length += shown[before..].chars().count();
        if length > MAX_SHOWN {
            shown.truncate(before);
            shown.push('…');
            break;
        }
    }
    shown
}

/// JSON in which every character of a string that is not seen as itself is escaped as JSON escapes it. It means the same.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    // Between its tokens JSON has no character that this would change, but for ends of lines.
    if json.chars().all(|c| c == '\n' || is_plain(c)) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if c == '\n' || is_plain(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // A String takes all that is written to it.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    Cow::Owned(shown)
}

/// The SHA-256 of a text, as 64 hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a terminal obeys, that turns the direction of writing, or that is not seen.
    #[test]
    fn what_is_not_seen_as_itself_is_escaped() {
        let hostile = [
            '\0'..='\u{9}',
            '\u{b}'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{ad}'..='\u{ad}',
            '\u{34f}'..='\u{34f}',
            '\u{61c}'..='\u{61c}',
            '\u{115f}'..='\u{1160}',
            '\u{180e}'..='\u{180e}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{3164}'..='\u{3164}',
            '\u{e000}'..='\u{e001}',
            '\u{feff}'..='\u{feff}',
            '\u{ffa0}'..='\u{ffa0}',
            '\u{fff9}'..='\u{fffb}',
            '\u{e0001}'..='\u{e007f}',
        ];
        for c in hostile.into_iter().flatten() {
            let text = format!("a{c}b");
            let escaped = format!("a\\u{{{:x}}}b", c as u32);
            if !matches!(c, '\t' | '\r') {
                assert_eq!(visible(&text), escaped, "{:x}", c as u32);
            }
            assert_eq!(one_line(&text), visible(&text));
            assert_eq!(printable(&text), visible(&text));
            let json = serde_json::to_string(&text).unwrap();
            let shown = visible_json(&json);
            assert!(shown.chars().all(is_plain), "{shown:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "",
            "orders 12,345 … █░ \"{\\}\" '",
            "Ünïcödé e\u{301} 10\u{a0}€ हिन्दी",
            "東京\u{3000}太郎 عربى 👍🏽 ❤\u{fe0f}",
            "two\nlines",
        ] {
            assert_eq!(visible(text), text);
            assert_eq!(printable(text), text.replace('\n', "\\n"));
            assert_eq!(one_line(text), printable(text));
        }
        assert_eq!(printable("a\tb\r"), "a\\tb\\r");
        let long = "é".repeat(2 * MAX_SHOWN);
        assert_eq!(printable(&long).chars().count(), MAX_SHOWN + 1);
    }
}
