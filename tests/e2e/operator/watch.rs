//! `backfill watch` and `--watch` in a real terminal, and without one.

use std::process::Command;
use std::time::{Duration, Instant};

use backfill_e2e::command::{AtWork, Ended, backfill, backfill_as_typed};
use backfill_e2e::database::Embedded;
use backfill_e2e::terminal::Terminal;
use backfill_testkit::wire::Verdict;

/// So many that the run below takes minutes.
const ITEMS: u64 = 3000;
const SLOWLY: &str = "run --table stuff --set test=1 --run-id seen --max-wcu 20 --json";

/// A run that goes on for as long as the test needs.
async fn run_at_work(database: &Embedded) -> AtWork {
    at_work(database.backfill(SLOWLY), database).await
}

/// That run by this command, once it has updated something.
async fn at_work(run: Command, database: &Embedded) -> AtWork {
    let at_work = AtWork::start(run);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "no progress");
        let status = Ended::run(&mut database.backfill("status --run-id seen --json"));
        if status.code == 0 && status.json()["updated"].as_u64() > Some(0) {
            return at_work;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn status(database: &Embedded) -> serde_json::Value {
    Ended::run(&mut database.backfill("status --run-id seen --json"))
        .expect_code(0)
        .json()
}

fn watch(database: &Embedded) -> Command {
    database.backfill("watch --run-id seen")
}

/// A wide terminal has room for what the history tells; a narrow one does not ask for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wide_terminal_shows_rates_over_time() {
    let database = Embedded::with_stuff(ITEMS).await;
    let run = "run --table stuff --set test=1 --run-id seen --max-wcu 3000";
    let run = AtWork::start(database.backfill(run)).end().await;
    run.expect_code(0);
    let mut terminal = Terminal::start(&watch(&database), 200, 40);
    let shown = terminal.shows("before the end").await;
    let chart = |label: &str| {
        let of = |line: &str| line.split_once(label).map(|(_, chart)| chart.to_owned());
        shown
            .lines()
            .find_map(of)
            .unwrap_or_else(|| panic!("{label}: {shown}"))
    };
    for label in [" items/s  ", " writes/s  ", " reads/s  "] {
        let has_bars = chart(label).contains(['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']);
        assert!(has_bars, "{label}: {shown}");
        assert!(chart(label).contains("peak "), "{label}: {shown}");
    }
    assert!(chart("  allowed  ").contains("3,000 now"), "{shown}");
    terminal.resize(80, 24);
    terminal
        .until("no charts", |shown| !shown.contains("before the end"))
        .await;
    terminal.types("q");
    terminal.end().await;
}

