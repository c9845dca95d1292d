//! Event source mappings of the stand-in.

use serde_json::{Value as Json, json};

use super::http::{request_json, request_list, request_path, request_with};
use super::stack::{Aws, STACK};

/// All that there are.
pub(super) fn list(port: u16) -> Vec<Json> {
    let listed = request_list(port, "lambda", "/2015-03-31/event-source-mappings");
    let mappings = listed["EventSourceMappings"].as_array();
    mappings.cloned().unwrap_or_default()
}

/// Changes the settings of one.
pub(super) fn change(port: u16, mapping: &Json, settings: &Json) {
    let id = mapping["UUID"].as_str().expect("it has an id");
    let path = format!("/2015-03-31/event-source-mappings/{id}");
    let credential = "Credential=test/20260101/us-east-1/lambda/aws4_request";
    let headers = format!(
        "Content-Type: application/json\r\n\
         Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
    );
    let changed = request_with(port, "PUT", &path, &headers, &settings.to_string());
    changed.expect("ministack changes it");
}

impl Aws {
    /// The mapping between a stream and the guard of this stack.
    pub fn guard_mapping(&self, stack: &str) -> Json {
        self.mapping_to_guard(stack, ":dynamodb:")
    }

    /// The mapping from the stream or the queue, as its ARN names it, to the guard of this stack.
    fn mapping_to_guard(&self, stack: &str, from: &str) -> Json {
        let function = format!(":function:{stack}-guard");
        let is_mine = |mapping: &Json| {
            let text = |field: &str| mapping[field].as_str().unwrap_or_default().to_owned();
            text("FunctionArn").contains(&function) && text("EventSourceArn").contains(from)
        };
        let mut mine = list(self.port).into_iter().filter(is_mine);
        let mapping = mine.next().expect("the stack has a guard");
        assert_eq!(mine.next(), None);
        mapping
    }

    /// Changes the settings of the mapping between a stream and the guard of this stack.
    pub fn change_guard_mapping(&self, stack: &str, settings: &Json) {
        change(self.port, &self.guard_mapping(stack), settings);
    }

    /// Changes the settings of the mapping between the queue of what was given up and the guard of this stack.
    pub fn change_guard_reader(&self, stack: &str, settings: &Json) {
        change(self.port, &self.mapping_to_guard(stack, ":sqs:"), settings);
    }

    /// How long a message of the guard's queue is hidden from whoever has not handled it, in seconds.
    pub fn hide_dead_letters(&self, seconds: u32) {
        let url = format!(
            "http://127.0.0.1:{}/000000000000/{STACK}-guard-dead-letters",
            self.port
        );
        let attributes = json!({"VisibilityTimeout": seconds.to_string()});
        let body = json!({"QueueUrl": url, "Attributes": attributes});
        request_json(self.port, "sqs", "AmazonSQS.SetQueueAttributes", &body);
    }

    /// Invokes the guard function as Lambda does, and returns what it answers, which may be an error.
    pub fn invoke_guard(&self, event: &Json) -> Json {
        let path = format!("/2015-03-31/functions/{STACK}-guard/invocations?Qualifier=live");
        request_path(self.port, "lambda", "POST", &path, &event.to_string())
    }

    /// The first record of a stream: its shard and its sequence number.
    pub fn first_record(&self, stream: &str) -> (String, String) {
        let call = |operation: &str, body: Json| {
            let target = format!("DynamoDBStreams_20120810.{operation}");
            request_json(self.port, "dynamodb", &target, &body)
        };
        let described = call("DescribeStream", json!({"StreamArn": stream}));
        let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
        let iterator =
            json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = call("GetShardIterator", iterator);
        let records = call(
            "GetRecords",
            json!({"ShardIterator": iterator["ShardIterator"], "Limit": 1}),
        );
        let sequence = &records["Records"][0]["dynamodb"]["SequenceNumber"];
        let text = |json: &Json| json.as_str().expect("a text").to_owned();
        (text(shard), text(sequence))
    }
}
