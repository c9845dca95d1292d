//! never-overwrite and never-resurrect: live traffic during an execution.

use std::collections::{BTreeMap, BTreeSet};

use backfill_core::{Item, Key, Value};
use backfill_e2e::aws::{Aws, Running, Table, assert_same, deployed, input};
use backfill_e2e::convert::to_item;
use backfill_e2e::tables::{migrated, string};
use backfill_e2e::wire::{Tap, Verdict};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::stack::{assert_accounted, assert_fields, count, start};

/// What a live application does to an item, on top of what the backfill does.
#[derive(Clone, Copy, PartialEq)]
enum Live {
    /// Sets a value of its own, over whatever is there.
    Sets,
    Deletes,
}

impl Live {
    async fn act(self, aws: &Aws, table: &str, key: &Key, value: &str) {
        let client = &aws.client;
        match self {
            Live::Sets => {
                let update = client
                    .update_item()
                    .table_name(table)
                    .set_key(Some(to_item(&key.0)))
                    .update_expression("SET test = :live")
                    .condition_expression("attribute_exists(id)")
                    .expression_attribute_values(":live", string(value));
                update.send().await.expect("a live write");
            }
            Live::Deletes => {
                let delete = client
                    .delete_item()
                    .table_name(table)
                    .set_key(Some(to_item(&key.0)));
                delete.send().await.expect("a live delete");
            }
        }
    }
}

/// The items that the application acts on, each in one way only.
struct Parts {
    /// Set in the very moment before their update.
    raced: BTreeSet<Key>,
    /// Deleted in the very moment before their update.
    vanished: BTreeSet<Key>,
    /// Set all the time.
    set: BTreeSet<Key>,
    /// Deleted at some time.
    deleted: BTreeSet<Key>,
}

impl Parts {
    /// By the place of an item among those that are pending.
    fn of(table: &Table) -> Parts {
        let part = |remainder: usize| -> BTreeSet<Key> {
            let pending = table
                .before
                .iter()
                .filter(|(_, item)| !item.contains_key("test"));
            let part = pending.enumerate().filter(|(i, _)| i % 8 == remainder);
            part.map(|(_, (key, _))| key.clone()).collect()
        };
        Parts {
            raced: part(0),
            vanished: part(1),
            set: part(2),
            deleted: part(3),
        }
    }

    /// Acts between the page that finds an item pending and the update of it.
    fn act_at_the_last_moment(&self, aws: &'static Aws, table: &'static str) -> Tap {
        let (raced, vanished) = (self.raced.clone(), self.vanished.clone());
        aws.wire.tap(table, move |call| {
            let keys = if call.is_update() {
                call.keys()
            } else {
                Vec::new()
            };
            let live = |key: &Key| match () {
                () if raced.contains(key) => Some(Live::Sets),
                () if vanished.contains(key) => Some(Live::Deletes),
                () => None,
            };
            let acts: Vec<_> = keys.into_iter().map(|key| (live(&key), key)).collect();
            async move {
                // Time for the others.
                call.dawdle().await;
                for (live, key) in &acts {
                    if let Some(live) = live {
                        live.act(aws, table, key, "at the last moment").await;
                    }
                }
                Verdict::Forward
            }
        })
    }

    /// Goes round after round over the application's own items until it is over, and returns the number of rounds.
    fn act_all_the_time(
        &self,
        aws: &'static Aws,
        table: &'static str,
        over: watch::Receiver<bool>,
    ) -> JoinHandle<u32> {
        let (set, deleted) = (self.set.clone(), self.deleted.clone());
        tokio::spawn(async move {
            let mut rounds = 0;
            let mut deletes = deleted.iter();
            while !*over.borrow() {
                for key in &set {
                    Live::Sets
                        .act(aws, table, key, &format!("round {rounds}"))
                        .await;
                    if let Some(key) = deletes.next() {
                        Live::Deletes.act(aws, table, key, "").await;
                    }
                }
                rounds += 1;
            }
            rounds
        })
    }

    /// The table at the end: every live write is there, and no deleted item.
    fn expected(&self, before: &BTreeMap<Key, Item>, rounds: u32) -> BTreeMap<Key, Item> {
        let mut expected = migrated(before);
        for key in self.raced.iter().chain(&self.set) {
            let value = match self.raced.contains(key) {
                true => "at the last moment".to_owned(),
                false => format!("round {}", rounds - 1),
            };
            expected
                .get_mut(key)
                .unwrap()
                .insert("test".into(), Value::S(value));
        }
        expected.retain(|key, _| !self.vanished.contains(key) && !self.deleted.contains(key));
        expected
    }

    /// The application's own items may have been first or second.
    fn assert_counted(&self, result: &Json) {
        let bounds = |least: &BTreeSet<Key>, more: &BTreeSet<Key>| {
            least.len() as u64..=(least.len() + more.len()) as u64
        };
        let (by, at) = (count(result, "raced"), bounds(&self.raced, &self.set));
        assert!(at.contains(&by), "raced: {by} in {at:?}");
        let at = bounds(&self.vanished, &self.deleted);
        let by = count(result, "vanished");
        assert!(at.contains(&by), "vanished: {by} in {at:?}");
    }
}

/// never-overwrite, never-resurrect, only-U, accounting: a live application sets and deletes items all the time while
/// the deployed backfill runs, some of them in the very moment between the page that finds an item pending and the
/// update of it.
#[test]
fn never_overwrite_and_never_resurrect_deployed() {
    deployed(async |aws| {
        const NAME: &str = "live";
        let table = aws.table(NAME, 800).await;
        let parts = Parts::of(&table);
        let at_last = parts.act_at_the_last_moment(aws, NAME);
        let run = Running::start(&mut aws.backfill(&start(NAME, "--segments 4")));
        let (ended, over) = watch::channel(false);
        let application = parts.act_all_the_time(aws, NAME, over);
        let result = run.end().await;
        ended.send(true).expect("the application is there");
        let rounds = application.await.expect("the application works");
        let result = result.expect_code(0).json();
        drop(at_last);

        assert_same(&table.now().await, &parts.expected(&table.before, rounds));
        assert_fields(
            &result,
            &[
                ("status", json!("succeeded")),
                ("passes", json!(1)),
                ("remaining", json!(0)),
            ],
        );
        assert_accounted(&result, &aws.segments(&input(NAME, json!({})), 1).await);
        parts.assert_counted(&result);
    });
}
