//! What to look at before a run: each warning has a function of its own, in the file of its subject. A function sees what
//! is known ([`Known`]) and says what it finds, with advice as data; only the command knows how it is typed. What is told of
//! other runs ([`other_runs`]) and of the concurrency for workers ([`concurrency_warnings`]) is told without a plan, too.

mod capacity;
mod computed;
mod copies;
mod held;
mod lambda;
mod others;
mod safety;
mod sample;
mod warning;

pub use self::lambda::concurrency_warnings;
pub use self::others::other_runs;
pub use self::warning::{Advice, Known, Warning};

type Look = fn(&Known<'_>) -> Vec<Warning>;

/// Every warning, in the order in which they are shown.
const LOOKS: [Look; 27] = [
    computed::cannot_be_computed,
    computed::sources_are_missing,
    sample::values_are_lost,
    held::held_now,
    others::of_plan,
    sample::items_do_not_fit_an_index,
    sample::update_refused,
    sample::update_does_not_extinguish,
    computed::index_would_be_hot,
    computed::index_can_have_the_sources,
    safety::no_point_in_time_recovery,
    capacity::no_read_budget,
    capacity::provisioned_capacity_too_low,
    capacity::on_demand_not_warmed,
    capacity::table_not_active,
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
    lambda::of_plan,
];

/// Looks for what could go wrong with a run, in the order in which it is to be shown.
pub fn warnings(known: &Known<'_>) -> Vec<Warning> {
    LOOKS.iter().flat_map(|look| look(known)).collect()
}
