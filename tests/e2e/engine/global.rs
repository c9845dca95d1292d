//! Global tables, and tables that are being changed: DescribeTable says so on the line, the database behind it knows of
//! nothing.

use backfill_e2e::tables::migrated;
use backfill_e2e::wire::{Call, Tap, Verdict};
use serde_json::{Value as Json, json};

use crate::line::{Line, RUN, assert_counts, operations};

/// From now on the description of a table has these fields.
fn described(line: &Line, table: &str, fields: Json) -> Tap {
    let answer = json!({ "Table": fields });
    line.wire.tap(table, move |call| {
        let answer = answer.clone();
        async move {
            match call.operation.as_str() {
                "DescribeTable" => Verdict::Amend(answer),
                _ => Verdict::Forward,
            }
        }
    })
}

fn replicas(regions: &[&str]) -> Json {
    let replica = |region: &&str| json!({"RegionName": region, "ReplicaStatus": "ACTIVE"});
    regions.iter().map(replica).collect()
}

/// never-overwrite: a global table is refused before anything is written, the checkpoint table included, unless the command
/// says that nothing else writes in another region; the plan shows both.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_on_a_global_table() {
    let line = Line::with_items(200).await;
    let before = line.items().await;
    // The own region is among them, as some say it is.
    let regions = replicas(&["us-east-1", "eu-west-1", "us-west-2"]);
    let own = "arn:aws:dynamodb:us-east-1:123456789012:table/stuff";
    let _tap = described(
        &line,
        "stuff",
        json!({"Replicas": regions, "TableArn": own}),
    );

    let refused = line.run(RUN).await.expect_code(2);
    let says = "only-writer-region: the table has replicas in eu-west-1, us-west-2;";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert!(refused.stdout.is_empty(), "{}", refused.stdout);
    assert_eq!(line.database.table_names().await, ["stuff"]);
    assert!(line.items().await == before, "no item was touched");

    let plan = "plan --table stuff --set test=1 --json";
    let unsaid = line.run(plan).await.expect_code(0).json();
    assert!(
        unsaid["refused"]
            .as_str()
            .unwrap()
            .starts_with("only_writer_region: ")
    );
    assert_eq!(unsaid["settings"]["only_writer_region"], false);
    let named = |plan: &Json| -> Vec<Json> {
        let replicas = plan["table"]["replicas"].as_array().unwrap();
        replicas
            .iter()
            .map(|replica| replica["region"].clone())
            .collect()
    };
    assert_eq!(named(&unsaid), ["eu-west-1", "us-west-2"]);
    let said = line.run(&format!("{plan} --only-writer-region")).await;
    let said = said.expect_code(0).json();
    assert_eq!(said["refused"], Json::Null);
    assert_eq!(said["settings"]["only_writer_region"], true);

    line.run(&format!("{RUN} --dry-run")).await.expect_code(3);
    let ended = line.run(&format!("{RUN} --only-writer-region")).await;
    assert_counts(&ended.expect_code(0).json(), json!({"updated": 160}));
    assert_eq!(line.items().await, migrated(&before));
    // The run remembers what was said.
    line.run(RUN).await.expect_code(0);
}

/// A table whose only replica in the list is its own is no global table, and strongly consistent ones need no word.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_no_condition_misses_need_no_word() {
    let arn = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/stuff";
    for fields in [
        json!({"Replicas": replicas(&["cn-north-1"]), "TableArn": arn}),
        json!({"Replicas": replicas(&["eu-west-1"]), "MultiRegionConsistency": "STRONG"}),
    ] {
        let line = Line::with_items(20).await;
        let _tap = described(&line, "stuff", fields);
        line.run(RUN).await.expect_code(0);
    }
}

/// honest-end: a run begins and ends on a table that is being changed, and its plan says that it is; so it does if it is the
/// checkpoint table that is being changed.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_on_a_table_in_updating() {
    let line = Line::with_items(20).await;
    let changed = json!({"TableStatus": "UPDATING"});
    let _taps =
        ["stuff", "backfill-checkpoints"].map(|table| described(&line, table, changed.clone()));
    let plan = line.run("plan --table stuff --set test=1 --json").await;
    let plan = plan.expect_code(0).json();
    let warnings = plan["warnings"].as_array().unwrap();
    let noted = warnings
        .iter()
        .any(|warning| warning["code"] == "table_not_active");
    assert!(noted, "{plan}");
    line.run(RUN).await.expect_code(0);
}

