//! Budget, politeness and speed of large runs, in the simulation: real planner, workers and verifier on a
//! model table with partitions, in virtual time. Nothing here depends on the machine.

use std::time::Duration;

use backfill_core::request::{RequestedSettings, WriterKind};
use backfill_simulation::{Driver, Report, Scenario, Second, Units, simulate};

use crate::world::in_virtual_time;

fn run(scenario: Scenario, settings: RequestedSettings, driver: Driver) -> Report {
    in_virtual_time(simulate(scenario, settings, driver)).unwrap()
}

fn settings(segments: u32, concurrency: u32) -> RequestedSettings {
    RequestedSettings {
        total_segments: Some(segments),
        max_concurrency: Some(concurrency),
        ..RequestedSettings::default()
    }
}

/// Per second over every stretch of ten, without the first seconds of the sweep and the last, in which segments end one
/// after the other and those that are left need up to five seconds to notice.
fn any_ten_seconds(report: &Report, of: fn(&Second) -> f64) -> Vec<f64> {
    let steady = &report.seconds[3..report.seconds.len() - 10];
    steady
        .windows(10)
        .map(|ten| ten.iter().map(of).sum::<f64>() / 10.0)
        .collect()
}

#[track_caller]
fn assert_kept(rates: &[f64], budget: f64) {
    assert!(rates.len() > 10, "{}", rates.len());
    for rate in rates {
        let share = rate / budget;
        assert!((0.97..=1.01).contains(&share), "{share} in {rates:?}");
    }
}

/// budget: used up and never passed over any ten seconds, by one process and by many workers that come and go, for items
/// that cost several units, and with the index counted.
#[test]
fn budget_of_writes_over_any_ten_seconds() {
    for (driver, segments, concurrency, max_wcu) in [
        (Driver::InProcess, 8, 8, 3_000),
        (Driver::InProcess, 64, 64, 1_000),
        (Driver::Lambda, 40, 10, 2_000),
        (Driver::Lambda, 8, 4, 500),
    ] {
        let scenario = Scenario {
            items: u64::from(max_wcu) * 12,
            item_bytes: 1_500,
            indexes: 1,
            partitions: 10,
            ..Scenario::default()
        };
        let budget = RequestedSettings {
            max_wcu: Some(max_wcu),
            ..settings(segments, concurrency)
        };
        let report = run(scenario, budget, driver);
        assert_kept(
            &any_ten_seconds(&report, |second| second.wcu),
            max_wcu.into(),
        );
    }
}

/// budget: the check of each segment's trial, which costs twice what its item does, takes its turn like a write, and is counted.
#[test]
fn budget_of_the_checks_of_many_trials() {
    let scenario = Scenario {
        items: 6_000,
        item_bytes: 40_000,
        partitions: 20,
        ..Scenario::default()
    };
    let budget = RequestedSettings {
        max_wcu: Some(6_000),
        ..settings(300, 20)
    };
    let report = run(scenario, budget, Driver::InProcess);
    let rates = any_ten_seconds(&report, |second| second.wcu);
    assert!(rates.len() > 10, "{}", rates.len());
    for rate in &rates {
        assert!(*rate <= 1.01 * 6_000.0, "{rate} in {rates:?}");
    }
    let consumed: f64 = report.seconds.iter().map(|second| second.wcu).sum();
    assert_eq!(report.summary.consumed_wcu, consumed);
    assert_eq!(consumed, 6_000.0 * 40.0 + 300.0 * 2.0 * 40.0);
}

/// Units in every stretch of ten seconds, by tenths of a second, as shares of the budget.
fn shares_of_any_ten_seconds(
    seconds: &[Second],
    by_tenth: fn(&Second) -> [f64; 10],
    budget: f64,
) -> Vec<f64> {
    let tenths = seconds.iter().flat_map(by_tenth);
    let tenths: Vec<f64> = tenths.collect();
    let stretches = tenths.windows(100);
    stretches
        .map(|ten| ten.iter().sum::<f64>() / (10.0 * budget))
        .collect()
}

