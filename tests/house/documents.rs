//! Tests and files that the documents name are there.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};

use crate::tree::{paths, read, sources};

/// Ends of names that make a word a file.
const ENDINGS: [&str; 8] = [
    ".json", ".md", ".png", ".rs", ".svg", ".toml", ".yaml", ".yml",
];

/// Where tests stand.
const FOLDERS: [&str; 3] = ["crates", "examples", "tests"];

/// What stands between backticks in a text, by line number. Blocks of code are left out.
fn quoted(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_code = false;
    for (n, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let inside = line.split('`').skip(1).step_by(2);
            found.extend(inside.map(|word| (n + 1, word.to_owned())));
        }
    }
    found
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, (inside, after))) = path
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![path.to_owned()];
    };
    let each = inside.split(',');
    each.flat_map(|part| expanded(&format!("{before}{part}{after}")))
        .collect()
}

/// Whether a word in a document looks like the path of a file or folder.
fn looks_like_a_path(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./{},*…".contains(c);
    let is_elsewhere = ["target/", ".tools", "dist/", "/", "~"]
        .iter()
        .any(|start| word.starts_with(start));
    let is_name = |word: &str| word.contains(|c: char| c.is_ascii_alphabetic());
    word.chars().all(is_plain)
        && is_name(word)
        && !is_elsewhere
        && (word.contains('/') || ENDINGS.iter().any(|ending| word.ends_with(ending)))
}

/// Whether the checkout has this path: whole, from the root, or at the end of another (`ports.rs`). A `*` is anything within
/// one name.
fn is_there(path: &str, all: &[String]) -> bool {
    let wanted: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    all.iter().any(|path| {
        let names: Vec<&str> = path.split('/').collect();
        names.len() >= wanted.len()
            && names[names.len() - wanted.len()..]
                .iter()
                .zip(&wanted)
                .all(|(name, wanted)| is_like(name, wanted))
    })
}

fn is_like(name: &str, wanted: &str) -> bool {
    match wanted.split_once('*') {
        Some((begin, end)) => {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        }
        None => name == wanted,
    }
}

/// The paths that a document names and the checkout does not have.
fn missing_paths(text: &str, all: &[String]) -> Vec<String> {
    let mut missing = Vec::new();
    for (line, word) in quoted(text) {
        let path = word.trim_start_matches("…/");
        if looks_like_a_path(path) {
            let parts = expanded(path).into_iter();
            let gone = parts.filter(|path| !is_there(path, all));
            missing.extend(gone.map(|path| format!("{line}: {path}")));
        }
    }
    missing
}

/// The tests in a file: functions with an attribute that names `test`, in macros (`proptest!`) as well.
fn tests_in(tokens: TokenStream, found: &mut BTreeSet<String>) {
    let mut is_test = false;
    let mut is_function = false;
    let mut before = String::new();
    for token in tokens {
        match &token {
            TokenTree::Group(group) => {
                if before == "#" {
                    let idents = group.stream().into_iter().filter_map(|token| match token {
                        TokenTree::Ident(ident) => Some(ident.to_string()),
                        _ => None,
                    });
                    let last = idents.last();
                    is_test |= last.as_deref() == Some("test");
                } else {
                    tests_in(group.stream(), found);
                }
            }
            TokenTree::Ident(ident) => {
                if is_function && is_test {
                    found.insert(ident.to_string());
                }
                if is_function {
                    is_test = false;
                }
                is_function = ident == "fn";
            }
            _ => {}
        }
        before = token.to_string();
    }
}

/// The names of tests in the last column of the promises' table, by line number.
fn named_tests(semantics: &str) -> Vec<(usize, String)> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_*".contains(c);
    let mut found = Vec::new();
    for (n, line) in semantics.lines().enumerate() {
        let columns: Vec<&str> = line.trim().trim_matches('|').split(" | ").collect();
        if let [_, _, tests] = columns[..]
            && line.starts_with('|')
        {
            let words = quoted(tests).into_iter().map(|(_, word)| word);
            let names = words.filter(|word| word.contains('_') && word.chars().all(is_name));
            found.extend(names.map(|name| (n + 1, name)));
        }
    }
    found
}

