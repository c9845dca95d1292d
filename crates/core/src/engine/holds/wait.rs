//! How a run that is held goes on: the planner notes what holds it, looks whether that is over, and tells an execution of AWS how
//! long to wait until it asks again.

use std::time::Duration;

use serde::Serialize;

use crate::engine::holds::{Reason, UNREAD, ask, by_alarm, by_error, by_hours, note_hold};
use crate::engine::ownership::load;
use crate::engine::planner::Planner;
use crate::engine::runs::despite_conflicts;
use crate::ports::{ReadAccess, RunStore};
use crate::records::{Event, Hold, Owner, RunRecord, RunStatus};
use crate::{Error, ErrorKind, Result};

/// The answer to `hold`: how long to wait before it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// 0 if nothing holds the run any more.
    pub wait_seconds: u64,
}

/// How often one execution of AWS looks whether a hold is over. At 10 events a look that is 15,000 of the 25,000 events that an
/// execution's history may have (Step Functions quotas).
const MOST_LOOKS: u32 = 1_500;

/// To go on after a hold, and to be held again, takes as many events as these looks.
const LOOKS_OF_A_HOLD: u32 = 3;

impl<A: ReadAccess, S: RunStore> Planner<A, S> {
    /// Looks whether something holds `owner`'s run, records it, and returns the reason; `None` if it may go on.
    ///
    /// Errors: `InvalidInput` if there is no such run; `Fenced` if it is another's or in another pass; `NotRunning` if it was
    /// ended.
    pub(crate) async fn note_what_holds(
        &self,
        run_id: &str,
        pass: u32,
        owner: &Owner,
    ) -> Result<Option<Reason>> {
        despite_conflicts(|| async {
            let run = load(&self.runs.store, run_id, pass, owner).await?;
            let reason = self.reason(&run).await?;
            self.note_reason(run, reason.as_ref()).await?;
            Ok(reason)
        })
        .await
    }

    /// Looks for an execution of AWS what holds its run, as a process does: says how long it should wait. A run that was
    /// held for so long that the history of the execution is getting full is paused.
    ///
    /// Errors: those of a look for its owner (`InvalidInput` if there is no such run, `Fenced` if it is another's or in another
    /// pass, `NotRunning` if it was ended), and `NotRunning` if it is paused here.
    pub async fn wait_in_aws(&self, run_id: &str, pass: u32, owner: &Owner) -> Result<Wait> {
        despite_conflicts(|| async {
            let mut run = load(&self.runs.store, run_id, pass, owner).await?;
            let now_ms = self.access.now_ms();
            let reason = self.reason(&run).await?;
            let held_ms = run
                .hold
                .as_ref()
                .map_or(0, |hold| now_ms.saturating_sub(hold.since_ms));
            let wait = match &reason {
                Some(reason) => wait(reason, now_ms, held_ms),
                None => least_hold(&run, now_ms)
                    .saturating_sub(Duration::from_millis(held_ms)),
            };
            let wait = Wait {
                wait_seconds: wait.as_secs_f64().ceil() as u64,
            };
            if wait.wait_seconds == 0 {
                if run.hold.is_some() {
                    run.hold_looks += LOOKS_OF_A_HOLD;
                }
                self.note_reason(run, None).await?;
                return Ok(wait);
            }
            run.hold_looks += 1;
            if run.hold_looks > MOST_LOOKS {
                let why = reason.map(|reason| reason.why);
                let why = why.or(run.hold.as_ref().map(|hold| hold.why.clone()));
                let why = why.unwrap_or_default();
                let message = format!(
                    "paused after {MOST_LOOKS} looks whether it may go on, since an execution of AWS can wait no longer; it was \
                     held: {why}; resume it to go on"
                );
                self.runs
                    .end(run, RunStatus::Paused, &message, owner)
                    .await?;
                return Err(Error::new(
                    ErrorKind::NotRunning,
                    format!("run {run_id} is {message}"),
                ));
            }
            match reason {
                Some(reason) => self.note_reason(run, Some(&reason)).await?,
                None => {
                    run.revision += 1;
                    self.runs.save(&run).await?;
                }
            }
            Ok(wait)
        })
        .await
    }

