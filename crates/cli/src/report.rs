//! `backfill report`: a run as one document, for somebody who was not there. Reads the durable records and nothing else.

mod chart;
mod html;
mod markdown;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use backfill_core::clock::{now_ms, rfc3339};
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::CheckpointReader;
use backfill_core::records::HistoryBucket;
use backfill_core::records::{MAX_EVENTS, Rejected, RunRecord, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{PassProgress, SegmentProgress, Summary, snapshot};
use backfill_core::view::series::Series;
use backfill_core::{Error, ErrorKind, Result};
use backfill_dynamodb::CheckpointTable;
use clap::{Args, ValueEnum};
use indicatif::HumanCount;

use self::chart::{Chart, Line};
use crate::args::{CHECKPOINT_TABLE, ConnectionArgs, PriceArgs, WhichRunArgs, no_such_run};
use crate::{Ending, display};

/// What the charts are drawn by.
pub const HISTORY_NOTE: &str = "By what the workers noted every ten seconds or less often: good for a chart, in which single steps may be \
     too high or too low, and which may lack what came just before a crash. The counters of the passes are the truth. \
     Verifications are not in it.";

/// Segments with most items that are listed.
const HOTTEST: usize = 5;
/// Rejected items that a report lists.
const MOST_REJECTED: usize = 100;
/// Cells of the map of segments.
const MOST_CELLS: u32 = 400;
/// Shades of the map for segments with work.
const SHADES: u64 = 5;

#[derive(Args)]
pub struct ReportArgs {
    #[command(flatten)]
    run: WhichRunArgs,
    /// An HTML page with charts that needs no network, or Markdown.
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Where to write it; - is stdout [default: backfill-report-RUN.html or .md in the current folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    prices: PriceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Html,
    Markdown,
}

/// Runs the command. Reads the checkpoint table alone.
pub async fn report(args: ReportArgs) -> Result<Ending> {
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let checkpoint_table = args.run.checkpoint_table.clone();
    let checkpoints = CheckpointTable::new(&connection, &checkpoint_table);
    let run_id = args.run.find(&checkpoints, &connection).await?;
    let report = Report::gather(&checkpoints, &checkpoint_table, &run_id, prices).await?;
    let report = report.ok_or_else(|| no_such_run(&run_id, &checkpoint_table, &connection))?;
    let (text, ending) = match args.format {
        Format::Html => (html::render(&report)?, "html"),
        Format::Markdown => (markdown::render(&report), "md"),
    };
    let default = || PathBuf::from(format!("backfill-report-{run_id}.{ending}"));
    let out = args.out.unwrap_or_else(default);
    if out.as_os_str() == "-" {
        display::line(text.trim_end())?;
        return Ok(Ending::Succeeded);
    }
    std::fs::write(&out, text).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            format!(
                "out: cannot write the report of run {run_id} to {}; name another file",
                out.display()
            ),
        )
        .with_source(error)
    })?;
    eprintln!("report of run {run_id}: {}", out.display());
    Ok(Ending::Succeeded)
}

/// All that a report says, from the records of a run.
pub struct Report {
    /// When the records were read; milliseconds since 1970.
    pub made_ms: u64,
    /// Version of this command.
    pub version: &'static str,
    pub checkpoint_table: String,
    pub run: RunRecord,
    pub passes: Vec<PassProgress>,
    pub summary: Summary,
    pub prices: Prices,
    /// Of all passes.
    pub history: Vec<HistoryBucket>,
    /// Of the current pass, at most [`MOST_REJECTED`], by segment and time.
    pub rejected: Vec<Rejected>,
    /// How many there are in the current pass.
    pub rejected_count: usize,
}

/// How a run stands, for the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is pending, and that was counted.
    Proven,
    /// Neither done nor wrong.
    Open,
    /// Something is to be done.
    NotComplete,
}

/// A run in a few sentences.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub verdict: Verdict,
    pub headline: String,
    /// What is to be done, with a command where there is one.
    pub advice: Vec<(String, Option<String>)>,
}

