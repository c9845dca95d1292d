//! What the functions share: start-up, strict parsing of the event, structured logs, and errors by name.

use std::future::Future;
use std::time::Duration;

use backfill_core::engine::verifier::VerifyRequest;
use backfill_core::engine::worker::FLUSH_PATIENCE;
use backfill_core::engine::worker::{CHECKPOINT_PATIENCE, Chunk};
use backfill_core::request::parse_strictly;
use backfill_core::step_functions::Ask;
use backfill_core::{Error, ErrorKind, Result};
use backfill_dynamodb::{CALL_TIMEOUT, CheckpointTable, Connection};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::log::Subject;
use crate::panics;

/// Time between the end of our work and the end of the invocation. It is for a write or a check that was just begun, then for
/// the records of rejected items and the checkpoint. Each of these is tried again until its patience ends, and then once
/// more. A flush of the history before and after the checkpoint, and a look at how many segments are done,
/// come in addition.
const RESERVE: Duration = Duration::from_secs(75);
const _: () = assert!(
    RESERVE.as_secs()
        > 4 * CALL_TIMEOUT.as_secs()
            + 2 * CHECKPOINT_PATIENCE.as_secs()
            + 3 * FLUSH_PATIENCE.as_secs()
);

/// What is built once per process and used by every invocation.
pub struct Setup {
    /// The account and region of the tables.
    pub connection: Connection,
    /// The checkpoint table, which `CHECKPOINT_TABLE` names.
    pub checkpoints: CheckpointTable,
}

/// Error name and message as Step Functions sees them.
#[derive(Debug)]
struct NamedError(Error);

impl From<NamedError> for Diagnostic {
    fn from(error: NamedError) -> Diagnostic {
        Diagnostic {
            error_type: error.0.kind().name().to_owned(),
            error_message: error.0.report(),
        }
    }
}

/// The event of a function: what it is asked for.
pub trait Event: DeserializeOwned {
    /// What the event is about; every line of the invocation's log carries it.
    fn subject(&self) -> Subject;
}

impl Event for Chunk {
    fn subject(&self) -> Subject {
        Subject {
            run_id: Some(self.run_id.clone()),
            pass: Some(self.pass),
            segment: Some(self.segment),
        }
    }
}

impl Event for VerifyRequest {
    fn subject(&self) -> Subject {
        Subject {
            run_id: Some(self.run_id.clone()),
            pass: Some(self.pass),
            segment: None,
        }
    }
}

impl Event for Ask {
    fn subject(&self) -> Subject {
        Subject {
            run_id: self.about(),
            pass: self.pass,
            segment: None,
        }
    }
}

/// What an invocation says beside its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The time by which the work should be done.
    pub latest: Instant,
    /// The ARN by which the function was invoked, with a version or an alias if it has one.
    pub function_arn: String,
}

/// Runs a function until Lambda ends the process. `handle` gets the parsed event, and what else the invocation says.
pub fn serve<E, O, F, Fut>(handle: F) -> std::result::Result<(), lambda_runtime::Error>
where
    E: Event,
    O: Serialize,
    F: Fn(std::sync::Arc<Setup>, E, Invocation) -> Fut,
    Fut: Future<Output = Result<O>>,
{
    crate::log::start(std::env::var("RUST_LOG").ok().as_deref());
    panics::report_panics();
    // One thread: a small Lambda has less than one processor.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let setup = std::sync::Arc::new(set_up().await.map_err(|error| error.report())?);
            lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
                let setup = setup.clone();
                let handle = &handle;
                async move {
                    panics::belong_to(Some(&event.context.request_id));
                    let request = parse_strictly::<E>(event.payload.get(), "event");
                    let subject = request.as_ref().map(E::subject).unwrap_or_default();
                    let answer = async {
                        let answer = match request {
                            Ok(request) => handle(setup, request, invocation(&event.context)).await,
                            Err(error) => Err(error),
                        };
                        answer.inspect_err(log_error)
                    };
                    let answer = answer.instrument(subject.span()).await;
                    panics::belong_to(None);
                    answer.map_err(NamedError)
                }
            }))
            .await
        })
}

fn log_error(error: &Error) {
    let (error_name, report) = (error.kind().name(), error.report());
    if matches!(
        error.kind(),
        ErrorKind::NotRunning | ErrorKind::CanaryDone | ErrorKind::Held
    ) {
        // The operator has stopped the run, or wanted it to pause here or to be held: nobody needs to look for a mistake.
        tracing::info!(error_name, "{report}");
    } else {
        tracing::error!(error_name, "{report}");
    }
}

async fn set_up() -> Result<Setup> {
    let name = std::env::var("CHECKPOINT_TABLE").map_err(|_| {
        Error::invalid(
            "CHECKPOINT_TABLE",
            "expected the name of the checkpoint table in this environment variable",
        )
    })?;
    let connection = Connection::from_environment().await?;
    let checkpoints = CheckpointTable::new(&connection, name);
    Ok(Setup {
        connection,
        checkpoints,
    })
}

fn invocation(context: &Context) -> Invocation {
    Invocation {
        latest: latest(context),
        function_arn: context.invoked_function_arn.clone(),
    }
}

/// The time by which an invocation must have finished its work.
fn latest(context: &Context) -> Instant {
    let left = context
        .deadline()
        .duration_since(std::time::SystemTime::now())
        .unwrap_or_default();
    // If the function's timeout is shorter than the reserve, half of it must do.
    Instant::now() + left.saturating_sub(RESERVE).max(left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_functions_sees_the_name_of_the_error() {
        let error = Error::new(ErrorKind::Fenced, "claimed since");
        let diagnostic = Diagnostic::from(NamedError(error));
        assert_eq!(diagnostic.error_type, "Fenced");
        assert_eq!(diagnostic.error_message, "claimed since");
    }

    /// Definition and function need not be of one version, so an event may have a field more.
    fn tolerant<E: Event>(event: &str) -> E {
        parse_strictly(event, "event").unwrap_or_else(|error| panic!("{error}: {event}"))
    }

    #[test]
    fn events_may_have_a_field_more() {
        let chunk: Chunk = tolerant(
            r#"{"run_id":"r","pass":1,"segment":2,"owner":"o","trial":false,"later":{"a":1}}"#,
        );
        assert_eq!(chunk.segment, 2);
        let request: VerifyRequest = tolerant(
            r#"{"run_id":"r","pass":1,"owner":"o","later":1,"verification":{"done":false,"total_segments":4,
                "next_segment":1,"open":[{"segment":0,"cursor":"not_started","later":1}],"scanned":0,"remaining":0,
                "samples":[],"consumed_rcu":0.0,"later":1}}"#,
        );
        assert_eq!(request.verification.open.len(), 1);
        let ask: Ask = tolerant(
            r#"{"action":"fail","owner":"o","run_id":"r","error":{"Error":"E","Cause":"c","Later":1},"later":1}"#,
        );
        assert_eq!(ask.run_id.as_deref(), Some("r"));
    }
}
