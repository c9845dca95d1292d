//! What a guard in Lambda does beside settling batches: records that were given up are read again, and a look notes whether it watches.

use std::time::Duration;

use backfill_core::guard::{Found, FoundMapping, GivenUp, Guard, SwitchOn};
use backfill_core::pace::retry::Until;
use backfill_core::records::MOST_UNWATCHED_MS;
use backfill_core::records::{GuardHour, GuardRecord, LossKind, Watcher};
use backfill_core::{ErrorKind, Result};
use backfill_testkit::{Faults, ModelStore, ModelTable, in_virtual_time};

use crate::stream::odd;
use crate::world::{NOW, World, minutes};

fn guard(world: &World) -> Guard<ModelTable, ModelStore> {
    Guard {
        access: world.table.clone(),
        store: world.store.clone(),
    }
}

/// The mapping that the guard is switched on with, in this state.
fn mapping(state: &str) -> FoundMapping {
    FoundMapping {
        uuid: "7".into(),
        state: state.into(),
        is_on: state != "Disabled",
        ..FoundMapping::default()
    }
}

async fn switched_on(world: &World) -> GuardRecord {
    let on = SwitchOn {
        watcher: Watcher::Function,
        mapping: Some(mapping("Enabled")),
        ..world.switch_on()
    };
    world.begin(&on).await.unwrap()
}

/// Records from one to another of shard `a`.
fn given_up(from: u64, to: u64) -> GivenUp {
    GivenUp {
        shard: "a".into(),
        start: format!("{from:021}"),
        end: format!("{to:021}"),
        first_ms: Some(NOW + 1),
        last_ms: Some(NOW + 1),
        at_ms: None,
    }
}

/// Has these records settled again by this guard.
async fn settle(world: &World, on: &GuardRecord, given_up: &GivenUp) -> (Result<()>, GuardHour) {
    let mut done = GuardHour::default();
    let until = Until::after(Duration::from_secs(30));
    let guard = guard(world);
    let settled = guard.settle_again(on, &world.stream, given_up, &until, &mut done);
    (settled.await, done)
}

/// Has the records from one to another of shard `a` settled again by a guard that is switched on now.
async fn settle_again(world: &World, from: u64, to: u64) -> (Result<()>, GuardHour) {
    let on = switched_on(world).await;
    settle(world, &on, &given_up(from, to)).await
}

#[test]
fn records_that_were_given_up_are_settled_and_no_others() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..30, false);
        let (settled, done) = settle_again(&world, 5, 14).await;
        settled.unwrap();
        assert_eq!((done.seen, done.repaired), (10, 10));
        assert_eq!(world.pending(), 20);
        assert_eq!(world.losses().await, []);
        // A message may come twice.
        let (settled, done) = settle_again(&world, 5, 14).await;
        settled.unwrap();
        assert_eq!((done.repaired, done.raced), (0, 10));
        // The stream throttles, and iterators get too old.
        world.stream.state().throttled = 4;
        world.stream.expire();
        settle_again(&world, 0, 29).await.0.unwrap();
        assert_eq!(world.pending(), 0);
        assert_eq!(world.losses().await, []);
    });
}

#[test]
fn one_that_was_given_up_and_cannot_be_understood_leaves_the_others_to_be_settled() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..30, false);
        let last = Some(14);
        for (id, odd) in [(6, odd(Some(6))), (9, odd(None)), (14, odd(last))] {
            world.stream.state().shard("a").unwrap().records[id] = odd;
        }
        let (settled, done) = settle_again(&world, 5, 14).await;
        settled.unwrap();
        assert_eq!((done.repaired, world.pending()), (7, 23));
        let losses = world.guard().await.losses;
        let [loss] = &losses[..] else {
            panic!("{losses:?}")
        };
        assert_eq!(loss.kind, LossKind::Failed);
        let words = format!("shard a: stream record {:?}", Some(format!("{:021}", 14)));
        assert!(loss.what.contains(&words), "{loss:?}");
    });
}

#[test]
fn records_that_were_given_up_and_are_gone_are_a_loss() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..30, true);
        world.stream.state().shard("a").unwrap().trimmed = 8;
        let (settled, done) = settle_again(&world, 5, 14).await;
        settled.unwrap();
        assert_eq!(done.repaired, 7, "what is left of them is settled");
        assert_eq!(world.losses().await, [LossKind::Dropped]);

        let world = World::new(Faults::none(1), 3).await;
        let (settled, done) = settle_again(&world, 0, 2).await;
        settled.unwrap();
        assert_eq!(done.seen, 0);
        assert_eq!(world.losses().await, [LossKind::Dropped]);
    });
}

