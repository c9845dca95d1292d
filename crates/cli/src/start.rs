//! `backfill start`: starts the deployed state machine and follows it. Step Functions runs it; stopping here
//! stops only the following.

use std::time::Duration;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::retry::RetryConfig;
use aws_sdk_sfn::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::ExecutionStatus;
use backfill_core::clock::now_ms;
use backfill_core::engine::planner::Planner;
use backfill_core::engine::runs::{Failure, STOPPED};
use backfill_core::records::{Owner, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Snapshot, Summary, snapshot};
use backfill_core::{Error, ErrorKind, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use clap::Args;
use serde::Deserialize;

use crate::args::{ConnectionArgs, PriceArgs, SettingsArgs, SpecArgs, request};
use crate::watch::{Role, Show, Watched};
use crate::{Ending, display, owner, plan, run};

/// How often the execution and the checkpoint table are read.
const POLL: Duration = Duration::from_secs(2);

/// Failed looks at the execution, one after the other, before following is given up.
const MAX_ERRORS: u32 = 10;

#[derive(Args)]
pub struct StartArgs {
    /// Stack that was deployed; its state machine has the same name.
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "state_machine_arn",
        conflicts_with = "state_machine_arn"
    )]
    stack_name: Option<String>,
    /// The state machine itself.
    #[arg(long, value_name = "ARN")]
    state_machine_arn: Option<String>,
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    prices: PriceArgs,
    /// Count what would change, by functions that cannot write to the table.
    #[arg(long)]
    dry_run: bool,
    /// The stack's checkpoint table, for the progress [default: STACK-checkpoints].
    #[arg(long, value_name = "NAME")]
    checkpoint_table: Option<String>,
    /// Do not ask before the execution is started; for scripts.
    #[arg(long)]
    yes: bool,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Show the run on the whole terminal, as `backfill watch` does.
    #[arg(long)]
    watch: bool,
}

/// Runs the command. An error means that no execution was started.
pub async fn start(args: StartArgs) -> Result<Ending> {
    let mut request = request(&args.spec, &args.settings)?;
    request.settings.dry_run |= args.dry_run;
    let asks = !args.yes && !request.settings.dry_run;
    if asks {
        plan::require_terminal()?;
    }
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let sfn = client(&connection);
    let machine = match (&args.state_machine_arn, &args.stack_name) {
        (Some(arn), _) => arn.clone(),
        (None, Some(stack)) => find_state_machine(&sfn, stack, &connection).await?,
        (None, None) => return Err(Error::invalid("stack-name", "expected a stack's name")),
    };
    let checkpoint_table = args
        .checkpoint_table
        .unwrap_or_else(|| checkpoints_of(&machine));
    if asks {
        let checkpoints = CheckpointTable::new(&connection, &checkpoint_table);
        let confirmed = plan::confirm(&request, &connection, &checkpoints, &prices).await;
        let without = "cannot show what the run would do; to start without being asked, add --yes";
        if !confirmed.map_err(|error| error.context(without))? {
            return Ok(Ending::Stopped);
        }
    }
    let to = Deployed {
        sfn,
        machine,
        checkpoint_table,
        connection,
        prices,
        json: args.json,
        watch: args.watch,
    };
    to.start_and_follow(request).await
}

/// The stack has the name of its state machine.
fn checkpoints_of(machine: &str) -> String {
    let stack = machine.rsplit(':').next().unwrap_or(machine);
    format!("{stack}-checkpoints")
}

/// Where to start executions, and how to tell of them.
pub struct Deployed {
    pub sfn: Client,
    /// ARN of the state machine.
    pub machine: String,
    pub checkpoint_table: String,
    pub connection: Connection,
    pub prices: Prices,
    pub json: bool,
    /// Show it on the whole terminal.
    pub watch: bool,
}

