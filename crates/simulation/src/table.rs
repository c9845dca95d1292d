//! The table of a simulation behind the engine's ports. Segments are contiguous ranges of the hash space, and so are
//! partitions (observed by others; AWS does not say). Items differ in nothing but their place.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backfill_core::change::partiql::BATCH_SIZE;
use backfill_core::change::{Seen, SharedChange};
use backfill_core::ports::{
    Batch, LackingPage, Look, LookBy, Outcome, Page, PageRequest, ReadAccess, TableReader,
    TableWriter, Write, WriteAccess,
};
use backfill_core::request::WriterKind;
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::value::size::check_units;
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use tokio::time::{Instant, sleep};

use crate::capacity::Capacity;
use crate::report::{Second, Seconds};
use crate::scenario::Scenario;
use crate::traffic::LiveTraffic;

/// Bytes of one Scan response, at most.
const PAGE_BYTES: u64 = 1_000_000;

/// Handles that are cloned share one table.
#[derive(Clone)]
pub(crate) struct SimulatedTable(Arc<Mutex<State>>);

struct State {
    scenario: Scenario,
    random: fastrand::Rng,
    begin: Instant,
    /// A bit for each item that is pending.
    pending: Vec<u64>,
    capacity: Capacity,
    live: LiveTraffic,
    seconds: Seconds,
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

fn throttled() -> Error {
    Error::new(ErrorKind::Throttled, "the partition throttles")
}

impl State {
    fn new(scenario: Scenario) -> State {
        let mut random = fastrand::Rng::with_seed(scenario.seed);
        let words = scenario.items.div_ceil(64) as usize;
        let pending = (0..words)
            .map(|_| {
                if scenario.pending >= 1.0 {
                    return u64::MAX;
                }
                (0..64).fold(0, |word, bit| {
                    word | (u64::from(random.f64() < scenario.pending) << bit)
                })
            })
            .collect();
        State {
            random,
            begin: Instant::now(),
            pending,
            capacity: Capacity::new(&scenario),
            live: LiveTraffic::new(&scenario),
            seconds: Seconds::default(),
            scenario,
        }
    }

    /// Seconds since the beginning; the live writes until then have happened.
    fn now(&mut self) -> f64 {
        let now = self.begin.elapsed().as_secs_f64();
        self.live
            .catch_up(now, &mut self.capacity, &mut self.random, &mut self.seconds);
        now
    }

    fn is_pending(&self, index: u64) -> bool {
        self.pending[index as usize / 64] >> (index % 64) & 1 == 1
    }

    /// One guarded update of ours. A failed condition costs as much as writing the item that is there.
    fn update(&mut self, key: &Key) -> Result<Write> {
        let index = index_of(key)?;
        let now = self.now();
        let partition = self.capacity.partition_at(self.scenario.position(index));
        let is_pending = self.is_pending(index);
        let units = match is_pending {
            true => self.scenario.write_units(),
            false => self.scenario.item_units(),
        };
        self.take_write(partition, units, now)?;
        let outcome = match is_pending {
            true => Outcome::Updated,
            false => Outcome::Raced,
        };
        self.set(index);
        Ok(Write {
            outcome,
            consumed_wcu: units,
        })
    }

    /// One check of ours whether an item is pending. Returns what it cost.
    fn check(&mut self, key: &Key) -> Result<f64> {
        let index = index_of(key)?;
        let now = self.now();
        let partition = self.capacity.partition_at(self.scenario.position(index));
        let units = check_units(self.scenario.item_bytes);
        self.take_write(partition, units, now)?;
        Ok(units)
    }

    /// Takes write units for a request of ours.
    fn take_write(&mut self, partition: usize, units: f64, now: f64) -> Result<()> {
        if !self.capacity.take_write(partition, units, now) {
            self.seconds.at(now).throttles += 1;
            self.capacity.split(partition, now);
            return Err(throttled());
        }
        let origin = self.capacity.origin(partition);
        let second = self.seconds.at(now);
        second.wcu += units;
        second
            .by_partition
            .resize(self.scenario.partitions as usize, 0.0);
        second.by_partition[origin] += units;
        second.wcu_by_tenth[(now.fract() * 10.0) as usize] += units;
        Ok(())
    }

    /// The item is pending no longer.
    fn set(&mut self, index: u64) {
        self.pending[index as usize / 64] &= !(1 << (index % 64));
    }

