//! A model of a table: plain data, and functions of the time in seconds since the beginning. It knows neither ports nor
//! clocks, so a simulation can ask it in virtual time and a server in real time.
//!
//! Items are numbered in the order of the hash space and differ in nothing but their place. Segments are contiguous ranges
//! of the hash space, and so are partitions (observed by others; AWS does not say).

mod capacity;
mod seconds;
mod traffic;

use std::sync::atomic::Ordering;
use std::time::Duration;

use backfill_core::value::size::check_units;

use self::capacity::Capacity;
use self::seconds::Seconds;
use self::traffic::LiveTraffic;
use crate::scenario::Scenario;

pub use self::capacity::Limit;
pub use self::seconds::Second;
pub(crate) use self::seconds::live_throttled;
pub(crate) use self::traffic::throttled_without_us;

/// The state of a table: which items are pending, and what its limits have left.
pub struct Table {
    scenario: Scenario,
    random: fastrand::Rng,
    /// A bit for each item that is pending.
    pending: Vec<u64>,
    capacity: Capacity,
    live: LiveTraffic,
    seconds: Seconds,
    /// When the backfill's first write unit was consumed, and when its last.
    written: Option<(f64, f64)>,
}

/// Which page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct PageOf {
    /// Which segment, from 0.
    pub segment: u32,
    /// How many segments there are.
    pub total_segments: u32,
    /// The last item of the page before.
    pub after: Option<u64>,
    /// Items that are evaluated at most.
    pub limit: u32,
    /// Strongly consistent, at twice the read units.
    pub consistent: bool,
}

/// A page that was read.
#[derive(Debug)]
pub struct Read {
    /// The items that were evaluated.
    pub scanned: std::ops::Range<u64>,
    /// Whether there are more in the segment.
    pub goes_on: bool,
    /// Those that are pending.
    pub pending: Vec<u64>,
    /// Read units.
    pub units: f64,
}

/// A guarded update that was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Updated {
    /// Whether the item was pending; if not, the guard failed.
    pub was_pending: bool,
    /// Write units.
    pub units: f64,
}

impl Table {
    /// The table at its beginning.
    pub fn new(scenario: Scenario) -> Table {
        let mut random = fastrand::Rng::with_seed(scenario.seed);
        let words = scenario.items.div_ceil(64) as usize;
        let pending = (0..words)
            .map(|_| {
                if scenario.pending >= 1.0 {
                    return u64::MAX;
                }
                (0..64).fold(0, |word, bit| {
                    word | (u64::from(random.f64() < scenario.pending) << bit)
                })
            })
            .collect();
        Table {
            random,
            pending,
            capacity: Capacity::new(&scenario),
            live: LiveTraffic::new(&scenario),
            seconds: Seconds::default(),
            written: None,
            scenario,
        }
    }

    /// What it is a table of.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What has happened so far.
    pub fn seconds(&self) -> &[Second] {
        self.seconds.all()
    }

    /// Seconds from the first write unit that the backfill has consumed to the last.
    pub fn write_seconds(&self) -> f64 {
        self.written.map_or(0.0, |(first, last)| last - first)
    }

    /// The time that the next request takes, with so many statements.
    pub fn latency(&mut self, statements: u32) -> Duration {
        self.scenario.time_of(statements, &mut self.random)
    }

    /// Lets the live writes happen that came until `now`.
    pub fn catch_up(&mut self, now: f64) {
        self.live
            .catch_up(now, &mut self.capacity, &mut self.random, &mut self.seconds);
    }

    /// Whether the item is there and pending.
    pub fn is_pending(&self, index: u64) -> bool {
        index < self.scenario.items && self.pending[index as usize / 64] >> (index % 64) & 1 == 1
    }

    /// How many of these items are pending.
    pub fn count_pending(&self, items: std::ops::Range<u64>) -> u64 {
        self.words(items)
            .map(|(_, word)| u64::from(word.count_ones()))
            .sum()
    }

    /// One guarded update of an item, which must be there. A failed condition costs as much as writing the item that is there.
    pub fn update(&mut self, index: u64, now: f64) -> Result<Updated, Limit> {
        let was_pending = self.is_pending(index);
        let units = match was_pending {
            true => self.scenario.write_units(),
            false => self.scenario.item_units(),
        };
        self.take_write(index, units, now)?;
        self.set(index);
        Ok(Updated { was_pending, units })
    }

    /// One check whether an item is pending, which must be there. Returns what it cost.
    pub fn check(&mut self, index: u64, now: f64) -> Result<f64, Limit> {
        let units = check_units(self.scenario.item_bytes);
        self.take_write(index, units, now)?;
        Ok(units)
    }

