//! one-owner: generations in the checkpoint table.

use backfill_core::ErrorKind;
use backfill_core::ports::{CheckpointReader as _, RunStore as _, SegmentStore as _};
use backfill_core::records::{Cursor, RunRecord};

use crate::table::Table;

/// one-owner, no-gap: of a segment's checkpoints only those of the latest claim are stored, none after a later one, and the
/// same one twice if its answer was lost.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_in_the_checkpoint_table() {
    for segments in [2, 80] {
        assert_one_owner(segments).await;
    }
}

async fn assert_one_owner(segments: u32) {
    let table = Table::with_items(1).await;
    let (store, run) = table.planned(segments).await;
    let mut first = store.claim(&run, 0).await.unwrap();
    let mut late = first.clone();
    late.counters.checkpoints = 1;
    first.counters.checkpoints = 2;
    first.cursor = Cursor::Exhausted;
    for _ in 0..2 {
        store.checkpoint(&run, &first).await.unwrap();
    }
    let refused = store.checkpoint(&run, &late).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    let second = store.claim(&run, 0).await.unwrap();
    assert_eq!(second.cursor, Cursor::Exhausted);
    first.counters.checkpoints = 3;
    let refused = store.checkpoint(&run, &first).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    store.checkpoint(&run, &second).await.unwrap();
    let stored = store.segments(&run, 1, 0).await.unwrap();
    assert_eq!(stored, [second]);
}

/// one-owner: whatever comes late, a copy of the run record is never older than the record: marks and copies of an earlier
/// revision change nothing, and what is marked is no copy.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_by_the_copies_of_a_large_run() {
    let table = Table::with_items(1).await;
    let (store, first) = table.planned(80).await;
    let run_id = &first.run_id;
    for shard in 0..16 {
        let copy = store.run_copy(run_id, shard).await.unwrap();
        assert_eq!(copy.as_ref(), Some(&first));
    }
    assert_eq!(store.run_copy(run_id, 16).await.unwrap(), None);
    assert_eq!(store.run_copy("other", 0).await.unwrap(), None);

    let second = RunRecord {
        owner: "another".into(),
        revision: first.revision + 1,
        ..first.clone()
    };
    store.mark_copy(run_id, 0, second.revision).await.unwrap();
    // Put for the revision before, and carried out only now.
    store.save_copy(&first, 0).await.unwrap();
    assert_eq!(store.run_copy(run_id, 0).await.unwrap(), None);
    store.save_run(&second).await.unwrap();
    store.save_copy(&second, 0).await.unwrap();
    // Of somebody who lost the race for this revision, and of former ones.
    for revision in [second.revision, first.revision, 0] {
        store.mark_copy(run_id, 0, revision).await.unwrap();
    }
    store.save_copy(&first, 0).await.unwrap();
    assert_eq!(store.run_copy(run_id, 0).await.unwrap(), Some(second));
}
