//! What takes longer than a moment shows how far it is, how fast it goes and how long it still takes, and can be stopped.

use std::time::{Duration, Instant};

use backfill_e2e::command::{AtWork, Ended};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, create, read_all};
use backfill_e2e::terminal::Terminal;
use serde_json::Value as Json;

/// Runs a command while this test serves the database.
async fn end_of(mut command: std::process::Command) -> Ended {
    tokio::task::spawn_blocking(move || Ended::run(&mut command))
        .await
        .unwrap()
}

/// How far a verification has come stands in the records, so that everybody sees it; a sweep's progress is not mistaken for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_is_seen_while_it_goes_on() {
    let database = Embedded::with_stuff(4_000).await;
    let run = "run --table stuff --set test=1 --run-id seen --segments 4 --max-rcu 16 --json";
    let run = AtWork::start(database.backfill(run));
    let deadline = Instant::now() + Duration::from_secs(90);
    let counting: Json = loop {
        assert!(Instant::now() < deadline, "no count");
        let status = end_of(database.backfill("status --run-id seen --json")).await;
        if status.code == 0 {
            let status = status.json();
            if status["verifying"] == true && status["items_per_second"].is_number() {
                break status;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let done = counting["done"].as_f64().unwrap();
    assert!(done > 0.0 && done < 1.0, "{counting}");
    assert!(counting["seconds_left"].as_f64() >= Some(1.0), "{counting}");
    let runs = end_of(database.backfill("runs --json")).await.json();
    assert_eq!(runs["runs"][0]["verifying"], true, "{runs}");
    let runs = end_of(database.backfill("runs")).await.stdout;
    assert!(runs.contains("seen  stuff  verifying"), "{runs}");
    let status = end_of(database.backfill("status --run-id seen"))
        .await
        .stdout;
    assert!(status.contains("% of the items counted"), "{status}");
    let mut terminal = Terminal::start(&database.backfill("watch --run-id seen"), 80, 24);
    let shown = terminal.shows("items/s counted").await;
    assert!(shown.contains("counted of 4,000 swept"), "{shown}");
    terminal.types("q");
    let ended = run.end().await.expect_code(0);
    assert!(
        ended
            .stderr
            .contains("see it anywhere with: backfill watch --run-id seen")
    );
    assert!(ended.stderr.contains("verifying, "), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("at most 16 read units/s"),
        "{}",
        ended.stderr
    );
    // A run that has ended verifies no more.
    let status = end_of(database.backfill("status --run-id seen --json"))
        .await
        .json();
    assert_eq!(status["verifying"], false, "{status}");
}

/// A count on its own shows the same, and says what it has found if it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_its_progress_and_can_be_stopped() {
    let database = Embedded::with_stuff(4_000).await;
    let count = "run --table stuff --set test=1 --dry-run --segments 4 --max-rcu 8 --json";
    let count = AtWork::start(database.backfill(count));
    tokio::time::sleep(Duration::from_secs(6)).await;
    count.signal("INT");
    let stopped = count.end().await.expect_code(4);
    let shown = stopped
        .stderr
        .lines()
        .find(|line| line.starts_with("counting table stuff: "));
    let shown = shown.unwrap_or_else(|| panic!("no progress: {}", stopped.stderr));
    for words in [
        " % [",
        " of about ",
        " items/s, ",
        " left, ",
        " pending, at most 8 read units/s",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(
        stopped
            .stderr
            .contains("stopped before the count was complete: "),
        "{}",
        stopped.stderr
    );
    assert!(
        stopped.stderr.contains(" that were counted are pending"),
        "{}",
        stopped.stderr
    );
}

/// Two million items take their time: how far that is, is said, and whoever stops it is told what was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_seed_shows_its_progress_and_says_what_was_written() {
    let database = Embedded::start().await;
    create(&database.client, "stuff", STUFF_KEYS).await;
    let seed = AtWork::start(database.backfill("table seed --table stuff --items 2000000"));
    // Two seconds after the first item it is spoken of.
    while read_all(&database.client, "stuff", STUFF_KEYS)
        .await
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    seed.signal("INT");
    let stopped = seed.end().await.expect_code(4);
    let shown = stopped
        .stderr
        .lines()
        .find(|line| line.starts_with("putting items into table stuff: "));
    let shown = shown.unwrap_or_else(|| panic!("no progress: {}", stopped.stderr));
    for words in [" % [", " of about 2,000,000 items, ", " items/s, ", " left"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let put = read_all(&database.client, "stuff", STUFF_KEYS).await.len() as u64;
    assert!((1..2_000_000).contains(&put), "{put}");
    let said = stopped
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("stopped: "));
    let said = said.unwrap_or_else(|| panic!("not said: {}", stopped.stderr));
    let number: String = said
        .chars()
        .take_while(|c| *c != ' ')
        .filter(char::is_ascii_digit)
        .collect();
    assert_eq!(number.parse::<u64>().unwrap(), put, "{said}");
    assert!(
        said.contains("of 2,000,000 items were put into table stuff"),
        "{said}"
    );
}
