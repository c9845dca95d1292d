//! The adapter to DynamoDB: pages of a target table, guarded updates and the checkpoint table, behind the traits of
//! [`backfill_core::ports`].
//!
//! What is promised here: an update of a target table carries its guard, no matter how it is sent; [`ReadOnly`] has no code behind
//! it that writes; nothing in this crate drops a table, or puts or deletes an item of a target table.
//!
//! Layers, each of which knows only those before it: account, hosts, clock, addresses and signatures, the line (how anything is sent), troubles on it and the
//! outage that they make, [`Connection`] (where, and by which credentials), [`send`] (one typed call) with what failures and refusals
//! mean, [`calls`] (one operation a file), then the target table, the checkpoint table, the
//! stream of a table and the survey of a table for a plan.
//!
//! What the service does that this crate relies on is in `docs/AWS-FACTS.md`, with sources. Whoever changes a call starts there.

#![deny(missing_docs)]

mod account;
mod address;
mod alarms;
pub mod calls;
mod checkpoints;
mod clock;
mod connection;
mod credentials;
mod description;
mod failure;
mod hosts;
mod line;
mod looks;
mod onward;
mod outage;
mod outcome;
mod refusal;
pub mod send;
mod signature;
pub mod stream;
mod survey;
mod target;
mod trouble;

pub use checkpoints::{CheckpointTable, FoundRuns, ListedRun};
pub use connection::{ConnectOptions, Connection};
pub use failure::{failure, words};
pub use line::CALL_TIMEOUT;
pub use onward::Onward;
pub use stream::{Streams, TableStream};
pub use target::{ReadOnly, ReadWrite, Reader, Writer};
