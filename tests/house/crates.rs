//! What depends on what: the crates of the workspace, as Cargo reads their manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value as Json;

use crate::rules::{CRATES, Crate};
use crate::tree::root;

/// The crates below `crates/` and what each of them is built from, dependencies for tests aside.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

const PREFIX: &str = "backfill-";

fn dependencies() -> Dependencies {
    let output = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let ours = |name: &str| name.strip_prefix(PREFIX).map(str::to_owned);
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .filter(|package| text(&package["manifest_path"]).contains("/crates/"))
        .filter_map(|package| {
            let listed = package["dependencies"].as_array()?.iter();
            let built_from = listed
                .filter(|dependency| dependency["kind"] != "dev")
                .filter_map(|dependency| ours(&text(&dependency["name"])));
            Some((ours(&text(&package["name"]))?, built_from.collect()))
        })
        .collect()
}

/// Dependencies that no rule allows, crates without a rule, and rules without a crate.
fn not_allowed(rules: &[Crate], dependencies: &Dependencies) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, built_from) in dependencies {
        let Some(rule) = rules.iter().find(|rule| rule.name == name) else {
            wrong.push(format!("{name} has no rule in tests/house/rules.rs"));
            continue;
        };
        let stray = built_from
            .iter()
            .filter(|other| !rule.may_depend_on.contains(&other.as_str()));
        wrong.extend(stray.map(|other| format!("{name} must not depend on {other}")));
    }
    let gone = rules
        .iter()
        .filter(|rule| !dependencies.contains_key(rule.name));
    wrong.extend(gone.map(|rule| format!("{} has a rule and is not there", rule.name)));
    wrong
}

/// The ways by which a released crate is built from one that is not, such as `cli → simulation → testkit`.
fn ways_into_a_release(rules: &[Crate], dependencies: &Dependencies) -> Vec<String> {
    let is_released = |name: &str| rules.iter().any(|r| r.name == name && r.is_released);
    let mut open: Vec<Vec<&str>> = dependencies
        .keys()
        .filter(|name| is_released(name))
        .map(|name| vec![name.as_str()])
        .collect();
    let mut found = Vec::new();
    while let Some(way) = open.pop() {
        let last = way[way.len() - 1];
        if !is_released(last) {
            found.push(way.join(" → "));
            continue;
        }
        for next in dependencies.get(last).into_iter().flatten() {
            if !way.contains(&next.as_str()) {
                let mut longer = way.clone();
                longer.push(next);
                open.push(longer);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn crates_depend_on_what_they_may() {
    let wrong = not_allowed(CRATES, &dependencies());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_release_is_built_from_the_testkit() {
    let dependencies = dependencies();
    assert!(dependencies.contains_key("testkit"), "{dependencies:?}");
    assert!(dependencies["cli"].contains("core"), "{dependencies:?}");
    let ways = ways_into_a_release(CRATES, &dependencies);
    assert!(ways.is_empty(), "\n{}", ways.join("\n"));
}

mod checker {
    use super::*;

    fn made_up(crates: &[(&str, &[&str])]) -> Dependencies {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        crates
            .iter()
            .map(|&(name, built_from)| (name.to_owned(), owned(built_from)))
            .collect()
    }

    fn rule(name: &'static str, may: &'static [&'static str], is_released: bool) -> Crate {
        Crate {
            name,
            may_depend_on: may,
            is_released,
            layers: &[],
            never: &[],
            known_circles: &[],
        }
    }

    #[test]
    fn a_way_into_a_release_is_told() {
        let rules = [
            rule("cli", &["middle"], true),
            rule("middle", &["testkit"], true),
            rule("testkit", &[], false),
        ];
        let crates = made_up(&[
            ("cli", &["middle"]),
            ("middle", &["testkit"]),
            ("testkit", &[]),
        ]);
        assert_eq!(not_allowed(&rules, &crates), [""; 0]);
        assert_eq!(
            ways_into_a_release(&rules, &crates),
            ["cli → middle → testkit", "middle → testkit"]
        );
    }

    #[test]
    fn a_dependency_that_is_not_allowed_is_told() {
        let rules = [rule("cli", &[], true), rule("gone", &[], true)];
        let crates = made_up(&[("cli", &["core"]), ("core", &[])]);
        assert_eq!(
            not_allowed(&rules, &crates),
            [
                "cli must not depend on core",
                "core has no rule in tests/house/rules.rs",
                "gone has a rule and is not there"
            ]
        );
    }
}
