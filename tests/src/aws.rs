//! The deployed system on this machine: ministack as the stand-in for AWS, with the stack deployed into it by `sam`,
//! and moto as a second interpreter of the state machine.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{RunRecord, SegmentRecord};
use backfill_core::{Item, Key, Request};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use crate::command::{self, Ended, free_port};
use crate::roles::Iam;
use crate::tables::{self, STUFF_KEYS};
use crate::wire::{Wire, signal};

/// Name of the stack, and so of its state machine.
pub const STACK: &str = "backfill";

/// The stack's checkpoint table.
pub const CHECKPOINTS: &str = "backfill-checkpoints";

/// How long anything may take that a case waits for. Far above what it needs, for slow machines.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits and retries of the state machine run twenty times as fast in ministack.
const WAIT_SCALE: &str = "0.05";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static AWS: LazyLock<Aws> = LazyLock::new(|| Aws::start("deployed", false));
static STRICT: LazyLock<Aws> = LazyLock::new(|| Aws::start("strict", true));
static MOTO: LazyLock<Moto> = LazyLock::new(|| Moto::start(&AWS));
static NARROW: LazyLock<Aws> = LazyLock::new(|| Aws::start("narrow", false));
static NARROW_MOTO: LazyLock<Moto> = LazyLock::new(|| Moto::start(&NARROW));

