//! Why a call has no answer that the service gave, as a sentence for a person: who did not answer, what became of the call, and what
//! to look at. Nothing of what was asked or answered stands in it, since that may be an item.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind as Io;

use aws_sdk_dynamodb::error::ErrorMetadata;
use backfill_core::ErrorKind;
use http::Uri;
use http_body_util::LengthLimitError;
use rustls::{CertificateError, Error as Tls};

/// A call that has no answer of the service.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    what: What,
    peer: Peer,
}

/// Who was to answer.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// "127.0.0.1:8000", "dynamodb.eu-west-1.amazonaws.com".
    host: String,
    /// Host and port of the proxy by which it is reached.
    proxy: Option<String>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The name of the host has no address.
    Unknown,
    /// Nothing listens there.
    Refused,
    /// No network leads there.
    NoWay,
    /// Nothing was set up in time.
    NoConnection,
    /// Something was set up, and then nothing came in time.
    NoAnswer,
    /// The certificate is not one to trust.
    Certificate(Distrust),
    /// What answers speaks no TLS, or none of ours.
    NoTls,
    /// The proxy does not let anybody through without a password.
    ProxyPassword,
    /// The proxy does not connect to the host.
    ProxyRefuses,
    /// The other side ended the connection before its answer.
    Ended,
    /// The answer ended in the middle.
    CutShort,
    /// The answer is longer than any of DynamoDB's.
    TooLong,
    /// The answer is none of the service's: of this status, and in this form.
    Foreign(u16, Form),
    /// The answer is JSON, and not what was asked for.
    Misshapen,
    /// Whatever else becomes of a connection.
    Else,
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distrust {
    Issuer,
    Name,
    Time,
    Else,
}

/// What an answer that is none of the service's looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Nothing,
    Html,
    Gzip,
    Json,
    Else,
}

impl Form {
    /// By how a body begins.
    pub(crate) fn of(body: &[u8]) -> Form {
        let text = body.trim_ascii_start();
        match text.first() {
            None => Form::Nothing,
            Some(b'<') => Form::Html,
            Some(b'{' | b'[') => Form::Json,
            Some(0x1f) if text.get(1) == Some(&0x8b) => Form::Gzip,
            Some(_) => Form::Else,
        }
    }
}

impl Peer {
    pub(crate) fn new(uri: &Uri, proxy: Option<&Uri>) -> Peer {
        Peer {
            host: host_of(uri),
            proxy: proxy.map(host_of),
        }
    }
}

/// Host, and port unless it is the usual one. Never a user or a password.
fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or("an unnamed host");
    match uri.port_u16() {
        None | Some(443 | 80) => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

impl Trouble {
    pub(crate) fn new(what: What, peer: Peer) -> Trouble {
        Trouble { what, peer }
    }

    pub(crate) fn what(&self) -> What {
        self.what
    }

    /// The trouble that an error is about; `None` if it is about something else.
    pub(crate) fn in_chain<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Trouble> {
        chain(error).find_map(|error| error.downcast_ref::<Trouble>())
    }

    /// By what is said of a connection.
    pub(crate) fn of(error: &(dyn StdError + 'static), peer: impl FnOnce() -> Peer) -> Trouble {
        Trouble::new(What::of_connection(error), peer())
    }

    /// By what becomes of an answer that has begun.
    pub(crate) fn of_body(error: &(dyn StdError + 'static), peer: Peer) -> Trouble {
        let is_too_long = chain(error).any(|error| error.is::<LengthLimitError>());
        let what = match is_too_long {
            true => What::TooLong,
            false => What::CutShort,
        };
        Trouble::new(what, peer)
    }

    /// What it means for the call, if that does not depend on how long it lasts.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        match self.what {
            What::Misshapen => Some(ErrorKind::Internal),
            What::Foreign(429, _) => Some(ErrorKind::Throttled),
            // It has taken too long, or it is too early: the next one need not be.
            What::Foreign(408 | 425, _) => None,
            What::Foreign(400..500, _) => Some(ErrorKind::Internal),
            _ => None,
        }
    }

    /// True if something answers in the service's place, which nobody waits for to end.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.what, What::TooLong | What::Foreign(..400, _))
    }
}

/// An error and what it comes from. The inner error of an I/O error is no source of it by itself.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

