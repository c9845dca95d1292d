//! Shards in their order, positions, and how a guard in a process ends.

use std::time::Duration;

use backfill_core::guard::oldest_unseen_ms;
use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::{GuardReader as _, GuardStore as _};
use backfill_core::records::{HOUR_MS, LossKind};
use backfill_core::{ErrorKind, Request};
use backfill_testkit::{Faults, in_virtual_time};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::{NOW, World, minutes};

/// The place of a shard's first and last page among all pages.
fn pages(world: &World, shard: &str) -> (usize, usize) {
    let read = &world.stream.state().read;
    let mut of_shard = (0..read.len()).filter(|at| read[*at] == shard);
    let first = of_shard.next().expect("it was read");
    (first, of_shard.next_back().unwrap_or(first))
}

#[test]
fn a_shard_is_read_when_its_parent_is_settled_and_new_shards_are_found() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 60).await;
        let stream = &world.stream;
        // Described in the order that is worst.
        stream.add("c", Some("b"), 20..30, false);
        stream.add("b", Some("a"), 10..20, true);
        stream.add("a", Some("gone long ago"), 0..10, true);
        stream.add("d", None, 30..40, false);
        let later = async {
            tokio::time::sleep(minutes(2)).await;
            assert_eq!(world.pending(), 20);
            stream.state().shard("c").unwrap().is_closed = true;
            stream.add("e", Some("c"), 40..60, false);
            // The end of its parent is reason enough to look for it, and else it is looked for every ten seconds.
            tokio::time::sleep(Duration::from_secs(15)).await;
            assert_eq!(world.pending(), 0);
        };
        let (followed, ()) = tokio::join!(world.follow_for(minutes(3)), later);
        followed.unwrap();
        for (parent, child) in [("a", "b"), ("b", "c"), ("c", "e")] {
            assert!(pages(&world, parent).1 < pages(&world, child).0, "{child}");
        }
        assert!(pages(&world, "d").0 < pages(&world, "b").0);
        assert_eq!(world.losses().await, []);
        let all = world.table.updates();
        assert!(all.len() == 60 && all.values().all(|updates| *updates == 1));
        // Known to be done, for the next process.
        let positions = world.store.positions("stuff").await.unwrap();
        let done = positions.iter().filter(|position| position.is_exhausted);
        let done: Vec<&str> = done.map(|position| position.shard.as_str()).collect();
        assert_eq!(done, ["a", "b", "c"]);
        let hours = world.store.guard_hours("stuff", 0).await.unwrap();
        assert_eq!((hours[0].seen, hours[0].repaired), (60, 60));
    });
}

/// Whatever a process was doing when it died: what its positions cover is settled, and the next one goes on behind that.
#[test]
fn no_record_is_passed_over_whenever_the_process_dies() {
    let mut deaths = 0;
    for step in 1..400 {
        let died = in_virtual_time(step, async {
            let world = World::new(Faults::none(step), 14).await;
            world.stream.add("a", None, 0..7, true);
            world.stream.add("b", Some("a"), 7..14, false);
            world.faults.crash_at(world.faults.steps() + step);
            let died = tokio::select! {
                followed = world.follow_for(Duration::from_secs(30)) => {
                    followed.unwrap();
                    false
                }
                () = world.faults.crashed() => true,
            };
            world.faults.restart();
            for position in world.store.positions("stuff").await.unwrap() {
                let last = position
                    .settled
                    .map_or(0, |last| last.parse::<u64>().unwrap() + 1);
                let first = if position.shard == "a" { 0 } else { 7 };
                let items = world.table.items();
                let passed = (first..last).map(backfill_testkit::ModelTable::key);
                let passed: Vec<_> = passed
                    .filter(|key| !items[key].contains_key("test"))
                    .collect();
                assert!(passed.is_empty(), "step {step}: {passed:?} are passed over");
            }
            world.follow_for(Duration::from_secs(30)).await.unwrap();
            assert_eq!(world.pending(), 0, "step {step}");
            let updates = world.table.updates();
            assert!(updates.values().all(|updates| *updates == 1), "step {step}");
            assert_eq!(world.losses().await, []);
            died
        });
        deaths += u32::from(died);
        if !died {
            break;
        }
    }
    assert!(deaths > 20, "{deaths} deaths");
}

