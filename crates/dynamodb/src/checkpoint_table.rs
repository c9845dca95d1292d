//! The checkpoint table: run records and segment records as items.
//!
//! | `run_id` (hash, S) | `record` (range, S)             | holds |
//! |---|---|---|
//! | the run            | `run`                           | a [`RunRecord`], attribute by attribute |
//! | the run            | `pass#00001#segment#0000012`    | a [`SegmentRecord`] |
//! | the run            | `pass#00001#rejected#<digest>`  | a [`Rejected`] item, by the digest of its key |
//! | the run            | `pass#00001#history#01800000000` | a [`HistoryBucket`] of its history, by its begin in seconds since 1970 |
//! | the run            | `exhausted#00001`               | how many segments of the pass are exhausted |
//!
//! All carry `expires_at` (seconds since 1970), the table's TTL attribute.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, Select, TableStatus,
    TimeToLiveSpecification,
};
use backfill_core::clock::now_ms;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::{CheckpointReader, RejectedStore, RunStore, SegmentStore};
use backfill_core::records::{Counters, Cursor, Rejected, RunRecord, SegmentRecord, VERSION};
use backfill_core::records::{Flush, HistoryBucket};
use backfill_core::{Error, ErrorKind, Key, Result, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::connection::Connection;
use crate::convert::{from_item, json_to_value, to_item, value_to_json};
use crate::failure::failure;

/// Records outlive the last change to them by this long; then DynamoDB's TTL removes them.
const KEEP: Duration = Duration::from_secs(400 * 24 * 3600);

/// How long a newly created checkpoint table may take to become ACTIVE.
const CREATE_PATIENCE: Duration = Duration::from_secs(120);

/// The sort key of the run record.
const RUN: &str = "run";

/// The attribute that counts the exhausted segments of a pass.
const EXHAUSTED: &str = "exhausted";

type Attributes = HashMap<String, AttributeValue>;

/// The durable records, in one DynamoDB table.
#[derive(Debug, Clone)]
pub struct CheckpointTable {
    connection: Connection,
    name: String,
}

impl CheckpointTable {
    /// The table called `name`; nothing is called yet.
    pub fn new(connection: &Connection, name: impl Into<String>) -> Self {
        CheckpointTable {
            connection: connection.clone(),
            name: name.into(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates the table, on demand and with TTL, where it is missing; waits until it is ACTIVE.
    pub async fn create_if_missing(&self) -> Result<()> {
        retry(&Until::after(CREATE_PATIENCE), || self.try_to_create()).await
    }

    async fn try_to_create(&self) -> Result<()> {
        let client = &self.connection.client;
        let deadline = tokio::time::Instant::now() + CREATE_PATIENCE;
        let mut created = false;
        loop {
            match client.describe_table().table_name(&self.name).send().await {
                Ok(response) => {
                    let status = response.table().and_then(|table| table.table_status());
                    if status == Some(&TableStatus::Active) {
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
            let ttl = TimeToLiveSpecification::builder()
                .attribute_name("expires_at")
                .enabled(true)
                .build()
                .expect("both fields are set");
            let enabled = client
                .update_time_to_live()
                .table_name(&self.name)
                .time_to_live_specification(ttl)
                .send()
                .await;
            if let Err(error) = enabled {
                // Records that never expire do no harm.
                let error = self.failed("enabling TTL on", error);
                tracing::warn!(
                    error = error.report(),
                    "the records of runs will not expire"
                );
            }
        }
        Ok(())
    }

    /// Every run in the table, the latest started first. Reads the whole table.
    pub async fn runs(&self) -> Result<Vec<RunRecord>> {
        retry(&Until::after(PATIENCE), || self.read_runs()).await
    }

    async fn read_runs(&self) -> Result<Vec<RunRecord>> {
        let mut runs: Vec<RunRecord> = Vec::new();
        let mut after = None;
        loop {
            let response = self
                .connection
                .client
                .scan()
                .table_name(&self.name)
                .filter_expression("#record = :run")
                .expression_attribute_names("#record", "record")
                .expression_attribute_values(":run", AttributeValue::S(RUN.into()))
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(|error| self.failed("reading", error))?;
            for attributes in response.items.unwrap_or_default() {
                runs.push(read_run(&self.name, attributes)?);
            }
            after = response.last_evaluated_key;
            if after.is_none() {
                break;
            }
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.started_ms));
        Ok(runs)
    }

    async fn create(&self) -> Result<()> {
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .expect("both fields are set")
        };
        let key = |name: &str, role: KeyType| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(role)
                .build()
                .expect("both fields are set")
        };
        let result = self
            .connection
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("run_id"))
            .attribute_definitions(attribute("record"))
            .key_schema(key("run_id", KeyType::Hash))
            .key_schema(key("record", KeyType::Range))
            .send()
            .await;
        match result {
            Ok(_) => {
                tracing::info!(table = self.name, "created the checkpoint table");
                Ok(())
            }
            // Somebody else creates it at the same moment.
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
            Err(error) => Err(self.failed("creating", error)),
        }
    }

    fn failed<E>(&self, doing: &str, error: aws_sdk_dynamodb::error::SdkError<E>) -> Error
    where
        E: aws_sdk_dynamodb::error::ProvideErrorMetadata
            + std::error::Error
            + Send
            + Sync
            + 'static,
    {
        if error.code() == Some("ResourceNotFoundException") {
            return Error::new(
                ErrorKind::TableNotFound,
                format!(
                    "checkpoint-table: there is no checkpoint table {} {}; check its name, or the stack \
                     that it belongs to",
                    self.name,
                    self.connection.place()
                ),
            );
        }
        let error = failure(&format!("{doing} checkpoint table {}", self.name), error);
        // Its expressions are ours, so what it refuses is not the operator's spec.
        if error.kind() == ErrorKind::InvalidSpec {
            return Error::new(ErrorKind::Internal, error.to_string());
        }
        error
    }

    fn key(run_id: &str, record: &str) -> Attributes {
        HashMap::from([
            ("run_id".into(), AttributeValue::S(run_id.into())),
            ("record".into(), AttributeValue::S(record.into())),
        ])
    }
}

fn segment_key(pass: u32, segment: u32) -> String {
    format!("{}{segment:07}", segment_prefix(pass))
}

fn segment_prefix(pass: u32) -> String {
    format!("pass#{pass:05}#segment#")
}

/// A digest, since a key may be longer than a sort key's 1,024 bytes.
fn rejected_key(pass: u32, key: &Key) -> String {
    let digest = Sha256::digest(key.to_string());
    format!("{}{digest:x}", rejected_prefix(pass))
}

fn rejected_prefix(pass: u32) -> String {
    format!("pass#{pass:05}#rejected#")
}

fn history_key(pass: u32, start_ms: u64) -> String {
    format!("{}{:011}", history_prefix(pass), start_ms / 1000)
}

fn history_prefix(pass: u32) -> String {
    format!("pass#{pass:05}#history#")
}

fn exhausted_key(pass: u32) -> String {
    format!("exhausted#{pass:05}")
}

fn expires_at() -> AttributeValue {
    AttributeValue::N((now_ms() / 1000 + KEEP.as_secs()).to_string())
}

fn to_attribute<T: Serialize>(record: &T) -> AttributeValue {
    let json = serde_json::to_value(record).expect("records are plain data");
    let item = [(String::new(), json_to_value(json))].into();
    to_item(&item).remove("").expect("just put in")
}

/// A record as attributes, without its keys.
fn to_attributes<T: Serialize>(record: &T) -> Attributes {
    match to_attribute(record) {
        AttributeValue::M(attributes) => attributes,
        _ => unreachable!("records are structs"),
    }
}

fn read_record<T: DeserializeOwned>(table: &str, attributes: Attributes) -> Result<T> {
    let item = from_item(&attributes)?;
    let name = match (item.get("run_id"), item.get("record")) {
        (Some(Value::S(run_id)), Some(Value::S(record))) => format!("{record} of run {run_id}"),
        _ => "without a name".into(),
    };
    let wrong = |why: String| {
        Error::new(
            ErrorKind::Internal,
            format!(
                "checkpoint table {table}: record {name} was not written by this version of backfill: {why}"
            ),
        )
    };
    if item.get("version") != Some(&Value::N(VERSION.to_string())) {
        return Err(wrong(format!("expected version {VERSION}")));
    }
    let json = value_to_json(Value::M(item))
        .ok_or_else(|| wrong("it holds a set or binary value".into()))?;
    serde_json::from_value(json).map_err(|error| wrong(error.to_string()))
}

/// The record of a run, refused where it is damaged ([`RunRecord::check`]).
fn read_run(table: &str, attributes: Attributes) -> Result<RunRecord> {
    let run: RunRecord = read_record(table, attributes)?;
    run.check()
        .map_err(|error| error.context(format!("checkpoint table {table}")))?;
    Ok(run)
}

impl CheckpointReader for CheckpointTable {
    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        let response = self
            .connection
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(Self::key(run_id, RUN)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.failed("reading", error))?;
        response
            .item
            .map(|attributes| read_run(&self.name, attributes))
            .transpose()
    }

    async fn segments(&self, run_id: &str, pass: u32) -> Result<Vec<SegmentRecord>> {
        self.records(run_id, segment_prefix(pass)).await
    }

    async fn rejected(&self, run_id: &str, pass: u32) -> Result<Vec<Rejected>> {
        self.records(run_id, rejected_prefix(pass)).await
    }

    async fn rejected_count(&self, run_id: &str, pass: u32) -> Result<u64> {
        let mut count = 0;
        let mut after = None;
        loop {
            let response = self
                .records_after(run_id, rejected_prefix(pass), after)
                .select(Select::Count)
                .send()
                .await
                .map_err(|error| self.failed("reading", error))?;
            count += response.count().max(0) as u64;
            after = response.last_evaluated_key;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    async fn history(&self, run_id: &str, pass: u32) -> Result<Vec<HistoryBucket>> {
        // A query returns its items in the order of their sort keys.
        self.records(run_id, history_prefix(pass)).await
    }

    async fn exhausted(&self, run_id: &str, pass: u32) -> Result<u32> {
        let response = self
            .connection
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(Self::key(run_id, &exhausted_key(pass))))
            .send()
            .await
            .map_err(|error| self.failed("reading", error))?;
        let count = response.item().and_then(|item| item.get(EXHAUSTED));
        Ok(match count {
            Some(AttributeValue::N(count)) => count.parse().unwrap_or(0),
            _ => 0,
        })
    }
}

impl RejectedStore for CheckpointTable {
    async fn reject(&self, run_id: &str, pass: u32, item: &Rejected) -> Result<()> {
        let mut attributes = to_attributes(item);
        attributes.insert("version".into(), AttributeValue::N(VERSION.to_string()));
        attributes.insert("expires_at".into(), expires_at());
        let set: Vec<String> = attributes
            .keys()
            .map(|name| format!("#{name} = :{name}"))
            .collect();
        // Not PutItem, which the worker's role does not allow: it could replace any record.
        let mut request = self
            .connection
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(Self::key(run_id, &rejected_key(pass, &item.key))))
            .update_expression(format!("SET {}", set.join(", ")));
        for (name, value) in attributes {
            request = request
                .expression_attribute_names(format!("#{name}"), &name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| self.failed("writing", error))
    }

    async fn forget_rejected(&self, run_id: &str, pass: u32, key: &Key) -> Result<()> {
        self.connection
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(Self::key(run_id, &rejected_key(pass, key))))
            .send()
            .await
            .map(drop)
            .map_err(|error| self.failed("writing", error))
    }
}

impl RunStore for CheckpointTable {
    async fn save_run(&self, record: &RunRecord) -> Result<()> {
        let mut item = to_attributes(record);
        item.extend(Self::key(&record.run_id, RUN));
        let request = self
            .connection
            .client
            .put_item()
            .table_name(&self.name)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = match record.revision {
            1 => request.condition_expression("attribute_not_exists(run_id)"),
            revision => request
                .condition_expression("revision = :previous")
                .expression_attribute_values(
                    ":previous",
                    AttributeValue::N((revision - 1).to_string()),
                ),
        };
        let expiring = [("expires_at".to_string(), expires_at())];
        let result = request
            .set_item(Some(
                item.iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .chain(expiring)
                    .collect(),
            ))
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        let Some(PutItemError::ConditionalCheckFailedException(check)) = error.as_service_error()
        else {
            return Err(self.failed("writing", error));
        };
        let stored = check
            .item()
            .cloned()
            .map(|attributes| read_run(&self.name, attributes))
            .transpose()?;
        match stored {
            // Our own write, whose answer was lost.
            Some(stored) if stored == *record => Ok(()),
            Some(stored) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "run {} was changed meanwhile by {}; see its status and try again",
                    record.run_id, stored.owner
                ),
            )),
            None => Err(Error::new(
                ErrorKind::Conflict,
                format!("the record of run {} was removed meanwhile", record.run_id),
            )),
        }
    }
}

