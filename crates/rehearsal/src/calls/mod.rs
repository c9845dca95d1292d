//! The operations that only rehearsals use, one a file, each with its page of the API reference. They drop tables and change items as
//! a person says, so they are out of reach for the functions and for a run.

use std::collections::BTreeMap;

use backfill_core::Item;
use serde::Serialize;

mod batch_get_item;
mod batch_write_item;
mod delete_item;
mod delete_table;
mod describe_alarms;
mod list_tables;
mod put_item;
mod update_item;

pub(crate) use batch_get_item::BatchGetItem;
pub(crate) use batch_write_item::BatchWriteItem;
pub(crate) use delete_item::DeleteItem;
pub(crate) use delete_table::DeleteTable;
pub(crate) use describe_alarms::{CLOUDWATCH, DescribeAlarms};
pub(crate) use list_tables::ListTables;
pub(crate) use put_item::PutItem;
pub(crate) use update_item::UpdateItem;

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
