//! How long the service has not answered, and how long that is put up with.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::trouble::Trouble;

/// How long somebody who waits for a command is left without a word, and what answers in the service's place is asked again. The
/// longest wait between two tries is 5 s, so ten seconds suffice to say what is wrong.
const SHORT: Duration = Duration::from_millis(4_500);

/// The outage of a service, if there is one. A command that has just begun ends soon; one that has been at work puts up with an
/// outage as long as its work, and one that is [patient](Outage::stay_patient) with any, and says what it waits for.
pub(crate) struct Outage(Mutex<State>);

struct State {
    opened: Instant,
    /// When the first call began that had no answer, if none since has had one.
    since: Option<Instant>,
    is_said: bool,
    is_patient: bool,
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
            since: None,
            is_said: false,
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

    /// The service has answered.
    pub(crate) fn ended(&self) {
        let mut state = self.lock();
        state.since = None;
        if std::mem::take(&mut state.is_said) {
            drop(state);
            tracing::warn!("the service answers again");
        }
    }

    /// A call that began at this time has no answer. True if that is not to be waited out.
    pub(crate) fn lasts(&self, begin: Instant, trouble: &Trouble) -> bool {
        let mut state = self.lock();
        let since = *state.since.get_or_insert(begin);
        let lasted = since.elapsed();
        if lasted < SHORT {
            return false;
        }
        let was_at_work = since.saturating_duration_since(state.opened);
        let is_over = !state.is_patient && lasted >= was_at_work;
        if is_over || trouble.is_foreign() {
            return true;
        }
        if !std::mem::replace(&mut state.is_said, true) {
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

    /// The time from an outage's begin to its end by this, as it is tried again each half second.
    async fn lasted(outage: &Outage, what: What) -> Option<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(120) {
            if outage.lasts(Instant::now(), &trouble(what)) {
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
        outage.ended();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = lasted(&outage, What::Refused).await.unwrap();
        assert!(later > Duration::from_secs(60), "{later:?}");
        let patient = Outage::new(false);
        patient.stay_patient();
        assert_eq!(lasted(&patient, What::Ended).await, None);
        patient.ended();
        // Nobody waits for a login page to become a database.
        let foreign = lasted(&patient, What::Foreign(200, Form::Html)).await;
        assert!(soon.contains(&foreign.unwrap()), "{foreign:?}");
    }
}
