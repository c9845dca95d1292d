//! What the command shows of tables and runs, and the question before a run, against the embedded database. Snapshots as in
//! `help.rs`.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate,
    KeySchemaElement, KeyType, Projection, ProjectionType, ScalarAttributeType,
};
use backfill_core::value::with_sorted_sets;
use backfill_core::{Item, Value};
use backfill_e2e::command::{Ended, backfill_as_typed, root};
use backfill_e2e::database::Embedded;
use backfill_e2e::screen::masked;
use backfill_e2e::tables::{self, STUFF_KEYS, read_all, stuff};
use backfill_e2e::terminal::Terminal;
use serde_json::{Value as Json, json};

const PLAN: &str = "plan --table stuff --set test=1";

/// Runs a command while this test serves the database.
pub async fn end_of(mut command: std::process::Command) -> Ended {
    tokio::task::spawn_blocking(move || Ended::run(&mut command))
        .await
        .unwrap()
}

/// read-only: a plan sends nothing that could write, and leaves tables and items as they were. Of a small table it reads every
/// item, so that its figures are exact.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_plan_counts_what_a_run_would_do() {
    let database = Embedded::with_stuff(500).await;
    let line = database.line().await;
    let (on_table, without_table) = (line.listen("stuff"), line.listen(""));
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let arguments = format!(
        "{PLAN} --max-wcu 100 --json --endpoint-url {}",
        line.endpoint
    );
    let plan = end_of(backfill_as_typed(arguments.split_whitespace()))
        .await
        .expect_code(0)
        .json();

    assert_eq!(plan["sample"]["whole_table"], true);
    assert_eq!(plan["sample"]["items"], 500);
    assert_eq!(
        plan["forecast"]["pending"],
        json!({"value": 400.0, "low": 400.0, "high": 400.0})
    );
    assert_eq!(plan["forecast"]["units_per_item"], 1.0);
    assert_eq!(plan["forecast"]["sweep_seconds"], 4.0, "400 units at 100");
    assert!(
        plan["forecast"]["bounds"][0]["by"]
            .as_str()
            .unwrap()
            .contains("budget")
    );
    assert_eq!(plan["run"], json!(null));
    let tried = plan["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 25);
    for tried in tried {
        let item = |json: &Json| -> Item { serde_json::from_value(json.clone()).unwrap() };
        let mut expected = item(&tried["before"]);
        expected.insert("test".into(), Value::N("1".into()));
        let after = item(&tried["after"]["Ok"]);
        assert_eq!(with_sorted_sets(after), with_sorted_sets(expected));
        assert_eq!(tried["is_extinguished"], true);
    }

    let seen = [on_table.seen(), without_table.seen()].concat();
    let operations: BTreeSet<&str> = seen.iter().map(|s| s.call.operation.as_str()).collect();
    let reads = BTreeSet::from([
        "DescribeContinuousBackups",
        "DescribeKinesisStreamingDestination",
        "DescribeTable",
        "DescribeTimeToLive",
        "ListTagsOfResource",
        "Scan",
    ]);
    assert_eq!(operations, reads);
    assert_eq!(
        read_all(&database.client, "stuff", STUFF_KEYS).await,
        before
    );
    assert_eq!(database.table_names().await, ["stuff"]);

    // Afterwards it knows the run, and that nothing is left.
    end_of(database.backfill("run --table stuff --set test=1"))
        .await
        .expect_code(0);
    let plan = end_of(database.backfill(&format!("{PLAN} --json")))
        .await
        .expect_code(0)
        .json();
    assert_eq!(plan["run"]["status"], "succeeded");
    assert_eq!(plan["forecast"]["pending"]["value"], 0.0);
}

