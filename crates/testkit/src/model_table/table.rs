//! The table of the model, and what has become of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use backfill_core::change::Change;
use backfill_core::records::Cursor;
use backfill_core::{Item, Key, Spec, Value};

use super::expressions::{Asked, pending_of};
use super::state::{Listener, State, key_of, key_of_item, position, segment_of};
use crate::faults::Faults;

/// A table whose items are migrated: conditions and updates mean in it what they mean in DynamoDB.
#[derive(Clone)]
pub struct ModelTable {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) faults: Faults,
}

impl ModelTable {
    /// A table `stuff` with the items 0 to `count`; of each ten, two have a value for `test`.
    pub fn new(faults: Faults, count: u64) -> Self {
        let item = |id| {
            let mut item = key_of(id).0;
            item.insert("payload".into(), Value::S(format!("original {id}")));
            item.insert("tags".into(), Value::Ss(vec!["a".into(), "b".into()]));
            if id % 10 >= 8 {
                item.insert("test".into(), Value::S("set before".into()));
            }
            item
        };
        ModelTable::of(faults, (0..count).map(item))
    }

    /// A table `stuff` with these items, each with a key of [`ModelTable::key`].
    pub fn of(faults: Faults, items: impl IntoIterator<Item = Item>) -> Self {
        let items = items.into_iter();
        let items = items.map(|item| (position(&key_of_item(&item)), item));
        let items = items.collect();
        ModelTable {
            state: Arc::new(Mutex::new(State {
                items,
                ..State::default()
            })),
            faults,
        }
    }

    /// The same table, by another way: other calls fail.
    pub fn by(&self, faults: Faults) -> Self {
        ModelTable {
            state: self.state.clone(),
            faults,
        }
    }

    /// From now on this is told of each change of an item, whoever makes it: the hash of its partition key, its key, and the item before
    /// and after. Nobody else is told any more.
    pub(crate) fn tell_changes(
        &self,
        mut listener: impl FnMut(u64, &Key, Option<&Item>, Option<&Item>) + Send + 'static,
    ) {
        let listener: Listener =
            Box::new(move |(hash, key), before, after| listener(*hash, key, before, after));
        self.state.lock().unwrap().listener = Some(listener);
    }

    /// The key of the item of this number: `id` and `created`.
    pub fn key(id: u64) -> Key {
        key_of(id)
    }

    /// All items by key.
    pub fn items(&self) -> BTreeMap<Key, Item> {
        let state = self.state.lock().unwrap();
        state
            .items
            .iter()
            .map(|((_, key), item)| (key.clone(), item.clone()))
            .collect()
    }

    /// Number of items that the spec still has to migrate.
    pub fn count_pending(&self, spec: &Spec) -> u64 {
        let (state, pending) = (self.state.lock().unwrap(), pending_of(spec));
        let items = state.items.values();
        items.filter(|item| pending.holds(item)).count() as u64
    }

    /// Our writes that took effect, by key.
    pub fn updates(&self) -> BTreeMap<Key, u64> {
        self.state.lock().unwrap().updates.clone()
    }

    /// Our updates that have arrived, by key, whether they took effect or not.
    pub fn arrived(&self) -> BTreeMap<Key, u64> {
        self.state.lock().unwrap().arrived.clone()
    }

    /// Batches that were carried out while they were believed.
    pub fn batches(&self) -> u64 {
        self.state.lock().unwrap().batches
    }

    /// True if batches are not to be sent any more.
    pub fn has_no_batches(&self) -> bool {
        self.state.lock().unwrap().distrusted
    }

    /// Each item before and after a write of ours that took effect, of changes that are made from the item.
    pub fn made_over(&self) -> Vec<(Item, Item)> {
        self.state.lock().unwrap().made_over.clone()
    }

    /// Pages so far that were not read strongly consistent.
    pub fn sweep_pages(&self) -> u64 {
        self.state.lock().unwrap().sweep_pages
    }

    /// Items evaluated by all pages so far.
    pub fn evaluated(&self) -> u64 {
        self.state.lock().unwrap().evaluated
    }

    /// How often the alarm was asked for.
    pub fn alarm_asked(&self) -> u64 {
        self.state.lock().unwrap().alarm_asked
    }

    /// Keys of items pending by this change that a cursor claims to have passed. What is pending is said of the whole item, whatever
    /// a sweep has brought along of it.
    pub fn pending_behind(
        &self,
        change: &dyn Change,
        segment: u32,
        total: u32,
        cursor: &Cursor,
    ) -> Vec<Key> {
        let (state, asked) = (self.state.lock().unwrap(), Asked::new(change.sweep()));
        let is_pending =
            |item: &Item| asked.finds(item) && change.is_pending(&change.seen(item.clone().into()));
        state
            .items
            .iter()
            .filter(|(at, _)| segment_of(at, total) == segment)
            .filter(|(at, _)| match cursor {
                Cursor::NotStarted => false,
                Cursor::After(key) => **at <= position(key),
                Cursor::Exhausted => true,
            })
            .filter(|((_, key), _)| !state.is_refused(key) && !state.mended.contains(key))
            .filter(|(_, item)| is_pending(item))
            .map(|((_, key), _)| key.clone())
            .collect()
    }

    /// What live writers left behind, by key; `None` if they deleted the item.
    pub fn history(&self) -> BTreeMap<Key, Option<Item>> {
        self.state.lock().unwrap().history.clone()
    }
}
