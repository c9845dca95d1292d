//! What the sample says of values that are computed.

use super::warning::{Advice, Known, Warning, warn};
use crate::change::compute::Mode;
use crate::change::expression::shown_name;
use crate::survey::computed::{ComputedSample, Failures, IndexAfter, KeyValues, Part};

/// Most reasons that are told of values that cannot be computed.
const MOST_REASONS: usize = 3;

/// The part of an index's entries under one partition key above which a run and live traffic would go by that key's partition.
const HOT: f64 = 1.0 / 3.0;

/// Least entries in a sample of which such a part says anything.
const LEAST_ENTRIES: u64 = 30;

/// Most attributes of a partition key of a global index, and most of its sort key (developer guide, Multi-attribute keys pattern: "up
/// to four attributes each").
const MOST_KEY_ATTRIBUTES: usize = 4;

fn sampled<'a>(known: &Known<'a>) -> Option<&'a ComputedSample> {
    known.sample.computed.as_ref()
}

/// How many of the table these items of the sample stand for; nothing if the sample is the table.
fn of_table(known: &Known<'_>, part: &Part) -> String {
    let in_table = part.share.times(known.forecast.items as f64);
    match known.sample.whole_table {
        true => String::new(),
        false => format!(
            ", and in about {:.0} of the table ({:.0} to {:.0})",
            in_table.value, in_table.low, in_table.high
        ),
    }
}

/// Items that are pending and get no value.
pub(super) fn cannot_be_computed(known: &Known<'_>) -> Vec<Warning> {
    let Some(computed) = sampled(known).filter(|it| it.failed.items > 0) else {
        return Vec::new();
    };
    let told = computed.failures.iter().take(MOST_REASONS);
    let mut reasons: Vec<String> = told.map(reason).collect();
    if computed.failures.len() > MOST_REASONS {
        let others = computed.failures.len() - MOST_REASONS;
        reasons.push(format!("and for {others} other reasons"));
    }
    let what = format!(
        "nothing can be computed for {} of {} pending sampled items{}: {}",
        computed.failed.items,
        known.sample.pending,
        of_table(known, &computed.failed),
        reasons.join("; ")
    );
    let mut advice = vec![Advice::Do(
        "give the templates a way for such values, such as a literal at the end of coalesce, or mend these items; else the run \
         lists them as rejected"
            .into(),
    )];
    let in_table = computed.failed.share.times(known.forecast.items as f64);
    if in_table.value > f64::from(known.settings.max_rejected) {
        advice.push(Advice::Set("max_rejected", in_table.high.ceil() as u64));
    }
    warn("cannot_be_computed", what, advice)
}

/// What fails, why, how often, and for which item.
fn reason(failures: &Failures) -> String {
    let Failures {
        attribute,
        function,
        reason,
        of,
        example,
    } = failures;
    let function = function.as_ref();
    let function = function.map_or_else(String::new, |function| format!("{function}: "));
    let attribute = attribute.as_ref();
    let attribute = attribute.map_or_else(String::new, |name| format!("{} by ", shown_name(name)));
    format!(
        "{attribute}{function}{reason} ({}, such as item {example})",
        match of.items {
            1 => "1 item".to_owned(),
            items => format!("{items} items"),
        },
    )
}

/// Items that are left out for want of a source. If an operator's predicate says what is pending, nothing is left out.
pub(super) fn sources_are_missing(known: &Known<'_>) -> Vec<Warning> {
    let Some(computed) = sampled(known).filter(|it| it.mode != Mode::Replace) else {
        return Vec::new();
    };
    let missing = computed.sources.iter();
    let missing = missing.filter(|source| source.required && source.missing.items > 0);
    let warning = |source: &crate::survey::SourceSample| {
        let what = format!(
            "{} is missing in {} of {} sampled items{}: such items get no value",
            source.source,
            source.missing.items,
            computed.items,
            of_table(known, &source.missing)
        );
        let advice = format!(
            "if they are to get one, say what stands in for it, as by ${{{}|default(\"…\")}}",
            source.source
        );
        warn("sources_are_missing", what, [Advice::Do(advice)])
    };
    missing.flat_map(warning).collect()
}

/// A value that so many entries of a global index have as their partition key that the index goes no faster than one partition.
pub(super) fn index_would_be_hot(known: &Known<'_>) -> Vec<Warning> {
    let indexes = sampled(known).map_or(&[][..], |computed| &computed.indexes);
    let keys = indexes
        .iter()
        .flat_map(|index| index.keys.iter().map(move |key| (index, key)));
    let is_hot = |(index, key): &(&IndexAfter, &KeyValues)| {
        let is_local = known
            .facts
            .indexes
            .iter()
            .any(|it| it.local && it.name == index.index);
        !is_local
            && key.is_partition
            && key.share.value > HOT
            && index.entries.items >= LEAST_ENTRIES
    };
    let warning = |(index, key): (&IndexAfter, &KeyValues)| {
        let interval = match known.sample.whole_table {
            true => String::new(),
            false => format!(
                " ({:.0} to {:.0} %)",
                100.0 * key.share.low,
                100.0 * key.share.high
            ),
        };
        let what = format!(
            "{:.0} %{interval} of the entries of index {} would have the partition key {} ({}): a partition takes 1,000 write and 3,000 \
             read units a second, so the index holds back the run, live writes and queries of that value, whatever capacity it has",
            100.0 * key.share.value,
            index.index,
            key.most_frequent,
            names(&key.attributes),
        );
        let advice =
            "spread the value, as by #${id|shard(10)} at its end, or give the key a further part";
        warn("index_would_be_hot", what, [Advice::Do(advice.into())])
    };
    keys.filter(is_hot).flat_map(warning).collect()
}

fn names<T: AsRef<str>>(attributes: &[T]) -> String {
    let names = attributes.iter().map(|name| shown_name(name.as_ref()));
    names.collect::<Vec<_>>().join(", ")
}

/// A key that is only put together from attributes that a global index can have as its key themselves.
pub(super) fn index_can_have_the_sources(known: &Known<'_>) -> Vec<Warning> {
    let joined = known.computing.into_iter().flat_map(|it| it.joined());
    let joined = joined.filter(|(_, sources)| sources.len() <= MOST_KEY_ATTRIBUTES);
    let warning = |(target, sources): (&str, Vec<&str>)| {
        let is_key =
            |index: &&crate::table::IndexFacts| index.keys.iter().any(|key| key.name == target);
        let of_index = known.facts.indexes.iter().find(is_key);
        let target = shown_name(target);
        let for_what = match of_index {
            // A local index has the partition key of its table and one attribute.
            Some(index) if index.local => return Vec::new(),
            Some(index) => format!("is in the key of index {}", index.name),
            None => "may be meant for the key of an index".to_owned(),
        };
        let what = format!(
            "{target} only joins {} and {for_what}: partition and sort key of a global index can have up to {MOST_KEY_ATTRIBUTES} \
             attributes each, so that an index can be made on these as they are, and nothing need be written",
            names(&sources)
        );
        let advice = format!(
            "make a global index whose key is {}, and leave {target} out; in it each attribute keeps its type, and a query gives the \
             whole partition key",
            names(&sources)
        );
        warn("index_can_have_the_sources", what, [Advice::Do(advice)])
    };
    joined.flat_map(warning).collect()
}
