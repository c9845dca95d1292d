//! Whom the sandbox answers: programs of this machine, and no web page. By bytes on a socket, as a browser or a stranger sends
//! them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::sandbox::Sandbox;
use backfill_e2e::tables;
use serde_json::{Value as Json, json};

/// What came back: status, headers in lower case, body.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Headers by which a page is let in.
    fn permissions(&self) -> Vec<&str> {
        let lines = self.headers.lines();
        lines
            .filter(|line| line.starts_with("access-control-"))
            .collect()
    }
}

fn connect(endpoint: &str) -> TcpStream {
    let address = endpoint.trim_start_matches("http://");
    let stream = TcpStream::connect(address).expect("the sandbox listens");
    let patience = Some(Duration::from_secs(40));
    stream.set_read_timeout(patience).expect("a timeout");
    stream
}

/// Sends these bytes and reads what comes until the other side ends the connection.
fn send(endpoint: &str, bytes: &[u8]) -> Answer {
    let mut stream = connect(endpoint);
    // What is refused may be refused before it was sent as a whole.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).expect("text");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status.split(' ').nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        headers: headers.to_ascii_lowercase().replace("\r\n", "\n"),
        body: body.to_owned(),
    }
}

/// The host that a program names which was told the endpoint.
fn host(endpoint: &str) -> &str {
    endpoint.trim_start_matches("http://")
}

const SIGNED: &str = "authorization: AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
     SignedHeaders=host;x-amz-date;x-amz-target, Signature=00\r\nx-amz-date: 20260101T000000Z\r\n";

/// A signed call with these headers beside the usual ones.
fn call(endpoint: &str, name: &str, body: &str, host: &str, headers: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\n{headers}content-type: application/x-amz-json-1.0\r\n\
         x-amz-target: DynamoDB_20120810.{name}\r\n{SIGNED}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    send(endpoint, request.as_bytes())
}

/// Asks as a browser does before a page's call.
fn preflight(endpoint: &str, host: &str, origin: &str) -> Answer {
    let request = format!(
        "OPTIONS / HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: content-type,x-amz-target,authorization,x-amz-date\r\nconnection: close\r\n\r\n"
    );
    send(endpoint, request.as_bytes())
}