/// The time that the table takes to answer is shown, and not what the run waits for on its own account.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_requests_take_is_shown() {
    let database = Embedded::with_stuff(ITEMS).await;
    let line = database.line().await;
    let tap = line.tap("stuff", async |_| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Verdict::Forward
    });
    let mut run = backfill(SLOWLY.split_whitespace());
    run.args(["--endpoint-url", &line.endpoint]);
    let run = at_work(run, &database).await;

    let mut terminal = Terminal::start(&watch(&database), 200, 40);
    let shown = terminal.shows("latency    last ").await;
    let (_, latency) = shown.split_once("latency    last ").expect("it is shown");
    for kind in ["writes ", "reads "] {
        let (_, figures) = latency.split_once(kind).expect(kind);
        let p50 = figures.split('/').next().expect("p50 comes first");
        assert!(p50.parse::<f64>().expect(p50) >= 50.0, "{kind}: {latency}");
    }
    assert!(shown.contains("writes ms: p50"), "{shown}");
    terminal.types("q");
    terminal.end().await;
    run.signal("INT");
    assert_eq!(run.end().await.code, 4);

    let status = status(&database);
    let seen: Vec<_> = tap.seen().into_iter().map(|seen| seen.call).collect();
    let writes = seen.iter().filter(|call| call.is_update()).count();
    assert_eq!(status["latency"]["writes"]["requests"], writes);
    for kind in ["writes", "reads"] {
        let latency = &status["latency"][kind];
        let p50 = latency["p50_ms"].as_f64().expect("a figure");
        // A write waits for its turn for longer, at 20 units a second.
        assert!((50.0..500.0).contains(&p50), "{kind}: {latency}");
        assert_eq!(*latency, status["by_pass"][0]["latency"][kind]);
    }
    let report =
        Ended::run(&mut database.backfill("report --run-id seen --format markdown --out -"));
    let report = report.expect_code(0).stdout;
    assert!(
        report.contains("how long requests to the table took: writes p50 "),
        "{report}"
    );
    let text = Ended::run(&mut database.backfill("status --run-id seen")).expect_code(0);
    assert!(text.stdout.contains("latency: writes p50 "), "{text:?}");

    let mut narrow = Terminal::start(&watch(&database), 120, 40);
    let shown = narrow.shows("slowest segments").await;
    assert!(!shown.contains("latency"), "{shown}");
    narrow.types("q");
    narrow.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_and_steered_by_keys() {
    let database = Embedded::with_stuff(ITEMS).await;
    let run = run_at_work(&database).await;
    let mut terminal = Terminal::start(&watch(&database), 80, 24);
    let shown = terminal.shows("of about").await;
    for part in [
        "run seen",
        "running",
        "░",
        "of 20 units/s",
        "p pause",
        "slowest segments",
    ] {
        // The rate is there after two seconds.
        let contents = terminal.shows(part).await;
        assert!(contents.contains(part), "{shown}");
    }
    assert!(terminal.is_taken());
    assert!(terminal.has_colours());

    terminal.resize(50, 10);
    terminal.shows("too small").await;
    terminal.resize(120, 40);
    terminal.shows("? help").await;

    // The rate is asked for, and noted with whoever changed it.
    terminal.types("w");
    terminal.shows("now: 20").await;
    terminal.types("30\r");
    terminal.shows("--max-wcu 20 -> 30, by ").await;
    assert_eq!(status(&database)["max_wcu"], 30);

    // Cancelling is asked for again, and anything but y goes back.
    terminal.types("c");
    terminal.shows("for good?").await;
    terminal.types("n");
    terminal
        .until("the dialog's end", |contents| {
            !contents.contains("for good?")
        })
        .await;
    assert_eq!(status(&database)["status"], "running");

    terminal.types("p");
    terminal.shows("run seen  paused").await;
    assert_eq!(status(&database)["status"], "paused");
    assert_eq!(run.end().await.code, 4);

    // It was a run of a process, so that is what to type; and the view goes on.
    terminal.types("r");
    terminal.shows("backfill resume --run-id seen").await;
    terminal.types("q");
    let (code, stdout) = terminal.end().await;
    assert_eq!((code, stdout.as_str()), (4, ""), "as the run has ended");
    terminal.shows("run seen on table stuff: paused").await;
    terminal.is_given_back().await;
}

/// A key that is typed at the moment at which the terminal changes its size is obeyed at once, and not when the next one is.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_obeyed_while_the_terminal_changes_its_size() {
    let database = Embedded::with_stuff(100).await;
    Ended::run(&mut database.backfill("run --table stuff --set test=1")).expect_code(0);
    let mut terminal = Terminal::start(&database.backfill("watch"), 80, 24);
    terminal.shows("0 remain, counted").await;
    let help = "q  leaves.";
    for round in 0..30 {
        terminal.resize(80 + round % 2 * 20, 24);
        terminal.types("?");
        terminal.shows(help).await;
        terminal.types("?");
        terminal.resize(90, 24);
        terminal
            .until("no help", |contents| !contents.contains(help))
            .await;
    }
    terminal.types("q");
    assert_eq!(terminal.end().await.0, 0);
}

