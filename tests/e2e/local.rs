//! The `backfill` command against the embedded database, over HTTP as against AWS. Tests that hold a promise bear
//! its name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::live::{Code, Writer};
use backfill_e2e::tables::{self, STUFF_KEYS, migrated, read_all, stuff};
use backfill_e2e::wire::signal;
use serde_json::{Value as Json, json};

const RUN: &str = "run --table stuff --set test=1 --json";

async fn all(database: &Embedded) -> BTreeMap<Key, Item> {
    read_all(&database.client, "stuff", STUFF_KEYS).await
}

#[track_caller]
fn assert_accounted(result: &Json) {
    let n = |field: &str| result[field].as_u64().expect("a count");
    assert_eq!(
        n("matched"),
        n("updated") + n("raced") + n("vanished") + n("rejected"),
        "{result}"
    );
}

/// Waits until the checkpoint table says that something was updated and the run still goes on.
async fn wait_for_progress(database: &Embedded) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let records = database
            .client
            .scan()
            .table_name("backfill-checkpoints")
            .consistent_read(true)
            .send()
            .await;
        let updated = records.is_ok_and(|records| {
            records.items().iter().any(|record| {
                record
                    .get("counters")
                    .and_then(|counters| counters.as_m().ok())
                    .and_then(|counters| counters["updated"].as_n().ok())
                    .is_some_and(|updated| updated != "0")
            })
        });
        if updated {
            return;
        }
        assert!(Instant::now() < deadline, "no progress");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_migrates_and_checks_itself() {
    let ended = Ended::run(&mut backfill("demo --items 3000 --json".split(' '))).expect_code(0);
    let result = ended.json();
    assert_eq!(result["status"], "succeeded");
    assert_eq!(result["scanned"], 3000);
    assert_eq!(result["remaining"], 0);
    assert!(
        ended.stderr.contains("checked by reading the table"),
        "{}",
        ended.stderr
    );
}

/// only-U, proof, accounting: every attribute of every type outside `test` stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_changes_and_proof_is_given() {
    let database = Embedded::with_stuff(1500).await;
    let before = all(&database).await;
    let ended = Ended::run(&mut database.backfill(RUN)).expect_code(0);
    assert_eq!(all(&database).await, migrated(&before));
    let result = ended.json();
    assert_accounted(&result);
    let fields: BTreeSet<&str> = result
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        "run_id table status passes segments scanned matched updated raced vanished rejected remaining \
         elapsed_seconds consumed_rcu consumed_wcu throttles max_wcu max_rcu cost_usd samples"
            .split(' ')
            .collect()
    );
    for (field, expected) in [
        ("table", json!("stuff")),
        ("status", json!("succeeded")),
        ("passes", json!(1)),
        ("scanned", json!(1500)),
        ("matched", json!(1200)),
        ("updated", json!(1200)),
        ("remaining", json!(0)),
        ("samples", json!([])),
    ] {
        assert_eq!(result[field], expected, "{field}");
    }
    assert!(result["consumed_wcu"].as_f64().unwrap() >= 1200.0);
    assert!(result["consumed_rcu"].as_f64().unwrap() > 0.0);

    // The durable records say the same.
    let status = Ended::run(&mut database.backfill("status --json"))
        .expect_code(0)
        .json();
    for field in fields
        .into_iter()
        .filter(|field| *field != "elapsed_seconds")
    {
        assert_eq!(status[field], result[field], "{field}");
    }
    let people = Ended::run(&mut database.backfill("status")).expect_code(0);
    assert!(people.stdout.contains("1,200 updated"), "{}", people.stdout);
}

/// read-only: a dry run and a verification count, and leave the table and the list of tables as they were.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_dry_run_and_verify() {
    let database = Embedded::with_stuff(500).await;
    let before = all(&database).await;
    let dry = Ended::run(&mut database.backfill(&format!("{RUN} --dry-run"))).expect_code(3);
    assert_eq!(dry.json()["remaining"], 400);
    assert_eq!(dry.json()["updated"], 0);
    let verify = "verify --table stuff --set test=1 --json";
    let result = Ended::run(&mut database.backfill(verify))
        .expect_code(3)
        .json();
    assert_eq!(result["remaining"], 400);
    assert_eq!(result["scanned"], 500);
    let samples = result["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 10);
    for sample in samples {
        let key: Key = serde_json::from_value(sample.clone()).unwrap();
        assert!(!before[&key].contains_key("test"), "{key}");
    }
    assert_eq!(all(&database).await, before);
    assert_eq!(database.table_names().await, ["stuff"]);

    Ended::run(&mut database.backfill(RUN)).expect_code(0);
    let result = Ended::run(&mut database.backfill(verify))
        .expect_code(0)
        .json();
    assert_eq!(
        (&result["remaining"], &result["samples"]),
        (&json!(0), &json!([]))
    );
    Ended::run(&mut database.backfill(&format!("{RUN} --dry-run"))).expect_code(0);
}

