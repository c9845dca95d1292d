//! Prints the matrix of the pace: how far each cell is from what its table allows, by several seeds.
//!
//! `cargo run --release --locked -p backfill-simulation --example matrix -- [seeds] [cells that contain this]`

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};

use backfill_simulation::Driver;
use backfill_simulation::matrix::{Cell, Figures, cells};

/// So many cells of each way to drive a run are shown once more.
const WORST: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds = arguments.next().map_or(10, |seeds| {
        seeds.parse().expect("the number of seeds is a number")
    });
    let wanted = arguments.next().unwrap_or_default();
    let cells: Vec<Cell> = cells()
        .into_iter()
        .filter(|cell| wanted.split('&').all(|part| name(cell).contains(part)))
        .collect();
    let figures = run(&cells, seeds);
    println!("| cell | ratio: median | worst | throttled | recovery | live loss |");
    println!("|---|---|---|---|---|---|");
    let mut sums: Vec<(&Cell, Sums)> = cells
        .iter()
        .zip(figures.iter().map(|figures| Sums::of(figures)))
        .collect();
    for (cell, sums) in &sums {
        println!("| {} | {sums} |", name(cell));
    }
    println!("\n| the worst cells | ratio: median | worst | throttled | recovery | live loss |");
    println!("|---|---|---|---|---|---|");
    sums.sort_by(|(_, one), (_, other)| other.worst.total_cmp(&one.worst));
    for driver in [Driver::InProcess, Driver::Lambda] {
        let of_driver = sums.iter().filter(|(cell, _)| cell.driver == driver);
        for (cell, sums) in of_driver.take(WORST) {
            println!("| {} | {sums} |", name(cell));
        }
    }
    let mut kinds: BTreeMap<String, Vec<Sums>> = BTreeMap::new();
    for (cell, sums) in sums {
        let kind = format!("{:?}, {}", cell.driver, cell.kind());
        kinds.entry(kind).or_default().push(sums);
    }
    println!(
        "\n| the mean of the cells | ratio: median | worst | throttled | recovery | live loss |"
    );
    println!("|---|---|---|---|---|---|");
    for (kind, cells) in kinds {
        let within = cells
            .iter()
            .filter(|sums| sums.median <= 1.15 && sums.worst <= 1.3);
        let goal = format!("{} of {}", within.count(), cells.len());
        println!(
            "| {kind}: {goal} within 1.15 and 1.3 | {} |",
            Sums::mean(&cells)
        );
    }
}

/// What came of a cell by all seeds.
struct Sums {
    median: f64,
    worst: f64,
    throttled: f64,
    recovery: f64,
    live_loss: f64,
}

impl Sums {
    fn of(figures: &[Figures]) -> Sums {
        let ratio = sorted(figures, |figures| figures.ratio);
        let middle = |of: fn(&Figures) -> f64| median(&sorted(figures, of));
        Sums {
            median: median(&ratio),
            worst: ratio[ratio.len() - 1],
            throttled: middle(|figures| figures.throttled),
            recovery: middle(|figures| figures.recovery),
            live_loss: mean(figures, |figures| figures.live_loss),
        }
    }

    fn mean(cells: &[Sums]) -> Sums {
        Sums {
            median: mean(cells, |sums| sums.median),
            worst: mean(cells, |sums| sums.worst),
            throttled: mean(cells, |sums| sums.throttled),
            recovery: mean(cells, |sums| sums.recovery),
            live_loss: mean(cells, |sums| sums.live_loss),
        }
    }
}

impl Display for Sums {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} | {:.2} | {:.2} % | {:.0} s | {:.3} pp",
            self.median,
            self.worst,
            self.throttled * 100.0,
            self.recovery,
            self.live_loss * 100.0
        )
    }
}

fn mean<T>(all: &[T], of: fn(&T) -> f64) -> f64 {
    all.iter().map(of).sum::<f64>() / all.len() as f64
}

fn name(cell: &Cell) -> String {
    let limit = |of: &str, units: Option<u32>| {
        units.map_or(String::new(), |units| format!(", {of} {units}"))
    };
    format!(
        "{:?}, {} partitions x {} x {}, burst {}, {} ms, live {}{}{}",
        cell.driver,
        cell.partitions,
        cell.workers,
        cell.segments,
        cell.burst,
        cell.latency_ms,
        cell.live,
        limit("table", cell.table_wcu),
        limit("budget", cell.max_wcu),
    )
}

/// What came of each cell by these seeds, on all cores.
fn run(cells: &[Cell], seeds: u64) -> Vec<Vec<Figures>> {
    let jobs: Vec<(usize, u64)> = (0..cells.len())
        .flat_map(|cell| (1..=seeds).map(move |seed| (cell, seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![Vec::new(); cells.len()]);
    let cores = available_parallelism().map_or(1, usize::from);
    scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(&(cell, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let figures = cells[cell].run(seed).expect("the simulated run ends well");
                    let mut done = done.lock().expect("no thread has panicked");
                    done[cell].push(figures);
                }
            });
        }
    });
    done.into_inner().expect("no thread has panicked")
}

fn sorted(figures: &[Figures], of: fn(&Figures) -> f64) -> Vec<f64> {
    let mut all: Vec<f64> = figures.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}
