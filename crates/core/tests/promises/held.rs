//! held: outside of its hours, and while its alarm is in ALARM, a run neither reads nor writes, and it goes on by itself.

use std::time::Duration;

use backfill_core::ErrorKind;
use backfill_core::clock::now_ms;
use backfill_core::engine::runs::Failure;
use backfill_core::engine::steering::RateChange;
use backfill_core::ports::{AlarmState, CheckpointReader as _};
use backfill_core::records::{Owner, RunStatus};
use backfill_testkit::Faults;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, first_chunk, in_virtual_time};

/// 2026-01-15T20:00:00Z.
const EIGHT: u64 = 1_768_507_200_000;
const ITEMS: u64 = 3_000;
const SLOW: &str =
    r#","total_segments":3,"max_concurrency":3,"max_wcu":20,"pause_when":"slow reads""#;
const SECOND: Duration = Duration::from_secs(1);

/// What the table has seen of us.
fn seen(world: &World) -> (usize, u64) {
    (world.table.updates().len(), world.table.evaluated())
}

/// The events about holds, as `old -> new`.
async fn holds(world: &World) -> Vec<String> {
    let events = world.record().await.events;
    let held = events.iter().filter(|event| event.what == "held");
    held.map(|event| format!("{} -> {}", event.old, event.new))
        .collect()
}

/// held, resume: from ALARM to OK the table sees nothing of the run, but for ten seconds; then it goes on to its proof.
#[test]
fn held_while_its_alarm_is_in_alarm() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), ITEMS, SLOW);
        let before = world.table.items();
        world.table.set_alarm(Ok(AlarmState::Ok));
        let begin = Instant::now();
        let watching = async {
            sleep_until(begin + 20 * SECOND).await;
            assert!(seen(&world).0 > 100, "{:?}", seen(&world));
            world.table.set_alarm(Ok(AlarmState::Alarm));
            sleep_until(begin + 30 * SECOND).await;
            let held = seen(&world);
            let run = world.record().await;
            assert_eq!(run.status, RunStatus::Running);
            assert_eq!(run.hold.unwrap().why, "alarm slow reads is in ALARM");
            // Without data it says neither that it is over nor that it is not.
            sleep_until(begin + 60 * SECOND).await;
            world.table.set_alarm(Ok(AlarmState::InsufficientData));
            sleep_until(begin + 1_000 * SECOND).await;
            assert_eq!(seen(&world), held, "nothing was read or written");
            let asked = world.table.alarm_asked();
            assert!(asked < 1_000, "asked {asked} times in a thousand seconds");
            world.table.set_alarm(Ok(AlarmState::Ok));
            sleep(10 * SECOND).await;
            assert!(seen(&world).0 > held.0, "it goes on");
            assert_eq!(world.record().await.hold, None);
            world.table.set_alarm(Ok(AlarmState::InsufficientData));
        };
        let (ended, ()) = tokio::join!(world.run(), watching);
        assert_eq!(ended.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
        let alarm = "alarm slow reads is in ALARM";
        let unknown = "alarm slow reads is in INSUFFICIENT_DATA";
        assert_eq!(
            holds(&world).await,
            [
                format!("no -> {alarm}"),
                format!("{alarm} -> {unknown}"),
                format!("{unknown} -> no")
            ]
        );
    });
}

