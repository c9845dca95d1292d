//! What has happened to a table, second by second.

/// One second of a table.
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

/// The part of the live writes that were throttled in these seconds.
pub(crate) fn live_throttled(seconds: &[Second]) -> f64 {
    let sum = |of: fn(&Second) -> u64| seconds.iter().map(of).sum::<u64>();
    let throttled = sum(|second| second.live_throttled);
    throttled as f64 / (sum(|second| second.live) + throttled).max(1) as f64
}

/// The seconds so far.
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
