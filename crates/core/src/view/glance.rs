//! A run at a glance: how far it has come, how fast it goes, and when it gave the last sign of life. One snapshot says it, of a
//! part of the run if it is large.

use crate::Result;
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::ports::CheckpointReader;
use crate::records::{CountNote, RunRecord, RunStatus, shard_of};
use crate::view::progress::{PassProgress, SegmentProgress, Snapshot, snapshot_of};

/// Segment records that are read of a run at most; of one with more segments the exhausted are counted instead.
const MOST_RECORDS: u32 = 4_000;

/// Share of the items that must be swept before their rate says something about the rest.
pub const LEAST_SHARE: f64 = 0.02;

/// A run at a glance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Glance {
    /// Whether it is swept, and counts what is still pending. The other figures are those of the count then.
    pub verifies: bool,
    /// Part of the items that is swept in the current pass, or counted, 0 to 1; `None` if nobody knows how many there are.
    pub done: Option<f64>,
    /// Items that are swept, or counted, in a second at present; `None` while none are.
    pub items_per_second: Option<f64>,
    /// Seconds that the sweep, or the count, still takes by that rate; `None` if it says nothing yet.
    pub seconds_left: Option<f64>,
    /// The last moment at which the run, or who steers it, wrote a record of it; milliseconds since 1970.
    pub last_sign_ms: u64,
}

impl Glance {
    /// Reads what it takes: the segment records of one partition key, and no more than some thousands.
    ///
    /// Errors: those of the store, after a minute of trying if they are retryable.
    pub async fn at<S: CheckpointReader>(store: &S, run: &RunRecord) -> Result<Glance> {
        let until = Until::after(PATIENCE);
        let total = run.settings.total_segments;
        if run.blocks(run.pass).is_some() {
            let snapshot = snapshot_of(store, run).await?;
            return Ok(snapshot.glance());
        }
        if total / run.shards > MOST_RECORDS {
            let under = |shard| store.exhausted(run, shard);
            let exhausted = retry_each(&until, 0..run.shards, under).await?;
            let exhausted: u32 = exhausted.into_iter().fold(0, u32::saturating_add);
            return Ok(Glance {
                done: Some(below_all(f64::from(exhausted) / f64::from(total))),
                last_sign_ms: sign_of(run, &[]),
                ..Glance::default()
            });
        }
        let segments = retry(&until, || store.segments(run, run.pass, 0)).await?;
        let segments: Vec<_> = segments.into_iter().map(SegmentProgress::from).collect();
        let here = (0..total).filter(|segment| shard_of(*segment, run.shards) == 0);
        let part = here.count().max(1) as f64 / f64::from(total.max(1));
        let glance = Glance::of_part(run, segments, part);
        if !glance.verifies {
            return Ok(glance);
        }
        let note = retry(&until, || store.count_note(run)).await?;
        let items = (run.estimated_items > 0).then_some(run.estimated_items);
        Ok(glance.with_count(run, note.as_ref(), items))
    }

    /// With the figures of the count, by the last note of it and by how many items there should be.
    fn with_count(self, run: &RunRecord, note: Option<&CountNote>, items: Option<u64>) -> Glance {
        let glance = Glance {
            verifies: true,
            done: None,
            items_per_second: None,
            seconds_left: None,
            ..self
        };
        let is_of_this = |note: &&CountNote| note.pass == run.pass && note.at_ms >= run.started_ms;
        let Some(note) = note.filter(is_of_this) else {
            return glance;
        };
        let counted = note.counted();
        let rate = (counted > 0.0 && note.seconds > 0.0).then(|| counted / note.seconds);
        let left = |items: u64, rate: f64| ((items as f64 - counted) / rate).max(1.0);
        Glance {
            done: items.map(|items| below_all(counted / items.max(1) as f64)),
            items_per_second: rate,
            // One that counts more than there should be says nothing of its end.
            seconds_left: items
                .filter(|items| counted < *items as f64)
                .zip(rate)
                .map(|(items, rate)| left(items, rate)),
            last_sign_ms: self.last_sign_ms.max(note.at_ms),
            ..glance
        }
    }

