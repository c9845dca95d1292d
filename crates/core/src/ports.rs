//! The doors to the outside: the target table, with the alarms and the time by which a run on it is held, the checkpoint
//! store, and a table's stream ([`stream`]) with what is durable of its guard ([`guard`]). Reading and writing are traits of their own, so that code which must not write (plan, dry run, verification) has nothing
//! to write with.
//!
//! An error of either door is retryable ([`ErrorKind::is_retryable`](crate::ErrorKind::is_retryable)) if the same call may
//! succeed later; the caller tries again.

pub mod guard;
pub mod stream;

use std::future::Future;

use crate::change::{Change, Seen, SharedChange, Weighed};
use crate::clock::now_ms;
use crate::records::{BlockSum, CountNote, Flush, FullBlocks, HistoryBucket};
use crate::records::{Rejected, RunRecord, SegmentRecord};
use crate::request::WriterKind;
use crate::table::TableDescription;
use crate::value::few::{Attributes, Few};
use crate::value::packed::PackedKey;
use crate::value::size::{check_units, read_units};
use crate::{Error, Item, Key, Result};

/// Which slice of the table to read next.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// The segment's number, from 0.
    pub segment: u32,
    /// Segments that the table is cut into.
    pub total_segments: u32,
    /// ExclusiveStartKey: the page begins behind it. `None` is the begin of the segment.
    pub after: Option<&'a Key>,
    /// Most items to evaluate; DynamoDB's own bound of 1 MB a page holds besides.
    pub limit: u32,
    /// True for strongly consistent reads, which cost twice the read units.
    pub consistent: bool,
    /// What is asked for.
    pub asks: Asks,
}

/// What a page of the table is read for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asks {
    /// The items that are pending, with what their update is made from: [`Change::sweep`].
    #[default]
    Sweep,
    /// What every item counts as: [`Change::proof`]. Of an item the key comes back and nothing else.
    Proof,
}

/// One Scan response.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The items that are pending, in scan order. May be empty though `next` is there.
    pub pending: Vec<Seen>,
    /// The keys of items that are not pending and whose value is not what their sources give now; only of a proof.
    pub different: Vec<PackedKey>,
    /// Bytes in memory, about, of items that a sweep has brought along and that are not pending by [`Change::is_pending`]: they were
    /// there while the page was taken apart.
    pub passed_over: usize,
    /// Items evaluated, pending or not.
    pub scanned: u64,
    /// LastEvaluatedKey; `None` is the end of the segment, and nothing else is.
    pub next: Option<Key>,
    /// Read capacity units of the page, as DynamoDB reported them.
    pub consumed_rcu: f64,
}

impl Page {
    /// Takes the items of a sweep, as [`Change::sweep`] has brought them along, and keeps those that are pending.
    pub fn keep_pending(&mut self, change: &dyn Change, items: impl IntoIterator<Item = Few>) {
        for item in items {
            let seen = change.seen(item);
            match change.is_pending(&seen) {
                true => self.pending.push(seen),
                false => self.passed_over += seen.bytes(),
            }
        }
    }

    /// Takes the items of a proof, as [`Change::proof`] has brought them along, for what they count as.
    pub fn weigh<I: Attributes>(&mut self, change: &dyn Change, items: Vec<I>) {
        for item in items {
            match change.weigh(&item) {
                Weighed::Pending => {
                    let key = PackedKey::of_item(change.keys().names(), &item);
                    self.pending.push(key.into());
                }
                Weighed::Different => {
                    let key = PackedKey::of_item(change.keys().names(), &item);
                    self.different.push(key);
                }
                Weighed::Done => {}
            }
        }
    }
}

/// One Scan response about items that are not pending and lack what the update sets ([`Change::lacks`]).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LackingPage {
    /// How many of them lack each of [`Lacks::attributes`](crate::change::Lacks::attributes), in that order.
    pub lacking: Vec<u64>,
    /// Items evaluated.
    pub scanned: u64,
    /// LastEvaluatedKey; `None` is the end of the segment, and nothing else is.
    pub next: Option<Key>,
    /// Read capacity units of the page, as DynamoDB reported them.
    pub consumed_rcu: f64,
}

/// What became of one conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `P` held, and the item is changed.
    Updated,
    /// The item is there and `P` no longer holds: a live writer was first.
    Raced,
    /// The item is gone.
    Vanished,
    /// The item is there and pending, and what the update was made from has changed meanwhile: nothing was written. This is the
    /// item as it was then, for an update to be made from once more.
    Moved(Box<Seen>),
    /// What the update is made from changed again and again while it was made: the item is left to the next pass.
    Contended,
    /// Nothing can be made of this item, for this reason: no request was sent.
    Unmade(String),
    /// DynamoDB refuses this update on this item for good, with this reason.
    Rejected(String),
    /// DynamoDB refuses this update on this item for good, in words that do not say whether it would refuse that of every
    /// item. Whoever knows whether it has accepted one knows more.
    Unclear(String),
}

