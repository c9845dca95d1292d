//! What the core says of a request, in the words of whoever gave it: by the flags that were typed, or by the fields of the spec file.
//!
//! The core knows fields alone, and this finds them in its messages by where they stand: at the beginning before a colon or a
//! point, or so behind a context (`counting table t: run_id: …`); in backticks; and in parentheses at the end, as advice (`…
//! start over (fresh)`). A field that stands elsewhere in a message is shown as the core calls it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use backfill_core::request::SETTINGS;

/// A spec file, and what of it no flag has replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFile {
    /// As it was given.
    pub path: String,
    /// The fields that count.
    pub fields: BTreeSet<String>,
}

/// The spec file of this process's request, if it has one.
static SPEC_FILE: OnceLock<SpecFile> = OnceLock::new();

/// Takes note of the spec file, so that what is wrong with it is said of it. A process has one at most.
pub fn note_spec_file(file: SpecFile) {
    let _ = SPEC_FILE.set(file);
}

/// Fields of a request that are flags under another name, beside the settings.
const RENAMED: [(&str, &str); 4] = [
    ("set_typed", "set-typed"),
    ("names", "name"),
    ("values", "value"),
    ("values_typed", "value-typed"),
];

/// Fields of a request that are flags of the same name.
const SAME: [&str; 12] = [
    "table", "set", "remove", "rename", "copy", "append", "add", "compute", "mode", "code",
    "pending", "update",
];

/// Fields of a request that only a file can have.
const OF_FILES: [&str; 1] = ["language"];

/// Every field of a request with its flag.
fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
    let settings = SETTINGS.iter().map(|setting| {
        let flag = setting.flag.map_or(setting.name, |(flag, _)| flag);
        // Some commands have a flag for it that is none of the settings.
        let flag = if flag == "dry_run" { "dry-run" } else { flag };
        (setting.name, flag)
    });
    let same = SAME.into_iter().map(|name| (name, name));
    settings.chain(RENAMED).chain(same)
}

/// What an event has changed, in an operator's words: a setting by its flag, as it would be given, anything else by its name.
pub fn of_event(what: &str) -> String {
    let flag = SETTINGS.iter().find(|setting| setting.name == what);
    match flag.and_then(|setting| setting.flag) {
        Some((flag, _)) => format!("--{flag}"),
        None => what.to_owned(),
    }
}

/// A field of a request as whoever gave the request would: by its flag, or by its name if the spec file has it.
pub fn of_field(field: &str) -> String {
    of_given(field, SPEC_FILE.get())
}

fn of_given(field: &str, file: Option<&SpecFile>) -> String {
    let is_of_file = file.is_some_and(|file| file.fields.contains(field));
    match fields().find(|(name, _)| *name == field) {
        Some((_, flag)) if !is_of_file => format!("--{flag}"),
        _ => field.to_owned(),
    }
}

/// A message of the core in the words of whoever gave the request: by flags, or by the fields of the spec file, whichever was
/// used.
pub fn in_flags(message: &str) -> String {
    as_given(message, SPEC_FILE.get())
}

/// The field that a message is about begins it, or follows a context: `counting table t: run_id: …`. Other fields stand in
/// backticks, and the setting that its advice ends with in parentheses: `… start over (fresh)`. All else may be an operator's
/// own expression, and stays.
fn as_given(message: &str, file: Option<&SpecFile>) -> String {
    let of_file = |field: &str| file.filter(|file| file.fields.contains(field));
    let mut text = message.to_owned();
    let mut is_of_file = message.starts_with("spec file ");
    if !is_of_file && let Some((at, field, flag)) = subject(message) {
        match of_file(field) {
            Some(file) => {
                is_of_file = true;
                text.insert_str(at, &format!("spec file {}: ", file.path));
            }
            None => text.replace_range(at..at + field.len(), flag),
        }
    }
    for (field, flag) in fields() {
        if !is_of_file && of_file(field).is_none() {
            text = text.replace(&format!("`{field}`"), &format!("--{flag}"));
        }
        if let Some(advice) = text.strip_suffix(&format!("({field})")) {
            text = format!("{advice}(--{flag})");
        }
    }
    text
}

/// Where the field stands that a message is about, which one it is, and its flag.
fn subject(message: &str) -> Option<(usize, &'static str, &'static str)> {
    let contexts = message.match_indices(": ").map(|(at, _)| at + 2);
    let mut places = std::iter::once(0).chain(contexts);
    places.find_map(|at| {
        let rest = &message[at..];
        let of_files = OF_FILES.into_iter().map(|field| (field, field));
        fields().chain(of_files).find_map(|(field, flag)| {
            let behind = rest.strip_prefix(field)?;
            let is_whole = behind.starts_with(": ") || behind.starts_with('.');
            is_whole.then_some((at, field, flag))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_advice_are_flags_and_expressions_are_not() {
        for (message, said) in [
            (
                "run_id: run r has another spec: attribute_not_exists(writer); start over (fresh)",
                "run-id: run r has another spec: attribute_not_exists(writer); start over (--fresh)",
            ),
            (
                "total_segments: 4 were requested",
                "segments: 4 were requested",
            ),
            (
                "cannot show what it would do: run_id: run r is held",
                "cannot show what it would do: run-id: run r is held",
            ),
            (
                "values.:v: a set may not be empty",
                "value.:v: a set may not be empty",
            ),
            (
                "names: #a is used neither in `pending` nor in `update`",
                "name: #a is used neither in --pending nor in --update",
            ),
            ("take it over (take_over)", "take it over (--take-over)"),
            ("update: attribute_exists(a)", "update: attribute_exists(a)"),
            ("max_wcu", "max_wcu"),
            ("run_identity: x", "run_identity: x"),
        ] {
            assert_eq!(as_given(message, None), said);
        }
    }

    #[test]
    fn a_field_is_called_as_it_was_given() {
        let file = SpecFile {
            path: "a.json".into(),
            fields: ["max_rcu"].map(String::from).into(),
        };
        for (field, said) in [
            ("max_wcu", "--max-wcu"),
            ("total_segments", "--segments"),
            ("run_id", "--run-id"),
            ("max_rcu", "max_rcu"),
            ("table.keys", "table.keys"),
        ] {
            assert_eq!(of_given(field, Some(&file)), said);
        }
    }

    #[test]
    fn an_event_is_told_by_its_flag() {
        for (what, said) in [
            ("max_wcu", "--max-wcu"),
            ("pause_when", "--pause-when"),
            ("status", "status"),
            ("owner", "owner"),
            ("pass", "pass"),
        ] {
            assert_eq!(of_event(what), said);
        }
    }

    #[test]
    fn what_a_file_gives_is_said_of_the_file() {
        let file = SpecFile {
            path: "a.json".into(),
            fields: ["total_segments", "values"].map(String::from).into(),
        };
        for (message, said) in [
            (
                "total_segments: expected 1 to 1000000, got 0; start over (fresh)",
                "spec file a.json: total_segments: expected 1 to 1000000, got 0; start over (--fresh)",
            ),
            (
                "values: :v is used neither in `pending` nor in `update`",
                "spec file a.json: values: :v is used neither in `pending` nor in `update`",
            ),
            (
                "max_passes: expected 1 to 100",
                "max-passes: expected 1 to 100",
            ),
            (
                "spec file a.json: set_typed.a: unknown variant",
                "spec file a.json: set_typed.a: unknown variant",
            ),
            (
                "table missing: update: give `values` or `set`",
                "table missing: update: give `values` or --set",
            ),
        ] {
            assert_eq!(as_given(message, Some(&file)), said);
        }
    }
}
