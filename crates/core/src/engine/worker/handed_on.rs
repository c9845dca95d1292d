//! The pace that a chunk begins at, where others of its run have found one: in its own record, in that of the segment before in its
//! lane, or in the process that has made another chunk.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ports::SegmentStore;
use crate::records::{Cursor, FoundPace, RunRecord, SegmentRecord};
use crate::table::Lanes;

/// The record of another segment is waited for no longer than this: nothing rests on it.
const PATIENCE: Duration = Duration::from_millis(500);

/// The pace that the process of a function has found last, for its next chunk.
#[derive(Debug, Default)]
pub struct LastPace(Mutex<Option<(String, FoundPace)>>);

impl LastPace {
    fn lock(&self) -> MutexGuard<'_, Option<(String, FoundPace)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found in this run.
    fn of(&self, run: &RunRecord) -> Option<FoundPace> {
        let last = self.lock();
        let (run_id, pace) = last.as_ref()?;
        (*run_id == run.run_id).then_some(*pace)
    }

    /// Takes note of what a chunk has found.
    pub(super) fn note(&self, record: &SegmentRecord) {
        if let Some(pace) = record.pace {
            *self.lock() = Some((record.run_id.clone(), pace));
        }
    }

    /// What was found before: on this segment, on the one before in its lane, by this process. Another segment's record is read
    /// only if this process knows that the table throttles the run.
    pub(super) async fn paces<S: SegmentStore>(
        &self,
        store: &S,
        run: &RunRecord,
        record: &SegmentRecord,
    ) -> [Option<FoundPace>; 3] {
        let last = self.of(run);
        let before = match last {
            Some(_) => pace_before(store, run, record).await,
            None => None,
        };
        [record.pace, before, last]
    }
}

/// The pace of the segment before in its lane, as it was recorded last, for one that begins now; `None` if there is none, or if it
/// cannot be read at once.
async fn pace_before<S: SegmentStore>(
    store: &S,
    run: &RunRecord,
    record: &SegmentRecord,
) -> Option<FoundPace> {
    if record.cursor != Cursor::NotStarted {
        return None;
    }
    let settings = &run.settings;
    let lanes = Lanes::new(settings.total_segments, settings.max_concurrency);
    let (lane, row) = lanes.place(record.segment);
    let before = lanes.segment(lane, row.checked_sub(1)?)?;
    let read = store.segment(run, run.pass, before);
    let before = tokio::time::timeout(PATIENCE, read).await.ok()?;
    before.ok()??.pace
}