impl Outcome {
    /// What it means that the guard of an update has failed on this item, which is gone if it is `None`.
    pub fn of_failed_guard(change: &dyn Change, item: &Seen, now: Option<Item>) -> Outcome {
        let Some(now) = now else {
            return Outcome::Vanished;
        };
        match change.moved(item, now) {
            Some(seen) => Outcome::Moved(Box::new(seen)),
            None => Outcome::Raced,
        }
    }
}

/// An acknowledged write of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// What became of the item.
    pub outcome: Outcome,
    /// Write capacity units that it consumed, indexes included.
    pub consumed_wcu: f64,
}

impl Write {
    /// One that has cost nothing that anybody knows of.
    pub fn free(outcome: Outcome) -> Write {
        Write {
            outcome,
            consumed_wcu: 0.0,
        }
    }
}

/// One acknowledged request of guarded updates.
#[derive(Debug)]
pub struct Batch {
    /// What became of each item, in the order of the request. An error leaves its item open: the item's own update has the
    /// last word.
    pub outcomes: Vec<Result<Outcome>>,
    /// Items of which an update went out with the request. Nothing was sent of the others: nothing can be made of them, or they are
    /// left to their own updates.
    pub sent: usize,
    /// Write capacity units of the whole request, indexes and failed conditions included.
    pub consumed_wcu: f64,
}

/// How one item is looked at after its update. Each way is for tables that do not allow the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookBy {
    /// By a transaction that checks that `P` does not hold for it. Paid in write units.
    Check,
    /// By a query of its key with `P` as filter, which then may not name a key. Paid in read units.
    Query,
    /// By the page of a scan that it was found on, which says whether it is pending, and a query of its key alone, which says what
    /// it is like. Paid in read units.
    Page,
}

impl LookBy {
    /// What [`TableWriter::look`] should cost on an item of so many bytes.
    pub fn units(self, bytes: u64) -> f64 {
        match self {
            LookBy::Check => check_units(bytes),
            LookBy::Query | LookBy::Page => read_units(bytes),
        }
    }

    /// What it is called in a log.
    pub fn name(self) -> &'static str {
        match self {
            LookBy::Check => "a transaction",
            LookBy::Query => "a query",
            LookBy::Page => "a page of a scan",
        }
    }
}

/// What a look at one item has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The whole item, if it is what was looked for.
    pub item: Option<Item>,
    /// Capacity units that the look has consumed, of the kind that it is paid in; `None` if that was not told.
    pub consumed: Option<f64>,
}

/// Read access to the target table, for one change.
pub trait TableReader: Send + Sync {
    /// Reads one page of pending items.
    ///
    /// Errors: those of a scan; retryable ones are for the caller to retry.
    fn page(&self, request: PageRequest<'_>) -> impl Future<Output = Result<Page>> + Send;

    /// Reads one page of items that are not pending, and counts which of them lack what the update sets.
    ///
    /// Errors: those of a scan; retryable ones are for the caller to retry.
    fn lacking(&self, request: PageRequest<'_>)
    -> impl Future<Output = Result<LackingPage>> + Send;
}

/// Write access to the target table, for one change: guarded updates, of one item or of several, a look at their effect,
/// and nothing else.
pub trait TableWriter: Send + Sync {
    /// Most items in one [`TableWriter::update_batch`]. It becomes 1 if batches turn out to be impossible, so ask each time.
    fn batch_size(&self) -> usize;

    /// No item is to be updated in batches any more, for this reason: a batch did not do what an update does.
    fn distrust_batches(&self, reason: &str);

    /// Applies the change to each of these items, at most [`TableWriter::batch_size`] and none twice, as
    /// [`TableWriter::update`] does, in one request that is not atomic.
    ///
    /// Errors: those of the request as a whole; retryable ones are for the caller to retry.
    fn update_batch(&self, items: &[Seen]) -> impl Future<Output = Result<Batch>> + Send;

    /// Applies [`Change::update`] to the item if its condition holds at that moment. If the
    /// condition fails, or DynamoDB refuses the item for good, that is an [`Outcome`].
    ///
    /// Errors: those of an update; retryable ones are for the caller to retry.
    fn update(&self, item: &Seen) -> impl Future<Output = Result<Write>> + Send;

    /// Does what [`TableWriter::update`] does, with its errors, and returns the item as it is after an update that took
    /// effect; `None` if none did.
    fn update_and_show(
        &self,
        item: &Seen,
    ) -> impl Future<Output = Result<(Write, Option<Item>)>> + Send;

    /// How items are to be looked at. It becomes another way if this one turns out to be impossible, so ask each time, also
    /// after an error of [`TableWriter::look`].
    fn look_by(&self) -> LookBy;

    /// Looks at the item with this key as DynamoDB has it at this moment. By a check and by a query it is what was looked for
    /// if `P` holds for it, and by a page if it is there. Changes nothing, and should cost [`LookBy::units`].
    ///
    /// Errors: those of a transaction or a query; retryable ones are for the caller to retry.
    fn look(&self, key: &Key, by: LookBy) -> impl Future<Output = Result<Look>> + Send;
}

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// Within its threshold.
    Ok,
    /// Beyond its threshold.
    Alarm,
    /// It has just begun, or has no data to tell by.
    InsufficientData,
}

impl AlarmState {
    /// CloudWatch's word for it.
    pub fn name(self) -> &'static str {
        match self {
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// An alarm as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// Its state.
    pub state: AlarmState,
    /// Since when it is in this state, in milliseconds since 1970, if that is known.
    pub since_ms: Option<u64>,
}

/// Read access to the tables of one account and region, and to what holds runs on them: the alarms there, and the time. It is all
/// that a plan, a dry run and a verification get.
pub trait ReadAccess: Send + Sync {
    /// Reads the table of one change.
    type Reader: TableReader;

