//! Global tables, and tables that are being changed: DescribeTable says so on the line, the database behind it knows of
//! nothing.

use backfill_e2e::tables::migrated;
use backfill_e2e::wire::{Tap, Verdict};
use serde_json::{Value as Json, json};

use crate::line::{Line, RUN, assert_counts};

/// From now on the description of the table has these fields.
fn described(line: &Line, fields: Json) -> Tap {
    let answer = json!({ "Table": fields });
    line.wire.tap("stuff", move |call| {
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
    let _tap = described(&line, json!({"Replicas": regions, "TableArn": own}));

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
        let _tap = described(&line, fields);
        line.run(RUN).await.expect_code(0);
    }
}

/// honest-end: a run begins and ends on a table that is being changed, and its plan says that it is.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_on_a_table_in_updating() {
    let line = Line::with_items(20).await;
    let _tap = described(&line, json!({"TableStatus": "UPDATING"}));
    let plan = line.run("plan --table stuff --set test=1 --json").await;
    let plan = plan.expect_code(0).json();
    let warnings = plan["warnings"].as_array().unwrap();
    let noted = warnings
        .iter()
        .any(|warning| warning["code"] == "table_not_active");
    assert!(noted, "{plan}");
    line.run(RUN).await.expect_code(0);
}
