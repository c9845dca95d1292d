//! The seam between the engine and what an operator asks for: the engine knows nothing else of a change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::expression::Guard;
use super::partiql::BoundStatement;
use crate::table::KeySchema;
use crate::value::packed::PackedKey;
use crate::value::size::item_bytes;
use crate::{Item, Key};

/// A change that readers, writers and records of a process share.
pub type SharedChange = Arc<dyn Change>;

/// What is done to the items of one table, made ready for the table's keys.
///
/// Every implementation keeps two promises. After [`Change::update`] took effect, [`Change::pending`] is false for the
/// item; the trial holds it to that. The update's condition is false for an item that is gone or no longer pending
/// (promises: never-resurrect, never-overwrite).
pub trait Change: fmt::Debug + Send + Sync {
    /// The name of the table.
    fn table(&self) -> &str;

    /// The keys of the table.
    fn keys(&self) -> &KeySchema;

    /// A text that is equal for equal changes of one table, and else another.
    fn fingerprint(&self) -> &str;

    /// The condition that is true for an item still to be migrated: `P`.
    fn pending(&self) -> &Condition;

    /// The condition that is true if nothing is pending under a key: the item is gone, or `P` does not hold. The trial
    /// asks it.
    fn not_pending(&self) -> &Condition;

    /// What sweeps and counts ask of the table.
    fn sweep(&self) -> &Sweep;

    /// What a count asks besides: how many items that are not pending lack what the update sets. `None` if that is none, by the
    /// condition itself.
    fn lacks(&self) -> Option<&Lacks>;

    /// The attributes beside the key that [`Change::update`] must know of an item. Pages of a sweep carry them.
    fn reads(&self) -> &[String];

    /// What is written to this item, under which guard.
    fn update<'a>(&'a self, item: &'a Seen) -> GuardedUpdate<'a>;

    /// [`Change::update`] as a PartiQL statement. An error says what PartiQL cannot express, for a person, and is the same
    /// for every item.
    fn statement<'a>(&'a self, item: &'a Seen) -> Result<BoundStatement<'a>, &'a str>;

    /// Why no item's update can be sent in PartiQL; `None` if it can.
    fn why_no_statement(&self) -> Option<&str>;
}

/// An item as a sweep saw it: it was pending then.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The item's primary key.
    pub key: PackedKey,
    /// The attributes of [`Change::reads`] that the item has.
    pub read: Item,
}

impl Seen {
    /// Takes an item of a sweep's answer apart into the key attributes and all others.
    pub fn new(keys: &KeySchema, mut item: Item) -> Seen {
        let key = keys.names().filter_map(|name| item.remove_entry(name));
        Seen {
            key: PackedKey::from(&Key(key.collect())),
            read: item,
        }
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let read = match self.read.len() {
            0 => 0,
            // Nodes of a map have room for eleven, and what is allocated has a head.
            entries => 640 + 64 * entries + item_bytes(&self.read) as usize,
        };
        size_of::<Seen>() + self.key.heap_bytes() + read
    }
}

/// An item of which a change reads nothing but the key.
impl From<PackedKey> for Seen {
    fn from(key: PackedKey) -> Self {
        Seen {
            key,
            read: Item::new(),
        }
    }
}

/// An item of which a change reads nothing but the key.
impl From<Key> for Seen {
    fn from(key: Key) -> Self {
        PackedKey::from(&key).into()
    }
}

/// An expression with the placeholders that it uses, and no others: DynamoDB refuses a request that defines one
/// without using it ("Value provided in ExpressionAttributeNames unused in expressions").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// A condition or filter expression.
    pub expression: String,
    /// Each `#name` that the expression uses → attribute.
    pub names: BTreeMap<String, String>,
    /// Each `:value` that the expression uses → value.
    pub values: Item,
}

/// What a Scan asks: a filter, and the attributes to bring along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The filter expression: `P`.
    pub filter: String,
    /// The projection expression: the key attributes and [`Change::reads`].
    pub projection: String,
    /// `#name` → attribute, for `filter` and `projection`.
    pub names: BTreeMap<String, String>,
    /// `:value` → value, for `filter`.
    pub values: Item,
}

/// Attributes that an update sets, and the scan that finds items which are not pending and lack one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacks {
    /// The attributes, at least one.
    pub attributes: Vec<String>,
    /// The scan. It brings along the partition key, and those of the attributes that an item has.
    pub sweep: Sweep,
}

/// An update of one item and the condition under which it takes effect, for UpdateItem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedUpdate<'a> {
    /// The update expression: `U`.
    pub update: Cow<'a, str>,
    /// `attribute_exists(<partition key>) AND (P)`.
    pub condition: Cow<'a, Guard>,
    /// `#name` → attribute, for `update` and `condition`.
    pub names: Cow<'a, BTreeMap<String, String>>,
    /// `:value` → value, for `update` and `condition`.
    pub values: Cow<'a, Item>,
}
