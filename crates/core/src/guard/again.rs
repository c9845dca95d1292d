//! Records that Lambda has given up: they are read again from the stream, which keeps them for 24 hours, and settled.

use std::time::Duration;

use crate::guard::settle::{Guard, last_of, of_shard};
use crate::pace::retry::{Until, retry};
use crate::ports::WriteAccess;
use crate::ports::guard::GuardStore;
use crate::ports::stream::{Begin, Brought, Iterator, Read, StreamReader, sequence_of};
use crate::records::{GuardHour, GuardRecord, LossKind};
use crate::{Error, ErrorKind, Result};

/// Records that are read at once: as many as a batch of Lambda's has, so that they take no more memory than it does.
const PAGE: u32 = 100;

/// How long a stream keeps its records, in milliseconds (developer guide, Change data capture for DynamoDB Streams: 24 hours).
const KEPT_MS: u64 = 24 * 3_600_000;

/// After a page without records, of which a shard may have many before the next one with some.
const EMPTY_PAUSE: Duration = Duration::from_millis(100);

/// Records of a shard, from one to another, both among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The shard.
    pub shard: String,
    /// The sequence number of the first one.
    pub start: String,
    /// The sequence number of the last one.
    pub end: String,
    /// When the first one came, about; milliseconds since 1970. `None` if nothing tells.
    pub first_ms: Option<u64>,
    /// When the last one came, about; milliseconds since 1970. `None` if nothing tells.
    pub last_ms: Option<u64>,
    /// When Lambda gave them up; milliseconds since 1970. `None` if nothing tells.
    pub at_ms: Option<u64>,
}

/// Where a reading of them stands.
struct Reading {
    /// The last record that is settled.
    settled: Option<String>,
    /// The first record is gone, and the oldest that is there takes its place.
    is_trimmed: bool,
}

/// Whether a sequence number comes after another: they are numbers of up to 40 digits.
fn is_after(one: &str, other: &str) -> bool {
    let digits = |sequence: &str| sequence.trim_start_matches('0').len();
    let zeros = |sequence: &'_ str| sequence.len() - digits(sequence);
    let value = (digits(one), &one[zeros(one)..]);
    value > (digits(other), &other[zeros(other)..])
}

impl<A: WriteAccess, S: GuardStore> Guard<A, S> {
    /// Reads these records again and settles them with the change of `guard`, until then; adds to `done` what was done. Those that are
    /// gone are noted as a loss, as those that cannot be understood, and what is left of them is settled. Those that are open still when
    /// the stream may have let go of them are a loss as well: whoever comes again may never come. If it may have let go of all of them,
    /// nobody has to come again: the next count sees their items.
    ///
    /// Errors: what has kept records open, `Unavailable` if it was the end of the time; those of the stream and of the store.
    pub async fn settle_again<R: StreamReader>(
        &self,
        guard: &GuardRecord,
        stream: &R,
        given_up: &GivenUp,
        until: &Until,
        done: &mut GuardHour,
    ) -> Result<()> {
        if let (Some(first_ms), Some(at_ms)) = (given_up.first_ms, given_up.at_ms) {
            self.note_late(guard, first_ms, at_ms).await?;
        }
        let settled = self.read_again(guard, stream, given_up, until, done).await;
        let now_ms = self.access.now_ms();
        let is_late =
            |came_ms: Option<u64>| came_ms.is_some_and(|came_ms| came_ms + KEPT_MS < now_ms);
        let Err(error) = settled else {
            return Ok(());
        };
        if is_late(given_up.first_ms) || is_late(given_up.last_ms) {
            self.dropped(guard, given_up, "they are older than a day")
                .await?;
        }
        match is_late(given_up.last_ms) {
            true => {
                tracing::error!(
                    "records that Lambda has given up are left as they are: {}",
                    error.report()
                );
                Ok(())
            }
            false => Err(error),
        }
    }

