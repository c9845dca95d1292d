//! The history of a run: what its workers did, by wall time, for a chart.
//!
//! A worker adds what it has checkpointed since its last flush to a bucket of ten seconds. It does so once and never
//! again: a flush that fails is lost, and so is what a worker that died had not flushed yet. So the history may hold less
//! than the segment records, which are the truth, and never more. Verifications are not in it, since the verifier may
//! write nowhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::checkpoint::{Counters, RunRecord, now_ms};

/// Width of a bucket in milliseconds.
pub const BUCKET_MS: u64 = 10_000;

/// A segment is flushed no more often than this within a chunk.
const LEAST_EVERY: Duration = Duration::from_millis(BUCKET_MS);
/// Nor more often than so many times in the age of the run, so that the number of flushes grows with its logarithm.
const FLUSHES_PER_AGE: u32 = 60;
/// Nor than this times the segments at once: all of them write to one item, and a partition takes 1,000 write units a
/// second (developer guide, Best practices for designing and using partition keys).
const EVERY_PER_SEGMENT: Duration = Duration::from_millis(20);

/// A flush looks back no longer than a chunk; a damaged record may say anything.
const LONGEST_LOOK_BACK_MS: f64 = 3_600_000.0;

/// How long a flush may take, also beyond the time box; there is one try.
pub const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What was done in a while: differences of [`Counters`], which see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub scanned: u64,
    pub matched: u64,
    pub updated: u64,
    pub raced: u64,
    pub vanished: u64,
    pub rejected: u64,
    pub consumed_rcu: f64,
    pub consumed_wcu: f64,
    pub throttles: u64,
}

impl Done {
    /// What was done between two states of a segment.
    pub fn between(before: &Counters, after: &Counters) -> Done {
        Done {
            scanned: after.scanned.saturating_sub(before.scanned),
            matched: after.matched.saturating_sub(before.matched),
            updated: after.updated.saturating_sub(before.updated),
            raced: after.raced.saturating_sub(before.raced),
            vanished: after.vanished.saturating_sub(before.vanished),
            rejected: after.rejected.saturating_sub(before.rejected),
            consumed_rcu: (after.consumed_rcu - before.consumed_rcu).max(0.0),
            consumed_wcu: (after.consumed_wcu - before.consumed_wcu).max(0.0),
            throttles: after.throttles.saturating_sub(before.throttles),
        }
    }
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, other: Done) {
        // Written out as a pattern, so that a new figure cannot be forgotten here. Saturating, since a damaged record may say
        // anything.
        let Done {
            scanned,
            matched,
            updated,
            raced,
            vanished,
            rejected,
            consumed_rcu,
            consumed_wcu,
            throttles,
        } = other;
        self.scanned = self.scanned.saturating_add(scanned);
        self.matched = self.matched.saturating_add(matched);
        self.updated = self.updated.saturating_add(updated);
        self.raced = self.raced.saturating_add(raced);
        self.vanished = self.vanished.saturating_add(vanished);
        self.rejected = self.rejected.saturating_add(rejected);
        self.consumed_rcu += consumed_rcu;
        self.consumed_wcu += consumed_wcu;
        self.throttles = self.throttles.saturating_add(throttles);
    }
}

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
    pub fn take(&mut self, counters: &Counters) -> Option<(Done, Duration)> {
        let done = Done::between(&self.counters, counters);
        let since = std::mem::replace(self, Since::new(counters));
        if done == Done::default() {
            *self = since;
            return None;
        }
        Some((done, self.at - since.at))
    }
}

/// One addition to the history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flush {
    /// When; milliseconds since 1970.
    pub at_ms: u64,
    /// The time before that in which it was done.
    pub seconds: f64,
    pub done: Done,
}

impl Flush {
    /// The bucket that it belongs to.
    pub fn bucket_ms(&self) -> u64 {
        self.at_ms - self.at_ms % BUCKET_MS
    }

    /// Seconds since the begin of that.
    pub fn offset_seconds(&self) -> f64 {
        (self.at_ms % BUCKET_MS) as f64 / 1000.0
    }
}

