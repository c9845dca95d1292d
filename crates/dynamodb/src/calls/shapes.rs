//! What several operations have in common.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `ReturnConsumedCapacity`: the units of the table and its indexes together.
pub(crate) const TOTAL: Option<&str> = Some("TOTAL");

/// `ReturnValuesOnConditionCheckFailure`: the item that the condition was held against.
pub(crate) const ALL_OLD: &str = "ALL_OLD";

/// The code of a call whose condition failed (API reference, ConditionalCheckFailedException).
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailedException";

/// What a call has consumed (API reference, ConsumedCapacity).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Capacity {
    /// Capacity units of the table and its indexes, of the kind that the call consumes: read or write units.
    #[serde(default)]
    pub capacity_units: f64,
}

/// The item that a failed condition was held against, if `ALL_OLD` asked for it and there was one (API reference,
/// ConditionalCheckFailedException).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConditionFailed<I> {
    pub(crate) item: Option<I>,
}

/// True for a map that is to be left out: DynamoDB refuses an empty one ("ExpressionAttributeValues must not be empty").
pub(super) fn is_empty<V>(map: &Option<&BTreeMap<String, V>>) -> bool {
    map.is_none_or(BTreeMap::is_empty)
}
