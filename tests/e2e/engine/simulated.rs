//! A process against the simulation: `backfill run` on the stub of the bench takes as long as the simulation says, on the
//! same table. Both ask one model of it, the one by HTTP and in real time, the other in virtual time.
//!
//! Time is what the table sees, from the first write to the last. What bounds it is the table and never the machine:
//! a few hundred units a second.

use std::time::Duration;

use backfill_core::request::{RequestedSettings, WriterKind};
use backfill_e2e::bench_stub::BenchStub;
use backfill_e2e::command::{Ended, backfill};
use backfill_simulation::{Driver, Scenario, in_virtual_time, simulate};
use futures_util::{StreamExt as _, stream};

/// A table as the scenario says.
fn stub_of(scenario: &Scenario) -> BenchStub {
    let milliseconds = |time: Duration| (time.as_secs_f64() * 1e3).to_string();
    let seconds = |time: Duration| time.as_secs_f64().to_string();
    let mut options = Vec::new();
    for (flag, value) in [
        ("--items", Some(scenario.items.to_string())),
        ("--item-size", Some(scenario.item_bytes.to_string())),
        ("--pending", Some(scenario.pending.to_string())),
        ("--partitions", Some(scenario.partitions.to_string())),
        ("--partition-wcu", Some(scenario.partition_wcu.to_string())),
        ("--partition-rcu", Some(scenario.partition_rcu.to_string())),
        ("--table-wcu", Some(scenario.table_wcu.to_string())),
        ("--table-rcu", Some(scenario.table_rcu.to_string())),
        ("--burst", Some(scenario.burst_seconds.to_string())),
        ("--live-wcu", Some(scenario.live_wcu.to_string())),
        ("--latency-ms", Some(milliseconds(scenario.latency))),
        ("--p99-ms", scenario.latency_p99.map(milliseconds)),
        (
            "--statement-ms",
            Some(milliseconds(scenario.statement_latency)),
        ),
        ("--split-after", scenario.split_after.map(seconds)),
        ("--doubles-after", scenario.doubles_after.map(seconds)),
    ] {
        options.extend(value.map(|value| [flag.to_owned(), value]));
    }
    let rested = scenario.rested.then(|| "--rested".to_owned());
    BenchStub::start(options.into_iter().flatten().chain(rested))
}

/// Seconds that a process takes.
async fn in_a_process(scenario: &Scenario, settings: &RequestedSettings) -> f64 {
    let stub = stub_of(scenario);
    let mut command = backfill(["run", "--table", "stuff", "--set", "test=1", "--json"]);
    command.args(["--endpoint-url", &stub.endpoint]);
    for (flag, value) in [
        ("--segments", settings.total_segments),
        ("--concurrency", settings.max_concurrency),
        ("--max-wcu", settings.max_wcu),
        ("--max-rcu", settings.max_rcu),
    ] {
        if let Some(value) = value {
            command.args([flag, &value.to_string()]);
        }
    }
    if settings.writer == Some(WriterKind::UpdateItem) {
        command.args(["--writer", "update-item"]);
    }
    let run = tokio::task::spawn_blocking(move || Ended::run(&mut command));
    let result = run.await.expect("it is not stopped").expect_code(0).json();
    let report = stub.report().await;
    assert_eq!(report["pending"], 0);
    assert_eq!(result["remaining"], 0);
    report["write_seconds"].as_f64().expect("a number")
}

/// Seconds that the simulation says, by the median of five seeds.
async fn in_the_simulation(scenario: &Scenario, settings: &RequestedSettings) -> f64 {
    let runs = (1..=5).map(|seed| {
        let scenario = Scenario {
            seed,
            ..scenario.clone()
        };
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || {
            let run = simulate(scenario, settings, Driver::InProcess);
            in_virtual_time(seed, run)
                .expect("it succeeds")
                .write_seconds
        })
    });
    let mut seconds = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        seconds.push(run.await.expect("it ends"));
    }
    seconds.sort_by(f64::total_cmp);
    seconds[2]
}

fn settings(segments: u32, concurrency: u32) -> RequestedSettings {
    RequestedSettings {
        total_segments: Some(segments),
        max_concurrency: Some(concurrency),
        ..RequestedSettings::default()
    }
}

/// A table with partitions of so many units a second. They begin with all that they can
/// save up, since a process takes longer to begin.
fn table(items: u64, partitions: u32, partition_wcu: f64) -> Scenario {
    Scenario {
        items,
        partitions,
        partition_wcu,
        partition_rcu: 3.0 * partition_wcu,
        rested: true,
        ..Scenario::default()
    }
}

// Long because each of the ten has its lines.
fn scenarios() -> Vec<(&'static str, Scenario, RequestedSettings)> {
    let ms = Duration::from_millis;
    let budget = |max_wcu, settings| RequestedSettings {
        max_wcu: Some(max_wcu),
        ..settings
    };
    let tail = |scenario| Scenario {
        latency: ms(10),
        latency_p99: Some(ms(60)),
        ..scenario
    };
    let one_by_one = |settings| RequestedSettings {
        writer: Some(WriterKind::UpdateItem),
        ..settings
    };
    let at_once = settings;
    vec![
        ("one partition", table(2_500, 1, 500.0), at_once(4, 1)),
        ("three partitions", table(10_000, 3, 700.0), at_once(12, 3)),
        ("four partitions", table(10_000, 4, 500.0), at_once(16, 4)),
        (
            "bursts of three seconds",
            Scenario {
                burst_seconds: 3.0,
                ..table(12_000, 2, 800.0)
            },
            at_once(8, 2),
        ),
        (
            "a limit of the table, and items of several units",
            Scenario {
                item_bytes: 4_000,
                table_wcu: 2_000.0,
                ..table(2_500, 8, 2_000.0)
            },
            at_once(4, 1),
        ),
        (
            "live traffic",
            Scenario {
                live_wcu: 200.0,
                ..table(9_000, 4, 500.0)
            },
            at_once(16, 4),
        ),
        (
            "a partition that splits",
            Scenario {
                split_after: Some(ms(1_000)),
                ..table(2_000, 1, 400.0)
            },
            at_once(4, 1),
        ),
        (
            "items of several units",
            Scenario {
                item_bytes: 4_000,
                ..table(2_500, 2, 1_000.0)
            },
            at_once(8, 2),
        ),
        (
            "a budget, and latency with a tail",
            tail(table(2_500, 4, 1_000.0)),
            budget(500, at_once(8, 4)),
        ),
        (
            "a budget, one by one",
            table(1_500, 4, 1_000.0),
            one_by_one(budget(300, at_once(8, 4))),
        ),
    ]
}

/// Times that a scenario is tried at most. What else goes on on the machine makes a process slower, and now and then its pace lucky, so
/// both are tried again. A model that is wrong is so each time.
const TRIES: usize = 3;

/// Scenarios at once. The more, the more they take from each other.
const AT_ONCE: usize = 4;

/// The scenarios are those in which one seed of the simulation is not far from another.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_takes_as_long_as_the_simulation_says() {
    let runs = scenarios()
        .into_iter()
        .map(|(name, scenario, settings)| async move {
            let simulated = in_the_simulation(&scenario, &settings).await;
            let mut seen = Vec::new();
            for _ in 0..TRIES {
                let ratio = in_a_process(&scenario, &settings).await / simulated;
                seen.push(ratio);
                if (0.9..=1.1).contains(&ratio) {
                    println!("{name}: {seen:.3?} of {simulated:.2} s");
                    return None;
                }
            }
            Some(format!("{name}: {seen:.3?} of {simulated:.2} s"))
        });
    let wrong: Vec<String> = stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}