/// The share of a table of which only a part is read lies in the interval. The table is such that every sample says the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_a_large_table_is_an_estimate() {
    let database = Embedded::start().await;
    tables::create(&database.client, "stuff", STUFF_KEYS).await;
    let items: Vec<_> = (0..3_000)
        .map(|i| {
            let mut item = stuff(i);
            item.remove("test");
            item
        })
        .collect();
    tables::put_all(&database.client, "stuff", &items).await;
    let plan = end_of(database.backfill(&format!("{PLAN} --pages 3 --json"))).await;
    let plan = plan.expect_code(0).json();
    assert_eq!(plan["sample"]["whole_table"], false);
    assert_eq!(plan["sample"]["pages"], 3);
    let share = &plan["sample"]["share"];
    let n = plan["sample"]["items"].as_f64().unwrap();
    assert!(0.0 < n && n <= 750.0, "{plan}");
    assert_eq!(
        (&share["value"], &share["high"]),
        (&json!(1.0), &json!(1.0))
    );
    assert!(
        (0.5..1.0).contains(&share["low"].as_f64().unwrap()),
        "{share}"
    );
    assert_eq!(plan["forecast"]["pending"]["value"], 3_000.0);
}

/// What people see, with indexes, a stream, TTL and tags.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_as_people_see_it() {
    let database = Embedded::start().await;
    let example = root().join("examples/orders");
    let file = |name: &str| example.join(name).display().to_string();
    for arguments in [
        format!("table create --file {}", file("table.json")),
        format!("table seed --table orders --file {}", file("seed.jsonl")),
    ] {
        end_of(database.backfill(&arguments)).await.expect_code(0);
    }
    let plan = end_of(database.backfill(&format!("plan --spec {}", file("backfill.json")))).await;
    insta::assert_snapshot!(
        "plan",
        masked(&plan.expect_code(0).stdout, &database.endpoint)
    );

    // And as programs do: by its schema.
    let schema = end_of(backfill_as_typed(["schema", "plan"])).await;
    let schema = schema.expect_code(0).json();
    let plan = format!("plan --spec {} --json", file("backfill.json"));
    let plan = end_of(database.backfill(&plan)).await.expect_code(0).json();
    assert_is_of(&plan, &schema, &schema, "plan");
}

/// Holds a value against a schema: its type, and of an object whose properties are listed each of them and no other, but for
/// those that are left out at times, which their descriptions say.
pub fn assert_is_of(value: &Json, schema: &Json, root: &Json, path: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let of = root.pointer(&name[1..]).unwrap();
        return assert_is_of(value, of, root, path);
    }
    if let Some(either) = schema["anyOf"].as_array() {
        assert_eq!(either[1], json!({"type": "null"}), "{path}");
        if !value.is_null() {
            assert_is_of(value, &either[0], root, path);
        }
        return;
    }
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Json::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let fits = |allowed: &Json| allowed == kind || (allowed == "number" && kind == "integer");
    assert!(
        allowed.iter().any(fits),
        "{path} is a {kind}, not {allowed:?}"
    );
    if let (Some(object), Some(listed)) = (value.as_object(), schema["properties"].as_object()) {
        let names: BTreeSet<&String> = object.keys().collect();
        let may_lack = |part: &Json| {
            let said = part["description"].as_str().unwrap_or_default();
            said.contains("left out if")
        };
        let expected = listed.iter();
        let expected = expected.filter(|(name, part)| names.contains(name) || !may_lack(part));
        assert_eq!(names, expected.map(|(name, _)| name).collect(), "{path}");
        for (name, value) in object {
            assert_is_of(value, &listed[name], root, &format!("{path}.{name}"));
        }
    }
    if let (Some(list), Some(items)) = (value.as_array(), schema.get("items")) {
        for (n, value) in list.iter().enumerate() {
            assert_is_of(value, items, root, &format!("{path}[{n}]"));
        }
    }
}

