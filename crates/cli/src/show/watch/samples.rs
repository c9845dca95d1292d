//! Runs to look at in tests of the view, in every state.

use std::time::Duration;

use backfill_core::records::{
    BoundBy, Counters, Event, Flush, HistoryBucket, Proof, RunRecord, RunStatus,
};
use backfill_core::view::progress::Snapshot;

use super::lately::Lately;
use super::view::{Now, Role, View};
use crate::show::samples::{BEGIN_MS, pass, run, segment};

/// So many seconds after the view was opened, a minute after the run has begun.
pub fn at(seconds: u64) -> Now {
    Now {
        since: Duration::from_secs(seconds),
        ms: BEGIN_MS + (60 + seconds) * 1000,
    }
}

fn event(seconds: u64, what: &str, old: &str, new: &str) -> Event {
    Event {
        at_ms: BEGIN_MS + seconds * 1000,
        by: "ana@night-watch".into(),
        what: what.into(),
        old: old.into(),
        new: new.into(),
    }
}

/// Half way through a table that throttles: 17 segments done, 8 at work, of which one stands still and another is far behind; items
/// of two were refused.
fn half_way(seconds: u64) -> Snapshot {
    let mut run = run();
    run.events = vec![
        event(
            0,
            "owner",
            "nobody",
            "arn:aws:states:eu-west-1:123456789012:execution:backfill:orders-0b4b8a0e-1768507200000",
        ),
        event(15, "max_wcu", "none", "2000"),
        event(40, "max_wcu", "2000", "500"),
    ];
    let mut segments = Vec::new();
    for n in 0..8 {
        // Lane by lane, each a fifth of the table.
        for k in 0..2 {
            let mut done = segment(5 * n + k, 125_000);
            done.exhausted = true;
            (done.counters.worked_seconds, done.counters.checkpoints) = (500.0, 250);
            segments.push(done);
        }
        let moves = if n == 3 { 0 } else { seconds };
        let mut at_work = segment(5 * n + 2, 40_000 + u64::from(n) * 3_000 + moves * 125);
        let counters = &mut at_work.counters;
        (counters.worked_seconds, counters.checkpoints) = (200.0 + moves as f64, 80 + moves / 2);
        counters.throttles = 130 + moves * u64::from(n);
        // The index throttles, and writes were slower before.
        for request in 0..60 + moves {
            let slow = if request % 20 == 0 { 9 } else { 1 };
            let before = if request < 60 { 2 } else { 1 };
            let write = 6 * slow * before + n;
            at_work
                .latency
                .writes
                .note(Duration::from_millis(write.into()));
            at_work
                .latency
                .reads
                .note(Duration::from_millis(4 + request % 3));
        }
        at_work.bound_by = match n {
            0 | 1 => BoundBy::Throttled,
            7 => BoundBy::Latency,
            _ => BoundBy::Budget,
        };
        at_work.throttled_by = Some(
            "ThrottlingException: throttled on index StatusDateIndex (IndexWriteKeyRangeThroughputExceeded)".into(),
        );
        segments.push(at_work);
    }
    let mut last = segment(39, 125_000);
    last.exhausted = true;
    segments.push(last);
    for refused in [6, 17] {
        let counters = &mut segments
            .iter_mut()
            .find(|segment| segment.segment == refused)
            .expect("begun")
            .counters;
        counters.rejected = 3;
        counters.updated -= 3;
    }
    let behind = &mut segments
        .iter_mut()
        .find(|s| s.segment == 12)
        .expect("begun")
        .counters;
    behind.scanned = 9_000 + seconds * 20;
    pass(run, segments)
}

/// Two and a half minutes in which the run became faster, was throttled, and got a smaller budget.
fn lately(now: Now) -> Lately {
    let (from_ms, to_ms) = Lately::span_ms(&run(), now.ms);
    let buckets = (0..14).map(|n: u64| {
        let at_ms = BEGIN_MS + (n + 1) * 10_000;
        let units: u64 = match n {
            0..2 => 300 + 500 * n,
            2..4 => 1_900 - 300 * n,
            _ => 430 + 10 * (n % 4),
        };
        let done = Counters {
            scanned: units * 18,
            updated: units * 10,
            consumed_wcu: units as f64 * 10.0,
            consumed_rcu: units as f64 * 2.5,
            throttles: if (2..5).contains(&n) { 60 / n } else { 0 },
            ..Counters::default()
        };
        let flush = Flush {
            at_ms,
            seconds: 10.0,
            done,
        };
        let mut bucket = HistoryBucket::new(1, flush.bucket_ms());
        bucket.add(&flush);
        bucket
    });
    Lately {
        from_ms,
        to_ms,
        buckets: buckets.collect(),
    }
}

