//! A run in AWS: an execution of the deployed state machine is started and followed. To stop here stops only the following.

use backfill_core::engine::planner::held_elsewhere;
use backfill_core::engine::runs::Runs;
use backfill_core::records::{Owner, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::snapshot;
use backfill_core::{Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection};
use tokio_util::sync::CancellationToken;

use crate::drive::executions::{Ended, Executions};
use crate::drive::watch::{self, Watch, Watched};
use crate::drive::{owner, signals};
use crate::ending::Ending;
use crate::hint;
use crate::show::watch::Role;
use crate::show::{print, summary};
use crate::typed;

/// Failed looks at the execution, one after the other, before following is given up.
const MAX_ERRORS: u32 = 10;

/// Where to start executions, and how to tell of them.
pub struct Deployed {
    pub executions: Executions,
    /// ARN of the state machine.
    pub machine: String,
    pub checkpoints: CheckpointTable,
    pub connection: Connection,
    pub prices: Prices,
    pub json: bool,
    /// Show it on the whole terminal.
    pub watch: bool,
}

/// How the following of an execution came to its end.
enum Followed {
    ToTheEnd(Ended),
    /// The operator has left.
    Left,
    /// Step Functions could not be asked any more.
    GaveUp,
}

impl Deployed {
    /// Starts an execution and follows it to its end. An error means that none was started.
    pub async fn start_and_follow(self, mut request: Request) -> Result<Ending> {
        let looked = owner::take_over_from_the_dead(
            &mut request,
            &self.connection,
            &self.checkpoints,
            &self.executions,
        );
        match looked.await {
            // An execution would be refused just so, and its failure raises an alarm.
            Ok(Some(held)) => return Err(held_elsewhere(&held)),
            Ok(None) => {}
            // The planner decides.
            Err(error) => tracing::warn!("cannot see who holds the run: {}", error.report()),
        }
        // From here on ctrl-C means: stop following.
        let stop = signals::stop_on_signal("stopping to follow; the run goes on");
        let execution = self.executions.start(&self.machine, &request).await?;
        say!("started execution {execution}");
        let run_id = request.run_id();
        let followed = self.follow(&run_id, &execution, stop).await;
        if let Followed::ToTheEnd(ended) = &followed
            && ended.was_aborted()
        {
            self.record_abort(&run_id, &execution).await;
        }
        Ok(self.tell(&request, &execution, followed).await)
    }

    /// Shows how the run goes on until the execution has ended or `stop` is cancelled.
    async fn follow(&self, run_id: &str, execution: &str, stop: CancellationToken) -> Followed {
        let watched = Watched {
            connection: self.connection.clone(),
            checkpoints: self.checkpoints.clone(),
            run_id: run_id.to_owned(),
            owner: Some(execution.into()),
            role: Role::Follower,
            stop: stop.clone(),
        };
        let mut progress = Watch::open(self.watch, watched, watch::IN_AWS);
        let mut errors = 0;
        let followed = loop {
            tokio::select! {
                () = progress.poll() => {}
                () = stop.cancelled() => break Followed::Left,
            }
            match self.executions.ended(execution).await {
                Ok(Some(ended)) => break Followed::ToTheEnd(ended),
                Ok(None) => errors = 0,
                // The run goes on without us; look again, but not for ever.
                Err(error) => {
                    errors += 1;
                    if errors == MAX_ERRORS {
                        print::error(&error);
                        break Followed::GaveUp;
                    }
                    tracing::warn!("{}", error.report());
                }
            }
        };
        progress.finish();
        followed
    }

    /// Records the end of an execution that could not do so itself.
    async fn record_abort(&self, run_id: &str, execution: &str) {
        let runs = Runs::new(self.checkpoints.clone());
        let recorded = runs
            .stop(run_id, &execution.into(), RunStatus::Cancelled)
            .await;
        if let Err(error) = recorded {
            tracing::warn!(
                error = error.report(),
                "could not record that the run was aborted"
            );
        }
    }

    /// Prints how it came out.
    async fn tell(&self, request: &Request, execution: &str, followed: Followed) -> Ending {
        let run_id = request.run_id();
        let records = match snapshot(&self.checkpoints, &run_id).await {
            Ok(records) => records.filter(|records| records.run.owner == Owner::from(execution)),
            Err(error) => {
                print::error(&error);
                None
            }
        };
        let (ending, status) = match &followed {
            Followed::ToTheEnd(ended) => {
                if let Some(why) = ended.why() {
                    say!("error: {}", typed::in_flags(&why));
                }
                let ending = ended.ending(records.as_ref());
                (ending, ended.run_status(ending))
            }
            Followed::Left | Followed::GaveUp => {
                say!(
                    "stopped following; the run goes on in AWS as execution {execution}\n\
                     see it with: {}",
                    hint::on_run("status", &run_id, self.checkpoints.name())
                );
                let ending = match followed {
                    Followed::GaveUp => Ending::Failed,
                    _ => Ending::Stopped,
                };
                (ending, RunStatus::Running)
            }
        };
        // If the input was refused there is no run to speak of.
        let json = self.json && (records.is_some() || ending != Ending::Refused);
        summary::end(
            records.as_ref(),
            request,
            status,
            &self.prices,
            self.checkpoints.name(),
            json,
        );
        ending
    }
}
