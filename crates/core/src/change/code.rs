//! Changes that code of a user makes: [`Code`], and which of it this program has.
//!
//! The code says which items are pending, what it reads, and what an item of it becomes. Everything else is as for any other
//! change: the guard of a write asks that the item is there, is pending, and has what the code has read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::expression::shown_name;
use super::made::{Condition, Made};
use crate::text::printable;
use crate::{Error, Item, Result};

/// A change of items that is made by code.
///
/// The code can be wrong about values, and about nothing else. What it makes is written only to an item that is there, is pending,
/// and still has what was read of it. Only attributes of [`Code::writes`] are written, and the run fails at its trial if an
/// item is still pending afterwards.
///
/// The code is pure: the same item gives the same change, now and in a year. It keeps no state, and asks no clock, no network and
/// no random numbers. It never panics: in one process a panic rejects the item, and in a function it ends the chunk.
/// `backfill_testkit::code::hold` tries all that.
pub trait Code: Send + Sync + 'static {
    /// The name, by which a request asks for it: 1 to 128 of `a-z`, `0-9`, `-` and `_`.
    fn name(&self) -> &str;

    /// What tells this version of the code from others that make something else: 1 to 128 printable characters of ASCII, such as
    /// `1`. A run goes on only with the version that it was begun with.
    fn fingerprint(&self) -> String;

    /// The attributes that the code is given of an item, by their names at the top level. A sweep reads these, the key and those of
    /// [`Code::writes`], and the guard of a write compares them, key attributes aside.
    fn reads(&self) -> Vec<String>;

    /// The attributes that the code may set or remove, by their names at the top level: at least one, and no key attribute.
    fn writes(&self) -> Vec<String>;

    /// The condition that is true for an item still to be migrated: `P`. What the code makes of an item makes it false.
    fn pending(&self) -> Condition;

    /// Makes what is to be written to an item, which has those attributes of [`Code::reads`] that it has in the table.
    ///
    /// Errors: why nothing can be made of this item, for a person. The run lists it as rejected, and writes nothing to it. What is the
    /// item's own stands between double quotes in the reason, so that it is left out of records and logs.
    fn change(&self, item: &Item) -> std::result::Result<Made, String>;
}

impl fmt::Debug for dyn Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The code of this program, by name.
static KNOWN: RwLock<BTreeMap<String, Arc<dyn Code>>> = RwLock::new(BTreeMap::new());

/// Takes code up.
///
/// Errors: `InvalidInput`, naming `code`, if there is code of this name already.
pub(super) fn insert(code: Arc<dyn Code>) -> Result<()> {
    let name = code.name().to_owned();
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if known.contains_key(&name) {
        return Err(wrong(
            &name,
            "it is registered twice; give one of the two another name",
        ));
    }
    known.insert(name, code);
    Ok(())
}

/// The names of all code of this program, in their order.
pub fn known() -> Vec<String> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.keys().cloned().collect()
}

/// The code of this name.
///
/// Errors: `InvalidInput`, naming `code`, with the names that there are.
fn find(name: &str) -> Result<Arc<dyn Code>> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = known.get(name) {
        return Ok(code.clone());
    }
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let why = match names[..] {
        [] => "this program has no code of its own; use the command and the functions that were built with it".to_owned(),
        _ => format!("this program does not have it; it has {}", names.join(", ")),
    };
    Err(wrong(name, why))
}

/// What is wrong with the code of this name.
pub(super) fn wrong(name: &str, why: impl fmt::Display) -> Error {
    Error::invalid("code", format!("{}: {why}", printable(&shown_name(name))))
}

/// Which code makes a change, in which version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coded {
    /// The name of the code.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: String,
}

impl Coded {
    /// The code of this name, in the version that this program has.
    ///
    /// Errors: `InvalidInput`, naming `code`, if there is none.
    pub fn named(name: &str) -> Result<Coded> {
        let fingerprint = find(name)?.fingerprint();
        let name = name.to_owned();
        Ok(Coded { name, fingerprint })
    }

    /// The code, if this program has it in this version.
    ///
    /// Errors: `InvalidInput`, naming `code`.
    pub(crate) fn code(&self) -> Result<Arc<dyn Code>> {
        let code = find(&self.name)?;
        let ours = code.fingerprint();
        if ours == self.fingerprint {
            return Ok(code);
        }
        let why = format!(
            "this program has version {}, and version {} is asked for; use a program with that one, or begin a run of its own with \
             this one",
            printable(&ours),
            printable(&self.fingerprint)
        );
        Err(wrong(&self.name, why))
    }
}

/// For a person: `user-agent (version 1)`.
impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (version {})", self.name, self.fingerprint)
    }
}
