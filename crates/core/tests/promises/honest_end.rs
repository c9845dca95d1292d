//! honest-end: time boxes, failures and stops.

use std::time::Duration;

use backfill_core::ErrorKind;
use backfill_core::engine::runs::Failure;
use backfill_core::ports::{CheckpointReader as _, SegmentStore as _};
use backfill_core::records::{Cursor, RunStatus};
use backfill_testkit::Faults;
use tokio_util::sync::CancellationToken;

use crate::world::{World, first_chunk, in_virtual_time, taking_over};

/// honest-end: a time box ends a chunk with what remains, not with an error, and the chunks add up.
#[test]
fn honest_end_of_a_time_box() {
    in_virtual_time(async {
        let world = World::new(
            Faults::none(3),
            1_000,
            r#","total_segments":1,"time_box_seconds":1"#,
        );
        let plan = world.begin("first").await;
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let mut chunks = 0;
        loop {
            let begin = tokio::time::Instant::now();
            let report = world.worker().work(&chunk, None, &never).await.unwrap();
            assert!(
                begin.elapsed() < Duration::from_millis(1500),
                "{:?}",
                begin.elapsed()
            );
            chunks += 1;
            if report.done {
                assert_eq!(report.counters.scanned, 1_000);
                assert_eq!(report.counters.updated, 800);
                break;
            }
            assert!(
                matches!(report.cursor, Cursor::After(_)),
                "it says where to go on"
            );
        }
        assert!(chunks > 2, "several chunks: {chunks}");
    });
}

/// honest-end: a table that throttles the trial's check for minutes is no error, no more than one that throttles a write, and no
/// second item is touched before the check has an answer.
#[test]
fn honest_end_when_the_check_of_the_trial_is_throttled() {
    in_virtual_time(async {
        let settings = r#","total_segments":2,"time_box_seconds":50"#;
        let world = World::new(Faults::none(5), 40, settings);
        world.table.throttle_checks_for(Duration::from_secs(120));
        let begin = tokio::time::Instant::now();
        let run = world.run();
        tokio::pin!(run);
        tokio::select! {
            ended = &mut run => panic!("{ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(119)) => {}
        }
        // One in the trial chunk, and one in each chunk of the two segments since.
        let touched = world.table.updates().len();
        assert!(touched <= 1 + 2 * 2, "{touched}");
        assert_eq!(run.await.unwrap(), RunStatus::Succeeded);
        assert!(begin.elapsed() >= Duration::from_secs(120));
        let counters = world.counters().await;
        assert_eq!(counters.updated, 32);
        // Items of less than 1 KB: a unit each, and two for each of the two checks.
        assert_eq!(counters.consumed_wcu, 32.0 + 2.0 * 2.0);
    });
}

/// honest-end: the first failure is the one that is told, a run that was taken over is left alone, and nobody
/// works on for a run that has failed.
#[test]
fn honest_end_tells_the_first_failure() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner
            .begin(&world.request, &"first".into())
            .await
            .unwrap();
        let failure = |error: &str| Failure {
            error: error.into(),
            message: format!("because of {error}"),
        };
        planner
            .begin(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let told = planner
            .runs
            .fail(&plan.run_id, &"first".into(), failure("TooMany"))
            .await
            .unwrap();
        assert_eq!(told.error, "Fenced");
        assert!(told.message.contains("second"), "{}", told.message);
        assert_eq!(
            world.store.run(&plan.run_id).await.unwrap().unwrap().status,
            RunStatus::Running,
            "it belongs to the second owner"
        );
        let told = planner
            .runs
            .fail(&plan.run_id, &"second".into(), failure("AccessDenied"))
            .await;
        assert_eq!(told.unwrap(), failure("AccessDenied"));
        let told = planner
            .runs
            .fail(&plan.run_id, &"second".into(), failure("TooMany"))
            .await;
        assert_eq!(told.unwrap(), failure("AccessDenied"));
        let refused = planner
            .runs
            .next(&plan.run_id, plan.pass, &"second".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotRunning);
        let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
        assert_eq!(run.error.as_deref(), Some("AccessDenied"));
        assert_eq!(
            world.run().await.unwrap(),
            RunStatus::Succeeded,
            "it can be resumed"
        );
    });
}

/// honest-end: if an update is refused for more items than the operator puts up with, the run fails and says which.
#[test]
fn honest_end_with_too_many_rejected_items() {
    for (poisoned, max_rejected, ending) in [
        // All of them: found with the first few, whatever the limit.
        (0..600, 1_000, Err((25, 25))),
        // Every second one, from some point on.
        (300..600, 40, Err((41, 200))),
        (300..310, 7, Err((8, 8))),
        (300..310, 8, Ok(8)),
        // Spread over many segments, a few in each chunk.
        (0..3_000, 200, Err((201, 300))),
    ] {
        in_virtual_time(async {
            let (items, segments) = match poisoned.end {
                3_000 => (3_000, 300),
                _ => (600, 6),
            };
            let settings = format!(
                r#","total_segments":{segments},"max_passes":1,"max_rejected":{max_rejected}"#
            );
            let world = World::new(Faults::none(4), items, &settings);
            // Of many only every third, so that none is hopeless.
            let step = if items > 600 { 3 } else { 1 };
            world.table.poison(poisoned.clone().step_by(step));
            let ended = world.run().await;
            let run = world.record().await;
            let rejected = world.rejected(&run).await.len();
            match ending {
                Err((least, most)) => {
                    let error = ended.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TooManyRejected, "{error}");
                    assert!(error.to_string().contains("poisoned"), "why: {error}");
                    assert!(error.to_string().contains("item-"), "which: {error}");
                    assert!(
                        (least..=most).contains(&rejected),
                        "{poisoned:?}: {rejected}"
                    );
                }
                Ok(count) => {
                    assert_eq!(ended.unwrap(), RunStatus::Incomplete);
                    assert_eq!(rejected, count);
                }
            }
        });
    }
}

