//! What is to be done to the items.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backfill_core::change::Mode;
use backfill_core::change::expression::{shown_name, unquoted};
use backfill_core::request::Parts;
use backfill_core::{Error, Item, Request, Result, Value};
use backfill_rehearsal::admin::Placeholders;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::de::IgnoredAny;

use super::given::{over, read_file};
use super::settings::SettingsArgs;
use crate::typed;

/// What is to be done: a spec file, flags, or both (a flag wins over the file).
#[derive(Args)]
#[command(next_help_heading = "Spec")]
pub struct SpecArgs {
    /// Table to migrate.
    #[arg(long)]
    table: Option<String>,
    /// Set this attribute if it is missing; VALUE is JSON (1, "text", true, null, [..], {..}); repeatable.
    #[arg(long, value_name = "ATTR=VALUE")]
    set: Vec<String>,
    /// Set it to a value in DynamoDB's JSON, for any type: tags={"SS":["a"]}, blob={"B":"AAE="}; repeatable.
    #[arg(long, value_name = "ATTR=TYPED")]
    set_typed: Vec<String>,
    /// Remove this attribute; repeatable.
    #[arg(long, value_name = "ATTR")]
    remove: Vec<String>,
    /// Give attribute OLD the name NEW, unless the item has that, too.
    #[arg(long, value_name = "OLD=NEW")]
    rename: Option<String>,
    /// Copy attribute FROM to TO if that is missing.
    #[arg(long, value_name = "FROM=TO")]
    copy: Option<String>,
    /// Append VALUE, which is JSON, to this list if it does not hold it; without the list there is a new one.
    #[arg(long, value_name = "LIST=VALUE")]
    append: Option<String>,
    /// Add a text, a number, or a list of them, to this set; without the set there is a new one.
    #[arg(long, value_name = "SET=VALUE")]
    add: Option<String>,
    /// Compute this attribute from the item: key='${tenant}#${status|lower}'; repeatable.
    #[arg(long, value_name = "ATTR=TEMPLATE")]
    compute: Vec<String>,
    /// Which items get a computed value: those that lack it and have every source, those of --pending, or those that have
    /// another [default: missing; replace with --pending].
    #[arg(long, value_parser = PossibleValuesParser::new(Mode::NAMES))]
    mode: Option<String>,
    /// Let code of this program make what is written to each item: the name by which it was registered.
    #[arg(long, value_name = "NAME")]
    code: Option<String>,
    /// Condition expression that is true for an item still to be migrated (with --update or --compute).
    #[arg(long, value_name = "EXPR")]
    pending: Option<String>,
    /// Update expression that makes it false.
    #[arg(long, value_name = "EXPR")]
    update: Option<String>,
    #[command(flatten)]
    placeholders: PlaceholderArgs,
    /// JSON file with the same fields as the input of an execution.
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
}

impl SpecArgs {
    /// The table, if it is given by its flag.
    pub(super) fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// Whether it says what is to be done, by a flag or a file.
    pub(super) fn says_what(&self) -> bool {
        // Whoever adds a flag is told to name it here.
        let SpecArgs {
            table: _,
            set,
            set_typed,
            remove,
            rename,
            copy,
            append,
            add,
            compute,
            mode,
            code,
            pending,
            update,
            placeholders:
                PlaceholderArgs {
                    value,
                    value_typed,
                    name,
                },
            spec,
        } = self;
        let texts = [rename, copy, append, add, mode, code, pending, update];
        let lists = [set, set_typed, remove, compute, value, value_typed, name];
        spec.is_some()
            || texts.into_iter().any(Option::is_some)
            || lists.into_iter().any(|list| !list.is_empty())
    }

    /// Puts file and flags together and checks the request. The file is noted for messages (`typed.rs`).
    pub fn request(&self, settings: &SettingsArgs) -> Result<Request> {
        self.parts(settings)?.build()
    }

    /// The same, on this table if none is given.
    pub(super) fn request_on(&self, table: &str, settings: &SettingsArgs) -> Result<Request> {
        let mut parts = self.parts(settings)?;
        parts.table.get_or_insert_with(|| table.to_owned());
        parts.build()
    }

    fn parts(&self, settings: &SettingsArgs) -> Result<Parts> {
        let mut parts = match &self.spec {
            Some(path) => {
                let json = read_file("spec", path)?;
                let whole = format!("spec file {}", path.display());
                let parts = Parts::from_json(&json, &whole).map_err(|error| {
                    match error.to_string().starts_with(&whole) {
                        true => error,
                        false => error.context(&whole),
                    }
                })?;
                typed::note_spec_file(self.spec_file(path, &json, settings));
                parts
            }
            None => Parts::default(),
        };
        self.read_verbs(&mut parts)?;
        self.read_computed(&mut parts)?;
        let placeholders = self.placeholders.read()?;
        parts.values.extend(placeholders.values);
        parts.names.extend(placeholders.names);
        let own = &mut parts.settings;
        over(&mut parts.table, &self.table);
        if self.code.is_some() {
            // The version in the file is that of the code in the file.
            parts.code_fingerprint = None;
        }
        over(&mut parts.code, &self.code);
        over(&mut parts.pending, &self.pending);
        over(&mut parts.update, &self.update);
        settings.over(own)?;
        Ok(parts)
    }
}

