//! What is to be done to items, as people say it.

use backfill_core::Item;
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{create, put_all, read_all};
use serde_json::json;

const KEYS: &[(&str, &str)] = &[("id", "S")];

/// A table `things` with these items.
async fn things(items: serde_json::Value) -> Embedded {
    let database = Embedded::start().await;
    create(&database.client, "things", KEYS).await;
    let items: Vec<Item> = serde_json::from_value(items).unwrap();
    put_all(&database.client, "things", &items).await;
    database
}

/// `a.b` may be an attribute of that name or the `b` inside `a`: if items have an `a` with something inside, nothing is done
/// until somebody says which of the two is meant.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_could_be_a_path_is_not_guessed() {
    let items: Vec<_> = (0..5)
        .map(|i| json!({"id": {"S": format!("item {i}")}, "a": {"M": {"c": {"N": "1"}}}}))
        .collect();
    let database = things(items.into()).await;
    let before = read_all(&database.client, "things", KEYS).await;
    for command in ["plan", "run", "run --dry-run", "verify"] {
        let command = format!("{command} --table things --set a.b=1");
        let refused = Ended::run(&mut database.backfill(&command)).expect_code(2);
        for words in [
            "set: \"a.b\" is the name of one attribute",
            "--update 'SET a.b = :v'",
            "--set '\"a.b\"=",
        ] {
            assert!(refused.stderr.contains(words), "{command}: {refused:?}");
        }
    }
    assert_eq!(read_all(&database.client, "things", KEYS).await, before);
    assert_eq!(database.table_names().await, ["things"]);

    // As the refusal says it: the one, and the other.
    let nested = Ended::run(database.backfill("run --table things").args([
        "--pending",
        "attribute_exists(a) AND attribute_not_exists(a.b)",
        "--update",
        "SET a.b = :v",
        "--value",
        ":v=1",
    ]))
    .expect_code(0);
    assert!(nested.stderr.contains("SET a.b = "), "{}", nested.stderr);
    let said = Ended::run(&mut database.backfill("run --table things --set \"a.b\"=2"));
    let said = said.expect_code(0);
    assert!(said.stderr.contains("SET \"a.b\" = "), "{}", said.stderr);
    for item in read_all(&database.client, "things", KEYS).await.values() {
        let item = serde_json::to_value(item).unwrap();
        assert_eq!(item["a"], json!({"M": {"b": {"N": "1"}, "c": {"N": "1"}}}));
        assert_eq!(item["a.b"], json!({"N": "2"}));
    }
    // Where nothing is inside, there is nothing to ask.
    let plain = Ended::run(&mut database.backfill("run --table things --set x.y=2"));
    plain.expect_code(0);
}
