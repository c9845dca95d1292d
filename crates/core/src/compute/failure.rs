//! Why a value cannot be computed.

use std::fmt;

use super::Path;
use crate::text::printable;

/// Longest part of an item's value in a message, in characters: enough to know it again.
const MOST_SHOWN: usize = 40;

/// Longest path in a message, in characters: an attribute's name may have 64 KB, and a record has no room for it.
const MOST_OF_A_PATH: usize = 200;

/// Why the value of one item cannot be computed. Displayed as a sentence: `number: "abc" is not a number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The function that failed, or `code` and the name of the code; `None` if a source is missing, or if the value as a whole cannot be
    /// stored.
    pub function: Option<String>,
    /// What is wrong, for a person, on one line.
    pub reason: String,
    /// The source that the item lacks, if that is the reason.
    pub missing: Option<Path>,
}

impl Failure {
    pub(crate) fn of(function: &str, reason: impl Into<String>) -> Failure {
        Failure {
            function: Some(function.to_owned()),
            reason: reason.into(),
            missing: None,
        }
    }

    pub(crate) fn of_the_whole(reason: impl Into<String>) -> Failure {
        Failure {
            function: None,
            reason: reason.into(),
            missing: None,
        }
    }

    pub(super) fn missing(path: &Path) -> Failure {
        Failure {
            function: None,
            reason: format!("{} is missing", shortened(&path.to_string())),
            missing: Some(path.clone()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(f, "{function}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Failure {}

/// A path as it may stand in a message: all of most, and the begin of one that is very long.
pub(crate) fn shortened(path: &str) -> String {
    let mut short: String = path.chars().take(MOST_OF_A_PATH).collect();
    if short.len() < path.len() {
        short.push('…');
    }
    short
}

/// A text or a number of an item or of a template as it may stand in a message: in quotes, with none inside, short, on one line.
/// Whatever a reason tells of an item stands so: between quotes it is found and left out if the reason is recorded.
pub(super) fn shown(told: impl fmt::Display) -> String {
    let text = told.to_string();
    let mut short: String = text.chars().take(MOST_SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{}\"", printable(&short.replace('"', "'")))
}
