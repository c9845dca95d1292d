//! What people read: help, mistakes, completions, man pages, schemas. Snapshots are in `snapshots/`; after an intended change
//! `INSTA_UPDATE=always cargo test --workspace --test operator help::` writes them anew, for you to read in the diff.

use std::process::Command;

use backfill_e2e::command::{Ended, backfill, backfill_as_typed, binary, root};

const COMMANDS: [&str; 23] = [
    "init",
    "plan",
    "run",
    "verify",
    "guard",
    "start",
    "status",
    "watch",
    "rate",
    "pause",
    "resume",
    "cancel",
    "rejected",
    "runs",
    "report",
    "simulate",
    "demo",
    "sandbox",
    "table",
    "item",
    "completions",
    "man",
    "schema",
];

fn run(arguments: &str) -> Ended {
    Ended::run(&mut backfill(arguments.split_whitespace()))
}

#[test]
fn help_of_every_command() {
    let main = run("--help").expect_code(0).stdout;
    for command in COMMANDS {
        assert!(
            main.contains(&format!("\n  {command} ")),
            "{command}: {main}"
        );
        let help = run(&format!("{command} --help")).expect_code(0).stdout;
        assert!(help.contains("\nExample"), "{command} has no example");
        insta::assert_snapshot!(format!("help-{command}"), help);
    }
    insta::assert_snapshot!("help", main);
    // No command is left out above.
    let commands = main
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    assert_eq!(
        commands.lines().count(),
        COMMANDS.len() + 1,
        "and help: {commands}"
    );
}

/// A heading is one of the flags that belong to it, and a switch has no default to tell.
#[test]
fn flags_stand_under_the_heading_that_they_belong_to() {
    for (command, general) in [
        (
            "plan",
            &["--pages", "--stack-name", "--checkpoint-table", "--json"][..],
        ),
        (
            "run",
            &[
                "--checkpoint-table",
                "--dry-run",
                "--yes",
                "--json",
                "--watch",
            ],
        ),
        (
            "start",
            &["--stack-name", "--checkpoint-table", "--dry-run", "--yes"],
        ),
        ("table seed", &["--table", "--items", "--confirm"]),
    ] {
        let help = run(&format!("{command} --help")).expect_code(0).stdout;
        assert!(!help.contains("[default: false]"), "{help}");
        let options = help.split("\nOptions:\n").nth(1).unwrap();
        let options = options.split("\n\n").next().unwrap();
        for flag in general {
            assert!(
                options.contains(&format!("  {flag}")),
                "{command}: {flag}: {options}"
            );
        }
        let connection = help.split("\nConnection:\n").nth(1).unwrap();
        let connection = connection.split("\n\n").next().unwrap();
        assert_eq!(
            connection.matches("\n  ").count(),
            2,
            "three flags: {connection}"
        );
    }
}

/// A mistake is refused with exit code 2, and the answer says what to type.
#[test]
fn mistakes_are_answered_with_what_to_type() {
    for (name, arguments) in [
        ("typo-in-command", "rnu --table stuff"),
        ("typo-in-flag", "run --tabel stuff --set test=1"),
        ("no-table", "run --set test=1"),
        ("nothing-to-set", "run --table stuff"),
        ("text-without-quotes", "run --table stuff --set test=one"),
        (
            "no-update",
            "run --table stuff --pending attribute_not_exists(a)",
        ),
        (
            "too-many-segments",
            "run --table stuff --set test=1 --segments 1000001",
        ),
        (
            "odd-time-box",
            "run --table stuff --set test=1 --time-box soon",
        ),
        (
            "odd-writer",
            "run --table stuff --set test=1 --writer batches",
        ),
        ("no-spec-file", "run --spec no-such-file.json"),
        ("no-stack", "start --table stuff --set test=1"),
        ("odd-rate", "rate --run-id r --max-wcu 0"),
        ("no-run-id", "pause"),
        ("odd-run-id", "rejected --run-id a/b"),
        ("odd-schema", "schema specs"),
    ] {
        let refused = run(arguments).expect_code(2);
        assert_eq!(refused.stdout, "", "{arguments}");
        insta::assert_snapshot!(format!("mistake-{name}"), refused.stderr);
    }
}

