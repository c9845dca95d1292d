//! What the operator changes of a run from outside, by its record: it is paused or cancelled, has another budget from now on or is
//! held by something else, or is borrowed for a while to try its rejected items again.

use crate::clock::now_ms;
use crate::engine::ownership::{load_any, load_owned};
use crate::engine::runs::{Runs, despite_conflicts};
use crate::ports::RunStore;
use crate::records::{Owner, RunRecord, RunStatus, SummedPasses, layout_version};
use crate::request::Settings;
use crate::{Error, ErrorKind, Result};

/// A change of the budget, or of what holds the run. `None` leaves each as it is, and `Some(None)` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateChange {
    /// Write capacity units per second.
    pub max_wcu: Option<Option<u32>>,
    /// Read capacity units per second.
    pub max_rcu: Option<Option<u32>>,
    /// The alarm that holds the run.
    pub pause_when: Option<Option<String>>,
    /// The hours in which it works.
    pub hours: Option<Option<String>>,
}

impl RateChange {
    /// Changes the budget of this record and what holds its run, and notes it in the name of `by`.
    fn apply(self, record: &mut RunRecord, by: &(impl ToString + ?Sized)) {
        let before = record.settings.clone();
        if let Some(max_wcu) = self.max_wcu {
            record.settings.max_wcu = max_wcu;
        }
        if let Some(max_rcu) = self.max_rcu {
            record.settings.max_rcu = max_rcu;
        }
        if let Some(alarm) = self.pause_when {
            record.settings.pause_when = alarm;
        }
        if let Some(hours) = self.hours {
            record.settings.hours = hours;
        }
        record.version = layout_version(record.shards, &record.settings);
        for (setting, old, new) in record.settings.changes_since(&before) {
            record.note(by, setting, old, new);
        }
    }
}

impl<S: RunStore> Runs<S> {
    /// Pauses or cancels a run, whoever works for it, in the name of `by`. Workers notice within seconds, save their
    /// checkpoints and end. Returns the state before; if that is the wanted one, nothing changes.
    ///
    /// Errors: `InvalidInput` if there is no such run, or if its state allows no such change.
    pub async fn steer(&self, run_id: &str, status: RunStatus, by: &str) -> Result<RunStatus> {
        despite_conflicts(|| async {
            let record = load_any(&self.store, run_id).await?;
            let before = record.status;
            if before == status {
                return Ok(before);
            }
            if !before.may_become(status) {
                return Err(Error::invalid(
                    "run_id",
                    format!(
                        "run {run_id} has the state {}, and cannot become {}",
                        before.name(),
                        status.name()
                    ),
                ));
            }
            let message = match status {
                RunStatus::Paused => format!("paused by {by}; resume it to go on"),
                _ => format!(
                    "{} by {by}; start it again to go on all the same",
                    status.name()
                ),
            };
            self.end(record, status, &message, by).await?;
            Ok(before)
        })
        .await
    }

    /// Changes the budget of a run, or what holds it, also while it goes on: its workers follow within ten seconds. A run that has
    /// ended has the new budget when it is started again. Returns the settings before and after.
    ///
    /// Errors: `InvalidInput` if there is no such run, or if it cannot have such settings.
    pub async fn set_rate(
        &self,
        run_id: &str,
        rate: RateChange,
        by: &str,
    ) -> Result<(Settings, Settings)> {
        despite_conflicts(|| async {
            let mut record = load_any(&self.store, run_id).await?;
            let before = record.settings.clone();
            rate.clone().apply(&mut record, by);
            record.settings.request().check()?;
            let after = record.settings.clone();
            if after != before {
                record.revision += 1;
                self.save(&record).await?;
            }
            Ok((before, after))
        })
        .await
    }

