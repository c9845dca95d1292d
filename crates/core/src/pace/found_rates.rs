//! What segments of a process have found out of the table, for those that are taken up next to them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ceiling::Found;

/// The rates that segments have found, by the number of the segment.
#[derive(Debug, Default)]
pub(super) struct FoundRates(Mutex<BTreeMap<u32, Found>>);

impl FoundRates {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found out on the nearest segment before this one, or on this one itself.
    pub(super) fn next_to(&self, segment: u32) -> Option<Found> {
        let found = self.lock();
        found
            .range(..=segment)
            .next_back()
            .map(|(_, found)| found.clone())
    }

    /// Takes note of what a segment has found out. What its neighbours have is of no use any more.
    pub(super) fn note(&self, segment: u32, found: Option<Found>) {
        let Some(found) = found else { return };
        let mut all = self.lock();
        all.remove(&segment.wrapping_sub(1));
        all.remove(&segment.wrapping_add(1));
        all.insert(segment, found);
    }
}
