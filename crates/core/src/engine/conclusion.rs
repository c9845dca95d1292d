//! How a pass ends: what follows from the count of a verification. A run succeeds only by a complete count of 0 (promise: proof).

use serde::{Deserialize, Serialize};

use crate::change::lacking_text;
use crate::clock::{now_ms, rfc3339};
use crate::engine::ownership::{load_owned, require_running};
use crate::engine::runs::{Runs, despite_conflicts};
use crate::engine::verifier::Verification;
use crate::pace::retry::{PATIENCE, Until, retry};
use crate::ports::RunStore;
use crate::ports::guard::GuardReader;
use crate::records::{GuardHour, Owner, Proof, RunRecord, RunStatus, SummedPasses};
use crate::{Error, ErrorKind, Key, Result};

/// How a pass ended: the answer to `conclude`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    /// What follows.
    pub status: ConclusionStatus,
    /// The id of the run.
    pub run_id: String,
    /// The pass that is current now: with `next_pass`, the new one.
    pub pass: u32,
    /// Items still pending, by the count.
    pub remaining: u64,
    /// Up to ten keys of items that remain.
    pub samples: Vec<Key>,
    /// Items that have another value than their sources give now; `None` if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub different: Option<u64>,
    /// What the count came to and what follows, for a person.
    pub message: String,
}

impl Conclusion {
    fn new(
        status: ConclusionStatus,
        pass: u32,
        record: &RunRecord,
        verification: &Verification,
    ) -> Conclusion {
        Conclusion {
            status,
            run_id: record.run_id.clone(),
            pass,
            remaining: verification.remaining,
            samples: verification.samples.clone(),
            different: verification.told_different().map(|found| found.items),
            message: record.message.clone(),
        }
    }
}

/// What follows from a verification. A dry run has succeeded when it is counted, unless it finds items pending after a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConclusionStatus {
    /// Nothing is pending, or the run is a dry run.
    Succeeded,
    /// Items are pending, and another pass begins.
    NextPass,
    /// Items are pending, and the passes are used up.
    Incomplete,
    /// The run is a dry run, and items are pending though an earlier count came to 0: somebody makes such items.
    PendingAgain,
}

impl<S: RunStore + GuardReader> Runs<S> {
    /// Records a complete verification and decides: succeeded, another pass, or incomplete. Saying it twice
    /// changes nothing.
    ///
    /// Errors: `InvalidInput` if the verification is not done or there is no such run; `Fenced` if the run is another's;
    /// `NotRunning` if it was stopped or has failed; `Internal` if a segment is still open.
    pub async fn conclude(
        &self,
        run_id: &str,
        pass: u32,
        owner: &Owner,
        verification: &Verification,
    ) -> Result<Conclusion> {
        despite_conflicts(|| self.try_to_conclude(run_id, pass, owner, verification)).await
    }

    async fn try_to_conclude(
        &self,
        run_id: &str,
        pass: u32,
        owner: &Owner,
        verification: &Verification,
    ) -> Result<Conclusion> {
        if !verification.done {
            return Err(Error::invalid("verification.done", "expected true"));
        }
        let mut record = load_owned(&self.store, run_id, owner).await?;
        let proven = self.proven_before(&record, verification).await?;
        if let Some((status, pass)) = concluded(&record, pass, proven) {
            return Ok(Conclusion::new(status, pass, &record, verification));
        }
        require_running(&record)?;
        // Proof of an empty table says nothing about segments that nobody swept: all must be exhausted.
        let open = self.open_segments(&record, |_| true).await?.segments;
        if !open.is_empty() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "run {run_id}: verified although segment {} is still open",
                    open[0]
                ),
            ));
        }
        let mut consequence = what_follows(&record, verification, proven);
        let status = consequence.status;
        if let Some(proven) = proven {
            consequence.message += &self.suspicion(&record, proven).await;
        }
        note_conclusion(&mut record, consequence, owner, verification)?;
        self.save(&record).await?;
        let remaining = verification.remaining;
        tracing::info!(run_id, pass, remaining, "{}", record.message);
        Ok(Conclusion::new(status, record.pass, &record, verification))
    }
}