/// Whatever ends it, the terminal is given back.
#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_at_signals() {
    let database = Embedded::with_stuff(ITEMS).await;
    let run = run_at_work(&database).await;
    // q and ctrl-C are keys; while it goes on, leaving says nothing about the run. A terminal that goes away has shown nothing.
    let ways: [(&str, i32); 5] = [("q", 0), ("\x03", 0), ("INT", 0), ("TERM", 0), ("HUP", 4)];
    for (way, expected) in ways {
        let mut terminal = Terminal::start(&watch(&database), 100, 30);
        terminal.shows("of about").await;
        assert!(terminal.is_taken());
        match way.len() {
            1 => terminal.types(way),
            _ => terminal.signal(way),
        }
        let (code, _) = terminal.end().await;
        assert_eq!(code, expected, "{way:?}");
        terminal.is_given_back().await;
        terminal.shows("run seen goes on").await;
    }
    run.signal("INT");
    assert_eq!(run.end().await.code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_color_is_respected() {
    let database = Embedded::with_stuff(100).await;
    Ended::run(&mut database.backfill("run --table stuff --set test=1")).expect_code(0);
    let mut command = database.backfill("watch");
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(&command, 80, 24);
    // The end is there to be looked at.
    terminal.shows("0 remain, counted").await;
    assert!(!terminal.has_colours());
    terminal.types("q");
    assert_eq!(terminal.end().await.0, 0);
    terminal
        .shows("succeeded: nothing is pending any more")
        .await;
    terminal.is_given_back().await;
}

/// stdout has the result alone, and what was logged meanwhile comes after the view.
#[tokio::test(flavor = "multi_thread")]
async fn run_shows_it_and_ends_with_the_run() {
    let database = Embedded::with_stuff(300).await;
    let mut command =
        // Twelve seconds: a rate needs two seconds between readings, and a loaded machine reads late.
        database.backfill("run --table stuff --set test=1 --watch --json --max-wcu 20");
    command.env("RUST_LOG", "backfill_core=info");
    let mut terminal = Terminal::start(&command, 80, 24);
    terminal.shows("of 20 units/s").await;
    let (code, stdout) = terminal.end().await;
    let result: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &result["updated"]), (0, &240.into()));
    let left = terminal
        .shows("succeeded: nothing is pending any more")
        .await;
    // The planner's last word, while the view was there.
    assert!(left.contains("remaining=0"), "{left}");
    terminal.is_given_back().await;
}

/// Leaving the view of `run --watch` stops the run, so that it is asked first.
#[tokio::test(flavor = "multi_thread")]
async fn run_is_stopped_by_its_view() {
    let database = Embedded::with_stuff(ITEMS).await;
    let command = database.backfill(&format!("{SLOWLY} --watch"));
    let mut terminal = Terminal::start(&command, 80, 24);
    terminal.shows("of about").await;
    terminal.types("q");
    terminal.shows("Stop it at the next checkpoint?").await;
    terminal.types("n\x03");
    terminal.shows("Stop it at the next checkpoint?").await;
    terminal.types("y");
    let (code, stdout) = terminal.end().await;
    let result: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &result["status"]), (4, &"paused".into()));
    terminal
        .shows("to resume, run the same command again")
        .await;
    terminal.is_given_back().await;

    // A second signal ends it at once, and still gives the terminal back.
    let mut terminal = Terminal::start(&command, 80, 24);
    terminal.shows("of about").await;
    terminal.types("\x03\x03\x03");
    let (code, _) = terminal.end().await;
    assert!([4, 130].contains(&code), "{code}");
    terminal.is_given_back().await;
}

/// Without a terminal there are plain lines, to the end of the run, and its exit code.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_plain_lines_follow_the_run_to_its_end() {
    let database = Embedded::with_stuff(300).await;
    let run = AtWork::start(
        database
            .backfill("run --table stuff --set test=1 --run-id seen --max-wcu 60 --watch --json"),
    );
    let watched = loop {
        let ended = Ended::run(&mut watch(&database));
        // 2: there is no such run yet.
        if ended.code != 2 {
            break ended;
        }
    };
    let ran = run.end().await.expect_code(0);
    let watched = watched.expect_code(0);
    assert_eq!(watched.stdout, "");
    for text in [&watched.stderr, &ran.stderr] {
        assert!(text.contains("pass 1: "), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        assert!(
            text.contains("succeeded: nothing is pending any more"),
            "{text}"
        );
    }
}

/// On a terminal a run shows what it would do and asks; only "yes" goes on, and before that nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_asks_on_a_terminal() {
    let database = Embedded::with_stuff(100).await;
    let mut command = backfill_as_typed(["run", "--table", "stuff", "--set", "test=1"]);
    command.args(["--endpoint-url", &database.endpoint]);
    for (answer, expected) in [("no", 4), ("y", 4), ("yes", 0)] {
        let mut terminal = Terminal::start(&command, 120, 50);
        let asked = terminal.shows("Only \"yes\" goes on:").await;
        for essential in [
            "80 of 100 items",
            "+ \"test\":1",
            "  time ",
            "  cost ",
            "Before you run",
        ] {
            assert!(asked.contains(essential), "{essential}: {asked}");
        }
        assert_eq!(database.table_names().await, ["stuff"]);
        terminal.types(&format!("{answer}\r"));
        let (code, _) = terminal.end().await;
        assert_eq!(code, expected, "{answer}");
        let end = match expected {
            4 => "nothing was touched",
            _ => "succeeded",
        };
        terminal.shows(end).await;
    }
}
