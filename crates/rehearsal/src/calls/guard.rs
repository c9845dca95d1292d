//! The condition of a write by hand.

use std::collections::BTreeMap;

use backfill_core::Item;
use serde::Serialize;

/// What the placeholders of expressions stand for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Placeholders {
    /// `#name` → attribute.
    #[serde(
        rename = "ExpressionAttributeNames",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub names: BTreeMap<String, String>,
    /// `:value` → value.
    #[serde(
        rename = "ExpressionAttributeValues",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub values: Item,
}

/// The condition of a write by hand, with the placeholders of the condition and, if the write is an update, of the update.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Guard {
    /// Condition expression: the write happens only if it holds.
    #[serde(
        rename = "ConditionExpression",
        skip_serializing_if = "Option::is_none"
    )]
    pub condition: Option<String>,
    /// What its placeholders stand for.
    #[serde(flatten)]
    pub placeholders: Placeholders,
}
