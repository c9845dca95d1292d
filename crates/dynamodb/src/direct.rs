//! The calls of the inner loop, past the SDK's operations.
//!
//! Every 25 items are a call, and what the SDK does around each (configuration, interceptors, builders) took more CPU
//! than all the rest of this program (bench/RESULTS.md). So these calls are JSON by serde, signed by the
//! SDK's own signer and sent through the same connections; their errors are the SDK's own as well.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_dynamodb::error::{BoxError, ErrorMetadata};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::connection::CALL_TIMEOUT;
use crate::failure::{is_cut_short, throttling_reasons};

/// Credentials are asked for again this long before they expire, and after this long where they do not say when that
/// is, as by the SDK.
const RENEW_BEFORE: Duration = Duration::from_secs(10);
const RENEW_AFTER: Duration = Duration::from_secs(15 * 60);

/// AWS JSON 1.0, the protocol of DynamoDB.
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// A call: its input, as JSON of AWS's names.
pub(crate) trait Call: Serialize {
    /// As in "Scan".
    const OPERATION: &'static str;
    type Answer: DeserializeOwned;
}

/// A call that cannot change anything.
pub(crate) trait ReadCall: Call {}

/// Sends calls that read, and has no way to send others.
#[derive(Debug, Clone)]
pub(crate) struct DirectReads(pub Direct);

impl DirectReads {
    /// As [`Direct::call`].
    pub(crate) async fn call<C: ReadCall>(&self, call: &C) -> Result<C::Answer, SdkError> {
        self.0.call(call).await
    }
}

pub(crate) type SdkError = aws_sdk_dynamodb::error::SdkError<ErrorMetadata>;

/// Sends calls to DynamoDB. Clones share credentials.
#[derive(Debug, Clone)]
pub(crate) struct Direct(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: SharedHttpConnector,
    credentials: Option<SharedCredentialsProvider>,
    /// The credentials, and until when they are used.
    identity: Mutex<Option<(Identity, SystemTime)>>,
    region: String,
    /// With path "/".
    url: String,
    service: Service,
}

/// A service that speaks AWS JSON 1.0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// The name by which calls are signed.
    name: &'static str,
    /// What stands before the operation in `x-amz-target`.
    target: &'static str,
}

const DYNAMODB: Service = Service {
    name: "dynamodb",
    target: "DynamoDB_20120810",
};

/// Its model names three protocols, of which one is AWS JSON 1.0, with this prefix (botocore, cloudwatch/2010-08-01).
pub(crate) const CLOUDWATCH: Service = Service {
    name: "monitoring",
    target: "GraniteServiceVersion20100801",
};

impl Direct {
    /// Calls by the region and credentials of this configuration, to this URL or else where the SDK's rules for regions
    /// point. Says what the rules object to.
    pub(crate) async fn new(
        connector: SharedHttpConnector,
        sdk_config: &SdkConfig,
        endpoint_url: Option<&str>,
    ) -> Result<Direct, BoxError> {
        let region = sdk_config
            .region()
            .map(ToString::to_string)
            .unwrap_or_default();
        let params = Params::builder()
            .region(&region)
            .use_fips(sdk_config.use_fips().unwrap_or(false))
            .use_dual_stack(sdk_config.use_dual_stack().unwrap_or(false))
            .set_endpoint(endpoint_url.map(str::to_owned))
            .build()?;
        let endpoint = DefaultResolver::new().resolve_endpoint(&params).await?;
        let url = endpoint.url();
        Ok(Direct(Arc::new(Inner {
            connector,
            credentials: sdk_config.credentials_provider(),
            identity: Mutex::default(),
            region,
            url: format!("{}/", url.strip_suffix('/').unwrap_or(url)),
            service: DYNAMODB,
        })))
    }

    /// The same way to another service, with the same credentials.
    pub(crate) fn to(&self, service: Service, url: &str) -> Direct {
        Direct(Arc::new(Inner {
            connector: self.0.connector.clone(),
            credentials: self.0.credentials.clone(),
            identity: Mutex::default(),
            region: self.0.region.clone(),
            url: format!("{}/", url.strip_suffix('/').unwrap_or(url)),
            service,
        }))
    }

