//! A run as its durable records tell it.

use backfill_core::clock::rfc3339;
use backfill_core::records::{Event, MAX_EVENTS, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::Snapshot;

use crate::show::{summary, words};

/// The state for people.
pub fn text(snapshot: &Snapshot, prices: &Prices) -> String {
    let run = &snapshot.run;
    let mut lines = vec![
        summary::text(run, &snapshot.summary(prices), prices),
        format!("  because   {}", run.message),
        format!("  by        {}", run.owner.brief()),
    ];
    if run.is_full_of_events() {
        lines.push(format!("  only the last {MAX_EVENTS} changes are kept:"));
    }
    for event in run.events.iter().map(Event::brief) {
        lines.push(format!(
            "  {}  {} {} -> {}, by {}",
            rfc3339(event.at_ms),
            event.what,
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
        if !pass.bound_by.is_empty() && run.status == RunStatus::Running {
            lines.push(format!(
                "    rate bound by {}",
                words::bounds(&pass.bound_by)
            ));
        }
        if let Some(throttled_by) = &pass.throttled_by {
            lines.push(format!("    throttled: {throttled_by}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples;

    #[test]
    fn a_record_that_holds_no_more_events_says_so() {
        let prices = Prices::default();
        let shown = |events: usize| {
            let mut run = samples::run();
            for n in 0..events {
                run.note("me", "max_wcu", n, n + 1);
            }
            let snapshot = samples::pass(run, vec![]);
            text(&snapshot, &prices)
        };
        let note = "only the last 30 changes are kept";
        assert!(!shown(MAX_EVENTS - 1).contains(note));
        for events in [MAX_EVENTS, MAX_EVENTS + 1] {
            assert!(shown(events).contains(note));
        }
    }
}
