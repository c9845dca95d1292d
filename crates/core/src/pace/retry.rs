//! The time that a piece of work has, and trying again within it: only what trying again may mend is tried again.

use std::future::Future;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind, Result};

/// First upper bound of the random wait before trying again.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// Largest upper bound of that wait.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Until when work may go on: a deadline, and the operator's wish to stop.
#[derive(Debug, Clone)]
pub struct Until {
    /// When the time is over.
    pub deadline: Instant,
    /// Cancelled if work is to stop before that.
    pub stop: CancellationToken,
}

impl Until {
    /// `time` from now, with no way to stop earlier.
    pub fn after(time: Duration) -> Self {
        Until {
            deadline: Instant::now() + time,
            stop: CancellationToken::new(),
        }
    }

    /// True if nothing new may be begun.
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.deadline
    }

    /// A quarter of the time that is left: so long may be waited for what only might be so, if something is to be done as well.
    pub fn quarter(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()) / 4
    }

    /// Waits until nothing new may be begun.
    pub async fn over(&self) {
        tokio::select! {
            () = tokio::time::sleep_until(self.deadline) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// How long the service, or the item, may be unavailable to one call, without a break, before that is an error.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits between attempts: exponential with full jitter (AWS Architecture Blog, Exponential Backoff And Jitter).
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Backoff(FIRST_BACKOFF)
    }

    fn next(&mut self) -> Duration {
        let wait = self.0.mul_f64(fastrand::f64());
        self.0 = (self.0 * 2).min(MAX_BACKOFF);
        wait
    }
}

/// Calls `attempt`, each time when its `turn` has come, until it succeeds or fails in a way that trying again does not
/// mend. Returns `None` if the time was over before: a table that throttles until the end of the time box is no error
/// (promise: honest-end), and neither is a service that has been unavailable for less than [`PATIENCE`]. Waiting for a
/// turn, which can take minutes under a small budget, is no unavailability.
///
/// Errors: that of the last attempt if it is not retryable, or if service or item were unavailable for [`PATIENCE`].
pub async fn retry_until<T, Turn, W, A, Waiting, Attempt>(
    until: &Until,
    turn: W,
    attempt: A,
) -> Result<Option<T>>
where
    W: Fn() -> Waiting,
    Waiting: Future<Output = Option<Turn>>,
    A: Fn(Turn) -> Attempt,
    Attempt: Future<Output = Result<T>>,
{
    let mut backoff = Backoff::new();
    let mut unavailable = Duration::ZERO;
    loop {
        let Some(turn) = turn().await else {
            return Ok(None);
        };
        let begin = Instant::now();
        let error = match attempt(turn).await {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::Throttled => unavailable = Duration::ZERO,
            ErrorKind::Unavailable | ErrorKind::ItemBusy => {
                unavailable += begin.elapsed();
                if unavailable >= PATIENCE {
                    return Err(error);
                }
            }
            _ => return Err(error),
        }
        let wait = backoff.next();
        if until.is_over() || Instant::now() + wait >= until.deadline {
            return Ok(None);
        }
        if error.kind() != ErrorKind::Throttled {
            unavailable += wait;
        }
        tracing::debug!(error = %error, wait_ms = wait.as_millis() as u64, "trying again");
        tokio::select! {
            () = sleep(wait) => {}
            () = until.stop.cancelled() => return Ok(None),
        }
    }
}

/// Does what [`retry`] does for each of these, all at once, and returns what came of each in their order. They are not tried again
/// together: of many calls one fails far sooner than a single one does.
pub async fn retry_each<K, T, A, Attempt>(
    until: &Until,
    each: impl IntoIterator<Item = K>,
    attempt: A,
) -> Result<Vec<T>>
where
    K: Copy,
    A: Fn(K) -> Attempt,
    Attempt: Future<Output = Result<T>>,
{
    let attempt = &attempt;
    let calls = each
        .into_iter()
        .map(|one| retry(until, move || attempt(one)));
    try_join_all(calls).await
}

/// Calls `attempt` until it succeeds or fails in a way that trying again does not mend: for what has to succeed before
/// anything else makes sense.
///
/// Errors: that of the last attempt if it is not retryable or the time is over.
pub async fn retry<T, F, Fut>(until: &Until, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut backoff = Backoff::new();
    loop {
        match attempt().await {
            Err(error) => wait_after(error, until, &mut backoff).await?,
            result => return result,
        }
    }
}

/// Waits before the next attempt.
///
/// Errors: this one, if there is to be no other attempt.
// Apart from `retry`, of which the functions have a copy for each call that is made so.
async fn wait_after(error: Error, until: &Until, backoff: &mut Backoff) -> Result<()> {
    if !error.kind().is_retryable() || until.is_over() {
        return Err(error);
    }
    tracing::debug!(error = %error, "trying again");
    tokio::select! {
        () = sleep(backoff.next()) => Ok(()),
        () = until.stop.cancelled() => Err(error),
    }
}

