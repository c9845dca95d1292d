//! The model of a table's stream: a record for each change of an item, in shards that end and have children, trimmed after 24 hours and
//! read by iterators that expire. What it rests on is in docs/AWS-FACTS.md, under Streams.

mod log;
mod seen;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::stream::{
    Begin, Iterator, Read, Shard, StreamDescription, StreamReader, StreamRecord, StreamView,
};
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use self::log::Log;
pub use self::seen::StreamSeen;
use crate::faults::Faults;
use crate::model_table::ModelTable;

/// The ARN of the model's only stream.
const ARN: &str = "arn:aws:dynamodb:eu-central-1:123456789012:table/stuff/stream/model";

/// For so long an iterator is good (API reference, GetShardIterator).
const ITERATOR_LIFE: Duration = Duration::from_secs(15 * 60);

/// The stream of a model table. Its clones are the same stream.
#[derive(Clone)]
pub struct ModelStream {
    log: Arc<Mutex<Log>>,
    appended: watch::Sender<u64>,
    faults: Faults,
}

impl ModelStream {
    /// Switches a stream with new images on, on a table whose clock is set. Its shards end at random, by `seed`.
    pub fn of(table: &ModelTable, faults: Faults, seed: u64) -> Self {
        let log = Arc::new(Mutex::new(Log::new(seed, table.now_ms())));
        let (appended, _) = watch::channel(0);
        let (of_table, tell) = (log.clone(), appended.clone());
        table.tell_changes(move |hash, key, before, after| {
            let mut log = of_table.lock().unwrap();
            if log.append(hash, key, before, after) {
                tell.send_modify(|records| *records += 1);
            }
        });
        ModelStream {
            log,
            appended,
            faults,
        }
    }

    /// The same stream, by another way: other calls fail.
    pub fn by(&self, faults: Faults) -> Self {
        ModelStream {
            faults,
            ..self.clone()
        }
    }

    /// The stream's ARN.
    pub fn arn(&self) -> &'static str {
        ARN
    }

    /// Its records bring this along from now on.
    pub fn set_view(&self, view: StreamView) {
        self.log().view = view;
    }

    /// It is switched off: what is in it can be read, and nothing is added.
    pub fn switch_off(&self) {
        self.log().is_enabled = false;
    }

    /// What has happened so far.
    pub fn seen(&self) -> StreamSeen {
        self.log().seen
    }

    /// When each item was last changed, in milliseconds since 1970.
    pub fn changed_ms(&self) -> BTreeMap<Key, u64> {
        self.log().changed_ms.clone()
    }

    /// How many changes have left an item like this.
    pub fn count_left(&self, is_so: impl Fn(&Item) -> bool) -> u64 {
        self.log().left.iter().filter(|item| is_so(item)).count() as u64
    }

    /// The creation of the oldest record that may be read now and that is not before these places: the sequence number to go on with
    /// in each shard, and `None` for one that is done. In milliseconds since 1970; `None` if there is none.
    pub fn oldest_unseen_ms(&self, places: &BTreeMap<String, Option<String>>) -> Option<u64> {
        let mut log = self.log();
        log.tick();
        log.oldest_unseen_ms(places)
    }

    /// How old a record is.
    pub(crate) fn age(&self, record: &StreamRecord) -> Duration {
        Duration::from_millis(self.log().now_ms().saturating_sub(record.at_ms))
    }

    /// Waits until a record has been added since the last call with this receiver, or one that was added becomes visible.
    pub(crate) async fn changed(&self, appended: &mut watch::Receiver<u64>) {
        let settling = self.log().next_visible();
        match settling {
            Some(visible) => tokio::time::sleep_until(visible).await,
            None => tokio::select! {
                _ = appended.changed() => {}
                // A shard may end without a record.
                () = tokio::time::sleep(Duration::from_secs(600)) => {}
            },
        }
    }

    pub(crate) fn appended(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }
}

/// The number that a text is.
fn number(text: &str) -> Result<u64> {
    let refused = || Error::invalid("sequence", format!("{text:?} is no sequence number"));
    text.parse().map_err(|_| refused())
}

impl StreamReader for ModelStream {
    async fn describe_stream(&self, stream_arn: &str) -> Result<StreamDescription> {
        self.faults.before_stream().await?;
        if stream_arn != ARN {
            return Err(Error::new(ErrorKind::TableNotFound, "no such stream"));
        }
        let mut log = self.log();
        log.tick();
        let now = Instant::now();
        let described = log.shards.iter().filter(|shard| shard.described <= now);
        let mut shards: Vec<Shard> = described
            .map(|shard| Shard {
                id: shard.id.clone(),
                parent: shard.parent.clone(),
            })
            .collect();
        log.random.shuffle(&mut shards);
        Ok(StreamDescription {
            view: log.view,
            is_enabled: log.is_enabled,
            shards,
        })
    }

    async fn iterator(&self, _stream_arn: &str, shard: &str, begin: Begin<'_>) -> Result<Iterator> {
        self.faults.before_stream().await?;
        let mut log = self.log();
        log.tick();
        let Some(found) = log.shard(shard) else {
            return Ok(Iterator::Gone);
        };
        let next = match begin {
            Begin::Oldest => found.trimmed,
            Begin::At(sequence) => number(sequence)?,
            Begin::After(sequence) => number(sequence)? + 1,
        };
        if next < found.trimmed {
            log.seen.too_late += 1;
            return Ok(Iterator::Trimmed);
        }
        Ok(Iterator::At(log.iterator(shard, next)))
    }

    async fn read(&self, iterator: &str, limit: u32) -> Result<Read> {
        assert!((1..=1_000).contains(&limit), "{limit} records at most");
        self.faults.before_stream().await?;
        let mut log = self.log();
        log.tick();
        let parts: Vec<&str> = iterator.split('|').collect();
        let [shard, next, made_ms] = parts[..] else {
            return Err(Error::invalid("iterator", "it is none of this stream"));
        };
        let (next, made_ms) = (number(next)?, number(made_ms)?);
        if log.elapsed_ms() >= made_ms + ITERATOR_LIFE.as_millis() as u64 {
            log.seen.expired += 1;
            return Ok(Read::Expired);
        }
        let Some(found) = log.shard(shard).filter(|found| found.trimmed <= next) else {
            log.seen.too_late += 1;
            return Ok(Read::Trimmed);
        };
        let (records, is_end): (Vec<StreamRecord>, bool) = found.from(next, limit);
        // Pages have what the service has found at once, which may be nothing.
        let most = match log.random.u8(..4) {
            0 => log.random.usize(..=records.len()),
            _ => records.len(),
        };
        let is_end = is_end && most == records.len();
        log.seen.empty_pages += u64::from(most == 0 && !records.is_empty());
        let records: Vec<StreamRecord> = records.into_iter().take(most).collect();
        let next = match records.last() {
            Some(last) => number(&last.sequence)? + 1,
            None => next,
        };
        let iterator = (!is_end).then(|| log.iterator(shard, next));
        Ok(Read::Records(
            records.into_iter().map(Ok).collect(),
            iterator,
        ))
    }
}

#[cfg(test)]
mod tests;
