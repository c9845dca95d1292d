//! The gate of a process that works on all segments of a run: until one item of the run has been updated, shown, and looked at as
//! right, one item is tried at a time, whichever segment found it, and nothing else is written. What is only read goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use super::result::PageResult;
use crate::pace::retry::Until;

/// The gate opens if so many items were tried that say nothing: live writers were faster, or DynamoDB refuses them for good. Then
/// each segment still tries its own.
const MOST_TRIED: u64 = 100;

/// Open unless it is [shut](Gate::shut).
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_shut: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// True if a trial has ended the run.
    has_failed: bool,
    /// Items that were tried and said nothing.
    tried: u64,
    /// How many of them DynamoDB has refused for good.
    rejected: u64,
    /// True if DynamoDB has accepted an update, though nothing could be said of the item then.
    has_accepted: bool,
}

/// What the gate says to a page that has something to write.
pub(super) enum Pass<'g> {
    /// It is open.
    Open,
    /// Its items are tried, one by one, while others wait.
    First(First<'g>),
    /// The time was over before.
    Never,
}

/// The page whose items are tried.
pub(super) struct First<'g> {
    gate: &'g Gate,
    state: MutexGuard<'g, State>,
    /// What was tried before the page.
    before: State,
}

impl Gate {
    /// Shuts the gate of a run of which no item has shown anything yet, or opens it.
    pub(super) async fn shut(&self, is_shut: bool) {
        *self.state.lock().await = State::default();
        self.is_shut.store(is_shut, Ordering::Release);
    }

    /// Whether it is shut.
    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire)
    }

    /// Waits until the gate is open, or until it is the page's turn to try its items.
    pub(super) async fn pass(&self, until: &Until) -> Pass<'_> {
        if !self.is_shut() {
            return Pass::Open;
        }
        let state = tokio::select! {
            state = self.state.lock() => state,
            () = until.over() => return Pass::Never,
        };
        if !self.is_shut() {
            return Pass::Open;
        }
        if state.has_failed {
            // Whoever drives the run is about to stop it.
            drop(state);
            until.over().await;
            return Pass::Never;
        }
        Pass::First(First {
            gate: self,
            before: *state,
            state,
        })
    }
}

impl First<'_> {
    /// Items that were rejected before the page while no update was accepted; `None` if one was.
    pub(super) fn in_vain(&self) -> Option<u64> {
        (!self.before.has_accepted).then_some(self.before.rejected)
    }

    /// Takes note of what has become of the items of the page until now. True if the gate is open from now on; it never opens if an
    /// error ends the run.
    pub(super) fn tried(&mut self, result: &PageResult) -> bool {
        let (state, before) = (&mut *self.state, &self.before);
        state.tried = before.tried + result.counters.matched;
        state.rejected = before.rejected + result.counters.rejected;
        state.has_accepted = before.has_accepted || result.counters.updated > 0;
        let failure = result.failure.as_ref();
        state.has_failed = failure.is_some_and(|error| !error.kind().is_retryable());
        let opens = result.trial_passed || state.tried >= MOST_TRIED && !result.cut;
        if opens {
            self.gate.is_shut.store(false, Ordering::Release);
        }
        opens
    }
}
