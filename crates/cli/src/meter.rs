//! What successive snapshots of a run tell that one alone does not: its rates at present, and how long the sweep still takes.

use std::collections::VecDeque;
use std::time::Duration;

use backfill_core::records::{Counters, Owner, RunStatus};
use backfill_core::view::progress::Snapshot;

/// Rates are those of this long. Checkpoints come page by page, so that a shorter time would show their rhythm.
pub const WINDOW: Duration = Duration::from_secs(30);

/// Readings that lie nearer together than this say nothing about a rate.
const LEAST_SPAN: Duration = Duration::from_secs(2);

/// Share of the items that must be swept before their rate says something about the rest.
const LEAST_SHARE: f64 = 0.02;

/// Exhausted segments from which the mean size of a segment is taken, where DynamoDB's estimate is of no use.
const LEAST_SEGMENTS: usize = 8;

/// What one reading must have in common with the next for their difference to be a rate.
#[derive(Debug, PartialEq)]
struct Course {
    owner: Owner,
    started_ms: u64,
    status: RunStatus,
    pass: u32,
    budget: (Option<u32>, Option<u32>),
}

impl Course {
    fn of(snapshot: &Snapshot) -> Course {
        let run = &snapshot.run;
        Course {
            owner: run.owner.clone(),
            started_ms: run.started_ms,
            status: run.status,
            pass: run.pass,
            budget: (run.settings.max_wcu, run.settings.max_rcu),
        }
    }
}

/// Measures a run by its snapshots. Times are since any moment, the same for all.
#[derive(Debug, Default)]
pub struct Meter {
    course: Option<Course>,
    readings: VecDeque<(Duration, Counters)>,
}

/// Per second, of the current pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The time that they were measured in.
    pub over: Duration,
    pub scanned: f64,
    pub updated: f64,
    pub wcu: f64,
    pub rcu: f64,
    /// In all of that time, not per second.
    pub throttles: u64,
}

/// How long a run still takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Eta {
    /// About this long, at least a second, until the pass is swept. The verification comes after that.
    Sweep(Duration),
    /// No segment is open. How far the count has come, nobody writes down before it is complete.
    Verifying,
    /// Nothing honest can be said, and why.
    None(&'static str),
}

impl Meter {
    /// Takes a snapshot in that was read at `now`. True where the run has taken another course since the last one (a new
    /// pass, owner, state or budget), so that measuring begins anew.
    pub fn note(&mut self, now: Duration, snapshot: &Snapshot) -> bool {
        let course = Course::of(snapshot);
        let counters = snapshot.current().map(|pass| pass.counters);
        let is_new = self.course.as_ref() != Some(&course);
        if is_new {
            self.course = Some(course);
            self.readings.clear();
        }
        self.readings.push_back((now, counters.unwrap_or_default()));
        // The first is the latest that is older than the window.
        while self
            .readings
            .get(1)
            .is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW)
        {
            self.readings.pop_front();
        }
        is_new
    }

    /// The rates of the last [`WINDOW`], or of what has been seen of it. `None` before that is two seconds.
    pub fn rates(&self) -> Option<Rates> {
        let (begin, before) = self.readings.front()?;
        let (end, after) = self.readings.back()?;
        let over = end.saturating_sub(*begin);
        if over < LEAST_SPAN {
            return None;
        }
        let per_second = |before: f64, after: f64| (after - before).max(0.0) / over.as_secs_f64();
        Some(Rates {
            over,
            scanned: per_second(before.scanned as f64, after.scanned as f64),
            updated: per_second(before.updated as f64, after.updated as f64),
            wcu: per_second(before.consumed_wcu, after.consumed_wcu),
            rcu: per_second(before.consumed_rcu, after.consumed_rcu),
            throttles: after.throttles.saturating_sub(before.throttles),
        })
    }
}

/// True where the run counts what is still pending: it is running, and no segment of its pass is open. A dry run only counts.
pub fn is_verifying(snapshot: &Snapshot) -> bool {
    let settings = &snapshot.run.settings;
    let exhausted = snapshot.current().map_or(0, |pass| pass.segments_exhausted);
    snapshot.run.status == RunStatus::Running
        && (settings.dry_run || exhausted >= settings.total_segments)
}

