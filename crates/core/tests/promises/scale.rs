//! Many small segments: what each of them costs beside its items.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backfill_core::Result;
use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::Worker;
use backfill_core::pace::Share;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{Counters, Cursor, RunRecord, RunStatus};
use backfill_core::view::progress::{snapshot, totals};
use backfill_simulation::{Line, MemoryStore};
use backfill_testkit::Faults;
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, in_virtual_time, taking_over};

/// Counts the calls for records.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU64>);

impl Line for Counted {
    async fn before(&self) -> Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Of a small segment of one process the records take a claim and a checkpoint, and little else: what its process knows it does not
/// ask again, and of many trials the last segments need none. Every segment is counted, and the history holds what the records do.
#[test]
fn a_small_segment_takes_a_claim_and_a_checkpoint() {
    const SEGMENTS: u32 = 2_000;
    in_virtual_time(async {
        let settings = format!(r#","total_segments":{SEGMENTS},"max_concurrency":8"#);
        let world = World::with_live_writers(Faults::none(1), 3 * u64::from(SEGMENTS), &settings);
        let (table, line) = (&world.table, Counted::default());
        let store = MemoryStore::<Counted>::new(line.clone());
        let engine = Engine {
            planner: Planner::new(table.clone(), store.clone()),
            worker: Worker::new(table.clone(), store.clone(), Share::Whole),
            verifier: Verifier::new(table.clone(), store.clone()),
        };
        let owner = "here".into();
        let round = engine.planner.begin(&world.request, &owner).await.unwrap();
        let driven = engine.drive(round, &owner, &CancellationToken::new()).await;
        assert_eq!(driven.unwrap(), RunStatus::Succeeded);
        let calls = line.0.load(Ordering::Relaxed);
        let run_id = world.request.run_id();
        let snapshot = snapshot(&store, &run_id).await.unwrap().unwrap();
        let counters = totals(&snapshot.passes);
        assert_accounted(&counters);
        // The model cuts pages at random, so that a segment may have several checkpoints.
        let others = calls - u64::from(SEGMENTS) - counters.checkpoints;
        let each = others as f64 / f64::from(SEGMENTS);
        assert!(each <= 0.3, "{each} other calls a segment");
        let run = &snapshot.run;
        let (mut exhausted, mut told, mut tried) = (0, 0, 0);
        for shard in 0..run.shards {
            exhausted += store.exhausted(run, shard).await.unwrap();
            let buckets = store.history(run, 1, shard).await.unwrap();
            told += buckets
                .iter()
                .map(|bucket| bucket.done.updated)
                .sum::<u64>();
            let segments = store.segments(run, 1, shard).await.unwrap();
            tried += segments.iter().filter(|s| s.trial_passed).count();
        }
        assert_eq!(exhausted, SEGMENTS);
        assert_eq!(told, counters.updated);
        assert!((1_000..1_010).contains(&tried), "{tried}");
    });
}

/// Totals of a pass by the records of all of its segments, and how many of these are exhausted.
async fn by_records(world: &World, run: &RunRecord, pass: u32) -> (Counters, u32) {
    let (mut counters, mut exhausted) = (Counters::default(), 0);
    for shard in 0..run.shards {
        let segments = loop {
            // Some calls fail.
            if let Ok(segments) = world.store.segments(run, pass, shard).await {
                break segments;
            }
        };
        for segment in segments {
            counters += segment.counters;
            exhausted += u32::from(segment.cursor == Cursor::Exhausted);
        }
    }
    (counters, exhausted)
}

/// The figures of a look at the run are those of all of its records, though it reads the sums.
async fn assert_summed(world: &World) {
    let looked = snapshot(&world.store, &world.request.run_id()).await;
    let looked = looked.unwrap().unwrap();
    for pass in &looked.passes {
        let (counters, exhausted) = by_records(world, &looked.run, pass.pass).await;
        let found = pass.counters;
        // Of what has a fraction the order of adding may show.
        let rounded = |counters: Counters| Counters {
            consumed_rcu: counters.consumed_rcu.round(),
            consumed_wcu: counters.consumed_wcu.round(),
            worked_seconds: counters.worked_seconds.round(),
            ..counters
        };
        assert_eq!(rounded(found), rounded(counters));
        assert_eq!(pass.segments_exhausted, exhausted);
    }
}

/// accounting, resume: whatever fails, and whenever the process dies, the sums of a large run hold what its records do, each segment
/// once; a run whose segments are taken in another order, or whose rejected items are tried again, is no exception.
#[test]
fn accounting_of_the_sums_of_a_large_run_that_dies_again_and_again() {
    for seed in 0..12 {
        in_virtual_time(async {
            let mut random = fastrand::Rng::with_seed(seed);
            let faults = Faults::random(seed, 0.05, 0.05);
            let settings = r#","total_segments":130,"max_concurrency":6,"max_passes":2"#;
            let mut world = World::new(faults, 200, settings);
            if seed % 3 == 0 {
                world.table.poison([3, 5]);
            }
            for death in 0..4 {
                let step = world.faults.steps() + random.u64(200..900);
                world.faults.crash_at(step);
                tokio::select! {
                    _ = world.run() => {}
                    () = world.faults.crashed() => {}
                }
                world.faults.restart();
                assert_summed(&world).await;
                if death == 2 && seed % 2 == 0 {
                    world.request.settings.max_concurrency = Some(9);
                }
            }
            world.faults.calm_down();
            let status = world.run().await.unwrap();
            assert_summed(&world).await;
            assert_accounted(&world.counters().await);
            let run = world.record().await;
            if seed % 3 == 0 {
                assert_eq!(status, RunStatus::Incomplete);
                assert!(run.blocks(run.pass).is_some());
                world.table.poison([]);
                assert_eq!(world.retry_rejected().await.unwrap().updated, 2);
                assert_summed(&world).await;
                assert_eq!(world.counters().await.rejected, 0);
            } else {
                assert_eq!(status, RunStatus::Succeeded);
            }
        });
    }
}

/// A run that a version has led that knows no sums has a record without them: whoever goes on with it reads all records, and its next
/// pass is summed up again.
#[test]
fn sums_that_another_version_has_not_kept_are_not_used() {
    in_virtual_time(async {
        let settings = r#","total_segments":100,"max_concurrency":4,"max_wcu":20"#;
        let world = World::new(Faults::none(1), 200, settings);
        let stop = CancellationToken::new();
        let (ended, ()) = tokio::join!(world.run_until(&stop), async {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            stop.cancel();
        });
        assert_eq!(ended.unwrap(), RunStatus::Paused);
        assert_summed(&world).await;
        let run = world.record().await;
        assert!(run.blocks(1).is_some());
        let without = RunRecord {
            sums: None,
            revision: run.revision + 1,
            ..run
        };
        backfill_core::ports::RunStore::save_run(&world.store, &without)
            .await
            .unwrap();
        let (planner, request) = (world.planner(), taking_over(&world.request));
        let begun = planner.begin(&request, &"b".into()).await.unwrap();
        let open = begun.segments.len() as u32;
        let (_, exhausted) = by_records(&world, &without, 1).await;
        assert!(
            exhausted > 0 && open == 100 - exhausted,
            "{exhausted}, {open}"
        );
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        assert_summed(&world).await;
        assert!(world.record().await.blocks(1).is_none());
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run = world.record().await;
        assert!(run.pass == 2 && run.blocks(2).is_some());
        assert_summed(&world).await;
    });
}
