//! A stand-in for AWS with nothing in it: for the acceptance run, and for other stacks than the tool's own.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use super::http::{request_form, request_json, request_list};
use super::mappings;
use super::server::{Folder, Server, end_of};
use super::stack::{sam_deploy, start_ministack};
use crate::command::{self, Ended};
use crate::wire::Wire;

/// ministack, with the roles of functions enforced, and nothing deployed.
pub struct Bare {
    port: u16,
    /// Where clients find it.
    pub endpoint: String,
    folder: Folder,
    server: Server,
    /// The functions call DynamoDB through it.
    _wire: Wire,
}

impl Bare {
    /// Starts one, with a folder of this name for its logs.
    pub fn start(name: &str) -> Bare {
        let folder = Folder::new(name);
        let (port, wire, server) = (0..3)
            .find_map(|_| start_ministack(&folder, true))
            .unwrap_or_else(|| {
                panic!(
                    "ministack does not start: {}",
                    end_of(&folder.log("ministack"))
                )
            });
        let endpoint = format!("http://127.0.0.1:{port}");
        Bare {
            port,
            endpoint,
            folder,
            server,
            _wire: wire,
        }
    }

    /// The acceptance run with these arguments (split at blanks), against this stand-in. It has nothing of this machine's
    /// AWS settings, and ends with the server.
    pub fn acceptance(&self, arguments: &str) -> Command {
        let mut command = self.acceptance_elsewhere(arguments);
        command.args(["--endpoint-url", &self.endpoint]);
        command
    }

    /// The same without an endpoint: it would go to AWS.
    pub fn acceptance_elsewhere(&self, arguments: &str) -> Command {
        let root = command::root();
        let mut command = Command::new(root.join("acceptance/run"));
        command
            .args(arguments.split_whitespace())
            .arg("--built")
            .arg(root.join("target/sam"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path("acceptance"))
            .env("TMPDIR", self.folder.path("tmp"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .process_group(self.server.group())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A folder of the test's own, which is there until its next start.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// Deploys a template, whose functions are built, by `sam`.
    pub fn deploy(&self, template: &Path, stack: &str) {
        let is_deployed = sam_deploy(&self.endpoint, &self.folder, template, stack, &[]);
        let log = self.folder.log("sam");
        assert!(is_deployed, "sam deploy failed: {}", end_of(&log));
    }

    /// Runs `backfill` with these arguments to its end.
    pub fn backfill(&self, arguments: &[&str]) -> Ended {
        let mut command = command::backfill(arguments);
        command.args(["--endpoint-url", &self.endpoint]);
        command.process_group(self.server.group());
        Ended::run(&mut command)
    }

    /// Runs a script that calls `backfill` and the AWS CLI to its end.
    pub fn script(&self, path: &Path) -> Ended {
        let tools = command::root().join(".tools/aws/bin");
        let mut command = command::script(path, [tools]);
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("HOME", self.folder.path("script"))
            .process_group(self.server.group());
        Ended::run(&mut command)
    }

    /// The lines of a log group that are JSON, in the order in which they were written.
    pub fn logged(&self, group: &str) -> Vec<Json> {
        let body = json!({"logGroupName": group});
        let found = request_json(self.port, "logs", "Logs_20140328.FilterLogEvents", &body);
        let events = found["events"].as_array().into_iter().flatten();
        events
            .filter_map(|event| serde_json::from_str(event["message"].as_str()?.trim()).ok())
            .filter(Json::is_object)
            .collect()
    }

    /// The only event source mapping that there is.
    pub fn mapping(&self) -> Json {
        let mappings = mappings::list(self.port);
        let [only] = &mappings[..] else {
            panic!("not one mapping: {mappings:?}")
        };
        only.clone()
    }

    /// Changes the settings of an event source mapping.
    pub fn change_mapping(&self, mapping: &Json, settings: &Json) {
        mappings::change(self.port, mapping, settings);
    }

    /// Everything that there is in the stand-in and that could cost something, sorted.
    pub fn everything(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let json_lists = [
            ("dynamodb", "DynamoDB_20120810.ListTables"),
            ("logs", "Logs_20140328.DescribeLogGroups"),
            ("states", "AWSStepFunctions.ListStateMachines"),
            ("sqs", "AmazonSQS.ListQueues"),
            ("events", "AWSEvents.ListRules"),
        ];
        for (service, target) in json_lists {
            names_in(
                &request_json(self.port, service, target, &json!({})),
                &mut found,
            );
        }
        for (service, action, version) in [
            ("cloudformation", "DescribeStacks", "2010-05-15"),
            ("sns", "ListTopics", "2010-03-31"),
            ("iam", "ListRoles", "2010-05-08"),
            ("monitoring", "DescribeAlarms", "2010-08-01"),
            ("monitoring", "ListDashboards", "2010-08-01"),
        ] {
            let listed = request_form(
                self.port,
                service,
                &[("Action", action), ("Version", version)],
            );
            let words = listed.split(['<', '>', ':', '/']);
            found.extend(
                words
                    .filter(|word| word.contains(PREFIX))
                    .map(str::to_owned),
            );
        }
        let functions = request_list(self.port, "lambda", "/2015-03-31/functions");
        names_in(&functions, &mut found);
        found.extend(self.keys_in_use());
        found
    }

    /// Keys of customers that are not on their way out.
    fn keys_in_use(&self) -> Vec<String> {
        let ask = |action: &str, body: &Json| {
            request_json(self.port, "kms", &format!("TrentService.{action}"), body)
        };
        let listed = ask("ListKeys", &json!({}));
        let keys = listed["Keys"].as_array().into_iter().flatten();
        keys.map(|key| ask("DescribeKey", &json!({"KeyId": key["KeyId"]})))
            .map(|described| described["KeyMetadata"].clone())
            .filter(|key| key["KeyManager"] == "CUSTOMER" && key["KeyState"] != "PendingDeletion")
            .map(|key| format!("key {}", key["KeyId"]))
            .collect()
    }
}

/// With what everything of an acceptance run begins.
const PREFIX: &str = "backfill-acceptance-";

/// Every text in an answer that has the prefix in it.
fn names_in(answer: &Json, found: &mut BTreeSet<String>) {
    match answer {
        Json::String(text) if text.contains(PREFIX) => {
            found.insert(text.clone());
        }
        Json::Array(values) => values.iter().for_each(|value| names_in(value, found)),
        Json::Object(fields) => fields.values().for_each(|value| names_in(value, found)),
        _ => {}
    }
}