/// True where the current pass has no item left to sweep, so that a running run verifies ([`is_verifying`]), or pauses after
/// `only_segments`. A dry run only counts.
pub fn is_swept(snapshot: &Snapshot) -> bool {
    let settings = &snapshot.run.settings;
    let Some(pass) = snapshot.current() else {
        return settings.dry_run;
    };
    let is_exhausted = |wanted: &u32| {
        // They are in order.
        let found = pass
            .segments
            .binary_search_by_key(wanted, |segment| segment.segment);
        found.is_ok_and(|index| pass.segments[index].exhausted)
    };
    let only = &settings.only_segments;
    settings.dry_run
        || pass.segments_exhausted >= settings.total_segments
        || (!only.is_empty() && only.iter().all(is_exhausted))
}

/// Of the items that are to be swept: how many are, and about how many there are. The latter is
/// - DynamoDB's estimate, which is up to six hours old (API reference, TableDescription), or the part of `only_segments` in it;
/// - where more have been swept already, the mean of the exhausted segments times their number, once there are
///   [`LEAST_SEGMENTS`]: DynamoDB cuts segments by the hash of the key;
/// - `None` where neither is of use.
pub fn items(snapshot: &Snapshot) -> (u64, Option<u64>) {
    let settings = &snapshot.run.settings;
    let Some(pass) = snapshot.current() else {
        return (0, None);
    };
    let total = f64::from(settings.total_segments.max(1));
    let (swept, number) = match settings.only_segments.len() {
        0 => (pass.counters.scanned, total),
        number => {
            let included = pass
                .segments
                .iter()
                .filter(|segment| settings.includes(segment.segment));
            let counters: Counters = included.map(|segment| segment.counters).sum();
            (counters.scanned, number as f64)
        }
    };
    let estimate = (snapshot.run.estimated_items as f64 * number / total) as u64;
    if estimate > swept {
        return (swept, Some(estimate));
    }
    let exhausted: Vec<u64> = pass
        .segments
        .iter()
        .filter(|segment| segment.exhausted)
        .map(|segment| segment.counters.scanned)
        .collect();
    if exhausted.len() < LEAST_SEGMENTS {
        return (swept, None);
    }
    let sum: f64 = exhausted.iter().map(|scanned| *scanned as f64).sum();
    let mean = sum / exhausted.len() as f64;
    let expected = (mean * number) as u64;
    (swept, (expected > swept).then_some(expected))
}

