//! BatchWriteItem: what is asked and what is answered.

use backfill_dynamodb::send::Call;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// "As many as 25 item put or delete operations"
/// ([API_BatchWriteItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchWriteItem<'a> {
    /// `{"stuff":[{"PutRequest":{"Item":{…}}}]}`
    pub(crate) request_items: &'a Json,
}

impl BatchWriteItem<'_> {
    /// Most items of one call.
    pub(crate) const MOST: usize = 25;
}

impl Call for BatchWriteItem<'_> {
    const OPERATION: &'static str = "BatchWriteItem";
    type Answer = BatchWritten;
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchWritten {
    /// What is to be asked for again, in the form of the request.
    pub(crate) unprocessed_items: Option<Json>,
}
