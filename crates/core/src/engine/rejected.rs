//! The items that DynamoDB refused for good are tried again, under the guard of the run, and no others.

use std::time::Duration;

use serde::Serialize;

use crate::change::Seen;
use crate::clock::now_ms;
use crate::engine::worker::unless_busy;
use crate::pace::retry::{Until, retry};
use crate::ports::{Outcome, RejectedStore, TableWriter as _, WriteAccess};
use crate::records::{Rejected, RunRecord};
use crate::request::WriterKind;
use crate::{Error, Result};

/// How long one item is tried if the table throttles or is unavailable.
const ITEM_PATIENCE: Duration = Duration::from_secs(60);

/// What came of trying rejected items again.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Retried {
    /// Items that are changed now.
    pub updated: u64,
    /// Items that a live writer has set since.
    pub raced: u64,
    /// Items that were deleted or have expired since.
    pub vanished: u64,
    /// Items that were refused again, with the reason of now.
    pub rejected: Vec<Rejected>,
}

/// Tries the update on these items of the run's current pass again, one after the other, under the guard of the run. The
/// records of those that are no longer rejected are removed. The run's counters stay as they are.
///
/// Errors: those of an update or of the store, after 60 s of trying if they are retryable; what was done before stands. An
/// error of an update names the item.
pub async fn retry_rejected<A: WriteAccess, S: RejectedStore>(
    access: &A,
    store: &S,
    run: &RunRecord,
    items: Vec<Rejected>,
) -> Result<Retried> {
    let writer = access.writer(run.change(), WriterKind::UpdateItem);
    let mut retried = Retried::default();
    for item in items {
        let of_item = |error: Error| {
            error.context(format!(
                "table {}, trying key {} again",
                run.spec.table, item.key
            ))
        };
        // The record holds nothing of the item but its key, which is all that a pair reads.
        let seen = Seen::from(item.key.clone());
        let until = Until::after(ITEM_PATIENCE);
        let outcome = match retry(&until, || writer.update(&seen)).await {
            Ok(write) => write.outcome,
            Err(error) => unless_busy(error).map_err(of_item)?,
        };
        match outcome {
            Outcome::Updated => retried.updated += 1,
            Outcome::Raced => retried.raced += 1,
            Outcome::Vanished => retried.vanished += 1,
            // It was refused before as one of many that were not.
            Outcome::Rejected(reason) | Outcome::Unclear(reason) => {
                let item = Rejected {
                    reason,
                    at_ms: now_ms(),
                    ..item
                };
                retry(&until, || store.reject(run, &item)).await?;
                retried.rejected.push(item);
                continue;
            }
        }
        retry(&until, || store.forget_rejected(run, &item)).await?;
    }
    Ok(retried)
}
