//! The seam: what the engine knows of a change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::partiql::BoundStatement;
use crate::table::KeySchema;
use crate::{Item, Key};

/// A change that readers, writers and records of a process share.
pub type SharedChange = Arc<dyn Change>;

/// What is done to the items of one table, made ready for the table's keys.
///
/// Promises of every implementation: after [`Change::update`] took effect [`Change::pending`] is false for the item
/// (the trial holds it to that), and the update's condition is false for an item that is gone or no longer pending
/// (promises: never-resurrect, never-overwrite).
pub trait Change: fmt::Debug + Send + Sync {
    /// The name of the table.
    fn table(&self) -> &str;

    /// The keys of the table.
    fn keys(&self) -> &KeySchema;

    /// Equal for equal changes of equal tables.
    fn fingerprint(&self) -> &str;

    /// True for an item still to be migrated: `P`.
    fn pending(&self) -> &Condition;

    /// True where nothing is pending under a key: the item is gone, or `P` does not hold. Asked by the trial.
    fn not_pending(&self) -> &Condition;

    /// What sweeps and counts ask of the table.
    fn sweep(&self) -> &Sweep;

    /// The attributes beside the key that [`Change::update`] must know of an item. Pages of a sweep carry them.
    fn reads(&self) -> &[String];

    /// What is written to this item, under which guard.
    fn update<'a>(&'a self, item: &'a Seen) -> GuardedUpdate<'a>;

    /// [`Change::update`] as a PartiQL statement. Errors say what PartiQL cannot express, for a person; they are the
    /// same for every item.
    fn statement<'a>(&'a self, item: &'a Seen) -> Result<BoundStatement<'a>, &'a str>;

    /// Why no item's update can be sent in PartiQL; `None` if it can.
    fn why_no_statement(&self) -> Option<&str>;
}

/// An item as a sweep saw it: it was pending then.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its primary key.
    pub key: Key,
    /// Those of [`Change::reads`] that it has.
    pub read: Item,
}

impl Seen {
    /// Takes an answer of a sweep apart: the key attributes, and all others.
    pub fn new(keys: &KeySchema, mut item: Item) -> Seen {
        let key = keys.names().filter_map(|name| item.remove_entry(name));
        Seen {
            key: Key(key.collect()),
            read: item,
        }
    }
}

/// An item of which a change reads nothing but the key.
impl From<Key> for Seen {
    fn from(key: Key) -> Self {
        Seen {
            key,
            read: Item::new(),
        }
    }
}

/// An expression with the placeholders that it uses, and no others: DynamoDB refuses a request that defines one
/// without using it ("Value provided in ExpressionAttributeNames unused in expressions").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// A condition or filter expression.
    pub expression: String,
    /// `#name` → attribute.
    pub names: BTreeMap<String, String>,
    /// `:value` → value.
    pub values: Item,
}

/// What a Scan asks: a filter, and the attributes to bring along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// `P`.
    pub filter: String,
    /// The key attributes and [`Change::reads`].
    pub projection: String,
    /// Names that `filter` and `projection` use.
    pub names: BTreeMap<String, String>,
    /// Values that `filter` uses.
    pub values: Item,
}

/// An update of one item and the condition under which it takes effect, for UpdateItem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedUpdate<'a> {
    /// The update expression: `U`.
    pub update: Cow<'a, str>,
    /// `attribute_exists(<partition key>) AND (P)`: an item that is gone is not created, and one that a live writer has
    /// set is not touched.
    pub condition: Cow<'a, str>,
    /// Names that `update` and `condition` use.
    pub names: Cow<'a, BTreeMap<String, String>>,
    /// Values that `update` and `condition` use.
    pub values: Cow<'a, Item>,
}