impl SpecArgs {
    /// Puts the verbs over those of a file.
    fn read_verbs(&self, parts: &mut Parts) -> Result<()> {
        let mut set = Item::new();
        for (flag, arguments, read) in [
            (
                "set",
                &self.set,
                plain as fn(&str, &str, &str) -> Result<Value>,
            ),
            ("set-typed", &self.set_typed, typed),
        ] {
            let example = match flag {
                "set" => "test=1",
                _ => "tags={\"SS\":[\"a\"]}",
            };
            for argument in arguments {
                let (name, json) = name_before(parts, flag, argument, example)?;
                let shown = shown_name(&name);
                let value = read(flag, &shown, json)?;
                once(flag, &shown, set.insert(name.clone(), value))?;
            }
        }
        parts.set.extend(set);
        if !self.remove.is_empty() {
            parts.remove = Vec::new();
        }
        for argument in &self.remove {
            let name = whole_name(parts, "remove", argument)?;
            parts.remove.push(name);
        }
        for (flag, argument) in [("rename", &self.rename), ("copy", &self.copy)] {
            let Some(argument) = argument else {
                continue;
            };
            let (name, other) = name_before(parts, flag, argument, "old=new")?;
            let names = [(name, whole_name(parts, flag, other)?)].into();
            match flag {
                "rename" => parts.rename = names,
                _ => parts.copy = names,
            }
        }
        for (flag, argument) in [("append", &self.append), ("add", &self.add)] {
            let Some(argument) = argument else {
                continue;
            };
            let (name, json) = name_before(parts, flag, argument, "tags='\"new\"'")?;
            let value = [(name.clone(), plain(flag, &shown_name(&name), json)?)].into();
            match flag {
                "append" => parts.append = value,
                _ => parts.add = value,
            }
        }
        Ok(())
    }

    /// Puts what is to be computed over that of a file.
    fn read_computed(&self, parts: &mut Parts) -> Result<()> {
        let mut given = BTreeMap::new();
        for argument in &self.compute {
            let (name, template) =
                name_before(parts, "compute", argument, "key='${tenant}#${status}'")?;
            let earlier = given.insert(name.clone(), template.to_owned());
            once("compute", &shown_name(&name), earlier)?;
        }
        parts.compute.extend(given);
        if let Some(mode) = self.mode.as_deref().and_then(Mode::named) {
            parts.mode = Some(mode);
        }
        Ok(())
    }

    /// What of a spec file no flag replaces.
    fn spec_file(&self, path: &Path, json: &str, settings: &SettingsArgs) -> typed::SpecFile {
        let fields: BTreeMap<String, IgnoredAny> = serde_json::from_str(json).unwrap_or_default();
        let by_flag = |field: &str| match field {
            "table" => self.table.is_some(),
            "pending" => self.pending.is_some(),
            "update" => self.update.is_some(),
            "set" | "set_typed" => !self.set.is_empty() || !self.set_typed.is_empty(),
            "remove" => !self.remove.is_empty(),
            "rename" => self.rename.is_some(),
            "copy" => self.copy.is_some(),
            "append" => self.append.is_some(),
            "add" => self.add.is_some(),
            "compute" => !self.compute.is_empty(),
            "mode" => self.mode.is_some(),
            "code" | "code_fingerprint" => self.code.is_some(),
            setting => settings.gives(setting),
        };
        typed::SpecFile {
            path: path.display().to_string(),
            fields: fields.into_keys().filter(|field| !by_flag(field)).collect(),
        }
    }
}

/// What the placeholders of expressions stand for.
#[derive(Args)]
pub struct PlaceholderArgs {
    /// Value placeholder of the expressions, as JSON: ':v=1'; repeatable.
    #[arg(long, value_name = ":V=VALUE")]
    value: Vec<String>,
    /// Value placeholder in DynamoDB's JSON: ':v={"SS":["a"]}'; repeatable.
    #[arg(long, value_name = ":V=TYPED")]
    value_typed: Vec<String>,
    /// Name placeholder of the expressions: '#n=attribute'; repeatable.
    #[arg(long, value_name = "#N=ATTR")]
    name: Vec<String>,
}

