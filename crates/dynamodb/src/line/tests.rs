use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use backfill_core::ErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::calls::DescribeTable;
use crate::connection::Connection;
use crate::failure::failure;
use crate::send::Sender;

/// What comes of a call to this URL: kind and words.
async fn called(url: &str) -> (ErrorKind, String) {
    let config = SdkConfig::builder()
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "key", "secret", None, None, "test",
        )))
        .build();
    let line = Arc::new(Line::open().unwrap());
    let connection = Connection::new(line, config, Some(url.into()), None).await;
    let sender = Sender::new(&connection.unwrap());
    let answer = sender
        .call(&DescribeTable {
            table_name: "stuff",
        })
        .await;
    let error = failure("describing table stuff", answer.unwrap_err());
    (error.kind(), error.report())
}

/// A server that does this with each connection, and its host and port.
async fn server<F, Fut>(serve: F) -> String
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Waits until something was sent.
async fn asked(stream: &mut TcpStream) -> std::io::Result<()> {
    let some = stream.read(&mut [0; 4096]).await?;
    match some {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// A server that answers every call with these bytes, and then ends the connection.
async fn answering(answer: &'static [u8]) -> String {
    server(move |mut stream| async move {
        asked(&mut stream).await?;
        stream.write_all(answer).await?;
        stream.shutdown().await
    })
    .await
}

// Long because of the table of what can become of a call.
#[tokio::test]
async fn what_becomes_of_a_connection_is_a_sentence_with_the_host() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    let hangs_up = server(async |stream| {
        drop(stream);
        Ok(())
    });
    let resets = server(async |mut stream: TcpStream| {
        asked(&mut stream).await?;
        stream.set_zero_linger()
    });
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"Table\":";
    let html = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>";
    let gzip = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00";
    let nothing = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let moved = b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n";
    let late = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
    let (passes, never) = (ErrorKind::Unavailable, ErrorKind::Internal);
    for (scheme, host, kind, said) in [
        ("http", closed, passes, "refuses connections"),
        (
            "http",
            "nosuch.invalid:8000".into(),
            passes,
            "nosuch.invalid has no address (DNS)",
        ),
        (
            "http",
            hangs_up.await,
            passes,
            "has ended the connection before it answered",
        ),
        (
            "http",
            resets.await,
            passes,
            "has ended the connection before it answered",
        ),
        ("http", answering(half).await, passes, "ended in the middle"),
        (
            "http",
            answering(html).await,
            passes,
            "answers with HTML, status 200",
        ),
        (
            "http",
            answering(gzip).await,
            passes,
            "answers with compressed data, status 200",
        ),
        (
            "http",
            answering(nothing).await,
            passes,
            "answers with nothing, status 200",
        ),
        (
            "http",
            answering(moved).await,
            passes,
            "answers with nothing, status 302",
        ),
        (
            "http",
            answering(late).await,
            passes,
            "answers with nothing, status 408",
        ),
        (
            "http",
            answering(b"SSH-2.0-OpenSSH\r\n").await,
            passes,
            "has failed",
        ),
        (
            "https",
            answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
            passes,
            "does not speak TLS",
        ),
        (
            "http",
            answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await,
            never,
            "answers with nothing, status 403",
        ),
    ] {
        let (found, report) = called(&format!("{scheme}://{host}")).await;
        assert_eq!(found, kind, "{report}");
        let name = host.strip_suffix(":8000").unwrap_or(&host);
        assert!(
            report.starts_with("describing table stuff failed: "),
            "{report}"
        );
        assert!(
            report.contains(name) && report.contains(said),
            "{said}: {report}"
        );
        for debug in ["{", "::", "Error(", "Failure", "Os {"] {
            assert!(!report.contains(debug), "{report}");
        }
    }
}

/// What a server has answered with, a call after the other, and how many connections it took.
async fn connections_for(answers: &'static [&'static [u8]]) -> usize {
    let (asked_for, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (nth, taken) = (asked_for.clone(), connections.clone());
    let host = server(move |mut stream| {
        taken.fetch_add(1, Ordering::Relaxed);
        let nth = nth.clone();
        async move {
            loop {
                asked(&mut stream).await?;
                let nth = nth.fetch_add(1, Ordering::Relaxed);
                stream.write_all(answers[nth]).await?;
                if answers[nth].starts_with(ENDS) {
                    return Ok(());
                }
            }
        }
    });
    let (line, url) = (Line::open().unwrap(), format!("http://{}/", host.await));
    let address = Address::of(url).unwrap();
    for _ in answers {
        let mut request = Request::new(Full::from("{}"));
        *request.uri_mut() = address.uri().clone();
        line.carry(&address, request).await.unwrap();
        // So that the end of a connection has come.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(asked_for.load(Ordering::Relaxed), answers.len());
    connections.load(Ordering::Relaxed)
}

/// After this answer the server ends the connection, and does not say so.
const ENDS: &[u8] = b"HTTP/1.1 200 Ends";

/// A connection is used again, unless a host has failed on it, or it was or is to be ended. None of that is an error: a request that
/// could not be sent over a connection that was kept goes over another one.
#[tokio::test]
async fn a_connection_is_kept_unless_it_has_ended_or_its_host_has_failed() {
    let done = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".as_slice();
    let refused = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}".as_slice();
    let failed = b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}".as_slice();
    let unavailable = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".as_slice();
    let closes = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".as_slice();
    let ends = b"HTTP/1.1 200 Ends\r\ncontent-length: 0\r\n\r\n".as_slice();
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
            .as_slice();
    for (answers, connections) in [
        (vec![done, refused, chunked, done], 1),
        (vec![done, failed, done], 2),
        (vec![unavailable, unavailable, done], 3),
        (vec![closes, done, done], 2),
        (vec![done, ends, done, ends, done], 3),
    ] {
        let answers: &'static [_] = answers.leak();
        assert_eq!(connections_for(answers).await, connections, "{answers:?}");
    }
}

