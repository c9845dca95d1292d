//! The rate at which a process has read from the table, or written to it, of late without being throttled, for whoever does so next.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Over how long the rate is measured.
const MEASURE: Duration = Duration::from_millis(100);

/// Units per second that all segments of a process have read or written together.
#[derive(Debug)]
pub(super) struct Proven(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// The best rate since the table throttled last.
    rate: f64,
    /// What was used since then, besides.
    units: f64,
    since: Instant,
}

impl Proven {
    pub(super) fn nothing() -> Self {
        Proven(Mutex::new(State::from(Instant::now())))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Units per second; 0 if nothing is known.
    pub(super) fn rate(&self) -> f64 {
        self.lock().rate
    }

    /// Takes over what another one of the same process knows.
    pub(super) fn go_on_from(&self, other: &Proven) {
        let rate = other.rate();
        self.lock().rate = rate;
    }

    /// Takes note of an answer to a page.
    pub(super) fn answered(&self, units: f64, throttled: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        if throttled {
            *state = State::from(now);
            return;
        }
        state.units += units;
        let time = now - state.since;
        if time >= MEASURE {
            state.rate = state.rate.max(state.units / time.as_secs_f64());
            state.units = 0.0;
            state.since = now;
        }
    }
}

impl State {
    fn from(since: Instant) -> State {
        State {
            rate: 0.0,
            units: 0.0,
            since,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// polite: what a table that has throttled since took before says nothing.
    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_a_throttle_is_not_proven() {
        let proven = Proven::nothing();
        for _ in 0..100 {
            sleep(Duration::from_millis(10)).await;
            proven.answered(5.0, false);
        }
        let rate = proven.rate();
        assert!((450.0..=500.0).contains(&rate), "{rate}");
        let next = Proven::nothing();
        next.go_on_from(&proven);
        assert_eq!(next.rate(), rate);
        proven.answered(0.0, true);
        assert_eq!(proven.rate(), 0.0);
        for _ in 0..100 {
            sleep(Duration::from_millis(10)).await;
            proven.answered(1.0, false);
        }
        assert!((90.0..=100.0).contains(&proven.rate()), "{proven:?}");
    }
}
