//! Who may work for a run: its owner, while it goes on, in its current pass, and nobody else. Whoever works for longer than a
//! moment looks again every few seconds.

use std::future::Future;
use std::time::Duration;

use crate::pace::retry::{PATIENCE, Until, retry};
use crate::ports::CheckpointReader;
use crate::records::{Owner, RunRecord, RunStatus};
use crate::request::check_run_id;
use crate::{Error, ErrorKind, Result};

/// How often worker and verifier look whether the run still is its owner's and goes on, and at what rate.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reads a run record for work on one of its passes.
///
/// Errors: `InvalidInput` if it is missing; `Fenced` if it belongs to somebody else or has gone on to another pass;
/// `NotRunning` if it was ended.
pub(super) async fn load<S: CheckpointReader>(
    store: &S,
    run_id: &str,
    pass: u32,
    owner: &Owner,
) -> Result<RunRecord> {
    let record = load_any(store, run_id).await?;
    require(&record, pass, owner)?;
    Ok(record)
}

/// Does what [`load`] does, by the copy of the record under a shard if one is named. A copy can only say yes: what else it says,
/// or if there is none, is asked of the record itself.
pub(super) async fn load_near<S: CheckpointReader>(
    store: &S,
    shard: Option<u32>,
    run_id: &str,
    pass: u32,
    owner: &Owner,
) -> Result<RunRecord> {
    check_run_id(run_id)?;
    if let Some(shard) = shard {
        let copy = retry(&Until::after(PATIENCE), || store.run_copy(run_id, shard)).await?;
        if let Some(copy) = copy
            && require(&copy, pass, owner).is_ok()
        {
            return Ok(copy);
        }
    }
    load(store, run_id, pass, owner).await
}

/// Looks every few seconds whether `run` still is its owner's and goes on in its pass, and hands the record to `look`. Whoever
/// works on a segment looks near it. Returns the error when it does not, or that of `look`.
pub(super) async fn watch<S, F, Fut>(
    store: &S,
    run: &RunRecord,
    segment: Option<u32>,
    look: F,
) -> Error
where
    S: CheckpointReader,
    F: Fn(RunRecord) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let shard = segment.and_then(|segment| run.copy_near(segment));
    // Those that begin together do not look together.
    let mut wait = LOOK_EVERY.mul_f64(fastrand::f64());
    loop {
        tokio::time::sleep(wait).await;
        wait = LOOK_EVERY;
        let looked =
            async { look(load_near(store, shard, &run.run_id, run.pass, &run.owner).await?).await };
        if let Err(error) = looked.await {
            return error;
        }
    }
}

/// Refuses work on a pass of a run in the name of an owner, with the errors of [`load`].
pub(super) fn require(record: &RunRecord, pass: u32, owner: &Owner) -> Result<()> {
    if record.owner != *owner {
        return Err(taken_over(record, owner));
    }
    if record.pass != pass {
        return Err(Error::new(
            ErrorKind::Fenced,
            format!(
                "run {}: pass {pass} was asked for, but pass {} is the current one",
                record.run_id, record.pass
            ),
        ));
    }
    require_running(record)
}

pub(super) fn require_running(record: &RunRecord) -> Result<()> {
    if record.status == RunStatus::Running {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::NotRunning,
        format!(
            "run {} is {}: {}; start it again to go on",
            record.run_id,
            record.status.name(),
            record.message
        ),
    ))
}

pub(super) async fn load_owned<S: CheckpointReader>(
    store: &S,
    run_id: &str,
    owner: &Owner,
) -> Result<RunRecord> {
    let record = load_any(store, run_id).await?;
    if record.owner != *owner {
        return Err(taken_over(&record, owner));
    }
    Ok(record)
}

pub(super) fn taken_over(record: &RunRecord, former: &Owner) -> Error {
    Error::new(
        ErrorKind::Fenced,
        format!(
            "run {} was taken over by {}; {} stops here",
            record.run_id,
            record.owner.brief(),
            former.brief()
        ),
    )
}

pub(super) async fn load_any<S: CheckpointReader>(store: &S, run_id: &str) -> Result<RunRecord> {
    check_run_id(run_id)?;
    load_stored(store, run_id).await?.ok_or_else(|| {
        Error::invalid(
            "run_id",
            format!("there is no run {run_id} in the checkpoint table"),
        )
    })
}

pub(super) async fn load_stored<S: CheckpointReader>(
    store: &S,
    run_id: &str,
) -> Result<Option<RunRecord>> {
    retry(&Until::after(PATIENCE), || store.run(run_id)).await
}
