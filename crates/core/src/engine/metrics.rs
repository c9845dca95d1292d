//! What a run is doing, for whoever watches it from outside: events of `tracing` under a target of their own. The functions
//! make metrics of them (crates/lambdas); elsewhere they are lines of the log like any other.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::records::{Counters, RunRecord};
use crate::request::Settings;

/// The target of the events. Each names the table and the run, and has at least one of the other fields of [`Figures`].
pub const TARGET: &str = "backfill::metrics";

/// How often a worker reports, also where it has done nothing: that is how a worker without progress is told from none.
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
    pub segments_total: Option<u32>,
    /// The budget of the run, in capacity units a second.
    pub max_wcu: Option<u32>,
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

    /// Reports them.
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
            // The sum of the next four.
            matched: _,
            updated,
            raced,
            vanished,
            rejected,
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

/// Reports what the worker of a segment does, in parts of a minute.
#[derive(Debug)]
pub(crate) struct Reporter<'a> {
    run: &'a RunRecord,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The counters of the last report.
    reported: Counters,
    /// Those of the last checkpoint. What is not checkpointed may be done again, and would count twice.
    saved: Counters,
    max_wcu: Option<u32>,
    max_rcu: Option<u32>,
}

impl<'a> Reporter<'a> {
    /// For a chunk that begins at these counters.
    pub(crate) fn new(run: &'a RunRecord, counters: &Counters) -> Reporter<'a> {
        Reporter {
            run,
            state: Mutex::new(State {
                reported: *counters,
                saved: *counters,
                max_wcu: run.settings.max_wcu,
                max_rcu: run.settings.max_rcu,
            }),
        }
    }

    /// These counters are checkpointed.
    pub(crate) fn saved(&self, counters: &Counters) {
        self.state().saved = *counters;
    }

    /// The budget is this from now on.
    pub(crate) fn follow(&self, settings: &Settings) {
        let mut state = self.state();
        state.max_wcu = settings.max_wcu;
        state.max_rcu = settings.max_rcu;
    }

    /// Reports what was checkpointed since the last report, with the number of exhausted segments where it is known.
    pub(crate) fn report(&self, segments_done: Option<u32>) {
        let mut state = self.state();
        let done = state.saved - state.reported;
        state.reported = state.saved;
        let figures = Figures {
            done: Some(done),
            segments_done,
            max_wcu: state.max_wcu,
            max_rcu: state.max_rcu,
            ..Figures::of_run(self.run)
        };
        drop(state);
        figures.report(&self.run.spec.table, &self.run.run_id);
    }

    /// Reports every minute until it is dropped.
    pub(crate) async fn report_regularly(&self) -> Infallible {
        loop {
            tokio::time::sleep(EVERY).await;
            self.report(None);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata};

    use super::*;
    use crate::Request;
    use crate::engine::planner::new_run;
    use crate::table::{KeyAttribute, KeySchema, KeyType, TableDescription};

    /// Numbers of one report, by name.
    type Report = BTreeMap<&'static str, f64>;

    /// Keeps what is reported.
    #[derive(Clone, Default)]
    struct Reports(Arc<Mutex<Vec<Report>>>);

    impl tracing::Subscriber for Reports {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == TARGET
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            struct Numbers(Report);
            impl Visit for Numbers {
                fn record_u64(&mut self, field: &Field, value: u64) {
                    self.0.insert(field.name(), value as f64);
                }
                fn record_f64(&mut self, field: &Field, value: f64) {
                    self.0.insert(field.name(), value);
                }
                fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
            }
            let mut numbers = Numbers(Report::new());
            event.record(&mut numbers);
            self.0.lock().unwrap().push(numbers.0);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_without_progress_reports_every_minute_and_each_figure_once() {
        let request = r#"{"table":"stuff","set":{"test":1},"max_wcu":500,"total_segments":8}"#;
        let request = Request::from_json(request).unwrap();
        let table = TableDescription {
            status: "ACTIVE".into(),
            identity: "1".into(),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: None,
            },
            item_count: 0,
            size_bytes: 0,
        };
        let run = new_run(&request, &table, &"somebody".into());
        let begin = Counters {
            scanned: 1_000,
            ..Counters::default()
        };
        let reports = Reports::default();
        let _subscriber = tracing::subscriber::set_default(reports.clone());
        let reporter = Reporter::new(&run, &begin);
        let work = async {
            tokio::time::sleep(3 * EVERY + EVERY / 2).await;
            let counters = Counters {
                scanned: 1_400,
                updated: 320,
                consumed_wcu: 320.5,
                ..begin
            };
            reporter.saved(&counters);
            let mut settings = run.settings.clone();
            settings.max_wcu = None;
            reporter.follow(&settings);
            tokio::time::sleep(EVERY).await;
        };
        tokio::select! {
            () = work => {}
            never = reporter.report_regularly() => match never {},
        }
        reporter.report(Some(1));
        let reports = reports.0.lock().unwrap();
        let of = |name| -> Vec<Option<f64>> {
            reports
                .iter()
                .map(|report| report.get(name).copied())
                .collect()
        };
        let nothing = Some(0.0);
        assert_eq!(
            of("scanned"),
            [nothing, nothing, nothing, Some(400.0), nothing]
        );
        assert_eq!(
            of("updated"),
            [nothing, nothing, nothing, Some(320.0), nothing]
        );
        assert_eq!(of("consumed_wcu")[3], Some(320.5));
        let budget = Some(500.0);
        assert_eq!(of("max_wcu"), [budget, budget, budget, None, None]);
        assert_eq!(of("segments_total")[0], Some(8.0));
        assert_eq!(of("segments_done"), [None, None, None, None, Some(1.0)]);
        assert_eq!(of("verified"), [None; 5]);
    }
}
