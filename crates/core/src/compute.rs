//! Values that are computed from the item that they belong to: a closed, total language over DynamoDB's own types.
//!
//! A [`Template`] such as `${tenant}#${status|lower}` is parsed once and evaluated for each item. It knows no clock, no chance, no
//! time zone and no loop, so the same item gives the same value anywhere and at any time. Nothing in it panics; each value on the way
//! has at most 400 KB; digits are never lost without a word. `docs/COMPUTE.md` is its page for operators.

mod decimal;
mod failure;
mod functions;
mod parse;
mod parts;
mod path;
mod template;

pub use self::failure::Failure;
pub(crate) use self::failure::shortened;
pub use self::functions::{Example, FUNCTIONS, Function};
pub use self::path::Path;
pub use self::template::{MAX_LENGTH, Source, Template};

use crate::Value;

/// The version of the language. It grows if a template that was accepted before could give another value; it is part of a spec's
/// fingerprint, so that a run never goes on under other rules than it began with. One thing is not ours: which letter is the other
/// case of which is Unicode's, in the version that the compiler has. A test says when that has changed, and this has to grow if a
/// table may hold letters that it has changed for.
pub const LANGUAGE: u32 = 1;

/// True if the values are the same as DynamoDB's `=` has it: numbers by what they are worth, sets without an order, both in lists and
/// maps as well.
pub fn is_same(a: &Value, b: &Value) -> bool {
    a.is_same(b)
}

#[cfg(test)]
mod tests;
