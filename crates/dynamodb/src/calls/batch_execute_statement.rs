//! BatchExecuteStatement: what is asked and what is answered.

use backfill_core::value::measured::ItemBytes;
use backfill_core::{Value, text};
use serde::{Deserialize, Serialize};

use super::shapes::Capacity;
use crate::send::Call;

/// Up to 25 PartiQL statements, each of which succeeds or fails by itself
/// ([API_BatchExecuteStatement](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchExecuteStatement<'a> {
    pub(crate) statements: Vec<BatchStatement<'a>>,
    pub(crate) return_consumed_capacity: Option<&'a str>,
}

impl Call for BatchExecuteStatement<'_> {
    const OPERATION: &'static str = "BatchExecuteStatement";
    type Answer = BatchExecuted;
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchStatement<'a> {
    pub(crate) statement: &'a str,
    /// The values of its question marks, in their order.
    pub(crate) parameters: Vec<&'a Value>,
    pub(crate) return_values_on_condition_check_failure: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchExecuted {
    /// One for each statement, in their order.
    pub(crate) responses: Vec<StatementResponse>,
    /// Write units by table, those of failed statements included. Missing if no statement succeeded.
    pub(crate) consumed_capacity: Option<Vec<Capacity>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StatementResponse {
    pub(crate) error: Option<StatementError>,
}

/// API reference, BatchStatementError.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StatementError {
    #[serde(default, deserialize_with = "text::deserialize")]
    pub(crate) code: String,
    #[serde(default, deserialize_with = "text::deserialize")]
    pub(crate) message: String,
    /// The item that the condition was held against. That it is there, and how large it is, is all that matters of it.
    pub(crate) item: Option<ItemBytes>,
}
