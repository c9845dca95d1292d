//! Answers in DynamoDB's words and shapes that no database gave. Names, their case and the status are those of the service
//! model; a test holds every answer against it.

use hyper::Response;
use hyper::body::Bytes;
use serde_json::{Map, Value as Json, json};

use super::call::Call;
use super::model::model;

/// What DynamoDB says if a table on demand throttles (service model, TransactionCanceledException, Throttling Error).
const THROTTLED: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your \
    table or index so please try again shortly.";

/// A page without items behind which there may be more.
pub fn empty_page(call: &Call, start_key: &Json) -> Response<Bytes> {
    let mut page = json!({
        "Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": start_key,
    });
    if call.body["ReturnConsumedCapacity"] == "TOTAL" {
        page["ConsumedCapacity"] = json!({"TableName": call.table(), "CapacityUnits": 0.5});
    }
    answered(200, &page)
}

/// A transaction was cancelled for this reason in its first part.
pub fn cancelled(call: &Call, code: &str) -> Response<Bytes> {
    let parts = call.body["TransactItems"].as_array().map_or(1, Vec::len);
    let mut codes = vec!["None"; parts];
    codes[0] = code;
    let reason = |code: &&str| match *code {
        "None" => json!({"Code": "None"}),
        code => json!({"Code": code, "Message": "injected"}),
    };
    let reasons: Vec<Json> = codes.iter().map(reason).collect();
    let codes = codes.join(", ");
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    );
    let members = [("CancellationReasons", reasons.into())];
    error(call, "TransactionCanceledException", &message, members)
}

/// The call is throttled by this error, for this reason at this resource.
pub fn throttled(call: &Call, code: &str, reason: &str, resource: &str) -> Response<Bytes> {
    let member = model().reasons_member(code);
    let member = member.unwrap_or_else(|| panic!("{code} has no reasons"));
    let reasons = json!([{"reason": reason, "resource": resource}]);
    error(call, code, THROTTLED, [(member, reasons)])
}

/// What a load balancer says in place of DynamoDB.
pub fn unavailable(status: u16) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", "text/html")
        .body("<html><body>Try again later</body></html>".into())
        .expect("a plain response")
}

/// What anything else says in place of DynamoDB.
pub fn said(status: u16, body: Bytes) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .body(body)
        .expect("a plain response")
}

/// DynamoDB refuses the call.
pub fn refusal(call: &Call, code: &str, message: &str) -> Response<Bytes> {
    error(call, code, message, [])
}

/// One statement of a batch has failed. Which table that was is said of those that were carried out.
pub fn failed_statement(call: &Call, code: &str, message: &str) -> Json {
    let mut response = json!({"Error": {"Code": code, "Message": message}});
    if code != "ValidationError" {
        response["TableName"] = call.table().into();
    }
    response
}

fn error<'a>(
    call: &Call,
    code: &str,
    message: &str,
    members: impl IntoIterator<Item = (&'a str, Json)>,
) -> Response<Bytes> {
    let operation = &call.operation;
    assert!(
        model().may_answer(operation, code),
        "{code} is no answer of DynamoDB's to {operation}"
    );
    let mut body = Map::from_iter([("__type".to_owned(), model().type_of(code).into())]);
    if let Some(member) = model().message_member(code) {
        body.insert(member.to_owned(), message.into());
    }
    let members = members.into_iter();
    body.extend(members.map(|(name, value)| (name.to_owned(), value)));
    answered(model().status_of(code), &body.into())
}

/// An answer with the headers that the service's have.
pub fn answered(status: u16, body: &Json) -> Response<Bytes> {
    let body = body.to_string();
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .header(
            "x-amzn-requestid",
            "INJECTED00000000000000000000000000000000000000000000",
        )
        .header("x-amz-crc32", crc32(body.as_bytes()))
        .body(body.into())
        .expect("a plain response")
}

/// The checksum of ISO 3309, which zip files have as well.
fn crc32(bytes: &[u8]) -> u32 {
    let after_bit = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    let after_byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), after_bit);
    !bytes.iter().fold(!0, after_byte)
}

#[cfg(test)]
mod tests {
    use super::super::{Faults, Verdict, own_answer};
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    fn call(operation: &str) -> Call {
        let nowhere = ([127, 0, 0, 1], 0).into();
        Call {
            operation: operation.into(),
            body: json!({
                "TableName": "stuff", "ReturnConsumedCapacity": "TOTAL",
                "ExclusiveStartKey": {"id": {"S": "a"}},
            }),
            access_key: String::new(),
            sender: nowhere,
            receiver: nowhere,
        }
    }

