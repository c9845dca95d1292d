//! Lambda's part of an event source mapping: it reads the stream of a table and brings a function batches, in the form of Lambda's
//! events, until each is settled (Lambda developer guide, Using AWS Lambda with Amazon DynamoDB).

use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};

use crate::database::Embedded;

/// What reads the one shard of a table's stream on the embedded database.
pub struct Poller {
    address: String,
    pub stream_arn: String,
    pub shard: String,
    /// The sequence number up to which all is settled.
    settled: Option<String>,
}

impl Poller {
    /// Switches the stream of a table on, and reads it from its begin.
    pub async fn start(database: &Embedded, table: &str) -> Poller {
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewImage);
        let update = database.client.update_table().table_name(table);
        let update = update.stream_specification(stream.build().expect("a stream"));
        let updated = update.send().await.expect("the stream is switched on");
        let described = updated.table_description.expect("a description");
        let address = database.endpoint.strip_prefix("http://").expect("no TLS");
        let mut poller = Poller {
            address: address.to_owned(),
            stream_arn: described.latest_stream_arn.expect("an ARN"),
            shard: String::new(),
            settled: None,
        };
        let describe = json!({"StreamArn": poller.stream_arn});
        let described = poller.call("DescribeStream", &describe).await;
        let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
        poller.shard = shard.as_str().expect("a shard").to_owned();
        poller
    }

    /// The next records that are not settled, at most so many, as the event that Lambda makes of them; `None` if there are none.
    pub async fn batch(&self, most: u32) -> Option<Json> {
        let mut place = json!({"StreamArn": self.stream_arn, "ShardId": self.shard});
        match &self.settled {
            Some(settled) => {
                place["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER".into();
                place["SequenceNumber"] = settled.as_str().into();
            }
            None => place["ShardIteratorType"] = "TRIM_HORIZON".into(),
        }
        let place = self.call("GetShardIterator", &place).await;
        let get = json!({"ShardIterator": place["ShardIterator"], "Limit": most});
        let mut got = self.call("GetRecords", &get).await;
        let records = got["Records"].as_array_mut().expect("records");
        for record in records.iter_mut() {
            record["eventSource"] = "aws:dynamodb".into();
            record["eventSourceARN"] = self.stream_arn.as_str().into();
        }
        (!records.is_empty()).then(|| json!({"Records": records}))
    }

    /// Goes on behind what a function has settled of a batch, by its answer: before the first record that it names, as Lambda does.
    /// True if all of it is settled.
    pub fn go_on(&mut self, batch: &Json, answer: &Json) -> bool {
        let failures = answer["batchItemFailures"].as_array();
        let failures = failures.expect("a list of failures");
        let failed = |sequence: &str| failures.iter().any(|one| one["itemIdentifier"] == sequence);
        let sequences = sequences(batch);
        for failure in failures {
            let id = failure["itemIdentifier"].as_str().expect("a text");
            assert!(
                sequences.iter().any(|one| one == id),
                "no record of the batch: {id}"
            );
        }
        let mut settled = sequences.into_iter().take_while(|one| !failed(one));
        if let Some(last) = settled.by_ref().last() {
            self.settled = Some(last);
        }
        failures.is_empty()
    }

    /// A message of a queue about these records, which Lambda has given up, and goes on behind.
    pub fn give_up(&mut self, batch: &Json, message_id: &str) -> Json {
        let sequences = sequences(batch);
        let body = json!({
            "requestContext": {"condition": "RetryAttemptsExhausted"},
            "DDBStreamBatchInfo": {"shardId": self.shard, "streamArn": self.stream_arn, "batchSize": sequences.len(),
                "startSequenceNumber": sequences.first(), "endSequenceNumber": sequences.last()},
        });
        self.settled = sequences.last().cloned();
        json!({"messageId": message_id, "eventSource": "aws:sqs", "body": body.to_string()})
    }

    async fn call(&self, operation: &str, body: &Json) -> Json {
        let stream = tokio::net::TcpStream::connect(&self.address).await;
        let stream = TokioIo::new(stream.expect("it listens"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .expect("it speaks HTTP");
        tokio::spawn(connection);
        let request = hyper::Request::post("/")
            .header("host", &self.address)
            .header("content-type", "application/x-amz-json-1.0")
            .header(
                "x-amz-target",
                format!("DynamoDBStreams_20120810.{operation}"),
            )
            .header("x-amz-date", "20260101T000000Z")
            // Nobody looks at the signature.
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=0",
            )
            .body(Full::new(Bytes::from(body.to_string())));
        let response = sender.send_request(request.expect("a request")).await;
        let response = response.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body");
        let body: Json = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        assert!(status.is_success(), "{operation}: {body}");
        body
    }
}

/// The sequence numbers of an event's records.
pub fn sequences(batch: &Json) -> Vec<String> {
    let records = batch["Records"].as_array().expect("records").iter();
    let sequence = |record: &Json| {
        record["dynamodb"]["SequenceNumber"]
            .as_str()
            .map(Into::into)
    };
    records
        .map(|record| sequence(record).expect("a sequence number"))
        .collect()
}
