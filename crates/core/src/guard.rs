//! The guard: it watches a table's stream, and repairs items that somebody writes in the old shape.
//!
//! A stream record has the whole item as it was right after a change. If that is pending, the guard sends the update that a worker would
//! send, under the same guard of the write: what it writes can do no more harm than a run can. [`Guard::settle`] does so for a batch of
//! records, whoever has brought them: Lambda, or a process that reads the stream itself.

mod again;
mod begin;
mod claim;
mod counted;
mod follow;
mod look;
mod settle;
mod unseen;

pub use again::GivenUp;
pub use begin::SwitchOn;
pub use claim::{Claim, Looked};
pub use counted::keep_count;
pub use follow::{Follower, Tell, Told};
pub use look::{Found, FoundMapping};
pub use settle::{Guard, Settled, change, refuse_unfit};
pub use unseen::oldest_unseen_ms;
