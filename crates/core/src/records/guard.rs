//! The records of a guard: what it repairs on which stream, since when, what it has done hour by hour, and what it could not do.

use serde::{Deserialize, Serialize};

use crate::change::SharedChange;
use crate::clock::rfc3339;
use crate::records::Proof;
use crate::table::KeySchema;
use crate::{Key, Spec, text};

/// Most losses that a guard's record holds, the latest ones.
pub const MAX_LOSSES: usize = 20;

/// Most sample keys of an hour.
pub const HOUR_SAMPLES: usize = 5;

/// Longest time that nobody may have looked: what was written before could be gone from the stream, which keeps records for 24 hours.
/// The hour between is for clocks and for catching up.
pub const MOST_UNWATCHED_MS: u64 = 23 * 3_600_000;

/// How far the clocks may be apart by which a guard was switched on and by which a record came, in milliseconds.
const CLOCKS_MS: u64 = 60_000;

/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 3_600_000;

/// Who watches the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watcher {
    /// The guard function of a stack.
    Function,
    /// `backfill guard run`.
    Process,
}

/// Why something that was written may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Records were gone from the stream before they were seen: it keeps them for 24 hours.
    Trimmed,
    /// Lambda gave records up before they were settled, and they are gone from the stream; or it may have, with nobody told.
    Dropped,
    /// An item could not be repaired, and is recorded with the reason; or a stream record could not be understood.
    Failed,
    /// The guard was off, or its event source mapping was.
    Off,
    /// The stream is not the table's any more.
    OtherStream,
    /// Nobody has looked for so long that records may have been gone before they were seen.
    Unwatched,
}

/// Something that was written may have been missed: it makes the claim untrue until the table is verified again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// When it was noted: whatever was written until then may have been missed. Milliseconds since 1970.
    pub at_ms: u64,
    /// What sort of loss it is.
    pub kind: LossKind,
    /// What was lost and why, for a person.
    #[serde(deserialize_with = "text::deserialize")]
    pub what: String,
}

/// The guard on a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardRecord {
    /// Grows with each change of this record, from 1.
    pub revision: u64,
    /// The change that repairs, with the name of the table.
    pub spec: Spec,
    /// The keys of the table.
    pub keys: KeySchema,
    /// The ARN of the stream that is watched.
    pub stream_arn: String,
    /// Who watches it.
    pub watcher: Watcher,
    /// The stack whose function watches; `None` if a process does, or if an earlier version has stored it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text::deserialize_some"
    )]
    pub stack: Option<String>,
    /// The UUID of the event source mapping that brings the function its records; `None` of a process, and if an earlier version has
    /// stored it. One that was deleted and made anew has another, and has missed what was written meanwhile.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text::deserialize_some"
    )]
    pub mapping: Option<String>,
    /// Grows with each process that watches, and fences off the one before.
    pub generation: u64,
    /// The generation that began with this change after another one. A process of the one before may store a position even later, of
    /// records that it has settled with its own change.
    #[serde(default)]
    pub change_generation: u64,
    /// Since when it is on; milliseconds since 1970.
    pub since_ms: u64,
    /// Since when it is off; `None` while it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_ms: Option<u64>,
    /// Who has switched it on, for a person; of a process who has begun the one that watches. Earlier versions put the one who has
    /// switched it off in the same place.
    #[serde(deserialize_with = "text::deserialize")]
    pub by: String,
    /// Who has switched it off, for a person; `None` while it is on.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text::deserialize_some"
    )]
    pub off_by: Option<String>,
    /// When the guard has last looked whether it watches still; milliseconds since 1970.
    pub looked_ms: u64,
    /// The last count of what is pending for its change that was no run's, by when it began; without keys. A function reads this record
    /// with each batch, so it has to stay small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// What may have been missed, the latest last, at most [`MAX_LOSSES`].
    #[serde(default)]
    pub losses: Vec<Loss>,
}

impl GuardRecord {
    /// The name of the table.
    pub fn table(&self) -> &str {
        &self.spec.table
    }

    /// The change that repairs.
    pub fn change(&self) -> SharedChange {
        self.spec.change(&self.keys)
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.off_ms.is_none()
    }

    /// Whether a count for the change with this fingerprint is to take the place of the one that is there: if it is of its change, and
    /// began later, whatever it has found.
    pub fn wants(&self, fingerprint: &str, proof: &Proof) -> bool {
        let is_later = |stored: &Proof| stored.began_by_ms() < proof.began_by_ms();
        self.spec.fingerprint() == fingerprint && self.proof.as_ref().is_none_or(is_later)
    }

    /// Switches it off, unless it is off already.
    pub fn switch_off(&mut self, at_ms: u64, by: &str) {
        if self.is_on() {
            self.off_ms = Some(at_ms);
            self.off_by = Some(by.to_owned());
        }
    }

    /// Who has switched it last, for a person.
    pub fn last_by(&self) -> &str {
        let off_by = self.off_by.as_ref().filter(|_| !self.is_on());
        off_by.unwrap_or(&self.by)
    }

    /// Whether this position says what is settled: it is of this stream, and of this change.
    pub fn counts(&self, position: &ShardPosition) -> bool {
        position.stream_arn == self.stream_arn && position.generation >= self.change_generation
    }

    /// Since when nothing that was written was missed; milliseconds since 1970. `None` while the guard is off.
    pub fn guarded_since_ms(&self) -> Option<u64> {
        let lost = self.losses.last().map_or(0, |loss| loss.at_ms + 1);
        self.is_on().then(|| self.since_ms.max(lost))
    }

