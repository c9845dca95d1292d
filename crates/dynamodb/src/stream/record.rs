//! One stream record as JSON. GetRecords and the event of a Lambda function have it in the same form
//! ([API_streams_Record](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html); Lambda developer guide,
//! Using AWS Lambda with Amazon DynamoDB, example event): the event adds `eventSourceARN`, and no field has another name.

use backfill_core::ports::stream::{Brought, RecordKind, StreamRecord, Unreadable};
use backfill_core::{Item, Key, printable};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event_name: String,
    dynamodb: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    /// Seconds since 1970, rounded down to the second (StreamRecord in the same reference). It is optional there, and the example event
    /// of Lambda's developer guide lacks it; other examples have it as `1664559083.0`.
    #[serde(default)]
    approximate_creation_date_time: Option<f64>,
    keys: Item,
    #[serde(default)]
    new_image: Option<Item>,
    sequence_number: String,
}

/// What can be told of a record that cannot be understood.
#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    dynamodb: Option<serde_json::Value>,
}

/// Where in its shard a record stands, as far as that can be told: also of one that cannot be understood.
fn sequence_of(json: &str) -> Option<String> {
    let named: Named = serde_json::from_str(json).ok()?;
    let sequence = named.dynamodb?.get("SequenceNumber")?.as_str()?.to_owned();
    Some(sequence)
}

/// Reads a record, or says why it cannot be understood.
pub fn record_of(json: &str) -> Brought {
    let wrong = |why: &dyn std::fmt::Display| {
        let sequence = sequence_of(json).filter(|sequence| !sequence.is_empty());
        let which = sequence.as_deref().unwrap_or("without a sequence number");
        Unreadable {
            why: format!(
                "stream record {} cannot be understood: {why}; update backfill, and report this if it is the newest version",
                printable(which)
            ),
            sequence,
        }
    };
    let record: Record = serde_json::from_str(json).map_err(|error| {
        // Its words may have a part of the item in them.
        wrong(&format_args!(
            "its form is another from character {}",
            error.column()
        ))
    })?;
    let kind = match record.event_name.as_str() {
        "INSERT" => RecordKind::Insert,
        "MODIFY" => RecordKind::Modify,
        "REMOVE" => RecordKind::Remove,
        other => {
            let why = format!("its kind is {}", printable(other));
            return Err(wrong(&why));
        }
    };
    let change = record.dynamodb;
    if change.keys.is_empty() || change.sequence_number.is_empty() {
        return Err(wrong(&"it has no key or no sequence number"));
    }
    let at_ms = match change.approximate_creation_date_time {
        Some(seconds) => (seconds * 1000.0).max(0.0) as u64,
        None => backfill_core::clock::now_ms(),
    };
    Ok(StreamRecord {
        sequence: change.sequence_number,
        kind,
        key: Key(change.keys),
        image: change.new_image,
        at_ms,
    })
}

#[cfg(test)]
mod tests {
    use backfill_core::Value;

    use super::*;

