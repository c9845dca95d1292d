//! The adapter to DynamoDB against the embedded database: what each guarded write does to an item and what it says
//! of it, page by page and key by key.

use std::collections::BTreeMap;

use backfill_core::ports::{
    Outcome, PageRequest, ReadAccess as _, TableReader as _, TableWriter, WriteAccess as _,
};
use backfill_core::table::KeySchema;
use backfill_core::{ErrorKind, Item, Key, Request, Spec, Value};
use backfill_dynamodb::{ConnectOptions, Connection, ReadOnly, ReadWrite, to_item};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, key_of, read_all, stuff};

struct Table {
    database: Embedded,
    connection: Connection,
    keys: KeySchema,
}

impl Table {
    async fn with_items(items: u64) -> Table {
        let database = Embedded::with_stuff(items).await;
        let connection = Connection::open(&ConnectOptions {
            endpoint_url: Some(database.endpoint.clone()),
            region: Some("us-east-1".into()),
            profile: None,
            local_credentials: true,
        })
        .await
        .unwrap();
        let keys = ReadOnly(connection.clone())
            .describe("stuff")
            .await
            .unwrap()
            .keys;
        Table {
            database,
            connection,
            keys,
        }
    }

    fn writer(&self, spec: &Spec) -> impl TableWriter + use<> {
        ReadWrite(self.connection.clone()).writer(spec, &self.keys)
    }

    async fn items(&self) -> BTreeMap<Key, Item> {
        read_all(&self.database.client, "stuff", STUFF_KEYS).await
    }
}

fn spec(json: &str) -> Spec {
    Request::from_json(json).unwrap().spec
}

fn set_test() -> Spec {
    spec(r#"{"table":"stuff","set":{"test":1}}"#)
}

fn key(i: u64) -> Key {
    key_of(&stuff(i), STUFF_KEYS)
}

/// only-U: an item that lacks the attribute gets it, and nothing else changes; what it cost is known.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_on_a_pending_item() {
    let table = Table::with_items(3).await;
    let mut expected = table.items().await;
    let write = table.writer(&set_test()).update(&key(1)).await.unwrap();
    assert_eq!(write.outcome, Outcome::Updated);
    assert!(write.consumed_wcu >= 1.0);
    expected
        .get_mut(&key(1))
        .unwrap()
        .insert("test".into(), Value::N("1".into()));
    assert_eq!(table.items().await, expected);
}

/// never-overwrite: an item that a live writer has set since the scan stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_an_item_that_was_set_since() {
    let table = Table::with_items(10).await;
    let before = table.items().await;
    assert!(before[&key(8)].contains_key("test"));
    let write = table.writer(&set_test()).update(&key(8)).await.unwrap();
    assert_eq!(write.outcome, Outcome::Raced);
    assert_eq!(table.items().await, before);
}

/// never-overwrite also where P is an OR, whose parts the guard must not come between.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_with_a_predicate_of_alternatives() {
    let table = Table::with_items(10).await;
    let before = table.items().await;
    let alternatives = spec(
        r##"{"table":"stuff","pending":"(attribute_not_exists(test) OR #n = :n)","update":"SET test = :v",
            "names":{"#n":"name"},"values":{":n":"Nobody",":v":1}}"##,
    );
    let writer = table.writer(&alternatives);
    assert_eq!(
        writer.update(&key(8)).await.unwrap().outcome,
        Outcome::Raced
    );
    assert_eq!(
        writer.update(&key(99)).await.unwrap().outcome,
        Outcome::Vanished
    );
    assert_eq!(table.items().await, before);
    assert_eq!(
        writer.update(&key(1)).await.unwrap().outcome,
        Outcome::Updated
    );
}

/// never-resurrect: an item that was deleted since the scan is not created again.
#[tokio::test(flavor = "multi_thread")]
async fn never_resurrect_an_item_that_was_deleted_since() {
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
    let write = table.writer(&set_test()).update(&key(1)).await.unwrap();
    assert_eq!(write.outcome, Outcome::Vanished);
    assert_eq!(table.items().await, before);
}

/// accounting: what DynamoDB refuses because of the item is a rejection; what it refuses because of the request is
/// an error.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_what_dynamodb_refuses() {
    let table = Table::with_items(3).await;
    let before = table.items().await;
    let pending = r#""table":"stuff","pending":"attribute_not_exists(test)""#;
    for update in [
        r##""update":"SET test = #n + :one","names":{"#n":"name"},"values":{":one":1}"##,
        r#""update":"SET test = missing_attribute""#,
        r#""update":"SET price.xyz = :one, test = :one","values":{":one":1}"#,
    ] {
        let spec = spec(&format!("{{{pending},{update}}}"));
        let write = table.writer(&spec).update(&key(1)).await.unwrap();
        assert!(
            matches!(write.outcome, Outcome::Rejected(_)),
            "{update}: {write:?}"
        );
    }
    let invalid = spec(&format!(
        r#"{{{pending},"update":"SET test = = :one","values":{{":one":1}}}}"#
    ));
    let error = table.writer(&invalid).update(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidSpec);
    assert_eq!(table.items().await, before);
}

/// What is pending is known for any predicate, one that names a key attribute too.
#[tokio::test(flavor = "multi_thread")]
async fn a_pending_item_is_shown_whole() {
    let table = Table::with_items(10).await;
    let items = table.items().await;
    let by_key = spec(
        r#"{"table":"stuff","pending":"attribute_not_exists(test) AND created < :t","update":"SET test = :v",
            "values":{":t":1600000000005,":v":1}}"#,
    );
    for (spec, i, pending) in [
        (set_test(), 1, true),
        (set_test(), 8, false),
        (set_test(), 99, false),
        (by_key.clone(), 4, true),
        (by_key, 5, false),
    ] {
        let found = table.writer(&spec).pending_item(&key(i)).await.unwrap();
        let found = found.map(backfill_core::value::with_sorted_sets);
        assert_eq!(found.as_ref(), pending.then(|| &items[&key(i)]), "item {i}");
    }
    assert_eq!(table.items().await, items, "looking changes nothing");
    let writer = table.writer(&set_test());
    let (write, shown) = writer.update_and_show(&key(1)).await.unwrap();
    assert_eq!(write.outcome, Outcome::Updated);
    let shown = backfill_core::value::with_sorted_sets(shown.unwrap());
    assert_eq!(shown, table.items().await[&key(1)]);
    assert_eq!(writer.pending_item(&key(1)).await.unwrap(), None);
}

/// no-gap: the segments together hold every pending key once, whatever the size of their pages.
#[tokio::test(flavor = "multi_thread")]
async fn no_gap_between_pages_and_segments() {
    let table = Table::with_items(200).await;
    let reader = ReadOnly(table.connection.clone()).reader(&set_test(), &table.keys);
    for (total_segments, limit) in [(1, 1), (1, 7), (5, 3), (16, 1000)] {
        let mut found = Vec::new();
        let mut scanned = 0;
        for segment in 0..total_segments {
            let mut after: Option<Key> = None;
            loop {
                let request = PageRequest {
                    segment,
                    total_segments,
                    after: after.as_ref(),
                    limit,
                    consistent: true,
                };
                let page = reader.page(request).await.unwrap();
                assert!(page.scanned <= u64::from(limit));
                scanned += page.scanned;
                found.extend(page.pending);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        found.sort();
        let expected: Vec<Key> = table
            .items()
            .await
            .into_iter()
            .filter(|(_, item)| !item.contains_key("test"))
            .map(|(key, _)| key)
            .collect();
        assert_eq!((scanned, found), (200, expected));
    }
}
