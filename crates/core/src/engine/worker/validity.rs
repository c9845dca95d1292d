//! What a refusal that does not explain itself means. Once DynamoDB has accepted an update of a spec, the request is valid, and
//! what it refuses then it refuses because of the item. Before that, nothing speaks for the request: the run ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::pace::retry::{PATIENCE, Until, retry_each};
use crate::ports::{Outcome, SegmentStore};
use crate::records::{RunRecord, SegmentRecord};
use crate::{Error, ErrorKind, Result};

/// Fingerprints of the specs of which a worker has seen an update accepted, whichever segment it was in.
#[derive(Debug, Default)]
pub(super) struct Accepted(Mutex<BTreeSet<String>>);

impl Accepted {
    fn holds(&self, fingerprint: &str) -> bool {
        let specs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        specs.contains(fingerprint)
    }

    fn add(&self, fingerprint: &str) {
        let mut specs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        specs.insert(fingerprint.to_owned());
    }
}

/// Whether the update of a run is valid, since one was accepted, as far as this worker and the records know.
pub(super) struct Validity<'a, S> {
    run: &'a RunRecord,
    store: &'a S,
    accepted: &'a Accepted,
    /// It was, as this chunk knows.
    is_known: AtomicBool,
}

impl<'a, S: SegmentStore> Validity<'a, S> {
    /// What a chunk of `run` begins with.
    pub(super) fn new(
        run: &'a RunRecord,
        segment: &SegmentRecord,
        store: &'a S,
        accepted: &'a Accepted,
    ) -> Self {
        let validity = Validity {
            run,
            store,
            accepted,
            is_known: AtomicBool::new(accepted.holds(&run.fingerprint)),
        };
        if says_so(segment) {
            validity.note();
        }
        validity
    }

    /// Takes note of an update that was accepted.
    pub(super) fn note(&self) {
        if !self.is_known.swap(true, Ordering::Relaxed) {
            self.accepted.add(&self.run.fingerprint);
        }
    }

    /// See [`crate::Spec::what_to_change`].
    pub(super) fn what_to_change(&self) -> &'static str {
        self.run.spec.what_to_change()
    }

    /// Makes a rejection or an error of a refusal that does not explain itself; leaves every other outcome as it is.
    ///
    /// Errors: `InvalidSpec` if nothing shows that an update of this run was ever accepted; those of the store.
    pub(super) async fn judge(&self, outcome: Outcome) -> Result<Outcome> {
        let Outcome::Unclear(reason) = outcome else {
            return Ok(outcome);
        };
        if self.is_given().await? {
            return Ok(Outcome::Rejected(reason));
        }
        Err(Error::new(
            ErrorKind::InvalidSpec,
            format!(
                "DynamoDB refuses the update, and has accepted none of this run before: {reason}; change {}; if it is for this \
                 item alone, as for one that does not fit the key of an index (backfill plan looks for such items), so that it leaves \
                 such items out",
                self.what_to_change()
            ),
        ))
    }

    /// Whether an update was accepted. Asks the records of the segments only if this worker does not know of any.
    async fn is_given(&self) -> Result<bool> {
        if self.is_known.load(Ordering::Relaxed) || self.accepted.holds(&self.run.fingerprint) {
            return Ok(true);
        }
        let until = Until::after(PATIENCE);
        for pass in (self.run.first_pass..=self.run.pass).rev() {
            let under = |shard| self.store.segments(self.run, pass, shard);
            let records = retry_each(&until, 0..self.run.shards, under).await?;
            if records.iter().flatten().any(says_so) {
                self.note();
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn says_so(segment: &SegmentRecord) -> bool {
    segment.trial_passed || segment.counters.updated > 0
}

/// The outcome for an item on which others were at work for [`PATIENCE`]: it counts as rejected in this pass, the next one
/// tries it again, and the other items need not wait for it. Every other error stays what it is.
pub(crate) fn unless_busy(error: Error) -> Result<Outcome> {
    match error.kind() {
        ErrorKind::ItemBusy => Ok(Outcome::Rejected(format!(
            "others were at work on it for {} s: {error}",
            PATIENCE.as_secs()
        ))),
        _ => Err(error),
    }
}
