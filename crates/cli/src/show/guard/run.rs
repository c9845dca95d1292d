//! What is said of a guard that watches in this process.

use std::time::Duration;

use backfill_core::Key;
use backfill_core::records::{GuardHour, GuardRecord};
use indicatif::HumanCount;
use serde::Serialize;

use crate::show::words::{duration, items, time};

/// What `guard run --json` prints.
#[derive(Serialize)]
pub struct Watched {
    table: String,
    stream_arn: String,
    /// Since when nothing that was written was missed, in milliseconds since 1970; null if the guard is off, or if that is not known.
    guarded_since_ms: Option<u64>,
    /// Stream records that this process has seen.
    seen: u64,
    repaired: u64,
    raced: u64,
    vanished: u64,
    failed: u64,
    /// Up to five keys of items that were repaired.
    samples: Vec<Key>,
    /// What may have been missed since the guard was switched on first, the latest last.
    losses: Vec<String>,
    elapsed_seconds: f64,
    /// Why it has ended by itself; null if it was stopped.
    pub error: Option<&'static str>,
}

/// What was done, for a program.
pub fn done(
    guard: &GuardRecord,
    stored: Option<&GuardRecord>,
    total: &GuardHour,
    elapsed: Duration,
) -> Watched {
    let losses = stored.map_or(&[][..], |stored| &stored.losses);
    Watched {
        table: guard.table().to_owned(),
        stream_arn: guard.stream_arn.clone(),
        guarded_since_ms: stored.and_then(GuardRecord::guarded_since_ms),
        seen: total.seen,
        repaired: total.repaired,
        raced: total.raced,
        vanished: total.vanished,
        failed: total.failed,
        samples: total.samples.clone(),
        losses: losses.iter().map(|loss| loss.what.clone()).collect(),
        elapsed_seconds: elapsed.as_secs_f64(),
        error: None,
    }
}

/// That it watches from now on.
pub fn begun(guard: &GuardRecord) -> String {
    let since = guard.guarded_since_ms().unwrap_or(guard.since_ms);
    let mut text = format!(
        "watching table {} by its stream {}, without a gap since {}; ctrl-C stops",
        guard.table(),
        guard.stream_arn,
        time(since)
    );
    if let Some(loss) = guard.losses.last() {
        text += &format!(
            "\nwarning: something may have been missed before: {}",
            loss.what
        );
    }
    text
}

/// That a page had items to repair; `None` if it had none.
pub fn repaired(page: &GuardHour) -> Option<String> {
    let such_as = page.samples.first();
    let such_as = such_as.map_or(String::new(), |key| format!(", such as {key}"));
    (page.repaired > 0).then(|| format!("repaired {}{such_as}", items(page.repaired)))
}

fn counts(total: &GuardHour) -> String {
    let records = if total.seen == 1 { "record" } else { "records" };
    let mut text = format!(
        "{} {records} seen, {} repaired",
        HumanCount(total.seen),
        items(total.repaired)
    );
    for (count, what) in [
        (total.raced, "raced"),
        (total.vanished, "vanished"),
        (total.failed, "could not be repaired"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}

/// The line of a minute. `oldest_ms` is when the last record was written that is seen of a shard that is behind.
pub fn minute(total: &GuardHour, elapsed: Duration, oldest_ms: Option<u64>, now_ms: u64) -> String {
    let behind = match oldest_ms {
        Some(oldest_ms) => {
            let seconds = now_ms.saturating_sub(oldest_ms) as f64 / 1000.0;
            format!("up to {} behind", duration(seconds))
        }
        None => "nothing is waiting".to_owned(),
    };
    format!(
        "watched for {}: {}; {behind}",
        duration(elapsed.as_secs_f64()),
        counts(total)
    )
}

/// What was done in the end, and what it is worth.
pub fn summary(
    guard: &GuardRecord,
    stored: Option<&GuardRecord>,
    total: &GuardHour,
    elapsed: Duration,
) -> String {
    let since = stored.and_then(GuardRecord::guarded_since_ms);
    let claim = match since {
        Some(since) => format!("nothing was missed since {}", time(since)),
        None => "whether something was missed is not known".to_owned(),
    };
    format!(
        "watched table {} for {}: {}; {claim}\nWhat is written now is seen if `backfill guard run` begins again within 23 hours.",
        guard.table(),
        duration(elapsed.as_secs_f64()),
        counts(total)
    )
}

#[cfg(test)]
mod tests {
    use backfill_core::{Item, Value};

    use super::*;

    #[test]
    fn what_was_done_is_said_and_what_was_not_done_is_left_out() {
        let key = Key(Item::from([("id".into(), Value::S("a".into()))]));
        let quiet = GuardHour {
            seen: 1,
            ..GuardHour::default()
        };
        let busy = GuardHour {
            seen: 12_345,
            repaired: 2,
            vanished: 3,
            failed: 4,
            samples: vec![key],
            ..GuardHour::default()
        };
        assert_eq!(repaired(&quiet), None);
        let line = r#"repaired 2 items, such as {"id":{"S":"a"}}"#;
        assert_eq!(repaired(&busy).as_deref(), Some(line));
        let minutes = Duration::from_secs(200);
        assert_eq!(
            minute(&quiet, minutes, None, 0),
            "watched for 3 min 20 s: 1 record seen, 0 items repaired; nothing is waiting"
        );
        assert_eq!(
            minute(&busy, minutes, Some(1_000), 13_000),
            "watched for 3 min 20 s: 12,345 records seen, 2 items repaired, 3 vanished, 4 could not be repaired; up to 12 s behind"
        );
    }
}
