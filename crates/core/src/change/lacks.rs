//! What an update sets and an item may lack though it is not pending: the predicate asks for more than that it is missing. A count
//! of the predicate says nothing of such items, so they are counted beside it, by a filter of their own.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{
    MAX_LENGTH, OURS, lacks_any_of, made_attributes, placeholders, shown_name, tokens,
    without_outer_parentheses, words,
};
use super::seam::{Lacks, Sweep};
use super::spec::Spec;
use crate::table::KeySchema;
use crate::text::printable;

/// Most attributes that are counted so. The first ones are.
const MOST_ATTRIBUTES: usize = 8;

/// Most bytes of the name of such an attribute: it travels in the state of an execution.
const MOST_BYTES: usize = 255;

impl Lacks {
    /// What items outside of the predicate may lack; `None` if it leaves out no item that lacks what the update sets.
    pub(super) fn of(spec: &Spec, keys: &KeySchema) -> Option<Lacks> {
        let mut attributes = spec.may_be_lacking();
        attributes.retain(|name| name.len() <= MOST_BYTES);
        attributes.truncate(MOST_ATTRIBUTES);
        // A long predicate leaves room for fewer of them.
        while !attributes.is_empty() {
            let sweep = sweep(spec, keys, &attributes);
            if sweep.filter.len() <= MAX_LENGTH {
                return Some(Lacks { attributes, sweep });
            }
            attributes.pop();
        }
        None
    }
}

/// How many items that are not pending lack what an update sets, for a person; `None` if that was not counted.
pub fn lacking_text(lacking: &BTreeMap<String, u64>) -> Option<String> {
    if lacking.is_empty() {
        return None;
    }
    let shown = |name: &String| printable(&shown_name(name));
    let found: Vec<String> = lacking
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| {
            let lack = if *count == 1 { "lacks" } else { "lack" };
            format!("{count} {lack} {}", shown(name))
        })
        .collect();
    Some(match found.is_empty() {
        true => {
            let names: Vec<String> = lacking.keys().map(shown).collect();
            format!(
                "none of the items that the predicate leaves out lacks {}",
                names.join(" or ")
            )
        }
        false => format!(
            "of the items that the predicate leaves out {}",
            found.join(", ")
        ),
    })
}

fn placeholder(nth: usize) -> String {
    format!("#{OURS}of{nth}")
}

fn sweep(spec: &Spec, keys: &KeySchema, attributes: &[String]) -> Sweep {
    let key = format!("#{OURS}key0");
    let of: Vec<String> = (0..attributes.len()).map(placeholder).collect();
    let lacks = lacks_any_of(of.iter().map(String::as_str));
    let used: BTreeSet<&str> = placeholders(&spec.pending).into_iter().collect();
    let mut names: BTreeMap<String, String> = spec.names.clone();
    names.retain(|name, _| used.contains(name.as_str()));
    names.insert(key.clone(), keys.hash.name.clone());
    names.extend(of.iter().cloned().zip(attributes.iter().cloned()));
    let mut values = spec.values.clone();
    values.retain(|name, _| used.contains(name.as_str()));
    let pending = without_outer_parentheses(&spec.pending);
    Sweep {
        filter: format!("{lacks} AND NOT ({pending})"),
        projection: format!("{key}, {}", of.join(", ")),
        names,
        values,
    }
}

impl Spec {
    /// Attributes that `U` sets and that an item may lack though `P` does not hold for it, since `P` asks for more: a count of `P`
    /// says nothing of such items. None of those that are computed: what an item lacks for them is seen where they are computed anew.
    pub fn may_be_lacking(&self) -> Vec<String> {
        if self.makes_values() {
            return Vec::new();
        }
        let name_of = |word: &str| self.attribute_of(word).to_owned();
        let asked_for: BTreeSet<String> = alternatives(&self.pending)
            .filter_map(|alternative| match words(alternative)[..] {
                ["attribute_not_exists", "(", name, ")"] => Some(name_of(name)),
                _ => None,
            })
            .collect();
        let mut lacking: Vec<String> = Vec::new();
        for name in made_attributes(&self.update).into_iter().map(name_of) {
            if !asked_for.contains(&name) && !lacking.contains(&name) {
                lacking.push(name);
            }
        }
        lacking
    }
}

