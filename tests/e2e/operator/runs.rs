//! `backfill runs`, and what `status` says of a run whose holder is gone.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use backfill_core::Value;
use backfill_e2e::command::{AtWork, Ended, backfill_as_typed};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{self, put_all, stuff};
use backfill_e2e::terminal::Terminal;
use serde_json::{Value as Json, json};

use crate::screens::assert_is_of;

const SLOWLY: &str = "run --table stuff --set test=1 --run-id slow --max-wcu 20 --json";

/// Runs a command while this test serves the database.
async fn end_of(mut command: std::process::Command) -> Ended {
    tokio::task::spawn_blocking(move || Ended::run(&mut command))
        .await
        .unwrap()
}

/// A run that goes on for as long as the test needs, of a person called Ana.
async fn run_at_work(database: &Embedded) -> AtWork {
    run_at_work_of(database, "").await
}

/// The same with more flags, which `status` has, too.
async fn run_at_work_of(database: &Embedded, more: &str) -> AtWork {
    let mut slowly = database.backfill(&format!("{SLOWLY} {more}"));
    slowly.env("USER", "ana");
    let at_work = AtWork::start(slowly);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "no progress");
        let status = database.backfill(&format!("status --run-id slow --json {more}"));
        let status = end_of(status).await;
        if status.code == 0 && status.json()["updated"].as_u64() > Some(0) {
            return at_work;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The runs as programs read them, by their ids.
async fn runs(database: &Embedded) -> Json {
    let runs = end_of(database.backfill("runs --json")).await;
    let runs = runs.expect_code(0).json();
    let schema = end_of(backfill_as_typed(["schema", "runs"])).await;
    let schema = schema.expect_code(0).json();
    assert_is_of(&runs, &schema, &schema, "runs");
    let listed = runs["runs"].as_array().unwrap().iter();
    let by_id = listed.map(|run| (run["run_id"].as_str().unwrap().to_owned(), run.clone()));
    Json::Object(by_id.collect())
}

/// Who holds a run, whether that is alive, how far it is, how fast it goes, and when it was last heard of.
#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_with_their_holders_alive_and_dead() {
    let database = Embedded::with_stuff(2_000).await;
    let other = "run --table stuff --set other=1 --run-id done";
    end_of(database.backfill(other)).await.expect_code(0);
    let slow = run_at_work(&database).await;

    let alive = runs(&database).await;
    assert_eq!(alive["done"]["status"], "succeeded");
    assert_eq!(alive["done"]["done"], 1.0);
    assert_eq!(alive["done"]["holder"], json!(null));
    let of = &alive["slow"];
    assert_eq!(
        (&of["status"], &of["holder"]),
        (&json!("running"), &json!("alive"))
    );
    assert_eq!(
        (&of["table"], &of["max_wcu"]),
        (&json!("stuff"), &json!(20))
    );
    assert!(of["done"].as_f64() > Some(0.0), "{of}");
    assert!(of["items_per_second"].as_f64() > Some(0.0), "{of}");
    let shown = end_of(database.backfill("runs")).await.expect_code(0);
    let held = format!("held by ana@{}", host());
    for words in [
        "RUN ",
        "slow  stuff  running",
        "done  stuff  succeeded",
        &held,
    ] {
        assert!(shown.stdout.contains(words), "{words}:\n{}", shown.stdout);
    }
    assert!(
        shown
            .stdout
            .contains("which is alive; at most 20 write units/s")
    );

    slow.signal("KILL");
    slow.end().await;
    let killed = Instant::now();
    let dead = runs(&database).await;
    let of = &dead["slow"];
    assert_eq!(
        (&of["status"], &of["holder"]),
        (&json!("running"), &json!("gone"))
    );
    // What the records say of the last sign is from before the kill.
    let age = backfill_core::clock::now_ms() - of["last_sign_ms"].as_u64().unwrap();
    assert!(
        u128::from(age) + 5_000 > killed.elapsed().as_millis(),
        "{age}"
    );
    assert!(age < 60_000, "{age}");
    let shown = end_of(database.backfill("runs")).await.expect_code(0);
    assert!(
        shown.stdout.contains("slow  stuff  dead"),
        "{}",
        shown.stdout
    );
    status_says_that_it_is_dead(&database).await;
}

