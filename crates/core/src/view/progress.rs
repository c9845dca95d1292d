//! How a run stands, from its durable records alone: one snapshot feeds every display of progress and every summary.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::engine::sums::{self, Summed};
use crate::pace::retry::{PATIENCE, Until, retry, retry_each};
use crate::ports::CheckpointReader;
use crate::records::BoundBy;
use crate::records::{
    BlockSum, Blocks, CountNote, Counters, Cursor, Different, Hold, Latencies, Owner, RunRecord,
    RunStatus, SegmentRecord, SummedPasses,
};
use crate::value::Key;
use crate::view::cost::{Bill, Prices, Use};
use crate::view::latency::{self, Latency};
use crate::{Request, Result};

/// Exhausted segments from which the mean size of a segment is taken, if DynamoDB's estimate is of no use.
const LEAST_SEGMENTS: usize = 8;

/// One pass of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassProgress {
    /// Its number, from 1.
    pub pass: u32,
    /// Segments that are swept to their end.
    pub segments_exhausted: u32,
    /// Segments that were claimed at least once and are not exhausted; an estimate if `segments_unread` is not 0.
    pub segments_begun: u32,
    /// About how many segments at work were not read, since a look at a large run reads some hundred records at most. The totals
    /// have the mean of those that were read for each of them, but for rejected items and latencies.
    pub segments_unread: u32,
    /// Chunks that workers have begun.
    pub chunks: u64,
    /// How many of the segments that are begun were bound by what before their last checkpoint.
    pub bound_by: BTreeMap<BoundBy, u32>,
    /// What the table said when it throttled one of the segments last; `None` if it never did.
    pub throttled_by: Option<String>,
    /// Totals of the pass.
    #[serde(serialize_with = "in_full")]
    pub counters: Counters,
    /// How long its requests took.
    #[serde(serialize_with = "latency::as_figures")]
    pub latency: Latencies,
    /// Segments that were claimed at least once and are not in `swept`, by their numbers, but for `segments_unread` of them.
    #[serde(skip)]
    pub segments: Vec<SegmentProgress>,
    /// Exhausted segments of which no more is known than the sums of the pass tell, by their numbers.
    #[serde(skip)]
    pub swept: Vec<SweptSegment>,
    /// When the last of the latter was added to the sums; milliseconds since 1970, 0 if there is none.
    #[serde(skip)]
    pub swept_ms: u64,
}

/// All counters, for programs: also those that a record leaves out while they are 0.
fn in_full<S: Serializer>(counters: &Counters, to: S) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct InFull {
        #[serde(flatten)]
        others: Counters,
        contended: u64,
    }
    let (others, contended) = (
        Counters {
            contended: 0,
            ..*counters
        },
        counters.contended,
    );
    InFull { others, contended }.serialize(to)
}

/// An exhausted segment, as the sums of its pass tell it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweptSegment {
    /// Its number, from 0.
    pub segment: u32,
    /// Items that scans evaluated.
    pub scanned: u64,
    /// Items that cannot be updated.
    pub rejected: u64,
}

/// One segment in one pass: its record without the cursor's key, of which a snapshot has no need.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentProgress {
    /// Its number, from 0.
    pub segment: u32,
    /// True if it is swept to its end.
    pub exhausted: bool,
    /// Chunks that workers have begun.
    pub generation: u64,
    /// What bounded its rate before the last checkpoint.
    pub bound_by: BoundBy,
    /// What the table said when it throttled this segment last; `None` if it never did.
    pub throttled_by: Option<String>,
    /// When its last checkpoint was made; milliseconds since 1970, 0 if that is not known.
    pub saved_ms: u64,
    /// Totals of this segment in this pass.
    pub counters: Counters,
    /// How long its requests took in this pass.
    pub latency: Latencies,
}

