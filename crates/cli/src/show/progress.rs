//! A run as it goes on, if no view has the terminal: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use backfill_core::Error;
use backfill_core::records::CountNote;
use backfill_core::view::progress::Snapshot;
use indicatif::HumanCount;

use crate::show::meter::{self, Eta, Measured, Meter};
use crate::show::{print, words};

/// How often a plain line is printed if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What takes no longer is not spoken of.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// Shows snapshots of a run as they come.
pub struct Progress {
    begin: Instant,
    meter: Meter,
    last_line: Option<Instant>,
    /// How to watch the run from anywhere else; until it was said.
    hint: Option<String>,
}

impl Progress {
    /// Nothing is shown before the first snapshot; with it comes the hint how to watch the run.
    pub fn new(hint: Option<String>) -> Self {
        Progress {
            begin: Instant::now(),
            meter: Meter::default(),
            last_line: None,
            hint,
        }
    }

    /// Shows how the run stands.
    pub fn show(&mut self, snapshot: &Snapshot) {
        self.meter.note(self.begin.elapsed(), snapshot);
        let Some(current) = snapshot.current() else {
            return;
        };
        if let Some(hint) = self.hint.take_if(|_| self.begin.elapsed() >= TELL_AFTER) {
            print::say_in_passing(&hint);
        }
        let measured = self.meter.measured();
        if print::is_terminal() {
            let short = short_text(snapshot, measured.as_ref());
            let bar = bar(part(snapshot));
            print::status(Some(&format!("pass {} [{bar}] {short}", current.pass)));
        } else {
            let text = progress_text(snapshot);
            let pace = pace_text(snapshot, measured.as_ref());
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

/// Part of the pass that is swept, or counted if it is verified, from 0 to 1.
pub fn part(snapshot: &Snapshot) -> f64 {
    let glance = snapshot.glance();
    match snapshot.is_swept() {
        true if glance.verifies => glance.done.unwrap_or(1.0),
        true => 1.0,
        false => glance.done.unwrap_or(0.0),
    }
}

/// Something that takes its time and is no run: a count, a sample, items that are put. Shown once it has taken two seconds.
pub struct Tally {
    doing: String,
    /// What they are called.
    things: &'static str,
    /// How many there should be; `None` if nobody knows.
    total: Option<u64>,
    begin: Instant,
    lines: u32,
}

impl Tally {
    /// Of so many items or other things; `doing` is what is done with them, such as "counting".
    pub fn new(doing: impl Into<String>, things: &'static str, total: Option<u64>) -> Tally {
        Tally {
            doing: doing.into(),
            things,
            total: total.filter(|total| *total > 0),
            begin: Instant::now(),
            lines: 0,
        }
    }

    /// Shows that so many are done. `more` follows on it.
    pub fn show(&mut self, done: u64, more: &str) {
        let since = self.begin.elapsed();
        if since < TELL_AFTER {
            return;
        }
        let text = self.text(done, since, more);
        if print::is_terminal() {
            print::status(Some(&text));
        } else if since >= TELL_AFTER + LINE_EVERY * self.lines {
            self.lines = (since.as_secs() / LINE_EVERY.as_secs()) as u32 + 1;
            print::say_in_passing(&text);
        }
    }

    /// "counting: 43 % [====>  ] 1,200,000 of about 2,800,000 items, 12,000 items/s, about 3 min left".
    fn text(&self, done: u64, since: Duration, more: &str) -> String {
        let rate = done as f64 / since.as_secs_f64().max(0.001);
        let mut text = format!("{}: ", self.doing);
        // More than there should be has no part and no end that is known.
        let total = self.total.filter(|total| done <= *total);
        if let Some(total) = total {
            let part = done as f64 / total as f64;
            text += &format!("{:.0} % [{}] ", part * 100.0, bar(part));
        }
        text += &HumanCount(done).to_string();
        if let Some(total) = total {
            text += &format!(" of about {}", HumanCount(total));
        }
        let things = self.things;
        text += &format!(" {things}, {} {things}/s", words::decimal(rate));
        if let Some(total) = total.filter(|_| rate > 0.0) {
            let left = (total - done) as f64 / rate;
            let left = Duration::from_secs_f64(left.min(f64::from(u32::MAX)));
            text += &format!(", {} left", words::about(left));
        }
        if !more.is_empty() {
            text += &format!(", {more}");
        }
        text
    }

    /// Clears what was shown.
    pub fn finish(self) {
        print::status(None);
    }
}

/// A part from 0 to 1 as a bar of twenty columns.
fn bar(part: f64) -> String {
    const COLUMNS: usize = 20;
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
    let held = held_text(snapshot).map_or_else(String::new, |held| format!(", {held}"));
    if snapshot.is_verifying() {
        let text = match &snapshot.counting {
            Some(note) => format!(
                "verifying, {} of {} items counted, {} of them pending{}",
                HumanCount(note.scanned),
                HumanCount(swept.max(note.scanned)),
                HumanCount(note.remaining),
                read_again(note)
            ),
            None => format!("{} items swept, verifying", HumanCount(swept)),
        };
        return text + &held;
    }
    let about = expected.map_or_else(String::new, |expected| {
        format!(" of about {}", HumanCount(expected))
    });
    format!(
        "{}{about} items, {} of {} segments done, {} updated{held}",
        HumanCount(swept),
        current.segments_exhausted,
        snapshot.run.settings.total_segments,
        HumanCount(current.counters.updated),
    )
}

/// How many items a verification has read a second time, for what they lack.
pub fn read_again(note: &CountNote) -> String {
    let again = note.again.filter(|again| *again > 0);
    again.map_or_else(String::new, |again| {
        format!(", {} read again for what they lack", HumanCount(again))
    })
}

/// "held: alarm slow is in ALARM", if something holds the run. Whatever it did before is no rate of now.
fn held_text(snapshot: &Snapshot) -> Option<String> {
    let hold = snapshot.run.hold.as_ref()?;
    Some(format!("held: {}", hold.why))
}

/// "; 812 items/s, 640 write units/s, rate bound by budget (8 segments), about 12 min left". Nothing before something is
/// known.
fn pace_text(snapshot: &Snapshot, measured: Option<&Measured>) -> String {
    if snapshot.run.hold.is_some() {
        return String::new();
    }
    if snapshot.is_verifying() {
        return count_pace(snapshot);
    }
    let Some(measured) = measured.filter(|_| !snapshot.is_swept()) else {
        return String::new();
    };
    let of_budget = snapshot.run.settings.max_wcu;
    let of_budget = of_budget.map_or_else(String::new, |budget| format!(" of {budget}"));
    let mut text = format!(
        "; {:.0} items/s, {:.0}{of_budget} write units/s",
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

/// "; 12,000 items/s, about 3 min left": of a verification, once it is known.
fn count_pace(snapshot: &Snapshot) -> String {
    let glance = snapshot.glance();
    let Some(rate) = glance.items_per_second else {
        return String::new();
    };
    let mut text = format!("; {} items/s", HumanCount(rate.round() as u64));
    if let Some(max_rcu) = snapshot.run.settings.max_rcu {
        text.push_str(&format!(", at most {max_rcu} read units/s"));
    }
    if let Some(left) = glance.seconds_left {
        let left = Duration::from_secs_f64(left.min(f64::from(u32::MAX)));
        text.push_str(&format!(", {} left", words::about(left)));
    }
    text
}

/// For one line of a terminal: how far, how fast, how long yet, and what of the budget is used.
fn short_text(snapshot: &Snapshot, measured: Option<&Measured>) -> String {
    let glance = snapshot.glance();
    let mut parts = Vec::new();
    if glance.verifies {
        parts.push("verifying".to_owned());
    }
    if let Some(done) = glance.done {
        parts.push(format!("{:.0} %", done * 100.0));
    }
    if let Some(held) = held_text(snapshot) {
        parts.push(held);
        return parts.join(", ");
    }
    let rate = match (glance.verifies, measured) {
        (false, Some(measured)) => Some(measured.scanned),
        (false, None) => None,
        (true, _) => glance.items_per_second,
    };
    if let Some(rate) = rate {
        parts.push(format!("{} items/s", HumanCount(rate.round() as u64)));
    }
    match (meter::eta(snapshot, measured), glance.seconds_left) {
        (Eta::Sweep(left) | Eta::Verifying(Some(left)), _) => {
            parts.push(format!("{} left", words::rough(left.as_secs_f64())));
        }
        _ if parts.is_empty() => parts.push(progress_text(snapshot)),
        _ => {}
    }
    let budget = snapshot.run.settings.max_wcu.filter(|_| !glance.verifies);
    if let (Some(budget), Some(measured)) = (budget, measured) {
        parts.push(format!("{:.0} of {budget} WCU/s", measured.wcu));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use backfill_core::records::{Hold, RunStatus};

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

    /// Whoever looks sees that it is held and why, on a terminal as well, and no rate of before.
    #[test]
    fn a_run_that_is_held_is_not_told_as_swept() {
        let mut held = canary(20, false, RunStatus::Running);
        held.run.hold = Some(Hold {
            why: "alarm slow is in ALARM".into(),
            since_ms: 0,
        });
        let measured = Measured {
            over: TELL_AFTER,
            scanned: 812.0,
            updated: 0.0,
            wcu: 0.0,
            rcu: 0.0,
            throttles: 0,
        };
        assert_eq!(
            sentence(&held, Some(&measured)),
            "120 of about 200 items, 1 of 4 segments done, 60 updated, held: alarm slow is in ALARM"
        );
        assert_eq!(
            short_text(&held, Some(&measured)),
            "60 %, held: alarm slow is in ALARM"
        );
        held.run.settings.total_segments = 2;
        held.run.settings.only_segments.clear();
        held.passes[0].segments[1].exhausted = true;
        held.passes[0].segments_exhausted = 2;
        assert_eq!(
            progress_text(&held),
            "120 items swept, verifying, held: alarm slow is in ALARM"
        );
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
