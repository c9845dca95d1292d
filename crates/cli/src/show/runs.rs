//! A table of runs.

use backfill_core::clock::now_ms;
use backfill_core::records::{Owner, RunRecord, RunStatus};
use backfill_core::view::glance::Glance;
use indicatif::HumanCount;
use serde::Serialize;

use crate::budget;
use crate::show::{lines, words};

/// What is known of whoever holds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// It is at work.
    Alive,
    /// It has ended without saying so.
    Gone,
    /// Nobody here can tell.
    Unknown,
}

/// What has become of the table that a run worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableNow {
    /// It is there.
    Same,
    /// It is gone, and another one has its name.
    Another,
    /// It is gone, and none has its name.
    Missing,
}

impl TableNow {
    /// What has become of a table that is gone, in words that follow on "its table"; `None` of one that is there.
    pub fn gone(self, table: &str) -> Option<String> {
        match self {
            TableNow::Same => None,
            TableNow::Another => Some(format!(
                "is gone: {table} was created anew since, and a start is a new run on it"
            )),
            TableNow::Missing => Some(format!("is gone: there is no table {table} now")),
        }
    }
}

/// What a start makes of a run of a table that is gone.
pub fn gone_run(run_id: &str, status: &str, pass: u32, table: &str) -> String {
    format!(
        "{run_id}, new: the run that is there already, {status} in pass {pass}, is that of a table {table} that is gone"
    )
}

/// A run of the table of runs.
#[derive(Debug, Clone)]
pub struct RunLine {
    /// Its record.
    pub run: RunRecord,
    /// How it goes.
    pub glance: Glance,
    /// What is known of its holder; `None` if nobody holds it.
    pub holder: Option<Holder>,
    /// What has become of its table; `None` if that cannot be told.
    pub table_now: Option<TableNow>,
}

/// A run as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Printed<'a> {
    run_id: &'a str,
    table: &'a str,
    table_now: Option<TableNow>,
    status: RunStatus,
    pass: u32,
    last_pass: u32,
    verifying: bool,
    /// Part of the current pass that is swept, or counted.
    done: Option<f64>,
    items_per_second: Option<f64>,
    seconds_left: Option<f64>,
    owner: &'a Owner,
    holder: Option<Holder>,
    last_sign_ms: u64,
    started_ms: u64,
    ended_ms: Option<u64>,
    max_wcu: Option<u32>,
    max_rcu: Option<u32>,
    /// What holds a running run at its checkpoints.
    held: Option<&'a str>,
    message: &'a str,
}

impl<'a> From<&'a RunLine> for Printed<'a> {
    fn from(line: &'a RunLine) -> Self {
        let RunLine {
            run,
            glance,
            holder,
            table_now,
        } = line;
        Printed {
            run_id: &run.run_id,
            table: &run.spec.table,
            table_now: *table_now,
            status: run.status,
            pass: run.pass,
            last_pass: run.last_pass,
            verifying: glance.verifies,
            done: glance.done,
            items_per_second: glance.items_per_second,
            seconds_left: glance.seconds_left,
            owner: &run.owner,
            holder: *holder,
            last_sign_ms: glance.last_sign_ms,
            started_ms: run.started_ms,
            ended_ms: run.ended_ms,
            max_wcu: run.settings.max_wcu,
            max_rcu: run.settings.max_rcu,
            held: held_by(run),
            message: &run.message,
        }
    }
}

/// The columns, and whether each has its text on the right.
const COLUMNS: [(&str, bool); 7] = [
    ("RUN", false),
    ("TABLE", false),
    ("STATE", false),
    ("DONE", true),
    ("ITEMS/S", true),
    ("LEFT", true),
    ("LAST SIGN", true),
];

/// The runs as lines: the head, and of each run its figures, and below them who holds it if somebody does.
#[derive(Debug)]
pub struct Lines {
    /// The head of the table.
    pub head: String,
    /// Of each run its lines.
    pub runs: Vec<Vec<String>>,
}

impl Lines {
    /// The lines at this moment.
    pub fn of(runs: &[RunLine]) -> Lines {
        Lines::at(runs, now_ms())
    }

    fn at(runs: &[RunLine], now_ms: u64) -> Lines {
        let rows: Vec<_> = runs.iter().map(|line| line.cells(now_ms)).collect();
        let mut widths = COLUMNS.map(|(head, _)| head.len());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let typeset = |cells: &[String; 7]| {
            let mut text = String::new();
            for ((cell, width), (_, on_the_right)) in cells.iter().zip(widths).zip(COLUMNS) {
                text += &match on_the_right {
                    true => format!("{cell:>width$}  "),
                    false => format!("{cell:<width$}  "),
                };
            }
            text.trim_end().to_owned()
        };
        let mut lines = Vec::new();
        for (line, cells) in runs.iter().zip(&rows) {
            let mut of_run = vec![typeset(cells)];
            of_run.extend(line.owned(now_ms));
            let why = held_by(&line.run).filter(|_| line.holder != Some(Holder::Gone));
            of_run.extend(why.map(|why| format!("  waits: {why}")));
            lines.push(of_run);
        }
        Lines {
            head: typeset(&COLUMNS.map(|(head, _)| head.to_owned())),
            runs: lines,
        }
    }