impl From<SegmentRecord> for SegmentProgress {
    fn from(record: SegmentRecord) -> Self {
        SegmentProgress {
            segment: record.segment,
            exhausted: record.cursor == Cursor::Exhausted,
            generation: record.generation,
            bound_by: record.bound(),
            throttled_by: record.throttled_by,
            saved_ms: record.saved_ms,
            counters: record.counters,
            latency: record.latency,
        }
    }
}

/// A run and its passes since it last started over.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The record of the run.
    pub run: RunRecord,
    /// Its passes, the earliest first.
    pub passes: Vec<PassProgress>,
    /// How far its verification has come, if it verifies and that has been noted.
    pub counting: Option<CountNote>,
}

/// The result of a run as one object, for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The id of the run.
    pub run_id: String,
    /// Name of the target table.
    pub table: String,
    /// How the run stands.
    pub status: RunStatus,
    /// Passes begun since it last started over.
    pub passes: u32,
    /// Segments that the table is cut into.
    pub segments: u32,
    /// About how many segments at work were not read ([`PassProgress::segments_unread`]).
    pub segments_unread: u32,
    /// Items that scans evaluated.
    pub scanned: u64,
    /// Items that were pending when a scan read them. One that was refused in several passes counts once.
    pub matched: u64,
    /// Items that the run changed.
    pub updated: u64,
    /// Items at which a live writer was first.
    pub raced: u64,
    /// Items that were deleted or had expired between scan and write.
    pub vanished: u64,
    /// Items that cannot be updated, each once.
    pub rejected: u64,
    /// Items whose sources kept moving while values were computed from them; they were left to the next pass.
    pub contended: u64,
    /// Items still pending by a strongly consistent count; null while no such count is complete.
    pub remaining: Option<u64>,
    /// Items that are not pending and lack this attribute, which the update sets, by eventually consistent reads; empty if the
    /// predicate leaves out none of them, or if they are not counted.
    pub lacking: BTreeMap<String, u64>,
    /// Items that have another value than their sources give now, by the count of `remaining`; null if they were not counted, as of
    /// a run that computes nothing.
    pub different: Option<u64>,
    /// Seconds of the current or last execution.
    pub elapsed_seconds: f64,
    /// Executions since the run started over; all figures but `elapsed_seconds` are of all of them.
    pub sessions: u32,
    /// Seconds of all of these executions, without the time between them.
    pub total_seconds: f64,
    /// Read capacity units of all passes and verifications.
    pub consumed_rcu: f64,
    /// Write capacity units of all passes, indexes included.
    pub consumed_wcu: f64,
    /// Requests, and statements of batches, that the table throttled.
    pub throttles: u64,
    /// How long the requests of all passes took.
    pub latency: Latency,
    /// Write capacity units per second that the run may use; null without a limit.
    pub max_wcu: Option<u32>,
    /// Read capacity units per second that the run may use; null without a limit.
    pub max_rcu: Option<u32>,
    /// What holds the run for now; null if nothing does.
    pub held: Option<Hold>,
    /// Up to ten keys of items that remain, in DynamoDB's JSON.
    pub samples: Vec<Key>,
    /// Up to five keys of items that have another value than their sources give now, in DynamoDB's JSON.
    pub different_samples: Vec<Key>,
    /// What the run has cost so far, in USD.
    pub cost_usd: Bill,
}

impl Summary {
    /// Items that have another value than their sources give now; `None` if they were not counted.
    pub fn told_different(&self) -> Option<Different> {
        let samples = self.different_samples.clone();
        self.different.map(|items| Different { items, samples })
    }

    /// The summary of a run of which nothing is known but its state; all of its counters are 0.
    pub fn without_records(request: &Request, status: RunStatus) -> Summary {
        Summary {
            run_id: request.run_id(),
            table: request.spec.table.clone(),
            status,
            passes: 0,
            segments: 0,
            segments_unread: 0,
            scanned: 0,
            matched: 0,
            updated: 0,
            raced: 0,
            vanished: 0,
            rejected: 0,
            contended: 0,
            remaining: None,
            lacking: BTreeMap::new(),
            different: None,
            elapsed_seconds: 0.0,
            sessions: 0,
            total_seconds: 0.0,
            consumed_rcu: 0.0,
            consumed_wcu: 0.0,
            throttles: 0,
            latency: Latency::default(),
            max_wcu: request.settings.max_wcu,
            max_rcu: request.settings.max_rcu,
            held: None,
            samples: Vec::new(),
            different_samples: Vec::new(),
            cost_usd: Bill::default(),
        }
    }
}

