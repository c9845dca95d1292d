//! What was gone before it was seen is noted before anything behind it is settled.

use std::time::Duration;

use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::{GuardReader as _, GuardStore as _};
use backfill_core::records::{HOUR_MS, LossKind, MOST_UNWATCHED_MS, ShardPosition};
use backfill_testkit::{Faults, in_virtual_time};
use tokio_util::sync::CancellationToken;

use crate::stream::odd;
use crate::world::{NOW, World, minutes};

/// A position that an earlier process has stored.
async fn store(world: &World, shard: &str, settled: Option<u64>, at_ms: u64) {
    let guard = world.begin(&world.switch_on()).await.unwrap();
    let position = ShardPosition {
        shard: shard.into(),
        stream_arn: guard.stream_arn,
        generation: guard.generation,
        settled: settled.map(|id| format!("{id:021}")),
        is_exhausted: false,
        at_ms,
    };
    world.store.save_position("stuff", &position).await.unwrap();
}

#[test]
fn trimmed_records_are_a_loss_and_the_rest_is_settled() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..30, false);
        world.stream.state().shard("a").unwrap().trimmed = 20;
        store(&world, "a", Some(4), NOW).await;
        world.follow_for(minutes(1)).await.unwrap();
        assert_eq!(world.losses().await, [LossKind::Trimmed]);
        assert_eq!(world.pending(), 20);
    });
}

/// What nobody can read by trying again is noted and passed, by a process as by the function.
#[test]
fn records_that_cannot_be_understood_are_a_loss_and_the_rest_is_settled() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..30, false);
        {
            let mut state = world.stream.state();
            let records = &mut state.shard("a").unwrap().records;
            // One within a page, one at the end of a page, and one that tells nothing, behind all others.
            records[7] = odd(Some(7));
            records[11] = odd(Some(11));
            records.push(odd(None));
        }
        world.follow_for(minutes(1)).await.unwrap();
        assert_eq!(world.pending(), 2);
        let losses = world.guard().await.losses;
        let [loss] = &losses[..] else {
            panic!("{losses:?}")
        };
        assert_eq!(loss.kind, LossKind::Failed);
        assert!(
            loss.what.contains("shard a: stream record None"),
            "{loss:?}"
        );
        let position = world.store.positions("stuff").await.unwrap().remove(0);
        let last = Some(format!("{:021}", 29));
        assert_eq!((position.settled, position.is_exhausted), (last, false));
    });
}

/// It is durable before the position moves on: whenever the process dies, the claim does not outlive what is passed.
#[test]
fn a_record_that_cannot_be_understood_is_a_loss_before_it_is_passed() {
    let mut passed = 0;
    for step in 1..60 {
        in_virtual_time(step, async {
            let world = World::new(Faults::none(step), 3).await;
            world.stream.add("a", None, 0..3, false);
            world.stream.state().shard("a").unwrap().records[1] = odd(Some(1));
            world.faults.crash_at(step);
            tokio::select! {
                ended = world.follow_for(minutes(1)) => ended.unwrap(),
                () = world.faults.crashed() => {}
            }
            world.faults.restart();
            let positions = world.store.positions("stuff").await.unwrap();
            if positions.iter().any(|position| position.settled.is_some()) {
                passed += 1;
                assert_eq!(world.losses().await, [LossKind::Failed], "step {step}");
            }
        });
    }
    assert!(passed > 10, "{passed}");
}

/// Trimming while it is read: an iterator leads to what is no more.
#[test]
fn records_that_are_trimmed_in_between_are_a_loss() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..10, false);
        let trim = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let mut state = world.stream.state();
            let shard = state.shard("a").unwrap();
            let writes = (10..30).map(|id| Ok(crate::stream::old_write(id)));
            shard.records.extend(writes);
            shard.trimmed = 15;
        };
        let (followed, ()) = tokio::join!(world.follow_for(minutes(1)), trim);
        followed.unwrap();
        assert_eq!(world.losses().await, [LossKind::Trimmed]);
        assert_eq!(world.pending(), 5);
    });
}

#[test]
fn a_shard_that_is_gone_before_its_end_is_a_loss_and_its_children_are_read() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..10, false);
        let forget = async {
            tokio::time::sleep(Duration::from_secs(35)).await;
            world.stream.forget("a");
            world.stream.add("b", Some("a"), 10..30, false);
        };
        let (followed, ()) = tokio::join!(world.follow_for(minutes(1)), forget);
        followed.unwrap();
        assert_eq!(world.losses().await, [LossKind::Trimmed]);
        assert_eq!(world.pending(), 0);
    });
}

/// Nobody can tell whether the oldest record of a shard is its first one, if nothing of it was read for long.
#[test]
fn a_shard_that_was_known_for_long_before_it_is_begun_is_a_loss() {
    // The clock goes on in between, for less than a minute.
    for (late_ms, losses) in [(0, &[][..]), (60_000, &[LossKind::Trimmed])] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 30).await;
            world.stream.add("a", None, 0..30, false);
            store(
                &world,
                "a",
                None,
                NOW + 60_000 - MOST_UNWATCHED_MS - late_ms,
            )
            .await;
            world.follow_for(minutes(1)).await.unwrap();
            assert_eq!(world.losses().await, losses);
            assert_eq!(world.pending(), 0);
            // Once: it is begun now.
            world.follow_for(minutes(1)).await.unwrap();
            assert_eq!(world.losses().await, losses);
        });
    }
}

