//! The events of the guard function, and its answers.
//!
//! Lambda brings it batches of stream records, and its own notes of records that it has given up, from a queue; a schedule asks it to
//! look whether it watches still. Only what may succeed later is answered as failed, and comes again: what nobody can settle by trying
//! again is noted, which withdraws the claim of the guard, and passed.

use backfill_core::change::SharedChange;
use backfill_core::clock::{ms_of_rfc3339, now_ms};
use backfill_core::engine::metrics::{GuardFigures, report_look};
use backfill_core::guard::{Found, FoundMapping, GivenUp, Guard, refuse_unfit};
use backfill_core::pace::retry::{Until, retry};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::ports::stream::{Brought, sequence_of};
use backfill_core::records::{GuardHour, GuardRecord, Loss, LossKind, Watcher};
use backfill_core::request::parse_strictly;
use backfill_core::{Error, Result, printable};
use backfill_dynamodb::calls::{
    found_mapping, is_same_function, list_event_source_mappings, stack_of_guard,
};
use backfill_dynamodb::send::{LAMBDA, ReadSender, Sender};
use backfill_dynamodb::stream::record_of;
use backfill_dynamodb::{CheckpointTable, ReadWrite, Streams, failure};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::log::Subject;
use crate::serve::{Event, Invocation, Setup};

/// Lambda's name for the stream of a table.
const STREAM: &str = "aws:dynamodb";

/// Lambda's name for a queue.
const QUEUE: &str = "aws:sqs";

/// An event of the guard function. What Lambda brings is read piece by piece: one odd record is not to fail the others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GuardEvent {
    /// Stream records, or messages of a queue.
    #[serde(rename = "Records")]
    records: Vec<Box<RawValue>>,
    /// Whether to look if the guard watches still.
    look: bool,
}

impl Event for GuardEvent {
    fn subject(&self) -> Subject {
        Subject::default()
    }
}

/// What records and messages say of themselves.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    event_source: String,
    #[serde(default, rename = "eventSourceARN")]
    event_source_arn: String,
}

/// A message of a queue, as Lambda brings it (developer guide, Using Lambda with Amazon SQS, example event).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: String,
    #[serde(default)]
    body: String,
}

/// The body of a message about records that were given up (developer guide, Retaining discarded records for a DynamoDB event
/// source).
#[derive(Debug, Deserialize)]
struct Discarded {
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: Batch,
    /// When they were given up, by RFC 3339.
    #[serde(default)]
    timestamp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    stream_arn: String,
    /// By RFC 3339, as the next one.
    #[serde(default)]
    approximate_arrival_of_first_record: Option<String>,
    #[serde(default)]
    approximate_arrival_of_last_record: Option<String>,
}

/// What the guard function answers.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What is to come again: of stream records the first that is not settled, with all behind it; of messages each.
    batch_item_failures: Vec<ItemFailure>,
    /// What a look has found that the guard may have missed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    losses: Vec<Loss>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

impl Answer {
    fn failed(items: impl IntoIterator<Item = String>) -> Answer {
        let failures = items
            .into_iter()
            .map(|item_identifier| ItemFailure { item_identifier });
        Answer {
            batch_item_failures: failures.collect(),
            losses: Vec::new(),
        }
    }
}

/// The stream records of an event, each of whose texts is let go of when it is read.
fn parsed(raw: Vec<Box<RawValue>>) -> Vec<Brought> {
    let records = raw.into_iter();
    records.map(|raw| record_of(raw.get())).collect()
}

/// What names this record as failed, and with it all behind it. If the record itself does not tell, one before it does, which then comes
/// again as well; a name that is empty fails the whole batch.
fn name_of(records: &[Brought], open: usize) -> String {
    let named = records.iter().take(open + 1).rev().find_map(sequence_of);
    named.unwrap_or_default().to_owned()
}

/// Where the records of an event come from: as the first of them says that can be understood that far.
///
/// Errors: `InvalidInput` if none does, or if it is from somewhere else.
fn origin(records: &[Box<RawValue>]) -> Result<Origin> {
    let mut origins = records
        .iter()
        .filter_map(|record| serde_json::from_str::<Origin>(record.get()).ok());
    let expected = || {
        format!(
            "expected stream records, whose eventSource is {STREAM}, messages of a queue, whose eventSource is {QUEUE}, or \
             {{\"look\":true}}"
        )
    };
    match origins.next() {
        Some(origin) if [STREAM, QUEUE].contains(&origin.event_source.as_str()) => Ok(origin),
        Some(origin) => Err(Error::invalid(
            "Records",
            format!("{}, got {}", expected(), printable(&origin.event_source)),
        )),
        None => Err(Error::invalid("Records", expected())),
    }
}