    /// What `sam local generate-event dynamodb update` makes (SAM CLI, its example event for functions on a stream), shortened to one record.
    const EXAMPLE: &str = r#"{"eventID":"c4ca4238a0b923820dcc509a6f75849b","eventName":"INSERT","eventVersion":"1.1",
        "eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"Keys":{"Id":{"N":"101"}},
        "NewImage":{"Message":{"S":"New item!"},"Id":{"N":"101"}},"ApproximateCreationDateTime":1428537600,
        "SequenceNumber":"4421584500000000017450439091","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},
        "eventSourceARN":"arn:aws:dynamodb:us-east-1:123456789012:table/ExampleTableWithStream/stream/2015-06-27T00:48:05.899"}"#;

    #[test]
    fn a_record_is_read_as_the_documentation_shows_it() {
        let record = record_of(EXAMPLE).unwrap();
        let id = Item::from([("Id".into(), Value::N("101".into()))]);
        let mut image = id.clone();
        image.insert("Message".into(), Value::S("New item!".into()));
        let expected = StreamRecord {
            sequence: "4421584500000000017450439091".into(),
            kind: RecordKind::Insert,
            key: Key(id),
            image: Some(image),
            at_ms: 1_428_537_600_000,
        };
        assert_eq!(record, expected);
        assert_eq!(sequence_of(EXAMPLE), Some(expected.sequence));

        let removed = EXAMPLE.replace("INSERT", "REMOVE").replace(
            r#""NewImage":{"Message":{"S":"New item!"},"Id":{"N":"101"}},"#,
            "",
        );
        let removed = record_of(&removed).unwrap();
        assert_eq!((removed.kind, removed.image), (RecordKind::Remove, None));
        let modified = record_of(
            &EXAMPLE
                .replace("INSERT", "MODIFY")
                .replace("600,", "600.5,"),
        );
        let modified = modified.unwrap();
        assert_eq!(modified.kind, RecordKind::Modify);
        assert_eq!(modified.at_ms, 1_428_537_600_500);
    }

    /// The first record of the example event of Lambda's developer guide (Using AWS Lambda with Amazon DynamoDB): it has no time, and
    /// counts as made now. The other one is of DynamoDB's developer guide (Tutorial: Using filters to process some events), shortened:
    /// its time has a fraction.
    #[test]
    fn a_record_is_read_with_and_without_its_time() {
        let untimed = r#"{"eventID":"1","eventVersion":"1.0","dynamodb":{"Keys":{"Id":{"N":"101"}},
            "NewImage":{"Message":{"S":"New item!"},"Id":{"N":"101"}},"StreamViewType":"NEW_AND_OLD_IMAGES","SequenceNumber":"111",
            "SizeBytes":26},"awsRegion":"us-west-2","eventName":"INSERT",
            "eventSourceARN":"arn:aws:dynamodb:us-west-2:111122223333:table/TestTable/stream/2015-05-11T21:21:33.291",
            "eventSource":"aws:dynamodb"}"#;
        let before_ms = backfill_core::clock::now_ms();
        let record = record_of(untimed).unwrap();
        assert!((before_ms..=backfill_core::clock::now_ms()).contains(&record.at_ms));
        assert_eq!(record.sequence, "111");
        assert_eq!(record.image.map(|image| image.len()), Some(2));

        let timed = r#"{"eventID":"c9fbe7d0261a5163fcb6940593e41797","eventName":"INSERT","eventVersion":"1.1",
            "eventSource":"aws:dynamodb","awsRegion":"us-east-2","dynamodb":{"ApproximateCreationDateTime":1664559083.0,
            "Keys":{"SK":{"S":"PRODUCT#CHOCOLATE#DARK#1000"},"PK":{"S":"COMPANY#1000"}},
            "NewImage":{"quantity":{"N":"50"},"SK":{"S":"PRODUCT#CHOCOLATE#DARK#1000"},"PK":{"S":"COMPANY#1000"},"type":{"S":""}},
            "SequenceNumber":"700000000000888747038","SizeBytes":174,"StreamViewType":"NEW_AND_OLD_IMAGES"},
            "eventSourceARN":"arn:aws:dynamodb:us-east-2:111122223333:table/chocolate/stream/2022-09-30T17:05:53.209"}"#;
        let record = record_of(timed).unwrap();
        assert_eq!(record.at_ms, 1_664_559_083_000);
        assert_eq!(record.key.0.len(), 2);
    }

    /// Nothing of an item is said of a record that is none.
    #[test]
    fn a_record_that_cannot_be_understood_is_named_by_its_sequence_number() {
        for (from, to) in [
            ("INSERT", "TRUNCATE"),
            (r#""Keys":{"Id":{"N":"101"}}"#, r#""Keys":{}"#),
            (r#"{"S":"New item!"}"#, r#"{"X":"New item!"}"#),
            (r#""eventName":"INSERT","#, ""),
        ] {
            let odd = record_of(&EXAMPLE.replacen(from, to, 1)).unwrap_err();
            let words = odd.why;
            assert_eq!(
                odd.sequence.as_deref(),
                Some("4421584500000000017450439091")
            );
            assert!(words.contains("4421584500000000017450439091"), "{words}");
            assert!(!words.contains("New item!"), "{words}");
        }
        for odd in ["", "[]", "{}", r#"{"dynamodb":7}"#, "\u{1b}[2J"] {
            let words = record_of(odd).unwrap_err().why;
            assert!(words.contains("without a sequence number"), "{words}");
        }
    }
}
