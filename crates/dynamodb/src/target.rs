//! The target table: description, pages of pending keys, the guarded updates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backfill_core::change::partiql::{BATCH_SIZE, BoundStatement};
use backfill_core::change::{Seen, SharedChange};
use backfill_core::ports::{
    Batch, Look, LookBy, Outcome, Page, PageRequest, ReadAccess, TableReader, TableWriter, Write,
    WriteAccess,
};
use backfill_core::request::WriterKind;
use backfill_core::table::{KeyAttribute, KeySchema, TableDescription};
use backfill_core::value::measured::ItemBytes;
use backfill_core::value::size::{check_units, item_bytes, write_units};
use backfill_core::{Error, ErrorKind, Item, Key, Result};

use crate::calls::{
    ALL_OLD, BatchExecuteStatement, BatchStatement, Cancellation, ConditionCheck, ConditionFailed,
    DescribeTable, Query, Scan, StatementError, TOTAL, TransactWriteItems, UpdateItem,
    cancellation,
};
use crate::connection::Connection;
use crate::failure::{failure, failure_of_code};
use crate::refusal::Refusal;
use crate::send::{ProvideErrorMetadata as _, ReadSender, SdkError, Sender, details};

/// The code of a statement or a check whose condition failed (API reference, BatchStatementError and CancellationReason).
const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// Access that can only read: there is no code behind it that could write to a table.
#[derive(Debug, Clone)]
pub struct ReadOnly(pub Connection);

/// Access that can also apply the guarded update.
#[derive(Debug, Clone)]
pub struct ReadWrite {
    connection: Connection,
    without_batches: WithoutBatches,
    looks: Looks,
}

/// Fingerprints of the specs that batches cannot write: PartiQL cannot express them, or endpoint or role do not allow
/// it. Shared by all writers of a process, so that the reason is said once.
#[derive(Debug, Clone, Default)]
struct WithoutBatches(Arc<Mutex<BTreeSet<String>>>);

impl WithoutBatches {
    fn contains(&self, fingerprint: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(fingerprint)
    }

    fn add(&self, table: &str, fingerprint: &str, reason: &str) {
        let mut specs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if specs.insert(fingerprint.to_owned()) {
            tracing::warn!(table, "writing by UpdateItem instead of batches: {reason}");
        }
    }
}

/// How the updated items of each spec, by its fingerprint, are looked at. Shared by all writers of a process, so that it is
/// said once.
#[derive(Debug, Clone, Default)]
struct Looks(Arc<Mutex<BTreeMap<String, Way>>>);

/// A way of looking, and whether it has worked.
#[derive(Debug, Clone, Copy)]
struct Way {
    by: LookBy,
    has_worked: bool,
}

impl Default for Way {
    fn default() -> Self {
        Way {
            by: LookBy::Check,
            has_worked: false,
        }
    }
}

impl Looks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by(&self, fingerprint: &str) -> LookBy {
        let ways = self.lock();
        ways.get(fingerprint).copied().unwrap_or_default().by
    }

    fn worked(&self, table: &str, fingerprint: &str, by: LookBy) {
        let mut ways = self.lock();
        let way = ways.entry(fingerprint.to_owned()).or_default();
        if way.by == by && !way.has_worked {
            way.has_worked = true;
            tracing::info!(table, "updated items are looked at by {}", by.name());
        }
    }

    /// Goes on to the next way, if there is one and this one never worked: what worked once is not refused as such.
    fn refused(&self, table: &str, fingerprint: &str, by: LookBy, error: &Error) {
        let mut ways = self.lock();
        let way = ways.entry(fingerprint.to_owned()).or_default();
        let next = match by {
            LookBy::Check => LookBy::Query,
            LookBy::Query => LookBy::Page,
            LookBy::Page => return,
        };
        if way.by == by && !way.has_worked {
            way.by = next;
            tracing::warn!(
                table,
                "looking at updated items by {} instead of {}: {error}",
                next.name(),
                by.name()
            );
        }
    }
}

impl ReadWrite {
    /// Access through this connection.
    pub fn new(connection: Connection) -> Self {
        ReadWrite {
            connection,
            without_batches: WithoutBatches::default(),
            looks: Looks::default(),
        }
    }
}

/// Reads the pending keys of one table.
pub struct Reader {
    sender: ReadSender,
    change: SharedChange,
}

