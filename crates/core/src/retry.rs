//! The time that a piece of work has, and trying again within it.

use std::future::Future;
use std::time::Duration;

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
    pub deadline: Instant,
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

    /// True where nothing new may be begun.
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.deadline
    }

    /// True where [`retry`] gave up with `error` for no other reason than time: the table throttled until the
    /// deadline, or the operator stopped the waiting. Out of time is not an error (promise: honest-end).
    pub fn excuses(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Throttled
            || (error.kind().is_retryable() && self.stop.is_cancelled())
    }
}

/// How long a single small call (describe, read or save a record) is tried again while the service is
/// unavailable.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `attempt` until it succeeds, fails in a way that trying again does not mend, or the time is over; then
/// its last error is returned. Waits between attempts grow exponentially with full jitter (AWS Architecture
/// Blog, Exponential Backoff And Jitter).
pub async fn retry<T, F, Fut>(until: &Until, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut bound = FIRST_BACKOFF;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if error.kind().is_retryable() && !until.is_over() => error,
            Err(error) => return Err(error),
        };
        let wait = bound.mul_f64(fastrand::f64());
        if Instant::now() + wait >= until.deadline {
            return Err(error);
        }
        tracing::debug!(error = %error, wait_ms = wait.as_millis() as u64, "trying again");
        tokio::select! {
            () = sleep(wait) => {}
            () = until.stop.cancelled() => return Err(error),
        }
        bound = (bound * 2).min(MAX_BACKOFF);
    }
}
