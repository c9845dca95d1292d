//! The way to a service: every timeout explicit, by a proxy if the environment names one, with certificates that are trusted, and no
//! answer longer than DynamoDB's can be. All that a process sends goes this way, whoever sends it.
//!
//! Connections are those of hyper, HTTP/1.1, and are kept open here. The clients that could keep them do for each request what costs
//! about as much as the request itself.

mod way;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_types::body::SdkBody;
use backfill_core::{Error, Result};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Uri, response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::{Instant, timeout};

use self::way::{Forward, Ways};
use crate::address::Address;
use crate::hosts::is_near;
use crate::trouble::{Peer, Trouble, What};

/// What is sent, to the whole URL of its address.
pub(crate) type Request = http::Request<Full<Bytes>>;
/// What is answered, with all of its body.
pub(crate) type Response = http::Response<Bytes>;

/// Time to set up a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one call. A page of 1 MB takes a fraction of a second; what takes longer is lost.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer. DynamoDB's own limit is 16 MB (BatchGetItem), which no call here asks for; what would be more, by a batch of
/// large items that are written in a long form, is asked for in parts.
const MAX_ANSWER: usize = 17 * 1024 * 1024;

/// The variable that names a file of certificates to be trusted in the place of the system's, as for AWS's other tools.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// The variables by which proxies are named, for each scheme of an endpoint, in their order.
const PROXIES: [(&str, [&str; 4]); 2] = [
    (
        "https",
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
    ),
    (
        "http",
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    ),
];

/// A connection that nobody used for so long is left: whoever is between may have forgotten it.
const IDLE: Duration = Duration::from_secs(90);

/// Takes a request to where it goes, and brings back the answer.
pub(crate) trait Carrier: fmt::Debug + Send + Sync {
    /// Sends a request once.
    fn carry<'a>(&'a self, address: &'a Address, request: Request) -> Carrying<'a>;
}

pub(crate) type Carrying<'a> =
    Pin<Box<dyn Future<Output = std::result::Result<Response, Trouble>> + Send + 'a>>;

/// The way to a service. Clones share connections.
#[derive(Clone)]
pub(crate) struct Line(Arc<Inner>);

struct Inner {
    ways: Ways,
    /// Connections that nobody uses at the moment, by the server that they lead to. The last is that which was used last.
    idle: Mutex<BTreeMap<String, Vec<Open>>>,
}

/// A connection.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    forward: Option<Forward>,
    since: Instant,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Carrier for Line {
    fn carry<'a>(&'a self, address: &'a Address, request: Request) -> Carrying<'a> {
        Box::pin(self.exchange(address, request))
    }
}

impl Line {
    /// By what the environment says of proxies and certificates.
    ///
    /// Errors: `InvalidInput` if the certificates cannot be read.
    pub(crate) fn open() -> Result<Line> {
        Ok(Line(Arc::new(Inner {
            ways: Ways::new(Matcher::from_env(), trust()?),
            idle: Mutex::default(),
        })))
    }

    async fn exchange(
        &self,
        address: &Address,
        mut request: Request,
    ) -> std::result::Result<Response, Trouble> {
        loop {
            let (mut open, is_used) = match self.kept(address).await {
                Some(open) => (open, true),
                None => (self.connected(address).await?, false),
            };
            match &open.forward {
                None => *request.uri_mut() = address.target().clone(),
                Some(forward) => {
                    *request.uri_mut() = address.uri().clone();
                    if let Some(authorization) = &forward.authorization {
                        let headers = request.headers_mut();
                        headers.insert(PROXY_AUTHORIZATION, authorization.clone());
                    }
                }
            }
            match open.sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = read(&head, body, address).await?;
                    // The next try after a host's failure is to meet another host, as with the SDK's own operations.
                    if !head.status.is_server_error() {
                        self.keep(address, open);
                    }
                    return Ok(http::Response::from_parts(head, body));
                }
                // The other side has ended the connection while nobody used it, and nothing was sent.
                Err(mut error) => match error.take_message().filter(|_| is_used) {
                    Some(unsent) => request = unsent,
                    None => {
                        let peer = || peer_of(address.url());
                        return Err(Trouble::of(&error.into_error(), peer));
                    }
                },
            }
        }
    }

    /// A connection that was used before, and can be used now.
    async fn kept(&self, address: &Address) -> Option<Open> {
        loop {
            let last = {
                let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.get_mut(address.origin())?.pop()
            };
            let mut open = last?;
            if open.since.elapsed() < IDLE && open.sender.ready().await.is_ok() {
                return Some(open);
            }
        }
    }

    fn keep(&self, address: &Address, mut open: Open) {
        open.since = Instant::now();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.get_mut(address.origin()) {
            Some(kept) => {
                if kept
                    .first()
                    .is_some_and(|first| first.since.elapsed() > IDLE)
                {
                    kept.remove(0);
                }
                kept.push(open);
            }
            None => {
                idle.insert(address.origin().to_owned(), vec![open]);
            }
        }
    }

    async fn connected(&self, address: &Address) -> std::result::Result<Open, Trouble> {
        let peer = || peer_of(address.url());
        let connecting = self.0.ways.connect(address.uri());
        let (stream, forward) = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(Trouble::of(&*error, peer)),
            Err(_) => return Err(Trouble::new(What::NoConnection, peer())),
        };
        let (sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(|error| Trouble::of(&error, peer))?;
        // An error of the connection is also that of the request on it.
        tokio::spawn(connection);
        Ok(Open {
            sender,
            forward,
            since: Instant::now(),
        })
    }

    /// Refuses a proxy that an endpoint would be reached by, and cannot.
    ///
    /// Errors: `InvalidInput` that begins with the variable.
    pub(crate) fn check_proxy(url: &str) -> Result<()> {
        let Ok(uri) = url.parse::<Uri>() else {
            return Ok(());
        };
        if uri.host().is_none_or(is_near) {
            return Ok(());
        }
        let of_scheme = |(scheme, _): &&(&str, _)| uri.scheme_str() == Some(*scheme);
        let variables = PROXIES.iter().find(of_scheme).map(|(_, names)| names);
        let named = variables.into_iter().flatten().find_map(|name| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        let Some((name, value)) = named else {
            return Ok(());
        };
        // By the rules by which calls are sent: NO_PROXY may take the endpoint out.
        let everything = Matcher::builder()
            .all("http://proxy")
            .no(no_proxy())
            .build();
        if everything.intercept(&uri).is_none() || is_usable(&value) {
            return Ok(());
        }
        Err(Error::invalid(
            name,
            "expected the URL of a proxy, http://HOST:PORT or https://HOST:PORT; other proxies (SOCKS) are not supported: \
             unset the variable, or name the endpoint's host in NO_PROXY",
        ))
    }

    /// For the clients of the SDK.
    pub(crate) fn client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(ForTheSdk(self.clone()));
        http_client_fn(move |_, _| connector.clone())
    }
}

