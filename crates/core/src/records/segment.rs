//! The record of a segment: how far it has come in one pass. A cursor moves only over acknowledged items.

use serde::{Deserialize, Serialize};

use crate::Key;
use crate::records::Counters;

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
    /// What bounded its rate before the last checkpoint.
    #[serde(default)]
    pub bound_by: BoundBy,
    /// What the table said when it throttled this segment last; `None` if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_by: Option<String>,
    /// Totals of this segment in this pass.
    pub counters: Counters,
    /// Items behind the cursor that are in `counters` already: those of pages that were cut off before all of their items were
    /// acknowledged.
    #[serde(default)]
    pub counted_ahead: u64,
    /// When the last checkpoint was made; milliseconds since 1970. 0 if there is none, or an earlier version has made it.
    #[serde(default)]
    pub saved_ms: u64,
}

impl SegmentRecord {
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
    /// None of the others: it reads on and finds little to write.
    #[default]
    None,
    /// The operator's budget.
    Budget,
    /// The table throttles.
    Throttled,
    /// The time that a request takes, at the number in flight that is best.
    Latency,
}

impl BoundBy {
    /// The word in JSON and for people.
    pub fn name(self) -> &'static str {
        match self {
            BoundBy::None => "none",
            BoundBy::Budget => "budget",
            BoundBy::Throttled => "throttled",
            BoundBy::Latency => "latency",
        }
    }
}
