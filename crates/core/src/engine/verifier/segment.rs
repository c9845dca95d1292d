//! The two counts of a segment, page by page, and what they come to: of the items for which `P` holds, strongly consistent; and, once
//! that has ended, of those that are not pending and lack what the update sets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::pace::retry::{Until, retry_until};
use crate::pace::{Consistency, Pace, Turn};
use crate::ports::{Asks, LackingPage, Page, PageRequest, TableReader};
use crate::records::{CountNote, Cursor, Different};
use crate::{Error, ErrorKind, Key, Result};

/// Segments counted at the same time.
pub(super) const SEGMENTS_AT_ONCE: usize = 8;

/// Most items evaluated per page. It is above what 1 MB holds of most tables, since nothing is written per page.
const PAGE_LIMIT: u32 = 5_000;

/// Keys of remaining items that are kept as samples.
pub(super) const MAX_SAMPLES: usize = 10;

/// A segment that the time box interrupted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenSegment {
    /// The segment's number among those that the count is cut into, from 0.
    pub segment: u32,
    /// How far its count has come.
    pub cursor: Cursor,
    /// How far the count of what lacks something has come, which follows on the other; `None` before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacking: Option<Cursor>,
}

impl OpenSegment {
    pub(super) fn new(segment: u32) -> OpenSegment {
        OpenSegment {
            segment,
            cursor: Cursor::NotStarted,
            lacking: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.cursor == Cursor::Exhausted && self.lacking.is_none()
    }
}

/// What a count that goes on has come to, for whoever looks at it meanwhile.
#[derive(Debug, Default)]
pub struct CountSum(Mutex<CountNote>, Option<Instant>);

impl CountSum {
    pub(super) fn new(from: CountNote) -> CountSum {
        CountSum(Mutex::new(from), Some(Instant::now()))
    }

    fn lock(&self) -> MutexGuard<'_, CountNote> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, page: &Page) {
        let mut sum = self.lock();
        sum.scanned = sum.scanned.saturating_add(page.scanned);
        sum.remaining = sum.remaining.saturating_add(page.pending.len() as u64);
        sum.consumed_rcu += page.consumed_rcu;
    }

    /// Adds a page of the second count.
    fn add_again(&self, page: &LackingPage) {
        let mut sum = self.lock();
        sum.again = Some(sum.again.unwrap_or(0).saturating_add(page.scanned));
        sum.consumed_rcu += page.consumed_rcu;
    }

    /// Notes whether there is a second count.
    pub(super) fn reads_again(&self, again: Option<u64>) {
        self.lock().again = again;
    }

    /// What it has come to at this moment.
    pub fn note(&self, pass: u32) -> CountNote {
        let note = *self.lock();
        let since = self.1.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
        CountNote {
            pass,
            seconds: note.seconds + since,
            at_ms: now_ms(),
            ..note
        }
    }
}

/// A count that goes on in several segments at once.
pub(super) struct Counting<'a, R> {
    pub(super) reader: &'a R,
    pub(super) total_segments: u32,
    pub(super) pace: Pace<'a>,
    pub(super) until: &'a Until,
    pub(super) out_of_time: AtomicBool,
    /// Whether what lacks something is counted, too.
    pub(super) again: AtomicBool,
    pub(super) sum: &'a CountSum,
}

/// What was counted in one segment until it ended or the time was over.
pub(super) struct SegmentCount {
    pub(super) segment: OpenSegment,
    pub(super) scanned: u64,
    pub(super) remaining: u64,
    pub(super) samples: Vec<Key>,
    /// Those that have another value than their sources give now.
    pub(super) different: Different,
    pub(super) consumed_rcu: f64,
    /// The second count; its `next` says nothing.
    pub(super) again: LackingPage,
}

