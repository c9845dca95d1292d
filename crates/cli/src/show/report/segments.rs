//! How the work lies over the segments of a run.

use backfill_core::view::progress::SegmentProgress;
use indicatif::HumanCount;

use super::Report;
use crate::show::words::{self, decimal, items};

/// Segments with most items that are listed.
const HOTTEST: usize = 5;
/// Cells of the map of segments.
pub const MOST_CELLS: u32 = 400;
/// Shades of the map for segments with work.
pub const SHADES: u64 = 5;

/// How evenly the work lies over the segments.
#[derive(Debug, PartialEq)]
pub struct Skew {
    /// Items scanned per segment, in all passes; those without any count as well.
    pub mean: f64,
    pub median: f64,
    /// The segment with the most, and how many it has.
    pub hottest: (u32, u64),
    /// Part of all items that lie in the largest 1 % of the segments (at least one), and how many those are.
    pub largest: (u32, f64),
    /// In the current pass.
    pub exhausted: u32,
    pub open: u32,
    pub not_begun: u32,
}

/// Neighbouring segments, as one cell of the map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tile {
    pub first: u32,
    pub last: u32,
    /// Items scanned in all passes.
    pub scanned: u64,
    pub updated: u64,
    pub rejected: u64,
    /// Segments that are not exhausted in the current pass.
    pub not_done: u32,
    /// From 0, nothing, to [`SHADES`], as much per segment as the most in any cell.
    pub shade: u64,
}

impl Report {
    /// Items scanned, updated and rejected by each segment in all passes, by its number.
    fn by_segment(&self) -> Vec<Tile> {
        let total = self.run.settings.total_segments;
        let mut segments: Vec<Tile> = (0..total)
            .map(|segment| Tile {
                first: segment,
                last: segment,
                not_done: 1,
                ..Tile::default()
            })
            .collect();
        for pass in &self.passes {
            for segment in &pass.segments {
                let Some(cell) = segments.get_mut(segment.segment as usize) else {
                    continue;
                };
                cell.scanned = cell.scanned.saturating_add(segment.counters.scanned);
                cell.updated = cell.updated.saturating_add(segment.counters.updated);
                cell.rejected = cell.rejected.saturating_add(segment.counters.rejected);
                if pass.pass == self.run.pass && segment.exhausted {
                    cell.not_done = 0;
                }
            }
        }
        segments
    }

    /// How evenly the work lies; `None` if there was none, as in a dry run.
    pub fn skew(&self) -> Option<Skew> {
        let segments = self.by_segment();
        let mut scanned: Vec<u64> = segments.iter().map(|cell| cell.scanned).collect();
        let all = sum(scanned.iter().copied());
        // Of equals the first.
        let hottest = segments
            .iter()
            .max_by_key(|cell| (cell.scanned, std::cmp::Reverse(cell.first)))
            .filter(|_| all > 0)?;
        scanned.sort_unstable();
        let largest = scanned.len().div_ceil(100);
        let current = self.passes.iter().find(|pass| pass.pass == self.run.pass);
        let exhausted = current.map_or(0, |pass| pass.segments_exhausted);
        let open = current.map_or(0, |pass| pass.segments_begun);
        Some(Skew {
            mean: all as f64 / scanned.len() as f64,
            median: (scanned[(scanned.len() - 1) / 2] as f64 + scanned[scanned.len() / 2] as f64)
                / 2.0,
            hottest: (hottest.first, hottest.scanned),
            largest: (
                largest as u32,
                sum(scanned.iter().rev().take(largest).copied()) as f64 / all as f64,
            ),
            exhausted,
            open,
            not_begun: (scanned.len() as u32).saturating_sub(exhausted + open),
        })
    }

    /// The map of segments: neighbours folded together if there are many.
    pub fn cells(&self) -> Vec<Tile> {
        let segments = self.by_segment();
        let fold = (segments.len() as u32).div_ceil(MOST_CELLS).max(1) as usize;
        let mut cells: Vec<Tile> = segments
            .chunks(fold)
            .map(|part| Tile {
                first: part[0].first,
                last: part[part.len() - 1].last,
                scanned: sum(part.iter().map(|cell| cell.scanned)),
                updated: sum(part.iter().map(|cell| cell.updated)),
                rejected: sum(part.iter().map(|cell| cell.rejected)),
                not_done: part.iter().map(|cell| cell.not_done).sum(),
                shade: 0,
            })
            .collect();
        let most = cells.iter().map(Tile::per_segment).fold(0.0, f64::max);
        for cell in &mut cells {
            cell.shade = (SHADES as f64 * cell.per_segment() / most).ceil() as u64; // NaN, if there is nothing, is 0.
        }
        cells
    }

    /// The segments with most items, in one pass.
    pub fn hottest(&self) -> Vec<&SegmentProgress> {
        let segments = self.passes.iter().flat_map(|pass| &pass.segments);
        let mut segments: Vec<&SegmentProgress> = segments.collect();
        segments.sort_by_key(|s| (std::cmp::Reverse(s.counters.scanned), s.segment));
        segments.truncate(HOTTEST);
        segments
    }

    /// What a cell of the map stands for.
    pub fn cells_note(&self) -> String {
        let fold = self.run.settings.total_segments.div_ceil(MOST_CELLS);
        match fold {
            0 | 1 => "Each cell is a segment, in the order of their numbers.".into(),
            fold => format!("Each cell stands for {fold} segments, in the order of their numbers."),
        }
    }
}

impl Skew {
    /// The skew in words, of so many segments in all.
    pub fn describe(&self, total: u32) -> String {
        let mut text = format!(
            "{} of {} done",
            HumanCount(self.exhausted.into()),
            words::plural(total, "segment", "segments"),
        );
        if self.open > 0 {
            text += &format!(", {} begun", HumanCount(self.open.into()));
        }
        if self.not_begun > 0 {
            text += &format!(", {} not begun", HumanCount(self.not_begun.into()));
        }
        let (hottest, scanned) = self.hottest;
        let (largest, share) = self.largest;
        text += &format!(
            ". The largest, segment {hottest}, has {}: {:.1} times the mean of {} and {} the median of {}.",
            items(scanned),
            scanned as f64 / self.mean,
            decimal(self.mean),
            match self.median {
                median if median > 0.0 => format!("{:.1} times", scanned as f64 / median),
                _ => "far above".into(),
            },
            decimal(self.median),
        );
        if total > 1 {
            text += &format!(
                " The largest 1 % ({}) {} {:.1} % of all items.",
                words::plural(largest, "segment", "segments"),
                if largest == 1 { "has" } else { "have" },
                100.0 * share
            );
        }
        text
    }
}

impl Tile {
    /// Items scanned per segment of the cell.
    fn per_segment(&self) -> f64 {
        self.scanned as f64 / f64::from(self.last - self.first + 1)
    }

    /// The cell in words.
    pub fn describe(&self) -> String {
        let of = match self.last == self.first {
            true => format!("segment {}", self.first),
            false => format!("segments {} to {}", self.first, self.last),
        };
        let mut text = format!(
            "{of}: {} scanned, {} updated",
            HumanCount(self.scanned),
            HumanCount(self.updated)
        );
        if self.rejected > 0 {
            text += &format!(", {} rejected", HumanCount(self.rejected));
        }
        if self.not_done > 0 {
            text += &match self.last == self.first {
                true => ", not done".into(),
                false => format!(", {} not done", self.not_done),
            };
        }
        text
    }
}

/// The sum; as much as a number can hold if a damaged record says more.
fn sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}