    /// The region that calls are signed for.
    pub(crate) fn region(&self) -> &str {
        &self.0.region
    }

    /// One attempt, no longer than [`CALL_TIMEOUT`].
    pub(crate) async fn call<C: Call>(&self, call: &C) -> Result<C::Answer, SdkError> {
        self.send(C::OPERATION, call).await
    }

    /// The same for an operation by its name, as in "Scan".
    pub(crate) async fn send<I: Serialize, A: DeserializeOwned>(
        &self,
        operation: &str,
        input: &I,
    ) -> Result<A, SdkError> {
        match tokio::time::timeout(CALL_TIMEOUT, self.attempt(operation, input)).await {
            Ok(result) => result,
            Err(elapsed) => Err(SdkError::timeout_error(elapsed)),
        }
    }

    async fn attempt<I: Serialize, A: DeserializeOwned>(
        &self,
        operation: &str,
        input: &I,
    ) -> Result<A, SdkError> {
        let body = serde_json::to_vec(input).map_err(SdkError::construction_failure)?;
        let identity = self
            .identity()
            .await
            .map_err(SdkError::construction_failure)?;
        let request = self
            .request(operation, body, &identity)
            .map_err(SdkError::construction_failure)?;
        let response = self
            .0
            .connector
            .call(request)
            .await
            .map_err(SdkError::dispatch_failure)?;
        let mut response = HttpResponse::from(response);
        let received = ByteStream::new(response.take_body()).collect().await;
        let bytes = match received {
            Ok(received) => received.into_bytes(),
            Err(error) => return Err(SdkError::response_error(error, response)),
        };
        if !response.status().is_success() {
            let error = refusal(&response, &bytes);
            if error.code().is_none() && is_cut_short(&bytes) {
                return Err(SdkError::response_error(
                    "the answer is cut short",
                    response,
                ));
            }
            if matches!(
                error.code(),
                Some("ExpiredTokenException" | "UnrecognizedClientException")
            ) {
                *self.0.identity.lock().await = None;
            }
            return Err(SdkError::service_error(error, response));
        }
        serde_json::from_slice(&bytes).map_err(|error| SdkError::response_error(error, response))
    }

    /// The credentials, as long as they hold.
    async fn identity(&self) -> Result<Identity, BoxError> {
        let mut cached = self.0.identity.lock().await;
        let now = SystemTime::now();
        if let Some((identity, _)) = cached.as_ref().filter(|(_, end)| now < *end) {
            return Ok(identity.clone());
        }
        let provider = self.0.credentials.as_ref();
        let provider =
            provider.ok_or_else(|| CredentialsError::not_loaded("no provider is set"))?;
        let identity = Identity::from(provider.provide_credentials().await?);
        let end = match identity.expiration() {
            Some(end) => end - RENEW_BEFORE,
            None => now + RENEW_AFTER,
        };
        *cached = Some((identity.clone(), end));
        Ok(identity)
    }

