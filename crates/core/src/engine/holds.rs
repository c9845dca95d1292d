//! What holds a run: outside of its hours, and while an alarm is in ALARM, its workers save their checkpoints and end, nothing is
//! read or written, and it goes on by itself when the reason is gone.
//!
//! Workers and verifier look; the planner records what they have found, tells all the others by the run record, and looks
//! whether it is over ([`wait`]). What cannot be known counts as a reason to hold: a run that is held does no harm.

pub mod wait;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::rfc3339;
use crate::engine::ownership::LOOK_EVERY;
use crate::pace::retry::{PATIENCE, Until, retry};
use crate::ports::{Alarm, AlarmState, ReadAccess};
use crate::records::{Hold, RunRecord};
use crate::request::{Hours, Settings};
use crate::{Error, ErrorKind, Result};

/// Of all workers together so many ask for the alarm each time that all look at the run once: the more workers, the less often
/// each of them asks.
const ASKED_AT_ONCE: u32 = 4;

/// How long an answer about an alarm is waited for.
const ASK_PATIENCE: Duration = Duration::from_secs(3);

/// How long it is tried before a run begins: an operator is waiting.
const REQUIRE_PATIENCE: Duration = Duration::from_secs(5);

/// Why a run is held, for a person, and until when if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(super) why: String,
    /// Milliseconds since 1970.
    pub(super) until_ms: Option<u64>,
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Error {
        Error::new(ErrorKind::Held, reason.why)
    }
}

/// Why the hours of these settings hold a run at this time; `None` if they do not.
///
/// Errors: `InvalidInput` if no hours can be read.
pub(super) fn by_hours(settings: &Settings, now_ms: u64) -> Result<Option<Reason>> {
    let Some(text) = &settings.hours else {
        return Ok(None);
    };
    let begin = Hours::parse(text)?.begin_at(now_ms);
    Ok(begin.map(|begin| Reason {
        why: format!("until {} by its hours, {text}", rfc3339(begin)),
        until_ms: Some(begin),
    }))
}

/// Why the alarm of this name holds a run; `None` if it does not. Only ALARM begins a hold, and only OK ends one (`is_held`):
/// an alarm without data says neither.
pub(super) fn by_alarm(name: &str, alarm: Option<&Alarm>, is_held: bool) -> Option<Reason> {
    let why = match alarm {
        None => format!("alarm {name} is not there any more"),
        Some(alarm) => match alarm.state {
            AlarmState::Ok => return None,
            AlarmState::InsufficientData if !is_held => return None,
            state => {
                let since = alarm.since_ms.map(rfc3339);
                let since = since.map_or_else(String::new, |since| format!(" since {since}"));
                format!("alarm {name} is in {}{since}", state.name())
            }
        },
    };
    Some(Reason {
        why,
        until_ms: None,
    })
}

/// What stands between the name of an alarm and why it cannot be read.
const UNREAD: &str = " cannot be read: ";

/// Why an alarm that cannot be read holds a run.
pub(super) fn by_error(name: &str, error: &Error) -> Reason {
    Reason {
        why: format!("alarm {name}{UNREAD}{}", error.report()),
        until_ms: None,
    }
}

/// Asks for an alarm, once and not for long: nothing else is looked at meanwhile.
pub(super) async fn ask<A: ReadAccess>(access: &A, name: &str) -> Result<Option<Alarm>> {
    match tokio::time::timeout(ASK_PATIENCE, access.alarm(name)).await {
        Ok(asked) => asked,
        Err(_) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("no answer within {} s", ASK_PATIENCE.as_secs()),
        )),
    }
}

