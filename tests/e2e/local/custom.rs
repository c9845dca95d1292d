//! The command of somebody who has code of their own: that of `examples/custom-change`.

use std::process::Command;

use backfill_core::Value;
use backfill_e2e::command::{Ended, backfill, backfill_of, program};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{create, put_all, read_all};
use backfill_e2e::visits::{KNOWN_AGENT, UNKNOWN_AGENT, VISITS, VISITS_KEYS, Visits};
use serde_json::json;

use crate::stuff::assert_accounted;

const CODE: &str = "--table visits --code user-agent";

/// A database with these visits.
async fn with(visits: &Visits) -> Embedded {
    let database = Embedded::start().await;
    create(&database.client, VISITS, VISITS_KEYS).await;
    put_all(&database.client, VISITS, &visits.before).await;
    database
}

/// The example's command with these arguments (split at blanks).
fn custom(database: &Embedded, arguments: &str) -> Ended {
    let program = program("custom-backfill");
    ended(database, backfill_of(&program, arguments.split(' ')))
}

fn ended(database: &Embedded, mut command: Command) -> Ended {
    Ended::run(command.args(["--endpoint-url", &database.endpoint]))
}

/// Code that no expression could say migrates a table. What it can make nothing of is rejected with its reason and stays
/// pending until somebody mends it; whatever was not pending is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn code_of_your_own_migrates_a_table() {
    let visits = Visits::of_each(40);
    let database = with(&visits).await;
    custom(&database, &format!("verify {CODE}")).expect_code(3);

    let run = format!("run {CODE} --run-id r --segments 4 --json");
    let result = custom(&database, &run).expect_code(3).json();
    assert_accounted(&result);
    for (field, expected) in [
        ("updated", json!(visits.updated)),
        ("rejected", json!(visits.rejected)),
        ("remaining", json!(visits.rejected)),
        ("status", json!("incomplete")),
    ] {
        assert_eq!(result[field], expected, "{field} of {result}");
    }
    let now = read_all(&database.client, VISITS, VISITS_KEYS).await;
    assert_eq!(now, visits.after);

    let rejected = custom(&database, "rejected --run-id r --json").expect_code(3);
    let rejected = rejected.json()["rejected"].take();
    let rejected = rejected.as_array().expect("a list");
    assert_eq!(rejected.len() as u64, visits.rejected);
    for item in rejected {
        let reason = "code user-agent: agent names no browser that is known";
        assert_eq!(item["reason"], reason, "{item}");
    }
    custom(&database, &format!("verify {CODE}")).expect_code(3);

    let mut mended = visits.before.clone();
    mended.retain(|item| item.get("agent") == Some(&Value::S(UNKNOWN_AGENT.into())));
    for item in &mut mended {
        item.insert("agent".into(), Value::S(KNOWN_AGENT.into()));
    }
    put_all(&database.client, VISITS, &mended).await;
    let result = custom(&database, &run).expect_code(0).json();
    assert_accounted(&result);
    assert_eq!(result["remaining"], 0, "{result}");
    custom(&database, &format!("verify {CODE}")).expect_code(0);
    let now = read_all(&database.client, VISITS, VISITS_KEYS).await;
    let known = now
        .values()
        .filter(|item| item.get("device") == Some(&Visits::known_device()));
    assert_eq!(known.count() as u64, visits.rejected);
}

/// The plan tries the code on copies, shows what it makes, and counts what it can make nothing of.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_shows_what_code_makes() {
    let visits = Visits::of_each(3);
    let database = with(&visits).await;
    let said = custom(&database, &format!("plan {CODE}")).expect_code(3);
    for words in [
        "SET device = user-agent (version 1) where attribute_exists(agent) AND attribute_not_exists(device)",
        r#"+ "device":{"browser":"#,
        "code user-agent: agent names no browser that is known (3 items, such as item",
    ] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
    let now = read_all(&database.client, VISITS, VISITS_KEYS).await;
    assert_eq!(now.len(), visits.before.len());
    assert!(
        visits
            .before
            .iter()
            .all(|item| now.values().any(|now| now == item))
    );
}

/// Before anything is read or written, the message names what there is; a program without the code says which one has it.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_a_program_does_not_have_is_refused() {
    let database = with(&Visits::of_each(1)).await;
    for (arguments, expected) in [
        (
            "run --table visits --code other",
            "error: code: other: this program does not have it; it has user-agent",
        ),
        (
            "run --table visits --code user-agent --set a=1",
            "error: code: it says itself what is pending and what is written; leave --set out",
        ),
    ] {
        let said = custom(&database, arguments).expect_code(2).stderr;
        assert!(said.contains(expected), "{arguments}: {said}");
    }
    let plain = ended(&database, backfill(format!("run {CODE}").split(' ')));
    let said = plain.expect_code(2).stderr;
    let expected = "code: \"user-agent\": this program has no code of its own; use the command and the functions that were built with it";
    assert!(said.contains(expected), "{said}");
    assert_eq!(database.table_names().await, [VISITS]);
}
