//! The trial: before a segment's other items are written, one shows that the update extinguishes the predicate. An update
//! that does not would touch every item in every pass.

use tokio::sync::Mutex;

use super::gate::{Admission, First};
use super::look::{Looked, Place};
use super::result::PageResult;
use super::segment::{Segment, until_it_rests};
use super::validity::unless_busy;
use crate::change::Seen;
use crate::ports::{SegmentStore, TableReader, TableWriter};
use crate::records::SegmentRecord;
use crate::value::size::item_bytes;
use crate::value::with_sorted_sets;
use crate::{Error, ErrorKind};

/// The trial chunk looks no further than this many pages for an item to try the update on: about 10,000 items.
const TRIAL_PAGES: u32 = 13;

/// Items of the first pages of a trial chunk, which is to write little besides the item that passes: most often that is the first.
const FIRST_TRIAL_PAGES: [u32; 4] = [1, 25, 100, 400];

/// The trial chunk looks no further than this many pages while every update was rejected.
const SUSPICIOUS_TRIAL_PAGES: u32 = 100;

/// If DynamoDB refuses the update of so many items before it has accepted one, it will refuse all.
const HOPELESS: u64 = 25;

/// What a chunk has to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    /// True if the chunk ends with the page on which an item has passed the trial.
    pub(super) is_all: bool,
    /// True if nothing was updated in an earlier pass. Once something was, what is left may well be nothing but items that
    /// are refused.
    pub(super) is_first_pass: bool,
    /// True if so many other segments of this process have passed theirs that this one needs none.
    pub(super) has_enough_trials: bool,
}

/// How far the trial of a segment has come when a page is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// An item has passed.
    Passed,
    /// No item has passed: items are written one by one.
    Trying {
        /// True in a trial chunk.
        is_all: bool,
        /// Items of the segment that were rejected before the page while none was accepted; `None` if rejected items say nothing of
        /// the others.
        in_vain: Option<u64>,
    },
}

/// The trial of a segment, from page to page.
pub(super) struct Trying<'g> {
    stage: Stage,
    /// If it tries while all others of the process wait. It keeps that as long as its items are refused, so that one segment finds out
    /// whether all are.
    first: Option<First<'g>>,
    /// Pages for which it has kept that.
    pages: u32,
}

impl From<Stage> for Trying<'_> {
    fn from(stage: Stage) -> Self {
        Trying {
            stage,
            first: None,
            pages: 0,
        }
    }
}

impl Trying<'_> {
    /// Goes on behind a page.
    fn behind(&mut self, page: &PageResult) {
        self.stage = self.stage.behind(page);
        self.pages += u32::from(self.first.is_some());
        let is_suspicious = matches!(
            self.stage,
            Stage::Trying {
                in_vain: Some(1..),
                ..
            }
        );
        if page.cut || !is_suspicious || self.pages >= SUSPICIOUS_TRIAL_PAGES {
            self.first = None;
        } else if let Some(first) = &mut self.first {
            first.next_page();
        }
    }
}

impl Stage {
    /// The stage behind a page.
    fn behind(self, page: &PageResult) -> Stage {
        match self {
            Stage::Trying { is_all, in_vain } if !page.trial_passed => Stage::Trying {
                is_all,
                in_vain: in_vain
                    .filter(|_| page.counters.updated == 0)
                    .map(|before| before + page.counters.rejected),
            },
            _ => Stage::Passed,
        }
    }
}

impl Trial {
    /// The stage that a segment is in.
    pub(super) fn stage(&self, record: &SegmentRecord) -> Stage {
        if self.is_passed(record) {
            return Stage::Passed;
        }
        let counters = &record.counters;
        let in_vain = self.is_first_pass && counters.updated == 0;
        Stage::Trying {
            is_all: self.is_all,
            in_vain: in_vain.then_some(counters.rejected),
        }
    }

    fn is_passed(&self, record: &SegmentRecord) -> bool {
        record.trial_passed || (self.has_enough_trials && !self.is_all)
    }

    /// Whether a chunk that has read so many pages ends here because it was to try the update and nothing else.
    pub(super) fn ends(&self, record: &SegmentRecord, pages: u32) -> bool {
        let counters = &record.counters;
        let suspicious = self.is_first_pass && counters.updated == 0 && counters.rejected > 0;
        let most = if suspicious {
            SUSPICIOUS_TRIAL_PAGES
        } else {
            TRIAL_PAGES
        };
        self.is_all && (record.trial_passed || pages >= most)
    }

    /// Pages that may be in the pipeline together. A trial reads none in vain.
    pub(super) fn pages_at_once(&self) -> usize {
        if self.is_all { 1 } else { usize::MAX }
    }

    /// Most items that a page may hold behind so many others of the chunk.
    pub(super) fn items_of_page(&self, before: u32) -> u32 {
        let first = FIRST_TRIAL_PAGES.get(before as usize);
        first.copied().filter(|_| self.is_all).unwrap_or(u32::MAX)
    }
}