#[test]
fn faults_iterators_that_expire_and_throttling_are_outlasted() {
    for seed in 0..30 {
        in_virtual_time(seed, async {
            let world = World::new(Faults::random(seed, 0.1, 0.1), 30).await;
            world.stream.add("a", None, 0..15, true);
            world.stream.add("b", Some("a"), 15..30, false);
            world.stream.state().throttled = 5;
            let expiring = async {
                for _ in 0..40 {
                    tokio::time::sleep(Duration::from_millis(70)).await;
                    world.stream.expire();
                }
            };
            let (followed, ()) = tokio::join!(world.follow_for(minutes(20)), expiring);
            followed.unwrap();
            world.faults.calm_down();
            assert_eq!(world.pending(), 0, "seed {seed}");
            assert_eq!(world.losses().await, []);
        });
    }
}

#[test]
fn a_shard_that_is_throttled_is_asked_less_often() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 1).await;
        world.stream.add("a", None, 0..1, false);
        world.stream.state().throttled = u32::MAX;
        world.follow_for(minutes(10)).await.unwrap();
        // Half a minute between two, in the long run.
        let reads = world.stream.state().reads;
        assert!((20..50).contains(&reads), "{reads}");
    });
}

#[test]
fn a_few_shards_have_their_turns_at_once_and_all_of_them_in_the_end() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 300).await;
        for shard in 0..30 {
            let first = shard * 10;
            world
                .stream
                .add(&format!("{shard}"), None, first..first + 10, false);
        }
        world.follow_for(minutes(1)).await.unwrap();
        assert_eq!(world.pending(), 0);
        let most = world.stream.state().most_at_work;
        assert!((4..=8).contains(&most), "{most} at once");
    });
}

#[test]
fn a_later_process_fences_an_earlier_one_off() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 20).await;
        world.stream.add("a", None, 0..20, false);
        let begin = Instant::now();
        let later = async {
            tokio::time::sleep(minutes(1)).await;
            world.follow_for(minutes(5)).await
        };
        let never = CancellationToken::new();
        let earlier = async {
            let ended = world.follow(&never).await;
            (ended, begin.elapsed())
        };
        let ((ended, after), later) = tokio::join!(earlier, later);
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert!(after < Duration::from_secs(75), "{after:?}");
        later.unwrap();
        assert_eq!(world.guard().await.generation, 2);
    });
}

/// guarded: a process that has not noticed yet that another change is on settles what is written by then with its own, and says so in
/// its position.
#[test]
fn what_a_process_of_another_change_has_settled_is_not_settled() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 20).await;
        world.stream.add("a", None, 0..10, false);
        let never = CancellationToken::new();
        let other = async {
            tokio::time::sleep(Duration::from_secs(11)).await;
            let mut guard = world.guard().await;
            guard.revision += 1;
            guard.off_ms = Some(world.table.now_ms());
            world.store.save_guard(&guard).await.unwrap();
            let mut on = world.switch_on();
            let request = Request::from_json(r#"{"table":"stuff","set":{"other":1}}"#);
            on.spec = request.unwrap().spec;
            let guard = world.begin(&on).await.unwrap();
            {
                let mut state = world.stream.state();
                let writes = (10..20).map(|id| Ok(crate::stream::old_write(id)));
                state.shard("a").unwrap().records.extend(writes);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            // The one before has passed all of it.
            assert_eq!(world.pending(), 0);
            let positions = world.store.positions("stuff").await.unwrap();
            assert_eq!((positions.len(), positions[0].generation), (1, 1));
            assert!(positions[0].settled.as_deref().unwrap().ends_with("19"));
            let unseen = oldest_unseen_ms(&world.stream, &guard, &positions);
            assert_eq!(unseen.await.unwrap(), Some(NOW));
            let stop = CancellationToken::new();
            let later = async {
                tokio::time::sleep(minutes(1)).await;
                stop.cancel();
            };
            tokio::join!(world.follow_as(&guard, &stop), later)
                .0
                .unwrap();
        };
        let (ended, ()) = tokio::join!(world.follow(&never), other);
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Fenced);
        let items = world.table.items();
        assert!(items.values().all(|item| item.contains_key("other")));
    });
}

