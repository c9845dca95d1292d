//! The record of a run: what it is, how it stands, who holds it, and what was changed. Its state changes only as
//! [`RunStatus::may_become`] allows, and each change is noted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::SharedChange;
use crate::clock::now_ms;
use crate::records::{Different, Owner};
use crate::request::{RequestedSettings, Settings};
use crate::table::{KeySchema, average_bytes};
use crate::{Error, ErrorKind, Key, Request, Result, Spec, text};

/// Layout version of records; a reader refuses any that it does not know. A field that it does not know is ignored, so that an
/// older version can read the records of a newer one after a deployment was taken back. So a new field whose loss would do
/// harm comes with a new version; any other needs a default, for older records.
pub const VERSION: u32 = 1;

/// Layout version of the record of a run whose other records are spread over shards. Whoever knows one key alone would take
/// such a run for one that nobody has begun.
pub const SPREAD_VERSION: u32 = 2;

/// Layout version of the record of a run that something holds back or ends before its time, spread or not. Whoever does not
/// know what that is would go on in spite of it.
pub const HELD_VERSION: u32 = 3;

/// The layout version of the record of a run with so many shards and these settings.
pub(crate) fn layout_version(shards: u32, settings: &Settings) -> u32 {
    if settings.is_held_back() {
        HELD_VERSION
    } else if shards > 1 {
        SPREAD_VERSION
    } else {
        VERSION
    }
}

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Its owner works for it, or died without a word.
    Running,
    /// A strongly consistent count of `P` came to 0.
    Succeeded,
    /// The passes are used up and items remain.
    Incomplete,
    /// It was stopped at a checkpoint: by the operator, at the end of its canary, or since something held it for too long. It can be
    /// resumed.
    Paused,
    /// The operator gave it up, be it by a command or by aborting its execution; it can be resumed.
    Cancelled,
    /// An error ended it; it can be resumed.
    Failed,
}

impl RunStatus {
    /// Each state, and those that may follow on it.
    const TRANSITIONS: [(RunStatus, &[RunStatus]); 6] = [
        (
            RunStatus::Running,
            &[
                // Taken over.
                RunStatus::Running,
                RunStatus::Succeeded,
                RunStatus::Incomplete,
                RunStatus::Paused,
                RunStatus::Cancelled,
                RunStatus::Failed,
            ],
        ),
        // A new pass.
        (RunStatus::Succeeded, &[RunStatus::Running]),
        (RunStatus::Incomplete, &[RunStatus::Running]),
        (
            RunStatus::Paused,
            &[RunStatus::Running, RunStatus::Cancelled],
        ),
        (RunStatus::Cancelled, &[RunStatus::Running]),
        (
            RunStatus::Failed,
            &[RunStatus::Running, RunStatus::Cancelled],
        ),
    ];

    /// Whether a run in this state may come into the state `next`.
    pub fn may_become(self, next: RunStatus) -> bool {
        let of_this = RunStatus::TRANSITIONS
            .iter()
            .find(|(from, _)| *from == self);
        of_this.is_some_and(|(_, to)| to.contains(&next))
    }

    /// True if it was stopped before its end, and not by an error.
    pub fn is_stopped(self) -> bool {
        matches!(self, RunStatus::Paused | RunStatus::Cancelled)
    }

    /// The word in JSON and for people.
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Incomplete => "incomplete",
            RunStatus::Paused => "paused",
            RunStatus::Cancelled => "cancelled",
            RunStatus::Failed => "failed",
        }
    }

    /// True if every pass that was granted is done, so that the next start begins a new pass. Otherwise the next start
    /// resumes.
    pub fn is_finished(self) -> bool {
        matches!(self, RunStatus::Succeeded | RunStatus::Incomplete)
    }
}

/// Most events that a run record holds, the latest ones: every worker reads the record every few seconds, so it stays small.
pub const MAX_EVENTS: usize = 30;

/// A change that somebody made to a run: `old -> new`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was made; milliseconds since 1970.
    pub at_ms: u64,
    /// An owner, or the person who gave the command.
    #[serde(deserialize_with = "text::deserialize")]
    pub by: String,
    /// What was changed: `status`, `owner`, `pass`, or the name of a setting.
    #[serde(deserialize_with = "text::deserialize")]
    pub what: String,
    /// What it was, as text.
    #[serde(deserialize_with = "text::deserialize")]
    pub old: String,
    /// What it is since, as text.
    #[serde(deserialize_with = "text::deserialize")]
    pub new: String,
}

impl Event {
    /// The same, with owners as people read them ([`Owner::brief`]).
    pub fn brief(&self) -> Event {
        let told = |text: &str| match self.what.as_str() {
            "owner" => Owner::brief_of(text),
            _ => text.to_owned(),
        };
        Event {
            by: Owner::brief_of(&self.by),
            old: told(&self.old),
            new: told(&self.new),
            ..self.clone()
        }
    }
}

