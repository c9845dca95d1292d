//! What became of the items, counted per segment, per pass and per run: every matched item is accounted for.

use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// What became of the items of a segment, a pass or a run.
///
/// `matched = updated + raced + vanished + rejected + contended` (promise: accounting): an item counts as matched when it is known
/// what became of it in this pass.
///
/// A counter that an earlier version does not know is not written while it is 0, so records of runs that have no use for it stay
/// as they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Items that the scan evaluated.
    pub scanned: u64,
    /// Items for which `P` held when the scan read them.
    pub matched: u64,
    /// Items that our write changed.
    pub updated: u64,
    /// Items at which a live writer was first: `P` held no longer when our write arrived.
    pub raced: u64,
    /// Items that were deleted or had expired between scan and write.
    pub vanished: u64,
    /// Items that cannot be updated: DynamoDB refuses the update for good, or no value can be made of them.
    pub rejected: u64,
    /// Items whose sources kept moving: a value was computed from them four times, and a live writer changed them each time. They
    /// are left to the next pass.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub contended: u64,
    /// Read capacity units, as DynamoDB reported them.
    pub consumed_rcu: f64,
    /// Write capacity units of the target table and its indexes, as DynamoDB reported them. If it reports none, as of a
    /// failed condition, the least that the request costs.
    pub consumed_wcu: f64,
    /// Requests, and statements of batches, that the table throttled.
    #[serde(default)]
    pub throttles: u64,
    /// Seconds that workers were at work.
    #[serde(default)]
    pub worked_seconds: f64,
    /// Checkpoints that were saved.
    #[serde(default)]
    pub checkpoints: u64,
}

/// Whether a counter is left out of a record, as earlier versions have none of it.
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Counters) {
        // Written out as a pattern, so that a new counter cannot be forgotten here. Saturating, since a damaged record may say
        // anything.
        let Counters {
            scanned,
            matched,
            updated,
            raced,
            vanished,
            rejected,
            contended,
            consumed_rcu,
            consumed_wcu,
            throttles,
            worked_seconds,
            checkpoints,
        } = other;
        self.scanned = self.scanned.saturating_add(scanned);
        self.matched = self.matched.saturating_add(matched);
        self.updated = self.updated.saturating_add(updated);
        self.raced = self.raced.saturating_add(raced);
        self.vanished = self.vanished.saturating_add(vanished);
        self.rejected = self.rejected.saturating_add(rejected);
        self.contended = self.contended.saturating_add(contended);
        self.consumed_rcu += consumed_rcu;
        self.consumed_wcu += consumed_wcu;
        self.throttles = self.throttles.saturating_add(throttles);
        self.worked_seconds += worked_seconds;
        self.checkpoints = self.checkpoints.saturating_add(checkpoints);
    }
}

/// What was done between two states of the same counters. A damaged record may have gone back: that counts as 0.
impl Sub for Counters {
    type Output = Counters;

    fn sub(self, before: Counters) -> Counters {
        Counters {
            scanned: self.scanned.saturating_sub(before.scanned),
            matched: self.matched.saturating_sub(before.matched),
            updated: self.updated.saturating_sub(before.updated),
            raced: self.raced.saturating_sub(before.raced),
            vanished: self.vanished.saturating_sub(before.vanished),
            rejected: self.rejected.saturating_sub(before.rejected),
            contended: self.contended.saturating_sub(before.contended),
            consumed_rcu: (self.consumed_rcu - before.consumed_rcu).max(0.0),
            consumed_wcu: (self.consumed_wcu - before.consumed_wcu).max(0.0),
            throttles: self.throttles.saturating_sub(before.throttles),
            worked_seconds: (self.worked_seconds - before.worked_seconds).max(0.0),
            checkpoints: self.checkpoints.saturating_sub(before.checkpoints),
        }
    }
}

impl Counters {
    /// What was done to the table: the time that workers took and the checkpoints that they saved are left out.
    pub fn work(self) -> Counters {
        Counters {
            worked_seconds: 0.0,
            checkpoints: 0,
            ..self
        }
    }

