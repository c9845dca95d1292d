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
use backfill_core::records::RunStatus;
use backfill_core::view::progress::{snapshot, totals};
use backfill_simulation::{Line, MemoryStore};
use backfill_testkit::Faults;
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, in_virtual_time};

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
