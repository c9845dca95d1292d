//! What is wrong with a connection before anything was asked for, and how each command says it.

use backfill_e2e::command::{Ended, backfill};

/// Every command that speaks to a service, so far that it would.
const COMMANDS: [&str; 22] = [
    "plan --table stuff --set test=1",
    "run --table stuff --set test=1",
    "verify --table stuff --set test=1",
    "start --table stuff --set test=1 --stack-name backfill",
    "status --run-id stuff-1",
    "status",
    "watch --run-id stuff-1",
    "rate --run-id stuff-1 --max-wcu 5",
    "pause --run-id stuff-1",
    "resume --run-id stuff-1",
    "cancel --run-id stuff-1",
    "rejected --run-id stuff-1",
    "report --run-id stuff-1",
    "table list",
    "table describe --table stuff",
    "table drop --table stuff",
    "table seed --table stuff",
    "table scan --table stuff",
    "table query --table stuff --key-condition id=:i --value :i=1",
    "item get --table stuff --key {\"id\":\"a\"}",
    "item put --table stuff --item {\"id\":\"a\"}",
    "item delete --table stuff --key {\"id\":\"a\"}",
];

/// One sentence, exit code 2, and never a panic (101).
#[track_caller]
fn assert_refused(ended: &Ended, begins: &str, what: &str) {
    assert_eq!(ended.code, 2, "{what}: {ended:#?}");
    let begins = format!("error: {begins}");
    assert!(ended.stderr.starts_with(&begins), "{what}: {ended:#?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{what}: {ended:#?}");
}

#[test]
fn an_endpoint_or_a_credential_that_cannot_be_is_refused_by_every_command() {
    for command in COMMANDS {
        let arguments = || command.split(' ');
        for url in ["", "127.0.0.1:8000"] {
            let mut given = backfill(arguments());
            given.args(["--endpoint-url", url]);
            let what = format!("{command} --endpoint-url {url:?}");
            assert_refused(
                &Ended::run(&mut given),
                "endpoint-url: expected the URL",
                &what,
            );
            let mut set = backfill(arguments());
            set.env("AWS_ENDPOINT_URL", url);
            let what = format!("AWS_ENDPOINT_URL={url} {command}");
            let begins = "AWS_ENDPOINT_URL: expected the URL";
            assert_refused(&Ended::run(&mut set), begins, &what);
        }
        let variables = [
            ("AWS_ACCESS_KEY_ID", "access key id"),
            ("AWS_SECRET_ACCESS_KEY", "secret access key"),
            ("AWS_SESSION_TOKEN", "session token"),
        ];
        for (variable, part) in variables {
            let mut broken = backfill(arguments());
            broken.env(variable, "te\nst");
            broken.args(["--endpoint-url", "http://127.0.0.1:9"]);
            let what = format!("{variable} {command}");
            let begins = format!("credentials: the {part} has");
            assert_refused(&Ended::run(&mut broken), &begins, &what);
        }
    }
}

/// The one of a service that is asked later is looked at as well.
#[test]
fn the_endpoint_of_another_service_is_refused_by_its_name() {
    let mut start = backfill("start --table stuff --set test=1 --stack-name backfill".split(' '));
    start.env("AWS_ENDPOINT_URL_SFN", "");
    assert_refused(
        &Ended::run(&mut start),
        "AWS_ENDPOINT_URL_SFN: expected",
        "start",
    );
}