    /// By the segments of a part of the run that stands for the whole.
    fn of_part(run: &RunRecord, segments: Vec<SegmentProgress>, part: f64) -> Glance {
        let mut of_part = run.clone();
        let settings = &mut of_part.settings;
        if part < 1.0 {
            of_part.estimated_items = (run.estimated_items as f64 * part) as u64;
            settings
                .only_segments
                .retain(|segment| shard_of(*segment, run.shards) == 0);
            // So are those at once.
            let part_of = |n: u32| ((f64::from(n) * part).round() as u32).max(1);
            settings.total_segments = part_of(settings.total_segments);
            settings.max_concurrency = part_of(settings.max_concurrency);
        }
        let snapshot = Snapshot {
            passes: vec![PassProgress::of(run.pass, segments)],
            run: of_part,
            counting: None,
        };
        let mut glance = snapshot.glance();
        if part < 1.0
            && let Some(rate) = &mut glance.items_per_second
        {
            *rate /= part;
        }
        glance
    }
}

impl Snapshot {
    /// The run at a glance. Rates are those of the segments at work, over the time that they were worked on.
    pub fn glance(&self) -> Glance {
        let run = &self.run;
        let nothing = PassProgress::of(run.pass, Vec::new());
        let pass = self.current().unwrap_or(&nothing);
        let (swept, expected) = self.items();
        let is_swept = self.is_swept();
        let done = match expected {
            _ if is_swept => Some(1.0),
            Some(expected) => Some(below_all(swept as f64 / expected.max(1) as f64)),
            None => None,
        };
        let is_at_work = run.status == RunStatus::Running && !is_swept && run.hold.is_none();
        let items_per_second = is_at_work.then(|| self.rate(pass)).flatten();
        let seconds_left = match (expected, items_per_second) {
            (Some(expected), Some(rate)) if swept as f64 >= LEAST_SHARE * expected as f64 => {
                Some((expected.saturating_sub(swept) as f64 / rate).max(1.0))
            }
            _ => None,
        };
        let glance = Glance {
            verifies: false,
            done,
            items_per_second,
            seconds_left,
            last_sign_ms: sign_of(run, &pass.segments).max(pass.swept_ms),
        };
        if !self.is_verifying() {
            return glance;
        }
        // The sweep has just seen how many there are.
        let items = match run.settings.dry_run {
            true => run.estimated_items,
            false => pass.counters.scanned,
        };
        glance.with_count(run, self.counting.as_ref(), (items > 0).then_some(items))
    }

    /// Items per second of the segments that are begun and not exhausted, of which no more are at work than may be at once.
    fn rate(&self, pass: &PassProgress) -> Option<f64> {
        let rates = pass.segments.iter().filter_map(|segment| {
            let counters = &segment.counters;
            let is_known = !segment.exhausted && counters.worked_seconds > 0.0;
            is_known.then(|| counters.scanned as f64 / counters.worked_seconds)
        });
        let rates: Vec<f64> = rates.collect();
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let at_once = f64::from(self.run.settings.workers());
        // Those that were not read are like those that were, of which some may not have begun to work.
        let unread = f64::from(pass.segments_unread);
        let at_work = rates.len() as f64 * (1.0 + unread / pass.segments.len().max(1) as f64);
        let rate = mean * at_once.min(at_work);
        (rate > 0.0).then_some(rate)
    }
}

/// The last time that is in the records of a run.
fn sign_of(run: &RunRecord, segments: &[SegmentProgress]) -> u64 {
    let checkpoints = segments.iter().map(|segment| segment.saved_ms);
    let events = run.events.iter().map(|event| event.at_ms);
    let own = [run.started_ms, run.ended_ms.unwrap_or(0)];
    checkpoints.chain(events).chain(own).max().unwrap_or(0)
}

/// A part that is not all: while a segment is open, work remains.
fn below_all(part: f64) -> f64 {
    part.clamp(0.0, 0.99)
}