    /// Takes a run that nobody works for, to try its rejected items again on behalf of `owner`, at this rate from now on. It has
    /// ended, or its owner of that name (`dead`) is known to have. Returns the record as it was, which is how it was before that one
    /// tried its rejected items, and as it is.
    ///
    /// Errors: `InvalidInput` if there is no such run, or if it is a dry run; `ActiveElsewhere` if somebody holds it.
    pub(super) async fn borrow(
        &self,
        run_id: &str,
        owner: &Owner,
        rate: RateChange,
        dead: Option<&str>,
    ) -> Result<(RunRecord, RunRecord)> {
        despite_conflicts(|| async {
            let mut former = load_any(&self.store, run_id).await?;
            if former.settings.dry_run {
                let why = format!("{run_id} is a dry run, which has no rejected items");
                return Err(Error::invalid("run_id", why));
            }
            if former.status == RunStatus::Running {
                let holder = former.owner.to_string();
                if dead != Some(&holder) {
                    return Err(Error::new(
                        ErrorKind::ActiveElsewhere,
                        format!(
                            "run_id: run {run_id} is held by {}; its rejected items can be tried again when it has \
                             ended, or is paused",
                            former.owner.brief()
                        ),
                    ));
                }
                former.ended_ms = Some(self.last_sign_of(&former).await?);
            }
            let mut record = RunRecord {
                owner: owner.clone(),
                message: TRIED_AGAIN.into(),
                error: None,
                last_pass: former.pass,
                started_ms: now_ms(),
                ended_ms: None,
                hold: None,
                // Records of exhausted segments will change.
                sums: SummedPasses::from(
                    former.pass.saturating_add(1),
                    former.shards,
                    former.settings.max_concurrency,
                ),
                sessions: former.sessions.saturating_add(1),
                earlier_seconds: former.earlier_seconds + former.session_seconds(),
                revision: former.revision + 1,
                ..former.clone()
            };
            record.change_status(RunStatus::Running, owner)?;
            record.note(owner, "owner", &former.owner, owner);
            rate.clone().apply(&mut record, owner);
            self.save(&record).await?;
            if was_incomplete(&former) {
                former.status = RunStatus::Incomplete;
            }
            Ok((former, record))
        })
        .await
    }

    /// Ends what [`Runs::borrow`] has begun: the run is as it was, in the name of its former owner, and its history says how many
    /// rejected items there were `before` and how many are `left`; `what_came` says it in a sentence. If the run is finished by a
    /// count, or was stopped meanwhile, it stays so.
    ///
    /// Errors: `Fenced` if somebody else has taken the run over.
    pub(super) async fn give_back(
        &self,
        former: &RunRecord,
        owner: &Owner,
        (before, left): (u64, u64),
        what_came: &str,
    ) -> Result<()> {
        despite_conflicts(|| async {
            let mut record = load_owned(&self.store, &former.run_id, owner).await?;
            record.note(owner, "rejected", before, left);
            record.hold = None;
            if record.status == RunStatus::Running {
                let status = match former.status {
                    // Its owner is dead, and nobody works for it.
                    RunStatus::Running => RunStatus::Paused,
                    status => status,
                };
                record.change_status(status, owner)?;
                record.message = match status {
                    RunStatus::Incomplete => what_came.to_owned(),
                    RunStatus::Paused if former.status == RunStatus::Running => format!(
                        "{what_came}; {} has ended without saying so, resume the run to go on",
                        former.owner.brief()
                    ),
                    _ => former.message.clone(),
                };
                record.error.clone_from(&former.error);
                record.ended_ms = Some(now_ms());
                let has_mended = left < before || former.message == TRIED_AGAIN;
                if has_mended && status == RunStatus::Incomplete {
                    // It counted what is changed now, or what somebody has changed who died of it.
                    record.counted = record.last_count();
                    record.proof = None;
                }
            }
            record.note(owner, "owner", owner, &former.owner);
            record.owner = former.owner.clone();
            record.revision += 1;
            self.save(&record).await
        })
        .await
    }
}

/// What a record says while its rejected items are tried again.
const TRIED_AGAIN: &str = "rejected items are tried again";

/// Whether whoever held a run last was trying its rejected items again, and it waited for no more than that.
fn was_incomplete(record: &RunRecord) -> bool {
    let was = record.events.iter().rfind(|event| event.what == "status");
    record.message == TRIED_AGAIN && was.is_some_and(|was| was.old == RunStatus::Incomplete.name())
}
