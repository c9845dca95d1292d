//! A table of visits, for the code of `examples/custom-change`: it makes a map (`device`) of the text of a user agent (`agent`).

use std::collections::BTreeMap;

use backfill_core::{Item, Key, Value};
use serde_json::{Value as Json, json};

use crate::tables::{Keys, key_of};

/// Name of the table.
pub const VISITS: &str = "visits";

/// Its key.
pub const VISITS_KEYS: Keys<'static> = &[("id", "S")];

/// A user agent that the code knows no browser of.
pub const UNKNOWN_AGENT: &str = "curl/8.5.0";

/// One that it knows a browser of: [`Visits::known_device`].
pub const KNOWN_AGENT: &str =
    "Mozilla/5.0 (Android 14; Mobile; rv:126.0) Gecko/126.0 Firefox/126.0";

/// Each kind of item, and the `device` that the code gives it: null if it gives none.
fn kinds() -> [(Json, Json); 6] {
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0";
    let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 \
                Edg/124.0.2478.51";
    let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 \
                  Mobile/15E148 Safari/604.1";
    let device = |browser: &str, version: &str, mobile: bool| json!({"M": {"browser": {"S": browser}, "version": {"N": version}, "mobile": {"BOOL": mobile}}});
    [
        (
            json!({"agent": {"S": firefox}, "hits": {"N": "12345678901234567890.123456789012345678"}}),
            device("Firefox", "125", false),
        ),
        (json!({"agent": {"S": edge}}), device("Edge", "124", false)),
        (
            json!({"agent": {"S": safari}, "tags": {"SS": ["a", "b"]}}),
            device("Safari", "17", true),
        ),
        // A live writer was first.
        (
            json!({"agent": {"S": firefox}, "device": {"S": "own value"}}),
            Json::Null,
        ),
        // Nobody knows who that was.
        (json!({"note": {"S": "no agent"}}), Json::Null),
        // This one is pending, and nothing can be made of it.
        (json!({"agent": {"S": UNKNOWN_AGENT}}), Json::Null),
    ]
}

/// A table of visits.
pub struct Visits {
    /// What is in it at the beginning.
    pub before: Vec<Item>,
    /// What is in it at the end of a run.
    pub after: BTreeMap<Key, Item>,
    /// How many items get a `device`.
    pub updated: u64,
    /// How many items are pending, but nothing can be made of them.
    pub rejected: u64,
}

impl Visits {
    /// The `device` of [`KNOWN_AGENT`].
    pub fn known_device() -> Value {
        let device = [
            ("browser", Value::S("Firefox".into())),
            ("version", Value::N("126".into())),
            ("mobile", Value::Bool(true)),
        ];
        Value::M(device.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// This many items of each kind.
    pub fn of_each(count: u64) -> Visits {
        let mut visits = Visits {
            before: Vec::new(),
            after: BTreeMap::new(),
            updated: 0,
            rejected: count,
        };
        for (kind, (item, device)) in kinds().into_iter().enumerate() {
            for i in 0..count {
                let mut item = item.clone();
                item["id"] = json!({"S": format!("visit-{kind}-{i:04}")});
                visits.before.push(to_item(&item));
                if !device.is_null() {
                    item["device"] = device.clone();
                    visits.updated += 1;
                }
                let item = to_item(&item);
                visits.after.insert(key_of(&item, VISITS_KEYS), item);
            }
        }
        visits
    }
}

fn to_item(json: &Json) -> Item {
    serde_json::from_value(json.clone()).expect("an item")
}