/// Every command in the documents is one that can be typed: known, with flags and values that it takes.
#[test]
fn commands_in_the_documents_can_be_typed() {
    // In place of the command a function, which asks each for its help: that is given only if all before it is right.
    let script = format!(
        "backfill() {{ {:?} \"$@\" --help > /dev/null || echo \"refused: $*\"; }}\n",
        binary()
    );
    let mut typed = 0;
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/RUNBOOK.md",
        "docs/deploy.md",
        "docs/observe.md",
        "docs/GUARD.md",
        "docs/operate.md",
        "docs/permissions.md",
        "docs/rehearse.md",
        "docs/RECIPES.md",
        "docs/results.md",
        "docs/settings.md",
        "examples/README.md",
        "bench/README.md",
    ] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        // Every other part stands between fences.
        let blocks = text.split("```").skip(1).step_by(2);
        for command in blocks.flat_map(commands) {
            typed += 1;
            let run = Command::new("sh")
                .arg("-c")
                .arg(script.clone() + &command)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stdout).into_owned()
                + &String::from_utf8_lossy(&run.stderr);
            assert_eq!(said, "", "{document}: {command}");
        }
    }
    assert!(typed > 40, "only {typed} commands were found");
}

/// The commands of ours in a block, each with its further lines.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let ours = |line: &&str| line.trim_start().starts_with("backfill ");
    let without_prompt = |line: &str| line.trim_start_matches("$ ").to_owned();
    let lines: Vec<String> = joined.lines().map(without_prompt).collect();
    let lines = lines.iter().map(String::as_str);
    // Where its output goes is not tried.
    lines
        .filter(ours)
        .map(|line| {
            line.replace('…', "X")
                .split(" > ")
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// The help of a simulation offers nothing that it refuses.
#[test]
fn a_simulation_offers_nothing_that_it_refuses() {
    let help = run("simulate --help").expect_code(0).stdout;
    for (flag, value) in [
        ("--only-segments", "1"),
        ("--pause-after", "5"),
        ("--pause-when", "alarm"),
        ("--hours", "22:00-06:00"),
    ] {
        assert!(!help.contains(flag), "{flag}: {help}");
        let refused = run(&format!("simulate --items 10 {flag} {value}")).expect_code(2);
        let said = format!("error: {}: ", &flag[2..]);
        assert!(refused.stderr.starts_with(&said), "{refused:?}");
    }
}

/// Completions and man pages know every command; the schemas are JSON.
#[test]
fn completions_man_pages_and_schemas() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&format!("completions {shell}")).expect_code(0).stdout;
        assert!(script.contains("BACKFILL_COMPLETE"), "{shell}: {script}");
        let mut asked = backfill_as_typed(["--", "backfill", ""]);
        asked.envs([("BACKFILL_COMPLETE", shell), ("_CLAP_COMPLETE_INDEX", "1")]);
        let known = Ended::run(&mut asked).expect_code(0).stdout;
        for command in COMMANDS {
            assert!(known.contains(command), "{shell}: {command}: {known}");
        }
    }
    let page = run("man").expect_code(0).stdout;
    assert!(page.contains(".TH backfill 1"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    run(&format!("man --out {}", out.display())).expect_code(0);
    for command in COMMANDS {
        let page = std::fs::read_to_string(out.join(format!("backfill-{command}.1"))).unwrap();
        assert!(page.contains("Example"), "{command}");
    }
    for what in ["spec", "result", "plan", "runs", "verify"] {
        let schema = run(&format!("schema {what}")).expect_code(0).json();
        assert_eq!(schema["type"], "object");
    }
}