#[test]
fn web_pages_cannot_ask_the_sandbox() {
    let sandbox = Sandbox::start();
    let at = &sandbox.endpoint;
    let here = host(at);
    for origin in ["https://evil.example", "null", at.as_str()] {
        let asked = preflight(at, here, origin);
        assert_eq!(asked.status, 403, "{asked:?}");
        assert_eq!(asked.permissions(), [""; 0], "{asked:?}");
        let headers = format!("origin: {origin}\r\n");
        let called = call(at, "ListTables", "{}", here, &headers);
        assert_eq!(called.status, 403, "{called:?}");
        assert_eq!(called.permissions(), [""; 0], "{called:?}");
        assert!(called.body.contains("--allow-origin"), "{called:?}");
        assert!(!called.body.contains("TableNames"), "{called:?}");
    }
    // A picture or script of a page elsewhere has no origin, but its browser tells.
    let picture = format!(
        "GET / HTTP/1.1\r\nhost: {here}\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(send(at, picture.as_bytes()).status, 403);
    let called = call(at, "ListTables", "{}", here, "");
    assert_eq!(called.status, 200, "{called:?}");
    assert_eq!(called.permissions(), [""; 0], "{called:?}");
}

#[test]
fn names_that_were_made_to_lead_to_the_sandbox_are_not_answered() {
    let sandbox = Sandbox::start();
    let at = &sandbox.endpoint;
    let port = at.rsplit(':').next().expect("a port");
    for name in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
        let called = call(at, "ListTables", "{}", &format!("{name}:{port}"), "");
        assert_eq!(called.status, 200, "{name}: {called:?}");
    }
    let foreign = format!("evil.example:{port}");
    for name in [foreign.as_str(), "evil.example", "localhost", ""] {
        let called = call(at, "ListTables", "{}", name, "");
        assert_eq!(called.status, 403, "{name}: {called:?}");
        assert!(called.body.contains("--allow-host"), "{called:?}");
        assert_eq!(preflight(at, name, "http://evil.example").status, 403);
    }
    let nameless = format!("GET / HTTP/1.0\r\nport: {port}\r\n\r\n");
    assert_eq!(send(at, nameless.as_bytes()).status, 403);
    let proxied = format!(
        "GET http://{foreign}/ HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(send(at, proxied.as_bytes()).status, 403);
}

#[test]
fn an_origin_and_a_host_that_were_named_are_answered() {
    let origin = "http://localhost:3000";
    let sandbox = Sandbox::with(&[
        "--allow-origin",
        origin,
        "--allow-host",
        "host.docker.internal",
    ]);
    let at = &sandbox.endpoint;
    let port = at.rsplit(':').next().expect("a port");
    let asked = preflight(at, host(at), origin);
    assert_eq!(asked.status, 200, "{asked:?}");
    let permitted = |name| asked.header(name).unwrap_or_else(|| panic!("{asked:?}"));
    assert_eq!(permitted("access-control-allow-origin"), origin);
    assert_eq!(permitted("access-control-allow-methods"), "post");
    let headers = permitted("access-control-allow-headers");
    assert!(headers.contains("x-amz-target"), "{headers}");
    assert_eq!(permitted("vary"), "origin");
    let headers = format!("origin: {origin}\r\n");
    let called = call(at, "ListTables", "{}", host(at), &headers);
    assert_eq!(called.status, 200, "{called:?}");
    assert_eq!(called.header("access-control-allow-origin"), Some(origin));
    let other = call(
        at,
        "ListTables",
        "{}",
        host(at),
        "origin: http://localhost:3001\r\n",
    );
    assert_eq!(other.status, 403, "{other:?}");
    assert_eq!(other.permissions(), [""; 0]);
    let docker = format!("host.docker.internal:{port}");
    assert_eq!(call(at, "ListTables", "{}", &docker, "").status, 200);
    for (flag, value) in [("--allow-origin", "*"), ("--allow-host", "http://a")] {
        let ended = Ended::run(&mut backfill(["sandbox", "--port", "0", flag, value]));
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        let field = flag.trim_start_matches("--");
        assert!(
            ended.stderr.contains(&format!("{field}: ")),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn half_a_request_does_not_hold_the_sandbox() {
    let sandbox = Sandbox::start();
    let at = sandbox.endpoint.clone();
    let here = host(&at);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {here}\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-target: DynamoDB_20120810.ListTables\r\n\
         content-length: 100\r\n"
    );
    let halves = [head.clone(), format!("{head}\r\n{{\"Limit\":")];
    let waiting = halves.map(|half| {
        let at = at.clone();
        std::thread::spawn(move || {
            let begin = Instant::now();
            let mut stream = connect(&at);
            stream.write_all(half.as_bytes()).expect("it is sent");
            let mut answer = Vec::new();
            let ended = stream.read_to_end(&mut answer);
            (ended.is_ok(), begin.elapsed())
        })
    });
    // A byte now and then is no request either.
    let slow = {
        let at = at.clone();
        std::thread::spawn(move || {
            let begin = Instant::now();
            let mut stream = connect(&at);
            while begin.elapsed() < Duration::from_secs(30) {
                if stream.write_all(b"G").is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            (true, begin.elapsed())
        })
    };
    assert_eq!(call(&at, "ListTables", "{}", here, "").status, 200);
    for waiting in waiting.into_iter().chain([slow]) {
        let (ended, after) = waiting.join().expect("it is waited for");
        assert!(ended, "the connection is still open");
        let bounds = Duration::from_secs(8)..Duration::from_secs(25);
        assert!(bounds.contains(&after), "{after:?}");
    }
}

#[test]
fn a_body_beyond_16_mib_is_refused_as_dynamodb_does() {
    let sandbox = Sandbox::start();
    let at = &sandbox.endpoint;
    let filled = |bytes: usize| {
        let frame = r#"{"Limit":1,"x":""}"#.len();
        format!(r#"{{"Limit":1,"x":"{}"}}"#, "a".repeat(bytes - frame))
    };
    let most = 16 * 1024 * 1024;
    let taken = call(at, "ListTables", &filled(most), host(at), "");
    assert_eq!(taken.status, 200, "{:.300}", taken.body);
    let refused = call(at, "ListTables", &filled(most + 1), host(at), "");
    assert_eq!((refused.status, refused.body.as_str()), (413, ""));
    // Without a length in front.
    let body = filled(most + 1);
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-target: DynamoDB_20120810.ListTables\r\n\
         {SIGNED}transfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        host(at),
        body.len()
    );
    assert_eq!(send(at, chunked.as_bytes()).status, 413);
}

/// What the database's own server answers is what the sandbox does, aside from the headers that let pages in.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_as_by_the_databases_own_server() {
    let sandbox = Sandbox::start();
    let own = Embedded::start().await;
    for client in [&sandbox.client, &own.client] {
        tables::create(client, "stuff", tables::STUFF_KEYS).await;
        tables::put_all(client, "stuff", &[tables::stuff(1), tables::stuff(2)]).await;
    }
    let (here, there) = (sandbox.endpoint.clone(), own.endpoint.clone());
    let calls = tokio::task::spawn_blocking(move || {
        for (name, body) in corpus() {
            let body = body.to_string();
            let [ours, theirs] = [&here, &there].map(|at| {
                let answer = call(at, name, &body, host(at), "");
                let format = answer.header("content-type").map(str::to_owned);
                let id = answer.header("x-amzn-requestid").map(str::len);
                // The fields of an object come in any order.
                let body: Json = serde_json::from_str(&answer.body).expect("JSON");
                (answer.status, body, format, id)
            });
            assert_eq!(ours, theirs, "{name} {body}");
        }
        for request in bare() {
            let [ours, theirs] = [&here, &there].map(|at| {
                let request = request.replace("HOST", host(at));
                let answer = send(at, request.as_bytes());
                let format = answer.header("content-type").map(str::to_owned);
                let checksum = answer.header("x-amz-crc32").map(str::to_owned);
                (answer.status, answer.body, format, checksum)
            });
            assert_eq!(ours, theirs, "{request}");
        }
    });
    calls.await.expect("all are answered alike");
}

/// Calls whose answers tell no time, accepted and refused ones.
// Long because it is a list.
fn corpus() -> Vec<(&'static str, Json)> {
    let key = json!({"id": {"S": "item-000001"}, "created": {"N": "1767225601"}});
    let absent = json!({"id": {"S": "absent"}, "created": {"N": "1"}});
    // DynamoDB stores 32 levels.
    let nested = |levels| {
        let deep = (1..levels).fold(json!({"S": "x"}), |inside, _| json!({"M": {"a": inside}}));
        json!({"TableName": "stuff", "Item": {"id": {"S": "deep"}, "created": {"N": "1"}, "deep": deep}})
    };
    let on_key = |more: Json| {
        let mut request = json!({"TableName": "stuff", "Key": key});
        let object = request.as_object_mut().expect("an object");
        object.extend(more.as_object().expect("an object").clone());
        request
    };
    vec![
        ("ListTables", json!({})),
        ("PutItem", nested(32)),
        ("PutItem", nested(40)),
        ("ListTables", json!({"Limit": "a"})),
        ("ListTables", json!({"Limit": 1000})),
        ("NoSuchCall", json!({})),
        ("DescribeTable", json!({"TableName": "absent"})),
        ("DescribeTable", json!({})),
        ("DescribeTable", json!({"TableName": 5})),
        ("DescribeTimeToLive", json!({"TableName": "stuff"})),
        (
            "GetItem",
            on_key(json!({"ConsistentRead": true, "ReturnConsumedCapacity": "TOTAL"})),
        ),
        (
            "GetItem",
            json!({"TableName": "stuff", "Key": {"id": {"S": "item-000001"}}}),
        ),
        (
            "GetItem",
            json!({"TableName": "stuff", "Key": {"id": {"Q": "a"}, "created": {"N": "1"}}}),
        ),
        (
            "GetItem",
            json!({"TableName": "stuff", "Key": {"id": {"S": ""}, "created": {"N": "1"}}}),
        ),
        (
            "GetItem",
            json!({"TableName": "stuff", "Key": {"id": {"S": "a"}, "created": {"N": "x"}}}),
        ),
        (
            "Scan",
            json!({"TableName": "stuff", "Limit": 1, "ReturnConsumedCapacity": "INDEXES"}),
        ),
        (
            "Scan",
            json!({"TableName": "stuff", "FilterExpression": "nonsense ("}),
        ),
        (
            "Scan",
            json!({"TableName": "stuff", "Segment": 2, "TotalSegments": 2}),
        ),
        (
            "Query",
            json!({"TableName": "stuff", "KeyConditionExpression": "id = :i", "ExpressionAttributeValues": {":i": {"S": "item-000002"}}}),
        ),
        (
            "PutItem",
            json!({"TableName": "stuff", "Item": {"id": {"S": "a"}}}),
        ),
        (
            "PutItem",
            json!({"TableName": "stuff", "Item": {"id": {"S": "a"}, "created": {"N": "1"}, "none": {"NULL": false}}}),
        ),
        (
            "PutItem",
            json!({"TableName": "stuff", "Item": {"id": {"S": "a"}, "created": {"N": "1"}}, "ReturnValues": "ALL_OLD"}),
        ),
        (
            "UpdateItem",
            on_key(json!({
                "UpdateExpression": "SET test = :one", "ExpressionAttributeValues": {":one": {"N": "1"}}, "ReturnValues": "ALL_NEW"
            })),
        ),
        (
            "UpdateItem",
            on_key(
                json!({"UpdateExpression": "SET created = :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}),
            ),
        ),
        (
            "UpdateItem",
            json!({
                "TableName": "stuff", "Key": absent, "UpdateExpression": "SET test = :one", "ConditionExpression": "attribute_exists(id)",
                "ExpressionAttributeValues": {":one": {"N": "1"}}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
            }),
        ),
        (
            "DeleteItem",
            json!({"TableName": "stuff", "Key": absent, "ConditionExpression": "attribute_exists(id)"}),
        ),
        (
            "BatchGetItem",
            json!({"RequestItems": {"stuff": {"Keys": [key]}}}),
        ),
        ("BatchWriteItem", json!({"RequestItems": {"stuff": []}})),
        (
            "ExecuteStatement",
            json!({"Statement": "SELECT * FROM stuff WHERE id = 'item-000002'"}),
        ),
        ("ExecuteStatement", json!({"Statement": "SELEC"})),
        (
            "BatchExecuteStatement",
            json!({"Statements": [
                {"Statement": "UPDATE stuff SET test = 2 WHERE id = 'item-000001' AND created = 1767225601 AND attribute_not_exists(test)",
                 "ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
                {"Statement": "UPDATE stuff SET test = 2 WHERE id = 'absent' AND created = 1"}
            ]}),
        ),
        (
            "TransactWriteItems",
            json!({"TransactItems": [
                {"ConditionCheck": {"TableName": "stuff", "Key": absent, "ConditionExpression": "attribute_exists(id)"}}
            ]}),
        ),
        (
            "TransactGetItems",
            json!({"TransactItems": [{"Get": {"TableName": "stuff", "Key": key}}]}),
        ),
        ("ListStreams", json!({})),
    ]
}

/// Requests that are no calls. A word for the host stands in each.
fn bare() -> Vec<String> {
    let with = |line: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "{line} HTTP/1.1\r\nhost: HOST\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let json = "content-type: application/json\r\n";
    let target = "x-amz-target: DynamoDB_20120810.ListTables\r\n";
    vec![
        with("GET /", "", ""),
        with("GET /shell", "", ""),
        with("PUT /", "", ""),
        with("OPTIONS /", "", ""),
        with("POST /", "", ""),
        with("POST /", json, "{}"),
        with("POST /", json, "{"),
        with("POST /", "content-type: text/plain\r\n", "{}"),
        with("POST /", &format!("{json}{target}"), "{}"),
        with("POST /", &format!("{json}{target}{SIGNED}"), ""),
        with("POST /", &format!("{json}{target}"), "{"),
        with("POST /", &format!("{json}{target}{SIGNED}"), "{"),
        with(
            "POST /",
            &format!("{json}{target}{SIGNED}"),
            "{\"Limit\": 3}}",
        ),
        with("POST /", &format!("{json}{target}{SIGNED}"), "[]"),
        with("POST /", &format!("{json}{target}{SIGNED}"), "{}"),
        with(
            "POST /",
            &format!("{json}{target}authorization: AWS4-HMAC-SHA256 x\r\n"),
            "{}",
        ),
    ]
}
