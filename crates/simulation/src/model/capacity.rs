//! What the table takes: partitions with burst that split for heat, and a limit of the whole.
//!
//! A partition takes 1,000 write and 3,000 read units a second (developer guide, Partitions and data distribution); a table
//! has a limit of its own (Quotas: 40,000 of each by default); unused capacity is kept for up to 300 s (Burst capacity); a
//! partition that is hot for long splits (AWS says only that it does; after how long is an assumption of the model); a table
//! on demand takes twice its peak (On-demand capacity mode; the peak counts from the end of the period in which it was).

use backfill_core::table::TABLE_QUOTA;

use crate::scenario::Scenario;

/// Seconds without a throttle after which a partition is hot no longer.
const COOLED: f64 = 5.0;

/// Parts of a period over each of which a table on demand is averaged: its peak is the highest of them.
const PARTS_OF_A_PERIOD: f64 = 30.0;

/// What refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// That of the partition in which the item lies.
    Partition,
    /// That of the whole table.
    Table,
}

/// Units that come in at a rate and can be saved up.
#[derive(Debug, Clone)]
struct Tokens {
    rate: f64,
    level: f64,
    /// Seconds of the rate that can be saved up.
    burst: f64,
    at: f64,
}

impl Tokens {
    /// Holds what `burst` seconds bring, or a unit if that is less; full at the start, or empty.
    fn new(rate: f64, burst: f64, is_full: bool) -> Self {
        let mut tokens = Tokens {
            rate,
            level: 0.0,
            burst,
            at: 0.0,
        };
        if is_full {
            tokens.level = tokens.most();
        }
        tokens
    }

    fn most(&self) -> f64 {
        (self.rate * self.burst).max(1.0)
    }

    /// A request passes while anything is there, and may go into debt by what it costs.
    fn has_any(&mut self, now: f64) -> bool {
        self.level = (self.level + (now - self.at).max(0.0) * self.rate).min(self.most());
        self.at = self.at.max(now);
        self.level > 0.0
    }
}

/// How the limit of a table on demand grows.
#[derive(Debug, Clone)]
struct Growth {
    period: f64,
    period_ends: f64,
    part_ends: f64,
    /// Units consumed in the part of the moment.
    units: f64,
    /// Highest mean per second of a part.
    peak: f64,
}

impl Growth {
    fn new(period: f64) -> Self {
        Growth {
            period,
            period_ends: period,
            part_ends: period / PARTS_OF_A_PERIOD,
            units: 0.0,
            peak: 0.0,
        }
    }

    /// The rate that the table takes from `now` on, if it has taken this one so far.
    fn rate(&mut self, mut rate: f64, now: f64) -> f64 {
        let part = self.period / PARTS_OF_A_PERIOD;
        while self.part_ends <= now {
            self.peak = self.peak.max(self.units / part);
            self.units = 0.0;
            // Half a part is the room for what adding up fractions leaves.
            if self.part_ends > self.period_ends - part / 2.0 {
                rate = rate.max((2.0 * self.peak).min(TABLE_QUOTA));
                self.period_ends += self.period;
            }
            self.part_ends += part;
        }
        rate
    }
}

/// The limit of the whole table. It saves up one second at most.
struct TableLimit {
    tokens: Tokens,
    growth: Option<Growth>,
}

impl TableLimit {
    fn new(rate: f64, scenario: &Scenario) -> Self {
        let period = scenario.doubles_after.map(|time| time.as_secs_f64());
        TableLimit {
            tokens: Tokens::new(rate, 1.0, scenario.rested),
            growth: period.map(Growth::new),
        }
    }

    fn has_any(&mut self, now: f64) -> bool {
        if let Some(growth) = &mut self.growth {
            self.tokens.rate = growth.rate(self.tokens.rate, now);
        }
        self.tokens.has_any(now)
    }

    fn spend(&mut self, units: f64) {
        self.tokens.level -= units;
        if let Some(growth) = &mut self.growth {
            growth.units += units;
        }
    }
}

/// A contiguous range of the hash space with its own limits.
#[derive(Debug, Clone)]
struct Partition {
    /// Where it begins in the hash space, 0 to 1.
    begin: f64,
    width: f64,
    writes: Tokens,
    reads: Tokens,
    /// Since when it has throttled in every second, and when last.
    hot: Option<(f64, f64)>,
    /// The partition of the start that it comes from.
    origin: usize,
}

/// The limits of the table and of its partitions. A partition is named by its place among those of the moment, which a
/// refused write may change.
pub(crate) struct Capacity {
    partitions: Vec<Partition>,
    table_writes: TableLimit,
    table_reads: TableLimit,
    split_after: Option<f64>,
}

