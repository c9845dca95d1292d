//! How the items of a table of the model are updated under a guard, one by one and in batches, and looked at.

use std::collections::BTreeSet;

use backfill_core::change::partiql::BATCH_SIZE;
use backfill_core::change::{Made, Seen, SharedChange};
use backfill_core::ports::{
    Batch, Look, LookBy, Outcome, ReadAccess as _, TableWriter, Write, WriteAccess,
};
use backfill_core::request::WriterKind;
use backfill_core::value::size::item_bytes;
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use tokio::time::Instant;

use super::expressions::Written;
use super::reads::ModelAccess;
use super::state::position;
use super::table::ModelTable;
use crate::update::apply;

impl WriteAccess for ModelTable {
    type Writer = ModelAccess;

    fn writer(&self, change: SharedChange, _kind: WriterKind) -> ModelAccess {
        self.reader(change)
    }
}

impl ModelAccess {
    /// The guarded update, with what was made of the item, on the state itself, and the item after it.
    fn apply(&self, seen: &Seen, made: &Made) -> Result<(Outcome, Option<Item>)> {
        let key = &seen.key.to_key();
        let mut state = self.table.state.lock().unwrap();
        let at = position(key);
        state.arrives(key, &at);
        let found = state.items.get(&at);
        let is_there = found.is_some();
        let before = found.cloned();
        let mut item = before.clone().unwrap_or_default();
        let mut written = self.written.lock().unwrap();
        let update = self.change.update(seen, made);
        let written = match &mut *written {
            Some(written) if written.of == update => written,
            other => other.insert(Written::new(&update)),
        };
        // As in DynamoDB it is the condition alone that keeps an update from making an item that is gone.
        match (written.guard.holds(&item), is_there) {
            (true, _) => item.extend(key.0.clone()),
            (false, is_there) => {
                let now = is_there.then_some(item);
                return Ok((Outcome::of_failed_guard(&*self.change, seen, now), None));
            }
        }
        if let Some(refusal) = state.refusal(key) {
            return Ok((refusal?, None));
        }
        if !state.useless_update
            && let Err(why) = apply(&written.update, &mut item)
        {
            return Ok((Outcome::Rejected(why), None));
        }
        if !self.change.writes_same_to_all() {
            state
                .made_over
                .extend(before.map(|before| (before, item.clone())));
        }
        state.set(&at, Some(item.clone()));
        *state.updates.entry(key.clone()).or_default() += 1;
        Ok((Outcome::Updated, Some(item)))
    }
}

impl TableWriter for ModelAccess {
    fn batch_size(&self) -> usize {
        match self.table.state.lock().unwrap().distrusted {
            true => 1,
            false => BATCH_SIZE,
        }
    }

    fn distrust_batches(&self, _reason: &str) {
        self.table.state.lock().unwrap().distrusted = true;
    }

    /// Single statements fail as single requests do: before they take effect, or with their answer lost.
    async fn update_batch(&self, items: &[Seen]) -> Result<Batch> {
        let distinct: BTreeSet<Key> = items.iter().map(|item| item.key.to_key()).collect();
        assert!(items.len() <= BATCH_SIZE && distinct.len() == items.len());
        let made: Vec<_> = items.iter().map(|item| self.change.make(item)).collect();
        if made.iter().all(|made| made.is_err()) {
            // Nothing is left to send.
            let rejected = made.into_iter().filter_map(|made| made.err());
            return Ok(Batch {
                outcomes: rejected.map(|why| Ok(Outcome::Unmade(why))).collect(),
                sent: 0,
                consumed_wcu: 0.0,
            });
        }
        let faults = &self.table.faults;
        faults.before().await?;
        faults.check_access()?;
        let (blind, distrusted) = {
            let mut state = self.table.state.lock().unwrap();
            state.batches += u64::from(!state.distrusted);
            (state.blind_batches && !state.distrusted, state.distrusted)
        };
        let mut batch = Batch {
            outcomes: Vec::new(),
            sent: made.iter().filter(|made| made.is_ok()).count(),
            consumed_wcu: 0.0,
        };
        for (item, made) in items.iter().zip(made) {
            let made = match made {
                Ok(made) => made,
                Err(why) => {
                    batch.outcomes.push(Ok(Outcome::Unmade(why)));
                    continue;
                }
            };
            // A crash may come between two statements: a batch is not atomic.
            if let Err(error) = faults.statement().await {
                batch.outcomes.push(Err(error));
                continue;
            }
            let applied = match blind {
                true => Ok((Outcome::Raced, None)),
                false => self.apply(item, &made),
            };
            batch.outcomes.push(match applied {
                // What a statement is refused for in unknown words, it is refused for as invalid.
                Ok((Outcome::Unclear(words), _)) if !distrusted => {
                    Err(Error::new(ErrorKind::InvalidSpec, words))
                }
                applied => applied.map(|(outcome, _)| outcome),
            });
            batch.consumed_wcu += 1.0;
        }
        faults.after().await?;
        Ok(batch)
    }

    async fn update(&self, item: &Seen) -> Result<Write> {
        Ok(self.update_and_show(item).await?.0)
    }

    async fn update_and_show(&self, item: &Seen) -> Result<(Write, Option<Item>)> {
        let made = match self.change.make(item) {
            Ok(made) => made,
            Err(why) => return Ok((Write::free(Outcome::Unmade(why)), None)),
        };
        self.table.faults.before().await?;
        self.table.faults.check_access()?;
        let (outcome, shown) = self.apply(item, &made)?;
        self.table.faults.after().await?;
        let write = Write {
            outcome,
            consumed_wcu: 1.0,
        };
        Ok((write, shown))
    }

    fn look_by(&self) -> LookBy {
        let state = self.table.state.lock().unwrap();
        state.looks_by.unwrap_or(LookBy::Check)
    }

    async fn look(&self, key: &Key, by: LookBy) -> Result<Look> {
        self.table.faults.before().await?;
        let mut state = self.table.state.lock().unwrap();
        if state
            .checks_throttle_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Err(Error::new(ErrorKind::Throttled, "checks are throttled"));
        }
        if state.is_contended(key) || state.busy_at_checks.contains(key) {
            return Err(Error::new(ErrorKind::ItemBusy, "in a transaction"));
        }
        if state.allows_look.is_some_and(|allowed| by < allowed) {
            state.looks_by = Some(match by {
                LookBy::Check => LookBy::Query,
                LookBy::Query | LookBy::Page => LookBy::Page,
            });
            return Err(Error::new(
                ErrorKind::InvalidSpec,
                "it cannot be looked at so",
            ));
        }
        let item = state.items.get(&position(key));
        let consumed = by.units(item.map_or(0, item_bytes));
        let pending = |item: &&Item| self.sweep.finds(item);
        Ok(Look {
            item: item
                .filter(|item| by == LookBy::Page || pending(item))
                .cloned(),
            consumed: Some(consumed),
        })
    }
}
