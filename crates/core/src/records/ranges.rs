//! What a record may say: whoever works by a number that no run can have come to would panic, stall or never end.

use std::ops::RangeInclusive;

use crate::records::{Counters, HistoryBucket, Rejected, RunRecord, SegmentRecord};
use crate::request::{MAX_PASSES, check_run_id};
use crate::{Error, ErrorKind, Result};

/// The number that a pass can have at most: a run that is started over each hour for a hundred years comes to less.
pub(super) const MAX_PASS: u32 = 1_000_000;

/// Shards that a run can have at most: whoever looks at it reads from each of them.
pub(super) const MOST_SHARDS: u32 = 256;

/// Passes that a run can make without starting over: every look at it reads the segments of all of them.
pub(super) const MOST_PASSES_OF_RUN: u32 = 10_000;

/// Most of what is counted, and of milliseconds: beyond it a number is not exact in JSON.
const MOST: u64 = 1 << 53;

/// Most of what is measured: units and seconds.
const MOST_MEASURED: f64 = 1e15;

/// A record of a run beside that of the run itself.
pub trait OfRun {
    /// Refuses a record that no run can have come to.
    ///
    /// Errors: `Internal`, which names record and field.
    fn check(&self, run: &RunRecord) -> Result<()>;
}

/// The record that is looked at, and what its numbers may be.
pub(super) struct Ranges {
    /// "the record of run r".
    pub(super) record: String,
}

impl Ranges {
    /// Says that a field is damaged.
    pub(super) fn damaged(&self, field_and_why: &str) -> Error {
        Error::new(
            ErrorKind::Internal,
            format!(
                "{} is damaged: {field_and_why}; bring the record back from a backup, or give another run id",
                self.record
            ),
        )
    }

    /// Refuses a number that is not in the range.
    pub(super) fn within(
        &self,
        field: &str,
        value: impl Into<u64>,
        range: RangeInclusive<u64>,
    ) -> Result<()> {
        let value = value.into();
        match range.contains(&value) {
            true => Ok(()),
            false => Err(self.damaged(&format!(
                "{field}: expected {} to {}, got {value}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// Refuses what nobody can have counted.
    pub(super) fn counted(&self, field: &str, value: u64) -> Result<()> {
        self.within(field, value, 0..=MOST)
    }

    /// Refuses what nobody can have measured.
    pub(super) fn measured(&self, field: &str, value: f64) -> Result<()> {
        match (0.0..=MOST_MEASURED).contains(&value) {
            true => Ok(()),
            false => Err(self.damaged(&format!(
                "{field}: expected 0 to {MOST_MEASURED:e}, got {value:e}"
            ))),
        }
    }

    fn counters(&self, counters: &Counters) -> Result<()> {
        // As a pattern, so that a new counter cannot be forgotten here.
        let Counters {
            scanned,
            matched,
            updated,
            raced,
            vanished,
            rejected,
            contended,
            consumed_rcu,
            consumed_wcu,
            throttles,
            worked_seconds,
            checkpoints,
        } = *counters;
        for (field, value) in [
            ("scanned", scanned),
            ("matched", matched),
            ("updated", updated),
            ("raced", raced),
            ("vanished", vanished),
            ("rejected", rejected),
            ("contended", contended),
            ("throttles", throttles),
            ("checkpoints", checkpoints),
        ] {
            self.counted(&format!("counters.{field}"), value)?;
        }
        for (field, value) in [
            ("consumed_rcu", consumed_rcu),
            ("consumed_wcu", consumed_wcu),
            ("worked_seconds", worked_seconds),
        ] {
            self.measured(&format!("counters.{field}"), value)?;
        }
        Ok(())
    }
}

/// The last segment of a run.
fn last_segment(run: &RunRecord) -> u64 {
    u64::from(run.settings.total_segments.saturating_sub(1))
}

impl OfRun for SegmentRecord {
    fn check(&self, run: &RunRecord) -> Result<()> {
        let ranges = Ranges {
            record: format!(
                "the record of segment {} in pass {} of run {}",
                self.segment, self.pass, run.run_id
            ),
        };
        ranges.within("segment", self.segment, 0..=last_segment(run))?;
        ranges.within("pass", self.pass, 1..=u64::from(run.pass))?;
        ranges.counted("run_revision", self.run_revision)?;
        ranges.counted("generation", self.generation)?;
        ranges.counted("counted_ahead", self.counted_ahead)?;
        ranges.counted("saved_ms", self.saved_ms)?;
        ranges.counters(&self.counters)
    }
}

impl OfRun for Rejected {
    fn check(&self, run: &RunRecord) -> Result<()> {
        let ranges = Ranges {
            record: format!("the record of a rejected item of run {}", run.run_id),
        };
        ranges.within("segment", self.segment, 0..=last_segment(run))
    }
}

impl OfRun for HistoryBucket {
    /// A chart is drawn of whatever it says, within bounds.
    fn check(&self, _: &RunRecord) -> Result<()> {
        Ok(())
    }
}

impl RunRecord {
    /// Refuses a record that no run can have come to, before somebody works through all the passes or segments that it
    /// speaks of.
    ///
    /// Errors: `Internal`, which names the field; `InvalidInput` if the run id is none.
    pub fn check(&self) -> Result<()> {
        check_run_id(&self.run_id)?;
        let ranges = Ranges {
            record: format!("the record of run {}", self.run_id),
        };
        ranges.within("shards", self.shards, 1..=u64::from(MOST_SHARDS))?;
        // What an operator may not ask for, no run can have.
        let settings = self.settings.request();
        let wrong = |error: Error| ranges.damaged(&format!("settings.{error}"));
        settings.check().map_err(wrong)?;
        ranges.within("pass", self.pass, 1..=u64::from(MAX_PASS))?;
        let earliest = self.pass.saturating_sub(MOST_PASSES_OF_RUN - 1).max(1);
        let until_now = u64::from(earliest)..=u64::from(self.pass);
        ranges.within("first_pass", self.first_pass, until_now)?;
        let latest = u64::from(self.pass) + u64::from(MAX_PASSES);
        ranges.within("last_pass", self.last_pass, 1..=latest)?;
        self.check_figures(&ranges)
    }

    /// Refuses what nobody can have counted or measured of the run as a whole.
    fn check_figures(&self, ranges: &Ranges) -> Result<()> {
        ranges.counted("revision", self.revision)?;
        ranges.counted("started_ms", self.started_ms)?;
        ranges.counted("ended_ms", self.ended_ms.unwrap_or(0))?;
        ranges.counted("estimated_items", self.estimated_items)?;
        ranges.counted("estimated_bytes", self.estimated_bytes)?;
        if let Some(proof) = &self.proof {
            ranges.counted("proof.remaining", proof.remaining)?;
            ranges.counted("proof.scanned", proof.scanned)?;
            ranges.counted("proof.at_ms", proof.at_ms)?;
            for lacking in proof.lacking.values() {
                ranges.counted("proof.lacking", *lacking)?;
            }
            let different = proof.different.as_ref();
            ranges.counted("proof.different", different.map_or(0, |found| found.items))?;
        }
        ranges.measured("earlier_seconds", self.earlier_seconds)?;
        ranges.measured("verification_rcu", self.verification_rcu)?;
        ranges.measured("verification_seconds", self.verification_seconds)
    }
}
