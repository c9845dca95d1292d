use backfill_core::Value;
use backfill_core::ports::stream::RecordKind;

use super::*;
use crate::in_virtual_time;
use crate::model_table::LiveWriter;

/// A table without items, and its stream.
fn world(seed: u64) -> (ModelTable, ModelStream) {
    let table = ModelTable::of(Faults::none(seed), []);
    table.set_clock(1_767_225_600_000);
    let stream = ModelStream::of(&table, Faults::none(seed), seed);
    (table, stream)
}

/// A writer does this to items 0 to `ids`, so many times, within about a minute.
async fn write(
    table: &ModelTable,
    ids: u64,
    times: u64,
    what: impl Fn(&mut fastrand::Rng, u64, &mut Option<Item>),
) {
    let writer = LiveWriter {
        table: table.clone(),
        seed: 7,
        ids,
        creates_pending: true,
    };
    writer
        .work_by(times, Duration::from_millis(500), what)
        .await;
}

/// Puts another item each time.
fn put(_: &mut fastrand::Rng, n: u64, item: &mut Option<Item>) {
    *item = Some(Item::from([("n".into(), Value::N(n.to_string()))]));
}

/// All records of a shard, and whether it has ended.
async fn read_all(stream: &ModelStream, shard: &str) -> (Vec<StreamRecord>, bool) {
    let begun = stream.iterator(ARN, shard, Begin::Oldest).await.unwrap();
    let Iterator::At(mut place) = begun else {
        panic!("{shard}: {begun:?}");
    };
    let mut all = Vec::new();
    for _ in 0..100 {
        match stream.read(&place, 3).await.unwrap() {
            Read::Records(records, next) => {
                assert!(records.len() <= 3);
                all.extend(
                    records
                        .into_iter()
                        .map(|record| record.expect("it is read")),
                );
                match next {
                    Some(next) => place = next,
                    None => return (all, true),
                }
            }
            other => panic!("{other:?}"),
        }
    }
    (all, false)
}

#[test]
fn each_change_is_there_once_and_in_the_order_of_its_item() {
    in_virtual_time(1, async {
        let (table, stream) = world(3);
        let what = |random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
            match random.u8(..4) {
                0 => *item = None,
                // Nothing is changed by this.
                1 => {}
                _ => put(random, n, item),
            }
        };
        write(&table, 10, 200, what).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let described = stream.describe_stream(ARN).await.unwrap();
        let mut read: BTreeMap<u64, StreamRecord> = BTreeMap::new();
        for shard in &described.shards {
            let (records, is_end) = read_all(&stream, &shard.id).await;
            let has_child = |id: &String| {
                described
                    .shards
                    .iter()
                    .any(|other| other.parent.as_ref() == Some(id))
            };
            assert_eq!(is_end, has_child(&shard.id), "{shard:?}");
            for record in records {
                let sequence = record.sequence.parse().unwrap();
                assert!(read.insert(sequence, record).is_none());
            }
        }
        let seen = stream.seen();
        assert_eq!(read.len() as u64, seen.records);
        assert!(
            seen.removed > 10 && seen.splits > 0 && seen.rollovers > 0,
            "{seen:?}"
        );
        // Numbers get a digit more on the way, so that who compares texts is wrong.
        let digits = |sequence: Option<&u64>| sequence.unwrap().to_string().len();
        assert!(digits(read.keys().next()) < digits(read.keys().next_back()));
        // The records tell the way of each item to what it is now.
        let mut items: BTreeMap<Key, Item> = BTreeMap::new();
        for record in read.into_values() {
            let before = match record.image.clone() {
                Some(item) => items.insert(record.key.clone(), item),
                None => items.remove(&record.key),
            };
            let kind = match (before.is_some(), record.image.is_some()) {
                (false, _) => RecordKind::Insert,
                (true, true) => RecordKind::Modify,
                (true, false) => RecordKind::Remove,
            };
            assert_eq!(record.kind, kind);
            assert_ne!(before, record.image);
        }
        assert_eq!(items, table.items());
    });
}

#[test]
fn records_go_after_a_day_and_iterators_after_a_quarter_of_an_hour() {
    in_virtual_time(1, async {
        let (table, stream) = world(5);
        write(&table, 3, 1, put).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let described = stream.describe_stream(ARN).await.unwrap();
        let first = described.shards[0].id.clone();
        let (records, _) = read_all(&stream, &first).await;
        let sequence = records[0].sequence.clone();
        let begun = stream.iterator(ARN, &first, Begin::At(&sequence)).await;
        let Iterator::At(place) = begun.unwrap() else {
            panic!("it is there");
        };
        tokio::time::sleep(Duration::from_secs(15 * 60)).await;
        assert_eq!(stream.read(&place, 10).await.unwrap(), Read::Expired);
        let begin = || stream.iterator(ARN, &first, Begin::At(&sequence));
        assert!(matches!(begin().await.unwrap(), Iterator::At(_)));
        // The first shard ends after four hours, however little was written.
        tokio::time::sleep(Duration::from_secs(23 * 3_600 + 2_600)).await;
        let Iterator::At(place) = begin().await.unwrap() else {
            panic!("it is there still");
        };
        assert!(read_all(&stream, &first).await.1);
        assert!(stream.describe_stream(ARN).await.unwrap().shards.len() > 3);
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(stream.read(&place, 10).await.unwrap(), Read::Trimmed);
        assert_eq!(begin().await.unwrap(), Iterator::Trimmed);
        assert_eq!(read_all(&stream, &first).await, (Vec::new(), true));
        tokio::time::sleep(Duration::from_secs(4 * 3_600)).await;
        assert_eq!(begin().await.unwrap(), Iterator::Gone);
    });
}

#[test]
fn a_stream_that_is_off_gets_nothing_and_one_of_keys_has_no_images() {
    in_virtual_time(1, async {
        let (table, stream) = world(9);
        stream.set_view(StreamView::KeysOnly);
        write(&table, 1, 1, put).await;
        stream.switch_off();
        write(&table, 1, 5, put).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let described = stream.describe_stream(ARN).await.unwrap();
        assert!(!described.is_enabled);
        let (records, _) = read_all(&stream, &described.shards[0].id).await;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].image, None);
        let places = BTreeMap::new();
        assert_eq!(stream.oldest_unseen_ms(&places), Some(records[0].at_ms));
    });
}
