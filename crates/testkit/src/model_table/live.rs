//! Live writers on a table of the model.

use std::time::Duration;

use backfill_core::{Item, Value};

use super::state::{Strike, key_of, position};
use super::table::ModelTable;

impl ModelTable {
    /// A live writer deletes this item.
    pub fn delete(&self, id: u64) {
        let at = position(&key_of(id));
        self.state.lock().unwrap().set(&at, None);
    }

    /// A live writer does this to an item right before each of our next writes of it, so many times.
    pub fn strike_before_writes(
        &self,
        id: u64,
        times: u32,
        strike: impl FnMut(&mut Option<Item>) + Send + 'static,
    ) {
        let strike: Strike = Box::new(strike);
        let mut state = self.state.lock().unwrap();
        state.strikes.insert(key_of(id), (times, strike));
    }
}

/// A live application on the same table: it sets `test` to values of its own, changes other attributes,
/// deletes and creates items, and keeps the history.
pub struct LiveWriter {
    pub table: ModelTable,
    pub seed: u64,
    /// Ids that it works on.
    pub ids: u64,
    /// Whether it creates items without `test`, as old application code does.
    pub creates_pending: bool,
}

impl LiveWriter {
    /// Does this many operations, each after a random virtual time of up to `every`.
    pub async fn work(self, operations: u64, every: Duration) {
        let creates_pending = self.creates_pending;
        let operation = |random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
            match (random.u8(..5), &mut *item) {
                (0, Some(item)) => {
                    item.insert("test".into(), Value::S(format!("live {n}")));
                }
                (1, Some(item)) => {
                    item.insert("payload".into(), Value::S(format!("live {n}")));
                }
                (2, item) => *item = None,
                (3, item) => {
                    let mut new = Item::new();
                    new.insert("payload".into(), Value::S(format!("new {n}")));
                    if !creates_pending || random.bool() {
                        new.insert("test".into(), Value::S(format!("new {n}")));
                    }
                    *item = Some(new);
                }
                _ => return false,
            }
            true
        };
        self.write(operations, every, operation).await;
    }

    /// As [`LiveWriter::work`], but an operation is what this function does to an item: it gets the random numbers of the writer,
    /// the number of the operation, and the item; `None` if there is none, or if there is to be none. What it leaves as it was is
    /// not written. An item that it creates gets its key.
    pub async fn work_by(
        self,
        operations: u64,
        every: Duration,
        operation: impl Fn(&mut fastrand::Rng, u64, &mut Option<Item>),
    ) {
        let operation = |random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
            let before = item.clone();
            operation(random, n, item);
            *item != before
        };
        self.write(operations, every, operation).await;
    }

    /// Does operations that say whether they write what they leave.
    async fn write(
        self,
        operations: u64,
        every: Duration,
        operation: impl Fn(&mut fastrand::Rng, u64, &mut Option<Item>) -> bool,
    ) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        for n in 0..operations {
            tokio::time::sleep(every.mul_f64(random.f64())).await;
            let key = key_of(random.u64(..self.ids));
            let at = position(&key);
            let mut state = self.table.state.lock().unwrap();
            let mut item = state.items.get(&at).cloned();
            if !operation(&mut random, n, &mut item) {
                continue;
            }
            if let Some(item) = &mut item {
                item.extend(key.0.clone());
            }
            state.set(&at, item.clone());
            state.history.insert(key, item);
        }
    }
}
