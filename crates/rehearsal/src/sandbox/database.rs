//! The embedded database, with what it lacks for tables of millions of items: an index by which a segment is found, and scans
//! that read a page and no more.
//!
//! The database keeps each table in one of SQLite's, in the order of its keys, and a parallel scan goes through it in the
//! order of a hash that has no index: each page would read the whole table. So a second connection to the same SQLite
//! database makes one (`by_segment`). It also looks ahead how far a page reaches (`page`), since the database would read
//! beyond it: to the end of the table after the last item of a segment, and the whole rest of a table without a `Limit`.
//!
//! The database makes one call at a time, so scans are answered by more of them, each with connections of its own.

mod page;
mod rows;
mod stage;

use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use backfill_core::{Error, ErrorKind, Result};
use dynoxide::Database;
use dynoxide::actions::batch_execute_statement::{
    BatchExecuteStatementRequest, BatchExecuteStatementResponse,
};
use dynoxide::actions::create_table::{CreateTableRequest, CreateTableResponse};
use dynoxide::actions::scan::{ScanRequest, ScanResponse};
use rusqlite::Connection;

use self::page::Reach;
pub use self::rows::Row;
use self::stage::{Stage, Targets};

/// Prepared statements that are kept: two for each of some tables that are scanned.
const STATEMENTS: usize = 64;

/// Bytes of a page in memory. SQLite looks through the list of all pages after a write that has moved some, so that few and
/// large ones are better the more items there are.
const PAGE_IN_MEMORY: u32 = 16 * 1024;

/// The embedded database. Copies are the same database.
#[derive(Clone)]
pub struct Embedded {
    database: Database,
    shared: Arc<Shared>,
}

/// What all copies share.
struct Shared {
    /// That SQLite knows the database by.
    name: String,
    in_memory: bool,
    /// Who may be at it at the same time. In memory all connections share one cache, and one would find locked what another
    /// has begun to read or write, so that whatever may write is alone. In a file each reads what was written last, and
    /// only what changes a table is alone.
    gate: RwLock<()>,
    /// How many calls have changed a table.
    altered: AtomicU64,
    /// A second connection, for what the database does not do. Whoever may write to a file has it, since SQLite lets others
    /// wait by looking again and again.
    beside: Mutex<Connection>,
    /// Those that nobody reads with just now.
    readers: Mutex<Vec<Reader>>,
    /// Those where nobody makes a batch just now.
    stages: Mutex<Vec<Stage>>,
}

/// The same database once more, to read with: the database makes one call at a time, and most of a scan is no work of SQLite.
struct Reader {
    database: Database,
    beside: Connection,
}

impl Embedded {
    /// Opens the database in this file, or an empty one in memory.
    ///
    /// Errors: `InvalidInput` for a file that cannot be used.
    pub fn open(file: Option<&Path>) -> Result<Embedded> {
        match file {
            None => Embedded::named(in_memory(), true).map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot open the database").with_source(error)
            }),
            Some(path) => {
                let place = path.display();
                let name = path
                    .to_str()
                    .ok_or_else(|| Error::invalid("file", format!("{place} is not UTF-8 text")))?;
                Embedded::named(name.to_owned(), false).map_err(|error| {
                    Error::invalid("file", format!("cannot open {place}: {error}"))
                })
            }
        }
    }

    /// Opens the database of this name for SQLite. Tables of a file that an earlier version made get the index now.
    fn named(name: String, in_memory: bool) -> dynoxide::Result<Embedded> {
        let beside = connect(&name)?;
        if in_memory {
            // The first one to open it says so.
            beside.pragma_update(None, "page_size", PAGE_IN_MEMORY)?;
        }
        let database = Database::new(&name)?;
        // This is the one way to say that a write is done when the operating system has it, and not the disk: what a process
        // has written stays if it dies. A power cut may cost the file, and a rehearsal can be repeated. To wait for the disk
        // was a third of the time.
        database.enable_bulk_loading()?;
        for table in database.table_stats()? {
            by_segment(&beside, &table.table_name)?;
        }
        let shared = Shared {
            name,
            in_memory,
            gate: RwLock::default(),
            altered: AtomicU64::default(),
            beside: Mutex::new(beside),
            readers: Mutex::default(),
            stages: Mutex::default(),
        };
        Ok(Embedded {
            database,
            shared: Arc::new(shared),
        })
    }

    /// Makes a call of the database that changes no table, but perhaps items.
    pub fn call<T>(&self, call: impl FnOnce(&Database) -> T) -> T {
        self.shared.write(|_| call(&self.database))
    }

    /// Makes a call of the database that changes a table.
    pub fn alter<T>(&self, call: impl FnOnce(&Database) -> T) -> T {
        let _alone = self.shared.alone();
        let result = call(&self.database);
        // They remember what tables were like.
        lock(&self.shared.readers).clear();
        lock(&self.shared.stages).clear();
        self.shared.altered.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Creates a table, and the index of its segments.
    pub fn create_table(
        &self,
        request: CreateTableRequest,
    ) -> dynoxide::Result<CreateTableResponse> {
        self.alter(|database| {
            let table = request.table_name.clone();
            let created = database.create_table(request)?;
            by_segment(&lock(&self.shared.beside), &table)?;
            Ok(created)
        })
    }

    /// Creates a table with these items, given in the order of their keys. The index is made behind them, from all at once.
    pub fn create_filled(
        &self,
        request: CreateTableRequest,
        batches: impl Iterator<Item = Vec<dynoxide::Result<Row>>>,
    ) -> dynoxide::Result<()> {
        self.alter(|database| {
            let table = request.table_name.clone();
            database.create_table(request)?;
            let mut beside = lock(&self.shared.beside);
            for batch in batches {
                let batch: Vec<Row> = batch.into_iter().collect::<dynoxide::Result<_>>()?;
                rows::put(&mut beside, &table, &batch)?;
            }
            Ok(by_segment(&beside, &table)?)
        })
    }

    /// Up to so many items as they are stored, behind this key as it is stored and before that partition key.
    pub fn rows(
        &self,
        table: &str,
        after: &rows::Key,
        before: Option<&str>,
        limit: usize,
    ) -> dynoxide::Result<Vec<(rows::Key, String)>> {
        let rows = |reader: &Reader| rows::between(&reader.beside, table, after, before, limit);
        Ok(self.shared.read(rows)??)
    }

    /// Answers a scan as the database does, in time that grows with the page and not with the table, and beside other scans.
    pub fn scan(&self, mut request: ScanRequest) -> dynoxide::Result<ScanResponse> {
        let page = self.shared.read(|Reader { database, beside }| {
            let reach = Reach::of(&request, database, beside)?;
            reach.bound(&mut request);
            let page = database.scan(mem::take(&mut request));
            Some(page.map(|mut page| {
                reach.end(&mut page);
                page
            }))
        })?;
        page.unwrap_or_else(|| self.call(|database| database.scan(request)))
    }
}

