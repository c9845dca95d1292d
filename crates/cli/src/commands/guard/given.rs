//! The change of a guard that is switched on or begun, as it was given.

use backfill_core::{Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection};

use crate::args::{GivenChange, GuardedChangeArgs};
use crate::drive::{records, survey};

/// The request that is given by flags, or by a run in these records.
///
/// Errors: `InvalidInput` if there is no such run, or for what [`GuardedChangeArgs::of_run`] refuses.
pub async fn request(
    given: GivenChange<'_>,
    args: &GuardedChangeArgs,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<Request> {
    let run_id = match given {
        GivenChange::Said(request) => return Ok(*request),
        GivenChange::OfRun(run_id) => run_id,
    };
    args.of_run(&records::record(run_id, checkpoints, connection).await?)
}

/// Reads what is given, and refuses what cannot be read of it, before anybody is asked.
pub fn given(args: &GuardedChangeArgs) -> Result<GivenChange<'_>> {
    let given = args.read()?;
    if let GivenChange::Said(request) = &given {
        survey::read_update(&request.spec)?;
    }
    Ok(given)
}
