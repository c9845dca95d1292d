//! A simulation of a run in virtual time: the real planner, worker and verifier against a model of a large table with
//! partitions, their token buckets with burst, splitting for heat, latencies, throttling and live traffic.
//!
//! What is modelled, and from where: a partition takes 1,000 write and 3,000 read units a second (developer guide,
//! Partitions and data distribution); a table has a limit of its own (Quotas: 40,000 of each by default); unused
//! capacity is kept for up to 300 s (Burst capacity); a partition that is hot for long splits (AWS says only that it
//! does; after how long is an assumption of the model). Segments are contiguous ranges of the hash space, as are
//! partitions (observed by others, see ARCHITECTURE.md). Items differ in nothing but their place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backfill_core::change::partiql::BATCH_SIZE;
use backfill_core::change::{Seen, SharedChange};
use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::runs::Round;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::{Chunk, Worker};
use backfill_core::pace::Share;
use backfill_core::ports::{
    Batch, Outcome, Page, PageRequest, ReadAccess, TableReader, TableWriter, Write, WriteAccess,
};
use backfill_core::records::{Owner, RunStatus};
use backfill_core::request::RequestedSettings;
use backfill_core::request::WriterKind;
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::view::cost::{Prices, Use};
use backfill_core::view::progress::{Summary, snapshot};
use backfill_core::{Error, ErrorKind, Item, Key, Request, Result, Spec, Value};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{Faults, ModelStore};

/// Bytes of one Scan response, at most.
const PAGE_BYTES: u64 = 1_000_000;

/// The table and the traffic on it.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub items: u64,
    /// Bytes of an item.
    pub item_bytes: u64,
    /// Part of the items that is pending, 0 to 1.
    pub pending: f64,
    /// Indexes that an update writes to as well.
    pub indexes: u32,
    /// Partitions at the start.
    pub partitions: u32,
    /// Units per second that one partition takes.
    pub partition_wcu: f64,
    pub partition_rcu: f64,
    /// Units per second that the table takes.
    pub table_wcu: f64,
    pub table_rcu: f64,
    /// Seconds of unused capacity that a partition saves up, and has saved up at the start.
    pub burst_seconds: f64,
    /// A partition that has throttled in every second for so long splits in two.
    pub split_after: Option<Duration>,
    /// Write units per second of live traffic, evenly over the hash space.
    pub live_wcu: f64,
    /// Items of these that lie under one partition key, in the middle of the hash space.
    pub collection: u64,
    /// Time that a request takes, and that each further statement of a batch adds.
    pub latency: Duration,
    pub statement_latency: Duration,
    pub seed: u64,
}

impl Default for Scenario {
    /// Items of 300 B on one idle partition.
    fn default() -> Self {
        Scenario {
            items: 100_000,
            item_bytes: 300,
            pending: 1.0,
            indexes: 0,
            partitions: 1,
            partition_wcu: 1_000.0,
            partition_rcu: 3_000.0,
            table_wcu: 40_000.0,
            table_rcu: 40_000.0,
            burst_seconds: 0.0,
            split_after: None,
            live_wcu: 0.0,
            collection: 0,
            latency: Duration::from_millis(5),
            statement_latency: Duration::from_micros(400),
            seed: 1,
        }
    }
}

/// How the run is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// As `backfill run` does.
    InProcess,
    /// As the state machine does: a worker per segment, each with its share of the budget.
    Lambda,
    /// The same, but with the segments in the order of their numbers.
    LambdaInNaiveOrder,
}

/// One second of a run.
#[derive(Debug, Clone, Default)]
pub struct Second {
    /// Units that the backfill consumed.
    pub wcu: f64,
    pub rcu: f64,
    /// Requests and statements of the backfill that were throttled.
    pub throttles: u64,
    /// Live writes that were accepted, and throttled.
    pub live: u64,
    pub live_throttled: u64,
    /// Write units of the backfill on each partition, by its number at the start.
    pub by_partition: Vec<f64>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    pub summary: Summary,
    /// What was used, for a bill.
    pub used: Use,
    /// Seconds until every segment was swept, without the verification.
    pub sweep_seconds: f64,
    /// The shortest time in which the table and the budget let that many units pass: the larger of all units over the
    /// rate and the hottest partition's over its own. Burst, splitting and live traffic left aside.
    pub bound_seconds: f64,
    /// What that is.
    pub bound_by: &'static str,
    pub seconds: Vec<Second>,
}

/// Units that come in at a rate and can be saved up.
#[derive(Debug, Clone)]
struct Tokens {
    rate: f64,
    level: f64,
    most: f64,
    at: f64,
}

