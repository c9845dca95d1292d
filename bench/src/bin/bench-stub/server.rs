//! HTTP before the answers, with TLS or without.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::Result;
use crate::answers::{Answer, Stub, invalid};
use crate::inner::Inner;

/// What answers.
pub struct Server {
    pub stub: Stub,
    pub inner: Inner,
    /// Requests until now, of all kinds and for all tables.
    pub requests: AtomicU64,
    /// Bytes of the bodies of all answers to them.
    pub answered_bytes: AtomicU64,
}

/// What speaks TLS with a certificate made for it. That of the authority that has signed it goes into this file.
pub fn acceptor(authority: &Path) -> Result<TlsAcceptor> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = "the authority of bench-stub";
    params.distinguished_name.push(DnType::CommonName, name);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(authority, issuer.pem())?;
    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1"].map(String::from);
    let made = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    let private = PrivateKeyDer::try_from(key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], private)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Server {
    /// Serves whoever connects, until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            // A connection that fails at once is the client's affair.
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let (server, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move { server.connection(stream, tls).await });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match tls {
            None => self.speak(stream).await,
            // Whoever does not trust the certificate hangs up.
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    self.speak(stream).await;
                }
            }
        }
    }

    async fn speak(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.respond(request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        // A connection ends as its client ends it.
        let _ = http
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_report = request.method() == Method::GET;
        let (status, body) = match self.answer(request).await {
            Ok(answer) => answer,
            Err(error) => {
                eprintln!("bench-stub: {error}");
                let error = "com.amazonaws.dynamodb.v20120810#InternalServerError";
                (500, format!(r#"{{"__type":"{error}"}}"#).into_bytes())
            }
        };
        let bytes = if is_report { 0 } else { body.len() as u64 };
        self.answered_bytes.fetch_add(bytes, Ordering::Relaxed);
        let crc = crc32fast::hash(&body);
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status.try_into().unwrap_or_default();
        let headers = response.headers_mut();
        let json = "application/x-amz-json-1.0";
        headers.insert("content-type", json.parse().expect("it is ASCII"));
        headers.insert("x-amz-crc32", crc.into());
        headers.insert("x-amzn-requestid", REQUEST_ID.parse().expect("it is ASCII"));
        response
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Answer> {
        let (parts, body) = request.into_parts();
        if parts.method == Method::GET {
            let mut report = self.stub.report();
            report["requests"] = self.requests.load(Ordering::Relaxed).into();
            report["answered_bytes"] = self.answered_bytes.load(Ordering::Relaxed).into();
            return Ok((200, report.to_string().into_bytes()));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let body = body.collect().await?.to_bytes();
        let target = parts.headers.get("x-amz-target");
        let target = target.and_then(|target| target.to_str().ok()).unwrap_or("");
        let (_, operation) = target.rsplit_once('.').unwrap_or_default();
        let asked = match self.stub.reader.read(operation, &body) {
            Ok(asked) => asked,
            Err(message) => return Ok(invalid(&message)),
        };
        let statements = asked
            .as_ref()
            .map_or(1, |asked| self.stub.statements(asked));
        let time = self.stub.latency(statements);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        let Some(asked) = asked else {
            return self.inner.answer(&parts.headers, body).await;
        };
        if let Some(answer) = self.stub.answer(&asked) {
            return Ok(answer);
        }
        let (status, body) = self.inner.answer(&parts.headers, body).await?;
        let described = self.stub.described(&body).unwrap_or(body);
        Ok((status, described))
    }
}

/// As long as one of AWS's.
const REQUEST_ID: &str = "BENCHSTUBBENCHSTUBBENCHSTUBBENCHSTUBBENCHSTUBBENCHST";
