//! The claim: *zero at T, and watched since*. A count of zero is of the moment at which it was made; a guard that has watched without a
//! gap since before the count began makes it hold until now.
//!
//! Whatever was written before the count began was counted. Whatever was written since is in the stream, and the guard has settled it, but
//! for records that it has not seen yet, whose age is told. So a count that began while nothing was missed, and nothing since, is enough;
//! and a loss makes it worthless until the table is counted again.

use crate::clock::rfc3339;
use crate::records::MOST_UNWATCHED_MS;
use crate::records::{GuardRecord, LossKind, Proof, Watcher};

/// A process notes each minute that it watches, unless the checkpoint table is away.
const MOST_SILENT_OF_PROCESS_MS: u64 = 5 * 60_000;

/// The guard function of a stack looks each hour.
const MOST_SILENT_OF_FUNCTION_MS: u64 = 3 * 3_600_000;

/// What was looked at beside the guard's record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looked {
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
    /// Why the stream is not watched at this moment, for a person: its event source mapping is disabled, or the table has another stream
    /// now. `None` if nothing of that kind was found.
    pub trouble: Option<String>,
}

/// How the claim stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The table has no guard for this change.
    Unguarded,
    /// Nothing that was written since then was missed, and no count of zero has begun since.
    NotCounted {
        /// Since when; milliseconds since 1970.
        since_ms: u64,
        /// Why an earlier count says nothing any more, for a person; `None` if there is none.
        why: Option<String>,
    },
    /// A count of zero began at that time, and nothing that was written since was missed.
    Holds {
        /// Since when nothing was missed; milliseconds since 1970.
        since_ms: u64,
        /// When the count was complete; milliseconds since 1970.
        zero_ms: u64,
    },
    /// Nobody watches at this moment, or nobody is known to: why, for a person.
    Withdrawn(String),
}

impl Claim {
    /// How the claim stands for the change with this fingerprint, by its guard, the last count of what is pending, and what was looked at.
    pub fn of(
        guard: Option<&GuardRecord>,
        fingerprint: &str,
        proof: Option<&Proof>,
        looked: &Looked,
    ) -> Claim {
        let guard = guard.filter(|guard| guard.spec.fingerprint() == fingerprint);
        let Some(guard) = guard else {
            return Claim::Unguarded;
        };
        if let Some(why) = not_watched(guard, looked) {
            return Claim::Withdrawn(why);
        }
        let Some(since_ms) = guard.guarded_since_ms() else {
            return Claim::Withdrawn("the guard is off".into());
        };
        match proof.filter(|proof| proof.remaining == 0) {
            Some(proof) if proof.began_ms.is_some_and(|began_ms| began_ms >= since_ms) => {
                Claim::Holds {
                    since_ms,
                    zero_ms: proof.at_ms,
                }
            }
            proof => Claim::NotCounted {
                since_ms,
                why: proof.map(|proof| why_worthless(guard, proof)),
            },
        }
    }

    /// Since when nothing that was written was missed, if somebody watches now; milliseconds since 1970.
    pub fn guarded_since_ms(&self) -> Option<u64> {
        match self {
            Claim::NotCounted { since_ms, .. } | Claim::Holds { since_ms, .. } => Some(*since_ms),
            Claim::Unguarded | Claim::Withdrawn(_) => None,
        }
    }

    /// The claim for a person; `None` if there is no guard to speak of.
    pub fn sentence(&self) -> Option<String> {
        Some(match self {
            Claim::Unguarded => return None,
            Claim::Holds { since_ms, zero_ms } => format!(
                "zero at {}, and watched since: the guard has missed nothing that was written after {}",
                rfc3339(*zero_ms),
                rfc3339(*since_ms)
            ),
            Claim::NotCounted { since_ms, why } => {
                let why = why.as_ref().map_or(String::new(), |why| format!("{why}; "));
                format!(
                    "watched since {} and not counted since: {why}verify the table for a claim that holds",
                    rfc3339(*since_ms)
                )
            }
            Claim::Withdrawn(why) => format!("not watched: {why}"),
        })
    }
}

