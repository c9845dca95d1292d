//! accounting: rejected items one by one, and the history within a chunk.

use std::time::Duration;

use backfill_core::engine::rejected::retry_rejected;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::RunStatus;
use backfill_testkit::{Faults, LiveWriter};

use crate::world::{World, assert_accounted, in_virtual_time};

/// The history of a segment is flushed about every ten seconds, not at each checkpoint, and at the end of each chunk.
#[test]
fn accounting_of_the_history_goes_on_within_a_chunk() {
    in_virtual_time(async {
        let world = World::new(Faults::none(7), 1000, r#","total_segments":1,"max_wcu":10"#);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run = world.record().await;
        let [segment] = &world.store.segments(&run, 1).await.unwrap()[..] else {
            panic!("one segment")
        };
        let buckets = world.store.history(&run, 1).await.unwrap();
        let flushes: u64 = buckets.iter().map(|bucket| bucket.flushes).sum();
        let seconds: f64 = buckets.iter().map(|bucket| bucket.seconds).sum();
        let worked = segment.counters.worked_seconds;
        assert!(worked > 60.0, "{worked} s");
        let least = worked as u64 / 20;
        let most = worked as u64 / 10 + segment.generation;
        assert!((least..=most).contains(&flushes), "{flushes} in {worked} s");
        assert!((seconds - worked).abs() < 1.0, "{seconds} of {worked} s");
    });
}

/// accounting: where PartiQL finds the predicate false and a condition finds it true, no item is called `raced` for long: the first
/// is tried by an update of its own, and so is every other when that has taken effect.
#[test]
fn accounting_of_batches_that_miss_what_is_pending() {
    in_virtual_time(async {
        let world = World::new(Faults::none(5), 2_000, r#","total_segments":4"#);
        world.table.make_batches_blind();
        let before = world.table.items();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!((counters.updated, counters.raced), (1_600, 0));
        // The first to come back ends them; what was in flight by then has come back, too.
        let batches = world.table.batches();
        assert!((1..=80).contains(&batches), "{batches} batches");
        let run = world.store.run(&world.request.run_id()).await.unwrap();
        assert_eq!(run.unwrap().pass, 1, "nothing was left for another pass");
    });
}

/// accounting: an item that was set by a live writer stays `raced`, is tried by an update of its own once in a segment, and batches
/// go on.
#[test]
fn accounting_of_raced_items_leaves_batches_on() {
    in_virtual_time(async {
        let world = World::with_live_writers(Faults::none(6), 2_000, r#","total_segments":2"#);
        let live = LiveWriter {
            table: world.table.clone(),
            seed: 6,
            ids: 2_000,
            creates_pending: false,
        };
        let every = Duration::from_micros(50);
        let (ended, ()) = tokio::join!(world.run(), live.work(20_000, every));
        assert_eq!(ended.unwrap(), RunStatus::Succeeded);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert!(counters.raced > 0, "{counters:?}");
        assert!(!world.table.has_no_batches(), "batches went off");
    });
}

/// accounting: each rejected item is recorded with its reason and nothing else of it, and tried again by itself.
#[test]
fn accounting_of_rejected_items_one_by_one() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1"#;
        let world = World::new(Faults::random(4, 0.1, 0.1), 50, settings);
        world.table.poison([3, 17, 40]);
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        world.faults.calm_down();
        let run = world.record().await;
        let rejected = world.store.rejected(&run, run.pass).await.unwrap();
        assert_eq!(rejected.len(), 3);
        assert!(rejected.iter().all(|item| item.reason == "poisoned"));
        assert!(
            rejected.iter().all(|item| item.key.0.len() == 2),
            "keys only"
        );
        let updates = world.table.updates().len();

        // One of them has become acceptable, one was deleted.
        world.table.poison([3]);
        world.table.delete(17);
        let again = retry_rejected(&world.table, &world.store, &run, rejected)
            .await
            .unwrap();
        assert_eq!((again.updated, again.vanished), (1, 1));
        assert_eq!(again.rejected.len(), 1);
        assert_eq!(world.table.updates().len(), updates + 1, "no other item");
        let left = world.store.rejected(&run, run.pass).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].key, again.rejected[0].key);
    });
}
