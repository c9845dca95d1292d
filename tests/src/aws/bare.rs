//! A stand-in for AWS with nothing in it, and the acceptance run against it.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use super::http::{request_form, request_json, request_list};
use super::server::{Folder, Server, end_of};
use super::stack::start_ministack;
use crate::command;
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
