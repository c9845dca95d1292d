//! The record of a guard that is switched on, taken over, or refused.

use backfill_core::ErrorKind;
use backfill_core::guard::{MOST_UNWATCHED_MS, RECORD_KNOWN_FOR_MS, SwitchOn};
use backfill_core::ports::guard::GuardStore as _;
use backfill_core::records::{GuardRecord, LossKind, Watcher};
use backfill_testkit::{Faults, in_virtual_time};

use crate::world::{NOW, World};

async fn begun(world: &World, on: &SwitchOn) -> GuardRecord {
    let guard = on.begin(&world.store).await.unwrap();
    assert_eq!(world.guard().await, guard);
    guard
}

#[test]
fn a_guard_that_is_on_goes_on_and_tells_what_it_may_have_missed() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let mut on = world.switch_on();
        on.now_ms = NOW;
        let first = begun(&world, &on).await;
        assert_eq!((first.revision, first.generation), (1, 1));
        assert_eq!(first.guarded_since_ms(), Some(NOW));

        on.now_ms = NOW + MOST_UNWATCHED_MS;
        let second = begun(&world, &on).await;
        assert_eq!((second.revision, second.generation), (2, 2));
        assert_eq!(second.guarded_since_ms(), Some(NOW));

        on.now_ms += MOST_UNWATCHED_MS + 1;
        let third = begun(&world, &on).await;
        assert_eq!(third.losses[0].kind, LossKind::Unwatched);
        assert_eq!(third.guarded_since_ms(), Some(on.now_ms + 1));

        on.stream_arn.push('x');
        let fourth = begun(&world, &on).await;
        let kinds: Vec<LossKind> = fourth.losses.iter().map(|loss| loss.kind).collect();
        assert_eq!(kinds, [LossKind::Unwatched, LossKind::OtherStream]);
        assert_eq!(fourth.stream_arn, on.stream_arn);
    });
}

#[test]
fn another_guard_that_is_on_is_refused_and_one_that_is_off_makes_room() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let mut on = world.switch_on();
        on.now_ms = NOW;
        let first = begun(&world, &on).await;
        let mut other = on.clone();
        other.spec.update = "SET test = :other".into();
        let mut function = on.clone();
        function.watcher = Watcher::Function;
        for (refused, why) in [(&other, "another change"), (&function, "by a process")] {
            let error = refused.begin(&world.store).await.unwrap_err();
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
        other.now_ms = NOW + 9;
        let again = begun(&world, &other).await;
        assert_eq!((again.revision, again.generation), (3, 2));
        assert_eq!(again.losses[0].kind, LossKind::Off);
        assert_eq!(again.guarded_since_ms(), Some(NOW + 10));
    });
}

/// guarded: instances of a function go for a while by what they have read of the record, so that they may still pass what is written right
/// after a guard is switched on. A count that begins then is no proof yet.
#[test]
fn guarded_by_functions_only_once_none_of_them_goes_by_an_older_record() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let mut on = world.switch_on();
        (on.watcher, on.now_ms) = (Watcher::Function, NOW);
        let first = begun(&world, &on).await;
        assert_eq!(first.guarded_since_ms(), Some(NOW + RECORD_KNOWN_FOR_MS));

        // It is on: what functions have read of it is as it was.
        on.now_ms = NOW + 60_000;
        let second = begun(&world, &on).await;
        assert_eq!(second.guarded_since_ms(), first.guarded_since_ms());

        let mut off = second;
        off.revision += 1;
        off.off_ms = Some(NOW + 70_000);
        world.store.save_guard(&off).await.unwrap();
        on.now_ms = NOW + 71_000;
        let again = begun(&world, &on).await;
        let since_ms = on.now_ms + RECORD_KNOWN_FOR_MS;
        assert_eq!(again.guarded_since_ms(), Some(since_ms));
    });
}
