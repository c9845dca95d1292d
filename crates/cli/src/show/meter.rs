//! What successive snapshots of a run tell that one alone does not: its rates at present, and how long the sweep still takes.

use std::collections::VecDeque;
use std::time::Duration;

use backfill_core::records::{Counters, Latencies, Owner, RunStatus};
use backfill_core::view::glance::LEAST_SHARE;
use backfill_core::view::progress::Snapshot;

/// Rates are those of this long. Checkpoints come page by page, so that a shorter time would show their rhythm.
pub const WINDOW: Duration = Duration::from_secs(30);

/// Readings that lie nearer together than this say nothing about a rate.
const LEAST_SPAN: Duration = Duration::from_secs(2);

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
    readings: VecDeque<Reading>,
}

/// What a snapshot said of the current pass.
#[derive(Debug)]
struct Reading {
    at: Duration,
    counters: Counters,
    latency: Latencies,
}

/// What a run does at present: units per second, in the current pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
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
    /// No segment is open, and the count takes about this long yet; `None` if that is not known yet.
    Verifying(Option<Duration>),
    /// Nothing honest can be said, and why.
    None(&'static str),
}

impl Meter {
    /// Takes a snapshot in that was read at `now`. True if the run has taken another course since the last one (a new
    /// pass, owner, state or budget), so that measuring begins anew.
    pub fn note(&mut self, now: Duration, snapshot: &Snapshot) -> bool {
        let course = Course::of(snapshot);
        let is_new = self.course.as_ref() != Some(&course);
        if is_new {
            self.course = Some(course);
            self.readings.clear();
        }
        let pass = snapshot.current();
        self.readings.push_back(Reading {
            at: now,
            counters: pass.map_or_else(Counters::default, |pass| pass.counters),
            latency: pass.map_or_else(Latencies::default, |pass| pass.latency.clone()),
        });
        // The first is the latest that is older than the window.
        while self
            .readings
            .get(1)
            .is_some_and(|reading| now.saturating_sub(reading.at) >= WINDOW)
        {
            self.readings.pop_front();
        }
        is_new
    }

    /// The first and the last reading, and the time between them.
    fn span(&self) -> Option<(&Reading, &Reading, Duration)> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let over = last.at.saturating_sub(first.at);
        (over >= LEAST_SPAN).then_some((first, last, over))
    }

    /// How long requests took in the last [`WINDOW`], or in what has been seen of it, and how long that is. `None` before that
    /// is two seconds, and if none was answered in it.
    pub fn latency(&self) -> Option<(Duration, Latencies)> {
        let (first, last, over) = self.span()?;
        let lately = last.latency.since(&first.latency);
        (!lately.is_empty()).then_some((over, lately))
    }

    /// The rates of the last [`WINDOW`], or of what has been seen of it. `None` before that is two seconds.
    pub fn measured(&self) -> Option<Measured> {
        let (first, last, over) = self.span()?;
        let (before, after) = (&first.counters, &last.counters);
        let per_second = |before: f64, after: f64| (after - before).max(0.0) / over.as_secs_f64();
        Some(Measured {
            over,
            scanned: per_second(before.scanned as f64, after.scanned as f64),
            updated: per_second(before.updated as f64, after.updated as f64),
            wcu: per_second(before.consumed_wcu, after.consumed_wcu),
            rcu: per_second(before.consumed_rcu, after.consumed_rcu),
            throttles: after.throttles.saturating_sub(before.throttles),
        })
    }
}