impl Tokens {
    /// With what a second brings, and what the burst allows, saved up.
    fn new(rate: f64, burst_seconds: f64) -> Self {
        let most = rate * burst_seconds.max(1.0);
        let level = if burst_seconds > 0.0 { most } else { 0.0 };
        Tokens {
            rate,
            level,
            most,
            at: 0.0,
        }
    }

    fn refill(&mut self, now: f64) {
        self.level = (self.level + (now - self.at).max(0.0) * self.rate).min(self.most);
        self.at = self.at.max(now);
    }

    /// A request passes while anything is there, and may go into debt by what it costs.
    fn has_any(&mut self, now: f64) -> bool {
        self.refill(now);
        self.level > 0.0
    }
}

#[derive(Debug, Clone)]
struct Partition {
    /// Where it begins in the hash space, 0 to 1.
    begin: f64,
    width: f64,
    writes: Tokens,
    reads: Tokens,
    /// Since when it has throttled in every second, and when last.
    hot: Option<(f64, f64)>,
    /// The partition of the start that it comes from.
    origin: usize,
}

struct State {
    scenario: Scenario,
    random: fastrand::Rng,
    begin: Instant,
    pending: Vec<u64>,
    partitions: Vec<Partition>,
    table_writes: Tokens,
    table_reads: Tokens,
    /// When the next live write comes.
    next_live: f64,
    seconds: Vec<Second>,
}

/// The model table.
#[derive(Clone)]
struct SimulatedTable(Arc<Mutex<State>>);

fn key_of(index: u64) -> Key {
    Key(Item::from([("id".to_owned(), Value::N(index.to_string()))]))
}

fn index_of(key: &Key) -> u64 {
    match key.0.get("id") {
        Some(Value::N(index)) => index.parse().expect("our own key"),
        _ => unreachable!("our own key"),
    }
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
        let width = 1.0 / f64::from(scenario.partitions);
        let partitions = (0..scenario.partitions as usize)
            .map(|n| Partition {
                begin: n as f64 * width,
                width,
                writes: Tokens::new(scenario.partition_wcu, scenario.burst_seconds),
                reads: Tokens::new(scenario.partition_rcu, scenario.burst_seconds),
                hot: None,
                origin: n,
            })
            .collect();
        State {
            random,
            begin: Instant::now(),
            pending,
            partitions,
            table_writes: Tokens::new(scenario.table_wcu, 0.0),
            table_reads: Tokens::new(scenario.table_rcu, 0.0),
            next_live: 0.0,
            seconds: Vec::new(),
            scenario,
        }
    }

    fn now(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    fn second(&mut self, at: f64) -> &mut Second {
        let second = at as usize;
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Second::default);
        }
        &mut self.seconds[second]
    }

    /// Items that do not lie under the one large key.
    fn others(&self) -> u64 {
        self.scenario.items - self.scenario.collection
    }

    /// Where an item lies in the hash space, 0 to 1. Of those under the one large key, all at the same place.
    fn position(&self, index: u64) -> f64 {
        let before = self.others() / 2;
        let rank = if index < before {
            index
        } else {
            before.max(index.saturating_sub(self.scenario.collection))
        };
        rank as f64 / self.others().max(1) as f64
    }

    /// The first item at or behind a place in the hash space.
    fn first_from(&self, position: f64) -> u64 {
        let rank = (position * self.others() as f64).ceil() as u64;
        let before = self.others() / 2;
        if rank <= before {
            rank
        } else {
            rank + self.scenario.collection
        }
    }

    fn partition(&self, position: f64) -> usize {
        self.partitions
            .partition_point(|partition| partition.begin <= position)
            .max(1)
            - 1
    }

    fn write_units(&self) -> f64 {
        self.scenario.item_bytes.div_ceil(1024) as f64 * f64::from(1 + self.scenario.indexes)
    }

    /// Lets the live writes happen that came before now, in their order, each somewhere in the hash space.
    fn live(&mut self, now: f64) {
        let rate = self.scenario.live_wcu;
        while rate > 0.0 && self.next_live <= now {
            let at = self.next_live;
            let place = self.random.f64();
            let n = self.partition(place);
            let accepted = self.take_write(n, 1.0, at);
            let second = self.second(at);
            if accepted {
                second.live += 1;
            } else {
                second.live_throttled += 1;
            }
            self.next_live = at - (1.0 - self.random.f64()).ln() / rate;
        }
    }

    /// Units from a partition and from the table, if both have any.
    fn take_write(&mut self, n: usize, units: f64, now: f64) -> bool {
        let partition = &mut self.partitions[n];
        if !partition.writes.has_any(now) {
            partition.hot = match partition.hot {
                Some((since, last)) if now - last <= 5.0 => Some((since, now)),
                _ => Some((now, now)),
            };
            return false;
        }
        if !self.table_writes.has_any(now) {
            return false;
        }
        self.partitions[n].writes.level -= units;
        self.table_writes.level -= units;
        true
    }

    /// A partition that has been hot for long becomes two.
    fn split(&mut self, n: usize, now: f64) {
        let (Some(after), Some((since, _))) = (self.scenario.split_after, self.partitions[n].hot)
        else {
            return;
        };
        if now - since < after.as_secs_f64() {
            return;
        }
        let old = &mut self.partitions[n];
        old.width /= 2.0;
        old.hot = None;
        let mut new = old.clone();
        new.begin += new.width;
        self.partitions.insert(n + 1, new);
    }

    /// One guarded update of ours.
    fn update(&mut self, key: &Key) -> Result<Outcome> {
        let index = index_of(key);
        let now = self.now();
        let n = self.partition(self.position(index));
        self.live(now);
        let (word, bit) = (index as usize / 64, index % 64);
        let is_pending = self.pending[word] >> bit & 1 == 1;
        let units = if is_pending { self.write_units() } else { 1.0 };
        if !self.take_write(n, units, now) {
            self.second(now).throttles += 1;
            self.split(n, now);
            return Err(Error::new(ErrorKind::Throttled, "the partition throttles"));
        }
        let origin = self.partitions[n].origin;
        let partitions = self.scenario.partitions as usize;
        let second = self.second(now);
        second.wcu += units;
        second.by_partition.resize(partitions, 0.0);
        second.by_partition[origin] += units;
        if !is_pending {
            return Ok(Outcome::Raced);
        }
        self.pending[word] &= !(1 << bit);
        Ok(Outcome::Updated)
    }

    fn page(&mut self, request: PageRequest<'_>) -> Result<Page> {
        let now = self.now();
        self.live(now);
        let total = f64::from(request.total_segments);
        let end = match request.segment + 1 == request.total_segments {
            true => self.scenario.items,
            false => self.first_from(f64::from(request.segment + 1) / total),
        };
        let begin = match request.after {
            Some(key) => index_of(key) + 1,
            None => self.first_from(f64::from(request.segment) / total),
        };
        let most = u64::from(request.limit).min(PAGE_BYTES / self.scenario.item_bytes);
        let stop = (begin + most).min(end);
        let scanned = stop.saturating_sub(begin);
        let n = self.partition(self.position(begin.min(self.scenario.items - 1)));
        let partition_reads = self.partitions[n].reads.has_any(now);
        if !partition_reads || !self.table_reads.has_any(now) {
            self.second(now).throttles += 1;
            return Err(Error::new(ErrorKind::Throttled, "the partition throttles"));
        }
        let blocks = (scanned * self.scenario.item_bytes).div_ceil(4096).max(1) as f64;
        let units = if request.consistent {
            blocks
        } else {
            blocks / 2.0
        };
        self.partitions[n].reads.level -= units;
        self.table_reads.level -= units;
        self.second(now).rcu += units;
        let is_pending = |index: &u64| self.pending[*index as usize / 64] >> (index % 64) & 1 == 1;
        Ok(Page {
            pending: (begin..stop)
                .filter(is_pending)
                .map(key_of)
                .map(Seen::from)
                .collect(),
            scanned,
            next: (stop < end).then(|| key_of(stop - 1)),
            consumed_rcu: units,
        })
    }
}

