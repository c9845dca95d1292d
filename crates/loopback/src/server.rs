//! The server: who asks is checked, what is asked is read within bounds, and the service answers.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use backfill_core::{Error, ErrorKind, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::patient::{Patient, Turns};
use crate::rules::{Host, Origin, Refusal, Rules};

/// The body of an answer.
pub type Body = Full<Bytes>;

/// Most bytes of the head of a request.
const LARGEST_HEAD: usize = 64 * 1024;

/// A body up to this size needs no turn.
const SMALL_BODY: u64 = 1024 * 1024;

/// How many larger bodies are read at the same time, so that memory stays bounded.
const LARGE_AT_ONCE: usize = 8;

/// Seconds that a browser may rely on the answer to its question whether it may ask.
const MAY_ASK_FOR: &str = "600";

/// What a page of a permitted origin may read of an answer beside its body.
const READABLE: &str = "x-amzn-requestid, x-amz-crc32";

const PRIVATE_ASKED: HeaderName = HeaderName::from_static("access-control-request-private-network");
const PRIVATE_ALLOWED: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What answers requests that may be asked.
pub trait Service: Send + Sync + 'static {
    /// Answers a request that has come as a whole.
    fn answer(&self, request: Request<Bytes>) -> impl Future<Output = Response<Body>> + Send;

    /// How a request that is not answered is refused, in the format of the service. Its status is set to the one given.
    fn refuse(&self, why: &Refusal) -> Response<Body>;
}

/// Bounds of what clients send and take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of a body.
    pub body: u64,
    /// From the first byte of a request to the end of its head, and as much again for its body.
    pub request: Duration,
    /// A connection on which nothing comes is closed after this time, and one that takes nothing of an answer.
    pub idle: Duration,
    /// Connections at the same time; others wait.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body: 16 * 1024 * 1024,
            request: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            connections: 1_000,
        }
    }
}

/// A server that listens on 127.0.0.1, and answers once it is served.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    rules: Rules,
    limits: Limits,
}

impl Server {
    /// Listens on this port; 0 takes a free one.
    ///
    /// Errors: `InvalidInput` for a port that cannot be used.
    pub async fn listen(port: u16) -> Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|error| {
                let why = format!("cannot listen on 127.0.0.1:{port}: {error}");
                Error::invalid("port", why)
            })?;
        let address = listener.local_addr().map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot listen on 127.0.0.1").with_source(error)
        })?;
        let rules = Rules {
            port: address.port(),
            ..Rules::default()
        };
        Ok(Server {
            listener,
            address,
            rules,
            limits: Limits::default(),
        })
    }

    /// Answers requests that name these hosts, and those of pages of these origins, too.
    pub fn allow(mut self, hosts: Vec<Host>, origins: Vec<Origin>) -> Server {
        self.rules.hosts.extend(hosts);
        self.rules.origins.extend(origins);
        self
    }

    /// With other bounds.
    pub fn limit(mut self, limits: Limits) -> Server {
        self.limits = limits;
        self
    }

    /// "http://127.0.0.1:8000"
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until the future is dropped, and all connections with it.
    pub async fn serve(self, service: impl Service) -> Infallible {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let desk = Arc::new(Desk {
            service,
            rules: self.rules,
            limits: self.limits,
            large: Semaphore::new(LARGE_AT_ONCE),
        });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                (stream, slot) = accept(&self.listener, &slots) => {
                    connections.spawn(desk.clone().attend(stream, slot));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    loop {
        // Fails only if it were closed, which nobody does.
        let slot = slots.clone().acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            // It is gone again, or the process has no more files: one of them will be closed.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Where the connections are attended to.
struct Desk<S> {
    service: S,
    rules: Rules,
    limits: Limits,
    /// Turns of large bodies.
    large: Semaphore,
}

impl<S: Service> Desk<S> {
    /// Answers what comes on one connection until it ends.
    async fn attend(self: Arc<Self>, stream: TcpStream, _slot: Option<OwnedSemaphorePermit>) {
        // Without it an answer may wait for the acknowledgement of its first part.
        let _ = stream.set_nodelay(true);
        let turns = Arc::new(Turns::default());
        let limits = self.limits;
        let patient = Patient::new(stream, turns.clone(), limits.request, limits.idle);
        let respond = service_fn(|request| {
            let (desk, turns) = (self.clone(), turns.clone());
            async move {
                turns.pass();
                let response = desk.respond(request).await;
                turns.pass();
                Ok::<_, Infallible>(response)
            }
        });
        // A connection that fails is the client's to open again.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(patient), respond)
            .await;
    }

    /// What one request is answered.
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let origin = match self.rules.admit(request.uri(), request.headers()) {
            Ok(origin) => origin,
            Err(refusal) => return self.refuse(&refusal),
        };
        let mut response = match is_question_of_a_browser(&request) {
            true => permission(request.headers()),
            false => match self.read(request).await {
                Ok(request) => self.service.answer(request).await,
                Err(refusal) => self.refuse(&refusal),
            },
        };
        // The answer depends on it, also where there is none.
        response
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("origin"));
        if let Some(Ok(origin)) = origin.map(HeaderValue::try_from) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(READABLE),
            );
        }
        response
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let mut response = self.service.refuse(refusal);
        *response.status_mut() = match refusal {
            Refusal::Host(_) | Refusal::Origin(_) => StatusCode::FORBIDDEN,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Broken => StatusCode::BAD_REQUEST,
        };
        response
    }

    /// The request with its whole body.
    async fn read(
        &self,
        request: Request<Incoming>,
    ) -> std::result::Result<Request<Bytes>, Refusal> {
        let (head, mut body) = request.into_parts();
        let most = self.limits.body;
        let promised = body.size_hint();
        let is_small = promised.upper().is_some_and(|upper| upper <= SMALL_BODY);
        let _turn = match is_small {
            true => None,
            false => self.large.acquire().await.ok(),
        };
        let is_announced = head.headers.contains_key(header::EXPECT);
        if promised.lower() > most && is_announced {
            return Err(Refusal::TooLarge);
        }
        let deadline = Instant::now() + self.limits.request;
        let mut whole = Vec::with_capacity(promised.lower().min(most) as usize);
        let mut length = 0;
        loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Err(_) => return Err(Refusal::TooSlow),
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(Refusal::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            length += data.len() as u64;
            // What is too large is read to its end all the same: a client that is still sending would not see the answer.
            match length > most {
                true => whole = Vec::new(),
                false => whole.extend_from_slice(&data),
            }
        }
        match length > most {
            true => Err(Refusal::TooLarge),
            false => Ok(Request::from_parts(head, whole.into())),
        }
    }
}

