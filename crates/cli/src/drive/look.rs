//! A quick look at items of a table, for a condition. Reads only.

use std::time::Duration;

use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::{PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::survey::segments_to_sample;
use backfill_core::table::TableDescription;
use backfill_core::{Key, Request, Result, Spec};
use backfill_dynamodb::{Connection, ReadOnly};
use tokio::time::sleep;

/// Pages that are looked at.
const PAGES: u32 = 4;

/// Items of a page.
const ITEMS: u32 = 250;

/// What a look has found.
pub struct Looked {
    /// Items that were looked at.
    pub items: u64,
    /// True if these are all that there are.
    pub is_all: bool,
    /// The keys of those for which the condition holds.
    pub keys: Vec<Key>,
}

impl Looked {
    /// Looks at pages in random segments for items for which the predicate of `which` holds, until there are `enough`. Its update
    /// is sent nowhere: what reads here cannot write.
    ///
    /// Errors: those of a scan.
    pub async fn at(
        which: &Spec,
        request: &Request,
        connection: &Connection,
        description: &TableDescription,
        enough: usize,
    ) -> Result<Looked> {
        let reader = ReadOnly(connection.clone()).reader(which.change(&description.keys));
        let total_segments = segments_to_sample(description.item_count, PAGES);
        let mut looked = Looked {
            items: 0,
            is_all: total_segments == PAGES,
            keys: Vec::new(),
        };
        for segment in fastrand::choose_multiple(0..total_segments, PAGES as usize) {
            let page = PageRequest {
                segment,
                total_segments,
                after: None,
                limit: ITEMS,
                consistent: false,
            };
            let page = retry(&Until::after(PATIENCE), || reader.page(page)).await?;
            looked.items += page.scanned;
            looked.is_all &= page.next.is_none();
            looked
                .keys
                .extend(page.pending.into_iter().map(|seen| seen.key));
            if looked.keys.len() >= enough {
                break;
            }
            if let Some(budget) = request.settings.max_rcu {
                let seconds = page.consumed_rcu / f64::from(budget);
                sleep(Duration::from_secs_f64(seconds)).await;
            }
        }
        Ok(looked)
    }
}
