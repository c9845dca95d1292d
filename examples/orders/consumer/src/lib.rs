//! What a function on the stream of the table `orders` does with a batch of records: a line of JSON for each order that was created
//! and each change of a status, with keys and status alone, since a log is no place for an order.
//!
//! A stream is told at least once, in the order of the changes of an item. So a line may come twice, and after a record that fails
//! nothing else is done: Lambda sends that record and all behind it again
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>).

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What Lambda sends: records of the stream, as they stand there.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// Each is read by itself, so that an odd one fails alone.
    #[serde(rename = "Records")]
    pub records: Vec<Json>,
}

/// What Lambda is answered: from which record on it has to send them again, if from any.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// None, or the first record that failed.
    pub batch_item_failures: Vec<Failure>,
}

/// A record that failed.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Its sequence number. Empty if it has none, which Lambda takes for the whole batch.
    pub item_identifier: String,
}

/// What has become of an order.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "event")]
pub enum Notice {
    /// It was put, and was not there before.
    #[serde(rename = "order created")]
    Created {
        /// Partition key.
        customer_id: String,
        /// Sort key.
        order_id: String,
        /// None if the order has no status.
        status: Option<String>,
    },
    /// Its status was changed, given or taken away.
    #[serde(rename = "order status changed")]
    StatusChanged {
        /// Partition key.
        customer_id: String,
        /// Sort key.
        order_id: String,
        /// The status before.
        from: Option<String>,
        /// The status now.
        to: Option<String>,
    },
}

/// Works on a batch, and writes a line for each notice.
pub fn consume(batch: &Batch, log: &mut impl Write) -> Answer {
    for record in &batch.records {
        let written = match notice(record) {
            Ok(None) => Ok(()),
            Ok(Some(notice)) => line(log, &notice),
            Err(why) => Err(why),
        };
        if let Err(why) = written {
            let number = record["dynamodb"]["SequenceNumber"].as_str();
            let item_identifier = number.unwrap_or_default().to_owned();
            // If not even this can be written, Lambda still sees the failure.
            let _ = line(
                log,
                &serde_json::json!({"event": "record failed", "sequence_number": item_identifier, "why": why}),
            );
            return Answer {
                batch_item_failures: vec![Failure { item_identifier }],
            };
        }
    }
    Answer::default()
}

fn line(log: &mut impl Write, line: &impl Serialize) -> Result<(), String> {
    let failed = |error: io::Error| format!("the log cannot be written: {error}");
    let line = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
    writeln!(log, "{line}").map_err(failed)
}

/// What a record says of an order; `None` if neither was it created nor its status changed.
///
/// Errors: a sentence, for a record that is none of the table's stream. It names attributes, and nothing that is in them.
pub fn notice(record: &Json) -> Result<Option<Notice>, String> {
    let change = &record["dynamodb"];
    let key = |name: &str| match &change["Keys"][name]["S"] {
        Json::String(text) => Ok(text.clone()),
        _ => Err(format!("Keys: expected a text {name}")),
    };
    match record["eventName"].as_str() {
        Some("INSERT") => Ok(Some(Notice::Created {
            customer_id: key("customer_id")?,
            order_id: key("order_id")?,
            status: status(change, "NewImage")?,
        })),
        Some("MODIFY") => {
            let (from, to) = (status(change, "OldImage")?, status(change, "NewImage")?);
            if from == to {
                return Ok(None);
            }
            Ok(Some(Notice::StatusChanged {
                customer_id: key("customer_id")?,
                order_id: key("order_id")?,
                from,
                to,
            }))
        }
        // Deleted by somebody, or by TTL.
        Some("REMOVE") => Ok(None),
        _ => Err("eventName: expected INSERT, MODIFY or REMOVE".into()),
    }
}

