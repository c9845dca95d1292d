//! The verbs: everyday changes by name. Each is a pair whose update makes its predicate false, and whose predicate leaves alone
//! whatever the update would overwrite.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{root_of_path, shown_name};
use super::spec::{Spec, check_value};
use crate::value::{Item, Value};
use crate::{Error, Result};

/// The beginning of placeholders of ours for names that were given without quotes.
const AS_GIVEN: &str = "#s";

/// The same for names that are said to be no paths.
const AS_SAID: &str = "#t";

/// An everyday change of one attribute, or of several that are alike.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Sets each of these attributes to its value if it is missing.
    Set(Item),
    /// Removes these attributes.
    Remove(Vec<String>),
    /// Gives an attribute another name, if nothing has that name.
    Rename(String, String),
    /// Copies an attribute to another, if that is missing.
    Copy(String, String),
    /// Appends a value to a list that does not hold it; without a list there is a new one.
    Append(String, Value),
    /// Adds a text or a number, or several, to a set that lacks them; without a set there is a new one.
    Add(String, Value),
}

impl Verb {
    /// The field and the flag of this verb.
    pub fn name(&self) -> &'static str {
        match self {
            Verb::Set(_) => "set",
            Verb::Remove(_) => "remove",
            Verb::Rename(..) => "rename",
            Verb::Copy(..) => "copy",
            Verb::Append(..) => "append",
            Verb::Add(..) => "add",
        }
    }

    /// The pair that this verb is on a table. `top_level` are the names among its own that are said to be those of top-level
    /// attributes, whatever they look like.
    ///
    /// Errors: `InvalidInput`, which names the verb.
    pub fn pair(self, table: impl Into<String>, top_level: &BTreeSet<String>) -> Result<Spec> {
        let verb = self.name();
        let mut draft = Draft {
            top_level,
            spec: Spec {
                table: table.into(),
                pending: String::new(),
                update: String::new(),
                names: BTreeMap::new(),
                values: BTreeMap::new(),
                compute: None,
                code: None,
            },
        };
        let written = match self {
            Verb::Set(set) => draft.set(set),
            Verb::Remove(names) => draft.remove(names),
            Verb::Rename(old, new) => draft.rename(old, new),
            Verb::Copy(from, to) => draft.copy(from, to),
            Verb::Append(list, value) => draft.append(list, value),
            Verb::Add(set, members) => draft.add(set, members),
        };
        match written {
            Ok(()) => Ok(draft.spec),
            Err(Wrong(place, why)) => Err(Error::invalid(&format!("{verb}{place}"), why)),
        }
    }
}

/// What is wrong with a verb: at which place behind its name, and why.
struct Wrong(String, String);

/// A spec that is being written.
struct Draft<'a> {
    top_level: &'a BTreeSet<String>,
    spec: Spec,
}

