//! Saved queries: they find what is logged.

use std::collections::BTreeSet;
use std::path::Path;

use backfill_e2e::command::root;
use serde_json::Value as Json;

/// The text of a saved query in the template.
fn query(name: &str) -> Vec<String> {
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("the template");
    let (_, rest) = template
        .split_once(&format!("Name: !Sub ${{AWS::StackName}}/{name}\n"))
        .unwrap_or_else(|| panic!("no query {name}"));
    let (_, rest) = rest.split_once("QueryString: |-\n").expect("its text");
    let lines = rest.lines().take_while(|line| line.starts_with("        "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The queries that ask for fields of our own.
const QUERIES: [&str; 6] = [
    "errors",
    "chunks of a segment",
    "slowest segments",
    "throttling reasons",
    "rejected items",
    "steps of a run",
];

/// Words of CloudWatch Logs Insights in these queries.
const INSIGHTS: [&str; 19] = [
    "and",
    "as",
    "asc",
    "by",
    "count",
    "count_distinct",
    "desc",
    "fields",
    "filter",
    "in",
    "ispresent",
    "latest",
    "like",
    "limit",
    "or",
    "sort",
    "stats",
    "sum",
    "not",
];

/// The fields that a saved query reads, but for CloudWatch's own and those that it makes itself (`as`).
fn queried_fields(name: &str) -> BTreeSet<String> {
    let mut text = String::new();
    for line in query(name).iter().filter(|line| !line.starts_with('#')) {
        // Every second part is a literal.
        let outside: Vec<&str> = line.split(['"', '/']).step_by(2).collect();
        text += &format!("{} ", outside.join(" "));
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@';
    let words: Vec<&str> = text
        .split(|c| !is_word(c))
        .filter(|word| !word.is_empty())
        .collect();
    let made: BTreeSet<&str> = words
        .windows(2)
        .filter(|pair| pair[0] == "as")
        .map(|pair| pair[1])
        .collect();
    let fields = words.into_iter().filter(|word| {
        let is_own = word.starts_with(|c: char| c.is_ascii_lowercase());
        is_own && !INSIGHTS.contains(word) && !made.contains(word)
    });
    fields.map(String::from).collect()
}

/// Panics unless each field of a query is in one of the lines that it is about.
pub fn assert_queried(name: &str, lines: &[&Json]) {
    for field in queried_fields(name) {
        let is_there = |line: &&Json| line.get(&field).is_some();
        assert!(lines.iter().any(is_there), "{name}: {field} of {lines:#?}");
    }
}

/// What Lambda and a panic say has no level: the queries for errors find it by its words.
#[test]
fn errors_without_a_level_are_found() {
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("the template");
    let words = "/Task timed out|Runtime exited|panicked at/";
    let filters: Vec<&str> = template
        .lines()
        .filter(|line| line.contains("filter level in"))
        .collect();
    assert_eq!(filters.len(), 2, "the saved query and the dashboard");
    for filter in filters {
        assert!(
            filter.contains(&format!(" or @message like {words}")),
            "{filter}"
        );
    }
    assert!(template.matches("request_id, @message").count() >= 2);
    for line in [
        "2026-11-20T21:00:00.000Z 7f0c2c1e Task timed out after 900.00 seconds",
        "RequestId: 7f0c2c1e Error: Runtime exited with error: signal: killed",
        "thread 'main' panicked at crates/core/src/worker.rs:1:1:",
    ] {
        let mut alternatives = words.trim_matches('/').split('|');
        assert!(alternatives.any(|words| line.contains(words)), "{line}");
    }
}

/// The text of all files below a folder.
fn code(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder of the sources");
    let texts = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => code(&path),
            false => std::fs::read_to_string(path).expect("a source"),
        }
    });
    texts.collect()
}

/// The messages that the queries look for are logged.
#[test]
fn saved_queries_look_for_what_is_logged() {
    let sources = code(&root().join("crates/core/src/engine"));
    let mut looked_for = 0;
    for name in QUERIES {
        assert!(queried_fields(name).contains("run_id"), "{name}");
        for line in query(name) {
            if let Some(message) = line
                .strip_prefix("| filter message = ")
                .or(line.strip_prefix("filter message = "))
            {
                assert!(sources.contains(message), "{name}: {message}");
                looked_for += 1;
            }
        }
    }
    assert_eq!(looked_for, 3);
    // A guard has no run.
    let guard = code(&root().join("crates/core/src/guard"));
    let old_writers = query("who writes the old shape");
    let message = old_writers
        .iter()
        .find_map(|line| line.strip_prefix("| filter message = "))
        .expect("what it looks for");
    let logged = guard
        .lines()
        .find(|line| line.contains(message))
        .expect("it is logged");
    for field in ["table = ", "%key", "written_ms = "] {
        assert!(logged.contains(field), "{field}: {logged}");
    }
    for field in ["table", "key", "written_ms"] {
        assert!(old_writers[2].contains(field), "{field}: {old_writers:?}");
    }
}

/// What raises the alarm on losses is what the guard logs of each, with its table.
#[test]
fn losses_are_logged_as_their_filter_looks_for_them() {
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("the template");
    let filter = template
        .lines()
        .find(|line| line.contains("FilterPattern:"))
        .expect("a filter");
    let guard = code(&root().join("crates/core/src/guard"));
    for (pattern, logged) in [
        (
            r#"$.message = "*no longer without a gap""#,
            r#": what the guard has watched is no longer without a gap""#,
        ),
        (
            r#"$.message = "the guard is off: *""#,
            r#"tracing::error!(table = guard.table(), "the guard is off: {why}")"#,
        ),
    ] {
        assert!(filter.contains(pattern), "{pattern}: {filter}");
        assert!(guard.contains(logged), "{logged}");
    }
    assert!(filter.contains(r#"$.level = "ERROR""#), "{filter}");
}