impl PlaceholderArgs {
    /// Errors: `InvalidInput` for a value that is not JSON or a name that is given twice.
    pub fn read(&self) -> Result<Placeholders> {
        let mut values = Item::new();
        for argument in &self.value {
            let (name, json) = split("value", argument, ":v=1")?;
            let value = Value::from_plain_json(json)
                .map_err(|message| Error::invalid(&format!("value.{name}"), message))?;
            once("value", name, values.insert(name.into(), value))?;
        }
        for argument in &self.value_typed {
            let (name, json) = split("value-typed", argument, ":v={\"SS\":[\"a\"]}")?;
            let value = typed("value-typed", name, json)?;
            once("value-typed", name, values.insert(name.into(), value))?;
        }
        let mut names = BTreeMap::new();
        for argument in &self.name {
            let (name, attribute) = split("name", argument, "#n=attribute")?;
            once("name", name, names.insert(name.into(), attribute.into()))?;
        }
        Ok(Placeholders { names, values })
    }
}

/// Attributes and their values in plain JSON, each named once.
pub fn attributes(flag: &str, arguments: &[String]) -> Result<Vec<(String, Value)>> {
    let mut attributes = Vec::new();
    for argument in arguments {
        let (name, json) = split(flag, argument, "test=1")?;
        let value = Value::from_plain_json(json)
            .map_err(|message| Error::invalid(&format!("{flag}.{name}"), message))?;
        let earlier = attributes.iter().find(|(other, _)| other == name);
        once(flag, name, earlier)?;
        attributes.push((name.to_owned(), value));
    }
    Ok(attributes)
}

fn split<'a>(flag: &str, argument: &'a str, example: &str) -> Result<(&'a str, &'a str)> {
    argument.split_once('=').ok_or_else(|| {
        Error::invalid(
            flag,
            format!("expected NAME=VALUE, such as {example}, got {argument:?}"),
        )
    })
}

/// The name before a `=`, as it is typed, and what is behind it. One in quotes, as JSON, is said to be no path: `"a.b"=1`.
fn name_before<'a>(
    parts: &mut Parts,
    flag: &str,
    argument: &'a str,
    example: &str,
) -> Result<(String, &'a str)> {
    let quoted = unquoted(argument).map_err(|why| Error::invalid(flag, why))?;
    let Some((name, rest)) = quoted else {
        return split(flag, argument, example).map(|(name, rest)| (name.to_owned(), rest));
    };
    let Some(rest) = rest.strip_prefix('=') else {
        let name = shown_name(&name);
        let why = format!("expected = behind {name}, as in {example}, got {argument:?}");
        return Err(Error::invalid(flag, why));
    };
    parts.top_level.insert(name.clone());
    Ok((name, rest))
}

/// A name alone, as it is typed; one in quotes is said to be no path.
fn whole_name(parts: &mut Parts, flag: &str, argument: &str) -> Result<String> {
    let typed = typed_name(argument).map_err(|why| Error::invalid(flag, why))?;
    if typed.is_quoted {
        parts.top_level.insert(typed.name.clone());
    }
    Ok(typed.name)
}

/// A name as somebody has typed it.
pub struct TypedName {
    pub name: String,
    /// It stood in quotes, so it is said to be no path.
    is_quoted: bool,
}

/// Reads a name that stands alone.
///
/// Errors: why it is none, for a person.
pub fn typed_name(text: &str) -> std::result::Result<TypedName, String> {
    match unquoted(text)? {
        None => Ok(TypedName {
            name: text.to_owned(),
            is_quoted: false,
        }),
        Some((name, "")) => Ok(TypedName {
            name,
            is_quoted: true,
        }),
        Some((name, rest)) => {
            let name = shown_name(&name);
            Err(format!("expected a name, got {rest} behind {name}"))
        }
    }
}

/// A value in plain JSON.
fn plain(flag: &str, name: &str, json: &str) -> Result<Value> {
    Value::from_plain_json(json).map_err(|message| {
        Error::invalid(
            &format!("{flag}.{name}"),
            format!("{message} (text needs quotes: --{flag} '{name}=\"text\"')"),
        )
    })
}

/// Refuses a name that was given before, in the plain or in the typed form.
fn once<T>(flag: &str, name: &str, earlier: Option<T>) -> Result<()> {
    match earlier {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            flag,
            format!("{name} is given twice; give it once"),
        )),
    }
}

fn typed(flag: &str, name: &str, json: &str) -> Result<Value> {
    serde_json::from_str(json).map_err(|error| {
        Error::invalid(
            &format!("{flag}.{name}"),
            format!(
                "expected DynamoDB's JSON, such as {{\"N\":\"1\"}} or {{\"SS\":[\"a\"]}}: {error}"
            ),
        )
    })
}
