//! How a run came out, in a few sentences; and what proves it.

use backfill_core::change::lacking_text;
use backfill_core::records::{Different, Proof, RunStatus};
use backfill_core::view::latency::Latency;
use backfill_core::view::progress::PassProgress;
use indicatif::HumanCount;

use super::Report;
use crate::show::words::{self, decimal, items, time};

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
pub struct Brief {
    pub verdict: Verdict,
    pub headline: String,
    /// What is to be done, with a command if there is one.
    pub advice: Vec<(String, Option<String>)>,
}

impl Report {
    /// The run in brief, for somebody who knows nothing of segments and passes.
    pub fn brief(&self) -> Brief {
        let mut brief = self.of_records();
        let gone = self
            .table_now
            .and_then(|now| now.gone(&self.run.spec.table));
        brief
            .advice
            .splice(0..0, gone.map(|gone| (format!("Its table {gone}."), None)));
        brief
    }

    fn of_records(&self) -> Brief {
        let run = &self.run;
        let table = &run.spec.table;
        match (run.status, &run.proof) {
            (RunStatus::Succeeded, Some(proof)) => self.proven(proof),
            (RunStatus::Incomplete, Some(proof)) => self.incomplete(proof),
            (RunStatus::Incomplete, None) if self.rejected_count > 0 => Brief {
                verdict: Verdict::NotComplete,
                headline: format!(
                    "NOT complete: {} of table {table} cannot be updated. What is pending was not counted since others \
                     were mended.",
                    items(self.rejected_count as u64)
                ),
                advice: self.advice_if_items_remain(),
            },
            (RunStatus::Succeeded | RunStatus::Incomplete, None) => Brief {
                verdict: Verdict::NotComplete,
                headline: format!(
                    "Not proven: the record of the run on table {table} says {}, and holds no count.",
                    run.status.name()
                ),
                advice: advice("Count again, with backfill verify and the same spec.", None),
            },
            (RunStatus::Running, _) if run.hold.is_some() => self.held(),
            (RunStatus::Running, _) => Brief {
                verdict: Verdict::Open,
                headline: format!(
                    "Not finished: the run on table {table} was still going on when this report was made, {}. Nothing is \
                     proven yet.",
                    time(self.made_ms)
                ),
                advice: advice("See how it goes on:", Some(self.command("status"))),
            },
            (RunStatus::Paused | RunStatus::Cancelled | RunStatus::Failed, _) => self.stopped(),
        }
    }

    /// A run that goes on, and is held for now.
    fn held(&self) -> Brief {
        let (table, hold) = (&self.run.spec.table, self.held_since());
        Brief {
            verdict: Verdict::Open,
            headline: format!(
                "Held: the run on table {table} neither read nor wrote when this report was made, {}: {}. Nothing is proven yet.",
                time(self.made_ms),
                hold.unwrap_or_default()
            ),
            advice: advice(
                "It goes on by itself when that is over. To see whether it does:",
                Some(self.command("status")),
            ),
        }
    }

    /// What holds the run and since when; `None` if nothing does.
    pub fn held_since(&self) -> Option<String> {
        let hold = self.run.hold.as_ref()?;
        Some(format!("{}; held since {}", hold.why, time(hold.since_ms)))
    }

    fn proven(&self, proof: &Proof) -> Brief {
        let (table, counted) = (&self.run.spec.table, counted(proof));
        let headline = match self.run.settings.dry_run {
            true => format!(
                "Nothing is pending in table {table}: {counted} 0 that are pending. This was a dry run: nothing was \
                     written."
            ),
            false => format!(
                "Proven: no item of table {table} matches {}: {counted} 0 that do.",
                self.run.spec.predicate()
            ),
        };
        Brief {
            verdict: Verdict::Proven,
            headline: headline + &besides(proof),
            advice: self.advice_on_what_lies_outside(proof),
        }
    }

    /// What the count says nothing of, and how to find it out.
    fn advice_on_what_lies_outside(&self, proof: &Proof) -> Vec<(String, Option<String>)> {
        let spec = &self.run.spec;
        let lacking = spec.may_be_lacking();
        let is_told = self.run.settings.dry_run || !proof.lacking.is_empty();
        let Some(first) = lacking.first().filter(|_| !is_told) else {
            return Vec::new();
        };
        let what = format!(
            "Items that the predicate leaves out were not changed, and may lack {} all the same. How many do is counted by verify with a \
             spec that sets it:",
            lacking.join(", ")
        );
        let is_plain = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        let command = format!("backfill verify --table {} --set {first}=1", spec.table);
        advice(
            &what,
            (is_plain(first) && !first.contains('.')).then_some(command),
        )
    }

    fn incomplete(&self, proof: &Proof) -> Brief {
        let (counted, besides) = (counted(proof), besides(proof));
        let remaining = self.summary.remaining.unwrap_or_default();
        let items = items_of(remaining, &self.run.spec.table);
        let remaining = HumanCount(remaining);
        match self.run.settings.dry_run {
            true => Brief {
                verdict: Verdict::Open,
                headline: format!(
                    "{items} to be migrated: {counted} {remaining} pending. This was a dry run: nothing was \
                     written.{besides}"
                ),
                advice: Vec::new(),
            },
            false => Brief {
                verdict: Verdict::NotComplete,
                headline: format!(
                    "NOT complete: {items} still to be migrated. The passes are used up, and {counted} {remaining} \
                     pending.{besides}"
                ),
                advice: self.advice_if_items_remain(),
            },
        }
    }

