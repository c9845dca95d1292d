//! The target table: pages of pending keys, the guarded updates.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use backfill_core::change::partiql::{BATCH_SIZE, BoundStatement};
use backfill_core::change::{Seen, SharedChange, Sweep};
use backfill_core::ports::{
    Alarm, Asks, Batch, LackingPage, Look, LookBy, Outcome, Page, PageRequest, ReadAccess,
    TableReader, TableWriter, Write, WriteAccess,
};
use backfill_core::request::{WriterKind, WrittenBy};
use backfill_core::table::TableDescription;
use backfill_core::value::measured::ItemBytes;
use backfill_core::value::size::write_units;
use backfill_core::{Error, ErrorKind, Item, Key, Result};

use crate::alarms::alarm;
use crate::calls::{
    ALL_OLD, BatchExecuteStatement, BatchStatement, Scan, ScanOfFew, ScanOfKeys, Scanned,
    StatementError, TOTAL, UpdateItem,
};
use crate::connection::Connection;
use crate::description::describe;
use crate::failure::{failure, failure_of_code, items_of};
use crate::looks::{self, Looks};
use crate::onward::Onward;
use crate::outcome::{
    Found, LEAST_UNITS, STATEMENT_CONDITION_FAILED, of_failed_guard, refused, units_of_error,
};
use crate::refusal::Refusal;
use crate::send::{ProvideErrorMetadata as _, ReadCall, ReadSender, SdkError, Sender};
use crate::trouble::{Trouble, What};

/// The largest item.
const MAX_ITEM_BYTES: u64 = 400 * 1024;

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

    /// True if it was not there yet.
    fn add(&self, fingerprint: &str) -> bool {
        let mut specs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        specs.insert(fingerprint.to_owned())
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
    /// The segments whose last page has ended where it has begun.
    repeating: Mutex<BTreeMap<u32, Onward>>,
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
            repeating: Mutex::default(),
        }
    }

    async fn alarm(&self, name: &str) -> Result<Option<Alarm>> {
        alarm(&self.0, name).await
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

    async fn alarm(&self, name: &str) -> Result<Option<Alarm>> {
        alarm(&self.connection, name).await
    }
}

impl WriteAccess for ReadWrite {
    type Writer = Writer;

    fn writer(&self, change: SharedChange, kind: WriterKind) -> Writer {
        let by = WrittenBy::new(&*change, kind);
        if kind == WriterKind::Batch && !by.is_in_batches() {
            // As the plan has said it, and nothing is amiss.
            if self.without_batches.add(change.fingerprint()) {
                let (table, reason) = (change.table(), &by.why);
                tracing::info!(table, "writing by UpdateItem instead of batches: {reason}");
            }
        }
        Writer {
            sender: Sender::new(&self.connection),
            in_batches: by.is_in_batches(),
            without_batches: self.without_batches.clone(),
            looks: self.looks.clone(),
            change,
        }
    }
}

impl TableReader for Reader {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        let change = &*self.change;
        // For most changes a sweep brings nothing but keys, which then need not be taken apart.
        if change.writes_same_to_all() {
            let scanned = self.scan(change.sweep(), request, ScanOfKeys).await?;
            let (items, mut page) = self.taken_apart(scanned)?;
            page.pending = items.into_iter().map(Seen::from).collect();
            return Ok(page);
        }
        let sweep = match request.asks {
            Asks::Sweep => change.sweep(),
            Asks::Proof => change.proof(),
        };
        let scanned = self.scan(sweep, request, ScanOfFew).await?;
        let (items, mut page) = self.taken_apart(scanned)?;
        match request.asks {
            Asks::Sweep => page.keep_pending(change, items),
            Asks::Proof => page.weigh(change, items),
        }
        Ok(page)
    }

    async fn lacking(&self, request: PageRequest<'_>) -> Result<LackingPage> {
        let Some(lacks) = self.change.lacks() else {
            let why = format!("{}: nothing lacks what nothing sets", self.doing());
            return Err(Error::new(ErrorKind::Internal, why));
        };
        let scanned = self.scan(&lacks.sweep, request, |scan| scan).await?;
        let items = items_of(|| self.doing(), scanned.items)?;
        let lacking = |name: &String| items.iter().filter(|item| !item.contains_key(name)).count();
        Ok(LackingPage {
            lacking: lacks
                .attributes
                .iter()
                .map(|name| lacking(name) as u64)
                .collect(),
            scanned: scanned.scanned_count,
            next: scanned.last_evaluated_key,
            consumed_rcu: scanned.consumed_capacity.map_or(0.0, |c| c.capacity_units),
        })
    }
}

impl Reader {
    fn doing(&self) -> String {
        format!("scanning table {}", self.change.table())
    }

