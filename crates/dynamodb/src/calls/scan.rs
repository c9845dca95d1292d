//! Scan: what is asked and what is answered.

use std::collections::BTreeMap;

use backfill_core::value::few::{Few, Names};
use backfill_core::value::packed::{PackedKey, ValueRef};
use backfill_core::{Item, Key, Value};
use serde::{Deserialize, Serialize};

use super::quick::Quick;
use super::shapes::{Capacity, is_empty};
use crate::send::{Call, ReadCall};

/// One page of a table or an index, or of one segment of it
/// ([API_Scan](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html)).
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Scan<'a> {
    /// The table.
    pub table_name: &'a str,
    /// One of its indexes, to be read in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_name: Option<&'a str>,
    /// Which segment, from 0; only together with `total_segments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// How many segments there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_segments: Option<u32>,
    /// The `LastEvaluatedKey` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_start_key: Option<&'a Key>,
    /// Most items to evaluate, before the filter; a page ends at 1 MB in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Strongly consistent, at twice the read units.
    pub consistent_read: bool,
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
    /// `COUNT` returns no items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<&'a str>,
    /// `TOTAL` returns the read units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_consumed_capacity: Option<&'a str>,
}

impl Call for Scan<'_> {
    const OPERATION: &'static str = "Scan";
    type Answer = Scanned;
}

impl ReadCall for Scan<'_> {}

/// A Scan whose projection is a few attributes: what is answered takes little memory.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct ScanOfFew<'a>(pub(crate) Scan<'a>);

impl Call for ScanOfFew<'_> {
    const OPERATION: &'static str = Scan::OPERATION;
    type Answer = Scanned<Few>;

    fn read_quickly(json: &str) -> Option<Scanned<Few>> {
        let mut names = Names::default();
        read_page(json, |json| read_item(json, &mut names))
    }
}

impl ReadCall for ScanOfFew<'_> {}

/// A Scan whose projection is the primary key: what is answered takes little memory.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct ScanOfKeys<'a>(pub(crate) Scan<'a>);

impl Call for ScanOfKeys<'_> {
    const OPERATION: &'static str = Scan::OPERATION;
    type Answer = Scanned<PackedKey>;

    fn read_quickly(json: &str) -> Option<Scanned<PackedKey>> {
        read_page(json, read_key)
    }
}

/// A page of which this reads each item.
fn read_page<'a, I>(
    json: &'a str,
    item: impl FnMut(&mut Quick<'a>) -> Option<I>,
) -> Option<Scanned<I>> {
    let mut json = Quick::new(json);
    let mut read_item = Some(item);
    let (mut items, mut count, mut scanned) = (None, None, None);
    let (mut last, mut consumed) = (None, None);
    json.object(|json, name| {
        match name {
            "Items" => items = Some(json.array(read_item.take()?)?),
            "Count" if count.is_none() => count = Some(json.value()?),
            "ScannedCount" if scanned.is_none() => scanned = Some(json.value()?),
            "LastEvaluatedKey" if last.is_none() => last = Some(json.value()?),
            "ConsumedCapacity" if consumed.is_none() => consumed = Some(json.value()?),
            _ => return None,
        }
        Some(())
    })?;
    json.end()?;
    Some(Scanned {
        items,
        count: count.flatten(),
        scanned_count: scanned?,
        last_evaluated_key: last.flatten(),
        consumed_capacity: consumed.flatten(),
    })
}

/// Most attributes that most projections bring along.
const MOST_OFTEN: usize = 4;

/// An item. Texts, numbers and truth values are most of what others are computed from; what else there is, serde reads.
fn read_item(json: &mut Quick<'_>, names: &mut Names) -> Option<Few> {
    if json.takes("{}") {
        return Some(Few::default());
    }
    let mut attributes = Vec::with_capacity(MOST_OFTEN);
    json.object(|json, name| {
        attributes.push((names.share(name), json.quickly_or_value(read_scalar)?));
        Some(())
    })?;
    // Which of two with the same name is meant serde says.
    Few::new(attributes)
}

fn read_scalar(json: &mut Quick<'_>) -> Option<Value> {
    for (truth, value) in [(r#"{"BOOL":true}"#, true), (r#"{"BOOL":false}"#, false)] {
        if json.takes(truth) {
            return Some(Value::Bool(value));
        }
    }
    let value = if json.takes(r#"{"S":""#) {
        Value::S(json.rest_of_text()?.to_owned())
    } else {
        json.take(r#"{"N":""#)?;
        Value::N(json.rest_of_text()?.to_owned())
    };
    json.take("}")?;
    Some(value)
}

/// A key of strings and numbers.
fn read_key(json: &mut Quick<'_>) -> Option<PackedKey> {
    let mut found = [("", ValueRef::S("")); 2];
    let mut count = 0;
    json.object(|json, name| {
        let value = if json.takes(r#"{"S":""#) {
            ValueRef::S(json.rest_of_text()?)
        } else {
            json.take(r#"{"N":""#)?;
            ValueRef::N(json.rest_of_text()?)
        };
        json.take("}")?;
        *found.get_mut(count)? = (name, value);
        count += 1;
        Some(())
    })?;
    let found = found.get_mut(..count)?;
    if let [(first, _), (second, _)] = &found
        && first > second
    {
        found.reverse();
    }
    PackedKey::of_sorted(found)
}

impl ReadCall for ScanOfKeys<'_> {}

/// One page of items in this form.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Scanned<I = Item> {
    /// The items that the filter lets through; `None` if they were only counted.
    pub items: Option<Vec<I>>,
    /// How many the filter lets through.
    pub count: Option<u64>,
    /// Items evaluated, before the filter.
    pub scanned_count: u64,
    /// Where to go on; `None` is the end, and nothing else is.
    pub last_evaluated_key: Option<Key>,
    /// Read units, if they were asked for.
    pub consumed_capacity: Option<Capacity>,
}
