//! What is settled and noted by a guard that another one has taken the place of: a batch may be under way for a minute, and a process lives
//! on until it notices.

use std::time::Duration;

use backfill_core::guard::{Guard, Settled, SwitchOn};
use backfill_core::pace::retry::Until;
use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::GuardStore as _;
use backfill_core::ports::stream::Brought;
use backfill_core::records::{GuardRecord, LossKind};
use backfill_core::{Request, Spec};
use backfill_testkit::{Faults, ModelStore, ModelTable, in_virtual_time};

use crate::stream::old_write;
use crate::world::World;

/// An update that leaves its item pending.
fn endless() -> Spec {
    let request = r#"{"table":"stuff","pending":"attribute_exists(payload)",
        "update":"SET touched = if_not_exists(touched, :zero) + :one","values":{":zero":0,":one":1}}"#;
    Request::from_json(request).unwrap().spec
}

fn guard(world: &World) -> Guard<ModelTable, ModelStore> {
    Guard {
        access: world.table.clone(),
        store: world.store.clone(),
    }
}

async fn switched_on(world: &World, spec: Spec) -> GuardRecord {
    let on = SwitchOn {
        spec,
        ..world.switch_on()
    };
    world.begin(&on).await.unwrap()
}

async fn switch_off(world: &World) {
    let mut off = world.guard().await;
    off.revision += 1;
    off.switch_off(world.table.now_ms(), "a test");
    world.store.save_guard(&off).await.unwrap();
}

/// What comes of an old write that the guard settles as it was read.
async fn settle(world: &World, guard_as_read: &GuardRecord) -> Settled {
    let records: Vec<Brought> = vec![Ok(old_write(0))];
    let until = Until::after(Duration::from_secs(30));
    guard(world).settle(guard_as_read, &records, &until).await
}

/// An item that cannot be repaired is a loss of the guard whose change it was, and of no other, be it on the same change once more.
#[test]
fn what_could_not_be_repaired_is_no_loss_of_a_guard_of_another_change() {
    for is_back in [false, true] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 1).await;
            world.table.poison([0]);
            let earlier = switched_on(&world, crate::world::spec()).await;
            switch_off(&world).await;
            switched_on(&world, endless()).await;
            if is_back {
                switch_off(&world).await;
                switched_on(&world, crate::world::spec()).await;
            }
            let before = world.guard().await;
            let settled = settle(&world, &earlier).await;
            assert_eq!((settled.total().failed, settled.open_from), (1, None));
            assert_eq!(world.guard().await.losses, before.losses);
        });
    }
}

/// The same guard goes on, by another process or after it was off: the loss is its own.
#[test]
fn what_could_not_be_repaired_is_a_loss_of_a_guard_that_goes_on() {
    for is_off_between in [false, true] {
        in_virtual_time(1, async {
            let world = World::new(Faults::none(1), 1).await;
            world.table.poison([0]);
            let earlier = switched_on(&world, crate::world::spec()).await;
            if is_off_between {
                switch_off(&world).await;
            }
            switched_on(&world, crate::world::spec()).await;
            settle(&world, &earlier).await;
            assert_eq!(world.losses().await.last(), Some(&LossKind::Failed));
        });
    }
}

#[test]
fn an_update_that_leaves_its_item_pending_turns_no_guard_of_another_change_off() {
    in_virtual_time(1, async {
        let world = World::new(Faults::none(1), 1).await;
        let earlier = switched_on(&world, endless()).await;
        switch_off(&world).await;
        switched_on(&world, crate::world::spec()).await;
        let before = world.guard().await;
        let settled = settle(&world, &earlier).await;
        assert!(settled.halted.is_some(), "{settled:?}");
        let after = world.guard().await;
        assert!(after.is_on(), "{after:?}");
        assert_eq!(after.losses, before.losses);

        // Its own is off.
        switch_off(&world).await;
        let own = switched_on(&world, endless()).await;
        assert!(settle(&world, &own).await.halted.is_some());
        assert!(!world.guard().await.is_on());
    });
}
