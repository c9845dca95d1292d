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
    /// The count that goes on from `before`, or begins. There is none if the count of `P` is `begun` without one, as by an earlier
    /// version: what was counted then was not looked at for this.
    ///
    /// Errors: `InvalidInput` if it is one of other attributes.
    pub(super) fn go_on(
        before: Option<Lacking>,
        lacks: Option<&Lacks>,
        begun: bool,
    ) -> Result<Option<Lacking>> {
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
            None if begun => Ok(None),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Spec;
    use crate::table::{KeyAttribute, KeySchema, KeyType};
    use crate::{Item, Value};

    /// What was counted without it, as by an earlier version, was not looked at: a number of the rest would be too small.
    #[test]
    fn a_count_that_has_begun_without_it_gets_no_number() {
        let spec = Spec {
            table: "stuff".into(),
            pending: "b = :v".into(),
            update: "SET a = :v".into(),
            names: BTreeMap::new(),
            values: Item::from([(":v".to_owned(), Value::N("1".into()))]),
            compute: None,
            code: None,
        };
        let change = spec.change(&KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        });
        let go_on = |before, begun| Lacking::go_on(before, change.lacks(), begun).unwrap();
        let begins = go_on(None, false).unwrap();
        assert_eq!(begins.told(), [("a".to_owned(), 0)].into());
        assert_eq!(go_on(Some(begins.clone()), true), Some(begins));
        assert_eq!(go_on(None, true), None);
    }
}
