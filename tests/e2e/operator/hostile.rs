//! Texts of others that a terminal would obey, or that would show themselves as something else, in all that is printed: keys, names
//! and values of items, what the service says, and whatever somebody has written into the records.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use backfill_core::{Item, Value};
use backfill_e2e::command::{Ended, backfill_as_typed};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{self, STUFF_KEYS};
use backfill_e2e::terminal::Terminal;
use backfill_e2e::wire::Verdict;

/// A title, a colour, a cleared screen by a C1 control, a turn of writing, what is not seen, ends of lines, a message of ours.
const HOSTILE: &str = "\u{1b}]0;pwned\u{7}\u{1b}[31mX\u{9b}2J\u{202e}\u{2066}\u{61c}\u{200b}\u{2028}\u{7f}\u{8}\r\nerror: forged\t";

/// A run on items with such keys and attributes, of which the service refuses some in such words; and its records, into which
/// somebody has written as well. Returns an item's key in plain JSON.
async fn hostile_run(database: &Embedded) -> String {
    tables::create(&database.client, "stuff", STUFF_KEYS).await;
    let text = |i: u64| Value::S(format!("{i}{HOSTILE}"));
    let items: Vec<Item> = (0..40)
        .map(|i| {
            let value = ("value".into(), text(i));
            let named = (HOSTILE.into(), Value::M([(HOSTILE.into(), text(i))].into()));
            let created = ("created".into(), Value::N(i.to_string()));
            Item::from([("id".into(), text(i)), created, value, named])
        })
        .collect();
    tables::put_all(&database.client, "stuff", &items).await;
    let line = database.line().await;
    let updates = AtomicU64::new(0);
    let keys = Arc::new(
        (items.iter().skip(20))
            .map(|item| ["id", "created"].map(|name| (name.to_owned(), item[name].clone())))
            .map(|key| backfill_core::Key(key.into()))
            .collect(),
    );
    let _tap = line.tap("stuff", move |call| {
        let is_first = call.is_update() && updates.fetch_add(1, Ordering::SeqCst) == 0;
        let keys = Arc::clone(&keys);
        async move {
            match call.is_update() && !is_first {
                true => Verdict::RefuseItems {
                    keys,
                    message: HOSTILE,
                },
                false => Verdict::Forward,
            }
        }
    });
    let mut run = backfill_as_typed([
        "run",
        "--table",
        "stuff",
        "--set",
        "test=1",
        "--run-id",
        "seen",
        "--max-passes",
        "1",
        "--yes",
    ]);
    run.args(["--endpoint-url", &line.endpoint]);
    let ran = tokio::task::spawn_blocking(move || Ended::run(&mut run)).await;
    let ran = ran.unwrap().expect_code(3);
    assert_plain("run", &(ran.stderr + &ran.stdout));
    write_into_the_record(database).await;
    let plain = format!("{}{HOSTILE}", 0);
    serde_json::json!({"id": plain, "created": 0}).to_string()
}

/// Whoever may write to the checkpoint table may write this.
async fn write_into_the_record(database: &Embedded) {
    let text = || AttributeValue::S(HOSTILE.into());
    let event = [
        ("by", text()),
        ("what", text()),
        ("old", text()),
        ("new", text()),
    ]
    .into_iter()
    .chain([("at_ms", AttributeValue::N("1600000000000".into()))])
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let update = database
        .client
        .update_item()
        .table_name("backfill-checkpoints");
    update
        .key("run_id", AttributeValue::S("seen".into()))
        .key("record", AttributeValue::S("run".into()))
        .update_expression("SET message = :text, #owner = :text, #error = :text, events = :events")
        .expression_attribute_names("#owner", "owner")
        .expression_attribute_names("#error", "error")
        .expression_attribute_values(":text", text())
        .expression_attribute_values(":events", AttributeValue::L(vec![AttributeValue::M(event)]))
        .send()
        .await
        .expect("the record is there");
}

/// Nothing of it is obeyed, hidden, or taken for a line of ours.
#[track_caller]
fn assert_plain(what: &str, printed: &str) {
    for hostile in [
        "\u{1b}]0",
        "\u{1b}[31mX",
        "\u{9b}",
        "\u{202e}",
        "\u{2066}",
        "\u{61c}",
        "\u{200b}",
        "\u{2028}",
        "\u{7f}",
        "\u{8}",
        "pwned\u{7}",
    ] {
        assert!(
            !printed.contains(hostile),
            "{what}: {hostile:?} in {printed:?}"
        );
    }
    let is_forged = |line: &str| line.trim_start().starts_with("error: forged");
    let forged = printed.split(['\r', '\n']).find(|line| is_forged(line));
    assert_eq!(forged, None, "{what}: {printed:?}");
}

