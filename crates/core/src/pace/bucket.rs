//! A bucket of capacity units that fills at a rate: over any ten seconds no more than 1 % beyond the rate is spent, and a
//! request that costs more than it should is paid off by waiting.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::retry::Until;

/// What a bucket that nobody draws on may save up, in seconds of its rate. With the request that is waiting
/// (`REQUEST_SECONDS`) it bounds what any stretch of time can see beyond the rate: in 10 s, less than 1 %.
const SAVED_SECONDS: f64 = 0.05;

/// A stretch of time in which no more is spent than it brings, also if single requests cost so much that a bucket, which
/// lets pass what it has saved up for, would let one too many into some ten seconds. It is longer than ten seconds by as much
/// as requests may differ in how long they take to be charged: 1 % of it.
const STRETCH: Duration = Duration::from_millis(10_100);

/// What is spent within so short a time is remembered as one.
const TOGETHER: Duration = Duration::from_millis(10);

/// Requests of a bucket that does not outlive a time box that may go although the time box does not bring what they cost: an item
/// and the check of the trial.
const UNPAYABLE: u32 = 2;

/// What was spent of late, in seconds of the rate of its moment, so that a rate may change meanwhile.
#[derive(Debug, Default)]
struct Spent {
    /// When it began to be spent, and how much: the earliest first.
    of_late: VecDeque<(Instant, f64)>,
    sum: f64,
}

impl Spent {
    fn forget(&mut self, now: Instant) {
        while let Some(&(at, seconds)) = self.of_late.front()
            && now.duration_since(at) >= STRETCH
        {
            self.of_late.pop_front();
            self.sum -= seconds;
        }
        if self.of_late.is_empty() {
            self.sum = 0.0;
        }
    }

    /// How long so much must wait so that the stretch does not hold too much. What is more than a whole stretch waits until
    /// nothing was spent for as long.
    fn wait(&self, seconds: f64, now: Instant) -> Duration {
        let fits = |sum: f64| sum + seconds <= STRETCH.as_secs_f64() + 1e-6;
        let mut left = self.sum;
        let mut wait = Duration::ZERO;
        for &(at, gone) in &self.of_late {
            if fits(left) {
                break;
            }
            left -= gone;
            wait = (at + STRETCH).duration_since(now);
        }
        wait
    }

    fn add(&mut self, seconds: f64, now: Instant) {
        self.sum += seconds;
        match self.of_late.back_mut() {
            Some((at, sum)) if now.duration_since(*at) < TOGETHER => *sum += seconds,
            _ => self.of_late.push_back((now, seconds)),
        }
    }

    /// Takes back what was not spent after all.
    fn take_back(&mut self, mut seconds: f64) {
        while let Some((_, last)) = self.of_late.back_mut() {
            let part = seconds.min(*last);
            *last -= part;
            self.sum -= part;
            seconds -= part;
            if seconds <= 0.0 {
                return;
            }
            self.of_late.pop_back();
        }
    }
}

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
    /// `None` if it is not kept to the rate that strictly.
    spent: Option<Spent>,
    /// True until the first request if somebody else has used the same share until now, which this bucket knows nothing of.
    follows: bool,
    /// How many more requests may go although they cannot be paid for before the time is over. What such a bucket saves up is
    /// lost when the time is over, so none of them would ever go.
    unpayable: u32,
    /// When it was made.
    begin: Instant,
    /// Units that others may have used at their very end, for which the next request waits as well.
    left_by_others: f64,
    /// True if a request waits for what those before it took, and not for its own units.
    in_arrears: bool,
}

