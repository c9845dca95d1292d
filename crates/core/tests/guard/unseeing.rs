//! Who begins or ends and has not seen the stream does not say that it was watched.

use backfill_core::ErrorKind;
use backfill_core::guard::{Follower, Guard, SwitchOn, Told};
use backfill_core::records::{Loss, LossKind, MOST_UNWATCHED_MS};
use backfill_testkit::{Faults, ModelStream, in_virtual_time};
use tokio_util::sync::CancellationToken;

use crate::world::{NOW, World, minutes};

/// guarded: to begin is not to watch. Whoever is begun again and again, and ends before it has seen anything, lets the time go by after which
/// records may be gone.
#[test]
fn guarded_by_nobody_who_only_begins() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 0).await;
        let on = world.switch_on();
        world.begin(&on).await.unwrap();
        let looked_ms = world.guard().await.looked_ms;
        for hours in 1..=23 {
            world.table.set_clock(looked_ms + hours * 3_600_000 - 1_000);
            world.begin(&on).await.unwrap();
            let begun = world.guard().await;
            assert_eq!((begun.looked_ms, begun.losses), (looked_ms, vec![]));
        }
        world.table.set_clock(looked_ms + MOST_UNWATCHED_MS + 1_000);
        world.begin(&on).await.unwrap();
        let losses = world.guard().await.losses;
        assert!(
            matches!(
                &losses[..],
                [Loss {
                    kind: LossKind::Unwatched,
                    ..
                }]
            ),
            "{losses:?}"
        );
        // Once.
        world.begin(&on).await.unwrap();
        assert_eq!(world.guard().await.losses, losses);
    });
}

/// guarded: a process that cannot see the stream does not say that it has watched, not when it ends either.
#[test]
fn guarded_by_no_process_that_ends_without_having_seen_the_stream() {
    for is_away in [true, false] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 0).await;
            let faults = Faults::none(2);
            let stream = ModelStream::of(&world.table, faults.clone(), 1);
            let on = SwitchOn {
                stream_arn: stream.arn().into(),
                ..world.switch_on()
            };
            let begun = world.begin(&on).await.unwrap();
            if is_away {
                faults.lose_stream(ErrorKind::Unavailable);
            }
            let follower = Follower {
                guard: Guard {
                    access: world.table.clone(),
                    store: world.store.clone(),
                },
                stream,
            };
            let stop = CancellationToken::new();
            let later = async {
                tokio::time::sleep(minutes(10)).await;
                stop.cancel();
            };
            let tell = |_: Told<'_>| {};
            let (followed, ()) = tokio::join!(follower.follow(&begun, &stop, &tell), later);
            followed.unwrap();
            let looked_ms = world.guard().await.looked_ms;
            assert_eq!(looked_ms < NOW + 60_000, is_away, "{looked_ms}");
        });
    }
}
