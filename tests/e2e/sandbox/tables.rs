//! Tables: a database in a file, definitions, differences, samples.

use backfill_e2e::command::root;
use backfill_e2e::database::Embedded;
use backfill_e2e::sandbox::Sandbox;
use backfill_e2e::tables::read_all;
use serde_json::{Value as Json, json};

use crate::rehearsal::path;

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

/// What is changed in the definition of the example, by its place, and what the check then says.
fn differences() -> [(&'static str, Json, &'static str); 8] {
    [
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
    ]
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

    for (pointer, value, difference) in differences() {
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

/// What is to be connected to a stream is asked of Lambda, which a sandbox does not have.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_what_is_connected_does_not_pass_unseen() {
    let sandbox = Sandbox::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("table.json");
    let path = file.to_str().expect("a path of text");
    for (table, has_stream, difference) in [
        (
            "streaming",
            true,
            "EventSourceMappings: cannot be seen: EventSourceMappings: the tables are on this machine",
        ),
        (
            "still",
            false,
            "EventSourceMappings.f: expected, but the table has no stream",
        ),
    ] {
        let mut definition = json!({
            "TableName": table,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "EventSourceMappings": [{"FunctionName": "f", "BatchSize": 100}],
        });
        if has_stream {
            definition["StreamSpecification"] =
                json!({"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"});
        }
        std::fs::write(&file, definition.to_string()).expect("the file is written");
        let created = sandbox
            .run(&["table", "create", "--file", path])
            .expect_code(0);
        assert!(
            created
                .stderr
                .contains("EventSourceMappings is not created"),
            "{}",
            created.stderr
        );
        let check = ["table", "check", "--expect", path, "--json"];
        let found = sandbox.run(&check).expect_code(3).json();
        let first = found[0].as_str().unwrap_or_default();
        assert!(first.starts_with(difference), "{found}");
        definition["EventSourceMappings"][0]["Batchsize"] = json!(1);
        std::fs::write(&file, definition.to_string()).expect("the file is written");
        sandbox.run(&check).expect_code(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_template_is_created_and_what_describe_prints_creates_another() {
    let sandbox = Sandbox::start();
    create_by_a_template(&sandbox);
    create_by_a_description(&sandbox);
    assert_eq!(
        sandbox.run(&["table", "list"]).expect_code(0).stdout,
        "checkpoints\ncopy\nmade\norders\n"
    );
}

/// Creates `made` and `checkpoints` by the template of the stack.
fn create_by_a_template(sandbox: &Sandbox) {
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
}

/// Creates `orders` by the example, and `copy` by what `describe` prints of it.
fn create_by_a_description(sandbox: &Sandbox) {
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