/// held: a run works within its hours and not outside of them, and a change of them holds like a change of the budget.
#[test]
fn held_outside_of_its_hours() {
    in_virtual_time(async {
        let settings =
            r#","total_segments":3,"max_wcu":20,"hours":"21:01-21:02,21:10-23:00 Europe/Berlin""#;
        let world = World::new(Faults::none(3), ITEMS, settings);
        let before = world.table.items();
        world.table.set_clock(EIGHT);
        let begin = Instant::now();
        let run_id = world.request.run_id();
        let watching = async {
            sleep_until(begin + 59 * SECOND).await;
            assert_eq!(seen(&world), (0, 0), "before its hours");
            let why = world.record().await.hold.unwrap().why;
            assert!(
                why.starts_with("until 2026-01-15T20:01:00Z by its hours"),
                "{why}"
            );
            sleep_until(begin + 70 * SECOND).await;
            assert!(seen(&world).0 > 0);
            sleep_until(begin + 130 * SECOND).await;
            let held = seen(&world);
            sleep_until(begin + 300 * SECOND).await;
            assert_eq!(seen(&world), held, "between its hours");
            let lift = RateChange {
                hours: Some(None),
                ..RateChange::default()
            };
            let set = world
                .planner()
                .runs
                .set_rate(&run_id, lift, "a person")
                .await;
            assert_eq!(set.unwrap().1.hours, None);
            sleep(10 * SECOND).await;
            assert!(seen(&world).0 > held.0, "it goes on");
        };
        let (ended, ()) = tokio::join!(world.run(), watching);
        assert_eq!(ended.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
    });
}

/// held, proof: a hold during the verification loses nothing of the count.
#[test]
fn held_during_the_verification() {
    in_virtual_time(async {
        let settings = r#","total_segments":3,"max_rcu":10,"pause_when":"slow""#;
        let world = World::new(Faults::none(3), ITEMS, settings);
        world.table.set_alarm(Ok(AlarmState::Ok));
        let watching = async {
            while seen(&world).1 < ITEMS + ITEMS / 3 {
                sleep(SECOND).await;
            }
            world.table.set_alarm(Ok(AlarmState::Alarm));
            sleep(10 * SECOND).await;
            let held = seen(&world);
            assert!(held.1 < 2 * ITEMS, "{held:?}");
            sleep(100 * SECOND).await;
            assert_eq!(seen(&world), held);
            world.table.set_alarm(Ok(AlarmState::Ok));
        };
        let (ended, ()) = tokio::join!(world.run(), watching);
        assert_eq!(ended.unwrap(), RunStatus::Succeeded);
        assert_eq!(
            world.table.evaluated(),
            2 * ITEMS,
            "each item is counted once"
        );
    });
}

/// held: an alarm that cannot be read for a minute, may not be read, or is gone, holds the run; a moment without an answer does
/// not.
#[test]
fn held_while_nobody_knows_the_alarm() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), ITEMS, SLOW);
        world.table.set_alarm(Ok(AlarmState::Ok));
        let begin = Instant::now();
        let at = |seconds: u32| sleep_until(begin + seconds * SECOND);
        let goes_on = async || {
            let before = seen(&world).0;
            sleep(8 * SECOND).await;
            seen(&world).0 > before
        };
        let watching = async {
            at(10).await;
            world.table.set_alarm(Err(ErrorKind::Throttled));
            at(50).await;
            assert!(goes_on().await, "for a minute");
            at(85).await;
            assert!(!goes_on().await, "longer than a minute");
            let why = world.record().await.hold.unwrap().why;
            assert!(
                why.starts_with("alarm slow reads cannot be read: "),
                "{why}"
            );
            world.table.set_alarm(Ok(AlarmState::Ok));
            sleep(6 * SECOND).await;
            assert!(goes_on().await);
            world.table.set_alarm(Err(ErrorKind::AccessDenied));
            sleep(10 * SECOND).await;
            assert!(!goes_on().await);
            world.table.delete_alarm();
            sleep(10 * SECOND).await;
            assert!(!goes_on().await);
            let why = world.record().await.hold.unwrap().why;
            assert_eq!(why, "alarm slow reads is not there any more");
            let lift = RateChange {
                pause_when: Some(None),
                ..RateChange::default()
            };
            let run_id = world.request.run_id();
            let set = world
                .planner()
                .runs
                .set_rate(&run_id, lift, "a person")
                .await;
            set.unwrap();
            sleep(6 * SECOND).await;
            assert!(goes_on().await);
        };
        let (ended, ()) = tokio::join!(world.run(), watching);
        assert_eq!(ended.unwrap(), RunStatus::Succeeded);
    });
}

