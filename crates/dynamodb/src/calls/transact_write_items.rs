//! TransactWriteItems: what is asked and what is answered.

use std::collections::BTreeMap;

use backfill_core::{Item, Key, text};
use serde::{Deserialize, Serialize};

use super::shapes::{Capacity, TOTAL, is_empty};
use crate::send::{Call, ReadCall, SdkError, details};

/// A transaction of one ConditionCheck and nothing else, which writes nothing
/// ([API_TransactWriteItems](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html)). No
/// other transaction can be put together here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TransactWriteItems<'a> {
    transact_items: [TransactItem<'a>; 1],
    return_consumed_capacity: Option<&'static str>,
    // No ClientRequestToken: within ten minutes the service would answer the same check by what it has found before, and not
    // look again.
}

impl<'a> TransactWriteItems<'a> {
    /// The transaction of this check.
    pub(crate) fn of(condition_check: ConditionCheck<'a>) -> Self {
        TransactWriteItems {
            transact_items: [TransactItem { condition_check }],
            return_consumed_capacity: TOTAL,
        }
    }
}

impl Call for TransactWriteItems<'_> {
    const OPERATION: &'static str = "TransactWriteItems";
    type Answer = Transacted;
}

impl ReadCall for TransactWriteItems<'_> {}

/// A transaction that was carried out: every check held.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Transacted {
    /// What it consumed of each table, in write units.
    pub(crate) consumed_capacity: Option<Vec<Capacity>>,
}

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
    #[serde(default, deserialize_with = "text::deserialize_some")]
    pub(crate) code: Option<String>,
    #[serde(default, deserialize_with = "text::deserialize_some")]
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_check_asks_for_its_capacity_and_has_no_token() {
        let key = Key(Item::new());
        let check = TransactWriteItems::of(ConditionCheck {
            table_name: "stuff",
            key: &key,
            condition_expression: "attribute_exists(a)",
            expression_attribute_names: None,
            expression_attribute_values: None,
            return_values_on_condition_check_failure: super::super::ALL_OLD,
        });
        let asked = serde_json::to_value(check).unwrap();
        assert_eq!(asked["ReturnConsumedCapacity"], "TOTAL");
        let mut fields = asked.as_object().unwrap().keys();
        assert!(fields.all(|field| field != "ClientRequestToken"));
        assert_eq!(
            asked["TransactItems"][0]["ConditionCheck"]["TableName"],
            json!("stuff")
        );
    }
}
