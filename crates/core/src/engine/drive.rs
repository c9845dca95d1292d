//! Drives planner, worker and verifier in one process, in the order in which the state machine
//! (`statemachine/backfill.asl.json`) drives them in AWS.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::engine::conclusion::{Conclusion, ConclusionStatus};
use crate::engine::ownership::{LOOK_EVERY, load};
use crate::engine::planner::Planner;
use crate::engine::runs::Round;
use crate::engine::verifier::{Verifier, VerifyRequest};
use crate::engine::worker::{Chunk, Worker};
use crate::pace::Consistency;
use crate::pace::retry::retry_outage;
use crate::ports::guard::GuardReader;
use crate::ports::{CountNotes, ReadAccess, RunStore, SegmentStore, WriteAccess};
use crate::records::{Owner, RunStatus};
use crate::{ErrorKind, Result};

/// The three parts of a run. Only the worker's access can write to the target table.
pub struct Engine<R, W, S> {
    /// Leads the run by its record.
    pub planner: Planner<R, S>,
    /// Migrates segments.
    pub worker: Worker<W, S>,
    /// Counts what is pending.
    pub verifier: Verifier<R, S>,
}

/// How long a chunk or a verification is begun again while the service is unavailable; as long as the state
/// machine's Retry goes on.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(600);

/// How often a chunk is begun again because a late claim of our own has fenced it off. Each time takes a call that was
/// carried out long after it was given up, so more than one is strange.
const MOST_FENCED: u32 = 3;

/// The open segments of a round in their lanes. Each worker of this process goes on in a lane at the pace that it has found there,
/// and then helps where most is left. Whoever takes a segment takes the first of its lane: that is how those are found that were
/// begun (`engine/sums.rs`).
struct OpenLanes(Mutex<Vec<VecDeque<u32>>>);

impl OpenLanes {
    /// Those of a round. If fewer are worked on at once than there are lanes, they are one lane, in the
    /// order of the round.
    fn of(round: &Round) -> Self {
        if round.max_concurrency < round.lanes.count() {
            let all = round.segments.iter().copied().collect();
            return OpenLanes(Mutex::new(vec![all]));
        }
        let mut sorted = round.segments.clone();
        sorted.sort_unstable();
        let mut rest = sorted.as_slice();
        let mut open = Vec::new();
        for lane in round.lanes.each() {
            let (of_lane, behind) = rest.split_at(rest.partition_point(|n| *n < lane.end));
            rest = behind;
            if !of_lane.is_empty() {
                open.push(of_lane.iter().copied().collect());
            }
        }
        OpenLanes(Mutex::new(open))
    }

    /// The next segment of a worker.
    fn next(&self, worker: usize) -> Option<u32> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = worker.checked_rem(lanes.len())?;
        if let Some(segment) = lanes[own].pop_front() {
            return Some(segment);
        }
        lanes.iter_mut().max_by_key(|lane| lane.len())?.pop_front()
    }
}

/// An outage that the operator did not want to wait out is no error.
fn unless_stopped<T>(result: Result<T>, stop: &CancellationToken) -> Result<Option<T>> {
    match result {
        Err(error) if error.kind().is_retryable() && stop.is_cancelled() => Ok(None),
        result => result.map(Some),
    }
}