fn missing_tests(semantics: &str, tests: &BTreeSet<String>) -> Vec<String> {
    named_tests(semantics)
        .into_iter()
        .filter(|(_, name)| !tests.iter().any(|test| is_like(test, name)))
        .map(|(line, name)| format!("{line}: {name}"))
        .collect()
}

/// The names of all tests.
fn all_tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (path, text) in FOLDERS.into_iter().flat_map(sources) {
        let tokens = text.parse();
        tests_in(
            tokens.unwrap_or_else(|error| panic!("{path}: {error}")),
            &mut tests,
        );
    }
    tests
}

/// The rows of the tables in a document, cell by cell, by line number, without heads and rules.
fn rows(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut found = Vec::new();
    let mut is_head = true;
    for (n, line) in text.lines().enumerate() {
        let Some(row) = line
            .strip_prefix('|')
            .and_then(|row| row.trim_end().strip_suffix('|'))
        else {
            is_head = true;
            continue;
        };
        let is_rule = row.chars().all(|c| "-:| ".contains(c));
        if !is_head && !is_rule {
            found.push((n + 1, row.split(" | ").map(str::trim).collect()));
        }
        is_head = false;
    }
    found
}

/// The questions of the acceptance run.
fn questions(results: &str) -> BTreeSet<String> {
    let first = |(_, cells): (usize, Vec<&str>)| cells[0].trim_matches('`').to_owned();
    rows(results).into_iter().map(first).collect()
}

/// How sure a fact can be.
const CERTAINTIES: [&str; 5] = ["documented", "model", "captured", "likely", "unknown"];

/// What is wrong with the rows about AWS: one without a place in the code, a source, a certainty or anything that holds it;
/// or one that names a test or a question that is not there.
fn wrong_facts(facts: &str, tests: &BTreeSet<String>, questions: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (line, cells) in rows(facts) {
        let [_, place, source, certainty, held_by] = cells[..] else {
            // The table that explains the columns has two.
            if cells.len() != 2 {
                wrong.push(format!("{line}: {} columns", cells.len()));
            }
            continue;
        };
        if !place.contains('`') || source.is_empty() {
            wrong.push(format!("{line}: no place in the code, or no source"));
        }
        if !CERTAINTIES.contains(&certainty) {
            wrong.push(format!("{line}: certainty {certainty:?}"));
        }
        let holders = quoted(held_by);
        if holders.is_empty() {
            wrong.push(format!("{line}: held by nothing"));
        }
        for (_, holder) in holders {
            let is_there = match holder.strip_prefix("acceptance: ") {
                Some(question) => questions.contains(question),
                None => tests.iter().any(|test| is_like(test, &holder)),
            };
            if !is_there {
                wrong.push(format!("{line}: held by {holder}, which is not there"));
            }
        }
    }
    wrong
}