/// held: it is so during the verification, too: no page is read while nobody knows the alarm, and afterwards a moment without an
/// answer is a moment again.
#[test]
fn held_while_nobody_knows_the_alarm_of_a_verification() {
    in_virtual_time(async {
        let settings = r#","total_segments":3,"max_rcu":10,"pause_when":"slow""#;
        let world = World::new(Faults::none(3), ITEMS, settings);
        world.table.set_alarm(Ok(AlarmState::Ok));
        let watching = async {
            while seen(&world).1 < ITEMS + 100 {
                sleep(SECOND).await;
            }
            world.table.set_alarm(Err(ErrorKind::Throttled));
            sleep(75 * SECOND).await;
            let held = seen(&world);
            assert!(held.1 < 2 * ITEMS, "{held:?}");
            let why = world.record().await.hold.unwrap().why;
            assert!(why.starts_with("alarm slow cannot be read: "), "{why}");
            sleep(100 * SECOND).await;
            assert_eq!(seen(&world), held);
            world.table.set_alarm(Ok(AlarmState::Ok));
            sleep(6 * SECOND).await;
            world.table.set_alarm(Err(ErrorKind::Throttled));
            sleep(20 * SECOND).await;
            assert_eq!(world.record().await.hold, None);
            world.table.set_alarm(Ok(AlarmState::Ok));
        };
        let (ended, ()) = tokio::join!(world.run(), watching);
        assert_eq!(ended.unwrap(), RunStatus::Succeeded);
        assert_eq!(world.table.evaluated(), 2 * ITEMS);
        assert_eq!(holds(&world).await.len(), 2, "one hold");
    });
}

/// held: an alarm that is not there, or may not be read, is refused before anything is written.
#[test]
fn held_by_an_unknown_alarm_is_refused() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), 10, SLOW);
        let refused = world.run().await.unwrap_err();
        let said = "pause_when: there is no alarm slow reads in this account and region";
        assert_eq!(
            (refused.kind(), refused.to_string().as_str()),
            (ErrorKind::InvalidInput, said)
        );
        world.table.set_alarm(Err(ErrorKind::AccessDenied));
        assert_eq!(
            world.run().await.unwrap_err().kind(),
            ErrorKind::AccessDenied
        );
        let stored = world.store.run(&world.request.run_id()).await.unwrap();
        assert_eq!(stored, None);
    });
}

/// held, honest-end: as the state machine goes. A worker that is held ends, the Map that fails for it is no failure, and the
/// execution is told how long to wait, until it may go on or has waited for too long.
#[test]
fn held_as_an_execution_is() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), ITEMS, SLOW);
        // The record notes when it was written by the clock of this machine.
        world.table.set_clock(now_ms());
        world.table.set_alarm(Ok(AlarmState::Ok));
        let (owner, never) = (Owner::from("first"), CancellationToken::new());
        let plan = world.begin("first").await;
        world.table.set_alarm(Ok(AlarmState::Alarm));
        let chunk = first_chunk(&plan, 0);
        let held = world.worker().work(&chunk, None, &never).await.unwrap_err();
        assert_eq!(held.kind(), ErrorKind::Held);
        let planner = world.planner();
        let failed = async |error: &str| {
            let failure = Failure {
                error: error.into(),
                message: held.to_string(),
            };
            let recorded = planner.runs.fail(&plan.run_id, &owner, failure).await;
            recorded.unwrap().error
        };
        assert_eq!(failed("Held").await, "Held");
        assert_eq!(
            failed("States.ExceedToleratedFailureThreshold").await,
            "Held"
        );
        let run = world.record().await;
        assert_eq!(run.status, RunStatus::Running);
        assert_eq!(run.hold.unwrap().why, "alarm slow reads is in ALARM");
        // Whoever begins meanwhile is held by the record, without a look at the alarm.
        let asked = world.table.alarm_asked();
        let other = first_chunk(&plan, 1);
        let held = world.worker().work(&other, None, &never).await.unwrap_err();
        assert_eq!(
            (held.kind(), world.table.alarm_asked()),
            (ErrorKind::Held, asked)
        );

        let wait = async || {
            let wait = planner.wait_in_aws(&plan.run_id, plan.pass, &owner).await?;
            Ok::<u64, backfill_core::Error>(wait.wait_seconds)
        };
        assert_eq!(wait().await.unwrap(), 30);
        sleep(3_000 * SECOND).await;
        assert_eq!(wait().await.unwrap(), 300);
        world.table.set_alarm(Ok(AlarmState::Ok));
        assert_eq!(wait().await.unwrap(), 0);
        assert_eq!(world.record().await.hold, None);
        assert_eq!(
            failed("States.ExceedToleratedFailureThreshold").await,
            "States.ExceedToleratedFailureThreshold"
        );
        assert_eq!(world.record().await.status, RunStatus::Failed);
    });
}