/// Updates the pending items of one table.
pub struct Writer {
    sender: Sender,
    change: SharedChange,
    /// The update may be sent in batches.
    in_batches: bool,
    without_batches: WithoutBatches,
    looks: Looks,
}

impl ReadAccess for ReadOnly {
    type Reader = Reader;

    async fn describe(&self, table: &str) -> Result<TableDescription> {
        describe(&self.0, table).await
    }

    fn reader(&self, change: SharedChange) -> Reader {
        Reader {
            sender: ReadSender::new(&self.0),
            change,
        }
    }
}

impl ReadAccess for ReadWrite {
    type Reader = Reader;

    async fn describe(&self, table: &str) -> Result<TableDescription> {
        describe(&self.connection, table).await
    }

    fn reader(&self, change: SharedChange) -> Reader {
        ReadOnly(self.connection.clone()).reader(change)
    }
}

impl WriteAccess for ReadWrite {
    type Writer = Writer;

    fn writer(&self, change: SharedChange, kind: WriterKind) -> Writer {
        if let (WriterKind::Batch, Some(what)) = (kind, change.why_no_statement()) {
            let reason = format!("PartiQL cannot safely express {what}");
            self.without_batches
                .add(change.table(), change.fingerprint(), &reason);
        }
        Writer {
            sender: Sender::new(&self.connection),
            in_batches: kind == WriterKind::Batch,
            without_batches: self.without_batches.clone(),
            looks: self.looks.clone(),
            change,
        }
    }
}

async fn describe(connection: &Connection, table: &str) -> Result<TableDescription> {
    let described = ReadSender::new(connection)
        .call(&DescribeTable { table_name: table })
        .await
        .map_err(|error| {
            if error.code() == Some("ResourceNotFoundException") {
                return Error::new(
                    ErrorKind::TableNotFound,
                    format!(
                        "table: there is no table {table} {}; check the name, the region and the account",
                        connection.place()
                    ),
                );
            }
            failure(
                &format!("describing table {table} {}", connection.place()),
                error,
            )
        })?;
    let described = described.table;
    let odd = |what: &str| {
        Error::new(
            ErrorKind::Internal,
            format!("the description of table {table} has no {what}"),
        )
    };
    let attribute = |role: &str| -> Result<Option<KeyAttribute>> {
        let mut keys = described.key_schema.iter();
        let Some(key) = keys.find(|key| key.key_type.as_deref() == Some(role)) else {
            return Ok(None);
        };
        let kind = described.kind_of(&key.attribute_name);
        let kind = kind.ok_or_else(|| odd("type for a key attribute"))?;
        Ok(Some(KeyAttribute::new(&key.attribute_name, kind)))
    };
    let keys = KeySchema {
        hash: attribute("HASH")?.ok_or_else(|| odd("partition key"))?,
        range: attribute("RANGE")?,
    };
    let replicas = described.replicas_besides(connection.region());
    Ok(TableDescription {
        replicas: replicas
            .map(|replica| replica.region_name.clone())
            .collect(),
        is_strong_everywhere: described.multi_region_consistency.as_deref() == Some("STRONG"),
        item_count: described.items(),
        size_bytes: described.size_bytes(),
        identity: described.identity(),
        status: described
            .table_status
            .unwrap_or_else(|| "in an unknown state".into()),
        keys,
    })
}

/// The items of a page. That a page has none must be said by an empty list: a page that was misunderstood is not the end.
pub(crate) fn items_of(doing: impl Fn() -> String, items: Option<Vec<Item>>) -> Result<Vec<Item>> {
    items.ok_or_else(|| {
        let why = format!("{}: a page has no items, not even an empty list", doing());
        Error::new(ErrorKind::Internal, why)
    })
}

