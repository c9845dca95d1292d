//! The guard function, as a process, behind a real stream: old writers' items are repaired, whatever goes wrong on the way, and what
//! cannot be is a loss.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use backfill_core::clock::now_ms;
use backfill_core::guard::SwitchOn;
use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::{GuardReader as _, GuardStore as _};
use backfill_core::records::{GuardHour, GuardRecord, LossKind, Watcher};
use backfill_core::{Item, Key, Request, Value};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection, ReadOnly};
use backfill_e2e::convert::to_item;
use backfill_e2e::database::Embedded;
use backfill_e2e::functions::{Fate, Functions, Invoked};
use backfill_e2e::poller::{Poller, sequences};
use backfill_e2e::stub::Stub;
use backfill_e2e::tables::{STUFF_KEYS, key_of, migrated, read_all, stuff};
use backfill_e2e::wire::Verdict;
use serde_json::{Value as Json, json};

use crate::trial::CHECKPOINTS;

/// As template.yaml has it.
const FATE: Fate = Fate {
    kill_after: None,
    deadline_ms: 60_000,
};

/// Leaves a second for the work.
const SHORT: Fate = Fate {
    kill_after: None,
    deadline_ms: 2_000,
};

/// The ARN that the functions of the tests are invoked by.
const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:backfill";

/// A table with a stream, whose guard is on.
struct Guarded {
    database: Embedded,
    store: CheckpointTable,
    poller: Poller,
    on: SwitchOn,
}

impl Guarded {
    async fn start(set: &Json) -> Guarded {
        let database = Embedded::with_stuff(1).await;
        let poller = Poller::start(&database, "stuff").await;
        let options = ConnectOptions {
            endpoint_url: Some(database.endpoint.clone()),
            region: Some("us-east-1".into()),
            profile: None,
            local_credentials: true,
        };
        let connection = Connection::open(&options).await.unwrap();
        let store = CheckpointTable::new(&connection, CHECKPOINTS);
        store.create_if_missing().await.unwrap();
        let access = ReadOnly(connection);
        let keys = access.describe("stuff").await.unwrap().keys;
        let mut asked = set.clone();
        asked["table"] = "stuff".into();
        let on = SwitchOn {
            spec: Request::from_json(&asked.to_string()).unwrap().spec,
            keys,
            stream_arn: poller.stream_arn.clone(),
            watcher: Watcher::Function,
            mapping: None,
            stack: None,
            by: "a test".into(),
        };
        on.begin(&store, now_ms).await.unwrap();
        Guarded {
            database,
            store,
            poller,
            on,
        }
    }

    async fn with_set() -> Guarded {
        Guarded::start(&json!({"set": {"test": 1}})).await
    }

    fn functions(&self) -> Functions {
        Functions::new(&self.database.endpoint, CHECKPOINTS)
    }

    /// An old writer puts these items, as if it knew nothing of the attribute.
    async fn write_old(&self, items: std::ops::Range<u64>) {
        for id in items {
            self.put(old(id)).await;
        }
    }

    async fn put(&self, item: Item) {
        let put = self.database.client.put_item().table_name("stuff");
        let put = put.set_item(Some(to_item(&item)));
        put.send().await.unwrap();
    }

    async fn items(&self) -> BTreeMap<Key, Item> {
        read_all(&self.database.client, "stuff", STUFF_KEYS).await
    }

    async fn pending(&self) -> usize {
        let items = self.items().await;
        let is_pending = |item: &&Item| !item.contains_key("test");
        items.values().filter(is_pending).count()
    }

    async fn guard(&self) -> GuardRecord {
        self.store.guard("stuff").await.unwrap().unwrap()
    }

    async fn losses(&self) -> Vec<LossKind> {
        let losses = self.guard().await.losses;
        losses.into_iter().map(|loss| loss.kind).collect()
    }

    /// What was done, in all hours.
    async fn done(&self) -> GuardHour {
        let mut done = GuardHour::default();
        for hour in self.store.guard_hours("stuff", 0).await.unwrap() {
            done.add(&hour);
        }
        done
    }

