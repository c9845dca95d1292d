//! A run in which much happens, and the alarms' names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backfill_e2e::aws::{Aws, Table};
use backfill_e2e::wire::Verdict;
use serde_json::Value as Json;

/// The reason for which DynamoDB refuses an item.
pub const REFUSED: &str = "Item size to update has exceeded the maximum allowed size";

/// The name of an execution, as messages have it.
pub fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().expect("a name")
}

/// A run with all that a log can show: throttles, a rejected item, two segments.
pub async fn eventful_run(aws: &Aws, table: &Table, input: &Json) -> String {
    let pending = table.before.iter();
    let poisoned = pending.map(|(key, item)| (key.clone(), item.contains_key("test")));
    let poisoned = poisoned.filter(|(_, has_test)| !has_test).nth(7);
    let poisoned = poisoned.expect("an item to refuse").0;
    let updates = Arc::new(AtomicU64::new(0));
    let _tap = aws.wire.tap(&table.name, move |call| {
        let nth = call
            .is_update()
            .then(|| updates.fetch_add(1, Ordering::SeqCst));
        let verdict = if call.is_update() && call.keys().contains(&poisoned) {
            Verdict::Refuse {
                code: "ValidationException",
                message: REFUSED,
            }
        } else if nth.is_some_and(|nth| (5..20).contains(&nth) && nth.is_multiple_of(4)) {
            Verdict::Throttle {
                reason: "TableWriteKeyRangeThroughputExceeded",
                resource: "arn:aws:dynamodb:us-east-1:000000000000:table/observed",
            }
        } else {
            Verdict::Forward
        };
        async { verdict }
    });
    let execution = aws.machine.run(input).await;
    let arn = execution.arn.clone();
    execution.expect_failure("Backfill.ItemsRemain");
    arn
}
