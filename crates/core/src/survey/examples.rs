//! Which items of a sample are kept whole: those that stand for all, those that are unlike the others, and those that have a value
//! already where the update writes.

use std::collections::{BTreeMap, BTreeSet};

use super::computed;
use super::forecast::Tried;
use crate::compute::Path;
use crate::value::size::item_bytes;
use crate::{Item, Key};

/// Most kinds of items, by the names of their attributes, of which one is kept.
const MAX_KINDS: usize = 20;

/// Most items that are kept because they have a value where the update writes.
const MAX_HOLDERS: usize = 200;

/// Most bytes of these.
const MAX_HOLDER_BYTES: u64 = 4 * 1024 * 1024;

/// Pending items of a sample that a few of each page would miss.
#[derive(Debug, Default)]
pub(super) struct Unusual {
    smallest: Option<(u64, Item)>,
    largest: Option<(u64, Item)>,
    /// One item of each kind.
    kinds: BTreeMap<Vec<String>, Item>,
    /// Items with a value where the update writes.
    holders: Vec<Item>,
    holder_bytes: u64,
    /// How many of them have each attribute.
    held: BTreeMap<String, usize>,
}

impl Unusual {
    /// Looks at an item of the sample. `targets` are the attributes that the update writes; items of one `kind` are alike.
    pub fn look_at(&mut self, item: &Item, targets: &[String], kind: Vec<String>) {
        let bytes = item_bytes(item);
        if self
            .smallest
            .as_ref()
            .is_none_or(|(least, _)| bytes < *least)
        {
            self.smallest = Some((bytes, item.clone()));
        }
        if self.largest.as_ref().is_none_or(|(most, _)| bytes > *most) {
            self.largest = Some((bytes, item.clone()));
        }
        if self.kinds.len() < MAX_KINDS {
            self.kinds.entry(kind).or_insert_with(|| item.clone());
        }
        // Each attribute has its share: in a rename most items have the old name, and few the new one.
        let share = MAX_HOLDERS / targets.len().max(1);
        let of_item = targets.iter().filter(|target| item.contains_key(*target));
        let has_room = of_item
            .clone()
            .any(|it| self.held.get(it).is_none_or(|n| *n < share));
        if has_room && self.holder_bytes + bytes <= MAX_HOLDER_BYTES {
            for target in of_item {
                *self.held.entry(target.clone()).or_default() += 1;
            }
            self.holder_bytes += bytes;
            self.holders.push(item.clone());
        }
    }

    /// These items, each once, without those under one of these keys.
    pub fn without(self, mut known: BTreeSet<Key>, key_of: impl Fn(&Item) -> Key) -> Vec<Item> {
        let extremes = self.smallest.into_iter().chain(self.largest);
        extremes
            .map(|(_, item)| item)
            .chain(self.kinds.into_values())
            .chain(self.holders)
            .filter(|item| known.insert(key_of(item)))
            .collect()
    }
}

/// Up to three of the items that the update was accepted for, as unlike each other as there are: the smallest, the largest, and the
/// one that has the fewest attributes in common with these two. Always the same ones of the same items.
pub(super) fn diverse<'a>(tried: impl Iterator<Item = &'a Tried>) -> Vec<&'a Tried> {
    let updated: Vec<(u64, &Tried)> = tried
        .filter(|tried| tried.after.is_ok())
        .map(|tried| (item_bytes(&tried.before), tried))
        .collect();
    // Of items of one size the first one: they came in the order of the sample.
    let smallest = updated.iter().min_by_key(|(bytes, _)| *bytes);
    let largest = updated.iter().rev().max_by_key(|(bytes, _)| *bytes);
    let mut chosen: Vec<&Tried> = Vec::new();
    for (_, tried) in smallest.into_iter().chain(largest) {
        if !chosen.iter().any(|other| std::ptr::eq(*other, *tried)) {
            chosen.push(tried);
        }
    }
    let rest = updated
        .iter()
        .rev()
        .map(|(_, tried)| *tried)
        .filter(|tried| !chosen.iter().any(|other| std::ptr::eq(*other, *tried)));
    let unlike = |tried: &Tried| {
        let distances = chosen
            .iter()
            .map(|other| distance(&tried.before, &other.before));
        distances.fold(f64::INFINITY, f64::min)
    };
    let third = rest.max_by(|a, b| unlike(a).total_cmp(&unlike(b)));
    chosen.extend(third);
    chosen
}

