//! A canary by number: the run pauses when so many items are updated. Until then it works on one segment at a time, so that
//! the number is exact whatever works for it: one process, or one function after the other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::pace::retry::{PATIENCE, Until, retry_each};
use crate::ports::CheckpointReader;
use crate::records::RunRecord;
use crate::{Error, ErrorKind, Result};

/// How many items the run has updated since it last started over, by its checkpoints.
pub(super) async fn updated<S: CheckpointReader>(store: &S, run: &RunRecord) -> Result<u64> {
    let mut updated = 0u64;
    for pass in run.first_pass..=run.pass {
        let under = |shard| store.segments(run, pass, shard);
        let segments = retry_each(&Until::after(PATIENCE), 0..run.shards, under).await?;
        for segment in segments.into_iter().flatten() {
            // A damaged record may say anything.
            updated = updated.saturating_add(segment.counters.updated);
        }
    }
    Ok(updated)
}

/// How many items a chunk may still update.
#[derive(Debug)]
pub(super) struct Quota {
    /// `None` if there is no end.
    left: Option<AtomicU64>,
}

impl Quota {
    /// What is left of the canary of a run; without an end if it is none.
    ///
    /// Errors: `CanaryDone` if that is nothing.
    pub(super) async fn of<S: CheckpointReader>(store: &S, run: &RunRecord) -> Result<Quota> {
        let Some(pause_at) = run.pause_at else {
            return Ok(Quota { left: None });
        };
        let left = pause_at.saturating_sub(updated(store, run).await?);
        let quota = Quota {
            left: Some(left.into()),
        };
        quota.check()?;
        Ok(quota)
    }

    /// How many items may be written next, out of so many.
    pub(super) fn out_of(&self, items: usize) -> usize {
        match &self.left {
            Some(left) => {
                usize::try_from(left.load(Ordering::Relaxed)).map_or(items, |left| left.min(items))
            }
            None => items,
        }
    }

    /// How many requests, or pages, may be in work at once: only when one has ended it is known how many items the next may
    /// update.
    pub(super) fn at_once(&self, most: usize) -> usize {
        match &self.left {
            Some(_) => 1,
            None => most,
        }
    }

    /// Takes note of an item that is updated.
    pub(super) fn note(&self) {
        if let Some(left) = &self.left {
            let one_less = |left: u64| Some(left.saturating_sub(1));
            // It always succeeds: there is always one less.
            let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        }
    }

    /// Refuses to go on when nothing is left (`CanaryDone`).
    pub(super) fn check(&self) -> Result<()> {
        match &self.left {
            Some(left) if left.load(Ordering::Relaxed) == 0 => Err(Error::new(
                ErrorKind::CanaryDone,
                "as many items are updated as the run was to pause after",
            )),
            _ => Ok(()),
        }
    }
}
