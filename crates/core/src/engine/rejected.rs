//! The items that could not be updated are tried again, under the guard of the run and within its budget, and no others.
//! What becomes of them moves in the books of the run, and if none is left, the run is verified.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::change::{Seen, SharedChange};
use crate::clock::now_ms;
use crate::engine::drive::Engine;
use crate::engine::ownership;
use crate::engine::steering::RateChange;
use crate::engine::verifier::{Verification, VerifyRequest};
use crate::engine::worker::{CHECKPOINT_PATIENCE, unless_busy, until_it_rests};
use crate::pace::Pace;
use crate::pace::retry::{PATIENCE, Until, retry, retry_each, retry_until};
use crate::ports::guard::GuardReader;
use crate::ports::{
    CountNotes, LookBy, Outcome, ReadAccess, RunStore, SegmentStore, TableWriter, Write,
    WriteAccess,
};
use crate::records::{Counters, Flush, Owner, Rejected, RunRecord, RunStatus, SegmentRecord};
use crate::request::WriterKind;
use crate::value::size::{item_bytes, read_units, write_units};
use crate::{Error, Item, Result};

/// Longer than any number of items takes to be tried again.
const NO_END: Duration = Duration::from_secs(30 * 24 * 3600);

/// Bytes of an item before it was read, if nobody has counted the table.
const UNKNOWN_BYTES: f64 = 4096.0;

/// What came of trying rejected items again.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Retried {
    /// Items that were rejected before.
    #[serde(skip)]
    pub before: u64,
    /// Items that are rejected still, whether they were tried again or not.
    #[serde(skip)]
    pub left: u64,
    /// Items that are changed now.
    pub updated: u64,
    /// Items that a live writer has set since.
    pub raced: u64,
    /// Items that were deleted or have expired since.
    pub vanished: u64,
    /// Items whose sources kept moving while their values were computed: they are left to the next pass.
    pub contended: u64,
    /// Items that are rejected again, with the reason of now.
    pub rejected: Vec<Rejected>,
}

/// What is to be done about contended items: they have lost their record as rejected ones, so that another try would not see them.
pub const RETRY_CONTENDED: &str =
    "start the run again while nothing changes what the values of the contended ones are made from";

impl Retried {
    /// What came of it, for a person.
    fn sentence(&self) -> String {
        let contended = match self.contended {
            0 => String::new(),
            contended => format!(", {contended} contended; {RETRY_CONTENDED}"),
        };
        format!(
            "{} of {} rejected items were tried again: {} updated, {} raced, {} vanished, {} rejected again{contended}",
            self.updated + self.raced + self.vanished + self.contended + self.rejected.len() as u64,
            self.before,
            self.updated,
            self.raced,
            self.vanished,
            self.rejected.len()
        )
    }
}

