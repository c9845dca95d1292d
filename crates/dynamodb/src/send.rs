//! One way to call a service that speaks AWS JSON 1.0: a typed [`Call`] goes out, its typed answer comes back. What a service tells
//! over REST is got in the same way.
//!
//! What the SDK's operations do around each call (configuration, interceptors, builders) took more CPU than all the rest of
//! this program (bench/RESULTS.md). So a call is JSON by serde, signed as the SDK signs it, and sent over connections of our own; its
//! error is the SDK's type.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BoxError, ErrorMetadata};
use aws_smithy_types::body::SdkBody;
use backfill_core::{Error, ErrorKind, printable};
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use tokio::time::Instant;

pub use aws_sdk_dynamodb::error::ProvideErrorMetadata;

use crate::account::Account;
use crate::address::Address;
use crate::clock::{self, Skew};
use crate::connection::{Access, Connection};
pub use crate::hosts::{CLOUDWATCH, LAMBDA, SQS, Service};
use crate::hosts::{DYNAMODB, STREAMS};
use crate::line::{Request, Response, peer_of};
use crate::outage::Calls;
use crate::signature::Signable;
use crate::trouble::{Form, Peer, Trouble, What};

/// AWS JSON 1.0, the protocol of DynamoDB.
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// What a service that speaks JSON over REST is sent.
const REST_CONTENT_TYPE: &str = "application/json";

/// Who calls.
const OURSELVES: &str = concat!("backfill/", env!("CARGO_PKG_VERSION"));

/// A call: the input of one operation, which serialises as JSON with AWS's names.
pub trait Call: Serialize {
    /// The operation's name, as in "Scan".
    const OPERATION: &'static str;
    /// What the service answers.
    type Answer: DeserializeOwned + Send;

    /// What is sent: the input as JSON.
    fn body(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// The answer, if there is a quicker way than serde's to read this JSON, and it is of the form that this takes.
    fn read_quickly(_json: &str) -> Option<Self::Answer> {
        None
    }
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

/// Sends calls to one service through a connection. Clones share connections and credentials.
#[derive(Debug, Clone)]
pub struct Sender {
    connection: Connection,
    service: Service,
    /// With a path that ends with "/"; `None` for DynamoDB, whose URL follows from the credentials.
    address: Option<Arc<Address>>,
    /// It sends what is about the records of runs.
    is_of_records: bool,
}

/// What is sent, but for the signature.
struct Message<'a> {
    /// The operation's name, as in "Scan".
    operation: &'static str,
    method: &'static str,
    /// What is added to the service's URL.
    path: &'a str,
    /// What is added to that; empty without a path.
    query: &'a [(&'a str, &'a str)],
    /// The headers that are signed.
    headers: &'a [(&'static str, &'a str)],
    body: Bytes,
}

/// Reads what is answered, and keeps it.
type ReadAnswer<'a> = &'a mut (dyn FnMut(&str) -> serde_json::Result<()> + Send);

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

    /// Asks for what is at a path, as [`Sender::get`] does, with these parameters of the query.
    pub async fn get<A: DeserializeOwned + Send>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<A, SdkError> {
        self.0.rest("GET", path, query, Bytes::new()).await
    }
}

impl Sender {
    /// Sends to DynamoDB through this connection.
    pub fn new(connection: &Connection) -> Sender {
        Sender {
            connection: connection.clone(),
            service: DYNAMODB,
            address: None,
            is_of_records: false,
        }
    }

    /// Sends to DynamoDB what is about the records of runs: whether it is answered says nothing of the calls that are about items.
    pub(crate) fn of_records(connection: &Connection) -> Sender {
        Sender {
            is_of_records: true,
            ..Sender::new(connection)
        }
    }

    /// Sends to another service with the connection's region and credentials. `None` if the tables are on this machine and
    /// nothing says where the service is: no command of a rehearsal is to reach an account.
    ///
    /// Errors: `InvalidInput` with what the rules for endpoints object to.
    pub async fn to(
        connection: &Connection,
        service: Service,
    ) -> backfill_core::Result<Option<Sender>> {
        if connection.is_local() && connection.endpoint_of(service.id).is_none() {
            return Ok(None);
        }
        let url = connection.url_of(&service, None).await?;
        Ok(Some(Sender::at(connection, service, url)?))
    }

    /// Sends to DynamoDB's streams with the connection's region and credentials.
    ///
    /// Errors: `InvalidInput` with what the rules for endpoints object to.
    pub(crate) async fn to_streams(connection: &Connection) -> backfill_core::Result<Sender> {
        // Without credentials the first call says so.
        let access = connection.access().await.ok();
        let account = access.map(|access| Account::of(&access.identity));
        let account = account.as_ref().and_then(Account::told);
        let url = connection.url_of(&STREAMS, account).await?;
        Sender::at(connection, STREAMS, url)
    }