/// A guard that is switched on for an old stream is brought what is a day old, and some of that is gone before it is read again. It
/// claims nothing of that time.
#[test]
fn records_that_came_before_the_guard_has_watched_are_no_loss_if_they_are_gone() {
    for (last_ms, losses) in [
        (Some(NOW - 61_000), &[][..]),
        (Some(NOW), &[LossKind::Dropped]),
        (None, &[LossKind::Dropped]),
    ] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 30).await;
            world.stream.add("a", None, 0..30, true);
            world.stream.state().shard("a").unwrap().trimmed = 8;
            let on = switched_on(&world).await;
            let given_up = GivenUp {
                last_ms,
                ..given_up(5, 14)
            };
            let (settled, done) = settle(&world, &on, &given_up).await;
            settled.unwrap();
            assert_eq!(done.repaired, 7, "what is left of them is settled");
            assert_eq!(world.losses().await, losses);
        });
    }
}

/// guarded: Lambda that comes to a shard a day late begins with the oldest record that is left, and tells nobody what it has passed.
#[test]
fn guarded_no_more_if_lambda_comes_so_late_that_records_may_be_gone() {
    for (late_ms, since_ms, losses) in [
        (MOST_UNWATCHED_MS, 0, &[][..]),
        (MOST_UNWATCHED_MS + 1, 0, &[LossKind::Trimmed]),
        // What is as old as that when the guard is switched on was counted.
        (MOST_UNWATCHED_MS + 1, 120_000, &[]),
    ] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 30).await;
            world.stream.add("a", None, 0..30, false);
            let on = GuardRecord {
                since_ms: NOW + since_ms,
                ..switched_on(&world).await
            };
            let guard = guard(&world);
            let at_ms = NOW + late_ms;
            world.table.set_clock(at_ms);
            let given_up = GivenUp {
                first_ms: Some(NOW),
                at_ms: Some(at_ms),
                ..given_up(5, 14)
            };
            let (settled, done) = settle(&world, &on, &given_up).await;
            settled.unwrap();
            assert_eq!(done.repaired, 10);
            assert_eq!(world.losses().await, losses);
            // As of a batch that is handed over so late, which is noted once.
            let on = GuardRecord {
                losses: world.guard().await.losses,
                ..on
            };
            guard.note_late(&on, NOW, at_ms).await.unwrap();
            assert_eq!(world.guard().await.losses, on.losses);
        });
    }
}

/// If the stream may have let go of all of them, they are noted as lost, and nobody tries for ever what a count has to find.
#[test]
fn records_that_were_given_up_and_are_older_than_a_day_are_a_loss_and_are_left() {
    for first_ms in [Some(NOW + 1), None] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 30).await;
            world.stream.add("a", None, 0..30, false);
            let on = switched_on(&world).await;
            world.stream.state().throttled = 1_000;
            world.table.set_clock(NOW + 24 * 3_600_000 + 60_000);
            let old = GivenUp {
                first_ms,
                ..given_up(0, 29)
            };
            settle(&world, &on, &old).await.0.unwrap();
            assert_eq!(world.losses().await, [LossKind::Dropped], "{first_ms:?}");
            assert_eq!(world.pending(), 30);
        });
    }
}

/// While they cannot be settled, nobody knows whether they are there still, and the queue forgets them in the end.
#[test]
fn records_that_were_given_up_and_are_open_for_a_day_are_a_loss() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..30, false);
        let day = 24 * 3_600_000;
        let on = switched_on(&world).await;
        for (age_ms, is_loss) in [(day - 60_000, false), (day + 60_000, true)] {
            world.stream.state().throttled = 1_000;
            world.table.set_clock(NOW + age_ms);
            // The last of them is younger than the first: the stream has that one still.
            let younger = GivenUp {
                last_ms: Some(NOW + 120_000),
                ..given_up(0, 29)
            };
            let (settled, _) = settle(&world, &on, &younger).await;
            settled.unwrap_err();
            let losses = world.losses().await;
            assert_eq!(losses.contains(&LossKind::Dropped), is_loss, "{losses:?}");
        }
    });
}

#[test]
fn records_that_cannot_be_read_in_time_are_no_loss_and_come_again() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 30).await;
        world.stream.add("a", None, 0..30, false);
        world.stream.state().throttled = 1_000;
        let (settled, _) = settle_again(&world, 0, 29).await;
        assert!(settled.unwrap_err().kind().is_retryable());
        assert_eq!(world.pending(), 30);
        assert_eq!(world.losses().await, []);
        // What should be there and is not yet, is waited for until the time is over.
        world.stream.state().throttled = 0;
        world.stream.state().shard("a").unwrap().records.truncate(9);
        let (settled, done) = settle_again(&world, 0, 29).await;
        assert_eq!(settled.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(done.repaired, 9);
    });
}

