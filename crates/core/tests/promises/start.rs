//! How a run begins and ends: in virtual time, on a table that takes whatever it is asked for.

use std::time::Duration;

use backfill_core::request::RequestedSettings;
use backfill_simulation::{Driver, Report, Scenario, simulate};

use crate::world::in_virtual_time;

/// Runs a table that takes what it is asked for, at 10 ms a request, in one process.
fn run(items: u64, pending: f64, segments: u32, at_once: u32) -> Report {
    let scenario = Scenario {
        items,
        pending,
        partitions: 1_000,
        partition_wcu: 1e6,
        partition_rcu: 1e6,
        table_wcu: 1e8,
        table_rcu: 1e8,
        latency: Duration::from_millis(10),
        statement_latency: Duration::from_micros(20),
        ..Scenario::default()
    };
    let settings = RequestedSettings {
        total_segments: Some(segments),
        max_concurrency: Some(at_once),
        ..RequestedSettings::default()
    };
    in_virtual_time(simulate(scenario, settings, Driver::InProcess)).unwrap()
}

/// Write units of each tenth of a second of the sweep.
fn tenths(report: &Report) -> Vec<f64> {
    let seconds = report.seconds.iter();
    seconds.flat_map(|second| second.wcu_by_tenth).collect()
}

/// A run writes at nine tenths of the rate that it reaches within a second of its start, its trial included.
#[test]
fn a_run_reaches_its_rate_within_a_second() {
    for segments in [8, 64] {
        let report = run(1_000_000, 1.0, segments, segments);
        let tenths = tenths(&report);
        let most = tenths.iter().copied().fold(0.0, f64::max);
        let reached = tenths.iter().position(|units| *units >= 0.9 * most);
        assert!(
            reached.is_some_and(|tenth| tenth < 10),
            "{segments}: {tenths:?}"
        );
    }
}

/// Many segments take hardly longer than a few: none begins as if the others had found nothing out.
#[test]
fn many_segments_take_hardly_longer_than_a_few() {
    let seconds = |segments| run(1_000_000, 1.0, segments, 8).sweep_seconds;
    let (few, many) = (seconds(8), seconds(64));
    assert!(many < 1.3 * few, "{few} s, {many} s");
}

/// A small table takes little more than the requests of its run, one after the other, and those of its verification.
#[test]
fn a_small_table_waits_for_nothing_but_its_requests() {
    for (items, sweep, verification) in [(10, 0.3, 0.1), (80, 0.35, 0.1), (1_000, 0.45, 0.12)] {
        let report = run(items, 1.0, 8, 8);
        assert!(
            report.sweep_seconds < sweep && report.verification_seconds < verification,
            "{items}: {} s, {} s",
            report.sweep_seconds,
            report.verification_seconds
        );
    }
}

/// The verification of 100,000 items does not begin anew to find out how fast it may read, and the whole run takes two seconds at
/// most.
#[test]
fn the_verification_goes_on_at_the_rate_of_the_sweep() {
    let report = run(100_000, 1.0, 8, 8);
    let both = report.sweep_seconds + report.verification_seconds;
    assert!(
        report.verification_seconds < 0.4 && both < 1.8,
        "{report:?}"
    );
}

/// The last twentieth of the items takes no more than a twelfth of the time, also if there are more segments than requests in
/// flight are good for.
#[test]
fn the_last_items_take_little_of_the_time() {
    for (segments, at_once) in [(8, 8), (64, 64)] {
        let report = run(1_000_000, 1.0, segments, at_once);
        let tenths = tenths(&report);
        let mut left = 0.05 * 1_000_000.0;
        let last = tenths.iter().rev().skip_while(|units| **units == 0.0);
        let of_the_last = last.take_while(|units| {
            left -= **units;
            left > 0.0
        });
        let seconds = (of_the_last.count() as f64 + 1.0) / 10.0;
        assert!(
            seconds < 0.08 * report.sweep_seconds.max(2.5),
            "{segments}: {seconds} s of {}: {tenths:?}",
            report.sweep_seconds
        );
    }
}

/// One item of a hundred is pending, or none: a thousand pages a second at 64 segments at once. Checkpoints are saved meanwhile, so
/// that a segment of which nothing is written is read page after page.
#[test]
fn a_sparse_table_is_read_page_after_page() {
    for (pending, segments, least) in [(0.01, 64, 1_000.0), (0.0, 64, 1_000.0), (0.0, 8, 500.0)] {
        let report = run(1_000_000, pending, segments, segments);
        let pages = 1_000.0 / report.sweep_seconds;
        assert!(pages >= least, "{pending}, {segments}: {pages} pages/s");
    }
    // Far longer than a second, in which a checkpoint is due.
    let report = run(4_000_000, 0.0, 4, 4);
    let of_a_page = 0.010 + 0.000_020 * 20.0;
    let pages = 1_000.0;
    let checkpoints = report.used.checkpoints;
    assert!(
        report.sweep_seconds < 1.1 * pages * of_a_page + 0.8,
        "{}",
        report.sweep_seconds
    );
    let most = 4.0 * (report.sweep_seconds.ceil() + 1.0);
    assert!((4.0..=most).contains(&checkpoints), "{checkpoints}");
}
