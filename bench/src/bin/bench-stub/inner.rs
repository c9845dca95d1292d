//! The embedded database behind the stub, which answers whatever the model does not: above all the operations on the
//! checkpoint table, with their conditions.

use std::sync::{Mutex, PoisonError};

use dynoxide::Database;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::Result;
use crate::answers::{Answer, Billing};
use crate::items::{CREATED, ID};

pub struct Inner {
    address: String,
    /// Connections that nobody uses at the moment.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Inner {
    /// Starts it in a thread of its own, since its calls block, with an empty table of this name.
    pub fn start(table: &str, billing: Billing, units: (f64, f64)) -> Result<Inner> {
        let database = Database::memory()?;
        let mut create = json!({
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": ID, "AttributeType": "S"},
                {"AttributeName": CREATED, "AttributeType": "N"},
            ],
            "KeySchema": [
                {"AttributeName": ID, "KeyType": "HASH"},
                {"AttributeName": CREATED, "KeyType": "RANGE"},
            ],
        });
        if billing == Billing::Provisioned {
            create["BillingMode"] = "PROVISIONED".into();
            create["ProvisionedThroughput"] = json!({
                "ReadCapacityUnits": units.0 as u64,
                "WriteCapacityUnits": units.1 as u64,
            });
        }
        database.create_table(serde_json::from_value(create)?)?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let never = std::future::pending();
                        dynoxide::server::serve_with_shutdown(listener, database, never).await
                    }
                    Err(error) => Err(error.to_string()),
                };
                if let Err(error) = served {
                    eprintln!("bench-stub: the embedded database: {error}");
                }
            });
        });
        Ok(Inner {
            address,
            idle: Mutex::default(),
        })
    }

    /// Its answer to a request with these headers.
    pub async fn answer(&self, headers: &HeaderMap, body: Bytes) -> Result<Answer> {
        let mut connection = self.connection().await?;
        let mut request = hyper::Request::post("/").body(Full::from(body))?;
        for (name, value) in headers {
            if name == CONTENT_TYPE
                || name == "authorization"
                || name.as_str().starts_with("x-amz-")
            {
                request.headers_mut().append(name, value.clone());
            }
        }
        request.headers_mut().remove(CONTENT_LENGTH);
        request.headers_mut().insert(HOST, self.address.parse()?);
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        self.idle().push(connection);
        Ok((status, body.into()))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>> {
        loop {
            let idle = self.idle().pop();
            let Some(mut connection) = idle else {
                break;
            };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.ready().await?;
        Ok(sender)
    }
}
