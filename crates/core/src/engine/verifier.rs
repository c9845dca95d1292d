//! The verifier: a strongly consistent count of the items for which `P` still holds, over the whole table (promise: proof).
//! It only reads the table, and in the records it notes how far it has come; the state from which it is resumed travels with the
//! caller.
//!
//! If the predicate leaves out items that lack what the update sets, it counts these as well, segment by segment behind the count
//! of `P`, by eventually consistent reads of their own. Nothing rests on that number, so it never ends a verification.

mod bound;
mod lacking;
mod sample;
mod segment;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::lacking::Lacking;
pub use self::sample::{CountedSegment, Draw, Estimate, SampleCount, count_sample};
pub use self::segment::{CountSum, OpenSegment};
use self::segment::{Counting, MAX_SAMPLES, SEGMENTS_AT_ONCE};
use crate::change::Lacks;
use crate::clock::now_ms;
use crate::engine::holds::Holds;
use crate::engine::metrics::Figures;
use crate::engine::ownership::{self, load};
use crate::pace::Pace;
use crate::pace::retry::Until;
use crate::pace::{Budget, Consistency, Share, bytes_of};
use crate::ports::{CountNotes, ReadAccess, TableReader};
use crate::records::{CountNote, Cursor, Different, Owner, RunRecord};
use crate::{Error, ErrorKind, Key, Result};

/// When the first note of a verification is made, how often others follow, and how long each may take: it has one try.
const FIRST_NOTE: Duration = Duration::from_secs(2);
const NOTE_EVERY: Duration = Duration::from_secs(5);
const NOTING: Duration = Duration::from_secs(2);

/// Most segments that a verification needs: with [`SEGMENTS_AT_ONCE`] in work, more would only add requests.
const MAX_VERIFY_SEGMENTS: u32 = 256;

/// A verification: how far it has come and what it has found. Its size is bounded (at most eight cursors and fifteen sample
/// keys), so it fits into the state of an execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// True if every segment is counted to its end.
    pub done: bool,
    /// Segments that the count is cut into, 1 to 256; those of the run if it has fewer.
    pub total_segments: u32,
    /// The first segment from which on none is begun.
    pub next_segment: u32,
    /// Segments begun and not finished, by their numbers; at most eight.
    pub open: Vec<OpenSegment>,
    /// Items counted so far, pending or not.
    pub scanned: u64,
    /// Items for which `P` holds.
    pub remaining: u64,
    /// Up to ten keys of such items.
    pub samples: Vec<Key>,
    /// Read capacity units of the count of `P`, as DynamoDB reported them.
    pub consumed_rcu: f64,
    /// Items for which `P` does not hold and that lack what the update sets; `None` if there are none by `P` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacking: Option<Lacking>,
    /// Items that have another value than their sources give now; `None` if that is not counted
    /// ([`Verification::telling_different`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub different: Option<Different>,
    /// Seconds that it has taken.
    #[serde(default)]
    pub seconds: f64,
    /// When the first item was counted, or earlier; milliseconds since 1970. `None` before that, and of one that an earlier version has
    /// begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// What holds the run, so that it goes no further for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// What the verifier is asked for: to go on with a verification of this pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// The id of the run.
    pub run_id: String,
    /// Its current pass, from 1.
    pub pass: u32,
    /// Who asks: the owner of the run.
    pub owner: Owner,
    /// The verification as it came from the last call; [`Verification::new`] to begin.
    pub verification: Verification,
}

impl Verification {
    /// Whether items were counted before. If none were, it begins now.
    fn has_begun(&mut self) -> bool {
        let begun = self.next_segment > 0;
        if !begun {
            self.began_ms.get_or_insert_with(now_ms);
        }
        begun
    }

    /// A verification not yet begun, of a run with this many segments; it has at most 256 of its own.
    pub fn new(total_segments: u32) -> Self {
        Verification {
            total_segments: total_segments.min(MAX_VERIFY_SEGMENTS),
            ..Verification::default()
        }
    }

    /// The same, which also counts how many items have another value than their sources give now if the change tells them apart
    /// (`is_told`). One that was begun without does not.
    pub fn telling_different(self, is_told: bool) -> Verification {
        let begun = self.next_segment > 0;
        Verification {
            different: Different::go_on(self.different, is_told, begun),
            ..self
        }
    }

    /// Read capacity units of all that was read.
    pub fn all_rcu(&self) -> f64 {
        let lacking = self.lacking.as_ref();
        self.consumed_rcu + lacking.map_or(0.0, |lacking| lacking.consumed_rcu)
    }

    /// How many items for which `P` does not hold lack each attribute that the update sets; empty if that was not counted.
    pub fn told_lacking(&self) -> BTreeMap<String, u64> {
        let lacking = self.lacking.as_ref().filter(|_| self.done);
        lacking.map_or_else(BTreeMap::new, Lacking::told)
    }