/// What a run would stumble over is said before it begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_warns_of_updates_that_cannot_work() {
    let database = Embedded::with_stuff(50).await;
    let mut text = stuff(1_000);
    text.insert("name".into(), Value::N("1".into()));
    tables::put_all(&database.client, "stuff", &[text]).await;
    let folder = tempfile::tempdir().unwrap();
    let codes = async |spec: Json, ends_with: i32, why: &str| -> Vec<String> {
        let path = folder.path().join("spec.json");
        std::fs::write(&path, spec.to_string()).unwrap();
        let arguments = format!("plan --spec {} --json", path.display());
        let plan = end_of(database.backfill(&arguments))
            .await
            .expect_code(ends_with);
        assert!(plan.stderr.contains(why), "{}", plan.stderr);
        let plan = plan.json();
        assert_eq!(plan["objection"].is_null(), ends_with == 0, "{plan}");
        let warnings = plan["warnings"].as_array().unwrap().iter();
        warnings
            .map(|warning| warning["code"].as_str().unwrap().to_owned())
            .collect()
    };
    // Of 41 items, all but one have a text where a number is added.
    let refused = json!({"table": "stuff", "pending": "attribute_not_exists(test)", "update": "ADD #n :v",
        "names": {"#n": "name"}, "values": {":v": 1}});
    let why = "as it is, do not run it: the update was refused on copies of";
    let overwritten_and_refused = ["values_are_overwritten", "update_refused"];
    assert_eq!(codes(refused, 3, why).await[..2], overwritten_and_refused);
    let lit = json!({"table": "stuff", "pending": "attribute_exists(id)", "update": "SET a = :v", "values": {":v": 1}});
    let why = "as it is, do not run it: the update does not make its predicate false";
    assert_eq!(codes(lit, 3, why).await[0], "update_does_not_extinguish");
    let fine = json!({"table": "stuff", "set": {"test": 1}});
    assert_eq!(codes(fine, 0, "").await, ["no_deletion_protection"]);
}

