//! What a run has done lately, drawn beside its figures if the terminal is wide enough: rates from the history of the records, and
//! what the budget allowed meanwhile.

use backfill_core::records::{Event, RunRecord};
use backfill_core::view::latency::{Latency, Percentiles};
use backfill_core::view::progress::Snapshot;
use backfill_core::view::series::{Bin, Series};
use indicatif::HumanCount;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::lately::Lately;
use super::typeset::fit;
use super::view::View;
use crate::show::words;

/// Columns from which on there is room for charts.
pub const LEAST_WIDTH: u16 = 160;

/// Columns of the label of a chart, and of the words behind it.
const LABEL: usize = 11;
const BEHIND: usize = 15;

/// Columns of the charts in a terminal of this width; `None` if it is too narrow for any.
pub fn width(terminal: u16) -> Option<usize> {
    (terminal >= LEAST_WIDTH).then_some(usize::from(terminal) / 2 - 4)
}

/// Puts lines to the right of others, from this column on.
pub fn beside(lines: &mut [Line<'static>], right: Vec<Line<'static>>, column: usize) {
    for (line, right) in lines.iter_mut().zip(right) {
        let gap = column.saturating_sub(line.width());
        line.push_span(Span::raw(" ".repeat(gap)));
        for span in right.spans {
            line.push_span(span);
        }
    }
}

/// Values as bars of one row: the largest that can be, `most`, fills it; nothing but a zero is empty.
fn bars(values: impl Iterator<Item = f64>, most: f64) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |value: f64| match value / most {
        part if part > 0.0 => LEVELS[((part * 8.0).ceil() as usize).clamp(1, 8) - 1],
        _ => ' ',
    };
    values.map(bar).collect()
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// The largest of some rates in words; nothing while there is none.
fn peak(rate: f64) -> String {
    match rate {
        rate if rate >= 0.95 => format!("peak {}", HumanCount(rate.round() as u64)),
        rate if rate >= 0.05 => format!("peak {rate:.1}"),
        _ => String::new(),
    }
}

/// A budget at a time, by the changes that the run record tells of; `None` if there was no limit.
fn budget_at(run: &RunRecord, setting: &str, now: Option<u32>, at_ms: f64) -> Option<u32> {
    let changes = || run.events.iter().filter(|event| event.what == setting);
    let before = |event: &&Event| event.at_ms as f64 <= at_ms;
    let limit = |text: &str| text.parse::<u32>().ok();
    match (changes().rfind(before), changes().next()) {
        (Some(event), _) => limit(&event.new),
        (None, Some(first)) => limit(&first.old),
        (None, None) => now,
    }
}

impl View {
    // Long because it is the charts, one after the other.
    /// The charts, a row each.
    pub(super) fn charts(&self, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
        let run = &snapshot.run;
        let latency = self.latency_line(snapshot, width);
        let Some(lately) = &self.lately else {
            return latency.into_iter().collect();
        };
        let columns = width.saturating_sub(LABEL + BEHIND);
        let series = Series::between(&lately.buckets, lately.from_ms, lately.to_ms, columns);
        let span = lately.to_ms.saturating_sub(lately.from_ms) as f64 / 1000.0;
        let head = format!(
            "{} before {}",
            words::duration(span.round()),
            self.end_of(run, lately)
        );
        let mut lines = vec![self.rule(&head, "", width)];
        let mut chart = |label: &str, bars: String, behind: String, colour| {
            lines.push(Line::from(vec![
                Span::styled(
                    format!("{label:<LABEL$}"),
                    Style::new().add_modifier(Modifier::BOLD),
                ),
                Span::styled(bars, self.fg(colour)),
                Span::raw(fit(&format!(" {behind}"), BEHIND)),
            ]));
        };
        let of = |rate: fn(&Bin) -> f64| series.bins.iter().map(rate).collect::<Vec<f64>>();
        let swept = of(|bin| bin.rates.scanned);
        let most = largest(swept.iter().copied());
        let text = peak(most);
        chart("items/s", bars(swept.into_iter(), most), text, Color::Green);
        for (label, rates, setting, now) in [
            (
                "writes/s",
                of(|bin| bin.rates.write_units),
                "max_wcu",
                run.settings.max_wcu,
            ),
            (
                "reads/s",
                of(|bin| bin.rates.read_units),
                "max_rcu",
                run.settings.max_rcu,
            ),
        ] {
            let middle = |bin: &Bin| f64::midpoint(bin.from_ms, bin.to_ms);
            let budgets = series
                .bins
                .iter()
                .map(|bin| budget_at(run, setting, now, middle(bin)));
            let budgets: Vec<Option<u32>> = budgets.collect();
            let allowed = || budgets.iter().map(|budget| budget.map_or(0.0, f64::from));
            let used = largest(rates.iter().copied());
            // Both to one scale, so that what is left of the budget can be seen.
            let most = largest(rates.iter().copied().chain(allowed()));
            let text = peak(used);
            chart(label, bars(rates.into_iter(), most), text, Color::Cyan);
            if budgets.iter().any(Option::is_some) {
                let text = now.map_or("no limit now".into(), |now| {
                    format!("{} now", HumanCount(now.into()))
                });
                chart("  allowed", bars(allowed(), most), text, Color::Blue);
            }
        }
        let throttles = of(|bin| bin.rates.throttles);
        let most = largest(throttles.iter().copied());
        if most > 0.0 {
            let text = format!("peak {most:.1}/s");
            chart(
                "throttled",
                bars(throttles.into_iter(), most),
                text,
                Color::Yellow,
            );
        }
        lines.extend(latency);
        lines
    }

    /// How long requests took lately; in the pass, if none was answered lately. `None` if none ever was.
    fn latency_line(&self, snapshot: &Snapshot, width: usize) -> Option<Line<'static>> {
        let (when, latency) = match self.meter.latency() {
            Some((over, lately)) => (
                format!("last {}", words::duration(over.as_secs_f64())),
                Latency::from(&lately),
            ),
            None => (
                "this pass".into(),
                Latency::from(&snapshot.current()?.latency),
            ),
        };
        let of = |kind: &str, percentiles: Option<Percentiles>| {
            let of = percentiles?;
            let [p50, p90, p99] = [of.p50_ms, of.p90_ms, of.p99_ms].map(words::bare_millis);
            Some(format!("{kind} {p50}/{p90}/{p99} ms"))
        };
        let kinds = [of("writes", latency.writes), of("reads", latency.reads)];
        let kinds: Vec<String> = kinds.into_iter().flatten().collect();
        if kinds.is_empty() {
            return None;
        }
        let text = format!("{when}: {} (p50/90/99)", kinds.join(", "));
        Some(Line::from(vec![
            Span::styled(
                format!("{:<LABEL$}", "latency"),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::raw(fit(&text, width.saturating_sub(LABEL))),
        ]))
    }

    fn end_of(&self, run: &RunRecord, lately: &Lately) -> String {
        match run.ended_ms {
            Some(_) => "the end".into(),
            None => format!("{} UTC", super::typeset::clock(lately.to_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples::{BEGIN_MS, run};

    #[test]
    fn a_budget_is_what_it_was_at_its_time() {
        let mut run = run();
        let change = |seconds: u64, old: &str, new: &str| Event {
            at_ms: BEGIN_MS + seconds * 1000,
            by: "ana".into(),
            what: "max_wcu".into(),
            old: old.into(),
            new: new.into(),
        };
        let at = |run: &RunRecord, seconds: u64| {
            budget_at(
                run,
                "max_wcu",
                run.settings.max_wcu,
                (BEGIN_MS + seconds * 1000) as f64,
            )
        };
        assert_eq!(at(&run, 5), Some(500));
        run.events = vec![change(10, "none", "2000"), change(20, "2000", "500")];
        let budgets: Vec<_> = [5, 10, 19, 20].map(|seconds| at(&run, seconds)).into();
        assert_eq!(budgets, [None, Some(2000), Some(2000), Some(500)]);
        assert_eq!(budget_at(&run, "max_rcu", None, 0.0), None);
    }

    #[test]
    fn a_peak_is_told_once_there_is_one() {
        let peaks = [0.0, 0.04, 0.2, 0.96, 1_234.4].map(peak);
        assert_eq!(peaks, ["", "", "peak 0.2", "peak 1", "peak 1,234"]);
    }

    #[test]
    fn bars_are_as_high_as_their_values() {
        let values = [0.0, 0.1, 4.0, 8.0, f64::NAN, f64::INFINITY];
        assert_eq!(bars(values.into_iter(), 8.0), " ▁▄█ █");
        assert_eq!(bars([0.0, 0.0].into_iter(), 0.0), "  ");
    }
}
