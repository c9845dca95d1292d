//! The acceptance run (`acceptance/`), against a stand-in: what it refuses, that it gets through its questions, and that it
//! leaves nothing behind, however it ends.

use std::collections::BTreeSet;
use std::process::Command;

use backfill_e2e::aws::{Bare, Running, eventually};
use backfill_e2e::command::{self, Ended, binary};
use serde_json::{Value as Json, json};

/// Questions that a stand-in answers as the service is expected to.
const CARRIED: [&str; 10] = [
    "lone-check",
    "stable-segments",
    "batch-latency",
    "large-batches",
    "deployment",
    "full-run",
    "stop",
    "deployment-mid-run",
    "denied-writes",
    "customer-keys",
];

/// A run of this many items with the command of this build.
fn asking(more: &str) -> String {
    let command = binary();
    let command = command.display();
    format!("--region us-east-1 --items 300 --command {command} {more}")
}

/// Runs it to its end; its stderr is shown if the test fails.
fn run(mut command: Command) -> Ended {
    let ended = Ended::run(&mut command);
    eprintln!("{}", ended.stderr);
    ended
}

/// It ended before anything was made, and said why.
#[track_caller]
fn assert_refused(command: Command, words: &[&str]) {
    let ended = run(command).expect_code(2);
    assert_eq!(ended.stdout, "");
    for words in words {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

/// An account that is not on the list, a region that is not named, and an estimate above the limit: nothing is made.
#[test]
fn what_nobody_has_allowed_is_refused() {
    let aws = Bare::start("acceptance-refused");
    // ministack's account is the access key, if that has 12 digits. Without --endpoint-url this is as on AWS.
    let elsewhere = |arguments: &str| {
        let mut command = aws.acceptance_elsewhere(arguments);
        command
            .env("AWS_ENDPOINT_URL", &aws.endpoint)
            .env("AWS_ACCESS_KEY_ID", "210987654321")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        command
    };
    assert_refused(
        elsewhere(&asking("--account 123456789012 --limit 0.01")),
        &["210987654321", "not on the list of sandbox accounts"],
    );
    assert_refused(
        elsewhere(&asking("--limit 0.01")),
        &["no account is allowed"],
    );
    // The same account, named: only the next rule stops it.
    assert_refused(
        elsewhere(&asking("--account 210987654321 --limit 0.01")),
        &["limit: the estimate is", "the limit is 0.0100 USD"],
    );
    assert_refused(
        elsewhere(&asking("--account 210987654321 --limit 1.5")),
        &["at most 1.00 USD"],
    );
    let mut nowhere = elsewhere("--account 210987654321");
    nowhere.env("AWS_REGION", "us-east-1");
    nowhere.env("AWS_DEFAULT_REGION", "us-east-1");
    assert_refused(nowhere, &["region: expected the name of one"]);
    let mut far = aws.acceptance_elsewhere(&asking(""));
    far.args(["--endpoint-url", "http://192.0.2.1:4566"]);
    assert_refused(far, &["expected a stand-in on this machine"]);
    let mut into_results = aws.acceptance(&asking(""));
    into_results
        .arg("--results")
        .arg(command::root().join("acceptance/RESULTS.md"));
    assert_refused(into_results, &["do not go into RESULTS.md"]);
    assert_eq!(aws.everything(), BTreeSet::new());
}

/// What a run has told of itself.
#[track_caller]
fn assert_verdicts(told: &Json, expected: &[(&str, &str)]) {
    let expected: Json = expected
        .iter()
        .map(|(name, verdict)| ((*name).to_owned(), json!(verdict)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let file = told["results"].as_str().expect("a path");
    let written = std::fs::read_to_string(file).expect("answers");
    assert_eq!(told["verdicts"], expected, "{written}");
    for (name, verdict) in expected.as_object().into_iter().flatten() {
        let row = format!("| `{name}` | ");
        let row = written.lines().find(|line| line.starts_with(&row));
        let verdict = verdict.as_str().expect("text");
        assert!(row.is_some_and(|row| row.contains(verdict)), "{row:?}");
        assert!(written.contains(&format!("\n### {name}\n\n- ")), "{name}");
    }
    let account = "000000000000";
    let run = told["run"].as_str().expect("a name");
    for secret in [account, "arn:aws", run] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
}

/// Every question that a stand-in can carry is answered as the service is expected to answer it, `messages` by all that the
/// others have brought about; and nothing stays behind.
#[test]
fn a_stand_in_answers_what_it_can() {
    let aws = Bare::start("acceptance");
    let results = command::root().join("acceptance/RESULTS.md");
    let before = std::fs::read_to_string(&results).expect("there are results");
    let ended = run(aws.acceptance(&asking(""))).expect_code(0);
    let told = ended.json();
    let mut expected: Vec<_> = CARRIED.map(|name| (name, "as expected")).into();
    expected.push(("messages", "as expected"));
    assert_verdicts(&told, &expected);
    assert_eq!(told["left"], json!([]));
    assert_eq!(aws.everything(), BTreeSet::new());
    assert_eq!(std::fs::read_to_string(&results).unwrap(), before);
    let usd = |field: &str| told[field].as_f64().expect("an amount");
    assert!(
        usd("counted_usd") > 0.0 && usd("counted_usd") < usd("estimated_usd"),
        "{told}"
    );
}

/// What only the service can answer gets through as well, to another answer: no line of it runs for the first time in an
/// account that costs something. Redriving alone is unknown to the stand-in, and its failure stops no other.
#[test]
fn what_a_stand_in_cannot_answer_gets_to_a_verdict() {
    let aws = Bare::start("acceptance-others");
    let verdicts = [
        ("failed-statements", "differs"),
        ("index-violations", "differs"),
        ("connections", "as expected"),
        ("throttle-reasons", "differs"),
        ("batch-throttling", "undecided"),
        ("live-throttles", "as expected"),
        ("equal-languages", "differs"),
        ("consumed-units", "differs"),
        ("redrive", "no answer"),
        ("lambda-errors", "differs"),
        ("alarms", "differs"),
    ];
    let only = verdicts.map(|(name, _)| name).join(",");
    let ended = run(aws.acceptance(&asking(&format!("--only {only}")))).expect_code(1);
    let told = ended.json();
    assert_verdicts(&told, &verdicts);
    assert_eq!(told["left"], json!([]));
    assert_eq!(aws.everything(), BTreeSet::new());
}

/// A question that fails, ctrl-C, and a kill that nothing survives: the first two remove everything themselves, and `--clean`
/// does it after the third.
#[test]
fn nothing_stays_behind_however_it_ends() {
    let aws = Bare::start("acceptance-ends");
    let broken = "--region us-east-1 --items 50 --only full-run,denied-writes --command /bin/false";
    let ended = run(aws.acceptance(broken)).expect_code(1);
    let verdicts = [("full-run", "no answer"), ("denied-writes", "as expected")];
    assert_verdicts(&ended.json(), &verdicts);
    assert_eq!(aws.everything(), BTreeSet::new());

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let until_it_deploys = || {
        let mut command = aws.acceptance(&asking("--only full-run"));
        let running = Running::start(&mut command);
        runtime.block_on(eventually("the stack's functions", async || {
            let worker = |name: &String| name.ends_with("-worker");
            aws.everything().iter().any(worker).then_some(())
        }));
        running
    };
    let running = until_it_deploys();
    running.interrupt();
    let ended = runtime.block_on(running.end()).expect_code(130);
    let told = ended.json();
    assert_eq!(
        (&told["interrupted"], &told["left"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(told["verdicts"], json!({}));
    assert_eq!(aws.everything(), BTreeSet::new());

    // Dropped, it is killed; the programs that it has started are not.
    drop(until_it_deploys());
    assert_ne!(aws.everything(), BTreeSet::new());
    let cleaned = run(aws.acceptance("--region us-east-1 --clean"));
    cleaned.expect_code(0);
    assert_eq!(aws.everything(), BTreeSet::new());
}
