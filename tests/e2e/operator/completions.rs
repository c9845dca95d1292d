//! Completions that know names: in a real bash, and as the scripts of the other shells ask for them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backfill_e2e::command::{Ended, backfill_as_typed, binary, root};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::terminal::Terminal;

/// A database with two runs of two tables.
async fn database() -> Embedded {
    let database = Embedded::with_stuff(20).await;
    tables::create(&database.client, "other.stuff", tables::STUFF_KEYS).await;
    for (table, run_id) in [("stuff", "deed-1"), ("other.stuff", "else-2")] {
        let run = format!("run --table {table} --set test=1 --run-id {run_id}");
        let ended = end_of(database.backfill(&run)).await;
        assert!([0, 3].contains(&ended.code), "{ended:?}");
    }
    let file = root().join("examples/orders/table.json");
    let create = format!("table create --file {}", file.display());
    end_of(database.backfill(&create)).await.expect_code(0);
    database
}

async fn end_of(mut command: Command) -> Ended {
    tokio::task::spawn_blocking(move || Ended::run(&mut command))
        .await
        .unwrap()
}

/// What a script of this shell asks with these words, the last of which is to be completed.
fn asked(shell: &str, words: &str) -> Command {
    let words: Vec<&str> = words.split(' ').collect();
    let index = (words.len() - 1).to_string();
    let mut command = backfill_as_typed(["--"].iter().chain(&words));
    command.envs([
        ("BACKFILL_COMPLETE", shell),
        ("_CLAP_COMPLETE_INDEX", &index),
    ]);
    command
}

async fn names(shell: &str, words: &str) -> Vec<String> {
    let ended = end_of(asked(shell, words)).await.expect_code(0);
    assert_eq!(ended.stderr, "");
    ended.stdout.lines().map(str::to_owned).collect()
}

/// All that lies in the checkpoint table.
async fn records(database: &Embedded) -> String {
    let scan = end_of(database.backfill("table scan --table backfill-checkpoints")).await;
    scan.expect_code(0).stdout
}

/// Somebody types in bash and presses the tab key: the rest of the name stands there, though bash takes the address apart.
#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_names_of_runs_tables_and_indexes() {
    let database = database().await;
    let folder = binary().parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"])
        .env_clear()
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("TERM", "xterm")
        .env("PS1", "$ ")
        .stdin(Stdio::null());
    let mut terminal = Terminal::start_with_stdout(&bash, 120, 30);
    terminal
        .types("source <(backfill completions bash); bind 'set bell-style none'; echo rea''dy\r");
    terminal.shows("ready").await;
    let at = format!("--endpoint-url {}", database.endpoint);
    for (typed, completed) in [
        ("status --run-id de", "--run-id deed-1"),
        ("status --run-id=el", "--run-id=else-2"),
        ("verify --table oth", "--table other.stuff"),
        (
            "table scan --table orders --index Sta",
            "--index StatusDateIndex",
        ),
        ("table scan --table st", "--table stuff"),
    ] {
        let (command, rest) = typed.split_once(" --").unwrap();
        terminal.types(&format!("backfill {command} {at} --{rest}\t"));
        terminal.shows(completed).await;
        // Nothing is run.
        terminal.types("\u{15}\u{c}");
        terminal
            .until("an empty line", |contents| !contents.contains(completed))
            .await;
    }
    terminal.types("exit\r");
    terminal.end().await;
}

/// The scripts of the other shells get the same names, with the table of a run where the shell shows such a word; and nothing
/// has changed for that.
#[tokio::test(flavor = "multi_thread")]
async fn every_shell_is_told_names() {
    let database = database().await;
    let before = records(&database).await;
    let at = format!("--endpoint-url {}", database.endpoint);
    for shell in ["fish", "zsh", "elvish", "powershell"] {
        let runs = names(shell, &format!("backfill watch {at} --run-id ")).await;
        let about = match shell {
            "fish" | "powershell" => ["deed-1\tof table stuff", "else-2\tof table other.stuff"],
            "zsh" => ["deed-1:of table stuff", "else-2:of table other.stuff"],
            _ => ["deed-1", "else-2"],
        };
        assert_eq!(runs, about, "{shell}");
        let tables = names(shell, &format!("backfill run {at} --table s")).await;
        assert_eq!(tables, ["stuff"], "{shell}");
    }
    // A table that was typed before has its own runs.
    let runs = names(
        "elvish",
        &format!("backfill run {at} --table stuff --run-id "),
    )
    .await;
    assert_eq!(runs, ["deed-1"]);
    let flags = names("elvish", "backfill status --ru").await;
    assert_eq!(flags, ["--run-id"]);
    assert_eq!(records(&database).await, before);
}

/// No network, no credentials, nobody who answers: nothing is offered, nothing is said, and the shell is free again soon.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_up_is_not_waited_for() {
    // It takes connections, and that is all.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let mut without = asked("fish", "backfill status --run-id ");
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        without.env_remove(variable);
    }
    for command in [
        asked(
            "fish",
            &format!("backfill status --endpoint-url {silent} --run-id "),
        ),
        asked(
            "fish",
            "backfill verify --endpoint-url http://127.0.0.1:1 --table ",
        ),
        asked("fish", "backfill verify --endpoint-url nonsense --table "),
        asked("fish", "backfill verify --endpoint-url"),
        without,
    ] {
        let begin = Instant::now();
        let ended = end_of(command).await.expect_code(0);
        assert!(
            ended.stdout.is_empty() || ended.stdout.starts_with("--endpoint-url"),
            "{ended:?}"
        );
        assert_eq!(ended.stderr, "");
        // Two seconds, and what this machine is busy with.
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
    }
}
