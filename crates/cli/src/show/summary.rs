//! The result of a run.

use backfill_core::Request;
use backfill_core::change::lacking_text;
use backfill_core::clock::rfc3339;
use backfill_core::records::{Hold, RunRecord, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Snapshot, Summary};
use indicatif::HumanCount;

use crate::show::{print, words};
use crate::{budget, hint, place};

/// Prints how a run has ended: its summary if there are records of it, and one JSON object if so asked. Records may still call a
/// run running whose end could not be recorded; it has ended as `ended` all the same.
pub fn end(
    records: Option<&Snapshot>,
    request: &Request,
    ended: RunStatus,
    prices: &Prices,
    checkpoint_table: &str,
    json: bool,
) {
    let mut summary = match records {
        Some(records) => records.summary(prices),
        None => Summary::without_records(request, ended),
    };
    if summary.status == RunStatus::Running {
        summary.status = ended;
    }
    if let Some(records) = records {
        say!("{}", text(&records.run, &summary, prices, checkpoint_table));
    }
    if json {
        print::json(&place::with(&summary));
    }
}

/// What holds a run.
fn held_text(hold: &Hold) -> String {
    let since = rfc3339(hold.since_ms);
    format!("  held      {}; held since {since}", hold.why)
}

/// Says that figures are estimated, if they are.
pub fn unread_text(unread: u32) -> Option<String> {
    (unread > 0).then(|| {
        format!(
            "estimated: about {unread} segments at work are not read, and count as the others do"
        )
    })
}

/// How many items were scanned, and whether figures are estimated.
fn scanned_text(summary: &Summary) -> String {
    let unread = unread_text(summary.segments_unread);
    format!(
        "  scanned   {} items in {} segments, {}{}",
        HumanCount(summary.scanned),
        summary.segments,
        words::plural(summary.passes, "pass", "passes"),
        unread.map_or_else(String::new, |unread| format!("\n            {unread}")),
    )
}

/// The summary of a run, whose records lie in this table, in a few lines.
pub fn text(run: &RunRecord, summary: &Summary, prices: &Prices, checkpoint_table: &str) -> String {
    let verdict = match summary.status {
        RunStatus::Succeeded if run.settings.dry_run => "dry run: nothing is pending",
        RunStatus::Incomplete if run.settings.dry_run => "dry run: items are pending",
        RunStatus::Succeeded => "succeeded: nothing is pending any more",
        RunStatus::Incomplete => "incomplete: items remain",
        RunStatus::Paused => "paused",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Failed => "failed",
        RunStatus::Running => "running",
    };
    let mut lines = vec![
        format!(
            "run {} on table {}: {verdict}",
            summary.run_id, summary.table
        ),
        format!("  spec      {}", run.spec.describe()),
    ];
    lines.extend(run.hold.as_ref().map(held_text));
    lines.extend([
        scanned_text(summary),
        format!(
            "  matched   {} = {} updated + {} raced + {} vanished + {} rejected{}",
            HumanCount(summary.matched),
            HumanCount(summary.updated),
            HumanCount(summary.raced),
            HumanCount(summary.vanished),
            HumanCount(summary.rejected),
            words::contended(summary.contended),
        ),
    ]);
    if let Some(place) = place::words() {
        lines.insert(1, format!("  where     {place}"));
    }
    if summary.rejected > 0 {
        lines.push(format!(
            "            see them with: {}",
            hint::on_run("rejected", &summary.run_id, checkpoint_table)
        ));
    }
    lines.push(match summary.remaining {
        Some(remaining) => format!(
            "  remaining {} by a strongly consistent count",
            HumanCount(remaining)
        ),
        None => "  remaining not counted yet".into(),
    });
    for key in &summary.samples {
        lines.push(format!("            {key}"));
    }
    lines.extend(lacking_text(&summary.lacking).map(|text| format!("  lacking   {text}")));
    let different = summary.told_different();
    lines.extend(different.map(|found| format!("  different {}", found.sentence())));
    lines.push(format!(
        "  capacity  {:.1} read units, {:.1} write units; {}; throttled {} times",
        summary.consumed_rcu,
        summary.consumed_wcu,
        budget::text(summary.max_wcu, summary.max_rcu),
        HumanCount(summary.throttles),
    ));
    lines.push(format!(
        "  cost      {}",
        words::bill(&summary.cost_usd, prices)
    ));
    let time = words::time_of(summary, |seconds| format!("{seconds:.1} s"));
    lines.push(format!("  time      {time}"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples::{pass, run, segment};
    use backfill_core::Key;
    use backfill_core::Value;

    /// What only runs that compute values have is shown if there is any of it.
    #[test]
    fn a_run_that_computes_values_tells_more() {
        let prices = Prices::default();
        let snapshot = pass(run(), vec![segment(0, 1_000)]);
        let mut summary = snapshot.summary(&prices);
        let before = text(&snapshot.run, &summary, &prices, "checkpoints");
        assert!(!before.contains("contended") && !before.contains("different"));
        (summary.matched, summary.contended) = (503, 3);
        summary.different = Some(12);
        let key = Key([("id".to_owned(), Value::S("item-7".into()))].into());
        summary.different_samples = vec![key.clone()];
        let text = text(&snapshot.run, &summary, &prices, "checkpoints");
        for line in [
            "  matched   503 = 500 updated + 0 raced + 0 vanished + 0 rejected + 3 contended"
                .to_owned(),
            format!(
                "  different 12 items have another value than their sources give now, such as {key}"
            ),
        ] {
            assert!(text.lines().any(|shown| shown == line), "{text}");
        }
    }
}
