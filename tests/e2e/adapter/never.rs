//! never-overwrite and never-resurrect: the guard of a write.

use backfill_core::ports::Outcome;
use backfill_e2e::convert::to_item;

use crate::table::{KINDS, Table, key, outcome, set_test, spec};

/// never-overwrite: an item that a live writer has set since the scan stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_an_item_that_was_set_since() {
    for kind in KINDS {
        let table = Table::with_items(10).await;
        let before = table.items().await;
        assert!(before[&key(8)].contains_key("test"));
        let writer = table.writer(&set_test(), kind);
        assert_eq!(outcome(&writer, key(8)).await, Outcome::Raced);
        assert_eq!(table.items().await, before);
    }
}

/// never-overwrite also if P is an OR, whose parts the guard must not come between.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_with_a_predicate_of_alternatives() {
    for kind in KINDS {
        let table = Table::with_items(10).await;
        let before = table.items().await;
        let alternatives = spec(
            r##"{"table":"stuff","pending":"(attribute_not_exists(test) OR #n = :n)","update":"SET test = :v",
                "names":{"#n":"name"},"values":{":n":"Nobody",":v":1}}"##,
        );
        let writer = table.writer(&alternatives, kind);
        assert_eq!(outcome(&writer, key(8)).await, Outcome::Raced);
        assert_eq!(outcome(&writer, key(99)).await, Outcome::Vanished);
        assert_eq!(table.items().await, before);
        assert_eq!(outcome(&writer, key(1)).await, Outcome::Updated);
    }
}

/// never-resurrect: an item that was deleted since the scan is not created again.
#[tokio::test(flavor = "multi_thread")]
async fn never_resurrect_an_item_that_was_deleted_since() {
    for kind in KINDS {
        let table = Table::with_items(3).await;
        let client = &table.database.client;
        client
            .delete_item()
            .table_name("stuff")
            .set_key(Some(to_item(&key(1).0)))
            .send()
            .await
            .unwrap();
        let before = table.items().await;
        let writer = table.writer(&set_test(), kind);
        assert_eq!(outcome(&writer, key(1)).await, Outcome::Vanished);
        assert_eq!(table.items().await, before);
    }
}
