//! The matrix by which the pace is judged: runs on tables that say no, each by several seeds. A cell names what the table, the
//! traffic on it and the settings are; what came of it is told by four figures.

use std::time::Duration;

use backfill_core::Result;
use backfill_core::request::RequestedSettings;
use backfill_core::table::PARTITION_WRITES;

use crate::{Driver, Report, Scenario, Second, in_virtual_time, simulate};

/// Seconds of a sweep that are its begin and not its steady state.
const BEGIN: usize = 5;
/// What counts as back at the limit.
const BACK: f64 = 0.9;
/// Over so many seconds a rate is held against its limit.
const STRETCH: usize = 2;

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// How the run is driven.
    pub driver: Driver,
    /// Partitions of 1,000 write units a second.
    pub partitions: u32,
    /// Segments at once for each partition.
    pub workers: f64,
    /// Segments for each that is worked on at once.
    pub segments: u32,
    /// Seconds of unused capacity that a partition saves up.
    pub burst: f64,
    /// Time that a request takes.
    pub latency_ms: u64,
    /// Live traffic, as a part of what the table takes.
    pub live: f64,
    /// Write units that the table takes, if that is less than its partitions do.
    pub table_wcu: Option<u32>,
    /// The budget.
    pub max_wcu: Option<u32>,
    /// About how long the sweep takes if nothing is lost.
    pub seconds: f64,
}

/// One process, eight partitions with a worker each and four segments a worker.
const PLAIN: Cell = Cell {
    driver: Driver::InProcess,
    partitions: 8,
    workers: 1.0,
    segments: 4,
    burst: 1.0,
    latency_ms: 10,
    live: 0.0,
    table_wcu: None,
    max_wcu: None,
    seconds: 40.0,
};

/// What came of a cell and a seed.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Time of the sweep over the shortest that there is.
    pub ratio: f64,
    /// Part of the writes that the table throttled after the first seconds.
    pub throttled: f64,
    /// The longest time that a limit was not used to nine tenths although it was worked on, after it had throttled, in seconds.
    pub recovery: f64,
    /// Part of the live writes that were throttled beyond those that are without us.
    pub live_loss: f64,
}

