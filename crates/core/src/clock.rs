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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_time_can_be_written() {
        assert_eq!(rfc3339(1_768_507_200_999), "2026-01-15T20:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
