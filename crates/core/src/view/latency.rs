//! How long requests to the table took, as figures for people and programs.

use serde::{Serialize, Serializer};

use crate::records::{Histogram, Latencies};

/// How long requests of one kind took. Each figure is off by about a quarter at most, and none is above 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were answered.
    pub requests: u64,
    /// Milliseconds within which half of them were answered.
    pub p50_ms: f64,
    /// Milliseconds within which 90 % of them were answered.
    pub p90_ms: f64,
    /// Milliseconds within which 99 % of them were answered.
    pub p99_ms: f64,
}

impl Percentiles {
    /// Those of requests; `None` if there are none.
    pub fn of(histogram: &Histogram) -> Option<Percentiles> {
        let millis = |part| {
            let percentile = histogram.percentile(part)?;
            // More digits say nothing.
            Some((percentile.as_secs_f64() * 100_000.0).round() / 100.0)
        };
        Some(Percentiles {
            requests: histogram.requests(),
            p50_ms: millis(0.5)?,
            p90_ms: millis(0.9)?,
            p99_ms: millis(0.99)?,
        })
    }
}

/// How long requests to the table took that were answered: each try by itself, without what it waited for its turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Of guarded updates, each of one item or of a batch; null if there were none.
    pub writes: Option<Percentiles>,
    /// Of pages of a sweep; null if there were none.
    pub reads: Option<Percentiles>,
}

impl From<&Latencies> for Latency {
    fn from(latencies: &Latencies) -> Self {
        Latency {
            writes: Percentiles::of(&latencies.writes),
            reads: Percentiles::of(&latencies.reads),
        }
    }
}

/// Counts as the figures that are read from them.
pub(super) fn as_figures<S: Serializer>(latencies: &Latencies, to: S) -> Result<S::Ok, S::Error> {
    Latency::from(latencies).serialize(to)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_those_of_the_counts() {
        assert_eq!(Latency::from(&Latencies::default()), Latency::default());
        let mut latencies = Latencies::default();
        for millis in 1..=100 {
            latencies.writes.note(Duration::from_millis(millis));
        }
        let Latency { writes, reads } = Latency::from(&latencies);
        let writes = writes.expect("there were some");
        assert_eq!((writes.requests, reads), (100, None));
        for (figure, exact) in [
            (writes.p50_ms, 50.0),
            (writes.p90_ms, 90.0),
            (writes.p99_ms, 99.0),
        ] {
            assert!((exact * 0.8..=exact * 1.25).contains(&figure), "{writes:?}");
            assert_eq!(figure, (figure * 100.0).round() / 100.0);
        }
    }
}