/// How evenly the work lies over the segments.
#[derive(Debug, PartialEq)]
pub struct Skew {
    /// Items scanned per segment, in all passes; those without any count as well.
    pub mean: f64,
    pub median: f64,
    /// The segment with the most, and how many it has.
    pub hottest: (u32, u64),
    /// Part of all items that lie in the largest 1 % of the segments (at least one), and how many those are.
    pub largest: (u32, f64),
    /// In the current pass.
    pub exhausted: u32,
    pub open: u32,
    pub not_begun: u32,
}

/// Neighbouring segments, as one cell of the map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    pub first: u32,
    pub last: u32,
    /// Items scanned in all passes.
    pub scanned: u64,
    pub updated: u64,
    pub rejected: u64,
    /// Segments that are not exhausted in the current pass.
    pub not_done: u32,
    /// From 0, nothing, to [`SHADES`], as much per segment as the most in any cell.
    pub shade: u64,
}

/// Units per second that a run might use, from this time on; milliseconds since 1970.
pub type BudgetStep = (u64, Option<u32>);

impl Report {
    /// Reads the records of a run; `None` where there is no such run.
    pub async fn gather<S: CheckpointReader>(
        store: &S,
        checkpoint_table: &str,
        run_id: &str,
        prices: Prices,
    ) -> Result<Option<Report>> {
        let Some(snapshot) = snapshot(store, run_id).await? else {
            return Ok(None);
        };
        let summary = snapshot.summary(&prices);
        let mut history = Vec::new();
        for pass in &snapshot.passes {
            let until = Until::after(PATIENCE);
            let of_pass = retry(&until, || store.history(run_id, pass.pass));
            history.extend(of_pass.await?);
        }
        let pass = snapshot.run.pass;
        let until = Until::after(PATIENCE);
        let rejected = retry(&until, || store.rejected(run_id, pass));
        let mut rejected = rejected.await?;
        rejected.sort_by(|a, b| (a.segment, a.at_ms, &a.key).cmp(&(b.segment, b.at_ms, &b.key)));
        let rejected_count = rejected.len();
        rejected.truncate(MOST_REJECTED);
        Ok(Some(Report {
            made_ms: now_ms(),
            version: env!("CARGO_PKG_VERSION"),
            checkpoint_table: checkpoint_table.into(),
            run: snapshot.run,
            passes: snapshot.passes,
            summary,
            prices,
            history,
            rejected,
            rejected_count,
        }))
    }

    /// The title of the document.
    pub fn title(&self) -> String {
        format!("Backfill of table {}", self.run.spec.table)
    }

    /// A command on this run.
    fn command(&self, name: &str) -> String {
        let mut command = format!("backfill {name} --run-id {}", self.run.run_id);
        if self.checkpoint_table != CHECKPOINT_TABLE {
            command += &format!(" --checkpoint-table {}", self.checkpoint_table);
        }
        command
    }

