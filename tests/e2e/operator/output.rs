//! What becomes of the work if nobody takes what it prints: a closed pipe, a full one, a terminal that has stopped or is gone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write as _, pipe};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backfill_e2e::command::{AtWork, Ended, backfill_as_typed, binary, root};
use backfill_e2e::database::Embedded;
use backfill_e2e::terminal::Terminal;
use serde_json::Value as Json;

use crate::screens::assert_is_of;

/// So many that the run below takes minutes.
const ITEMS: u64 = 3000;
const RUN: &str = "run --table stuff --set test=1 --run-id seen --json";
const SLOWLY: &str = "run --table stuff --set test=1 --run-id seen --max-wcu 20 --json";

/// Longer than any of these takes, and far less than a run.
const PATIENCE: Duration = Duration::from_secs(60);

fn status(database: &Embedded) -> Option<Json> {
    let status = Ended::run(&mut database.backfill("status --run-id seen --json"));
    (status.code == 0).then(|| status.json())
}

/// Waits until the run is going on, or going on again, and has updated something.
async fn is_at_work(database: &Embedded) {
    let deadline = Instant::now() + PATIENCE;
    let is = |status: Json| status["status"] == "running" && status["updated"] != 0;
    while !status(database).is_some_and(is) {
        assert!(Instant::now() < deadline, "no progress");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A pipe that takes nothing more, as long as nobody reads it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    // What a pipe of Linux takes.
    writer.write_all(&[b'.'; 64 * 1024]).unwrap();
    (reader, writer)
}

/// A pipe that nobody reads any more.
fn broken_pipe() -> PipeWriter {
    pipe().unwrap().1
}

fn full_disk() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// The command by way of a shell, with this behind it.
fn redirected(command: &Command, redirection: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("exec \"$0\" \"$@\" {redirection}"))
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

/// A run to its end, as each of these shows it.
async fn ends_well(database: &Embedded, command: Command, what: &str) {
    let ended = tokio::time::timeout(PATIENCE, AtWork::start(command).end()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{what}: the run stands still"));
    assert_eq!(ended.code, 0, "{what}: {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{what}: {ended:?}");
    let status = status(database).unwrap();
    assert_eq!(status["status"], "succeeded", "{what}");
    assert_eq!(status["remaining"], 0, "{what}");
}

/// honest-end: a run that nobody listens to goes on to its end, and says so by its result and exit code.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_whatever_becomes_of_stderr() {
    let database = Embedded::with_stuff(300).await;
    let run = |n: u32| {
        database.backfill(
            &RUN.replace("test=1", &format!("test{n}=1"))
                .replace("seen", "seen --fresh"),
        )
    };
    let (full, kept_open) = full_pipe();
    let ways: [(&str, Stdio); 3] = [
        ("a broken pipe", broken_pipe().into()),
        ("a full disk", full_disk().into()),
        ("a full pipe", kept_open.into()),
    ];
    for (n, (what, stderr)) in (0..).zip(ways) {
        let mut command = run(n);
        // Far more than a pipe takes.
        command.env("RUST_LOG", "debug").stderr(stderr);
        ends_well(&database, command, what).await;
    }
    drop(full);
    ends_well(&database, redirected(&run(4), "2>&-"), "closed").await;
    ends_well(&database, redirected(&run(5), ">&- 2>&-"), "both closed").await;
}

/// A signal ends a run at its checkpoints also while its output stands still; so does a terminal that goes away.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_signal_while_output_stands_still() {
    let database = Embedded::with_stuff(ITEMS).await;
    let (_full, kept_open) = full_pipe();
    for name in ["TERM", "INT", "HUP"] {
        let mut command = database.backfill(SLOWLY);
        command.env("RUST_LOG", "debug");
        command.stderr(kept_open.try_clone().unwrap());
        let run = AtWork::start(command);
        is_at_work(&database).await;
        run.signal(name);
        let ended = tokio::time::timeout(PATIENCE, run.end()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{name} does not end it"));
        assert_eq!(ended.code, 4, "{name}: {ended:?}");
        let result = ended.json();
        assert_eq!(result["status"], "paused", "{name}");
        assert_eq!(status(&database).unwrap()["status"], "paused", "{name}");
    }
    // ctrl-S, on a terminal; and one that is closed.
    for way in ["TERM", "gone"] {
        let mut terminal = Terminal::start(&database.backfill(SLOWLY), 100, 30);
        terminal.shows("pass 1 [").await;
        terminal.types("\x13");
        is_at_work(&database).await;
        match way {
            "gone" => terminal.hang_up(),
            name => terminal.signal(name),
        }
        let (code, stdout) = terminal.end().await;
        let result: Json = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, &result["status"]), (4, &"paused".into()), "{way}");
        assert_eq!(status(&database).unwrap()["status"], "paused", "{way}");
    }
}