/// Records of segments that are in no sum which a look at a large run reads while it goes on: for each worker one, and so many at
/// least and at most. Of more workers these are a sample.
const AT_WORK: std::ops::RangeInclusive<usize> = 8..=256;

/// Reads the records of a run, again and again: the sums of blocks that are full are read once.
#[derive(Debug, Default)]
pub struct Looker {
    /// True if there is only one look.
    is_last: bool,
    known: Option<Known>,
}

/// The full blocks of a pass. They change no more as long as the run record says that the pass has these sums.
#[derive(Debug)]
struct Known {
    run_id: String,
    pass: u32,
    sums: Option<SummedPasses>,
    /// How many blocks they are: all before the first that is not full.
    blocks: u32,
    /// What they come to, as if nothing else were done.
    progress: PassProgress,
    /// Which segments they have.
    summed: Summed,
}

impl Looker {
    /// For a single look.
    fn once() -> Looker {
        Looker {
            is_last: true,
            known: None,
        }
    }

    /// What is known of a pass.
    fn known(&mut self, run: &RunRecord, pass: u32, blocks: Blocks) -> Known {
        let known = self.known.take().filter(|known| {
            known.run_id == run.run_id && known.pass == pass && known.sums == run.sums
        });
        known.unwrap_or_else(|| Known {
            run_id: run.run_id.clone(),
            pass,
            sums: run.sums,
            blocks: 0,
            progress: PassProgress::of(pass, Vec::new()),
            summed: Summed::none(blocks, run.settings.total_segments),
        })
    }

    /// A pass as its sums and the records of the segments that are in none tell it.
    async fn pass<S: CheckpointReader>(
        &mut self,
        store: &S,
        run: &RunRecord,
        pass: u32,
        blocks: Blocks,
    ) -> Result<PassProgress> {
        let mut known = self.known(run, pass, blocks);
        let read = sums::read(store, run, pass, known.blocks).await?;
        let mut others = Vec::new();
        for sum in read {
            if sum.block == known.blocks && sum.segments.len() >= blocks.size(sum.block) {
                known.summed.add(&sum);
                known.progress.add_sum(blocks, &sum);
                known.blocks += 1;
            } else {
                others.push(sum);
            }
        }
        let (mut summed, mut swept) = match self.is_last {
            true => (known.summed, known.progress),
            false => {
                let of_full = (known.summed.clone(), known.progress.clone());
                self.known = Some(known);
                of_full
            }
        };
        for sum in others {
            summed.add(&sum);
            swept.add_sum(blocks, &sum);
        }
        // It was concluded when all were swept.
        if pass != run.pass {
            return Ok(PassProgress::of(pass, Vec::new()).with_swept(swept));
        }
        let workers = run.settings.workers() as usize;
        let most = match run.status {
            RunStatus::Running => workers.clamp(*AT_WORK.start(), *AT_WORK.end()),
            _ => usize::MAX,
        };
        let begun = summed.sample(store, run, most).await?;
        // The first open segment of each lane is at work or about to be, and these are some of them.
        let at_work = workers.min(summed.open(run));
        let unread = match at_work > most {
            true => begun.len() * (at_work - most) / most,
            false => 0,
        };
        let begun = begun.into_iter().map(SegmentProgress::from).collect();
        let begun = PassProgress::of(pass, begun).with_unread(unread as u32);
        Ok(begun.with_swept(swept))
    }

