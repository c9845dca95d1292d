//! Long texts in lines of a width, broken between words.

use anstream::adapter::strip_str;
use ratatui::crossterm::terminal;
use ratatui::text::Span;

/// Nothing is broken into lines shorter than this.
const LEAST: usize = 40;

/// The width for lines on an output that is a terminal; `None` if it is none, whose lines stay whole, as programs want them.
pub fn width(is_terminal: bool) -> Option<usize> {
    if !is_terminal {
        return None;
    }
    let (columns, _) = terminal::size().ok()?;
    Some(usize::from(columns).max(LEAST))
}

/// The columns that a text takes, its colours aside.
pub fn columns(text: &str) -> usize {
    Span::raw(strip_str(text).to_string()).width()
}

/// A text in lines of at most this width, if there is one, each broken between words; those that go on begin with so many blanks.
/// A word that is wider stands alone.
pub fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else {
        return text.to_owned();
    };
    let mut lines = Vec::new();
    for whole in text.lines() {
        // What a line begins with stays, as it may be a table's.
        let begin = whole.len() - whole.trim_start().len();
        let mut line = whole[..begin].to_owned();
        let mut is_begun = false;
        for word in whole[begin..].split(' ') {
            if is_begun && columns(&line) + 1 + columns(word) > width && !word.is_empty() {
                lines.push(line.trim_end().to_owned());
                line = " ".repeat(indent);
            } else if is_begun {
                line.push(' ');
            }
            line.push_str(word);
            is_begun = true;
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_go_on_indented() {
        let text = "  cost      0.674 USD per million items, of which writes 0.0248";
        let wrapped = "  cost      0.674 USD per million\n            items, of which writes\n            0.0248";
        assert_eq!(wrap(text, Some(36), 12), wrapped);
        assert_eq!(wrap(text, None, 12), text);
        assert_eq!(wrap(text, Some(200), 12), text);
        // What cannot be broken is left whole, and lines stay apart.
        assert_eq!(
            wrap("a\nxxxxxxxxxxxx y", Some(5), 2),
            "a\nxxxxxxxxxxxx\n  y"
        );
        // Width is that of the screen, not bytes, and colours have none.
        assert_eq!(
            wrap("\x1b[33m!\x1b[0m ab cd", Some(7), 2),
            "\x1b[33m!\x1b[0m ab cd"
        );
        assert_eq!(wrap("ääää ääää", Some(9), 0), "ääää ääää");
    }
}
