//! Items by hand: read, put, changed and deleted one by one or in batches.

use std::time::Duration;

use backfill_core::pace::retry::{PATIENCE, Until};
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use backfill_dynamodb::calls::{Query, Scan};
use backfill_dynamodb::send::{Call, ProvideErrorMetadata as _};
use serde_json::{Map, Value as Json, json};

use super::access::Admin;
use crate::calls::{
    BatchGetItem, BatchWriteItem, DeleteItem, Guard, Placeholders, PutItem, UpdateItem,
};

/// A scan, or a query if there is a key condition.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// The table.
    pub table: String,
    /// One of its indexes.
    pub index: Option<String>,
    /// Key condition expression.
    pub key_condition: Option<String>,
    /// Filter expression.
    pub filter: Option<String>,
    /// Projection expression.
    pub projection: Option<String>,
    /// What the placeholders of the expressions stand for.
    pub placeholders: Placeholders,
    /// Strongly consistent.
    pub consistent: bool,
    /// For a query: from the greatest sort key down.
    pub descending: bool,
    /// For a scan: segment and number of segments.
    pub segment: Option<(u32, u32)>,
    /// Most items that are looked at for a page.
    pub page_size: Option<u32>,
    /// Without the items.
    pub count_only: bool,
}

/// What one call of a [`Read`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The items; none if they were only counted.
    pub items: Vec<Item>,
    /// How many there are.
    pub count: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<Key>,
}

impl Admin {
    /// One call of a scan or query, from its beginning or after a key.
    ///
    /// Errors: those of Scan and Query.
    pub async fn page(&self, read: &Read, after: Option<&Key>) -> Result<Found> {
        let doing = format!("reading table {}", read.table);
        let select = read.count_only.then_some("COUNT");
        let (names, values) = (&read.placeholders.names, &read.placeholders.values);
        let (items, count, next) = match &read.key_condition {
            Some(key_condition) => {
                let query = Query {
                    table_name: &read.table,
                    index_name: read.index.as_deref(),
                    key_condition_expression: key_condition,
                    filter_expression: read.filter.as_deref(),
                    projection_expression: read.projection.as_deref(),
                    expression_attribute_names: Some(names),
                    expression_attribute_values: Some(values),
                    consistent_read: read.consistent,
                    scan_index_forward: read.descending.then_some(false),
                    limit: read.page_size,
                    select,
                    exclusive_start_key: after,
                    return_consumed_capacity: None,
                };
                let page = self.read(&doing, &query).await?;
                (page.items, page.count, page.last_evaluated_key)
            }
            None => {
                let scan = Scan {
                    table_name: &read.table,
                    index_name: read.index.as_deref(),
                    filter_expression: read.filter.as_deref(),
                    projection_expression: read.projection.as_deref(),
                    expression_attribute_names: Some(names),
                    expression_attribute_values: Some(values),
                    consistent_read: read.consistent,
                    segment: read.segment.map(|(segment, _)| segment),
                    total_segments: read.segment.map(|(_, total)| total),
                    limit: read.page_size,
                    select,
                    exclusive_start_key: after,
                    ..Scan::default()
                };
                let page = self.read(&doing, &scan).await?;
                (page.items, page.count, page.last_evaluated_key)
            }
        };
        let uncounted = || Error::new(ErrorKind::Internal, format!("{doing}: a page has no count"));
        Ok(Found {
            items: items.unwrap_or_default(),
            count: count.ok_or_else(uncounted)?,
            next,
        })
    }

    /// Puts items, with nothing asked of what was there. No two may have the same key within 25 in a row.
    ///
    /// Errors: `Throttled` if the table does not take them all; those of BatchWriteItem.
    pub async fn put_all(&self, table: &str, items: &[Item]) -> Result<()> {
        let doing = format!("putting items into table {table}");
        for batch in items.chunks(BatchWriteItem::MOST) {
            let puts: Vec<Json> = batch
                .iter()
                .map(|item| json!({"PutRequest": {"Item": item}}))
                .collect();
            until_nothing_is_left(&doing, json!({table: puts}), async |asked| {
                let put = BatchWriteItem {
                    request_items: &asked,
                };
                let answer = self.patiently(|| self.once(&doing, &put)).await?;
                Ok(answer.unprocessed_items)
            })
            .await?;
        }
        Ok(())
    }

    /// The items of these keys, each of which may be given once, in no particular order; the missing are left out.
    ///
    /// Errors: `Throttled` if the table does not return them all; those of BatchGetItem.
    pub async fn get(&self, table: &str, keys: &[Key], consistent: bool) -> Result<Vec<Item>> {
        let doing = format!("reading items of table {table}");
        let mut items = Vec::new();
        for batch in keys.chunks(BatchGetItem::MOST) {
            let asked = json!({table: {"Keys": batch, "ConsistentRead": consistent}});
            until_nothing_is_left(&doing, asked, async |asked| {
                let get = BatchGetItem {
                    request_items: &asked,
                };
                let answer = self.read(&doing, &get).await?;
                let found = answer.responses.and_then(|mut all| all.remove(table));
                items.extend(found.unwrap_or_default());
                Ok(answer.unprocessed_keys)
            })
            .await?;
        }
        Ok(items)
    }

    /// Puts an item, in place of the one with its key. False if the condition does not hold.
    ///
    /// Errors: those of PutItem.
    pub async fn put(&self, table: &str, item: &Item, guard: &Guard) -> Result<bool> {
        let put = PutItem {
            table_name: table,
            item,
            guard,
        };
        self.guarded(&format!("putting an item into table {table}"), &put)
            .await
    }

    /// Updates an item, or creates it unless the condition forbids that. False if the condition does not hold.
    ///
    /// Errors: those of UpdateItem.
    pub async fn update(
        &self,
        table: &str,
        key: &Key,
        update: &str,
        guard: &Guard,
    ) -> Result<bool> {
        let update = UpdateItem {
            table_name: table,
            key,
            update_expression: update,
            guard,
        };
        self.guarded(&format!("updating an item of table {table}"), &update)
            .await
    }

    /// Deletes an item. False if the condition does not hold; an item that is not there is no error.
    ///
    /// Errors: those of DeleteItem.
    pub async fn delete(&self, table: &str, key: &Key, guard: &Guard) -> Result<bool> {
        let delete = DeleteItem {
            table_name: table,
            key,
            guard,
        };
        self.guarded(&format!("deleting an item of table {table}"), &delete)
            .await
    }

    async fn guarded(&self, doing: &str, call: &impl Call) -> Result<bool> {
        match self.sender.call(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(self.failed(doing, error)),
        }
    }
}

/// Sends a batch, and what the table has left undone of it, until nothing is left. `send` returns what is left.
async fn until_nothing_is_left(
    doing: &str,
    mut asked: Json,
    mut send: impl AsyncFnMut(Json) -> Result<Option<Json>>,
) -> Result<()> {
    let until = Until::after(PATIENCE);
    let mut wait = Duration::from_millis(50);
    loop {
        asked = send(asked).await?.unwrap_or_default();
        if asked.as_object().is_none_or(Map::is_empty) {
            return Ok(());
        }
        if until.is_over() {
            let why = format!("{doing}: the table throttles, try again later");
            return Err(Error::new(ErrorKind::Throttled, why));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}