    /// How many items have another value than their sources give now, and some of them; `None` if that was not counted to the end.
    pub fn told_different(&self) -> Option<&Different> {
        self.different.as_ref().filter(|_| self.done)
    }

    /// There will be no number of what items lack, and no segment is open for it.
    fn give_up_lacking(&mut self) {
        if let Some(lacking) = &mut self.lacking {
            lacking.give_up();
            for open in &mut self.open {
                open.lacking = None;
            }
            self.open.retain(|open| !open.is_done());
        }
    }

    /// The same, held for the reason that this error names; one that is done is not.
    fn held_by(self, error: &Error) -> Self {
        let held = (!self.done).then(|| error.to_string());
        Verification { held, ..self }
    }

    /// Bytes of an item, by what was counted so far; `None` if nothing was.
    fn item_bytes(&self) -> Option<f64> {
        let units = self.consumed_rcu / self.scanned as f64;
        (self.scanned > 0).then(|| bytes_of(units, Consistency::Strong))
    }

    /// Refuses a state that no verification can be in (`InvalidInput`): a count that leaves segments out proves nothing.
    fn check(&self) -> Result<()> {
        let wrong = |why: String| Err(Error::invalid("verification", why));
        let (total, next) = (self.total_segments, self.next_segment);
        if !(1..=MAX_VERIFY_SEGMENTS).contains(&total) {
            return wrong(format!(
                "expected 1 to {MAX_VERIFY_SEGMENTS} segments, got {total}"
            ));
        }
        if next > total {
            return wrong(format!("segment {next} comes next, of {total}"));
        }
        if !self
            .open
            .is_sorted_by(|one, other| one.segment < other.segment)
            || self.open.iter().any(|open| open.segment >= next)
        {
            return wrong(format!(
                "expected open segments below {next}, each once and in order"
            ));
        }
        let is_early =
            |open: &OpenSegment| open.lacking.is_some() && open.cursor != Cursor::Exhausted;
        if let Some(open) = self.open.iter().find(|open| is_early(open)) {
            let segment = open.segment;
            return wrong(format!("segment {segment} is not counted to its end"));
        }
        if self.samples.len() > MAX_SAMPLES {
            return wrong(format!(
                "{} samples; expected at most {MAX_SAMPLES}",
                self.samples.len()
            ));
        }
        let different = self.different.as_ref();
        let samples = different.map_or(0, |different| different.samples.len());
        if samples > Different::MOST_SAMPLES {
            return wrong(format!(
                "{samples} samples of other values; expected at most {}",
                Different::MOST_SAMPLES
            ));
        }
        Ok(())
    }
}

/// Verifies runs on the tables of `access`, whose records it reads from `store`.
pub struct Verifier<A, S> {
    access: A,
    store: S,
    budget: Budget,
    /// True once it knows what has used the budget before it.
    follows: AtomicBool,
    holds: Holds,
}

impl<A: ReadAccess, S: CountNotes> Verifier<A, S> {
    /// A verifier. It works while no worker does, so all of the run's budget is its own.
    pub fn new(access: A, store: S) -> Self {
        Verifier {
            access,
            store,
            budget: Budget::new(Share::Whole),
            follows: AtomicBool::new(false),
            holds: Holds::default(),
        }
    }

    /// Goes on within the budget of the segments that this process has swept until now, if it has.
    pub(super) fn go_on_from(&self, swept: &Budget) {
        if self.budget.go_on_from(swept, Consistency::Eventual) {
            self.follows.store(true, Ordering::Relaxed);
        }
    }

