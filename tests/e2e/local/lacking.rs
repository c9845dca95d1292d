//! What a proof does not say: items that the predicate leaves out may lack what the update sets. They are counted beside it.

use backfill_core::Item;
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{create, put_all};
use serde_json::{Value as Json, json};

/// 500 items, of which 40 have no `country`.
async fn things() -> Embedded {
    let database = Embedded::start().await;
    create(&database.client, "things", &[("id", "S")]).await;
    let item = |i: u32| match i % 25 {
        0 | 1 => json!({"id": {"S": format!("i-{i}")}, "a": {"S": "x".repeat(300)}}),
        _ => {
            json!({"id": {"S": format!("i-{i}")}, "a": {"S": "x".repeat(300)}, "country": {"S": "DE"}})
        }
    };
    let items: Vec<Item> = (0..500)
        .map(|i| serde_json::from_value(item(i)).unwrap())
        .collect();
    put_all(&database.client, "things", &items).await;
    database
}

/// A rename is proven when no item has the old name; that 40 items have neither name is said beside the proof, in words and figures,
/// and what it costs to know it is in the plan and in the bill.
#[tokio::test(flavor = "multi_thread")]
async fn items_that_the_predicate_leaves_out_are_counted_beside_the_proof() {
    const RENAME: &str = "--table things --rename country=land";
    const LACKING: &str = "of the items that the predicate leaves out 40 lack land";
    let database = things().await;
    let run = |command: &str, code| Ended::run(&mut database.backfill(command)).expect_code(code);
    let json = |command: &str, code| run(&format!("{command} --json"), code).json();
    let forty = json!({"land": 40});

    let plan = json(&format!("plan {RENAME}"), 0);
    assert_eq!(plan["lacking"], json!(["land"]));
    let usual = json("plan --table things --set test=1", 0);
    assert_eq!(usual["lacking"], json!([]));
    let units = |plan: &Json| {
        plan["forecast"]["verification_read_units"]
            .as_f64()
            .unwrap()
    };
    assert!((1.49..1.51).contains(&(units(&plan) / units(&usual))));
    let told = run(&format!("plan {RENAME}"), 0).stdout;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let third =
        "a third of these to count the items that the predicate leaves out and that lack land";
    assert!(told.contains(third), "{told}");

    let dry = run(&format!("run {RENAME} --dry-run --json"), 3);
    assert_eq!(dry.json()["remaining"], 460);
    assert_eq!(dry.json()["lacking"], forty);
    assert!(dry.stderr.contains(LACKING), "{}", dry.stderr);

    let ran = run(&format!("run {RENAME} --run-id r --json"), 0);
    assert_eq!(ran.json()["lacking"], forty);
    assert!(ran.stderr.contains(LACKING), "{}", ran.stderr);
    let status = json("status --run-id r", 0);
    assert_eq!(
        (&status["lacking"], &status["remaining"]),
        (&forty, &json!(0))
    );
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    run(&format!("report --run-id r --out {}", report.display()), 0);
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        report
            .contains("found 0 that do. Of the items that the predicate leaves out 40 lack land."),
        "{report}"
    );

    let again = run(&format!("verify {RENAME} --json"), 0);
    assert_eq!(again.json()["lacking"], forty);
    assert!(again.stderr.contains(LACKING), "{}", again.stderr);
    // Half as much again as a count of one predicate alone. Pages are rounded up.
    let once = json("verify --table things --set a=1", 0);
    assert_eq!(once["lacking"], json!({}));
    let units = |verified: &Json| verified["consumed_rcu"].as_f64().unwrap();
    let times = units(&again.json()) / units(&once);
    assert!((1.45..1.6).contains(&times), "{times}");
}
