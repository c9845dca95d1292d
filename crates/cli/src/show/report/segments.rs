//! How the work lies over the segments of a run.

use backfill_core::view::progress::{PassProgress, SegmentProgress};
use indicatif::HumanCount;

use super::{HOTTEST, Report};
use crate::show::words::{self, decimal, items};

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
    /// `None` if the sums of the run do not say it of a segment.
    pub updated: Option<u64>,
    pub rejected: u64,
    /// Segments that are not exhausted in the current pass.
    pub not_done: u32,
    /// From 0, nothing, to [`SHADES`], as much per segment as the most in any cell.
    pub shade: u64,
}

impl Report {
    /// Items scanned by each segment in all passes, by its number.
    fn scanned(&self) -> Vec<u64> {
        let mut scanned = vec![0_u64; self.run.settings.total_segments as usize];
        for (segment, of_pass) in self.passes.iter().flat_map(PassProgress::scanned) {
            if let Some(scanned) = scanned.get_mut(segment as usize) {
                *scanned = scanned.saturating_add(of_pass);
            }
        }
        scanned
    }

    /// How evenly the work lies; `None` if there was none, as in a dry run.
    pub fn skew(&self) -> Option<Skew> {
        let mut scanned = self.scanned();
        let all = sum(scanned.iter().copied());
        // Of equals the first.
        let hottest = (0_u32..)
            .zip(scanned.iter().copied())
            .max_by_key(|(segment, scanned)| (*scanned, std::cmp::Reverse(*segment)))
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
            hottest,
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
        let total = self.run.settings.total_segments;
        let fold = total.div_ceil(MOST_CELLS).max(1);
        let cell = |first: u32| {
            let last = first.saturating_add(fold - 1).min(total.saturating_sub(1));
            Tile {
                first,
                last,
                updated: Some(0),
                not_done: last - first + 1,
                ..Tile::default()
            }
        };
        let mut cells: Vec<Tile> = (0..total).step_by(fold as usize).map(cell).collect();
        for pass in &self.passes {
            let is_current = pass.pass == self.run.pass;
            for segment in &pass.segments {
                if let Some(cell) = cells.get_mut((segment.segment / fold) as usize) {
                    let counters = &segment.counters;
                    let updated = |updated: u64| updated.saturating_add(counters.updated);
                    cell.scanned = cell.scanned.saturating_add(counters.scanned);
                    cell.updated = cell.updated.map(updated);
                    cell.rejected = cell.rejected.saturating_add(counters.rejected);
                    cell.not_done -= u32::from(is_current && segment.exhausted);
                }
            }
            for swept in &pass.swept {
                if let Some(cell) = cells.get_mut((swept.segment / fold) as usize) {
                    cell.scanned = cell.scanned.saturating_add(swept.scanned);
                    cell.updated = None;
                    cell.rejected = cell.rejected.saturating_add(swept.rejected);
                    cell.not_done -= u32::from(is_current);
                }
            }
        }
        let most = cells.iter().map(Tile::per_segment).fold(0.0, f64::max);
        for cell in &mut cells {
            cell.shade = (SHADES as f64 * cell.per_segment() / most).ceil() as u64; // NaN, if there is nothing, is 0.
        }
        cells
    }

    /// The segments with most items, in one pass.
    pub fn hottest(&self) -> Vec<&SegmentProgress> {
        let segments = self.passes.iter().flat_map(|pass| &pass.segments);
        let mut segments: Vec<&SegmentProgress> = segments.chain(&self.largest).collect();
        segments.sort_by_key(|s| (std::cmp::Reverse(s.counters.scanned), s.segment));
        segments.truncate(HOTTEST);
        segments
    }

    /// What a cell of the map stands for.
    pub fn cells_note(&self) -> String {
        let fold = self.run.settings.total_segments.div_ceil(MOST_CELLS);
        let mut note = match fold {
            0 | 1 => "Each cell is a segment, in the order of their numbers.".to_owned(),
            fold => format!("Each cell stands for {fold} segments, in the order of their numbers."),
        };
        if self.passes.iter().any(|pass| !pass.swept.is_empty()) {
            note += " How many items were updated is known of the whole run, and of the segments with most items.";
        }
        note
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
        let mut text = format!("{of}: {} scanned", HumanCount(self.scanned));
        if let Some(updated) = self.updated {
            text += &format!(", {} updated", HumanCount(updated));
        }
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
