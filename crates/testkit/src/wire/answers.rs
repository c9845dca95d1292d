//! Answers in DynamoDB's words that no database gave.

use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Value as Json, json};

/// A page without items behind which there may be more.
pub fn empty_page(start_key: &Json) -> Response<Bytes> {
    let page = json!({
        "Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": start_key,
    });
    answered(200, &page)
}

pub fn cancelled(code: &str) -> Response<Bytes> {
    let body = json!({
        "__type": type_of("TransactionCanceledException"),
        "Message": format!("Transaction cancelled, please refer cancellation reasons [{code}]"),
        "CancellationReasons": [{"Code": code, "Message": "injected"}],
    });
    answered(400, &body)
}

/// The answer to a statement of a batch that failed.
pub fn statement_error(code: &str, message: &str) -> Json {
    json!({"Error": {"Code": code, "Message": message}})
}

pub fn throttled(reason: &str, resource: &str) -> Response<Bytes> {
    let body = json!({
        "__type": type_of("ProvisionedThroughputExceededException"),
        "message": "The level of configured provisioned throughput was exceeded",
        "ThrottlingReasons": [{"reason": reason, "resource": resource}],
    });
    answered(400, &body)
}

/// What a load balancer says in place of DynamoDB.
pub fn unavailable(status: u16) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", "text/html")
        .body("<html><body>Try again later</body></html>".into())
        .expect("a plain response")
}

pub fn refusal(status: u16, code: &str, message: &str) -> Response<Bytes> {
    let body = json!({"__type": type_of(code), "message": message});
    answered(status, &body)
}

pub fn answered(status: u16, body: &Json) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(body.to_string().into())
        .expect("a plain response")
}

fn type_of(code: &str) -> String {
    format!("com.amazonaws.dynamodb.v20120810#{code}")
}
