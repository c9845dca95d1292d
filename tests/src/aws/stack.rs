//! The stack in ministack, deployed by `sam`, and its tables.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::http::{request, request_json, request_list, request_path};
use super::machine::{Machine, sfn_client};
use super::server::{Folder, Server, ShowLogs, end_of};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{RunRecord, SegmentRecord};
use backfill_core::{Item, Key, Request};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use crate::command::free_port;
use crate::roles::Iam;
use crate::tables::STUFF_KEYS;
use crate::wire::Wire;
use crate::{command, tables};

/// Name of the stack, and so of its state machine.
pub const STACK: &str = "backfill";

/// The stack's checkpoint table.
pub const CHECKPOINTS: &str = "backfill-checkpoints";

/// Waits and retries of the state machine run twenty times as fast in ministack.
const WAIT_SCALE: &str = "0.05";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// What the schedule of the shared stack verifies, at a time that does not come.
pub const SCHEDULED: &str = r#"{"table":"scheduled","set":{"test":1}}"#;
const SCHEDULE: &str = "VerifySchedule=at(2099-01-01T00:00:00)";

/// The stack has a guard, which is off until somebody switches it on.
const GUARD: &str = "Guard=true";

/// What SAM is told to verify: it takes quotes away that are not escaped.
static VERIFY_INPUT: LazyLock<String> =
    LazyLock::new(|| format!("VerifyInput={}", SCHEDULED.replace('"', "\\\"")));

static AWS: LazyLock<Aws> =
    LazyLock::new(|| Aws::start("deployed", false, &[SCHEDULE, &VERIFY_INPUT, GUARD]));

static STRICT: LazyLock<Aws> = LazyLock::new(|| {
    // ministack takes DescribeAlarms for a call about all alarms.
    let policies = "OperatorPolicies=true";
    let alarms = "PauseWhenAlarm=*";
    let parameters = [policies, alarms, SCHEDULE, &VERIFY_INPUT, GUARD];
    Aws::start("strict", true, &parameters)
});

static CHANGING: LazyLock<Aws> = LazyLock::new(|| Aws::start("changing", false, &[]));

static CUSTOM: LazyLock<Aws> = LazyLock::new(|| Aws::start("custom", false, &[GUARD]));

static MOTO: LazyLock<Moto> = LazyLock::new(|| Moto::start(&AWS));

static NARROW: LazyLock<Aws> = LazyLock::new(|| Aws::start("narrow", false, &[]));

static NARROW_MOTO: LazyLock<Moto> = LazyLock::new(|| Moto::start(&NARROW));

