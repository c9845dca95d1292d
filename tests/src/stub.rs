//! Services of AWS that no stand-in answers for as a test needs it: each answer by hand, in the shape of the service's model.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What is answered: status, the error's name if it is one, and the body.
pub type Answer = (u16, Option<&'static str>, String);

/// A server on a free port of 127.0.0.1, which ends with the test's process.
pub struct Stub {
    pub endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Answers each request by what it asks for: "GET /2016-08-19/account-settings", or the operation of one by JSON,
    /// "AWSStepFunctions.StartExecution".
    pub async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Stub {
        Stub::reading(move |asked, _| answer(asked)).await
    }

    /// Answers each request by what it asks for, as [`Stub::start`] does, and by its body.
    pub async fn reading(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let bodies = Arc::<Mutex<Vec<String>>>::default();
        let texts = bodies.clone();
        let (log, answer) = (asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer, texts) = (log.clone(), answer.clone(), texts.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let what = asked_for(&request);
                    let (log, answer, texts) = (log.clone(), answer.clone(), texts.clone());
                    async move {
                        let body = request.into_body().collect().await;
                        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                        let body = String::from_utf8_lossy(&body).into_owned();
                        let response = response(answer(&what, &body));
                        log.lock().expect("nobody panics").push(what);
                        texts.lock().expect("nobody panics").push(body);
                        Ok::<_, std::convert::Infallible>(response)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Stub {
            endpoint: format!("http://{address}"),
            asked,
            bodies,
        }
    }

    /// The bodies of the requests, in order.
    pub fn bodies(&self) -> Vec<String> {
        self.bodies.lock().expect("nobody panics").clone()
    }

    /// What it was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics").clone()
    }
}

fn asked_for(request: &Request<Incoming>) -> String {
    match request.headers().get("x-amz-target") {
        Some(target) => target.to_str().unwrap_or_default().to_owned(),
        None => format!("{} {}", request.method(), request.uri()),
    }
}

fn response((status, error, body): Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    if let Some(error) = error {
        response = response.header("x-amzn-errortype", error);
    }
    response.body(body.into()).expect("a plain response")
}
