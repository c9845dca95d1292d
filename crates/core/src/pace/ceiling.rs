//! The rate at which the table lets us: throttling sets it below what the table has just accepted, at once, and from there
//! it comes back slowly.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::pace::beside::Beside;
use crate::pace::bucket::TokenBucket;
use crate::pace::retry::Until;
use crate::records::FoundPace;

/// The ceiling at the begin, in units per second, until the table throttles for the first time: a partition that has little
/// left is not met with full force.
pub const START: f64 = 250.0;
/// All functions that are at work at once begin with so many units per second together, if that is less,
const START_TOGETHER: f64 = 2_000.0;
/// and each with so many at least: what few items say of a table is little.
const LEAST_START: f64 = 100.0;
/// The ceiling doubles in so many seconds until the table throttles for the first time.
const DOUBLES_IN: f64 = 0.1;
/// Throttling sets the ceiling to this part of what the table has accepted last.
const BACK_OFF: f64 = 0.75;
/// The same of a segment that does not see what others find.
const BACK_OFF_ALONE: f64 = 0.65;
/// The ceiling comes back along the curve of CUBIC congestion control (RFC 9438), fast at first and slowly near the old
/// limit, within so many units. It is counted in units, because to find the limit costs live traffic about as many
/// throttled writes as it makes while we make one. So live traffic loses the same small part, however fast we are and
/// however many workers share a partition.
const COME_BACK_UNITS: f64 = 4_000.0;
/// The ceiling has come back after so many seconds at the latest, since a limit may have been that of a moment.
const COME_BACK_SECONDS: f64 = 60.0;
/// The same in a process that sees when others have left room.
const COME_BACK_SECONDS_TOGETHER: f64 = 120.0;
/// If the table does not throttle at the old limit either, there is more room than before: the ceiling doubles in so many
/// seconds.
const MORE_IN: f64 = 15.0;
/// What others have left next to it is taken as fast as by doubling in so many seconds.
const TAKES_IN: f64 = 1.0;
/// That is taken only once the ceiling has come back by this part: it may meet the limit, which costs live traffic the same as each time
/// that it is met, and that must be rare beside what is written.
const TAKES_FROM: f64 = 0.5;
/// A segment that does not see when others leave rises as if it doubled at this rate in so many seconds, slowly at first and then
/// faster: the time counts by its square. The rest of a partition whose other workers are done is taken so. One at a smaller
/// rate takes longer, by the root, since to find the limit costs live traffic the same, whatever the rate.
const MORE_IN_ALONE: f64 = 6.0;
/// It takes no less than this.
const LEAST_MORE_IN: f64 = 1.0;
/// Only the time counts in which the ceiling is used, or this part of it.
const USED: f64 = 0.8;
/// If others of the process have no work any more, and so many of them are left of those that there were, the ceiling rises beyond
/// the old limit at once: what they leave is there for the others.
const LEFT: f64 = 0.75;
/// A ceiling comes back to the mean of those of the process, if that is higher, but to no more than so many times what was accepted.
/// Without it nothing makes even what the first throttling has divided by chance: those that are behind rise as slowly as
/// those that are ahead. (Multiplicative increase does not lead to equal parts: Chiu and Jain, 1989.)
const HOPE: f64 = 2.0;
/// If the table has not accepted so many times more than before, there was no more for it at its place: what it hopes for is halved.
const HAS_RISEN: f64 = 1.1;
/// What was found so long ago says nothing.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long the table may need to recover after the ceiling was lowered. Others lower theirs meanwhile: to follow each of them down
/// took all far below the limit.
const SETTLE: Duration = Duration::from_millis(500);
/// If less than this part of what a record says is accepted over so long, the record is wrong.
const WRONG: f64 = 0.5;
const WRONG_AFTER: f64 = 0.1;
/// So few items say little of what is accepted and of how much is throttled.
const FEW: f64 = 20.0;
/// Over how long the accepted rate is measured.
const MEASURE: Duration = Duration::from_secs(2);
/// No ceiling is lower: units per second.
const LEAST: f64 = 1.0;
/// Nor does one begin higher by what a record says: units per second, a table's default quota.
const MOST_RECORDED: f64 = 40_000.0;
/// The rate at which the table lets us, as far as we know: none until it throttles.
#[derive(Debug)]
pub struct Ceiling {
    bucket: TokenBucket,
    state: Mutex<CeilingState>,
    /// What others of the process have found, and the number of the segment among them.
    others: Option<(Arc<Beside>, u32)>,
}