impl SegmentStore for CheckpointTable {
    async fn claim(&self, run: &RunRecord, segment: u32) -> Result<SegmentRecord> {
        let number = |n: u64| AttributeValue::N(n.to_string());
        let response = self
            .connection
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(Self::key(&run.run_id, &segment_key(run.pass, segment))))
            .update_expression(
                "SET #generation = if_not_exists(#generation, :zero) + :one, \
                 #cursor = if_not_exists(#cursor, :not_started), \
                 #counters = if_not_exists(#counters, :none), \
                 #run_revision = :run_revision, #pass = :pass, #segment = :segment, #version = :version, \
                 #expires_at = :expires_at",
            )
            .condition_expression(
                "attribute_not_exists(#run_revision) OR #run_revision <= :run_revision",
            )
            .expression_attribute_names("#run_revision", "run_revision")
            .expression_attribute_values(":run_revision", number(run.revision))
            .expression_attribute_names("#generation", "generation")
            .expression_attribute_names("#cursor", "cursor")
            .expression_attribute_names("#counters", "counters")
            .expression_attribute_names("#pass", "pass")
            .expression_attribute_names("#segment", "segment")
            .expression_attribute_names("#version", "version")
            .expression_attribute_names("#expires_at", "expires_at")
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":not_started", to_attribute(&Cursor::NotStarted))
            .expression_attribute_values(":none", to_attribute(&Counters::default()))
            .expression_attribute_values(":pass", number(run.pass.into()))
            .expression_attribute_values(":segment", number(segment.into()))
            .expression_attribute_values(":version", number(VERSION.into()))
            .expression_attribute_values(":expires_at", expires_at())
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| {
                if error.code() == Some("ConditionalCheckFailedException") {
                    return Error::new(
                        ErrorKind::Fenced,
                        format!("segment {segment} was claimed for a later owner of the run"),
                    );
                }
                self.failed("claiming a segment in", error)
            })?;
        read_record(&self.name, response.attributes.unwrap_or_default())
    }

    async fn checkpoint(&self, record: &SegmentRecord) -> Result<()> {
        let key = Self::key(&record.run_id, &segment_key(record.pass, record.segment));
        let names = Some(HashMap::from([
            ("#cursor".to_owned(), "cursor".to_owned()),
            ("#trial_passed".to_owned(), "trial_passed".to_owned()),
            ("#bound_by".to_owned(), "bound_by".to_owned()),
            ("#throttled_by".to_owned(), "throttled_by".to_owned()),
            ("#counters".to_owned(), "counters".to_owned()),
            ("#expires_at".to_owned(), "expires_at".to_owned()),
            ("#generation".to_owned(), "generation".to_owned()),
            ("#checkpoints".to_owned(), "checkpoints".to_owned()),
        ]));
        let values = HashMap::from([
            (":cursor".to_owned(), to_attribute(&record.cursor)),
            (
                ":trial_passed".to_owned(),
                AttributeValue::Bool(record.trial_passed),
            ),
            (":bound_by".to_owned(), to_attribute(&record.bound_by)),
            (
                ":throttled_by".to_owned(),
                to_attribute(&record.throttled_by),
            ),
            (":counters".to_owned(), to_attribute(&record.counters)),
            (":expires_at".to_owned(), expires_at()),
            (
                ":generation".to_owned(),
                AttributeValue::N(record.generation.to_string()),
            ),
            (
                ":checkpoints".to_owned(),
                AttributeValue::N(record.counters.checkpoints.to_string()),
            ),
        ]);
        let result = self
            .connection
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key))
            .update_expression(
                "SET #cursor = :cursor, #trial_passed = :trial_passed, #bound_by = :bound_by, \
                 #throttled_by = :throttled_by, #counters = :counters, #expires_at = :expires_at",
            )
            // Only the latest claim may move the checkpoint (promise: one-owner), and only forward: one that was given up
            // may still be carried out after its successors.
            .condition_expression(
                "#generation = :generation AND \
                 (attribute_not_exists(#counters.#checkpoints) OR #counters.#checkpoints <= :checkpoints)",
            )
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(Some(values))
            .send()
            .await;
        match result {
            Ok(_) => {}
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => {
                return Err(Error::new(
                    ErrorKind::Fenced,
                    "another worker has claimed the segment since; this one stops",
                ));
            }
            Err(error) => return Err(self.failed("writing", error)),
        }
        if record.cursor == Cursor::Exhausted {
            self.count_exhausted(record).await;
        }
        Ok(())
    }

    async fn add_to_history(&self, run_id: &str, pass: u32, flush: &Flush) -> Result<()> {
        // As a pattern, so that a new figure cannot be forgotten here.
        let Counters {
            scanned,
            matched,
            updated,
            raced,
            vanished,
            rejected,
            consumed_rcu,
            consumed_wcu,
            throttles,
            // Not in a flush.
            worked_seconds: _,
            checkpoints: _,
        } = flush.done;
        let start = flush.bucket_ms();
        let added = [
            ("scanned", scanned.to_string()),
            ("matched", matched.to_string()),
            ("updated", updated.to_string()),
            ("raced", raced.to_string()),
            ("vanished", vanished.to_string()),
            ("rejected", rejected.to_string()),
            ("consumed_rcu", consumed_rcu.to_string()),
            ("consumed_wcu", consumed_wcu.to_string()),
            ("throttles", throttles.to_string()),
            ("flushes", 1.to_string()),
            ("seconds", flush.seconds.to_string()),
            ("offset_seconds", flush.offset_seconds().to_string()),
        ];
        let same = [
            ("pass", AttributeValue::N(pass.to_string())),
            ("start_ms", AttributeValue::N(start.to_string())),
            ("version", AttributeValue::N(VERSION.to_string())),
            ("expires_at", expires_at()),
        ];
        let list = |form: &str, names: Vec<&str>| -> String {
            let parts: Vec<String> = names.iter().map(|name| form.replace('?', name)).collect();
            parts.join(", ")
        };
        let update = format!(
            "ADD {} SET {}",
            list("#? :?", added.iter().map(|(name, _)| *name).collect()),
            list("#? = :?", same.iter().map(|(name, _)| *name).collect()),
        );
        let mut request = self
            .connection
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(Self::key(run_id, &history_key(pass, start))))
            .update_expression(update);
        let added = added.map(|(name, number)| (name, AttributeValue::N(number)));
        for (name, value) in added.into_iter().chain(same) {
            request = request
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| self.failed("adding to the history in", error))
    }
}

