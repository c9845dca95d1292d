//! The door to what is durable of a guard.

use std::future::Future;

use crate::Result;
use crate::records::{GuardFailed, GuardHour, GuardRecord, ShardPosition};

/// Read access to the records of guards.
pub trait GuardReader: Send + Sync {
    /// The record of the guard on a table, strongly consistent; `None` if there was never one.
    ///
    /// Errors: `Internal` if the record is of a layout that this version does not know, or damaged.
    fn guard(&self, table: &str) -> impl Future<Output = Result<Option<GuardRecord>>> + Send;

    /// What the guard has done, hour by hour, from the hour of this time on, the earliest first. In milliseconds since 1970.
    fn guard_hours(
        &self,
        table: &str,
        from_ms: u64,
    ) -> impl Future<Output = Result<Vec<GuardHour>>> + Send;

    /// Items that the guard could not repair, and that were noted at this time or later, in milliseconds since 1970: at most so many, in
    /// no particular order.
    fn guard_failed(
        &self,
        table: &str,
        from_ms: u64,
        most: u32,
    ) -> impl Future<Output = Result<Vec<GuardFailed>>> + Send;

    /// How far the shards of the stream have come, for a guard that reads them in a process; none of one in Lambda, which keeps
    /// that itself.
    fn positions(&self, table: &str) -> impl Future<Output = Result<Vec<ShardPosition>>> + Send;
}

/// Write access to the records of guards.
pub trait GuardStore: GuardReader {
    /// Stores `record` as the successor of revision `record.revision - 1` (0: there was no record).
    ///
    /// Errors: `Conflict` if the stored revision is another.
    fn save_guard(&self, record: &GuardRecord) -> impl Future<Output = Result<()>> + Send;

    /// Adds what was done to the hour of it. Not to be tried again after an error: it may have been carried out, and would then count
    /// twice.
    fn add_to_guard_hour(
        &self,
        table: &str,
        done: &GuardHour,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Records an item that the guard could not repair, in the place of an earlier record of the same item.
    fn note_guard_failed(
        &self,
        table: &str,
        failed: &GuardFailed,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Stores how far a shard has come, for a guard in a process of this generation ([`GuardRecord::generation`]).
    ///
    /// Errors: `Fenced` if a position of a later generation is stored.
    fn save_position(
        &self,
        table: &str,
        position: &ShardPosition,
    ) -> impl Future<Output = Result<()>> + Send;
}
