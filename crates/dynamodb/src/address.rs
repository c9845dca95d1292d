//! Where a call goes: its URL in the forms that a request and its signature have it in, which are the same for every call.

use aws_sdk_dynamodb::error::BoxError;
use http::Uri;

/// The URL of a service, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: String,
    uri: Uri,
    target: Uri,
    origin: String,
    host: String,
    canonical_path: String,
    canonical_query: String,
}

impl Address {
    /// Of a URL with scheme, host and path. A query, if there is one, is taken as [`Address::below`] writes it.
    pub(crate) fn of(url: String) -> Result<Address, BoxError> {
        let uri: Uri = url.parse()?;
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(format!("{url} names no host").into());
        };
        let is_usual = matches!(
            (uri.scheme_str(), uri.port_u16()),
            (_, None) | (Some("http"), Some(80)) | (Some("https"), Some(443))
        );
        let host = match is_usual {
            true => host,
            false => authority.as_str(),
        };
        Ok(Address {
            host: host.to_owned(),
            canonical_path: canonical_path(uri.path()),
            canonical_query: uri.query().unwrap_or_default().to_owned(),
            target: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .parse()?,
            origin: format!("{}://{authority}", uri.scheme_str().unwrap_or_default()),
            url,
            uri,
        })
    }

    /// What is at a path below this address, asked with these parameters.
    pub(crate) fn below(&self, path: &str, query: &[(&str, &str)]) -> Result<Address, BoxError> {
        let mut url = format!("{}{path}", self.url);
        // In the order in which they are signed.
        let mut query = query.to_vec();
        query.sort_unstable();
        let mut mark = '?';
        for (name, value) in query {
            url.push(mark);
            encode(name, &mut url);
            url.push('=');
            encode(value, &mut url);
            mark = '&';
        }
        Address::of(url)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Path and query alone, as a server is asked for them.
    pub(crate) fn target(&self) -> &Uri {
        &self.target
    }

    /// The same for all that the same server answers: "https://example.com".
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// As the header of this name has it: with the port, unless it is the usual one.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The path as it is signed.
    pub(crate) fn canonical_path(&self) -> &str {
        &self.canonical_path
    }

    /// The query as it is signed; empty if there is none.
    pub(crate) fn canonical_query(&self) -> &str {
        &self.canonical_query
    }
}

/// Adds a text as it stands in a URL and in what is signed: every byte that is no letter, digit, `-`, `_`, `.` or `~` by its number
/// (IAM user guide, Create a signed AWS API request).
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                into.push(char::from(byte));
            }
            byte => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The path of a URL as it is signed (IAM user guide, Create a signed AWS API request): without empty segments and dots, and with
/// what is encoded in the URL encoded once more.
fn canonical_path(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut canonical = String::with_capacity(path.len());
    for segment in &segments {
        canonical.push('/');
        encode(segment, &mut canonical);
    }
    let ends_open = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if canonical.is_empty() || ends_open {
        canonical.push('/');
    }
    canonical
}
