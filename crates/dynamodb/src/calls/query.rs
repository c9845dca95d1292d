//! Query: what is asked and what is answered.

use std::collections::BTreeMap;

use backfill_core::{Item, Key};
use serde::{Deserialize, Serialize};

use super::shapes::{Capacity, is_empty};
use crate::send::{Call, ReadCall};

/// One page of the items of one partition, in the order of their sort keys
/// ([API_Query](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html)).
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Query<'a> {
    /// The table.
    pub table_name: &'a str,
    /// One of its indexes, to be read in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_name: Option<&'a str>,
    /// Which partition, and which part of it.
    pub key_condition_expression: &'a str,
    /// Return only the items for which this holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_expression: Option<&'a str>,
    /// Return only these attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection_expression: Option<&'a str>,
    /// `#name` → attribute. Each must be used by an expression.
    #[serde(skip_serializing_if = "is_empty")]
    pub expression_attribute_names: Option<&'a BTreeMap<String, String>>,
    /// `:value` → value. Each must be used by an expression.
    #[serde(skip_serializing_if = "is_empty")]
    pub expression_attribute_values: Option<&'a Item>,
    /// Strongly consistent, at twice the read units.
    pub consistent_read: bool,
    /// `false` begins with the greatest sort key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_index_forward: Option<bool>,
    /// Most items to evaluate, before the filter; a page ends at 1 MB in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `COUNT` returns no items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<&'a str>,
    /// The `LastEvaluatedKey` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_start_key: Option<&'a Key>,
    /// `TOTAL` has the answer say what it consumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_consumed_capacity: Option<&'a str>,
}

impl Call for Query<'_> {
    const OPERATION: &'static str = "Query";
    type Answer = Queried;
}

impl ReadCall for Query<'_> {}

/// One page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Queried {
    /// The items that the filter lets through; `None` if they were only counted.
    pub items: Option<Vec<Item>>,
    /// How many the filter lets through.
    pub count: Option<u64>,
    /// Items evaluated, before the filter.
    pub scanned_count: Option<u64>,
    /// Where to go on; `None` at the end.
    pub last_evaluated_key: Option<Key>,
    /// What it consumed, in read units, if that was asked for.
    pub consumed_capacity: Option<Capacity>,
}
