//! What table and indexes take, and what that costs.

use super::warning::{Advice, Known, MOST_OF_CAPACITY, Warning, units, warn};
use crate::survey::facts::{Billing, IndexFacts};
use crate::survey::forecast::{IndexCost, Limit};
use crate::table::ACTIVE;

pub(super) fn no_read_budget(known: &Known<'_>) -> Vec<Warning> {
    let Billing::Provisioned { read_units, .. } = known.facts.billing else {
        return Vec::new();
    };
    let a_minute = 60.0 * read_units as f64 * MOST_OF_CAPACITY;
    if known.settings.max_rcu.is_some() || known.forecast.scan_read_units <= a_minute {
        return Vec::new();
    }
    warn(
        "no_read_budget",
        format!(
            "no read budget: scan and verification take what the {read_units} provisioned read units/s give, for more \
             than a minute"
        ),
        [Advice::AtMost("max_rcu", (read_units / 2).max(1))],
    )
}

pub(super) fn provisioned_capacity_too_low(known: &Known<'_>) -> Vec<Warning> {
    let Billing::Provisioned { write_units, .. } = known.facts.billing else {
        return Vec::new();
    };
    let forecast = known.forecast;
    let table_rate = forecast.rate_without(&Limit::TableWrites) * forecast.units_per_item;
    if table_rate <= write_units as f64 * MOST_OF_CAPACITY {
        return Vec::new();
    }
    warn(
        "provisioned_capacity_too_low",
        format!(
            "the run would ask for {table_rate:.0} write units/s of a table with {write_units} provisioned, which live \
             traffic needs, too"
        ),
        [
            Advice::AtMost(
                "max_wcu",
                units(write_units as f64 * 0.5 * forecast.amplification),
            ),
            Advice::Do(
                "raise the capacity for the time of the run (auto scaling follows minutes late)"
                    .into(),
            ),
        ],
    )
}

pub(super) fn on_demand_not_warmed(known: &Known<'_>) -> Vec<Warning> {
    let Billing::OnDemand { .. } = known.facts.billing else {
        return Vec::new();
    };
    let (table, forecast) = (&known.facts.name, known.forecast);
    let (writes, _) = known.facts.takes();
    let wanted = match known.settings.max_wcu {
        Some(budget) => f64::from(budget) / forecast.amplification,
        // Without a budget the run goes as fast as the table allows.
        None => f64::INFINITY,
    };
    if forecast.pending.value <= writes || wanted <= writes {
        return Vec::new();
    }
    warn(
        "on_demand_not_warmed",
        format!(
            "the on-demand table takes {writes:.0} write units/s at once and more only as it splits; above \
             that live traffic is throttled, too"
        ),
        [
            Advice::Set("max_wcu", units(writes * 0.5 * forecast.amplification)),
            Advice::Do(format!(
                "warm the table: aws dynamodb update-table --table-name {table} \
                 --warm-throughput WriteUnitsPerSecond=…"
            )),
        ],
    )
}

pub(super) fn table_not_active(known: &Known<'_>) -> Vec<Warning> {
    let (name, status) = (&known.facts.name, known.facts.status.as_str());
    if [ACTIVE, ""].contains(&status) {
        return Vec::new();
    }
    warn(
        "table_not_active",
        format!("table {name} is {status}: something about it is being changed; it serves reads and writes meanwhile"),
        [Advice::Do(
            "see what: a new index or replica competes for the table's capacity until the table is ACTIVE".into(),
        )],
    )
}

pub(super) fn index_not_active(known: &Known<'_>) -> Vec<Warning> {
    let warning = |index: &IndexFacts| {
        let status = index.status.as_deref().filter(|s| *s != "ACTIVE")?;
        Some(warn(
            "index_not_active",
            format!("index {} is {status}", index.name),
            [Advice::Do(
                "wait until it is ACTIVE: its own backfill competes for the table's capacity"
                    .into(),
            )],
        ))
    };
    known
        .facts
        .indexes
        .iter()
        .filter_map(warning)
        .flatten()
        .collect()
}

pub(super) fn index_would_throttle(known: &Known<'_>) -> Vec<Warning> {
    let forecast = known.forecast;
    let warning = |(index, cost): (&IndexFacts, &IndexCost)| {
        let takes = known.facts.index_takes(index)?;
        let limit = Limit::Index(index.name.clone());
        let rate = forecast.rate_without(&limit) * cost.units_per_item;
        if rate <= takes * MOST_OF_CAPACITY {
            return None;
        }
        let at_most =
            takes * 0.5 / cost.units_per_item * (forecast.units_per_item * forecast.amplification);
        Some(warn(
            "index_would_throttle",
            format!(
                "index {} would get {rate:.0} write units/s and takes {takes:.0}: an index that throttles throttles every \
                 write to its table, live ones included",
                index.name
            ),
            [
                Advice::AtMost("max_wcu", units(at_most)),
                Advice::Do("raise the index's capacity".into()),
            ],
        ))
    };
    let indexes = known.facts.indexes.iter().zip(&forecast.indexes);
    indexes.filter_map(warning).flatten().collect()
}

pub(super) fn infrequent_access(known: &Known<'_>) -> Vec<Warning> {
    if known.facts.class != "STANDARD_INFREQUENT_ACCESS" {
        return Vec::new();
    }
    warn(
        "infrequent_access",
        "the table is of class STANDARD_INFREQUENT_ACCESS, whose writes and reads cost about a quarter more than \
         the prices built in"
            .into(),
        [Advice::Prices],
    )
}

pub(super) fn no_budget(known: &Known<'_>) -> Vec<Warning> {
    if known.settings.max_wcu.is_some() || known.forecast.pending.value < 1_000.0 {
        return Vec::new();
    }
    warn(
        "no_budget",
        "no write budget: the run takes what the table gives, and slows down only when it throttles"
            .into(),
        [Advice::Give("max_wcu"), Advice::Steer],
    )
}
