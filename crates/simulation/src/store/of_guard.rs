//! What is durable of the guard on one table, in memory.

use std::collections::BTreeMap;

use backfill_core::Key;
use backfill_core::records::{GuardFailed, GuardHour, GuardRecord, ShardPosition};

#[derive(Default)]
pub(super) struct OfGuard {
    pub(super) record: Option<GuardRecord>,
    /// By their begins.
    pub(super) hours: BTreeMap<u64, GuardHour>,
    pub(super) failed: BTreeMap<Key, GuardFailed>,
    /// By the ids of their shards.
    pub(super) positions: BTreeMap<String, ShardPosition>,
}
