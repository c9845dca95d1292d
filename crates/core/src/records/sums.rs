//! The sums of a pass: what the records of exhausted segments come to, block by block, so that whoever looks at a large run need not
//! read them all. An exhausted segment is in the sums once or not at all, and its record changes no more. So what a block holds is
//! right whoever has added it and however often that was tried; and a segment that is in no block may be exhausted all the same.

use crate::records::{Counters, Latencies, RunRecord, SegmentRecord, place};
use crate::table::Lanes;

/// Segments of a block, at most. Its item stays below the 1,024 bytes of one write unit, or a little above.
pub const BLOCK_SEGMENTS: u32 = 64;

/// In which block a segment is. Blocks become full one after the other, since their places are in the order in which segments are
/// taken: row by row of the lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks(Lanes);

impl Blocks {
    /// The blocks of segments in these lanes.
    pub fn new(lanes: Lanes) -> Blocks {
        Blocks(lanes)
    }

    /// The block of a segment, and its place in there.
    pub fn place(self, segment: u32) -> (u32, u8) {
        let (lane, row) = self.0.place(segment);
        // Some places of the last row stay free, so that there may be more than segments; both fit.
        let at = u64::from(row) * u64::from(self.0.count()) + u64::from(lane);
        let block = at / u64::from(BLOCK_SEGMENTS);
        (block as u32, (at % u64::from(BLOCK_SEGMENTS)) as u8)
    }

    /// The segment in a place of a block; `None` if there is none.
    pub fn segment(self, block: u32, place: u8) -> Option<u32> {
        let at = u64::from(block) * u64::from(BLOCK_SEGMENTS) + u64::from(place);
        let count = u64::from(self.0.count());
        let row = u32::try_from(at / count).ok()?;
        self.0.segment((at % count) as u32, row)
    }

    /// How many segments a block has.
    pub fn size(self, block: u32) -> usize {
        let places =
            (0..BLOCK_SEGMENTS as u8).filter(|place| self.segment(block, *place).is_some());
        places.count()
    }
}

/// What exhausted segments of a block come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlockSum {
    /// The block's number, from 0.
    pub block: u32,
    /// Its segments that are in the sum, by their places, with the items that each has scanned.
    pub segments: Vec<(u8, u64)>,
    /// Items that cannot be updated, by the places of the segments that have any.
    pub rejected: Vec<(u8, u64)>,
    /// Totals.
    pub counters: Counters,
    /// Chunks that workers have begun.
    pub chunks: u64,
    /// Segments that have passed a trial.
    pub trials: u64,
    /// How long the requests took.
    pub latency: Latencies,
    /// What the table said when it throttled one of them last; `None` if it never did.
    pub throttled_by: Option<String>,
    /// When the last of them was added; milliseconds since 1970.
    pub saved_ms: u64,
}

impl BlockSum {
    /// What these segments of a block come to.
    pub fn of<'r>(
        block: u32,
        segments: impl IntoIterator<Item = (u8, &'r SegmentRecord)>,
    ) -> BlockSum {
        let mut sum = BlockSum {
            block,
            ..BlockSum::default()
        };
        for (place, record) in segments {
            let counters = record.counters;
            sum.segments.push((place, counters.scanned));
            if counters.rejected > 0 {
                sum.rejected.push((place, counters.rejected));
            }
            sum.counters += counters;
            sum.chunks = sum.chunks.saturating_add(record.generation);
            sum.trials += u64::from(record.trial_passed);
            sum.latency += &record.latency;
            if record.throttled_by.is_some() {
                sum.throttled_by.clone_from(&record.throttled_by);
            }
            sum.saved_ms = sum.saved_ms.max(record.saved_ms);
        }
        sum
    }

    /// Whether the segment in this place is in the sum.
    pub fn holds(&self, place: u8) -> bool {
        self.segments.iter().any(|(other, _)| *other == place)
    }

