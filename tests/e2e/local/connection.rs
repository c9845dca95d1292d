//! What is wrong with a connection before anything was asked for, and how each command says it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backfill_e2e::command::{Ended, backfill, free_port};
use backfill_e2e::database::Embedded;
use backfill_e2e::stub::Stub;
use backfill_e2e::tls::Certificates;
use backfill_e2e::wire::{Call, Verdict};
use hyper::body::Bytes;

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
    "table drop --table stuff --confirm stuff",
    "table seed --table stuff --confirm stuff",
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
            given.args(["--endpoint-url", url]).env_remove("AWS_REGION");
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

/// Every command, all at once, with this endpoint: what each said, and after how long.
fn all_at_once(endpoint: &str) -> Vec<(&'static str, Ended, Duration)> {
    let run = |command: &'static str| {
        let mut process = backfill(command.split(' '));
        process.args(["--endpoint-url", endpoint]);
        let begin = Instant::now();
        let ended = Ended::run(&mut process);
        (command, ended, begin.elapsed())
    };
    std::thread::scope(|scope| {
        let each = COMMANDS.map(|command| scope.spawn(move || run(command)));
        each.map(|thread| thread.join().expect("the command ends"))
            .into()
    })
}

/// Somebody waits for each of these: whatever keeps the service from answering, it is said in a sentence, within ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_answer_is_said_within_ten_seconds() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let accepting = std::thread::spawn(move || {
        // Kept open, and never answered.
        let kept: Vec<_> = listener.incoming().take(200).collect();
        kept.len()
    });
    let login = Stub::start(|_| (200, None, "<html>Please log in</html>".into())).await;
    let login = login.endpoint.strip_prefix("http://").unwrap().to_owned();
    let closed = format!("127.0.0.1:{}", free_port());
    let cases = [
        (
            silent.clone(),
            format!("{silent} has taken the call and not answered in time"),
        ),
        (
            closed.clone(),
            format!("{closed} refuses connections, so nothing listens there"),
        ),
        // Without a network it is the connection that does not come about.
        ("nosuch.invalid".into(), "nosuch.invalid ".into()),
        (
            login.clone(),
            format!("{login} answers with HTML, status 200, so it is not the service"),
        ),
    ];
    let each = cases.map(|(host, said)| {
        let run = move || (all_at_once(&format!("http://{host}")), said);
        std::thread::spawn(run)
    });
    for thread in each {
        let (all, said) = thread.join().expect("the commands end");
        for (command, ended, took) in all {
            let stderr = &ended.stderr;
            assert_eq!(ended.code, 1, "{command}: {ended:#?}");
            // Step Functions is asked by the SDK, which keeps some of this to itself.
            let by_the_sdk = match command.starts_with("start ") {
                true => "Step Functions",
                false => &said,
            };
            let is_said = stderr.contains(&said) || stderr.contains(by_the_sdk);
            assert!(is_said, "{command}: {stderr}");
            let last = stderr.lines().last().unwrap_or_default();
            assert!(last.starts_with("error: "), "{command}: {stderr}");
            // With room for a machine that is busy; it was a minute.
            let limit = Duration::from_secs(20);
            assert!(took < limit, "{command}: {took:?}: {stderr}");
        }
    }
    drop(accepting);
}

/// A database on this machine needs neither region nor credentials, whatever is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_this_machine_needs_neither_region_nor_credentials() {
    let database = Embedded::with_stuff(20).await;
    let bare = |arguments: &str| {
        let mut command = database.backfill(arguments);
        for variable in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            command.env_remove(variable);
        }
        // One that cannot sign in is no better than none.
        command.env("AWS_CONFIG_FILE", "/nonexistent");
        Ended::run(&mut command)
    };
    for (arguments, code) in [
        ("plan --table stuff --set test=1 --json", 0),
        ("verify --table stuff --set test=1 --json", 3),
        ("run --table stuff --set test=1 --run-id bare --json", 0),
        ("status --run-id bare --json", 0),
    ] {
        let result = bare(arguments).expect_code(code).json();
        for field in ["region", "account"] {
            assert!(result[field].is_null(), "{arguments}: {result}");
            let fields = result.as_object().unwrap();
            assert!(fields.contains_key(field), "{arguments}: {result}");
        }
    }
    for arguments in [
        "watch --run-id bare --once",
        "report --run-id bare --out -",
        "rejected --run-id bare",
        "table list",
        "table scan --table stuff",
        "item get --table stuff --key {\"id\":\"a\",\"created\":1}",
    ] {
        let ended = bare(arguments);
        assert!(
            !ended.stderr.contains("region:") && !ended.stderr.contains("credentials"),
            "{ended:#?}"
        );
    }
}

