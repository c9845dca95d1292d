//! Executions of the deployed state machine, in Step Functions.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::retry::RetryConfig;
use aws_sdk_sfn::config::timeout::TimeoutConfig;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::types::ExecutionStatus;
use backfill_core::clock::now_ms;
use backfill_core::engine::runs::{Failure, STOPPED};
use backfill_core::records::{ExecutionArn, Owner, RunStatus};
use backfill_core::view::progress::Snapshot;
use backfill_core::{Error, ErrorKind, Request, Result};
use backfill_dynamodb::{Connection, words};
use serde::Deserialize;

use crate::ending::Ending;

/// How long a run that goes on waits for its former execution to end.
const DRAIN_SECONDS: u32 = 60;

/// Step Functions has so long to answer, its retries included: somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(8);

/// The client of Step Functions.
pub struct Executions {
    client: Client,
    /// Where it is, for messages.
    place: String,
}

/// An execution that has ended.
pub struct Ended {
    arn: String,
    status: ExecutionStatus,
    error: Option<String>,
    cause: Option<String>,
    output: Option<String>,
}

impl Executions {
    /// Speaks to Step Functions at the endpoint and in the region of the connection.
    pub fn new(connection: &Connection) -> Executions {
        let config = config(connection.sdk_config());
        Executions {
            client: Client::from_conf(config.build()),
            place: connection.place().to_owned(),
        }
    }