/// Why nobody watches, or nobody is known to.
fn not_watched(guard: &GuardRecord, looked: &Looked) -> Option<String> {
    if let Some(off_ms) = guard.off_ms {
        let last = guard.losses.last();
        let halted = last.filter(|loss| loss.kind == LossKind::Off && loss.at_ms >= off_ms);
        let why = halted.map_or(String::new(), |loss| format!(": {}", loss.what));
        return Some(format!(
            "the guard is off since {}, switched off by {}{why}",
            rfc3339(off_ms),
            guard.last_by()
        ));
    }
    if let Some(trouble) = &looked.trouble {
        return Some(trouble.clone());
    }
    let silent_ms = looked.now_ms.saturating_sub(guard.looked_ms);
    let (most_ms, again) = match guard.watcher {
        Watcher::Process => (
            MOST_SILENT_OF_PROCESS_MS,
            "start backfill guard run again, within 24 hours of then",
        ),
        Watcher::Function => (
            MOST_SILENT_OF_FUNCTION_MS,
            "see why the guard function does not look each hour, in its log",
        ),
    };
    if silent_ms <= most_ms {
        return None;
    }
    let since = rfc3339(guard.looked_ms);
    Some(match silent_ms > MOST_UNWATCHED_MS {
        true => {
            format!("nobody has watched since {since}, and the stream keeps records for 24 hours")
        }
        false => format!("nobody is known to watch since {since}; {again}"),
    })
}

