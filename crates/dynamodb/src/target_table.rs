//! The target table: description, pages of pending keys, the guarded updates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    ConditionCheck, KeyType as Role, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TransactWriteItem,
};
use backfill_core::change::partiql::{BATCH_SIZE, BoundStatement};
use backfill_core::change::{Seen, SharedChange};
use backfill_core::ports::{
    Batch, Outcome, Page, PageRequest, ReadAccess, TableReader, TableWriter, Write, WriteAccess,
};
use backfill_core::request::WriterKind;
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::convert::{from_item, to_item};
use crate::direct::{Call, Direct, DirectReads, ReadCall};
use crate::failure::{failure, failure_of_code, update_failure};

/// Access that can only read: there is no code behind it that could write to a table.
#[derive(Debug, Clone)]
pub struct ReadOnly(pub Connection);

/// Access that can also apply the guarded update.
#[derive(Debug, Clone)]
pub struct ReadWrite {
    connection: Connection,
    without_batches: WithoutBatches,
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

impl ReadWrite {
    /// Access through this connection.
    pub fn new(connection: Connection) -> Self {
        ReadWrite {
            connection,
            without_batches: WithoutBatches::default(),
        }
    }
}

/// Reads the pending keys of one table.
pub struct Reader {
    direct: DirectReads,
    change: SharedChange,
}

/// Updates the pending items of one table.
pub struct Writer {
    client: Client,
    direct: Direct,
    change: SharedChange,
    /// The update may be sent in batches.
    in_batches: bool,
    without_batches: WithoutBatches,
}

impl ReadAccess for ReadOnly {
    type Reader = Reader;

    async fn describe(&self, table: &str) -> Result<TableDescription> {
        describe(&self.0, table).await
    }

    fn reader(&self, change: SharedChange) -> Reader {
        Reader {
            direct: DirectReads(self.0.direct.clone()),
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
            client: self.connection.client.clone(),
            direct: self.connection.direct.clone(),
            in_batches: kind == WriterKind::Batch,
            without_batches: self.without_batches.clone(),
            change,
        }
    }
}

async fn describe(connection: &Connection, table: &str) -> Result<TableDescription> {
    let response = connection
        .client
        .describe_table()
        .table_name(table)
        .send()
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
    let odd = |what: &str| {
        Error::new(
            ErrorKind::Internal,
            format!("the description of table {table} has no {what}"),
        )
    };
    let description = response.table().ok_or_else(|| odd("table"))?;
    let attribute = |role: &Role| -> Result<Option<KeyAttribute>> {
        let Some(element) = description
            .key_schema()
            .iter()
            .find(|element| element.key_type() == role)
        else {
            return Ok(None);
        };
        let name = element.attribute_name();
        let definition = description
            .attribute_definitions()
            .iter()
            .find(|definition| definition.attribute_name() == name)
            .ok_or_else(|| odd("type for a key attribute"))?;
        let kind = match definition.attribute_type() {
            ScalarAttributeType::S => KeyType::S,
            ScalarAttributeType::N => KeyType::N,
            ScalarAttributeType::B => KeyType::B,
            _ => return Err(odd("known type for a key attribute")),
        };
        Ok(Some(KeyAttribute::new(name, kind)))
    };
    let identity = description.table_id().map(str::to_owned).or_else(|| {
        description
            .creation_date_time()
            .map(|time| time.as_secs_f64().to_string())
    });
    Ok(TableDescription {
        status: description
            .table_status()
            .map_or_else(|| "in an unknown state".into(), |s| s.as_str().to_owned()),
        identity: identity.unwrap_or_default(),
        keys: KeySchema {
            hash: attribute(&Role::Hash)?.ok_or_else(|| odd("partition key"))?,
            range: attribute(&Role::Range)?,
        },
        item_count: description.item_count().unwrap_or(0).max(0) as u64,
        size_bytes: description.table_size_bytes().unwrap_or(0).max(0) as u64,
    })
}

/// API reference, Scan.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Scan<'a> {
    table_name: &'a str,
    segment: u32,
    total_segments: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_start_key: Option<&'a Key>,
    limit: u32,
    consistent_read: bool,
    filter_expression: &'a str,
    projection_expression: &'a str,
    expression_attribute_names: &'a BTreeMap<String, String>,
    // DynamoDB refuses an empty map: "ExpressionAttributeValues must not be empty".
    #[serde(skip_serializing_if = "Item::is_empty")]
    expression_attribute_values: &'a Item,
    return_consumed_capacity: &'static str,
}