/// What was flushed within ten seconds in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    pub pass: u32,
    /// Milliseconds since 1970.
    pub start_ms: u64,
    pub flushes: u64,
    /// Sum of [`Flush::seconds`].
    pub seconds: f64,
    /// Sum of the seconds from its begin to its flushes.
    pub offset_seconds: f64,
    #[serde(flatten)]
    pub done: Done,
}

impl Bucket {
    /// An empty one.
    pub fn new(pass: u32, start_ms: u64) -> Bucket {
        Bucket {
            pass,
            start_ms,
            flushes: 0,
            seconds: 0.0,
            offset_seconds: 0.0,
            done: Done::default(),
        }
    }

    /// Adds a flush.
    pub fn add(&mut self, flush: &Flush) {
        self.flushes += 1;
        self.seconds += flush.seconds;
        self.offset_seconds += flush.offset_seconds();
        self.done += flush.done;
    }

    /// From when to when its work was done, by the mean of its flushes; milliseconds since 1970.
    fn span_ms(&self) -> (f64, f64) {
        let flushes = self.flushes.max(1) as f64;
        let offset = (1000.0 * self.offset_seconds / flushes).clamp(0.0, BUCKET_MS as f64);
        let length = (1000.0 * self.seconds / flushes).clamp(1.0, LONGEST_LOOK_BACK_MS);
        // Beyond that a damaged record would not be told to the millisecond.
        let to = (self.start_ms as f64).min(1e15) + offset;
        (to - length, to)
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

/// Rates of a while, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    pub scanned: f64,
    pub updated: f64,
    pub read_units: f64,
    pub write_units: f64,
    pub throttles: f64,
}

/// A while in a [`Series`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Milliseconds since 1970, as is `to_ms`.
    pub from_ms: f64,
    pub to_ms: f64,
    pub rates: Rates,
}

/// A history in bins, for a chart. Where one does not begin at the end of the one before it, nothing was done in between.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    pub bins: Vec<Bin>,
}

/// Idle time, such as a pause, is cut out of a series where it is as long as this many bins.
const GAP_BINS: f64 = 6.0;

impl Series {
    /// Puts buckets, of one pass or several, into at most so many bins of about the same width, ten seconds or more. What was done
    /// in a bucket is spread over the time in which it was done, and the sums stay.
    pub fn new(buckets: &[Bucket], most_bins: usize) -> Series {
        let mut spans: Vec<((f64, f64), &Done)> = buckets
            .iter()
            .map(|bucket| (bucket.span_ms(), &bucket.done))
            .collect();
        spans.sort_by(|((a, _), _), ((b, _), _)| a.total_cmp(b));
        let mut width = BUCKET_MS as f64;
        // What is idle depends on the width of a bin, and that on how much is idle.
        let mut series = loop {
            let series = Series::empty(spans.iter().map(|(span, _)| *span), width);
            let bins = series.bins.len();
            if bins <= most_bins.max(1) {
                break series;
            }
            width *= (bins as f64 / most_bins.max(1) as f64).max(1.1);
        };
        for (span, done) in spans {
            series.spread(span, done);
        }
        series
    }

    /// The bins alone, over spans in the order in which they begin.
    fn empty(spans: impl Iterator<Item = (f64, f64)>, width: f64) -> Series {
        let mut stretches: Vec<(f64, f64)> = Vec::new();
        for (from, to) in spans {
            match stretches.last_mut() {
                Some(stretch) if from < stretch.1 + GAP_BINS * width => {
                    stretch.1 = stretch.1.max(to);
                }
                _ => stretches.push((from, to)),
            }
        }
        let bins = stretches.into_iter().flat_map(|(from, to)| {
            let count = ((to - from) / width).round().max(1.0);
            let edge = move |i: f64| from + (to - from) * (i / count);
            (0..count as usize).map(move |i| Bin {
                from_ms: edge(i as f64),
                to_ms: edge(i as f64 + 1.0),
                rates: Rates::default(),
            })
        });
        Series {
            bins: bins.collect(),
        }
    }

