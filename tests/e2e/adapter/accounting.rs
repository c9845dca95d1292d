//! accounting: what a write or an addition to the history is counted as.

use aws_sdk_dynamodb::types::AttributeValue;
use backfill_core::change::Seen;
use backfill_core::ports::TableWriter as _;
use backfill_core::ports::{
    CheckpointReader as _, LookBy, Outcome, RunStore as _, SegmentStore as _,
};
use backfill_core::records::{
    BlockSum, Counters, Cursor, Flush, FullBlocks, HistoryBucket, Rejected, RunRecord,
    SegmentRecord, shard_of,
};
use backfill_core::request::WriterKind;
use backfill_core::value::size::item_bytes;
use backfill_core::{ErrorKind, Key, Value};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection};
use backfill_e2e::convert::to_item;
use backfill_e2e::tables::{CHECKPOINT_KEYS, put_all, read_all, stuff};
use backfill_e2e::wire::{Call, Verdict};

use crate::table::{KINDS, Table, key, outcome, set_test, spec, write};

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
            r#"{{{pending},"update":"SET test = :one, test.part = :one","values":{{":one":1}}}}"#
        ));
        let writer = table.writer(&invalid, kind);
        let error = write(&writer, &[key(1)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec);
        assert_eq!(table.items().await, before);
    }
}

/// accounting: a batch whose answer is longer than any that is taken has been carried out. Its items are left open, each finds its own
/// write when it is written by itself, and what the batch has cost is not taken for little.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_a_batch_whose_answer_is_too_long() {
    let direct = Table::with_items(5).await;
    let line = direct.database.line().await;
    let through_line = ConnectOptions {
        endpoint_url: Some(line.endpoint.clone()),
        region: Some("us-east-1".into()),
        profile: None,
        local_credentials: true,
    };
    let table = Table {
        connection: Connection::open(&through_line).await.unwrap(),
        ..direct
    };
    let padding = serde_json::json!({"Padding": "x".repeat(18 << 20)});
    let tap = line.tap("stuff", move |call: Call| {
        let verdict = match call.operation.as_str() {
            "BatchExecuteStatement" => Verdict::Amend(padding.clone()),
            _ => Verdict::Forward,
        };
        async move { verdict }
    });
    let writer = table.writer(&set_test(), WriterKind::Batch);
    let items: Vec<Seen> = (1..5).map(|i| Seen::from(key(i))).collect();
    let batch = writer.update_batch(&items).await.unwrap();
    for left_open in &batch.outcomes {
        let error = left_open.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    assert!(batch.consumed_wcu >= 4.0, "{}", batch.consumed_wcu);
    drop(tap);
    for item in &items {
        let write = writer.update(item).await.unwrap();
        assert_eq!(write.outcome, Outcome::Raced);
    }
    let written = table.items().await;
    let written = written.values().filter(|item| item.contains_key("test"));
    assert!(written.count() >= 4);
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

/// accounting: a check of one item costs twice what its item does, and that is told, whether the item is pending or not.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_the_check_of_the_trial() {
    let table = Table::with_items(3).await;
    let writer = table.writer(&set_test(), WriterKind::Batch);
    for (kilobytes, units) in [(0, 2.0), (3, 8.0), (100, 202.0)] {
        let mut item = stuff(1);
        let filler = "x".repeat(kilobytes * 1024);
        item.insert("filler".into(), Value::S(filler));
        for pending in [true, false] {
            if !pending {
                item.insert("test".into(), Value::N("1".into()));
            }
            put_all(&table.database.client, "stuff", &[item.clone()]).await;
            let look = writer.look(&key(1), LookBy::Check).await.unwrap();
            assert_eq!(look.item.is_some(), pending);
            assert_eq!(look.consumed, Some(units), "{kilobytes} KB, {pending}");
        }
    }
}

