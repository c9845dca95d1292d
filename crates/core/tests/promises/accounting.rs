//! accounting: rejected items one by one, and the history within a chunk.

use backfill_core::engine::rejected::retry_rejected;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::RunStatus;
use backfill_testkit::Faults;

use crate::world::{World, in_virtual_time};

/// The history of a segment is flushed about every ten seconds, not at each checkpoint, and at the end of each chunk.
#[test]
fn accounting_of_the_history_goes_on_within_a_chunk() {
    in_virtual_time(async {
        let world = World::new(Faults::none(7), 1000, r#","total_segments":1,"max_wcu":10"#);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run_id = world.request.run_id();
        let [segment] = &world.store.segments(&run_id, 1).await.unwrap()[..] else {
            panic!("one segment")
        };
        let buckets = world.store.history(&run_id, 1).await.unwrap();
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

/// accounting: each rejected item is recorded with its reason and nothing else of it, and tried again by itself.
#[test]
fn accounting_of_rejected_items_one_by_one() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1"#;
        let world = World::new(Faults::random(4, 0.1, 0.1), 50, settings);
        world.table.poison([3, 17, 40]);
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        world.faults.calm_down();
        let run_id = world.request.run_id();
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        let rejected = world.store.rejected(&run_id, run.pass).await.unwrap();
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
        let left = world.store.rejected(&run_id, run.pass).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].key, again.rejected[0].key);
    });
}
