//! Which guard is meant, which change it repairs, and where its records are.

use backfill_core::records::{GuardRecord, RunRecord};
use backfill_core::request::check_run_id;
use backfill_core::{Error, Request, Result};
use clap::Args;

use super::settings::{SettingsArgs, as_typed};
use super::spec::SpecArgs;
use super::stack::stack_name;
use crate::hint::CHECKPOINT_TABLE;

/// The change that a guard repairs: said as for a run, or that of a run.
#[derive(Args)]
pub struct GuardedChangeArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Take table and change from this run, by its record in the checkpoint table.
    #[arg(long, value_name = "ID", help_heading = "Spec")]
    run_id: Option<String>,
}

impl GuardedChangeArgs {
    /// The request that flags and spec file make, or the run whose record says it.
    ///
    /// Errors: `InvalidInput` for what is no request, and for a run beside a change.
    pub fn read(&self) -> Result<GivenChange<'_>> {
        let Some(run_id) = &self.run_id else {
            let settings = SettingsArgs::to_verify(None, None);
            return Ok(GivenChange::Said(Box::new(self.spec.request(&settings)?)));
        };
        check_run_id(run_id).map_err(as_typed)?;
        if self.spec.says_what() {
            let why =
                format!("run {run_id} says the change; leave out what else says it, such as --set");
            return Err(Error::invalid("run-id", why));
        }
        Ok(GivenChange::OfRun(run_id))
    }

    /// What a run says.
    ///
    /// Errors: `InvalidInput` if it is one of another table than is given, or if this program does not have the code that made it.
    pub fn of_run(&self, run: &RunRecord) -> Result<Request> {
        let request = run.request();
        if let Some(table) = self
            .spec
            .table()
            .filter(|table| *table != request.spec.table)
        {
            let why = format!(
                "run {} is one of table {}, not {table}",
                run.run_id, request.spec.table
            );
            return Err(Error::invalid("run-id", why));
        }
        request.spec.require_code()?;
        Ok(request)
    }
}

/// How a change is given.
pub enum GivenChange<'a> {
    Said(Box<Request>),
    /// By the id of a run.
    OfRun(&'a str),
}

/// The guard of a table.
#[derive(Args)]
pub struct GuardedTableArgs {
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

impl GuardedTableArgs {
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
