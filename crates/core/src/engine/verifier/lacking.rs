//! The second count of a verification: how many items that are not pending lack what the update sets. Each segment is read for it
//! once its count of `P` has ended, eventually consistent: the number is for people.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{Counting, SegmentCount};
use crate::change::Lacks;
use crate::pace::retry::retry_until;
use crate::pace::{Consistency, Turn};
use crate::ports::{LackingPage, PageRequest, TableReader};
use crate::records::Cursor;
use crate::{Error, ErrorKind, Result};

/// What the second count has come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lacking {
    /// Items so far that are not pending and lack this attribute.
    pub counts: BTreeMap<String, u64>,
    /// Items that were read for it so far.
    pub scanned: u64,
    /// Read capacity units, as DynamoDB reported them.
    pub consumed_rcu: f64,
    /// True if DynamoDB has refused the filter, so that there is no number.
    #[serde(default)]
    pub refused: bool,
}

impl Lacking {
    /// The count that goes on from `before`, or begins.
    ///
    /// Errors: `InvalidInput` if it is one of other attributes.
    pub(super) fn go_on(before: Option<Lacking>, lacks: Option<&Lacks>) -> Result<Option<Lacking>> {
        let Some(lacks) = lacks else {
            return Ok(None);
        };
        let nothing = lacks.attributes.iter().map(|name| (name.clone(), 0));
        let nothing = Lacking {
            counts: nothing.collect(),
            ..Lacking::default()
        };
        match before {
            Some(before) if before.counts.keys().ne(nothing.counts.keys()) => Err(Error::invalid(
                "verification",
                "what it counts is not what the spec sets",
            )),
            before => Ok(Some(before.unwrap_or(nothing))),
        }
    }

    /// Whether there is still something to count.
    pub(super) fn goes_on(&self) -> bool {
        !self.refused
    }

    /// Adds what was found in a segment.
    pub(super) fn add(&mut self, found: &LackingPage, lacks: Option<&Lacks>) {
        self.scanned = self.scanned.saturating_add(found.scanned);
        self.consumed_rcu += found.consumed_rcu;
        let attributes = lacks.map_or(&[][..], |lacks| &lacks.attributes);
        for (name, found) in attributes.iter().zip(&found.lacking) {
            if let Some(count) = self.counts.get_mut(name) {
                *count = count.saturating_add(*found);
            }
        }
    }

    /// There will be no number.
    pub(super) fn give_up(&mut self) {
        self.refused = true;
    }

    /// The numbers, if there are any.
    pub(super) fn told(&self) -> BTreeMap<String, u64> {
        match self.refused {
            true => BTreeMap::new(),
            false => self.counts.clone(),
        }
    }
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

impl<R: TableReader> Counting<'_, R> {
    /// Counts what lacks something in a segment whose count of `P` has ended. If DynamoDB refuses the filter for good, that ends
    /// this count and no other: the filter is longer than `P`, and asks for attributes that a role may not allow.
    pub(super) async fn lacking(&self, count: &mut SegmentCount) -> Result<()> {
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
