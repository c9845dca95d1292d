//! What reads much of a table: within its budget, and to an end.

use std::time::{Duration, Instant};

use backfill_core::Value;
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::wire::{Call, Seen, Verdict};

/// Whatever may read a whole table, with the operation by which it does.
fn readers(expected: &str) -> [(String, &'static str); 4] {
    [
        ("table scan --table stuff --consistent --count".into(), "Scan"),
        (
            "table query --table stuff --key-condition id=:i --value :i=\"one\" --consistent --count".into(),
            "Query",
        ),
        (format!("table check --expect {expected} --min-items 200"), "Scan"),
        ("table seed --table copy --confirm copy --from stuff --sample 200".into(), "Scan"),
    ]
}

/// A table of 200 items in one partition, an empty one to copy to, and a description of the first.
async fn tables() -> (Embedded, tempfile::TempDir, String) {
    let database = Embedded::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let definition = |name: &str| {
        serde_json::json!({"TableName": name, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "n", "AttributeType": "N"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}]})
        .to_string()
    };
    for name in ["stuff", "copy"] {
        let file = path(name);
        std::fs::write(&file, definition(name)).unwrap();
        Ended::run(&mut database.backfill(&format!("table create --file {file}"))).expect_code(0);
    }
    let items: Vec<_> = (0..200)
        .map(|n| serde_json::json!({"id": "one", "n": n, "text": "x".repeat(400)}))
        .collect();
    let file = path("items.json");
    std::fs::write(&file, serde_json::to_string(&items).unwrap()).unwrap();
    let seed = format!("table seed --table stuff --confirm stuff --file {file}");
    Ended::run(&mut database.backfill(&seed)).expect_code(0);
    let expected = path("stuff");
    (database, folder, expected)
}

/// budget: every command that can read a whole table reads no faster than it is told to, and all of it.
#[tokio::test(flavor = "multi_thread")]
async fn budget_of_commands_that_read_a_table() {
    let (database, _folder, expected) = tables().await;
    // 200 items of some 420 bytes are 21 units, read strongly consistent; a sample is read at half of that.
    for (command, _) in readers(&expected) {
        let rate = if command.contains(" seed ") { 5 } else { 10 };
        let limited = format!("{command} --max-rcu {rate}");
        let begin = Instant::now();
        let ended = Ended::run(&mut database.backfill(&limited)).expect_code(0);
        let took = begin.elapsed();
        // Without a budget it is a tenth of a second.
        assert!(took > Duration::from_secs(1), "{command}: {took:?}");
        if command.contains("--count") {
            assert_eq!(ended.stdout, "200\n", "{command}");
        }
        if command.contains(" seed ") {
            assert!(ended.stderr.contains("200 items put"), "{ended:#?}");
        }
        let none = format!("{command} --max-rcu 0");
        let refused = Ended::run(&mut database.backfill(&none)).expect_code(2);
        assert!(
            refused.stderr.starts_with("error: max-rcu: expected"),
            "{refused:#?}"
        );
    }
}

/// budget: what `run` looks at before it begins is read within the budget of reads, over any ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn budget_of_a_look_before_a_run() {
    const BUDGET: f64 = 2.0;
    const TEN: Duration = Duration::from_secs(10);
    let database = Embedded::start().await;
    tables::create(&database.client, "stuff", tables::STUFF_KEYS).await;
    for begin in (0..200).step_by(25) {
        let of_4_kb = (begin..begin + 25).map(|n| {
            let mut item = tables::stuff(n);
            item.insert("text".into(), Value::S("x".repeat(4_000)));
            item
        });
        tables::put_all(&database.client, "stuff", &of_4_kb.collect::<Vec<_>>()).await;
    }
    let line = database.line().await;
    let tap = line.listen("stuff");
    // Is `text` a map? After this look there is nobody to ask for the alarm, and nothing else is read.
    let run = format!("run --table stuff --set text.b=1 --max-rcu {BUDGET} --pause-when slow");
    let mut process = backfill(run.split(' '));
    process.args(["--endpoint-url", &line.endpoint]);
    let refused = tokio::task::spawn_blocking(move || Ended::run(&mut process));
    let refused = refused.await.unwrap().expect_code(2);
    assert!(refused.stderr.contains("alarm slow"), "{refused:#?}");
    let pages: Vec<_> = (tap.seen().into_iter())
        .filter(|seen| seen.call.operation == "Scan")
        .collect();
    let most = pages.iter().map(|first| {
        let within = |seen: &&Seen| seen.at >= first.at && seen.at <= first.at + TEN;
        pages.iter().filter(within).map(|seen| seen.consumed).sum()
    });
    let most = most.fold(0.0, f64::max);
    // Calls are seen when they arrive. A busy machine may keep one page on its way into ten seconds that are not its own.
    let page = pages.iter().map(|seen| seen.consumed).fold(0.0, f64::max);
    assert!(page <= 1.5, "a page is two items of 4 KB, not {page} units");
    assert!(
        most <= 1.01 * 10.0 * BUDGET + page,
        "{most} units in ten seconds"
    );
    let looked: u64 = pages.iter().map(|seen| seen.scanned).sum();
    assert!(looked >= 20, "{looked} items were looked at");
}