    /// Holds an answer of the proxy's own against the service model: status, error, members, their case and their words.
    fn assert_fits(call: &Call, verdict: &Verdict, answer: &Response<Bytes>) {
        let what = format!("{verdict:?} of {}: {:?}", call.operation, answer.body());
        let body: Json = serde_json::from_slice(answer.body()).unwrap();
        let crc = answer.headers()["x-amz-crc32"].to_str().unwrap();
        assert_eq!(crc, crc32(answer.body()).to_string(), "{what}");
        if answer.status().is_success() {
            let misfits = model().misfits(model().output(&call.operation), &body);
            return assert!(misfits.is_empty(), "{misfits:?}: {what}");
        }
        let (namespace, code) = body["__type"].as_str().unwrap().split_once('#').unwrap();
        let mut members = body.as_object().unwrap().clone();
        members.remove("__type");
        assert!(model().has(code), "{what}");
        assert!(model().may_answer(&call.operation, code), "{what}");
        assert_eq!(answer.status(), model().status_of(code), "{what}");
        let of_dynamodb = namespace == "com.amazonaws.dynamodb.v20120810";
        assert_eq!(of_dynamodb, code != "ThrottlingException", "{what}");
        let misfits = model().misfits(code, &members.into());
        assert!(misfits.is_empty(), "{misfits:?}: {what}");
        let empty = Vec::new();
        let list = |name: &str| body[name].as_array().unwrap_or(&empty).clone();
        for reason in list("CancellationReasons") {
            let code = reason["Code"].as_str().unwrap();
            assert!(model().lists("cancellation_codes", code), "{what}");
        }
        for reason in [list("ThrottlingReasons"), list("throttlingReasons")].concat() {
            // Resource, operation, limit: "TableWriteKeyRangeThroughputExceeded".
            let reason = reason["reason"].as_str().unwrap();
            let limit = ["TableRead", "TableWrite", "IndexRead", "IndexWrite"]
                .iter()
                .find_map(|begin| reason.strip_prefix(begin));
            let limit = limit.unwrap_or_default();
            assert!(model().lists("throttling_limits", limit), "{what}");
        }
    }

    #[test]
    fn every_answer_that_faults_give_is_of_the_service_model() {
        let (mut answers, mut statements) = (0, 0);
        for operation in model().operations() {
            let call = call(operation);
            let faults = Faults::new(1, 1.0);
            for _ in 0..2_000 {
                let verdict = faults.verdict(&call);
                if let Verdict::FailStatements { code, message, .. } = verdict {
                    let response = failed_statement(&call, code, message);
                    let misfits = model().misfits("BatchStatementResponse", &response);
                    assert!(misfits.is_empty(), "{misfits:?}");
                    statements += 1;
                }
                // Behind other statuses stands something else.
                let of_the_service = !matches!(verdict, Verdict::Unavailable(501..));
                if let Some(answer) = own_answer(&verdict, &call).filter(|_| of_the_service) {
                    assert_fits(&call, &verdict, &answer);
                    answers += 1;
                }
            }
        }
        assert!(
            answers > 5_000 && statements > 500,
            "{answers} {statements}"
        );
    }

    /// Both ways to write the list of reasons are met.
    #[test]
    fn reasons_are_written_as_each_error_does() {
        for (code, member) in [
            ("ThrottlingException", "throttlingReasons"),
            (
                "ProvisionedThroughputExceededException",
                "ThrottlingReasons",
            ),
            ("RequestLimitExceeded", "ThrottlingReasons"),
        ] {
            let answer = throttled(
                &call("UpdateItem"),
                code,
                "TableWriteAccountLimitExceeded",
                "arn",
            );
            let body: Json = serde_json::from_slice(answer.body()).unwrap();
            assert!(body[member].is_array(), "{body}");
        }
    }

    #[test]
    fn what_does_not_fit_is_found() {
        for (shape, value) in [
            ("ThrottlingException", json!({"ThrottlingReasons": []})),
            (
                "ThrottlingException",
                json!({"throttlingReasons": [{"Reason": "x"}]}),
            ),
            (
                "BatchStatementResponse",
                json!({"Error": {"Code": "Throttled"}}),
            ),
            ("TransactionCanceledException", json!({"message": "x"})),
            ("ScanOutput", json!({"Count": "1"})),
        ] {
            assert_eq!(model().misfits(shape, &value).len(), 1, "{shape} {value}");
        }
    }
}