async fn status_says_that_it_is_dead(database: &Embedded) {
    // Without an id it is the run that was started last, and the others are not spoken of.
    let status = end_of(database.backfill("status")).await.expect_code(0);
    assert!(
        status.stdout.contains("run slow on table stuff"),
        "{}",
        status.stdout
    );
    assert!(!status.stderr.contains("also there"), "{}", status.stderr);
    let by = status
        .stdout
        .lines()
        .find(|line| line.contains("  by  "))
        .unwrap();
    for words in [
        "which is dead, last heard of ",
        "(last sign of life 20",
        "start it again, which takes it over",
    ] {
        assert!(by.contains(words), "{words}: {by}");
    }
    let status = end_of(database.backfill("status --json"))
        .await
        .expect_code(0);
    assert_eq!(status.json()["holder"], "gone");
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().to_owned()
}

/// Whoever plans or begins a run is told of every other one that goes on on the table, who holds it, and by what budget; and if
/// the budgets add up to more than the table takes. Of a run that is dead nothing is said.
#[tokio::test(flavor = "multi_thread")]
async fn other_runs_of_the_table_are_named_with_their_budgets() {
    let database = Embedded::with_stuff(2_000).await;
    let slow = run_at_work(&database).await;
    let plan = |more: &str| database.backfill(&format!("plan --table stuff --set other=1 {more}"));
    let named = [
        "run slow goes on on this table, too: SET test = {\"N\":\"1\"} where attribute_not_exists(test); held by ana@",
        "which is alive; at most 20 write units/s",
        "see it with: backfill watch --run-id slow",
    ];
    // An on-demand table takes 4,000 at once.
    let too_much = "the write budgets of these runs and this one add up to 4001 units/s, and the table takes 4000";
    let shown = end_of(plan("--max-wcu 3981")).await.expect_code(0).stdout;
    for words in named.iter().chain([&too_much]) {
        assert!(shown.contains(words), "{words}:\n{shown}");
    }
    assert!(shown.contains("give --max-wcu 3980 or less"), "{shown}");
    let fits = end_of(plan("--max-wcu 3980 --json"))
        .await
        .expect_code(0)
        .json();
    let warnings = fits["warnings"].as_array().unwrap().iter();
    let codes: Vec<&str> = warnings.map(|w| w["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"other_run"), "{codes:?}");
    assert!(!codes.contains(&"budgets_exceed_table"), "{codes:?}");

    // Also whoever is not asked; and the same run is no other one.
    let beside = "run --table stuff --set other=1 --max-wcu 5000 --json";
    let beside = end_of(database.backfill(beside)).await.expect_code(0);
    for words in named {
        assert!(beside.stderr.contains(words), "{words}:\n{}", beside.stderr);
    }
    assert!(
        beside.stderr.contains("add up to 5020 units/s"),
        "{}",
        beside.stderr
    );
    let again = end_of(database.backfill(SLOWLY)).await.expect_code(2);
    assert!(
        !again.stderr.contains("goes on on this table"),
        "{}",
        again.stderr
    );

    slow.signal("KILL");
    slow.end().await;
    let shown = end_of(plan("")).await.expect_code(0).stdout;
    assert!(!shown.contains("goes on on this table"), "{shown}");
}

/// A command that is told to be typed names the checkpoint table if it is another one than is meant unless it is given: in the summary
/// of a run, and in what is said of other runs.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_to_be_typed_finds_the_run_in_another_checkpoint_table() {
    let database = Embedded::with_stuff(2_000).await;
    let held = Value::S("no number".into());
    let mut odd = stuff(0);
    odd.insert("price".into(), held);
    put_all(&database.client, "stuff", &[odd]).await;
    let refused = "run --table stuff --run-id odd --checkpoint-table mine --pending attribute_not_exists(gross) --value :tax=5";
    let mut refused = database.backfill(refused);
    refused.args(["--update", "SET gross = price + :tax"]);
    let refused = end_of(refused).await.expect_code(3);
    let words = "see them with: backfill rejected --run-id odd --checkpoint-table mine\n";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);

    let slow = run_at_work_of(&database, "--checkpoint-table mine").await;
    let plan = "plan --table stuff --set other=1 --checkpoint-table mine";
    let shown = end_of(database.backfill(plan)).await.expect_code(0).stdout;
    let words = "see it with: backfill watch --run-id slow --checkpoint-table mine\n";
    assert!(shown.contains(words), "{shown}");
    slow.signal("KILL");
    slow.end().await;
}