    /// About what so many times as many segments come to, that are like those of which this is. Rejected items are those that are
    /// known: each is one that is kept by its key.
    pub(crate) fn of_so_much_more(self, factor: f64) -> Counters {
        let about = |count: u64| (count as f64 * factor).round() as u64;
        let (updated, raced) = (about(self.updated), about(self.raced));
        let (vanished, contended) = (about(self.vanished), about(self.contended));
        let rejected = self.rejected;
        let matched = [updated, raced, vanished, rejected, contended];
        Counters {
            scanned: about(self.scanned),
            matched: matched.into_iter().fold(0, u64::saturating_add),
            updated,
            raced,
            vanished,
            rejected,
            contended,
            consumed_rcu: self.consumed_rcu * factor,
            consumed_wcu: self.consumed_wcu * factor,
            throttles: about(self.throttles),
            worked_seconds: self.worked_seconds * factor,
            checkpoints: about(self.checkpoints),
        }
    }
}

impl std::iter::Sum for Counters {
    fn sum<I: Iterator<Item = Counters>>(iter: I) -> Counters {
        iter.fold(Counters::default(), |mut sum, counters| {
            sum += counters;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_counters_can_be_summed() {
        let json = r#"{"scanned":18446744073709551615,"matched":0,"updated":0,"raced":0,"vanished":0,"rejected":0,
            "consumed_rcu":0,"consumed_wcu":0}"#;
        let counters: Counters = serde_json::from_str(json).unwrap();
        let sum: Counters = [counters, counters].into_iter().sum();
        assert_eq!(sum.scanned, u64::MAX);
    }

    /// accounting: contended items are a term of every sum, of what was done, and of an estimate.
    #[test]
    fn accounting_of_contended_items_in_sums_and_estimates() {
        let counters = Counters {
            scanned: 20,
            matched: 15,
            updated: 5,
            raced: 4,
            vanished: 3,
            rejected: 1,
            contended: 2,
            ..Counters::default()
        };
        let whole = |c: Counters| {
            let terms = c.updated + c.raced + c.vanished + c.rejected + c.contended;
            assert_eq!(c.matched, terms, "{c:?}");
            c.contended
        };
        let sum: Counters = [counters, counters].into_iter().sum();
        assert_eq!(whole(sum), 4);
        assert_eq!(whole(sum - counters), 2);
        assert_eq!(whole(counters.work()), 2);
        assert_eq!(whole(counters.of_so_much_more(2.5)), 5);
    }

    /// resume: an earlier version has written none of it, and finds nothing that it does not know in records of runs that compute
    /// nothing.
    #[test]
    fn resume_from_counters_that_know_no_contended_items() {
        let earlier = r#"{"scanned":9,"matched":4,"updated":1,"raced":1,"vanished":1,"rejected":1,
            "consumed_rcu":0.5,"consumed_wcu":4.0,"throttles":0,"worked_seconds":0.0,"checkpoints":0}"#;
        let mut counters: Counters = serde_json::from_str(earlier).unwrap();
        assert_eq!(counters.contended, 0);
        let written = serde_json::to_value(counters).unwrap();
        let earlier: serde_json::Value = serde_json::from_str(earlier).unwrap();
        assert_eq!(written, earlier);
        counters.contended = 7;
        let written = serde_json::to_value(counters).unwrap();
        assert_eq!(written["contended"], 7);
        assert_eq!(
            serde_json::from_value::<Counters>(written).unwrap(),
            counters
        );
    }

    /// What was done is a difference, and nothing if a damaged record has gone back. Time and checkpoints are no work.
    #[test]
    fn a_difference_is_what_was_done() {
        let before = Counters {
            updated: 3,
            consumed_wcu: 4.0,
            checkpoints: 1,
            ..Counters::default()
        };
        let after = Counters {
            updated: 5,
            consumed_wcu: 6.5,
            checkpoints: 2,
            worked_seconds: 1.5,
            ..before
        };
        let done = after - before;
        assert_eq!(
            (done.updated, done.consumed_wcu, done.checkpoints),
            (2, 2.5, 1)
        );
        assert_eq!(
            (done.work().checkpoints, done.work().worked_seconds),
            (0, 0.0)
        );
        assert_eq!(done.work().updated, 2);
        assert_eq!(before - after, Counters::default());
    }
}
