//! What is known of a run afterwards.

use std::time::Duration;

use backfill_core::pace::{Consistency, units_of};
use backfill_core::view::cost::Use;
use backfill_core::view::progress::Summary;

use crate::model::{Second, live_throttled, throttled_without_us};
use crate::scenario::Scenario;
use crate::store::Meter;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    pub summary: Summary,
    /// What was used, for a bill.
    pub used: Use,
    /// Seconds until every segment was swept, without the verification.
    pub sweep_seconds: f64,
    /// Seconds that the verification behind it took.
    pub verification_seconds: f64,
    /// Seconds from the first write unit that the table took to the last.
    pub write_seconds: f64,
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

impl Report {
    /// The part of the live writes that were throttled during the sweep.
    pub fn live_throttled(&self) -> f64 {
        live_throttled(&self.seconds)
    }

    /// The part of the live writes that were throttled during the sweep beyond those that are without us. The scenario is that
    /// of the run.
    pub fn live_loss(&self, scenario: &Scenario) -> f64 {
        let sweep = Duration::from_secs_f64(self.sweep_seconds);
        self.live_throttled() - throttled_without_us(scenario, sweep)
    }
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
