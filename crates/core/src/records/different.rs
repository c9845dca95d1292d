//! Items that have another value than their sources give now, as a verification has counted them.

use serde::{Deserialize, Serialize};

use crate::Key;

/// How many items have another value than their sources give now, of a change that computes values from the items themselves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Different {
    /// Their number.
    pub items: u64,
    /// Up to [`Different::MOST_SAMPLES`] of their keys.
    pub samples: Vec<Key>,
}

impl Different {
    /// Keys that are kept as samples: fewer than of items that remain, since both travel in the state of an execution.
    pub const MOST_SAMPLES: usize = 5;

    /// Keys of them that a sentence names.
    const NAMED: usize = 3;

    /// The count that goes on from `before`, or begins, if the change tells such items. There is none if the verification is `begun`
    /// without it, as by an earlier version: what was read then was not looked at for this.
    pub fn go_on(before: Option<Different>, is_told: bool, begun: bool) -> Option<Different> {
        match before {
            _ if !is_told => None,
            None if begun => None,
            before => Some(before.unwrap_or_default()),
        }
    }

    /// Counts these items.
    pub fn note(&mut self, keys: impl ExactSizeIterator<Item = Key>) {
        self.items = self.items.saturating_add(keys.len() as u64);
        self.keep(keys);
    }

    /// Adds those that were found elsewhere in the table.
    pub fn add(&mut self, other: Different) {
        self.items = self.items.saturating_add(other.items);
        self.keep(other.samples.into_iter());
    }

    fn keep(&mut self, keys: impl Iterator<Item = Key>) {
        let room = Different::MOST_SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(keys.take(room));
    }

    /// How many they are, for a person, with some of their keys: "12 items have another value than their sources give now, such as …".
    pub fn sentence(&self) -> String {
        const THAN: &str = "another value than";
        let named = self.samples.iter().take(Different::NAMED);
        let named: Vec<String> = named.map(Key::to_string).collect();
        let named = |before: &str| match named.is_empty() {
            true => String::new(),
            false => format!("{before}{}", named.join(", ")),
        };
        match self.items {
            0 => format!("no item has {THAN} its sources give now"),
            1 => format!("1 item has {THAN} its sources give now{}", named(": ")),
            items => format!(
                "{items} items have {THAN} their sources give now{}",
                named(", such as ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, Value};

    fn keys(range: std::ops::Range<u32>) -> Vec<Key> {
        let key = |n: u32| Key(Item::from([("id".to_owned(), Value::N(n.to_string()))]));
        range.map(key).collect()
    }

    /// All are counted, and the keys of the first ones kept, however the table was cut.
    #[test]
    fn all_are_counted_and_some_are_named() {
        let mut one = Different::default();
        one.note(keys(0..4).into_iter());
        one.note(keys(4..7).into_iter());
        let mut two = Different::default();
        two.note(keys(7..900).into_iter());
        assert_eq!((two.items, two.samples.len()), (893, 5));
        one.add(two);
        assert_eq!((one.items, &one.samples[..]), (900, &keys(0..5)[..]));
        one.add(Different {
            items: u64::MAX,
            samples: keys(0..1),
        });
        assert_eq!((one.items, one.samples.len()), (u64::MAX, 5));
    }

    #[test]
    fn a_sentence_names_three_at_most() {
        let of = |items, range| {
            let samples = keys(range);
            Different { items, samples }.sentence()
        };
        let [a, b, c] = [0, 1, 2].map(|n| keys(n..n + 1)[0].to_string());
        assert_eq!(
            of(0, 0..0),
            "no item has another value than its sources give now"
        );
        assert_eq!(
            of(1, 0..1),
            format!("1 item has another value than its sources give now: {a}")
        );
        assert_eq!(
            of(12, 0..5),
            format!(
                "12 items have another value than their sources give now, such as {a}, {b}, {c}"
            )
        );
    }

    /// No number is told that not all of the table was read for.
    #[test]
    fn a_count_that_has_begun_without_it_gets_no_number() {
        let none = Some(Different::default());
        assert_eq!(Different::go_on(None, true, false), none);
        assert_eq!(Different::go_on(None, true, true), None);
        assert_eq!(Different::go_on(none.clone(), true, true), none);
        for begun in [false, true] {
            assert_eq!(Different::go_on(None, false, begun), None);
            assert_eq!(Different::go_on(none.clone(), false, begun), None);
        }
    }
}
