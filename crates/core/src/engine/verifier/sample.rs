//! The count of a sample: of some segments of the table, drawn at random, by strongly consistent reads; and what it says of the whole.
//! It is an estimate, and no proof.
//!
//! What is drawn is segments, not items: items of one partition key lie together, and are read together. So the segment is the unit of
//! which the interval is made, whatever is in it.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::bound::highest_mean;
use super::segment::{CountSum, Counting, MAX_SAMPLES, OpenSegment, SEGMENTS_AT_ONCE};
use crate::pace::retry::Until;
use crate::pace::{Budget, Pace};
use crate::ports::TableReader;
use crate::table::MAX_SEGMENTS;
use crate::{Error, Key, Result};

/// Least segments that are read of a table: fewer say little.
const LEAST_DRAWN: f64 = 100.0;

/// Bytes of a segment, if the table can be cut so finely. A smaller one costs as much to read as is read of it in vain, since read
/// units are rounded up; and the more segments are read, the narrower the interval.
const SEGMENT_BYTES: u64 = 16 * 1024;

/// The least and the most of a table that a sample reads.
const LEAST_PART: f64 = 0.000_1;
const MOST_PART: f64 = 0.5;

/// The risk that the number of pending items is below and above the interval. It is 5 % in all; the lower end has less of it, since
/// who asks wants to know how many there are at most.
const RISK_BELOW: f64 = 0.01;
const RISK_ABOVE: f64 = 0.04;

/// By so many standard deviations a count of items has to be above what a sample lets expect, if that is no chance.
const SIGNIFICANT: f64 = 2.0;

/// Which segments of a table are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The part of the table that was asked for, 0.0001 to 0.5.
    pub part: f64,
    /// By which segments were drawn: the same seed draws the same ones of as many.
    pub seed: u64,
    /// Segments that the table is cut into, 1 to 1,000,000.
    pub total_segments: u32,
    /// The numbers of those that are read, from 0, each once, in no order.
    pub segments: Vec<u32>,
}

impl Draw {
    /// Reads the part of a table as it is typed: a percentage.
    ///
    /// Errors: `InvalidInput`, which names `sample`.
    pub fn part(typed: &str) -> Result<f64> {
        let percent = typed.trim().strip_suffix('%').map(str::trim_end);
        let is_plain = |text: &&str| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        let part = percent
            .filter(is_plain)
            .and_then(|text| text.parse::<f64>().ok());
        let part = part.map(|percent| percent / 100.0);
        part.filter(|part| (LEAST_PART..=MOST_PART).contains(part))
            .ok_or_else(|| {
                let why = format!(
                    "expected a percentage from 0.01% to 50%, such as 2%, got {typed:?}; a whole table is counted without it"
                );
                Error::invalid("sample", why)
            })
    }

    /// Draws by this seed about so much of a table of so many bytes, which is cut into segments of some 16 KB for it, or as many as
    /// it takes for at least a hundred to be read.
    pub fn new(part: f64, seed: u64, table_bytes: u64) -> Draw {
        let by_size = table_bytes.div_ceil(SEGMENT_BYTES).min(MAX_SEGMENTS.into()) as u32;
        let total_segments = by_size
            .max((LEAST_DRAWN / part).ceil() as u32)
            .min(MAX_SEGMENTS);
        let many = (f64::from(total_segments) * part).round() as u32;
        let mut random = fastrand::Rng::with_seed(seed);
        // R. W. Floyd's way to draw without replacement (Communications of the ACM 30, 1987).
        let mut drawn = BTreeSet::new();
        for last in total_segments - many.clamp(1, total_segments)..total_segments {
            let segment = random.u32(..=last);
            if !drawn.insert(segment) {
                drawn.insert(last);
            }
        }
        let mut segments: Vec<u32> = drawn.into_iter().collect();
        // Neighbours share a partition, which should not have all the reads at once.
        random.shuffle(&mut segments);
        Draw {
            part,
            seed,
            total_segments,
            segments,
        }
    }
}

/// What was counted in one segment, wholly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountedSegment {
    /// Items that it has.
    pub items: u64,
    /// Items of it that are pending.
    pub pending: u64,
}