/// All of an answer's body, unless it is too long.
async fn read(
    head: &response::Parts,
    body: Incoming,
    address: &Address,
) -> std::result::Result<Bytes, Trouble> {
    let length = head.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_ANSWER as u64) {
        return Err(Trouble::new(What::TooLong, peer_of(address.url())));
    }
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(Trouble::of_body(&*error, peer_of(address.url()))),
    }
}

/// As the connections read it: the first of the two names that is set.
fn no_proxy() -> String {
    let of = |name| std::env::var(name).ok();
    of("NO_PROXY")
        .or_else(|| of("no_proxy"))
        .unwrap_or_default()
}

/// True for what connections can go by. Anything else would be left aside in silence.
fn is_usable(proxy: &str) -> bool {
    let uri = proxy.parse::<Uri>().ok();
    uri.is_some_and(|uri| {
        uri.authority().is_some() && matches!(uri.scheme_str(), None | Some("http" | "https"))
    })
}

/// Whose certificates are trusted: those of [`CA_BUNDLE`]; `None` if it is not set, which means the system's.
fn trust() -> Result<Option<RootCertStore>> {
    let file = std::env::var_os(CA_BUNDLE).filter(|value| !value.is_empty());
    file.map(|file| read_certificates(Path::new(&file)))
        .transpose()
}

/// The certificates of a file, each of which can be read.
fn read_certificates(file: &Path) -> Result<RootCertStore> {
    let shown = file.display();
    let refused = |why: String| {
        Error::invalid(
            CA_BUNDLE,
            format!("{why}; expected a file of certificates in PEM, or unset the variable"),
        )
    };
    let pem = std::fs::read(file).map_err(|error| refused(format!("{shown}: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let is_read = certificate.is_ok_and(|certificate| roots.add(certificate).is_ok());
        if !is_read {
            let nth = roots.len() + 1;
            return Err(refused(format!("{shown}: certificate {nth} is none")));
        }
    }
    if roots.is_empty() {
        return Err(refused(format!("{shown} holds no certificate")));
    }
    Ok(roots)
}

/// Who is to answer at a URL.
pub(crate) fn peer_of(url: &str) -> Peer {
    let uri: Uri = url.parse().unwrap_or_default();
    let proxy = match uri.host().is_some_and(is_near) {
        true => None,
        false => Matcher::from_env().intercept(&uri),
    };
    Peer::new(&uri, proxy.as_ref().map(|proxy| proxy.uri()))
}

/// The same way for the clients of the SDK, which have requests, answers and errors of their own.
#[derive(Debug)]
struct ForTheSdk(Line);

impl HttpConnector for ForTheSdk {
    fn call(&self, request: aws_smithy_runtime_api::http::Request) -> HttpConnectorFuture {
        let line = self.0.clone();
        HttpConnectorFuture::new(async move {
            let address = Address::of(request.uri().to_owned()).map_err(ConnectorError::user)?;
            let request = request.try_into_http1x();
            let (head, body) = request
                .map_err(|error| ConnectorError::user(error.into()))?
                .into_parts();
            let body = body.collect().await.map_err(ConnectorError::user)?;
            let mut request = Request::from_parts(head, Full::new(body.to_bytes()));
            let host = HeaderValue::from_str(address.host());
            let host = host.map_err(|error| ConnectorError::user(error.into()))?;
            request.headers_mut().entry(HOST).or_insert(host);
            let carried = timeout(CALL_TIMEOUT, line.exchange(&address, request)).await;
            let no_answer = |_| Err(Trouble::new(What::NoAnswer, peer_of(address.url())));
            let response = carried.unwrap_or_else(no_answer).map_err(told)?;
            let response = HttpResponse::try_from(response.map(SdkBody::from));
            response.map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What became of a call in the terms that the SDK's own clients go by.
fn told(trouble: Trouble) -> ConnectorError {
    match trouble.what() {
        What::NoAnswer | What::NoConnection => ConnectorError::timeout(trouble.into()),
        What::TooLong => ConnectorError::other(trouble.into(), None),
        _ => ConnectorError::io(trouble.into()),
    }
}

#[cfg(test)]
mod tests;
