//! What must be known of the target table, and how it is cut into segments that lie far apart when worked on together.

mod capacity;

pub use capacity::{Billing, WarmThroughput};

use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Item, Key};

/// Most segments that a parallel scan can have (Scan, TotalSegments: "maximum value of 1000000").
pub const MAX_SEGMENTS: u32 = 1_000_000;

/// Write units per second of a partition: "each partition … can handle a maximum of 3,000 read units per second and 1,000
/// write units per second" (developer guide, Best practices for designing partition keys).
pub const PARTITION_WRITES: f64 = 1_000.0;

/// Read units per second of a partition.
pub const PARTITION_READS: f64 = 3_000.0;

/// Bytes of a partition at most; AWS says "roughly 10 GB".
pub const PARTITION_BYTES: f64 = 1e10;

/// Write units per second that a new on-demand table takes at once (developer guide, Warm throughput: "4,000 write units per
/// second and 12,000 read units per second").
pub const ON_DEMAND_WRITES: f64 = 4_000.0;

/// Read units per second that a new on-demand table takes at once.
pub const ON_DEMAND_READS: f64 = 12_000.0;

/// Write and read units per second that a table takes at most unless AWS is asked for more (Quotas in Amazon DynamoDB, Default
/// throughput quotas).
pub const TABLE_QUOTA: f64 = 40_000.0;

/// The state of a table in which nothing about it is being changed.
pub const ACTIVE: &str = "ACTIVE";

/// The types that a key attribute can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// String.
    S,
    /// Number.
    N,
    /// Binary.
    B,
}

/// Name and type of a key attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttribute {
    /// Name of the attribute.
    pub name: String,
    /// Type of the attribute; `type` in JSON.
    #[serde(rename = "type")]
    pub kind: KeyType,
}

impl KeyAttribute {
    /// A key attribute called `name` of type `kind`.
    pub fn new(name: impl Into<String>, kind: KeyType) -> Self {
        KeyAttribute {
            name: name.into(),
            kind,
        }
    }
}

/// The table's primary key: the partition key, and the sort key if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySchema {
    /// The partition key (DynamoDB: HASH).
    pub hash: KeyAttribute,
    /// The sort key (DynamoDB: RANGE); `None` if the table has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<KeyAttribute>,
}

impl KeySchema {
    /// The names of the key attributes, partition key first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.hash)
            .chain(&self.range)
            .map(|attribute| attribute.name.as_str())
    }

    /// The key attributes of an item.
    pub fn key_of(&self, item: &Item) -> Key {
        let attribute = |name: &str| Some((name.to_owned(), item.get(name)?.clone()));
        Key(self.names().filter_map(attribute).collect())
    }
}

/// Which attributes an index holds beside the keys of table and index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// All attributes.
    All,
    /// No others.
    KeysOnly,
    /// These.
    Include(Vec<String>),
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexFacts {
    /// The index's name, which no other index of the table has.
    pub name: String,
    /// True if it is a local index, which shares the capacity of its table.
    pub local: bool,
    /// Its key attributes, of which an item must have all, of these types, to be in it.
    pub keys: Vec<KeyAttribute>,
    /// How many of `keys`, the first ones, are its partition key; the others are its sort key.
    pub partition_keys: usize,
    /// What else it holds.
    pub projection: Projection,
    /// `ACTIVE`, `CREATING`, …; `None` if it has none, as a local index.
    pub status: Option<String>,
    /// Items in it, by DynamoDB's estimate.
    pub items: u64,
    /// Bytes, by DynamoDB's estimate.
    pub size_bytes: u64,
    /// Write units per second, if they are provisioned.
    pub write_units: Option<u64>,
    /// What it takes at once; `None` if that was not told.
    pub warm: Option<WarmThroughput>,
}

/// What DescribeTable says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    /// [`ACTIVE`], `CREATING`, …
    pub status: String,
    /// The regions of its replicas, without its own. Empty if it is no global table.
    pub replicas: Vec<String>,
    /// True if a condition is held against the latest version of an item in whatever region it was written (multi-region
    /// strong consistency).
    pub is_strong_everywhere: bool,
    /// Tells a table from a later one of the same name: its id, or its creation time if it has none.
    pub identity: String,
    /// The primary key.
    pub keys: KeySchema,
    /// Items, by an estimate that DynamoDB renews about every six hours; never proof of anything.
    pub item_count: u64,
    /// Bytes, by an estimate as old as `item_count`.
    pub size_bytes: u64,
    /// How its capacity is paid.
    pub billing: Billing,
    /// Its secondary indexes, global and local.
    pub indexes: Vec<IndexFacts>,
}

impl TableDescription {
    /// Bytes of an item on average, if DynamoDB has counted the table.
    pub fn item_bytes(&self) -> Option<f64> {
        average_bytes(self.size_bytes, self.item_count)
    }
}

/// Bytes of an item of a table of so many bytes and items; `None` if nobody has counted it.
pub(crate) fn average_bytes(size_bytes: u64, items: u64) -> Option<f64> {
    (size_bytes > 0 && items > 0).then(|| size_bytes as f64 / items as f64)
}

/// One segment per this many bytes: at 25 MB/s of scanning it is done in ten seconds, so the segments at the
/// end of a run are short, and yet a segment's own cost (a claim and a few checkpoints) stays below a
/// thousandth of its reads.
const BYTES_PER_SEGMENT: u64 = 256 * 1024 * 1024;

