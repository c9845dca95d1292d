//! What a run has done lately, and how far back that is worth a look.

use backfill_core::engine::worker::FLUSHES_PER_AGE;
use backfill_core::records::{BUCKET_MS, HistoryBucket, RunRecord};

/// A chart shows no more than this, or as large a part of a long run: its workers note less often what they have done.
const LONGEST_MS: u64 = 900_000;
const PART_OF_AGE: u64 = 4;

/// What a run has done lately.
#[derive(Debug, Clone)]
pub struct Lately {
    /// When it begins; milliseconds since 1970.
    pub from_ms: u64,
    /// When it ends; milliseconds since 1970.
    pub to_ms: u64,
    /// What was done in the current pass, the earliest first.
    pub buckets: Vec<HistoryBucket>,
}

impl Lately {
    /// Begin and end of what is worth a look of a run.
    pub fn span_ms(run: &RunRecord, now_ms: u64) -> (u64, u64) {
        let until = run.ended_ms.unwrap_or(now_ms);
        let age = until.saturating_sub(run.started_ms);
        let to = match run.ended_ms {
            Some(ended) => ended,
            // The last of it is not noted yet.
            None => {
                let noted_every = BUCKET_MS.max(age / u64::from(FLUSHES_PER_AGE));
                now_ms.saturating_sub(noted_every)
            }
        };
        let from = to.saturating_sub(LONGEST_MS.max(age / PART_OF_AGE));
        (
            from.max(run.started_ms).min(to.saturating_sub(BUCKET_MS)),
            to,
        )
    }
}
