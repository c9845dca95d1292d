//! What became of the items of a page, and how that is added to the record of its segment.

use crate::records::{Counters, Cursor, Rejected, SegmentRecord};
use crate::{Error, Key};

/// What became of the items of a page.
#[derive(Default)]
pub(super) struct PageResult {
    pub(super) scanned: u64,
    pub(super) next: Option<Key>,
    pub(super) counters: Counters,
    /// True if not every item is acknowledged.
    pub(super) cut: bool,
    pub(super) failure: Option<Error>,
    /// True if an updated item was seen to be pending no longer.
    pub(super) trial_passed: bool,
    /// Items whose update DynamoDB refuses for good, also if the page is `cut`.
    pub(super) rejected: Vec<Rejected>,
}

impl PageResult {
    /// Adds what was done to the record; the cursor moves if neither this page nor one before it was `cut`. What was matched was
    /// scanned, whenever one looks: a page that is cut off counts its acknowledged items, and the others when it is read again.
    pub(super) fn add_to(mut self, record: &mut SegmentRecord, cut: bool) {
        if cut {
            // A rejected item still matches and is tried again with its page: it counts when the page is whole.
            self.counters.matched -= self.counters.rejected;
            self.counters.rejected = 0;
            self.counters.scanned = self.counters.matched;
            record.counted_ahead = record.counted_ahead.saturating_add(self.counters.matched);
        } else {
            // An item that matches again was counted before and counts again, as scanned and as matched.
            let others = self.scanned.saturating_sub(self.counters.matched);
            let ahead = record.counted_ahead.min(others);
            self.counters.scanned = self.scanned - ahead;
            record.cursor = Cursor::after_page(self.next);
            record.counted_ahead = match record.cursor {
                Cursor::Exhausted => 0,
                _ => record.counted_ahead - ahead,
            };
        }
        record.counters += self.counters;
        record.trial_passed |= self.trial_passed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, Value};

    fn record() -> SegmentRecord {
        SegmentRecord::unclaimed("r", 1, 0)
    }

    /// A page of ten items of which so many matched; the end of the segment if it is the last.
    fn page(matched: u64, is_last: bool) -> PageResult {
        let key = Key(Item::from([("id".into(), Value::S("x".into()))]));
        PageResult {
            scanned: 10,
            next: (!is_last).then_some(key),
            counters: Counters {
                matched,
                updated: matched,
                ..Counters::default()
            },
            ..PageResult::default()
        }
    }

    /// accounting: scanned and matched grow together at every page, whole or cut off, and no item is scanned twice.
    #[test]
    fn accounting_of_pages_that_are_cut_off() {
        let mut record = record();
        let mut counts = Vec::new();
        for (page, cut) in [
            (page(7, false), true),
            // Written whole, behind one that was cut off.
            (page(10, false), true),
            // Read again: three are left of one, none of the other.
            (page(3, false), false),
            (page(0, false), false),
            (page(10, true), false),
        ] {
            page.add_to(&mut record, cut);
            let Counters {
                scanned, matched, ..
            } = record.counters;
            assert!(matched <= scanned, "{record:?}");
            counts.push((scanned, matched));
        }
        assert_eq!(counts, [(7, 7), (17, 17), (20, 20), (20, 20), (30, 30)]);
        assert_eq!(record.counted_ahead, 0);
    }

    /// accounting: an item of a cut page that matches once more counts twice, as scanned and as matched.
    #[test]
    fn accounting_of_items_that_match_again() {
        let mut record = record();
        page(10, false).add_to(&mut record, true);
        page(1, false).add_to(&mut record, false);
        assert_eq!((record.counters.scanned, record.counters.matched), (11, 11));
        page(0, true).add_to(&mut record, false);
        assert_eq!((record.counters.scanned, record.counters.matched), (20, 11));
    }

    /// accounting: the record of an earlier version, which counted cut pages as matched alone, is mended when it goes on.
    #[test]
    fn accounting_of_a_record_that_has_matched_more_than_scanned() {
        let mut record = record();
        (record.counters.scanned, record.counters.matched) = (10, 17);
        record.count_cut_pages();
        page(3, true).add_to(&mut record, false);
        assert_eq!((record.counters.scanned, record.counters.matched), (20, 20));
    }
}