/// accounting: a condition that fails costs what the item that is there does, also if the batch reports nothing since no
/// statement of it succeeded: 25 items of 4 KB that are written again cost 100 units. An item that is gone costs one.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_the_units_of_failed_conditions() {
    for (kind, kilobytes) in KINDS
        .into_iter()
        .flat_map(|kind| [(kind, 1), (kind, 4), (kind, 390)])
    {
        let table = Table::with_items(50).await;
        let items = table.items().await;
        let keys: Vec<Key> = (0..50)
            .map(key)
            .filter(|key| items.contains_key(key))
            .take(25)
            .collect();
        for key in &keys {
            // Less than so many KB by 100 bytes, with the attribute that is set.
            let filler = kilobytes * 1024 - item_bytes(&items[key]) as usize - 100;
            let client = &table.database.client;
            let update = client
                .update_item()
                .table_name("stuff")
                .set_key(Some(to_item(&key.0)));
            let update = update
                .update_expression("SET #f = :f")
                .expression_attribute_names("#f", "f");
            let filler = AttributeValue::S("x".repeat(filler));
            update
                .expression_attribute_values(":f", filler)
                .send()
                .await
                .unwrap();
        }
        let writer = table.writer(&spec(r#"{"table":"stuff","set":{"other":1}}"#), kind);
        let units = async |keys: &[Key]| -> f64 {
            let writes = write(&writer, keys).await.unwrap();
            writes
                .iter()
                .map(|write| write.consumed_wcu)
                .sum::<f64>()
                .round()
        };
        let each = kilobytes as f64;
        let (first, others) = keys.split_at(10);
        assert_eq!(units(first).await, 10.0 * each, "updated, {kind:?}");
        // The batch reports the failed ones with those that succeed.
        assert_eq!(units(&keys).await, 25.0 * each, "some raced, {kind:?}");
        assert_eq!(units(&keys).await, 25.0 * each, "all raced, {kind:?}");
        let gone: Vec<Key> = (900..905).map(key).collect();
        assert_eq!(units(&gone).await, 5.0, "all gone, {kind:?}");
        let both = [others, &gone].concat();
        assert_eq!(
            units(&both).await,
            15.0 * each + 5.0,
            "raced or gone, {kind:?}"
        );
    }
}

/// The history adds up, bucket by bucket and in the order of time, and is taken for nothing else, also if it is spread.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_the_history_in_the_checkpoint_table() {
    for segments in [2, 80] {
        assert_history(segments).await;
    }
}

/// The history of a pass, from every shard.
async fn history(store: &CheckpointTable, run: &RunRecord, pass: u32) -> Vec<HistoryBucket> {
    let mut buckets = Vec::new();
    for shard in 0..run.shards {
        buckets.extend(store.history(run, pass, shard).await.unwrap());
    }
    HistoryBucket::merged(buckets)
}