#[derive(Debug)]
struct CeilingState {
    /// The ceiling at the begin.
    start: f64,
    /// It does not see others.
    is_alone: bool,
    /// What it goes on from is what a record says.
    is_hearsay: bool,
    /// When the table throttled last, if it ever did, and the rate that it accepted then.
    cut: Option<Instant>,
    accepted_then: f64,
    /// What the ceiling comes back to, and how many times what was accepted that may be.
    goal: f64,
    hope: f64,
    /// How far the ceiling had come back at `changed`: 1 is all the way.
    back: f64,
    /// Once it had, for how many seconds it has risen beyond the old limit.
    risen: f64,
    /// Units per second that others have left next to it, and that it has not gone for.
    left: f64,
    /// It is going for what others have left, up to this ceiling; 0 if it is not.
    room: f64,
    /// When those were last computed; before the first cut, when the segment began.
    changed: Instant,
    /// Workers of the process that were at work when the ceiling last rose for those that were not any more, or most since then.
    at_work: u32,
    /// What was answered, as far back as [`MEASURE`] and not beyond the last cut.
    answers: VecDeque<Answer>,
    measured_since: Instant,
}

/// What a ceiling has found out, for whoever goes on at the same place.
#[derive(Debug, Clone)]
pub struct Found {
    accepted: f64,
    hope: f64,
    back: f64,
    at: Instant,
    is_recorded: bool,
}

impl Found {
    /// What a record says was found out; `None` if that was long ago, or in times to come, or cannot have been.
    pub fn recorded(pace: &FoundPace, now_ms: u64) -> Option<Found> {
        let age = Duration::from_millis(now_ms.abs_diff(pace.at_ms));
        let can_be = pace.rate >= LEAST && pace.back >= 0.0;
        (can_be && age < REMEMBERED).then(|| Found {
            accepted: pace.rate.min(MOST_RECORDED),
            hope: HOPE,
            back: pace.back.min(1.0),
            at: Instant::now(),
            is_recorded: true,
        })
    }
}

/// What a request came to.
#[derive(Debug)]
struct Answer {
    at: Instant,
    units: f64,
    items: u64,
    throttles: u64,
}

impl CeilingState {
    fn come_back_seconds(&self) -> f64 {
        match self.is_alone {
            true => COME_BACK_SECONDS,
            false => COME_BACK_SECONDS_TOGETHER,
        }
    }

    fn back_off(&self) -> f64 {
        match self.is_alone {
            true => BACK_OFF_ALONE,
            false => BACK_OFF,
        }
    }

    /// How often the ceiling has doubled since it rose beyond the old limit.
    fn doublings(&self) -> f64 {
        if !self.is_alone {
            return self.risen / MORE_IN;
        }
        let more_in = MORE_IN_ALONE * (START / self.goal).sqrt();
        (self.risen / more_in.max(LEAST_MORE_IN)).powi(2)
    }

    fn rate(&self) -> f64 {
        let seconds = self.changed.elapsed().as_secs_f64();
        if self.cut.is_none() {
            return self.start * (seconds / DOUBLES_IN).exp2();
        }
        let t = self.back - 1.0;
        let rate = if t < 0.0 {
            let t = (t + seconds / self.come_back_seconds()).min(0.0);
            self.goal + (self.goal - self.back_off() * self.accepted_then) * t * t * t
        } else if self.room > 0.0 {
            (self.goal * (self.risen / TAKES_IN).exp2()).min(self.room)
        } else {
            self.goal * self.doublings().exp2()
        };
        rate.max(LEAST)
    }

    fn add(&mut self, answer: Answer) {
        let now = answer.at;
        if self.cut.is_some() {
            let seconds = now.duration_since(self.changed).as_secs_f64();
            if self.back < 1.0 {
                self.back +=
                    (seconds / self.come_back_seconds()).max(answer.units / COME_BACK_UNITS);
            } else {
                self.risen += seconds.min(answer.units / (USED * self.rate()));
                if self.room > 0.0 && self.rate() >= self.room {
                    self.goal = self.room;
                    self.risen = 0.0;
                    self.room = 0.0;
                }
            }
            self.changed = now;
        }
        self.answers.push_back(answer);
        if now.duration_since(self.measured_since) > MEASURE {
            self.measured_since = now - MEASURE;
        }
        while self
            .answers
            .front()
            .is_some_and(|answer| answer.at < self.measured_since)
        {
            self.answers.pop_front();
        }
    }

