//! What people see, on stderr: progress while a run goes on, its summary, errors. JSON goes to stdout alone.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backfill_core::records::BoundBy;
use backfill_core::records::{Counters, RunRecord, RunStatus};
use backfill_core::value::PlainItem;
use backfill_core::view::cost::{Bill, Prices};
use backfill_core::view::progress::{Snapshot, Summary};
use backfill_core::{Error, ErrorKind, Item, Result};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::meter::{self, Eta, Meter, Rates};

/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Prints an error with its causes, once.
pub fn error(error: &Error) {
    say(&format!("error: {}", error.report()));
}

/// Lines for stderr while something else has the terminal; `None` while nothing has.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

/// Lines that are held at most, the latest.
const MAX_HELD: usize = 200;

fn held() -> MutexGuard<'static, Option<VecDeque<String>>> {
    // Whole lines are put in and taken out, so a panic in between has broken nothing.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line on stderr, or holds it back until [`release_stderr`].
pub fn say(line: &str) {
    let mut held = held();
    match &mut *held {
        None => print_on_stderr(line),
        Some(lines) => {
            lines.push_back(line.to_owned());
            if lines.len() > MAX_HELD {
                lines.pop_front();
            }
        }
    }
}

/// From now on lines are held back, because a view has the whole terminal.
pub fn hold_stderr() {
    held().get_or_insert_default();
}

/// Prints what was held back. Nothing is from now on.
pub fn release_stderr() {
    let lines = held().take();
    for line in lines.into_iter().flatten() {
        print_on_stderr(&line);
    }
}

/// Where nobody reads stderr any more, a run goes on all the same.
fn print_on_stderr(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The latest line that is held back, without colours.
pub fn last_held() -> Option<String> {
    let held = held();
    let line = held.as_ref()?.back()?;
    let mut parts = line.split("\x1b[");
    let mut text = parts.next()?.to_owned();
    for part in parts {
        // "33mWARN": the numbers of a colour, and what is printed in it.
        text.push_str(part.split_once('m').map_or("", |(_, printed)| printed));
    }
    Some(text)
}

/// Where the log goes: to stderr as [`say`] does, an event at a time.
pub struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        say(String::from_utf8_lossy(event).trim_end());
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why a result could not be printed: [`unprinted`].
static UNPRINTED: Mutex<Option<Error>> = Mutex::new(None);

/// Prints one JSON object on stdout. Where that fails, the command goes on to its end, and then [`unprinted`] says so.
pub fn json<T: Serialize>(object: &T) {
    let text = serde_json::to_string(object).expect("results are plain data");
    if let Err(error) = line(&text) {
        *UNPRINTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Why a result of this command could not be printed, if so. Nobody to read it is no such reason.
pub fn unprinted() -> Option<Error> {
    UNPRINTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
}

/// Prints an item on stdout: in plain JSON on a line, in DynamoDB's where `typed`, on many lines where `pretty`. False where
/// nobody reads on (`| head`).
pub fn item(item: &Item, typed: bool, pretty: bool) -> Result<bool> {
    let json = match (typed, pretty) {
        (false, false) => serde_json::to_string(&PlainItem(item)),
        (false, true) => serde_json::to_string_pretty(&PlainItem(item)),
        (true, false) => serde_json::to_string(item),
        (true, true) => serde_json::to_string_pretty(item),
    };
    line(&json.expect("items are plain data"))
}

/// Prints a line, or several, on stdout. False where nobody reads on.
pub fn line(text: &str) -> Result<bool> {
    print(std::io::stdout(), text)
}

/// The same with colours, which go away where stdout is no terminal.
pub fn coloured_line(text: &str) -> Result<bool> {
    print(anstream::stdout(), text)
}

fn print(mut out: impl Write, text: &str) -> Result<bool> {
    match writeln!(out, "{text}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Error::new(ErrorKind::Internal, "cannot print on stdout").with_source(error))
        }
    }
}

/// Shows snapshots of a run as they come: a bar on a terminal, plain lines elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    begin: Instant,
    meter: Meter,
    last_line: Option<Instant>,
}

impl Progress {
    /// Nothing is shown before the first snapshot.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{prefix} [{bar:30}] {msg}")
                    .expect("a fixed template")
                    .progress_chars("=> "),
            );
            bar
        });
        Progress {
            bar,
            begin: Instant::now(),
            meter: Meter::default(),
            last_line: None,
        }
    }

    /// Shows how the run stands.
    pub fn show(&mut self, snapshot: &Snapshot) {
        self.meter.note(self.begin.elapsed(), snapshot);
        let Some(current) = snapshot.current() else {
            return;
        };
        let text = progress_text(snapshot);
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(format!("pass {}", current.pass));
                let (swept, expected) = meter::items(snapshot);
                let length = expected.unwrap_or(swept).max(1);
                bar.set_length(length);
                bar.set_position(if meter::is_swept(snapshot) {
                    length
                } else {
                    swept
                });
                bar.set_message(text);
            }
            None => {
                let pace = pace_text(snapshot, self.meter.rates().as_ref());
                self.line(&format!("pass {}: {text}{pace}", current.pass));
            }
        }
    }

    /// Says that the records cannot be read at present.
    pub fn failed(&mut self, error: &Error) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("cannot read the records: {error}")),
            None => self.line(&format!("cannot read the records: {}", error.report())),
        }
    }

    fn line(&mut self, text: &str) {
        let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        if due {
            self.last_line = Some(Instant::now());
            eprintln!("{text}");
        }
    }

    /// Clears the bar.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far the current pass has come.
