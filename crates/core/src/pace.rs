//! The pace of one segment: how many writes are in flight, how fast the table lets us, and what holds us back.
//!
//! Two controllers, each for what it can see. The number of requests in flight starts low, grows while that makes the
//! segment faster and is halved by throttling; it finds the best rate whatever the latency of a request. The ceiling is
//! a rate: throttling sets it below what the table has just accepted, at once, and from there it comes back slowly.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::budget::{Bucket, Budget, REQUEST_SECONDS};
use crate::ports::{Page, PageRequest, TableReader};
use crate::retry::Until;
use crate::{Error, ErrorKind, Result};

/// Full writes in flight at first.
const FIRST_WINDOW: usize = 2;
/// Most full writes in flight of one segment.
pub const MAX_WINDOW: usize = 64;
/// A wider window must make the segment faster by at least this factor to stay.
const WORTH_IT: f64 = 1.05;
/// How long a window that did not help is not tried again.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Until the table throttles for the first time the ceiling begins here, in units per second, and doubles in so many
/// seconds: a partition that has little left is not met with full force.
const START: f64 = 250.0;
const DOUBLES_IN: f64 = 0.25;
/// A single write should take no more than this many seconds of the ceiling, which need not be as exact as the budget.
const CEILING_REQUEST_SECONDS: f64 = 0.1;
/// Throttling sets the ceiling to this part of what the table has accepted last.
const BACK_OFF: f64 = 0.75;
/// From there it comes back along the curve of CUBIC congestion control (RFC 9438), fast at first and slowly near the
/// old limit, within so many units, and so many seconds at the latest. Counted in units, because to find the limit
/// costs live traffic about as many throttled writes as it makes while we make one: so it loses the same small part
/// however fast we are and however many workers share a partition.
const COME_BACK_UNITS: f64 = 4_000.0;
const COME_BACK_SECONDS: f64 = 60.0;
/// Where the table does not throttle at the old limit either, there is more room than before: the ceiling doubles in so
/// many seconds.
const MORE_IN: f64 = 15.0;
/// How long the table may need to recover after the ceiling was lowered.
const SETTLE: Duration = Duration::from_millis(100);
/// So few items say little: of what is accepted, and of how much is throttled.
const FEW: f64 = 20.0;
/// Over how long the accepted rate is measured.
const MEASURE: Duration = Duration::from_secs(2);
/// Items of the first page under a budget, when nobody knows how large they are.
const UNKNOWN_ITEMS: u32 = 25;
/// No ceiling is lower: units per second.
const LEAST: f64 = 1.0;

/// What bounds the rate of a segment at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundBy {
    /// Nothing of these: it reads on and finds little to write.
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

/// How a segment fared for a while.
#[derive(Debug)]
pub struct Review {
    pub bound_by: BoundBy,
    /// Requests, and statements of batches, that the table throttled.
    pub throttles: u64,
    /// What the table said when it throttled last, with its reasons where it gave any.
    pub throttled_by: Option<String>,
}

/// Where the time of requests goes, since it was last asked.
#[derive(Debug, Default)]
struct Usage {
    budget: Duration,
    throttled: Duration,
    service: Duration,
}

/// The pace of one segment, for its reads and its writes.
#[derive(Debug)]
pub struct Pace<'a> {
    budget: &'a Budget,
    window: Window,
    writes: Side,
    reads: Side,
    /// Part of the items read of late that has to be written.
    pending: Mutex<f64>,
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
    usage: Usage,
    since: Instant,
    throttles: u64,
    /// What the table said when it throttled last.
    throttled_by: Option<String>,
}

/// A request that may be sent now. To be ended by [`Turn::end`] or its like; dropped, what was taken for it goes back.
pub struct Turn<'a> {
    bucket: &'a Bucket,
    side: &'a Side,
    window: Option<(&'a Window, OwnedSemaphorePermit)>,
    taken: f64,
    items: usize,
    sent: Instant,
    waited: Duration,
    ended: bool,
    _request: SemaphorePermit<'a>,
}