impl Call for Scan<'_> {
    const OPERATION: &'static str = "Scan";
    type Answer = Scanned;
}

impl ReadCall for Scan<'_> {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Scanned {
    items: Vec<Item>,
    scanned_count: u64,
    last_evaluated_key: Option<Key>,
    consumed_capacity: Option<Capacity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Capacity {
    #[serde(default)]
    pub(crate) capacity_units: f64,
}

impl TableReader for Reader {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        let sweep = self.change.sweep();
        let scan = Scan {
            table_name: self.change.table(),
            segment: request.segment,
            total_segments: request.total_segments,
            exclusive_start_key: request.after,
            limit: request.limit,
            consistent_read: request.consistent,
            filter_expression: &sweep.filter,
            projection_expression: &sweep.projection,
            expression_attribute_names: &sweep.names,
            expression_attribute_values: &sweep.values,
            return_consumed_capacity: "TOTAL",
        };
        let scanned =
            self.direct.call(&scan).await.map_err(|error| {
                failure(&format!("scanning table {}", self.change.table()), error)
            })?;
        // Of most changes a sweep brings nothing but keys, which then need not be taken apart.
        let seen = |item: Item| match self.change.reads() {
            [] => Seen::from(Key(item)),
            _ => Seen::new(self.change.keys(), item),
        };
        Ok(Page {
            pending: scanned.items.into_iter().map(seen).collect(),
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
        Ok(self.send(item, ReturnValue::None).await?.0)
    }

    async fn update_and_show(&self, item: &Seen) -> Result<(Write, Option<Item>)> {
        self.send(item, ReturnValue::AllNew).await
    }

    /// A transaction of nothing but a ConditionCheck, which writes nothing: GetItem knows no condition, and the
    /// filter of a Query may not name a key attribute, as `P` may. The check is that `P` does not hold, so that
    /// its failure brings the item along.
    async fn pending_item(&self, key: &Key) -> Result<Option<Item>> {
        let check = self.change.not_pending();
        let table = self.change.table();
        let doing = format!("checking the item with key {key} of table {table}");
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(to_item(&key.0)))
            .condition_expression(&check.expression)
            .set_expression_attribute_names(Some(check.names.clone().into_iter().collect()))
            .set_expression_attribute_values(some_unless_empty(&check.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, &doing).with_source(error))?;
        let result = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().condition_check(check).build())
            .send()
            .await;
        let Err(error) = result else { return Ok(None) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        else {
            return Err(failure(&doing, error));
        };
        let reason = cancelled.cancellation_reasons().first();
        match reason.and_then(|reason| Some((reason.code()?, reason.item()))) {
            Some(("ConditionalCheckFailed", Some(item))) => Ok(Some(from_item(item)?)),
            Some((code, _)) => Err(failure_of_code(
                &doing,
                code,
                reason.and_then(|reason| reason.message()),
            )),
            None => Err(failure(&doing, error)),
        }
    }
}

/// API reference, BatchExecuteStatement.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchExecuteStatement<'a> {
    statements: Vec<BatchStatement<'a>>,
    return_consumed_capacity: &'static str,
}

