//! `backfill report --follow`: a page that is as the run is, in a browser, and for nobody but who has its address on this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backfill_e2e::command::{Ended, backfill, root};
use backfill_e2e::database::Embedded;
use backfill_e2e::wire::{Call, Verdict, signal};
use serde_json::Value as Json;

/// A process that says something on its first lines of stdout. It is ended with this.
struct Talking {
    child: Option<Child>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Talking {
    fn start(command: &mut Command) -> Talking {
        let mut child = command.spawn().expect("it starts");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        Talking {
            child: Some(child),
            lines: BufReader::new(stdout).lines(),
        }
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it is at work").id()
    }

    /// The next line; panics with what it has said on stderr if there is none.
    fn line(&mut self) -> String {
        match self.lines.next() {
            Some(line) => line.expect("text"),
            None => panic!("nothing more; it ended with {:?}", self.end()),
        }
    }

    /// Waits for its end.
    fn end(&mut self) -> Ended {
        Ended::of(self.child.take().expect("nobody has waited for it"))
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A run that takes a minute, if its budget stays as it is.
fn run(database: &Embedded) -> Talking {
    let arguments =
        "run --table stuff --set test=1 --run-id r --max-wcu 6 --segments 8 --concurrency 4";
    let run = Talking::start(&mut database.backfill(arguments));
    let deadline = Instant::now() + Duration::from_secs(60);
    let has_begun = || {
        let ended = Ended::run(&mut database.backfill("status --run-id r --json"));
        ended.code == 0 && ended.json()["updated"].as_u64() > Some(0)
    };
    while !has_begun() {
        assert!(Instant::now() < deadline, "no progress");
        std::thread::sleep(Duration::from_millis(100));
    }
    run
}

/// What follows a run, and the address that it has printed.
fn follow(command: &mut Command) -> (Talking, String) {
    let mut following = Talking::start(command);
    let line = following.line();
    let url = line.strip_prefix("report of run r: ");
    (
        following,
        url.unwrap_or_else(|| panic!("{line}")).to_owned(),
    )
}

/// A browser that looks at this address.
fn browser(url: &str, more: &[&str]) -> Talking {
    let tools = root().join(".tools/browser");
    assert!(
        tools.join("chromium/chromium").exists(),
        "there is no browser to look at the page with: run tools/install browser"
    );
    let script = root().join("tests/e2e/operator/browser.cjs");
    let mut command = Command::new("node");
    command.arg(script).arg(tools).arg(url).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut browser = Talking::start(&mut command);
    assert_eq!(browser.line(), r#"{"open":true}"#);
    browser
}

/// The page has the figures of the run while it goes on and at its end, wherever it is looked at, and is not loaded again for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_a_run_on_every_screen() {
    let database = Embedded::with_stuff(400).await;
    let pictures = root().join("target/e2e/follow");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut run = run(&database);
    let (mut following, url) = follow(&mut database.backfill("report --run-id r --follow"));
    let mut browser = browser(&url, &["follow", pictures.to_str().unwrap()]);
    assert_eq!(browser.line(), r#"{"followed":true}"#);
    let mut faster = database.backfill("rate --run-id r --max-wcu none");
    Ended::run(&mut faster).expect_code(0);
    let views: Vec<Json> = serde_json::from_str(&browser.line()).unwrap();
    browser.end().expect_code(0);
    run.end().expect_code(0);
    // It ends by itself once the pages have the last state.
    let told = following.end().expect_code(0).stderr;
    assert!(told.contains("the page has its last state"), "{told}");
    let status = Ended::run(&mut database.backfill("status --run-id r --json")).json();

    assert_eq!(views.len(), 4);
    for view in &views {
        assert_follows(view, &status);
        assert_kept(view);
        assert_readable(view);
    }
}

fn name(view: &Json) -> String {
    format!("{} {}", view["width"], view["colorScheme"])
}

/// The figures go up while the run goes on, and are those of the run at its end.
fn assert_follows(view: &Json, status: &Json) {
    let name = name(view);
    let updated = ["before", "between", "after", "end"].map(|when| {
        let figure = view[when]["figures"]["Updated"].as_str().unwrap();
        figure.replace(',', "").parse::<u64>().unwrap()
    });
    assert!(updated.is_sorted(), "{name}: {updated:?}");
    assert!(
        updated[0] < updated[1] && updated[1] < updated[2],
        "{name}: {updated:?}"
    );
    assert_eq!(status["updated"], updated[3], "{name}");
    assert_eq!(view["end"]["figures"]["Still pending"], "0", "{name}");
    let words = |when: &str| view[when]["following"].as_str().unwrap().to_owned();
    let (between, end) = (words("between"), words("end"));
    assert!(
        between.starts_with("Follows the run. "),
        "{name}: {between}"
    );
    assert!(
        end.contains("The run has ended: succeeded."),
        "{name}: {end}"
    );
    assert!(view["between"]["bar"].as_f64().unwrap() > 0.0, "{name}");
}

/// Nothing of what the reader did to the page is lost, and nothing was loaded anew or from elsewhere.
fn assert_kept(view: &Json) {
    let name = name(view);
    let (before, after) = (&view["before"], &view["after"]);
    assert_eq!(view["navigations"], 1, "{name}");
    assert_eq!(after["mark"], "not loaded again", "{name}");
    assert_eq!(after["selected"], "Backfill of table stuff", "{name}");
    assert_eq!(
        before["top"], after["top"],
        "{name}: where it was scrolled to"
    );
    assert_eq!(before["tableLeft"], after["tableLeft"], "{name}");
    if view["width"] == 390 {
        assert_eq!(after["tableLeft"], 60, "{name}");
    }
    for wrong in ["errors", "elsewhere"] {
        assert_eq!(view[wrong], serde_json::json!([]), "{name}: {wrong}");
    }
}

/// It fits the screen, has the colours that were asked for, and its text stands out from what is behind it.
fn assert_readable(view: &Json) {
    let name = name(view);
    for when in ["before", "after", "end"] {
        let seen = &view[when];
        assert_eq!(seen["overflow"], 0, "{name} {when}");
        let background = seen["background"].as_f64().unwrap();
        match view["colorScheme"] == "dark" {
            true => assert!(background < 0.05, "{name}: {background}"),
            false => assert!(background > 0.9, "{name}: {background}"),
        }
        let contrast = &seen["contrast"];
        let ratio = contrast["ratio"].as_f64().unwrap();
        assert!(ratio >= 4.5, "{name} {when}: {contrast}");
    }
}

/// A page whose server is gone says so, and keeps what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_when_it_is_not_followed_any_more() {
    let database = Embedded::with_stuff(400).await;
    let _run = run(&database);
    let (following, url) = follow(&mut database.backfill("report --run-id r --follow"));
    let mut browser = browser(&url, &["lose"]);
    signal(following.pid(), "KILL");
    let seen: Vec<Json> = serde_json::from_str(&browser.line()).unwrap();
    browser.end().expect_code(0);
    let seen = &seen[0];
    assert!(
        seen["following"]
            .as_str()
            .unwrap()
            .starts_with("Follows the run. "),
        "{seen}"
    );
    assert!(
        seen["lost"]
            .as_str()
            .unwrap()
            .starts_with("Not followed any more: "),
        "{seen}"
    );
    assert!(seen["left"]["Scanned"].is_string(), "{seen}");
    assert!(seen["contrast"]["ratio"].as_f64().unwrap() >= 4.5, "{seen}");
}

/// A pause is an end, too: the page has it, and what followed ends as the run did.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_what_follows_with_the_runs_exit_code() {
    let database = Embedded::with_stuff(400).await;
    let mut run = run(&database);
    let (mut following, url) = follow(&mut database.backfill("report --run-id r --follow"));
    let path = path(&url);
    assert!(get(&url, path, "").contains("Follows the run. "));
    Ended::run(&mut database.backfill("pause --run-id r")).expect_code(0);
    run.end().expect_code(4);
    let deadline = Instant::now() + Duration::from_secs(30);
    // No state has this number, so it is answered at once.
    let state = format!("{path}state?after=0");
    while !get(&url, &state, "").contains("The run has ended: paused.") {
        assert!(Instant::now() < deadline, "the page still follows");
        std::thread::sleep(Duration::from_millis(200));
    }
    following.end().expect_code(4);
}

/// The part of an address behind host and port.
fn path(url: &str) -> &str {
    let at = url.rfind(':').unwrap();
    &url[at + url[at..].find('/').unwrap()..]
}

/// Sends a GET with these headers, each with its line end, and reads the whole answer.
fn get(url: &str, path: &str, headers: &str) -> String {
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).expect("it listens");
    let host = match headers.contains("host:") {
        true => String::new(),
        false => format!("host: {address}\r\n"),
    };
    let request = format!("GET {path} HTTP/1.1\r\n{host}{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

/// Only who has the address sees the page: no other host name, no page of another origin, nobody who guesses. And what serves it
/// does nothing but read.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_and_for_nobody_else_is_the_page_that_follows() {
    let database = Embedded::with_stuff(30).await;
    let line = database.line().await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = calls.clone();
    line.decide(move |call: Call| {
        noted.lock().unwrap().push(call.operation);
        async { Verdict::Forward }
    });
    Ended::run(&mut database.backfill("run --table stuff --set test=1 --run-id r")).expect_code(0);
    let mut command = backfill(["report", "--follow", "--run-id", "r"]);
    let (mut following, url) = follow(command.args(["--endpoint-url", &line.endpoint]));
    let path = path(&url);
    assert!(path.len() > 30, "{path}");
    for (path, headers) in [
        (path, "host: evil.example\r\n"),
        (path, "host: localhost\r\n"),
        (path, "origin: https://evil.example\r\n"),
        (path, "origin: null\r\n"),
        (
            path,
            "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n",
        ),
    ] {
        let answer = get(&url, path, headers);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{headers}: {answer}");
        assert!(!answer.contains("Backfill of table"), "{headers}: {answer}");
        assert!(!answer.contains("access-control"), "{headers}: {answer}");
    }
    for path in [
        "/",
        "/favicon.ico",
        "/00000000000000000000000000000000/",
        &format!("{path}x"),
    ] {
        assert!(get(&url, path, "").starts_with("HTTP/1.1 404 "), "{path}");
    }
    let page = get(&url, path, "");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("Backfill of table stuff"), "{page}");
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self';",
        "cross-origin-resource-policy: same-origin",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(page.contains(header), "{header}: {page}");
    }
    // The run had ended, so the page has its last state.
    following.end().expect_code(0);
    let calls = calls.lock().unwrap();
    assert!(!calls.is_empty());
    for call in calls.iter() {
        let reads = ["DescribeTable", "GetItem", "Query", "Scan", "BatchGetItem"];
        assert!(reads.contains(&call.as_str()), "{call}");
    }
}