/// A rename that finds a value under the new name destroys it: such items are counted, one is shown, and that comes first. What a
/// rename moves is not lost, and an attribute that is set only if it is missing overwrites nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_first_which_values_an_update_overwrites() {
    let database = Embedded::with_stuff(300).await;
    let items: Vec<_> = (1_000..1_060)
        .map(|i| {
            let mut item = stuff(i);
            item.insert("country".into(), Value::S("AT".into()));
            // More than are tried as examples have no `land`.
            if i >= 1_053 {
                item.insert("land".into(), Value::S("DE".into()));
            }
            item
        })
        .collect();
    tables::put_all(&database.client, "stuff", &items).await;
    let spec = json!({"table": "stuff", "pending": "attribute_exists(country)", "update": "SET land = country REMOVE country"});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spec.json");
    std::fs::write(&path, spec.to_string()).unwrap();
    let of_spec = format!("plan --spec {}", path.display());
    let plan = end_of(database.backfill(&format!("{of_spec} --json"))).await;
    let plan = plan.expect_code(0).json();
    let warnings = plan["warnings"].as_array().unwrap();
    assert_eq!(warnings[0]["code"], "values_are_overwritten", "{plan}");
    let what = warnings[0]["what"].as_str().unwrap();
    assert!(
        what.starts_with(
            "the update overwrites values of land in 7 of 60 pending sampled items, such as item "
        ),
        "{what}"
    );
    assert!(what.ends_with(r#"land: "DE" becomes "AT""#), "{what}");
    assert!(
        warnings
            .iter()
            .all(|warning| warning["code"] != "values_are_removed")
    );
    let shown = end_of(database.backfill(&of_spec))
        .await
        .expect_code(0)
        .stdout;
    let dry = of_spec.replacen("plan", "run --dry-run", 1);
    let dry = end_of(database.backfill(&dry)).await.stderr;
    let first = "\n  ! the update overwrites values of land";
    assert!(dry.contains(first), "its colours are its own: {dry}");
    let (_, before_you_run) = shown.split_once("Before you run\n").unwrap();
    assert!(
        before_you_run
            .trim_start()
            .starts_with("! the update overwrites values of land"),
        "{shown}"
    );
    assert_eq!(shown.matches("  example   ").count(), 3, "{shown}");

    let gone = json!({"table": "stuff", "pending": "attribute_exists(country)", "update": "REMOVE country"});
    std::fs::write(&path, gone.to_string()).unwrap();
    let plan = end_of(database.backfill(&format!("{of_spec} --json"))).await;
    let plan = plan.expect_code(0).json();
    assert_eq!(plan["warnings"][0]["code"], "values_are_removed", "{plan}");
    let set =
        end_of(database.backfill("plan --table stuff --set test=1 --set land=\"FR\" --json")).await;
    let set = set.expect_code(0).json();
    assert_eq!(
        set["warnings"][0]["code"], "no_deletion_protection",
        "{set}"
    );
}

/// Orders of which three have no status, two have no number as their price, and one has the values already.
fn orders() -> Vec<Item> {
    (0..60)
        .map(|n| {
            let mut item = Item::from([
                ("id".to_owned(), Value::S(format!("order-{n:02}"))),
                ("created".to_owned(), Value::N(n.to_string())),
                ("tenant".to_owned(), Value::S("acme".into())),
                ("price".to_owned(), Value::S(format!("{n}.50"))),
                ("qty".to_owned(), Value::N("2".into())),
            ]);
            let status = if n % 10 == 0 { "NEW" } else { "OPEN" };
            item.insert("status".into(), Value::S(status.into()));
            match n {
                7 | 8 => drop(item.insert("price".into(), Value::S("on request".into()))),
                9 => drop(item.insert("price".into(), Value::N("9".into()))),
                20..23 => drop(item.remove("status")),
                30 => {
                    item.insert("gsi1pk".into(), Value::S("acme#old".into()));
                    item.insert("total".into(), Value::N("61".into()));
                }
                _ => {}
            }
            item
        })
        .collect()
}

/// What is computed is shown from what, and what cannot be computed comes first; sources that items lack are counted, and how the key
/// of an index is spread. Converging to what is another value each time is refused before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_computed_values_as_people_see_it() {
    let database = Embedded::start().await;
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.json");
    let definition = json!({
        "TableName": "stuff", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "created", "AttributeType": "N"},
            {"AttributeName": "gsi1pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "created", "KeyType": "RANGE"}],
        "GlobalSecondaryIndexes": [{"IndexName": "ByStatus", "Projection": {"ProjectionType": "KEYS_ONLY"},
            "KeySchema": [{"AttributeName": "gsi1pk", "KeyType": "HASH"}]}],
    });
    std::fs::write(&table, definition.to_string()).unwrap();
    let create = format!("table create --file {}", table.display());
    end_of(database.backfill(&create)).await.expect_code(0);
    tables::put_all(&database.client, "stuff", &orders()).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let computed = |command: &str, more: &[&str]| {
        let mut plan = database.backfill(&format!("{command} --table stuff"));
        for compute in [
            "gsi1pk=${tenant}#${status|lower}",
            "total=${price|number|mul(${qty})}",
        ] {
            plan.args(["--compute", compute]);
        }
        plan.args(more);
        plan
    };
    let shown = end_of(computed("plan", &[])).await.expect_code(3);
    insta::assert_snapshot!("plan-computed", masked(&shown.stdout, &database.endpoint));
    let schema = end_of(backfill_as_typed(["schema", "plan"])).await;
    let schema = schema.expect_code(0).json();
    let plan = end_of(computed("plan", &["--json"]))
        .await
        .expect_code(3)
        .json();
    assert_is_of(&plan, &schema, &schema, "plan");
    assert_eq!(plan["warnings"][0]["code"], "cannot_be_computed");

    // What differs is pending as well if it is to converge.
    let converge = end_of(computed("plan", &["--mode", "converge", "--json"])).await;
    let converge = converge.expect_code(3).json();
    let pending = |plan: &Json| plan["sample"]["pending"].as_u64().unwrap();
    assert_eq!((pending(&plan), pending(&converge)), (56, 57));
    for command in ["plan", "run"] {
        let mut growing = database.backfill(&format!("{command} --table stuff --mode converge"));
        growing.args(["--compute", "tenant=${tenant}x"]);
        let refused = end_of(growing).await.expect_code(2);
        let why = "error: mode: to converge, a value must stay what it is once it is written, and tenant does not: item ";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    assert_eq!(
        read_all(&database.client, "stuff", STUFF_KEYS).await,
        before
    );
    assert_eq!(database.table_names().await, ["stuff"]);
}

/// An index whose key the update sets to another type refuses every update: the trial has the table's indexes.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_warns_of_indexes_that_refuse_the_update() {
    let database = Embedded::start().await;
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.json");
    let definition = json!({
        "TableName": "stuff", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "test", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{"IndexName": "ByTest", "Projection": {"ProjectionType": "ALL"},
            "KeySchema": [{"AttributeName": "test", "KeyType": "HASH"}]}],
    });
    std::fs::write(&table, definition.to_string()).unwrap();
    for arguments in [
        format!("table create --file {}", table.display()),
        "table seed --table stuff --items 30 --without test".into(),
    ] {
        end_of(database.backfill(&arguments)).await.expect_code(0);
    }
    let plan = async |set: &str, ends_with: i32| {
        let plan = format!("plan --table stuff --set {set} --json");
        let plan = end_of(database.backfill(&plan)).await;
        plan.expect_code(ends_with).json()
    };
    let number = plan("test=1", 3).await;
    assert_eq!(number["warnings"][0]["code"], "update_refused", "{number}");
    let text = plan("test=\"1\"", 0).await;
    assert_eq!(
        text["warnings"][0]["code"], "no_deletion_protection",
        "{text}"
    );
    assert_eq!(text["forecast"]["indexes"][0]["units_per_item"], 1.0);
}