/// The segments of a sample as they were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleCount {
    /// True if each segment that was drawn is read to its end. Else nothing follows from the others: those with many items take the
    /// longest.
    pub done: bool,
    /// The segments that are read to their ends.
    pub segments: Vec<CountedSegment>,
    /// Items that were read, also of other segments.
    pub scanned: u64,
    /// Those of them that are pending.
    pub pending: u64,
    /// Up to ten keys of pending items.
    pub samples: Vec<Key>,
    /// Read capacity units, as DynamoDB reported them.
    pub consumed_rcu: f64,
}

/// Counts the segments that were drawn, strongly consistently, within the budget, until all are read or the time is over.
///
/// Errors: whatever the table refuses, with the segment's number.
pub async fn count_sample<R: TableReader>(
    reader: &R,
    draw: &Draw,
    budget: &Budget,
    until: &Until,
    sum: &CountSum,
) -> Result<SampleCount> {
    let counting = Counting {
        reader,
        total_segments: draw.total_segments,
        pace: Pace::of_count(budget, SEGMENTS_AT_ONCE.min(draw.segments.len())),
        until,
        out_of_time: AtomicBool::new(false),
        again: AtomicBool::new(false),
        sum,
    };
    let mut all = SampleCount::default();
    let mut counts = stream::iter(&draw.segments)
        .map(|segment| counting.segment(OpenSegment::new(*segment)))
        .buffer_unordered(SEGMENTS_AT_ONCE);
    while let Some(count) = counts.next().await {
        let count = count?;
        all.scanned = all.scanned.saturating_add(count.scanned);
        all.pending = all.pending.saturating_add(count.remaining);
        all.consumed_rcu += count.consumed_rcu;
        let room = MAX_SAMPLES - all.samples.len();
        all.samples.extend(count.samples.into_iter().take(room));
        if count.segment.is_done() {
            all.segments.push(CountedSegment {
                items: count.scanned,
                pending: count.remaining,
            });
        }
    }
    all.done = all.segments.len() == draw.segments.len();
    Ok(all)
}

/// What a sample says of a whole table: how many items are pending, with 95 % confidence.
///
/// The interval covers their number in 95 of 100 samples at least, however pending items lie among the segments, if no segment has more
/// pending items than `most_of_one`. No sample says how much there is in a segment that it has not read. With sort keys a table may have
/// such a segment: all items of one partition key can lie in one. Only if DynamoDB counts far more items than the sample lets expect
/// does the interval allow for them all to be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Items of the table, by the items of the segments that were read.
    pub items: u64,
    /// Items that are pending, by those of them.
    pub estimate: u64,
    /// The lower end of the interval.
    pub at_least: u64,
    /// The upper end of the interval.
    pub at_most: u64,
    /// The items of the largest segment that was read, 1 if none has any.
    pub most_of_one: u64,
}

impl Estimate {
    /// The estimate by a sample that was read to its end, of a table that is cut into so many segments, and that has so many items by
    /// DynamoDB's own count, which is some hours old.
    pub fn new(segments: &[CountedSegment], total_segments: u32, described: u64) -> Estimate {
        let drawn = segments.len();
        let most_of_one = segments.iter().map(|it| it.items).max().unwrap_or(0).max(1);
        let parts = segments
            .iter()
            .map(|it| it.pending as f64 / most_of_one as f64);
        let positive =
            |parts: &mut dyn Iterator<Item = f64>| parts.filter(|part| *part > 0.0).collect();
        let high = highest_mean(positive(&mut parts.clone()), drawn, RISK_ABOVE);
        // What is not pending, at most.
        let low = 1.0
            - highest_mean(
                positive(&mut parts.map(|part| 1.0 - part)),
                drawn,
                RISK_BELOW,
            );
        let whole = f64::from(total_segments) * most_of_one as f64;
        let found: u64 = segments.iter().map(|it| it.pending).sum();
        let items: u64 = segments.iter().map(|it| it.items).sum();
        let times = f64::from(total_segments) / drawn.max(1) as f64;
        let estimate = (found as f64 * times).round() as u64;
        let items = items as f64 * times;
        let unseen =
            (described as f64 - items - SIGNIFICANT * deviation(segments, total_segments)).max(0.0);
        Estimate {
            items: items.round() as u64,
            estimate,
            at_least: ((whole * low).floor() as u64).clamp(found, estimate),
            at_most: ((whole * high + unseen).ceil() as u64).max(estimate),
            most_of_one,
        }
    }
}

