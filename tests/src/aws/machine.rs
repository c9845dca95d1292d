//! The state machine in one of its interpreters, and waiting for what it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_sfn::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use serde_json::Value as Json;

/// How long anything may take that a case waits for. Far above what it needs, for slow machines.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is an answer; panics if there is none for too long.
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

/// The state machine in one of its interpreters.
pub struct Machine {
    pub(super) client: aws_sdk_sfn::Client,
    pub(super) arn: String,
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
            // AWS makes a name up if there is none; moto does not.
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

    pub async fn history(&self, arn: &str) -> Vec<HistoryEvent> {
        let pages = self.client.get_execution_history().execution_arn(arn);
        let events = pages.into_paginator().items().send();
        let events: Result<_, _> = events.collect().await;
        events.expect("the history is read")
    }
}

pub fn sfn_client(endpoint: &str) -> aws_sdk_sfn::Client {
    let config = aws_sdk_sfn::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_sfn::Client::from_conf(config)
}
