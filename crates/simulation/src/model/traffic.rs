//! Live traffic: writes of one unit, somewhere in the hash space, at random times of a given rate (a Poisson process).

use std::time::Duration;

use super::capacity::Capacity;
use super::seconds::{Seconds, live_throttled};
use crate::scenario::Scenario;

/// The application that writes to the table meanwhile.
pub(crate) struct LiveTraffic {
    /// Writes per second.
    rate: f64,
    /// When the next one comes.
    next: f64,
}

impl LiveTraffic {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        LiveTraffic {
            rate: scenario.live_wcu,
            next: 0.0,
        }
    }

    /// Lets the writes happen that came before `now`, in their order.
    pub(crate) fn catch_up(
        &mut self,
        now: f64,
        capacity: &mut Capacity,
        random: &mut fastrand::Rng,
        seconds: &mut Seconds,
    ) {
        while self.rate > 0.0 && self.next <= now {
            let at = self.next;
            let partition = capacity.partition_at(random.f64());
            let accepted = capacity.take_write(partition, 1.0, at);
            let second = seconds.at(at);
            if accepted.is_ok() {
                second.live += 1;
            } else {
                second.live_throttled += 1;
            }
            self.next = at - (1.0 - random.f64()).ln() / self.rate;
        }
    }
}

/// The part of the live writes that the same table throttles in this time while nothing else is going on.
pub(crate) fn throttled_without_us(scenario: &Scenario, time: Duration) -> f64 {
    let mut seconds = Seconds::default();
    LiveTraffic::new(scenario).catch_up(
        time.as_secs_f64(),
        &mut Capacity::new(scenario),
        &mut fastrand::Rng::with_seed(scenario.seed),
        &mut seconds,
    );
    live_throttled(seconds.all())
}