impl<R: ReadAccess, W: WriteAccess, S: RunStore + SegmentStore + CountNotes + GuardReader>
    Engine<R, W, S>
{
    /// Drives a planned run of `owner` to its end: until it succeeded, the passes are used up, or `stop` is
    /// cancelled (then the run is paused). Returns the state that the run record then has.
    ///
    /// Errors: whatever ended the run. It is recorded as the end of the run, which can then be resumed; `Fenced` if
    /// somebody else has taken the run over, whose record is left alone.
    pub async fn drive(
        &self,
        round: Round,
        owner: &Owner,
        stop: &CancellationToken,
    ) -> Result<RunStatus> {
        let run_id = round.run_id.clone();
        let ended = self.passes(round, owner, stop).await;
        if let Err(error) = &ended
            && error.kind() == ErrorKind::CanaryDone
        {
            self.planner.runs.end_canary(&run_id, owner).await?;
            if let Some(status) = self.planner.runs.stopped(&run_id, owner).await? {
                return Ok(status);
            }
        }
        // The operator may have stopped it from somewhere else.
        if let Err(error) = &ended
            && error.kind() == ErrorKind::NotRunning
            && let Some(status) = self.planner.runs.stopped(&run_id, owner).await?
        {
            return Ok(status);
        }
        match &ended {
            Ok(RunStatus::Paused) => {
                self.planner
                    .runs
                    .stop(&run_id, owner, RunStatus::Paused)
                    .await?
            }
            Ok(_) => {}
            Err(error) => {
                let recorded = self.planner.runs.fail(&run_id, owner, error.into()).await;
                if let Err(second) = recorded {
                    let second = second.report();
                    tracing::warn!(run_id, error = second, "could not record the failure");
                }
            }
        }
        ended
    }

    async fn passes(
        &self,
        mut round: Round,
        owner: &Owner,
        stop: &CancellationToken,
    ) -> Result<RunStatus> {
        loop {
            while !round.segments.is_empty() {
                if let Err(error) = self.work_off(&round, owner, stop).await {
                    if error.kind() != ErrorKind::Held {
                        return Err(error);
                    }
                    round.trial &= self.worker.needs_trial();
                    let why = error.report();
                    self.wait_while_held(&round.run_id, round.pass, owner, &why, stop)
                        .await?;
                }
                if stop.is_cancelled() {
                    return Ok(RunStatus::Paused);
                }
                round = self
                    .planner
                    .runs
                    .next(&round.run_id, round.pass, owner)
                    .await?;
            }
            let request = VerifyRequest {
                run_id: round.run_id.clone(),
                pass: round.pass,
                owner: owner.clone(),
                verification: round.verification,
            };
            let Some(conclusion) = self.count(request, stop).await? else {
                return Ok(RunStatus::Paused);
            };
            match conclusion.status {
                ConclusionStatus::Succeeded => return Ok(RunStatus::Succeeded),
                ConclusionStatus::Incomplete | ConclusionStatus::PendingAgain => {
                    return Ok(RunStatus::Incomplete);
                }
                ConclusionStatus::NextPass => {
                    self.worker
                        .budget
                        .go_on_from(self.verifier.budget(), Consistency::Strong);
                    round = self
                        .planner
                        .runs
                        .next(&round.run_id, conclusion.pass, owner)
                        .await?;
                }
            }
        }
    }

    /// Verifies the pass of a request from where it stands, and records what follows; `None` if it was stopped before.
    pub(super) async fn count(
        &self,
        mut request: VerifyRequest,
        stop: &CancellationToken,
    ) -> Result<Option<Conclusion>> {
        self.verifier.go_on_from(&self.worker.budget);
        while !request.verification.done {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let verified = retry_outage(stop, OUTAGE_PATIENCE, || {
                self.verifier.verify(request.clone(), None, stop)
            })
            .await;
            if let Some(verification) = unless_stopped(verified, stop)? {
                request.verification = verification;
                if let Some(why) = &request.verification.held {
                    let (pass, owner) = (request.pass, &request.owner);
                    self.wait_while_held(&request.run_id, pass, owner, why, stop)
                        .await?;
                }
            }
        }
        let (pass, owner) = (request.pass, &request.owner);
        let concluded =
            self.planner
                .runs
                .conclude(&request.run_id, pass, owner, &request.verification);
        concluded.await.map(Some)
    }

    /// Works a round off. Other than in Lambda its trial is no chunk of its own: all segments are read, and the first that finds
    /// something to write tries it.
    async fn work_off(&self, round: &Round, owner: &Owner, stop: &CancellationToken) -> Result<()> {
        self.worker.begin_round(round.trial).await;
        let worked = self.sweep(round, owner, stop).await;
        self.worker.settle().await;
        worked
    }

    /// Records why the run is held, and waits while it is, or until `stop` is cancelled.
    async fn wait_while_held(
        &self,
        run_id: &str,
        pass: u32,
        owner: &Owner,
        why: &str,
        stop: &CancellationToken,
    ) -> Result<()> {
        // What the planner cannot find out by itself goes on only if there is an answer that it is over.
        self.planner.runs.note_held(run_id, owner, why).await?;
        while !stop.is_cancelled() {
            let look = || self.planner.note_what_holds(run_id, pass, owner);
            let held = retry_outage(stop, OUTAGE_PATIENCE, look).await;
            if unless_stopped(held, stop)?.flatten().is_none() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Sweeps all segments of a round, each chunk after chunk. The first error stops the others at their checkpoints.
    async fn sweep(&self, round: &Round, owner: &Owner, stop: &CancellationToken) -> Result<()> {
        let stop = stop.child_token();
        let lanes = OpenLanes::of(round);
        let workers = (round.max_concurrency as usize).min(round.segments.len());
        let at_work = &self.worker.budget.at_work;
        at_work.store(workers as u32, Ordering::Relaxed);
        let mut workers: FuturesUnordered<_> = (0..workers)
            .map(|worker| {
                let (lanes, stop) = (&lanes, &stop);
                async move {
                    while !stop.is_cancelled()
                        && let Some(segment) = lanes.next(worker)
                    {
                        while !stop.is_cancelled()
                            && !self.chunk(round, owner, segment, stop).await?
                        {
                        }
                    }
                    at_work.fetch_sub(1, Ordering::Relaxed);
                    Ok(())
                }
            })
            .collect();
        let mut first_error = Ok(());
        while let Some(result) = workers.next().await {
            if result.is_err() {
                stop.cancel();
                first_error = first_error.and(result);
            }
        }
        first_error
    }

    async fn chunk(
        &self,
        round: &Round,
        owner: &Owner,
        segment: u32,
        stop: &CancellationToken,
    ) -> Result<bool> {
        let chunk = Chunk {
            run_id: round.run_id.clone(),
            pass: round.pass,
            segment,
            owner: owner.clone(),
            trial: false,
        };
        let work = || self.worker.work(&chunk, None, stop);
        let mut fenced = 0;
        loop {
            let worked = retry_outage(stop, OUTAGE_PATIENCE, work).await;
            if let Err(error) = &worked
                && error.kind() == ErrorKind::Fenced
                && fenced < MOST_FENCED
            {
                // Who has taken the run over is named by this.
                load(&self.planner.runs.store, &chunk.run_id, chunk.pass, owner).await?;
                // Nobody has: it was a claim of our own that came late, after it was given up and made again.
                fenced += 1;
                continue;
            }
            return Ok(unless_stopped(worked, stop)?.is_some_and(|report| report.done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::verifier::Verification;
    use crate::table::Lanes;

    fn open(segments: Vec<u32>, at_once: u32) -> OpenLanes {
        let round = Round {
            run_id: "r".into(),
            pass: 1,
            trial: false,
            segments,
            max_concurrency: at_once,
            lanes: Lanes::new(9, 3),
            verification: Verification::new(9),
        };
        OpenLanes::of(&round)
    }

    /// Each worker stays in its stretch of the table, and then helps where most is left, from the front.
    #[test]
    fn workers_stay_in_their_lanes() {
        let lanes = open(Lanes::new(9, 3).order().collect(), 3);
        let of = |worker: usize, times: usize| -> Vec<_> {
            (0..times).map(|_| lanes.next(worker)).collect()
        };
        assert_eq!(of(1, 3), [Some(3), Some(4), Some(5)]);
        assert_eq!(of(0, 1), [Some(0)]);
        assert_eq!(of(1, 2), [Some(6), Some(7)]);
        assert_eq!(of(0, 2), [Some(1), Some(2)]);
        assert_eq!(of(2, 2), [Some(8), None]);
        // A lane that is done leaves its worker to the others.
        let lanes = open(vec![6, 1, 7], 3);
        let all: Vec<_> = (0..4).map(|worker| lanes.next(worker % 3)).collect();
        assert_eq!(all, [Some(1), Some(6), Some(7), None]);
        // One at a time goes by the order of the round.
        let lanes = open(vec![0, 3, 6, 1], 1);
        assert_eq!((lanes.next(0), lanes.next(0)), (Some(0), Some(3)));
        assert_eq!(open(Vec::new(), 3).next(0), None);
    }
}
