//! What the table lets the segments write that a process works on now: for each of them, what the others have found.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Units per second that the table accepted from a segment when it throttled it last, by the number of the segment.
#[derive(Debug, Default)]
pub struct Beside(Mutex<BTreeMap<u32, f64>>);

impl Beside {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what the table has accepted from a segment. Returns the mean of all that were throttled and are at work.
    pub fn accepted(&self, segment: u32, rate: f64) -> f64 {
        let mut rates = self.lock();
        rates.insert(segment, rate);
        rates.values().sum::<f64>() / rates.len() as f64
    }

    /// The segment is not worked on any more.
    pub fn leave(&self, segment: u32) {
        self.lock().remove(&segment);
    }
}