/// Whether this is the guard function of the stack (`…:function:STACK-guard`, with or without an alias): of any, if none is named.
fn is_of_stack(function: &str, stack: Option<&str>) -> bool {
    stack.is_none_or(|stack| stack_of_guard(function) == Some(stack))
}

/// One invocation of the guard function.
pub(crate) struct Watch<'a> {
    setup: &'a Setup,
    table: &'a str,
    guard: Guard<ReadWrite, CheckpointTable>,
    function_arn: String,
    until: Until,
}

impl<'a> Watch<'a> {
    /// One that guards this table.
    pub(crate) fn new(
        setup: &'a Setup,
        access: &ReadWrite,
        table: &'a str,
        invocation: Invocation,
    ) -> Watch<'a> {
        Watch {
            setup,
            table,
            guard: Guard {
                access: access.clone(),
                store: setup.checkpoints.clone(),
            },
            function_arn: invocation.function_arn,
            until: Until {
                deadline: invocation.latest,
                stop: CancellationToken::new(),
            },
        }
    }

    /// Does what the event asks for.
    ///
    /// Errors: `InvalidInput` for an event that is none of its own; what is not of one item, such as rights that are missing.
    pub(crate) async fn answer(&self, event: GuardEvent) -> Result<Answer> {
        if event.look {
            return self.look().await;
        }
        let origin = origin(&event.records)?;
        // Read with each batch: after a guard was switched on, no batch may be passed or settled by what its record was before.
        let Some(guard) = self.mine().await? else {
            tracing::info!(
                table = self.table,
                "no guard of a function is on for the table: nothing is done"
            );
            return Ok(Answer::default());
        };
        let change: SharedChange = guard.change();
        refuse_unfit(&change)?;
        match origin.event_source == STREAM {
            true => self.batch(&guard, &origin, event.records).await,
            false => self.messages(&guard, event.records).await,
        }
    }

    /// The guard, if it is on and is this function's: functions of two stacks may share their records.
    async fn mine(&self) -> Result<Option<GuardRecord>> {
        let read = || self.guard.store.guard(self.table);
        let guard = retry(&self.until, read).await?;
        Ok(guard.filter(|guard| {
            guard.is_on()
                && guard.watcher == Watcher::Function
                && is_of_stack(&self.function_arn, guard.stack.as_deref())
        }))
    }

    async fn batch(
        &self,
        guard: &GuardRecord,
        origin: &Origin,
        records: Vec<Box<RawValue>>,
    ) -> Result<Answer> {
        if origin.event_source_arn != guard.stream_arn {
            self.of_another_stream(guard, &origin.event_source_arn)
                .await?;
            return Ok(Answer::default());
        }
        let records = parsed(records);
        let oldest = records.iter().flatten().map(|record| record.at_ms).min();
        if let Some(oldest_ms) = oldest {
            self.guard.note_late(guard, oldest_ms, now_ms()).await?;
        }
        let settled = self.guard.settle(guard, &records, &self.until).await;
        let figures = GuardFigures {
            done: &settled.total(),
            record_age_ms: oldest.map(|at_ms| now_ms().saturating_sub(at_ms)),
        };
        figures.report(self.table);
        match settled.error {
            Some(error) if !error.kind().is_retryable() => return Err(error),
            Some(error) => tracing::warn!("{}: the records come again", error.report()),
            None => {}
        }
        let open = settled.open_from.map(|index| name_of(&records, index));
        Ok(Answer::failed(open))
    }

    async fn of_another_stream(&self, guard: &GuardRecord, arn: &str) -> Result<()> {
        let what = format!(
            "the guard function gets records of {}, and was switched on for {}; switch it on again",
            printable(arn),
            guard.stream_arn
        );
        self.guard.lose(guard, LossKind::OtherStream, what).await
    }

    /// Records that were given up. A message whose records are not settled yet stays in the queue, where an alarm sees it; after a day they
    /// are noted as lost, and it goes.
    async fn messages(&self, guard: &GuardRecord, raw: Vec<Box<RawValue>>) -> Result<Answer> {
        let stream = Streams::open(&self.setup.connection).await?;
        let mut failed = Vec::new();
        let mut done = GuardHour::default();
        for raw in raw {
            let message: Message = parse_strictly(raw.get(), "Records")?;
            if let Err(error) = self.message(guard, &stream, &message, &mut done).await {
                tracing::error!(
                    message_id = message.message_id,
                    error_name = error.kind().name(),
                    "records that Lambda has given up are not settled yet: {}",
                    error.report()
                );
                failed.push(message.message_id);
            }
        }
        let figures = GuardFigures {
            done: &done,
            // They were seen before, in their time.
            record_age_ms: None,
        };
        figures.report(self.table);
        Ok(Answer::failed(failed))
    }

    async fn message(
        &self,
        guard: &GuardRecord,
        stream: &Streams,
        message: &Message,
        done: &mut GuardHour,
    ) -> Result<()> {
        let (batch, timestamp) = match parse_strictly(&message.body, "body") {
            Ok(Discarded { batch, timestamp }) => (batch, timestamp),
            Err(error) => {
                let what = format!(
                    "message {} of the guard's queue says nothing of records that Lambda gave up: {error}",
                    printable(&message.message_id)
                );
                return self.guard.lose(guard, LossKind::Dropped, what).await;
            }
        };
        let arrived = |at: &Option<String>| at.as_deref().and_then(ms_of_rfc3339);
        let given_up = GivenUp {
            first_ms: arrived(&batch.approximate_arrival_of_first_record),
            last_ms: arrived(&batch.approximate_arrival_of_last_record),
            at_ms: arrived(&timestamp),
            shard: batch.shard_id,
            start: batch.start_sequence_number,
            end: batch.end_sequence_number,
        };
        if batch.stream_arn != guard.stream_arn {
            // Of a former stream of the table: they are counted since, or are to be.
            if given_up.last_ms.is_some_and(|at_ms| guard.is_before(at_ms)) {
                tracing::info!(
                    stream_arn = batch.stream_arn,
                    "records of another stream are passed: they were written before the guard has watched without a gap"
                );
                return Ok(());
            }
            return self.of_another_stream(guard, &batch.stream_arn).await;
        }
        self.guard
            .settle_again(guard, stream, &given_up, &self.until, done)
            .await
    }

    /// Looks whether the guard watches still.
    async fn look(&self) -> Result<Answer> {
        let Some(guard) = self.mine().await? else {
            report_look(self.table);
            return Ok(Answer::default());
        };
        let streams = Streams::open(&self.setup.connection).await?;
        let stream = retry(&self.until, || streams.of_table(self.table)).await?;
        let mappings = retry(&self.until, || self.mappings(&guard.stream_arn)).await?;
        let found = Found {
            mappings,
            stream_arn: stream.map(|stream| stream.arn),
        };
        let losses = self.guard.note_look(&guard, &found).await?;
        // Whoever is not brought the records does not watch, and the guard's record says so too.
        if found.problem(&guard).is_none() {
            report_look(self.table);
        }
        Ok(Answer {
            batch_item_failures: Vec::new(),
            losses,
        })
    }

    /// The mappings from the stream to this function.
    async fn mappings(&self, stream_arn: &str) -> Result<Vec<FoundMapping>> {
        let lambda = Sender::to(&self.setup.connection, LAMBDA).await?;
        let lambda = lambda.ok_or_else(|| {
            let why = "expected the URL of Lambda in this environment variable, as the tables are on this machine";
            Error::invalid("AWS_ENDPOINT_URL_LAMBDA", why)
        })?;
        let lambda = ReadSender::from(&lambda);
        let listing = async {
            let mut found = Vec::new();
            for mapping in list_event_source_mappings(&lambda, stream_arn).await? {
                if is_same_function(&mapping.function_arn, &self.function_arn) {
                    found.push(found_mapping(&lambda, &mapping).await?);
                }
            }
            Ok(found)
        };
        let doing = format!("listing the event source mappings of {stream_arn} and of its queue");
        listing.await.map_err(|error| failure(&doing, error))
    }
}

