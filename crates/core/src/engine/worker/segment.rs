//! A claimed segment: one write is sent when its turn has come, and what became of the item is noted whatever happens.

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;

use super::gate::Gate;
use super::result::PageResult;
use super::validity::Validity;
use crate::change::{Seen, SharedChange};
use crate::clock::now_ms;
use crate::engine::canary::Quota;
use crate::pace::retry::{Until, retry_until};
use crate::pace::{Pace, Turn};
use crate::ports::{Batch, Outcome, SegmentStore, TableWriter, Write};
use crate::records::Rejected;
use crate::value::packed::PackedKey;
use crate::{Error, ErrorKind, Item, Result};

/// How long a checkpoint, and before it the records of rejected items, are tried again, also beyond the time box. A
/// caller with a hard end (Lambda) must leave this much time for each between `latest` and that end.
pub const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(10);

/// How often an update is made once more from an item that has moved.
const MADE_AGAIN: u32 = 3;

/// A segment that is worked on until `until`.
pub(super) struct Segment<'a, R, W, S> {
    pub(super) segment: u32,
    pub(super) total_segments: u32,
    pub(super) change: SharedChange,
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
                    end(turn, items, &written);
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
            // What has moved is tried again before it comes here.
            Ok(Some(Outcome::Contended | Outcome::Moved(_))) => counters.contended += 1,
            Ok(Some(
                Outcome::Unmade(reason) | Outcome::Rejected(reason) | Outcome::Unclear(reason),
            )) => {
                let (table, segment) = (self.change.table(), self.segment);
                tracing::info!(table, segment, %key, reason, "this item's update is refused for good");
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

/// Sends the update of an item, and once more from what has become of it if it has moved, three times at most: then it is contended.
/// Of these so many are over: it was `made_again` by whoever sent it before. What each has cost is added to `consumed_wcu`, whatever
/// comes of the next.
pub(crate) async fn until_it_rests<T>(
    item: &Seen,
    made_again: u32,
    consumed_wcu: &mut f64,
    send: impl AsyncFn(&Seen) -> Result<Option<(Write, T)>>,
) -> Result<Option<(Outcome, T)>> {
    let mut item = Cow::Borrowed(item);
    for again in made_again.. {
        let Some((write, told)) = send(&item).await? else {
            break;
        };
        *consumed_wcu += write.consumed_wcu;
        let outcome = match write.outcome {
            Outcome::Moved(now) if again < MADE_AGAIN => {
                item = Cow::Owned(*now);
                continue;
            }
            Outcome::Moved(_) => Outcome::Contended,
            outcome => outcome,
        };
        return Ok(Some((outcome, told)));
    }
    Ok(None)
}

/// Ends the turn of a write of so many items. Of those of which nothing was sent it says nothing.
fn end(turn: Turn<'_>, items: usize, written: &impl Written) {
    let unsent = items.saturating_sub(written.sent());
    if let Some(turn) = turn.without(unsent as u64) {
        let (units, throttles) = (written.consumed_wcu(), written.throttles());
        turn.end_write(units, throttles, written.rejected());
    }
}

/// An answer to a write.
pub(super) trait Written {
    fn consumed_wcu(&self) -> f64;
    /// How many parts of it the table throttled.
    fn throttles(&self) -> u64;
    /// How many parts of it DynamoDB refuses for good.
    fn rejected(&self) -> u64;
    /// How many parts of it were sent.
    fn sent(&self) -> usize;
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

    fn sent(&self) -> usize {
        (!matches!(self.outcome, Outcome::Unmade(_))).into()
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

    fn sent(&self) -> usize {
        self.0.sent()
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

    fn sent(&self) -> usize {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::Key;
    use crate::pace::{Budget, Share};

    /// accounting: what the tries before have cost is counted, also if the time is over, or one fails, before the item rests.
    #[tokio::test]
    async fn accounting_of_an_item_that_moves_until_the_end() {
        let item = || Seen::from(PackedKey::from(&Key(Item::new())));
        let moved = || Write {
            outcome: Outcome::Moved(Box::new(item())),
            consumed_wcu: 2.0,
        };
        for (sent, spent, rests) in [
            (1, 2.0, None),
            (2, 4.0, None),
            (4, 8.0, Some(Outcome::Contended)),
        ] {
            for fails in [false, true] {
                let tries = std::cell::Cell::new(0);
                let send = async |_: &Seen| {
                    tries.set(tries.get() + 1);
                    match (tries.get() > sent, fails) {
                        (false, _) => Ok(Some((moved(), ()))),
                        (true, false) => Ok(None),
                        (true, true) => Err(Error::new(ErrorKind::Internal, "odd")),
                    }
                };
                let mut consumed_wcu = 0.0;
                let ended = until_it_rests(&item(), 0, &mut consumed_wcu, send).await;
                assert_eq!(consumed_wcu, spent);
                match (fails && rests.is_none(), ended) {
                    (true, ended) => assert!(ended.is_err()),
                    (false, ended) => {
                        assert_eq!(ended.unwrap().map(|(outcome, ())| outcome), rests)
                    }
                }
            }
        }
    }

    /// budget: what an item costs is learnt from those that a batch has sent. A batch that has sent none is no request, and gives back
    /// what it took.
    #[tokio::test(start_paused = true)]
    async fn budget_of_batches_that_leave_items_open() {
        let open = || Err(Error::new(ErrorKind::Unavailable, "a set"));
        let unmade = || Ok(Outcome::Unmade("no number".into()));
        let budget = Budget::new(Share::Whole);
        let pace = Pace::new(&budget, 25, Some(4.0), None);
        let until = Until::after(Duration::from_secs(3_600));
        let begin = Instant::now();
        for _ in 0..1_000 {
            let outcomes = std::iter::repeat_with(open).take(24).chain([unmade()]);
            let batch = Batch {
                outcomes: outcomes.collect(),
                sent: 0,
                consumed_wcu: 0.0,
            };
            end(pace.write(25, &until).await.unwrap(), 25, &batch);
        }
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert_eq!(pace.units_per_write(), 4.0, "nothing is learnt");
        assert!(pace.review().latency.writes.is_empty());
        for _ in 0..50 {
            let updated = std::iter::repeat_with(|| Ok(Outcome::Updated)).take(5);
            let others = std::iter::repeat_with(open).take(19).chain([unmade()]);
            let batch = Batch {
                outcomes: updated.chain(others).collect(),
                sent: 5,
                consumed_wcu: 10.0,
            };
            end(pace.write(25, &until).await.unwrap(), 25, &batch);
        }
        let per_item = pace.units_per_write();
        assert!((per_item - 2.0).abs() < 0.01, "{per_item}");
        assert_eq!(pace.review().latency.writes.requests(), 50);
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
            sent: 4,
            consumed_wcu: 4.0,
        };
        assert_eq!(batch.rejected(), 2);
    }
}
