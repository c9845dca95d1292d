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

/// Why a change that reads these attributes of an item is sent by PartiQL.
fn why_in_batches(reads: &[String]) -> &'static str {
    match reads {
        [] => {
            "PartiQL means the same; the first item of each segment by UpdateItem, and all others, too, if endpoint or role do not \
             allow PartiQL"
        }
        // The guard compares each with what was read.
        [..] => {
            "PartiQL means the same for texts, numbers, binary and boolean values; by UpdateItem the first item of each segment, those \
             that are computed from other values, and all others, too, if endpoint or role do not allow PartiQL"
        }
    }
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
            (WriterKind::Batch, None) => (BATCH_SIZE, why_in_batches(change.reads()).into()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spec;
    use crate::table::{KeyAttribute, KeySchema, KeyType};
    use crate::value::Value;

    #[test]
    fn items_that_a_batch_cannot_hold_are_told_if_there_may_be_any() {
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        let set = Spec::set_missing("stuff", [("a".to_owned(), Value::N("1".into()))].into());
        let by = WrittenBy::new(&*set.change(&keys), WriterKind::Batch);
        assert!(by.is_in_batches());
        assert_eq!(by.why, why_in_batches(&[]));
        assert!(!by.why.contains("computed"), "{}", by.why);
        let why = why_in_batches(&["tenant".to_owned()]);
        assert!(
            why.contains("those that are computed from other values"),
            "{why}"
        );
    }
}