/// Items that do not fit an index that the table was given later are counted and named before a run stumbles over them, and
/// others are tried all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_the_items_that_do_not_fit_an_index() {
    let database = Embedded::with_stuff(50).await;
    let odd = |i: u64, owner: Value| {
        let mut item = stuff(i);
        item.insert("owner".into(), owner);
        item
    };
    let items = [
        odd(1_000, Value::N("1".into())),
        odd(1_001, Value::Null(true)),
        odd(1_002, Value::S("x".repeat(2_049))),
        odd(1_003, Value::S(String::new())),
        odd(1_004, Value::S("fine".into())),
        // It is not pending.
        odd(1_008, Value::N("1".into())),
    ];
    tables::put_all(&database.client, "stuff", &items).await;
    add_index(&database, "ByOwner", "owner").await;
    let plan = end_of(database.backfill("plan --table stuff --set test=1 --json")).await;
    // DynamoDB would refuse these, so that the run could not succeed.
    let plan = plan.expect_code(3).json();
    let warning = &plan["warnings"][0];
    assert_eq!(warning["code"], "items_do_not_fit_an_index", "{plan}");
    let what = warning["what"].as_str().unwrap();
    assert!(what.contains("4 of 56 sampled items: "), "{what}");
    assert!(what.contains("index ByOwner, such as item "), "{what}");
    let misfits = &plan["sample"]["misfits"];
    assert_eq!(misfits.as_array().unwrap().len(), 1, "{misfits}");
    assert_eq!(misfits[0]["items"], 4, "{misfits}");
    assert_eq!(misfits[0]["attribute"], "owner");
    let example = misfits[0]["example"]["id"]["S"].as_str().unwrap();
    assert!(example.starts_with("item-00100"), "{example}");
    let schema = end_of(backfill_as_typed(["schema", "plan"])).await;
    let schema = schema.expect_code(0).json();
    assert_is_of(&plan, &schema, &schema, "plan");
    let codes = plan["warnings"].as_array().unwrap().iter();
    let codes: Vec<_> = codes.map(|warning| &warning["code"]).collect();
    assert!(
        !codes.iter().any(|code| *code == "update_refused"),
        "{codes:?}"
    );
    let tried = plan["tried"].as_array().unwrap();
    let updated = tried
        .iter()
        .filter(|tried| tried["after"]["Ok"].is_object());
    assert!(updated.count() > 15, "{tried:?}");
}

/// Gives the table `stuff` a global index with this attribute as its key, a text.
pub async fn add_index(database: &Embedded, name: &str, attribute: &str) {
    let key = KeySchemaElement::builder()
        .attribute_name(attribute)
        .key_type(KeyType::Hash);
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly);
    let index = CreateGlobalSecondaryIndexAction::builder()
        .index_name(name)
        .key_schema(key.build().unwrap())
        .projection(projection.build());
    let update = GlobalSecondaryIndexUpdate::builder().create(index.build().unwrap());
    let definition = AttributeDefinition::builder()
        .attribute_name(attribute)
        .attribute_type(ScalarAttributeType::S);
    let updated = database.client.update_table().table_name("stuff");
    let updated = updated
        .attribute_definitions(definition.build().unwrap())
        .global_secondary_index_updates(update.build());
    updated.send().await.unwrap();
}

