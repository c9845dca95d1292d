//! The wall clock: when something happened, for people. The engine waits and measures by `tokio::time`. By the wall clock, which
//! may be wrong or jump, it decides nothing but when a hold is over (the hours of a run, and how long it is held in AWS), how often
//! history is written at the age of a run, whether a recorded pace is young enough to begin at, and, for views, whether a note of a
//! count is of this session.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// A time in milliseconds since 1970 as RFC 3339, to the second. A damaged record may say anything, so a later time than
/// the year 9999, the last that can be written, is written as the end of that year.
pub fn rfc3339(ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(ms.min(253_402_300_799_000));
    humantime::format_rfc3339_seconds(at).to_string()
}

/// A time by RFC 3339, in UTC, in milliseconds since 1970; `None` if it is none, or before 1970.
pub fn ms_of_rfc3339(text: &str) -> Option<u64> {
    let at = humantime::parse_rfc3339(text).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_time_can_be_written() {
        assert_eq!(rfc3339(1_768_507_200_999), "2026-01-15T20:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_time_is_read_as_services_write_it() {
        for (text, ms) in [
            ("2019-11-14T00:13:19Z", Some(1_573_690_399_000)),
            ("2019-11-14T00:13:49.717Z", Some(1_573_690_429_717)),
            ("1969-12-31T23:59:59Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(ms_of_rfc3339(text), ms, "{text}");
        }
    }
}