impl<S: RunStore + GuardReader> Runs<S> {
    /// What the guard of the table knows of who has written the old shape since an earlier count came to 0, as the end of a sentence:
    /// times and sample keys, which a stream tells. Empty if it has seen nobody, if it is of another change, and if its records cannot be
    /// read: nothing hangs on it.
    async fn suspicion(&self, record: &RunRecord, proven_ms: u64) -> String {
        let table = &record.spec.table;
        let until = Until::after(PATIENCE);
        let read = async {
            let guard = retry(&until, || self.store.guard(table)).await?;
            match guard.is_some_and(|guard| guard.spec.fingerprint() == record.fingerprint) {
                true => retry(&until, || self.store.guard_hours(table, proven_ms)).await,
                false => Ok(Vec::new()),
            }
        };
        let hours = read.await.inspect_err(|error| {
            let why = error.report();
            tracing::warn!(table, "cannot see what the guard has seen: {why}");
        });
        suspicion(&hours.unwrap_or_default())
    }
}

impl<S: RunStore> Runs<S> {
    /// When an earlier count came to 0, if this one is of a dry run and has found pending items; milliseconds since 1970. That count was
    /// of the dry run itself, or of the run of the same spec that has the id that it gets if none is given; with an id of its own that
    /// run is not found.
    async fn proven_before(&self, record: &RunRecord, count: &Verification) -> Result<Option<u64>> {
        if !record.settings.dry_run || count.remaining == 0 {
            return Ok(None);
        }
        let until = Until::after(PATIENCE);
        let run_id = record.spec.default_run_id();
        let run = retry(&until, || self.store.run(&run_id)).await?;
        let run = run.filter(|run| {
            run.fingerprint == record.fingerprint
                && run.is_of_another(&record.table_identity) != Some(true)
        });
        Ok(run
            .and_then(|run| run.last_proven_ms())
            .max(record.last_proven_ms()))
    }
}

/// The hours of a guard's suspicion that are named at most, the latest ones.
const MOST_HOURS: usize = 3;

/// What a guard has seen in these hours of who writes the old shape, as the end of a sentence; empty if it has seen nobody.
fn suspicion(hours: &[GuardHour]) -> String {
    let written = |hour: &&GuardHour| hour.repaired + hour.raced + hour.vanished + hour.failed > 0;
    let seen = hours.iter().rev().filter(written);
    let seen: Vec<String> = seen.take(MOST_HOURS).map(in_an_hour).collect();
    match seen.is_empty() {
        true => String::new(),
        false => format!(
            "; the table's guard has seen the old shape written {}; backfill guard status tells more",
            seen.join("; ")
        ),
    }
}

/// What a guard has seen in an hour, for a person.
fn in_an_hour(hour: &GuardHour) -> String {
    let items = hour.repaired + hour.raced + hour.vanished + hour.failed;
    let such_as = hour.samples.iter().map(Key::to_string).collect::<Vec<_>>();
    let such_as = match such_as.is_empty() {
        true => String::new(),
        false => format!(", such as {}", such_as.join(", ")),
    };
    format!(
        "in the hour from {}: {items} items{such_as}",
        rfc3339(hour.start_ms)
    )
}

/// What the verification of a pass came to if that was recorded already, and the pass that is current now; `None` if it was
/// not. `proven` is when an earlier count of a dry run came to 0 that has found something.
fn concluded(
    record: &RunRecord,
    pass: u32,
    proven: Option<u64>,
) -> Option<(ConclusionStatus, u32)> {
    if record.pass > pass {
        // The answer to an earlier call for this pass was lost.
        return Some((ConclusionStatus::NextPass, record.pass));
    }
    let status = match record.status {
        status if !status.is_finished() => return None,
        _ if proven.is_some() => ConclusionStatus::PendingAgain,
        _ if record.settings.dry_run => ConclusionStatus::Succeeded,
        RunStatus::Succeeded => ConclusionStatus::Succeeded,
        _ => ConclusionStatus::Incomplete,
    };
    Some((status, pass))
}

/// What a complete count means for a run.
struct Consequence {
    status: ConclusionStatus,
    /// The state of the run then; `Running` if another pass begins.
    run: RunStatus,
    /// The pass of the run then.
    pass: u32,
    /// The count and what follows from it, for a person.
    message: String,
}

