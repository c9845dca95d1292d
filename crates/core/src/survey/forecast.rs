//! What a run would do: units, bounds, duration and cost, by the facts of the table and a sample of its items. The constants
//! are those of the engine.

use serde::Serialize;

use super::facts::{Billing, TableFacts};
use super::interval::Interval;
use super::sample::Sample;
use super::sizes::{index_units, update_units};
use crate::Item;
use crate::pace::{Consistency, units_of};
use crate::request::Settings;
use crate::table::{PARTITION_BYTES, PARTITION_READS, PARTITION_WRITES};
use crate::value::size::{check_units, write_units};
use crate::view::cost::{Bill, ITEMS_PER_CHECKPOINT, Prices, Use};

/// What the update did to one item of the sample, elsewhere than in the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The item before the update.
    pub before: Item,
    /// The item afterwards, or why the update was refused.
    pub after: Result<Item, String>,
    /// True if `P` holds for it no longer.
    pub is_extinguished: bool,
}

impl Tried {
    /// True if the update was accepted and left the item pending.
    pub fn is_in_vain(&self) -> bool {
        self.after.is_ok() && !self.is_extinguished
    }
}

/// What one index adds to the writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexCost {
    /// The index's name.
    pub name: String,
    /// Mean write units of the index for each migrated item.
    pub units_per_item: f64,
    /// Write units of the index in all.
    pub write_units: f64,
}

/// What can bound the rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// The write capacity of the table.
    TableWrites,
    /// The read capacity of the table.
    TableReads,
    /// The write capacity of the partitions at work.
    Partitions,
    /// The operator's write budget.
    WriteBudget,
    /// The operator's read budget.
    ReadBudget,
    /// The write capacity of an index, by its name.
    Index(String),
    /// The write capacity of the partition of an index that gets most of what is computed, by the index's name.
    IndexPartition(String),
}

/// A bound of the rate, and how long the sweep takes at least because of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bound {
    /// What bounds the rate.
    #[serde(skip)]
    pub limit: Limit,
    /// What bounds the rate, for a person.
    pub by: String,
    /// Seconds of the sweep at that bound.
    pub seconds: f64,
}

/// What a run would do, by the sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Items of the table: those counted, or DynamoDB's estimate.
    pub items: u64,
    /// Pending items.
    pub pending: Interval,
    /// Mean bytes of an item: by DynamoDB's estimate, or by the sample if there is none.
    pub item_bytes: f64,
    /// Mean write units of the table itself for each migrated item.
    pub units_per_item: f64,
    /// Every index of the table, with 0 units if the update does not touch it.
    pub indexes: Vec<IndexCost>,
    /// Write units of table and indexes.
    pub write_units: Interval,
    /// Write units of table and indexes, divided by those of the table alone.
    pub amplification: f64,
    /// Read units of one sweep.
    pub scan_read_units: f64,
    /// Read units of one verification, with those of counting what items lack that the predicate leaves out.
    pub verification_read_units: f64,
    /// Partitions that the table has at least.
    pub partitions: u64,
    /// What bounds the rate, the longest first.
    pub bounds: Vec<Bound>,
    /// Seconds of the sweep at least; scanning and writing go on at the same time.
    pub sweep_seconds: f64,
    /// Seconds of the verification at least.
    pub verification_seconds: f64,
    /// Records that the stream, and each Kinesis stream, gets; null if the table has no stream.
    pub stream_records: Option<Interval>,
    /// What the run costs in AWS, with every replica, in USD.
    pub cost_usd: Bill,
}