/// SIGHUP that is ignored from the start, as `nohup` makes it, stays ignored.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_stays_ignored_if_it_was() {
    let database = Embedded::with_stuff(ITEMS).await;
    let mut command = Command::new("nohup");
    let run = database.backfill(SLOWLY);
    command.arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = AtWork::start(command);
    is_at_work(&database).await;
    run.signal("HUP");
    let before = status(&database).unwrap()["updated"].clone();
    let deadline = Instant::now() + PATIENCE;
    while status(&database).unwrap()["updated"] == before {
        assert!(Instant::now() < deadline, "it does not go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run.signal("TERM");
    assert_eq!(run.end().await.expect_code(4).json()["status"], "paused");
}

/// A view that nobody sees has nothing to go on for.
#[tokio::test(flavor = "multi_thread")]
async fn watching_ends_if_nobody_sees_it() {
    let database = Embedded::with_stuff(ITEMS).await;
    let run = AtWork::start(database.backfill(SLOWLY));
    is_at_work(&database).await;
    let mut watch = database.backfill("watch --run-id seen");
    watch.stderr(broken_pipe());
    let ended = tokio::time::timeout(PATIENCE, AtWork::start(watch).end()).await;
    assert_eq!(ended.expect("it goes on and on").code, 4);
    run.signal("TERM");
    assert_eq!(run.end().await.code, 4);
}

/// What stdout does not take is told by the exit code; somebody who has read enough is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_stdout_does_not_take_is_told_by_the_exit_code() {
    let database = Embedded::with_stuff(100).await;
    Ended::run(&mut database.backfill(RUN)).expect_code(0);
    let results = [
        "status --run-id seen --json",
        "status --run-id seen",
        "run --table stuff --set test=1 --run-id seen --json",
        "verify --table stuff --set test=1 --json",
        "plan --table stuff --set test=1",
        "plan --table stuff --set test=1 --json",
        "table scan --table stuff",
        "table describe --table stuff",
        "report --run-id seen --out -",
    ];
    let texts = [
        "--help",
        "run --help",
        "--version",
        "man",
        "completions bash",
        "schema spec",
    ];
    let own = texts.map(|text| backfill_as_typed(text.split(' ')));
    let commands = results
        .map(|result| database.backfill(result))
        .into_iter()
        .chain(own);
    for mut command in commands {
        let what = format!("{:?}", command.get_args().next());
        let ended = Ended::run(command.stdout(broken_pipe())).expect_code(0);
        assert!(!ended.stderr.contains("panicked"), "{what}: {ended:?}");
        let ended = Ended::run(command.stdout(full_disk())).expect_code(1);
        assert!(
            ended.stderr.contains("cannot print on stdout"),
            "{what}: {ended:?}"
        );
    }
}