impl Embedded {
    /// Answers a batch of statements as the database does. Most batches of updates are made on a stage, and `again` reads the
    /// request once more for those that are not.
    pub fn batch_execute_statement(
        &self,
        request: BatchExecuteStatementRequest,
        again: impl FnOnce() -> dynoxide::Result<BatchExecuteStatementRequest>,
    ) -> dynoxide::Result<BatchExecuteStatementResponse> {
        match self.shared.on_stage(request) {
            Ok(Some(answer)) => Ok(answer),
            // What has failed there is said by the call itself, if it fails, too.
            Ok(None) | Err(_) => {
                let request = again()?;
                self.call(|database| database.batch_execute_statement(request))
            }
        }
    }
}

impl Shared {
    /// Waits until nobody else is at the database.
    fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        // What it protects holds at any moment, so that a call that has panicked has left nothing half done.
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody is alone at the database.
    fn open(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what may write items, with the connection beside.
    fn write<T>(&self, write: impl FnOnce(&mut Connection) -> T) -> T {
        let (_alone, _open);
        match self.in_memory {
            true => _alone = self.alone(),
            false => _open = self.open(),
        }
        write(&mut lock(&self.beside))
    }

    /// Makes a batch on a stage and writes what has become of its items; `None` if nothing has been written.
    fn on_stage(
        &self,
        request: BatchExecuteStatementRequest,
    ) -> dynoxide::Result<Option<BatchExecuteStatementResponse>> {
        let Some(targets) = Targets::of(&request) else {
            return Ok(None);
        };
        let table = targets.table.to_owned();
        let (stage, altered, items) = loop {
            let open = self.open();
            let altered = self.altered.load(Ordering::Relaxed);
            let idle = lock(&self.stages).pop();
            if let Some(mut stage) = idle {
                let items = stage.set(&targets, &request)?;
                break (stage, altered, items);
            }
            drop(open);
            // To open a connection may write.
            let _alone = self.alone();
            let stage = Stage::new(connect(&self.name)?)?;
            lock(&self.stages).push(stage);
        };
        let made = match items {
            Some(items) => stage.make(&table, items, request)?,
            None => None,
        };
        self.write(|beside| {
            // It remembers what tables were like.
            if self.altered.load(Ordering::Relaxed) != altered {
                return Ok(None);
            }
            lock(&self.stages).push(stage);
            match made {
                Some((answer, changes)) => {
                    let is_written = stage::write(beside, &table, &changes)?;
                    Ok(is_written.then_some(answer))
                }
                None => Ok(None),
            }
        })
    }

    /// Reads by a reader that nobody else reads with.
    fn read<T>(&self, read: impl FnOnce(&Reader) -> T) -> dynoxide::Result<T> {
        loop {
            let open = self.open();
            let idle = lock(&self.readers).pop();
            if let Some(reader) = idle {
                let result = read(&reader);
                lock(&self.readers).push(reader);
                return Ok(result);
            }
            drop(open);
            // To open one may write.
            let _alone = self.alone();
            let reader = Reader {
                database: Database::new(&self.name)?,
                beside: connect(&self.name)?,
            };
            lock(&self.readers).push(reader);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens another connection to the database of this name.
fn connect(name: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(name)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// The name of a database in memory that several connections of this process can open.
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
    use std::thread;

    use dynoxide::actions::put_item::PutItemRequest;
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

    /// Both places that a database may have.
    fn in_memory_and_in_a_file(try_it: impl Fn(Embedded)) {
        let folder = tempfile::tempdir().unwrap();
        try_it(Embedded::open(None).unwrap());
        try_it(Embedded::open(Some(&folder.path().join("sandbox.db"))).unwrap());
    }

    /// Scans beside each other and beside writes fail none of them, and find each item that is there all the time.
    #[test]
    fn scans_find_all_items_while_others_are_written() {
        in_memory_and_in_a_file(|embedded| {
            embedded.create_table(table("both", true)).unwrap();
            let all: Vec<Item> = (0..600).map(|i| item(i, 100)).collect();
            embedded.call(|database| import(database, "both", all.clone()));
            let written = AtomicU64::new(0);
            let scans = || {
                while written.load(Ordering::Relaxed) < all.len() as u64 {
                    for segment in [None, Some(0), Some(1), Some(2)] {
                        let request = ScanRequest {
                            table_name: "both".into(),
                            segment,
                            total_segments: segment.map(|_| 3),
                            limit: Some(70),
                            ..Default::default()
                        };
                        let found = pages(&request, |request| embedded.scan(request)).len();
                        assert!(segment.is_some() || found >= 600 / 70, "{found} pages");
                    }
                }
            };
            thread::scope(|scope| {
                let readers: Vec<_> = (0..3).map(|_| scope.spawn(scans)).collect();
                for item in &all {
                    let put = PutItemRequest {
                        table_name: "both".into(),
                        item: item.clone(),
                        ..Default::default()
                    };
                    embedded.call(|database| database.put_item(put)).unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
                readers
                    .into_iter()
                    .for_each(|reader| reader.join().unwrap());
            });
            let found = embedded.scan(ScanRequest {
                table_name: "both".into(),
                ..Default::default()
            });
            assert_eq!(found.unwrap().count, 600);
        });
    }

    /// What reads forgets what a table was like when it changes: dropped it is gone, and made anew it has other keys.
    #[test]
    fn scans_see_that_a_table_has_changed() {
        in_memory_and_in_a_file(|embedded| {
            let scan = || {
                embedded.scan(ScanRequest {
                    table_name: "stuff".into(),
                    limit: Some(1),
                    ..Default::default()
                })
            };
            let keys = |page: ScanResponse| page.last_evaluated_key.unwrap().len();
            let put = || {
                embedded.call(|database| import(database, "stuff", vec![item(0, 1), item(3, 1)]))
            };
            embedded.create_table(table("stuff", true)).unwrap();
            put();
            assert_eq!(keys(scan().unwrap()), 2);
            let request = serde_json::from_value(json!({"TableName": "stuff"})).unwrap();
            embedded
                .alter(|database| database.delete_table(request))
                .unwrap();
            let gone = scan().unwrap_err().to_json();
            assert!(gone.contains("ResourceNotFoundException"), "{gone}");
            embedded.create_table(table("stuff", false)).unwrap();
            put();
            assert_eq!(keys(scan().unwrap()), 1);
        });
    }

    /// What is put past the database is stored as the database stores it, to the last byte but the order of attributes.
    #[test]
    fn items_are_put_as_the_database_puts_them() {
        let mut sets = item(7, 50);
        let tags = ["b", "a"].map(str::to_owned).to_vec();
        sets.insert("tags".into(), AttributeValue::SS(tags));
        let sizes = ["10", "9", "-1"].map(str::to_owned).to_vec();
        sets.insert("sizes".into(), AttributeValue::NS(sizes));
        let all = [item(1, 10), item(2, 400), sets];
        let stored = |embedded: &Embedded| {
            let beside = lock(&embedded.shared.beside);
            let select = "SELECT pk, sk, item_json, item_size, cached_at, hash_prefix FROM both ORDER BY pk, sk";
            let mut select = beside.prepare(select).unwrap();
            let rows = select.query_map([], |row| {
                let json: String = row.get(2)?;
                let json: serde_json::Value = serde_json::from_str(&json).unwrap();
                let rest: (String, String, u64, Option<f64>, String) = (
                    row.get(0)?,
                    row.get(1)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                );
                Ok((json, rest))
            });
            rows.unwrap().collect::<rusqlite::Result<Vec<_>>>().unwrap()
        };
        let by_import = Embedded::open(None).unwrap();
        by_import.create_table(table("both", true)).unwrap();
        by_import.call(|database| import(database, "both", all.to_vec()));
        let past_it = Embedded::open(None).unwrap();
        let rows = all.map(|mut item| Row::of(&mut item, "id", Some("at")));
        past_it
            .create_filled(table("both", true), [rows.into()].into_iter())
            .unwrap();
        assert_eq!(stored(&past_it).len(), 3);
        assert_eq!(stored(&past_it), stored(&by_import));
    }

    /// The steps that SQLite takes for what the database does for a page, as it was bounded.
    fn steps(embedded: &Embedded, segment: u32) -> i32 {
        let beside = lock(&embedded.shared.beside);
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
