//! The checkpoint table is no table to migrate, and a table to migrate is no checkpoint table.

use std::collections::BTreeMap;

use backfill_core::{Item, Value};
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{CHECKPOINT_KEYS, create, put_all, read_all};

use crate::stuff::{RUN, all};

fn item(fields: &[(&str, &str)]) -> Item {
    let field = |&(name, text): &(&str, &str)| (name.to_owned(), Value::S(text.to_owned()));
    fields.iter().map(field).collect()
}

/// A run is refused, and nothing written, if its table is the checkpoint table, or any other with records of runs. A table that
/// happens to have such keys is migrated as any.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_runs_are_never_migrated() {
    let database = Embedded::with_stuff(30).await;
    let client = &database.client;
    Ended::run(&mut database.backfill(&format!("{RUN} --run-id done"))).expect_code(0);
    create(client, "alike", CHECKPOINT_KEYS).await;
    let record = item(&[("run_id", "a"), ("record", "gold"), ("expires_at", "never")]);
    put_all(client, "alike", &[record]).await;
    for (table, place, name) in [("listed", "#runs", "run#a"), ("noted", "a#count", "count")] {
        create(client, table, CHECKPOINT_KEYS).await;
        let record = item(&[("run_id", place), ("record", name), ("expires_at", "never")]);
        put_all(client, table, &[record]).await;
    }
    let tables = async || {
        let mut tables = BTreeMap::new();
        for name in ["backfill-checkpoints", "alike", "listed", "noted"] {
            tables.insert(name, read_all(client, name, CHECKPOINT_KEYS).await);
        }
        tables
    };
    let before = tables().await;
    let run = |what: &str| Ended::run(&mut database.backfill(what));
    for (command, why) in [
        (
            "run --table alike --checkpoint-table alike --set test=1",
            "alike is the checkpoint table of this run, too",
        ),
        (
            "plan --table alike --checkpoint-table alike --set test=1",
            "alike is the checkpoint table of this run, too",
        ),
        (
            "run --table backfill-checkpoints --checkpoint-table alike --set test=1",
            "backfill-checkpoints is a checkpoint table",
        ),
        (
            "run --table listed --checkpoint-table new --set test=1",
            "listed is a checkpoint table",
        ),
        (
            "run --table noted --checkpoint-table new --set test=1",
            "noted is a checkpoint table",
        ),
        (
            "run --table backfill-checkpoints --checkpoint-table new --set test=1 --dry-run",
            "backfill-checkpoints is a checkpoint table",
        ),
        (
            "plan --table backfill-checkpoints --checkpoint-table new --set test=1",
            "backfill-checkpoints is a checkpoint table",
        ),
    ] {
        let refused = run(command).expect_code(2);
        assert!(
            refused.stderr.contains(why),
            "{command}: {}",
            refused.stderr
        );
        assert_eq!(refused.stdout, "", "{command}");
    }
    assert!(tables().await == before, "something was written");
    run("run --table alike --set test=1").expect_code(0);
}

/// A table with other keys can hold no records: each command says so, with exit code 2, before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_table_with_other_keys_is_refused() {
    let database = Embedded::with_stuff(30).await;
    let before = all(&database).await;
    for command in [
        RUN,
        "plan --table stuff --set test=1",
        "status",
        "status --run-id r",
        "runs",
        "report --run-id r --out -",
        "watch --run-id r",
        "pause --run-id r",
        "resume --run-id r",
        "rate --run-id r --max-wcu 5",
        "rejected --run-id r",
    ] {
        let command = format!("{command} --checkpoint-table stuff");
        let refused = Ended::run(&mut database.backfill(&command)).expect_code(2);
        let is_said = [
            "stuff is the checkpoint table of this run, too",
            "stuff at http://",
        ]
        .iter()
        .any(|words| refused.stderr.contains(words));
        assert!(is_said, "{command}: {}", refused.stderr);
    }
    let other = "run --table other --set test=1 --checkpoint-table stuff";
    create(&database.client, "other", &[("id", "S")]).await;
    let refused = Ended::run(&mut database.backfill(other)).expect_code(2);
    assert!(
        refused
            .stderr
            .contains("is no checkpoint table: its key is id, created"),
        "{}",
        refused.stderr
    );
    for command in ["status", "runs"] {
        let command = format!("{command} --checkpoint-table other");
        let refused = Ended::run(&mut database.backfill(&command)).expect_code(2);
        assert!(
            refused.stderr.contains("is no checkpoint table"),
            "{command}: {}",
            refused.stderr
        );
    }
    assert!(all(&database).await == before, "something was written");
}
