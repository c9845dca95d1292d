//! The update on sampled items, in an embedded database of this process: what becomes of them is seen before any item of the
//! table is touched.

use std::collections::BTreeMap;

use backfill_core::change::{Change, Made, Seen};
use backfill_core::survey::{IndexFacts, Rehearsal, Tried, misfits};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType};
use backfill_core::value::Bytes;
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use dynoxide::Database;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::errors::DynoxideError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

const TABLE: &str = "trial";

/// An embedded database of this process, as the place where a change is tried on copies of items. A table there has the
/// indexes of the real one, which refuse an attribute of another type than that of their key.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmbeddedTrial;

impl Rehearsal for EmbeddedTrial {
    fn read_update(&self, change: &dyn Change) -> Result<()> {
        read_update(change)
    }

    fn try_change(
        &self,
        change: &dyn Change,
        indexes: &[IndexFacts],
        items: Vec<Item>,
    ) -> Result<Vec<Tried>> {
        try_on_copies(change, indexes, items)
    }
}

/// With these words the database begins what it says of an update that it cannot read.
const UNREADABLE: &str = "Invalid UpdateExpression: ";

/// Sends the guarded update to an item that is not there: the database reads the update before it looks for the item.
fn read_update(change: &dyn Change) -> Result<()> {
    let database = Database::memory().map_err(failed)?;
    let table = definition(change.keys(), &[])?;
    database.create_table(table).map_err(failed)?;
    let value = |attribute: &KeyAttribute| match attribute.kind {
        KeyType::S => Value::S("0".into()),
        KeyType::N => Value::N("0".into()),
        KeyType::B => Value::B(Bytes(b"0".to_vec())),
    };
    let keys = std::iter::once(&change.keys().hash).chain(&change.keys().range);
    let nobody: Item = keys.map(|key| (key.name.clone(), value(key))).collect();
    let seen = change.seen(nobody.into());
    // What is computed for each item is ours, and reads well.
    let Ok(made) = change.make(&seen) else {
        return Ok(());
    };
    match database.update_item(update(change, &seen, &made)?) {
        Err(DynoxideError::ValidationException(message)) => match message.find(UNREADABLE) {
            Some(at) => Err(Error::invalid("update", advised(&message[at..]))),
            // What else it may say is for DynamoDB to judge, and it does with the first page that is read.
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What the database says, with what can be done about a reserved word.
fn advised(message: &str) -> String {
    match message.contains("reserved keyword") {
        true => format!(
            "{message}; put a placeholder in its place: #n, and --name '#n=ATTRIBUTE' (in JSON names)"
        ),
        false => message.to_owned(),
    }
}

/// Sends the guarded update to copies of these items, of which no two may have the same key.
fn try_on_copies(
    change: &dyn Change,
    indexes: &[IndexFacts],
    items: Vec<Item>,
) -> Result<Vec<Tried>> {
    let database = Database::memory().map_err(failed)?;
    let table = definition(change.keys(), indexes)?;
    database.create_table(table).map_err(failed)?;
    let mut tried = Vec::new();
    for item in items {
        let put = PutItemRequest {
            table_name: TABLE.into(),
            item: convert(&item)?,
            ..PutItemRequest::default()
        };
        if let Err(refused) = database.put_item(put) {
            // The table has had it from before it had the index that it does not fit.
            if misfits(change.keys(), indexes, &item).is_empty() {
                return Err(failed(refused));
            }
            tried.push(Tried {
                before: item,
                after: Err(refused.to_string()),
                is_extinguished: true,
            });
            continue;
        }
        let seen = change.seen(item.clone().into());
        let made = match change.make(&seen) {
            Ok(made) => made,
            Err(why) => {
                tried.push(Tried {
                    before: item,
                    after: Err(why),
                    is_extinguished: true,
                });
                continue;
            }
        };
        let after = match database.update_item(update(change, &seen, &made)?) {
            Ok(answer) => Ok(convert(&answer.attributes.unwrap_or_default())?),
            Err(DynoxideError::ConditionalCheckFailedException(..)) => {
                Err("it is not pending there".into())
            }
            Err(refused) => Err(refused.to_string()),
        };
        tried.push(Tried {
            before: item,
            after,
            is_extinguished: true,
        });
    }
    let left = still_pending(&database, change)?;
    for tried in &mut tried {
        let tried_on = change.keys().key_of(&tried.before);
        tried.is_extinguished = !left.contains(&tried_on);
    }
    Ok(tried)
}

fn definition(keys: &KeySchema, indexes: &[IndexFacts]) -> Result<CreateTableRequest> {
    let of_table: Vec<KeyAttribute> = std::iter::once(&keys.hash)
        .chain(&keys.range)
        .cloned()
        .collect();
    let schema = |attributes: &[KeyAttribute]| -> Vec<Json> {
        let roles = ["HASH", "RANGE"].iter();
        attributes
            .iter()
            .zip(roles)
            .map(|(attribute, role)| json!({"AttributeName": attribute.name, "KeyType": role}))
            .collect()
    };
    let of_indexes = indexes.iter().flat_map(|index| &index.keys);
    let definitions: BTreeMap<&str, Json> = of_table
        .iter()
        .chain(of_indexes)
        .map(|attribute| {
            let (name, kind) = (&attribute.name, attribute.kind);
            (
                name.as_str(),
                json!({"AttributeName": name, "AttributeType": kind}),
            )
        })
        .collect();
    let mut table = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": definitions.into_values().collect::<Vec<_>>(),
        "KeySchema": schema(&of_table),
    });
    for (field, local) in [
        ("GlobalSecondaryIndexes", false),
        ("LocalSecondaryIndexes", true),
    ] {
        let of_kind: Vec<Json> = indexes
            .iter()
            .filter(|index| index.local == local)
            .map(|index| {
                // What else it holds makes no difference to what it takes.
                json!({"IndexName": index.name, "KeySchema": schema(&index.keys),
                    "Projection": {"ProjectionType": "KEYS_ONLY"}})
            })
            .collect();
        if !of_kind.is_empty() {
            table[field] = of_kind.into();
        }
    }
    convert(&table)
}

fn update(change: &dyn Change, seen: &Seen, made: &Made) -> Result<UpdateItemRequest> {
    let guarded = change.update(seen, made);
    let values = &guarded.values;
    Ok(UpdateItemRequest {
        table_name: TABLE.into(),
        key: convert(&seen.key)?,
        update_expression: Some(guarded.update.to_string()),
        condition_expression: Some(guarded.condition.as_str().to_owned()),
        expression_attribute_names: Some(guarded.names.clone().into_owned().into_iter().collect()),
        expression_attribute_values: match values.is_empty() {
            true => None,
            false => Some(convert(values)?),
        },
        return_values: Some("ALL_NEW".into()),
        ..UpdateItemRequest::default()
    })
}

/// The keys of the items for which `P` holds.
fn still_pending(database: &Database, change: &dyn Change) -> Result<Vec<Key>> {
    let sweep = change.sweep();
    let values = &sweep.values;
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = database
            .scan(ScanRequest {
                table_name: TABLE.into(),
                filter_expression: Some(sweep.filter.clone()),
                projection_expression: Some(sweep.projection.clone()),
                expression_attribute_names: Some(sweep.names.clone().into_iter().collect()),
                expression_attribute_values: match values.is_empty() {
                    true => None,
                    false => Some(convert(values)?),
                },
                exclusive_start_key: after,
                ..ScanRequest::default()
            })
            .map_err(failed)?;
        for item in page.items.iter().flatten() {
            let item: Item = convert(item)?;
            let key = change.keys().key_of(&item);
            if change.is_pending(&change.seen(item.into())) {
                keys.push(key);
            }
        }
        after = page.last_evaluated_key;
        if after.is_none() {
            return Ok(keys);
        }
    }
}

