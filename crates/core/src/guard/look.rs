//! A look whether a guard in Lambda watches still: what brings it the records may have been switched off, and nobody tells it.

use crate::Result;
use crate::clock::rfc3339;
use crate::guard::settle::Guard;
use crate::ports::WriteAccess;
use crate::ports::guard::GuardStore;
use crate::records::MOST_UNWATCHED_MS;
use crate::records::{GuardRecord, Loss, LossKind};

/// States of an event source mapping that takes records, or is about to: with TRIM_HORIZON it misses none meanwhile.
const WATCHES: [&str; 4] = ["Creating", "Enabling", "Enabled", "Updating"];

/// What a look has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The states of the event source mappings from the guard's stream to the guard function, in Lambda's words.
    pub mappings: Vec<String>,
    /// Why Lambda can bring the function no records although its mapping is enabled, in Lambda's words; `None` if it can.
    pub problem: Option<String>,
    /// The ARN of the stream that the table has; `None` if it is off.
    pub stream_arn: Option<String>,
}

impl Found {
    /// What `guard` may have missed, by what was found now.
    fn losses(&self, guard: &GuardRecord, now_ms: u64) -> Vec<(LossKind, String)> {
        let mut losses = Vec::new();
        if guard.looked_ms + MOST_UNWATCHED_MS < now_ms {
            let what = format!("nobody has looked since {}", rfc3339(guard.looked_ms));
            losses.push((LossKind::Unwatched, what));
        }
        let watches = |state: &String| WATCHES.contains(&state.as_str());
        if !self.mappings.iter().any(watches) {
            let what = match self.mappings.first() {
                Some(state) => format!("the event source mapping of the guard function is {state}"),
                None => "the guard function has no event source mapping for the stream".into(),
            };
            losses.push((LossKind::Off, what));
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

impl<A: WriteAccess, S: GuardStore> Guard<A, S> {
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
        if let Some(problem) = &found.problem {
            tracing::error!(
                table = guard.table(),
                "Lambda cannot bring the guard its records: {problem}; if that lasts, the guard misses some"
            );
        }
        self.change(guard.table(), |stored| {
            if stored.is_on() && stored.generation == guard.generation {
                // Whoever is brought nothing does not watch: nobody has looked, then.
                if found.problem.is_none() {
                    stored.looked_ms = at_ms;
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
