//! DeleteTable: what is asked and what is answered.

use backfill_dynamodb::send::Call;
use serde::Serialize;
use serde::de::IgnoredAny;

/// Drops a table
/// ([API_DeleteTable](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteTable.html)), which takes a while.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteTable<'a> {
    pub(crate) table_name: &'a str,
}

impl Call for DeleteTable<'_> {
    const OPERATION: &'static str = "DeleteTable";
    type Answer = IgnoredAny;
}
