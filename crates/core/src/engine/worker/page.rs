//! One page of a segment: its pending items are written, several batches at once, and every write that was begun is waited
//! for.

use std::future::Future;

use futures_util::{StreamExt as _, stream};
use tokio::sync::SemaphorePermit;

use super::Segment;
use super::trial::Stage;
use crate::change::Seen;
use crate::clock::now_ms;
use crate::pace::MAX_WINDOW;
use crate::pace::retry::retry_until;
use crate::ports::{Batch, Outcome, Page, SegmentStore, TableReader, TableWriter, Write};
use crate::records::{Counters, Cursor, Rejected, SegmentRecord};
use crate::{Error, ErrorKind, Item, Key, Result};

/// What became of the items of a page.
#[derive(Default)]
pub(super) struct PageResult {
    scanned: u64,
    next: Option<Key>,
    pub(super) counters: Counters,
    /// Not every item is acknowledged.
    pub(super) cut: bool,
    pub(super) failure: Option<Error>,
    /// An updated item was seen to be pending no longer.
    pub(super) trial_passed: bool,
    /// Items whose update DynamoDB refuses for good, also if the page is `cut`.
    pub(super) rejected: Vec<Rejected>,
}

impl PageResult {
    /// Adds what was done to the record; the cursor moves if neither this page nor one before it was `cut`.
    pub(super) fn add_to(mut self, record: &mut SegmentRecord, cut: bool) {
        if cut {
            // A rejected item still matches and is tried again with its page: it counts when the page is whole.
            self.counters.matched -= self.counters.rejected;
            self.counters.rejected = 0;
        } else {
            self.counters.scanned = self.scanned;
            record.cursor = Cursor::after_page(self.next);
        }
        record.counters += self.counters;
        record.trial_passed |= self.trial_passed;
    }
}

/// What became of the items of one request; `None` if it was not begun or not acknowledged in time.
struct BatchResult {
    outcomes: Vec<Result<Option<Outcome>>>,
    consumed_wcu: f64,
}

impl<R: TableReader, W: TableWriter, S: SegmentStore> Segment<'_, R, W, S> {
    /// Writes the pending items of a page, several batches at once, and waits for every write that was begun. After an
    /// error none is begun any more, of this page or another. Whoever reads the page again finds only what was left: an
    /// item that was written matches no longer.
    pub(super) async fn write(
        &self,
        page: Result<(Page, SemaphorePermit<'_>)>,
        stage: Stage,
    ) -> PageResult {
        let mut result = PageResult {
            trial_passed: matches!(stage, Stage::Passed),
            ..PageResult::default()
        };
        let (page, _room) = match page {
            Ok(page) => page,
            Err(error) => {
                self.fail(&mut result, error);
                return result;
            }
        };
        result.scanned = page.scanned;
        result.next = page.next;
        result.counters.consumed_rcu = page.consumed_rcu;
        let rest = self.try_items(&page.pending, stage, &mut result).await;
        if result.cut {
            return result;
        }
        let batches = stream::unfold(rest, |rest| async move {
            let most = self.pace.items_per_write(self.writer.batch_size());
            let (batch, rest) = rest.split_at(most.min(rest.len()));
            (!batch.is_empty()).then_some((batch, rest))
        });
        let mut written = std::pin::pin!(
            batches
                .map(|items| async move { (items, self.write_batch(items).await) })
                .buffer_unordered(MAX_WINDOW)
        );
        while let Some((items, batch)) = written.next().await {
            result.counters.consumed_wcu += batch.consumed_wcu;
            for (item, outcome) in items.iter().zip(batch.outcomes) {
                self.take(&mut result, &item.key, outcome);
            }
        }
        result
    }

    /// One request of guarded updates. What it leaves open for a single item, that item's own UpdateItem settles: it
    /// says why the table throttles, and is the judge of what is valid.
    async fn write_batch(&self, items: &[Seen]) -> BatchResult {
        let sent = self.attempt(items.len(), || self.writer.update_batch(items));
        let mut result = match sent.await {
            Ok(Some(batch)) => BatchResult {
                outcomes: batch.outcomes.into_iter().map(|o| o.map(Some)).collect(),
                consumed_wcu: batch.consumed_wcu,
            },
            Ok(None) => BatchResult {
                outcomes: items.iter().map(|_| Ok(None)).collect(),
                consumed_wcu: 0.0,
            },
            Err(error) => {
                let of_keys = match items {
                    [item] => format!("key {}", item.key),
                    [first, ..] => format!("{} keys from {} on", items.len(), first.key),
                    [] => "no key".into(),
                };
                let mut outcomes = vec![Err(error.context(of_keys))];
                outcomes.resize_with(items.len(), || Ok(None));
                return BatchResult {
                    outcomes,
                    consumed_wcu: 0.0,
                };
            }
        };
        let left_open = |outcome: &Result<Option<Outcome>>| {
            let kind = outcome.as_ref().err().map(Error::kind);
            kind.is_some_and(|kind| {
                let of_partiql = [ErrorKind::InvalidSpec, ErrorKind::AccessDenied];
                kind.is_retryable() || of_partiql.contains(&kind)
            })
        };
        let open: Vec<usize> = (0..items.len())
            .filter(|&i| left_open(&result.outcomes[i]))
            .collect();
        let mut alone = stream::iter(open)
            .map(|i| async move { (i, self.write_alone(&items[i]).await) })
            .buffer_unordered(MAX_WINDOW);
        while let Some((i, written)) = alone.next().await {
            result.outcomes[i] = written.map(|write| {
                let write = write?;
                result.consumed_wcu += write.consumed_wcu;
                Some(write.outcome)
            });
        }
        drop(alone);
        result
    }

    /// One guarded update by itself. `None`: not begun, or not acknowledged before the time was over.
    async fn write_alone(&self, item: &Seen) -> Result<Option<Write>> {
        self.attempt(1, || self.writer.update(item))
            .await
            .map_err(|error| error.context(format!("key {}", item.key)))
    }

    /// Sends a write when its turn has come, and again where that may help. `None`: not begun, or not acknowledged
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
                    turn.end_write(written.consumed_wcu(), written.throttles());
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
        key: &Key,
        outcome: Result<Option<Outcome>>,
    ) {
        let counters = &mut result.counters;
        match outcome {
            Ok(Some(Outcome::Updated)) => counters.updated += 1,
            Ok(Some(Outcome::Raced)) => counters.raced += 1,
            Ok(Some(Outcome::Vanished)) => counters.vanished += 1,
            Ok(Some(Outcome::Rejected(reason))) => {
                tracing::info!(%key, reason, "DynamoDB refuses this item's update for good");
                counters.rejected += 1;
                result.rejected.push(Rejected {
                    segment: self.segment,
                    key: key.clone(),
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

    /// Ends the page, and the sweep, with an error.
    pub(super) fn fail(&self, result: &mut PageResult, error: Error) {
        result.cut = true;
        result.failure.get_or_insert(error);
        self.until.stop.cancel();
    }
}

/// An answer to a write.
pub(super) trait Written {
    fn consumed_wcu(&self) -> f64;
    /// Parts of it that the table throttled.
    fn throttles(&self) -> u64;
}

impl Written for Write {
    fn consumed_wcu(&self) -> f64 {
        self.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        0
    }
}

impl Written for (Write, Option<Item>) {
    fn consumed_wcu(&self) -> f64 {
        self.0.consumed_wcu
    }

    fn throttles(&self) -> u64 {
        0
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
}