/// The standard deviation of the number of items that a sample lets expect in a table that is cut into so many segments.
fn deviation(segments: &[CountedSegment], total_segments: u32) -> f64 {
    let drawn = segments.len().max(2) as f64;
    let mean = segments.iter().map(|it| it.items as f64).sum::<f64>() / drawn;
    let squares = segments.iter().map(|it| (it.items as f64 - mean).powi(2));
    let variance = squares.sum::<f64>() / (drawn - 1.0);
    f64::from(total_segments) * (variance / drawn).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples that are drawn of each kind of table.
    const SEEDS: u64 = 400;

    fn even(items: u32) -> Vec<CountedSegment> {
        let mut random = fastrand::Rng::with_seed(16);
        let mut table = vec![CountedSegment::default(); 5_000];
        for _ in 0..items {
            table[random.usize(..5_000)].items += 1;
        }
        table
    }

    /// A table in which one item in so many is pending, wherever it lies.
    fn one_in(table: &[CountedSegment], many: u64) -> Vec<CountedSegment> {
        let mut random = fastrand::Rng::with_seed(17);
        let mark = |it: &CountedSegment| CountedSegment {
            pending: (0..it.items).filter(|_| random.u64(..many) == 0).count() as u64,
            ..*it
        };
        table.iter().map(mark).collect()
    }

    /// A table in which so many partition keys have so many pending items each.
    fn with_keys(keys: usize, many: u64) -> Vec<CountedSegment> {
        let mut table = even(200_000);
        for it in table.iter_mut().step_by(5_000 / keys).take(keys) {
            it.items += many;
            it.pending += many;
        }
        table
    }

    /// Few partition keys have most of the items, and the pending ones with them.
    fn skewed() -> Vec<CountedSegment> {
        let mut table = even(200_000);
        for (nth, it) in table.iter_mut().enumerate() {
            let more = 20_000 / (nth as u64 + 1);
            it.items += more;
            it.pending += if nth % 3 == 0 { more } else { 0 };
        }
        table
    }

    fn draw(part: f64, seed: u64) -> Draw {
        let draw = Draw::new(part, seed, 5_000 * SEGMENT_BYTES);
        assert_eq!(draw.total_segments, 5_000);
        draw
    }

    fn drawn(table: &[CountedSegment], draw: &Draw) -> Estimate {
        let segments = draw.segments.iter().map(|at| table[*at as usize]);
        let described = table.iter().map(|it| it.items).sum();
        Estimate::new(&segments.collect::<Vec<_>>(), 5_000, described)
    }

    /// The part of samples whose interval covers the truth.
    fn covered(table: &[CountedSegment], part: f64) -> f64 {
        let truth: u64 = table.iter().map(|it| it.pending).sum();
        let covers = |seed: &u64| {
            let found = drawn(table, &draw(part, *seed));
            let order = [found.at_least, found.estimate, found.at_most];
            assert!(order.is_sorted(), "{found:?}");
            (found.at_least..=found.at_most).contains(&truth)
        };
        (0..SEEDS).filter(covers).count() as f64 / SEEDS as f64
    }

    #[test]
    fn the_interval_covers_the_truth_wherever_pending_items_lie() {
        let (small, usual) = (even(5_000), even(200_000));
        for (name, table) in [
            ("nothing", usual.clone()),
            ("one item", with_keys(1, 1)),
            ("a few items", one_in(&usual, 20_000)),
            ("one in a hundred", one_in(&usual, 100)),
            ("a third", one_in(&usual, 3)),
            ("a third of a small table", one_in(&small, 3)),
            ("a few items of a small table", one_in(&small, 500)),
            ("all of a small table", one_in(&small, 1)),
            ("one partition key", with_keys(1, 8_000)),
            ("five partition keys", with_keys(5, 1_000)),
            ("a hundred partition keys", with_keys(100, 60)),
            ("a hundred large partition keys", with_keys(100, 2_000)),
            ("a thousand partition keys", with_keys(1_000, 500)),
            ("skewed", skewed()),
        ] {
            let part = covered(&table, 0.02);
            println!("{name}: {part}, {:?}", drawn(&table, &draw(0.02, 0)));
            assert!(part >= 0.95, "{name}: {part}");
        }
    }

    /// An interval that covers everything says nothing. So wide are they, by the truth.
    #[test]
    fn the_interval_is_as_narrow_as_the_segments_allow() {
        let usual = even(200_000);
        for (table, part, most) in [
            // The rule of three, of the segments.
            (usual.clone(), 0.02, 0.05 * 200_000.0),
            (usual.clone(), 0.1, 0.011 * 200_000.0),
            (one_in(&usual, 3), 0.02, 1.25 * 66_667.0),
            (one_in(&usual, 3), 0.1, 1.1 * 66_667.0),
        ] {
            let found = drawn(&table, &draw(part, 1));
            assert!(found.at_most as f64 <= most, "{part}: {found:?}, {most}");
        }
        let third = drawn(&one_in(&usual, 3), &draw(0.02, 1));
        assert!(third.at_least >= 55_000, "{third:?}");
    }

    /// What no sample of segments can know: one that it has not read has more pending items than any that it has read, and DynamoDB has
    /// not counted them yet. That is said with each estimate, by `most_of_one`.
    #[test]
    fn one_partition_key_with_more_items_than_the_interval_allows_for_is_not_covered() {
        let table = with_keys(1, 12_000);
        let read = |seed| {
            let draw = draw(0.02, seed);
            let segments = draw.segments.iter().map(|at| table[*at as usize]);
            Estimate::new(&segments.collect::<Vec<_>>(), 5_000, 200_000)
        };
        let covers = (0..SEEDS).filter(|seed| read(*seed).at_most >= 12_000);
        let covers = covers.count();
        assert!(
            covers < 40,
            "the documents may say that it is covered: {covers} of {SEEDS}"
        );
        let missed = read(0);
        assert!(
            missed.most_of_one < 12_000 && missed.estimate == 0,
            "{missed:?}"
        );
        // Once DynamoDB has counted them, it is allowed that they are pending.
        let segments = draw(0.02, 0).segments;
        let segments: Vec<_> = segments.iter().map(|at| table[*at as usize]).collect();
        let counted = Estimate::new(&segments, 5_000, 220_000);
        assert!(counted.at_most > 12_000, "{counted:?}");
    }

    #[test]
    fn the_same_seed_draws_the_same_part_of_the_table() {
        for (part, bytes, total, many) in [
            (0.02, 0, 5_000, 100),
            (0.005, 0, 20_000, 100),
            (0.5, 1, 200, 100),
            (0.000_1, u64::MAX, 1_000_000, 100),
            (0.02, 100_000 * SEGMENT_BYTES, 100_000, 2_000),
            (0.5, u64::MAX, 1_000_000, 500_000),
        ] {
            let one = Draw::new(part, 7, bytes);
            assert_eq!(
                (one.total_segments, one.segments.len()),
                (total, many),
                "{part}"
            );
            let numbers: BTreeSet<u32> = one.segments.iter().copied().collect();
            assert_eq!(numbers.len(), many, "each once");
            assert!(numbers.iter().all(|number| *number < total));
            assert_eq!(Draw::new(part, 7, bytes), one);
            assert_ne!(Draw::new(part, 8, bytes).segments, one.segments);
        }
    }

    /// Each segment is drawn as often as any other.
    #[test]
    fn every_segment_has_its_chance() {
        let mut times = vec![0_u32; 200];
        for seed in 0..2_000 {
            for segment in Draw::new(0.5, seed, 0).segments {
                times[segment as usize] += 1;
            }
        }
        // Five standard deviations of a thousand.
        assert!(
            times.iter().all(|times| times.abs_diff(1_000) < 112),
            "{times:?}"
        );
    }

    #[test]
    fn a_part_is_a_percentage() {
        for (typed, part) in [
            ("2%", 0.02),
            ("0.5%", 0.005),
            (" 50 % ", 0.5),
            ("0.01%", 0.000_1),
            (".5%", 0.005),
        ] {
            assert!((Draw::part(typed).unwrap() - part).abs() < 1e-12, "{typed}");
        }
        for typed in [
            "2", "0.02", "%", "", "-1%", "+1%", "100%", "51%", "0%", "0.009%", "1e1%", "NaN%",
            "inf%", "two%", "1.2.3%",
        ] {
            let error = Draw::part(typed).expect_err(typed);
            assert!(error.kind().is_refusal());
            assert!(
                error
                    .to_string()
                    .starts_with("sample: expected a percentage"),
                "{error}"
            );
        }
    }
}
