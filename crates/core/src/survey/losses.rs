//! Values that an update takes from items: what stood there before, and is nowhere in the item afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::forecast::Tried;
use crate::change::expression::shown_name;
use crate::table::KeySchema;
use crate::value::Plain;
use crate::{Item, Key, Value, printable};

/// Longest value that is shown of an item, in characters.
const LONGEST_SHOWN: usize = 60;

/// Values of one attribute that the update takes from items in one way: it replaces them, or removes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses {
    /// The attribute, at the top level of the item.
    pub attribute: String,
    /// True if nothing stands in their place afterwards.
    pub are_removed: bool,
    /// How many of the items that were tried lose a value.
    pub items: u64,
    /// How many of the items that were tried have the attribute.
    pub holders: u64,
    /// The key of one of the items that lose a value.
    pub example: Key,
    /// What is lost of that one, for a person: `land: "DE" becomes "AT"`.
    pub what: String,
}

/// What the update takes from items on whose copies it was tried, by attribute; nothing of items that refused it.
pub fn losses<'a>(
    keys: &KeySchema,
    targets: &[String],
    tried: impl Iterator<Item = &'a Tried>,
) -> Vec<Losses> {
    let targets: BTreeSet<&String> = targets.iter().collect();
    let mut holders: BTreeMap<&str, u64> = BTreeMap::new();
    let mut found: BTreeMap<(&str, bool), Losses> = BTreeMap::new();
    for tried in tried {
        for &attribute in &targets {
            let Some(before) = tried.before.get(attribute) else {
                continue;
            };
            *holders.entry(attribute).or_default() += 1;
            // A refused update takes nothing.
            let Ok(after) = &tried.after else { continue };
            let mut path = vec![attribute.as_str()];
            let Some(loss) = loss(&mut path, before, after.get(attribute)) else {
                continue;
            };
            // A rename moves a value; what is found elsewhere is not lost.
            if loss.now.is_none() && is_new_elsewhere(loss.was, &tried.before, after) {
                continue;
            }
            let entry = found.entry((attribute, loss.now.is_none()));
            entry
                .or_insert_with(|| Losses {
                    attribute: attribute.clone(),
                    are_removed: loss.now.is_none(),
                    items: 0,
                    holders: 0,
                    example: keys.key_of(&tried.before),
                    what: loss.text(),
                })
                .items += 1;
        }
    }
    let mut found: Vec<Losses> = found.into_values().collect();
    for losses in &mut found {
        losses.holders = holders[losses.attribute.as_str()];
    }
    // What is replaced comes first: a removal is what the update says.
    found.sort_by_key(|losses| losses.are_removed);
    found
}

/// A value that was there and is not any more.
struct Loss<'a> {
    path: Vec<&'a str>,
    was: &'a Value,
    now: Option<&'a Value>,
}

impl Loss<'_> {
    fn text(&self) -> String {
        let names = self.path.iter().map(|name| shown_name(name).into_owned());
        let names: Vec<String> = names.collect();
        let path = names.join(".");
        match self.now {
            Some(now) => format!("{path}: {} becomes {}", shown(self.was), shown(now)),
            None => format!("{path}: {} is gone", shown(self.was)),
        }
    }
}

/// The first value that is lost at this path. A map that gets another entry, a list that gets longer and a set that gets another
/// member lose nothing.
fn loss<'a>(path: &mut Vec<&'a str>, was: &'a Value, now: Option<&'a Value>) -> Option<Loss<'a>> {
    let lost = |path: &[&'a str]| {
        Some(Loss {
            path: path.to_vec(),
            was,
            now,
        })
    };
    match (was, now) {
        (_, None) => lost(path),
        (Value::M(was), Some(Value::M(now))) => was.iter().find_map(|(name, was)| {
            path.push(name);
            let found = loss(path, was, now.get(name));
            path.pop();
            found
        }),
        (Value::L(was_list), Some(Value::L(now_list))) => {
            let is_kept = was_list.is_empty()
                || now_list
                    .windows(was_list.len())
                    .any(|part| part == was_list.as_slice());
            if is_kept { None } else { lost(path) }
        }
        (Value::Ss(was), Some(Value::Ss(now))) if was.iter().all(|it| now.contains(it)) => None,
        (Value::Ns(was), Some(Value::Ns(now))) if was.iter().all(|it| now.contains(it)) => None,
        (Value::Bs(was), Some(Value::Bs(now))) if was.iter().all(|it| now.contains(it)) => None,
        (was, Some(now)) if was == now => None,
        _ => lost(path),
    }
}

/// True if an attribute that was not there, or was another, has this value now.
fn is_new_elsewhere(value: &Value, before: &Item, after: &Item) -> bool {
    after
        .iter()
        .any(|(name, now)| now == value && before.get(name) != Some(value))
}

