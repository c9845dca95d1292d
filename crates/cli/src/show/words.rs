//! Figures, times and counters as people read them.

use std::collections::BTreeMap;
use std::time::Duration;

use backfill_core::clock::rfc3339;
use backfill_core::records::{BoundBy, Counters};
use backfill_core::text::one_line;
use backfill_core::view::cost::{Bill, Prices};
use backfill_core::view::latency::{Latency, Percentiles};
use backfill_core::view::progress::Summary;
use indicatif::HumanCount;

use crate::show::lines;
use ratatui::text::Span;

/// "budget (7 segments), throttled (1 segment)".
pub fn bounds(bound_by: &BTreeMap<BoundBy, u32>) -> String {
    let bounds: Vec<String> = bound_by
        .iter()
        .map(|(by, segments)| {
            let segments = plural(*segments, "segment", "segments");
            format!("{} ({segments})", bound(*by))
        })
        .collect();
    bounds.join(", ")
}

/// What bounds the rate of a segment, in a word or two.
pub fn bound(by: BoundBy) -> &'static str {
    match by {
        BoundBy::None => "no limit",
        by => by.name(),
    }
}

/// A time that is estimated: "less than a minute", "about 12 min", "about 7 h 5 min", "about 3 days".
pub fn about(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match (minutes / (48 * 60), minutes / 60, minutes % 60) {
        _ if time.as_secs() < 60 => "less than a minute".into(),
        (0, 0, minutes) => format!("about {minutes} min"),
        (0, hours, minutes) => format!("about {hours} h {minutes} min"),
        _ => format!("about {} days", minutes.div_ceil(24 * 60)),
    }
}

/// Counters of one pass in a line.
pub fn counters(counters: &Counters) -> String {
    format!(
        "{} scanned, {} matched = {} updated + {} raced + {} vanished + {} rejected{}",
        HumanCount(counters.scanned),
        HumanCount(counters.matched),
        HumanCount(counters.updated),
        HumanCount(counters.raced),
        HumanCount(counters.vanished),
        HumanCount(counters.rejected),
        contended(counters.contended),
    )
}

/// The last term of what matched: only runs that compute values have such items.
pub fn contended(items: u64) -> String {
    match items {
        0 => String::new(),
        items => format!(" + {} contended", HumanCount(items)),
    }
}

/// The bill behind a label of twelve columns: the sum, per million items if there were any, and in the next lines what is in it, of
/// which nothing is named that is not seen in its figure. No line has more than 80 columns.
pub fn bill(bill: &Bill, prices: &Prices) -> String {
    const LABEL: usize = 12;
    // A blank at which no line is broken.
    const TOGETHER: &str = "\u{a0}";
    let per_million = match bill.per_million_items {
        Some(usd) => format!(", {usd:.3} per million items"),
        None => String::new(),
    };
    let total = match bill.total {
        usd if usd > 0.0 && usd < 0.00005 => "less than 0.0001".to_owned(),
        usd => format!("{usd:.4}"),
    };
    let sum = format!(
        "{total} USD in all{per_million} ({}, {})",
        prices.region, prices.date
    );
    let parts: Vec<String> = [
        ("writes", bill.writes),
        ("scan", bill.scan),
        ("verification", bill.verification),
        ("checkpoints", bill.checkpoints),
        ("Lambda", bill.lambda_duration),
        ("its requests", bill.lambda_requests),
        ("state transitions", bill.state_transitions),
    ]
    .iter()
    .map(|(what, usd)| (what, format!("{usd:.4}")))
    .filter(|(_, usd)| usd != "0.0000")
    // A figure stays with what it is for.
    .map(|(what, usd)| format!("{what} {usd}").replace(' ', TOGETHER))
    .collect();
    let indent = " ".repeat(LABEL);
    let mut text = lines::wrap(&format!("{indent}{sum}"), Some(80), LABEL);
    if !parts.is_empty() {
        let parts = format!("{indent}{}", parts.join(", "));
        let parts = lines::wrap(&parts, Some(80), LABEL).replace(TOGETHER, " ");
        text = format!("{text}\n{parts}");
    }
    text.trim_start().to_owned()
}

