//! What a segment knows of its reads, or of its writes: what an item costs, the rate that the table allows, and how the requests fared.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::ceiling::{Ceiling, START};
use super::review::{Stretch, Usage};
use crate::records::Histogram;

/// What others have said of a table counts as much as so many items.
pub const HEARSAY_ITEMS: f64 = 25.0;

/// What is known of one kind of request.
#[derive(Debug)]
pub struct Side {
    pub ceiling: Ceiling,
    known: Mutex<Known>,
}

/// What its answers have taught, and how it fared since the last review.
#[derive(Debug)]
pub struct Known {
    /// Units that an item costs.
    pub per_item: f64,
    /// Whether that was measured.
    pub measured: bool,
    /// Items of pages by which it was measured; of no matter once they are many.
    pub items: f64,
    /// The part of it by which the next page is cut: less than 1 if more may fit.
    pub try_more: f64,
    pub usage: Usage,
    /// How long requests took since the last review.
    pub latency: Histogram,
    since: Instant,
    pub throttles: u64,
    /// What the table said when it throttled last.
    pub throttled_by: Option<String>,
}

impl Side {
    pub fn new(per_item: Option<f64>, otherwise: f64) -> Self {
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

    pub fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn per_item(&self) -> f64 {
        self.lock().per_item
    }

    /// What has come of its requests since this was last asked.
    pub fn since_last(&self) -> Stretch {
        let mut known = self.lock();
        let elapsed = known.since.elapsed();
        known.since = Instant::now();
        Stretch {
            usage: std::mem::take(&mut known.usage),
            throttles: std::mem::take(&mut known.throttles),
            throttled_by: known.throttled_by.take(),
            latency: std::mem::take(&mut known.latency),
            elapsed,
        }
    }
}