/// Why a count of zero says nothing any more.
fn why_worthless(guard: &GuardRecord, proof: &Proof) -> String {
    let counted = rfc3339(proof.at_ms);
    let since = proof.began_ms.unwrap_or(proof.at_ms);
    match guard.losses.iter().rev().find(|loss| loss.at_ms >= since) {
        Some(loss) => format!(
            "the count of {counted} is worth nothing any more, since at {} {}",
            rfc3339(loss.at_ms),
            loss.what
        ),
        None => format!("the count of {counted} began before the guard was on"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::records::Loss;
    use crate::table::{KeyAttribute, KeySchema, KeyType};
    use crate::{Spec, Value};

    const HOUR: u64 = 3_600_000;
    /// When the guard of the tests was switched on.
    const ON: u64 = 1_800_000_000_000;

    fn spec(value: &str) -> Spec {
        let set = BTreeMap::from([("test".to_owned(), Value::N(value.into()))]);
        Spec::set_missing("stuff", set)
    }

    fn guard(watcher: Watcher, looked_ms: u64) -> GuardRecord {
        GuardRecord {
            revision: 1,
            spec: spec("1"),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: None,
            },
            stream_arn: "arn:of:the:stream".into(),
            watcher,
            stack: None,
            mapping: None,
            generation: 1,
            change_generation: 1,
            since_ms: ON,
            off_ms: None,
            by: "ann".into(),
            off_by: None,
            looked_ms,
            proof: None,
            losses: Vec::new(),
        }
    }

    fn zero(began_ms: Option<u64>) -> Proof {
        Proof {
            remaining: 0,
            scanned: 7,
            samples: Vec::new(),
            lacking: BTreeMap::new(),
            different: None,
            began_ms,
            at_ms: began_ms.unwrap_or(ON) + 10,
        }
    }

    fn claim(guard: &GuardRecord, proof: Option<&Proof>, now_ms: u64) -> Claim {
        let looked = Looked {
            now_ms,
            trouble: None,
        };
        Claim::of(Some(guard), &spec("1").fingerprint(), proof, &looked)
    }

    /// guarded: a count carries the claim if the guard watched when it began, not if it was on when the count was done.
    #[test]
    fn guarded_by_a_count_that_began_while_somebody_watched() {
        let guard = guard(Watcher::Function, ON + HOUR);
        let now = ON + HOUR + 5;
        let holds = Claim::Holds {
            since_ms: ON,
            zero_ms: ON + 10,
        };
        assert_eq!(claim(&guard, Some(&zero(Some(ON))), now), holds);
        for began_ms in [Some(ON - 1), None] {
            let found = claim(&guard, Some(&zero(began_ms)), now);
            let Claim::NotCounted { since_ms, why } = found else {
                panic!("{began_ms:?}: {found:?}");
            };
            assert_eq!(since_ms, ON);
            assert!(why.unwrap().contains("before the guard was on"));
        }
        let pending = Proof {
            remaining: 1,
            ..zero(Some(ON))
        };
        for proof in [None, Some(&pending)] {
            let found = claim(&guard, proof, now);
            assert_eq!(
                found,
                Claim::NotCounted {
                    since_ms: ON,
                    why: None
                }
            );
        }
        // Of another change nothing is said.
        let other = Claim::of(
            Some(&guard),
            &spec("2").fingerprint(),
            Some(&zero(Some(ON))),
            &Looked::default(),
        );
        assert_eq!(other, Claim::Unguarded);
    }

    /// guarded: every loss withdraws the claim, and a count that begins after it brings it back.
    #[test]
    fn guarded_no_more_after_a_loss_until_it_is_counted_again() {
        let mut guard = guard(Watcher::Function, ON + HOUR);
        let now = ON + HOUR + 5;
        guard.lose(Loss {
            at_ms: ON + 100,
            kind: LossKind::Trimmed,
            what: "records of shard 7 were gone".into(),
        });
        for began_ms in [ON, ON + 100] {
            let found = claim(&guard, Some(&zero(Some(began_ms))), now);
            let Claim::NotCounted { why: Some(why), .. } = &found else {
                panic!("{found:?}");
            };
            assert!(why.contains("records of shard 7 were gone"), "{why}");
        }
        let again = claim(&guard, Some(&zero(Some(ON + 101))), now);
        assert_eq!(again.guarded_since_ms(), Some(ON + 101));
        assert!(matches!(again, Claim::Holds { .. }), "{again:?}");
    }

    /// guarded: the claim is of now, so it is withdrawn while nobody watches, or nobody is known to.
    #[test]
    fn guarded_no_more_while_nobody_watches() {
        let proof = zero(Some(ON));
        let says = |claim: Claim, part: &str| {
            let sentence = claim.sentence().unwrap_or_default();
            let is_withdrawn = matches!(claim, Claim::Withdrawn(_));
            assert!(is_withdrawn && sentence.contains(part), "{sentence}");
            assert_eq!(claim.guarded_since_ms(), None);
        };
        for (watcher, quiet_ms) in [
            (Watcher::Process, MOST_SILENT_OF_PROCESS_MS),
            (Watcher::Function, MOST_SILENT_OF_FUNCTION_MS),
        ] {
            let guard = guard(watcher, ON);
            let at = |ms| claim(&guard, Some(&proof), ON + ms);
            assert!(matches!(at(quiet_ms), Claim::Holds { .. }));
            says(at(quiet_ms + 1), "nobody is known to watch");
            says(at(MOST_UNWATCHED_MS + 1), "keeps records for 24 hours");
        }
        let mut off = guard(Watcher::Function, ON);
        off.off_ms = Some(ON + 50);
        // As earlier versions have stored it.
        says(claim(&off, Some(&proof), ON + 60), "switched off by ann");
        off.off_by = Some("bob".into());
        says(claim(&off, Some(&proof), ON + 60), "switched off by bob");
        let disabled = Looked {
            now_ms: ON + 60,
            trouble: Some("its event source mapping is Disabled".into()),
        };
        let on = guard(Watcher::Function, ON);
        let found = Claim::of(Some(&on), &on.spec.fingerprint(), Some(&proof), &disabled);
        says(found, "is Disabled");
    }
}