    /// The outcome, for somebody who knows nothing of segments and passes.
    pub fn outcome(&self) -> Outcome {
        let run = &self.run;
        let table = &run.spec.table;
        let dry = run.settings.dry_run;
        let resume = (
            "Go on from the checkpoints:".to_owned(),
            Some(self.command("resume")),
        );
        let counted = run.proof.as_ref().map(|proof| {
            format!(
                "a strongly consistent count over {} items, complete at {}, found",
                HumanCount(proof.scanned),
                time(proof.at_ms)
            )
        });
        let (verdict, headline, advice) = match (run.status, counted) {
            (RunStatus::Succeeded, Some(counted)) if dry => (
                Verdict::Proven,
                format!(
                    "Nothing is pending in table {table}: {counted} 0 that are pending. This was a dry run: nothing was \
                     written."
                ),
                vec![],
            ),
            (RunStatus::Succeeded, Some(counted)) => (
                Verdict::Proven,
                format!(
                    "Every item of table {table} has been migrated: {counted} 0 that are pending."
                ),
                vec![],
            ),
            (RunStatus::Incomplete, Some(counted)) => {
                let remaining = self.summary.remaining.unwrap_or_default();
                if dry {
                    (
                        Verdict::Open,
                        format!(
                            "{} to be migrated: {counted} {} pending. This was a dry run: nothing was \
                             written.",
                            items_of(remaining, table),
                            HumanCount(remaining)
                        ),
                        vec![],
                    )
                } else {
                    (
                        Verdict::NotComplete,
                        format!(
                            "NOT complete: {} still to be migrated. The passes are used up, and \
                             {counted} {} pending.",
                            items_of(remaining, table),
                            HumanCount(remaining)
                        ),
                        self.advice_where_items_remain(),
                    )
                }
            }
            (RunStatus::Succeeded | RunStatus::Incomplete, None) => (
                Verdict::NotComplete,
                format!(
                    "Not proven: the record of the run on table {table} says {}, and holds no count.",
                    run.status.name()
                ),
                vec![("Count again, with backfill verify and the same spec.".into(), None)],
            ),
            (RunStatus::Running, _) => (
                Verdict::Open,
                format!(
                    "Not finished: the run on table {table} was still going on when this report was made, {}. Nothing is \
                     proven yet.",
                    time(self.made_ms)
                ),
                vec![("See how it goes on:".into(), Some(self.command("status")))],
            ),
            (RunStatus::Paused, _) if !run.settings.only_segments.is_empty() => (
                Verdict::NotComplete,
                format!(
                    "NOT complete: the run on table {table} is paused{}. It is a canary, which sweeps no segments but {}.",
                    self.when_event("paused"),
                    listed(&run.settings.only_segments)
                ),
                vec![(format!("The run says: {}.", run.message), None)],
            ),
            (RunStatus::Paused, _) => (
                Verdict::NotComplete,
                format!("NOT complete: the run on table {table} is paused{}.", self.when_event("paused")),
                vec![resume],
            ),
            (RunStatus::Cancelled, _) => (
                Verdict::NotComplete,
                format!(
                    "NOT complete: the run on table {table} was cancelled{}. What it had changed until then stays changed.",
                    self.when_event("cancelled")
                ),
                vec![("To go on all the same, start it again with the same spec: it goes on from its checkpoints.".into(), None)],
            ),
            (RunStatus::Failed, _) => (
                Verdict::NotComplete,
                format!(
                    "NOT complete: the run on table {table} failed{}{}: {}",
                    self.when_event("failed"),
                    run.error
                        .as_ref()
                        .map_or_else(String::new, |name| format!(" with {name}")),
                    run.message
                ),
                vec![("Once the cause is mended:".to_owned(), resume.1)],
            ),
        };
        Outcome {
            verdict,
            headline,
            advice,
        }
    }

    fn advice_where_items_remain(&self) -> Vec<(String, Option<String>)> {
        let mut advice = Vec::new();
        if self.rejected_count > 0 {
            advice.push((
                format!(
                    "DynamoDB refuses the update of {} for good, each with its reason below. Mend them, or change the \
                     spec so that it leaves them out; then try these again:",
                    items(self.rejected_count as u64)
                ),
                Some(self.command("rejected") + " --retry"),
            ));
        }
        let remaining = self.summary.remaining.unwrap_or_default();
        if remaining > self.rejected_count as u64 {
            advice.push((
                "Items came into the table, or back into the state of before, behind the run: see that every writer sets the \
                 attribute. Then start it again, which begins a new pass."
                    .into(),
                None,
            ));
        }
        advice
    }

    /// When, and by whom, it came into this state; nothing where that is not known.
    fn when_event(&self, status: &str) -> String {
        let mut events = self.run.events.iter().rev();
        let event = events.find(|event| event.what == "status" && event.new == status);
        match event {
            Some(event) => format!(" ({}, by {})", time(event.at_ms), event.by),
            None => self
                .run
                .ended_ms
                .map_or_else(String::new, |at| format!(" ({})", time(at))),
        }
    }

