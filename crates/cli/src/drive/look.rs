//! A quick look at items of a table, for a condition. Reads only, and within the read budget.

use std::collections::VecDeque;
use std::time::Duration;

use backfill_core::pace::retry::{PATIENCE, Until, retry_until};
use backfill_core::pace::{Budget, Consistency, Pace, Share, Turn};
use backfill_core::ports::{Asks, Page, PageRequest, ReadAccess as _, TableReader};
use backfill_core::survey::{ITEMS_PER_PAGE, segments_to_sample};
use backfill_core::table::TableDescription;
use backfill_core::{Error, ErrorKind, Key, Request, Result, Spec};
use backfill_dynamodb::{Connection, ReadOnly};
use tokio::time::Instant;

/// Segments that are looked at, a page's worth of items in each.
const SEGMENTS: u32 = 4;

/// How long a small budget may make it last: no page is begun after that.
const LONGEST: Duration = Duration::from_secs(10);

/// What a look has found.
pub struct Looked {
    /// Items that were looked at.
    pub items: u64,
    /// True if these are all that there are.
    pub is_all: bool,
    /// The keys of those for which the condition holds.
    pub keys: Vec<Key>,
}

/// Where a look goes on in a segment.
struct Place {
    segment: u32,
    after: Option<Key>,
    /// Items of the segment that may still be looked at.
    left: u32,
}

impl Looked {
    /// Looks into random segments, by turns, for items for which the predicate of `which` holds, until there are `enough`. Its
    /// update is sent nowhere: what reads here cannot write.
    ///
    /// Errors: those of a scan; `Throttled` if the table let no page be read for a minute.
    pub async fn at(
        which: &Spec,
        request: &Request,
        connection: &Connection,
        description: &TableDescription,
        enough: usize,
    ) -> Result<Looked> {
        let reader = ReadOnly(connection.clone()).reader(which.change(&description.keys));
        let budget = Budget::new(Share::Whole);
        budget.set(&request.settings.choose(description.size_bytes), 0);
        budget.expect_items_of(description.item_bytes());
        let pace = Pace::new(&budget, 1, None, None);
        let total_segments = segments_to_sample(description.item_count, SEGMENTS);
        let segments = fastrand::choose_multiple(0..total_segments, SEGMENTS as usize);
        let mut places: VecDeque<Place> = (segments.into_iter())
            .map(|segment| Place {
                segment,
                after: None,
                left: ITEMS_PER_PAGE,
            })
            .collect();
        let mut looked = Looked {
            items: 0,
            is_all: total_segments == SEGMENTS,
            keys: Vec::new(),
        };
        let begin = Instant::now();
        while let Some(place) = places.pop_front() {
            let is_over = looked.items > 0 && begin.elapsed() > LONGEST;
            if is_over || looked.keys.len() >= enough {
                looked.is_all = false;
                break;
            }
            let request = PageRequest {
                segment: place.segment,
                total_segments,
                after: place.after.as_ref(),
                limit: pace.items_per_read(place.left, Consistency::Eventual),
                consistent: false,
                asks: Asks::Sweep,
            };
            let page = page(&reader, &pace, request, &which.table).await?;
            looked.items += page.scanned;
            let keys = page.pending.into_iter().map(|seen| seen.key.to_key());
            looked.keys.extend(keys);
            let left = place.left.saturating_sub(page.scanned as u32);
            match page.next {
                None => {}
                Some(_) if left == 0 => looked.is_all = false,
                after => places.push_back(Place {
                    after,
                    left,
                    ..place
                }),
            }
        }
        Ok(looked)
    }
}

/// One page, in its turn.
async fn page<R: TableReader>(
    reader: &R,
    pace: &Pace<'_>,
    request: PageRequest<'_>,
    table: &str,
) -> Result<Page> {
    let until = Until::after(PATIENCE);
    let read = retry_until(
        &until,
        || pace.read(request.limit, Consistency::Eventual, &until),
        async |turn: Turn<'_>| pace.page(turn, reader, request).await,
    );
    read.await?.ok_or_else(|| {
        let why = format!("looking at items of table {table}: it throttles, try again later");
        Error::new(ErrorKind::Throttled, why)
    })
}