/// What a process knows of the alarm of its run.
#[derive(Debug, Default)]
pub(super) struct Holds {
    alarm: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When it was asked for last.
    asked: Option<Instant>,
    /// Since when it cannot be had, though it may be in a moment.
    failing: Option<Instant>,
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether a run may go on. Of so many workers only some ask for its alarm each time.
    ///
    /// Errors: `Held`, with the reason.
    pub(super) async fn look<A: ReadAccess>(
        &self,
        access: &A,
        run: &RunRecord,
        workers: u32,
    ) -> Result<()> {
        if let Some(hold) = &run.hold {
            return Err(Error::new(ErrorKind::Held, hold.why.as_str()));
        }
        if let Some(reason) = by_hours(&run.settings, access.now_ms())? {
            return Err(reason.into());
        }
        let Some(name) = &run.settings.pause_when else {
            return Ok(());
        };
        if !self.asks(workers) {
            return Ok(());
        }
        let asked = ask(access, name).await;
        let reason = match &asked {
            Ok(alarm) => by_alarm(name, alarm.as_ref(), false),
            Err(error) if error.kind().is_retryable() => {
                let now = Instant::now();
                let since = *self.lock().failing.get_or_insert(now);
                (now - since >= PATIENCE).then(|| by_error(name, error))
            }
            Err(error) => Some(by_error(name, error)),
        };
        if asked.is_ok() || reason.is_some() {
            // After a hold a moment without an answer is a moment again.
            self.lock().failing = None;
        }
        reason.map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// Whether it is time to ask for the alarm, if so many workers look.
    fn asks(&self, workers: u32) -> bool {
        let mut known = self.lock();
        let now = Instant::now();
        // Segments of one process look one after the other.
        if known
            .asked
            .is_some_and(|asked| now - asked < LOOK_EVERY / 2)
        {
            return false;
        }
        let asks = known.failing.is_some() || fastrand::u32(..workers.max(1)) < ASKED_AT_ONCE;
        if asks {
            known.asked = Some(now);
        }
        asks
    }
}

/// Refuses an alarm that is not there or cannot be read. One without data is taken: it may come into ALARM.
///
/// Errors: `InvalidInput`, naming `pause_when`; `AccessDenied`.
pub async fn require_alarm<A: ReadAccess>(access: &A, name: &str) -> Result<()> {
    let until = Until::after(REQUIRE_PATIENCE);
    let alarm = retry(&until, || access.alarm(name)).await?;
    match alarm.map(|alarm| alarm.state) {
        None => Err(no_alarm(name)),
        Some(AlarmState::InsufficientData) => {
            tracing::warn!(
                "alarm {name} has no data to tell by: it holds the run when it comes into ALARM, and not before"
            );
            Ok(())
        }
        Some(AlarmState::Ok | AlarmState::Alarm) => Ok(()),
    }
}

/// What would hold a run with these settings if it began now, each in words for a person. An alarm that cannot be read is one.
///
/// Errors: `InvalidInput` if there is no such alarm, or if no hours can be read.
pub async fn held_now<A: ReadAccess>(access: &A, settings: &Settings) -> Result<Vec<String>> {
    let mut reasons = Vec::from_iter(by_hours(settings, access.now_ms())?);
    if let Some(name) = &settings.pause_when {
        reasons.extend(match ask(access, name).await {
            Ok(None) => return Err(no_alarm(name)),
            Ok(Some(alarm)) => by_alarm(name, Some(&alarm), false),
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(error),
            Err(error) => Some(by_error(name, &error)),
        });
    }
    Ok(reasons.into_iter().map(|reason| reason.why).collect())
}

fn no_alarm(name: &str) -> Error {
    Error::invalid(
        "pause_when",
        format!("there is no alarm {name} in this account and region"),
    )
}

/// Notes in the record, in the name of `by`, what holds the run from now on, or that nothing does any more.
pub(super) fn note_hold(
    record: &mut RunRecord,
    by: &(impl ToString + ?Sized),
    why: Option<String>,
    now_ms: u64,
) {
    let word = |why: Option<&str>| why.unwrap_or(Hold::NONE).to_owned();
    let old = word(record.hold.as_ref().map(|hold| hold.why.as_str()));
    record.note(by, Hold::EVENT, old, word(why.as_deref()));
    record.hold = why.map(|why| Hold {
        why,
        since_ms: record.hold.as_ref().map_or(now_ms, |hold| hold.since_ms),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(state: AlarmState) -> Alarm {
        Alarm {
            state,
            since_ms: Some(1_768_507_200_000),
        }
    }

    /// Only ALARM begins a hold, and only OK ends it; an alarm that is gone holds.
    #[test]
    fn alarm_begins_a_hold_and_ok_ends_it() {
        for (state, is_held, holds) in [
            (Some(AlarmState::Ok), false, false),
            (Some(AlarmState::Ok), true, false),
            (Some(AlarmState::Alarm), false, true),
            (Some(AlarmState::Alarm), true, true),
            (Some(AlarmState::InsufficientData), false, false),
            (Some(AlarmState::InsufficientData), true, true),
            (None, false, true),
            (None, true, true),
        ] {
            let found = by_alarm("a", state.map(alarm).as_ref(), is_held);
            assert_eq!(found.is_some(), holds, "{state:?}, {is_held}");
        }
        let found = by_alarm("slow", Some(&alarm(AlarmState::Alarm)), false).unwrap();
        assert_eq!(
            found.why,
            "alarm slow is in ALARM since 2026-01-15T20:00:00Z"
        );
    }

    /// A thousand workers ask no more often than CloudWatch lets them.
    #[tokio::test(start_paused = true)]
    async fn many_workers_ask_seldom_and_together_often_enough() {
        let all: Vec<Holds> = (0..1_000).map(|_| Holds::default()).collect();
        let mut without = 0;
        for _ in 0..200 {
            tokio::time::sleep(LOOK_EVERY).await;
            let asked = all.iter().filter(|holds| holds.asks(1_000)).count();
            assert!(asked <= 20, "{asked} in five seconds");
            without += u32::from(asked == 0);
        }
        assert!(without < 20, "{without} of 200 looks without one who asks");
        let alone = Holds::default();
        assert!(alone.asks(4) && !alone.asks(4), "once in a while");
    }
}
