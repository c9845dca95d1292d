//! The history of a run: what its workers did, by wall time, for a chart.
//!
//! A worker adds what it has checkpointed since its last flush to a bucket of ten seconds, under the shard of its segment. It
//! does so once and never again: a flush that fails is lost, and so is what a worker that died had not flushed yet. So the
//! history may hold less than the segment records, which are the truth, and never more. Verifications are not in it, since the
//! verifier may write nothing but a note of how far it has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::records::Counters;
use crate::records::counters::is_zero;

/// Width of a bucket in milliseconds.
pub const BUCKET_MS: u64 = 10_000;

/// Milliseconds that a flush can look back: no longer than a chunk. A damaged record may say anything.
const LONGEST_LOOK_BACK_MS: f64 = 3_600_000.0;

/// One addition to the history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flush {
    /// When it was flushed; milliseconds since 1970.
    pub at_ms: u64,
    /// Seconds before `at_ms` in which it was done.
    pub seconds: f64,
    /// What was done in that time, by [`Counters::work`].
    pub done: Counters,
}

impl Flush {
    /// The begin of the bucket that it belongs to; milliseconds since 1970.
    pub fn bucket_ms(&self) -> u64 {
        self.at_ms - self.at_ms % BUCKET_MS
    }

    /// Seconds from the begin of its bucket to the flush.
    pub fn offset_seconds(&self) -> f64 {
        (self.at_ms % BUCKET_MS) as f64 / 1000.0
    }
}

/// What was flushed within ten seconds in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct HistoryBucket {
    /// The pass, from 1.
    pub pass: u32,
    /// The begin of the bucket; milliseconds since 1970.
    pub start_ms: u64,
    /// Flushes that were added.
    pub flushes: u64,
    /// Sum of [`Flush::seconds`].
    pub seconds: f64,
    /// Sum of [`Flush::offset_seconds`].
    pub offset_seconds: f64,
    /// Sum of [`Flush::done`].
    pub done: Counters,
}

/// A bucket as it is stored: one level of attributes, to each of which a flush is added. Serde cannot flatten [`Counters`], which
/// refuses fields that it does not know.
#[derive(Serialize, Deserialize)]
struct Stored {
    pass: u32,
    start_ms: u64,
    flushes: u64,
    seconds: f64,
    offset_seconds: f64,
    scanned: u64,
    matched: u64,
    updated: u64,
    raced: u64,
    vanished: u64,
    rejected: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    contended: u64,
    consumed_rcu: f64,
    consumed_wcu: f64,
    throttles: u64,
}

impl From<Stored> for HistoryBucket {
    fn from(stored: Stored) -> Self {
        HistoryBucket {
            pass: stored.pass,
            start_ms: stored.start_ms,
            flushes: stored.flushes,
            seconds: stored.seconds,
            offset_seconds: stored.offset_seconds,
            done: Counters {
                scanned: stored.scanned,
                matched: stored.matched,
                updated: stored.updated,
                raced: stored.raced,
                vanished: stored.vanished,
                rejected: stored.rejected,
                contended: stored.contended,
                consumed_rcu: stored.consumed_rcu,
                consumed_wcu: stored.consumed_wcu,
                throttles: stored.throttles,
                ..Counters::default()
            },
        }
    }
}

impl From<HistoryBucket> for Stored {
    fn from(bucket: HistoryBucket) -> Self {
        // As a pattern, so that a new figure cannot be forgotten here.
        let Counters {
            scanned,
            matched,
            updated,
            raced,
            vanished,
            rejected,
            contended,
            consumed_rcu,
            consumed_wcu,
            throttles,
            // Not in a flush.
            worked_seconds: _,
            checkpoints: _,
        } = bucket.done;
        Stored {
            pass: bucket.pass,
            start_ms: bucket.start_ms,
            flushes: bucket.flushes,
            seconds: bucket.seconds,
            offset_seconds: bucket.offset_seconds,
            scanned,
            matched,
            updated,
            raced,
            vanished,
            rejected,
            contended,
            consumed_rcu,
            consumed_wcu,
            throttles,
        }
    }
}

impl HistoryBucket {
    /// A bucket without flushes.
    pub fn new(pass: u32, start_ms: u64) -> HistoryBucket {
        HistoryBucket {
            pass,
            start_ms,
            flushes: 0,
            seconds: 0.0,
            offset_seconds: 0.0,
            done: Counters::default(),
        }
    }

    /// Adds a flush.
    pub fn add(&mut self, flush: &Flush) {
        self.flushes += 1;
        self.seconds += flush.seconds;
        self.offset_seconds += flush.offset_seconds();
        self.done += flush.done;
    }

    /// Adds another bucket of the same ten seconds.
    fn merge(&mut self, other: &HistoryBucket) {
        // A damaged record may say anything.
        self.flushes = self.flushes.saturating_add(other.flushes);
        self.seconds += other.seconds;
        self.offset_seconds += other.offset_seconds;
        self.done += other.done;
    }

    /// Buckets of one pass that lie in several places as one history: one for each ten seconds, the earliest first.
    pub fn merged(buckets: impl IntoIterator<Item = HistoryBucket>) -> Vec<HistoryBucket> {
        let mut merged = BTreeMap::<u64, HistoryBucket>::new();
        for bucket in buckets {
            merged
                .entry(bucket.start_ms)
                .and_modify(|sum| sum.merge(&bucket))
                .or_insert(bucket);
        }
        merged.into_values().collect()
    }

    /// The begin and the end of the time in which its work was done, by the mean of its flushes; milliseconds since 1970.
    pub(crate) fn span_ms(&self) -> (f64, f64) {
        let flushes = self.flushes.max(1) as f64;
        let offset = (1000.0 * self.offset_seconds / flushes).clamp(0.0, BUCKET_MS as f64);
        let length = (1000.0 * self.seconds / flushes).clamp(1.0, LONGEST_LOOK_BACK_MS);
        // Beyond that a damaged record would not be told to the millisecond.
        let to = (self.start_ms as f64).min(1e15) + offset;
        (to - length, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// accounting: what a bucket holds is stored and read again, merged too; one of an earlier version has no contended items, and
    /// one without any is stored as that version stores it.
    #[test]
    fn accounting_of_the_history_with_contended_items_and_without() {
        let flush = |contended| Flush {
            at_ms: 1_800_000_005_000,
            seconds: 5.0,
            done: Counters {
                scanned: 10,
                matched: 2 + contended,
                updated: 2,
                contended,
                ..Counters::default()
            },
        };
        let mut bucket = HistoryBucket::new(1, 1_800_000_000_000);
        bucket.add(&flush(3));
        let stored = serde_json::to_value(bucket).unwrap();
        assert_eq!(stored["contended"], 3);
        let read: HistoryBucket = serde_json::from_value(stored).unwrap();
        assert_eq!(read, bucket);
        let merged = HistoryBucket::merged([read, bucket]);
        assert_eq!((merged[0].done.matched, merged[0].done.contended), (10, 6));
        let mut none = HistoryBucket::new(1, 1_800_000_000_000);
        none.add(&flush(0));
        let stored = serde_json::to_value(none).unwrap();
        assert!(stored.get("contended").is_none(), "{stored}");
        assert_eq!(
            serde_json::from_value::<HistoryBucket>(stored).unwrap(),
            none
        );
    }
}
