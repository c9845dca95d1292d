//! What the guard function does with what Lambda brings it, by what the core does: it settles batches, settles dead letters again and
//! looks once an hour.

use std::cell::RefCell;
use std::time::Duration;

use backfill_core::Result;
use backfill_core::guard::{Found, FoundMapping, GivenUp, Guard};
use backfill_core::pace::retry::{Until, retry};
use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::ports::stream::{Brought, StreamRecord};
use backfill_core::records::{GuardHour, GuardRecord};
use backfill_testkit::{
    DeadLetter, ModelMapping, ModelStore, ModelStream, ModelTable, StreamFunction,
};
use tokio::time::{Instant, sleep, timeout};

use super::Frost;

/// Before its time is over the function takes so much to answer.
const RESERVE: Duration = Duration::from_secs(3);

/// Its timeout.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The guard function.
pub struct Function {
    pub guard: Guard<ModelTable, ModelStore>,
    pub stream: ModelStream,
    /// What it has done, in all.
    pub done: RefCell<GuardHour>,
    /// Stops it in the middle of whatever it does.
    pub frost: Frost,
}

/// Until the function has to answer.
fn until(deadline: Instant) -> Until {
    Until {
        deadline: deadline - RESERVE,
        ..Until::after(Duration::ZERO)
    }
}

/// A mapping as it is found at this moment, if there is one.
pub fn found(mapping: &ModelMapping) -> Option<FoundMapping> {
    mapping.described().map(|described| FoundMapping {
        uuid: described.uuid,
        state: described.state.into(),
        is_on: described.state == "Enabled",
        problem: described.problem.map(Into::into),
        drops: None,
    })
}

impl Function {
    pub fn new(guard: Guard<ModelTable, ModelStore>, stream: ModelStream) -> Function {
        Function {
            guard,
            stream,
            done: RefCell::default(),
            frost: Frost::default(),
        }
    }

    /// An invocation that Lambda ends when its time is over: `None`.
    async fn invoked<T>(&self, doing: impl Future<Output = T>) -> Option<T> {
        timeout(TIMEOUT, self.frost.lets(doing)).await.ok()
    }

    /// The guard, if it is on. Read with each batch: what was written before somebody switches the guard may be brought after that.
    async fn mine(&self, until: &Until) -> Result<Option<GuardRecord>> {
        let record = retry(until, || self.guard.store.guard("stuff")).await?;
        Ok(record.filter(GuardRecord::is_on))
    }

    /// Where the first record stands that has to come again.
    async fn settle(&self, records: &[StreamRecord], until: &Until) -> Result<Option<usize>> {
        let Some(record) = self.mine(until).await? else {
            return Ok(None);
        };
        if let Some(oldest_ms) = records.iter().map(|record| record.at_ms).min() {
            let now_ms = self.guard.access.now_ms();
            self.guard.note_late(&record, oldest_ms, now_ms).await?;
        }
        let records: Vec<Brought> = records.iter().cloned().map(Ok).collect();
        let settled = self.guard.settle(&record, &records, until).await;
        self.done.borrow_mut().add(&settled.total());
        match settled.error {
            Some(error) if !error.kind().is_retryable() => Err(error),
            _ => Ok(settled.open_from),
        }
    }

    /// Handles the dead letters of a mapping as they come, for ever. Counts those that were handled, and those that came again.
    pub async fn handle_dead_letters(&self, mapping: &ModelMapping, handled: &RefCell<[u64; 2]>) {
        loop {
            sleep(TIMEOUT).await;
            let Some(letter) = mapping.dead_letter() else {
                continue;
            };
            // The queue brings it again after an error.
            let is_handled = matches!(self.invoked(self.read_again(&letter)).await, Some(Ok(())));
            handled.borrow_mut()[usize::from(!is_handled)] += 1;
            if is_handled {
                mapping.remove_dead_letter(&letter);
            }
        }
    }

    /// Settles the records of a dead letter.
    async fn read_again(&self, letter: &DeadLetter) -> Result<()> {
        let until = until(Instant::now() + TIMEOUT);
        let Some(record) = self.mine(&until).await? else {
            return Ok(());
        };
        let given_up = GivenUp {
            shard: letter.shard.clone(),
            start: letter.first.clone(),
            end: letter.last.clone(),
            first_ms: Some(letter.first_ms),
            last_ms: Some(letter.last_ms),
            at_ms: Some(letter.at_ms),
        };
        let mut done = GuardHour::default();
        let settled = self
            .guard
            .settle_again(&record, &self.stream, &given_up, &until, &mut done);
        let settled = settled.await;
        self.done.borrow_mut().add(&done);
        settled
    }

    /// Looks whether the guard watches still.
    pub async fn look(&self, mapping: &ModelMapping) {
        // The next one comes in an hour.
        let _ = self.invoked(self.note_look(mapping)).await;
    }

    async fn note_look(&self, mapping: &ModelMapping) -> Result<()> {
        let until = until(Instant::now() + TIMEOUT);
        let Some(record) = self.mine(&until).await? else {
            return Ok(());
        };
        let found = Found {
            mappings: found(mapping).into_iter().collect(),
            stream_arn: Some(self.stream.arn().into()),
        };
        self.guard.note_look(&record, &found).await.map(drop)
    }
}

impl StreamFunction for Function {
    async fn handle(
        &self,
        records: Vec<StreamRecord>,
        deadline: Instant,
    ) -> std::result::Result<Vec<String>, String> {
        let open = self
            .frost
            .lets(self.settle(&records, &until(deadline)))
            .await;
        let open = open.map_err(|error| error.report())?;
        let open = &records[open.unwrap_or(records.len())..];
        Ok(open.iter().map(|record| record.sequence.clone()).collect())
    }
}
