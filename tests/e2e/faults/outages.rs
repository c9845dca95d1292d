//! no-gap and resume: a checkpoint table that is away, and claims that come late.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use backfill_e2e::command::{AtWork, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, migrated, read_all};
use backfill_e2e::wire::Verdict;
use serde_json::json;

use crate::kills::slow_line;
use crate::trial::{CHECKPOINTS, assert_accounted};

/// no-gap, accounting: the checkpoint table is away for longer than a checkpoint waits for it. The run goes on by itself when
/// it is back, and nothing is lost or counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn no_gap_after_an_outage_of_the_checkpoint_table() {
    const ITEMS: u64 = 800;
    const OUTAGE: Duration = Duration::from_secs(12);
    let database = Embedded::with_stuff(ITEMS).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let line = database.line().await;
    let _pages = slow_line(&line, 25, Duration::from_millis(10));
    let calls = AtomicU64::new(0);
    let since = Mutex::new(None::<Instant>);
    let checkpoints = line.tap(CHECKPOINTS, move |call| {
        let begins = call.operation == "UpdateItem" && calls.fetch_add(1, SeqCst) >= 10;
        let mut since = since.lock().unwrap();
        if begins {
            since.get_or_insert_with(Instant::now);
        }
        let away = since.is_some_and(|since| since.elapsed() < OUTAGE);
        async move {
            match away {
                true => Verdict::Unavailable(503),
                false => Verdict::Forward,
            }
        }
    });
    let mut run =
        backfill("run --table stuff --set test=1 --json --segments 4 --concurrency 2".split(' '));
    run.args(["--endpoint-url", &line.endpoint]);
    let ended = AtWork::start(run).end().await;
    let result = ended.expect_code(0).json();
    let lost = checkpoints
        .seen()
        .iter()
        .filter(|seen| seen.status == Some(503))
        .count();
    assert!(lost > 10, "{lost}");
    assert_accounted(&result, "after an outage");
    assert_eq!(result["passes"], 1, "{result}");
    assert_eq!(result["scanned"], ITEMS, "{result}");
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    assert!(after == migrated(&before), "the tables differ");
}

/// A claim that is carried out long after the worker has made it again fences that worker off, as somebody else's would. The
/// run goes on.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_claim_that_came_late() {
    // A segment takes several times as long as a claim is late: ten pages and more, each with its delays.
    const ITEMS: u64 = 1_200;
    let database = Embedded::with_stuff(ITEMS).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let line = database.line().await;
    let _pages = slow_line(&line, 25, Duration::from_millis(10));
    let claims = AtomicU64::new(0);
    let checkpoints = line.tap(CHECKPOINTS, move |call| {
        let update = call.body["UpdateExpression"].as_str().unwrap_or_default();
        let claim = update.contains("#generation = if_not_exists");
        let late = claim && claims.fetch_add(1, SeqCst) % 4 == 2;
        async move {
            match late {
                true => Verdict::Stray(Duration::from_millis(80)),
                false => Verdict::Forward,
            }
        }
    });
    let mut run = backfill("run --table stuff --set test=1 --json --segments 4".split(' '));
    run.args(["--endpoint-url", &line.endpoint]);
    let ended = AtWork::start(run).end().await;
    let result = ended.expect_code(0).json();
    let seen = checkpoints.seen();
    let fenced = seen.iter().filter(|seen| {
        let condition = &seen.call.body["ConditionExpression"];
        seen.status == Some(400)
            && condition
                .as_str()
                .is_some_and(|text| text.starts_with("#generation = :generation"))
    });
    assert!(fenced.count() > 0, "no claim came late");
    assert_accounted(&result, "after late claims");
    assert_eq!(
        (&result["passes"], &result["scanned"]),
        (&json!(1), &json!(ITEMS)),
        "{result}"
    );
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    assert!(after == migrated(&before), "the tables differ");
}
