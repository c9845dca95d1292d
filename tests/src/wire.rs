//! The line between the deployed functions and DynamoDB, in the hands of the tests: they see every call on a table
//! and may delay it, refuse it, or do something at exactly that moment. What a live system does by chance, a test does
//! on purpose.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use backfill_core::{Item, Key};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::{TcpListener, TcpStream};

/// How long a slow table takes for an update, or for four of a batch.
const SLOW: Duration = Duration::from_millis(100);

/// A call to DynamoDB.
#[derive(Debug, Clone)]
pub struct Call {
    /// `Scan`, `UpdateItem`, …
    pub operation: String,
    pub body: Json,
    sender: SocketAddr,
    receiver: SocketAddr,
}

impl Call {
    /// The table that it names, in a transaction or a batch the one of its first part; empty where it names none.
    pub fn table(&self) -> &str {
        if let Some(statement) = self.statements().first() {
            // UPDATE "stuff" SET …
            let text = statement["Statement"].as_str().unwrap_or_default();
            return text.split('"').nth(1).unwrap_or_default();
        }
        let action = self.body["TransactItems"][0].as_object();
        let action = action.and_then(|action| action.values().next());
        let named = action.unwrap_or(&self.body);
        named["TableName"].as_str().unwrap_or_default()
    }

    /// True for a transaction that only looks at items.
    pub fn is_check(&self) -> bool {
        let actions = self.body["TransactItems"].as_array();
        let only_checks = |action: &Json| {
            action
                .as_object()
                .is_some_and(|action| action.keys().eq(["ConditionCheck"]))
        };
        self.operation == "TransactWriteItems"
            && actions.is_some_and(|actions| actions.iter().all(only_checks))
    }

    fn statements(&self) -> &[Json] {
        self.body["Statements"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }

    /// True for guarded updates, of one item or of several.
    pub fn is_update(&self) -> bool {
        self.updates() > 0
    }

    /// How many items it is to update.
    pub fn updates(&self) -> u64 {
        match self.operation.as_str() {
            "UpdateItem" => 1,
            "BatchExecuteStatement" => self.statements().len() as u64,
            _ => 0,
        }
    }

    /// Whether every update in it is guarded: it names a condition, and cannot create an item.
    pub fn is_guarded(&self) -> bool {
        let condition = self.body["ConditionExpression"].as_str();
        match self.operation.as_str() {
            "UpdateItem" => condition.is_some_and(|guard| guard.starts_with("attribute_exists(")),
            _ => self.statements().iter().all(|statement| {
                let text = statement["Statement"].as_str().unwrap_or_default();
                text.starts_with("UPDATE ") && text.contains("= ? AND (")
            }),
        }
    }

    /// True for a page of a sweep, as workers read it; not for the one item by which `run` has the predicate judged.
    pub fn is_sweep(&self) -> bool {
        self.operation == "Scan" && !self.is_count() && self.body["Limit"] != 1
    }

    /// True for a page of a verification: a strongly consistent scan.
    pub fn is_count(&self) -> bool {
        self.operation == "Scan" && self.body["ConsistentRead"] == true
    }

    /// Waits as long as its updates would take a slow table.
    pub async fn dawdle(&self) {
        tokio::time::sleep(SLOW * self.updates().div_ceil(4) as u32).await;
    }

    /// The segment of a scan.
    pub fn segment(&self) -> Option<u64> {
        self.body["Segment"].as_u64()
    }

    /// The key after which a page of a scan begins; none at the beginning of a segment.
    pub fn start_key(&self) -> Option<Key> {
        serde_json::from_value(self.body["ExclusiveStartKey"].clone()).ok()
    }

    /// The keys of the items that it is to update.
    pub fn keys(&self) -> Vec<Key> {
        if self.operation == "UpdateItem" {
            let key: Item = serde_json::from_value(self.body["Key"].clone()).expect("a key");
            return vec![Key(key)];
        }
        let key = |statement: &Json| {
            // UPDATE "stuff" SET "test" = ? WHERE "id" = ? AND "created" = ? AND (…)
            let text = statement["Statement"].as_str().expect("a statement");
            let (set, condition) = text.split_once(" WHERE ").expect("a condition");
            let (key, _) = condition.split_once(" AND (").expect("a predicate");
            let parameters = &statement["Parameters"].as_array().expect("parameters")
                [set.matches('?').count()..];
            let names = key.split('"').skip(1).step_by(2).map(str::to_owned);
            let value = |json: &Json| serde_json::from_value(json.clone()).expect("a value");
            Key(names.zip(parameters.iter().map(value)).collect())
        };
        self.statements().iter().map(key).collect()
    }

    /// The function's process that sent it.
    pub fn process(&self) -> Process {
        let pid = owner_of(self.sender, self.receiver).expect("the sender of a call is alive");
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        assert!(
            program.file_name() == Some("bootstrap".as_ref()),
            "process {pid} is not a function but {}",
            program.display()
        );
        Process { pid }
    }
}

/// A process of a deployed function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// Ends it at once, in the middle of what it does.
    pub fn kill(self) {
        signal(self.pid, "KILL");
    }

