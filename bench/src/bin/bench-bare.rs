//! The bare client: as little as it takes to send the batches. It reads the keys of all pending items of `stuff`, then sends
//! 25 guarded PartiQL updates a request, over one kept connection per request in flight, and prints what the sending
//! alone took as one line of JSON. With `--count` it counts what is pending then, so that all of it together is the work of a
//! run. There is nothing in it that makes an update safe to run: no retry, no checkpoint, no proof.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use backfill_bench::of_this_process;
use clap::Parser;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The statement as it stands in JSON.
const STATEMENT: &str = concat!(
    r#"UPDATE \"stuff\" SET \"test\" = ? "#,
    r#"WHERE \"id\" = ? AND \"created\" = ? AND \"test\" IS MISSING"#
);

const STATEMENTS_PER_BATCH: usize = 25;

#[derive(Parser)]
struct Args {
    /// Where the database is, such as http://127.0.0.1:8000. With https, AWS_CA_BUNDLE names whose certificates are trusted.
    #[arg(long)]
    endpoint_url: String,
    /// Batches in flight.
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Count what is pending at the end, by consistent reads.
    #[arg(long)]
    count: bool,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&Args::parse())));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-bare: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let server = Server::at(&args.endpoint_url)?;
    let signer = RefCell::new(Signer::new());

    let begin = Instant::now();
    let keys = Client::connect(&server, &signer).await?.keys().await?;
    let scan_seconds = begin.elapsed().as_secs_f64();

    let connections = (0..args.in_flight).map(|_| Client::connect(&server, &signer));
    let mut clients = try_join_all(connections).await?;
    let (begin, before) = (Instant::now(), of_this_process()?);
    let batches = RefCell::new(keys.chunks(STATEMENTS_PER_BATCH));
    try_join_all(clients.iter_mut().map(async |client| {
        loop {
            let Some(batch) = batches.borrow_mut().next() else {
                return Result::Ok(());
            };
            client.update(batch).await?;
        }
    }))
    .await?;
    let (write_seconds, after) = (begin.elapsed().as_secs_f64(), of_this_process()?);
    let begin = Instant::now();
    let remaining = match args.count {
        true => Some(clients[0].count().await?),
        false => None,
    };
    println!(
        "{}",
        json!({
            "items": keys.len(),
            "remaining": remaining,
            "count_seconds": begin.elapsed().as_secs_f64(),
            "cpu_seconds": of_this_process()?.cpu_seconds,
            "scan_seconds": scan_seconds,
            "write_seconds": write_seconds,
            "write_cpu_seconds": after.cpu_seconds - before.cpu_seconds,
        })
    );
    Ok(())
}

#[derive(Deserialize)]
struct StuffKey {
    id: StringValue,
    created: NumberValue,
}

#[derive(Deserialize)]
struct StringValue {
    #[serde(rename = "S")]
    value: String,
}

#[derive(Deserialize)]
struct NumberValue {
    #[serde(rename = "N")]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    items: Vec<StuffKey>,
    count: u64,
    last_evaluated_key: Option<serde_json::Value>,
}

/// Where the database is.
struct Server<'a> {
    /// With the port.
    host: &'a str,
    tls: Option<TlsConnector>,
}