    /// The items that a Scan has answered with, and the page that they are of.
    fn taken_apart<I>(&self, scanned: Scanned<I>) -> Result<(Vec<I>, Page)> {
        let items = items_of(|| self.doing(), scanned.items)?;
        let page = Page {
            pending: Vec::new(),
            passed_over: 0,
            different: Vec::new(),
            scanned: scanned.scanned_count,
            next: scanned.last_evaluated_key,
            consumed_rcu: scanned.consumed_capacity.map_or(0.0, |c| c.capacity_units),
        };
        Ok((items, page))
    }

    /// One Scan, sent as this call.
    async fn scan<'a, I, C: ReadCall<Answer = Scanned<I>>>(
        &'a self,
        sweep: &'a Sweep,
        request: PageRequest<'a>,
        call: impl Fn(Scan<'a>) -> C,
    ) -> Result<Scanned<I>> {
        let scan = call(Scan {
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
        });
        let scanned = self.sender.call(&scan).await;
        let scanned = scanned.map_err(|error| failure(&self.doing(), error))?;
        let next = scanned.last_evaluated_key.as_ref();
        self.goes_on(&self.doing(), request.segment, request.after, next)?;
        Ok(scanned)
    }

    /// Refuses a segment whose pages lead nowhere.
    fn goes_on(
        &self,
        doing: &str,
        segment: u32,
        after: Option<&Key>,
        next: Option<&Key>,
    ) -> Result<()> {
        let mut repeating = self
            .repeating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if next.is_none() || next != after {
            repeating.remove(&segment);
            return Ok(());
        }
        let doing = format!("{doing}, segment {segment},");
        repeating
            .entry(segment)
            .or_default()
            .check(&doing, after, next)
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
        if self.without_batches.add(self.change.fingerprint()) {
            let table = self.change.table();
            tracing::warn!(table, "writing by UpdateItem instead of batches: {reason}");
        }
    }

