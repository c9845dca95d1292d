//! Records of runs that an earlier version wrote: `records/version-1.jsonl` holds the checkpoint table of that version after
//! a run that ended with an item that DynamoDB refuses (`ended`, of `examples/orders`), and one that was paused after 100 of
//! 600 made-up items (`paused`, of `examples/stuff`).

use std::io::Write as _;

use backfill_e2e::command::root;
use backfill_e2e::sandbox::Sandbox;
use serde_json::{Value as Json, json};

use crate::rehearsal::path;

/// A sandbox with the recorded checkpoint table, and the 600 items anew.
async fn recorded() -> Sandbox {
    recorded_by(|line| line).await
}

/// The same, with each record as `version` would have written it.
async fn recorded_by(version: impl Fn(Json) -> Json) -> Sandbox {
    let records = root().join("tests/e2e/sandbox/records");
    let sandbox = Sandbox::start();
    let create = |file: &str| sandbox.run(&["table", "create", "--file", file]);
    create(&path("stuff", "table.json")).expect_code(0);
    let seed = ["table", "seed", "--table", "stuff", "--items", "600"];
    sandbox.run(&seed).expect_code(0);
    let described = sandbox.client.describe_table().table_name("stuff");
    let described = described.send().await.expect("it is there");
    let identity = described.table().and_then(|table| table.table_id());
    // The table of then, under whose cursors the run goes on.
    let lines = std::fs::read_to_string(records.join("version-1.jsonl")).expect("recorded");
    let lines = lines.replace(
        "c854268f-4b94-418b-b525-bfe4b1431f29",
        identity.expect("every table has an id"),
    );
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    for line in lines.lines() {
        let line = serde_json::from_str(line).expect("a record");
        writeln!(file, "{}", version(line)).expect("written");
    }
    let file = file.path().to_str().expect("a path of text");
    let table = records.join("table.json");
    create(table.to_str().expect("a path of text")).expect_code(0);
    let checkpoints = ["table", "seed", "--table", "backfill-checkpoints"];
    let all = [&checkpoints[..], &["--typed", "--file", file]].concat();
    sandbox.run(&all).expect_code(0);
    sandbox
}

/// What a run of the earlier version did is shown as that version showed it.
#[tokio::test]
async fn records_of_an_earlier_version_are_read() {
    let sandbox = recorded().await;
    let of_run = |arguments: &[&str]| sandbox.run(&[arguments, &["--run-id", "ended"]].concat());
    let status = of_run(&["status", "--json"]).expect_code(0).json();
    for (field, expected) in [
        ("status", json!("incomplete")),
        ("matched", json!(14)),
        ("updated", json!(13)),
        ("rejected", json!(1)),
        ("remaining", json!(1)),
        ("consumed_wcu", json!(48.0)),
        ("max_wcu", json!(300)),
        (
            "owner",
            json!("process 13458 on host boot 00000000 pid:[4026531836] since 1795272638334"),
        ),
    ] {
        assert_eq!(status[field], expected, "{field}");
    }
    let changed: Vec<_> = status["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| event["what"].clone())
        .collect();
    assert_eq!(
        changed,
        [
            "status",
            "status",
            "owner",
            "max_wcu",
            "only_segments",
            "max_passes",
            "status"
        ]
    );
    let rejected = of_run(&["rejected"]).expect_code(3);
    assert!(rejected.stdout.contains("o-0007"), "{}", rejected.stdout);
    let report = of_run(&["report", "--format", "markdown", "--out", "-"]).expect_code(0);
    assert!(report.stdout.contains("o-0007"), "{}", report.stdout);
}

/// After a deployment was taken back, an older version reads what a newer one has written: fields that it does not know, in
/// the record and inside its parts, are passed over.
#[tokio::test]
async fn records_of_a_later_version_with_a_field_more_are_read() {
    let later = json!({"M": {"of": {"S": "a later version"}}});
    let with_more = |mut line: Json| {
        let record = line.as_object_mut().expect("a record");
        for part in ["counters", "settings"] {
            if let Some(part) = record.get_mut(part) {
                part["M"]["later"] = later.clone();
            }
        }
        record.insert("later".into(), later.clone());
        line
    };
    let sandbox = recorded_by(with_more).await;
    let status = ["status", "--json", "--run-id", "ended"];
    let status = sandbox.run(&status).expect_code(0).json();
    assert_eq!(status["matched"], json!(14));
    let faster = ["rate", "--run-id", "paused", "--max-wcu", "2000"];
    sandbox.run(&faster).expect_code(0);
    let resumed = ["resume", "--run-id", "paused", "--json"];
    let result = sandbox.run(&resumed).expect_code(0).json();
    assert_eq!(result["remaining"], json!(0), "{result}");
}

/// resume: a run that the earlier version paused goes on from its cursors. The items before them are found by the count.
#[tokio::test]
async fn resume_goes_on_from_the_cursors_of_an_earlier_version() {
    let sandbox = recorded().await;
    let faster = ["rate", "--run-id", "paused", "--max-wcu", "2000"];
    sandbox.run(&faster).expect_code(0);
    let resumed = sandbox.run(&["resume", "--run-id", "paused", "--json"]);
    let result = resumed.expect_code(0).json();
    for (field, expected) in [
        ("status", json!("succeeded")),
        ("remaining", json!(0)),
        ("segments", json!(4)),
        ("max_wcu", json!(2000)),
        // 500 items behind the cursors, and 100 before them in a second pass.
        ("passes", json!(2)),
        // In this table the items that cut pages had updated match once more, so they count twice.
        ("scanned", json!(322 + 500 + 600)),
        ("updated", json!(322 + 500 + 100)),
    ] {
        assert_eq!(result[field], expected, "{field}");
    }
}
