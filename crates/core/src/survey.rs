//! What is known of a table before a run: its facts, a sample of its items, what a run would do to it, and what to think of
//! first. Nothing here reads or writes; `backfill plan` brings the figures.

use serde::Serialize;

use crate::engine::worker::CHECK_WCU;
use crate::request::Settings;
use crate::table::{KeyAttribute, KeySchema, MAX_SEGMENTS};
use crate::value::{Item, Value};
use crate::view::cost::{Bill, ITEMS_PER_CHECKPOINT, Prices, Use};

/// Pages of a sample where the operator gives no number.
pub const DEFAULT_PAGES: u32 = 20;

/// Most items that a page of a sample evaluates.
pub const ITEMS_PER_PAGE: u32 = 250;

/// Quantile of the normal distribution for two-sided confidence of 95 %.
const Z: f64 = 1.96;

/// "each partition … can handle a maximum of 3,000 read units per second and 1,000 write units per second" (developer
/// guide, Best practices for designing partition keys).
const PARTITION_WRITES: f64 = 1_000.0;
const PARTITION_READS: f64 = 3_000.0;
/// Bytes of a partition at most; AWS says "roughly 10 GB".
const PARTITION_BYTES: f64 = 1e10;

/// What a new on-demand table takes at once (developer guide, Warm throughput: "4,000 write units per second and 12,000
/// read units per second").
const ON_DEMAND_WRITES: f64 = 4_000.0;
const ON_DEMAND_READS: f64 = 12_000.0;

/// Part of a provisioned capacity above which a run leaves live traffic little room.
const MOST_OF_CAPACITY: f64 = 0.8;

/// Something that was asked for and perhaps not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    Known(T),
    /// Why it is not known: no permission, or an endpoint that does not tell it.
    Unknown(String),
}

impl<T> Fact<T> {
    /// The fact, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(fact) => Some(fact),
            Fact::Unknown(_) => None,
        }
    }
}

/// How capacity is paid.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    OnDemand {
        /// The most that the operator of the table has allowed, in units per second.
        max_write_units: Option<u64>,
        max_read_units: Option<u64>,
    },
    /// Units per second.
    Provisioned { write_units: u64, read_units: u64 },
}

/// What a table or an index takes at once, in units per second, as DescribeTable says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WarmThroughput {
    pub write_units: u64,
    pub read_units: u64,
}

/// Which attributes an index holds beside the keys of table and index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    All,
    KeysOnly,
    Include(Vec<String>),
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexFacts {
    pub name: String,
    /// Local: it shares the capacity of its table.
    pub local: bool,
    /// Its key attributes, of which an item must have all, of these types, to be in it.
    pub keys: Vec<KeyAttribute>,
    pub projection: Projection,
    pub status: Option<String>,
    pub items: u64,
    pub size_bytes: u64,
    /// Write units per second, where they are provisioned.
    pub write_units: Option<u64>,
    pub warm: Option<WarmThroughput>,
}

/// A copy of the table in another region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replica {
    pub region: String,
    pub status: Option<String>,
}

/// A table as far as a run is concerned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableFacts {
    pub name: String,
    pub arn: Option<String>,
    pub status: String,
    pub keys: KeySchema,
    /// DynamoDB renews these two "approximately every six hours"; it does not say when it did last.
    pub items: u64,
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub created: Option<f64>,
    pub billing: Billing,
    pub warm: Option<WarmThroughput>,
    /// `STANDARD` or `STANDARD_INFREQUENT_ACCESS`.
    pub class: String,
    pub indexes: Vec<IndexFacts>,
    /// The view type of its stream.
    pub stream: Option<String>,
    pub stream_arn: Option<String>,
    /// Kinesis streams that get its changes.
    pub kinesis: Fact<Vec<String>>,
    /// The TTL attribute.
    pub time_to_live: Fact<Option<String>>,
    pub replicas: Vec<Replica>,
    pub point_in_time_recovery: Fact<bool>,
    pub deletion_protection: bool,
    pub tags: Fact<Vec<(String, String)>>,
}

/// An estimate and the interval in which the truth lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    fn exactly(value: f64) -> Interval {
        Interval {
            value,
            low: value,
            high: value,
        }
    }

    fn times(self, factor: f64) -> Interval {
        Interval {
            value: self.value * factor,
            low: self.low * factor,
            high: self.high * factor,
        }
    }

    /// Of a part of `n` independent draws: Wilson's score interval, which stays within 0 to 1 and says something of a part
    /// of which nothing was drawn (E. B. Wilson, Journal of the American Statistical Association 22, 1927).
    fn of_part(part: f64, n: f64) -> Interval {
        if n <= 0.0 {
            return Interval {
                value: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let z2 = Z * Z;
        let center = (part + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n)
            * (part * (1.0 - part) / n + z2 / (4.0 * n * n))
                .max(0.0)
                .sqrt();
        Interval {
            value: part,
            low: (center - half).clamp(0.0, part),
            high: (center + half).clamp(part, 1.0),
        }
    }

    /// Of the mean of a population, by a sample of it.
    fn of_mean(sample: &[f64]) -> Option<Interval> {
        let n = sample.len() as f64;
        if sample.is_empty() {
            return None;
        }
        let mean = sample.iter().sum::<f64>() / n;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let half = Z * (variance / n).sqrt();
        Some(Interval {
            value: mean,
            low: (mean - half).max(0.0),
            high: mean + half,
        })
    }
}

/// A page of a sample: the first items of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledPage {
    /// Items evaluated.
    pub scanned: u64,
    /// Bytes of each for which `P` holds.
    pub pending: Vec<u64>,
    /// Some of those, whole.
    pub examples: Vec<Item>,
    pub consumed_rcu: f64,
    /// Nothing of the segment is left.
    pub is_whole_segment: bool,
}