/// From our form of DynamoDB's JSON to the database's, or back.
fn convert<A: Serialize, B: DeserializeOwned>(from: &A) -> Result<B> {
    serde_json::to_value(from)
        .and_then(serde_json::from_value)
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "the embedded database").with_source(error)
        })
}

fn failed(error: DynoxideError) -> Error {
    Error::new(
        ErrorKind::Internal,
        "cannot try the update in the embedded database",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use backfill_core::change::Verb;
    use backfill_core::change::reserved::reserved_words;
    use backfill_core::table::KeyType;
    use backfill_core::value::with_sorted_sets;
    use backfill_core::{Request, Value};

    use super::*;

    fn tried(pending: &str, update: &str) -> Tried {
        let spec =
            json!({"table": "stuff", "pending": pending, "update": update, "values": {":v": 1}});
        let spec = Request::from_json(&spec.to_string()).unwrap().spec;
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        let item = Item::from([("id".to_owned(), Value::S("a".into()))]);
        let mut tried = try_on_copies(&*spec.change(&keys), &[], vec![item]).unwrap();
        tried.remove(0)
    }

    /// What a verb does to an item, said once more without expressions; `None` if it leaves the item alone.
    fn by_hand(verb: &Verb, item: &Item) -> Option<Item> {
        let mut after = item.clone();
        match verb {
            Verb::Set(set) => {
                for (name, value) in set {
                    after.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
            Verb::Remove(names) => {
                for name in names {
                    after.remove(name);
                }
            }
            Verb::Rename(old, new) => {
                if !item.contains_key(new)
                    && let Some(value) = after.remove(old)
                {
                    after.insert(new.clone(), value);
                }
            }
            Verb::Copy(from, to) => {
                if let (Some(value), None) = (item.get(from), item.get(to)) {
                    after.insert(to.clone(), value.clone());
                }
            }
            Verb::Append(list, value) => {
                let list = after.entry(list.clone()).or_insert(Value::L(Vec::new()));
                if let Value::L(list) = list
                    && !list.contains(value)
                {
                    list.push(value.clone());
                }
            }
            Verb::Add(set, members) => {
                let members = match members {
                    Value::L(members) => members.clone(),
                    one => vec![one.clone()],
                };
                let empty = match members[0] {
                    Value::S(_) => Value::Ss(Vec::new()),
                    _ => Value::Ns(Vec::new()),
                };
                let set = after.entry(set.clone()).or_insert(empty);
                for member in members {
                    match (&mut *set, member) {
                        (Value::Ss(set), Value::S(member)) | (Value::Ns(set), Value::N(member))
                            if !set.contains(&member) =>
                        {
                            set.push(member);
                        }
                        _ => {}
                    }
                }
            }
        }
        let changed = with_sorted_sets(after.clone()) != with_sorted_sets(item.clone());
        changed.then_some(after)
    }

    /// A value of any type, and of each some that are alike.
    fn any_value(random: &mut fastrand::Rng) -> Value {
        let number = |random: &mut fastrand::Rng| random.u8(0..3).to_string();
        let text = |random: &mut fastrand::Rng| ["x", "y", ""][random.usize(0..3)].to_owned();
        match random.u8(0..8) {
            0 => Value::S(text(random)),
            1 => Value::N(number(random)),
            2 => Value::Bool(random.bool()),
            3 => Value::Null(true),
            4 => Value::L((0..random.u8(0..3)).map(|_| any_value(random)).collect()),
            5 => Value::M([("a".to_owned(), Value::N(number(random)))].into()),
            6 => Value::Ss(
                ["x", "z"][random.usize(0..2)..]
                    .iter()
                    .map(|t| (*t).into())
                    .collect(),
            ),
            _ => Value::Ns(
                ["1", "7"][random.usize(0..2)..]
                    .iter()
                    .map(|n| (*n).into())
                    .collect(),
            ),
        }
    }

    fn any_verb(random: &mut fastrand::Rng) -> Verb {
        let names = ["a", "status", "a.b", "c d"];
        let one = random.usize(0..4);
        let (name, other) = (
            names[one].to_owned(),
            names[(one + random.usize(1..4)) % 4].to_owned(),
        );
        match random.u8(0..6) {
            0 => Verb::Set([(name, any_value(random)), (other, any_value(random))].into()),
            1 if random.bool() => Verb::Remove(vec![name]),
            1 => Verb::Remove(vec![name, other]),
            2 => Verb::Rename(name, other),
            3 => Verb::Copy(name, other),
            4 => Verb::Append(name, any_value(random)),
            _ => Verb::Add(
                name,
                Value::from_plain_json(
                    ["\"x\"", "1", "[\"x\",\"new\"]", "[1,2]"][random.usize(0..4)],
                )
                .unwrap(),
            ),
        }
    }

    /// Whatever an item has: a pending one is changed as the verb says and is pending no longer, another one is left alone.
    #[test]
    fn every_verb_does_what_it_says_and_overwrites_nothing() {
        let mut random = fastrand::Rng::with_seed(26);
        let keys = KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        };
        let (mut changed, mut left) = (0, 0);
        for _ in 0..300 {
            let verb = any_verb(&mut random);
            let spec = verb.clone().pair("stuff", &Default::default()).unwrap();
            spec.check().unwrap();
            let items: Vec<Item> = (0..20)
                .map(|i| {
                    let mut item = Item::from([("id".to_owned(), Value::S(i.to_string()))]);
                    for name in ["a", "status", "a.b", "c d"] {
                        if random.bool() {
                            item.insert(name.to_owned(), any_value(&mut random));
                        }
                    }
                    item
                })
                .collect();
            for tried in try_on_copies(&*spec.change(&keys), &[], items).unwrap() {
                let expected = by_hand(&verb, &tried.before);
                match (&tried.after, expected) {
                    (Ok(after), Some(expected)) => {
                        changed += 1;
                        let after = with_sorted_sets(after.clone());
                        assert_eq!(
                            after,
                            with_sorted_sets(expected),
                            "{verb:?}: {:?}",
                            tried.before
                        );
                    }
                    (Err(why), None) if why == "it is not pending there" => left += 1,
                    (after, expected) => {
                        panic!("{verb:?}: {:?}: {after:?}, {expected:?}", tried.before)
                    }
                }
                assert!(tried.is_extinguished, "{verb:?}: {:?}", tried.before);
            }
        }
        assert!(
            changed > 1_000 && left > 1_000,
            "{changed} changed, {left} left alone"
        );
    }

    /// Each of them, wherever a name can stand; the database has a list of its own of what it refuses.
    #[test]
    fn every_reserved_word_can_be_typed_as_a_name() {
        // These three would be meant as values, and are refused.
        let is_name = |word: &&str| !["NULL", "TRUE", "FALSE"].contains(word);
        let words: Vec<String> = reserved_words()
            .filter(is_name)
            .map(str::to_lowercase)
            .collect();
        for words in words.chunks(30) {
            let each = |form: fn(&str) -> String, between: &str| {
                let parts: Vec<String> = words.iter().map(|word| form(word)).collect();
                parts.join(between)
            };
            let pending = each(|word| format!("NOT {word} = :v"), " OR ");
            let update = each(|word| format!("{word} = if_not_exists({word}, :v)"), ", ");
            let tried = tried(&pending, &format!("SET {update}"));
            let after = tried.after.unwrap_or_else(|why| panic!("{words:?}: {why}"));
            assert_eq!(after.len(), words.len() + 1);
            assert!(tried.is_extinguished, "{words:?}");
        }
    }
}
