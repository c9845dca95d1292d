//! Who may ask: which hosts a request may name, and which pages it may come from.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use backfill_core::{Error, Result, printable};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::uri::{Authority, Scheme, Uri};

/// Says where a request comes from, as its browser sees it; programs that are no browser do not send it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Says what a browser asks for, such as a page to go to.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It names this host, which is not this machine, or none (empty).
    Host(String),
    /// It comes from a page of this origin, or of one that its browser does not tell (empty).
    Origin(String),
    /// Its body is larger than the service takes.
    TooLarge,
    /// It has not come as a whole in time.
    TooSlow,
    /// Its body ended before its length.
    Broken,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Host(host) if host.is_empty() => {
                f.write_str("the request names no host, or several")
            }
            Refusal::Host(host) => write!(
                f,
                "the request names host {}, which is not a name of this machine with the port of this server",
                printable(host)
            ),
            Refusal::Origin(origin) if origin.is_empty() => {
                f.write_str("the request comes from a web page elsewhere")
            }
            Refusal::Origin(origin) => write!(
                f,
                "the request comes from a web page of {}",
                printable(origin)
            ),
            Refusal::TooLarge => f.write_str("the body of the request is too large"),
            Refusal::TooSlow => f.write_str("the request did not come as a whole in time"),
            Refusal::Broken => f.write_str("the request ended within its body"),
        }
    }
}

/// A host that requests may name beside this machine's own names, such as `host.docker.internal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    /// None: that of the server.
    port: Option<u16>,
}

impl Host {
    /// Reads `NAME` or `NAME:PORT`.
    ///
    /// Errors: `InvalidInput` that begins with this field.
    pub fn parse(field: &str, text: &str) -> Result<Host> {
        let wrong = || {
            let expected = "expected NAME or NAME:PORT, such as host.docker.internal";
            Error::invalid(field, format!("{text:?} is no host; {expected}"))
        };
        let (name, port) = split(text).ok_or_else(wrong)?;
        Ok(Host { name, port })
    }
}

/// A site whose pages may ask, as browsers write it: `https://console.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads `http://HOST`, `https://HOST`, or either with a port.
    ///
    /// Errors: `InvalidInput` that begins with this field. So are `*` and `null`, which every page on the web can be.
    pub fn parse(field: &str, text: &str) -> Result<Origin> {
        if matches!(text, "*" | "null") {
            return Err(Error::invalid(
                field,
                format!(
                    "{text} would let in every page on the web; name each site, such as http://localhost:3000"
                ),
            ));
        }
        let wrong = || {
            Error::invalid(
                field,
                format!(
                    "{text:?} is no origin; expected http:// or https://, a host, and a port if it has one, such as \
                     http://localhost:3000"
                ),
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let scheme = uri.scheme().filter(|_| is_bare).ok_or_else(wrong)?;
        let usual = match scheme {
            s if *s == Scheme::HTTP => 80,
            s if *s == Scheme::HTTPS => 443,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let (name, port) = split(authority.as_str()).ok_or_else(wrong)?;
        // Browsers leave the usual port out.
        Ok(Origin(match port.filter(|port| *port != usual) {
            Some(port) => format!("{scheme}://{name}:{port}"),
            None => format!("{scheme}://{name}"),
        }))
    }
}

/// Who may ask a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// The server's own.
    pub port: u16,
    pub hosts: Vec<Host>,
    pub origins: Vec<Origin>,
}

impl Rules {
    /// The origin of the page that asks, if it is one that may; none for a program that is no browser.
    ///
    /// Errors: why whoever asks may not.
    pub fn admit(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> std::result::Result<Option<String>, Refusal> {
        self.check_host(uri, headers)?;
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return match is_of_a_page_elsewhere(headers) {
                true => Err(Refusal::Origin(String::new())),
                false => Ok(None),
            };
        };
        let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
        let is_known = self.origins.iter().any(|known| known.0 == origin);
        match is_known && origins.next().is_none() {
            true => Ok(Some(origin)),
            false => Err(Refusal::Origin(origin)),
        }
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> std::result::Result<(), Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
            _ => return Err(Refusal::Host(String::new())),
        };
        // A request to a proxy names its host twice.
        for named in [Some(host.as_str()), uri.authority().map(Authority::as_str)] {
            if let Some(named) = named.filter(|named| !self.is_here(named)) {
                return Err(Refusal::Host(named.to_owned()));
            }
        }
        Ok(())
    }

    /// Whether `NAME:PORT` is this server.
    fn is_here(&self, named: &str) -> bool {
        let Some((name, port)) = split(named) else {
            return false;
        };
        let port = port.unwrap_or(80);
        let is_allowed = |host: &Host| host.name == name && host.port.unwrap_or(self.port) == port;
        (port == self.port && is_loopback(&name)) || self.hosts.iter().any(is_allowed)
    }
}

/// Whether this is a name of the machine itself that no name server has a say in.
fn is_loopback(name: &str) -> bool {
    let v4 = || name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
    let v6 = || {
        let inside = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        inside.is_some_and(|inside| inside.parse() == Ok(Ipv6Addr::LOCALHOST))
    };
    name == "localhost" || v4() || v6()
}

