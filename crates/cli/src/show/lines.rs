//! Long texts in lines of a width, broken between words.

use anstream::adapter::strip_str;
use crossterm::terminal;
use ratatui::text::Span;

/// What a labelled line of a summary or a plan begins with.
const LABEL: usize = 12;

/// Nothing is broken into lines shorter than this.
pub const LEAST: usize = 40;

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

/// Texts for people in lines of at most this width, if there is one: what goes on stands under what it goes on with. A command to be
/// typed stays whole, so that it can be copied.
pub fn shaped(text: &str, width: Option<usize>) -> String {
    let shaped = text.lines().map(|line| {
        let plain = strip_str(line).to_string();
        let has_flags = plain.contains(" --");
        if has_flags && ["aws ", "backfill "].iter().any(|of| plain.contains(of)) {
            return line.to_owned();
        }
        let begin = plain.len() - plain.trim_start().len();
        let is_labelled = begin == 2
            && plain.is_char_boundary(LABEL)
            && plain[..LABEL].ends_with(' ')
            && !plain[LABEL..].starts_with(' ');
        let indent = match begin {
            _ if is_labelled => LABEL,
            LABEL => LABEL,
            begin => begin + 2,
        };
        wrap(line, width, indent)
    });
    shaped.collect::<Vec<_>>().join("\n")
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

    #[test]
    fn a_summary_goes_on_behind_its_labels_and_commands_stay_whole() {
        let text = "run r: done\n  because   one two three\n            four five six\nnote: one two three four\n  \
                    to go on: backfill resume --run-id r";
        let shown = "run r: done\n  because   one two\n            three\n            four five\n            six\nnote: one two three\n  \
                     four\n  to go on: backfill resume --run-id r";
        assert_eq!(shaped(text, Some(21)), shown);
        assert_eq!(shaped(text, None), text);
        assert_eq!(shaped("", Some(21)), "");
        assert_eq!(shaped("  ö", Some(21)), "  ö");
    }
}
