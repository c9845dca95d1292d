//! `backfill guard run` against the embedded database's stream: what old writers put while it runs, and while it does not, is repaired.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use backfill_core::{Item, Key, Value};
use backfill_e2e::command::{AtWork, Ended, backfill};
use backfill_e2e::convert::to_item;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, key_of, stuff};
use backfill_e2e::wire::Verdict;
use serde_json::json;

use crate::stuff::all;

const GUARD: &str = "guard run --table stuff --set test=1 --json";

async fn stream(database: &Embedded, view: Option<StreamViewType>) {
    let stream = StreamSpecification::builder().stream_enabled(view.is_some());
    let stream = stream.set_stream_view_type(view);
    let update = database.client.update_table().table_name("stuff");
    let update = update.stream_specification(stream.build().unwrap());
    update.send().await.unwrap();
}

/// An application of yesterday: it puts items without `test`, and some that another one has set, until it is told to stop.
struct OldWriter {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<BTreeMap<Key, Item>>,
}

impl OldWriter {
    fn start(database: &Embedded, first: u64) -> OldWriter {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ends, counts) = (stop.clone(), written.clone());
        let client = database.client.clone();
        let task = tokio::spawn(async move {
            let mut put = BTreeMap::new();
            for id in first.. {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                // Some are put again and again, by turns without the attribute and with a value of its own.
                let mut item = stuff(first + id % 40);
                item.remove("test");
                item.insert("round".into(), Value::N(id.to_string()));
                if id % 7 == 0 {
                    item.insert("test".into(), Value::S("of the application".into()));
                }
                let request = client.put_item().table_name("stuff");
                let request = request.set_item(Some(to_item(&item)));
                request.send().await.unwrap();
                put.insert(key_of(&item, STUFF_KEYS), item);
                counts.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            put
        });
        OldWriter {
            stop,
            written,
            task,
        }
    }

