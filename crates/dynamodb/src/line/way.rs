//! How a connection comes about: straight on, or by a proxy, which passes requests on (http) or bytes (https).

use std::sync::{Arc, OnceLock};

use aws_sdk_dynamodb::error::BoxError;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tower_service::Service as _;

use crate::hosts::is_near;

/// What bytes come and go by.
pub(super) trait Stream: Read + Write + Send + Unpin {}

impl<S: Read + Write + Send + Unpin> Stream for S {}

/// A connection leads to a proxy that passes requests on, and is told the whole URL of each.
pub(super) struct Forward {
    /// User and password.
    pub(super) authorization: Option<HeaderValue>,
}

type Connected = (Box<dyn Stream>, Option<Forward>);

/// The ways that the environment allows.
pub(super) struct Ways {
    proxies: Matcher,
    /// `None` stands for the system's certificates.
    trusted: Option<RootCertStore>,
    /// Made for the first connection that needs it: reading all certificates of a system takes longer than connecting to a database on
    /// this machine.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Ways {
    pub(super) fn new(proxies: Matcher, trusted: Option<RootCertStore>) -> Ways {
        Ways {
            proxies,
            trusted,
            tls: OnceLock::new(),
        }
    }

    /// A connection to the server of a URL, and what a proxy that passes requests on is to be told.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Connected, BoxError> {
        let is_tls = uri.scheme_str() == Some("https");
        let proxy = match uri.host().is_none_or(is_near) {
            true => None,
            false => self.proxies.intercept(uri),
        };
        let Some(proxy) = proxy else {
            let stream: Box<dyn Stream> = match is_tls {
                true => Box::new(self.https()?.call(uri.clone()).await?),
                false => Box::new(http().call(uri.clone()).await?),
            };
            return Ok((stream, None));
        };
        if is_tls {
            return Ok((self.tunnel(uri, &proxy).await?, None));
        }
        let stream = self.https()?.call(proxy.uri().clone()).await?;
        let forward = Forward {
            authorization: proxy.basic_auth().cloned(),
        };
        Ok((Box::new(stream), Some(forward)))
    }

    /// TLS with the server, through a proxy that sees none of it.
    async fn tunnel(&self, uri: &Uri, proxy: &Intercept) -> Result<Box<dyn Stream>, BoxError> {
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.https()?);
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let stream = tunnel.call(uri.clone()).await?;
        let host = uri.host().ok_or("the URL names no host")?;
        let name = ServerName::try_from(host.to_owned())?;
        let connecting = TlsConnector::from(self.tls()?).connect(name, TokioIo::new(stream));
        Ok(Box::new(TokioIo::new(connecting.await?)))
    }

    fn https(&self) -> Result<HttpsConnector<HttpConnector>, BoxError> {
        Ok(HttpsConnector::from((http(), self.tls()?)))
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, BoxError> {
        if let Some(made) = self.tls.get() {
            return Ok(made.clone());
        }
        let trusted = self.trusted.clone().unwrap_or_else(|| {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            roots
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(self.tls.get_or_init(|| Arc::new(config)).clone())
    }
}

/// Connects to a host by its name, without TLS.
fn http() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    // A small request is not to wait for the answer to another.
    connector.set_nodelay(true);
    connector
}
