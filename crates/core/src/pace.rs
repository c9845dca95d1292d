//! The pace of one segment: it stays within the operator's budget (promise: budget), and slows down first when the table
//! throttles (promise: polite).
//!
//! There are two controllers, each for what it can see. The number of requests in flight starts low, grows while that makes
//! the segment faster and is halved by throttling; it finds the best rate whatever the latency of a request. The ceiling
//! is a rate: throttling sets it below what the table has just accepted, at once, and from there it comes back slowly.

mod beside;
mod bucket;
mod budget;
mod ceiling;
mod found_rates;
mod proven;
mod read_cost;
pub mod retry;
mod room;
mod window;

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{MutexGuard as TurnGuard, OwnedSemaphorePermit, SemaphorePermit};
use tokio::time::Instant;

use self::bucket::TokenBucket;
pub use self::budget::{Budget, REQUEST_SECONDS, Share};
use self::budget::{LEAST_PAGE_UNITS, page_units};
use self::ceiling::{Ceiling, Found, START};
pub use self::read_cost::{Consistency, bytes_of, units_of};
use self::read_cost::{MOST_PER_ITEM, ReadCost, page_should_cost};
use self::retry::{Until, retry_until};
pub use self::room::{PageRoom, SegmentRoom};
pub use self::window::MAX_WINDOW;
use self::window::Window;
use crate::ports::{LookBy, Page, PageRequest, TableReader, TableWriter};
use crate::records::{BoundBy, FoundPace, Histogram, Latencies};
use crate::value::size::write_units;
use crate::{Error, ErrorKind, Item, Key, Result};

/// A single write should take no more than this many seconds of the ceiling, which need not be as exact as the budget.
const CEILING_REQUEST_SECONDS: f64 = 0.1;
/// After such a page the next may hold more items, as if one cost this part of what it seemed to, and so on until a page costs
/// more, or until they cost the least part. All are paid for by what an item has seemed to cost.
const TRY_MORE: f64 = 0.8;
const TRY_MOST: f64 = 0.2;
/// Items of the first page under a budget of writes, until one has said what it costs.
const UNWRITTEN_ITEMS: f64 = 25.0;
/// Items of the first page under a budget of reads, until one has said what it costs.
const UNREAD_ITEMS: u32 = 1;
/// What others have said of a table counts as much as so many items.
const HEARSAY_ITEMS: f64 = 25.0;
/// The first page under a budget waits for no more than so long, if nobody knows what it costs.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(10);

/// How a segment fared for a while.
#[derive(Debug)]
pub struct Review {
    /// What bounded its rate.
    pub bound_by: BoundBy,
    /// Requests, and statements of batches, that the table throttled.
    pub throttles: u64,
    /// What the table said when it throttled last, with its reasons if it gave any; `None` if it did not throttle.
    pub throttled_by: Option<String>,
    /// How long the requests took that were answered.
    pub latency: Latencies,
}

/// The time of requests since the last review, by what they waited for.
#[derive(Debug, Default)]
struct Usage {
    budget: Duration,
    /// For the ceiling, since the table has throttled.
    throttled: Duration,
    /// For the ceiling before that: a segment begins slowly.
    starting: Duration,
    service: Duration,
}

/// The pace of one segment, for its reads and its writes.
#[derive(Debug)]
pub struct Pace<'a> {
    budget: &'a Budget,
    window: Window,
    writes: Side,
    reads: Side,
    /// The part of the items read of late that has to be written, 0 to 1.
    pending: Mutex<f64>,
    /// The segment, if others begin next to it.
    segment: Option<u32>,
}

/// What is known of one kind of request.
#[derive(Debug)]
struct Side {
    ceiling: Ceiling,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// Units that an item costs.
    per_item: f64,
    /// Whether that was measured.
    measured: bool,
    /// Items of pages by which it was measured; of no matter once they are many.
    items: f64,
    /// The part of it by which the next page is cut: less than 1 if more may fit.
    try_more: f64,
    usage: Usage,
    /// How long requests took since the last review.
    latency: Histogram,
    since: Instant,
    throttles: u64,
    /// What the table said when it throttled last.
    throttled_by: Option<String>,
}

/// A request that may be sent now. It is to be ended by [`Turn::end`], [`Turn::end_write`], [`Turn::end_check`] or
/// [`Turn::failed`]; if it is dropped, what was taken for it goes back.
pub struct Turn<'a> {
    bucket: &'a TokenBucket,
    side: &'a Side,
    window: Option<(&'a Window, OwnedSemaphorePermit)>,
    page: Option<PageTurn<'a>>,
    taken: f64,
    items: usize,
    sent: Instant,
    waited: Duration,
    ended: bool,
    _request: SemaphorePermit<'a>,
}

