//! The sums of a pass, read: which segments are exhausted, and what they come to.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::Result;
use crate::pace::retry::{PATIENCE, Until, retry};
use crate::ports::CheckpointReader;
use crate::records::{BlockSum, Blocks, RunRecord, SegmentRecord};
use crate::table::{in_turn, lanes};

/// Shards that are read together: those of a million segments have a megabyte each.
const SHARDS_AT_ONCE: usize = 2;

/// Records of single segments that are read together.
const RECORDS_AT_ONCE: usize = 32;

/// Reads the sums of a pass from this block on, in the order of the blocks.
///
/// Errors: those of the store, after a minute of trying if they are retryable.
pub async fn read<S: CheckpointReader>(
    store: &S,
    run: &RunRecord,
    pass: u32,
    from: u32,
) -> Result<Vec<BlockSum>> {
    let until = Until::after(PATIENCE);
    let until = &until;
    let read = |shard| retry(until, move || store.sums(run, pass, shard, from));
    let shards = stream::iter(0..run.shards).map(read);
    let sums: Vec<Vec<BlockSum>> = shards.buffered(SHARDS_AT_ONCE).try_collect().await?;
    let mut sums = sums.concat();
    sums.sort_unstable_by_key(|sum| sum.block);
    Ok(sums)
}

/// Which segments of a pass are in its sums.
#[derive(Debug, Clone)]
pub struct Summed {
    blocks: Blocks,
    segments: Vec<bool>,
}

impl Summed {
    /// None of a run with these blocks and so many segments.
    pub fn none(blocks: Blocks, total: u32) -> Summed {
        Summed {
            blocks,
            segments: vec![false; total as usize],
        }
    }

    /// Takes note of those in this sum.
    pub fn add(&mut self, sum: &BlockSum) {
        for (place, _) in &sum.segments {
            if let Some(segment) = self.blocks.segment(sum.block, *place) {
                self.note(segment);
            }
        }
    }

    /// Takes note of a segment.
    pub fn note(&mut self, segment: u32) {
        if let Some(held) = self.segments.get_mut(segment as usize) {
            *held = true;
        }
    }

    /// Whether a segment is in a sum.
    pub fn holds(&self, segment: u32) -> bool {
        self.segments
            .get(segment as usize)
            .copied()
            .unwrap_or(false)
    }

    /// How many are.
    pub fn count(&self) -> u32 {
        self.segments.iter().filter(|held| **held).count() as u32
    }

    /// Reads the records of segments that were claimed in the current pass and are in no sum. Of each lane they were taken
    /// one after the other, so they come before those of the lane that have no record, but for one that is about to be claimed.
    /// With `most`, no more than so many are looked at.
    ///
    /// Errors: those of the store, after a minute of trying if they are retryable.
    pub async fn begun<S: CheckpointReader>(
        &self,
        store: &S,
        run: &RunRecord,
        most: usize,
    ) -> Result<Vec<SegmentRecord>> {
        let settings = &run.settings;
        let until = Until::after(PATIENCE);
        let until = &until;
        let lanes: Vec<_> = lanes(settings.total_segments, settings.max_concurrency).collect();
        let count = lanes.len();
        let is_open = |segment: &u32| settings.includes(*segment) && !self.holds(*segment);
        let open = in_turn(lanes.into_iter().map(|lane| lane.filter(is_open))).take(most);
        let read = |segment| retry(until, move || store.segment(run, run.pass, segment));
        let mut records = stream::iter(open).map(read).buffered(RECORDS_AT_ONCE);
        let mut begun = Vec::new();
        let mut without = 0;
        while let Some(record) = records.try_next().await? {
            match record {
                Some(record) => {
                    begun.push(record);
                    without = 0;
                }
                None => without += 1,
            }
            if without >= 2 * count {
                break;
            }
        }
        Ok(begun)
    }
}