/// The last complete verification of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Items for which `P` held, counted with strongly consistent reads.
    pub remaining: u64,
    /// Items that were counted.
    pub scanned: u64,
    /// Up to ten keys of items that remain.
    pub samples: Vec<Key>,
    /// Items for which `P` does not hold and that lack this attribute, which the update sets, by eventually consistent reads. It
    /// holds nothing if `P` leaves out none of them, or if they were not counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacking: BTreeMap<String, u64>,
    /// Items that have another value than their sources give now, by the same reads; `None` if they were not counted, as of a
    /// change that computes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub different: Option<Different>,
    /// When the count began, or earlier: what is written later was not counted for certain. Milliseconds since 1970; `None` if an
    /// earlier version has counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// When the count was complete; milliseconds since 1970.
    pub at_ms: u64,
}

impl Proof {
    /// When the count had begun at the latest; milliseconds since 1970.
    pub fn began_by_ms(&self) -> u64 {
        self.began_ms.unwrap_or(self.at_ms)
    }

    /// The count alone, without what it has found.
    pub fn brief(&self) -> Proof {
        Proof {
            samples: Vec::new(),
            lacking: BTreeMap::new(),
            different: None,
            ..self.clone()
        }
    }

    /// The one of two counts that began later: it knows of more.
    pub fn later(one: Option<Proof>, other: Option<Proof>) -> Option<Proof> {
        let both = one.into_iter().chain(other);
        both.max_by_key(|proof| (proof.began_by_ms(), proof.at_ms))
    }
}

/// Why a run that goes on is held for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What holds it, for a person.
    #[serde(deserialize_with = "text::deserialize")]
    pub why: String,
    /// Since when; milliseconds since 1970.
    pub since_ms: u64,
}

impl Hold {
    /// What an event about holds is called.
    pub(crate) const EVENT: &str = "held";
    /// What such an event calls a run that is not held.
    pub(crate) const NONE: &str = "no";
}

/// Which passes of a run have sums, and how their segments lie in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummedPasses {
    /// The first of them.
    pub from: u32,
    /// Lanes, as the run was cut into when that pass began: segments of a block are those that lanes have in the same row, so that
    /// blocks become full one after the other.
    pub lanes: u32,
}

impl SummedPasses {
    /// Those from this one on of a run with so many shards, in which so many segments are worked on at once; `None` if it is so
    /// small that its records can be read.
    pub(crate) fn from(pass: u32, shards: u32, lanes: u32) -> Option<SummedPasses> {
        (shards > 1).then_some(SummedPasses { from: pass, lanes })
    }
}

/// The record of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Layout version of the record: [`VERSION`]; [`SPREAD_VERSION`] if it has `shards`; [`HELD_VERSION`] if its settings
    /// hold it back.
    pub version: u32,
    /// The key of the record (see [`crate::request::check_run_id`]).
    pub run_id: String,
    /// Partition keys over which the records of its segments are spread; 1 is the run id alone. It is chosen when the run
    /// begins, and can only grow, when the run starts over: nobody may read a copy of the record that is not kept any more.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shards: u32,
    /// Which passes are summed up; `None` if the current one is not. A version that knows no sums adds none: as soon as it has
    /// changed the record this is gone, and all records of segments are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<SummedPasses>,
    /// What the run does to its table. Stored as JSON text: written out as attributes, a deeply nested value would pass
    /// DynamoDB's 32 levels.
    #[serde(with = "json_text")]
    pub spec: Spec,
    /// [`Spec::fingerprint`] of `spec`.
    pub fingerprint: String,
    /// The primary key of the table.
    pub keys: KeySchema,
    /// [`TableDescription::identity`](crate::table::TableDescription::identity): cursors mean nothing in another table of
    /// the same name.
    pub table_identity: String,
    /// Items of the table by DynamoDB's own estimate when the execution started; for progress only.
    pub estimated_items: u64,
    /// Their bytes by the same estimate, or 0 if there is none: what an item may cost to read, before one was read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub estimated_bytes: u64,
    /// The settings, all chosen.
    pub settings: Settings,
    /// How the run stands.
    pub status: RunStatus,
    /// Why the run is in this state, for a person.
    #[serde(deserialize_with = "text::deserialize")]
    pub message: String,
    /// The name of the error if the run failed.
    #[serde(
        default,
        deserialize_with = "text::deserialize_some",
        skip_serializing_if = "Option::is_none"
    )]
    pub error: Option<String>,
    /// The pass in which the run last started over, from 1; earlier ones do not count.
    pub first_pass: u32,
    /// The current pass, from 1.
    pub pass: u32,
    /// The pass after which the current execution gives up.
    pub last_pass: u32,
    /// Who runs it.
    pub owner: Owner,
    /// When the current or last execution started; milliseconds since 1970.
    pub started_ms: u64,
    /// Executions since the run started over, the current or last one among them.
    #[serde(default = "one")]
    pub sessions: u32,
    /// Seconds of those before the current or last one. Of one that died without a word they end with its last checkpoint.
    #[serde(default)]
    pub earlier_seconds: f64,
    /// When it ended; milliseconds since 1970. `None` while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// The last complete verification since the run started over, perhaps of an earlier pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// When a count last came to 0, since the run started over; milliseconds since 1970. It outlasts `proof`, which a new pass takes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_ms: Option<u64>,
    /// The last complete count, whatever became of the run since, without keys: the claim of a guard goes by it. It outlasts `proof` as
    /// well; `None` if there was none, or if an earlier version has counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Proof>,
    /// What holds the run for now; `None` if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// How often the current execution of AWS has looked whether a hold was over.
    #[serde(default, skip_serializing_if = "is_zero_32")]
    pub hold_looks: u32,
    /// How many items are updated since `first_pass` when the run pauses; `None` if it does not pause by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_at: Option<u64>,
    /// Read capacity units of all verifications since `first_pass`.
    pub verification_rcu: f64,
    /// Seconds of all verifications since `first_pass`.
    #[serde(default)]
    pub verification_seconds: f64,
    /// What was changed, by whom, the latest last; at most [`MAX_EVENTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Grows with each change; a change is accepted only on top of the revision it was made from.
    pub revision: u64,
}