impl TableReader for Reader {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        let sweep = self.change.sweep();
        let scan = Scan {
            table_name: self.change.table(),
            segment: Some(request.segment),
            total_segments: Some(request.total_segments),
            exclusive_start_key: request.after,
            limit: Some(request.limit),
            consistent_read: request.consistent,
            filter_expression: Some(&sweep.filter),
            projection_expression: Some(&sweep.projection),
            expression_attribute_names: Some(&sweep.names),
            expression_attribute_values: Some(&sweep.values),
            return_consumed_capacity: TOTAL,
            ..Scan::default()
        };
        let doing = || format!("scanning table {}", self.change.table());
        let scanned = self.sender.call(&scan).await;
        let scanned = scanned.map_err(|error| failure(&doing(), error))?;
        let items = items_of(doing, scanned.items)?;
        // For most changes a sweep brings nothing but keys, which then need not be taken apart.
        let seen = |item: Item| match self.change.reads() {
            [] => Seen::from(Key(item)),
            _ => Seen::new(self.change.keys(), item),
        };
        Ok(Page {
            pending: items.into_iter().map(seen).collect(),
            scanned: scanned.scanned_count,
            next: scanned.last_evaluated_key,
            consumed_rcu: scanned.consumed_capacity.map_or(0.0, |c| c.capacity_units),
        })
    }
}

impl TableWriter for Writer {
    fn batch_size(&self) -> usize {
        match self.takes_batches() {
            true => BATCH_SIZE,
            false => 1,
        }
    }

    fn distrust_batches(&self, reason: &str) {
        self.without_batches
            .add(self.change.table(), self.change.fingerprint(), reason);
    }

    async fn update_batch(&self, items: &[Seen]) -> Result<Batch> {
        let statements: std::result::Result<Vec<_>, _> = items
            .iter()
            .map(|item| self.change.statement(item))
            .collect();
        match statements {
            Ok(statements) if self.takes_batches() => self.execute(statements).await,
            _ => self.update_one(items).await,
        }
    }

    async fn update(&self, item: &Seen) -> Result<Write> {
        Ok(self.send(item, None).await?.0)
    }

    async fn update_and_show(&self, item: &Seen) -> Result<(Write, Option<Item>)> {
        self.send(item, Some("ALL_NEW")).await
    }

    fn look_by(&self) -> LookBy {
        self.looks.by(self.change.fingerprint())
    }

    /// If the table, or the endpoint, refuses this way of looking as such, the next one is taken from now on.
    async fn look(&self, key: &Key, by: LookBy) -> Result<Look> {
        let change = &self.change;
        let looked = match by {
            LookBy::Check => self.check(key).await,
            LookBy::Query => self.query(key, Some(&change.pending().expression)).await,
            LookBy::Page => self.query(key, None).await,
        };
        let table = change.table();
        match &looked {
            Ok(_) => self.looks.worked(table, change.fingerprint(), by),
            // One of the predicate itself is repeated in every way, and then told.
            Err(error) if error.kind() == ErrorKind::InvalidSpec => {
                self.looks.refused(table, change.fingerprint(), by, error);
            }
            Err(_) => {}
        }
        looked
    }
}

impl Writer {
    /// A transaction of nothing but a ConditionCheck, which writes nothing: GetItem knows no condition, and the
    /// filter of a Query may not name a key attribute, as `P` may. The check is that `P` does not hold, so that
    /// its failure brings the item along.
    async fn check(&self, key: &Key) -> Result<Look> {
        let check = self.change.not_pending();
        let table = self.change.table();
        let doing = format!("checking the item with key {key} of table {table}");
        let check = ConditionCheck {
            table_name: table,
            key,
            condition_expression: &check.expression,
            expression_attribute_names: Some(&check.names),
            expression_attribute_values: Some(&check.values),
            return_values_on_condition_check_failure: ALL_OLD,
        };
        let sender = ReadSender::from(&self.sender);
        let error = match sender.call(&TransactWriteItems::of(check)).await {
            Ok(held) => {
                let tables = held.consumed_capacity.filter(|tables| !tables.is_empty());
                return Ok(Look {
                    item: None,
                    consumed: tables.map(|all| all.iter().map(|c| c.capacity_units).sum()),
                });
            }
            Err(error) => error,
        };
        match cancellation(&error) {
            Some(Cancellation {
                code: Some(code),
                message,
                item,
            }) => match item {
                // An error reports no capacity.
                Some(item) if code == CONDITION_FAILED => Ok(Look {
                    consumed: Some(check_units(item_bytes(&item))),
                    item: Some(item),
                }),
                _ => Err(failure_of_code(&doing, &code, message.as_deref())),
            },
            _ => Err(refused_look(&doing, error)),
        }
    }

