//! The operations that are called, one a file, each with its page of the API reference
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/>). Beside those of DynamoDB are the few of other services.
//!
//! Public are those that read, those that make a table, and the switch of an event source mapping. What writes an item stays in this
//! crate, which sends it under the guard of a run or to the checkpoint table and nowhere else.

mod batch_execute_statement;
mod create_table;
mod delete_item;
mod describe_alarms;
mod describe_continuous_backups;
mod describe_kinesis_streaming_destination;
mod describe_stream;
mod describe_table;
mod describe_time_to_live;
mod event_source_mapping;
mod get_event_source_mapping;
mod get_function_environment;
mod get_item;
mod get_metric_statistics;
mod get_queue_attributes;
mod get_queue_url;
mod get_records;
mod get_shard_iterator;
mod list_event_source_mappings;
mod list_tags_of_resource;
mod put_item;
mod query;
mod quick;
mod scan;
mod shapes;
mod transact_write_items;
mod update_event_source_mapping;
mod update_item;
mod update_time_to_live;

pub(crate) use batch_execute_statement::{BatchExecuteStatement, BatchStatement, StatementError};
pub use create_table::CreateTable;
pub(crate) use delete_item::DeleteItem;
pub use describe_alarms::{DescribeAlarms, DescribedAlarms};
pub(crate) use describe_continuous_backups::{DescribeContinuousBackups, DescribedBackups};
pub(crate) use describe_kinesis_streaming_destination::{
    DescribeKinesisStreamingDestination, DescribedKinesis,
};
pub(crate) use describe_stream::{DescribeStream, DescribedShard};
pub use describe_table::{DescribeTable, Described};
pub(crate) use describe_table::{Description, Index, Warm};
pub use describe_time_to_live::{DescribeTimeToLive, DescribedTimeToLive};
pub use event_source_mapping::{
    EventSourceMapping, function_name, is_same_function, stack_of_guard,
};
pub use get_event_source_mapping::get_event_source_mapping;
pub use get_function_environment::get_function_environment;
pub(crate) use get_item::GetItem;
pub use get_metric_statistics::{Dimension, GetMetricStatistics, MetricStatistics};
pub use get_queue_attributes::{GetQueueAttributes, QueueAttributes};
pub use get_queue_url::{GetQueueUrl, QueueUrl};
pub(crate) use get_records::GetRecords;
pub(crate) use get_shard_iterator::GetShardIterator;
pub use list_event_source_mappings::{found_mapping, list_event_source_mappings, unread};
pub use list_tags_of_resource::{Tag, list_tags};
pub(crate) use put_item::PutItem;
pub use query::{Queried, Query};
pub use scan::{Scan, Scanned};
pub(crate) use scan::{ScanOfFew, ScanOfKeys};
pub use shapes::Capacity;
pub(crate) use shapes::{ALL_OLD, CONDITION_FAILED, ConditionFailed, TOTAL};
pub(crate) use transact_write_items::{
    Cancellation, ConditionCheck, TransactWriteItems, cancellation,
};
pub use update_event_source_mapping::switch_event_source_mapping;
pub(crate) use update_item::UpdateItem;
pub use update_time_to_live::UpdateTimeToLive;
