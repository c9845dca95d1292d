//! What the second count of a verification comes to: how many items that are not pending lack what the update sets. The number is
//! for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::Lacks;
use crate::ports::LackingPage;
use crate::{Error, Result};

/// What the second count has come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lacking {
    /// Items so far that are not pending and lack this attribute.
    pub counts: BTreeMap<String, u64>,
    /// Items that were read for it so far.
    pub scanned: u64,
    /// Read capacity units, as DynamoDB reported them.
    pub consumed_rcu: f64,
    /// True if DynamoDB has refused the filter, so that there is no number.
    #[serde(default)]
    pub refused: bool,
}

impl Lacking {
    /// The count that goes on from `before`, or begins.
    ///
    /// Errors: `InvalidInput` if it is one of other attributes.
    pub(super) fn go_on(before: Option<Lacking>, lacks: Option<&Lacks>) -> Result<Option<Lacking>> {
        let Some(lacks) = lacks else {
            return Ok(None);
        };
        let nothing = lacks.attributes.iter().map(|name| (name.clone(), 0));
        let nothing = Lacking {
            counts: nothing.collect(),
            ..Lacking::default()
        };
        match before {
            Some(before) if before.counts.keys().ne(nothing.counts.keys()) => Err(Error::invalid(
                "verification",
                "what it counts is not what the spec sets",
            )),
            before => Ok(Some(before.unwrap_or(nothing))),
        }
    }

    /// Whether there is still something to count.
    pub(super) fn goes_on(&self) -> bool {
        !self.refused
    }

    /// Adds what was found in a segment.
    pub(super) fn add(&mut self, found: &LackingPage, lacks: Option<&Lacks>) {
        self.scanned = self.scanned.saturating_add(found.scanned);
        self.consumed_rcu += found.consumed_rcu;
        let attributes = lacks.map_or(&[][..], |lacks| &lacks.attributes);
        for (name, found) in attributes.iter().zip(&found.lacking) {
            if let Some(count) = self.counts.get_mut(name) {
                *count = count.saturating_add(*found);
            }
        }
    }

    /// There will be no number.
    pub(super) fn give_up(&mut self) {
        self.refused = true;
    }

    /// The numbers, if there are any.
    pub(super) fn told(&self) -> BTreeMap<String, u64> {
        match self.refused {
            true => BTreeMap::new(),
            false => self.counts.clone(),
        }
    }
}