/// Up to three of the items that the update was accepted for, whose sources are as unlike each other as there are: the first one with
/// the fewest bytes, and twice the one that is least like those. Always the same ones of the same items.
pub(super) fn diverse_in<'a>(
    sources: &[Path],
    tried: impl Iterator<Item = &'a Tried>,
) -> Vec<&'a Tried> {
    let mut left: Vec<&Tried> = tried.filter(|tried| tried.after.is_ok()).collect();
    let mut chosen: Vec<&Tried> = Vec::new();
    while chosen.len() < 3 && !left.is_empty() {
        let unlike = |tried: &Tried| {
            let of_one = |other: &&Tried| computed::distance(sources, &tried.before, &other.before);
            let nearest = chosen.iter().map(of_one).reduce(f64::min);
            nearest.unwrap_or_else(|| -(item_bytes(&tried.before) as f64))
        };
        // Of equals the first one.
        let places = (0..left.len()).rev();
        let next = places.max_by(|&a, &b| unlike(left[a]).total_cmp(&unlike(left[b])));
        let next = next.map(|at| left.remove(at));
        chosen.extend(next);
    }
    chosen
}

/// The part of the attributes of two items that only one of them has, 0 to 1 (Jaccard distance).
fn distance(a: &Item, b: &Item) -> f64 {
    let shared = a.keys().filter(|name| b.contains_key(*name)).count();
    let all = a.len() + b.len() - shared;
    1.0 - shared as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn item(id: &str, others: &[(&str, usize)]) -> Item {
        let text = |bytes: usize| Value::S("x".repeat(bytes));
        let mut item = Item::from([("id".to_owned(), Value::S(id.into()))]);
        item.extend(
            others
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), text(*bytes))),
        );
        item
    }

    fn look_at(unusual: &mut Unusual, item: &Item, targets: &[String]) {
        unusual.look_at(item, targets, item.keys().cloned().collect());
    }

    fn id(item: &Item) -> Key {
        Key(Item::from([("id".to_owned(), item["id"].clone())]))
    }

    #[test]
    fn the_three_examples_are_the_smallest_the_largest_and_the_most_unlike() {
        let tried = |item: Item| Tried {
            after: Ok(item.clone()),
            before: item,
            is_extinguished: true,
        };
        let mut all: Vec<Tried> = (0..20)
            .map(|n| tried(item("n", &[("a", 10 + n)])))
            .collect();
        let refused = Tried {
            after: Err("no".into()),
            ..tried(item("refused", &[]))
        };
        all.insert(4, tried(item("odd", &[("a", 12), ("zz", 1)])));
        all.insert(7, tried(item("small", &[("a", 1)])));
        all.insert(9, tried(item("large", &[("a", 400)])));
        all.insert(2, refused);
        let ids = |all: &[Tried]| -> Vec<Key> {
            diverse(all.iter())
                .iter()
                .map(|tried| id(&tried.before))
                .collect()
        };
        let expected = ["small", "large", "odd"].map(|name| id(&item(name, &[])));
        assert_eq!(ids(&all), expected);
        assert_eq!(ids(&all[..1]).len(), 1);
        assert_eq!(ids(&all[..2]).len(), 2);
        assert!(ids(&[]).is_empty());
    }

    #[test]
    fn what_a_few_items_of_each_page_would_miss_is_kept_within_bounds() {
        let mut unusual = Unusual::default();
        let targets = ["land".to_owned()];
        for n in 0..1_000_usize {
            let land: &[(&str, usize)] = if n >= 600 { &[("land", 5)] } else { &[] };
            look_at(&mut unusual, &item(&format!("{n:04}"), land), &targets);
        }
        let kept = unusual.without(BTreeSet::from([id(&item("0600", &[]))]), id);
        let holders = kept.iter().filter(|item| item.contains_key("land")).count();
        assert_eq!(holders, MAX_HOLDERS - 1, "without the one that is known");
        assert_eq!(kept.len(), holders + 1, "and one of the others, once");
        // The few that have the new name of a rename are kept beside all that have the old one.
        let mut renamed = Unusual::default();
        let both = ["country".to_owned(), "land".to_owned()];
        for n in 0..1_000_usize {
            let others: &[(&str, usize)] = match n % 20 {
                0 => &[("country", 2), ("land", 2)],
                _ => &[("country", 2)],
            };
            look_at(&mut renamed, &item(&format!("{n:04}"), others), &both);
        }
        let kept = renamed.holders.iter();
        let with_land = kept.filter(|item| item.contains_key("land")).count();
        assert_eq!(with_land, 50);
        let mut large = Unusual::default();
        for n in 0..20_usize {
            let item = item(&n.to_string(), &[("land", 399_000)]);
            look_at(&mut large, &item, &targets);
        }
        assert_eq!(large.holders.len(), 10, "4 MiB");
    }
}