impl State {
    /// Adds what has come in since the last look. A request of `units` that waits may be saved up for.
    fn refill(&mut self, units: f64) {
        let now = Instant::now();
        let since = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + since * self.rate).min(units + self.rate * SAVED_SECONDS);
        if let Some(spent) = &mut self.spent {
            spent.forget(now);
        }
    }

    /// Lets a request of `units`, if it is the first, wait for what others may have used before it. If that is known, it waits for
    /// `most` of the time that is left.
    fn wait_for_others(&mut self, units: f64, most: Duration) {
        if std::mem::take(&mut self.follows) {
            self.level -= units;
        }
        let left = std::mem::take(&mut self.left_by_others);
        self.level -= left.min(self.rate * most.min(STRETCH).as_secs_f64());
    }

    /// How long `units` have to wait, as far as is known now.
    fn wait(&self, units: f64) -> Duration {
        let units = if self.in_arrears { 0.0 } else { units };
        let missing = (units - self.level).max(0.0) / self.rate;
        let missing = Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX / 2);
        let spent = self.spent.as_ref();
        missing.max(spent.map_or(Duration::ZERO, |spent| {
            spent.wait(units / self.rate, self.at)
        }))
    }

    /// Whether a time box that ends then may never bring so many units: they cost half of it, so that the first request, which waits
    /// twice, does not go, or a quarter of it and more than the stretch, which the rate is not kept over then anyway. Others that
    /// come too late for this time box have their turn in the next.
    fn is_unpayable(&self, units: f64, end: Instant) -> bool {
        let seconds = units / self.rate;
        let time_box = end.saturating_duration_since(self.begin).as_secs_f64();
        let is_long = seconds > STRETCH.as_secs_f64();
        self.unpayable > 0 && (seconds * 2.0 > time_box || is_long && seconds * 4.0 > time_box)
    }

    /// Takes `units`, or gives them back if they are less than nothing.
    fn take(&mut self, units: f64) {
        self.level -= units;
        if let Some(spent) = &mut self.spent {
            match units > 0.0 {
                true => spent.add(units / self.rate, Instant::now()),
                false => spent.take_back(-units / self.rate),
            }
        }
    }
}

impl TokenBucket {
    /// A bucket that lets everything pass until it has a rate.
    pub fn unlimited() -> Self {
        TokenBucket::new(None, false)
    }

    /// A bucket that lets everything pass until it has a rate, and then holds it over any ten seconds whatever a request costs,
    /// but for one request of more than ten seconds of the rate. If it `follows` another one that has used the same share until
    /// now, its first request waits for its units twice: the other one may have spent as much at its very end. Such a bucket is
    /// followed by another one in its turn, so what it cannot pay for within its time goes unpaid at half of it, once or twice.
    pub fn strict(follows: bool) -> Self {
        TokenBucket::new(Some(Spent::default()), follows)
    }

    /// A bucket that lets everything pass until it has a rate, and then each request as soon as those before it are paid for: the
    /// first goes at once, and over any time a single request more than the rate brings.
    pub fn in_arrears() -> Self {
        let mut bucket = TokenBucket::unlimited();
        let state = bucket.state.get_mut();
        state.unwrap_or_else(PoisonError::into_inner).in_arrears = true;
        bucket
    }

    fn new(spent: Option<Spent>, follows: bool) -> Self {
        TokenBucket {
            state: Mutex::new(State {
                rate: f64::INFINITY,
                level: 0.0,
                at: Instant::now(),
                spent,
                follows,
                unpayable: if follows { UNPAYABLE } else { 0 },
                begin: Instant::now(),
                left_by_others: 0.0,
                in_arrears: false,
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
            if state.in_arrears && state.level < 0.0 {
                // What was taken at a higher rate is not paid for at a lower one.
                state.level *= (rate / state.rate).min(1.0);
            }
        } else {
            state.level = 0.0;
            state.at = Instant::now();
        }
        state.rate = rate;
        drop(state);
        self.changed.notify_one();
    }

    /// Others have used the rate until now, and their last requests may have cost so many units: the next request waits for
    /// those, and not for its own twice, but for no more than ten seconds, nor for a quarter of its time.
    pub fn follow(&self, units: f64) {
        let mut state = self.state();
        state.follows = false;
        state.left_by_others = units;
    }

    /// Says that what it saves up is lost when the time of its requests is over, so that what cannot be paid for within it goes
    /// at half of it, once or twice.
    pub fn end_with_its_time(&self) {
        self.state().unpayable = UNPAYABLE;
    }

    /// Waits until the bucket holds `units` and takes them; false if the time was over before.
    pub async fn take(&self, units: f64, until: &Until) -> bool {
        if self.rate().is_infinite() {
            return !until.is_over();
        }
        let _turn = tokio::select! {
            // Mostly nobody else waits, and then no timer is set. Whether the time is over is looked at behind this.
            biased;
            turn = self.turn.lock() => turn,
            () = until.over() => return false,
        };
        let begin = Instant::now();
        let half = begin + until.deadline.saturating_duration_since(begin) / 2;
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
                state.wait_for_others(units, until.quarter());
                let mut wait = state.wait(units);
                let now = Instant::now();
                let left = until.deadline.saturating_duration_since(now);
                if wait > left && state.is_unpayable(units, until.deadline) {
                    wait = half.saturating_duration_since(now);
                    state.unpayable -= u32::from(wait.is_zero());
                }
                if wait.is_zero() {
                    state.take(units);
                    return true;
                }
                wait
            };
            tokio::select! {
                // Never nothing: a rounding error must not make this spin.
                () = sleep(wait.max(Duration::from_millis(1))) => {}
                () = changed => {}
                () = until.over() => return false,
            }
        }
    }

