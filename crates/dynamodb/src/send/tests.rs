use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_runtime_api::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Request as Sent, *};
use crate::failure::failure;
use crate::line::{Carrier, Carrying};

mod again;
mod rest;

#[derive(Serialize)]
struct Ask {
    #[serde(rename = "Limit")]
    limit: u32,
}

impl Call for Ask {
    const OPERATION: &'static str = "Scan";
    type Answer = Value;
}

/// Answers every request with this status, header and body, and keeps the requests.
#[derive(Debug)]
struct Answering {
    status: u16,
    error_type: Option<&'static str>,
    body: &'static str,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A service that answers at once.
trait Answers: std::fmt::Debug + Send + Sync {
    fn answer(&self, request: Request) -> HttpResponse;
}

#[derive(Debug)]
struct By<A>(A);

impl<A: Answers> Carrier for By<A> {
    fn carry<'a>(&'a self, _: &'a Address, request: Sent) -> Carrying<'a> {
        Box::pin(async {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let request = http::Request::from_parts(head, SdkBody::from(body));
            let answer = self.0.answer(Request::try_from(request).unwrap());
            let body = Bytes::copy_from_slice(answer.body().bytes().unwrap());
            Ok(answer.try_into_http1x().unwrap().map(|_| body))
        })
    }
}

impl Answers for Answering {
    fn answer(&self, request: Request) -> HttpResponse {
        self.requests.lock().unwrap().push(request);
        let status = StatusCode::try_from(self.status).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::from(self.body));
        if let Some(code) = self.error_type {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        response
    }
}

/// With credentials KEY1, KEY2, …, each valid for this long.
async fn sender(service: Answering, valid_for: Duration, endpoint_url: Option<&str>) -> Sender {
    sender_by(service, valid_for, endpoint_url).await
}

async fn sender_by(
    service: impl Answers + 'static,
    valid_for: Duration,
    endpoint_url: Option<&str>,
) -> Sender {
    let given_out = Arc::new(AtomicU32::new(0));
    let credentials = provide_credentials_fn(move || {
        let id = format!("KEY{}", given_out.fetch_add(1, Ordering::Relaxed) + 1);
        let end = SystemTime::now() + valid_for;
        let token = Some("token".into());
        async move { Ok(Credentials::new(id, "secret", token, Some(end), "test")) }
    });
    let config = SdkConfig::builder()
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let endpoint_url = endpoint_url.map(str::to_owned);
    let connection = Connection::new(Arc::new(By(service)), config, endpoint_url, None).await;
    Sender::new(&connection.unwrap())
}

/// What two calls send, with credentials that are valid for so many seconds.
async fn two_requests(valid_for: u64, endpoint_url: Option<&str>) -> Vec<Request> {
    let requests = Arc::<Mutex<Vec<Request>>>::default();
    let service = Answering {
        status: 200,
        error_type: None,
        body: "{}",
        requests: requests.clone(),
    };
    let sender = sender(service, Duration::from_secs(valid_for), endpoint_url).await;
    for _ in 0..2 {
        sender.call(&Ask { limit: 1 }).await.unwrap();
    }
    std::mem::take(&mut *requests.lock().unwrap())
}

/// Has every call answered like this.
pub(crate) async fn answered(
    status: u16,
    error_type: Option<&'static str>,
    body: &'static str,
) -> Sender {
    let service = Answering {
        status,
        error_type,
        body,
        requests: Arc::default(),
    };
    sender(service, Duration::from_secs(3_600), None).await
}

async fn answer(
    status: u16,
    error_type: Option<&'static str>,
    body: &'static str,
) -> Result<Value, SdkError> {
    let sender = answered(status, error_type, body).await;
    sender.call(&Ask { limit: 1 }).await
}

#[tokio::test]
async fn requests_are_signed_and_credentials_renewed_before_they_expire() {
    for (valid_for, second_key) in [(3_600, "KEY1"), (5, "KEY2")] {
        let requests = two_requests(valid_for, None).await;
        for (request, key) in requests.iter().zip(["KEY1", second_key]) {
            assert_eq!(request.method(), "POST");
            assert_eq!(request.uri(), "https://dynamodb.eu-west-1.amazonaws.com/");
            assert_eq!(request.body().bytes(), Some(&br#"{"Limit":1}"#[..]));
            let header = |name| request.headers().get(name).unwrap();
            assert_eq!(header("x-amz-target"), "DynamoDB_20120810.Scan");
            assert_eq!(header("content-type"), CONTENT_TYPE);
            assert_eq!(header("x-amz-security-token"), "token");
            let authorization = header("authorization");
            assert!(
                authorization.contains(&format!("Credential={key}/"))
                    && authorization.contains("/eu-west-1/dynamodb/aws4_request")
                    && authorization.contains(
                        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
                    ),
                "{authorization}"
            );
        }
        assert_eq!(requests.len(), 2);
    }
}

/// The signature, put together by AWS's description of it (IAM user guide, Create a signed AWS API request).
fn signature(request: &Request, host: &str, path: &str) -> String {
    let header = |name| request.headers().get(name).unwrap();
    let (date, target) = (header("x-amz-date"), header("x-amz-target"));
    let digest = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    let canonical = format!(
        "POST\n{path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\n\
         x-amz-security-token:token\nx-amz-target:{target}\n\n\
         content-type;host;x-amz-date;x-amz-security-token;x-amz-target\n{}",
        digest(request.body().bytes().unwrap())
    );
    let scope = format!("{}/eu-west-1/dynamodb/aws4_request", &date[..8]);
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        digest(canonical.as_bytes())
    );
    // Of the time only the day counts.
    let key = generate_signing_key("secret", SystemTime::now(), "eu-west-1", "dynamodb");
    calculate_signature(key, text.as_bytes())
}

#[tokio::test]
async fn the_signature_is_that_of_what_is_sent() {
    for (url, host, path) in [
        (None, "dynamodb.eu-west-1.amazonaws.com", "/"),
        (Some("http://127.0.0.1:8000"), "127.0.0.1:8000", "/"),
        (Some("http://127.0.0.1:8000/db"), "127.0.0.1:8000", "/db/"),
    ] {
        let requests = two_requests(60, url).await;
        let signed = requests[0].headers().get("authorization").unwrap();
        let expected = format!("Signature={}", signature(&requests[0], host, path));
        assert!(signed.ends_with(&expected), "{signed}");
    }
}

#[tokio::test]
async fn an_endpoint_may_have_a_path() {
    let url = Some("http://127.0.0.1:8000/db");
    let requests = two_requests(60, url).await;
    assert_eq!(requests[0].uri(), "http://127.0.0.1:8000/db/");
}

#[tokio::test]
async fn a_refusal_has_code_and_message_wherever_they_stand() {
    for (error_type, body, code, message) in [
        (
            None,
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow"}"#,
            Some("ThrottlingException"),
            Some("slow"),
        ),
        (
            Some("ValidationException:http://internal.amazon.com/"),
            r#"{"Message":"no"}"#,
            Some("ValidationException"),
            Some("no"),
        ),
        (
            None,
            r#"{"__type":"a#ProvisionedThroughputExceededException","message":"slow","Message":"slow",
                "ThrottlingReasons":[{"reason":"TableWriteKeyRangeThroughputExceeded","resource":"arn:t"}]}"#,
            Some("ProvisionedThroughputExceededException"),
            Some("slow (TableWriteKeyRangeThroughputExceeded on arn:t)"),
        ),
        // A table on demand, by the service model: the name of the list begins in lower case.
        (
            None,
            r#"{"__type":"com.amazon.coral.availability#ThrottlingException","message":"slow",
                "throttlingReasons":[{"reason":"IndexWriteMaxOnDemandThroughputExceeded","resource":"arn:i"},
                                     {"reason":"TableWriteKeyRangeThroughputExceeded","resource":"arn:t"}]}"#,
            Some("ThrottlingException"),
            Some(
                "slow (IndexWriteMaxOnDemandThroughputExceeded on arn:i, \
                 TableWriteKeyRangeThroughputExceeded on arn:t)",
            ),
        ),
        // Reasons that are none take nothing away from the rest.
        (
            None,
            r#"{"__type":"a#ThrottlingException","message":"slow","throttlingReasons":null,"ThrottlingReasons":7}"#,
            Some("ThrottlingException"),
            Some("slow"),
        ),
        (None, "<html>Bad gateway</html>", None, None),
    ] {
        let error = answer(400, error_type, body).await.unwrap_err();
        assert_eq!(error.code(), code, "{body}");
        assert_eq!(error.message(), message, "{body}");
        let is_refusal = matches!(error, SdkError::ServiceError(_));
        assert_eq!(is_refusal, code.is_some(), "{body}");
    }
}

#[tokio::test]
async fn an_answer_cut_short_is_no_answer() {
    for (status, body) in [
        (200, r#"{"Items":["#),
        (400, r#"{"__type":"com.amazonaws.dyn"#),
    ] {
        let error = answer(status, None, body).await.unwrap_err();
        let said = failure("scanning", error).to_string();
        assert!(said.contains("ended in the middle"), "{said}");
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_details() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Held {
        #[serde(rename = "Item")]
        item: Value,
    }
    let refused = r#"{"__type":"a#ConditionalCheckFailedException","Item":{"id":{"S":"a"}}}"#;
    let error = answer(400, None, refused).await.unwrap_err();
    let item = serde_json::json!({"id": {"S": "a"}});
    assert_eq!(details(&error), Some(Held { item }));
    let other = r#"{"__type":"a#ThrottlingException"}"#;
    let error = answer(400, None, other).await.unwrap_err();
    assert_eq!(details::<Held>(&error), None);
}