impl RunRecord {
    /// Seconds of the current or last execution, until now if it goes on.
    pub fn session_seconds(&self) -> f64 {
        let end = self.ended_ms.unwrap_or_else(now_ms);
        end.saturating_sub(self.started_ms) as f64 / 1000.0
    }

    /// Whether the table with this identity is another one than the run worked on; `None` if that cannot be told, since one of
    /// them has no identity.
    pub fn is_of_another(&self, identity: &str) -> Option<bool> {
        let own = &self.table_identity;
        (!own.is_empty() && !identity.is_empty()).then(|| own != identity)
    }

    /// The last complete count, as far as the record says so, without keys.
    pub fn last_count(&self) -> Option<Proof> {
        Proof::later(self.counted.clone(), self.proof.as_ref().map(Proof::brief))
    }

    /// When a count last came to 0, as far as the record says so; milliseconds since 1970. Records of earlier versions have it in
    /// their proof alone.
    pub fn last_proven_ms(&self) -> Option<u64> {
        let proof = self.proof.as_ref().filter(|proof| proof.remaining == 0);
        proof.map(|proof| proof.at_ms).max(self.proven_ms)
    }

    /// Bytes of an item on average, if DynamoDB has counted the table.
    pub fn item_bytes(&self) -> Option<f64> {
        average_bytes(self.estimated_bytes, self.estimated_items)
    }

    /// Brings the run into another state, in the name of `by`.
    ///
    /// Errors: `Internal` if [`RunStatus::may_become`] knows no such way.
    pub fn change_status(
        &mut self,
        status: RunStatus,
        by: &(impl ToString + ?Sized),
    ) -> Result<()> {
        if !self.status.may_become(status) {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "run {} has the state {}, and cannot become {}",
                    self.run_id,
                    self.status.name(),
                    status.name()
                ),
            ));
        }
        self.note(by, "status", self.status.name(), status.name());
        self.status = status;
        Ok(())
    }

    /// Notes that `by` changed `what` from `old` to `new`, unless they are equal. The oldest event makes room.
    pub fn note(
        &mut self,
        by: &(impl ToString + ?Sized),
        what: &str,
        old: impl ToString,
        new: impl ToString,
    ) {
        let (old, new) = (old.to_string(), new.to_string());
        if old == new {
            return;
        }
        self.events.push(Event {
            at_ms: now_ms(),
            by: by.to_string(),
            what: what.into(),
            old,
            new,
        });
        let too_many = self.events.len().saturating_sub(MAX_EVENTS);
        self.events.drain(..too_many);
    }

    /// True if it holds as many events as it can, so that there may have been earlier ones.
    pub fn is_full_of_events(&self) -> bool {
        self.events.len() >= MAX_EVENTS
    }

    /// The request that goes on with this run as it was.
    pub fn request(&self) -> Request {
        Request {
            spec: self.spec.clone(),
            settings: RequestedSettings {
                run_id: Some(self.run_id.clone()),
                ..self.settings.request()
            },
        }
    }

    /// What the run does to the items of its table.
    ///
    /// Errors: `InvalidInput`, naming `code`, if code makes it that this program does not have, or not in the version of the run.
    pub fn change(&self) -> Result<SharedChange> {
        self.spec.require_code()?;
        Ok(self.spec.change(&self.keys))
    }

    /// Number of passes begun since the run last started over.
    pub fn passes(&self) -> u32 {
        // A damaged record may say anything.
        self.pass.saturating_sub(self.first_pass).saturating_add(1)
    }
}

