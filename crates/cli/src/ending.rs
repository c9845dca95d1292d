//! What a command ends with, as its exit code.

use std::process::ExitCode;

use backfill_core::records::RunStatus;
use backfill_core::view::progress::Snapshot;
use backfill_core::{Error, ErrorKind};

/// How a command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed,
    /// Bad usage or input; nothing was touched.
    Refused,
    ItemsRemain,
    /// What was looked at is there but not as asked for, or an item is not there.
    Differs,
    Stopped,
}

impl Ending {
    /// The ending of a run whose records say this.
    pub fn of(records: &Snapshot) -> Ending {
        let run = &records.run;
        // DynamoDB refused an expression with the first request that used it.
        let refused = run.status == RunStatus::Failed
            && run.error.as_deref() == Some(ErrorKind::InvalidSpec.name())
            && records.passes.iter().all(|pass| pass.counters.matched == 0);
        if refused {
            Ending::Refused
        } else {
            run.status.into()
        }
    }

    /// The ending if an error came before anything was written.
    pub fn before_writing(error: &Error) -> Ending {
        if error.kind().is_refusal() {
            Ending::Refused
        } else {
            Ending::Failed
        }
    }
}

impl From<RunStatus> for Ending {
    fn from(status: RunStatus) -> Ending {
        match status {
            RunStatus::Succeeded => Ending::Succeeded,
            RunStatus::Incomplete => Ending::ItemsRemain,
            RunStatus::Paused | RunStatus::Cancelled => Ending::Stopped,
            RunStatus::Running | RunStatus::Failed => Ending::Failed,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> ExitCode {
        ExitCode::from(match ending {
            Ending::Succeeded => 0,
            Ending::Failed => 1,
            Ending::Refused => 2,
            Ending::ItemsRemain | Ending::Differs => 3,
            Ending::Stopped => 4,
        })
    }
}
