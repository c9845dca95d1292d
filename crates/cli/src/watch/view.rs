//! What `watch` shows, and what a key means: pure, so that tests see every state of it. The screen around it is `screen.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use backfill_core::clock::now_ms;
use backfill_core::engine::runs::Rate;
use backfill_core::records::{Counters, RunStatus};
use backfill_core::view::progress::{PassProgress, Snapshot};
use indicatif::HumanCount;
use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Padding, Paragraph};

use super::segments::{Cell, Overview, Segments, State, fold};
use crate::display::{about_text, bounds_text, duration};
use crate::meter::{self, Eta, Meter, Rates};
use crate::rate;

/// Below this nothing can be read.
const LEAST_WIDTH: u16 = 60;
const LEAST_HEIGHT: u16 = 20;

/// Rows that are there whatever the height, without those of segments, the slowest and events.
const FIXED_ROWS: u16 = 17;

/// Records that were read longer ago are called old, and a message is shown this long before anything else.
const FRESH: Duration = Duration::from_secs(10);

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since the view was opened.
    pub since: Duration,
    /// Milliseconds since 1970, for what the records date.
    pub ms: u64,
}

impl Now {
    /// By the clocks of this machine.
    pub fn after(since: Duration) -> Now {
        Now {
            since,
            ms: now_ms(),
        }
    }
}

/// What the process that shows the view is to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It only looks on (`watch`).
    Watcher,
    /// It follows an execution to its end (`start`).
    Follower,
    /// The run goes on in it (`run`).
    Runner,
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Steer(RunStatus),
    Resume,
    SetRate(Rate),
    /// Close the view; of a runner: stop at the next checkpoint.
    Leave,
    /// Of a runner that is stopping already.
    StopAtOnce,
}

#[derive(Debug, Clone, PartialEq)]
enum Dialog {
    Help,
    Cancel,
    /// Of a runner.
    Stop,
    Rate {
        /// Of reads, or of writes.
        reads: bool,
        typed: String,
        error: Option<String>,
    },
}

/// A line about what was done or went wrong.
#[derive(Debug)]
struct Message {
    at: Duration,
    text: String,
    is_error: bool,
}

/// A run, as it is shown.
pub struct View {
    role: Role,
    run_id: String,
    /// Where its table is.
    place: String,
    has_colour: bool,
    snapshot: Option<Snapshot>,
    meter: Meter,
    segments: Segments,
    /// Of the segments when the records were read last: what was not read since has not stood still.
    overview: Overview,
    /// When the records were read last.
    read: Duration,
    trouble: Option<String>,
    message: Option<Message>,
    dialog: Option<Dialog>,
    stopping: bool,
}

impl View {
    /// Of a run of which nothing is known yet.
    pub fn new(role: Role, run_id: &str, place: &str, has_colour: bool) -> View {
        View {
            role,
            run_id: run_id.into(),
            place: place.into(),
            has_colour,
            snapshot: None,
            meter: Meter::default(),
            segments: Segments::default(),
            overview: Overview::default(),
            read: Duration::ZERO,
            trouble: None,
            message: None,
            dialog: None,
            stopping: false,
        }
    }

    /// Takes in what was read.
    pub fn note(&mut self, now: Now, snapshot: Snapshot) {
        let anew = self.meter.note(now.since, &snapshot);
        self.segments.note(now.since, &snapshot, anew);
        self.overview = self.segments.overview(now.since, &snapshot);
        self.snapshot = Some(snapshot);
        self.read = now.since;
        self.trouble = None;
    }

    /// The records could not be read. What was read before stays.
    pub fn failed(&mut self, trouble: String) {
        self.trouble = Some(trouble);
    }

    /// Says what was done, or what went wrong with it.
    pub fn say(&mut self, now: Now, text: String, is_error: bool) {
        self.message = Some(Message {
            at: now.since,
            text,
            is_error,
        });
    }

