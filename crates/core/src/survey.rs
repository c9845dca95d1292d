//! What is known of a table before a run: its facts, a sample of its items, what a run would do to it, and what to look at
//! first. Nothing here writes to a table; there is no operation for it.

mod computed;
mod differences;
mod examples;
mod facts;
mod forecast;
mod interval;
mod kept;
mod losses;
mod misfits;
mod plan;
mod sample;
mod sizes;
mod warnings;

pub use computed::{
    ComputedPage, ComputedSample, Failures, IndexAfter, KeyValues, Part, SourceSample,
};
pub use differences::{Difference, refuse_differences};
pub use facts::{
    Billing, Concurrency, Fact, IndexFacts, OtherRun, Projection, Replica, TableFacts,
    WarmThroughput,
};
pub use forecast::{Bound, Forecast, IndexCost, Limit, Tried};
pub use interval::Interval;
pub use kept::{KEPT_VERSION, KeptPlan};
pub use losses::Losses;
pub use misfits::{Misfit, misfits};
pub use plan::{KnownRun, Plan, Rehearsal, Surroundings, SurveyAccess, objection, rehearse};
pub use sample::{
    DEFAULT_PAGES, Holders, ITEMS_PER_PAGE, IndexMisfits, MAX_PAGES, ReadPage, Sample, SampledPage,
    sampling_rate, segments_to_sample,
};
pub use sizes::{index_entry, index_units, update_units};
pub use warnings::{Advice, Known, Warning, concurrency_warnings, other_runs, warnings};

pub use crate::value::size::item_bytes;

#[cfg(test)]
mod tests;
