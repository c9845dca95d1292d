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
    /// Items that were read a second time so far, for those that lack what the update sets; `None` if there is no second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<u64>,
    /// When this was noted; milliseconds since 1970.
    pub at_ms: u64,
}

impl CountNote {
    /// Items counted so far; of two counts that follow on each other, the mean.
    pub fn counted(&self) -> f64 {
        match self.again {
            Some(again) => (self.scanned as f64 + again as f64) / 2.0,
            None => self.scanned as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the way if everything is counted once and nothing twice; a note of before knows no second time.
    #[test]
    fn two_counts_are_one_way() {
        let of = |again| CountNote {
            scanned: 1_000,
            again,
            ..CountNote::default()
        };
        assert_eq!(of(None).counted(), 1_000.0);
        assert_eq!(of(Some(0)).counted(), 500.0);
        assert_eq!(of(Some(1_000)).counted(), 1_000.0);
        let before =
            r#"{"pass":1,"scanned":5,"remaining":0,"consumed_rcu":1,"seconds":1,"at_ms":1}"#;
        let before: CountNote = serde_json::from_str(before).unwrap();
        assert_eq!(before.again, None);
    }
}
