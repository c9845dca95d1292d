//! The checkpoint table: run records and segment records as items.
//!
//! | `run_id` (hash, S) | `record` (range, S)             | holds |
//! |---|---|---|
//! | the run            | `run`                           | a [`RunRecord`], attribute by attribute |
//! | its place          | `pass#00001#segment#0000012`    | a [`SegmentRecord`] |
//! | its place          | `pass#00001#rejected#<digest>`  | a [`Rejected`] item, by the digest of its key |
//! | its place          | `pass#00001#history#01800000000` | a [`HistoryBucket`] of its history, by its begin in seconds since 1970 |
//! | `stuff-1#16` to `stuff-1#31` | `pass#00001#sums#0000003` | of a large run: what exhausted segments of a block come to (`sums.rs`) |
//! | `stuff-1#16`       | `pass#00001#full`               | of a large run: how many blocks are full (`sums.rs`) |
//! | its place, or beside the sums | `exhausted#00001`    | how many segments of the pass are exhausted |
//! | `#runs`            | `run#stuff-1`                   | the table of a run: one of the list of runs (`list.rs`) |
//! | `stuff-1#count`    | `count`                         | a [`CountNote`]: how far the verification has come. The one key to which the verifier may write |
//! | `#guard:stuff`     | `guard`, `hour#…`, `failed#…`, `shard#…` | the guard on a table, and what it has done (`guard.rs`) |
//! | each place         | `copy`                          | of a large run: a copy of the run record, or the mark of one, which has a `revision` and nothing else |
//!
//! The place of what belongs to a segment is the run, `stuff-1`, or a shard of it, `stuff-1#07` ([`RunRecord::place_of`]).
//!
//! All carry `expires_at` (seconds since 1970), the table's TTL attribute.

mod form;
mod guard;
mod list;
mod sums;
mod writes;

pub use self::form::{FoundRuns, ListedRun};

use std::ops::ControlFlow;
use std::time::Duration;

use backfill_core::pace::retry::{Until, retry};
use backfill_core::ports::CheckpointReader;
use backfill_core::records::{
    BlockSum, CountNote, FullBlocks, HistoryBucket, OfRun, Rejected, RunRecord, SegmentRecord,
    VERSION, is_key_of_records, place,
};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::calls::{
    CreateTable, DescribeTable, Description, GetItem, Queried, Query, UpdateTimeToLive,
};
use crate::connection::Connection;
use crate::failure::failure;
use crate::onward::Onward;
use crate::send::{Call, ProvideErrorMetadata as _, SdkError, Sender};
use form::{
    COPY, COUNT, EXHAUSTED, PASS, Part, RUN, copy_place, count_place, exhausted_key, history_key,
    history_prefix, key, names, of_run, pass_of, read_part, read_record, read_run, rejected_prefix,
    segment_key, segment_prefix,
};

/// How long a newly created checkpoint table may take to become ACTIVE.
const CREATE_PATIENCE: Duration = Duration::from_secs(120);

/// The durable records, in one DynamoDB table.
#[derive(Debug, Clone)]
pub struct CheckpointTable {
    sender: Sender,
    /// Where the table is, for messages.
    place: String,
    name: String,
}