impl<R: ReadAccess, W: WriteAccess, S: RunStore + SegmentStore + CountNotes + GuardReader>
    Engine<R, W, S>
{
    /// Tries the update on the rejected items of a run's current pass again, one after the other, on behalf of `owner`, who
    /// holds the run meanwhile: it has ended, or its owner of that name (`dead`) is known to have. At this rate from now on.
    /// Items that are no longer rejected move in the run's counters to what became of them. If none is left of a run that was
    /// incomplete, or that is swept and whose owner is dead, it is verified, and has succeeded if nothing is
    /// pending. Otherwise it is as it was, also after an error or if `stop` is cancelled; what was done stands.
    ///
    /// Errors: `InvalidInput` if there is no such run; `ActiveElsewhere` if somebody holds it; `Held` if its alarm or its hours
    /// hold it, before or meanwhile; those of an update, which name the item; those of the store and of the verification.
    pub async fn retry_rejected(
        &self,
        run_id: &str,
        owner: &Owner,
        rate: RateChange,
        dead: Option<&str>,
        stop: &CancellationToken,
    ) -> Result<Retried> {
        let runs = &self.planner.runs;
        let (former, run) = runs.borrow(run_id, owner, rate, dead).await?;
        let mut retried = Retried::default();
        let tried = self.try_again(&run, &mut retried, stop).await;
        let ended = match tried {
            Ok(()) if retried.left == 0 && self.waits_for_a_count(&former, &run).await => {
                let request = VerifyRequest {
                    run_id: run_id.to_owned(),
                    pass: run.pass,
                    owner: owner.clone(),
                    verification: Verification::new(run.settings.total_segments),
                };
                self.count(request, stop).await.map(drop)
            }
            tried => tried,
        };
        let numbers = (retried.before, retried.left);
        let what_came = retried.sentence();
        let given_back = runs.give_back(&former, owner, numbers, &what_came);
        ended.and(given_back.await).map(|()| retried)
    }

    /// Whether nothing but a count is left to be done for a run that was taken on. One whose owner is dead may have been incomplete
    /// until that one tried its rejected items again, and died of it.
    async fn waits_for_a_count(&self, former: &RunRecord, run: &RunRecord) -> bool {
        match former.status {
            RunStatus::Incomplete => true,
            RunStatus::Running => {
                let open = self.planner.runs.open_segments(run, |_| true).await;
                open.is_ok_and(|round| round.segments.is_empty())
            }
            _ => false,
        }
    }

    /// Tries all of them, until `stop` is cancelled or the run is no longer ours.
    async fn try_again(
        &self,
        run: &RunRecord,
        retried: &mut Retried,
        stop: &CancellationToken,
    ) -> Result<()> {
        let store = &self.worker.store;
        // Whatever holds the run holds this, too: it writes to the same table.
        self.worker.look_for_holds(run).await?;
        let change = run.change()?;
        let under = |shard| store.rejected(run, run.pass, shard);
        let until = Until::after(PATIENCE);
        let items = retry_each(&until, 0..run.shards, under).await?.concat();
        retried.before = items.len() as u64;
        retried.left = retried.before;
        let mut by_segment: BTreeMap<u32, Vec<Rejected>> = BTreeMap::new();
        for item in items {
            by_segment.entry(item.segment).or_default().push(item);
        }
        let until = Until {
            stop: stop.child_token(),
            ..Until::after(NO_END)
        };
        let budget = &self.worker.budget;
        budget.set(&run.settings, 0);
        let look = |run: RunRecord| async move {
            budget.set(&run.settings, 0);
            self.worker.look_for_holds(&run).await
        };
        let work = async {
            let again = Again {
                run,
                change,
                pace: Pace::new(budget, 1, None, None),
                until: &until,
            };
            for items in by_segment.into_values() {
                if until.is_over() {
                    break;
                }
                self.try_segment(&again, items, retried).await?;
            }
            Ok(())
        };
        tokio::pin!(work);
        tokio::select! {
            worked = &mut work => worked,
            // Whoever stops or takes over the run should not have to wait.
            error = ownership::watch(store, run, None, look) => {
                until.stop.cancel();
                // What was done is still recorded, if the run is still ours.
                work.await.and(Err(error))
            }
        }
    }

    /// Tries the rejected items of one segment, all of them, and moves them in its books.
    async fn try_segment(
        &self,
        again: &Again<'_>,
        items: Vec<Rejected>,
        retried: &mut Retried,
    ) -> Result<()> {
        let run = again.run;
        let Some(segment) = items.first().map(|item| item.segment) else {
            return Ok(());
        };
        let store = &self.worker.store;
        let begin = Instant::now();
        let mut record = retry(&Until::after(PATIENCE), || store.claim(run, segment)).await?;
        record.count_cut_pages();
        let writer = self
            .worker
            .access
            .writer(again.change.clone(), WriterKind::UpdateItem);
        let (mut became, mut mended) = (Counters::default(), Vec::new());
        let all = items.len();
        let mut failure = None;
        for item in items {
            let tried = self.try_item(again, &writer, &item, &mut became);
            let outcome = match tried.await {
                Ok(Some(outcome)) => outcome,
                Ok(None) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            match outcome {
                Outcome::Updated => became.updated += 1,
                Outcome::Raced => became.raced += 1,
                Outcome::Vanished => became.vanished += 1,
                // Left to the next pass, as a sweep leaves it.
                Outcome::Contended | Outcome::Moved(_) => became.contended += 1,
                // It was refused before as one of many that were not.
                Outcome::Unmade(reason) | Outcome::Rejected(reason) | Outcome::Unclear(reason) => {
                    let item = Rejected {
                        reason,
                        at_ms: now_ms(),
                        ..item
                    };
                    retry(&Until::after(PATIENCE), || store.reject(run, &item)).await?;
                    retried.rejected.push(item);
                    continue;
                }
            }
            mended.push(item);
        }
        record.move_rejected(&became, (all - mended.len()) as u64);
        retried.updated += became.updated;
        retried.raced += became.raced;
        retried.vanished += became.vanished;
        retried.contended += became.contended;
        retried.left -= mended.len() as u64;
        let seconds = begin.elapsed().as_secs_f64();
        self.close(run, record, became, seconds, &mended).await?;
        failure.map_or(Ok(()), Err)
    }

    /// Closes the books of a segment that so many seconds were worked on, in which this was done, and removes the records of the
    /// mended items.
    async fn close(
        &self,
        run: &RunRecord,
        mut record: SegmentRecord,
        done: Counters,
        seconds: f64,
        mended: &[Rejected],
    ) -> Result<()> {
        let store = &self.worker.store;
        record.counters += Counters {
            consumed_wcu: done.consumed_wcu,
            consumed_rcu: done.consumed_rcu,
            worked_seconds: seconds,
            checkpoints: 1,
            ..Counters::default()
        };
        record.saved_ms = now_ms();
        // The books first: a record that is left over is tried once more, and found to be done.
        let patience = Until::after(CHECKPOINT_PATIENCE);
        retry(&patience, || store.checkpoint(run, &record)).await?;
        for item in mended {
            retry(&Until::after(PATIENCE), || store.forget_rejected(run, item)).await?;
        }
        let flush = Flush {
            at_ms: record.saved_ms,
            seconds,
            done,
        };
        if let Err(error) = store.add_to_history(run, record.segment, &flush).await {
            tracing::debug!(error = error.report(), "part of the history is lost");
        }
        Ok(())
    }

    /// Reads one item, which says what it costs to write, and tries its update; what both have cost is added to `spent`, whatever
    /// comes of it. `None`: not begun, or not acknowledged before it was stopped.
    async fn try_item<T: TableWriter>(
        &self,
        again: &Again<'_>,
        writer: &T,
        item: &Rejected,
        spent: &mut Counters,
    ) -> Result<Option<Outcome>> {
        let change = &again.change;
        let of_item = |error: Error| {
            error.context(format!(
                "table {}, trying key {} again",
                change.table(),
                item.key
            ))
        };
        let looked = again.look(writer, item).await;
        let Some((found, consumed_rcu)) = looked.map_err(of_item)? else {
            return Ok(None);
        };
        spent.consumed_rcu += consumed_rcu;
        let Some(found) = found else {
            return Ok(Some(Outcome::Vanished));
        };
        let should_cost = write_units(item_bytes(&found));
        // Whoever has mended it by hand was first. Nothing need be made of it, and perhaps nothing can be.
        if !change.is_still_pending(&found) {
            return Ok(Some(Outcome::Raced));
        }
        let send = async |seen: &Seen| {
            let written = self
                .send_again(writer, seen, should_cost, &again.pace, again.until)
                .await;
            Ok(written.map_err(of_item)?.map(|write| (write, ())))
        };
        let seen = change.seen(found.into());
        let written = until_it_rests(&seen, 0, &mut spent.consumed_wcu, send).await?;
        Ok(written.map(|(outcome, ())| outcome))
    }

    /// Sends the update of an item that should cost so much, when its turn has come. `None`: not begun, or not acknowledged before it
    /// was stopped.
    async fn send_again<T: TableWriter>(
        &self,
        writer: &T,
        seen: &Seen,
        should_cost: f64,
        pace: &Pace<'_>,
        until: &Until,
    ) -> Result<Option<Write>> {
        let written = retry_until(
            until,
            || pace.check(should_cost, until),
            async |turn| match writer.update(seen).await {
                Ok(write) => {
                    // What a refused update costs is not told: it is paid for like any other.
                    turn.end_check(match write.outcome {
                        Outcome::Rejected(_) | Outcome::Unclear(_) => {
                            write.consumed_wcu.max(should_cost)
                        }
                        // Of what nothing can be made nothing was sent, and it has cost nothing.
                        _ => write.consumed_wcu,
                    });
                    Ok(write)
                }
                Err(error) => {
                    turn.failed(&error);
                    Err(error)
                }
            },
        );
        match written.await {
            Err(error) => Ok(Some(Write::free(unless_busy(error)?))),
            written => written,
        }
    }
}

/// What every item is tried again by.
struct Again<'a> {
    run: &'a RunRecord,
    change: SharedChange,
    pace: Pace<'a>,
    until: &'a Until,
}

impl Again<'_> {
    /// Reads an item, strongly consistent: what it is like, if it is there, and the read units. `None`: stopped before.
    async fn look<T: TableWriter>(
        &self,
        writer: &T,
        item: &Rejected,
    ) -> Result<Option<(Option<Item>, f64)>> {
        let bytes = self.run.item_bytes().unwrap_or(UNKNOWN_BYTES);
        let should_cost = read_units(bytes as u64);
        let (pace, until) = (&self.pace, self.until);
        pace.look_at(writer, &item.key, LookBy::Page, should_cost, until)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contended items have lost their record, so the sentence says what finds them; it says nothing of it if there are none.
    #[test]
    fn what_came_of_another_try_says_what_to_do_about_contended_items() {
        let sentence = |contended| {
            let retried = Retried {
                before: 3,
                updated: 1,
                contended,
                ..Retried::default()
            };
            retried.sentence()
        };
        assert_eq!(
            sentence(2),
            format!(
                "3 of 3 rejected items were tried again: 1 updated, 0 raced, 0 vanished, 0 rejected again, 2 contended; {RETRY_CONTENDED}"
            )
        );
        assert!(sentence(0).ends_with("0 rejected again"));
    }
}
