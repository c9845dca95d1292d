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
pub const ONLY_CHECKED: [&str; 2] = ["MinItemCount", "Alarms"];