/// What else belongs to the turn of a page.
struct PageTurn<'a> {
    budget: &'a Budget,
    consistency: Consistency,
    /// If it is the first page of all, until which the others wait.
    _first: Option<TurnGuard<'a, ()>>,
}

impl<'a> Pace<'a> {
    /// A fresh pace within a budget. A full write has `batch_size` items. `per_write` and `per_read` are the capacity units
    /// that an item costs; `None` if that is not known.
    pub fn new(
        budget: &'a Budget,
        batch_size: usize,
        per_write: Option<f64>,
        per_read: Option<f64>,
    ) -> Self {
        budget.segments.fetch_add(1, Ordering::Relaxed);
        Pace {
            budget,
            window: Window::new(batch_size),
            writes: Side::new(per_write, 1.0),
            // An item of 300 B, read eventually consistent.
            reads: Side::new(per_read, 0.04),
            pending: Mutex::new(1.0),
            segment: None,
        }
    }

    /// The same for a segment: it goes on at the pace that this process has found next to it, or else at the first of those
    /// that are recorded which says something now.
    pub fn of_segment(
        mut self,
        segment: u32,
        recorded: impl IntoIterator<Item = FoundPace>,
        now_ms: u64,
    ) -> Self {
        let recorded = recorded.into_iter();
        let mut recorded = recorded.filter_map(|pace| Found::recorded(&pace, now_ms));
        let found = self.budget.found_rates.next_to(segment);
        let found = found.or_else(|| recorded.next());
        if let Some(found) = found {
            self.writes.ceiling = Ceiling::go_on(&found);
        }
        if !self.budget.is_shared() {
            let others = self.budget.beside.clone();
            self.writes.ceiling.together(others, segment);
        }
        self.segment = Some(segment);
        self
    }

    /// The pace of a count of so many segments at once: it begins at what as many segments begin at, or at the rate at which this
    /// process has read of late.
    pub fn of_count(budget: &'a Budget, at_once: usize) -> Self {
        let start = budget.proven.rate().max(START * at_once as f64);
        let mut pace = Pace::new(budget, 1, None, None);
        pace.reads.ceiling = Ceiling::from(start);
        pace
    }

    /// Most items that a write should carry, so that it takes little of the budget at once.
    pub fn items_per_write(&self, most: usize) -> usize {
        let budget = self.budget.write.rate() * REQUEST_SECONDS;
        let ceiling = self.writes.ceiling.rate() * CEILING_REQUEST_SECONDS;
        let items = budget.min(ceiling) / self.writes.per_item();
        (items as usize).clamp(1, most)
    }

    /// Most items that a page should hold, so that it takes little of the budget at once.
    pub fn items_per_read(&self, most: u32, consistency: Consistency) -> u32 {
        let budget = self.budget.read.rate();
        let units = page_units(budget.min(self.reads.ceiling.rate()));
        let cost = self.read_cost();
        let most = match cost {
            ReadCost::Estimated(_) | ReadCost::Unknown if budget.is_finite() => {
                most.min(UNREAD_ITEMS)
            }
            _ => most,
        };
        let per_item = cost.per_item().unwrap_or_else(|| self.reads.per_item());
        let items = units / (per_item * consistency.times() * self.reads.lock().try_more);
        (items as u32).clamp(1, most)
    }

    /// What an item costs to read: what this segment has seen, or else, within a budget, what others of the process have.
    fn read_cost(&self) -> ReadCost {
        let mut known = self.reads.lock();
        if known.measured {
            return ReadCost::Measured(known.per_item);
        }
        if self.budget.read.rate().is_infinite() {
            return ReadCost::Unknown;
        }
        let cost = self.budget.read_cost();
        if let ReadCost::Measured(per_item) = cost {
            known.per_item = per_item;
            known.measured = true;
            known.items = HEARSAY_ITEMS;
        }
        cost
    }

    /// Items that can be read and written in this time at the present rate; infinitely many if nothing bounds it.
    pub fn items_in(&self, seconds: f64) -> f64 {
        let budget = self.budget.write.rate();
        if budget.is_finite() && !self.writes.lock().measured {
            return UNWRITTEN_ITEMS;
        }
        let segments = self.budget.segments.load(Ordering::Relaxed).max(1);
        let rate = (budget / f64::from(segments)).min(self.writes.ceiling.rate());
        rate * seconds / (self.writes.per_item() * self.pending().max(0.01))
    }

