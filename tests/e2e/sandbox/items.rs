//! Single items, and what is not touched unasked.

use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::sandbox::Sandbox;

use crate::rehearsal::path;

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

/// A `#name` that is typed and not defined does not come to mean the reserved word beside it, for which there is one of ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_that_nobody_defined_means_no_reserved_word() {
    let database = Embedded::with_stuff(1).await;
    let item = |command: &str, more: &[&str]| {
        let mut command = database.backfill(&format!("item {command} --table stuff"));
        Ended::run(command.args(more))
    };
    let key = r#"{"id":"a","created":1}"#;
    item("put", &["--item", key]).expect_code(0);
    let unknown = "attribute_not_exists(status) AND attribute_not_exists(#status)";
    let update = [
        "--key",
        key,
        "--update",
        "SET status = :v",
        "--value",
        ":v=1",
    ];
    let in_update = ["--update", "SET #status = :v", "--value", ":v=1"];
    let only_status = "attribute_not_exists(status)";
    for (command, flags) in [
        ("put", vec!["--item", key, "--condition", unknown]),
        ("delete", vec!["--key", key, "--condition", unknown]),
        ("update", [&update[..], &["--condition", unknown]].concat()),
        (
            "update",
            [&in_update[..], &["--key", key, "--condition", only_status]].concat(),
        ),
    ] {
        let refused = item(command, &flags).expect_code(2).stderr;
        let why = "error: name: #status is used in an expression but not defined; give --name '#status=ATTRIBUTE'";
        assert!(refused.starts_with(why), "{command}: {refused}");
        let named = [&flags[..], &["--name", "#status=status"]].concat();
        if command == "update" {
            item(command, &named).expect_code(0);
            item("put", &["--item", key]).expect_code(0);
        }
    }
    item("update", &update).expect_code(0);
    let got = item("get", &["--key", key]).expect_code(0).stdout;
    assert_eq!(got, "{\"created\":1,\"id\":\"a\",\"status\":1}\n");
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
