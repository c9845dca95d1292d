//! Made-up items for a table: keys and index keys by its schema, and every value by what its attribute's name promises.

use std::collections::{BTreeMap, BTreeSet};

use backfill_core::value::Bytes;
use backfill_core::{Error, Item, Result, Value};
use fastrand::Rng;
use serde_json::Value as Json;

/// Beginning of the year in which made-up items are made, in seconds since 1970. It is fixed, so that the same seed gives
/// the same items for ever.
const YEAR_BEGINS: u64 = 1_767_225_600;
const DAY: u64 = 86_400;
/// One item of so many has a sparse attribute.
const SPARSE: u64 = 5;
/// Items of one partition, on average, if there is a sort key.
const PER_PARTITION: u64 = 5;

/// What an item has besides its keys, if nothing else is asked for.
const USUAL: [(&str, Kind); 5] = [
    ("name", Kind::S),
    ("email", Kind::S),
    ("status", Kind::S),
    ("amount", Kind::N),
    ("note", Kind::S),
];

pub(crate) const FIRST_NAMES: [&str; 7] = [
    "Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Leslie",
];
pub(crate) const LAST_NAMES: [&str; 6] = [
    "Lovelace", "Hopper", "Liskov", "Knuth", "Perlman", "Lamport",
];

/// The types that are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S,
    N,
    B,
    Bool,
}

/// How to make items for one table.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    items: u64,
    hash: String,
    range: Option<String>,
    attributes: BTreeMap<String, Kind>,
    sparse: BTreeSet<String>,
}

/// The attributes that are asked for as `name` or `name:N`, each once.
fn given_attributes(extra: &[String]) -> Result<BTreeMap<String, Kind>> {
    let mut given = BTreeMap::new();
    for attribute in extra {
        let (name, kind) = attribute.split_once(':').unwrap_or((attribute, "S"));
        let kind = match kind {
            "S" => Kind::S,
            "N" => Kind::N,
            "B" => Kind::B,
            "BOOL" => Kind::Bool,
            other => {
                let why =
                    format!("{other:?} is no type; expected NAME:S, NAME:N, NAME:B or NAME:BOOL");
                return Err(Error::invalid("attribute", why));
            }
        };
        if given.insert(name.to_owned(), kind).is_some() {
            let why = format!("{name} is given twice; give it once");
            return Err(Error::invalid("attribute", why));
        }
    }
    Ok(given)
}

impl Generator {
    /// Makes `items` items for the table that DescribeTable describes like this; `extra` are attributes as `name` or `name:N`, in
    /// place of the usual ones; `sparse` those that only one item in five has.
    ///
    /// Errors: `InvalidInput` for an unknown type, or if a key of the table is to be sparse.
    pub fn new(
        described: &Json,
        seed: u64,
        items: u64,
        extra: &[String],
        sparse: &[String],
    ) -> Result<Generator> {
        let mut attributes = BTreeMap::new();
        for definition in described["AttributeDefinitions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let kind = match definition["AttributeType"].as_str() {
                Some("N") => Kind::N,
                Some("B") => Kind::B,
                _ => Kind::S,
            };
            let name = definition["AttributeName"].as_str().unwrap_or_default();
            attributes.insert(name.to_owned(), kind);
        }
        for (name, kind) in given_attributes(extra)? {
            attributes.entry(name).or_insert(kind);
        }
        if extra.is_empty() {
            for (name, kind) in USUAL {
                attributes.entry(name.to_owned()).or_insert(kind);
            }
        }
        let keys = described["KeySchema"].as_array();
        let mut keys = keys
            .into_iter()
            .flatten()
            .filter_map(|key| Some(key["AttributeName"].as_str()?.to_owned()));
        let hash = keys
            .next()
            .ok_or_else(|| Error::invalid("table", "the table's description has no key"))?;
        let range = keys.next();
        for name in sparse {
            if *name == hash || range.as_ref() == Some(name) {
                let why = format!("{name} is a key of the table; every item has it");
                return Err(Error::invalid("sparse", why));
            }
            attributes.entry(name.clone()).or_insert(Kind::S);
        }
        Ok(Generator {
            seed,
            items,
            hash,
            range,
            attributes,
            sparse: sparse.iter().cloned().collect(),
        })
    }

    /// The `index`-th item, the same for the same seed and schema. No two have the same key.
    pub fn item(&self, index: u64) -> Item {
        let mut random = Rng::with_seed(self.seed.rotate_left(32) ^ index);
        let mut pick = |words: &[&'static str]| words[random.usize(..words.len())];
        let person = format!("{} {}", pick(&FIRST_NAMES), pick(&LAST_NAMES));
        let mut item = Item::new();
        for (name, kind) in &self.attributes {
            // Drawn in any case, so that one attribute's absence does not change the others.
            let has_it = random.u64(..SPARSE) == 0;
            let value = if *name == self.hash {
                match self.range {
                    // As few partitions as it takes for each to have several items.
                    Some(_) => key(
                        name,
                        *kind,
                        index % self.items.div_ceil(PER_PARTITION).max(1),
                    ),
                    None => key(name, *kind, index),
                }
            } else if self.range.as_ref() == Some(name) {
                key(name, *kind, index)
            } else {
                any(name, *kind, &person, &mut random)
            };
            if has_it || !self.sparse.contains(name) {
                item.insert(name.clone(), value);
            }
        }
        item
    }
}

