//! Items by hand: read, put, changed and deleted one by one or in batches.

use std::time::Duration;

use backfill_core::pace::retry::{PATIENCE, Until};
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use backfill_dynamodb::send::{Call, ProvideErrorMetadata as _};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value as Json, json};

use super::access::Admin;
use crate::calls::{BatchGetItem, BatchWriteItem, DeleteItem, Guard, PutItem, UpdateItem};

/// Batches in flight, so that client and table work at the same time.
const BATCHES_AT_ONCE: usize = 4;

impl Admin {
    /// Puts items, with nothing asked of what was there. No two may have the same key within 25 in a row.
    ///
    /// Errors: `Throttled` if the table does not take them all; those of BatchWriteItem.
    pub async fn put_all(&self, table: &str, items: &[Item]) -> Result<()> {
        for batch in items.chunks(BatchWriteItem::MOST) {
            self.put_batch(table, batch).await?;
        }
        Ok(())
    }

    /// Puts items of which no two have the same key, several batches at a time.
    ///
    /// Errors: as [`Admin::put_all`].
    pub async fn put_distinct(&self, table: &str, items: &[Item]) -> Result<()> {
        stream::iter(items.chunks(BatchWriteItem::MOST))
            .map(Ok)
            .try_for_each_concurrent(BATCHES_AT_ONCE, |batch| self.put_batch(table, batch))
            .await
    }

    /// Puts as many items as a batch may have.
    async fn put_batch(&self, table: &str, batch: &[Item]) -> Result<()> {
        let doing = format!("putting items into table {table}");
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
        .await
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
