//! The adapter to DynamoDB: the only crate that imports its SDK. Scan pages, guarded updates and the
//! checkpoint table, behind the traits of [`backfill_core::ports`].

pub mod admin;
mod checkpoint_table;
mod connection;
mod convert;
mod direct;
mod facts;
mod failure;
mod target_table;

pub use checkpoint_table::CheckpointTable;
pub use connection::{CALL_TIMEOUT, ConnectOptions, Connection};
pub use convert::{from_item, to_item};
pub use target_table::{ReadOnly, ReadWrite};
