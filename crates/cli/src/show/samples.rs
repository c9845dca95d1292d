//! Runs to look at in tests.

use backfill_core::records::{BoundBy, RunRecord};
use backfill_core::view::progress::{PassProgress, SegmentProgress, Snapshot};

/// 2026-01-15, 20:00:00 UTC: when the runs began.
pub const BEGIN_MS: u64 = 1_768_507_200_000;

/// A run of 40 segments, 8 at once, that has just begun.
pub fn run() -> RunRecord {
    let json = r##"{"version":1,"run_id":"orders-0b4b8a0e",
        "spec":"{\"table\":\"orders\",\"pending\":\"attribute_not_exists(#a0)\",\"update\":\"SET #a0 = :v0\",\"names\":{\"#a0\":\"expiry_date\"},\"values\":{\":v0\":{\"N\":\"7776000\"}}}",
        "fingerprint":"","keys":{"hash":{"name":"id","type":"S"}},"table_identity":"","estimated_items":5000000,
        "settings":{"total_segments":40,"max_concurrency":8,"time_box_seconds":600,"max_passes":3,"max_wcu":500},
        "status":"running","message":"","first_pass":1,"pass":1,"last_pass":3,
        "owner":"arn:aws:states:eu-west-1:123456789012:execution:backfill:orders-0b4b8a0e-1768507200000",
        "started_ms":1768507200000,"verification_rcu":0,"revision":1}"##;
    serde_json::from_str(json).expect("a run record")
}

/// A segment at work that has swept this many items in ten seconds.
pub fn segment(number: u32, scanned: u64) -> SegmentProgress {
    let mut segment = SegmentProgress {
        segment: number,
        exhausted: false,
        generation: 1,
        bound_by: BoundBy::None,
        throttled_by: None,
        saved_ms: 0,
        counters: Default::default(),
        latency: Default::default(),
    };
    let counters = &mut segment.counters;
    (counters.scanned, counters.matched, counters.updated) = (scanned, scanned / 2, scanned / 2);
    (counters.consumed_rcu, counters.consumed_wcu) = (scanned as f64 / 8.0, scanned as f64 / 2.0);
    (counters.checkpoints, counters.worked_seconds) = (scanned / 500, 10.0);
    segment
}

/// A run in its first pass with these segments begun.
pub fn pass(run: RunRecord, segments: Vec<SegmentProgress>) -> Snapshot {
    let passes = vec![PassProgress::of(run.pass, segments)];
    Snapshot {
        run,
        passes,
        counting: None,
    }
}