/// A plan of a run that is there already tells of that run: its settings, and what would be refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_keeps_to_the_run_that_is_there() {
    let database = Embedded::with_stuff(500).await;
    let canary = "run --table stuff --set test=1 --segments 50 --max-wcu 400 --only-segments 0";
    end_of(database.backfill(canary)).await.expect_code(4);
    let plan = async |more: &str| {
        let plan = format!("{PLAN} --json {more}");
        end_of(database.backfill(&plan)).await.expect_code(0).json()
    };
    let same = plan("").await;
    assert_eq!(same["run"]["status"], "paused");
    assert_eq!(same["refused"], json!(null));
    assert_eq!(same["settings"]["total_segments"], 50);
    assert_eq!(same["settings"]["max_wcu"], 400);
    assert!(same["settings"]["only_segments"].is_null(), "{same}");
    let refused = plan("--segments 20").await;
    assert!(
        refused["refused"].as_str().unwrap().contains("cut into 50"),
        "{refused}"
    );
    let refused = plan("--only-segments 50").await;
    assert!(
        refused["refused"]
            .as_str()
            .unwrap()
            .contains("expected 0 to 49"),
        "{refused}"
    );
}

/// budget: a plan reads no faster than it may, and less if items are large.
#[tokio::test(flavor = "multi_thread")]
async fn budget_of_a_plan() {
    let database = Embedded::with_stuff(2_000).await;
    let free = end_of(database.backfill(&format!("{PLAN} --json"))).await;
    let begin = std::time::Instant::now();
    let bounded = end_of(database.backfill(&format!("{PLAN} --json --max-rcu 4"))).await;
    let units = |plan: Ended| {
        plan.expect_code(0).json()["sample"]["consumed_rcu"]
            .as_f64()
            .unwrap()
    };
    let (free, bounded) = (units(free), units(bounded));
    assert!(bounded < free, "{bounded} units, {free} without a budget");
    // What is read in the first moment is on credit.
    let allowed = 4.0 * begin.elapsed().as_secs_f64() + 4.0;
    assert!(bounded <= allowed, "{bounded} units, {allowed} allowed");
}

/// If nobody can be asked and nobody has said yes, nothing is sent at all.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_and_without_yes_a_run_is_refused() {
    let database = Embedded::with_stuff(10).await;
    let line = database.line().await;
    let taps = ["", "stuff", "backfill-checkpoints"].map(|table| line.listen(table));
    for command in ["run", "start --stack-name backfill"] {
        let arguments = format!(
            "{command} --table stuff --set test=1 --endpoint-url {}",
            line.endpoint
        );
        let refused = end_of(backfill_as_typed(arguments.split_whitespace()))
            .await
            .expect_code(2);
        assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    assert!(taps.iter().all(|tap| tap.seen().is_empty()));
    let dry = format!(
        "run --table stuff --set test=1 --dry-run --endpoint-url {}",
        line.endpoint
    );
    end_of(backfill_as_typed(dry.split_whitespace()))
        .await
        .expect_code(3);
}

/// A run that was paused, given another budget and resumed, as `status` shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_as_people_see_it() {
    let database = Embedded::with_stuff(1_000).await;
    let run = "run --table stuff --set test=1 --run-id seen --segments 4";
    let steps = [
        (format!("{run} --only-segments 1"), 4),
        ("rate --run-id seen --max-wcu 5000".into(), 0),
        (run.into(), 0),
    ];
    for (step, code) in steps {
        end_of(database.backfill(&step)).await.expect_code(code);
    }
    let status = end_of(database.backfill("status --run-id seen"))
        .await
        .expect_code(0);
    let text = masked(&status.stdout, &database.endpoint);
    // Processes, persons and seconds are others each time.
    let same = text.lines().map(|line| match line.trim_start() {
        rest if rest.starts_with("time ") => "  time      SECONDS".to_owned(),
        rest if rest.starts_with("cost ") => "  cost      BILL".to_owned(),
        // What is in it.
        rest if rest.starts_with("writes ") => "            PARTS".to_owned(),
        // How many pages there were is a matter of speed.
        rest if rest.starts_with("capacity ") => {
            let budget = rest.split_once("; ").map_or("", |(_, budget)| budget);
            format!("  capacity  UNITS; {budget}")
        }
        rest if rest.starts_with("latency: writes p50 ") => "    latency: TIMES".to_owned(),
        rest if rest.starts_with("by ") => "  by        OWNER".to_owned(),
        _ => match line.split_once(", by ") {
            Some((change, _)) => match change.split_once("owner ") {
                Some((at, _)) => format!("{at}owner FORMER -> OWNER, by SOMEBODY"),
                None => format!("{change}, by SOMEBODY"),
            },
            None => line.to_owned(),
        },
    });
    insta::assert_snapshot!("status", same.collect::<Vec<_>>().join("\n"));
}