    /// Brings the function whatever is in the stream, until there is nothing more. How many batches that were.
    async fn drain(&mut self, functions: &Functions) -> u32 {
        for batches in 0.. {
            let Some(batch) = self.poller.batch(100).await else {
                return batches;
            };
            assert!(batches < 20, "it goes on and on");
            let answer = answer(functions, &batch, FATE).await;
            self.poller.go_on(&batch, &answer);
        }
        unreachable!("there are not so many batches")
    }
}

/// An item of an old writer.
fn old(id: u64) -> Item {
    let mut item = stuff(id);
    item.remove("test");
    item
}

async fn answer(functions: &Functions, event: &Json, fate: Fate) -> Json {
    match functions.invoke("guard", event, fate).await {
        Invoked::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

async fn error(functions: &Functions, event: &Json) -> (String, String) {
    match functions.invoke("guard", event, FATE).await {
        Invoked::Error(name, message) => (name, message),
        other => panic!("{other:?}"),
    }
}

fn all_settled() -> Json {
    json!({"batchItemFailures": []})
}

/// never-overwrite, and the guard's own writes have records of their own, which need nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn the_guard_function_repairs_what_old_writers_write_and_does_not_loop() {
    let mut guarded = Guarded::with_set().await;
    let functions = guarded.functions();
    guarded.write_old(100..130).await;
    // Written by the new code, and by an old writer who takes it away again.
    let mut new = old(200);
    new.insert("test".into(), Value::N("7".into()));
    guarded.put(new.clone()).await;
    guarded.put(new).await;
    guarded.write_old(130..131).await;
    guarded.write_old(100..101).await;
    let before = guarded.items().await;
    let batches = guarded.drain(&functions).await;
    assert!((2..4).contains(&batches), "{batches} batches");
    let mut expected = migrated(&before);
    // It was there before the guard, and nobody has written it since.
    let first = key_of(&stuff(0), STUFF_KEYS);
    expected.insert(first.clone(), before[&first].clone());
    assert_eq!(guarded.items().await, expected);
    let done = guarded.done().await;
    assert_eq!((done.repaired, done.failed), (31, 0));
    assert_eq!(
        done.seen,
        34 + 31,
        "its own writes are seen, and left alone"
    );
    assert_eq!(guarded.losses().await, []);
    assert!(guarded.guard().await.is_on());
}

/// honest-end: what is throttled until the end of the time comes again, from the first record that is open.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_throttled_comes_again_from_its_first_open_record() {
    let mut guarded = Guarded::with_set().await;
    guarded.write_old(100..120).await;
    let batch = guarded.poller.batch(100).await.unwrap();
    let hot = batch["Records"][12]["dynamodb"]["Keys"].clone();
    let wire = guarded.database.line().await;
    let is_hot = Arc::new(AtomicBool::new(true));
    let heat = is_hot.clone();
    let _tap = wire.tap("stuff", move |call| {
        let throttled = call.is_update() && call.body["Key"] == hot && heat.load(SeqCst);
        async move {
            match throttled {
                true => Verdict::Throttle {
                    reason: "TableKeyRangeThroughputExceeded",
                    resource: "table/stuff",
                },
                false => Verdict::Forward,
            }
        }
    });
    let functions = Functions::new(&wire.endpoint, CHECKPOINTS);
    let open = answer(&functions, &batch, SHORT).await;
    let thirteenth = &sequences(&batch)[12];
    assert_eq!(
        open,
        json!({"batchItemFailures": [{"itemIdentifier": thirteenth}]})
    );
    assert!(!guarded.poller.go_on(&batch, &open));
    assert_eq!(
        guarded.pending().await,
        2,
        "the hot one, and the first of all"
    );
    let again = guarded.poller.batch(100).await.unwrap();
    assert_eq!(&sequences(&again)[0], thirteenth);
    is_hot.store(false, SeqCst);
    let settled = answer(&functions, &again, FATE).await;
    assert_eq!(settled, all_settled());
    assert!(guarded.poller.go_on(&again, &settled));
    assert_eq!(guarded.pending().await, 1);
    assert_eq!(guarded.losses().await, []);
}

