//! How each segment of a run stands, as far as successive snapshots tell: a segment record has no time in it, but whoever looks
//! again and again sees when it changes.

use std::collections::HashMap;
use std::time::Duration;

use backfill_core::records::BoundBy;
use backfill_core::records::RunStatus;
use backfill_core::table::MAX_SEGMENTS;
use backfill_core::view::latency::Latency;
use backfill_core::view::progress::{SegmentProgress, Snapshot, SweptSegment};

/// A segment is at work if its checkpoint has moved within this time. One that has been for longer, and for
/// [`STALLED_FACTOR`] times what others take between two checkpoints, is slow.
const STALLED: Duration = Duration::from_secs(30);
const STALLED_FACTOR: f64 = 5.0;

/// A segment is slow, too, if it sweeps less than this part of what the median of the segments does in a second of work,
const SLOW_PART: f64 = 0.25;
/// once it has been worked on for this many seconds,
const JUDGED_SECONDS: f64 = 30.0;
/// and so many segments have been worked on for a second that there is a median to speak of.
const LEAST_SEGMENTS: usize = 4;

/// While a segment is open, it is not all of it.
const MOST_OF_OPEN: f64 = 0.95;

/// How a segment stands; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Done,
    /// Not begun.
    Open,
    /// Begun, and nobody is at work on it.
    Waiting,
    AtWork,
    /// At work, and far behind the others or not moving (see the constants above).
    Slow,
    /// DynamoDB has refused an item of it for good.
    Rejected,
}

impl State {
    pub const ALL: [State; 6] = [
        State::Done,
        State::AtWork,
        State::Waiting,
        State::Open,
        State::Slow,
        State::Rejected,
    ];

    /// Told apart without colour.
    pub fn glyph(self) -> char {
        match self {
            State::Done => '█',
            State::Open => '·',
            State::Waiting => '░',
            State::AtWork => '▒',
            State::Slow => '!',
            State::Rejected => 'x',
        }
    }

    /// The word in the legend.
    pub fn name(self) -> &'static str {
        match self {
            State::Done => "done",
            State::Open => "open",
            State::Waiting => "waiting",
            State::AtWork => "at work",
            State::Slow => "slow",
            State::Rejected => "rejected items",
        }
    }
}

/// What was seen of a segment.
#[derive(Debug, Clone, Copy)]
struct Track {
    /// Generation and checkpoints, one of which grows with each change.
    version: (u64, u64),
    since: Duration,
    /// When it was last seen to change.
    moved: Option<Duration>,
}

/// The segments of the current pass. Times are since any moment, the same for all.
#[derive(Debug, Default)]
pub struct Segments {
    /// Segments of the run.
    total: usize,
    /// By segment.
    tracks: HashMap<u32, Track>,
    /// Median of items per second of work.
    typical_rate: Option<f64>,
    /// Median of the seconds between two checkpoints.
    typical_pause: f64,
}

/// A segment at work, for a table of them.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub segment: u32,
    pub is_slow: bool,
    /// Items per second of work in this pass; none before its first checkpoint.
    pub rate: Option<f64>,
    pub scanned: u64,
    /// For how long its checkpoint has not been seen to move.
    pub quiet: Duration,
    pub bound_by: BoundBy,
    pub throttles: u64,
    /// How long its requests took in this pass.
    pub latency: Latency,
}

/// Every segment, and what is counted of them.
#[derive(Debug, Default)]
pub struct Overview {
    /// By segment.
    pub states: Vec<State>,
    /// How far each is, by segment: a part from 0 to 1. Nobody knows how many items are in a segment, so it is a guess.
    pub parts: Vec<f64>,
    pub done: usize,
    /// Slow ones included.
    pub at_work: usize,
    pub slow: usize,
    pub waiting: usize,
    pub open: usize,
    pub rejected: usize,
    /// Those at work: slow ones first, then by their rates.
    pub rows: Vec<Row>,
}

impl Overview {
    /// Adds exhausted segments of which no more is known.
    fn add_swept(&mut self, swept: &[SweptSegment]) {
        for swept in swept {
            let number = swept.segment as usize;
            let Some(state) = self.states.get_mut(number) else {
                continue;
            };
            *state = match swept.rejected {
                0 => State::Done,
                _ => State::Rejected,
            };
            self.parts[number] = 1.0;
            self.done += 1;
            self.rejected += usize::from(swept.rejected > 0);
        }
    }
}