/// Whether a browser asks if a page may ask (a CORS preflight).
fn is_question_of_a_browser(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets the page ask what its browser says that it is going to.
fn permission(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static(MAY_ASK_FOR),
    );
    for (question, answer) in [
        (
            header::ACCESS_CONTROL_REQUEST_METHOD,
            header::ACCESS_CONTROL_ALLOW_METHODS,
        ),
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
        ),
        (PRIVATE_ASKED, PRIVATE_ALLOWED),
    ] {
        if let Some(value) = asked.get(question) {
            headers.insert(answer, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    /// Answers each request with this many bytes.
    struct Filled(usize);

    impl Service for Filled {
        async fn answer(&self, _: Request<Bytes>) -> Response<Body> {
            Response::new(vec![b'.'; self.0].into())
        }

        fn refuse(&self, why: &Refusal) -> Response<Body> {
            Response::new(why.to_string().into())
        }
    }

    const LIMITS: Limits = Limits {
        body: 10,
        request: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        connections: 2,
    };

    /// The address of a server with these limits, which answers with this many bytes.
    async fn start(limits: Limits, bytes: usize) -> SocketAddr {
        let server = Server::listen(0).await.unwrap().limit(limits);
        let address = server.address;
        tokio::spawn(server.serve(Filled(bytes)));
        address
    }

    async fn ask(address: SocketAddr, rest: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("POST / HTTP/1.1\r\nhost: {address}\r\n{rest}");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn status(stream: &mut TcpStream) -> String {
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        String::from_utf8_lossy(&start[9..]).into_owned()
    }

    #[tokio::test]
    async fn more_connections_than_there_is_room_for_wait_their_turn() {
        let limits = Limits {
            request: Duration::from_secs(20),
            idle: Duration::from_secs(20),
            ..LIMITS
        };
        let address = start(limits, 1).await;
        let mut first = ask(address, "\r\n").await;
        let mut second = ask(address, "\r\n").await;
        assert_eq!(status(&mut first).await, "200");
        assert_eq!(status(&mut second).await, "200");
        let mut third = ask(address, "\r\n").await;
        let early = timeout(Duration::from_millis(300), status(&mut third)).await;
        assert!(early.is_err(), "{early:?}");
        drop(first);
        assert_eq!(status(&mut third).await, "200");
    }

    #[tokio::test]
    async fn who_sends_or_takes_nothing_is_left() {
        let address = start(LIMITS, 64 * 1024 * 1024).await;
        let begin = Instant::now();
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
        assert!(begin.elapsed() >= LIMITS.idle);
        // It asks for more than the system keeps for it, and reads none of it until it is too late.
        let mut stuck = ask(address, "\r\n").await;
        sleep(LIMITS.idle * 3).await;
        let mut taken = Vec::new();
        let _ = stuck.read_to_end(&mut taken).await;
        assert!(taken.len() < 64 * 1024 * 1024, "{}", taken.len());
    }

    #[tokio::test]
    async fn bodies_are_bounded_in_size_and_time() {
        let address = start(LIMITS, 1).await;
        for (rest, expected) in [
            ("content-length: 10\r\n\r\n0123456789", "200"),
            ("content-length: 11\r\n\r\n0123456789a", "413"),
            ("content-length: 11\r\nexpect: 100-continue\r\n\r\n", "413"),
            (
                "transfer-encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n",
                "413",
            ),
            ("content-length: 10\r\n\r\n012345678", "408"),
        ] {
            let mut stream = ask(address, rest).await;
            assert_eq!(status(&mut stream).await, expected, "{rest}");
        }
    }

    #[tokio::test]
    async fn a_connection_serves_one_request_after_another() {
        let address = start(LIMITS, 1).await;
        let mut stream = ask(address, "\r\n").await;
        for _ in 0..3 {
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n.") {
                assert!(
                    stream.read_buf(&mut answer).await.unwrap() > 0,
                    "{answer:?}"
                );
            }
            // Longer than a request may take, shorter than a connection may be idle.
            sleep(LIMITS.request + Duration::from_millis(100)).await;
            let again = format!("POST / HTTP/1.1\r\nhost: {address}\r\n\r\n");
            stream.write_all(again.as_bytes()).await.unwrap();
        }
    }
}