    /// Describes the table.
    ///
    /// Errors: `TableNotFound` if it does not exist.
    fn describe(&self, table: &str) -> impl Future<Output = Result<TableDescription>> + Send;

    /// A reader for this change.
    fn reader(&self, change: SharedChange) -> Self::Reader;

    /// The alarm of this name or ARN in the same account and region; `None` if there is none.
    ///
    /// Errors: `InvalidInput`, naming `pause_when`, if no alarm can be asked for here; `AccessDenied`.
    fn alarm(&self, name: &str) -> impl Future<Output = Result<Option<Alarm>>> + Send {
        let error = Error::invalid(
            "pause_when",
            format!("there is nobody here to ask for alarm {name}"),
        );
        std::future::ready(Err(error))
    }

    /// The wall clock by which a run is held: whether it is within its hours, and how long a hold has lasted; and by which a recorded
    /// pace has its age; and by which a guard says when it has lost something. In milliseconds since 1970. Stamps of other records are
    /// made by [`now_ms`] itself; outside of tests the two are one.
    fn now_ms(&self) -> u64 {
        now_ms()
    }
}

/// Read and write access: what a worker gets.
pub trait WriteAccess: ReadAccess {
    /// Writes to the table of one change.
    type Writer: TableWriter;

    /// A writer for this change, by requests of this kind if they can carry it.
    fn writer(&self, change: SharedChange, kind: WriterKind) -> Self::Writer;
}

/// Read access to the durable records.
pub trait CheckpointReader: Send + Sync {
    /// Whether the records lie in the table of this name.
    fn lies_in(&self, table: &str) -> bool;

    /// The run record, strongly consistent; `None` if there is no such run.
    ///
    /// Errors: `Internal` if the record is of a layout that this version does not know, or damaged.
    fn run(&self, run_id: &str) -> impl Future<Output = Result<Option<RunRecord>>> + Send;

    /// The copy of the run record under a shard, strongly consistent; `None` if there is none, or one that cannot be relied
    /// on. It is never older than the record: see [`RunStore::save_copy`].
    fn run_copy(
        &self,
        run_id: &str,
        shard: u32,
    ) -> impl Future<Output = Result<Option<RunRecord>>> + Send;

    /// The segment records of one pass under one shard, strongly consistent, in no particular order. A segment that was never
    /// claimed has none.
    fn segments(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
    ) -> impl Future<Output = Result<Vec<SegmentRecord>>> + Send;

    /// The record of one segment in one pass, strongly consistent; `None` if it was never claimed.
    fn segment(
        &self,
        run: &RunRecord,
        pass: u32,
        segment: u32,
    ) -> impl Future<Output = Result<Option<SegmentRecord>>> + Send;

    /// The sums of one pass under one shard, of this block and those behind it, strongly consistent, in the order of their numbers.
    fn sums(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
        from: u32,
    ) -> impl Future<Output = Result<Vec<BlockSum>>> + Send;

    /// Which blocks of one pass are full, as far as that was noted, strongly consistent.
    fn full_blocks(
        &self,
        run: &RunRecord,
        pass: u32,
    ) -> impl Future<Output = Result<FullBlocks>> + Send;

    /// The latest pass of which there is any record under a shard, whoever has left it there; `None` if there is none.
    fn latest_pass(
        &self,
        run: &RunRecord,
        shard: u32,
    ) -> impl Future<Output = Result<Option<u32>>> + Send;

