//! Properties, each tried on many seeds: whatever fails on the way, the promises hold.

use std::time::Duration;

use backfill_core::Value;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{Counters, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::snapshot;
use backfill_testkit::{Faults, LiveWriter};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, in_virtual_time};

/// Each property is tried on this many seeds.
const CASES: u32 = 128;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    /// only-U, proof, accounting: whatever fails on the way, the table ends as it should and the figures add up.
    #[test]
    fn only_u_and_proof_under_random_faults(
        seed: u64,
        items in 0u64..120,
        segments in 1u32..9,
        concurrency in 1u32..5,
        refuse in 0.0f64..0.3,
        lose_reply in 0.0f64..0.1,
    ) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_concurrency":{concurrency}"#);
            let world = World::new(Faults::random(seed, refuse, lose_reply), items, &settings);
            let before = world.table.items();
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            world.assert_migrated(&before);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!(counters.scanned, items);
            if lose_reply == 0.0 {
                assert_eq!(counters.updated, world.table.updates().len() as u64);
            }
        });
    }

    /// never-overwrite, never-resurrect, only-U: live writers work on the same keys, and whatever they left
    /// behind is there at the end, but for a `test` that they left out.
    #[test]
    fn never_overwrite_and_never_resurrect_with_live_writers(
        seed: u64,
        segments in 1u32..9,
        refuse in 0.0f64..0.2,
        lose_reply in 0.0f64..0.1,
    ) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_passes":50"#);
            let world = World::with_live_writers(Faults::random(seed, refuse, lose_reply), 80, &settings);
            let before = world.table.items();
            let writer = LiveWriter {
                table: world.table.clone(),
                seed: !seed,
                ids: 120,
                creates_pending: true,
            };
            let live = tokio::spawn(writer.work(400, Duration::from_millis(10)));
            world.run().await.unwrap();
            live.await.unwrap();
            // The writers may have outlived the first run; this one meets a quiet table.
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);

            let history = world.table.history();
            let after = world.table.items();
            for (key, left) in &history {
                match (left, after.get(key)) {
                    (None, found) => assert_eq!(found, None, "resurrected {key}"),
                    (Some(left), found) => {
                        let mut expected = left.clone();
                        expected.entry("test".into()).or_insert_with(|| Value::N("1".into()));
                        // If the live write came on top of our value, it kept it.
                        assert_eq!(found, Some(&expected), "changed {key}");
                    }
                }
            }
            for (key, item) in before {
                if !history.contains_key(&key) {
                    let mut expected = item;
                    expected.entry("test".into()).or_insert_with(|| Value::N("1".into()));
                    assert_eq!(after.get(&key), Some(&expected));
                }
            }
            assert_accounted(&world.counters().await);
        });
    }

    /// accounting, honest-end: items that DynamoDB refuses for good are counted, do not stop the others, and
    /// keep the run from succeeding.
    #[test]
    fn accounting_and_honest_end_with_rejected_items(seed: u64, segments in 1u32..5, refuse in 0.0f64..0.2) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_passes":2"#);
            let world = World::new(Faults::random(seed, refuse, 0.0), 50, &settings);
            world.table.poison([3, 17, 40]);
            assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!(counters.rejected, 3, "the same in both passes");
            let summary = snapshot(&world.store, &world.request.run_id()).await.unwrap().unwrap().summary(&Prices::default());
            assert_eq!(summary.remaining, Some(3));
            assert_eq!(summary.samples.len(), 3);
        });
    }

    /// accounting: the history of a run, by which its charts are drawn, adds up to its counters. Errors of it are none of the
    /// run's; what was lost by them is missing and never too much.
    #[test]
    fn accounting_of_the_history(
        seed: u64,
        items in 1u64..120,
        segments in 1u32..9,
        time_box in 1u64..30,
        refuse in prop_oneof![Just(0.0), 0.0f64..0.3],
        lose_reply in prop_oneof![Just(0.0), 0.0f64..0.1],
    ) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_wcu":5,"time_box_seconds":{time_box}"#);
            let world = World::new(Faults::random(seed, refuse, lose_reply), items, &settings);
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            let counters = world.counters().await;
            world.faults.calm_down();
            let buckets = world.store.history(&world.record().await, 1, 0).await.unwrap();
            assert!(buckets.is_sorted_by_key(|bucket| bucket.start_ms));
            let mut sum = Counters::default();
            for bucket in &buckets {
                sum += bucket.done;
            }
            let truth = counters.work();
            let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
            if refuse == 0.0 && lose_reply == 0.0 {
                assert!(close(sum.consumed_rcu, truth.consumed_rcu) && close(sum.consumed_wcu, truth.consumed_wcu));
                let units = |of: Counters| Counters { consumed_rcu: 0.0, consumed_wcu: 0.0, ..of };
                assert_eq!(units(sum), units(truth));
            } else {
                assert!(sum.scanned <= truth.scanned && sum.updated <= truth.updated, "{sum:?} {truth:?}");
                assert!(sum.consumed_wcu < truth.consumed_wcu + 1e-6 && sum.throttles <= truth.throttles);
            }
        });
    }

    /// honest-end, resume: the operator may stop at any moment; the run is paused, and the next start ends it
    /// with every item counted once.
    #[test]
    fn resume_after_a_pause_at_any_moment(seed: u64, pause_ms in 0u64..3000, refuse in 0.0f64..0.2) {
        in_virtual_time(async {
            let world = World::new(Faults::random(seed, refuse, 0.0), 100, r#","total_segments":4"#);
            let before = world.table.items();
            let stop = CancellationToken::new();
            let trigger = stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                trigger.cancel();
            });
            let first = world.run_until(&stop).await.unwrap();
            if first == RunStatus::Paused {
                let run = world.store.run(&world.request.run_id()).await;
                if let Ok(Some(run)) = run {
                    assert_eq!(run.status, RunStatus::Paused);
                }
                assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            }
            world.assert_migrated(&before);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!(counters.updated, 80);
        });
    }
}