    fn at(connection: &Connection, service: Service, url: String) -> backfill_core::Result<Sender> {
        let address = Address::of(url).map_err(|error| Error::invalid("endpoint-url", error))?;
        Ok(Sender {
            connection: connection.clone(),
            service,
            address: Some(Arc::new(address)),
            is_of_records: false,
        })
    }

    /// Sends a call and waits no longer than [`CALL_TIMEOUT`](crate::CALL_TIMEOUT). The caller decides about another try, with two exceptions that no
    /// caller could decide on: credentials that are refused are renewed, and a clock that is refused is corrected, and then the call
    /// is sent once more.
    pub async fn call<C: Call>(&self, call: &C) -> Result<C::Answer, SdkError> {
        let body = call.body().map_err(SdkError::construction_failure)?;
        let target = format!("{}.{}", self.service.target, C::OPERATION);
        let message = Message {
            operation: C::OPERATION,
            method: "POST",
            path: "",
            query: &[],
            headers: &[("content-type", CONTENT_TYPE), ("x-amz-target", &target)],
            body: body.into(),
        };
        self.answer(&message, C::read_quickly).await
    }

    /// Asks for what is at a path of a service that speaks JSON over REST, such as `2016-08-19/account-settings/`, as
    /// [`Sender::call`] does.
    pub async fn get<A: DeserializeOwned + Send>(&self, path: &str) -> Result<A, SdkError> {
        self.rest("GET", path, &[], Bytes::new()).await
    }

    /// Changes what is at such a path to this, as [`Sender::call`] does.
    pub(crate) async fn put<A: DeserializeOwned + Send>(
        &self,
        path: &str,
        change: &impl Serialize,
    ) -> Result<A, SdkError> {
        let body = serde_json::to_vec(change).map_err(SdkError::construction_failure)?;
        self.rest("PUT", path, &[], body.into()).await
    }

