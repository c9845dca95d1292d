//! The run's budget in capacity units per second, and this process's share of it: all shares together stay within the
//! budget.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::beside::Beside;
use super::bucket::TokenBucket;
use super::found_rates::FoundRates;
use super::proven::Proven;
use super::read_cost::{Consistency, MOST_PER_ITEM, ReadCost};
use super::room::Room;
use crate::request::Settings;

/// A single request should cost no more than this many seconds of the rate.
pub const REQUEST_SECONDS: f64 = 0.025;

/// What a page costs that is read strongly consistently and holds up to 4 KB (read/write operation costs, developer guide).
pub(super) const LEAST_PAGE_UNITS: f64 = 1.0;

/// Units that a page should cost at this rate, so that it takes little of the budget at once.
pub(super) fn page_units(rate: f64) -> f64 {
    // A page costs a unit, however small.
    (rate * 2.0 * REQUEST_SECONDS).max(LEAST_PAGE_UNITS)
}

/// Most requests to the target table in flight at once, of all segments of a process. Each has a connection of its own.
const REQUESTS_IN_FLIGHT: usize = 128;

/// Which part of the run's budget a process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All of the budget: every segment of the run is worked on in this process.
    Whole,
    /// An equal part among the workers now at work, each a process of its own.
    OfWorker,
}

/// What a process may use of the target table, for all segments that it works on.
#[derive(Debug)]
pub struct Budget {
    share: Share,
    /// Write capacity units.
    pub write: TokenBucket,
    /// Read capacity units.
    pub read: TokenBucket,
    /// Room for requests to the target table in flight.
    pub requests: Semaphore,
    /// Room in memory for what is read and not yet written.
    pub(super) room: Room,
    /// Segments of this process that are at work.
    pub segments: AtomicU32,
    /// Workers of this process that go from segment to segment and are not done; 0 if each segment has a process of its own.
    pub at_work: AtomicU32,
    /// Workers that divide the budget, each a process; 0 until a run's settings are known.
    sharing: AtomicU32,
    /// What the table lets its segments write that are at work.
    pub(super) beside: Arc<Beside>,
    /// What its segments have found out of the table.
    pub(super) found_rates: FoundRates,
    /// What an item costs to read, as far as this process knows.
    read_cost: Mutex<ReadCost>,
    /// The rates at which this process has read and written.
    pub(super) proven_reads: Proven,
    pub(super) proven_writes: Proven,
    /// Full writes in flight of the segment that ended last.
    pub(super) last_window: AtomicUsize,
    /// Held by whoever reads the first page of all, so that the others know what theirs cost.
    pub(super) first_page: tokio::sync::Mutex<()>,
}

impl Budget {
    /// A budget without a limit until [`Budget::set`].
    pub fn new(share: Share) -> Self {
        // A worker takes the place of another one whenever a chunk ends.
        let bucket = || TokenBucket::strict(share == Share::OfWorker);
        Budget {
            share,
            write: bucket(),
            read: bucket(),
            requests: Semaphore::new(REQUESTS_IN_FLIGHT),
            room: Room::new(),
            segments: AtomicU32::new(0),
            at_work: AtomicU32::new(0),
            sharing: AtomicU32::new(0),
            beside: Arc::default(),
            found_rates: FoundRates::default(),
            read_cost: Mutex::new(ReadCost::Unknown),
            proven_reads: Proven::nothing(),
            proven_writes: Proven::nothing(),
            last_window: AtomicUsize::new(0),
            first_page: tokio::sync::Mutex::new(()),
        }
    }

    fn read_cost_lock(&self) -> MutexGuard<'_, ReadCost> {
        self.read_cost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What an item costs to read.
    pub(super) fn read_cost(&self) -> ReadCost {
        *self.read_cost_lock()
    }

    /// Takes note of what items have cost to read.
    pub fn learn(&self, per_item: f64) {
        *self.read_cost_lock() = ReadCost::Measured(per_item);
    }

    /// Says how large an item is on average, by somebody who has counted the table, until one is read; `None` if nobody has.
    pub fn expect_items_of(&self, bytes: Option<f64>) {
        let mut cost = self.read_cost_lock();
        if let (Some(bytes), ReadCost::Unknown | ReadCost::Estimated(_)) = (bytes, *cost) {
            *cost = ReadCost::of_bytes(bytes);
        }
    }

    /// Begins to read where others, so many processes, have read within the same budget until now, in this way.
    pub fn follow(&self, processes: u32, consistency: Consistency) {
        let rate = self.read.rate();
        if rate.is_infinite() {
            return;
        }
        // Each may have read a page at its very end, which is rounded up.
        let processes = f64::from(processes.max(1));
        let per_item = self.read_cost().per_item().unwrap_or(MOST_PER_ITEM) * consistency.times();
        let page = page_units(rate / processes).max(per_item);
        self.read
            .follow((page + LEAST_PAGE_UNITS / 2.0 * consistency.times()) * processes);
    }

    /// Takes over from another one of the same process what that knows of the table, at which rate it has read, and what it may have
    /// read last, in this way; false if it has not been used within a budget.
    pub fn go_on_from(&self, other: &Budget, consistency: Consistency) -> bool {
        self.proven_reads.go_on_from(&other.proven_reads);
        let rate = other.read.rate();
        if rate.is_infinite() {
            return false;
        }
        let cost = other.read_cost();
        if cost != ReadCost::Unknown {
            *self.read_cost_lock() = cost;
        }
        self.read.set_rate(rate);
        self.follow(1, consistency);
        true
    }

    /// Segments that are worked on at once, by whichever process; 0 if that is not known.
    pub(super) fn at_once(&self) -> u32 {
        match self.share {
            Share::Whole => self.at_work.load(Ordering::Relaxed),
            Share::OfWorker => self.sharing.load(Ordering::Relaxed),
        }
    }

    /// Whether other processes use their share of the same budget.
    pub fn is_shared(&self) -> bool {
        self.share == Share::OfWorker
    }

    /// Sets the rates by the settings of a run, of which `exhausted` segments are done in this pass.
    ///
    /// At most `max_concurrency` segments are worked on at once, and no more than are open. Both only fall during a
    /// pass, so that a worker that does not yet know the latest figure takes too little and never too much, and the
    /// last segment gets all of the budget.
    pub fn set(&self, settings: &Settings, exhausted: u32) {
        let at_work = match self.share {
            Share::Whole => 1,
            Share::OfWorker => match settings.only_segments.len() as u32 {
                0 => settings.total_segments.saturating_sub(exhausted),
                only => only,
            }
            .clamp(1, settings.at_once().max(1)),
        };
        self.sharing.store(at_work, Ordering::Relaxed);
        let rate = |units: Option<u32>| {
            units.map_or(f64::INFINITY, |units| f64::from(units) / f64::from(at_work))
        };
        self.write.set_rate(rate(settings.max_wcu));
        self.read.set_rate(rate(settings.max_rcu));
    }
}
