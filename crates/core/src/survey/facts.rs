//! A table as far as a run is concerned, as DescribeTable and its like tell it.

use serde::Serialize;

use crate::table::{KeyAttribute, KeySchema};

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

/// What a new on-demand table takes at once (developer guide, Warm throughput: "4,000 write units per second and 12,000
/// read units per second").
const ON_DEMAND_WRITES: f64 = 4_000.0;

const ON_DEMAND_READS: f64 = 12_000.0;

impl TableFacts {
    /// Write and read units per second that a table takes.
    pub(super) fn takes(&self) -> (f64, f64) {
        match self.billing {
            Billing::Provisioned {
                write_units,
                read_units,
            } => (write_units.max(1) as f64, read_units.max(1) as f64),
            Billing::OnDemand {
                max_write_units,
                max_read_units,
            } => {
                let limit =
                    |units: Option<u64>| units.map_or(f64::MAX, |units| units.max(1) as f64);
                let warm = |units: Option<u64>, otherwise| {
                    units.map_or(otherwise, |units| (units as f64).max(1.0))
                };
                let warm_writes = warm(self.warm.map(|warm| warm.write_units), ON_DEMAND_WRITES);
                let warm_reads = warm(self.warm.map(|warm| warm.read_units), ON_DEMAND_READS);
                (
                    warm_writes.min(limit(max_write_units)),
                    warm_reads.min(limit(max_read_units)),
                )
            }
        }
    }

    /// Write units per second that an index takes, where it has a capacity of its own that is known.
    pub(super) fn index_takes(&self, index: &IndexFacts) -> Option<f64> {
        if index.local {
            return None;
        }
        let units = match self.billing {
            Billing::Provisioned { .. } => index.write_units,
            Billing::OnDemand { .. } => index.warm.map(|warm| warm.write_units),
        };
        units.filter(|units| *units > 0).map(|units| units as f64)
    }
}
