//! The way to a service: every timeout explicit, by a proxy if the environment names one, with certificates that are trusted, and no
//! answer longer than DynamoDB's can be. All that a process sends goes this way, whoever sends it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::ConnectorError;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;
use backfill_core::{Error, Result};
use http::Uri;
use http_body_util::Limited;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::hosts::is_near;
use crate::trouble::{Peer, Trouble, What};

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

/// The way to a service. Clones share connections.
#[derive(Clone)]
pub(crate) struct Line {
    /// To this machine, and to what gives a machine its credentials.
    direct: SharedHttpConnector,
    /// To everything else.
    far: SharedHttpConnector,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// By what the environment says of proxies and certificates.
    ///
    /// Errors: `InvalidInput` if the certificates cannot be read.
    pub(crate) fn open() -> Result<Line> {
        let trust = trust()?;
        let connector = |proxies: ProxyConfig| {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(CALL_TIMEOUT)
                .build();
            let connector = Connector::builder()
                .connector_settings(settings)
                .proxy_config(proxies)
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(trust.clone())
                .build();
            SharedHttpConnector::new(connector)
        };
        Ok(Line {
            direct: connector(ProxyConfig::disabled()),
            far: connector(ProxyConfig::from_env()),
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
    pub(crate) fn client(connector: &SharedHttpConnector) -> SharedHttpClient {
        let connector = connector.clone();
        http_client_fn(move |_, _| connector.clone())
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

/// Whose certificates are trusted: the system's, or those of [`CA_BUNDLE`].
fn trust() -> Result<TlsContext> {
    let store = match std::env::var_os(CA_BUNDLE).filter(|value| !value.is_empty()) {
        None => TrustStore::default(),
        Some(file) => {
            let pem = read_certificates(Path::new(&file))?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    let context = TlsContext::builder().with_trust_store(store).build();
    context.map_err(|error| Error::invalid(CA_BUNDLE, error))
}

/// The certificates of a file, each of which can be read: the connector would panic at one that cannot.
fn read_certificates(file: &Path) -> Result<Vec<u8>> {
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
    Ok(pem)
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

impl HttpConnector for Line {
    fn call(&self, request: Request) -> HttpConnectorFuture {
        let url = request.uri().to_owned();
        let host = url.parse::<Uri>().ok();
        let is_near = host.as_ref().and_then(Uri::host).is_some_and(is_near);
        let call = match is_near {
            true => self.direct.call(request),
            false => self.far.call(request),
        };
        HttpConnectorFuture::new(async move {
            let response = call.await.map_err(|error| told(error, &url))?;
            let length = response.headers().get("content-length");
            let length = length.and_then(|length| length.parse::<u64>().ok());
            if length.is_some_and(|length| length > MAX_ANSWER as u64) {
                let trouble = Trouble::new(What::TooLong, peer_of(&url));
                return Err(ConnectorError::other(trouble.into(), None));
            }
            Ok(bounded(response))
        })
    }
}

/// The answer, with a body that ends in an error if it is too long.
fn bounded(response: HttpResponse) -> HttpResponse {
    response.map(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER)))
}

/// A connector's error with the sentence in it, and what the SDK's own clients go by.
fn told(error: ConnectorError, url: &str) -> ConnectorError {
    let trouble = Trouble::of(&error, || peer_of(url));
    let (is_timeout, is_io, is_user) = (error.is_timeout(), error.is_io(), error.is_user());
    match () {
        () if is_timeout => ConnectorError::timeout(trouble.into()),
        () if is_io => ConnectorError::io(trouble.into()),
        () if is_user => ConnectorError::user(trouble.into()),
        () => ConnectorError::other(trouble.into(), error.as_other()),
    }
}

#[cfg(test)]
mod tests;
