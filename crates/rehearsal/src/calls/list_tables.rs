//! ListTables: what is asked and what is answered.

use backfill_dynamodb::send::{Call, ReadCall};
use serde::{Deserialize, Serialize};

/// One page of the names of all tables
/// ([API_ListTables](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTables.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTables<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exclusive_start_table_name: Option<&'a str>,
}

impl Call for ListTables<'_> {
    const OPERATION: &'static str = "ListTables";
    type Answer = ListedTables;
}

impl ReadCall for ListTables<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListedTables {
    pub(crate) table_names: Vec<String>,
    /// Where to go on; `None` at the end.
    pub(crate) last_evaluated_table_name: Option<String>,
}