/// How long the sweep of this pass still takes: the items left over the rate of the last [`WINDOW`]. There is none
/// - while the run is not running, or verifies;
/// - before a whole window was seen under the present budget, since the first seconds are a start and a trial;
/// - before 2 % of the items are swept;
/// - if nothing was swept in the window: throttled to nothing, or nobody at work;
/// - if more items were swept than [`Snapshot::items`] expects.
///
/// It is never zero: while segments are open, work remains.
pub fn eta(snapshot: &Snapshot, rates: Option<&Measured>) -> Eta {
    if snapshot.run.status != RunStatus::Running {
        return Eta::None("the run is not running");
    }
    if snapshot.is_verifying() {
        let left = snapshot.glance().seconds_left;
        let left = left.map(|seconds| seconds.min(f64::from(u32::MAX)));
        return Eta::Verifying(left.map(Duration::from_secs_f64));
    }
    if snapshot.is_swept() {
        return Eta::None("none, the canary is swept");
    }
    let Some(rates) = rates.filter(|rates| rates.over >= WINDOW) else {
        return Eta::None("not known yet");
    };
    if rates.scanned <= 0.0 {
        return Eta::None("not known, nothing was swept lately");
    }
    let (swept, Some(expected)) = snapshot.items() else {
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
    use crate::show::samples::{pass, run, segment};

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
        assert_eq!(measured(&[]).measured(), None);
        assert_eq!(measured(&[(0, 0)]).measured(), None);
        assert_eq!(measured(&[(0, 0), (1, 500)]).measured(), None);
        let rates = measured(&[(0, 0), (10, 1_000)]).measured().unwrap();
        assert_eq!((rates.over, rates.scanned), (secs(10), 100.0));
        // What happened before it does not count, and neither do readings that come faster.
        let readings: Vec<(u64, u64)> = (0..=100)
            .map(|at| (at, if at < 60 { 0 } else { (at - 60) * 50 }))
            .collect();
        let rates = measured(&readings).measured().unwrap();
        assert_eq!((rates.over, rates.scanned), (WINDOW, 50.0));
    }

    /// What was slow before the window is not in its percentiles, and what is slow now is not hidden by what was fast.
    #[test]
    fn latencies_are_those_of_the_last_half_minute() {
        let mut meter = Meter::default();
        let mut latency = Latencies::default();
        let mut slowest = Vec::new();
        for at in 0..=90 {
            let millis = if at < 45 { 5 } else { 300 };
            latency.writes.note(Duration::from_millis(millis));
            let mut snapshot = swept(at);
            snapshot.passes[0].latency = latency.clone();
            meter.note(secs(at), &snapshot);
            if let Some((over, lately)) = meter.latency() {
                assert_eq!(over, secs(at).min(WINDOW));
                assert_eq!(lately.writes.requests(), over.as_secs());
                let p50 = lately.writes.percentile(0.5).unwrap();
                slowest.push((at, p50 > Duration::from_millis(100)));
            }
        }
        assert_eq!(slowest[0].0, 2);
        for (at, is_slow) in slowest {
            assert_eq!(is_slow, at >= 60, "{at}");
        }
        // Nothing was answered since.
        let mut still = swept(90);
        still.passes[0].latency = latency;
        for at in [100, 130] {
            meter.note(secs(at), &still);
        }
        assert_eq!(meter.latency(), None);
    }

    #[test]
    fn measuring_begins_anew_if_the_run_takes_another_course() {
        let changes: [fn(&mut Snapshot); 5] = [
            |snapshot| snapshot.run.settings.max_wcu = Some(7),
            |snapshot| snapshot.run.status = RunStatus::Paused,
            |snapshot| snapshot.run.owner = "another".into(),
            |snapshot| snapshot.run.pass += 1,
            |snapshot| snapshot.run.started_ms += 1,
        ];
        for change in changes {
            let mut meter = measured(&[(0, 0), (40, 1_000)]);
            assert!(meter.measured().is_some());
            let mut snapshot = swept(1_000);
            change(&mut snapshot);
            assert!(meter.note(secs(41), &snapshot));
            assert_eq!(meter.measured(), None);
        }
    }

    #[test]
    fn there_is_no_eta_before_it_means_something() {
        let eta_of = |readings: &[(u64, u64)]| {
            let last = swept(readings.last().unwrap().1);
            eta(&last, measured(readings).measured().as_ref())
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
        let rates = measured(&[(0, 0), (30, 5_000)]).measured();
        let mut stopped = swept(5_000);
        stopped.run.status = RunStatus::Paused;
        assert!(matches!(eta(&stopped, rates.as_ref()), Eta::None(_)));
        let mut dry = swept(0);
        dry.run.settings.dry_run = true;
        assert_eq!(eta(&dry, None), Eta::Verifying(None));
        let mut all = run();
        all.settings.total_segments = 1;
        let mut only = segment(0, 5_000);
        only.exhausted = true;
        assert_eq!(
            eta(&pass(all, vec![only]), rates.as_ref()),
            Eta::Verifying(None)
        );
    }

    #[test]
    fn a_swept_canary_has_no_eta() {
        let mut run = run();
        run.settings.only_segments = vec![3];
        let mut only = segment(3, 100);
        only.exhausted = true;
        assert!(matches!(eta(&pass(run, vec![only]), None), Eta::None(_)));
    }
}
