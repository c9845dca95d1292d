//! What is done to an item: what makes it pending, what must be read of it, and what is written under which guard.
//!
//! [`Change`] is the seam between the engine and what an operator asks for. Sweep, count, trial and writes know nothing
//! else of it, so another kind of change needs no other loop. What writes the same to all items is a [`Pair`]; what is made for
//! each item comes from templates ([`Compute`]) or from code of a user ([`Code`]). All are made from a [`Spec`].

mod code;
pub mod compute;
mod computed;
mod evaluate;
pub mod expression;
pub mod grammar;
mod lacks;
mod made;
mod maker;
mod pair;
pub mod partiql;
mod registered;
pub mod reserved;
mod seam;
mod spec;
mod syntax;
mod unmade;
mod verbs;

pub use self::code::{Code, Coded, known};
pub use self::compute::{Compute, Mode};
pub use self::evaluate::Parsed;
pub use self::lacks::lacking_text;
pub use self::pair::Pair;
pub use self::registered::{make, register};
pub use self::seam::{
    Change, Computing, Condition, GuardedUpdate, Lacks, Made, Seen, SharedChange, Sweep, Unsettled,
    Weighed,
};
pub use self::spec::{Spec, check_table_name};
pub(crate) use self::syntax::check_words;
pub use self::unmade::Unmade;
pub use self::verbs::{LeftAlone, Verb};

use std::sync::Arc;

use self::computed::Computed;
use self::maker::Maker;
use crate::table::{KeyAttribute, KeySchema, KeyType};
use crate::{Error, Result};

impl Spec {
    /// The change that this spec is on a table with these keys.
    pub fn change(&self, keys: &KeySchema) -> SharedChange {
        match self.computed(keys) {
            Some(computed) => Arc::new(computed),
            None => Arc::new(Pair::new(self, keys)),
        }
    }

    /// The same, if it makes what it writes from each item.
    fn computed(&self, keys: &KeySchema) -> Option<Computed> {
        let (mode, maker) = match (&self.compute, &self.code) {
            (Some(compute), _) => (compute.mode, Maker::of_templates(compute)),
            // Its predicate is its own.
            (None, Some(_)) => (Mode::Replace, Maker::of_code(self)),
            (None, None) => return None,
        };
        Some(Computed::new(self, mode, maker, keys))
    }

    /// Refuses what would not fit into the requests of a run.
    ///
    /// Errors: `InvalidInput`, naming `compute` or `code`.
    pub(crate) fn check_lengths(&self) -> Result<()> {
        // Whatever the keys are called, a placeholder stands for each.
        let keys = KeySchema {
            hash: KeyAttribute::new("", KeyType::S),
            range: Some(KeyAttribute::new("", KeyType::S)),
        };
        let longest = self
            .computed(&keys)
            .map(|computed| computed.longest_expression());
        match longest {
            Some(longest) if longest > expression::MAX_LENGTH => Err(Error::invalid(
                if self.code.is_some() {
                    "code"
                } else {
                    "compute"
                },
                format!(
                    "its targets, its sources and its predicate make an expression of {longest} bytes, and DynamoDB takes {}; compute \
                     fewer in one run",
                    expression::MAX_LENGTH
                ),
            )),
            _ => Ok(()),
        }
    }
}
