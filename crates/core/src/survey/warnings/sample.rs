//! What the sample and the update tried on it say.

use super::warning::{Advice, Known, Warning, warn};

pub(super) fn update_refused(known: &Known<'_>) -> Vec<Warning> {
    let mut refusals = known
        .tried
        .iter()
        .filter_map(|tried| tried.after.as_ref().err());
    let Some(refusal) = refusals.next() else {
        return Vec::new();
    };
    warn(
        "update_refused",
        format!(
            "the embedded database refuses the update for {} of {} sampled items: {refusal}",
            1 + refusals.count(),
            known.tried.len()
        ),
        [Advice::Do(
            "change update, or pending so that it leaves such items out; else the run lists them as rejected".into(),
        )],
    )
}

pub(super) fn update_does_not_extinguish(known: &Known<'_>) -> Vec<Warning> {
    let lit = known
        .tried
        .iter()
        .filter(|tried| tried.after.is_ok() && !tried.is_extinguished)
        .count();
    if lit == 0 {
        return Vec::new();
    }
    warn(
        "update_does_not_extinguish",
        format!(
            "{lit} of {} sampled items are still pending after the update",
            known.tried.len()
        ),
        [Advice::Do(
            "change update or pending so that an updated item no longer matches; the run would end after its first item".into(),
        )],
    )
}

pub(super) fn no_estimate(known: &Known<'_>) -> Vec<Warning> {
    let (facts, sample) = (known.facts, known.sample);
    if sample.whole_table || sample.items <= facts.items {
        return Vec::new();
    }
    warn(
        "no_estimate",
        format!(
            "DynamoDB's own count, {}, is older than most of the items: totals here are those of the sample, and far \
             too low",
            facts.items
        ),
        [
            Advice::Do("ask again within six hours".into()),
            Advice::DryRun,
        ],
    )
}

pub(super) fn none_in_sample(known: &Known<'_>) -> Vec<Warning> {
    if known.sample.whole_table || known.sample.pending > 0 {
        return Vec::new();
    }
    warn(
        "none_in_sample",
        format!(
            "no sampled item is pending; up to {:.0} of the table may be",
            known.forecast.pending.high
        ),
        [Advice::MorePages, Advice::Count],
    )
}
