//! The record of an item that cannot be updated: its key and the reason, and nothing else of the item.

use serde::{Deserialize, Serialize};

use crate::{Key, text};

/// An item that cannot be updated, as it was found last in a pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// The segment in which it was found, from 0.
    pub segment: u32,
    /// The item's primary key.
    pub key: Key,
    /// Why it cannot be updated: what DynamoDB said of the update, or why no value can be made of the item.
    #[serde(deserialize_with = "text::deserialize")]
    pub reason: String,
    /// When it was rejected; milliseconds since 1970.
    pub at_ms: u64,
}
