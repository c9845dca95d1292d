//! A table as far as a run is concerned, as DescribeTable and its like tell it. What could not be found out says so and why.

use serde::Serialize;

pub use crate::table::{Billing, IndexFacts, Projection, WarmThroughput};
use crate::table::{KeySchema, ON_DEMAND_READS, ON_DEMAND_WRITES};

/// Something that was asked for and perhaps not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// It was told.
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

/// A copy of the table in another region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// Its region, such as `eu-west-1`.
    pub region: String,
    /// `ACTIVE`, `CREATING`, …; `None` if that was not told.
    pub status: Option<String>,
}

/// How many functions Lambda runs at once in an account and region, as far as the workers of a run are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Concurrency {
    /// All of them.
    pub account: u64,
    /// Those that no function has reserved: all functions without a reservation share them.
    pub unreserved: u64,
    /// Those that are reserved for the workers, who then have these and no others; `None` if none are, or if that was not told.
    pub reserved: Option<u64>,
}

/// Another run that goes on on the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRun {
    /// Its id.
    pub run_id: String,
    /// The table that holds its records.
    pub checkpoint_table: String,
    /// Update and predicate in one line.
    pub change: String,
    /// Who holds it, and what is known of whether that is alive.
    pub held_by: String,
    /// Write units per second that it may use; `None` without a limit.
    pub max_wcu: Option<u32>,
    /// Read units per second that it may use; `None` without a limit.
    pub max_rcu: Option<u32>,
}

/// A table as far as a run is concerned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableFacts {
    /// The table's name, which no other table of the account and region has.
    pub name: String,
    /// Its ARN; `None` if that was not told.
    pub arn: Option<String>,
    /// `ACTIVE`, `CREATING`, …
    pub status: String,
    /// Its primary key.
    pub keys: KeySchema,
    /// Items, by an estimate that DynamoDB renews "approximately every six hours" (API reference, TableDescription). It does
    /// not say when it did last.
    pub items: u64,
    /// Bytes, by an estimate as old as `items`.
    pub size_bytes: u64,
    /// When it was created; seconds since 1970.
    pub created: Option<f64>,
    /// How its capacity is paid.
    pub billing: Billing,
    /// What it takes at once; `None` if that was not told.
    pub warm: Option<WarmThroughput>,
    /// `STANDARD` or `STANDARD_INFREQUENT_ACCESS`.
    pub class: String,
    /// Its secondary indexes, global and local.
    pub indexes: Vec<IndexFacts>,
    /// The view type of its stream, such as `NEW_IMAGE`; `None` if it has no stream.
    pub stream: Option<String>,
    /// The ARN of its stream; `None` if it has no stream.
    pub stream_arn: Option<String>,
    /// ARNs of the Kinesis streams that get its changes.
    pub kinesis: Fact<Vec<String>>,
    /// The attribute by which DynamoDB deletes expired items; `None` if there is none.
    pub time_to_live: Fact<Option<String>>,
    /// Its copies in other regions, without its own.
    pub replicas: Vec<Replica>,
    /// How consistent they are: `EVENTUAL` or `STRONG`; `None` if it has none, or if that was not told.
    pub multi_region_consistency: Option<String>,
    /// True if it can be brought back to a point in time.
    pub point_in_time_recovery: Fact<bool>,
    /// True if it cannot be deleted before that is switched off.
    pub deletion_protection: bool,
    /// Its tags: names and values.
    pub tags: Fact<Vec<(String, String)>>,
}

impl TableFacts {
    /// True if a condition is held against the latest version of an item in whatever region it was written.
    pub fn has_strong_replicas(&self) -> bool {
        self.multi_region_consistency.as_deref() == Some("STRONG")
    }

    /// Write and read units per second that the table takes.
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

    /// Write units per second that an index takes; `None` if it has no capacity of its own, or none that is known.
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
