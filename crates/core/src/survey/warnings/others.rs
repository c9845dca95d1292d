//! Other runs of the same table.

use super::warning::{Advice, Known, Warning, units, warn};
use crate::request::Settings;
use crate::survey::facts::{OtherRun, TableFacts};

/// [`other_runs`], as a plan knows them.
pub(super) fn of_plan(known: &Known<'_>) -> Vec<Warning> {
    let amplification = known.forecast.amplification;
    other_runs(
        known.others,
        known.settings,
        Some(known.facts),
        amplification,
    )
}

/// Names the other runs of the table, and says if their budgets and this run's add up to more than the table takes, if that is
/// known. Of each unit of a write budget the table itself gets one part in `amplification`, and its indexes the rest.
pub fn other_runs(
    others: &[OtherRun],
    own: &Settings,
    facts: Option<&TableFacts>,
    amplification: f64,
) -> Vec<Warning> {
    let named = others.iter().flat_map(|other| {
        let budget = match (other.max_wcu, other.max_rcu) {
            (None, None) => "no budget".to_owned(),
            (Some(wcu), None) => format!("at most {wcu} write units/s"),
            (None, Some(rcu)) => format!("at most {rcu} read units/s, and no write budget"),
            (Some(wcu), Some(rcu)) => format!("at most {wcu} write and {rcu} read units/s"),
        };
        warn(
            "other_run",
            format!(
                "run {} goes on on this table, too: {}; held by {}; {budget}",
                other.run_id, other.change, other.held_by
            ),
            [Advice::WatchRun {
                run_id: other.run_id.clone(),
                checkpoint_table: other.checkpoint_table.clone(),
            }],
        )
    });
    let mut warnings: Vec<Warning> = named.collect();
    let Some((writes, reads)) = facts.map(TableFacts::takes) else {
        return warnings;
    };
    let theirs = |of: fn(&OtherRun) -> Option<u32>| others.iter().map(of).collect::<Vec<_>>();
    for (kind, setting, own, theirs, takes) in [
        (
            "write",
            "max_wcu",
            own.max_wcu,
            theirs(|other| other.max_wcu),
            writes * amplification,
        ),
        (
            "read",
            "max_rcu",
            own.max_rcu,
            theirs(|other| other.max_rcu),
            reads,
        ),
    ] {
        // One without a budget is named as such, and this run's own is spoken of elsewhere.
        let given = theirs.iter().chain([&own]).flatten();
        let sum: f64 = given.clone().map(|units| f64::from(*units)).sum();
        if others.is_empty() || given.count() < 2 || sum <= takes {
            continue;
        }
        let left = takes - (sum - f64::from(own.unwrap_or(0)));
        let advice = match own {
            Some(_) if left >= 1.0 => Advice::AtMost(setting, units(left)),
            _ => Advice::Do("give the other runs less, or wait for their end".into()),
        };
        warnings.extend(warn(
            "budgets_exceed_table",
            format!(
                "the {kind} budgets of these runs and this one add up to {sum:.0} units/s, and the table takes {takes:.0}: they \
                 would throttle each other, and live traffic, too"
            ),
            [advice],
        ));
    }
    warnings
}
