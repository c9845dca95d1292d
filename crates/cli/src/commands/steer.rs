//! `backfill pause` and `backfill cancel`: a run wherever it goes on, by its record.

use backfill_core::Result;
use backfill_core::records::RunStatus;
use serde::Serialize;

use crate::args::OneRunArgs;
use crate::drive::steer;
use crate::ending::Ending;
use crate::show::print;

/// What `--json` prints.
#[derive(Serialize)]
struct Changed<'a> {
    run_id: &'a str,
    before: RunStatus,
    after: RunStatus,
}

/// Pauses a run: it drains to its checkpoints and ends. An error means that nothing was changed.
pub async fn pause(args: OneRunArgs) -> Result<Ending> {
    steer(args, RunStatus::Paused).await
}

/// Cancels a run, as [`pause`] does, and for good: `resume` does not take it up again.
pub async fn cancel(args: OneRunArgs) -> Result<Ending> {
    steer(args, RunStatus::Cancelled).await
}

async fn steer(args: OneRunArgs, status: RunStatus) -> Result<Ending> {
    let (_, checkpoints) = args.open().await?;
    let before = steer::steer(&args.run_id, &checkpoints, status).await?;
    let change = steer::change_text(before, status);
    say!("run {}: {change}", args.run_id);
    if args.json {
        print::json(&Changed {
            run_id: &args.run_id,
            before,
            after: status,
        });
    }
    Ok(Ending::Succeeded)
}
