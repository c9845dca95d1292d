//! The spec: a pending predicate, the update that extinguishes it, and the values that both name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::code::{Code, Coded, wrong};
use super::compute::{Compute, Mode, always, target_name, target_value};
use super::expression::{
    LONGEST_GUARD, Language, MAX_LENGTH, OURS, any_of, check_enclosed, placeholders, resolved,
    shown_name, update_targets,
};
use super::made::Condition;
use super::reserved::{aliased, undefined};
use super::syntax::{check_update, check_words};
use crate::table::KeySchema;
use crate::text::{one_line, printable, sha256};
use crate::value::Item;
use crate::value::size::value_bytes;
use crate::{Error, Result, Value};

/// What is to be done to which table. `P` is [`Spec::pending`], `U` is [`Spec::update`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the target table.
    pub table: String,
    /// `P`: the condition expression that is true for an item still to be migrated.
    pub pending: String,
    /// `U`: the update expression that makes `P` false.
    pub update: String,
    /// `#name` → attribute, for `P` and `U`.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    /// `:value` → value, for `P` and `U`.
    #[serde(default)]
    pub values: Item,
    /// The values that are computed for each item, if any are. `P`, `U` and the names of its targets follow from it, and `values`
    /// does not hold what is computed. If that is to converge, an item is pending only if a target also differs from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// The code that makes what is written to each item, if code does. `P`, `U` and their placeholders are what it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Coded>,
}

