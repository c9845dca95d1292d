//! What to look at before a run: each warning has a function of its own, in the file of its subject. A function sees what
//! is known ([`Known`]) and says what it finds, with advice as data; only the command knows how it is typed.

mod capacity;
mod copies;
mod safety;
mod sample;

use super::facts::TableFacts;
use super::forecast::{Forecast, Tried};
use super::sample::Sample;
use crate::request::Settings;

/// Something to look at before the run, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// For programs; does not change.
    pub code: &'static str,
    /// What was found: a sentence without a full stop.
    pub what: String,
    /// What to do: one of these.
    pub advice: Vec<Advice>,
}

/// What may be done about a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Give this setting.
    Give(&'static str),
    /// Give this setting this value.
    Set(&'static str, u64),
    /// Give this setting this value or a lower one.
    AtMost(&'static str, u64),
    /// Type this command of AWS's.
    Aws(String),
    /// Give the true prices.
    Prices,
    /// Change the budget while the run goes on.
    Steer,
    /// Sample more pages.
    MorePages,
    /// Count what is pending, by the command that forecasts, too.
    DryRun,
    /// Count what is pending.
    Count,
    /// Do this: words for a person.
    Do(String),
}

/// All that warnings are found by.
pub(super) struct Known<'a> {
    pub facts: &'a TableFacts,
    pub sample: &'a Sample,
    pub tried: &'a [Tried],
    pub forecast: &'a Forecast,
    pub settings: &'a Settings,
    /// Attributes that the change writes.
    pub targets: &'a [String],
}

type Look = fn(&Known<'_>) -> Vec<Warning>;

/// Every warning, in the order in which they are shown.
const LOOKS: [Look; 17] = [
    sample::update_refused,
    sample::update_does_not_extinguish,
    safety::no_point_in_time_recovery,
    capacity::no_read_budget,
    capacity::provisioned_capacity_too_low,
    capacity::on_demand_not_warmed,
    capacity::index_not_active,
    capacity::index_would_throttle,
    copies::replicas,
    copies::stream,
    copies::kinesis,
    safety::writes_time_to_live,
    capacity::infrequent_access,
    safety::no_deletion_protection,
    capacity::no_budget,
    sample::no_estimate,
    sample::none_in_sample,
];

/// Looks for what could go wrong. `targets` are the attributes that the change writes.
pub fn warnings(
    facts: &TableFacts,
    sample: &Sample,
    tried: &[Tried],
    forecast: &Forecast,
    settings: &Settings,
    targets: &[String],
) -> Vec<Warning> {
    let known = Known {
        facts,
        sample,
        tried,
        forecast,
        settings,
        targets,
    };
    LOOKS.iter().flat_map(|look| look(&known)).collect()
}

/// One warning.
fn warn(code: &'static str, what: String, advice: impl Into<Vec<Advice>>) -> Vec<Warning> {
    let advice = advice.into();
    vec![Warning { code, what, advice }]
}

/// Part of a capacity above which a run leaves live traffic little room.
const MOST_OF_CAPACITY: f64 = 0.8;

/// A number of units for a setting, which is at least 1.
fn units(units: f64) -> u64 {
    units.floor().max(1.0) as u64
}