/// What a name says of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Expiry,
    Time,
    Date,
    Email,
    Url,
    Status,
    Amount,
    Count,
    Person,
    Id,
    Text,
}

fn meaning(name: &str) -> Meaning {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(['_', '-', '.', '#']).collect();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let is = |parts: &[&str]| words.iter().any(|word| parts.contains(word));
    if has(&["expir"]) || is(&["ttl"]) {
        Meaning::Expiry
    } else if has(&["email"]) || is(&["mail"]) {
        Meaning::Email
    } else if has(&["url", "link"]) || is(&["uri", "href", "site"]) {
        Meaning::Url
    } else if is(&["date", "day", "birthday"]) || name.ends_with("date") {
        Meaning::Date
    } else if is(&[
        "at",
        "created",
        "updated",
        "timestamp",
        "time",
        "ts",
        "epoch",
        "when",
    ]) || has(&["timestamp", "createdat", "updatedat"])
    {
        Meaning::Time
    } else if is(&["status", "state", "type", "kind", "level", "category"]) || has(&["status"]) {
        Meaning::Status
    } else if is(&["amount", "total", "price", "cost", "sum", "balance"]) || has(&["amount"]) {
        Meaning::Amount
    } else if is(&[
        "count", "quantity", "number", "size", "version", "age", "score", "rank",
    ]) {
        Meaning::Count
    } else if is(&["name", "user", "author", "customer", "handle"]) {
        Meaning::Person
    } else if is(&["id", "uuid", "guid", "pk", "sk", "key"]) || name.ends_with("id") {
        Meaning::Id
    } else {
        Meaning::Text
    }
}

/// The `index`-th value of a key attribute: distinct, and for times in their order.
fn key(name: &str, kind: Kind, index: u64) -> Value {
    let seconds = YEAR_BEGINS + index * 61;
    match (kind, meaning(name)) {
        (Kind::N, Meaning::Time | Meaning::Date | Meaning::Expiry) => number(seconds),
        (Kind::N, _) => number(index + 1),
        (Kind::B, _) => Value::B(Bytes(index.to_be_bytes().to_vec())),
        (Kind::Bool, _) => Value::Bool(true),
        (Kind::S, Meaning::Time | Meaning::Expiry) => Value::S(timestamp(seconds)),
        // A date alone would not be distinct.
        (Kind::S, Meaning::Date) => Value::S(timestamp(seconds)),
        (Kind::S, Meaning::Email) => Value::S(format!("user-{:06}@example.com", index + 1)),
        (Kind::S, Meaning::Url) => Value::S(format!("https://site-{:06}.example/", index + 1)),
        (Kind::S, _) => {
            let stem = name.to_ascii_lowercase();
            let stem = stem.split(['_', '-']).next().filter(|stem| *stem != "id");
            Value::S(format!("{}-{:06}", stem.unwrap_or("item"), index + 1))
        }
    }
}

