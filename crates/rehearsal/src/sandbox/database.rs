//! The embedded database, with what it lacks for tables of millions of items: an index by which a segment is found, and scans
//! that read a page and no more.
//!
//! The database keeps each table in one of SQLite's, in the order of its keys, and a parallel scan goes through it in the
//! order of a hash that has no index: each page would read the whole table. So a second connection to the same SQLite
//! database makes one (`by_segment`). It also looks ahead how far a page reaches (`page`), since the database would read
//! beyond it: to the end of the table after the last item of a segment, and the whole rest of a table without a `Limit`.

mod page;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backfill_core::{Error, ErrorKind, Result};
use dynoxide::Database;
use dynoxide::actions::create_table::{CreateTableRequest, CreateTableResponse};
use dynoxide::actions::scan::{ScanRequest, ScanResponse};
use rusqlite::Connection;

use self::page::Reach;

/// Prepared statements that are kept: two for each of some tables that are scanned.
const STATEMENTS: usize = 64;

/// The embedded database. Copies are the same database.
#[derive(Clone)]
pub struct Embedded {
    database: Database,
    /// A second connection. Whoever calls the database or uses this holds the lock: in memory the two share one cache, and
    /// one would find locked what the other has begun to read. Nothing waits longer for it, since the database, too, makes
    /// one call at a time.
    beside: Arc<Mutex<Connection>>,
}

impl Embedded {
    /// Opens the database in this file, or an empty one in memory.
    ///
    /// Errors: `InvalidInput` for a file that cannot be used.
    pub fn open(file: Option<&Path>) -> Result<Embedded> {
        match file {
            None => Embedded::named(&in_memory()).map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot open the database").with_source(error)
            }),
            Some(path) => {
                let place = path.display();
                let name = path
                    .to_str()
                    .ok_or_else(|| Error::invalid("file", format!("{place} is not UTF-8 text")))?;
                Embedded::named(name).map_err(|error| {
                    Error::invalid("file", format!("cannot open {place}: {error}"))
                })
            }
        }
    }

    /// Opens the database of this name for SQLite. Tables of a file that an earlier version made get the index now.
    fn named(name: &str) -> dynoxide::Result<Embedded> {
        let database = Database::new(name)?;
        // This is the one way to say that a write is done when the operating system has it, and not the disk: what a process
        // has written stays if it dies, and of the last seconds before a power cut a rehearsal can be repeated.
        database.disable_bulk_loading()?;
        let beside = Connection::open(name)?;
        beside.set_prepared_statement_cache_capacity(STATEMENTS);
        for table in database.table_stats()? {
            by_segment(&beside, &table.table_name)?;
        }
        Ok(Embedded {
            database,
            beside: Arc::new(Mutex::new(beside)),
        })
    }

    /// Makes a call of the database.
    pub fn call<T>(&self, call: impl FnOnce(&Database) -> T) -> T {
        // What the lock protects holds at any moment, so that a call that has panicked has left nothing half done.
        let _beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        call(&self.database)
    }

    /// Creates a table, and the index of its segments.
    pub fn create_table(
        &self,
        request: CreateTableRequest,
    ) -> dynoxide::Result<CreateTableResponse> {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let table = request.table_name.clone();
        let created = self.database.create_table(request)?;
        by_segment(&beside, &table)?;
        Ok(created)
    }

    /// Answers a scan as the database does, in time that grows with the page and not with the table.
    pub fn scan(&self, mut request: ScanRequest) -> dynoxide::Result<ScanResponse> {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reach) = Reach::of(&request, &self.database, &beside) else {
            return self.database.scan(request);
        };
        reach.bound(&mut request);
        let mut page = self.database.scan(request)?;
        reach.end(&mut page);
        Ok(page)
    }
}

/// The name of a database in memory that two connections of this process can open.
fn in_memory() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("file:sandbox-{number}?mode=memory&cache=shared")
}

/// Makes the index of a table's segments, in the order in which the database goes through one. It is dropped with the table.
/// It has the size of each item, so that a page is measured without reading items.
fn by_segment(beside: &Connection, table: &str) -> rusqlite::Result<()> {
    let index = page::segments_of(table);
    beside.execute_batch(&format!(
        "CREATE INDEX IF NOT EXISTS \"{index}\" ON \"{table}\" (hash_prefix, pk, sk, item_size)"
    ))
}

#[cfg(test)]
mod tests {
    use dynoxide::{AttributeValue, Item};
    use fastrand::Rng;
    use rusqlite::StatementStatus;
    use serde_json::json;