/// Number of segments of which to read `pages`, each one page, so that the pages lie anywhere in the table and are seldom cut
/// short by the end of their segment. Of a small table as many segments as pages: then it is read whole.
pub fn segments_to_sample(items: u64, pages: u32) -> u32 {
    let by_items = items / (2 * u64::from(ITEMS_PER_PAGE));
    by_items.clamp(pages.into(), MAX_SEGMENTS.into()) as u32
}

/// What the pages of a sample say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    pub pages: u32,
    pub items: u64,
    pub pending: u64,
    /// The sample is the table: the figures are no estimates, but for what live traffic does.
    pub whole_table: bool,
    /// Part of the items that is pending, 0 to 1.
    pub share: Interval,
    /// Mean bytes of an item, by the read units that the pages took; of small pages too high, since units are rounded up.
    pub item_bytes: f64,
    /// Mean bytes of a pending item; null where none was seen.
    pub pending_bytes: Option<Interval>,
    pub consumed_rcu: f64,
}

impl Sample {
    /// Of these pages, out of `segments` segments.
    pub fn new(pages: &[SampledPage], segments: u32) -> Sample {
        let items: u64 = pages.iter().map(|page| page.scanned).sum();
        let pending: u64 = pages.iter().map(|page| page.pending.len() as u64).sum();
        let whole_table =
            pages.len() == segments as usize && pages.iter().all(|page| page.is_whole_segment);
        let share = pending as f64 / items.max(1) as f64;
        let sizes: Vec<f64> = pages
            .iter()
            .flat_map(|page| &page.pending)
            .map(|bytes| *bytes as f64)
            .collect();
        let consumed_rcu = pages.iter().map(|page| page.consumed_rcu).sum();
        Sample {
            pages: pages.len() as u32,
            items,
            pending,
            whole_table,
            share: match whole_table {
                true => Interval::exactly(share),
                false => Interval::of_part(share, items as f64 / design_effect(pages, share)),
            },
            // An eventually consistent read unit is 8 KiB.
            item_bytes: match items {
                0 => 0.0,
                items => consumed_rcu * 8192.0 / items as f64,
            },
            pending_bytes: Interval::of_mean(&sizes).map(|mean| match whole_table {
                true => Interval::exactly(mean.value),
                false => mean,
            }),
            consumed_rcu,
        }
    }
}

impl Sample {
    /// The same with exact figures, by a strongly consistent count of all items.
    pub fn counted(self, items: u64, pending: u64, read_units: f64) -> Sample {
        Sample {
            items,
            pending,
            whole_table: true,
            share: Interval::exactly(pending as f64 / items.max(1) as f64),
            item_bytes: match items {
                0 => 0.0,
                items => read_units * 4096.0 / items as f64,
            },
            ..self
        }
    }
}

/// By how much the share varies more from page to page than independent draws would: neighbours may be of one collection,
/// written at one time (L. Kish, Survey Sampling, 1965).
fn design_effect(pages: &[SampledPage], share: f64) -> f64 {
    let items: f64 = pages.iter().map(|page| page.scanned as f64).sum();
    let binomial = share * (1.0 - share) / items;
    let n = pages.len() as f64;
    if n < 2.0 || items == 0.0 || binomial == 0.0 {
        return 1.0;
    }
    let squares: f64 = pages
        .iter()
        .map(|page| (page.pending.len() as f64 - share * page.scanned as f64).powi(2))
        .sum();
    let of_ratio = n / (n - 1.0) * squares / (items * items);
    (of_ratio / binomial).max(1.0)
}

/// Bytes of an item (developer guide, DynamoDB Item sizes and formats).
pub fn item_bytes(item: &Item) -> u64 {
    item.iter()
        .map(|(name, value)| name.len() as u64 + value_bytes(value))
        .sum()
}

