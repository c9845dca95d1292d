//! One page of a segment: its pending items are written, several batches at once. Every write that was begun is waited for,
//! so the page knows what became of each item.

use std::borrow::Cow;

use futures_util::{StreamExt as _, stream};
use tokio::sync::Mutex;

use super::look::Place;
use super::result::PageResult;
use super::segment::{Segment, until_it_rests};
use super::trial::Trying;
use super::validity::unless_busy;
use crate::change::Seen;
use crate::pace::{MAX_WINDOW, PageRoom};
use crate::ports::{Batch, Outcome, Page, SegmentStore, TableReader, TableWriter, Write};
use crate::{Error, ErrorKind, Key, Result};

/// What became of the items of one request; `None` if it was not begun or not acknowledged in time.
struct BatchResult {
    outcomes: Vec<Result<Option<Outcome>>>,
    consumed_wcu: f64,
}

/// Where the outcomes are that are like this.
fn positions(
    outcomes: &[Result<Option<Outcome>>],
    is_wanted: impl Fn(&Result<Option<Outcome>>) -> bool,
) -> Vec<usize> {
    let all = outcomes.iter().enumerate();
    all.filter(|(_, outcome)| is_wanted(outcome))
        .map(|(i, _)| i)
        .collect()
}

/// A page as it was read.
pub(super) struct Read<'a> {
    pub(super) page: Page,
    /// The key behind which it begins; `None` is the begin of the segment.
    pub(super) after: Option<Key>,
    /// Most items that were to be evaluated.
    pub(super) limit: u32,
    /// Its room in memory.
    pub(super) room: PageRoom<'a>,
}