    /// What the verification says: how it counted, when, and whether it still counts.
    pub fn proof(&self) -> String {
        let run = &self.run;
        let Some(proof) = &run.proof else {
            return "Not counted yet. A run ends as succeeded only after a strongly consistent count of 0.".into();
        };
        let count = format!(
            "{} of {} items pending, by a count with strongly consistent reads over the whole table, complete at {}",
            HumanCount(proof.remaining),
            HumanCount(proof.scanned),
            time(proof.at_ms)
        );
        if run.status.is_finished() {
            format!(
                "{count}. It used {} read units since the run began, which are in the bill, but not among those of the passes and charts.",
                decimal(run.verification_rcu)
            )
        } else {
            format!(
                "No count is valid now. An earlier one says nothing about now, since the run has gone on: {count}."
            )
        }
    }

    /// Seconds of the current or last execution.
    pub fn duration(&self) -> String {
        duration(self.summary.elapsed_seconds)
    }

    /// How the budget called `what` changed, the earliest first. The first step is from the beginning on or, where there may have
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

    /// Items scanned, updated and rejected by each segment in all passes, by its number.
    fn by_segment(&self) -> Vec<Cell> {
        let total = self.run.settings.total_segments;
        let mut segments: Vec<Cell> = (0..total)
            .map(|segment| Cell {
                first: segment,
                last: segment,
                not_done: 1,
                ..Cell::default()
            })
            .collect();
        for pass in &self.passes {
            for segment in &pass.segments {
                let Some(cell) = segments.get_mut(segment.segment as usize) else {
                    continue;
                };
                cell.scanned = cell.scanned.saturating_add(segment.counters.scanned);
                cell.updated = cell.updated.saturating_add(segment.counters.updated);
                cell.rejected = cell.rejected.saturating_add(segment.counters.rejected);
                if pass.pass == self.run.pass && segment.exhausted {
                    cell.not_done = 0;
                }
            }
        }
        segments
    }

    /// How evenly the work lies; `None` where there was none, as in a dry run.
    pub fn skew(&self) -> Option<Skew> {
        let segments = self.by_segment();
        let mut scanned: Vec<u64> = segments.iter().map(|cell| cell.scanned).collect();
        let all = sum(scanned.iter().copied());
        // Of equals the first.
        let hottest = segments
            .iter()
            .max_by_key(|cell| (cell.scanned, std::cmp::Reverse(cell.first)))
            .filter(|_| all > 0)?;
        scanned.sort_unstable();
        let largest = scanned.len().div_ceil(100);
        let current = self.passes.iter().find(|pass| pass.pass == self.run.pass);
        let exhausted = current.map_or(0, |pass| pass.segments_exhausted);
        let open = current.map_or(0, |pass| pass.segments_begun);
        Some(Skew {
            mean: all as f64 / scanned.len() as f64,
            median: (scanned[(scanned.len() - 1) / 2] as f64 + scanned[scanned.len() / 2] as f64)
                / 2.0,
            hottest: (hottest.first, hottest.scanned),
            largest: (
                largest as u32,
                sum(scanned.iter().rev().take(largest).copied()) as f64 / all as f64,
            ),
            exhausted,
            open,
            not_begun: (scanned.len() as u32).saturating_sub(exhausted + open),
        })
    }

    /// The map of segments: neighbours folded together where there are many.
    pub fn cells(&self) -> Vec<Cell> {
        let segments = self.by_segment();
        let fold = (segments.len() as u32).div_ceil(MOST_CELLS).max(1) as usize;
        let mut cells: Vec<Cell> = segments
            .chunks(fold)
            .map(|part| Cell {
                first: part[0].first,
                last: part[part.len() - 1].last,
                scanned: sum(part.iter().map(|cell| cell.scanned)),
                updated: sum(part.iter().map(|cell| cell.updated)),
                rejected: sum(part.iter().map(|cell| cell.rejected)),
                not_done: part.iter().map(|cell| cell.not_done).sum(),
                shade: 0,
            })
            .collect();
        let most = cells.iter().map(Cell::per_segment).fold(0.0, f64::max);
        for cell in &mut cells {
            cell.shade = (SHADES as f64 * cell.per_segment() / most).ceil() as u64; // NaN, where there is nothing, is 0.
        }
        cells
    }