fn value_bytes(value: &Value) -> u64 {
    // "approximately … 1 byte per two significant digits … + 1 byte", and one for a sign.
    let number = |digits: &str| {
        let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
        let significant: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let significant = significant.trim_matches('0').len().max(1) as u64;
        significant.div_ceil(2) + 1 + u64::from(digits.starts_with('-'))
    };
    match value {
        Value::S(text) => text.len() as u64,
        Value::N(digits) => number(digits),
        Value::B(bytes) => bytes.0.len() as u64,
        Value::Bool(_) | Value::Null(_) => 1,
        // "3 bytes of overhead, regardless of its contents … each List or Map element also requires 1 byte".
        Value::L(list) => 3 + list.iter().map(|value| 1 + value_bytes(value)).sum::<u64>(),
        Value::M(map) => 3 + item_bytes(map) + map.len() as u64,
        Value::Ss(set) => set.iter().map(|text| text.len() as u64).sum(),
        Value::Ns(set) => set.iter().map(|digits| number(digits)).sum(),
        Value::Bs(set) => set.iter().map(|bytes| bytes.0.len() as u64).sum(),
    }
}

/// Write units of so many bytes.
fn write_units(bytes: u64) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// Write units of the table for an update: of the larger of what was there and what is.
pub fn update_units(before: &Item, after: &Item) -> f64 {
    write_units(item_bytes(before).max(item_bytes(after)))
}

/// Write units of an index for an update of an item (developer guide, Write operations for global secondary indexes): none
/// where its entry stays as it is, two where its key changes, else one write.
pub fn index_units(keys: &KeySchema, index: &IndexFacts, before: &Item, after: &Item) -> f64 {
    let entry = |item: &Item| -> Option<Item> {
        let is_entry = index.keys.iter().all(|key| item.contains_key(&key.name));
        let is_held = |name: &str| {
            keys.names().any(|key| key == name)
                || index.keys.iter().any(|key| key.name == name)
                || match &index.projection {
                    Projection::All => true,
                    Projection::KeysOnly => false,
                    Projection::Include(names) => names.iter().any(|other| other == name),
                }
        };
        is_entry.then(|| {
            let held = item.iter().filter(|(name, _)| is_held(name));
            held.map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        })
    };
    match (entry(before), entry(after)) {
        (None, None) => 0.0,
        (Some(entry), None) | (None, Some(entry)) => write_units(item_bytes(&entry)),
        (Some(old), Some(new)) if old == new => 0.0,
        (Some(old), Some(new)) => {
            let same = |key: &KeyAttribute| old.get(&key.name) == new.get(&key.name);
            let same_key = index.keys.iter().all(same);
            match same_key {
                true => write_units(item_bytes(&old).max(item_bytes(&new))),
                false => write_units(item_bytes(&old)) + write_units(item_bytes(&new)),
            }
        }
    }
}

/// What the update did to one item of the sample, elsewhere than in the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    pub before: Item,
    /// The item afterwards, or why the update was refused.
    pub after: Result<Item, String>,
    /// `P` holds for it no longer.
    pub is_extinguished: bool,
}

/// What one index adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexCost {
    pub name: String,
    /// Mean write units of the index for each migrated item.
    pub units_per_item: f64,
    pub write_units: f64,
}

/// What can bound the rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    TableWrites,
    TableReads,
    Partitions,
    WriteBudget,
    ReadBudget,
    /// An index, by its name.
    Index(String),
}

/// What the rate cannot exceed, and how long the sweep takes at least for that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bound {
    #[serde(skip)]
    pub limit: Limit,
    pub by: String,
    pub seconds: f64,
}

/// What a run would do, by the sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Items of the table: those counted, or DynamoDB's estimate.
    pub items: u64,
    pub pending: Interval,
    /// Mean bytes of an item: by DynamoDB's estimate, or by the sample where there is none.
    pub item_bytes: f64,
    /// Mean write units of the table itself for each migrated item.
    pub units_per_item: f64,
    /// Every index of the table, with 0 where the update does not touch it.
    pub indexes: Vec<IndexCost>,
    /// Of table and indexes.
    pub write_units: Interval,
    /// Of table and indexes by those of the table alone.
    pub amplification: f64,
    pub scan_read_units: f64,
    pub verification_read_units: f64,
    /// Partitions that the table has at least.
    pub partitions: u64,
    /// Longest first.
    pub bounds: Vec<Bound>,
    /// At least; scanning and writing go on at the same time.
    pub sweep_seconds: f64,
    pub verification_seconds: f64,
    /// Records that the stream, and each Kinesis stream, gets.
    pub stream_records: Option<Interval>,
    /// In AWS, with every replica.
    pub cost_usd: Bill,
}