/// Whether a browser says that a page elsewhere asks, other than for a page to go to: a link may lead here.
fn is_of_a_page_elsewhere(headers: &HeaderMap) -> bool {
    let is = |name, value: &str| {
        headers
            .get(name)
            .is_some_and(|v| v.as_bytes() == value.as_bytes())
    };
    let elsewhere = is(FETCH_SITE, "cross-site") || is(FETCH_SITE, "same-site");
    elsewhere && !is(FETCH_MODE, "navigate")
}

/// The name, in lower case, and the port of `NAME` or `NAME:PORT`.
fn split(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let (host, whole) = (authority.host(), authority.as_str());
    // Not with a user or a port that is no number.
    let rest = whole.strip_prefix(host)?;
    let port = match rest {
        "" => None,
        _ => Some(rest.strip_prefix(':')?.parse().ok()?),
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            port: 8000,
            hosts: vec![
                Host::parse("allow-host", "host.docker.internal").unwrap(),
                Host::parse("allow-host", "LOCALHOST:9000").unwrap(),
            ],
            origins: vec![Origin::parse("allow-origin", "http://localhost:3000").unwrap()],
        }
    }

    fn admit(headers: &[(&'static str, &str)]) -> std::result::Result<Option<String>, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        rules().admit(&Uri::from_static("/"), &map)
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let answered = [
            "localhost:8000",
            "LocalHost:8000",
            "127.0.0.1:8000",
            "127.200.3.4:8000",
            "[::1]:8000",
            "[0:0:0:0:0:0:0:1]:8000",
            "host.docker.internal:8000",
            "localhost:9000",
        ];
        for host in answered {
            assert_eq!(admit(&[("host", host)]), Ok(None), "{host}");
        }
        let refused = [
            "localhost",
            "localhost:8001",
            "127.0.0.1",
            "127.0.0.1:9000",
            "evil.example:8000",
            "localhost.evil.example:8000",
            "127.0.0.1.evil.example:8000",
            "127.1:8000",
            "0.0.0.0:8000",
            "128.0.0.1:8000",
            "[::ffff:127.0.0.1]:8000",
            "[::2]:8000",
            "me@localhost:8000",
            "localhost:8000@evil.example",
            "localhost:x",
            "localhost:",
            "localhost:80000",
            "host.docker.internal:9000",
            "",
            " ",
        ];
        for host in refused {
            assert!(
                matches!(admit(&[("host", host)]), Err(Refusal::Host(_))),
                "{host}"
            );
        }
        assert_eq!(admit(&[]), Err(Refusal::Host(String::new())));
        let twice = admit(&[("host", "localhost:8000"), ("host", "localhost:8000")]);
        assert_eq!(twice, Err(Refusal::Host(String::new())));
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost:8000".parse().unwrap());
        let proxied = |uri| rules().admit(&Uri::from_static(uri), &headers);
        assert_eq!(proxied("http://127.0.0.1:8000/"), Ok(None));
        assert!(proxied("http://evil.example:8000/").is_err());
    }

    #[test]
    fn only_pages_of_an_origin_that_was_named_may_ask() {
        let from = |origin| admit(&[("host", "127.0.0.1:8000"), ("origin", origin)]);
        let known = "http://localhost:3000";
        assert_eq!(from(known), Ok(Some(known.into())));
        for origin in [
            "http://evil.example",
            "https://localhost:3000",
            "http://localhost",
            "http://localhost:30000",
            "http://127.0.0.1:8000",
            "null",
            "",
            "http://localhost:3000 http://evil.example",
        ] {
            assert_eq!(from(origin), Err(Refusal::Origin(origin.into())));
        }
        let host = ("host", "127.0.0.1:8000");
        assert!(admit(&[host, ("origin", known), ("origin", "http://evil.example")]).is_err());
        let site = |site, mode| admit(&[host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)]);
        assert_eq!(site("none", "navigate"), Ok(None));
        assert_eq!(site("cross-site", "navigate"), Ok(None));
        assert_eq!(site("same-origin", "cors"), Ok(None));
        assert!(site("cross-site", "no-cors").is_err());
        assert!(site("same-site", "no-cors").is_err());
    }

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        let read = |text| Origin::parse("allow-origin", text).map(|origin| origin.0);
        assert_eq!(
            read("HTTPS://Console.Example:443/").unwrap(),
            "https://console.example"
        );
        assert_eq!(read("http://[::1]:3000").unwrap(), "http://[::1]:3000");
        for wrong in [
            "*",
            "null",
            "localhost:3000",
            "http://",
            "http://a/b",
            "http://a?b",
            "ftp://a",
            "http://u@a",
            "",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.starts_with("allow-origin: "), "{wrong}: {error}");
        }
        for wrong in ["", "a b", "http://a", "a:b", "a/b", "u@a"] {
            let error = Host::parse("allow-host", wrong).unwrap_err().to_string();
            assert!(error.starts_with("allow-host: "), "{wrong}: {error}");
        }
    }
}
