//! A warning, its advice as data, and what warnings are found by.

use crate::change::Computing;
use crate::request::Settings;
use crate::survey::facts::{Concurrency, Fact, OtherRun, TableFacts};
use crate::survey::forecast::{Forecast, Tried};
use crate::survey::sample::Sample;

/// Something to look at before the run, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The warning's name for programs, such as `no_budget`; it does not change.
    pub code: &'static str,
    /// What was found: a sentence without a full stop.
    pub what: String,
    /// What to do: one of these.
    pub advice: Vec<Advice>,
}

impl Warning {
    /// True if it is of values that the update takes from items.
    pub fn is_of_losses(&self) -> bool {
        matches!(self.code, OVERWRITTEN | REMOVED)
    }
}

/// The code of values that the update overwrites.
pub(super) const OVERWRITTEN: &str = "values_are_overwritten";

/// The code of values that the update removes.
pub(super) const REMOVED: &str = "values_are_removed";

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
    /// Count what is pending, by the command that makes the forecast.
    DryRun,
    /// Count what is pending.
    Count,
    /// Watch this run.
    WatchRun {
        /// Its id.
        run_id: String,
        /// The table that holds its records.
        checkpoint_table: String,
    },
    /// Do this: words for a person.
    Do(String),
}

/// Everything that warnings are found by.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The table.
    pub facts: &'a TableFacts,
    /// A sample of its items.
    pub sample: &'a Sample,
    /// What becomes of sampled items that stand for all.
    pub tried: &'a [Tried],
    /// What becomes of some that do not.
    pub also_tried: &'a [Tried],
    /// What the run would do.
    pub forecast: &'a Forecast,
    /// The settings that it would have.
    pub settings: &'a Settings,
    /// Attributes that the change writes.
    pub targets: &'a [String],
    /// The change, if it computes values.
    pub computing: Option<&'a dyn Computing>,
    /// See [`crate::Spec::what_to_change`].
    pub what_to_change: &'static str,
    /// What would hold the run if it began now, each in words for a person.
    pub held: &'a [String],
    /// Other runs that go on on the table.
    pub others: &'a [OtherRun],
    /// The concurrency that Lambda has for the workers of a deployed run; `None` if it is to be one in a process.
    pub concurrency: Option<&'a Fact<Concurrency>>,
}

impl<'a> Known<'a> {
    /// Every sampled item on whose copy the update was tried.
    pub(super) fn all_tried(&self) -> impl Iterator<Item = &'a Tried> {
        self.tried.iter().chain(self.also_tried)
    }
}

/// One warning.
pub(super) fn warn(
    code: &'static str,
    what: String,
    advice: impl Into<Vec<Advice>>,
) -> Vec<Warning> {
    let advice = advice.into();
    vec![Warning { code, what, advice }]
}

/// Part of a capacity above which a run leaves live traffic little room.
pub(super) const MOST_OF_CAPACITY: f64 = 0.8;

/// A number of units for a setting, which is at least 1.
pub(super) fn units(units: f64) -> u64 {
    units.floor().max(1.0) as u64
}