    async fn rest<A: DeserializeOwned + Send>(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<A, SdkError> {
        let headers: &[_] = match body.is_empty() {
            true => &[],
            false => &[("content-type", REST_CONTENT_TYPE)],
        };
        let message = Message {
            operation: method,
            method,
            path,
            query,
            headers,
            body,
        };
        self.answer(&message, |_| None).await
    }

    async fn answer<A: DeserializeOwned + Send>(
        &self,
        message: &Message<'_>,
        read_quickly: fn(&str) -> Option<A>,
    ) -> Result<A, SdkError> {
        let mut answer = None;
        let mut read = |text: &str| {
            answer = Some(match read_quickly(text) {
                Some(answer) => answer,
                None => serde_json::from_str(text)?,
            });
            Ok(())
        };
        self.send(message, &mut read).await?;
        Ok(answer.expect("what is answered was read"))
    }

    // It knows no kind of answer: there would be a copy of all that follows for each of them in the functions.
    async fn send(&self, message: &Message<'_>, read: ReadAnswer<'_>) -> Result<(), SdkError> {
        let mut is_second = false;
        loop {
            let begin = Instant::now();
            let mut number = None;
            let attempt = self.attempt(message, &mut *read, begin, &mut number);
            let limit = self.connection.call_timeout();
            let error = match tokio::time::timeout(limit, attempt).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) if number.is_none() => SdkError::construction_failure(Error::new(
                    ErrorKind::Unavailable,
                    "the AWS credentials were not given in time; is a credential_process waiting for somebody?",
                )),
                Err(_) => {
                    let trouble = Trouble::new(What::NoAnswer, self.peer().await);
                    self.troubled(message, begin, trouble)
                }
            };
            if !self.mended(&error, number).await || is_second {
                return Err(error);
            }
            is_second = true;
        }
    }

    /// Who answers.
    async fn peer(&self) -> Peer {
        match (&self.address, self.connection.access().await) {
            (Some(address), _) => peer_of(address.url()),
            (None, Ok(access)) => peer_of(access.address.url()),
            (None, Err(_)) => peer_of(""),
        }
    }

    /// What kind of call this is.
    fn calls(&self, message: &Message<'_>) -> Calls {
        Calls {
            operation: message.operation,
            is_of_records: self.is_of_records,
        }
    }

    /// A call that began at this time has met with trouble.
    fn troubled(&self, message: &Message<'_>, begin: Instant, trouble: Trouble) -> SdkError {
        let calls = self.calls(message);
        SdkError::construction_failure(self.connection.troubled(calls, begin, trouble))
    }

    /// Does about a refusal what can be done at once, by credentials or clock. True if the call may succeed then. `number` is
    /// that of the access by which it was made.
    async fn mended(&self, error: &SdkError, number: Option<u64>) -> bool {
        let (Some(code), Some(number)) = (error.code(), number) else {
            return false;
        };
        if matches!(
            code,
            "ExpiredTokenException" | "ExpiredToken" | "UnrecognizedClientException"
        ) {
            tracing::debug!(code, "the credentials are refused and asked for anew");
            self.connection.forget(number).await;
            return true;
        }
        let Some(blamed) = clock::blamed(error, SystemTime::now()) else {
            return false;
        };
        if let Some(skew) = blamed.skew
            && self.connection.correct_clock(skew)
        {
            let clock = match skew == Skew::default() {
                true => "right again".to_owned(),
                false => skew.words(),
            };
            tracing::warn!("the clock of this machine is {clock}; calls are signed by AWS's time");
        }
        true
    }

    async fn attempt(
        &self,
        message: &Message<'_>,
        read: ReadAnswer<'_>,
        begin: Instant,
        number: &mut Option<u64>,
    ) -> Result<(), SdkError> {
        let access = self
            .connection
            .access()
            .await
            .map_err(SdkError::construction_failure)?;
        *number = Some(access.number);
        let address = self.address.as_ref().unwrap_or(&access.address);
        let address = match message.path {
            "" => Cow::Borrowed(&**address),
            path => {
                let below = address.below(path, message.query);
                Cow::Owned(below.map_err(SdkError::construction_failure)?)
            }
        };
        let request = self
            .request(message, &address, &access)
            .map_err(SdkError::construction_failure)?;
        let troubled = |what| {
            let peer = peer_of(address.url());
            self.troubled(message, begin, Trouble::new(what, peer))
        };
        let line = self.connection.line();
        let response = line
            .carry(&address, request)
            .await
            .map_err(|trouble| self.troubled(message, begin, trouble))?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let error = refusal(&response);
            if is_cut_short(response.body()) {
                return Err(troubled(What::CutShort));
            }
            if error.code().is_none() {
                return Err(troubled(What::Foreign(status, Form::of(response.body()))));
            }
            self.connection.is_answered(self.calls(message));
            // The body may hold more: see `details`.
            let response = HttpResponse::try_from(response.map(SdkBody::from));
            let response = response.map_err(SdkError::construction_failure)?;
            return Err(SdkError::service_error(error, response));
        }
        let bytes = response.body();
        let misshapen = || match is_json(bytes) {
            true => troubled(What::Misshapen),
            false => troubled(What::Foreign(status, Form::of(bytes))),
        };
        // That it is text is looked at once for the whole, and not for each text in it.
        let text = std::str::from_utf8(bytes).map_err(|_| match is_cut_short(bytes) {
            true => troubled(What::CutShort),
            false => misshapen(),
        })?;
        read(text).map_err(|error| match error.classify() {
            Category::Eof if !text.is_empty() => troubled(What::CutShort),
            Category::Data => troubled(What::Misshapen),
            _ => misshapen(),
        })?;
        self.connection.is_answered(self.calls(message));
        Ok(())
    }

    fn request(
        &self,
        message: &Message<'_>,
        address: &Address,
        access: &Access,
    ) -> Result<Request, BoxError> {
        let signature = access.signer.sign(
            self.service.signing_name,
            self.connection.now(),
            &Signable {
                method: message.method,
                address,
                headers: message.headers,
                body: &message.body,
            },
        );
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = message.method.parse()?;
        *request.uri_mut() = address.uri().clone();
        let headers = request.headers_mut();
        headers.insert(HOST, address.host().try_into()?);
        for (name, value) in message.headers {
            headers.insert(HeaderName::from_static(name), (*value).try_into()?);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
        headers.insert("x-amz-date", signature.date.try_into()?);
        headers.insert(AUTHORIZATION, signature.authorization.try_into()?);
        if let Some(token) = access.signer.token() {
            headers.insert("x-amz-security-token", token.try_into()?);
        }
        Ok(request)
    }
}

/// Code and message of an answer that is no success (developer guide, Error handling with DynamoDB): a code such as
/// `com.amazonaws.dynamodb.v20120810#ThrottlingException`. Both are missing if something in between answered.
fn refusal(response: &Response) -> ErrorMetadata {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        code: Option<String>,
        message: Option<String>,
        #[serde(rename = "Message")]
        capital_message: Option<String>,
    }
    let body = response.body();
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let header = response.headers().get("x-amzn-errortype");
    let header = header.and_then(|header| header.to_str().ok());
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = header.or(refusal.code.as_deref()) {
        let code = code.rsplit('#').next().unwrap_or(code);
        // "ValidationException:http://…"
        metadata = metadata.code(printable(code.split(':').next().unwrap_or(code)));
    }
    let reasons = throttling_reasons(body);
    if let Some(message) = refusal.message.or(refusal.capital_message) {
        metadata = metadata.message(printable(&format!("{message}{reasons}")));
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

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// True for an answer that ends in the middle, whatever its length was said to be: it would be whole another time.
fn is_cut_short(body: &[u8]) -> bool {
    let parsed = serde_json::from_slice::<IgnoredAny>(body);
    !body.is_empty() && parsed.is_err_and(|error| error.is_eof())
}

#[cfg(test)]
pub(crate) mod tests;
