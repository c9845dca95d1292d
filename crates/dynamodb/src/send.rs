//! One way to call a service that speaks AWS JSON 1.0: a typed [`Call`] goes out, its typed answer comes back.
//!
//! What the SDK's operations do around each call (configuration, interceptors, builders) took more CPU than all the rest of
//! this program (bench/RESULTS.md). So a call is JSON by serde, signed by the SDK's own signer and sent through the SDK's
//! connections; its error is the SDK's own type as well.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BoxError, ErrorMetadata};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use aws_sdk_dynamodb::error::ProvideErrorMetadata;

use crate::connection::{CALL_TIMEOUT, Connection, with_slash};

/// AWS JSON 1.0, the protocol of DynamoDB.
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// A call: the input of one operation, which serialises as JSON with AWS's names.
pub trait Call: Serialize {
    /// The operation's name, as in "Scan".
    const OPERATION: &'static str;
    /// What the service answers.
    type Answer: DeserializeOwned;
}

/// A call that cannot change anything.
pub trait ReadCall: Call {}

/// A call whose answer is left as JSON: every field that the service sends, for a person to read.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct AsJson<C>(pub C);

impl<C: Call> Call for AsJson<C> {
    const OPERATION: &'static str = C::OPERATION;
    type Answer = serde_json::Value;
}

impl<C: ReadCall> ReadCall for AsJson<C> {}

/// Why a call has no answer that can be used: what the service said, or what became of the connection. The code of a refusal is
/// that of [`ProvideErrorMetadata::code`].
pub type SdkError = aws_sdk_dynamodb::error::SdkError<ErrorMetadata>;

/// A service that speaks AWS JSON 1.0.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its id in configuration files, as in "CloudWatch".
    pub id: &'static str,
    /// The name by which calls are signed, which begins the name of its host as well: "monitoring".
    pub signing_name: &'static str,
    /// What stands before the operation in `x-amz-target`.
    pub target: &'static str,
}

const DYNAMODB: Service = Service {
    id: "DynamoDB",
    signing_name: "dynamodb",
    target: "DynamoDB_20120810",
};

/// Sends calls to one service through a connection. Clones share connections and credentials.
#[derive(Debug, Clone)]
pub struct Sender {
    connection: Connection,
    service: Service,
    /// With a path that ends with "/".
    url: String,
}

/// Sends calls that read, and has no way to send others.
#[derive(Debug, Clone)]
pub struct ReadSender(Sender);

impl From<&Sender> for ReadSender {
    fn from(sender: &Sender) -> ReadSender {
        ReadSender(sender.clone())
    }
}

impl ReadSender {
    /// Reads from DynamoDB through this connection.
    pub fn new(connection: &Connection) -> ReadSender {
        ReadSender(Sender::new(connection))
    }

    /// Sends a call once, like [`Sender::call`].
    pub async fn call<C: ReadCall>(&self, call: &C) -> Result<C::Answer, SdkError> {
        self.0.call(call).await
    }
}

impl Sender {
    /// Sends to DynamoDB through this connection.
    pub fn new(connection: &Connection) -> Sender {
        Sender {
            connection: connection.clone(),
            service: DYNAMODB,
            url: connection.url().to_owned(),
        }
    }

    /// Sends to another service with the connection's region and credentials. `None` if the tables are on this machine and
    /// nothing says where the service is: no command of a rehearsal is to reach an account.
    pub fn to(connection: &Connection, service: Service) -> Option<Sender> {
        let url = match connection.endpoint_of(service.id) {
            Some(url) => url,
            None if connection.is_local() => return None,
            None => {
                let region = connection.region();
                let suffix = match region.starts_with("cn-") {
                    true => "amazonaws.com.cn",
                    false => "amazonaws.com",
                };
                format!("https://{}.{region}.{suffix}", service.signing_name)
            }
        };
        Some(Sender {
            connection: connection.clone(),
            service,
            url: with_slash(&url),
        })
    }