    /// Stops it where it is, as a machine does that is out of breath: it does not know that time passes.
    pub fn freeze(self) {
        signal(self.pid, "STOP");
    }

    /// Lets it go on.
    pub fn thaw(self) {
        signal(self.pid, "CONT");
    }
}

/// Sends a signal to one process.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: not every system has a program of that name.
    let mut command = Command::new("sh");
    let status = command
        .args(["-c", &format!("kill -{name} {pid}")])
        .status();
    assert!(status.expect("sh runs").success(), "kill -{name} {pid}");
}

/// What is to become of a call.
#[derive(Debug, Clone)]
pub enum Verdict {
    Forward,
    /// Passed on with this Limit: a page of so many items, of which a small table then has several.
    ShortPage(u32),
    /// DynamoDB's answer would be this error.
    Refuse {
        code: &'static str,
        message: &'static str,
    },
    /// Of a batch, every n-th statement fails like this, and the others are passed on.
    FailStatements {
        every: usize,
        code: &'static str,
        message: &'static str,
    },
    /// DynamoDB throttles the call, and says why.
    Throttle {
        reason: &'static str,
        resource: &'static str,
    },
    /// The connection ends without an answer.
    Break,
}

/// A call as it went.
#[derive(Debug, Clone)]
pub struct Seen {
    pub call: Call,
    /// HTTP status of the answer that was passed back; none where there was none (yet).
    pub status: Option<u16>,
    /// Capacity units that the answer reports.
    pub consumed: f64,
    /// When the answer was passed back, or else when the call came.
    pub at: Instant,
}

type Hook = dyn Fn(Call) -> Pin<Box<dyn Future<Output = Verdict> + Send>> + Send + Sync;

#[derive(Clone)]
struct Tapped {
    hook: Arc<Hook>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Taps = Arc<Mutex<HashMap<String, Tapped>>>;

/// The line: an HTTP proxy on a port of 127.0.0.1.
pub struct Wire {
    pub endpoint: String,
    taps: Taps,
}

impl Wire {
    /// Opens a line to the server on this port of 127.0.0.1, which need not be there yet.
    pub async fn open(upstream: u16) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let receiver = listener.local_addr().expect("it is bound");
        let taps = Taps::default();
        let line = taps.clone();
        tokio::spawn(async move {
            while let Ok((stream, sender)) = listener.accept().await {
                // Small messages to and fro: Nagle's algorithm would add 40 ms to each.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, sender, receiver, upstream, line.clone()));
            }
        });
        Wire {
            endpoint: format!("http://{receiver}"),
            taps,
        }
    }

    /// Shows every call on a table to `hook`, which decides on it, until the tap is dropped. Replaces an earlier tap on
    /// that table.
    pub fn tap<F, Fut>(&self, table: &str, hook: F) -> Tap
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        let tapped = Tapped {
            hook: Arc::new(move |call| Box::pin(hook(call))),
            seen: Arc::default(),
        };
        lock(&self.taps).insert(table.to_owned(), tapped.clone());
        Tap {
            table: table.to_owned(),
            taps: self.taps.clone(),
            tapped,
        }
    }

    /// Takes down every call on a table and lets it pass.
    pub fn listen(&self, table: &str) -> Tap {
        self.tap(table, async |_| Verdict::Forward)
    }

    /// Lets the updates of a table wait, so that a few hundred items take more than a second.
    pub fn slow_down(&self, table: &str) -> Tap {
        self.tap(table, |call| async move {
            call.dawdle().await;
            Verdict::Forward
        })
    }
}

/// The calls on one table, while it lives.
pub struct Tap {
    table: String,
    taps: Taps,
    tapped: Tapped,
}

impl Tap {
    /// The calls so far, in the order in which they came.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.tapped.seen).clone()
    }

    /// Those that workers swept the table with.
    pub fn sweeps(&self) -> Vec<Call> {
        let seen = self.seen().into_iter().map(|seen| seen.call);
        seen.filter(Call::is_sweep).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut taps = lock(&self.taps);
        let mine = |tapped: &Tapped| Arc::ptr_eq(&tapped.seen, &self.tapped.seen);
        if taps.get(&self.table).is_some_and(mine) {
            taps.remove(&self.table);
        }
    }
}