    /// What it may use of the table.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Goes on with the verification until it is done, the run's time box or `latest` is over, something holds the run, or `stop`
    /// is cancelled. None of these is an error: the answer says how far it came.
    ///
    /// Errors: `InvalidInput` if there is no such run, or if no verification can be in the state given; `Fenced` if the
    /// run is another's or in another pass; `NotRunning` if it was ended; whatever the table refuses.
    pub async fn verify(
        &self,
        request: VerifyRequest,
        latest: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<Verification> {
        let begin = Instant::now();
        let run = load(&self.store, &request.run_id, request.pass, &request.owner).await?;
        let time_box = begin + Duration::from_secs(run.settings.time_box_seconds);
        let until = Until {
            deadline: latest.map_or(time_box, |latest| latest.min(time_box)),
            // Its own, so that it can stop itself without stopping others.
            stop: stop.child_token(),
        };
        if let Err(error) = self.holds.look(&self.access, &run, 1).await {
            return match error.kind() {
                ErrorKind::Held => Ok(request.verification.held_by(&error)),
                _ => Err(error),
            };
        }
        self.budget.set(&run.settings, 0);
        let before = request.verification.scanned;
        self.budget
            .expect_items_of(request.verification.item_bytes().or(run.item_bytes()));
        if !self.follows.swap(true, Ordering::Relaxed) {
            // Others have read until now, and it may be a process of its own for each time box.
            self.budget.read.end_with_its_time();
            match before {
                0 => self
                    .budget
                    .follow(run.settings.workers(), Consistency::Eventual),
                _ => self.budget.follow(1, Consistency::Strong),
            }
        }
        let counted = self
            .count(&run, request.verification, &until)
            .await
            .map_err(|error| error.context(format!("verifying table {}", run.spec.table)))?;
        let figures = Figures {
            verified: Some(counted.scanned.saturating_sub(before)),
            remaining: counted.done.then_some(counted.remaining),
            ..Figures::of_run(&run)
        };
        figures.report(&run.spec.table, &run.run_id);
        tracing::info!(
            run_id = run.run_id,
            pass = run.pass,
            done = counted.done,
            segments = counted.next_segment - counted.open.len() as u32,
            total_segments = counted.total_segments,
            scanned = counted.scanned,
            remaining = counted.remaining,
            different = counted.different.as_ref().map(|found| found.items),
            consumed_rcu = counted.all_rcu(),
            seconds = counted.seconds,
            "the verification has come this far"
        );
        Ok(counted)
    }

    /// Counts on until it is done, the time is over, or something holds the run; what was counted until then stays.
    async fn count(
        &self,
        run: &RunRecord,
        from: Verification,
        until: &Until,
    ) -> Result<Verification> {
        run.spec.require_language()?;
        // A predicate can be counted without the code that makes it false.
        let change = run.spec.change(&run.keys);
        let reader = self.access.reader(change.clone());
        let look = |run: RunRecord| async move {
            self.budget.set(&run.settings, 0);
            self.holds.look(&self.access, &run, 1).await
        };
        let from = Verification { held: None, ..from };
        let from = from.telling_different(change.tells_different());
        let sum = CountSum::from(&from);
        let mut counting = std::pin::pin!(count(
            &reader,
            change.lacks(),
            from,
            &self.budget,
            until,
            &sum
        ));
        tokio::select! {
            counted = &mut counting => counted,
            error = ownership::watch(&self.store, run, None, look) => match error.kind() {
                ErrorKind::Held => {
                    until.stop.cancel();
                    counting.await.map(|counted| counted.held_by(&error))
                }
                _ => Err(error),
            },
            never = self.keep_noting(run, &sum) => match never {},
        }
    }
}

impl<A: ReadAccess, S: CountNotes> Verifier<A, S> {
    /// Notes every few seconds how far the count has come. What cannot be noted is left out: nothing rests on it.
    async fn keep_noting(&self, run: &RunRecord, sum: &CountSum) -> std::convert::Infallible {
        let mut wait = FIRST_NOTE;
        let mut failed = false;
        loop {
            tokio::time::sleep(wait).await;
            wait = NOTE_EVERY;
            let note = sum.note(run.pass);
            let noted = tokio::time::timeout(NOTING, self.store.note_count(run, &note));
            if let Ok(Err(error)) = noted.await
                && !failed
            {
                failed = true;
                tracing::warn!(
                    run_id = run.run_id,
                    error = error.report(),
                    "how far the verification has come cannot be noted; it goes on"
                );
            }
        }
    }
}

impl CountSum {
    /// The sum of a count that goes on from here.
    pub fn from(verification: &Verification) -> CountSum {
        let lacking = verification.lacking.as_ref();
        CountSum::new(CountNote {
            scanned: verification.scanned,
            remaining: verification.remaining,
            consumed_rcu: verification.all_rcu(),
            seconds: verification.seconds,
            again: lacking.map(|lacking| lacking.scanned),
            ..CountNote::default()
        })
    }
}

/// Goes on with a verification until it is done or the time is over. Reads strongly consistently, within the budget; what `lacks`
/// asks for, eventually consistent.
///
/// Errors: `InvalidInput` if no verification can be in that state; whatever the table refuses.
pub async fn count<R: TableReader>(
    reader: &R,
    lacks: Option<&Lacks>,
    mut verification: Verification,
    budget: &Budget,
    until: &Until,
    sum: &CountSum,
) -> Result<Verification> {
    verification.check()?;
    let begun = verification.has_begun();
    verification.lacking = Lacking::go_on(verification.lacking, lacks, begun)?;
    sum.reads_again(verification.lacking.as_ref().map(|lacking| lacking.scanned));
    let begin = Instant::now();
    let total = verification.total_segments;
    let interrupted = std::mem::take(&mut verification.open);
    let untouched = (verification.next_segment..total).map(OpenSegment::new);
    let segments = interrupted.into_iter().chain(untouched);
    let counting = Counting {
        reader,
        total_segments: total,
        pace: Pace::of_count(budget, SEGMENTS_AT_ONCE.min(total as usize)),
        until,
        // Once a segment has run out of time, no other is begun: what is open stays bounded.
        out_of_time: AtomicBool::new(false),
        again: AtomicBool::new(verification.lacking.as_ref().is_some_and(Lacking::goes_on)),
        sum,
    };
    let mut counts = stream::iter(segments)
        .map(|open| counting.segment(open))
        .buffer_unordered(SEGMENTS_AT_ONCE);
    while let Some(count) = counts.next().await {
        let count = count?;
        verification.scanned = verification.scanned.saturating_add(count.scanned);
        verification.remaining = verification.remaining.saturating_add(count.remaining);
        verification.consumed_rcu += count.consumed_rcu;
        if let Some(lacking) = &mut verification.lacking {
            lacking.add(&count.again, lacks);
        }
        if let Some(different) = &mut verification.different {
            different.add(count.different);
        }
        let room = MAX_SAMPLES - verification.samples.len();
        verification
            .samples
            .extend(count.samples.into_iter().take(room));
        if !count.segment.is_done() {
            verification.open.push(count.segment);
        }
    }
    drop(counts);
    if !counting.again.load(Ordering::Relaxed) {
        verification.give_up_lacking();
    }
    // Segments after the last one that was begun need no cursor each: the number of the first says it all.
    verification.open.sort_by_key(|open| open.segment);
    let mut next = total;
    while verification
        .open
        .pop_if(|open| open.cursor == Cursor::NotStarted && open.segment + 1 == next)
        .is_some()
    {
        next -= 1;
    }
    verification.next_segment = next;
    verification.seconds += begin.elapsed().as_secs_f64();
    verification.done = next == total && verification.open.is_empty();
    Ok(verification)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an earlier version has begun has no number of other values, and no number is told before the end.
    #[test]
    fn other_values_are_told_of_a_whole_count_alone() {
        let begins = Verification::new(4).telling_different(true);
        assert_eq!(begins.different, Some(Different::default()));
        assert_eq!(begins.told_different(), None);
        let found = Different {
            items: 12,
            samples: vec![Key([].into())],
        };
        let mut going = Verification {
            next_segment: 2,
            different: Some(found.clone()),
            ..begins
        };
        // As it goes through Step Functions.
        let state = serde_json::to_string(&going).unwrap();
        let back: Verification = serde_json::from_str(&state).unwrap();
        assert_eq!(back.telling_different(true), going);
        going.done = true;
        assert_eq!(going.told_different(), Some(&found));
        going.different = None;
        let state = serde_json::to_value(&going).unwrap();
        assert!(state.get("different").is_none(), "{state}");
        assert_eq!(going.clone().telling_different(true), going);
        assert_eq!(
            Verification::new(4).telling_different(false).different,
            None
        );
    }

    /// A state that has more keys than fit is refused.
    #[test]
    fn more_keys_of_other_values_than_there_can_be_are_refused() {
        for (keys, is_refused) in [(5, false), (6, true)] {
            let samples = vec![Key([].into()); keys];
            let state = Verification {
                different: Some(Different { items: 6, samples }),
                ..Verification::new(4)
            };
            let refused = state.check().map_err(|error| error.to_string());
            assert_eq!(refused.is_err(), is_refused, "{refused:?}");
            let says = |why: String| why.contains("6 samples of other values");
            assert!(refused.err().is_none_or(says));
        }
    }

    #[test]
    fn a_state_that_no_verification_can_be_in_is_refused() {
        let open = OpenSegment::new;
        let good = Verification {
            next_segment: 3,
            open: vec![open(0), open(2)],
            samples: vec![Key([].into()); MAX_SAMPLES],
            ..Verification::new(4)
        };
        good.check().unwrap();
        Verification::new(u32::MAX).check().unwrap();
        for (bad, why) in [
            (Verification::default(), "got 0"),
            (
                Verification {
                    total_segments: MAX_VERIFY_SEGMENTS + 1,
                    ..good.clone()
                },
                "got 257",
            ),
            (
                Verification {
                    next_segment: 5,
                    ..good.clone()
                },
                "segment 5",
            ),
            (
                Verification {
                    open: vec![open(3)],
                    ..good.clone()
                },
                "below 3",
            ),
            (
                Verification {
                    open: vec![open(1), open(1)],
                    ..good.clone()
                },
                "each once",
            ),
            (
                Verification {
                    open: vec![OpenSegment {
                        lacking: Some(Cursor::NotStarted),
                        ..open(1)
                    }],
                    ..good.clone()
                },
                "segment 1 is not counted",
            ),
            (
                Verification {
                    samples: vec![Key([].into()); MAX_SAMPLES + 1],
                    ..good.clone()
                },
                "11 samples",
            ),
        ] {
            let error = bad.check().expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.kind().is_refusal());
        }
    }
}
