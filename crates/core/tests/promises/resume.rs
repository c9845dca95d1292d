//! resume: crashes at every step, pauses, a canary.

use std::time::Duration;

use backfill_core::engine::steering::RateChange;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{Cursor, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::snapshot;
use backfill_testkit::Faults;
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, first_chunk, in_virtual_time, taking_over};

/// no-gap, resume: the process dies at every step of a run, one step per case, and is started again. The
/// table ends as after an undisturbed run; the store has watched every checkpoint (see `ModelStore`); and the
/// work done twice is at most what was in flight: a page in each concurrent segment, and a verification.
#[test]
fn no_gap_and_resume_after_a_crash_at_every_step() {
    const ITEMS: u64 = 24;
    const SETTINGS: &str = r#","total_segments":3,"max_concurrency":2"#;
    const PAGE: u64 = 4;
    let undisturbed = in_virtual_time(async {
        let world = World::new(Faults::none(7), ITEMS, SETTINGS);
        world.run().await.unwrap();
        world.faults.steps()
    });
    assert!(undisturbed > 100, "a run has many steps: {undisturbed}");
    for step in 1..=undisturbed {
        in_virtual_time(async {
            let world = World::new(Faults::none(7), ITEMS, SETTINGS);
            let before = world.table.items();
            world.faults.crash_at(step);
            tokio::select! {
                result = world.run() => panic!("did not crash at step {step}: {result:?}"),
                () = world.faults.crashed() => {}
            }
            world.faults.restart();
            assert_eq!(
                world.run().await.unwrap(),
                RunStatus::Succeeded,
                "step {step}"
            );
            world.assert_migrated(&before);
            let summary = snapshot(&world.store, &world.request.run_id())
                .await
                .unwrap()
                .unwrap()
                .summary(&Prices::default());
            assert_accounted(&world.counters().await);
            // What was written and not checkpointed is not pending any more, so it is counted nowhere.
            assert!(summary.updated <= world.table.updates().len() as u64);
            // Sweep and verification of the second process, and what the first had done beyond its
            // checkpoints. A crash after the end makes the second process begin a new pass.
            if summary.passes == 1 {
                let repeated = world.table.evaluated().saturating_sub(2 * ITEMS);
                assert!(
                    repeated <= 2 * PAGE + ITEMS,
                    "step {step}: {repeated} items were read again"
                );
            }
        });
    }
}

/// resume: a rerun goes on from the checkpointed keys, and the swept part is not read again.
#[test]
fn resume_goes_on_from_the_checkpointed_keys() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 100, r#","total_segments":2"#);
        let plan = world.begin("first").await;
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let done = world.worker().work(&chunk, None, &never).await.unwrap();
        assert!(done.done);
        let read = world.table.evaluated();
        assert_eq!(read, done.counters.scanned);

        let again = world
            .planner()
            .begin(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        assert_eq!(again.segments, [1], "segment 0 needs no more work");
        assert!(!again.trial, "segment 0 has shown that the update works");
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        assert_eq!(world.table.evaluated(), 200, "a sweep and a verification");
    });
}

