//! UpdateItem: what is asked and what is answered.

use backfill_core::Key;
use backfill_dynamodb::send::Call;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::guard::Guard;

/// Updates an item, and creates it unless the condition forbids that
/// ([API_UpdateItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateItem<'a> {
    pub(crate) table_name: &'a str,
    pub(crate) key: &'a Key,
    pub(crate) update_expression: &'a str,
    #[serde(flatten)]
    pub(crate) guard: &'a Guard,
}

impl Call for UpdateItem<'_> {
    const OPERATION: &'static str = "UpdateItem";
    type Answer = IgnoredAny;
}