    /// Waits until it has written so many more.
    async fn write(&self, more: u64) {
        let enough = self.written.load(Ordering::SeqCst) + more;
        while self.written.load(Ordering::SeqCst) < enough {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has put last, by key.
    async fn stop(self) -> BTreeMap<Key, Item> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// Waits until no item lacks the attribute.
async fn wait_until_none_is_pending(database: &Embedded) {
    for _ in 0..300 {
        let items = all(database).await;
        if items.values().all(|item| item.contains_key("test")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("items are pending after 30 s: {:?}", all(database).await);
}

/// guarded: it is interrupted, killed, and begun again, while old writers are at work.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_while_old_writers_work_and_the_guard_dies() {
    let database = Embedded::with_stuff(10).await;
    let migrated = Ended::run(&mut database.backfill("run --table stuff --set test=1 --json"));
    migrated.expect_code(0);
    stream(&database, Some(StreamViewType::NewImage)).await;
    let before = all(&database).await;
    let writer = OldWriter::start(&database, 1_000);
    writer.write(20).await;

    let (mut seen, mut repaired) = (0, 0);
    for end in ["INT", "KILL", "KILL", "TERM", "KILL"] {
        let guard = AtWork::start(database.backfill(GUARD));
        writer.write(60).await;
        guard.signal(end);
        let ended = guard.end().await;
        if end == "KILL" {
            // Nobody watches.
            writer.write(20).await;
            continue;
        }
        let ended = ended.expect_code(0);
        assert!(ended.stderr.contains("repaired"), "{}", ended.stderr);
        let done = ended.json();
        assert_eq!(done["error"], json!(null), "{done}");
        assert_eq!(done["losses"], json!([]), "{done}");
        assert!(done["guarded_since_ms"].as_u64().is_some(), "{done}");
        seen += done["seen"].as_u64().unwrap();
        repaired += done["repaired"].as_u64().unwrap();
        writer.write(20).await;
    }
    assert!(seen > 0 && repaired > 0, "{seen} seen, {repaired} repaired");
    let put = writer.stop().await;
    let guard = AtWork::start(database.backfill(GUARD));
    wait_until_none_is_pending(&database).await;
    guard.signal("INT");
    guard.end().await.expect_code(0);

    // Nothing was changed but that: what somebody set is as it was set.
    let mut expected = before;
    for (key, mut item) in put {
        item.entry("test".into())
            .or_insert_with(|| Value::N("1".into()));
        expected.insert(key, item);
    }
    assert_eq!(all(&database).await, expected);
    let verified = Ended::run(&mut database.backfill("verify --table stuff --set test=1 --json"));
    assert_eq!(verified.expect_code(0).json()["remaining"], 0);
    // The records of a guard are no runs.
    let runs = Ended::run(&mut database.backfill("runs --json")).expect_code(0);
    assert_eq!(runs.json()["runs"].as_array().unwrap().len(), 1);
}

/// A table that cannot be watched is refused, and it is said what to type; nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_watched_is_refused() {
    let database = Embedded::with_stuff(1).await;
    let refused = |arguments: &str| Ended::run(&mut database.backfill(arguments)).expect_code(2);
    let off = refused(GUARD).stderr;
    assert!(off.contains("table stuff has no stream"), "{off}");
    let command = "aws dynamodb update-table --table-name stuff --stream-specification \
                   StreamEnabled=true,StreamViewType=NEW_IMAGE";
    assert!(off.contains(command), "{off}");
    stream(&database, Some(StreamViewType::KeysOnly)).await;
    let keys = refused(GUARD).stderr;
    assert!(
        keys.contains("KEYS_ONLY") && keys.contains(command),
        "{keys}"
    );
    assert_eq!(database.table_names().await, ["stuff"]);
    let bad = refused("guard run --table stuff --pending a --update b").stderr;
    assert!(bad.starts_with("error: update: expected SET"), "{bad}");
}

/// Another change is refused while a guard is on, and a second process of the same change takes over from the first.
#[tokio::test(flavor = "multi_thread")]
async fn one_guard_watches_a_table() {
    let database = Embedded::with_stuff(1).await;
    stream(&database, Some(StreamViewType::NewAndOldImages)).await;
    let first = AtWork::start(database.backfill(GUARD));
    wait_for_generation(&database, 1).await;
    let other = "guard run --table stuff --set other=1";
    let refused = Ended::run(&mut database.backfill(other)).expect_code(2);
    let words = &refused.stderr;
    assert!(
        words.contains("another change") && words.contains("guard off"),
        "{words}"
    );

    let second = AtWork::start(database.backfill(GUARD));
    wait_for_generation(&database, 2).await;
    let fenced = first.end().await.expect_code(1);
    assert!(
        fenced.stderr.contains("begun elsewhere"),
        "{}",
        fenced.stderr
    );
    assert_eq!(fenced.json()["error"], "Fenced");

    // The stream is switched off below the second one.
    stream(&database, None).await;
    let ended = second.end().await.expect_code(1);
    let done = ended.json();
    assert_eq!(done["error"], "TableNotFound", "{ended:?}");
    assert_eq!(done["guarded_since_ms"], json!(null), "{done}");
    assert!(
        done["losses"][0].as_str().unwrap().contains("is gone"),
        "{done}"
    );
}

/// Who has made a run need not say its change again: the guard takes it from the run's record, and nothing beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_takes_the_change_of_a_run() {
    let database = Embedded::with_stuff(10).await;
    stream(&database, Some(StreamViewType::NewImage)).await;
    let mut command = database.backfill("run --table stuff --json");
    command.args(["--pending", "attribute_not_exists(test)"]);
    command.args(["--update", "SET test = :v", "--value", ":v=1"]);
    let run = Ended::run(&mut command).expect_code(0).json();
    let id = run["run_id"].as_str().unwrap();

    for (more, why) in [
        ("--set test=1", "run-id: "),
        ("--table other", "is one of table stuff, not other"),
    ] {
        let refused = format!("guard run --run-id {id} {more}");
        let refused = Ended::run(&mut database.backfill(&refused)).expect_code(2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    let unknown = Ended::run(&mut database.backfill("guard run --run-id stuff-none"));
    let unknown = unknown.expect_code(2).stderr;
    assert!(unknown.contains("has no run stuff-none"), "{unknown}");

    let guard = format!("guard run --run-id {id} --table stuff --json");
    let guard = AtWork::start(database.backfill(&guard));
    wait_for_generation(&database, 1).await;
    let writer = OldWriter::start(&database, 1_000);
    writer.write(20).await;
    let put = writer.stop().await;
    let mut repaired = false;
    for _ in 0..300 {
        let items = all(&database).await;
        repaired = put.keys().all(|key| items[key].contains_key("test"));
        if repaired {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(repaired, "{:?}", all(&database).await);
    guard.signal("INT");
    guard.end().await.expect_code(0);
}

/// Waits until a process of this generation has begun.
async fn wait_for_generation(database: &Embedded, generation: u32) {
    let key = [("run_id", "#guard:stuff"), ("record", "guard")];
    for _ in 0..300 {
        let mut get = database
            .client
            .get_item()
            .table_name("backfill-checkpoints");
        for (name, value) in key {
            let value = aws_sdk_dynamodb::types::AttributeValue::S(value.into());
            get = get.key(name, value);
        }
        let got = get.send().await.ok().and_then(|got| got.item);
        let found = got.and_then(|item| item.get("generation")?.as_n().ok().cloned());
        if found.as_deref() == Some(&generation.to_string()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no guard of generation {generation}");
}

/// Every command that tells of the run says the same of its guard.
fn assert_claimed_everywhere(database: &Embedded, held: &serde_json::Value) {
    let run = |arguments: &str| Ended::run(&mut database.backfill(arguments)).expect_code(0);
    let of_run = run("status --json").json();
    for field in ["guarded", "guarded_since"] {
        assert_eq!(of_run[field], held[field], "{field}");
    }
    assert!(of_run["repaired"].as_u64() > Some(10), "{of_run}");
    assert!(of_run["iterator_age_seconds"].is_number(), "{of_run}");
    let report = run("report --format markdown --out -").stdout;
    assert!(report.contains("Its guard: zero at "), "{report}");
    let people = run("guard status --table stuff").stdout;
    assert!(people.contains("who writes the old shape"), "{people}");
}

/// guarded: the claim is made by a count that began while somebody watched. It is shown by every command that tells of the count, and it
/// is withdrawn as soon as the guard is off, until the table is counted again.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_is_claimed_and_withdrawn() {
    let database = Embedded::with_stuff(10).await;
    let run = |arguments: &str| Ended::run(&mut database.backfill(arguments));
    let status = |code| {
        run("guard status --table stuff --json")
            .expect_code(code)
            .json()
    };
    stream(&database, Some(StreamViewType::NewImage)).await;
    // A count of before says nothing of what is written before the guard is on.
    run("run --table stuff --set test=1 --json").expect_code(0);
    let unknown = run("guard status --table stuff").expect_code(2);
    assert!(unknown.stderr.contains("knows of no guard"), "{unknown:?}");
    let unguarded = run("verify --table stuff --set test=1 --json").expect_code(0);
    assert_eq!(unguarded.json()["guarded_since"], json!(null));
    assert_eq!(unguarded.json()["guarded"], false);

    let guard = AtWork::start(database.backfill(GUARD));
    wait_for_generation(&database, 1).await;
    let not_counted = status(3);
    assert_eq!(not_counted["guarded"], false, "{not_counted}");
    let says = not_counted["says"].as_str().unwrap();
    assert!(says.contains("began before the guard was on"), "{says}");

    let verified = run("verify --table stuff --set test=1 --json").expect_code(0);
    let claim = "zero at ";
    assert!(verified.stderr.contains(claim), "{}", verified.stderr);
    assert_eq!(verified.json()["guarded"], true, "{}", verified.json());
    // It is known to whoever looks next, though it was no run's.
    assert_eq!(status(0)["guarded"], true);
    run("run --table stuff --set test=1 --json").expect_code(0);
    let writer = OldWriter::start(&database, 2_000);
    writer.write(30).await;
    writer.stop().await;
    wait_until_none_is_pending(&database).await;
    let held = status(0);
    assert_eq!(held["guarded"], true, "{held}");
    assert!(held["guarded_since"].is_string(), "{held}");
    let hour = &held["hours"][0];
    assert!(hour["samples"].as_array().unwrap().len() > 1, "{hour}");
    assert_claimed_everywhere(&database, &held);
    // Of another change nothing is said.
    let other = run("verify --table stuff --set test=2 --json").expect_code(0);
    assert_eq!(other.json()["guarded"], false);
    assert_eq!(other.json()["repaired"], json!(null));

    run("guard off --table stuff").expect_code(0);
    let ended = guard.end().await.expect_code(4);
    assert!(ended.stderr.contains("switched off"), "{}", ended.stderr);
    let off = status(3);
    assert_eq!(off["on"], false, "{off}");
    assert_eq!(off["guarded_since"], json!(null), "{off}");
    let guard = AtWork::start(database.backfill(GUARD));
    wait_for_generation(&database, 2).await;
    let again = status(3);
    let says = again["says"].as_str().unwrap();
    assert!(says.contains("the guard was off since"), "{says}");
    let verified = run("verify --table stuff --set test=1 --json").expect_code(0);
    assert_eq!(verified.json()["guarded"], true);
    guard.signal("INT");
    guard.end().await.expect_code(0);
}

/// guarded: a verification that is no run's makes the claim as well, and one that finds something withdraws it. Who may not store it counts
/// all the same, and is told.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_by_the_verification_that_began_last() {
    let database = Embedded::with_stuff(5).await;
    let run = |arguments: &str| Ended::run(&mut database.backfill(arguments));
    let status = |code| {
        run("guard status --table stuff --json")
            .expect_code(code)
            .json()
    };
    let verify = "verify --table stuff --set test=1 --json";
    stream(&database, Some(StreamViewType::NewImage)).await;
    run("run --table stuff --set test=1 --json").expect_code(0);
    let guard = AtWork::start(database.backfill(GUARD));
    wait_for_generation(&database, 1).await;
    run(verify).expect_code(0);
    let held = status(0);
    // What is counted of a part only is no proof, and keeps nothing.
    run("verify --table stuff --set test=1 --sample 50%");
    assert_eq!(status(0)["zero_ms"], held["zero_ms"]);
    guard.signal("INT");
    guard.end().await.expect_code(0);

    // Nobody watches for a moment, and the claim holds still: the stream keeps what comes.
    let writer = OldWriter::start(&database, 3_000);
    writer.write(1).await;
    let put = writer.stop().await;
    status(0);
    let found = run(verify).expect_code(3).json();
    assert_eq!(found["remaining"], put.len(), "{found}");
    assert_eq!(found["guarded"], false);
    let withdrawn = status(3);
    assert_eq!(withdrawn["guarded"], false, "{withdrawn}");
    let says = withdrawn["says"].as_str().unwrap();
    assert!(says.contains("not counted since"), "{says}");
    assert_eq!(run("status --json").expect_code(0).json()["guarded"], false);

    let guard = AtWork::start(database.backfill(GUARD));
    wait_for_generation(&database, 2).await;
    wait_until_none_is_pending(&database).await;
    let line = database.line().await;
    let refusing = line.tap("backfill-checkpoints", |call| {
        std::future::ready(match call.operation.as_str() {
            "PutItem" => Verdict::Refuse {
                code: "AccessDeniedException",
                message: "you may only read",
            },
            _ => Verdict::Forward,
        })
    });
    let mut of_reader = backfill(verify.split(' '));
    of_reader.args(["--endpoint-url", &line.endpoint]);
    let of_reader = Ended::run(&mut of_reader).expect_code(0);
    assert!(
        of_reader
            .stderr
            .contains("warning: this count is not kept with the guard of table stuff")
            && of_reader.stderr.contains("you may only read"),
        "{}",
        of_reader.stderr
    );
    assert_eq!(of_reader.json()["guarded"], true);
    drop(refusing);
    status(3);
    run(verify).expect_code(0);
    status(0);
    guard.signal("INT");
    guard.end().await.expect_code(0);
}