fn progress_text(snapshot: &Snapshot) -> String {
    let Some(current) = snapshot.current() else {
        return String::new();
    };
    let (swept, expected) = meter::items(snapshot);
    if meter::is_verifying(snapshot) {
        return format!("{} items swept, verifying", HumanCount(swept));
    }
    let about = expected.map_or_else(String::new, |expected| {
        format!(" of about {}", HumanCount(expected))
    });
    format!(
        "{}{about} items, {} of {} segments done, {} updated",
        HumanCount(swept),
        current.segments_exhausted,
        snapshot.run.settings.total_segments,
        HumanCount(current.counters.updated),
    )
}

/// "; 812 items/s, 640 write units/s, rate bound by budget (8 segments), about 12 min left". Nothing before something is
/// known.
fn pace_text(snapshot: &Snapshot, rates: Option<&Rates>) -> String {
    let Some(rates) = rates.filter(|_| !meter::is_swept(snapshot)) else {
        return String::new();
    };
    let mut text = format!(
        "; {:.0} items/s, {:.0} write units/s",
        rates.scanned, rates.wcu
    );
    let bound_by = snapshot
        .current()
        .map_or_else(String::new, |pass| bounds_text(&pass.bound_by));
    if !bound_by.is_empty() {
        text.push_str(&format!(", rate bound by {bound_by}"));
    }
    if let Eta::Sweep(left) = meter::eta(snapshot, Some(rates)) {
        text.push_str(&format!(", {} left in this pass", about_text(left)));
    }
    text
}

/// "budget (7 segments), throttled (1 segment)".
pub fn bounds_text(bound_by: &BTreeMap<BoundBy, u32>) -> String {
    let bounds: Vec<String> = bound_by
        .iter()
        .map(|(by, segments)| {
            let segments = plural(*segments, "segment", "segments");
            format!("{} ({segments})", by.name())
        })
        .collect();
    bounds.join(", ")
}

/// A time that is estimated: "less than a minute", "about 12 min", "about 7 h 5 min", "about 3 days".
pub fn about_text(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match (minutes / (48 * 60), minutes / 60, minutes % 60) {
        _ if time.as_secs() < 60 => "less than a minute".into(),
        (0, 0, minutes) => format!("about {minutes} min"),
        (0, hours, minutes) => format!("about {hours} h {minutes} min"),
        _ => format!("about {} days", minutes.div_ceil(24 * 60)),
    }
}

/// The result of a run in a few lines.
pub fn summary(run: &RunRecord, summary: &Summary, prices: &Prices) {
    eprintln!("{}", summary_text(run, summary, prices));
}