impl Call for BatchExecuteStatement<'_> {
    const OPERATION: &'static str = "BatchExecuteStatement";
    type Answer = BatchExecuted;
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchStatement<'a> {
    statement: &'a str,
    parameters: Vec<&'a Value>,
    return_values_on_condition_check_failure: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchExecuted {
    responses: Vec<StatementResponse>,
    consumed_capacity: Option<Vec<Capacity>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatementResponse {
    error: Option<StatementError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatementError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    /// That it is there is all that matters of it.
    item: Option<IgnoredAny>,
}

impl Writer {
    /// Whether the update is sent in batches.
    fn takes_batches(&self) -> bool {
        self.in_batches && !self.without_batches.contains(self.change.fingerprint())
    }

    fn give_up_batches(&self, reason: &str) {
        self.without_batches
            .add(self.change.table(), self.change.fingerprint(), reason);
    }

    /// A batch of one, which is all that [`TableWriter::batch_size`] allows without PartiQL. Where that has changed since
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
                    // Tells an item that a live writer has set from one that is gone, at no cost.
                    return_values_on_condition_check_failure: "ALL_OLD",
                })
                .collect(),
            return_consumed_capacity: "TOTAL",
        };
        let executed = match self.direct.call(&batch).await {
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
                self.give_up_batches(&error.to_string());
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
        let outcomes: Vec<Result<Outcome>> = executed
            .responses
            .into_iter()
            .map(|response| match response.error {
                None => Ok(Outcome::Updated),
                Some(error) => self.refused_statement(&doing, error),
            })
            .collect();
        // The total holds what failed statements cost too; it is missing where none succeeded, and then each that was
        // carried out costs at least one unit (as dynoxide observed of the service, and as for UpdateItem).
        let consumed_wcu = match executed.consumed_capacity {
            Some(tables) if !tables.is_empty() => {
                tables.iter().map(|table| table.capacity_units).sum()
            }
            _ => outcomes.iter().filter(|outcome| outcome.is_ok()).count() as f64,
        };
        Ok(Batch {
            outcomes,
            consumed_wcu,
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
            "ConditionalCheckFailed" => Ok(match item {
                Some(_) => Outcome::Raced,
                None => Outcome::Vanished,
            }),
            "ItemCollectionSizeLimitExceeded" => Ok(Outcome::Rejected(message)),
            "ValidationError" if is_of_the_item(&message) => Ok(Outcome::Rejected(message)),
            code => {
                let error = failure_of_code(doing, code, Some(&message));
                if matches!(
                    error.kind(),
                    ErrorKind::AccessDenied | ErrorKind::InvalidSpec
                ) {
                    self.give_up_batches(&error.to_string());
                }
                Err(error)
            }
        }
    }

    async fn send(&self, item: &Seen, show: ReturnValue) -> Result<(Write, Option<Item>)> {
        let table = self.change.table();
        let guarded = self.change.update(item);
        let result = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(to_item(&item.key.0)))
            .update_expression(guarded.update)
            .condition_expression(guarded.condition)
            .set_expression_attribute_names(Some(guarded.names.into_owned().into_iter().collect()))
            .set_expression_attribute_values(some_unless_empty(&guarded.values))
            // Tells an item that a live writer has set from one that is gone, at no cost.
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_values(show)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let response = match result {
            Ok(response) => response,
            Err(error) => return Ok((refused(table, error)?, None)),
        };
        let write = Write {
            outcome: Outcome::Updated,
            consumed_wcu: response
                .consumed_capacity()
                .and_then(|capacity| capacity.capacity_units())
                .unwrap_or(0.0),
        };
        Ok((write, response.attributes().map(from_item).transpose()?))
    }
}

/// What a refused update means. DynamoDB reports no capacity with an error; a failed condition costs at least
/// one unit (developer guide, Read and write operations), so one is counted.
fn refused(table: &str, error: SdkError<UpdateItemError>) -> Result<Write> {
    let outcome = match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(check)) => match check.item() {
            Some(_) => Outcome::Raced,
            None => Outcome::Vanished,
        },
        Some(UpdateItemError::ItemCollectionSizeLimitExceededException(limit)) => {
            Outcome::Rejected(limit.to_string())
        }
        Some(other) if other.code() == Some("ValidationException") => {
            match other.message().filter(|message| is_of_the_item(message)) {
                Some(message) => Outcome::Rejected(message.to_owned()),
                None => return Err(update_failure(&format!("updating table {table}"), error)),
            }
        }
        _ => return Err(update_failure(&format!("updating table {table}"), error)),
    };
    Ok(Write {
        outcome,
        consumed_wcu: 1.0,
    })
}

/// True where a ValidationException is about the content of this one item. Everything else is about the
/// request, which is the same for every item, and ends the run.
fn is_of_the_item(message: &str) -> bool {
    const OF_THE_ITEM: [&str; 11] = [
        "Item size to update has exceeded the maximum allowed size",
        "Item size has exceeded the maximum allowed size",
        "An operand in the update expression has an incorrect data type",
        "The provided expression refers to an attribute that does not exist in the item",
        "The document path provided in the update expression is invalid for update",
        "Number overflow",
        "Number underflow",
        "Attempting to store more than 38 significant digits",
        "Nesting Levels have exceeded supported limits",
        "Type mismatch for Index Key",
        "update a secondary index key to a value that is not supported",
    ];
    OF_THE_ITEM.iter().any(|start| message.contains(start))
}

fn some_unless_empty(
    values: &backfill_core::Item,
) -> Option<std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>> {
    // DynamoDB refuses an empty map: "ExpressionAttributeValues must not be empty".
    (!values.is_empty()).then(|| to_item(values))
}
