//! Tables and items by hand (`backfill table`, `backfill item`), in DynamoDB's own JSON. Nothing of a run goes through here: its only
//! write is the guarded update.

mod access;
mod items;
mod reads;
mod tables;

pub use self::access::Admin;
pub use self::reads::{Found, Pages, Read, Reading};
pub use crate::calls::{Guard, Placeholders};