    /// A strongly consistent Query of one key.
    async fn query(&self, key: &Key, filter: Option<&str>) -> Result<Look> {
        let change = &self.change;
        let table = change.table();
        let doing = || format!("looking at the item with key {key} of table {table}");
        let mut condition = Vec::new();
        let (mut names, mut values) = match filter {
            Some(_) => (
                change.pending().names.clone(),
                change.pending().values.clone(),
            ),
            None => Default::default(),
        };
        for (i, name) in change.keys().names().enumerate() {
            // Placeholders of ours, as no spec may have them.
            let placeholder = format!("backfill_key{i}");
            condition.push(format!("#{placeholder} = :{placeholder}"));
            names.insert(format!("#{placeholder}"), name.to_owned());
            let value = key.0.get(name).cloned();
            values.extend(value.map(|value| (format!(":{placeholder}"), value)));
        }
        let query = Query {
            table_name: table,
            key_condition_expression: &condition.join(" AND "),
            filter_expression: filter,
            expression_attribute_names: Some(&names),
            expression_attribute_values: Some(&values),
            consistent_read: true,
            return_consumed_capacity: TOTAL,
            ..Query::default()
        };
        let queried = ReadSender::from(&self.sender).call(&query).await;
        let queried = queried.map_err(|error| refused_look(&doing(), error))?;
        Ok(Look {
            item: items_of(doing, queried.items)?.pop(),
            consumed: queried.consumed_capacity.map(|c| c.capacity_units),
        })
    }

    /// Whether the update is sent in batches.
    fn takes_batches(&self) -> bool {
        self.in_batches && !self.without_batches.contains(self.change.fingerprint())
    }

    /// A batch of one, which is all that [`TableWriter::batch_size`] allows without PartiQL. If that has changed since
    /// the batch was put together, its items are left to be updated one by one.
    async fn update_one(&self, items: &[Seen]) -> Result<Batch> {
        let [item] = items else {
            let left_open = || Error::new(ErrorKind::InvalidSpec, "batches are not possible");
            return Ok(Batch {
                outcomes: items.iter().map(|_| Err(left_open())).collect(),
                consumed_wcu: 0.0,
            });
        };
        let write = self.update(item).await?;
        Ok(Batch {
            outcomes: vec![Ok(write.outcome)],
            consumed_wcu: write.consumed_wcu,
        })
    }

    /// One BatchExecuteStatement. A statement that a batch cannot settle is left with an error; UpdateItem has more to
    /// say of it, such as the reasons for throttling.
    async fn execute(&self, statements: Vec<BoundStatement<'_>>) -> Result<Batch> {
        let doing = format!("updating table {}", self.change.table());
        let count = statements.len();
        let batch = BatchExecuteStatement {
            statements: statements
                .into_iter()
                .map(|statement| BatchStatement {
                    statement: statement.text,
                    parameters: statement.parameters,
                    // Tells an item that a live writer has set from one that is gone, and what the failure cost; it costs nothing itself.
                    return_values_on_condition_check_failure: ALL_OLD,
                })
                .collect(),
            return_consumed_capacity: TOTAL,
        };
        let executed = match self.sender.call(&batch).await {
            Ok(executed) => executed,
            Err(error) => {
                let refused = matches!(
                    error.code(),
                    Some(
                        "AccessDeniedException"
                            | "UnknownOperationException"
                            | "ValidationException"
                    )
                );
                let error = failure(&doing, error);
                if !refused {
                    return Err(error);
                }
                // Nothing was written. UpdateItem, which is to come for each, says whether that is allowed.
                self.distrust_batches(&error.to_string());
                let left_open = || Error::new(ErrorKind::InvalidSpec, error.to_string());
                return Ok(Batch {
                    outcomes: (0..count).map(|_| Err(left_open())).collect(),
                    consumed_wcu: 0.0,
                });
            }
        };
        if executed.responses.len() != count {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "{doing}: a batch of {count} statements has {} answers",
                    executed.responses.len()
                ),
            ));
        }
        let mut outcomes = Vec::with_capacity(count);
        let mut units = 0.0;
        for response in executed.responses {
            units += response.error.as_ref().map_or(LEAST_UNITS, units_of_error);
            outcomes.push(match response.error {
                None => Ok(Outcome::Updated),
                Some(error) => self.refused_statement(&doing, error),
            });
        }
        // The total holds what failed statements cost too. It is missing if none succeeded, though they cost the same.
        let reported = executed.consumed_capacity.filter(|all| !all.is_empty());
        Ok(Batch {
            outcomes,
            consumed_wcu: reported.map_or(units, |tables| {
                tables.iter().map(|table| table.capacity_units).sum()
            }),
        })
    }

    /// What the error of one statement means (API reference, BatchStatementError).
    fn refused_statement(&self, doing: &str, error: StatementError) -> Result<Outcome> {
        let StatementError {
            code,
            message,
            item,
        } = error;
        match code.as_str() {
            CONDITION_FAILED => Ok(match item {
                Some(_) => Outcome::Raced,
                None => Outcome::Vanished,
            }),
            "ItemCollectionSizeLimitExceeded" => Ok(Outcome::Rejected(message)),
            "ValidationError" if Refusal::by(&message) == Refusal::OfTheItem => {
                Ok(Outcome::Rejected(message))
            }
            // Whatever else is said of one statement, in words that we know or not, its own UpdateItem settles.
            code => {
                let error = failure_of_code(doing, code, Some(&message));
                if error.kind() == ErrorKind::AccessDenied {
                    self.distrust_batches(&error.to_string());
                }
                Err(error)
            }
        }
    }

    /// One UpdateItem, and the item after it if `show` asks for it.
    async fn send(&self, item: &Seen, show: Option<&str>) -> Result<(Write, Option<Item>)> {
        let table = self.change.table();
        let guarded = self.change.update(item);
        let update = UpdateItem {
            table_name: table,
            key: &item.key,
            update_expression: &guarded.update,
            condition_expression: Some(guarded.condition.as_str()),
            expression_attribute_names: Some(&guarded.names),
            expression_attribute_values: Some(&guarded.values),
            return_values: show,
            // Tells an item that a live writer has set from one that is gone, and what the failure cost; it costs nothing itself.
            return_values_on_condition_check_failure: Some(ALL_OLD),
            return_consumed_capacity: TOTAL,
        };
        let updated = match self.sender.call(&update).await {
            Ok(updated) => updated,
            Err(error) => return Ok((refused(table, error)?, None)),
        };
        let write = Write {
            outcome: Outcome::Updated,
            consumed_wcu: updated.consumed_capacity.map_or(0.0, |c| c.capacity_units),
        };
        Ok((write, updated.attributes))
    }
}