impl CheckpointTable {
    /// The table called `name`; nothing is called yet.
    pub fn new(connection: &Connection, name: impl Into<String>) -> Self {
        CheckpointTable {
            sender: Sender::of_records(connection),
            place: connection.place().to_owned(),
            name: name.into(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates the table, on demand and with TTL, if it is missing; waits until it serves reads and writes, as it does while it
    /// is being changed, too.
    ///
    /// Errors: `InvalidInput` if there is a table of this name with other keys; `Unavailable` if it does not serve after two minutes;
    /// those of DescribeTable and CreateTable.
    pub async fn create_if_missing(&self) -> Result<()> {
        retry(&Until::after(CREATE_PATIENCE), || self.try_to_create()).await
    }

    async fn try_to_create(&self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + CREATE_PATIENCE;
        let describe = DescribeTable {
            table_name: &self.name,
        };
        let mut created = false;
        loop {
            match self.sender.call(&describe).await {
                Ok(described) => {
                    self.refuse_other_keys(&described.table)?;
                    let status = described.table.table_status.as_deref();
                    if matches!(status, Some("ACTIVE" | "UPDATING")) {
                        break;
                    }
                }
                Err(error) if error.code() == Some("ResourceNotFoundException") => {
                    if !created {
                        self.create().await?;
                        created = true;
                        continue;
                    }
                }
                Err(error) => return Err(self.failed("describing", error)),
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("checkpoint table {} does not become ACTIVE", self.name),
                ));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if created {
            let enable = UpdateTimeToLive {
                table_name: &self.name,
                time_to_live_specification: &json!({"AttributeName": "expires_at", "Enabled": true}),
            };
            if let Err(error) = self.call("enabling TTL on", &enable).await {
                // Records that never expire do no harm.
                tracing::warn!(
                    error = error.report(),
                    "the records of runs will not expire"
                );
            }
        }
        Ok(())
    }

    /// Refuses a table that can hold no records.
    fn refuse_other_keys(&self, table: &Description) -> Result<()> {
        let keys = table.keys(&self.name)?;
        match is_key_of_records(&keys) {
            true => Ok(()),
            false => Err(self.wrong_keys(&format!(
                "its key is {}",
                keys.names().collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    fn wrong_keys(&self, why: &str) -> Error {
        Error::invalid(
            "checkpoint-table",
            format!(
                "{} {} is no checkpoint table: {why}, and not run_id and record, both strings; name another one, which is created \
                 if it is missing",
                self.name, self.place
            ),
        )
    }

    async fn create(&self) -> Result<()> {
        let definition = json!({
            "TableName": self.name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "run_id", "AttributeType": "S"},
                {"AttributeName": "record", "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "run_id", "KeyType": "HASH"},
                {"AttributeName": "record", "KeyType": "RANGE"},
            ],
        });
        match self.sender.call(&CreateTable(&definition)).await {
            Ok(_) => {
                tracing::info!(table = self.name, "created the checkpoint table");
                Ok(())
            }
            // Somebody else creates it at the same moment.
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
            Err(error) => Err(self.failed("creating", error)),
        }
    }

    /// One attempt.
    async fn call<C: Call>(&self, doing: &str, call: &C) -> Result<C::Answer> {
        let answer = self.sender.call(call).await;
        answer.map_err(|error| self.failed(doing, error))
    }

    fn failed(&self, doing: &str, error: SdkError) -> Error {
        if error.code() == Some("ResourceNotFoundException") {
            return Error::new(
                ErrorKind::TableNotFound,
                format!(
                    "checkpoint-table: there is no checkpoint table {} {}; check its name, or the stack \
                     that it belongs to",
                    self.name, self.place
                ),
            );
        }
        let about_keys = error.message().is_some_and(|words| {
            // "Query key condition not supported", and how the embedded database says the same.
            [
                "key element",
                "key schema element",
                "Missing the key",
                "key condition",
                "query conditions",
            ]
            .iter()
            .any(|part| words.contains(part))
        });
        if error.code() == Some("ValidationException") && about_keys {
            return self.wrong_keys("it has other keys");
        }
        let error = failure(&format!("{doing} checkpoint table {}", self.name), error);
        // Its expressions are ours, so what it refuses is not the operator's spec.
        if error.kind() == ErrorKind::InvalidSpec {
            return Error::new(ErrorKind::Internal, error.to_string());
        }
        error
    }

    fn reading(&self) -> String {
        format!("reading checkpoint table {}", self.name)
    }

    /// The record of this name.
    async fn record(&self, key: &Key, consistent: bool) -> Result<Option<Item>> {
        let get = GetItem {
            table_name: &self.name,
            key,
            consistent_read: consistent,
        };
        Ok(self.call("reading", &get).await?.item)
    }

    /// One page of a part of the records.
    async fn page(
        &self,
        part: &Part,
        select: Option<&str>,
        after: Option<&Key>,
    ) -> Result<Queried> {
        let query = Query {
            table_name: &self.name,
            key_condition_expression: Part::CONDITION,
            expression_attribute_names: Some(&names(["record"])),
            expression_attribute_values: Some(&part.values()),
            consistent_read: true,
            select,
            exclusive_start_key: after,
            ..Query::default()
        };
        self.call("reading", &query).await
    }

    /// Hands every page of a part of the records to `each`, until that breaks off. A page is tried again until then, or not at all: then
    /// that is for the caller to do.
    ///
    /// Errors: those of Query and of `each`; `Internal` if the pages do not go on.
    // It knows no kind of record: there would be a copy of it for each of them in the functions.
    async fn pages(
        &self,
        part: &Part,
        select: Option<&str>,
        until: Option<&Until>,
        each: &mut (dyn FnMut(Queried) -> Result<ControlFlow<()>> + Send),
    ) -> Result<()> {
        let mut onward = Onward::default();
        let mut after = None;
        loop {
            let read = || self.page(part, select, after.as_ref());
            let mut page = match until {
                Some(until) => retry(until, read).await?,
                None => read().await?,
            };
            let next = page.last_evaluated_key.take();
            let goes_on = each(page)?;
            onward.check(&self.reading(), after.as_ref(), next.as_ref())?;
            after = next;
            if after.is_none() || goes_on.is_break() {
                return Ok(());
            }
        }
    }

    /// All items of a part of the records, in the order of their names.
    async fn items(&self, part: &Part) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let mut keep = |page: Queried| {
            items.extend(page.items.unwrap_or_default());
            Ok(ControlFlow::Continue(()))
        };
        self.pages(part, None, None, &mut keep).await?;
        Ok(items)
    }

    /// The history of one pass under one shard since then, as far as the latest buckets of it fit into one page.
    ///
    /// Errors: those of Query; a record that cannot be read.
    pub async fn history_since(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
        from_ms: u64,
    ) -> Result<Vec<HistoryBucket>> {
        let place = place(&run.run_id, run.shards, shard);
        let part = Part::since(place, &history_prefix(pass), history_key(pass, from_ms));
        let query = Query {
            table_name: &self.name,
            key_condition_expression: Part::CONDITION,
            expression_attribute_names: Some(&names(["record"])),
            expression_attribute_values: Some(&part.values()),
            scan_index_forward: Some(false),
            ..Query::default()
        };
        let page: Queried = self.call("reading", &query).await?;
        let items = page.items.unwrap_or_default().into_iter();
        items
            .map(|item| read_part(&self.name, run, of_run(&run.run_id, item)))
            .collect()
    }

    /// All records under a shard of a run whose name begins like this, in the order of their names.
    async fn records<T: DeserializeOwned + OfRun>(
        &self,
        run: &RunRecord,
        shard: u32,
        prefix: &str,
    ) -> Result<Vec<T>> {
        let place = place(&run.run_id, run.shards, shard);
        let items = self.items(&Part::of(place, prefix)).await?.into_iter();
        items
            .map(|item| read_part(&self.name, run, of_run(&run.run_id, item)))
            .collect()
    }
}

impl CheckpointReader for CheckpointTable {
    fn lies_in(&self, table: &str) -> bool {
        self.name == table
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        let record = self.record(&key(run_id, RUN), true).await?;
        record
            .map(|attributes| read_run(&self.name, attributes))
            .transpose()
    }

    async fn run_copy(&self, run_id: &str, shard: u32) -> Result<Option<RunRecord>> {
        let key = key(&copy_place(run_id, shard), COPY);
        let record = self.record(&key, true);
        // What is no whole record is a mark, and of one that is damaged the record itself will tell.
        Ok(record.await?.and_then(|attributes| {
            let copy = read_run(&self.name, of_run(run_id, attributes));
            copy.ok()
        }))
    }

    async fn segments(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<Vec<SegmentRecord>> {
        self.records(run, shard, &segment_prefix(pass)).await
    }

    async fn segment(
        &self,
        run: &RunRecord,
        pass: u32,
        segment: u32,
    ) -> Result<Option<SegmentRecord>> {
        let key = key(&run.place_of(segment), &segment_key(pass, segment));
        let record = self.record(&key, true).await?;
        let read = |attributes| read_part(&self.name, run, of_run(&run.run_id, attributes));
        record.map(read).transpose()
    }

    async fn sums(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
        from: u32,
    ) -> Result<Vec<BlockSum>> {
        self.read_sums(run, pass, shard, from).await
    }

    async fn full_blocks(&self, run: &RunRecord, pass: u32) -> Result<FullBlocks> {
        self.read_full(run, pass).await
    }

    async fn latest_pass(&self, run: &RunRecord, shard: u32) -> Result<Option<u32>> {
        let part = Part::of(place(&run.run_id, run.shards, shard), PASS);
        let query = Query {
            table_name: &self.name,
            key_condition_expression: Part::CONDITION,
            projection_expression: Some("#record"),
            expression_attribute_names: Some(&names(["record"])),
            expression_attribute_values: Some(&part.values()),
            consistent_read: true,
            scan_index_forward: Some(false),
            limit: Some(1),
            ..Query::default()
        };
        let found = self.call("reading", &query).await?.items;
        let last = found.unwrap_or_default().into_iter().next();
        Ok(match last.as_ref().and_then(|item| item.get("record")) {
            Some(Value::S(record)) => pass_of(record),
            _ => None,
        })
    }

    async fn count_note(&self, run: &RunRecord) -> Result<Option<CountNote>> {
        let key = key(&count_place(&run.run_id), COUNT);
        let record = self.record(&key, false).await?;
        // It is for people: one that cannot be read is none.
        Ok(record.and_then(|attributes| {
            let note = read_record(&self.name, of_run(&run.run_id, attributes), VERSION);
            note.ok()
        }))
    }

    async fn rejected(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<Vec<Rejected>> {
        self.records(run, shard, &rejected_prefix(pass)).await
    }

    async fn rejected_count(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<u64> {
        let place = place(&run.run_id, run.shards, shard);
        let mut count = 0;
        let mut add = |page: Queried| {
            count += page.count.unwrap_or(0);
            Ok(ControlFlow::Continue(()))
        };
        let of_pass = Part::of(place, &rejected_prefix(pass));
        self.pages(&of_pass, Some("COUNT"), None, &mut add).await?;
        Ok(count)
    }

    async fn history(&self, run: &RunRecord, pass: u32, shard: u32) -> Result<Vec<HistoryBucket>> {
        // A query returns its items in the order of their sort keys.
        self.records(run, shard, &history_prefix(pass)).await
    }

    async fn exhausted(&self, run: &RunRecord, shard: u32) -> Result<u32> {
        let place = run.place_of_count(shard);
        let key = key(&place, &exhausted_key(run.pass));
        let record = self.record(&key, false).await?;
        Ok(match record.as_ref().and_then(|item| item.get(EXHAUSTED)) {
            Some(Value::N(count)) => count.parse().unwrap_or(0),
            _ => 0,
        })
    }
}