    async fn update_batch(&self, items: &[Seen]) -> Result<Batch> {
        if !self.takes_batches() {
            return self.update_one(items).await;
        }
        match self.change.writes_same_to_all() {
            true => self.execute::<ItemBytes>(items).await,
            false => self.execute::<Item>(items).await,
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
        let sender = ReadSender::from(&self.sender);
        let looked = match by {
            LookBy::Check => looks::check(&sender, &**change, key).await,
            LookBy::Query => {
                let filter = Some(change.pending().expression.as_str());
                looks::query(&sender, &**change, key, filter).await
            }
            LookBy::Page => looks::query(&sender, &**change, key, None).await,
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
                sent: 0,
                consumed_wcu: 0.0,
            });
        };
        let write = self.update(item).await?;
        Ok(Batch {
            sent: usize::from(!matches!(write.outcome, Outcome::Unmade(_))),
            outcomes: vec![Ok(write.outcome)],
            consumed_wcu: write.consumed_wcu,
        })
    }

    /// One BatchExecuteStatement. A statement that a batch cannot settle is left with an error; UpdateItem has more to
    /// say of it, such as the reasons for throttling. So is an item of which PartiQL cannot say what its guard does.
    async fn execute<I: Found>(&self, items: &[Seen]) -> Result<Batch> {
        let change = &*self.change;
        let doing = format!("updating table {}", change.table());
        let made: Vec<_> = items.iter().map(|item| change.make(item)).collect();
        let bound = items.iter().zip(&made).map(|(item, made)| match made {
            Ok(made) => match change.statement(item, made) {
                Ok(statement) => Stated::Sent(item, statement),
                Err(why) => Stated::Settled(Err(left_open(why))),
            },
            Err(why) => Stated::Settled(Ok(Outcome::Unmade(why.clone()))),
        });
        let mut stated: Vec<Stated<'_>> = bound.collect();
        let statements = stated.iter_mut().filter_map(|stated| match stated {
            Stated::Sent(_, statement) => Some(BatchStatement {
                statement: &statement.text,
                parameters: std::mem::take(&mut statement.parameters),
                // Tells an item that a live writer has set from one that is gone, and what the failure cost; it costs nothing itself.
                return_values_on_condition_check_failure: ALL_OLD,
            }),
            Stated::Settled(_) => None,
        });
        let batch = BatchExecuteStatement {
            statements: statements.collect(),
            return_consumed_capacity: TOTAL,
            found: PhantomData::<fn() -> I>,
        };
        let count = batch.statements.len();
        let answer = match count {
            0 => Answer::none(),
            _ => self.send_batch(&doing, &batch).await?,
        };
        drop(batch);
        let Answer {
            responses,
            consumed_wcu,
        } = answer;
        if responses.len() != count {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "{doing}: a batch of {count} statements has {} answers",
                    responses.len()
                ),
            ));
        }
        let mut responses = responses.into_iter();
        let outcomes = stated.into_iter().map(|stated| match stated {
            Stated::Settled(outcome) => outcome,
            Stated::Sent(item, _) => match responses.next() {
                Some(Ok(None)) => Ok(Outcome::Updated),
                Some(Ok(Some(error))) => self.refused_statement(&doing, item, error),
                Some(Err(error)) => Err(error),
                None => Err(left_open("it has no answer")),
            },
        });
        Ok(Batch {
            outcomes: outcomes.collect(),
            sent: count,
            consumed_wcu,
        })
    }

    /// Sends a batch of at least one statement.
    async fn send_batch<I: Found>(
        &self,
        doing: &str,
        batch: &BatchExecuteStatement<'_, I>,
    ) -> Result<Answer<I>> {
        let count = batch.statements.len();
        let executed = match self.sender.call(batch).await {
            Ok(executed) => executed,
            // Up to 25 items of 400 KB come back, and JSON may be several times as long: one by one they fit. What was written,
            // that item's own UpdateItem finds so.
            Err(error) if is_too_long(&error) => {
                return Ok(Answer {
                    responses: (0..count)
                        .map(|_| Err(left_open("the batch's answer is too long")))
                        .collect(),
                    consumed_wcu: count as f64 * write_units(MAX_ITEM_BYTES),
                });
            }
            Err(error) => {
                let refused = matches!(
                    error.code(),
                    Some(
                        "AccessDeniedException"
                            | "UnknownOperationException"
                            | "ValidationException"
                    )
                );
                let error = failure(doing, error);
                if !refused {
                    return Err(error);
                }
                // Nothing was written. UpdateItem, which is to come for each, says whether that is allowed.
                self.distrust_batches(&error.to_string());
                let open = || Error::new(ErrorKind::InvalidSpec, error.to_string());
                return Ok(Answer {
                    responses: (0..count).map(|_| Err(open())).collect(),
                    consumed_wcu: 0.0,
                });
            }
        };
        let responses = executed.responses.into_iter();
        let responses: Vec<_> = responses.map(|response| Ok(response.error)).collect();
        let units = |response: &Result<Option<StatementError<I>>>| match response {
            Ok(Some(error)) => units_of_error(error),
            _ => LEAST_UNITS,
        };
        // The total holds what failed statements cost too. It is missing if none succeeded, though they cost the same.
        let reported = executed.consumed_capacity.filter(|all| !all.is_empty());
        Ok(Answer {
            consumed_wcu: match reported {
                Some(tables) => tables.iter().map(|table| table.capacity_units).sum(),
                None => responses.iter().map(units).sum(),
            },
            responses,
        })
    }

    /// What the error of one statement means (API reference, BatchStatementError).
    fn refused_statement<I: Found>(
        &self,
        doing: &str,
        seen: &Seen,
        error: StatementError<I>,
    ) -> Result<Outcome> {
        let StatementError {
            code,
            message,
            item,
        } = error;
        match code.as_str() {
            STATEMENT_CONDITION_FAILED => Ok(of_failed_guard(&*self.change, seen, item)),
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
        let change = &*self.change;
        let made = match change.make(item) {
            Ok(made) => made,
            Err(why) => return Ok((Write::free(Outcome::Unmade(why)), None)),
        };
        let guarded = change.update(item, &made);
        let update = UpdateItem {
            table_name: change.table(),
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
            Err(error) => {
                let write = match change.writes_same_to_all() {
                    true => refused::<ItemBytes>(change, item, error),
                    false => refused::<Item>(change, item, error),
                };
                return Ok((write?, None));
            }
        };
        let write = Write {
            outcome: Outcome::Updated,
            consumed_wcu: updated.consumed_capacity.map_or(0.0, |c| c.capacity_units),
        };
        Ok((write, updated.attributes))
    }
}

/// One item of a batch.
enum Stated<'a> {
    /// Its statement goes with the batch.
    Sent(&'a Seen, BoundStatement<'a>),
    /// It does not.
    Settled(Result<Outcome>),
}

/// What a batch has answered.
struct Answer<I> {
    /// One for each statement, in their order: what is wrong with it, if anything is.
    responses: Vec<Result<Option<StatementError<I>>>>,
    consumed_wcu: f64,
}

impl<I> Answer<I> {
    fn none() -> Self {
        Answer {
            responses: Vec::new(),
            consumed_wcu: 0.0,
        }
    }
}

/// The error of an item that is left to its own UpdateItem.
fn left_open(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}

/// True if the answer was longer than what is read of one.
fn is_too_long(error: &SdkError) -> bool {
    Trouble::in_chain(error).is_some_and(|trouble| trouble.what() == What::TooLong)
}

#[cfg(test)]
mod tests {
    use backfill_core::table::{KeyAttribute, KeySchema};

    use super::*;
    use crate::send::tests::answered;

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
        let seen = Seen::from(Key(Item::new()));
        let refused = |code: &str, message: &str| {
            let error = StatementError::<ItemBytes> {
                code: code.into(),
                message: message.into(),
                item: None,
            };
            writer.refused_statement("updating", &seen, error)
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
