//! TransactWriteItems: what is asked and what is answered.

use std::collections::BTreeMap;

use backfill_core::{Item, Key};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::shapes::is_empty;
use crate::send::{Call, ReadCall, SdkError, details};

/// A transaction of one ConditionCheck and nothing else, which writes nothing
/// ([API_TransactWriteItems](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html)). No
/// other transaction can be put together here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TransactWriteItems<'a> {
    transact_items: [TransactItem<'a>; 1],
}

impl<'a> TransactWriteItems<'a> {
    /// The transaction of this check.
    pub(crate) fn of(condition_check: ConditionCheck<'a>) -> Self {
        TransactWriteItems {
            transact_items: [TransactItem { condition_check }],
        }
    }
}

impl Call for TransactWriteItems<'_> {
    const OPERATION: &'static str = "TransactWriteItems";
    type Answer = IgnoredAny;
}

impl ReadCall for TransactWriteItems<'_> {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TransactItem<'a> {
    condition_check: ConditionCheck<'a>,
}

/// API reference, ConditionCheck.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConditionCheck<'a> {
    pub(crate) table_name: &'a str,
    pub(crate) key: &'a Key,
    pub(crate) condition_expression: &'a str,
    /// `#name` → attribute.
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) expression_attribute_names: Option<&'a BTreeMap<String, String>>,
    /// `:value` → value.
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) expression_attribute_values: Option<&'a Item>,
    /// `ALL_OLD` returns the item that the condition was held against.
    pub(crate) return_values_on_condition_check_failure: &'a str,
}

/// Why the check cancelled its transaction (API reference, CancellationReason).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Cancellation {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) item: Option<Item>,
}

/// The reason, if the transaction was cancelled and not refused for something else.
pub(crate) fn cancellation(error: &SdkError) -> Option<Cancellation> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Cancelled {
        cancellation_reasons: Vec<Cancellation>,
    }
    let cancelled: Cancelled = details(error)?;
    cancelled.cancellation_reasons.into_iter().next()
}