#[test]
fn facts_about_aws_have_a_source_and_are_held_by_something() {
    let facts = read("docs/AWS-FACTS.md");
    let wrong = wrong_facts(
        &facts,
        &all_tests(),
        &questions(&read("acceptance/RESULTS.md")),
    );
    assert!(
        wrong.is_empty(),
        "docs/AWS-FACTS.md, by line:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn tests_that_semantics_names_are_there() {
    let tests = all_tests();
    let semantics = read("SEMANTICS.md");
    let promises = semantics
        .lines()
        .filter(|line| line.starts_with("| "))
        .count();
    assert!(promises >= 12, "the table has {promises} rows");
    assert!(named_tests(&semantics).len() >= 80);
    let missing = missing_tests(&semantics, &tests);
    assert!(
        missing.is_empty(),
        "SEMANTICS.md names tests that are not there, by line:\n{}",
        missing.join("\n")
    );
}

#[test]
fn files_that_documents_name_are_there() {
    let all = paths("");
    let documents = all.iter().filter(|path| {
        // Those speak of files of other projects, or of names at AWS that look like paths.
        let others = ["bench/README.md", "docs/ALTERNATIVES.md", "docs/RUNBOOK.md"];
        path.ends_with(".md") && !others.contains(&path.as_str())
    });
    let mut missing = Vec::new();
    let mut read_any = false;
    for document in documents {
        read_any = true;
        let text = read(document);
        let gone = missing_paths(&text, &all).into_iter();
        missing.extend(gone.map(|path| format!("{document}:{path}")));
    }
    assert!(read_any);
    assert!(
        missing.is_empty(),
        "these are not there:\n{}",
        missing.join("\n")
    );
}

mod checker {
    use super::*;

    #[test]
    fn a_fact_that_nothing_holds_is_told_with_its_line() {
        let head = "| fact | where | source | certainty | held by |\n|---|---|---|---|---|\n";
        let rows = [
            "| a | `a.rs` | a page | model | `one_here` and `acceptance: asked` |",
            "| b | `a.rs` | a page | model | `gone_*` |",
            "| c | `a.rs` | a page | captured | `acceptance: unasked` |",
            "| d | `a.rs` | a page | surely | `one_here` |",
            "| e | `a.rs` |  | model | nothing |",
            "| f | `a.rs` | model | `one_here` |",
        ];
        let facts = format!(
            "| column | says |\n|---|---|\n| x | y |\n\n{head}{}",
            rows.join("\n")
        );
        let tests = BTreeSet::from(["one_here".to_owned()]);
        let asked = questions("| question | answer |\n|---|---|\n| `asked` | not yet run |\n");
        assert_eq!(
            wrong_facts(&facts, &tests, &asked),
            [
                "8: held by gone_*, which is not there",
                "9: held by acceptance: unasked, which is not there",
                "10: certainty \"surely\"",
                "11: no place in the code, or no source",
                "11: held by nothing",
                "12: 4 columns",
            ]
        );
    }

    #[test]
    fn a_path_that_is_not_there_is_told_with_its_line() {
        let all = ["a", "a/b.rs", "a/c.rs", "docs", "docs/x.md"].map(str::to_owned);
        let text = "`a/b.rs` and `b.rs`, `a/{b,c}.rs`, `a/`, `…/c.rs`, `docs/*.md`\n\
                    `a/gone.rs`, `gone.md`, `a/{b,d}.rs`, `gone/`, `docs/*.svg`\n\
                    `--flag`, `a | b`, `1/2`, `https://a/b`, `target/x`, `P`\n\
                    ```\n`in/code.rs`\n```\n";
        assert_eq!(
            missing_paths(text, &all),
            [
                "2: a/gone.rs",
                "2: gone.md",
                "2: a/d.rs",
                "2: gone/",
                "2: docs/*.svg"
            ]
        );
    }

    #[test]
    fn a_test_that_is_not_there_is_told_with_its_line() {
        let code =
            "#[test] fn one_here() {} #[tokio::test(start_paused = true)] async fn two_here() {}
                    proptest! { #[test] fn three_here(x: u8) {} } fn no_test() {}
                    #[test] #[ignore = \"slow\"] fn four_here() {} #[cfg(test)] mod tests {}
                    fn neither_this() {}";
        let mut tests = BTreeSet::new();
        tests_in(code.parse().unwrap(), &mut tests);
        let table = "| promise | what | tests |\n|---|---|---|\n\
                     | x | `max_wcu` | `one_here`, `two_here` (core), `three_*`, `four_here` |\n\
                     | y | z | `no_test`, `gone_*`, `neither_this`, `Type` (core) |\n";
        assert_eq!(
            missing_tests(table, &tests),
            ["4: no_test", "4: gone_*", "4: neither_this"]
        );
    }
}
