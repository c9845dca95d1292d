//! CreateTable: what is asked and what is answered.

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::send::Call;

/// Creates a table
/// ([API_CreateTable](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html)) from the operation's
/// own input. It is there before it is `ACTIVE`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct CreateTable<'a>(pub &'a Json);

impl Call for CreateTable<'_> {
    const OPERATION: &'static str = "CreateTable";
    type Answer = IgnoredAny;
}
