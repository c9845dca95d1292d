//! The one error type: what failed, on what, and what to do; and a kind that decides what happens next.

use std::fmt;

use crate::text::printable;

/// Shorthand for a result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure it was. [`ErrorKind::name`] is the error name that Step Functions sees, so the
/// state machine's `Retry` and `Catch` and the exit code of the command line both follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The operator's input is wrong; nothing was written.
    InvalidInput,
    /// DynamoDB refuses an expression or a value of the spec; nothing was written by the refused request.
    InvalidSpec,
    /// Under this run id there is a run with another spec or another number of segments.
    RunMismatch,
    /// Somebody else holds the run and has not ended it.
    ActiveElsewhere,
    /// There is no such table in the account and region that were asked.
    TableNotFound,
    /// The table exists but is not ACTIVE.
    TableNotActive,
    /// No AWS credentials were found.
    MissingCredentials,
    /// The credentials do not allow the call.
    AccessDenied,
    /// The update left the first migrated item pending.
    UpdateDoesNotExtinguish,
    /// More items cannot be updated than the operator puts up with.
    TooManyRejected,
    /// Another worker has claimed the segment since; this one may not move the checkpoint.
    Fenced,
    /// The run was ended meanwhile: paused, cancelled or failed.
    NotRunning,
    /// So many items are updated that the run pauses, as was asked for.
    CanaryDone,
    /// Something holds the run for now, such as an alarm or its hours: it goes on by itself.
    Held,
    /// The run record was changed by somebody else meanwhile.
    Conflict,
    /// The table or the account throttled the call.
    Throttled,
    /// The service or the network failed in a way that passes.
    Unavailable,
    /// The service has not answered for as long as this can be waited for, or something else answers in its place.
    Unreachable,
    /// Somebody else is at work on the very item: a transaction, or a write in another region.
    ItemBusy,
    /// Anything else: a bug of ours, or an answer that nobody expected.
    Internal,
}

impl ErrorKind {
    const ALL: [ErrorKind; 20] = [
        ErrorKind::InvalidInput,
        ErrorKind::InvalidSpec,
        ErrorKind::RunMismatch,
        ErrorKind::ActiveElsewhere,
        ErrorKind::TableNotFound,
        ErrorKind::TableNotActive,
        ErrorKind::MissingCredentials,
        ErrorKind::AccessDenied,
        ErrorKind::UpdateDoesNotExtinguish,
        ErrorKind::TooManyRejected,
        ErrorKind::Fenced,
        ErrorKind::NotRunning,
        ErrorKind::CanaryDone,
        ErrorKind::Held,
        ErrorKind::Conflict,
        ErrorKind::Throttled,
        ErrorKind::Unavailable,
        ErrorKind::Unreachable,
        ErrorKind::ItemBusy,
        ErrorKind::Internal,
    ];

    /// The kind with this [`name`](ErrorKind::name), as an execution reports it.
    pub fn from_name(name: &str) -> Option<ErrorKind> {
        ErrorKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The error name as Step Functions sees it (`ErrorEquals`).
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidInput => "InvalidInput",
            ErrorKind::InvalidSpec => "InvalidSpec",
            ErrorKind::RunMismatch => "RunMismatch",
            ErrorKind::ActiveElsewhere => "ActiveElsewhere",
            ErrorKind::TableNotFound => "TableNotFound",
            ErrorKind::TableNotActive => "TableNotActive",
            ErrorKind::MissingCredentials => "MissingCredentials",
            ErrorKind::AccessDenied => "AccessDenied",
            ErrorKind::UpdateDoesNotExtinguish => "UpdateDoesNotExtinguish",
            ErrorKind::TooManyRejected => "TooManyRejected",
            ErrorKind::Fenced => "Fenced",
            ErrorKind::NotRunning => "NotRunning",
            ErrorKind::CanaryDone => "CanaryDone",
            ErrorKind::Held => "Held",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::Throttled => "Throttled",
            ErrorKind::Unavailable => "Unavailable",
            ErrorKind::Unreachable => "Unreachable",
            ErrorKind::ItemBusy => "ItemBusy",
            ErrorKind::Internal => "Internal",
        }
    }

    /// True if the same call may succeed a moment later.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::ItemBusy
        )
    }

    /// True if the operator's input or set-up is at fault. Before an item was touched that is exit code 2.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            ErrorKind::InvalidInput
                | ErrorKind::InvalidSpec
                | ErrorKind::RunMismatch
                | ErrorKind::ActiveElsewhere
                | ErrorKind::TableNotFound
                | ErrorKind::TableNotActive
                | ErrorKind::MissingCredentials
        )
    }
}

/// A failure: a sentence for a person, its [`ErrorKind`], and the cause if there is one.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// A refusal that names the offending field of the input and what was expected of it.
    pub fn invalid(field: &str, message: impl fmt::Display) -> Self {
        Error::new(
            ErrorKind::InvalidInput,
            format!("{}: {}", printable(field), printable(&message.to_string())),
        )
    }

    /// Adds the cause, to be shown once, at the edge.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `context` (`"segment 3 of run r"`) before the message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The kind, which decides on retries and exit codes.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message followed by every cause that says something new: for the edge of the program.
    pub fn report(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::MAX_SHOWN;

    #[test]
    fn a_refusal_is_one_line_whatever_the_input_says() {
        let error = Error::invalid("a\u{1b}[2J", "unknown field `x\ny`");
        assert_eq!(error.to_string(), "a\\u{1b}[2J: unknown field `x\\ny`");
        let error = Error::invalid("ä", "x".repeat(100_000));
        assert_eq!(error.to_string(), format!("ä: {}…", "x".repeat(MAX_SHOWN)));
        let error = Error::invalid("a", "\u{7f}".repeat(MAX_SHOWN));
        assert!(
            error.to_string().chars().count() <= MAX_SHOWN + 4,
            "{error}"
        );
    }
}
