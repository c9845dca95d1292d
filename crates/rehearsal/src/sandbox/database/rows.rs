//! Items in the form in which the database stores them, put and read past it: for many at once, and for a look that owes nothing
//! to what answers the calls.

use dynoxide::storage::compute_hash_prefix;
use dynoxide::types::item_size;
use dynoxide::validation::normalize_item_sets;
use dynoxide::{DynoxideError, Item};
use rusqlite::{Connection, params};

/// A key as the database writes it: partition key and sort key.
pub type Key = (String, String);

/// An item as the database stores it.
pub struct Row {
    key: Key,
    json: String,
    size: usize,
    hash: String,
}

impl Row {
    /// That of an item whose key has these attributes.
    pub fn of(item: &mut Item, partition: &str, sort: Option<&str>) -> dynoxide::Result<Row> {
        let missing = |name: &str| {
            DynoxideError::InternalServerError(format!("an item was made without its key {name}"))
        };
        let written = |name: &str| {
            let value = item.get(name);
            value
                .and_then(|value| value.to_key_string())
                .ok_or_else(|| missing(name))
        };
        let sort = sort.map_or(Ok(String::new()), written)?;
        let key = (written(partition)?, sort);
        let hash = item
            .get(partition)
            .map(compute_hash_prefix)
            .ok_or_else(|| missing(partition))?;
        normalize_item_sets(item);
        let json = serde_json::to_string(item)
            .map_err(|error| DynoxideError::InternalServerError(error.to_string()))?;
        Ok(Row {
            key,
            json,
            size: item_size(item),
            hash,
        })
    }
}

/// Puts items into a table that has none with their keys.
pub fn put(connection: &mut Connection, table: &str, rows: &[Row]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(&format!(
            "INSERT INTO \"{table}\" (pk, sk, item_json, item_size, hash_prefix) VALUES (?, ?, ?, ?, ?)"
        ))?;
        for Row {
            key: (pk, sk),
            json,
            size,
            hash,
        } in rows
        {
            insert.execute(params![pk, sk, json, *size as i64, hash])?;
        }
    }
    transaction.commit()
}

/// Up to so many items in the order of their keys, behind this key and before that partition key.
pub fn between(
    connection: &Connection,
    table: &str,
    (pk, sk): &Key,
    before: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<(Key, String)>> {
    let select = format!(
        "SELECT pk, sk, item_json FROM \"{table}\" WHERE (pk, sk) > (?1, ?2) AND (?3 IS NULL OR pk < ?3) \
         ORDER BY pk, sk LIMIT ?4"
    );
    let mut select = connection.prepare_cached(&select)?;
    let rows = select.query_map(params![pk, sk, before, limit as i64], |row| {
        Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
    })?;
    rows.collect()
}
