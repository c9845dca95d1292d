//! A sample of a table's items: how many are pending, with an interval of confidence.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::computed::{ComputedPage, ComputedSample, is_pending};
use super::facts::{IndexFacts, TableFacts};
use super::interval::Interval;
use super::misfits::{Misfit, misfits};
use crate::change::Change;
use crate::pace::{Consistency, bytes_of};
use crate::request::Settings;
use crate::table::MAX_SEGMENTS;
use crate::value::size::item_bytes;
use crate::{Item, Key};

/// Pages of a sample if the operator gives no number.
pub const DEFAULT_PAGES: u32 = 20;

/// Most pages of a sample.
pub const MAX_PAGES: u32 = 1_000;

/// Most items that a page of a sample evaluates.
pub const ITEMS_PER_PAGE: u32 = 250;
/// Least items of a page, until one has said what an item costs to read.
pub const LEAST_ITEMS: u32 = 25;

/// A page of a sample as it was read: the first items of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadPage {
    /// Items evaluated, pending or not.
    pub scanned: u64,
    /// The items that the change asks a sample for ([`Change::sample`]), whole.
    pub items: Vec<Item>,
    /// Read capacity units, as DynamoDB reported them.
    pub consumed_rcu: f64,
    /// True if nothing of the segment is left.
    pub is_whole_segment: bool,
}

/// What is kept of a page of a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledPage {
    /// Items evaluated, pending or not.
    pub scanned: u64,
    /// Bytes of each pending item.
    pub pending: Vec<u64>,
    /// How pending items do not fit indexes, by what stands in them, or by what is computed for them.
    pub misfits: Vec<Misfit>,
    /// How many pending items have each attribute that the update writes; nothing of those that none has.
    pub holders: BTreeMap<String, u64>,
    /// Some of the pending items, whole.
    pub examples: Vec<Item>,
    /// What the items say of the values that are computed; `None` if none are.
    pub computed: Option<ComputedPage>,
    /// Read capacity units, as DynamoDB reported them.
    pub consumed_rcu: f64,
    /// True if nothing of the segment is left.
    pub is_whole_segment: bool,
}

impl SampledPage {
    /// What is to be kept of a page of a table with these indexes: so many items whole, and figures of the others. `targets` are
    /// the attributes that the update writes.
    pub(super) fn new(
        page: ReadPage,
        change: &dyn Change,
        indexes: &[IndexFacts],
        targets: &[String],
        examples: usize,
    ) -> SampledPage {
        let keys = change.keys();
        let computed = change.computing();
        let computed = computed.map(|it| ComputedPage::new(it, keys, indexes, &page.items));
        let (computed, will_not_fit) = computed.unzip();
        let items = page.items.into_iter();
        let items: Vec<Item> = items.filter(|item| is_pending(change, item)).collect();
        let mut holders = BTreeMap::new();
        for target in targets {
            let count = items
                .iter()
                .filter(|item| item.contains_key(target))
                .count();
            if count > 0 {
                holders.insert(target.clone(), count as u64);
            }
        }
        SampledPage {
            scanned: page.scanned,
            pending: items.iter().map(item_bytes).collect(),
            misfits: items
                .iter()
                .flat_map(|item| misfits(keys, indexes, item))
                // What stands where a value is computed is replaced.
                .filter(|it| computed.is_none() || !targets.contains(&it.attribute))
                .chain(will_not_fit.into_iter().flatten())
                .collect(),
            holders,
            examples: items.into_iter().take(examples).collect(),
            computed,
            consumed_rcu: page.consumed_rcu,
            is_whole_segment: page.is_whole_segment,
        }
    }
}

/// Number of segments to cut a table of `items` into, so that `pages` of them, each read for one page, may lie anywhere in
/// the table and seldom end within the page. A small table has as many segments as pages: then it is read whole.
pub fn segments_to_sample(items: u64, pages: u32) -> u32 {
    let by_items = items / (2 * u64::from(ITEMS_PER_PAGE));
    by_items.clamp(pages.into(), MAX_SEGMENTS.into()) as u32
}

