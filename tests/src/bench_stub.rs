//! The bench's table as a process: what `bench-stub` answers, at its latency and within its limits.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::command::program;

/// `bench-stub` at work; it ends with the test.
pub struct BenchStub {
    child: Child,
    pub endpoint: String,
}

impl BenchStub {
    /// Starts it with these flags, and waits until it listens.
    pub fn start<S: AsRef<std::ffi::OsStr>>(options: impl IntoIterator<Item = S>) -> BenchStub {
        let mut command = Command::new(program("bench-stub"));
        let mut child = command
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stub starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("the stub says where it is");
        let ready: Value = serde_json::from_str(&line).expect("one JSON object");
        let endpoint = ready["endpoint"].as_str().expect("an endpoint").to_owned();
        BenchStub { child, endpoint }
    }

    /// What the table has seen.
    pub async fn report(&self) -> Value {
        let address = self.endpoint.strip_prefix("http://").expect("no TLS");
        let stream = tokio::net::TcpStream::connect(address).await;
        let stream = hyper_util::rt::TokioIo::new(stream.expect("it listens"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .expect("it speaks HTTP");
        tokio::spawn(connection);
        let get = hyper::Request::get("/").header("host", address);
        let get = get.body(http_body_util::Empty::<hyper::body::Bytes>::new());
        let response = sender.send_request(get.expect("a request")).await;
        let body = response.expect("an answer").into_body();
        let body = http_body_util::BodyExt::collect(body).await;
        let body = body.expect("a body").to_bytes();
        serde_json::from_slice(&body).expect("one JSON object")
    }
}

impl Drop for BenchStub {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
