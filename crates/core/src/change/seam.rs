//! The seam between the engine and what an operator asks for: the engine knows nothing else of a change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::compute::Mode;
use super::expression::Guard;
pub use super::made::{Condition, Made};
use super::partiql::BoundStatement;
use super::unmade::Unmade;
use crate::compute::Source;
use crate::table::KeySchema;
use crate::value::few::{Attributes, Few};
use crate::value::packed::PackedKey;
use crate::{Item, Key, Value};

/// A change that readers, writers and records of a process share.
pub type SharedChange = Arc<dyn Change>;

/// What is done to the items of one table, made ready for the table's keys.
///
/// Every implementation keeps two promises. After [`Change::update`] took effect, the item is no longer pending; the trial
/// holds it to that. The update's condition is false for an item that is gone or no longer pending (promises: never-resurrect,
/// never-overwrite), and for one of which something has changed that the update was made from (promise: computed).
///
/// Whether an item is pending DynamoDB says by [`Change::pending`], and what DynamoDB cannot say [`Change::is_pending`] adds.
pub trait Change: fmt::Debug + Send + Sync {
    /// The name of the table.
    fn table(&self) -> &str;

    /// The keys of the table.
    fn keys(&self) -> &KeySchema;

    /// A text that is equal for equal changes of one table, and else another.
    fn fingerprint(&self) -> &str;

    /// The condition that is true for an item still to be migrated: `P`. It may be true for others as well, of which
    /// [`Change::is_pending`] is not.
    fn pending(&self) -> &Condition;

    /// The condition that is true if `P` holds for nothing under a key: the item is gone, or `P` does not hold. The trial
    /// asks it.
    fn not_pending(&self) -> &Condition;

    /// What sweeps ask of the table.
    fn sweep(&self) -> &Sweep;

    /// Whether an item for which `P` holds is pending, by what was read of it.
    fn is_pending(&self, _item: &Seen) -> bool {
        true
    }

    /// Whether a whole item, as an answer has brought it along, is pending, as far as that can be said here: what cannot, is for the
    /// guard.
    fn is_still_pending(&self, _item: &Item) -> bool {
        true
    }

    /// Why [`Change::is_still_pending`] cannot say it of this change, for a person; `None` if it can.
    fn why_not_evaluated(&self) -> Option<&str> {
        None
    }

    /// What the verification asks of the table: every item that [`Change::weigh`] has something to say of.
    fn proof(&self) -> &Sweep {
        self.sweep()
    }

    /// What an item counts as that [`Change::proof`] has brought along.
    fn weigh(&self, _item: &dyn Attributes) -> Weighed {
        Weighed::Pending
    }

    /// Whether [`Change::weigh`] tells items whose value is not what their sources give now.
    fn tells_different(&self) -> bool {
        false
    }

    /// What a count asks besides: how many items that are not pending lack what the update sets. `None` if that is none, by the
    /// condition itself.
    fn lacks(&self) -> Option<&Lacks>;

    /// The attributes that [`Change::make`] must know of an item, by their names at the top level. Pages of a sweep carry them.
    fn reads(&self) -> &[String];

    /// Whether the same is written to every item, whatever is in it: then nothing is read of an item but its key, and one for which the
    /// guard has failed is gone, or not pending any more.
    fn writes_same_to_all(&self) -> bool;

    /// By which condition a sample of the table asks for whole items; `None` if it needs those as well for which `P` does not hold.
    fn sample(&self) -> Option<&Condition> {
        Some(self.pending())
    }

    /// This change, if it computes values from the item. A plan asks it which, and what cannot be computed.
    fn computing(&self) -> Option<&dyn Computing> {
        None
    }

    /// What is known of an item after the sweep, or after an answer that has brought it along whole.
    fn seen(&self, item: Few) -> Seen {
        Seen::new(self.keys(), item)
    }