/// held, honest-end: an execution that has waited for too long pauses the run, before its history is full.
#[test]
fn held_for_longer_than_an_execution_can_wait() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), ITEMS, SLOW);
        world.table.set_clock(now_ms());
        world.table.set_alarm(Ok(AlarmState::Ok));
        let plan = world.begin("another execution").await;
        let owner = Owner::from("another execution");
        world.table.set_alarm(Ok(AlarmState::Alarm));
        let mut looks = 0;
        let end = loop {
            match world
                .planner()
                .wait_in_aws(&plan.run_id, plan.pass, &owner)
                .await
            {
                Ok(wait) => {
                    looks += 1;
                    sleep(Duration::from_secs(wait.wait_seconds)).await;
                }
                Err(error) => break error,
            }
        };
        assert_eq!((looks, end.kind()), (1_500, ErrorKind::NotRunning));
        let run = world.record().await;
        assert_eq!(run.status, RunStatus::Paused);
        assert!(
            run.message.contains("slow reads is in ALARM; resume it"),
            "{}",
            run.message
        );
    });
}

/// held, honest-end: a function may lack what the planner may. It is the reason of a new hold each time that the planner sees none;
/// so the run is tried ever more seldom, and paused before the history of the execution is full.
#[test]
fn held_for_one_function_alone_is_tried_ever_more_seldom() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), ITEMS, SLOW);
        world.table.set_alarm(Ok(AlarmState::Ok));
        let plan = world.begin("an execution").await;
        let owner = Owner::from("an execution");
        let planner = world.planner();
        let mut holds = Vec::new();
        let end = 'run: loop {
            let failure = Failure {
                error: "Held".into(),
                message: format!("alarm slow reads cannot be read: denied to {}", holds.len()),
            };
            let recorded = planner.runs.fail(&plan.run_id, &owner, failure).await;
            assert_eq!(recorded.unwrap().error, "Held");
            // The record notes when it was written by the clock of this machine.
            world.table.set_clock(now_ms());
            let mut held = 0;
            loop {
                match planner.wait_in_aws(&plan.run_id, plan.pass, &owner).await {
                    Ok(wait) if wait.wait_seconds == 0 => break,
                    Ok(wait) => {
                        held += wait.wait_seconds;
                        sleep(Duration::from_secs(wait.wait_seconds)).await;
                    }
                    Err(error) => break 'run error,
                }
            }
            holds.push(held);
        };
        assert_eq!(end.kind(), ErrorKind::NotRunning);
        assert!(holds.len() < 400, "{} holds", holds.len());
        let run = world.record().await;
        assert_eq!(run.status, RunStatus::Paused);
        assert!(
            run.message.contains("cannot be read: denied to"),
            "{}",
            run.message
        );
        assert!(holds[0] <= 15 && holds[10] >= 200, "{holds:?}");
    });
}

/// held: rejected items are not tried again while something holds the run, and what was tried until then is in the books.
#[test]
fn held_while_rejected_items_are_tried_again() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1,"max_wcu":10,"pause_when":"slow""#;
        let world = World::new(Faults::none(4), 1_000, settings);
        world.table.set_alarm(Ok(AlarmState::Ok));
        world.table.poison(100..300);
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        world.table.mend();
        let before = seen(&world).0;

        world.table.set_alarm(Ok(AlarmState::Alarm));
        let retried = tokio::time::timeout(100 * SECOND, world.retry_rejected()).await;
        assert_eq!(seen(&world).0, before, "nothing was written");
        let error = retried.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Held, "{error}");
        assert_eq!(world.record().await.status, RunStatus::Incomplete);

        world.table.set_alarm(Ok(AlarmState::Ok));
        let watching = async {
            sleep(8 * SECOND).await;
            world.table.set_alarm(Ok(AlarmState::Alarm));
            sleep(10 * SECOND).await;
            seen(&world).0
        };
        let (retried, held) = tokio::join!(world.retry_rejected(), watching);
        let error = retried.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Held, "{error}");
        assert!(before < held && held < before + 160, "{before}, {held}");
        assert_eq!(seen(&world).0, held, "it ends");
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!(counters.rejected, 160 - (held - before) as u64);
        assert_eq!(world.record().await.status, RunStatus::Incomplete);

        world.table.set_alarm(Ok(AlarmState::Ok));
        world.retry_rejected().await.unwrap();
        assert_eq!(world.record().await.status, RunStatus::Succeeded);
    });
}