/// What goes wrong with a run is said in a sentence: what, where, and what to type.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_run_say_what_to_do() {
    let database = Embedded::with_stuff(100).await;
    let run = "run --table stuff --set test=1 --run-id first";
    end_of(database.backfill(run)).await.expect_code(0);
    for (name, arguments, code) in [
        ("no-table", "run --table stuf --set test=1", 2),
        ("key", "run --table stuff --set created=1", 2),
        (
            "other-spec",
            "run --table stuff --set other=1 --run-id first",
            2,
        ),
        (
            "other-segments",
            "run --table stuff --set test=1 --run-id first --segments 3",
            2,
        ),
        ("resume-finished", "resume --run-id first", 2),
        ("pause-finished", "pause --run-id first", 2),
        ("no-run", "status --run-id second", 2),
        (
            "update-in-vain",
            "run --table stuff --pending attribute_exists(id) --update SET\u{1f}a=:v --value :v=1",
            2,
        ),
        // Of several segments any may be the first to try an item.
        (
            "update-in-vain-in-the-table",
            "run --table stuff --pending attribute_exists(id) --update SET\u{1f}a=:v --value :v=1 --no-rehearsal --segments 1",
            1,
        ),
        (
            "update-overlaps",
            "run --table stuff --pending attribute_not_exists(a) --update SET\u{1f}a=:v,a.b=:v --value :v=1",
            2,
        ),
    ] {
        let mut command =
            backfill_as_typed(arguments.split(' ').map(|word| word.replace('\u{1f}', " ")));
        command.args(["--endpoint-url", &database.endpoint]);
        if arguments.starts_with("run") {
            command.arg("--yes");
        }
        let ended = end_of(command).await.expect_code(code);
        let error = ended.stderr.lines().find(|line| line.starts_with("error:"));
        let error = error.unwrap_or_else(|| panic!("{name}: {ended:?}"));
        insta::assert_snapshot!(format!("error-{name}"), masked(error, &database.endpoint));
    }
}

/// A plan says when its run will be held, since that is not in the time that it forecasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_when_its_run_will_be_held() {
    let database = Embedded::with_stuff(20).await;
    let mut plan = database.backfill(PLAN);
    plan.args(["--hours", "22:00-06:00 +02:00"]);
    let held = "\n  held      outside of 22:00-06:00 +02:00; the time below does not count that\n";
    let shown = end_of(plan).await.expect_code(0).stdout;
    assert!(shown.contains(held), "{shown}");
    let without = end_of(database.backfill(PLAN)).await.expect_code(0).stdout;
    assert!(!without.contains("held"), "{without}");
}

/// On a terminal no line of a plan is broken inside a word, and what goes on stands below what it goes on with.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_breaks_between_words_on_a_terminal() {
    let database = Embedded::with_stuff(300).await;
    let plan = database.backfill(PLAN);
    let mut terminal = Terminal::start_with_stdout(&plan, 80, 120);
    let screen = terminal
        .until("deletion-protection-enabled", |screen| {
            screen.contains("protection-enabled")
        })
        .await;
    assert_eq!(terminal.end().await.0, 0);
    let (_, request) = screen
        .split_once("  request   BatchExecuteStatement, ")
        .unwrap_or_else(|| panic!("{screen}"));
    let mut lines = request.lines();
    let first = lines.next().unwrap().trim_end();
    assert!(
        first.len() + 36 <= 80 && !first.ends_with("PartiQ"),
        "{first}"
    );
    let second = lines.next().unwrap();
    assert!(
        second.starts_with("            ") && !second.starts_with("             "),
        "{screen}"
    );
    // Whole words, as in a plan that is read by a program.
    let whole = end_of(database.backfill(PLAN)).await.expect_code(0).stdout;
    let words: BTreeSet<&str> = whole.split_whitespace().collect();
    for line in screen
        .lines()
        .filter(|line| line.starts_with("            "))
    {
        for word in line
            .split_whitespace()
            .filter(|word| word.chars().all(char::is_alphabetic))
        {
            assert!(words.contains(word), "{word}: {screen}");
        }
    }
}
