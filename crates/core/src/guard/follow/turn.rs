//! The turn of one shard: a page is read and settled, and then its position stored.

use tokio_util::sync::CancellationToken;

use super::shards::{Place, QUIET_PAGES, Turned};
use super::{Follower, Tell, Told};
use crate::guard::settle::{last_of, of_shard};
use crate::pace::retry::{PATIENCE, Until};
use crate::ports::WriteAccess;
use crate::ports::guard::GuardStore;
use crate::ports::stream::{Begin, Brought, Iterator, Read, StreamReader};
use crate::records::MOST_UNWATCHED_MS;
use crate::records::{GuardRecord, HOUR_MS, LossKind, ShardPosition};
use crate::{Error, ErrorKind, Result};

/// Records of a page: the most that GetRecords gives, which is 1 MB at most besides.
const PAGE: u32 = 1_000;

/// Whether there is anything to read of a shard.
enum Found {
    /// A place to read from.
    At(String),
    /// Nothing to read any more.
    Gone,
}

impl<A: WriteAccess, S: GuardStore, R: StreamReader> Follower<A, S, R> {
    /// One page of a shard.
    pub(super) async fn turn(
        &self,
        guard: &GuardRecord,
        place: &mut Place,
        stop: &CancellationToken,
        told: &Tell<'_>,
    ) -> Turned {
        match self.page(guard, place, stop, told).await {
            Ok(()) => Turned::Well,
            Err(error) if error.kind().is_retryable() => {
                place.slow_down();
                Turned::Later(error)
            }
            Err(error) => Turned::Never(error),
        }
    }

    async fn page(
        &self,
        guard: &GuardRecord,
        place: &mut Place,
        stop: &CancellationToken,
        told: &Tell<'_>,
    ) -> Result<()> {
        if !place.is_admitted {
            // When it was seen first stays what it was.
            let (settled, stored_ms) = (place.settled.clone(), place.stored_ms);
            self.store(guard, place, settled, false, stored_ms).await?;
            place.is_admitted = true;
            place.go_on();
            return Ok(());
        }
        let iterator = match self.begin(guard, place).await? {
            Found::At(iterator) => iterator,
            Found::Gone => return self.gone(guard, place).await,
        };
        let read = match self.stream.read(&iterator, PAGE).await {
            Err(error) if error.kind() == ErrorKind::TableNotFound => {
                return self.gone(guard, place).await;
            }
            read => read?,
        };
        match read {
            Read::Expired => {
                place.iterator = None;
                place.go_on();
                Ok(())
            }
            Read::Trimmed => {
                place.iterator = None;
                self.trimmed(guard, place).await?;
                place.go_on();
                Ok(())
            }
            Read::Records(records, next) => {
                let records = of_shard(records, &place.shard.id);
                self.settle(guard, place, &records, next, stop, told).await
            }
        }
    }

