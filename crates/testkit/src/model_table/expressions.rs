//! The expressions of a change, read once to be evaluated on many items.

use std::borrow::Cow;

use backfill_core::Spec;
use backfill_core::change::grammar::Update;
use backfill_core::change::{GuardedUpdate, Parsed, Sweep};

/// A guarded update, read.
pub(super) struct Written {
    pub(super) of: GuardedUpdate<'static>,
    pub(super) guard: Parsed,
    pub(super) update: Update,
}

impl Written {
    pub(super) fn new(of: &GuardedUpdate<'_>) -> Written {
        let guard = Parsed::new(of.condition.as_str(), &of.names, &of.values);
        let update = Update::new(&of.update, &of.names, &of.values);
        Written {
            of: GuardedUpdate {
                update: Cow::Owned(of.update.clone().into_owned()),
                condition: Cow::Owned(of.condition.clone().into_owned()),
                names: Cow::Owned(of.names.clone().into_owned()),
                values: Cow::Owned(of.values.clone().into_owned()),
            },
            guard: guard.unwrap_or_else(|why| panic!("the guard is no condition: {why}")),
            update: update.unwrap_or_else(|why| panic!("it is no update: {why}")),
        }
    }
}

pub(super) fn filter_of(sweep: &Sweep) -> Parsed {
    let filter = Parsed::new(&sweep.filter, &sweep.names, &sweep.values);
    filter.unwrap_or_else(|why| panic!("the filter is no condition: {why}"))
}

pub(super) fn pending_of(spec: &Spec) -> Parsed {
    let pending = Parsed::new(&spec.pending, &spec.names, &spec.values);
    pending.unwrap_or_else(|why| panic!("the predicate is no condition: {why}"))
}
