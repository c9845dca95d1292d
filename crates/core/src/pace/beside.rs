//! What the table lets the segments write that a process works on now: for each of them, what the others have found, and what those
//! leave that lie next to it.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A segment is left for good if nobody has gone on behind it in this time.
const GOES_ON: Duration = Duration::from_millis(500);

/// The segments that a process works on, by their numbers.
#[derive(Debug, Default)]
pub struct Beside {
    state: Mutex<State>,
    /// Whether some are left.
    any_left: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    at_work: BTreeMap<u32, AtWork>,
    left: Vec<Left>,
}

#[derive(Debug, Default)]
struct AtWork {
    /// Units per second that the table accepted when it throttled it last, if it did.
    accepted: Option<f64>,
    /// Units per second that were left next to it, and that it has not taken note of.
    left: f64,
}

/// A segment that is not worked on any more.
#[derive(Debug)]
struct Left {
    segment: u32,
    rate: f64,
    at: Instant,
}

impl Beside {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a segment that is worked on from now on. Whoever has left the one before it goes on here.
    pub fn join(&self, segment: u32) {
        let mut state = self.lock();
        state.at_work.insert(segment, AtWork::default());
        state.left.retain(|left| left.segment + 1 != segment);
    }

    /// Takes note of what the table has accepted from a segment when it throttled it. Returns the mean of all that were throttled and are at work.
    pub fn accepted(&self, segment: u32, rate: f64) -> f64 {
        let mut state = self.lock();
        state.at_work.entry(segment).or_default().accepted = Some(rate);
        let rates = state.at_work.values().filter_map(|one| one.accepted);
        let (count, sum) = rates.fold((0, 0.0), |(count, sum), rate| (count + 1, sum + rate));
        sum / f64::from(count)
    }

    /// The segment is not worked on any more, at this rate if the table had throttled it.
    pub fn leave(&self, segment: u32, rate: Option<f64>) {
        let mut state = self.lock();
        state.at_work.remove(&segment);
        if let Some(rate) = rate {
            let at = Instant::now();
            state.left.push(Left { segment, rate, at });
            self.any_left.store(true, Ordering::Relaxed);
        }
    }

    /// Units per second that others have left next to the segment since this was last asked. What one leaves is there for the nearest
    /// on either side: who of them shared a partition with it is not known.
    pub fn left_next_to(&self, segment: u32) -> f64 {
        if !self.any_left.load(Ordering::Relaxed) {
            return 0.0;
        }
        let State { at_work, left } = &mut *self.lock();
        left.retain(|left| {
            let goes_on = left.at.elapsed() < GOES_ON;
            if !goes_on {
                let before = at_work.range_mut(..left.segment).next_back();
                if let Some((_, before)) = before {
                    before.left += left.rate;
                }
                let behind = at_work
                    .range_mut((Excluded(left.segment), Unbounded))
                    .next();
                if let Some((_, behind)) = behind {
                    behind.left += left.rate;
                }
            }
            goes_on
        });
        let mine = at_work.get_mut(&segment);
        let mine = mine.map_or(0.0, |one| std::mem::take(&mut one.left));
        let none = left.is_empty() && at_work.values().all(|one| one.left == 0.0);
        self.any_left.store(!none, Ordering::Relaxed);
        mine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a segment leaves is there for the nearest on either side once nobody goes on behind it, and is told once.
    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_there_for_the_nearest_if_nobody_goes_on() {
        let beside = Beside::default();
        for segment in [0, 10, 20, 30] {
            beside.join(segment);
        }
        beside.leave(10, Some(300.0));
        beside.leave(20, None);
        beside.join(21);
        beside.leave(30, Some(70.0));
        beside.join(31);
        assert_eq!(beside.left_next_to(0), 0.0, "somebody may go on yet");
        tokio::time::advance(GOES_ON).await;
        let told = [0, 21, 31, 0, 21].map(|segment| beside.left_next_to(segment));
        assert_eq!(told, [300.0, 300.0, 0.0, 0.0, 0.0]);
        beside.leave(31, Some(50.0));
        tokio::time::advance(GOES_ON).await;
        let told = [0, 21].map(|segment| beside.left_next_to(segment));
        assert_eq!(told, [0.0, 50.0]);
    }
}
