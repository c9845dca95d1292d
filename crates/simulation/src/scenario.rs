//! What is simulated.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use backfill_core::table::{PARTITION_READS, PARTITION_WRITES, TABLE_QUOTA};
use backfill_core::value::size::{item_bytes, write_units};
use backfill_core::{Item, Key, Value};

/// The table and the traffic on it.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub items: u64,
    /// Bytes of an item.
    pub item_bytes: u64,
    /// Bytes of an item as DynamoDB has counted them, which it does about every six hours; `None` if it has not yet.
    pub counted_bytes: Option<u64>,
    /// Part of the items that is pending, 0 to 1.
    pub pending: f64,
    /// Part of the pending items, but for the first of each segment, that a live writer sets after they were read and before
    /// they are written, 0 to 1.
    pub raced: f64,
    /// Whether the verification also counts items that are not pending and lack what the update sets. There are none.
    pub counts_lacking: bool,
    /// Indexes that an update writes to as well.
    pub indexes: u32,
    /// Partitions at the start.
    pub partitions: u32,
    /// Write units per second that one partition takes.
    pub partition_wcu: f64,
    /// Read units per second that one partition takes.
    pub partition_rcu: f64,
    /// Write units per second that the table takes.
    pub table_wcu: f64,
    /// Read units per second that the table takes.
    pub table_rcu: f64,
    /// Seconds of unused capacity that a partition saves up.
    pub burst_seconds: f64,
    /// Whether table and partitions have saved up all that they can at the start; otherwise they have nothing.
    pub rested: bool,
    /// A partition that has throttled in every second for so long splits in two.
    pub split_after: Option<Duration>,
    /// A table on demand: after each such time it takes twice its peak so far, up to the quota of a table, in place of
    /// `table_wcu` and `table_rcu`, with which it begins.
    pub doubles_after: Option<Duration>,
    /// Write units per second of live traffic, evenly over the hash space.
    pub live_wcu: f64,
    /// How many of the items lie under one partition key, in the middle of the hash space.
    pub collection: u64,
    /// Time that a request takes in the median.
    pub latency: Duration,
    /// Time that one in a hundred requests exceeds: times are log-normal then. Without it they are within a fifth of the
    /// median.
    pub latency_p99: Option<Duration>,
    /// Time that each further statement of a batch adds.
    pub statement_latency: Duration,
    pub seed: u64,
    /// Items that the sweep has read so far, for whoever waits for the simulation in another thread. Clones share it.
    pub swept: Arc<AtomicU64>,
}

/// Bytes of one Scan response, at most.
const PAGE_BYTES: u64 = 1_000_000;

/// What one in a hundred values of the standard normal distribution exceeds.
const NORMAL_P99: f64 = 2.326_347_9;

/// A value of the standard normal distribution (by Box and Muller).
fn standard_normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

impl Default for Scenario {
    /// Items of 300 B on one idle partition.
    fn default() -> Self {
        Scenario {
            items: 100_000,
            item_bytes: 300,
            counted_bytes: Some(300),
            pending: 1.0,
            raced: 0.0,
            counts_lacking: false,
            indexes: 0,
            partitions: 1,
            partition_wcu: PARTITION_WRITES,
            partition_rcu: PARTITION_READS,
            table_wcu: TABLE_QUOTA,
            table_rcu: TABLE_QUOTA,
            burst_seconds: 1.0,
            rested: false,
            split_after: None,
            doubles_after: None,
            live_wcu: 0.0,
            collection: 0,
            latency: Duration::from_millis(5),
            latency_p99: None,
            statement_latency: Duration::from_micros(400),
            seed: 1,
            swept: Arc::default(),
        }
    }
}

impl Scenario {
    /// Write units that one update consumes, indexes included.
    pub(crate) fn write_units(&self) -> f64 {
        self.item_units() * f64::from(1 + self.indexes)
    }

    /// Write units of the item alone, which is what a failed condition consumes as well.
    pub(crate) fn item_units(&self) -> f64 {
        write_units(self.item_bytes)
    }

    /// An item with this key and of the bytes that all have.
    pub(crate) fn item(&self, key: &Key) -> Item {
        let mut item = key.0.clone();
        let name = "payload";
        let rest = self
            .item_bytes
            .saturating_sub(item_bytes(&item) + name.len() as u64);
        item.insert(name.into(), Value::S("x".repeat(rest as usize)));
        item
    }

    /// The time that a request of so many statements takes: never the same.
    pub(crate) fn time_of(&self, statements: u32, random: &mut fastrand::Rng) -> Duration {
        let base = self.latency + self.statement_latency * statements.saturating_sub(1);
        base.mul_f64(match self.latency_p99 {
            None => 0.8 + 0.4 * random.f64(),
            Some(p99) => {
                let ratio = p99.as_secs_f64() / self.latency.as_secs_f64().max(f64::MIN_POSITIVE);
                let deviation = ratio.max(1.0).ln() / NORMAL_P99;
                (deviation * standard_normal(random)).exp()
            }
        })
    }

    /// Items that one page evaluates at most.
    pub fn page_items(&self, limit: u32) -> u64 {
        u64::from(limit).min(PAGE_BYTES / self.item_bytes).max(1)
    }

    /// Items that do not lie under the one large key.
    pub(crate) fn others(&self) -> u64 {
        self.items - self.collection
    }

    /// Where an item lies in the hash space, 0 to 1. All items under the one large key lie at the same place.
    pub(crate) fn position(&self, index: u64) -> f64 {
        let before = self.others() / 2;
        let rank = if index < before {
            index
        } else {
            before.max(index.saturating_sub(self.collection))
        };
        rank as f64 / self.others().max(1) as f64
    }

    /// The first item at or behind a place in the hash space.
    pub(crate) fn first_from(&self, position: f64) -> u64 {
        let rank = (position * self.others() as f64).ceil() as u64;
        let before = self.others() / 2;
        if rank <= before {
            rank
        } else {
            rank + self.collection
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_as_long_as_it_is_asked_for() {
        let scenario = Scenario {
            latency: Duration::from_millis(10),
            latency_p99: Some(Duration::from_millis(60)),
            ..Scenario::default()
        };
        let mut random = fastrand::Rng::with_seed(1);
        let times = std::iter::repeat_with(|| scenario.time_of(1, &mut random));
        let mut times: Vec<f64> = times.take(100_000).map(|t| t.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (times[50_000], times[99_000]);
        assert!((0.0099..0.0101).contains(&p50), "{p50}");
        assert!((0.057..0.063).contains(&p99), "{p99}");
    }
}
