//! The operations that are called, one a file, each with its page of the API reference
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/>).
//!
//! Public are those that read, and those that make a table. What writes an item stays in this crate, which sends it under the guard
//! of a run or to the checkpoint table and nowhere else.

use std::collections::BTreeMap;

use serde::Deserialize;

mod batch_execute_statement;
mod create_table;
mod delete_item;
mod describe_continuous_backups;
mod describe_kinesis_streaming_destination;
mod describe_table;
mod describe_time_to_live;
mod get_item;
mod list_tags_of_resource;
mod put_item;
mod query;
mod scan;
mod transact_write_items;
mod update_item;
mod update_time_to_live;

pub(crate) use batch_execute_statement::{BatchExecuteStatement, BatchStatement, StatementError};
pub use create_table::CreateTable;
pub(crate) use delete_item::DeleteItem;
pub(crate) use describe_continuous_backups::{DescribeContinuousBackups, DescribedBackups};
pub(crate) use describe_kinesis_streaming_destination::{
    DescribeKinesisStreamingDestination, DescribedKinesis,
};
pub use describe_table::{DescribeTable, Described};
pub(crate) use describe_table::{Description, Index, Warm};
pub use describe_time_to_live::{DescribeTimeToLive, DescribedTimeToLive};
pub(crate) use get_item::GetItem;
pub use list_tags_of_resource::{Tag, list_tags};
pub(crate) use put_item::PutItem;
pub use query::{Queried, Query};
pub use scan::{Scan, Scanned};
pub(crate) use transact_write_items::{
    Cancellation, ConditionCheck, TransactWriteItems, cancellation,
};
pub(crate) use update_item::UpdateItem;
pub use update_time_to_live::UpdateTimeToLive;

/// `ReturnConsumedCapacity`: the units of the table and its indexes together.
pub(crate) const TOTAL: Option<&str> = Some("TOTAL");

/// `ReturnValuesOnConditionCheckFailure`: the item that the condition was held against.
pub(crate) const ALL_OLD: &str = "ALL_OLD";

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
fn is_empty<V>(map: &Option<&BTreeMap<String, V>>) -> bool {
    map.is_none_or(BTreeMap::is_empty)
}
