//! accounting: rejected items one by one, and the history within a chunk.

use std::time::Duration;

use backfill_core::ErrorKind;
use backfill_core::engine::worker::Chunk;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::RunStatus;
use backfill_testkit::{Faults, LiveWriter};
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, first_chunk, in_virtual_time};

/// The history of a segment is flushed about every ten seconds, not at each checkpoint, and at the end of each chunk.
#[test]
fn accounting_of_the_history_goes_on_within_a_chunk() {
    in_virtual_time(async {
        let world = World::new(Faults::none(7), 1000, r#","total_segments":1,"max_wcu":10"#);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run = world.record().await;
        let [segment] = &world.store.segments(&run, 1, 0).await.unwrap()[..] else {
            panic!("one segment")
        };
        let buckets = world.store.history(&run, 1, 0).await.unwrap();
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
        let rejected = world.store.rejected(&run, run.pass, 0).await.unwrap();
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
        let again = world.retry_rejected().await.unwrap();
        assert_eq!((again.updated, again.vanished), (1, 1));
        assert_eq!(again.rejected.len(), 1);
        assert_eq!(world.table.updates().len(), updates + 1, "no other item");
        let left = world.store.rejected(&run, run.pass, 0).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].key, again.rejected[0].key);
        // The books balance, and the run is as it was, but for a count that says nothing any more.
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!((counters.rejected, counters.vanished), (1, 1));
        let now = world.record().await;
        assert_eq!((now.status, &now.proof), (RunStatus::Incomplete, &None));
        assert_eq!(now.owner, run.owner);
        assert!(now.message.contains("1 rejected again"), "{}", now.message);
        let moved = |event: &&backfill_core::records::Event| event.what == "rejected";
        let moved = now.events.iter().find(moved).unwrap();
        assert_eq!((moved.old.as_str(), moved.new.as_str()), ("3", "1"));

        // The last one is mended as well: the run is verified, and has succeeded.
        world.table.poison([]);
        let again = world.retry_rejected().await.unwrap();
        assert_eq!((again.updated, again.rejected.len()), (1, 0));
        let now = world.record().await;
        assert_eq!(now.status, RunStatus::Succeeded, "{}", now.message);
        assert_eq!(now.proof.unwrap().remaining, 0);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!(counters.rejected, 0);
        // A write whose answer was lost was found as raced.
        let changed = counters.updated + counters.raced;
        assert_eq!(changed, world.table.updates().len() as u64);
    });
}

/// one-owner: rejected items of a run that somebody holds are not tried again beside it, unless that one is known to be dead. Then
/// the run is paused, since nobody works for it.
#[test]
fn one_owner_also_tries_rejected_items_again() {
    in_virtual_time(async {
        let world = World::new(Faults::none(2), 200, r#","total_segments":2"#);
        world.table.poison([3, 17]);
        let plan = world.begin("first").await;
        let never = CancellationToken::new();
        let chunk = first_chunk(&plan, 0);
        world.worker().work(&chunk, None, &never).await.unwrap();
        let before = world.table.updates();
        let error = world.retry_rejected().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActiveElsewhere, "{error}");
        assert_eq!(world.table.updates(), before);
        assert_eq!(world.record().await.owner, "first".into());

        world.table.poison([]);
        let again = world.retry_rejected_from("first").await.unwrap();
        assert_eq!(
            world.table.updates().len(),
            before.len() + again.updated as usize
        );
        assert_eq!(world.record().await.status, RunStatus::Paused);
        let late = world.worker().work(&chunk, None, &never).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::NotRunning, "{late}");
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!((counters.rejected, counters.scanned), (0, 200));
        assert_eq!(counters.updated, world.table.updates().len() as u64);
    });
}

/// budget: rejected items are tried again within it.
#[test]
fn budget_of_rejected_items_that_are_tried_again() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1,"max_wcu":10"#;
        let world = World::new(Faults::none(4), 1_000, settings);
        world.table.poison(100..300);
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        world.table.poison([]);
        let updated = world.table.updates().len();
        let begin = tokio::time::Instant::now();
        let again = world.retry_rejected().await.unwrap();
        assert_eq!(again.updated, 160);
        assert_eq!(world.table.updates().len(), updated + 160);
        let seconds = begin.elapsed().as_secs_f64();
        assert!((15.0..25.0).contains(&seconds), "{seconds}");
        assert_eq!(world.record().await.status, RunStatus::Succeeded);
    });
}

/// accounting: once an update was accepted, one that is refused in words that nobody knows is rejected with these words; all
/// other items are migrated, and batches go on.
#[test]
fn accounting_of_refusals_that_do_not_explain_themselves() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1"#;
        let world = World::new(Faults::none(4), 400, settings);
        // Every seventh of those that are pending or not; the trial's first item is none of them.
        let misfits: Vec<u64> = (0..400).filter(|id| id % 7 == 0).collect();
        world.table.misfit(misfits.clone());
        let pending = misfits.iter().filter(|id| *id % 10 < 8).count() as u64;
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!(
            (counters.rejected, counters.updated),
            (pending, 320 - pending)
        );
        let run = world.record().await;
        let rejected = world.store.rejected(&run, 1, 0).await.unwrap();
        assert_eq!(rejected.len() as u64, pending);
        assert!(rejected.iter().all(|item| item.reason == "it does not fit"));
        assert!(!world.table.has_no_batches(), "batches went off");
        assert_eq!(world.table.updates().len() as u64, 320 - pending);
    });
}

/// accounting: a worker that knows of no accepted update asks the records. What another worker has shown is enough, and if
/// nobody has shown it, the first such refusal ends the run.
#[test]
fn accounting_of_refusals_rests_on_what_any_worker_has_seen() {
    in_virtual_time(async {
        for is_shown in [true, false] {
            let world = World::new(Faults::none(2), 200, r#","total_segments":2"#);
            let plan = world.begin("first").await;
            let never = CancellationToken::new();
            if is_shown {
                let trial = Chunk {
                    trial: true,
                    ..first_chunk(&plan, 0)
                };
                world.worker().work(&trial, None, &never).await.unwrap();
            }
            world.table.misfit(0..200);
            let before = world.table.updates();
            let chunk = first_chunk(&plan, 1);
            let worked = world.worker().work(&chunk, None, &never).await;
            assert_eq!(world.table.updates(), before);
            let run = world.record().await;
            let rejected = world.store.rejected(&run, 1, 0).await.unwrap();
            if is_shown {
                let counters = worked.unwrap().counters;
                assert!(counters.rejected > 60, "{counters:?}");
                assert_eq!(counters.rejected, rejected.len() as u64);
            } else {
                let error = worked.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidSpec, "{error}");
                for words in [
                    "it does not fit",
                    "item-",
                    "backfill plan looks for such items",
                ] {
                    assert!(error.to_string().contains(words), "{error}");
                }
                assert!(rejected.is_empty(), "{rejected:?}");
            }
        }
    });
}

/// accounting: what DynamoDB says of the request ends the run, however many updates it has accepted.
#[test]
fn accounting_of_a_request_that_becomes_invalid() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 400, r#","total_segments":2"#);
        world.faults.fail_after(150, ErrorKind::InvalidSpec);
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec, "{error}");
        let updated = world.table.updates().len();
        assert!((1..320).contains(&updated), "{updated}");
        assert_eq!(world.counters().await.rejected, 0);
    });
}