/// Where a run is at work stands in everything that is said of it, for people as for programs.
#[tokio::test(flavor = "multi_thread")]
async fn region_and_account_stand_in_every_summary() {
    let database = Embedded::with_stuff(20).await;
    let line = database.line().await;
    // A name that is not of this machine: the proxy brings it there.
    let far = |arguments: &str, code: i32| {
        let mut command = backfill(arguments.split(' '));
        command
            .args(["--endpoint-url", "http://database.invalid"])
            .env("HTTP_PROXY", &line.endpoint)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCOUNT_ID", "111122223333");
        let ended = Ended::run(&mut command).expect_code(code);
        ended.stdout + &ended.stderr
    };
    for (arguments, code) in [
        ("plan --table stuff --set test=1", 0),
        ("plan --table stuff --set test=1 --json", 0),
        ("run --table stuff --set test=1 --dry-run", 3),
        ("verify --table stuff --set test=1", 3),
        ("verify --table stuff --set test=1 --json", 3),
        ("run --table stuff --set test=1 --run-id far", 0),
        ("status --run-id far", 0),
        ("status --run-id far --json", 0),
        ("report --run-id far --out -", 0),
        ("report --run-id far --out - --format markdown", 0),
        ("runs", 0),
        ("runs --json", 0),
        ("rejected --run-id far", 0),
        ("rejected --run-id far --json", 0),
    ] {
        let said = far(arguments, code);
        for part in ["eu-west-1", "111122223333", "database.invalid"] {
            assert!(said.contains(part), "{arguments}: no {part}: {said}");
        }
    }
    // A database of this machine has no account, and is named by its address.
    for (arguments, code) in [
        ("plan --table stuff --set near=1", 0),
        ("run --table stuff --set near=1 --dry-run", 3),
        ("run --table stuff --set near=1 --run-id near", 0),
        ("verify --table stuff --set near=1", 0),
        ("status --run-id near", 0),
        ("watch --run-id near", 0),
        ("rejected --run-id near", 0),
        ("runs", 0),
        ("report --run-id near --out - --format markdown", 0),
    ] {
        let ended = Ended::run(&mut database.backfill(arguments)).expect_code(code);
        let said = ended.stdout + &ended.stderr;
        let place = &database.endpoint["http://".len()..];
        assert!(said.contains(place), "{arguments}: {said}");
        assert!(!said.contains("account"), "{arguments}: {said}");
    }
    let result = "status --run-id near --json";
    let result = Ended::run(&mut database.backfill(result))
        .expect_code(0)
        .json();
    assert_eq!(result["endpoint"], database.endpoint, "{result}");
}

/// A verification reads no faster than it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn budget_of_a_verification() {
    let database = Embedded::with_stuff(400).await;
    let verify = |flags: &str| {
        let command = format!("verify --table stuff --set test=1 --segments 1 --json {flags}");
        let begin = Instant::now();
        let ended = Ended::run(&mut database.backfill(&command));
        (ended, begin.elapsed())
    };
    let (free, _) = verify("");
    let free = free.expect_code(3).json();
    let units = free["consumed_rcu"].as_f64().unwrap();
    let (bound, took) = verify("--max-rcu 5");
    let result = bound.expect_code(3).json();
    assert_eq!(
        (&result["remaining"], &result["scanned"]),
        (&free["remaining"], &free["scanned"])
    );
    // The first units are there at once: a twentieth of a second's, or what one item costs.
    let least = (units / 5.0 - 2.0).max(1.0);
    assert!(took.as_secs_f64() > least, "{units} units took {took:?}");
    let (refused, _) = verify("--max-rcu 0");
    let refused = refused.expect_code(2);
    assert!(
        refused.stderr.starts_with("error: max-rcu: "),
        "{refused:#?}"
    );
}