    /// Does what [`snapshot`] does, with its errors.
    pub async fn snapshot<S: CheckpointReader>(
        &mut self,
        store: &S,
        run_id: &str,
    ) -> Result<Option<Snapshot>> {
        let Some(run) = retry(&Until::after(PATIENCE), || store.run(run_id)).await? else {
            return Ok(None);
        };
        let mut passes = Vec::new();
        for pass in run.first_pass..=run.pass {
            passes.push(match run.blocks(pass) {
                Some(blocks) => self.pass(store, &run, pass, blocks).await?,
                None => pass_by_records(store, &run, pass).await?,
            });
        }
        with_count(store, run, passes).await.map(Some)
    }
}

/// A pass as the records of all of its segments tell it.
async fn pass_by_records<S: CheckpointReader>(
    store: &S,
    run: &RunRecord,
    pass: u32,
) -> Result<PassProgress> {
    let under = |shard| store.segments(run, pass, shard);
    let records = retry_each(&Until::after(PATIENCE), 0..run.shards, under).await?;
    let segments = records.into_iter().flatten().map(SegmentProgress::from);
    Ok(PassProgress::of(pass, segments.collect()))
}

/// Reads the records of a run; `None` if there is no such run. Of a large one those of its exhausted segments are not read: their
/// sums are.
///
/// Errors: those of the store, after a minute of trying if they are retryable.
pub async fn snapshot<S: CheckpointReader>(store: &S, run_id: &str) -> Result<Option<Snapshot>> {
    Looker::once().snapshot(store, run_id).await
}

/// The current pass of a run alone, by its sums.
///
/// Errors: those of the store, after a minute of trying if they are retryable.
pub(crate) async fn snapshot_of<S: CheckpointReader>(
    store: &S,
    run: &RunRecord,
) -> Result<Snapshot> {
    let pass = match run.blocks(run.pass) {
        Some(blocks) => Looker::once().pass(store, run, run.pass, blocks).await?,
        None => pass_by_records(store, run, run.pass).await?,
    };
    with_count(store, run.clone(), vec![pass]).await
}

/// A run with these passes, and how far its verification has come, if it verifies.
async fn with_count<S: CheckpointReader>(
    store: &S,
    run: RunRecord,
    passes: Vec<PassProgress>,
) -> Result<Snapshot> {
    let mut snapshot = Snapshot {
        run,
        passes,
        counting: None,
    };
    if snapshot.is_verifying() {
        let run = &snapshot.run;
        let note = retry(&Until::after(PATIENCE), || store.count_note(run)).await?;
        // That of an earlier pass, or of an earlier session, says nothing about this count.
        snapshot.counting =
            note.filter(|note| note.pass == run.pass && note.at_ms >= run.started_ms);
    }
    Ok(snapshot)
}

/// Totals of a run in these passes, the earliest first. An item that DynamoDB refuses in one pass is tried again in the next,
/// and counts there: as what became of it in the last pass that has swept its segment.
pub fn totals(passes: &[PassProgress]) -> Counters {
    let mut rejected: BTreeMap<u32, u64> = BTreeMap::new();
    let mut note = |segment: u32, counted: u64, exhausted: bool| match rejected.get_mut(&segment) {
        Some(before) if exhausted => *before = counted,
        Some(before) => *before = counted.max(*before),
        None if counted > 0 => drop(rejected.insert(segment, counted)),
        None => {}
    };
    for pass in passes {
        for segment in &pass.segments {
            note(
                segment.segment,
                segment.counters.rejected,
                segment.exhausted,
            );
        }
        for swept in &pass.swept {
            note(swept.segment, swept.rejected, true);
        }
    }
    let sum: Counters = passes.iter().map(|pass| pass.counters).sum();
    let rejected = rejected.into_values().fold(0, u64::saturating_add);
    let again = sum.rejected.saturating_sub(rejected);
    Counters {
        matched: sum.matched.saturating_sub(again),
        rejected,
        ..sum
    }
}

