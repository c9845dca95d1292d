//! What one segment of a process has learnt and the next need not ask again: the run record as it was a moment ago, and that
//! the update extinguishes its predicate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::records::RunRecord;

/// A chunk begins by a record that one of this process has read within this time. Beside the looks of longer chunks, this is
/// how soon a process with small segments knows of a change.
const FRESH: Duration = Duration::from_secs(2);

/// Segments that have shown by a trial of their own that the update extinguishes its predicate, after which others of the same
/// process and pass rely on it.
const ENOUGH_TRIALS: u32 = 1_000;

/// What segments of one process share.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The record of a run, and when it was read.
    run: Option<(Arc<RunRecord>, Instant)>,
    /// The same, however long ago that was.
    last: Option<Arc<RunRecord>>,
    trials: Option<Trials>,
}

/// Segments that have passed a trial of their own in a pass of a run.
#[derive(Debug)]
struct Trials {
    run_id: String,
    pass: u32,
    passed: u32,
}

impl Trials {
    fn are_of(&self, run: &RunRecord) -> bool {
        self.run_id == run.run_id && self.pass == run.pass
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of this run, if it was read a moment ago.
    pub(super) fn run(&self, run_id: &str) -> Option<Arc<RunRecord>> {
        let state = self.lock();
        let (run, read) = state.run.as_ref()?;
        (run.run_id == run_id && read.elapsed() < FRESH).then(|| run.clone())
    }

    /// The record that was read last, of whatever run; `None` if none was.
    pub(super) fn last_run(&self) -> Option<Arc<RunRecord>> {
        self.lock().last.clone()
    }

    /// Takes note of a record that was just read.
    pub(super) fn note_run(&self, run: &Arc<RunRecord>) {
        let mut state = self.lock();
        state.run = Some((run.clone(), Instant::now()));
        state.last = Some(run.clone());
    }

    /// The next chunk reads the record itself.
    pub(super) fn forget_run(&self) {
        self.lock().run = None;
    }

    /// Takes note of a segment that has passed a trial of its own.
    pub(super) fn note_trial(&self, run: &RunRecord) {
        let mut state = self.lock();
        let before = state.trials.take().filter(|trials| trials.are_of(run));
        let passed = before.map_or(0, |trials| trials.passed);
        state.trials = Some(Trials {
            run_id: run.run_id.clone(),
            pass: run.pass,
            passed: passed.saturating_add(1),
        });
    }

    /// Whether so many segments have passed a trial in this pass that another one needs none.
    pub(super) fn has_enough_trials(&self, run: &RunRecord) -> bool {
        let state = self.lock();
        let trials = state.trials.as_ref().filter(|trials| trials.are_of(run));
        trials.is_some_and(|trials| trials.passed >= ENOUGH_TRIALS)
    }
}
