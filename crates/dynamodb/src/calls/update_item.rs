//! UpdateItem: what is asked and what is answered.

use std::collections::BTreeMap;

use backfill_core::{Item, Key};
use serde::{Deserialize, Serialize};

use super::shapes::{Capacity, is_empty};
use crate::send::Call;

/// One update of one item
/// ([API_UpdateItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateItem<'a, K = Key> {
    pub(crate) table_name: &'a str,
    pub(crate) key: &'a K,
    pub(crate) update_expression: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition_expression: Option<&'a str>,
    /// `#name` → attribute.
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) expression_attribute_names: Option<&'a BTreeMap<String, String>>,
    /// `:value` → value.
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) expression_attribute_values: Option<&'a Item>,
    /// `ALL_NEW` returns the item as it is after the update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) return_values: Option<&'a str>,
    /// `ALL_OLD` returns the item that the condition was held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) return_values_on_condition_check_failure: Option<&'a str>,
    /// `TOTAL` returns the write units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) return_consumed_capacity: Option<&'a str>,
}

impl<'a> UpdateItem<'a> {
    /// An update without condition, names and values, that returns nothing.
    pub(crate) fn of(table_name: &'a str, key: &'a Key, update_expression: &'a str) -> Self {
        UpdateItem {
            table_name,
            key,
            update_expression,
            condition_expression: None,
            expression_attribute_names: None,
            expression_attribute_values: None,
            return_values: None,
            return_values_on_condition_check_failure: None,
            return_consumed_capacity: None,
        }
    }
}

impl<K: Serialize> Call for UpdateItem<'_, K> {
    const OPERATION: &'static str = "UpdateItem";
    type Answer = Updated;
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Updated {
    /// What `return_values` asked for.
    pub(crate) attributes: Option<Item>,
    /// Write units of the table and its indexes.
    pub(crate) consumed_capacity: Option<Capacity>,
}
