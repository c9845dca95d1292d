//! resume: the record of a run is lost, and others of it are left.

use aws_sdk_dynamodb::types::AttributeValue;
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{migrated, put_all, string, stuff};
use serde_json::json;

use crate::stuff::{RUN, all, assert_accounted};

/// Removes a record of run `r`.
async fn lose(database: &Embedded, record: &str) {
    let request = database.client.delete_item();
    let request = request.table_name("backfill-checkpoints");
    let request = request.key("run_id", string("r"));
    request.key("record", string(record)).send().await.unwrap();
}

fn start(database: &Embedded, command: &str) -> Ended {
    Ended::run(&mut database.backfill(command)).expect_code(0)
}

/// resume: what was claimed under a record that is lost, by a later revision than a new one has, keeps nobody off.
#[tokio::test(flavor = "multi_thread")]
async fn resume_without_the_run_record_in_a_segment() {
    let database = Embedded::with_stuff(60).await;
    let run = format!("{RUN} --run-id r --segments 1");
    for _ in 0..2 {
        let canary = format!("{run} --pause-after 5");
        Ended::run(&mut database.backfill(&canary)).expect_code(4);
    }
    lose(&database, "run").await;
    let before = all(&database).await;
    let result = start(&database, &run).json();
    assert_accounted(&result);
    assert_eq!(
        (&result["scanned"], &result["updated"]),
        (&json!(60), &json!(38))
    );
    assert_eq!(all(&database).await, migrated(&before));
}

/// resume: if the record of a run is lost and others of it are left, as in the days in which TTL removes them, the first start
/// goes through the whole table, in a pass that none of them is of.
#[tokio::test(flavor = "multi_thread")]
async fn resume_without_the_run_record_starts_over() {
    let database = Embedded::with_stuff(200).await;
    let run = format!("{RUN} --run-id r --segments 4");
    start(&database, &run);
    lose(&database, "run").await;
    // Of items that came since, in whichever segment.
    let new: Vec<_> = (1_000..1_020).map(stuff).collect();
    put_all(&database.client, "stuff", &new).await;
    let before = all(&database).await;
    let result = start(&database, &format!("{RUN} --run-id r --segments 7"));
    assert!(
        result
            .stderr
            .contains("started over: the record of the run was lost"),
        "{}",
        result.stderr
    );
    let result = result.json();
    assert_accounted(&result);
    assert_eq!(
        (&result["scanned"], &result["updated"], &result["passes"]),
        (&json!(220), &json!(16), &json!(1)),
        "{result}"
    );
    assert_eq!(all(&database).await, migrated(&before));

    // The earliest of them may be removed first.
    for segment in 0..4 {
        lose(&database, &format!("pass#00001#segment#{segment:07}")).await;
    }
    lose(&database, "run").await;
    let result = start(&database, &run).json();
    assert_eq!(
        (&result["scanned"], &result["updated"]),
        (&json!(220), &json!(0))
    );
    let record = database
        .client
        .get_item()
        .table_name("backfill-checkpoints");
    let record = record
        .key("run_id", string("r"))
        .key("record", string("run"));
    let record = record.send().await.unwrap().item.unwrap();
    assert_eq!(record["pass"], AttributeValue::N("3".into()));
}
