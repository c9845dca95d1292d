//! The items that cannot be updated: each is recorded before it is counted, and a pass with more of them than the
//! operator puts up with ends.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::segment::CHECKPOINT_PATIENCE;
use crate::pace::retry::{Until, retry, retry_each};
use crate::ports::SegmentStore;
use crate::records::{Rejected, RunRecord};
use crate::{Error, ErrorKind, Result};

/// Records of rejected items that are written at the same time.
const REJECTED_AT_ONCE: usize = 32;

/// When to look how many items were rejected in the whole pass: not at every one, but more often the nearer the limit.
pub(super) struct Rejections<'a> {
    run: &'a RunRecord,
    /// How many more there may be, by the last look.
    room: AtomicU64,
    /// How many were added here since that look.
    since: AtomicU64,
}

impl<'a> Rejections<'a> {
    /// The rejections of one chunk of `run`.
    pub(super) fn new(run: &'a RunRecord) -> Self {
        Rejections {
            run,
            // The first one that is rejected looks.
            room: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// Records items, each tried again as long as a checkpoint is.
    pub(super) async fn record<S: SegmentStore>(
        &self,
        store: &S,
        rejected: &[Rejected],
    ) -> Result<()> {
        let until = Until::after(CHECKPOINT_PATIENCE);
        let until = &until;
        stream::iter(rejected)
            .map(|item| retry(until, move || store.reject(self.run, item)))
            .buffer_unordered(REJECTED_AT_ONCE)
            .try_collect()
            .await
    }

    /// Looks, if it is time, whether the pass has more rejected items than the operator puts up with, after these were
    /// recorded. If so, it returns `TooManyRejected` in `Some`.
    pub(super) async fn too_many<S: SegmentStore>(
        &self,
        store: &S,
        rejected: &[Rejected],
        until: &Until,
    ) -> Result<Option<Error>> {
        let Some(last) = rejected.last() else {
            return Ok(None);
        };
        let settings = &self.run.settings;
        let max = u64::from(settings.max_rejected);
        // Other workers may add as many meanwhile.
        let workers = u64::from(settings.workers());
        let new = rejected.len() as u64;
        let since_look = self.since.fetch_add(new, Ordering::Relaxed) + new;
        if since_look * 2 * workers < self.room.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let run_id = &self.run.run_id;
        let under = |shard| store.rejected_count(self.run, self.run.pass, shard);
        let counts = retry_each(until, 0..self.run.shards, under).await?;
        let count: u64 = counts.iter().sum();
        self.since.store(0, Ordering::Relaxed);
        self.room
            .store(max.saturating_sub(count), Ordering::Relaxed);
        Ok((count > max).then(|| {
            Error::new(
                ErrorKind::TooManyRejected,
                format!(
                    "{count} items cannot be updated, more than max_rejected = {max}, such as that of key {}: {}; run {run_id} has a \
                     record of each",
                    last.key, last.reason
                ),
            )
        }))
    }
}
