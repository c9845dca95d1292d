//! What people see, on stderr: progress while a run goes on, its summary, errors. JSON goes to stdout alone.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use backfill_core::checkpoint::{Counters, RunRecord, RunStatus};
use backfill_core::cost::{Bill, Prices};
use backfill_core::ports::CheckpointReader;
use backfill_core::progress::{Snapshot, Summary, snapshot};
use backfill_core::value::PlainItem;
use backfill_core::{Error, ErrorKind, Item, Result};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Prints an error with its causes, once.
pub fn error(error: &Error) {
    eprintln!("error: {}", error.report());
}

/// Prints one JSON object on stdout.
pub fn json<T: Serialize>(object: &T) {
    println!(
        "{}",
        serde_json::to_string(object).expect("results are plain data")
    );
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
    match writeln!(std::io::stdout(), "{text}") {
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
    last_line: Option<Instant>,
    /// Time between two readings.
    every: Duration,
    pause: Duration,
}

impl Progress {
    /// Reads the records every so often. Nothing is shown before the first reading.
    pub fn new(every: Duration) -> Self {
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
            last_line: None,
            every,
            pause: every,
        }
    }

    /// Waits a while, then reads the records of the run and shows them if they are this owner's. A failure to
    /// read them is no failure of the run.
    pub async fn poll<S: CheckpointReader>(&mut self, records: &S, run_id: &str, owner: &str) {
        tokio::time::sleep(self.pause).await;
        let begin = Instant::now();
        if let Ok(Some(snapshot)) = snapshot(records, run_id).await
            && snapshot.run.owner == owner
        {
            self.show(&snapshot);
        }
        // A run of 100,000 segments has as many records: reading them must not become a load of its own.
        self.pause = self.every.max(begin.elapsed() * 10);
    }

    fn show(&mut self, snapshot: &Snapshot) {
        let Some(current) = snapshot.current() else {
            return;
        };
        let run = &snapshot.run;
        let total = run.settings.total_segments;
        let scanned = current.counters.scanned;
        let text = if current.segments_exhausted == total {
            format!("{} items swept, verifying", HumanCount(scanned))
        } else {
            format!(
                "{} of about {} items, {} of {total} segments done, {} updated",
                HumanCount(scanned),
                HumanCount(run.estimated_items.max(scanned)),
                current.segments_exhausted,
                HumanCount(current.counters.updated),
            )
        };
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(format!("pass {}", current.pass));
                bar.set_length(run.estimated_items.max(scanned).max(1));
                bar.set_position(if current.segments_exhausted == total {
                    run.estimated_items.max(scanned).max(1)
                } else {
                    scanned
                });
                bar.set_message(text);
            }
            None => {
                let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
                if due {
                    self.last_line = Some(Instant::now());
                    eprintln!("pass {}: {text}", current.pass);
                }
            }
        }
    }

    /// Clears the bar.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
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
