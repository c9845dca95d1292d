//! The record of a guard that is switched on, taken over, or refused.

use std::time::Duration;

use backfill_core::guard::{FoundMapping, SwitchOn, keep_count};
use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::{GuardReader as _, GuardStore as _};
use backfill_core::records::{GuardRecord, HOUR_MS, LossKind, MOST_UNWATCHED_MS, Proof, Watcher};
use backfill_core::{ErrorKind, Item, Key};
use backfill_testkit::{Faults, Still, in_virtual_time};

use crate::world::{NOW, World};

async fn begun(world: &World, on: &SwitchOn, now_ms: u64) -> GuardRecord {
    let guard = on.begin(&world.store, || now_ms).await.unwrap();
    assert_eq!(world.guard().await, guard);
    guard
}

#[test]
fn a_guard_that_is_on_goes_on_and_tells_what_it_may_have_missed() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let mut on = world.switch_on();
        let first = begun(&world, &on, NOW).await;
        assert_eq!((first.revision, first.generation), (2, 1));
        assert_eq!(first.guarded_since_ms(), Some(NOW));

        let second = begun(&world, &on, NOW + MOST_UNWATCHED_MS).await;
        assert_eq!((second.revision, second.generation), (3, 2));
        assert_eq!(second.guarded_since_ms(), Some(NOW));

        let late = NOW + 2 * MOST_UNWATCHED_MS + 1;
        let third = begun(&world, &on, late).await;
        assert_eq!(third.losses[0].kind, LossKind::Unwatched);
        assert_eq!(third.guarded_since_ms(), Some(late + 1));

        on.stream_arn.push('x');
        let fourth = begun(&world, &on, late).await;
        let kinds: Vec<LossKind> = fourth.losses.iter().map(|loss| loss.kind).collect();
        assert_eq!(kinds, [LossKind::Unwatched, LossKind::OtherStream]);
        assert_eq!(fourth.stream_arn, on.stream_arn);
    });
}

#[test]
fn another_guard_that_is_on_is_refused_and_one_that_is_off_makes_room() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let on = world.switch_on();
        let first = begun(&world, &on, NOW).await;
        let mut other = on.clone();
        other.spec.update = "SET test = :other".into();
        let mut function = on.clone();
        function.watcher = Watcher::Function;
        for (refused, why) in [(&other, "another change"), (&function, "by a process")] {
            let error = refused.begin(&world.store, || NOW).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let words = error.to_string();
            assert!(
                words.starts_with("guard: ") && words.contains(why),
                "{words}"
            );
        }
        assert_eq!(world.guard().await, first);

        let mut off = first;
        off.revision += 1;
        off.off_ms = Some(NOW + 1);
        world.store.save_guard(&off).await.unwrap();
        let again = begun(&world, &other, NOW + 9).await;
        assert_eq!((again.revision, again.generation), (5, 2));
        assert_eq!(again.losses[0].kind, LossKind::Off);
        assert_eq!(again.guarded_since_ms(), Some(NOW + 10));
    });
}

/// Two stacks may have a function on one stream: the record says whose watches, and another is refused as long as that is on. One that
/// an earlier version has stored says nothing of a stack, and is taken over.
#[test]
fn a_guard_is_of_one_stack_and_that_of_another_is_refused_by_name() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let mut on = world.switch_on();
        on.watcher = Watcher::Function;
        begun(&world, &on, NOW).await;
        on.stack = Some("a".into());
        let first = begun(&world, &on, NOW).await;
        assert_eq!(first.stack.as_deref(), Some("a"));
        let other = SwitchOn {
            stack: Some("b".into()),
            ..on.clone()
        };
        for error in [
            world.begin(&other).await.unwrap_err(),
            other.refuse_beside(&first).unwrap_err(),
        ] {
            let words = error.to_string();
            assert!(
                words.starts_with("guard: ")
                    && words.contains("the guard function of stack a ")
                    && words.contains("backfill guard off --table stuff --stack-name a`"),
                "{words}"
            );
        }
        assert_eq!(world.guard().await, first);
        begun(&world, &on, NOW).await;

        let mut off = world.guard().await;
        off.revision += 1;
        off.switch_off(NOW + 1, "bob");
        world.store.save_guard(&off).await.unwrap();
        other.refuse_beside(&off).unwrap();
        let again = begun(&world, &other, NOW + 2).await;
        assert_eq!(again.stack.as_deref(), Some("b"));
    });
}

/// guarded: who switches a function's guard on again that is on finds out that nothing has brought it records meanwhile.
#[test]
fn guarded_no_more_if_its_mapping_was_off_or_is_another_one() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let mapping = |uuid: &str, is_on| FoundMapping {
            uuid: uuid.into(),
            state: "Disabled".into(),
            is_on,
            ..FoundMapping::default()
        };
        let on = |mapping| SwitchOn {
            watcher: Watcher::Function,
            mapping: Some(mapping),
            ..world.switch_on()
        };
        // As a stack is deployed: it is off, and switched on now.
        let first = begun(&world, &on(mapping("7", false)), NOW).await;
        assert_eq!(first.mapping.as_deref(), Some("7"));
        let again = begun(&world, &on(mapping("7", true)), NOW + 5).await;
        assert_eq!((again.losses, again.since_ms), (Vec::new(), NOW));
        for (hours, found, words) in [
            (1, mapping("7", false), "was Disabled"),
            (2, mapping("8", true), "it is 8 now, and was 7"),
        ] {
            let now_ms = NOW + hours * HOUR_MS;
            let found = begun(&world, &on(found), now_ms).await;
            let loss = found.losses.last().unwrap();
            assert!(loss.kind == LossKind::Off && loss.what.contains(words));
            assert_eq!(found.guarded_since_ms(), Some(now_ms + 1));
        }
        let last = begun(&world, &on(mapping("8", true)), NOW + 3 * HOUR_MS).await;
        assert_eq!(last.losses.len(), 2);
    });
}