    fn pending(&self) -> MutexGuard<'_, f64> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a write of this many items; `None` if the time was over before.
    pub async fn write(&self, items: usize, until: &Until) -> Option<Turn<'_>> {
        let units = self.writes.per_item() * items as f64;
        self.write_of(items, items, units, until).await
    }

    /// Waits for the turn of a request that takes its place among the writes and should cost so many write units, whatever an
    /// item costs; `None` if the time was over before.
    pub async fn check(&self, units: f64, until: &Until) -> Option<Turn<'_>> {
        self.write_of(1, 0, units, until).await
    }

    /// Waits for the turn of a request in so many slots of the window that writes so many items and should cost so many units.
    async fn write_of(
        &self,
        slots: usize,
        items: usize,
        units: f64,
        until: &Until,
    ) -> Option<Turn<'_>> {
        let slot = tokio::select! {
            // Mostly there is room, and then no timer is set. Whether the time is over is looked at behind this.
            biased;
            slot = self.window.slot(slots) => slot,
            () = until.over() => return None,
        };
        let (side, bucket) = (&self.writes, &self.budget.write);
        let mut turn = Turn::wait(side, bucket, self.budget, items, units, until).await?;
        turn.window = Some((&self.window, slot));
        Some(turn)
    }

    /// Waits for the turn of a read that should cost so many read units, whatever an item of a page costs; `None` if the time was
    /// over before.
    pub async fn look(&self, units: f64, until: &Until) -> Option<Turn<'_>> {
        Turn::wait(&self.reads, &self.budget.read, self.budget, 0, units, until).await
    }

    /// Room in memory for what the segment reads and has not written yet.
    pub fn room(&self) -> SegmentRoom<'a> {
        SegmentRoom::new(&self.budget.room)
    }

    /// Most items that a page should evaluate, so that what all segments of the process hold has room in memory.
    pub fn items_in_memory(&self) -> u32 {
        let segments = self.budget.segments.load(Ordering::Relaxed);
        self.budget.room.most_items(segments)
    }

    /// Waits for the turn of a page of this many items; `None` if the time was over before. If nobody knows what an item costs,
    /// it waits until another one that is being read has said it.
    pub async fn read(
        &self,
        items: u32,
        consistency: Consistency,
        until: &Until,
    ) -> Option<Turn<'_>> {
        let (side, bucket) = (&self.reads, &self.budget.read);
        let mut first = None;
        if bucket.rate().is_finite() && !matches!(self.read_cost(), ReadCost::Measured(_)) {
            first = tokio::select! {
                guard = self.budget.first_page.lock() => Some(guard),
                () = until.over() => return None,
            };
        }
        let should_cost = |per_item| page_should_cost(items, per_item, consistency);
        let units = match self.read_cost() {
            ReadCost::Measured(per_item) => {
                first = None;
                should_cost(per_item)
            }
            ReadCost::Estimated(per_item) => should_cost(per_item),
            ReadCost::Unknown if bucket.rate().is_finite() => {
                let patience = UNKNOWN_PATIENCE.min(until.quarter()).as_secs_f64();
                should_cost(MOST_PER_ITEM).min(bucket.rate() * patience)
            }
            ReadCost::Unknown => should_cost(side.per_item()),
        };
        let turn = Turn::wait(side, bucket, self.budget, items as usize, units, until);
        let mut turn = turn.await?;
        turn.page = Some(PageTurn {
            budget: self.budget,
            consistency,
            _first: first,
        });
        Some(turn)
    }

    /// Reads a page whose turn has come.
    ///
    /// Errors: those of [`TableReader::page`].
    pub async fn page<R: TableReader>(
        &self,
        turn: Turn<'_>,
        reader: &R,
        request: PageRequest<'_>,
    ) -> Result<Page> {
        match reader.page(request).await {
            Ok(page) => {
                turn.end(page.scanned, page.consumed_rcu);
                if page.scanned > 0 {
                    self.guess_write_cost(&page, Consistency::of(request.consistent));
                    let part = page.pending.len() as f64 / page.scanned as f64;
                    let mut pending = self.pending();
                    *pending += (part - *pending) * 0.3;
                }
                Ok(page)
            }
            Err(error) => {
                turn.failed(&error);
                Err(error)
            }
        }
    }

    /// Looks at an item that should cost so many units of the kind that this way of looking is paid in, when its turn has come, and
    /// again if that may help: what came of it, and the units. `None` if the time was over before.
    ///
    /// Errors: those of [`TableWriter::look`].
    pub async fn look_at<W: TableWriter>(
        &self,
        writer: &W,
        key: &Key,
        by: LookBy,
        units: f64,
        until: &Until,
    ) -> Result<Option<(Option<Item>, f64)>> {
        let turn = async || match by {
            LookBy::Check => self.check(units, until).await,
            LookBy::Query | LookBy::Page => self.look(units, until).await,
        };
        retry_until(until, turn, async |turn: Turn<'_>| {
            match writer.look(key, by).await {
                Ok(look) => {
                    let consumed = look.consumed.unwrap_or(units);
                    turn.end_check(consumed);
                    Ok((look.item, consumed))
                }
                Err(error) => {
                    turn.failed(&error);
                    Err(error)
                }
            }
        })
        .await
    }

    /// What an item costs to write, from what it has cost to read, until a write says it: a large item is paid for before the
    /// first of them is written. A page is charged by whole items, whatever it brings of them.
    fn guess_write_cost(&self, page: &Page, consistency: Consistency) {
        let bytes = bytes_of(page.consumed_rcu / page.scanned as f64, consistency);
        let mut known = self.writes.lock();
        if !known.measured {
            known.per_item = write_units(bytes as u64);
        }
    }

    /// The pace that the segment has found out until now, for its record.
    pub fn found(&self, now_ms: u64) -> Option<FoundPace> {
        self.writes.ceiling.to_record(now_ms)
    }

    /// How the segment fared since this was last asked.
    pub fn review(&self) -> Review {
        let (writes, write_throttles, write_throttled_by, elapsed) = self.writes.review();
        let (reads, read_throttles, read_throttled_by, _) = self.reads.review();
        let latency = Latencies {
            writes: self.writes.take_latency(),
            reads: self.reads.take_latency(),
        };
        let at_once = self.window.writes() as u32;
        let by = match (writes.bound(elapsed * at_once), reads.bound(elapsed)) {
            // It waits for pages.
            (BoundBy::None, BoundBy::Latency) => BoundBy::Reading,
            (BoundBy::None, BoundBy::None) => {
                let (of_writes, of_reads) = (writes.service / at_once.max(1), reads.service);
                match (of_writes + of_reads) * 2 >= elapsed {
                    _ if (of_writes + of_reads).is_zero() => BoundBy::None,
                    true if of_reads > of_writes => BoundBy::Reading,
                    true => BoundBy::Latency,
                    false => BoundBy::None,
                }
            }
            (BoundBy::None, of_reads) => of_reads,
            (of_writes, _) => of_writes,
        };
        Review {
            bound_by: by,
            throttles: write_throttles + read_throttles,
            throttled_by: write_throttled_by.or(read_throttled_by),
            latency,
        }
    }
}

