//! DeleteItem: what is asked and what is answered.

use backfill_core::Key;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::send::Call;

/// Deletes a record of the checkpoint table
/// ([API_DeleteItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteItem<'a> {
    pub(crate) table_name: &'a str,
    pub(crate) key: &'a Key,
}

impl Call for DeleteItem<'_> {
    const OPERATION: &'static str = "DeleteItem";
    type Answer = IgnoredAny;
}
