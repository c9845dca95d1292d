//! By which request a run writes: decided in one place, for the run that writes and for the plan that says so.

use std::borrow::Cow;

use serde::Serialize;

use super::settings::WriterKind;
use crate::change::Change;
use crate::change::partiql::BATCH_SIZE;

/// The request that carries the guarded updates of a run, and why it is that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenBy {
    /// The operation, as AWS calls it: `BatchExecuteStatement` or `UpdateItem`.
    pub request: &'static str,
    /// Most items of a request.
    pub items: usize,
    /// Why it is that one, for a person.
    pub why: Cow<'static, str>,
}

impl WrittenBy {
    /// What writes this change if this is the writer that was chosen.
    pub fn new(change: &dyn Change, kind: WriterKind) -> WrittenBy {
        let (items, why) = match (kind, change.why_no_statement()) {
            (WriterKind::UpdateItem, _) => (1, "the writer is update-item".into()),
            (WriterKind::Batch, Some(what)) => {
                let why = format!("PartiQL cannot safely express {what}");
                (1, why.into())
            }
            (WriterKind::Batch, None) => {
                let why = "PartiQL means the same; the first item of each segment by UpdateItem, and all others, too, if endpoint or \
                           role do not allow PartiQL";
                (BATCH_SIZE, why.into())
            }
        };
        WrittenBy {
            request: if items > 1 {
                "BatchExecuteStatement"
            } else {
                "UpdateItem"
            },
            items,
            why,
        }
    }

    /// True if several items go out in one request.
    pub fn is_in_batches(&self) -> bool {
        self.items > 1
    }
}