/// Runs a case against the deployed stack, which all cases of a process share: the first one starts it. If `DIST` names
/// what `make dist` has made, that is what is deployed and started, as somebody without Rust does it (`make test`).
pub fn deployed(case: impl AsyncFnOnce(&'static Aws)) {
    AWS.run(case);
}

/// Runs a case against a deployment of its own, in which the roles of the functions are enforced: they may touch the table
/// `stuff` and no other.
pub fn with_roles_enforced(case: impl AsyncFnOnce(&'static Aws)) {
    STRICT.run(case);
}

/// Runs a case against a deployment of its own, which it may change.
pub fn with_deployments(case: impl AsyncFnOnce(&'static Aws)) {
    CHANGING.run(case);
}

/// Runs a case against a deployment of its own, whose functions have the code of `examples/custom-change`.
pub fn with_custom_functions(case: impl AsyncFnOnce(&'static Aws)) {
    CUSTOM.run(case);
}

/// Runs a case against the same functions, with the state machine in moto.
pub fn second_interpreter(case: impl AsyncFnOnce(&'static Aws, &'static Machine)) {
    let machine = &MOTO.machine;
    AWS.run(async |aws| case(aws, machine).await);
}

/// Runs a case against a deployment of its own, in which Lambda runs one worker at a time and refuses any other. Its state
/// machine is moto's, since ministack's gives that refusal another name than AWS.
pub fn with_one_worker(case: impl AsyncFnOnce(&'static Aws, &'static Machine)) {
    let (aws, moto) = (&*NARROW, &*NARROW_MOTO);
    let path = format!("/2017-10-31/functions/{STACK}-worker/concurrency");
    let one = r#"{"ReservedConcurrentExecutions":1}"#;
    request(aws.port, "PUT", &path, one).expect("ministack takes it");
    aws.run(async |aws| case(aws, &moto.machine).await);
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
    /// The command that `make dist` has built, if the stack is from there.
    command: Option<PathBuf>,
    folder: Folder,
    server: Server,
}

impl Aws {
    /// Makes a schedule that is like the one of the stack, but for its time, which has come: at once and never again.
    pub fn copy_schedule(&self, name: &str) -> Json {
        let of_stack = format!("/schedules/{STACK}-verify?groupName={STACK}-verify");
        let schedule = request_list(self.port, "scheduler", &of_stack);
        let copy = json!({
            "ScheduleExpression": "at(2020-01-01T00:00:00)",
            "FlexibleTimeWindow": schedule["FlexibleTimeWindow"],
            "Target": schedule["Target"],
        });
        let path = format!("/schedules/{name}");
        request_path(self.port, "scheduler", "POST", &path, &copy.to_string());
        schedule
    }

    fn start(name: &str, enforce_roles: bool, parameters: &[&str]) -> Aws {
        let folder = Folder::new(name);
        // Between our look for a free port and the server's use of it somebody else may have taken it.
        let (port, wire, server) = (0..3)
            .find_map(|_| start_ministack(&folder, enforce_roles))
            .unwrap_or_else(|| {
                panic!(
                    "ministack does not start: {}",
                    end_of(&folder.log("ministack"))
                )
            });
        let endpoint = format!("http://127.0.0.1:{port}");
        // Only the stack that most cases share: to the others the deployment itself matters, and it is sam's.
        let dist = dist().filter(|_| name == "deployed");
        match &dist {
            Some(dist) => deploy_from(dist, &endpoint, &folder),
            None if name == "custom" => deploy(&endpoint, &folder, &built_custom(), parameters),
            None => deploy(&endpoint, &folder, &built(), parameters),
        }
        // Without Rust's target for it the command is not there, which `make dist` has said.
        let command = dist.map(|dist| dist.join("backfill-linux-x86_64"));
        let command = command.filter(|command| command.exists());
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
            command,
            folder,
            server,
            endpoint,
        }
    }

    fn run(&'static self, case: impl AsyncFnOnce(&'static Aws)) {
        let _logs = ShowLogs(&self.folder);
        RUNTIME.block_on(case(self));
    }

    /// Deploys the stack once more, as it was built and with these parameters.
    pub fn deploy_again(&self, parameters: &[&str]) {
        deploy(&self.endpoint, &self.folder, &built(), parameters);
    }

    /// Deploys another stack, with these parameters. Whether that succeeded.
    pub fn deploy_another(&self, stack: &str, parameters: &[&str]) -> bool {
        sam_deploy(&self.endpoint, &self.folder, &built(), stack, parameters)
    }

    /// Deletes a stack.
    pub fn delete(&self, stack: &str) {
        let status = sam(&self.endpoint, &self.folder)
            .args(["delete", "--no-prompts", "--stack-name", stack])
            .args(["--region", "us-east-1"])
            .status()
            .expect("sam starts");
        assert!(status.success(), "{}", end_of(&self.folder.log("sam")));
    }

    /// Deploys the stack with functions whose code differs, and with its definition put through `change`.
    pub fn deploy_changed(&self, change: impl FnOnce(&mut Json)) {
        let (built, changed) = (built(), self.folder.path("changed"));
        let definition = command::root().join("statemachine/backfill.asl.json");
        let definition = std::fs::read_to_string(definition).expect("the definition is there");
        let mut definition = serde_json::from_str(&definition).expect("the definition is JSON");
        change(&mut definition);
        let path = changed.join("definition.asl.json");
        std::fs::write(path, definition.to_string()).expect("written");
        let functions = [
            "PlannerFunction",
            "WorkerFunction",
            "VerifierFunction",
            "GuardFunction",
        ];
        for function in functions {
            let from = built.with_file_name(function).join("bootstrap");
            let to = changed.join(function);
            std::fs::create_dir_all(&to).expect("a folder for a function");
            // What stands behind a program does not change what it does.
            let mut code = std::fs::read(from).expect("the function is built");
            code.extend(b"changed");
            let to = to.join("bootstrap");
            std::fs::write(&to, code).expect("written");
            std::fs::set_permissions(to, Permissions::from_mode(0o755)).expect("an executable");
        }
        let text = std::fs::read_to_string(&built).expect("the built template");
        let of_before = "DefinitionS3Location: ../../statemachine/backfill.asl.json";
        assert!(text.contains(of_before), "{}", built.display());
        let text = text.replace(of_before, "DefinitionS3Location: definition.asl.json");
        let template = changed.join("template.yaml");
        std::fs::write(&template, text).expect("written");
        deploy(&self.endpoint, &self.folder, &template, &[]);
    }

    /// `backfill` with these arguments (split at blanks).
    pub fn backfill(&self, arguments: &str) -> Command {
        self.backfill_at(&self.endpoint, arguments)
    }

    /// `backfill` at another endpoint than the server's own.
    pub fn backfill_at(&self, endpoint: &str, arguments: &str) -> Command {
        let program = self.command.clone().unwrap_or_else(command::binary);
        self.backfill_of(&program, endpoint, arguments)
    }

    /// The same of another build of the command.
    pub fn backfill_of(&self, program: &Path, endpoint: &str, arguments: &str) -> Command {
        let mut command = command::backfill_of(program, arguments.split_whitespace());
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

    /// Puts an alarm of CloudWatch into this state; it is made if there is none.
    pub fn set_alarm(&self, name: &str, state: &str) {
        let call = |operation: &str, body: Json| {
            let target = format!("GraniteServiceVersion20100801.{operation}");
            request_json(self.port, "monitoring", &target, &body);
        };
        let alarm = json!({
            "AlarmName": name, "Namespace": "Tests", "MetricName": name, "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "ignore",
        });
        call("PutMetricAlarm", alarm);
        let state =
            json!({"AlarmName": name, "StateValue": state, "StateReason": "the test says so"});
        call("SetAlarmState", state);
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

    /// The records of the segments of one pass of the run that an input starts; none before the run has begun.
    pub async fn segments(&self, input: &Json, pass: u32) -> Vec<SegmentRecord> {
        let Some(run) = self.run_record(input).await else {
            return Vec::new();
        };
        let mut segments = Vec::new();
        for shard in 0..run.shards {
            let under = self.checkpoints.segments(&run, pass, shard).await;
            segments.extend(under.expect("the checkpoint table is read"));
        }
        segments
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

    /// Panics unless every item is as it was, with `test = 1` if `test` was missing.
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
            .unwrap_or_else(|| panic!("moto does not start: {}", end_of(&log)));
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
    let mut definition = serde_json::from_str(&definition).expect("the definition is JSON");
    wait_less(&mut definition);
    definition.to_string()
}

/// moto cannot scale waits, as ministack does: no retry waits longer than a second.
fn wait_less(part: &mut Json) {
    match part {
        Json::Object(fields) => {
            for (field, value) in fields {
                match field.as_str() {
                    "IntervalSeconds" | "MaxDelaySeconds" => *value = json!(1),
                    _ => wait_less(value),
                }
            }
        }
        Json::Array(parts) => parts.iter_mut().for_each(wait_less),
        _ => {}
    }
}

pub(super) fn start_ministack(folder: &Folder, enforce_roles: bool) -> Option<(u16, Wire, Server)> {
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

/// The template of what `make lambdas` has built.
fn built() -> PathBuf {
    built_by("lambdas", "target/sam")
}

/// The template of what `make lambdas-custom` has built.
fn built_custom() -> PathBuf {
    built_by("lambdas-custom", "target/sam-custom")
}

/// The template of what this target of make has built, in this folder.
fn built_by(target: &str, folder: &str) -> PathBuf {
    let built = command::root().join(folder).join("template.yaml");
    assert!(
        built.exists(),
        "{} is missing: run make {target}",
        built.display()
    );
    built
}

/// `sam deploy` of a template that is built, for a table of its own.
fn deploy(endpoint: &str, folder: &Folder, template: &Path, parameters: &[&str]) {
    let table = ["TableName=stuff", "CreateTable=true"];
    let parameters = [&table[..], parameters].concat();
    let log = folder.log("sam");
    let is_deployed = sam_deploy(endpoint, folder, template, STACK, &parameters);
    assert!(is_deployed, "sam deploy failed: {}", end_of(&log));
}

/// `sam deploy` of any stack. Whether it succeeded.
pub(super) fn sam_deploy(
    endpoint: &str,
    folder: &Folder,
    template: &Path,
    stack: &str,
    parameters: &[&str],
) -> bool {
    sam(endpoint, folder)
        .args(["deploy", "--template-file"])
        .arg(template)
        .arg("--config-file")
        .arg(command::root().join("samconfig.toml"))
        .args(["--stack-name", stack, "--tags", "team=data"])
        // The same packages for two stacks would be one object, and `sam delete` of one stack takes it from the other.
        .args(["--s3-prefix", stack])
        .args([
            "--parameter-overrides",
            "Architecture=x86_64",
            // ministack's CloudFormation knows neither query definitions nor alarms on queries.
            "SavedQueries=false",
            "WatchIndexes=false",
        ])
        .args(parameters)
        .status()
        .expect("sam starts")
        .success()
}

/// SAM, which works in the stand-in for AWS.
fn sam(endpoint: &str, folder: &Folder) -> Command {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.log("sam"));
    let log = log.expect("a log file");
    let mut sam = tool("sam", "sam");
    sam.env("HOME", folder.path("sam"))
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("SAM_CLI_TELEMETRY", "0")
        .stdout(log.try_clone().expect("one log for both"))
        .stderr(log);
    sam
}

/// What `make dist` has made, if `DIST` names it.
fn dist() -> Option<PathBuf> {
    std::env::var_os("DIST").map(PathBuf::from)
}

/// Deploys what `make dist` has made with nothing but the AWS CLI, by the commands of docs/deploy.md.
fn deploy_from(dist: &Path, endpoint: &str, folder: &Folder) {
    let packaged = folder.path("packaged").join("template.yaml");
    let (packaged, log) = (packaged.display(), folder.log("deploy"));
    // Split at blanks.
    let aws = |arguments: &str| {
        let file = File::options().create(true).append(true).open(&log);
        let file = file.expect("a log file");
        let status = tool("aws", "aws")
            .args(arguments.split_whitespace())
            .current_dir(dist)
            .env("HOME", folder.path("aws"))
            .env("AWS_ENDPOINT_URL", endpoint)
            .stdout(file.try_clone().expect("one log for both"))
            .stderr(file)
            .status()
            .expect("the AWS CLI starts");
        assert!(status.success(), "aws {arguments} failed: {}", end_of(&log));
    };
    aws("s3 mb s3://artefacts");
    aws(&format!(
        "cloudformation package --template-file template-x86_64.yaml --s3-bucket artefacts --s3-prefix {STACK} \
         --output-template-file {packaged}"
    ));
    // The parameters are those that sam is given.
    aws(&format!(
        "cloudformation deploy --template-file {packaged} --stack-name {STACK} --s3-bucket artefacts --s3-prefix {STACK} \
         --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --tags team=data \
         --parameter-overrides TableName=stuff CreateTable=true SavedQueries=false WatchIndexes=false {SCHEDULE} \
         VerifyInput={SCHEDULED} {GUARD}"
    ));
}

/// A pinned tool, with nothing of this machine's settings.
pub fn tool(name: &str, program: &str) -> Command {
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

/// The input of an execution, and the request of `backfill start`: `test = 1` on this table, with these settings.
pub fn input(table: &str, settings: Json) -> Json {
    let mut input = json!({"table": table, "set": {"test": 1}});
    let settings: serde_json::Map<String, Json> =
        serde_json::from_value(settings).expect("an object");
    input.as_object_mut().expect("an object").extend(settings);
    input
}