/// What fills the credentials from outside and never comes back: said after thirty seconds, and after three that it is waited for.
#[test]
fn a_credential_process_that_hangs_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[default]\ncredential_process = sleep 100\n").unwrap();
    let mut verify = backfill("verify --table stuff --set test=1 --region eu-west-1".split(' '));
    verify
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONFIG_FILE", &config);
    let begin = Instant::now();
    let ended = Ended::run(&mut verify).expect_code(2);
    assert!(
        ended.stderr.contains("waiting for the AWS credentials"),
        "{ended:#?}"
    );
    let error = ended.stderr.lines().last().unwrap();
    assert!(
        error.starts_with("error: credentials: whoever gives them"),
        "{error}"
    );
    assert!(begin.elapsed() < Duration::from_secs(60));
}

/// A key that a page ends with over and over ends the command, which names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_last_evaluated_key_that_repeats_is_an_error_that_names_it() {
    let database = Embedded::with_stuff(100).await;
    let line = database.line().await;
    let _tap = line.tap("stuff", async |call: Call| match call.start_key() {
        None if call.operation == "Scan" => Verdict::ShortPage(1),
        _ => Verdict::EmptyPage,
    });
    let mut verify = backfill("verify --table stuff --set test=1 --segments 1".split(' '));
    verify.args(["--endpoint-url", &line.endpoint]);
    let ended = Ended::run(&mut verify).expect_code(1);
    assert!(
        ended.stderr.contains("LastEvaluatedKey") && ended.stderr.contains("\"id\""),
        "{ended:#?}"
    );
}

/// One call that came with an expired token or too late is made again, whichever it is: on the table and on the records.
#[tokio::test(flavor = "multi_thread")]
async fn one_expired_token_and_one_request_timeout_do_not_end_a_run() {
    let database = Embedded::with_stuff(60).await;
    let line = database.line().await;
    let expired = Verdict::Refuse {
        code: "ExpiredTokenException",
        message: "The security token included in the request is expired",
    };
    for (n, verdict) in [expired, Verdict::Say(408, Bytes::new())]
        .into_iter()
        .enumerate()
    {
        let odd = Arc::<Mutex<BTreeSet<String>>>::default();
        // The first call of each kind.
        let hook = move |call: Call| {
            let is_first = odd.lock().unwrap().insert(call.operation.clone());
            let verdict = match is_first {
                true => verdict.clone(),
                false => Verdict::Forward,
            };
            async move { verdict }
        };
        let _target = line.tap("stuff", hook.clone());
        let _records = line.tap("backfill-checkpoints", hook);
        let run = format!("run --table stuff --set test{n}=1 --json");
        let mut run = backfill(run.split(' '));
        run.args(["--endpoint-url", &line.endpoint]);
        let result = Ended::run(&mut run).expect_code(0).json();
        assert_eq!(result["status"], "succeeded", "{result}");
    }
}

/// The certificates of `AWS_CA_BUNDLE` are trusted, and no others: whom they do not vouch for is not spoken to, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_the_environment_are_those_that_are_trusted() {
    let database = Embedded::with_stuff(20).await;
    let certificates = Certificates::make();
    let endpoint = certificates.before(&database.endpoint).await;
    let verify = |bundle: Option<&Path>| {
        let mut command = backfill("verify --table stuff --set test=1 --json".split(' '));
        command.args(["--endpoint-url", &endpoint]);
        let bundle = bundle.map(|file| ("AWS_CA_BUNDLE", file));
        Ended::run(command.envs(bundle))
    };
    let trusted = verify(Some(&certificates.authority)).expect_code(3);
    assert_eq!(trusted.json()["scanned"], 20);
    for bundle in [None, Some(certificates.other.as_path())] {
        let refused = verify(bundle).expect_code(1);
        let error = refused.stderr.lines().last().unwrap();
        for part in ["the TLS certificate of localhost:", "AWS_CA_BUNDLE"] {
            assert!(error.contains(part), "{bundle:?}: {error}");
        }
    }
    let key = verify(Some(&certificates.key));
    assert_refused(&key, "AWS_CA_BUNDLE: ", "a file without certificates");
}