    /// How many segments of a shard are known to be exhausted in the run's current pass: never more than there are, and
    /// seldom fewer.
    fn exhausted(&self, run: &RunRecord, shard: u32) -> impl Future<Output = Result<u32>> + Send;

    /// How far the verification of a run has come, by the last note of it; `None` if there is none. It may be of an earlier pass.
    fn count_note(&self, run: &RunRecord)
    -> impl Future<Output = Result<Option<CountNote>>> + Send;

    /// The items of one pass under one shard that cannot be updated, in no particular order; strongly consistent.
    fn rejected(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
    ) -> impl Future<Output = Result<Vec<Rejected>>> + Send;

    /// How many items [`CheckpointReader::rejected`] would return.
    fn rejected_count(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// The history of one pass under one shard, the earliest bucket first; [`HistoryBucket::merged`] makes one of several.
    fn history(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
    ) -> impl Future<Output = Result<Vec<HistoryBucket>>> + Send;
}

/// Write access to the note of how far a verification has come, and to nothing else: what a verifier gets.
pub trait CountNotes: CheckpointReader {
    /// Puts a note in the place of the last one of this run.
    fn note_count(
        &self,
        run: &RunRecord,
        note: &CountNote,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// Write access to the run record, and to what whoever leads a run knows of its sums.
pub trait RunStore: CheckpointReader {
    /// Stores `record` as the successor of revision `record.revision - 1` (0: there was no record).
    ///
    /// Errors: `Conflict` if the stored revision is another.
    fn save_run(&self, record: &RunRecord) -> impl Future<Output = Result<()>> + Send;

    /// Marks the copy under a shard as one of this revision or an earlier one that is to come, so that nobody relies on what
    /// was there. It does nothing to a copy or a mark of this revision or a later one.
    fn mark_copy(
        &self,
        run_id: &str,
        shard: u32,
        revision: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Puts a copy of a record that is saved under a shard, unless there is a copy or a mark of a later revision. If every
    /// copy was marked before the record was saved, none is ever older than the record.
    fn save_copy(&self, record: &RunRecord, shard: u32) -> impl Future<Output = Result<()>> + Send;

    /// Puts the sum of a block of the run's current pass in the place of one that had so many chunks (0: there was none). Returns false,
    /// and puts nothing, if somebody has added to it since: each addition has a chunk.
    fn save_sum(
        &self,
        run: &RunRecord,
        sum: &BlockSum,
        chunks: u64,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Notes which blocks of the run's current pass are full, unless it is noted of more.
    fn note_full(
        &self,
        run: &RunRecord,
        full: &FullBlocks,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// Write access to the records of segments and of their rejected items, and to the history.
pub trait SegmentStore: CheckpointReader {
    /// Claims a segment of the run's current pass: its generation grows by one, which fences off whoever had it.
    /// Creates the record if there is none, and returns it as it stands then.
    ///
    /// Errors: `Fenced` if it was claimed on behalf of a later revision of the run: a former owner that is late cannot
    /// fence off its successor.
    fn claim(
        &self,
        run: &RunRecord,
        segment: u32,
    ) -> impl Future<Output = Result<SegmentRecord>> + Send;

    /// Stores cursor and counters of a segment of this run.
    ///
    /// Errors: `Fenced` if the stored generation is not `record.generation`, or if a checkpoint with a higher number
    /// (`counters.checkpoints`) is stored already.
    fn checkpoint(
        &self,
        run: &RunRecord,
        record: &SegmentRecord,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Adds this sum of exhausted segments to that of its block in the run's current pass. Returns false, and adds nothing, if one of
    /// them is in there already, as after an answer that was lost.
    fn add_to_sums(
        &self,
        run: &RunRecord,
        sum: &BlockSum,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Makes [`CheckpointReader::exhausted`] of a shard grow by so many in the run's current pass. Not to be tried again after an
    /// error: it may have been carried out, and would then count twice.
    fn count_exhausted(
        &self,
        run: &RunRecord,
        shard: u32,
        segments: u32,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Adds what was done in a segment to the history of the run's current pass. Not to be tried again after an error: it may
    /// have been carried out, and would then count twice.
    fn add_to_history(
        &self,
        run: &RunRecord,
        segment: u32,
        flush: &Flush,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Records an item of the run's current pass, in the place of an earlier record of the same item.
    fn reject(&self, run: &RunRecord, item: &Rejected) -> impl Future<Output = Result<()>> + Send;

    /// Removes the record of an item in the run's current pass, if there is one.
    fn forget_rejected(
        &self,
        run: &RunRecord,
        item: &Rejected,
    ) -> impl Future<Output = Result<()>> + Send;
}
