//! Values that are computed from the item itself: which attribute gets one from which template, and which items are meant. Predicate
//! and update of the spec follow from that, so nobody writes them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::expression::{
    LONGEST_GUARD, MAX_LENGTH, check_enclosed, lacks_any_of, placeholders, shown_name,
    without_outer_parentheses,
};
use crate::compute::{LANGUAGE, Path, Source, Template};
use crate::table::KeySchema;
use crate::value::Item;
use crate::{Error, Result};

/// Most bytes of an attribute's name ("An attribute name must be at least one character long, but no greater than 64 KB in size",
/// Quotas in Amazon DynamoDB, Attributes).
pub(super) const LONGEST_NAME: usize = 64 * 1024 - 1;

/// Bytes that the guard of a write adds to a path that it looks at, at most: `attribute_not_exists(…)`, or `… = :value`, behind an
/// `AND`.
const GUARD_OF_PATH: usize = " AND attribute_not_exists()".len();

/// Bytes of a placeholder in such a path, with the point before it, at most.
const GUARD_OF_NAME: usize = ".#backfill_path000".len();

/// Bytes that the guard of a write adds to look at a path of so many names, at most.
pub(super) const fn guard_of(names: usize) -> usize {
    GUARD_OF_PATH + names * GUARD_OF_NAME
}

/// Attributes whose values are computed for each item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// The version of the language that the templates are in.
    pub language: u32,
    /// Which items are pending.
    pub mode: Mode,
    /// Attribute, at the top level of the item → template. Its value is computed from what stood in the item before the write.
    pub targets: BTreeMap<String, String>,
}

/// Which items get a computed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Those that lack a target and have every source. Nothing is replaced.
    #[default]
    Missing,
    /// Those that an operator's predicate names, which the computed value makes false.
    Replace,
    /// Those of which a target has another value than its sources give.
    Converge,
}

impl Mode {
    /// The names of all of them.
    pub const NAMES: [&'static str; 3] = ["missing", "replace", "converge"];

    /// As it stands in a spec file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Missing => "missing",
            Mode::Replace => "replace",
            Mode::Converge => "converge",
        }
    }

    /// The mode of this name; `None` if there is none.
    pub fn named(name: &str) -> Option<Mode> {
        let all = [Mode::Missing, Mode::Replace, Mode::Converge];
        all.into_iter().find(|mode| mode.name() == name)
    }
}

/// The placeholder of the name of the target in this place, from 0, in the order of [`Compute::targets`].
pub fn target_name(nth: usize) -> String {
    format!("#t{nth}")
}

/// The placeholder of the value of that target. No spec defines it: it is computed for each item.
pub fn target_value(nth: usize) -> String {
    format!(":t{nth}")
}

/// What follows from [`Compute`] for a spec.
pub(super) struct Derived {
    pub pending: String,
    pub update: String,
    pub names: BTreeMap<String, String>,
}

impl Compute {
    /// What is computed in the language of this version.
    pub fn new(mode: Mode, targets: BTreeMap<String, String>) -> Compute {
        Compute {
            language: LANGUAGE,
            mode,
            targets,
        }
    }

    /// Each target with its template, in the order of their placeholders.
    ///
    /// Errors: `InvalidInput`, which names `compute` and the target, or the language if it is another than this version's.
    pub fn templates(&self) -> Result<Vec<(&str, Template)>> {
        if self.language != LANGUAGE {
            return Err(Error::invalid(
                "language",
                format!(
                    "the templates are in version {} of the language, and this program knows version {LANGUAGE}; use a release that \
                     knows theirs",
                    self.language
                ),
            ));
        }
        let parsed = self.targets.iter().map(|(target, template)| {
            let parsed = Template::parse(template).map_err(|why| wrong(target, why))?;
            Ok((target.as_str(), parsed))
        });
        parsed.collect()
    }

