//! The calls about guards.

use backfill_core::ports::guard::{GuardReader, GuardStore};
use backfill_core::records::places::guard_place;
use backfill_core::records::{GuardFailed, GuardHour, GuardRecord, HOUR_MS, ShardPosition};
use backfill_core::{Error, ErrorKind, Result};

use super::of_guard::OfGuard;
use super::{MemoryStore, Transit};

impl<T: Transit> MemoryStore<T> {
    /// What a call finds of the guard on a table.
    async fn found<F>(&self, table: &str, find: impl FnOnce(&OfGuard) -> F) -> Result<F> {
        self.transit.before().await?;
        Ok(match self.state().guards.get(table) {
            Some(guard) => find(guard),
            None => find(&OfGuard::default()),
        })
    }

    /// A call that changes what is durable of the guard on a table.
    async fn guarded(
        &self,
        table: &str,
        change: impl FnOnce(&mut OfGuard) -> Result<()>,
    ) -> Result<()> {
        self.transit.before().await?;
        change(self.state().guards.entry(table.to_owned()).or_default())?;
        self.wrote(&guard_place(table), &());
        self.transit.after().await
    }
}

impl<T: Transit> GuardReader for MemoryStore<T> {
    async fn guard(&self, table: &str) -> Result<Option<GuardRecord>> {
        self.found(table, |guard| guard.record.clone()).await
    }

    async fn guard_hours(&self, table: &str, from_ms: u64) -> Result<Vec<GuardHour>> {
        let from_ms = from_ms - from_ms % HOUR_MS;
        let hours = |guard: &OfGuard| {
            let hours = guard.hours.range(from_ms..);
            hours.map(|(_, hour)| hour.clone()).collect()
        };
        self.found(table, hours).await
    }

    async fn guard_failed(&self, table: &str, from_ms: u64, most: u32) -> Result<Vec<GuardFailed>> {
        let failed = |guard: &OfGuard| {
            let failed = guard.failed.values();
            let failed = failed.filter(|failed| failed.at_ms >= from_ms);
            failed.take(most as usize).cloned().collect()
        };
        self.found(table, failed).await
    }

    async fn positions(&self, table: &str) -> Result<Vec<ShardPosition>> {
        self.found(table, |guard| guard.positions.values().cloned().collect())
            .await
    }
}

impl<T: Transit> GuardStore for MemoryStore<T> {
    async fn save_guard(&self, record: &GuardRecord) -> Result<()> {
        let save = |guard: &mut OfGuard| {
            let stored = guard.record.as_ref();
            let revision = stored.map_or(0, |stored| stored.revision);
            // Our own write, whose answer was lost, is no conflict.
            if stored != Some(record) && revision + 1 != record.revision {
                return Err(Error::new(ErrorKind::Conflict, "changed meanwhile"));
            }
            guard.record = Some(record.clone());
            Ok(())
        };
        self.guarded(record.table(), save).await
    }

    async fn add_to_guard_hour(&self, table: &str, done: &GuardHour) -> Result<()> {
        let add = |guard: &mut OfGuard| {
            let start_ms = done.start_ms - done.start_ms % HOUR_MS;
            let hour = guard.hours.entry(start_ms).or_insert_with(|| GuardHour {
                start_ms,
                ..GuardHour::default()
            });
            hour.add(done);
            Ok(())
        };
        self.guarded(table, add).await
    }

    async fn note_guard_failed(&self, table: &str, failed: &GuardFailed) -> Result<()> {
        let note = |guard: &mut OfGuard| {
            guard.failed.insert(failed.key.clone(), failed.clone());
            Ok(())
        };
        self.guarded(table, note).await
    }

    async fn save_position(&self, table: &str, position: &ShardPosition) -> Result<()> {
        let save = |guard: &mut OfGuard| {
            let stored = guard.positions.get(&position.shard);
            if stored.is_some_and(|stored| stored.generation > position.generation) {
                return Err(Error::new(
                    ErrorKind::Fenced,
                    "another process watches since",
                ));
            }
            let shard = position.shard.clone();
            guard.positions.insert(shard, position.clone());
            Ok(())
        };
        self.guarded(table, save).await
    }
}
