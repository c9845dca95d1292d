//! honest-end: what a run says at its end, and what it does not say.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use backfill_core::{Item, Value};
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{self, STUFF_KEYS};
use backfill_e2e::wire::Verdict;
use serde_json::json;

use crate::stuff::{RUN, all, assert_accounted};

/// A result that cannot be written is an error in a sentence; if nobody reads it, all is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_printed_is_an_error() {
    let database = Embedded::with_stuff(20).await;
    Ended::run(&mut database.backfill(&format!("{RUN} --run-id full"))).expect_code(0);
    for command in [
        "plan --table stuff --set test=1 --json",
        "plan --table stuff --set test=1",
        "verify --table stuff --set test=1 --json",
        "status --run-id full --json",
        "status --run-id full",
    ] {
        let mut full = database.backfill(command);
        full.stdout(std::fs::File::create("/dev/full").unwrap());
        let ended = Ended::of(full.spawn().unwrap()).expect_code(1);
        assert!(
            ended.stderr.contains("error: cannot print on stdout: "),
            "{command}: {}",
            ended.stderr
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut unread = database.backfill(command);
        unread.stdout(writer);
        Ended::of(unread.spawn().unwrap()).expect_code(0);
    }
}

/// Neither credentials nor contents of items are logged or printed, whatever goes wrong with an item. Keys are.
#[tokio::test(flavor = "multi_thread")]
async fn no_secrets_in_logs() {
    let database = Embedded::with_stuff(40).await;
    let key = all(&database).await.into_keys().next().unwrap();
    let mark = database
        .client
        .update_item()
        .table_name("stuff")
        .set_key(Some(backfill_e2e::convert::to_item(&key.0)))
        .update_expression("SET visits = :mark")
        .expression_attribute_values(":mark", tables::string("MARKED-CONTENT"));
    mark.send().await.unwrap();
    let spec = [
        "--pending",
        "attribute_not_exists(visited)",
        "--update",
        "SET visited = visits + :one",
    ];
    let run = "run --table stuff --value :one=1 --max-passes 1 --json";
    let mut command = database.backfill(run);
    command
        .args(spec)
        .env("AWS_ACCESS_KEY_ID", "MARKED-KEY-ID")
        .env("AWS_SECRET_ACCESS_KEY", "MARKED-SECRET")
        .env("AWS_SESSION_TOKEN", "MARKED-TOKEN");
    // Every item has something in `visits` to which 1 cannot be added, so all are refused.
    let ended = Ended::run(command.env("RUST_LOG", "info")).expect_code(3);
    assert!(
        ended
            .stderr
            .contains("this item's update is refused for good"),
        "{}",
        ended.stderr
    );
    let run_id = ended.json()["run_id"].as_str().unwrap().to_owned();
    let list = format!("rejected --json --run-id {run_id}");
    let listed = Ended::run(&mut database.backfill(&list)).expect_code(3);
    assert!(listed.stdout.contains("operand"), "{}", listed.stdout);
    for (what, text) in [
        ("log", &ended.stderr),
        ("result", &ended.stdout),
        ("rejected items", &listed.stdout),
    ] {
        assert!(!text.contains("MARKED"), "{what}: {text}");
        assert!(!text.contains("Tromsø"), "{what}: {text}");
    }
}

/// The content of an item stands in no message, record or report, whatever becomes of the answer that brings it along: the trial's
/// update and its check, a batch, a page of keys, a record.
#[tokio::test(flavor = "multi_thread")]
async fn no_secrets_in_what_is_said_of_answers_that_are_not_understood() {
    let database = Embedded::start().await;
    tables::create(&database.client, "stuff", STUFF_KEYS).await;
    let items = (0..40).map(|n| {
        let mut item = tables::stuff(n);
        item.insert("note".into(), Value::S("MARKED-CONTENT".into()));
        item
    });
    let items: Vec<Item> = items.collect();
    tables::put_all(&database.client, "stuff", &items).await;
    let line = database.line().await;
    // An attribute of a type that nobody knows, as a later version of the service might send it.
    let item = json!({"id": {"S": "a"}, "note": {"T": "MARKED-CONTENT"}});
    let failed = json!({"Code": "ConditionalCheckFailed", "Message": "no", "Item": item});
    let odd = [
        ("UpdateItem", json!({"Attributes": item})),
        (
            "TransactWriteItems",
            json!({"ConsumedCapacity": "MARKED-CONTENT"}),
        ),
        (
            "BatchExecuteStatement",
            json!({"Responses": [{"Error": failed}]}),
        ),
        ("Scan", json!({"Items": [item]})),
    ];
    for (operation, fields) in odd {
        for verdict in [Verdict::Amend(fields), Verdict::Garble] {
            let is_garbled = matches!(verdict, Verdict::Garble);
            let odd_ones = AtomicU32::new(0);
            let tap = line.tap("stuff", move |call| {
                let is_it = call.operation == operation && (operation != "Scan" || call.is_sweep());
                // What is garbled is asked for again, for a minute.
                let is_odd = is_it && (odd_ones.fetch_add(1, SeqCst) < 2 || !is_garbled);
                let verdict = match is_odd {
                    true => verdict.clone(),
                    false => Verdict::Forward,
                };
                async move { verdict }
            });
            let what = format!("{operation}, garbled: {is_garbled}");
            let run_id = format!("odd-{operation}-{is_garbled}");
            let attribute = format!("test{operation}{is_garbled}");
            let run = format!("run --table stuff --set {attribute}=1 --json --run-id {run_id}");
            let mut command = backfill(run.split(' '));
            command.args(["--endpoint-url", &line.endpoint]);
            let log = "backfill=debug,backfill_core=debug,backfill_dynamodb=debug";
            let ended = Ended::run(command.env("RUST_LOG", log));
            let status =
                Ended::run(&mut database.backfill(&format!("status --json --run-id {run_id}")));
            let report =
                Ended::run(&mut database.backfill(&format!("report --run-id {run_id} --out -")));
            for text in [
                &ended.stdout,
                &ended.stderr,
                &status.stdout,
                &report.stdout,
                &report.stderr,
            ] {
                assert!(!text.contains("MARKED"), "{what}: {text}");
            }
            assert_eq!(ended.code, i32::from(!is_garbled), "{what}: {ended:#?}");
            assert!(
                tap.seen()
                    .iter()
                    .any(|seen| seen.call.operation == operation)
            );
        }
    }
}