impl Server<'_> {
    fn at(url: &str) -> Result<Server<'_>> {
        match url.split_once("://") {
            Some(("http", host)) => Ok(Server { host, tls: None }),
            Some(("https", host)) => {
                let file = std::env::var("AWS_CA_BUNDLE");
                let file = file.map_err(|_| "AWS_CA_BUNDLE: expected the certificates to trust")?;
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(file)? {
                    roots.add(certificate?)?;
                }
                let config = ClientConfig::builder()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let tls = Some(TlsConnector::from(Arc::new(config)));
                Ok(Server { host, tls })
            }
            _ => Err(format!("--endpoint-url: expected http(s)://HOST:PORT, not {url}").into()),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let host = self.host;
        let stream = TcpStream::connect(host)
            .await
            .map_err(|error| format!("cannot connect to {host}: {error}"))?;
        stream.set_nodelay(true)?;
        // An error of the connection is also that of the request on it.
        let Some(tls) = &self.tls else {
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            return Ok(sender);
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = ServerName::try_from(name.to_owned())?;
        let stream = tls.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// One connection.
struct Client<'a> {
    sender: SendRequest<Full<Bytes>>,
    host: &'a str,
    signer: &'a RefCell<Signer>,
}

impl<'a> Client<'a> {
    async fn connect(server: &Server<'a>, signer: &'a RefCell<Signer>) -> Result<Client<'a>> {
        Ok(Client {
            sender: server.connect().await?,
            host: server.host,
            signer,
        })
    }

    /// Keys of all pending items.
    async fn keys(&mut self) -> Result<Vec<StuffKey>> {
        let mut keys = Vec::new();
        let request = json!({"ProjectionExpression": "id, created"});
        self.scan(request, |page| keys.extend(page.items)).await?;
        Ok(keys)
    }

    /// How many items are pending.
    async fn count(&mut self) -> Result<u64> {
        let mut count = 0;
        let request = json!({"Select": "COUNT", "ConsistentRead": true});
        self.scan(request, |page| count += page.count).await?;
        Ok(count)
    }

    async fn scan(
        &mut self,
        mut request: serde_json::Value,
        mut each: impl FnMut(Page),
    ) -> Result<()> {
        request["TableName"] = "stuff".into();
        request["FilterExpression"] = "attribute_not_exists(test)".into();
        request["Limit"] = 1000.into();
        loop {
            let response = self.send("Scan", request.to_string()).await?;
            let page: Page = serde_json::from_slice(&response)
                .map_err(|error| format!("Scan: the answer is not understood: {error}"))?;
            let next = page.last_evaluated_key.clone();
            each(page);
            match next {
                Some(key) => request["ExclusiveStartKey"] = key,
                None => return Ok(()),
            }
        }
    }

    async fn update(&mut self, batch: &[StuffKey]) -> Result<()> {
        let mut body = String::with_capacity(250 * batch.len());
        body.push_str(r#"{"Statements":["#);
        for (i, key) in batch.iter().enumerate() {
            // The made-up keys have nothing in them that JSON would escape.
            write!(
                body,
                r#"{}{{"Statement":"{STATEMENT}","Parameters":[{{"N":"1"}},{{"S":"{}"}},{{"N":"{}"}}]}}"#,
                if i == 0 { "" } else { "," },
                key.id.value,
                key.created.value
            )?;
        }
        body.push_str("]}");
        let response = self.send("BatchExecuteStatement", body).await?;
        // A statement that failed has an error in an answer that is a success.
        let failed = response.windows(8).any(|bytes| bytes == b"\"Error\":");
        if failed {
            let response = String::from_utf8_lossy(&response);
            return Err(format!("BatchExecuteStatement: a statement failed: {response}").into());
        }
        Ok(())
    }

    async fn send(&mut self, operation: &str, body: String) -> Result<Bytes> {
        let target = format!("DynamoDB_20120810.{operation}");
        let signed = self.signer.borrow_mut().sign(self.host, &target, &body);
        let request = hyper::Request::post("/")
            .header("host", self.host)
            .header("content-type", CONTENT_TYPE)
            .header("x-amz-target", target)
            .header("x-amz-date", signed.date)
            .header("authorization", signed.authorization)
            .body(Full::from(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body);
            return Err(format!("{operation}: {status}: {body}").into());
        }
        Ok(body)
    }
}

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
const REGION: &str = "us-east-1";
const ACCESS_KEY: &str = "test";
const SECRET_KEY: &str = "test";

/// Signs requests (Signature Version 4) with a key that is made once a day.
struct Signer {
    day: String,
    key: Vec<u8>,
}

struct Signed {
    date: String,
    authorization: String,
}

impl Signer {
    fn new() -> Signer {
        Signer {
            day: String::new(),
            key: Vec::new(),
        }
    }

    fn sign(&mut self, host: &str, target: &str, body: &str) -> Signed {
        let now = SystemTime::now();
        let utc = OffsetDateTime::from(now);
        let day = format!(
            "{:04}{:02}{:02}",
            utc.year(),
            u8::from(utc.month()),
            utc.day()
        );
        let date = format!(
            "{day}T{:02}{:02}{:02}Z",
            utc.hour(),
            utc.minute(),
            utc.second()
        );
        if self.day != day {
            let key = generate_signing_key(SECRET_KEY, now, REGION, "dynamodb");
            self.key = key.as_ref().to_vec();
            self.day = day;
        }
        let scope = format!("{}/{REGION}/dynamodb/aws4_request", self.day);
        let headers = "content-type;host;x-amz-date;x-amz-target";
        let canonical = format!(
            "POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\nx-amz-target:{target}\n\n\
             {headers}\n{:x}",
            Sha256::digest(body)
        );
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{:x}",
            Sha256::digest(canonical)
        );
        let signature = calculate_signature(&self.key, to_sign.as_bytes());
        Signed {
            authorization: format!(
                "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={headers}, Signature={signature}"
            ),
            date,
        }
    }
}
