//! What a call is signed with: Signature Version 4, as the SDK's signer makes it (a test holds the two against each other), at a
//! quarter of the work. The key is made once a day in place of once a call, and the few headers of a call are no map.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use sha2::{Digest as _, Sha256};

use crate::address::Address;

/// What is signed of a call.
pub(crate) struct Signable<'a> {
    pub(crate) method: &'a str,
    pub(crate) address: &'a Address,
    /// Names in lower case, with values that have no space at either end and no two in a row. Not the host, and none of those that a
    /// signature adds.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// The values of the headers that make a signature, beside that of the session token.
pub(crate) struct Signature {
    /// `x-amz-date`
    pub(crate) date: String,
    /// `authorization`
    pub(crate) authorization: String,
}

/// Signs by the credentials of an account, for one region.
pub(crate) struct Signer {
    credentials: Credentials,
    region: String,
    moment: Mutex<Moment>,
}

/// What is the same for all calls of a second, and of a day.
#[derive(Default)]
struct Moment {
    /// Since 1970.
    second: u64,
    /// "20261122T053659Z"
    date: String,
    /// The day's key for each service that was called.
    keys: Vec<(&'static str, Vec<u8>)>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    pub(crate) fn new(credentials: Credentials, region: &str) -> Signer {
        Signer {
            credentials,
            region: region.to_owned(),
            moment: Mutex::default(),
        }
    }

    /// The value of `x-amz-security-token`, which is among the signed headers if it is there.
    pub(crate) fn token(&self) -> Option<&str> {
        self.credentials.session_token()
    }

    /// The signature for the service that signs by this name, at this time.
    pub(crate) fn sign(
        &self,
        service: &'static str,
        time: SystemTime,
        call: &Signable<'_>,
    ) -> Signature {
        let mut moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        moment.reach(time);
        let date = moment.date.clone();
        let mut headers = call.headers.to_vec();
        headers.push(("host", call.address.host()));
        headers.push(("x-amz-date", &date));
        headers.extend(self.token().map(|token| ("x-amz-security-token", token)));
        headers.sort_unstable();
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");

        let mut canonical = String::with_capacity(2_048);
        let (path, query) = (
            call.address.canonical_path(),
            call.address.canonical_query(),
        );
        for part in [call.method, "\n", path, "\n", query, "\n"] {
            canonical.push_str(part);
        }
        for (name, value) in headers {
            for part in [name, ":", value, "\n"] {
                canonical.push_str(part);
            }
        }
        for part in ["\n", &names, "\n", &digest(call.body)] {
            canonical.push_str(part);
        }

        let (day, region) = (date.get(..DAY).unwrap_or_default(), &self.region);
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            digest(canonical.as_bytes())
        );
        let key = moment.key(service, || {
            let secret = self.credentials.secret_access_key();
            let key = generate_signing_key(secret, time, region, service);
            key.as_ref().to_vec()
        });
        let signature = calculate_signature(key, text.as_bytes());
        let id = self.credentials.access_key_id();
        Signature {
            authorization: format!(
                "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
            ),
            date,
        }
    }
}

/// How long the day is at the beginning of a date.
const DAY: usize = "20261122".len();

impl Moment {
    fn reach(&mut self, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs();
        if second == self.second && !self.date.is_empty() {
            return;
        }
        // RFC 3339, which has everything, and marks in between.
        let date = DateTime::from_secs(second as i64).fmt(Format::DateTime);
        let date: String = date
            .unwrap_or_default()
            .chars()
            .filter(|c| !matches!(c, '-' | ':'))
            .collect();
        if self.date.get(..DAY) != date.get(..DAY) {
            self.keys.clear();
        }
        (self.second, self.date) = (second, date);
    }

