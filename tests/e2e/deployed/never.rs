//! never-overwrite and never-resurrect: live traffic during an execution.

use std::collections::BTreeSet;

use backfill_core::{Key, Value};
use backfill_e2e::aws::{Aws, Running, assert_same, deployed, input};
use backfill_e2e::convert::to_item;
use backfill_e2e::tables::{migrated, string};
use backfill_e2e::wire::Verdict;
use serde_json::json;
use tokio::sync::watch;

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

/// never-overwrite, never-resurrect, only-U, accounting: a live application sets and deletes items all the time while
/// the deployed backfill runs, some of them in the very moment between the page that finds an item pending and the
/// update of it.
#[test]
fn never_overwrite_and_never_resurrect_deployed() {
    deployed(async |aws| {
        const NAME: &str = "live";
        let table = aws.table(NAME, 800).await;
        // By the item's place in the table: raced, vanished (both at the last moment), and the application's own.
        let part = |remainder: usize| -> BTreeSet<Key> {
            let pending = table
                .before
                .iter()
                .filter(|(_, item)| !item.contains_key("test"));
            let part = pending.enumerate().filter(|(i, _)| i % 8 == remainder);
            part.map(|(_, (key, _))| key.clone()).collect()
        };
        let (raced, vanished, set, deleted) = (part(0), part(1), part(2), part(3));
        let at_last = {
            let (raced, vanished) = (raced.clone(), vanished.clone());
            aws.wire.tap(NAME, move |call| {
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
                            live.act(aws, NAME, key, "at the last moment").await;
                        }
                    }
                    Verdict::Forward
                }
            })
        };
        let run = Running::start(&mut aws.backfill(&start(NAME, "--segments 4")));
        // Round after round over its own items, until the backfill has ended.
        let (ended, over) = watch::channel(false);
        let application = tokio::spawn({
            let (set, deleted) = (set.clone(), deleted.clone());
            async move {
                let mut rounds = 0;
                let mut deletes = deleted.iter();
                while !*over.borrow() {
                    for key in &set {
                        Live::Sets
                            .act(aws, NAME, key, &format!("round {rounds}"))
                            .await;
                        if let Some(key) = deletes.next() {
                            Live::Deletes.act(aws, NAME, key, "").await;
                        }
                    }
                    rounds += 1;
                }
                rounds
            }
        });
        let result = run.end().await;
        ended.send(true).expect("the application is there");
        let rounds = application.await.expect("the application works");
        let result = result.expect_code(0).json();
        drop(at_last);

        let mut expected = migrated(&table.before);
        for key in raced.iter().chain(&set) {
            let value = match raced.contains(key) {
                true => "at the last moment".to_owned(),
                false => format!("round {}", rounds - 1),
            };
            expected
                .get_mut(key)
                .unwrap()
                .insert("test".into(), Value::S(value));
        }
        expected.retain(|key, _| !vanished.contains(key) && !deleted.contains(key));
        assert_same(&table.now().await, &expected);

        assert_fields(
            &result,
            &[
                ("status", json!("succeeded")),
                ("passes", json!(1)),
                ("remaining", json!(0)),
            ],
        );
        assert_accounted(&result, &aws.segments(&input(NAME, json!({})), 1).await);
        // The application's own items may have been first or second.
        let bounds = |least: &BTreeSet<Key>, more: &BTreeSet<Key>| {
            least.len() as u64..=(least.len() + more.len()) as u64
        };
        let (by, at) = (count(&result, "raced"), bounds(&raced, &set));
        assert!(at.contains(&by), "raced: {by} in {at:?}");
        let (by, at) = (count(&result, "vanished"), bounds(&vanished, &deleted));
        assert!(at.contains(&by), "vanished: {by} in {at:?}");
    });
}
