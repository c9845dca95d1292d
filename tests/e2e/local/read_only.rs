//! read-only: what counts and explains, and writes nothing.

use backfill_core::Key;
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use serde_json::json;

use crate::stuff::{RUN, all};

/// read-only: a dry run and a verification count, and leave the table and the list of tables as they were.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_dry_run_and_verify() {
    let database = Embedded::with_stuff(500).await;
    let before = all(&database).await;
    let dry = Ended::run(&mut database.backfill(&format!("{RUN} --dry-run"))).expect_code(3);
    assert_eq!(dry.json()["remaining"], 400);
    assert_eq!(dry.json()["updated"], 0);
    let verify = "verify --table stuff --set test=1 --json";
    let result = Ended::run(&mut database.backfill(verify))
        .expect_code(3)
        .json();
    assert_eq!(result["remaining"], 400);
    assert_eq!(result["scanned"], 500);
    let samples = result["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 10);
    for sample in samples {
        let key: Key = serde_json::from_value(sample.clone()).unwrap();
        assert!(!before[&key].contains_key("test"), "{key}");
    }
    assert_eq!(all(&database).await, before);
    assert_eq!(database.table_names().await, ["stuff"]);

    Ended::run(&mut database.backfill(RUN)).expect_code(0);
    let result = Ended::run(&mut database.backfill(verify))
        .expect_code(0)
        .json();
    assert_eq!(
        (&result["remaining"], &result["samples"]),
        (&json!(0), &json!([]))
    );
    Ended::run(&mut database.backfill(&format!("{RUN} --dry-run"))).expect_code(0);
}

/// A dry run says how the table would be cut, and what the run would cost.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_explains_segments_and_cost() {
    let database = Embedded::with_stuff(100).await;
    let dry = database
        .backfill(&format!("{RUN} --dry-run --max-wcu 40"))
        .output()
        .unwrap();
    let dry = Ended::from(dry).expect_code(3);
    for words in [
        "8 segments (one per worker; by size (less than 1 MB, 256 MiB each) it would be 1), 8 at once",
        "about 80 units: 1.00 for each item, 1.00 with indexes",
        "at least 2 s to sweep, by the budget of 40 write units/s",
        "  cost      0.0001 USD in all (us-east-1, ",
        "writes 0.0001",
    ] {
        assert!(dry.stderr.contains(words), "{words}: {}", dry.stderr);
    }
    let given = database
        .backfill(&format!("{RUN} --dry-run --segments 3"))
        .output()
        .unwrap();
    let given = Ended::from(given).expect_code(3);
    assert!(
        given.stderr.contains("3 segments (as given)"),
        "{}",
        given.stderr
    );
}
