//! The table of a simulation: the model behind the engine's ports, in virtual time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backfill_core::change::partiql::BATCH_SIZE;
use backfill_core::change::{Seen, SharedChange};
use backfill_core::ports::{
    Batch, LackingPage, Look, LookBy, Outcome, Page, PageRequest, ReadAccess, TableReader,
    TableWriter, Write, WriteAccess,
};
use backfill_core::request::WriterKind;
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use tokio::time::{Instant, sleep};

use crate::model::{self, Limit, Second};
use crate::scenario::Scenario;

/// Handles that are cloned share one table.
#[derive(Clone)]
pub(crate) struct SimulatedTable(Arc<Mutex<State>>);

struct State {
    begin: Instant,
    table: model::Table,
}

fn key_of(index: u64) -> Key {
    Key(Item::from([("id".to_owned(), Value::N(index.to_string()))]))
}

fn index_of(key: &Key) -> Result<u64> {
    let index = match key.0.get("id") {
        Some(Value::N(index)) => index.parse().ok(),
        _ => None,
    };
    index.ok_or_else(|| Error::new(ErrorKind::Internal, format!("{key} is no simulated item")))
}

fn throttled(limit: Limit) -> Error {
    let message = match limit {
        Limit::Partition => "the partition throttles",
        Limit::Table => "the table throttles",
    };
    Error::new(ErrorKind::Throttled, message)
}

impl State {
    /// Seconds since the beginning.
    fn now(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// One guarded update of ours.
    fn update(&mut self, key: &Key) -> Result<Write> {
        let now = self.now();
        let updated = self.table.update(index_of(key)?, now).map_err(throttled)?;
        Ok(Write {
            outcome: match updated.was_pending {
                true => Outcome::Updated,
                false => Outcome::Raced,
            },
            consumed_wcu: updated.units,
        })
    }

    fn page(&mut self, request: PageRequest<'_>) -> Result<Page> {
        let page = model::PageOf {
            segment: request.segment,
            total_segments: request.total_segments,
            after: request.after.map(index_of).transpose()?,
            limit: request.limit,
            consistent: request.consistent,
        };
        let now = self.now();
        let read = self.table.page(page, now).map_err(throttled)?;
        Ok(Page {
            different: Vec::new(),
            passed_over: 0,
            pending: read
                .pending
                .into_iter()
                .map(key_of)
                .map(Seen::from)
                .collect(),
            scanned: read.scanned.end - read.scanned.start,
            next: read.goes_on.then(|| key_of(read.scanned.end - 1)),
            consumed_rcu: read.units,
        })
    }
}

impl SimulatedTable {
    pub(crate) fn new(scenario: Scenario) -> Self {
        SimulatedTable(Arc::new(Mutex::new(State {
            begin: Instant::now(),
            table: model::Table::new(scenario),
        })))
    }

    /// What has happened in the first seconds, so many.
    pub(crate) fn seconds(&self, first: usize) -> Vec<Second> {
        let state = self.lock();
        state.table.seconds().iter().take(first).cloned().collect()
    }

    /// Seconds from the first write unit to the last.
    pub(crate) fn write_seconds(&self) -> f64 {
        self.lock().table.write_seconds()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that a request takes: never the same.
    async fn latency(&self, statements: u32) {
        let time = self.lock().table.latency(statements);
        sleep(time).await;
    }
}

impl ReadAccess for SimulatedTable {
    type Reader = SimulatedTable;

    async fn describe(&self, _table: &str) -> Result<TableDescription> {
        let state = self.lock();
        let scenario = state.table.scenario();
        let items = match scenario.counted_bytes {
            Some(_) => scenario.items,
            None => 0,
        };
        Ok(TableDescription {
            status: "ACTIVE".into(),
            replicas: Vec::new(),
            is_strong_everywhere: false,
            identity: "simulated".into(),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::N),
                range: None,
            },
            item_count: items,
            size_bytes: items * scenario.counted_bytes.unwrap_or_default(),
            billing: backfill_core::table::Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            indexes: Vec::new(),
        })
    }

    /// The wall clock goes with the virtual time: how old something is decides as it would in AWS.
    fn now_ms(&self) -> u64 {
        const BEGIN_MS: u64 = 1_800_000_000_000;
        BEGIN_MS + (self.lock().now() * 1_000.0) as u64
    }

    fn reader(&self, _change: SharedChange) -> SimulatedTable {
        self.clone()
    }
}

impl WriteAccess for SimulatedTable {
    type Writer = SimulatedWriter;

    fn writer(&self, _change: SharedChange, kind: WriterKind) -> SimulatedWriter {
        SimulatedWriter {
            table: self.clone(),
            kind,
        }
    }
}

impl TableReader for SimulatedTable {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        self.latency(1 + request.limit / 50).await;
        self.lock().page(request)
    }

    /// No item that is not pending lacks anything here, and reading them costs what it costs.
    async fn lacking(&self, request: PageRequest<'_>) -> Result<LackingPage> {
        let page = self.page(request).await?;
        Ok(LackingPage {
            lacking: Vec::new(),
            scanned: page.scanned,
            next: page.next,
            consumed_rcu: page.consumed_rcu,
        })
    }
}

pub(crate) struct SimulatedWriter {
    table: SimulatedTable,
    kind: WriterKind,
}

impl TableWriter for SimulatedWriter {
    /// Both kinds of requests are one function here.
    fn distrust_batches(&self, _reason: &str) {}

    fn batch_size(&self) -> usize {
        match self.kind {
            WriterKind::Batch => BATCH_SIZE,
            WriterKind::UpdateItem => 1,
        }
    }

    async fn update_batch(&self, items: &[Seen]) -> Result<Batch> {
        if let [item] = items {
            let write = self.update(item).await?;
            return Ok(Batch {
                outcomes: vec![Ok(write.outcome)],
                sent: 1,
                consumed_wcu: write.consumed_wcu,
            });
        }
        self.table.latency(items.len() as u32).await;
        let mut state = self.table.lock();
        let mut batch = Batch {
            outcomes: Vec::with_capacity(items.len()),
            sent: items.len(),
            consumed_wcu: 0.0,
        };
        for item in items {
            batch
                .outcomes
                .push(state.update(&item.key.to_key()).map(|write| {
                    batch.consumed_wcu += write.consumed_wcu;
                    write.outcome
                }));
        }
        Ok(batch)
    }

    async fn update(&self, item: &Seen) -> Result<Write> {
        Ok(self.update_and_show(item).await?.0)
    }

    async fn update_and_show(&self, item: &Seen) -> Result<(Write, Option<Item>)> {
        self.table.latency(1).await;
        let mut state = self.table.lock();
        let key = item.key.to_key();
        let write = state.update(&key)?;
        let updated = write.outcome == Outcome::Updated;
        let shown = updated.then(|| state.table.scenario().item(&key));
        Ok((write, shown))
    }

    fn look_by(&self) -> LookBy {
        LookBy::Check
    }

    async fn look(&self, key: &Key, _by: LookBy) -> Result<Look> {
        self.table.latency(1).await;
        let mut state = self.table.lock();
        let now = state.now();
        let units = state.table.check(index_of(key)?, now).map_err(throttled)?;
        Ok(Look {
            item: None,
            consumed: Some(units),
        })
    }
}