/// The lines of [`summary`].
pub fn summary_text(run: &RunRecord, summary: &Summary, prices: &Prices) -> String {
    let verdict = match summary.status {
        RunStatus::Succeeded if run.settings.dry_run => "dry run: nothing is pending",
        RunStatus::Incomplete if run.settings.dry_run => "dry run: items are pending",
        RunStatus::Succeeded => "succeeded: nothing is pending any more",
        RunStatus::Incomplete => "incomplete: items remain",
        RunStatus::Paused => "paused",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Failed => "failed",
        RunStatus::Running => "running",
    };
    let mut lines = vec![
        format!(
            "run {} on table {}: {verdict}",
            summary.run_id, summary.table
        ),
        format!("  spec      {}", run.spec.describe()),
        format!(
            "  scanned   {} items in {} segments, {}",
            HumanCount(summary.scanned),
            summary.segments,
            plural(summary.passes, "pass", "passes"),
        ),
        format!(
            "  matched   {} = {} updated + {} raced + {} vanished + {} rejected",
            HumanCount(summary.matched),
            HumanCount(summary.updated),
            HumanCount(summary.raced),
            HumanCount(summary.vanished),
            HumanCount(summary.rejected),
        ),
    ];
    if summary.rejected > 0 {
        lines.push(format!(
            "            see them with: backfill rejected --run-id {}",
            summary.run_id
        ));
    }
    lines.push(match summary.remaining {
        Some(remaining) => format!(
            "  remaining {} by a strongly consistent count",
            HumanCount(remaining)
        ),
        None => "  remaining not counted yet".into(),
    });
    for key in &summary.samples {
        lines.push(format!("            {key}"));
    }
    lines.push(format!(
        "  capacity  {:.1} read units, {:.1} write units; {}; throttled {} times",
        summary.consumed_rcu,
        summary.consumed_wcu,
        budget_text(summary.max_wcu, summary.max_rcu),
        HumanCount(summary.throttles),
    ));
    lines.push(format!(
        "  cost      {}",
        bill_text(&summary.cost_usd, prices)
    ));
    lines.push(format!("  time      {:.1} s", summary.elapsed_seconds));
    lines.join("\n")
}

/// Counters of one pass in a line.
pub fn counters_text(counters: &Counters) -> String {
    format!(
        "{} scanned, {} matched = {} updated + {} raced + {} vanished + {} rejected",
        HumanCount(counters.scanned),
        HumanCount(counters.matched),
        HumanCount(counters.updated),
        HumanCount(counters.raced),
        HumanCount(counters.vanished),
        HumanCount(counters.rejected),
    )
}

/// The bill in a line, per million items where there were any.
pub fn bill_text(bill: &Bill, prices: &Prices) -> String {
    let per_million = match bill.per_million_items {
        Some(usd) => format!("{usd:.3} USD per million items, "),
        None => String::new(),
    };
    format!(
        "{per_million}{:.4} USD in all: writes {:.4}, scan {:.4}, verification {:.4}, checkpoints {:.4}, Lambda {:.4} + \
         {:.4} for requests, state transitions {:.4} (on demand, {}, {})",
        bill.total,
        bill.writes,
        bill.scan,
        bill.verification,
        bill.checkpoints,
        bill.lambda_duration,
        bill.lambda_requests,
        bill.state_transitions,
        prices.region,
        prices.date,
    )
}

/// "at most 500 write and 100 read units/s".
pub fn budget_text(max_wcu: Option<u32>, max_rcu: Option<u32>) -> String {
    match (max_wcu, max_rcu) {
        (None, None) => "no limit".into(),
        (Some(wcu), None) => format!("at most {wcu} write units/s"),
        (None, Some(rcu)) => format!("at most {rcu} read units/s"),
        (Some(wcu), Some(rcu)) => format!("at most {wcu} write and {rcu} read units/s"),
    }
}

/// "1 pass", "2 passes".
pub fn plural(n: u32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// "12 s", "3 min 20 s", "7 h 5 min".
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::samples::{pass, run, segment};

    /// Two of four segments of 400 items, of which the first is swept and this many of the second.
    fn canary(scanned: u64, is_done: bool, status: RunStatus) -> Snapshot {
        let mut run = run();
        run.estimated_items = 400;
        run.status = status;
        run.settings.total_segments = 4;
        run.settings.only_segments = vec![0, 2];
        let mut segments = vec![segment(0, 100), segment(2, scanned)];
        segments[0].exhausted = true;
        segments[1].exhausted = is_done;
        pass(run, segments)
    }

    #[test]
    fn a_canary_is_told_by_its_own_items_and_never_verifies() {
        for (snapshot, expected) in [
            (
                canary(20, false, RunStatus::Running),
                "120 of about 200 items, 1 of 4 segments done, 60 updated",
            ),
            (
                canary(110, true, RunStatus::Running),
                "210 items, 2 of 4 segments done, 105 updated",
            ),
            (
                canary(90, true, RunStatus::Paused),
                "190 of about 200 items, 2 of 4 segments done, 95 updated",
            ),
        ] {
            assert_eq!(progress_text(&snapshot), expected);
        }
    }

    #[test]
    fn only_a_running_run_verifies() {
        let mut all = canary(100, true, RunStatus::Running);
        all.run.settings.total_segments = 2;
        all.run.settings.only_segments.clear();
        assert_eq!(progress_text(&all), "200 items swept, verifying");
        all.run.status = RunStatus::Paused;
        assert!(!progress_text(&all).contains("verifying"));
    }
}