/// What follows from a complete count in the run's current pass. Changes nothing. `proven` is when an earlier count of a dry run came to
/// 0 that has found something.
fn what_follows(record: &RunRecord, count: &Verification, proven: Option<u64>) -> Consequence {
    let (pass, remaining, scanned) = (record.pass, count.remaining, count.scanned);
    let samples: Vec<String> = count.samples.iter().map(Key::to_string).collect();
    let samples = samples.join(", ");
    let lacking = lacking_text(&count.told_lacking());
    let lacking = lacking.map_or_else(String::new, |text| format!("; {text}"));
    let different = count.told_different();
    let different = different.map_or_else(String::new, |found| format!("; {}", found.sentence()));
    let (status, run, pass, message) = if let Some(proven) = proven {
        // Step Functions makes this the cause of the failed execution, which is what the operator is mailed.
        let message = format!(
            "{remaining} of {scanned} items are pending again, such as {samples}, by a strongly consistent count; one that ended at {} \
             came to 0, so somebody has made or changed items in the old way since{lacking}{different}",
            rfc3339(proven)
        );
        let again = ConclusionStatus::PendingAgain;
        (again, RunStatus::Incomplete, pass, message)
    } else if record.settings.dry_run {
        let run = match remaining {
            0 => RunStatus::Succeeded,
            _ => RunStatus::Incomplete,
        };
        let message = format!(
            "dry run: {remaining} of {scanned} items are pending, by a strongly consistent count{lacking}{different}"
        );
        (ConclusionStatus::Succeeded, run, pass, message)
    } else if remaining == 0 {
        let message = format!(
            "nothing is pending: a strongly consistent count over {scanned} items came to 0{lacking}{different}"
        );
        let succeeded = ConclusionStatus::Succeeded;
        (succeeded, RunStatus::Succeeded, pass, message)
    } else if pass < record.last_pass {
        let next = pass + 1;
        let message = format!(
            "{remaining} items were still pending after pass {pass}, such as {samples}; beginning pass {next}"
        );
        let next_pass = ConclusionStatus::NextPass;
        (next_pass, RunStatus::Running, next, message)
    } else {
        let makes_values = record.spec.compute.is_some() || record.spec.code.is_some();
        let contended = match makes_values {
            true => {
                " or, if items were contended, for one that changes again and again what their values are made from, and wait \
                 until it is quiet,"
            }
            false => ",",
        };
        let message = format!(
            "{remaining} items are still pending after {} passes, such as {samples}; if they are among the rejected ones \
             (backfill rejected), mend them and try these again, and else look for a writer that makes items pending \
             again{contended} then start the run again for further passes",
            record.passes()
        );
        let incomplete = ConclusionStatus::Incomplete;
        (incomplete, RunStatus::Incomplete, pass, message)
    };
    Consequence {
        status,
        run,
        pass,
        message,
    }
}

