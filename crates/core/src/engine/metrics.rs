//! What a run is doing, for whoever watches it from outside: events of `tracing` under a target of their own, each figure
//! told once. The functions make metrics of them (crates/lambdas); elsewhere they are lines of the log like any other.

use std::time::Duration;

use crate::records::{Counters, GuardHour, RunRecord};

/// The target of the events. Each names the table, and the run if it is of one, and has at least one of the other fields of [`Figures`] and
/// [`GuardFigures`], or is one of [`report_look`].
pub const TARGET: &str = "backfill::metrics";

/// How often a worker reports, even if it has done nothing: that is how a worker without progress is told from none.
pub const EVERY: Duration = Duration::from_secs(60);

/// Figures of a run. What is `None` is not reported.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// What a worker has done since it last reported.
    pub done: Option<Counters>,
    /// The current pass.
    pub pass: Option<u32>,
    /// Exhausted segments of the pass.
    pub segments_done: Option<u32>,
    /// Segments that the table is cut into.
    pub segments_total: Option<u32>,
    /// The write budget of the run, in capacity units per second.
    pub max_wcu: Option<u32>,
    /// The read budget of the run, in capacity units per second.
    pub max_rcu: Option<u32>,
    /// Items that a verification has counted since it last reported.
    pub verified: Option<u64>,
    /// Items that are still pending, by a complete count.
    pub remaining: Option<u64>,
}

impl Figures {
    /// The settings of a run that are figures.
    pub(crate) fn of_run(run: &RunRecord) -> Figures {
        Figures {
            pass: Some(run.pass),
            segments_total: Some(run.settings.total_segments),
            max_wcu: run.settings.max_wcu,
            max_rcu: run.settings.max_rcu,
            ..Figures::default()
        }
    }

    /// Reports them as one event, under the names of the fields here and of [`Counters`].
    pub fn report(&self, table: &str, run_id: &str) {
        // As patterns, so that a new figure cannot be forgotten here.
        let Figures {
            done,
            pass,
            segments_done,
            segments_total,
            max_wcu,
            max_rcu,
            verified,
            remaining,
        } = *self;
        let Counters {
            scanned,
            // The sum of the next five.
            matched: _,
            updated,
            raced,
            vanished,
            rejected,
            contended,
            consumed_rcu,
            consumed_wcu,
            throttles,
            worked_seconds: _,
            checkpoints: _,
        } = done.unwrap_or_default();
        let done = done.is_some();
        tracing::info!(
            target: TARGET,
            table,
            run_id,
            scanned = done.then_some(scanned),
            updated = done.then_some(updated),
            raced = done.then_some(raced),
            vanished = done.then_some(vanished),
            rejected = done.then_some(rejected),
            // Only runs that compute values have any, and each figure that is reported is a metric that AWS bills.
            contended = (contended > 0).then_some(contended),
            consumed_rcu = done.then_some(consumed_rcu),
            consumed_wcu = done.then_some(consumed_wcu),
            throttles = done.then_some(throttles),
            pass,
            segments_done,
            segments_total,
            max_wcu,
            max_rcu,
            verified,
            remaining,
        );
    }
}

/// Figures of a guard: what it has done with a batch of stream records.
#[derive(Debug, Clone, Copy)]
pub struct GuardFigures<'a> {
    /// What was done with them.
    pub done: &'a GuardHour,
    /// The age of the oldest of them, in milliseconds, if there was one in its time.
    pub record_age_ms: Option<u64>,
}

impl GuardFigures<'_> {
    /// Reports them as one event. Runs have figures of the same meaning, whose names are others.
    pub fn report(&self, table: &str) {
        let GuardFigures {
            done,
            record_age_ms,
        } = *self;
        let GuardHour {
            start_ms: _,
            seen,
            repaired,
            raced,
            vanished,
            failed,
            samples: _,
        } = *done;
        tracing::info!(
            target: TARGET,
            table,
            records_seen = seen,
            repaired,
            guard_raced = raced,
            guard_vanished = vanished,
            guard_failed = failed,
            record_age_ms,
        );
    }
}

/// Reports that a guard function has looked whether it watches still, whatever it has found: no guard that is on for it as well. So a stack
/// whose schedule asks no more is told from one whose guard was never switched on. A look which finds that Lambda can bring the function
/// nothing is none, as in the guard's record.
pub fn report_look(table: &str) {
    tracing::info!(target: TARGET, table, guard_looks = 1_u64);
}
