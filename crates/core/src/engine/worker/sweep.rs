//! The pipeline of a segment: pages are read ahead of those that are written, and checkpointed in their order, so that the
//! cursor never moves past an item that is not acknowledged.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::ledger::Ledger;
use super::page::Read;
use super::rejection::Rejections;
use super::result::PageResult;
use super::segment::{CHECKPOINT_PATIENCE, Segment};
use super::trial::{Trial, Trying};
use crate::clock::now_ms;
use crate::pace::retry::{Until, retry, retry_until};
use crate::pace::{Consistency, SegmentRoom};
use crate::ports::{Asks, PageRequest, SegmentStore, TableReader, TableWriter};
use crate::records::{Cursor, Rejected, RunRecord, SegmentRecord};
use crate::request::Settings;
use crate::{Error, Result};

/// Most items evaluated per page. It bounds what a crash repeats, the memory of a segment, and how long a page takes. With
/// items of 300 B a page is 300 kB, so that the read units lost to rounding (half a unit a page) stay below 2 %.
pub const PAGE_LIMIT: u32 = 1_000;

/// Pages in work at once: while the last items of some are written, the next is begun. How far a segment reads ahead is bounded by
/// its [room](SegmentRoom::page).
const PAGES_IN_WORK: usize = 4;

/// A page should be written within this many seconds of the present rate, so that checkpoints stay frequent.
const PAGE_SECONDS: f64 = 5.0;
/// A page holds at least this many items, or reading costs too much.
const LEAST_PER_PAGE: u32 = 25;

/// The sweep over a segment in one chunk.
pub(super) struct Sweep<'a, R, W, S> {
    pub(super) segment: Segment<'a, R, W, S>,
    /// Room for the pages that are read.
    pub(super) room: SegmentRoom<'a>,
    pub(super) run: &'a RunRecord,
    pub(super) store: &'a S,
    pub(super) trial: Trial,
    pub(super) rejections: Rejections<'a>,
    pub(super) ledger: &'a Ledger<'a>,
    pub(super) begin: Instant,
    /// The same by the wall clock.
    pub(super) begin_ms: u64,
    /// Seconds that earlier chunks have worked on the segment.
    pub(super) worked_before: f64,
}

/// The least time between two checkpoints of a segment for each segment at once whose record lies under the same partition
/// key: together a hundred a second, of the 1,000 write units that it takes.
const CHECKPOINT_EVERY_PER_SEGMENT: Duration = Duration::from_millis(10);

/// The least time between two checkpoints of a segment if nothing was to be written since: what a crash repeats is a second of
/// reading.
const QUIET_EVERY: Duration = Duration::from_secs(1);

/// What the pages since the last checkpoint have come to besides the record.
struct Unsaved {
    /// When the last checkpoint was begun.
    since: Instant,
    /// True if there are such pages.
    pages: bool,
    /// True if one of them had an item to write.
    wrote: bool,
    rejected: Vec<Rejected>,
}

impl Unsaved {
    fn since(since: Instant) -> Self {
        Unsaved {
            since,
            pages: false,
            wrote: false,
            rejected: Vec::new(),
        }
    }

    /// When the next checkpoint is due, if there must be `least` between two of them.
    fn due(&self, least: Duration) -> Instant {
        let quiet = if self.wrote {
            Duration::ZERO
        } else {
            QUIET_EVERY
        };
        self.since + least.max(quiet)
    }
}

/// What the pages of a pipeline have come to.
#[derive(Default)]
struct Progress {
    /// True if a page was not acknowledged whole, so that the cursor may not move any more.
    cut: bool,
    /// The first error.
    failure: Option<Error>,
}