    /// Predicate, update and names that follow from it. `pending`, `names` and `values` are an operator's, of which only replacing has
    /// any.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub(super) fn derive(
        &self,
        pending: Option<String>,
        mut names: BTreeMap<String, String>,
        values: &Item,
    ) -> Result<Derived> {
        let templates = self.templates()?;
        self.check_targets()?;
        self.check_sources(&templates)?;
        let sources = all_sources(&templates);
        let of_targets = self.targets.keys().enumerate();
        let of_targets: Vec<_> = of_targets
            .map(|(nth, target)| (target_name(nth), target.clone()))
            .collect();
        let pending = match (self.mode, pending) {
            (Mode::Replace, Some(pending)) => {
                self.check_placeholders(&pending, names.keys().chain(values.keys()))?;
                pending
            }
            (Mode::Replace, None) => {
                return Err(Error::invalid(
                    "mode",
                    "replace needs `pending`, such as \"attribute_type(a, :type)\" with `values` for :type: what the computed value \
                     makes false",
                ));
            }
            (mode, Some(_)) => {
                return Err(Error::invalid(
                    "pending",
                    format!(
                        "in `mode` {} it follows from the templates; leave it out, or give `mode` replace",
                        mode.name()
                    ),
                ));
            }
            (mode, None) => {
                if !names.is_empty() || !values.is_empty() {
                    let field = if names.is_empty() { "values" } else { "names" };
                    let why = "beside `compute` it belongs to `pending`, and there is none";
                    return Err(Error::invalid(field, why));
                }
                let required = sources.iter().filter(|source| source.required);
                let required = required.map(|source| {
                    format!("attribute_exists({})", with_names(&source.path, &mut names))
                });
                let required: Vec<String> = required.collect();
                let pending = derived(mode, &of_targets, &required);
                self.check_length(&pending, &sources)?;
                pending
            }
        };
        names.extend(of_targets);
        Ok(Derived {
            pending,
            update: self.update(),
            names,
        })
    }

    /// Refuses a source inside a key attribute, which is no map.
    ///
    /// Errors: `InvalidInput`, which names the target.
    pub(super) fn check_against(&self, keys: &KeySchema) -> Result<()> {
        for (target, template) in self.templates()? {
            let inside = template.sources().iter().find(|source| {
                let names = source.path.names();
                names.len() > 1 && keys.names().any(|key| key == names[0])
            });
            if let Some(source) = inside {
                let why = format!(
                    "{} leads into a key attribute, which is a text, a number or bytes; name the attribute alone, and take a part of it \
                     by a function",
                    source.path
                );
                return Err(wrong(target, why));
            }
        }
        Ok(())
    }

    /// The template whose value this placeholder is; `None` if it is none of ours.
    pub(super) fn template_of(&self, placeholder: &str) -> Option<&str> {
        let mut targets = self.targets.values().enumerate();
        let found = targets.find(|(nth, _)| target_value(*nth) == placeholder);
        found.map(|(_, template)| template.as_str())
    }

    fn check_targets(&self) -> Result<()> {
        if self.targets.is_empty() {
            return Err(Error::invalid(
                "compute",
                "expected an attribute and its template, such as {\"gsi1pk\":\"${tenant}#${status}\"}",
            ));
        }
        for target in self.targets.keys() {
            if target.is_empty() {
                return Err(Error::invalid("compute", "an attribute needs a name"));
            }
            if target.len() > LONGEST_NAME {
                let why = format!(
                    "a name of {} bytes; expected at most {LONGEST_NAME}, which is the most in DynamoDB",
                    target.len()
                );
                return Err(Error::invalid("compute", why));
            }
        }
        Ok(())
    }

    /// Refuses templates that no item could be read for, and targets that are sources if that would not end.
    fn check_sources(&self, templates: &[(&str, Template)]) -> Result<()> {
        // An operator's predicate says what is replaced, and what is computed then are the values that stood there before.
        if self.mode == Mode::Replace {
            return Ok(());
        }
        let has_source = |(_, template): &(&str, Template)| !template.sources().is_empty();
        if !templates.iter().any(has_source) {
            return Err(Error::invalid(
                "compute",
                "no template has a source, such as ${tenant}; to give every item the same value, use `set`",
            ));
        }
        for (target, template) in templates {
            for source in template.sources() {
                let Some(read) = source.path.names().first() else {
                    continue;
                };
                if !self.targets.contains_key(read) {
                    continue;
                }
                let (name, read) = (shown_name(target), shown_name(read));
                let why = match (name == read, self.mode) {
                    (true, Mode::Converge) => continue,
                    (true, _) => format!(
                        "{name} is a source of itself, and in `mode` missing an item that has it is not pending; give `mode` converge, \
                         or `mode` replace with `pending`"
                    ),
                    (false, _) => format!(
                        "{read} is a source of {name} and is computed itself, from what the item had before; compute {read} first, and \
                         {name} in a run of its own"
                    ),
                };
                return Err(wrong(target, why));
            }
        }
        Ok(())
    }

    /// Refuses placeholders of an operator's predicate that are ours.
    fn check_placeholders<'a>(
        &self,
        pending: &'a str,
        defined: impl Iterator<Item = &'a String>,
    ) -> Result<()> {
        check_enclosed(pending).map_err(|why| Error::invalid("pending", why))?;
        let used = placeholders(pending);
        let all = used.into_iter().chain(defined.map(String::as_str));
        let ours: BTreeSet<String> = (0..self.targets.len())
            .flat_map(|nth| [target_name(nth), target_value(nth)])
            .collect();
        for placeholder in all {
            if ours.contains(placeholder) {
                let field = match placeholder.starts_with('#') {
                    true => "names",
                    false => "values",
                };
                let why = format!(
                    "{placeholder} is a placeholder of `compute`, for what it computes; give yours another name"
                );
                return Err(Error::invalid(field, why));
            }
        }
        Ok(())
    }

    /// Refuses what would not fit into the condition of a write.
    fn check_length(&self, pending: &str, sources: &[Source]) -> Result<()> {
        let of_sources = sources
            .iter()
            .map(|source| guard_of(source.path.names().len()));
        let of_targets = match self.mode {
            Mode::Converge => self.targets.len() * guard_of(1),
            Mode::Missing | Mode::Replace => 0,
        };
        let guard = LONGEST_GUARD + of_sources.sum::<usize>() + of_targets;
        let bytes = guard + without_outer_parentheses(pending).len();
        let longest = bytes.max(self.update().len());
        match longest > MAX_LENGTH {
            false => Ok(()),
            true => Err(Error::invalid(
                "compute",
                format!(
                    "{} targets from {} sources make expressions of {longest} bytes, and DynamoDB takes {MAX_LENGTH}; compute fewer in \
                     one run",
                    self.targets.len(),
                    sources.len()
                ),
            )),
        }
    }

    fn update(&self) -> String {
        let keeps = self.mode == Mode::Missing && self.targets.len() > 1;
        let written = (0..self.targets.len()).map(|nth| {
            let (name, value) = (target_name(nth), target_value(nth));
            match keeps {
                // Of several targets some may be there already: those keep their value.
                true => format!("{name} = if_not_exists({name}, {value})"),
                false => format!("{name} = {value}"),
            }
        });
        format!("SET {}", written.collect::<Vec<_>>().join(", "))
    }
}

