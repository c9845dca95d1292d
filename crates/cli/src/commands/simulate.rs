//! `backfill simulate`: how long a run would take, at what rate, and what bounds it. The real engine on a model table, in
//! virtual time; nothing is called.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backfill_core::pace::{Consistency, units_of};
use backfill_core::request::RequestedSettings;
use backfill_core::table::{ON_DEMAND_WRITES, PARTITION_BYTES, PARTITION_WRITES, TABLE_QUOTA};
use backfill_core::view::cost::{Bill, Prices};
use backfill_core::{Error, ErrorKind, Result};
use backfill_simulation::{self as simulation, Driver, Report, Scenario};
use clap::Args;
use serde::Serialize;

use crate::args::{PriceArgs, SettingsArgs};
use crate::drive::progress::with_progress;
use crate::ending::Ending;
use crate::show::print;
use crate::show::simulation::Shown;

/// Items that are simulated one by one; of a larger table as many, evenly, which then stand for more.
const MAX_ITEMS: u64 = 5_000_000;

/// Items, units per second and partitions beyond which there is no table: a thousand times the largest that is spoken of.
const MOST_ITEMS: u64 = 1_000_000_000_000_000;
const MOST_UNITS: u64 = 100_000_000;
const MOST_PARTITIONS: u64 = 100_000;

/// Secondary indexes that a table can have: five local ones, and twenty global ones unless AWS is asked for more.
const MOST_INDEXES: u64 = 100;

/// No request takes longer: it would be given up.
const LONGEST_MS: f64 = 60_000.0;

/// Settings, by the ids of their flags, that are refused: a simulation is one of the whole table, to its end.
pub const REFUSED: [&str; 4] = ["only_segments", "pause_after", "pause_when", "hours"];

