//! Which guard is meant, and where its records are.

use backfill_core::records::GuardRecord;
use backfill_core::{Error, Result};
use clap::Args;

use super::stack::stack_name;
use crate::hint::CHECKPOINT_TABLE;

/// The guard of a table.
#[derive(Args)]
pub struct GuardArgs {
    /// Table that is guarded.
    #[arg(long, value_name = "NAME")]
    pub table: String,
    /// Stack whose function watches, if it is one.
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    pub stack_name: Option<String>,
    /// Table that holds the guard's records [default: STACK-checkpoints, or backfill-checkpoints].
    #[arg(long, value_name = "NAME")]
    checkpoint_table: Option<String>,
}

impl GuardArgs {
    /// The stack whose function watches, by the guard's record if that says it.
    ///
    /// Errors: `InvalidInput` if that of another stack watches than is given.
    pub fn stack_of(&self, guard: &GuardRecord) -> Result<Option<String>> {
        match (&self.stack_name, &guard.stack) {
            (Some(given), Some(watches)) if given != watches => Err(Error::invalid(
                "stack-name",
                format!(
                    "table {} is watched by the guard function of stack {watches}, and not by that of {given}",
                    self.table
                ),
            )),
            (given, watches) => Ok(watches.clone().or_else(|| given.clone())),
        }
    }

    /// The table that holds its records.
    pub fn checkpoint_table(&self) -> String {
        match (&self.checkpoint_table, &self.stack_name) {
            (Some(name), _) => name.clone(),
            (None, Some(stack)) => format!("{stack}-checkpoints"),
            (None, None) => CHECKPOINT_TABLE.to_owned(),
        }
    }
}
