//! no-gap: what a page and a look at an item bring.

use backfill_core::ports::TableWriter as _;
use backfill_core::ports::{Asks, LookBy, Outcome, PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::request::WriterKind;
use backfill_core::{ErrorKind, Key};
use backfill_dynamodb::ReadOnly;

use crate::table::{Table, key, set_test, spec};

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
        let writer = table.writer(&spec, WriterKind::Batch);
        let names_a_key = spec.pending.contains("created");
        for by in [LookBy::Check, LookBy::Query, LookBy::Page] {
            let found = writer.look(&key(i), by).await;
            if by == LookBy::Query && names_a_key {
                assert_eq!(found.unwrap_err().kind(), ErrorKind::InvalidSpec);
                continue;
            }
            let found = found.unwrap();
            assert!(found.consumed.is_some_and(|units| units > 0.0), "{by:?}");
            let found = found.item.map(backfill_core::value::with_sorted_sets);
            let item = items.get(&key(i));
            let expected = item.filter(|_| pending || by == LookBy::Page);
            assert_eq!(found.as_ref(), expected, "item {i} by {by:?}");
        }
    }
    assert_eq!(table.items().await, items, "looking changes nothing");
    let writer = table.writer(&set_test(), WriterKind::Batch);
    let (write, shown) = writer.update_and_show(&key(1).into()).await.unwrap();
    assert_eq!(write.outcome, Outcome::Updated);
    let shown = backfill_core::value::with_sorted_sets(shown.unwrap());
    assert_eq!(shown, table.items().await[&key(1)]);
    assert_eq!(
        writer.look(&key(1), LookBy::Check).await.unwrap().item,
        None
    );
}

/// no-gap: the segments together hold every pending key once, whatever the size of their pages.
#[tokio::test(flavor = "multi_thread")]
async fn no_gap_between_pages_and_segments() {
    let table = Table::with_items(200).await;
    let reader = ReadOnly(table.connection.clone()).reader(set_test().change(&table.keys));
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
                    asks: Asks::Sweep,
                };
                let page = reader.page(request).await.unwrap();
                assert!(page.scanned <= u64::from(limit));
                scanned += page.scanned;
                found.extend(page.pending.iter().map(|item| item.key.to_key()));
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