async fn assert_history(segments: u32) {
    let table = Table::with_items(1).await;
    let (store, run) = table.planned(segments).await;
    let done = Counters {
        scanned: 13,
        matched: 12,
        updated: 4,
        raced: 2,
        vanished: 2,
        rejected: 1,
        contended: 3,
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
    for (segment, (pass, at_ms, seconds)) in (0..).zip([
        (1, 10_000_000_005_000, 2.0),
        (1, 1_800_000_019_999, 7.5),
        (1, 1_800_000_010_000, 0.5),
        (2, 1_800_000_020_000, 1.0),
        (12, 1_800_000_000_000, 1.0),
    ]) {
        let flush = flush(at_ms, seconds);
        let run = RunRecord {
            pass,
            ..run.clone()
        };
        store.add_to_history(&run, segment, &flush).await.unwrap();
    }
    let history = async |run, pass| history(&store, run, pass).await;
    let found = history(&run, 1).await;
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
    assert_eq!(history(&run, 2).await.len(), 1);
    let other = RunRecord {
        run_id: "other".into(),
        ..run.clone()
    };
    assert_eq!(history(&other, 1).await, []);
    assert_eq!(store.segments(&run, 1, 0).await.unwrap(), []);
    assert_eq!(store.rejected(&run, 1, 0).await.unwrap(), []);
    let stored = table.database.client.scan().table_name("checkpoints");
    let stored = stored.send().await.unwrap();
    assert!(
        stored
            .items()
            .iter()
            .all(|item| item.contains_key("expires_at"))
    );
}

/// accounting: of a large run, whose records are spread, every segment, every rejected item and every exhausted segment is found,
/// each under the key of its segment; and the run is listed once.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_of_a_large_run_in_the_checkpoint_table() {
    let table = Table::with_items(1).await;
    let (store, run) = table.planned(80).await;
    let mut places = std::collections::BTreeSet::new();
    for segment in 0..80 {
        let mut claimed = store.claim(&run, segment).await.unwrap();
        assert_eq!((&claimed.run_id, claimed.segment), (&run.run_id, segment));
        if segment % 2 == 0 {
            claimed.cursor = Cursor::Exhausted;
        }
        store.checkpoint(&run, &claimed).await.unwrap();
        if claimed.cursor == Cursor::Exhausted {
            let shard = shard_of(segment, run.shards);
            store.count_exhausted(&run, shard, 1).await.unwrap();
        }
        let item = Rejected {
            segment,
            key: key(segment.into()),
            reason: "no".into(),
            at_ms: 0,
        };
        store.reject(&run, &item).await.unwrap();
        if segment % 4 == 0 {
            store.forget_rejected(&run, &item).await.unwrap();
        }
        places.insert(run.place_of(segment));
    }
    assert_eq!(places.len(), 16, "{places:?}");
    let (mut segments, mut rejected, mut count, mut exhausted) = (Vec::new(), 0, 0, 0);
    for shard in 0..16 {
        let records = store.segments(&run, 1, shard).await.unwrap();
        segments.extend(records.iter().map(|record| record.segment));
        rejected += store.rejected(&run, 1, shard).await.unwrap().len();
        count += store.rejected_count(&run, 1, shard).await.unwrap();
        exhausted += store.exhausted(&run, shard).await.unwrap();
    }
    segments.sort_unstable();
    assert_eq!(segments, (0..80).collect::<Vec<_>>());
    assert_eq!((rejected, count, exhausted), (60, 60, 40));
    // What becomes of rejected items later exhausts no segment once more.
    let done = store.claim(&run, 0).await.unwrap();
    assert_eq!(done.cursor, Cursor::Exhausted);
    store.checkpoint(&run, &done).await.unwrap();
    let mut after = 0;
    for shard in 0..run.shards {
        after += store.exhausted(&run, shard).await.unwrap();
    }
    assert_eq!(after, exhausted);
    assert_eq!(store.runs().await.unwrap(), std::slice::from_ref(&run));
    let stored = read_all(&table.database.client, "checkpoints", CHECKPOINT_KEYS).await;
    let hash_keys = stored.keys().map(|key| match &key.0["run_id"] {
        Value::S(id) => id.clone(),
        other => panic!("{other:?}"),
    });
    places.insert(run.run_id.clone());
    let counted = (0..80).step_by(2);
    places.extend(counted.map(|segment| run.place_of_count(shard_of(segment, run.shards))));
    // The list of runs.
    places.insert("#runs".to_owned());
    assert_eq!(hash_keys.collect::<std::collections::BTreeSet<_>>(), places);
}

/// The exhausted segments of a block, by their places.
async fn exhausted_of(
    store: &CheckpointTable,
    run: &RunRecord,
    block: u32,
) -> Vec<(u8, SegmentRecord)> {
    let blocks = run.blocks(1).expect("a large run is summed up");
    let mut all = Vec::new();
    for segment in (0..64).filter_map(|place| blocks.segment(block, place)) {
        let mut record = store.claim(run, segment).await.unwrap();
        record.cursor = Cursor::Exhausted;
        record.counters = Counters {
            scanned: 10,
            matched: 10,
            updated: 7,
            rejected: 1,
            contended: 2,
            consumed_rcu: 0.5,
            ..Counters::default()
        };
        all.push((blocks.place(segment).1, record));
    }
    all
}

