//! The world that the tests of the promises share: the real planner, worker and verifier over a model table and store.

use std::sync::atomic::{AtomicU32, Ordering};

use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::rejected::Retried;
use backfill_core::engine::runs::Round;
use backfill_core::engine::steering::RateChange;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::{Chunk, Worker};
use backfill_core::pace::Share;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{Counters, Owner, Rejected, RunRecord, RunStatus};
use backfill_core::view::progress::{snapshot, totals};
use backfill_core::{Key, Request, Value};
use backfill_testkit::{Faults, ModelStore, ModelTable, StoreTransit};
use tokio_util::sync::CancellationToken;

/// A table, the records, and a request.
pub struct World {
    pub faults: Faults,
    pub table: ModelTable,
    pub store: ModelStore,
    pub request: Request,
    /// Runs so far.
    pub runs: AtomicU32,
}

impl World {
    pub fn new(faults: Faults, items: u64, settings: &str) -> World {
        let table = ModelTable::new(faults.clone(), items);
        let store = ModelStore::new(StoreTransit::with_witness(faults.clone(), &table));
        World::with(faults, table, store, settings)
    }

    /// Live writers may put pending items behind a cursor, so nothing watches the checkpoints.
    pub fn with_live_writers(faults: Faults, items: u64, settings: &str) -> World {
        let table = ModelTable::new(faults.clone(), items);
        let store = ModelStore::new(faults.clone());
        World::with(faults, table, store, settings)
    }

    /// A change whose predicate leaves out items that lack `extra`, which it sets: those that have a value for `test`, two of ten.
    pub fn with_items_left_out(faults: Faults, items: u64, settings: &str) -> World {
        let mut world = World::new(faults, items, settings);
        let json = format!(
            r##"{{"table":"stuff","pending":"attribute_not_exists(#test)","update":"SET #test = :test, #extra = :extra",
                "names":{{"#test":"test","#extra":"extra"}},"values":{{":test":1,":extra":2}}{settings}}}"##
        );
        world.request = Request::from_json(&json).unwrap();
        world
    }

    fn with(faults: Faults, table: ModelTable, store: ModelStore, settings: &str) -> World {
        let json = format!(r#"{{"table":"stuff","set":{{"test":1}}{settings}}}"#);
        World::of(faults, table, store, Request::from_json(&json).unwrap())
    }

    pub fn of(faults: Faults, table: ModelTable, store: ModelStore, request: Request) -> World {
        World {
            faults,
            table,
            store,
            request,
            runs: AtomicU32::new(0),
        }
    }

    /// Starts or resumes the run of the request on behalf of `owner`, which must succeed.
    pub async fn begin(&self, owner: &str) -> Round {
        let planned = self.planner().begin(&self.request, &owner.into()).await;
        planned.unwrap_or_else(|error| panic!("{owner} cannot plan: {}", error.report()))
    }

    pub fn planner(&self) -> Planner<ModelTable, ModelStore> {
        Planner::new(self.table.clone(), self.store.clone())
    }

    pub fn worker(&self) -> Worker<ModelTable, ModelStore> {
        Worker::new(self.table.clone(), self.store.clone(), Share::OfWorker)
    }

    pub fn verifier(&self) -> Verifier<ModelTable, ModelStore> {
        Verifier::new(self.table.clone(), self.store.clone())
    }

    pub async fn run(&self) -> backfill_core::Result<RunStatus> {
        self.run_until(&CancellationToken::new()).await
    }

    pub async fn run_until(&self, stop: &CancellationToken) -> backfill_core::Result<RunStatus> {
        // Each is another process.
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        self.run_as(&format!("test {number}"), stop).await
    }

    /// Runs on behalf of this owner, who knows that whoever held the run before is dead.
    pub async fn run_as(
        &self,
        owner: &str,
        stop: &CancellationToken,
    ) -> backfill_core::Result<RunStatus> {
        let engine = Engine {
            planner: self.planner(),
            worker: self.worker(),
            verifier: self.verifier(),
        };
        let plan = engine
            .planner
            .begin(&taking_over(&self.request), &owner.into())
            .await?;
        engine.drive(plan, &owner.into(), stop).await
    }

    /// Tries the rejected items of the run again, if nobody holds it.
    pub async fn retry_rejected(&self) -> backfill_core::Result<Retried> {
        self.retry(None).await
    }

    /// Tries the rejected items of the run again, whose owner of this name is dead.
    pub async fn retry_rejected_from(&self, dead: &str) -> backfill_core::Result<Retried> {
        self.retry(Some(dead)).await
    }

    async fn retry(&self, dead: Option<&str>) -> backfill_core::Result<Retried> {
        let engine = Engine {
            planner: self.planner(),
            worker: Worker::new(self.table.clone(), self.store.clone(), Share::Whole),
            verifier: self.verifier(),
        };
        let (run_id, owner) = (self.request.run_id(), Owner::from("retry"));
        let never = CancellationToken::new();
        engine
            .retry_rejected(&run_id, &owner, RateChange::default(), dead, &never)
            .await
    }

    /// The run as it is recorded.
    pub async fn record(&self) -> RunRecord {
        let run = self.store.run(&self.request.run_id()).await;
        run.unwrap().expect("the run has begun")
    }

    /// The items that the model refuses in the current pass, under every shard.
    pub async fn rejected(&self, run: &RunRecord) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        for shard in 0..run.shards {
            let under = self.store.rejected(run, run.pass, shard).await;
            rejected.extend(under.unwrap());
        }
        rejected
    }

    pub async fn counters(&self) -> Counters {
        let snapshot = snapshot(&self.store, &self.request.run_id())
            .await
            .unwrap()
            .unwrap();
        totals(&snapshot.passes)
    }

    /// Nothing but the missing `test` has changed, and each item was changed once.
    pub fn assert_migrated(&self, before: &std::collections::BTreeMap<Key, backfill_core::Item>) {
        let mut expected = before.clone();
        for item in expected.values_mut() {
            item.entry("test".into())
                .or_insert_with(|| Value::N("1".into()));
        }
        assert_eq!(self.table.items(), expected);
        assert!(self.table.updates().values().all(|&count| count == 1));
    }
}

/// This request, made by somebody who knows that the former owner is dead.
pub fn taking_over(request: &Request) -> Request {
    let mut request = request.clone();
    request.settings.take_over = true;
    request
}

pub fn assert_accounted(counters: &Counters) {
    let Counters {
        matched,
        updated,
        raced,
        vanished,
        rejected,
        contended,
        ..
    } = *counters;
    assert_eq!(
        matched,
        updated + raced + vanished + rejected + contended,
        "{counters:?}"
    );
}

/// A chunk of a segment in the first pass of a run that `first` owns.
pub fn first_chunk(plan: &Round, segment: u32) -> Chunk {
    Chunk {
        run_id: plan.run_id.clone(),
        pass: 1,
        segment,
        owner: Owner::from("first"),
        trial: false,
    }
}

/// Runs a case in virtual time, always with the same random waits.
pub fn in_virtual_time<F: Future>(future: F) -> F::Output {
    backfill_testkit::in_virtual_time(1, future)
}