/// What is not of one item fails the whole batch, by its name, and settles nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_function_may_not_do_fails_its_invocation() {
    let guarded = Guarded::with_set().await;
    guarded.write_old(100..103).await;
    let batch = guarded.poller.batch(100).await.unwrap();
    let wire = guarded.database.line().await;
    let tap = wire.tap("stuff", |call| async move {
        match call.is_update() {
            true => Verdict::Refuse {
                code: "AccessDeniedException",
                message: "not authorized to perform dynamodb:UpdateItem",
            },
            false => Verdict::Forward,
        }
    });
    let functions = Functions::new(&wire.endpoint, CHECKPOINTS);
    let (name, message) = error(&functions, &batch).await;
    assert_eq!(name, "AccessDenied", "{message}");
    drop(tap);
    let nowhere = Functions::new(&wire.endpoint, "no-checkpoints");
    let (name, message) = error(&nowhere, &batch).await;
    assert_eq!(name, "TableNotFound", "{message}");
    assert!(message.contains("no-checkpoints"), "{message}");
    let (name, message) = error(&functions, &json!({"Records": [{"eventSource": "aws:s3"}]})).await;
    assert_eq!(name, "InvalidInput", "{message}");
    assert_eq!(guarded.losses().await, []);
    assert_eq!(answer(&functions, &batch, FATE).await, all_settled());
    assert_eq!(guarded.pending().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_a_loss_and_the_others_are_settled() {
    let guarded = Guarded::with_set().await;
    guarded.write_old(100..105).await;
    let mut batch = guarded.poller.batch(100).await.unwrap();
    batch["Records"][2]["dynamodb"]["NewImage"]["id"] = json!({"NEW": "secret"});
    let functions = guarded.functions();
    assert_eq!(answer(&functions, &batch, FATE).await, all_settled());
    assert_eq!(guarded.done().await.repaired, 4);
    let losses = guarded.guard().await.losses;
    let [loss] = &losses[..] else {
        panic!("{losses:?}")
    };
    assert_eq!(loss.kind, LossKind::Failed);
    let what = &loss.what;
    assert!(what.contains(&sequences(&batch)[2]), "{what}");
    assert!(!what.contains("secret"), "{what}");
}

/// A guard that is off, and one that a process watches, is none of the function's; its record is read with each batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_off_does_nothing_from_the_next_batch_on() {
    let guarded = Guarded::with_set().await;
    let functions = guarded.functions();
    guarded.write_old(100..102).await;
    let batch = guarded.poller.batch(1).await.unwrap();
    assert_eq!(answer(&functions, &batch, FATE).await, all_settled());
    assert_eq!(guarded.done().await.repaired, 1);
    let mut off = guarded.guard().await;
    off.revision += 1;
    off.off_ms = Some(now_ms());
    guarded.store.save_guard(&off).await.unwrap();
    let batch = guarded.poller.batch(100).await.unwrap();
    assert_eq!(answer(&functions, &batch, FATE).await, all_settled());
    let look = json!({"look": true});
    assert_eq!(answer(&functions, &look, FATE).await, all_settled());
    assert_eq!(guarded.done().await.repaired, 1);
    assert_eq!(guarded.guard().await, off);

    guarded.on.begin(&guarded.store, now_ms).await.unwrap();
    assert_eq!(answer(&functions, &batch, FATE).await, all_settled());
    assert_eq!(guarded.done().await.repaired, 2);
    assert_eq!(guarded.losses().await, [LossKind::Off]);
}

