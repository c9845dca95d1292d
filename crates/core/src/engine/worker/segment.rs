//! A claimed segment: one write is sent when its turn has come, and what became of the item is noted whatever happens.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;

use super::gate::Gate;
use super::validity::Validity;
use crate::clock::now_ms;
use crate::engine::canary::Quota;
use crate::pace::Pace;
use crate::pace::retry::{Until, retry_until};
use crate::ports::{Batch, Outcome, SegmentStore, TableWriter, Write};
use crate::records::{Counters, Cursor, Rejected, SegmentRecord};
use crate::value::packed::PackedKey;
use crate::{Error, ErrorKind, Item, Key, Result};

/// How long a checkpoint, and before it the records of rejected items, are tried again, also beyond the time box. A
/// caller with a hard end (Lambda) must leave this much time for each between `latest` and that end.
pub const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(10);

/// A segment that is worked on until `until`.
pub(super) struct Segment<'a, R, W, S> {
    pub(super) segment: u32,
    pub(super) total_segments: u32,
    pub(super) reader: R,
    pub(super) writer: W,
    pub(super) pace: Pace<'a>,
    pub(super) until: Until,
    /// True if an item of which a batch said that it was `raced` was tried by an update of its own. Other batches wait for what that
    /// has shown.
    pub(super) has_compared: Mutex<bool>,
    /// How many items it may still update.
    pub(super) quota: &'a Quota,
    pub(super) validity: Validity<'a, S>,
    pub(super) gate: &'a Gate,
}

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

impl<R, W: TableWriter, S: SegmentStore> Segment<'_, R, W, S> {
    /// Sends a write when its turn has come, and again if that may help. `None`: not begun, or not acknowledged
    /// before the time was over.
    pub(super) async fn attempt<T, F, Fut>(&self, items: usize, write: F) -> Result<Option<T>>
    where
        T: Written,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        retry_until(
            &self.until,
            || self.pace.write(items, &self.until),
            async |turn| match write().await {
                Ok(written) => {
                    let (units, throttles) = (written.consumed_wcu(), written.throttles());
                    turn.end_write(units, throttles, written.rejected());
                    Ok(written)
                }
                Err(error) => {
                    turn.failed(&error);
                    Err(error)
                }
            },
        )
        .await
    }

    /// Takes note of one item's result.
    pub(super) fn take(
        &self,
        result: &mut PageResult,
        key: &PackedKey,
        outcome: Result<Option<Outcome>>,
    ) {
        let counters = &mut result.counters;
        match outcome {
            Ok(Some(Outcome::Updated)) => {
                self.validity.note();
                self.quota.note();
                counters.updated += 1;
            }
            Ok(Some(Outcome::Raced)) => counters.raced += 1,
            Ok(Some(Outcome::Vanished)) => counters.vanished += 1,
            Ok(Some(Outcome::Rejected(reason) | Outcome::Unclear(reason))) => {
                tracing::info!(%key, reason, "DynamoDB refuses this item's update for good");
                counters.rejected += 1;
                result.rejected.push(Rejected {
                    segment: self.segment,
                    key: key.to_key(),
                    reason,
                    at_ms: now_ms(),
                });
            }
            Ok(None) => {
                result.cut = true;
                return;
            }
            Err(error) => return self.fail(result, error),
        }
        counters.matched += 1;
    }

    /// Ends the page, and the sweep, before all of its items are written.
    pub(super) fn cut_off(&self, result: &mut PageResult) {
        result.cut = true;
        self.until.stop.cancel();
    }

    /// Ends the page, and the sweep, with an error.
    pub(super) fn fail(&self, result: &mut PageResult, error: Error) {
        result.failure.get_or_insert(error);
        self.cut_off(result);
    }
}

/// An answer to a write.
pub(super) trait Written {
    fn consumed_wcu(&self) -> f64;
    /// How many parts of it the table throttled.
    fn throttles(&self) -> u64;
    /// How many parts of it DynamoDB refuses for good.
    fn rejected(&self) -> u64;
}

/// Whether it tells nothing of what it cost. What the words of a refusal mean is judged later.
fn is_rejected(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected(_) | Outcome::Unclear(_))
}

impl Written for Write {
    fn consumed_wcu(&self) -> f64 {
        self.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        0
    }

    fn rejected(&self) -> u64 {
        is_rejected(&self.outcome).into()
    }
}

impl Written for (Write, Option<Item>) {
    fn consumed_wcu(&self) -> f64 {
        self.0.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        0
    }

    fn rejected(&self) -> u64 {
        self.0.rejected()
    }
}

impl Written for Batch {
    fn consumed_wcu(&self) -> f64 {
        self.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        let throttled = |outcome: &&Result<Outcome>| matches!(outcome, Err(error) if error.kind() == ErrorKind::Throttled);
        self.outcomes.iter().filter(throttled).count() as u64
    }

    fn rejected(&self) -> u64 {
        let rejected = |outcome: &&Result<Outcome>| outcome.as_ref().is_ok_and(is_rejected);
        self.outcomes.iter().filter(rejected).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BoundBy, Latencies};
    use crate::{Item, Value};

    fn record() -> SegmentRecord {
        SegmentRecord {
            run_id: "r".into(),
            pass: 1,
            segment: 0,
            run_revision: 1,
            generation: 1,
            cursor: Cursor::NotStarted,
            trial_passed: true,
            bound_by: BoundBy::None,
            bound_else: None,
            throttled_by: None,
            counters: Counters::default(),
            latency: Latencies::default(),
            counted_ahead: 0,
            saved_ms: 0,
        }
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

    /// budget: what is refused says nothing of what an item costs, in whichever words it is refused.
    #[test]
    fn budget_of_refusals_whatever_their_words() {
        let outcomes = || {
            [
                Outcome::Rejected("too large".into()),
                Outcome::Unclear("odd".into()),
                Outcome::Updated,
                Outcome::Raced,
            ]
        };
        let rejected = outcomes().map(|outcome| {
            let write = Write {
                outcome,
                consumed_wcu: 1.0,
            };
            write.rejected()
        });
        assert_eq!(rejected, [1, 1, 0, 0]);
        let batch = Batch {
            outcomes: outcomes().into_iter().map(Ok).collect(),
            consumed_wcu: 4.0,
        };
        assert_eq!(batch.rejected(), 2);
    }
}