/// A table that allows no transactions, in these words, and shows all calls.
fn without_transactions(line: &Line, code: &'static str) -> Tap {
    line.wire.tap("stuff", move |call: Call| async move {
        match call.operation.as_str() {
            "TransactWriteItems" => Verdict::Refuse {
                code,
                message: "Transactions are not possible here",
            },
            _ => Verdict::Forward,
        }
    })
}

const RUN_BY_QUERY: [&str; 11] = [
    "run",
    "--no-rehearsal",
    "--table",
    "stuff",
    "--json",
    "--segments",
    "4",
    "--pending",
    "attribute_not_exists(test)",
    "--value",
    ":one=1",
];
const RUN_BY_PAGE: [&str; 13] = [
    "run",
    "--no-rehearsal",
    "--table",
    "stuff",
    "--json",
    "--segments",
    "4",
    "--pending",
    "attribute_not_exists(test) AND created > :zero",
    "--value",
    ":one=1",
    "--value",
    ":zero=0",
];

/// The trial works on a table without transactions: by a query, and if the predicate names a key, by a page of a scan. Which it
/// was is said once.
#[tokio::test(flavor = "multi_thread")]
async fn the_trial_works_without_transactions() {
    let update = ["--update", "SET test = :one"];
    let by_query = [&RUN_BY_QUERY[..], &update].concat();
    let by_page = [&RUN_BY_PAGE[..], &update].concat();
    for (code, run, way, looks) in [
        ("ValidationException", &by_query, "a query", "Query"),
        ("UnknownOperationException", &by_query, "a query", "Query"),
        ("SomethingOfAnotherKind", &by_query, "a query", "Query"),
        ("ValidationException", &by_page, "a page of a scan", "Scan"),
    ] {
        let line = Line::with_items(400).await;
        let before = line.items().await;
        let tap = without_transactions(&line, code);
        let ended = line.run_with(run).await.expect_code(0);
        assert_counts(&ended.json(), json!({"updated": 320, "remaining": 0}));
        assert_eq!(line.items().await, migrated(&before));
        let said = format!("looking at updated items by {way} instead of ");
        assert_eq!(ended.stderr.matches(&said).count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(code), "{}", ended.stderr);
        // The trial chunk alone has found it out.
        assert_eq!(operations(&tap, "TransactWriteItems").len(), 1);
        let mut looked = operations(&tap, looks);
        looked.retain(|seen| seen.call.body["ConsistentRead"] == true);
        assert!(looked.len() >= 4, "{} in {way}", looked.len());
        // What was looked at is in the counters, with what the sweep and the verification read.
        let reads = tap.seen().into_iter();
        let reads = reads.filter(|seen| ["Scan", "Query"].contains(&&*seen.call.operation));
        let charged: f64 = reads.map(|seen| seen.consumed).sum();
        let counted = ended.json()["consumed_rcu"].as_f64().unwrap();
        // One page is read before the run has a record: by it the predicate is judged.
        let range = charged - 1.0..=charged;
        assert!(range.contains(&counted), "{counted} of {charged}");
    }
}

/// An update that does not extinguish its predicate is found after one item, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_extinguish_is_found_without_transactions() {
    let update = ["--update", "SET another = :one"];
    for run in [
        [&RUN_BY_QUERY[..], &update].concat(),
        [&RUN_BY_PAGE[..], &update].concat(),
    ] {
        let line = Line::with_items(100).await;
        let before = line.items().await;
        let _tap = without_transactions(&line, "ValidationException");
        let ended = line.run_with(&run).await.expect_code(1);
        let says = "the update does not extinguish its predicate";
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        let after = line.items().await;
        let touched = after.iter().filter(|(key, item)| before[*key] != **item);
        assert_eq!(touched.count(), 1);
    }
}