    fn key(&mut self, service: &'static str, make: impl FnOnce() -> Vec<u8>) -> &[u8] {
        let known = self.keys.iter().position(|(name, _)| *name == service);
        let at = known.unwrap_or_else(|| {
            self.keys.push((service, make()));
            self.keys.len() - 1
        });
        &self.keys[at].1
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sigv4::http_request::{
        SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
    };
    use aws_sigv4::sign::v4;

    use super::*;

    /// The headers that the SDK's signer adds.
    fn by_the_sdk(
        credentials: &Credentials,
        service: &str,
        time: SystemTime,
        call: &Signable<'_>,
    ) -> Vec<(String, String)> {
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(service)
            .time(time)
            .settings(SigningSettings::default())
            .build();
        let request = SignableRequest::new(
            call.method,
            call.address.url(),
            call.headers.iter().copied(),
            SignableBody::Bytes(call.body),
        );
        let signed = sign(request.unwrap(), &SigningParams::from(params.unwrap()));
        let headers = signed.unwrap().into_parts().0.into_parts().0;
        headers
            .into_iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned()))
            .collect()
    }

    /// With paths, ports and queries of every kind.
    fn addresses() -> Vec<Address> {
        let url = [
            "https://dynamodb.eu-west-1.amazonaws.com/",
            "https://123456789012.ddb.eu-west-1.amazonaws.com:443/",
            "http://localhost:80/",
            "http://127.0.0.1:8000/",
            "http://[::1]:8000/db/",
            "https://EXAMPLE.com:80/a/../b//./c%20d/e+f:g@h!~_-./",
            "https://lambda.eu-west-1.amazonaws.com/2016-08-19/account-settings/",
            "https://example.com/../..",
            "https://example.com/a/.",
            "https://example.com",
        ];
        let lambda = Address::of("https://lambda.eu-west-1.amazonaws.com/".into()).unwrap();
        let queries: [&[_]; 3] = [
            &[
                ("Marker", "a+b/=&?%20 ä~"),
                (
                    "EventSourceArn",
                    "arn:aws:dynamodb:eu-west-1:123456789012:table/a/stream/2026",
                ),
            ],
            &[("a b", ""), ("a", "2"), ("a", "1")],
            &[],
        ];
        let asked = queries.map(|query| lambda.below("2015-03-31/event-source-mappings", query));
        let addresses = url.map(|url| Address::of(url.to_owned()));
        addresses
            .into_iter()
            .chain(asked)
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn a_call_is_signed_as_the_sdk_signs_it() {
        let (post, get) = (
            [
                ("content-type", "application/x-amz-json-1.0"),
                ("x-amz-target", "DynamoDB_20120810.Scan"),
            ],
            [],
        );
        let ways: [(&str, &[_], &[u8]); 2] =
            [("POST", &post, b"{\"Limit\":1}"), ("GET", &get, b"")];
        // The end of a day, a leap day, and a clock that has never been set.
        let times = [
            1_795_304_219,
            1_795_305_599,
            1_795_305_600,
            1_709_164_800,
            951_782_400,
            0,
        ];
        let addresses = addresses();
        for token in [None, Some("to/ken+==")] {
            let token = token.map(str::to_owned);
            let credentials = Credentials::new("AKIA", "se/cr et+", token, None, "test");
            let signer = Signer::new(credentials.clone(), "eu-west-1");
            for (seconds, service) in times
                .into_iter()
                .flat_map(|time| ["dynamodb", "lambda"].map(|service| (time, service)))
            {
                let time = UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 999);
                for (address, (method, headers, body)) in addresses
                    .iter()
                    .flat_map(|address| ways.map(|way| (address, way)))
                {
                    let call = Signable {
                        method,
                        address,
                        headers,
                        body,
                    };
                    let signature = signer.sign(service, time, &call);
                    let mut ours = vec![
                        ("x-amz-date".to_owned(), signature.date),
                        ("authorization".to_owned(), signature.authorization),
                    ];
                    let token = signer.token().map(str::to_owned);
                    ours.extend(token.map(|token| ("x-amz-security-token".to_owned(), token)));
                    let theirs = by_the_sdk(&credentials, service, time, &call);
                    assert_eq!(ours, theirs, "{} {seconds}", address.url());
                }
            }
        }
    }
}