    /// Corrects what was taken by what it turned out to cost.
    pub fn settle(&self, taken: f64, cost: f64) {
        let mut state = self.state();
        if state.rate.is_finite() {
            state.take(cost - taken);
            if cost < taken {
                // Whoever waits need not wait that long.
                self.changed.notify_one();
            }
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

    /// In arrears the rate is kept as well, and neither the first request waits nor one behind a rate that has fallen for long.
    #[tokio::test(start_paused = true)]
    async fn what_is_paid_in_arrears_begins_at_once() {
        let bucket = TokenBucket::in_arrears();
        bucket.set_rate(100.0);
        let paid = paid(&bucket, 60, 10.0, |_| 10.0).await;
        assert_eq!(paid[0], 10.0, "the first at once");
        assert_within(&paid, 100.0);
        bucket.set_rate(1.0);
        let begin = Instant::now();
        let until = Until::after(Duration::from_secs(60));
        assert!(bucket.take(10.0, &until).await);
        assert!(begin.elapsed() < Duration::from_millis(200));
        assert!(bucket.take(10.0, &until).await);
        assert_eq!(begin.elapsed().as_secs(), 10);
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

    /// budget: whoever goes on within it waits for what others may have used last, and has time left for its own.
    #[tokio::test(start_paused = true)]
    async fn what_others_have_used_is_waited_for() {
        for (left, seconds, expected) in
            [(500.0, 600, 6.0), (9_000.0, 600, 11.1), (9_000.0, 4, 2.0)]
        {
            let bucket = TokenBucket::strict(false);
            bucket.set_rate(100.0);
            bucket.follow(left);
            let until = Until::after(Duration::from_secs(seconds));
            let begin = Instant::now();
            assert!(bucket.take(100.0, &until).await);
            let waited = begin.elapsed().as_secs_f64();
            assert!((waited - expected).abs() < 0.1, "{waited}, {expected}");
            let begin = Instant::now();
            assert!(bucket.take(100.0, &until).await);
            assert!(begin.elapsed() < Duration::from_millis(1_100), "once");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_time_box() {
        let bucket = TokenBucket::unlimited();
        bucket.set_rate(0.001);
        let until = Until::after(Duration::from_secs(5));
        assert!(!bucket.take(1.0, &until).await);
    }

    /// honest-end: what a time box does not bring goes at half of it, so that something goes in each; twice, and no more often.
    #[tokio::test(start_paused = true)]
    async fn what_a_time_box_does_not_bring_goes_at_half_of_it() {
        let bucket = TokenBucket::strict(true);
        bucket.set_rate(1.0);
        let begin = Instant::now();
        let until = Until::after(Duration::from_secs(100));
        assert!(bucket.take(400.0, &until).await);
        assert_eq!(begin.elapsed().as_secs(), 50);
        assert!(bucket.take(400.0, &until).await);
        assert_eq!(begin.elapsed().as_secs(), 75);
        assert!(!bucket.take(400.0, &until).await);
        assert_eq!(begin.elapsed().as_secs(), 100);
        // What it does bring, in the next one if not in this, waits.
        let bucket = TokenBucket::strict(true);
        bucket.set_rate(1.0);
        let until = Until::after(Duration::from_secs(100));
        assert!(bucket.take(24.0, &until).await);
        assert!(bucket.take(24.0, &until).await);
        assert!(bucket.take(24.0, &until).await);
        assert!(!bucket.take(24.0, &until).await);
        // A bucket that outlives a time box goes on saving up in the next one.
        let lasting = TokenBucket::strict(false);
        lasting.set_rate(1.0);
        let next = || Until::after(Duration::from_secs(100));
        for _ in 0..3 {
            assert!(!lasting.take(390.0, &next()).await);
        }
        assert!(lasting.take(390.0, &next()).await);
    }
}
