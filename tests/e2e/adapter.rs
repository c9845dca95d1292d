//! The adapter to DynamoDB against the embedded database: what each guarded write does to an item and what it says
//! of it, page by page and key by key.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use backfill_core::change::Seen;
use backfill_core::engine::planner::Planner;
use backfill_core::ports::{
    CheckpointReader as _, Outcome, PageRequest, ReadAccess as _, SegmentStore as _,
    TableReader as _, TableWriter, Write, WriteAccess as _,
};
use backfill_core::records::Cursor;
use backfill_core::records::{Counters, Flush};
use backfill_core::request::WriterKind;
use backfill_core::table::KeySchema;
use backfill_core::{ErrorKind, Item, Key, Request, Spec, Value};
use backfill_dynamodb::{
    CheckpointTable, ConnectOptions, Connection, ReadOnly, ReadWrite, to_item,
};
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

    fn writer(&self, spec: &Spec, kind: WriterKind) -> impl TableWriter + use<> {
        ReadWrite::new(self.connection.clone()).writer(spec.change(&self.keys), kind)
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

/// Both writers do the same.
const KINDS: [WriterKind; 2] = [WriterKind::Batch, WriterKind::UpdateItem];

/// The writes of these keys as the worker sends them.
async fn write(writer: &impl TableWriter, keys: &[Key]) -> backfill_core::Result<Vec<Write>> {
    let mut writes = Vec::new();
    for keys in keys.chunks(writer.batch_size()) {
        let seen: Vec<Seen> = keys.iter().cloned().map(Seen::from).collect();
        let batch = writer.update_batch(&seen).await?;
        assert_eq!(batch.outcomes.len(), keys.len());
        for outcome in batch.outcomes {
            writes.push(Write {
                outcome: outcome?,
                consumed_wcu: batch.consumed_wcu / keys.len() as f64,
            });
        }
    }
    Ok(writes)
}

async fn outcome(writer: &impl TableWriter, key: Key) -> Outcome {
    write(writer, &[key]).await.unwrap().remove(0).outcome
}

/// only-U: an item that lacks the attribute gets it, and nothing else changes; what it cost is known.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_on_a_pending_item() {
    for kind in KINDS {
        let table = Table::with_items(3).await;
        let mut expected = table.items().await;
        let writer = table.writer(&set_test(), kind);
        let write = write(&writer, &[key(1)]).await.unwrap().remove(0);
        assert_eq!(write.outcome, Outcome::Updated);
        assert!(write.consumed_wcu >= 1.0);
        expected
            .get_mut(&key(1))
            .unwrap()
            .insert("test".into(), Value::N("1".into()));
        assert_eq!(table.items().await, expected);
    }
}

/// only-U with names and values that look like syntax, or are as long, as precise and as deep as can be: they neither
/// break a statement nor reach beyond their place, in filter, condition and update, by either writer.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_with_hostile_names_and_values() {
    let longest = "n".repeat(255);
    let names = [
        "a\"b",
        "a'b",
        "a\\b",
        "`a`",
        "a.b",
        "a[0]",
        "#a",
        ":a",
        "?",
        "a -- b",
        "a/*b*/",
        "a;b",
        "a = b",
        ")",
        "\" IS MISSING OR \"id\" = \"id",
        "SET",
        "value",
        "true",
        "0",
        " a ",
        "ä",
        "\u{1f600}",
        "a\tb",
        &longest,
    ];
    let mut deep = Value::S("deep".into());
    for level in 0..31 {
        deep = match level % 2 {
            0 => Value::L(vec![deep]),
            _ => Value::M([("m".to_string(), deep)].into()),
        };
    }
    let values = [
        Value::S(String::new()),
        Value::S("'; DELETE FROM \"stuff\" --".into()),
        Value::S("{\"N\":\"1\"}".into()),
        Value::S("\u{0}\u{7f}\u{2028}\"\\".into()),
        Value::S("x".repeat(300_000)),
        Value::N("12345678901234567890123456789012345678".into()),
        Value::N("-9.9999999999999999999999999999999999999E+125".into()),
        Value::N("1E-130".into()),
        Value::Null(true),
        Value::L(Vec::new()),
        deep,
    ];
    let plain = Value::N("1".into());
    let cases = names
        .iter()
        .map(|name| (*name, &plain))
        .chain(values.iter().map(|value| ("test", value)));
    let table = Table::with_items(3).await;
    for (case, (name, value)) in cases.enumerate() {
        for (i, kind) in (1..).zip(KINDS) {
            let hostile = Spec::set_missing("stuff", [(name.to_string(), value.clone())].into());
            hostile
                .check()
                .unwrap_or_else(|error| panic!("{name:?}: {error}"));
            let mut expected = table.items().await;
            let request = PageRequest {
                segment: 0,
                total_segments: 1,
                after: None,
                limit: 100,
                consistent: true,
            };
            let reader = ReadOnly(table.connection.clone()).reader(hostile.change(&table.keys));
            let page = reader.page(request).await.unwrap();
            let lack = expected
                .values()
                .filter(|item| !item.contains_key(name))
                .count();
            assert_eq!(page.pending.len(), lack, "case {case}, {name:?}");

            let writer = table.writer(&hostile, kind);
            assert_eq!(
                outcome(&writer, key(i)).await,
                Outcome::Updated,
                "case {case}, {name:?}"
            );
            assert_eq!(
                outcome(&writer, key(i)).await,
                Outcome::Raced,
                "case {case}, {name:?}"
            );
            assert_eq!(
                outcome(&writer, key(99)).await,
                Outcome::Vanished,
                "case {case}, {name:?}"
            );
            let item = expected.get_mut(&key(i)).unwrap();
            item.insert(name.into(), value.clone());
            let found = table.items().await;
            // dynoxide writes numbers in a form of its own.
            let same_number = matches!(value, Value::N(_)) && {
                let number = |item: &Item| match &item[name] {
                    Value::N(number) => number.parse::<f64>().ok(),
                    _ => None,
                };
                number(&found[&key(i)]) == number(&expected[&key(i)])
            };
            if same_number {
                let found = found[&key(i)][name].clone();
                expected
                    .get_mut(&key(i))
                    .unwrap()
                    .insert(name.into(), found);
            }
            assert_eq!(found, expected, "case {case}, {name:?}");
            // As before, for the next case.
            let remove = table.database.client.update_item().table_name("stuff");
            let remove = remove
                .set_key(Some(to_item(&key(i).0)))
                .update_expression("REMOVE #n");
            remove
                .expression_attribute_names("#n", name)
                .send()
                .await
                .unwrap();
        }
    }
}

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

