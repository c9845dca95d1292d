//! What must be known of the target table, and how it is cut into segments.

use serde::{Deserialize, Serialize};

/// Most segments that a parallel scan can have (Scan, TotalSegments: "maximum value of 1000000").
pub const MAX_SEGMENTS: u32 = 1_000_000;

/// The types that a key attribute can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    S,
    N,
    B,
}

/// Name and type of a key attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttribute {
    pub name: String,
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

/// The table's primary key: the partition key, and the sort key where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySchema {
    pub hash: KeyAttribute,
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
}

/// What DescribeTable says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    /// `ACTIVE`, `CREATING`, …
    pub status: String,
    /// Tells a table from a later one of the same name: its id, or its creation time where it has none.
    pub identity: String,
    pub keys: KeySchema,
    /// An estimate that DynamoDB renews every six hours; never proof of anything.
    pub item_count: u64,
    /// Bytes; as old as `item_count`.
    pub size_bytes: u64,
}

/// One segment per this many bytes: at 25 MB/s of scanning it is done in ten seconds, so the segments at the
/// end of a run are short, and yet a segment's own cost (a claim and a few checkpoints) stays below a
/// thousandth of its reads.
const BYTES_PER_SEGMENT: u64 = 256 * 1024 * 1024;

/// Number of segments where the operator gives none: one per 256 MiB, at least one per concurrent worker.
pub fn default_segments(size_bytes: u64, max_concurrency: u32) -> u32 {
    let by_size = size_bytes.div_ceil(BYTES_PER_SEGMENT);
    by_size
        .max(u64::from(max_concurrency))
        .min(u64::from(MAX_SEGMENTS)) as u32
}

/// The order in which segments are taken: by their number with its bits reversed, so that segments worked on
/// at the same time lie far apart in the hash space. Neighbours share partitions, and a partition takes
/// 1,000 write units a second.
pub fn spread_order(total: u32) -> impl Iterator<Item = u32> {
    let bits = u32::BITS - total.saturating_sub(1).leading_zeros();
    (0..1u64 << bits)
        .map(move |i| {
            if bits == 0 {
                0
            } else {
                (i as u32).reverse_bits() >> (u32::BITS - bits)
            }
        })
        .filter(move |&segment| segment < total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_comes_once_and_neighbours_come_far_apart() {
        for total in [1, 2, 3, 7, 8, 100, 1000] {
            let order: Vec<u32> = spread_order(total).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..total).collect::<Vec<_>>(), "{total}");
        }
        assert_eq!(
            spread_order(8).collect::<Vec<_>>(),
            [0, 4, 2, 6, 1, 5, 3, 7]
        );
    }

    #[test]
    fn segments_follow_size_and_concurrency() {
        assert_eq!(default_segments(0, 8), 8);
        assert_eq!(default_segments(10 << 30, 8), 40);
        assert_eq!(default_segments(u64::MAX, 8), MAX_SEGMENTS);
    }
}