impl Cell {
    /// What says no in the cell.
    pub fn kind(&self) -> &'static str {
        match (self.max_wcu, self.live) {
            (Some(_), _) => "a budget",
            (None, live) if live > 0.95 => "live traffic of 98 %",
            (None, live) if live > 0.0 => "live traffic of 50 and 90 %",
            _ if self.table_wcu.is_some() => "a table's limit",
            _ => "partitions",
        }
    }

    /// Whether it can be seen that a limit stays unused: a budget may be below it, and live traffic of nine tenths uses it.
    pub fn recovers(&self) -> bool {
        self.max_wcu.is_none() && self.live < BACK
    }

    /// Segments that are worked on at once.
    pub fn at_once(&self) -> u32 {
        ((f64::from(self.partitions) * self.workers) as u32).max(1)
    }

    /// Write units a second that the table takes.
    fn takes(&self) -> f64 {
        let by_partitions = f64::from(self.partitions) * PARTITION_WRITES;
        let by_table = self.table_wcu.map_or(f64::INFINITY, f64::from);
        by_table.min(by_partitions)
    }

    /// Write units a second of live traffic.
    fn live_wcu(&self) -> f64 {
        self.live * self.takes()
    }

    /// Write units a second that are there for us, of the table and of a partition.
    fn spare(&self) -> (f64, f64) {
        let budget = self.max_wcu.map_or(f64::INFINITY, f64::from);
        let live = self.live_wcu();
        let partition = PARTITION_WRITES - live / f64::from(self.partitions);
        ((self.takes() - live).min(budget), partition)
    }

    /// Write units a second that can be made: no segment lies on two partitions at a time.
    fn rate(&self) -> f64 {
        let (table, partition) = self.spare();
        table.min(partition * f64::from(self.at_once().min(self.partitions)))
    }

    fn scenario(&self, seed: u64) -> Scenario {
        Scenario {
            items: (self.rate() * self.seconds) as u64,
            partitions: self.partitions,
            table_wcu: self.table_wcu.map_or(1e6, f64::from),
            table_rcu: 1e6,
            burst_seconds: self.burst,
            live_wcu: self.live_wcu(),
            latency: Duration::from_millis(self.latency_ms),
            seed,
            ..Scenario::default()
        }
    }

    /// Runs the cell with a seed.
    ///
    /// Errors: those of [`simulate`].
    pub fn run(&self, seed: u64) -> Result<Figures> {
        let scenario = self.scenario(seed);
        let settings = RequestedSettings {
            total_segments: Some(self.at_once() * self.segments),
            max_concurrency: Some(self.at_once()),
            max_wcu: self.max_wcu,
            ..RequestedSettings::default()
        };
        let report = in_virtual_time(seed, simulate(scenario.clone(), settings, self.driver))?;
        Ok(Figures {
            ratio: report.sweep_seconds * self.rate() / scenario.items as f64,
            throttled: throttled(&report),
            recovery: self.recovery(&report),
            live_loss: report.live_loss(&scenario),
        })
    }

    /// Seconds for which a limit that had throttled stayed unused.
    fn recovery(&self, report: &Report) -> f64 {
        let first = report
            .seconds
            .iter()
            .position(|second| second.throttles > 0);
        let last = report.seconds.len() - 1;
        let (Some(first), true) = (first, self.recovers()) else {
            return 0.0;
        };
        let seconds = &report.seconds[first..last.max(first)];
        let (table, partition) = self.spare();
        let most = match self.table_wcu {
            Some(limit) => longest_below(seconds, table, f64::from(limit), |second| second.wcu),
            None => {
                let of = |n: usize| {
                    longest_below(seconds, partition, PARTITION_WRITES, move |second| {
                        second.by_partition.get(n).copied().unwrap_or(0.0)
                    })
                };
                (0..self.partitions as usize).map(of).max().unwrap_or(0)
            }
        };
        most as f64
    }
}

/// The longest row of seconds in which something was written, and with the live traffic less than the limit brings. `spare` of it is
/// ours.
fn longest_below(
    seconds: &[Second],
    spare: f64,
    limit: f64,
    written: impl Fn(&Second) -> f64,
) -> usize {
    let (mut longest, mut row) = (0, 0);
    for stretch in seconds.windows(STRETCH) {
        let worked_on = stretch.iter().all(|second| written(second) > 0.0);
        let sum: f64 = stretch.iter().map(&written).sum();
        let all = sum / STRETCH as f64 + (limit - spare);
        row = if worked_on && all < BACK * limit {
            row + 1
        } else {
            0
        };
        longest = longest.max(row);
    }
    longest
}

fn throttled(report: &Report) -> f64 {
    let steady = report.seconds.iter().skip(BEGIN);
    let (throttles, written) = steady.fold((0, 0.0), |(throttles, written), second| {
        (throttles + second.throttles, written + second.wcu)
    });
    let throttles = throttles as f64;
    throttles / (throttles + written).max(1.0)
}

