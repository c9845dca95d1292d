//! Settling a batch of stream records: every item that a record shows pending is repaired, or is known not to be pending any more, or is
//! recorded as failed. What is settled need never be seen again.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;

use crate::change::{Seen, SharedChange};
use crate::engine::worker::until_it_rests;
use crate::pace::retry::{PATIENCE, Until, retry, retry_until};
use crate::ports::guard::GuardStore;
use crate::ports::stream::{Brought, RecordKind, StreamRecord, Unreadable, sequence_of};
use crate::ports::{Outcome, TableWriter, WriteAccess};
use crate::records::{GuardFailed, GuardHour, GuardRecord, HOUR_MS, HOUR_SAMPLES, Loss, LossKind};
use crate::request::WriterKind;
use crate::{Error, ErrorKind, Item, Result};

/// Updates that are sent at once at most: old writers are few, and a batch has a second or more.
const AT_ONCE: usize = 8;

/// Who switches a guard off that cannot go on, for a person.
pub(super) const ITSELF: &str = "the guard itself";

/// Tries to change the guard's record that others change as well.
const TRIES: u32 = 20;

/// What settles stream records of one table.
#[derive(Debug, Clone)]
pub struct Guard<A, S> {
    /// Access to the table.
    pub access: A,
    /// What is durable of the guard.
    pub store: S,
}

/// What came of a batch of stream records.
#[derive(Debug, Default)]
pub struct Settled {
    /// What was done, by the hour of the records.
    pub hours: BTreeMap<u64, GuardHour>,
    /// Where in the batch the first record stands that is not settled: it and those behind it have to come again. `None`: all are.
    pub open_from: Option<usize>,
    /// Write capacity units of all updates.
    pub consumed_wcu: f64,
    /// Why the guard has turned itself off, if it has.
    pub halted: Option<String>,
    /// What has kept records open, if it was not the end of the time: throttling, an outage, or what nobody can mend by trying again.
    pub error: Option<Error>,
}

impl Settled {
    fn hour(&mut self, at_ms: u64) -> &mut GuardHour {
        let start_ms = at_ms - at_ms % HOUR_MS;
        self.hours.entry(start_ms).or_insert_with(|| GuardHour {
            start_ms,
            ..GuardHour::default()
        })
    }

    /// The record that stands there is not settled.
    fn leave_open(&mut self, index: usize) {
        let first = self.open_from.unwrap_or(index);
        self.open_from = Some(first.min(index));
    }

    /// What was done, in all hours.
    pub fn total(&self) -> GuardHour {
        let mut total = GuardHour::default();
        for hour in self.hours.values() {
            total.add(hour);
        }
        total
    }
}

/// Refuses a change that a guard cannot use.
///
/// Errors: `InvalidInput`, naming `pending`.
pub fn refuse_unfit(change: &SharedChange) -> Result<()> {
    match change.why_not_evaluated() {
        None => Ok(()),
        Some(why) => Err(Error::invalid(
            "pending",
            format!(
                "table {}: a guard has to evaluate the predicate itself, on what the stream tells of an item: {why}",
                change.table()
            ),
        )),
    }
}

/// The last that a batch tells of an item.
struct Last<'a> {
    index: usize,
    record: &'a StreamRecord,
}

/// What a shard has brought; those that cannot be understood name it.
pub(super) fn of_shard(records: Vec<Brought>, shard: &str) -> Vec<Brought> {
    let named = |odd: Unreadable| Unreadable {
        why: format!("shard {shard}: {}", odd.why),
        ..odd
    };
    let records = records.into_iter();
    records.map(|record| record.map_err(named)).collect()
}

/// The sequence number of the last of these records that tells it.
pub(super) fn last_of(records: &[Brought]) -> Option<String> {
    let last = records.iter().rev().find_map(sequence_of);
    last.map(str::to_owned)
}

/// The last record of each item: what came before it is no more.
fn last_of_each(records: &[Brought]) -> Vec<Last<'_>> {
    let mut last: BTreeMap<String, Last<'_>> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        if let Ok(record) = record {
            last.insert(record.key.to_string(), Last { index, record });
        }
    }
    let mut last: Vec<Last<'_>> = last.into_values().collect();
    last.sort_by_key(|last| last.index);
    last
}

/// What nothing more can be done for.
struct Failed {
    /// Items that could not be repaired, with the places of their last records.
    items: Vec<(usize, GuardFailed)>,
    /// Records that cannot be understood, with their places and why.
    unreadable: Vec<(usize, String)>,
}

impl Failed {
    /// The places in the batch.
    fn indexes(&self) -> impl Iterator<Item = usize> {
        let items = self.items.iter().map(|(index, _)| *index);
        items.chain(self.unreadable.iter().map(|(index, _)| *index))
    }

