//! Tells Lambda of a panic before it ends the process, so that Step Functions gets the panic's sentence, and not only that
//! a process has ended. A deployed function does not unwind: that would be an eighth of its size.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the Runtime API may take, which is on the same machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// The invocation that is being worked on; there is one at a time.
static REQUEST_ID: Mutex<Option<String>> = Mutex::new(None);

/// Makes panics belong to this invocation from now on; to none with `None`.
pub fn belong_to(request_id: Option<&str>) {
    *REQUEST_ID.lock().unwrap_or_else(PoisonError::into_inner) = request_id.map(str::to_owned);
}

/// Reports every panic to the log and to Lambda.
pub fn report_panics() {
    // If a panic unwinds, as in a build for development, lambda_runtime catches and reports it.
    if cfg!(panic = "unwind") {
        return;
    }
    let log = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log(panic);
        if let Err(error) = tell_lambda(panic) {
            eprintln!("cannot report the panic: {error}");
        }
    }));
}

fn tell_lambda(panic: &PanicHookInfo) -> io::Result<()> {
    // Not lock(): a panic must not wait.
    let Some(request_id) = REQUEST_ID.try_lock().ok().and_then(|id| id.clone()) else {
        return Ok(());
    };
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
    post(&api, &request_id, &panic.to_string().replace('\n', " "))
}

/// Posts an invocation error (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>). It is written by hand,
/// because nothing asynchronous can run any more.
fn post(api: &str, request_id: &str, message: &str) -> io::Result<()> {
    let body = serde_json::json!({"errorType": "Panic", "errorMessage": message}).to_string();
    let mut stream = TcpStream::connect(api)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "POST /2018-06-01/runtime/invocation/{request_id}/error HTTP/1.1\r\nHost: {api}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    // The process must not end before Lambda has taken the request.
    stream.read_exact(&mut [0])
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lambda_is_told_the_sentence_of_a_panic() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let api = server.local_addr().expect("an address").to_string();
        let lambda = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut part = [0; 1024];
                let length = stream.read(&mut part).expect("a request");
                assert!(length > 0, "the request has no end");
                request.extend_from_slice(&part[..length]);
            }
            stream
                .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                .expect("an answer");
            String::from_utf8(request).expect("text")
        });
        post(&api, "id-1", "panicked at \"here\"").expect("Lambda takes it");
        let request = lambda.join().expect("a request");
        let (head, body) = request.split_once("\r\n\r\n").expect("head and body");
        assert!(head.starts_with("POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["errorType"], "Panic");
        assert_eq!(body["errorMessage"], "panicked at \"here\"");
    }
}
