//! The expressions of a change, read once to be evaluated on many items.

use std::borrow::Cow;

use backfill_core::change::grammar::{Path, Step, Update};
use backfill_core::change::{GuardedUpdate, Parsed, Sweep};
use backfill_core::{Item, Spec, Value};

use crate::update::check_overlaps;

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

/// What a Scan asks, read.
pub(super) struct Asked {
    filter: Parsed,
    /// The paths that it brings along.
    projection: Vec<Path>,
}

impl Asked {
    pub(super) fn new(sweep: &Sweep) -> Asked {
        let filter = Parsed::new(&sweep.filter, &sweep.names, &sweep.values);
        // A projection is written as what stands behind REMOVE: paths with commas between them.
        let paths = format!("REMOVE {}", sweep.projection);
        let paths = Update::new(&paths, &sweep.names, &Item::new());
        let paths = paths.unwrap_or_else(|why| panic!("it is no projection: {why}"));
        check_overlaps(&paths).unwrap_or_else(|why| panic!("DynamoDB refuses it: {why}"));
        Asked {
            filter: filter.unwrap_or_else(|why| panic!("the filter is no condition: {why}")),
            projection: paths.remove,
        }
    }

    /// Whether the filter is true for this item.
    pub(super) fn finds(&self, item: &Item) -> bool {
        self.filter.holds(item)
    }

    /// What is brought along of an item: the attributes that are named, and of a map in which a path ends no more than what the path
    /// leads to.
    pub(super) fn brings(&self, item: &Item) -> Item {
        let brought = item.iter().filter_map(|(name, value)| {
            let paths = self
                .projection
                .iter()
                .filter(|path| path.attribute == *name);
            let paths: Vec<&[Step]> = paths.map(|path| path.steps.as_slice()).collect();
            Some((name.clone(), projected(value, &paths)?))
        });
        brought.collect()
    }
}

/// What these paths lead to of a value, in the maps and lists in which it stands there; `None` if they lead to nothing. Members of a
/// list close up.
fn projected(value: &Value, paths: &[&[Step]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value.clone());
    }
    let within = |inner: &Value, step: Step| {
        let beyond = paths.iter().filter_map(|path| match path.split_first() {
            Some((first, rest)) if *first == step => Some(rest),
            _ => None,
        });
        projected(inner, &beyond.collect::<Vec<_>>())
    };
    match value {
        Value::M(map) => {
            let found = map.iter().filter_map(|(name, inner)| {
                Some((name.clone(), within(inner, Step::Name(name.clone()))?))
            });
            let found: Item = found.collect();
            (!found.is_empty()).then_some(Value::M(found))
        }
        Value::L(list) => {
            let members = list.iter().enumerate();
            let found = members.filter_map(|(nth, inner)| within(inner, Step::Index(nth)));
            let found: Vec<Value> = found.collect();
            (!found.is_empty()).then_some(Value::L(found))
        }
        _ => None,
    }
}

pub(super) fn pending_of(spec: &Spec) -> Parsed {
    let pending = Parsed::new(&spec.pending, &spec.names, &spec.values);
    pending.unwrap_or_else(|why| panic!("the predicate is no condition: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(projection: &str) -> Asked {
        let names = [("#dots", "a.b"), ("#x", "x")];
        let names = names.map(|(name, meaning)| (name.to_owned(), meaning.to_owned()));
        Asked::new(&Sweep {
            filter: "attribute_exists(id)".into(),
            projection: projection.into(),
            names: names.into(),
            values: Item::new(),
        })
    }

    fn n(number: u32) -> Value {
        Value::N(number.to_string())
    }

    fn of(attributes: &[(&str, Value)]) -> Item {
        let attributes = attributes.iter();
        let attributes = attributes.map(|(name, value)| (name.to_string(), value.clone()));
        attributes.collect()
    }

    fn map(attributes: &[(&str, Value)]) -> Value {
        Value::M(of(attributes))
    }

    #[test]
    fn a_page_brings_along_what_is_asked_for() {
        let inner = map(&[("x", n(4)), ("y", n(5))]);
        let member = map(&[("x", n(8)), ("y", n(9))]);
        let item = of(&[
            ("id", n(1)),
            ("a.b", n(2)),
            ("a", map(&[("b", n(3)), ("x", inner)])),
            ("l", Value::L(vec![n(6), n(7), member])),
        ]);
        let (id, b) = (of(&[("id", n(1))]), map(&[("b", n(3))]));
        let within = map(&[("x", n(4))]);
        let members = vec![n(6), map(&[("y", n(9))])];
        for (projection, brought) in [
            ("id", id),
            ("id, missing, #dots", of(&[("id", n(1)), ("a.b", n(2))])),
            ("a.b, id.x, a.missing", of(&[("a", b)])),
            (
                "a.#x.#x, a.b",
                of(&[("a", map(&[("b", n(3)), ("x", within)]))]),
            ),
            ("a.b.x, a.#x.missing.y, l.x, l[3]", of(&[])),
            ("l[2].y, l[0]", of(&[("l", Value::L(members))])),
        ] {
            assert_eq!(asked(projection).brings(&item), brought, "{projection}");
        }
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn paths_of_a_projection_do_not_overlap() {
        asked("id, a, a.b");
    }
}
