//! What the view draws.

use std::collections::BTreeMap;
use std::time::Duration;

use backfill_core::records::{Counters, Event, RunStatus};
use backfill_core::view::progress::{PassProgress, Snapshot, totals};
use indicatif::HumanCount;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::charts::{self, beside};
use super::segments::State;
use super::typeset::{bar_text, clock, fact, fit, wrap};
use super::view::{Now, Role, View};
use crate::show::meter::{self, Eta, Measured};
use crate::show::progress::read_again;
use crate::show::words;
use crate::typed;

/// Below this nothing can be read.
const LEAST_WIDTH: u16 = 60;
const LEAST_HEIGHT: u16 = 20;

/// Rows that are there whatever the height, without those of segments, the slowest and events.
const FIXED_ROWS: u16 = 17;

/// The row of the first chart, from the top: that of the pass.
const CHARTS_FROM: usize = 2;

/// Records that were read longer ago are called old, and a message is shown this long before anything else.
const FRESH: Duration = Duration::from_secs(10);

impl View {
    /// Draws it. `warning` is the latest line of the log.
    pub fn draw(&self, frame: &mut Frame, now: Now, warning: Option<&str>) {
        let area = frame.area();
        if area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT {
            let text = format!(
                "{} x {} is too small to watch a run in: {LEAST_WIDTH} x {LEAST_HEIGHT} at least; q quits",
                area.width, area.height
            );
            let lines: Vec<Line> = wrap(&text, area.width.into())
                .into_iter()
                .map(Line::from)
                .collect();
            frame.render_widget(Paragraph::new(lines), area);
            return;
        }
        let width = area.width as usize;
        let mut lines = match &self.snapshot {
            Some(snapshot) => self.run_lines(snapshot, now, area),
            None => vec![
                self.title(None, width),
                Line::default(),
                Line::from(" waiting for the first records of the run"),
            ],
        };
        lines.resize_with(area.height as usize - 2, Line::default);
        lines.push(self.message_line(now, warning, width));
        lines.push(self.keys_line());
        frame.render_widget(Paragraph::new(lines), area);
        if let Some(dialog) = &self.dialog {
            self.draw_dialog(frame, dialog);
        }
    }