/// An attempt that went well for this long before it failed has met with an outage of its own. One that does nothing but wait
/// for a read, a write and a checkpoint is shorter.
const NEW_OUTAGE: Duration = PATIENCE.saturating_mul(4);

/// Calls an `attempt` that takes minutes until it succeeds or fails in a way that trying again does not mend. It gives up
/// if the outage has lasted for `patience`, however long the attempts went well before it, or if `stop` is cancelled.
///
/// Errors: that of the last attempt.
pub async fn retry_outage<T, F, Fut>(
    stop: &CancellationToken,
    patience: Duration,
    mut attempt: F,
) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut outage: Option<(Instant, Backoff)> = None;
    loop {
        let begin = Instant::now();
        let error = match attempt().await {
            Err(error) if error.kind().is_retryable() => error,
            result => return result,
        };
        if begin.elapsed() > NEW_OUTAGE {
            outage = None;
        }
        let (since, backoff) = outage.get_or_insert_with(|| (Instant::now(), Backoff::new()));
        if since.elapsed() >= patience || stop.is_cancelled() {
            return Err(error);
        }
        tracing::debug!(error = %error, "trying again");
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = stop.cancelled() => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    async fn failing(kind: ErrorKind) -> Result<()> {
        sleep(Duration::from_millis(10)).await;
        Err(Error::new(kind, "injected"))
    }

    async fn at_once() -> Option<()> {
        Some(())
    }

    /// Turns that are minutes apart are not an outage of minutes.
    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_turn_is_no_outage() {
        let until = Until::after(Duration::from_secs(1_200));
        let turn = || async {
            sleep(Duration::from_secs(90)).await;
            (!until.is_over()).then_some(())
        };
        let result = retry_until(&until, turn, |()| failing(ErrorKind::Unavailable)).await;
        assert_eq!(result.unwrap(), None);
    }

    /// honest-end: a table that throttles for the whole time box is no error, however long that is, and no attempt begins
    /// after the end. (One that began before it may end after it; the clock of tokio counts in whole milliseconds.)
    #[tokio::test(start_paused = true)]
    async fn honest_end_when_throttled_to_the_end() {
        let until = Until::after(Duration::from_secs(600));
        let last = std::cell::Cell::new(Instant::now());
        let trying = retry_until(&until, at_once, |()| {
            last.set(Instant::now());
            failing(ErrorKind::Throttled)
        });
        let ended = tokio::time::timeout(Duration::from_secs(660), trying).await;
        assert_eq!(ended.expect("it ends").unwrap(), None);
        let tick = Duration::from_millis(1);
        assert!(last.get() <= until.deadline + tick, "it stops at the end");
        let wasted = until
            .deadline
            .saturating_duration_since(last.get() + Duration::from_millis(10));
        assert!(wasted <= MAX_BACKOFF, "it tries to the end");
    }

    /// honest-end: a service that stays unavailable is an error, after a minute of trying.
    #[tokio::test(start_paused = true)]
    async fn an_outage_is_an_error() {
        let begin = Instant::now();
        let until = Until::after(Duration::from_secs(600));
        let result = retry_until(&until, at_once, |()| failing(ErrorKind::Unavailable)).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(begin.elapsed() >= PATIENCE && begin.elapsed() < PATIENCE * 2);
    }

    /// honest-end: an outage late in an attempt of ten minutes is waited out as long as one at its beginning.
    #[tokio::test(start_paused = true)]
    async fn an_outage_is_counted_from_its_beginning() {
        let patience = Duration::from_secs(600);
        let stop = CancellationToken::new();
        let attempts = std::cell::Cell::new(0);
        let recovered = retry_outage(&stop, patience, async || {
            attempts.set(attempts.get() + 1);
            let well = if attempts.get() == 1 { 700 } else { 60 };
            sleep(Duration::from_secs(well)).await;
            match attempts.get() {
                9 => Ok(()),
                _ => Err(Error::new(ErrorKind::Unavailable, "injected")),
            }
        });
        recovered.await.unwrap();

        let begin = Instant::now();
        let lost = retry_outage(&stop, patience, || failing(ErrorKind::Unavailable));
        assert_eq!(lost.await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(begin.elapsed() >= patience && begin.elapsed() < patience * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_trying_again_does_not_mend_is_not_tried_again() {
        let calls = std::cell::Cell::new(0);
        let until = Until::after(Duration::from_secs(600));
        let result = retry_until(&until, at_once, |()| {
            calls.set(calls.get() + 1);
            failing(ErrorKind::AccessDenied)
        })
        .await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::AccessDenied);
        assert_eq!(calls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_the_waiting() {
        let until = Until::after(Duration::from_secs(600));
        let stop = until.stop.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            stop.cancel();
        });
        let begin = Instant::now();
        let result = retry_until(&until, at_once, |()| failing(ErrorKind::Throttled)).await;
        assert_eq!(result.unwrap(), None);
        assert!(
            begin.elapsed() <= Duration::from_secs(11),
            "{:?}",
            begin.elapsed()
        );
    }
}