/// What `verify` prints for programs is what its schema says: of a whole table, of a sample, and of one that was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn verifications_are_as_their_schema_says() {
    let database = Embedded::with_stuff(500).await;
    let schema = Ended::run(&mut backfill_as_typed(["schema", "verify"])).expect_code(0);
    let schema = schema.json();
    let listed: BTreeSet<&str> = (schema["properties"].as_object().unwrap())
        .keys()
        .map(String::as_str)
        .collect();
    let required = schema["required"].as_array().unwrap().iter();
    assert_eq!(listed, required.filter_map(Json::as_str).collect());
    for (flags, code) in [("", 3), ("--sample 5%", 3)] {
        let verify = format!("verify --table stuff --set test=1 --json {flags}");
        let result = Ended::run(&mut database.backfill(&verify)).expect_code(code);
        assert_is_of(&result.json(), &schema, &schema, "verify");
    }
    let slowly = "verify --table stuff --set test=1 --sample 50% --max-rcu 1 --json";
    let sample = AtWork::start(database.backfill(slowly));
    tokio::time::sleep(Duration::from_secs(2)).await;
    sample.signal("TERM");
    let result = sample.end().await.expect_code(4).json();
    assert_is_of(&result, &schema, &schema, "verify");
}

/// The environment of a command, and a shell in it, as a person has it on a terminal; stdout is the terminal, too.
fn shell_as_for(command: &Command, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "cd \"$0\" && PS1='> ' exec bash --norc --noprofile -i >&2",
        folder.to_str().unwrap(),
    ]);
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let programs = binary().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    shell
        .env("HISTFILE", "")
        .env("PATH", format!("{programs}:{path}"));
    shell
}

/// ctrl-C ends `tee`, too. What the run says after it still gets into the log, and to the terminal.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_summary_in_the_log_of_tee() {
    let database = Embedded::with_stuff(ITEMS).await;
    let folder = tempfile::tempdir().unwrap();
    let run = database.backfill(SLOWLY.trim_end_matches(" --json"));
    let arguments = run.get_args().map(|argument| argument.to_str().unwrap());
    let typed = ["backfill"]
        .into_iter()
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ");
    let mut terminal = Terminal::start(&shell_as_for(&run, folder.path()), 200, 50);
    terminal.shows("> ").await;
    terminal.types(&format!("{typed} 2>&1 | tee log\r"));
    terminal.shows("pass 1: ").await;
    is_at_work(&database).await;
    terminal.types("\x03");
    terminal
        .shows("to resume, run the same command again")
        .await;
    terminal.types("echo run ${PIPESTATUS[0]}, tee ${PIPESTATUS[1]}\r");
    // 130: it has ended by SIGINT.
    terminal.shows("run 4, tee 130").await;
    terminal.types("exit\r");
    terminal.end().await;
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let parts = [
        "pass 1: ",
        "stopping at the next checkpoint",
        "run seen on table stuff: paused",
        "to resume, run the same command again",
    ];
    let places: Vec<_> = parts.iter().map(|part| log.find(part)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{log}"
    );
}

/// The line of the document, as it stands there, outlives its terminal.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_nohup_outlives_its_terminal() {
    let document = std::fs::read_to_string(root().join("docs/operate.md")).unwrap();
    let typed = (document.lines())
        .find(|line| line.starts_with("nohup backfill run "))
        .expect("the line of the document");
    let database = Embedded::with_stuff(1000).await;
    let folder = tempfile::tempdir().unwrap();
    let mut shell = shell_as_for(&database.backfill("status"), folder.path());
    shell.env("AWS_ENDPOINT_URL", &database.endpoint);
    let mut terminal = Terminal::start(&shell, 200, 50);
    terminal.shows("> ").await;
    terminal.types(&format!("{typed}\r"));
    let runs = || {
        let status = Ended::run(&mut database.backfill("status --json"));
        (status.code == 0).then(|| status.json()["status"].clone())
    };
    let deadline = Instant::now() + PATIENCE;
    while runs() != Some("running".into()) {
        assert!(Instant::now() < deadline, "{}", terminal.contents());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    terminal.hang_up();
    let (_, _) = terminal.end().await;
    // The shell has told its jobs.
    assert_eq!(runs(), Some("running".into()));
    while runs() != Some("succeeded".into()) {
        assert!(Instant::now() < deadline, "it does not go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let summary = "succeeded: nothing is pending any more";
    let log = folder.path().join("run.log");
    while !std::fs::read_to_string(&log).unwrap().contains(summary) {
        assert!(Instant::now() < deadline, "no summary in the log");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
