//! A bucket of capacity units that fills at a rate: over any ten seconds less than 1 % beyond the rate is spent, and a
//! request that costs more than it should is paid off by waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::retry::Until;

/// What a bucket that nobody draws on may save up, in seconds of its rate. With the request that is waiting
/// (`REQUEST_SECONDS`) it bounds what any stretch of time can see beyond the rate: in 10 s, less than 1 %.
const SAVED_SECONDS: f64 = 0.05;

/// A token bucket. Before a request what it should cost is taken, and afterwards that is corrected by what it did cost: so
/// the bucket may go into debt. Whoever comes first is served first.
#[derive(Debug)]
pub struct TokenBucket {
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Units per second; infinite if there is no limit.
    rate: f64,
    level: f64,
    at: Instant,
}

impl State {
    /// Adds what has come in since the last look. A request of `units` that waits may be saved up for.
    fn refill(&mut self, units: f64) {
        let now = Instant::now();
        let since = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + since * self.rate).min(units + self.rate * SAVED_SECONDS);
    }
}

impl TokenBucket {
    /// A bucket that lets everything pass.
    pub fn unlimited() -> Self {
        TokenBucket {
            state: Mutex::new(State {
                rate: f64::INFINITY,
                level: 0.0,
                at: Instant::now(),
            }),
            turn: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The units per second that it fills by; infinite if there is no limit.
    pub fn rate(&self) -> f64 {
        self.state().rate
    }

    /// Changes the rate at once, also for whoever is waiting.
    pub fn set_rate(&self, rate: f64) {
        let mut state = self.state();
        if state.rate == rate {
            return;
        }
        if state.rate.is_finite() {
            // What is saved up is for the next request to judge.
            state.refill(f64::INFINITY);
        } else {
            state.level = 0.0;
            state.at = Instant::now();
        }
        state.rate = rate;
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until the bucket holds `units` and takes them; false if the time was over before.
    pub async fn take(&self, units: f64, until: &Until) -> bool {
        if self.rate().is_infinite() {
            return !until.is_over();
        }
        let _turn = tokio::select! {
            turn = self.turn.lock() => turn,
            () = until.over() => return false,
        };
        loop {
            if until.is_over() {
                return false;
            }
            let changed = self.changed.notified();
            let wait = {
                let mut state = self.state();
                if state.rate.is_infinite() {
                    return !until.is_over();
                }
                state.refill(units);
                if state.level >= units {
                    state.level -= units;
                    return true;
                }
                (units - state.level) / state.rate
            };
            // Never nothing: a rounding error must not make this spin.
            let wait = wait.max(0.001);
            tokio::select! {
                () = sleep(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX / 2)) => {}
                () = changed => {}
                () = until.over() => return false,
            }
        }
    }

    /// Corrects what was taken by what it turned out to cost.
    pub fn settle(&self, taken: f64, cost: f64) {
        let mut state = self.state();
        if state.rate.is_finite() {
            state.level -= cost - taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::REQUEST_SECONDS;

    /// Units paid in each tenth of a second.
    async fn paid(
        bucket: &TokenBucket,
        seconds: u64,
        units: f64,
        cost: impl Fn(u64) -> f64,
    ) -> Vec<f64> {
        let begin = Instant::now();
        let until = Until::after(Duration::from_secs(seconds));
        let mut paid = vec![0.0; seconds as usize * 10 + 1];
        let mut n = 0;
        while bucket.take(units, &until).await {
            let cost = cost(n);
            bucket.settle(units, cost);
            paid[(begin.elapsed().as_millis() / 100) as usize] += cost;
            n += 1;
        }
        paid
    }

    fn assert_within(paid: &[f64], rate: f64) {
        for window in paid[..paid.len() - 1].windows(100) {
            let share = window.iter().sum::<f64>() / (rate * 10.0);
            assert!((0.97..=1.01).contains(&share), "{share}");
        }
    }

    /// budget: over any ten seconds the rate is kept, whatever single requests turn out to cost.
    #[tokio::test(start_paused = true)]
    async fn budget_is_kept_over_any_ten_seconds() {
        for rate in [100.0, 1_000.0, 40_000.0] {
            let bucket = TokenBucket::unlimited();
            bucket.set_rate(rate);
            let units = rate * REQUEST_SECONDS;
            let random = std::cell::RefCell::new(fastrand::Rng::with_seed(1));
            let paid = paid(&bucket, 60, units, |_| {
                units * 2.0 * random.borrow_mut().f64()
            })
            .await;
            assert_within(&paid, rate);
        }
    }

    /// A request that costs far more than it should is paid off by waiting.
    #[tokio::test(start_paused = true)]
    async fn a_debt_is_paid_off() {
        let bucket = TokenBucket::unlimited();
        bucket.set_rate(100.0);
        let until = Until::after(Duration::from_secs(3_600));
        assert!(bucket.take(1.0, &until).await);
        bucket.settle(1.0, 1_000.0);
        let begin = Instant::now();
        assert!(bucket.take(1.0, &until).await);
        assert!(
            (9.9..10.1).contains(&begin.elapsed().as_secs_f64()),
            "{:?}",
            begin.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_holds_at_once_for_whoever_waits() {
        let bucket = TokenBucket::unlimited();
        bucket.set_rate(0.001);
        let until = Until::after(Duration::from_secs(3_600));
        let begin = Instant::now();
        let (taken, ()) = tokio::join!(bucket.take(1.0, &until), async {
            sleep(Duration::from_secs(5)).await;
            bucket.set_rate(1_000.0);
        });
        assert!(taken);
        assert!(
            begin.elapsed() < Duration::from_secs(6),
            "{:?}",
            begin.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_time_box() {
        let bucket = TokenBucket::unlimited();
        bucket.set_rate(0.001);
        let until = Until::after(Duration::from_secs(5));
        assert!(!bucket.take(1.0, &until).await);
    }
}
