//! Switching a guard on: its record, made or taken over.

use crate::clock::rfc3339;
use crate::guard::look::FoundMapping;
use crate::guard::settle::change;
use crate::pace::retry::{PATIENCE, Until, retry};
use crate::ports::guard::GuardStore;
use crate::records::{GuardRecord, HOUR_MS, Loss, LossKind, Watcher};
use crate::table::KeySchema;
use crate::{Error, ErrorKind, Result, Spec};

/// So far ahead lies the begin of a guard of which nobody has noted yet that its record is stored: longer than any call is on its way.
const NOT_YET_MS: u64 = HOUR_MS;

/// Tries to store a record that others change as well.
const TRIES: u32 = 20;

/// A guard that is to be on.
#[derive(Debug, Clone)]
pub struct SwitchOn {
    /// The change that repairs.
    pub spec: Spec,
    /// The keys of the table.
    pub keys: KeySchema,
    /// The ARN of the table's stream, which carries new images.
    pub stream_arn: String,
    /// Who is to watch it.
    pub watcher: Watcher,
    /// The stack whose function is to watch it; `None` for a process.
    pub stack: Option<String>,
    /// The event source mapping that brings the function its records, as it was found before it is switched on; `None` for a process.
    pub mapping: Option<FoundMapping>,
    /// Who switches it on, for a person.
    pub by: String,
}

impl SwitchOn {
    /// Stores the guard's record as one that is on, for whoever watches from now on: it has a generation of its own. A guard that is on
    /// already goes on, with a loss if it may have missed something; one that was off begins anew.
    ///
    /// One that begins counts from when its record is known to be stored. Whoever settles records reads the guard's record after the items
    /// of those were written, so what is written from then on is settled by this guard. What was written a moment before may be settled
    /// by what the record was, however short that moment. `clock` tells the time, in milliseconds since 1970.
    ///
    /// Errors: `InvalidInput`, naming `guard`, if another guard is on for the table; `Conflict` if others change the record again and
    /// again; those of the store. The guard may be on after an error of the store: it is switched on by another try.
    pub async fn begin<S: GuardStore>(
        &self,
        store: &S,
        clock: impl Fn() -> u64,
    ) -> Result<GuardRecord> {
        let until = Until::after(PATIENCE);
        let mut conflict = None;
        for _ in 0..TRIES {
            let stored = retry(&until, || store.guard(&self.spec.table)).await?;
            let now_ms = clock();
            let guard = match stored {
                None => self.first(now_ms),
                Some(stored) if stored.is_on() => self.resumed(stored, now_ms)?,
                Some(stored) => self.again(stored, now_ms),
            };
            match retry(&until, || store.save_guard(&guard)).await {
                Ok(()) if guard.since_ms > now_ms => return counted(store, guard, clock()).await,
                Ok(()) => return Ok(guard),
                Err(error) if error.kind() == ErrorKind::Conflict => conflict = Some(error),
                Err(error) => return Err(error),
            }
        }
        let never = || {
            Error::new(
                ErrorKind::Conflict,
                "the guard's record could not be stored",
            )
        };
        Err(conflict.unwrap_or_else(never))
    }

    fn first(&self, now_ms: u64) -> GuardRecord {
        GuardRecord {
            revision: 1,
            spec: self.spec.clone(),
            keys: self.keys.clone(),
            stream_arn: self.stream_arn.clone(),
            watcher: self.watcher,
            stack: self.stack.clone(),
            mapping: self.mapping.as_ref().map(|found| found.uuid.clone()),
            generation: 1,
            change_generation: 1,
            since_ms: now_ms + NOT_YET_MS,
            off_ms: None,
            by: self.by.clone(),
            off_by: None,
            looked_ms: now_ms,
            proof: None,
            losses: Vec::new(),
        }
    }

    /// The successor of a guard that was off.
    fn again(&self, stored: GuardRecord, now_ms: u64) -> GuardRecord {
        let generation = stored.generation + 1;
        let is_same = stored.spec == self.spec && stored.keys == self.keys;
        let mut guard = GuardRecord {
            revision: stored.revision + 1,
            generation,
            change_generation: if is_same {
                stored.change_generation
            } else {
                generation
            },
            losses: stored.losses,
            // It proves nothing for now, and tells why.
            proof: stored.proof.filter(|_| stored.spec == self.spec),
            ..self.first(now_ms)
        };
        let off_ms = stored.off_ms.unwrap_or(now_ms);
        guard.lose(Loss {
            at_ms: now_ms,
            kind: LossKind::Off,
            what: format!("the guard was off since {}", rfc3339(off_ms)),
        });
        guard
    }