/// budget: never passed, from the first second to the last, whatever an item costs and however many of them a live writer has
/// set since they were read; and used up, as far as whole items of that size fit into ten seconds.
#[test]
fn budget_of_items_of_every_size_raced_or_not() {
    for (driver, segments, concurrency, max_wcu) in [
        (Driver::InProcess, 8, 8, 400),
        (Driver::InProcess, 64, 64, 1_000),
        (Driver::Lambda, 8, 4, 1_000),
    ] {
        for writer in [WriterKind::Batch, WriterKind::UpdateItem] {
            for kilobytes in [1, 4, 40, 400] {
                for raced in [0.0, 0.5, 1.0] {
                    let seconds = if kilobytes < 40 { 25 } else { 50 };
                    let scenario = Scenario {
                        items: u64::from(max_wcu) * seconds / kilobytes,
                        item_bytes: kilobytes * 1024,
                        raced,
                        partitions: 10,
                        ..Scenario::default()
                    };
                    let requested = RequestedSettings {
                        max_wcu: Some(max_wcu),
                        writer: Some(writer),
                        ..settings(segments, concurrency)
                    };
                    let report = run(scenario, requested, driver);
                    let what =
                        format!("{writer:?}, {kilobytes} KB, {raced} raced, {driver:?} {segments}");
                    let budget = f64::from(max_wcu);
                    let shares = shares_of_any_ten_seconds(
                        &report.seconds,
                        |second| second.wcu_by_tenth,
                        budget,
                    );
                    let most = shares.iter().copied().fold(0.0, f64::max);
                    assert!(most <= 1.01 + 1e-9, "{most}: {what}");
                    assert!(report.summary.raced > 0 || raced == 0.0, "{what}");
                    // Many workers leave each other more unused, the larger an item is in the share of each.
                    if driver == Driver::InProcess {
                        let steady = &report.seconds[3..report.seconds.len() - 10];
                        let units: f64 = steady.iter().map(|second| second.wcu).sum();
                        let mean = units / (steady.len() as f64 * budget);
                        assert!(mean >= 0.93, "{mean}: {what}");
                    }
                }
            }
        }
    }
}

/// budget: used up and never passed by reads, if little is to be written.
#[test]
fn budget_of_reads_over_any_ten_seconds() {
    for driver in [Driver::InProcess, Driver::Lambda] {
        let scenario = Scenario {
            items: 250_000,
            pending: 0.01,
            partitions: 10,
            ..Scenario::default()
        };
        let budget = RequestedSettings {
            max_rcu: Some(200),
            ..settings(16, 4)
        };
        let report = run(scenario, budget, driver);
        assert_kept(&any_ten_seconds(&report, |second| second.rcu), 200.0);
    }
}

/// budget: never passed, and used up, by a verification that counts what items lack as well: both read from one bucket.
#[test]
fn budget_of_a_verification_that_counts_what_items_lack() {
    for (segments, kilobytes) in [(1, 1), (16, 1), (16, 4), (16, 40), (3, 400)] {
        for max_rcu in [20, 200] {
            let scenario = Scenario {
                items: (u64::from(max_rcu) * 8 * 30 / kilobytes).max(16),
                item_bytes: kilobytes * 1024,
                counted_bytes: None,
                pending: 0.0,
                counts_lacking: true,
                partitions: 10,
                ..Scenario::default()
            };
            let (items, bytes) = (scenario.items as f64, scenario.item_bytes as f64);
            let budget = RequestedSettings {
                max_rcu: Some(max_rcu),
                ..settings(segments, 1)
            };
            let what = format!("{max_rcu} RCU, {segments} segments, {kilobytes} KB");
            let report = run(scenario, budget, Driver::InProcess);
            assert_reads_kept(&report, max_rcu.into(), true, &what);
            // Once strongly consistent, and half of that again. Small pages are rounded up.
            let verified = report.used.verification_read_units / (items * bytes / 4_096.0);
            let most = if max_rcu == 200 { 1.6 } else { 2.0 };
            assert!((1.5..most).contains(&verified), "{verified}: {what}");
        }
    }
}

