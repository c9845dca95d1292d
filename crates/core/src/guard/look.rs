//! A look whether a guard in Lambda watches still: what brings it the records may have been switched off, and nobody tells it.

use crate::Result;
use crate::clock::rfc3339;
use crate::guard::settle::Guard;
use crate::ports::WriteAccess;
use crate::ports::guard::GuardStore;
use crate::records::{GuardRecord, Loss, LossKind, MOST_UNWATCHED_MS};

/// An event source mapping from the guard's stream to the guard function, as Lambda tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundMapping {
    /// Its id: one that was made anew has another.
    pub uuid: String,
    /// Its state, in Lambda's words.
    pub state: String,
    /// Whether it takes records, or is about to.
    pub is_on: bool,
    /// Why Lambda cannot bring the function all records although the mapping is on, for a person; `None` if it can.
    pub problem: Option<String>,
    /// Which of its settings lets it pass over an item that was written, with nobody told; `None` if none does.
    pub drops: Option<String>,
}

/// What a look has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The event source mappings from the guard's stream to the guard function.
    pub mappings: Vec<FoundMapping>,
    /// The ARN of the stream that the table has; `None` if it is off.
    pub stream_arn: Option<String>,
}

impl Found {
    /// The mapping that brings `guard` its records: the one that it was switched on with, before all others.
    fn mapping(&self, guard: &GuardRecord) -> Option<&FoundMapping> {
        let on = self.mappings.iter().filter(|mapping| mapping.is_on);
        on.max_by_key(|mapping| Some(&mapping.uuid) == guard.mapping.as_ref())
    }

    /// Why Lambda cannot bring `guard` all records although its mapping is on, for a person; `None` if it can, or if nothing is on.
    pub fn problem(&self, guard: &GuardRecord) -> Option<&str> {
        self.mapping(guard)?.problem.as_deref()
    }

    /// What `guard` may have missed, by what was found now.
    fn losses(&self, guard: &GuardRecord, now_ms: u64) -> Vec<(LossKind, String)> {
        let mut losses = Vec::new();
        losses.extend(guard.unwatched(now_ms).map(|loss| (loss.kind, loss.what)));
        match self.mapping(guard) {
            Some(mapping) => losses.extend(mapping.losses(guard)),
            None => {
                let what = match self.mappings.first() {
                    Some(FoundMapping { state, .. }) => {
                        format!("the event source mapping of the guard function is {state}")
                    }
                    None => "the guard function has no event source mapping for the stream".into(),
                };
                losses.push((LossKind::Off, what));
            }
        }
        if self.stream_arn.as_ref() != Some(&guard.stream_arn) {
            let now = match &self.stream_arn {
                Some(arn) => format!("is {arn} now"),
                None => "is switched off".into(),
            };
            let what = format!(
                "the stream of the table {now}, and was {}",
                guard.stream_arn
            );
            losses.push((LossKind::OtherStream, what));
        }
        losses
    }
}

impl FoundMapping {
    /// What `guard` may have missed, as this brings it the records now. One that was made anew begins with the oldest record that is
    /// left, and the place of the one before it is gone.
    pub fn losses(&self, guard: &GuardRecord) -> Vec<(LossKind, String)> {
        let mut losses = Vec::new();
        let before = guard.mapping.as_ref();
        if let Some(before) = before.filter(|before| **before != self.uuid) {
            let what = format!(
                "the event source mapping of the guard function was made anew: it is {} now, and was {before}",
                self.uuid
            );
            losses.push((LossKind::Off, what));
        }
        if let Some(drops) = &self.drops {
            let what = format!(
                "the event source mapping {} of the guard function may have passed over records: {drops}",
                self.uuid
            );
            losses.push((LossKind::Dropped, what));
        }
        losses
    }
}

impl<A: WriteAccess, S: GuardStore> Guard<A, S> {
    /// Notes a loss if Lambda was so late with records that those before them may be gone: it goes on with the oldest that is in the
    /// stream, and tells nobody what it has passed. The first of them came at `first_ms`, and Lambda handed them over or gave them up at
    /// `at_ms`; in milliseconds since 1970.
    ///
    /// Errors: those of [`Guard::lose`].
    pub async fn note_late(&self, guard: &GuardRecord, first_ms: u64, at_ms: u64) -> Result<()> {
        if first_ms + MOST_UNWATCHED_MS >= at_ms || guard.is_before(first_ms) {
            return Ok(());
        }
        let what = format!(
            "Lambda came at {} to records that were written at {}, and those before them may have been gone",
            rfc3339(at_ms),
            rfc3339(first_ms)
        );
        self.lose(guard, LossKind::Trimmed, what).await
    }

    /// Notes that somebody has looked after `guard`, with what may have been missed: in one change of its record. Returns what was missed.
    /// A guard that is another by now has somebody else who looks after it.
    ///
    /// Errors: those of the store; `Conflict` if others change the record again and again.
    pub async fn note_look(&self, guard: &GuardRecord, found: &Found) -> Result<Vec<Loss>> {
        let at_ms = self.access.now_ms();
        let losses = found.losses(guard, at_ms).into_iter();
        let losses = losses.map(|(kind, what)| Loss { at_ms, kind, what });
        let losses: Vec<Loss> = losses.collect();
        for loss in &losses {
            tracing::error!(
                table = guard.table(),
                "{}: what the guard has watched is no longer without a gap",
                loss.what
            );
        }
        let (mapping, problem) = (found.mapping(guard), found.problem(guard));
        if let Some(problem) = problem {
            tracing::error!(
                table = guard.table(),
                "{problem}; if that lasts, the guard misses records"
            );
        }
        self.change(guard.table(), |stored| {
            if stored.is_on() && stored.generation == guard.generation {
                // Whoever is not brought the records does not watch: nobody has looked, then.
                if problem.is_none() {
                    stored.looked_ms = at_ms;
                }
                if let Some(mapping) = mapping {
                    stored.mapping = Some(mapping.uuid.clone());
                }
                for loss in &losses {
                    stored.lose(loss.clone());
                }
            }
        })
        .await?;
        Ok(losses)
    }
}