impl Spec {
    /// Refuses a spec that could not work on any table.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub fn check(&self) -> Result<()> {
        check_table_name(&self.table).map_err(|m| Error::invalid("table", m))?;
        if let Some(compute) = &self.compute {
            self.check_derived(compute)?;
        }
        if let Some(code) = &self.code {
            self.check_code(code)?;
        }
        self.check_pair()
    }

    /// Refuses a pair that could not work on any table, wherever it comes from.
    fn check_pair(&self) -> Result<()> {
        self.check_expressions()?;
        self.check_names()?;
        let made: Vec<String> = match self.makes_values() {
            true => (0..self.targets().len()).map(target_value).collect(),
            false => Vec::new(),
        };
        let defined = self.values.keys().chain(&made);
        self.check_placeholders("values", ':', defined)?;
        for (placeholder, attribute) in &self.names {
            if attribute.is_empty() {
                return Err(Error::invalid(
                    "names",
                    format!("{placeholder} names an empty attribute"),
                ));
            }
        }
        for (placeholder, value) in &self.values {
            check_value(value).map_err(|m| Error::invalid(&format!("values.{placeholder}"), m))?;
        }
        Ok(())
    }

    /// Refuses predicate, update and names that are not those that follow from what is computed.
    ///
    /// Errors: `InvalidInput`, which names the field.
    fn check_derived(&self, compute: &Compute) -> Result<()> {
        let (pending, names) = self.given_beside(compute);
        let values = self.values.clone();
        let pending = pending.map(str::to_owned);
        let follows = compute.clone().pair(&self.table, pending, names, values)?;
        match follows == *self {
            true => Ok(()),
            false => Err(Error::invalid(
                "compute",
                "predicate and update are not those that follow from it; leave them out",
            )),
        }
    }

    /// Whether what is written is made for each item, by templates or by code.
    pub fn makes_values(&self) -> bool {
        self.compute.is_some() || self.code.is_some()
    }

    /// What of a request an operator changes if its update or its predicate turns out to be wrong, for a sentence that tells to.
    pub fn what_to_change(&self) -> &'static str {
        match (&self.code, &self.compute) {
            (Some(_), _) => "the code",
            (None, Some(compute)) if compute.mode == Mode::Replace => "compute or pending",
            (None, Some(_)) => "compute",
            (None, None) => "update or pending",
        }
    }

    /// The spec of a change that the code of this name makes, in the version that this program has.
    ///
    /// Errors: `InvalidInput`, naming `code`, if there is none, or none of this version.
    pub fn of_code(coded: Coded, table: impl Into<String>) -> Result<Spec> {
        let code = coded.code()?;
        Spec::derived(&*code, coded, table)
    }

    /// Refuses a spec whose code this program does not have, or not in its version, and one in another version of the language.
    ///
    /// Errors: `InvalidInput`, naming `code` or `language`.
    pub fn require_code(&self) -> Result<()> {
        self.require_language()?;
        match &self.code {
            Some(coded) => coded.code().map(drop),
            None => Ok(()),
        }
    }

    /// Refuses a spec in another version of the language than this program knows: what its predicate means is not known either.
    ///
    /// Errors: `InvalidInput`, naming `language`.
    pub fn require_language(&self) -> Result<()> {
        match &self.compute {
            Some(compute) => compute.templates().map(drop),
            None => Ok(()),
        }
    }

    /// Refuses a spec whose code is not that of this program, or whose other parts are not those that follow from it.
    ///
    /// Errors: `InvalidInput`, naming `code`.
    fn check_code(&self, coded: &Coded) -> Result<()> {
        match Spec::of_code(coded.clone(), &self.table)? == *self {
            true => Ok(()),
            false => Err(wrong(
                &coded.name,
                "predicate and update are not those of the code that this program has; whoever changes the code gives it another \
                 fingerprint",
            )),
        }
    }

    /// Predicate and names that an operator has given beside what is computed. All values are an operator's.
    pub(crate) fn given_beside(
        &self,
        compute: &Compute,
    ) -> (Option<&str>, BTreeMap<String, String>) {
        if compute.mode != Mode::Replace {
            return (None, BTreeMap::new());
        }
        let ours: BTreeSet<String> = (0..compute.targets.len()).map(target_name).collect();
        let mut names = self.names.clone();
        names.retain(|name, _| !ours.contains(name));
        (Some(&self.pending), names)
    }

    /// Refuses a `#name` that is used and not defined, or the other way round.
    ///
    /// Errors: `InvalidInput`, naming `names`.
    pub(crate) fn check_names(&self) -> Result<()> {
        self.check_placeholders("names", '#', self.names.keys())
    }

    /// Refuses expressions that are too long, that would leave the guard's parentheses, or that change nothing.
    fn check_expressions(&self) -> Result<()> {
        for (field, expression, added) in [
            ("pending", &self.pending, LONGEST_GUARD),
            ("update", &self.update, 0),
        ] {
            let most = MAX_LENGTH - added;
            if expression.len() > most {
                return Err(Error::invalid(
                    field,
                    format!(
                        "{} bytes; expected at most {most}, since DynamoDB takes expressions of {MAX_LENGTH} and what \
                         is sent has {added} more",
                        expression.len()
                    ),
                ));
            }
        }
        check_enclosed(&self.pending).map_err(|m| Error::invalid("pending", m))?;
        check_enclosed(&self.update).map_err(|m| Error::invalid("update", m))?;
        check_update(&self.update, &self.values).map_err(|m| Error::invalid("update", m))?;
        Ok(())
    }

    /// Refuses placeholders with this sigil that are malformed or reserved, defined and not used, or used and not defined.
    fn check_placeholders<'a>(
        &self,
        field: &str,
        sigil: char,
        defined: impl Iterator<Item = &'a String>,
    ) -> Result<()> {
        let wrong = |why: String| Err(Error::invalid(field, why));
        let defined: Vec<&String> = defined.collect();
        let used: BTreeSet<&str> = placeholders(&self.pending)
            .into_iter()
            .chain(placeholders(&self.update))
            .collect();
        for placeholder in &defined {
            if placeholders(placeholder) != [placeholder.as_str()]
                || !placeholder.starts_with(sigil)
            {
                return wrong(format!(
                    "{placeholder:?} is not a placeholder; expected {sigil} and then letters, digits or _"
                ));
            }
            if placeholder[1..].starts_with(OURS) {
                return wrong(format!(
                    "{placeholder} begins with {OURS}, which is reserved"
                ));
            }
            if !used.contains(placeholder.as_str()) {
                return wrong(format!(
                    "{placeholder} is used neither in `pending` nor in `update`"
                ));
            }
        }
        for placeholder in used.iter().filter(|p| p.starts_with(sigil)) {
            if !defined.iter().any(|d| d == placeholder) {
                return wrong(format!(
                    "{placeholder} is used in an expression but not defined"
                ));
            }
        }
        Ok(())
    }

    /// Names of the top-level attributes that `U` writes, in its order.
    pub fn targets(&self) -> Vec<String> {
        let targets = update_targets(&self.update).into_iter();
        targets
            .map(|target| self.attribute_of(target).to_owned())
            .collect()
    }

    /// Refuses a spec that would change a key of the table: a key cannot be updated.
    ///
    /// Errors: `InvalidInput`, which names the attribute.
    pub fn check_against(&self, keys: &KeySchema) -> Result<()> {
        if let Some(compute) = &self.compute {
            compute.check_against(keys)?;
        }
        for target in update_targets(&self.update) {
            let attribute = self.attribute_of(target);
            if keys.names().any(|key| key == attribute) {
                return Err(Error::invalid(
                    self.field_of(target),
                    format!(
                        "{} is a key attribute of table {}, and DynamoDB cannot change a key; \
                         name another attribute",
                        shown_name(attribute),
                        self.table
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The SHA-256 of the spec in a canonical form, as 64 hexadecimal digits: equal specs, equal fingerprint.
    pub fn fingerprint(&self) -> String {
        let canonical = serde_json::to_string(self).expect("a spec is plain data");
        sha256(&canonical)
    }

    /// The run id of this spec if the operator gives none: `<table>-<8 hex digits>`. Equal specs get equal ids, which is
    /// how a rerun finds the run to resume.
    pub fn default_run_id(&self) -> String {
        format!("{}-{}", self.table, &self.fingerprint()[..8])
    }

    /// What makes an item pending, for a person: `P` with names and values in the place of placeholders, and if what is computed is to
    /// converge, that a target has another value.
    pub fn predicate(&self) -> String {
        let meaning = |placeholder: &str| self.meaning(placeholder);
        let pending = resolved(&self.pending, meaning);
        let converges = |compute: &&Compute| compute.mode == Mode::Converge;
        let Some(compute) = self.compute.as_ref().filter(converges) else {
            return pending;
        };
        let differs = (0..compute.targets.len())
            .map(|nth| format!("{} <> {}", target_name(nth), target_value(nth)));
        let differs: Vec<String> = differs.map(|it| resolved(&it, meaning)).collect();
        let is_always = self.pending == always();
        match &differs[..] {
            several if is_always => several.join(" OR "),
            several => format!("{pending} AND {}", any_of(several)),
        }
    }

    /// The attribute that a name or `#name` in an expression means.
    pub(super) fn attribute_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.get(name).map_or(name, String::as_str)
    }

    /// What a placeholder means, for a person; `None` if it is not defined.
    fn meaning(&self, placeholder: &str) -> Option<String> {
        let value = |value| serde_json::to_string(value).expect("a value is plain data");
        let template = |template| serde_json::to_string(template).expect("a text is plain data");
        if let Some(name) = self.names.get(placeholder) {
            return Some(printable(&shown_name(name)));
        }
        let computed = self.compute.as_ref();
        let computed = computed.and_then(|compute| compute.template_of(placeholder));
        let coded = self.code.as_ref();
        let coded = coded.filter(|_| !self.values.contains_key(placeholder));
        let shown = computed.map(template);
        let shown = shown.or_else(|| coded.map(Coded::to_string));
        Some(printable(&match shown {
            Some(template) => template,
            None => value(self.values.get(placeholder)?),
        }))
    }

    /// The spec in one line, for messages that must show two specs side by side.
    pub fn describe(&self) -> String {
        let meaning = |placeholder: &str| self.meaning(placeholder);
        let described = format!(
            "{} where {}",
            resolved(&self.update, meaning),
            self.predicate()
        );
        one_line(&described).into_owned()
    }
}

impl Compute {
    /// The spec of which this is a part. `pending`, `names` and `values` are an operator's, of which only replacing has any.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub fn pair(
        self,
        table: impl Into<String>,
        pending: Option<String>,
        names: BTreeMap<String, String>,
        values: Item,
    ) -> Result<Spec> {
        let derived = self.derive(pending, names, &values)?;
        Ok(Spec {
            table: table.into(),
            pending: derived.pending,
            update: derived.update,
            names: derived.names,
            values,
            compute: Some(self),
            code: None,
        })
    }
}

impl Spec {
    /// What follows from what code says of itself, on a table.
    ///
    /// Errors: `InvalidInput`, naming `code`.
    pub(super) fn derived(code: &dyn Code, coded: Coded, table: impl Into<String>) -> Result<Spec> {
        let of_code = |error: Error| wrong(code.name(), error);
        let Condition {
            expression,
            mut names,
            values,
        } = code.pending();
        check_words(&expression, Language::Condition).map_err(|why| wrong(code.name(), why))?;
        if let Some(name) = undefined(&expression, &names) {
            let why = format!("{name} is used in its predicate but not defined");
            return Err(wrong(code.name(), why));
        }
        let pending = aliased(&expression, Language::Condition, &mut names);
        let targets = code.writes();
        let mut set = Vec::with_capacity(targets.len());
        for (nth, target) in targets.into_iter().enumerate() {
            let (name, value) = (target_name(nth), target_value(nth));
            let is_used = placeholders(&pending)
                .iter()
                .any(|used| [name.as_str(), value.as_str()].contains(used));
            if is_used || names.insert(name.clone(), target).is_some() {
                let why = format!(
                    "{name} and {value} are placeholders for what it writes; give those of its predicate other names"
                );
                return Err(wrong(code.name(), why));
            }
            set.push(format!("{name} = {value}"));
        }
        let spec = Spec {
            table: table.into(),
            pending,
            update: format!("SET {}", set.join(", ")),
            names,
            values,
            compute: None,
            code: Some(coded),
        };
        spec.check_pair().map_err(of_code)?;
        Ok(spec)
    }
}

/// Most bytes of an item ("The maximum item size in DynamoDB is 400 KB", Quotas in Amazon DynamoDB, Items).
pub(super) const MAX_ITEM: u64 = 400 * 1024;

/// Refuses a value that no item can hold, with the reason for a person.
pub(crate) fn check_value(value: &Value) -> std::result::Result<(), String> {
    value.check()?;
    match value_bytes(value) {
        bytes if bytes > MAX_ITEM => Err(format!(
            "a value of {bytes} bytes; expected less than the {MAX_ITEM} that an item may have in DynamoDB"
        )),
        _ => Ok(()),
    }
}

/// Refuses what is not a table name, with the reason for a person: "Table names and index names must be between 3 and 255
/// characters long, and can contain only a-z A-Z 0-9 _ - ." (developer guide, Naming rules).
pub fn check_table_name(name: &str) -> std::result::Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !(3..=255).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(format!(
            "{name:?} is not a table name; expected 3 to 255 of a-z A-Z 0-9 _ - ."
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Verb;
    use crate::change::expression::not_pending;
    use crate::table::{KeyAttribute, KeyType};

    fn number(n: u32) -> Value {
        Value::N(n.to_string())
    }

    fn keys() -> KeySchema {
        KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: Some(KeyAttribute::new("created", KeyType::N)),
        }
    }

    fn custom(pending: &str, update: &str) -> Spec {
        Spec {
            table: "stuff".into(),
            pending: pending.into(),
            update: update.into(),
            names: BTreeMap::new(),
            values: BTreeMap::new(),
            compute: None,
            code: None,
        }
    }

    #[test]
    fn set_of_one_attribute_is_the_pair_of_the_design() {
        let spec = Spec::set_missing("stuff", [("status".to_string(), number(1))].into());
        spec.check().unwrap();
        assert_eq!(spec.pending, "attribute_not_exists(#s0)");
        assert_eq!(spec.update, "SET #s0 = :s0");
        assert_eq!(spec.names["#s0"], "status");
    }

    #[test]
    fn a_name_that_looks_like_a_path_is_told_apart_from_one() {
        let set: Item = ["a.b", "c[0]", "d"]
            .map(|name| (name.to_owned(), number(1)))
            .into();
        let spec = Spec::set_missing("stuff", set.clone());
        assert_eq!(
            spec.path_like(),
            [("set", "a.b", "a"), ("set", "c[0]", "c")]
        );
        assert!(
            spec.describe().contains("SET \"a.b\" = "),
            "{}",
            spec.describe()
        );
        let as_said = |set: &Item, top_level: &[&str]| {
            let top_level = top_level.iter().map(|name| (*name).to_owned()).collect();
            Verb::Set(set.clone()).pair("stuff", &top_level).unwrap()
        };
        let said = as_said(&set, &["a.b", "d"]);
        said.check().unwrap();
        assert_eq!(said.path_like(), [("set", "c[0]", "c")]);
        assert_eq!(said.describe(), spec.describe());
        // Quotes that were not needed make no other run.
        let one: Item = [("d".to_owned(), number(1))].into();
        assert_eq!(as_said(&one, &["d"]), Spec::set_missing("stuff", one));
    }

    #[test]
    fn set_of_several_attributes_keeps_those_that_are_there() {
        let set = [("a".to_string(), number(1)), ("b".to_string(), number(2))].into();
        let spec = Spec::set_missing("stuff", set);
        spec.check().unwrap();
        assert_eq!(
            spec.pending,
            "attribute_not_exists(#s0) OR attribute_not_exists(#s1)"
        );
        assert_eq!(
            spec.update,
            "SET #s0 = if_not_exists(#s0, :s0), #s1 = if_not_exists(#s1, :s1)"
        );
    }

    #[test]
    fn bad_specs_are_refused_by_field() {
        let refused = |spec: &Spec, field: &str| {
            let error = spec.check().expect_err("refused");
            assert!(error.to_string().starts_with(field), "{error}");
            assert!(error.kind().is_refusal());
        };
        refused(&custom("a = b) OR (c = d", "SET x = y"), "pending:");
        refused(&custom("a = b", ""), "update:");
        refused(&custom("a = b", "nonsense"), "update:");
        let long = format!("{} = b", "a".repeat(MAX_LENGTH - LONGEST_GUARD - 4));
        custom(&long, "SET c = d").check().unwrap();
        let longest = not_pending("#backfill_key0", &long);
        assert_eq!(longest.len(), MAX_LENGTH);
        refused(&custom(&format!("a{long}"), "SET c = d"), "pending:");
        let long = format!("SET c = {}", "d".repeat(MAX_LENGTH - 8));
        custom("a = b", &long).check().unwrap();
        refused(&custom("a = b", &format!("{long}d")), "update:");
        refused(&custom("a = :x", "SET b = c"), "values:");
        refused(&custom("#a = b", "SET b = c"), "names:");
        let mut spec = custom("a = b", "SET c = d");
        spec.values.insert(":unused".into(), number(1));
        refused(&spec, "values:");
        let mut spec = custom("#backfill_key0 = b", "SET c = d");
        spec.names.insert("#backfill_key0".into(), "other".into());
        refused(&spec, "names:");
        let mut spec = custom("a = :v", "SET c = d");
        spec.values.insert(":v".into(), Value::N("NaN".into()));
        refused(&spec, "values.:v:");
        spec.values
            .insert(":v".into(), Value::S("x".repeat(400 * 1024 + 1)));
        refused(&spec, "values.:v: a value of 409601 bytes");
        spec.values
            .insert(":v".into(), Value::S("x".repeat(300 * 1024)));
        spec.check().unwrap();
        spec = custom("a = b", "SET c = d");
        spec.table = "no spaces".into();
        refused(&spec, "table:");
    }

    #[test]
    fn names_that_look_like_placeholders_are_described_as_they_are() {
        // Each name holds the next placeholder twice, so replacing them again and again would never end.
        let mut spec = custom("a = b", "SET #n10 = :v");
        for i in 10..99 {
            let next = format!("#n{}", i + 1);
            spec.names.insert(format!("#n{i}"), format!("{next}{next}"));
        }
        spec.values.insert(":v".into(), Value::S("#n10\n".into()));
        assert_eq!(
            spec.describe(),
            r##"SET "#n11#n11" = {"S":"#n10\n"} where a = b"##
        );
    }

    #[test]
    fn a_key_cannot_be_updated() {
        for update in ["SET created = a", "REMOVE id", "SET x = y, created = z"] {
            assert!(
                custom("a = b", update).check_against(&keys()).is_err(),
                "{update}"
            );
        }
        let set = Spec::set_missing("stuff", [("id".to_string(), number(1))].into());
        assert!(set.check_against(&keys()).is_err(), "through a placeholder");
        custom("id = b", "SET x = created")
            .check_against(&keys())
            .unwrap();
    }

    #[test]
    fn the_fingerprint_tells_specs_apart() {
        let one = Spec::set_missing("stuff", [("test".to_string(), number(1))].into());
        let two = Spec::set_missing("stuff", [("test".to_string(), number(2))].into());
        assert_eq!(one.fingerprint(), one.clone().fingerprint());
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_eq!(
            one.default_run_id(),
            format!("stuff-{}", &one.fingerprint()[..8])
        );
        assert_eq!(
            one.describe(),
            r#"SET test = {"N":"1"} where attribute_not_exists(test)"#
        );
    }
}