/// Number of segments if the operator gives none: one per 256 MiB of `size_bytes`, at least one per concurrent worker, and
/// at most [`MAX_SEGMENTS`].
pub fn default_segments(size_bytes: u64, max_concurrency: u32) -> u32 {
    let by_size = size_bytes.div_ceil(BYTES_PER_SEGMENT);
    by_size
        .max(u64::from(max_concurrency))
        .min(u64::from(MAX_SEGMENTS)) as u32
}

/// Why a table of `size_bytes` is cut into `total` segments, of which so many are worked on at once, for a person.
pub fn explain_segments(total: u32, size_bytes: u64, max_concurrency: u32, at_once: u32) -> String {
    let by_size = size_bytes.div_ceil(BYTES_PER_SEGMENT).max(1);
    let size = match size_bytes / 1_000_000 {
        0 => "less than 1 MB".to_owned(),
        megabytes => format!("{megabytes} MB"),
    };
    let why = if total != default_segments(size_bytes, max_concurrency) {
        "as given".into()
    } else if u64::from(total) == by_size {
        format!("one per 256 MiB of {size}")
    } else {
        format!("one per worker; by size ({size}, 256 MiB each) it would be {by_size}")
    };
    format!("{total} segments ({why}), {at_once} at once, evenly spaced over the table")
}

/// The lanes of a run: as many equal stretches of the hash space as there are workers, one after the other, by the numbers of their
/// segments. The segments that lie at the same depth of their lanes are a row.
///
/// Segments are taken row by row, so that those worked on at the same time lie evenly over the hash space. Neighbours share
/// partitions, and a partition takes 1,000 write units a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    total: u32,
    count: u32,
}

impl Default for Lanes {
    /// One lane, of no segments.
    fn default() -> Self {
        Lanes::new(0, 1)
    }
}

impl Lanes {
    /// Those of so many segments and workers: no lane is without a segment, if there are any.
    pub fn new(total: u32, workers: u32) -> Lanes {
        Lanes {
            total,
            count: workers.clamp(1, total.max(1)),
        }
    }

    /// How many they are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The first segment of a lane.
    fn begin(self, lane: u32) -> u32 {
        (u64::from(lane) * u64::from(self.total) / u64::from(self.count)) as u32
    }

    /// The segments of each, in the order of the lanes.
    pub fn each(self) -> impl Iterator<Item = Range<u32>> {
        (0..self.count).map(move |lane| self.begin(lane)..self.begin(lane + 1))
    }

    /// The order in which segments are taken: the first of each lane, then the second of each, and so on.
    pub fn order(self) -> impl Iterator<Item = u32> {
        in_turn(self.each())
    }

    /// The lane of a segment, and its row.
    pub fn place(self, segment: u32) -> (u32, u32) {
        let behind = (u64::from(segment) + 1) * u64::from(self.count);
        let total = u64::from(self.total.max(1));
        let lane = behind.div_ceil(total).saturating_sub(1) as u32;
        (lane, segment.saturating_sub(self.begin(lane)))
    }

    /// The segment of a lane in this row; `None` if the lane has no such row.
    pub fn segment(self, lane: u32, row: u32) -> Option<u32> {
        let segment = self.begin(lane).checked_add(row)?;
        (segment < self.begin(lane + 1)).then_some(segment)
    }
}

/// The first of each, then the second of each, and so on.
pub fn in_turn<I: Iterator>(all: impl Iterator<Item = I>) -> impl Iterator<Item = I::Item> {
    let mut all: VecDeque<I> = all.collect();
    std::iter::from_fn(move || {
        loop {
            let mut first = all.pop_front()?;
            if let Some(item) = first.next() {
                all.push_back(first);
                return Some(item);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_comes_once_and_concurrent_ones_lie_far_apart() {
        for (total, workers) in [(1, 8), (2, 1), (3, 2), (7, 3), (100, 10), (1000, 7)] {
            let order: Vec<u32> = Lanes::new(total, workers).order().collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..total).collect::<Vec<_>>(), "{total}");
            let lanes = Lanes::new(total, workers);
            for (lane, segments) in (0..).zip(lanes.each()) {
                assert_eq!(lanes.segment(lane, segments.len() as u32), None);
                for (row, segment) in (0..).zip(segments) {
                    assert_eq!(lanes.place(segment), (lane, row));
                    assert_eq!(lanes.segment(lane, row), Some(segment));
                }
            }
            // Whichever workers are at work at the same time, no two are closer than half their even distance. (The last
            // row may have gaps.)
            let rows = &order[..order.len() - total.min(workers) as usize];
            for at_work in rows.windows(workers.min(total) as usize) {
                let mut at_work = at_work.to_vec();
                at_work.sort_unstable();
                let least = at_work.windows(2).map(|pair| pair[1] - pair[0]).min();
                assert!(
                    least.is_none_or(|least| least >= total / workers / 2),
                    "{at_work:?}"
                );
            }
        }
        let order: Vec<u32> = Lanes::new(8, 4).order().collect();
        assert_eq!(order, [0, 2, 4, 6, 1, 3, 5, 7]);
    }

    #[test]
    fn segments_follow_size_and_concurrency() {
        assert_eq!(default_segments(0, 8), 8);
        assert_eq!(default_segments(10 << 30, 8), 40);
        assert_eq!(default_segments(u64::MAX, 8), MAX_SEGMENTS);
    }
}
