//! PutItem: what is asked and what is answered.

use backfill_core::Item;
use backfill_dynamodb::send::Call;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::guard::Guard;

/// Puts an item in place of the one with its key
/// ([API_PutItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutItem<'a> {
    pub(crate) table_name: &'a str,
    pub(crate) item: &'a Item,
    #[serde(flatten)]
    pub(crate) guard: &'a Guard,
}

impl Call for PutItem<'_> {
    const OPERATION: &'static str = "PutItem";
    type Answer = IgnoredAny;
}
