//! `backfill sandbox`, `table` and `item`, and the examples from creation to proof.

use std::collections::BTreeMap;
use std::path::PathBuf;

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::{Ended, backfill, root};
use backfill_e2e::database::Embedded;
use backfill_e2e::sandbox::Sandbox;
use backfill_e2e::tables::{Keys, read_all};
use serde_json::{Value as Json, json};

fn example(name: &str, file: &str) -> PathBuf {
    root().join("examples").join(name).join(file)
}

/// Path of an example's file as an argument.
fn path(name: &str, file: &str) -> String {
    let path = example(name, file);
    path.to_str().expect("a path of text").to_owned()
}

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

/// Gives an item this attribute where it is missing.
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

fn fields(lines: &[String], name: &str) -> Vec<Json> {
    lines
        .iter()
        .map(|line| {
            let object: Json = serde_json::from_str(line).expect("an object on a line");
            object[name].clone()
        })
        .collect()
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

#[tokio::test(flavor = "multi_thread")]
async fn single_items_and_their_conditions() {
    let sandbox = Sandbox::start();
    let definition = path("stuff", "table.json");
    sandbox
        .run(&["table", "create", "--file", &definition])
        .expect_code(0);
    let item = |verb: &str, rest: &[&str]| {
        let arguments: Vec<&str> = ["item", verb, "--table", "stuff"]
            .into_iter()
            .chain(rest.iter().copied())
            .collect();
        sandbox.run(&arguments)
    };
    let (a, b) = (r#"{"id":"a","created":1}"#, r#"{"id":"b","created":2.0}"#);
    let put = r#"{"id":"a","created":1,"price":12345678901234567890.5}"#;
    let new = ["--condition", "attribute_not_exists(id)"];
    item("put", &["--item", put, new[0], new[1]]).expect_code(0);
    let again = item("put", &["--item", a, new[0], new[1]]).expect_code(1);
    assert!(
        again
            .stderr
            .contains("the condition does not hold: attribute_not_exists(id)"),
        "{}",
        again.stderr
    );
    let typed = r#"{"id":{"S":"b"},"created":{"N":"2"},"tags":{"SS":["x","y"]}}"#;
    item("put", &["--typed", "--item", typed]).expect_code(0);

    // Several at once, in the order of the keys; a number is the same however it is written.
    let got = item("get", &["--consistent", "--key", b, "--key", a]).expect_code(0);
    assert_eq!(
        got.stdout,
        "{\"created\":2,\"id\":\"b\",\"tags\":[\"x\",\"y\"]}\n{\"created\":1,\"id\":\"a\",\"price\":12345678901234567890.5}\n"
    );
    let missing = r#"{"id":"c","created":3}"#;
    let got = item("get", &["--key", missing, "--key", a]).expect_code(3);
    assert_eq!(got.stdout.lines().count(), 1);
    assert!(got.stderr.contains("no item with key"), "{}", got.stderr);
    item("get", &["--key", a, "--key", a]).expect_code(2);

    let set = [
        "--update",
        "SET #t = :t",
        "--name",
        "#t=test",
        "--value",
        ":t=1",
    ];
    let there = ["--condition", "attribute_exists(id)"];
    let update = |key| {
        let all = [&["--key", key][..], &set, &there].concat();
        item("update", &all)
    };
    update(a).expect_code(0);
    update(missing).expect_code(1);
    item("exists", &["--key", missing]).expect_code(3);
    item("exists", &["--key", a, "--consistent"]).expect_code(0);
    let delete = |value| {
        let guard = ["--condition", "test = :t", "--value", value];
        item("delete", &[&["--key", a][..], &guard].concat())
    };
    delete(":t=2").expect_code(1);
    delete(":t=1").expect_code(0);
    item("exists", &["--key", a, "--consistent"]).expect_code(3);
    // Unless a condition says so, it is no error that there is nothing to delete.
    item("delete", &["--key", a]).expect_code(0);
    // A key of another shape is refused by DynamoDB itself.
    item("get", &["--key", r#"{"id":"a"}"#]).expect_code(2);
}

/// A line from an address that is not "this machine" by its name to a database that is.
async fn relay(endpoint: &str) -> String {
    let target = endpoint.trim_start_matches("http://").to_owned();
    let listener = tokio::net::TcpListener::bind(("127.0.0.2", 0))
        .await
        .expect("Linux has all of 127.0.0.0/8");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                if let Ok(mut to) = tokio::net::TcpStream::connect(target).await {
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_local_is_not_dropped_or_seeded_unasked() {
    let database = Embedded::with_stuff(20).await;
    let elsewhere = relay(&database.endpoint).await;
    let run = |arguments: &str| {
        let mut command = backfill(arguments.split_whitespace());
        command.args(["--endpoint-url", &elsewhere]);
        Ended::run(&mut command)
    };
    for command in [
        "table drop --table stuff",
        "table seed --table stuff --items 5",
    ] {
        let refused = run(command).expect_code(2);
        assert!(
            refused.stderr.contains("--confirm stuff"),
            "{}",
            refused.stderr
        );
        run(&format!("{command} --confirm stuf")).expect_code(2);
        let count = run("table scan --table stuff --count").expect_code(0);
        assert_eq!(count.stdout, "20\n", "nothing has happened");
    }
    run("table seed --table stuff --items 5 --confirm stuff").expect_code(0);
    let count = run("table scan --table stuff --count").expect_code(0);
    assert_eq!(count.stdout, "25\n");
    run("table drop --table stuff --confirm stuff").expect_code(0);
    assert!(database.table_names().await.is_empty());

    // An account that somebody is signed in to is not where these commands look.
    let mut signed_in = backfill(["table", "describe", "--table", "no-such-table"]);
    let ended = Ended::run(signed_in.env("AWS_PROFILE", "production"));
    assert_ne!(ended.code, 0);
    assert!(
        ended.stderr.contains("at http://127.0.0.1:8000"),
        "{}",
        ended.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_a_file_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("data.db");
    let first = Sandbox::with_file(&file);
    let definition = path("orders", "table.json");
    first
        .run(&["table", "create", "--file", &definition])
        .expect_code(0);
    first
        .run(&[
            "table",
            "seed",
            "--table",
            "orders",
            "--items",
            "50",
            "--sparse",
            "open_customer_id",
        ])
        .expect_code(0);
    let items = read_all(
        &first.client,
        "orders",
        &[("customer_id", "S"), ("order_id", "S")],
    )
    .await;
    assert_eq!(items.len(), 50);
    first.stop();

    let second = Sandbox::with_file(&file);
    let again = read_all(
        &second.client,
        "orders",
        &[("customer_id", "S"), ("order_id", "S")],
    )
    .await;
    assert_eq!(again, items);
    second
        .run(&[
            "table",
            "check",
            "--expect",
            &definition,
            "--min-items",
            "50",
        ])
        .expect_code(0);
    second
        .run(&["table", "drop", "--table", "orders"])
        .expect_code(0);
    assert_eq!(second.run(&["table", "list"]).expect_code(0).stdout, "");
    // Ended at once, as by a crash: what was done is kept all the same.
    drop(second);
    let third = Sandbox::with_file(&file);
    assert_eq!(
        third
            .run(&["table", "list", "--json"])
            .expect_code(0)
            .json(),
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_differs() {
    let sandbox = Sandbox::start();
    let definition = path("orders", "table.json");
    sandbox
        .run(&["table", "create", "--file", &definition])
        .expect_code(0);
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(&definition).expect("the example is there");
    let original: Json = serde_json::from_str(&text).expect("JSON");
    let check = |expected: &Json| {
        let file = folder.path().join("expected.json");
        std::fs::write(&file, expected.to_string()).expect("the file is written");
        sandbox.run(&[
            "table",
            "check",
            "--expect",
            file.to_str().unwrap(),
            "--json",
        ])
    };
    assert_eq!(check(&original).expect_code(0).json(), json!([]));

    for (pointer, value, difference) in [
        (
            "/BillingMode",
            json!("PROVISIONED"),
            "BillingMode: expected",
        ),
        (
            "/KeySchema/1/AttributeName",
            json!("other"),
            "KeySchema.RANGE: expected",
        ),
        (
            "/GlobalSecondaryIndexes/0/KeySchema/1/AttributeName",
            json!("order_id"),
            "GlobalSecondaryIndexes.StatusDateIndex.KeySchema.RANGE: expected",
        ),
        (
            "/GlobalSecondaryIndexes/1/Projection/NonKeyAttributes",
            json!(["total_amount"]),
            "GlobalSecondaryIndexes.OpenOrdersIndex.Projection.NonKeyAttributes: expected",
        ),
        (
            "/LocalSecondaryIndexes",
            json!([]),
            "LocalSecondaryIndexes.CustomerAmountIndex: expected none",
        ),
        (
            "/StreamSpecification/StreamViewType",
            json!("KEYS_ONLY"),
            "StreamSpecification.StreamViewType: expected",
        ),
        (
            "/TimeToLiveSpecification/AttributeName",
            json!("ttl"),
            "TimeToLiveSpecification.AttributeName: expected",
        ),
        (
            "/Tags/0/Value",
            json!("production"),
            "Tags.Environment: expected",
        ),
    ] {
        let mut expected = original.clone();
        *expected.pointer_mut(pointer).expect("the example has it") = value;
        let found = check(&expected).expect_code(3).json();
        let found = found.as_array().expect("a list");
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        assert!(
            found[0].as_str().unwrap().starts_with(difference),
            "{pointer}: {found:?}"
        );
    }
    for (field, value, difference) in [
        (
            "MinItemCount",
            json!(1),
            "MinItemCount: expected at least 1, found 0",
        ),
        (
            "Alarms",
            json!([{"AlarmName": "throttles"}]),
            "Alarms: cannot be seen",
        ),
    ] {
        let mut expected = original.clone();
        expected[field] = value;
        let found = check(&expected).expect_code(3).json();
        assert!(
            found[0].as_str().unwrap().starts_with(difference),
            "{found}"
        );
    }
    let mut mistyped = original.clone();
    mistyped["BilingMode"] = json!("PAY_PER_REQUEST");
    check(&mistyped).expect_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_template_is_created_and_what_describe_prints_creates_another() {
    let sandbox = Sandbox::start();
    let template = root().join("template.yaml");
    let template = template.to_str().unwrap();
    let target = [
        "--resource",
        "TargetTable",
        "--parameter",
        "TableName=made",
        "--parameter",
        "ReadCapacityUnits=3",
        "--parameter",
        "WriteCapacityUnits=4",
    ];
    let created = sandbox
        .run(&[&["table", "create", "--file", template][..], &target].concat())
        .expect_code(0);
    assert!(
        created
            .stderr
            .contains("PointInTimeRecoverySpecification of TargetTable is not used"),
        "{}",
        created.stderr
    );
    sandbox
        .run(&[&["table", "check", "--expect", template][..], &target].concat())
        .expect_code(0);
    let described = sandbox
        .run(&["table", "describe", "--table", "made"])
        .expect_code(0)
        .json();
    assert_eq!(
        described["ProvisionedThroughput"],
        json!({"ReadCapacityUnits": 3, "WriteCapacityUnits": 4})
    );
    // The stack's name is not known before there is a stack.
    let unnamed = [
        "table",
        "create",
        "--file",
        template,
        "--resource",
        "CheckpointTable",
    ];
    let refused = sandbox.run(&unnamed).expect_code(2);
    assert!(
        refused
            .stderr
            .contains("give it by --parameter, or --table"),
        "{}",
        refused.stderr
    );
    sandbox
        .run(&[&unnamed[..], &["--table", "checkpoints"]].concat())
        .expect_code(0);

    let folder = tempfile::tempdir().expect("a folder");
    let definition = path("orders", "table.json");
    sandbox
        .run(&["table", "create", "--file", &definition])
        .expect_code(0);
    let again = sandbox
        .run(&["table", "create", "--file", &definition])
        .expect_code(2);
    assert!(
        again.stderr.contains("table orders exists already"),
        "{}",
        again.stderr
    );
    let described = sandbox
        .run(&["table", "describe", "--table", "orders"])
        .expect_code(0);
    let file = folder.path().join("described.json");
    std::fs::write(&file, described.stdout).expect("the file is written");
    let copy = ["--table", "copy"];
    sandbox
        .run(
            &[
                &["table", "create", "--file", file.to_str().unwrap()][..],
                &copy,
            ]
            .concat(),
        )
        .expect_code(0);
    sandbox
        .run(&[&["table", "check", "--expect", &definition][..], &copy].concat())
        .expect_code(0);
    assert_eq!(
        sandbox.run(&["table", "list"]).expect_code(0).stdout,
        "checkpoints\ncopy\nmade\norders\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_another_table_comes_without_what_is_to_be_migrated() {
    let source = Embedded::with_stuff(1_000).await;
    let sandbox = Sandbox::start();
    let definition = path("stuff", "table.json");
    sandbox
        .run(&["table", "create", "--file", &definition])
        .expect_code(0);
    let seed = |rest: &[&str]| {
        let from = [
            "table",
            "seed",
            "--table",
            "stuff",
            "--from",
            "stuff",
            "--from-endpoint-url",
            &source.endpoint,
        ];
        sandbox.run(&[&from[..], rest].concat())
    };
    let keys = [("id", "S"), ("created", "N")];
    let originals = read_all(&source.client, "stuff", &keys).await;
    seed(&["--sample", "200", "--without", "test"]).expect_code(0);
    let sample = read_all(&sandbox.client, "stuff", &keys).await;
    assert_eq!(sample.len(), 200);
    for (key, item) in &sample {
        let mut original = originals[key].clone();
        original.remove("test");
        assert_eq!(*item, original);
    }
    // More than there are: all of them, a fifth as if they were migrated.
    seed(&[
        "--sample",
        "5000",
        "--without",
        "test",
        "--with",
        "test=1",
        "--with-percent",
        "20",
    ])
    .expect_code(0);
    let all = read_all(&sandbox.client, "stuff", &keys).await;
    assert_eq!(all.len(), 1_000);
    let migrated = all
        .values()
        .filter(|item| item.contains_key("test"))
        .count();
    assert!((130..270).contains(&migrated), "{migrated}");
    let refused = seed(&["--without", "id"]).expect_code(2);
    assert!(
        refused.stderr.contains("is a key of the table"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        read_all(&source.client, "stuff", &keys).await,
        originals,
        "it is only read"
    );
}