    /// Reads them again and settles them, from the first to the last.
    async fn read_again<R: StreamReader>(
        &self,
        guard: &GuardRecord,
        stream: &R,
        given_up: &GivenUp,
        until: &Until,
        done: &mut GuardHour,
    ) -> Result<()> {
        let mut reading = Reading {
            settled: None,
            is_trimmed: false,
        };
        while let Some(first) = self
            .place(guard, stream, given_up, &mut reading, until)
            .await?
        {
            let mut iterator = first;
            loop {
                if until.is_over() {
                    return Err(over());
                }
                let read = match retry(until, || stream.read(&iterator, PAGE)).await {
                    Err(error) if error.kind() == ErrorKind::TableNotFound => {
                        return self.dropped(guard, given_up, "their shard is gone").await;
                    }
                    Err(error) if error.kind() == ErrorKind::Internal => {
                        return self.dropped(guard, given_up, &error.report()).await;
                    }
                    read => read?,
                };
                let (records, next) = match read {
                    Read::Records(records, next) => (records, next),
                    Read::Expired => break,
                    Read::Trimmed => {
                        self.trimmed(guard, given_up, &mut reading).await?;
                        break;
                    }
                };
                if records.is_empty() {
                    tokio::time::sleep(EMPTY_PAUSE).await;
                }
                let records = of_shard(records, &given_up.shard);
                let mine = records.iter().position(|record| {
                    sequence_of(record).is_some_and(|sequence| is_after(sequence, &given_up.end))
                });
                let mine = mine.unwrap_or(records.len());
                self.settle_page(guard, &records[..mine], until, done)
                    .await?;
                reading.settled = last_of(&records[..mine]).or(reading.settled);
                let is_last = reading.settled.as_deref() == Some(&given_up.end);
                match next {
                    Some(next) if !is_last && mine == records.len() => iterator = next,
                    _ => return Ok(()),
                }
            }
        }
        Ok(())
    }

    async fn settle_page(
        &self,
        guard: &GuardRecord,
        records: &[Brought],
        until: &Until,
        done: &mut GuardHour,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let settled = self.settle(guard, records, until).await;
        done.add(&settled.total());
        match settled.open_from {
            None => Ok(()),
            Some(_) => Err(settled.error.unwrap_or_else(over)),
        }
    }

    /// Where to read on; `None` if nothing of them is left.
    async fn place<R: StreamReader>(
        &self,
        guard: &GuardRecord,
        stream: &R,
        given_up: &GivenUp,
        reading: &mut Reading,
        until: &Until,
    ) -> Result<Option<String>> {
        loop {
            if until.is_over() {
                return Err(over());
            }
            let begin = match &reading.settled {
                Some(settled) => Begin::After(settled),
                None if reading.is_trimmed => Begin::Oldest,
                None => Begin::At(&given_up.start),
            };
            let ask = || stream.iterator(&guard.stream_arn, &given_up.shard, begin);
            match retry(until, ask).await? {
                Iterator::At(iterator) => return Ok(Some(iterator)),
                Iterator::Gone => {
                    self.dropped(guard, given_up, "their shard is gone").await?;
                    return Ok(None);
                }
                Iterator::Trimmed => self.trimmed(guard, given_up, reading).await?,
            }
        }
    }

    /// The next record to read is gone: others behind it may be left.
    async fn trimmed(
        &self,
        guard: &GuardRecord,
        given_up: &GivenUp,
        reading: &mut Reading,
    ) -> Result<()> {
        if reading.is_trimmed && reading.settled.is_none() {
            let why = format!("shard {}: its oldest record is trimmed", given_up.shard);
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        let why = "some of them are gone from the stream";
        self.dropped(guard, given_up, why).await?;
        reading.settled = None;
        reading.is_trimmed = true;
        Ok(())
    }

    /// Notes that some of them are gone. What came before the guard has watched without a gap was counted since, or is to be.
    async fn dropped(&self, guard: &GuardRecord, given_up: &GivenUp, why: &str) -> Result<()> {
        let GivenUp {
            shard, start, end, ..
        } = given_up;
        if given_up
            .last_ms
            .is_some_and(|last_ms| guard.is_before(last_ms))
        {
            tracing::info!(
                table = guard.table(),
                shard,
                start,
                end,
                "records that Lambda gave up are gone, and came before the guard has watched: {why}"
            );
            return Ok(());
        }
        let what = format!(
            "Lambda gave up the records of shard {shard} from {start} to {end}, and they could not be read again: {why}"
        );
        self.lose(guard, LossKind::Dropped, what).await
    }
}

fn over() -> Error {
    let why = "the time was over before all records were settled; they come again";
    Error::new(ErrorKind::Unavailable, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_compared_as_numbers() {
        for (one, other) in [("10", "9"), ("010", "9"), ("101", "0100"), ("1", "0")] {
            assert!(is_after(one, other), "{one} {other}");
            assert!(!is_after(other, one), "{other} {one}");
        }
        for (one, other) in [("7", "7"), ("007", "7"), ("", "0")] {
            assert!(
                !is_after(one, other) && !is_after(other, one),
                "{one} {other}"
            );
        }
    }
}