    use super::*;

    /// A table of this name by DynamoDB's form, whose items have a sort key, or none.
    fn table(name: &str, has_sort_key: bool) -> CreateTableRequest {
        let keys = [("id", "N", "HASH"), ("at", "S", "RANGE")];
        let keys = &keys[..if has_sort_key { 2 } else { 1 }];
        let attributes = keys
            .iter()
            .map(|(name, kind, _)| json!({"AttributeName": name, "AttributeType": kind}));
        let schema = keys
            .iter()
            .map(|(name, _, kind)| json!({"AttributeName": name, "KeyType": kind}));
        let table = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": attributes.collect::<Vec<_>>(),
            "KeySchema": schema.collect::<Vec<_>>(),
        });
        serde_json::from_value(table).unwrap()
    }

    fn item(i: u64, bytes: usize) -> Item {
        let number = AttributeValue::N(format!("{}.5", i as i64 / 3 - 100));
        Item::from([
            ("id".to_owned(), number),
            ("at".to_owned(), AttributeValue::S(format!("{:03}", i % 3))),
            ("even".to_owned(), AttributeValue::BOOL(i.is_multiple_of(2))),
            ("text".to_owned(), AttributeValue::S("x".repeat(bytes))),
        ])
    }

    fn import(database: &Database, table: &str, items: Vec<Item>) {
        database
            .import_items(table, items, Default::default())
            .unwrap();
    }

    /// The pages of a whole scan, as they go over the wire; each begins where the one before it says.
    fn pages(
        request: &ScanRequest,
        scan: impl Fn(ScanRequest) -> dynoxide::Result<ScanResponse>,
    ) -> Vec<String> {
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = scan(ScanRequest {
                exclusive_start_key_raw: after.clone(),
                ..copy(request)
            });
            let page = page.unwrap();
            let page = serde_json::to_value(&page).unwrap();
            after = page.get("LastEvaluatedKey").cloned();
            pages.push(page.to_string());
            if after.is_none() {
                return pages;
            }
        }
    }

    fn copy(request: &ScanRequest) -> ScanRequest {
        ScanRequest {
            table_name: request.table_name.clone(),
            filter_expression: request.filter_expression.clone(),
            limit: request.limit,
            segment: request.segment,
            total_segments: request.total_segments,
            return_consumed_capacity: Some("TOTAL".into()),
            ..Default::default()
        }
    }

    /// Whatever is scanned, small and large items, with and without a limit and in segments: each page is the one that the
    /// database gives by itself, to the last byte.
    #[test]
    fn pages_are_those_that_the_database_gives() {
        let plain = Database::memory().unwrap();
        let embedded = Embedded::open(None).unwrap();
        let mut random = Rng::with_seed(8);
        for (name, has_sort_key) in [("both", true), ("one.key-", false)] {
            plain.create_table(table(name, has_sort_key)).unwrap();
            embedded.create_table(table(name, has_sort_key)).unwrap();
            let items: Vec<Item> = (0..400)
                .map(|i| item(if has_sort_key { i } else { i * 3 }, random.usize(..14_000)))
                .collect();
            import(&plain, name, items.clone());
            embedded.call(|database| import(database, name, items));
            let whole = [(None, None), (Some(0), Some(1)), (Some(4_500), Some(5_000))];
            let few = (0..7).map(|segment| (Some(segment), Some(7)));
            let many = (0..10).map(|_| (Some(random.u32(..300)), Some(300)));
            for (segment, total_segments) in whole.into_iter().chain(few).chain(many) {
                for limit in [None, Some(1), Some(17), Some(400), Some(5_000)] {
                    // A page of one item each is slow for a whole table.
                    if limit == Some(1) && total_segments.is_none_or(|total| total < 7) {
                        continue;
                    }
                    let request = ScanRequest {
                        table_name: name.into(),
                        segment,
                        total_segments,
                        limit,
                        filter_expression: limit.is_none().then(|| "attribute_exists(even)".into()),
                        ..Default::default()
                    };
                    let expected = pages(&request, |request| plain.scan(request));
                    let found = pages(&request, |request| embedded.scan(request));
                    assert_eq!(
                        found, expected,
                        "{name} {segment:?} of {total_segments:?}, {limit:?}"
                    );
                }
            }
        }
    }

    /// A scan that is refused is refused in the words of the database.
    #[test]
    fn scans_are_refused_in_the_words_of_the_database() {
        let plain = Database::memory().unwrap();
        let embedded = Embedded::open(None).unwrap();
        plain.create_table(table("both", true)).unwrap();
        embedded.create_table(table("both", true)).unwrap();
        for wrong in [
            ScanRequest {
                table_name: "none".into(),
                ..Default::default()
            },
            ScanRequest {
                segment: Some(3),
                total_segments: Some(3),
                ..Default::default()
            },
            ScanRequest {
                segment: Some(3),
                ..Default::default()
            },
            ScanRequest {
                exclusive_start_key_raw: Some(json!({"id": {"N": "1"}})),
                ..Default::default()
            },
            ScanRequest {
                exclusive_start_key_raw: Some(json!({"id": 1})),
                ..Default::default()
            },
            ScanRequest {
                index_name: Some("none".into()),
                ..Default::default()
            },
            ScanRequest {
                filter_expression: Some("id = ".into()),
                ..Default::default()
            },
        ] {
            let ask = |scan: &dyn Fn(ScanRequest) -> dynoxide::Result<ScanResponse>| {
                let name = if wrong.table_name.is_empty() {
                    "both"
                } else {
                    &wrong.table_name
                };
                let request = ScanRequest {
                    table_name: name.into(),
                    exclusive_start_key_raw: wrong.exclusive_start_key_raw.clone(),
                    index_name: wrong.index_name.clone(),
                    ..copy(&wrong)
                };
                scan(request).unwrap_err().to_json()
            };
            assert_eq!(
                ask(&|request| embedded.scan(request)),
                ask(&|request| plain.scan(request))
            );
        }
    }

    /// The steps that SQLite takes for what the database does for a page, as it was bounded.
    fn steps(embedded: &Embedded, segment: u32) -> i32 {
        let beside = embedded.beside.lock().unwrap();
        let mut request = ScanRequest {
            table_name: "grown".into(),
            segment: Some(segment),
            total_segments: Some(64),
            ..Default::default()
        };
        let reach = Reach::of(&request, &embedded.database, &beside).unwrap();
        reach.bound(&mut request);
        let AttributeValue::N(id) = &request.exclusive_start_key.unwrap()["id"] else {
            panic!("the key has a number");
        };
        let id = AttributeValue::N(id.clone());
        // The words of the database for the first page of a segment, behind the key before it.
        let select = format!(
            "SELECT pk, sk, item_json FROM \"grown\" WHERE (hash_prefix, pk, sk) > (?3, ?1, ?2) \
             AND substr(hash_prefix, 1, 3) >= ?4 AND substr(hash_prefix, 1, 3) <= ?5 \
             ORDER BY hash_prefix ASC, pk ASC, sk ASC LIMIT {}",
            request.limit.unwrap()
        );
        let mut select = beside.prepare(&select).unwrap();
        let values = [
            id.to_key_string().unwrap(),
            String::new(),
            dynoxide::storage::compute_hash_prefix(&id),
            format!("{:03x}", segment * 64),
            format!("{:03x}", segment * 64 + 63),
        ];
        let mut rows = select.query(values).unwrap();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        select.get_status(StatementStatus::VmStep)
    }

    /// A page costs what it holds: ten times the items are ten times the steps, in the middle of a table and at its end, in
    /// memory and in a file that was made without the index.
    #[test]
    fn a_segment_costs_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("earlier.db");
        let name = file.to_str().unwrap();
        let items = |from: u64, to: u64| (from..to).map(|i| item(i * 3, 10)).collect::<Vec<_>>();
        {
            let earlier = Database::new(name).unwrap();
            earlier.create_table(table("grown", false)).unwrap();
            import(&earlier, "grown", items(0, 2_000));
        }
        for place in [None, Some(file.as_path())] {
            let embedded = Embedded::open(place).unwrap();
            if place.is_none() {
                embedded.create_table(table("grown", false)).unwrap();
                embedded.call(|database| import(database, "grown", items(0, 2_000)));
            }
            let all = |embedded: &Embedded| [1, 31, 62].map(|segment| steps(embedded, segment));
            let few: i32 = all(&embedded).iter().sum();
            embedded.call(|database| import(database, "grown", items(2_000, 20_000)));
            let many: i32 = all(&embedded).iter().sum();
            assert!(few > 300 && many < 15 * few, "{few} and {many} steps");
            // About 300 items are in each: a walk through the table would take 20,000 times as many.
            assert!(many < 60 * 1_000, "{many} steps");
        }
    }
}