/// guarded: a count is kept with the guard, if it is of its change and began later than the one that is there, whether it has found items or
/// none. It has no keys with it. A guard of another change begins without it.
#[test]
fn guarded_by_the_count_that_began_last() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let on = world.switch_on();
        let count = |began_ms, remaining| Proof {
            remaining,
            scanned: 9,
            samples: vec![Key(Item::new())],
            lacking: [("test".to_owned(), 1)].into(),
            different: None,
            began_ms: Some(began_ms),
            at_ms: NOW + 100,
        };
        let spec = &on.spec;
        keep_count(&world.store, spec, &count(NOW, 0))
            .await
            .unwrap();
        assert_eq!(world.store.guard("stuff").await.unwrap(), None);
        begun(&world, &on, NOW).await;
        let mut other = spec.clone();
        other.update = "SET test = :other".into();
        for (spec, began_ms, remaining, kept) in [
            (&other, NOW + 9, 0, None),
            (spec, NOW + 5, 0, Some((NOW + 5, 0))),
            (spec, NOW + 4, 3, Some((NOW + 5, 0))),
            (spec, NOW + 6, 3, Some((NOW + 6, 3))),
            (spec, NOW + 6, 0, Some((NOW + 6, 3))),
            (spec, NOW + 7, 0, Some((NOW + 7, 0))),
        ] {
            keep_count(&world.store, spec, &count(began_ms, remaining))
                .await
                .unwrap();
            let proof = world.guard().await.proof;
            let found = proof
                .as_ref()
                .map(|proof| (proof.began_ms.unwrap(), proof.remaining));
            assert_eq!(found, kept, "{began_ms} {remaining}");
            assert!(proof.is_none_or(|proof| proof.samples.is_empty() && proof.lacking.is_empty()));
        }
        let kept = world.guard().await.proof;
        assert_eq!(begun(&world, &on, NOW).await.proof, kept);
        for (spec, kept) in [(spec.clone(), kept), (other, None)] {
            let mut off = world.guard().await;
            off.revision += 1;
            off.switch_off(NOW + 10, "bob");
            world.store.save_guard(&off).await.unwrap();
            let on = SwitchOn { spec, ..on.clone() };
            assert_eq!(begun(&world, &on, NOW).await.proof, kept);
        }
    });
}

/// guarded: a batch of records is settled by what the guard's record was when it was read, and until the record is stored that may be
/// nothing. A count that begins then is no proof.
#[test]
fn guarded_since_the_record_is_known_to_be_stored_however_long_that_takes() {
    for seed in 0..50 {
        in_virtual_time(seed, async {
            let world = World::new(Faults::worst(seed, 0.3, 0.3), 0).await;
            let still = world.store.by::<Still>(Still);
            for generation in 1..3 {
                let stored_ms = async {
                    loop {
                        let stored = still.guard("stuff").await.unwrap();
                        if stored.is_some_and(|stored| stored.generation == generation) {
                            return world.table.now_ms();
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let on = world.switch_on();
                let (begun, stored_ms) = tokio::join!(world.begin(&on), stored_ms);
                let mut guard = begun.unwrap();
                let since_ms = guard.guarded_since_ms().unwrap();
                let now_ms = world.table.now_ms();
                assert!(
                    (stored_ms - 1..=now_ms).contains(&since_ms),
                    "seed {seed}: stored at {stored_ms}, counts from {since_ms}, now {now_ms}"
                );
                guard.revision += 1;
                guard.off_ms = Some(now_ms);
                still.save_guard(&guard).await.unwrap();
            }
        });
    }
}

/// Whoever switched it on died before that was noted: the next one has read it, so it is stored.
#[test]
fn guarded_since_the_next_process_has_seen_the_record_if_the_first_one_died() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let on = world.switch_on();
        // One read, one write, and no answer to it.
        world.faults.crash_at(3);
        tokio::select! {
            _ = world.begin(&on) => panic!("it died"),
            () = world.faults.crashed() => {}
        }
        world.faults.restart();
        assert!(world.guard().await.since_ms > world.table.now_ms());
        let now_ms = world.table.now_ms() + 60_000;
        let second = begun(&world, &on, now_ms).await;
        assert_eq!(second.guarded_since_ms(), Some(now_ms));
    });
}

#[test]
fn who_has_switched_it_on_stays_noted_until_somebody_begins_anew() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let mut on = world.switch_on();
        on.watcher = Watcher::Function;
        let first = begun(&world, &on, NOW).await;
        let by = std::mem::replace(&mut on.by, "somebody else".into());
        let second = begun(&world, &on, NOW + 60_000).await;
        assert_eq!(second.guarded_since_ms(), first.guarded_since_ms());
        assert_eq!(second.by, by);

        let mut off = second;
        off.revision += 1;
        off.switch_off(NOW + 70_000, "bob");
        off.switch_off(NOW + 70_001, "too late");
        assert_eq!((off.last_by(), &off.by), ("bob", &by));
        world.store.save_guard(&off).await.unwrap();
        let again = begun(&world, &on, NOW + 71_000).await;
        assert_eq!(again.guarded_since_ms(), Some(NOW + 71_000 + 1));
        assert_eq!((&again.by, &again.off_by), (&on.by, &None));
    });
}
