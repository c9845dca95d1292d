//! DeleteItem: what is asked and what is answered.

use backfill_core::Key;
use backfill_dynamodb::send::Call;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::guard::Guard;

/// Deletes an item
/// ([API_DeleteItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteItem<'a> {
    pub(crate) table_name: &'a str,
    pub(crate) key: &'a Key,
    #[serde(flatten)]
    pub(crate) guard: &'a Guard,
}

impl Call for DeleteItem<'_> {
    const OPERATION: &'static str = "DeleteItem";
    type Answer = IgnoredAny;
}
