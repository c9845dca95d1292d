//! The live application beside a backfill: it sets, puts and deletes on the keys that are being migrated, keeps the history
//! of what it has left where, and holds every answer of the database against it.

use std::collections::{BTreeMap, HashMap};

use crate::convert::{from_item, to_item};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};
use backfill_core::value::with_sorted_sets;
use backfill_core::{Item, Key, Value};
use fastrand::Rng;

use crate::tables::{STUFF_KEYS, key_of, stuff};

type Attributes = HashMap<String, AttributeValue>;

/// An item as an answer has brought it along, with sets in order; `None` if there was none.
pub fn found(attributes: Option<&Attributes>) -> Option<Item> {
    let attributes = attributes.filter(|attributes| !attributes.is_empty());
    attributes.map(|attributes| with_sorted_sets(from_item(attributes).expect("an item")))
}

/// Deletes what is at a key of table `stuff`, and says what that was.
pub async fn delete(client: &Client, key: &Key) -> Option<Item> {
    let request = client.delete_item().table_name("stuff");
    let request = request.set_key(Some(to_item(&key.0)));
    let deleted = request.return_values(ReturnValue::AllOld).send().await;
    found(deleted.expect("the item is deleted").attributes())
}

/// Puts an item into table `stuff`, and says what was at its key.
pub async fn put(client: &Client, item: &Item) -> Option<Item> {
    let request = client.put_item().table_name("stuff");
    let request = request.set_item(Some(to_item(item)));
    let put = request.return_values(ReturnValue::AllOld).send().await;
    found(put.expect("the item is put").attributes())
}

/// Which code the application runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It knows of `test`: whatever it puts has one.
    New,
    /// Servers with the former code are still there: they put items without `test`, and take it away.
    OldAndNew,
}

/// One writer of table `stuff`, the only one on its keys.
pub struct Writer {
    client: Client,
    random: Rng,
    code: Code,
    /// Numbers of its items, as [`stuff`] counts them.
    items: Vec<u64>,
    /// What the application has left at each key: the item, less what backfills have added; or nothing.
    history: BTreeMap<Key, Option<Item>>,
    /// What backfills may add if the application has left nothing.
    added: BTreeMap<String, Value>,
    /// Writes so far.
    pub writes: u64,
    /// Answers in which something was seen that a backfill had added.
    pub met: u64,
    seed: u64,
}

impl Writer {
    /// A writer of these items of a table that holds `before`, beside backfills that add `added`.
    pub fn new(
        client: &Client,
        before: &BTreeMap<Key, Item>,
        items: impl IntoIterator<Item = u64>,
        added: &BTreeMap<String, Value>,
        code: Code,
        seed: u64,
    ) -> Writer {
        let items: Vec<u64> = items.into_iter().collect();
        let left = |i: &u64| {
            let key = key_of(&stuff(*i), STUFF_KEYS);
            let item = before.get(&key).cloned();
            (key, item)
        };
        Writer {
            client: client.clone(),
            random: Rng::with_seed(seed),
            code,
            history: items.iter().map(left).collect(),
            items,
            added: added.clone(),
            writes: 0,
            met: 0,
            seed,
        }
    }

    /// One write (or, seldom, a read) of a random kind at a random key. Panics if what was there before is not what
    /// this writer has left there.
    pub async fn write(&mut self) {
        let i = self.items[self.random.usize(..self.items.len())];
        let mut item = with_sorted_sets(stuff(i));
        item.remove("test");
        let key = key_of(&item, STUFF_KEYS);
        let mine = Value::S(format!("live {} of {}", self.writes, self.seed));
        self.writes += 1;
        let kinds = if self.code == Code::New { 6 } else { 9 };
        match self.random.u8(..kinds) {
            0 => self.delete(key).await,
            // Also over what a backfill has set, and if there is no item.
            1 => {
                let update = Update::new("SET test = :v").with(mine.clone());
                self.update(key, update, |item| {
                    item.insert("test".into(), mine.clone());
                })
                .await;
            }
            2 => {
                item.insert("test".into(), mine);
                self.put(key, item).await;
            }
            // Something else about an item that is there.
            3 => {
                let update =
                    Update::new("SET #n = :v REMOVE price").only_if("attribute_exists(id)");
                self.update(key, update.with(mine.clone()), |item| {
                    item.insert("name".into(), mine.clone());
                    item.remove("price");
                })
                .await;
            }
            // The application migrates what it comes across.
            4 => {
                let condition = "attribute_exists(id) AND attribute_not_exists(test)";
                let update = Update::new("SET test = :v").only_if(condition);
                self.update(key, update.with(mine.clone()), |item| {
                    item.insert("test".into(), mine.clone());
                })
                .await;
            }
            5 => self.read(key).await,
            // The whole item as the former code knows it.
            6 => self.put(key, item).await,
            7 => {
                let update = Update::new("SET flag = :v").only_if("attribute_exists(id)");
                self.update(key, update.with(mine.clone()), |item| {
                    item.insert("flag".into(), mine.clone());
                })
                .await;
            }
            _ => {
                let update = Update::new("REMOVE test").only_if("attribute_exists(id)");
                self.update(key, update, |item| {
                    item.remove("test");
                })
                .await;
            }
        }
    }

