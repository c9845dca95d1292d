//! What is known of a run afterwards.

use backfill_core::pace::{Consistency, units_of};
use backfill_core::view::cost::Use;
use backfill_core::view::progress::Summary;

use crate::scenario::Scenario;
use crate::store::Meter;

/// One second of a run.
#[derive(Debug, Clone, Default)]
pub struct Second {
    /// Write units that the backfill consumed.
    pub wcu: f64,
    /// The same of each tenth of the second.
    pub wcu_by_tenth: [f64; 10],
    /// Read units that the backfill consumed.
    pub rcu: f64,
    /// The same of each tenth of the second.
    pub rcu_by_tenth: [f64; 10],
    /// Requests and statements of the backfill that were throttled.
    pub throttles: u64,
    /// Live writes that were accepted.
    pub live: u64,
    /// Live writes that were throttled.
    pub live_throttled: u64,
    /// Write units of the backfill on each partition, by its number at the start.
    pub by_partition: Vec<f64>,
}

/// The seconds of a run so far.
#[derive(Default)]
pub(crate) struct Seconds(Vec<Second>);

impl Seconds {
    /// The second in which this time lies.
    pub(crate) fn at(&mut self, time: f64) -> &mut Second {
        let second = time as usize;
        if self.0.len() <= second {
            self.0.resize_with(second + 1, Second::default);
        }
        &mut self.0[second]
    }

    pub(crate) fn all(&self) -> &[Second] {
        &self.0
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    pub summary: Summary,
    /// What was used, for a bill.
    pub used: Use,
    /// Seconds until every segment was swept, without the verification.
    pub sweep_seconds: f64,
    /// The shortest time in which the table and the budget let that many units pass: the larger of all units over the
    /// rate and the hottest partition's over its own. Burst, splitting and live traffic left aside.
    pub bound_seconds: f64,
    /// What that is.
    pub bound_by: &'static str,
    /// The seconds of the sweep.
    pub seconds: Vec<Second>,
    /// The seconds of the whole run: the sweep, and behind it the verification.
    pub with_verification: Vec<Second>,
    /// What the run has consumed of the checkpoint table.
    pub checkpoints: Meter,
}

/// The shortest time in which a run within this budget can end, and what bounds it.
pub(crate) fn bound(
    scenario: &Scenario,
    max_wcu: Option<u32>,
    max_rcu: Option<u32>,
) -> (f64, &'static str) {
    let items = scenario.items as f64;
    let writes = items * scenario.pending * scenario.write_units();
    let reads = units_of(items * scenario.item_bytes as f64, Consistency::Eventual);
    let others = scenario.others() as f64;
    let hottest = (others / f64::from(scenario.partitions) + scenario.collection as f64)
        * scenario.pending
        * scenario.write_units();
    let rate = |table: f64, budget: Option<u32>| budget.map_or(table, |b| table.min(f64::from(b)));
    let by_writes = (writes / rate(scenario.table_wcu, max_wcu), "write units");
    let by_reads = (reads / rate(scenario.table_rcu, max_rcu), "read units");
    let by_partition = (hottest / scenario.partition_wcu, "the hottest partition");
    [by_reads, by_partition].into_iter().fold(
        by_writes,
        |most, one| if one.0 >= most.0 { one } else { most },
    )
}
