//! `verify --sample`: an estimate, which never calls itself a proof.

use std::time::{Duration, Instant};

use backfill_core::Item;
use backfill_e2e::command::{AtWork, Ended};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{create, put_all};
use serde_json::{Value as Json, json};

use crate::stuff::{RUN, all};

const ITEMS: u64 = 2_000;

#[track_caller]
fn run(database: &Embedded, command: &str, code: i32) -> Ended {
    Ended::run(&mut database.backfill(command)).expect_code(code)
}

#[track_caller]
fn number(result: &Json, field: &str) -> u64 {
    let number = result[field].as_u64();
    number.unwrap_or_else(|| panic!("{field}: {result}"))
}

/// The interval covers the truth, and is of some use.
#[track_caller]
fn assert_covers(result: &Json, truth: u64) {
    let [low, estimate, high] = ["at_least", "estimate", "at_most"].map(|it| number(result, it));
    assert!((low..=high).contains(&truth), "{truth}: {result}");
    assert!((low..=high).contains(&estimate), "{result}");
    assert_eq!(result["remaining"], Json::Null, "{result}");
}

const SAMPLE: &str = "verify --table stuff --set test=1 --sample 20% --seed 7 --json";

/// read-only: a sample says how many items are pending, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_sample_estimates_what_is_pending() {
    let database = Embedded::with_stuff(ITEMS).await;
    let before = all(&database).await;

    let ended = run(&database, SAMPLE, 3);
    let result = ended.json();
    assert_covers(&result, 1_600);
    assert!(
        number(&result, "at_least") > 1_000 && number(&result, "at_most") < 2_400,
        "{result}"
    );
    let scanned = number(&result, "scanned");
    assert!((200..600).contains(&scanned), "a fifth is read: {result}");
    assert!(number(&result, "items").abs_diff(ITEMS) < 500, "{result}");
    assert_eq!(result["sampled"], 0.2);
    assert_eq!(
        (
            number(&result, "segments_drawn"),
            number(&result, "total_segments")
        ),
        (100, 500)
    );
    assert_eq!(result["samples"].as_array().unwrap().len(), 10);
    for words in [
        "about ",
        " with 95 % confidence",
        "this is an estimate, no proof",
        "--seed 7",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    // It is strongly consistent: a unit for each segment at least, of which each has less than 4 KB.
    assert!(
        (100.0..200.0).contains(&result["consumed_rcu"].as_f64().unwrap()),
        "{result}"
    );

    // The same seed draws the same, and none draws another.
    let again = run(&database, SAMPLE, 3).json();
    for field in ["scanned", "estimate", "at_least", "at_most", "most_of_one"] {
        assert_eq!(again[field], result[field], "{field}");
    }
    let other = run(&database, &SAMPLE.replace("--seed 7", ""), 3).json();
    assert_ne!(other["seed"], 7);
    assert_covers(&other, 1_600);
    assert_eq!(all(&database).await, before);
    assert_eq!(database.table_names().await, ["stuff"]);
}

/// That none was found says how many there can still be at most; a count of the whole table says nothing of the kind.
#[tokio::test(flavor = "multi_thread")]
async fn a_sample_without_pending_items_says_how_many_there_can_be() {
    let database = Embedded::with_stuff(ITEMS).await;
    run(&database, RUN, 0);
    let ended = run(&database, SAMPLE, 0);
    let result = ended.json();
    assert_covers(&result, 0);
    let at_most = number(&result, "at_most");
    assert!(
        (20..500).contains(&at_most),
        "none found is not none: {result}"
    );
    let scanned = number(&result, "scanned");
    let none =
        format!("none of {scanned} items that were read is pending: at most {at_most} of about ");
    assert!(ended.stderr.contains(&none), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("an estimate, no proof"),
        "{}",
        ended.stderr
    );
    let clusters = format!(
        "a partition key with more than {} pending items",
        result["most_of_one"]
    );
    assert!(ended.stderr.contains(&clusters), "{}", ended.stderr);
    // The proof itself has nothing of it.
    let proof = run(&database, "verify --table stuff --set test=1 --json", 0).json();
    assert_eq!(proof["remaining"], 0);
    for field in [
        "sampled",
        "seed",
        "items",
        "estimate",
        "at_least",
        "at_most",
        "most_of_one",
    ] {
        assert_eq!(proof[field], Json::Null, "{field}");
    }
}

/// Whatever makes an item pending: expressions, and values that are computed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_expressions_and_of_computed_values() {
    let database = Embedded::start().await;
    create(&database.client, "orders", &[("id", "S")]).await;
    let item = |n: u32| {
        let label = if n.is_multiple_of(4) {
            "old"
        } else {
            "de#open"
        };
        json!({"id": {"S": format!("o-{n}")}, "tenant": {"S": "DE"}, "status": {"S": "open"}, "price": {"N": n.to_string()},
            "label": {"S": label}})
    };
    let items: Vec<Item> = (0..1_000)
        .map(|n| serde_json::from_value(item(n)).unwrap())
        .collect();
    put_all(&database.client, "orders", &items).await;
    for (change, pending) in [
        (
            &[
                "--compute",
                "label=${tenant|lower}#${status}",
                "--mode",
                "converge",
            ][..],
            250,
        ),
        (
            &[
                "--pending",
                "price < :low",
                "--update",
                "SET price = :low",
                "--value",
                ":low=500",
            ],
            500,
        ),
        (&["--set", "done=true"], 1_000),
        (&["--compute", "key=${tenant}#${id}"], 1_000),
    ] {
        let mut sample = database.backfill("verify --table orders --sample 40% --seed 3 --json");
        let ended = Ended::run(sample.args(change)).expect_code(3);
        assert_covers(&ended.json(), pending);
        // A table without sort keys has no partition key of many items.
        assert!(!ended.stderr.contains("partition key"), "{}", ended.stderr);
    }
}

/// What cannot be a sample is refused by its flag, before anything is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_is_none_is_refused() {
    let database = Embedded::with_stuff(10).await;
    for (flags, says) in [
        (
            "--sample 2",
            "--sample: expected a percentage from 0.01% to 50%, such as 2%, got \"2\"",
        ),
        ("--sample 100%", "--sample: expected a percentage"),
        (
            "--sample 2% --segments 8",
            "cannot be used with '--segments",
        ),
        ("--seed 7", "--sample <PERCENT>"),
    ] {
        let ended = run(
            &database,
            &format!("verify --table stuff --set test=1 {flags}"),
            2,
        );
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
}

/// Stopped, it estimates nothing: the segments with many items take the longest.
#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_is_stopped_estimates_nothing() {
    let database = Embedded::with_stuff(ITEMS).await;
    let slowly = "verify --table stuff --set test=1 --sample 50% --max-rcu 1 --json";
    let begin = Instant::now();
    let sample = AtWork::start(database.backfill(slowly));
    tokio::time::sleep(Duration::from_secs(3)).await;
    sample.signal("TERM");
    let ended = sample.end().await.expect_code(4);
    assert!(begin.elapsed() < Duration::from_secs(30));
    let result = ended.json();
    for field in [
        "remaining",
        "items",
        "estimate",
        "at_least",
        "at_most",
        "most_of_one",
    ] {
        assert_eq!(result[field], Json::Null, "{field}: {result}");
    }
    assert_eq!(result["sampled"], 0.5);
    assert!(
        ended
            .stderr
            .contains("stopped before the sample was counted"),
        "{}",
        ended.stderr
    );
}
