//! How far a page of a scan reaches: the database is asked for so many rows, and reads that page and nothing behind it.
//!
//! The answer is the one that it would have given. Rows are looked at here in its own order, by its own hash, and a page ends
//! where it ends one.

use std::collections::HashMap;

use dynoxide::actions::scan::{ScanRequest, ScanResponse};
use dynoxide::storage::compute_hash_prefix;
use dynoxide::types::AttributeValue;
use dynoxide::{Database, Item};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value as Json;

/// A page ends before the item with which its items would be larger.
const LARGEST_PAGE: u64 = 1024 * 1024;

/// Hashes are divided into so many buckets, each with those that begin with its number in three digits.
const BUCKETS: u64 = 4096;

/// One of a million segments, which has no bucket, and so no items.
const NO_BUCKET: (u32, u32) = (1, 1_000_000);

/// Behind all hashes, which have the digits 0 to f.
const BEHIND_ALL: &str = "g";

/// The values of a key by the names of its attributes.
type Key = HashMap<String, AttributeValue>;

/// A key as the database writes it: partition key and sort key.
type Written = (String, String);

/// How far a page reaches.
pub struct Reach {
    /// So many rows are read for it. The last may be one that does not fit any more.
    rows: usize,
    /// The last row of the table or the segment, if the page reaches it and was not asked to end there: behind it nothing is
    /// left, though the database says that there may be more when it has read as many rows as it was asked for.
    end: Option<Written>,
    /// The item before a segment, for its first page: behind a key the database finds its place by the index, and reads its
    /// way there otherwise.
    before: Option<Key>,
    names: Names,
}

impl Reach {
    /// How far the page reaches that is asked for; `None` for a scan that is for the database alone: that of an index, or one
    /// that it refuses.
    pub fn of(request: &ScanRequest, database: &Database, beside: &Connection) -> Option<Reach> {
        let described = database.get_table_metadata(&request.table_name).ok()??;
        // With vectors an item has another size for its page than the one that is stored.
        let is_plain = request.index_name.is_none() && described.vector_index_definitions.is_none();
        let names = is_plain.then(|| Names::of(&described.key_schema))??;
        let start = match (
            &request.exclusive_start_key_raw,
            &request.exclusive_start_key,
        ) {
            (Some(raw), _) => Some(serde_json::from_value(raw.clone()).ok()?),
            (None, key) => key.clone(),
        };
        let start: Option<Place> = match start {
            Some(key) => Some(names.place(&key)?),
            None => None,
        };
        let look = Look {
            rows: &Rows::of(request)?,
            names: &names,
            beside,
            table: &request.table_name,
        };
        let limit = request.limit.unwrap_or(usize::MAX);
        let (rows, is_end) = look.count(start.as_ref(), limit).ok()?;
        let end = if is_end { look.last().ok()? } else { None };
        let before = if start.is_none() {
            look.before().ok()?
        } else {
            None
        };
        Some(Reach {
            rows,
            end,
            before,
            names,
        })
    }

    /// Has the scan read these rows and no more.
    pub fn bound(&self, request: &mut ScanRequest) {
        match self.rows {
            0 if request.segment.is_some() => {
                request.segment = Some(NO_BUCKET.0);
                request.total_segments = Some(NO_BUCKET.1);
            }
            0 => {}
            rows => {
                request.limit = Some(rows);
                if self.before.is_some() {
                    request.exclusive_start_key.clone_from(&self.before);
                }
            }
        }
    }

    /// Has the answer say that nothing is left, if it ends with the last row.
    pub fn end(&self, page: &mut ScanResponse) {
        let last = page.last_evaluated_key.as_ref();
        let last = last.and_then(|key| self.names.place(key));
        if last.is_some_and(|place| Some(&place.key) == self.end.as_ref()) {
            page.last_evaluated_key = None;
        }
    }
}

/// What the attributes of a table's key are called.
pub(super) struct Names {
    partition: String,
    sort: Option<String>,
}

/// Where an item lies.
struct Place {
    hash: String,
    key: Written,
}

impl Names {
    /// Of a key schema in DynamoDB's form.
    pub(super) fn of(key_schema: &str) -> Option<Names> {
        let schema: Vec<Json> = serde_json::from_str(key_schema).ok()?;
        let named = |kind: &str| {
            let mut keys = schema.iter();
            let key = keys.find(|key| key["KeyType"] == kind)?;
            Some(key["AttributeName"].as_str()?.to_owned())
        };
        Some(Names {
            partition: named("HASH")?,
            sort: named("RANGE"),
        })
    }

    /// Whether an attribute is part of the key.
    fn has(&self, name: &str) -> bool {
        self.partition == name || self.sort.as_deref() == Some(name)
    }

    /// A key as the database writes it, by what it writes for each attribute of this name.
    pub(super) fn written(&self, of: impl Fn(&str) -> Option<String>) -> Option<Written> {
        let sort = match &self.sort {
            Some(name) => of(name)?,
            None => String::new(),
        };
        Some((of(&self.partition)?, sort))
    }

    /// Where the item with these attributes of its key lies.
    fn place(&self, key: &Key) -> Option<Place> {
        Some(Place {
            hash: compute_hash_prefix(key.get(&self.partition)?),
            key: self.written(|name| key.get(name)?.to_key_string())?,
        })
    }
}