    /// A run that was stopped or has failed.
    fn stopped(&self) -> Brief {
        let run = &self.run;
        let table = &run.spec.table;
        let when = self.when_event(run.status.name());
        let only = &run.settings.only_segments;
        let (what, advice) = match run.status {
            RunStatus::Paused if !only.is_empty() => (
                format!(
                    "is paused{when}. It is a canary, which sweeps no segments but {}.",
                    listed(only)
                ),
                advice(&format!("The run says: {}.", run.message), None),
            ),
            RunStatus::Paused => (
                format!("is paused{when}."),
                advice("Go on from the checkpoints:", Some(self.command("resume"))),
            ),
            RunStatus::Cancelled => (
                format!("was cancelled{when}. What it had changed until then stays changed."),
                advice(
                    "To go on all the same, start it again with the same spec: it goes on from its checkpoints.",
                    None,
                ),
            ),
            _ => (
                format!(
                    "failed{when}{}: {}",
                    run.error
                        .as_ref()
                        .map_or_else(String::new, |name| format!(" with {name}")),
                    run.message
                ),
                advice("Once the cause is fixed:", Some(self.command("resume"))),
            ),
        };
        Brief {
            verdict: Verdict::NotComplete,
            headline: format!("NOT complete: the run on table {table} {what}"),
            advice,
        }
    }

    fn advice_if_items_remain(&self) -> Vec<(String, Option<String>)> {
        let mut advice = Vec::new();
        if self.rejected_count > 0 {
            advice.push((
                format!(
                    "{} cannot be updated, each with its reason below. Fix them, or change the spec \
                     so that it leaves them out; then try these again:",
                    items(self.rejected_count as u64)
                ),
                Some(self.command("rejected") + " --retry"),
            ));
        }
        let remaining = self.summary.remaining.unwrap_or_default();
        let is_more_than_rejected = remaining > self.rejected_count as u64;
        let contended = self.passes.last().map_or(0, |pass| pass.counters.contended);
        if contended > 0 && (is_more_than_rejected || self.run.proof.is_none()) {
            let (was, value) = match contended {
                1 => ("was", "its value is"),
                _ => ("were", "their values are"),
            };
            advice.push((
                format!(
                    "{} {was} contended in the last pass: a live writer kept changing what {value} made from. Find that writer, and \
                     start the run again while it is quiet.",
                    items(contended)
                ),
                None,
            ));
        }
        if is_more_than_rejected {
            advice.push((
                "Items came into the table, or back into the state of before, behind the run: see that every writer sets the \
                 attribute. Then start it again, which begins a new pass."
                    .into(),
                None,
            ));
        }
        advice
    }

    /// When, and by whom, it came into this state; nothing if that is not known.
    fn when_event(&self, status: &str) -> String {
        let mut events = self.run.events.iter().rev();
        let event = events.find(|event| event.what == "status" && event.new == status);
        match event {
            Some(event) => format!(" ({}, by {})", time(event.at_ms), event.brief().by),
            None => self
                .run
                .ended_ms
                .map_or_else(String::new, |at| format!(" ({})", time(at))),
        }
    }

    /// How long the requests of a pass took; `None` if that was not noted.
    pub fn latency_of(&self, pass: &PassProgress) -> Option<String> {
        let latency = words::latency(&Latency::from(&pass.latency))?;
        Some(format!(
            "Pass {}, how long requests to the table took: {latency}.",
            pass.pass
        ))
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
            let guard = self.claim.as_ref();
            let guard = guard.map_or(String::new(), |claim| format!(" Its guard: {claim}."));
            format!(
                "{count}. It used {} read units since the run began, which are in the bill, but not among those of the passes and \
                 charts.{guard}",
                decimal(run.verification_rcu)
            )
        } else {
            format!(
                "No count is valid now. An earlier one says nothing about now, since the run has gone on: {count}."
            )
        }
    }
}

/// What is to be done, and the command for it if there is one.
fn advice(what: &str, command: Option<String>) -> Vec<(String, Option<String>)> {
    vec![(what.to_owned(), command)]
}

/// The beginning of a sentence about a count, which ends in a figure.
fn counted(proof: &Proof) -> String {
    format!(
        "a strongly consistent count over {} items, complete at {}, found",
        HumanCount(proof.scanned),
        time(proof.at_ms)
    )
}

/// Further sentences about the items that the predicate leaves out, and about those that have another value than their sources give
/// now; nothing of what was not counted.
fn besides(proof: &Proof) -> String {
    let different = proof.different.as_ref().map(Different::sentence);
    let texts = [lacking_text(&proof.lacking), different];
    let sentence = |text: String| {
        let (first, rest) = text.split_at(1);
        format!(" {}{rest}.", first.to_uppercase())
    };
    texts.into_iter().flatten().map(sentence).collect()
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
