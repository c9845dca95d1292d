//! PutItem: what is asked and what is answered.

use backfill_core::Item;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::shapes::is_empty;
use crate::send::Call;

/// Puts a record into the checkpoint table, in place of the one with its key
/// ([API_PutItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutItem<'a> {
    pub(crate) table_name: &'a str,
    pub(crate) item: &'a Item,
    pub(crate) condition_expression: &'a str,
    /// `:value` → value.
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) expression_attribute_values: Option<&'a Item>,
    /// `ALL_OLD` returns the item that the condition was held against.
    pub(crate) return_values_on_condition_check_failure: &'a str,
}

impl Call for PutItem<'_> {
    const OPERATION: &'static str = "PutItem";
    type Answer = IgnoredAny;
}