/// Whether its length is said before or not: what DynamoDB cannot send is not read.
#[tokio::test]
async fn an_endless_answer_is_not_read() {
    let sent = Arc::<AtomicU64>::default();
    let counts = sent.clone();
    let endless = server(move |mut stream| {
        let sent = counts.clone();
        async move {
            asked(&mut stream).await?;
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await?;
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
                sent.fetch_add(0x10000, Ordering::Relaxed);
            }
        }
    });
    let said = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{";
    for host in [endless.await, answering(said).await] {
        let (kind, report) = called(&format!("http://{host}")).await;
        assert_eq!(kind, ErrorKind::Unavailable, "{report}");
        assert!(
            report.contains("more in one answer than DynamoDB can"),
            "{report}"
        );
    }
    // What the system has taken from the server, and nobody from the system.
    let under_way = 16 * 1024 * 1024;
    assert!(sent.load(Ordering::Relaxed) < (MAX_ANSWER + under_way) as u64);
}

#[test]
fn certificates_that_cannot_be_read_are_refused_by_the_variable() {
    let folder = std::env::temp_dir().join(format!("backfill-certificates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text, said) in [
        ("none", None, "No such file"),
        ("empty", Some(""), "holds no certificate"),
        ("text", Some("certificates"), "holds no certificate"),
        (
            "broken",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "certificate 1 is none",
        ),
    ] {
        let file = folder.join(name);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let error = read_certificates(&file).unwrap_err().to_string();
        assert!(error.starts_with("AWS_CA_BUNDLE: "), "{error}");
        assert!(error.contains(said), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_proxy_that_connections_cannot_go_by_is_not_usable() {
    for usable in [
        "http://proxy:3128",
        "https://user:password@proxy",
        "proxy:3128",
    ] {
        assert!(is_usable(usable), "{usable}");
    }
    for other in [
        "socks5://proxy:1080",
        "http://",
        "ftp://proxy",
        "http://a b",
    ] {
        assert!(!is_usable(other), "{other}");
    }
}
