//! The capacity units that updates take of the table and of its indexes, by AWS's description.

use super::facts::{IndexFacts, Projection};
use crate::Item;
use crate::table::{KeyAttribute, KeySchema};
use crate::value::size::{item_bytes, write_units};

/// Write capacity units of the table for an update: those of the larger of the item before and the item after.
pub fn update_units(before: &Item, after: &Item) -> f64 {
    write_units(item_bytes(before).max(item_bytes(after)))
}

/// What an index holds of an item of a table with these keys; `None` if the item is not in it.
pub fn index_entry(keys: &KeySchema, index: &IndexFacts, item: &Item) -> Option<Item> {
    let is_entry = index.keys.iter().all(|key| item.contains_key(&key.name));
    is_entry.then(|| {
        let held = item.iter().filter(|(name, _)| holds(keys, index, name));
        held.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    })
}

/// True if an index of a table with these keys holds this attribute of its items.
pub(super) fn holds(keys: &KeySchema, index: &IndexFacts, name: &str) -> bool {
    keys.names().any(|key| key == name)
        || index.keys.iter().any(|key| key.name == name)
        || match &index.projection {
            Projection::All => true,
            Projection::KeysOnly => false,
            Projection::Include(names) => names.iter().any(|other| other == name),
        }
}

/// Write capacity units of an index for an update of an item (developer guide, Write operations for global secondary
/// indexes): none if its entry stays as it is, those of two writes if its key changes, else those of one write.
pub fn index_units(keys: &KeySchema, index: &IndexFacts, before: &Item, after: &Item) -> f64 {
    let entry = |item: &Item| index_entry(keys, index, item);
    match (entry(before), entry(after)) {
        (None, None) => 0.0,
        (Some(entry), None) | (None, Some(entry)) => write_units(item_bytes(&entry)),
        (Some(old), Some(new)) if old == new => 0.0,
        (Some(old), Some(new)) => {
            let same = |key: &KeyAttribute| old.get(&key.name) == new.get(&key.name);
            let same_key = index.keys.iter().all(same);
            match same_key {
                true => write_units(item_bytes(&old).max(item_bytes(&new))),
                false => write_units(item_bytes(&old)) + write_units(item_bytes(&new)),
            }
        }
    }
}
