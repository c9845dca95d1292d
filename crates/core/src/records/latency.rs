//! How long requests to the table took: counts in buckets of time. Counts of several segments can be added up, and those of an
//! earlier look taken off, before a percentile is read from them; percentiles cannot.

use std::fmt::Write as _;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The bounds of a decade, each about a quarter above the one before (the series R10 of preferred numbers), in microseconds.
const STEPS: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];

/// From a tenth of a millisecond to ten seconds: no call waits longer.
const DECADES: usize = 5;

/// The bounds between buckets, in microseconds. Bucket n is what reaches n of them.
const BOUNDS: [u64; STEPS.len() * DECADES + 1] = bounds();

const fn bounds() -> [u64; STEPS.len() * DECADES + 1] {
    let mut bounds = [0; STEPS.len() * DECADES + 1];
    let (mut n, mut factor) = (0, 1);
    while n < bounds.len() {
        bounds[n] = STEPS[n % STEPS.len()] * factor;
        n += 1;
        if n % STEPS.len() == 0 {
            factor *= 10;
        }
    }
    bounds
}

/// How long requests of one kind took: how many of them, by bucket, in the order of the buckets, of which few have any.
///
/// It is stored as text, such as `17:3,120,2201 24:1`: the number of a bucket and its count, followed by those of the buckets
/// behind it. What cannot be read of it is left out: nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(Vec<(u8, u64)>);

impl Histogram {
    /// Counts a request.
    pub fn note(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound <= micros);
        self.add(bucket, 1);
    }

    fn add(&mut self, bucket: usize, requests: u64) {
        if requests == 0 || bucket > BOUNDS.len() {
            return;
        }
        let bucket = bucket as u8;
        match self.find(bucket) {
            // A damaged record may say anything.
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(requests),
            Err(at) => self.0.insert(at, (bucket, requests)),
        }
    }

    /// Where a bucket is, or else would be.
    fn find(&self, bucket: u8) -> Result<usize, usize> {
        self.0.binary_search_by_key(&bucket, |(bucket, _)| *bucket)
    }

    /// The buckets that have any, by number, with their counts.
    pub fn counts(&self) -> impl Iterator<Item = (u8, u64)> {
        self.0.iter().copied()
    }

    /// Adds so many requests to the bucket of this number; to none if there is no such bucket.
    pub fn add_to(&mut self, bucket: u8, requests: u64) {
        self.add(usize::from(bucket), requests);
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Requests that are counted.
    pub fn requests(&self) -> u64 {
        let counts = self.0.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    }

    /// Those that were counted since an earlier look. What has become fewer, as in a damaged record, is nothing.
    pub fn since(&self, before: &Histogram) -> Histogram {
        let mut since = Histogram::default();
        for (bucket, count) in &self.0 {
            let earlier = before.find(*bucket).map_or(0, |at| before.0[at].1);
            since.add(usize::from(*bucket), count.saturating_sub(earlier));
        }
        since
    }

    /// The time within which this part of the requests was answered, 0 to 1; `None` if there are none. It lies within the bucket
    /// of the request that it is of, so it is off by about a quarter at most. What took longer than the last bound counts as that.
    pub fn percentile(&self, part: f64) -> Option<Duration> {
        let rank = self.requests() as f64 * part.clamp(0.0, 1.0);
        let mut before = 0.0;
        let (mut within, mut last) = (None, None);
        for (bucket, count) in &self.0 {
            let count = *count as f64;
            last = Some((*bucket, 1.0));
            if before + count >= rank {
                within = Some((*bucket, (rank - before) / count));
                break;
            }
            before += count;
        }
        let (bucket, part) = within.or(last)?;
        let bound = |n: usize| BOUNDS[n.min(BOUNDS.len() - 1)] as f64;
        let from = match usize::from(bucket) {
            0 => 0.0,
            bucket => bound(bucket - 1),
        };
        let to = bound(bucket.into());
        let micros = from + (to - from) * part.clamp(0.0, 1.0);
        Some(Duration::from_nanos((micros * 1000.0) as u64))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut next = None;
        for (bucket, count) in &self.0 {
            // Writing to a string cannot fail.
            let _ = match next {
                Some(next) if next == *bucket => write!(text, ",{count}"),
                Some(_) => write!(text, " {bucket}:{count}"),
                None => write!(text, "{bucket}:{count}"),
            };
            next = Some(*bucket + 1);
        }
        text
    }

    fn of_text(text: &str) -> Histogram {
        let mut histogram = Histogram::default();
        for group in text.split(' ') {
            let Some((first, counts)) = group.split_once(':') else {
                continue;
            };
            let Ok(first) = first.parse::<u8>() else {
                continue;
            };
            for (bucket, count) in (usize::from(first)..).zip(counts.split(',')) {
                histogram.add(bucket, count.parse().unwrap_or(0));
            }
        }
        histogram
    }
}

impl AddAssign<&Histogram> for Histogram {
    fn add_assign(&mut self, other: &Histogram) {
        for (bucket, count) in &other.0 {
            self.add(usize::from(*bucket), *count);
        }
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Histogram::of_text(&String::deserialize(from)?))
    }
}

/// How long requests took that were answered: each try by itself, from when it was sent, so that no wait for a budget or for
/// another try is in it. What the table refused as a whole is not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// Of guarded updates: one request, of one item or of a batch.
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub writes: Histogram,
    /// Of pages of a sweep.
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub reads: Histogram,
}