    fn spread(&mut self, (from, to): (f64, f64), done: &Done) {
        let begin = self.bins.partition_point(|bin| bin.to_ms <= from);
        for bin in &mut self.bins[begin..] {
            if bin.from_ms >= to {
                break;
            }
            let part = (to.min(bin.to_ms) - from.max(bin.from_ms)) / (to - from);
            let per_second = part * 1000.0 / (bin.to_ms - bin.from_ms);
            let rates = &mut bin.rates;
            rates.scanned += done.scanned as f64 * per_second;
            rates.updated += done.updated as f64 * per_second;
            rates.read_units += done.consumed_rcu * per_second;
            rates.write_units += done.consumed_wcu * per_second;
            rates.throttles += done.throttles as f64 * per_second;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flushed(at_s: u64, seconds: f64, updated: u64) -> Bucket {
        let flush = Flush {
            at_ms: at_s * 1000,
            seconds,
            done: Done {
                updated,
                throttles: 2 * updated,
                ..Done::default()
            },
        };
        let mut bucket = Bucket::new(1, flush.bucket_ms());
        bucket.add(&flush);
        bucket
    }

    fn sum(series: &Series) -> f64 {
        let updated = |bin: &Bin| bin.rates.updated * (bin.to_ms - bin.from_ms) / 1000.0;
        series.bins.iter().map(updated).sum()
    }

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

    const START: u64 = 1_800_000_000;

    /// Flushes that drift through the buckets, which some of them leave empty, make a level line.
    #[test]
    fn a_series_keeps_the_sums_and_spreads_late_flushes() {
        for every in [10, 11, 13, 40, 130] {
            let buckets: Vec<Bucket> = (1..=90)
                .map(|i| flushed(START + every * i, every as f64, every * 7))
                .collect();
            for most in [1, 12, 60] {
                let series = Series::new(&buckets, most);
                assert!(series.bins.len() <= most);
                assert!((sum(&series) - (90 * every * 7) as f64).abs() < 1e-3);
                assert_eq!(series.bins[0].from_ms, (START * 1000) as f64);
                for bin in &series.bins {
                    assert!((bin.rates.updated - 7.0).abs() < 1e-6, "{every}: {bin:?}");
                    assert!((bin.rates.throttles - 14.0).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_pause_is_cut_out() {
        let day = 24 * 3600;
        let of_day = |begin| (1..=6).map(move |i| flushed(begin + 10 * i, 10.0, 50));
        let buckets: Vec<Bucket> = of_day(START).chain(of_day(START + day)).collect();
        let series = Series::new(&buckets, 60);
        assert!((sum(&series) - 600.0).abs() < 1e-6, "{series:?}");
        assert_eq!(series.bins.len(), 12);
        assert_eq!(series.bins[5].to_ms, ((START + 60) * 1000) as f64);
        assert_eq!(series.bins[6].from_ms, ((START + day) * 1000) as f64);
    }

    #[test]
    fn damaged_figures_can_be_summed() {
        let mut done = flushed(START, 10.0, u64::MAX / 2).done;
        done += done;
        done += done;
        assert_eq!((done.updated, done.throttles), (u64::MAX, u64::MAX));
    }

    #[test]
    fn no_history_is_an_empty_series_and_odd_figures_do_no_harm() {
        assert_eq!(Series::new(&[], 60), Series::default());
        let odd = flushed(START, 10.0, 5);
        for odd in [
            Bucket::new(1, 0),
            flushed(5, 1e300, 5),
            Bucket {
                start_ms: u64::MAX,
                ..odd
            },
            Bucket {
                seconds: -1.0,
                offset_seconds: -1.0,
                flushes: 0,
                ..odd
            },
            Bucket {
                seconds: f64::MAX,
                offset_seconds: f64::MAX,
                ..odd
            },
        ] {
            for most in [0, 1, 60] {
                let series = Series::new(&[odd, flushed(START + 9, 10.0, 1)], most);
                assert!(series.bins.len() <= most.max(1));
                let expected = odd.done.updated as f64 + 1.0;
                assert!((sum(&series) - expected).abs() < 1e-3, "{odd:?} {series:?}");
            }
        }
    }
}
