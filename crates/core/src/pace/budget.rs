//! The run's budget in capacity units per second, and this process's share of it: all shares together stay within the
//! budget.

use std::sync::atomic::AtomicU32;

use tokio::sync::Semaphore;

use super::bucket::TokenBucket;
use crate::request::Settings;

/// A single request should cost no more than this many seconds of the rate.
pub const REQUEST_SECONDS: f64 = 0.025;

/// Most requests to the target table in flight at once, of all segments of a process. Each has a connection of its own.
const REQUESTS_IN_FLIGHT: usize = 128;

/// Most pages in memory at once, of all segments of a process. A page of 1,000 keys takes 0.8 MB (measured), so this keeps
/// the process small whatever its concurrency.
const PAGES_IN_MEMORY: usize = 10;

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
    /// Room for pages in memory.
    pub pages: Semaphore,
    /// Segments of this process that are at work.
    pub segments: AtomicU32,
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
            pages: Semaphore::new(PAGES_IN_MEMORY),
            segments: AtomicU32::new(0),
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
            .clamp(1, settings.max_concurrency.max(1)),
        };
        let rate = |units: Option<u32>| {
            units.map_or(f64::INFINITY, |units| f64::from(units) / f64::from(at_work))
        };
        self.write.set_rate(rate(settings.max_wcu));
        self.read.set_rate(rate(settings.max_rcu));
    }
}
