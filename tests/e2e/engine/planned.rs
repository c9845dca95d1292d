//! What a plan says of a run, held against what the run sends.

use std::sync::atomic::{AtomicBool, Ordering};

use backfill_e2e::wire::Verdict;

use crate::line::{Line, operations};

/// A plan names the request by which the run writes, and the run sends no other: batches if PartiQL means the same, but for the first
/// item of each segment, and else UpdateItem alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_writes_by_the_request_that_its_plan_names() {
    const SEGMENTS: usize = 4;
    let by_key = "attribute_not_exists(test) AND created > :zero";
    for (request, spec) in [
        ("BatchExecuteStatement", &["--set", "test=1"][..]),
        (
            "UpdateItem",
            &["--set", "test=1", "--writer", "update-item"],
        ),
        ("UpdateItem", &["--set", "test=1", "--set", "more=2"]),
        (
            "UpdateItem",
            &[
                "--pending",
                by_key,
                "--update",
                "SET test = :one",
                "--value",
                ":one=1",
                "--value",
                ":zero=0",
            ],
        ),
    ] {
        let line = Line::with_items(400).await;
        let common = ["--table", "stuff", "--segments", "4", "--json"];
        let plan = [&["plan"], &common[..], spec].concat();
        let plan = line.run_with(&plan).await.expect_code(0).json();
        assert_eq!(plan["written_by"]["request"], request, "{spec:?}");
        let most = plan["written_by"]["items"].as_u64().unwrap() as usize;
        let tap = line.wire.listen("stuff");
        let run = [&["run"], &common[..], spec].concat();
        let updated = line.run_with(&run).await.expect_code(0).json()["updated"].as_u64();
        let batches = operations(&tap, "BatchExecuteStatement");
        let single = operations(&tap, "UpdateItem");
        let single = single.len();
        let sizes = batches
            .iter()
            .map(|seen| seen.call.body["Statements"].as_array().unwrap().len());
        let sizes: Vec<usize> = sizes.collect();
        assert!(sizes.iter().all(|size| *size <= most), "{sizes:?}");
        let in_batches: usize = sizes.iter().sum();
        assert_eq!((single + in_batches) as u64, updated.unwrap(), "{spec:?}");
        match request {
            "UpdateItem" => assert_eq!(in_batches, 0, "{spec:?}"),
            _ => assert!((1..=SEGMENTS).contains(&single), "{single}"),
        }
    }
}

/// A run by a kept plan is refused if its settings are others now, also if the record of the run cannot be read at the first try.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_plan_is_held_against_a_record_that_is_read_at_the_second_try() {
    const COMMON: &str = "--table stuff --set test=1 --segments 4";
    let line = Line::with_items(100).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json").display().to_string();
    let plan = format!("plan {COMMON} --max-wcu 5000 --out {file}");
    line.run(&plan).await.expect_code(0);
    let canary = format!("run {COMMON} --max-wcu 300 --only-segments 0");
    line.run(&canary).await.expect_code(4);

    let before = line.items().await;
    let was_read = AtomicBool::new(false);
    let _tap = line.wire.tap("backfill-checkpoints", move |call| {
        let is_first = call.operation == "GetItem" && !was_read.swap(true, Ordering::SeqCst);
        async move {
            match is_first {
                true => Verdict::Refuse {
                    code: "ThrottlingException",
                    message: "Rate exceeded",
                },
                false => Verdict::Forward,
            }
        }
    });
    let refused = line.run(&format!("run --plan {file}")).await.expect_code(2);
    let words = "\n  --max-wcu: planned 5000, now 300\n";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    assert_eq!(line.items().await, before);
}
