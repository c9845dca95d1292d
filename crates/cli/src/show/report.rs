//! A run as one document, for somebody who was not there.

mod brief;
mod chart;
pub mod html;
pub mod markdown;
mod over_time;
mod segments;
#[cfg(test)]
mod tests;

use backfill_core::records::{HistoryBucket, MAX_EVENTS, Owner, Rejected, RunRecord, RunStatus};
use backfill_core::text::visible_json;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{PassProgress, SegmentProgress, Summary};
use indicatif::HumanCount;

use crate::show::runs::TableNow;
use crate::show::words::{self, items, time};
use crate::{budget, hint, place};

/// Segments with most items that a report lists.
pub const HOTTEST: usize = 5;

/// Rejected items that a report lists.
pub const MOST_REJECTED: usize = 100;

/// All that a report says, from the records of a run.
pub struct Report {
    /// When the records were read; milliseconds since 1970.
    pub made_ms: u64,
    /// Version of this command.
    pub version: &'static str,
    pub checkpoint_table: String,
    pub run: RunRecord,
    /// What has become of its table; `None` if that cannot be told.
    pub table_now: Option<TableNow>,
    /// What the guard of its table makes of the count, as a sentence without its end; `None` if there is none for this change.
    pub claim: Option<String>,
    pub passes: Vec<PassProgress>,
    /// Segments with most items out of those that are summed up, at most [`HOTTEST`] a pass.
    pub largest: Vec<SegmentProgress>,
    pub summary: Summary,
    pub prices: Prices,
    /// What the workers noted in all passes.
    pub history: Vec<HistoryBucket>,
    /// Items of the current pass that cannot be updated, at most [`MOST_REJECTED`], by segment and time.
    pub rejected: Vec<Rejected>,
    /// How many such items there are in the current pass.
    pub rejected_count: usize,
}

impl Report {
    /// The title of the document.
    pub fn title(&self) -> String {
        format!("Backfill of table {}", self.run.spec.table)
    }

    /// A command on this run.
    fn command(&self, name: &str) -> String {
        hint::on_run(name, &self.run.run_id, &self.checkpoint_table)
    }

    /// The time of all executions.
    pub fn duration(&self) -> String {
        words::duration(self.summary.total_seconds)
    }

    /// How far back the changes go.
    pub fn changes_note(&self) -> String {
        format!("Only the last {MAX_EVENTS} changes are kept.")
    }

    /// How many items were rejected, before the command that lists them.
    pub fn rejected_note(&self) -> String {
        let pass = self.run.pass;
        let all = items(self.rejected_count as u64);
        let fate = match self.run.status {
            RunStatus::Succeeded => " The run has succeeded since: they are pending no more.",
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
        let mut parts = vec![
            ("Writes to the table and its indexes", bill.writes),
            ("Reads of the sweeps", bill.scan),
            ("Reads of the verification", bill.verification),
            ("Checkpoint table", bill.checkpoints),
        ];
        if matches!(self.run.owner, Owner::Execution(_)) {
            parts.extend([
                ("Lambda, duration", bill.lambda_duration),
                ("Lambda, requests", bill.lambda_requests),
                ("Step Functions, state transitions", bill.state_transitions),
            ]);
        }
        parts
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
        let held = self.held_since().map(|held| ("Held", held));
        let holders = self.holders().map(|holders| ("Holds", holders));
        let mut facts = vec![
            ("Run", run.run_id.clone()),
            ("Table", run.spec.table.clone()),
            ("Identity of the table", run.table_identity.clone()),
            ("Key", keys.join(", ")),
            ("Owner", run.owner.brief()),
            ("State", format!("{}: {}", run.status.name(), run.message)),
            ("Started (last session)", time(run.started_ms)),
            ("Ended", run.ended_ms.map_or_else(|| "not yet".into(), time)),
            ("Time", words::time_of(&self.summary, words::duration)),
            (
                "Settings",
                format!(
                    "{} segments, {} at once, time box {} s, up to {} passes, {}, writer {}, at most {} rejected{}",
                    HumanCount(settings.total_segments.into()),
                    settings.workers(),
                    settings.time_box_seconds,
                    settings.max_passes,
                    budget::text(settings.max_wcu, settings.max_rcu),
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
        ];
        if let Some(place) = place::words() {
            facts.insert(2, ("Where", place.to_owned()));
        }
        let at = |facts: &[(&str, String)], name| facts.iter().position(|fact| fact.0 == name);
        for (behind, fact) in [("State", held), ("Settings", holders)] {
            if let (Some(at), Some(fact)) = (at(&facts, behind), fact) {
                facts.insert(at + 1, fact);
            }
        }
        facts
    }

    /// What may hold the run, or pauses it; `None` if nothing does.
    fn holders(&self) -> Option<String> {
        let settings = &self.run.settings;
        let alarm = settings.pause_when.as_ref();
        let alarm = alarm.map(|alarm| format!("held while alarm {alarm} is in ALARM"));
        let hours = settings.hours.as_ref();
        let hours = hours.map(|hours| format!("held outside of {hours}"));
        let canary = settings.pause_after;
        let canary = canary.map(|items| format!("pauses after {items} updated items"));
        let all: Vec<String> = [alarm, hours, canary].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Whether items were left to a later pass since their sources kept moving: only runs that compute values have any.
    fn has_contended(&self) -> bool {
        let mut passes = self.passes.iter();
        passes.any(|pass| pass.counters.contended > 0)
    }

    /// The spec as JSON.
    pub fn spec(&self) -> String {
        let json = serde_json::to_string_pretty(&self.run.spec).expect("a spec is plain data");
        visible_json(&json).into_owned()
    }
}
