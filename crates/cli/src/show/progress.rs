//! A run as it goes on, if no view has the terminal: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use backfill_core::Error;
use backfill_core::view::progress::Snapshot;
use indicatif::HumanCount;

use crate::show::meter::{self, Eta, Measured, Meter};
use crate::show::{print, words};

/// How often a plain line is printed if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows snapshots of a run as they come.
pub struct Progress {
    begin: Instant,
    meter: Meter,
    last_line: Option<Instant>,
}

impl Progress {
    /// Nothing is shown before the first snapshot.
    pub fn new() -> Self {
        Progress {
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
        if print::is_terminal() {
            let bar = bar(part(snapshot));
            print::status(Some(&format!("pass {} [{bar}] {text}", current.pass)));
        } else {
            let pace = pace_text(snapshot, self.meter.measured().as_ref());
            self.line(&format!("pass {}: {text}{pace}", current.pass));
        }
    }

    /// Says that the records cannot be read at present.
    pub fn failed(&mut self, error: &Error) {
        if print::is_terminal() {
            print::status(Some(&format!("cannot read the records: {error}")));
        } else {
            self.line(&format!("cannot read the records: {}", error.report()));
        }
    }

    fn line(&mut self, text: &str) {
        let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        if due {
            self.last_line = Some(Instant::now());
            print::say_in_passing(text);
        }
    }

    /// Clears the bar.
    pub fn finish(self) {
        print::status(None);
    }
}

/// How far a run has come in its pass and how fast it is, in a sentence without its stop.
pub fn sentence(snapshot: &Snapshot, measured: Option<&Measured>) -> String {
    progress_text(snapshot) + &pace_text(snapshot, measured)
}

/// Part of the pass that is swept, from 0 to 1.
pub fn part(snapshot: &Snapshot) -> f64 {
    let (swept, expected) = snapshot.items();
    match snapshot.is_swept() {
        true => 1.0,
        false => swept as f64 / expected.unwrap_or(swept).max(1) as f64,
    }
}

/// A part from 0 to 1 as a bar of thirty columns.
fn bar(part: f64) -> String {
    const COLUMNS: usize = 30;
    let done = ((part.clamp(0.0, 1.0) * COLUMNS as f64) as usize).min(COLUMNS);
    let tip = if done < COLUMNS && done > 0 { ">" } else { "" };
    let bar = "=".repeat(done - tip.len()) + tip;
    format!("{bar:COLUMNS$}")
}

/// How far the current pass has come.
fn progress_text(snapshot: &Snapshot) -> String {
    let Some(current) = snapshot.current() else {
        return String::new();
    };
    let (swept, expected) = snapshot.items();
    if snapshot.is_verifying() {
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
fn pace_text(snapshot: &Snapshot, measured: Option<&Measured>) -> String {
    let Some(measured) = measured.filter(|_| !snapshot.is_swept()) else {
        return String::new();
    };
    let mut text = format!(
        "; {:.0} items/s, {:.0} write units/s",
        measured.scanned, measured.wcu
    );
    let bound_by = snapshot
        .current()
        .map_or_else(String::new, |pass| words::bounds(&pass.bound_by));
    if !bound_by.is_empty() {
        text.push_str(&format!(", rate bound by {bound_by}"));
    }
    if let Eta::Sweep(left) = meter::eta(snapshot, Some(measured)) {
        text.push_str(&format!(", {} left in this pass", words::about(left)));
    }
    text
}

#[cfg(test)]
mod tests {
    use backfill_core::records::RunStatus;

    use super::*;
    use crate::show::samples::{pass, run, segment};

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
