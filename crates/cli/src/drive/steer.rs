//! Steering a run wherever it goes on: by its record.

use backfill_core::engine::runs::Runs;
use backfill_core::engine::steering::RateChange;
use backfill_core::records::{RunRecord, RunStatus};
use backfill_core::request::Settings;
use backfill_core::{Error, Request, Result};
use backfill_dynamodb::CheckpointTable;

use crate::drive::owner;

/// Pauses or cancels a run; returns the state before. An error means that nothing was changed.
pub async fn steer(
    run_id: &str,
    checkpoints: &CheckpointTable,
    status: RunStatus,
) -> Result<RunStatus> {
    let runs = Runs::new(checkpoints.clone());
    runs.steer(run_id, status, &owner::caller()).await
}

/// "running -> paused", and what follows from it.
pub fn change_text(before: RunStatus, after: RunStatus) -> String {
    let drains = match before {
        RunStatus::Running => "; its workers save their checkpoints and end within ten seconds",
        _ => "",
    };
    format!("{} -> {}{drains}", before.name(), after.name())
}

/// Changes the budget of a run, or what holds it; returns its settings before and after. An error means that nothing was changed.
pub async fn set_rate(
    run_id: &str,
    checkpoints: &CheckpointTable,
    rate: RateChange,
) -> Result<(Settings, Settings)> {
    let runs = Runs::new(checkpoints.clone());
    runs.set_rate(run_id, rate, &owner::caller()).await
}

/// The request that goes on with this run.
///
/// Errors: `InvalidInput` if it is not one to be resumed, or a canary that is swept: an execution that were started for it would fail,
/// and raise the alarm.
pub async fn request_to_resume(
    record: &RunRecord,
    checkpoints: &CheckpointTable,
) -> Result<Request> {
    if !matches!(record.status, RunStatus::Paused | RunStatus::Failed) {
        return Err(Error::invalid(
            "run-id",
            format!(
                "run {} is {}: {}; only a paused or failed run is resumed, any other is started again",
                record.run_id,
                record.status.name(),
                record.message
            ),
        ));
    }
    if record.settings.dry_run {
        return Err(Error::invalid(
            "run-id",
            format!("{} is a dry run; start it again", record.run_id),
        ));
    }
    let runs = Runs::new(checkpoints.clone());
    runs.check_only_segments(record).await?;
    Ok(record.request())
}
