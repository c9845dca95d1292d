//! Everything durable: whatever a rerun, a status or a takeover needs stands here and nowhere else. A run has one run record,
//! a segment record per segment and pass, a history, the items that cannot be updated, and a note of how far a count has come; a large
//! one has copies of its run record besides. All runs of a table of records are on one list.

mod count_note;
mod counters;
mod different;
mod guard;
mod history;
mod latency;
mod owner;
pub mod places;
mod ranges;
mod rejected;
mod run;
mod segment;
mod sums;

pub use count_note::CountNote;
pub use counters::Counters;
pub use different::Different;
pub use guard::{
    GuardFailed, GuardHour, GuardRecord, HOUR_MS, HOUR_SAMPLES, Loss, LossKind, MAX_LOSSES,
    MOST_UNWATCHED_MS, ShardPosition, Watcher,
};
pub use history::{BUCKET_MS, Flush, HistoryBucket};
pub use latency::{Histogram, Latencies};
pub use owner::{ExecutionArn, Owner, Process};
pub use places::{MOST_ON_ONE_KEY, is_key_of_records, place, shard_of};
pub(crate) use places::{evenly, likely_copy, shards_of};
pub use ranges::OfRun;
pub use rejected::Rejected;
pub(crate) use run::layout_version;
pub use run::{
    Event, HELD_VERSION, Hold, MAX_EVENTS, Proof, RunRecord, RunStatus, SPREAD_VERSION,
    SummedPasses, VERSION,
};
pub use segment::{BoundBy, Cursor, FoundPace, SegmentRecord};
pub use sums::{BLOCK_SEGMENTS, BlockSum, Blocks, FullBlocks};
