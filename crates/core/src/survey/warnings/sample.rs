//! What the sample and the update tried on it say.

use super::warning::{Advice, Known, OVERWRITTEN, REMOVED, Warning, warn};
use crate::Item;
use crate::survey::forecast::Tried;
use crate::survey::losses::{Losses, losses};
use crate::survey::misfits::misfits;
use crate::survey::sample::IndexMisfits;

/// Values that the update takes from items, by attribute: nothing else of a run cannot be mended by running it again.
pub(super) fn values_are_lost(known: &Known<'_>) -> Vec<Warning> {
    let warning = |losses: Losses| {
        let Losses {
            attribute,
            are_removed,
            items,
            holders,
            example,
            what,
        } = losses;
        let sample = known.sample;
        let in_sample = sample.holders.iter().find(|of| of.attribute == attribute);
        let (in_sample, share) = in_sample.map_or((holders, None), |of| (of.items, Some(of.share)));
        let share_lost = items as f64 / holders.max(1) as f64;
        let (about, tried) = match holders < in_sample {
            false => ("", String::new()),
            true => (
                "about ",
                format!(", by {items} of {holders} that it was tried on"),
            ),
        };
        let lost = (in_sample as f64 * share_lost).round();
        let in_table = share.map(|share| share.times(share_lost * known.forecast.items as f64));
        let of_table = match in_table {
            Some(in_table) if !sample.whole_table => format!(
                ", and in about {:.0} of the table ({:.0} to {:.0})",
                in_table.value, in_table.low, in_table.high
            ),
            _ => String::new(),
        };
        let (code, does, advice) = match are_removed {
            false => (
                OVERWRITTEN,
                "overwrites",
                match known.computing {
                    Some(_) => "if they are to stay, give mode missing".to_owned(),
                    None => format!(
                        "if they are to stay, leave such items out of pending, as by AND attribute_not_exists({attribute}), or write \
                         if_not_exists({attribute}, …)"
                    ),
                },
            ),
            true => (
                REMOVED,
                "removes",
                "see the example: the update keeps them nowhere in the item".into(),
            ),
        };
        let what = format!(
            "the update {does} values of {attribute} in {about}{lost:.0} of {} pending sampled items{tried}{of_table}, such as \
             item {example}, {what}",
            sample.pending
        );
        warn(code, what, [Advice::Do(advice)])
    };
    let facts = known.facts;
    let found = losses(&facts.keys, known.targets, known.all_tried());
    found.into_iter().flat_map(warning).collect()
}

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
        let advice = match known.targets.contains(attribute) && known.computing.is_some() {
            true => "change the template of that attribute; else the run lists them as rejected",
            false => {
                "mend them, or change pending so that it leaves such items out; else the run lists them as rejected"
            }
        };
        let mut advice = vec![Advice::Do(advice.into())];
        if in_table.value > f64::from(known.settings.max_rejected) {
            advice.push(Advice::Set("max_rejected", in_table.high.ceil() as u64));
        }
        warn("items_do_not_fit_an_index", what, advice)
    };
    sample.misfits.iter().flat_map(warning).collect()
}

pub(super) fn update_refused(known: &Known<'_>) -> Vec<Warning> {
    // That an item does not fit an index is another warning, and so is what cannot be computed.
    let fits = |tried: &&Tried| {
        let facts = known.facts;
        let fits = |item: &Item| misfits(&facts.keys, &facts.indexes, item).is_empty();
        let computed = known.computing.map(|it| it.after(&tried.before));
        let is_computed = computed.is_none_or(|after| after.is_ok_and(|after| fits(&after)));
        fits(&tried.before) && is_computed
    };
    let mut refusals = known
        .all_tried()
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
            known.all_tried().count()
        ),
        [Advice::Do(format!(
            "change {} so that it leaves such items out; else the run lists them as rejected",
            known.what_to_change
        ))],
    )
}

pub(super) fn update_does_not_extinguish(known: &Known<'_>) -> Vec<Warning> {
    let lit = known.all_tried().filter(|tried| tried.is_in_vain()).count();
    if lit == 0 {
        return Vec::new();
    }
    warn(
        "update_does_not_extinguish",
        format!(
            "{lit} of {} sampled items are still pending after the update",
            known.all_tried().count()
        ),
        [Advice::Do(format!(
            "change {} so that an updated item no longer matches; a run is refused, or ends after its first item",
            known.what_to_change
        ))],
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