impl<R: TableReader, W: TableWriter, S: SegmentStore> Sweep<'_, R, W, S> {
    /// Sweeps the segment from its cursor on, and saves a last checkpoint in any case. A trial ends with the page on which an
    /// item has passed it.
    pub(super) async fn run(&self, record: &mut SegmentRecord) -> Result<()> {
        let mut unsaved = Unsaved::since(self.begin);
        let swept = self.all_pages(record, &mut unsaved).await;
        if !unsaved.pages {
            return swept;
        }
        let rejected = self.close(record, &mut unsaved);
        match self.checkpoint(record, &rejected).await {
            Ok(too_many) => swept.and(too_many.map_or(Ok(()), Err)),
            Err(error) => Err(telling(swept.err(), error)),
        }
    }

    async fn all_pages(&self, record: &mut SegmentRecord, unsaved: &mut Unsaved) -> Result<()> {
        let mut pages = 0;
        while record.cursor != Cursor::Exhausted && !self.segment.until.is_over() {
            if self.trial.ends(record, pages) {
                break;
            }
            let most = self.trial.items_of_page(pages);
            pages += 1;
            self.pages(record, unsaved, most).await?;
        }
        Ok(())
    }

    /// Runs the pipeline. Pages of so many items at most are read one after the other, ahead of those in work; their results come
    /// back in page order, so that the cursor moves only over pages of which every item is acknowledged (promise: no-gap). While
    /// a checkpoint is saved, reading and writing go on.
    async fn pages(
        &self,
        record: &mut SegmentRecord,
        unsaved: &mut Unsaved,
        most: u32,
    ) -> Result<()> {
        let trying = &Mutex::new(Trying::from(self.trial.stage(record)));
        let pages = stream::unfold(record.cursor.clone(), move |cursor| self.read(cursor, most));
        let mut results = std::pin::pin!(
            pages
                .take(self.trial.pages_at_once())
                .map(|page| self.segment.write(page, trying))
                .buffered(self.segment.quota.at_once(PAGES_IN_WORK))
        );
        let least = least_between(&self.run.settings, self.run.shards);
        let mut progress = Progress::default();
        let mut over = false;
        while !over {
            let due = unsaved.due(least);
            tokio::select! {
                result = results.next() => match result {
                    Some(page) => add(page, &mut progress, record, unsaved),
                    None => over = true,
                },
                () = sleep_until(due), if unsaved.pages => {}
            }
            if !unsaved.pages || Instant::now() < unsaved.due(least) {
                continue;
            }
            let rejected = self.close(record, unsaved);
            let mut written: Vec<PageResult> = Vec::new();
            let saved = {
                let mut saving = std::pin::pin!(self.checkpoint(record, &rejected));
                loop {
                    tokio::select! {
                        saved = &mut saving => break saved,
                        result = results.next(), if !over => match result {
                            Some(result) => written.push(result),
                            None => over = true,
                        },
                    }
                }
            };
            let too_many = saved.map_err(|error| telling(progress.failure.take(), error))?;
            if let Some(too_many) = too_many {
                self.segment.until.stop.cancel();
                progress.failure.get_or_insert(too_many);
            }
            for page in written {
                add(page, &mut progress, record, unsaved);
            }
        }
        progress.failure.map_or(Ok(()), Err)
    }

    /// Closes what is to be checkpointed now: how the segment fared is added to the record. Returns the rejected items that
    /// are to be recorded before.
    fn close(&self, record: &mut SegmentRecord, unsaved: &mut Unsaved) -> Vec<Rejected> {
        let review = self.segment.pace.review();
        record.note_bound(review.bound_by);
        record.counters.throttles += review.throttles;
        record.latency += &review.latency;
        if let Some(throttled_by) = review.throttled_by {
            tracing::info!(
                segment = self.segment.segment,
                throttles = review.throttles,
                throttled_by,
                "the table throttles"
            );
            record.throttled_by = Some(throttled_by);
        }
        record.counters.checkpoints += 1;
        record.saved_ms = now_ms();
        let worked = self.begin.elapsed();
        record.pace = self
            .segment
            .pace
            .found(self.begin_ms + worked.as_millis() as u64);
        record.counters.worked_seconds = self.worked_before + worked.as_secs_f64();
        std::mem::replace(unsaved, Unsaved::since(Instant::now())).rejected
    }

    /// Reads the page behind `cursor`, of so many items at most; returns it with the cursor behind it. `None` if there is none, or if
    /// the time is over.
    async fn read(&self, cursor: Cursor, most: u32) -> Option<(Result<Read<'_>>, Cursor)> {
        if cursor == Cursor::Exhausted || self.segment.until.is_over() {
            return None;
        }
        let mut room = tokio::select! {
            room = self.room.page(|| self.page_limit(most)) => room,
            () = self.segment.until.over() => return None,
        };
        let limit = room.most();
        let request = PageRequest {
            segment: self.segment.segment,
            total_segments: self.segment.total_segments,
            after: cursor.start_key(),
            limit,
            consistent: false,
            asks: Asks::Sweep,
        };
        let read = retry_until(
            &self.segment.until,
            || {
                self.segment
                    .pace
                    .read(limit, Consistency::Eventual, &self.segment.until)
            },
            |turn| self.segment.pace.page(turn, &self.segment.reader, request),
        );
        match read.await {
            Ok(page) => {
                let page = page?;
                room.fill(page.scanned, &page.pending, page.passed_over);
                let next = Cursor::after_page(page.next.clone());
                let read = Read {
                    page,
                    after: cursor.start_key().cloned(),
                    limit,
                    room,
                };
                Some((Ok(read), next))
            }
            // Nothing is read behind an error.
            Err(error) => Some((Err(error), Cursor::Exhausted)),
        }
    }

    /// Most items that the next page should evaluate, if it may evaluate so many.
    fn page_limit(&self, most: u32) -> u32 {
        let pace = &self.segment.pace;
        let writable = pace.items_in(PAGE_SECONDS) as u32;
        let limit = writable.clamp(LEAST_PER_PAGE, PAGE_LIMIT);
        let limit = limit.min(most).min(pace.items_in_memory());
        pace.items_per_read(limit, Consistency::Eventual)
    }

    /// Saves the checkpoint, also when the time is over or the operator stops us: what is done must be
    /// remembered. The rejected items come first, so that none is counted and not recorded. Returns an error in `Some`
    /// if the pass has too many of them.
    async fn checkpoint(
        &self,
        record: &SegmentRecord,
        rejected: &[Rejected],
    ) -> Result<Option<Error>> {
        self.rejections.record(self.store, rejected).await?;
        let until = Until::after(CHECKPOINT_PATIENCE);
        retry(&until, || self.store.checkpoint(self.run, record)).await?;
        let too_many = self
            .rejections
            .too_many(self.store, rejected, &until)
            .await?;
        self.ledger.saved(&record.counters);
        if self.ledger.is_due() {
            self.ledger.flush(self.store).await;
        }
        Ok(too_many)
    }
}