/// never-overwrite also where P is an OR, whose parts the guard must not come between.
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

/// accounting: what DynamoDB refuses because of the item is a rejection; what it refuses because of the request is
/// an error.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_what_dynamodb_refuses() {
    for kind in KINDS {
        let table = Table::with_items(3).await;
        let before = table.items().await;
        let pending = r#""table":"stuff","pending":"attribute_not_exists(test)""#;
        for update in [
            r##""update":"SET test = #n + :one","names":{"#n":"name"},"values":{":one":1}"##,
            r#""update":"SET test = missing_attribute""#,
            r#""update":"SET price.xyz = :one, test = :one","values":{":one":1}"#,
        ] {
            let spec = spec(&format!("{{{pending},{update}}}"));
            let outcome = outcome(&table.writer(&spec, kind), key(1)).await;
            assert!(
                matches!(outcome, Outcome::Rejected(_)),
                "{update}: {outcome:?}"
            );
        }
        let invalid = spec(&format!(
            r#"{{{pending},"update":"SET test = = :one","values":{{":one":1}}}}"#
        ));
        let writer = table.writer(&invalid, kind);
        let error = write(&writer, &[key(1)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec);
        assert_eq!(table.items().await, before);
    }
}

/// accounting: a batch in which every item meets another fate says of each the same as UpdateItem does, leaves the same
/// table and costs the same.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_a_mixed_batch_by_both_writers() {
    let mut results = Vec::new();
    for kind in KINDS {
        let table = Table::with_items(40).await;
        for gone in [3, 21] {
            let deleted = table.database.client.delete_item().table_name("stuff");
            let deleted = deleted.set_key(Some(to_item(&key(gone).0)));
            deleted.send().await.unwrap();
        }
        // Every fourth item has no room for the attribute any more.
        for full in (0..40).step_by(4) {
            let update = table.database.client.update_item().table_name("stuff");
            let update = update
                .set_key(Some(to_item(&key(full).0)))
                .update_expression("SET filler = :filler")
                .expression_attribute_values(
                    ":filler",
                    AttributeValue::S("x".repeat(400 * 1024 - 400)),
                );
            update.send().await.unwrap();
        }
        let big = spec(&format!(
            r#"{{"table":"stuff","set":{{"test":"{}"}}}}"#,
            "y".repeat(1_000)
        ));
        let writer = table.writer(&big, kind);
        assert_eq!(
            writer.batch_size(),
            if kind == WriterKind::Batch { 25 } else { 1 }
        );
        // What a rejected update costs is known of batches alone, so those come apart.
        let (full, others): (Vec<u64>, Vec<u64>) = (0..40).partition(|i| i % 4 == 0);
        let others: Vec<Key> = others.into_iter().map(key).collect();
        let full: Vec<Key> = full.into_iter().map(key).collect();
        let mut writes = write(&writer, &others).await.unwrap();
        let consumed: f64 = writes.iter().map(|write| write.consumed_wcu).sum();
        writes.extend(write(&writer, &full).await.unwrap());
        let outcomes: Vec<Outcome> = writes.into_iter().map(|write| write.outcome).collect();
        let of = |sort: fn(&Outcome) -> bool| outcomes.iter().filter(|o| sort(o)).count();
        assert_eq!(of(|o| matches!(o, Outcome::Vanished)), 2, "{outcomes:?}");
        assert_eq!(of(|o| matches!(o, Outcome::Raced)), 8, "{outcomes:?}");
        assert_eq!(of(|o| matches!(o, Outcome::Rejected(_))), 8, "{outcomes:?}");
        results.push((outcomes, table.items().await, consumed.round()));
    }
    assert_eq!(results[0].0, results[1].0);
    assert!(results[0].1 == results[1].1, "the tables differ");
    assert_eq!(results[0].2, results[1].2);
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
        let found = table
            .writer(&spec, WriterKind::Batch)
            .pending_item(&key(i))
            .await
            .unwrap();
        let found = found.map(backfill_core::value::with_sorted_sets);
        assert_eq!(found.as_ref(), pending.then(|| &items[&key(i)]), "item {i}");
    }
    assert_eq!(table.items().await, items, "looking changes nothing");
    let writer = table.writer(&set_test(), WriterKind::Batch);
    let (write, shown) = writer.update_and_show(&key(1).into()).await.unwrap();
    assert_eq!(write.outcome, Outcome::Updated);
    let shown = backfill_core::value::with_sorted_sets(shown.unwrap());
    assert_eq!(shown, table.items().await[&key(1)]);
    assert_eq!(writer.pending_item(&key(1)).await.unwrap(), None);
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
                };
                let page = reader.page(request).await.unwrap();
                assert!(page.scanned <= u64::from(limit));
                scanned += page.scanned;
                found.extend(page.pending.into_iter().map(|item| item.key));
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