/// honest-end: if no answer to a write can be read, while everything else is answered, that is said within ten seconds, and nothing of
/// an answer in it. What may be the service is tried again until it can be read, and no item counts twice; what is not, ends the run.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_of_writes_whose_answers_cannot_be_read() {
    let database = Embedded::start().await;
    let foreign = Verdict::Say(200, r#"{"MARKED-CONTENT": MARKED}"#.into());
    let cases = [("halves", Verdict::Garble), ("foreign", foreign)];
    let items: Vec<Item> = (0..60).map(tables::stuff).collect();
    let line = database.line().await;
    let (mut runs, mut taps) = (Vec::new(), Vec::new());
    for (table, verdict) in cases {
        tables::create(&database.client, table, STUFF_KEYS).await;
        tables::put_all(&database.client, table, &items).await;
        let begin = OnceLock::new();
        taps.push(line.tap(table, move |call| {
            let is_write =
                call.operation == "UpdateItem" || call.operation == "BatchExecuteStatement";
            let is_odd = is_write && begin.get_or_init(Instant::now).elapsed() < OUTAGE;
            let verdict = match is_odd {
                true => verdict.clone(),
                false => Verdict::Forward,
            };
            async move { verdict }
        }));
        let run = format!("run --table {table} --set test=1 --json --run-id {table}");
        let mut command = backfill(run.split(' '));
        command.args(["--endpoint-url", &line.endpoint]);
        runs.push(tokio::task::spawn_blocking(move || {
            let begin = Instant::now();
            (Ended::run(&mut command), begin.elapsed())
        }));
    }
    let foreign = runs.pop().unwrap().await.unwrap();
    let halves = runs.pop().unwrap().await.unwrap();
    let (ended, took) = foreign;
    let ended = ended.expect_code(1);
    assert!(took < OUTAGE, "{took:?}: {ended:#?}");
    let said = "answers with JSON that is not the service's, status 200";
    assert!(ended.stderr.contains(said), "{ended:#?}");
    assert!(
        !ended.stderr.contains("MARKED") && !ended.stdout.contains("MARKED"),
        "{ended:#?}"
    );
    assert_eq!(ended.json()["updated"], 0, "{ended:#?}");

    let (ended, took) = halves;
    let ended = ended.expect_code(0);
    assert!(took > OUTAGE, "{took:?}: {ended:#?}");
    let waiting = ended.stderr.find("waiting for an answer: the answer of ");
    let again = ended.stderr.find("the service answers again");
    assert!(waiting.is_some() && again > waiting, "{ended:#?}");
    let books = ended.json();
    let figure = |name: &str| books[name].as_u64().unwrap();
    let pending = items.iter().filter(|item| !item.contains_key("test"));
    assert_eq!(figure("matched"), pending.count() as u64, "{books}");
    assert_eq!(
        figure("updated") + figure("raced"),
        figure("matched"),
        "{books}"
    );
}

/// How long no answer to a write can be read: longer than anybody is to be left without a word.
const OUTAGE: Duration = Duration::from_secs(13);

/// honest-end: if the passes are used up, the exit code is 3 and the keys of what remains are shown.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_with_items_that_remain() {
    let database = Embedded::with_stuff(100).await;
    // Arithmetic on a string: DynamoDB refuses the update of these items for good.
    let ended = Ended::run(
        database
            .backfill("run --table stuff --json --max-passes 1")
            .args(["--pending", "attribute_not_exists(amount)"])
            .args([
                "--update",
                "SET amount = created + #n",
                "--name",
                "#n=count",
            ]),
    );
    // Every item lacks `count`, so every update is refused.
    let ended = ended.expect_code(3);
    let result = ended.json();
    assert_eq!(result["status"], "incomplete");
    assert_eq!(
        (&result["remaining"], &result["rejected"]),
        (&json!(100), &json!(100))
    );
    assert_eq!(result["samples"].as_array().unwrap().len(), 10);
    assert_accounted(&result);
}
