//! The fields of a definition.

/// The fields that CreateTable takes and that a template has under the same names; TTL is a call of its own.
pub(crate) const FIELDS: [&str; 15] = [
    "AttributeDefinitions",
    "BillingMode",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "OnDemandThroughput",
    "ProvisionedThroughput",
    "SSESpecification",
    "StreamSpecification",
    "TableClass",
    "TableName",
    "Tags",
    "TimeToLiveSpecification",
    "WarmThroughput",
];

/// Fields of a description that say nothing of how to create a table.
pub const ONLY_CHECKED: [&str; 3] = ["MinItemCount", "Alarms", "EventSourceMappings"];

/// What can be expected of an event source mapping, by the names of CloudFormation and CreateEventSourceMapping, which are those by
/// which Lambda tells it: service model lambda/2015-03-31, EventSourceMappingConfiguration. `Enabled` is its `State`.
pub(crate) const OF_A_MAPPING: [&str; 13] = [
    "BatchSize",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "Enabled",
    "FilterCriteria",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "MetricsConfig",
    "ParallelizationFactor",
    "StartingPosition",
    "TumblingWindowInSeconds",
];