/// A case that panicked must not take the others with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The connection to the server, once there is one.
type Behind = tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>;
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// One connection of a client, with one to the server behind it.
async fn serve(
    stream: TcpStream,
    sender: SocketAddr,
    receiver: SocketAddr,
    upstream: u16,
    taps: Taps,
) {
    let behind = Arc::new(Behind::default());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        answer(
            request,
            sender,
            receiver,
            upstream,
            taps.clone(),
            behind.clone(),
        )
    });
    // Where either side goes away, the other one notices by itself.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    sender: SocketAddr,
    receiver: SocketAddr,
    upstream: u16,
    taps: Taps,
    behind: Arc<Behind>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.headers.get("x-amz-target");
    let operation = target.and_then(|target| target.to_str().ok()?.split('.').next_back());
    let call = Call {
        operation: operation.unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        sender,
        receiver,
    };
    let tapped = lock(&taps).get(call.table()).cloned();
    let request = Request::from_parts(parts, Full::new(body));
    let Some(tapped) = tapped else {
        return forward(&behind, upstream, request).await;
    };
    let place = {
        let mut seen = lock(&tapped.seen);
        seen.push(Seen {
            call: call.clone(),
            status: None,
            consumed: 0.0,
            at: Instant::now(),
        });
        seen.len() - 1
    };
    let mut body = call.body.clone();
    let response = match (tapped.hook)(call).await {
        Verdict::Forward => forward(&behind, upstream, request).await?,
        Verdict::ShortPage(limit) => {
            body["Limit"] = limit.into();
            forward(&behind, upstream, with_body(request, &body)).await?
        }
        Verdict::FailStatements {
            every,
            code,
            message,
        } => {
            let statements = body["Statements"].as_array_mut().expect("a batch");
            let asked = statements.len();
            let mut nth = 0;
            statements.retain(|_| {
                nth += 1;
                nth % every != 0
            });
            let none = statements.is_empty();
            let mut answer = if none {
                serde_json::json!({"Responses": []})
            } else {
                let answer = forward(&behind, upstream, with_body(request, &body)).await?;
                serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?
            };
            let responses = answer["Responses"].as_array_mut().expect("answers");
            for nth in (every..=asked).step_by(every) {
                let error = serde_json::json!({"Error": {"Code": code, "Message": message}});
                responses.insert(nth - 1, error);
            }
            json_response(200, &answer)
        }
        Verdict::Refuse { code, message } => refusal(code, message),
        Verdict::Throttle { reason, resource } => json_response(
            400,
            &serde_json::json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "message": "The level of configured provisioned throughput was exceeded",
                "ThrottlingReasons": [{"reason": reason, "resource": resource}],
            }),
        ),
        Verdict::Break => return Err("broken on purpose".into()),
    };
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    {
        let seen = &mut lock(&tapped.seen)[place];
        seen.status = Some(parts.status.as_u16());
        seen.consumed = consumed(&body);
        seen.at = Instant::now();
    }
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// The units in an answer; a batch reports them table by table.
fn consumed(answer: &[u8]) -> f64 {
    let answer: Json = serde_json::from_slice(answer).unwrap_or_default();
    let capacity = &answer["ConsumedCapacity"];
    let units = |capacity: &Json| capacity["CapacityUnits"].as_f64().unwrap_or(0.0);
    match capacity.as_array() {
        Some(tables) => tables.iter().map(units).sum(),
        None => units(capacity),
    }
}

async fn forward(
    behind: &Behind,
    upstream: u16,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let mut behind = behind.lock().await;
    // The server closes a connection that has been idle for a while.
    let ready = match behind.as_mut() {
        Some(connection) => connection.ready().await.is_ok(),
        None => false,
    };
    if !ready {
        let stream = TcpStream::connect(("127.0.0.1", upstream)).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        *behind = Some(connection);
    }
    let connection = behind.as_mut().expect("just connected");
    let response = connection.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}

fn with_body(request: Request<Full<Bytes>>, body: &Json) -> Request<Full<Bytes>> {
    let body = Bytes::from(body.to_string());
    let (mut parts, _) = request.into_parts();
    parts.headers.insert("content-length", body.len().into());
    Request::from_parts(parts, Full::new(body))
}

fn refusal(code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({
        "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
        "message": message,
    });
    json_response(400, &body)
}

fn json_response(status: u16, body: &Json) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(Full::new(body.to_string().into()))
        .expect("a plain response")
}

/// The process that holds the connection from `sender` to `receiver`, as Linux tells it.
fn owner_of(sender: SocketAddr, receiver: SocketAddr) -> Option<u32> {
    let connections = std::fs::read_to_string("/proc/net/tcp").expect("Linux's list of sockets");
    let [from, to] = [sender, receiver].map(|address| format!(":{:04X}", address.port()));
    let socket = connections.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, _, _, _, _, _, _, inode, ..] = fields[..] else {
            return None;
        };
        (local.ends_with(&from) && remote.ends_with(&to)).then(|| format!("socket:[{inode}]"))
    })?;
    let processes = std::fs::read_dir("/proc").expect("Linux's list of processes");
    processes.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(process.path().join("fd")).ok()?;
        let holds = |file: std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|target| target == Path::new(&socket))
        };
        files.flatten().any(holds).then_some(pid)
    })
}