/// Write units of a statement or an update that DynamoDB carried out and that it has not charged more for.
const LEAST_UNITS: f64 = 1.0;

/// Write units of a condition that failed on an item of this size, or on none.
fn failed_condition_units(item: Option<ItemBytes>) -> f64 {
    item.map_or(LEAST_UNITS, |item| write_units(item.0))
}

/// Write units of a statement that failed, if the batch reports none: a failed condition costs what writing the item that is
/// there would; what DynamoDB refuses for the item's sake costs as much, but does not bring it along. Others were not carried
/// out.
fn units_of_error(error: &StatementError) -> f64 {
    match error.code.as_str() {
        CONDITION_FAILED => failed_condition_units(error.item),
        "ItemCollectionSizeLimitExceeded" | "ValidationError" => LEAST_UNITS,
        _ => 0.0,
    }
}

/// The codes with which an update is refused because of somebody else's write to the very item: a transaction's, or
/// another region's (service model, UpdateItem).
const OTHERS_AT_WORK: [&str; 3] = [
    "TransactionConflictException",
    "TransactionInProgressException",
    "ReplicatedWriteConflictException",
];

/// Why an item could not be looked at. A code that nobody knows is a refusal of this way of looking: with which one a table
/// without transactions refuses them is documented nowhere.
fn refused_look(doing: &str, error: SdkError) -> Error {
    let is_refusal = error.code().is_some();
    let error = failure(doing, error);
    match error.kind() {
        ErrorKind::Internal if is_refusal => Error::new(ErrorKind::InvalidSpec, error.to_string()),
        _ => error,
    }
}

