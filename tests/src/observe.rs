//! What somebody sees of a run who has nothing but AWS: the logs of the functions and the metrics in them, the dashboard,
//! the alarms, and the messages of the topic.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::aws::{Aws, STACK, request_form, request_json};

/// What a function has logged in one invocation.
#[derive(Debug)]
pub struct Invocation {
    pub request_id: String,
    /// The version of the function that worked.
    pub version: String,
    /// Its own lines, without Lambda's.
    pub lines: Vec<Json>,
}

impl Invocation {
    /// The lines that are metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &Json> {
        self.lines.iter().filter(|line| line.get("_aws").is_some())
    }

    /// The line with this message; panics if there is none.
    #[track_caller]
    pub fn line(&self, message: &str) -> &Json {
        let line = self.lines.iter().find(|line| line["message"] == message);
        line.unwrap_or_else(|| panic!("no line says {message}: {self:#?}"))
    }
}

/// A queue that gets what the topic gets.
pub struct Queue {
    port: u16,
    url: String,
    received: BTreeMap<String, Json>,
}

impl Queue {
    /// The message about an execution of this name, if it has come.
    pub fn about(&mut self, execution: &str) -> Option<Json> {
        let body = json!({"QueueUrl": self.url, "MaxNumberOfMessages": 10});
        let answer = request_json(self.port, "sqs", "AmazonSQS.ReceiveMessage", &body);
        for message in answer["Messages"].as_array().into_iter().flatten() {
            let envelope = message["Body"].as_str().expect("a body");
            let envelope: Json = serde_json::from_str(envelope).expect("an envelope of SNS");
            let text = envelope["Message"].as_str().expect("a message");
            let told: Json = serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("a message is no JSON, {error}: {text}"));
            let name = told["execution"].as_str().expect("a name").to_owned();
            let before = self.received.insert(name, told);
            assert_eq!(before, None, "it is told twice");
            let body = json!({"QueueUrl": self.url, "ReceiptHandle": message["ReceiptHandle"]});
            request_json(self.port, "sqs", "AmazonSQS.DeleteMessage", &body);
        }
        self.received.get(execution).cloned()
    }
}

/// Gives the lines back with which the invocation before has ended: under load ministack reads them from the pipe when the next one has
/// begun, and puts them before its lines. One that has no line of its own is left as it is, for whoever looks at its lines to complain.
fn give_back_late_lines(invocations: &mut [Invocation]) {
    let ids: Vec<String> = invocations
        .iter()
        .map(|one| one.request_id.clone())
        .collect();
    for late in 0..invocations.len() {
        let lines = &invocations[late].lines;
        let own = lines
            .iter()
            .position(|line| line["request_id"] == *ids[late]);
        for line in invocations[late]
            .lines
            .drain(..own.unwrap_or(0))
            .collect::<Vec<_>>()
        {
            let before = ids.iter().position(|id| line["request_id"] == **id);
            let to = before.unwrap_or(late);
            invocations[to].lines.push(line);
        }
    }
}

impl Aws {
    /// The invocations of a function for one run, as CloudWatch Logs has them.
    pub fn invocations(&self, function: &str, run_id: &str) -> Vec<Invocation> {
        let logs: Json = serde_json::from_str(&self.logs(function)).expect("JSON");
        let mut streams: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for event in logs["events"].as_array().expect("events") {
            let text = |field: &str| event[field].as_str().expect("text");
            // ministack gives each invocation a stream of its own.
            let stream = streams.entry(text("logStreamName")).or_default();
            stream.push(text("message"));
        }
        let invocations = streams.into_values().map(|lines| {
            let start = lines
                .iter()
                .find_map(|l| l.strip_prefix("START RequestId: "));
            let (request_id, version) = start
                .and_then(|rest| rest.trim_end().split_once(" Version: "))
                .expect("an id and a version");
            let of_lambda = ["START RequestId", "END RequestId", "REPORT RequestId"];
            let own = lines
                .iter()
                .filter(|line| !of_lambda.iter().any(|prefix| line.starts_with(prefix)));
            Invocation {
                request_id: request_id.to_owned(),
                version: version.to_owned(),
                lines: own
                    .map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line)))
                    .collect(),
            }
        });
        let mut invocations: Vec<Invocation> = invocations.collect();
        give_back_late_lines(&mut invocations);
        invocations
            .into_iter()
            .filter(|invocation| invocation.lines.iter().any(|line| line["run_id"] == run_id))
            .collect()
    }

    /// The stack's dashboard, with everything put in.
    pub fn dashboard(&self) -> Json {
        let body = json!({"DashboardName": STACK});
        let answer = self.cloudwatch("GetDashboard", &body);
        let dashboard = answer["DashboardBody"].as_str().expect("a dashboard");
        serde_json::from_str(dashboard).expect("a dashboard is JSON")
    }

    /// The stack's alarms.
    pub fn alarms(&self) -> Vec<Json> {
        let body = json!({"AlarmNamePrefix": format!("{STACK}-")});
        let answer = self.cloudwatch("DescribeAlarms", &body);
        answer["MetricAlarms"].as_array().expect("alarms").clone()
    }

    fn cloudwatch(&self, action: &str, body: &Json) -> Json {
        let target = format!("GraniteServiceVersion20100801.{action}");
        request_json(self.port, "monitoring", &target, body)
    }

    /// Whether a rule of the stack, such as `RunFailedRule`, has an eye on events like this.
    pub fn rule_matches(&self, rule: &str, event: &Json) -> bool {
        let events = |action: &str, body: &Json| {
            request_json(self.port, "events", &format!("AWSEvents.{action}"), body)
        };
        let prefix = format!("{STACK}-{rule}-");
        let listed = events("ListRules", &json!({"NamePrefix": prefix}));
        let rule = &listed["Rules"][0];
        assert!(
            rule["EventPattern"].is_string(),
            "no rule {prefix}: {listed}"
        );
        let body = json!({"EventPattern": rule["EventPattern"], "Event": event.to_string()});
        let answer = events("TestEventPattern", &body);
        answer["Result"].as_bool().expect("yes or no")
    }

    /// The stack's topic.
    pub fn topic(&self) -> String {
        format!("arn:aws:sns:us-east-1:000000000000:{STACK}-alarms")
    }

    /// Subscribes a new queue of this name to the stack's topic.
    pub fn subscribe(&self, name: &str) -> Queue {
        let body = json!({"QueueName": name});
        let queue = request_json(self.port, "sqs", "AmazonSQS.CreateQueue", &body);
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        let parameters = [
            ("Action", "Subscribe"),
            ("TopicArn", &self.topic()),
            ("Protocol", "sqs"),
            ("Endpoint", &arn),
        ];
        request_form(self.port, "sns", &parameters);
        Queue {
            port: self.port,
            url: queue["QueueUrl"].as_str().expect("a URL").to_owned(),
            received: BTreeMap::new(),
        }
    }
}