/// What the pages of a sample say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Pages that were read.
    pub pages: u32,
    /// Items evaluated, pending or not.
    pub items: u64,
    /// Pending items.
    pub pending: u64,
    /// True if the sample is the table: the figures are no estimates, but for what live traffic does.
    pub whole_table: bool,
    /// The part of the items that is pending, 0 to 1.
    pub share: Interval,
    /// Mean bytes of an item, by the read units that the pages took; of small pages too high, since units are rounded up.
    pub item_bytes: f64,
    /// Mean bytes of a pending item; null if none was seen.
    pub pending_bytes: Option<Interval>,
    /// Pending items that do not fit an index, by index and attribute.
    pub misfits: Vec<IndexMisfits>,
    /// Pending items that have a value already where the update writes, by attribute.
    pub holders: Vec<Holders>,
    /// What it says of the values that are computed; null if none are.
    pub computed: Option<ComputedSample>,
    /// Read capacity units of the sample.
    pub consumed_rcu: f64,
}

/// Pending items of a sample of which an attribute does not fit the key of an index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexMisfits {
    /// The index's name.
    pub index: String,
    /// The attribute.
    pub attribute: String,
    /// How many items of the sample these are.
    pub items: u64,
    /// The part of all items that they are, 0 to 1.
    pub share: Interval,
    /// The key of one of them.
    pub example: Key,
    /// What the attribute of that one is, and what it must be.
    pub why: String,
}

/// Pending items of a sample that have an attribute that the update writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Holders {
    /// The attribute.
    pub attribute: String,
    /// How many items of the sample these are.
    pub items: u64,
    /// The part of all items that they are, 0 to 1.
    pub share: Interval,
}

/// How many items of these pages have each attribute that the update writes.
fn by_attribute(pages: &[SampledPage], interval: impl Fn(&[u64]) -> Interval) -> Vec<Holders> {
    let attributes: BTreeSet<&String> = pages.iter().flat_map(|page| page.holders.keys()).collect();
    let holders = |attribute: &String| {
        let count = |page: &SampledPage| page.holders.get(attribute).copied().unwrap_or(0);
        let counts: Vec<u64> = pages.iter().map(count).collect();
        Holders {
            attribute: attribute.clone(),
            items: counts.iter().sum(),
            share: interval(&counts),
        }
    };
    attributes.into_iter().map(holders).collect()
}

/// The misfits of these pages, by index and attribute.
fn by_index(pages: &[SampledPage], interval: impl Fn(&[u64]) -> Interval) -> Vec<IndexMisfits> {
    let mut groups: BTreeMap<(&str, &str), (&Misfit, Vec<u64>)> = BTreeMap::new();
    for (nth, page) in pages.iter().enumerate() {
        for misfit in &page.misfits {
            let group = (misfit.index.as_str(), misfit.attribute.as_str());
            let first = || (misfit, vec![0; pages.len()]);
            groups.entry(group).or_insert_with(first).1[nth] += 1;
        }
    }
    let groups = groups.into_values();
    groups
        .map(|(misfit, counts)| IndexMisfits {
            index: misfit.index.clone(),
            attribute: misfit.attribute.clone(),
            items: counts.iter().sum(),
            share: interval(&counts),
            example: misfit.key.clone(),
            why: misfit.why.clone(),
        })
        .collect()
}

impl Sample {
    /// The sample of these pages of a table with these indexes, each of another one of `segments` segments.
    pub fn of(
        change: &dyn Change,
        indexes: &[IndexFacts],
        pages: &[SampledPage],
        segments: u32,
    ) -> Sample {
        let sample = Sample::new(pages, segments);
        let of_pages: Vec<_> = pages.iter().filter_map(|it| it.computed.as_ref()).collect();
        let scanned: Vec<u64> = pages.iter().map(|page| page.scanned).collect();
        let drawn = |counts: &[u64], totals: &[u64]| drawn(counts, totals, sample.whole_table);
        let computed = change.computing();
        Sample {
            computed: computed.map(|it| {
                ComputedSample::new(it, (change.keys(), indexes), &of_pages, &scanned, &drawn)
            }),
            ..sample
        }
    }