#[cfg(test)]
mod tests {
    use backfill_core::ports::stream::RecordKind;
    use serde_json::{Value as Json, json};

    use super::*;

    fn event(json: &Json) -> Result<GuardEvent> {
        parse_strictly(&json.to_string(), "event")
    }

    fn record(sequence: &str) -> Json {
        json!({"eventID": "1", "eventName": "MODIFY", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1", "eventSourceARN": "arn:stream",
            "dynamodb": {"ApproximateCreationDateTime": 1.8e9, "Keys": {"id": {"S": "a"}},
                "NewImage": {"id": {"S": "a"}}, "SequenceNumber": sequence, "SizeBytes": 3, "StreamViewType": "NEW_IMAGE"}})
    }

    #[test]
    fn a_record_that_cannot_be_understood_leaves_the_others_to_be_settled() {
        let mut odd = record("2");
        odd["dynamodb"]["NewImage"]["id"] = json!({"Q": "secret"});
        let event = event(&json!({"Records": [odd, record("3"), 7, {}]})).unwrap();
        assert!(!event.look);
        let from = origin(&event.records).unwrap();
        assert_eq!(
            (from.event_source.as_str(), from.event_source_arn.as_str()),
            (STREAM, "arn:stream")
        );
        let records = parsed(event.records);
        let [Err(odd), Ok(record), Err(_), Err(_)] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!(
            (record.sequence.as_str(), record.kind),
            ("3", RecordKind::Modify)
        );
        let why = &odd.why;
        assert!(
            why.contains("stream record 2 ") && !why.contains("secret"),
            "{why}"
        );
        // Whichever is open still: what tells where it stands is named, and never one behind it.
        let names = (0..4).map(|open| name_of(&records, open));
        assert_eq!(names.collect::<Vec<_>>(), ["2", "3", "3", "3"]);
        assert_eq!(name_of(&records[2..], 0), "");
    }

