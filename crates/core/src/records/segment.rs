//! The record of a segment: how far it has come in one pass. A cursor moves only over acknowledged items.

use serde::{Deserialize, Serialize};

use crate::records::{Counters, Latencies};
use crate::{Key, text};

/// How far a segment has come. Never a bare optional key: "not started" and "exhausted" are not the same
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    /// Scan from the beginning of the segment.
    NotStarted,
    /// Every item up to and including this key is acknowledged: the next ExclusiveStartKey.
    After(Key),
    /// Every item of the segment is acknowledged.
    Exhausted,
}

impl Cursor {
    /// The cursor behind a page that is wholly acknowledged. Only a missing LastEvaluatedKey is the end of the segment,
    /// however empty the page (promise: no-gap).
    pub fn after_page(last_evaluated_key: Option<Key>) -> Cursor {
        match last_evaluated_key {
            Some(key) => Cursor::After(key),
            None => Cursor::Exhausted,
        }
    }

    /// The ExclusiveStartKey of the next page; `None` at the begin of the segment, and if there is no next page.
    pub fn start_key(&self) -> Option<&Key> {
        match self {
            Cursor::After(key) => Some(key),
            Cursor::NotStarted | Cursor::Exhausted => None,
        }
    }
}

/// One segment in one pass of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// The run that it belongs to.
    pub run_id: String,
    /// The pass, from 1.
    pub pass: u32,
    /// The segment's number, from 0.
    pub segment: u32,
    /// The [`RunRecord::revision`](crate::records::RunRecord::revision) on whose behalf it was claimed last.
    pub run_revision: u64,
    /// Grows with each claim; a checkpoint is accepted only from the latest (promise: one-owner).
    pub generation: u64,
    /// How far it has come.
    pub cursor: Cursor,
    /// True if an item of this segment has shown that `U` makes `P` false.
    #[serde(default)]
    pub trial_passed: bool,
    /// What bounded its rate before the last checkpoint, in the words that earlier versions know; see [`SegmentRecord::bound`].
    #[serde(default)]
    pub bound_by: BoundBy,
    /// What it was in words that they do not know; `None` if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_else: Option<BoundBy>,
    /// What the table said when it throttled this segment last; `None` if it never did.
    #[serde(
        default,
        deserialize_with = "text::deserialize_some",
        skip_serializing_if = "Option::is_none"
    )]
    pub throttled_by: Option<String>,
    /// Totals of this segment in this pass.
    pub counters: Counters,
    /// How long its requests took in this pass.
    #[serde(default)]
    pub latency: Latencies,
    /// Items behind the cursor that are in `counters` already: those of pages that were cut off before all of their items were
    /// acknowledged.
    #[serde(default)]
    pub counted_ahead: u64,
    /// When the last checkpoint was made; milliseconds since 1970. 0 if there is none, or an earlier version has made it.
    #[serde(default)]
    pub saved_ms: u64,
    /// The pace that it had found out by then; `None` if the table did not throttle, or an earlier version has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<FoundPace>,
}

/// The rate at which the table lets a segment write, as far as throttling has shown it, for whoever goes on at its place. A pace that
/// is wrong does no harm: it is only where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoundPace {
    /// Write units a second that the table has taken.
    pub rate: f64,
    /// How far it has come back to them since the table throttled: 1 is all the way.
    pub back: f64,
    /// When that was so; milliseconds since 1970.
    pub at_ms: u64,
}

impl SegmentRecord {
    /// That of a segment which nobody has claimed yet.
    pub fn unclaimed(run_id: &str, pass: u32, segment: u32) -> SegmentRecord {
        SegmentRecord {
            run_id: run_id.to_owned(),
            pass,
            segment,
            run_revision: 0,
            generation: 0,
            cursor: Cursor::NotStarted,
            trial_passed: false,
            bound_by: BoundBy::default(),
            bound_else: None,
            throttled_by: None,
            counters: Counters::default(),
            latency: Latencies::default(),
            counted_ahead: 0,
            saved_ms: 0,
            pace: None,
        }
    }

    /// What bounded its rate before the last checkpoint.
    pub fn bound(&self) -> BoundBy {
        self.bound_else.unwrap_or(self.bound_by)
    }

    /// Notes what bounds its rate. A version that does not know the word would not read a record that had it in the place of others.
    pub fn note_bound(&mut self, by: BoundBy) {
        let is_new = matches!(by, BoundBy::Reading | BoundBy::Starting);
        (self.bound_by, self.bound_else) = match is_new {
            true => (BoundBy::None, Some(by)),
            false => (by, None),
        };
    }

    /// Moves items that are rejected no longer to what became of them, by these counters of updated, raced, vanished and
    /// contended items; so many others of the segment are still rejected. What no counter holds, since it was recorded just before a crash or on a
    /// page that was cut off, counts only if it was changed now.
    pub(crate) fn move_rejected(&mut self, became: &Counters, left: u64) {
        let counters = &mut self.counters;
        let mut room = counters.rejected.saturating_sub(left);
        let mut take = |items: u64| {
            let taken = items.min(room);
            room -= taken;
            taken
        };
        let updated = take(became.updated);
        let (raced, vanished) = (take(became.raced), take(became.vanished));
        let contended = take(became.contended);
        let uncounted = became.updated - updated;
        counters.rejected -= updated + raced + vanished + contended;
        *counters += Counters {
            scanned: uncounted,
            matched: uncounted,
            updated: became.updated,
            raced,
            vanished,
            contended,
            ..Counters::default()
        };
        if self.cursor != Cursor::Exhausted {
            self.counted_ahead = self.counted_ahead.saturating_add(uncounted);
        }
    }

