//! How far the verification of a pass has come, while it goes on: a note for people. Nothing is decided by it; the verification
//! itself travels with the caller.

use serde::{Deserialize, Serialize};

/// A note of how far a count has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CountNote {
    /// The pass whose end is verified, from 1.
    pub pass: u32,
    /// Items counted so far, pending or not.
    pub scanned: u64,
    /// Those of them for which `P` holds.
    pub remaining: u64,
    /// Read capacity units so far.
    pub consumed_rcu: f64,
    /// Seconds that it has taken so far.
    pub seconds: f64,
    /// When this was noted; milliseconds since 1970.
    pub at_ms: u64,
}