    /// The sample of these pages, each of another one of `segments` segments, without what is computed.
    pub fn new(pages: &[SampledPage], segments: u32) -> Sample {
        let items: u64 = pages.iter().map(|page| page.scanned).sum();
        let pending: u64 = pages.iter().map(|page| page.pending.len() as u64).sum();
        let whole_table =
            pages.len() == segments as usize && pages.iter().all(|page| page.is_whole_segment);
        // The part of the items that these are, page by page.
        let scanned: Vec<u64> = pages.iter().map(|page| page.scanned).collect();
        let interval = |counts: &[u64]| drawn(counts, &scanned, whole_table);
        let by_page: Vec<u64> = pages.iter().map(|page| page.pending.len() as u64).collect();
        let sizes: Vec<f64> = pages
            .iter()
            .flat_map(|page| &page.pending)
            .map(|bytes| *bytes as f64)
            .collect();
        let consumed_rcu = pages.iter().map(|page| page.consumed_rcu).sum();
        Sample {
            pages: pages.len() as u32,
            items,
            pending,
            whole_table,
            share: interval(&by_page),
            misfits: by_index(pages, interval),
            holders: by_attribute(pages, interval),
            computed: None,
            item_bytes: match items {
                0 => 0.0,
                items => bytes_of(consumed_rcu, Consistency::Eventual) / items as f64,
            },
            pending_bytes: Interval::of_mean(&sizes).map(|mean| match whole_table {
                true => Interval::exactly(mean.value),
                false => mean,
            }),
            consumed_rcu,
        }
    }
}

impl Sample {
    /// The sample with exact figures in the place of estimates, by a strongly consistent count of all items.
    pub fn counted(self, items: u64, pending: u64, read_units: f64) -> Sample {
        Sample {
            items,
            pending,
            whole_table: true,
            share: Interval::exactly(pending as f64 / items.max(1) as f64),
            item_bytes: match items {
                0 => 0.0,
                items => bytes_of(read_units, Consistency::Strong) / items as f64,
            },
            ..self
        }
    }
}

/// The part that these items of each page are of so many of each page, 0 to 1; exact of the whole table.
fn drawn(counts: &[u64], totals: &[u64], whole_table: bool) -> Interval {
    let all: u64 = totals.iter().sum();
    let share = counts.iter().sum::<u64>() as f64 / all.max(1) as f64;
    match whole_table {
        true => Interval::exactly(share),
        false => Interval::of_part(share, all as f64 / design_effect(totals, counts, share)),
    }
}

/// The factor by which the share of items that are counted by page varies more from page to page than independent draws would,
/// at least 1. Neighbours may be of one collection, written at one time (L. Kish, Survey Sampling, 1965).
fn design_effect(totals: &[u64], counts: &[u64], share: f64) -> f64 {
    let items = totals.iter().sum::<u64>() as f64;
    let binomial = share * (1.0 - share) / items;
    let n = totals.len() as f64;
    if n < 2.0 || items == 0.0 || binomial == 0.0 {
        return 1.0;
    }
    let squares: f64 = totals
        .iter()
        .zip(counts)
        .map(|(&total, &count)| (count as f64 - share * total as f64).powi(2))
        .sum();
    let of_ratio = n / (n - 1.0) * squares / (items * items);
    (of_ratio / binomial).max(1.0)
}

/// Read units per second that a sample may take: the operator's budget, and no more than a tenth of what the table takes.
pub fn sampling_rate(facts: &TableFacts, settings: &Settings) -> u32 {
    let (_, reads) = facts.takes();
    let tenth = (reads / 10.0).clamp(1.0, f64::from(u32::MAX)) as u32;
    settings.max_rcu.map_or(tenth, |budget| budget.min(tenth))
}