impl Forecast {
    /// The forecast of a run with these settings, at these prices, whose verification counts what lacks these attributes. `tried` says what the update does to sampled items. If it
    /// did nothing to any, the table's units are those of a mean item, and the indexes' 0.
    pub fn new(
        facts: &TableFacts,
        sample: &Sample,
        tried: &[Tried],
        settings: &Settings,
        lacking: &[String],
        prices: &Prices,
    ) -> Forecast {
        let items = match sample.whole_table {
            true => sample.items,
            // The estimate of a table that was made today may be 0.
            false => facts.items.max(sample.items),
        };
        let pending = sample.share.times(items as f64);
        let item_bytes = match facts.items {
            0 => sample.item_bytes,
            items => facts.size_bytes as f64 / items as f64,
        };
        let (units_per_item, indexes) = units(facts, tried, item_bytes, pending.value);
        let of_indexes: f64 = indexes.iter().map(|index| index.units_per_item).sum();
        let table_bytes = item_bytes * items as f64;
        let (writes, reads) = facts.takes();
        let partitions = (table_bytes / PARTITION_BYTES)
            .max(writes / PARTITION_WRITES)
            .ceil()
            .max(1.0);
        let once = units_of(table_bytes, Consistency::Eventual);
        // Once strongly consistent; and again, eventually consistent, for what the predicate leaves out.
        let again = match lacking.is_empty() {
            true => 0.0,
            false => once,
        };
        let verification_read_units = units_of(table_bytes, Consistency::Strong) + again;
        let verification_rate = reads
            .min(PARTITION_READS * partitions)
            .min(settings.max_rcu.map_or(f64::MAX, f64::from));
        let mut forecast = Forecast {
            items,
            pending,
            item_bytes,
            units_per_item,
            write_units: pending.times(units_per_item + of_indexes),
            amplification: (units_per_item + of_indexes) / units_per_item,
            indexes,
            scan_read_units: once,
            verification_read_units,
            partitions: partitions as u64,
            bounds: Vec::new(),
            sweep_seconds: 0.0,
            verification_seconds: verification_read_units / verification_rate,
            stream_records: facts.stream.as_ref().map(|_| pending),
            cost_usd: Bill::default(),
        };
        // Not those of a run that pauses after so many items: the figures are those of the whole table.
        let at_once = f64::from(settings.total_segments.min(settings.max_concurrency));
        forecast.bounds = forecast.found_bounds(facts, settings, partitions.min(at_once));
        forecast.bounds.extend(forecast.hot_keys(facts, sample));
        let longest_first = |a: &Bound, b: &Bound| b.seconds.total_cmp(&a.seconds);
        forecast.bounds.sort_by(longest_first);
        forecast.sweep_seconds = forecast.bounds[0].seconds;
        forecast.cost_usd = forecast.used(facts, settings, at_once).bill(prices);
        forecast
    }

    /// What bounds the rate, whatever is computed. So many partitions are written to at the same time.
    fn found_bounds(
        &self,
        facts: &TableFacts,
        settings: &Settings,
        partitions_at_work: f64,
    ) -> Vec<Bound> {
        let (writes, reads) = facts.takes();
        let indexes = || facts.indexes.iter().zip(&self.indexes);
        // A local index shares the capacity of its table.
        let local = indexes().filter(|(index, _)| index.local);
        let local: f64 = local.map(|(_, cost)| cost.write_units).sum();
        let table_units = self.pending.value * self.units_per_item + local;
        let (write_name, read_name) = match facts.billing {
            Billing::Provisioned { .. } => (
                "the table's provisioned write capacity",
                "the table's provisioned read capacity",
            ),
            Billing::OnDemand { .. } => (
                "what the table takes at once (its warm write throughput)",
                "what the table takes at once (its warm read throughput)",
            ),
        };
        let read_units = self.scan_read_units;
        let bound = |limit, by: String, seconds| Bound { limit, by, seconds };
        let mut bounds = vec![
            bound(Limit::TableWrites, write_name.into(), table_units / writes),
            bound(Limit::TableReads, read_name.into(), read_units / reads),
            bound(
                Limit::Partitions,
                "1,000 write units/s for each partition at work".into(),
                table_units / (PARTITION_WRITES * partitions_at_work),
            ),
        ];
        if let Some(budget) = settings.max_wcu {
            let name = format!("the budget of {budget} write units/s");
            let seconds = self.write_units.value / f64::from(budget);
            bounds.push(bound(Limit::WriteBudget, name, seconds));
        }
        if let Some(budget) = settings.max_rcu {
            let name = format!("the budget of {budget} read units/s");
            let seconds = read_units / f64::from(budget);
            bounds.push(bound(Limit::ReadBudget, name, seconds));
        }
        for (index, cost) in indexes() {
            if let Some(units) = facts.index_takes(index) {
                let name = format!("what index {} takes", index.name);
                let limit = Limit::Index(index.name.clone());
                bounds.push(bound(limit, name, cost.write_units / units));
            }
        }
        bounds
    }