    /// Takes note of how many of the process are at work: if it is fewer than before, there is more room.
    fn note_at_work(&mut self, at_work: u32) {
        if at_work == 0 || f64::from(at_work) > f64::from(self.at_work) * LEFT {
            self.at_work = self.at_work.max(at_work);
            return;
        }
        self.at_work = at_work;
        if self.cut.is_some() && self.back < 1.0 {
            self.back = 1.0;
            self.changed = Instant::now();
        }
    }

    /// Takes note of what others have left next to it, and goes for it if it may.
    fn note_left(&mut self, left: f64) {
        if self.cut.is_none() {
            return;
        }
        self.left += left;
        if self.left == 0.0 || self.back < TAKES_FROM {
            return;
        }
        let rate = self.rate();
        self.room = self.room.max(rate).max(self.goal) + std::mem::take(&mut self.left);
        self.goal = rate;
        self.back = 1.0;
        self.risen = 0.0;
        self.changed = Instant::now();
    }

    /// Lowers the ceiling below what the table has accepted of late. `mean` says for that rate what the table accepts from one of
    /// the process in the mean.
    fn cut(&mut self, now: Instant, mean: impl Fn(f64) -> f64) {
        let sum = |of: fn(&Answer) -> f64| self.answers.iter().map(of).sum::<f64>();
        let measured = now.duration_since(self.measured_since).as_secs_f64();
        let items = sum(|answer| answer.items as f64);
        let throttles = sum(|answer| answer.throttles as f64);
        let rate = self.rate();
        let seen = sum(|answer| answer.units) / measured.max(0.05);
        let before = match self.cut {
            // Just after a cut, or after a few items, too little is known of what the table accepts.
            _ if items >= FEW && (self.cut.is_none() || measured > 1.0) => {
                self.is_hearsay = false;
                rate.min(seen)
            }
            Some(_) if self.is_hearsay && measured >= WRONG_AFTER && seen < WRONG * rate => {
                self.is_hearsay = false;
                seen
            }
            // Long after it, the ceiling may have gone up to nowhere.
            Some(_) => rate.min(self.accepted_then.max(START)),
            None => rate.min(self.start),
        };
        // A few throttled statements may be chance, many are not.
        let accepted = (before * (items + FEW) / (items + FEW + throttles)).max(LEAST);
        if self.cut.is_some() && accepted < HAS_RISEN * self.accepted_then {
            self.hope = 1.0 + (self.hope - 1.0) / 2.0;
        }
        self.accepted_then = accepted;
        self.goal = mean(accepted).clamp(accepted, self.hope * accepted);
        self.back = 0.0;
        self.risen = 0.0;
        // Whatever was left, there is no more.
        self.left = 0.0;
        self.room = 0.0;
        self.changed = now;
        self.cut = Some(now);
        self.answers.clear();
        self.measured_since = now;
    }
}

/// The ceiling at which a function begins, if so many are at work at once; 0 if that is not known.
pub fn start_of(at_once: u32) -> f64 {
    (START_TOGETHER / f64::from(at_once)).clamp(LEAST_START, START)
}

impl Ceiling {
    /// The ceiling of whoever begins now at this rate, in units per second.
    pub fn from(start: f64) -> Self {
        let now = Instant::now();
        Ceiling {
            bucket: TokenBucket::in_arrears(),
            state: Mutex::new(CeilingState {
                start,
                is_alone: true,
                is_hearsay: false,
                accepted_then: f64::INFINITY,
                goal: f64::INFINITY,
                hope: HOPE,
                back: 1.0,
                risen: 0.0,
                left: 0.0,
                room: 0.0,
                changed: now,
                at_work: 0,
                cut: None,
                answers: VecDeque::new(),
                measured_since: now,
            }),
            others: None,
        }
    }

    /// Says that others of the process are at work as well as this segment: it sees what they have found, and when they have no work
    /// any more.
    pub fn together(&mut self, others: Arc<Beside>, segment: u32) {
        others.join(segment);
        self.others = Some((others, segment));
        self.lock().is_alone = false;
    }

    /// The ceiling of whoever begins now where another one has found something out. What was found long ago says nothing.
    pub fn go_on(found: &Found) -> Self {
        let ceiling = Ceiling::from(START);
        let now = Instant::now();
        if found.at.elapsed() < REMEMBERED {
            let mut state = ceiling.lock();
            state.accepted_then = found.accepted;
            state.goal = found.accepted;
            state.is_hearsay = found.is_recorded;
            state.hope = found.hope;
            state.back = found.back;
            state.cut = Some(now);
        }
        ceiling
    }

