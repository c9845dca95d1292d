//! What is durable of guards: under one key for each table, so that a role can allow that and nothing else.
//!
//! | `run_id`       | `record`              | holds |
//! |---|---|---|
//! | `#guard:stuff` | `guard`               | a [`GuardRecord`], attribute by attribute |
//! | `#guard:stuff` | `hour#01800000000`    | a [`GuardHour`], by its begin in seconds since 1970 |
//! | `#guard:stuff` | `failed#<digest>`     | a [`GuardFailed`] item, by the digest of its key |
//! | `#guard:stuff` | `shard#<shard id>`    | a [`ShardPosition`] |

use std::ops::ControlFlow;
use std::time::Duration;

use backfill_core::ports::guard::{GuardReader, GuardStore};
use backfill_core::records::places::{FAILED, GUARD, HOUR, SHARD, guard_place};
use backfill_core::records::{
    GuardFailed, GuardHour, GuardRecord, HOUR_MS, HOUR_SAMPLES, ShardPosition, VERSION,
};
use backfill_core::{Error, ErrorKind, Item, Result, Value};

use super::CheckpointTable;
use super::form::{
    Part, digest, expires_after, expires_at, key, names, number, read_record, to_attribute,
    to_attributes, values,
};
use crate::calls::{ALL_OLD, CONDITION_FAILED, ConditionFailed, PutItem, Queried, UpdateItem};
use crate::send::{ProvideErrorMetadata as _, details};

/// How long the counts of an hour are kept: they tell when an old writer wrote.
const KEEP_HOUR: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long the position of a shard is kept. A stream keeps its records for 24 hours (developer guide, Change data capture for
/// DynamoDB Streams), so that an older position leads nowhere; and a table has a new shard for each partition every few hours.
const KEEP_POSITION: Duration = Duration::from_secs(7 * 24 * 3600);

impl GuardReader for CheckpointTable {
    async fn guard(&self, table: &str) -> Result<Option<GuardRecord>> {
        let record = self.record(&key(&guard_place(table), GUARD), true).await?;
        record
            .map(|attributes| self.read_guard(table, attributes))
            .transpose()
    }

    async fn guard_hours(&self, table: &str, from_ms: u64) -> Result<Vec<GuardHour>> {
        let part = Part::since(guard_place(table), HOUR, hour_name(from_ms));
        let items = self.items(&part).await?.into_iter();
        let read = |item| {
            let mut hour: GuardHour = read_record(&self.name, item, VERSION)?;
            hour.samples.truncate(HOUR_SAMPLES);
            Ok(hour)
        };
        items.map(read).collect()
    }

    async fn guard_failed(&self, table: &str, from_ms: u64, most: u32) -> Result<Vec<GuardFailed>> {
        let mut found = Vec::new();
        let mut keep = |page: Queried| {
            for item in page.items.unwrap_or_default() {
                let failed: GuardFailed = read_record(&self.name, item, VERSION)?;
                if failed.at_ms >= from_ms {
                    found.push(failed);
                }
            }
            Ok(match found.len() < most as usize {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        };
        let part = Part::of(guard_place(table), FAILED);
        self.pages(&part, None, None, &mut keep).await?;
        found.truncate(most as usize);
        Ok(found)
    }

    async fn positions(&self, table: &str) -> Result<Vec<ShardPosition>> {
        let part = Part::of(guard_place(table), SHARD);
        let items = self.items(&part).await?.into_iter();
        items
            .map(|item| read_record(&self.name, item, VERSION))
            .collect()
    }
}

impl GuardStore for CheckpointTable {
    async fn save_guard(&self, record: &GuardRecord) -> Result<()> {
        let mut item = to_attributes(record);
        item.extend(key(&guard_place(record.table()), GUARD).0);
        item.insert("version".into(), number(VERSION));
        item.insert("expires_at".into(), expires_at());
        let (condition, previous) = match record.revision {
            1 => ("attribute_not_exists(run_id)", Item::new()),
            revision => (
                "revision = :previous",
                values([("previous", number(revision.saturating_sub(1)))]),
            ),
        };
        let put = PutItem {
            table_name: &self.name,
            item: &item,
            condition_expression: condition,
            expression_attribute_values: Some(&previous),
            return_values_on_condition_check_failure: ALL_OLD,
        };
        let Err(error) = self.sender.call(&put).await else {
            return Ok(());
        };
        if error.code() != Some(CONDITION_FAILED) {
            return Err(self.failed("writing", error));
        }
        let stored = details::<ConditionFailed<Item>>(&error).and_then(|failed| failed.item);
        // Not every endpoint brings along what was there.
        let stored = match stored {
            Some(attributes) => Some(self.read_guard(record.table(), attributes)?),
            None => self.guard(record.table()).await?,
        };
        let table = record.table();
        match stored {
            // Our own write, whose answer was lost.
            Some(stored) if stored == *record => Ok(()),
            Some(stored) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the guard of table {table} was changed meanwhile, last switched by {}; see its status and try again",
                    stored.last_by()
                ),
            )),
            None => Err(Error::new(
                ErrorKind::Conflict,
                format!("the record of the guard of table {table} was removed meanwhile"),
            )),
        }
    }

    async fn add_to_guard_hour(&self, table: &str, done: &GuardHour) -> Result<()> {
        if done.samples.is_empty() {
            return self.add_hour(table, done, false).await;
        }
        match self.add_hour(table, done, true).await {
            // There are samples enough, and nothing was added.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.add_hour(table, done, false).await
            }
            added => added,
        }
    }

    async fn note_guard_failed(&self, table: &str, failed: &GuardFailed) -> Result<()> {
        let mut attributes = to_attributes(failed);
        attributes.insert("version".into(), number(VERSION));
        attributes.insert("expires_at".into(), expires_at());
        let name = format!("{FAILED}{}", digest(&failed.key));
        self.set(&key(&guard_place(table), &name), &attributes)
            .await
    }

    async fn save_position(&self, table: &str, position: &ShardPosition) -> Result<()> {
        let mut attributes = to_attributes(position);
        // What is none now may have been there before.
        attributes.insert("settled".into(), to_attribute(&position.settled));
        attributes.insert("version".into(), number(VERSION));
        attributes.insert("expires_at".into(), expires_after(KEEP_POSITION));
        let set = attributes.keys().map(|name| format!("#{name} = :{name}"));
        let set = format!("SET {}", set.collect::<Vec<_>>().join(", "));
        let name = format!("{SHARD}{}", position.shard);
        let key = key(&guard_place(table), &name);
        let update = UpdateItem {
            condition_expression: Some(
                "attribute_not_exists(#generation) OR #generation <= :generation",
            ),
            expression_attribute_names: Some(&names(attributes.keys().map(String::as_str))),
            expression_attribute_values: Some(&values(
                attributes
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone())),
            )),
            ..self.update(&key, &set)
        };
        match self.sender.call(&update).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(CONDITION_FAILED) => Err(Error::new(
                ErrorKind::Fenced,
                format!(
                    "another process watches the stream of table {table} since; this one stops"
                ),
            )),
            Err(error) => Err(self.failed("writing", error)),
        }
    }
}