/// budget: never passed by reads either, from the first page of a run to the last of its verification, whatever an item costs,
/// and whether DynamoDB says how large the table is or has not counted it yet (in one process, also if what it says is wrong by
/// now); and used up, as far as whole items of that size fit into ten seconds.
#[test]
fn budget_of_reads_of_items_of_every_size() {
    let drivers = [
        (Driver::InProcess, 1, 1),
        (Driver::InProcess, 16, 8),
        (Driver::Lambda, 8, 4),
    ];
    for (driver, segments, concurrency) in drivers {
        for max_rcu in [20, 200, 1_000] {
            for kilobytes in [1, 4, 40, 400] {
                let bytes = kilobytes * 1024;
                for counted_bytes in [Some(bytes), None, Some(300)] {
                    let is_wrong = counted_bytes.is_some_and(|counted| counted != bytes);
                    if is_wrong && driver != Driver::InProcess {
                        continue;
                    }
                    let scenario = Scenario {
                        items: (u64::from(max_rcu) * 8 * 30 / kilobytes).max(16),
                        item_bytes: bytes,
                        counted_bytes,
                        pending: 0.0,
                        partitions: 10,
                        ..Scenario::default()
                    };
                    let requested = RequestedSettings {
                        max_rcu: Some(max_rcu),
                        ..settings(segments, concurrency)
                    };
                    let what = format!("{max_rcu} RCU, {driver:?} {segments}, {scenario:?}");
                    // Many workers leave each other more unused, the larger an item is in the share of each.
                    let is_small = kilobytes <= 4 && max_rcu >= 200 && counted_bytes.is_some();
                    let is_used_up = driver == Driver::InProcess || is_small;
                    let report = run(scenario, requested, driver);
                    assert_reads_kept(&report, max_rcu.into(), is_used_up, &what);
                }
            }
        }
    }
}

#[track_caller]
fn assert_reads_kept(report: &Report, budget: f64, is_used_up: bool, what: &str) {
    let all = &report.with_verification;
    let shares = shares_of_any_ten_seconds(all, |second| second.rcu_by_tenth, budget);
    let most = shares.iter().copied().fold(0.0, f64::max);
    assert!(most <= 1.01 + 1e-9, "{most}: {what}");
    let (sweep, verification) = all.split_at(report.seconds.len());
    // Without the beginning, in which the first page may wait, and the end. A verification is one process always.
    for (part, begin, is_used_up) in [(sweep, 11, is_used_up), (verification, 16, true)] {
        let steady = &part[begin..part.len() - 10];
        let units: f64 = steady.iter().map(|second| second.rcu).sum();
        let mean = units / (steady.len() as f64 * budget);
        assert!(mean >= 0.97 || !is_used_up, "{mean}: {what}");
    }
}

/// budget: the last segment of a run, which holds most of its items, gets all of it.
#[test]
fn budget_goes_to_the_workers_that_are_left() {
    let scenario = Scenario {
        items: 60_000,
        collection: 50_000,
        partitions: 4,
        ..Scenario::default()
    };
    let budget = RequestedSettings {
        max_wcu: Some(800),
        ..settings(4, 4)
    };
    let report = run(scenario, budget, Driver::Lambda);
    // Of 10,000 items the other three hold 7,500; each gets a quarter of the budget.
    let alone = &report.seconds[20..report.seconds.len() - 3];
    let rate = alone.iter().map(|second| second.wcu).sum::<f64>() / alone.len() as f64;
    assert!((0.97 * 800.0..=1.01 * 800.0).contains(&rate), "{rate}");
}

/// polite: live traffic that leaves little room loses less than 0.1 percentage points more than without us, and what it
/// leaves is used.
#[test]
fn polite_to_live_traffic_on_a_table_near_its_limit() {
    for live_wcu in [3_000.0, 3_600.0] {
        let scenario = Scenario {
            items: 150_000,
            partitions: 4,
            table_wcu: 4_000.0,
            live_wcu,
            ..Scenario::default()
        };
        let report = run(scenario.clone(), settings(4, 4), Driver::Lambda);
        let (loss, all) = (report.live_loss(&scenario), report.live_throttled());
        assert!(loss < 0.001, "{loss}, and {all} in all");
        assert!(report.summary.throttles > 0, "it has come near the limit");
        let rate = 150_000.0 / report.sweep_seconds;
        assert!(rate > 0.5 * (4_000.0 - live_wcu), "{rate}");
    }
}

/// The hottest partition against the mean, over ten seconds.
fn hottest(report: &Report) -> f64 {
    let steady = &report.seconds[3..report.seconds.len() - 3];
    let ratio = |ten: &[Second]| {
        let mut partitions = vec![0.0; ten[0].by_partition.len()];
        for second in ten {
            for (sum, units) in partitions.iter_mut().zip(&second.by_partition) {
                *sum += units;
            }
        }
        let mean = partitions.iter().sum::<f64>() / partitions.len() as f64;
        partitions.into_iter().fold(0.0, f64::max) / mean
    };
    steady.windows(10).map(ratio).fold(0.0, f64::max)
}

