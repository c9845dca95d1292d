//! honest-end: faults that do not pass.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use backfill_e2e::command::{AtWork, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, migrated, read_all};
use backfill_e2e::wire::Verdict;

use crate::kills::slow_line;
use crate::trial::{CHECKPOINTS, assert_accounted};

/// What does not pass, on the n-th call of an operation on a table and on all that follow.
struct ForGood {
    table: &'static str,
    operation: &'static str,
    from: u64,
    verdict: Verdict,
    /// What the run says of it.
    cause: &'static str,
}

/// honest-end, no-gap, accounting: what trying again does not mend ends the run with exit code 1 and its cause, whether or not
/// that can still be recorded; once it is mended, the same command does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_by_faults_that_do_not_pass() {
    const RUN: &str = "run --table stuff --set test=1 --json --run-id mended --segments 3";
    let fail = |code| Verdict::FailStatements {
        every: 3,
        code,
        message: "injected",
    };
    let refuse = |code| Verdict::Refuse {
        code,
        message: "injected",
    };
    let of = |table, operation, from, verdict, cause| ForGood {
        table,
        operation,
        from,
        verdict,
        cause,
    };
    let cases = [
        of(
            "stuff",
            "BatchExecuteStatement",
            4,
            fail("ResourceNotFound"),
            "ResourceNotFound",
        ),
        of(
            "stuff",
            "BatchExecuteStatement",
            4,
            fail("DuplicateItem"),
            "DuplicateItem",
        ),
        of(
            "stuff",
            "BatchExecuteStatement",
            4,
            refuse("ResourceNotFoundException"),
            "ResourceNotFound",
        ),
        of(
            "stuff",
            "UpdateItem",
            2,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
        of(
            "stuff",
            "Scan",
            6,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
        of("stuff", "Scan", 6, refuse("SomethingNew"), "SomethingNew"),
        of(
            "stuff",
            "TransactWriteItems",
            2,
            Verdict::CancelTransaction {
                code: "AccessDenied",
            },
            "AccessDenied",
        ),
        of(
            CHECKPOINTS,
            "UpdateItem",
            8,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
        of(
            CHECKPOINTS,
            "UpdateItem",
            8,
            refuse("ResourceNotFoundException"),
            "checkpoint-table",
        ),
        // Not even the failure can be recorded.
        of(
            CHECKPOINTS,
            "",
            25,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
    ];
    for ForGood {
        table,
        operation,
        from,
        verdict,
        cause,
    } in cases
    {
        let case = format!("{verdict:?} of {operation} on {table}");
        let database = Embedded::with_stuff(600).await;
        let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
        let line = database.line().await;
        let pages = (table != "stuff").then(|| slow_line(&line, 50, Duration::ZERO));
        let calls = AtomicU64::new(0);
        let tap = line.tap(table, move |call| {
            let ours = operation.is_empty() || call.operation == operation;
            let broken = ours && calls.fetch_add(1, SeqCst) + 1 >= from;
            let verdict = match broken {
                true => verdict.clone(),
                false if call.is_sweep() => Verdict::ShortPage(50),
                false => Verdict::Forward,
            };
            async move { verdict }
        });
        let start = || {
            let mut run = backfill(RUN.split(' '));
            run.args(["--endpoint-url", &line.endpoint]);
            AtWork::start(run)
        };
        let ended = start().end().await;
        assert_eq!(ended.code, 1, "{case}: {ended:#?}");
        assert!(ended.stderr.contains(cause), "{case}: {ended:#?}");
        drop((tap, pages));

        let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
        let expected = migrated(&before);
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
        assert_accounted(&status, &case);
        let recorded = if operation.is_empty() {
            "running"
        } else {
            "failed"
        };
        assert_eq!(status["status"], recorded, "{case}: {status}");
        assert!(status["updated"].as_u64() <= Some(done), "{case}: {status}");
        if table == "stuff" {
            assert_eq!(status["updated"], done, "{case}: {status}");
        }

        let mended = start().end().await.expect_code(0).json();
        assert_accounted(&mended, &case);
        assert_eq!(mended["scanned"], 600, "{case}: {mended}");
        assert!(
            read_all(&database.client, "stuff", STUFF_KEYS).await == expected,
            "{case}: the tables differ"
        );
    }
}
