//! What a plan shows of values that are computed.

use backfill_core::change::compute::Mode;
use backfill_core::survey::{ComputedSample, IndexAfter, Interval, KeyValues, Part, Plan, Sample};
use backfill_core::{Item, printable};
use indicatif::{DecimalBytes, HumanCount};

use super::entry::entry;
use crate::show::words;

/// What the sample says of sources and values.
pub fn lines(computed: &ComputedSample, sample: &Sample) -> Vec<String> {
    let mut lines = Vec::new();
    let looked = words::plural(computed.items as u32, "sampled item", "sampled items");
    let pending = match computed.mode {
        Mode::Replace => "pending ",
        Mode::Missing | Mode::Converge => "",
    };
    for source in &computed.sources {
        let name = printable(&source.source);
        lines.push(match source.missing.items {
            0 => format!("  source    {name}: in all of {pending}{looked}"),
            _ => format!(
                "  source    {name}: missing in {} of {pending}{looked}, {}",
                HumanCount(source.missing.items),
                percent(&source.missing, sample)
            ),
        });
    }
    let more = match computed.bytes_more {
        None => String::new(),
        Some(bytes) if bytes < 0.0 => format!("; an item shrinks by {:.0} bytes", -bytes),
        Some(bytes) => format!("; an item grows by {bytes:.0} bytes"),
    };
    let made = sample.pending - computed.failed.items;
    lines.push(match computed.failed.items {
        0 => format!(
            "  computed  for {} pending sampled {}{more}",
            HumanCount(made),
            if made == 1 { "item" } else { "items" }
        ),
        failed => format!(
            "  computed  for {} of {} pending sampled items{more}; for {} nothing can be computed, {} of all items",
            HumanCount(made),
            HumanCount(sample.pending),
            HumanCount(failed),
            percent(&computed.failed, sample)
        ),
    });
    if let Some(different) = computed.different.filter(|part| part.items > 0) {
        let then = match computed.mode {
            Mode::Converge => "they get that",
            Mode::Missing | Mode::Replace => "they keep it, unless mode is converge",
        };
        lines.push(format!(
            "  differ    {} of {looked} have another value than their sources give, {}: {then}",
            HumanCount(different.items),
            percent(&different, sample)
        ));
    }
    lines
}

fn percent(part: &Part, sample: &Sample) -> String {
    of_interval(&part.share, sample)
}

fn of_interval(share: &Interval, sample: &Sample) -> String {
    let Interval { value, low, high } = share.times(100.0);
    match sample.whole_table {
        true => format!("{value:.2} %"),
        false => format!("{value:.2} % ({low:.2} to {high:.2} %)"),
    }
}

/// What a value of an example is computed from. What is replaced itself is shown below.
pub fn lines_of_sources(
    computed: &ComputedSample,
    before: &Item,
    is_changed: impl Fn(&str) -> bool,
) -> Vec<String> {
    let is_left = |name: Option<&String>| name.is_none_or(|name| !is_changed(name));
    let sources = computed.sources.iter();
    let sources = sources
        .filter(|source| is_left(source.path.names().first()) || source.path.get(before).is_none());
    sources
        .map(|source| match source.path.get(before) {
            Some(value) => format!("            = {}", entry(&source.source, value)),
            None => format!("            = {} is missing", printable(&source.source)),
        })
        .collect()
}

/// What becomes of an index.
pub fn lines_of_index(after: &IndexAfter, plan: &Plan) -> Vec<String> {
    let sample = &plan.sample;
    let mut lines = Vec::new();
    if let Some(bytes) = after.entry_bytes {
        let entries = after.entries.share.value * plan.forecast.items as f64;
        let of_pending = match sample.computed.as_ref().map(|it| it.mode) {
            Some(Mode::Replace) => " of the items that are pending now",
            _ => "",
        };
        lines.push(format!(
            "            afterwards about {} entries{of_pending} of {bytes:.0} bytes, {}",
            HumanCount(entries.round() as u64),
            DecimalBytes((entries * bytes) as u64)
        ));
    }
    let of_key = |key: &KeyValues| {
        format!(
            "            its {} key {}: {} in {}, the most frequent {} in {}",
            if key.is_partition {
                "partition"
            } else {
                "sort"
            },
            key.attributes.join(", "),
            words::plural(key.distinct as u32, "value", "values"),
            words::plural(
                after.entries.items as u32,
                "sampled entry",
                "sampled entries"
            ),
            key.most_frequent,
            of_interval(&key.share, sample)
        )
    };
    lines.extend(after.keys.iter().map(of_key));
    lines
}