    /// The run as it was read last.
    pub fn into_snapshot(self) -> Option<Snapshot> {
        self.snapshot
    }

    /// What a key asks for. Cancelling, and stopping the run of this process, are asked for again first.
    pub fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind != KeyEventKind::Press {
            return None;
        }
        let is_ctrl_c =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if is_ctrl_c {
            if self.stopping {
                return Some(Action::StopAtOnce);
            }
            // Pressed again, it is meant.
            return match self.dialog == Some(Dialog::Stop) {
                true => self.leave(),
                false => self.ask_to_leave(),
            };
        }
        match &mut self.dialog {
            None => self.plain_key(key.code),
            Some(Dialog::Help) => {
                self.dialog = None;
                None
            }
            Some(Dialog::Cancel) => {
                self.dialog = None;
                (key.code == KeyCode::Char('y')).then_some(Action::Steer(RunStatus::Cancelled))
            }
            Some(Dialog::Stop) => {
                self.dialog = None;
                (key.code == KeyCode::Char('y')).then(|| self.leave())?
            }
            Some(Dialog::Rate {
                reads,
                typed,
                error,
            }) => {
                *error = None;
                match key.code {
                    KeyCode::Esc => self.dialog = None,
                    KeyCode::Backspace => {
                        typed.pop();
                    }
                    KeyCode::Char(c) if c.is_ascii_alphanumeric() && typed.len() < 10 => {
                        typed.push(c);
                    }
                    KeyCode::Enter => match rate::parse("rate", typed) {
                        Ok(units) => {
                            let rate = match reads {
                                true => Rate {
                                    max_wcu: None,
                                    max_rcu: Some(units),
                                },
                                false => Rate {
                                    max_wcu: Some(units),
                                    max_rcu: None,
                                },
                            };
                            self.dialog = None;
                            return Some(Action::SetRate(rate));
                        }
                        Err(refused) => *error = Some(refused.to_string()),
                    },
                    _ => {}
                }
                None
            }
        }
    }

    fn plain_key(&mut self, code: KeyCode) -> Option<Action> {
        match code {
            KeyCode::Char('p') => return Some(Action::Steer(RunStatus::Paused)),
            KeyCode::Char('r') => return Some(Action::Resume),
            KeyCode::Char('w' | 'e') => {
                self.dialog = Some(Dialog::Rate {
                    reads: code == KeyCode::Char('e'),
                    typed: String::new(),
                    error: None,
                });
            }
            KeyCode::Char('c') => self.dialog = Some(Dialog::Cancel),
            KeyCode::Char('?' | 'h') => self.dialog = Some(Dialog::Help),
            KeyCode::Char('q') => return self.ask_to_leave(),
            _ => {}
        }
        None
    }

    fn ask_to_leave(&mut self) -> Option<Action> {
        if self.role != Role::Runner {
            return Some(Action::Leave);
        }
        if !self.stopping {
            self.dialog = Some(Dialog::Stop);
        }
        None
    }

    fn leave(&mut self) -> Option<Action> {
        self.stopping = true;
        self.dialog = None;
        Some(Action::Leave)
    }

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

    fn run_lines(&self, snapshot: &Snapshot, now: Now, area: Rect) -> Vec<Line<'static>> {
        let width = area.width as usize;
        let run = &snapshot.run;
        let settings = &run.settings;
        let rates = self.meter.rates();
        let overview = &self.overview;
        let nothing = PassProgress::of(run.pass, Vec::new());
        let pass = snapshot.current().unwrap_or(&nothing);

        let elapsed = run
            .ended_ms
            .unwrap_or(now.ms)
            .saturating_sub(run.started_ms) as f64
            / 1000.0;
        let mut lines = vec![
            self.title(Some((run.status, elapsed)), width),
            fact(
                "table",
                vec![format!("{} {}: {}", run.spec.table, self.place, run.spec.describe()).into()],
                width,
            ),
            self.bar_line(snapshot, rates.as_ref(), width),
        ];
        let (swept, expected) = meter::items(snapshot);
        let about = expected.map_or_else(String::new, |expected| {
            format!(" of about {}", HumanCount(expected))
        });
        let total: Counters = snapshot.passes.iter().map(|pass| pass.counters).sum();
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
        lines.extend([
            fact(
                "items",
                vec![
                    format!(
                        "{}{about} swept, {} of {} segments done",
                        HumanCount(swept),
                        HumanCount(pass.segments_exhausted.into()),
                        HumanCount(settings.total_segments.into()),
                    )
                    .into(),
                ],
                width,
            ),
            fact("", became, width),
            fact(
                "rate",
                vec![match (&rates, run.status) {
                    (_, status) if status != RunStatus::Running => "none".into(),
                    _ if meter::is_verifying(snapshot) => {
                        "the count has none until it is complete".into()
                    }
                    (Some(rates), _) => format!(
                        "{} items/s swept, {} items/s updated",
                        HumanCount(rates.scanned.round() as u64),
                        HumanCount(rates.updated.round() as u64)
                    )
                    .into(),
                    (None, _) => "not known yet".into(),
                }],
                width,
            ),
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
            self.why_line(snapshot, overview, width),
            self.throttle_line(pass, rates.as_ref(), width),
        ]);

        let room = area.height - FIXED_ROWS;
        let wanted = overview.states.len().div_ceil(width).max(1);
        let strip_rows = wanted.min(usize::from((room / 3).max(1)));
        let rest = usize::from(room) - strip_rows;
        let event_rows = (rest / 2).min(run.events.len()).max(1);
        let slowest_rows = rest - event_rows;
        lines.extend(self.strip(overview, strip_rows, width));
        lines.extend(self.slowest(overview, slowest_rows, width));
        lines.push(self.rule("events (UTC)", "", width));
        let first = run.events.len().saturating_sub(event_rows);
        for event in &run.events[first..] {
            let text = format!(
                "{}  {} {} -> {}, by {}",
                clock(event.at_ms),
                event.what,
                event.old,
                event.new,
                event.by
            );
            lines.push(Line::from(fit(&format!(" {text}"), width)));
        }
        lines
    }

    fn title(&self, state: Option<(RunStatus, f64)>, width: usize) -> Line<'static> {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let (status, elapsed) = match state {
            Some((status, elapsed)) => (
                Span::styled(status.name(), bold.patch(self.fg(status_colour(status)))),
                format!("{} ", duration(elapsed)),
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
    fn bar_line(&self, snapshot: &Snapshot, rates: Option<&Rates>, width: usize) -> Line<'static> {
        let run = &snapshot.run;
        let is_over = meter::is_swept(snapshot);
        let part = match meter::items(snapshot) {
            _ if is_over => Some(1.0),
            (swept, Some(expected)) => Some(swept as f64 / expected as f64),
            (_, None) => None,
        };
        let then = match run.settings.only_segments.is_empty() {
            true => "then the count",
            false => "then it pauses",
        };
        let percent = match part {
            // While a segment is open it is not all.
            Some(part) if !is_over => format!("{:.0} %", (part * 100.0).floor().min(99.0)),
            Some(_) => "100 %".into(),
            None => "? %".into(),
        };
        let eta = match (run.status, &run.proof) {
            (RunStatus::Running, _) => match meter::eta(snapshot, rates) {
                Eta::Sweep(left) => format!("{} left, {then}", about_text(left)),
                Eta::Verifying => "swept, verifying".into(),
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

    /// What a run uses a second of what it may; what it has used in all where it does not sweep.
    fn budget_line(
        &self,
        label: &str,
        rate: Option<f64>,
        total: f64,
        budget: Option<u32>,
        snapshot: &Snapshot,
        width: usize,
    ) -> Line<'static> {
        let sweeps = snapshot.run.status == RunStatus::Running && !meter::is_swept(snapshot);
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
    fn why_line(&self, snapshot: &Snapshot, overview: &Overview, width: usize) -> Line<'static> {
        let run = &snapshot.run;
        if run.status != RunStatus::Running {
            return fact("because", vec![run.message.clone().into()], width);
        }
        let mut bounds = BTreeMap::new();
        for row in &overview.rows {
            *bounds.entry(row.bound_by).or_default() += 1;
        }
        let text = match bounds.is_empty() {
            true if meter::is_verifying(snapshot) => "counting what is still pending".into(),
            true => "no segment is at work".into(),
            false => bounds_text(&bounds),
        };
        fact("bound by", vec![text.into()], width)
    }

    fn throttle_line(
        &self,
        pass: &PassProgress,
        rates: Option<&Rates>,
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

    /// A cell for each segment, or for several.
    fn strip(&self, overview: &Overview, rows: usize, width: usize) -> Vec<Line<'static>> {
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
        for row in cells.chunks(per_row.max(1)) {
            let mut spans: Vec<Span> = Vec::new();
            // Runs of one state are one span.
            for same in row.chunk_by(|a, b| a == b) {
                let (glyph, style) = match same[0] {
                    Cell::State(state) => (state.glyph(), self.state_style(state)),
                    Cell::Tenths(tenths) => (char::from(b'0' + tenths), self.fg(Color::Cyan)),
                };
                let text: String = std::iter::repeat_n(glyph, same.len() * wide).collect();
                spans.push(Span::styled(text, style));
            }
            lines.push(Line::from(spans));
        }
        lines.resize_with(1 + rows, Line::default);
        let mut legend = vec![Span::raw(" ")];
        for state in State::ALL {
            // Cells of several show in numbers how far they are.
            if per_cell > 1 && matches!(state, State::AtWork | State::Waiting) {
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
        lines.push(Line::from(legend));
        lines
    }

    fn slowest(&self, overview: &Overview, rows: usize, width: usize) -> Vec<Line<'static>> {
        let mut lines = vec![self.rule("slowest segments at work", "", width)];
        let head = "   segment    items/s     swept  checkpoint      throttled  bound by";
        lines.push(Line::styled(
            head,
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
            let text = format!(
                " {}{:>8} {:>10} {:>9}  {:<15} {:>9}  {}",
                if row.is_slow { '!' } else { ' ' },
                row.segment,
                rate,
                HumanCount(row.scanned).to_string(),
                format!("{} ago", duration(row.quiet.as_secs_f64())),
                HumanCount(row.throttles).to_string(),
                row.bound_by.name(),
            );
            lines.push(Line::styled(fit(&text, width), style));
        }
        if overview.rows.is_empty() {
            lines.push(Line::from("   none"));
        }
        lines.resize_with(2 + rows, Line::default);
        lines
    }

    fn message_line(&self, now: Now, warning: Option<&str>, width: usize) -> Line<'static> {
        let age = now.since.saturating_sub(self.read);
        let trouble = match &self.trouble {
            Some(why) => Some(format!(
                "records last read {} ago: {why}",
                duration(age.as_secs_f64())
            )),
            None if age > FRESH && self.snapshot.is_some() => Some(format!(
                "records last read {} ago, reading",
                duration(age.as_secs_f64())
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

    fn draw_dialog(&self, frame: &mut Frame, dialog: &Dialog) {
        let (title, text) = match dialog {
            Dialog::Help => ("help", self.help()),
            Dialog::Cancel => (
                "cancel",
                format!(
                    "Cancel run {} for good?\nIts workers end at their checkpoints, and resume does not take it up \
                     again.\n\ny cancels it, any other key goes back",
                    self.run_id
                ),
            ),
            Dialog::Stop => (
                "stop",
                "The run goes on in this process. Stop it at the next checkpoint?\n\ny stops it, any other key goes back"
                    .into(),
            ),
            Dialog::Rate {
                reads,
                typed,
                error,
            } => {
                let settings = self.snapshot.as_ref().map(|snapshot| &snapshot.run.settings);
                let (what, present) = match reads {
                    true => ("read", settings.and_then(|settings| settings.max_rcu)),
                    false => ("write", settings.and_then(|settings| settings.max_wcu)),
                };
                let present = present.map_or("no limit".into(), |units| units.to_string());
                let error = error.as_deref().unwrap_or_default();
                (
                    "rate",
                    format!(
                        "At most so many {what} units a second, for the whole run (now: {present}):\n\n> {typed}_\n{error}\n\
                         a number or none, then Enter; Esc goes back"
                    ),
                )
            }
        };
        let area = frame.area();
        let width = 70.min(area.width - 4);
        let lines = wrap(&text, usize::from(width - 4));
        let height = (lines.len() as u16 + 2).min(area.height);
        let area = area.centered(Constraint::Length(width), Constraint::Length(height));
        frame.render_widget(Clear, area);
        let block = Block::bordered()
            .title(format!(" {title} "))
            .padding(Padding::horizontal(1));
        let lines: Vec<Line> = lines.into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn help(&self) -> String {
        let leave = match self.role {
            Role::Watcher => "q  leaves. The run goes on.",
            Role::Follower => "q  stops following. The run goes on in AWS.",
            Role::Runner => {
                "q  stops the run of this process at the next checkpoint, after a question, as p does; so does ctrl-C. The same \
                 command goes on with it."
            }
        };
        let pause = match self.role {
            Role::Watcher => {
                "p  pauses: workers save their checkpoints and end within ten seconds."
            }
            Role::Follower | Role::Runner => {
                "p  pauses: workers save their checkpoints and end within ten seconds, and so does this view. backfill resume \
                 goes on."
            }
        };
        format!(
            "{pause}\nr  resumes a paused or failed run of AWS by another execution; of one of a process it says what to type.\n\
             w  the write budget, e the read budget: a number or none.\n\
             c  cancels for good, after a question.\n{leave}\n\n\
             slow: no checkpoint for 30 s and for 5 times the usual pause, or a quarter of the median of items per second of \
             work.\nbound by: budget (yours), throttled (the table), latency (of requests), none (little to write)."
        )
    }

    /// "── text ────────── right ──".
    fn rule(&self, left: &str, right: &str, width: usize) -> Line<'static> {
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
    fn fg(&self, colour: Color) -> Style {
        match self.has_colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn state_style(&self, state: State) -> Style {
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

fn status_colour(status: RunStatus) -> Color {
    match status {
        RunStatus::Running => Color::Cyan,
        RunStatus::Succeeded => Color::Green,
        RunStatus::Paused | RunStatus::Incomplete => Color::Yellow,
        RunStatus::Cancelled | RunStatus::Failed => Color::Red,
    }
}

/// " label     spans", cut at the width.
fn fact(label: &str, spans: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let mut line = vec![Span::styled(
        format!(" {label:<10}"),
        Style::new().add_modifier(Modifier::BOLD),
    )];
    let mut room = width.saturating_sub(line[0].width());
    for span in spans {
        let text = fit(&span.content, room);
        room = room.saturating_sub(Span::raw(text.as_str()).width());
        line.push(Span::styled(text, span.style));
    }
    Line::from(line)
}

/// The text, cut with … where it is wider.
fn fit(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut room = width.saturating_sub(1);
    for c in text.chars() {
        let wide = Span::raw(c.to_string()).width();
        if wide > room {
            break;
        }
        room -= wide;
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// The text in lines of this width, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let wide = Span::raw(line.as_str()).width() + 1 + Span::raw(word).width();
            if !line.is_empty() && wide > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A part from 0 to 1 as a bar.
fn bar_text(part: f64, width: usize) -> String {
    let full = ((part.clamp(0.0, 1.0) * width as f64) as usize).min(width);
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// "21:05:12".
fn clock(ms: u64) -> String {
    let seconds = ms / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}