/// The conditions of which each makes the expression true. `OR` binds the least of all operators.
fn alternatives(expression: &str) -> impl Iterator<Item = &str> {
    let expression = without_outer_parentheses(expression);
    let mut found = Vec::new();
    let (mut depth, mut begin) = (0_i32, 0);
    for place in tokens(expression) {
        match &expression[place.clone()] {
            "(" => depth += 1,
            ")" => depth -= 1,
            word if depth == 0 && word.eq_ignore_ascii_case("OR") => {
                found.push(&expression[begin..place.start]);
                begin = place.end;
            }
            _ => {}
        }
    }
    found.push(&expression[begin..]);
    found.into_iter().map(without_outer_parentheses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;
    use crate::change::expression::{LONGEST_GUARD, check_enclosed};
    use crate::table::{KeyAttribute, KeyType};

    fn spec(pending: &str, update: &str) -> Spec {
        Spec {
            table: "stuff".into(),
            pending: pending.into(),
            update: update.into(),
            names: BTreeMap::from([("#a".to_owned(), "a".to_owned())]),
            values: Item::new(),
            compute: None,
            code: None,
        }
    }

    fn lacks(pending: &str, update: &str) -> Option<Lacks> {
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        Lacks::of(&spec(pending, update), &keys)
    }

    /// What a count of the predicate says nothing of: items outside of it that lack what the update sets.
    #[test]
    fn attributes_that_items_outside_the_predicate_may_lack() {
        for (pending, update, lacking) in [
            ("attribute_not_exists(a)", "SET a = :v", ""),
            ("(attribute_not_exists( #a ))", "SET #a = :v", ""),
            (
                "attribute_not_exists(#a) OR attribute_not_exists(b)",
                "SET #a = :v, b = :v",
                "",
            ),
            (
                "(attribute_not_exists(#a)) or b BETWEEN :v AND :w",
                "SET #a = :v",
                "",
            ),
            (
                "attribute_not_exists(#a) AND attribute_exists(b)",
                "SET #a = :v",
                "a",
            ),
            (
                "c = :v AND (b = :v OR attribute_not_exists(#a) OR d = :v)",
                "SET #a = :v",
                "a",
            ),
            ("NOT attribute_not_exists(a)", "SET a = :v", "a"),
            (
                "attribute_not_exists(#a) OR attribute_not_exists(b)",
                "SET #a = :v, c = :v",
                "c",
            ),
            ("b > :v", "SET #a = :v", "a"),
            ("attribute_exists(#a)", "REMOVE #a", ""),
            ("attribute_exists(#a)", "SET b = #a REMOVE #a", "b"),
            ("b > :v", "SET a.b = :v, c[0] = :v", ""),
            (
                "b > :v",
                "add c :v DELETE d :s SET e = set + :v, f = :v",
                "c e f",
            ),
            (
                "b > :v",
                "SET set = :v, size = size REMOVE remove",
                "set size",
            ),
            (
                "b > :v",
                "SET c = list_append(if_not_exists(c, :n), :v)",
                "c",
            ),
        ] {
            let found = spec(pending, update).may_be_lacking();
            assert_eq!(found.join(" "), lacking, "{pending}: {update}");
            assert_eq!(lacks(pending, update).is_some(), !lacking.is_empty());
        }
    }

    #[test]
    fn the_scan_for_them_leaves_out_what_is_pending() {
        let one = lacks("(#a = :v OR b = :w)", "SET c = :x").unwrap();
        assert_eq!(
            one.sweep.filter,
            "attribute_not_exists(#backfill_of0) AND NOT (#a = :v OR b = :w)"
        );
        assert_eq!(one.sweep.projection, "#backfill_key0, #backfill_of0");
        let names: Vec<&str> = one.sweep.names.values().map(String::as_str).collect();
        assert_eq!(names, ["a", "id", "c"]);
        let two = lacks("b = :w", "SET c = :x, d = :x").unwrap();
        assert_eq!(
            two.sweep.filter,
            "(attribute_not_exists(#backfill_of0) OR attribute_not_exists(#backfill_of1)) AND NOT (b = :w)"
        );
        assert!(!two.sweep.names.contains_key("#a"), "nobody uses it");
    }

    #[test]
    fn what_items_lack_is_told_in_a_sentence() {
        for (counts, text) in [
            (vec![], None),
            (
                vec![("land", 0), ("a.b", 0)],
                Some("none of the items that the predicate leaves out lacks \"a.b\" or land"),
            ),
            (
                vec![("land", 40), ("nothing", 0), ("region", 1)],
                Some("of the items that the predicate leaves out 40 lack land, 1 lacks region"),
            ),
        ] {
            let counts = counts.into_iter().map(|(name, n)| (name.to_owned(), n));
            assert_eq!(lacking_text(&counts.collect()).as_deref(), text);
        }
    }

    /// The longest predicate that a spec may have leaves room for the first attribute; names, and how many, are bounded.
    #[test]
    fn the_scan_for_them_is_no_longer_than_an_expression_may_be() {
        let longest = format!("b = {}", "c".repeat(MAX_LENGTH - LONGEST_GUARD - 4));
        let found = lacks(&longest, "SET d = :v, e = :v").unwrap();
        assert_eq!(found.attributes, ["d"]);
        assert!(found.sweep.filter.len() <= MAX_LENGTH);
        let many: Vec<String> = (0..50).map(|i| format!("d{i} = :v")).collect();
        let many = lacks("b = :v", &format!("SET {}", many.join(", "))).unwrap();
        assert_eq!(many.attributes.len(), MOST_ATTRIBUTES);
        check_enclosed(&many.sweep.filter).unwrap();
        let long = format!("SET {} = :v", "d".repeat(MOST_BYTES + 1));
        assert_eq!(lacks("b = :v", &long), None);
    }
}