/// What is wrong with a target.
fn wrong(target: &str, why: impl ToString) -> Error {
    Error::invalid(&format!("compute.{}", shown_name(target)), why.to_string())
}

/// The sources of all templates, each once. One that any template cannot do without is required.
fn all_sources(templates: &[(&str, Template)]) -> Vec<Source> {
    let mut all: Vec<Source> = Vec::new();
    for source in templates.iter().flat_map(|(_, it)| it.sources()) {
        match all.iter_mut().find(|known| known.path == source.path) {
            Some(known) => known.required |= source.required,
            None => all.push(source.clone()),
        }
    }
    all
}

/// A path as an expression has it, by placeholders that `names` gets.
fn with_names(path: &Path, names: &mut BTreeMap<String, String>) -> String {
    let placeholders = path.names().iter().map(|name| {
        let known = names.iter().find(|(_, known)| *known == name);
        let known = known.map(|(placeholder, _)| placeholder.clone());
        known.unwrap_or_else(|| {
            let placeholder = format!("#s{}", names.len());
            names.insert(placeholder.clone(), name.clone());
            placeholder
        })
    });
    placeholders.collect::<Vec<_>>().join(".")
}

/// The predicate that follows from the targets, which are placeholders and names, and the conditions of the required sources.
fn derived(mode: Mode, targets: &[(String, String)], required: &[String]) -> String {
    let asks = mode == Mode::Missing && !targets.is_empty();
    let absent = asks.then(|| lacks_any_of(targets.iter().map(|(name, _)| name.as_str())));
    match (absent, required) {
        (None, []) => always(),
        (Some(absent), []) => without_outer_parentheses(&absent).to_owned(),
        (absent, required) => {
            let all: Vec<String> = absent.into_iter().chain(required.iter().cloned()).collect();
            all.join(" AND ")
        }
    }
}