/// The status in an image of the order.
fn status(change: &Json, image: &str) -> Result<Option<String>, String> {
    let Json::Object(order) = &change[image] else {
        let why = "expected an order; is the stream's view type NEW_AND_OLD_IMAGES?";
        return Err(format!("{image}: {why}"));
    };
    match order.get("status").map(|status| &status["S"]) {
        None => Ok(None),
        Some(Json::String(status)) => Ok(Some(status.clone())),
        Some(_) => Err(format!("{image}.status: expected a text")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image(status: Option<&str>) -> Json {
        let mut order =
            json!({"customer_id": {"S": "c-1"}, "order_id": {"S": "o-1"}, "note": {"S": "SECRET"}});
        if let Some(status) = status {
            order["status"] = json!({"S": status});
        }
        order
    }

    /// As the stream has it (API reference, Record; Lambda developer guide, Using Lambda with DynamoDB).
    fn record(number: &str, event: &str, old: Option<Json>, new: Option<Json>) -> Json {
        let mut change = json!({
            "ApproximateCreationDateTime": 1_763_800_000, "SizeBytes": 26, "SequenceNumber": number,
            "StreamViewType": "NEW_AND_OLD_IMAGES", "Keys": {"customer_id": {"S": "c-1"}, "order_id": {"S": "o-1"}},
        });
        for (name, image) in [("OldImage", old), ("NewImage", new)] {
            if let Some(image) = image {
                change[name] = image;
            }
        }
        json!({"eventID": "1", "eventName": event, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1", "eventSourceARN": "arn:aws:dynamodb:…", "dynamodb": change})
    }

    fn consumed(records: Vec<Json>) -> (Answer, Vec<Json>) {
        let mut log = Vec::new();
        let answer = consume(&Batch { records }, &mut log);
        let log = String::from_utf8(log).unwrap();
        assert!(!log.contains("SECRET"), "{log}");
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        (answer, lines.collect())
    }

    #[test]
    fn created_orders_and_changes_of_status_are_logged_and_nothing_else() {
        let (open, sent) = (|| Some(image(Some("open"))), || Some(image(Some("sent"))));
        let none = || Some(image(None));
        let (answer, lines) = consumed(vec![
            record("1", "INSERT", None, open()),
            record("2", "MODIFY", open(), open()),
            record("3", "MODIFY", open(), sent()),
            record("4", "MODIFY", sent(), none()),
            record("5", "REMOVE", none(), None),
            record("6", "INSERT", None, none()),
        ]);
        assert_eq!(answer, Answer::default());
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            json!({"batchItemFailures": []})
        );
        let changed = |from: Json, to: Json| json!({"event": "order status changed", "customer_id": "c-1", "order_id": "o-1", "from": from, "to": to});
        let created = |status: Json| json!({"event": "order created", "customer_id": "c-1", "order_id": "o-1", "status": status});
        assert_eq!(
            lines,
            [
                created(json!("open")),
                changed(json!("open"), json!("sent")),
                changed(json!("sent"), Json::Null),
                created(Json::Null),
            ]
        );
    }

    #[test]
    fn nothing_is_done_behind_a_record_that_fails() {
        let new = || Some(image(Some("open")));
        let mut keyless = record("2", "INSERT", None, new());
        keyless["dynamodb"]["Keys"] = json!({"customer_id": {"S": "c-1"}});
        let mut odd_status = image(None);
        odd_status["status"] = json!({"N": "7"});
        for (odd, why) in [
            (keyless, "Keys: expected a text order_id"),
            (record("2", "UPSERT", None, new()), "eventName: expected"),
            (
                record("2", "MODIFY", None, new()),
                "OldImage: expected an order",
            ),
            (
                record("2", "INSERT", None, Some(odd_status)),
                "NewImage.status: expected a text",
            ),
        ] {
            let (answer, lines) = consumed(vec![
                record("1", "INSERT", None, new()),
                odd,
                record("3", "INSERT", None, new()),
            ]);
            let expected = json!({"batchItemFailures": [{"itemIdentifier": "2"}]});
            assert_eq!(serde_json::to_value(&answer).unwrap(), expected);
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert_eq!(lines[1]["sequence_number"], "2");
            assert!(
                lines[1]["why"].as_str().unwrap().starts_with(why),
                "{lines:?}"
            );
        }
        let (answer, _) = consumed(vec![json!(7)]);
        assert_eq!(answer.batch_item_failures[0].item_identifier, "");
    }

    #[test]
    fn a_line_that_cannot_be_written_is_a_failure() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let records = vec![record("1", "INSERT", None, Some(image(None)))];
        let answer = consume(&Batch { records }, &mut Full);
        assert_eq!(answer.batch_item_failures[0].item_identifier, "1");
    }
}