    /// Panics unless the table is what this writer has left, with all that backfills add.
    pub fn check(&self, table: &BTreeMap<Key, Item>) {
        for (key, left) in &self.history {
            let found = table.get(key);
            compare(&self.added, key, left.as_ref(), found);
            for name in found.iter().flat_map(|_| self.added.keys()) {
                let item = found.expect("in the loop");
                assert!(item.contains_key(name), "{key} has no {name}: {item:?}");
            }
        }
    }

    /// Takes note of what was at a key before an operation.
    fn see(&mut self, key: &Key, found: Option<Item>) {
        let left = self.history[key].as_ref();
        self.met += u64::from(compare(&self.added, key, left, found.as_ref()));
    }

    /// By the application, or by DynamoDB because the item has expired: which of the two, nobody can tell.
    async fn delete(&mut self, key: Key) {
        let deleted = delete(&self.client, &key).await;
        self.see(&key, deleted);
        self.history.insert(key, None);
    }

    async fn put(&mut self, key: Key, item: Item) {
        let before = put(&self.client, &item).await;
        self.see(&key, before);
        self.history.insert(key, Some(item));
    }

    async fn read(&mut self, key: Key) {
        let request = self.client.get_item().table_name("stuff");
        let request = request.set_key(Some(to_item(&key.0)));
        let read = request.consistent_read(true).send().await;
        let read = read.expect("the item is read");
        self.see(&key, found(read.item()));
    }

    async fn update(&mut self, key: Key, update: Update, change: impl Fn(&mut Item)) {
        let request = self.client.update_item().table_name("stuff");
        let mut request = request
            .set_key(Some(to_item(&key.0)))
            .update_expression(update.expression)
            .set_condition_expression(update.condition.map(str::to_owned))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        if update.expression.contains("#n") {
            request = request.expression_attribute_names("#n", "name");
        }
        if let Some(Value::S(value)) = update.value {
            request = request.expression_attribute_values(":v", AttributeValue::S(value));
        }
        match request.send().await {
            Ok(updated) => {
                // Of an item that was not there, the embedded database shows the key.
                let only_key = |found: &&Attributes| found.len() == key.0.len();
                let created = self.history[&key].is_none();
                let before = updated.attributes();
                let before = before.filter(|found| !(created && only_key(found)));
                self.see(&key, found(before));
                let left = self.history.get_mut(&key).expect("one of ours");
                change(left.get_or_insert_with(|| key.0.clone()));
            }
            Err(SdkError::ServiceError(error)) => match error.err() {
                UpdateItemError::ConditionalCheckFailedException(check) => {
                    self.see(&key, found(check.item()));
                }
                error => panic!("{key}: {error:?}"),
            },
            Err(error) => panic!("{key}: {error:?}"),
        }
    }
}

struct Update {
    expression: &'static str,
    condition: Option<&'static str>,
    value: Option<Value>,
}

impl Update {
    fn new(expression: &'static str) -> Update {
        Update {
            expression,
            condition: None,
            value: None,
        }
    }

    fn only_if(self, condition: &'static str) -> Update {
        Update {
            condition: Some(condition),
            ..self
        }
    }

    fn with(self, value: Value) -> Update {
        Update {
            value: Some(value),
            ..self
        }
    }
}

/// Panics unless an item is as it was left, but for what backfills may have added; true if one has.
#[track_caller]
fn compare(
    added: &BTreeMap<String, Value>,
    key: &Key,
    left: Option<&Item>,
    found: Option<&Item>,
) -> bool {
    let (left, found) = match (left, found) {
        (None, None) => return false,
        (None, Some(found)) => panic!("{key} was resurrected: {found:?}"),
        (Some(_), None) => panic!("{key} was lost"),
        (Some(left), Some(found)) => (left, found),
    };
    for (name, value) in left {
        assert_eq!(
            found.get(name),
            Some(value),
            "{name} of {key} was overwritten"
        );
    }
    let more = found.iter().filter(|(name, _)| !left.contains_key(*name));
    let mut met = false;
    for (name, value) in more {
        assert_eq!(
            added.get(name),
            Some(value),
            "{name} of {key} came from nowhere"
        );
        met = true;
    }
    met
}