    /// What it has found out; `None` if the table has not throttled.
    pub fn found(&self) -> Option<Found> {
        let state = self.lock();
        state.cut?;
        let has_come_back = state.back >= 1.0;
        Some(Found {
            accepted: match has_come_back {
                true => state.rate(),
                false => state.accepted_then,
            },
            hope: state.hope,
            back: state.back,
            at: Instant::now(),
            is_recorded: state.is_hearsay,
        })
    }

    /// What it has found out, for a record; `None` if the table has not throttled.
    pub fn to_record(&self, now_ms: u64) -> Option<FoundPace> {
        let found = self.found()?;
        let rounded = |number: f64, by: f64| (number * by).round() / by;
        Some(FoundPace {
            rate: rounded(found.accepted, 10.0),
            back: rounded(found.back.min(1.0), 1_000.0),
            at_ms: now_ms,
        })
    }

    fn lock(&self) -> MutexGuard<'_, CeilingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the table has throttled, so that the ceiling is one that was found and not the begin.
    pub fn is_found(&self) -> bool {
        self.lock().cut.is_some()
    }

    /// Units per second that are allowed now.
    pub fn rate(&self) -> f64 {
        self.lock().rate()
    }

    /// Waits until `units` are allowed and takes them; false if the time was over before. So many of the process are at work; 0 if
    /// that is not known.
    pub async fn take(&self, units: f64, at_work: u32, until: &Until) -> bool {
        let rate = {
            let mut state = self.lock();
            if let Some((others, segment)) = &self.others {
                state.note_left(others.left_next_to(*segment));
            }
            state.note_at_work(at_work);
            state.rate()
        };
        self.bucket.set_rate(rate);
        self.bucket.take(units, until).await
    }

    /// Corrects what was taken for a request that was not throttled by what it turned out to cost.
    pub fn settle(&self, taken: f64, cost: f64) {
        self.bucket.settle(taken, cost);
    }