impl Deployed {
    /// Starts an execution and follows it to its end. An error means that none was started.
    pub async fn start_and_follow(self, mut request: Request) -> Result<Ending> {
        let Deployed {
            sfn,
            machine,
            checkpoint_table,
            connection,
            prices,
            json,
            watch,
        } = self;
        let checkpoints = CheckpointTable::new(&connection, &checkpoint_table);
        let looked =
            owner::take_over_from_the_dead(&mut request, &connection, &checkpoints, &sfn).await;
        if let Err(error) = looked {
            // The planner decides.
            tracing::warn!("cannot see who holds the run: {}", error.report());
        }
        // From here on ctrl-C means: stop following.
        let stop = run::stop_on_signal("stopping to follow; the run goes on");
        let execution = start_execution(&sfn, &machine, &request).await?;
        eprintln!("started execution {execution}");

        let run_id = request.run_id();
        let owner = Owner::from(execution.as_str());
        let watched = Watched {
            connection: connection.clone(),
            checkpoints: checkpoints.clone(),
            run_id: run_id.clone(),
            owner: Some(owner.clone()),
            role: Role::Follower,
            stop: stop.clone(),
        };
        let mut progress = Show::open(watch, watched, POLL);
        let mut errors = 0;
        let ended = loop {
            tokio::select! {
                () = progress.poll() => {}
                () = stop.cancelled() => break None,
            }
            match sfn
                .describe_execution()
                .execution_arn(&execution)
                .send()
                .await
            {
                Ok(description) if *description.status() != ExecutionStatus::Running => {
                    break Some(description);
                }
                Ok(_) => errors = 0,
                // The run goes on without us; look again, but not for ever.
                Err(error) => {
                    let error = failure("following the execution", error);
                    errors += 1;
                    if errors == MAX_ERRORS {
                        display::error(&error);
                        break None;
                    }
                    tracing::warn!("{}", error.report());
                }
            }
        };
        progress.finish();

        if let Some(description) = &ended
            && *description.status() == ExecutionStatus::Aborted
        {
            // Aborted, the execution could not say so itself.
            let planner = Planner::new(ReadOnly(connection.clone()), checkpoints.clone());
            let recorded = planner
                .runs
                .stop(&run_id, &owner, RunStatus::Cancelled)
                .await;
            if let Err(error) = recorded {
                tracing::warn!(
                    error = error.report(),
                    "could not record that the run was aborted"
                );
            }
        }
        let records = match snapshot(&checkpoints, &run_id).await {
            Ok(records) => records.filter(|records| records.run.owner == owner),
            Err(error) => {
                display::error(&error);
                None
            }
        };
        let (ending, status) = match &ended {
            None => {
                eprintln!(
                    "stopped following; the run goes on in AWS as execution {execution}\n\
                 see it with: backfill status --checkpoint-table {checkpoint_table} --run-id {run_id}"
                );
                let gave_up = errors == MAX_ERRORS;
                let ending = if gave_up {
                    Ending::Failed
                } else {
                    Ending::Stopped
                };
                (ending, RunStatus::Running)
            }
            Some(description) => {
                let ending = ending(description, records.as_ref());
                let status = match (description.status(), ending) {
                    (ExecutionStatus::Aborted, _) => RunStatus::Cancelled,
                    (ExecutionStatus::Succeeded, Ending::Succeeded) => RunStatus::Succeeded,
                    (ExecutionStatus::Succeeded, Ending::Stopped) => RunStatus::Paused,
                    (ExecutionStatus::Succeeded, Ending::ItemsRemain) => RunStatus::Incomplete,
                    _ => RunStatus::Failed,
                };
                (ending, status)
            }
        };
        let mut summary = match &records {
            Some(records) => records.summary(&prices),
            None => Summary::without_records(&request, status),
        };
        if summary.status == RunStatus::Running {
            summary.status = status;
        }
        if let Some(records) = &records {
            display::summary(&records.run, &summary, &prices);
        }
        // Where the input was refused there is no run to speak of.
        if json && (records.is_some() || ending != Ending::Refused) {
            display::json(&summary);
        }
        Ok(ending)
    }
}

/// What the end of an execution means, and why it failed where it did.
fn ending(description: &DescribeExecutionOutput, records: Option<&Snapshot>) -> Ending {
    if *description.status() != ExecutionStatus::Succeeded {
        let Failure { error, message } = Failure::caught(
            description.error().unwrap_or("no error is given"),
            description.cause().unwrap_or_default(),
        );
        eprintln!(
            "error: execution {} ended as {}: {error}: {message}",
            description.execution_arn(),
            description.status().as_str(),
        );
    }
    let refused = description
        .error()
        .and_then(ErrorKind::from_name)
        .is_some_and(ErrorKind::is_refusal);
    match (description.status(), records) {
        (ExecutionStatus::Aborted, _) => Ending::Stopped,
        // The durable record has the last word.
        (_, Some(records)) => Ending::of(records),
        (ExecutionStatus::Succeeded, None) => ending_by_output(description.output()),
        // The planner refused it, so there is no record of it.
        (_, None) if refused => Ending::Refused,
        (_, None) => Ending::Failed,
    }
}

/// What the output of an execution that ended well says, where the records cannot be read: a stopped run and a dry run end
/// well, too.
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

/// Starts an execution with this request, and returns its ARN.
pub async fn start_execution(sfn: &Client, machine: &str, request: &Request) -> Result<String> {
    let started = sfn
        .start_execution()
        .state_machine_arn(machine)
        .name(execution_name(&request.run_id()))
        .input(request.to_json())
        .send()
        .await
        .map_err(|error| failure(&format!("starting state machine {machine}"), error))?;
    Ok(started.execution_arn)
}

/// A client of Step Functions where the connection points.
pub fn client(connection: &Connection) -> Client {
    let config = aws_sdk_sfn::config::Builder::from(connection.sdk_config())
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .build();
    Client::from_conf(config)
}

/// The state machine with the stack's name: the template names it so.
async fn find_state_machine(sfn: &Client, stack: &str, connection: &Connection) -> Result<String> {
    let mut pages = sfn.list_state_machines().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failure("listing state machines", error))?;
        if let Some(machine) = page
            .state_machines()
            .iter()
            .find(|machine| machine.name() == stack)
        {
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

/// A name that no other execution has: at most 80 characters, of the run id's and the time.
fn execution_name(run_id: &str) -> String {
    let head: String = run_id
        .chars()
        .map(|c| if c == '.' { '-' } else { c })
        .take(60)
        .collect();
    format!("{head}-{}", now_ms())
}

fn failure<E>(doing: &str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.code().unwrap_or_default();
    let kind = match code {
        "StateMachineDoesNotExist" | "InvalidArn" => ErrorKind::InvalidInput,
        "AccessDeniedException" => ErrorKind::AccessDenied,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, format!("{doing} failed")).with_source(DisplayErrorContext(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