    /// Counts the items of pages that were cut off as scanned, too. Earlier versions counted them as matched alone.
    pub(crate) fn count_cut_pages(&mut self) {
        let Counters {
            scanned, matched, ..
        } = self.counters;
        if matched > scanned {
            self.counters.scanned = matched;
            self.counted_ahead = self.counted_ahead.saturating_add(matched - scanned);
        }
    }
}

/// What bounds the rate of a segment at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundBy {
    /// None of the others: neither its requests nor its waits for them take half of its time.
    #[default]
    None,
    /// The operator's budget.
    Budget,
    /// The table throttles.
    Throttled,
    /// The time that a write takes, at the number in flight that is best.
    Latency,
    /// The time that a page takes to be read: one after the other, and there is little to write in them.
    Reading,
    /// It has just begun, and becomes faster as long as the table does not throttle it.
    Starting,
}

impl BoundBy {
    /// The word in JSON and for people.
    pub fn name(self) -> &'static str {
        match self {
            BoundBy::None => "none",
            BoundBy::Budget => "budget",
            BoundBy::Throttled => "throttled",
            BoundBy::Latency => "latency",
            BoundBy::Reading => "reading",
            BoundBy::Starting => "starting",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(counters: Counters) -> SegmentRecord {
        SegmentRecord {
            cursor: Cursor::Exhausted,
            counters,
            ..SegmentRecord::unclaimed("r", 1, 0)
        }
    }

    /// An earlier version reads a record whose bound it has no word for, and takes it for none of those that it knows.
    #[test]
    fn a_bound_has_a_word_that_earlier_versions_know() {
        for (by, known) in [
            (BoundBy::Budget, "budget"),
            (BoundBy::Latency, "latency"),
            (BoundBy::Reading, "none"),
            (BoundBy::Starting, "none"),
            (BoundBy::None, "none"),
        ] {
            let mut record = record(Counters::default());
            record.note_bound(by);
            let json = serde_json::to_value(&record).unwrap();
            assert_eq!(json["bound_by"], known);
            let read: SegmentRecord = serde_json::from_value(json).unwrap();
            assert_eq!(read.bound(), by);
        }
    }

    /// resume: a record without a pace is read, and so is one whose pace says more than this version knows; what there is none of is
    /// not written.
    #[test]
    fn resume_from_records_with_a_pace_and_without() {
        let mut record = record(Counters::default());
        let earlier = serde_json::to_value(&record).unwrap();
        assert!(earlier.get("pace").is_none());
        let read: SegmentRecord = serde_json::from_value(earlier.clone()).unwrap();
        assert_eq!(read, record);
        record.pace = Some(FoundPace {
            rate: 812.5,
            back: 0.25,
            at_ms: 1_800_000_000_000,
        });
        let mut now = serde_json::to_value(&record).unwrap();
        now["pace"]["later"] = 1.into();
        let read: SegmentRecord = serde_json::from_value(now).unwrap();
        assert_eq!(read, record);
        let mut none = earlier;
        none["pace"] = serde_json::Value::Null;
        let read: SegmentRecord = serde_json::from_value(none).unwrap();
        assert_eq!(read.pace, None);
    }

    /// accounting: items that are rejected no longer move to what became of them, each counted one once, and the books balance.
    #[test]
    fn accounting_of_rejected_items_that_are_mended() {
        let became = |updated, raced, vanished, contended| Counters {
            updated,
            raced,
            vanished,
            contended,
            ..Counters::default()
        };
        // Counted before, records: what became of them and how many are left; then (matched, updated, raced, vanished, rejected,
        // contended).
        for (rejected, became, left, then) in [
            (5, became(3, 1, 1, 0), 0, (15, 13, 1, 1, 0, 0)),
            (5, became(2, 0, 0, 0), 3, (15, 12, 0, 0, 3, 0)),
            (5, became(1, 1, 0, 2), 1, (15, 11, 1, 0, 1, 2)),
            // Two records that no counter holds: one was mended when its page was read again, one is changed now.
            (1, became(1, 1, 0, 0), 1, (12, 11, 0, 0, 1, 0)),
            (1, became(2, 1, 0, 1), 0, (12, 12, 0, 0, 0, 0)),
            // A crash came between the books and the removal of the records.
            (0, became(0, 3, 0, 0), 0, (10, 10, 0, 0, 0, 0)),
            (0, became(0, 0, 0, 3), 0, (10, 10, 0, 0, 0, 0)),
        ] {
            let mut record = record(Counters {
                scanned: 20,
                matched: 10 + rejected,
                updated: 10,
                rejected,
                ..Counters::default()
            });
            record.move_rejected(&became, left);
            let c = record.counters;
            assert_eq!(
                (
                    c.matched,
                    c.updated,
                    c.raced,
                    c.vanished,
                    c.rejected,
                    c.contended
                ),
                then,
                "{became:?}, {left}"
            );
            let terms = c.updated + c.raced + c.vanished + c.rejected + c.contended;
            assert_eq!(c.matched, terms);
            assert!(c.matched <= c.scanned);
        }
    }
}
