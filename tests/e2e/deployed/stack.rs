//! What the tests of runs in the stack share.

use backfill_core::records::SegmentRecord;
use backfill_e2e::aws::{Aws, CHECKPOINTS, STACK, run_id, run_to_end};
use backfill_e2e::wire::Tap;
use serde_json::Value as Json;

/// `backfill start` of `test = 1` on a table.
pub fn start(table: &str, more: &str) -> String {
    format!("start --stack-name {STACK} --table {table} --set test=1 --json {more}")
}

/// What `backfill status` says of the run that an input starts.
pub async fn status(aws: &Aws, input: &Json) -> Json {
    let run_id = run_id(input);
    let command = format!("status --json --checkpoint-table {CHECKPOINTS} --run-id {run_id}");
    let ended = run_to_end(aws.backfill(&command)).await.expect_code(0);
    ended.json()
}

pub fn count(result: &Json, field: &str) -> u64 {
    let number = result[field].as_u64();
    number.unwrap_or_else(|| panic!("{field} is no count: {result}"))
}

/// accounting: every matched item is accounted for, in total and in each segment, and the sum is the total.
#[track_caller]
pub fn assert_accounted(result: &Json, segments: &[SegmentRecord]) {
    let parts = ["updated", "raced", "vanished", "rejected", "contended"];
    let parts = parts.map(|field| count(result, field));
    assert_eq!(
        count(result, "matched"),
        parts.iter().sum::<u64>(),
        "{result}"
    );
    for SegmentRecord { counters: c, .. } in segments {
        let parts = c.updated + c.raced + c.vanished + c.rejected + c.contended;
        assert_eq!(c.matched, parts, "{c:?}");
    }
    let total: u64 = segments.iter().map(|s| s.counters.matched).sum();
    assert_eq!(total, count(result, "matched"), "{result}");
}

#[track_caller]
pub fn assert_fields(result: &Json, expected: &[(&str, Json)]) {
    for (field, expected) in expected {
        assert_eq!(&result[field], expected, "{field} of {result}");
    }
}

/// No function does more to a table than to describe and scan it, to check items, and to update them under the guard.
pub fn assert_guarded(tap: &Tap) {
    for seen in tap.seen() {
        let call = seen.call;
        match call.operation.as_str() {
            "DescribeTable" | "Scan" => {}
            _ if call.is_check() => {}
            _ if call.is_update() => assert!(call.is_guarded(), "{call:?}"),
            _ => panic!("{call:?}"),
        }
    }
}

/// `backfill run` beside the stack: on the same line to DynamoDB and with the stack's checkpoints.
pub fn local_run(aws: &Aws, table: &str, more: &str) -> std::process::Command {
    let run =
        format!("run --table {table} --set test=1 --checkpoint-table {CHECKPOINTS} --json {more}");
    aws.backfill_at(&aws.wire.endpoint, &run)
}