impl SimulatedTable {
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
        Ok(TableDescription {
            status: "ACTIVE".into(),
            identity: "simulated".into(),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::N),
                range: None,
            },
            item_count: state.scenario.items,
            size_bytes: state.scenario.items * state.scenario.item_bytes,
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
}

struct SimulatedWriter {
    table: SimulatedTable,
    kind: WriterKind,
}

impl TableWriter for SimulatedWriter {
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
        let units = state.write_units();
        let outcomes: Vec<_> = items.iter().map(|item| state.update(&item.key)).collect();
        let consumed = outcomes.iter().map(|outcome| match outcome {
            Ok(Outcome::Updated) => units,
            Ok(_) => 1.0,
            Err(_) => 0.0,
        });
        Ok(Batch {
            consumed_wcu: consumed.sum(),
            outcomes,
        })
    }

    async fn update(&self, item: &Seen) -> Result<Write> {
        Ok(self.update_and_show(item).await?.0)
    }

    async fn update_and_show(&self, item: &Seen) -> Result<(Write, Option<Item>)> {
        self.table.latency(1).await;
        let mut state = self.table.lock();
        let outcome = state.update(&item.key)?;
        let updated = outcome == Outcome::Updated;
        let write = Write {
            consumed_wcu: if updated { state.write_units() } else { 1.0 },
            outcome,
        };
        Ok((write, updated.then(Item::new)))
    }

    async fn pending_item(&self, _key: &Key) -> Result<Option<Item>> {
        self.table.latency(1).await;
        Ok(None)
    }
}