    /// The ARN of the state machine with a stack's name: the template names it so.
    ///
    /// Errors: `InvalidInput` if there is none.
    pub async fn machine_of_stack(&self, stack: &str, connection: &Connection) -> Result<String> {
        let mut pages = self.client.list_state_machines().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failure("listing state machines", error))?;
            let mut machines = page.state_machines().iter();
            if let Some(machine) = machines.find(|machine| machine.name() == stack) {
                return Ok(machine.state_machine_arn().to_owned());
            }
        }
        Err(Error::invalid(
            "stack-name",
            format!(
                "there is no state machine {stack} {}; check the stack's name and the region",
                connection.place()
            ),
        ))
    }

    /// Starts an execution with this request, and returns its ARN.
    pub async fn start(&self, machine: &str, request: &Request) -> Result<String> {
        let started = self
            .client
            .start_execution()
            .state_machine_arn(machine)
            .name(execution_name(&request.run_id()))
            .input(request.to_json())
            .send()
            .await
            .map_err(|error| self.failure(&format!("starting state machine {machine}"), error))?;
        Ok(started.execution_arn)
    }

    /// How an execution has ended; `None` while it goes on.
    pub async fn ended(&self, arn: &str) -> Result<Option<Ended>> {
        let looked = self
            .client
            .describe_execution()
            .execution_arn(arn)
            .send()
            .await;
        let execution = looked.map_err(|error| self.failure("following the execution", error))?;
        Ok(match execution.status {
            ExecutionStatus::Running => None,
            status => Some(Ended {
                arn: execution.execution_arn,
                status,
                error: execution.error,
                cause: execution.cause,
                output: execution.output,
            }),
        })
    }

    /// True if Step Functions says that an execution has ended, or knows none of this ARN.
    async fn has_ended(&self, arn: &ExecutionArn) -> bool {
        self.is_ended(arn).await == Some(true)
    }

    /// Whether an execution has ended, or Step Functions knows none of this ARN; `None` if it does not say.
    pub async fn is_ended(&self, arn: &ExecutionArn) -> Option<bool> {
        let asked = self.client.describe_execution().execution_arn(arn.as_str());
        match asked.send().await {
            Ok(execution) => Some(*execution.status() != ExecutionStatus::Running),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Some(true),
            Err(_) => None,
        }
    }

    /// Waits until the execution that was to stop has ended: its workers still save their checkpoints, and what comes before
    /// they have ended would fail them.
    pub async fn drained(&self, owner: &Owner) {
        let Owner::Execution(arn) = owner else {
            return;
        };
        for _ in 0..DRAIN_SECONDS {
            if self.has_ended(arn).await {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

impl Executions {
    /// Says that `doing` failed, with the service's own words, or what the call has met with.
    fn failure<E>(&self, doing: &str, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let code = error.code().unwrap_or_default();
        let kind = match code {
            "StateMachineDoesNotExist" | "InvalidArn" => ErrorKind::InvalidInput,
            "AccessDeniedException" => ErrorKind::AccessDenied,
            _ => ErrorKind::Internal,
        };
        let place = &self.place;
        let look = "check the region or --endpoint-url, and the network of this machine";
        let why = match (&error, code, error.message()) {
            (SdkError::TimeoutError(_), ..) => {
                format!("Step Functions has not answered in time {place}; {look}")
            }
            (SdkError::ServiceError(_) | SdkError::ResponseError(_), "", _) => {
                format!("what answers {place} is not Step Functions; {look}")
            }
            (_, "", _) => words(&error),
            (_, code, None) => code.to_owned(),
            (_, code, Some(message)) => format!("{code}: {message}"),
        };
        Error::new(kind, format!("{doing} failed: {why}"))
    }
}

/// The settings that the clients of other services have, with retries. Endpoints, FIPS and dual-stack are among them.
fn config(shared: &SdkConfig) -> aws_sdk_sfn::config::Builder {
    aws_sdk_sfn::config::Builder::from(shared)
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build())
}

/// The state machine whose execution was the owner of a run; `None` if that was a process.
pub fn machine_of(owner: &Owner) -> Option<String> {
    match owner {
        Owner::Execution(arn) => arn.state_machine(),
        _ => None,
    }
}

/// The stack that a state machine belongs to, by the machine's ARN or the stack's name: the template names both alike.
fn stack_of(machine: &str) -> &str {
    machine.rsplit(':').next().unwrap_or(machine)
}

/// The checkpoint table of the stack that a state machine belongs to, as the template names it.
pub fn checkpoint_table_of(machine: &str) -> String {
    format!("{}-checkpoints", stack_of(machine))
}

/// The function of the workers of the stack that a state machine belongs to, as the template names it.
pub fn worker_of(machine: &str) -> String {
    format!("{}-worker", stack_of(machine))
}

impl Ended {
    /// True if somebody stopped it in Step Functions, so that it could not say so itself.
    pub fn was_aborted(&self) -> bool {
        self.status == ExecutionStatus::Aborted
    }

    /// Why it failed; `None` if it ended well.
    pub fn why(&self) -> Option<String> {
        if self.status == ExecutionStatus::Succeeded {
            return None;
        }
        let Failure { error, message } = Failure::caught(
            self.error.as_deref().unwrap_or_default(),
            self.cause.as_deref().unwrap_or_default(),
        );
        let said = [error, message];
        let said: Vec<_> = said.into_iter().filter(|part| !part.is_empty()).collect();
        let said = match said[..] {
            // Whoever stops an execution need not say why.
            [] => "nobody has said why".to_owned(),
            _ => said.join(": "),
        };
        let (arn, status) = (&self.arn, self.status.as_str());
        Some(format!("execution {arn} ended as {status}: {said}"))
    }

    /// What its end means; the durable records of its run have the last word.
    pub fn ending(&self, records: Option<&Snapshot>) -> Ending {
        let error = self.error.as_deref().and_then(ErrorKind::from_name);
        match (&self.status, records) {
            (ExecutionStatus::Aborted, _) => Ending::Stopped,
            (_, Some(records)) => Ending::of(records),
            (ExecutionStatus::Succeeded, None) => ending_by_output(self.output.as_deref()),
            // The planner refused it, so there is no record of it.
            (_, None) if error.is_some_and(ErrorKind::is_refusal) => Ending::Refused,
            (_, None) => Ending::Failed,
        }
    }

    /// The state that such an end leaves the run in, if no record says so.
    pub fn run_status(&self, ending: Ending) -> RunStatus {
        match (&self.status, ending) {
            (ExecutionStatus::Aborted, _) => RunStatus::Cancelled,
            (ExecutionStatus::Succeeded, Ending::Succeeded) => RunStatus::Succeeded,
            (ExecutionStatus::Succeeded, Ending::Stopped) => RunStatus::Paused,
            (ExecutionStatus::Succeeded, Ending::ItemsRemain) => RunStatus::Incomplete,
            _ => RunStatus::Failed,
        }
    }
}

/// What the output of an execution that ended well says if the records cannot be read: a stopped run and a dry run end well, too.
fn ending_by_output(output: Option<&str>) -> Ending {
    #[derive(Deserialize)]
    struct Output {
        error: Option<String>,
        remaining: Option<u64>,
    }
    let output = output.and_then(|output| serde_json::from_str(output).ok());
    match output {
        Some(Output {
            error: Some(error), ..
        }) if error == STOPPED => Ending::Stopped,
        Some(Output {
            error: None,
            remaining: Some(0),
        }) => Ending::Succeeded,
        Some(Output {
            error: None,
            remaining: Some(_),
        }) => Ending::ItemsRemain,
        _ => Ending::Failed,
    }
}

/// A name that no other execution has: at most 80 characters, of the run id's and the time.
fn execution_name(run_id: &str) -> String {
    let head: String = run_id
        .chars()
        .map(|c| if c == '.' { '-' } else { c })
        .take(60)
        .collect();
    format!("{head}-{}", now_ms())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_sfn::config::interceptors::BeforeTransmitInterceptorContextRef;
    use aws_sdk_sfn::config::{
        ConfigBag, Credentials, Intercept, RuntimeComponents, SharedCredentialsProvider,
    };
    use aws_sdk_sfn::error::BoxError;

    use super::*;

    /// Keeps the URL of a request, and has it not sent.
    #[derive(Debug, Clone, Default)]
    struct Keep(Arc<Mutex<String>>);

    impl Intercept for Keep {
        fn name(&self) -> &'static str {
            "Keep"
        }

        fn read_before_transmit(
            &self,
            context: &BeforeTransmitInterceptorContextRef<'_>,
            _: &RuntimeComponents,
            _: &mut ConfigBag,
        ) -> std::result::Result<(), BoxError> {
            *self.0.lock().unwrap() = context.request().uri().to_owned();
            Err("kept".into())
        }
    }

    /// By botocore's rules for Step Functions (stepfunctions/2016-11-23, endpoint-rule-set-1).
    #[tokio::test]
    async fn step_functions_is_asked_at_the_host_that_is_set() {
        for (region, fips, dual_stack, host) in [
            ("us-east-1", false, false, "states.us-east-1.amazonaws.com"),
            (
                "us-east-1",
                true,
                false,
                "states-fips.us-east-1.amazonaws.com",
            ),
            ("eu-west-1", false, true, "states.eu-west-1.api.aws"),
            (
                "cn-north-1",
                false,
                false,
                "states.cn-north-1.amazonaws.com.cn",
            ),
            (
                "us-gov-west-1",
                true,
                false,
                "states.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-iso-east-1",
                false,
                false,
                "states.us-iso-east-1.c2s.ic.gov",
            ),
            (
                "eusc-de-east-1",
                false,
                false,
                "states.eusc-de-east-1.amazonaws.eu",
            ),
        ] {
            let credentials = Credentials::new("key", "secret", None, None, "test");
            let shared = SdkConfig::builder()
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(Region::new(region))
                .use_fips(fips)
                .use_dual_stack(dual_stack)
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .build();
            let kept = Keep::default();
            let client = Client::from_conf(config(&shared).interceptor(kept.clone()).build());
            let _ = client.list_state_machines().send().await;
            assert_eq!(*kept.0.lock().unwrap(), format!("https://{host}/"));
        }
    }

    #[test]
    fn an_execution_that_ended_well_may_still_leave_items() {
        for (output, ending) in [
            (r#"{"status":"succeeded","remaining":0}"#, Ending::Succeeded),
            (
                r#"{"status":"succeeded","remaining":7}"#,
                Ending::ItemsRemain,
            ),
            (r#"{"error":"Stopped","message":"paused"}"#, Ending::Stopped),
            (r#"{"error":"Other","remaining":0}"#, Ending::Failed),
            ("{}", Ending::Failed),
            ("no JSON", Ending::Failed),
        ] {
            assert_eq!(ending_by_output(Some(output)), ending, "{output}");
        }
        assert_eq!(ending_by_output(None), Ending::Failed);
    }
}