fn watched(role: Role, snapshots: impl IntoIterator<Item = (u64, Snapshot)>) -> View {
    let mut view = View::new(role, "orders-0b4b8a0e", "in region eu-west-1", true);
    for (seconds, snapshot) in snapshots {
        view.note(at(seconds), snapshot);
    }
    view
}

/// Half way, read for a minute and a half.
pub fn mid_run_readings() -> impl Iterator<Item = (u64, Snapshot)> {
    (0..=90).step_by(2).map(|at| (at, half_way(at)))
}

/// The state that the picture in the README is of, and its moment.
pub fn mid_run() -> (View, Now) {
    let mut view = watched(Role::Watcher, mid_run_readings());
    view.note_history(lately(at(91)));
    (view, at(91))
}

/// Every state worth a look, by name.
pub fn all() -> Vec<(&'static str, View, Now)> {
    let mut all = vec![
        ("nothing-yet", watched(Role::Runner, []), at(1)),
        (
            "fresh",
            watched(
                Role::Watcher,
                [
                    (0, pass(run(), vec![])),
                    (1, pass(run(), vec![segment(0, 500)])),
                ],
            ),
            at(1),
        ),
    ];
    let (view, now) = mid_run();
    all.push(("mid-run", view, now));

    all.push((
        "verifying",
        watched(Role::Watcher, [(0, swept(run())), (40, swept(run()))]),
        at(41),
    ));

    all.push((
        "succeeded",
        watched(Role::Watcher, [(0, swept(succeeded()))]),
        at(2),
    ));

    all.push(("paused", paused(), at(93)));

    let (mut view, now) = mid_run();
    view.failed("checkpoint table backfill-checkpoints: the service is unavailable".into());
    all.push(("records-unreadable", view, at(now.since.as_secs() + 45)));

    all.push(("many-segments", many_segments(), at(91)));
    all
}

/// Every segment done, nothing counted.
fn swept(run: RunRecord) -> Snapshot {
    let done = (0..40).map(|n| {
        let mut done = segment(n, 125_400);
        done.exhausted = true;
        done
    });
    pass(run, done.collect())
}

fn succeeded() -> RunRecord {
    let mut succeeded = run();
    (succeeded.status, succeeded.ended_ms) = (RunStatus::Succeeded, Some(BEGIN_MS + 7_501_000));
    succeeded.message = "no item is pending any more".into();
    succeeded.proof = Some(Proof {
        remaining: 0,
        scanned: 5_016_000,
        samples: vec![],
        lacking: std::collections::BTreeMap::new(),
        different: None,
        began_ms: None,
        at_ms: BEGIN_MS + 7_500_000,
    });
    succeeded.events = vec![event(7_501, "status", "running", "succeeded")];
    succeeded
}

/// A view in which somebody has paused the run.
fn paused() -> View {
    let mut paused = half_way(90);
    paused.run.status = RunStatus::Paused;
    paused.run.message = "paused by ana@night-watch; resume it, or start it again".into();
    paused.run.ended_ms = Some(BEGIN_MS + 151_000);
    paused
        .run
        .events
        .push(event(151, "status", "running", "paused"));
    let mut view = watched(
        Role::Watcher,
        [(0, half_way(0)), (90, half_way(90)), (92, paused)],
    );
    view.say(
        at(91),
        "running -> paused; its workers save their checkpoints and end within ten seconds".into(),
        false,
    );
    view
}

/// 100,000 segments, a third of them done.
fn many_segments() -> View {
    let reading = |seconds: u64| {
        let mut run = run();
        (run.settings.total_segments, run.settings.max_concurrency) = (100_000, 1_000);
        (run.settings.max_wcu, run.settings.max_rcu) = (None, Some(4_000));
        let lanes = (0..1_000).flat_map(|lane| {
            (0..34).map(move |n| {
                let mut segment = segment(100 * lane + n, 50);
                segment.exhausted = n < 33;
                if n == 33 {
                    segment.counters.scanned = seconds / 3;
                    segment.counters.checkpoints = seconds;
                }
                if (lane, n) == (500, 7) {
                    segment.counters.rejected = 1;
                }
                segment
            })
        });
        pass(run, lanes.collect())
    };
    let readings = [0, 30, 60, 90].map(|at| (at, reading(at)));
    watched(Role::Watcher, readings)
}
