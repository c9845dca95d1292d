//! What can go wrong at a call, and the moment at which the process dies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backfill_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;

/// After this the client gives up waiting for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Injects latency, errors and a crash into every call of the model table and store. Cloned handles share it.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    random: Mutex<fastrand::Rng>,
    /// Some failures show only when the client gives up waiting, and single statements and pages are odd.
    worst: bool,
    /// Nothing fails any more.
    calm: AtomicBool,
    /// Probability that a call fails before it does anything.
    refuse: f64,
    /// Probability that a call does its work and the answer is lost.
    lose_reply: f64,
    /// Longest latency of a call, in milliseconds.
    latency_ms: u64,
    /// Every call has two steps: before and after it takes effect.
    steps: AtomicU64,
    /// The step at which the process dies; 0 is never.
    crash_at: AtomicU64,
    crashed: Notify,
    /// The step from which on the target table fails, and how.
    fail_after: Mutex<Option<(u64, ErrorKind)>>,
    /// How every call of the records fails, and how every call of the stream; `None` for one that answers.
    away: Mutex<[Option<ErrorKind>; 2]>,
}

impl Faults {
    /// Latency only.
    pub fn none(seed: u64) -> Self {
        Faults::random(seed, 0.0, 0.0)
    }

    /// Calls fail with these probabilities: before they take effect, and after it.
    pub fn random(seed: u64, refuse: f64, lose_reply: f64) -> Self {
        Faults::with(seed, refuse, lose_reply, false)
    }

    /// Calls fail with these probabilities and in worse ways: answers that do not come, statements that fail in odd ways,
    /// pages that are empty and not the last. An outage may last longer than the engine's patience.
    pub fn worst(seed: u64, refuse: f64, lose_reply: f64) -> Self {
        Faults::with(seed, refuse, lose_reply, true)
    }

    fn with(seed: u64, refuse: f64, lose_reply: f64, worst: bool) -> Self {
        Faults {
            shared: Arc::new(Shared {
                random: Mutex::new(fastrand::Rng::with_seed(seed)),
                worst,
                calm: AtomicBool::new(false),
                refuse,
                lose_reply,
                latency_ms: 20,
                steps: AtomicU64::new(0),
                crash_at: AtomicU64::new(0),
                crashed: Notify::new(),
                fail_after: Mutex::new(None),
                away: Mutex::default(),
            }),
        }
    }

    /// The process dies at this step, counted from the beginning: from then on no call returns.
    pub fn crash_at(&self, step: u64) {
        self.shared.crash_at.store(step, Ordering::SeqCst);
    }

    /// From this step on every access to the target table fails like this, until [`Faults::restart`].
    pub fn fail_after(&self, step: u64, kind: ErrorKind) {
        *self.shared.fail_after.lock().unwrap() = Some((step, kind));
    }

    /// From now on every call of the records fails like this before it does anything, until [`Faults::restart`].
    pub fn lose_records(&self, kind: ErrorKind) {
        self.shared.away.lock().unwrap()[0] = Some(kind);
    }

    /// From now on every call of the stream fails like this, until [`Faults::restart`].
    pub fn lose_stream(&self, kind: ErrorKind) {
        self.shared.away.lock().unwrap()[1] = Some(kind);
    }

    /// A new process: calls return again, and table, records and stream answer.
    pub fn restart(&self) {
        self.shared.crash_at.store(0, Ordering::SeqCst);
        *self.shared.fail_after.lock().unwrap() = None;
        *self.shared.away.lock().unwrap() = [None; 2];
    }

    /// Before a call of the records.
    pub(crate) async fn before_records(&self) -> Result<()> {
        self.before_what_may_be_away(0).await
    }

    /// Before a call of the stream.
    pub(crate) async fn before_stream(&self) -> Result<()> {
        self.before_what_may_be_away(1).await
    }

    async fn before_what_may_be_away(&self, index: usize) -> Result<()> {
        self.before().await?;
        match self.shared.away.lock().unwrap()[index] {
            Some(kind) => Err(Error::new(kind, "injected for good")),
            None => Ok(()),
        }
    }

    pub(crate) fn check_access(&self) -> Result<()> {
        match *self.shared.fail_after.lock().unwrap() {
            Some((step, kind)) if self.steps() >= step => {
                Err(Error::new(kind, "injected for good"))
            }
            _ => Ok(()),
        }
    }

    /// Resolves when the process has died.
    pub async fn crashed(&self) {
        self.shared.crashed.notified().await;
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.shared.steps.load(Ordering::SeqCst)
    }

    /// A random number from the shared source.
    pub fn pick(&self, below: u64) -> u64 {
        self.shared.random.lock().unwrap().u64(..below)
    }

    pub(crate) async fn before(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(self.pick(self.shared.latency_ms))).await;
        self.step().await;
        self.refuse().await
    }

    async fn refuse(&self) -> Result<()> {
        if !self.happens(self.shared.refuse) {
            return Ok(());
        }
        let kind = match self.pick(if self.shared.worst { 3 } else { 2 }) {
            0 => ErrorKind::Throttled,
            1 => ErrorKind::Unavailable,
            _ => {
                tokio::time::sleep(TIMEOUT).await;
                ErrorKind::Unavailable
            }
        };
        Err(Error::new(kind, "injected before the call"))
    }

    /// One statement of a batch fails before it takes effect, as often as a call does, and in more ways.
    pub(crate) async fn statement(&self) -> Result<()> {
        self.step().await;
        if !self.happens(self.shared.refuse) {
            return Ok(());
        }
        let kind = match self.pick(if self.shared.worst { 40 } else { 2 }) {
            // Of the statement: what UpdateItem makes of the item is another matter. It ends batches, so it is seldom.
            2 => ErrorKind::InvalidSpec,
            3..20 => ErrorKind::AccessDenied,
            way if way % 2 == 0 => ErrorKind::Throttled,
            _ => ErrorKind::Unavailable,
        };
        Err(Error::new(kind, "injected for a statement"))
    }

    pub(crate) async fn after(&self) -> Result<()> {
        self.step().await;
        if self.happens(self.shared.lose_reply) {
            if self.shared.worst && self.pick(2) == 0 {
                tokio::time::sleep(TIMEOUT).await;
            }
            return Err(Error::new(ErrorKind::Unavailable, "injected: reply lost"));
        }
        Ok(())
    }

    /// Whether a scan brings a page without items that is not the end.
    pub(crate) fn empty_page(&self) -> bool {
        self.shared.worst && self.happens(self.shared.refuse)
    }

    /// From now on nothing fails.
    pub fn calm_down(&self) {
        self.shared.calm.store(true, Ordering::SeqCst);
    }

    fn happens(&self, probability: f64) -> bool {
        let calm = self.shared.calm.load(Ordering::SeqCst);
        !calm && probability > 0.0 && self.shared.random.lock().unwrap().f64() < probability
    }

    async fn step(&self) {
        let step = self.shared.steps.fetch_add(1, Ordering::SeqCst) + 1;
        let crash_at = self.shared.crash_at.load(Ordering::SeqCst);
        if crash_at != 0 && step >= crash_at {
            self.shared.crashed.notify_one();
            // A dead process does nothing more; the test drops this future.
            std::future::pending::<()>().await;
        }
    }
}