/// Runs a case against the deployed stack, which all cases of a process share: the first one starts it.
pub fn deployed(case: impl AsyncFnOnce(&'static Aws)) {
    AWS.run(case);
}

/// Runs a case against a deployment of its own, where the roles of the functions are enforced: they may touch the table
/// `stuff` and no other.
pub fn with_roles_enforced(case: impl AsyncFnOnce(&'static Aws)) {
    STRICT.run(case);
}

/// Runs a case against the same functions, with the state machine in moto.
pub fn second_interpreter(case: impl AsyncFnOnce(&'static Aws, &'static Machine)) {
    let machine = &MOTO.machine;
    AWS.run(async |aws| case(aws, machine).await);
}

/// The same in a deployment of its own, where Lambda runs one worker at a time and refuses any other. In moto, since
/// ministack's state machine gives that refusal another name than AWS.
pub fn with_one_worker(case: impl AsyncFnOnce(&'static Aws, &'static Machine)) {
    let (aws, moto) = (&*NARROW, &*NARROW_MOTO);
    let path = format!("/2017-10-31/functions/{STACK}-worker/concurrency");
    let one = r#"{"ReservedConcurrentExecutions":1}"#;
    request(aws.port, "PUT", &path, one).expect("ministack takes it");
    aws.run(async |aws| case(aws, &moto.machine).await);
}

/// Asks until there is an answer; panics where there is none for too long.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(Instant::now() < deadline, "{caller}: waited for {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The stand-in for AWS with the stack in it.
pub struct Aws {
    pub(crate) port: u16,
    pub endpoint: String,
    pub client: Client,
    /// What the functions call DynamoDB through.
    pub wire: Wire,
    pub machine: Machine,
    checkpoints: CheckpointTable,
    folder: Folder,
    server: Server,
}

impl Aws {
    fn start(name: &str, enforce_roles: bool) -> Aws {
        let folder = Folder::new(name);
        // Between our look for a free port and the server's use of it somebody else may have taken it.
        let (port, wire, server) = (0..3)
            .find_map(|_| start_ministack(&folder, enforce_roles))
            .unwrap_or_else(|| panic!("ministack does not start: see {}", folder.log("ministack")));
        let endpoint = format!("http://127.0.0.1:{port}");
        deploy(&endpoint, &folder);
        let connection = RUNTIME.block_on(Connection::open(&ConnectOptions {
            endpoint_url: Some(endpoint.clone()),
            region: Some("us-east-1".into()),
            profile: None,
            local_credentials: true,
        }));
        let connection = connection.expect("the settings are complete");
        Aws {
            port,
            client: tables::client(&endpoint),
            wire,
            machine: Machine {
                client: sfn_client(&endpoint),
                arn: format!("arn:aws:states:us-east-1:000000000000:stateMachine:{STACK}"),
            },
            checkpoints: CheckpointTable::new(&connection, CHECKPOINTS),
            folder,
            server,
            endpoint,
        }
    }

    fn run(&'static self, case: impl AsyncFnOnce(&'static Aws)) {
        let _logs = ShowLogs(&self.folder);
        RUNTIME.block_on(case(self));
    }

    /// `backfill` with these arguments (split at blanks).
    pub fn backfill(&self, arguments: &str) -> Command {
        self.backfill_at(&self.endpoint, arguments)
    }

    /// `backfill` at another endpoint than the server's own.
    pub fn backfill_at(&self, endpoint: &str, arguments: &str) -> Command {
        let mut command = command::backfill(arguments.split_whitespace());
        command.args(["--endpoint-url", endpoint]);
        // Ends with the servers, whatever becomes of us.
        command.process_group(self.server.group());
        command
    }

    /// A new table with this many items of [`tables::stuff`] in it.
    pub async fn table(&self, name: &str, items: u64) -> Table {
        tables::create(&self.client, name, STUFF_KEYS).await;
        self.fill(name, items).await
    }

    /// Puts this many items of [`tables::stuff`] into an empty table.
    pub async fn fill(&self, name: &str, items: u64) -> Table {
        let items: Vec<Item> = (0..items).map(tables::stuff).collect();
        tables::put_all(&self.client, name, &items).await;
        let table = Table {
            name: name.to_owned(),
            before: tables::read_all(&self.client, name, STUFF_KEYS).await,
            client: self.client.clone(),
        };
        assert_eq!(table.before.len(), items.len());
        table
    }

    /// What a function has logged, as CloudWatch Logs has it.
    pub fn logs(&self, function: &str) -> String {
        let body = json!({"logGroupName": format!("/aws/lambda/{STACK}-{function}")});
        let target = "Logs_20140328.FilterLogEvents";
        request_json(self.port, "logs", target, &body).to_string()
    }

    /// The roles of the functions.
    pub fn iam(&self) -> Iam {
        Iam { port: self.port }
    }

    /// What is in a table of the first key schema.
    pub async fn items_of(&self, name: &str) -> BTreeMap<Key, Item> {
        tables::read_all(&self.client, name, STUFF_KEYS).await
    }

    /// Makes the only segment of a run look as if it had been claimed this often.
    pub async fn set_generation(&self, input: &Json, generation: u64) {
        let key = HashMap::from([
            ("run_id".into(), tables::string(run_id(input))),
            (
                "record".into(),
                tables::string("pass#00001#segment#0000000"),
            ),
        ]);
        let update = self
            .client
            .update_item()
            .table_name(CHECKPOINTS)
            .set_key(Some(key))
            .update_expression("SET generation = :g")
            .expression_attribute_values(":g", AttributeValue::N(generation.to_string()));
        update.send().await.expect("the record is changed");
    }

    /// The record of the run that an input starts.
    pub async fn run_record(&self, input: &Json) -> Option<RunRecord> {
        let run = self.checkpoints.run(&run_id(input)).await;
        run.expect("the checkpoint table is read")
    }

    /// The records of the segments of one pass of the run that an input starts.
    pub async fn segments(&self, input: &Json, pass: u32) -> Vec<SegmentRecord> {
        let segments = self.checkpoints.segments(&run_id(input), pass).await;
        segments.expect("the checkpoint table is read")
    }
}

/// The run that an input starts.
pub fn run_id(input: &Json) -> String {
    let request = Request::from_json(&input.to_string());
    request.expect("a good input").run_id()
}

/// A table of items to be migrated.
pub struct Table {
    pub name: String,
    /// What was in it at the beginning.
    pub before: BTreeMap<Key, Item>,
    client: Client,
}

impl Table {
    /// What is in it now.
    pub async fn now(&self) -> BTreeMap<Key, Item> {
        tables::read_all(&self.client, &self.name, STUFF_KEYS).await
    }

    /// How many items lacked `test` at the beginning.
    pub fn pending(&self) -> u64 {
        let pending = |item: &&Item| !item.contains_key("test");
        self.before.values().filter(pending).count() as u64
    }

    /// Panics unless every item is as it was, with `test = 1` where `test` was missing.
    pub async fn assert_migrated(&self) {
        assert_same(&self.now().await, &tables::migrated(&self.before));
    }

    /// Panics unless every item is as it was.
    pub async fn assert_untouched(&self) {
        assert_same(&self.now().await, &self.before);
    }

    /// An item without `test`, put in now, as an old writer does it that nobody has told of the migration.
    pub async fn old_writer_adds(&self, i: u64) -> (Key, Item) {
        let mut item = tables::stuff(1_000_000 + i);
        item.remove("test");
        tables::put_all(&self.client, &self.name, &[item.clone()]).await;
        let item = backfill_core::value::with_sorted_sets(item);
        (tables::key_of(&item, STUFF_KEYS), item)
    }
}

/// Panics with the first difference; two whole tables side by side help nobody.
#[track_caller]
pub fn assert_same(found: &BTreeMap<Key, Item>, expected: &BTreeMap<Key, Item>) {
    for (key, item) in expected {
        assert_eq!(found.get(key), Some(item), "{key}");
    }
    for key in found.keys() {
        assert!(expected.contains_key(key), "{key} should not be there");
    }
}

/// The state machine in one of its interpreters.
pub struct Machine {
    client: aws_sdk_sfn::Client,
    arn: String,
}

/// An execution as it stands.
#[derive(Debug, Clone)]
pub struct Execution {
    pub arn: String,
    pub status: ExecutionStatus,
    pub input: Json,
    pub output: Json,
    pub error: String,
    pub cause: String,
}

impl Execution {
    /// Panics unless it succeeded; returns its output.
    #[track_caller]
    pub fn expect_success(self) -> Json {
        assert_eq!(self.status, ExecutionStatus::Succeeded, "{self:#?}");
        self.output
    }

    /// Panics unless it failed with an error of this name; returns the cause.
    #[track_caller]
    pub fn expect_failure(self, error: &str) -> String {
        assert_eq!(self.status, ExecutionStatus::Failed, "{self:#?}");
        assert_eq!(self.error, error, "{self:#?}");
        self.cause
    }
}

impl Machine {
    /// Starts an execution and returns its ARN.
    pub async fn start(&self, input: &Json) -> String {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let started = self
            .client
            .start_execution()
            .state_machine_arn(&self.arn)
            // AWS makes a name up where there is none; moto does not.
            .name(format!("case-{}", STARTED.fetch_add(1, Ordering::Relaxed)))
            .input(input.to_string())
            .send()
            .await;
        started.expect("the execution starts").execution_arn
    }

    /// Starts an execution and waits for its end.
    pub async fn run(&self, input: &Json) -> Execution {
        let arn = self.start(input).await;
        self.end_of(&arn).await
    }

    /// Waits for the end of an execution.
    pub async fn end_of(&self, arn: &str) -> Execution {
        eventually("the end of an execution", async || {
            let execution = self.execution(arn).await;
            (execution.status != ExecutionStatus::Running).then_some(execution)
        })
        .await
    }

    /// An execution as it stands.
    pub async fn execution(&self, arn: &str) -> Execution {
        let described = self.client.describe_execution().execution_arn(arn).send();
        let described = described.await.expect("the execution is described");
        let json = |text: Option<&str>| {
            text.and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default()
        };
        Execution {
            arn: arn.to_owned(),
            status: described.status().clone(),
            input: json(described.input()),
            output: json(described.output()),
            error: described.error().unwrap_or_default().to_owned(),
            cause: described.cause().unwrap_or_default().to_owned(),
        }
    }

    /// Stops an execution, as an operator does in the console.
    pub async fn stop(&self, arn: &str) {
        let stopped = self.client.stop_execution().execution_arn(arn).send().await;
        stopped.expect("the execution is stopped");
    }

    /// The child executions of all Maps of an execution, one per segment and round.
    pub async fn children(&self, arn: &str) -> Vec<Execution> {
        let runs = self.client.list_map_runs().execution_arn(arn).send().await;
        let mut children = Vec::new();
        for run in runs.expect("the map runs are listed").map_runs() {
            let mut pages = self
                .client
                .list_executions()
                .map_run_arn(run.map_run_arn())
                .into_paginator()
                .items()
                .send();
            while let Some(child) = pages.next().await {
                let child = child.expect("the children are listed");
                children.push(self.execution(child.execution_arn()).await);
            }
        }
        children
    }

    /// Names of the errors of the failed tasks in an execution's history, retried ones included.
    pub async fn failed_tasks(&self, arn: &str) -> Vec<String> {
        let history = self.history(arn).await;
        let failed = history.iter().filter_map(|e| e.task_failed_event_details());
        let errors = failed.map(|failed| failed.error().unwrap_or_default().to_owned());
        errors.collect()
    }

    /// How often an execution went through the Map over the open segments.
    pub async fn rounds(&self, arn: &str) -> usize {
        let history = self.history(arn).await;
        let entered = |event: &&HistoryEvent| *event.r#type() == HistoryEventType::MapStateEntered;
        history.iter().filter(entered).count()
    }

    async fn history(&self, arn: &str) -> Vec<HistoryEvent> {
        let pages = self.client.get_execution_history().execution_arn(arn);
        let events = pages.into_paginator().items().send();
        let events: Result<_, _> = events.collect().await;
        events.expect("the history is read")
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run_to_end(mut command: Command) -> impl Future<Output = Ended> {
    Running::start(&mut command).end()
}

/// A `backfill` command at work; killed where nobody waits for it to the end.
pub struct Running(Option<Child>);

impl Running {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Running {
        Running(Some(command.spawn().expect("the command starts")))
    }

    /// Sends SIGINT, as ctrl-C does.
    pub fn interrupt(&self) {
        let child = self.0.as_ref().expect("it has not ended");
        signal(child.id(), "INT");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> impl Future<Output = Ended> {
        eventually("the end of a command", async move || {
            let child = self.0.as_mut()?;
            let ended = child.try_wait().expect("it is our child").is_some();
            ended.then(|| Ended::of(self.0.take().expect("just seen")))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The second interpreter: runs the same definition on its own, and calls the functions in ministack.
struct Moto {
    machine: Machine,
    _server: Server,
}

impl Moto {
    fn start(aws: &Aws) -> Moto {
        let log = aws.folder.log("moto");
        let (port, server) = (0..3)
            .find_map(|_| {
                let port = free_port();
                let mut command = tool("moto", "moto_server");
                command
                    .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                    .env("HOME", aws.folder.path("moto"))
                    // Where it calls Lambda.
                    .env("MOTO_PORT", aws.port.to_string());
                let server = Server::start(&command, &log, || {
                    request(port, "GET", "/moto-api/data.json", "").is_some()
                });
                server.map(|server| (port, server))
            })
            .unwrap_or_else(|| panic!("moto does not start: see {log}"));
        let settings = r#"{"stepfunctions":{"execute_state_machine":true}}"#;
        request(port, "POST", "/moto-api/config", settings).expect("moto takes its settings");
        let client = sfn_client(&format!("http://127.0.0.1:{port}"));
        let arn = RUNTIME.block_on(async {
            let created = client
                .create_state_machine()
                .name(STACK)
                .definition(definition())
                .role_arn("arn:aws:iam::123456789012:role/any")
                .send()
                .await;
            created
                .expect("moto takes the definition")
                .state_machine_arn
        });
        Moto {
            machine: Machine { client, arn },
            _server: server,
        }
    }
}

/// The definition as a deployment would put it in, with the ARNs of the functions in ministack.
fn definition() -> String {
    let path = command::root().join("statemachine/backfill.asl.json");
    let mut definition = std::fs::read_to_string(path).expect("the definition is there");
    let function =
        |name: &str| format!("arn:aws:lambda:us-east-1:000000000000:function:{STACK}-{name}");
    for (placeholder, arn) in [
        ("${LambdaInvoke}", "arn:aws:states:::lambda:invoke".into()),
        ("${PlannerFunctionArn}", function("planner")),
        ("${WorkerFunctionArn}", function("worker")),
        ("${VerifierFunctionArn}", function("verifier")),
    ] {
        definition = definition.replace(placeholder, &arn);
    }
    assert!(!definition.contains("${"), "a placeholder is left");
    definition
}

fn start_ministack(folder: &Folder, enforce_roles: bool) -> Option<(u16, Wire, Server)> {
    let port = free_port();
    let wire = RUNTIME.block_on(Wire::open(port));
    let mut command = tool("ministack", "ministack");
    command
        .env("GATEWAY_PORT", port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        // The functions inherit it.
        .env("AWS_ENDPOINT_URL", &wire.endpoint)
        .env("LAMBDA_EXECUTOR", "local")
        .env("LAMBDA_STRICT", "0")
        .env("AUTH", enforce_roles.to_string())
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .env("MINISTACK_REGION", "us-east-1")
        .env("SFN_WAIT_SCALE", WAIT_SCALE);
    for name in ["HOME", "STATE_DIR", "S3_DATA_DIR", "TMPDIR"] {
        command.env(name, folder.path(name));
    }
    let server = Server::start(&command, &folder.log("ministack"), || {
        request(port, "GET", "/_ministack/health", "").is_some()
    })?;
    Some((port, wire, server))
}

/// `sam deploy` of what `make lambdas` has built.
fn deploy(endpoint: &str, folder: &Folder) {
    let root = command::root();
    let built = root.join("target/sam/template.yaml");
    assert!(
        built.exists(),
        "{} is missing: run make lambdas",
        built.display()
    );
    let log = folder.log("deploy");
    let file = File::create(&log).expect("a log file");
    let status = tool("sam", "sam")
        .args(["deploy", "--template-file"])
        .arg(built)
        .arg("--config-file")
        .arg(root.join("samconfig.toml"))
        .args([
            "--parameter-overrides",
            "CreateTable=true",
            "Architecture=x86_64",
            // ministack's CloudFormation knows neither query definitions nor alarms on queries.
            "SavedQueries=false",
            "WatchIndexes=false",
        ])
        .env("HOME", folder.path("sam"))
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("SAM_CLI_TELEMETRY", "0")
        .stdout(file.try_clone().expect("one log for both"))
        .stderr(file)
        .status()
        .expect("sam starts");
    assert!(status.success(), "sam deploy failed: see {log}");
}

/// A pinned tool, with nothing of this machine's settings.
fn tool(name: &str, program: &str) -> Command {
    let path = command::root().join(format!(".tools/{name}/bin/{program}"));
    assert!(
        path.exists(),
        "{} is missing: run make tools",
        path.display()
    );
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null());
    command
}

fn sfn_client(endpoint: &str) -> aws_sdk_sfn::Client {
    let config = aws_sdk_sfn::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_sfn::Client::from_conf(config)
}

/// A small HTTP request; the body of the answer where that is a success.
fn request(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    request_with(port, method, path, "Content-Type: application/json", body)
}

/// The same with these headers, whose lines end in CRLF but for the last.
fn request_with(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         {headers}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?;
    code.starts_with('2').then(|| body.to_owned())
}

/// A call of one of AWS's older services: a form, and XML back. Panics where it is no success.
pub(crate) fn request_form(port: u16, service: &str, parameters: &[(&str, &str)]) -> String {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let credential = format!("Credential=test/20260101/us-east-1/{service}/aws4_request");
    let headers = format!(
        "Content-Type: application/x-www-form-urlencoded\r\n\
         Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
    );
    let answer = request_with(port, "POST", "/", &headers, &body);
    answer.unwrap_or_else(|| panic!("{service} refuses {parameters:?}"))
}

/// A call of one of AWS's services that take JSON. Panics where it is no success.
pub(crate) fn request_json(port: u16, service: &str, target: &str, body: &Json) -> Json {
    let credential = format!("Credential=test/20260101/us-east-1/{service}/aws4_request");
    let headers = format!(
        "Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}\r\n\
         Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
    );
    let answer = request_with(port, "POST", "/", &headers, &body.to_string());
    let answer = answer.unwrap_or_else(|| panic!("{target} is refused: {body}"));
    serde_json::from_str(&answer).unwrap_or_default()
}

/// A server and every process that it starts, functions included. They end when this is dropped, and also where the
/// tests' process ends without dropping anything (it is killed, or holds this in a static).
struct Server {
    shell: Child,
}

impl Server {
    /// Starts a server and waits until it is ready; `None` where it ends before.
    fn start(command: &Command, log: &str, mut ready: impl FnMut() -> bool) -> Option<Server> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.expect("a log file");
        let mut shell = Command::new("sh");
        // A process group of its own, killed as a whole as soon as the server ends or the pipe does on which the shell
        // waits: the other end is ours, and the system closes it when we are no more.
        shell
            .args([
                "-c",
                "{ \"$@\"; kill -KILL 0; } & read -r _; kill -KILL 0",
                "sh",
            ])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("one log for both"))
            .stderr(file);
        let shell = shell.spawn().expect("sh starts");
        let mut server = Server { shell };
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            if server.shell.try_wait().expect("it is our child").is_some() {
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "a server is not ready: see {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// Its process group.
    fn group(&self) -> i32 {
        i32::try_from(self.shell.id()).expect("a PID")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A folder under the target directory for the data and the logs of the servers. It is emptied at the next start, not
/// at the end, so that the logs of a failure can be read.
struct Folder {
    path: PathBuf,
    /// Held as long as this process lives: a second one waits for its turn.
    _lock: File,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let binary = command::binary();
        let target = binary.ancestors().nth(2).expect("a target directory");
        let base = target.join("e2e");
        let path = base.join(name);
        std::fs::create_dir_all(&path).expect("a folder for the servers");
        let lock = File::create(base.join(format!("{name}.lock"))).expect("a lock file");
        lock.lock().expect("the lock of the folder");
        std::fs::remove_dir_all(&path).expect("the folder is emptied");
        std::fs::create_dir_all(&path).expect("a folder for the servers");
        Folder { path, _lock: lock }
    }

    /// A folder in it.
    fn path(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).expect("a folder for a server");
        path
    }

    /// The path of a log in it.
    fn log(&self, name: &str) -> String {
        let path = self.path.join(format!("{name}.log"));
        path.display().to_string()
    }
}

/// Says where the logs are when a case fails.
struct ShowLogs<'a>(&'a Folder);

impl Drop for ShowLogs<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs of the servers are in {}", self.0.path.display());
        }
    }
}

/// The input of an execution, and the request of `backfill start`: `test = 1` on this table, with these settings.
pub fn input(table: &str, settings: Json) -> Json {
    let mut input = json!({"table": table, "set": {"test": 1}});
    let settings: serde_json::Map<String, Json> =
        serde_json::from_value(settings).expect("an object");
    input.as_object_mut().expect("an object").extend(settings);
    input
}