impl Forecast {
    /// At the settings and prices given.
    pub fn new(
        facts: &TableFacts,
        sample: &Sample,
        tried: &[Tried],
        settings: &Settings,
        prices: &Prices,
    ) -> Forecast {
        let items = match sample.whole_table {
            true => sample.items,
            // The estimate of a table that was made today may be 0.
            false => facts.items.max(sample.items),
        };
        let pending = sample.share.times(items as f64);
        let pairs: Vec<(&Item, &Item)> = tried
            .iter()
            .filter_map(|tried| Some((&tried.before, tried.after.as_ref().ok()?)))
            .collect();
        let mean = |units: &dyn Fn(&Item, &Item) -> f64, otherwise: f64| match pairs.len() {
            0 => otherwise,
            n => pairs.iter().map(|(b, a)| units(b, a)).sum::<f64>() / n as f64,
        };
        let item_bytes = match facts.items {
            0 => sample.item_bytes,
            items => facts.size_bytes as f64 / items as f64,
        };
        let by_size = write_units(item_bytes as u64);
        let units_per_item = mean(&update_units, by_size);
        let indexes: Vec<IndexCost> = facts
            .indexes
            .iter()
            .map(|index| {
                let units = mean(&|b, a| index_units(&facts.keys, index, b, a), 0.0);
                IndexCost {
                    name: index.name.clone(),
                    units_per_item: units,
                    write_units: units * pending.value,
                }
            })
            .collect();
        let of_indexes: f64 = indexes.iter().map(|index| index.units_per_item).sum();
        let table_bytes = item_bytes * items as f64;
        let at_once = f64::from(settings.total_segments.min(settings.max_concurrency));
        let mut forecast = Forecast {
            items,
            pending,
            item_bytes,
            units_per_item,
            write_units: pending.times(units_per_item + of_indexes),
            amplification: (units_per_item + of_indexes) / units_per_item,
            indexes,
            scan_read_units: table_bytes / 8192.0,
            verification_read_units: table_bytes / 4096.0,
            partitions: 0,
            bounds: Vec::new(),
            sweep_seconds: 0.0,
            verification_seconds: 0.0,
            stream_records: facts.stream.as_ref().map(|_| pending),
            cost_usd: Bill::default(),
        };
        forecast.set_bounds(facts, settings, table_bytes, at_once);
        let copies = 1.0 + facts.replicas.len() as f64;
        let used = Use {
            items: pending.value,
            checkpoints: items as f64 / ITEMS_PER_CHECKPOINT,
            // A replicated write unit costs what any other does, in each region (DynamoDB pricing since November 2024).
            write_units: forecast.write_units.value * copies
                + CHECK_WCU * f64::from(settings.total_segments),
            scan_read_units: forecast.scan_read_units,
            verification_read_units: forecast.verification_read_units,
            worker_seconds: forecast.sweep_seconds * at_once,
            verifier_seconds: forecast.verification_seconds,
            passes: 1.0,
            segments: settings.total_segments.into(),
            chunks: f64::from(settings.total_segments)
                + (forecast.sweep_seconds * at_once / settings.time_box_seconds.max(1) as f64),
            in_aws: true,
        };
        forecast.cost_usd = used.bill(prices);
        forecast
    }

    fn set_bounds(
        &mut self,
        facts: &TableFacts,
        settings: &Settings,
        table_bytes: f64,
        at_once: f64,
    ) {
        let (writes, reads) = takes(facts);
        let partitions = (table_bytes / PARTITION_BYTES)
            .max(writes / PARTITION_WRITES)
            .ceil()
            .max(1.0);
        self.partitions = partitions as u64;
        let table_units = self.pending.value * self.units_per_item;
        let local: f64 = facts
            .indexes
            .iter()
            .zip(&self.indexes)
            .filter(|(index, _)| index.local)
            .map(|(_, cost)| cost.write_units)
            .sum();
        let (write_name, read_name) = match facts.billing {
            Billing::Provisioned { .. } => (
                "the table's provisioned write capacity",
                "the table's provisioned read capacity",
            ),
            Billing::OnDemand { .. } => (
                "what the table takes at once (its warm write throughput)",
                "what the table takes at once (its warm read throughput)",
            ),
        };
        let read_units = self.scan_read_units;
        let mut bounds = vec![
            (
                Limit::TableWrites,
                write_name.to_owned(),
                (table_units + local) / writes,
            ),
            (Limit::TableReads, read_name.to_owned(), read_units / reads),
            (
                Limit::Partitions,
                "1,000 write units/s for each partition at work".to_owned(),
                (table_units + local) / (PARTITION_WRITES * partitions.min(at_once)),
            ),
        ];
        if let Some(budget) = settings.max_wcu {
            let name = format!("the budget of {budget} write units/s");
            let seconds = self.write_units.value / f64::from(budget);
            bounds.push((Limit::WriteBudget, name, seconds));
        }
        if let Some(budget) = settings.max_rcu {
            let name = format!("the budget of {budget} read units/s");
            bounds.push((Limit::ReadBudget, name, read_units / f64::from(budget)));
        }
        for (index, cost) in facts.indexes.iter().zip(&self.indexes) {
            if let Some(units) = index_takes(facts, index) {
                let name = format!("what index {} takes", index.name);
                let limit = Limit::Index(index.name.clone());
                bounds.push((limit, name, cost.write_units / units));
            }
        }
        let mut bounds: Vec<Bound> = bounds
            .into_iter()
            .map(|(limit, by, seconds)| Bound { limit, by, seconds })
            .collect();
        bounds.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        self.sweep_seconds = bounds[0].seconds;
        self.bounds = bounds;
        let reads = reads
            .min(PARTITION_READS * partitions)
            .min(settings.max_rcu.map_or(f64::MAX, f64::from));
        self.verification_seconds = self.verification_read_units / reads;
    }

