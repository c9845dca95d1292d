//! The streams of tables: which one a table has, its shards, and their records.

mod record;

use backfill_core::ports::stream::{
    Begin, Iterator, Read, Shard, StreamDescription, StreamReader, StreamView,
};
use backfill_core::{Error, ErrorKind, Result, printable};

use crate::calls::{DescribeStream, DescribeTable, DescribedShard, GetRecords, GetShardIterator};
use crate::connection::Connection;
use crate::failure::{failure, items_of};
use crate::send::{ProvideErrorMetadata as _, ReadCall, ReadSender, SdkError, Sender};

pub use record::record_of;

/// Pages of a description that are read at most: 100 shards each. A table has a shard for each partition and few hours, of one day.
const MOST_PAGES: usize = 10_000;

/// The stream that a table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStream {
    /// Its ARN. A stream that is switched on anew has another one.
    pub arn: String,
    /// What its records carry.
    pub view: StreamView,
}

/// The streams of an account and region. Everything here only reads.
#[derive(Debug, Clone)]
pub struct Streams {
    tables: ReadSender,
    streams: ReadSender,
}

impl Streams {
    /// Those that are reached through this connection. Sends nothing yet, but may ask for the credentials, whose account may be part of
    /// the host's name.
    ///
    /// Errors: `InvalidInput` with what the rules for endpoints object to.
    pub async fn open(connection: &Connection) -> Result<Streams> {
        Ok(Streams {
            tables: ReadSender::new(connection),
            streams: ReadSender::from(&Sender::to_streams(connection).await?),
        })
    }

    /// The stream of a table; `None` if it is off. What is written from now on is in it.
    ///
    /// Errors: `Unavailable` while it is being switched on; those of DescribeTable and DescribeStream; `Internal` if the stream is of a
    /// kind that this version does not know.
    pub async fn of_table(&self, table: &str) -> Result<Option<TableStream>> {
        let describe = DescribeTable { table_name: table };
        let described = self.tables.call(&describe).await;
        let described =
            described.map_err(|error| failure(&format!("describing table {table}"), error))?;
        let described = described.table;
        let stream = described.stream_specification;
        let stream = stream.filter(|stream| stream.stream_enabled);
        // The ARN of a stream that was switched off stays.
        let (Some(stream), Some(arn)) = (stream, described.latest_stream_arn) else {
            return Ok(None);
        };
        let view = view_of(&arn, stream.stream_view_type.as_deref())?;
        let describe = DescribeStream {
            stream_arn: &arn,
            exclusive_start_shard_id: None,
        };
        let doing = format!("describing stream {arn}");
        let page = self.call(&doing, &describe).await?.stream_description;
        if page.stream_status.as_deref() == Some("ENABLING") {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the stream of table {table} is being switched on; try again in a moment"),
            ));
        }
        Ok(Some(TableStream { arn, view }))
    }

    async fn call<C: ReadCall>(&self, doing: &str, call: &C) -> Result<C::Answer> {
        self.answer(call)
            .await
            .map_err(|error| failed(doing, error))
    }

    async fn answer<C: ReadCall>(&self, call: &C) -> std::result::Result<C::Answer, SdkError> {
        self.streams.call(call).await
    }
}

/// What a call to a stream has failed with.
fn failed(doing: &str, error: SdkError) -> Error {
    // "Too many operations for a given subscriber" (API reference, GetRecords): more than two readers of a shard.
    let is_throttled = error.code() == Some("LimitExceededException");
    let failed = failure(doing, error);
    match is_throttled {
        true => Error::new(ErrorKind::Throttled, failed.report()),
        // Nothing of what is sent is the operator's spec.
        false if failed.kind() == ErrorKind::InvalidSpec => {
            Error::new(ErrorKind::Internal, failed.report())
        }
        false => failed,
    }
}

fn view_of(stream_arn: &str, name: Option<&str>) -> Result<StreamView> {
    let all = [
        StreamView::KeysOnly,
        StreamView::NewImage,
        StreamView::OldImage,
        StreamView::NewAndOldImages,
    ];
    let found = all.into_iter().find(|view| Some(view.name()) == name);
    found.ok_or_else(|| {
        let name = name.map_or("nothing".into(), printable);
        let why = format!("the records of stream {stream_arn} carry {name}, which is not known");
        Error::new(ErrorKind::Internal, why)
    })
}

impl StreamReader for Streams {
    async fn describe_stream(&self, stream_arn: &str) -> Result<StreamDescription> {
        let doing = format!("describing stream {stream_arn}");
        let mut shards = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let describe = DescribeStream {
                stream_arn,
                exclusive_start_shard_id: after.as_deref(),
            };
            let page = self.call(&doing, &describe).await?.stream_description;
            let of_page = page.shards.unwrap_or_default();
            shards.extend(of_page.into_iter().map(|shard: DescribedShard| Shard {
                id: shard.shard_id,
                parent: shard.parent_shard_id,
            }));
            let next = page.last_evaluated_shard_id;
            if next.is_none() {
                let status = page.stream_status.as_deref();
                return Ok(StreamDescription {
                    view: view_of(stream_arn, page.stream_view_type.as_deref())?,
                    is_enabled: matches!(status, Some("ENABLED" | "ENABLING")),
                    shards,
                });
            }
            if next == after {
                break;
            }
            after = next;
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!("{doing}: its pages do not come to an end"),
        ))
    }

    async fn iterator(&self, stream_arn: &str, shard: &str, begin: Begin<'_>) -> Result<Iterator> {
        let (kind, sequence) = match begin {
            Begin::Oldest => ("TRIM_HORIZON", None),
            Begin::At(sequence) => ("AT_SEQUENCE_NUMBER", Some(sequence)),
            Begin::After(sequence) => ("AFTER_SEQUENCE_NUMBER", Some(sequence)),
        };
        let get = GetShardIterator {
            stream_arn,
            shard_id: shard,
            shard_iterator_type: kind,
            sequence_number: sequence,
        };
        let doing = format!("looking for a place in shard {shard} of stream {stream_arn}");
        match self.answer(&get).await {
            Ok(got) => got
                .shard_iterator
                .map(Iterator::At)
                .ok_or_else(|| Error::new(ErrorKind::Internal, format!("{doing}: none was given"))),
            Err(error) => match error.code() {
                Some("TrimmedDataAccessException") => Ok(Iterator::Trimmed),
                Some("ResourceNotFoundException") => Ok(Iterator::Gone),
                _ => Err(failed(&doing, error)),
            },
        }
    }

    async fn read(&self, iterator: &str, limit: u32) -> Result<Read> {
        let get = GetRecords {
            shard_iterator: iterator,
            limit,
        };
        let doing = "reading a shard of a stream";
        match self.answer(&get).await {
            Ok(got) => {
                let records = items_of(|| doing.to_owned(), got.records)?;
                let records = records.iter().map(|record| record_of(record.get()));
                Ok(Read::Records(records.collect(), got.next_shard_iterator))
            }
            Err(error) => match error.code() {
                Some("ExpiredIteratorException") => Ok(Read::Expired),
                Some("TrimmedDataAccessException") => Ok(Read::Trimmed),
                _ => Err(failed(doing, error)),
            },
        }
    }
}
