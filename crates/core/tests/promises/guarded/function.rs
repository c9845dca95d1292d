//! What the guard function does with what Lambda brings it, over the ports: it settles batches, handles dead letters and looks once an
//! hour.

use std::cell::RefCell;
use std::time::Duration;

use backfill_core::guard::Guard;
use backfill_core::pace::retry::Until;
use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::ports::stream::{
    Begin, Brought, Iterator, Read, StreamReader as _, StreamRecord,
};
use backfill_core::records::MOST_UNWATCHED_MS;
use backfill_core::records::{GuardHour, GuardRecord, LossKind};
use backfill_testkit::{
    DeadLetter, ModelMapping, ModelStore, ModelStream, ModelTable, StreamFunction,
};
use tokio::time::{Instant, sleep};

/// Before its time is over the function takes so much to answer.
const RESERVE: Duration = Duration::from_secs(3);

/// The guard function.
pub struct Function {
    pub guard: Guard<ModelTable, ModelStore>,
    pub stream: ModelStream,
    /// What it has done, in all.
    pub done: RefCell<GuardHour>,
}

impl Function {
    async fn settle(
        &self,
        records: &[StreamRecord],
        deadline: Instant,
    ) -> Result<Option<usize>, String> {
        // With each batch: what was written before somebody switches the guard may be read after that.
        let record = self.guard.store.guard("stuff").await;
        let record = record.map_err(|error| error.report())?;
        let Some(record) = record.filter(GuardRecord::is_on) else {
            return Ok(None);
        };
        let until = Until {
            deadline: deadline - RESERVE,
            ..Until::after(Duration::ZERO)
        };
        let records: Vec<Brought> = records.iter().cloned().map(Ok).collect();
        let settled = self.guard.settle(&record, &records, &until).await;
        self.done.borrow_mut().add(&settled.total());
        Ok(settled.open_from)
    }

    /// Handles the dead letters of a mapping as they come, for ever.
    pub async fn handle_dead_letters(&self, mapping: &ModelMapping, handled: &RefCell<[u64; 2]>) {
        loop {
            sleep(Duration::from_secs(60)).await;
            let Some(letter) = mapping.dead_letter() else {
                continue;
            };
            // The queue brings it again after an error.
            if let Ok(is_lost) = self.read_again(&letter).await {
                handled.borrow_mut()[usize::from(is_lost)] += 1;
                mapping.remove_dead_letter(&letter);
            }
        }
    }

    /// Reads the records of a dead letter again and settles them; whether they are lost.
    async fn read_again(&self, letter: &DeadLetter) -> Result<bool, String> {
        let failed = |error: backfill_core::Error| error.report();
        let arn = self.stream.arn();
        let mut next = letter.first.clone();
        let last: u64 = letter.last.parse().expect("a number");
        loop {
            let begin = Begin::At(&next);
            let iterator = self.stream.iterator(arn, &letter.shard, begin).await;
            let Iterator::At(iterator) = iterator.map_err(failed)? else {
                return self.lose(letter).await;
            };
            let read = self.stream.read(&iterator, 100).await.map_err(failed)?;
            let Read::Records(records, more) = read else {
                return self.lose(letter).await;
            };
            let records: Vec<StreamRecord> = records.into_iter().flatten().collect();
            let number = |record: &StreamRecord| record.sequence.parse::<u64>().expect("a number");
            let of_letter = records.iter().take_while(|record| number(record) <= last);
            let of_letter: Vec<StreamRecord> = of_letter.cloned().collect();
            let deadline = Instant::now() + Duration::from_secs(60);
            if self.settle(&of_letter, deadline).await?.is_some() {
                return Err("not all of it is settled".into());
            }
            let reached = of_letter.last().map(number);
            if more.is_none() || of_letter.len() < records.len() || reached == Some(last) {
                return Ok(false);
            }
            next = reached.map_or(next, |reached| (reached + 1).to_string());
        }
    }

    async fn lose(&self, letter: &DeadLetter) -> Result<bool, String> {
        let what = format!("records of {} are gone", letter.shard);
        let lost = self.guard.lose("stuff", LossKind::Dropped, what).await;
        lost.map(|()| true).map_err(|error| error.report())
    }

    /// Looks whether the guard watches still.
    pub async fn look(&self, mapping: &ModelMapping) -> backfill_core::Result<()> {
        let Some(record) = self.guard.store.guard("stuff").await? else {
            return Ok(());
        };
        if !record.is_on() {
            return Ok(());
        }
        let now_ms = self.guard.access.now_ms();
        if now_ms - record.looked_ms > MOST_UNWATCHED_MS {
            let what = "nobody has looked".into();
            self.guard.lose("stuff", LossKind::Unwatched, what).await?;
        }
        if !mapping.is_enabled() {
            let what = "the mapping is off".into();
            self.guard.lose("stuff", LossKind::Off, what).await?;
        }
        self.guard
            .change("stuff", |record| record.looked_ms = now_ms)
            .await
    }
}

impl StreamFunction for Function {
    async fn handle(
        &self,
        records: Vec<StreamRecord>,
        deadline: Instant,
    ) -> Result<Vec<String>, String> {
        let open = self.settle(&records, deadline).await?;
        let open = &records[open.unwrap_or(records.len())..];
        Ok(open.iter().map(|record| record.sequence.clone()).collect())
    }
}