/// A value as plain JSON, shortened.
fn shown(value: &Value) -> String {
    let text = printable(&serde_json::to_string(&Plain(value)).unwrap_or_default());
    match text.chars().count() > LONGEST_SHOWN {
        true => text.chars().take(LONGEST_SHOWN).chain(['…']).collect(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{KeyAttribute, KeyType};

    fn item(json: &str) -> Item {
        match Value::from_plain_json(json).unwrap() {
            Value::M(item) => item,
            _ => panic!("{json}"),
        }
    }

    fn of(targets: &[&str], pairs: &[(&str, &str)]) -> Vec<Losses> {
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        let tried: Vec<Tried> = pairs
            .iter()
            .map(|(before, after)| Tried {
                before: item(before),
                after: Ok(item(after)),
                is_extinguished: true,
            })
            .collect();
        let targets: Vec<String> = targets.iter().map(|&name| name.to_owned()).collect();
        losses(&keys, &targets, tried.iter())
    }

    #[test]
    fn what_is_replaced_or_removed_is_lost_and_what_moves_or_grows_is_not() {
        for (targets, before, after, what) in [
            (&["a"][..], r#"{"id":1}"#, r#"{"id":1,"a":1}"#, None),
            (&["a"], r#"{"id":1,"a":1}"#, r#"{"id":1,"a":1}"#, None),
            (
                &["a"],
                r#"{"id":1,"a":1}"#,
                r#"{"id":1,"a":"x"}"#,
                Some(r#"a: 1 becomes "x""#),
            ),
            (
                &["a"],
                r#"{"id":1,"a":1}"#,
                r#"{"id":1}"#,
                Some("a: 1 is gone"),
            ),
            // A rename that finds nothing, and one that does.
            (
                &["land", "country"],
                r#"{"id":1,"country":"AT"}"#,
                r#"{"id":1,"land":"AT"}"#,
                None,
            ),
            (
                &["land", "country"],
                r#"{"id":1,"country":"AT","land":"DE"}"#,
                r#"{"id":1,"land":"AT"}"#,
                Some(r#"land: "DE" becomes "AT""#),
            ),
            (
                &["m"],
                r#"{"id":1,"m":{"a":1}}"#,
                r#"{"id":1,"m":{"a":1,"b":2}}"#,
                None,
            ),
            (
                &["m"],
                r#"{"id":1,"m":{"a.b":{"c":1}}}"#,
                r#"{"id":1,"m":{"a.b":{"c":2}}}"#,
                Some(r#"m."a.b".c: 1 becomes 2"#),
            ),
            (
                &["l"],
                r#"{"id":1,"l":[1,2]}"#,
                r#"{"id":1,"l":[0,1,2]}"#,
                None,
            ),
            (
                &["l"],
                r#"{"id":1,"l":[1,2]}"#,
                r#"{"id":1,"l":[1,3]}"#,
                Some("l: [1,2] becomes [1,3]"),
            ),
            // Not what the update writes, so nothing of its doing.
            (&["b"], r#"{"id":1,"a":1}"#, r#"{"id":1}"#, None),
        ] {
            let found = of(targets, &[(before, after)]);
            assert_eq!(
                found.first().map(|losses| losses.what.as_str()),
                what,
                "{before} {after}"
            );
        }
    }

    #[test]
    fn losses_are_counted_by_attribute_and_replacements_come_first() {
        let found = of(
            &["a", "b"],
            &[
                (r#"{"id":1,"a":1,"b":1}"#, r#"{"id":1,"b":1}"#),
                (r#"{"id":2,"a":1,"b":1}"#, r#"{"id":2,"b":2}"#),
                (r#"{"id":3,"b":1}"#, r#"{"id":3,"b":3}"#),
            ],
        );
        let counts: Vec<_> = found
            .iter()
            .map(|l| (l.attribute.as_str(), l.are_removed, l.items, l.holders))
            .collect();
        // The first item's `a` had the value that its `b` has, but that one is no new one.
        assert_eq!(counts, [("b", false, 2, 3), ("a", true, 2, 2)]);
        assert_eq!(found[0].example, Key(item(r#"{"id":2}"#)));
    }

    #[test]
    fn a_set_that_grows_loses_nothing() {
        let set =
            |members: &[&str]| Value::Ss(members.iter().map(|&member| member.to_owned()).collect());
        let (few, many) = (set(&["a"]), set(&["b", "a"]));
        assert!(loss(&mut vec!["s"], &few, Some(&many)).is_none());
        assert!(loss(&mut vec!["s"], &many, Some(&few)).is_some());
    }
}
