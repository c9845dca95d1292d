//! The history of a run in bins, for a chart: spread over the time in which things were done, with all sums kept.

use crate::records::{BUCKET_MS, Counters, HistoryBucket};

/// Mean rates of a while, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Items that scans evaluated.
    pub scanned: f64,
    /// Items that were changed.
    pub updated: f64,
    /// Read capacity units.
    pub read_units: f64,
    /// Write capacity units, indexes included.
    pub write_units: f64,
    /// Requests, and statements of batches, that the table throttled.
    pub throttles: f64,
}

/// A while in a [`Series`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Its begin; milliseconds since 1970.
    pub from_ms: f64,
    /// Its end; milliseconds since 1970.
    pub to_ms: f64,
    /// What was done in it.
    pub rates: Rates,
}

/// A history in bins, for a chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// The bins, the earliest first. If one does not begin at the end of the one before it, nothing was done in between.
    pub bins: Vec<Bin>,
}

/// Idle time, such as a pause, is cut out of a series if it is as long as this many bins.
const GAP_BINS: f64 = 6.0;

impl Series {
    /// Puts buckets, of one pass or several, into at most `most_bins` bins of about the same width, ten seconds or more. What
    /// a bucket holds is spread over the time in which it was done, and the sums stay.
    pub fn new(buckets: &[HistoryBucket], most_bins: usize) -> Series {
        let mut spans: Vec<((f64, f64), &Counters)> = buckets
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

    /// What buckets of one pass hold of this time, in so many bins of one width. Time in which nothing was done stays in it.
    pub fn between(buckets: &[HistoryBucket], from_ms: u64, to_ms: u64, bins: usize) -> Series {
        let (from, length) = (from_ms as f64, to_ms.saturating_sub(from_ms) as f64);
        let edge = |i: usize| from + length * (i as f64 / bins as f64);
        let empty = |i| Bin {
            from_ms: edge(i),
            to_ms: edge(i + 1),
            rates: Rates::default(),
        };
        let mut series = Series {
            bins: (0..bins).map(empty).collect(),
        };
        if length > 0.0 {
            for bucket in buckets {
                series.spread(bucket.span_ms(), &bucket.done);
            }
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

    fn spread(&mut self, (from, to): (f64, f64), done: &Counters) {
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
    use crate::records::Flush;

    fn flushed(at_s: u64, seconds: f64, updated: u64) -> HistoryBucket {
        let flush = Flush {
            at_ms: at_s * 1000,
            seconds,
            done: Counters {
                updated,
                throttles: 2 * updated,
                ..Counters::default()
            },
        };
        let mut bucket = HistoryBucket::new(1, flush.bucket_ms());
        bucket.add(&flush);
        bucket
    }

    fn sum(series: &Series) -> f64 {
        let updated = |bin: &Bin| bin.rates.updated * (bin.to_ms - bin.from_ms) / 1000.0;
        series.bins.iter().map(updated).sum()
    }

    const START: u64 = 1_800_000_000;

    #[test]
    fn a_piece_of_the_history_keeps_its_time() {
        let buckets = [
            flushed(START + 10, 10.0, 100),
            flushed(START + 40, 10.0, 300),
        ];
        let at = |seconds: u64| (START + seconds) * 1000;
        let rates = |from, to, bins| -> Vec<f64> {
            let series = Series::between(&buckets, at(from), at(to), bins);
            series.bins.iter().map(|bin| bin.rates.updated).collect()
        };
        assert_eq!(rates(0, 50, 5), [10.0, 0.0, 0.0, 30.0, 0.0]);
        // What lies outside is left out.
        assert_eq!(rates(5, 25, 2), [5.0, 0.0]);
        assert_eq!(rates(50, 50, 3), [0.0; 3]);
        assert_eq!(rates(0, 50, 0), [0.0; 0]);
    }

    /// Flushes that drift through the buckets, which some of them leave empty, make a level line.
    #[test]
    fn a_series_keeps_the_sums_and_spreads_late_flushes() {
        for every in [10, 11, 13, 40, 130] {
            let buckets: Vec<HistoryBucket> = (1..=90)
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
        let buckets: Vec<HistoryBucket> = of_day(START).chain(of_day(START + day)).collect();
        let series = Series::new(&buckets, 60);
        assert!((sum(&series) - 600.0).abs() < 1e-6, "{series:?}");
        assert_eq!(series.bins.len(), 12);
        assert_eq!(series.bins[5].to_ms, ((START + 60) * 1000) as f64);
        assert_eq!(series.bins[6].from_ms, ((START + day) * 1000) as f64);
    }

    #[test]
    fn no_history_is_an_empty_series_and_odd_figures_do_no_harm() {
        assert_eq!(Series::new(&[], 60), Series::default());
        let odd = flushed(START, 10.0, 5);
        for odd in [
            HistoryBucket::new(1, 0),
            flushed(5, 1e300, 5),
            HistoryBucket {
                start_ms: u64::MAX,
                ..odd
            },
            HistoryBucket {
                seconds: -1.0,
                offset_seconds: -1.0,
                flushes: 0,
                ..odd
            },
            HistoryBucket {
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
