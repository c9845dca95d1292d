//! Input, credentials and endpoints that are refused before anything is written.

use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;

use crate::stuff::{RUN, all};

/// Arguments of `run`, and what is said of them.
const BAD_INPUT: &[(&[&str], &[&str])] = &[
    (&["--set", "test=1"], &["table:"]),
    (&["--table", "stuff"], &["set:"]),
    (&["--table", "stuff", "--set", "test"], &["set:", "test=1"]),
    (
        &["--table", "stuff", "--set", "test=abc"],
        &["set.test:", "JSON"],
    ),
    (&["--table", "stuff", "--set", "test=1e999"], &["set.test:"]),
    (
        &["--table", "stuff", "--set-typed", r#"test={"SS":[]}"#],
        &["set.test:", "empty"],
    ),
    (
        &["--table", "stuff", "--set", "id=1"],
        &["set:", "key attribute"],
    ),
    (
        &[
            "--table",
            "stuff",
            "--set",
            "test=1",
            "--set-typed",
            r#"test={"N":"2"}"#,
        ],
        &["set-typed:", "twice"],
    ),
    (
        &[
            "--table",
            "stuff",
            "--pending",
            "attribute_not_exists(#a)",
            "--update",
            "SET #a = :v",
            "--value",
            ":v=1",
            "--name",
            "#a=good",
            "--name",
            "#a=wrong",
        ],
        &["name: #a is given twice"],
    ),
    (
        &["--table", "stuff", "--set", "test=1", "--segments", "0"],
        &["segments: expected 1 to 1000000"],
    ),
    (
        &[
            "--table",
            "stuff",
            "--set",
            "test=1",
            "--segments",
            "1000001",
        ],
        &["segments: expected 1 to 1000000"],
    ),
    (
        &["--table", "stuff", "--set", "test=1", "--time-box", "0s"],
        &["time-box: expected 1 to 840"],
    ),
    (
        &["--table", "stuff", "--set", "test=1", "--time-box", "soon"],
        &["time-box:"],
    ),
    (
        &["--table", "stuff", "--set", "test=1", "--run-id", "a b"],
        &["run-id:"],
    ),
    (
        &[
            "--table",
            "stuff",
            "--pending",
            "a = :x) OR (b = :x",
            "--update",
            "SET a = :x",
            "--value",
            ":x=1",
        ],
        &["pending:", "parenthesis"],
    ),
    (
        &[
            "--table",
            "stuff",
            "--pending",
            "a = :x",
            "--update",
            "SET a = :y",
            "--value",
            ":y=1",
        ],
        &["value:", ":x"],
    ),
    (
        &["--table", "stuff", "--spec", "no-such-file.json"],
        &["spec:", "no-such-file.json"],
    ),
    (
        &["--table", "stuff", "--set", "test=1", "--unknown"],
        &["--unknown"],
    ),
];

/// Bad input: exit code 2, the field named, and nothing written anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_before_anything_is_written() {
    let database = Embedded::with_stuff(20).await;
    let before = all(&database).await;
    let refused = |arguments: &[&str], expected: &[&str]| {
        let ended = Ended::run(database.backfill("run --json").args(arguments)).expect_code(2);
        for words in expected {
            assert!(
                ended.stderr.contains(words),
                "{arguments:?}: {words}: {}",
                ended.stderr
            );
        }
        assert_eq!(ended.stdout, "", "{arguments:?}");
    };
    for (arguments, expected) in BAD_INPUT {
        refused(arguments, expected);
    }
    let place = format!("{} (region us-east-1)", database.endpoint);
    refused(
        &["--table", "missing", "--set", "test=1"],
        &["table:", "missing", &place],
    );
    assert_eq!(
        database.table_names().await,
        ["stuff"],
        "no checkpoint table was made"
    );
    assert_eq!(all(&database).await, before);
}