/// All cells: around the plain one, in both ways to drive a run.
///
/// Long because it is a table of cases.
pub fn cells() -> Vec<Cell> {
    use Driver::{InProcess, Lambda};
    let mut cells = Vec::new();
    // Partitions, workers a partition, segments a worker, burst, latency: nothing but partitions says no.
    for (partitions, workers, segments, burst, latency_ms) in [
        (1, 1.0, 1, 1.0, 10),
        (1, 4.0, 4, 0.2, 10),
        (1, 2.0, 16, 1.0, 5),
        (2, 0.5, 8, 0.2, 20),
        (4, 2.0, 1, 300.0, 10),
        (8, 1.0, 1, 0.2, 10),
        (8, 0.5, 4, 0.2, 10),
        (8, 1.0, 4, 0.2, 10),
        (8, 1.0, 4, 1.0, 40),
        (8, 1.0, 4, 300.0, 10),
        (8, 1.0, 16, 0.2, 10),
        (8, 2.0, 4, 0.2, 40),
        (8, 2.0, 8, 1.0, 10),
        (8, 4.0, 1, 0.2, 10),
        (8, 4.0, 4, 1.0, 10),
        (8, 4.0, 16, 300.0, 5),
        (40, 0.5, 4, 1.0, 10),
        (40, 1.0, 1, 0.2, 10),
        (40, 1.0, 4, 0.2, 40),
        (40, 1.6, 1, 0.2, 10),
        (40, 2.0, 2, 1.0, 10),
        (40, 4.0, 1, 0.2, 10),
    ] {
        cells.extend([InProcess, Lambda].map(|driver| Cell {
            driver,
            partitions,
            workers,
            segments,
            burst,
            latency_ms,
            seconds: if partitions == 40 { 15.0 } else { 40.0 },
            ..PLAIN
        }));
    }
    // Table limit, partitions, workers a partition, segments a worker: as on demand, of a table that has never seen traffic.
    for (table_wcu, partitions, workers, segments) in [
        (4_000, 4, 1.0, 4),
        (4_000, 4, 4.0, 1),
        (4_000, 8, 1.0, 4),
        (4_000, 8, 4.0, 4),
        (2_000, 40, 1.0, 1),
        (10_000, 40, 1.0, 2),
    ] {
        cells.extend([InProcess, Lambda].map(|driver| Cell {
            driver,
            table_wcu: Some(table_wcu),
            partitions,
            workers,
            segments,
            ..PLAIN
        }));
    }
    // A budget a little below and above what the partitions take; live traffic, partitions, workers a partition, segments a worker.
    for (max_wcu, live, partitions, workers, segments) in [
        (32_000, 0.0, 40, 1.0, 1),
        (7_200, 0.0, 8, 1.0, 4),
        (7_200, 0.0, 8, 4.0, 4),
        (9_000, 0.0, 8, 2.0, 4),
        (600, 0.9, 8, 2.0, 4),
    ] {
        cells.extend([InProcess, Lambda].map(|driver| Cell {
            driver,
            max_wcu: Some(max_wcu),
            live,
            partitions,
            workers,
            segments,
            burst: 0.2,
            seconds: if partitions == 40 { 15.0 } else { 30.0 },
            ..PLAIN
        }));
    }
    // Live traffic, partitions, workers a partition, segments a worker, burst.
    for (live, partitions, workers, segments, burst) in [
        (0.5, 8, 1.0, 4, 0.2),
        (0.5, 8, 4.0, 4, 1.0),
        (0.5, 4, 1.0, 16, 300.0),
        (0.9, 8, 1.0, 4, 0.2),
        (0.9, 8, 2.0, 4, 1.0),
        (0.9, 4, 4.0, 1, 1.0),
        (0.98, 4, 1.0, 1, 1.0),
        (0.98, 4, 1.0, 4, 0.2),
        (0.98, 4, 1.0, 16, 1.0),
        (0.98, 4, 4.0, 16, 1.0),
    ] {
        cells.extend([InProcess, Lambda].map(|driver| Cell {
            driver,
            live,
            partitions,
            workers,
            segments,
            burst,
            seconds: match live {
                live if live > 0.95 => 200.0,
                live if live > 0.8 => 60.0,
                _ => 30.0,
            },
            ..PLAIN
        }));
    }
    // Live traffic under the limit of a table.
    for (live, workers) in [(0.9, 1.0), (0.98, 4.0)] {
        cells.extend([InProcess, Lambda].map(|driver| Cell {
            driver,
            live,
            workers,
            partitions: 4,
            table_wcu: Some(4_000),
            seconds: if live > 0.95 { 200.0 } else { 60.0 },
            ..PLAIN
        }));
    }
    cells
}