/// A write of the run's record whose answer is lost meets with itself the next time. It is read before it is called removed, also
/// from an endpoint that does not bring along what it met with.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_write_of_the_run_record_is_read_again() {
    let database = Embedded::with_stuff(60).await;
    let line = database.line().await;
    let lost = Arc::<Mutex<BTreeMap<String, u32>>>::default();
    let seen = lost.clone();
    let _tap = line.tap("backfill-checkpoints", move |call: Call| {
        // Every revision of the record: the first answer is lost, and the next says no more than that the condition failed.
        let revision = &call.body["Item"]["revision"]["N"];
        let is_record = call.operation == "PutItem" && call.body["Item"]["record"]["S"] == "run";
        let verdict = match is_record {
            false => Verdict::Forward,
            true => {
                let mut seen = seen.lock().unwrap();
                let times = seen.entry(revision.to_string()).or_default();
                *times += 1;
                match times {
                    1 => Verdict::LoseReply,
                    _ => Verdict::Refuse {
                        code: "ConditionalCheckFailedException",
                        message: "The conditional request failed",
                    },
                }
            }
        };
        async move { verdict }
    });
    let mut run = backfill("run --table stuff --set test=1 --json".split(' '));
    run.args(["--endpoint-url", &line.endpoint]);
    let result = Ended::run(&mut run).expect_code(0).json();
    assert_eq!(
        (&result["status"], &result["updated"]),
        (&"succeeded".into(), &48.into())
    );
    let lost = lost.lock().unwrap();
    let again = lost.values().filter(|times| **times > 1).count();
    assert!(again > 1, "{lost:?}");
}

/// A proxy that the environment names is gone by, unless NO_PROXY takes the host out; one that cannot be gone by is refused by its
/// variable, and so is a file of certificates that cannot be read. What is on this machine is reached without a proxy.
#[tokio::test(flavor = "multi_thread")]
async fn proxies_and_certificates_of_the_environment_are_followed_or_refused() {
    let database = Embedded::with_stuff(20).await;
    let line = database.line().await;
    let verify = |url: &str, variables: &[(&str, &str)]| {
        let mut command = backfill("verify --table stuff --set test=1 --json".split(' '));
        command.args(["--endpoint-url", url]);
        Ended::run(command.envs(variables.iter().copied()))
    };
    let far = "http://database.invalid";
    let by_proxy = verify(far, &[("HTTP_PROXY", &line.endpoint)]).expect_code(3);
    assert_eq!(by_proxy.json()["scanned"], 20);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let near = verify(&database.endpoint, &[("HTTP_PROXY", &nobody)]).expect_code(3);
    assert_eq!(near.json()["scanned"], 20);
    let closed = verify(far, &[("HTTP_PROXY", &nobody)]).expect_code(1);
    assert!(
        closed.stderr.contains("the proxy 127.0.0.1:"),
        "{closed:#?}"
    );
    assert!(closed.stderr.contains("NO_PROXY"), "{closed:#?}");
    let without = [
        ("HTTP_PROXY", line.endpoint.as_str()),
        ("NO_PROXY", "database.invalid"),
    ];
    let without = verify(far, &without).expect_code(1);
    assert!(without.stderr.contains("database.invalid "), "{without:#?}");
    assert!(!without.stderr.contains("the proxy "), "{without:#?}");
    let stub = Stub::start(|_| (407, None, String::new())).await;
    let password = verify(far, &[("HTTP_PROXY", &stub.endpoint)]).expect_code(1);
    assert!(
        password.stderr.contains("asks for a user and a password"),
        "{password:#?}"
    );
    let tunnel = verify(
        "https://database.invalid",
        &[("HTTPS_PROXY", &stub.endpoint)],
    );
    let tunnel = tunnel.expect_code(1);
    assert!(
        tunnel.stderr.contains("asks for a user and a password"),
        "{tunnel:#?}"
    );
    for (variable, value) in [
        ("HTTPS_PROXY", "socks5://user:password@127.0.0.1:1080"),
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("AWS_CA_BUNDLE", "/nonexistent"),
    ] {
        let refused = verify("https://database.invalid", &[(variable, value)]);
        assert_refused(&refused, &format!("{variable}: "), variable);
        assert!(!refused.stderr.contains("password"), "{refused:#?}");
    }
}