    /// Takes write units for a request of the backfill on an item.
    pub fn take_write(&mut self, index: u64, units: f64, now: f64) -> Result<(), Limit> {
        self.catch_up(now);
        let partition = self.capacity.partition_at(self.scenario.position(index));
        let taken = self.capacity.take_write(partition, units, now);
        let second = self.seconds.at(now);
        if taken.is_err() {
            second.throttles += 1;
            return taken;
        }
        self.written = Some((self.written.map_or(now, |(first, _)| first), now));
        let origin = self.capacity.origin(partition);
        second.wcu += units;
        second
            .by_partition
            .resize(self.scenario.partitions as usize, 0.0);
        second.by_partition[origin] += units;
        second.wcu_by_tenth[(now.fract() * 10.0) as usize] += units;
        Ok(())
    }

    /// Takes read units for a request of the backfill that begins at an item.
    pub fn take_read(&mut self, index: u64, units: f64, now: f64) -> Result<(), Limit> {
        self.catch_up(now);
        let place = self.scenario.position(index.min(self.scenario.items - 1));
        let partition = self.capacity.partition_at(place);
        let taken = self.capacity.take_read(partition, units, now);
        let second = self.seconds.at(now);
        if taken.is_err() {
            second.throttles += 1;
            return taken;
        }
        second.rcu += units;
        second.rcu_by_tenth[(now.fract() * 10.0) as usize] += units;
        Ok(())
    }

    /// One page of a scan.
    pub fn page(&mut self, page: PageOf, now: f64) -> Result<Read, Limit> {
        let (begin, stop, end) = self.range(page);
        let scanned = stop - begin;
        let blocks = (scanned * self.scenario.item_bytes).div_ceil(4096).max(1) as f64;
        let units = match page.consistent {
            true => blocks,
            false => blocks / 2.0,
        };
        self.take_read(begin, units, now)?;
        if !page.consistent {
            let swept = &self.scenario.swept;
            swept.fetch_add(scanned, Ordering::Relaxed);
        }
        let pending = self.pending_of(begin..stop);
        if self.scenario.raced > 0.0 && !page.consistent {
            // Not the first of a segment, by which it tries the update: until that has passed, there are no batches.
            let trial = usize::from(page.after.is_none());
            for &index in pending.iter().skip(trial) {
                if self.random.f64() < self.scenario.raced {
                    self.set(index);
                }
            }
        }
        Ok(Read {
            scanned: begin..stop,
            goes_on: stop < end,
            pending,
            units,
        })
    }

    /// The items that a page evaluates: the first, the one behind the last, and the one behind the segment.
    fn range(&self, page: PageOf) -> (u64, u64, u64) {
        let total = f64::from(page.total_segments);
        let end = match page.segment + 1 == page.total_segments {
            true => self.scenario.items,
            false => self
                .scenario
                .first_from(f64::from(page.segment + 1) / total),
        };
        let begin = match page.after {
            Some(index) => index + 1,
            None => self.scenario.first_from(f64::from(page.segment) / total),
        };
        let most = self.scenario.page_items(page.limit);
        (begin, (begin + most).min(end).max(begin), end)
    }

    /// The bits of these items, by the number of the first item of each word.
    fn words(&self, items: std::ops::Range<u64>) -> impl Iterator<Item = (u64, u64)> + '_ {
        (items.start / 64..items.end.div_ceil(64)).map(move |n| {
            let first = n * 64;
            let mut word = self.pending[n as usize];
            if items.start > first {
                word &= u64::MAX << (items.start - first);
            }
            if items.end < first + 64 {
                word &= !(u64::MAX << (items.end - first));
            }
            (first, word)
        })
    }

    fn pending_of(&self, items: std::ops::Range<u64>) -> Vec<u64> {
        let mut pending = Vec::new();
        for (first, mut word) in self.words(items) {
            while word != 0 {
                pending.push(first + u64::from(word.trailing_zeros()));
                word &= word - 1;
            }
        }
        pending
    }

    /// The item is pending no longer.
    fn set(&mut self, index: u64) {
        self.pending[index as usize / 64] &= !(1 << (index % 64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_show_each_pending_item_once_wherever_segments_and_words_end() {
        let mut table = Table::new(Scenario {
            items: 1_000,
            pending: 0.3,
            item_bytes: 100,
            table_rcu: 1e9,
            partition_rcu: 1e9,
            ..Scenario::default()
        });
        let wanted: Vec<u64> = (0..1_000)
            .filter(|&index| table.is_pending(index))
            .collect();
        for (total_segments, limit) in [(1, 1_000), (1, 64), (1, 1), (7, 13), (64, 1), (3, 65)] {
            let mut seen = Vec::new();
            for segment in 0..total_segments {
                let mut after = None;
                loop {
                    let page = PageOf {
                        segment,
                        total_segments,
                        after,
                        limit,
                        consistent: true,
                    };
                    let read = table.page(page, 1.0).unwrap();
                    assert_eq!(
                        table.count_pending(read.scanned.clone()),
                        read.pending.len() as u64
                    );
                    after = Some(read.scanned.end - 1);
                    seen.extend(read.pending);
                    if !read.goes_on {
                        break;
                    }
                }
            }
            assert_eq!(seen, wanted, "{total_segments} segments, {limit} a page");
        }
        assert_eq!(table.count_pending(0..1_000), wanted.len() as u64);
    }
}
