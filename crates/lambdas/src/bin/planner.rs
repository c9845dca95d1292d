//! The planner function: starts and resumes runs, lists open segments, concludes passes, records failures.
//! It reads table descriptions and writes run records; it cannot touch an item of a target table.

use backfill_core::planner::{Conclusion, Failure, Plan, Planner};
use backfill_core::verifier::Verification;
use backfill_core::{Error, Request, Result};
use backfill_dynamodb::ReadOnly;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One struct for all actions, since an enum tagged by `action` would lose the digits of long numbers in
/// `input`. Which fields an action needs is checked in [`main`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    action: Action,
    /// ARN of the execution, which owns its run.
    owner: String,
    /// `plan`: the execution input as it came.
    input: Option<Box<RawValue>>,
    /// All but `plan`.
    run_id: Option<String>,
    /// `next`, `conclude`.
    pass: Option<u32>,
    /// `conclude`.
    verification: Option<Verification>,
    /// `fail`: the error output of a Catch.
    error: Option<Caught>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Start or resume a run.
    Plan,
    /// Which segments are still open?
    Next,
    /// A verification is complete: what follows?
    Conclude,
    /// An error ended the execution.
    Fail,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Caught {
    error: String,
    #[serde(default)]
    cause: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Plan(Plan),
    Conclusion(Conclusion),
    Failure(Failure),
}

fn main() -> std::result::Result<(), lambda_runtime::Error> {
    backfill_lambdas::serve(async |setup, event: Event, _latest| {
        let planner = Planner {
            access: ReadOnly(setup.connection.clone()),
            store: setup.checkpoints.clone(),
        };
        let owner = event.owner;
        Ok(match event.action {
            Action::Plan => {
                let request = Request::from_json(given("input", event.input)?.get())?;
                Answer::Plan(planner.plan(&request, &owner).await?)
            }
            Action::Next => {
                let run_id = given("run_id", event.run_id)?;
                let pass = given("pass", event.pass)?;
                Answer::Plan(planner.next(&run_id, pass, &owner).await?)
            }
            Action::Conclude => {
                let run_id = given("run_id", event.run_id)?;
                let pass = given("pass", event.pass)?;
                let verification = given("verification", event.verification)?;
                Answer::Conclusion(
                    planner
                        .conclude(&run_id, pass, &owner, &verification)
                        .await?,
                )
            }
            Action::Fail => {
                let run_id = given("run_id", event.run_id)?;
                let caught = given("error", event.error)?;
                let failure = Failure::caught(&caught.error, &caught.cause);
                Answer::Failure(planner.fail(&run_id, &owner, failure).await?)
            }
        })
    })
}

fn given<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::invalid(field, "expected with this action"))
}
