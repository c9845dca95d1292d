//! The sums of a pass, read: which segments are exhausted, and what they come to. Whoever leads the run also mends them.

use std::collections::BTreeMap;
use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::Result;
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::ports::{CheckpointReader, RunStore};
use crate::records::{BlockSum, Blocks, Cursor, FullBlocks, RunRecord, SegmentRecord, evenly};
use crate::table::in_turn;

/// Shards that are read together: those of a million segments have a megabyte each.
const SHARDS_AT_ONCE: usize = 2;

/// Records of single segments that are read together.
const RECORDS_AT_ONCE: usize = 32;

/// Of so many segments that are in no sum the records are read before a round: whether there are any that are exhausted all the same.
const PROBED: usize = 64;

/// Sums that are mended together.
const SUMS_AT_ONCE: usize = 16;

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
    /// All segments of blocks before this one are.
    full: u32,
}

impl Summed {
    /// None of a run with these blocks and so many segments.
    pub fn none(blocks: Blocks, total: u32) -> Summed {
        Summed {
            blocks,
            segments: vec![false; total as usize],
            full: 0,
        }
    }

    /// All segments of so many blocks, and no others.
    fn full(blocks: Blocks, total: u32, full: u32) -> Summed {
        Summed {
            full,
            ..Summed::none(blocks, total)
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
        let held = self.segments.get(segment as usize).copied();
        held.unwrap_or(false) || self.is_full(segment)
    }

    fn is_full(&self, segment: u32) -> bool {
        self.full > 0 && self.blocks.place(segment).0 < self.full
    }

    /// How many are.
    pub fn count(&self) -> u32 {
        let all = (0..).zip(&self.segments);
        all.filter(|(segment, held)| **held || self.is_full(*segment))
            .count() as u32
    }

    /// How many of those that a run sweeps are not.
    pub fn open(&self, run: &RunRecord) -> usize {
        let settings = &run.settings;
        let is_open = |segment: &u32| settings.includes(*segment) && !self.holds(*segment);
        (0..settings.total_segments).filter(is_open).count()
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
        let lanes = run.settings.lanes().each().collect();
        self.begun_of(store, run, lanes, most).await
    }

    /// Does what [`Summed::begun`] does, and if there are more lanes than `most`, looks at some that lie evenly between the others.
    ///
    /// Errors: those of the store, after a minute of trying if they are retryable.
    pub async fn sample<S: CheckpointReader>(
        &self,
        store: &S,
        run: &RunRecord,
        most: usize,
    ) -> Result<Vec<SegmentRecord>> {
        let mut lanes: Vec<_> = (0..).zip(run.settings.lanes().each()).collect();
        lanes.sort_by_key(|(lane, _)| evenly(*lane));
        let lanes = lanes.into_iter().map(|(_, lane)| lane).collect();
        self.begun_of(store, run, lanes, most).await
    }

    async fn begun_of<S: CheckpointReader>(
        &self,
        store: &S,
        run: &RunRecord,
        lanes: Vec<Range<u32>>,
        most: usize,
    ) -> Result<Vec<SegmentRecord>> {
        let settings = &run.settings;
        let until = Until::after(PATIENCE);
        let until = &until;
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

/// How far the current pass of a run has come, as whoever leads the run knows it without reading what is done.
pub(super) struct Standing {
    blocks: Blocks,
    /// What is noted of full blocks.
    full: FullBlocks,
    /// The sums of the others, in the order of their blocks.
    sums: Vec<BlockSum>,
    summed: Summed,
    /// Whether a segment has passed a trial, as far as that was looked at.
    tried: bool,
}

impl Standing {
    /// Reads the sums of blocks that are not noted as full; `None` if the pass has no sums.
    ///
    /// Errors: those of the store, after a minute of trying if they are retryable.
    pub(super) async fn read<S: CheckpointReader>(
        store: &S,
        run: &RunRecord,
    ) -> Result<Option<Standing>> {
        let Some(blocks) = run.blocks(run.pass) else {
            return Ok(None);
        };
        let until = Until::after(PATIENCE);
        let full = retry(&until, || store.full_blocks(run, run.pass)).await?;
        let sums = read(store, run, run.pass, full.blocks).await?;
        let mut summed = Summed::full(blocks, run.settings.total_segments, full.blocks);
        for sum in &sums {
            summed.add(sum);
        }
        let tried = full.trials > 0 || sums.iter().any(|sum| sum.trials > 0);
        Ok(Some(Standing {
            blocks,
            full,
            sums,
            summed,
            tried,
        }))
    }

    /// When the last segment was added to a sum; milliseconds since 1970, 0 if there is none.
    pub(super) fn saved_ms(&self) -> u64 {
        let sums = self.sums.iter().map(|sum| sum.saved_ms);
        sums.fold(self.full.saved_ms, u64::max)
    }

    /// The segments that were begun and are in no sum.
    ///
    /// Errors: those of the store, after a minute of trying if they are retryable.
    pub(super) async fn begun<S: CheckpointReader>(
        &self,
        store: &S,
        run: &RunRecord,
    ) -> Result<Vec<SegmentRecord>> {
        self.summed.begun(store, run, usize::MAX).await
    }

    /// Which segments are in the sums, and whether one has passed a trial.
    pub(super) fn told(self) -> (Summed, bool) {
        (self.summed, self.tried)
    }

    /// Adds exhausted segments that are in no sum, if there are any among the first that would be taken next. A crash leaves such
    /// segments, which their next worker would add; and workers of a version that knows no sums add none, so that the same segments
    /// would be handed out to them for ever.
    ///
    /// Errors: those of the store, after a minute of trying if they are retryable.
    pub(super) async fn mend<S: RunStore>(&mut self, store: &S, run: &RunRecord) -> Result<()> {
        let is_exhausted = |record: &SegmentRecord| record.cursor == Cursor::Exhausted;
        let is_empty = self.full.blocks == 0 && self.sums.is_empty();
        let mut begun = match is_empty {
            // Few can have been begun.
            true => {
                let under = |shard| store.segments(run, run.pass, shard);
                let records = retry_each(&Until::after(PATIENCE), 0..run.shards, under).await?;
                records.concat()
            }
            false => self.summed.begun(store, run, PROBED).await?,
        };
        if !is_empty && begun.iter().any(is_exhausted) {
            begun = self.begun(store, run).await?;
        }
        self.tried |= begun.iter().any(|record| record.trial_passed);
        let mut of_blocks: BTreeMap<u32, Vec<(u8, &SegmentRecord)>> = BTreeMap::new();
        for record in begun.iter().filter(|record| is_exhausted(record)) {
            let (block, place) = self.blocks.place(record.segment);
            of_blocks.entry(block).or_default().push((place, record));
        }
        if of_blocks.is_empty() {
            return Ok(());
        }
        let with_former = |(block, segments)| {
            let before = self.sums.iter().find(|sum| sum.block == block);
            let mut sum = before.cloned().unwrap_or(BlockSum {
                block,
                ..BlockSum::default()
            });
            let chunks = sum.chunks;
            sum.merge(&BlockSum::of(block, segments));
            (sum, chunks)
        };
        let sums: Vec<(BlockSum, u64)> = of_blocks.into_iter().map(with_former).collect();
        let until = Until::after(PATIENCE);
        let until = &until;
        let mending = stream::iter(sums).map(|(sum, chunks)| async move {
            let save = || store.save_sum(run, &sum, chunks);
            let saved = retry(until, save).await;
            // Somebody else may have added them: then the next look tells.
            saved.map(|saved| saved.then_some(sum))
        });
        let mended = mending.buffer_unordered(SUMS_AT_ONCE);
        let mended: Vec<Option<BlockSum>> = mended.try_collect().await?;
        for sum in mended.into_iter().flatten() {
            self.summed.add(&sum);
            match (self.sums).binary_search_by_key(&sum.block, |other| other.block) {
                Ok(index) => self.sums[index] = sum,
                Err(index) => self.sums.insert(index, sum),
            }
        }
        tracing::info!("exhausted segments that were in no sum were added");
        Ok(())
    }

    /// Notes which blocks are full, so that their sums need not be read again. An error of that is none of the run.
    pub(super) async fn note_full<S: RunStore>(&mut self, store: &S, run: &RunRecord) {
        let before = self.full.blocks;
        self.full.advance(self.blocks, &self.sums);
        if self.full.blocks == before {
            return;
        }
        if let Err(error) = store.note_full(run, &self.full).await {
            tracing::debug!(error = error.report(), "full blocks are not noted");
        }
    }
}
