//! How many writes are in flight: starts low, grows while that makes the segment faster, and is halved by throttling.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Full writes in flight at first.
const FIRST_WINDOW: usize = 2;
/// Most full writes in flight of one segment.
pub const MAX_WINDOW: usize = 64;
/// A wider window must make the segment faster by at least this factor to stay.
const WORTH_IT: f64 = 1.05;
/// How long a window that did not help is not tried again.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// A bound of the items in writes in flight: those of so many full writes, or as many single ones.
#[derive(Debug)]
pub struct Window {
    batch_size: usize,
    slots: Arc<Semaphore>,
    state: Mutex<WindowState>,
}

#[derive(Debug)]
struct WindowState {
    limit: usize,
    /// Permits in the semaphore or in use; more than `limit` for a moment after it was lowered.
    permits: usize,
    /// Items still to end before the round is measured: their writes began before the window was changed.
    warm_up: usize,
    /// Items of writes that ended in this round.
    ended: usize,
    /// Capacity units of those.
    units: f64,
    /// When the round began.
    began: Instant,
    /// Time that the writes waited for their turn.
    waited: Duration,
    /// Time that the requests took.
    service: Duration,
    /// While a wider window is tried: the one before, and the rate that it reached.
    trying: Option<(usize, f64)>,
    /// True until doubling the window does not help, or the table throttles.
    doubling: bool,
    next_try: Instant,
}

impl Window {
    /// The window of a segment that begins now. A full write has `batch_size` items.
    pub fn new(batch_size: usize) -> Self {
        Window::go_on(batch_size, 0)
    }

    /// The same behind a segment that had so many full writes in flight at its end.
    pub fn go_on(batch_size: usize, writes: usize) -> Self {
        let first = (writes / 2).max(FIRST_WINDOW) * batch_size;
        Window {
            batch_size,
            slots: Arc::new(Semaphore::new(first)),
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

    /// Items of a full write.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Full writes that may be in flight.
    pub fn writes(&self) -> usize {
        self.lock().limit / self.batch_size
    }

    /// Waits for room for a write of this many items.
    pub async fn slot(&self, items: usize) -> OwnedSemaphorePermit {
        let slot = self.slots.clone().acquire_many_owned(items as u32).await;
        slot.expect("the semaphore is never closed")
    }

    /// Gives the room of a write back: what it cost, how long it waited for its turn and took, and whether the table
    /// throttled any of it.
    pub fn end(
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