impl<R: TableReader, W: TableWriter, S: SegmentStore> Segment<'_, R, W, S> {
    /// Writes the pending items of a page, several batches at once, and waits for every write that was begun. After an
    /// error none is begun any more, of this page or another. Whoever reads the page again finds only what was left: an
    /// item that was written matches no longer.
    ///
    /// What the segment is `trying` goes from page to page: until an item has passed, one page at a time tries its own.
    pub(super) async fn write<'s: 'g, 'g>(
        &'s self,
        page: Result<Read<'_>>,
        trying: &Mutex<Trying<'g>>,
    ) -> PageResult {
        let mut result = PageResult::default();
        let read = match page {
            Ok(read) => read,
            Err(error) => {
                self.fail(&mut result, error);
                return result;
            }
        };
        let Read {
            page,
            after,
            limit,
            mut room,
        } = read;
        let mut pending = page.pending;
        result.scanned = page.scanned;
        result.next.clone_from(&page.next);
        result.counters.consumed_rcu = page.consumed_rcu;
        let place = Place {
            after: after.as_ref(),
            limit,
            scanned: page.scanned,
            next: page.next.as_ref(),
            behind: &[],
        };
        let tried = self.begin(&pending, place, trying, &mut result).await;
        if result.cut {
            return result;
        }
        room.give_back(&pending[..tried]);
        pending.drain(..tried);
        let mut left = pending.len();
        let batches = stream::unfold(pending.into_iter(), |mut rest| async move {
            let most = self.pace.items_per_write(self.writer.batch_size());
            let most = self.quota.out_of(most.min(rest.len()));
            let batch: Vec<Seen> = rest.by_ref().take(most).collect();
            (!batch.is_empty()).then_some((batch, rest))
        });
        let mut written = std::pin::pin!(
            batches
                .map(|items| async move {
                    let batch = self.write_batch(&items).await;
                    (items, batch)
                })
                .buffer_unordered(self.quota.at_once(MAX_WINDOW))
        );
        while let Some((items, batch)) = written.next().await {
            left -= items.len();
            room.give_back(&items);
            result.counters.consumed_wcu += batch.consumed_wcu;
            for (item, outcome) in items.iter().zip(batch.outcomes) {
                self.take(&mut result, &item.key, outcome);
            }
        }
        if left > 0 {
            self.cut_off(&mut result);
        }
        result
    }

    /// Sends one request of guarded updates, and sees to it that each item has an outcome.
    async fn write_batch(&self, items: &[Seen]) -> BatchResult {
        let in_statements = self.writer.batch_size() > 1;
        // In a box that is made when its turn has come: many more wait for theirs, each a place as large as a request needs.
        let send = || Box::pin(self.writer.update_batch(items));
        let sent = self.attempt(items.len(), send);
        match (sent.await, items) {
            (Ok(Some(batch)), _) => {
                let mut result = self.settle(items, batch).await;
                if in_statements {
                    self.compare(items, &mut result).await;
                }
                result
            }
            (Ok(None), _) => BatchResult {
                outcomes: items.iter().map(|_| Ok(None)).collect(),
                consumed_wcu: 0.0,
            },
            (Err(error), [item]) => {
                let of_key = |error: Error| error.context(format!("key {}", item.key));
                BatchResult {
                    outcomes: vec![unless_busy(error).map(Some).map_err(of_key)],
                    consumed_wcu: 0.0,
                }
            }
            (Err(error), _) => {
                let of_keys = match items {
                    [first, ..] => format!("{} keys from {} on", items.len(), first.key),
                    [] => "no key".into(),
                };
                let mut outcomes = vec![Err(error.context(of_keys))];
                outcomes.resize_with(items.len(), || Ok(None));
                BatchResult {
                    outcomes,
                    consumed_wcu: 0.0,
                }
            }
        }
    }

    /// What a request leaves open for a single item, that item's own UpdateItem settles: it says why the table throttles, and
    /// is the judge of what is valid.
    async fn settle(&self, items: &[Seen], batch: Batch) -> BatchResult {
        let mut result = BatchResult {
            outcomes: Vec::new(),
            consumed_wcu: batch.consumed_wcu,
        };
        let (mut open, mut invalid) = (Vec::new(), Vec::new());
        for (i, outcome) in batch.outcomes.into_iter().enumerate() {
            let settled = match outcome {
                Ok(Outcome::Moved(now)) => {
                    open.push((i, Cow::Owned(*now)));
                    Ok(None)
                }
                Ok(outcome) => self.judge(&items[i], outcome).await.map(Some),
                Err(error) => {
                    open.push((i, Cow::Borrowed(&items[i])));
                    if error.kind() == ErrorKind::InvalidSpec {
                        invalid.push((i, error));
                    }
                    Ok(None)
                }
            };
            result.outcomes.push(settled);
        }
        self.settle_alone(open, &mut result).await;
        for (i, error) in invalid {
            if matches!(result.outcomes[i], Ok(Some(Outcome::Updated))) {
                // What the item was refused for, it was refused for as a statement.
                self.writer.distrust_batches(&error.to_string());
            }
        }
        result
    }

    /// Holds PartiQL against a condition: tries the first item that a batch calls `raced`, once in the segment, by its own
    /// UpdateItem. If that updates it, the predicate means something else in PartiQL (or, seldom, a live writer has made the
    /// item pending again). Then no batch is sent any more, and whatever batches have called `raced` is tried so.
    async fn compare(&self, items: &[Seen], result: &mut BatchResult) {
        let is_raced =
            |outcome: &Result<Option<Outcome>>| matches!(outcome, Ok(Some(Outcome::Raced)));
        let raced = positions(&result.outcomes, is_raced);
        let Some(&first) = raced.first() else {
            return;
        };
        let mut rest = &raced[..];
        let mut has_compared = self.has_compared.lock().await;
        if !std::mem::replace(&mut *has_compared, true) {
            rest = &raced[1..];
            let alone = vec![(first, Cow::Borrowed(&items[first]))];
            self.settle_alone(alone, result).await;
            if matches!(result.outcomes[first], Ok(Some(Outcome::Updated))) {
                self.writer.distrust_batches(&format!(
                    "a batch did not update the item with key {}, and UpdateItem did; PartiQL seems to mean something \
                     else by the predicate",
                    items[first].key
                ));
            }
        }
        drop(has_compared);
        if self.writer.batch_size() == 1 {
            let rest = rest.iter().map(|&i| (i, Cow::Borrowed(&items[i])));
            self.settle_alone(rest.collect(), result).await;
        }
    }

    /// Sends each of these items, with its place in the request, by its own UpdateItem, and takes over what becomes of it.
    async fn settle_alone(&self, which: Vec<(usize, Cow<'_, Seen>)>, result: &mut BatchResult) {
        let mut alone = stream::iter(which)
            .map(|(i, item)| async move {
                let mut consumed_wcu = 0.0;
                let outcome = self.write_alone(item, &mut consumed_wcu).await;
                (i, outcome, consumed_wcu)
            })
            .buffer_unordered(MAX_WINDOW);
        while let Some((i, outcome, consumed_wcu)) = alone.next().await {
            result.outcomes[i] = outcome;
            result.consumed_wcu += consumed_wcu;
        }
    }

    /// Sends one guarded update by itself, and once more from what has become of the item as long as that may help. `None`: not
    /// begun, or not acknowledged before the time was over. What it has cost is added to `consumed_wcu`.
    async fn write_alone(
        &self,
        item: Cow<'_, Seen>,
        consumed_wcu: &mut f64,
    ) -> Result<Option<Outcome>> {
        let of_key = |error: Error| error.context(format!("key {}", item.key));
        let send = async |seen: &Seen| {
            let written = self.attempt(1, || self.writer.update(seen)).await;
            Ok(match written {
                Ok(Some(write)) => Some((write, ())),
                Ok(None) => None,
                Err(error) => Some((Write::free(unless_busy(error)?), ())),
            })
        };
        // An item of its own is what a batch has found in place of the one that was read.
        let made_again = u32::from(matches!(item, Cow::Owned(_)));
        let written = until_it_rests(&item, made_again, consumed_wcu, send).await;
        let Some((outcome, ())) = written.map_err(of_key)? else {
            return Ok(None);
        };
        self.judge(&item, outcome).await.map(Some)
    }

    async fn judge(&self, item: &Seen, outcome: Outcome) -> Result<Outcome> {
        let judged = self.validity.judge(outcome).await;
        judged.map_err(|error| error.context(format!("key {}", item.key)))
    }
}
