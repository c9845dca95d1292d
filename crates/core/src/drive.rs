//! Drives planner, worker and verifier in one process, in the order in which the state machine
//! (`statemachine/backfill.asl.json`) drives them in AWS.

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::RunStatus;
use crate::planner::{ConclusionStatus, Plan, Planner};
use crate::ports::{ReadAccess, RunStore, SegmentStore, WriteAccess};
use crate::verifier::{Verifier, VerifyRequest};
use crate::worker::{Chunk, Worker};
use crate::{Request, Result};

/// The three parts of a run. Only the worker's access can write to the target table.
pub struct Engine<R, W, S> {
    pub planner: Planner<R, S>,
    pub worker: Worker<W, S>,
    pub verifier: Verifier<R, S>,
}

impl<R: ReadAccess, W: WriteAccess, S: RunStore + SegmentStore> Engine<R, W, S> {
    /// Runs a request to its end on behalf of `owner`: until it succeeded, the passes are used up, or `stop`
    /// is cancelled (then the run is paused). The run record says the same as the answer.
    ///
    /// An error before the run record is written changes nothing; any later one is recorded as the end of
    /// the run, which can then be resumed.
    pub async fn run(
        &self,
        request: &Request,
        owner: &str,
        stop: &CancellationToken,
    ) -> Result<RunStatus> {
        let plan = self.planner.plan(request, owner).await?;
        let run_id = plan.run_id.clone();
        let ended = self.passes(plan, stop).await;
        match &ended {
            Ok(RunStatus::Paused) => self.planner.pause(&run_id).await?,
            Ok(_) => {}
            Err(error) => {
                let recorded = self.planner.fail(&run_id, owner, error.into()).await;
                if let Err(second) = recorded {
                    tracing::warn!(
                        run_id,
                        error = second.report(),
                        "could not record the failure"
                    );
                }
            }
        }
        ended
    }

    async fn passes(&self, mut plan: Plan, stop: &CancellationToken) -> Result<RunStatus> {
        loop {
            while !plan.segments.is_empty() {
                if plan.prove {
                    self.chunk(&plan, plan.segments[0], true, stop).await?;
                }
                self.sweep(&plan, stop).await?;
                if stop.is_cancelled() {
                    return Ok(RunStatus::Paused);
                }
                plan = self.planner.next(&plan.run_id, plan.pass).await?;
            }
            let mut verification = plan.verification;
            while !verification.done {
                if stop.is_cancelled() {
                    return Ok(RunStatus::Paused);
                }
                let request = VerifyRequest {
                    run_id: plan.run_id.clone(),
                    pass: plan.pass,
                    verification,
                };
                verification = self.verifier.verify(request, None, stop).await?;
            }
            let conclusion = self
                .planner
                .conclude(&plan.run_id, plan.pass, &verification)
                .await?;
            match conclusion.status {
                ConclusionStatus::Succeeded => return Ok(RunStatus::Succeeded),
                ConclusionStatus::Incomplete => return Ok(RunStatus::Incomplete),
                ConclusionStatus::NextPass => {
                    plan = self.planner.next(&plan.run_id, conclusion.pass).await?;
                }
            }
        }
    }

    /// All segments of a plan, each chunk after chunk; the first error stops the others at their checkpoints.
    async fn sweep(&self, plan: &Plan, stop: &CancellationToken) -> Result<()> {
        let stop = stop.child_token();
        let mut segments = stream::iter(plan.segments.iter().copied())
            .map(|segment| {
                let stop = &stop;
                async move {
                    while !stop.is_cancelled() && !self.chunk(plan, segment, false, stop).await? {}
                    Ok(())
                }
            })
            .buffer_unordered(plan.max_concurrency as usize);
        let mut first_error = Ok(());
        while let Some(result) = segments.next().await {
            if result.is_err() {
                stop.cancel();
                first_error = first_error.and(result);
            }
        }
        first_error
    }

    async fn chunk(
        &self,
        plan: &Plan,
        segment: u32,
        prove: bool,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let chunk = Chunk {
            run_id: plan.run_id.clone(),
            pass: plan.pass,
            segment,
            prove,
        };
        Ok(self.worker.work(&chunk, None, stop).await?.done)
    }
}