    /// The successor of a guard that is on.
    fn resumed(&self, stored: GuardRecord, now_ms: u64) -> Result<GuardRecord> {
        self.refuse_another(&stored)?;
        let mut guard = stored;
        guard.revision += 1;
        guard.generation += 1;
        guard.stack.clone_from(&self.stack);
        // Each process is another one that watches; a function watches on, for whoever switched it on.
        if self.watcher == Watcher::Process {
            guard.by.clone_from(&self.by);
        }
        // It was stored before it was read, whether or not that was noted.
        guard.since_ms = guard.since_ms.min(now_ms);
        let at_ms = now_ms;
        let loss = |kind, what| Loss { at_ms, kind, what };
        let losses = guard.losses.clone();
        if let Some(unwatched) = guard.unwatched(now_ms) {
            guard.lose(unwatched);
        }
        if let Some(mapping) = &self.mapping {
            if !mapping.is_on {
                let what = format!(
                    "the event source mapping of the guard function was {}",
                    mapping.state
                );
                guard.lose(loss(LossKind::Off, what));
            }
            for (kind, what) in mapping.losses(&guard) {
                guard.lose(loss(kind, what));
            }
            guard.mapping = Some(mapping.uuid.clone());
        }
        if guard.stream_arn != self.stream_arn {
            let what = format!(
                "the stream of the table is {} now, and was {}",
                self.stream_arn, guard.stream_arn
            );
            guard.lose(loss(LossKind::OtherStream, what));
            guard.stream_arn.clone_from(&self.stream_arn);
        }
        // Nobody has looked yet: who is begun again and again, and can see nothing, does not watch. A loss is told once.
        if guard.losses != losses {
            guard.looked_ms = now_ms;
        }
        Ok(guard)
    }

    /// Refuses to switch on what another guard does already, which is on in other records than this one's.
    ///
    /// Errors: `InvalidInput`, naming `guard`.
    pub fn refuse_beside(&self, other: &GuardRecord) -> Result<()> {
        match other.is_on() {
            true => self.refused(
                other,
                &format!("watched by the guard function of {}", of(&other.stack)),
            ),
            false => Ok(()),
        }
    }

    /// Refuses to take over a guard that does something else, or that somebody else is to watch.
    fn refuse_another(&self, stored: &GuardRecord) -> Result<()> {
        let why = if stored.spec != self.spec {
            "with another change".to_owned()
        } else if stored.keys != self.keys {
            "with other keys: it was made for an earlier table of this name".to_owned()
        } else {
            match (stored.watcher, self.watcher) {
                (Watcher::Function, Watcher::Process) => {
                    format!("watched by the guard function of {}", of(&stored.stack))
                }
                (Watcher::Process, Watcher::Function) => {
                    "watched by a process, which `backfill guard run` has begun".to_owned()
                }
                (Watcher::Function, Watcher::Function)
                    if stored.stack.is_some() && stored.stack != self.stack =>
                {
                    format!("watched by the guard function of {}", of(&stored.stack))
                }
                _ => return Ok(()),
            }
        };
        self.refused(stored, &why)
    }

    fn refused(&self, stored: &GuardRecord, why: &str) -> Result<()> {
        let table = &self.spec.table;
        let of_stack = stored.stack.as_ref();
        let of_stack = of_stack.map_or(String::new(), |stack| format!(" --stack-name {stack}"));
        Err(Error::invalid(
            "guard",
            format!(
                "table {table} has a guard that is on, {why} (switched on by {} at {}); switch that off first, with `backfill guard off \
                 --table {table}{of_stack}`",
                stored.by,
                rfc3339(stored.since_ms),
            ),
        ))
    }
}

/// Notes that a guard which has begun counts from now on: its record is stored.
async fn counted<S: GuardStore>(store: &S, guard: GuardRecord, now_ms: u64) -> Result<GuardRecord> {
    let is_ours = |record: &GuardRecord| record.generation == guard.generation;
    let noted = change(store, guard.table(), |record| {
        if is_ours(record) {
            record.since_ms = record.since_ms.min(now_ms);
        }
    });
    // Whoever has taken it over has noted it.
    Ok(noted.await?.filter(is_ours).unwrap_or(guard))
}

/// A stack for a person.
fn of(stack: &Option<String>) -> String {
    let named = stack.as_ref().map(|stack| format!("stack {stack}"));
    named.unwrap_or_else(|| "a stack".into())
}