/// Segments at work at the same time lie apart: no partition is hot. The order of their numbers makes one hot.
#[test]
fn segments_spread_over_the_partitions() {
    for (segments, concurrency, partitions) in [(80, 8, 8), (100, 10, 10), (64, 8, 10)] {
        let scenario = Scenario {
            items: 60_000,
            partitions,
            // So that the order decides, and not the limit of a partition.
            partition_wcu: 10_000.0,
            ..Scenario::default()
        };
        let budget = RequestedSettings {
            max_wcu: Some(1_500),
            ..settings(segments, concurrency)
        };
        let spread = hottest(&run(scenario.clone(), budget.clone(), Driver::Lambda));
        assert!(spread <= 1.5, "{spread}");
        let naive = hottest(&run(scenario, budget, Driver::LambdaInNaiveOrder));
        assert!(naive >= 4.0, "{naive}");
    }
}

/// One huge item collection stays in one segment and on one partition: it gets as many writes in flight as that takes,
/// also if the service works off a batch one statement after the other, in a tenth of a second.
#[test]
fn a_huge_item_collection_gets_what_its_partition_takes() {
    let scenario = Scenario {
        items: 160_000,
        collection: 150_000,
        partitions: 4,
        latency: Duration::from_millis(10),
        statement_latency: Duration::from_millis(4),
        ..Scenario::default()
    };
    let report = run(scenario, settings(8, 8), Driver::InProcess);
    assert_eq!(report.bound_by, "the hottest partition");
    let longer = report.sweep_seconds / report.bound_seconds;
    let wcu: Vec<u64> = report
        .seconds
        .iter()
        .map(|second| second.wcu as u64)
        .collect();
    assert!(longer < 1.1, "{longer}: {wcu:?}");
}

/// A run takes hardly longer than the table and the budget allow.
#[test]
fn runs_are_within_five_percent_of_the_physical_bound() {
    let ten_partitions = Scenario {
        items: 1_000_000,
        partitions: 10,
        ..Scenario::default()
    };
    // An on-demand table that has never seen traffic.
    let on_demand = Scenario {
        items: 400_000,
        partitions: 4,
        table_wcu: 4_000.0,
        table_rcu: 12_000.0,
        ..Scenario::default()
    };
    let thousand_partitions = Scenario {
        items: 4_000_000,
        partitions: 1_000,
        ..Scenario::default()
    };
    for (scenario, segments, concurrency, max_wcu) in [
        (ten_partitions.clone(), 10, 10, None),
        (ten_partitions, 100, 10, Some(10_000)),
        (on_demand.clone(), 4, 4, None),
        (on_demand, 40, 4, Some(4_000)),
        (thousand_partitions, 400, 40, Some(40_000)),
    ] {
        let budget = RequestedSettings {
            max_wcu,
            ..settings(segments, concurrency)
        };
        let report = run(scenario, budget, Driver::Lambda);
        let longer = report.sweep_seconds / report.bound_seconds;
        assert!(
            (0.97..=1.05).contains(&longer),
            "{segments} segments: {longer} of {} s ({})",
            report.bound_seconds,
            report.bound_by
        );
    }
}

/// A partition key of the checkpoint table takes 1,000 write and 3,000 read units a second. A thousand workers on a table
/// that is migrated already stay far below, when all of them begin, while they read on, and when all of them end.
#[test]
fn a_thousand_workers_share_no_hot_key_of_the_checkpoint_table() {
    let on = |items, segments, max_rcu| {
        let scenario = Scenario {
            items,
            pending: 0.0,
            partitions: 1_000,
            table_rcu: 400_000.0,
            latency: Duration::from_millis(100),
            ..Scenario::default()
        };
        let budget = RequestedSettings {
            max_rcu,
            ..settings(segments, 1_000)
        };
        let report = run(scenario, budget, Driver::Lambda);
        report.checkpoints.hottest()
    };
    // As fast as the workers can; within a budget; with segments that last a second.
    let hottest = [
        on(40_000_000, 1_000, None),
        on(10_000_000, 1_000, Some(40_000)),
        on(28_000_000, 4_000, None),
    ];
    let is_low = |units: &Units| units.write < 260.0 && units.read < 250.0;
    assert!(hottest.iter().all(is_low), "{hottest:#?}");
    // With segments that last a third of a second, and are claimed, checkpointed, summed up and counted in that time.
    let small = on(7_000_000, 4_000, None);
    assert!(small.write < 650.0 && small.read < 250.0, "{small:#?}");
}

