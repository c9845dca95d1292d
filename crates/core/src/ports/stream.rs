//! The door to a table's stream: its shards, and the records of each in their order.
//!
//! What DynamoDB Streams promises is in the developer guide (Change data capture for DynamoDB Streams): each change of an item is in
//! the stream once, and the changes of one item in their order; a shard has at most one parent, whose records come before its own;
//! records are kept for 24 hours.

use std::future::Future;

use crate::{Item, Key, Result};

/// What a stream record says has become of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The item is new.
    Insert,
    /// The item was there, and is another now.
    Modify,
    /// The item is gone.
    Remove,
}

/// A change of one item, as a stream tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRecord {
    /// SequenceNumber: where it stands in its shard, as up to 40 digits.
    pub sequence: String,
    /// What has become of the item.
    pub kind: RecordKind,
    /// The item's primary key.
    pub key: Key,
    /// NewImage: the whole item as it was right after the change; `None` if it is gone, or if the stream does not carry it.
    pub image: Option<Item>,
    /// ApproximateCreationDateTime, in milliseconds since 1970: when the item was changed, to the second.
    pub at_ms: u64,
}

/// A stream record that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// SequenceNumber, if that much can be told.
    pub sequence: Option<String>,
    /// Why it cannot be understood, for a person, with its sequence number and nothing of its item.
    pub why: String,
}

/// What a stream has brought of one change: a record that cannot be understood leaves the others to be settled.
pub type Brought = std::result::Result<StreamRecord, Unreadable>;

/// Where in its shard a record stands, as far as that can be told.
pub fn sequence_of(brought: &Brought) -> Option<&str> {
    match brought {
        Ok(record) => Some(&record.sequence),
        Err(odd) => odd.sequence.as_deref(),
    }
}

/// What a stream carries of each change (StreamViewType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamView {
    /// The keys alone.
    KeysOnly,
    /// The item as it is after the change.
    NewImage,
    /// The item as it was before.
    OldImage,
    /// Both.
    NewAndOldImages,
}

impl StreamView {
    /// Whether records bring along the item as it is after the change.
    pub fn has_new_image(self) -> bool {
        matches!(self, StreamView::NewImage | StreamView::NewAndOldImages)
    }

    /// DynamoDB's word for it.
    pub fn name(self) -> &'static str {
        match self {
            StreamView::KeysOnly => "KEYS_ONLY",
            StreamView::NewImage => "NEW_IMAGE",
            StreamView::OldImage => "OLD_IMAGE",
            StreamView::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }
}

/// A shard of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// ShardId.
    pub id: String,
    /// ParentShardId: the shard that must be read to its end before this one. It may be gone from the stream already.
    pub parent: Option<String>,
}

/// A stream, with all of its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDescription {
    /// What its records carry.
    pub view: StreamView,
    /// False once the stream was switched off: what is in it can be read for 24 hours more, and nothing is added.
    pub is_enabled: bool,
    /// Its shards, in no particular order.
    pub shards: Vec<Shard>,
}

/// Where to begin in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin<'a> {
    /// With the oldest record that is there (TRIM_HORIZON).
    Oldest,
    /// With this record (AT_SEQUENCE_NUMBER).
    At(&'a str),
    /// With the record behind this one (AFTER_SEQUENCE_NUMBER).
    After(&'a str),
}

/// A place in a shard to read from: a ShardIterator, which is good for 15 minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Iterator {
    /// The place.
    At(String),
    /// The record that it was to begin with, or to follow on, is no longer in the stream (TrimmedDataAccessException): what came between
    /// it and the oldest one is lost.
    Trimmed,
    /// There is no such shard any more: whatever was in it is gone.
    Gone,
}

/// What reading on from an iterator has brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// Records in their order, perhaps none, and those among them that cannot be understood; and where to read on: `None` is the end of a closed shard, and nothing else is.
    Records(Vec<Brought>, Option<String>),
    /// The iterator was too old (ExpiredIteratorException): make another one for the same place.
    Expired,
    /// What it was to read is no longer in the stream (TrimmedDataAccessException).
    Trimmed,
}

/// Read access to the streams of one account and region.
pub trait StreamReader: Send + Sync {
    /// Describes a stream, all pages of it.
    ///
    /// Errors: `TableNotFound` if there is no such stream; retryable ones are for the caller to retry.
    fn describe_stream(
        &self,
        stream_arn: &str,
    ) -> impl Future<Output = Result<StreamDescription>> + Send;

    /// An iterator for a place in a shard.
    ///
    /// Errors: those of GetShardIterator; retryable ones are for the caller to retry.
    fn iterator(
        &self,
        stream_arn: &str,
        shard: &str,
        begin: Begin<'_>,
    ) -> impl Future<Output = Result<Iterator>> + Send;

    /// Reads on: at most `limit` records (1 to 1,000), and at most 1 MB of them.
    ///
    /// Errors: those of GetRecords; retryable ones are for the caller to retry.
    fn read(&self, iterator: &str, limit: u32) -> impl Future<Output = Result<Read>> + Send;
}
