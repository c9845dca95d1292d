//! no-gap: a table that was created anew, and an error in the middle of a page.

use backfill_core::ErrorKind;
use backfill_core::records::{Owner, RunStatus};
use backfill_testkit::Faults;
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, first_chunk, in_virtual_time, taking_over};

/// no-gap: cursors mean nothing in another table of the same name, so the run starts over.
#[test]
fn no_gap_in_a_table_that_was_created_anew() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner
            .begin(&world.request, &"first".into())
            .await
            .unwrap();
        let mut chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        world.worker().work(&chunk, None, &never).await.unwrap();
        world.table.recreate();
        let again = planner
            .begin(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        assert_eq!((again.pass, again.segments.len()), (2, 2));
        let stale = world.worker().work(&chunk, None, &never).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Fenced, "another owner");
        chunk.owner = Owner::from("second");
        let stale = world.worker().work(&chunk, None, &never).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Fenced, "the old pass is over");
    });
}

/// no-gap, honest-end: an error that trying again does not mend ends the chunk; what was acknowledged is
/// checkpointed, no further write is begun, and the next start goes on.
#[test]
fn no_gap_after_an_error_in_the_middle_of_a_page() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 60, r#","total_segments":1"#);
        let before = world.table.items();
        world.faults.fail_after(150, ErrorKind::AccessDenied);
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccessDenied);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!(counters.updated, world.table.updates().len() as u64);
        assert!(counters.updated > 0);
        world.faults.restart();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
        assert_eq!(world.counters().await.updated, 48);
    });
}
