//! never-overwrite and never-resurrect: live writers, and updates that do too much or nothing.

use std::collections::BTreeMap;

use backfill_core::Value;
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::live::{Code, Writer};
use backfill_e2e::tables::migrated;

use crate::stuff::{RUN, all, assert_accounted, wait_for_progress};

/// An attribute that is there keeps its value if others are missing.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_one_attribute_for_the_sake_of_another() {
    let database = Embedded::with_stuff(50).await;
    let before = all(&database).await;
    Ended::run(&mut database.backfill("run --table stuff --set test=1 --set more=2"))
        .expect_code(0);
    let mut expected = migrated(&before);
    for item in expected.values_mut() {
        item.insert("more".into(), Value::N("2".into()));
    }
    assert_eq!(all(&database).await, expected);
}

/// Found on the first migrated item: no second one is touched, and the run fails.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_extinguish_stops_at_the_first_item() {
    let database = Embedded::with_stuff(200).await;
    let before = all(&database).await;
    let ended = Ended::run(
        database
            .backfill("run --table stuff --json")
            .args(["--pending", "attribute_not_exists(test)"])
            .args(["--update", "SET extra = :v", "--value", ":v=1"]),
    )
    .expect_code(1);
    assert!(
        ended.stderr.contains("does not extinguish"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.json()["status"], "failed");
    let after = all(&database).await;
    let changed = after
        .iter()
        .filter(|(key, item)| before[key] != **item)
        .count();
    assert_eq!(changed, 1);
}

/// never-overwrite, never-resurrect: an application sets `test` to values of its own, deletes items, and creates
/// others, on the keys that are being migrated. Whatever it left behind is what is there at the end.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_and_never_resurrect_beside_a_live_application() {
    const ITEMS: u64 = 4000;
    let database = Embedded::with_stuff(ITEMS).await;
    let before = all(&database).await;
    let mut child = database
        .backfill(&format!("{RUN} --segments 4"))
        .spawn()
        .unwrap();
    let added = BTreeMap::from([("test".to_owned(), Value::N("1".into()))]);
    let mut writer = Writer::new(&database.client, &before, 0..ITEMS, &added, Code::New, 4);
    wait_for_progress(&database).await;
    // As many as fit beside the run: it goes on while this loop does, and ends when it ends.
    for n in 0..1500 {
        if n == 100 {
            let ended = child.try_wait().unwrap();
            assert_eq!(
                ended, None,
                "the run was over before the application had begun"
            );
        }
        writer.write().await;
    }
    let result = Ended::of(child).expect_code(0).json();
    assert_accounted(&result);
    writer.check(&all(&database).await);
}
