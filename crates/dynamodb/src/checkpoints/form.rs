//! How records lie in the checkpoint table: their keys, and their fields as attributes that can be read in the console.

use std::collections::BTreeMap;
use std::time::Duration;

use backfill_core::clock::now_ms;
pub(super) use backfill_core::records::places::{COPY, COUNT, PASS, RUN};
use backfill_core::records::{HELD_VERSION, OfRun, RunRecord, VERSION, place, places};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// Records outlive the last change to them by this long; then DynamoDB's TTL removes them.
const KEEP: Duration = Duration::from_secs(400 * 24 * 3600);

/// The attribute that counts the exhausted segments of a pass.
pub(super) const EXHAUSTED: &str = "exhausted";

/// A run of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRun {
    /// Its id.
    pub run_id: String,
    /// The table that it is a run of.
    pub table: String,
}

/// Runs of which the records were read.
#[derive(Debug, Default)]
pub struct FoundRuns {
    /// Those that could be read, the latest started first.
    pub runs: Vec<RunRecord>,
    /// What is wrong with the others.
    pub unreadable: Vec<Error>,
}

impl FoundRuns {
    /// Those that could be read; of the others the log has what is wrong with them.
    pub fn readable(self) -> Vec<RunRecord> {
        for error in &self.unreadable {
            tracing::warn!("a run is left out: {}", error.report());
        }
        self.runs
    }

    pub(super) fn keep(&mut self, read: Result<Option<RunRecord>>) {
        match read {
            Ok(run) => self.runs.extend(run),
            Err(error) => self.unreadable.push(error),
        }
    }

    pub(super) fn latest_first(mut self) -> FoundRuns {
        let started = |run: &RunRecord| std::cmp::Reverse(run.started_ms);
        self.runs.sort_by_key(started);
        self
    }
}

/// The records in one place whose names lie between two.
pub(super) struct Part {
    place: String,
    from: String,
    to: String,
}

impl Part {
    /// The condition of a Query for it; the values are [`Part::values`].
    pub(super) const CONDITION: &str = "run_id = :place AND #record BETWEEN :from AND :to";

    /// Those whose names begin like this.
    pub(super) fn of(place: String, prefix: &str) -> Part {
        Part::since(place, prefix, prefix.to_owned())
    }

    /// Those whose names begin like this, from one of them on.
    pub(super) fn since(place: String, prefix: &str, from: String) -> Part {
        // Behind every character that a name has.
        let to = format!("{prefix}~");
        Part { place, from, to }
    }

    /// What the condition asks for.
    pub(super) fn values(&self) -> Item {
        let Part { place, from, to } = self;
        let named = [("place", place), ("from", from), ("to", to)];
        values(named.map(|(name, text)| (name, Value::S(text.clone()))))
    }
}

/// Where the count note of a run lies: under a partition key of its own, so that a role can allow to write it and nothing else.
pub(super) fn count_place(run_id: &str) -> String {
    format!("{run_id}#count")
}

/// Where the copy under a shard lies.
pub(super) fn copy_place(run_id: &str, shard: u32) -> String {
    // Only runs of more than one shard have copies.
    place(run_id, 2, shard)
}

/// The attributes of a record of this run, wherever it lies.
pub(super) fn of_run(run_id: &str, mut attributes: Item) -> Item {
    attributes.insert("run_id".into(), Value::S(run_id.into()));
    attributes
}

/// The key of a record in a place.
pub(super) fn key(place: &str, record: &str) -> Key {
    Key(Item::from([
        (places::PLACE.into(), Value::S(place.into())),
        (places::NAME.into(), Value::S(record.into())),
    ]))
}

/// The pass that a sort key belongs to.
pub(super) fn pass_of(record: &str) -> Option<u32> {
    let (pass, _) = record.strip_prefix(PASS)?.split_once('#')?;
    pass.parse().ok()
}

pub(super) fn segment_key(pass: u32, segment: u32) -> String {
    format!("{}{segment:07}", segment_prefix(pass))
}

pub(super) fn segment_prefix(pass: u32) -> String {
    format!("{PASS}{pass:05}#segment#")
}

/// By a digest, since a key may be longer than a sort key's 1,024 bytes.
pub(super) fn rejected_key(pass: u32, key: &Key) -> String {
    format!("{}{}", rejected_prefix(pass), digest(key))
}

/// What stands for a key in the name of a record.
pub(super) fn digest(key: &Key) -> String {
    format!("{:x}", Sha256::digest(key.to_string()))
}

pub(super) fn rejected_prefix(pass: u32) -> String {
    format!("{PASS}{pass:05}#rejected#")
}

pub(super) fn history_key(pass: u32, start_ms: u64) -> String {
    format!("{}{:011}", history_prefix(pass), start_ms / 1000)
}

pub(super) fn history_prefix(pass: u32) -> String {
    format!("{PASS}{pass:05}#history#")
}