/// Where two stacks share their records, the function of one neither repairs nor looks for the guard of the other, nor settles what was
/// given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_of_another_stack_is_left_alone() {
    let mut guarded = Guarded::with_set().await;
    let functions = guarded.functions();
    guarded.write_old(100..103).await;
    let mut others = guarded.guard().await;
    others.revision += 1;
    others.stack = Some("others".into());
    guarded.store.save_guard(&others).await.unwrap();
    let batch = guarded.poller.batch(100).await.unwrap();
    let message = guarded.poller.give_up(&batch, "id-1");
    for event in [batch, json!({"Records": [message]}), json!({"look": true})] {
        assert_eq!(answer(&functions, &event, FATE).await, all_settled());
    }
    assert_eq!(guarded.pending().await, 4);
    assert_eq!(guarded.guard().await, others);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_lambda_gave_up_are_read_again_and_those_of_another_stream_are_a_loss() {
    let mut guarded = Guarded::with_set().await;
    let functions = guarded.functions();
    guarded.write_old(100..120).await;
    let batch = guarded.poller.batch(12).await.unwrap();
    let message = guarded.poller.give_up(&batch, "id-1");
    let mut unknown = message.clone();
    unknown["messageId"] = "id-2".into();
    unknown["body"] = "{\"somebody\":\"else\"}".into();
    let messages = json!({"Records": [message, unknown]});
    let answered = answer(&functions, &messages, FATE).await;
    assert_eq!(answered, all_settled());
    let done = guarded.done().await;
    assert_eq!((done.seen, done.repaired), (12, 12));
    // What a message says that nobody understands may have been of records.
    let losses = guarded.guard().await.losses;
    let [loss] = &losses[..] else {
        panic!("{losses:?}")
    };
    assert_eq!(loss.kind, LossKind::Dropped);
    assert!(
        loss.what.contains("message id-2 of the guard's queue") && !loss.what.contains("somebody"),
        "{loss:?}"
    );

    let mut other = message;
    let body = other["body"].as_str().unwrap();
    let body = body.replace(&guarded.poller.stream_arn, "arn:another/stream/1");
    other["body"] = body.into();
    // Of a stream that the table had long before the guard was on: it has been counted since.
    let mut former = other.clone();
    let mut body: Json = serde_json::from_str(former["body"].as_str().unwrap()).unwrap();
    body["DDBStreamBatchInfo"]["approximateArrivalOfLastRecord"] = "2020-01-01T00:00:00Z".into();
    former["body"] = body.to_string().into();
    for (message, losses) in [
        (former, &[LossKind::Dropped][..]),
        (other, &[LossKind::Dropped, LossKind::OtherStream]),
    ] {
        let messages = json!({"Records": [message]});
        assert_eq!(answer(&functions, &messages, FATE).await, all_settled());
        assert_eq!(guarded.losses().await, losses);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_stream_is_a_loss_and_nothing_is_written() {
    let guarded = Guarded::with_set().await;
    guarded.write_old(100..103).await;
    let mut batch = guarded.poller.batch(100).await.unwrap();
    for record in batch["Records"].as_array_mut().unwrap() {
        record["eventSourceARN"] = "arn:aws:dynamodb:us-east-1:1:table/others/stream/1".into();
    }
    let functions = guarded.functions();
    assert_eq!(answer(&functions, &batch, FATE).await, all_settled());
    assert_eq!(guarded.pending().await, 4);
    assert_eq!(guarded.losses().await, [LossKind::OtherStream]);
}

/// A look asks Lambda for the mapping of its own function, whatever others there are, and changes the record once.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_notes_that_the_mapping_is_on_or_that_it_is_not() {
    let guarded = Guarded::with_set().await;
    let arn = guarded.poller.stream_arn.clone();
    let is_on = Arc::new(AtomicBool::new(true));
    let state = is_on.clone();
    let lambda = Stub::start(move |asked| {
        assert!(
            asked.starts_with("GET /2015-03-31/event-source-mappings"),
            "{asked}"
        );
        let state = match state.load(SeqCst) {
            true => "Enabled",
            false => "Disabled",
        };
        let mapping = |uuid: &str, function: &str, state: &str| {
            json!({"UUID": uuid, "State": state, "FunctionArn": function,
            "EventSourceArn": arn, "BatchSize": 100, "StartingPosition": "TRIM_HORIZON",
            "FunctionResponseTypes": ["ReportBatchItemFailures"], "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:dead"}}})
        };
        let mut mappings = vec![
            mapping(
                "1",
                "arn:aws:lambda:us-east-1:000000000000:function:others",
                "Enabled",
            ),
            mapping("2", &format!("{FUNCTION}:live"), state),
        ];
        if asked.contains("?EventSourceArn=arn%3Aaws%3Asqs%3A") {
            mappings.remove(0);
        }
        (
            200,
            None,
            json!({"EventSourceMappings": mappings}).to_string(),
        )
    });
    let lambda = lambda.await;
    let functions = guarded.functions().with_lambda(&lambda.endpoint);
    let before = guarded.guard().await;
    let look = json!({"look": true});
    assert_eq!(answer(&functions, &look, FATE).await, all_settled());
    let looked = guarded.guard().await;
    assert_eq!(looked.revision, before.revision + 1);
    assert!(looked.looked_ms > before.looked_ms && looked.losses.is_empty());
    is_on.store(false, SeqCst);
    let found = answer(&functions, &look, FATE).await;
    assert_eq!(found["losses"][0]["kind"], "off", "{found}");
    let what = found["losses"][0]["what"].as_str().unwrap();
    assert!(what.contains("Disabled"), "{what}");
    assert_eq!(guarded.losses().await, [LossKind::Off]);
    // Lambda that cannot be asked is no loss yet, and nobody has looked.
    let looked = guarded.guard().await;
    let (name, message) = error(&guarded.functions(), &look).await;
    assert_eq!(name, "InvalidInput", "{message}");
    assert!(message.contains("AWS_ENDPOINT_URL_LAMBDA"), "{message}");
    assert_eq!(guarded.guard().await, looked);
}

