//! `docs/RECIPES.md`: its commands, as they are written there, on a table that has something for each.

use std::process::{Command, Stdio};

use backfill_core::Item;
use backfill_e2e::command::{Ended, binary, root};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{create, put_all, read_all};
use serde_json::{Value as Json, json};

const KEYS: &[(&str, &str)] = &[("id", "S")];

/// Items as they are before each recipe.
fn before() -> Json {
    json!({
        "a": {"total": {"N": "150"}, "custmer": {"S": "Ada"}, "legacy": {"N": "1"}, "placed": {"N": "1000"}, "ttl": {"N": "9"},
            "status": {"S": "open"}, "country": {"S": "UK"}, "note": {"S": ""},
            "address": {"M": {"city": {"S": "Bonn"}}}, "tags": {"SS": ["draft", "x"]}, "customer": {"S": "C1"},
            "tenant": {"S": "t1"}, "mail": {"S": " Ada@Example.org"}, "until": {"S": "2026-01-31T12:00:00.5+01:00"},
            "weight": {"S": "0012.50"}, "nick": {"S": "Countess"}, "seen": {"L": [{"S": "b"}, {"S": "a"}, {"S": "b"}]},
            "full": {"S": "Ada King Lovelace"}},
        "b": {"total": {"N": "20"}, "custmer": {"S": "Bob"}, "legacy_flag": {"BOOL": true}, "status": {"S": "paid"},
            "country": {"S": "DE"}, "note": {"NULL": true}, "history": {"L": [{"S": "made"}]}, "tags": {"SS": ["draft"]},
            "currency": {"S": "USD"}, "tenant": {"S": "t2"}, "gsi1pk": {"S": "of a live writer"}, "weight": {"N": "7"}},
        "c": {},
    })
}

/// What differs afterwards, by the headings of the page, in its order; null is an attribute that is gone.
/// Long because it is a table of cases.
fn recipes() -> Vec<(&'static str, Json)> {
    let text = |text: &str| json!({"S": text});
    vec![
        (
            "give every item a new attribute",
            json!({"a": {"currency": text("EUR")}, "c": {"currency": text("EUR")}}),
        ),
        (
            "give every item several, each only if it is missing",
            json!({
                "a": {"currency": text("EUR"), "archived": {"BOOL": false}, "labels": {"L": []}},
                "b": {"archived": {"BOOL": false}, "labels": {"L": []}},
                "c": {"currency": text("EUR"), "archived": {"BOOL": false}, "labels": {"L": []}},
            }),
        ),
        (
            "set a value of a type that JSON does not have",
            json!({"a": {"regions": {"SS": ["eu", "us"]}}, "b": {"regions": {"SS": ["eu", "us"]}}, "c": {"regions": {"SS": ["eu", "us"]}}}),
        ),
        (
            "give only some items the attribute",
            json!({"a": {"priority": text("high")}}),
        ),
        (
            "rename an attribute",
            json!({"b": {"custmer": null, "customer": text("Bob")}}),
        ),
        (
            "copy an attribute, as the first half of a rename without downtime",
            json!({"a": {"customer_name": text("Ada")}, "b": {"customer_name": text("Bob")}}),
        ),
        ("remove an attribute", json!({"a": {"legacy": null}})),
        (
            "remove several",
            json!({"a": {"legacy": null}, "b": {"legacy_flag": null}}),
        ),
        (
            "compute an attribute from another",
            json!({"a": {"gross": {"N": "155"}}, "b": {"gross": {"N": "25"}}}),
        ),
        (
            "give items an expiry time (TTL)",
            json!({"a": {"expires": {"N": "7777000"}}}),
        ),
        ("take the expiry time away", json!({"a": {"ttl": null}})),
        (
            "change one value into another",
            json!({"a": {"status": text("OPEN")}}),
        ),
        (
            "change a value and keep the old one",
            json!({"a": {"country": text("GB"), "country_before": text("UK")}}),
        ),
        (
            "fill in what is empty or null",
            json!({"a": {"note": text("none")}, "b": {"note": text("none")}}),
        ),
        (
            "add a field inside a map",
            json!({"a": {"address": {"M": {"city": text("Bonn"), "verified": {"BOOL": false}}}}}),
        ),
        (
            "move a field out of a map",
            json!({"a": {"address": {"M": {}}, "city": text("Bonn")}}),
        ),
        (
            "append to a list",
            json!({
                "a": {"history": {"L": [text("imported")]}},
                "b": {"history": {"L": [text("made"), text("imported")]}},
                "c": {"history": {"L": [text("imported")]}},
            }),
        ),
        (
            "add to a set",
            json!({"a": {"tags": {"SS": ["2026", "draft", "x"]}}, "b": {"tags": {"SS": ["2026", "draft"]}}, "c": {"tags": {"SS": ["2026"]}}}),
        ),
        (
            "take a member out of a set",
            json!({"a": {"tags": {"SS": ["x"]}}, "b": {"tags": null}}),
        ),
        (
            "fill the key of a new index",
            json!({"a": {"by_customer": text("C1")}}),
        ),
        (
            "fill a composite key of an index",
            json!({"a": {"gsi1pk": text("t1#open")}}),
        ),
        (
            "keep a lower-case copy for searching",
            json!({"a": {"mail_lower": text("ada@example.org")}}),
        ),
        (
            "turn a date into an expiry time (TTL)",
            json!({"a": {"expires": {"N": "1769857200"}}}),
        ),
        (
            "turn a text into a number, in place",
            json!({"a": {"weight": {"N": "12.5"}}}),
        ),
        (
            "take another attribute as the default",
            json!({"a": {"shown": text("Countess")}, "b": {"shown": text("Bob")}, "c": {"shown": text("nobody")}}),
        ),
        (
            "spread a hot key by the suffix of a shard",
            json!({"a": {"by_status": text("open#3")}, "b": {"by_status": text("paid#1")}}),
        ),
        (
            "give the copy of a key a prefix",
            json!({"a": {"pk": text("ORDER#a")}, "b": {"pk": text("ORDER#b")}, "c": {"pk": text("ORDER#c")}}),
        ),
        (
            "turn a list into a set, in place",
            json!({"a": {"seen": {"SS": ["a", "b"]}}}),
        ),
        (
            "split a full name",
            json!({"a": {"first": text("Ada"), "last": text("Lovelace")}}),
        ),
        (
            "add a checksum",
            json!({"a": {"digest": text("cfe00dde46ef942601ffafb9e2825e802858b460e586b8305b344c1eb826357d")}}),
        ),
    ]
}