    /// Where to read on.
    async fn begin(&self, guard: &GuardRecord, place: &mut Place) -> Result<Found> {
        if let Some(iterator) = &place.iterator {
            return Ok(Found::At(iterator.clone()));
        }
        if place.settled.is_none() {
            self.late(guard, place).await?;
        }
        let mut is_second = false;
        loop {
            let begin = match &place.settled {
                Some(settled) => Begin::After(settled),
                None => Begin::Oldest,
            };
            let (arn, shard) = (&guard.stream_arn, &place.shard.id);
            match self.stream.iterator(arn, shard, begin).await? {
                Iterator::At(iterator) => {
                    place.iterator = Some(iterator.clone());
                    return Ok(Found::At(iterator));
                }
                Iterator::Gone => return Ok(Found::Gone),
                Iterator::Trimmed if is_second => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("shard {shard} of stream {arn}: its oldest record is trimmed"),
                    ));
                }
                Iterator::Trimmed => self.trimmed(guard, place).await?,
            }
            is_second = true;
        }
    }

    /// A shard of which nothing is settled begins with its oldest record, and nothing tells whether that is its first one: if for too
    /// long nobody could read it or settle what it begins with, it may not be. One that has nothing says so once in a while.
    async fn late(&self, guard: &GuardRecord, place: &mut Place) -> Result<()> {
        let now_ms = self.guard.access.now_ms();
        if place.stored_ms + MOST_UNWATCHED_MS >= now_ms {
            return Ok(());
        }
        let shard = &place.shard.id;
        let what =
            format!("shard {shard} was known for 23 hours before its first record was settled");
        self.lose(guard, what).await?;
        // The next process need not miss it once more.
        self.store(guard, place, None, false, now_ms).await
    }

    /// Notes that records of a shard are gone, and goes on with the oldest that is there.
    async fn trimmed(&self, guard: &GuardRecord, place: &mut Place) -> Result<()> {
        let shard = &place.shard.id;
        let behind = match &place.settled {
            Some(settled) => format!(" behind {settled}"),
            None => String::new(),
        };
        let what = format!("records of shard {shard}{behind} were gone before they were seen");
        self.lose(guard, what).await?;
        place.settled = None;
        Ok(())
    }

    /// Notes that a shard is gone that was not read to its end.
    async fn gone(&self, guard: &GuardRecord, place: &mut Place) -> Result<()> {
        let shard = &place.shard.id;
        let what = format!("shard {shard} was gone before it was read to its end");
        self.lose(guard, what).await?;
        // The next process need not miss it once more.
        let (settled, now_ms) = (place.settled.clone(), self.guard.access.now_ms());
        self.store(guard, place, settled, true, now_ms).await?;
        place.is_done = true;
        Ok(())
    }

    async fn lose(&self, guard: &GuardRecord, what: String) -> Result<()> {
        let lost = self.guard.lose(guard, LossKind::Trimmed, what);
        lost.await
    }

    /// Settles a page, and stores the position that it leads to: never before.
    async fn settle(
        &self,
        guard: &GuardRecord,
        place: &mut Place,
        records: &[Brought],
        next: Option<String>,
        stop: &CancellationToken,
        told: &Tell<'_>,
    ) -> Result<()> {
        if records.is_empty() && next.is_some() {
            place.iterator = next;
            place.rest();
            return self.refresh(guard, place).await;
        }
        let until = Until {
            stop: stop.clone(),
            ..Until::after(PATIENCE)
        };
        let settled = self.guard.settle(guard, records, &until).await;
        told(Told::Settled(&settled));
        let whole = settled.open_from.is_none();
        let last = last_of(&records[..settled.open_from.unwrap_or(records.len())]);
        if last.is_some() || next.is_none() {
            let settled = last.or_else(|| place.settled.clone());
            let (is_exhausted, now_ms) = (whole && next.is_none(), self.guard.access.now_ms());
            self.store(guard, place, settled, is_exhausted, now_ms)
                .await?;
        }
        if let Some(why) = settled.halted {
            return Err(Error::new(ErrorKind::UpdateDoesNotExtinguish, why));
        }
        if !whole && stop.is_cancelled() {
            place.iterator = None;
            return settled.error.map_or(Ok(()), Err);
        }
        if !whole {
            let open = || Error::new(ErrorKind::Unavailable, "the time was over");
            return Err(settled.error.unwrap_or_else(open));
        }
        place.empty_pages = 0;
        let readable = records.iter().flatten();
        place.seen_ms = readable.last().map(|record| record.at_ms);
        place.is_done = next.is_none();
        place.iterator = next;
        place.go_on();
        Ok(())
    }

    /// Says once in a while of a shard without records that it has none.
    async fn refresh(&self, guard: &GuardRecord, place: &mut Place) -> Result<()> {
        let now_ms = self.guard.access.now_ms();
        if place.stored_ms + HOUR_MS < now_ms && place.empty_pages >= QUIET_PAGES {
            let settled = place.settled.clone();
            return self.store(guard, place, settled, false, now_ms).await;
        }
        Ok(())
    }

    /// Stores how far a shard has come. After an error the place is as it was.
    async fn store(
        &self,
        guard: &GuardRecord,
        place: &mut Place,
        settled: Option<String>,
        is_exhausted: bool,
        at_ms: u64,
    ) -> Result<()> {
        let position = ShardPosition {
            shard: place.shard.id.clone(),
            stream_arn: guard.stream_arn.clone(),
            generation: guard.generation,
            settled,
            is_exhausted,
            at_ms,
        };
        let store = &self.guard.store;
        store.save_position(guard.table(), &position).await?;
        place.settled = position.settled;
        place.stored_ms = at_ms;
        Ok(())
    }
}
