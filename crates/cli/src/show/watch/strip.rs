//! What the view draws of the segments: all of them as a strip, and the slowest as a table.

use backfill_core::view::latency::{Latency, Percentiles};
use indicatif::HumanCount;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::charts;
use super::segments::{Mark, Overview, State, fold};
use super::typeset::fit;
use super::view::View;
use crate::show::words;

/// A segment, in so many cells: one that has begun fills as it goes on, so that its end looks like those that are done. One that
/// somebody should look at does not.
fn cell(state: State, part: Option<f64>, wide: usize) -> String {
    let part = part.filter(|_| matches!(state, State::AtWork | State::Waiting));
    let full = (part.unwrap_or(0.0) * wide as f64) as usize;
    let rest = std::iter::repeat_n(state.glyph(), wide.saturating_sub(full));
    std::iter::repeat_n(State::Done.glyph(), full.min(wide))
        .chain(rest)
        .collect()
}

/// Three columns of a table.
fn percentiles(percentiles: Option<Percentiles>) -> String {
    let Some(of) = percentiles else {
        return " ".repeat(33);
    };
    let [p50, p90, p99] = [of.p50_ms, of.p90_ms, of.p99_ms].map(words::bare_millis);
    format!("{p50:>17} {p90:>7} {p99:>7}")
}

impl View {
    /// The segments of the pass: a cell for each, or for several.
    pub(super) fn strip(
        &self,
        overview: &Overview,
        rows: usize,
        width: usize,
    ) -> Vec<Line<'static>> {
        let (cells, per_cell) = fold(&overview.states, rows * width);
        // Few segments are drawn wider.
        let wide = (width / cells.len().max(1)).clamp(1, 8);
        let scale = match (per_cell, wide) {
            (1, 1) => "a cell each".into(),
            (1, wide) => format!("{wide} cells each"),
            (several, _) => format!("{} in a cell", HumanCount(several as u64)),
        };
        let mut counts = vec![format!(
            "{} segments",
            HumanCount(overview.states.len() as u64)
        )];
        for (n, what) in [
            (overview.done, "done"),
            (overview.at_work, "at work"),
            (overview.waiting, "waiting"),
            (overview.open, "open"),
        ] {
            if n > 0 {
                counts.push(format!("{} {what}", HumanCount(n as u64)));
            }
        }
        let mut lines = vec![self.rule(&counts.join(", "), &scale, width)];
        let per_row = width / wide;
        let part_of = |cell: usize| match per_cell {
            1 => overview.parts.get(cell).copied(),
            _ => None,
        };
        let texts = cells.iter().enumerate().map(|(number, mark)| match mark {
            Mark::State(state) => (
                cell(*state, part_of(number), wide),
                self.state_style(*state),
            ),
            Mark::Tenths(tenths) => (tenths.to_string(), self.fg(Color::Cyan)),
        });
        let texts: Vec<(String, Style)> = texts.collect();
        for row in texts.chunks(per_row.max(1)) {
            // Cells of one style are one span.
            let same = row.chunk_by(|(_, a), (_, b)| a == b);
            let spans = same.map(|same| {
                let text: String = same.iter().map(|(text, _)| text.as_str()).collect();
                Span::styled(text, same[0].1)
            });
            lines.push(Line::from(spans.collect::<Vec<_>>()));
        }
        lines.resize_with(1 + rows, Line::default);
        lines.push(self.legend(overview, per_cell > 1));
        lines
    }

    /// What each glyph of the strip stands for. Cells of several segments show in numbers how far they are.
    fn legend(&self, overview: &Overview, of_several: bool) -> Line<'static> {
        let mut legend = vec![Span::raw(" ")];
        for state in State::ALL {
            if of_several && matches!(state, State::AtWork | State::Waiting) {
                if state == State::AtWork {
                    legend.push(Span::styled("0-9", self.fg(Color::Cyan)));
                    legend.push(Span::raw(" tenths done  "));
                }
                continue;
            }
            legend.push(Span::styled(
                state.glyph().to_string(),
                self.state_style(state),
            ));
            let n = match state {
                State::Slow => Some(overview.slow),
                State::Rejected => Some(overview.rejected),
                _ => None,
            };
            legend.push(Span::raw(match n {
                Some(n) => format!(" {} ({n})  ", state.name()),
                None => format!(" {}  ", state.name()),
            }));
        }
        Line::from(legend)
    }

    /// A table of the segments at work.
    pub(super) fn slowest(
        &self,
        overview: &Overview,
        rows: usize,
        width: usize,
    ) -> Vec<Line<'static>> {
        let mut lines = vec![self.rule("slowest segments at work", "", width)];
        let mut head =
            "   segment    items/s     swept  checkpoint      throttled  bound by ".to_owned();
        let is_wide = width >= usize::from(charts::LEAST_WIDTH);
        if is_wide {
            head.push_str("   writes ms: p50     p90     p99    reads ms: p50     p90     p99");
        }
        lines.push(Line::styled(
            head.trim_end().to_owned(),
            Style::new().add_modifier(Modifier::BOLD),
        ));
        for row in overview.rows.iter().take(rows) {
            let style = match row.is_slow {
                true => self.state_style(State::Slow),
                false => Style::new(),
            };
            let rate = row.rate.map_or_else(
                || "?".into(),
                |rate| HumanCount(rate.round() as u64).to_string(),
            );
            let mut text = format!(
                " {}{:>8} {:>10} {:>9}  {:<15} {:>9}  {}",
                if row.is_slow { '!' } else { ' ' },
                row.segment,
                rate,
                HumanCount(row.scanned).to_string(),
                format!("{} ago", words::duration(row.quiet.as_secs() as f64)),
                HumanCount(row.throttles).to_string(),
                words::bound(row.bound_by),
            );
            if is_wide {
                let Latency { writes, reads } = row.latency;
                text = format!("{text:<69}{} {}", percentiles(writes), percentiles(reads));
            }
            lines.push(Line::styled(fit(text.trim_end(), width), style));
        }
        if overview.rows.is_empty() {
            lines.push(Line::from("   none"));
        }
        lines.resize_with(2 + rows, Line::default);
        lines
    }
}
