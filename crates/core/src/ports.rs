//! The two doors to the outside: the target table and the checkpoint store. Reading and writing are traits of
//! their own, so that code which must not write (plan, dry run, verification) has nothing to write with.

use std::future::Future;

use crate::change::{Seen, SharedChange};
use crate::records::{Flush, HistoryBucket};
use crate::records::{Rejected, RunRecord, SegmentRecord};
use crate::request::WriterKind;
use crate::table::TableDescription;
use crate::{Item, Key, Result};

/// Which slice of the table to read next.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    pub segment: u32,
    pub total_segments: u32,
    /// ExclusiveStartKey.
    pub after: Option<&'a Key>,
    /// Most items to evaluate; DynamoDB's own bound of 1 MB a page holds besides.
    pub limit: u32,
    /// Strongly consistent, at twice the read units.
    pub consistent: bool,
}

/// One Scan response.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The items for which `P` holds, in scan order. May be empty though `next` is there.
    pub pending: Vec<Seen>,
    /// Items evaluated.
    pub scanned: u64,
    /// LastEvaluatedKey; `None` is the end of the segment, and nothing else is.
    pub next: Option<Key>,
    pub consumed_rcu: f64,
}

/// What became of one conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Updated,
    /// The item is there and `P` no longer holds: a live writer was first.
    Raced,
    /// The item is gone.
    Vanished,
    /// DynamoDB refuses this update on this item for good, with this reason.
    Rejected(String),
}

/// An acknowledged write and the write units that it consumed, indexes included.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub outcome: Outcome,
    pub consumed_wcu: f64,
}

/// One acknowledged request of guarded updates.
#[derive(Debug)]
pub struct Batch {
    /// What became of each item, in the order of the request. An error is about this item alone.
    pub outcomes: Vec<Result<Outcome>>,
    /// Write units of the whole request, indexes and failed conditions included.
    pub consumed_wcu: f64,
}

/// Read access to the target table, for one change.
pub trait TableReader: Send + Sync {
    /// Reads one page of pending items. Retryable errors are for the caller to retry.
    fn page(&self, request: PageRequest<'_>) -> impl Future<Output = Result<Page>> + Send;
}

/// Write access to the target table: the guarded update is all there is, of one item or of several, and a look at its
/// effect.
pub trait TableWriter: Send + Sync {
    /// Most items in one [`TableWriter::update_batch`]. 1 where batches turn out to be impossible, so ask each time.
    fn batch_size(&self) -> usize;

    /// Applies the change to each of these items, at most [`TableWriter::batch_size`] and none twice, as
    /// [`TableWriter::update`] does, in one request that is not atomic. An error is about the request as a whole.
    fn update_batch(&self, items: &[Seen]) -> impl Future<Output = Result<Batch>> + Send;

    /// Applies [`Change::update`](crate::change::Change::update) to the item if its condition holds at that moment.
    fn update(&self, item: &Seen) -> impl Future<Output = Result<Write>> + Send;

    /// Does what [`TableWriter::update`] does, and returns the item as it is after an update that took effect.
    fn update_and_show(
        &self,
        item: &Seen,
    ) -> impl Future<Output = Result<(Write, Option<Item>)>> + Send;

    /// The whole item with this key if `P` holds for it at this moment, as DynamoDB sees it; changes nothing.
    fn pending_item(&self, key: &Key) -> impl Future<Output = Result<Option<Item>>> + Send;
}

/// Read access to the tables of one account and region: all that a plan, a dry run and a verification get.
pub trait ReadAccess: Send + Sync {
    type Reader: TableReader;

    /// Describes the table. `TableNotFound` where it does not exist.
    fn describe(&self, table: &str) -> impl Future<Output = Result<TableDescription>> + Send;

    /// A reader for this change.
    fn reader(&self, change: SharedChange) -> Self::Reader;
}

/// Read and write access: what a worker gets.
pub trait WriteAccess: ReadAccess {
    type Writer: TableWriter;

    /// A writer for this change.
    fn writer(&self, change: SharedChange, kind: WriterKind) -> Self::Writer;
}

/// Read access to the durable records.
pub trait CheckpointReader: Send + Sync {
    /// The run record, strongly consistent.
    fn run(&self, run_id: &str) -> impl Future<Output = Result<Option<RunRecord>>> + Send;

    /// The segment records of one pass, strongly consistent. A segment that was never claimed has none.
    fn segments(
        &self,
        run_id: &str,
        pass: u32,
    ) -> impl Future<Output = Result<Vec<SegmentRecord>>> + Send;

    /// How many segments of one pass are known to be exhausted: never more than there are, and seldom fewer.
    fn exhausted(&self, run_id: &str, pass: u32) -> impl Future<Output = Result<u32>> + Send;

    /// The items of one pass that DynamoDB refuses, in no particular order; strongly consistent.
    fn rejected(
        &self,
        run_id: &str,
        pass: u32,
    ) -> impl Future<Output = Result<Vec<Rejected>>> + Send;

    /// How many those are.
    fn rejected_count(&self, run_id: &str, pass: u32) -> impl Future<Output = Result<u64>> + Send;

    /// The history of one pass, the earliest bucket first.
    fn history(
        &self,
        run_id: &str,
        pass: u32,
    ) -> impl Future<Output = Result<Vec<HistoryBucket>>> + Send;
}

/// Write access to the records of rejected items.
pub trait RejectedStore: CheckpointReader {
    /// Records an item of this pass, in the place of an earlier record of the same item.
    fn reject(
        &self,
        run_id: &str,
        pass: u32,
        item: &Rejected,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Removes the record of an item, if there is one.
    fn forget_rejected(
        &self,
        run_id: &str,
        pass: u32,
        key: &Key,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// Write access to the run record.
pub trait RunStore: CheckpointReader {
    /// Stores `record` as the successor of revision `record.revision - 1` (0: there was no record).
    /// `Conflict` where the stored revision is another.
    fn save_run(&self, record: &RunRecord) -> impl Future<Output = Result<()>> + Send;
}

/// Write access to segment records.
pub trait SegmentStore: RejectedStore {
    /// Claims a segment of the run's current pass: its generation grows by one, which fences off whoever had it.
    /// Creates the record where there is none. Returns it as it stands now. `Fenced` where it was claimed on
    /// behalf of a later revision of the run: a former owner that is late cannot fence off its successor.
    fn claim(
        &self,
        run: &RunRecord,
        segment: u32,
    ) -> impl Future<Output = Result<SegmentRecord>> + Send;

    /// Stores cursor and counters. `Fenced` where the stored generation is not `record.generation`, or where a checkpoint
    /// with a higher number (`counters.checkpoints`) is stored already. With the checkpoint
    /// that exhausts a segment [`CheckpointReader::exhausted`] grows by one, at most.
    fn checkpoint(&self, record: &SegmentRecord) -> impl Future<Output = Result<()>> + Send;

    /// Adds to the history of a pass. Not to be tried again after an error: it may have been carried out, and would then
    /// count twice.
    fn add_to_history(
        &self,
        run_id: &str,
        pass: u32,
        flush: &Flush,
    ) -> impl Future<Output = Result<()>> + Send;
}
