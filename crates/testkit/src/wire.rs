//! The line between real processes and a real database, in the hands of the tests: they see every call on a table
//! and may delay it, refuse it, break it off, or do something at exactly that moment. What a live system does by chance, a
//! test does on purpose, or by a seed ([`Faults`]).

mod answers;
mod call;
mod faults;
mod lock;
mod model;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use answers::{
    answered, cancelled, empty_page, failed_statement, refusal, said, throttled, unavailable,
};
use backfill_core::Key;
use backfill_core::value::measured::ItemBytes;
use backfill_core::value::size::write_units;
pub use call::{Call, Verdict};
pub use faults::Faults;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use lock::lock;
use serde_json::Value as Json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A call as it went.
#[derive(Debug, Clone)]
pub struct Seen {
    pub call: Call,
    /// HTTP status of the answer that was passed back; none if there was none (yet).
    pub status: Option<u16>,
    /// Capacity units that the service has charged, also if the answer does not report them.
    pub consumed: f64,
    /// Items that the answer says were evaluated.
    pub scanned: u64,
    /// When the call came.
    pub came: Instant,
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

/// What all connections of a line share.
struct Shared {
    /// Host and port of the server behind it.
    upstream: String,
    taps: Taps,
    /// Decides on the calls on tables that have no tap.
    others: Mutex<Option<Arc<Hook>>>,
    /// Calls that nobody waits for.
    strays: Mutex<JoinSet<()>>,
}

/// The line: an HTTP proxy on a port of 127.0.0.1.
pub struct Wire {
    pub endpoint: String,
    shared: Arc<Shared>,
}

impl Wire {
    /// Opens a line to the server on this port of 127.0.0.1, which need not be there yet.
    pub async fn open(upstream: u16) -> Wire {
        let opened = Wire::between(0, format!("127.0.0.1:{upstream}")).await;
        opened.expect("there is a free port")
    }