impl<R: TableReader> Counting<'_, R> {
    /// Goes on with both counts of a segment until they have ended, or the time is over.
    pub(super) async fn segment(&self, segment: OpenSegment) -> Result<SegmentCount> {
        let mut count = SegmentCount {
            segment,
            scanned: 0,
            remaining: 0,
            samples: Vec::new(),
            different: Different::default(),
            consumed_rcu: 0.0,
            again: LackingPage::default(),
        };
        if self.out_of_time.load(Ordering::Relaxed) {
            return Ok(count);
        }
        let segment = count.segment.segment;
        let counted = self.pending(&mut count).await;
        counted.map_err(|error| error.context(format!("segment {segment}")))?;
        if count.segment.cursor == Cursor::Exhausted && self.again.load(Ordering::Relaxed) {
            let counted = self.lacking(&mut count).await;
            counted.map_err(|error| error.context(format!("segment {segment}")))?;
        }
        Ok(count)
    }

    /// Whether the time is over, for this segment and so for all.
    fn is_over(&self) -> bool {
        let is_over = self.until.is_over();
        if is_over {
            self.out_of_time.store(true, Ordering::Relaxed);
        }
        is_over
    }

    /// The next page behind a cursor.
    fn request<'a>(
        &self,
        segment: u32,
        cursor: &'a Cursor,
        consistency: Consistency,
    ) -> PageRequest<'a> {
        PageRequest {
            segment,
            total_segments: self.total_segments,
            after: cursor.start_key(),
            limit: self.pace.items_per_read(PAGE_LIMIT, consistency),
            consistent: consistency == Consistency::Strong,
            asks: Asks::Proof,
        }
    }

    /// Counts the items for which `P` holds.
    async fn pending(&self, count: &mut SegmentCount) -> Result<()> {
        while count.segment.cursor != Cursor::Exhausted && !self.is_over() {
            let segment = &count.segment;
            let request = self.request(segment.segment, &segment.cursor, Consistency::Strong);
            let page = retry_until(
                self.until,
                || {
                    self.pace
                        .read(request.limit, Consistency::Strong, self.until)
                },
                |turn| self.pace.page(turn, self.reader, request),
            )
            .await?;
            let Some(page) = page else {
                self.out_of_time.store(true, Ordering::Relaxed);
                return Ok(());
            };
            self.sum.add(&page);
            count.scanned += page.scanned;
            count.remaining += page.pending.len() as u64;
            count
                .different
                .note(page.different.iter().map(|key| key.to_key()));
            count.consumed_rcu += page.consumed_rcu;
            let room = MAX_SAMPLES - count.samples.len();
            let found = page.pending.into_iter().map(|item| item.key.to_key());
            count.samples.extend(found.take(room));
            count.segment.cursor = Cursor::after_page(page.next);
        }
        Ok(())
    }

    /// Counts what lacks something in a segment whose count of `P` has ended. If DynamoDB refuses the filter for good, that ends
    /// this count and no other: the filter is longer than `P`, and asks for attributes that a role may not allow.
    async fn lacking(&self, count: &mut SegmentCount) -> Result<()> {
        let mut cursor = count.segment.lacking.take().unwrap_or(Cursor::NotStarted);
        while cursor != Cursor::Exhausted && self.again.load(Ordering::Relaxed) {
            if self.is_over() {
                count.segment.lacking = Some(cursor);
                return Ok(());
            }
            let eventual = Consistency::Eventual;
            let request = self.request(count.segment.segment, &cursor, eventual);
            let read = retry_until(
                self.until,
                || self.pace.read(request.limit, eventual, self.until),
                |turn| self.lacking_page(turn, request),
            )
            .await;
            match read {
                Ok(Some(page)) => {
                    self.sum.add_again(&page);
                    count.again.add(&page);
                    cursor = Cursor::after_page(page.next);
                }
                Ok(None) => {
                    self.out_of_time.store(true, Ordering::Relaxed);
                    count.segment.lacking = Some(cursor);
                    return Ok(());
                }
                Err(error) if is_of_the_filter(&error) => {
                    if self.again.swap(false, Ordering::Relaxed) {
                        tracing::warn!(
                            error = error.report(),
                            "how many items lack what the update sets cannot be counted; the verification goes on without it"
                        );
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads a page whose turn has come. It says nothing of how many items are pending.
    async fn lacking_page(&self, turn: Turn<'_>, request: PageRequest<'_>) -> Result<LackingPage> {
        match self.reader.lacking(request).await {
            Ok(page) => {
                turn.end(page.scanned, page.consumed_rcu);
                Ok(page)
            }
            Err(error) => {
                turn.failed(&error);
                Err(error)
            }
        }
    }
}

fn is_of_the_filter(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidSpec | ErrorKind::AccessDenied
    )
}

impl LackingPage {
    fn add(&mut self, page: &LackingPage) {
        self.lacking.resize(page.lacking.len(), 0);
        for (sum, found) in self.lacking.iter_mut().zip(&page.lacking) {
            *sum = sum.saturating_add(*found);
        }
        self.scanned = self.scanned.saturating_add(page.scanned);
        self.consumed_rcu += page.consumed_rcu;
    }
}