impl PassProgress {
    /// A pass as its segments tell it.
    pub fn of(pass: u32, mut segments: Vec<SegmentProgress>) -> PassProgress {
        segments.sort_unstable_by_key(|segment| segment.segment);
        let mut bound_by = BTreeMap::new();
        for segment in segments.iter().filter(|segment| !segment.exhausted) {
            *bound_by.entry(segment.bound_by).or_default() += 1;
        }
        let exhausted = segments.iter().filter(|segment| segment.exhausted).count();
        PassProgress {
            pass,
            segments_exhausted: exhausted as u32,
            segments_begun: (segments.len() - exhausted) as u32,
            segments_unread: 0,
            chunks: segments.iter().fold(0, |sum: u64, segment| {
                // A damaged record may say anything.
                sum.saturating_add(segment.generation)
            }),
            bound_by,
            throttled_by: segments
                .iter()
                .find_map(|segment| segment.throttled_by.clone()),
            counters: segments.iter().map(|segment| segment.counters).sum(),
            latency: segments.iter().map(|segment| &segment.latency).sum(),
            segments,
            swept: Vec::new(),
            swept_ms: 0,
        }
    }

    /// Adds exhausted segments, as their sum tells them.
    pub fn add_sum(&mut self, blocks: Blocks, sum: &BlockSum) {
        for (place, scanned) in &sum.segments {
            let Some(segment) = blocks.segment(sum.block, *place) else {
                continue;
            };
            let rejected = sum.rejected.iter().find(|(other, _)| other == place);
            self.swept.push(SweptSegment {
                segment,
                scanned: *scanned,
                rejected: rejected.map_or(0, |(_, rejected)| *rejected),
            });
            self.segments_exhausted += 1;
        }
        self.counters += sum.counters;
        self.chunks = self.chunks.saturating_add(sum.chunks);
        self.latency += &sum.latency;
        self.swept_ms = self.swept_ms.max(sum.saved_ms);
        if self.throttled_by.is_none() {
            self.throttled_by.clone_from(&sum.throttled_by);
        }
    }

    /// The same with so many segments that were not read and are like those that were.
    fn with_unread(mut self, unread: u32) -> PassProgress {
        if unread > 0 && !self.segments.is_empty() {
            let factor = 1.0 + f64::from(unread) / self.segments.len() as f64;
            let about = |count: f64| (count * factor).round();
            self.segments_unread = unread;
            self.segments_begun = about(f64::from(self.segments_begun)) as u32;
            self.chunks = about(self.chunks as f64) as u64;
            for segments in self.bound_by.values_mut() {
                *segments = about(f64::from(*segments)) as u32;
            }
            self.counters = self.counters.of_so_much_more(factor);
        }
        self
    }

    /// The same with these exhausted segments, which are others.
    fn with_swept(mut self, swept: PassProgress) -> PassProgress {
        self.segments_exhausted += swept.segments_exhausted;
        self.counters += swept.counters;
        self.chunks = self.chunks.saturating_add(swept.chunks);
        self.latency += &swept.latency;
        self.throttled_by = self.throttled_by.or(swept.throttled_by);
        self.swept_ms = swept.swept_ms;
        self.swept = swept.swept;
        self.swept.sort_unstable_by_key(|swept| swept.segment);
        self
    }

    /// Whether this segment is swept to its end.
    pub fn is_exhausted(&self, segment: u32) -> bool {
        // They are in order.
        let found = self.segments.binary_search_by_key(&segment, |s| s.segment);
        found.is_ok_and(|index| self.segments[index].exhausted)
            || self
                .swept
                .binary_search_by_key(&segment, |s| s.segment)
                .is_ok()
    }

    /// Segments of which anything is known, and how many items each has scanned.
    pub fn scanned(&self) -> impl Iterator<Item = (u32, u64)> {
        let begun = self
            .segments
            .iter()
            .map(|s| (s.segment, s.counters.scanned));
        begun.chain(self.swept.iter().map(|s| (s.segment, s.scanned)))
    }
}

impl Snapshot {
    /// The current pass.
    pub fn current(&self) -> Option<&PassProgress> {
        self.passes.last()
    }