    /// All of them, for a terminal of this width if it is one.
    pub fn text(&self, width: Option<usize>) -> String {
        let rows = self.runs.iter().flatten().map(String::as_str);
        let lines: Vec<String> = std::iter::once(self.head.as_str())
            .chain(rows)
            .map(|line| lines::wrap(line, width, 4))
            .collect();
        lines.join("\n")
    }
}

impl RunLine {
    /// Its part of each column.
    fn cells(&self, now_ms: u64) -> [String; 7] {
        let (run, glance) = (&self.run, &self.glance);
        let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let state = match self.holder {
            Some(Holder::Gone) => "dead",
            _ if held_by(run).is_some() => "held",
            _ if glance.verifies => "verifying",
            _ => run.status.name(),
        };
        [
            run.run_id.clone(),
            match self.table_now {
                Some(TableNow::Another | TableNow::Missing) => format!("{} (gone)", run.spec.table),
                _ => run.spec.table.clone(),
            },
            state.to_owned(),
            or_nothing(glance.done.map(|done| format!("{:.0} %", done * 100.0))),
            or_nothing(
                glance
                    .items_per_second
                    .map(|rate| HumanCount(rate.round() as u64).to_string()),
            ),
            or_nothing(glance.seconds_left.map(words::rough)),
            format!("{} ago", words::rough(seconds_since(glance, now_ms))),
        ]
    }

    /// Who holds it, whether that is alive, and its budget; `None` if nobody holds it.
    fn owned(&self, now_ms: u64) -> Option<String> {
        let holder = self.holder?;
        let run = &self.run;
        Some(format!(
            "  held by {}, {}; {}",
            run.owner.brief(),
            words_of(holder, &self.glance, now_ms),
            budget::text(run.settings.max_wcu, run.settings.max_rcu)
        ))
    }
}

/// What holds a running run at its checkpoints, for a person; `None` if nothing does.
fn held_by(run: &RunRecord) -> Option<&str> {
    let hold = run.hold.as_ref();
    let hold = hold.filter(|_| run.status == RunStatus::Running);
    hold.map(|hold| hold.why.as_str())
}

/// What is known of a holder, in words that follow on its name.
pub fn words_of(holder: Holder, glance: &Glance, now_ms: u64) -> String {
    let since = words::rough(seconds_since(glance, now_ms));
    match holder {
        Holder::Alive => "which is alive".into(),
        Holder::Gone => format!("which is dead, last heard of {since} ago"),
        Holder::Unknown => format!("last heard of {since} ago"),
    }
}

fn seconds_since(glance: &Glance, now_ms: u64) -> f64 {
    now_ms.saturating_sub(glance.last_sign_ms) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use backfill_core::records::Hold;

    use super::*;
    use crate::show::samples::{BEGIN_MS, pass, run, segment};

    fn line(change: impl FnOnce(&mut RunRecord), holder: Option<Holder>) -> RunLine {
        let mut run = run();
        change(&mut run);
        let mut at_work = segment(3, 500_000);
        at_work.saved_ms = BEGIN_MS + 90_000;
        let glance = pass(run.clone(), vec![at_work]).glance();
        RunLine {
            run,
            glance,
            holder,
            table_now: None,
        }
    }

    #[test]
    fn a_table_of_runs_fits_80_columns() {
        let runs = [
            line(|_| {}, Some(Holder::Alive)),
            line(
                |run| {
                    run.run_id = "stuff-1".into();
                    run.owner = "process 7 of ana on vm boot b pid:[1] since 1".into();
                    run.settings.max_wcu = None;
                },
                Some(Holder::Gone),
            ),
            line(
                |run| {
                    run.hold = Some(Hold {
                        why: "alarm live is in ALARM".into(),
                        since_ms: BEGIN_MS + 90_000,
                    });
                },
                Some(Holder::Unknown),
            ),
            line(
                |run| {
                    run.status = RunStatus::Succeeded;
                    run.ended_ms = Some(BEGIN_MS + 100_000);
                },
                None,
            ),
        ];
        let text = Lines::at(&runs, BEGIN_MS + 100_000).text(Some(80));
        let expected = "\
RUN              TABLE   STATE      DONE  ITEMS/S  LEFT  LAST SIGN
orders-0b4b8a0e  orders  running    10 %   50,000  90 s   10 s ago
  held by execution orders-0b4b8a0e-1768507200000 of backfill, which is alive;
    at most 500 write units/s
stuff-1          orders  dead       10 %   50,000  90 s   10 s ago
  held by ana@vm (pid 7), which is dead, last heard of 10 s ago; no limit
orders-0b4b8a0e  orders  held       10 %        -     -   10 s ago
  held by execution orders-0b4b8a0e-1768507200000 of backfill, last heard of 10
    s ago; at most 500 write units/s
  waits: alarm live is in ALARM
orders-0b4b8a0e  orders  succeeded  10 %        -     -    0 s ago";
        assert_eq!(text, expected);
    }
}