    /// Opens a line from this port of 127.0.0.1 (0: any that is free) to the server at this host and port.
    ///
    /// Errors: the port is taken.
    pub async fn between(port: u16, upstream: String) -> std::io::Result<Wire> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let receiver = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            taps: Taps::default(),
            others: Mutex::default(),
            strays: Mutex::default(),
        });
        let line = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, sender)) = listener.accept().await {
                // Small messages to and fro: Nagle's algorithm would add 40 ms to each.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, sender, receiver, line.clone()));
            }
        });
        Ok(Wire {
            endpoint: format!("http://{receiver}"),
            shared,
        })
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
        lock(&self.shared.taps).insert(table.to_owned(), tapped.clone());
        Tap {
            table: table.to_owned(),
            taps: self.shared.taps.clone(),
            tapped,
        }
    }

    /// Shows every call on a table without a tap to `hook`, which decides on it. Nothing of it is remembered, so this may
    /// go on for days.
    pub fn decide<F, Fut>(&self, hook: F)
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        *lock(&self.shared.others) = Some(Arc::new(move |call| Box::pin(hook(call))));
    }

    /// Waits until every call that nobody waits for ([`Verdict::Stray`]) was carried out.
    pub async fn settled(&self) {
        let strays = std::mem::take(&mut *lock(&self.shared.strays));
        strays.join_all().await;
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

type Problem = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Problem>>;

/// The connection to the server, once there is one.
struct Behind {
    upstream: String,
    connection: tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// One connection of a client, with one to the server behind it.
async fn serve(stream: TcpStream, sender: SocketAddr, receiver: SocketAddr, shared: Arc<Shared>) {
    let Ok((stream, resets)) = with_resets(stream) else {
        return;
    };
    let behind = Arc::new(Behind::of(&shared));
    let service = hyper::service::service_fn(move |request| {
        let (shared, behind, resets) = (shared.clone(), behind.clone(), resets.clone());
        handle(request, sender, receiver, shared, behind, resets)
    });
    // If either side goes away, the other one notices by itself.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The stream, and a second handle on it by which its end becomes a reset.
fn with_resets(stream: TcpStream) -> std::io::Result<(TcpStream, Arc<TcpStream>)> {
    let stream = stream.into_std()?;
    let handle = TcpStream::from_std(stream.try_clone()?)?;
    Ok((TcpStream::from_std(stream)?, Arc::new(handle)))
}

async fn handle(
    request: Request<Incoming>,
    sender: SocketAddr,
    receiver: SocketAddr,
    shared: Arc<Shared>,
    behind: Arc<Behind>,
    resets: Arc<TcpStream>,
) -> Result<Answer, Problem> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.headers.get("x-amz-target");
    let operation = target.and_then(|target| target.to_str().ok()?.split('.').next_back());
    let call = Call {
        operation: operation.unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        access_key: access_key(&parts.headers).unwrap_or_default().to_owned(),
        sender,
        receiver,
    };
    let request = Request::from_parts(parts, Full::new(body));
    answer(call, request, &shared, &behind, &resets).await
}

/// "AKIA…" of `AWS4-HMAC-SHA256 Credential=AKIA…/20260102/us-east-1/dynamodb/aws4_request, …`.
fn access_key(headers: &HeaderMap) -> Option<&str> {
    let signed = headers.get("authorization")?.to_str().ok()?;
    let (_, scope) = signed.split_once("Credential=")?;
    scope.split('/').next()
}

async fn answer(
    call: Call,
    request: Request<Full<Bytes>>,
    shared: &Shared,
    behind: &Behind,
    resets: &TcpStream,
) -> Result<Answer, Problem> {
    let tapped = lock(&shared.taps).get(call.table()).cloned();
    let Some(tapped) = tapped else {
        let others = lock(&shared.others).clone();
        let verdict = match others {
            Some(hook) => hook(call.clone()).await,
            None => Verdict::Forward,
        };
        let (response, ending) = carry_out(verdict, &call, request, shared, behind, resets).await?;
        return Ok(ending.of(response));
    };
    let place = {
        let mut seen = lock(&tapped.seen);
        let now = Instant::now();
        seen.push(Seen {
            call: call.clone(),
            status: None,
            consumed: 0.0,
            scanned: 0,
            came: now,
            at: now,
        });
        seen.len() - 1
    };
    let verdict = (tapped.hook)(call.clone()).await;
    let (response, ending) = carry_out(verdict, &call, request, shared, behind, resets).await?;
    {
        let answer: Json = serde_json::from_slice(response.body()).unwrap_or_default();
        let seen = &mut lock(&tapped.seen)[place];
        seen.status = Some(response.status().as_u16());
        seen.consumed = charged(&answer);
        seen.scanned = answer["ScannedCount"].as_u64().unwrap_or(0);
        seen.at = Instant::now();
    }
    Ok(ending.of(response))
}

/// How much of an answer reaches the client.
enum Ending {
    Whole,
    /// Half of it, and then the connection ends.
    Truncated,
    /// Half of it, as if that were all.
    Garbled,
}

impl Ending {
    fn of(self, response: Response<Bytes>) -> Answer {
        let (mut parts, bytes) = response.into_parts();
        let half = bytes.slice(..bytes.len() / 2);
        let whole = |bytes| Full::new(bytes).map_err(|never| match never {}).boxed();
        let body = match self {
            Ending::Whole => whole(bytes),
            Ending::Garbled => {
                parts.headers.insert("content-length", half.len().into());
                whole(half)
            }
            Ending::Truncated => {
                parts.headers.insert("content-length", bytes.len().into());
                let frames = stream::unfold(Some(half), |half| async {
                    // What was written before is on its way when this comes back.
                    tokio::task::yield_now().await;
                    Some(match half {
                        Some(half) => (Ok(Frame::data(half)), None),
                        None => (Err("broken off on purpose".into()), None),
                    })
                });
                StreamBody::new(frames).boxed()
            }
        };
        Response::from_parts(parts, body)
    }
}

async fn carry_out(
    verdict: Verdict,
    call: &Call,
    request: Request<Full<Bytes>>,
    shared: &Shared,
    behind: &Behind,
    resets: &TcpStream,
) -> Result<(Response<Bytes>, Ending), Problem> {
    if let Some(response) = own_answer(&verdict, call) {
        return Ok((response, Ending::Whole));
    }
    let response = match verdict {
        Verdict::Delay(time) => {
            let response = behind.forward(request).await?;
            tokio::time::sleep(time).await;
            response
        }
        Verdict::Amend(fields) => {
            let response = behind.forward(request).await?;
            let mut answer: Json = serde_json::from_slice(response.body())?;
            amend(&mut answer, &fields);
            answered(response.status().as_u16(), &answer)
        }
        Verdict::ShortPage(limit) => {
            let mut body = call.body.clone();
            body["Limit"] = limit.into();
            behind.forward(with_body(request, &body)).await?
        }
        Verdict::FailStatements {
            every,
            code,
            message,
        } => {
            let fails = (1..=call.updates()).map(|nth| nth % every as u64 == 0);
            fail_statements(fails, (code, message), call, request, behind).await?
        }
        Verdict::RefuseItems { keys, message } => {
            refuse_items(&keys, message, call, request, behind).await?
        }
        Verdict::Break => return Err("broken on purpose".into()),
        Verdict::Reset => {
            resets.set_zero_linger()?;
            return Err("reset on purpose".into());
        }
        Verdict::LoseReply => {
            behind.forward(request).await?;
            return Err("broken on purpose behind the call".into());
        }
        Verdict::Stray(time) => {
            let alone = Behind::of(shared);
            lock(&shared.strays).spawn(async move {
                tokio::time::sleep(time).await;
                // Its answer is for nobody.
                let _ = alone.forward(request).await;
            });
            resets.set_zero_linger()?;
            return Err("reset on purpose before the call".into());
        }
        Verdict::Truncate => return Ok((behind.forward(request).await?, Ending::Truncated)),
        Verdict::Garble => return Ok((behind.forward(request).await?, Ending::Garbled)),
        // Those that the proxy has not answered by itself.
        _ => behind.forward(request).await?,
    };
    Ok((response, Ending::Whole))
}

/// Puts fields into an answer, those of objects into the objects of the same name.
fn amend(answer: &mut Json, fields: &Json) {
    match (answer.as_object_mut(), fields.as_object()) {
        (Some(answer), Some(fields)) => {
            for (name, field) in fields {
                amend(answer.entry(name).or_insert(Json::Null), field);
            }
        }
        _ => *answer = fields.clone(),
    }
}

/// Forwards an update of other items than these, and refuses that of these as invalid.
async fn refuse_items(
    keys: &BTreeSet<Key>,
    message: &str,
    call: &Call,
    request: Request<Full<Bytes>>,
    behind: &Behind,
) -> Result<Response<Bytes>, Problem> {
    let fails: Vec<bool> = call.keys().iter().map(|key| keys.contains(key)).collect();
    if !fails.contains(&true) {
        return behind.forward(request).await;
    }
    if call.operation == "UpdateItem" {
        return Ok(refusal(call, "ValidationException", message));
    }
    let error = ("ValidationError", message);
    fail_statements(fails.into_iter(), error, call, request, behind).await
}

/// What the proxy answers by itself; none if the server is asked, or nothing is answered.
fn own_answer(verdict: &Verdict, call: &Call) -> Option<Response<Bytes>> {
    Some(match *verdict {
        Verdict::EmptyPage => empty_page(call, call.body.get("ExclusiveStartKey")?),
        Verdict::CancelTransaction { code } => cancelled(call, code),
        Verdict::Refuse { code, message } => refusal(call, code, message),
        Verdict::Throttle { reason, resource } => {
            throttled(call, "ThrottlingException", reason, resource)
        }
        Verdict::ThrottleAs {
            code,
            reason,
            resource,
        } => throttled(call, code, reason, resource),
        Verdict::Unavailable(500) => refusal(call, "InternalServerError", "injected"),
        Verdict::Unavailable(status) => unavailable(status),
        Verdict::Say(status, ref body) => said(status, body.clone()),
        _ => return None,
    })
}

/// Forwards a batch without those of its statements that fail, and answers these with an error in their places.
async fn fail_statements(
    fails: impl Iterator<Item = bool> + Clone,
    (code, message): (&str, &str),
    call: &Call,
    request: Request<Full<Bytes>>,
    behind: &Behind,
) -> Result<Response<Bytes>, Problem> {
    let mut body = call.body.clone();
    let statements = body["Statements"].as_array_mut().expect("a batch");
    let mut each = fails.clone();
    statements.retain(|_| !each.next().unwrap_or(false));
    let none = statements.is_empty();
    let mut answer = if none {
        serde_json::json!({"Responses": []})
    } else {
        let answer = behind.forward(with_body(request, &body)).await?;
        serde_json::from_slice(answer.body())?
    };
    let responses = answer["Responses"].as_array_mut().expect("answers");
    for (place, _) in fails.enumerate().filter(|(_, fails)| *fails) {
        responses.insert(place, failed_statement(call, code, message));
    }
    Ok(answered(200, &answer))
}

/// The units that a call was charged by this answer: those that it reports (a batch and a transaction do so table by table),
/// and if it reports none, what the condition that failed has cost: the size of the item that it was held against.
fn charged(answer: &Json) -> f64 {
    let capacity = &answer["ConsumedCapacity"];
    let units = |capacity: &Json| capacity["CapacityUnits"].as_f64().unwrap_or(0.0);
    match capacity {
        Json::Array(tables) => return tables.iter().map(units).sum(),
        Json::Object(_) => return units(capacity),
        _ => {}
    }
    let failed = |item: &Json| {
        let item: Option<ItemBytes> = serde_json::from_value(item.clone()).unwrap_or_default();
        write_units(item.map_or(0, |item| item.0))
    };
    if answer["__type"]
        .as_str()
        .is_some_and(|code| code.ends_with("#ConditionalCheckFailedException"))
    {
        return failed(&answer["Item"]);
    }
    let each = |list: &str| answer[list].as_array().cloned().unwrap_or_default();
    let of_batch = each("Responses")
        .into_iter()
        .map(|response| response["Error"].clone());
    let of_batch = of_batch.filter(|error| error["Code"] == "ConditionalCheckFailed");
    let of_check = each("CancellationReasons").into_iter();
    let of_check = of_check.filter(|reason| reason["Code"] == "ConditionalCheckFailed");
    of_batch.map(|error| failed(&error["Item"])).sum::<f64>()
        + of_check
            .map(|reason| 2.0 * failed(&reason["Item"]))
            .sum::<f64>()
}

impl Behind {
    fn of(shared: &Shared) -> Behind {
        Behind {
            upstream: shared.upstream.clone(),
            connection: tokio::sync::Mutex::default(),
        }
    }

    async fn forward(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Problem> {
        let mut behind = self.connection.lock().await;
        // The server closes a connection that has been idle for a while.
        let ready = match behind.as_mut() {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !ready {
            let stream = TcpStream::connect(&self.upstream).await?;
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
        Ok(Response::from_parts(parts, body))
    }
}

fn with_body(request: Request<Full<Bytes>>, body: &Json) -> Request<Full<Bytes>> {
    let body = Bytes::from(body.to_string());
    let (mut parts, _) = request.into_parts();
    parts.headers.insert("content-length", body.len().into());
    Request::from_parts(parts, Full::new(body))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that answers every call with this page, and counts them.
    async fn server() -> (u16, Arc<AtomicU64>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicU64::new(0));
        let counter = calls.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = counter.clone();
                let service = hyper::service::service_fn(move |_: Request<Incoming>| {
                    counter.fetch_add(1, SeqCst);
                    std::future::ready(Ok::<_, Problem>(Response::new(Full::new(Bytes::from(
                        PAGE,
                    )))))
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        (port, calls)
    }

    const PAGE: &str = r#"{"Items":[{"id":{"S":"a"}}],"Count":1,"ScannedCount":1}"#;

    /// What a client gets to see of a call: everything that comes, and how that ends.
    async fn call(wire: &Wire) -> (String, std::io::Result<()>) {
        let address = wire.endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let body = r#"{"TableName":"stuff","Limit":9,"ExclusiveStartKey":{"id":{"S":"0"}}}"#;
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {address}\r\nx-amz-target: DynamoDB_20120810.Scan\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        let end = stream.read_to_end(&mut seen).await.map(drop);
        (String::from_utf8(seen).unwrap(), end)
    }

    /// By the captures of dynoxide's changelog and tests, and the developer guide ("Capacity units consumed by conditional
    /// writes").
    #[test]
    fn calls_are_charged_as_the_service_does() {
        let item =
            |kilobytes: usize| serde_json::json!({"f": {"S": "x".repeat(kilobytes * 1024 - 1)}});
        let failed = |item: Json| serde_json::json!({"Error": {"Code": "ConditionalCheckFailed", "Item": item}});
        let gone = serde_json::json!({"Error": {"Code": "ConditionalCheckFailed"}});
        let throttled = serde_json::json!({"Error": {"Code": "ThrottlingError"}});
        for (answer, units) in [
            (
                serde_json::json!({"ConsumedCapacity": {"CapacityUnits": 1.5}}),
                1.5,
            ),
            (
                serde_json::json!({"ConsumedCapacity": [{"CapacityUnits": 2.0}, {"CapacityUnits": 3.0}], "Responses": [failed(item(4))]}),
                5.0,
            ),
            (
                serde_json::json!({"Responses": vec![failed(item(4)); 25]}),
                100.0,
            ),
            (
                serde_json::json!({"Responses": [failed(item(400)), gone, throttled]}),
                401.0,
            ),
            (
                serde_json::json!({"__type": "a#ConditionalCheckFailedException", "Item": item(40)}),
                40.0,
            ),
            (
                serde_json::json!({"__type": "a#ConditionalCheckFailedException"}),
                1.0,
            ),
            (serde_json::json!({"__type": "a#ThrottlingException"}), 0.0),
            (
                serde_json::json!({"CancellationReasons": [{"Code": "ConditionalCheckFailed", "Item": item(3)}]}),
                6.0,
            ),
        ] {
            assert_eq!(charged(&answer), units);
        }
    }

    #[tokio::test]
    async fn each_verdict_is_carried_out_and_shown_as_it_says() {
        const RESET: bool = true;
        const WHOLE: &str = PAGE;
        let half = &PAGE[..PAGE.len() / 2];
        let long = Duration::from_millis(30);
        for (verdict, status, body, carried_out, end) in [
            (Verdict::Forward, "200", WHOLE, 1, !RESET),
            (Verdict::Delay(long), "200", WHOLE, 1, !RESET),
            (
                Verdict::Amend(serde_json::json!({"Count": 7})),
                "200",
                r#""Count":7"#,
                1,
                !RESET,
            ),
            (Verdict::ShortPage(1), "200", WHOLE, 1, !RESET),
            (Verdict::EmptyPage, "200", r#""Items":[]"#, 0, !RESET),
            (
                Verdict::Refuse {
                    code: "ThrottlingException",
                    message: "slow",
                },
                "400",
                "#ThrottlingException",
                0,
                !RESET,
            ),
            (
                Verdict::Unavailable(500),
                "500",
                "#InternalServerError",
                0,
                !RESET,
            ),
            (Verdict::Unavailable(503), "503", "<html>", 0, !RESET),
            (Verdict::Break, "", "", 0, !RESET),
            (Verdict::Reset, "", "", 0, RESET),
            (Verdict::LoseReply, "", "", 1, !RESET),
            (Verdict::Stray(long), "", "", 1, RESET),
            (Verdict::Truncate, "200", half, 1, !RESET),
            (Verdict::Garble, "200", half, 1, !RESET),
        ] {
            let (port, calls) = server().await;
            let wire = Wire::open(port).await;
            let given = verdict.clone();
            let tap = wire.tap("stuff", move |_| std::future::ready(given.clone()));
            let (seen, ended) = call(&wire).await;
            let what = format!("{verdict:?}: {seen:?} {ended:?}");
            if matches!(verdict, Verdict::Stray(_)) {
                assert_eq!(calls.load(SeqCst), 0, "{what}");
            }
            wire.settled().await;
            assert_eq!(calls.load(SeqCst), carried_out, "{what}");
            assert_eq!(ended.is_err(), end, "{what}");
            let (head, rest) = seen.split_once("\r\n\r\n").unwrap_or_default();
            assert_eq!(head.split(' ').nth(1).unwrap_or(""), status, "{what}");
            assert!(rest.contains(body), "{what}");
            if body == half {
                assert!(!rest.contains(WHOLE), "{what}");
                let whole = format!("content-length: {}", PAGE.len());
                let truncated = matches!(verdict, Verdict::Truncate);
                assert_eq!(head.contains(&whole), truncated, "{what}");
            }
            assert_eq!(tap.seen().len(), 1, "{what}");
        }
    }
}
