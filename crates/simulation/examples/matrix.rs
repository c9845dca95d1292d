//! Prints the matrix of the pace: how far each cell is from what its table allows, by several seeds.
//!
//! `cargo run --release --locked -p backfill-simulation --example matrix -- [seeds] [cells that contain this]`

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
    let head = "ratio: median | worst seed | throttled | recovery | live loss, points |\n|---|---|---|---|---|---|";
    println!("| cell | {head}");
    let mut sums: Vec<(&Cell, Sums)> = cells
        .iter()
        .zip(figures.iter().map(|figures| Sums::of(figures)))
        .collect();
    for (cell, sums) in &sums {
        println!("| {} | {sums} |", name(cell));
    }
    println!("\n| the worst cells | {head}");
    sums.sort_by(|(_, one), (_, other)| other.worst.total_cmp(&one.worst));
    for driver in [Driver::InProcess, Driver::Lambda] {
        let of_driver = sums.iter().filter(|(cell, _)| cell.driver == driver);
        for (cell, sums) in of_driver.take(WORST) {
            println!("| {} | {sums} |", name(cell));
        }
    }
    println!(
        "\n| what says no | cells within 1.15, and 1.3 at worst | ratio | throttled | recovery | live loss, points |"
    );
    println!("|---|---|---|---|---|---|");
    for (driver, kind) in kinds() {
        let is_it = |cell: &Cell| cell.driver == driver && cell.kind() == kind;
        let of_kind: Vec<&(&Cell, Sums)> = sums.iter().filter(|(cell, _)| is_it(cell)).collect();
        if !of_kind.is_empty() {
            println!("| {kind}, {} | {} |", driven(driver), mean_of(&of_kind));
        }
    }
}

/// What says no, in the order in which the matrix has it, in each way to drive a run.
fn kinds() -> Vec<(Driver, &'static str)> {
    let mut kinds: Vec<(Driver, &'static str)> = Vec::new();
    for driver in [Driver::InProcess, Driver::Lambda] {
        for kind in cells().iter().map(Cell::kind) {
            if !kinds.contains(&(driver, kind)) {
                kinds.push((driver, kind));
            }
        }
    }
    kinds
}

/// What cells came to that the same thing says no in: how many are within the goals, and the means, with the worst cell in brackets.
/// A figure is left out if no cell can have it.
fn mean_of(cells: &[&(&Cell, Sums)]) -> String {
    let within = cells
        .iter()
        .filter(|(_, sums)| sums.median <= 1.15 && sums.worst <= 1.3);
    let mean_and_most = |of: fn(&Sums) -> f64| {
        let most = cells
            .iter()
            .map(|(_, sums)| of(sums))
            .fold(f64::MIN, f64::max);
        (mean(cells, |(_, sums)| of(sums)), most)
    };
    let (ratio, worst) = mean_and_most(|sums| sums.median);
    let (loss, most_loss) = mean_and_most(|sums| sums.live_loss * 100.0);
    let throttled = mean(cells, |(_, sums)| sums.throttled * 100.0);
    let recovery = mean(cells, |(_, sums)| sums.recovery);
    let if_any = |is_there: fn(&Cell) -> bool, shown: String| match cells {
        cells if cells.iter().any(|(cell, _)| is_there(cell)) => format!(" {shown} "),
        _ => " ".to_owned(),
    };
    format!(
        "{} of {} | {ratio:.2} ({worst:.1}) | {throttled:.1} % |{}|{}",
        within.count(),
        cells.len(),
        if_any(Cell::recovers, format!("{recovery:.0} s")),
        if_any(
            |cell| cell.live > 0.0,
            format!("{loss:.2} ({most_loss:.2})")
        )
        .trim_end(),
    )
}

fn driven(driver: Driver) -> &'static str {
    match driver {
        Driver::InProcess => "one process",
        Driver::Lambda => "Lambda",
        Driver::LambdaInNaiveOrder => "Lambda in naive order",
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
}

impl Display for Sums {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} | {:.2} | {:.2} % | {:.0} s | {:.3}",
            self.median,
            self.worst,
            self.throttled * 100.0,
            self.recovery,
            self.live_loss * 100.0
        )
    }
}

fn mean<T>(all: &[T], of: impl Fn(&T) -> f64) -> f64 {
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
