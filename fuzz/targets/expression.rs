//! The expressions of a spec and what is made of them: the guard stays in force whatever they say.
#![no_main]

use std::collections::BTreeSet;

use backfill_core::change::expression::{
    MAX_LENGTH, check_enclosed, placeholders, update_targets, without_outer_parentheses,
};
use backfill_core::change::{Made, Seen, Sweep};
use backfill_core::{Item, Key};
use backfill_fuzz::scenario::Scenario;
use backfill_fuzz::{assert_is_a_clear_sentence, encloses_the_rest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Scenario { spec, keys } = Scenario::parse(text);
    for expression in [&spec.pending, &spec.update] {
        assert_eq!(
            placeholders(expression),
            backfill_fuzz::placeholders(expression)
        );
        let inside = without_outer_parentheses(expression);
        assert!(expression.contains(inside));
        let text = format!("({inside})");
        match check_enclosed(expression) {
            Ok(()) => assert!(encloses_the_rest(&text, 0)),
            Err(refusal) => assert_is_a_clear_sentence(&refusal),
        }
        for target in update_targets(expression) {
            assert!(!target.is_empty() && expression.contains(target));
        }
    }
    if let Err(refusal) = spec.check_against(&keys) {
        assert_is_a_clear_sentence(&refusal.report());
    }
    if let Err(refusal) = spec.check() {
        assert!(refusal.kind().is_refusal());
        return assert_is_a_clear_sentence(&refusal.report());
    }
    spec.fingerprint();
    spec.describe();

    let change = spec.change(&keys);
    let (sweep, not_pending) = (change.sweep(), change.not_pending());
    let seen = Seen::from(Key(Item::new()));
    let made = Made::default();
    let update = change.update(&seen, &made);
    assert_eq!(sweep.filter, spec.pending);
    assert_eq!(update.update, spec.update);
    // The predicate is one operand beside the guard: nothing in it ends the parentheses around it.
    for (expression, guard) in [
        (
            update.condition.as_str(),
            "attribute_exists(#backfill_key0) AND (",
        ),
        (
            &*not_pending.expression,
            "attribute_not_exists(#backfill_key0) OR NOT (",
        ),
    ] {
        assert!(expression.starts_with(guard), "{expression}");
        assert!(
            encloses_the_rest(expression, guard.len() - 1),
            "{expression}"
        );
    }

    // DynamoDB refuses a placeholder that is used and not defined, or defined and not used.
    let of = |expressions: &[&str], sigil: char| -> BTreeSet<String> {
        expressions
            .iter()
            .flat_map(|expression| backfill_fuzz::placeholders(expression))
            .filter(|placeholder| placeholder.starts_with(sigil))
            .collect()
    };
    let pending = change.pending();
    if let Some(lacks) = change.lacks() {
        let Sweep {
            filter,
            projection,
            names,
            values,
        } = &lacks.sweep;
        let of_it = [&**filter, &**projection];
        assert!(filter.len() <= MAX_LENGTH, "{filter}");
        let not = filter.find(" AND NOT (").unwrap() + " AND NOT ".len();
        assert!(encloses_the_rest(filter, not), "{filter}");
        assert!(names.keys().eq(&of(&of_it, '#')), "{of_it:?}");
        assert!(values.keys().eq(&of(&of_it, ':')), "{of_it:?}");
    }
    for (expressions, names, values) in [
        (
            vec![&*sweep.filter, &*sweep.projection],
            &sweep.names,
            &sweep.values,
        ),
        (vec![&*pending.expression], &pending.names, &pending.values),
        (
            vec![&*not_pending.expression],
            &not_pending.names,
            &not_pending.values,
        ),
        (
            vec![&*update.update, update.condition.as_str()],
            &*update.names,
            &*update.values,
        ),
    ] {
        assert!(names.keys().eq(&of(&expressions, '#')), "{expressions:?}");
        assert!(values.keys().eq(&of(&expressions, ':')), "{expressions:?}");
        // Ours mean the keys, and the operator's mean what the operator said.
        for (placeholder, attribute) in names {
            match placeholder.strip_prefix("#backfill_key") {
                Some(index) => {
                    assert_eq!(keys.names().nth(index.parse().unwrap()), Some(&**attribute));
                }
                None => assert_eq!(&spec.names[placeholder], attribute),
            }
        }
        for (placeholder, value) in values {
            assert_eq!(&spec.values[placeholder], value);
        }
    }
});