    /// Whether what was written until then, in milliseconds since 1970, was so before the guard has watched without a gap: it is counted
    /// since, or is to be. Times of stream records are approximate, and clocks may be a minute apart.
    pub fn is_before(&self, written_ms: u64) -> bool {
        let since_ms = self.guarded_since_ms().unwrap_or_default();
        written_ms + CLOCKS_MS < since_ms
    }

    /// The loss that it is if nobody has looked for longer than [`MOST_UNWATCHED_MS`] until `now_ms`, in milliseconds since 1970.
    pub fn unwatched(&self, now_ms: u64) -> Option<Loss> {
        let since = rfc3339(self.looked_ms);
        (self.looked_ms + MOST_UNWATCHED_MS < now_ms).then(|| Loss {
            at_ms: now_ms,
            kind: LossKind::Unwatched,
            what: format!("nobody is known to have watched the stream since {since}"),
        })
    }

    /// Notes a loss. It takes the place of one of the same kind within the same hour, or in the same words: a writer whose items all fail,
    /// and a trouble that each look finds again, leave others to be seen. The later time stays: whoever notes it may be late.
    pub fn lose(&mut self, mut loss: Loss) {
        let mut at_ms = loss.at_ms;
        self.losses.retain(|one| {
            let is_same = one.kind == loss.kind
                && (one.at_ms / HOUR_MS == loss.at_ms / HOUR_MS || one.what == loss.what);
            if is_same {
                at_ms = at_ms.max(one.at_ms);
            }
            !is_same
        });
        loss.at_ms = at_ms;
        self.losses.push(loss);
        self.losses.sort_by_key(|loss| loss.at_ms);
        let too_many = self.losses.len().saturating_sub(MAX_LOSSES);
        self.losses.drain(..too_many);
    }
}

/// What a guard has done within an hour: when somebody writes the old shape.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardHour {
    /// The begin of the hour, in milliseconds since 1970: that of the records' creation.
    pub start_ms: u64,
    /// Stream records seen. Those that come again after a failure count again.
    pub seen: u64,
    /// Items that the guard has updated.
    pub repaired: u64,
    /// Items that a live writer has set before the guard could.
    pub raced: u64,
    /// Items that were deleted before the guard could update them.
    pub vanished: u64,
    /// Items that could not be repaired.
    pub failed: u64,
    /// Up to [`HOUR_SAMPLES`] keys of items that were repaired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Key>,
}

impl GuardHour {
    /// Adds what was done at another time, sample keys aside if there are enough.
    pub fn add(&mut self, other: &GuardHour) {
        self.seen += other.seen;
        self.repaired += other.repaired;
        self.raced += other.raced;
        self.vanished += other.vanished;
        self.failed += other.failed;
        let room = HOUR_SAMPLES.saturating_sub(self.samples.len());
        self.samples
            .extend(other.samples.iter().take(room).cloned());
    }
}

/// An item that a guard could not repair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardFailed {
    /// The item's primary key.
    pub key: Key,
    /// Why it could not be repaired, with nothing of the item in it.
    #[serde(deserialize_with = "text::deserialize")]
    pub reason: String,
    /// When; milliseconds since 1970.
    pub at_ms: u64,
}

/// How far a guard in a process has come in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPosition {
    /// ShardId.
    pub shard: String,
    /// The ARN of the shard's stream: a stream that was switched on anew has other records, and on some endpoints the same shards.
    pub stream_arn: String,
    /// The generation of the process that stores this.
    pub generation: u64,
    /// The sequence number up to which every record is settled; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<String>,
    /// Whether the shard is closed and settled to its end.
    pub is_exhausted: bool,
    /// When this was stored; milliseconds since 1970.
    pub at_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{KeyAttribute, KeyType};

    fn guard() -> GuardRecord {
        let spec = crate::Request::from_json(r#"{"table":"stuff","set":{"a":1}}"#);
        GuardRecord {
            revision: 1,
            spec: spec.unwrap().spec,
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: None,
            },
            stream_arn: "arn:of:the:stream".into(),
            watcher: Watcher::Function,
            stack: None,
            mapping: None,
            generation: 1,
            change_generation: 1,
            since_ms: 1,
            off_ms: None,
            by: "somebody".into(),
            off_by: None,
            looked_ms: 1,
            proof: None,
            losses: Vec::new(),
        }
    }

    /// guarded: a trouble that each look finds anew moves the claim on with each, and takes no other loss's place.
    #[test]
    fn guarded_tells_other_losses_beside_one_that_comes_again_and_again() {
        let mut guard = guard();
        let loss = |hour: u64, kind, what: &str| Loss {
            at_ms: hour * HOUR_MS,
            kind,
            what: what.to_owned(),
        };
        guard.lose(loss(1, LossKind::Failed, "one item"));
        guard.lose(loss(1, LossKind::Failed, "another item"));
        guard.lose(loss(2, LossKind::Failed, "a third item"));
        for hour in 3..60 {
            guard.lose(loss(hour, LossKind::Off, "the mapping is Disabled"));
        }
        let told: Vec<&str> = guard.losses.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(
            told,
            ["another item", "a third item", "the mapping is Disabled"]
        );
        assert_eq!(guard.guarded_since_ms(), Some(59 * HOUR_MS + 1));
        // What is noted late takes no later time's place.
        guard.lose(loss(58, LossKind::Off, "the mapping is Disabled"));
        assert_eq!(guard.guarded_since_ms(), Some(59 * HOUR_MS + 1));
        // In other words each time there are never more than the latest.
        for hour in 60..100 {
            guard.lose(loss(hour, LossKind::Dropped, &format!("from {hour}")));
        }
        assert_eq!(guard.losses.len(), MAX_LOSSES);
        assert_eq!(guard.losses.last().unwrap().what, "from 99");
    }
}