    /// Makes what is to be written to this item. An error says why nothing can be made of it, for a person, on one line of about 1,000
    /// characters at most and with nothing of the item in it, since it is recorded and logged: the item is rejected, and nothing is
    /// written.
    fn make(&self, _item: &Seen) -> Result<Made, String> {
        Ok(Made::default())
    }

    /// What is written to this item, under which guard, of what was made of it.
    fn update<'a>(&'a self, item: &'a Seen, made: &'a Made) -> GuardedUpdate<'a>;

    /// [`Change::update`] as a PartiQL statement. An error says what PartiQL cannot express of this item, for a person.
    fn statement<'a>(
        &'a self,
        item: &'a Seen,
        made: &'a Made,
    ) -> Result<BoundStatement<'a>, &'a str>;

    /// The item to make the update from once more, if the guard has failed because what it was made from has changed meanwhile, and
    /// it is pending still. `now` is the whole item that the guard was held against.
    fn moved(&self, _item: &Seen, _now: Item) -> Option<Seen> {
        None
    }

    /// Why no item's update can be sent in PartiQL; `None` if it can.
    fn why_no_statement(&self) -> Option<&str>;
}

/// An item as a sweep saw it: it was pending then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The item's primary key.
    pub key: PackedKey,
    /// The attributes of [`Change::reads`] that the item has.
    pub read: Few,
}

/// What an item counts as in a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighed {
    /// It is still to be migrated.
    Pending,
    /// It is not pending, and its value is not what its sources give now.
    Different,
    /// Nothing is to be said of it.
    Done,
}

impl Seen {
    /// Takes an item of a sweep's answer apart into the key attributes and all others.
    pub fn new(keys: &KeySchema, item: Few) -> Seen {
        let key = PackedKey::of_item(keys.names(), &item);
        let is_of_key = |name: &str| keys.names().any(|key| key == name);
        let read = item.only(|name| !is_of_key(name));
        Seen { key, read }
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Seen>() + self.key.heap_bytes() + self.read.heap_bytes()
    }
}

/// An item of which a change reads nothing but the key.
impl From<PackedKey> for Seen {
    fn from(key: PackedKey) -> Self {
        Seen {
            key,
            read: Few::default(),
        }
    }
}

/// An item of which a change reads nothing but the key.
impl From<Key> for Seen {
    fn from(key: Key) -> Self {
        PackedKey::from(&key).into()
    }
}

/// What a Scan asks: a filter, and the attributes to bring along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The filter expression: `P`.
    pub filter: String,
    /// The projection expression: the key attributes, and what of [`Change::reads`] is needed.
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

/// A change that computes values from each item.
pub trait Computing: fmt::Debug {
    /// Which items are pending.
    fn mode(&self) -> Mode;

    /// The attributes that get a value.
    fn targets(&self) -> Vec<&str>;

    /// What is read of an item, each path once, in the order of the targets and their templates. A source is required if any target
    /// needs it.
    fn sources(&self) -> Vec<Source>;

    /// The attributes at the top level that a target joins, just as they are and with text between them, for each target that does
    /// nothing else.
    fn joined(&self) -> Vec<(&str, Vec<&str>)>;

    /// True if an item is pending, by all of its attributes: if [`Change::sample`] has a condition, that holds for it.
    fn is_pending_whole(&self, item: &Item) -> bool;

    /// The item as it would be after the write.
    ///
    /// Errors: the first target that cannot be computed, and why.
    fn after(&self, item: &Item) -> Result<Item, Unmade>;

    /// True if a target has another value than the item's sources give, as a verification counts it.
    fn is_different(&self, item: &Item) -> bool;

    /// What would not stay in this item: converging would write it again and again. `None` of an item whose values stay, and of one
    /// whose values cannot be computed.
    fn unsettled(&self, item: &Item) -> Option<Unsettled>;
}

/// A value that would not stay: computed once more from the item that has it, it is another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsettled {
    /// The attribute.
    pub target: String,
    /// What it would get.
    pub first: Value,
    /// What it would get the next time; `None` if that cannot be computed.
    pub then: Option<Value>,
}