/// honest-end: refusals that do not explain themselves are bounded as those that do.
#[test]
fn honest_end_with_too_many_refusals_that_do_not_explain_themselves() {
    in_virtual_time(async {
        let settings = r#","total_segments":6,"max_passes":1,"max_rejected":40"#;
        let world = World::new(Faults::none(4), 600, settings);
        world.table.misfit((300..600).step_by(2));
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRejected, "{error}");
        assert!(error.to_string().contains("it does not fit"), "{error}");
        let run = world.record().await;
        let rejected = world.rejected(&run).await.len();
        assert!((41..=100).contains(&rejected), "{rejected}");
    });
}

/// honest-end: an item that is in other transactions for a minute keeps no run from its end. It counts as rejected, with the
/// reason, and the next pass updates it.
#[test]
fn honest_end_with_items_that_others_keep_busy() {
    for (seconds, passes, ending) in [
        (3_600, 1, RunStatus::Incomplete),
        (3_600, 2, RunStatus::Incomplete),
        (80, 2, RunStatus::Succeeded),
        (30, 1, RunStatus::Succeeded),
    ] {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":4,"max_passes":{passes}"#);
            let world = World::new(Faults::none(5), 300, &settings);
            let before = world.table.items();
            let busy = [3, 17, 40, 41, 200];
            world.table.keep_busy(busy, Duration::from_secs(seconds));
            let begin = tokio::time::Instant::now();
            assert_eq!(world.run().await.unwrap(), ending, "{seconds} {passes}");
            let took = begin.elapsed();
            assert!(took < Duration::from_secs(600), "{took:?}");
            let run = world.record().await;
            let rejected = world.store.rejected(&run, passes, 0).await.unwrap();
            if ending == RunStatus::Succeeded {
                world.assert_migrated(&before);
                assert!(rejected.is_empty(), "{rejected:?}");
            } else {
                assert_eq!(rejected.len(), busy.len());
                let why = "others were at work on it for 60 s: in a transaction";
                assert!(rejected.iter().all(|item| item.reason == why));
                assert_eq!(world.table.updates().len(), 240 - busy.len());
            }
        });
    }
}

/// honest-end: an item that others change whenever the trial looks at it proves nothing, and ends no run: another is tried.
#[test]
fn honest_end_with_a_trial_of_a_busy_item() {
    in_virtual_time(async {
        let world = World::new(Faults::none(5), 200, r#","total_segments":1"#);
        let before = world.table.items();
        world
            .table
            .keep_busy_at_checks((0..200).filter(|id| id % 4 > 0));
        let plan = world.begin("first").await;
        let begin = tokio::time::Instant::now();
        let never = CancellationToken::new();
        let chunk = first_chunk(&plan, 0);
        let worked = world.worker().work(&chunk, None, &never).await;
        assert!(worked.unwrap().done);
        let took = begin.elapsed();
        assert!(took > Duration::from_secs(60), "{took:?}");
        world.assert_migrated(&before);
    });
}

/// resume, honest-end: the operator need not wait out an outage.
#[test]
fn honest_end_when_stopped_during_an_outage() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 60, r#","total_segments":2"#);
        world.faults.fail_after(100, ErrorKind::Unavailable);
        let stop = CancellationToken::new();
        let trigger = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(200)).await;
            trigger.cancel();
        });
        let begin = tokio::time::Instant::now();
        assert_eq!(world.run_until(&stop).await.unwrap(), RunStatus::Paused);
        assert!(
            begin.elapsed() < Duration::from_secs(280),
            "{:?}",
            begin.elapsed()
        );
        world.faults.restart();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
    });
}

/// honest-end: an error that ends the run is told though the checkpoint behind it cannot be saved. Told as the trouble of the
/// checkpoint, which passes, it would have the chunk begin again, and touch one more item.
#[test]
fn honest_end_names_the_error_before_that_of_the_last_checkpoint() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), 20, r#","total_segments":1"#);
        world.table.make_updates_useless();
        let plan = world.begin("first").await;
        let run = world.record().await;
        let (worker, chunk) = (world.worker(), first_chunk(&plan, 0));
        let never = CancellationToken::new();
        let claimed = async {
            while world.table.updates().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The worker's own claim, which it had given up, is carried out late.
            world.store.claim(&run, 0).await.unwrap();
        };
        let (worked, ()) = tokio::join!(worker.work(&chunk, None, &never), claimed);
        let error = worked.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::UpdateDoesNotExtinguish,
            "{}",
            error.report()
        );
    });
}