/// resume, honest-end: the operator pauses a run from somewhere else, at any moment. It ends as paused within ten seconds, and
/// goes on from there; every change is noted with its author.
#[test]
fn resume_after_a_pause_from_elsewhere() {
    for pause_ms in (0..8_000).step_by(400) {
        in_virtual_time(async {
            let world = World::new(Faults::none(3), 4_500, r#","total_segments":3"#);
            let before = world.table.items();
            let (planner, run_id) = (world.planner(), world.request.run_id());
            let pause = async {
                tokio::time::sleep(Duration::from_millis(500 + pause_ms)).await;
                let steered = planner
                    .runs
                    .steer(&run_id, RunStatus::Paused, "a person")
                    .await;
                (steered, tokio::time::Instant::now())
            };
            let (ended, (steered, paused)) = tokio::join!(world.run(), pause);
            assert_eq!(steered.unwrap(), RunStatus::Running);
            assert_eq!(ended.unwrap(), RunStatus::Paused);
            assert!(
                paused.elapsed() < Duration::from_secs(10),
                "{:?}",
                paused.elapsed()
            );
            let run = world.store.run(&run_id).await.unwrap().unwrap();
            assert_eq!(run.status, RunStatus::Paused);
            assert!(run.message.contains("by a person"), "{}", run.message);

            let rate = RateChange {
                max_wcu: Some(Some(50_000)),
                ..RateChange::default()
            };
            planner
                .runs
                .set_rate(&run_id, rate, "another person")
                .await
                .unwrap();
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            world.assert_migrated(&before);
            assert_eq!(world.counters().await.updated, 3_600);
            let run = world.store.run(&run_id).await.unwrap().unwrap();
            let events: Vec<_> = run
                .events
                .iter()
                .map(|event| {
                    format!(
                        "{}: {} -> {} by {}",
                        event.what, event.old, event.new, event.by
                    )
                })
                .collect();
            assert_eq!(
                events,
                [
                    "status: running -> paused by a person",
                    "max_wcu: none -> 50000 by another person",
                    "status: paused -> running by test 2",
                    "owner: test 1 -> test 2 by test 2",
                    "status: running -> succeeded by test 2",
                ]
            );
        });
    }
}

/// resume, honest-end: a canary sweeps the segments that were picked out and no others, and ends as paused; the run goes on with
/// the others, in the same pass, and is proven as a whole.
#[test]
fn resume_after_a_canary() {
    in_virtual_time(async {
        let mut world = World::new(Faults::none(3), 3_000, r#","total_segments":5"#);
        let before = world.table.items();
        world.request.settings.only_segments = Some(vec![3, 1]);
        assert_eq!(world.run().await.unwrap(), RunStatus::Paused);
        let run_id = world.request.run_id();
        let segments = world
            .store
            .segments(&world.record().await, 1, 0)
            .await
            .unwrap();
        let mut swept: Vec<u32> = segments.iter().map(|s| s.segment).collect();
        swept.sort_unstable();
        assert_eq!(swept, [1, 3]);
        assert!(segments.iter().all(|s| s.cursor == Cursor::Exhausted));
        let updated = world.counters().await.updated;
        assert!(0 < updated && updated < 2_400, "{updated}");
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        assert_eq!((run.status, &run.proof), (RunStatus::Paused, &None));
        assert!(
            run.message
                .contains("the canary (segments 3,1 out of 0 to 4) is swept"),
            "{}",
            run.message
        );

        // Once more there is nothing to do, and nothing is changed.
        let refused = world.run().await.unwrap_err();
        assert!(
            refused.to_string().contains("is swept already"),
            "{refused}"
        );
        assert_eq!(world.store.run(&run_id).await.unwrap().unwrap(), run);
        world.request.settings.only_segments = Some(vec![5]);
        let refused = world.run().await.unwrap_err();
        assert!(refused.to_string().contains("expected 0 to 4"), "{refused}");

        world.request.settings.only_segments = None;
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
        assert_eq!(world.counters().await.updated, 2_400);
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        assert_eq!(run.pass, 1);
    });
}

/// resume: a canary by number updates so many items and not one more, however the items lie and wherever it is interrupted; it
/// goes on to its number, then by as many more, then with the rest.
#[test]
fn resume_after_a_canary_of_so_many_items() {
    for number in [1, 25, 26, 333] {
        in_virtual_time(async {
            let settings =
                format!(r#","total_segments":5,"max_concurrency":3,"pause_after":{number}"#);
            let mut world = World::new(Faults::none(number), 3_000, &settings);
            let before = world.table.items();
            assert_eq!(world.run().await.unwrap(), RunStatus::Paused);
            assert_eq!(world.table.updates().len() as u64, number);
            assert_eq!(world.counters().await.updated, number);
            assert_accounted(&world.counters().await);
            let run = world.record().await;
            let said = format!("paused after {number} updated items");
            assert!(run.message.contains(&said), "{}", run.message);
            assert_eq!((run.settings.pause_after, run.pause_at), (None, None));

            // Interrupted on the way, it goes on to the same number.
            for ms in (50..).step_by(400) {
                let stop = CancellationToken::new();
                let (ended, ()) = tokio::join!(world.run_until(&stop), async {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    stop.cancel();
                });
                assert_eq!(ended.unwrap(), RunStatus::Paused);
                assert!(world.table.updates().len() as u64 <= 2 * number);
                if world.record().await.settings.pause_after.is_none() {
                    break;
                }
            }
            assert_eq!(world.table.updates().len() as u64, 2 * number);

            world.request.settings.pause_after = None;
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            world.assert_migrated(&before);
            assert_eq!(world.counters().await.updated, 2_400);
            assert_eq!(world.record().await.pass, 1);
        });
    }
}

/// resume, proof: a canary of more items than there are is a run like any other; and a live writer's items do not count.
#[test]
fn resume_after_a_canary_that_finds_too_little() {
    in_virtual_time(async {
        let settings = r#","total_segments":3,"pause_after":2401"#;
        let world = World::new(Faults::none(1), 3_000, settings);
        let before = world.table.items();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
    });
}

/// resume: a process that dies at any step of a canary repeats no more than the page that it was writing.
#[test]
fn resume_after_a_crash_of_a_canary() {
    const NUMBER: u64 = 20;
    const SETTINGS: &str = r#","total_segments":3,"pause_after":20"#;
    const PAGE: u64 = 4;
    let undisturbed = in_virtual_time(async {
        let world = World::new(Faults::none(7), 60, SETTINGS);
        world.run().await.unwrap();
        world.faults.steps()
    });
    for step in 1..=undisturbed {
        in_virtual_time(async {
            let world = World::new(Faults::none(7), 60, SETTINGS);
            world.faults.crash_at(step);
            tokio::select! {
                // Three segments at once are not always done in as many steps, but a run that ends was done before this one.
                result = world.run() => {
                    let steps = world.faults.steps();
                    assert!(steps < step && step > undisturbed * 9 / 10, "{step}: {result:?} in {steps}");
                }
                () = world.faults.crashed() => {}
            }
            world.faults.restart();
            let stored = world.store.run(&world.request.run_id()).await.unwrap();
            let was_done = stored.is_some_and(|run| run.status == RunStatus::Paused);
            assert_eq!(world.run().await.unwrap(), RunStatus::Paused, "step {step}");
            let updated = world.table.updates().len() as u64;
            let expected = NUMBER * (1 + u64::from(was_done));
            assert!(
                (expected..=expected + 2 * PAGE).contains(&updated),
                "step {step}: {updated}"
            );
        });
    }
}