#[test]
fn a_guard_that_is_switched_off_ends_its_process() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 1).await;
        world.stream.add("a", None, 0..1, false);
        let off = async {
            tokio::time::sleep(minutes(1)).await;
            let mut guard = world.guard().await;
            guard.revision += 1;
            guard.switch_off(NOW, "somebody");
            world.store.save_guard(&guard).await.unwrap();
        };
        let never = CancellationToken::new();
        let (ended, ()) = tokio::join!(world.follow(&never), off);
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotRunning);
        assert!(
            error.to_string().contains("switched off by somebody"),
            "{error}"
        );
    });
}

/// What a shut stream has still is settled, and then the guard is off.
#[test]
fn a_stream_that_is_switched_off_is_settled_to_its_end() {
    for is_gone in [false, true] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 40).await;
            world.stream.add("a", None, 0..20, true);
            let change = async {
                tokio::time::sleep(Duration::from_secs(35)).await;
                world.stream.add("b", None, 20..40, true);
                let mut state = world.stream.state();
                (state.is_off, state.is_gone) = (true, is_gone);
            };
            let never = CancellationToken::new();
            let (ended, ()) = tokio::join!(world.follow(&never), change);
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::TableNotFound);
            assert_eq!(world.pending(), if is_gone { 20 } else { 0 });
            assert!(!world.guard().await.is_on());
            assert_eq!(world.losses().await, [LossKind::OtherStream]);
        });
    }
}

#[test]
fn an_update_that_leaves_its_item_pending_is_sent_once() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 1).await;
        world.stream.add("a", None, 0..1, false);
        world.table.make_updates_useless();
        let never = CancellationToken::new();
        let error = world.follow(&never).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UpdateDoesNotExtinguish, "{error}");
        assert!(!world.guard().await.is_on());
        assert_eq!(world.table.updates().values().sum::<u64>(), 1);
    });
}

#[test]
fn a_guard_that_is_stopped_says_when_it_has_looked_last() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 10).await;
        world.stream.add("a", None, 0..10, false);
        let clock = async {
            tokio::time::sleep(minutes(4)).await;
            let noted = world.guard().await;
            assert!(noted.revision >= 4, "once a minute: {noted:?}");
            world.table.set_clock(NOW + HOUR_MS);
        };
        let (followed, ()) = tokio::join!(world.follow_for(Duration::from_secs(245)), clock);
        followed.unwrap();
        let looked_ms = world.guard().await.looked_ms;
        let since = looked_ms - NOW - HOUR_MS;
        assert!((4_000..7_000).contains(&since), "{since} ms");
    });
}

/// A position ends before the first item that is not settled, also if those behind it are.
#[test]
fn an_item_that_others_keep_busy_keeps_the_position_before_it() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 9).await;
        world.stream.add("a", None, 0..9, false);
        world.table.keep_busy([4], minutes(4));
        world.follow_for(Duration::from_secs(30)).await.unwrap();
        let settled = async || {
            let position = world.store.positions("stuff").await.unwrap().remove(0);
            position.settled.map(|last| last.parse::<u64>().unwrap())
        };
        assert_eq!(settled().await, Some(3));
        world.follow_for(minutes(2)).await.unwrap();
        assert_eq!(settled().await, Some(3));
        world.follow_for(minutes(5)).await.unwrap();
        assert_eq!((settled().await, world.pending()), (Some(8), 0));
        let updates = world.table.updates();
        assert!(updates.values().all(|updates| *updates == 1), "{updates:?}");
    });
}