impl<R: TableReader, W: TableWriter, S: SegmentStore> Segment<'_, R, W, S> {
    /// Tries items of a page until one has passed, if none of its segment has, and as long as none of the run has, no others beside
    /// them. Returns how many are written.
    pub(super) async fn begin<'s, 'g>(
        &'s self,
        items: &[Seen],
        page: Place<'_>,
        trying: &Mutex<Trying<'g>>,
        result: &mut PageResult,
    ) -> usize
    where
        's: 'g,
    {
        let mut trying = trying.lock().await;
        if matches!(trying.stage, Stage::Passed) {
            return 0;
        }
        if !items.is_empty() && trying.first.is_none() {
            trying.first = match self.gate.enter(&self.until).await {
                Admission::Open => None,
                Admission::First(first) => Some(first),
                Admission::Never => {
                    self.cut_off(result);
                    return 0;
                }
            };
        }
        let stage = trying.stage;
        let tried = self.try_items(items, page, stage, &mut trying.first, result);
        let tried = tried.await;
        trying.behind(result);
        tried
    }

    /// Writes items one by one until one has passed the trial. Returns how many those are.
    async fn try_items(
        &self,
        items: &[Seen],
        page: Place<'_>,
        stage: Stage,
        first: &mut Option<First<'_>>,
        result: &mut PageResult,
    ) -> usize {
        let Stage::Trying { is_all, in_vain } = stage else {
            return 0;
        };
        // While others write, too, the run goes on whatever becomes of these.
        let in_vain = in_vain.filter(|_| is_all || first.is_some());
        let mut rest = items;
        while !result.cut && !result.trial_passed {
            let Some((item, others)) = rest.split_first() else {
                break;
            };
            if self.quota.check().is_err() {
                self.cut_off(result);
                break;
            }
            rest = others;
            let place = Place {
                behind: others,
                ..page
            };
            self.write_and_try(item, place, result).await;
            let hopeless = |before| {
                result.counters.updated == 0 && before + result.counters.rejected >= HOPELESS
            };
            if in_vain.is_some_and(hopeless)
                && let Some(last) = result.rejected.last()
            {
                let what = match self.change.writes_same_to_all() {
                    true => "the update of each of the first {} items is refused for good",
                    false => "none of the first {} items gets a value",
                };
                let change = self.validity.what_to_change();
                let what = what.replace("{}", &HOPELESS.to_string());
                let error = Error::new(
                    ErrorKind::TooManyRejected,
                    format!(
                        "{what}, such as that of key {}: {}; change {change} so that it leaves such items out",
                        last.key, last.reason
                    ),
                );
                self.fail(result, error);
            }
            if first.as_mut().is_some_and(|first| first.tried(result)) {
                *first = None;
            }
        }
        items.len() - rest.len()
    }

    /// Writes an item and checks that `P` is false of it then, since otherwise going on would touch every item for
    /// nothing. What is still pending is compared with what was written: a live writer may have come in between.
    async fn write_and_try(&self, item: &Seen, place: Place<'_>, result: &mut PageResult) {
        let key = &item.key;
        let send = async |seen: &Seen| self.attempt(1, || self.writer.update_and_show(seen)).await;
        let shown = until_it_rests(item, 0, &mut result.counters.consumed_wcu, send).await;
        let (outcome, written) = match shown {
            Ok(Some((outcome, written))) => (self.validity.judge(outcome).await, written),
            Ok(None) => return self.take(result, key, Ok(None)),
            Err(error) => (unless_busy(error), None),
        };
        let outcome = outcome.map_err(|error| error.context(format!("key {key}")));
        self.take(result, key, outcome.map(Some));
        let Some(written) = written else { return };
        let bytes = item_bytes(&written);
        match self.look(key, bytes, place, result).await {
            // The time was over before it was known. The write is acknowledged, and the next chunk tries another item.
            Ok(None) => {
                self.cut_off(result);
            }
            Ok(Some(Looked::NotPending)) => result.trial_passed = true,
            Ok(Some(Looked::Nothing)) => {}
            // A live writer has changed it since: that says nothing.
            Ok(Some(Looked::Pending(found)))
                if with_sorted_sets(found.clone()) != with_sorted_sets(written) => {}
            Ok(Some(Looked::Pending(_))) => self.fail(
                result,
                Error::new(
                    ErrorKind::UpdateDoesNotExtinguish,
                    format!(
                        "the update does not extinguish its predicate: the item with key {key} was updated and is \
                         still pending; change {} so that an updated item no longer matches",
                        self.validity.what_to_change()
                    ),
                ),
            ),
            // Others change it all the time: another item is tried.
            Err(error) if error.kind() == ErrorKind::ItemBusy => {}
            // Whether it is still pending could not be found out. The write is acknowledged all the same.
            Err(error) => self.fail(
                result,
                error.context(format!("trying the update on key {key}")),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::gate::Gate;
    use super::*;
    use crate::pace::retry::Until;
    use crate::records::Counters;

    /// A segment of which one item is refused keeps its turn from page to page. What was tried on earlier pages counts, or the
    /// process would write one by one for a hundred pages.
    #[tokio::test(start_paused = true)]
    async fn items_tried_on_earlier_pages_open_the_gate_as_well() {
        let gate = Gate::default();
        gate.reset(true).await;
        let until = Until::after(Duration::from_secs(10));
        let mut trying = Trying::from(Stage::Trying {
            is_all: false,
            in_vain: Some(0),
        });
        trying.first = match gate.enter(&until).await {
            Admission::First(first) => Some(first),
            Admission::Open | Admission::Never => panic!("it is shut, and nobody tries"),
        };
        let mut opened = Vec::new();
        for rejected in [1, 0, 0] {
            let mut page = PageResult::default();
            for _ in 0..40 {
                page.counters.matched += 1;
                let first = trying.first.as_mut().expect("it keeps its turn");
                if first.tried(&page) {
                    opened.push(page.counters.matched);
                    break;
                }
            }
            page.counters = Counters {
                rejected,
                raced: page.counters.matched - rejected,
                ..page.counters
            };
            trying.behind(&page);
        }
        assert_eq!(
            opened,
            [20],
            "the hundredth is the twentieth of the third page"
        );
        assert!(!gate.is_shut());
    }
}