fn one() -> u32 {
    1
}

fn is_one(shards: &u32) -> bool {
    *shards == 1
}

fn is_zero_32(looks: &u32) -> bool {
    *looks == 0
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// A field stored as JSON text.
mod json_text {
    use serde::de::{DeserializeOwned, Error as _};
    use serde::ser::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(value).map_err(S::Error::custom)?)
    }

    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::ranges::{MOST_PASSES_OF_RUN, MOST_SHARDS};
    use crate::table::MAX_SEGMENTS;

    #[test]
    fn a_damaged_record_can_be_looked_at() {
        let json = r#"{"version":1,"run_id":"r","spec":"{\"table\":\"t\",\"pending\":\"p\",\"update\":\"u\"}",
            "fingerprint":"","keys":{"hash":{"name":"id","type":"S"}},"table_identity":"","estimated_items":0,
            "settings":{"total_segments":1,"max_concurrency":1,"time_box_seconds":1,"max_passes":1},"status":"running",
            "message":"","first_pass":2,"pass":3,"last_pass":3,"owner":"o","started_ms":0,"verification_rcu":0,"revision":1}"#;
        let mut record: RunRecord = serde_json::from_str(json).unwrap();
        assert_eq!(record.passes(), 2);
        record.pass = 1;
        assert_eq!(record.passes(), 1);
        (record.first_pass, record.pass) = (0, u32::MAX);
        assert_eq!(record.passes(), u32::MAX);
    }

    #[test]
    fn a_record_that_no_run_can_have_come_to_is_refused() {
        let json = r#"{"version":1,"run_id":"r","spec":"{\"table\":\"t\",\"pending\":\"p\",\"update\":\"u\"}",
            "fingerprint":"","keys":{"hash":{"name":"id","type":"S"}},"table_identity":"","estimated_items":0,
            "settings":{"total_segments":1,"max_concurrency":1,"time_box_seconds":1,"max_passes":1},"status":"running",
            "message":"","first_pass":2,"pass":3,"last_pass":3,"owner":"o","started_ms":0,"verification_rcu":0,"revision":1}"#;
        let record: RunRecord = serde_json::from_str(json).unwrap();
        record.check().unwrap();
        let refused = |change: fn(&mut RunRecord), field: &str| {
            let mut damaged = record.clone();
            change(&mut damaged);
            let error = damaged.check().unwrap_err();
            let expected = format!("the record of run r is damaged: {field}: ");
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.to_string().starts_with(&expected), "{error}");
        };
        refused(|run| run.pass = u32::MAX, "pass");
        refused(|run| run.pass = 0, "pass");
        refused(|run| run.pass = 1, "first_pass");
        refused(|run| run.first_pass = 0, "first_pass");
        refused(
            |run| run.pass = run.first_pass + MOST_PASSES_OF_RUN,
            "first_pass",
        );
        refused(|run| run.shards = 0, "shards");
        refused(|run| run.shards = MOST_SHARDS + 1, "shards");
        refused(
            |run| run.settings.total_segments = 0,
            "settings.total_segments",
        );
        refused(
            |run| run.settings.total_segments = MAX_SEGMENTS + 1,
            "settings.total_segments",
        );
        refused(
            |run| run.settings.max_passes = u32::MAX,
            "settings.max_passes",
        );
        refused(
            |run| run.settings.time_box_seconds = u64::MAX,
            "settings.time_box_seconds",
        );
        refused(
            |run| run.settings.time_box_seconds = 0,
            "settings.time_box_seconds",
        );
        refused(
            |run| run.settings.max_concurrency = 0,
            "settings.max_concurrency",
        );
        refused(|run| run.settings.max_wcu = Some(0), "settings.max_wcu");
        refused(|run| run.settings.max_rcu = Some(0), "settings.max_rcu");
        refused(
            |run| run.settings.only_segments = vec![1],
            "settings.only_segments",
        );
        refused(|run| run.last_pass = u32::MAX, "last_pass");
        refused(|run| run.revision = u64::MAX, "revision");
        refused(|run| run.verification_rcu = -1.0, "verification_rcu");
        refused(|run| run.earlier_seconds = f64::INFINITY, "earlier_seconds");
        let mut many = record.clone();
        many.pass = many.first_pass + MOST_PASSES_OF_RUN - 1;
        many.check().unwrap();
    }
}