impl Latencies {
    /// Those that were counted since an earlier look.
    pub fn since(&self, before: &Latencies) -> Latencies {
        Latencies {
            writes: self.writes.since(&before.writes),
            reads: self.reads.since(&before.reads),
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.reads.is_empty()
    }
}

impl AddAssign<&Latencies> for Latencies {
    fn add_assign(&mut self, other: &Latencies) {
        self.writes += &other.writes;
        self.reads += &other.reads;
    }
}

impl<'a> std::iter::Sum<&'a Latencies> for Latencies {
    fn sum<I: Iterator<Item = &'a Latencies>>(iter: I) -> Latencies {
        iter.fold(Latencies::default(), |mut sum, latencies| {
            sum += latencies;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_millis(millis: impl IntoIterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::default();
        for millis in millis {
            histogram.note(Duration::from_secs_f64(millis / 1000.0));
        }
        histogram
    }

    fn millis(histogram: &Histogram, part: f64) -> f64 {
        let percentile = histogram.percentile(part).expect("not empty");
        percentile.as_secs_f64() * 1000.0
    }

    #[test]
    fn the_bounds_are_a_quarter_apart() {
        assert_eq!((BOUNDS[0], BOUNDS[50]), (100, 10_000_000));
        for pair in BOUNDS.windows(2) {
            let factor = pair[1] as f64 / pair[0] as f64;
            assert!((1.24..=1.29).contains(&factor), "{pair:?}");
        }
    }

    /// Whatever the requests took, a percentile is within a quarter of that of the requests themselves.
    #[test]
    fn a_percentile_is_that_of_the_requests() {
        let mut random = fastrand::Rng::with_seed(7);
        for spread in [0.01, 0.5, 3.0] {
            let mut took: Vec<f64> = (0..5_000)
                .map(|_| 4.0 * (spread * (random.f64() * 2.0)).exp())
                .collect();
            let histogram = of_millis(took.iter().copied());
            took.sort_by(f64::total_cmp);
            assert_eq!(histogram.requests(), 5_000);
            for part in [0.0, 0.01, 0.5, 0.9, 0.99, 1.0] {
                let exact = took[((5_000.0 * part) as usize).min(4_999)];
                let shown = millis(&histogram, part);
                let off = (shown / exact).max(exact / shown);
                assert!(off < 1.28, "{spread} {part}: {shown} for {exact}");
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_are_told_as_what_they_are() {
        assert_eq!(Histogram::default().percentile(0.5), None);
        assert_eq!(millis(&of_millis([0.0]), 1.0), 0.1);
        assert_eq!(millis(&of_millis([3_600_000.0]), 0.5), 10_000.0);
        let mut longest = Histogram::default();
        longest.note(Duration::MAX);
        assert_eq!(millis(&longest, 1.0), 10_000.0);
        let one = of_millis([5.5]);
        for part in [-1.0, 0.0, 0.5, 1.0, 2.0, f64::NAN] {
            assert!((5.0..=6.3).contains(&millis(&one, part)), "{part}");
        }
    }

    /// The percentile of all is read from the sum of the counts: of the two parts it is neither the mean nor the larger one.
    #[test]
    fn counts_of_several_are_added_up_and_taken_off_again() {
        let fast = of_millis((0..98).map(|_| 4.5));
        let slow = of_millis([300.0, 300.0]);
        let mut all = fast.clone();
        all += &slow;
        assert_eq!(all.requests(), 100);
        assert!(millis(&all, 0.9) < 5.0);
        assert!(millis(&all, 0.99) > 250.0);
        assert_eq!(all.since(&fast), slow);
        assert_eq!(all.since(&slow), fast);
        assert!(fast.since(&all).is_empty());
        assert_eq!(all.since(&Histogram::default()), all);
        let of = |writes: &Histogram, reads: &Histogram| Latencies {
            writes: writes.clone(),
            reads: reads.clone(),
        };
        let none = Histogram::default();
        let sum: Latencies = [&of(&fast, &slow), &of(&slow, &none)].into_iter().sum();
        assert_eq!(sum, of(&all, &slow));
        assert_eq!(sum.since(&of(&fast, &slow)), of(&slow, &none));
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let histogram = of_millis([4.5, 4.5, 5.5, 7.0, 300.0, 301.0, 0.0, 60_000.0]);
        assert_eq!(histogram.text(), "0:1 17:2,1,1 35:2 51:1");
        let latencies = Latencies {
            writes: histogram,
            reads: Histogram::default(),
        };
        let json = serde_json::to_string(&latencies).unwrap();
        assert_eq!(json, r#"{"writes":"0:1 17:2,1,1 35:2 51:1"}"#);
        assert_eq!(serde_json::from_str::<Latencies>(&json).unwrap(), latencies);
        assert_eq!(
            serde_json::from_str::<Latencies>("{}").unwrap(),
            Latencies::default()
        );
    }

    /// Nothing is decided by it, so a damaged one stops nobody.
    #[test]
    fn what_cannot_be_read_is_left_out() {
        for (text, expected) in [
            ("", ""),
            ("nonsense", ""),
            ("17:x,3 -1:5 y:1 52:7 300:1", "18:3"),
            ("51:1,9,9", "51:1"),
            ("255:1,2,3", ""),
            (
                "3:18446744073709551615 3:18446744073709551615",
                "3:18446744073709551615",
            ),
            ("4:0", ""),
        ] {
            let read = Histogram::of_text(text);
            assert_eq!(read.text(), expected, "{text}");
            let _ = (read.requests(), read.percentile(0.99));
        }
    }
}