fn commands(key: &str) -> Vec<Vec<String>> {
    let words = [
        "status --run-id seen",
        "runs",
        "watch --run-id seen",
        "rejected --run-id seen",
        "report --run-id seen --out -",
        "report --run-id seen --out - --format markdown",
        "plan --table stuff --set test=1",
        "plan --table stuff --set value=1 --run-id other",
        "verify --table stuff --set test=1",
        "run --table stuff --set test=1 --dry-run",
        "run --table stuff --set test=1 --run-id seen --yes",
        "pause --run-id seen",
        "resume --run-id seen --yes",
        "rate --run-id seen --max-wcu 10",
        "cancel --run-id seen",
        "table scan --table stuff",
        "table scan --table stuff --typed",
        "table describe --table stuff",
        "table list",
    ];
    let mut commands: Vec<Vec<String>> = words
        .iter()
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect();
    // What the arguments themselves are.
    let set = format!("{HOSTILE}={HOSTILE}");
    let own: [&[&str]; 7] = [
        &["item", "get", "--table", "stuff", "--key", key],
        &["item", "exists", "--table", "stuff", "--key", key],
        &["plan", "--table", "stuff", "--set", &set],
        &["plan", "--table", HOSTILE, "--set", "test=1"],
        &["status", "--run-id", HOSTILE],
        &["run", "--file", HOSTILE],
        &["table", HOSTILE],
    ];
    commands.extend(own.map(|line| line.iter().map(|&word| word.to_owned()).collect()));
    commands
}

/// Every command, on a pipe.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_is_escaped_on_every_way_out() {
    let database = Embedded::start().await;
    let key = hostile_run(&database).await;
    let mut shown = Vec::new();
    for arguments in commands(&key) {
        let what = arguments.join(" ");
        let mut command = backfill_as_typed(&arguments);
        if what != format!("table {HOSTILE}") {
            command.args(["--endpoint-url", &database.endpoint]);
        }
        let ended = tokio::task::spawn_blocking(move || Ended::run(&mut command));
        let ended = ended.await.unwrap();
        assert_plain(&what, &ended.stderr);
        let is_exact = what.starts_with("table scan") || what.starts_with("item get");
        if is_exact {
            // JSON for a program means what is there.
            let first = ended.stdout.lines().next().unwrap();
            let item: serde_json::Value = serde_json::from_str(first).unwrap();
            assert!(item[HOSTILE].is_object(), "{what}: {item}");
        } else {
            assert_plain(&what, &ended.stdout);
        }
        let printed = ended.stdout + &ended.stderr;
        if printed.contains("u{202e}") || printed.contains("\\u202e") {
            shown.push(what);
        }
    }
    // They had something to escape.
    for name in [
        "status",
        "watch",
        "rejected",
        "report",
        "plan",
        "verify",
        "run",
        "item exists",
        "table \u{1b}",
    ] {
        assert!(
            shown.iter().any(|what| what.starts_with(name)),
            "{name}: {shown:?}"
        );
    }
}

/// Every command, on a terminal that shows both of its ways out.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_is_escaped_on_a_terminal() {
    let database = Embedded::start().await;
    let key = hostile_run(&database).await;
    for arguments in commands(&key) {
        let what = arguments.join(" ");
        let typed = backfill_as_typed(&arguments);
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" >&2"]);
        command.arg(typed.get_program()).args(typed.get_args());
        if what != format!("table {HOSTILE}") {
            command.args(["--endpoint-url", &database.endpoint]);
        }
        for (name, value) in typed.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let mut terminal = Terminal::start(&command, 200, 60);
        if arguments[0] == "watch" {
            terminal.shows("run seen").await;
            terminal.shows("because").await;
            terminal.types("q");
        } else if arguments[0] == "runs" {
            terminal.shows("seen").await;
            terminal.types("q");
        }
        terminal.end().await;
        // What was printed last is read a moment after the end.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_plain(&what, &terminal.printed());
    }
}
