//! Few attributes of an item in few bytes: a node of a map has room for eleven, and a sweep holds thousands of items.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::size::value_bytes;
use super::{Item, Value};

/// What has attributes by their names.
pub trait Attributes {
    /// The value of the attribute with this name.
    fn attribute(&self, name: &str) -> Option<&Value>;

    /// All of them as an item.
    fn whole(&self) -> Cow<'_, Item>;
}

impl Attributes for Item {
    fn attribute(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }

    fn whole(&self) -> Cow<'_, Item> {
        Cow::Borrowed(self)
    }
}

/// Few attributes of an item, in the order of their names, of which no two are the same. The items of a page share the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Few(Box<[(Arc<str>, Value)]>);

/// Names that the items of a page have in common.
#[derive(Debug, Default)]
pub struct Names(Vec<Arc<str>>);

impl Names {
    /// How many are looked through for one. A projection seldom asks for more, and what is not found is a name of its own.
    const MOST: usize = 16;

    /// This name.
    pub fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| ***known == *name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        if self.0.len() < Names::MOST {
            self.0.push(new.clone());
        }
        new
    }
}

/// All attributes of an item.
impl From<Item> for Few {
    fn from(item: Item) -> Self {
        let attributes = item.into_iter();
        Few(attributes
            .map(|(name, value)| (name.into(), value))
            .collect())
    }
}

/// From what an [`Item`] is read from.
impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Item::deserialize(deserializer)?.into())
    }
}

impl Attributes for Few {
    fn attribute(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(of, _)| **of == *name);
        found.map(|(_, value)| value)
    }

    fn whole(&self) -> Cow<'_, Item> {
        let attributes = self.0.iter();
        Cow::Owned(
            attributes
                .map(|(name, value)| (String::from(&**name), value.clone()))
                .collect(),
        )
    }
}

impl Few {
    /// These attributes, which come in any order. `None` if two have the same name.
    pub fn new(mut attributes: Vec<(Arc<str>, Value)>) -> Option<Few> {
        attributes.sort_unstable_by(|(name, _), (other, _)| name.cmp(other));
        let is_distinct = attributes.is_sorted_by(|(name, _), (next, _)| name < next);
        is_distinct.then(|| Few(attributes.into_boxed_slice()))
    }

    /// Those of which this is true.
    pub fn only(self, is_wanted: impl Fn(&str) -> bool) -> Few {
        let mut attributes = self.0.into_vec();
        attributes.retain(|(name, _)| is_wanted(name));
        Few(attributes.into_boxed_slice())
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that they have allocated, about, without the names.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// What an allocator adds.
        const HEAD: usize = 16;
        /// What the node of a map takes.
        const NODE: usize = 640;
        /// What a member of a map, a list or a set takes beside its bytes.
        const MEMBER: usize = 64;
        let inside = |value: &Value| match value {
            Value::M(members) => NODE + MEMBER * members.len(),
            Value::L(members) => HEAD + MEMBER * members.len(),
            Value::Ss(members) | Value::Ns(members) => HEAD + MEMBER * members.len(),
            Value::Bs(members) => HEAD + MEMBER * members.len(),
            _ => HEAD,
        };
        let of_one = |(_, value): &(Arc<str>, Value)| {
            size_of::<(Arc<str>, Value)>() + inside(value) + value_bytes(value) as usize
        };
        match self.is_empty() {
            true => 0,
            false => HEAD + self.0.iter().map(of_one).sum::<usize>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wanted of an item is found by its name, and takes a fraction of what it would in a map.
    #[test]
    fn few_attributes_are_what_is_wanted_of_the_item() {
        let json = r#"{"a":{"S":"x"},"b":{"N":"1"},"c":{"M":{"a":{"L":[{"BOOL":true}]}}}}"#;
        let item: Item = serde_json::from_str(json).unwrap();
        assert_eq!(
            serde_json::from_str::<Few>(json).unwrap(),
            item.clone().into()
        );
        let mut names = Names::default();
        let reversed = item.clone().into_iter().rev();
        let attributes: Vec<(Arc<str>, Value)> = reversed
            .map(|(name, value)| (names.share(&name), value))
            .collect();
        assert!(Arc::ptr_eq(&names.share("c"), &attributes[0].0));
        assert_eq!(Few::new(attributes.clone()), Some(item.clone().into()));
        let twice = [&attributes[..], &attributes[..1]].concat();
        assert_eq!(Few::new(twice), None);
        let few = Few::from(item.clone()).only(|name| name != "b");
        assert_eq!((few.len(), few.is_empty()), (2, false));
        for name in ["a", "c", "d"] {
            assert_eq!(few.attribute(name), item.attribute(name), "{name}");
        }
        assert_eq!(few.attribute("b"), None);
        assert_eq!(*Few::from(item.clone()).whole(), item);
        assert_eq!(*item.whole(), item);
        let one = Few::from(item.clone()).only(|name| name == "a");
        assert!(
            (80..160).contains(&one.heap_bytes()),
            "{}",
            one.heap_bytes()
        );
        assert!(few.heap_bytes() > 640, "a map inside");
        let none = Few::from(item).only(|_| false);
        assert!(none.is_empty() && none.heap_bytes() == 0 && none == Few::default());
    }
}