    /// Adds another sum of the same block, of which no segment is in this one.
    pub fn merge(&mut self, other: &BlockSum) {
        self.segments.extend(&other.segments);
        self.rejected.extend(&other.rejected);
        self.counters += other.counters;
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.trials = self.trials.saturating_add(other.trials);
        self.latency += &other.latency;
        if other.throttled_by.is_some() {
            self.throttled_by.clone_from(&other.throttled_by);
        }
        self.saved_ms = self.saved_ms.max(other.saved_ms);
    }
}

/// Which blocks of a pass are full, so that whoever plans need not read their sums. They change no more, so this is right whoever
/// has noted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FullBlocks {
    /// How many they are: all before the first that may not be full.
    pub blocks: u32,
    /// Segments of them that have passed a trial.
    pub trials: u64,
    /// When the last segment of them was added to its sum; milliseconds since 1970.
    pub saved_ms: u64,
}

impl FullBlocks {
    /// Goes on through these sums, which are in the order of their blocks, to the first that is not full.
    pub fn advance(&mut self, blocks: Blocks, sums: &[BlockSum]) {
        for sum in sums {
            if sum.block < self.blocks {
                continue;
            }
            if sum.block > self.blocks || sum.segments.len() < blocks.size(sum.block) {
                return;
            }
            self.blocks += 1;
            self.trials = self.trials.saturating_add(sum.trials);
            self.saved_ms = self.saved_ms.max(sum.saved_ms);
        }
    }
}

impl RunRecord {
    /// The blocks in which a pass is summed up; `None` if it is not.
    pub fn blocks(&self, pass: u32) -> Option<Blocks> {
        let summed = self.sums.filter(|sums| pass >= sums.from)?;
        let lanes = Lanes::new(self.settings.total_segments, summed.lanes);
        Some(Blocks::new(lanes))
    }

    /// The shard under which the sum of a block lies.
    pub fn shard_of_block(&self, block: u32) -> u32 {
        block % self.shards.max(1)
    }

    /// The partition key of the sums under a shard: another one than that of the records of segments, since both are written when a
    /// segment ends.
    pub fn place_of_sums(&self, shard: u32) -> String {
        place(&self.run_id, self.shards, self.shards.saturating_add(shard))
    }

    /// The partition key of the count of the exhausted segments of a shard in the current pass: in a pass with sums beside these.
    pub fn place_of_count(&self, shard: u32) -> String {
        match self.blocks(self.pass) {
            Some(_) => self.place_of_sums(shard),
            None => place(&self.run_id, self.shards, shard),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each segment has a place of its own, which says which segment it is, and blocks become full in the order in which segments
    /// are taken.
    #[test]
    fn every_segment_has_one_place_in_the_order_in_which_they_are_taken() {
        for (total, count) in [
            (65, 8),
            (100, 7),
            (1_000, 1_000),
            (10_000, 40),
            (99_999, 64),
            (100_000, 10_000),
            (5, 9),
        ] {
            let lanes = Lanes::new(total, count);
            let blocks = Blocks::new(lanes);
            let mut places = BTreeSet::new();
            let mut last = 0;
            for segment in lanes.order() {
                let (block, place) = blocks.place(segment);
                assert!(places.insert((block, place)), "{segment} of {total}");
                assert_eq!(blocks.segment(block, place), Some(segment));
                assert!(block >= last, "{segment} of {total} in {count}");
                last = block;
            }
            let sizes: usize = (0..=last).map(|block| blocks.size(block)).sum();
            assert_eq!(sizes, total as usize);
            assert_eq!(blocks.size(last + 1), 0);
        }
        let million = Blocks::new(Lanes::new(1_000_000, 1_000));
        for segment in [0, 1, 999, 1_000, 123_456, 999_999] {
            let (block, place) = million.place(segment);
            assert_eq!(million.segment(block, place), Some(segment));
        }
    }
}
