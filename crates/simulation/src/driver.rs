//! A scenario, driven from its plan to its proof.

use std::sync::{Arc, Mutex, PoisonError};

use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::runs::Round;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::{Chunk, LastPace, Worker};
use backfill_core::pace::Share;
use backfill_core::records::{Owner, RunStatus};
use backfill_core::request::RequestedSettings;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Snapshot, snapshot};
use backfill_core::{Error, ErrorKind, Request, Result, Spec, Value};
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::report::{Report, bound};
use crate::scenario::Scenario;
use crate::store::{Latency, MemoryStore};
use crate::table::SimulatedTable;

/// Longest time of a call to the checkpoint table.
const STORE_MS: u64 = 20;

/// How the run is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// One process, as `backfill run` does it.
    InProcess,
    /// A worker per segment, each with its share of the budget, as the state machine does it.
    Lambda,
    /// A worker per segment, but the segments in the order of their numbers: what a state machine must not do.
    LambdaInNaiveOrder,
}

/// Runs a scenario to its end with these settings, in virtual time (see [`crate::in_virtual_time`]).
///
/// An error if the engine refuses the settings, or if the run ends otherwise than `succeeded`.
pub async fn simulate(
    scenario: Scenario,
    settings: RequestedSettings,
    driver: Driver,
) -> Result<Report> {
    let set = [("migrated".to_owned(), Value::N("1".into()))].into();
    let mut spec = Spec::set_missing("simulated", set);
    if scenario.counts_lacking {
        spec.pending += " AND attribute_exists(payload)";
    }
    let request = Request { spec, settings };
    let transit = Latency::new(scenario.seed, STORE_MS);
    let meter = transit.meter.clone();
    let world = World {
        table: SimulatedTable::new(scenario.clone()),
        store: MemoryStore::new(transit),
        owner: Owner::from("the simulation"),
        idle: Mutex::default(),
    };
    let begin = Instant::now();
    let snapshot = world.run(&request, driver).await?;
    let sweep_seconds = begin.elapsed().as_secs_f64() - snapshot.run.verification_seconds;
    let settings = &snapshot.run.settings;
    let (bound_seconds, bound_by) = bound(&scenario, settings.max_wcu, settings.max_rcu);
    Ok(Report {
        used: snapshot.used(),
        summary: snapshot.summary(&Prices::default()),
        sweep_seconds,
        verification_seconds: snapshot.run.verification_seconds,
        write_seconds: world.table.write_seconds(),
        bound_seconds,
        bound_by,
        seconds: world.table.seconds(sweep_seconds.ceil() as usize),
        with_verification: world.table.seconds(usize::MAX),
        checkpoints: meter,
    })
}

/// What planner, workers and verifier of one run share.
struct World {
    table: SimulatedTable,
    store: MemoryStore<Latency>,
    owner: Owner,
    /// What processes of the function remember that wait for their next chunk.
    idle: Mutex<Vec<Arc<LastPace>>>,
}

impl World {
    fn worker(&self, share: Share) -> Worker<SimulatedTable, MemoryStore<Latency>> {
        Worker::new(self.table.clone(), self.store.clone(), share)
    }

    async fn run(&self, request: &Request, driver: Driver) -> Result<Snapshot> {
        let engine = Engine {
            planner: Planner::new(self.table.clone(), self.store.clone()),
            worker: self.worker(Share::Whole),
            verifier: Verifier::new(self.table.clone(), self.store.clone()),
        };
        let mut plan = engine.planner.begin(request, &self.owner).await?;
        if driver != Driver::InProcess {
            self.sweep(&plan, driver).await?;
            let runs = &engine.planner.runs;
            plan = runs.next(&plan.run_id, plan.pass, &self.owner).await?;
        }
        let stop = CancellationToken::new();
        let status = engine.drive(plan, &self.owner, &stop).await?;
        if status != RunStatus::Succeeded {
            let ending = format!("the simulated run has ended {status:?}");
            return Err(Error::new(ErrorKind::Internal, ending));
        }
        let snapshot = snapshot(&self.store, &request.run_id()).await?;
        snapshot.ok_or_else(|| Error::new(ErrorKind::Internal, "the simulated run has no record"))
    }

    /// Sweeps the segments of a plan with a worker for each.
    async fn sweep(&self, plan: &Round, driver: Driver) -> Result<()> {
        if let (true, Some(&first)) = (plan.trial, plan.segments.first()) {
            self.chunk(plan, first, true).await?;
        }
        let mut segments = plan.segments.clone();
        if driver == Driver::LambdaInNaiveOrder {
            segments.sort_unstable();
        }
        let mut children = stream::iter(segments)
            .map(async |segment| {
                while !self.chunk(plan, segment, false).await? {}
                Ok::<(), Error>(())
            })
            .buffer_unordered(plan.max_concurrency as usize);
        while let Some(child) = children.next().await {
            child?;
        }
        Ok(())
    }

    /// A chunk in a worker of its own, which is what a Lambda function is; true if the segment is done.
    ///
    /// Lambda reuses an execution environment if one is idle, and promises neither that nor which one (AWS Lambda Developer Guide,
    /// "Understanding the Lambda execution environment lifecycle"). So it is any of those that are idle, and none is ever ended: a
    /// child's next chunk comes within a second, and environments are kept for minutes.
    async fn chunk(&self, plan: &Round, segment: u32, trial: bool) -> Result<bool> {
        let chunk = Chunk {
            run_id: plan.run_id.clone(),
            pass: plan.pass,
            segment,
            owner: self.owner.clone(),
            trial,
        };
        let last = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            match idle.len() {
                0 => Arc::default(),
                idle_ones => idle.swap_remove(fastrand::usize(..idle_ones)),
            }
        };
        let worker = self.worker(Share::OfWorker).going_on_from(&last);
        let worked = worker.work(&chunk, None, &CancellationToken::new()).await;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(last);
        Ok(worked?.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_virtual_time;

    fn small(driver: Driver, settings: RequestedSettings) -> Result<Report> {
        let scenario = Scenario {
            items: 5_000,
            partitions: 2,
            live_wcu: 100.0,
            ..Scenario::default()
        };
        in_virtual_time(1, simulate(scenario, settings, driver))
    }

    /// A figure that nobody can repeat is worth nothing.
    #[test]
    fn the_same_scenario_has_the_same_figures() {
        for driver in [
            Driver::InProcess,
            Driver::Lambda,
            Driver::LambdaInNaiveOrder,
        ] {
            let [one, other] = [(); 2].map(|()| {
                let report = small(driver, RequestedSettings::default()).unwrap();
                assert_eq!(report.summary.updated, 5_000);
                format!("{:?}", report.seconds)
            });
            assert_eq!(one, other, "{driver:?}");
        }
    }

    /// Settings with which no run of the whole table ends are an error, and no panic.
    #[test]
    fn a_run_that_does_not_end_well_is_an_error() {
        let canary = RequestedSettings {
            only_segments: Some(vec![0]),
            total_segments: Some(2),
            ..RequestedSettings::default()
        };
        for driver in [Driver::InProcess, Driver::Lambda] {
            let error = small(driver, canary.clone()).unwrap_err();
            assert!(
                error.to_string().contains("Paused") || error.to_string().contains("is paused")
            );
        }
    }
}
