//! What the state machine asks the planner, and the answer. Both are JSON, and no answer holds per-item data beyond sample
//! keys.
//!
//! A field that this version does not know is ignored, here and in the events of worker and verifier: the definition may come
//! from a newer version than the function. What an operator has written (`input`) is read strictly.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::engine::conclusion::Conclusion;
use crate::engine::holds::wait::Wait;
use crate::engine::planner::Planner;
use crate::engine::runs::{Failure, Round};
use crate::engine::verifier::Verification;
use crate::ports::guard::GuardReader;
use crate::ports::{ReadAccess, RunStore};
use crate::records::Owner;
use crate::{Error, Request, Result};

/// What is asked of the planner. It is one struct for all actions, since an enum tagged by `action` would lose the digits
/// of long numbers in `input`; [`Planner::answer`] checks that the fields of the action are there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// What is to be done.
    pub action: Action,
    /// ARN of the execution, which owns its run.
    pub owner: Owner,
    /// The execution input as it came, for `plan`.
    pub input: Option<Box<RawValue>>,
    /// The run, for every action but `plan`.
    pub run_id: Option<String>,
    /// The pass, for `next`, `conclude` and `hold`.
    pub pass: Option<u32>,
    /// The complete count, for `conclude`.
    pub verification: Option<Verification>,
    /// The error output of a Catch, for `fail`.
    pub error: Option<Caught>,
}

impl Ask {
    /// The id of the run that it is about; `None` if that is missing, or the input cannot be read.
    pub fn about(&self) -> Option<String> {
        let of_input = || Request::from_execution_input(self.input.as_ref()?.get()).ok();
        self.run_id
            .clone()
            .or_else(|| of_input().map(|request| request.run_id()))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Start or resume a run ([`Planner::begin`]). Executions that go on know it by this name.
    Plan,
    /// Which segments are still open?
    Next,
    /// A verification is complete: what follows?
    Conclude,
    /// Does something hold the run, and for how long should the execution wait?
    Hold,
    /// An error ended the execution.
    Fail,
}

/// The error output of a Catch (developer guide, Handling errors in Step Functions workflows).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Caught {
    /// The name of the error.
    pub error: String,
    /// What the failed state said; empty if nothing.
    #[serde(default)]
    pub cause: String,
}

impl Failure {
    /// The failure of an error output of Step Functions. The cause of a failed function is JSON with an `errorMessage`
    /// (Lambda developer guide, Function errors); any other cause is the sentence itself.
    pub fn caught(error: &str, cause: &str) -> Failure {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct FunctionError {
            error_message: String,
        }
        // Serde would take the first element of an array for it.
        let parse_cause = |cause: &str| -> Option<FunctionError> {
            let is_object = cause.trim_start().starts_with('{');
            is_object.then(|| serde_json::from_str(cause).ok())?
        };
        Failure {
            error: error.to_owned(),
            message: match parse_cause(cause) {
                Some(function) => function.error_message,
                None => cause.to_owned(),
            },
        }
    }
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The answer to [`Action::Plan`] and [`Action::Next`].
    Round(Round),
    /// The answer to [`Action::Conclude`].
    Conclusion(Conclusion),
    /// The answer to [`Action::Hold`].
    Wait(Wait),
    /// The answer to [`Action::Fail`].
    Failure(Failure),
}

impl<A: ReadAccess, S: RunStore + GuardReader> Planner<A, S> {
    /// Does what is asked.
    ///
    /// Errors: `InvalidInput`, which names a field that the action needs and the event lacks; those of [`Planner::begin`],
    /// [`Runs::next`](crate::engine::runs::Runs::next), [`Runs::conclude`](crate::engine::runs::Runs::conclude),
    /// [`Planner::wait_in_aws`] and [`Runs::fail`](crate::engine::runs::Runs::fail).
    pub async fn answer(&self, ask: Ask) -> Result<Answer> {
        let answer = self.answer_to(ask).await?;
        match &answer {
            Answer::Round(round) => tracing::info!(
                run_id = round.run_id,
                pass = round.pass,
                trial = round.trial,
                segments = round.segments.len(),
                "answer: the segments that are open"
            ),
            Answer::Conclusion(conclusion) => tracing::info!(
                run_id = conclusion.run_id,
                pass = conclusion.pass,
                status = ?conclusion.status,
                remaining = conclusion.remaining,
                different = conclusion.different,
                "answer: {}",
                conclusion.message
            ),
            Answer::Wait(wait) => {
                tracing::info!(seconds = wait.wait_seconds, "answer: how long to wait");
            }
            Answer::Failure(failure) => {
                tracing::info!(error_name = failure.error, "answer: {}", failure.message);
            }
        }
        Ok(answer)
    }

    async fn answer_to(&self, ask: Ask) -> Result<Answer> {
        let owner = ask.owner;
        Ok(match ask.action {
            Action::Plan => {
                let request = Request::from_execution_input(given("input", ask.input)?.get())?;
                Answer::Round(self.begin(&request, &owner).await?)
            }
            Action::Next => {
                let run_id = given("run_id", ask.run_id)?;
                let pass = given("pass", ask.pass)?;
                Answer::Round(self.runs.next(&run_id, pass, &owner).await?)
            }
            Action::Conclude => {
                let run_id = given("run_id", ask.run_id)?;
                let pass = given("pass", ask.pass)?;
                let verification = given("verification", ask.verification)?;
                Answer::Conclusion(
                    self.runs
                        .conclude(&run_id, pass, &owner, &verification)
                        .await?,
                )
            }
            Action::Hold => {
                let run_id = given("run_id", ask.run_id)?;
                let pass = given("pass", ask.pass)?;
                Answer::Wait(self.wait_in_aws(&run_id, pass, &owner).await?)
            }
            Action::Fail => {
                let run_id = given("run_id", ask.run_id)?;
                let caught = given("error", ask.error)?;
                let failure = Failure::caught(&caught.error, &caught.cause);
                Answer::Failure(self.runs.fail(&run_id, &owner, failure).await?)
            }
        })
    }
}

fn given<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::invalid(field, "expected with this action"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between functions may have a field more; what an operator has written may not.
    #[test]
    fn a_typing_error_in_the_input_is_refused_in_an_event_with_a_field_more() {
        let ask = r#"{"action":"plan","owner":"o","later":1,"input":{"table":"t","set":{"a":1},"max_wuc":5}}"#;
        let ask: Ask = serde_json::from_str(ask).unwrap();
        let input = ask.input.unwrap();
        let error = Request::from_json(input.get()).unwrap_err();
        assert!(error.to_string().starts_with("max_wuc: "), "{error}");
    }

    #[test]
    fn a_caught_error_says_its_sentence() {
        for (cause, message) in [
            (r#"{"errorType":"InvalidSpec","errorMessage":"no"}"#, "no"),
            ("A threshold was exceeded.", "A threshold was exceeded."),
            (r#"{"other":1}"#, r#"{"other":1}"#),
            (r#"["no"]"#, r#"["no"]"#),
            ("", ""),
        ] {
            let failure = Failure::caught("InvalidSpec", cause);
            assert_eq!(failure.error, "InvalidSpec");
            assert_eq!(failure.message, message);
        }
    }
}
