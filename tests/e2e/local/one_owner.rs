//! one-owner: who may begin or go on with a run, and with which one.

use backfill_core::Item;
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::stub::Stub;
use backfill_e2e::tables;
use backfill_e2e::tables::{migrated, stuff};
use backfill_e2e::wire::signal;
use serde_json::json;

use crate::stuff::{RUN, all, wait_for_progress};

/// one-owner: a run that another process holds is not begun beside it. When that one is gone, the next takes over by itself.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_while_a_process_is_alive() {
    let database = Embedded::with_stuff(2000).await;
    let before = all(&database).await;
    let mut holder = database
        .backfill(&format!("{RUN} --max-wcu 100"))
        .env("USER", "ana")
        .spawn()
        .unwrap();
    wait_for_progress(&database).await;
    for more in ["", "--fresh"] {
        let refused = Ended::run(&mut database.backfill(&format!("{RUN} {more}"))).expect_code(2);
        for words in [
            &format!("by ana@{} (pid {})", host(), holder.id()),
            "since 20",
            "--take-over",
        ] {
            assert!(
                refused.stderr.contains(words),
                "{words}: {}",
                refused.stderr
            );
        }
    }
    signal(holder.id(), "KILL");
    holder.wait().unwrap();
    let next =
        Ended::run(&mut database.backfill(&format!("{RUN} --max-wcu 100000"))).expect_code(0);
    assert!(
        next.stderr.contains("has ended without saying so"),
        "{}",
        next.stderr
    );
    assert_eq!(all(&database).await, migrated(&before));

    // Of a process somewhere else nothing is known, so it takes the operator's word.
    let run_id = next.json()["run_id"].as_str().unwrap().to_owned();
    hold(&database, &run_id, "process 1 on elsewhere since 1").await;
    Ended::run(&mut database.backfill(RUN)).expect_code(2);
    Ended::run(&mut database.backfill(&format!("{RUN} --take-over"))).expect_code(0);
}

/// The name of this host.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().to_owned()
}

/// An owner reads as a person at a host with a process; a program gets the whole of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_told_briefly_to_people_and_whole_to_programs() {
    let database = Embedded::with_stuff(20).await;
    let mut run = database.backfill(RUN);
    Ended::run(run.env("USER", "ana")).expect_code(0);
    let brief = format!("  by        ana@{} (pid ", host());
    let status = Ended::run(&mut database.backfill("status")).expect_code(0);
    assert!(status.stdout.contains(&brief), "{}", status.stdout);
    assert!(!status.stdout.contains(" boot "), "{}", status.stdout);
    let status = Ended::run(&mut database.backfill("status --json")).expect_code(0);
    let owner = status.json()["owner"].as_str().unwrap().to_owned();
    assert!(owner.starts_with("process "), "{owner}");
    assert!(owner.contains(" of ana on "), "{owner}");
    assert!(owner.contains(" boot "), "{owner}");
}

/// From now on the record of a run says that this owner holds it and that it goes on.
async fn hold(database: &Embedded, run_id: &str, owner: &str) {
    let held = database
        .client
        .update_item()
        .table_name("backfill-checkpoints")
        .key("run_id", tables::string(run_id))
        .key("record", tables::string("run"))
        .update_expression("SET #owner = :owner, #status = :running")
        .expression_attribute_names("#owner", "owner")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":owner", tables::string(owner))
        .expression_attribute_values(":running", tables::string("running"));
    held.send().await.unwrap();
}

/// one-owner: an execution that goes on, or that cannot be asked for, holds its run. One that Step Functions no longer knows,
/// 90 days after its end, does not.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_until_step_functions_knows_no_execution() {
    const ARN: &str = "arn:aws:states:us-east-1:000000000000:execution:backfill:long-ago";
    let database = Embedded::with_stuff(20).await;
    let first = Ended::run(&mut database.backfill(RUN)).expect_code(0);
    let run_id = first.json()["run_id"].as_str().unwrap().to_owned();
    let error = |name: &'static str| (400, Some(name), json!({"message": name}).to_string());
    let goes_on = json!({
        "executionArn": ARN, "name": "long-ago", "status": "RUNNING", "startDate": 1.0,
        "stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:backfill",
    });
    for (answer, code) in [
        ((200, None, goes_on.to_string()), 2),
        (error("AccessDeniedException"), 2),
        (error("ExecutionDoesNotExist"), 0),
    ] {
        hold(&database, &run_id, ARN).await;
        let stub = Stub::start(move |_| answer.clone()).await;
        let mut next = backfill(RUN.split_whitespace());
        next.env("AWS_ENDPOINT_URL_DYNAMODB", &database.endpoint)
            .env("AWS_ENDPOINT_URL_SFN", &stub.endpoint);
        let next = Ended::run(&mut next).expect_code(code);
        assert_eq!(stub.asked(), ["AWSStepFunctions.DescribeExecution"]);
        let has_ended = next.stderr.contains("has ended without saying so");
        assert_eq!(has_ended, code == 0, "{}", next.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_begins_a_new_pass_and_fresh_starts_over() {
    let database = Embedded::with_stuff(300).await;
    let first = Ended::run(&mut database.backfill(RUN))
        .expect_code(0)
        .json();
    let late: Vec<Item> = (300..310)
        .map(|i| {
            let mut item = stuff(i);
            item.remove("test");
            item
        })
        .collect();
    tables::put_all(&database.client, "stuff", &late).await;
    let second = Ended::run(&mut database.backfill(RUN))
        .expect_code(0)
        .json();
    assert_eq!(second["run_id"], first["run_id"]);
    assert_eq!(
        (&second["passes"], &second["updated"]),
        (&json!(2), &json!(250))
    );
    let fresh = Ended::run(&mut database.backfill(&format!("{RUN} --fresh")))
        .expect_code(0)
        .json();
    assert_eq!(
        (&fresh["passes"], &fresh["updated"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(fresh["scanned"], 310);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spec_or_segment_count_under_a_run_id_is_refused_with_both_shown() {
    let database = Embedded::with_stuff(100).await;
    let run = "run --table stuff --run-id r --segments 2 --json";
    Ended::run(database.backfill(run).args(["--set", "test=1"])).expect_code(0);
    let before = all(&database).await;
    let refused = Ended::run(database.backfill(run).args(["--set", "other=7"])).expect_code(2);
    assert!(
        refused.stderr.contains(r#"SET test = {"N":"1"}"#),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains(r#"SET other = {"N":"7"}"#),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.stdout, "");
    let run = "run --table stuff --run-id r --segments 5 --set test=1";
    let refused = Ended::run(&mut database.backfill(run)).expect_code(2);
    assert!(
        refused.stderr.contains("2 segments, and 5"),
        "{}",
        refused.stderr
    );
    assert_eq!(all(&database).await, before);
}
