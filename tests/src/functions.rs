//! The four functions as processes of this machine, each behind a Runtime API of the test's own (Lambda developer guide,
//! Using the Lambda runtime API), which may end them at any moment.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::command::program;

/// How long an invocation may take that nobody ends. Far above a time box of a second, for slow machines.
const PATIENCE: Duration = Duration::from_secs(120);

/// How an invocation ended.
#[derive(Debug)]
pub enum Invoked {
    Answer(Json),
    /// The function's error, by name and message.
    Error(String, String),
    /// The process was killed before it had answered.
    Killed,
}

/// What becomes of one invocation beside its work.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// The process is killed this long after it was invoked, unless it has answered before.
    pub kill_after: Option<Duration>,
    /// The end of the invocation, as the function is told: milliseconds from now, negative if it has passed.
    pub deadline_ms: i64,
}

/// The processes of the functions, on one database.
pub struct Functions {
    endpoint: String,
    checkpoints: String,
    /// The URL of Lambda, for the function that asks it.
    lambda: Option<String>,
    /// The file that their logs are added to, if anybody wants to read them.
    log: Option<PathBuf>,
    idle: Mutex<HashMap<&'static str, Vec<Function>>>,
}

impl Functions {
    /// Functions that find target and checkpoint tables at this endpoint. None is started yet.
    pub fn new(endpoint: &str, checkpoints: &str) -> Functions {
        Functions {
            endpoint: endpoint.to_owned(),
            checkpoints: checkpoints.to_owned(),
            lambda: None,
            log: None,
            idle: Mutex::default(),
        }
    }

    /// The same, with Lambda itself at this endpoint.
    pub fn with_lambda(self, endpoint: &str) -> Functions {
        Functions {
            lambda: Some(endpoint.to_owned()),
            ..self
        }
    }

    /// The same, whose processes add what they log to this file, metrics among it.
    pub fn logging_to(self, log: &Path) -> Functions {
        Functions {
            log: Some(log.to_owned()),
            ..self
        }
    }

    fn log(&self) -> Stdio {
        let Some(log) = &self.log else {
            return Stdio::null();
        };
        let file = std::fs::File::options().create(true).append(true).open(log);
        file.expect("the log can be written").into()
    }

    /// The processes of a function that have no work.
    pub fn idle(&self, name: &'static str) -> Vec<u32> {
        let idle = self.idle.lock().unwrap();
        let functions = idle.get(name).into_iter().flatten();
        functions
            .filter_map(|function| function.process.id())
            .collect()
    }

    /// Invokes a function, in a process that has none to work on or in a new one.
    pub async fn invoke(&self, name: &'static str, payload: &Json, fate: Fate) -> Invoked {
        let idle = self.idle.lock().unwrap().entry(name).or_default().pop();
        let mut function = match idle {
            Some(function) => function,
            None => Function::start(name, self).await,
        };
        let (invoked, alive) = function.invoke(payload, fate).await;
        if alive {
            let mut idle = self.idle.lock().unwrap();
            idle.entry(name).or_default().push(function);
        }
        invoked
    }
}

/// What a process is asked for, and where its answer goes.
struct Invocation {
    payload: String,
    deadline_ms: i64,
    answer: oneshot::Sender<Invoked>,
}

/// One process of a function; it ends if this is dropped.
struct Function {
    process: Child,
    invocations: mpsc::Sender<Invocation>,
}

/// One function's end of the Runtime API.
struct Api {
    invocations: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    /// Where the answer to the invocation goes that is being worked on.
    answer: Mutex<Option<oneshot::Sender<Invoked>>>,
}

impl Function {
    async fn start(name: &str, functions: &Functions) -> Function {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (sender, receiver) = mpsc::channel(1);
        let api = Arc::new(Api {
            invocations: tokio::sync::Mutex::new(receiver),
            answer: Mutex::default(),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let api = api.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(|request| handle(&api, request));
                    // This ends with the process.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let mut command = Command::new(program(name));
        command
            .env_clear()
            // As Lambda and template.yaml set them.
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL_DYNAMODB", &functions.endpoint)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_NAME", format!("backfill-{name}"))
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("CHECKPOINT_TABLE", &functions.checkpoints)
            .env("RUST_LOG", "error")
            .env("TABLE_NAME", "stuff")
            .stdin(Stdio::null())
            .stdout(functions.log())
            .kill_on_drop(true);
        if let Some(lambda) = &functions.lambda {
            command.env("AWS_ENDPOINT_URL_LAMBDA", lambda);
        }
        Function {
            process: command.spawn().expect("the function starts"),
            invocations: sender,
        }
    }

    /// How the invocation ended, and whether the process lives.
    async fn invoke(&mut self, payload: &Json, fate: Fate) -> (Invoked, bool) {
        let (answer, mut answered) = oneshot::channel();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_millis() as i64;
        let invocation = Invocation {
            payload: payload.to_string(),
            deadline_ms: now.saturating_add(fate.deadline_ms),
            answer,
        };
        let sent = self.invocations.send(invocation).await;
        assert!(sent.is_ok(), "nobody listens");
        let killed = fate.kill_after.is_some();
        let time = tokio::time::sleep(fate.kill_after.unwrap_or(PATIENCE));
        tokio::select! {
            answer = &mut answered => return (answer.expect("the function answers"), true),
            ended = self.process.wait() => panic!("the function has ended by itself: {ended:?}"),
            () = time => assert!(killed, "no answer in {PATIENCE:?}: {payload}"),
        }
        self.process.start_kill().expect("it is our child");
        self.process.wait().await.expect("it is our child");
        // It may have answered with its last breath: the caller then has the answer, as Step Functions would.
        (answered.try_recv().unwrap_or(Invoked::Killed), false)
    }
}

async fn handle(
    api: &Api,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let path = path.strip_prefix("/2018-06-01/runtime/");
    let path = path.expect("the Runtime API's version");
    if path == "invocation/next" {
        let invocation = api.invocations.lock().await.recv().await;
        let Some(invocation) = invocation else {
            // The test is over.
            std::future::pending().await
        };
        *api.answer.lock().unwrap() = Some(invocation.answer);
        let response = Response::builder()
            .header(
                "Lambda-Runtime-Aws-Request-Id",
                "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            )
            .header("Lambda-Runtime-Deadline-Ms", invocation.deadline_ms)
            .header(
                "Lambda-Runtime-Invoked-Function-Arn",
                "arn:aws:lambda:us-east-1:000000000000:function:backfill",
            )
            .body(invocation.payload.into());
        return Ok(response.expect("a plain response"));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let body: Json = serde_json::from_slice(&body).unwrap_or_default();
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let invoked = if path.ends_with("/response") {
        Invoked::Answer(body)
    } else {
        assert_ne!(path, "init/error", "{body}");
        Invoked::Error(text("errorType"), text("errorMessage"))
    };
    let waiting = api.answer.lock().unwrap().take();
    if let Some(waiting) = waiting {
        // Nobody waits any more if the process was killed meanwhile.
        let _ = waiting.send(invoked);
    }
    let accepted = Response::builder().status(202).body(Full::default());
    Ok(accepted.expect("a plain response"))
}
