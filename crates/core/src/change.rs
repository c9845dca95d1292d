//! What is done to an item: what makes it pending, what must be read of it, and what is written under which guard.
//!
//! [`Change`] is the seam between the engine and what an operator asks for. Sweep, count, trial and writes know nothing
//! else of it, so another kind of change needs no other loop. What writes the same to all items is a [`Pair`]; what is made for
//! each item comes from templates ([`Compute`]) or from code of a user ([`Code`]). All are made from a [`Spec`].

mod code;
pub mod compute;
mod computed;
mod computing;
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
mod verbs;

pub use self::code::{Code, Coded, known};
pub use self::compute::{Compute, Mode};
pub use self::computing::{Computing, Unmade, Unsettled};
pub use self::evaluate::Parsed;
pub use self::lacks::lacking_text;
pub use self::pair::Pair;
pub use self::registered::{make, register};
pub use self::seam::{
    Change, Condition, GuardedUpdate, Lacks, Made, Seen, SharedChange, Sweep, Weighed,
};
pub use self::spec::{Spec, check_table_name};
pub(crate) use self::syntax::check_words;
pub use self::verbs::{LeftAlone, Verb};

use std::sync::Arc;

use self::computed::Computed;
use self::maker::Maker;
use crate::table::KeySchema;

impl Spec {
    /// The change that this spec is on a table with these keys.
    pub fn change(&self, keys: &KeySchema) -> SharedChange {
        let (mode, maker) = match (&self.compute, &self.code) {
            (Some(compute), _) => (compute.mode, Maker::of_templates(compute)),
            // Its predicate is its own.
            (None, Some(_)) => (Mode::Replace, Maker::of_code(self)),
            (None, None) => return Arc::new(Pair::new(self, keys)),
        };
        Arc::new(Computed::new(self, mode, maker, keys))
    }
}
