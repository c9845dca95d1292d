//! The look at an item after its update: whether `P` still holds for it. It takes its turn in the budget of whatever it is paid
//! with, and is made in whichever way the table allows.

use super::result::PageResult;
use super::segment::Segment;
use crate::change::Seen;
use crate::pace::Consistency;
use crate::pace::retry::retry_until;
use crate::ports::{Asks, LookBy, PageRequest, SegmentStore, TableReader, TableWriter};
use crate::value::packed::PackedKey;
use crate::{Item, Key, Result};

/// Beyond so many times what a page had evaluated, and so many items, its items are not looked for any more.
const MOST_TIMES: u64 = 2;
const AND_ITEMS: u64 = 1_000;

/// The page on which an item was found pending.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    /// The key behind which the page begins; `None` is the begin of the segment.
    pub(super) after: Option<&'p Key>,
    /// Most items that were to be evaluated.
    pub(super) limit: u32,
    /// Items that were evaluated.
    pub(super) scanned: u64,
    /// LastEvaluatedKey of the page.
    pub(super) next: Option<&'p Key>,
    /// What was pending on the page behind the item, none of it written yet.
    pub(super) behind: &'p [Seen],
}

/// What a look has found.
#[derive(Debug)]
pub(super) enum Looked {
    /// The item is not pending, or it is gone.
    NotPending,
    /// The item is pending, and it is this.
    Pending(Item),
    /// The look says nothing: live writers were at the item, or at its place.
    Nothing,
}

impl<R: TableReader, W: TableWriter, S: SegmentStore> Segment<'_, R, W, S> {
    /// Looks at an item that has so many bytes, when its turn has come, and again if that may help. If the table does not
    /// allow one way of looking, it is looked at in the next. `None`: not known before the time was over.
    pub(super) async fn look(
        &self,
        key: &PackedKey,
        bytes: u64,
        place: Place<'_>,
        result: &mut PageResult,
    ) -> Result<Option<Looked>> {
        loop {
            let by = self.writer.look_by();
            let looked = self.look_by(by, key, bytes, place, result).await;
            if looked.is_ok() || self.writer.look_by() == by {
                return looked;
            }
        }
    }

    async fn look_by(
        &self,
        by: LookBy,
        key: &PackedKey,
        bytes: u64,
        place: Place<'_>,
        result: &mut PageResult,
    ) -> Result<Option<Looked>> {
        if by == LookBy::Page {
            match self.look_at_page(key, place, result).await? {
                Some(Looked::Pending(_)) => {}
                other => return Ok(other),
            }
        }
        let should_cost = by.units(bytes);
        let looked = self
            .pace
            .look_at(&self.writer, &key.to_key(), by, should_cost, &self.until)
            .await?;
        let Some((item, units)) = looked else {
            return Ok(None);
        };
        match by {
            LookBy::Check => result.counters.consumed_wcu += units,
            LookBy::Query | LookBy::Page => result.counters.consumed_rcu += units,
        }
        // What DynamoDB cannot say of it is said here.
        let is_pending = |item: &Item| {
            self.change
                .is_pending(&self.change.seen(item.clone().into()))
        };
        Ok(Some(match (item, by) {
            (Some(item), _) if !is_pending(&item) => Looked::NotPending,
            (Some(item), _) => Looked::Pending(item),
            (None, LookBy::Page) => Looked::Nothing,
            (None, _) => Looked::NotPending,
        }))
    }

    /// Reads the page of an item once more, now strongly consistent, until the item comes (it is pending, whatever it is
    /// like), or until what lies behind it does (it is not). Nobody knows the order of keys, but it does not change, so
    /// what was behind it on the page is behind it still.
    async fn look_at_page(
        &self,
        key: &PackedKey,
        place: Place<'_>,
        result: &mut PageResult,
    ) -> Result<Option<Looked>> {
        let own = key.to_key();
        let mut after = place.after.cloned();
        let mut evaluated = 0;
        loop {
            let request = PageRequest {
                segment: self.segment,
                total_segments: self.total_segments,
                after: after.as_ref(),
                limit: place.limit,
                consistent: true,
                asks: Asks::Sweep,
            };
            // It teaches the pace nothing: part of that page is written already.
            let page = retry_until(
                &self.until,
                || {
                    self.pace
                        .read(place.limit, Consistency::Strong, &self.until)
                },
                async |turn| match self.reader.page(request).await {
                    Ok(page) => {
                        turn.end(page.scanned, page.consumed_rcu);
                        Ok(page)
                    }
                    Err(error) => {
                        turn.failed(&error);
                        Err(error)
                    }
                },
            );
            let Some(page) = page.await? else {
                return Ok(None);
            };
            result.counters.consumed_rcu += page.consumed_rcu;
            if page.pending.iter().any(|seen| seen.key == *key) {
                return Ok(Some(Looked::Pending(Item::new())));
            }
            let is_behind = |seen: &Seen| place.behind.iter().any(|other| other.key == seen.key);
            let Some(next) = page.next else {
                return Ok(Some(Looked::NotPending));
            };
            if Some(&next) == place.next || next == own || page.pending.iter().any(is_behind) {
                return Ok(Some(Looked::NotPending));
            }
            evaluated += page.scanned;
            if evaluated > place.scanned * MOST_TIMES + AND_ITEMS {
                return Ok(Some(Looked::Nothing));
            }
            after = Some(next);
        }
    }
}