    /// Bounds by the most frequent value that is computed for the partition key of each global index.
    fn hot_keys(&self, facts: &TableFacts, sample: &Sample) -> Vec<Bound> {
        let mut bounds = Vec::new();
        let computed = sample.computed.iter().flat_map(|it| &it.indexes);
        for index in computed {
            let costs = facts.indexes.iter().zip(&self.indexes);
            let cost = costs.filter(|(facts, _)| !facts.local);
            let cost = cost.map(|(_, cost)| cost).find(|it| it.name == index.index);
            let key = index.keys.iter().find(|key| key.is_partition);
            if let (Some(cost), Some(key)) = (cost, key) {
                bounds.push(Bound {
                    limit: Limit::IndexPartition(index.index.clone()),
                    by: format!(
                        "1,000 write units/s for the most frequent key of index {}",
                        index.index
                    ),
                    seconds: cost.write_units * key.share.value / PARTITION_WRITES,
                });
            }
        }
        bounds
    }

    /// What the run uses in AWS, with so many segments at once and with every replica.
    fn used(&self, facts: &TableFacts, settings: &Settings, at_once: f64) -> Use {
        let copies = 1.0 + facts.replicas.len() as f64;
        Use {
            items: self.pending.value,
            checkpoints: self.items as f64 / ITEMS_PER_CHECKPOINT,
            // A replicated write unit costs what any other does, in each region (DynamoDB pricing since November 2024).
            // Each segment checks one item, in this region alone.
            write_units: self.write_units.value * copies
                + check_units(self.item_bytes as u64) * f64::from(settings.total_segments),
            scan_read_units: self.scan_read_units,
            verification_read_units: self.verification_read_units,
            worker_seconds: self.sweep_seconds * at_once,
            verifier_seconds: self.verification_seconds,
            passes: 1.0,
            segments: settings.total_segments.into(),
            chunks: f64::from(settings.total_segments)
                + (self.sweep_seconds * at_once / settings.time_box_seconds.max(1) as f64),
            in_aws: true,
        }
    }

    /// The same for a run of an operator's process: without Lambda and Step Functions.
    pub fn here(mut self) -> Forecast {
        self.cost_usd = self.cost_usd.without_functions();
        self
    }

    /// Items per second that would be migrated were it not for this limit.
    pub(super) fn rate_without(&self, limit: &Limit) -> f64 {
        let others = self.bounds.iter().filter(|bound| bound.limit != *limit);
        let seconds = others.map(|bound| bound.seconds).fold(0.0, f64::max);
        self.pending.value / seconds.max(1.0)
    }
}

/// Mean write units of the table for a migrated item, and what each index adds for `pending` of them. If the update did
/// nothing to any of the sample, the table's are those of an item of `item_bytes`, and the indexes' 0.
fn units(
    facts: &TableFacts,
    tried: &[Tried],
    item_bytes: f64,
    pending: f64,
) -> (f64, Vec<IndexCost>) {
    let pairs: Vec<(&Item, &Item)> = tried
        .iter()
        .filter_map(|tried| Some((&tried.before, tried.after.as_ref().ok()?)))
        .collect();
    let mean = |units: &dyn Fn(&Item, &Item) -> f64, otherwise: f64| match pairs.len() {
        0 => otherwise,
        n => pairs.iter().map(|(b, a)| units(b, a)).sum::<f64>() / n as f64,
    };
    let indexes = facts.indexes.iter().map(|index| {
        let units = mean(&|b, a| index_units(&facts.keys, index, b, a), 0.0);
        IndexCost {
            name: index.name.clone(),
            units_per_item: units,
            write_units: units * pending,
        }
    });
    let by_size = write_units(item_bytes as u64);
    (mean(&update_units, by_size), indexes.collect())
}