/// How long the sweep of this pass still takes: the items left over the rate of the last [`WINDOW`]. There is none
/// - while the run is not running, or verifies;
/// - before a whole window was seen under the present budget, since the first seconds are a start and a trial;
/// - before 2 % of the items are swept;
/// - where nothing was swept in the window: throttled to nothing, or nobody at work;
/// - where more items were swept than [`items`] expects.
///
/// It is never zero: while segments are open, work remains.
pub fn eta(snapshot: &Snapshot, rates: Option<&Rates>) -> Eta {
    if snapshot.run.status != RunStatus::Running {
        return Eta::None("the run is not running");
    }
    if is_verifying(snapshot) {
        return Eta::Verifying;
    }
    if is_swept(snapshot) {
        return Eta::None("none, the canary is swept");
    }
    let Some(rates) = rates.filter(|rates| rates.over >= WINDOW) else {
        return Eta::None("not known yet");
    };
    if rates.scanned <= 0.0 {
        return Eta::None("not known, nothing was swept lately");
    }
    let (swept, Some(expected)) = items(snapshot) else {
        return Eta::None("not known, there are more items than DynamoDB's estimate");
    };
    let (swept, expected) = (swept as f64, expected as f64);
    if swept < LEAST_SHARE * expected {
        return Eta::None("not known yet");
    }
    let seconds = ((expected - swept) / rates.scanned).clamp(1.0, f64::from(u32::MAX));
    Eta::Sweep(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::samples::{pass, run, segment};

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A run of 10,000 items, by the estimate, of which the first of 40 segments has swept this many.
    fn swept(scanned: u64) -> Snapshot {
        let mut run = run();
        run.estimated_items = 10_000;
        pass(run, vec![segment(0, scanned)])
    }

    fn measured(readings: &[(u64, u64)]) -> Meter {
        let mut meter = Meter::default();
        for (at, scanned) in readings {
            meter.note(secs(*at), &swept(*scanned));
        }
        meter
    }

    #[test]
    fn rates_are_those_of_the_last_half_minute() {
        assert_eq!(measured(&[]).rates(), None);
        assert_eq!(measured(&[(0, 0)]).rates(), None);
        assert_eq!(measured(&[(0, 0), (1, 500)]).rates(), None);
        let rates = measured(&[(0, 0), (10, 1_000)]).rates().unwrap();
        assert_eq!((rates.over, rates.scanned), (secs(10), 100.0));
        // What happened before it does not count, and neither do readings that come faster.
        let readings: Vec<(u64, u64)> = (0..=100)
            .map(|at| (at, if at < 60 { 0 } else { (at - 60) * 50 }))
            .collect();
        let rates = measured(&readings).rates().unwrap();
        assert_eq!((rates.over, rates.scanned), (WINDOW, 50.0));
    }

    #[test]
    fn measuring_begins_anew_where_the_run_takes_another_course() {
        let changes: [fn(&mut Snapshot); 5] = [
            |snapshot| snapshot.run.settings.max_wcu = Some(7),
            |snapshot| snapshot.run.status = RunStatus::Paused,
            |snapshot| snapshot.run.owner = "another".into(),
            |snapshot| snapshot.run.pass += 1,
            |snapshot| snapshot.run.started_ms += 1,
        ];
        for change in changes {
            let mut meter = measured(&[(0, 0), (40, 1_000)]);
            assert!(meter.rates().is_some());
            let mut snapshot = swept(1_000);
            change(&mut snapshot);
            assert!(meter.note(secs(41), &snapshot));
            assert_eq!(meter.rates(), None);
        }
    }

    #[test]
    fn there_is_no_eta_before_it_means_something() {
        let eta_of = |readings: &[(u64, u64)]| {
            let last = swept(readings.last().unwrap().1);
            eta(&last, measured(readings).rates().as_ref())
        };
        // Less than half a minute seen; less than 2 % swept; nothing swept lately; more swept than there should be.
        for readings in [
            &[(0, 0)][..],
            &[(0, 0), (29, 5_000)],
            &[(0, 0), (30, 199)],
            &[(0, 5_000), (30, 5_000)],
            &[(0, 5_000), (30, 10_000)],
            &[(0, 5_000), (30, 10_001)],
        ] {
            assert!(matches!(eta_of(readings), Eta::None(_)), "{readings:?}");
        }
        assert_eq!(eta_of(&[(0, 0), (30, 200)]), Eta::Sweep(secs(1_470)));
        assert_eq!(eta_of(&[(0, 1_000), (30, 4_000)]), Eta::Sweep(secs(60)));
        // Never nothing while segments are open.
        assert_eq!(eta_of(&[(0, 0), (30, 9_999)]), Eta::Sweep(secs(1)));
    }

    #[test]
    fn a_run_that_is_swept_or_stopped_has_no_eta() {
        let rates = measured(&[(0, 0), (30, 5_000)]).rates();
        let mut stopped = swept(5_000);
        stopped.run.status = RunStatus::Paused;
        assert!(matches!(eta(&stopped, rates.as_ref()), Eta::None(_)));
        let mut dry = swept(0);
        dry.run.settings.dry_run = true;
        assert_eq!(eta(&dry, None), Eta::Verifying);
        let mut all = run();
        all.settings.total_segments = 1;
        let mut only = segment(0, 5_000);
        only.exhausted = true;
        assert_eq!(eta(&pass(all, vec![only]), rates.as_ref()), Eta::Verifying);
    }

    #[test]
    fn where_the_estimate_is_too_low_the_exhausted_segments_tell() {
        let mut run = run();
        run.estimated_items = 0;
        run.settings.total_segments = 20;
        let done = |n: u32| {
            let mut segments: Vec<_> = (0..n).map(|n| segment(n, 100)).collect();
            for segment in &mut segments {
                segment.exhausted = true;
            }
            pass(run.clone(), segments)
        };
        assert_eq!(items(&done(7)), (700, None));
        assert_eq!(items(&done(8)), (800, Some(2_000)));
    }

    #[test]
    fn of_a_canary_only_its_segments_count() {
        let mut run = run();
        run.estimated_items = 10_000;
        run.settings.only_segments = vec![3, 7];
        let mut segments = vec![segment(1, 400), segment(3, 100), segment(7, 60)];
        segments[0].exhausted = true;
        segments[1].exhausted = true;
        let mut snapshot = pass(run, segments);
        assert_eq!(items(&snapshot), (160, Some(500)));
        assert!(!is_swept(&snapshot));
        snapshot.passes[0].segments[2].exhausted = true;
        assert!(is_swept(&snapshot));
        // Others are open, so that nothing is verified: neither before it pauses nor then.
        assert!(!is_verifying(&snapshot));
        assert!(matches!(eta(&snapshot, None), Eta::None(_)));
        snapshot.run.status = RunStatus::Paused;
        assert!(is_swept(&snapshot) && !is_verifying(&snapshot));
    }
}
