//! The backfills of `examples/`.

use std::collections::BTreeMap;

use backfill_core::{Item, Key, Value};
use backfill_e2e::sandbox::Sandbox;
use backfill_e2e::tables::{Keys, read_all};
use serde_json::Value as Json;

use crate::rehearsal::{example, fields, path};

/// An example from creation to proof: it is created as described, seeded, migrated and verified; what was not pending is
/// untouched, and what was has just the attributes that `migrate` gives it. Returns what its queries print.
async fn rehearse(
    sandbox: &Sandbox,
    name: &str,
    keys: Keys<'_>,
    migrate: impl Fn(&mut Item),
) -> Vec<String> {
    let (definition, seed, spec) = (
        path(name, "table.json"),
        path(name, "seed.jsonl"),
        path(name, "backfill.json"),
    );
    sandbox
        .run(&["table", "create", "--file", &definition])
        .expect_code(0);
    sandbox
        .run(&["table", "seed", "--table", name, "--file", &seed])
        .expect_code(0);
    let check = [
        "table",
        "check",
        "--expect",
        &definition,
        "--min-items",
        "12",
    ];
    sandbox.run(&check).expect_code(0);
    let before = read_all(&sandbox.client, name, keys).await;

    let expected: BTreeMap<Key, Item> = before
        .iter()
        .map(|(key, item)| {
            let mut item = item.clone();
            migrate(&mut item);
            (key.clone(), item)
        })
        .collect();
    let pending = before
        .iter()
        .filter(|(key, item)| expected[*key] != **item)
        .count();
    assert!(
        0 < pending && pending < before.len(),
        "some items are migrated and some are not: {pending} of {}",
        before.len()
    );

    sandbox.run(&["verify", "--spec", &spec]).expect_code(3);
    let result = sandbox
        .run(&["run", "--spec", &spec, "--json"])
        .expect_code(0)
        .json();
    assert_eq!(result["updated"], pending, "{result}");
    sandbox.run(&["verify", "--spec", &spec]).expect_code(0);
    assert_eq!(read_all(&sandbox.client, name, keys).await, expected);
    sandbox.run(&check).expect_code(0);

    let printed = sandbox.script(&example(name, "queries.sh")).expect_code(0);
    printed.stdout.lines().map(str::to_owned).collect()
}

/// Gives an item this attribute if it is missing.
fn lacking(name: &str, value: Value) -> impl Fn(&mut Item) {
    move |item| {
        item.entry(name.into()).or_insert_with(|| value.clone());
    }
}

fn text(text: &str) -> Value {
    Value::S(text.into())
}

