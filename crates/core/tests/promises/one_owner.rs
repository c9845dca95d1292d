//! one-owner: of a segment, of a run, in the store.

use std::time::Duration;

use backfill_core::ErrorKind;
use backfill_core::engine::worker::Worker;
use backfill_core::pace::Share;
use backfill_core::ports::{CheckpointReader as _, RunStore as _, SegmentStore as _};
use backfill_core::records::{Cursor, Owner, RunStatus, shard_of};
use backfill_testkit::Faults;
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, first_chunk, in_virtual_time, taking_over};

/// one-owner: of two workers on one segment, the stale one cannot move the checkpoint.
#[test]
fn one_owner_per_segment() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 60, r#","total_segments":1"#);
        let plan = world.begin("first").await;
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let (stale_worker, worker) = (world.worker(), world.worker());
        let stale = stale_worker.work(&chunk, None, &never);
        let owner = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            worker.work(&chunk, None, &never).await
        };
        let (stale, owner) = tokio::join!(stale, owner);
        assert_eq!(stale.unwrap_err().kind(), ErrorKind::Fenced);
        assert!(owner.unwrap().done);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!(counters.scanned, 60, "nothing is counted twice");
        assert!(world.table.updates().values().all(|&count| count == 1));
    });
}

/// one-owner: a stale checkpoint is refused by the store, whatever it says.
#[test]
fn one_owner_in_the_store() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, "");
        world.begin("first").await;
        let run_id = world.request.run_id();
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        let mut stale = world.store.claim(&run, 0).await.unwrap();
        let latest = world.store.claim(&run, 0).await.unwrap();
        assert_eq!(latest.generation, stale.generation + 1);
        stale.cursor = Cursor::Exhausted;
        let refused = world.store.checkpoint(&run, &stale).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Fenced);
        world.store.checkpoint(&run, &latest).await.unwrap();

        // A worker of the former owner that read the run record before it changed hands comes too late to claim.
        world
            .planner()
            .begin(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let successor = world.store.run(&run_id).await.unwrap().unwrap();
        world.store.claim(&successor, 0).await.unwrap();
        let refused = world.store.claim(&run, 0).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Fenced);
    });
}

/// Two planners on one run record: the one that read an older revision cannot write.
#[test]
fn a_run_record_changes_only_from_its_latest_revision() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, "");
        world.begin("first").await;
        let run_id = world.request.run_id();
        let mut stale = world.store.run(&run_id).await.unwrap().unwrap();
        world
            .planner()
            .begin(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        stale.revision += 1;
        stale.owner = "first again".into();
        let refused = world.store.save_run(&stale).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    });
}

/// one-owner: whoever was replaced as the owner of a run can neither work, plan, conclude, pause nor fail it.
#[test]
fn one_owner_per_run() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner
            .begin(&world.request, &"first".into())
            .await
            .unwrap();
        let run_id = &plan.run_id;
        planner
            .begin(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let mut errors = vec![
            world.worker().work(&chunk, None, &never).await.unwrap_err(),
            planner
                .runs
                .next(run_id, 1, &"first".into())
                .await
                .unwrap_err(),
        ];
        let mut counted = plan.verification;
        counted.done = true;
        errors.push(
            planner
                .runs
                .conclude(run_id, 1, &"first".into(), &counted)
                .await
                .unwrap_err(),
        );
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            assert!(
                error.to_string().contains("second"),
                "it says who has it: {error}"
            );
        }
        let paused = RunStatus::Paused;
        planner
            .runs
            .stop(run_id, &"first".into(), paused)
            .await
            .unwrap();
        let run = world.store.run(run_id).await.unwrap().unwrap();
        assert_eq!(
            (run.status, run.owner.to_string().as_str()),
            (RunStatus::Running, "second")
        );
        planner
            .runs
            .stop(run_id, &"second".into(), paused)
            .await
            .unwrap();
        let run = world.store.run(run_id).await.unwrap().unwrap();
        assert_eq!(run.status, RunStatus::Paused);
    });
}