/// The records of segments are not read to find runs, however many there are of runs that nobody asks for.
#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_without_a_scan_of_their_records() {
    let database = Embedded::with_stuff(50).await;
    for run in ["one", "two"] {
        let run = format!("run --table stuff --set {run}=1 --run-id {run}");
        end_of(database.backfill(&run)).await.expect_code(0);
    }
    let line = database.line().await;
    let tap = line.listen("backfill-checkpoints");
    let listed = backfill_as_typed(["runs", "--json", "--endpoint-url", &line.endpoint]);
    let listed = end_of(listed).await.expect_code(0).json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 2);
    assert_eq!(
        listed["runs"][0]["run_id"], "two",
        "the latest started first"
    );
    let status = backfill_as_typed(["status", "--json", "--endpoint-url", &line.endpoint]);
    assert_eq!(end_of(status).await.expect_code(0).json()["run_id"], "two");
    let seen = tap.seen();
    assert!(
        seen.iter().all(|seen| seen.call.operation != "Scan"),
        "{seen:?}"
    );
    assert!(seen.len() < 20, "{seen:?}");
}

/// Runs of earlier versions are in no list. They are found while there is none, and by --all.
#[tokio::test(flavor = "multi_thread")]
async fn runs_of_earlier_versions_are_found() {
    let database = Embedded::with_stuff(50).await;
    let run = |id: &str| format!("run --table stuff --set {id}=1 --run-id {id}");
    end_of(database.backfill(&run("old"))).await.expect_code(0);
    let entry = |record: &str| {
        let key = |value: &str| AttributeValue::S(value.into());
        [
            ("run_id".to_owned(), key("#runs")),
            ("record".to_owned(), key(record)),
        ]
    };
    let forget = database
        .client
        .delete_item()
        .table_name("backfill-checkpoints");
    let forget = forget.set_key(Some(entry("run#old").into()));
    forget.send().await.unwrap();
    assert!(runs(&database).await["old"].is_object());

    end_of(database.backfill(&run("new"))).await.expect_code(0);
    let listed = runs(&database).await;
    assert!(
        listed["new"].is_object() && listed["old"].is_null(),
        "{listed}"
    );
    let all = end_of(database.backfill("runs --all --json")).await;
    assert_eq!(
        all.expect_code(0).json()["runs"].as_array().unwrap().len(),
        2
    );
}

/// A record that cannot be read hides no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_named_and_hides_no_other() {
    let database = Embedded::with_stuff(50).await;
    for id in ["good", "bad"] {
        let run = format!("run --table stuff --set {id}=1 --run-id {id}");
        end_of(database.backfill(&run)).await.expect_code(0);
    }
    let damage = database
        .client
        .update_item()
        .table_name("backfill-checkpoints");
    let damage = damage
        .key("run_id", tables::string("bad"))
        .key("record", tables::string("run"))
        .update_expression("REMOVE fingerprint");
    damage.send().await.unwrap();
    let listed = end_of(database.backfill("runs --json"))
        .await
        .expect_code(0);
    assert_eq!(listed.json()["runs"].as_array().unwrap().len(), 1);
    assert!(
        listed.stderr.contains("record run of run bad"),
        "{}",
        listed.stderr
    );
}

/// On a terminal the list stays, arrows choose, and enter watches; whoever leaves the run is back at the list.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_chosen_from_the_list_and_watched() {
    let database = Embedded::with_stuff(2_000).await;
    let other = "run --table stuff --set other=1 --run-id done";
    end_of(database.backfill(other)).await.expect_code(0);
    let slow = run_at_work(&database).await;
    let mut terminal = Terminal::start_with_stdout(&database.backfill("runs"), 80, 24);
    terminal.shows("enter watches").await;
    let list = terminal.shows("slow  stuff  running").await;
    assert!(list.contains("done  stuff  succeeded"), "{list}");
    assert!(terminal.is_taken());
    terminal.types("\r");
    terminal.shows("slowest segments").await;
    terminal.shows("run slow").await;
    terminal.types("q");
    terminal.shows("enter watches").await;
    // It is kept fresh.
    slow.signal("KILL");
    slow.end().await;
    terminal.shows("slow  stuff  dead").await;
    terminal.types("\x1b[B\r");
    terminal.shows("run done").await;
    terminal.types("q");
    terminal.shows("enter watches").await;
    terminal.types("q");
    terminal.is_given_back().await;
    assert_eq!(terminal.end().await.0, 0);
    // What was shown last stays.
    let left = terminal.shows("LAST SIGN").await;
    assert!(left.contains("slow  stuff  dead"), "{left}");
}
