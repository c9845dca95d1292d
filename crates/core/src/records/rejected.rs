//! The record of an item that DynamoDB refuses for good: its key and the reason, and nothing else of the item.

use serde::{Deserialize, Serialize};

use crate::{Key, text};

/// An item whose update DynamoDB refuses for good, as it was found last in a pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// The segment in which it was found, from 0.
    pub segment: u32,
    /// The item's primary key.
    pub key: Key,
    /// What DynamoDB said.
    #[serde(deserialize_with = "text::deserialize")]
    pub reason: String,
    /// When it was refused; milliseconds since 1970.
    pub at_ms: u64,
}
