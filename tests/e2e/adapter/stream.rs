//! A table's stream behind the adapter: the records of a real stream, and what the service says that the embedded database never does.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use backfill_core::ErrorKind;
use backfill_core::clock::now_ms;
use backfill_core::ports::stream::{
    Begin, Iterator, Read, RecordKind, Shard, StreamReader as _, StreamView, sequence_of,
};
use backfill_core::value::with_sorted_sets;
use backfill_dynamodb::{ConnectOptions, Connection, Streams};
use backfill_e2e::convert::to_item;
use backfill_e2e::stub::{Answer, Stub};
use backfill_e2e::tables::stuff;

use crate::table::{Table, key};

/// Switches the stream of the table `stuff` on, with this view.
async fn enable(table: &Table, view: StreamViewType) {
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(view);
    let update = table.database.client.update_table().table_name("stuff");
    let update = update.stream_specification(stream.build().unwrap());
    update.send().await.unwrap();
}

async fn place(streams: &Streams, arn: &str, shard: &str, begin: Begin<'_>) -> String {
    match streams.iterator(arn, shard, begin).await.unwrap() {
        Iterator::At(place) => place,
        other => panic!("{other:?}"),
    }
}

async fn records(
    streams: &Streams,
    place: &str,
    limit: u32,
) -> (Vec<backfill_core::ports::stream::StreamRecord>, String) {
    match streams.read(place, limit).await.unwrap() {
        Read::Records(records, next) => {
            let records = records
                .into_iter()
                .map(|record| record.expect("it is read"));
            (records.collect(), next.expect("the shard stays open"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_records_of_a_stream_are_read_in_order_and_from_any_place() {
    let table = Table::with_items(1).await;
    let streams = Streams::open(&table.connection).await.unwrap();
    assert_eq!(streams.of_table("stuff").await.unwrap(), None);
    let missing = streams.of_table("nothing").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::TableNotFound, "{missing}");

    enable(&table, StreamViewType::NewImage).await;
    let stream = streams.of_table("stuff").await.unwrap().unwrap();
    assert_eq!(stream.view, StreamView::NewImage);
    let client = &table.database.client;
    let put = client.put_item().table_name("stuff");
    let put = put.set_item(Some(to_item(&stuff(7))));
    put.send().await.unwrap();
    let update = client.update_item().table_name("stuff");
    let update = update.set_key(Some(to_item(&key(7).0)));
    let update = update.update_expression("SET odd = :odd");
    let odd = aws_sdk_dynamodb::types::AttributeValue::Bool(true);
    let update = update.expression_attribute_values(":odd", odd);
    update.send().await.unwrap();
    let delete = client.delete_item().table_name("stuff");
    let delete = delete.set_key(Some(to_item(&key(7).0)));
    delete.send().await.unwrap();

    let described = streams.describe_stream(&stream.arn).await.unwrap();
    assert!(described.is_enabled && described.view == StreamView::NewImage);
    let [Shard { id, parent: None }] = &described.shards[..] else {
        panic!("{described:?}");
    };
    let oldest = place(&streams, &stream.arn, id, Begin::Oldest).await;
    let (first, next) = records(&streams, &oldest, 2).await;
    let (rest, end) = records(&streams, &next, 2).await;
    let all = [first, rest].concat();
    let kinds: Vec<RecordKind> = all.iter().map(|record| record.kind).collect();
    use RecordKind::{Insert, Modify, Remove};
    assert_eq!(kinds, [Insert, Modify, Remove]);
    assert!(all.iter().all(|record| record.key == key(7)));
    assert!(
        all.iter()
            .all(|record| record.at_ms.abs_diff(now_ms()) < 60_000)
    );
    // A set has no order.
    let image = all[0].image.clone().map(with_sorted_sets);
    assert_eq!(image, Some(with_sorted_sets(stuff(7))));
    assert!(all[1].image.as_ref().unwrap().contains_key("odd"));
    assert_eq!(all[2].image, None);
    assert!(records(&streams, &end, 2).await.0.is_empty());

    let second = &all[1].sequence;
    for (begin, expected) in [
        (Begin::At(second), &all[1..]),
        (Begin::After(second), &all[2..]),
    ] {
        let from = place(&streams, &stream.arn, id, begin).await;
        assert_eq!(records(&streams, &from, 1_000).await.0, expected);
    }
    enable_again_gives_another_stream(&table, &streams, &stream.arn).await;
}

async fn enable_again_gives_another_stream(table: &Table, streams: &Streams, before: &str) {
    let off = StreamSpecification::builder().stream_enabled(false);
    let update = table.database.client.update_table().table_name("stuff");
    let update = update.stream_specification(off.build().unwrap());
    update.send().await.unwrap();
    assert_eq!(streams.of_table("stuff").await.unwrap(), None);
    enable(table, StreamViewType::KeysOnly).await;
    let stream = streams.of_table("stuff").await.unwrap().unwrap();
    assert_eq!(stream.view, StreamView::KeysOnly);
    assert_ne!(stream.arn, before);
}

async fn at(stub: &Stub) -> Streams {
    let options = ConnectOptions {
        endpoint_url: Some(stub.endpoint.clone()),
        region: Some("us-east-1".into()),
        profile: None,
        local_credentials: true,
    };
    let connection = Connection::open(&options).await.unwrap();
    Streams::open(&connection).await.unwrap()
}

fn refused(code: &'static str) -> Answer {
    (400, Some(code), r#"{"message":"so it is"}"#.into())
}

/// The codes are those of the service model (botocore, dynamodbstreams/2012-08-10).
#[tokio::test]
async fn what_a_stream_refuses_is_told_apart() {
    for (code, is_trimmed, is_gone, is_expired) in [
        ("TrimmedDataAccessException", true, false, false),
        ("ResourceNotFoundException", false, true, false),
        ("ExpiredIteratorException", false, false, true),
    ] {
        let stub = Stub::start(move |_| refused(code)).await;
        let streams = at(&stub).await;
        let found = streams.iterator("arn", "shard", Begin::After("1")).await;
        assert_eq!(
            matches!(found, Ok(Iterator::Trimmed)),
            is_trimmed,
            "{found:?}"
        );
        assert_eq!(matches!(found, Ok(Iterator::Gone)), is_gone, "{found:?}");
        let read = streams.read("place", 1).await;
        assert_eq!(matches!(read, Ok(Read::Trimmed)), is_trimmed, "{read:?}");
        assert_eq!(matches!(read, Ok(Read::Expired)), is_expired, "{read:?}");
        if is_gone {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::TableNotFound);
            let described = streams.describe_stream("arn").await.unwrap_err();
            assert_eq!(described.kind(), ErrorKind::TableNotFound);
        }
    }
    for (code, kind) in [
        ("LimitExceededException", ErrorKind::Throttled),
        ("ThrottlingException", ErrorKind::Throttled),
        ("InternalServerError", ErrorKind::Unavailable),
        ("AccessDeniedException", ErrorKind::AccessDenied),
        ("ValidationException", ErrorKind::Internal),
    ] {
        let stub = Stub::start(move |_| refused(code)).await;
        let streams = at(&stub).await;
        let read = streams.read("place", 1).await.unwrap_err();
        assert_eq!(read.kind(), kind, "{read}");
        let described = streams.describe_stream("arn").await.unwrap_err();
        assert_eq!(described.kind(), kind, "{described}");
    }
}

/// A record of a kind that is not known, or with a value of a type that is not, is one record, and the page is read.
#[tokio::test]
async fn a_record_that_cannot_be_understood_leaves_the_rest_of_its_page() {
    let stub = Stub::start(|_| {
        let record = |name: &str, id: &str, sequence: &str| {
            format!(
                r#"{{"eventName":"{name}","dynamodb":{{"Keys":{{"id":{id}}},"SequenceNumber":"{sequence}"}}}}"#
            )
        };
        let records = [
            record("MODIFY", r#"{"S":"a"}"#, "1"),
            record("MODIFY", r#"{"Q":"secret"}"#, "2"),
            record("TRUNCATE", r#"{"S":"secret"}"#, "3"),
            r#"{"what":"secret"}"#.to_owned(),
            record("REMOVE", r#"{"S":"b"}"#, "5"),
        ];
        let answer = format!(
            r#"{{"Records":[{}],"NextShardIterator":"next"}}"#,
            records.join(",")
        );
        (200, None, answer)
    })
    .await;
    let read = at(&stub).await.read("place", 1_000).await.unwrap();
    let Read::Records(records, Some(_)) = read else {
        panic!("{read:?}");
    };
    let sequences: Vec<Option<&str>> = records.iter().map(sequence_of).collect();
    let expected = [Some("1"), Some("2"), Some("3"), None, Some("5")];
    assert_eq!(sequences, expected);
    let is_read: Vec<bool> = records.iter().map(Result::is_ok).collect();
    assert_eq!(is_read, [true, false, false, false, true]);
    let why = records.iter().filter_map(|record| record.as_ref().err());
    for odd in why {
        assert!(!odd.why.contains("secret"), "{odd:?}");
    }
}

/// What is written while a stream is being switched on need not be in it.
#[tokio::test]
async fn a_stream_that_is_being_switched_on_is_waited_for() {
    for (status, kind) in [
        ("ENABLING", Some(ErrorKind::Unavailable)),
        ("ENABLED", None),
    ] {
        let stub = Stub::start(move |asked| {
            let answer = match asked.split('.').next_back() {
                Some("DescribeTable") => {
                    r#"{"Table":{"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"},"LatestStreamArn":"arn"}}"#
                        .to_owned()
                }
                _ => format!(
                    r#"{{"StreamDescription":{{"StreamStatus":"{status}","StreamViewType":"NEW_IMAGE","Shards":[]}}}}"#
                ),
            };
            (200, None, answer)
        })
        .await;
        let found = at(&stub).await.of_table("stuff").await;
        match kind {
            Some(kind) => assert_eq!(found.unwrap_err().kind(), kind),
            None => assert_eq!(found.unwrap().unwrap().arn, "arn"),
        }
    }
}

#[tokio::test]
async fn a_stream_is_described_to_its_last_page_and_a_closed_shard_has_an_end() {
    let pages = AtomicUsize::new(0);
    let stub = Stub::start(move |asked| {
        let page = |shards: &str, last: &str| {
            format!(
                r#"{{"StreamDescription":{{"StreamStatus":"DISABLED","StreamViewType":"NEW_AND_OLD_IMAGES","Shards":[{shards}]{last}}}}}"#
            )
        };
        let answer = match asked.split('.').next_back() {
            Some("DescribeStream") if pages.fetch_add(1, Ordering::SeqCst) == 0 => {
                page(r#"{"ShardId":"a"}"#, r#","LastEvaluatedShardId":"a""#)
            }
            Some("DescribeStream") => page(r#"{"ShardId":"b","ParentShardId":"a"}"#, ""),
            _ => r#"{"Records":[]}"#.into(),
        };
        (200, None, answer)
    })
    .await;
    let streams = at(&stub).await;
    let described = streams.describe_stream("arn").await.unwrap();
    assert!(!described.is_enabled);
    let shard = |id: &str, parent: Option<&str>| Shard {
        id: id.into(),
        parent: parent.map(str::to_owned),
    };
    assert_eq!(described.shards, [shard("a", None), shard("b", Some("a"))]);
    let read = streams.read("place", 1_000).await.unwrap();
    assert_eq!(read, Read::Records(Vec::new(), None));
    let bodies = stub.bodies();
    assert!(
        bodies[1].contains(r#""ExclusiveStartShardId":"a""#),
        "{bodies:?}"
    );
    assert!(
        stub.asked()
            .iter()
            .all(|asked| asked.starts_with("DynamoDBStreams_20120810."))
    );
}