impl Capacity {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let width = 1.0 / f64::from(scenario.partitions);
        let tokens = |rate| Tokens::new(rate, scenario.burst_seconds, scenario.rested);
        let partitions = (0..scenario.partitions as usize)
            .map(|n| Partition {
                begin: n as f64 * width,
                width,
                writes: tokens(scenario.partition_wcu),
                reads: tokens(scenario.partition_rcu),
                hot: None,
                origin: n,
            })
            .collect();
        Capacity {
            partitions,
            table_writes: TableLimit::new(scenario.table_wcu, scenario),
            table_reads: TableLimit::new(scenario.table_rcu, scenario),
            split_after: scenario.split_after.map(|time| time.as_secs_f64()),
        }
    }

    /// The partition at this place in the hash space.
    pub(crate) fn partition_at(&self, position: f64) -> usize {
        self.partitions
            .partition_point(|partition| partition.begin <= position)
            .max(1)
            - 1
    }

    /// The partition of the start that this one comes from.
    pub(crate) fn origin(&self, partition: usize) -> usize {
        self.partitions[partition].origin
    }

    /// Takes write units from a partition and from the table; nothing is taken if either throttles.
    pub(crate) fn take_write(&mut self, n: usize, units: f64, now: f64) -> Result<(), Limit> {
        let partition = &mut self.partitions[n];
        if !partition.writes.has_any(now) {
            partition.hot = match partition.hot {
                Some((since, last)) if now - last <= COOLED => Some((since, now)),
                _ => Some((now, now)),
            };
            self.split(n, now);
            return Err(Limit::Partition);
        }
        if !self.table_writes.has_any(now) {
            return Err(Limit::Table);
        }
        partition.writes.level -= units;
        self.table_writes.spend(units);
        Ok(())
    }

    /// Takes read units from a partition and from the table; nothing is taken if either throttles.
    pub(crate) fn take_read(&mut self, n: usize, units: f64, now: f64) -> Result<(), Limit> {
        let partition = &mut self.partitions[n];
        if !partition.reads.has_any(now) {
            return Err(Limit::Partition);
        }
        if !self.table_reads.has_any(now) {
            return Err(Limit::Table);
        }
        partition.reads.level -= units;
        self.table_reads.spend(units);
        Ok(())
    }

    /// A partition that has been hot for long becomes two.
    fn split(&mut self, n: usize, now: f64) {
        let (Some(after), Some((since, _))) = (self.split_after, self.partitions[n].hot) else {
            return;
        };
        if now - since < after {
            return;
        }
        let old = &mut self.partitions[n];
        old.width /= 2.0;
        old.hot = None;
        let mut new = old.clone();
        new.begin += new.width;
        self.partitions.insert(n + 1, new);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Units that are let pass in each of these seconds, if much more is tried all the time.
    fn pressed(scenario: &Scenario, seconds: usize) -> Vec<f64> {
        let mut capacity = Capacity::new(scenario);
        let mut passed = vec![0.0; seconds];
        for tick in 0..seconds * 100_000 {
            let now = tick as f64 / 100_000.0;
            let partition = capacity.partition_at(fraction(tick));
            if capacity.take_write(partition, 1.0, now).is_ok() {
                passed[now as usize] += 1.0;
            }
        }
        passed
    }

    /// Evenly over 0 to 1, and not in the order of the places.
    fn fraction(tick: usize) -> f64 {
        (tick as f64 * 0.618_033_988_749_895).fract()
    }

    fn about(seen: &[f64], wanted: &[f64]) {
        assert_eq!(seen.len(), wanted.len());
        for (seen_one, wanted_one) in seen.iter().zip(wanted) {
            let most = 0.005 * wanted_one + 2.0;
            assert!((seen_one - wanted_one).abs() <= most, "{seen:?}");
        }
    }

    #[test]
    fn a_partition_saves_up_what_its_burst_allows_and_no_more() {
        for (burst_seconds, saved) in [(0.0, 1.0), (0.2, 200.0), (1.0, 1_000.0), (3.0, 3_000.0)] {
            let scenario = Scenario {
                burst_seconds,
                rested: true,
                ..Scenario::default()
            };
            about(&pressed(&scenario, 2), &[1_000.0 + saved, 1_000.0]);
            let tired = Scenario {
                rested: false,
                ..scenario
            };
            about(&pressed(&tired, 2), &[1_000.0, 1_000.0]);
            // Four seconds of rest are kept as far as the burst goes.
            let mut capacity = Capacity::new(&tired);
            let mut passed = 0.0;
            while capacity.take_write(0, 1.0, 4.0).is_ok() {
                passed += 1.0;
            }
            about(&[passed], &[saved]);
        }
    }

    #[test]
    fn a_table_has_a_limit_of_its_own() {
        let scenario = Scenario {
            partitions: 8,
            table_wcu: 4_000.0,
            ..Scenario::default()
        };
        about(&pressed(&scenario, 3), &[4_000.0; 3]);
        let mut capacity = Capacity::new(&scenario);
        let refused = |capacity: &mut Capacity, n| {
            std::iter::repeat_with(|| capacity.take_write(n, 1.0, 1.0)).find_map(Result::err)
        };
        assert_eq!(refused(&mut capacity, 0), Some(Limit::Partition));
        for n in 1..4 {
            refused(&mut capacity, n);
        }
        assert_eq!(refused(&mut capacity, 4), Some(Limit::Table));
    }

    #[test]
    fn a_table_on_demand_takes_twice_its_peak_a_period_later() {
        let scenario = Scenario {
            partitions: 64,
            table_wcu: 4_000.0,
            doubles_after: Some(Duration::from_secs(2)),
            ..Scenario::default()
        };
        let wanted = [4e3, 4e3, 8e3, 8e3, 16e3, 16e3, 32e3, 32e3, 40e3, 40e3];
        about(&pressed(&scenario, 10), &wanted);
    }

    #[test]
    fn a_partition_that_is_hot_for_long_becomes_two() {
        let scenario = Scenario {
            split_after: Some(Duration::from_secs(3)),
            ..Scenario::default()
        };
        let passed = pressed(&scenario, 8);
        about(&passed[..3], &[1e3; 3]);
        about(&passed[4..6], &[2e3; 2]);
        about(&passed[7..], &[4e3]);
    }
}
