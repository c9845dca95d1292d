//! A run as its durable records tell it.

use std::time::Duration;

use backfill_core::clock::{self, rfc3339};
use backfill_core::records::{Event, MAX_EVENTS, RunRecord, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::glance::Glance;
use backfill_core::view::latency::Latency;
use backfill_core::view::progress::Snapshot;
use indicatif::HumanCount;

use crate::show::runs::{self, Holder, TableNow};
use crate::show::{summary, words};
use crate::typed;

/// The state for people, of a run whose records lie in this table.
pub fn text(
    snapshot: &Snapshot,
    holder: Option<Holder>,
    table_now: Option<TableNow>,
    prices: &Prices,
    checkpoint_table: &str,
) -> String {
    let run = &snapshot.run;
    let glance = snapshot.glance();
    let mut lines = vec![
        summary::text(run, &snapshot.summary(prices), prices, checkpoint_table),
        format!("  because   {}", run.message),
        format!("  by        {}", by(run, holder, &glance)),
    ];
    let gone = table_now.and_then(|now| now.gone(&run.spec.table));
    lines.extend(gone.map(|gone| format!("  but       its table {gone}")));
    if let Some(pace) = pace(&glance) {
        lines.push(pace);
    }
    if run.is_full_of_events() {
        lines.push(format!("  only the last {MAX_EVENTS} changes are kept:"));
    }
    for event in run.events.iter().map(Event::brief) {
        lines.push(format!(
            "  {}  {} {} -> {}, by {}",
            rfc3339(event.at_ms),
            typed::of_event(&event.what),
            event.old,
            event.new,
            event.by
        ));
    }
    for pass in &snapshot.passes {
        lines.push(format!(
            "  pass {}: {} of {} segments done, {} begun; {}",
            pass.pass,
            pass.segments_exhausted,
            run.settings.total_segments,
            pass.segments_begun,
            words::counters(&pass.counters)
        ));
        let is_at_work = run.status == RunStatus::Running && run.hold.is_none();
        if !pass.bound_by.is_empty() && is_at_work {
            lines.push(format!(
                "    rate bound by {}",
                words::bounds(&pass.bound_by)
            ));
        }
        if let Some(throttled_by) = &pass.throttled_by {
            lines.push(format!("    throttled: {throttled_by}"));
        }
        let latency = words::latency(&Latency::from(&pass.latency));
        lines.extend(latency.map(|latency| format!("    latency: {latency}")));
    }
    lines.join("\n")
}

/// Who holds or held the run, and whether that is alive.
fn by(run: &RunRecord, holder: Option<Holder>, glance: &Glance) -> String {
    let owner = run.owner.brief();
    let Some(holder) = holder else {
        return owner;
    };
    let mut text = format!(
        "{owner}, {}",
        runs::words_of(holder, glance, clock::now_ms())
    );
    if holder == Holder::Gone {
        text.push_str(&format!(
            " (last sign of life {}); start it again, which takes it over",
            words::time(glance.last_sign_ms)
        ));
    }
    text
}

/// How far the pass is, how fast it goes and how long it still takes, if that is known.
fn pace(glance: &Glance) -> Option<String> {
    let rate = glance.items_per_second?;
    let mut text = format!("  rate      {} items/s", HumanCount(rate.round() as u64));
    if let Some(done) = glance.done {
        let what = match glance.verifies {
            true => "of the items counted",
            false => "of this pass swept",
        };
        text.push_str(&format!(", {:.0} % {what}", done * 100.0));
    }
    if let Some(left) = glance.seconds_left {
        let left = words::about(Duration::from_secs_f64(left.min(f64::from(u32::MAX))));
        text.push_str(&format!(", {left} left in it"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use backfill_core::records::{BoundBy, Hold};

    use super::*;
    use crate::hint;
    use crate::show::samples;

    /// Nothing is swept meanwhile, and nothing but what holds the run bounds that.
    #[test]
    fn a_run_that_is_held_has_no_rate() {
        let shown = |hold: Option<Hold>| {
            let mut run = samples::run();
            run.hold = hold;
            let mut at_work = samples::segment(3, 500_000);
            at_work.bound_by = BoundBy::Budget;
            let snapshot = samples::pass(run, vec![at_work]);
            text(
                &snapshot,
                None,
                None,
                &Prices::default(),
                hint::CHECKPOINT_TABLE,
            )
        };
        let free = shown(None);
        let held = shown(Some(Hold {
            why: "alarm live is in ALARM".into(),
            since_ms: samples::BEGIN_MS,
        }));
        for pace in ["  rate      50,000 items/s", "rate bound by budget"] {
            assert!(free.contains(pace), "{free}");
            assert!(!held.contains(pace), "{held}");
        }
        assert!(held.contains("alarm live is in ALARM"), "{held}");
    }

    /// A look at a large run does not read all, and what it says is marked as an estimate then.
    #[test]
    fn figures_that_are_estimated_are_marked() {
        let shown = |unread: u32| {
            let mut snapshot = samples::pass(samples::run(), vec![samples::segment(3, 500_000)]);
            snapshot.passes[0].segments_unread = unread;
            let prices = Prices::default();
            text(&snapshot, None, None, &prices, hint::CHECKPOINT_TABLE)
        };
        let mark = "estimated: about 744 segments at work are not read";
        assert!(shown(744).contains(mark), "{}", shown(744));
        assert!(!shown(0).contains("estimated"), "{}", shown(0));
    }

    #[test]
    fn a_record_that_holds_no_more_events_says_so() {
        let prices = Prices::default();
        let shown = |events: usize| {
            let mut run = samples::run();
            for n in 0..events {
                run.note("me", "max_wcu", n, n + 1);
            }
            let snapshot = samples::pass(run, vec![]);
            text(&snapshot, None, None, &prices, hint::CHECKPOINT_TABLE)
        };
        let note = "only the last 30 changes are kept";
        assert!(!shown(MAX_EVENTS - 1).contains(note));
        for events in [MAX_EVENTS, MAX_EVENTS + 1] {
            assert!(shown(events).contains(note));
        }
    }
}
