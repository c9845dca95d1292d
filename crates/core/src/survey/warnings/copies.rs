//! Who gets a copy of each write.

use super::warning::{Advice, Known, Warning, warn};

pub(super) fn replicas(known: &Known<'_>) -> Vec<Warning> {
    let regions: Vec<&str> = known
        .facts
        .replicas
        .iter()
        .map(|replica| replica.region.as_str())
        .collect();
    if regions.is_empty() {
        return Vec::new();
    }
    let facts = known.facts;
    let alone = match facts.has_strong_replicas() {
        true => "run it in one region only",
        false => {
            "run it in one region only, and see that nothing writes to the table in another one until it has ended"
        }
    };
    warn(
        "replicas",
        format!(
            "each write goes to {} as well, and is paid there: {:.0} write units in all",
            regions.join(", "),
            known.forecast.write_units.value * (1.0 + regions.len() as f64)
        ),
        [Advice::Do(format!(
            "{alone}; see that the replicas' capacity is as large"
        ))],
    )
}

pub(super) fn stream(known: &Known<'_>) -> Vec<Warning> {
    let facts = known.facts;
    let Some(view) = &facts.stream else {
        return Vec::new();
    };
    let listeners = match &facts.stream_arn {
        Some(arn) => format!("aws lambda list-event-source-mappings --event-source-arn {arn}"),
        None => "look for functions with this table's stream as their source".into(),
    };
    warn(
        "stream",
        format!(
            "its stream ({view}) gets a record for each migrated item, about {:.0}: consumers act on each",
            known.forecast.pending.value
        ),
        [Advice::Do(format!(
            "see who listens, and that it can bear it: {listeners}"
        ))],
    )
}

pub(super) fn kinesis(known: &Known<'_>) -> Vec<Warning> {
    let streams = known.facts.kinesis.known();
    let Some(streams) = streams.filter(|streams| !streams.is_empty()) else {
        return Vec::new();
    };
    warn(
        "kinesis",
        format!(
            "{} gets a record for each migrated item, too",
            streams.join(", ")
        ),
        [Advice::Do(
            "see that its shards and consumers can bear the rate".into(),
        )],
    )
}
