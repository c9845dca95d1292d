//! What a worker tells while it works: the history of the run, for a chart, and its figures, for whoever watches from
//! outside. Both tell what is checkpointed, once, and nothing else: what is not may be done again, and would count twice.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::now_ms;
use crate::engine::metrics::{EVERY, Figures};
use crate::ports::SegmentStore;
use crate::records::{BUCKET_MS, Counters, Flush, RunRecord};
use crate::request::Settings;

/// A segment is flushed no more often than this within a chunk.
const LEAST_EVERY: Duration = Duration::from_millis(BUCKET_MS);

/// A segment is flushed no more often than so many times in the age of the run, so that the number of flushes grows with the
/// logarithm of that age.
pub const FLUSHES_PER_AGE: u32 = 60;

/// A segment is flushed no more often than this times the segments at once, so that the additions are no load.
const FLUSH_EVERY_PER_SEGMENT: Duration = Duration::from_millis(20);

/// How long a flush may take, also beyond the time box; there is one try.
pub const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What the worker of one segment tells in one chunk.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    run: &'a RunRecord,
    segment: u32,
    begin: Instant,
    /// Age of the run at `begin`.
    age: Duration,
    /// The least time between two flushes.
    least: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The counters of the last checkpoint.
    saved: Counters,
    /// The counters of the last report.
    reported: Counters,
    /// The counters of the last flush, and when it was.
    flushed: (Counters, Instant),
    /// The write budget as it is now, in capacity units per second.
    max_wcu: Option<u32>,
    /// The read budget as it is now, in capacity units per second.
    max_rcu: Option<u32>,
}

impl State {
    /// What was done since the last flush, and in what time; `None`, and nothing changes, if that is nothing.
    fn take(&mut self) -> Option<(Counters, Duration)> {
        let (before, since) = self.flushed;
        let done = (self.saved - before).work();
        if done == Counters::default() {
            return None;
        }
        let now = Instant::now();
        self.flushed = (self.saved, now);
        Some((done, now - since))
    }
}

impl<'a> Ledger<'a> {
    /// The ledger of a chunk of `run` that begins now, at these counters of its segment.
    pub(super) fn new(run: &'a RunRecord, segment: u32, counters: &Counters) -> Ledger<'a> {
        let begin = Instant::now();
        Ledger {
            run,
            segment,
            begin,
            age: Duration::from_millis(now_ms().saturating_sub(run.started_ms)),
            least: LEAST_EVERY.max(FLUSH_EVERY_PER_SEGMENT * run.settings.workers()),
            state: Mutex::new(State {
                saved: *counters,
                reported: *counters,
                flushed: (*counters, begin),
                max_wcu: run.settings.max_wcu,
                max_rcu: run.settings.max_rcu,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run.
    pub(super) fn run(&self) -> &'a RunRecord {
        self.run
    }

    /// The segment.
    pub(super) fn segment(&self) -> u32 {
        self.segment
    }

    /// What was checkpointed since the last flush, and in what time, for whoever tells it in place of this; `None` if that is
    /// nothing.
    pub(super) fn take(&self) -> Option<(Counters, Duration)> {
        self.state().take()
    }

    /// Takes note of counters that are checkpointed.
    pub(super) fn saved(&self, counters: &Counters) {
        self.state().saved = *counters;
    }

    /// The budget is that of these settings from now on.
    pub(super) fn follow(&self, settings: &Settings) {
        let mut state = self.state();
        state.max_wcu = settings.max_wcu;
        state.max_rcu = settings.max_rcu;
    }

    /// Whether it is time for a flush.
    pub(super) fn is_due(&self) -> bool {
        self.state().flushed.1.elapsed() >= self.least()
    }

    /// The least time between two flushes now.
    pub(super) fn least(&self) -> Duration {
        let age = self.age + self.begin.elapsed();
        self.least.max(age / FLUSHES_PER_AGE)
    }

    /// Adds what was checkpointed since the last flush to the history of the run. An error is no error of the run, and the
    /// flush is not tried again: it may have been carried out, and would then count twice.
    pub(super) async fn flush<S: SegmentStore>(&self, store: &S) {
        let Some((done, time)) = self.state().take() else {
            return;
        };
        let flush = Flush {
            at_ms: now_ms(),
            seconds: time.as_secs_f64(),
            done,
        };
        let adding = store.add_to_history(self.run, self.segment, &flush);
        match tokio::time::timeout(FLUSH_PATIENCE, adding).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = error.report(), "part of the history is lost");
            }
            Err(_) => tracing::debug!("part of the history is lost: no answer in time"),
        }
    }

    /// Reports what was checkpointed since the last report, with the number of exhausted segments if it is known.
    pub(super) fn report(&self, segments_done: Option<u32>) {
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
    pub(super) async fn report_regularly(&self) -> Infallible {
        loop {
            tokio::time::sleep(EVERY).await;
            self.report(None);
        }
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
    use crate::engine::metrics::TARGET;
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
            replicas: Vec::new(),
            is_strong_everywhere: false,
            identity: "1".into(),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: None,
            },
            item_count: 0,
            size_bytes: 0,
            billing: crate::table::Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            indexes: Vec::new(),
        };
        let run = new_run(&request, &table, &"somebody".into());
        let begin = Counters {
            scanned: 1_000,
            ..Counters::default()
        };
        let reports = Reports::default();
        let _subscriber = tracing::subscriber::set_default(reports.clone());
        let ledger = Ledger::new(&run, 0, &begin);
        let work = async {
            tokio::time::sleep(3 * EVERY + EVERY / 2).await;
            let counters = Counters {
                scanned: 1_400,
                updated: 320,
                consumed_wcu: 320.5,
                ..begin
            };
            ledger.saved(&counters);
            let mut settings = run.settings.clone();
            settings.max_wcu = None;
            ledger.follow(&settings);
            tokio::time::sleep(EVERY).await;
        };
        tokio::select! {
            () = work => {}
            never = ledger.report_regularly() => match never {},
        }
        ledger.report(Some(1));
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

    #[test]
    fn what_was_done_is_told_once() {
        let begin = (Counters::default(), Instant::now());
        let mut state = State {
            saved: begin.0,
            reported: begin.0,
            flushed: begin,
            max_wcu: None,
            max_rcu: None,
        };
        assert_eq!(state.take(), None);
        state.saved.updated = 3;
        state.saved.consumed_wcu = 4.5;
        state.saved.checkpoints = 1;
        let (done, _) = state.take().unwrap();
        assert_eq!((done.updated, done.consumed_wcu), (3, 4.5));
        state.saved.checkpoints = 2;
        assert_eq!(state.take(), None, "a checkpoint is no work");
    }
}