    /// Sends a call once and waits no longer than [`CALL_TIMEOUT`]. The caller decides about another try.
    pub async fn call<C: Call>(&self, call: &C) -> Result<C::Answer, SdkError> {
        match tokio::time::timeout(CALL_TIMEOUT, self.attempt(C::OPERATION, call)).await {
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
            .connection
            .identity()
            .await
            .map_err(SdkError::construction_failure)?;
        let mut request = self
            .request(operation, body, &identity)
            .map_err(SdkError::construction_failure)?;
        let connection = CaptureSmithyConnection::new();
        request.add_extension(connection.clone());
        let response = self
            .connection
            .connector()
            .call(request)
            .await
            .map_err(SdkError::dispatch_failure)?;
        let mut response = HttpResponse::from(response);
        if response.status().is_server_error()
            && let Some(connection) = connection.get()
        {
            // The next try is to meet another host, as with the SDK's own operations.
            connection.poison();
        }
        let received = ByteStream::new(response.take_body()).collect().await;
        let bytes = match received {
            Ok(received) => received.into_bytes(),
            Err(error) => return Err(SdkError::response_error(error, response)),
        };
        if !response.status().is_success() {
            let error = refusal(&response, &bytes);
            if is_cut_short(&bytes) {
                return Err(SdkError::response_error(
                    "the answer is cut short",
                    response,
                ));
            }
            if matches!(
                error.code(),
                Some("ExpiredTokenException" | "UnrecognizedClientException")
            ) {
                self.connection.forget_identity().await;
            }
            if error.code().is_some() {
                // It may hold more: see `details`.
                *response.body_mut() = SdkBody::from(bytes);
            }
            return Err(SdkError::service_error(error, response));
        }
        serde_json::from_slice(&bytes).map_err(|error| SdkError::response_error(error, response))
    }

    fn request(
        &self,
        operation: &str,
        body: Vec<u8>,
        identity: &Identity,
    ) -> Result<Request, BoxError> {
        let target = format!("{}.{operation}", self.service.target);
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(self.connection.region())
            .name(self.service.signing_name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let params = SigningParams::from(params);
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", &target)];
        let signable = SignableRequest::new(
            "POST",
            &self.url,
            headers.into_iter(),
            SignableBody::Bytes(&body),
        )?;
        let (signed, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri(self.url.as_str())?;
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
/// `com.amazonaws.dynamodb.v20120810#ThrottlingException`. Both are missing if something in between answered.
fn refusal(response: &HttpResponse, body: &[u8]) -> ErrorMetadata {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        code: Option<String>,
        message: Option<String>,
        #[serde(rename = "Message")]
        capital_message: Option<String>,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let header = response.headers().get("x-amzn-errortype");
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = header.or(refusal.code.as_deref()) {
        let code = code.rsplit('#').next().unwrap_or(code);
        // "ValidationException:http://…"
        metadata = metadata.code(code.split(':').next().unwrap_or(code));
    }
    let reasons = throttling_reasons(body);
    if let Some(message) = refusal.message.or(refusal.capital_message) {
        metadata = metadata.message(format!("{message}{reasons}"));
    }
    metadata.build()
}

/// What else a refusal says, by the fields of its JSON: the item of a failed condition, the reasons of a cancelled transaction.
/// `None` if the service did not answer, or not in this shape.
pub(crate) fn details<T: DeserializeOwned>(error: &SdkError) -> Option<T> {
    let SdkError::ServiceError(refused) = error else {
        return None;
    };
    serde_json::from_slice(refused.raw().body().bytes()?).ok()
}

/// " (TableWriteKeyRangeThroughputExceeded on arn:…)": why the table throttled, by reason and resource, if it says so.
fn throttling_reasons(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    struct Throttled {
        /// Of ProvisionedThroughputExceededException and RequestLimitExceeded.
        #[serde(rename = "ThrottlingReasons")]
        reasons: Option<Vec<Reason>>,
        /// Of ThrottlingException, which is what a table on demand answers with.
        #[serde(rename = "throttlingReasons")]
        reasons_on_demand: Option<Vec<Reason>>,
    }
    #[derive(Deserialize)]
    struct Reason {
        reason: Option<String>,
        resource: Option<String>,
    }
    // Apart from code and message: these must be known whatever becomes of the reasons.
    let throttled: Throttled = serde_json::from_slice(body).unwrap_or_default();
    let reasons = [throttled.reasons, throttled.reasons_on_demand];
    let named: BTreeSet<String> = reasons
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|reason| {
            let resource = reason.resource.as_deref().unwrap_or("an unnamed resource");
            Some(format!("{} on {resource}", reason.reason?))
        })
        .collect();
    if named.is_empty() {
        return String::new();
    }
    format!(" ({})", named.into_iter().collect::<Vec<_>>().join(", "))
}

/// True for an answer that ends in the middle, whatever its length was said to be: it would be whole another time.
fn is_cut_short(body: &[u8]) -> bool {
    let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    !body.is_empty() && parsed.is_err_and(|error| error.is_eof())
}

#[cfg(test)]
pub(crate) mod tests;