impl Draft<'_> {
    /// A placeholder for the name of an attribute.
    fn name(&mut self, word: &str, name: String) -> std::result::Result<String, Wrong> {
        if name.is_empty() {
            return Err(Wrong(String::new(), "an attribute needs a name".into()));
        }
        let is_said = self.top_level.contains(&name) && root_of_path(&name).is_some();
        let placeholder = format!("{}{word}", if is_said { AS_SAID } else { AS_GIVEN });
        self.spec.names.insert(placeholder.clone(), name);
        Ok(placeholder)
    }

    /// A placeholder for a value.
    fn value(&mut self, word: &str, value: Value) -> String {
        let placeholder = format!(":s{word}");
        self.spec.values.insert(placeholder.clone(), value);
        placeholder
    }

    fn set(&mut self, set: Item) -> std::result::Result<(), Wrong> {
        let (mut pending, mut update) = (Vec::new(), Vec::new());
        let several = set.len() > 1;
        for (i, (name, value)) in set.into_iter().enumerate() {
            check_value(&value).map_err(|why| Wrong(format!(".{}", shown_name(&name)), why))?;
            let (n, v) = (
                self.name(&i.to_string(), name)?,
                self.value(&i.to_string(), value),
            );
            pending.push(format!("attribute_not_exists({n})"));
            update.push(match several {
                // Of several attributes some may be there already: those keep their value.
                true => format!("{n} = if_not_exists({n}, {v})"),
                false => format!("{n} = {v}"),
            });
        }
        self.spec.pending = pending.join(" OR ");
        self.spec.update = format!("SET {}", update.join(", "));
        Ok(())
    }

    fn remove(&mut self, names: Vec<String>) -> std::result::Result<(), Wrong> {
        let (mut pending, mut placeholders) = (Vec::new(), Vec::new());
        let mut given = BTreeSet::new();
        for (i, name) in names.into_iter().enumerate() {
            if !given.insert(name.clone()) {
                let why = format!("{} is given twice; give it once", shown_name(&name));
                return Err(Wrong(String::new(), why));
            }
            let n = self.name(&format!("_remove{i}"), name)?;
            pending.push(format!("attribute_exists({n})"));
            placeholders.push(n);
        }
        self.spec.pending = pending.join(" OR ");
        self.spec.update = format!("REMOVE {}", placeholders.join(", "));
        Ok(())
    }

    fn rename(&mut self, old: String, new: String) -> std::result::Result<(), Wrong> {
        let (old, new) = self.two("_rename_old", old, "_rename_new", new)?;
        self.spec.pending = format!("attribute_exists({old}) AND attribute_not_exists({new})");
        self.spec.update = format!("SET {new} = {old} REMOVE {old}");
        Ok(())
    }

    fn copy(&mut self, from: String, to: String) -> std::result::Result<(), Wrong> {
        let (from, to) = self.two("_copy_from", from, "_copy_to", to)?;
        self.spec.pending = format!("attribute_exists({from}) AND attribute_not_exists({to})");
        self.spec.update = format!("SET {to} = {from}");
        Ok(())
    }

    /// Placeholders for two names, which differ.
    fn two(
        &mut self,
        word: &str,
        name: String,
        other_word: &str,
        other: String,
    ) -> std::result::Result<(String, String), Wrong> {
        if name == other {
            let why = format!("{} is given as both names", shown_name(&name));
            return Err(Wrong(String::new(), why));
        }
        Ok((self.name(word, name)?, self.name(other_word, other)?))
    }

    fn append(&mut self, list: String, value: Value) -> std::result::Result<(), Wrong> {
        check_value(&value).map_err(|why| Wrong(format!(".{}", shown_name(&list)), why))?;
        let n = self.name("_append", list)?;
        let item = self.value("_item", value.clone());
        let items = self.value("_items", Value::L(vec![value]));
        let none = self.value("_none", Value::L(Vec::new()));
        let is_list = self.value("_type", Value::S("L".into()));
        self.spec.pending = format!(
            "attribute_not_exists({n}) OR (attribute_type({n}, {is_list}) AND NOT contains({n}, {item}))"
        );
        self.spec.update = format!("SET {n} = list_append(if_not_exists({n}, {none}), {items})");
        Ok(())
    }

    fn add(&mut self, set: String, members: Value) -> std::result::Result<(), Wrong> {
        let at = format!(".{}", shown_name(&set));
        let wrong = |why: String| Wrong(at.clone(), why);
        let members = match members {
            Value::L(members) => members,
            single => vec![single],
        };
        let texts = members.iter().filter_map(|member| match member {
            Value::S(text) => Some(text.clone()),
            _ => None,
        });
        let numbers = members.iter().filter_map(|member| match member {
            Value::N(number) => Some(number.clone()),
            _ => None,
        });
        let (texts, numbers): (Vec<String>, Vec<String>) = (texts.collect(), numbers.collect());
        let (kind, whole) = match members.len() {
            0 => return Err(wrong("expected what to add, got nothing".into())),
            count if count == texts.len() => ("SS", Value::Ss(texts)),
            count if count == numbers.len() => ("NS", Value::Ns(numbers)),
            _ => {
                return Err(wrong(
                    "expected texts or numbers, such as \"new\" or [1, 2]: a set has members of one type".into(),
                ));
            }
        };
        check_value(&whole).map_err(&wrong)?;
        let n = self.name("_add", set)?;
        let kind = self.value("_type", Value::S(kind.into()));
        let whole = self.value("_members", whole);
        let mut holds = Vec::new();
        for (i, member) in members.into_iter().enumerate() {
            let member = self.value(&format!("_member{i}"), member);
            holds.push(format!("contains({n}, {member})"));
        }
        let holds = match &holds[..] {
            [one] => format!("NOT {one}"),
            several => format!("NOT ({})", several.join(" AND ")),
        };
        self.spec.pending =
            format!("attribute_not_exists({n}) OR (attribute_type({n}, {kind}) AND {holds})");
        self.spec.update = format!("ADD {n} {whole}");
        Ok(())
    }
}