fn is_message(item: &Item) -> bool {
    matches!(&item["pk"], Value::S(pk) if pk.starts_with("MSG#"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_stuff() {
    let sandbox = Sandbox::start();
    let keys = [("id", "S"), ("created", "N")];
    let one = lacking("test", Value::N("1".into()));
    let lines = rehearse(&sandbox, "stuff", &keys, one).await;
    assert_eq!(
        fields(&lines, "name")[..2],
        ["Chair, oak, repaired", "Chair, oak"]
    );
    assert_eq!(fields(&lines, "test")[2..].len(), 3, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_cruddur_messages() {
    let sandbox = Sandbox::start();
    let keys = [("pk", "S"), ("sk", "S")];
    let lines = rehearse(&sandbox, "cruddur-messages", &keys, |item| {
        if is_message(item) {
            item.entry("edited".into()).or_insert(Value::Bool(false));
        }
    })
    .await;
    let times = fields(&lines, "sk");
    let times: Vec<&str> = times.iter().filter_map(Json::as_str).collect();
    // The messages of 2025, then the conversations, both backwards; then all of another conversation.
    assert_eq!(times.len(), 5 + 2 + 5, "{lines:?}");
    assert!(times[..5].is_sorted_by(|a, b| a > b), "{lines:?}");
    assert!(times[5] > times[6], "{lines:?}");
    let of = fields(&lines[5..7], "user_display_name");
    assert_eq!(of, ["Andrew Bayko", "Londo Mollari"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_orders() {
    let sandbox = Sandbox::start();
    let keys = [("customer_id", "S"), ("order_id", "S")];
    let ninety_days = |item: &mut Item| {
        if let (None, Some(Value::N(epoch))) = (item.get("expiry_date"), item.get("order_epoch")) {
            let end = epoch.parse::<u64>().expect("seconds") + 90 * 86_400;
            item.insert("expiry_date".into(), Value::N(end.to_string()));
        }
    };
    let lines = rehearse(&sandbox, "orders", &keys, ninety_days).await;
    let ids = fields(&lines, "order_id");
    assert_eq!(ids.len(), 6 + 2 + 1 + 1, "{lines:?}");
    assert_eq!(ids[6..], ["o-1007", "o-1028", "o-1033", "o-0007"]);
    assert_eq!(
        fields(&lines, "expiry_date")[8],
        1_759_212_344 + 7_776_000,
        "the index has the new attribute: {lines:?}"
    );

    // The index of open orders is sparse.
    let open = [
        "table",
        "scan",
        "--table",
        "orders",
        "--index",
        "OpenOrdersIndex",
        "--count",
    ];
    assert_eq!(sandbox.run(&open).expect_code(0).stdout, "3\n");

    // What has no epoch stays as it is, until somebody gives it one.
    let spec = path("orders", "backfill.json");
    let update = [
        "item",
        "update",
        "--table",
        "orders",
        "--key",
        r#"{"customer_id":"c-emre","order_id":"o-0007"}"#,
        "--update",
        "SET order_epoch = :e",
        "--value",
        ":e=1549843200",
        "--condition",
        "attribute_not_exists(order_epoch)",
    ];
    sandbox.run(&update).expect_code(0);
    sandbox.run(&["verify", "--spec", &spec]).expect_code(3);
    sandbox.run(&["run", "--spec", &spec]).expect_code(0);
    let undated = [
        "table",
        "scan",
        "--table",
        "orders",
        "--count",
        "--filter",
        "attribute_not_exists(expiry_date)",
    ];
    assert_eq!(sandbox.run(&undated).expect_code(0).stdout, "0\n");
}

/// Conditional writes and batches of `orders`: what a condition forbids is not done, and nothing else is touched.
#[tokio::test(flavor = "multi_thread")]
async fn the_writes_of_the_example_orders() {
    let sandbox = Sandbox::start();
    let keys = [("customer_id", "S"), ("order_id", "S")];
    let (definition, seed) = (path("orders", "table.json"), path("orders", "seed.jsonl"));
    for arguments in [
        ["table", "create", "--file", &definition][..].to_vec(),
        vec!["table", "seed", "--table", "orders", "--file", &seed],
    ] {
        sandbox.run(&arguments).expect_code(0);
    }
    let before = read_all(&sandbox.client, "orders", &keys).await;
    let writes = example("orders", "writes.sh");
    let printed = sandbox.script(&writes).expect_code(0);
    let lines: Vec<String> = printed.stdout.lines().map(str::to_owned).collect();
    assert_eq!(fields(&lines, "order_id"), ["o-2004", "o-2001", "o-2003"]);
    assert_eq!(fields(&lines, "status"), ["shipped", "open", "open"]);
    for refused in [
        "nothing was put",
        "nothing was updated",
        "nothing was deleted",
    ] {
        assert_eq!(
            printed.stderr.matches(refused).count(),
            1,
            "{}",
            printed.stderr
        );
    }
    let after = read_all(&sandbox.client, "orders", &keys).await;
    let (old, new): (BTreeMap<Key, Item>, BTreeMap<Key, Item>) = after
        .into_iter()
        .partition(|(key, _)| before.contains_key(key));
    assert_eq!(old, before);
    let by_status = |status: &str| {
        let has = |item: &&Item| item["status"] == text(status);
        new.values().filter(has).collect::<Vec<_>>()
    };
    assert_eq!((new.len(), by_status("open").len()), (4, 3), "{new:?}");
    let shipped = by_status("shipped");
    assert!(!shipped[0].contains_key("open_customer_id"), "{shipped:?}");

    // The first order is there now, so that the script goes no further.
    sandbox.script(&writes).expect_code(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_domain() {
    let sandbox = Sandbox::start();
    let weekly = lacking("crawl", text("weekly"));
    let lines = rehearse(&sandbox, "Domain", &[("url", "S")], weekly).await;
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(fields(&lines, "crawl")[0], "daily");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_log() {
    let sandbox = Sandbox::start();
    let info = lacking("level", text("info"));
    let lines = rehearse(&sandbox, "Log", &[("updated_at", "S")], info).await;
    assert_eq!(fields(&lines[..3], "Status"), ["failed"; 3]);
    assert_eq!(lines[3..], ["1", "10", "1"]);
}