/// A value of an attribute that is no key, for an item about this person.
fn any(name: &str, kind: Kind, person: &str, random: &mut Rng) -> Value {
    let mut pick = |words: &[&str]| words[random.usize(..words.len())].to_owned();
    let text = match (kind, meaning(name)) {
        (Kind::Bool, _) => return Value::Bool(random.bool()),
        (Kind::B, _) => return Value::B(Bytes((0..16).map(|_| random.u8(..)).collect())),
        (Kind::N, Meaning::Expiry) => return number(expiry(random)),
        (Kind::N, Meaning::Time | Meaning::Date) => return number(some_time(random)),
        (Kind::N, Meaning::Amount) => {
            let amount = format!("{}.{:02}", random.u32(1..2_000), random.u32(..100));
            // As DynamoDB writes it.
            let amount = amount.trim_end_matches('0').trim_end_matches('.');
            return Value::N(amount.to_owned());
        }
        (Kind::N, Meaning::Count) => return number(random.u64(..100)),
        (Kind::N, _) => return number(random.u64(..1_000_000)),
        (Kind::S, Meaning::Expiry) => timestamp(expiry(random)),
        (Kind::S, Meaning::Time) => timestamp(some_time(random)),
        (Kind::S, Meaning::Date) => timestamp(some_time(random))[..10].to_owned(),
        (Kind::S, Meaning::Status) => pick(&["new", "open", "paid", "shipped", "closed"]),
        (Kind::S, Meaning::Person) => person.to_owned(),
        (Kind::S, Meaning::Email) => {
            format!("{}@example.com", person.to_lowercase().replace(' ', "."))
        }
        (Kind::S, Meaning::Url) => {
            let page = pick(&["about", "news", "docs", "blog"]);
            format!("https://site-{}.example/{page}", random.u32(1..1_000))
        }
        (Kind::S, Meaning::Amount | Meaning::Count) => random.u32(1..1_000).to_string(),
        (Kind::S, Meaning::Id) => format!("{:016x}", random.u64(..)),
        (Kind::S, Meaning::Text) => pick(&[
            "left with the neighbour, ring twice",
            "see you at the café in Tromsø",
            "on my way, ten minutes",
            "please call back before noon",
            "thanks, that worked",
        ]),
    };
    Value::S(text)
}

fn number(n: u64) -> Value {
    Value::N(n.to_string())
}

fn some_time(random: &mut Rng) -> u64 {
    YEAR_BEGINS + random.u64(..365 * DAY)
}

/// Far enough away for nothing to expire in a rehearsal.
fn expiry(random: &mut Rng) -> u64 {
    YEAR_BEGINS + random.u64(20 * 365 * DAY..30 * 365 * DAY)
}

/// "2026-01-01T00:00:00Z" of seconds since 1970.
fn timestamp(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn orders() -> Json {
        json!({
            "KeySchema": [{"AttributeName": "customer_id"}, {"AttributeName": "order_id"}],
            "AttributeDefinitions": [
                {"AttributeName": "customer_id", "AttributeType": "S"},
                {"AttributeName": "order_id", "AttributeType": "S"},
                {"AttributeName": "open_since", "AttributeType": "N"},
                {"AttributeName": "order_date", "AttributeType": "S"},
                {"AttributeName": "total_amount", "AttributeType": "N"},
            ],
        })
    }

    #[test]
    fn items_have_distinct_keys_and_the_same_seed_gives_the_same() {
        let make =
            |seed| Generator::new(&orders(), seed, 500, &[], &["open_since".into()]).unwrap();
        let items: Vec<Item> = (0..500).map(|i| make(1).item(i)).collect();
        assert!((0..500).all(|i| make(1).item(i) == items[i as usize]));
        assert!((0..500).any(|i| make(2).item(i) != items[i as usize]));
        let distinct = |names: &[&str]| {
            let keys: BTreeSet<Vec<&Value>> = items
                .iter()
                .map(|item| names.iter().map(|name| &item[*name]).collect())
                .collect();
            keys.len()
        };
        assert_eq!(distinct(&["customer_id", "order_id"]), 500);
        assert_eq!(distinct(&["customer_id"]), 100, "several orders for each");
        let sparse = items
            .iter()
            .filter(|item| item.contains_key("open_since"))
            .count();
        assert!((60..140).contains(&sparse), "{sparse}");
        for item in &items {
            assert!(matches!(&item["total_amount"], Value::N(n) if n.parse::<f64>().is_ok()));
            assert!(matches!(&item["order_date"], Value::S(date) if date.starts_with("2026-")));
            assert!(matches!(&item["email"], Value::S(mail) if mail.ends_with("@example.com")));
        }
    }

    #[test]
    fn attributes_are_as_asked_for() {
        let extra = ["flag:BOOL".into(), "site_url".into(), "expires_at:N".into()];
        let item = Generator::new(&orders(), 1, 1, &extra, &[])
            .unwrap()
            .item(0);
        assert!(matches!(item["flag"], Value::Bool(_)));
        assert!(matches!(&item["site_url"], Value::S(url) if url.starts_with("https://")));
        assert!(
            matches!(&item["expires_at"], Value::N(n) if n.parse::<u64>().unwrap() > 2_000_000_000)
        );
        assert!(!item.contains_key("note"));
        for (extra, sparse) in [("a:X", "b"), ("a", "order_id")] {
            assert!(Generator::new(&orders(), 1, 1, &[extra.into()], &[sparse.into()]).is_err());
        }
    }
}