/// Runs a scenario to its end with these settings. To be called in paused time
/// (`tokio::runtime::Builder::start_paused`).
pub async fn simulate(
    scenario: Scenario,
    settings: RequestedSettings,
    driver: Driver,
) -> Result<Report> {
    let table = SimulatedTable(Arc::new(Mutex::new(State::new(scenario.clone()))));
    let store = ModelStore::new(Faults::none(scenario.seed));
    let set = [("migrated".to_owned(), Value::N("1".into()))].into();
    let request = Request {
        spec: Spec::set_missing("simulated", set),
        settings,
    };
    let planner = || Planner::new(table.clone(), store.clone());
    let verifier = || Verifier::new(table.clone(), store.clone());
    let worker = |share| Worker::new(table.clone(), store.clone(), share);
    let stop = CancellationToken::new();
    let owner = &Owner::from("the simulation");
    let begin = Instant::now();
    let mut plan = planner().plan(&request, owner).await?;
    let engine = Engine {
        planner: planner(),
        worker: worker(Share::Whole),
        verifier: verifier(),
    };
    if driver != Driver::InProcess {
        if plan.trial {
            chunk(
                &worker(Share::OfWorker),
                &plan,
                plan.segments[0],
                true,
                owner,
            )
            .await?;
        }
        if driver == Driver::LambdaInNaiveOrder {
            plan.segments.sort_unstable();
        }
        let mut children = stream::iter(plan.segments.clone())
            .map(|segment| {
                let plan = &plan;
                let worker = &worker;
                async move {
                    while !chunk(&worker(Share::OfWorker), plan, segment, false, owner).await? {}
                    Ok::<(), Error>(())
                }
            })
            .buffer_unordered(plan.max_concurrency as usize);
        while let Some(child) = children.next().await {
            child?;
        }
        drop(children);
        plan = planner().runs.next(&plan.run_id, plan.pass, owner).await?;
    }
    let status = engine.drive(plan, owner, &stop).await?;
    assert_eq!(status, RunStatus::Succeeded);
    let snapshot = snapshot(&store, &request.run_id()).await?;
    let snapshot = snapshot.expect("the run has a record");
    let state = table.lock();
    let sweep_seconds = begin.elapsed().as_secs_f64() - snapshot.run.verification_seconds;
    let mut seconds = state.seconds.clone();
    seconds.truncate(sweep_seconds.ceil() as usize);
    let settings = &snapshot.run.settings;
    let (bound_seconds, bound_by) = bound(&scenario, settings.max_wcu, settings.max_rcu);
    Ok(Report {
        used: snapshot.used(),
        summary: snapshot.summary(&Prices::default()),
        sweep_seconds,
        bound_seconds,
        bound_by,
        seconds,
    })
}

/// Live writes that the same table accepts and throttles in this time while nothing else is going on.
pub async fn without_backfill(scenario: Scenario, time: Duration) -> (u64, u64) {
    let mut state = State::new(scenario);
    state.live(time.as_secs_f64());
    let sum = |of: fn(&Second) -> u64| state.seconds.iter().map(of).sum();
    (
        sum(|second| second.live),
        sum(|second| second.live_throttled),
    )
}

/// A chunk in a worker of its own, as a Lambda function is; true where the segment is done.
async fn chunk(
    worker: &Worker<SimulatedTable, ModelStore>,
    plan: &Round,
    segment: u32,
    trial: bool,
    owner: &Owner,
) -> Result<bool> {
    let chunk = Chunk {
        run_id: plan.run_id.clone(),
        pass: plan.pass,
        segment,
        owner: owner.clone(),
        trial,
    };
    let report = worker.work(&chunk, None, &CancellationToken::new()).await?;
    Ok(report.done)
}

fn bound(scenario: &Scenario, max_wcu: Option<u32>, max_rcu: Option<u32>) -> (f64, &'static str) {
    let items = scenario.items as f64;
    let per_write = scenario.item_bytes.div_ceil(1024) as f64 * f64::from(1 + scenario.indexes);
    let writes = items * scenario.pending * per_write;
    let reads = items * scenario.item_bytes as f64 / 8192.0;
    let others = (scenario.items - scenario.collection) as f64;
    let hottest = (others / f64::from(scenario.partitions) + scenario.collection as f64)
        * scenario.pending
        * per_write;
    let rate = |table: f64, budget: Option<u32>| budget.map_or(table, |b| table.min(f64::from(b)));
    let bounds = [
        (writes / rate(scenario.table_wcu, max_wcu), "write units"),
        (reads / rate(scenario.table_rcu, max_rcu), "read units"),
        (hottest / scenario.partition_wcu, "the hottest partition"),
    ];
    bounds
        .into_iter()
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("three")
}