/// Adds a page, the next in order, to the record, and the rest to what is not saved yet.
fn add(
    mut page: PageResult,
    progress: &mut Progress,
    record: &mut SegmentRecord,
    unsaved: &mut Unsaved,
) {
    progress.cut |= page.cut;
    progress.failure = progress.failure.take().or(page.failure.take());
    unsaved.pages = true;
    unsaved.wrote |= page.counters.matched > 0;
    unsaved.rejected.append(&mut page.rejected);
    page.add_to(record, progress.cut);
}

/// Of an error of the work and that of the checkpoint behind it the one to be told: the first, unless it passes. In the name of
/// the other one the chunk would be tried again.
fn telling(of_work: Option<Error>, of_checkpoint: Error) -> Error {
    match of_work {
        Some(error) if !error.kind().is_retryable() => error,
        _ => of_checkpoint,
    }
}

/// The least time between two checkpoints of a segment of a run with so many shards: the more segments at once have their
/// records under one partition key, the longer.
fn least_between(settings: &Settings, shards: u32) -> Duration {
    CHECKPOINT_EVERY_PER_SEGMENT * settings.workers().div_ceil(shards.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::shards_of;
    use crate::request::RequestedSettings;

    /// No partition key takes more than a hundred checkpoints a second, also of a run that began when all of its records lay
    /// under one.
    #[test]
    fn checkpoints_become_rarer_with_the_segments_of_a_key() {
        for (segments, at_once, shards, expected_ms) in [
            (8, 1, shards_of(8), 10),
            (8, 8, shards_of(8), 80),
            (4, 1_000, shards_of(4), 40),
            (64, 64, shards_of(64), 640),
            (1_000, 1_000, shards_of(1_000), 630),
            (1_000, 1_000, 1, 10_000),
            (10_000, 10_000, shards_of(10_000), 6_250),
        ] {
            let settings = RequestedSettings {
                total_segments: Some(segments),
                max_concurrency: Some(at_once),
                ..RequestedSettings::default()
            };
            let least = least_between(&settings.choose(0), shards);
            assert_eq!(least.as_millis(), expected_ms, "{segments}, {at_once}");
            let of_a_key = at_once.min(segments).div_ceil(shards);
            assert!(f64::from(of_a_key) / least.as_secs_f64() <= 100.0);
        }
    }
}