impl What {
    fn of_connection(error: &(dyn StdError + 'static)) -> What {
        // That a name has no address, and what a proxy says, is said in words alone (hyper-util, client/legacy/connect/http.rs and
        // proxy/tunnel.rs).
        let says = |words: &str| chain(error).any(|error| error.to_string().contains(words));
        let io = |kinds: &[Io]| {
            chain(error)
                .filter_map(|error| error.downcast_ref::<std::io::Error>())
                .any(|error| kinds.contains(&error.kind()))
        };
        if let Some(tls) = chain(error).find_map(|error| error.downcast_ref::<Tls>()) {
            return match tls {
                Tls::InvalidCertificate(why) => What::Certificate(Distrust::of(why)),
                _ => What::NoTls,
            };
        }
        if says("proxy authorization required") {
            What::ProxyPassword
        } else if says("tunnel error: unsuccessful") || says("tunnel error: unexpected end") {
            What::ProxyRefuses
        } else if says("dns error") {
            What::Unknown
        } else if io(&[Io::ConnectionRefused]) {
            What::Refused
        } else if io(&[Io::NetworkUnreachable, Io::HostUnreachable, Io::NetworkDown]) {
            What::NoWay
        } else if io(&[Io::TimedOut]) {
            What::NoConnection
        } else if io(&[Io::ConnectionReset, Io::BrokenPipe, Io::UnexpectedEof])
            || says("connection closed")
            || says("connection was not ready")
        {
            What::Ended
        } else {
            What::Else
        }
    }
}

impl Distrust {
    fn of(error: &CertificateError) -> Distrust {
        use CertificateError as Why;
        match error {
            Why::UnknownIssuer | Why::BadSignature => Distrust::Issuer,
            Why::NotValidForName | Why::NotValidForNameContext { .. } => Distrust::Name,
            Why::Expired
            | Why::ExpiredContext { .. }
            | Why::NotValidYet
            | Why::NotValidYetContext { .. } => Distrust::Time,
            _ => Distrust::Else,
        }
    }
}

/// What is to be looked at if nothing says more.
const LOOK: &str =
    "check the region or --endpoint-url, and the network of this machine (VPN, firewall)";
/// What is to be looked at if something else answers.
const WHO: &str =
    "check --endpoint-url, and what stands between (a proxy, a login page of the network)";

impl fmt::Display for Trouble {
    // Long because each thing that can become of a call has its sentence here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peer { host, proxy } = &self.peer;
        // Whose fault it is if there is no connection: that of the first host on the way.
        let (first, look) = match proxy {
            None => (host.clone(), LOOK.to_owned()),
            Some(proxy) => (
                format!("the proxy {proxy}"),
                format!("check HTTPS_PROXY and HTTP_PROXY, or name {host} in NO_PROXY"),
            ),
        };
        let by = match proxy {
            None => String::new(),
            Some(proxy) => format!(" by the proxy {proxy}"),
        };
        match self.what {
            What::Unknown => {
                let name = first
                    .rsplit_once(':')
                    .map_or(first.as_str(), |(name, _)| name);
                write!(f, "{name} has no address (DNS); {look}")
            }
            What::Refused => write!(
                f,
                "{first} refuses connections, so nothing listens there; {look}"
            ),
            What::NoWay => write!(f, "no network leads to {first}; {look}"),
            What::NoConnection => {
                write!(f, "no connection to {first} came about in time; {look}")
            }
            What::NoAnswer => write!(
                f,
                "{host} has taken the call{by} and not answered in time; {look}"
            ),
            What::Certificate(why) => {
                let why = match why {
                    Distrust::Issuer => "is of an issuer that this machine does not trust",
                    Distrust::Name => "is for another name",
                    Distrust::Time => "is not valid at this time; check the clock of this machine",
                    Distrust::Else => "is not valid",
                };
                write!(
                    f,
                    "the TLS certificate of {host}{by} {why}; if your network puts its own in between, set \
                     AWS_CA_BUNDLE to the file of its certificates"
                )
            }
            What::NoTls => write!(
                f,
                "{host}{by} does not speak TLS as it should; is its URL to begin with http:// in place of https://?"
            ),
            What::ProxyPassword => write!(
                f,
                "{first} asks for a user and a password; set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT"
            ),
            What::ProxyRefuses => write!(f, "{first} does not connect to {host}; {look}"),
            What::Ended => write!(
                f,
                "{host} has ended the connection{by} before it answered; {look}"
            ),
            What::CutShort => write!(f, "the answer of {host}{by} ended in the middle"),
            What::TooLong => write!(
                f,
                "{host}{by} sends more in one answer than DynamoDB can; {WHO}"
            ),
            What::Foreign(407, _) => write!(
                f,
                "{} asks for a user and a password; set HTTP_PROXY to http://USER:PASSWORD@HOST:PORT",
                match proxy {
                    Some(_) => &first,
                    None => host,
                }
            ),
            What::Foreign(status, form) => {
                let form = match form {
                    Form::Nothing => "nothing",
                    Form::Html => "HTML",
                    Form::Gzip => "compressed data",
                    Form::Json => "JSON that is not the service's",
                    Form::Else => "what is no JSON",
                };
                write!(
                    f,
                    "{host}{by} answers with {form}, status {status}, so it is not the service; {WHO}"
                )
            }
            What::Misshapen => write!(
                f,
                "{host}{by} answers with JSON of another shape than the service's; {WHO}"
            ),
            What::Else => write!(f, "the connection to {host}{by} has failed; {look}"),
        }
    }
}

impl StdError for Trouble {}

/// What an error of the SDK says, in sentences: what a call has met with alone, if it has, or every cause that says something new.
pub fn words(error: &(dyn StdError + 'static)) -> String {
    if let Some(trouble) = Trouble::in_chain(error) {
        return trouble.to_string();
    }
    let mut said: Vec<String> = Vec::new();
    for error in chain(error) {
        let words = match error.downcast_ref::<ErrorMetadata>() {
            Some(refused) => match (refused.code(), refused.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(text), None) | (None, Some(text)) => text.to_owned(),
                (None, None) => continue,
            },
            None => error.to_string(),
        };
        let is_new = !words.is_empty() && !said.iter().any(|before| before.contains(&words));
        // The SDK's own types that have no words show their fields.
        if is_new && !words.contains(" { ") {
            said.push(words);
        }
    }
    said.join(": ")
}