/// What is left alone by a verb although it has to do with the attribute: which items these are, as a condition on the
/// placeholders of the spec, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// A condition expression.
    pub condition: String,
    /// Goes on behind "items": "have both a and b".
    pub because: String,
}

/// The verb of which a placeholder is, and whether its name was given without quotes; `None` if it is an operator's own.
fn verb_of(placeholder: &str) -> Option<(&'static str, bool)> {
    let (rest, is_given) = match placeholder.strip_prefix(AS_GIVEN) {
        Some(rest) => (rest, true),
        None => (placeholder.strip_prefix(AS_SAID)?, false),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let verb = match rest {
        "_rename_old" | "_rename_new" => "rename",
        "_copy_from" | "_copy_to" => "copy",
        "_append" => "append",
        "_add" => "add",
        rest if is_number(rest) => "set",
        rest if rest.strip_prefix("_remove").is_some_and(is_number) => "remove",
        _ => return None,
    };
    Some((verb, is_given))
}

impl Spec {
    /// The everyday form: every attribute of `set` that is missing is set. An attribute that is there, with
    /// whatever value, stays.
    pub fn set_missing(table: impl Into<String>, set: Item) -> Spec {
        let mut draft = Draft {
            top_level: &BTreeSet::new(),
            spec: Spec {
                table: table.into(),
                pending: String::new(),
                update: String::new(),
                names: BTreeMap::new(),
                values: BTreeMap::new(),
                compute: None,
                code: None,
            },
        };
        // What is wrong with it says the check of the spec.
        let _ = draft.set(set);
        draft.spec
    }

    /// The attributes of a verb whose names look like paths, each with its verb and the attribute to which the path would
    /// lead. Nobody has said which of the two is meant.
    pub fn path_like(&self) -> Vec<(&'static str, &str, &str)> {
        if self.makes_values() {
            // A target is never a path, and a source always is one.
            return Vec::new();
        }
        let names = self.names.iter();
        names
            .filter_map(|(placeholder, name)| match verb_of(placeholder)? {
                (verb, true) => Some((verb, name.as_str(), root_of_path(name)?)),
                _ => None,
            })
            .collect()
    }

    /// The field of a request that has brought this target of the update: a verb, what is computed, or the update itself.
    pub(super) fn field_of(&self, target: &str) -> &'static str {
        match (&self.compute, &self.code) {
            (Some(_), _) => "compute",
            (_, Some(_)) => "code",
            (None, None) => verb_of(target).map_or("update", |(verb, _)| verb),
        }
    }

    /// The items that a verb leaves alone because it would have to overwrite something; `None` if there can be none.
    pub fn left_alone(&self) -> Option<LeftAlone> {
        if self.makes_values() {
            return None;
        }
        let find = |word: &str| {
            let sigils = [AS_GIVEN, AS_SAID].into_iter();
            let mut placeholders = sigils.map(|sigil| format!("{sigil}{word}"));
            let placeholder =
                placeholders.find(|placeholder| self.names.contains_key(placeholder))?;
            let name = shown_name(&self.names[&placeholder]).into_owned();
            Some((placeholder, name))
        };
        for (one, other) in [("_rename_old", "_rename_new"), ("_copy_from", "_copy_to")] {
            if let (Some((one, name)), Some((other, other_name))) = (find(one), find(other)) {
                return Some(LeftAlone {
                    condition: format!("attribute_exists({one}) AND attribute_exists({other})"),
                    because: format!("have both {name} and {other_name}"),
                });
            }
        }
        let (word, what) = match find("_append") {
            Some(list) => (list, "no list"),
            None => (find("_add")?, "no such set"),
        };
        let (placeholder, name) = word;
        Some(LeftAlone {
            condition: format!(
                "attribute_exists({placeholder}) AND NOT attribute_type({placeholder}, :s_type)"
            ),
            because: format!("have {name}, which is {what}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::from_plain_json(json).unwrap()
    }

    fn described(verb: Verb) -> String {
        let spec = verb.pair("stuff", &BTreeSet::new()).unwrap();
        spec.check().unwrap();
        spec.describe()
    }

    #[test]
    fn each_verb_is_a_pair_that_overwrites_nothing() {
        let named = |name: &str, other: &str| (name.to_owned(), other.to_owned());
        let (old, new) = named("old", "new.er");
        for (verb, expected) in [
            (
                Verb::Remove(vec!["a".into()]),
                "REMOVE a where attribute_exists(a)",
            ),
            (
                Verb::Remove(vec!["a".into(), "b".into()]),
                "REMOVE a, b where attribute_exists(a) OR attribute_exists(b)",
            ),
            (
                Verb::Rename(old.clone(), new.clone()),
                "SET \"new.er\" = old REMOVE old where attribute_exists(old) AND attribute_not_exists(\"new.er\")",
            ),
            (
                Verb::Copy(old, new),
                "SET \"new.er\" = old where attribute_exists(old) AND attribute_not_exists(\"new.er\")",
            ),
            (
                Verb::Append("log".into(), value("1")),
                r#"SET log = list_append(if_not_exists(log, {"L":[]}), {"L":[{"N":"1"}]}) where attribute_not_exists(log) OR (attribute_type(log, {"S":"L"}) AND NOT contains(log, {"N":"1"}))"#,
            ),
            (
                Verb::Add("tags".into(), value("\"new\"")),
                r#"ADD tags {"SS":["new"]} where attribute_not_exists(tags) OR (attribute_type(tags, {"S":"SS"}) AND NOT contains(tags, {"S":"new"}))"#,
            ),
            (
                Verb::Add("sizes".into(), value("[1, 2]")),
                r#"ADD sizes {"NS":["1","2"]} where attribute_not_exists(sizes) OR (attribute_type(sizes, {"S":"NS"}) AND NOT (contains(sizes, {"N":"1"}) AND contains(sizes, {"N":"2"})))"#,
            ),
        ] {
            assert_eq!(described(verb), expected);
        }
    }

    #[test]
    fn what_is_no_such_change_is_refused_by_verb() {
        for (verb, why) in [
            (
                Verb::Remove(vec!["a".into(), "a".into()]),
                "remove: a is given twice",
            ),
            (
                Verb::Remove(vec![String::new()]),
                "remove: an attribute needs a name",
            ),
            (
                Verb::Rename("a".into(), "a".into()),
                "rename: a is given as both names",
            ),
            (
                Verb::Copy("a".into(), String::new()),
                "copy: an attribute needs a name",
            ),
            (
                Verb::Add("a".into(), value("[1, \"b\"]")),
                "add.a: expected texts or numbers",
            ),
            (
                Verb::Add("a".into(), value("[]")),
                "add.a: expected what to add",
            ),
            (
                Verb::Add("a".into(), value("[1, 1.0]")),
                "add.a: a set may not hold",
            ),
            (
                Verb::Add("a".into(), value("true")),
                "add.a: expected texts or numbers",
            ),
            (
                Verb::Append("a".into(), Value::N("x".into())),
                "append.a: \"x\" is not a number",
            ),
        ] {
            let refused = verb
                .pair("stuff", &BTreeSet::new())
                .unwrap_err()
                .to_string();
            assert!(refused.starts_with(why), "{refused}");
        }
    }

    #[test]
    fn names_that_look_like_paths_are_known_by_their_verb() {
        let verb = || Verb::Rename("a.b".into(), "c".into());
        let spec = verb().pair("stuff", &BTreeSet::new()).unwrap();
        assert_eq!(spec.path_like(), [("rename", "a.b", "a")]);
        let said = verb().pair("stuff", &["a.b".to_owned()].into()).unwrap();
        assert!(said.path_like().is_empty());
        assert_eq!(said.describe(), spec.describe());
        assert_eq!(
            said.left_alone().unwrap().because,
            "have both \"a.b\" and c"
        );
    }
}
