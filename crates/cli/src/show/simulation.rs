//! A simulated run: its rate over time, its time, its cost.

use backfill_core::view::cost::{Bill, Prices};
use backfill_simulation::{Report, Scenario, Second};
use indicatif::HumanCount;

use crate::show::words;

/// Columns and rows of the plot.
const COLUMNS: usize = 64;
const ROWS: usize = 8;

/// A simulated run for people.
pub struct Shown<'a> {
    pub report: &'a Report,
    pub scenario: &'a Scenario,
    /// Items of the table.
    pub items: u64,
    /// Items that one simulated item stands for.
    pub scale: f64,
    pub max_wcu: Option<u32>,
    pub bill: &'a Bill,
    pub prices: &'a Prices,
}

impl Shown<'_> {
    /// The plot, and the figures below it.
    pub fn text(&self) -> String {
        let Shown {
            report,
            scenario,
            scale,
            ..
        } = self;
        let mut lines = vec![
            plot(&report.seconds, *scale, self.max_wcu, scenario),
            format!(
                "{} items of {} B on {} partitions, {} segments: {} at {:.0} write units/s",
                HumanCount(self.items),
                scenario.item_bytes,
                HumanCount(scenario.partitions.into()),
                report.summary.segments,
                words::duration(report.sweep_seconds * scale),
                report.summary.consumed_wcu / report.sweep_seconds.max(1.0),
            ),
            bound_line(report, *scale),
        ];
        if scenario.live_wcu > 0.0 {
            lines.push(format!(
                "  live      {:.3} % of live writes throttled",
                100.0 * report.live_throttled()
            ));
        }
        let bill = words::bill(self.bill, self.prices);
        lines.push(format!("  cost      {bill}"));
        if *scale > 1.0 {
            lines.push(format!(
                "  scale     each simulated item stands for {scale:.0}: the rates are real, times are multiplied, so that \
                 beginnings and ends weigh more than they would"
            ));
        }
        lines.join("\n")
    }
}

/// What a run with no bound but those of table and budget would take, and what this one takes of it. Of less than a second no part
/// is told: requests take longer.
fn bound_line(report: &Report, scale: f64) -> String {
    let bound = report.bound_seconds * scale;
    let by = &report.bound_by;
    if bound < 1.0 {
        return format!("  bound     less than 1 s by {by}");
    }
    format!(
        "  bound     {} by {by}; the run takes {:.0} % of that",
        words::duration(bound),
        100.0 * report.sweep_seconds / report.bound_seconds
    )
}

/// Write units per second over time, and below what bound them.
fn plot(seconds: &[Second], scale: f64, max_wcu: Option<u32>, scenario: &Scenario) -> String {
    let per_column = seconds.len().div_ceil(COLUMNS).max(1);
    let columns: Vec<&[Second]> = seconds.chunks(per_column).collect();
    let rates: Vec<f64> = columns
        .iter()
        .map(|column| column.iter().map(|second| second.wcu).sum::<f64>() / column.len() as f64)
        .collect();
    let top = rates.iter().copied().fold(1.0, f64::max);
    let mut lines = Vec::new();
    for row in (0..ROWS).rev() {
        let label = match row {
            _ if row == ROWS - 1 => format!("{top:>8.0}"),
            0 => format!("{:>8}", 0),
            _ => " ".repeat(8),
        };
        let bars: String = rates
            .iter()
            .map(|rate| {
                let eighths = (rate / top * (ROWS * 8) as f64) as i64 - (row * 8) as i64;
                [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][eighths.clamp(0, 8) as usize]
            })
            .collect();
        lines.push(format!("{label} │{bars}"));
    }
    let marks: String = columns
        .iter()
        .zip(&rates)
        .map(|(column, rate)| {
            let throttled = column.iter().any(|second| second.throttles > 0);
            let at = |limit: f64| *rate >= 0.95 * limit;
            match max_wcu {
                Some(budget) if at(budget.into()) => 'b',
                _ if throttled => 't',
                _ if at(scenario.table_wcu) => 't',
                _ => '·',
            }
        })
        .collect();
    lines.push(format!("bound by  {marks}"));
    let end = words::duration(seconds.len() as f64 * scale);
    let width = columns.len().saturating_sub(1).max(end.len() + 1);
    lines.push(format!("          0{end:>width$}"));
    lines.push(
        "          b the budget, t the table (throttled), · neither: latency, or beginning and end"
            .into(),
    );
    format!("write units/s\n{}", lines.join("\n"))
}