    /// Items per second that would be migrated were it not for this limit.
    fn rate_without(&self, limit: &Limit) -> f64 {
        let others = self.bounds.iter().filter(|bound| bound.limit != *limit);
        let seconds = others.map(|bound| bound.seconds).fold(0.0, f64::max);
        self.pending.value / seconds.max(1.0)
    }
}

/// Read units per second that a sample may take: the operator's budget, and no more than a tenth of what the table takes.
pub fn sampling_rate(facts: &TableFacts, settings: &Settings) -> u32 {
    let (_, reads) = takes(facts);
    let tenth = (reads / 10.0).clamp(1.0, f64::from(u32::MAX)) as u32;
    settings.max_rcu.map_or(tenth, |budget| budget.min(tenth))
}

/// Write and read units per second that a table takes.
fn takes(facts: &TableFacts) -> (f64, f64) {
    match facts.billing {
        Billing::Provisioned {
            write_units,
            read_units,
        } => (write_units.max(1) as f64, read_units.max(1) as f64),
        Billing::OnDemand {
            max_write_units,
            max_read_units,
        } => {
            let limit = |units: Option<u64>| units.map_or(f64::MAX, |units| units.max(1) as f64);
            let warm = |units: Option<u64>, otherwise| {
                units.map_or(otherwise, |units| (units as f64).max(1.0))
            };
            let warm_writes = warm(facts.warm.map(|warm| warm.write_units), ON_DEMAND_WRITES);
            let warm_reads = warm(facts.warm.map(|warm| warm.read_units), ON_DEMAND_READS);
            (
                warm_writes.min(limit(max_write_units)),
                warm_reads.min(limit(max_read_units)),
            )
        }
    }
}

/// Write units per second that an index takes, where it has a capacity of its own that is known.
fn index_takes(facts: &TableFacts, index: &IndexFacts) -> Option<f64> {
    if index.local {
        return None;
    }
    let units = match facts.billing {
        Billing::Provisioned { .. } => index.write_units,
        Billing::OnDemand { .. } => index.warm.map(|warm| warm.write_units),
    };
    units.filter(|units| *units > 0).map(|units| units as f64)
}

/// Something to think of before the run, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// For programs; does not change.
    pub code: &'static str,
    pub what: String,
    pub advice: String,
}