impl Usage {
    /// What took most of the time that was there for these requests, if it took half of it.
    fn bound(&self, available: Duration) -> BoundBy {
        let used = self.budget + self.throttled + self.service;
        let most = self.budget.max(self.throttled).max(self.service);
        if self.starting > most && self.starting * 2 >= available {
            BoundBy::Starting
        } else if used.is_zero() || used * 2 < available || self.starting > most {
            BoundBy::None
        } else if self.throttled == most {
            BoundBy::Throttled
        } else if self.budget == most {
            BoundBy::Budget
        } else {
            BoundBy::Latency
        }
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        self.budget.segments.fetch_sub(1, Ordering::Relaxed);
        if let Some(segment) = self.segment {
            self.budget.beside.leave(segment);
            self.budget
                .found_rates
                .note(segment, self.writes.ceiling.found());
        }
    }
}

impl Side {
    fn new(per_item: Option<f64>, otherwise: f64) -> Self {
        Side {
            ceiling: Ceiling::from(START),
            known: Mutex::new(Known {
                per_item: per_item.unwrap_or(otherwise),
                measured: per_item.is_some(),
                items: per_item.map_or(0.0, |_| HEARSAY_ITEMS),
                try_more: 1.0,
                usage: Usage::default(),
                latency: Histogram::default(),
                since: Instant::now(),
                throttles: 0,
                throttled_by: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn per_item(&self) -> f64 {
        self.lock().per_item
    }

    fn take_latency(&self) -> Histogram {
        std::mem::take(&mut self.lock().latency)
    }

    fn review(&self) -> (Usage, u64, Option<String>, Duration) {
        let mut known = self.lock();
        let elapsed = known.since.elapsed();
        known.since = Instant::now();
        (
            std::mem::take(&mut known.usage),
            std::mem::take(&mut known.throttles),
            known.throttled_by.take(),
            elapsed,
        )
    }
}

impl<'a> Turn<'a> {
    async fn wait(
        side: &'a Side,
        bucket: &'a TokenBucket,
        budget: &'a Budget,
        items: usize,
        taken: f64,
        until: &Until,
    ) -> Option<Turn<'a>> {
        let begin = Instant::now();
        let at_work = budget.at_work.load(Ordering::Relaxed);
        let allowed = side.ceiling.take(taken, at_work, until).await;
        let throttled = begin.elapsed();
        let paid = allowed && bucket.take(taken, until).await;
        let waited = begin.elapsed();
        {
            let mut known = side.lock();
            match side.ceiling.is_found() {
                true => known.usage.throttled += throttled,
                false => known.usage.starting += throttled,
            }
            known.usage.budget += waited - throttled;
        }
        if !paid {
            return None;
        }
        let request = tokio::select! {
            // Mostly there is one, and then no timer is set. That the time is not over was looked at before.
            biased;
            request = budget.requests.acquire() => request.ok(),
            () = until.over() => None,
        };
        let Some(request) = request else {
            bucket.settle(taken, 0.0);
            return None;
        };
        Some(Turn {
            bucket,
            side,
            window: None,
            page: None,
            taken,
            items,
            sent: Instant::now(),
            // A request that waits for a connection says nothing of how many are best.
            waited: begin.elapsed(),
            ended: false,
            _request: request,
        })
    }

    /// Ends the turn of a read that was answered: this many items at a cost of this many capacity units.
    pub fn end(self, items: u64, units: f64) {
        if self.page.is_some() {
            self.answered();
        }
        let times = self
            .page
            .as_ref()
            .map_or(1.0, |page| page.consistency.times());
        let cost = (items > 0 && units > 0.0).then(|| {
            let cost = units / times / items as f64;
            // What a page costs at least says only that as many fit, and perhaps more. Taken at its word it would make the
            // next page smaller, at the same price, and so on down to single items.
            let says_all = units > LEAST_PAGE_UNITS;
            let believed = self.believed().unwrap_or(cost);
            let mut known = self.side.lock();
            match says_all {
                true => known.try_more = 1.0,
                false => known.try_more = (known.try_more * TRY_MORE).max(TRY_MOST),
            }
            if says_all { cost } else { cost.min(believed) }
        });
        self.over(units, 0, items, cost);
    }

    /// What an item of a page was believed to cost.
    fn believed(&self) -> Option<f64> {
        let known = self.side.lock();
        if known.measured {
            return Some(known.per_item);
        }
        self.page.as_ref()?.budget.read_cost().per_item()
    }

    /// Ends the turn of a write that was answered at a cost of this many capacity units. The table throttled so many of its
    /// items, and refused so many for good: what those cost is not told, so they are paid for like any other.
    pub fn end_write(self, units: f64, throttles: u64, rejected: u64) {
        self.answered();
        let items = (self.items as u64).saturating_sub(throttles);
        let told = items > 0 && units > 0.0 && rejected == 0;
        let cost = told.then(|| units / items as f64);
        let untold = (self.side.per_item() - 1.0).max(0.0) * rejected as f64;
        self.over(units + untold, throttles, items, cost);
    }

    /// Ends the turn of a check that was answered at a cost of this many capacity units. It says nothing of what writing an
    /// item costs.
    pub fn end_check(self, units: f64) {
        self.over(units, 0, 0, None);
    }

    /// Ends the turn of a request that failed as a whole.
    pub fn failed(self, error: &Error) {
        match error.kind() {
            ErrorKind::Throttled => {
                self.side.lock().throttled_by = Some(error.to_string());
                self.over(0.0, 1, 0, None);
            }
            // It may have been carried out, and its answer lost. What a conflict costs is not known.
            ErrorKind::Unavailable | ErrorKind::ItemBusy => {
                let taken = self.taken;
                self.over(taken, 0, 0, None);
            }
            _ => {}
        }
    }

    /// Takes note of how long the answer took.
    fn answered(&self) {
        self.side.lock().latency.note(self.sent.elapsed());
    }

    /// Ends the turn. `cost` is what an item has cost, if that is known.
    fn over(mut self, units: f64, throttles: u64, items: u64, cost: Option<f64>) {
        self.ended = true;
        let service = self.sent.elapsed();
        self.bucket.settle(self.taken, units);
        if let Some(page) = &self.page {
            page.budget.proven.answered(units, throttles > 0);
        }
        let ceiling = &self.side.ceiling;
        if throttles == 0 {
            ceiling.settle(self.taken, units);
        }
        ceiling.answered(self.sent, units, items, throttles);
        {
            let mut known = self.side.lock();
            known.usage.service += service;
            known.throttles += throttles;
            if let Some(cost) = cost {
                // Single requests differ; what counts is what many cost. What few items have cost says little once more are
                // known.
                let weight = match (known.measured, &self.page) {
                    (false, _) => 1.0,
                    (true, None) => 0.2,
                    (true, Some(_)) => (items as f64 / (known.items + items as f64)).max(0.2),
                };
                known.per_item += (cost - known.per_item) * weight;
                known.measured = true;
                known.items += items as f64;
                if let Some(page) = &self.page {
                    page.budget.learn(known.per_item);
                }
            }
        }
        if let Some((window, slot)) = self.window.take() {
            window.end(slot, units, self.waited, service, throttles > 0);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.bucket.settle(self.taken, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// polite: whatever a segment waits for at its begin, it is not called throttled before the table has throttled it.
    #[tokio::test(start_paused = true)]
    async fn polite_is_called_throttled_only_where_the_table_has_throttled() {
        let budget = Budget::new(Share::Whole);
        let pace = Pace::new(&budget, 1, Some(400.0), None);
        let until = Until::after(Duration::from_secs(3_600));
        assert_eq!(pace.review().bound_by, BoundBy::None, "nothing was done");
        for _ in 0..5 {
            let turn = pace.write(1, &until).await.unwrap();
            turn.end_write(400.0, 0, 0);
        }
        let review = pace.review();
        assert_eq!((review.bound_by, review.throttles), (BoundBy::Starting, 0));
        let mut throttled = 0;
        for _ in 0..5 {
            let turn = pace.write(1, &until).await.unwrap();
            turn.failed(&Error::new(ErrorKind::Throttled, "slow down"));
            throttled += 1;
        }
        let review = pace.review();
        assert_eq!(
            (review.bound_by, review.throttles),
            (BoundBy::Throttled, throttled)
        );
    }

    /// polite: a segment goes on at a recorded pace of late, and at none that is old, of another clock or impossible. Whatever a record
    /// says, throttling sets the ceiling by what the table has just accepted.
    #[tokio::test(start_paused = true)]
    async fn polite_at_whatever_pace_was_recorded() {
        const NOW_MS: u64 = 1_800_000_000_000;
        let begin = |rate: f64, back: f64, at_ms: u64| {
            // Of a process each, so that it knows nothing by itself.
            let budget = Budget::new(Share::OfWorker);
            let recorded = FoundPace { rate, back, at_ms };
            let pace = Pace::new(&budget, 25, None, None).of_segment(3, [recorded], NOW_MS);
            (pace.writes.ceiling.rate(), pace.found(NOW_MS + 7))
        };
        let close = |one: f64, other: f64| (one / other - 1.0).abs() < 0.01;
        let (rate, found) = begin(812.34, 1.0, NOW_MS - 59_000);
        assert!(close(rate, 812.34), "{rate}");
        let found = found.unwrap();
        let figures = (found.rate, found.back, found.at_ms);
        assert_eq!(figures, (812.3, 1.0, NOW_MS + 7));
        // Just after it was throttled it is below what the table took.
        let (rate, found) = begin(800.0, 0.0, NOW_MS);
        assert!(close(rate, 600.0), "{rate}");
        assert_eq!(found.unwrap().back, 0.0);
        for (rate, back, at_ms) in [
            (800.0, 1.0, 0),
            (800.0, 1.0, NOW_MS - 60_000),
            (800.0, 1.0, NOW_MS + 60_000),
            (800.0, 1.0, u64::MAX),
            (800.0, -1.0, NOW_MS),
            (f64::NAN, 1.0, NOW_MS),
            (-5.0, 1.0, NOW_MS),
            (0.0, 1.0, NOW_MS),
        ] {
            let (begun, found) = begin(rate, back, at_ms);
            assert!(close(begun, START), "{begun} by {rate}, {back}, {at_ms}");
            assert_eq!(found, None);
        }
        let budget = Budget::new(Share::OfWorker);
        let recorded = FoundPace {
            rate: 1e300,
            back: 1e300,
            at_ms: NOW_MS,
        };
        let pace = Pace::new(&budget, 25, None, None).of_segment(3, [recorded], NOW_MS);
        let ceiling = &pace.writes.ceiling;
        assert!(ceiling.rate() <= 40_000.0);
        for _ in 0..20 {
            let sent = Instant::now();
            tokio::time::sleep(Duration::from_millis(100)).await;
            ceiling.answered(sent, 50.0, 50, 50);
        }
        assert!(ceiling.rate() < 500.0, "{}", ceiling.rate());
    }

    /// What a request took is counted from when it was sent, without the wait for its turn; checks and requests that failed are
    /// not.
    #[tokio::test(start_paused = true)]
    async fn latencies_are_those_of_answered_pages_and_writes() {
        let budget = Budget::new(Share::Whole);
        budget.write.set_rate(1.0);
        let pace = Pace::new(&budget, 1, Some(10.0), Some(1.0));
        let until = Until::after(Duration::from_secs(3_600));
        let begin = Instant::now();
        let millis = Duration::from_millis;
        for answer in [Ok(()), Err(ErrorKind::Throttled), Ok(())] {
            let turn = pace.write(1, &until).await.unwrap();
            tokio::time::sleep(millis(55)).await;
            match answer {
                Ok(()) => turn.end_write(10.0, 0, 0),
                Err(kind) => turn.failed(&Error::new(kind, "no")),
            }
        }
        assert!(begin.elapsed() > Duration::from_secs(10), "it has waited");
        pace.check(1.0, &until).await.unwrap().end_check(1.0);
        let page = pace.read(1, Consistency::Eventual, &until).await.unwrap();
        tokio::time::sleep(millis(7)).await;
        page.end(1, 0.5);
        pace.look(1.0, &until).await.unwrap().end(1, 0.5);
        let latency = pace.review().latency;
        assert_eq!(
            (latency.writes.requests(), latency.reads.requests()),
            (2, 1)
        );
        let most = latency.writes.percentile(1.0).unwrap();
        assert!((millis(55)..=millis(63)).contains(&most), "{most:?}");
        let most = latency.reads.percentile(1.0).unwrap();
        assert!((millis(7)..=millis(8)).contains(&most), "{most:?}");
        assert!(pace.review().latency.is_empty(), "each is told once");
    }

    /// Without a limit and without throttling a segment is bound by the answers that it waits for: by pages if there is little to
    /// write, by writes if there is much. If both are quick beside what else it does, by neither.
    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_is_said_which_answers_are_waited_for() {
        let budget = Budget::new(Share::Whole);
        let until = Until::after(Duration::from_secs(3_600));
        for (read_ms, write_ms, else_ms, bound_by) in [
            (50, 5, 10, BoundBy::Reading),
            (5, 200, 10, BoundBy::Latency),
            // Neither takes half of the time, and both together do.
            (40, 30, 30, BoundBy::Reading),
            (5, 5, 100, BoundBy::None),
        ] {
            let pace = Pace::new(&budget, 1, Some(1.0), Some(1.0));
            for _ in 0..20 {
                let read = pace.read(1, Consistency::Eventual, &until).await.unwrap();
                tokio::time::sleep(Duration::from_millis(read_ms)).await;
                read.end(1, 1.0);
                let (one, other) = tokio::join!(pace.write(1, &until), pace.write(1, &until));
                tokio::time::sleep(Duration::from_millis(write_ms)).await;
                one.unwrap().end_write(1.0, 0, 0);
                other.unwrap().end_write(1.0, 0, 0);
                tokio::time::sleep(Duration::from_millis(else_ms)).await;
            }
            let review = pace.review();
            let what = (read_ms, write_ms, else_ms);
            assert_eq!(
                (review.bound_by, review.throttles),
                (bound_by, 0),
                "{what:?}"
            );
        }
    }

    /// budget: what DynamoDB refuses for good is charged by the size of the item, which nobody tells. One unit is counted, and
    /// the budget pays what items have cost.
    #[tokio::test(start_paused = true)]
    async fn budget_of_items_that_are_rejected() {
        let budget = Budget::new(Share::Whole);
        budget.write.set_rate(100.0);
        let pace = Pace::new(&budget, 1, Some(40.0), None);
        let until = Until::after(Duration::from_secs(3_600));
        let begin = Instant::now();
        for _ in 0..100 {
            let turn = pace.write(1, &until).await.unwrap();
            turn.end_write(1.0, 0, 1);
        }
        let seconds = begin.elapsed().as_secs_f64();
        assert!((39.0..42.0).contains(&seconds), "{seconds}");
    }

    fn page_of(scanned: u64, consumed_rcu: f64) -> Page {
        Page {
            pending: Vec::new(),
            scanned,
            next: None,
            consumed_rcu,
        }
    }

    /// budget: if nobody knows how large items are, one reads a single one, which is paid for as the largest there is, and the
    /// other segments of the process wait for what it says.
    #[tokio::test(start_paused = true)]
    async fn budget_of_the_first_page_of_a_table_that_nobody_knows() {
        let budget = Budget::new(Share::Whole);
        budget.read.set_rate(100.0);
        let [one, other] = [(); 2].map(|()| Pace::new(&budget, 1, None, None));
        let until = Until::after(Duration::from_secs(3_600));
        let eventual = Consistency::Eventual;
        assert_eq!(one.items_per_read(1_000, eventual), 1);
        let begin = Instant::now();
        let seconds = || begin.elapsed().as_secs_f64();
        let first = one.read(1, eventual, &until).await.unwrap();
        assert!((0.49..0.51).contains(&seconds()), "{}", seconds());
        assert_eq!(other.items_per_read(1_000, eventual), 1);
        let (second, ()) = tokio::join!(other.read(1, eventual, &until), async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            first.end(1, 25.0);
        });
        assert!(seconds() >= 3.49, "{}", seconds());
        assert_eq!(second.unwrap().taken, 25.0);
        let known = Pace::new(&budget, 1, None, None);
        let third = known.read(2, Consistency::Strong, &until).await.unwrap();
        assert_eq!(third.taken, 2.0 * 2.0 * 25.0);
    }

    /// budget: what DynamoDB says of a table pays for the first page, and what a page has cost for the others, read strongly
    /// consistent or not.
    #[tokio::test(start_paused = true)]
    async fn budget_of_pages_is_learnt_from_either_kind() {
        let budget = Budget::new(Share::Whole);
        budget.read.set_rate(200.0);
        budget.expect_items_of(Some(2_048.0));
        let pace = Pace::new(&budget, 1, None, None);
        let until = Until::after(Duration::from_secs(3_600));
        let (eventual, strong) = (Consistency::Eventual, Consistency::Strong);
        assert_eq!(pace.items_per_read(1_000, eventual), 1);
        let turn = pace.read(25, eventual, &until).await.unwrap();
        // 6.25, rounded up to 4 KB.
        assert_eq!(turn.taken, 6.5);
        turn.end(25, 12.5);
        assert_eq!(pace.items_per_read(1_000, eventual), 20);
        assert_eq!(pace.items_per_read(1_000, strong), 10);
        let turn = pace.read(10, strong, &until).await.unwrap();
        assert_eq!(turn.taken, 10.0);
        turn.end(10, 10.0);
        assert_eq!(pace.items_per_read(1_000, eventual), 20);
        // A page ends with the item that fills 1 MB.
        let turn = pace.read(1_000, eventual, &until).await.unwrap();
        assert_eq!(turn.taken, 128.5);
    }

    /// A worker with a small share and little time reads at least a page.
    #[tokio::test(start_paused = true)]
    async fn an_unknown_item_does_not_wait_for_all_of_a_time_box() {
        for seconds in [1, 10, 600] {
            let budget = Budget::new(Share::OfWorker);
            budget.read.set_rate(0.5);
            let pace = Pace::new(&budget, 1, None, None);
            let until = Until::after(Duration::from_secs(seconds));
            let turn = pace.read(1, Consistency::Eventual, &until).await;
            assert!(turn.is_some(), "{seconds} s");
        }
    }

    /// budget: an item is paid for before the first is written, by what reading it has cost.
    #[tokio::test(start_paused = true)]
    async fn budget_of_the_first_write_knows_what_items_cost_to_read() {
        let budget = Budget::new(Share::Whole);
        budget.write.set_rate(100.0);
        let pace = Pace::new(&budget, 25, None, None);
        let until = Until::after(Duration::from_secs(3_600));
        let page = page_of(2, 100.0);
        pace.guess_write_cost(&page, Consistency::Eventual);
        let begin = Instant::now();
        let turn = pace.write(1, &until).await.unwrap();
        let seconds = begin.elapsed().as_secs_f64();
        assert!((3.9..4.1).contains(&seconds), "{seconds}");
        // What it did cost is known better.
        turn.end_write(1.0, 0, 0);
        pace.guess_write_cost(&page, Consistency::Eventual);
        assert_eq!(pace.items_per_write(25), 2);
    }
}