/// A result that cannot be written is an error in a sentence; where nobody reads it, all is well.
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

/// resume, honest-end: SIGINT stops at a checkpoint with exit code 4, and the next start goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_an_interrupt() {
    const ITEMS: u64 = 6000;
    for name in ["INT", "TERM"] {
        let database = Embedded::with_stuff(ITEMS).await;
        let before = all(&database).await;
        let run = format!("{RUN} --segments 4 --concurrency 1");
        let child = database.backfill(&run).spawn().unwrap();
        wait_for_progress(&database).await;
        signal(child.id(), name);
        let first = Ended::of(child).expect_code(4);
        let paused = first.json();
        assert_eq!(paused["status"], "paused");
        assert_eq!(paused["remaining"], Json::Null, "not counted yet");
        assert!(first.stderr.contains("resume"), "{}", first.stderr);
        let scanned = paused["scanned"].as_u64().unwrap();
        assert!(0 < scanned && scanned < ITEMS, "{paused}");
        assert_accounted(&paused);

        let result = Ended::run(&mut database.backfill(&run))
            .expect_code(0)
            .json();
        assert_eq!(result["run_id"], paused["run_id"]);
        assert_eq!(result["passes"], 1, "the same pass goes on");
        assert_eq!(
            result["updated"],
            ITEMS * 8 / 10,
            "each item once over both"
        );
        // An interrupted page counts its acknowledged items; the rest of it is read again.
        let total = result["scanned"].as_u64().unwrap();
        assert!(total <= ITEMS && total > ITEMS - 1000, "{result}");
        assert_accounted(&result);
        assert_eq!(all(&database).await, migrated(&before));
    }
}

/// resume, honest-end: a canary of one segment ends as paused, and the same command without it does the rest. What is said to
/// resume it works.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_canary_segment() {
    let database = Embedded::with_stuff(1000).await;
    let before = all(&database).await;
    let run = format!("{RUN} --segments 5 --only-segments 2");
    // Interrupted, it is open, and the same command goes on with it.
    let child = database
        .backfill(&format!("{run} --max-wcu 20"))
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    signal(child.id(), "INT");
    let interrupted = Ended::of(child).expect_code(4);
    let advice = |ended: &Ended| ended.stderr.trim_end().lines().last().map(str::to_owned);
    assert_eq!(
        advice(&interrupted).unwrap(),
        "to resume, run the same command again"
    );
    let canary =
        Ended::run(&mut database.backfill(&format!("{run} --max-wcu 10000"))).expect_code(4);
    assert_eq!(
        advice(&canary).unwrap(),
        "to resume, run the same command again without --only-segments"
    );
    let refused = Ended::run(&mut database.backfill(&run)).expect_code(2);
    assert!(
        refused
            .stderr
            .contains("the canary (segment 2 out of 0 to 4) is swept already"),
        "{}",
        refused.stderr
    );
    let result = canary.json();
    assert_eq!(
        (&result["status"], &result["remaining"]),
        (&json!("paused"), &json!(null))
    );
    let canary = result["updated"].as_u64().unwrap();
    assert!(0 < canary && canary < 800, "{result}");
    assert_accounted(&result);
    let migrated_so_far = all(&database)
        .await
        .values()
        .filter(|item| item.get("test") == Some(&Value::N("1".into())))
        .count();
    assert_eq!(migrated_so_far as u64, canary);

    let result = Ended::run(&mut database.backfill(RUN))
        .expect_code(0)
        .json();
    assert_eq!(
        (&result["updated"], &result["passes"]),
        (&json!(800), &json!(1))
    );
    assert_eq!(all(&database).await, migrated(&before));
}

