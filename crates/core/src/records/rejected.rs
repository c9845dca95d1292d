//! The record of an item that DynamoDB refuses for good.

use serde::{Deserialize, Serialize};

use crate::Key;

/// An item whose update DynamoDB refuses for good, as it was found last in a pass. Nothing of the item but its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    pub segment: u32,
    pub key: Key,
    /// What DynamoDB said.
    pub reason: String,
    /// When; milliseconds since 1970.
    pub at_ms: u64,
}