/// DynamoDB's own message on an expression is passed on, and no item is touched.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_expressions_are_refused_with_dynamodbs_message() {
    let database = Embedded::with_stuff(20).await;
    let before = all(&database).await;
    for (pending, update, message) in [
        ("attribute_not_exists(", "SET a = b", "parenthesis"),
        ("nonsense here", "SET a = b", "Invalid FilterExpression"),
        (
            "attribute_not_exists(test)",
            "SET test = = :v",
            "expected a value",
        ),
        (
            "attribute_not_exists(test)",
            "SET test = :v, test.a = :v",
            "Invalid UpdateExpression",
        ),
    ] {
        let ended = Ended::run(
            database
                .backfill("run --table stuff")
                .args(["--pending", pending, "--update", update])
                .args(if update.contains(":v") {
                    &["--value", ":v=1"][..]
                } else {
                    &[]
                }),
        )
        .expect_code(2);
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
    }
    assert_eq!(all(&database).await, before);
}

/// No such stack can be deployed: the template calls its functions after the stack.
#[test]
fn stacks_with_names_too_long_for_lambda_are_refused() {
    let long = "s".repeat(56);
    for command in ["start", "plan"] {
        let command = [command, "--table", "stuff", "--set", "test=1"];
        let ended = Ended::run(&mut backfill(
            [&command[..], &["--stack-name", &long]].concat(),
        ));
        let ended = ended.expect_code(2);
        let why = "expected at most 55 characters, got 56";
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
}

/// Without an endpoint the command would go to AWS, and is refused before it asks anybody.
#[test]
fn missing_credentials_and_regions_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let nobody = format!("http://127.0.0.1:{}", backfill_e2e::command::free_port());
    let command = || {
        let mut command = backfill(RUN.split(' '));
        command.env("HOME", home.path());
        command
    };
    let ended = Ended::run(
        command()
            .env("AWS_REGION", "us-east-1")
            .env_remove("AWS_ACCESS_KEY_ID"),
    )
    .expect_code(2);
    assert!(ended.stderr.contains("credentials:"), "{}", ended.stderr);
    let ended = Ended::run(command().env_remove("AWS_REGION")).expect_code(2);
    assert!(ended.stderr.contains("region:"), "{}", ended.stderr);
    let ended = Ended::run(
        command()
            .env_remove("AWS_REGION")
            // Nobody is at the metadata service either, and what the SDK has to say of that is not for the operator.
            .env_remove("AWS_EC2_METADATA_DISABLED")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &nobody)
            .args(["--profile", "nobody"]),
    )
    .expect_code(2);
    assert!(
        ended.stderr.starts_with("error: region:"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("profile nobody"), "{}", ended.stderr);
}

/// An endpoint where nobody answers: exit code 1 after a few tries, with the cause.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_endpoint() {
    let port = backfill_e2e::command::free_port();
    let url = format!("http://127.0.0.1:{port}");
    let ended = Ended::run(backfill(RUN.split(' ')).args(["--endpoint-url", &url])).expect_code(1);
    assert!(ended.stderr.contains(&url), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("refuses connections"),
        "{}",
        ended.stderr
    );
}

/// Bad rates are refused, by field; that of a run which has ended holds when it is started again.
#[tokio::test(flavor = "multi_thread")]
async fn rates_that_cannot_be_are_refused() {
    let database = Embedded::with_stuff(10).await;
    let run = |arguments: String| Ended::run(&mut database.backfill(&arguments));
    run(format!("{RUN} --run-id mine")).expect_code(0);
    run("rate --run-id mine --max-wcu 5".into()).expect_code(0);
    let again = run(format!("{RUN} --run-id mine")).expect_code(0);
    assert_eq!(again.json()["max_wcu"], 5);
    let without = run(format!("{RUN} --run-id mine --max-wcu none")).expect_code(0);
    assert!(without.json()["max_wcu"].is_null(), "{without:?}");
    for (arguments, words) in [
        ("--run-id other --max-wcu 5", "there is no run other"),
        ("--run-id mine --max-wcu 0", "max-wcu:"),
        ("--run-id mine --max-rcu fast", "max-rcu:"),
        ("--run-id mine", "--max-wcu"),
    ] {
        let refused = run(format!("rate {arguments}")).expect_code(2);
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
}