/// resume, no-gap: SIGKILL at a random moment loses nothing; at most the page in flight is read again.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_kill_leaves_no_gap() {
    const ITEMS: u64 = 5000;
    let database = Embedded::with_stuff(ITEMS).await;
    let before = all(&database).await;
    let run = format!("{RUN} --segments 4 --concurrency 2");
    let mut kills = 0;
    let result = loop {
        let mut child = database.backfill(&run).spawn().unwrap();
        if kills < 3 {
            wait_for_progress(&database).await;
            tokio::time::sleep(Duration::from_millis(100 * kills)).await;
            signal(child.id(), "KILL");
            child.wait().unwrap();
            kills += 1;
        } else {
            break Ended::of(child).expect_code(0).json();
        }
    };
    assert_eq!(all(&database).await, migrated(&before));
    assert_accounted(&result);
    // What was written but not checkpointed is pending no more, so nobody counts it.
    assert!(result["updated"].as_u64().unwrap() <= ITEMS * 8 / 10);
    assert!(result["scanned"].as_u64().unwrap() <= ITEMS);
}

/// one-owner: a run that another process holds is not begun beside it. When that one is gone, the next takes over by itself.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_while_a_process_is_alive() {
    let database = Embedded::with_stuff(2000).await;
    let before = all(&database).await;
    let mut holder = database
        .backfill(&format!("{RUN} --max-wcu 100"))
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    for more in ["", "--fresh"] {
        let refused = Ended::run(&mut database.backfill(&format!("{RUN} {more}"))).expect_code(2);
        for words in [
            &format!("process {} on ", holder.id()),
            "since 20",
            "--take-over",
        ] {
            assert!(
                refused.stderr.contains(words),
                "{words}: {}",
                refused.stderr
            );
        }
    }
    signal(holder.id(), "KILL");
    holder.wait().unwrap();
    let next =
        Ended::run(&mut database.backfill(&format!("{RUN} --max-wcu 100000"))).expect_code(0);
    assert!(
        next.stderr.contains("has ended without saying so"),
        "{}",
        next.stderr
    );
    assert_eq!(all(&database).await, migrated(&before));

    // Of a process somewhere else nothing is known, so it takes the operator's word.
    let run_id = next.json()["run_id"].as_str().unwrap().to_owned();
    let held = database
        .client
        .update_item()
        .table_name("backfill-checkpoints")
        .key("run_id", tables::string(&run_id))
        .key("record", tables::string("run"))
        .update_expression("SET #owner = :elsewhere, #status = :running")
        .expression_attribute_names("#owner", "owner")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(
            ":elsewhere",
            tables::string("process 1 on elsewhere since 1"),
        )
        .expression_attribute_values(":running", tables::string("running"));
    held.send().await.unwrap();
    Ended::run(&mut database.backfill(RUN)).expect_code(2);
    Ended::run(&mut database.backfill(&format!("{RUN} --take-over"))).expect_code(0);
}