/// What a refused update means. DynamoDB reports no capacity with an error: see [`failed_condition_units`].
fn refused(table: &str, error: SdkError) -> Result<Write> {
    let message = error.message().unwrap_or_default();
    let mut consumed_wcu = LEAST_UNITS;
    let outcome = match error.code() {
        Some("ConditionalCheckFailedException") => {
            let failed = details::<ConditionFailed<ItemBytes>>(&error);
            let item = failed.and_then(|failed| failed.item);
            consumed_wcu = failed_condition_units(item);
            match item {
                Some(_) => Outcome::Raced,
                None => Outcome::Vanished,
            }
        }
        Some(code @ "ItemCollectionSizeLimitExceededException") => {
            Outcome::Rejected(match error.message() {
                Some(message) => format!("{code}: {message}"),
                None => code.to_owned(),
            })
        }
        Some("ValidationException") if Refusal::by(message) == Refusal::OfTheItem => {
            Outcome::Rejected(message.to_owned())
        }
        Some("ValidationException") if Refusal::by(message) == Refusal::Unclear => {
            Outcome::Unclear(message.to_owned())
        }
        code => {
            let is_busy = code.is_some_and(|code| OTHERS_AT_WORK.contains(&code));
            let error = failure(&format!("updating table {table}"), error);
            return Err(match is_busy {
                true => Error::new(ErrorKind::ItemBusy, error.to_string()),
                false => error,
            });
        }
    };
    Ok(Write {
        outcome,
        consumed_wcu,
    })
}

#[cfg(test)]
mod tests {
    use backfill_core::Key;

    use super::*;
    use crate::send::tests::answered;

    /// What becomes of an update that DynamoDB answers with status 400 and this error.
    async fn refused_with(code: &str, message: &str) -> Result<Outcome> {
        let key = Key(Item::new());
        let update = UpdateItem::of("stuff", &key, "SET a = b");
        let body = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"{message}"}}"#
        );
        let sender = answered(400, None, body.leak()).await;
        let error = sender.call(&update).await.unwrap_err();
        Ok(refused("stuff", error)?.outcome)
    }

    #[tokio::test]
    async fn a_refused_update_is_told_by_code_and_words() {
        for code in OTHERS_AT_WORK {
            let error = refused_with(code, "others").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ItemBusy, "{code}");
            assert!(error.to_string().contains(code), "{error}");
        }
        for (message, outcome) in [
            (
                "The update expression attempted to update the secondary index key to unsupported type",
                Some(Outcome::Rejected as fn(String) -> Outcome),
            ),
            ("It is odd", Some(Outcome::Unclear)),
            ("Invalid UpdateExpression: Syntax error", None),
        ] {
            let refused = refused_with("ValidationException", message).await;
            match outcome {
                Some(outcome) => assert_eq!(refused.unwrap(), outcome(message.into())),
                None => assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidSpec),
            }
        }
    }

    /// A throttled statement was not carried out. A failed condition costs what writing the item that is there would, or one unit.
    #[test]
    fn a_throttled_statement_costs_nothing() {
        for (code, bytes, units) in [
            ("ThrottlingError", None, 0.0),
            ("ProvisionedThroughputExceeded", None, 0.0),
            ("ConditionalCheckFailed", None, 1.0),
            ("ConditionalCheckFailed", Some(4_097), 5.0),
            ("ValidationError", None, 1.0),
        ] {
            let error = StatementError {
                code: code.into(),
                message: String::new(),
                item: bytes.map(ItemBytes),
            };
            assert_eq!(units_of_error(&error), units, "{code}, {bytes:?}");
        }
    }

    /// The error of one statement leaves its item open, and batches on; a role that may not send any ends them.
    #[tokio::test]
    async fn a_refused_statement_leaves_its_item_open() {
        let spec = backfill_core::Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#);
        let keys = KeySchema {
            hash: KeyAttribute::new("id", backfill_core::table::KeyType::S),
            range: None,
        };
        let writer = Writer {
            sender: answered(200, None, "").await,
            change: spec.unwrap().spec.change(&keys),
            in_batches: true,
            without_batches: WithoutBatches::default(),
            looks: Looks::default(),
        };
        let refused = |code: &str, message: &str| {
            let error = StatementError {
                code: code.into(),
                message: message.into(),
                item: None,
            };
            writer.refused_statement("updating", error)
        };
        let words = "Number overflow. Attempting to store a number …";
        assert_eq!(
            refused("ValidationError", words).unwrap(),
            Outcome::Rejected(words.into())
        );
        for code in [
            "ValidationError",
            "ReplicatedWriteConflict",
            "TransactionConflict",
            "NeverHeardOf",
        ] {
            let error = refused(code, "odd").unwrap_err();
            assert!(error.to_string().contains(code), "{error}");
            assert_eq!(writer.batch_size(), BATCH_SIZE, "{code}");
        }
        refused("AccessDenied", "no").unwrap_err();
        assert_eq!(writer.batch_size(), 1);
    }
}