pub(super) fn sums_key(pass: u32, block: u32) -> String {
    format!("{}{block:07}", sums_prefix(pass))
}

pub(super) fn full_key(pass: u32) -> String {
    format!("{PASS}{pass:05}#full")
}

pub(super) fn sums_prefix(pass: u32) -> String {
    format!("{PASS}{pass:05}#sums#")
}

pub(super) fn exhausted_key(pass: u32) -> String {
    format!("{}{pass:05}", places::EXHAUSTED)
}

/// When a record that is written now expires.
pub(super) fn expires_at() -> Value {
    expires_after(KEEP)
}

/// When a record expires that is written now and kept for so long.
pub(super) fn expires_after(keep: Duration) -> Value {
    number(now_ms() / 1000 + keep.as_secs())
}

pub(super) fn number(n: impl ToString) -> Value {
    Value::N(n.to_string())
}

/// The names of attributes behind placeholders that are called like them: `#cursor` → `cursor`.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    names
        .into_iter()
        .map(|name| (format!("#{name}"), name.to_owned()))
        .collect()
}

/// Values by their placeholders without the colon: `cursor` → `:cursor`.
pub(super) fn values<'a>(values: impl IntoIterator<Item = (&'a str, Value)>) -> Item {
    values
        .into_iter()
        .map(|(name, value)| (format!(":{name}"), value))
        .collect()
}

/// Plain data as one attribute.
pub(super) fn to_attribute<T: Serialize>(data: &T) -> Value {
    json_to_value(serde_json::to_value(data).expect("records are plain data"))
}

/// A record as attributes, without its keys.
pub(super) fn to_attributes<T: Serialize>(record: &T) -> Item {
    match to_attribute(record) {
        Value::M(attributes) => attributes,
        _ => unreachable!("records are structs"),
    }
}

/// Reads a record of this table, of this layout version at most.
///
/// Errors: `Internal` naming the record, if this version has not written it.
// Everything that does not depend on the kind of record is elsewhere: there is a copy of this for each of them in the functions.
pub(super) fn read_record<T: DeserializeOwned>(
    table: &str,
    attributes: Item,
    latest: u32,
) -> Result<T> {
    let name = name_of_record(&attributes);
    let json = json_of_record(attributes, latest).map_err(|why| unreadable(table, &name, &why))?;
    serde_path_to_error::deserialize(json).map_err(|error| {
        let why = match error.path().to_string().as_str() {
            "." => error.inner().to_string(),
            field => format!("{field}: {}", error.inner()),
        };
        unreadable(table, &name, &why)
    })
}

/// Which record it is, for a person.
fn name_of_record(attributes: &Item) -> String {
    match (attributes.get("run_id"), attributes.get("record")) {
        (Some(Value::S(place)), Some(Value::S(record))) => {
            match place.strip_prefix(places::GUARDS) {
                Some(table) => format!("{record} of the guard of table {table}"),
                None => format!("{record} of run {place}"),
            }
        }
        _ => "without a name".into(),
    }
}

/// The fields of a record, or why it is none of this layout version at most.
fn json_of_record(attributes: Item, latest: u32) -> std::result::Result<Json, String> {
    if !(VERSION..=latest).any(|known| attributes.get("version") == Some(&number(known))) {
        return Err(match latest {
            VERSION => format!("expected version {VERSION}"),
            latest => format!("expected version {VERSION} to {latest}"),
        });
    }
    value_to_json(Value::M(attributes)).ok_or_else(|| "it holds a set or binary value".into())
}

fn unreadable(table: &str, name: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!(
            "checkpoint table {table}: record {name} was not written by this version of backfill: {why}"
        ),
    )
}

/// Reads a record that belongs to a run, and refuses a damaged one ([`OfRun::check`]).
pub(super) fn read_part<T: DeserializeOwned + OfRun>(
    table: &str,
    run: &RunRecord,
    attributes: Item,
) -> Result<T> {
    let record: T = read_record(table, attributes, VERSION)?;
    record
        .check(run)
        .map_err(|error| error.context(format!("checkpoint table {table}")))?;
    Ok(record)
}

/// Reads the record of a run, and refuses a damaged one ([`RunRecord::check`]).
pub(super) fn read_run(table: &str, attributes: Item) -> Result<RunRecord> {
    let run: RunRecord = read_record(table, attributes, HELD_VERSION)?;
    run.check()
        .map_err(|error| error.context(format!("checkpoint table {table}")))?;
    Ok(run)
}

fn json_to_value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null(true),
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => number(n),
        Json::String(s) => Value::S(s),
        Json::Array(list) => Value::L(list.into_iter().map(json_to_value).collect()),
        Json::Object(map) => Value::M(
            map.into_iter()
                .map(|(name, json)| (name, json_to_value(json)))
                .collect(),
        ),
    }
}

