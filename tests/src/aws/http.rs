//! Calls of the stand-ins that no SDK here makes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value as Json;

/// A small HTTP request; the body of the answer if that is a success.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    request_with(port, method, path, "Content-Type: application/json", body)
}

/// A small HTTP request with these headers, whose lines end in CRLF but for the last.
pub(crate) fn request_with(
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         {headers}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?;
    code.starts_with('2').then(|| body.to_owned())
}

/// A call of one of AWS's older services: a form, and XML back. Panics if it is no success.
pub(crate) fn request_form(port: u16, service: &str, parameters: &[(&str, &str)]) -> String {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let credential = format!("Credential=test/20260101/us-east-1/{service}/aws4_request");
    let headers = format!(
        "Content-Type: application/x-www-form-urlencoded\r\n\
         Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
    );
    let answer = request_with(port, "POST", "/", &headers, &body);
    answer.unwrap_or_else(|| panic!("{service} refuses {parameters:?}"))
}

/// What an AWS service that is asked by paths answers to a GET. Panics if it is no success.
pub(crate) fn request_list(port: u16, service: &str, path: &str) -> Json {
    request_path(port, service, "GET", path, "")
}

/// A call of an AWS service that is asked by paths. Panics if it is no success.
pub(crate) fn request_path(port: u16, service: &str, method: &str, path: &str, body: &str) -> Json {
    let credential = format!("Credential=test/20260101/us-east-1/{service}/aws4_request");
    let headers =
        format!("Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0");
    let answer = request_with(port, method, path, &headers, body);
    let answer = answer.unwrap_or_else(|| panic!("{path} is refused"));
    serde_json::from_str(&answer).unwrap_or_default()
}

/// A call of one of AWS's services that take JSON. Panics if it is no success.
pub(crate) fn request_json(port: u16, service: &str, target: &str, body: &Json) -> Json {
    let credential = format!("Credential=test/20260101/us-east-1/{service}/aws4_request");
    let headers = format!(
        "Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}\r\n\
         Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
    );
    let answer = request_with(port, "POST", "/", &headers, &body.to_string());
    let answer = answer.unwrap_or_else(|| panic!("{target} is refused: {body}"));
    serde_json::from_str(&answer).unwrap_or_default()
}