    fn request(
        &self,
        operation: &str,
        body: Vec<u8>,
        identity: &Identity,
    ) -> Result<Request, BoxError> {
        let target = format!("{}.{operation}", self.0.service.target);
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(&self.0.region)
            .name(self.0.service.name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let params = SigningParams::from(params);
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", &target)];
        let signable = SignableRequest::new(
            "POST",
            &self.0.url,
            headers.into_iter(),
            SignableBody::Bytes(&body),
        )?;
        let (signed, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri(self.0.url.as_str())?;
        let headers = request.headers_mut();
        headers.insert("content-type", CONTENT_TYPE);
        headers.insert("x-amz-target", target);
        headers.insert(
            "user-agent",
            concat!("backfill/", env!("CARGO_PKG_VERSION")),
        );
        for header in signed.into_parts().0 {
            headers.insert(header.name(), header.value().to_owned());
        }
        Ok(request)
    }
}

/// Code and message of an answer that is no success (developer guide, Error handling with DynamoDB): a code such as
/// `com.amazonaws.dynamodb.v20120810#ThrottlingException`. Both are missing where something in between answered.
fn refusal(response: &HttpResponse, body: &[u8]) -> ErrorMetadata {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        code: Option<String>,
        message: Option<String>,
        #[serde(rename = "Message")]
        capital_message: Option<String>,
        #[serde(rename = "ThrottlingReasons", default)]
        reasons: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        reason: Option<String>,
        resource: Option<String>,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let header = response.headers().get("x-amzn-errortype");
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = header.or(refusal.code.as_deref()) {
        let code = code.rsplit('#').next().unwrap_or(code);
        // "ValidationException:http://…"
        metadata = metadata.code(code.split(':').next().unwrap_or(code));
    }
    let reasons = refusal.reasons.iter();
    let reasons = reasons.map(|r| (r.reason.as_deref(), r.resource.as_deref()));
    let reasons = throttling_reasons(reasons);
    if let Some(message) = refusal.message.or(refusal.capital_message) {
        metadata = metadata.message(format!("{message}{reasons}"));
    }
    metadata.build()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_config::Region;
    use aws_credential_types::credential_fn::provide_credentials_fn;
    use aws_sdk_dynamodb::config::Credentials;
    use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
    use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
    use aws_smithy_runtime_api::http::StatusCode;
    use serde_json::Value;
    use sha2::{Digest as _, Sha256};

    use super::*;

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
    struct Service {
        status: u16,
        error_type: Option<&'static str>,
        body: &'static str,
        requests: Arc<Mutex<Vec<Request>>>,
    }

    impl HttpConnector for Service {
        fn call(&self, request: Request) -> HttpConnectorFuture {
            self.requests.lock().unwrap().push(request);
            let status = StatusCode::try_from(self.status).unwrap();
            let mut response = HttpResponse::new(status, SdkBody::from(self.body));
            if let Some(code) = self.error_type {
                response.headers_mut().insert("x-amzn-errortype", code);
            }
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    /// With credentials KEY1, KEY2, …, each valid for this long.
    async fn direct(service: Service, valid_for: Duration, endpoint_url: Option<&str>) -> Direct {
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
        let connector = SharedHttpConnector::new(service);
        Direct::new(connector, &config, endpoint_url).await.unwrap()
    }

    /// What two calls send, with credentials that are valid for so many seconds.
    async fn two_requests(valid_for: u64, endpoint_url: Option<&str>) -> Vec<Request> {
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let service = Service {
            status: 200,
            error_type: None,
            body: "{}",
            requests: requests.clone(),
        };
        let direct = direct(service, Duration::from_secs(valid_for), endpoint_url).await;
        for _ in 0..2 {
            direct.call(&Ask { limit: 1 }).await.unwrap();
        }
        std::mem::take(&mut *requests.lock().unwrap())
    }

    async fn answer(
        status: u16,
        error_type: Option<&'static str>,
        body: &'static str,
    ) -> Result<Value, SdkError> {
        let service = Service {
            status,
            error_type,
            body,
            requests: Arc::default(),
        };
        let direct = direct(service, Duration::from_secs(3_600), None).await;
        direct.call(&Ask { limit: 1 }).await
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
            (None, "<html>Bad gateway</html>", None, None),
        ] {
            let error = answer(400, error_type, body).await.unwrap_err();
            assert_eq!(error.code(), code, "{body}");
            assert_eq!(error.message(), message, "{body}");
            assert!(matches!(error, SdkError::ServiceError(_)), "{body}");
        }
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_no_answer() {
        for (status, body) in [
            (200, r#"{"Items":["#),
            (400, r#"{"__type":"com.amazonaws.dyn"#),
        ] {
            let error = answer(status, None, body).await.unwrap_err();
            assert!(matches!(error, SdkError::ResponseError(_)), "{error:?}");
        }
    }
}