    /// The items that a page evaluates: the first, the one behind the last, and the one behind the segment.
    fn range(&self, request: PageRequest<'_>) -> Result<(u64, u64, u64)> {
        let total = f64::from(request.total_segments);
        let end = match request.segment + 1 == request.total_segments {
            true => self.scenario.items,
            false => self
                .scenario
                .first_from(f64::from(request.segment + 1) / total),
        };
        let begin = match request.after {
            Some(key) => index_of(key)? + 1,
            None => self.scenario.first_from(f64::from(request.segment) / total),
        };
        let most = u64::from(request.limit).min(PAGE_BYTES / self.scenario.item_bytes);
        Ok((begin, (begin + most).min(end), end))
    }

    fn page(&mut self, request: PageRequest<'_>) -> Result<Page> {
        let now = self.now();
        let (begin, stop, end) = self.range(request)?;
        let scanned = stop.saturating_sub(begin);
        let place = self.scenario.position(begin.min(self.scenario.items - 1));
        let partition = self.capacity.partition_at(place);
        let blocks = (scanned * self.scenario.item_bytes).div_ceil(4096).max(1) as f64;
        let units = match request.consistent {
            true => blocks,
            false => blocks / 2.0,
        };
        if !self.capacity.take_read(partition, units, now) {
            self.seconds.at(now).throttles += 1;
            return Err(throttled());
        }
        let second = self.seconds.at(now);
        second.rcu += units;
        second.rcu_by_tenth[(now.fract() * 10.0) as usize] += units;
        if !request.consistent {
            let swept = &self.scenario.swept;
            swept.fetch_add(scanned, Ordering::Relaxed);
        }
        let pending = (begin..stop).filter(|&index| self.is_pending(index));
        let pending: Vec<u64> = pending.collect();
        if self.scenario.raced > 0.0 && !request.consistent {
            // Not the first of a segment, by which it tries the update: until that has passed, there are no batches.
            let trial = usize::from(request.after.is_none());
            for &index in pending.iter().skip(trial) {
                if self.random.f64() < self.scenario.raced {
                    self.set(index);
                }
            }
        }
        Ok(Page {
            pending: pending.into_iter().map(key_of).map(Seen::from).collect(),
            scanned,
            next: (stop < end).then(|| key_of(stop - 1)),
            consumed_rcu: units,
        })
    }
}

impl SimulatedTable {
    pub(crate) fn new(scenario: Scenario) -> Self {
        SimulatedTable(Arc::new(Mutex::new(State::new(scenario))))
    }

    /// What has happened in the first seconds, so many.
    pub(crate) fn seconds(&self, first: usize) -> Vec<Second> {
        let state = self.lock();
        state.seconds.all().iter().take(first).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that a request takes: never the same.
    async fn latency(&self, statements: u32) {
        let time = {
            let mut state = self.lock();
            let base = state.scenario.latency + state.scenario.statement_latency * (statements - 1);
            base.mul_f64(0.8 + 0.4 * state.random.f64())
        };
        sleep(time).await;
    }
}

impl ReadAccess for SimulatedTable {
    type Reader = SimulatedTable;

    async fn describe(&self, _table: &str) -> Result<TableDescription> {
        let state = self.lock();
        let items = match state.scenario.counted_bytes {
            Some(_) => state.scenario.items,
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
            size_bytes: items * state.scenario.counted_bytes.unwrap_or_default(),
            billing: backfill_core::table::Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            indexes: Vec::new(),
        })
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
                consumed_wcu: write.consumed_wcu,
            });
        }
        self.table.latency(items.len() as u32).await;
        let mut state = self.table.lock();
        let mut batch = Batch {
            outcomes: Vec::with_capacity(items.len()),
            consumed_wcu: 0.0,
        };
        for item in items {
            batch.outcomes.push(state.update(&item.key).map(|write| {
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
        let write = state.update(&item.key)?;
        let updated = write.outcome == Outcome::Updated;
        let shown = updated.then(|| state.scenario.item(&item.key));
        Ok((write, shown))
    }

    fn look_by(&self) -> LookBy {
        LookBy::Check
    }

    async fn look(&self, key: &Key, _by: LookBy) -> Result<Look> {
        self.table.latency(1).await;
        let mut state = self.table.lock();
        let units = state.check(key)?;
        Ok(Look {
            item: None,
            consumed: Some(units),
        })
    }
}
