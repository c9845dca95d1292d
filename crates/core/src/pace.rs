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
mod review;
mod room;
mod side;
mod turn;
mod window;

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::budget::page_units;
pub use self::budget::{Budget, REQUEST_SECONDS, Share};
use self::ceiling::{Ceiling, Found, START, start_of};
pub use self::read_cost::{Consistency, bytes_of, units_of};
use self::read_cost::{MOST_PER_ITEM, ReadCost, page_should_cost};
use self::retry::{Until, retry_until};
pub use self::review::Review;
pub use self::room::{PageRoom, SegmentRoom};
use self::side::{HEARSAY_ITEMS, Side};
use self::turn::PageTurn;
pub use self::turn::Turn;
pub use self::window::MAX_WINDOW;
use self::window::Window;
use crate::ports::{LookBy, Page, PageRequest, TableReader, TableWriter};
use crate::records::FoundPace;
use crate::value::size::write_units;
use crate::{Item, Key, Result};

/// A single write should take no more than this many seconds of the ceiling, which need not be as exact as the budget.
const CEILING_REQUEST_SECONDS: f64 = 0.1;
/// Items of the first page under a budget of writes, until one has said what it costs.
const UNWRITTEN_ITEMS: f64 = 25.0;
/// Items of the first page under a budget of reads, until one has said what it costs.
const UNREAD_ITEMS: u32 = 1;
/// The first page under a budget waits for no more than so long, if nobody knows what it costs.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(10);
/// A segment of which nothing is known begins at this part of what others of the process have in the mean, if that is more than it would
/// begin at otherwise: a partition that has less left than others is not met with full force.
const PART_OF_OTHERS: f64 = 0.25;

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
        self.writes.ceiling = match found {
            Some(found) => Ceiling::go_on(&found),
            None => self.begin(),
        };
        if !self.budget.is_shared() {
            let others = self.budget.beside.clone();
            self.writes.ceiling.together(others, segment);
        }
        self.segment = Some(segment);
        self
    }

    /// The ceiling of a segment that nothing is known of. If the process has written elsewhere and the table has not throttled since, it
    /// is near the others', and so is the window: doubling both from the very begin would cost each segment half a second.
    fn begin(&mut self) -> Ceiling {
        let at_once = self.budget.at_once();
        if self.budget.is_shared() {
            return Ceiling::from(start_of(at_once));
        }
        let others = self.budget.proven_writes.rate() / f64::from(at_once.max(1));
        if PART_OF_OTHERS * others <= START {
            return Ceiling::from(START);
        }
        let writes = self.budget.last_window.load(Ordering::Relaxed);
        self.window = Window::go_on(self.window.batch_size(), writes);
        Ceiling::from(PART_OF_OTHERS * others)
    }

    /// The pace of a count of so many segments at once: it begins at what as many segments begin at, or at the rate at which this
    /// process has read of late.
    pub fn of_count(budget: &'a Budget, at_once: usize) -> Self {
        let start = budget.proven_reads.rate().max(START * at_once as f64);
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

    /// What an item is believed to cost to write.
    #[cfg(test)]
    pub(crate) fn units_per_write(&self) -> f64 {
        self.writes.per_item()
    }

    /// How the segment fared since this was last asked.
    pub fn review(&self) -> Review {
        let at_once = self.window.writes() as u32;
        Review::of(self.writes.since_last(), self.reads.since_last(), at_once)
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        self.budget.segments.fetch_sub(1, Ordering::Relaxed);
        if let Some(segment) = self.segment {
            let ceiling = &self.writes.ceiling;
            let rate = ceiling.is_found().then(|| ceiling.rate());
            self.budget.beside.leave(segment, rate);
            let writes = self.window.writes();
            self.budget.last_window.store(writes, Ordering::Relaxed);
            self.budget
                .found_rates
                .note(segment, self.writes.ceiling.found());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::request::RequestedSettings;

    /// polite: the more functions begin at once, the lower each does. Segments of one process see what the table says to the others.
    #[tokio::test(start_paused = true)]
    async fn polite_however_many_begin_at_once() {
        for (at_once, start) in [(1, 250.0), (8, 250.0), (16, 125.0), (1_000, 100.0)] {
            for (share, start) in [(Share::Whole, START), (Share::OfWorker, start)] {
                let budget = Budget::new(share);
                let mut settings = RequestedSettings::default().choose(0);
                (settings.total_segments, settings.max_concurrency) = (at_once, at_once);
                budget.set(&settings, 0);
                budget.at_work.store(at_once, Ordering::Relaxed);
                let pace = Pace::new(&budget, 25, None, None).of_segment(0, [], 0);
                assert_eq!(pace.writes.ceiling.rate(), start, "{at_once}, {share:?}");
            }
        }
    }

    /// A segment begins at a part of what the others of its process have, unless the table has throttled one of them since or other
    /// processes are at work, too.
    #[tokio::test(start_paused = true)]
    async fn a_segment_begins_near_the_others_unless_the_table_has_throttled() {
        for (share, throttles, start) in [
            (Share::Whole, 0, 2_500.0),
            (Share::Whole, 1, 250.0),
            (Share::OfWorker, 0, 250.0),
        ] {
            let budget = Budget::new(share);
            budget.at_work.store(4, Ordering::Relaxed);
            for _ in 0..100 {
                tokio::time::advance(Duration::from_millis(10)).await;
                budget.proven_writes.answered(400.0, false);
            }
            budget.proven_writes.answered(400.0, throttles > 0);
            let pace = Pace::new(&budget, 25, None, None).of_segment(1, [], 0);
            let begun = pace.writes.ceiling.rate();
            assert!(
                (begun - start).abs() < 0.05 * start,
                "{begun}, {share:?}, {throttles}"
            );
        }
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
        assert!(close(rate, 520.0), "{rate}");
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

    fn page_of(scanned: u64, consumed_rcu: f64) -> Page {
        Page {
            passed_over: 0,
            pending: Vec::new(),
            different: Vec::new(),
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
