//! The settings of a run.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::table::MAX_SEGMENTS;
use crate::{Error, Result};

/// The settings that an operator may give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RequestedSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_segments: Option<u32>,
    /// Sweep these segments and no others, then pause: a canary. `None`: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_segments: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// Seconds of one chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_box_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_passes: Option<u32>,
    /// Write capacity units per second for the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wcu: Option<u32>,
    /// Read capacity units per second for the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rcu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer: Option<WriterKind>,
    /// Items that DynamoDB may refuse for good in one pass before the run fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rejected: Option<u32>,
    /// Start over instead of resuming.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// Go on with a run that somebody else holds, who is known to be dead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub take_over: bool,
    /// The same, but only from this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_over_from: Option<String>,
    /// Count what is pending, and write nothing to the table.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Most segments at once: what a distributed Map runs in parallel.
pub const CONCURRENCY: RangeInclusive<u32> = 1..=10_000;

/// Seconds of a chunk: a Lambda function lives 900 s, and the worker needs some of them to finish.
pub const TIME_BOX_SECONDS: RangeInclusive<u64> = 1..=840;

/// Most segments that can be picked out.
pub const MAX_ONLY_SEGMENTS: usize = 10_000;

/// Passes of one execution.
pub const PASSES: RangeInclusive<u32> = 1..=100;

impl RequestedSettings {
    /// Refuses values out of range, naming the field.
    pub fn check(&self) -> Result<()> {
        fn within<T: PartialOrd + std::fmt::Display>(
            field: &str,
            value: Option<T>,
            range: RangeInclusive<T>,
        ) -> Result<()> {
            match value {
                Some(value) if !range.contains(&value) => Err(Error::invalid(
                    field,
                    format!("{value} is outside {}..{}", range.start(), range.end()),
                )),
                _ => Ok(()),
            }
        }
        within("total_segments", self.total_segments, 1..=MAX_SEGMENTS)?;
        within("max_concurrency", self.max_concurrency, CONCURRENCY)?;
        within("time_box_seconds", self.time_box_seconds, TIME_BOX_SECONDS)?;
        within("max_passes", self.max_passes, PASSES)?;
        within("max_wcu", self.max_wcu, 1..=u32::MAX)?;
        within("max_rcu", self.max_rcu, 1..=u32::MAX)?;
        if let Some(only) = &self.only_segments {
            let wrong = |why: String| Err(Error::invalid("only_segments", why));
            if !(1..=MAX_ONLY_SEGMENTS).contains(&only.len()) {
                return wrong(format!(
                    "{} segments; expected 1 to {MAX_ONLY_SEGMENTS}",
                    only.len()
                ));
            }
            if self.dry_run {
                return wrong("a dry run counts the whole table; leave it out".into());
            }
            let mut named = BTreeSet::new();
            if let Some(segment) = only.iter().find(|segment| !named.insert(**segment)) {
                return wrong(format!(
                    "segment {segment} is named twice; name each segment once"
                ));
            }
            let total = self.total_segments.unwrap_or(MAX_SEGMENTS);
            if let Some(segment) = only.iter().find(|segment| **segment >= total) {
                return wrong(format!("segment {segment} is outside 0..{}", total - 1));
            }
        }
        match &self.run_id {
            Some(id) => check_run_id(id),
            None => Ok(()),
        }
    }
}

/// A run id is 1 to 268 of the characters of a table name, so that `<table>-<8 hex digits>-dry` always is one.
pub fn check_run_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if id.is_empty() || id.len() > 268 || !id.chars().all(allowed) {
        return Err(Error::invalid(
            "run_id",
            format!("{id:?} is not a run id; expected 1 to 268 of a-z A-Z 0-9 _ - ."),
        ));
    }
    Ok(())
}

/// The settings of a run, all chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub total_segments: u32,
    /// Sweep these and no others, then pause. Empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_segments: Vec<u32>,
    pub max_concurrency: u32,
    /// Seconds of a chunk.
    pub time_box_seconds: u64,
    /// Passes that one execution may make.
    pub max_passes: u32,
    /// Write capacity units per second for the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wcu: Option<u32>,
    /// Read capacity units per second for the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rcu: Option<u32>,
    /// The request that carries the updates.
    #[serde(default)]
    pub writer: WriterKind,
    /// Items that DynamoDB may refuse for good in one pass before the run fails.
    #[serde(default = "default_max_rejected")]
    pub max_rejected: u32,
    /// No worker may work for this run: it only counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl Settings {
    /// Whether this execution is to sweep a segment.
    pub fn includes(&self, segment: u32) -> bool {
        self.only_segments.is_empty() || self.only_segments.contains(&segment)
    }
}

/// Where the operator gives none.
pub(crate) fn default_max_rejected() -> u32 {
    1_000
}

/// The request that carries the guarded updates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriterKind {
    /// BatchExecuteStatement where it can do what the spec asks, else UpdateItem.
    #[default]
    Batch,
    /// UpdateItem.
    UpdateItem,
}

impl WriterKind {
    /// The word in JSON and for people.
    pub fn name(self) -> &'static str {
        match self {
            WriterKind::Batch => "batch",
            WriterKind::UpdateItem => "update-item",
        }
    }
}