/// The claim comes back although a shard has no records yet, however often the process begins anew.
#[test]
fn a_shard_without_records_that_was_known_for_long_is_a_loss_once() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        world.stream.add("a", None, 0..0, false);
        store(&world, "a", None, NOW - MOST_UNWATCHED_MS - 60_000).await;
        world.follow_for(minutes(1)).await.unwrap();
        let losses = world.guard().await.losses;
        assert_eq!(losses.len(), 1);
        for _ in 0..3 {
            world.follow_for(minutes(1)).await.unwrap();
            assert_eq!(world.guard().await.losses, losses);
        }
    });
}

/// guarded: what an earlier process has not settled of a shard is missed if the shard is gone, and nobody else tells of it.
#[test]
fn a_shard_that_is_gone_between_two_processes_is_a_loss_once() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 20).await;
        world.stream.add("b", Some("a"), 10..20, false);
        store(&world, "a", Some(4), NOW).await;
        for _ in 0..2 {
            world.follow_for(minutes(1)).await.unwrap();
            let losses = world.guard().await.losses;
            let [loss] = &losses[..] else {
                panic!("{losses:?}")
            };
            assert_eq!(loss.kind, LossKind::Trimmed);
            assert!(loss.what.contains("shard a was gone"), "{loss:?}");
            assert_eq!(world.pending(), 10);
            world.table.set_clock(world.table.now_ms() + HOUR_MS);
        }
    });
}

/// guarded: while nothing of a shard can be settled, what it begins with gets too old, and the oldest that is left looks like its first.
#[test]
fn a_shard_whose_begin_cannot_be_settled_for_a_day_is_a_loss() {
    for (days, losses) in [(0, &[][..]), (1, &[LossKind::Trimmed])] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 30).await;
            world.stream.add("a", None, 0..30, false);
            let stop = CancellationToken::new();
            let busy = minutes(5 * (24 * days + 2));
            world.table.keep_busy(0..30, busy);
            let stuck = async {
                for _ in 0..24 * days {
                    world.table.set_clock(world.table.now_ms() + HOUR_MS);
                    tokio::time::sleep(minutes(5)).await;
                }
                assert_eq!(world.pending(), 30);
                world.stream.state().shard("a").unwrap().trimmed = 20 * days as usize;
                tokio::time::sleep(minutes(15)).await;
                stop.cancel();
            };
            tokio::join!(world.follow(&stop), stuck).0.unwrap();
            assert_eq!(world.losses().await, losses);
            assert_eq!(world.pending(), 20 * days);
        });
    }
}

/// When a shard was seen first stays what it was, however often the process begins anew before it has had its turn.
#[test]
fn a_child_that_waits_keeps_the_time_at_which_it_was_seen() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 20).await;
        world.stream.add("a", None, 0..10, false);
        world.stream.add("b", Some("a"), 10..20, false);
        for round in 1..4 {
            world.table.set_clock(NOW + round * MOST_UNWATCHED_MS / 3);
            world.follow_for(minutes(1)).await.unwrap();
            assert_eq!(world.losses().await, [], "round {round}");
        }
        world.table.set_clock(NOW + 2 * MOST_UNWATCHED_MS - 1);
        world.stream.state().shard("a").unwrap().is_closed = true;
        world.follow_for(minutes(1)).await.unwrap();
        assert_eq!(world.losses().await, [LossKind::Trimmed]);
        assert_eq!(world.pending(), 0);
    });
}

/// The positions of another stream are none of this one, whatever its shards are called.
#[test]
fn a_stream_that_was_made_anew_is_read_from_its_begin() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 20).await;
        world.stream.add("a", None, 0..20, false);
        store(&world, "a", Some(15), NOW).await;
        let mut on = world.switch_on();
        on.stream_arn.push('2');
        let guard = world.begin(&on).await.unwrap();
        let stop = CancellationToken::new();
        let later = async {
            tokio::time::sleep(minutes(1)).await;
            stop.cancel();
        };
        let (followed, ()) = tokio::join!(world.follow_as(&guard, &stop), later);
        followed.unwrap();
        assert_eq!(world.losses().await, [LossKind::OtherStream]);
        assert_eq!(world.pending(), 0);
    });
}

/// A machine that sleeps stops the process, and nothing else tells of it: a shard that began and closed meanwhile is never described.
#[test]
fn a_process_that_wakes_after_a_day_has_missed_something() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        world.stream.add("a", None, 0..0, false);
        let stop = CancellationToken::new();
        let sleeps = async {
            tokio::time::sleep(minutes(5)).await;
            assert_eq!(world.losses().await, []);
            world
                .table
                .set_clock(world.table.now_ms() + MOST_UNWATCHED_MS + 60_000);
            tokio::time::sleep(minutes(2)).await;
            stop.cancel();
        };
        tokio::join!(world.follow(&stop), sleeps).0.unwrap();
        assert_eq!(world.losses().await, [LossKind::Unwatched]);
    });
}
