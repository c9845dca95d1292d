//! An attribute as an example of a plan shows it.

use backfill_core::value::PlainItem;
use backfill_core::{Item, Value, printable};

/// Longest value that is shown of the example's attributes.
pub const LONGEST_VALUE: usize = 60;

/// An attribute and its value as plain JSON on one line, shortened.
pub fn entry(name: &str, value: &Value) -> String {
    let item = Item::from([(name.to_owned(), value.clone())]);
    let json = serde_json::to_string(&PlainItem(&item)).expect("items are plain data");
    // Without the braces of the object.
    let mut text = json[1..json.len() - 1].to_owned();
    if text.chars().count() > LONGEST_VALUE {
        text = text.chars().take(LONGEST_VALUE).chain(['…']).collect();
    }
    printable(&text)
}