/// Pages that do not go on end every command that reads them, with the key that repeats.
#[tokio::test(flavor = "multi_thread")]
async fn no_command_reads_a_page_that_repeats_for_ever() {
    let (database, _folder, expected) = tables().await;
    let line = database.line().await;
    // Every page behind the first is the second again.
    let key = serde_json::json!({"id": {"S": "one"}, "n": {"N": "0"}});
    let again = serde_json::json!({"LastEvaluatedKey": key, "Items": [], "Count": 0});
    let _tap = line.tap("stuff", move |call: Call| {
        let verdict = match matches!(call.operation.as_str(), "Scan" | "Query") {
            true => Verdict::Amend(again.clone()),
            false => Verdict::Forward,
        };
        async move { verdict }
    });
    for (command, operation) in readers(&expected) {
        let mut process = backfill(command.split(' '));
        process.args(["--endpoint-url", &line.endpoint]);
        let ended = Ended::run(&mut process).expect_code(1);
        let names_it = ["LastEvaluatedKey", "\"one\""]
            .iter()
            .all(|part| ended.stderr.contains(part));
        assert!(names_it, "{operation}: {ended:#?}");
    }
}

/// Neither does one that reads which runs there are, be it from their list or, if that is empty, from the whole table.
#[tokio::test(flavor = "multi_thread")]
async fn no_list_of_runs_is_read_for_ever() {
    let database = Embedded::with_stuff(20).await;
    let run = "run --table stuff --set test=1 --run-id r";
    Ended::run(&mut database.backfill(run)).expect_code(0);
    let ends = ["Query", "Scan"].map(async |operation| {
        let line = database.line().await;
        let key = serde_json::json!({"run_id": {"S": "#runs"}, "record": {"S": "run#r"}});
        let again = serde_json::json!({"LastEvaluatedKey": key});
        let nothing = serde_json::json!({"Items": [], "Count": 0, "LastEvaluatedKey": null});
        let tap = line.tap("backfill-checkpoints", move |call: Call| {
            let verdict = match (call.operation.as_str(), operation) {
                ("Query", "Query") | ("Scan", "Scan") => Verdict::Amend(again.clone()),
                ("Query", _) => Verdict::Amend(nothing.clone()),
                _ => Verdict::Forward,
            };
            async move { verdict }
        });
        let mut process = backfill(["runs", "--endpoint-url", &line.endpoint]);
        let ended = tokio::task::spawn_blocking(move || Ended::run(&mut process));
        let ended = ended.await.unwrap().expect_code(1);
        assert!(ended.stderr.contains("LastEvaluatedKey"), "{ended:#?}");
        let read = tap.seen().into_iter();
        let read = read.filter(|seen| seen.call.operation == operation).count();
        assert!((100..110).contains(&read), "{operation}: {read} pages");
    });
    futures_util::future::join_all(ends).await;
}

/// What is wrong with the place of the source is said by the flags of the source.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_is_named_by_its_own_flag() {
    let database = Embedded::with_stuff(1).await;
    for (flag, begins) in [
        (
            "--from-endpoint-url=127.0.0.1:8000",
            "error: from-endpoint-url: expected",
        ),
        ("--from-endpoint-url=", "error: from-endpoint-url: expected"),
    ] {
        let seed = format!("table seed --table stuff --confirm stuff --from other {flag}");
        let ended = Ended::run(&mut database.backfill(&seed)).expect_code(2);
        assert!(ended.stderr.starts_with(begins), "{ended:#?}");
    }
}
