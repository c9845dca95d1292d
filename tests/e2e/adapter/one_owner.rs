//! one-owner: generations in the checkpoint table.

use backfill_core::engine::planner::Planner;
use backfill_core::ports::{CheckpointReader as _, SegmentStore as _};
use backfill_core::records::Cursor;
use backfill_core::{ErrorKind, Request};
use backfill_dynamodb::{CheckpointTable, ReadOnly};

use crate::table::Table;

/// one-owner, no-gap: of a segment's checkpoints only those of the latest claim are stored, none after a later one, and the
/// same one twice if its answer was lost.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_in_the_checkpoint_table() {
    let table = Table::with_items(1).await;
    let store = CheckpointTable::new(&table.connection, "checkpoints");
    store.create_if_missing().await.unwrap();
    let planner = Planner::new(ReadOnly(table.connection.clone()), store.clone());
    let request = Request::from_json(r#"{"table":"stuff","set":{"test":1},"total_segments":2}"#);
    let plan = planner.plan(&request.unwrap(), &"me".into()).await.unwrap();
    let run = store.run(&plan.run_id).await.unwrap().unwrap();
    let mut first = store.claim(&run, 0).await.unwrap();
    let mut late = first.clone();
    late.counters.checkpoints = 1;
    first.counters.checkpoints = 2;
    first.cursor = Cursor::Exhausted;
    for _ in 0..2 {
        store.checkpoint(&first).await.unwrap();
    }
    let refused = store.checkpoint(&late).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    let second = store.claim(&run, 0).await.unwrap();
    assert_eq!(second.cursor, Cursor::Exhausted);
    first.counters.checkpoints = 3;
    let refused = store.checkpoint(&first).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    store.checkpoint(&second).await.unwrap();
    let stored = store.segments(&plan.run_id, 1).await.unwrap();
    assert_eq!(stored, [second]);
}
