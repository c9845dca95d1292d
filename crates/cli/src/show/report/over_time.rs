//! The run over time: what the workers noted, as charts with its budgets.

use backfill_core::view::series::Series;
use indicatif::HumanCount;

use super::Report;
use super::chart::{BudgetStep, Chart, Line};
use crate::show::words::{duration, time};

/// What the charts are drawn by.
pub const HISTORY_NOTE: &str = "By what the workers noted every ten seconds or less often: good for a chart, in which single steps may be \
     too high or too low, and which may lack what came just before a crash. The counters of the passes are the truth. \
     Verifications are not in it.";

impl Report {
    /// How the budget called `what` changed, the earliest first. The first step is from the beginning on or, if there may have
    /// been changes that the record does not hold any more, from the earliest that it holds.
    pub fn budget(&self, what: &str, now: Option<u32>) -> Vec<BudgetStep> {
        let limit = |text: &str| text.parse().ok();
        let known_from = match self.run.events.first() {
            Some(event) if self.run.is_full_of_events() => event.at_ms,
            _ => 0,
        };
        let mut steps: Vec<BudgetStep> = Vec::new();
        for event in self.run.events.iter().filter(|event| event.what == what) {
            if steps.is_empty() {
                steps.push((known_from, limit(&event.old)));
            }
            steps.push((event.at_ms, limit(&event.new)));
        }
        if steps.is_empty() {
            steps.push((known_from, now));
        }
        steps
    }

    /// The charts of the run, by their names.
    pub fn charts(&self) -> [(&'static str, Chart); 3] {
        let settings = &self.run.settings;
        let line = |name, value, budget| Line {
            name,
            value,
            budget,
        };
        [
            (
                "Throughput",
                Chart {
                    unit: "items per second",
                    lines: vec![
                        line("scanned", |rates| rates.scanned, vec![]),
                        line("updated", |rates| rates.updated, vec![]),
                    ],
                },
            ),
            (
                "Consumed capacity",
                Chart {
                    unit: "units per second",
                    lines: vec![
                        line(
                            "write units",
                            |rates| rates.write_units,
                            self.budget("max_wcu", settings.max_wcu),
                        ),
                        line(
                            "read units",
                            |rates| rates.read_units,
                            self.budget("max_rcu", settings.max_rcu),
                        ),
                    ],
                },
            ),
            (
                "Throttles",
                Chart {
                    unit: "throttles per second",
                    lines: vec![line("throttled requests", |rates| rates.throttles, vec![])],
                },
            ),
        ]
    }

    /// Why there is no chart.
    pub fn no_charts(&self) -> String {
        match self.history.is_empty() {
            true if self.run.settings.dry_run => "A dry run has no workers, so there is nothing to draw.".into(),
            true => "Nothing was noted: no worker has checkpointed anything yet, or its notes were lost.".into(),
            false => "What was noted of the run fills fewer than two bins of ten seconds, which is too short for a chart.".into(),
        }
    }

    /// Where time without work is cut out; nothing if there is none.
    pub fn gaps_note(&self, series: &Series) -> String {
        let gaps: Vec<String> = series
            .bins
            .windows(2)
            .map(|pair| (pair[0].to_ms, pair[1].from_ms))
            .filter(|(from, to)| to - from > 1.0)
            .map(|(from, to)| {
                format!(
                    "{} from {}",
                    duration((to - from) / 1000.0),
                    time(from as u64)
                )
            })
            .collect();
        match gaps.is_empty() {
            true => String::new(),
            false => format!(
                "Times without work are cut out, at the dotted lines: {}.",
                gaps.join("; ")
            ),
        }
    }
}

impl Line {
    /// The present budget, and how it got there, after … if its beginning is not known; `None` if there never was one.
    pub fn budget_in_words(&self) -> Option<String> {
        let mut steps: Vec<String> = self
            .budget
            .iter()
            .map(|(_, units)| {
                units.map_or_else(
                    || "none".into(),
                    |units| HumanCount(units.into()).to_string(),
                )
            })
            .collect();
        steps.dedup();
        let earlier = match self.budget.first() {
            Some((from, _)) if *from > 0 => "… → ",
            _ => "",
        };
        (steps != ["none"] && !steps.is_empty()).then(|| format!("{earlier}{}", steps.join(" → ")))
    }
}