fn rate(segment: &SegmentProgress) -> Option<f64> {
    let counters = &segment.counters;
    (counters.worked_seconds > 0.0).then(|| counters.scanned as f64 / counters.worked_seconds)
}

/// About how many items are in a segment: DynamoDB cuts segments by the hash of the key.
fn items_of_one(snapshot: &Snapshot) -> Option<f64> {
    let settings = &snapshot.run.settings;
    let number = match settings.only_segments.len() {
        0 => settings.total_segments as usize,
        number => number,
    };
    let (_, expected) = snapshot.items();
    Some(expected? as f64 / number.max(1) as f64).filter(|items| *items > 0.0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Segments {
    /// Takes a snapshot in that was read at `now`; `anew` if the run has taken another course since the last one.
    pub fn note(&mut self, now: Duration, snapshot: &Snapshot, anew: bool) {
        if anew {
            self.tracks.clear();
        }
        // A damaged record may say anything.
        self.total = snapshot.run.settings.total_segments.min(MAX_SEGMENTS) as usize;
        let Some(pass) = snapshot.current() else {
            return;
        };
        for segment in &pass.segments {
            if segment.segment as usize >= self.total {
                continue;
            }
            let version = (segment.generation, segment.counters.checkpoints);
            let track = match self.tracks.get(&segment.segment).copied() {
                None => Track {
                    version,
                    since: now,
                    // Whether one that is there at the first look moves is not known yet.
                    moved: (!anew).then_some(now),
                },
                Some(track) if track.version != version => Track {
                    version,
                    moved: Some(now),
                    ..track
                },
                Some(track) => track,
            };
            self.tracks.insert(segment.segment, track);
        }
        if !pass.swept.is_empty() {
            let is_here = |segment: &u32| {
                let found = pass.segments.binary_search_by_key(segment, |s| s.segment);
                found.is_ok()
            };
            self.tracks.retain(|segment, _| is_here(segment));
        }
        let worked = || {
            pass.segments
                .iter()
                .filter(|segment| segment.counters.worked_seconds >= 1.0)
        };
        let rates: Vec<f64> = worked().filter_map(rate).collect();
        self.typical_rate = median(rates).filter(|_| worked().count() >= LEAST_SEGMENTS);
        let pause = |segment: &SegmentProgress| {
            segment.counters.worked_seconds / segment.counters.checkpoints.max(1) as f64
        };
        self.typical_pause = median(worked().map(pause).collect()).unwrap_or(0.0);
    }

    /// How all of them stand at `now`.
    pub fn overview(&self, now: Duration, snapshot: &Snapshot) -> Overview {
        let mut overview = Overview {
            states: vec![State::Open; self.total],
            parts: vec![0.0; self.total],
            ..Overview::default()
        };
        let Some(pass) = snapshot.current() else {
            return overview;
        };
        let sweeps = snapshot.run.status == RunStatus::Running && !snapshot.is_swept();
        // No more than these are worked on at once, so if no more are begun, each of them should be.
        let at_once = snapshot.run.settings.workers();
        let items_of_one = items_of_one(snapshot);
        let all_at_work = pass.segments_begun <= at_once;
        for segment in &pass.segments {
            let Some(track) = self.tracks.get(&segment.segment) else {
                continue;
            };
            let quiet = now.saturating_sub(track.moved.unwrap_or(track.since));
            let should_move = sweeps && (all_at_work || track.moved.is_some());
            let mut state = match segment.exhausted {
                true => State::Done,
                false if !should_move => State::Waiting,
                false if self.is_slow(segment, quiet) => State::Slow,
                false => State::AtWork,
            };
            match state {
                State::Done => overview.done += 1,
                State::Waiting => overview.waiting += 1,
                _ => {
                    overview.at_work += 1;
                    overview.slow += usize::from(state == State::Slow);
                    overview.rows.push(Row {
                        segment: segment.segment,
                        is_slow: state == State::Slow,
                        rate: rate(segment),
                        scanned: segment.counters.scanned,
                        quiet,
                        bound_by: segment.bound_by,
                        throttles: segment.counters.throttles,
                        latency: Latency::from(&segment.latency),
                    });
                }
            }
            if segment.counters.rejected > 0 {
                overview.rejected += 1;
                state = State::Rejected;
            }
            overview.states[segment.segment as usize] = state;
            let part = items_of_one.map(|items| segment.counters.scanned as f64 / items);
            overview.parts[segment.segment as usize] = match segment.exhausted {
                true => 1.0,
                false => part.unwrap_or(0.0).min(MOST_OF_OPEN),
            };
        }
        overview.add_swept(&pass.swept);
        let begun = overview.done + overview.at_work + overview.waiting;
        overview.open = overview.states.len().saturating_sub(begun);
        overview.rows.sort_by(|a, b| {
            let rate = |row: &Row| row.rate.unwrap_or(f64::INFINITY);
            (b.is_slow.cmp(&a.is_slow)).then(rate(a).total_cmp(&rate(b)))
        });
        overview
    }

    fn is_slow(&self, segment: &SegmentProgress, quiet: Duration) -> bool {
        let patience = STALLED
            .as_secs_f64()
            .max(STALLED_FACTOR * self.typical_pause);
        let is_judged = segment.counters.worked_seconds >= JUDGED_SECONDS;
        let is_behind = match (rate(segment), self.typical_rate) {
            (Some(rate), Some(typical)) => rate < SLOW_PART * typical,
            _ => false,
        };
        quiet.as_secs_f64() > patience || (is_judged && is_behind)
    }
}

/// What stands for one segment or several in the strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The state of the one, or of all of them, or the worst if that is [`State::Slow`] or [`State::Rejected`].
    State(State),
    /// How many tenths of them are done.
    Tenths(u8),
}

impl Mark {
    fn of(states: &[State]) -> Mark {
        let worst = states.iter().max().copied().unwrap_or(State::Open);
        if worst >= State::Slow || states.iter().all(|state| *state == worst) {
            return Mark::State(worst);
        }
        let done = states.iter().filter(|state| **state == State::Done).count();
        Mark::Tenths((done * 10 / states.len()) as u8)
    }
}

/// Puts as many segments into each cell as it takes to fit all of them. Returns the cells, and how many segments are in one.
pub fn fold(states: &[State], cells: usize) -> (Vec<Mark>, usize) {
    let per_cell = states.len().div_ceil(cells.max(1)).max(1);
    (states.chunks(per_cell).map(Mark::of).collect(), per_cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples::{pass, run, segment};

    const SECOND: Duration = Duration::from_secs(1);

    fn states(segments: &Segments, at: u32, snapshot: &Snapshot) -> Vec<State> {
        segments.overview(SECOND * at, snapshot).states
    }

    /// A segment in its nth checkpoint after so many seconds of work.
    fn worked(number: u32, scanned: u64, checkpoints: u64, seconds: f64) -> SegmentProgress {
        let mut segment = segment(number, scanned);
        segment.counters.checkpoints = checkpoints;
        segment.counters.worked_seconds = seconds;
        segment
    }

    #[test]
    fn a_segment_that_moves_is_at_work_and_one_that_stops_is_slow() {
        let mut run = run();
        run.settings.total_segments = 4;
        let at = |checkpoints: u64| {
            let mut done = worked(0, 100, 5, 5.0);
            done.exhausted = true;
            let mut refused = worked(1, 100, 5, 5.0);
            refused.counters.rejected = 1;
            pass(
                run.clone(),
                vec![done, refused, worked(2, 100, checkpoints, 5.0)],
            )
        };
        let mut segments = Segments::default();
        segments.note(SECOND, &at(1), true);
        segments.note(SECOND * 2, &at(2), false);
        let fresh = [State::Done, State::Rejected, State::AtWork, State::Open];
        assert_eq!(states(&segments, 3, &at(2)), fresh);
        assert_eq!(states(&segments, 32, &at(2)), fresh);
        assert_eq!(states(&segments, 33, &at(2))[2], State::Slow);
        segments.note(SECOND * 34, &at(3), false);
        assert_eq!(states(&segments, 34, &at(3))[2], State::AtWork);
        // A run that is paused has nobody at work.
        let mut paused = at(3);
        paused.run.status = RunStatus::Paused;
        assert_eq!(states(&segments, 99, &paused)[2], State::Waiting);
    }

    #[test]
    fn where_checkpoints_are_rare_a_pause_between_two_is_no_stall() {
        let mut run = run();
        run.settings.total_segments = 2;
        let snapshot = pass(run, vec![worked(0, 100, 4, 80.0), worked(1, 100, 4, 80.0)]);
        let mut segments = Segments::default();
        segments.note(SECOND, &snapshot, true);
        assert_eq!(states(&segments, 101, &snapshot)[0], State::AtWork);
        assert_eq!(states(&segments, 102, &snapshot)[0], State::Slow);
    }

    #[test]
    fn a_segment_far_below_the_median_is_slow() {
        let mut run = run();
        run.settings.total_segments = 5;
        let with_rate_of_last = |scanned: u64, seconds: f64| {
            let mut all: Vec<_> = (0..4).map(|n| worked(n, 4_000, 40, 40.0)).collect();
            all.push(worked(4, scanned, 40, seconds));
            let snapshot = pass(run.clone(), all);
            let mut segments = Segments::default();
            segments.note(SECOND, &snapshot, true);
            let overview = segments.overview(SECOND, &snapshot);
            assert_eq!(overview.rows.len(), 5);
            (overview.states[4], overview.rows[0].segment)
        };
        assert_eq!(with_rate_of_last(999, 40.0), (State::Slow, 4));
        assert_eq!(with_rate_of_last(1_000, 40.0), (State::AtWork, 4));
        // Too early to judge.
        assert_eq!(with_rate_of_last(10, 29.0), (State::AtWork, 4));
    }

    #[test]
    fn more_segments_may_be_begun_than_are_worked_on() {
        let mut run = run();
        (run.settings.total_segments, run.settings.max_concurrency) = (3, 2);
        let at = |checkpoints: u64| {
            let moving = worked(1, 100, checkpoints, 5.0);
            pass(
                run.clone(),
                vec![worked(0, 1, 1, 5.0), moving, worked(2, 1, 1, 5.0)],
            )
        };
        let mut segments = Segments::default();
        segments.note(SECOND, &at(1), true);
        assert_eq!(states(&segments, 100, &at(1)), [State::Waiting; 3]);
        segments.note(SECOND * 100, &at(2), false);
        let expected = [State::Waiting, State::AtWork, State::Waiting];
        assert_eq!(states(&segments, 101, &at(2)), expected);
    }

    #[test]
    fn a_cell_of_several_segments_shows_the_worst_or_how_many_are_done() {
        use State::{AtWork, Done, Open, Rejected, Slow};
        let states = [Done, Done, Done, Open, AtWork, Slow, Rejected, Slow, Open];
        assert_eq!(fold(&states, 9), (states.map(Mark::State).to_vec(), 1));
        let folded = [
            Mark::State(Done),
            Mark::Tenths(5),
            Mark::State(Slow),
            Mark::State(Rejected),
            Mark::State(Open),
        ];
        assert_eq!(fold(&states, 5), (folded.to_vec(), 2));
        assert_eq!(fold(&states, 0), (vec![Mark::State(Rejected)], 9));
        assert_eq!(fold(&[], 10), (vec![], 1));
        assert_eq!(Mark::of(&[Open, AtWork, Open]), Mark::Tenths(0));
        assert_eq!(Mark::of(&[Done; 11]), Mark::State(Done));
    }

    /// Records may say anything.
    #[test]
    fn odd_numbers_of_segments_do_no_harm() {
        let mut run = run();
        run.settings.total_segments = u32::MAX;
        let snapshot = pass(run, vec![segment(u32::MAX, 1), segment(7, 1)]);
        let mut segments = Segments::default();
        segments.note(SECOND, &snapshot, true);
        let overview = segments.overview(SECOND, &snapshot);
        assert_eq!(overview.states.len(), MAX_SEGMENTS as usize);
        assert_eq!(overview.at_work, 1);
    }
}