impl CheckpointTable {
    fn records_after(
        &self,
        run_id: &str,
        prefix: String,
        after: Option<Attributes>,
    ) -> QueryFluentBuilder {
        self.connection
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("run_id = :run AND begins_with(#record, :prefix)")
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":run", AttributeValue::S(run_id.into()))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix))
            .consistent_read(true)
            .set_exclusive_start_key(after)
    }

    /// All records of a run whose name begins like this.
    async fn records<T: DeserializeOwned>(&self, run_id: &str, prefix: String) -> Result<Vec<T>> {
        let mut records = Vec::new();
        let mut after = None;
        loop {
            let response = self
                .records_after(run_id, prefix.clone(), after)
                .send()
                .await
                .map_err(|error| self.failed("reading", error))?;
            for attributes in response.items.unwrap_or_default() {
                records.push(read_record(&self.name, attributes)?);
            }
            after = response.last_evaluated_key;
            if after.is_none() {
                return Ok(records);
            }
        }
    }

    /// Adds a segment to those that are exhausted in its pass. Once and never again: a segment that is not counted
    /// leaves the others a smaller share of the budget, one that is counted twice a larger one.
    async fn count_exhausted(&self, record: &SegmentRecord) {
        let counted = self
            .connection
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(Self::key(&record.run_id, &exhausted_key(record.pass))))
            .update_expression("ADD #exhausted :one SET #expires_at = :expires_at")
            .expression_attribute_names("#exhausted", EXHAUSTED)
            .expression_attribute_names("#expires_at", "expires_at")
            .expression_attribute_values(":one", AttributeValue::N("1".into()))
            .expression_attribute_values(":expires_at", expires_at())
            .send()
            .await;
        if let Err(error) = counted {
            let error = self.failed("counting an exhausted segment in", error);
            tracing::debug!(error = error.report(), "a segment is not counted");
        }
    }
}