    /// The segments with most items, in one pass.
    pub fn hottest(&self) -> Vec<&SegmentProgress> {
        let segments = self.passes.iter().flat_map(|pass| &pass.segments);
        let mut segments: Vec<&SegmentProgress> = segments.collect();
        segments.sort_by_key(|s| (std::cmp::Reverse(s.counters.scanned), s.segment));
        segments.truncate(HOTTEST);
        segments
    }

    /// What a cell of the map stands for.
    pub fn cells_note(&self) -> String {
        let fold = self.run.settings.total_segments.div_ceil(MOST_CELLS);
        match fold {
            0 | 1 => "Each cell is a segment, in the order of their numbers.".into(),
            fold => format!("Each cell stands for {fold} segments, in the order of their numbers."),
        }
    }

    /// How far back the changes go.
    pub fn changes_note(&self) -> String {
        format!("Only the last {MAX_EVENTS} changes are kept.")
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

    /// Where time without work is cut out; nothing where there is none.
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

    /// How many items were rejected, before the command that lists them.
    pub fn rejected_note(&self) -> String {
        let pass = self.run.pass;
        let all = items(self.rejected_count as u64);
        let fate = match self.run.status {
            RunStatus::Succeeded => {
                " The run has succeeded since: they have the attribute, or are gone."
            }
            _ => "",
        };
        match self.rejected_count > self.rejected.len() {
            true => format!(
                "{all} in pass {pass}, of which the first {} are shown.{fate} All of them:",
                self.rejected.len()
            ),
            false => format!("{all} in pass {pass}.{fate} For a program:"),
        }
    }

    /// The command that lists them all.
    pub fn list_rejected(&self) -> String {
        match self.rejected_count > self.rejected.len() {
            true => self.command("rejected"),
            false => self.command("rejected") + " --json",
        }
    }

    /// The parts of the bill in USD, and what each is for.
    pub fn bill(&self) -> Vec<(&'static str, f64)> {
        let bill = &self.summary.cost_usd;
        vec![
            ("Writes to the table and its indexes", bill.writes),
            ("Reads of the sweeps", bill.scan),
            ("Reads of the verification", bill.verification),
            ("Checkpoint table", bill.checkpoints),
            ("Lambda, duration", bill.lambda_duration),
            ("Lambda, requests", bill.lambda_requests),
            ("Step Functions, state transitions", bill.state_transitions),
        ]
    }

    /// What the bill is reckoned by, and what is not in it.
    pub fn bill_note(&self) -> String {
        format!(
            "At the on-demand prices of {} as of {}, from the capacity units that DynamoDB reported. Not in it: what a provisioned \
             table costs instead, replicas, readers of streams, storage, backups, logs, and the machine of a local run.",
            self.prices.region, self.prices.date
        )
    }

    /// Versions, identity and settings: name and value.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let run = &self.run;
        let settings = &run.settings;
        let keys: Vec<String> = std::iter::once(&run.keys.hash)
            .chain(&run.keys.range)
            .map(|key| format!("{} ({:?})", key.name, key.kind))
            .collect();
        vec![
            ("Run", run.run_id.clone()),
            ("Table", run.spec.table.clone()),
            ("Identity of the table", run.table_identity.clone()),
            ("Key", keys.join(", ")),
            ("Owner", run.owner.to_string()),
            ("State", format!("{}: {}", run.status.name(), run.message)),
            ("Started (last execution)", time(run.started_ms)),
            ("Ended", run.ended_ms.map_or_else(|| "not yet".into(), time)),
            (
                "Settings",
                format!(
                    "{} segments, {} at once, time box {} s, up to {} passes, {}, writer {}, at most {} rejected{}",
                    HumanCount(settings.total_segments.into()),
                    settings.max_concurrency,
                    settings.time_box_seconds,
                    settings.max_passes,
                    display::budget_text(settings.max_wcu, settings.max_rcu),
                    settings.writer.name(),
                    settings.max_rejected,
                    if settings.dry_run { ", dry run" } else { "" },
                ),
            ),
            ("Fingerprint of the spec", run.fingerprint.clone()),
            ("Checkpoint table", self.checkpoint_table.clone()),
            (
                "Versions",
                format!(
                    "report by backfill {}, records of layout {}, revision {}",
                    self.version, run.version, run.revision
                ),
            ),
            ("Report made", time(self.made_ms)),
        ]
    }