/// one-owner, no-gap: of a segment's checkpoints only those of the latest claim are stored, none after a later one, and the
/// same one twice where its answer was lost.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_in_the_checkpoint_table() {
    let table = Table::with_items(1).await;
    let store = CheckpointTable::new(&table.connection, "checkpoints");
    store.create_if_missing().await.unwrap();
    let planner = Planner::new(ReadOnly(table.connection.clone()), store.clone());
    let request = Request::from_json(r#"{"table":"stuff","set":{"test":1},"total_segments":2}"#);
    let plan = planner.plan(&request.unwrap(), &"me".into()).await.unwrap();
    let run = store.run(&plan.run_id).await.unwrap().unwrap();
    let mut first = store.claim(&run, 0).await.unwrap();
    let mut late = first.clone();
    late.counters.checkpoints = 1;
    first.counters.checkpoints = 2;
    first.cursor = Cursor::Exhausted;
    for _ in 0..2 {
        store.checkpoint(&first).await.unwrap();
    }
    let refused = store.checkpoint(&late).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    let second = store.claim(&run, 0).await.unwrap();
    assert_eq!(second.cursor, Cursor::Exhausted);
    first.counters.checkpoints = 3;
    let refused = store.checkpoint(&first).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    store.checkpoint(&second).await.unwrap();
    let stored = store.segments(&plan.run_id, 1).await.unwrap();
    assert_eq!(stored, [second]);
}

/// The history adds up, bucket by bucket and in the order of time, and is taken for nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_the_history_in_the_checkpoint_table() {
    let table = Table::with_items(1).await;
    let store = CheckpointTable::new(&table.connection, "checkpoints");
    store.create_if_missing().await.unwrap();
    let done = Counters {
        scanned: 10,
        matched: 9,
        updated: 4,
        raced: 2,
        vanished: 2,
        rejected: 1,
        consumed_rcu: 0.5,
        consumed_wcu: 12.25,
        throttles: 3,
        ..Counters::default()
    };
    let flush = |at_ms, seconds| Flush {
        at_ms,
        seconds,
        done,
    };
    // The year 2286 brings one digit more.
    for (pass, at_ms, seconds) in [
        (1, 10_000_000_005_000, 2.0),
        (1, 1_800_000_019_999, 7.5),
        (1, 1_800_000_010_000, 0.5),
        (2, 1_800_000_020_000, 1.0),
        (12, 1_800_000_000_000, 1.0),
    ] {
        let flush = flush(at_ms, seconds);
        store.add_to_history("run", pass, &flush).await.unwrap();
    }
    let found = store.history("run", 1).await.unwrap();
    let [first, second] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((first.pass, first.start_ms), (1, 1_800_000_010_000));
    assert_eq!((first.flushes, first.seconds), (2, 8.0));
    assert_eq!(first.offset_seconds, 9.999);
    let mut twice = done;
    twice += done;
    assert_eq!(first.done, twice);
    assert_eq!(second.start_ms, 10_000_000_000_000);
    assert_eq!(second.done, done);
    assert_eq!(store.history("run", 2).await.unwrap().len(), 1);
    assert_eq!(store.history("other", 1).await.unwrap(), []);
    assert_eq!(store.segments("run", 1).await.unwrap(), []);
    assert_eq!(store.rejected("run", 1).await.unwrap(), []);
    let stored = table.database.client.scan().table_name("checkpoints");
    let stored = stored.send().await.unwrap();
    assert!(
        stored
            .items()
            .iter()
            .all(|item| item.contains_key("expires_at"))
    );
}
