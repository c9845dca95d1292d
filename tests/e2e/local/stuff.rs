//! The table `stuff` and a run on it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backfill_core::{Item, Key};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, read_all};
use serde_json::Value as Json;

pub const RUN: &str = "run --table stuff --set test=1 --json";

pub async fn all(database: &Embedded) -> BTreeMap<Key, Item> {
    read_all(&database.client, "stuff", STUFF_KEYS).await
}

#[track_caller]
pub fn assert_accounted(result: &Json) {
    let n = |field: &str| result[field].as_u64().expect("a count");
    assert_eq!(
        n("matched"),
        n("updated") + n("raced") + n("vanished") + n("rejected") + n("contended"),
        "{result}"
    );
    assert!(n("matched") <= n("scanned"), "{result}");
}

/// Waits until the checkpoint table says that something was updated and the run still goes on.
pub async fn wait_for_progress(database: &Embedded) {
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
