//! The gate of a process that works on all segments of a run: until one item of the run has been updated, shown, and looked at as
//! right, one item is tried at a time, whichever segment found it, and nothing else is written. What is only read goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use super::result::PageResult;
use crate::pace::retry::Until;

/// The gate opens if so many items were tried that say nothing: live writers were faster, or DynamoDB refuses them for good. Then
/// each segment still tries its own.
const MOST_TRIED: u64 = 100;

/// Open unless it is [shut](Gate::reset).
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_shut: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// True if a trial has ended the run.
    has_failed: bool,
    /// Items that were tried and said nothing.
    tried: u64,
}

/// What the gate says to a page that has something to write.
pub(super) enum Admission<'g> {
    /// It is open.
    Open,
    /// Its items are tried, one by one, while others wait.
    First(First<'g>),
    /// The time was over before.
    Never,
}

/// The segment whose items are tried, from page to page for as long as this is kept.
pub(super) struct First<'g> {
    gate: &'g Gate,
    state: MutexGuard<'g, State>,
    /// Items that were tried before the page.
    before: u64,
}

impl Gate {
    /// Begins anew, shut or open: shut if no item of the run has shown anything yet.
    pub(super) async fn reset(&self, is_shut: bool) {
        *self.state.lock().await = State::default();
        self.is_shut.store(is_shut, Ordering::Release);
    }

    /// Whether it is shut.
    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire)
    }

    /// Waits until the gate is open, or until it is the page's turn to try its items.
    pub(super) async fn enter(&self, until: &Until) -> Admission<'_> {
        if !self.is_shut() {
            return Admission::Open;
        }
        let state = tokio::select! {
            state = self.state.lock() => state,
            () = until.over() => return Admission::Never,
        };
        if !self.is_shut() {
            return Admission::Open;
        }
        if state.has_failed {
            // Whoever drives the run is about to stop it.
            drop(state);
            until.over().await;
            return Admission::Never;
        }
        Admission::First(First {
            gate: self,
            before: state.tried,
            state,
        })
    }
}

impl First<'_> {
    /// Goes on with the next page of its segment: what was tried until now counts beside that.
    pub(super) fn next_page(&mut self) {
        self.before = self.state.tried;
    }

    /// Takes note of what has become of the items of the page until now. True if the gate is open from now on; it never opens if an
    /// error ends the run.
    pub(super) fn tried(&mut self, result: &PageResult) -> bool {
        let state = &mut *self.state;
        state.tried = self.before + result.counters.matched;
        let failure = result.failure.as_ref();
        state.has_failed = failure.is_some_and(|error| !error.kind().is_retryable());
        let opens = result.trial_passed || state.tried >= MOST_TRIED && !result.cut;
        if opens {
            self.gate.is_shut.store(false, Ordering::Release);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::records::Counters;
    use crate::{Error, ErrorKind};

    /// A page of which so many items were tried, until now.
    fn page(updated: u64, rejected: u64) -> PageResult {
        let counters = Counters {
            matched: updated + rejected,
            updated,
            rejected,
            ..Counters::default()
        };
        PageResult {
            counters,
            ..PageResult::default()
        }
    }

    async fn first<'g>(gate: &'g Gate, until: &Until) -> First<'g> {
        match gate.enter(until).await {
            Admission::First(first) => first,
            Admission::Open => panic!("it is open"),
            Admission::Never => panic!("the time is over"),
        }
    }

    /// One page at a time tries its items, and the others wait for what it shows.
    #[tokio::test(start_paused = true)]
    async fn one_tries_and_the_others_wait() {
        let gate = Gate::default();
        let until = Until::after(Duration::from_secs(10));
        assert!(
            matches!(gate.enter(&until).await, Admission::Open),
            "at first"
        );
        gate.reset(true).await;
        let mut one = first(&gate, &until).await;
        let soon = Until::after(Duration::from_secs(1));
        assert!(
            matches!(gate.enter(&soon).await, Admission::Never),
            "it waits"
        );
        assert!(!one.tried(&page(0, 3)));
        drop(one);
        let mut other = first(&gate, &until).await;
        let cut = PageResult {
            cut: true,
            ..page(1, 0)
        };
        assert!(!other.tried(&cut));
        drop(other);
        let mut third = first(&gate, &until).await;
        let right = PageResult {
            trial_passed: true,
            ..page(1, 0)
        };
        assert!(gate.is_shut() && third.tried(&right));
        drop(third);
        assert!(matches!(gate.enter(&until).await, Admission::Open));
    }

    /// Behind an error that ends the run nobody tries another item, and many that say nothing do not hold up the run.
    #[tokio::test(start_paused = true)]
    async fn it_never_opens_behind_an_error_and_does_behind_many_items() {
        let gate = Gate::default();
        gate.reset(true).await;
        let until = Until::after(Duration::from_secs(10));
        let mut one = first(&gate, &until).await;
        let error = Error::new(ErrorKind::UpdateDoesNotExtinguish, "still pending");
        let wrong = PageResult {
            cut: true,
            failure: Some(error),
            ..page(1, 0)
        };
        assert!(!one.tried(&wrong));
        drop(one);
        assert!(matches!(gate.enter(&until).await, Admission::Never));
        assert!(until.is_over() && gate.is_shut());
        gate.reset(true).await;
        let until = Until::after(Duration::from_secs(10));
        let mut one = first(&gate, &until).await;
        assert!(!one.tried(&page(0, MOST_TRIED - 1)));
        drop(one);
        let mut one = first(&gate, &until).await;
        assert!(one.tried(&page(0, 1)));
    }
}