/// True for every item: converging from sources that may all be missing leaves no item out.
pub(super) fn always() -> String {
    let target = target_name(0);
    format!("attribute_exists({target}) OR attribute_not_exists({target})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{KeyAttribute, KeySchema, KeyType};
    use crate::{Spec, Value};

    const KEY: (&str, &str) = ("gsi1pk", "${tenant}#${status}");
    const INNER: (&str, &str) = ("b", "${a.b}#${tenant}");
    const LAND: (&str, &str) = ("land", "${country|default(\"AT\")}");

    fn compute(mode: Mode, targets: &[(&str, &str)]) -> Compute {
        let targets = targets.iter();
        let targets = targets.map(|(name, template)| ((*name).to_owned(), (*template).to_owned()));
        Compute::new(mode, targets.collect())
    }

    fn pair(mode: Mode, targets: &[(&str, &str)]) -> Result<Spec> {
        compute(mode, targets).pair("stuff", None, BTreeMap::new(), Item::new())
    }

    #[test]
    fn predicate_and_update_follow_from_mode_and_templates() {
        for (mode, targets, pending, update) in [
            (
                Mode::Missing,
                &[KEY][..],
                "attribute_not_exists(#t0) AND attribute_exists(#s0) AND attribute_exists(#s1)",
                "SET #t0 = :t0",
            ),
            (
                Mode::Missing,
                &[KEY, INNER],
                "(attribute_not_exists(#t0) OR attribute_not_exists(#t1)) AND attribute_exists(#s0.#s1) AND attribute_exists(#s2) AND \
                 attribute_exists(#s3)",
                "SET #t0 = if_not_exists(#t0, :t0), #t1 = if_not_exists(#t1, :t1)",
            ),
            (
                Mode::Converge,
                &[KEY],
                "attribute_exists(#s0) AND attribute_exists(#s1)",
                "SET #t0 = :t0",
            ),
            (
                Mode::Converge,
                &[KEY, INNER],
                "attribute_exists(#s0.#s1) AND attribute_exists(#s2) AND attribute_exists(#s3)",
                "SET #t0 = :t0, #t1 = :t1",
            ),
            // What may be missing is no condition.
            (
                Mode::Missing,
                &[LAND],
                "attribute_not_exists(#t0)",
                "SET #t0 = :t0",
            ),
            (
                Mode::Converge,
                &[LAND],
                "attribute_exists(#t0) OR attribute_not_exists(#t0)",
                "SET #t0 = :t0",
            ),
            // A part of a key that is the same for all items, beside one that is not.
            (
                Mode::Missing,
                &[("gsi1pk", "ORDER"), ("gsi1sk", "${day}")],
                "(attribute_not_exists(#t0) OR attribute_not_exists(#t1)) AND attribute_exists(#s0)",
                "SET #t0 = if_not_exists(#t0, :t0), #t1 = if_not_exists(#t1, :t1)",
            ),
        ] {
            let spec = pair(mode, targets).unwrap();
            spec.check().unwrap();
            assert_eq!((&*spec.pending, &*spec.update), (pending, update));
            assert!(spec.values.is_empty());
            assert!(spec.may_be_lacking().is_empty() && spec.path_like().is_empty());
            let mut names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            assert_eq!(spec.targets(), names);
        }
        // Each name has one placeholder, wherever it stands.
        let spec = pair(Mode::Missing, &[KEY, INNER]).unwrap();
        let names: Vec<(&str, &str)> = spec.names.iter().map(|(a, b)| (&**a, &**b)).collect();
        let expected = [
            ("#s0", "a"),
            ("#s1", "b"),
            ("#s2", "tenant"),
            ("#s3", "status"),
            ("#t0", "b"),
            ("#t1", "gsi1pk"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_predicate_of_an_operator_says_what_is_replaced() {
        let values: Item = [(":s".to_owned(), Value::S("S".into()))].into();
        let replaced = compute(
            Mode::Replace,
            &[("total", "${total|number}"), ("kind", "number")],
        );
        let pending = Some("attribute_type(total, :s)".to_owned());
        let spec = replaced.pair("stuff", pending, BTreeMap::new(), values.clone());
        let spec = spec.unwrap();
        spec.check().unwrap();
        assert_eq!(spec.update, "SET #t0 = :t0, #t1 = :t1");
        assert_eq!(spec.values, values);
        assert_eq!(
            spec.describe(),
            r#"SET kind = "number", total = "${total|number}" where attribute_type(total, {"S":"S"})"#
        );
    }

    #[test]
    fn a_person_reads_templates_and_what_converging_means() {
        for (mode, targets, described) in [
            (
                Mode::Missing,
                &[KEY][..],
                r#"SET gsi1pk = "${tenant}#${status}" where attribute_not_exists(gsi1pk) AND attribute_exists(tenant) AND attribute_exists(status)"#,
            ),
            (
                Mode::Converge,
                &[("low.er", "${a}")],
                r#"SET "low.er" = "${a}" where attribute_exists(a) AND "low.er" <> "${a}""#,
            ),
            (
                Mode::Converge,
                &[("a", "${c}"), ("b", "${d}")],
                r#"SET a = "${c}", b = "${d}" where attribute_exists(c) AND attribute_exists(d) AND (a <> "${c}" OR b <> "${d}")"#,
            ),
            (
                Mode::Converge,
                &[LAND],
                r#"SET land = "${country|default(\"AT\")}" where land <> "${country|default(\"AT\")}""#,
            ),
        ] {
            assert_eq!(pair(mode, targets).unwrap().describe(), described);
        }
    }

    #[test]
    fn what_would_not_end_or_reads_nothing_is_refused() {
        let long = "x".repeat(LONGEST_NAME + 1);
        let many: Vec<String> = (0..200).map(|nth| format!("a{nth}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "${b}")).collect();
        for (mode, targets, why) in [
            (Mode::Missing, &[][..], "compute: expected an attribute"),
            (
                Mode::Missing,
                &[("", "${b}")],
                "compute: an attribute needs a name",
            ),
            (
                Mode::Missing,
                &[(&long, "${b}")],
                "compute: a name of 65536 bytes",
            ),
            (
                Mode::Missing,
                &[("a", "b")],
                "compute: no template has a source",
            ),
            (
                Mode::Converge,
                &[("a", "b")],
                "compute: no template has a source",
            ),
            (Mode::Missing, &[("a", "${")], "compute.a: "),
            (Mode::Missing, &[("a b", "${")], "compute.\"a b\": "),
            (
                Mode::Missing,
                &[("a", "${a.b|number}")],
                "compute.a: a is a source of itself, and in `mode` missing an item that has it is not pending; give `mode` converge",
            ),
            (
                Mode::Missing,
                &[("a", "${c}"), ("b", "${a}")],
                "compute.b: a is a source of b and is computed itself",
            ),
            (
                Mode::Converge,
                &[("a", "${c}"), ("b", "${a.x}")],
                "compute.b: a is a source of b and is computed itself",
            ),
            (
                Mode::Replace,
                &[("a", "${b}")],
                "mode: replace needs `pending`",
            ),
            (
                Mode::Missing,
                &many,
                "compute: 200 targets from 1 sources make expressions of",
            ),
            (
                Mode::Converge,
                &many,
                "compute: 200 targets from 1 sources make expressions of",
            ),
        ] {
            let refused = pair(mode, targets).unwrap_err();
            assert!(refused.kind().is_refusal());
            assert!(refused.to_string().starts_with(why), "{refused}");
        }
        pair(Mode::Converge, &[("a", "${a|lower}")]).unwrap();
        let swapped = compute(Mode::Replace, &[("a", "${b}"), ("b", "${a}")]);
        let pending = Some("attribute_exists(c)".to_owned());
        let swapped = swapped.pair("stuff", pending, BTreeMap::new(), Item::new());
        swapped.unwrap();
    }

    /// A guard that looks at every source still is an expression that DynamoDB takes.
    #[test]
    fn sources_leave_room_for_the_guard() {
        let of = |count: usize| {
            let parts: Vec<String> = (0..count).map(|nth| format!("${{a{nth}.b.c}}")).collect();
            pair(Mode::Missing, &[("target", &parts.join("#"))])
        };
        let fits = (1..200).take_while(|count| of(*count).is_ok());
        let most = fits.last().unwrap();
        let of_path =
            " AND attribute_not_exists(#backfill_path100.#backfill_path101.#backfill_path102)";
        let longest = of(most).unwrap().pending.len() + LONGEST_GUARD + most * of_path.len();
        assert!(longest <= MAX_LENGTH, "{longest}");
        assert!(most >= 20, "{most}");
        let refused = of(most + 1).unwrap_err().to_string();
        assert!(refused.contains("compute fewer in one run"), "{refused}");
    }

    #[test]
    fn a_spec_whose_parts_do_not_belong_together_is_refused() {
        let good = pair(Mode::Missing, &[("a", "${b}")]).unwrap();
        let refused = |change: &dyn Fn(&mut Spec)| {
            let mut spec = good.clone();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        let others: [&dyn Fn(&mut Spec); 4] = [
            &|spec| spec.pending = "attribute_exists(#s0)".into(),
            &|spec| spec.update = "SET #t0 = :t0, x = :t0".into(),
            &|spec| *spec.names.get_mut("#t0").unwrap() = "other".into(),
            &|spec| spec.compute.as_mut().unwrap().mode = Mode::Converge,
        ];
        for other in others {
            let why = refused(other);
            let expected = "compute: predicate and update are not those that follow";
            assert!(why.starts_with(expected), "{why}");
        }
        let why = refused(&|spec| spec.compute.as_mut().unwrap().language = LANGUAGE + 1);
        let expected = "language: the templates are in version 2";
        assert!(why.starts_with(expected), "{why}");
    }

    #[test]
    fn a_key_is_no_target_and_may_be_a_source() {
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        let refused = pair(Mode::Missing, &[("id", "${a}")]).unwrap();
        let refused = refused.check_against(&keys).unwrap_err().to_string();
        let why = "compute: id is a key attribute";
        assert!(refused.starts_with(why), "{refused}");
        let from_key = pair(Mode::Missing, &[("a", "${id}")]).unwrap();
        from_key.check_against(&keys).unwrap();
    }

    #[test]
    fn the_fingerprint_has_mode_template_and_language_and_others_stay_as_they_were() {
        let one = pair(Mode::Missing, &[("a", "${b}")]).unwrap();
        let language = Some(Compute {
            language: LANGUAGE + 1,
            ..one.compute.clone().unwrap()
        });
        let others = [
            pair(Mode::Converge, &[("a", "${b}")]).unwrap(),
            pair(Mode::Missing, &[("a", "${b} ")]).unwrap(),
            Spec {
                compute: language,
                ..one.clone()
            },
        ];
        for other in others {
            assert_ne!(other.fingerprint(), one.fingerprint());
        }
        // As version 0.1 has it.
        let set = Spec::set_missing("stuff", [("test".to_owned(), Value::N("1".into()))].into());
        assert_eq!(set.default_run_id(), "stuff-0b4b8a0e");
    }
}