/// The rows that a scan goes through.
enum Rows {
    /// A whole table, by its keys.
    Table,
    /// A segment, by hash and key: from this hash up to that one.
    Segment(String, String),
}

impl Rows {
    /// Those of a scan, unless it is refused or has none.
    fn of(request: &ScanRequest) -> Option<Rows> {
        let (segment, total) = match (request.segment, request.total_segments) {
            (None, None) => return Some(Rows::Table),
            (Some(segment), Some(total)) => (u64::from(segment), u64::from(total)),
            _ => return None,
        };
        let begins = |segment: u64| (BUCKETS * segment).div_ceil(total);
        let (first, behind) = match segment < total {
            true => (begins(segment), begins(segment + 1)),
            false => return None,
        };
        let hash = |bucket| match bucket {
            BUCKETS => BEHIND_ALL.to_owned(),
            bucket => format!("{bucket:03x}"),
        };
        (first < behind).then(|| Rows::Segment(hash(first), hash(behind)))
    }

    /// The condition of the rows behind this place, or of all, and its values.
    fn behind(&self, place: Option<&Place>) -> (&'static str, Vec<String>) {
        match (self, place) {
            (Rows::Table, None) => ("1", vec![]),
            (Rows::Table, Some(Place { key: (pk, sk), .. })) => {
                ("(pk, sk) > (?, ?)", vec![pk.clone(), sk.clone()])
            }
            (
                Rows::Segment(first, behind),
                Some(Place {
                    hash,
                    key: (pk, sk),
                }),
            ) if hash >= first => (
                "(hash_prefix, pk, sk) > (?, ?, ?) AND hash_prefix < ?",
                vec![hash.clone(), pk.clone(), sk.clone(), behind.clone()],
            ),
            (Rows::Segment(first, behind), _) => (
                "hash_prefix >= ? AND hash_prefix < ?",
                vec![first.clone(), behind.clone()],
            ),
        }
    }
}

/// What is looked up about the rows of a scan.
struct Look<'a> {
    rows: &'a Rows,
    names: &'a Names,
    beside: &'a Connection,
    table: &'a str,
}

impl Look<'_> {
    /// The rows where a condition holds for these values, from the first or from the last one.
    fn rows<T>(
        &self,
        columns: &str,
        (condition, values): (&str, Vec<String>),
        from_the_last: bool,
        read: impl FnOnce(&mut rusqlite::Rows<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let table = self.table;
        // Named, since another index would have to be sorted.
        let (index, order): (_, &[&str]) = match self.rows {
            Rows::Table => (format!("sqlite_autoindex_{table}_1"), &["pk", "sk"]),
            Rows::Segment(..) => (segments_of(table), &["hash_prefix", "pk", "sk"]),
        };
        let order: Vec<String> = match from_the_last {
            true => order
                .iter()
                .map(|column| format!("{column} DESC"))
                .collect(),
            false => order.iter().map(|column| column.to_string()).collect(),
        };
        let select = format!(
            "SELECT {columns} FROM \"{table}\" INDEXED BY \"{index}\" WHERE {condition} ORDER BY {}",
            order.join(", ")
        );
        let mut select = self.beside.prepare_cached(&select)?;
        read(&mut select.query(params_from_iter(values))?)
    }

    /// How many rows a page has that begins behind this place, among them the first that does not fit; and whether the scan ends
    /// with them.
    fn count(&self, start: Option<&Place>, limit: usize) -> rusqlite::Result<(usize, bool)> {
        self.rows("item_size", self.rows.behind(start), false, |found| {
            let (mut rows, mut size) = (0, 0);
            while rows < limit && size <= LARGEST_PAGE {
                let Some(row) = found.next()? else {
                    return Ok((rows, true));
                };
                rows += 1;
                size += row.get::<_, u64>(0)?;
            }
            Ok((rows, false))
        })
    }

    /// The key of the last row.
    fn last(&self) -> rusqlite::Result<Option<Written>> {
        self.rows("pk, sk", self.rows.behind(None), true, |found| {
            found
                .next()?
                .map(|row| Ok((row.get(0)?, row.get(1)?)))
                .transpose()
        })
    }

    /// The key of the row before the first one of a segment.
    fn before(&self) -> rusqlite::Result<Option<Key>> {
        let Rows::Segment(first, _) = self.rows else {
            return Ok(None);
        };
        let condition = ("hash_prefix < ?", vec![first.clone()]);
        let item: Option<String> = self.rows("item_json", condition, true, |found| {
            found.next()?.map(|row| row.get(0)).transpose()
        })?;
        let item = item.and_then(|item| serde_json::from_str::<Item>(&item).ok());
        let mut key = item.unwrap_or_default();
        key.retain(|name, _| self.names.has(name));
        // Behind it by its own hash, whatever is stored.
        let place = self.names.place(&key);
        Ok(place
            .is_some_and(|place| place.hash < *first)
            .then_some(key))
    }
}

/// The name of the index of a table's segments, which is no table's: those have no colon.
pub(super) fn segments_of(table: &str) -> String {
    format!("{table}::segments")
}