    /// The run from top to bottom: figures, segments, events.
    fn run_lines(&self, snapshot: &Snapshot, now: Now, area: Rect) -> Vec<Line<'static>> {
        let width = area.width as usize;
        let events = &snapshot.run.events;
        let overview = &self.overview;
        let mut lines = self.fact_lines(snapshot, now, width);
        if let Some(wide) = charts::width(area.width) {
            let charts = self.charts(snapshot, wide);
            // Title and table keep the whole width, and so do the lines below the charts.
            let with_charts = CHARTS_FROM..CHARTS_FROM + charts.len();
            let mut narrow = self.fact_lines(snapshot, now, width - wide);
            beside(&mut narrow[CHARTS_FROM..], charts, width - wide);
            let narrow = narrow.into_iter().enumerate();
            for (row, line) in narrow.filter(|(row, _)| with_charts.contains(row)) {
                lines[row] = line;
            }
        }
        let room = area.height - FIXED_ROWS;
        let wanted = overview.states.len().div_ceil(width).max(1);
        let strip_rows = wanted.min(usize::from((room / 3).max(1)));
        let rest = usize::from(room) - strip_rows;
        let event_rows = (rest / 2).min(events.len()).max(1);
        let slowest_rows = rest - event_rows;
        lines.extend(self.strip(overview, strip_rows, width));
        lines.extend(self.slowest(overview, slowest_rows, width));
        lines.push(self.rule("events (UTC)", "", width));
        let first = events.len().saturating_sub(event_rows);
        for event in events[first..].iter().map(Event::brief) {
            let text = format!(
                "{}  {} {} -> {}, by {}",
                clock(event.at_ms),
                typed::of_event(&event.what),
                event.old,
                event.new,
                event.by
            );
            lines.push(Line::from(fit(&format!(" {text}"), width)));
        }
        lines
    }

    /// The figures of the run, a line each.
    fn fact_lines(&self, snapshot: &Snapshot, now: Now, width: usize) -> Vec<Line<'static>> {
        let run = &snapshot.run;
        let settings = &run.settings;
        let rates = self.meter.measured();
        let nothing = PassProgress::of(run.pass, Vec::new());
        let pass = snapshot.current().unwrap_or(&nothing);

        let elapsed = run
            .ended_ms
            .unwrap_or(now.ms)
            .saturating_sub(run.started_ms) as f64
            / 1000.0;
        let total = totals(&snapshot.passes);
        vec![
            self.title(Some((run.status, elapsed)), width),
            fact(
                "table",
                vec![format!("{} {}: {}", run.spec.table, self.place, run.spec.describe()).into()],
                width,
            ),
            self.bar_line(snapshot, rates.as_ref(), width),
            swept_line(snapshot, pass, width),
            self.became_line(&total, width),
            rate_line(snapshot, rates.as_ref(), width),
            self.budget_line(
                "writes",
                rates.map(|rates| rates.wcu),
                total.consumed_wcu,
                settings.max_wcu,
                snapshot,
                width,
            ),
            self.budget_line(
                "reads",
                rates.map(|rates| rates.rcu),
                total.consumed_rcu + run.verification_rcu,
                settings.max_rcu,
                snapshot,
                width,
            ),
            self.why_line(snapshot, width),
            self.throttle_line(pass, rates.as_ref(), width),
        ]
    }

    /// What became of the items that matched.
    fn became_line(&self, total: &Counters, width: usize) -> Line<'static> {
        let mut became = vec![
            format!(
                "{} updated, {} raced, {} vanished",
                HumanCount(total.updated),
                HumanCount(total.raced),
                HumanCount(total.vanished),
            )
            .into(),
        ];
        if total.rejected > 0 {
            let rejected = format!(", {} rejected", HumanCount(total.rejected));
            became.push(Span::styled(rejected, self.fg(Color::Red)));
        }
        if total.contended > 0 {
            became.push(format!(", {} contended", HumanCount(total.contended)).into());
        }
        fact("", became, width)
    }

    fn title(&self, state: Option<(RunStatus, f64)>, width: usize) -> Line<'static> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let (status, elapsed) = match state {
            Some((status, elapsed)) => (
                Span::styled(status.name(), bold.patch(self.fg(status_colour(status)))),
                format!("{} ", words::duration(elapsed.floor())),
            ),
            None => (Span::raw(""), String::new()),
        };
        let left = format!(" run {}  ", self.run_id);
        let left = fit(
            &left,
            width.saturating_sub(status.width() + elapsed.len() + 1),
        );
        let gap =
            width.saturating_sub(Span::raw(left.as_str()).width() + status.width() + elapsed.len());
        Line::from(vec![
            Span::styled(left, bold),
            status,
            Span::raw(" ".repeat(gap)),
            Span::raw(elapsed),
        ])
    }

    /// How far the pass has come, and how long it still takes.
    fn bar_line(
        &self,
        snapshot: &Snapshot,
        rates: Option<&Measured>,
        width: usize,
    ) -> Line<'static> {
        let run = &snapshot.run;
        let is_over = snapshot.is_swept();
        let glance = snapshot.glance();
        let counted = glance.done.filter(|_| glance.verifies);
        let part = match snapshot.items() {
            // How far the count has come, once that is known.
            _ if is_over => Some(counted.unwrap_or(1.0)),
            (swept, Some(expected)) => Some(swept as f64 / expected as f64),
            (_, None) => None,
        };
        let then = match run.settings.only_segments.is_empty() {
            true => "then the count",
            false => "then it pauses",
        };
        let percent = match part {
            // While a segment is open it is not all.
            Some(part) if !is_over || counted.is_some() => {
                format!("{:.0} %", (part * 100.0).floor().min(99.0))
            }
            Some(_) => "100 %".into(),
            None => "? %".into(),
        };
        let eta = match (run.status, &run.proof) {
            (RunStatus::Running, _) => match meter::eta(snapshot, rates) {
                Eta::Sweep(left) => format!("{} left, {then}", words::about(left)),
                Eta::Verifying(Some(left)) => format!("verifying, {} left", words::about(left)),
                Eta::Verifying(None) => "swept, verifying".into(),
                Eta::None(why) => format!("time left: {why}"),
            },
            (status, Some(proof)) if status.is_finished() => {
                format!("{} remain, counted", HumanCount(proof.remaining))
            }
            (status, _) => status.name().into(),
        };
        let after = format!("  {percent:>5}  {eta}");
        let label = format!("pass {}/{}", run.pass, run.last_pass);
        // A fixed part of the width, so that the bar does not jump with the words behind it.
        let bar = width / 4;
        fact(
            &label,
            vec![
                Span::styled(bar_text(part.unwrap_or(0.0), bar), self.fg(Color::Green)),
                after.into(),
            ],
            width,
        )
    }

    /// What a run uses a second of what it may; what it has used in all if it does not sweep.
    fn budget_line(
        &self,
        label: &str,
        rate: Option<f64>,
        total: f64,
        budget: Option<u32>,
        snapshot: &Snapshot,
        width: usize,
    ) -> Line<'static> {
        let sweeps = snapshot.run.status == RunStatus::Running && !snapshot.is_swept();
        let count = |units: f64| HumanCount(units.round() as u64);
        let limit = match budget {
            Some(budget) => format!("at most {} units/s", HumanCount(budget.into())),
            None => "no limit".into(),
        };
        let spans = match (sweeps, rate, budget) {
            (false, _, _) => vec![format!("{} units in all; {limit}", count(total)).into()],
            (true, None, _) => vec![limit.into()],
            (true, Some(rate), None) => vec![format!("{} units/s, {limit}", count(rate)).into()],
            (true, Some(rate), Some(budget)) => {
                let part = rate / f64::from(budget.max(1));
                let text = format!("{} of {} units/s", count(rate), HumanCount(budget.into()));
                vec![
                    format!("{text:<26} ").into(),
                    Span::styled(bar_text(part, 20), self.fg(Color::Cyan)),
                    format!(" {:.0} %", part * 100.0).into(),
                ]
            }
        };
        fact(label, spans, width)
    }

    /// What bounds the rate, or why there is none.
    fn why_line(&self, snapshot: &Snapshot, width: usize) -> Line<'static> {
        let run = &snapshot.run;
        if run.status != RunStatus::Running {
            return fact("because", vec![run.message.clone().into()], width);
        }
        if let Some(hold) = &run.hold {
            return fact("held", vec![hold.why.clone().into()], width);
        }
        let mut bounds = BTreeMap::new();
        for row in &self.overview.rows {
            *bounds.entry(row.bound_by).or_default() += 1;
        }
        let text = match bounds.is_empty() {
            true if snapshot.is_verifying() => "counting what is still pending".into(),
            true => "no segment is at work".into(),
            false => words::bounds(&bounds),
        };
        fact("bound by", vec![text.into()], width)
    }

    fn throttle_line(
        &self,
        pass: &PassProgress,
        rates: Option<&Measured>,
        width: usize,
    ) -> Line<'static> {
        let recent = rates.map_or(0, |rates| rates.throttles);
        let over = rates.map_or(0.0, |rates| rates.over.as_secs_f64());
        let mut spans = vec![Span::raw(format!(
            "{} times",
            HumanCount(pass.counters.throttles)
        ))];
        if recent > 0 {
            spans.push(Span::styled(
                format!(", {} in the last {over:.0} s", HumanCount(recent)),
                self.fg(Color::Yellow),
            ));
        }
        if let Some(said) = pass
            .throttled_by
            .as_ref()
            .filter(|_| pass.counters.throttles > 0)
        {
            spans.push(format!(": {said}").into());
        }
        fact("throttled", spans, width)
    }

    fn message_line(&self, now: Now, warning: Option<&str>, width: usize) -> Line<'static> {
        let age = now.since.saturating_sub(self.read);
        let trouble = match &self.trouble {
            Some(why) => Some(format!(
                "records last read {} ago: {why}",
                words::duration(age.as_secs() as f64)
            )),
            None if age > FRESH && self.snapshot.is_some() => Some(format!(
                "records last read {} ago, reading",
                words::duration(age.as_secs() as f64)
            )),
            None => None,
        };
        let said = self
            .message
            .as_ref()
            .map(|message| (message.text.clone(), message.is_error));
        let just_said = self
            .message
            .as_ref()
            .is_some_and(|message| now.since.saturating_sub(message.at) <= FRESH);
        let (text, is_bad) = match (trouble, said, warning) {
            (_, Some(said), _) if just_said => said,
            (Some(trouble), _, _) => (trouble, true),
            (None, _, Some(warning)) => (warning.to_owned(), true),
            (None, Some(said), None) => said,
            (None, None, None) => return Line::default(),
        };
        let style = match is_bad {
            true => self.fg(Color::Red),
            false => Style::new(),
        };
        Line::styled(
            fit(&format!(" {text}"), width),
            style.add_modifier(Modifier::BOLD),
        )
    }

    fn keys_line(&self) -> Line<'static> {
        let mut spans = Vec::new();
        let quit = match self.role {
            Role::Runner => "stop",
            Role::Watcher | Role::Follower => "quit",
        };
        for (key, what) in [
            ("p", "pause"),
            ("r", "resume"),
            ("w", "write rate"),
            ("e", "read rate"),
            ("c", "cancel"),
            ("q", quit),
            ("?", "help"),
        ] {
            spans.push(Span::raw(" "));
            spans.push(Span::styled(
                key,
                Style::new().add_modifier(Modifier::REVERSED),
            ));
            spans.push(Span::raw(format!(" {what} ")));
        }
        Line::from(spans)
    }

    /// "── text ────────── right ──".
    pub(super) fn rule(&self, left: &str, right: &str, width: usize) -> Line<'static> {
        let left = format!("── {left} ");
        let right = match right {
            "" => String::new(),
            right => format!(" {right} ──"),
        };
        let left = fit(
            &left,
            width.saturating_sub(Span::raw(right.as_str()).width()),
        );
        let gap = width
            .saturating_sub(Span::raw(left.as_str()).width() + Span::raw(right.as_str()).width());
        Line::styled(
            format!("{left}{}{right}", "─".repeat(gap)),
            self.fg(Color::Blue),
        )
    }

    /// Nothing but glyphs without colours (<https://no-color.org>).
    pub(super) fn fg(&self, colour: Color) -> Style {
        match self.has_colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    pub(super) fn state_style(&self, state: State) -> Style {
        match state {
            State::Done => self.fg(Color::Green),
            State::AtWork => self.fg(Color::Cyan),
            State::Waiting => self.fg(Color::Blue),
            State::Open => self.fg(Color::DarkGray),
            State::Slow => self.fg(Color::Yellow).add_modifier(Modifier::BOLD),
            State::Rejected => self.fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

/// How many items and segments are swept.
fn swept_line(snapshot: &Snapshot, pass: &PassProgress, width: usize) -> Line<'static> {
    if let Some(note) = &snapshot.counting {
        let text = format!(
            "{} counted of {} swept, {} of them pending{}",
            HumanCount(note.scanned),
            HumanCount(pass.counters.scanned),
            HumanCount(note.remaining),
            read_again(note)
        );
        return fact("items", vec![text.into()], width);
    }
    let (swept, expected) = snapshot.items();
    let about = expected.map_or_else(String::new, |expected| {
        format!(" of about {}", HumanCount(expected))
    });
    let text = format!(
        "{}{about} swept, {} of {} segments done",
        HumanCount(swept),
        HumanCount(pass.segments_exhausted.into()),
        HumanCount(snapshot.run.settings.total_segments.into()),
    );
    fact("items", vec![text.into()], width)
}

/// How fast the run sweeps and updates.
fn rate_line(snapshot: &Snapshot, rates: Option<&Measured>, width: usize) -> Line<'static> {
    let text = match (rates, snapshot.run.status) {
        (_, status) if status != RunStatus::Running => "none".into(),
        _ if snapshot.is_verifying() => match snapshot.glance().items_per_second {
            Some(rate) => format!("{} items/s counted", HumanCount(rate.round() as u64)),
            None => "not known yet".into(),
        },
        (Some(rates), _) => format!(
            "{} items/s swept, {} items/s updated",
            HumanCount(rates.scanned.round() as u64),
            HumanCount(rates.updated.round() as u64)
        ),
        (None, _) => "not known yet".into(),
    };
    fact("rate", vec![text.into()], width)
}

fn status_colour(status: RunStatus) -> Color {
    match status {
        RunStatus::Running => Color::Cyan,
        RunStatus::Succeeded => Color::Green,
        RunStatus::Paused | RunStatus::Incomplete => Color::Yellow,
        RunStatus::Cancelled | RunStatus::Failed => Color::Red,
    }
}