/// What these of them come to.
fn sum_of(block: u32, segments: &[(u8, SegmentRecord)]) -> BlockSum {
    BlockSum::of(
        block,
        segments.iter().map(|(place, record)| (*place, record)),
    )
}

/// The sum of a block as it is stored, with its places in order.
async fn stored_sum(store: &CheckpointTable, run: &RunRecord, block: u32) -> BlockSum {
    let shard = run.shard_of_block(block);
    let mut sum = store.sums(run, 1, shard, block).await.unwrap().remove(0);
    sum.segments.sort_unstable();
    sum.rejected.sort_unstable();
    sum
}

/// accounting: each exhausted segment is in the sum of its block once, however often and with whichever others it is added.
#[tokio::test]
async fn accounting_of_sums_in_the_checkpoint_table() {
    let table = Table::with_items(1).await;
    let (store, run) = table.planned(1_000).await;
    let all = exhausted_of(&store, &run, 3).await;
    let sum = |range: std::ops::Range<usize>| sum_of(3, &all[range]);
    assert!(store.add_to_sums(&run, &sum(0..10)).await.unwrap());
    assert!(!store.add_to_sums(&run, &sum(9..20)).await.unwrap());
    assert!(!store.add_to_sums(&run, &sum(0..10)).await.unwrap());
    assert!(store.add_to_sums(&run, &sum(10..64)).await.unwrap());
    let mut expected = sum(0..64);
    expected.segments.sort_unstable();
    expected.rejected.sort_unstable();
    assert_eq!(stored_sum(&store, &run, 3).await, expected);
    let shard = run.shard_of_block(3);
    assert_eq!(store.sums(&run, 1, shard, 0).await.unwrap().len(), 1);
    assert!(store.sums(&run, 1, shard, 4).await.unwrap().is_empty());
    assert!(store.sums(&run, 2, shard, 0).await.unwrap().is_empty());
}

/// accounting: whoever leads a run puts a whole sum in the place of the one that it has read, unless somebody has added to that since;
/// and of more and more blocks it is noted that they are full.
#[tokio::test]
async fn accounting_of_sums_that_are_mended() {
    let table = Table::with_items(1).await;
    let (store, run) = table.planned(1_000).await;
    let all = exhausted_of(&store, &run, 4).await;
    let first = sum_of(4, &all[..20]);
    assert!(store.save_sum(&run, &first, 0).await.unwrap());
    assert!(!store.save_sum(&run, &first, 0).await.unwrap());
    let added = sum_of(4, &all[20..30]);
    assert!(store.add_to_sums(&run, &added).await.unwrap());
    assert!(!store.save_sum(&run, &first, first.chunks).await.unwrap());
    let before = stored_sum(&store, &run, 4).await;
    let mut whole = before.clone();
    whole.merge(&sum_of(4, &all[30..]));
    assert!(store.save_sum(&run, &whole, before.chunks).await.unwrap());
    let mut expected = sum_of(4, &all);
    expected.segments.sort_unstable();
    expected.rejected.sort_unstable();
    assert_eq!(stored_sum(&store, &run, 4).await, expected);

    let none = FullBlocks::default();
    assert_eq!(store.full_blocks(&run, 1).await.unwrap(), none);
    let of = |blocks| FullBlocks {
        blocks,
        trials: 3,
        saved_ms: 1_800_000_000_000,
    };
    for (noted, found) in [(5, 5), (4, 5), (5, 5), (9, 9)] {
        store.note_full(&run, &of(noted)).await.unwrap();
        assert_eq!(store.full_blocks(&run, 1).await.unwrap(), of(found));
    }
    assert_eq!(store.full_blocks(&run, 2).await.unwrap(), none);
}
