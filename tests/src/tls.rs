//! TLS on this machine, by certificates that are made for the test and gone with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A server's certificate, and files of those who might vouch for it.
pub struct Certificates {
    /// The certificate of the authority that has signed the server's.
    pub authority: PathBuf,
    /// That of another authority.
    pub other: PathBuf,
    /// The server's private key: a file of PEM without a certificate.
    pub key: PathBuf,
    acceptor: TlsAcceptor,
    _folder: TempDir,
}

impl Certificates {
    /// Makes them.
    pub fn make() -> Certificates {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::make("authority", folder.path());
        let other = Authority::make("other", folder.path());
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(String::from);
        let server = CertificateParams::new(names).expect("names of this machine");
        let server = server.signed_by(&key, &authority.issuer).expect("signed");
        let file = folder.path().join("server.key");
        std::fs::write(&file, key.serialize_pem()).expect("a file");
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], private)
            .expect("a certificate and its key");
        Certificates {
            authority: authority.file,
            other: other.file,
            key: file,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            _folder: folder,
        }
    }

    /// The endpoint by TLS of what listens at `behind`, until the test ends.
    pub async fn before(&self, behind: &str) -> String {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let behind = behind
            .strip_prefix("http://")
            .expect("an endpoint without TLS");
        let (acceptor, behind) = (self.acceptor.clone(), behind.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    // Whoever does not trust the certificate hangs up.
                    let mut outer = acceptor.accept(stream).await?;
                    let mut inner = tokio::net::TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        });
        format!("https://localhost:{port}")
    }
}

/// Somebody who vouches for servers.
struct Authority {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn make(name: &str, folder: &Path) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let common = format!("backfill test {name}");
        params.distinguished_name.push(DnType::CommonName, common);
        let certificate = params.self_signed(&key).expect("signed by itself");
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).expect("a file");
        let issuer = Issuer::new(params, key);
        Authority { file, issuer }
    }
}