/// The items by their id, with what differs.
fn items(differs: &Json) -> Vec<Json> {
    let mut items = Vec::new();
    for (id, attributes) in before().as_object().unwrap() {
        let mut item = attributes.clone();
        item["id"] = json!({"S": id});
        for (name, value) in differs[id].as_object().into_iter().flatten() {
            match value.is_null() {
                true => item.as_object_mut().unwrap().remove(name),
                false => item
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        items.push(item);
    }
    items
}

/// Every recipe does what its heading says and nothing else, and there is nothing left to do afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_does_what_it_says() {
    let page = std::fs::read_to_string(root().join("docs/RECIPES.md")).unwrap();
    let sections: Vec<(&str, &str)> = page
        .split("\n## … ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .collect();
    let recipes = recipes();
    let headings = |recipes: &[(&str, Json)]| -> Vec<String> {
        recipes
            .iter()
            .map(|(heading, _)| (*heading).to_owned())
            .collect()
    };
    let found: Vec<&str> = sections.iter().map(|(heading, _)| *heading).collect();
    assert_eq!(found, headings(&recipes));
    assert_eq!(found.len(), 30);
    // A table of its own for each, side by side.
    let tried = sections
        .into_iter()
        .zip(recipes)
        .map(|((_, text), (_, differs))| {
            let command = text.split("```").nth(1).unwrap().trim().to_owned();
            tokio::spawn(async move {
                let database = Embedded::start().await;
                create(&database.client, "orders", KEYS).await;
                let put: Vec<Item> = serde_json::from_value(items(&json!({})).into()).unwrap();
                put_all(&database.client, "orders", &put).await;
                let endpoint = database.endpoint.clone();
                let ended = tokio::task::spawn_blocking(move || as_written(&command, &endpoint));
                let ended = ended.await.unwrap().expect_code(0);
                // Nothing is amiss with an everyday migration.
                assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
                let after = read_all(&database.client, "orders", KEYS).await;
                let after = serde_json::to_value(after.into_values().collect::<Vec<_>>()).unwrap();
                (after, items(&differs))
            })
        });
    for (heading, tried) in found.iter().zip(tried.collect::<Vec<_>>()) {
        let (after, expected) = tried.await.unwrap_or_else(|why| panic!("{heading}: {why}"));
        assert_eq!(after, Json::from(expected), "{heading}");
    }
}

/// A command as a shell reads it, on this endpoint.
fn as_written(command: &str, endpoint: &str) -> Ended {
    let script = format!("backfill() {{ {:?} \"$@\"; }}\n{command}", binary());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .env_clear()
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    Ended::run(&mut shell)
}
