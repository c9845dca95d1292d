//! What a worker reports while it works: to the history of the run, and to whoever watches it from outside.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::now_ms;
use crate::records::{BUCKET_MS, Counters, Flush, RunRecord};

/// A segment is flushed no more often than this within a chunk.
const LEAST_EVERY: Duration = Duration::from_millis(BUCKET_MS);

/// Nor more often than so many times in the age of the run, so that the number of flushes grows with its logarithm.
const FLUSHES_PER_AGE: u32 = 60;

/// Nor than this times the segments at once: all of them write to one item, and a partition takes 1,000 write units a
/// second (developer guide, Best practices for designing and using partition keys).
const EVERY_PER_SEGMENT: Duration = Duration::from_millis(20);

/// How long a flush may take, also beyond the time box; there is one try.
pub const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What a segment has done since it was last asked.
#[derive(Debug)]
pub struct Since {
    counters: Counters,
    at: Instant,
}

impl Since {
    /// Asked now, when the segment stands at these counters.
    pub fn new(counters: &Counters) -> Since {
        Since {
            counters: *counters,
            at: Instant::now(),
        }
    }

    /// How long ago it was asked.
    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// What was done since, and in what time; `None`, and nothing changes, where that is nothing.
    pub fn take(&mut self, counters: &Counters) -> Option<(Counters, Duration)> {
        let done = (*counters - self.counters).work();
        let since = std::mem::replace(self, Since::new(counters));
        if done == Counters::default() {
            *self = since;
            return None;
        }
        Some((done, self.at - since.at))
    }
}

/// When a segment's history is due, and what there is to flush.
#[derive(Debug)]
pub(crate) struct Recorder {
    since: Since,
    /// The counters of the last checkpoint.
    saved: Counters,
    begin: Instant,
    /// Age of the run at `begin`.
    age: Duration,
    least: Duration,
}

impl Recorder {
    /// For a chunk of this run that begins now, with these counters.
    pub(crate) fn new(run: &RunRecord, counters: &Counters) -> Recorder {
        Recorder {
            since: Since::new(counters),
            saved: *counters,
            begin: Instant::now(),
            age: Duration::from_millis(now_ms().saturating_sub(run.started_ms)),
            least: LEAST_EVERY.max(EVERY_PER_SEGMENT * run.settings.max_concurrency),
        }
    }

    /// These counters are checkpointed.
    pub(crate) fn saved(&mut self, counters: &Counters) {
        self.saved = *counters;
    }

    /// Whether it is time for a flush.
    pub(crate) fn is_due(&self) -> bool {
        let age = self.age + self.begin.elapsed();
        self.since.elapsed() >= self.least.max(age / FLUSHES_PER_AGE)
    }

    /// What was checkpointed since it was last asked.
    pub(crate) fn take(&mut self) -> Option<Flush> {
        let (done, time) = self.since.take(&self.saved)?;
        Some(Flush {
            at_ms: now_ms(),
            seconds: time.as_secs_f64(),
            done,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_once() {
        let mut counters = Counters::default();
        let mut since = Since::new(&counters);
        assert_eq!(since.take(&counters), None);
        counters.updated = 3;
        counters.consumed_wcu = 4.5;
        counters.checkpoints = 1;
        let (done, _) = since.take(&counters).unwrap();
        assert_eq!((done.updated, done.consumed_wcu), (3, 4.5));
        counters.checkpoints = 2;
        assert_eq!(since.take(&counters), None, "a checkpoint is no work");
    }
}
