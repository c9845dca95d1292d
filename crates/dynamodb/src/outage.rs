//! How long the service has not answered, and how long that is put up with.
//!
//! Each kind of call has an outage of its own: if the answers to writes are lost, those to reads and to the run's records, which come
//! all the time, say nothing of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::trouble::Trouble;

/// How long somebody who waits for a command is left without a word, and what answers in the service's place is asked again. The
/// longest wait between two tries is 5 s, so ten seconds suffice to say what is wrong.
const SHORT: Duration = Duration::from_millis(4_500);

/// A call of a kind that was not made for so long begins an outage of its own: the longest wait between two tries, and more.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// What a call is for, as far as another call of the same kind is likely to go the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Calls {
    /// "Scan", "UpdateItem".
    pub(crate) operation: &'static str,
    /// It is about the records of a run, in place of items.
    pub(crate) is_of_records: bool,
}

/// The outages of a service, if there are some. A command that has just begun ends soon; one that has been at work puts up with an
/// outage as long as its work, and one that is [patient](Outage::stay_patient) with any, and says what it waits for.
pub(crate) struct Outage(Mutex<State>);

struct State {
    opened: Instant,
    /// The calls that have had no answer lately.
    unanswered: BTreeMap<Calls, Unanswered>,
    /// The calls for whose sake it was said that an answer is waited for.
    said_of: Option<Calls>,
    is_patient: bool,
}

/// Calls of one kind of which none was answered since.
struct Unanswered {
    /// When the first of them began.
    since: Instant,
    /// When the last one ended.
    until: Instant,
}

impl fmt::Debug for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outage")
    }
}

impl Outage {
    pub(crate) fn new(is_patient: bool) -> Outage {
        Outage(Mutex::new(State {
            opened: Instant::now(),
            unanswered: BTreeMap::new(),
            said_of: None,
            is_patient,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every outage is waited out by whoever calls, as long as they try again.
    pub(crate) fn stay_patient(&self) {
        self.lock().is_patient = true;
    }

    /// True if an outage that began now would be waited out for longer than this.
    pub(crate) fn outlasts(&self, time: Duration) -> bool {
        let state = self.lock();
        state.is_patient || state.opened.elapsed() > time
    }

    /// The service has answered such a call.
    pub(crate) fn ended(&self, calls: Calls) {
        let mut state = self.lock();
        state.unanswered.remove(&calls);
        if state.said_of == Some(calls) {
            state.said_of = None;
            drop(state);
            tracing::warn!("the service answers again");
        }
    }

    /// Takes note that such a call, which began at this time, has no answer. True if that is not to be waited out.
    pub(crate) fn is_given_up(&self, calls: Calls, begin: Instant, trouble: &Trouble) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let fresh = || Unanswered {
            since: begin,
            until: now,
        };
        let (opened, is_patient) = (state.opened, state.is_patient);
        let unanswered = state.unanswered.entry(calls).or_insert_with(fresh);
        // Whoever has asked for nothing of the kind for so long knows of no outage. A run may have to wait longer for its turn.
        if !is_patient && begin.saturating_duration_since(unanswered.until) > FORGOTTEN {
            *unanswered = fresh();
        }
        unanswered.until = now;
        let since = unanswered.since;
        let lasted = since.elapsed();
        if lasted < SHORT {
            return false;
        }
        let was_at_work = since.saturating_duration_since(opened);
        let is_over = !is_patient && lasted >= was_at_work;
        if is_over || trouble.is_foreign() {
            return true;
        }
        if state.said_of.is_none() {
            state.said_of = Some(calls);
            drop(state);
            tracing::warn!("waiting for an answer: {trouble}");
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::{Form, Peer, What};

    fn trouble(what: What) -> Trouble {
        Trouble::new(
            what,
            Peer::new(&"http://127.0.0.1:1".parse().unwrap(), None),
        )
    }

    const WRITES: Calls = Calls {
        operation: "UpdateItem",
        is_of_records: false,
    };
    const RECORDS: Calls = Calls {
        is_of_records: true,
        ..WRITES
    };

    /// The time from an outage's begin to its end by this, as it is tried again each half second.
    async fn lasted(outage: &Outage, what: What) -> Option<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(120) {
            // The records of the run are written all the while.
            outage.ended(RECORDS);
            if outage.is_given_up(WRITES, Instant::now(), &trouble(what)) {
                return Some(begin.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_out_by_whoever_has_something_to_lose() {
        let soon = SHORT..SHORT + Duration::from_secs(1);
        let outage = Outage::new(false);
        let at_first = lasted(&outage, What::Refused).await.unwrap();
        assert!(soon.contains(&at_first), "{at_first:?}");
        // An answer ends it.
        outage.ended(WRITES);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = lasted(&outage, What::Refused).await.unwrap();
        assert!(later > Duration::from_secs(60), "{later:?}");
        let patient = Outage::new(false);
        patient.stay_patient();
        assert_eq!(lasted(&patient, What::Ended).await, None);
        patient.ended(WRITES);
        // Nobody waits for a login page to become a database.
        let foreign = lasted(&patient, What::Foreign(200, Form::Html)).await;
        assert!(soon.contains(&foreign.unwrap()), "{foreign:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_failed_long_ago_is_no_outage_of_now() {
        let outage = Outage::new(false);
        let refused = trouble(What::Refused);
        assert!(!outage.is_given_up(WRITES, Instant::now(), &refused));
        tokio::time::sleep(FORGOTTEN * 2).await;
        assert!(!outage.is_given_up(WRITES, Instant::now(), &refused));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_is_over_if_that_is_answered() {
        let outage = Outage::new(true);
        assert_eq!(lasted(&outage, What::CutShort).await, None);
        let said_of = || outage.lock().said_of;
        assert_eq!(said_of(), Some(WRITES));
        outage.ended(RECORDS);
        assert_eq!(said_of(), Some(WRITES));
        outage.ended(WRITES);
        assert_eq!(said_of(), None);
    }
}