    /// Takes note of the answer to a request: what it cost, the items that were accepted, and those that were throttled.
    pub fn answered(&self, sent: Instant, units: f64, items: u64, throttles: u64) {
        let mut state = self.lock();
        let at = Instant::now();
        state.add(Answer {
            at,
            units,
            items,
            throttles,
        });
        // What was sent before the last cut, or just after it, tells nothing new.
        let settled = state.cut.is_none_or(|cut| sent >= cut + SETTLE);
        if throttles == 0 || !settled {
            return;
        }
        state.cut(at, |accepted| match &self.others {
            Some((others, segment)) => others.accepted(*segment, accepted),
            None => accepted,
        });
        let rate = state.rate();
        drop(state);
        self.bucket.set_rate(rate);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Sends at the ceiling for so long while so many of the process are at work, of which none
    /// is throttled, and returns the ceiling.
    async fn send(ceiling: &Ceiling, seconds: f64, at_work: u32) -> f64 {
        let until = Until::after(Duration::from_secs_f64(seconds));
        while !until.is_over() {
            let units = ceiling.rate() / 50.0;
            if ceiling.take(units, at_work, &until).await {
                let sent = Instant::now();
                sleep(Duration::from_millis(10)).await;
                ceiling.answered(sent, units, units.ceil() as u64, 0);
            }
        }
        ceiling.rate()
    }

    /// A ceiling that the table has just throttled at about its begin, of a process in which four are at work.
    async fn throttled() -> Ceiling {
        let mut ceiling = Ceiling::from(100.0);
        ceiling.together(Arc::default(), 0);
        send(&ceiling, 0.1, 4).await;
        ceiling.answered(Instant::now(), 0.0, 0, 5);
        ceiling
    }

    /// What others of the process leave is taken within seconds, and without them the old limit is kept to for long.
    #[tokio::test(start_paused = true)]
    async fn what_others_leave_is_taken() {
        let [stay, leave, unknown] = [4, 3, 0].map(|at_work| async move {
            let ceiling = throttled().await;
            let found = ceiling.found().expect("the table has throttled").accepted;
            assert!(ceiling.rate() < 0.8 * found);
            send(&ceiling, 8.0, at_work).await / found
        });
        let (stay, leave, unknown) = (stay.await, leave.await, unknown.await);
        assert!(stay < 1.0 && unknown < 1.0, "{stay}, {unknown}");
        assert!(leave > 1.3, "{leave}");
    }

    /// Of a process in which another segment next to it was accepted as much: what that leaves is taken within seconds, and if the
    /// table throttles meanwhile, it is not. Returns what the ceiling was when the other one left, and seconds later.
    async fn beside_one_that_leaves(throttles: u64) -> (f64, f64) {
        let others = Arc::new(Beside::default());
        let mut ceiling = Ceiling::from(100.0);
        ceiling.together(others.clone(), 7);
        others.join(8);
        send(&ceiling, 0.1, 0).await;
        ceiling.answered(Instant::now(), 0.0, 0, 5);
        send(&ceiling, 40.0, 0).await;
        others.leave(8, Some(ceiling.rate()));
        let begin = ceiling.rate();
        send(&ceiling, 1.0, 0).await;
        ceiling.answered(Instant::now(), 0.0, 0, throttles);
        (begin, send(&ceiling, 4.0, 0).await)
    }

    /// What a neighbour leaves is taken at once.
    #[tokio::test(start_paused = true)]
    async fn what_a_neighbour_leaves_is_taken() {
        let (begin, end) = beside_one_that_leaves(0).await;
        assert!(end > 1.8 * begin, "{begin}, {end}");
    }

    /// polite: what a neighbour leaves is not gone for once the table has throttled again.
    #[tokio::test(start_paused = true)]
    async fn polite_what_a_neighbour_leaves_is_none_if_the_table_throttles() {
        let (begin, end) = beside_one_that_leaves(5).await;
        assert!(end < 1.2 * begin, "{begin}, {end}");
    }

    /// polite: a ceiling that is not used does not rise beyond the old limit.
    #[tokio::test(start_paused = true)]
    async fn polite_what_is_not_used_does_not_rise() {
        let ceiling = throttled().await;
        let found = ceiling.found().expect("the table has throttled").accepted;
        send(&ceiling, 0.2, 3).await;
        sleep(Duration::from_secs(3_600)).await;
        assert!(ceiling.rate() < 1.1 * found, "{}", ceiling.rate());
    }

    /// Goes on for so many seconds against a limit of its own, and returns how often the ceiling was lowered in the second half.
    async fn against(limit: f64, ceiling: &Ceiling, seconds: u64) -> u32 {
        let (mut cuts, mut last) = (0, None);
        let begin = Instant::now();
        while begin.elapsed().as_secs() < seconds {
            let units = ceiling.rate() / 20.0;
            let sent = Instant::now();
            sleep(Duration::from_millis(50)).await;
            let accepted = units.min(limit / 20.0);
            let throttles = (units - accepted).ceil() as u64;
            ceiling.answered(sent, accepted, accepted as u64, throttles);
            let cut = ceiling.lock().cut;
            if cut != last && begin.elapsed().as_secs() >= seconds / 2 {
                cuts += 1;
            }
            last = cut;
        }
        cuts
    }

    /// A ceiling of a process in which others are accepted this much, that begins at what it was accepted.
    fn beside(others: f64, accepted: f64) -> Ceiling {
        let rates = Arc::new(Beside::default());
        for segment in 1..9 {
            rates.accepted(segment, others);
        }
        let mut ceiling = Ceiling::from(accepted);
        ceiling.together(rates, 0);
        ceiling.answered(Instant::now(), 0.0, 0, 5);
        ceiling
    }

    /// A segment of which little was accepted by chance comes up to the others of its process, and one that is alone does not for long.
    #[tokio::test(start_paused = true)]
    async fn one_that_is_behind_comes_up_to_the_others() {
        let beside_others = beside(1_000.0, 200.0);
        let alone = beside(200.0, 200.0);
        tokio::join!(
            against(900.0, &beside_others, 30),
            against(900.0, &alone, 30)
        );
        let (with, without) = (beside_others.rate(), alone.rate());
        assert!(with > 600.0 && without < 350.0, "{with}, {without}");
    }

    /// polite: a segment whose place has less than the others' meets its limit no more often for what these have found.
    #[tokio::test(start_paused = true)]
    async fn polite_where_others_have_more() {
        let beside_others = against(200.0, &beside(1_000.0, 200.0), 600).await;
        let alone = against(200.0, &beside(200.0, 200.0), 600).await;
        assert!(
            beside_others <= alone + alone / 10 + 1,
            "{beside_others}, {alone}"
        );
    }
}
