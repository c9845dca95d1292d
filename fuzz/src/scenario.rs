//! A spec and the keys of its table as lines of text, so that a fuzzer's changes nearly always make another spec.

use std::collections::BTreeMap;

use backfill_core::table::{KeyAttribute, KeySchema, KeyType};
use backfill_core::{Item, Spec, Value};

/// A spec that nobody has checked, and the keys of its table.
pub struct Scenario {
    /// The spec.
    pub spec: Spec,
    /// The primary key of its table.
    pub keys: KeySchema,
}

impl Scenario {
    /// Reads one thing a line: `table NAME`, `hash NAME`, `range NAME`, `pending EXPRESSION`, `update EXPRESSION`, and for names
    /// and values `#placeholder NAME` and `:placeholder VALUE` (a value in typed JSON, or else a string). `\n` is a line
    /// feed.
    pub fn parse(text: &str) -> Scenario {
        let mut spec = Spec {
            table: "stuff".into(),
            pending: String::new(),
            update: String::new(),
            names: BTreeMap::new(),
            values: Item::new(),
            compute: None,
            code: None,
        };
        let mut keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        for line in text.lines() {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.replace("\\n", "\n");
            match what {
                "table" => spec.table = rest,
                "hash" => keys.hash.name = rest,
                "range" => keys.range = Some(KeyAttribute::new(rest, KeyType::N)),
                "pending" => spec.pending = rest,
                "update" => spec.update = rest,
                name if name.starts_with('#') => {
                    spec.names.insert(name.into(), rest);
                }
                value if value.starts_with(':') => {
                    let parsed = serde_json::from_str(&rest).unwrap_or(Value::S(rest));
                    spec.values.insert(value.into(), parsed);
                }
                _ => {}
            }
        }
        Scenario { spec, keys }
    }
}
