//! What is to be done to items, as people say it.

use backfill_core::Item;
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{create, put_all, read_all};
use backfill_e2e::terminal::Terminal;
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
    // A map has no members with numbers, so nobody is told to write to one; DynamoDB would refuse it.
    let by_number = "run --table things --set a[0]=1";
    let refused = Ended::run(&mut database.backfill(by_number)).expect_code(2);
    for words in [
        "set: \"a[0]\" is the name of one attribute",
        "a is a map",
        "as in a.NAME",
        "--set '\"a[0]\"=",
    ] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert!(!refused.stderr.contains("SET a[0]"), "{refused:?}");
    assert_eq!(database.table_names().await, ["things"]);
    let advised = Ended::run(
        database
            .backfill("run --table things --no-rehearsal")
            .args([
                "--pending",
                "attribute_exists(a) AND attribute_not_exists(a[0])",
                "--update",
                "SET a[0] = :v",
                "--value",
                ":v=1",
            ]),
    );
    let advised = advised.expect_code(3);
    assert!(advised.stderr.contains("5 rejected"), "{advised:?}");
    assert_eq!(read_all(&database.client, "things", KEYS).await, before);

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

/// Quotes say that a name is no path, and are no part of it: quotes that are no JSON are refused, and no attribute has them in its name.
#[tokio::test(flavor = "multi_thread")]
async fn quotes_around_a_name_are_never_a_part_of_it() {
    let database = things(json!([{"id": {"S": "a"}, "back\\slash": {"N": "1"}}])).await;
    let before = read_all(&database.client, "things", KEYS).await;
    for (flag, argument) in [
        ("set", r#""back\slash"=1"#),
        ("set", r#""no end=1"#),
        ("set-typed", "\"line\nbreak\"={\"N\":\"1\"}"),
        ("remove", r#""back\slash""#),
        ("rename", r#""back\slash"=other"#),
        ("rename", r#"id2="back\slash""#),
        ("copy", r#"id2="back\slash""#),
        ("append", r#""back\slash"=1"#),
        ("add", r#""back\slash"=1"#),
    ] {
        let mut run = database.backfill("run --table things");
        let refused = Ended::run(run.arg(format!("--{flag}")).arg(argument)).expect_code(2);
        let why = format!("error: {flag}: a name in quotes is a JSON text");
        assert!(refused.stderr.starts_with(&why), "{refused:?}");
    }
    assert_eq!(read_all(&database.client, "things", KEYS).await, before);

    // As it is shown it can be typed.
    let mut run = database.backfill("run --table things");
    let renamed = Ended::run(run.args(["--rename", r#""back\\slash"="a\"b""#])).expect_code(0);
    let shown = r#"SET "a\"b" = "back\\slash" REMOVE "back\\slash" where"#;
    assert!(renamed.stderr.contains(shown), "{}", renamed.stderr);
    for item in read_all(&database.client, "things", KEYS).await.values() {
        let item = serde_json::to_value(item).unwrap();
        assert_eq!(item, json!({"id": {"S": "a"}, "a\"b": {"N": "1"}}));
    }
}

/// What is refused is called what it was called by whoever gave it: a flag, or a field of the file, with its name.
/// Long because it is a table of cases.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_flag_or_the_field_whichever_was_used() {
    let database = things(json!([{"id": {"S": "a"}}])).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.json");
    let file = format!("spec file {}: ", path.display());
    let refused = |spec: &str, flags: &[&str]| {
        std::fs::write(&path, spec).unwrap();
        let mut command = database.backfill("run");
        if !spec.is_empty() {
            command.arg("--spec").arg(&path);
        }
        Ended::run(command.args(flags)).expect_code(2).stderr
    };
    for (spec, of_file) in [
        (
            r#"{"table":"things","set":{"a":1},"total_segments":0}"#,
            "total_segments: expected 1",
        ),
        (
            r#"{"table":"things","set":{"a":1},"max_passes":"3"}"#,
            "max_passes: invalid type",
        ),
        (
            r#"{"table":"things","set":{"id":1}}"#,
            "set: id is a key attribute",
        ),
        (
            r#"{"table":"things","set":{"a":1},"only_segments":[9],"total_segments":4}"#,
            "only_segments: expected 0 to 3",
        ),
        (
            r#"{"table":"things","pending":"a = :v","update":"SET a = :w","values":{":v":1}}"#,
            "values: :w is used in an expression but not defined",
        ),
        (r#"{"table":"missing","set":{"a":1}}"#, "table: "),
        (r#"{"table" "things"}"#, "expected `:` at line 1"),
        (
            r#"{"table":"things","set":{"a" 1}}"#,
            "set: expected `:` at line 1",
        ),
        (
            r#"{"table":"things","set":{"a":1}} {}"#,
            "trailing characters",
        ),
        (
            r#"{"table":"things","set":{"a":1},"table":"things"}"#,
            "duplicate field `table`",
        ),
        (
            r#"{"table":"things","set":{"a":1,"a":2}}"#,
            "set: \"a\" is given twice",
        ),
    ] {
        let said = refused(spec, &[]);
        assert!(
            said.starts_with(&format!("error: {file}{of_file}")),
            "{spec}: {said}"
        );
        assert!(!said.contains('?') && !said.contains("input:"), "{said}");
    }
    // A flag that replaces a field is what is wrong then.
    let good = r#"{"table":"things","set":{"a":1},"total_segments":4}"#;
    for (flags, said_of_flags) in [
        (&["--segments", "0"][..], "segments: expected 1"),
        (&["--table", "missing"], "table: there is no table missing"),
        (&["--set", "id=1"], "set: id is a key"),
    ] {
        let said = refused(good, flags);
        assert!(
            said.starts_with(&format!("error: {said_of_flags}")),
            "{flags:?}: {said}"
        );
    }
    // Who gave flags alone has never seen the fields.
    let pair = |name: &'static str, value: &'static str| {
        ["--table", "things", "--pending", name, "--update", value]
    };
    for (flags, said_of_flags) in [
        (
            &pair("#x = a", "SET a = b")[..],
            "name: #x is used in an expression",
        ),
        (
            &pair("a = b", "SET a = :x"),
            "value: :x is used in an expression",
        ),
        (
            &["--table", "things"],
            "set: expected what to set, such as {\"test\":1}, or another of --remove, --rename, --copy, --append, --add, --compute and --code, or --pending together with --update",
        ),
        (
            &["--table", "things", "--pending", "a = b"],
            "update: expected beside --pending",
        ),
    ] {
        let said = refused("", flags);
        assert!(
            said.starts_with(&format!("error: {said_of_flags}")),
            "{flags:?}: {said}"
        );
    }
    Ended::run(&mut database.backfill("run --table things --set a=1 --run-id r --segments 4"))
        .expect_code(0);
    for (spec, flags, expected) in [
        (
            "",
            &[
                "--table",
                "things",
                "--set",
                "a=1",
                "--run-id",
                "r",
                "--segments",
                "5",
            ][..],
            "error: segments: run r was cut".to_owned(),
        ),
        (
            r#"{"table":"things","set":{"a":1},"total_segments":5}"#,
            &["--run-id", "r"],
            format!("error: {file}total_segments: run r was cut"),
        ),
        (
            r#"{"table":"things","set":{"a":2},"run_id":"r"}"#,
            &[],
            format!("error: {file}run_id: run r has another spec"),
        ),
        (
            "",
            &["--table", "things", "--set", "a=2", "--run-id", "r"],
            "error: run-id: run r has another spec".to_owned(),
        ),
    ] {
        let said = refused(spec, flags);
        assert!(said.starts_with(&expected), "{spec} {flags:?}: {said}");
    }
    // An editor's byte order mark is no mistake.
    let spec = "\u{feff}{\"table\":\"things\",\"set\":{\"marked\":1}}";
    std::fs::write(&path, spec).unwrap();
    Ended::run(database.backfill("run").arg("--spec").arg(&path)).expect_code(0);
}

/// What cannot be computed is refused before there is any record, in the words of whoever gave it.
/// Long because it is a table of cases.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_computed_is_refused_by_its_flag_or_field() {
    let database = things(json!([{"id": {"S": "a"}, "b": {"S": "x"}}])).await;
    let before = read_all(&database.client, "things", KEYS).await;
    for (flags, why) in [
        (
            &["--compute", "a"][..],
            "compute: expected NAME=VALUE, such as key='${tenant}#${status}'",
        ),
        (&["--compute", "a=${b"], "compute.a: "),
        (&["--compute", "a b=${b"], "compute.\"a b\": "),
        (
            &["--compute", "a=${b}", "--compute", "a=${c}"],
            "compute: a is given twice",
        ),
        (
            &["--compute", "\"a=${b}"],
            "compute: a name in quotes is a JSON text",
        ),
        (
            &["--compute", "a.b=${c}"],
            r#"compute: "a.b" looks like a path, and what is computed is an attribute at the top level of an item; for one of that name put it into quotes of its own: '"a.b"=…' on the command line"#,
        ),
        (
            &["--compute", "id=${b}"],
            "compute: id is a key attribute of table things",
        ),
        (
            &["--compute", "a=same"],
            "compute: no template has a source, such as ${tenant}; to give every item the same value, use --set",
        ),
        (
            &["--compute", "b=${b|lower}"],
            "compute.b: b is a source of itself, and in --mode missing an item that has it is not pending; give --mode converge, or --mode \
             replace with --pending",
        ),
        (
            &["--compute", "a=${b}", "--set", "c=1"],
            "compute: give either --set or --compute, each a run of its own",
        ),
        (
            &["--compute", "a=${b}", "--update", "REMOVE c"],
            "update: beside --compute it follows from the templates",
        ),
        (
            &["--compute", "a=${b}", "--mode", "replace"],
            "mode: replace needs --pending",
        ),
        (
            &[
                "--compute",
                "a=${b}",
                "--mode",
                "converge",
                "--pending",
                "b = c",
            ],
            "pending: in --mode converge it follows from the templates; leave it out, or give --mode replace",
        ),
        (
            &["--compute", "a=${b}", "--name", "#n=c"],
            "name: beside --compute it belongs to --pending",
        ),
        (
            &["--compute", "a=${b}", "--pending", "c = :v"],
            "value: :v is used in an expression but not defined",
        ),
        (
            &["--compute", "a=${b}", "--pending", "c = :t0"],
            "value: :t0 is a placeholder of --compute",
        ),
        (
            &["--set", "a=1", "--mode", "converge"],
            "mode: it belongs to --compute, and there is none",
        ),
    ] {
        for command in ["run", "verify", "plan"] {
            let mut command = database.backfill(&format!("{command} --table things"));
            let refused = Ended::run(command.args(flags)).expect_code(2).stderr;
            let why = format!("error: {why}");
            assert!(refused.starts_with(&why), "{flags:?}: {refused}");
        }
    }
    let mut odd = database.backfill("run --table things --compute a=${b} --mode sometimes");
    let odd = Ended::run(&mut odd).expect_code(2).stderr;
    assert!(odd.contains("missing, replace, converge"), "{odd}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.json");
    let file = format!("spec file {}: ", path.display());
    for (rest, flags, why) in [
        (
            r#""compute":{"a.b":"${c}"}"#,
            &[][..],
            format!("{file}compute: \"a.b\" looks like a path"),
        ),
        (
            r#""compute":{"a":"${c}"},"mode":"all""#,
            &[],
            format!("{file}mode: unknown variant `all`"),
        ),
        (
            r#""compute":{"a":"${c}"},"language":2"#,
            &[],
            format!("{file}language: the templates are in version 2"),
        ),
        (
            r#""compute":{"a":"${c}"}"#,
            &["--pending", "c = b", "--mode", "missing"],
            "pending: in --mode missing it follows".to_owned(),
        ),
        (
            r#""compute":{"a":"${c}"},"mode":"converge""#,
            &["--set", "c=1"],
            format!("{file}compute: give either `set` or `compute`"),
        ),
    ] {
        std::fs::write(&path, format!(r#"{{"table":"things",{rest}}}"#)).unwrap();
        let mut command = database.backfill("run");
        let refused = Ended::run(command.arg("--spec").arg(&path).args(flags)).expect_code(2);
        let why = format!("error: {why}");
        assert!(
            refused.stderr.starts_with(&why),
            "{rest} {flags:?}: {refused:?}"
        );
    }
    assert_eq!(database.table_names().await, ["things"]);
    assert_eq!(read_all(&database.client, "things", KEYS).await, before);
}

/// Names that DynamoDB reserves are typed like any other, in flags, files and the update of one item; who has given them
/// placeholders already has the run that they had.
#[tokio::test(flavor = "multi_thread")]
async fn reserved_words_are_names_like_any_other() {
    let database = things(json!([
        {"id": {"S": "a"}, "data": {"M": {"count": {"N": "1"}}}},
        {"id": {"S": "b"}, "status": {"S": "old"}, "data": {"M": {"count": {"N": "2"}}}},
    ]))
    .await;
    let pair = [
        "--pending",
        "NOT status = :new AND size(data) > :none AND data.count BETWEEN :none AND :many",
        "--update",
        "SET status = :new, data.items = if_not_exists(list, :none) + data.count REMOVE ttl",
        "--value",
        ":new=\"new\"",
        "--value",
        ":none=0",
        "--value",
        ":many=9",
    ];
    let run = Ended::run(database.backfill("run --table things --json").args(pair)).expect_code(0);
    assert_eq!(run.json()["updated"], 2);
    let verified = Ended::run(database.backfill("verify --table things").args(pair)).expect_code(0);
    assert!(
        verified.stderr.contains("0 of 2 items"),
        "{}",
        verified.stderr
    );
    Ended::run(database.backfill("item update --table things").args([
        "--key",
        r#"{"id":"b"}"#,
        "--update",
        "SET hash = :v",
        "--condition",
        "status = :new",
        "--value",
        ":v=1",
        "--value",
        ":new=\"new\"",
    ]))
    .expect_code(0);
    let items = read_all(&database.client, "things", KEYS).await;
    let items = serde_json::to_value(items.into_values().collect::<Vec<_>>()).unwrap();
    assert_eq!(
        items,
        json!([
            {"id": {"S": "a"}, "status": {"S": "new"}, "data": {"M": {"count": {"N": "1"}, "items": {"N": "1"}}}},
            {"id": {"S": "b"}, "status": {"S": "new"}, "hash": {"N": "1"},
                "data": {"M": {"count": {"N": "2"}, "items": {"N": "2"}}}},
        ])
    );
    // A run id of the version before: what names no reserved word is what it was.
    let plan = Ended::run(database.backfill("plan --table things --json").args([
        "--pending",
        "attribute_not_exists(#s) AND attribute_exists(note)",
        "--update",
        "SET #s = :v",
        "--name",
        "#s=status",
        "--value",
        ":v=1",
    ]))
    .expect_code(0);
    assert_eq!(plan.json()["run_id"], "things-6eb7d5d7");
}

/// Each verb, by flags and batches, and by a file and UpdateItem: the same items come out, nothing is overwritten, and what is
/// left alone is told.
/// Long because it is a table of cases.
#[tokio::test(flavor = "multi_thread")]
async fn verbs_do_what_they_say_and_overwrite_nothing() {
    let items = json!([
        {"id": {"S": "a"}, "old": {"N": "1"}, "log": {"L": [{"N": "1"}]}, "tags": {"SS": ["x"]}},
        {"id": {"S": "b"}, "old": {"N": "2"}, "new": {"S": "mine"}, "log": {"S": "text"}, "tags": {"SS": ["new"]}},
        {"id": {"S": "c"}, "new": {"S": "mine"}, "log": {"L": []}, "tags": {"N": "5"}},
        {"id": {"S": "d"}},
    ]);
    // What differs afterwards, by item.
    for (flags, fields, updated, differs, told) in [
        (
            &["--remove", "old", "--remove", "new"][..],
            json!({"remove": ["old", "new"]}),
            3,
            json!({"a": {"old": null}, "b": {"old": null, "new": null}, "c": {"new": null}}),
            "",
        ),
        (
            &["--rename", "old=new"],
            json!({"rename": {"old": "new"}}),
            1,
            json!({"a": {"old": null, "new": {"N": "1"}}}),
            "note: 1 item of all 4 have both old and new, such as {\"id\":{\"S\":\"b\"}}: they are left as they are",
        ),
        (
            &["--copy", "old=new"],
            json!({"copy": {"old": "new"}}),
            1,
            json!({"a": {"new": {"N": "1"}}}),
            "note: 1 item of all 4 have both old and new",
        ),
        (
            &["--append", "log=1"],
            json!({"append": {"log": 1}}),
            2,
            json!({"c": {"log": {"L": [{"N": "1"}]}}, "d": {"log": {"L": [{"N": "1"}]}}}),
            "note: 1 item of all 4 have log, which is no list",
        ),
        (
            &["--add", "tags=\"new\""],
            json!({"add": {"tags": "new"}}),
            2,
            json!({"a": {"tags": {"SS": ["new", "x"]}}, "d": {"tags": {"SS": ["new"]}}}),
            "note: 1 item of all 4 have tags, which is no such set",
        ),
    ] {
        let mut expected = items.clone();
        for item in expected.as_array_mut().unwrap() {
            let id = item["id"]["S"].as_str().unwrap().to_owned();
            for (name, value) in differs[&id].as_object().into_iter().flatten() {
                match value.is_null() {
                    true => item.as_object_mut().unwrap().remove(name),
                    false => item
                        .as_object_mut()
                        .unwrap()
                        .insert(name.clone(), value.clone()),
                };
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verb.json");
        let mut spec = fields;
        spec["table"] = "things".into();
        spec["writer"] = "update-item".into();
        std::fs::write(&path, spec.to_string()).unwrap();
        let by_flags = [&["--table", "things"], flags].concat();
        let by_file = ["--spec", path.to_str().unwrap()];
        let mut ids = Vec::new();
        for arguments in [&by_flags[..], &by_file] {
            let database = things(items.clone()).await;
            let plan = Ended::run(database.backfill("plan --json").args(arguments));
            let left = &plan.expect_code(0).json()["left_alone"];
            match told.is_empty() {
                true => assert!(left.is_null(), "{arguments:?}: {left}"),
                false => {
                    assert_eq!((&left["items"], &left["of"]), (&json!(1), &json!(4)));
                    let because = left["because"].as_str().unwrap();
                    assert!(told.contains(because), "{arguments:?}: {left}");
                    assert!(left["example"]["id"]["S"].is_string(), "{left}");
                }
            }
            let run = || Ended::run(database.backfill("run --json").args(arguments));
            let first = run().expect_code(0);
            assert!(
                first.stderr.contains(told),
                "{arguments:?}: {}",
                first.stderr
            );
            assert_eq!(first.json()["updated"], updated, "{arguments:?}");
            assert_eq!(
                run().expect_code(0).json()["matched"],
                updated,
                "nothing more"
            );
            let after = read_all(&database.client, "things", KEYS).await;
            let after = serde_json::to_value(after.into_values().collect::<Vec<_>>()).unwrap();
            assert_eq!(after, expected, "{arguments:?}");
            ids.push(first.json()["run_id"].clone());
        }
        assert_eq!(ids[0], ids[1], "the same change has the same run");
    }
    let database = things(json!([])).await;
    for (arguments, why) in [
        (
            "--remove a --rename b=c",
            "rename: give either --remove or --rename",
        ),
        (
            "--remove a --pending x=y --update REMOVE",
            "remove: give either --remove, or --pending and --update",
        ),
        ("--rename a=b --rename c=d", "cannot be used multiple times"),
        ("--rename a", "rename: expected NAME=VALUE, such as old=new"),
        ("--rename id=b", "rename: id is a key attribute"),
        ("--copy a=id", "copy: id is a key attribute"),
        ("--append a=b", "append.a: expected JSON"),
        ("--add a={}", "add.a: expected texts or numbers"),
    ] {
        let refused =
            Ended::run(&mut database.backfill(&format!("run --table things {arguments}")));
        let refused = refused.expect_code(2).stderr;
        assert!(refused.contains(why), "{arguments}: {refused}");
    }
}

/// What no expression can say is answered by what can be done instead, and an update that is none is refused before there is any
/// record or checkpoint table.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_none_is_refused_before_a_record_exists() {
    let database = things(json!([{"id": {"S": "a"}}])).await;
    for (update, value, why) in [
        (
            "SET a = = :v",
            ":v=1",
            "update: expected a value, such as :v, an attribute, or a function, got = in SET a = =",
        ),
        (
            "SET a = concat(b, :v)",
            ":v=1",
            "update: DynamoDB has no function concat: no expression joins texts",
        ),
        (
            "SET a = b || :v",
            ":v=1",
            "update: || is no operator of DynamoDB's",
        ),
        (
            "SET a = now()",
            "",
            "update: DynamoDB has no function now: there is no clock; give the time as a value",
        ),
        (
            "SET a = 'x'",
            "",
            "put :v in its place, and the text into --value; a name that is no word gets a #n, by --name",
        ),
        (
            "ADD a :v",
            ":v=\"x\"",
            "update: expected a placeholder for a number or a set, got :v in ADD a :v",
        ),
    ] {
        let mut command = database.backfill("run --table things");
        command.args(["--pending", "attribute_not_exists(a)", "--update", update]);
        if !value.is_empty() {
            command.args(["--value", value]);
        }
        let refused = Ended::run(&mut command).expect_code(2).stderr;
        assert!(refused.contains(why), "{update}: {refused}");
        assert_eq!(database.table_names().await, ["things"], "{update}");
    }
}

/// Five questions make a spec file that a plan takes; a bad answer is asked for again, a file that is there stays, and without a
/// terminal there are the flags.
#[tokio::test(flavor = "multi_thread")]
async fn a_spec_file_is_written_by_asking() {
    let database = things(json!([{"id": {"S": "a"}}])).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spec.json");
    let command = |arguments: &str| {
        let mut command = backfill(arguments.split_whitespace());
        command.arg("--out").arg(&path);
        command
    };
    let refused = Ended::run(&mut command("init")).expect_code(2);
    assert!(
        refused.stderr.contains("there is no terminal to ask on"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--set"), "{}", refused.stderr);

    let mut terminal = Terminal::start(&command("init"), 100, 40);
    for (question, answer) in [
        ("1/5", "no table\r"),
        ("is not a table name", "things\r"),
        ("2/5", "set\r"),
        ("3/5", "\"pri\\ce\"\r"),
        ("a name in quotes is a JSON text", "\"price\"\r"),
        ("4/5", "one\r"),
        ("expected JSON", "1.100000000000000000000000000000001\r"),
        ("5/5", "0\r"),
        ("expected a number such as 500", "500\r"),
    ] {
        terminal.shows(question).await;
        terminal.types(answer);
    }
    terminal
        .shows("see what it would do: backfill plan --spec")
        .await;
    assert_eq!(terminal.end().await.0, 0);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        written,
        "{\n  \"table\": \"things\",\n  \"set\": {\"price\": 1.100000000000000000000000000000001},\n  \"max_wcu\": 500\n}\n"
    );
    let plan = Ended::run(database.backfill("plan").arg("--spec").arg(&path)).expect_code(0);
    assert!(
        plan.stdout
            .contains("SET price = {\"N\":\"1.100000000000000000000000000000001\"}"),
        "{}",
        plan.stdout
    );

    let mut again = Terminal::start(&command("init"), 100, 40);
    again.shows("is there already").await;
    assert_eq!(again.end().await.0, 2);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
}