/// A checkpoint is saved once a second where nothing is written, also before an item has passed the trial, and at the end.
#[test]
fn a_segment_in_which_nothing_is_written_is_checkpointed_once_a_second() {
    for driver in [Driver::InProcess, Driver::Lambda] {
        let scenario = Scenario {
            items: 2_000_000,
            pending: 0.0,
            ..Scenario::default()
        };
        let report = run(scenario, settings(4, 4), driver);
        let most = 4.0 * (report.sweep_seconds.ceil() + 1.0);
        let checkpoints = report.used.checkpoints;
        assert!(report.sweep_seconds > 5.0, "{}", report.sweep_seconds);
        assert!(
            (8.0..=most).contains(&checkpoints),
            "{checkpoints} in {} s",
            report.sweep_seconds
        );
    }
}

/// honest-end, budget: an item may cost more than the share of a worker brings in a time box. The run goes on all the same.
#[test]
fn honest_end_of_items_that_cost_more_than_a_time_box_brings() {
    for (max_wcu, max_rcu, counted_bytes) in [
        (Some(100), None, None),
        (None, Some(8), None),
        (None, Some(8), Some(400 * 1024)),
    ] {
        let scenario = Scenario {
            items: 24,
            item_bytes: 400 * 1024,
            counted_bytes,
            partitions: 10,
            ..Scenario::default()
        };
        let requested = RequestedSettings {
            max_wcu,
            max_rcu,
            time_box_seconds: Some(20),
            ..settings(8, 8)
        };
        let day = Duration::from_secs(24 * 3_600);
        let ended = in_virtual_time(async {
            tokio::time::timeout(day, simulate(scenario, requested, Driver::Lambda)).await
        });
        let report = ended
            .expect("the run ends within a day")
            .expect("it ends well");
        assert_eq!(report.summary.updated, 24);
    }
}

/// budget: never passed where time boxes end, either.
#[test]
fn budget_of_writes_where_time_boxes_end() {
    for kilobytes in [1, 4, 40] {
        let scenario = Scenario {
            items: 60_000 / kilobytes,
            item_bytes: kilobytes * 1024,
            partitions: 10,
            ..Scenario::default()
        };
        let budget = RequestedSettings {
            max_wcu: Some(1_000),
            time_box_seconds: Some(3),
            ..settings(8, 8)
        };
        let report = run(scenario, budget, Driver::Lambda);
        let shares =
            shares_of_any_ten_seconds(&report.seconds, |second| second.wcu_by_tenth, 1_000.0);
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!(most <= 1.01 + 1e-9, "{most}: {kilobytes} KB");
        assert!(most >= 0.8, "{most}: {kilobytes} KB");
    }
}

/// A table of many partitions that answers within 10 ms.
fn wide(items: u64, partitions: u32) -> Scenario {
    Scenario {
        items,
        partitions,
        table_wcu: 1e9,
        table_rcu: 1e9,
        latency: Duration::from_millis(10),
        statement_latency: Duration::ZERO,
        ..Scenario::default()
    }
}

/// No segment waits for the pages of others: a table that does not throttle is swept the faster the more are worked on together,
/// also if there is little to write, and one that does is swept at the rate of its partitions by a segment for each.
#[test]
fn segments_at_once_do_not_wait_for_each_others_pages() {
    let seconds = |scenario: Scenario, segments, at_once| {
        run(scenario, settings(segments, at_once), Driver::InProcess).sweep_seconds
    };
    let free = [8, 64].map(|at_once| seconds(wide(400_000, 1_000), 64, at_once));
    // Eight at once had taken 6 s as long as each segment began as if the others had found nothing out.
    assert!(
        free[1] < 2.0 && free[0] < 4.0 && free[0] > 1.5 * free[1],
        "{free:?}"
    );
    let sparse = Scenario {
        pending: 0.01,
        ..wide(1_000_000, 1_000)
    };
    let pages_a_second = 1_000.0 / seconds(sparse, 64, 64);
    // Behind its begin it is more than 1,000.
    assert!(pages_a_second > 800.0, "{pages_a_second}");
    let full = Scenario {
        burst_seconds: 1.0,
        ..wide(600_000, 40)
    };
    let throttled = seconds(full, 40, 40);
    assert!(throttled < 1.2 * 15.0, "{throttled}");
}
