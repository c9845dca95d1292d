//! Where a source stands in an item.

use std::fmt;

use crate::text::visible_json;
use crate::value::Value;
use crate::value::few::Attributes;

/// The names that lead from an item to a value in it: an attribute, and the names within its maps. At least one. Displayed as a
/// template has it: `a.b`, or `"odd name".b`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<String>);

impl Path {
    /// The path of an attribute of the item, whatever dots are in its name.
    pub fn attribute(name: &str) -> Path {
        Path(vec![name.to_owned()])
    }

    /// `None` without a name.
    pub(super) fn of_names(names: Vec<String>) -> Option<Path> {
        (!names.is_empty()).then_some(Path(names))
    }

    /// The name of the attribute, and behind it those within its maps.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The value at the path; `None` if a name is not there, or stands in something that is no map.
    pub fn get<'a>(&self, item: &'a dyn Attributes) -> Option<&'a Value> {
        let (attribute, within) = self.0.split_first()?;
        within
            .iter()
            .try_fold(item.attribute(attribute)?, |value, name| match value {
                Value::M(map) => map.get(name),
                _ => None,
            })
    }

    /// True if the other path is this one, or leads into what stands at this one.
    pub fn covers(&self, other: &Path) -> bool {
        other.0.starts_with(&self.0)
    }
}

/// Words that a template reads as values, not as names.
pub(super) const WORDS: [&str; 3] = ["true", "false", "null"];

/// Whether a name may begin with this character without quotes.
pub(super) fn begins_a_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// Whether a name may have this character without quotes.
pub(super) fn is_of_a_name(c: char) -> bool {
    begins_a_name(c) || c.is_ascii_digit() || c == '-'
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            let is_plain = name.starts_with(begins_a_name)
                && name.chars().all(is_of_a_name)
                && !WORDS.contains(&name.as_str());
            match is_plain {
                true => f.write_str(name)?,
                false => {
                    let quoted = serde_json::to_string(name).map_err(|_| fmt::Error)?;
                    f.write_str(&visible_json(&quoted))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;

    fn path(names: &[&str]) -> Path {
        Path::of_names(names.iter().map(|name| (*name).to_owned()).collect()).unwrap()
    }

    #[test]
    fn a_path_leads_through_maps_alone() {
        let item: Item = serde_json::from_str(
            r#"{"a":{"M":{"b":{"M":{"c":{"N":"1"}}}}},"a.b":{"S":"x"},"l":{"L":[{"N":"1"}]},"n":{"NULL":true}}"#,
        )
        .unwrap();
        assert_eq!(
            path(&["a", "b", "c"]).get(&item),
            Some(&Value::N("1".into()))
        );
        assert_eq!(path(&["a.b"]).get(&item), Some(&Value::S("x".into())));
        assert_eq!(path(&["n"]).get(&item), Some(&Value::Null(true)));
        for gone in [
            &["x"][..],
            &["a", "x"],
            &["a", "b", "c", "d"],
            &["l", "0"],
            &["n", "x"],
        ] {
            assert_eq!(path(gone).get(&item), None, "{gone:?}");
        }
        assert_eq!(Path::of_names(vec![]), None);
    }

    #[test]
    fn a_path_covers_itself_and_what_is_in_it() {
        let outer = Path::attribute("a");
        assert!(outer.covers(&outer) && outer.covers(&path(&["a", "b"])));
        assert!(!path(&["a", "b"]).covers(&outer));
        assert!(!outer.covers(&Path::attribute("a.b")));
        assert!(!outer.covers(&Path::attribute("ab")));
    }

    #[test]
    fn a_path_is_shown_as_a_template_has_it() {
        for (names, shown) in [
            (&["a", "b-1"][..], "a.b-1"),
            (&["a.b", "c"], r#""a.b".c"#),
            (&["2x"], r#""2x""#),
            (&["true"], r#""true""#),
            (&["a\"\u{202e}\n"], r#""a\"\u202e\n""#),
            (&["größe"], r#""größe""#),
        ] {
            assert_eq!(path(names).to_string(), shown);
        }
    }
}
