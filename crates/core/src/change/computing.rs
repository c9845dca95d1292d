//! What a change that computes values tells whoever looks at items before a run, beside what the engine asks of it.

use std::fmt;

use super::compute::Mode;
use super::unmade::Unmade;
use crate::compute::Source;
use crate::{Item, Value};

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

    /// True if an item is pending, by all of its attributes: if [`super::Change::sample`] has a condition, that holds for it.
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
