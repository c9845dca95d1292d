//! Many small segments: what each of them costs beside its items.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backfill_core::engine::drive::Engine;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::verifier::Verifier;
use backfill_core::engine::worker::Worker;
use backfill_core::pace::Share;
use backfill_core::ports::{CheckpointReader as _, RunStore as _, SegmentStore as _};
use backfill_core::records::{
    BlockSum, Counters, Cursor, FullBlocks, RunRecord, RunStatus, SegmentRecord,
};
use backfill_core::view::progress::{Looker, snapshot, totals};
use backfill_core::{Key, Result};
use backfill_simulation::{MemoryStore, Transit};
use backfill_testkit::Faults;
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, in_virtual_time, taking_over};

/// Counts the calls for records, and the sums that they have read.
#[derive(Clone, Default)]
struct Counted {
    calls: Arc<AtomicU64>,
    sums: Arc<AtomicU64>,
}

impl Counted {
    /// Calls and sums since this was asked last.
    fn take(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (take(&self.calls), take(&self.sums))
    }
}

impl Transit for Counted {
    async fn before(&self) -> Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn summed(&self, sums: usize) {
        self.sums.fetch_add(sums as u64, Ordering::Relaxed);
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
        let (table, counted) = (&world.table, Counted::default());
        let store = MemoryStore::<Counted>::new(counted.clone());
        let engine = Engine {
            planner: Planner::new(table.clone(), store.clone()),
            worker: Worker::new(table.clone(), store.clone(), Share::Whole),
            verifier: Verifier::new(table.clone(), store.clone()),
        };
        let owner = "here".into();
        let round = engine.planner.begin(&world.request, &owner).await.unwrap();
        let driven = engine.drive(round, &owner, &CancellationToken::new()).await;
        assert_eq!(driven.unwrap(), RunStatus::Succeeded);
        let (calls, _) = counted.take();
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
        let fractions = |counters: &Counters| {
            let Counters {
                consumed_rcu,
                consumed_wcu,
                worked_seconds,
                ..
            } = *counters;
            [consumed_rcu, consumed_wcu, worked_seconds]
        };
        for (found, counted) in fractions(&found).into_iter().zip(fractions(&counters)) {
            assert!((found - counted).abs() < 1e-6, "{found}, {counted}");
        }
        let whole = |counters: Counters| Counters {
            consumed_rcu: 0.0,
            consumed_wcu: 0.0,
            worked_seconds: 0.0,
            ..counters
        };
        assert_eq!(whole(found), whole(counters));
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

/// Workers of a version that knows no sums add none. Their segments are not handed out again: whoever leads the run adds them.
#[test]
fn accounting_of_segments_that_no_worker_has_summed_up() {
    in_virtual_time(async {
        let settings = r#","total_segments":200,"max_concurrency":4"#;
        let world = World::new(Faults::none(1), 0, settings);
        let owner = "here".into();
        let planner = world.planner();
        let mut round = planner.begin(&world.request, &owner).await.unwrap();
        let run = world.record().await;
        let without = RunRecord {
            sums: None,
            ..run.clone()
        };
        let mut rounds = 0;
        while !round.segments.is_empty() {
            rounds += 1;
            assert!(rounds <= 2, "{:?}", round.segments);
            // The first round is cut off.
            let most = if rounds == 1 { 90 } else { usize::MAX };
            for segment in round.segments.iter().take(most) {
                let mut record = world.store.claim(&without, *segment).await.unwrap();
                record.cursor = Cursor::Exhausted;
                record.counters.scanned = 7;
                record.counters.checkpoints = 1;
                world.store.checkpoint(&without, &record).await.unwrap();
            }
            round = planner.runs.next(&run.run_id, 1, &owner).await.unwrap();
            if rounds == 1 {
                assert_eq!(round.segments.len(), 110);
            }
        }
        assert_summed(&world).await;
        let looked = snapshot(&world.store, &run.run_id).await.unwrap().unwrap();
        assert_eq!(looked.passes[0].swept.len(), 200);
        assert_eq!(looked.passes[0].counters.scanned, 1_400);
    });
}

/// What the planner reads before a round does not grow with what is done: the sums of full blocks are read once in a run.
#[test]
fn the_planner_reads_only_what_is_open() {
    in_virtual_time(async {
        let settings = r#","total_segments":30000,"max_concurrency":8"#;
        let world = World::new(Faults::none(1), 1, settings);
        let (counted, owner) = (Counted::default(), "here".into());
        let store = MemoryStore::<Counted>::new(counted.clone());
        let planner = Planner::new(world.table.clone(), store.clone());
        let begun = planner.begin(&world.request, &owner).await.unwrap();
        let run = store.run(&begun.run_id).await.unwrap().unwrap();
        let blocks = run.blocks(1).unwrap();
        let mut done = 0;
        for rounds in 1..=3_u32 {
            counted.take();
            let round = planner.runs.next(&run.run_id, 1, &owner).await.unwrap();
            assert_eq!(round.segments.len(), 10_000);
            let (calls, read) = counted.take();
            // The run and the note, each shard, 64 records, and what is noted.
            assert!(calls <= 3 + 16 + 64, "{calls} calls");
            assert!(read <= 10_000_u64.div_ceil(64) + 1, "{read} sums");
            let mut sums: BTreeMap<u32, Vec<(u8, SegmentRecord)>> = BTreeMap::new();
            for segment in round.segments {
                let mut record = store.claim(&run, segment).await.unwrap();
                record.cursor = Cursor::Exhausted;
                record.trial_passed = segment == 0;
                let (block, place) = blocks.place(segment);
                sums.entry(block).or_default().push((place, record));
            }
            for (block, segments) in &sums {
                let sum = BlockSum::of(*block, segments.iter().map(|(p, r)| (*p, r)));
                assert!(store.add_to_sums(&run, &sum).await.unwrap());
            }
            let full = store.full_blocks(&run, 1).await.unwrap();
            // All that was done before this round, but for a block that goes over its end.
            assert_eq!(full.blocks, done * 10_000 / 64);
            assert_eq!(full.trials, u64::from(done > 0));
            done = rounds;
        }
        let end = planner.runs.next(&run.run_id, 1, &owner).await.unwrap();
        assert!(end.segments.is_empty() && !end.trial);
        // Nothing can be noted that is less.
        let full = store.full_blocks(&run, 1).await.unwrap();
        assert_eq!(full.blocks, 30_000_u32.div_ceil(64));
        let less = FullBlocks::default();
        store.note_full(&run, &less).await.unwrap();
        assert_eq!(store.full_blocks(&run, 1).await.unwrap(), full);
    });
}

/// A look reads some hundred records of the segments at work at most; what it says of a thousand workers is right all the same, and
/// says how many it has not read. So it is while half of them have begun.
#[test]
fn a_look_at_a_thousand_workers_says_what_all_of_them_do() {
    in_virtual_time(async {
        let settings = r#","total_segments":3000,"max_concurrency":1000"#;
        let world = World::new(Faults::none(1), 1, settings);
        let (counted, owner) = (Counted::default(), "here".into());
        let store = MemoryStore::<Counted>::new(counted.clone());
        let planner = Planner::new(world.table.clone(), store.clone());
        let round = planner.begin(&world.request, &owner).await.unwrap();
        let mut run = store.run(&round.run_id).await.unwrap().unwrap();
        run.estimated_items = 600_000;
        run.revision += 1;
        store.save_run(&run).await.unwrap();
        let mut looker = Looker::default();
        for (first, begun) in [(0, 500), (500, 1_000)] {
            for segment in &round.segments[first..begun] {
                let mut record = store.claim(&run, *segment).await.unwrap();
                record.cursor = Cursor::After(Key(BTreeMap::new()));
                record.counters = Counters {
                    scanned: 80 + u64::from(segment % 41),
                    matched: 50,
                    updated: 48,
                    raced: 2,
                    consumed_wcu: 50.0,
                    worked_seconds: 10.0,
                    checkpoints: 1,
                    ..Counters::default()
                };
                store.checkpoint(&run, &record).await.unwrap();
            }
            counted.take();
            let looked = looker.snapshot(&store, &run.run_id).await.unwrap().unwrap();
            let (calls, _) = counted.take();
            assert!(calls < 300, "{calls} calls");
            let about = |found: f64, expected: f64| {
                let part = found / expected;
                assert!((0.97..=1.03).contains(&part), "{found}, not {expected}");
            };
            let of_begun = |each: f64| each * begun as f64;
            let (pass, glance) = (&looked.passes[0], looked.glance());
            about(f64::from(pass.segments_begun), of_begun(1.0));
            let unread = f64::from(pass.segments_unread) + pass.segments.len() as f64;
            about(unread, of_begun(1.0));
            about(pass.counters.scanned as f64, of_begun(100.0));
            about(pass.counters.updated as f64, of_begun(48.0));
            about(looked.used().write_units, of_begun(50.0));
            assert_accounted(&pass.counters);
            about(glance.items_per_second.unwrap(), of_begun(10.0));
            let left = (600_000.0 - of_begun(100.0)) / of_begun(10.0);
            about(glance.seconds_left.unwrap(), left);
        }
    });
}