impl CheckpointTable {
    /// Reads the record of the guard on a table, and refuses one of another table.
    fn read_guard(&self, table: &str, attributes: Item) -> Result<GuardRecord> {
        let guard: GuardRecord = read_record(&self.name, attributes, VERSION)?;
        if guard.table() == table {
            return Ok(guard);
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!(
                "checkpoint table {}: the record of the guard of table {table} is damaged: it is about table {}",
                self.name,
                guard.table()
            ),
        ))
    }

    /// Adds counts to an hour, and sample keys if that is asked for and there is room.
    ///
    /// Errors: `Conflict` if there is no room for sample keys: nothing is added then.
    async fn add_hour(&self, table: &str, done: &GuardHour, samples: bool) -> Result<()> {
        let counts = [
            ("seen", done.seen),
            ("repaired", done.repaired),
            ("raced", done.raced),
            ("vanished", done.vanished),
            ("failed", done.failed),
        ];
        let add = counts
            .map(|(name, _)| format!("#{name} :{name}"))
            .join(", ");
        let mut set =
            "#start_ms = :start_ms, #version = :version, #expires_at = :expires_at".to_owned();
        let mut named = vec!["start_ms", "version", "expires_at"];
        named.extend(counts.map(|(name, _)| name));
        let mut valued = vec![
            ("start_ms", number(done.start_ms)),
            ("version", number(VERSION)),
            ("expires_at", expires_after(KEEP_HOUR)),
        ];
        valued.extend(counts.map(|(name, count)| (name, number(count))));
        // The last place that is counted: what others add at the same moment may stand behind it, and is not read.
        let full = format!("attribute_not_exists(#samples[{}])", HOUR_SAMPLES - 1);
        if samples {
            set.push_str(", #samples = list_append(if_not_exists(#samples, :none), :samples)");
            named.push("samples");
            valued.push(("none", Value::L(Vec::new())));
            valued.push(("samples", to_attribute(&done.samples)));
        }
        let expression = format!("ADD {add} SET {set}");
        let key = key(&guard_place(table), &hour_name(done.start_ms));
        let update = UpdateItem {
            condition_expression: samples.then_some(full.as_str()),
            expression_attribute_names: Some(&names(named)),
            expression_attribute_values: Some(&values(valued)),
            ..self.update(&key, &expression)
        };
        match self.sender.call(&update).await {
            Err(error) if error.code() == Some(CONDITION_FAILED) => {
                Err(Error::new(ErrorKind::Conflict, "there are samples enough"))
            }
            Err(error) => Err(self.failed("writing", error)),
            Ok(_) => Ok(()),
        }
    }
}

/// The name of the counts of the hour of this time, in milliseconds since 1970.
fn hour_name(ms: u64) -> String {
    format!("{HOUR}{:011}", (ms - ms % HOUR_MS) / 1000)
}