    /// The spec as JSON.
    pub fn spec(&self) -> String {
        serde_json::to_string_pretty(&self.run.spec).expect("a spec is plain data")
    }
}

impl Skew {
    /// The same in words, of so many segments.
    pub fn describe(&self, total: u32) -> String {
        let mut text = format!(
            "{} of {} done",
            HumanCount(self.exhausted.into()),
            display::plural(total, "segment", "segments"),
        );
        if self.open > 0 {
            text += &format!(", {} begun", HumanCount(self.open.into()));
        }
        if self.not_begun > 0 {
            text += &format!(", {} not begun", HumanCount(self.not_begun.into()));
        }
        let (hottest, scanned) = self.hottest;
        let (largest, share) = self.largest;
        text += &format!(
            ". The largest, segment {hottest}, has {}: {:.1} times the mean of {} and {} the median of {}.",
            items(scanned),
            scanned as f64 / self.mean,
            decimal(self.mean),
            match self.median {
                median if median > 0.0 => format!("{:.1} times", scanned as f64 / median),
                _ => "far above".into(),
            },
            decimal(self.median),
        );
        if total > 1 {
            text += &format!(
                " The largest 1 % ({}) {} {:.1} % of all items.",
                display::plural(largest, "segment", "segments"),
                if largest == 1 { "has" } else { "have" },
                100.0 * share
            );
        }
        text
    }
}

impl Line {
    /// The present budget, and how it got there, after … where its beginning is not known; `None` where there never was one.
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

impl Cell {
    /// Items scanned per segment of the cell.
    fn per_segment(&self) -> f64 {
        self.scanned as f64 / f64::from(self.last - self.first + 1)
    }

    /// The cell in words.
    pub fn describe(&self) -> String {
        let of = match self.last == self.first {
            true => format!("segment {}", self.first),
            false => format!("segments {} to {}", self.first, self.last),
        };
        let mut text = format!(
            "{of}: {} scanned, {} updated",
            HumanCount(self.scanned),
            HumanCount(self.updated)
        );
        if self.rejected > 0 {
            text += &format!(", {} rejected", HumanCount(self.rejected));
        }
        if self.not_done > 0 {
            text += &match self.last == self.first {
                true => ", not done".into(),
                false => format!(", {} not done", self.not_done),
            };
        }
        text
    }
}

/// The sum; as much as a number can hold where a damaged record says more.
fn sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}

/// A time in UTC for people, to the second.
pub fn time(ms: u64) -> String {
    rfc3339(ms).replace('T', " ").replace('Z', " UTC")
}

/// "1 item", "2,000 items".
pub fn items(n: u64) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} item{s}", HumanCount(n))
}

/// "0, 3 and 7".
fn listed(segments: &[u32]) -> String {
    let mut words: Vec<String> = segments.iter().map(u32::to_string).collect();
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} and {last}", words.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// "1 item of table stuff is".
fn items_of(n: u64, table: &str) -> String {
    let is = if n == 1 { "is" } else { "are" };
    format!("{} of table {table} {is}", items(n))
}

/// "41 s", "12 min 3 s", "3 h 5 min", "2 d 4 h".
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0 => format!("{seconds:.1} s"),
        1..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

/// A figure with as many digits as matter: "0.25", "4.2", "18", "12,345".
pub fn decimal(n: f64) -> String {
    match n.abs() {
        0.0 => "0".into(),
        n if n < 1.0 => format!("{n:.2}"),
        n if n < 10.0 => format!("{n:.1}"),
        n => HumanCount(n.round() as u64).to_string(),
    }
}