/// Looks for what could go wrong.
pub fn warnings(
    facts: &TableFacts,
    sample: &Sample,
    tried: &[Tried],
    forecast: &Forecast,
    settings: &Settings,
    update_targets: &[String],
) -> Vec<Warning> {
    let table = &facts.name;
    let mut warnings = Vec::new();
    let mut warn = |code, what: String, advice: String| {
        warnings.push(Warning { code, what, advice });
    };

    if let Some(refused) = tried.iter().find_map(|tried| tried.after.as_ref().err()) {
        let count = tried.iter().filter(|tried| tried.after.is_err()).count();
        warn(
            "update_refused",
            format!(
                "the embedded database refuses the update for {count} of {} sampled items: {refused}",
                tried.len()
            ),
            "change update, or pending so that it leaves such items out; else the run lists them as rejected".into(),
        );
    }
    let lit = tried
        .iter()
        .filter(|tried| tried.after.is_ok() && !tried.is_extinguished)
        .count();
    if lit > 0 {
        warn(
            "update_does_not_extinguish",
            format!("{lit} of {} sampled items are still pending after the update", tried.len()),
            "change update or pending so that an updated item no longer matches; the run would end after its first item".into(),
        );
    }
    if facts.point_in_time_recovery.known() == Some(&false) {
        warn(
            "no_point_in_time_recovery",
            format!(
                "table {table} has no point-in-time recovery: what goes wrong cannot be taken back"
            ),
            format!(
                "aws dynamodb update-continuous-backups --table-name {table} --point-in-time-recovery-specification \
                 PointInTimeRecoveryEnabled=true"
            ),
        );
    }
    match facts.billing {
        Billing::Provisioned {
            write_units,
            read_units,
        } => {
            if settings.max_rcu.is_none()
                && forecast.scan_read_units > 60.0 * read_units as f64 * MOST_OF_CAPACITY
            {
                warn(
                    "no_read_budget",
                    format!(
                        "no --max-rcu: scan and verification take what the {read_units} provisioned read units/s give, for more \
                         than a minute"
                    ),
                    format!("give --max-rcu {} or less", (read_units / 2).max(1)),
                );
            }
            let most = write_units as f64 * MOST_OF_CAPACITY;
            let table_rate = forecast.rate_without(&Limit::TableWrites) * forecast.units_per_item;
            if table_rate > most {
                warn(
                    "provisioned_capacity_too_low",
                    format!(
                        "the run would ask for {table_rate:.0} write units/s of a table with {write_units} provisioned, which live \
                         traffic needs, too"
                    ),
                    format!(
                        "give --max-wcu {:.0} or less, or raise the capacity for the time of the run (auto scaling follows \
                         minutes late)",
                        (write_units as f64 * 0.5 * forecast.amplification)
                            .floor()
                            .max(1.0)
                    ),
                );
            }
        }
        Billing::OnDemand { .. } => {
            let (writes, _) = takes(facts);
            let wanted = match settings.max_wcu {
                Some(budget) => f64::from(budget) / forecast.amplification,
                // Without a budget the run goes as fast as the table allows.
                None => f64::INFINITY,
            };
            if forecast.pending.value > writes && wanted > writes {
                warn(
                    "on_demand_not_warmed",
                    format!(
                        "the on-demand table takes {writes:.0} write units/s at once and more only as it splits; above \
                         that live traffic is throttled, too"
                    ),
                    format!(
                        "give --max-wcu {:.0}, or warm the table: aws dynamodb update-table --table-name {table} \
                         --warm-throughput WriteUnitsPerSecond=…",
                        (writes * 0.5 * forecast.amplification).floor().max(1.0)
                    ),
                );
            }
        }
    }
    for (index, cost) in facts.indexes.iter().zip(&forecast.indexes) {
        if index
            .status
            .as_deref()
            .is_some_and(|status| status != "ACTIVE")
        {
            warn(
                "index_not_active",
                format!(
                    "index {} is {}",
                    index.name,
                    index.status.as_deref().unwrap_or("")
                ),
                "wait until it is ACTIVE: its own backfill competes for the table's capacity"
                    .into(),
            );
        }
        let Some(takes) = index_takes(facts, index) else {
            continue;
        };
        let limit = Limit::Index(index.name.clone());
        let rate = forecast.rate_without(&limit) * cost.units_per_item;
        if rate > takes * MOST_OF_CAPACITY {
            let at_most = takes * 0.5 / cost.units_per_item
                * (forecast.units_per_item * forecast.amplification);
            warn(
                "index_would_throttle",
                format!(
                    "index {} would get {rate:.0} write units/s and takes {takes:.0}: an index that throttles throttles every \
                     write to its table, live ones included",
                    index.name
                ),
                format!(
                    "give --max-wcu {:.0} or less, or raise the index's capacity",
                    at_most.floor().max(1.0)
                ),
            );
        }
    }
    if !facts.replicas.is_empty() {
        let regions: Vec<&str> = facts.replicas.iter().map(|r| r.region.as_str()).collect();
        warn(
            "replicas",
            format!(
                "each write goes to {} as well, and is paid there: {:.0} write units in all",
                regions.join(", "),
                forecast.write_units.value * (1.0 + regions.len() as f64)
            ),
            "run it in one region only; see that the replicas' capacity is as large".into(),
        );
    }
    if let Some(view) = &facts.stream {
        let listeners = match &facts.stream_arn {
            Some(arn) => format!("aws lambda list-event-source-mappings --event-source-arn {arn}"),
            None => "look for functions with this table's stream as their source".into(),
        };
        warn(
            "stream",
            format!(
                "its stream ({view}) gets a record for each migrated item, about {:.0}: consumers act on each",
                forecast.pending.value
            ),
            format!("see who listens, and that it can bear it: {listeners}"),
        );
    }
    if let Some(streams) = facts.kinesis.known().filter(|streams| !streams.is_empty()) {
        warn(
            "kinesis",
            format!(
                "{} gets a record for each migrated item, too",
                streams.join(", ")
            ),
            "see that its shards and consumers can bear the rate".into(),
        );
    }
    if let Some(attribute) = facts.time_to_live.known().and_then(Option::as_ref)
        && update_targets.contains(attribute)
    {
        warn(
            "writes_time_to_live",
            format!("the update writes {attribute}, by which DynamoDB deletes expired items"),
            "see the example: a time in the past, in seconds since 1970, deletes the item within days".into(),
        );
    }
    if facts.class == "STANDARD_INFREQUENT_ACCESS" {
        warn(
            "infrequent_access",
            "the table is of class STANDARD_INFREQUENT_ACCESS, whose writes and reads cost about a quarter more than \
             the prices built in"
                .into(),
            "give the true prices with --price-file".into(),
        );
    }
    if !facts.deletion_protection {
        warn(
            "no_deletion_protection",
            format!("table {table} has no deletion protection"),
            format!("aws dynamodb update-table --table-name {table} --deletion-protection-enabled"),
        );
    }
    if settings.max_wcu.is_none() && forecast.pending.value >= 1_000.0 {
        warn(
            "no_budget",
            "no --max-wcu: the run takes what the table gives, and slows down only when it throttles".into(),
            "give --max-wcu to leave live traffic its room; backfill rate changes it while the run goes on".into(),
        );
    }
    if sample.items > facts.items && !sample.whole_table {
        warn(
            "no_estimate",
            format!(
                "DynamoDB's own count, {}, is older than most of the items: totals here are those of the sample, and far \
                 too low",
                facts.items
            ),
            "ask again within six hours, or count with: backfill run --dry-run".into(),
        );
    }
    if sample.pending == 0 && !sample.whole_table {
        warn(
            "none_in_sample",
            format!(
                "no sampled item is pending; up to {:.0} of the table may be",
                forecast.pending.high
            ),
            "raise --pages, or count with: backfill verify".into(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::request::RequestedSettings;
    use crate::table::{KeyAttribute, KeyType};

    fn item(json: &str) -> Item {
        match Value::from_plain_json(json).unwrap() {
            Value::M(item) => item,
            _ => panic!("{json}"),
        }
    }

    fn keys() -> KeySchema {
        KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        }
    }

    fn index(keys: &[&str], projection: Projection) -> IndexFacts {
        IndexFacts {
            name: "by".into(),
            local: false,
            keys: keys
                .iter()
                .map(|&key| KeyAttribute::new(key, KeyType::S))
                .collect(),
            projection,
            status: Some("ACTIVE".into()),
            items: 0,
            size_bytes: 0,
            write_units: None,
            warm: None,
        }
    }

    /// Five million items of 300 bytes, on demand, with all that is to be wished.
    fn table() -> TableFacts {
        TableFacts {
            name: "stuff".into(),
            arn: None,
            status: "ACTIVE".into(),
            keys: keys(),
            items: 5_000_000,
            size_bytes: 1_500_000_000,
            created: None,
            billing: Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            warm: Some(WarmThroughput {
                write_units: 10_000,
                read_units: 30_000,
            }),
            class: "STANDARD".into(),
            indexes: Vec::new(),
            stream: None,
            stream_arn: None,
            kinesis: Fact::Known(Vec::new()),
            time_to_live: Fact::Known(None),
            replicas: Vec::new(),
            point_in_time_recovery: Fact::Known(true),
            deletion_protection: true,
            tags: Fact::Known(Vec::new()),
        }
    }

    fn page(scanned: u64, pending: u64) -> SampledPage {
        SampledPage {
            scanned,
            pending: vec![5; pending as usize],
            examples: Vec::new(),
            consumed_rcu: 10.0,
            is_whole_segment: false,
        }
    }

    fn tried() -> Vec<Tried> {
        vec![Tried {
            before: item(r#"{"id":"a"}"#),
            after: Ok(item(r#"{"id":"a","test":1}"#)),
            is_extinguished: true,
        }]
    }

    fn settings(max_wcu: Option<u32>) -> Settings {
        let requested = RequestedSettings {
            max_wcu,
            ..RequestedSettings::default()
        };
        requested.choose(1_500_000_000)
    }

    fn codes(
        facts: &TableFacts,
        tried: &[Tried],
        settings: &Settings,
        targets: &[&str],
    ) -> Vec<&'static str> {
        let sample = Sample::new(&[page(250, 200), page(250, 200)], 10_000);
        let forecast = Forecast::new(facts, &sample, tried, settings, &Prices::default());
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        warnings(facts, &sample, tried, &forecast, settings, &targets)
            .into_iter()
            .map(|warning| warning.code)
            .collect()
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(1);
        for (truth, alike) in [(0.5, false), (0.02, false), (0.9, true)] {
            let mut held = 0;
            const ROUNDS: u32 = 1_000;
            for _ in 0..ROUNDS {
                let pages: Vec<SampledPage> = (0..20)
                    .map(|_| {
                        // Alike: the items of a page come ten by ten, as of one collection.
                        let draws = if alike { 10 } else { 100 };
                        let hits = (0..draws).filter(|_| random.f64() < truth).count() as u64;
                        page(100, hits * 100 / draws)
                    })
                    .collect();
                let share = Sample::new(&pages, 10_000).share;
                held += u32::from(share.low <= truth && truth <= share.high);
            }
            assert!(held >= 910, "{truth} {alike}: {held} of {ROUNDS}");
            assert!(held < 995, "{truth} {alike}: {held}, wider than it need be");
        }
    }

    #[test]
    fn a_sample_of_nothing_pending_does_not_say_that_nothing_is() {
        let sample = Sample::new(&[page(250, 0), page(250, 0)], 10_000);
        assert_eq!((sample.share.value, sample.share.low), (0.0, 0.0));
        assert!(sample.share.high > 0.005, "{:?}", sample.share);
        let whole = SampledPage {
            is_whole_segment: true,
            ..page(100, 7)
        };
        let sample = Sample::new(&[whole.clone(), whole], 2);
        assert!(sample.whole_table);
        assert_eq!(sample.share, Interval::exactly(0.07));
        assert_eq!(segments_to_sample(0, 20), 20);
        assert_eq!(segments_to_sample(5_000_000, 20), 10_000);
    }

    #[test]
    fn sizes_are_those_of_the_developer_guide() {
        for (json, bytes) in [
            (r#"{"abc":"äb"}"#, 3 + 3),
            (r#"{"n":1}"#, 1 + 2),
            (r#"{"n":-12345}"#, 1 + 5),
            (r#"{"n":1000}"#, 1 + 2),
            (r#"{"b":true,"z":null}"#, 2 + 2),
            (r#"{"l":[1,"a"]}"#, 1 + 3 + 3 + 2),
            (r#"{"m":{"k":"v"}}"#, 1 + 3 + 1 + 2),
        ] {
            assert_eq!(item_bytes(&item(json)), bytes, "{json}");
        }
    }

    #[test]
    fn an_index_costs_what_the_update_does_to_its_entry() {
        let (plain, set) = (item(r#"{"id":"a"}"#), item(r#"{"id":"a","test":1}"#));
        let other = item(r#"{"id":"a","test":2}"#);
        let units = |index: &IndexFacts, before, after| index_units(&keys(), index, before, after);
        let of_key = index(&["test"], Projection::KeysOnly);
        assert_eq!(units(&of_key, &plain, &set), 1.0, "an entry appears");
        assert_eq!(units(&of_key, &set, &other), 2.0, "its key changes");
        assert_eq!(units(&of_key, &set, &plain), 1.0, "it goes");
        assert_eq!(units(&of_key, &set, &set), 0.0);
        let of_another = |projection| index(&["id"], projection);
        assert_eq!(units(&of_another(Projection::All), &plain, &set), 1.0);
        assert_eq!(units(&of_another(Projection::KeysOnly), &plain, &set), 0.0);
        let included = Projection::Include(vec!["test".into()]);
        assert_eq!(units(&of_another(included), &plain, &set), 1.0);
        let missing = index(&["nowhere"], Projection::All);
        assert_eq!(units(&missing, &plain, &set), 0.0, "not in a sparse index");
    }

    #[test]
    fn the_longest_of_all_bounds_is_the_duration() {
        let sample = Sample::new(&[page(250, 200), page(250, 200)], 10_000);
        let forecast = |facts: &TableFacts, max_wcu| {
            Forecast::new(
                facts,
                &sample,
                &tried(),
                &settings(max_wcu),
                &Prices::default(),
            )
        };
        let mut facts = table();
        let free = forecast(&facts, None);
        assert_eq!(
            (free.pending.value, free.units_per_item),
            (4_000_000.0, 1.0)
        );
        // 8 segments at once, 10 partitions by the warm throughput.
        assert!(free.bounds[0].by.contains("partition"), "{:?}", free.bounds);
        assert_eq!(free.sweep_seconds, 500.0);
        let budget = forecast(&facts, Some(1_000));
        assert_eq!(budget.sweep_seconds, 4_000.0);
        assert!(budget.bounds[0].by.contains("budget"));
        facts.indexes = vec![IndexFacts {
            warm: Some(WarmThroughput {
                write_units: 100,
                read_units: 100,
            }),
            ..index(&["id"], Projection::All)
        }];
        let narrow = forecast(&facts, Some(1_000));
        assert_eq!(narrow.amplification, 2.0);
        assert!(narrow.bounds[0].by.contains("index"));
        assert_eq!(narrow.sweep_seconds, 40_000.0);
        facts.replicas = vec![Replica {
            region: "eu-west-1".into(),
            status: None,
        }];
        let twice = forecast(&facts, Some(1_000)).cost_usd.writes;
        // All but the looks at what was migrated first, which are not replicated.
        assert!((twice / narrow.cost_usd.writes - 2.0).abs() < 1e-4);
    }

    #[test]
    fn each_warning_has_its_cause() {
        let budget = settings(Some(1_000));
        assert!(codes(&table(), &tried(), &budget, &["test"]).is_empty());
        assert_eq!(
            codes(&table(), &tried(), &settings(None), &[]),
            ["on_demand_not_warmed", "no_budget"]
        );
        type Change = fn(&mut TableFacts);
        let changes: [(&str, Change); 10] = [
            ("no_read_budget", |t| {
                t.billing = Billing::Provisioned {
                    write_units: 100_000,
                    read_units: 100,
                };
            }),
            ("no_point_in_time_recovery", |t| {
                t.point_in_time_recovery = Fact::Known(false)
            }),
            ("no_deletion_protection", |t| t.deletion_protection = false),
            ("provisioned_capacity_too_low", |t| {
                t.billing = Billing::Provisioned {
                    write_units: 1_000,
                    read_units: 100_000,
                };
            }),
            ("index_would_throttle", |t| {
                t.indexes = vec![IndexFacts {
                    warm: Some(WarmThroughput {
                        write_units: 100,
                        read_units: 100,
                    }),
                    ..index(&["id"], Projection::All)
                }];
            }),
            ("replicas", |t| {
                t.replicas = vec![Replica {
                    region: "eu-west-1".into(),
                    status: None,
                }];
            }),
            ("stream", |t| t.stream = Some("KEYS_ONLY".into())),
            ("kinesis", |t| {
                t.kinesis = Fact::Known(vec!["a-stream".into()])
            }),
            ("writes_time_to_live", |t| {
                t.time_to_live = Fact::Known(Some("test".into()))
            }),
            ("infrequent_access", |t| {
                t.class = "STANDARD_INFREQUENT_ACCESS".into()
            }),
        ];
        for (code, change) in changes {
            let mut facts = table();
            change(&mut facts);
            assert_eq!(codes(&facts, &tried(), &budget, &["test"]), [code]);
        }
        let mut refused = tried();
        refused[0].after = Err("a text is no number".into());
        assert_eq!(codes(&table(), &refused, &budget, &[]), ["update_refused"]);
        let mut lit = tried();
        lit[0].is_extinguished = false;
        assert_eq!(
            codes(&table(), &lit, &budget, &[]),
            ["update_does_not_extinguish"]
        );
    }
}