#[derive(Args)]
pub struct SimulateArgs {
    /// Items of the table.
    #[arg(long, value_name = "N")]
    items: u64,
    /// Bytes of an item.
    #[arg(long, value_name = "BYTES", default_value_t = 300)]
    item_size: u64,
    /// Part of the items that is pending, 0 to 1.
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pending: f64,
    /// Indexes that the update writes to.
    #[arg(long, value_name = "N", default_value_t = 0)]
    indexes: u32,
    /// Write units per second that the table takes [default: 40000, the quota of a table].
    #[arg(long, value_name = "N", conflicts_with = "on_demand")]
    table_wcu: Option<u32>,
    /// Read units per second that the table takes.
    #[arg(long, value_name = "N", default_value_t = 40_000)]
    table_rcu: u32,
    /// A new on-demand table: 4,000 write units per second, growing if it is hot.
    #[arg(long)]
    on_demand: bool,
    /// Partitions [default: one per 10 GB, and one per 1,000 write units of the table].
    #[arg(long, value_name = "N")]
    partitions: Option<u32>,
    /// Write units per second of live traffic.
    #[arg(long, value_name = "N", default_value_t = 0)]
    live_wcu: u32,
    /// Milliseconds of a request.
    #[arg(long, value_name = "MS", default_value_t = 5.0)]
    latency_ms: f64,
    /// Milliseconds that each further statement of a batch adds.
    #[arg(long, value_name = "MS", default_value_t = 0.4)]
    statement_ms: f64,
    /// One process, as in `backfill run`, in place of a Lambda function per segment.
    #[arg(long)]
    in_process: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    prices: PriceArgs,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Simulated {
    items: u64,
    /// Items that one simulated item stands for.
    scale: f64,
    seconds: f64,
    bound_seconds: f64,
    bound_by: &'static str,
    segments: u32,
    partitions: u32,
    throttles: u64,
    live_throttled: f64,
    cost_usd: Bill,
    /// Write units per second in each second of the simulation.
    wcu: Vec<f64>,
}

/// Runs the command.
pub async fn simulate(args: SimulateArgs) -> Result<Ending> {
    let settings = args.settings.read()?;
    for (flag, is_given) in [
        ("pause-after", settings.pause_after.is_some()),
        ("pause-when", settings.pause_when.is_some()),
        ("hours", settings.hours.is_some()),
    ] {
        if is_given {
            let why = "a simulation goes on to its end; leave it out";
            return Err(Error::invalid(flag, why));
        }
    }
    if settings.only_segments.is_some() {
        let why = "a simulation is one of the whole table; leave it out";
        return Err(Error::invalid("only-segments", why));
    }
    let prices = args.prices.read()?;
    let (scenario, scale) = scenario(&args)?;
    let driver = match args.in_process {
        true => Driver::InProcess,
        false => Driver::Lambda,
    };
    let max_wcu = settings.max_wcu;
    let swept = scenario.swept.clone();
    let report = with_progress(
        in_virtual_time(scenario.clone(), settings, driver),
        "simulating",
        "items",
        scenario.items,
        || (swept.load(Ordering::Relaxed), String::new()),
    )
    .await?;
    let bill = bill(&report, &scenario, scale, driver, &prices);
    let shown = Shown {
        report: &report,
        scenario: &scenario,
        items: args.items,
        scale,
        max_wcu,
        bill: &bill,
        prices: &prices,
    };
    if args.json {
        say!("{}", shown.text());
        print::json(&Simulated {
            items: args.items,
            scale,
            seconds: report.sweep_seconds * scale,
            bound_seconds: report.bound_seconds * scale,
            bound_by: report.bound_by,
            segments: report.summary.segments,
            partitions: scenario.partitions,
            throttles: report.summary.throttles,
            live_throttled: report.live_throttled(),
            cost_usd: bill,
            wcu: report.seconds.iter().map(|second| second.wcu).collect(),
        });
    } else {
        print::line(&shown.text())?;
    }
    Ok(Ending::Succeeded)
}

/// The table of the arguments, and how many items one of it stands for.
fn scenario(args: &SimulateArgs) -> Result<(Scenario, f64)> {
    within("items", args.items, 1..=MOST_ITEMS)?;
    within("indexes", args.indexes.into(), 0..=MOST_INDEXES)?;
    within("live-wcu", args.live_wcu.into(), 0..=MOST_UNITS)?;
    within("table-rcu", args.table_rcu.into(), 1..=MOST_UNITS)?;
    if let Some(units) = args.table_wcu {
        within("table-wcu", units.into(), 1..=MOST_UNITS)?;
    }
    if let Some(partitions) = args.partitions {
        within("partitions", partitions.into(), 1..=MOST_PARTITIONS)?;
    }
    if !(1..=400 * 1024).contains(&args.item_size) {
        return Err(Error::invalid("item-size", "expected 1 to 409600 bytes"));
    }
    if !(0.0..=1.0).contains(&args.pending) {
        return Err(Error::invalid("pending", "expected a part from 0 to 1"));
    }
    let milliseconds = |field, ms: f64| match ms {
        0.0..=LONGEST_MS => Ok(Duration::from_secs_f64(ms / 1e3)),
        _ => Err(Error::invalid(
            field,
            format!("expected 0 to {LONGEST_MS} milliseconds, got {ms}"),
        )),
    };
    let table_wcu = match args.on_demand {
        true => ON_DEMAND_WRITES as u32,
        false => args.table_wcu.unwrap_or(TABLE_QUOTA as u32),
    };
    let bytes = u128::from(args.items) * u128::from(args.item_size);
    let by_size = bytes.div_ceil(PARTITION_BYTES as u128);
    let by_rate = table_wcu.div_ceil(PARTITION_WRITES as u32);
    let by_size = u64::try_from(by_size).unwrap_or(u64::MAX);
    if args.partitions.is_none() && by_size > MOST_PARTITIONS {
        return Err(Error::invalid(
            "items",
            format!(
                "{} items of {} bytes are {by_size} partitions, and {MOST_PARTITIONS} can be simulated at most; give --partitions",
                args.items, args.item_size
            ),
        ));
    }
    let partitions = args.partitions.unwrap_or((by_size as u32).max(by_rate));
    let simulated = args.items.min(MAX_ITEMS);
    let scenario = Scenario {
        items: simulated,
        item_bytes: args.item_size,
        pending: args.pending,
        indexes: args.indexes,
        partitions,
        table_wcu: match args.on_demand {
            true => TABLE_QUOTA,
            false => table_wcu.into(),
        },
        table_rcu: args.table_rcu.into(),
        // What "sustained" means AWS does not say; ten minutes is a guess on the safe side.
        split_after: args.on_demand.then_some(Duration::from_secs(600)),
        live_wcu: args.live_wcu.into(),
        latency: milliseconds("latency-ms", args.latency_ms)?,
        statement_latency: milliseconds("statement-ms", args.statement_ms)?,
        ..Scenario::default()
    };
    Ok((scenario, args.items as f64 / simulated as f64))
}

/// Refuses a size that cannot be simulated, or that no table has.
fn within(flag: &str, value: u64, range: RangeInclusive<u64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(Error::invalid(
        flag,
        format!("expected {least} to {most}, got {value}"),
    ))
}

/// In a thread of its own, because its clock is not the process's.
async fn in_virtual_time(
    scenario: Scenario,
    settings: RequestedSettings,
    driver: Driver,
) -> Result<Report> {
    let simulated = tokio::task::spawn_blocking(move || {
        simulation::in_virtual_time(
            scenario.seed,
            simulation::simulate(scenario, settings, driver),
        )
    });
    simulated
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "the simulation").with_source(error))?
}

fn bill(report: &Report, scenario: &Scenario, scale: f64, driver: Driver, prices: &Prices) -> Bill {
    let mut used = report.used;
    used.in_aws = driver == Driver::Lambda;
    // A verification reads everything once, strongly consistently.
    let bytes = scenario.items as f64 * scenario.item_bytes as f64;
    used.verification_read_units = units_of(bytes, Consistency::Strong);
    for amount in [
        &mut used.items,
        &mut used.checkpoints,
        &mut used.write_units,
        &mut used.scan_read_units,
        &mut used.verification_read_units,
        &mut used.worker_seconds,
        &mut used.verifier_seconds,
    ] {
        *amount *= scale;
    }
    used.bill(prices)
}
