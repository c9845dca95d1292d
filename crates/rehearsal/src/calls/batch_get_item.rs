//! BatchGetItem: what is asked and what is answered.

use std::collections::BTreeMap;

use backfill_core::Item;
use backfill_dynamodb::send::{Call, ReadCall};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// "As many as 100 items" by their keys
/// ([API_BatchGetItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchGetItem<'a> {
    /// `{"stuff":{"Keys":[{"id":{"S":"a"}}],"ConsistentRead":true}}`
    pub(crate) request_items: &'a Json,
}

impl BatchGetItem<'_> {
    /// Most keys of one call.
    pub(crate) const MOST: usize = 100;
}

impl Call for BatchGetItem<'_> {
    const OPERATION: &'static str = "BatchGetItem";
    type Answer = BatchGot;
}

impl ReadCall for BatchGetItem<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchGot {
    /// By table, in no particular order.
    pub(crate) responses: Option<BTreeMap<String, Vec<Item>>>,
    /// What is to be asked for again, in the form of the request.
    pub(crate) unprocessed_keys: Option<Json>,
}