/// The reverse of [`json_to_value`]. `None` for a type that it does not write.
fn value_to_json(value: Value) -> Option<Json> {
    Some(match value {
        Value::Null(_) => Json::Null,
        Value::Bool(b) => Json::Bool(b),
        Value::N(n) => Json::Number(serde_json::from_str(&n).ok()?),
        Value::S(s) => Json::String(s),
        Value::L(list) => Json::Array(list.into_iter().map(value_to_json).collect::<Option<_>>()?),
        Value::M(map) => Json::Object(
            map.into_iter()
                .map(|(name, value)| Some((name, value_to_json(value)?)))
                .collect::<Option<_>>()?,
        ),
        Value::B(_) | Value::Ss(_) | Value::Ns(_) | Value::Bs(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use backfill_core::records::{BoundBy, Counters, Cursor, FoundPace, Latencies, SegmentRecord};
    use backfill_core::value::size::item_bytes;

    use super::*;

    /// A segment that has worked for hours, with long names and as many latencies as a segment can come to.
    fn segment(latency: Latencies) -> SegmentRecord {
        let text = |length| Value::S("x".repeat(length));
        SegmentRecord {
            run_id: "customer-orders-production-0b4b8a0e".into(),
            pass: 12,
            segment: 99_999,
            run_revision: 1_234,
            generation: 12_345,
            cursor: Cursor::After(Key(Item::from([
                ("customer_id".into(), text(36)),
                ("created_at".into(), text(24)),
            ]))),
            trial_passed: true,
            bound_by: BoundBy::Throttled,
            bound_else: None,
            throttled_by: Some(
                "ThrottlingException: throttled on index StatusDateIndex (IndexWriteKeyRangeThroughputExceeded)"
                    .into(),
            ),
            counters: Counters {
                scanned: 123_456_789,
                matched: 123_456_789,
                updated: 123_456_789,
                raced: 12_345,
                vanished: 12_345,
                rejected: 1_234,
                contended: 12_345,
                consumed_rcu: 123_456_789.5,
                consumed_wcu: 123_456_789.5,
                throttles: 123_456,
                worked_seconds: 123_456.789_012_3,
                checkpoints: 1_234_567,
            },
            latency,
            counted_ahead: 1_234,
            saved_ms: now_ms(),
            pace: Some(FoundPace {
                rate: 12_345.6,
                back: 0.123,
                at_ms: now_ms(),
            }),
        }
    }

    fn bytes(record: &SegmentRecord) -> u64 {
        let mut item = to_attributes(record);
        item.extend(
            key(
                &place(&record.run_id, 16, 15),
                &segment_key(record.pass, record.segment),
            )
            .0,
        );
        item.insert("version".into(), number(VERSION));
        item.insert("expires_at".into(), expires_at());
        item_bytes(&item)
    }

    /// Whatever record this table gets, by its name the core knows it for one, and refuses to migrate the table.
    #[test]
    fn the_name_of_every_record_is_known_for_one() {
        let key_of_item = Key(Item::from([("id".into(), Value::S("a".into()))]));
        let named = [
            RUN.to_owned(),
            COPY.to_owned(),
            COUNT.to_owned(),
            segment_key(1, 12),
            rejected_key(1, &key_of_item),
            history_key(1, 1_800_000_000_000),
            exhausted_key(1),
            sums_key(1, 12),
            full_key(1),
            format!("{}stuff-1", places::LISTED),
            places::GUARD.to_owned(),
            format!("{}01800000000", places::HOUR),
            format!("{}{}", places::FAILED, digest(&key_of_item)),
            format!("{}shardId-00000001414576573621-f55eea83", places::SHARD),
        ];
        for name in &named {
            let is_whole = places::NAMES.contains(&name.as_str());
            let is_begun = places::PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix));
            assert!(is_whole || is_begun, "{name}");
        }
    }

    /// A checkpoint costs one write unit, which is for 1,024 bytes: latencies from a millisecond to ten seconds, five million of
    /// them, are no reason for a second one.
    #[test]
    fn a_checkpoint_with_latencies_costs_one_unit() {
        let without = bytes(&segment(Latencies::default()));
        // A quarter of what is left takes longer than the rest, and so on: a tail as wide as one can be.
        let buckets = |mut left: u64| {
            let mut counts = Vec::new();
            while left > 0 {
                let some = (left * 3).div_ceil(4);
                counts.push(some.to_string());
                left -= some;
            }
            format!("15:{} 50:1", counts.join(","))
        };
        let latency = serde_json::json!({"writes": buckets(4_900_000), "reads": buckets(123_456)});
        let with = bytes(&segment(serde_json::from_value(latency).unwrap()));
        assert!(with > without + 100, "{without} and then {with}");
        assert!(with <= 1_024, "{without} and then {with}");
    }
}
