//! What is done to an item: what makes it pending, what must be read of it, and what is written under which guard.
//!
//! [`Change`] is the seam between the engine and what an operator asks for. Sweep, count, trial and writes know nothing
//! else of it, so another kind of change needs no other loop. [`Pair`], made from a [`Spec`], is the one kind that there
//! is.

pub mod compute;
mod computed;
mod computing;
mod evaluate;
pub mod expression;
pub mod grammar;
mod lacks;
mod pair;
pub mod partiql;
pub mod reserved;
mod seam;
mod spec;
mod syntax;
mod verbs;

pub use self::compute::{Compute, Mode};
pub use self::computing::{Computing, Unmade, Unsettled};
pub use self::evaluate::Parsed;
pub use self::lacks::lacking_text;
pub use self::pair::Pair;
pub use self::seam::{
    Change, Condition, GuardedUpdate, Lacks, Made, Seen, SharedChange, Sweep, Weighed,
};
pub use self::spec::{Spec, check_table_name};
pub(crate) use self::syntax::check_words;
pub use self::verbs::{LeftAlone, Verb};

use std::sync::Arc;

use self::computed::Computed;
use crate::table::KeySchema;

impl Spec {
    /// The change that this spec is on a table with these keys.
    pub fn change(&self, keys: &KeySchema) -> SharedChange {
        match &self.compute {
            None => Arc::new(Pair::new(self, keys)),
            Some(compute) => Arc::new(Computed::new(self, compute, keys)),
        }
    }
}