    /// What the run has used, by its records. [`Use::bill`] computes state transitions from the chunks.
    pub fn used(&self) -> Use {
        let run = &self.run;
        let mut used = Use {
            verification_read_units: run.verification_rcu,
            verifier_seconds: run.verification_seconds,
            passes: self.passes.len() as f64,
            in_aws: matches!(run.owner, Owner::Execution(_)),
            ..Use::default()
        };
        used.items = totals(&self.passes).matched as f64;
        for pass in &self.passes {
            used.checkpoints += pass.counters.checkpoints as f64;
            used.write_units += pass.counters.consumed_wcu;
            used.scan_read_units += pass.counters.consumed_rcu;
            used.worker_seconds += pass.counters.worked_seconds;
            used.segments += f64::from(pass.segments_exhausted + pass.segments_begun);
            used.chunks += pass.chunks as f64;
        }
        used
    }

    /// The run in one object, with its cost at these prices.
    pub fn summary(&self, prices: &Prices) -> Summary {
        let run = &self.run;
        let total = totals(&self.passes);
        // A count made before a later pass began says nothing about now.
        let proof = run.proof.as_ref().filter(|_| run.status.is_finished());
        let different = proof.and_then(|proof| proof.different.as_ref());
        Summary {
            run_id: run.run_id.clone(),
            table: run.spec.table.clone(),
            status: run.status,
            passes: run.passes(),
            segments: run.settings.total_segments,
            segments_unread: self.current().map_or(0, |pass| pass.segments_unread),
            scanned: total.scanned,
            matched: total.matched,
            updated: total.updated,
            raced: total.raced,
            vanished: total.vanished,
            rejected: total.rejected,
            contended: total.contended,
            remaining: proof.map(|proof| proof.remaining),
            lacking: proof.map_or_else(BTreeMap::new, |proof| proof.lacking.clone()),
            different: different.map(|different| different.items),
            elapsed_seconds: run.session_seconds(),
            sessions: run.sessions,
            total_seconds: run.earlier_seconds + run.session_seconds(),
            consumed_rcu: total.consumed_rcu + run.verification_rcu,
            consumed_wcu: total.consumed_wcu,
            throttles: total.throttles,
            latency: Latency::from(&self.passes.iter().map(|pass| &pass.latency).sum()),
            max_wcu: run.settings.max_wcu,
            max_rcu: run.settings.max_rcu,
            held: run.hold.clone(),
            samples: proof.map_or_else(Vec::new, |proof| proof.samples.clone()),
            different_samples: different
                .map_or_else(Vec::new, |different| different.samples.clone()),
            cost_usd: self.used().bill(prices),
        }
    }

    /// True while the run counts what is still pending: it is running, and no segment of its pass is open. A dry run only counts.
    pub fn is_verifying(&self) -> bool {
        let settings = &self.run.settings;
        let exhausted = self.current().map_or(0, |pass| pass.segments_exhausted);
        self.run.status == RunStatus::Running
            && (settings.dry_run || exhausted >= settings.total_segments)
    }

    /// True if the current pass has no item left to sweep, so that a running run verifies ([`Snapshot::is_verifying`]), or pauses
    /// after `only_segments`. A dry run only counts.
    pub fn is_swept(&self) -> bool {
        let settings = &self.run.settings;
        let Some(pass) = self.current() else {
            return settings.dry_run;
        };
        let only = &settings.only_segments;
        settings.dry_run
            || pass.segments_exhausted >= settings.total_segments
            || (!only.is_empty() && only.iter().all(|wanted| pass.is_exhausted(*wanted)))
    }