/// one-owner: a process that works on goes by the record that it has read last, for two seconds. Until then it can begin a segment
/// that its successor has not claimed, and no other; behind them nothing. Whatever it has begun, nothing is done or counted twice.
#[test]
fn one_owner_while_the_former_goes_by_what_it_has_read() {
    const BEGUN: Option<bool> = Some(true);
    for (segment, after_ms, expected) in [
        (2, 0, BEGUN),
        (2, 1_500, BEGUN),
        (1, 0, None),
        (2, 2_000, None),
    ] {
        in_virtual_time(async {
            let world = World::new(Faults::none(1), 80, r#","total_segments":4"#);
            let plan = world.begin("first").await;
            let former = Worker::new(world.table.clone(), world.store.clone(), Share::Whole);
            let never = CancellationToken::new();
            let worked = former.work(&first_chunk(&plan, 0), None, &never).await;
            assert!(worked.unwrap().done);
            let read = tokio::time::Instant::now();
            let second = Owner::from("second");
            let again = taking_over(&world.request);
            world.planner().begin(&again, &second).await.unwrap();
            let mut of_second = first_chunk(&plan, 1);
            of_second.owner = second.clone();
            let worked = world.worker().work(&of_second, None, &never).await;
            assert!(worked.unwrap().done);
            let before = world.table.updates();

            tokio::time::sleep_until(read + Duration::from_millis(after_ms)).await;
            let worked = former
                .work(&first_chunk(&plan, segment), None, &never)
                .await;
            match worked {
                Ok(report) => assert_eq!(Some(report.done), expected, "{segment}, {after_ms}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                    assert_eq!(None, expected, "{segment}, {after_ms}");
                    assert_eq!(world.table.updates(), before, "{segment}, {after_ms}");
                }
            }
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!(counters.scanned, 80);
            assert_eq!(counters.updated, world.table.updates().len() as u64);
            assert!(world.table.updates().values().all(|&count| count == 1));
        });
    }
}

/// one-owner: a run that somebody holds is not begun anew beside it, whatever is asked for, unless it is said that the
/// former owner is dead; one that has ended, however it did, is.
#[test]
fn one_owner_until_it_has_ended_or_is_said_to_be_dead() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner
            .begin(&world.request, &"first".into())
            .await
            .unwrap();
        let mut fresh = world.request.clone();
        fresh.settings.fresh = true;
        for request in [&world.request, &fresh] {
            let refused = planner.begin(request, &"second".into()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ActiveElsewhere);
            let said = refused.to_string();
            assert!(said.contains("by first"), "who: {said}");
            assert!(said.contains("since 20"), "since when: {said}");
            assert!(said.ends_with("(take_over)"), "what to do: {said}");
        }
        let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
        assert_eq!((run.owner.to_string().as_str(), run.revision), ("first", 1));
        // The answer to its own request may have been lost.
        let again = planner
            .begin(&world.request, &"first".into())
            .await
            .unwrap();
        assert_eq!(again.segments, plan.segments);

        planner
            .begin(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
        assert_eq!(run.owner, "second".into());
        assert!(
            run.message.contains("taken over from first"),
            "{}",
            run.message
        );

        // Whoever was seen to be dead may have been followed by somebody who lives.
        let mut too_late = world.request.clone();
        too_late.settings.take_over_from = Some("first".into());
        let refused = planner.begin(&too_late, &"third".into()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ActiveElsewhere);

        let paused = RunStatus::Paused;
        planner
            .runs
            .steer(&plan.run_id, paused, "a person")
            .await
            .unwrap();
        // A plan that is tried again does not undo that.
        let refused = planner
            .begin(&world.request, &"second".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotRunning);
        planner
            .begin(&world.request, &"third".into())
            .await
            .unwrap();
        too_late.settings.take_over_from = Some("third".into());
        planner.begin(&too_late, &"fourth".into()).await.unwrap();
    });
}

/// one-owner, honest-end: a worker in the middle of a long chunk notices within seconds that its run was stopped.
#[test]
fn one_owner_is_looked_for_during_a_chunk() {
    assert_looked_for(r#","total_segments":1"#, 0);
    // By the copy of the run record.
    assert_looked_for(r#","total_segments":80,"max_wcu":40"#, 70);
}

fn assert_looked_for(settings: &str, segment: u32) {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 6000, settings);
        let plan = world.begin("first").await;
        let chunk = first_chunk(&plan, segment);
        let never = CancellationToken::new();
        let (worker, planner) = (world.worker(), world.planner());
        let work = worker.work(&chunk, None, &never);
        let stop = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            planner
                .runs
                .stop(&plan.run_id, &"first".into(), RunStatus::Paused)
                .await
                .unwrap();
            tokio::time::Instant::now()
        };
        let (ended, stopped) = tokio::join!(work, stop);
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::NotRunning);
        assert!(
            stopped.elapsed() < Duration::from_secs(6),
            "{:?}",
            stopped.elapsed()
        );
        let run = world.record().await;
        let shard = shard_of(segment, run.shards);
        let segments = world.store.segments(&run, 1, shard).await.unwrap();
        assert!(
            matches!(segments[0].cursor, Cursor::After(_)),
            "its checkpoint stands"
        );
    });
}

/// one-owner: whoever takes a large run over may die at any step. The workers of the former owner, which read copies of the run
/// record, can begin something for as long as the record names him, and not a moment longer.
#[test]
fn one_owner_at_every_step_of_a_takeover() {
    const SETTINGS: &str = r#","total_segments":80"#;
    let steps = in_virtual_time(async {
        let world = World::new(Faults::none(1), 100, SETTINGS);
        world.begin("first").await;
        let before = world.faults.steps();
        let again = taking_over(&world.request);
        let planner = world.planner();
        planner.begin(&again, &"second".into()).await.unwrap();
        world.faults.steps() - before
    });
    let (mut refused, mut begun) = (0, 0);
    for step in 1..=steps {
        in_virtual_time(async {
            let world = World::new(Faults::none(1), 100, SETTINGS);
            let plan = world.begin("first").await;
            world.faults.crash_at(world.faults.steps() + step);
            let (again, planner) = (taking_over(&world.request), world.planner());
            let second = Owner::from("second");
            tokio::select! {
                planned = planner.begin(&again, &second) => panic!("step {step}: {planned:?}"),
                () = world.faults.crashed() => {}
            }
            world.faults.restart();
            let taken = world.record().await.owner == second;
            for segment in [0, 64, 70, 79] {
                let chunk = first_chunk(&plan, segment);
                let never = CancellationToken::new();
                let worked = world.worker().work(&chunk, None, &never).await;
                if taken {
                    let error = worked.expect_err("somebody else has the run");
                    assert_eq!(error.kind(), ErrorKind::Fenced, "step {step}");
                    refused += 1;
                } else {
                    assert!(worked.unwrap().done, "step {step}");
                    begun += 1;
                }
            }
        });
    }
    assert!(refused > 0 && begun > 0, "{refused} refused, {begun} begun");
}