/// Notes in the record what a count came to and what follows from it, in the name of `owner`.
fn note_conclusion(
    record: &mut RunRecord,
    consequence: Consequence,
    owner: &Owner,
    count: &Verification,
) -> Result<()> {
    record.change_status(consequence.run, owner)?;
    record.hold = None;
    record.note(owner, "pass", record.pass, consequence.pass);
    if record.pass != consequence.pass {
        let lanes = record.settings.max_concurrency;
        let next = SummedPasses::from(consequence.pass, record.shards, lanes);
        record.sums = record.sums.or(next);
    }
    record.pass = consequence.pass;
    record.message = consequence.message;
    record.ended_ms = record.status.is_finished().then(now_ms);
    record.proven_ms = match count.remaining {
        0 => Some(now_ms()),
        _ => record.proven_ms,
    };
    record.verification_rcu += count.all_rcu();
    record.verification_seconds += count.seconds;
    record.proof = Some(Proof {
        remaining: count.remaining,
        scanned: count.scanned,
        samples: count.samples.clone(),
        lacking: count.told_lacking(),
        different: count.told_different().cloned(),
        began_ms: count.began_ms,
        at_ms: now_ms(),
    });
    record.counted = record.proof.as_ref().map(Proof::brief);
    record.revision += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::engine::planner::new_run;
    use crate::records::Different;
    use crate::table::{KeyAttribute, KeySchema, KeyType, TableDescription};

    fn run_of(json: &str) -> RunRecord {
        let request = Request::from_json(json).unwrap();
        new_run(&request, &table(), &"somebody".into())
    }

    /// proof: items that have another value than their sources give now stand beside the count: in what follows, in its message and
    /// in the record. They change no verdict, and none is told that was not counted.
    #[test]
    fn proof_tells_other_values_beside_the_count() {
        let key = Key(crate::Item::from([(
            "id".to_owned(),
            crate::Value::S("a".into()),
        )]));
        let found = Different {
            items: 12,
            samples: vec![key.clone()],
        };
        for (dry_run, different, says) in [
            (false, Some(found.clone()), "; 12 items have another value"),
            (true, Some(found), "; 12 items have another value"),
            (
                false,
                Some(Different::default()),
                "; no item has another value",
            ),
            (false, None, "came to 0"),
        ] {
            let json = format!(r#"{{"table":"stuff","set":{{"a":1}},"dry_run":{dry_run}}}"#);
            let mut record = run_of(&json);
            let count = Verification {
                scanned: 30,
                done: true,
                different: different.clone(),
                ..Verification::new(8)
            };
            let consequence = what_follows(&record, &count, None);
            assert_eq!(consequence.run, RunStatus::Succeeded);
            note_conclusion(&mut record, consequence, &"somebody".into(), &count).unwrap();
            let told = record.message.contains("another value");
            assert!(record.message.contains(says), "{}", record.message);
            assert_eq!(told, different.is_some());
            assert_eq!(record.proof.as_ref().unwrap().different, different);
            let status = ConclusionStatus::Succeeded;
            let concluded = Conclusion::new(status, 1, &record, &count);
            let items = different.as_ref().map(|found| found.items);
            assert_eq!(concluded.different, items);
            // An earlier version finds nothing in the record that it has no word for, if nothing was counted.
            let stored = serde_json::to_value(&record).unwrap();
            assert_eq!(stored["proof"].get("different").is_some(), told);
            assert_eq!(serde_json::from_value::<RunRecord>(stored).unwrap(), record);
        }
    }

    fn table() -> TableDescription {
        TableDescription {
            status: "ACTIVE".into(),
            replicas: Vec::new(),
            is_strong_everywhere: false,
            identity: "1".into(),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: None,
            },
            item_count: 0,
            size_bytes: 0,
            billing: crate::table::Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            indexes: Vec::new(),
        }
    }

    /// honest-end: if items remain, the writers to look for are named. Only a run that makes its values from the item has contended
    /// ones.
    #[test]
    fn honest_end_names_the_writers_to_look_for() {
        for (what, is_computed) in [
            (r#""set":{"a":1}"#, false),
            (r#""compute":{"a":"${b}"}"#, true),
        ] {
            let json = format!(r#"{{"table":"stuff",{what},"max_passes":1}}"#);
            let count = Verification {
                remaining: 3,
                scanned: 9,
                ..Verification::new(8)
            };
            let message = what_follows(&run_of(&json), &count, None).message;
            let of_all = "a writer that makes items pending again";
            assert!(message.contains(of_all), "{message}");
            let of_sources =
                "if items were contended, for one that changes again and again what their values";
            assert_eq!(message.contains(of_sources), is_computed, "{message}");
            let last = "then start the run again for further passes";
            assert!(message.ends_with(last), "{message}");
        }
    }

    /// proof: a run succeeds by a complete count of 0 and by nothing else; the passes that it was granted bound the rest.
    #[test]
    fn what_follows_from_a_count_is_success_another_pass_or_the_end() {
        let (next_pass, succeeded) = (ConclusionStatus::NextPass, ConclusionStatus::Succeeded);
        for (dry_run, pass, remaining, status, run, pass_then, says) in [
            (false, 1, 0, succeeded, RunStatus::Succeeded, 1, "came to 0"),
            (false, 2, 3, next_pass, RunStatus::Running, 3, "pass 3"),
            (
                false,
                3,
                3,
                ConclusionStatus::Incomplete,
                RunStatus::Incomplete,
                3,
                "after 3 passes",
            ),
            (true, 1, 0, succeeded, RunStatus::Succeeded, 1, "0 of 9"),
            (true, 1, 3, succeeded, RunStatus::Incomplete, 1, "3 of 9"),
        ] {
            let json = format!(
                r#"{{"table":"stuff","set":{{"a":1}},"dry_run":{dry_run},"max_passes":3}}"#
            );
            let mut record = run_of(&json);
            record.pass = pass;
            let count = Verification {
                remaining,
                scanned: 9,
                ..Verification::new(8)
            };
            let found = what_follows(&record, &count, None);
            assert_eq!(
                (found.status, found.run, found.pass),
                (status, run, pass_then)
            );
            assert!(found.message.contains(says), "{}", found.message);
        }
    }
}
