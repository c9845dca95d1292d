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

/// only-U: an update that leaves copies of items pending is refused before any item of the table is touched and before there is a record,
/// with --yes, too; and so is one that cannot be read, even on a table of which nothing is pending. A dry run and a plan say it as well.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_by_an_update_that_works_on_copies() {
    let database = Embedded::with_stuff(200).await;
    let before = all(&database).await;
    let with = |command: &str, update: &str| {
        let mut command = database.backfill(command);
        command.args(["--pending", "attribute_not_exists(test)"]);
        command.args(["--update", update, "--value", ":v=1"]);
        Ended::run(&mut command)
    };
    let in_vain = with("run --table stuff", "SET extra = :v").expect_code(2);
    let words = "update: it does not make its predicate false: 25 of 25 items were still pending";
    assert!(in_vain.stderr.contains(words), "{}", in_vain.stderr);
    let dry = with("run --table stuff --dry-run", "SET extra = :v").expect_code(3);
    let tried = dry.stderr.lines().find(|line| line.starts_with("  tried "));
    let tried = tried.unwrap_or_else(|| panic!("{}", dry.stderr));
    assert!(tried.contains(" 0 refused, 2"), "{tried}");
    let words = "as it is, do not run it: the update does not make its predicate false";
    assert!(dry.stderr.contains(words), "{}", dry.stderr);
    let planned = with("plan --table stuff", "SET extra = :v").expect_code(3);
    assert!(planned.stderr.contains(words), "{}", planned.stderr);
    for command in [
        "run --table stuff",
        "run --table stuff --dry-run",
        "plan --table stuff",
    ] {
        let unreadable = with(command, "SET extra = :v, extra.a = :v").expect_code(2);
        let words = "error: update: Invalid UpdateExpression: Two document paths overlap";
        assert!(unreadable.stderr.contains(words), "{}", unreadable.stderr);
    }
    assert_eq!(all(&database).await, before);
    assert_eq!(database.table_names().await, ["stuff"]);

    with("run --table stuff", "SET test = :v").expect_code(0);
    let unreadable = with(
        "run --table stuff --run-id other",
        "SET test = :v, test.a = :v",
    )
    .expect_code(2);
    assert!(
        unreadable
            .stderr
            .contains("update: Invalid UpdateExpression"),
        "{}",
        unreadable.stderr
    );
    let status = Ended::run(&mut database.backfill("status --run-id other")).expect_code(2);
    assert!(status.stderr.contains("no run"), "{}", status.stderr);
}

/// Found on the first migrated item if it was not found on a copy: no second one is touched, and the run fails.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_extinguish_stops_at_the_first_item() {
    let database = Embedded::with_stuff(200).await;
    let before = all(&database).await;
    let ended = Ended::run(
        database
            .backfill("run --table stuff --json --no-rehearsal")
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
        .backfill(&format!("{RUN} --segments 4 --max-wcu 1000"))
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