/// "1 pass", "2 passes".
pub fn plural(n: u32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A time span: "0.3 s", "12 s", "3 min 20 s", "7 h 5 min", "2 d 4 h".
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if (0.05..0.95).contains(&seconds) => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// A time that was reckoned: [`duration`], but of less than half a second only that it is short, since requests take longer.
pub fn reckoned(seconds: f64) -> String {
    match seconds < 0.5 {
        true => "less than 1 s".to_owned(),
        false => duration(seconds),
    }
}

/// The time of a run, by how a number of seconds is shown: "12.3 s", or of one that was resumed "95.0 s in 3 sessions, 12.3 s of
/// it in the last".
pub fn time_of(summary: &Summary, shown: impl Fn(f64) -> String) -> String {
    let last = shown(summary.elapsed_seconds);
    match summary.sessions {
        0 | 1 => last,
        sessions => format!(
            "{} in {sessions} sessions, {last} of it in the last",
            shown(summary.total_seconds)
        ),
    }
}

/// About how long, in few letters: "12 s", "3 min", "7 h", "2 d".
pub fn rough(seconds: f64) -> String {
    match seconds.max(0.0) as u64 {
        s @ 0..100 => format!("{s} s"),
        s @ 100..6_000 => format!("{} min", (s + 30) / 60),
        s @ 6_000..172_800 => format!("{} h", (s + 1_800) / 3_600),
        s => format!("{} d", (s + 43_200) / 86_400),
    }
}

/// A time in UTC for people, to the second.
pub fn time(ms: u64) -> String {
    rfc3339(ms).replace('T', " ").replace('Z', " UTC")
}

/// "1 item", "2,000 items".
pub fn items(n: u64) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} item{s}", HumanCount(n))
}

/// How long requests took, kind by kind: "writes p50 12 ms, p90 21 ms, p99 84 ms (2,103 requests); reads …"; `None` if there were
/// none.
pub fn latency(latency: &Latency) -> Option<String> {
    let of = |kind: &str, percentiles: Option<Percentiles>| {
        let Percentiles {
            requests,
            p50_ms,
            p90_ms,
            p99_ms,
        } = percentiles?;
        let [p50, p90, p99] = [p50_ms, p90_ms, p99_ms].map(millis);
        let s = if requests == 1 { "" } else { "s" };
        let requests = HumanCount(requests);
        Some(format!(
            "{kind} p50 {p50}, p90 {p90}, p99 {p99} ({requests} request{s})"
        ))
    };
    let kinds = [of("writes", latency.writes), of("reads", latency.reads)];
    let kinds: Vec<String> = kinds.into_iter().flatten().collect();
    (!kinds.is_empty()).then(|| kinds.join("; "))
}

/// A time that requests took: "5.1 ms", "84 ms", "1.3 s"; what took longer than any figure says is "over 10 s".
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= LONGEST_MS => "over 10 s".into(),
        ms if ms >= 999.5 => format!("{:.1} s", ms / 1000.0),
        ms => format!("{} ms", decimal(ms)),
    }
}

/// The same for a row of figures, without the unit: "5.1", "84", "1,300", ">10,000".
pub fn bare_millis(ms: f64) -> String {
    match ms {
        ms if ms >= LONGEST_MS => ">10,000".into(),
        ms => decimal(ms),
    }
}

/// The largest figure that a percentile has, in milliseconds.
const LONGEST_MS: f64 = 10_000.0;

/// A figure with as many digits as matter: "0.25", "4.2", "18", "12,345".
pub fn decimal(n: f64) -> String {
    match n.abs() {
        0.0 => "0".into(),
        n if n < 1.0 => format!("{n:.2}"),
        n if n < 10.0 => format!("{n:.1}"),
        n => HumanCount(n.round() as u64).to_string(),
    }
}

