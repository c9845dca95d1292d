//! What a template is made of, and what it makes of an item.

use std::borrow::Cow;
use std::fmt;

use super::failure::{Failure, shortened};
use super::functions::{Arguments, Function, Trouble};
use super::path::Path;
use crate::value::Value;
use crate::value::few::Attributes;

/// One piece of a template.
#[derive(Clone)]
pub(super) enum Piece {
    /// Text as it stands.
    Text(String),
    /// What stands in `${…}`.
    Part(Part),
}

/// A source or a literal, and the functions that are applied to it, one after the other.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) head: Head,
    pub(super) steps: Vec<Step>,
}

/// What a part begins with.
#[derive(Clone)]
pub(super) enum Head {
    Source(Path),
    Literal(Value),
}

/// A call of a function.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) function: &'static Function,
    pub(super) arguments: Vec<Argument>,
}

/// An argument of a call.
#[derive(Clone)]
pub(super) enum Argument {
    Literal(Value),
    Part(Part),
}

/// Why a part gives no value.
#[derive(Debug)]
pub(super) enum Stop {
    /// What it asks for is not there; `default` right behind it may stand in.
    Lacks(Failure),
    /// It cannot be computed.
    Fails(Failure),
}

impl Stop {
    pub(super) fn into_failure(self) -> Failure {
        let (Stop::Lacks(failure) | Stop::Fails(failure)) = self;
        failure
    }
}

type Found<'a> = Result<Cow<'a, Value>, Stop>;

impl Part {
    /// The value that it gives for an item.
    pub(super) fn evaluate<'a>(&'a self, item: &'a dyn Attributes) -> Found<'a> {
        let mut found: Found<'a> = match &self.head {
            Head::Literal(value) => Ok(Cow::Borrowed(value)),
            Head::Source(path) => match path.get(item) {
                Some(value) => Ok(Cow::Borrowed(value)),
                None => Err(Stop::Lacks(Failure::missing(path))),
            },
        };
        for step in &self.steps {
            found = match (found, step.function.stands_in()) {
                (Ok(value), false) => step.apply(&value, item).map(Cow::Owned),
                (Err(Stop::Lacks(lack)), true) => step.stand_in(lack, item),
                (Ok(value), true) => Ok(value),
                (Err(stop), _) => return Err(stop),
            };
        }
        found
    }
}

/// Shows what it begins with.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.head {
            Head::Source(path) => f.write_str(&shortened(&path.to_string())),
            Head::Literal(_) => f.write_str("a literal"),
        }
    }
}

impl Step {
    fn apply(&self, value: &Value, item: &dyn Attributes) -> Result<Value, Stop> {
        let name = self.function.name;
        let fails = |why: String| Stop::Fails(Failure::of(name, why));
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for (at, argument) in self.arguments.iter().enumerate() {
            arguments.push(match argument {
                Argument::Literal(value) => Cow::Borrowed(value),
                Argument::Part(part) => {
                    let found = part.evaluate(item);
                    // What an argument lacks, nothing behind the call stands in for.
                    let value = found.map_err(|stop| Stop::Fails(stop.into_failure()))?;
                    self.function.check_argument(at, &value).map_err(fails)?;
                    value
                }
            });
        }
        let made = self.function.apply(value, &Arguments(&arguments));
        made.map_err(|trouble| match trouble {
            Trouble::Wrong(why) => fails(why),
            Trouble::Nothing(why) => Stop::Lacks(Failure::of(name, why)),
        })
    }

    /// The first argument that is there; if none is, what was lacking before.
    fn stand_in<'a>(&'a self, lack: Failure, item: &'a dyn Attributes) -> Found<'a> {
        for argument in &self.arguments {
            match argument {
                Argument::Literal(value) => return Ok(Cow::Borrowed(value)),
                Argument::Part(part) => match part.evaluate(item) {
                    Err(Stop::Lacks(_)) => {}
                    found => return found,
                },
            }
        }
        Err(Stop::Lacks(lack))
    }
}
