//! What the three functions share: start-up, strict parsing of the event, and errors by name.

mod panics;

use std::future::Future;
use std::time::Duration;

use backfill_core::history::FLUSH_PATIENCE;
use backfill_core::request::parse_strictly;
use backfill_core::worker::{CHECKPOINT_PATIENCE, TRIAL_PATIENCE};
use backfill_core::{Error, Result};
use backfill_dynamodb::{CALL_TIMEOUT, CheckpointTable, Connection};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Left between the end of our work and the end of the invocation: for a write that was just begun, then for the
/// trial's check, the records of rejected items and the checkpoint, each of which is tried again until its patience ends
/// and then once more; with a flush of the history before and after the checkpoint.
const RESERVE: Duration = Duration::from_secs(74);
const _: () = assert!(
    RESERVE.as_secs()
        > 4 * CALL_TIMEOUT.as_secs()
            + TRIAL_PATIENCE.as_secs()
            + 2 * CHECKPOINT_PATIENCE.as_secs()
            + 2 * FLUSH_PATIENCE.as_secs()
);

/// Built once per process and used by every invocation.
pub struct Setup {
    pub connection: Connection,
    pub checkpoints: CheckpointTable,
}

/// Error name and message as Step Functions sees them.
#[derive(Debug)]
struct Failure(Error);

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Diagnostic {
        Diagnostic {
            error_type: failure.0.kind().name().to_owned(),
            error_message: failure.0.report(),
        }
    }
}

/// Runs a function until Lambda ends the process. `handle` gets the parsed event and the time by which it
/// should be done.
pub fn serve<E, O, F, Fut>(handle: F) -> std::result::Result<(), lambda_runtime::Error>
where
    E: DeserializeOwned,
    O: Serialize,
    F: Fn(std::sync::Arc<Setup>, E, Instant) -> Fut,
    Fut: Future<Output = Result<O>>,
{
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().json())
        .with(log_filter(std::env::var("RUST_LOG").ok().as_deref()))
        .init();
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
                    let result = match parse_strictly(event.payload.get(), "event") {
                        Ok(request) => handle(setup, request, latest(&event.context)).await,
                        Err(error) => Err(error),
                    };
                    panics::belong_to(None);
                    result.map_err(|error| {
                        tracing::error!(
                            request_id = event.context.request_id,
                            error_name = error.kind().name(),
                            "{}",
                            error.report()
                        );
                        Failure(error)
                    })
                }
            }))
            .await
        })
}

/// What is logged: everything from info on, or as RUST_LOG says (`debug`, or `warn,backfill_core=debug`).
// Not EnvFilter, which brings an engine for regular expressions into each function.
fn log_filter(directives: Option<&str>) -> Targets {
    directives
        .and_then(|directives| directives.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
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

/// The time by which an invocation must have finished its work.
fn latest(context: &Context) -> Instant {
    let left = context
        .deadline()
        .duration_since(std::time::SystemTime::now())
        .unwrap_or_default();
    // Where the function's timeout is shorter than the reserve, half of it must do.
    Instant::now() + left.saturating_sub(RESERVE).max(left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_functions_sees_the_name_of_the_error() {
        let error = Error::new(backfill_core::ErrorKind::Fenced, "claimed since");
        let diagnostic = Diagnostic::from(Failure(error));
        assert_eq!(diagnostic.error_type, "Fenced");
        assert_eq!(diagnostic.error_message, "claimed since");
    }

    #[test]
    fn rust_log_decides_what_is_logged_and_info_is_the_default() {
        use tracing::Level;
        let logs = |directives, target, level| log_filter(directives).would_enable(target, &level);
        for without_directives in [None, Some("=not a level=")] {
            assert!(logs(without_directives, "backfill_core", Level::INFO));
            assert!(!logs(without_directives, "backfill_core", Level::DEBUG));
        }
        let chosen = Some("warn,backfill_core=debug");
        assert!(logs(chosen, "backfill_core::retry", Level::DEBUG));
        assert!(!logs(chosen, "aws_config", Level::INFO));
    }
}
