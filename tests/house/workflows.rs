//! The workflows: what has credentials runs nothing of this tree, and what runs it has none. zizmor checks the rest
//! (`make safety`).

use crate::tree::{paths, read};

/// Commands that run what is in the tree, or what it fetches.
const BUILDS: [&str; 7] = [
    "actions/checkout",
    "cargo",
    "rustup",
    "make ",
    "sam build",
    "tools/",
    ".ci/",
];

fn workflows() -> Vec<(String, String)> {
    let all = paths(".github/workflows").into_iter();
    let all: Vec<_> = all.map(|path| (path.clone(), read(&path))).collect();
    assert!(all.len() >= 5, "the workflows are not where they were");
    all
}

/// The jobs of a workflow with their names. A job's name is indented by two blanks, all that it holds by more.
fn jobs(text: &str) -> Vec<(String, String)> {
    let (_, jobs) = text.split_once("\njobs:\n").expect("a workflow has jobs");
    let mut found: Vec<(String, String)> = Vec::new();
    for line in jobs.lines() {
        match line
            .strip_prefix("  ")
            .and_then(|line| line.strip_suffix(':'))
        {
            Some(name) if !name.starts_with([' ', '#']) => {
                found.push((name.to_owned(), String::new()))
            }
            _ => {
                if let Some((_, text)) = found.last_mut() {
                    // What a comment says is not done.
                    text.push_str(line.split(" #").next().unwrap_or(line));
                    text.push('\n');
                }
            }
        }
    }
    found
}

/// The commit that an action is pinned to, and the version that stands beside it.
fn is_pinned(action: &str) -> bool {
    let Some((_, (commit, version))) = action
        .split_once('@')
        .and_then(|(name, rest)| Some((name, rest.split_once(" # v")?)))
    else {
        return false;
    };
    let is_hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    commit.len() == 40
        && commit.chars().all(is_hexadecimal)
        && version.split('.').count() == 3
        && version.split('.').all(|part| part.parse::<u32>().is_ok())
}

#[test]
fn actions_are_pinned_by_commit_with_their_version_beside_it() {
    for (path, text) in workflows() {
        for line in text.lines() {
            let line = line.trim_start().trim_start_matches("- ");
            let Some(action) = line.strip_prefix("uses: ") else {
                continue;
            };
            let is_ours = action.starts_with("$/.github/workflows/");
            assert!(
                is_ours || is_pinned(action),
                "{path}: {action} is not pinned"
            );
        }
    }
    assert!(!is_pinned("actions/checkout@v7"));
    assert!(!is_pinned(
        "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
    ));
}

#[test]
fn a_job_with_credentials_builds_nothing_and_waits_for_its_environment() {
    let mut with_credentials = Vec::new();
    for (path, text) in workflows() {
        let (head, _) = text.split_once("\njobs:\n").expect("a workflow has jobs");
        assert!(
            head.contains("\npermissions: {}\n"),
            "{path}: a job has the permissions that it names, and no others"
        );
        for (name, job) in jobs(&text) {
            assert!(
                job.contains("    permissions:\n"),
                "{path}: {name} names no permissions"
            );
            if !job.contains(": write") && !job.contains("secrets.") {
                assert!(
                    !job.contains("environment:"),
                    "{path}: {name} needs no environment"
                );
                continue;
            }
            assert!(
                job.contains("    environment: "),
                "{path}: {name} has no environment"
            );
            for build in BUILDS {
                assert!(
                    !job.contains(build),
                    "{path}: {name} has credentials and runs {build}"
                );
            }
            with_credentials.push(name);
        }
    }
    assert_eq!(with_credentials, ["deploy", "release"]);
}

#[test]
fn nothing_of_a_cache_gets_into_what_is_deployed() {
    for path in ["build.yml", "deploy.yml", "release.yml"] {
        let text = read(&format!(".github/workflows/{path}"));
        assert!(!text.contains("actions/cache"), "{path} takes from a cache");
    }
}

#[test]
fn the_role_trusts_one_environment_of_one_repository() {
    let bootstrap = read("deploy/bootstrap.yaml");
    let trust = [
        "              StringEquals:",
        "                token.actions.githubusercontent.com:aud: sts.amazonaws.com",
        "                token.actions.githubusercontent.com:sub: !Sub repo:${Repository}:environment:${Environment}",
    ];
    assert_eq!(bootstrap.matches(&trust.join("\n")).count(), 1);
    assert_eq!(
        bootstrap.matches("sts:AssumeRoleWithWebIdentity").count(),
        1
    );
    // Neither of the two may be a pattern.
    let pattern = "    AllowedPattern: \"[A-Za-z0-9._-]+(@[0-9]+)?/[A-Za-z0-9._-]+(@[0-9]+)?\"\n";
    assert!(bootstrap.contains(&format!("  Repository:\n    Type: String\n{pattern}")));
    let environment = "  Environment:\n    Type: String\n    Default: production\n    AllowedPattern: \"[A-Za-z0-9._-]+\"\n";
    assert!(bootstrap.contains(environment));
    let deploy = read(".github/workflows/deploy.yml");
    assert!(
        deploy.contains("    environment: production\n"),
        "another environment deploys"
    );
}