/// Each look is a metric, by which an alarm sees that nobody looks any more: with a guard or without, but not if Lambda cannot bring the function
/// its records, or word of those that it has given up, nor if the look fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_reported_unless_lambda_can_bring_the_function_nothing() {
    let guarded = Guarded::with_set().await;
    let well = ("OK", "Enabled");
    let state = Arc::new(Mutex::new(well));
    let now = state.clone();
    let lambda = Stub::start(move |asked| {
        let (result, reader) = *now.lock().unwrap();
        let mapping = match asked.contains("?EventSourceArn=arn%3Aaws%3Asqs%3A") {
            true => json!({"UUID": "2", "State": reader, "FunctionArn": FUNCTION,
                "FunctionResponseTypes": ["ReportBatchItemFailures"]}),
            false => json!({"UUID": "1", "State": "Enabled", "FunctionArn": FUNCTION,
                "FunctionResponseTypes": ["ReportBatchItemFailures"], "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:dead"}},
                "LastProcessingResult": result}),
        };
        let mappings = json!({"EventSourceMappings": [mapping]});
        (200, None, mappings.to_string())
    });
    let lambda = lambda.await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let functions = guarded.functions().logging_to(log.path());
    let functions = functions.with_lambda(&lambda.endpoint);
    let reported = || {
        let log = std::fs::read_to_string(log.path()).unwrap();
        log.matches(r#""GuardLooks":1"#).count()
    };
    let look = json!({"look": true});
    let mut times = 0;
    for (found, is_well) in [
        (well, true),
        (("PROBLEM: Cannot read the stream", "Enabled"), false),
        (("OK", "Disabled"), false),
        (well, true),
    ] {
        *state.lock().unwrap() = found;
        let before = guarded.guard().await.looked_ms;
        answer(&functions, &look, FATE).await;
        times += usize::from(is_well);
        assert_eq!(reported(), times, "{found:?}");
        let looked = guarded.guard().await;
        assert_eq!(looked.looked_ms > before, is_well, "{found:?}");
        assert_eq!(looked.losses, [], "{found:?}");
    }
    // One that fails.
    let blind = guarded.functions().logging_to(log.path());
    error(&blind, &look).await;
    assert_eq!(reported(), times);

    let mut off = guarded.guard().await;
    off.revision += 1;
    off.off_ms = Some(now_ms());
    guarded.store.save_guard(&off).await.unwrap();
    answer(&functions, &look, FATE).await;
    assert_eq!(reported(), times + 1);
}