    /// What holds a run now.
    async fn reason(&self, run: &RunRecord) -> Result<Option<Reason>> {
        let settings = &run.settings;
        if let Some(reason) = by_hours(settings, self.access.now_ms())? {
            return Ok(Some(reason));
        }
        let Some(name) = &settings.pause_when else {
            return Ok(None);
        };
        Ok(match ask(&self.access, name).await {
            Ok(alarm) => by_alarm(name, alarm.as_ref(), run.hold.is_some()),
            // A moment without an answer neither begins a hold nor ends one.
            Err(error) if error.kind().is_retryable() => run.hold.as_ref().map(|hold| Reason {
                why: hold.why.clone(),
                until_ms: None,
            }),
            Err(error) => Some(by_error(name, &error)),
        })
    }

    /// Records what holds a run, or that nothing does, if the record does not say so yet.
    async fn note_reason(&self, mut run: RunRecord, reason: Option<&Reason>) -> Result<()> {
        let looks = run.hold_looks;
        let why = reason.map(|reason| reason.why.clone());
        let is_noted = run.hold.as_ref().map(|hold| &hold.why) == why.as_ref();
        if is_noted && looks == 0 {
            return Ok(());
        }
        if !is_noted {
            let owner = run.owner.clone();
            match &why {
                Some(why) => tracing::info!(run_id = run.run_id, "the run is held: {why}"),
                None => tracing::info!(run_id = run.run_id, "nothing holds the run any more"),
            }
            note_hold(&mut run, &owner, why, self.access.now_ms());
        }
        run.revision += 1;
        self.runs.save(&run).await
    }
}

/// How long a hold lasts in AWS at least, though nothing holds the run by what the planner sees: functions that are at work save
/// their checkpoints meanwhile. It is the longer, the more often the same hold was lifted within the last hour: a function that
/// may not read the alarm is the reason of another one each time, which costs children of a Map and their history.
fn least_hold(run: &RunRecord, now_ms: u64) -> Duration {
    let kind = |why: &str| why.split(UNREAD).next().map(str::to_owned);
    let Some(hold) = &run.hold else {
        return Duration::ZERO;
    };
    let is_same = |event: &&Event| {
        event.what == Hold::EVENT
            && event.new == Hold::NONE
            && kind(&event.old) == kind(&hold.why)
            && event.at_ms.saturating_add(AN_HOUR_MS) > now_ms
    };
    let times = run.events.iter().filter(is_same).count().min(8) as u32;
    (LEAST_HOLD * 2_u32.pow(times)).min(MOST_OF_LEAST)
}

const AN_HOUR_MS: u64 = 3_600_000;

/// How long a hold lasts in AWS at least if it is the first one for its reason, and if it is one of many.
const LEAST_HOLD: Duration = Duration::from_secs(15);
const MOST_OF_LEAST: Duration = Duration::from_secs(300);

/// How long whoever waits in AWS waits before it asks again: until the hours begin, or the longer, the longer the run is held
/// already; no longer than this, so that an operator who takes away what holds it sees it go on.
fn wait(reason: &Reason, now_ms: u64, held_ms: u64) -> Duration {
    let (least, most) = (Duration::from_secs(30), Duration::from_secs(900));
    match reason.until_ms {
        Some(until) => {
            Duration::from_millis(until.saturating_sub(now_ms)).clamp(Duration::from_secs(1), most)
        }
        None => Duration::from_millis(held_ms / 10).clamp(least, most / 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_in_aws_waits_for_minutes_and_not_for_hours() {
        let held = Reason {
            why: String::new(),
            until_ms: None,
        };
        for (held_minutes, seconds) in [(0, 30), (10, 60), (60, 300), (1_000, 300)] {
            let wait = wait(&held, 0, held_minutes * 60_000);
            assert_eq!(wait.as_secs(), seconds, "{held_minutes} min");
        }
        let until = |ms| Reason {
            until_ms: Some(ms),
            ..held.clone()
        };
        for (ms, expected_ms) in [(10_000, 1_000), (40_000, 30_000), (10_000_000, 900_000)] {
            let wait = wait(&until(ms), 10_000, 0);
            assert_eq!(wait.as_millis(), expected_ms, "{ms}");
        }
    }
}