impl<'a> Pace<'a> {
    /// A fresh pace. A full write has this many items; `per_write` and `per_read` are the units that an item is known
    /// to cost, where it is.
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
        }
    }

    /// Most items that a write should carry, so that it takes little of the budget at once.
    pub fn items_per_write(&self, most: usize) -> usize {
        let budget = self.budget.write.rate() * REQUEST_SECONDS;
        let ceiling = self.writes.ceiling.rate() * CEILING_REQUEST_SECONDS;
        let items = budget.min(ceiling) / self.writes.per_item();
        (items as usize).clamp(1, most)
    }

    /// Most items that a page should hold, so that it takes little of the budget at once.
    pub fn items_per_read(&self, most: u32) -> u32 {
        let rate = self.budget.read.rate().min(self.reads.ceiling.rate());
        let items = rate * 2.0 * REQUEST_SECONDS / self.reads.per_item();
        let budgeted = self.budget.read.rate().is_finite();
        let most = match budgeted && !self.reads.lock().measured {
            true => most.min(UNKNOWN_ITEMS),
            false => most,
        };
        (items as u32).clamp(1, most)
    }

    /// Items that can be read and written in this time at the present rate; infinitely many where nothing bounds it.
    pub fn items_in(&self, seconds: f64) -> f64 {
        let budget = self.budget.write.rate();
        if budget.is_finite() && !self.writes.lock().measured {
            return f64::from(UNKNOWN_ITEMS);
        }
        let segments = self.budget.segments.load(Ordering::Relaxed).max(1);
        let rate = (budget / f64::from(segments)).min(self.writes.ceiling.rate());
        rate * seconds / (self.writes.per_item() * self.pending().max(0.01))
    }

    fn pending(&self) -> MutexGuard<'_, f64> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a write of this many items; `None` where the time was over before.
    pub async fn write(&self, items: usize, until: &Until) -> Option<Turn<'_>> {
        let slot = tokio::select! {
            slot = self.window.slot(items) => slot,
            () = until.over() => return None,
        };
        let mut turn =
            Turn::wait(&self.writes, &self.budget.write, self.budget, items, until).await?;
        turn.window = Some((&self.window, slot));
        Some(turn)
    }

    /// Waits for room in memory for one more page; `None` where the time was over before.
    pub async fn room_for_page(&self, until: &Until) -> Option<SemaphorePermit<'a>> {
        tokio::select! {
            room = self.budget.pages.acquire() => room.ok(),
            () = until.over() => None,
        }
    }

    /// Waits for the turn of a page of this many items; `None` where the time was over before.
    pub async fn read(&self, items: u32, until: &Until) -> Option<Turn<'_>> {
        let items = items as usize;
        Turn::wait(&self.reads, &self.budget.read, self.budget, items, until).await
    }

    /// Reads a page whose turn has come.
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

    /// Units that were consumed beside any turn.
    pub fn extra_write(&self, units: f64) {
        self.budget.write.settle(0.0, units);
    }

    /// What bounded the rate since this was last asked, and what throttled it.
    pub fn review(&self) -> Review {
        let (writes, write_throttles, write_throttled_by, elapsed) = self.writes.review();
        let (reads, read_throttles, read_throttled_by, _) = self.reads.review();
        let bound = |usage: &Usage, available: Duration| {
            let used = usage.budget + usage.throttled + usage.service;
            if used * 2 < available {
                return BoundBy::None;
            }
            let most = usage.budget.max(usage.throttled).max(usage.service);
            if usage.throttled == most {
                BoundBy::Throttled
            } else if usage.budget == most {
                BoundBy::Budget
            } else {
                BoundBy::Latency
            }
        };
        let mut by = bound(&writes, elapsed * self.window.writes() as u32);
        if by == BoundBy::None {
            // Waiting for pages: unless something holds the reads back, nothing does.
            by = match bound(&reads, elapsed) {
                BoundBy::Latency => BoundBy::None,
                other => other,
            };
        }
        Review {
            bound_by: by,
            throttles: write_throttles + read_throttles,
            throttled_by: write_throttled_by.or(read_throttled_by),
        }
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        self.budget.segments.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Side {
    fn new(per_item: Option<f64>, otherwise: f64) -> Self {
        Side {
            ceiling: Ceiling::new(),
            known: Mutex::new(Known {
                per_item: per_item.unwrap_or(otherwise),
                measured: per_item.is_some(),
                usage: Usage::default(),
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
        bucket: &'a Bucket,
        budget: &'a Budget,
        items: usize,
        until: &Until,
    ) -> Option<Turn<'a>> {
        let taken = side.per_item() * items as f64;
        let begin = Instant::now();
        let allowed = side.ceiling.take(taken, until).await;
        let throttled = begin.elapsed();
        let paid = allowed && bucket.take(taken, until).await;
        let waited = begin.elapsed();
        {
            let mut known = side.lock();
            known.usage.throttled += throttled;
            known.usage.budget += waited - throttled;
        }
        if !paid {
            return None;
        }
        let request = budget.requests.acquire().await.ok()?;
        Some(Turn {
            bucket,
            side,
            window: None,
            taken,
            items,
            sent: Instant::now(),
            waited,
            ended: false,
            _request: request,
        })
    }

    /// The request was answered: this many items at a cost of this many units.
    pub fn end(self, items: u64, units: f64) {
        self.over(items, units, 0);
    }

    /// The same for a write of all its items, of which the table throttled some.
    pub fn end_write(self, units: f64, throttles: u64) {
        let items = (self.items as u64).saturating_sub(throttles);
        self.over(items, units, throttles);
    }

    /// The request failed as a whole.
    pub fn failed(self, error: &Error) {
        match error.kind() {
            ErrorKind::Throttled => {
                self.side.lock().throttled_by = Some(error.to_string());
                self.over(0, 0.0, 1);
            }
            // It may have been carried out, and its answer lost.
            ErrorKind::Unavailable => {
                let taken = self.taken;
                self.over(0, taken, 0);
            }
            _ => {}
        }
    }

    fn over(mut self, items: u64, units: f64, throttles: u64) {
        self.ended = true;
        let service = self.sent.elapsed();
        self.bucket.settle(self.taken, units);
        self.side
            .ceiling
            .answered(self.sent, units, items, throttles);
        {
            let mut known = self.side.lock();
            known.usage.service += service;
            known.throttles += throttles;
            if items > 0 && units > 0.0 {
                let cost = units / items as f64;
                // Single requests differ; what counts is what many cost.
                let weight = if known.measured { 0.2 } else { 1.0 };
                known.per_item += (cost - known.per_item) * weight;
                known.measured = true;
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

/// How many items may be in writes in flight: those of so many full writes, or as many single ones.
#[derive(Debug)]
struct Window {
    batch_size: usize,
    slots: std::sync::Arc<Semaphore>,
    state: Mutex<WindowState>,
}

#[derive(Debug)]
struct WindowState {
    limit: usize,
    /// Permits in the semaphore or in use; more than `limit` for a moment after it was lowered.
    permits: usize,
    /// Items still to end before the round is measured: their writes began before the window was changed.
    warm_up: usize,
    /// Items of writes that ended in this round, their units, and when it began.
    ended: usize,
    units: f64,
    began: Instant,
    /// Time that they waited for their turn, and that they took.
    waited: Duration,
    service: Duration,
    /// While a wider window is tried: the one before, and the rate that it reached.
    trying: Option<(usize, f64)>,
    /// Doubles until that does not help, or the table throttles.
    doubling: bool,
    next_try: Instant,
}

impl Window {
    fn new(batch_size: usize) -> Self {
        let first = FIRST_WINDOW * batch_size;
        Window {
            batch_size,
            slots: std::sync::Arc::new(Semaphore::new(first)),
            state: Mutex::new(WindowState {
                limit: first,
                permits: first,
                warm_up: 0,
                ended: 0,
                units: 0.0,
                began: Instant::now(),
                waited: Duration::ZERO,
                service: Duration::ZERO,
                trying: None,
                doubling: true,
                next_try: Instant::now(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, WindowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Full writes that may be in flight.
    fn writes(&self) -> usize {
        self.lock().limit / self.batch_size
    }

    async fn slot(&self, items: usize) -> OwnedSemaphorePermit {
        let slot = self.slots.clone().acquire_many_owned(items as u32).await;
        slot.expect("the semaphore is never closed")
    }

    fn end(
        &self,
        mut slot: OwnedSemaphorePermit,
        units: f64,
        waited: Duration,
        service: Duration,
        throttled: bool,
    ) {
        let items = slot.num_permits();
        let mut state = self.lock();
        if throttled {
            state.throttled(items, self.batch_size);
        } else {
            let all_in_use = self.slots.available_permits() < self.batch_size;
            let write = EndedWrite {
                items,
                units,
                waited,
                service,
                all_in_use,
            };
            state.ended(&write, self.batch_size);
        }
        if state.permits > state.limit {
            let surplus = items.min(state.permits - state.limit);
            if let Some(surplus) = slot.split(surplus) {
                surplus.forget();
            }
            state.permits -= surplus;
        } else if state.permits < state.limit {
            self.slots.add_permits(state.limit - state.permits);
            state.permits = state.limit;
        }
    }
}

/// A write that has ended.
struct EndedWrite {
    items: usize,
    units: f64,
    waited: Duration,
    service: Duration,
    all_in_use: bool,
}

impl WindowState {
    fn throttled(&mut self, items: usize, batch_size: usize) {
        // Once per round: all that were in flight together tell the same.
        if self.warm_up == 0 {
            self.limit = (self.limit / 2).max(batch_size);
            self.doubling = false;
            self.trying = None;
            self.next_try = Instant::now();
            self.begin_round();
        } else {
            self.warm_up = self.warm_up.saturating_sub(items);
        }
    }

    fn ended(&mut self, write: &EndedWrite, batch_size: usize) {
        if self.warm_up > 0 {
            self.warm_up = self.warm_up.saturating_sub(write.items);
            if self.warm_up == 0 {
                self.began = Instant::now();
            }
            return;
        }
        self.ended += write.items;
        self.units += write.units;
        self.waited += write.waited;
        self.service += write.service;
        if self.ended < 2 * self.limit {
            return;
        }
        // A window that is not filled, or that waits for something else, says nothing about its size.
        let telling = write.all_in_use && self.waited * 4 < self.service;
        let rate = self.units / self.began.elapsed().as_secs_f64().max(1e-6);
        let most = MAX_WINDOW * batch_size;
        match self.trying.take() {
            Some((before, reached)) if telling && rate < reached * WORTH_IT => {
                self.limit = before;
                self.doubling = false;
                self.next_try = Instant::now() + PROBE_EVERY;
            }
            _ if telling && self.limit < most && Instant::now() >= self.next_try => {
                self.trying = Some((self.limit, rate));
                let more = match self.doubling {
                    true => self.limit,
                    false => (self.limit / 4).max(batch_size),
                };
                self.limit = (self.limit + more).min(most);
            }
            _ => {}
        }
        self.begin_round();
    }

    fn begin_round(&mut self) {
        self.warm_up = self.limit;
        self.ended = 0;
        self.units = 0.0;
        self.waited = Duration::ZERO;
        self.service = Duration::ZERO;
    }
}

/// The rate at which the table lets us, as far as we know: none until it throttles.
#[derive(Debug)]
struct Ceiling {
    bucket: Bucket,
    state: Mutex<CeilingState>,
}

#[derive(Debug)]
struct CeilingState {
    /// When the table throttled last, if it ever did, and the rate that it accepted then.
    cut: Option<Instant>,
    accepted_then: f64,
    /// How far the ceiling had come back when it was last looked at: 1 is all the way. Before the first cut, when the
    /// segment began.
    back: f64,
    changed: Instant,
    /// What was answered, as far back as [`MEASURE`] and not beyond the last cut.
    answers: VecDeque<Answer>,
    measured_since: Instant,
}

/// What a request came to.
#[derive(Debug)]
struct Answer {
    at: Instant,
    units: f64,
    items: u64,
    throttles: u64,
}

impl CeilingState {
    fn rate(&self) -> f64 {
        let seconds = self.changed.elapsed().as_secs_f64();
        if self.cut.is_none() {
            return START * (seconds / DOUBLES_IN).exp2();
        }
        let t = self.back + seconds / COME_BACK_SECONDS - 1.0;
        let curve = if t < 0.0 {
            1.0 + (1.0 - BACK_OFF) * t * t * t
        } else {
            (t * COME_BACK_SECONDS / MORE_IN).exp2()
        };
        (self.accepted_then * curve).max(LEAST)
    }

    fn add(&mut self, answer: Answer) {
        let now = answer.at;
        if self.cut.is_some() {
            let seconds = now.duration_since(self.changed).as_secs_f64() / COME_BACK_SECONDS;
            let units = if self.back < 1.0 {
                answer.units / COME_BACK_UNITS
            } else {
                0.0
            };
            self.back += seconds.max(units);
            self.changed = now;
        }
        self.answers.push_back(answer);
        if now.duration_since(self.measured_since) > MEASURE {
            self.measured_since = now - MEASURE;
        }
        while self
            .answers
            .front()
            .is_some_and(|answer| answer.at < self.measured_since)
        {
            self.answers.pop_front();
        }
    }

    /// Lowers the ceiling below what the table has accepted of late.
    fn cut(&mut self, now: Instant) {
        let sum = |of: fn(&Answer) -> f64| self.answers.iter().map(of).sum::<f64>();
        let measured = now.duration_since(self.measured_since).as_secs_f64();
        let items = sum(|answer| answer.items as f64);
        let throttles = sum(|answer| answer.throttles as f64);
        let rate = self.rate();
        let before = match self.cut {
            // Just after a cut, or after a few items, too little is known of what the table accepts.
            _ if items >= FEW && (self.cut.is_none() || measured > 1.0) => {
                rate.min(sum(|answer| answer.units) / measured.max(0.05))
            }
            // Long after it, the ceiling may have gone up to nowhere.
            Some(_) => rate.min(self.accepted_then.max(START)),
            None => rate.min(START),
        };
        // A few throttled statements may be chance, many are not.
        self.accepted_then = (before * (items + FEW) / (items + FEW + throttles)).max(LEAST);
        self.back = 0.0;
        self.changed = now;
        self.cut = Some(now);
        self.answers.clear();
        self.measured_since = now;
    }
}

impl Ceiling {
    fn new() -> Self {
        let now = Instant::now();
        Ceiling {
            bucket: Bucket::unlimited(),
            state: Mutex::new(CeilingState {
                accepted_then: f64::INFINITY,
                back: 1.0,
                changed: now,
                cut: None,
                answers: VecDeque::new(),
                measured_since: now,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, CeilingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Units per second that are allowed now.
    fn rate(&self) -> f64 {
        self.lock().rate()
    }

    async fn take(&self, units: f64, until: &Until) -> bool {
        self.bucket.set_rate(self.rate());
        self.bucket.take(units, until).await
    }

    fn answered(&self, sent: Instant, units: f64, items: u64, throttles: u64) {
        let mut state = self.lock();
        let at = Instant::now();
        state.add(Answer {
            at,
            units,
            items,
            throttles,
        });
        // What was sent before the last cut, or just after it, tells nothing new.
        let settled = state.cut.is_none_or(|cut| sent >= cut + SETTLE);
        if throttles == 0 || !settled {
            return;
        }
        state.cut(at);
        let rate = state.rate();
        drop(state);
        self.bucket.set_rate(rate);
    }
}