/// An expression with a predicate of its own, and a value that is computed.
#[tokio::test(flavor = "multi_thread")]
async fn the_guard_function_repairs_by_any_change() {
    let changes = [
        json!({"update": "SET test = :one", "pending": "attribute_not_exists(test) OR test < :one", "values": {":one": 1}}),
        json!({"compute": {"test": "of-${id}"}}),
    ];
    for change in changes {
        let mut guarded = Guarded::start(&change).await;
        guarded.write_old(100..103).await;
        let functions = guarded.functions();
        let batches = guarded.drain(&functions).await;
        assert!(batches >= 2, "{change}");
        assert_eq!(guarded.pending().await, 1, "{change}");
        assert_eq!(guarded.done().await.repaired, 3, "{change}");
        assert_eq!(guarded.losses().await, [], "{change}");
    }
}

/// Megabytes of a process that are no file's: its program's are not those of a release.
fn anonymous_megabytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let held = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = held.and_then(|held| held.trim().strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map_or(0.0, |kilobytes: f64| kilobytes / 1e3)
}

/// Lambda brings at most 6 MB at once, and the function has 128 MB: batches of that size leave room, however many come. What a process holds
/// after each grows no more once it has had some.
#[tokio::test(flavor = "multi_thread")]
async fn the_guard_functions_memory_is_flat() {
    const BYTES: usize = 60_000;
    /// Megabytes: less than a third of one with each batch from the third on.
    const GROWTH: f64 = 2.0;
    let guarded = Guarded::with_set().await;
    guarded.write_old(100..101).await;
    let batch = guarded.poller.batch(1).await.unwrap();
    let functions = guarded.functions();
    let small = answer(&functions, &batch, FATE).await;
    assert_eq!(small, all_settled());
    let [pid] = functions.idle("guard")[..] else {
        panic!("one process")
    };
    let samples = tokio::spawn(async move {
        let mut most = 0f64;
        loop {
            let held = anonymous_megabytes(pid);
            if held == 0.0 {
                return most;
            }
            most = most.max(held);
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    });
    // Items of many small attributes take the most memory for their bytes.
    let mut image = batch["Records"][0]["dynamodb"]["NewImage"].clone();
    for name in 0..BYTES / 20 {
        image[format!("a{name}")] = json!({"N": "1"});
    }
    let mut record = batch["Records"][0].clone();
    record["dynamodb"]["NewImage"] = image;
    let records: Vec<Json> = (0..100)
        .map(|id: u64| {
            let mut record = record.clone();
            let sequence = format!("{id:021}");
            record["dynamodb"]["SequenceNumber"] = sequence.into();
            // Nobody has these items: each update finds none.
            for part in ["Keys", "NewImage"] {
                record["dynamodb"][part]["id"] = json!({"S": format!("gone-{id}")});
            }
            record
        })
        .collect();
    let event = json!({"Records": records});
    let bytes = event.to_string().len();
    assert!((5_000_000..6_300_000).contains(&bytes), "{bytes}");
    let mut rests = Vec::new();
    for _ in 0..10 {
        assert_eq!(answer(&functions, &event, FATE).await, all_settled());
        rests.push(anonymous_megabytes(pid));
    }
    assert_eq!(guarded.done().await.vanished, 1_000);
    drop(functions);
    let most = samples.await.unwrap();
    println!("at most {most:.1} MB, after each batch {rests:.1?}");
    assert!((5.0..100.0).contains(&most), "{most}");
    // An allocator keeps more or less of what was let go of; the least of several is what is held.
    let least = |rests: &[f64]| rests.iter().copied().fold(f64::INFINITY, f64::min);
    let (early, late) = (rests[2], least(&rests[7..]));
    assert!(early > 0.0 && late < early + GROWTH, "{rests:?}");
}