    /// How many items the current pass has swept, and about how many it is to sweep. The latter is
    /// - DynamoDB's estimate, which is up to six hours old (API reference, TableDescription), or the part of `only_segments`
    ///   in it;
    /// - if more have been swept already, the mean of the exhausted segments times their number, once there are
    ///   enough of them (`LEAST_SEGMENTS`): DynamoDB cuts segments by the hash of the key;
    /// - `None` if neither is of use.
    pub fn items(&self) -> (u64, Option<u64>) {
        let settings = &self.run.settings;
        let Some(pass) = self.current() else {
            return (0, None);
        };
        let total = f64::from(settings.total_segments.max(1));
        let (swept, number) = match settings.only_segments.len() {
            0 => (pass.counters.scanned, total),
            number => {
                let sum = |sum: u64, (_, of_one): (u32, u64)| sum.saturating_add(of_one);
                let all = pass.scanned().fold(0, sum);
                let included = pass.scanned().filter(|(n, _)| settings.includes(*n));
                // What was not read is at work, so that it is included.
                let unread = pass.counters.scanned.saturating_sub(all);
                (included.fold(unread, sum), number as f64)
            }
        };
        let estimate = (self.run.estimated_items as f64 * number / total) as u64;
        if estimate > swept {
            return (swept, Some(estimate));
        }
        let exhausted = pass.segments.iter().filter(|segment| segment.exhausted);
        let exhausted: Vec<u64> = exhausted
            .map(|segment| segment.counters.scanned)
            .chain(pass.swept.iter().map(|swept| swept.scanned))
            .collect();
        if exhausted.len() < LEAST_SEGMENTS {
            return (swept, None);
        }
        let sum: f64 = exhausted.iter().map(|scanned| *scanned as f64).sum();
        let mean = sum / exhausted.len() as f64;
        let expected = (mean * number) as u64;
        (swept, (expected > swept).then_some(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Proof;

    /// A run of 40 segments that has just begun.
    fn run() -> RunRecord {
        let json = r#"{"version":1,"run_id":"r",
            "spec":"{\"table\":\"t\",\"pending\":\"attribute_not_exists(a)\",\"update\":\"SET a = :v\",\"values\":{\":v\":{\"N\":\"1\"}}}",
            "fingerprint":"","keys":{"hash":{"name":"id","type":"S"}},"table_identity":"","estimated_items":0,
            "settings":{"total_segments":40,"max_concurrency":8,"time_box_seconds":600,"max_passes":3},
            "status":"running","message":"","first_pass":1,"pass":1,"last_pass":3,"owner":"me","started_ms":0,"verification_rcu":0,
            "revision":1}"#;
        serde_json::from_str(json).expect("a run record")
    }

    fn segment(number: u32, scanned: u64) -> SegmentProgress {
        SegmentProgress {
            segment: number,
            exhausted: false,
            generation: 1,
            bound_by: BoundBy::None,
            throttled_by: None,
            saved_ms: 0,
            counters: Counters {
                scanned,
                ..Counters::default()
            },
            latency: Latencies::default(),
        }
    }

    fn pass(run: RunRecord, segments: Vec<SegmentProgress>) -> Snapshot {
        let passes = vec![PassProgress::of(run.pass, segments)];
        Snapshot {
            run,
            passes,
            counting: None,
        }
    }

    /// accounting: what every pass refuses counts once, and what a later one has changed counts there. A pass that goes on says
    /// nothing yet of items that it has not come to.
    #[test]
    fn accounting_of_items_that_several_passes_refuse() {
        let of_pass = |pass, rejected: [u64; 3], updated, exhausted: bool| {
            let segments = rejected.into_iter().zip(0..).map(|(rejected, number)| {
                let mut segment = segment(number, 100);
                segment.exhausted = exhausted || number == 0;
                segment.counters.matched = rejected + updated;
                segment.counters.rejected = rejected;
                segment.counters.updated = updated;
                segment
            });
            PassProgress::of(pass, segments.collect())
        };
        let first = of_pass(1, [5, 0, 3], 10, true);
        let under_way = of_pass(2, [4, 0, 1], 0, false);
        let done = of_pass(3, [4, 2, 0], 1, true);
        for (passes, rejected, matched) in [
            (vec![first.clone()], 8, 38),
            (vec![first.clone(), under_way], 7, 37),
            (vec![first, done], 6, 39),
        ] {
            let total = totals(&passes);
            assert_eq!((total.rejected, total.matched), (rejected, matched));
            assert_eq!(total.matched, total.updated + total.rejected);
        }
    }

    /// accounting: contended items are a term of the totals, and programs see the figure also if it is 0.
    #[test]
    fn accounting_of_contended_items_in_the_result() {
        for contended in [0, 4] {
            let mut one = segment(0, 100);
            one.counters.matched = 9 + contended;
            (one.counters.updated, one.counters.rejected) = (8, 1);
            one.counters.contended = contended;
            let mut two = one.clone();
            two.segment = 1;
            let snapshot = pass(run(), vec![one, two]);
            let summary = snapshot.summary(&Prices::default());
            assert_eq!(summary.contended, 2 * contended);
            let terms = summary.updated + summary.rejected + summary.contended;
            assert_eq!(summary.matched, terms);
            let json = serde_json::to_value(&snapshot.passes[0]).unwrap();
            assert_eq!(json["counters"]["contended"], 2 * contended);
            assert_eq!(json["counters"]["matched"], summary.matched);
            let json = serde_json::to_value(&summary).unwrap();
            assert_eq!(json["contended"], 2 * contended);
        }
    }

    /// proof: the result has the number of other values and their keys, null and none if they were not counted; and nothing of a
    /// count that is no longer valid.
    #[test]
    fn proof_in_the_result_tells_other_values() {
        let found = Different {
            items: 12,
            samples: vec![Key([("id".to_owned(), crate::Value::S("a".into()))].into())],
        };
        for (status, different, told) in [
            (RunStatus::Succeeded, Some(found.clone()), true),
            (RunStatus::Succeeded, None, false),
            (RunStatus::Running, Some(found), false),
        ] {
            let mut run = run();
            run.status = status;
            run.proof = Some(Proof {
                remaining: 0,
                scanned: 40,
                samples: Vec::new(),
                lacking: BTreeMap::new(),
                different: different.clone(),
                began_ms: None,
                at_ms: 1,
            });
            let summary = pass(run, Vec::new()).summary(&Prices::default());
            assert_eq!(summary.told_different(), different.filter(|_| told));
            let json = serde_json::to_value(&summary).unwrap();
            let expected = match told {
                true => (
                    serde_json::json!(12),
                    serde_json::json!([{"id": {"S": "a"}}]),
                ),
                false => (serde_json::Value::Null, serde_json::json!([])),
            };
            assert_eq!(
                (json["different"].clone(), json["different_samples"].clone()),
                expected
            );
        }
    }

    #[test]
    fn the_exhausted_segments_tell_if_the_estimate_is_too_low() {
        let mut run = run();
        run.estimated_items = 0;
        run.settings.total_segments = 20;
        let done = |n: u32| {
            let mut segments: Vec<_> = (0..n).map(|n| segment(n, 100)).collect();
            for segment in &mut segments {
                segment.exhausted = true;
            }
            pass(run.clone(), segments)
        };
        assert_eq!(done(7).items(), (700, None));
        assert_eq!(done(8).items(), (800, Some(2_000)));
    }

    #[test]
    fn of_a_canary_only_its_segments_count() {
        let mut run = run();
        run.estimated_items = 10_000;
        run.settings.only_segments = vec![3, 7];
        let mut segments = vec![segment(1, 400), segment(3, 100), segment(7, 60)];
        segments[0].exhausted = true;
        segments[1].exhausted = true;
        let mut snapshot = pass(run, segments);
        assert_eq!(snapshot.items(), (160, Some(500)));
        assert!(!snapshot.is_swept());
        snapshot.passes[0].segments[2].exhausted = true;
        assert!(snapshot.is_swept());
        // Others are open, so that nothing is verified: neither before it pauses nor then.
        assert!(!snapshot.is_verifying());
        snapshot.run.status = RunStatus::Paused;
        assert!(snapshot.is_swept() && !snapshot.is_verifying());
    }
}