/// Foreign text on one line of so many columns of a terminal, cut with … if it is wider.
pub fn fit(text: &str, width: usize) -> String {
    let text = &*one_line(text);
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut room = width.saturating_sub(1);
    for c in text.chars() {
        let wide = Span::raw(c.to_string()).width();
        if wide > room {
            break;
        }
        room -= wide;
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    /// accounting: what a line adds up is what matched, and what no item became is named if every run may have it.
    #[test]
    fn accounting_in_a_line_adds_up() {
        let mut all = Counters {
            scanned: 9_000,
            matched: 1_015,
            updated: 1_000,
            raced: 5,
            vanished: 7,
            rejected: 3,
            ..Counters::default()
        };
        let without = counters(&all);
        assert_eq!(
            without,
            "9,000 scanned, 1,015 matched = 1,000 updated + 5 raced + 7 vanished + 3 rejected"
        );
        (all.matched, all.contended) = (2_259, 1_244);
        let with = without.replace("1,015", "2,259") + " + 1,244 contended";
        assert_eq!(counters(&all), with);
    }

    /// The cost stands in lines of 80 columns, and what is nothing is not named.
    #[test]
    fn a_bill_names_what_is_paid_in_80_columns() {
        let prices = Prices::default();
        let small = Bill {
            writes: 0.025,
            scan: 0.00004,
            verification: 0.0002,
            total: 0.02524,
            per_million_items: Some(0.634),
            ..Bill::default()
        };
        let (region, date) = (&prices.region, &prices.date);
        let expected = format!(
            "0.0252 USD in all, 0.634 per million items ({region}, {date})\n            writes 0.0250, verification 0.0002"
        );
        assert_eq!(bill(&small, &prices), expected);
        let all = Bill {
            scan: 12_345.1,
            checkpoints: 12_345.1,
            lambda_duration: 12_345.1,
            lambda_requests: 12_345.1,
            state_transitions: 12_345.1,
            ..small
        };
        let text = format!("  cost      {}", bill(&all, &prices));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
        let in_aws = Bill {
            writes: 0.0026,
            checkpoints: 0.0019,
            lambda_duration: 0.1077,
            state_transitions: 0.0129,
            ..Bill::default()
        };
        assert!(
            bill(&in_aws, &prices).ends_with(
                "\n            writes 0.0026, checkpoints 0.0019, Lambda 0.1077,\n            state transitions 0.0129"
            ),
            "{}",
            bill(&in_aws, &prices)
        );
        let least = Bill {
            writes: 0.00001,
            total: 0.00001,
            ..Bill::default()
        };
        let text = format!("less than 0.0001 USD in all ({region}, {date})");
        assert_eq!(bill(&least, &prices), text);
        let nothing = bill(&Bill::default(), &prices);
        assert_eq!(nothing, format!("0.0000 USD in all ({region}, {date})"));
    }

    #[test]
    fn latencies_as_people_read_them() {
        for (ms, text, bare) in [
            (0.12, "0.12 ms", "0.12"),
            (5.12, "5.1 ms", "5.1"),
            (84.4, "84 ms", "84"),
            (999.4, "999 ms", "999"),
            (999.5, "1.0 s", "1,000"),
            (1_290.0, "1.3 s", "1,290"),
            (10_000.0, "over 10 s", ">10,000"),
        ] {
            assert_eq!((&*millis(ms), &*bare_millis(ms)), (text, bare));
        }
        let percentiles = |requests| Percentiles {
            requests,
            p50_ms: 5.1,
            p90_ms: 21.0,
            p99_ms: 1_300.0,
        };
        let of = |writes, reads| latency(&Latency { writes, reads });
        assert_eq!(of(None, None), None);
        assert_eq!(
            of(Some(percentiles(2_103)), Some(percentiles(1))).unwrap(),
            "writes p50 5.1 ms, p90 21 ms, p99 1.3 s (2,103 requests); reads p50 5.1 ms, p90 21 ms, p99 1.3 s (1 request)"
        );
        let reads = of(None, Some(percentiles(3))).unwrap();
        assert!(reads.starts_with("reads p50"), "{reads}");
    }

    #[test]
    fn figures_and_times_as_people_read_them() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.04, "0 s"),
            (0.25, "0.2 s"),
            (0.949, "0.9 s"),
            (0.95, "1 s"),
            (41.0, "41 s"),
            (59.6, "1 min 0 s"),
            (723.4, "12 min 3 s"),
            (11_100.0, "3 h 5 min"),
            (187_200.0, "2 d 4 h"),
            (2_592_000.0, "30 d 0 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        for (figure, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (4.21, "4.2"),
            (12_345.6, "12,346"),
        ] {
            assert_eq!(decimal(figure), text);
        }
        for (seconds, text) in [
            (0.0, "0 s"),
            (99.9, "99 s"),
            (100.0, "2 min"),
            (5_999.0, "100 min"),
            (6_000.0, "2 h"),
            (172_799.0, "48 h"),
            (200_000.0, "2 d"),
        ] {
            assert_eq!(rough(seconds), text);
        }
        assert_eq!(time(1_795_208_400_000), "2026-11-20 21:00:00 UTC");
        assert_eq!(time(u64::MAX), "9999-12-31 23:59:59 UTC");
    }
}