    /// What is lost, if anything is: the last of each sort, in one sentence, since a loss takes the place of others of its kind.
    fn loss(&self) -> Option<String> {
        let item = self.items.last().map(|(_, item)| {
            format!(
                "an item could not be repaired: {}: {}",
                item.key, item.reason
            )
        });
        let unreadable = self.unreadable.last().map(|(_, why)| why.clone());
        let all: Vec<String> = item.into_iter().chain(unreadable).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// The records that cannot be understood.
fn unreadable(records: &[Brought]) -> Vec<(usize, String)> {
    let records = records.iter().enumerate();
    let unreadable = records.filter_map(|(index, record)| Some((index, record.as_ref().err()?)));
    unreadable
        .map(|(index, odd)| {
            tracing::error!(sequence = odd.sequence, "{}", odd.why);
            (index, odd.why.clone())
        })
        .collect()
}

/// What became of one item.
enum Became {
    /// It has this outcome, and is as it is shown after an update that took effect.
    Rested(Outcome, Option<Item>),
    /// Its update was not begun, or not acknowledged, before the time was over.
    Open,
    /// Its update has failed, and might not if it is tried again later.
    Failed(Error),
}

impl<A: WriteAccess, S: GuardStore> Guard<A, S> {
    /// Settles a batch of records of one shard, in their order, with the change of `guard`, until then. What was done is durable when this
    /// returns: items that could not be repaired are recorded, and a loss is noted for them, as for records that cannot be understood.
    ///
    /// Of each item the last record counts. An image that is not pending needs nothing: whatever is written later has a record of its
    /// own. An item that is still pending after our own write turns the guard off, since it would write it again for ever. So the first
    /// item of a batch is updated alone, and nothing is begun after such an item.
    pub async fn settle(&self, guard: &GuardRecord, records: &[Brought], until: &Until) -> Settled {
        let mut settled = Settled::default();
        for record in records.iter().flatten() {
            settled.hour(record.at_ms).seen += 1;
        }
        let change = guard.change();
        let is_pending = |last: &Last<'_>| {
            last.record.kind != RecordKind::Remove
                && last
                    .record
                    .image
                    .as_ref()
                    .is_none_or(|image| change.is_still_pending(image))
        };
        let pending = last_of_each(records).into_iter().filter(is_pending);
        let pending: Vec<Last<'_>> = pending.collect();
        let writer = self.access.writer(change.clone(), WriterKind::UpdateItem);
        let until = Until {
            stop: until.stop.child_token(),
            ..until.clone()
        };
        let (change, writer, until) = (&change, &writer, &until);
        let mut repairs = pending.into_iter().map(|last| async move {
            let mut wcu = 0.0;
            let became = repair(change, writer, last.record, until, &mut wcu).await;
            (last, became, wcu)
        });
        let now_ms = self.access.now_ms();
        let mut failed = Failed {
            items: Vec::new(),
            unreadable: unreadable(records),
        };
        let mut take = |(last, became, wcu): (Last<'_>, Became, f64)| {
            settled.consumed_wcu += wcu;
            count(
                &mut settled,
                change,
                &last,
                became,
                now_ms,
                &mut failed.items,
            );
            if settled.halted.is_some() {
                until.stop.cancel();
            }
        };
        if let Some(first) = repairs.next() {
            take(first.await);
        }
        let mut others = futures_util::stream::iter(repairs).buffer_unordered(AT_ONCE);
        while let Some(repaired) = others.next().await {
            take(repaired);
        }
        drop(others);
        self.keep(guard, settled, failed).await
    }

    /// Stores what was done. What has failed and cannot be recorded is open still.
    async fn keep(&self, guard: &GuardRecord, mut settled: Settled, failed: Failed) -> Settled {
        let table = guard.table();
        let noted = async {
            for (_, item) in &failed.items {
                let note = || self.store.note_guard_failed(table, item);
                retry(&Until::after(PATIENCE), note).await?;
            }
            if let Some(what) = failed.loss() {
                self.lose(guard, LossKind::Failed, what).await?;
            }
            if let Some(why) = settled.halted.clone() {
                self.halt(guard, why).await?;
                // What was not begun is nobody's any more.
                return Ok(true);
            }
            Ok(false)
        };
        match noted.await {
            Ok(true) => settled.open_from = None,
            Ok(false) => {}
            Err(error) => {
                for index in failed.indexes() {
                    settled.leave_open(index);
                }
                if settled.halted.is_some() {
                    settled.leave_open(0);
                }
                settled.error.get_or_insert(error);
            }
        }
        for hour in settled.hours.values() {
            // Counts are for people, and nothing is decided by them.
            if let Err(error) = self.store.add_to_guard_hour(table, hour).await {
                tracing::warn!(
                    error = error.report(),
                    table,
                    "part of what the guard counts is lost"
                );
            }
        }
        settled
    }

    /// Notes that `guard` may have missed something. One with another change, or one that was switched on anew after another, has missed
    /// nothing by that.
    ///
    /// Errors: those of the store.
    pub async fn lose(&self, guard: &GuardRecord, kind: LossKind, what: String) -> Result<()> {
        tracing::error!(
            table = guard.table(),
            "{what}: what the guard has watched is no longer without a gap"
        );
        self.change_if_it_goes_on(guard, |stored| {
            stored.lose(Loss {
                at_ms: self.access.now_ms(),
                kind,
                what: what.clone(),
            });
        })
        .await
    }

    /// Turns `guard` off, for this reason. One with another change may go on.
    async fn halt(&self, guard: &GuardRecord, why: String) -> Result<()> {
        tracing::error!(table = guard.table(), "the guard is off: {why}");
        self.change_if_it_goes_on(guard, |stored| {
            let at_ms = self.access.now_ms();
            stored.switch_off(at_ms, ITSELF);
            stored.lose(Loss {
                at_ms,
                kind: LossKind::Off,
                what: why.clone(),
            });
        })
        .await
    }

    /// Changes the record of `guard` as it is now, unless another change was on since: what an earlier one has settled says nothing of
    /// what is there now.
    async fn change_if_it_goes_on(
        &self,
        guard: &GuardRecord,
        by: impl Fn(&mut GuardRecord),
    ) -> Result<()> {
        self.change(guard.table(), |stored| {
            if stored.spec == guard.spec && stored.change_generation == guard.change_generation {
                by(stored);
            }
        })
        .await
    }

    /// Changes the guard's record as it is now, if there is one, whoever else changes it.
    ///
    /// Errors: those of [`change`].
    pub async fn change(&self, table: &str, by: impl Fn(&mut GuardRecord)) -> Result<()> {
        change(&self.store, table, by).await.map(drop)
    }
}

/// Changes the record of a table's guard as it is now, whoever else changes it, and returns what it has become; `None` if there is none.
///
/// Errors: those of the store; `Conflict` if others change it again and again.
pub async fn change<S: GuardStore>(
    store: &S,
    table: &str,
    by: impl Fn(&mut GuardRecord),
) -> Result<Option<GuardRecord>> {
    let mut conflict = None;
    for _ in 0..TRIES {
        let read = || store.guard(table);
        let Some(mut guard) = retry(&Until::after(PATIENCE), read).await? else {
            return Ok(None);
        };
        guard.revision += 1;
        by(&mut guard);
        let save = || store.save_guard(&guard);
        match retry(&Until::after(PATIENCE), save).await {
            Ok(()) => return Ok(Some(guard)),
            Err(error) if error.kind() == ErrorKind::Conflict => conflict = Some(error),
            Err(error) => return Err(error),
        }
    }
    conflict.map_or(Ok(None), Err)
}

/// Sends the update of an item that its image shows pending, made from that image.
async fn repair<W: TableWriter>(
    change: &SharedChange,
    writer: &W,
    record: &StreamRecord,
    until: &Until,
    consumed_wcu: &mut f64,
) -> Became {
    let image = record.image.clone().unwrap_or_else(|| record.key.0.clone());
    let seen = change.seen(image.into());
    let send = async |seen: &Seen| {
        retry_until(
            until,
            async || (!until.is_over()).then_some(()),
            async |()| writer.update_and_show(seen).await,
        )
        .await
    };
    match until_it_rests(&seen, 0, consumed_wcu, send).await {
        Ok(Some((outcome, shown))) => Became::Rested(outcome, shown),
        Ok(None) => Became::Open,
        Err(error) => Became::Failed(error.context(format!(
            "table {}, repairing key {}",
            change.table(),
            record.key
        ))),
    }
}

/// Counts what became of an item.
fn count(
    settled: &mut Settled,
    change: &SharedChange,
    last: &Last<'_>,
    became: Became,
    now_ms: u64,
    failed: &mut Vec<(usize, GuardFailed)>,
) {
    let (key, at_ms) = (&last.record.key, last.record.at_ms);
    let (outcome, shown) = match became {
        Became::Rested(outcome, shown) => (outcome, shown),
        Became::Open => return settled.leave_open(last.index),
        Became::Failed(error) => {
            settled.error.get_or_insert(error);
            return settled.leave_open(last.index);
        }
    };
    let hour = settled.hour(at_ms);
    match outcome {
        Outcome::Updated => {
            hour.repaired += 1;
            if hour.samples.len() < HOUR_SAMPLES {
                hour.samples.push(key.clone());
            }
            tracing::info!(table = change.table(), %key, written_ms = at_ms, "repaired an item that was written in the old shape");
            if shown.is_some_and(|item| change.is_still_pending(&item)) {
                settled.halted = Some(format!(
                    "the item with key {key} is pending after its update, so the guard would update it again and again; mend the \
                     update, and switch the guard on again"
                ));
            }
        }
        // Each write that has moved its sources has a record of its own, which is yet to come.
        Outcome::Raced | Outcome::Moved(_) | Outcome::Contended => hour.raced += 1,
        Outcome::Vanished => hour.vanished += 1,
        Outcome::Unmade(reason) | Outcome::Rejected(reason) | Outcome::Unclear(reason) => {
            hour.failed += 1;
            tracing::error!(table = change.table(), %key, reason, "this item cannot be repaired");
            let item = GuardFailed {
                key: key.clone(),
                reason,
                at_ms: now_ms,
            };
            failed.push((last.index, item));
        }
    }
}
