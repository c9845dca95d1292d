//! What the table takes: partitions with burst that split for heat, and a limit of the whole.
//!
//! A partition takes 1,000 write and 3,000 read units a second (developer guide, Partitions and data distribution); a table
//! has a limit of its own (Quotas: 40,000 of each by default); unused capacity is kept for up to 300 s (Burst capacity); a
//! partition that is hot for long splits (AWS says only that it does; after how long is an assumption of the model).

use crate::scenario::Scenario;

/// Seconds without a throttle after which a partition is hot no longer.
const COOLED: f64 = 5.0;

/// Units that come in at a rate and can be saved up.
#[derive(Debug, Clone)]
struct Tokens {
    rate: f64,
    level: f64,
    most: f64,
    at: f64,
}

impl Tokens {
    /// Saves up what a second brings, or what the burst allows, which is there from the start.
    fn new(rate: f64, burst_seconds: f64) -> Self {
        let most = rate * burst_seconds.max(1.0);
        let level = if burst_seconds > 0.0 { most } else { 0.0 };
        Tokens {
            rate,
            level,
            most,
            at: 0.0,
        }
    }

    /// A request passes while anything is there, and may go into debt by what it costs.
    fn has_any(&mut self, now: f64) -> bool {
        self.level = (self.level + (now - self.at).max(0.0) * self.rate).min(self.most);
        self.at = self.at.max(now);
        self.level > 0.0
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

/// The limits of the table and of its partitions. A partition is named by its place among those of the moment.
pub(crate) struct Capacity {
    partitions: Vec<Partition>,
    table_writes: Tokens,
    table_reads: Tokens,
    split_after: Option<f64>,
}

impl Capacity {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let width = 1.0 / f64::from(scenario.partitions);
        let partitions = (0..scenario.partitions as usize)
            .map(|n| Partition {
                begin: n as f64 * width,
                width,
                writes: Tokens::new(scenario.partition_wcu, scenario.burst_seconds),
                reads: Tokens::new(scenario.partition_rcu, scenario.burst_seconds),
                hot: None,
                origin: n,
            })
            .collect();
        Capacity {
            partitions,
            table_writes: Tokens::new(scenario.table_wcu, 0.0),
            table_reads: Tokens::new(scenario.table_rcu, 0.0),
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

    /// Takes write units from a partition and from the table; false, and nothing taken, if either throttles.
    pub(crate) fn take_write(&mut self, partition: usize, units: f64, now: f64) -> bool {
        let partition = &mut self.partitions[partition];
        if !partition.writes.has_any(now) {
            partition.hot = match partition.hot {
                Some((since, last)) if now - last <= COOLED => Some((since, now)),
                _ => Some((now, now)),
            };
            return false;
        }
        if !self.table_writes.has_any(now) {
            return false;
        }
        partition.writes.level -= units;
        self.table_writes.level -= units;
        true
    }

    /// Takes read units from a partition and from the table; false, and nothing taken, if either throttles.
    pub(crate) fn take_read(&mut self, partition: usize, units: f64, now: f64) -> bool {
        let partition = &mut self.partitions[partition];
        if !partition.reads.has_any(now) || !self.table_reads.has_any(now) {
            return false;
        }
        partition.reads.level -= units;
        self.table_reads.level -= units;
        true
    }

    /// A partition that has been hot for long becomes two.
    pub(crate) fn split(&mut self, n: usize, now: f64) {
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
