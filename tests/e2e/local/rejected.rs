//! Items that cannot be updated, tried again: the books of the run balance, and it ends.

use std::time::Instant;

use backfill_core::{Item, Value};
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{put_all, stuff};
use serde_json::{Value as Json, json};

use crate::stuff::{all, assert_accounted};

const RUN: &str =
    "run --table stuff --run-id r --segments 4 --json --pending attribute_not_exists(gross)";
const UPDATE: [&str; 4] = ["--update", "SET gross = price + :tax", "--value", ":tax=5"];

fn fields<const N: usize>(of: &Json, names: [&str; N]) -> [u64; N] {
    names.map(|name| {
        of[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} of {of}"))
    })
}

/// A table of 100 items, of which 30 will be refused, and what makes these acceptable.
async fn refused() -> (Embedded, Vec<Item>) {
    let database = Embedded::with_stuff(100).await;
    let mended: Vec<Item> = (40..70).map(stuff).collect();
    let mut refused = mended.clone();
    for item in &mut refused {
        item.insert("price".into(), Value::S("no number".into()));
    }
    put_all(&database.client, "stuff", &refused).await;
    (database, mended)
}

/// A run of these items in three passes, each of which was refused the same.
async fn refused_in_three_passes() -> (Embedded, Vec<Item>) {
    let (database, mended) = refused().await;
    let ended = Ended::run(database.backfill(RUN).args(UPDATE)).expect_code(3);
    let result = ended.json();
    assert_accounted(&result);
    let names = ["passes", "matched", "updated", "rejected", "remaining"];
    assert_eq!(fields(&result, names), [3, 100, 70, 30, 30], "{result}");
    (database, mended)
}

/// accounting, honest-end, budget: items that were refused in each of three passes count once; those that are mended move to what
/// became of them, at the rate that is asked for; and when none is left the run is verified, and has succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_and_proof_after_rejected_items_are_mended() {
    let (database, mended) = refused_in_three_passes().await;
    let names = ["matched", "updated", "rejected"];

    // Some are mended: the count of before is no proof any more.
    let of_run = |what: &str| Ended::run(&mut database.backfill(&format!("{what} --run-id r")));
    put_all(&database.client, "stuff", &mended[..10]).await;
    // No writer is to be looked for before these.
    let said = of_run("status").expect_code(0).stdout;
    let advice = "30 items are still pending after 3 passes";
    let list = "if they are among the rejected ones (backfill rejected), mend them";
    assert!(said.contains(advice) && said.contains(list), "{said}");
    let retried = of_run("rejected --retry --json").expect_code(3).json();
    assert_eq!(fields(&retried["retried"], ["updated", "raced"]), [10, 0]);
    assert_eq!(
        (&retried["status"], &retried["remaining"]),
        (&json!("incomplete"), &Json::Null)
    );
    let status = of_run("status --json").expect_code(0).json();
    assert_accounted(&status);
    assert_eq!(fields(&status, names), [100, 80, 20], "{status}");
    let report = of_run("report --format markdown --out -").expect_code(0);
    assert!(
        report
            .stdout
            .contains("NOT complete: 20 items of table stuff cannot be updated"),
        "{}",
        report.stdout
    );

    put_all(&database.client, "stuff", &mended[10..]).await;
    let begin = Instant::now();
    let retried = of_run("rejected --retry --max-wcu 10 --json").expect_code(0);
    assert!(begin.elapsed().as_secs_f64() > 1.5, "{:?}", begin.elapsed());
    for words in ["20 updated", "succeeded: nothing is pending any more"] {
        assert!(retried.stderr.contains(words), "{}", retried.stderr);
    }
    let retried = retried.json();
    assert_eq!(
        (
            &retried["status"],
            &retried["remaining"],
            &retried["rejected"]
        ),
        (&json!("succeeded"), &json!(0), &json!([]))
    );
    let status = of_run("status --json").expect_code(0).json();
    assert_accounted(&status);
    assert_eq!(fields(&status, names), [100, 100, 0], "{status}");
    assert_eq!(fields(&status, ["remaining", "max_wcu"]), [0, 10]);
    assert_eq!(moved(&status), [("30", "20"), ("20", "0")]);
    assert!(
        all(&database)
            .await
            .values()
            .all(|item| item.contains_key("gross"))
    );
    of_run("rejected").expect_code(0);
}

/// honest-end: a retry that leaves no rejected item of a run that was stopped is no proof, and says so by its exit code, too; so it is
/// if there is nothing to try again. The run's next end is the proof.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_of_a_retry_that_proves_nothing() {
    let (database, mended) = refused().await;
    let canary = Ended::run(
        database
            .backfill(RUN)
            .args(UPDATE)
            .args(["--only-segments", "0,1,2"]),
    );
    let rejected = canary.expect_code(4).json()["rejected"].as_u64().unwrap();
    assert!(rejected > 0);
    let of_run = |what: &str| Ended::run(&mut database.backfill(&format!("{what} --run-id r")));
    put_all(&database.client, "stuff", &mended).await;
    for (status, updated) in [("paused", rejected), ("cancelled", 0)] {
        if status == "cancelled" {
            of_run("cancel").expect_code(0);
        }
        let retried = of_run("rejected --retry --json").expect_code(4);
        let said = format!(
            "no item of run r is rejected any more, but the run is {status} and not verified; start it again"
        );
        assert!(retried.stderr.contains(&said), "{}", retried.stderr);
        let retried = retried.json();
        let names = ["status", "remaining"].map(|name| &retried[name]);
        assert_eq!(names, [&json!(status), &Json::Null], "{retried}");
        let count = retried["retried"]["updated"].as_u64().unwrap_or(0);
        assert_eq!(count, updated, "{retried}");
    }
    // Nothing is tried, so it is no more than a list.
    of_run("rejected").expect_code(0);
    let ended = Ended::run(database.backfill(RUN).args(UPDATE)).expect_code(0);
    assert_eq!(ended.json()["remaining"], 0);
    of_run("rejected --retry").expect_code(0);
}

/// How many items were rejected before and after, by the history of a run.
fn moved(status: &Json) -> Vec<(&str, &str)> {
    let events = status["events"].as_array().expect("events");
    let moved = events.iter().filter(|event| event["what"] == "rejected");
    moved
        .map(|event| {
            let text = |name: &str| event[name].as_str().expect("a text");
            (text("old"), text("new"))
        })
        .collect()
}
