//! The operator's request, read strictly: an unknown field, a field given twice or a value that DynamoDB could not store is
//! refused by name. Spec files and the inputs of executions are the same JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::settings::{RequestedSettings, WriterKind, settings};
use crate::change::expression::{Language, root_of_path, shown_name, unquoted};
use crate::change::reserved::{aliased, undefined};
use crate::change::{Coded, Compute, Mode, Verb, check_words};
use crate::compute::LANGUAGE;
use crate::value::{Item, Value, distinct};
use crate::{Error, Result, Spec};

/// A spec and how to run it. Settings left out are chosen by the planner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done to which table.
    pub spec: Spec,
    /// How it is to be run.
    pub settings: RequestedSettings,
}

/// Reads one JSON object and nothing after it.
///
/// Errors: `InvalidInput`, which names the field, or `whole` if there is none to name.
pub fn parse_strictly<'a, T: Deserialize<'a>>(json: &'a str, whole: &str) -> Result<T> {
    // Serde would read an array as the fields in their order.
    if json.trim_start().starts_with('[') {
        return Err(Error::invalid(
            whole,
            "expected an object with named fields, such as {\"name\":1}, got an array",
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        // Where the JSON itself is broken, the rest of the path is not known: `set.?`.
        let known = path.split('?').next().unwrap_or_default();
        let field = match known.trim_end_matches('.') {
            "" => whole,
            field => field,
        };
        Error::invalid(field, error.inner())
    })?;
    deserializer
        .end()
        .map_err(|error| Error::invalid(whole, error))?;
    Ok(parsed)
}

macro_rules! document {
    (
        chosen { $($(#[$c_meta:meta])* $chosen:ident: $c_type:ty { $($c_rest:tt)* })* }
        limits { $($(#[$l_meta:meta])* $limit:ident { $($l_rest:tt)* })* }
        holders { $($(#[$h_meta:meta])* $holder:ident { $($h_rest:tt)* })* }
        asked { $($(#[$a_meta:meta])* $asked:ident: $a_type:ty { $($a_rest:tt)* })* }
    ) => {
        /// The JSON as it is written: plain values in `set` and `values`, DynamoDB's typed values in `set_typed` and
        /// `values_typed`, and the settings.
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document<'a> {
            table: Option<String>,
            #[serde(default, borrow, deserialize_with = "distinct")]
            set: BTreeMap<String, &'a RawValue>,
            #[serde(default, deserialize_with = "distinct")]
            set_typed: Item,
            #[serde(default)]
            remove: Vec<String>,
            #[serde(default, deserialize_with = "distinct")]
            rename: BTreeMap<String, String>,
            #[serde(default, deserialize_with = "distinct")]
            copy: BTreeMap<String, String>,
            #[serde(default, borrow, deserialize_with = "distinct")]
            append: BTreeMap<String, &'a RawValue>,
            #[serde(default, borrow, deserialize_with = "distinct")]
            add: BTreeMap<String, &'a RawValue>,
            #[serde(default, deserialize_with = "distinct")]
            compute: BTreeMap<String, String>,
            mode: Option<Mode>,
            language: Option<u32>,
            code: Option<String>,
            code_fingerprint: Option<String>,
            pending: Option<String>,
            update: Option<String>,
            #[serde(default, deserialize_with = "distinct")]
            names: BTreeMap<String, String>,
            #[serde(default, borrow, deserialize_with = "distinct")]
            values: BTreeMap<String, &'a RawValue>,
            #[serde(default, deserialize_with = "distinct")]
            values_typed: Item,
            $($chosen: Option<$c_type>,)*
            $($limit: Option<u32>,)*
            $($holder: Option<String>,)*
            $(#[serde(default)] $asked: $a_type,)*
        }

        impl Document<'_> {
            fn take_settings(&mut self) -> RequestedSettings {
                RequestedSettings {
                    $($chosen: self.$chosen.take(),)*
                    $($limit: self.$limit.take(),)*
                    $($holder: self.$holder.take(),)*
                    $($asked: std::mem::take(&mut self.$asked),)*
                }
            }
        }
    };
}
settings!(document);

/// The parts of a request, from a document or from flags, before they are put together and checked.
#[derive(Debug, Default)]
pub struct Parts {
    /// Name of the target table.
    pub table: Option<String>,
    /// The everyday form: attribute → the value that it gets if it is missing. Empty with `pending` and `update`.
    pub set: Item,
    /// The attributes to remove.
    pub remove: Vec<String>,
    /// The attribute to rename → its new name. One, like those below: of several an item might be ready for some alone.
    pub rename: BTreeMap<String, String>,
    /// The attribute to copy → that to which it is copied.
    pub copy: BTreeMap<String, String>,
    /// The list to append to → the value.
    pub append: Item,
    /// The set to add to → the member, or a list of members.
    pub add: Item,
    /// The attribute to compute → the template of its value.
    pub compute: BTreeMap<String, String>,
    /// Which items get a computed value.
    pub mode: Option<Mode>,
    /// The version of the language of the templates.
    pub language: Option<u32>,
    /// The code that makes what is written to each item, by its name.
    pub code: Option<String>,
    /// The version of that code. If it is left out, it is that of this program.
    pub code_fingerprint: Option<String>,
    /// The names of all these that are said to be those of top-level attributes, even if they look like paths.
    pub top_level: BTreeSet<String>,
    /// `P` of the general form.
    pub pending: Option<String>,
    /// `U` of the general form.
    pub update: Option<String>,
    /// `#name` → attribute, for `pending` and `update`.
    pub names: BTreeMap<String, String>,
    /// `:value` → value, for `pending` and `update`.
    pub values: Item,
    /// How it is to be run.
    pub settings: RequestedSettings,
}

impl Parts {
    /// Reads the JSON of a spec file or an execution input, which errors call `whole` if they are about no field of it.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub fn from_json(json: &str, whole: &str) -> Result<Parts> {
        let mut document: Document = parse_strictly(json, whole)?;
        let settings = document.take_settings();
        let mut parts = Parts {
            table: document.table,
            set: document.set_typed,
            remove: document.remove,
            rename: document.rename,
            copy: document.copy,
            append: Item::new(),
            add: Item::new(),
            compute: BTreeMap::new(),
            mode: document.mode,
            language: document.language,
            code: document.code,
            code_fingerprint: document.code_fingerprint,
            top_level: BTreeSet::new(),
            pending: document.pending,
            update: document.update,
            names: document.names,
            values: document.values_typed,
            settings,
        };
        for (typed, template) in document.compute {
            parts.read_target(&typed, template)?;
        }
        for (field, plain, typed) in [
            ("set", document.set, &mut parts.set),
            ("append", document.append, &mut parts.append),
            ("add", document.add, &mut parts.add),
            ("values", document.values, &mut parts.values),
        ] {
            for (name, raw) in plain {
                let value = Value::from_plain_json(raw.get())
                    .map_err(|m| Error::invalid(&format!("{field}.{name}"), m))?;
                if typed.insert(name.clone(), value).is_some() {
                    return Err(Error::invalid(
                        field,
                        format!("{name} stands in `{field}` and in `{field}_typed`; give it once"),
                    ));
                }
            }
        }
        Ok(parts)
    }

    /// Takes an attribute to compute as it stands in a document: in quotes of its own if it looks like a path.
    fn read_target(&mut self, typed: &str, template: String) -> Result<()> {
        let wrong = |why| Err(Error::invalid("compute", why));
        let name = match unquoted(typed) {
            Err(why) => return wrong(why),
            Ok(None) => typed.to_owned(),
            Ok(Some((name, ""))) => {
                self.top_level.insert(name.clone());
                name
            }
            Ok(Some((name, rest))) => {
                let name = shown_name(&name);
                return wrong(format!("expected a name, got {rest} behind {name}"));
            }
        };
        let shown = shown_name(&name).into_owned();
        match self.compute.insert(name, template) {
            None => Ok(()),
            Some(_) => wrong(format!("{shown} is given twice; give it once")),
        }
    }

    /// The verb that is given, if one is.
    ///
    /// Errors: `InvalidInput` if there is more than one.
    fn verb(&mut self) -> Result<Option<Verb>> {
        /// The one entry of a map.
        fn one<V>(verb: &str, map: &mut BTreeMap<String, V>) -> Result<Option<(String, V)>> {
            let first = map.pop_first();
            match map.is_empty() {
                true => Ok(first),
                false => Err(Error::invalid(
                    verb,
                    "expected one attribute; of several an item may be ready for some alone, so give each a run of its own",
                )),
            }
        }
        let set = std::mem::take(&mut self.set);
        let remove = std::mem::take(&mut self.remove);
        let verbs = [
            (!set.is_empty()).then_some(Verb::Set(set)),
            (!remove.is_empty()).then_some(Verb::Remove(remove)),
            one("rename", &mut self.rename)?.map(|(old, new)| Verb::Rename(old, new)),
            one("copy", &mut self.copy)?.map(|(from, to)| Verb::Copy(from, to)),
            one("append", &mut self.append)?.map(|(list, value)| Verb::Append(list, value)),
            one("add", &mut self.add)?.map(|(set, members)| Verb::Add(set, members)),
        ];
        let mut verbs = verbs.into_iter().flatten();
        let verb = verbs.next();
        match (&verb, verbs.next()) {
            (Some(one), Some(other)) => Err(Error::invalid(
                other.name(),
                format!(
                    "give either `{}` or `{}`, each a run of its own",
                    one.name(),
                    other.name()
                ),
            )),
            _ => Ok(verb),
        }
    }

    /// Puts the parts together and checks all that can be checked without the table.
    ///
    /// Errors: `InvalidInput`, which begins with the field. Another field in the sentence stands in backticks, so that whoever
    /// shows it can name what was given instead.
    pub fn build(mut self) -> Result<Request> {
        let table = self.table.take().ok_or_else(|| {
            Error::invalid("table", "expected the name of the table, such as stuff")
        })?;
        let verb = self.verb()?;
        let spec = match (self.code.take(), self.compute.is_empty()) {
            (Some(name), _) => self.coded(name, table, verb.as_ref())?,
            (None, false) => self.computed(table, verb.as_ref())?,
            (None, true) => self.written(table, verb)?,
        };
        spec.check()?;
        spec.check_lengths()?;
        self.settings.check()?;
        Ok(Request {
            spec,
            settings: self.settings,
        })
    }

    /// The spec whose values are computed.
    fn computed(&mut self, table: String, verb: Option<&Verb>) -> Result<Spec> {
        if let Some(verb) = verb {
            let why = format!(
                "give either `{}` or `compute`, each a run of its own",
                verb.name()
            );
            return Err(Error::invalid("compute", why));
        }
        if self.update.is_some() {
            let why = "beside `compute` it follows from the templates; leave it out";
            return Err(Error::invalid("update", why));
        }
        let is_path = |name: &&String| root_of_path(name).is_some();
        let mut paths = self.compute.keys().filter(is_path);
        if let Some(path) = paths.find(|name| !self.top_level.contains(*name)) {
            let quoted = shown_name(path);
            return Err(Error::invalid(
                "compute",
                format!(
                    "{quoted} looks like a path, and what is computed is an attribute at the top level of an item; for one of that name \
                     put it into quotes of its own: '{quoted}=…' on the command line, {{{}:\"…\"}} in a spec file",
                    serde_json::Value::from(typed_target(path))
                ),
            ));
        }
        let mut names = std::mem::take(&mut self.names);
        let pending = match self.pending.take() {
            None => None,
            Some(pending) => Some(typed_condition(&pending, &mut names)?),
        };
        let mode = self.mode.unwrap_or(match pending {
            Some(_) => Mode::Replace,
            None => Mode::Missing,
        });
        let compute = Compute {
            language: self.language.unwrap_or(LANGUAGE),
            mode,
            targets: std::mem::take(&mut self.compute),
        };
        compute.pair(table, pending, names, std::mem::take(&mut self.values))
    }

    /// The spec of code, which says all of it.
    fn coded(&mut self, name: String, table: String, verb: Option<&Verb>) -> Result<Spec> {
        let others = [
            ("compute", !self.compute.is_empty()),
            ("mode", self.mode.is_some()),
            ("language", self.language.is_some()),
            ("pending", self.pending.is_some()),
            ("update", self.update.is_some()),
            ("names", !self.names.is_empty()),
            ("values", !self.values.is_empty()),
        ];
        let mut others = others.into_iter().filter(|(_, is_given)| *is_given);
        let other = others.next().map(|(field, _)| field);
        if let Some(other) = verb.map(Verb::name).or(other) {
            let why =
                format!("it says itself what is pending and what is written; leave `{other}` out");
            return Err(Error::invalid("code", why));
        }
        let coded = match self.code_fingerprint.take() {
            Some(fingerprint) => Coded { name, fingerprint },
            None => Coded::named(&name)?,
        };
        Spec::of_code(coded, table)
    }

    /// The spec of a verb, or of a pair as it was typed.
    fn written(&mut self, table: String, verb: Option<Verb>) -> Result<Spec> {
        for (field, of, is_given) in [
            ("mode", "compute", self.mode.is_some()),
            ("language", "compute", self.language.is_some()),
            ("code_fingerprint", "code", self.code_fingerprint.is_some()),
        ] {
            if is_given {
                let why = format!("it belongs to `{of}`, and there is none");
                return Err(Error::invalid(field, why));
            }
        }
        match (verb, self.pending.take(), self.update.take()) {
            (Some(verb), None, None) => {
                if !self.names.is_empty() || !self.values.is_empty() {
                    return Err(Error::invalid(
                        verb.name(),
                        format!(
                            "`names` and `values` belong to `pending` and `update`, not to `{}`",
                            verb.name()
                        ),
                    ));
                }
                verb.pair(table, &self.top_level)
            }
            (None, Some(pending), Some(update)) => typed_pair(Spec {
                table,
                pending,
                update,
                names: std::mem::take(&mut self.names),
                values: std::mem::take(&mut self.values),
                compute: None,
                code: None,
            }),
            (None, None, None) => Err(Error::invalid(
                "set",
                "expected what to set, such as {\"test\":1}, or another of `remove`, `rename`, `copy`, `append`, `add`, \
                 `compute` and `code`, or `pending` together with `update`",
            )),
            (None, Some(_), None) => Err(Error::invalid(
                "update",
                "expected beside `pending`, such as \"SET a = :v\" with `values` for :v: what makes it false",
            )),
            (None, None, Some(_)) => Err(Error::invalid(
                "pending",
                "expected beside `update`, such as \"attribute_not_exists(a)\": what the update makes false",
            )),
            (Some(verb), ..) => Err(Error::invalid(
                verb.name(),
                format!(
                    "give either `{}`, or `pending` and `update`, not both",
                    verb.name()
                ),
            )),
        }
    }
}

/// A pair of expressions as it was typed, with a placeholder for each reserved word in it.
///
/// Errors: `InvalidInput`, which begins with the field, for a word that no expression knows and for a placeholder that nobody
/// defined.
fn typed_pair(typed: Spec) -> Result<Spec> {
    check_words(&typed.pending, Language::Condition)
        .map_err(|why| Error::invalid("pending", why))?;
    check_words(&typed.update, Language::Update).map_err(|why| Error::invalid("update", why))?;
    // Before ours are among them: one that was typed and means nothing must not come to mean a reserved word.
    typed.check_names()?;
    let mut names = typed.names;
    Ok(Spec {
        pending: aliased(&typed.pending, Language::Condition, &mut names),
        update: aliased(&typed.update, Language::Update, &mut names),
        names,
        ..typed
    })
}

/// A predicate as it was typed, with a placeholder for each reserved word in it; `names` gets what they mean.
///
/// Errors: as those of [`typed_pair`].
fn typed_condition(typed: &str, names: &mut BTreeMap<String, String>) -> Result<String> {
    let wrong = |field: &str, why| Err(Error::invalid(field, why));
    if let Err(why) = check_words(typed, Language::Condition) {
        return wrong("pending", why);
    }
    match undefined(typed, names) {
        Some(name) => wrong(
            "names",
            format!("{name} is used in an expression but not defined"),
        ),
        None => Ok(aliased(typed, Language::Condition, names)),
    }
}

/// An attribute to compute as it stands in a document: in quotes of its own if it could be taken for something else.
pub(super) fn typed_target(name: &str) -> String {
    match root_of_path(name).is_some() || name.starts_with('"') {
        true => serde_json::Value::from(name).to_string(),
        false => name.to_owned(),
    }
}

impl Request {
    /// Reads and checks a spec file or an execution input.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub fn from_json(json: &str) -> Result<Request> {
        Parts::from_json(json, "input")?.build()
    }

    /// The id of the run that this request starts or resumes: the one given, else one made from table and spec. A dry run
    /// has a record of its own beside that of the run itself.
    pub fn run_id(&self) -> String {
        match &self.settings.run_id {
            Some(run_id) => run_id.clone(),
            None if self.settings.dry_run => format!("{}-dry", self.spec.default_run_id()),
            None => self.spec.default_run_id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Code, Condition, Made, register};

    /// What is sent is measured, whatever a spec says: a run must not find out by its first write.
    #[test]
    fn what_would_not_fit_into_a_request_is_refused_in_every_mode() {
        let sources = |count: usize| {
            let names = (0..count).map(|n| format!("${{a{n}}}"));
            names.collect::<String>()
        };
        let template = |count| json(&format!("x{}", sources(count)));
        let missing = |count| {
            format!(
                r#"{{"table":"stuff","compute":{{"t":{}}}}}"#,
                template(count)
            )
        };
        Request::from_json(&missing(45)).unwrap();
        let refused = |request: &str| {
            let error = Request::from_json(request).unwrap_err().to_string();
            assert!(
                error.starts_with("compute: ") && error.contains("bytes"),
                "{error}"
            );
        };
        refused(&missing(54));
        refused(&format!(
            r#"{{"table":"stuff","compute":{{"t":"${{t}}"}},"mode":"replace","pending":"attribute_exists({})"}}"#,
            "t".repeat(4_000)
        ));
        let targets = (0..90).map(|n| format!(r#""t{n}":"${{s}}""#));
        let targets: Vec<String> = targets.collect();
        refused(&format!(
            r#"{{"table":"stuff","compute":{{{}}}}}"#,
            targets.join(",")
        ));
    }

    fn json(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn a_placeholder_that_nobody_defined_means_no_reserved_word() {
        for (pending, update) in [
            ("attribute_not_exists(status)", "SET #status = :v"),
            ("attribute_not_exists(#status)", "SET status = :v"),
        ] {
            let of = |names: &str| {
                Request::from_json(&format!(
                    r#"{{"table":"stuff","pending":"{pending}","update":"{update}","values":{{":v":1}}{names}}}"#
                ))
            };
            let refused = of("").unwrap_err().to_string();
            let why = "#status is used in an expression but not defined";
            assert!(refused.contains(why), "{refused}");
            let spec = of(r##","names":{"#status":"status"}"##).unwrap().spec;
            assert_eq!(spec.names.len(), 1);
        }
    }

    #[test]
    fn the_shortest_input_is_enough() {
        let request = Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#).unwrap();
        assert_eq!(request.spec.pending, "attribute_not_exists(#s0)");
        assert_eq!(request.spec.values[":s0"], Value::N("1".into()));
        assert_eq!(request.settings, RequestedSettings::default());
        assert!(request.run_id().starts_with("stuff-"));
    }

    #[test]
    fn what_is_computed_is_read_by_its_mode() {
        let spec = |json: &str| {
            let request =
                Request::from_json(json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(Request::from_json(&request.to_json()).unwrap(), request);
            request.spec
        };
        let missing = spec(r#"{"table":"stuff","compute":{"gsi1pk":"${tenant}#${status}"}}"#);
        let of = |spec: &Spec| spec.compute.as_ref().map(|compute| compute.mode);
        assert_eq!(of(&missing), Some(Mode::Missing));
        let same = r#"{"table":"stuff","compute":{"gsi1pk":"${tenant}#${status}"},"mode":"missing","language":1}"#;
        assert_eq!(spec(same).fingerprint(), missing.fingerprint());
        let converge = same.replace("missing", "converge");
        assert_ne!(spec(&converge).fingerprint(), missing.fingerprint());
        // A predicate says that something is replaced, and may hold a reserved word.
        let replace = spec(
            r#"{"table":"stuff","compute":{"ttl":"${ttl|number}"},"pending":"attribute_type(ttl, :s)","values":{":s":"S"}}"#,
        );
        assert_eq!(of(&replace), Some(Mode::Replace));
        assert_eq!(replace.pending, "attribute_type(#ttl, :s)");
        let names = [("#t0", "ttl"), ("#ttl", "ttl")];
        let names = names.map(|(name, attribute)| (name.to_owned(), attribute.to_owned()));
        assert_eq!(replace.names, names.into());
        let quoted = spec(r#"{"table":"stuff","compute":{"\"a.b\"":"${a.b}"}}"#);
        assert_eq!(quoted.targets(), ["a.b"]);
        assert!(quoted.path_like().is_empty());
    }

    /// Marks an item that has a name.
    struct Marked;

    impl Code for Marked {
        fn name(&self) -> &str {
            "marked"
        }

        fn fingerprint(&self) -> String {
            "of today".into()
        }

        fn reads(&self) -> Vec<String> {
            vec!["name".into()]
        }

        fn writes(&self) -> Vec<String> {
            vec!["mark".into()]
        }

        fn pending(&self) -> Condition {
            "attribute_not_exists(mark)".into()
        }

        fn change(&self, _: &Item) -> std::result::Result<Made, String> {
            Err("nothing is changed here".into())
        }
    }

    #[test]
    fn code_is_named_and_says_the_rest_itself() {
        register(Marked).unwrap();
        let read = |rest: &str| {
            Request::from_json(&format!(r#"{{"table":"stuff","code":"marked"{rest}}}"#))
        };
        let request = read("").unwrap();
        let code = request.spec.code.as_ref().unwrap();
        assert_eq!((&*code.name, &*code.fingerprint), ("marked", "of today"));
        assert_eq!(request.spec.pending, "attribute_not_exists(mark)");
        // A function with another version of it says so.
        let json = request.to_json();
        assert!(json.contains(r#""code_fingerprint":"of today""#), "{json}");
        assert_eq!(Request::from_json(&json).unwrap(), request);
        let other = Request::from_json(&json.replace("today", "yesterday"));
        let why = other.unwrap_err().to_string();
        assert!(why.contains("version of yesterday is asked for"), "{why}");
        for (rest, field) in [
            (r#","set":{"a":1}"#, "set"),
            (r#","remove":["a"]"#, "remove"),
            (r#","compute":{"a":"${b}"}"#, "compute"),
            (r#","mode":"converge""#, "mode"),
            (r#","language":1"#, "language"),
            (r#","pending":"attribute_exists(a)""#, "pending"),
            (r#","update":"REMOVE a""#, "update"),
            (r##","names":{"#a":"b"}"##, "names"),
            (r#","values":{":a":1}"#, "values"),
        ] {
            let why = read(rest).unwrap_err().to_string();
            let expected = format!("leave `{field}` out");
            assert!(
                why.starts_with("code: ") && why.ends_with(&expected),
                "{why}"
            );
        }
        let alone = r#"{"table":"stuff","set":{"a":1},"code_fingerprint":"1"}"#;
        let why = Request::from_json(alone).unwrap_err().to_string();
        assert!(
            why.starts_with("code_fingerprint: it belongs to `code`"),
            "{why}"
        );
    }

    /// Long because it is a table of cases.
    #[test]
    fn what_does_not_go_with_a_computed_value_is_refused_by_field() {
        for (rest, why) in [
            (
                r#""set":{"b":1}"#,
                "compute: give either `set` or `compute`",
            ),
            (
                r#""remove":["b"]"#,
                "compute: give either `remove` or `compute`",
            ),
            (
                r#""update":"SET b = :v""#,
                "update: beside `compute` it follows",
            ),
            (
                r#""pending":"b = c","update":"SET b = :v""#,
                "update: beside `compute` it follows",
            ),
            (r#""mode":"replace""#, "mode: replace needs `pending`"),
            (
                r#""mode":"missing","pending":"b = c""#,
                "pending: in `mode` missing it follows",
            ),
            (
                r#""mode":"converge","pending":"b = c""#,
                "pending: in `mode` converge it follows",
            ),
            (
                r#""mode":"sometimes""#,
                "mode: unknown variant `sometimes`, expected one of `missing`, `replace`, `converge`",
            ),
            (
                r#""language":2"#,
                "language: the templates are in version 2 of the language, and this program knows version 1",
            ),
            (
                r##""names":{"#x":"y"}"##,
                "names: beside `compute` it belongs to `pending`",
            ),
            (
                r#""values":{":x":1}"#,
                "values: beside `compute` it belongs to `pending`",
            ),
            (
                r#""pending":"b = :x""#,
                "values: :x is used in an expression but not defined",
            ),
            (
                r##""pending":"b = #x""##,
                "names: #x is used in an expression but not defined",
            ),
            (
                r#""pending":"b = c","values":{":x":1}"#,
                "values: :x is used neither",
            ),
            (
                r#""pending":"b = :t0""#,
                "values: :t0 is a placeholder of `compute`",
            ),
            (
                r##""pending":"#t0 = c","names":{"#t0":"b"}"##,
                "names: #t0 is a placeholder of `compute`",
            ),
            (
                r##""pending":"b = c","names":{"#t0":"b"}"##,
                "names: #t0 is a placeholder of `compute`",
            ),
            (
                r#""pending":"b = c) OR (d = e""#,
                "pending: a closing parenthesis",
            ),
            (
                r#""pending":"now() > b""#,
                "pending: DynamoDB has no function now",
            ),
        ] {
            let json = format!(r#"{{"table":"stuff","compute":{{"a":"${{b}}"}},{rest}}}"#);
            let refused = Request::from_json(&json).expect_err(&json).to_string();
            assert!(refused.starts_with(why), "{json}: {refused}");
        }
        for (compute, why) in [
            (r#"{"a.b":"${c}"}"#, r#"compute: "a.b" looks like a path"#),
            (r#"{"a[0]":"${c}"}"#, r#"compute: "a[0]" looks like a path"#),
            (
                r#"{"\"a":"${c}"}"#,
                "compute: a name in quotes is a JSON text",
            ),
            (
                r#"{"\"a\"b":"${c}"}"#,
                "compute: expected a name, got b behind a",
            ),
            (
                r#"{"\"a\"":"${c}","a":"${c}"}"#,
                "compute: a is given twice",
            ),
            (
                r#"{"a":"${c}","a":"${d}"}"#,
                r#"compute: "a" is given twice"#,
            ),
            (r#"{"a":1}"#, "compute.a: invalid type"),
            (r#"{"":"${c}"}"#, "compute: an attribute needs a name"),
            (r#"{"a":"${"}"#, "compute.a: "),
        ] {
            let json = format!(r#"{{"table":"stuff","compute":{compute}}}"#);
            let refused = Request::from_json(&json).expect_err(&json).to_string();
            assert!(refused.starts_with(why), "{json}: {refused}");
        }
        for (field, given) in [("mode", r#""converge""#), ("language", "1")] {
            for change in [
                r#""set":{"a":1}"#,
                r#""pending":"a = b","update":"SET a = c""#,
            ] {
                let json = format!(r#"{{"table":"stuff",{change},"{field}":{given}}}"#);
                let refused = Request::from_json(&json).expect_err(&json).to_string();
                let why = format!("{field}: it belongs to `compute`");
                assert!(refused.starts_with(&why), "{json}: {refused}");
            }
        }
    }

    #[test]
    fn events_between_states_are_parsed_strictly() {
        use crate::engine::worker::Chunk;
        // A field more comes from a definition of a newer version.
        for good in [
            r#"{"run_id":"r","pass":1,"segment":0,"owner":"o","trial":false}"#,
            r#"{"run_id":"r","pass":1,"segment":0,"owner":"o","trial":false,"x":1}"#,
        ] {
            assert_eq!(parse_strictly::<Chunk>(good, "event").unwrap().segment, 0);
        }
        for (bad, field) in [
            (
                r#"{"run_id":"r","pass":1,"segment":-1,"owner":"o","trial":false}"#,
                "segment:",
            ),
            (
                r#"{"run_id":"r","pass":1,"owner":"o","trial":false}"#,
                "segment",
            ),
            ("null", "event:"),
            (r#" ["r",1,0,"o",false]"#, "event: expected an object"),
            (
                r#"{"run_id":"r","pass":1,"segment":0,"owner":"o","trial":false} {}"#,
                "event:",
            ),
        ] {
            let error = parse_strictly::<Chunk>(bad, "event").expect_err(bad);
            assert!(error.to_string().contains(field), "{bad}: {error}");
        }
    }

    fn assert_refused(json: &str, field: &str) {
        let error = Request::from_json(json).expect_err(json);
        assert!(error.to_string().contains(field), "{json}: {error}");
        assert!(error.kind().is_refusal());
    }

    #[test]
    fn bad_input_is_refused_by_field() {
        for (json, field) in [
            (r#"{"tabel":"stuff","set":{"test":1}}"#, "tabel"),
            (r#"{"set":{"test":1}}"#, "table:"),
            (r#"{"table":"stuff"}"#, "set:"),
            (r#"{"table":"stuff","set":{}}"#, "set:"),
            (
                &format!(
                    r#"{{"table":"stuff","set":{{"a":"{}"}}}}"#,
                    "x".repeat(10_000_000)
                ),
                "set.a: a value of 10000000 bytes",
            ),
            (r#"{"table":"stuff","set":{"a":1e200}}"#, "set.a:"),
            (r#"{"table":"stuff","set_typed":{"a":{"N":"x"}}}"#, "set.a:"),
            (r#"{"table":"stuff","set_typed":{"a":1}}"#, "set_typed.a:"),
            (
                r#"{"table":"stuff","set":{"a":1},"set_typed":{"a":{"N":"1"}}}"#,
                "set:",
            ),
            (r#"{"table":"stuff","set":{"a":1,"a":1}}"#, "set:"),
            (r#"{"table":"stuff","set":{"a":{"b":1,"b":2}}}"#, "set.a:"),
            (
                r#"{"table":"stuff","set_typed":{"a":{"N":"1"},"a":{"N":"1"}}}"#,
                "set_typed:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"pending":"x","update":"y"}"#,
                "set:",
            ),
            (r#"{"table":"stuff","pending":"a = b"}"#, "update:"),
            (r#"{"table":"stuff","set":{"a":1}} x"#, "input:"),
            (r#"{"table" "stuff"}"#, "input: expected"),
            (r#"{"table":"stuff","names":{"a" 1}}"#, "names: expected"),
            ("[]", "input:"),
        ] {
            assert_refused(json, field);
        }
    }

    #[test]
    fn settings_out_of_bounds_are_refused_by_field() {
        for (json, field) in [
            (
                r#"{"table":"stuff","set":{"a":1},"total_segments":0}"#,
                "total_segments:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"total_segments":1000001}"#,
                "total_segments:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"total_segments":"8"}"#,
                "total_segments:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"only_segments":[]}"#,
                "only_segments:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"total_segments":4,"only_segments":[4]}"#,
                "only_segments: expected 0 to 3, got segment 4",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"only_segments":[1,3,1,2]}"#,
                "only_segments: segment 1 is named twice",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"only_segments":[0],"dry_run":true}"#,
                "only_segments:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"time_box_seconds":-1}"#,
                "time_box_seconds:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"max_passes":0}"#,
                "max_passes:",
            ),
            (
                r#"{"table":"stuff","set":{"a":1},"run_id":"a/b"}"#,
                "run_id:",
            ),
        ] {
            assert_refused(json, field);
        }
    }
}
