//! honest-end: faults that do not pass.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use backfill_core::{ErrorKind, Item, Key};
use backfill_e2e::command::{AtWork, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::functions::{Fate, Functions, Invoked};
use backfill_e2e::tables::{CHECKPOINT_KEYS, STUFF_KEYS, create, migrated, read_all};
use backfill_e2e::wire::{Tap, Verdict, Wire};
use serde_json::{Value as Json, json};

use crate::kills::slow_line;
use crate::trial::{CHECKPOINTS, assert_accounted};

/// What does not pass, on the n-th call of an operation on a table and on all that follow.
struct ForGood {
    table: &'static str,
    /// Empty: any.
    operation: &'static str,
    from: u64,
    verdict: Verdict,
    /// What the run says of it.
    cause: &'static str,
}

fn for_good(
    (table, operation, from): (&'static str, &'static str, u64),
    verdict: Verdict,
    cause: &'static str,
) -> ForGood {
    ForGood {
        table,
        operation,
        from,
        verdict,
        cause,
    }
}

fn cases() -> [ForGood; 10] {
    const BATCH: (&str, &str, u64) = ("stuff", "BatchExecuteStatement", 4);
    const UPDATE: (&str, &str, u64) = ("stuff", "UpdateItem", 2);
    const PAGE: (&str, &str, u64) = ("stuff", "Scan", 6);
    const CHECK: (&str, &str, u64) = ("stuff", "TransactWriteItems", 2);
    const RECORD: (&str, &str, u64) = (CHECKPOINTS, "UpdateItem", 8);
    const ANY_RECORD: (&str, &str, u64) = (CHECKPOINTS, "", 25);
    let refuse = |code| Verdict::Refuse {
        code,
        message: "injected",
    };
    let invalid = Verdict::Refuse {
        code: "ValidationException",
        message: "Invalid UpdateExpression: injected",
    };
    let cancel = |code| Verdict::CancelTransaction { code };
    let (denied, gone) = ("AccessDeniedException", "ResourceNotFoundException");
    [
        for_good(BATCH, refuse("SomethingNew"), "SomethingNew"),
        for_good(UPDATE, refuse(gone), "ResourceNotFound"),
        for_good(UPDATE, refuse(denied), "AccessDenied"),
        for_good(UPDATE, invalid, "Invalid UpdateExpression"),
        for_good(PAGE, refuse(denied), "AccessDenied"),
        for_good(PAGE, refuse("SomethingNew"), "SomethingNew"),
        for_good(CHECK, cancel("AccessDenied"), "AccessDenied"),
        for_good(RECORD, refuse(denied), "AccessDenied"),
        for_good(RECORD, refuse(gone), "checkpoint-table"),
        // Not even the failure can be recorded.
        for_good(ANY_RECORD, refuse(denied), "AccessDenied"),
    ]
}

/// honest-end, no-gap, accounting: what trying again does not mend ends the run with exit code 1 and its cause, whether or not
/// that can still be recorded; once it is mended, the same command does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_by_faults_that_do_not_pass() {
    const RUN: &str = "run --table stuff --set test=1 --json --run-id mended --segments 3";
    for fault in cases() {
        let (table, operation) = (fault.table, fault.operation);
        let case = format!("{:?} of {operation} on {table}", fault.verdict);
        let database = Embedded::with_stuff(600).await;
        let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
        let line = database.line().await;
        let pages = (table != "stuff").then(|| slow_line(&line, 50, Duration::ZERO));
        let tap = fault.meddle(&line);
        let start = || {
            let mut run = backfill(RUN.split(' '));
            run.args(["--endpoint-url", &line.endpoint]);
            AtWork::start(run)
        };
        let ended = start().end().await;
        assert_eq!(ended.code, 1, "{case}: {ended:#?}");
        assert!(ended.stderr.contains(fault.cause), "{case}: {ended:#?}");
        drop((tap, pages));
        let expected = migrated(&before);
        assert_half_done(&fault, &database, &before, &expected, &case).await;

        let mended = start().end().await.expect_code(0).json();
        assert_accounted(&mended, &case);
        assert_eq!(mended["scanned"], 600, "{case}: {mended}");
        assert!(
            read_all(&database.client, "stuff", STUFF_KEYS).await == expected,
            "{case}: the tables differ"
        );
    }
}

impl ForGood {
    /// Lets the fault befall the calls on its table.
    fn meddle(&self, line: &Wire) -> Tap {
        let (operation, from, verdict) = (self.operation, self.from, self.verdict.clone());
        let calls = AtomicU64::new(0);
        line.tap(self.table, move |call| {
            let ours = operation.is_empty() || call.operation == operation;
            let broken = ours && calls.fetch_add(1, SeqCst) + 1 >= from;
            let verdict = match broken {
                true => verdict.clone(),
                false if call.is_sweep() => Verdict::ShortPage(50),
                false => Verdict::Forward,
            };
            async move { verdict }
        })
    }
}

/// Each item is as it was or as it shall be, and the records of the run say no more than was done.
async fn assert_half_done(
    fault: &ForGood,
    database: &Embedded,
    before: &BTreeMap<Key, Item>,
    expected: &BTreeMap<Key, Item>,
    case: &str,
) {
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let done = after.iter().filter(|(key, item)| before[*key] != **item);
    let done = done.count() as u64;
    for (key, item) in &after {
        let whole = *item == before[key] || *item == expected[key];
        assert!(whole, "{case}: {key}: {item:?}");
    }
    let status = AtWork::start(database.backfill("status --run-id mended --json"))
        .end()
        .await;
    let status = status.expect_code(0).json();
    assert_accounted(&status, case);
    let recorded = if fault.operation.is_empty() {
        "running"
    } else {
        "failed"
    };
    assert_eq!(status["status"], recorded, "{case}: {status}");
    assert!(status["updated"].as_u64() <= Some(done), "{case}: {status}");
    if fault.table == "stuff" {
        assert_eq!(status["updated"], done, "{case}: {status}");
    }
}

/// never-overwrite: the planner function, which `backfill start` and every other execution begins with, refuses a global table
/// without the word, by a name that is an exit code of 2, and has written nothing then; with it, the run begins.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_on_a_global_table_by_functions() {
    let database = Embedded::with_stuff(20).await;
    create(&database.client, CHECKPOINTS, CHECKPOINT_KEYS).await;
    let wire = database.line().await;
    let _tap = wire.tap("stuff", |call| async move {
        match call.operation.as_str() {
            "DescribeTable" => Verdict::Amend(json!({"Table": {
                "TableStatus": "UPDATING", "Replicas": [{"RegionName": "eu-west-1"}],
            }})),
            _ => Verdict::Forward,
        }
    });
    let functions = Functions::new(&wire.endpoint, CHECKPOINTS);
    let fate = Fate {
        kill_after: None,
        deadline_ms: 300_000,
    };
    let mut input = json!({"table": "stuff", "set": {"test": 1}});
    let plan = |input: &Json| json!({"action": "plan", "owner": "an execution", "input": input});
    match functions.invoke("planner", &plan(&input), fate).await {
        Invoked::Error(name, message) => {
            assert_eq!(name, ErrorKind::InvalidInput.name());
            assert!(message.starts_with("only_writer_region: "), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let records = read_all(&database.client, CHECKPOINTS, CHECKPOINT_KEYS).await;
    assert!(records.is_empty(), "{records:?}");
    input["only_writer_region"] = true.into();
    match functions.invoke("planner", &plan(&input), fate).await {
        Invoked::Answer(plan) => assert!(plan["segments"].is_array(), "{plan}"),
        other => panic!("{other:?}"),
    }
}
