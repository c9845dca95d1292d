//! What a run is worth whose table is not there any more.

use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, create, migrated, put_all, stuff};
use serde_json::{Value as Json, json};

use crate::stuff::{RUN, all, assert_accounted};

fn shown(database: &Embedded, command: &str) -> Ended {
    Ended::run(&mut database.backfill(command)).expect_code(0)
}

/// What `status` and `runs` tell programs of the table of run `r`.
fn table_now(database: &Embedded) -> [Json; 2] {
    let status = shown(database, "status --run-id r --json").json();
    let runs = shown(database, "runs --json").json();
    [&status, &runs["runs"][0]].map(|run| run["table_now"].clone())
}

/// A table that was dropped, and perhaps created anew, is not the one that a run has changed: whoever looks at the run is told so,
/// and a start is a new run on it.
#[tokio::test(flavor = "multi_thread")]
async fn the_run_of_a_table_that_is_gone_is_shown_as_that() {
    let database = Embedded::with_stuff(30).await;
    let client = &database.client;
    shown(&database, &format!("{RUN} --run-id r"));
    let commands = [
        "status --run-id r",
        "runs",
        "report --run-id r --format markdown --out -",
    ];
    assert_eq!(table_now(&database), [json!("same"), json!("same")]);
    for command in commands {
        let text = shown(&database, command).stdout;
        assert!(!text.contains("gone"), "{command}:\n{text}");
    }

    let drop_it = || client.delete_table().table_name("stuff").send();
    drop_it().await.unwrap();
    assert_eq!(table_now(&database), [json!("missing"), json!("missing")]);
    for (command, words) in commands.into_iter().zip([
        "its table is gone: there is no table stuff now",
        "stuff (gone)",
        "Its table is gone: there is no table stuff now",
    ]) {
        let text = shown(&database, command).stdout;
        assert!(text.contains(words), "{command}:\n{text}");
    }

    create(client, "stuff", STUFF_KEYS).await;
    let items: Vec<_> = (0..7).map(stuff).collect();
    put_all(client, "stuff", &items).await;
    assert_eq!(table_now(&database), [json!("another"), json!("another")]);
    let plan = "plan --table stuff --set test=1 --run-id r";
    for (command, words) in commands.into_iter().chain([plan]).zip([
        "its table is gone: stuff was created anew since",
        "stuff (gone)",
        "Its table is gone: stuff was created anew since",
        "r, new: the run that is there already, succeeded in pass 1, is that of a table stuff that is gone",
    ]) {
        let text = shown(&database, command).stdout;
        assert!(text.contains(words), "{command}:\n{text}");
    }

    let before = all(&database).await;
    let result = shown(&database, &format!("{RUN} --run-id r"));
    let words = "note: r, new: the run that is there already, succeeded in pass 1, is that of a table stuff that is gone";
    assert!(result.stderr.contains(words), "{}", result.stderr);
    let result = result.json();
    assert_accounted(&result);
    assert_eq!(
        (&result["scanned"], &result["updated"]),
        (&json!(7), &json!(7))
    );
    assert_eq!(all(&database).await, migrated(&before));
    assert_eq!(table_now(&database), [json!("same"), json!("same")]);
    let text = shown(&database, "status --run-id r").stdout;
    assert!(text.contains("  table "), "the history tells it:\n{text}");
}