/// What a look may find that is not well, the loss that it is, and words of it.
fn amiss(well: &Found) -> [(Found, LossKind, &'static str); 6] {
    let enabled = || mapping("Enabled");
    let made_anew = FoundMapping {
        uuid: "8".into(),
        ..enabled()
    };
    let drops = FoundMapping {
        drops: Some("its filter is odd".into()),
        ..enabled()
    };
    [
        (
            Found {
                mappings: vec![drops],
                ..well.clone()
            },
            LossKind::Dropped,
            "passed over records: its filter is odd",
        ),
        (
            Found {
                mappings: vec![mapping("Disabled")],
                ..well.clone()
            },
            LossKind::Off,
            "is Disabled",
        ),
        (
            Found {
                mappings: Vec::new(),
                ..well.clone()
            },
            LossKind::Off,
            "has no event source mapping",
        ),
        (
            Found {
                stream_arn: None,
                ..well.clone()
            },
            LossKind::OtherStream,
            "is switched off",
        ),
        (
            Found {
                stream_arn: Some("another".into()),
                ..well.clone()
            },
            LossKind::OtherStream,
            "is another now",
        ),
        (
            Found {
                mappings: vec![made_anew],
                ..well.clone()
            },
            LossKind::Off,
            "made anew: it is 8 now, and was 7",
        ),
    ]
}

#[test]
fn a_look_is_one_change_and_tells_what_may_have_been_missed() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let on = switched_on(&world).await;
        let well = |state: &str| Found {
            mappings: vec![mapping("Disabled"), mapping(state)],
            stream_arn: Some(on.stream_arn.clone()),
        };
        let guard = guard(&world);
        for state in ["Enabled", "Enabling", "Updating", "Creating"] {
            let revision = world.guard().await.revision;
            let losses = guard.note_look(&on, &well(state)).await.unwrap();
            assert_eq!(losses, []);
            assert_eq!(world.guard().await.revision, revision + 1);
        }
        world.table.set_clock(NOW + MOST_UNWATCHED_MS);
        guard
            .note_look(&world.guard().await, &well("Enabled"))
            .await
            .unwrap();
        let on = world.guard().await;
        assert!(on.looked_ms >= NOW + MOST_UNWATCHED_MS);
        assert_eq!(on.losses, []);

        for (found, kind, words) in amiss(&well("Enabled")) {
            let losses = guard.note_look(&on, &found).await.unwrap();
            let [loss] = &losses[..] else {
                panic!("{losses:?}")
            };
            assert!(loss.kind == kind && loss.what.contains(words), "{loss:?}");
            assert_eq!(world.guard().await.losses.last(), Some(loss));
        }
        // The mapping that was made anew brings the records from now on.
        let stored = world.guard().await;
        assert_eq!(stored.mapping.as_deref(), Some("8"));
        let back = guard.note_look(&stored, &well("Enabled")).await.unwrap();
        assert!(back[0].what.contains("is 7 now, and was 8"), "{back:?}");
        let stored = world.guard().await;
        let later = stored.looked_ms + MOST_UNWATCHED_MS + 1;
        world.table.set_clock(later);
        let losses = guard.note_look(&stored, &well("Enabled")).await.unwrap();
        assert_eq!(losses[0].kind, LossKind::Unwatched);
        let stored = world.guard().await;
        assert_eq!(stored.guarded_since_ms(), Some(losses[0].at_ms + 1));
    });
}

/// A look that was begun before the guard was switched on anew knows nothing of it.
#[test]
fn a_look_at_an_earlier_guard_changes_nothing() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let earlier = switched_on(&world).await;
        switched_on(&world).await;
        tokio::time::sleep(minutes(1)).await;
        let before = world.guard().await;
        let guard = guard(&world);
        guard.note_look(&earlier, &Found::default()).await.unwrap();
        let after = world.guard().await;
        assert_eq!(
            (after.losses, after.looked_ms),
            (before.losses, before.looked_ms)
        );
    });
}

/// A mapping may be enabled, and Lambda not able to read the stream or to call the function: what it is not brought gets too old.
#[test]
fn guarded_by_nobody_who_is_brought_no_records() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let on = switched_on(&world).await;
        let found = |problem: Option<&str>| Found {
            mappings: vec![FoundMapping {
                problem: problem.map(Into::into),
                ..mapping("Enabled")
            }],
            stream_arn: Some(on.stream_arn.clone()),
        };
        let guard = guard(&world);
        let looked_ms = world.guard().await.looked_ms;
        let problem = Some("PROBLEM: Function call failed");
        for hours in 1..=23 {
            world.table.set_clock(looked_ms + hours * 3_600_000 - 1_000);
            let losses = guard.note_look(&world.guard().await, &found(problem)).await;
            assert_eq!(losses.unwrap(), []);
            assert_eq!(world.guard().await.looked_ms, looked_ms);
        }
        world.table.set_clock(looked_ms + 24 * 3_600_000);
        let losses = guard.note_look(&world.guard().await, &found(None)).await;
        assert_eq!(losses.unwrap()[0].kind, LossKind::Unwatched);
        assert!(world.guard().await.looked_ms > looked_ms);
    });
}