    /// As the developer guide shows it (Retaining discarded records for a DynamoDB event source), behind a queue.
    #[test]
    fn a_message_about_records_that_were_given_up_is_read_as_the_documentation_shows_it() {
        let body = json!({
            "requestContext": {"requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
                "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
                "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 1},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0", "timestamp": "2019-11-14T00:13:49.717Z",
            "DDBStreamBatchInfo": {"shardId": "shardId-00000001573689847184-864758bb",
                "startSequenceNumber": "800000000003126276362", "endSequenceNumber": "800000000003126276362",
                "approximateArrivalOfFirstRecord": "2019-11-14T00:13:19Z",
                "approximateArrivalOfLastRecord": "2019-11-14T00:13:19Z", "batchSize": 1,
                "streamArn": "arn:aws:dynamodb:us-east-2:123456789012:table/mytable/stream/2019-11-14T00:04:06.388"}});
        let message = json!({"messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "receiptHandle": "A",
            "body": body.to_string(), "attributes": {}, "messageAttributes": {}, "md5OfBody": "e", "eventSource": QUEUE,
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue", "awsRegion": "us-east-2"});
        let event = event(&json!({"Records": [message]})).unwrap();
        assert_eq!(origin(&event.records).unwrap().event_source, QUEUE);
        let message: Message = parse_strictly(event.records[0].get(), "Records").unwrap();
        assert!(message.message_id.starts_with("059f36b4"));
        let Discarded { batch, timestamp } = parse_strictly(&message.body, "body").unwrap();
        let given_up_ms = timestamp.as_deref().and_then(ms_of_rfc3339);
        let came_ms = batch.approximate_arrival_of_first_record.as_deref();
        let came_ms = came_ms.and_then(ms_of_rfc3339).unwrap();
        assert_eq!(given_up_ms, Some(came_ms + 30_717));
        assert_eq!(batch.shard_id, "shardId-00000001573689847184-864758bb");
        assert_eq!(batch.start_sequence_number, batch.end_sequence_number);
        assert!(
            batch
                .stream_arn
                .ends_with("/stream/2019-11-14T00:04:06.388")
        );
    }

    #[test]
    fn an_event_of_somebody_else_is_refused() {
        let wrong = [
            json!({}),
            json!({"Records": []}),
            json!({"Records": [{"eventSource": "aws:kinesis"}]}),
            json!({"Records": [1]}),
        ];
        for json in wrong {
            let event = event(&json).unwrap();
            let error = origin(&event.records).unwrap_err().report();
            assert!(
                error.starts_with("Records: expected") && error.contains("look"),
                "{error}"
            );
        }
        assert!(event(&json!({"Records": 1})).is_err());
        assert!(event(&json!({"look": true, "later": 1})).unwrap().look);
    }

    #[test]
    fn answers_have_the_names_that_lambda_reads() {
        let json = |answer: &Answer| serde_json::to_value(answer).unwrap();
        assert_eq!(json(&Answer::default()), json!({"batchItemFailures": []}));
        assert_eq!(
            json(&Answer::failed(["7".to_owned()])),
            json!({"batchItemFailures": [{"itemIdentifier": "7"}]})
        );
    }

    #[test]
    fn a_guard_of_another_stack_is_not_this_functions() {
        let function = "arn:aws:lambda:us-east-1:1:function:b-guard";
        for arn in [function.to_owned(), format!("{function}:live")] {
            assert!(is_of_stack(&arn, Some("b")));
            assert!(is_of_stack(&arn, None));
            assert!(!is_of_stack(&arn, Some("a")));
            assert!(!is_of_stack(&arn, Some("b-guard")));
        }
        assert!(!is_of_stack("", Some("b")));
    }
}
