//! What the sample and the update tried on it say.

use super::warning::{Advice, Known, Warning, warn};
use crate::survey::forecast::Tried;
use crate::survey::misfits::misfits;
use crate::survey::sample::IndexMisfits;

/// Items that no run can update until they are mended, by index and attribute.
pub(super) fn items_do_not_fit_an_index(known: &Known<'_>) -> Vec<Warning> {
    let sample = known.sample;
    let warning = |misfits: &IndexMisfits| {
        let in_table = misfits.share.times(known.forecast.items as f64);
        let of_table = match sample.whole_table {
            true => String::new(),
            false => format!(
                ", and of about {:.0} of the table ({:.0} to {:.0})",
                in_table.value, in_table.low, in_table.high
            ),
        };
        let IndexMisfits {
            index,
            attribute,
            items,
            example,
            why,
            ..
        } = misfits;
        let what = format!(
            "DynamoDB would refuse the update of {items} of {} sampled items{of_table}: they do not fit the key of index \
             {index}, such as item {example}, whose {attribute} {why}",
            sample.items
        );
        let mut advice = vec![Advice::Do(
            "mend them, or change pending so that it leaves such items out; else the run lists them as rejected".into(),
        )];
        if in_table.value > f64::from(known.settings.max_rejected) {
            advice.push(Advice::Set("max_rejected", in_table.high.ceil() as u64));
        }
        warn("items_do_not_fit_an_index", what, advice)
    };
    sample.misfits.iter().flat_map(warning).collect()
}

pub(super) fn update_refused(known: &Known<'_>) -> Vec<Warning> {
    // That an item does not fit an index is another warning.
    let fits = |tried: &&Tried| {
        let facts = known.facts;
        misfits(&facts.keys, &facts.indexes, &tried.before).is_empty()
    };
    let mut refusals = known
        .tried
        .iter()
        .filter(fits)
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
