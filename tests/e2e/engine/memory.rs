//! What a process holds of a table is bounded, however many segments it works on together.

use std::time::Duration;

use backfill_e2e::bench_stub::BenchStub;
use backfill_e2e::command::{AtWork, backfill};

/// Megabytes of a process that are no file's: its program's are not those of a release. None if it has ended.
fn anonymous_megabytes(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    let held = lines.find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: f64 = held.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1e3)
}

/// Of 64 segments that all have work each reads ahead, and what they have read together stays small: a release of 20 MB has
/// less than 64 MB in memory. With whole pages for each it would be 90.
#[tokio::test(flavor = "multi_thread")]
async fn memory_of_64_segments_at_once() {
    const ITEMS: u64 = 120_000;
    let items = format!("--items {ITEMS} --latency-ms 10");
    let table = BenchStub::start(items.split_whitespace());
    let mut run = backfill(
        "run --table stuff --set test=1 --json --segments 64 --concurrency 64 --no-rehearsal"
            .split_whitespace(),
    );
    run.args(["--endpoint-url", &table.endpoint]);
    let process = AtWork::start(run);
    let pid = process.pid();
    let samples = tokio::spawn(async move {
        let mut most = 0f64;
        while let Some(held) = anonymous_megabytes(pid) {
            most = most.max(held);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        most
    });
    let result = process.end().await.expect_code(0).json();
    assert_eq!(result["updated"], ITEMS, "{result}");
    let most = samples.await.expect("samples");
    println!("at most {most:.1} MB");
    assert!((5.0..50.0).contains(&most), "{most}");
}