/// resume: a run is paused, resumed and cancelled from another process, and each change is noted.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_pause_from_another_process() {
    let database = Embedded::with_stuff(2000).await;
    let before = all(&database).await;
    let started = database
        .backfill(&format!("{RUN} --run-id steered --max-wcu 100"))
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    let steer =
        |what: &str| Ended::run(&mut database.backfill(&format!("{what} --run-id steered")));
    let begin = std::time::Instant::now();
    steer("pause").expect_code(0);
    let paused = Ended::of(started).expect_code(4).json();
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    assert_eq!(paused["status"], "paused");
    assert_accounted(&paused);
    let done = paused["updated"].as_u64().unwrap();
    assert!((1..1600).contains(&done), "{paused}");

    steer("rate --max-wcu none").expect_code(0);
    let resumed = steer("resume --json").expect_code(0).json();
    assert_eq!(
        (&resumed["status"], &resumed["updated"]),
        (&json!("succeeded"), &json!(1600))
    );
    assert_eq!(all(&database).await, migrated(&before));
    for what in ["pause", "cancel", "resume"] {
        let refused = steer(what).expect_code(2);
        assert!(
            refused.stderr.contains("is succeeded"),
            "{}",
            refused.stderr
        );
    }
    let status = steer("status --json").expect_code(0).json();
    let events: Vec<_> = status["events"].as_array().unwrap().iter().collect();
    let changes = |event: &&Json| format!("{} {} {}", event["what"], event["old"], event["new"]);
    let found: Vec<_> = events.iter().map(changes).collect();
    let expected = [
        r#""status" "running" "paused""#,
        r#""max_wcu" "100" "none""#,
        r#""status" "paused" "running""#,
        r#""owner" "#,
        r#""status" "running" "succeeded""#,
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert!(
        events
            .iter()
            .all(|event| event["at_ms"].is_u64() && event["by"] != "")
    );

    let cancelled =
        database.backfill("run --table stuff --set flag=1 --run-id steered2 --max-wcu 100 --json");
    let cancelled = { cancelled }.spawn().unwrap();
    loop {
        let found = Ended::run(&mut database.backfill("status --run-id steered2 --json"));
        if found.code == 0 && found.json()["updated"].as_u64() > Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ended::run(&mut database.backfill("cancel --run-id steered2")).expect_code(0);
    let cancelled = Ended::of(cancelled).expect_code(4).json();
    assert_eq!(cancelled["status"], "cancelled");
    Ended::run(&mut database.backfill("resume --run-id steered2")).expect_code(2);
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
        .set_key(Some(backfill_dynamodb::to_item(&key.0)))
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
        ended.stderr.contains("refuses this item's update"),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_begins_a_new_pass_and_fresh_starts_over() {
    let database = Embedded::with_stuff(300).await;
    let first = Ended::run(&mut database.backfill(RUN))
        .expect_code(0)
        .json();
    let late: Vec<Item> = (300..310)
        .map(|i| {
            let mut item = stuff(i);
            item.remove("test");
            item
        })
        .collect();
    tables::put_all(&database.client, "stuff", &late).await;
    let second = Ended::run(&mut database.backfill(RUN))
        .expect_code(0)
        .json();
    assert_eq!(second["run_id"], first["run_id"]);
    assert_eq!(
        (&second["passes"], &second["updated"]),
        (&json!(2), &json!(250))
    );
    let fresh = Ended::run(&mut database.backfill(&format!("{RUN} --fresh")))
        .expect_code(0)
        .json();
    assert_eq!(
        (&fresh["passes"], &fresh["updated"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(fresh["scanned"], 310);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spec_or_segment_count_under_a_run_id_is_refused_with_both_shown() {
    let database = Embedded::with_stuff(100).await;
    let run = "run --table stuff --run-id r --segments 2 --json";
    Ended::run(database.backfill(run).args(["--set", "test=1"])).expect_code(0);
    let before = all(&database).await;
    let refused = Ended::run(database.backfill(run).args(["--set", "other=7"])).expect_code(2);
    assert!(
        refused.stderr.contains(r#"SET test = {"N":"1"}"#),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains(r#"SET other = {"N":"7"}"#),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.stdout, "");
    let run = "run --table stuff --run-id r --segments 5 --set test=1";
    let refused = Ended::run(&mut database.backfill(run)).expect_code(2);
    assert!(
        refused.stderr.contains("2 segments, and 5"),
        "{}",
        refused.stderr
    );
    assert_eq!(all(&database).await, before);
}

/// Hash only, hash and range; keys of type S, N (38 digits) and B; reserved words in `--set`.
#[tokio::test(flavor = "multi_thread")]
async fn any_key_schema() {
    let database = Embedded::start().await;
    let value = |kind: &str, i: u64| match kind {
        "S" => Value::S(format!("key {i} #:'\"(")),
        "N" => Value::N(format!("1234567890123456789012345678901234{i:04}")),
        _ => {
            let bytes = ["AA==", "//8=", "AQID"][i as usize % 3];
            serde_json::from_value(json!({"B": bytes})).unwrap()
        }
    };
    let schemas: [tables::Keys; 7] = [
        &[("id", "S")],
        &[("id", "N")],
        &[("id", "B")],
        &[("id", "S"), ("sort", "S")],
        &[("status", "N"), ("name", "B")],
        &[("id", "B"), ("order", "N")],
        &[("a.b", "S"), ("c-d", "N")],
    ];
    for (n, keys) in schemas.into_iter().enumerate() {
        let table = format!("table-{n}");
        tables::create(&database.client, &table, keys).await;
        let items: Vec<Item> = (0..40u64)
            .map(|i| {
                let mut item: Item = keys
                    .iter()
                    .enumerate()
                    // The partition key takes few values, so that collections have several items.
                    .map(|(place, (name, kind))| {
                        let varies = place + 1 == keys.len();
                        (
                            (*name).to_owned(),
                            value(kind, if varies { i } else { i % 3 }),
                        )
                    })
                    .collect();
                item.insert("payload".into(), Value::N("0.1".into()));
                item
            })
            .collect();
        let distinct: BTreeMap<Key, Item> = items
            .into_iter()
            .map(|item| (tables::key_of(&item, keys), item))
            .collect();
        let items: Vec<Item> = distinct.into_values().collect();
        tables::put_all(&database.client, &table, &items).await;
        let before = read_all(&database.client, &table, keys).await;
        let set = r#"where={"name":["x",1.50,null,true]}"#;
        let result = Ended::run(
            database
                .backfill(&format!(
                    "run --table {table} --json --segments 3 --set values=1"
                ))
                .args(["--set", set]),
        )
        .expect_code(0)
        .json();
        assert_eq!(result["updated"], before.len(), "{table}");
        let added: Item = serde_json::from_value(json!({
            "values": {"N": "1"},
            "where": {"M": {"name": {"L": [{"S": "x"}, {"N": "1.5"}, {"NULL": true}, {"BOOL": true}]}}},
        }))
        .unwrap();
        let mut expected = before;
        for item in expected.values_mut() {
            item.extend(added.clone());
        }
        assert_eq!(
            read_all(&database.client, &table, keys).await,
            expected,
            "{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_predicate_and_any_type() {
    let database = Embedded::with_stuff(60).await;
    // Typed values: sets and binary.
    Ended::run(
        database
            .backfill("run --table stuff --json")
            .args(["--set-typed", r#"labels={"SS":["x","y"]}"#])
            .args(["--set-typed", r#"blob={"B":"AAE="}"#]),
    )
    .expect_code(0);
    for item in all(&database).await.values() {
        assert_eq!(item["labels"], Value::Ss(vec!["x".into(), "y".into()]));
        assert_eq!(
            serde_json::to_value(&item["blob"]).unwrap(),
            json!({"B": "AAE="})
        );
    }
    // A predicate of one's own, from flags.
    let result = Ended::run(
        database
            .backfill("run --table stuff --json")
            .args(["--pending", "#s = :old AND attribute_exists(#n)"])
            .args(["--update", "SET #s = :new REMOVE #e"])
            .args([
                "--name",
                "#s=active",
                "--name",
                "#n=name",
                "--name",
                "#e=empty",
            ])
            .args(["--value", ":old=false", "--value", ":new=\"no\""]),
    )
    .expect_code(0)
    .json();
    assert_eq!(result["updated"], 60);
    for item in all(&database).await.values() {
        assert_eq!(item["active"], Value::S("no".into()));
        assert!(!item.contains_key("empty"));
    }
    // A predicate may name a key attribute and stand in parentheses.
    let result = Ended::run(
        database
            .backfill("run --table stuff --json")
            .args([
                "--pending",
                "(attribute_not_exists(late) AND created >= :t)",
            ])
            .args(["--update", "SET late = :v", "--value", ":v=true"])
            .args(["--value", ":t=1600000000030"]),
    )
    .expect_code(0)
    .json();
    assert_eq!(result["updated"], 30);
    // And from a file, which is also an execution's input.
    let file = tempfile::NamedTempFile::new().unwrap();
    let spec = r##"{"table":"stuff","pending":"contains(#t, :x)","update":"DELETE #t :xs",
        "names":{"#t":"labels"},"values":{":x":"x"},"values_typed":{":xs":{"SS":["x"]}},"total_segments":2}"##;
    std::fs::write(file.path(), spec).unwrap();
    let result = Ended::run(
        database
            .backfill("run --json")
            .arg("--spec")
            .arg(file.path()),
    )
    .expect_code(0)
    .json();
    assert_eq!(
        (&result["updated"], &result["segments"]),
        (&json!(60), &json!(2))
    );
}

/// Of several attributes, those that are there keep their value.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_one_attribute_for_the_sake_of_another() {
    let database = Embedded::with_stuff(50).await;
    let before = all(&database).await;
    Ended::run(&mut database.backfill("run --table stuff --set test=1 --set more=2"))
        .expect_code(0);
    let mut expected = migrated(&before);
    for item in expected.values_mut() {
        item.insert("more".into(), Value::N("2".into()));
    }
    assert_eq!(all(&database).await, expected);
}

/// Found on the first migrated item: no second one is touched, and the run fails.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_extinguish_stops_at_the_first_item() {
    let database = Embedded::with_stuff(200).await;
    let before = all(&database).await;
    let ended = Ended::run(
        database
            .backfill("run --table stuff --json")
            .args(["--pending", "attribute_not_exists(test)"])
            .args(["--update", "SET extra = :v", "--value", ":v=1"]),
    )
    .expect_code(1);
    assert!(
        ended.stderr.contains("does not extinguish"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.json()["status"], "failed");
    let after = all(&database).await;
    let changed = after
        .iter()
        .filter(|(key, item)| before[key] != **item)
        .count();
    assert_eq!(changed, 1);
}

/// Bad input: exit code 2, the field named, and nothing written anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_before_anything_is_written() {
    let database = Embedded::with_stuff(20).await;
    let before = all(&database).await;
    let place = format!("{} (region us-east-1)", database.endpoint);
    let cases: &[(&[&str], &[&str])] = &[
        (&["--set", "test=1"], &["table:"]),
        (&["--table", "stuff"], &["set:"]),
        (&["--table", "stuff", "--set", "test"], &["set:", "test=1"]),
        (
            &["--table", "stuff", "--set", "test=abc"],
            &["set.test:", "JSON"],
        ),
        (&["--table", "stuff", "--set", "test=1e999"], &["set.test:"]),
        (
            &["--table", "stuff", "--set-typed", r#"test={"SS":[]}"#],
            &["set.test:", "empty"],
        ),
        (
            &["--table", "missing", "--set", "test=1"],
            &["table:", "missing", &place],
        ),
        (
            &["--table", "stuff", "--set", "id=1"],
            &["update:", "key attribute"],
        ),
        (
            &[
                "--table",
                "stuff",
                "--set",
                "test=1",
                "--set-typed",
                r#"test={"N":"2"}"#,
            ],
            &["set-typed:", "twice"],
        ),
        (
            &["--table", "stuff", "--set", "test=1", "--segments", "0"],
            &["total_segments:", "1..1000000"],
        ),
        (
            &[
                "--table",
                "stuff",
                "--set",
                "test=1",
                "--segments",
                "1000001",
            ],
            &["total_segments:"],
        ),
        (
            &["--table", "stuff", "--set", "test=1", "--time-box", "0s"],
            &["time_box_seconds:"],
        ),
        (
            &["--table", "stuff", "--set", "test=1", "--time-box", "soon"],
            &["time-box:"],
        ),
        (
            &["--table", "stuff", "--set", "test=1", "--run-id", "a b"],
            &["run_id:"],
        ),
        (
            &[
                "--table",
                "stuff",
                "--pending",
                "a = :x) OR (b = :x",
                "--update",
                "SET a = :x",
                "--value",
                ":x=1",
            ],
            &["pending:", "parenthesis"],
        ),
        (
            &[
                "--table",
                "stuff",
                "--pending",
                "a = :x",
                "--update",
                "SET a = :y",
                "--value",
                ":y=1",
            ],
            &["values:", ":x"],
        ),
        (
            &["--table", "stuff", "--spec", "no-such-file.json"],
            &["spec:", "no-such-file.json"],
        ),
        (
            &["--table", "stuff", "--set", "test=1", "--unknown"],
            &["--unknown"],
        ),
    ];
    for (arguments, expected) in cases {
        let ended = Ended::run(database.backfill("run --json").args(*arguments)).expect_code(2);
        for words in *expected {
            assert!(
                ended.stderr.contains(words),
                "{arguments:?}: {words}: {}",
                ended.stderr
            );
        }
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    assert_eq!(
        database.table_names().await,
        ["stuff"],
        "no checkpoint table was made"
    );
    assert_eq!(all(&database).await, before);
}

/// DynamoDB's own message on an expression is passed on, and no item is touched.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_expressions_are_refused_with_dynamodbs_message() {
    let database = Embedded::with_stuff(20).await;
    let before = all(&database).await;
    for (pending, update, message) in [
        ("attribute_not_exists(", "SET a = b", "parenthesis"),
        ("nonsense here", "SET a = b", "Invalid FilterExpression"),
        (
            "attribute_not_exists(test)",
            "SET test = = :v",
            "Invalid UpdateExpression",
        ),
        (
            "attribute_not_exists(test)",
            "SET status = :v",
            "Invalid UpdateExpression",
        ),
    ] {
        let ended = Ended::run(
            database
                .backfill("run --table stuff")
                .args(["--pending", pending, "--update", update])
                .args(if update.contains(":v") {
                    &["--value", ":v=1"][..]
                } else {
                    &[]
                }),
        )
        .expect_code(2);
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
    }
    assert_eq!(all(&database).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_and_regions_are_refused() {
    let database = Embedded::with_stuff(1).await;
    let home = tempfile::tempdir().unwrap();
    let nobody = format!("http://127.0.0.1:{}", backfill_e2e::command::free_port());
    let command = || {
        let mut command = database.backfill(RUN);
        command.env("HOME", home.path());
        command
    };
    let ended = Ended::run(command().env_remove("AWS_ACCESS_KEY_ID")).expect_code(2);
    assert!(ended.stderr.contains("credentials:"), "{}", ended.stderr);
    let ended = Ended::run(command().env_remove("AWS_REGION")).expect_code(2);
    assert!(ended.stderr.contains("region:"), "{}", ended.stderr);
    let ended = Ended::run(
        command()
            .env_remove("AWS_REGION")
            // Nobody is at the metadata service either, and what the SDK has to say of that is not for the operator.
            .env_remove("AWS_EC2_METADATA_DISABLED")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &nobody)
            .args(["--profile", "nobody"]),
    )
    .expect_code(2);
    assert!(
        ended.stderr.starts_with("error: region:"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("profile nobody"), "{}", ended.stderr);
    Ended::run(
        command()
            .env_remove("AWS_REGION")
            .args(["--region", "eu-west-1"]),
    )
    .expect_code(0);
}

/// An endpoint where nobody answers: exit code 1 after a few tries, with the cause.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_endpoint() {
    let port = backfill_e2e::command::free_port();
    let url = format!("http://127.0.0.1:{port}");
    let ended = Ended::run(backfill(RUN.split(' ')).args(["--endpoint-url", &url])).expect_code(1);
    assert!(ended.stderr.contains(&url), "{}", ended.stderr);
    assert!(ended.stderr.contains("refused"), "{}", ended.stderr);
}

/// never-overwrite, never-resurrect: an application sets `test` to values of its own, deletes items, and creates
/// others, on the keys that are being migrated. Whatever it left behind is what is there at the end.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_and_never_resurrect_beside_a_live_application() {
    const ITEMS: u64 = 4000;
    let database = Embedded::with_stuff(ITEMS).await;
    let before = all(&database).await;
    let mut child = database
        .backfill(&format!("{RUN} --segments 4"))
        .spawn()
        .unwrap();
    let added = BTreeMap::from([("test".to_owned(), Value::N("1".into()))]);
    let mut writer = Writer::new(&database.client, &before, 0..ITEMS, &added, Code::New, 4);
    wait_for_progress(&database).await;
    // As many as fit beside the run: it goes on while this loop does, and ends when it ends.
    for n in 0..1500 {
        if n == 100 {
            let ended = child.try_wait().unwrap();
            assert_eq!(
                ended, None,
                "the run was over before the application had begun"
            );
        }
        writer.write().await;
    }
    let result = Ended::of(child).expect_code(0).json();
    assert_accounted(&result);
    writer.check(&all(&database).await);
}

/// no-gap: pages without a pending item, but with a LastEvaluatedKey, are not the end. The one item that is pending
/// is the last that a scan comes to, behind three such pages.
#[tokio::test(flavor = "multi_thread")]
async fn no_gap_at_empty_pages() {
    let database = Embedded::start().await;
    tables::create(&database.client, "stuff", STUFF_KEYS).await;
    let items: Vec<Item> = (0..4000)
        .map(|i| {
            let mut item = stuff(i);
            item.insert("test".into(), Value::Bool(true));
            item
        })
        .collect();
    tables::put_all(&database.client, "stuff", &items).await;
    let mut last = None;
    let mut after = None;
    loop {
        let page = database
            .client
            .scan()
            .table_name("stuff")
            .limit(1000)
            .segment(0)
            .total_segments(1)
            .set_exclusive_start_key(after);
        let page = page.send().await.unwrap();
        last = page.items().last().cloned().or(last);
        after = page.last_evaluated_key().cloned();
        if after.is_none() {
            break;
        }
    }
    let mut last = backfill_dynamodb::from_item(&last.unwrap()).unwrap();
    last.remove("test");
    tables::put_all(&database.client, "stuff", &[last]).await;

    let result = Ended::run(&mut database.backfill(&format!("{RUN} --segments 1")))
        .expect_code(0)
        .json();
    assert_eq!(
        (&result["scanned"], &result["updated"], &result["passes"]),
        (&json!(4000), &json!(1), &json!(1))
    );
}

/// honest-end: where the passes are used up, the exit code is 3 and the keys of what remains are shown.
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

/// What a simulation says follows from what it is asked, and nothing is called for it.
#[test]
fn a_simulation_answers_for_the_operators_own_figures() {
    let simulate = |more: &str| {
        let arguments =
            format!("simulate --items 60000 --partitions 4 --segments 8 --concurrency 4 {more}");
        Ended::run(backfill(arguments.split_whitespace()).env_remove("AWS_REGION"))
    };
    let budgeted = simulate("--max-wcu 1000 --json").expect_code(0);
    let result = budgeted.json();
    assert_eq!(result["bound_by"], "write units");
    assert_eq!(result["bound_seconds"], 60.0);
    let seconds = result["seconds"].as_f64().unwrap();
    assert!((60.0..65.0).contains(&seconds), "{result}");
    let writes = result["cost_usd"]["writes"].as_f64().unwrap();
    assert!((0.0375..0.038).contains(&writes), "{result}");
    let people = budgeted.stderr;
    for words in [
        "bound by  ",
        "bbbb",
        "write units/s",
        "60,000 items of 300 B on 4 partitions",
    ] {
        assert!(people.contains(words), "{words}: {people}");
    }
    let free = simulate("").expect_code(0);
    assert!(
        free.stdout.contains("by the hottest partition"),
        "{}",
        free.stdout
    );

    let prices = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &prices,
        r#"{"million_write_units":1000,"region":"elsewhere"}"#,
    )
    .unwrap();
    let priced = simulate(&format!("--json --price-file {}", prices.path().display()));
    let priced = priced.expect_code(0);
    let writes = priced.json()["cost_usd"]["writes"].as_f64().unwrap();
    assert!((60.0..61.0).contains(&writes), "{writes}");
    assert!(priced.stderr.contains("elsewhere"), "{}", priced.stderr);

    for (more, field) in [
        ("--pending 2", "pending"),
        ("--item-size 0", "item-size"),
        ("--max-wcu 0", "max_wcu"),
        ("--price-file /nowhere", "price-file"),
    ] {
        let refused = simulate(more).expect_code(2);
        assert!(refused.stderr.contains(field), "{more}: {}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
}

/// Bad rates are refused, by field; that of a run which has ended holds when it is started again.
#[tokio::test(flavor = "multi_thread")]
async fn rates_that_cannot_be_are_refused() {
    let database = Embedded::with_stuff(10).await;
    let run = |arguments: String| Ended::run(&mut database.backfill(&arguments));
    run(format!("{RUN} --run-id mine")).expect_code(0);
    run("rate --run-id mine --max-wcu 5".into()).expect_code(0);
    let again = run(format!("{RUN} --run-id mine")).expect_code(0);
    assert_eq!(again.json()["max_wcu"], 5);
    for (arguments, words) in [
        ("--run-id other --max-wcu 5", "there is no run other"),
        ("--run-id mine --max-wcu 0", "max_wcu"),
        ("--run-id mine --max-rcu fast", "max_rcu"),
        ("--run-id mine", "--max-wcu"),
    ] {
        let refused = run(format!("rate {arguments}")).expect_code(2);
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
}

/// A dry run says how the table would be cut, and what the run would cost.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_explains_segments_and_cost() {
    let database = Embedded::with_stuff(100).await;
    let dry = database
        .backfill(&format!("{RUN} --dry-run --max-wcu 40"))
        .output()
        .unwrap();
    let dry = Ended::from(dry).expect_code(3);
    for words in [
        "8 segments (one per worker; by size (0 MB, 256 MiB each) it would be 1), 8 at once",
        "about 80 units: 1.00 for each item, 1.00 with indexes",
        "at least 2 s to sweep, by the budget of 40 write units/s",
        "USD per million items",
    ] {
        assert!(dry.stderr.contains(words), "{words}: {}", dry.stderr);
    }
    let given = database
        .backfill(&format!("{RUN} --dry-run --segments 3"))
        .output()
        .unwrap();
    let given = Ended::from(given).expect_code(3);
    assert!(
        given.stderr.contains("3 segments (as given)"),
        "{}",
        given.stderr
    );
}
