//! The service's time against that of this machine: signatures carry the time, and hold for some minutes.

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::error::{ErrorMetadata, ProvideErrorMetadata as _, SdkError};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// Clocks that are less apart than this are not why a signature is refused: the least that a service allows is 5 minutes. The SDKs
/// draw the line here as well.
const WORTH_MENTION: Duration = Duration::from_secs(4 * 60);

/// How far the service's clock is ahead of this machine's; negative if it is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Skew {
    milliseconds: i64,
}

impl Skew {
    pub(crate) fn of_milliseconds(milliseconds: i64) -> Skew {
        Skew { milliseconds }
    }

    pub(crate) fn milliseconds(self) -> i64 {
        self.milliseconds
    }

    /// The service's time at this time of this machine.
    pub(crate) fn apply(self, now: SystemTime) -> SystemTime {
        let by = Duration::from_millis(self.milliseconds.unsigned_abs());
        let shifted = match self.milliseconds < 0 {
            true => now.checked_sub(by),
            false => now.checked_add(by),
        };
        shifted.unwrap_or(now)
    }

    fn between(service: SystemTime, here: SystemTime) -> Skew {
        let (ahead, by) = match service.duration_since(here) {
            Ok(by) => (1, by),
            Err(error) => (-1, error.duration()),
        };
        let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Skew::of_milliseconds(ahead * milliseconds)
    }

    fn is_worth_mention(self) -> bool {
        self.milliseconds.unsigned_abs() > WORTH_MENTION.as_millis() as u64
    }

    /// "17 minutes behind AWS's".
    pub(crate) fn words(self) -> String {
        let minutes = self.milliseconds.unsigned_abs() as f64 / 60_000.0;
        let by = match minutes.round() as u64 {
            0..120 => format!("{minutes:.0} minutes"),
            120..2_880 => format!("{:.0} hours", minutes / 60.0),
            _ => format!("{:.0} days", minutes / 1_440.0),
        };
        let here = match self.milliseconds < 0 {
            true => "ahead of",
            false => "behind",
        };
        format!("{by} {here} AWS's")
    }
}

/// A refusal for which the time of the signature is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blamed {
    /// How far the clocks are apart by the answer's date; `None` if it has none. Zero if the difference is not worth mention: then
    /// the call was long on its way, or this machine stood still meanwhile.
    pub(crate) skew: Option<Skew>,
}

impl Blamed {
    /// What to do about it, to be put behind the error's message.
    pub(crate) fn advice(self) -> String {
        match self.skew.filter(|skew| skew.is_worth_mention()) {
            Some(skew) => format!(
                "; the clock of this machine is {}: set it (chrony or another NTP client keeps it right)",
                skew.words()
            ),
            None => {
                "; AWS takes the time of the signature for wrong: check the clock of this machine"
                    .into()
            }
        }
    }
}

/// Whether the clock is why a call was refused: the service says so, or it refuses the signature and its clock is minutes away. `now`
/// is this machine's time.
pub(crate) fn blamed(error: &SdkError<ErrorMetadata>, now: SystemTime) -> Option<Blamed> {
    let SdkError::ServiceError(refused) = error else {
        return None;
    };
    // An answer out of a cache has an old date.
    let headers = refused.raw().headers();
    let date = headers.get("date").filter(|_| headers.get("age").is_none());
    let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    let date = date.and_then(|date| SystemTime::try_from(date).ok());
    let skew = date.map(|date| Skew::between(date, now));
    let is_apart = skew.is_some_and(Skew::is_worth_mention);
    let message = error.message().unwrap_or_default();
    let says_so = ["Signature expired", "Signature not yet current"]
        .iter()
        .any(|words| message.contains(words));
    let is_blamed = match error.code()? {
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => true,
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "AuthFailure" => {
            says_so || is_apart
        }
        _ => says_so,
    };
    let skew = skew.map(|skew| if is_apart { skew } else { Skew::default() });
    is_blamed.then_some(Blamed { skew })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_said_from_where_the_reader_sits() {
        let minutes = |minutes: i64| Skew::of_milliseconds(minutes * 60_000);
        assert_eq!(minutes(17).words(), "17 minutes behind AWS's");
        assert_eq!(minutes(-17).words(), "17 minutes ahead of AWS's");
        assert_eq!(minutes(140).words(), "2 hours behind AWS's");
        assert_eq!(minutes(-4_500).words(), "3 days ahead of AWS's");
    }
}
